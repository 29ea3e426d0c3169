"""What a switch reports unasked, as values and text: packets for the controller, flows that ended (MS.09-MS.16)."""

from __future__ import annotations

import struct
from collections.abc import Callable

import ofproto.flow_mod as codec
from ofproto import ofctl_decode, ofctl_json, ofctl_print
from ofproto.numbers import OFP10
from ofproto.ofctl_decode import Row, kind_of, port32
from ofproto.ofctl_packet import packet_text
from ofproto.ofctl_print import Names, cut_body, duration_text, match_text, port_name
from vslib.errors import PeerError

REASONS = ("no_match", "action", "invalid_ttl", "action_set", "group", "packet_out")
REMOVED = ("idle", "hard", "delete", "group_delete", "meter_delete", "eviction")
NO_COOKIE = (1 << 64) - 1
NO_BUFFER = 0xFFFFFFFF
_PACKET, _FULL_LEN, _BUFFER, _TABLE, _COOKIE, _REASON, _METADATA, _USERDATA = range(8)


# -- packets ---------------------------------------------------------------------------------------------------------


def _row(reason: int, frame: bytes, total: int, key: tuple[bytes, bytes] | None, buffer: int = NO_BUFFER,
         table: int = 0, cookie: int = NO_COOKIE) -> Row:  # fmt: skip
    return {"buffer_id": buffer, "total_len": total, "reason": reason, "table_id": table, "cookie": cookie, "key": key,
            "data": frame}  # fmt: skip


def _packet_in_10(message: bytes) -> Row:
    buffer, total, port, reason = struct.unpack_from("!IHHB", message, 8)
    return _row(reason, message[18:], total, None, buffer) | {"in_port": port32(port, OFP10)}


