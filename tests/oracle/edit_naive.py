"""Slow reference for header rewrites: scapy sets the field, forgets every checksum and computes them anew."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6Unknown,
    IPv6,
    _ICMPv6,
)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Dot3, Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Packet


def _mac(value: bytes) -> str:
    return ":".join(f"{byte:02x}" for byte in value)


def _number(value: bytes) -> int:
    return int.from_bytes(value, "big")


def _ip4(value: bytes) -> str:
    return str(IPv4Address(value))


def _ip6(value: bytes) -> str:
    return str(IPv6Address(value))


# slot -> (layer, attribute, from bytes to scapy's value)
FIELDS: dict[str, tuple[tuple[type[Packet], str, Callable[[bytes], object]], ...]] = {
    "eth_dst": ((Ether, "dst", _mac), (Dot3, "dst", _mac)),
    "eth_src": ((Ether, "src", _mac), (Dot3, "src", _mac)),
    "ip_src": ((IP, "src", _ip4), (ARP, "psrc", _ip4)),
    "ip_dst": ((IP, "dst", _ip4), (ARP, "pdst", _ip4)),
    "nw_tos": ((IP, "tos", _number), (IPv6, "tc", _number)),
    "nw_ttl": ((IP, "ttl", _number), (IPv6, "hlim", _number)),
    "nw_proto": ((ARP, "op", _number),),
    "ipv6_src": ((IPv6, "src", _ip6),),
    "ipv6_dst": ((IPv6, "dst", _ip6),),
    "ipv6_label": ((IPv6, "fl", _number),),
    "arp_sha": ((ARP, "hwsrc", _mac), (ICMPv6NDOptSrcLLAddr, "lladdr", _mac)),
    "arp_tha": ((ARP, "hwdst", _mac), (ICMPv6NDOptDstLLAddr, "lladdr", _mac)),
    "nd_target": ((ICMPv6ND_NS, "tgt", _ip6), (ICMPv6ND_NA, "tgt", _ip6)),
    "tp_src": ((TCP, "sport", _number), (UDP, "sport", _number), (SCTP, "sport", _number), (ICMP, "type", _number)),
    "tp_dst": ((TCP, "dport", _number), (UDP, "dport", _number), (SCTP, "dport", _number), (ICMP, "code", _number)),
}


def _forget_checksums(packet: Packet) -> None:
    for layer in (IP, TCP, ICMP, SCTP):
        if layer in packet:
            del packet[layer].chksum
    if UDP in packet and packet[UDP].chksum != 0:
        del packet[UDP].chksum
    here: Packet | None = packet
    while here:
        if isinstance(here, (_ICMPv6, ICMPv6Unknown)):
            del here.cksum
        here = here.payload


def edit(frame: bytes, slot: str, value: bytes) -> bytes | None:
    """Return `frame` with the slot set to `value` (slot's size, network order), or None when it has no such header."""
    packet = Ether(frame)
    for layer, attribute, convert in FIELDS[slot]:
        if layer in packet:
            setattr(packet[layer], attribute, convert(value))
            _forget_checksums(packet)
            return bytes(packet)
    return None


def set_tci(frame: bytes, tci: int) -> bytes | None:
    """Return `frame` with VLAN and priority of the outer tag set (its CFI bit kept), or None when it has none."""
    if int.from_bytes(frame[12:14], "big") not in (0x8100, 0x88A8) or len(frame) < 18:
        return None
    old = int.from_bytes(frame[14:16], "big")
    return frame[:14] + (old & 0x1000 | tci & 0xEFFF).to_bytes(2, "big") + frame[16:]


def push_vlan(frame: bytes, tpid: int, tci: int) -> bytes:
    """Return `frame` with one more tag, TPID and TCI as given, the CFI bit clear."""
    return frame[:12] + tpid.to_bytes(2, "big") + (tci & 0xEFFF).to_bytes(2, "big") + frame[12:]


def tags(frame: bytes) -> list[int]:
    """Return the VLAN identifiers of `frame`, outer first, as scapy reads them."""
    found, here = [], Ether(frame).payload
    while isinstance(here, (Dot1Q, Dot1AD)):
        found.append(here.vlan)
        here = here.payload
    return found


def l4_checksum_is_right(frame: bytes) -> bool:
    """Return whether scapy computes the same IPv4 and layer 4 checksums as the frame holds."""
    packet = Ether(frame)
    _forget_checksums(packet)
    return bytes(packet) == frame
