"""Values of match fields as ovs-ofctl reads them: what it takes silently, and its words for what it does not (TL.02).

`value_text.py` is strict and says what it wants; this reader is for scripts that were written for ovs-ofctl. Only one
of its habits is left out: an IPv4 address with a number above 255 is an error here, not another address.
"""

from __future__ import annotations

import re
from _socket import AF_INET, AF_INET6, inet_pton
from collections.abc import Callable, Mapping

from ofproto.fields import Field
from ofproto.numbers import OFPP10_MAX, OFPP_MAX
from ofproto.value_text import PORT_NAMES
from vslib.errors import ConfigError

_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")
_MAC = re.compile(r"[0-9a-fA-F]{1,2}(?::[0-9a-fA-F]{1,2}){5}")
_U16, _U64 = (1 << 16) - 1, (1 << 64) - 1
_TRANSLATED = 0xFFFF0000  # what OpenFlow 1.0's reserved ports differ by in later versions

CT_STATE = ("new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat")
TCP_FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns")
FRAGMENTS = {"no": (0, 3), "yes": (1, 1), "first": (1, 3), "later": (3, 3), "not_later": (0, 2)}


def c_number(text: str) -> int | None:
    """Return a number as C's strtoull with base 0 reads it (hexadecimal, octal or decimal), None for anything else."""
    if text.isdecimal() and text.isascii() and text[0] != "0":
        return int(text)
    if not _NUMBER.fullmatch(text):
        return None
    if text[:2] in ("0x", "0X"):
        return int(text, 16)
    try:
        return int(text, 8 if text[0] == "0" and len(text) > 1 else 10)
    except ValueError:
        return None


def small_number(text: str, what: str, limit: int) -> int:
    """Return a number of a flow's setting; raises ConfigError."""
    value = c_number(text)
    if value is None or value > limit:
        raise ConfigError(f'invalid {what} "{text}"')
    return value


def wide_number(text: str) -> int:
    """Return a 64-bit number, negative ones as their complement; raises ConfigError."""
    value = c_number(text.removeprefix("-"))
    if value is None or value > _U64:
        raise ConfigError(f"invalid numeric format {text}")
    return -value & _U64 if text.startswith("-") else value


def note(module: str, level: str, text: str) -> None:
    """Log something on the console; level: "info" or "warn"."""
    from vslib import vlog

    vlog.open_console()
    getattr(vlog.get(module), level)("%s", text)


class Ports:
    """The names and numbers of a bridge's ports; `load` is asked once, when a name is met (returns numbers by name)."""

    def __init__(self, load: Callable[[], Mapping[str, int]] | None = None) -> None:
        self._load = load
        self._numbers: Mapping[str, int] | None = None

    def numbers(self) -> Mapping[str, int]:
        """Return the 32-bit port numbers by name."""
        if self._numbers is None:
            self._numbers = self._load() if self._load else {}
        return self._numbers

    def find(self, text: str) -> int | None:
        """Return the 32-bit number of a port's number or name, None for what is neither."""
        value = c_number(text)
        if value is not None:
            return _numbered(value)
        if text.upper() in PORT_NAMES:
            return PORT_NAMES[text.upper()]
        if text.startswith("-") and c_number(text[1:]) is not None:
            return _numbered(-int(text[1:], 0) & 0xFFFFFFFF)
        names = self.numbers()
        if text in names:
            return names[text]
        return names.get(text[1:-1]) if len(text) > 1 and text[0] == text[-1] == '"' else None


def _numbered(value: int) -> int | None:
    if value < OFPP10_MAX or OFPP_MAX <= value <= 0xFFFFFFFF:
        return value
    if value <= _U16:
        port = value + _TRANSLATED
        if value < 0xFFF8:
            note("ofp_port", "warn", f"port {value} is a reserved OF1.0 port number that will be translated to {port}"
                 " when talking to an OF1.1 or later controller")  # fmt: skip
        return port
    note("ofp_port", "warn",
         f"port {value} is outside the supported range 0 through ffff or 0xffffff00 through 0xffffffff")  # fmt: skip
    return None


# -- one reader per kind of field ------------------------------------------------------------------------------------

Pair = tuple[int, int]


def _integer(row: Field, text: str, ports: Ports) -> Pair:
    value_text, slash, mask_text = text.partition("/")
    value = c_number(value_text)
    if value is None:
        raise ConfigError(f"{text}: bad syntax for {row.name} value")
    mask = c_number(mask_text) if slash else (1 << 8 * row.n_bytes) - 1
    if mask is None:
        raise ConfigError(f"{text}: bad syntax for {row.name} mask")
    if max(value, mask) >> 8 * row.n_bytes:
        raise ConfigError(f"{text}: value too large for {row.n_bytes}-byte field {row.name}")
    return value, mask


