"""What the flow tables can match and do, as OFPMP_TABLE_FEATURES of OpenFlow 1.3, derived from FIELDS and ACTIONS
(MS.66, OF.33).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache

from ofproto.actions import ACTIONS, INST, OF13
from ofproto.fields import EXPERIMENTER, FIELDS, Field, Header
from ofproto.numbers import OFP13, OPENFLOW_TABLES
from ofproto.stats import MAX_ENTRIES
from ofproto.wire import Layout

ALL_BITS = 0xFFFFFFFFFFFFFFFF
NOT_OFFERED = ("group", "meter")  # rows of ACTIONS that are known only to be refused
LEGACY = "of11_"  # forms of OpenFlow 1.1 that are understood, but not offered
UNMAPPED_SLOT = "tun_metadata"  # fields without a mapping can be neither matched nor written

# OFPTFPT_ numbers: for matching rules; the next one says the same of the table-miss rule, except for the last two.
INSTRUCTIONS, NEXT_TABLES, WRITE_ACTIONS, APPLY_ACTIONS = 0, 2, 4, 6
MATCH, WILDCARDS, WRITE_SETFIELD, APPLY_SETFIELD = 8, 10, 12, 14

_GOTO = struct.pack("!HH", 1, 4)  # goto-table, which the last table cannot do
_TABLE = Layout("length:H table_id:B 5x name:32s metadata_match:Q metadata_write:Q config:I max_entries:I")


def _property(kind: int, payload: bytes) -> bytes:
    length = 4 + len(payload)
    return struct.pack("!HH", kind, length) + payload + bytes(-length % 8)


def _header(field: Field) -> Header:
    """Return the number under which OpenFlow 1.3 prefers to name a field."""
    return max((h for h in field.headers if h.since <= OFP13), key=lambda h: h.since, default=field.headers[0])


def _oxm(field: Field, masked: bool) -> bytes:
    """Return a field's OXM header; `masked`: that of a value with a mask."""
    header = _header(field)
    size = field.n_bytes * (2 if masked else 1) + (4 if header.oxm_class == EXPERIMENTER else 0)
    word = header.oxm_class << 16 | header.number << 9 | masked << 8 | size
    return word.to_bytes(4, "big") + (
        header.experimenter.to_bytes(4, "big") if header.oxm_class == EXPERIMENTER else b""
    )


def _offered() -> list[Field]:
    return [field for field in FIELDS if field.slot != UNMAPPED_SLOT and field.headers]


def _forms(space: str) -> bytes:
    numbers = sorted(
        {
            form.number
            for row in ACTIONS
            if row.name not in NOT_OFFERED
            for form in row.forms
            if form.space == space and not form.name.startswith(LEGACY)
        }
    )
    return b"".join(struct.pack("!HH", number, 4) for number in numbers)


def _instructions(last: bool) -> bytes:
    forms = _forms(INST)
    return forms.removeprefix(_GOTO) if last else forms


@cache
def _common() -> tuple[bytes, bytes]:
    """Return the properties before and after those that differ between tables."""
    set_fields = b"".join(_oxm(field, False) for field in _offered() if field.writable and not field.ct_only)
    actions = _forms(OF13)
    both = [
        (WRITE_ACTIONS, actions),
        (WRITE_SETFIELD, set_fields),
        (APPLY_ACTIONS, actions),
        (APPLY_SETFIELD, set_fields),
    ]
    middle = b"".join(_property(kind, payload) for kind, payload in both)
    miss = b"".join(_property(kind + 1, payload) for kind, payload in both)
    match = _property(MATCH, b"".join(_oxm(field, field.maskable) for field in _offered()))
    return middle, miss + match + _property(WILDCARDS, b"".join(_oxm(field, False) for field in _offered()))


def table(table_id: int) -> bytes:
    """Return the features of one table."""
    later = bytes(range(table_id + 1, OPENFLOW_TABLES))
    instructions = _instructions(last=not later)
    middle, end = _common()
    properties = _property(INSTRUCTIONS, instructions) + _property(NEXT_TABLES, later) + middle
    properties += _property(INSTRUCTIONS + 1, instructions) + _property(NEXT_TABLES + 1, later) + end
    fixed = _TABLE.pack(
        length=_TABLE.size + len(properties),
        table_id=table_id,
        name=b"",
        metadata_match=ALL_BITS,
        metadata_write=ALL_BITS,
        max_entries=MAX_ENTRIES,
    )
    return fixed + properties


def all_tables() -> Iterator[bytes]:
    """Return the features of every table, one entry each."""
    return (table(table_id) for table_id in range(OPENFLOW_TABLES))
