"""Fields of the naive switch: names for bits of a packet's dict, with the headers that they need."""

from __future__ import annotations

from collections.abc import Callable

from tests.oracle.packets import Key

REGS = tuple(f"reg{i}" for i in range(8))


def slot(key: Key, name: str) -> int:
    """The value of a slot; `vlan_tci` has bit 0x1000 set when there is a tag."""
    if name == "vlan_tci":
        return key["tags"][0][1] | 0x1000 if key["tags"] else 0
    return key[name]


def is_ip(key: Key) -> bool:
    return key["eth_type"] in (0x0800, 0x86DD)


def l4_is(proto: int, *types: int) -> Callable[[Key], bool]:
    return lambda key: (
        key["eth_type"] in (types or (0x0800, 0x86DD)) and key["nw_proto"] == proto and not key["nw_frag"] & 2
    )


def nd_is(*kinds: int) -> Callable[[Key], bool]:
    return lambda key: l4_is(58, 0x86DD)(key) and key["tp_src"] in kinds and key["tp_dst"] == 0


def type_in(*types: int) -> Callable[[Key], bool]:
    return lambda key: key["eth_type"] in types


def anything(key: Key) -> bool:
    return True


# name -> (slot, low bit, bits, prerequisite)
FIELDS: dict[str, tuple[str, int, int, Callable[[Key], bool]]] = {
    "in_port": ("in_port", 0, 16, anything),
    "eth_dst": ("eth_dst", 0, 48, anything),
    "eth_src": ("eth_src", 0, 48, anything),
    "vlan_tci": ("vlan_tci", 0, 16, anything),
    "vlan_vid": ("vlan_tci", 0, 12, lambda key: bool(key["tags"])),
    "vlan_pcp": ("vlan_tci", 13, 3, lambda key: bool(key["tags"])),
    "mpls_label": ("mpls_lse0", 12, 20, type_in(0x8847, 0x8848)),
    "mpls_tc": ("mpls_lse0", 9, 3, type_in(0x8847, 0x8848)),
    "ip_src": ("ip_src", 0, 32, type_in(0x0800)),
    "ip_dst": ("ip_dst", 0, 32, type_in(0x0800)),
    "nw_tos": ("nw_tos", 0, 8, is_ip),
    "ip_dscp": ("nw_tos", 2, 6, is_ip),
    "nw_ecn": ("nw_tos", 0, 2, is_ip),
    "nw_ttl": ("nw_ttl", 0, 8, is_ip),
    "ipv6_src": ("ipv6_src", 0, 128, type_in(0x86DD)),
    "ipv6_dst": ("ipv6_dst", 0, 128, type_in(0x86DD)),
    "ipv6_label": ("ipv6_label", 0, 20, type_in(0x86DD)),
    "arp_op": ("nw_proto", 0, 16, type_in(0x0806)),
    "arp_spa": ("ip_src", 0, 32, type_in(0x0806)),
    "arp_tpa": ("ip_dst", 0, 32, type_in(0x0806)),
    "arp_sha": ("arp_sha", 0, 48, type_in(0x0806)),
    "arp_tha": ("arp_tha", 0, 48, type_in(0x0806)),
    "tcp_src": ("tp_src", 0, 16, l4_is(6)),
    "tcp_dst": ("tp_dst", 0, 16, l4_is(6)),
    "udp_src": ("tp_src", 0, 16, l4_is(17)),
    "udp_dst": ("tp_dst", 0, 16, l4_is(17)),
    "sctp_src": ("tp_src", 0, 16, l4_is(132)),
    "sctp_dst": ("tp_dst", 0, 16, l4_is(132)),
    "icmp_type": ("tp_src", 0, 8, l4_is(1, 0x0800)),
    "icmp_code": ("tp_dst", 0, 8, l4_is(1, 0x0800)),
    "nd_target": ("nd_target", 0, 128, nd_is(135, 136)),
    "nd_sll": ("arp_sha", 0, 48, nd_is(135)),
    "nd_tll": ("arp_tha", 0, 48, nd_is(136)),
    "metadata": ("metadata", 0, 64, anything),
    "pkt_mark": ("pkt_mark", 0, 32, anything),
    "tun_id": ("tun_id", 0, 64, anything),
    **{name: (name, 0, 32, anything) for name in REGS},
}


def get(key: Key, name: str, low: int, n: int) -> int:
    where, first, _, _ = FIELDS[name]
    return slot(key, where) >> (first + low) & ((1 << n) - 1)


def write_slot(key: Key, where: str, value: int, mask: int) -> None:
    """Write bits of a slot, and note which until the bytes follow: a damaged header keeps its others."""
    key[where] = key[where] & ~mask | value & mask
    key["written"] = key.get("written", {}) | {where: key.get("written", {}).get(where, 0) | mask}


def put(key: Key, name: str, value: int, mask: int) -> None:
    """Write bits of a field that the packet has."""
    where, first, _, _ = FIELDS[name]
    value, mask = (value & mask) << first, mask << first
    if where != "vlan_tci":
        write_slot(key, where, value, mask)
        return
    tpid = key["tags"][0][0] if key["tags"] else 0x8100
    tci = slot(key, where) & ~mask | value
    key["tags"] = [(tpid, tci & 0xEFFF), *key["tags"][1:]] if tci & 0x1000 else key["tags"][1:]
