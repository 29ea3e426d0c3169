"""Flows as ovs-ofctl reads them: text to FlowMod, with its looser rules and its words for what is wrong (TL.02).

A file of 100,000 flows is read in one go, so what repeats is remembered: each word of a match (a bit pattern to put
into the key), each list of actions, and what a list of actions needs under a *shape*, the match without those values
that neither prerequisites nor formats depend on. That is 7 us a flow instead of 24.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import ofproto.field as field_access
import ofproto.flow_mod as codec
from ofproto import ofctl_protocol as formats
from ofproto.errors import OpenFlowError
from ofproto.fields import HEADER_NAMES, NUMBER, Field, by_name
from ofproto.flow_text import DEFAULT_PRIORITY, KEY_BYTES, PROTOCOLS, TEXT_ORDER, format_match
from ofproto.numbers import COOKIE_NONE, OFP10, OFP13, OFPG_ANY, OFPP_ANY, OFPP_CONTROLLER, TABLE_ALL
from ofproto.ofctl_actions import NO_MAPPING, UNMAPPED, pairs, read_actions, table_number
from ofproto.ofctl_values import Ports, c_number, note, read_value, small_number, wide_number
from ofproto.value_text import format_value
from vslib.errors import ConfigError

ADD, MODIFY, MODIFY_STRICT, DELETE, DELETE_STRICT = range(5)
QUERY = -1  # a request for flows
COMMANDS = {"add": ADD, "modify": MODIFY, "modify_strict": MODIFY_STRICT, "delete": DELETE,
            "delete_strict": DELETE_STRICT}  # fmt: skip
REMEMBERED = 100_000  # entries of a memory; it is emptied when it is full
FORMS_REMEMBERED = 10_000

_WORDS = PROTOCOLS | {"ipv4": (0x0800, None), "ip4": (0x0800, None)}
_NOT_WORDS = ("igmp",)
_ETHERNET = "eth"
ETHERNET_BYTES = 14
# What texts call a field that our table knows by another name, or knows twice.
_TEXT_FIELDS = {"in_port": "in_port_oxm", "nw_src": "ip_src", "nw_dst": "ip_dst", "tp_src": "tcp_src",
                "tp_dst": "tcp_dst", "ip_proto": "nw_proto"}  # fmt: skip
_FLAGS = {"send_flow_rem": (1, formats.ANY), "check_overlap": (2, formats.ANY),
          "reset_counts": (4, formats.OXM_ANY), "no_packet_counts": (8, formats.OF13_UP),
          "no_byte_counts": (16, formats.OF13_UP)}  # fmt: skip
_IGNORED = frozenset(("duration", "n_packets", "n_bytes", "idle_age", "hard_age"))
_IPV6 = 0x86DD
_PRESENT, _NO_VLAN = 0x1000, 0xFFFF
_ALL_COOKIE = (1 << 64) - 1
# Fields whose value (not only whose presence) decides what else is there.
_DECISIVE = frozenset(("eth_type", "nw_proto", "ip_frag", "icmp_type", "icmp_code", "icmpv6_type", "icmpv6_code",
                       "vlan_tci", "vlan_vid", "packet_type", "ct_state", "arp_op"))  # fmt: skip
# By how many bits a field's value is shifted in the key read as one big number; None: it is mixed up. Never 0.
_SHIFT: dict[str, int | None] = {}


class FlowMod(NamedTuple):
    """A flow-mod, or with command QUERY a request for flows; ports in 32-bit form, keys and OfAct list as bytes."""

    command: int
    value: bytes
    mask: bytes
    actions: bytes
    table_id: int = TABLE_ALL
    priority: int = DEFAULT_PRIORITY
    cookie: int = 0
    cookie_mask: int = 0
    new_cookie: int = 0
    idle_timeout_s: int = 0
    hard_timeout_s: int = 0
    importance: int = 0
    flags: int = 0
    out_port: int = OFPP_ANY
    out_group: int = OFPG_ANY
    formats: int = formats.ANY
    line: int = 0  # of a file, from 1; 0: not from a file


class Kind(NamedTuple):
    """What words that differ in their value only do to a match: bits to clear, mask to set, and what can say it."""

    clear: int
    mask: int
    formats: int
    shape: str
    row: Field | None


class Form(NamedTuple):
    """What matches of the same kinds of words have in common; `odd`: parts of them have no effect."""

    mask: bytes
    formats: int
    shape: tuple[str, ...]
    overlapping: bool  # later words change what earlier ones say
    odd: bool


Piece = tuple[Kind, int]  # what a word adds to a match, with its value at its place in the key


def _find_shift(row: Field) -> int | None:
    one, full = (_slow_bits(row, v) for v in (1 << row.valid_bits.bit_length() - 1, row.valid_bits))
    shift = one.bit_length() - row.valid_bits.bit_length()
    return shift if full == row.valid_bits << shift else None


def _slow_bits(row: Field, value: int) -> int:
    data = field_access.put_value(bytes(KEY_BYTES), row.name, value.to_bytes(row.n_bytes, "big"))
    return int.from_bytes(data, "big")


def field_bits(row: Field, value: int) -> int:
    """Return a field's value at its place in the key read as one big number."""
    shift = _SHIFT.get(row.name, 0)
    if shift == 0:
        shift = _SHIFT[row.name] = _find_shift(row)
    return _slow_bits(row, value) if shift is None else value << shift


