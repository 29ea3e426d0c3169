"""A frame in one line, as ofctl's monitor shows packets: the match that only this packet fits, and its checksum.

Pure functions; the fast parser is part of the datapath, which a command line does not load.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from ofproto.fields import by_name
from ofproto.flow_text import KEY_BYTES, format_match
from ofproto.ofctl_flow import field_bits

Fields = dict[str, int]

_TAGS = (0x8100, 0x88A8)
_NO_TYPE = 0x05FF  # what stands for the type of an 802.3 frame without one
_SNAP = b"\xaa\xaa\x03\0\0\0"
_PRESENT = 0x1000
_FIRST_LENGTH = 0x600
_EXTENSIONS = (0, 43, 44, 60)  # IPv6 headers before the payload; 44 = fragment
_ND = (135, 136)


def _vlan(frame: bytes, fields: Fields) -> tuple[int, int, list[int]]:
    """Return Ethernet type, where it is followed by the payload, and the tags."""
    at = 12
    tags: list[int] = []
    (kind,) = struct.unpack_from("!H", frame, at)
    while kind in _TAGS and len(frame) >= at + 6 and len(tags) < 2:
        tags.append(struct.unpack_from("!H", frame, at + 2)[0] | _PRESENT)
        at += 4
        (kind,) = struct.unpack_from("!H", frame, at)
    fields["vlan_tci"] = tags[0] if tags else 0
    if kind < _FIRST_LENGTH:
        snap = frame[at + 2 : at + 10]
        if snap[:6] != _SNAP or len(snap) < 8:
            return _NO_TYPE, at + 2, tags
        return int.from_bytes(snap[6:], "big"), at + 10, tags
    return kind, at + 2, tags


def _arp(data: bytes, fields: Fields) -> str:
    if len(data) < 28:
        return ""
    hardware, protocol, lengths, operation = struct.unpack_from("!HHHH", data)
    if (hardware, protocol, lengths) != (1, 0x0800, 0x0604):
        return ""
    fields["arp_op"] = operation if operation < 256 else 0
    fields["arp_sha"], fields["arp_spa"] = _number(data[8:14]), _number(data[14:18])
    fields["arp_tha"], fields["arp_tpa"] = _number(data[18:24]), _number(data[24:28])
    return ""


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _tos(tos: int, ttl: int, fragment: int, fields: Fields) -> None:
    fields["nw_tos"], fields["nw_ecn"], fields["nw_ttl"], fields["ip_frag"] = tos & 0xFC, tos & 3, ttl, fragment


def _ipv4(data: bytes, fields: Fields) -> str:
    length = (data[0] & 15) * 4 if data else 0
    total = struct.unpack_from("!H", data, 2)[0] if len(data) >= 20 else 0
    if length < 20 or len(data) < length or data[0] >> 4 != 4 or not length <= total <= len(data):
        fields.update(dict.fromkeys(("ip_src", "ip_dst", "nw_proto"), 0))
        _tos(0, 0, 0, fields)
        return ""
    offset = struct.unpack_from("!H", data, 6)[0]
    fragment = (3 if offset & 0x1FFF else 1) if offset & 0x3FFF else 0
    fields["ip_src"], fields["ip_dst"], fields["nw_proto"] = _number(data[12:16]), _number(data[16:20]), data[9]
    _tos(data[1], data[8], fragment, fields)
    return _transport(data[9], data[length:total], fields, 4) if fragment != 3 else ""


def _ipv6(data: bytes, fields: Fields) -> str:
    if len(data) < 40 or data[0] >> 4 != 6:
        return ""
    word, length, proto, hops = struct.unpack_from("!IHBB", data)
    fields["ipv6_src"], fields["ipv6_dst"] = _number(data[8:24]), _number(data[24:40])
    fields["ipv6_label"] = word & 0xFFFFF
    at, end, fragment = 40, min(len(data), 40 + length), 0
    while proto in _EXTENSIONS and at + 8 <= end:
        if proto == 44:
            fragment = 3 if struct.unpack_from("!H", data, at + 2)[0] >> 3 else 1
        proto, at = data[at], at + (8 if proto == 44 else (data[at + 1] + 1) * 8)
    fields["nw_proto"] = proto
    _tos(word >> 20 & 0xFF, hops, fragment, fields)
    return _transport(proto, data[at:end], fields, 6) if fragment != 3 else ""


def _ports(name: str, size: int, at: int, form: str) -> Callable[[bytes, Fields], str]:
    def read(data: bytes, fields: Fields) -> str:
        if len(data) < size:
            fields[f"{name}_src"] = fields[f"{name}_dst"] = 0
            return ""
        fields[f"{name}_src"], fields[f"{name}_dst"] = struct.unpack_from("!HH", data)
        if name == "tcp":
            fields["tcp_flags"] = struct.unpack_from("!H", data, 12)[0] & 0xFFF
        return f" {name}_csum:{struct.unpack_from(form, data, at)[0]:x}"

    return read


def _icmp(data: bytes, fields: Fields) -> str:
    fields["icmp_type"], fields["icmp_code"] = (data[0], data[1]) if len(data) >= 8 else (0, 0)
    return f" icmp_csum:{_number(data[2:4]):x}" if len(data) >= 8 else ""


def _icmp6(data: bytes, fields: Fields) -> str:
    if len(data) < 8:
        return ""
    fields["icmpv6_type"], fields["icmpv6_code"] = data[0], data[1]
    if data[0] in _ND and data[1] == 0 and len(data) >= 24:
        fields["nd_target"] = _number(data[8:24])
        wanted, name = (1, "nd_sll") if data[0] == 135 else (2, "nd_tll")
        at = 24
        while at + 8 <= len(data) and data[at + 1]:
            if data[at] == wanted:
                fields[name] = _number(data[at + 2 : at + 8])
            at += 8 * data[at + 1]
        fields.setdefault(name, 0)
    return f" icmp6_csum:{_number(data[2:4]):x}"


_TRANSPORTS: dict[tuple[int, int], Callable[[bytes, Fields], str]] = {
    (6, 4): _ports("tcp", 20, 16, "!H"), (6, 6): _ports("tcp", 20, 16, "!H"),
    (17, 4): _ports("udp", 8, 6, "!H"), (17, 6): _ports("udp", 8, 6, "!H"),
    (132, 4): _ports("sctp", 12, 8, "!I"), (132, 6): _ports("sctp", 12, 8, "!I"),
    (1, 4): _icmp, (58, 6): _icmp6,
}  # fmt: skip


def _transport(proto: int, data: bytes, fields: Fields, family: int) -> str:
    reader = _TRANSPORTS.get((proto, family))
    return reader(data, fields) if reader else ""


def _mpls(data: bytes, fields: Fields) -> str:
    if len(data) >= 4:
        word = _number(data[:4])
        fields["mpls_label"], fields["mpls_tc"] = word >> 12, word >> 9 & 7
        fields["mpls_ttl"], fields["mpls_bos"] = word & 0xFF, word >> 8 & 1
    return ""


_TYPES: dict[int, Callable[[bytes, Fields], str]] = {
    0x0800: _ipv4, 0x86DD: _ipv6, 0x0806: _arp, 0x8035: _arp, 0x8847: _mpls, 0x8848: _mpls,
}  # fmt: skip


def packet_text(frame: bytes) -> str:
    """Return a frame as the match that fits it, with its transport checksum; no newline."""
    if len(frame) < 14:
        return f"packet of {len(frame)} bytes is too short for Ethernet"
    fields: Fields = {"eth_dst": _number(frame[:6]), "eth_src": _number(frame[6:12])}
    kind, at, tags = _vlan(frame, fields)
    fields["eth_type"] = kind
    reader = _TYPES.get(kind)
    end = reader(frame[at:], fields) if reader else ""
    text = format_match(*_key(fields))
    if tags:
        inner = tags[1] if len(tags) > 1 else 0
        second = f"dl_vlan1={inner & 0xFFF},dl_vlan_pcp1={inner >> 13}" if inner else "vlan_tci1=0x0000"
        text = _after(text, "dl_vlan_pcp=", second)
    return text + end


def _after(text: str, name: str, word: str) -> str:
    """Return a match with a word put behind the one that begins with `name`."""
    words = text.split(",")
    at = next((i for i, one in enumerate(words) if one.startswith(name)), len(words) - 1)
    return ",".join([*words[: at + 1], word, *words[at + 1 :]])


def _key(fields: Fields) -> tuple[bytes, bytes]:
    value = mask = 0
    for name, number in fields.items():
        row: Any = by_name(name)
        value |= field_bits(row, number)
        mask |= field_bits(row, row.valid_bits)
    return value.to_bytes(KEY_BYTES, "big"), mask.to_bytes(KEY_BYTES, "big")
