"""Megaflows as text, in the form that `ovs-appctl dpctl/dump-flows` of Open vSwitch's userspace datapath prints.

Tools parse this text, so its words and their order are Open vSwitch's; GROUPS is where they are written down. A field
is printed when its mask has a bit, as value/mask unless the mask is full.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from datapath.slots import PIPELINE, Place, places

if TYPE_CHECKING:
    from datapath.datapath import MegaflowRow

OpTuple = tuple[int, int, int, int, int, bytes, bytes]
PortNames = Mapping[int, str]

PLACES = places()
BY_NUMBER = {place.number: place for place in PLACES.values()}
KEY_BYTES = max(p.offset + p.slot.n_bytes for p in PLACES.values() if p.slot.scope != PIPELINE)
TAG_PRESENT = 0x1000
ETH_VLAN, ETH_NONE, ETH_IPV4, ETH_IPV6 = 0x8100, 0x5FF, 0x0800, 0x86DD
NS_PER_S = 1_000_000_000


# -- values ------------------------------------------------------------------------------------------------------------


def _hex(value: int) -> str:
    # C's %#x: zero has no prefix.
    return f"{value:#x}" if value else "0"


def _mac(value: int) -> str:
    return value.to_bytes(6, "big").hex(":")


def _ip4(value: int) -> str:
    return str(IPv4Address(value))


def _ip6(value: int) -> str:
    return str(IPv6Address(value))


def _frag(value: int) -> str:
    return ("no", "first", "<error>", "later")[value & 3]


@dataclass(frozen=True, slots=True)
class Format:
    """How a field's value and its partial mask are written."""

    value: Callable[[int], str]
    mask: Callable[[int], str]


DEC = Format(str, _hex)
HEX = Format(_hex, _hex)
MAC = Format(_mac, _mac)
IP4 = Format(_ip4, _ip4)
IP6 = Format(_ip6, _ip6)
FRAG = Format(_frag, _hex)


@dataclass(frozen=True, slots=True)
class Field:
    """One name inside a group: where it lies, and how it is written.

    label: word in the text; slot: slot name; shift, bits: the part of the slot it shows (bits 0 = all of it).
    """

    label: str
    slot: str
    format: Format
    shift: int = 0
    bits: int = 0

    def cut(self, number: int) -> int:
        """Return this field's part of a slot's value."""
        return number >> self.shift & self.full

    @property
    def full(self) -> int:
        """The mask that covers the whole field."""
        return (1 << (self.bits or PLACES[self.slot].slot.n_bytes * 8)) - 1


def _text(field: Field, value: int, mask: int) -> str:
    text = field.format.value(field.cut(value))
    part = field.cut(mask)
    # Addresses and numbers alike; fragments are never printed with a mask.
    if part != field.full and field.format is not FRAG:
        text += "/" + field.format.mask(part)
    return text


_PORTS = (Field("src", "tp_src", DEC), Field("dst", "tp_dst", DEC))
_ICMP = (Field("type", "tp_src", DEC, bits=8), Field("code", "tp_dst", DEC, bits=8))