def _kind(row: Field, mask: int, allowed: int, shape: str) -> Kind:
    return Kind(field_bits(row, row.valid_bits), field_bits(row, mask), allowed, shape, row)


def _piece(row: Field, value: int, mask: int, allowed: int, shape: str) -> Piece:
    return _kind(row, mask, allowed, shape), field_bits(row, value)


def _vlan_piece(name: str, text: str, ports: Ports) -> Piece:
    """Return what dl_vlan, dl_vlan_pcp and vlan_pcp do: they say that there is a tag, too."""
    value, mask = read_value(by_name(name), text, ports)
    tci = by_name("vlan_tci")
    if name == "dl_vlan" and c_number(text) == _NO_VLAN:
        return _piece(tci, 0, 0xFFFF, formats.ANY, text)
    if name == "dl_vlan":
        bits, mask = value | _PRESENT, 0x1FFF
    else:
        bits, mask = value << 13 | _PRESENT, 0xF000
    return Kind(field_bits(tci, mask), field_bits(tci, mask), formats.ANY, name, tci), field_bits(tci, bits)


def _protocol_piece(word: str) -> Piece:
    eth_type, proto = _WORDS[word]
    kind, value = _piece(by_name("eth_type"), eth_type, 0xFFFF, formats.ANY, word)
    if proto is None:
        return kind, value
    second, number = _piece(by_name("nw_proto"), proto, 0xFF, formats.ANY, word)
    return Kind(kind.clear | second.clear, kind.mask | second.mask, formats.ANY, word, None), value | number


