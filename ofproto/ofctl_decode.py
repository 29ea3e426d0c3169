"""Replies of a switch as plain values: dictionaries with OpenFlow's field names, for ofctl's text and JSON (TL.02).

Pure functions of whole messages in OpenFlow 1.0, 1.3 or 1.4. What this switch cannot have, another one can: actions
that we do not know are kept as bytes. Raises PeerError for malformed messages.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import ofproto.flow_mod as codec
from ofproto import messages, ports, wire
from ofproto.errors import OpenFlowError
from ofproto.numbers import OFP10, OFP13, OFP14, OFPP10_MAX, TABLE_ALL
from vslib.errors import PeerError

Row = dict[str, Any]

_ENTRY_10 = struct.Struct("!HBx40sIIHHH6xQQQ")
_ENTRY_NX = struct.Struct("!HBxIIHHHHHHQQQ")
_ENTRY_13 = struct.Struct("!HBxIIHHHHH2xQQQ")
_PORT = {OFP10: struct.Struct("!H6s16sIIIIII"), OFP13: struct.Struct("!I4x6s2x16sIIIIIIII")}
_COUNTERS = ("rx_packets", "tx_packets", "rx_bytes", "tx_bytes", "rx_dropped", "tx_dropped", "rx_errors", "tx_errors",
             "rx_frame_err", "rx_over_err", "rx_crc_err", "collisions")  # fmt: skip
_STATS = {OFP10: struct.Struct("!H6x12Q"), OFP13: struct.Struct("!I4x12QII")}
# Since OpenFlow 1.4 what not every port has follows as properties, by type and length; those of Ethernet are number 0.
_PORT_14, _STATS_14 = struct.Struct("!IH2x6s2x16sII"), struct.Struct("!H2xIII8Q")
_ETHERNET, _ETHERNET_PORT, _ETHERNET_STATS = 0, struct.Struct("!IIIIII"), struct.Struct("!4Q")
_PROPERTY_HEAD_BYTES = 8  # with padding
_APPLY, _WRITE, _CLEAR, _GOTO, _METADATA, _METER = 4, 3, 5, 1, 2, 6


def kind_of(message: bytes) -> str:
    """Return the name of a message's row in MESSAGES, "" for one without."""
    version = message[0]
    if version not in messages.BY_KEY:
        return ""
    try:
        kind = messages.BY_KEY[version].get(wire.key_of(message))
    except ValueError:
        return ""
    return kind.name if kind else ""


def body_of(message: bytes) -> bytes:
    """Return what stands after the headers."""
    return message[wire.header_bytes(message[0], wire.key_of(message)) :]


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode(errors="replace")


def port32(number: int, version: int) -> int:
    """Return a port of the wire in 32-bit form."""
    return number + 0xFFFF0000 if version == OFP10 and number >= OFPP10_MAX else number


# -- matches and actions ---------------------------------------------------------------------------------------------


def _oxm_match(data: bytes, at: int) -> tuple[bytes, bytes, int]:
    """Return value, mask and the place after an ofp_match of OpenFlow 1.3."""
    length = struct.unpack_from("!H", data, at + 2)[0]
    value, mask = codec.decode_match(data[at + 4 : at + length])
    return value, mask, at + (length + 7) // 8 * 8


def _lone_actions(data: bytes, version: int) -> Iterator[bytes]:
    at = 0
    while at + 4 <= len(data):
        length = struct.unpack_from("!H", data, at + 2)[0]
        if length < 8:
            raise PeerError(f"an action of {length} bytes")
        yield data[at : at + length]
        at += length


