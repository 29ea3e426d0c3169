"""Text form of actions, as ovs-ofctl reads and prints it: `set_field:1->reg0,resubmit(,5),output:2`.

An OfAct list is bytes in the layout of ofact.pxd (structs in the machine's own byte order, each padded to 8 bytes).
Two tables: _PARSERS by the name in the text, _PRINTERS by kind.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping

from ofproto.actions import KINDS
from ofproto.fields import FIELDS, HEADER_NAMES, NUMBER, Field, by_name, subfield_name
from ofproto.value_text import (
    format_value,
    hex_text,
    is_port_name,
    mac_number,
    mac_text,
    number,
    parse_value,
    port_number,
    port_text,
)
from vslib.errors import ConfigError

_F_PUSH_VLAN, _F_LOAD, _F_64, _F_TABLE, _F_NXM = 1, 2, 4, 8, 16
_KIND_NAMES = {number_: name for name, number_ in KINDS.items()}
_HEADER = struct.Struct("=BBHI")
_U16, _U32, _U64 = (1 << 16) - 1, (1 << 32) - 1, (1 << 64) - 1
_IN_PORT, _CONTROLLER = 0xFFFFFFF8, 0xFFFFFFFD
_REASONS = ("no_match", "action", "invalid_ttl", "action_set", "group", "packet_out")
_SHOWN_REASONS = (*_REASONS, "", "")  # a miss by a rule or without one: Open vSwitch has no words for them
_SUBFIELD = re.compile(r"([A-Za-z0-9_]+)\[(?:(\d+)(?:\.\.(\d+))?)?\]")


Names = Mapping[int, str] | None


def _act(kind: str, body: bytes = b"", flags: int = 0) -> bytes:
    length = -(-(_HEADER.size + len(body)) // 8) * 8
    if length > 0xFFF8:
        raise ValueError("too long")
    return (_HEADER.pack(KINDS[kind], flags, length, 0) + body).ljust(length, b"\0")


def iterate(acts: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Yield kind (without OFACT_), flags and body of each entry of an OfAct list."""
    at = 0
    while at < len(acts):
        kind, flags, length, _ = _HEADER.unpack_from(acts, at)
        yield _KIND_NAMES[kind], flags, acts[at + _HEADER.size : at + length]
        at += length


# -- fields and bit ranges -------------------------------------------------------------------------------------------


def _field(name: str) -> Field:
    if name in HEADER_NAMES:
        return HEADER_NAMES[name]
    if name in NUMBER:
        return by_name(name)
    raise ValueError(f"unknown field {name!r}")


def _subfield(text: str) -> tuple[Field, int, int]:
    # FIELD[], FIELD[BIT] or FIELD[LOW..HIGH]: the field, its lowest bit and the number of bits.
    match = _SUBFIELD.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a field with a range of bits, like reg0[0..15]")
    row = _field(match[1])
    if not row.headers:
        raise ValueError(f"{row.name} has no number that an action could name")
    low = int(match[2]) if match[2] else 0
    high = int(match[3]) if match[3] else low if match[2] else row.n_bits - 1
    if high < low or high >= row.n_bits:
        raise ValueError(f"{text}: {row.name} has bits 0 to {row.n_bits - 1}")
    return row, low, high - low + 1


def range_text(row: Field, low: int, n_bits: int) -> str:
    """Return a range of a field's bits as actions write it: `NXM_NX_REG0[0..15]`."""
    if low == 0 and n_bits == row.n_bits:
        return f"{subfield_name(row)}[]"
    return f"{subfield_name(row)}[{low}]" if n_bits == 1 else f"{subfield_name(row)}[{low}..{low + n_bits - 1}]"


def _writable(row: Field) -> None:
    if not row.writable or row.ct_only:
        raise ValueError(f"{row.name} is read-only here")


def _arrow(text: str) -> tuple[str, str]:
    left, arrow, right = text.partition("->")
    if not arrow:
        raise ValueError("needs VALUE->FIELD")
    return left, right


# -- reading ---------------------------------------------------------------------------------------------------------


def _value(kind: str, limit: int, flags: int = 0) -> Callable[[str], bytes]:
    return lambda arg: _act(kind, struct.pack("=II", number(arg, limit), 0), flags)


def _plain(kind: str) -> Callable[[str], bytes]:
    def parse(arg: str) -> bytes:
        if arg:
            raise ValueError("takes no argument")
        return _act(kind)

    return parse


