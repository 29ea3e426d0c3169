"""Bundles without a peer: all or none on the tables, limits and time-outs (OF.10, OF.11)."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofproto import bundles
from ofproto.bundles import Bundles
from ofproto.errors import OpenFlowError
from ofproto.testing_flows import heap_size, version_of
from tests.ofproto import flow_messages as wire
from tests.ofproto.test_flow_table import FULL, Both, X, dump, mods, new_tables
from tests.oracle.flow_table_naive import ADD, CHECK_OVERLAP, MODIFY, Mod, Refused
from vslib.clock import VirtualClock, use


@pytest.fixture
def clock():
    """A clock that stands still until a test moves it."""
    virtual = VirtualClock()
    previous = use(virtual)
    yield virtual
    use(previous)


# -- on the tables


def bundle(both: Both, batch: list[Mod]) -> None:
    """Apply a bundle to the tables, and one by one to a copy of the oracle: the copy counts when all were taken."""
    trial, want, error = copy.deepcopy(both.naive), [], None
    for index, mod in enumerate(batch):
        try:
            want += trial.apply(mod)
        except Refused as refused:
            error = (index, refused.args[0])
            break
    version = version_of(both.tables)
    told, failure = both.tables.apply_bundle([wire.flow_mod(m) for m in batch], nxt_table_id=True)
    assert (failure and (failure[0], failure[1].name)) == error
    assert version_of(both.tables) <= version + 1
    if error is None:
        both.naive = trial
    both.compare(told, [] if error else want)


WAIT, CREDIT = st.tuples(st.just("wait"), st.integers(0, 4)), st.tuples(st.just("credit"), st.integers(0, 100))
STEP = st.one_of(mods(), WAIT, CREDIT, st.just(("collect", 0)))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(STEP, st.lists(mods(), max_size=40)), max_size=12))
def test_bundles_among_other_edits_are_all_or_nothing(steps):
    both = Both()
    previous = use(both.clock)
    try:
        for step in steps:
            if isinstance(step, list):
                bundle(both, step)
            else:
                both.step(step)
    finally:
        use(previous)


def test_an_overlap_with_a_flow_of_the_same_bundle_is_found(clock):
    tables = new_tables()
    batch = [Mod(ADD, match=X), Mod(ADD, match=(0, 0, 1, FULL), flags=CHECK_OVERLAP)]
    removed, failure = tables.apply_bundle([wire.flow_mod(m) for m in batch], nxt_table_id=True)
    assert (removed, failure[0], failure[1].name) == ([], 1, "OFPFMFC_OVERLAP")
    assert tables.n_flows == 0 and dump(tables) == []


def test_a_failed_bundle_leaves_time_outs_as_they_were(clock):
    tables = new_tables()
    tables.flow_mod(wire.flow_mod(Mod(ADD, match=X, idle=5, outputs=(1,))), nxt_table_id=True)
    heap = heap_size(tables)
    batch = [Mod(MODIFY, outputs=(2,)), Mod(ADD, match=(0, 0, 1, FULL), priority=9, hard=3), Mod(ADD, table=254)]
    _, failure = tables.apply_bundle([wire.flow_mod(m) for m in batch], nxt_table_id=True)
    assert failure[0] == 2
    assert heap_size(tables) == heap
    clock.move_to(clock.now_ns() + 10**10)
    tables.expire(clock.now_ns())
    assert tables.n_flows == 0


def test_the_error_of_a_message_alone_is_known_before_the_commit(clock):
    tables = new_tables()
    tables.check(wire.flow_mod(Mod(ADD, match=X)), nxt_table_id=True)
    with pytest.raises(OpenFlowError, match="OFPBRC_EPERM"):
        tables.check(wire.flow_mod(Mod(ADD, table=254)), nxt_table_id=True)
    with pytest.raises(OpenFlowError, match="OFPBRC_BAD_LEN"):
        tables.check(b"\x04\x0e\x00\x08" + bytes(4))
    assert tables.n_flows == 0


# -- the bundles of a connection


def test_a_bundle_in_use_goes_on_and_an_idle_one_ends(clock):
    open_ones = Bundles()
    for number in (1, 2):
        open_ones.begin(number, 3, bytes([number]) * 100)
    clock.move_to(clock.now_ns() + 9 * 10**9)
    assert open_ones.use(2, 3) is not None and open_ones.expired() == []
    clock.move_to(clock.now_ns() + 10**9)
    assert [(b.number, b.opener) for b in open_ones.expired()] == [(1, b"\x01" * 64)]
    assert open_ones.deadline_ms == clock.now_ms() + 9000
    clock.move_to(clock.now_ns() + 9 * 10**9)
    assert [b.number for b in open_ones.expired()] == [2] and open_ones.deadline_ms is None


def test_the_bytes_of_all_bundles_of_a_connection_are_limited(clock, monkeypatch):
    monkeypatch.setattr(bundles, "BYTES_MAX", 1000)
    open_ones = Bundles()
    first, second = (open_ones.begin(number, 3, b"") for number in (1, 2))
    for _ in range(5):
        open_ones.grow(first, 150)
    open_ones.grow(second, 150)
    with pytest.raises(OpenFlowError, match="OFPBFC_MSG_TOO_MANY"):
        open_ones.grow(second, 150)
    assert open_ones.use(2, 3) is None and len(open_ones) == 1  # it is gone, its room is free again
    open_ones.grow(first, 150)