class _Settings:
    """What of a flow is not its match, while it is read; `command` decides what may be there."""

    def __init__(self, command: int) -> None:
        self.command = command
        self.found: dict[str, Any] = {}  # members of FlowMod
        self.formats = formats.ANY

    def take(self, key: str, value: str, ports: Ports) -> bool:
        """Take in a setting; returns False for what is none (or not of this command); raises ConfigError."""
        if key in _IGNORED:
            return True
        reader = _SETTINGS.get(key)
        if reader is None or self.command not in reader[0]:
            return False
        reader[1](self, key, value, ports)
        return True

    def table(self, key: str, value: str, ports: Ports) -> None:
        """Take the table in; 255 is none in particular."""
        self.found["table_id"] = table = table_number(value)
        if table != TABLE_ALL:
            self.formats &= formats.WITH_TABLE

    def number16(self, key: str, value: str, ports: Ports) -> None:
        """Take a priority, a timeout or an importance in."""
        self.found[key if not key.endswith("timeout") else f"{key}_s"] = small_number(value, key, 0xFFFF)

    def flag(self, key: str, value: str, ports: Ports) -> None:
        """Take a flag in."""
        bit, allowed = _FLAGS[key]
        self.found["flags"] = self.found.get("flags", 0) | bit
        self.formats &= allowed

    def cookie(self, key: str, value: str, ports: Ports) -> None:
        """Take a cookie in: with a mask to find flows by, without to give them."""
        text, slash, mask = value.partition("/")
        if slash:
            if self.command == ADD:
                raise ConfigError("flow additions cannot use a cookie mask")
            self.found["cookie"], self.found["cookie_mask"] = wide_number(text), wide_number(mask)
            if self.found["cookie_mask"]:
                self.found.setdefault("new_cookie", COOKIE_NONE)  # what is found by its cookie keeps it
                self.formats &= formats.NXM_OF11_UP
        elif self.command in (ADD, MODIFY, MODIFY_STRICT):
            self.found["new_cookie"] = wide_number(text)
        else:
            raise ConfigError(f"cannot set cookie (to match on a cookie, specify a mask, e.g. cookie={value}/-1)")

    def out_port(self, key: str, value: str, ports: Ports) -> None:
        """Take in which port flows must output to."""
        port = ports.find(value)
        if port is None:
            raise ConfigError(f"{value} is not a valid OpenFlow port")
        self.found[key] = port

    def out_group(self, key: str, value: str, ports: Ports) -> None:
        """Take in which group flows must output to."""
        self.formats &= formats.OF11_UP
        group = OFPG_ANY if value.lower() == "any" else c_number(value)
        if group is None:
            raise ConfigError(f"{value} is not a valid OpenFlow group")
        self.found[key] = group


_ALL = (QUERY, ADD, MODIFY, MODIFY_STRICT, DELETE, DELETE_STRICT)
_WRITES = (ADD, MODIFY, MODIFY_STRICT)
_PLAIN = frozenset(("table", "priority", "idle_timeout", "hard_timeout", "importance"))  # one number, nothing else
_READS = (QUERY, DELETE, DELETE_STRICT)
# What may be said beside match and actions: with which commands, and how it is taken in.
_SETTINGS = {
    "table": (_ALL, _Settings.table),
    "cookie": (_ALL, _Settings.cookie),
    "priority": ((*_WRITES, DELETE_STRICT), _Settings.number16),
    "idle_timeout": (_WRITES, _Settings.number16),
    "hard_timeout": (_WRITES, _Settings.number16),
    "importance": (_WRITES, _Settings.number16),
    "out_port": (_READS, _Settings.out_port),
    "out_group": (_READS, _Settings.out_group),
    **dict.fromkeys(_FLAGS, (_WRITES, _Settings.flag)),
}


