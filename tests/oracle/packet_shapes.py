"""Frames of every header shape the parser knows, and damage done to them; material for tests, all deterministic."""

from __future__ import annotations

import random
from typing import Any

from scapy.contrib.mpls import MPLS
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_EOL, IPOption_NOP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptMTU,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.ipsec import AH, ESP
from scapy.layers.l2 import ARP, LLC, SNAP, Dot1AD, Dot1Q, Dot3, Ether
from scapy.layers.sctp import SCTP, SCTPChunkInit
from scapy.packet import Packet, Raw

ETH: dict[str, Any] = {"src": "02:00:00:00:00:0a", "dst": "02:00:00:00:00:0b"}
V4: dict[str, Any] = {"src": "10.1.2.3", "dst": "192.168.7.9"}
V6: dict[str, Any] = {"src": "2001:db8::1:2", "dst": "2001:db8:5::77"}
SLL, TLL = "02:11:22:33:44:55", "02:66:77:88:99:aa"


def _eth() -> Packet:
    return Ether(**ETH)


def _four(**fields: Any) -> Packet:
    return _eth() / IP(**V4, **fields)


def _six(**fields: Any) -> Packet:
    return _eth() / IPv6(**V6, **fields)


SOLICIT = ICMPv6ND_NS(tgt="fe80::5", res=0x12345)
SNAP_LLC = LLC(dsap=0xAA, ssap=0xAA, ctrl=3)
NSH1 = bytes.fromhex("0fc601030001020f11111111222222223333333344444444")
NSH2 = bytes.fromhex("2044020300a0b0c0")

