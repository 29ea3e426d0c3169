"""A packet as the naive switch sees it: a slow parser into a dict, and an editor that writes changed values back.

Independent of the compiled parser and editor, and of scapy. Values are numbers; `tags` is a list of (TPID, TCI without
the present bit), outermost first, two at most from the wire; absent headers read as 0. Checksums are updated, not
computed anew, so that a wrong one stays as wrong as it was (RFC 1624).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

Key = dict[str, Any]
IPV4, IPV6, ARP, RARP = 0x0800, 0x86DD, 0x0806, 0x8035
MPLS = (0x8847, 0x8848)
VLANS = (0x8100, 0x88A8)
TCP, UDP, SCTP, ICMP, ICMP6, IGMP = 6, 17, 132, 1, 58, 2
SHORTEST = {TCP: 20, UDP: 8, SCTP: 12, ICMP: 8, ICMP6: 8, IGMP: 8}
HEADERS = (
    "eth_dst",
    "eth_src",
    "eth_type",
    "mpls_lse0",
    "ip_src",
    "ip_dst",
    "ipv6_src",
    "ipv6_dst",
    "ipv6_label",
    "nw_proto",
    "nw_tos",
    "nw_ttl",
    "nw_frag",
    "arp_sha",
    "arp_tha",
    "nd_target",
    "tp_src",
    "tp_dst",
    "tcp_flags",
)
EDITED = tuple(name for name in HEADERS if name not in ("eth_type", "nw_frag", "tcp_flags"))


class BadPacket(Exception):
    """A header that is to be written is not there."""


@dataclass
class Layout:
    """Where the headers are, in bytes from the frame's start; None = absent."""

    l25: int | None = None
    l3: int | None = None
    l4: int | None = None
    end: int = 0  # of the IP packet: padding may follow
    kind: int = 0  # EtherType of layer 3
    proto: int = 0  # IP protocol of layer 4
    later: bool = False  # a fragment without layer 4
    routed: bool = False  # a routing header with segments left: the pseudo-header holds another address


def num(data: bytes, at: int, n: int) -> int:
    return int.from_bytes(data[at : at + n], "big")


def parse(frame: bytes, tags: int = 2) -> tuple[Key, Layout] | None:
    """Return the header values and where they stand; None for a frame shorter than an Ethernet header.

    tags: how many are looked through.
    """
    if len(frame) < 14:
        return None
    key: Key = dict.fromkeys(HEADERS, 0)
    where = Layout(end=len(frame))
    key["eth_dst"], key["eth_src"], key["tags"] = num(frame, 0, 6), num(frame, 6, 6), []
    at = 12
    while len(key["tags"]) < tags and num(frame, at, 2) in VLANS and len(frame) - at >= 6:
        key["tags"].append((num(frame, at, 2), num(frame, at + 2, 2) & 0xEFFF))
        at += 4
    eth_type = num(frame, at, 2)
    at += 2
    if eth_type < 0x600:
        snap = frame[at : at + 6] == b"\xaa\xaa\x03\0\0\0" and len(frame) - at >= 8
        eth_type = max(num(frame, at + 6, 2), 0x5FF) if snap else 0x5FF
        at += 8 if snap else 0
    key["eth_type"] = where.kind = eth_type
    if eth_type in READERS:
        READERS[eth_type](frame, at, key, where)
    return key, where


def read_mpls(frame: bytes, at: int, key: Key, where: Layout) -> None:
    where.l25 = at
    if at + 4 <= len(frame):
        key["mpls_lse0"] = num(frame, at, 4)


def read_arp(frame: bytes, at: int, key: Key, where: Layout) -> None:
    if len(frame) - at < 28 or frame[at : at + 6] != bytes.fromhex("000108000604"):
        return
    where.l3 = at
    opcode = num(frame, at + 6, 2)
    key["nw_proto"] = opcode if opcode < 256 else 0
    key["arp_sha"], key["ip_src"] = num(frame, at + 8, 6), num(frame, at + 14, 4)
    key["arp_tha"], key["ip_dst"] = num(frame, at + 18, 6), num(frame, at + 24, 4)


