"""Requests that ofctl sends, in each format of `ofctl_protocol.FORMATS` that we speak; pure functions (MS.25-MS.27)."""

from __future__ import annotations

import struct
from functools import lru_cache

import ofproto.flow_mod as codec
from ofproto import ofctl_protocol as formats
from ofproto import wire
from ofproto.messages import BUNDLE_ADD, BUNDLE_CONTROL, MESSAGES
from ofproto.numbers import COOKIE_NONE, OFP10, OFP14, OFPMT_OXM, OFPP_ANY, TABLE_ALL
from ofproto.ofctl_flow import ADD, DELETE, DELETE_STRICT, MODIFY, MODIFY_STRICT, FlowMod

NO_BUFFER = 0xFFFFFFFF
_FLAGS_10 = 1 | 2  # send_flow_rem, check_overlap

_MOD_10 = struct.Struct("!QHHHHIHH")
_MOD_NX = struct.Struct("!BBHIIIQHHHHIHHH6x")
_MOD_13 = struct.Struct("!BBHIQQBBHHHIIIHH")
_PORT_10 = {OFPP_ANY: 0xFFFF}


def message(name: str, version: int, xid: int, body: bytes = b"") -> bytes:
    """Return a message of the kind that MESSAGES calls `name`."""
    return wire.build(version, MESSAGES[name].keys[version], xid, body)


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


@lru_cache(65536)
def _actions(acts: bytes, version: int) -> bytes:
    encode = codec.encode_actions if version == OFP10 else codec.encode_instructions
    encoded: bytes = encode(acts, version)
    return encoded


def _cookies(flow: FlowMod) -> tuple[int, int, int]:
    """Return cookie and mask to find flows by, and the new cookie."""
    new = flow.new_cookie
    if flow.command in (DELETE, DELETE_STRICT):
        new = COOKIE_NONE
    return flow.cookie, flow.cookie_mask, new


def _command_10(flow: FlowMod, form: int) -> int:
    return flow.command | flow.table_id << 8 if form & formats.WITH_TABLE else flow.command


def _flow_mod_10(flow: FlowMod, form: int, xid: int) -> bytes:
    match: bytes = codec.encode_match10(flow.value, flow.mask)
    acts = _actions(flow.actions, OFP10)
    cookie = 0 if flow.command in (DELETE, DELETE_STRICT) else flow.new_cookie
    body = match + _MOD_10.pack(
        cookie, _command_10(flow, form), flow.idle_timeout_s, flow.hard_timeout_s, flow.priority,
        NO_BUFFER, flow.out_port & 0xFFFF, flow.flags & _FLAGS_10,
    ) + acts  # fmt: skip
    return struct.pack("!BBHI", OFP10, 14, 8 + len(body), xid) + body


def _flow_mod_nx(flow: FlowMod, form: int, xid: int) -> bytes:
    cookie, cookie_mask, new = _cookies(flow)
    match: bytes = codec.encode_match(flow.value, flow.mask, OFP10, cookie, cookie_mask)
    acts = _actions(flow.actions, OFP10)
    tail = _pad(match) + acts
    return _MOD_NX.pack(
        OFP10, 4, _MOD_NX.size + len(tail), xid, 0x2320, 13, new, _command_10(flow, form), flow.idle_timeout_s,
        flow.hard_timeout_s, flow.priority, NO_BUFFER, flow.out_port & 0xFFFF, flow.flags & _FLAGS_10, len(match),
    ) + tail  # fmt: skip


