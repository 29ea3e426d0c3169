"""The flow cache never answers for a megaflow that has gone, nor for another key (DP.02)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from datapath.testing_caches import Caches
from tests.datapath.forwarding import match

NONE = match()[1]
KEYS = [match(in_port=bytes((0, 0, 0, n)))[0] for n in range(4)]
KEYS += [match(in_port=b"\0\0\0\0", tun_id=bytes(7) + bytes((n + 1,)))[0] for n in range(3)]
FULL = b"\xff" * len(KEYS[0])
# few hashes, so that keys meet in sets and even share a whole hash
STEPS = st.lists(st.tuples(st.sampled_from("irkc"), st.integers(0, len(KEYS) - 1), st.sampled_from([1, 1 + 8192, 2])),
                 max_size=60)


@given(STEPS)
@settings(max_examples=200, deadline=None)
def test_recall_is_right_or_nothing(steps):
    caches, live = Caches(), {}
    for number, (action, which, h) in enumerate(steps):
        key = KEYS[which]
        if action == "i":
            caches.insert(key, FULL, number)
            live[which] = number
        elif action == "k" and which in live:
            caches.remove(live.pop(which))
            caches.reap()
        elif action == "r":
            assert caches.remember(key, h) == live.get(which)
        assert caches.recall(key, h) in (None, live.get(which))


def test_a_flow_that_was_remembered_is_recalled():
    caches = Caches()
    for n, key in enumerate(KEYS):
        caches.insert(key, FULL, n)
        assert caches.remember(key, caches.hash(key)) == n
    assert [caches.recall(key, caches.hash(key)) for key in KEYS] == list(range(len(KEYS)))


def test_a_dead_megaflow_gives_way_to_the_next():
    caches = Caches()
    caches.insert(KEYS[0], FULL, 1)
    caches.remember(KEYS[0], 5)
    caches.remove(1)
    caches.reap()
    assert caches.recall(KEYS[0], 5) is None
    caches.insert(KEYS[0], FULL, 2)
    caches.remember(KEYS[0], 5)
    assert caches.recall(KEYS[0], 5) == 2


def test_live_flows_of_a_full_set_are_replaced_now_and_then():
    caches = Caches()
    caches.insert(KEYS[0], NONE, 1)
    for key in KEYS[:4]:
        caches.remember(key, 5)
    assert sum(caches.recall(key, 5) == 1 for key in KEYS[:4]) == 2
    for _ in range(8):
        caches.remember(KEYS[3], 5)
    assert caches.recall(KEYS[3], 5) == 1


def test_hashes_differ_with_every_word():
    caches = Caches()
    keys = [bytes(n) + b"\x01" + bytes(len(FULL) - n - 1) for n in range(len(FULL))]
    assert len({caches.hash(key) for key in keys}) == len(keys)
