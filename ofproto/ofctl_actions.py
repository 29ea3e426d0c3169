"""Actions as ovs-ofctl reads them: its looser syntax, port names, and its words for what is wrong (TL.02).

A list is first brought into the form that `act_text.parse_actions` takes, then read by it. One table, by action name.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator

from ofproto import act_text
from ofproto import ofctl_protocol as formats
from ofproto.fields import HEADER_NAMES, NUMBER, Field, by_name
from ofproto.numbers import OFPP_ANY, OFPP_IN_PORT, OFPP_LOCAL, OFPP_MAX
from ofproto.ofctl_values import Ports, c_number, ip_number, mac_number, note, read_value, small_number, wide_number
from ofproto.value_text import format_value
from vslib.errors import ConfigError

UNMAPPED = "tun_metadata"  # the slot of fields that need a mapping, which there cannot be
NO_MAPPING = "this switch has no mapping of tunnel options"
_BLANKS = ", \t\r\n"
_U16 = 0xFFFF
_NO_TABLE = 255


# -- key and value pairs ---------------------------------------------------------------------------------------------


def _value_end(text: str, at: int, stops: str) -> int:
    """Return where a value ends: at one of `stops` outside of parentheses."""
    depth = 0
    for i in range(at, len(text)):
        c = text[i]
        if depth == 0 and c in stops:
            return i
        depth += (c == "(") - (c == ")")
    return len(text)


def pairs(text: str) -> Iterator[tuple[str, str]]:
    """Yield key and value of each KEY, KEY:VALUE, KEY=VALUE or KEY(VALUE) of a list with commas or blanks between."""
    at, end = 0, len(text)
    while True:
        while at < end and text[at] in _BLANKS:
            at += 1
        if at >= end:
            return
        start = at
        while at < end and text[at] not in ":=(" + _BLANKS:
            at += 1
        key, value = text[start:at], ""
        if at < end and text[at] in ":=":
            stop = _value_end(text, at + 1, _BLANKS)
            value = text[at + 1 : stop]
            at = stop
        elif at < end and text[at] == "(":
            stop = _value_end(text, at + 1, ")")
            value = text[at + 1 : stop]
            at = stop + 1
            if text.startswith("->", at):  # the result of what stands in the parentheses
                stop = _value_end(text, at, _BLANKS)
                value, at = f"({value}){text[at:stop]}", stop
        yield key, value


# -- arguments -------------------------------------------------------------------------------------------------------


class Reading:
    """What reading a list of actions finds besides the actions: formats that can say them."""

    def __init__(self, ports: Ports) -> None:
        self.ports = ports
        self.formats = formats.ANY


Normalise = Callable[[Reading, str], str]


def _number(what: str, size: int, limit: int | None = None, mask: int = 0) -> Normalise:
    def read(reading: Reading, arg: str) -> str:
        value = small_number(arg, what, size)
        if (limit is not None and value > limit) or value & mask:
            raise ConfigError(f"{arg}: not a valid {what}")
        return str(value)

    return read


def _wide(size: int) -> Normalise:
    return lambda reading, arg: hex(wide_number(arg) & size)


def _port(what: str) -> Normalise:
    def read(reading: Reading, arg: str) -> str:
        port = reading.ports.find(arg)
        if port is None:
            raise ConfigError(f"{arg}: {what} to unknown port")
        return str(port)

    return read


_INCONSISTENT = "actions are invalid with specified match"
_OUTPUTS = range(0xFFFFFFF8, OFPP_ANY)  # reserved ports that one can output to


def _checked_port(port: int, reserved: Container[int]) -> str:
    if port >= OFPP_MAX and port not in reserved:
        raise ConfigError(f"{_INCONSISTENT} (OFPBAC_BAD_OUT_PORT)")
    return str(port)


def _output(reading: Reading, arg: str) -> str:
    if "[" in arg:
        try:
            return _subfield_text(arg)
        except ConfigError:
            raise ConfigError(f"{arg}: output to unknown port") from None
    return _checked_port(int(_port("output")(reading, arg)), _OUTPUTS)


def _enqueue(reading: Reading, arg: str) -> str:
    port_text, _, queue_text = arg.replace(",", ":", 1).partition(":")
    if not queue_text:
        raise ConfigError('"enqueue" syntax is "enqueue:PORT:QUEUE" or "enqueue(PORT,QUEUE)"')
    port = _checked_port(int(_port("enqueue")(reading, port_text)), (OFPP_IN_PORT, OFPP_LOCAL))
    return f"{port}:{wide_number(queue_text.strip()) & 0xFFFFFFFF}"


def _resubmit(reading: Reading, arg: str) -> str:
    parts = [part.strip() for part in arg.split(",")]
    port_text, table_text, rest = parts[0], parts[1] if len(parts) > 1 else "", parts[2:]
    port = _port("resubmit")(reading, port_text) if port_text else ""
    table = table_number(table_text, f"{table_text}: resubmit to unknown table") if table_text else _NO_TABLE
    if rest and rest[0] != "ct":
        raise ConfigError(f"{rest[0]}: unknown parameter")
    if not port and table == _NO_TABLE:
        raise ConfigError('at least one "in_port" or "table" must be specified on resubmit')
    return ",".join([port, "" if table == _NO_TABLE else str(table), *rest]) if len(parts) > 1 else port


def table_number(text: str, error: str = "") -> int:
    """Return the number of a table (tables have no names here); raises ConfigError."""
    value = c_number(text)
    if value is not None and value <= 255:
        return value
    if value is not None:
        note("ofp_table", "warn", f"table {text} is outside the supported range 0 through 255")
    raise ConfigError(error or f'unknown table "{text}"')


def _goto(reading: Reading, arg: str) -> str:
    return str(table_number(arg))


_CONTROLLER = {"max_len": _U16, "id": _U16}
_REASONS = ("no_match", "action", "invalid_ttl", "action_set", "group", "packet_out")


def _controller(reading: Reading, arg: str) -> str:
    if not arg:
        return ""
    if c_number(arg) is not None:
        return str(small_number(arg, "max_len", _U16))
    words = []
    for key, value in pairs(arg):
        if key in _CONTROLLER:
            what = "max_len" if key == "max_len" else "controller_id"
            words.append(f"{key}={small_number(value, what, _CONTROLLER[key])}")
        elif key == "reason" and value in _REASONS:
            words.append(f"reason={value}")
        elif key == "reason":
            raise ConfigError(f'unknown reason "{value}"')
        else:
            raise ConfigError(f'unknown key "{key}" parsing controller action')
    return ",".join(words)


def _mac(reading: Reading, arg: str) -> str:
    if mac_number(arg) is None:
        raise ConfigError(f"invalid mac address {arg}")
    return arg


def _ipv4(reading: Reading, arg: str) -> str:
    if ip_number(arg) is None:
        note("socket_util", "err", f'"{arg}" is not a valid IP address')
        raise ConfigError(f"{arg}: could not convert to IP address")
    return arg


def _push_vlan(reading: Reading, arg: str) -> str:
    tpid = small_number(arg, "ethertype", _U16)
    if tpid not in (0x8100, 0x88A8):
        raise ConfigError(f"{arg}: not a valid VLAN ethertype")
    reading.formats &= formats.OF11_UP
    return hex(tpid)


def _dec_ttl(reading: Reading, arg: str) -> str:
    return ",".join(str((c_number(word) or 0) & _U16) for word, _ in pairs(arg))


def _note(reading: Reading, arg: str) -> str:
    digits = arg.replace(".", "")
    if len(digits) % 2 or not all(c in "0123456789abcdefABCDEF" for c in digits):
        raise ConfigError("bad hex digit in `note' argument")
    return arg


def _metadata(reading: Reading, arg: str) -> str:
    value, slash, mask = arg.partition("/")
    reading.formats &= formats.NXM_OF11_UP
    return hex(wide_number(value)) + (f"/{hex(wide_number(mask))}" if slash else "")


def _none(reading: Reading, arg: str) -> str:
    return ""


# -- fields ----------------------------------------------------------------------------------------------------------


def _field(text: str) -> Field | None:
    if text in HEADER_NAMES:
        return HEADER_NAMES[text]
    return by_name("in_port" if text == "in_port_oxm" else text) if text in NUMBER else None


def _arrow(arg: str) -> tuple[str, str]:
    left, arrow, right = arg.partition("->")
    if not arrow:
        raise ConfigError(f"{arg}: missing `->'")
    if not right.strip():
        raise ConfigError(f"{arg}: missing field name following `->'")
    return left, right.strip()


def _set_field(reading: Reading, arg: str) -> str:
    text, name = _arrow(arg)
    row = _field(name)
    if row is None or not row.headers or row.name == "in_phy_port":
        raise ConfigError(f"{name} is not a valid OXM field name")
    if row.ct_only:
        raise ConfigError("cannot set CT fields outside of ct action")
    if not row.writable:
        raise ConfigError(f"{name} is read-only")
    if row.slot == UNMAPPED:
        raise ConfigError(f"{name}: {NO_MAPPING}")
    value, mask = read_value(row, text.strip(), reading.ports)
    reading.formats &= formats.formats_for(row, mask)
    shown = f"{value:#x}" if row.fmt == "hex" else str(value) if row.fmt == "vlan_vid" else None
    if shown is None or mask != row.valid_bits:
        shown = format_value(row, value, mask)
    return f"{shown}->{row.name}"


def _bits(text: str, row: Field, inner: str) -> tuple[int, int]:
    """Return first and last bit of what stands in the brackets; raises ConfigError."""
    if not inner:
        return 0, row.n_bits - 1
    start_text, dots, end_text = inner.partition("..")
    start = c_number(start_text)
    end = c_number(end_text) if dots else start
    if start is None or end is None:
        raise ConfigError(f"{text}: syntax error expecting [] or [<bit>] or [<start>..<end>]")
    if start > end:
        raise ConfigError(f"{text}: starting bit {start} is after ending bit {end}")
    for bit, which in ((start, "starting"), (end, "ending")):
        if bit >= row.n_bits:
            raise ConfigError(f"{text}: {which} bit {bit} is not valid because field is only {row.n_bits} bits wide")
    return start, end


def _subfield(text: str) -> tuple[Field, int, int]:
    """Return field, lowest bit and number of bits of FIELD[LOW..HIGH]; raises ConfigError."""
    name, bracket, rest = text.partition("[")
    row = _field(name)
    if row is not None and row.slot == UNMAPPED:
        raise ConfigError(f"{text}: {NO_MAPPING}")
    if row is None:
        raise ConfigError(f"{text}: unknown field `{name}'")
    if bracket and not rest.endswith("]"):
        raise ConfigError(f"{text}: syntax error expecting [] or [<bit>] or [<start>..<end>]")
    first, last = _bits(text, row, rest[:-1])
    return row, first, last - first + 1


def _subfield_text(text: str) -> str:
    row, low, n_bits = _subfield(text)
    return f"{row.name}[{low}..{low + n_bits - 1}]"


def _load(reading: Reading, arg: str) -> str:
    text, _, name = arg.partition("->")
    if "->" not in arg:
        raise ConfigError(f"{arg}: missing `->'")
    value = c_number(text.strip())
    if value is None:
        raise ConfigError(f"{arg}: cannot parse integer value")
    row, low, n_bits = _subfield(name.strip())
    if value >> n_bits:
        raise ConfigError(f"{arg}: value {text} does not fit into {n_bits} bits")
    return f"{value}->{row.name}[{low}..{low + n_bits - 1}]"


def _move(reading: Reading, arg: str) -> str:
    left, arrow, right = arg.partition("->")
    if not arrow:
        raise ConfigError(f"{arg}: missing `->' following source")
    (src, low, bits), (dst, dst_low, dst_bits) = _subfield(left.strip()), _subfield(right.strip())
    if bits != dst_bits:
        raise ConfigError(f"{arg}: source field is {bits} bits wide but destination is {dst_bits} bits wide")
    return f"{src.name}[{low}..{low + bits - 1}]->{dst.name}[{dst_low}..{dst_low + bits - 1}]"


def _stack(written: bool) -> Normalise:
    def read(reading: Reading, arg: str) -> str:
        row, low, n_bits = _subfield(arg)
        if written and not row.writable:
            raise ConfigError(f"{_INCONSISTENT} (OFPBAC_BAD_SET_ARGUMENT)")
        return f"{row.name}[{low}..{low + n_bits - 1}]"

    return read


def _nested(reading: Reading, arg: str) -> str:
    words = list(_normal(reading, arg))
    refuse_instructions(words)
    return ",".join(words)


def refuse_instructions(words: list[str]) -> None:
    """Raise ConfigError when there are instructions among actions."""
    for word in words:
        name = word.partition("(")[0]
        if name in _ORDER:
            raise ConfigError(f"{name} instruction not allowed here")

_ARGUMENTS: dict[str, Normalise] = {
    "output": _output,
    "enqueue": _enqueue,
    "controller": _controller,
    "resubmit": _resubmit,
    "goto_table": _goto,
    "mod_vlan_vid": _number("VLAN VID", _U16, 0xFFF),
    "set_vlan_vid": _number("VLAN VID", _U16, 0xFFF),
    "mod_vlan_pcp": _number("VLAN PCP", 255, 7),
    "set_vlan_pcp": _number("VLAN PCP", 255, 7),
    "strip_vlan": _none,
    "pop_vlan": _none,
    "push_vlan": _push_vlan,
    "mod_dl_src": _mac,
    "mod_dl_dst": _mac,
    "mod_nw_src": _ipv4,
    "mod_nw_dst": _ipv4,
    "mod_nw_tos": _number("TOS", 255, mask=3),
    "mod_nw_ecn": _number("ECN", 255, 3),
    "mod_nw_ttl": _number("TTL", 255),
    "mod_tp_src": _number("source port", _U16),
    "mod_tp_dst": _number("destination port", _U16),
    "set_field": _set_field,
    "load": _load,
    "move": _move,
    "push": _stack(False),
    "pop": _stack(True),
    "dec_ttl": _dec_ttl,
    "set_tunnel": _wide((1 << 64) - 1),
    "set_tunnel64": _wide((1 << 64) - 1),
    "set_queue": _wide(0xFFFFFFFF),
    "pop_queue": _none,
    "note": _note,
    "exit": _none,
    "clear_actions": _none,
    "write_actions": _nested,
    "write_metadata": _metadata,
}
# Actions of Open vSwitch that this switch does not have; their names are known, so that messages can say so.
_ABSENT = frozenset((
    "group", "meter", "bundle", "bundle_load", "multipath", "learn", "conjunction", "ct", "ct_clear", "nat", "clone",
    "sample", "fin_timeout", "set_mpls_label", "set_mpls_tc", "set_mpls_ttl", "dec_mpls_ttl", "push_mpls", "pop_mpls",
    "encap", "decap", "dec_nsh_ttl", "check_pkt_larger", "delete_field", "debug_recirc", "debug_slow", "unroll_xlate",
))  # fmt: skip
# OpenFlow 1.1's instructions in the order in which they must be; anything else is part of apply_actions.
_ORDER = ("meter", "apply_actions", "clear_actions", "write_actions", "write_metadata", "goto_table")


def _normal(reading: Reading, text: str) -> Iterator[str]:
    """Yield each action of a list as act_text takes it; raises ConfigError."""
    for key, value in pairs(text):
        name = key.lower()
        if name in _ARGUMENTS:
            if name == "set_tunnel" and wide_number(value) > 0xFFFFFFFF:
                name = "set_tunnel64"
            arg = _ARGUMENTS[name](reading, value)
            yield f"{name}({arg})" if arg else name
        elif name == "drop":
            yield name
        elif name == "apply_actions":
            raise ConfigError("apply_actions is the default instruction")
        elif name in _ABSENT:
            raise ConfigError(f"action {name} is not supported by this switch")
        elif (port := reading.ports.find(key)) is None:
            raise ConfigError(f"unknown action {key}")
        else:
            yield f"output({_checked_port(port, _OUTPUTS)})"


def _check_order(words: list[str]) -> None:
    last = -1
    for word in words:
        name = word.partition("(")[0]
        if name == "drop":
            continue
        now = _ORDER.index(name) if name in _ORDER else 1
        if now < last:
            raise ConfigError(
                f"invalid instruction ordering: {_ORDER[now]} must appear before {_ORDER[last]}, "
                "for OpenFlow 1.1+ compatibility"
            )
        if now == last and now != 1:
            raise ConfigError(
                f"duplicate {_ORDER[now]} instruction not allowed, for OpenFlow 1.1+ compatibility"
            )
        last = now


def read_actions(text: str, ports: Ports, instructions: bool = True) -> tuple[bytes, int]:
    """Return the OfAct list of a text and the formats that can say it; raises ConfigError in ovs-ofctl's words."""
    reading = Reading(ports)
    words = list(_normal(reading, text))
    if not instructions:
        refuse_instructions(words)
    if "drop" in words and any(word != "drop" for word in words):
        raise ConfigError('"drop" must not be accompanied by any other action or instruction')
    _check_order(words)
    words = [word for word in words if word != "drop"]
    return act_text.parse_actions(",".join(words)) if words else b"", reading.formats