def _packet_in_13(message: bytes) -> Row:
    buffer, total, reason, table, cookie = struct.unpack_from("!IHBBQ", message, 8)
    length = struct.unpack_from("!H", message, 26)[0]
    key = codec.decode_match(message[28 : 24 + length])
    return _row(reason, message[24 + (length + 7) // 8 * 8 + 2 :], total, key, buffer, table, cookie)


def _nxt_packet_in(message: bytes) -> Row:
    buffer, total, reason, table, cookie, length = struct.unpack_from("!IHBBQH", message, 16)
    key = codec.decode_match(message[40 : 40 + length])
    return _row(reason, message[40 + (length + 7) // 8 * 8 + 2 :], total, key, buffer, table, cookie)


def _nxt_packet_in2(message: bytes) -> Row:
    row, at = _row(0, b"", 0, None), 16
    while at + 4 <= len(message):
        kind, length = struct.unpack_from("!HH", message, at)
        if length < 4:
            raise PeerError(f"a property of {length} bytes")
        body = message[at + 4 : at + length]
        reader = _PROPERTIES.get(kind)
        if reader is not None:
            row |= reader(body)
        at += (length + 7) // 8 * 8
    row["total_len"] = row["total_len"] or len(row["data"])
    return row


_PROPERTIES: dict[int, Callable[[bytes], Row]] = {
    _PACKET: lambda body: {"data": body},
    _FULL_LEN: lambda body: {"total_len": int.from_bytes(body[:4], "big")},
    _BUFFER: lambda body: {"buffer_id": int.from_bytes(body[:4], "big")},
    _TABLE: lambda body: {"table_id": body[0]},
    _COOKIE: lambda body: {"cookie": int.from_bytes(body[4:12], "big")},
    _REASON: lambda body: {"reason": body[0]},
    _METADATA: lambda body: {"key": codec.decode_match(body)},
    _USERDATA: lambda body: {"userdata": body.hex(".")},
}


def packet_in(message: bytes) -> Row:
    """Return a packet-in of any form."""
    name = kind_of(message)
    if name == "OFPT_PACKET_IN":
        return _packet_in_10(message) if message[0] == OFP10 else _packet_in_13(message)
    return _nxt_packet_in(message) if name == "NXT_PACKET_IN" else _nxt_packet_in2(message)


def _metadata(row: Row, names: Names) -> str:
    if row["key"] is None:
        return f"in_port={port_name(row['in_port'], names)}"
    return cut_body(row["key"], names)


def _named(number: int, names: tuple[str, ...]) -> str:
    return names[number] if number < len(names) else str(number)


def packet_in_text(message: bytes, names: Names) -> str:
    """Return what stands after the head of a packet-in."""
    row = packet_in(message)
    words = [f" table_id={row['table_id']}" if row["table_id"] else ""]
    words.append(f" cookie={row['cookie']:#x}" if row["cookie"] != NO_COOKIE else "")
    words.append(f" total_len={row['total_len']} {_metadata(row, names)} (via {_named(row['reason'], REASONS)})")
    words.append(f" data_len={len(row['data'])}")
    words.append(" (unbuffered)" if row["buffer_id"] == NO_BUFFER else f" buffer={row['buffer_id']:#010x}")
    if row["total_len"] < len(row["data"]):
        words.append(" (***total_len < data_len***)")
    userdata = f" userdata={row['userdata']}\n" if "userdata" in row else ""
    return "".join(words) + "\n" + userdata + packet_text(row["data"]) + "\n"


# -- flows that ended ------------------------------------------------------------------------------------------------


def flow_removed(message: bytes) -> Row:
    """Return a flow-removed message of any form."""
    name = kind_of(message)
    if name == "NXT_FLOW_REMOVED":
        names = "cookie priority reason table_id sec nsec idle_timeout length packet_count byte_count"
        row = dict(zip(names.split(), struct.unpack_from("!QHBBIIHHQQ", message, 16), strict=True))
        row["key"] = codec.decode_match(message[56 : 56 + row.pop("length")])
        row["table_id"] = row["table_id"] - 1 if row["table_id"] else 255
    elif message[0] == OFP10:
        names = "cookie priority reason sec nsec idle_timeout packet_count byte_count"
        row = dict(zip(names.split(), struct.unpack_from("!QHBxIIH2xQQ", message, 48), strict=True))
        row |= {"key": codec.decode_match10(message[8:48]), "table_id": 255}
    else:
        names = "cookie priority reason table_id sec nsec idle_timeout hard_timeout packet_count byte_count length"
        row = dict(zip(names.split(), struct.unpack_from("!QHBBIIHHQQ2xH", message, 8), strict=True))
        row["key"] = codec.decode_match(message[52 : 48 + row.pop("length")])
    row["duration"] = (row.pop("sec"), row.pop("nsec"))
    return row


def flow_removed_text(message: bytes, names: Names) -> str:
    """Return what stands after the head of a flow-removed message."""
    row = flow_removed(message)
    text = f" {match_text(row['key'], row['priority'], names)} reason={_named(row['reason'], REMOVED)}"
    text += f" table_id={row['table_id']}" if row["table_id"] != 255 else ""
    text += f" cookie:{row['cookie']:#x}" if row["cookie"] else ""
    text += f" duration{duration_text(row['duration'])} idle{row['idle_timeout']}"
    text += f" hard{row['hard_timeout']}" if row.get("hard_timeout") else ""
    return text + f" pkts{row['packet_count']} bytes{row['byte_count']}\n"


PRINTERS: dict[str, Callable[[bytes, Names], str]] = {
    **dict.fromkeys(("OFPT_PACKET_IN", "NXT_PACKET_IN", "NXT_PACKET_IN2"), packet_in_text),
    **dict.fromkeys(("OFPT_FLOW_REMOVED", "NXT_FLOW_REMOVED"), flow_removed_text),
}


# -- JSON ------------------------------------------------------------------------------------------------------------


def _packet_json(message: bytes) -> Row:
    row = packet_in(message)
    found = {name: row[name] for name in ("total_len", "table_id")}
    found |= {"reason": _named(row["reason"], REASONS), "match": _metadata(row, {}), "data": row["data"].hex()}
    if row["buffer_id"] != NO_BUFFER:
        found["buffer_id"] = row["buffer_id"]
    if row["cookie"] != NO_COOKIE:
        found["cookie"] = row["cookie"]
    return found | {"packet": packet_text(row["data"])}


def _removed_json(message: bytes) -> Row:
    row = flow_removed(message)
    row["match"] = cut_body(row.pop("key"), {})
    row["reason"] = _named(row["reason"], REMOVED)
    row["duration_sec"], row["duration_nsec"] = row.pop("duration")
    return row


def _status_json(message: bytes) -> Row:
    port = ofctl_decode.port(message[16:], message[0])
    return {"reason": _named(message[8], ("ADD", "DEL", "MOD")), "port": ofctl_json.port(port, message[0])}


_JSON: dict[str, Callable[[bytes], Row]] = {
    **dict.fromkeys(("OFPT_PACKET_IN", "NXT_PACKET_IN", "NXT_PACKET_IN2"), _packet_json),
    **dict.fromkeys(("OFPT_FLOW_REMOVED", "NXT_FLOW_REMOVED"), _removed_json),
    "OFPT_PORT_STATUS": _status_json,
}


def as_json(message: bytes) -> Row:
    """Return a message that came unasked as an object; raises PeerError, struct.error or OpenFlowError."""
    name = kind_of(message)
    found = {"type": name or message[1], "version": message[0], "xid": int.from_bytes(message[4:8], "big")}
    return found | (_JSON[name](message) if name in _JSON else {})


ofctl_print.PRINTERS.update(PRINTERS)
