"""Slow reference parser for well-formed frames: reads scapy's layers into slots by name."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    _ICMPv6,
)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Packet

Slots = dict[str, int]
TAGS: dict[type[Packet], int] = {Dot1Q: 0x8100, Dot1AD: 0x88A8}
EXTENSIONS: dict[type[Packet], int] = {
    IPv6ExtHdrHopByHop: 64, IPv6ExtHdrRouting: 32, IPv6ExtHdrFragment: 16, IPv6ExtHdrDestOpt: 8,
}


def _mac(text: str) -> int:
    return int(text.replace(":", ""), 16)


def _ip4(text: str) -> int:
    return int(IPv4Address(text))


def _ip6(text: str) -> int:
    return int(IPv6Address(text))


def _ports(layer: Packet) -> Slots:
    return {"tp_src": layer.sport, "tp_dst": layer.dport}


def _tcp(layer: Packet) -> Slots:
    return _ports(layer) | {"tcp_flags": int(layer.flags) | layer.reserved << 9}


def _icmp(layer: Packet) -> Slots:
    return {"tp_src": layer.type, "tp_dst": layer.code}


def _icmp6(layer: Packet) -> Slots:
    slots = _icmp(layer)
    if not isinstance(layer, (ICMPv6ND_NS, ICMPv6ND_NA)):
        return slots
    slots["nd_target"] = _ip6(layer.tgt)
    slots["nd_reserved"] = int.from_bytes(bytes(layer)[4:8], "big")
    option = layer.payload
    for kind, slot, number in ((ICMPv6NDOptSrcLLAddr, "arp_sha", 1), (ICMPv6NDOptDstLLAddr, "arp_tha", 2)):
        if kind in layer:
            slots[slot] = _mac(layer[kind].lladdr)
            if isinstance(option, kind):
                slots["nd_options_type"] = number
    return slots


L4: tuple[tuple[type[Packet], int, Callable[[Packet], Slots]], ...] = (
    (TCP, 6, _tcp), (UDP, 17, _ports), (SCTP, 132, _ports), (ICMP, 1, _icmp), (_ICMPv6, 58, _icmp6),
)  # fmt: skip


def _transport(layer: Packet) -> Slots:
    for kind, _, read in L4:
        if isinstance(layer, kind):
            return read(layer)
    return {}


def _ipv4(ip: Packet) -> Slots:
    slots = {"ip_src": _ip4(ip.src), "ip_dst": _ip4(ip.dst), "nw_tos": ip.tos, "nw_ttl": ip.ttl, "nw_proto": ip.proto}
    slots["nw_frag"] = (1 if ip.frag or ip.flags.MF else 0) | (2 if ip.frag else 0)
    if ip.frag:
        return slots
    if ip.proto == 2:
        octets = bytes(ip.payload)
        return slots | {"tp_src": octets[0], "tp_dst": octets[1], "igmp_group": int.from_bytes(octets[4:8], "big")}
    return slots | _transport(ip.payload)


def _ipv6(ip: Packet) -> Slots:
    slots = {"ipv6_src": _ip6(ip.src), "ipv6_dst": _ip6(ip.dst), "nw_tos": ip.tc, "nw_ttl": ip.hlim}
    slots["ipv6_label"] = ip.fl
    layer, proto, flags = ip.payload, ip.nh, 0
    while type(layer) in EXTENSIONS:
        flags |= EXTENSIONS[type(layer)]
        if isinstance(layer, IPv6ExtHdrFragment) and (layer.offset or layer.m):
            slots["nw_frag"] = 3 if layer.offset else 1
            if layer.offset:
                return slots | {"nw_proto": 44, "ipv6_exthdr": flags}
        layer, proto = layer.payload, layer.nh
    flags |= {50: 2, 59: 1}.get(proto, 0)
    return slots | {"nw_proto": proto, "ipv6_exthdr": flags} | _transport(layer)


def _arp(arp: Packet) -> Slots:
    slots = {"ip_src": _ip4(arp.psrc), "ip_dst": _ip4(arp.pdst), "nw_proto": arp.op if arp.op <= 255 else 0}
    return slots | {"arp_sha": _mac(arp.hwsrc), "arp_tha": _mac(arp.hwdst)}


def read(frame: bytes, in_port: int = 0) -> Slots:
    """Return the slots of a well-formed Ethernet II frame that are not zero, as numbers."""
    packet = Ether(frame)
    slots: Slots = {"in_port": in_port, "eth_src": _mac(packet.src), "eth_dst": _mac(packet.dst)}
    layer, eth_type = packet.payload, packet.type
    for name in ("vlan", "vlan2"):
        if type(layer) not in TAGS:
            break
        slots[f"{name}_tpid"] = TAGS[type(layer)]
        slots[f"{name}_tci"] = layer.prio << 13 | 0x1000 | layer.vlan
        layer, eth_type = layer.payload, layer.type
    slots["eth_type"] = eth_type
    for kind, reader in ((IP, _ipv4), (IPv6, _ipv6), (ARP, _arp)):
        if isinstance(layer, kind):
            slots |= reader(layer)
    return {slot: value for slot, value in slots.items() if value}


def offsets(frame: bytes) -> tuple[int | None, int | None]:
    """Return where layers 3 and 4 start, in bytes, None where absent."""
    packet = Ether(frame)
    l3 = next((packet[kind] for kind in (IP, IPv6, ARP) if kind in packet), None)
    l4 = next((packet[kind] for kind, _, _ in L4[:4] if kind in packet), None)
    here: Packet = packet
    while here and l4 is None:
        l4 = here if isinstance(here, _ICMPv6) else None
        here = here.payload
    return tuple(None if layer is None else len(frame) - len(layer) for layer in (l3, l4))  # type: ignore[return-value]