def _flow_mod_13(flow: FlowMod, form: int, xid: int) -> bytes:
    version = formats.WIRE_VERSION[form]
    cookie, cookie_mask, new = _cookies(flow)
    if flow.command == ADD:
        cookie, cookie_mask = new, 0
    elif flow.command in (MODIFY, MODIFY_STRICT) and not cookie_mask:
        cookie = new
    table = flow.table_id
    if table == TABLE_ALL and flow.command not in (DELETE, DELETE_STRICT):
        table = 0
    tail = _oxm_match(flow, version) + _actions(flow.actions, version)
    return _MOD_13.pack(
        version, 14, _MOD_13.size + len(tail), xid, cookie, cookie_mask, table, flow.command, flow.idle_timeout_s,
        flow.hard_timeout_s, flow.priority, NO_BUFFER, flow.out_port, flow.out_group, flow.flags,
        flow.importance if version >= OFP14 else 0,
    ) + tail  # fmt: skip


def _oxm_match(flow: FlowMod, version: int) -> bytes:
    oxm: bytes = codec.encode_match(flow.value, flow.mask, version)
    return _pad(struct.pack("!HH", OFPMT_OXM, 4 + len(oxm)) + oxm)


def flow_mod(flow: FlowMod, form: int, xid: int) -> bytes:
    """Return the flow-mod in one of the formats that we speak; raises ValueError when it does not fit a message."""
    build = _FLOW_MODS[form]
    try:
        return build(flow, form, xid)
    except struct.error:
        raise ValueError("the flow does not fit an OpenFlow message") from None


_FLOW_MODS = {
    formats.STD: _flow_mod_10,
    formats.STD_TID: _flow_mod_10,
    formats.NXM: _flow_mod_nx,
    formats.NXM_TID: _flow_mod_nx,
    formats.OF13: _flow_mod_13,
    formats.OF14: _flow_mod_13,
}


# -- bundles ---------------------------------------------------------------------------------------------------------

BUNDLE_OPEN, BUNDLE_COMMIT = 0, 4  # OFPBCT_; a reply is one more
_BUNDLE_FLAGS = 1 | 2  # atomic, ordered
_BUNDLE_ID = 0  # a connection needs no more than one


def bundle_control(kind: int, version: int, xid: int) -> bytes:
    """Return a request that opens or commits the bundle, in OpenFlow 1.4 or as ONF's extension (MS.47)."""
    body = BUNDLE_CONTROL.pack(bundle_id=_BUNDLE_ID, type=kind, flags=_BUNDLE_FLAGS)
    return message("OFPT_BUNDLE_CONTROL", version, xid, body)


def bundle_add(inner: bytes) -> bytes:
    """Return what puts a message into the bundle; both have its version and transaction id."""
    body = BUNDLE_ADD.pack(bundle_id=_BUNDLE_ID, flags=_BUNDLE_FLAGS)
    return message("OFPT_BUNDLE_ADD_MESSAGE", inner[0], wire.xid_of(inner), body + inner)


# -- requests for flows ----------------------------------------------------------------------------------------------


def flow_request(flow: FlowMod, form: int, xid: int, aggregate: bool = False) -> bytes:
    """Return a request for flows, or for their sum, in one of the formats that we speak."""
    if form & formats.OF10_ANY:
        body = codec.encode_match10(flow.value, flow.mask) + struct.pack("!BxH", flow.table_id, flow.out_port & 0xFFFF)
        return message("OFPST_AGGREGATE request" if aggregate else "OFPST_FLOW request", OFP10, xid, body)
    if form & formats.NXM_ANY:
        match = codec.encode_match(flow.value, flow.mask, OFP10, flow.cookie, flow.cookie_mask)
        body = struct.pack("!HHB3x", flow.out_port & 0xFFFF, len(match), flow.table_id) + _pad(match)
        return message("NXST_AGGREGATE request" if aggregate else "NXST_FLOW request", OFP10, xid, body)
    version = formats.WIRE_VERSION[form]
    body = struct.pack(
        "!B3xII4xQQ", flow.table_id, flow.out_port, flow.out_group, flow.cookie, flow.cookie_mask
    ) + _oxm_match(flow, version)
    return message("OFPST_AGGREGATE request" if aggregate else "OFPST_FLOW request", version, xid, body)
