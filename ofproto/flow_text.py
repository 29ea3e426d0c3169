"""Text form of matches and flows, as ovs-ofctl has it: `priority=5,tcp,nw_dst=10.0.0.0/8,actions=output:2`.

Matches are pairs of keys (value, mask: bytes in the layout of datapath/slots.py), actions OfAct lists. Errors are
ConfigError and name the place. Action texts are in act_text.py.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

import ofproto.field as field_access
import ofproto.flow_mod as flow_mod
from datapath.slots import layout
from ofproto.act_text import format_actions, parse_actions
from ofproto.errors import OpenFlowError
from ofproto.fields import FIELDS, HEADER_NAMES, NUMBER, Field, by_name, prereq_terms
from ofproto.value_text import format_value, number, parse_value, port_number, port_text
from vslib.errors import ConfigError

__all__ = ["ParsedFlow", "format_actions", "format_match", "parse_actions", "parse_flow", "parse_match"]

KEY_BYTES = layout()[1]["flow"] * 8
_PLACES = {p.slot.name: slice(p.offset, p.offset + p.slot.n_bytes) for group in layout()[0] for p in group}
DEFAULT_PRIORITY = 0x8000
Names = Mapping[int, str] | None
Plan = tuple[str | tuple[Field, int], ...]
_ANY = 0xFFFFFFFF
_NO_BUFFER = 0xFFFFFFFF
_PRESENT = 0x1000

# Protocol words: Ethernet type and IP protocol (None = any) that each stands for.
PROTOCOLS: dict[str, tuple[int, int | None]] = {
    "ip": (0x0800, None), "icmp": (0x0800, 1), "tcp": (0x0800, 6), "udp": (0x0800, 17), "sctp": (0x0800, 132),
    "igmp": (0x0800, 2), "ipv6": (0x86DD, None), "ip6": (0x86DD, None), "icmp6": (0x86DD, 58), "tcp6": (0x86DD, 6),
    "udp6": (0x86DD, 17), "sctp6": (0x86DD, 132), "arp": (0x0806, None), "rarp": (0x8035, None),
    "mpls": (0x8847, None), "mplsm": (0x8848, None),
}  # fmt: skip
_WORD = {pair: word for word, pair in reversed(PROTOCOLS.items()) if word not in ("ip6", "igmp")}

# Text names that mean another field under another protocol.
_MEANINGS: dict[str, tuple[str, ...]] = {
    "in_port": ("in_port_oxm",),
    "nw_src": ("ip_src", "arp_spa"), "nw_dst": ("ip_dst", "arp_tpa"), "nw_proto": ("nw_proto", "arp_op"),
    "ip_src": ("ip_src", "arp_spa"), "ip_dst": ("ip_dst", "arp_tpa"), "ip_proto": ("nw_proto", "arp_op"),
    "tp_src": ("tcp_src", "udp_src", "sctp_src"), "tp_dst": ("tcp_dst", "udp_dst", "sctp_dst"),
    "icmp_type": ("icmp_type", "icmpv6_type"), "icmp_code": ("icmp_code", "icmpv6_code"),
}  # fmt: skip

# Order in which dumps print fields; "protocol", "vlan" and "type" stand for what is printed specially.
TEXT_ORDER: tuple[str, ...] = (
    "pkt_mark", "recirc_id", "dp_hash", "conj_id", "skb_priority", "actset_output", "ct_state", "ct_zone", "ct_mark",
    "ct_label", "ct_nw_src", "ct_ipv6_src", "ct_nw_dst", "ct_ipv6_dst", "ct_nw_proto", "ct_tp_src", "ct_tp_dst",
    "packet_type", "protocol", *(f"reg{i}" for i in range(32)), "tun_id", "tun_src", "tun_dst", "tun_ipv6_src",
    "tun_ipv6_dst", "tun_gbp_id", "tun_gbp_flags", "tun_erspan_ver", "tun_erspan_idx", "tun_erspan_dir",
    "tun_erspan_hwid", "tun_gtpu_flags", "tun_gtpu_msgtype", "tun_tos", "tun_ttl", "tun_flags", "metadata",
    "in_port_oxm", "in_phy_port", "vlan", "eth_src", "eth_dst", "type", "ipv6_src", "ipv6_dst", "ipv6_label",
    "ipv6_exthdr", "ip_src", "ip_dst", "arp_spa", "arp_tpa", "proto", "arp_op", "arp_sha", "arp_tha", "nsh_flags",
    "nsh_ttl", "nsh_mdtype", "nsh_np", "nsh_spi", "nsh_si", "nsh_c1", "nsh_c2", "nsh_c3", "nsh_c4", "nw_tos", "nw_ecn",
    "nw_ttl", "mpls_label", "mpls_tc", "mpls_ttl", "mpls_bos", "pbb_isid", "pbb_uca", "ip_frag", "icmp_type",
    "icmp_code", "icmpv6_type", "icmpv6_code", "nd_target", "nd_sll", "nd_tll", "nd_reserved", "nd_options_type",
    "tcp_src", "tcp_dst", "udp_src", "udp_dst", "sctp_src", "sctp_dst", "tcp_flags",
)  # fmt: skip

_FLAGS = {"send_flow_rem": 1, "check_overlap": 2, "reset_counts": 4, "no_packet_counts": 8, "no_byte_counts": 16}


# -- keys ------------------------------------------------------------------------------------------------------------


def _get(key: bytes, name: str) -> int:
    return int.from_bytes(field_access.get_value(key, name), "big")


def _put(key: bytes, row: Field, value: int, mask: int) -> bytes:
    n = row.n_bytes
    result: bytes = field_access.put_value(key, row.name, value.to_bytes(n, "big"), mask.to_bytes(n, "big"))
    return result


class _Match:
    """A match while its text is read."""

    def __init__(self) -> None:
        self.value = bytes(KEY_BYTES)
        self.mask = bytes(KEY_BYTES)

    def put(self, row: Field, value: int, mask: int) -> None:
        """Add value and mask of a field; raises ValueError if some of these bits are matched already."""
        if _get(self.mask, row.name) & mask:
            raise ValueError("given twice")
        self.value = _put(self.value, row, value, mask)
        self.mask = _put(self.mask, row, mask, mask)

    def met(self, row: Field) -> bool:
        """Whether the match so far guarantees the field's prerequisites."""
        return bool(flow_mod.match_prereqs(self.value, self.mask, row.name))