def read_ipv4(frame: bytes, at: int, key: Key, where: Layout) -> None:
    left = len(frame) - at
    header, total = (num(frame, at, 1) & 15) * 4, num(frame, at + 2, 2)
    if left < 20 or header < 20 or header > total or total > left:
        return
    where.l3, where.end, where.proto = at, at + total, frame[at + 9]
    key["ip_src"], key["ip_dst"] = num(frame, at + 12, 4), num(frame, at + 16, 4)
    key["nw_tos"], key["nw_ttl"], key["nw_proto"] = frame[at + 1], frame[at + 8], frame[at + 9]
    fragment = num(frame, at + 6, 2)
    if fragment & 0x1FFF:
        key["nw_frag"], where.later = 3, True
        return
    key["nw_frag"] = 1 if fragment & 0x2000 else 0
    read_l4(frame, at + header, key, where)


def read_ipv6(frame: bytes, at: int, key: Key, where: Layout) -> None:
    if len(frame) - at < 40 or num(frame, at + 4, 2) > len(frame) - at - 40:
        return
    where.l3, where.end = at, at + 40 + num(frame, at + 4, 2)
    key["ipv6_src"], key["ipv6_dst"] = num(frame, at + 8, 16), num(frame, at + 24, 16)
    proto, here, frag = frame[at + 6], at + 40, 0
    while proto in (0, 43, 44, 51, 60) and frag != 3:
        if where.end - here < 8:
            return
        size = 8 if proto == 44 else (frame[here + 1] + 2) * 4 if proto == 51 else (frame[here + 1] + 1) * 8
        if where.end - here < size:
            return
        if proto == 43 and frame[here + 3]:
            where.routed = True
        if proto == 44 and num(frame, here + 2, 2):
            frag = 3 if num(frame, here + 2, 2) & 0xFFF8 else 1
        if frag != 3:
            proto = frame[here]
        here += size
    key["ipv6_label"], key["nw_tos"] = num(frame, at, 4) & 0xFFFFF, num(frame, at, 2) >> 4 & 0xFF
    key["nw_ttl"], key["nw_proto"], key["nw_frag"] = frame[at + 7], proto, frag
    where.later, where.proto = frag == 3, proto
    if frag != 3:
        read_l4(frame, here, key, where)


def read_l4(frame: bytes, at: int, key: Key, where: Layout) -> None:
    proto, left = key["nw_proto"], where.end - at
    if proto not in SHORTEST or left < SHORTEST[proto]:
        return
    if proto == TCP and not 20 <= (frame[at + 12] >> 4) * 4 <= left:
        return
    where.l4 = at
    if proto in (ICMP, ICMP6, IGMP):
        key["tp_src"], key["tp_dst"] = frame[at], frame[at + 1]
    else:
        key["tp_src"], key["tp_dst"] = num(frame, at, 2), num(frame, at + 2, 2)
    if proto == TCP:
        key["tcp_flags"] = num(frame, at + 12, 2) & 0xFFF
    if proto == ICMP6 and frame[at] in (135, 136) and frame[at + 1] == 0 and left >= 24:
        read_nd(frame, at, key, where)


def read_nd(frame: bytes, at: int, key: Key, where: Layout) -> None:
    key["nd_target"] = num(frame, at + 8, 16)
    at += 24
    while where.end - at >= 8:
        size = frame[at + 1] * 8
        if size == 0 or size > where.end - at:
            return
        name = {1: "arp_sha", 2: "arp_tha"}.get(frame[at]) if size == 8 else None
        if name and key[name]:
            key["nd_target"] = key["arp_sha"] = key["arp_tha"] = 0
            return
        if name:
            key[name] = num(frame, at + 2, 6)
        at += size


READERS = {IPV4: read_ipv4, IPV6: read_ipv6, ARP: read_arp, RARP: read_arp, MPLS[0]: read_mpls, MPLS[1]: read_mpls}


# -- checksums


def ones_sum(data: bytes) -> int:
    return sum(num(data, i, 2) if i + 1 < len(data) else data[i] << 8 for i in range(0, len(data), 2))


def fold(total: int) -> int:
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def updated(csum: int, old: bytes, new: bytes) -> int:
    """RFC 1624, equation 3: the checksum after `old` became `new`."""
    return ~fold((~csum & 0xFFFF) + (~fold(ones_sum(old)) & 0xFFFF) + fold(ones_sum(new))) & 0xFFFF


