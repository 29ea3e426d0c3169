"""Text form of field values: FORMATS maps each `Field.fmt` to how its values and masks are read and written.

Values and masks are Python integers of the view. Reading raises ValueError with a sentence; callers add the place.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from ofproto.fields import Field

PORT_NAMES: dict[str, int] = {
    "IN_PORT": 0xFFFFFFF8, "TABLE": 0xFFFFFFF9, "NORMAL": 0xFFFFFFFA, "FLOOD": 0xFFFFFFFB, "ALL": 0xFFFFFFFC,
    "CONTROLLER": 0xFFFFFFFD, "LOCAL": 0xFFFFFFFE, "ANY": 0xFFFFFFFF, "NONE": 0xFFFFFFFF, "UNSET": 0xFFFFFFF7,
}  # fmt: skip
_NAME_OF_PORT = {number: name for name, number in reversed(PORT_NAMES.items())}
_bridge_ports: ContextVar[Mapping[str, int]] = ContextVar("ports of the bridge by name")

_CT_STATE = ("new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat")
_TCP_FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns")
_TUN_FLAGS = ("oam",)
_FRAGMENTS = {"no": (0, 3), "yes": (1, 1), "first": (1, 3), "later": (3, 3), "not_later": (0, 2)}
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_MAC = re.compile(r"(?:[0-9a-fA-F]{1,2}:){5}[0-9a-fA-F]{1,2}")


def number(text: str, limit: int) -> int:
    """Return a decimal or 0x number of at most `limit`; raises ValueError."""
    try:
        value = int(text, 0) if text.lower().startswith("0x") else int(text, 10)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None
    if not 0 <= value <= limit:
        raise ValueError(f"{text} is not between 0 and {limit}")
    return value


def hex_text(value: int) -> str:
    """Return a number in hexadecimal as C's %#x has it: zero has no prefix."""
    return f"{value:#x}" if value else "0"


@contextmanager
def port_names(names: Mapping[str, int]) -> Iterator[None]:
    """Let texts read meanwhile name ports; `names`: 32-bit OpenFlow port by name."""
    token = _bridge_ports.set(names)
    try:
        yield
    finally:
        _bridge_ports.reset(token)


def is_port_name(text: str) -> bool:
    """Tell whether a text names a port of the bridge (see port_names), as it is or in double quotes."""
    return text.strip('"') in _bridge_ports.get({})


def port_number(text: str) -> int:
    """Return the 32-bit OpenFlow port of a number (reserved 16-bit ones too) or of a name; raises ValueError."""
    if is_port_name(text):
        return _bridge_ports.get()[text.strip('"')]
    if text.upper() in PORT_NAMES:
        return PORT_NAMES[text.upper()]
    if not text[:1].isdigit() and _bridge_ports.get(None) is not None:
        raise ValueError(f"no port is called {text!r}; there are: {', '.join(_bridge_ports.get()) or 'none'}")
    value = number(text, 0xFFFFFFFF)
    if 0xFF00 <= value < 0xFFFF0000:
        value = value + 0xFFFF0000 if value <= 0xFFFF else value
        if value < 0xFFFFFF00:
            raise ValueError(f"{text} is not an OpenFlow port")
    return value


def port_text(port: int, names: Mapping[int, str] | None = None) -> str:
    """Return an OpenFlow port in 32-bit form as ovs-ofctl prints it; names: of ports, to be printed instead."""
    if names and port in names and port not in _NAME_OF_PORT:
        return quoted_name(names[port])
    return _NAME_OF_PORT.get(port, str(port))


def quoted_name(name: str) -> str:
    """Return a port's name as flow texts have it: in quotes when it could be read as something else."""
    return name if _PLAIN_NAME.fullmatch(name) else json.dumps(name)


def _full(field: Field) -> int:
    return field.valid_bits


def _masked(field: Field, text: str, one: Callable[[str], int]) -> tuple[int, int]:
    value, slash, mask = text.partition("/")
    return one(value), one(mask) if slash else _full(field)


def _parse_number(field: Field, text: str) -> tuple[int, int]:
    return _masked(field, text, lambda t: number(t, _full(field)))


def _format_decimal(field: Field, value: int, mask: int) -> str:
    return str(value) if mask == _full(field) else f"{hex_text(value)}/{hex_text(mask)}"


def _format_hex(field: Field, value: int, mask: int) -> str:
    return hex_text(value) if mask == _full(field) else f"{hex_text(value)}/{hex_text(mask)}"


def mac_number(text: str) -> int:
    """Return an Ethernet address as a number; raises ValueError."""
    if not _MAC.fullmatch(text):
        raise ValueError(f"{text!r} is not an Ethernet address")
    return int("".join(part.zfill(2) for part in text.split(":")), 16)


def mac_text(value: int) -> str:
    """Return an Ethernet address as text."""
    return value.to_bytes(6, "big").hex(":")


def _parse_mac(field: Field, text: str) -> tuple[int, int]:
    return _masked(field, text, mac_number)


def _format_mac(field: Field, value: int, mask: int) -> str:
    return mac_text(value) if mask == _full(field) else f"{mac_text(value)}/{mac_text(mask)}"


_Address = type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]


def _ip_parser(kind: _Address) -> Callable[[Field, str], tuple[int, int]]:
    def parse(field: Field, text: str) -> tuple[int, int]:
        address, slash, mask_text = text.partition("/")
        try:
            value, mask = int(kind(address)), _full(field)
            if mask_text.isdecimal():
                bits = number(mask_text, field.n_bits)
                mask = mask >> (field.n_bits - bits) << (field.n_bits - bits)
            elif slash:
                mask = int(kind(mask_text))
        except ipaddress.AddressValueError as error:
            raise ValueError(str(error)) from None
        return value & mask, mask

    return parse


