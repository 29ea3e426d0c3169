"""The event loop looks for news before it sleeps, as long as that pays (MS.36)."""

from __future__ import annotations

import asyncio
import os
import selectors

import pytest

from vslib import eager_loop
from vslib.eager_loop import LOOK_NS, SOON_NS, EagerSelector

STEP_NS = 1000


class Hand:
    """A clock that moves by `step_ns` whenever it is read."""

    def __init__(self):
        self.now_ns = 0
        self.reads = 0
        self.step_ns = STEP_NS

    def __call__(self):
        self.now_ns += self.step_ns
        self.reads += 1
        return self.now_ns


@pytest.fixture
def rig():
    clock = Hand()
    selector = EagerSelector(clock)
    reader, writer = os.pipe()
    selector.register(reader, selectors.EVENT_READ, "data")

    def news(pause_ns):
        """Let news come `pause_ns` after select() was called, as far as the selector can tell."""
        clock.step_ns = pause_ns
        os.write(writer, b"x")
        ((key, events),) = selector.select(5)
        assert (key.data, events, os.read(reader, 1)) == ("data", selectors.EVENT_READ, b"x")
        clock.step_ns, clock.reads = STEP_NS, 0

    yield clock, selector, news
    selector.close()
    os.close(reader)
    os.close(writer)


def looks(clock, selector):
    """Return how often it looked before it slept."""
    clock.reads = 0
    assert selector.select(0.001) == []
    return clock.reads


def test_without_news_it_sleeps_at_once(rig):
    clock, selector, _ = rig
    assert looks(clock, selector) == 1


def test_after_news_that_came_soon_it_looks_for_more(rig):
    clock, selector, news = rig
    for _ in range(4):
        news(SOON_NS)
    assert looks(clock, selector) == pytest.approx(LOOK_NS / STEP_NS, abs=2)


def test_news_that_come_late_are_slept_for(rig):
    clock, selector, news = rig
    for _ in range(20):
        news(SOON_NS + 1)
    assert looks(clock, selector) == 1


def test_looking_in_vain_is_given_up_for_longer_and_longer(rig):
    clock, selector, news = rig
    for _ in range(50):
        news(STEP_NS)
    assert [looks(clock, selector) > 1 for _ in range(6)] == [True] * 4 + [False] * 2
    for apart in (8, 16, 32):
        for _ in range(apart):
            assert looks(clock, selector) == 1
            news(STEP_NS)
        assert looks(clock, selector) > 1


def test_finding_something_makes_up_for_looking_in_vain_now_and_then(rig):
    clock, selector, news = rig
    for _ in range(30):
        for _ in range(10):
            news(STEP_NS)
        assert looks(clock, selector) > 1


def test_it_looks_no_longer_than_it_may_wait(rig):
    clock, selector, news = rig
    for _ in range(10):
        news(STEP_NS)
    clock.reads = 0
    assert selector.select(5e-6) == []
    assert clock.reads <= 8


def test_a_look_without_waiting_costs_nothing_more(rig):
    clock, selector, news = rig
    for _ in range(10):
        news(STEP_NS)
    assert selector.select(0) == [] and clock.reads == 0


def test_a_loop_with_it_runs_timers_and_callbacks():
    async def talk():
        loop = asyncio.get_running_loop()
        reader, writer = os.pipe()
        heard = asyncio.Event()
        for _ in range(50):
            loop.add_reader(reader, lambda: (os.read(reader, 1), heard.set()))
            os.write(writer, b"x")
            await heard.wait()
            heard.clear()
        begin = loop.time()
        await asyncio.sleep(0.01)
        loop.remove_reader(reader)
        os.close(reader)
        os.close(writer)
        return loop.time() - begin

    with asyncio.Runner(loop_factory=eager_loop.new_loop) as runner:
        assert runner.run(talk()) >= 0.0095