def crc32c(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


# -- writing


def put(frame: bytearray, at: int, n: int, value: int) -> None:
    if at + n > len(frame):
        raise BadPacket
    frame[at : at + n] = value.to_bytes(n, "big")


def put_summed(frame: bytearray, at: int, n: int, value: int, start: int, places: list[int], udp: bool = False) -> None:
    """Write and update the checksums at `places`; words count from `start`."""
    first = at - (at - start) % 2
    last = at + n + (at + n - start) % 2
    old = bytes(frame[first:last])
    put(frame, at, n, value)
    for place in places:
        before = num(frame, place, 2)
        if udp and before == 0:
            continue
        after = updated(before, old, bytes(frame[first:last]))
        frame[place : place + 2] = (after or 0xFFFF if udp else after).to_bytes(2, "big")


def l4_csum(where: Layout, pseudo: bool) -> int | None:
    """Where the checksum over layer 4 (or, `pseudo`: also over addresses) is."""
    if where.l4 is None:
        return None
    offsets = {TCP: 16, UDP: 6}
    offsets |= {ICMP6: 2} if where.kind == IPV6 else {} if pseudo else {ICMP: 2}
    return where.l4 + offsets[where.proto] if where.proto in offsets else None


def put_address(frame: bytearray, where: Layout, at: int, n: int, value: int, routed: bool = False) -> None:
    place = None if routed else l4_csum(where, pseudo=True)
    assert where.l3 is not None
    if where.kind == IPV4:
        # Two checksums, each with its own rule for zero.
        old = bytes(frame[at : at + n])
        put_summed(frame, at, n, value, where.l3, [where.l3 + 10])
        frame[at : at + n] = old
    if place is not None:
        put_summed(frame, at, n, value, where.l3, [place], where.proto == UDP)
    put(frame, at, n, value)


def put_l4(frame: bytearray, where: Layout, at: int, n: int, value: int) -> None:
    if where.l4 is None:
        raise BadPacket
    if where.proto == SCTP:
        before = crc32c(frame[where.l4 : where.end])
        put(frame, at, n, value)
        change = before ^ crc32c(frame[where.l4 : where.end])
        csum = int.from_bytes(frame[where.l4 + 8 : where.l4 + 12], "little") ^ change
        frame[where.l4 + 8 : where.l4 + 12] = csum.to_bytes(4, "little")
        return
    place = l4_csum(where, pseudo=False)
    if place is None:
        raise BadPacket
    put_summed(frame, at, n, value, where.l4, [place], where.proto == UDP)


def need_l3(where: Layout, *kinds: int) -> int:
    if where.l3 is None or where.kind not in kinds:
        raise BadPacket
    return where.l3


def write_ip(offsets: dict[int, int]):
    def write(frame: bytearray, where: Layout, value: int) -> None:
        l3 = need_l3(where, *offsets)
        if where.kind == IPV4:
            put_address(frame, where, l3 + offsets[IPV4], 4, value)
        else:
            put(frame, l3 + offsets[where.kind], 4, value)

    return write


def write_tos(frame: bytearray, where: Layout, value: int) -> None:
    l3 = need_l3(where, IPV4, IPV6)
    if where.kind == IPV4:
        put_summed(frame, l3 + 1, 1, value, l3, [l3 + 10])
    else:
        put(frame, l3, 2, num(frame, l3, 2) & 0xF00F | value << 4)


def read_damaged(frame: bytearray, where: Layout, name: str) -> int:
    """What an IPv6 header holds, also one with a damaged chain of headers, whose values the key does not take over."""
    if where.l3 is None or where.kind != IPV6 or name not in ("nw_tos", "ipv6_label"):
        return 0
    return num(frame, where.l3, 2) >> 4 & 0xFF if name == "nw_tos" else num(frame, where.l3, 4) & 0xFFFFF


def write_ttl(frame: bytearray, where: Layout, value: int) -> None:
    l3 = need_l3(where, IPV4, IPV6)
    if where.kind == IPV4:
        put_summed(frame, l3 + 8, 1, value, l3, [l3 + 10])
    else:
        put(frame, l3 + 7, 1, value)


def write_ipv6_label(frame: bytearray, where: Layout, value: int) -> None:
    l3 = need_l3(where, IPV6)
    put(frame, l3, 4, num(frame, l3, 4) & 0xFFF00000 | value)


def is_nd(frame: bytearray, where: Layout) -> bool:
    l4 = where.l4
    return (
        l4 is not None
        and where.kind == IPV6
        and where.proto == ICMP6
        and frame[l4] in (135, 136)
        and frame[l4 + 1] == 0
        and l4 + 24 <= where.end
    )


def write_hardware(offset: int, option: int):
    """An ARP hardware address, or the first ND link-layer address option of this type."""

    def write(frame: bytearray, where: Layout, value: int) -> None:
        if where.kind in (ARP, RARP):
            put(frame, need_l3(where, ARP, RARP) + offset, 6, value)
            return
        if not is_nd(frame, where):
            raise BadPacket
        at = (where.l4 or 0) + 24
        while at + 8 <= where.end and frame[at + 1]:
            if frame[at] == option and frame[at + 1] == 1:
                put_l4(frame, where, at + 2, 6, value)
                return
            at += frame[at + 1] * 8

    return write


def write_nd_target(frame: bytearray, where: Layout, value: int) -> None:
    if not is_nd(frame, where):
        raise BadPacket
    put_l4(frame, where, (where.l4 or 0) + 8, 16, value)


def write_port(index: int):
    def write(frame: bytearray, where: Layout, value: int) -> None:
        if where.later:
            return
        if where.l4 is None:
            raise BadPacket
        if where.proto in (ICMP, ICMP6):
            put_l4(frame, where, where.l4 + index, 1, value)
        else:
            put_l4(frame, where, where.l4 + 2 * index, 2, value)

    return write


def write_mpls(frame: bytearray, where: Layout, value: int) -> None:
    if where.l25 is None:
        raise BadPacket
    put(frame, where.l25, 4, value)


WRITERS = {
    "eth_dst": lambda frame, where, value: put(frame, 0, 6, value),
    "eth_src": lambda frame, where, value: put(frame, 6, 6, value),
    "mpls_lse0": write_mpls,
    "ip_src": write_ip({IPV4: 12, ARP: 14, RARP: 14}),
    "ip_dst": write_ip({IPV4: 16, ARP: 24, RARP: 24}),
    "ipv6_src": lambda frame, where, value: put_address(frame, where, need_l3(where, IPV6) + 8, 16, value),
    "ipv6_dst": lambda frame, where, value: put_address(
        frame, where, need_l3(where, IPV6) + 24, 16, value, where.routed
    ),
    "ipv6_label": write_ipv6_label,
    "nw_proto": lambda frame, where, value: put(frame, need_l3(where, ARP, RARP) + 6, 2, value),
    "nw_tos": write_tos,
    "nw_ttl": write_ttl,
    "arp_sha": write_hardware(8, 1),
    "arp_tha": write_hardware(18, 2),
    "nd_target": write_nd_target,
    "tp_src": write_port(0),
    "tp_dst": write_port(1),
}


# -- the whole frame


def push_tag(frame: bytearray, tpid: int, tci: int) -> None:
    frame[12:12] = tpid.to_bytes(2, "big") + (tci & 0xEFFF).to_bytes(2, "big")


def commit_tags(frame: bytearray, old: list, new: list) -> None:
    """Change the outer tags: in place if only the outermost TCI differs, else by pops and pushes (CFI clear)."""
    if old and new and len(old) == len(new) and old[0][0] == new[0][0] and old[1:] == new[1:]:
        if old != new:
            frame[14:16] = (num(frame, 14, 2) & 0x1000 | new[0][1]).to_bytes(2, "big")
        return
    common = 0
    while common < min(len(old), len(new)) and old[-1 - common] == new[-1 - common]:
        common += 1
    for _ in range(len(old) - common):
        del frame[12:16]
    for tpid, tci in reversed(new[: len(new) - common]):
        push_tag(frame, tpid, tci)


def commit(frame: bytes, base: Key, key: Key) -> bytes:
    """Write every value in which `key` differs from `base`; a header that is not there, or not whole, is left alone."""
    out = bytearray(frame)
    for name in EDITED:
        if key[name] != base[name]:
            # Earlier outputs may have pushed more tags than a packet is received with.
            found = parse(out, len(frame))
            assert found is not None
            changed = key[name] ^ base[name] | key.get("written", {}).get(name, 0)
            kept = read_damaged(out, found[1], name) & ~changed
            with suppress(BadPacket):
                WRITERS[name](out, found[1], key[name] | kept)
    commit_tags(out, base["tags"], key["tags"])
    return bytes(out)