# -- reading a match -------------------------------------------------------------------------------------------------


def _put_dl_vlan(match: _Match, text: str) -> None:
    vid = number(text, 0xFFFF)
    if vid == 0xFFFF:
        match.put(by_name("vlan_tci"), 0, 0xFFFF)
    elif vid > 0xFFF:
        raise ValueError(f"{text} is not a VLAN ID")
    else:
        match.put(by_name("vlan_vid"), vid | _PRESENT, 0x1FFF)


def _put_pcp(match: _Match, text: str) -> None:
    pcp = number(text, 7)
    tci = by_name("vlan_tci")
    if _get(match.mask, "vlan_tci") & 0xE000:
        raise ValueError("given twice")
    match.value = _put(match.value, tci, pcp << 13 | _PRESENT, 0xF000)
    match.mask = _put(match.mask, tci, 0xF000, 0xF000)


_SPECIAL: dict[str, Callable[[_Match, str], None]] = {
    "dl_vlan": _put_dl_vlan,
    "dl_vlan_pcp": _put_pcp,
    "vlan_pcp": _put_pcp,
}


def _candidates(name: str) -> tuple[Field, ...]:
    if name in HEADER_NAMES:
        return (HEADER_NAMES[name],)
    return tuple(by_name(n) for n in _MEANINGS.get(name, (name,)))


def _put_named(match: _Match, name: str, text: str) -> None:
    if name in _SPECIAL:
        _SPECIAL[name](match, text)
        return
    rows = _candidates(name)
    row = next((r for r in rows if match.met(r)), None)
    if row is None:
        raise ValueError(f"needs {rows[0].prereq} in the match")
    match.put(row, *parse_value(row, text))


def _order(name: str) -> int:
    # Wire order: prerequisites first.
    return FIELDS.index(HEADER_NAMES[name]) if name in HEADER_NAMES else NUMBER.get(name, 0)


def _known(name: str) -> bool:
    return name in NUMBER or name in HEADER_NAMES


def _put_protocol(match: _Match, word: str) -> None:
    eth_type, proto = PROTOCOLS[word]
    match.put(by_name("eth_type"), eth_type, 0xFFFF)
    if proto is not None:
        match.put(by_name("nw_proto"), proto, 0xFF)


def _match_of(items: list[tuple[str, str | None]]) -> tuple[bytes, bytes]:
    match = _Match()
    words = [name for name, text in items if text is None and name in PROTOCOLS]
    fields = sorted(((n, t) for n, t in items if n not in words), key=lambda item: _order(item[0]))
    place = ""
    try:
        for place in words:
            _put_protocol(match, place)
        for name, text in fields:
            place = name if text is None else f"{name}={text}"
            if text is None or not _known(name):
                raise ValueError("unknown keyword" if not _known(name) else "needs a value")
            _put_named(match, name, text)
    except ValueError as error:
        raise ConfigError(f"{place}: {error}") from None
    return match.value, match.mask


def _split(text: str) -> list[tuple[str, str | None]]:
    items: list[tuple[str, str | None]] = []
    for part in re.findall(r"(?:\([^)]*\)|[^,\s(])+", text):
        name, equals, value = part.partition("=")
        items.append((name, value if equals else None))
    return items


