"""Text of whole flow keys, where ofproto/trace has them: exact ones of packets, and megaflows.

A flow text here is a match in which every field has all its bits: what is left out is zero. Keys are bytes in the
layout of datapath/slots.py with an OpenFlow input port. Errors are ConfigError and say which item is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import ofproto.field as field_access
from datapath.slots import TUNNEL, Place, places
from ofproto.fields import HEADER_NAMES, NUMBER, Field, by_name
from ofproto.flow_text import KEY_BYTES, PROTOCOLS, format_match
from ofproto.numbers import OFPP_ANY
from ofproto.value_text import mac_text, number, parse_value, port_names
from vslib.errors import ConfigError

PLACES: dict[str, Place] = places()
PRESENT = 0x1000
IPV4, IPV6, ARP, RARP, MPLS, NSH = 0x0800, 0x86DD, 0x0806, 0x8035, (0x8847, 0x8848), 0x894F
LATER_FRAGMENT = 2
MPLS_BOTTOM = 0x100
Names = Mapping[int, str]


def slot_of(key: bytes, name: str) -> int:
    """Return a slot's value in a key or mask."""
    place = PLACES[name]
    return int.from_bytes(key[place.offset : place.offset + place.slot.n_bytes], "big")


def put_slot(key: bytes, name: str, value: int) -> bytes:
    """Return the key with a slot's value replaced."""
    place = PLACES[name]
    end = place.offset + place.slot.n_bytes
    return key[: place.offset] + value.to_bytes(place.slot.n_bytes, "big") + key[end:]


# -- printing ----------------------------------------------------------------------------------------------------------

# What is printed of a packet beyond its Ethernet header, by EtherType.
_LAYER_3: dict[int, tuple[str, ...]] = {
    IPV4: ("ip_src", "ip_dst"), IPV6: ("ipv6_src", "ipv6_dst", "ipv6_label"),
    ARP: ("ip_src", "ip_dst", "nw_proto", "arp_sha", "arp_tha"),
    RARP: ("ip_src", "ip_dst", "nw_proto", "arp_sha", "arp_tha"),
    MPLS[0]: ("mpls_lse0",), MPLS[1]: ("mpls_lse0",),
    NSH: ("nsh_flags", "nsh_ttl", "nsh_mdtype", "nsh_np", "nsh_path", "nsh_c1", "nsh_c2", "nsh_c3", "nsh_c4"),
}  # fmt: skip
_IP = ("nw_frag", "nw_tos", "nw_ttl", "nw_proto")
# ... and by IP protocol, if layer 4 is there.
_LAYER_4: dict[int, tuple[str, ...]] = {
    1: ("tp_src", "tp_dst"), 6: ("tp_src", "tp_dst", "tcp_flags"), 17: ("tp_src", "tp_dst"), 132: ("tp_src", "tp_dst"),
    58: ("tp_src", "tp_dst"),
}  # fmt: skip
_ND = ("nd_target", "arp_sha", "arp_tha")
_ND_TYPES = (135, 136)
# Metadata is left out when it is zero.
_METADATA = (
    "skb_priority", "pkt_mark", "recirc_id", "dp_hash", "ct_state", "ct_zone", "ct_mark", "ct_label", "metadata",
)  # fmt: skip
N_REGS = 32


def _shown(key: bytes) -> list[str]:
    """Return the slots of a packet that its text shows."""
    shown = ["in_port", "packet_type", "eth_src", "eth_dst", "eth_type", "vlan_tci"]
    shown += ["vlan2_tci"] if slot_of(key, "vlan_tci") else []
    eth_type = slot_of(key, "eth_type")
    shown += _LAYER_3.get(eth_type, ())
    if eth_type in (IPV4, IPV6):
        shown += _IP
        proto = slot_of(key, "nw_proto")
        if not slot_of(key, "nw_frag") & LATER_FRAGMENT:
            shown += _LAYER_4.get(proto, ())
            shown += _ND if eth_type == IPV6 and proto == 58 and slot_of(key, "tp_src") in _ND_TYPES else ()
    tunnel = [name for name, place in PLACES.items() if place.slot.scope == TUNNEL]
    return [*shown, *(name for name in (*_METADATA, *tunnel) if slot_of(key, name))]


