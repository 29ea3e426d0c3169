"""Which forwarder receives from which queue: Open vSwitch's rules (DP.15, DP.16)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapath.rx_assign import MODES, Assignment, QueueId, Wish, assign, improvement, place


def queues(*loads, cores=None):
    return {QueueId(1, i): Wish((cores or {}).get(i), load) for i, load in enumerate(loads)}


def owners(wishes, cores, mode, isolate=True):
    return [assign(wishes, cores, mode, isolate).cores[queue] for queue in sorted(wishes)]


def test_cycles_goes_through_the_cores_forth_and_back_by_load():
    assert owners(queues(10, 50, 40, 20, 30), [0, 1], "cycles") == [0, 0, 1, 0, 1]


def test_roundrobin_goes_by_port_and_number():
    assert owners(queues(10, 50, 40, 20, 30), [2, 5], "roundrobin") == [2, 5, 2, 5, 2]


def test_group_gives_to_the_least_loaded():
    assert owners(queues(90, 30, 30, 30, 0), [0, 1], "group") == [0, 1, 1, 1, 0]


def test_pinned_queues_keep_others_away_unless_told_otherwise():
    wishes = queues(0, 0, 0, cores={1: 0})
    found = assign(wishes, [0, 1], "cycles", True)
    assert (list(found.cores.values()), found.isolated, found.pinned) == ([0, 1, 1], {0}, {QueueId(1, 1)})
    assert owners(wishes, [0, 1], "cycles", False) == [0, 0, 1]


def test_queues_whose_core_is_not_there_get_another_and_are_named():
    found = assign(queues(0, cores={0: 7}), [0], "cycles", True)
    assert (found.cores, found.homeless) == ({QueueId(1, 0): 0}, [QueueId(1, 0)])


def test_where_every_core_is_isolated_the_others_share_them():
    assert owners(queues(0, 0, cores={0: 0}), [0], "group") == [0, 0]


def test_one_more_queue_goes_where_the_fewest_are():
    now = Assignment({QueueId(1, 0): 0, QueueId(2, 0): 1, QueueId(3, 0): 0}, set(), {2})
    assert place(now, [0, 1, 2]) == 1
    assert place(Assignment(isolated={0}), [0]) == 0


def test_improvement_is_of_the_variance():
    loads = {QueueId(1, i): 50 for i in range(4)}
    alone, even = dict.fromkeys(loads, 0), dict(zip(loads, (0, 1, 0, 1), strict=True))
    assert improvement(alone, even, loads, [0, 1]) == 100
    assert improvement(even, even, loads, [0, 1]) == 0


@pytest.mark.parametrize("mode", MODES)
@given(
    st.lists(st.tuples(st.integers(0, 1000), st.one_of(st.none(), st.integers(0, 4))), max_size=12),
    st.sets(st.integers(0, 3), min_size=1),
    st.booleans(),
)
def test_every_queue_has_one_core_that_is_there_if_one_is_open(mode, given_queues, cores, isolate):
    wishes = {QueueId(i, 0): Wish(core, load) for i, (load, core) in enumerate(given_queues)}
    found = assign(wishes, sorted(cores), mode, isolate)
    assert found.cores.keys() == wishes.keys()
    for queue, core in found.cores.items():
        wanted = wishes[queue].core
        if wanted in cores:
            assert core == wanted and queue in found.pinned
        else:
            assert core in (cores - found.isolated or cores)