def parse_match(text: str) -> tuple[bytes, bytes]:
    """Return value and mask keys of a match such as `in_port=1,tcp,nw_src=10.0.0.0/8`; raises ConfigError."""
    return _match_of(_split(text))


# -- printing a match ------------------------------------------------------------------------------------------------


def _is_set(mask: bytes, value: bytes, row: Field) -> bool:
    return bool(_get(mask, row.name) and flow_mod.match_prereqs(value, mask, row.name))


def _vlan_text(value: bytes, mask: bytes) -> list[str]:
    tci, m = _get(value, "vlan_tci"), _get(mask, "vlan_tci")
    vid, pcp = m & 0xFFF, m & 0xE000
    if m & tci & _PRESENT and vid in (0, 0xFFF) and pcp in (0, 0xE000) and (vid or pcp):
        parts = [f"dl_vlan={tci & 0xFFF}"] if vid else []
        return parts + ([f"dl_vlan_pcp={tci >> 13}"] if pcp else [])
    if not m:
        return []
    return [f"vlan_tci=0x{tci:04x}" if m == 0xFFFF else f"vlan_tci=0x{tci:04x}/0x{m:04x}"]


def _protocol(value: bytes, mask: bytes) -> tuple[str, bool]:
    # The protocol word, and whether it says the IP protocol too.
    if not _get(mask, "eth_type"):
        return "", False
    eth_type = _get(value, "eth_type")
    if _get(mask, "nw_proto") and (eth_type, _get(value, "nw_proto")) in _WORD:
        return _WORD[eth_type, _get(value, "nw_proto")], True
    return _WORD.get((eth_type, None), ""), False


_EXACT_WIDTH = {"ipv6_label": "0x{:05x}"}
_HEX_PORTS = ("tp_src", "tp_dst")  # zero with a mask keeps its 0x there


def _field_text(row: Field, v: int, m: int, names: Names = None) -> str:
    if names and row.fmt == "port" and v in names:
        return f"{row.dump_name}={port_text(v, names)}"
    if row.name in _EXACT_WIDTH:
        form = _EXACT_WIDTH[row.name]
        return f"{row.name}={form.format(v)}" + ("" if m == row.valid_bits else f"/{form.format(m)}")
    if row.slot in _HEX_PORTS and m != row.valid_bits:
        return f"{row.dump_name}=0x{v:x}/0x{m:x}"
    if row.name == "ct_zone":
        return f"ct_zone={v}"
    return f"{row.dump_name}={format_value(row, v, m)}"


def _special_text(name: str, value: bytes, mask: bytes) -> list[str]:
    word, says_proto = _protocol(value, mask)
    if name == "protocol":
        return [word] if word else []
    if name == "vlan":
        return _vlan_text(value, mask)
    if name == "type":
        return [] if word or not _get(mask, "eth_type") else [f"dl_type=0x{_get(value, 'eth_type'):04x}"]
    skip = says_proto or not _is_set(mask, value, by_name("nw_proto"))
    return [] if skip else [f"nw_proto={_get(value, 'nw_proto')}"]


@lru_cache(4096)  # long dumps have many flows with few masks
def _words_for(mask: bytes) -> tuple[str, ...]:
    # The words of TEXT_ORDER that a match with this mask may need.
    return tuple(name for name in TEXT_ORDER if name not in NUMBER or _get(mask, name))


@lru_cache(4096)
def _deciding(mask: bytes) -> tuple[slice, ...]:
    # Where in a key the values are on which it depends what the text of a match with this mask consists of.
    slots = {"eth_type", "nw_proto"}
    for name in _words_for(mask):
        if name in NUMBER:
            slots.update(term.slot for term in prereq_terms(by_name(name).prereq))
    return tuple(_PLACES[slot] for slot in sorted(slots))


def _plan_of(value: bytes, mask: bytes) -> Plan:
    # What the text consists of: ready words, "vlan", and fields with their masks whose values are to be put in.
    parts: list[str | tuple[Field, int]] = []
    for name in _words_for(mask):
        if name == "vlan":
            parts += [name] if _get(mask, "vlan_tci") else []
        elif name not in NUMBER:
            parts += _special_text(name, value, mask)
        elif _is_set(mask, value, by_name(name)):
            parts.append((by_name(name), _get(mask, name)))
    return tuple(parts)


# The plan of each mask and decided values that came so far; a dump has few of them.
_plans: dict[tuple[bytes, tuple[bytes, ...]], Plan] = {}
_PLANS_MAX = 4096