def mac_number(text: str) -> int | None:
    """Return an Ethernet address as a number, None if it is none."""
    if not _MAC.fullmatch(text):
        return None
    return int("".join(part.zfill(2) for part in text.split(":")), 16)


def _ethernet(row: Field, text: str, ports: Ports) -> Pair:
    value_text, slash, mask_text = text.partition("/")
    value, mask = mac_number(value_text), mac_number(mask_text) if slash else (1 << 48) - 1
    if value is None or mask is None:
        raise ConfigError(f"{text}: invalid Ethernet address")
    return value, mask


def ip_number(text: str, family: int = AF_INET) -> int | None:
    """Return an IP address as a number, None if it is none."""
    try:
        return int.from_bytes(inet_pton(family, text), "big")
    except (OSError, ValueError):
        return None


def _ip(family: int, bits: int, kind: str, invalid: str) -> Callable[[Field, str, Ports], Pair]:
    full = (1 << bits) - 1

    def read(row: Field, text: str, ports: Ports) -> Pair:
        address, slash, mask_text = text.partition("/")
        value = ip_number(address, family)
        if value is None:
            raise ConfigError(f"{text}: {invalid}")
        if not slash:
            return value, full
        mask = ip_number(mask_text, family)
        if mask is None:
            prefix = c_number(mask_text)
            if prefix is None or prefix > bits:
                raise ConfigError(f"{text}: {kind} network prefix bits not between 0 and {bits}, inclusive")
            mask = full ^ (full >> prefix)
        return value & mask, mask

    return read


def _port(row: Field, text: str, ports: Ports) -> Pair:
    port = ports.find(text)
    if port is None:
        if row.name == "actset_output":
            raise ConfigError(f"{text}: port value out of range for {row.name}")
        raise ConfigError(f"{text}: invalid or unknown port for in_port")
    return (port & _U16 if row.n_bits == 16 else port), row.valid_bits


def _frag(row: Field, text: str, ports: Ports) -> Pair:
    if text not in FRAGMENTS:
        raise ConfigError(
            f'{text}: unknown fragment type (valid types are "no", "yes", "first", "later", "not_later"'
        )
    return FRAGMENTS[text]


def _flags(words: tuple[str, ...], kind: str) -> Callable[[Field, str, Ports], Pair]:
    bits = {word: 1 << i for i, word in enumerate(words)}

    def read(row: Field, text: str, ports: Ports) -> Pair:
        if text[:1].isdigit():
            return _integer(row, text, ports)
        if text[:1] not in ("+", "-"):
            return _barred(text), row.valid_bits
        value = mask = 0
        for sign, word in re.findall(r"([+-])([^+-]*)", text):
            bit = _bit(word)
            if mask & bit:
                raise ConfigError(f"{word}: Each {kind} flag can be specified only once")
            mask |= bit
            value |= bit if sign == "+" else 0
        return value, mask

    def _bit(word: str) -> int:
        if word not in bits:
            raise ConfigError(f"{word}: unknown {kind} flag(s)")
        return bits[word]

    def _barred(text: str) -> int:
        value = 0
        for word in text.split("|"):
            value |= _bit(word)
        return value

    return read


def _packet_type(row: Field, text: str, ports: Ports) -> Pair:
    found = re.fullmatch(r"\((\w+),(\w+)\)", text)
    if not found:
        missing = "'('" if not text.startswith("(") else "','" if "," not in text else "')'"
        raise ConfigError(f"{text}: bad syntax for packet type missing {missing}")
    space, number = (small_number(part, "packet type", _U16) for part in found.groups())
    return space << 16 | number, row.valid_bits


_READERS: dict[str, Callable[[Field, str, Ports], Pair]] = {
    "decimal": _integer,
    "hex": _integer,
    "vlan_vid": _integer,
    "dl_vlan": _integer,
    "pcp": _integer,
    "ethernet": _ethernet,
    "ipv4": _ip(AF_INET, 32, "IPv4", "invalid IP address"),
    "ipv6": _ip(AF_INET6, 128, "IPv6", "invalid IPv6 address"),
    "port": _port,
    "frag": _frag,
    "tcp_flags": _flags(TCP_FLAGS, "TCP"),
    "ct_state": _flags(CT_STATE, "ct_state"),
    "tun_flags": _flags(("oam",), "tunnel"),
    "packet_type": _packet_type,
}


def read_value(row: Field, text: str, ports: Ports) -> Pair:
    """Return value and mask of a field's text, cut to the field's bits; raises ConfigError in ovs-ofctl's words."""
    value, mask = _READERS[row.fmt](row, text, ports)
    value &= row.valid_bits
    mask &= row.valid_bits
    if not row.maskable and mask not in (0, row.valid_bits):
        raise ConfigError(f"{text}: invalid mask for field {row.name}")
    return value & mask, mask
