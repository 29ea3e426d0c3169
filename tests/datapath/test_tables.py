"""The tables that the structs come from: layout, generated files, and the structs as the compiler sees them."""

from __future__ import annotations

import re

import pytest

from datapath import gen
from datapath.drops import DROPS, number
from datapath.edit import EDITS
from datapath.parse import parse_frame, struct_sizes
from datapath.slots import SLOTS, layout, places
from tests.oracle.packet_shapes import frames


@pytest.mark.parametrize("name", sorted(gen.GENERATED))
def test_generated_files_are_what_the_tables_say(name: str) -> None:
    assert (gen.ROOT / name).read_text() == gen.GENERATED[name](), "run python -m datapath.gen"


def test_structs_have_the_sizes_of_the_layout() -> None:
    words, sizes = layout()[1], struct_sizes()
    assert (sizes["PacketKey"], sizes["FlowKey"]) == (words["packet"] * 8, words["flow"] * 8)
    assert sizes["ActOp"] == 48
    assert sizes["Packet"] <= 128


def test_slots_neither_overlap_nor_straddle_their_alignment() -> None:
    ordered = sorted(places().values(), key=lambda place: place.offset)
    for before, after in zip(ordered, ordered[1:], strict=False):
        assert before.offset + before.slot.n_bytes <= after.offset
    assert all(place.offset % 2 == 0 for place in ordered if place.slot.n_bytes % 2 == 0)
    assert all(place.offset % 4 == 0 for place in ordered if place.slot.n_bytes % 4 == 0)


def test_slot_names_and_drop_symbols_are_unique() -> None:
    assert len({slot.name for slot in SLOTS}) == len(SLOTS)
    assert len({symbol for symbol, _ in DROPS}) == len(DROPS)
    assert [number(symbol) for symbol, _ in DROPS] == list(range(len(DROPS)))


def test_compiled_offsets_are_those_of_the_table() -> None:
    """The parser writes through the C struct; the table says where to look."""
    key = parse_frame(frames()["tcp"], 9)[1]
    for slot, value in {"in_port": 9, "eth_type": 0x0800, "ip_src": 0x0A010203, "tp_dst": 80, "nw_ttl": 9}.items():
        place = places()[slot]
        assert int.from_bytes(key[place.offset : place.offset + place.slot.n_bytes], "big") == value


def test_every_slot_of_the_edit_table_is_a_slot_and_fits_an_op() -> None:
    for name, _headers, _base, _offset, n_bytes, _twist, keep in EDITS:
        assert places()[name].slot.n_bytes <= 16
        assert n_bytes <= places()[name].slot.n_bytes + 1
        assert len(keep) <= 4


def test_every_drop_reason_is_a_sentence() -> None:
    assert all(re.fullmatch(r"[A-Z].*\.", sentence) for _, sentence in DROPS)