class FlowReader:
    """Reads flows; `ports` knows the names that they may use."""

    def __init__(self, ports: Ports | None = None) -> None:
        self.ports = ports or Ports()
        self._pieces: dict[str, Piece] = {}
        self._exact: dict[str, tuple[Field, Kind, int]] = {}  # by field name: what its whole values are
        self._kinds: dict[tuple[str, int, str, int], Kind] = {}
        self._numbers: dict[tuple[int, str], _Settings] = {}
        self._forms: dict[tuple[int, ...], Form] = {}
        self._actions: dict[str, tuple[bytes, int]] = {}
        self._checked: dict[tuple[object, ...], tuple[bytes, int]] = {}

    # -- one flow

    def flow(self, text: str, command: int, line: int = 0) -> FlowMod:
        """Return a flow of the given command; raises ConfigError."""
        head, action_text = self._cut(text) if command in _WRITES else (text, "")
        settings = _Settings(command)
        value = 0
        known = self._pieces
        pieces = []
        for word in _words(head):
            piece = known.get(word) or self._read_word(word, settings)
            if piece is not None:
                pieces.append(piece)
                value |= piece[1]
        form = self._form(pieces)
        if form.overlapping:
            value = 0
            for kind, bits in pieces:
                value = value & ~kind.clear | bits
        key = value.to_bytes(KEY_BYTES, "big")
        if form.odd:
            _report((key, form.mask), _without_effect(key, form.mask, _rows(pieces)))
        allowed = form.formats & settings.formats
        actions = b""
        if command in _WRITES:
            table = settings.found.get("table_id", TABLE_ALL)
            actions, needed = self._act(action_text, (key, form.mask), form.shape, table)
            allowed &= needed
        return FlowMod(command, key, form.mask, actions, formats=allowed, line=line, **settings.found)

    def _form(self, pieces: list[Piece]) -> Form:
        """Return what matches of these kinds have in common."""
        ids = tuple([id(piece[0]) for piece in pieces])
        form = self._forms.get(ids)
        if form is None:
            if len(self._forms) >= FORMS_REMEMBERED:
                self._forms.clear()
            form = self._forms[ids] = _make_form(pieces)
        return form

    def _cut(self, text: str) -> tuple[str, str]:
        """Return what stands before the actions, and the actions."""
        at = text.find("action")
        equals = text.find("=", at + 1) if at >= 0 else -1
        if equals < 0:
            raise ConfigError("must specify an action")
        return text[:at], text[equals + 1 :]

    def _read_word(self, word: str, settings: _Settings) -> Piece | None:
        """Return what a word adds to the match, None if it is a setting; raises ConfigError."""
        number = self._numbers.get((settings.command, word))
        if number is not None:
            settings.found.update(number.found)
            settings.formats &= number.formats
            return None
        key, text = _parts(word)
        if key in _WORDS and key not in _NOT_WORDS:
            return self._remember(word, _protocol_piece(key))
        if key == _ETHERNET:
            return None
        if settings.take(key, text, self.ports):
            if key in _PLAIN:
                alone = self._numbers[settings.command, word] = _Settings(settings.command)
                alone.take(key, text, self.ports)
            return None
        if not text:
            raise ConfigError(f"field {key} missing value")
        if key in ("dl_vlan", "dl_vlan_pcp", "vlan_pcp"):
            return self._remember(word, _vlan_piece(key, text, self.ports))
        found = self._exact.get(key)
        return self._remember(word, self._field_piece(key, text, *found) if found else self._first_piece(key, text))

    def _field_piece(self, key: str, text: str, row: Field, kind: Kind, full: int) -> Piece:
        value, mask = read_value(row, text, self.ports)
        if mask == full and row.name not in _DECISIVE:
            return kind, field_bits(row, value)
        allowed = formats.ANY if key == "in_port" else formats.formats_for(row, mask)
        shape = f"{key}={text}" if row.name in _DECISIVE else row.name
        kind, bits = _piece(row, value, mask, allowed, shape)
        return self._kinds.setdefault((row.name, mask, shape, allowed), kind), bits

    def _first_piece(self, key: str, text: str) -> Piece:
        """Return the piece of a field that was not met before; raises ConfigError for what is none."""
        row = field_named(key)
        if row is None:
            raise ConfigError(f"unknown keyword {key}")
        if row.slot == UNMAPPED:
            raise ConfigError(f"{key}: {NO_MAPPING}")
        allowed = formats.ANY if key == "in_port" else formats.formats_for(row, row.valid_bits)
        found = self._exact[key] = row, _kind(row, row.valid_bits, allowed, row.name), row.valid_bits
        return self._field_piece(key, text, *found)

    def _remember(self, word: str, piece: Piece) -> Piece:
        if len(self._pieces) >= REMEMBERED:
            self._pieces.clear()
            self._forms.clear()  # which are by the addresses of kinds that may go now
        self._pieces[word] = piece
        return piece

    # -- actions

    def _act(self, text: str, keys: tuple[bytes, bytes], shape: tuple[str, ...], table: int) -> tuple[bytes, int]:
        """Return the checked OfAct list of a text and the formats that can say it with this match."""
        key = (text, shape, table)
        found = self._checked.get(key)
        if found is None:
            if len(self._checked) >= REMEMBERED:
                self._checked.clear()
            found = self._checked[key] = self._check(text, keys, table)
        return found

    def _check(self, text: str, keys: tuple[bytes, bytes], table: int) -> tuple[bytes, int]:
        actions, allowed = self._actions.get(text) or read_actions(text, self.ports)
        if len(self._actions) >= REMEMBERED:
            self._actions.clear()
        self._actions[text] = actions, allowed
        try:
            checked = codec.check_actions(actions, *keys, OFP10, table)
        except OpenFlowError as error:
            raise ConfigError(f"actions are invalid with specified match ({error.name})") from None
        try:
            codec.check_actions(actions, *keys, OFP13, table)
        except OpenFlowError:
            # Later versions refuse an action on a header that need not be there; 1.0 lets it do nothing.
            allowed &= formats.OF10_UP_NXM
        if not allowed:
            raise ConfigError("actions are invalid with specified match (OFPBAC_MATCH_INCONSISTENT)")
        return checked, allowed


