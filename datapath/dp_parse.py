"""Reading the text of a packet's key as the datapath's flows have it: `in_port(1),eth(src=...),eth_type(0x0800),...`.

The words are those of dp_text.py (GROUPS), which writes the form. What is left out is zero. Masks are skipped, so that
the key of a line of `dpctl/dump-flows` can be read as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from datapath.dp_text import (
    CT_STATES,
    ETH_NONE,
    ETH_VLAN,
    FRAG,
    GROUPS,
    IP4,
    IP6,
    KEY_BYTES,
    MAC,
    METADATA,
    MPLS_SLOTS,
    PLACES,
    TAG_PRESENT,
    TCP_FLAGS,
    Field,
)  # fmt: skip

_WORDS = {word: slot for slot, word in METADATA.items()}
_FRAGMENTS = {"no": 0, "first": 1, "later": 3}
_NO_PORT = 0xFFFFFFFF
_ITEM = re.compile(r"[,\s]*([a-z0-9_]+)\(")
_MPLS = (("label", 12), ("tc", 9), ("ttl", 0), ("bos", 8))
_MPLS_BITS = {"label": 20, "tc": 3, "ttl": 8, "bos": 1}


class DatapathFlowError(ValueError):
    """The text is not a datapath flow; `rest` is where it stops being one."""

    def __init__(self, rest: str) -> None:
        super().__init__(f"syntax error at {rest}")
        self.rest = rest


def _mac(text: str) -> int:
    if not re.fullmatch(r"(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}", text):
        raise ValueError(text)
    return int(text.replace(":", ""), 16)


def _number(text: str) -> int:
    text = text.partition("/")[0]
    return int(text, 16) if text[:2].lower() == "0x" else int(text)


_READERS: dict[int, Callable[[str], int]] = {
    id(MAC): _mac, id(IP4): lambda text: int(IPv4Address(text)), id(IP6): lambda text: int(IPv6Address(text)),
    id(FRAG): lambda text: _FRAGMENTS[text],
}  # fmt: skip


class _Reader:
    def __init__(self, names: Mapping[str, int]) -> None:
        self.key = bytearray(KEY_BYTES)
        self.names = names
        self.tags: list[int] = []

    def put(self, slot: str, value: int, shift: int = 0, bits: int = 0) -> None:
        """Store a value in (part of) a slot; raises ValueError if it is too large."""
        place = PLACES[slot]
        end = place.offset + place.slot.n_bytes
        limit = 1 << (bits or place.slot.n_bytes * 8)
        if not 0 <= value < limit:
            raise ValueError(slot)
        before = int.from_bytes(self.key[place.offset : end], "big") & ~(limit - 1 << shift)
        self.key[place.offset : end] = (before | value << shift).to_bytes(place.slot.n_bytes, "big")

    def group(self, name: str, inside: str) -> None:
        fields: dict[str, Field] = {field.label: field for field in GROUPS[name]}
        for part in filter(None, inside.split(",")):
            label, _, text = part.strip().partition("=")
            field = fields[label]
            value = _READERS.get(id(field.format), _number)(text.partition("/")[0])
            self.put(field.slot, value, field.shift, field.bits)

    def in_port(self, inside: str) -> None:
        self.put("in_port", self.names[inside] if inside in self.names else _number(inside))

    def packet_type(self, inside: str) -> None:
        namespace, kind = re.fullmatch(r"ns=(\w+),id=(\w+)", inside).groups()  # type: ignore[union-attr]
        self.put("packet_type", _number(namespace) << 16 | _number(kind))

    def eth_type(self, inside: str) -> None:
        value = _number(inside)
        self.put("eth_type", value or ETH_NONE)

    def vlan(self, inside: str) -> None:
        parts = dict(part.split("=") for part in inside.split(",") if part)
        tag = ("vlan", "vlan2")[len(self.tags)]
        tci = _number(parts.get("vid", "0")) | _number(parts.get("pcp", "0")) << 13
        tci |= TAG_PRESENT if _number(parts.get("cfi", "1")) else 0
        self.put(f"{tag}_tci", tci)
        place = PLACES["eth_type"]
        tpid = int.from_bytes(self.key[place.offset : place.offset + 2], "big")
        self.put(f"{tag}_tpid", tpid if tpid != ETH_NONE else ETH_VLAN)
        self.tags.append(tci)
        self.put("eth_type", ETH_NONE)

    def encap(self, inside: str) -> None:
        self.read(inside)

    def mpls(self, inside: str) -> None:
        shifts, entry = dict(_MPLS), -1
        for part in filter(None, inside.split(",")):
            word, _, text = part.partition("=")
            entry += word == _MPLS[0][0]     # each entry begins with its label
            self.put(MPLS_SLOTS[max(entry, 0)], _number(text), shifts[word], _MPLS_BITS[word])

    def flags(self, slot: str, names: tuple[str, ...], inside: str) -> None:
        if inside[:1].isdigit():
            self.put(slot, _number(inside))
            return
        # `syn|ack`, or a sign before each: `+syn-ack`
        words = re.findall(r"\+([^+-]+)", inside) if inside[:1] in ("+", "-") else inside.split("|")
        self.put(slot, sum(1 << names.index(word) for word in words if word))

    def one(self, name: str, inside: str) -> None:
        special: dict[str, Callable[[str], None]] = {
            "in_port": self.in_port, "packet_type": self.packet_type, "eth_type": self.eth_type, "vlan": self.vlan,
            "encap": self.encap, "mpls": self.mpls, "tcp_flags": lambda t: self.flags("tcp_flags", TCP_FLAGS, t),
            "ct_state": lambda t: self.flags("ct_state", CT_STATES, t) if t else None,
        }  # fmt: skip
        if name in special:
            special[name](inside)
        elif name in GROUPS:
            self.group(name, inside)
        else:
            self.put(_WORDS[name], _number(inside))

    def read(self, text: str) -> None:
        """Read items until the end; raises DatapathFlowError with what is left at the first that is wrong."""
        while text.strip(", \t\n"):
            match = _ITEM.match(text)
            end = _closing(text, match.end()) if match else -1
            rest = text.lstrip(", \t\n")
            if match is None or end < 0:
                raise DatapathFlowError(rest)
            try:
                self.one(match[1], text[match.end() : end])
            except DatapathFlowError:
                raise
            except (KeyError, IndexError, AttributeError, ValueError, AddressValueError):
                raise DatapathFlowError(rest) from None
            text = text[end + 1 :]


def _closing(text: str, at: int) -> int:
    """Return where the parenthesis that opened before `at` is closed, -1 if nowhere."""
    depth = 1
    for position in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        if depth == 0:
            return position
    return -1


def parse_key(text: str, names: Mapping[str, int] | None = None) -> bytes:
    """Return the PacketKey of a datapath flow's text, its in_port a datapath port, all ones when it names none.

    names: datapath port by name. Raises DatapathFlowError.
    """
    reader = _Reader(names or {})
    reader.put("in_port", _NO_PORT)
    reader.put("eth_type", ETH_NONE)
    reader.read(text)
    return bytes(reader.key)