# The groups that are name(label=value,...), in their own order.
GROUPS: dict[str, tuple[Field, ...]] = {
    "tunnel": (
        Field("tun_id", "tun_id", HEX), Field("src", "tun_src", IP4), Field("dst", "tun_dst", IP4),
        Field("ipv6_src", "tun_ipv6_src", IP6), Field("ipv6_dst", "tun_ipv6_dst", IP6), Field("tos", "tun_tos", HEX),
        Field("ttl", "tun_ttl", DEC),
    ),
    "ct_tuple4": (
        Field("src", "ct_nw_src", IP4), Field("dst", "ct_nw_dst", IP4), Field("proto", "ct_nw_proto", DEC),
        Field("tp_src", "ct_tp_src", DEC), Field("tp_dst", "ct_tp_dst", DEC),
    ),
    "ct_tuple6": (
        Field("src", "ct_ipv6_src", IP6), Field("dst", "ct_ipv6_dst", IP6), Field("proto", "ct_nw_proto", DEC),
        Field("src_port", "ct_tp_src", DEC), Field("dst_port", "ct_tp_dst", DEC),
    ),
    "eth": (Field("src", "eth_src", MAC), Field("dst", "eth_dst", MAC)),
    "ipv4": (
        Field("src", "ip_src", IP4), Field("dst", "ip_dst", IP4), Field("proto", "nw_proto", DEC),
        Field("tos", "nw_tos", HEX), Field("ttl", "nw_ttl", DEC), Field("frag", "nw_frag", FRAG, bits=2),
    ),
    "ipv6": (
        Field("src", "ipv6_src", IP6), Field("dst", "ipv6_dst", IP6), Field("label", "ipv6_label", HEX, bits=20),
        Field("proto", "nw_proto", DEC), Field("tclass", "nw_tos", HEX), Field("hlimit", "nw_ttl", DEC),
        Field("frag", "nw_frag", FRAG, bits=2),
    ),
    "arp": (
        Field("sip", "ip_src", IP4), Field("tip", "ip_dst", IP4), Field("op", "nw_proto", DEC),
        Field("sha", "arp_sha", MAC), Field("tha", "arp_tha", MAC),
    ),
    "nsh": (
        Field("flags", "nsh_flags", DEC), Field("ttl", "nsh_ttl", DEC), Field("mdtype", "nsh_mdtype", DEC),
        Field("np", "nsh_np", DEC), Field("spi", "nsh_path", HEX, 8, 24), Field("si", "nsh_path", DEC, 0, 8),
        Field("c1", "nsh_c1", HEX), Field("c2", "nsh_c2", HEX), Field("c3", "nsh_c3", HEX), Field("c4", "nsh_c4", HEX),
    ),
    "tcp": _PORTS,
    "udp": _PORTS,
    "sctp": _PORTS,
    "tp": _PORTS,      # what a protocol without ports of its own name carries in the key
    "icmp": _ICMP,
    "icmpv6": _ICMP,
    "igmp": _ICMP,
    "nd": (Field("target", "nd_target", IP6), Field("sll", "arp_sha", MAC), Field("tll", "arp_tha", MAC)),
    "nd_ext": (Field("nd_reserved", "nd_reserved", HEX), Field("nd_options_type", "nd_options_type", DEC)),
}  # fmt: skip

# EtherType -> group of layer 3.
LAYER_3 = {ETH_IPV4: "ipv4", ETH_IPV6: "ipv6", 0x0806: "arp", 0x8035: "arp", 0x894F: "nsh"}
# (EtherType, IP protocol) -> groups of layer 4.
LAYER_4: dict[tuple[int, int], tuple[str, ...]] = {
    (ETH_IPV4, 1): ("icmp",), (ETH_IPV4, 2): ("igmp",), (ETH_IPV6, 58): ("icmpv6", "nd", "nd_ext"),
    (ETH_IPV4, 6): ("tcp",), (ETH_IPV4, 17): ("udp",), (ETH_IPV4, 132): ("sctp",),
    (ETH_IPV6, 6): ("tcp",), (ETH_IPV6, 17): ("udp",), (ETH_IPV6, 132): ("sctp",),
}  # fmt: skip
MPLS_TYPES = (0x8847, 0x8848)
# word, low bit, full mask, prefix of a mask: Open vSwitch is not consistent about the prefix.
MPLS_PARTS = (("label", 12, 0xFFFFF, "0x"), ("tc", 9, 7, ""), ("ttl", 0, 255, "0x"), ("bos", 8, 1, ""))
MPLS_SLOTS = ("mpls_lse0", "mpls_lse1", "mpls_lse2")

# Metadata that is name(value), in Open vSwitch's order; slot name -> word.
METADATA = {
    "skb_priority": "skb_priority", "pkt_mark": "skb_mark", "ct_state": "ct_state", "ct_zone": "ct_zone",
    "ct_mark": "ct_mark", "ct_label": "ct_label", "recirc_id": "recirc_id", "dp_hash": "dp_hash",
}  # fmt: skip
ALWAYS = ("recirc_id",)
TCP_FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]", "[800]")
TCP_LETTERS = ("F", "S", "R", "P", ".", "U", "E", "C", "N", "[200]", "[400]", "[800]")
CT_STATES = ("new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat")


def _set_bits(names: Sequence[str], value: int) -> list[str]:
    return [name for bit, name in enumerate(names) if value >> bit & 1]


def _signed_bits(names: Sequence[str], value: int, mask: int) -> str:
    return "".join(("+" if value >> bit & 1 else "-") + name for bit, name in enumerate(names) if mask >> bit & 1)


# -- keys --------------------------------------------------------------------------------------------------------------