def actions_of(data: bytes, version: int) -> list[tuple[str, bytes]]:
    """Return a wire action list as runs: ("acts", OfAct list), "acts11" after OpenFlow 1.0, or ("raw", one action
    that is not ours).
    """
    acts = "acts" if version == OFP10 else "acts11"
    if not data:
        return []
    try:
        return [(acts, codec.decode_actions(data, version))]
    except OpenFlowError:
        pass
    runs: list[tuple[str, bytes]] = []
    for one in _lone_actions(data, version):
        try:
            runs.append((acts, codec.decode_actions(one, version)))
        except OpenFlowError:
            runs.append(("raw", one))
    return runs


def instructions_of(data: bytes, version: int) -> list[tuple[str, Any]]:
    """Return wire instructions as runs: those of `actions_of`, and ("clear", None), ("write", runs),
    ("metadata", (value, mask)), ("goto", table), ("meter", number), ("raw", bytes).
    """
    runs: list[tuple[str, Any]] = []
    at = 0
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("!HH", data, at)
        if length < 8:
            raise PeerError(f"an instruction of {length} bytes")
        body = data[at + 4 : at + length]
        reader = _INSTRUCTIONS.get(kind)
        runs += reader(body, version) if reader else [("raw", data[at : at + length])]
        at += length
    return runs


_INSTRUCTIONS: dict[int, Callable[[bytes, int], list[tuple[str, Any]]]] = {
    _APPLY: lambda body, version: list(actions_of(body[4:], version)),
    _WRITE: lambda body, version: [("write", actions_of(body[4:], version))],
    _CLEAR: lambda body, version: [("clear", None)],
    _METADATA: lambda body, version: [("metadata", struct.unpack_from("!QQ", body, 4))],
    _GOTO: lambda body, version: [("goto", body[0])],
    _METER: lambda body, version: [("meter", struct.unpack_from("!I", body)[0])],
}


# -- flows -----------------------------------------------------------------------------------------------------------


def flows(message: bytes) -> list[Row]:
    """Return the flows of one part of a flow statistics reply."""
    version, name = message[0], kind_of(message)
    reader = _entry_nx if name.startswith("NXST") else _entry_10 if version == OFP10 else _entry_13
    data, rows, at = body_of(message), [], 0
    try:
        while at < len(data):
            length = struct.unpack_from("!H", data, at)[0]
            if length < 48 or at + length > len(data):
                raise PeerError(f"a flow statistics entry of {length} bytes")
            rows.append(reader(data[at : at + length]))
            at += length
    except (struct.error, OpenFlowError) as error:
        raise PeerError(f"malformed flow statistics: {error}") from None
    return rows


def _flow_row(names: tuple[str, ...], values: tuple[Any, ...]) -> Row:
    row = dict(zip(names, values, strict=True))
    row["duration"] = (row.pop("sec"), row.pop("nsec"))
    return row


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_NAMES_10 = _names("length table_id match sec nsec priority idle_timeout hard_timeout cookie packet_count byte_count")
_NAMES_NX = _names(
    "length table_id sec nsec priority idle_timeout hard_timeout match_length idle_age hard_age "
    "cookie packet_count byte_count"
)
_NAMES_13 = _names(
    "length table_id sec nsec priority idle_timeout hard_timeout flags importance cookie packet_count byte_count"
)
_same_actions = lru_cache(4096)(actions_of)  # a dump has few different lists; nobody changes what these return
_same_instructions = lru_cache(4096)(instructions_of)


def _entry_10(data: bytes) -> Row:
    fields = _ENTRY_10.unpack_from(data)
    row = _flow_row(_NAMES_10, fields)
    row["key"] = codec.decode_match10(row.pop("match"))
    row["runs"] = _same_actions(data[88:], OFP10)
    return row


