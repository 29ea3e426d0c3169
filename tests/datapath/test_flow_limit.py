"""The flow limit follows how long sweeps take; sweeps are cut by time (DP.10, issue 4, 5)."""

from __future__ import annotations

import pytest

from datapath.flow_limit import FLOOR, STEP, FlowLimit
from tests.datapath.forwarding import S, frame, out, rig, rule

MS = 1_000_000
SLICE_STEP = 32
EACH = {"tp_src": b"\xff\xff"}


@pytest.mark.parametrize(
    ("duration_ms", "n_flows", "wanted"),
    [
        (0, 100_000, 100_000),  # nothing to do
        (1200, 100_000, 100_000),  # neither quick nor late
        (1400, 100_000, 75_000),
        (1400, 8_000, 6_000),  # measured from what there is
        (4000, 100_000, 25_000),
        (4000, 500, FLOOR),
    ],
)
def test_a_late_sweep_lowers_the_limit(duration_ms, n_flows, wanted):
    limit = FlowLimit(100_000)
    limit.swept(duration_ms, n_flows)
    assert (limit.current, limit.upper, limit.sweep_ms) == (wanted, 100_000, duration_ms)


def test_it_grows_back_in_steps_while_sweeps_are_quick_and_megaflows_need_room():
    limit = FlowLimit(50_000)
    limit.swept(10_000, 50_000)
    assert limit.current == 5_000
    limit.swept(10, 2_000)  # too few to say anything
    limit.swept(999, 4_000)  # so many take their time
    assert limit.current == 5_000
    seen = []
    while limit.current < limit.upper:
        limit.swept(10, limit.current)
        seen.append(limit.current)
    assert seen == [*range(5_000 + STEP, 50_000 + STEP, STEP)]
    limit.swept(10, 50_000)
    assert limit.current == 50_000
    assert limit.highest == 50_000


def test_the_operator_may_want_fewer_than_the_floor():
    limit = FlowLimit(300)
    limit.swept(60_000, 300)
    assert limit.current == 300
    limit.set_upper(20_000)
    assert limit.current == 20_000


def install(r, n):
    r.hook.set_bank(1, [rule(**EACH), rule(out(2), credit=1)])
    for start in range(0, n, 500):
        r.send(1, *(frame(sport=i) for i in range(start, min(n, start + 500))))
    assert r.dp.stats()["n_flows"] == n


def test_a_sweep_that_takes_long_lowers_the_limit_of_the_forwarders():
    with rig() as r:
        install(r, 4000)
        r.hook.slow_credits(4_000)
        r.dp.sweep()
        assert r.dp.step(r.now_ns, 1)
        r.hook.slow_credits(0)
        r.dp.sweep()  # the first is under way: nothing
        r.dp.step(r.now_ns + 3 * S)  # by this clock the rest came 3 s later
        assert r.dp.limits.sweep_ms == 3000
        assert r.dp.limits.current == 4000 * 1000 // 3000 == 1333
        assert r.dp.flow_limit == 200_000
        r.dp.sweep()
        r.dp.step(r.now_ns + 3 * S)
        assert r.dp.limits.sweep_ms == 0


@pytest.mark.parametrize(
    ("limit", "later_ms", "left"),
    [(400, 200, 400), (250, 50, 400), (250, 200, 250), (200, 50, 400), (199, 0, 398)],
    ids=["at the limit", "over it, used", "over it, unused", "at twice", "over twice"],
)
def test_over_the_limit_sweeps_keep_what_is_used(limit, later_ms, left):
    with rig() as r:
        install(r, 400)
        r.dp.flow_limit = limit
        r.dp.sweep()
        r.dp.step(r.now_ns + later_ms * MS)
        assert r.dp.stats()["n_flows"] == left


def test_a_new_megaflow_takes_the_place_of_few_old_ones_at_a_time():
    with rig() as r:
        install(r, 400)
        r.dp.flow_limit = 100
        for n in range(10):
            r.send(1, frame(sport=1000 + n))
            assert r.dp.stats()["n_flows"] == 400 - 3 * (n + 1)


def test_a_slice_ends_when_its_time_is_over():
    n = 20 * SLICE_STEP
    with rig() as r:
        install(r, n)
        r.hook.slow_credits(100_000 // SLICE_STEP + 1)  # so that the first look at the clock finds it over
        before = r.dp.stats()["forwarders"][0]["slices"]
        done = []
        r.dp.push_credits(lambda: done.append(1))
        for i in range(1, n // SLICE_STEP + 1):
            assert not done
            r.dp.step(r.now_ns, 1)
            assert r.dp.stats()["forwarders"][0]["slices"] - before == i
            assert r.hook.credits(1)[0] == i * SLICE_STEP
        assert done