SHAPES: dict[str, Packet] = {
    "tcp": _four(tos=0x2D, ttl=9) / TCP(sport=1234, dport=80, flags="SAE", seq=5, window=99) / Raw(b"hello, world!"),
    "udp": _four() / UDP(sport=53, dport=5353) / Raw(b"odd"),
    "udp_no_checksum": _four() / UDP(sport=53, dport=5353, chksum=0) / Raw(b"data"),
    "sctp": _four() / SCTP(sport=7, dport=9, tag=0x1234) / SCTPChunkInit(init_tag=3),
    "icmp": _four() / ICMP(type=8, code=0, id=77, seq=3) / Raw(b"ping"),
    "igmp": _four(proto=2, ttl=1) / Raw(bytes.fromhex("1600a1b2e1020304")),
    "gre": _four(proto=47) / Raw(b"\0\0\x08\0payload"),
    "ip_options": _four(options=[IPOption_NOP(), IPOption_NOP(), IPOption_NOP(), IPOption_EOL()])
    / TCP(sport=1, dport=2),
    "first_fragment": _four(flags="MF") / UDP(sport=1, dport=2, len=4000) / Raw(b"x" * 24),
    "later_fragment": _four(frag=185, flags="MF") / Raw(b"looks like a port number"),
    "last_fragment": _four(frag=370, proto=6) / Raw(b"the end of it, no ports here"),
    "padded": _four() / UDP(sport=8, dport=9) / Raw(b"hi"),
    "vlan": _eth() / Dot1Q(vlan=100, prio=5) / IP(**V4) / TCP(sport=5, dport=6),
    "vlan_cfi": _eth() / Dot1Q(vlan=0, prio=7, dei=1) / IP(**V4) / UDP(),
    "qinq": _eth() / Dot1AD(vlan=30, prio=1) / Dot1Q(vlan=4095) / IP(**V4) / UDP(sport=3, dport=4),
    "three_tags": _eth() / Dot1Q(vlan=1) / Dot1Q(vlan=2) / Dot1Q(vlan=3) / IP(**V4) / UDP(),
    "vlan_ipv6": _eth() / Dot1Q(vlan=6) / IPv6(**V6) / UDP(sport=5, dport=7) / Raw(b"six"),
    "arp_request": _eth() / ARP(op=1, hwsrc=SLL, psrc="10.0.0.1", pdst="10.0.0.2", hwdst="00:00:00:00:00:00"),
    "arp_reply": _eth() / ARP(op=2, hwsrc=SLL, psrc="10.0.0.1", pdst="10.0.0.2", hwdst=TLL),
    "arp_wide_opcode": _eth() / ARP(op=0x0102, hwsrc=SLL, psrc="10.0.0.1", pdst="10.0.0.2", hwdst=TLL),
    "arp_not_ethernet": _eth() / ARP(hwtype=6, op=1, hwsrc=SLL, psrc="10.0.0.1", pdst="10.0.0.2", hwdst=TLL),
    "rarp": Ether(**ETH, type=0x8035) / ARP(op=3, hwsrc=SLL, psrc="0.0.0.0", pdst="0.0.0.0", hwdst=SLL),
    "tcp6": _six(tc=0xB9, fl=0xABCDE, hlim=3) / TCP(sport=8, dport=9, flags="FPU") / Raw(b"abc"),
    "udp6": _six() / UDP(sport=8, dport=9) / Raw(b"abcd"),
    "sctp6": _six() / SCTP(sport=8, dport=9) / SCTPChunkInit(),
    "echo6": _six() / ICMPv6EchoRequest(id=5, seq=6, data=b"ping"),
    "icmp_in_ipv6": _six(nh=1) / Raw(bytes.fromhex("0800f7ff00000000")),
    "icmp6_in_ipv4": _four(proto=58) / Raw(bytes(SOLICIT)),
    "solicit": _six(hlim=255) / SOLICIT / ICMPv6NDOptSrcLLAddr(lladdr=SLL),
    "advert": _six(hlim=255) / ICMPv6ND_NA(tgt="fe80::6", R=1, S=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr=TLL),
    "solicit_both": _six() / SOLICIT / ICMPv6NDOptDstLLAddr(lladdr=TLL) / ICMPv6NDOptSrcLLAddr(lladdr=SLL),
    "solicit_mtu": _six() / SOLICIT / ICMPv6NDOptMTU(mtu=1500) / ICMPv6NDOptSrcLLAddr(lladdr=SLL),
    "solicit_twice": _six() / SOLICIT / ICMPv6NDOptSrcLLAddr(lladdr=SLL) / ICMPv6NDOptSrcLLAddr(lladdr=TLL),
    "solicit_bad_option": _six() / SOLICIT / ICMPv6NDOptSrcLLAddr(lladdr=SLL) / Raw(b"\x02\x00" + b"z" * 6),
    "solicit_code": _six() / ICMPv6ND_NS(tgt="fe80::5", code=1) / ICMPv6NDOptSrcLLAddr(lladdr=SLL),
    "ipv6_hop": _six() / IPv6ExtHdrHopByHop() / TCP(sport=1, dport=2),
    "ipv6_chain": _six() / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / IPv6ExtHdrRouting(addresses=["2001:db8::9"])
    / IPv6ExtHdrDestOpt() / UDP(sport=1, dport=2) / Raw(b"x"),
    "ipv6_routed_out": _six() / IPv6ExtHdrRouting(addresses=["2001:db8::9"], segleft=0) / UDP(sport=1, dport=2),
    "ipv6_ah": _six() / AH(spi=9, seq=1, icv=b"0123456789ab") / TCP(sport=1, dport=2),
    "ipv6_esp": _six() / ESP(spi=9, seq=1, data=b"secret stuff"),
    "ipv6_no_next": _six(nh=59),
    "ipv6_mobility": _six(nh=135) / Raw(bytes.fromhex("3b00050000000000")),
    "ipv6_atomic_fragment": _six() / IPv6ExtHdrFragment(nh=17) / UDP(sport=1, dport=2),
    "ipv6_first_fragment": _six() / IPv6ExtHdrFragment(nh=17, m=1, id=4) / UDP(sport=1, dport=2) / Raw(b"x" * 8),
    "ipv6_later_fragment": _six() / IPv6ExtHdrFragment(nh=17, offset=4, id=4) / Raw(b"y" * 16),
    "mpls": Ether(**ETH, type=0x8847) / MPLS(label=18, cos=3, s=1, ttl=60) / IP(**V4) / UDP(),
    "mpls_deep": Ether(**ETH, type=0x8848) / MPLS(label=1, s=0) / MPLS(label=2, s=0) / MPLS(label=3, s=0)
    / MPLS(label=4, s=1) / IP(**V4),
    "nsh_type1": Ether(**ETH, type=0x894F) / Raw(NSH1 + b"payload"),
    "nsh_type2": Ether(**ETH, type=0x894F) / Raw(NSH2 + b"12345678"),
    "llc": Dot3(**ETH) / LLC(dsap=0x42, ssap=0x42, ctrl=3) / Raw(b"spanning tree"),
    "snap": Dot3(**ETH) / SNAP_LLC / SNAP(OUI=0, code=0x0800) / IP(**V4) / UDP(sport=1, dport=2),
    "snap_oui": Dot3(**ETH) / SNAP_LLC / SNAP(OUI=0x00000C, code=0x2000) / Raw(b"cdp"),
    "snap_length": Dot3(**ETH) / SNAP_LLC / SNAP(OUI=0, code=0x0100) / Raw(b"x"),
    "lldp": Ether(**ETH, type=0x88CC) / Raw(b"\x02\x07\x04" + b"q" * 20),
}


def frames() -> dict[str, bytes]:
    """Return the bytes of every shape by name."""
    built = {name: bytes(shape) for name, shape in SHAPES.items()}
    built["padded"] = built["padded"].ljust(60, b"\0")
    return built


def truncations(frame: bytes, at_least: int = 0) -> list[bytes]:
    """Return `frame` cut short at every byte, longest last."""
    return [frame[:n] for n in range(at_least, len(frame) + 1)]


def damaged(frame: bytes, seed: int, count: int) -> list[bytes]:
    """Return `count` copies of `frame` with one to four bytes behind the addresses changed, some cut or padded."""
    likely = (0, 1, 2, 6, 17, 44, 58, 60, 0x45, 0x81, 255)
    rng = random.Random(seed)
    copies = []
    for _ in range(count):
        copy = bytearray(frame)
        for _ in range(rng.randint(1, 4)):
            copy[rng.randrange(12, len(copy))] = rng.choice((*likely, rng.randrange(256)))
        if rng.random() < 0.2:
            copy = copy[: rng.randrange(14, len(copy) + 1)]
        elif rng.random() < 0.2:
            copy += bytes(rng.randrange(1, 30))
        copies.append(bytes(copy))
    return copies