def _entry_nx(data: bytes) -> Row:
    row = _flow_row(_NAMES_NX, _ENTRY_NX.unpack_from(data))
    end = 48 + row["match_length"]
    row["key"] = codec.decode_match(data[48:end])
    row["runs"] = _same_actions(data[48 + (row.pop("match_length") + 7) // 8 * 8 :], OFP10)
    return row


def _entry_13(data: bytes) -> Row:
    row = _flow_row(_NAMES_13, _ENTRY_13.unpack_from(data))
    value, mask, at = _oxm_match(data, 48)
    row["key"] = value, mask
    row["runs"] = _same_instructions(data[at:], OFP13)
    return row


def flow_mod(message: bytes) -> Row:
    """Return a flow-mod that we sent, as the switch's error quotes it; raises OpenFlowError or struct.error."""
    version, data = message[0], message
    if kind_of(message) == "NXT_FLOW_MOD":
        new, command, idle, hard, priority, buffer, port, flags, n = struct.unpack_from("!QHHHHIHHH6x", data, 16)
        key, at = codec.decode_match(data[48 : 48 + n]), 48 + (n + 7) // 8 * 8
        cookies = (0, 0, new)
        runs: list[Any] = actions_of(data[at:], OFP10)
    elif version == OFP10:
        new, command, idle, hard, priority, buffer, port, flags = struct.unpack_from("!QHHHHIHH", data, 48)
        key, cookies, runs = codec.decode_match10(data[8:48]), (0, 0, new), actions_of(data[72:], OFP10)
    else:
        return _flow_mod_13(data)
    table = command >> 8 if command > 255 else TABLE_ALL
    return _mod_row(command & 255, table, idle, hard, priority, buffer, port32(port, OFP10), flags, key, cookies, runs)


def _flow_mod_13(data: bytes) -> Row:
    cookie, mask, table, command, idle, hard, priority, buffer, port, group, flags = struct.unpack_from(
        "!QQBBHHHIIIH2x", data, 8
    )
    importance = int.from_bytes(data[46:48], "big") if data[0] >= OFP14 else 0
    value, bits, at = _oxm_match(data, 48)
    cookies = (0, 0, cookie) if command == 0 else (cookie, mask, (1 << 64) - 1)
    row = _mod_row(command, table, idle, hard, priority, buffer, port, flags, (value, bits), cookies,
                   instructions_of(data[at:], OFP13))  # fmt: skip
    return row | {"out_group": group, "importance": importance}


def _mod_row(*values: Any) -> Row:
    names = "command table_id idle_timeout hard_timeout priority buffer_id out_port flags key cookies runs"
    return dict(zip(names.split(), values, strict=True))


def aggregate(message: bytes) -> Row:
    """Return the sums of an aggregate reply."""
    found = _unpack(messages.AGGREGATE, body_of(message))
    return {"packet_count": found["packets"], "byte_count": found["bytes"], "flow_count": found["flows"]}


def _unpack(layout: wire.Layout, data: bytes) -> Row:
    if len(data) < layout.size:
        raise PeerError(f"a reply of {len(data)} bytes where {layout.size} are needed")
    return layout.unpack(data)


# -- ports and tables ------------------------------------------------------------------------------------------------


def port(data: bytes, version: int) -> Row:
    """Return a port description; feature bits are OpenFlow 1.3's, speeds are in kb/s."""
    if version == OFP14:
        number, _, mac, name, config, state = _PORT_14.unpack_from(data)
        features = list(_ethernet(data[_PORT_14.size :], _ETHERNET_PORT) or [0] * 6)
    else:
        number, mac, name, config, state, *features = _PORT[version].unpack_from(data)
    names = ["curr", "advertised", "supported", "peer", "curr_speed", "max_speed"]
    if version == OFP10:
        features = [features_13(bits) for bits in features]
        features += [ports.speed_kbps(features[0]), ports.speed_kbps(features[2])]
    row: Row = {"port_no": port32(number, version), "hw_addr": mac.hex(":"), "name": _text(name), "config": config}
    return row | {"state": state} | dict(zip(names, features, strict=True))


def features_13(bits: int) -> int:
    """Return OpenFlow 1.0's feature bits as 1.3 has them."""
    return bits & ports.SPEED_BITS_10 | (bits << ports.MEDIUM_SHIFT_10) & ports.MEDIUM_BITS_13


def _ethernet(properties: bytes, layout: struct.Struct) -> tuple[int, ...] | None:
    """Return the values of the Ethernet property, None without one; raises PeerError."""
    at = 0
    while at < len(properties):
        kind, length = struct.unpack_from("!HH", properties, at)
        if length < 4 or at + length > len(properties):
            raise PeerError(f"a property of {length} bytes")
        if kind == _ETHERNET and length >= _PROPERTY_HEAD_BYTES + layout.size:
            return layout.unpack_from(properties, at + _PROPERTY_HEAD_BYTES)
        at += (length + 7) // 8 * 8
    return None


def _entries(data: bytes, length_at: int, least: int, what: str) -> Iterator[bytes]:
    """Cut entries that say their length, `length_at` bytes from their beginning; raises PeerError."""
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at + length_at : at + length_at + 2], "big")
        if length < least or at + length > len(data):
            raise PeerError(f"{what} of {length} bytes")
        yield data[at : at + length]
        at += length