class _View:
    """A key and its mask, read by slot name as numbers."""

    def __init__(self, key: bytes, mask: bytes, verbose: bool = False, names: PortNames | None = None) -> None:
        self.key, self.mask, self.verbose = key, mask, verbose
        self.names = names or {}

    @staticmethod
    def _number(octets: bytes, place: Place) -> int:
        return int.from_bytes(octets[place.offset : place.offset + place.slot.n_bytes], "big")

    def value(self, slot: str) -> int:
        return self._number(self.key, PLACES[slot])

    def bits(self, slot: str) -> int:
        return self._number(self.mask, PLACES[slot])

    def any_bits(self, slots: Iterable[str]) -> bool:
        return any(self.bits(slot) for slot in slots)


def _group(view: _View, name: str) -> list[str]:
    """Return [`name(...)`] with the fields whose mask has a bit, or nothing."""
    shown = [f for f in GROUPS[name] if view.verbose or f.cut(view.bits(f.slot))]
    inside = ",".join(f"{f.label}={_text(f, view.value(f.slot), view.bits(f.slot))}" for f in shown)
    return [f"{name}({inside})"] if inside else []


def _metadata(view: _View) -> list[str]:
    parts = []
    for slot, word in METADATA.items():
        value, mask = view.value(slot), view.bits(slot)
        if not (mask or view.verbose or slot in ALWAYS):
            continue
        if slot == "ct_state" and mask:
            parts.append(f"{word}({_signed_bits(CT_STATES, value, mask)})")
        else:
            field = Field(word, slot, HEX)
            parts.append(f"{word}({_text(field, value, mask or (field.full if slot in ALWAYS else 0))})")
        if slot == "skb_priority" and view.any_bits(field.slot for field in GROUPS["tunnel"]):
            parts += _group(view, "tunnel")
    return parts


def _ct_tuple(view: _View) -> list[str]:
    six = view.any_bits(("ct_ipv6_src", "ct_ipv6_dst"))
    name = "ct_tuple6" if six or view.value("eth_type") == ETH_IPV6 else "ct_tuple4"
    return _group(view, name) if view.any_bits(field.slot for field in GROUPS[name]) else []


def _port(number: int, names: PortNames) -> str:
    return names.get(number, str(number))


def _vlan_inside(tci: int, mask: int, verbose: bool) -> str:
    parts = []
    for word, shift, full in (("vid", 0, 0xFFF), ("pcp", 13, 7)):
        value, bits = tci >> shift & full, mask >> shift & full
        if verbose or value or bits:
            parts.append(f"{word}={value}" + (f"/0x{bits:x}" if bits != full else ""))
    if not tci & TAG_PRESENT:
        parts.append("cfi=0")
    return ",".join(parts)


def _eth_type(view: _View) -> list[str]:
    value, mask = view.value("eth_type"), view.bits("eth_type")
    if not mask and not view.verbose:
        return []
    if value == ETH_NONE:
        return ["eth_type(0/0xffff)"]
    return [f"eth_type(0x{value:04x}" + (f"/0x{mask:04x})" if mask != 0xFFFF else ")")]


def _tagged(view: _View, tags: Sequence[str]) -> list[str]:
    """Return the parts from the EtherType on: each tag wraps what follows it in encap()."""
    if not tags or not view.value(f"{tags[0]}_tci") & TAG_PRESENT:
        return [*_eth_type(view), *_layer_3(view)]
    tag = tags[0]
    tpid = view.value(f"{tag}_tpid") or ETH_VLAN
    tci, mask = view.value(f"{tag}_tci"), view.bits(f"{tag}_tci")
    vlan = [f"vlan({_vlan_inside(tci, mask, view.verbose)})"] if mask or view.verbose else []
    return [f"eth_type(0x{tpid:04x})", *vlan, f"encap({','.join(_tagged(view, tags[1:]))})"]


def _mpls(view: _View) -> list[str]:
    if not (view.verbose or view.any_bits(MPLS_SLOTS)):
        return []
    last = max((i for i, slot in enumerate(MPLS_SLOTS) if view.value(slot) or view.bits(slot)), default=0)
    slots = MPLS_SLOTS[: last + 1]
    exact = all(view.bits(slot) == 0xFFFFFFFF for slot in slots)
    return [f"mpls({','.join(_mpls_entry(view.value(slot), None if exact else view.bits(slot)) for slot in slots)})"]


