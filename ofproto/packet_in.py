"""Packets for controllers as messages: PACKET_IN of 1.0 and later, NXT_PACKET_IN, NXT_PACKET_IN2 (MS.09, MS.12 to
MS.14).

Frames are never buffered in the switch, so each message carries the whole frame, whatever the action's max_len says,
like Open vSwitch's.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Protocol

from ofproto.messages import MESSAGES
from ofproto.numbers import OFP10, OFP13, OFP14
from ofproto.ports import port_to_wire
from ofproto.wire import MAX_MESSAGE_BYTES, build

NO_BUFFER = 0xFFFFFFFF
NO_COOKIE = 0xFFFFFFFFFFFFFFFF
NO_MATCH, ACTION, INVALID_TTL, ACTION_SET, GROUP, PACKET_OUT = range(6)  # OFPR_ of OpenFlow 1.4
EXPLICIT_MISS = 6  # a controller action of a table-miss rule
# What a reason that a version does not know is sent as (1.4's refine ACTION; misses differ from 1.3 on).
_REFINED = {ACTION_SET: ACTION, GROUP: ACTION, PACKET_OUT: ACTION}
WIRE_REASON = {
    OFP10: _REFINED | {EXPLICIT_MISS: ACTION},
    OFP13: _REFINED | {EXPLICIT_MISS: NO_MATCH},
    OFP14: {EXPLICIT_MISS: NO_MATCH},
}

STANDARD, NXT, NXT2 = 0, 1, 2  # NXPIF_ of NXT_SET_PACKET_IN_FORMAT
_PROP_PACKET, _PROP_FULL_LEN, _PROP_BUFFER_ID, _PROP_TABLE_ID, _PROP_COOKIE, _PROP_REASON, _PROP_METADATA = range(7)

_PACKET_IN_10 = struct.Struct("!IHHBx")
_PACKET_IN_13 = struct.Struct("!IHBBQ")
_NXT_PACKET_IN = struct.Struct("!IHBBQH6x")


class PuntLike(Protocol):
    """A frame on its way to controllers (`ofproto.punt.Punt`); `key`: FlowKey bytes that hold the metadata."""

    in_port: int
    cookie: int
    controller_id: int
    reason: int
    table_id: int
    key: bytes
    frame: bytes


EncodeMatch = Callable[[bytes, int], bytes]


def _prop(kind: int, payload: bytes, align: int = 0) -> bytes:
    """Return one property of NXT_PACKET_IN2: its length does not count the padding to 8 bytes."""
    body = bytes(align) + payload
    length = 4 + len(body)
    return struct.pack("!HH", kind, length) + body + bytes(-length % 8)


def cookie_of(punt: PuntLike) -> int:
    """Return the cookie to report: 0 for a plain table miss, which no rule stands behind."""
    return 0 if punt.reason == NO_MATCH and punt.cookie == NO_COOKIE else punt.cookie


def _body_10(punt: PuntLike, frame: bytes, reason: int) -> bytes:
    return _PACKET_IN_10.pack(NO_BUFFER, len(punt.frame) & 0xFFFF, port_to_wire(punt.in_port, OFP10), reason) + frame


def encode(punt: PuntLike, version: int, form: int, encode_match: EncodeMatch) -> bytes:
    """Return the packet-in message in a session's wire version and NXPIF_ form.

    encode_match(key, dialect): the metadata fields of a FlowKey as NXM (dialect 1) or OXM (4), without header and
    padding.
    """
    reason = WIRE_REASON[version].get(punt.reason, punt.reason)
    return _FORMS[form](punt, version, reason, encode_match)


def _cut(frame: bytes, before: int) -> bytes:
    return frame[: MAX_MESSAGE_BYTES - before]


def _standard(punt: PuntLike, version: int, reason: int, encode_match: EncodeMatch) -> bytes:
    key = MESSAGES["OFPT_PACKET_IN"].keys[version]
    if version == OFP10:
        return build(version, key, 0, _body_10(punt, _cut(punt.frame, 18), reason))
    fields = encode_match(punt.key, OFP13)
    length = 4 + len(fields)
    match = struct.pack("!HH", 1, length) + fields + bytes(-length % 8)
    head = (
        _PACKET_IN_13.pack(NO_BUFFER, len(punt.frame) & 0xFFFF, reason, punt.table_id, cookie_of(punt))
        + match
        + bytes(2)
    )
    return build(version, key, 0, head + _cut(punt.frame, 8 + len(head)))


def _nxt(punt: PuntLike, version: int, reason: int, encode_match: EncodeMatch) -> bytes:
    fields = encode_match(punt.key, OFP10)
    head = _NXT_PACKET_IN.pack(NO_BUFFER, len(punt.frame) & 0xFFFF, reason, punt.table_id, cookie_of(punt), len(fields))
    head += fields + bytes(-len(fields) % 8) + bytes(2)
    return build(version, MESSAGES["NXT_PACKET_IN"].keys[version], 0, head + _cut(punt.frame, 16 + len(head)))


def _nxt2(punt: PuntLike, version: int, reason: int, encode_match: EncodeMatch) -> bytes:
    tail = _prop(_PROP_TABLE_ID, bytes([punt.table_id]))
    if cookie_of(punt) != NO_COOKIE:
        tail += _prop(_PROP_COOKIE, cookie_of(punt).to_bytes(8, "big"), align=4)
    tail += _prop(_PROP_REASON, bytes([reason])) + _prop(_PROP_METADATA, encode_match(punt.key, OFP13))
    frame = _cut(punt.frame, 16 + len(tail) + 4 + 8 + 8)
    whole = _prop(_PROP_PACKET, frame)
    if len(frame) < len(punt.frame):
        whole += _prop(_PROP_FULL_LEN, len(punt.frame).to_bytes(4, "big"))
    return build(version, MESSAGES["NXT_PACKET_IN2"].keys[version], 0, whole + tail)


_FORMS = {STANDARD: _standard, NXT: _nxt, NXT2: _nxt2}