def exact_mask(key: bytes) -> bytes:
    """Return the mask of the fields that a packet with this key has."""
    mask = bytes(KEY_BYTES)
    for name in _shown(key):
        mask = put_slot(mask, name, (1 << 8 * PLACES[name].slot.n_bytes) - 1)
    regs = slot_of(key, "regs")
    for i in range(N_REGS):
        if regs >> 32 * (N_REGS - 1 - i) & 0xFFFFFFFF:
            mask = field_access.mark(mask, f"reg{i}")
    return mask


def _inner_tag(tci: int, mask: int) -> str:
    """Return the second VLAN tag, which OpenFlow cannot match, as text."""
    if not mask:
        return ""
    if tci & mask & PRESENT and mask & 0xFFF in (0, 0xFFF) and mask & 0xE000 in (0, 0xE000):
        parts = [f"dl_vlan1={tci & 0xFFF}"] if mask & 0xFFF else []
        return ",".join(parts + ([f"dl_vlan_pcp1={tci >> 13}"] if mask & 0xE000 else []))
    return f"vlan_tci1=0x{tci:04x}" + ("" if mask == 0xFFFF else f"/0x{mask:04x}")


def _put_inner_tag(text: str, key: bytes, mask: bytes) -> str:
    inner = _inner_tag(slot_of(key, "vlan2_tci"), slot_of(mask, "vlan2_tci"))
    if not inner:
        return text
    outer = re.search(r"(?:dl_vlan_pcp|dl_vlan|vlan_tci)=[^,]*(?!.*(?:dl_vlan_pcp|dl_vlan|vlan_tci)=)", text)
    at = outer.end() if outer else 0
    return f"{text[:at]},{inner}{text[at:]}" if outer else f"{inner},{text}"


def format_exact(key: bytes, names: Names | None = None) -> str:
    """Return a packet's key as text: `tcp,in_port=1,vlan_tci=0x0000,dl_src=...`; names: of ports, for numbers."""
    mask = exact_mask(key)
    ethernet = not slot_of(key, "recirc_id") and not slot_of(key, "packet_type")
    shown = put_slot(mask, "packet_type", 0) if ethernet else mask
    text = _put_inner_tag(_with_type(format_match(key, shown, names)), key, mask)
    return text + "".join(f",{name}={mac}" for name, mac in _other_nd_option(key, text))


def _other_nd_option(key: bytes, text: str) -> list[tuple[str, str]]:
    """Return the link-layer address that a match of this neighbour discovery type could not name."""
    slots = {"nd_sll": "arp_sha", "nd_tll": "arp_tha"}
    missing = [name for name in slots if "nd_target=" in text and f"{name}=" not in text]
    return [(name, mac_text(slot_of(key, slots[name]))) for name in missing]


def _with_type(text: str) -> str:
    return text.replace("packet_type=(0,0x0)", "eth")


def format_megaflow(key: bytes, mask: bytes, names: Names | None = None) -> str:
    """Return the part of a packet's key that a translation read: `recirc_id=0,eth,ip,in_port=1,nw_frag=no`.

    mask: of the packet's key (shorter than a flow key). That a packet has no VLAN tag goes without saying there, as in
    the datapath's flows.
    """
    mask = mask.ljust(KEY_BYTES, b"\0")
    if not slot_of(key, "vlan_tci"):
        mask = put_slot(put_slot(mask, "vlan_tci", 0), "vlan2_tci", 0)
    value = bytes(k & m for k, m in zip(key, mask, strict=True))
    text = format_match(value, mask, names)
    return _put_inner_tag(_with_type(text), value, mask)


# -- reading -----------------------------------------------------------------------------------------------------------

_MEANINGS = {"in_port": "in_port_oxm"}
_TAG_NAMES = ("dl_vlan", "dl_vlan_pcp", "vlan_pcp", "vlan_vid", "vlan_tci")