def _mpls_entry(lse: int, mask: int | None) -> str:
    parts = []
    for word, shift, full, prefix in MPLS_PARTS:
        text = f"{word}={lse >> shift & full}"
        parts.append(text if mask is None else f"{text}/{prefix}{mask >> shift & full:x}")
    return ",".join(parts)


def _layer_3(view: _View) -> list[str]:
    eth_type = view.value("eth_type")
    if eth_type in MPLS_TYPES:
        return _mpls(view)
    if eth_type not in LAYER_3:
        return []
    parts = _group(view, LAYER_3[eth_type])
    if eth_type in (ETH_IPV4, ETH_IPV6):
        parts += _layer_4(view, eth_type)
    return parts


def _layer_4(view: _View, eth_type: int) -> list[str]:
    proto = view.value("nw_proto")
    parts: list[str] = []
    for name in LAYER_4.get((eth_type, proto), ("tp",)):
        if name in ("tp", "nd", "nd_ext") and not view.any_bits(field.slot for field in GROUPS[name]):
            continue
        parts += _group(view, name)
    flags, mask = view.value("tcp_flags"), view.bits("tcp_flags") & 0xFFF
    if proto == 6 and (mask or view.verbose):
        parts.append(f"tcp_flags({_tcp_flags(flags, mask)})")
    return parts


def _tcp_flags(flags: int, mask: int) -> str:
    if mask == 0xFFF:
        return "|".join(_set_bits(TCP_FLAGS, flags)) or "0"
    return _signed_bits(TCP_FLAGS, flags, mask) if mask else "0/0"


def format_key(key: bytes, mask: bytes, verbose: bool = False, names: PortNames | None = None) -> str:
    """Return a key under its mask as text: `recirc_id(0),in_port(1),...`.

    key, mask: bytes of a PacketKey, network byte order; verbose: print fields whose mask is empty too, as with -m;
    names: port names to print instead of datapath port numbers. Raises ValueError for a key or mask that is too
    short.
    """
    if min(len(key), len(mask)) < KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes, not {min(len(key), len(mask))}")
    view = _View(key, mask, verbose, names)
    parts = [*_metadata(view), f"in_port({_port(view.value('in_port'), view.names)})"]
    parts[-1:-1] = _ct_tuple(view)
    packet_type = view.value("packet_type")
    parts.append(f"packet_type(ns={packet_type >> 16},id={_hex(packet_type & 0xFFFF)})")
    parts += _group(view, "eth")
    return ",".join(parts + _tagged(view, ("vlan", "vlan2")))


# -- actions -----------------------------------------------------------------------------------------------------------

# ActKind of act.pxd.
OUTPUT, SET, PUSH_VLAN, POP_VLAN, PUNT, DROP, SET_MARK, SET_PRIORITY, TRUNC = range(1, 10)


class _Sets:
    """Consecutive header writes of one group, which are one set(...) action in the text."""

    def __init__(self, groups: Sequence[str]) -> None:
        self.groups = groups       # that the packet has, most specific first
        self.name = ""
        self.written: dict[str, tuple[int, int]] = {}

    def group_of(self, slot: str) -> str:
        for name in self.groups:
            if any(field.slot == slot for field in GROUPS[name]):
                return name
        return slot

    def add(self, op: OpTuple) -> list[str]:
        """Take one write; returns the text of the action that it ends, if it begins another."""
        place = BY_NUMBER[op[1]]
        slot, n_bytes = place.slot.name, place.slot.n_bytes
        name = self.group_of(slot)
        done = self.end() if name != self.name or slot in self.written else []
        self.name = name
        self.written[slot] = (int.from_bytes(op[5][:n_bytes], "big"), int.from_bytes(op[6][:n_bytes], "big"))
        return done

    def end(self) -> list[str]:
        """Return the text of the pending action, if any."""
        written, self.written = self.written, {}
        return [f"set({self.name_and_values(written)})"] if written else []

    def name_and_values(self, written: dict[str, tuple[int, int]]) -> str:
        if self.name == "vlan_tci":
            tci, mask = written["vlan_tci"]
            return f"vlan({_vlan_inside(tci | TAG_PRESENT, mask, False)})"
        if self.name in MPLS_SLOTS:
            lse, mask = written[self.name]
            return f"mpls({_mpls_entry(lse, None if mask == 0xFFFFFFFF else mask)})"
        if self.name not in GROUPS:
            return f"{self.name}({_text(Field(self.name, self.name, HEX), *written[self.name])})"
        fields = [field for field in GROUPS[self.name] if field.slot in written and field.cut(written[field.slot][1])]
        return f"{self.name}({','.join(f'{field.label}={_text(field, *written[field.slot])}' for field in fields)})"


