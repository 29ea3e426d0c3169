"""A run of header rewrites taken together gives what the rewrites give one by one (AC.31)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datapath.edit import EDITS
from datapath.edit_plan import apply_planned
from datapath.parse import parse_frame
from datapath.slots import places
from datapath.testing_caches import Caches
from tests.oracle.packet_shapes import damaged, frames, truncations

SLOTS = sorted({row[0] for row in EDITS})
FRAMES = sorted(frames().items())
SHAPED = [(name, data) for name, data in FRAMES if Caches().frame_mask(data) is not None]
BIT_SETS = st.sampled_from([b"\xff" * 16, b"\xff\0" * 8, b"\0" * 16]) | st.binary(min_size=16, max_size=16)


@st.composite
def edits(draw):
    """A few rewrites, some of the same slot: (slot, value, mask)."""
    found = []
    for slot in draw(st.lists(st.sampled_from(SLOTS), min_size=1, max_size=8)):
        n_bytes = places()[slot].slot.n_bytes
        found.append((slot, draw(BIT_SETS)[:n_bytes], draw(BIT_SETS)[:n_bytes]))
    return found


def same(results):
    """How many frames had a plan; each must end as without."""
    assert all(by_plan == by_op for planned, by_plan, by_op in results if planned)
    return sum(planned for planned, _, _ in results)


@given(edits())
@settings(max_examples=150, deadline=None)
def test_frames_of_every_shape_end_as_they_do_rewrite_by_rewrite(some):
    same(apply_planned([data for _, data in FRAMES], some))


@given(edits(), st.integers(0, 1 << 30))
@settings(max_examples=15, deadline=None)
def test_truncated_and_damaged_frames_end_as_they_do_rewrite_by_rewrite(some, seed):
    for n, (_, data) in enumerate(SHAPED):
        same(apply_planned(truncations(data, at_least=14)[seed % 3 :: 3] + damaged(data, seed + n, 10), some))


@pytest.mark.parametrize(("name", "data"), SHAPED, ids=[name for name, _ in SHAPED])
def test_a_frame_with_a_shape_is_rewritten_by_plan(name, data):
    every = [(slot, b"\xa5" * 16, b"\xff" * 16) for slot in SLOTS if "6" not in name or slot != "tp_src"]
    cut = [(slot, value[: places()[slot].slot.n_bytes], mask[: places()[slot].slot.n_bytes])
           for slot, value, mask in every]  # fmt: skip
    assert same(apply_planned([data, data], cut)) == 2


@pytest.mark.parametrize("name", ["tcp", "udp", "tcp6", "udp6", "vlan"])
@given(st.integers(0, 0xFFFF))
@settings(max_examples=20, deadline=None)
def test_whatever_checksum_a_frame_has_it_ends_the_same(name, csum):
    data = bytearray(dict(FRAMES)[name])
    _, _, l3, l4, *_ = parse_frame(bytes(data))
    for at in (l4 + (6 if name.startswith("udp") else 16), l3 + 10 if "6" not in name else l4):
        for value in (csum, 0, 0xFFFF):
            data[at : at + 2] = value.to_bytes(2, "big")
            changes = [("ip_dst", bytes(4), b"\xff" * 4), ("ipv6_dst", bytes(16), b"\xff" * 16),
                       ("tp_dst", csum.to_bytes(2, "big"), b"\xff\xff"), ("nw_ttl", b"\0", b"\xff")]  # fmt: skip
            same(apply_planned([bytes(data)], changes))


def test_a_partial_checksum_is_left_to_the_rewrites_one_by_one():
    data = dict(FRAMES)["tcp"]
    l4 = parse_frame(data)[3]
    assert apply_planned([data], [("ip_dst", bytes(4), b"\xff" * 4)], l4, 16)[0][:2] == (False, None)