def _mac(kind: str) -> Callable[[str], bytes]:
    return lambda arg: _act(kind, mac_number(arg).to_bytes(6, "big"))


def _ipv4(kind: str) -> Callable[[str], bytes]:
    return lambda arg: _act(kind, struct.pack("=II", parse_value(by_name("ip_src"), arg)[0], 0))


def _output_port(port: int, max_len: int = 0) -> bytes:
    if port >= 0xFF00 and not _IN_PORT <= port <= 0xFFFFFFFE:
        raise ValueError("is not a port to send to")
    return _act("OUTPUT", struct.pack("=II", port, max_len))


def _parse_output(arg: str) -> bytes:
    if "[" in arg:
        row, low, n = _subfield(arg)
        return _act("OUTPUT_REG", struct.pack("=HHHH", NUMBER[row.name], low, n, _U16))
    port = port_number(arg)
    return _output_port(port, _U16 if port == _CONTROLLER else 0)


def _parse_controller(arg: str) -> bytes:
    if "=" not in arg:
        return _output_port(_CONTROLLER, number(arg, _U16) if arg else _U16)
    max_len, controller, reason = _U16, 0, 1
    for item in arg.split(","):
        name, _, text = item.partition("=")
        if name == "max_len":
            max_len = number(text, _U16)
        elif name == "id":
            controller = number(text, _U16)
        elif name == "reason":
            reason = _REASONS.index(text) if text in _REASONS else number(text, 255)
        else:
            raise ValueError(f"unknown or unsupported argument {name!r}")
    if controller == 0 and reason == 1:
        return _output_port(_CONTROLLER, max_len)
    return _act("CONTROLLER", struct.pack("=HHB3x", max_len, controller, reason))


def _parse_enqueue(arg: str) -> bytes:
    parts = re.split(r"[:,]", arg)
    if len(parts) != 2:
        raise ValueError("needs PORT:QUEUE")
    return _act("ENQUEUE", struct.pack("=II", port_number(parts[0]), number(parts[1], _U32)))


def _parse_push_vlan(arg: str) -> bytes:
    tpid = number(arg, _U16)
    if tpid not in (0x8100, 0x88A8):
        raise ValueError(f"{arg} is neither 0x8100 nor 0x88a8")
    return _act("PUSH_VLAN", struct.pack("=II", tpid, 0))


def _set_field_act(row: Field, value: int, mask: int, flags: int = 0) -> bytes:
    _writable(row)
    n = row.n_bytes
    # A whole value is all ones in every byte, as it comes off the wire.
    mask_bytes = b"\xff" * n if mask == row.valid_bits and not flags & _F_LOAD else mask.to_bytes(n, "big")
    body = struct.pack("=HHI", NUMBER[row.name], n, 0) + value.to_bytes(n, "big") + mask_bytes
    return _act("SET_FIELD", body, flags)


def _parse_set_field(arg: str) -> bytes:
    text, name = _arrow(arg)
    row = _field(name.strip())
    if row.name == "in_port_oxm":
        row = by_name("in_port")
    return _set_field_act(row, *parse_value(row, text.strip()))


def _parse_load(arg: str) -> bytes:
    text, name = _arrow(arg)
    row, low, n = _subfield(name)
    value = number(text.strip(), min(1 << n, 1 << 64) - 1)
    return _set_field_act(row, value << low, (1 << n) - 1 << low, _F_LOAD)


def _parse_move(arg: str) -> bytes:
    left, right = _arrow(arg)
    (src, src_low, n), (dst, dst_low, m) = _subfield(left), _subfield(right)
    if n != m:
        raise ValueError(f"source has {n} bits, destination {m}")
    _writable(dst)
    return _act("MOVE", struct.pack("=HHHHH6x", NUMBER[src.name], src_low, NUMBER[dst.name], dst_low, n))


def _stack(kind: str) -> Callable[[str], bytes]:
    def parse(arg: str) -> bytes:
        row, low, n = _subfield(arg)
        if kind == "STACK_POP":
            _writable(row)
        return _act(kind, struct.pack("=HHHH", NUMBER[row.name], low, n, 0))

    return parse


def _parse_dec_ttl(arg: str) -> bytes:
    ids = [number(text.strip(), _U16) for text in arg.split(",")] if arg else []
    return _act("DEC_TTL", struct.pack(f"=H{max(len(ids), 3)}H", len(ids), *ids, *[0] * (3 - len(ids))))


