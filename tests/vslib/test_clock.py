"""The clock: real, stopped, warped and virtual; every timer of the switch hangs on it."""

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vslib import clock
from vslib.clock import CLOCK, Clock, VirtualClock, VirtualLoop
from vslib.errors import ConfigError, InternalError


def runners():
    uvloop = pytest.importorskip("uvloop")
    return {"asyncio": asyncio.run, "uvloop": uvloop.run}


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_real_sleep_takes_the_time_asked(loop):
    async def main():
        start = time.monotonic()
        await Clock().sleep(0.03)
        return time.monotonic() - start

    assert 0.028 <= runners()[loop](main()) < 0.5


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_stopped_clock_fires_only_what_a_warp_passes(loop):
    async def main():
        mine, fired = Clock(), []
        mine.call_later(0.001, fired.append, "early")
        mine.stop()
        mine.call_later(20, fired.append, "late")
        before, wall = mine.now_ns(), mine.wall_ms()
        await asyncio.sleep(0.02)
        assert (fired, mine.now_ns()) == ([], before)
        mine.warp(1000)
        assert fired == ["early"]
        assert mine.now_ns() - before == 1_000_000_000
        assert abs(mine.wall_ms() - wall - 1000) < 20
        mine.warp(60000, 1000)
        assert fired == ["early", "late"]
        mine.call_later(0.001, fired.append, "running")
        mine.resume()
        await asyncio.sleep(0.05)
        assert fired[-1] == "running"
        assert mine.now_ns() >= before + 61_000_000_000

    runners()[loop](main())


def test_a_warp_of_a_running_clock_fires_timers_and_time_goes_on():
    async def main():
        mine, fired = Clock(), []
        mine.call_later(100, fired.append, 1)
        mine.warp(100_000)
        assert fired == [1]
        start = mine.now_ns()
        await asyncio.sleep(0.005)
        assert mine.now_ns() > start

    asyncio.run(main())


def test_a_settled_warp_runs_chains_of_sleeps_step_by_step():
    async def main():
        mine, seen = Clock(), []
        mine.stop()
        start = mine.now_ns()

        async def worker():
            for _ in range(5):
                await mine.sleep(1)
                seen.append((mine.now_ns() - start) // 10**9)

        task = asyncio.ensure_future(worker())
        await asyncio.sleep(0)
        await mine.warp_settled(5000, 1000)
        await task
        assert seen == [1, 2, 3, 4, 5]

    asyncio.run(main())


@pytest.mark.parametrize(("ms", "step"), [(0, None), (-1, None), (5, 0), (5, -1)])
def test_a_warp_that_goes_nowhere_is_refused(ms, step):
    with pytest.raises(ConfigError, match="MSECS must be positive"):
        Clock().warp(ms, step)


def test_a_cancelled_timer_does_not_fire_and_an_exception_spares_the_others():
    async def main():
        mine, fired, errors = Clock(), [], []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))
        mine.call_later(1, fired.append, "cancelled").cancel()
        mine.call_later(1, lambda: 1 / 0)
        mine.call_later(1, fired.append, "after")
        mine.warp(2000)
        assert fired == ["after"]
        assert [type(error) for error in errors] == [ZeroDivisionError]

    asyncio.run(main())


def test_timers_without_a_loop_fire_by_warp():
    mine, fired = Clock(), []
    mine.call_later(1, fired.append, 1)
    mine.warp(1000)
    assert fired == [1]


def test_timers_of_a_closed_loop_are_forgotten():
    mine = Clock()

    async def main():
        mine.call_later(1000, print)

    for _ in range(3):
        asyncio.run(main())
    assert len(mine._timers) == 1


def test_wait_for_returns_raises_and_cancels():
    async def main():
        cancelled = []

        async def forever():
            try:
                await CLOCK.sleep(1000)
            except asyncio.CancelledError:
                cancelled.append(True)
                raise

        async def fails():
            raise ValueError("x")

        assert await CLOCK.wait_for(asyncio.sleep(1, "value"), 5) == "value"
        assert await CLOCK.wait_for(asyncio.sleep(1, "value"), None) == "value"
        with pytest.raises(ValueError, match="x"):
            await CLOCK.wait_for(fails(), 5)
        start = CLOCK.now_ns()
        with pytest.raises(TimeoutError):
            await CLOCK.wait_for(forever(), 5)
        assert cancelled == [True]
        assert CLOCK.now_ns() - start == pytest.approx(5e9, abs=1000)
        outer = asyncio.ensure_future(CLOCK.wait_for(forever(), 5))
        await asyncio.sleep(0)
        outer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outer
        await asyncio.sleep(0)
        assert cancelled == [True, True]

    clock.run(main())


def test_a_virtual_loop_jumps_over_hours_at_once():
    async def main():
        wall = CLOCK.wall_ms()
        await CLOCK.sleep(3600)
        await asyncio.sleep(3600)
        return CLOCK.wall_ms() - wall

    start = time.monotonic()
    assert clock.run(main()) == pytest.approx(7_200_000, abs=1)
    assert time.monotonic() - start < 5


def test_the_virtual_clock_is_in_use_only_during_the_run():
    before = CLOCK._clock

    async def main():
        return CLOCK.now_ns()

    assert clock.run(main()) == clock.run(main())
    assert CLOCK._clock is before


def test_advance_stops_exactly_at_the_time_asked():
    loop = VirtualLoop()
    previous = clock.use(loop.clock)
    try:
        fired = []

        async def start():
            for seconds in (1, 2, 3):
                CLOCK.call_later(seconds, fired.append, seconds)

        begin = CLOCK.now_ns()
        loop.run_until_complete(start())
        loop.run_until_idle()
        assert (fired, CLOCK.now_ns()) == ([], begin)
        loop.advance(2.5)
        assert (fired, CLOCK.now_ns() - begin) == ([1, 2], 2_500_000_000)
        CLOCK.stop()
        loop.advance(10)
        assert (fired, CLOCK.now_ns() - begin) == ([1, 2], 2_500_000_000)
        CLOCK.resume()
        loop.advance(10)
        assert fired == [1, 2, 3]
    finally:
        clock.use(previous)
        loop.close()


def test_a_virtual_clock_never_goes_back():
    mine = VirtualClock()
    with pytest.raises(InternalError):
        mine.move_to(mine.now_ns() - 1)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 5000), st.booleans()), max_size=40))
def test_timers_fire_in_order_of_time_then_of_creation(timers):
    async def main():
        fired, handles = [], []
        for number, (ms, _) in enumerate(timers):
            handles.append(CLOCK.call_later(ms / 1000, lambda n=number: fired.append((CLOCK.now_ms(), n))))
        start = CLOCK.now_ms()
        for handle, (_, cancel) in zip(handles, timers, strict=True):
            if cancel:
                handle.cancel()
        await CLOCK.sleep(6)
        wanted = sorted((start + ms, number) for number, (ms, cancel) in enumerate(timers) if not cancel)
        assert fired == wanted

    clock.run(main())