def _groups_of(key: bytes | None) -> tuple[str, ...]:
    """The groups whose slots a packet with this key can be written in; without a key the likeliest ones."""
    if key is None:
        return ("eth", "ipv4", "ipv6", "tp", "arp", "nd")
    view = _View(key, key)
    eth_type = view.value("eth_type")
    layer_4 = LAYER_4.get((eth_type, view.value("nw_proto")), ("tp",))
    return ("eth", LAYER_3.get(eth_type, "ipv4"), *layer_4)


def _push_vlan(arg: int) -> str:
    tpid, tci = arg >> 16, arg & 0xFFFF
    prefix = "" if tpid == ETH_VLAN else f"tpid=0x{tpid:04x},"
    return f"push_vlan({prefix}vid={tci & 0xFFF},pcp={tci >> 13})"


def _mark(value: int, mask: int) -> str:
    return _text(Field("skb_mark", "pkt_mark", HEX), value, mask)


def punt_text(op: OpTuple, sends: bool = True) -> str:
    """Return a controller action's text; sends: whether a packet is there that could be sent."""
    rule_cookie = int.from_bytes(op[6][:8], sys.byteorder)
    return (
        f"userspace(pid=0,controller(reason={op[2]},dont_send={int(not sends)},continuation=0,recirc_id=0,"
        f"rule_cookie={_hex(rule_cookie)},controller_id={op[3] >> 16},max_len={op[3] & 0xFFFF}))"
    )


def format_actions(
    ops: list[OpTuple],
    key: bytes | None = None,
    names: PortNames | None = None,
    sends: bool = True,
) -> str:
    """Return an action program as text: `set(ipv4(dst=1.2.3.4)),3`; without output `drop`.

    ops: (kind, slot, aux, arg, aux32, value16, mask16) each; key: the megaflow's key, which says what layer 3 and 4
    are; names: port names to print instead of datapath port numbers; sends: as for punt_text().
    """
    formats: dict[int, Callable[[OpTuple], str]] = {
        OUTPUT: lambda op: _port(op[3], names or {}),
        PUSH_VLAN: lambda op: _push_vlan(op[3]),
        POP_VLAN: lambda op: "pop_vlan",
        PUNT: lambda op: punt_text(op, sends),
        SET_MARK: lambda op: f"set(skb_mark({_mark(op[3], op[4])}))",
        SET_PRIORITY: lambda op: f"set(skb_priority({_hex(op[3])}))",
        TRUNC: lambda op: f"trunc({op[3]})",
    }
    sets = _Sets(_groups_of(key))
    parts: list[str] = []
    for op in ops:
        if op[0] == SET:
            parts += sets.add(op)
        elif op[0] != DROP:
            # A drop has no text of its own behind other actions: it says why nothing follows.
            parts += [*sets.end(), formats[op[0]](op)]
    return ",".join(parts + sets.end()) or "drop"


# -- flows -------------------------------------------------------------------------------------------------------------


def ufid(key: bytes, mask: bytes) -> str:
    """Return the identifier of a megaflow in UUID form, the same for the same key and mask."""
    masked = bytes(k & m for k, m in zip(key, mask, strict=True))
    text = hashlib.blake2b(masked + mask, digest_size=16).hexdigest()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def format_flow(
    row: MegaflowRow,
    now_ns: int,
    verbose: bool = False,
    names: PortNames | None = None,
) -> str:
    """Return one megaflow as a line of `dpctl/dump-flows`.

    now_ns: the time that `used` counts back from, on the clock of row.used_ns; verbose: as with -m; names: as for
    format_actions().
    """
    used = f"{max(0, now_ns - row.used_ns) / NS_PER_S:.3f}s" if row.used_ns else "never"
    stats = f"packets:{row.packets}, bytes:{row.bytes}, used:{used}"
    if row.tcp_flags:
        stats += ", flags:" + "".join(_set_bits(TCP_LETTERS, row.tcp_flags))
    key = format_key(row.key, row.mask, verbose, names)
    actions = format_actions(row.actions, row.key, names)
    if verbose:
        return f"ufid:{ufid(row.key, row.mask)}, {key}, {stats}, dp:ovs, actions:{actions}"
    return f"{key}, {stats}, actions:{actions}"