def format_match(value: bytes, mask: bytes, names: Names = None) -> str:
    """Return a match as flow dumps print it, without spaces; "" for one that takes every packet.

    names: of ports, to be printed in place of their numbers.
    """
    decided = tuple([value[place] for place in _deciding(mask)])
    plan = _plans.get((mask, decided))
    if plan is None:
        if len(_plans) >= _PLANS_MAX:
            _plans.clear()
        plan = _plans[mask, decided] = _plan_of(value, mask)
    parts: list[str] = []
    for part in plan:
        if isinstance(part, tuple):
            row, m = part
            parts.append(_field_text(row, _get(value, row.name), m, names))
        elif part == "vlan":
            parts += _vlan_text(value, mask)
        else:
            parts.append(part)
    return ",".join(parts)


# -- flows -----------------------------------------------------------------------------------------------------------


class ParsedFlow(NamedTuple):
    """A flow from its text; match keys and the OfAct list as bytes, ports in 32-bit form."""

    value: bytes
    mask: bytes
    actions: bytes
    table_id: int
    priority: int
    cookie: int
    cookie_mask: int
    idle_timeout_s: int
    hard_timeout_s: int
    importance: int
    flags: int
    out_port: int
    out_group: int

    def to_message(self, command: int = 0, version: int = 4, xid: int = 0) -> bytes:
        """Return an OpenFlow 1.3 (or 1.1, 1.2, 1.4 by wire `version`) flow-mod; command: 0 add ... 4 delete_strict."""
        table = 0 if command == 0 and self.table_id == 255 else self.table_id
        match: bytes = flow_mod.encode_match(self.value, self.mask, version)
        match = struct.pack("!HH", 1, 4 + len(match)) + match
        match += bytes(-len(match) % 8)
        body = struct.pack(
            "!QQBBHHHIIIHH", self.cookie, self.cookie_mask, table, command, self.idle_timeout_s,
            self.hard_timeout_s, self.priority, _NO_BUFFER, self.out_port, self.out_group, self.flags, self.importance,
        )  # fmt: skip
        instructions: bytes = flow_mod.encode_instructions(self.actions, version)
        total = 8 + len(body) + len(match) + len(instructions)
        return struct.pack("!BBHI", version, 14, total, xid) + body + match + instructions

    @property
    def message(self) -> bytes:
        """The OpenFlow 1.3 flow-mod that adds it."""
        return self.to_message()


def _parse_cookie(text: str) -> tuple[int, int]:
    value, slash, mask = text.partition("/")
    top = (1 << 64) - 1
    cookie = top if value == "-1" else number(value, top)
    return cookie, (top if mask == "-1" else number(mask, top)) if slash else 0


_LIMITS = {"table": 255, "priority": 0xFFFF, "idle_timeout": 0xFFFF, "hard_timeout": 0xFFFF, "importance": 0xFFFF,
           "out_group": 0xFFFFFFFF}  # fmt: skip


def _flow_settings(items: list[tuple[str, str | None]]) -> tuple[dict[str, int], list[tuple[str, str | None]]]:
    # Settings of the flow, and the items that are left for the match.
    found: dict[str, int] = {"flags": 0}
    rest: list[tuple[str, str | None]] = []
    for name, text in items:
        try:
            if name in _LIMITS and text is not None:
                found[name] = number(text, _LIMITS[name])
            elif name == "cookie" and text is not None:
                found["cookie"], found["cookie_mask"] = _parse_cookie(text)
            elif name == "out_port" and text is not None:
                found[name] = port_number(text)
            elif name in _FLAGS and text is None:
                found["flags"] |= _FLAGS[name]
            else:
                rest.append((name, text))
        except ValueError as error:
            raise ConfigError(f"{name}={text}: {error}") from None
    return found, rest


def parse_flow(text: str) -> ParsedFlow:
    """Return a flow from `MATCH,...,actions=ACTIONS`; what is not named has its default; raises ConfigError."""
    match = re.search(r"(?:^|[\s,])actions?=", text)
    head, actions = (text[: match.start()], text[match.end() :]) if match else (text, None)
    if actions is None:
        raise ConfigError(f"{text}: must specify an action")
    found, rest = _flow_settings(_split(head))
    value, mask = _match_of(rest)
    try:
        # As OpenFlow 1.0 has it: the actions that may not fit the packet stand, and do nothing then.
        acts = flow_mod.check_actions(parse_actions(actions), value, mask, 1, found.get("table", 255))
    except OpenFlowError as error:
        raise ConfigError(f"actions={actions}: {error}") from None
    return ParsedFlow(
        value=value, mask=mask, actions=acts, table_id=found.get("table", 0),
        priority=found.get("priority", DEFAULT_PRIORITY), cookie=found.get("cookie", 0),
        cookie_mask=found.get("cookie_mask", 0), idle_timeout_s=found.get("idle_timeout", 0),
        hard_timeout_s=found.get("hard_timeout", 0), importance=found.get("importance", 0), flags=found["flags"],
        out_port=found.get("out_port", _ANY), out_group=found.get("out_group", _ANY),
    )  # fmt: skip