def port_list(data: bytes, version: int) -> list[Row]:
    """Return port descriptions, one after the other."""
    if version == OFP14:
        return [port(one, version) for one in _entries(data, 4, _PORT_14.size, "a port")]
    size = ports.port_bytes(version)
    if len(data) % size:
        raise PeerError("a list of ports ends within a port")
    return [port(data[at : at + size], version) for at in range(0, len(data), size)]


def features(message: bytes) -> Row:
    """Return the features of a switch, with its ports in OpenFlow 1.0."""
    version, data = message[0], body_of(message)
    row = _unpack(messages.FEATURES, data)
    if version == OFP10:
        row["ports"] = port_list(data[messages.FEATURES.size :], version)
    return row


def config(message: bytes) -> Row:
    """Return fragment handling (flags) and miss_send_len."""
    return _unpack(messages.SWITCH_CONFIG, body_of(message))


def port_stats(message: bytes) -> list[Row]:
    """Return the counters of one part of a port statistics reply; those that nobody keeps are None."""
    version, data = message[0], body_of(message)
    if version == OFP14:
        return [_port_stats_14(one) for one in _entries(data, 0, _STATS_14.size, "port statistics")]
    layout = _STATS[version]
    if len(data) % layout.size:
        raise PeerError("port statistics end within an entry")
    rows = []
    for number, *values in layout.iter_unpack(data):
        row: Row = {"port_no": port32(number, version)}
        row |= {name: None if v == ports.UNKNOWN else v for name, v in zip(_COUNTERS, values, strict=False)}
        if version != OFP10:
            row["duration"] = (values[12], values[13])
        rows.append(row)
    return rows


def _port_stats_14(data: bytes) -> Row:
    _, number, sec, nsec, *values = _STATS_14.unpack_from(data)
    values += _ethernet(data[_STATS_14.size :], _ETHERNET_STATS) or [ports.UNKNOWN] * 4
    row: Row = {name: None if v == ports.UNKNOWN else v for name, v in zip(_COUNTERS, values, strict=True)}
    return {"port_no": number} | row | {"duration": (sec, nsec)}


def table_stats(message: bytes) -> list[Row]:
    """Return the counts of one part of a table statistics reply."""
    layout, data = messages.TABLE_STATS[message[0]], body_of(message)
    rows = []
    for at in range(0, len(data), layout.size):
        found = _unpack(layout, data[at:])
        names = {"active": "active_count", "lookups": "lookup_count", "matched": "matched_count"}
        row = {names.get(name, name): value for name, value in found.items()}
        if "name" in row:
            row["name"] = _text(row["name"])
        rows.append(row)
    return rows


def desc(message: bytes) -> Row:
    """Return the strings that describe a switch."""
    return {name: _text(value) for name, value in _unpack(messages.DESC, body_of(message)).items()}