def _ipv4_text(value: int) -> str:
    return f"{value >> 24}.{value >> 16 & 255}.{value >> 8 & 255}.{value & 255}"


def _ipv6_text(value: int) -> str:
    return str(ipaddress.IPv6Address(value))


def _ip_formatter(shown: Callable[[int], str]) -> Callable[[Field, int, int], str]:
    def text(field: Field, value: int, mask: int) -> str:
        inverse = mask ^ _full(field)
        if not inverse:
            return shown(value)
        if inverse & (inverse + 1) == 0:
            return f"{shown(value)}/{field.n_bits - inverse.bit_length()}"
        return f"{shown(value)}/{shown(mask)}"

    return text


def _parse_port(field: Field, text: str) -> tuple[int, int]:
    port = port_number(text)
    return (port & 0xFFFF if field.n_bits == 16 else port), _full(field)


def _format_port(field: Field, value: int, mask: int) -> str:
    return port_text(value + 0xFFFF0000 if field.n_bits == 16 and value >= 0xFF00 else value)


def _parse_frag(field: Field, text: str) -> tuple[int, int]:
    if text in _FRAGMENTS:
        return _FRAGMENTS[text]
    return _parse_number(field, text)


def _format_frag(field: Field, value: int, mask: int) -> str:
    for name, pair in _FRAGMENTS.items():
        if pair == (value, mask):
            return name
    return f"{hex_text(value)}/{hex_text(mask)}"


def _flag_parser(names: tuple[str, ...]) -> Callable[[Field, str], tuple[int, int]]:
    bits = {name: 1 << i for i, name in enumerate(names)}

    def parse(field: Field, text: str) -> tuple[int, int]:
        if text[:1] not in ("+", "-"):
            if text[:1].isdigit():
                return _parse_number(field, text)
            words = text.split("|")
            unknown = [word for word in words if word not in bits]
            if unknown:
                raise ValueError(f"unknown flag {unknown[0]!r}; known: {', '.join(names)}")
            return sum(bits[word] for word in set(words)), _full(field)
        value = mask = 0
        for sign, word in re.findall(r"([+-])([^+-]*)", text):
            if word not in bits:
                raise ValueError(f"unknown flag {word!r}; known: {', '.join(names)}")
            if mask & bits[word]:
                raise ValueError(f"flag {word} is given twice")
            mask |= bits[word]
            value |= bits[word] if sign == "+" else 0
        return value, mask

    return parse


def _flag_formatter(names: tuple[str, ...], exact_bar: bool = False) -> Callable[[Field, int, int], str]:
    def text(field: Field, value: int, mask: int) -> str:
        if exact_bar and mask == _full(field):
            words = [name for i, name in enumerate(names) if value >> i & 1]
            rest = value >> len(names)
            if rest:
                words.append(f"[{rest}]")
            return "|".join(words) or "0"
        if mask >> len(names):
            return f"{hex_text(value)}/{hex_text(mask)}"
        return "".join(f"{'+' if value >> i & 1 else '-'}{name}" for i, name in enumerate(names) if mask >> i & 1)

    return text


def _parse_packet_type(field: Field, text: str) -> tuple[int, int]:
    match = re.fullmatch(r"\((\w+),(\w+)\)", text)
    if not match:
        raise ValueError(f"{text!r} is not a packet type like (1,0x800)")
    return number(match[1], 0xFFFF) << 16 | number(match[2], 0xFFFF), _full(field)


def _format_packet_type(field: Field, value: int, mask: int) -> str:
    return f"({value >> 16},{value & 0xFFFF:#x})"


@dataclass(frozen=True, slots=True)
class Format:
    """How values of one kind are read, as (value, mask), and written from them."""

    parse: Callable[[Field, str], tuple[int, int]]
    text: Callable[[Field, int, int], str]


_NUMBER = Format(_parse_number, _format_decimal)

FORMATS: Mapping[str, Format] = {
    "decimal": _NUMBER,
    "hex": Format(_parse_number, _format_hex),
    "ethernet": Format(_parse_mac, _format_mac),
    "ipv4": Format(_ip_parser(ipaddress.IPv4Address), _ip_formatter(_ipv4_text)),
    "ipv6": Format(_ip_parser(ipaddress.IPv6Address), _ip_formatter(_ipv6_text)),
    "port": Format(_parse_port, _format_port),
    "frag": Format(_parse_frag, _format_frag),
    "tcp_flags": Format(_flag_parser(_TCP_FLAGS), _flag_formatter(_TCP_FLAGS, exact_bar=True)),
    "ct_state": Format(_flag_parser(_CT_STATE), _flag_formatter(_CT_STATE, exact_bar=True)),
    "tun_flags": Format(_flag_parser(_TUN_FLAGS), _flag_formatter(_TUN_FLAGS)),
    "packet_type": Format(_parse_packet_type, _format_packet_type),
    "vlan_vid": _NUMBER,
    "dl_vlan": _NUMBER,
    "pcp": _NUMBER,
}


def parse_value(field: Field, text: str) -> tuple[int, int]:
    """Return value and mask of a field's text; raises ValueError for bad text, numbers too large and bad masks."""
    value, mask = FORMATS[field.fmt].parse(field, text)
    if value & ~field.valid_bits:
        raise ValueError(f"{text} does not fit in {field.name}")
    if mask != field.valid_bits and mask and not field.maskable:
        raise ValueError(f"{field.name} does not take a mask")
    if value & ~mask:
        raise ValueError(f"value {text} has bits outside its mask")
    return value, mask


def format_value(field: Field, value: int, mask: int) -> str:
    """Return the text of a value and mask of a field."""
    return FORMATS[field.fmt].text(field, value, mask)