def _field_named(name: str) -> Field | None:
    if name in HEADER_NAMES:
        return HEADER_NAMES[name]
    name = _MEANINGS.get(name, name)
    try:
        return by_name(name)
    except KeyError:
        return None


def _put_tag(key: bytes, name: str, text: str) -> bytes:
    tci = slot_of(key, "vlan_tci")
    if name == "dl_vlan":
        vid = number(text, 0xFFFF)
        if 0xFFF < vid < 0xFFFF:
            raise ValueError("not a VLAN ID")
        tci = 0 if vid == 0xFFFF else tci & 0xE000 | PRESENT | vid
    elif name in ("dl_vlan_pcp", "vlan_pcp"):
        tci = tci & 0xFFF | PRESENT | number(text, 7) << 13
    else:
        tci = number(text, 0xFFFF) if name == "vlan_tci" else tci & 0xE000 | number(text, 0x1FFF)
    key = put_slot(key, "vlan_tpid", 0x8100 if tci & PRESENT else 0)
    return put_slot(key, "vlan_tci", tci)


# Open vSwitch's words for a value that is not one of the field's kind.
_WRONG = {
    "ethernet": "invalid Ethernet address", "ipv4": "invalid IP address", "ipv6": "invalid IPv6 address",
    "port": "invalid or unknown port for in_port",
}  # fmt: skip


def _value(row: Field, text: str) -> int:
    try:
        value, mask = parse_value(row, text)
    except ValueError as error:
        masked = "/" in text and row.fmt not in _WRONG
        raise ValueError("wildcards not allowed here" if masked else _WRONG.get(row.fmt, str(error))) from None
    if mask != row.valid_bits:
        raise ValueError("wildcards not allowed here")
    return value


def _put_field(key: bytes, name: str, text: str) -> bytes:
    row = _field_named(name)
    if row is None:
        raise ConfigError(f"unknown field {name}")
    if not field_access.prereqs_met(key, row.name)[0] and name not in _TAG_NAMES:
        raise ConfigError(f"prerequisites not met for setting {name}")
    try:
        if name in _TAG_NAMES:
            return _put_tag(key, name, text)
        value = _value(row, text)
    except ValueError as error:
        raise ConfigError(f"bad value for {name} ({text}: {error})") from None
    result: bytes = field_access.put_value(key, row.name, value.to_bytes(row.n_bytes, "big"))
    return result


def _put_protocol(key: bytes, word: str) -> bytes:
    eth_type, proto = PROTOCOLS[word]
    if slot_of(key, "eth_type"):
        raise ConfigError("Ethernet type set multiple times")
    key = put_slot(key, "eth_type", eth_type)
    return key if proto is None else put_slot(key, "nw_proto", proto)


def _items(text: str) -> list[tuple[str, str]]:
    items = []
    for part in re.findall(r"(?:\([^)]*\)|[^,\s(])+", text):
        name, value = re.fullmatch(r"([^=:(]*)[=:]?(.*)", part, re.DOTALL).groups()  # type: ignore[union-attr]
        items.append((name, value))
    return items


def parse_exact(text: str, ports: Mapping[str, int] | None = None) -> bytes:
    """Return the FlowKey of an exact flow such as `in_port=1,tcp,nw_src=10.0.0.1`; what is not named is zero.

    ports: OpenFlow port by name, which `in_port` may use. Without one it is OFPP_ANY. Raises
    ConfigError.
    """
    key, given = bytes(KEY_BYTES), set()
    try:
        with port_names(ports or {}):
            for name, value in _items(text):
                row = _field_named(name)
                if name in PROTOCOLS and name not in NUMBER:
                    key = _put_protocol(key, name)
                    continue
                if row is not None and row.name in given:
                    raise ConfigError(f"field {name} set multiple times")
                key = _put_field(key, name, value)
                given.add(row.name if row else name)
    except ConfigError as error:
        raise ConfigError(f"Bad openflow flow syntax: {text}: {error}") from None
    return key if slot_of(key, "in_port") else put_slot(key, "in_port", OFPP_ANY)