def _make_form(pieces: list[Piece]) -> Form:
    mask = seen = 0
    allowed, overlapping = formats.ANY, False
    value = 0
    for kind, bits in pieces:
        overlapping = overlapping or bool(seen & kind.clear)
        seen |= kind.clear
        value, mask = value & ~kind.clear | bits, mask & ~kind.clear | kind.mask
        allowed &= kind.formats
    keys = value.to_bytes(KEY_BYTES, "big"), mask.to_bytes(KEY_BYTES, "big")
    if _needs_nxm(*keys):
        allowed &= formats.NXM_OXM
    odd = bool(_without_effect(*keys, _rows(pieces)))
    return Form(keys[1], allowed, tuple(kind.shape for kind, _ in pieces), overlapping, odd)


def _rows(pieces: list[Piece]) -> list[Field]:
    return [kind.row for kind, _ in pieces if kind.row is not None]


def _needs_nxm(value: bytes, mask: bytes) -> bool:
    """Tell whether a match is about what is inside of IPv6, which OpenFlow 1.0 and 1.1 cannot say."""
    if int.from_bytes(field_access.get_value(value, "eth_type"), "big") != _IPV6:
        return False
    inside = ("nw_proto", "nw_tos", "nw_ecn", "tcp_src", "tcp_dst")
    return any(any(field_access.get_value(mask, name)) for name in inside)


def field_named(name: str) -> Field | None:
    """Return the field that a text calls so, None if there is none."""
    if name in HEADER_NAMES:
        return HEADER_NAMES[name]
    name = _TEXT_FIELDS.get(name, name)
    return by_name(name) if name in NUMBER else None


def _words(head: str) -> Iterable[str]:
    """Return the words of a match, each KEY or KEY=VALUE."""
    if "(" in head or ":=" in head:
        return [f"{key}={value}" if value else key for key, value in pairs(head)]
    return head.replace(",", " ").split()