def _tunnel(limit: int, flags: int) -> Callable[[str], bytes]:
    return lambda arg: _act("SET_TUNNEL", struct.pack("=Q", number(arg, limit)), flags)


def _parse_resubmit(arg: str) -> bytes:
    parts = [part.strip() for part in arg.split(",")]
    if len(parts) > 2:
        raise ValueError("resubmit(PORT,TABLE,ct) is not supported")
    port = port_number(parts[0]) if parts[0] else _IN_PORT
    table = number(parts[1], 255) if len(parts) == 2 and parts[1] else 255
    return _act("RESUBMIT", struct.pack("=IB3x", port, table), _F_TABLE)


def _parse_note(arg: str) -> bytes:
    if not re.fullmatch(r"(?:[0-9a-fA-F]{2}\.?)*", arg):
        raise ValueError("needs hexadecimal bytes, like 00.11.22")
    data = bytes.fromhex(arg.replace(".", " "))
    # On the wire a note fills its action, so its length is 6 bytes and a multiple of 8 more.
    data = data.ljust(6 + max(0, -(-(len(data) - 6) // 8) * 8), b"\0")
    return _act("NOTE", struct.pack("=H", len(data)) + data)


def _parse_metadata(arg: str) -> bytes:
    text, slash, mask_text = arg.partition("/")
    mask = number(mask_text, _U64) if slash else _U64
    return _act("WRITE_METADATA", struct.pack("!QQ", number(text, _U64), mask))


def _parse_write(arg: str) -> bytes:
    nested = parse_actions(arg)
    if len(nested) + _HEADER.size > 0xFFF8:
        raise ValueError("too long")
    return _HEADER.pack(KINDS["WRITE_ACTIONS"], 0, _HEADER.size + len(nested), 0) + nested


def _reserved(name: str) -> Callable[[str], bytes]:
    def parse(arg: str) -> bytes:
        if arg:
            raise ValueError("takes no argument")
        return _parse_output(name)

    return parse


_PARSERS: dict[str, Callable[[str], bytes]] = {
    "output": _parse_output,
    "controller": _parse_controller,
    "enqueue": _parse_enqueue,
    "mod_vlan_vid": _value("SET_VLAN_VID", 0xFFF, _F_PUSH_VLAN),
    "set_vlan_vid": _value("SET_VLAN_VID", 0xFFF),
    "mod_vlan_pcp": _value("SET_VLAN_PCP", 7, _F_PUSH_VLAN),
    "set_vlan_pcp": _value("SET_VLAN_PCP", 7),
    "strip_vlan": _plain("STRIP_VLAN"),
    "pop_vlan": _plain("STRIP_VLAN"),
    "push_vlan": _parse_push_vlan,
    "mod_dl_src": _mac("SET_ETH_SRC"),
    "mod_dl_dst": _mac("SET_ETH_DST"),
    "mod_nw_src": _ipv4("SET_IPV4_SRC"),
    "mod_nw_dst": _ipv4("SET_IPV4_DST"),
    "mod_nw_tos": lambda arg: _value("SET_IP_DSCP", 0xFC)(str(parse_value(by_name("nw_tos"), arg)[0])),
    "mod_nw_ecn": _value("SET_IP_ECN", 3),
    "mod_nw_ttl": _value("SET_IP_TTL", 255),
    "mod_tp_src": _value("SET_L4_SRC", _U16),
    "mod_tp_dst": _value("SET_L4_DST", _U16),
    "set_field": _parse_set_field,
    "load": _parse_load,
    "move": _parse_move,
    "push": _stack("STACK_PUSH"),
    "pop": _stack("STACK_POP"),
    "dec_ttl": _parse_dec_ttl,
    "set_tunnel": _tunnel(_U64, 0),
    "set_tunnel64": _tunnel(_U64, _F_64),
    "set_queue": _value("SET_QUEUE", _U32),
    "pop_queue": _plain("POP_QUEUE"),
    "resubmit": _parse_resubmit,
    "note": _parse_note,
    "exit": _plain("EXIT"),
    "clear_actions": _plain("CLEAR_ACTIONS"),
    "write_actions": _parse_write,
    "write_metadata": _parse_metadata,
    "goto_table": _value("GOTO_TABLE", 254),
    **{name.lower(): _reserved(name) for name in ("IN_PORT", "TABLE", "NORMAL", "FLOOD", "ALL", "LOCAL")},
}


def _split(text: str) -> Iterator[tuple[str, str]]:
    # NAME, NAME:ARG or NAME(ARG), with commas between; parentheses nest.
    depth, start = 0, 0
    for at, c in enumerate(text + ","):
        depth += (c == "(") - (c == ")")
        if depth < 0:
            raise ConfigError(f"{text}: unbalanced parentheses")
        if c == "," and depth == 0:
            item = text[start:at].strip()
            start = at + 1
            if item:
                match = re.fullmatch(r"([^:(]*?)\s*(?::(.*)|\((.*)\))?", item, re.DOTALL)
                yield (match[1], match[2] or match[3] or "") if match else (item, "")
    if depth:
        raise ConfigError(f"{text}: unbalanced parentheses")


def _parse_one(name: str, arg: str) -> bytes:
    parser = _PARSERS.get(name.lower())
    if parser is None and not arg and (name.isdigit() or name.startswith("0x") or is_port_name(name)):
        return _parse_output(name)
    if parser is None:
        raise ValueError("unknown or unsupported action")
    return parser(arg)


def parse_actions(text: str) -> bytes:
    """Return the OfAct list of `ACTION,ACTION...`, empty for `drop`; raises ConfigError that names the action."""
    items = list(_split(text))
    if [name for name, _ in items] == ["drop"]:
        return b""
    acts = b""
    for name, arg in items:
        try:
            acts += _parse_one(name, arg)
        except ValueError as error:
            raise ConfigError(f"action {name}{':' if arg else ''}{arg}: {error}") from None
    return acts


# -- printing --------------------------------------------------------------------------------------------------------


def _number_of(body: bytes) -> int:
    return int(struct.unpack_from("=I", body)[0])


def _print_output(flags: int, body: bytes, names: Names) -> str:
    port, max_len = struct.unpack_from("=II", body)
    if port == _CONTROLLER:
        return f"CONTROLLER:{max_len}"
    return port_text(port) if port >= 0xFF00 else f"output:{port_text(port, names)}"


def _print_controller(flags: int, body: bytes) -> str:
    max_len, controller, reason = struct.unpack_from("=HHB", body)
    parts = []
    if reason != 1:
        parts.append(f"reason={_SHOWN_REASONS[reason] if reason < len(_SHOWN_REASONS) else reason}")
    if max_len != _U16:
        parts.append(f"max_len={max_len}")
    if controller:
        parts.append(f"id={controller}")
    if reason == 1 and not controller:
        return f"CONTROLLER:{max_len}"
    return f"controller({','.join(parts)})"


def _print_enqueue(flags: int, body: bytes, names: Names) -> str:
    port, queue = struct.unpack_from("=II", body)
    return f"enqueue:{port_text(port, names)}:{queue}"


def _print_range(name: str) -> Callable[[int, bytes], str]:
    def text(flags: int, body: bytes) -> str:
        field, low, n_bits = struct.unpack_from("=HHH", body)
        return f"{name}:{range_text(FIELDS[field], low, n_bits)}"

    return text


def _print_set_field(flags: int, body: bytes) -> str:
    field, n = struct.unpack_from("=HH", body)
    row = FIELDS[field]
    value, mask = (int.from_bytes(body[8 + i * n : 8 + (i + 1) * n], "big") for i in (0, 1))
    if flags & _F_LOAD and not flags & _F_NXM:
        return ",".join(_loads(row, value, mask))
    shown = row.valid_bits if mask == (1 << 8 * n) - 1 else mask
    return f"set_field:{format_value(row, value, shown)}->{_SET_FIELD_NAMES.get(row.name, row.name)}"


# In set_field, as in flow dumps, OpenFlow 1.1+ port numbers go by the common name.
_SET_FIELD_NAMES = {"in_port_oxm": "in_port"}


def _loads(row: Field, value: int, mask: int) -> Iterator[str]:
    low = 0
    while mask >> low:
        n = 0
        while n < 64 and mask >> (low + n) & 1:
            n += 1
        if n:
            yield f"load:{hex_text(value >> low & (1 << n) - 1)}->{range_text(row, low, n)}"
        low += n or 1


def _print_move(flags: int, body: bytes) -> str:
    src, src_low, dst, dst_low, n = struct.unpack_from("=HHHHH", body)
    return f"move:{range_text(FIELDS[src], src_low, n)}->{range_text(FIELDS[dst], dst_low, n)}"


def _print_dec_ttl(flags: int, body: bytes) -> str:
    (count,) = struct.unpack_from("=H", body)
    ids = struct.unpack_from(f"={count}H", body, 2)
    return f"dec_ttl({','.join(map(str, ids))})" if count else "dec_ttl"


def _print_tunnel(flags: int, body: bytes) -> str:
    (value,) = struct.unpack_from("=Q", body)
    return f"set_tunnel{'64' if flags & _F_64 or value > _U32 else ''}:{hex_text(value)}"


def _print_resubmit(flags: int, body: bytes, names: Names) -> str:
    port, table = struct.unpack_from("=IB", body)
    if table == 255:
        return f"resubmit:{port_text(port, names)}"
    return f"resubmit({'' if port == _IN_PORT else port_text(port, names)},{table})"


def _print_note(flags: int, body: bytes) -> str:
    (count,) = struct.unpack_from("=H", body)
    return "note:" + body[2 : 2 + count].hex(".")


def _print_metadata(flags: int, body: bytes) -> str:
    value, mask = struct.unpack_from("!QQ", body)
    return f"write_metadata:{hex_text(value)}" + ("" if mask == _U64 else f"/{hex_text(mask)}")


def _simple(name: str, form: str = "{}") -> Callable[[int, bytes], str]:
    return lambda flags, body: f"{name}:{form.format(_number_of(body))}"


def _word(name: str) -> Callable[[int, bytes], str]:
    return lambda flags, body: name


def _address(name: str) -> Callable[[int, bytes], str]:
    row = by_name("ip_src")
    return lambda flags, body: f"{name}:{format_value(row, _number_of(body), _U32)}"


def _mac_arg(name: str) -> Callable[[int, bytes], str]:
    return lambda flags, body: f"{name}:{mac_text(int.from_bytes(body[:6], 'big'))}"


def _vlan_arg(name: str) -> Callable[[int, bytes], str]:
    return lambda flags, body: f"{'mod' if flags & _F_PUSH_VLAN else 'set'}_{name}:{_number_of(body)}"


# Actions that print ports.
_PORT_PRINTERS: dict[str, Callable[[int, bytes, Names], str]] = {
    "OUTPUT": _print_output,
    "ENQUEUE": _print_enqueue,
    "RESUBMIT": _print_resubmit,
    "WRITE_ACTIONS": lambda flags, body, names: f"write_actions({format_actions(body, names)})",
}

_PRINTERS: dict[str, Callable[[int, bytes], str]] = {
    "CONTROLLER": _print_controller,
    "OUTPUT_REG": _print_range("output"),
    "SET_VLAN_VID": _vlan_arg("vlan_vid"),
    "SET_VLAN_PCP": _vlan_arg("vlan_pcp"),
    "STRIP_VLAN": _word("strip_vlan"),
    "PUSH_VLAN": _simple("push_vlan", "0x{:04x}"),
    "SET_ETH_SRC": _mac_arg("mod_dl_src"),
    "SET_ETH_DST": _mac_arg("mod_dl_dst"),
    "SET_IPV4_SRC": _address("mod_nw_src"),
    "SET_IPV4_DST": _address("mod_nw_dst"),
    "SET_IP_DSCP": _simple("mod_nw_tos"),
    "SET_IP_ECN": _simple("mod_nw_ecn"),
    "SET_IP_TTL": _simple("mod_nw_ttl"),
    "SET_L4_SRC": _simple("mod_tp_src"),
    "SET_L4_DST": _simple("mod_tp_dst"),
    "SET_FIELD": _print_set_field,
    "MOVE": _print_move,
    "STACK_PUSH": _print_range("push"),
    "STACK_POP": _print_range("pop"),
    "DEC_TTL": _print_dec_ttl,
    "SET_TUNNEL": _print_tunnel,
    "SET_QUEUE": _simple("set_queue"),
    "POP_QUEUE": _word("pop_queue"),
    "NOTE": _print_note,
    "EXIT": _word("exit"),
    "CLEAR_ACTIONS": _word("clear_actions"),
    "WRITE_METADATA": _print_metadata,
    "GOTO_TABLE": _simple("goto_table"),
}


def _print_one(kind: str, flags: int, body: bytes, names: Names) -> str:
    if kind in _PORT_PRINTERS:
        return _PORT_PRINTERS[kind](flags, body, names)
    return _PRINTERS[kind](flags, body)


def format_actions(acts: bytes, names: Names = None) -> str:
    """Return an OfAct list as flow dumps print it, `drop` when it is empty; names: of ports, in place of numbers."""
    return ",".join(_print_one(kind, flags, body, names) for kind, flags, body in iterate(acts)) or "drop"
