"""Helpers of the codec tests: golden files, flow-mod frames around a match or actions, matches drawn by hypothesis."""

from __future__ import annotations

import struct
from pathlib import Path

from hypothesis import strategies as st

from datapath.slots import layout
from ofproto import field as field_access
from ofproto.fields import FIELDS
from ofproto.flow_mod import decode_flow_mod, match_prereqs
from ofproto.value_text import FORMATS

HERE = Path(__file__).parent
KEY_BYTES = layout()[1]["flow"] * 8
EMPTY = bytes(KEY_BYTES)


def golden(name):
    """Rows of a golden file: lists of columns."""
    lines = (HERE / name).read_text().splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("#")]


def pad8(data):
    return data + bytes(-len(data) % 8)


def nxt_flow_mod(match=b"", actions=b"", command=0, cookie=0):
    body = struct.pack("!IIQHHHH", 0x2320, 13, cookie, command, 0, 0, 0x8000)
    body += struct.pack("!IHHHxxxxxx", 0xFFFFFFFF, 0xFFFF, 0, len(match)) + pad8(match) + actions
    return struct.pack("!BBHI", 1, 4, 8 + len(body), 1) + body


def flow_mod13(match=b"", instructions=b"", command=0, table=0, flags=0, version=4):
    body = struct.pack("!QQBBHHHIIIHxx", 0, 0, table, command, 0, 0, 0x8000, *[0xFFFFFFFF] * 3, flags)
    body += pad8(struct.pack("!HH", 1, 4 + len(match)) + match) + instructions
    return struct.pack("!BBHI", version, 14, 8 + len(body), 1) + body


def apply(actions):
    return struct.pack("!HHxxxx", 4, 8 + len(actions)) + actions


def nx(subtype, body):
    return struct.pack("!HHIH", 0xFFFF, 10 + len(body), 0x2320, subtype) + body


def decode13(match=b"", instructions=b"", **more):
    return decode_flow_mod(flow_mod13(match, instructions, **more))


def put(keys, row, value, mask):
    """(value, mask) keys with a field's bits added."""
    n = row.n_bytes
    v, m = value & mask, mask
    return (
        field_access.put_value(keys[0], row.name, v.to_bytes(n, "big"), m.to_bytes(n, "big")),
        field_access.put_value(keys[1], row.name, m.to_bytes(n, "big"), m.to_bytes(n, "big")),
    )


_LEFT_OUT = {"tun_metadata", "packet_type"}
# Fields that a match of any version can hold, and those that NXM (version 1) or OXM adds.
MATCHABLE = [f for f in FIELDS if f.headers and f.slot not in _LEFT_OUT and f.dialect in ("both", "oxm")]
MATCHABLE_NXM = [f for f in FIELDS if f.headers and f.slot not in _LEFT_OUT and f.dialect in ("both", "nxm")]
_TYPES = st.sampled_from([0x0800, 0x86DD, 0x0806, 0x8847, 0x894F, 0x88E7, 0x88CC])
_PROTOS = st.sampled_from([1, 6, 17, 58, 132, 2])


def _draw_one(draw, keys, row):
    if int.from_bytes(field_access.get_value(keys[1], row.name), "big") or not match_prereqs(*keys, row.name):
        return keys
    if row.fmt == "port":
        value = draw(st.sampled_from([1, 2, 0xFEFF, 0xFFFFFFFE]))
        return put(keys, row, value & 0xFFFF if row.n_bits == 16 else value, (1 << 8 * row.n_bytes) - 1)
    full = (1 << 8 * row.n_bytes) - 1
    value = draw(st.integers(0, row.valid_bits)) & row.valid_bits
    mask = draw(st.integers(1, row.valid_bits)) & row.valid_bits if row.maskable and draw(st.booleans()) else full
    return put(keys, row, value & row.valid_bits, mask)


@st.composite
def matches(draw, rows=tuple(MATCHABLE)):
    """A match whose prerequisites are met, of a few fields."""
    keys = (EMPTY, EMPTY)
    by_name = {f.name: f for f in FIELDS}
    if draw(st.booleans()):
        keys = put(keys, by_name["eth_type"], draw(_TYPES), 0xFFFF)
        if draw(st.booleans()) and match_prereqs(*keys, "nw_proto"):
            keys = put(keys, by_name["nw_proto"], draw(_PROTOS), 0xFF)
    chosen = draw(st.sets(st.sampled_from(range(len(rows))), max_size=8))
    for i in sorted(chosen):
        keys = _draw_one(draw, keys, rows[i])
    return keys


assert set(FORMATS) >= {f.fmt for f in FIELDS}