def _parts(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not equals and ":" in key:
        key, _, value = word.partition(":")
    return key, value


_GENERIC = {"ip_src": "nw_src", "ip_dst": "nw_dst", "arp_spa": "nw_src", "arp_tpa": "nw_dst", "arp_op": "nw_proto",
            "tcp_src": "tp_src", "udp_src": "tp_src", "sctp_src": "tp_src", "icmp_type": "tp_src",
            "icmpv6_type": "tp_src", "icmpv6_code": "tp_dst",
            "tcp_dst": "tp_dst", "udp_dst": "tp_dst", "sctp_dst": "tp_dst", "icmp_code": "tp_dst",
            "nw_proto": "nw_proto", "nw_tos": "nw_tos", "nw_ecn": "nw_ecn", "nw_ttl": "nw_ttl"}  # fmt: skip


def _without_effect(value: bytes, mask: bytes, rows: list[Field]) -> list[Field]:
    """Return the fields among `rows` that are matched although no field of their place has its prerequisites met."""
    slots: dict[str, bool] = {}
    for row in rows:
        others = [r for r in map(by_name, _GENERIC) if r.slot == row.slot] or [row]
        slots[row.slot] = any(codec.match_prereqs(value, mask, other.name) for other in [row, *others])
    return [row for row in rows if not slots[row.slot]]


def _report(keys: tuple[bytes, bytes], lost: list[Field]) -> None:
    after = format_match(*keys)
    texts = {}
    for row in lost:
        name = _GENERIC.get(row.name, row.dump_name)
        bits = [int.from_bytes(field_access.get_value(key, row.name), "big") for key in keys]
        texts[TEXT_ORDER.index(row.name) if row.name in TEXT_ORDER else 0] = f"{name}={format_value(row, *bits)}"
    before = ",".join(filter(None, [after, *(texts[i] for i in sorted(texts))]))
    note("ofp_match", "info", "normalization changed ofp_match, details:")
    note("ofp_match", "info", f" pre: {before}")
    note("ofp_match", "info", f"post: {after}")


def matched_value(key: tuple[bytes, bytes], row: Field) -> int | None:
    """Return a field's value in a match, None where the match says nothing about it."""
    value, mask = key
    if not any(field_access.get_value(mask, row.name)) or not codec.match_prereqs(value, mask, row.name):
        return None
    return int.from_bytes(field_access.get_value(value, row.name), "big")


# -- packets ---------------------------------------------------------------------------------------------------------


def frame_of(text: str, place: str = "") -> bytes:
    """Return the bytes of a packet in hexadecimal; raises ConfigError that begins with `place`."""
    try:
        frame = bytes.fromhex(text)
    except ValueError:
        raise ConfigError(f"{place}Trailing garbage in packet data") from None
    if len(frame) < ETHERNET_BYTES:
        raise ConfigError(f"{place}Packet data too short for Ethernet")
    return frame


def packet_out(reader: FlowReader, text: str) -> tuple[int, bytes, int, list[bytes]]:
    """Return input port, OfAct list, formats and packet of `in_port=PORT,packet=HEX,actions=...`.

    Raises ConfigError.
    """
    at = text.find("action")
    equals = text.find("=", at + 1) if at >= 0 else -1
    head = text[:at] if equals >= 0 else text
    port, frames = OFPP_CONTROLLER, []
    for key, value in pairs(head):
        if not value:
            raise ConfigError(f"field {key} missing value")
        if key == "in_port":
            found = reader.ports.find(value)
            if found is None:
                raise ConfigError(f"{value} is not a valid OpenFlow port")
            port = found
        elif key == "packet":
            frames = [frame_of(value, "packet: ")]
        elif field_named(key) is None:
            raise ConfigError(f"unknown keyword {key}")
        else:
            # Open vSwitch takes registers and tunnel fields here, and forgets them before OpenFlow 1.5.
            raise ConfigError(f"{key} is not a valid pipeline field for PACKET_OUT")
    if not frames:
        raise ConfigError("must specify packet")
    acts, usable = read_actions(text[equals + 1 :], reader.ports, False) if equals >= 0 else (b"", formats.ANY)
    return port, acts, usable, frames


# -- files -----------------------------------------------------------------------------------------------------------

_COMMAND = re.compile(r"(add|modify_strict|modify|delete_strict|delete)(?:[,\s]+|$)")


def strip_line(line: str) -> str:
    """Return a line of a file without comment and blanks around it."""
    return line.partition("#")[0].strip() if "#" in line else line.strip()


def read_line(reader: FlowReader, text: str, command: int | None, line: int) -> FlowMod:
    """Return the flow of a line; without a `command`, the line may begin with one (default: add)."""
    if command is not None:
        return reader.flow(text, command, line)
    found = _COMMAND.match(text) if text[0] in "amd" else None
    if found is None:
        return reader.flow(text, ADD, line)
    return reader.flow(text[found.end() :], COMMANDS[found[1]], line)


def read_file(reader: FlowReader, name: str, lines: Iterable[str], command: int | None) -> Iterator[FlowMod]:
    """Yield the flows of a file; raises ConfigError that names file and line."""
    for number, line in enumerate(lines, start=1):
        text = strip_line(line)
        if text:
            try:
                yield read_line(reader, text, command, number)
            except ConfigError as error:
                raise ConfigError(f"{name}:{number}: {error}") from None

