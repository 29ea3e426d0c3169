"""Coverage counters and the text of coverage/show (AP.08, AP.09); memory/show."""

import pytest

from vslib import clock, coverage, memory
from vslib.clock import CLOCK
from vslib.errors import ConfigError


@pytest.fixture(autouse=True)
def no_counters(monkeypatch):
    """Give each test an empty set of counters."""
    for name in ("_counters", "_exports", "_histories"):
        monkeypatch.setattr(coverage, name, {})
    monkeypatch.setattr(coverage, "_samples", 0)
    yield
    coverage.stop()


def line_of(name):
    """Return the line of one counter."""
    return next(line for line in coverage.show().splitlines() if line.startswith(name + " "))


def test_counters_count_and_unhit_ones_are_summed_up():
    coverage.counter("hit").inc()
    coverage.counter("hit").inc(4)
    coverage.counter("idle")
    assert coverage.read_counter("hit") == 5
    with pytest.raises(ConfigError, match="No such counter"):
        coverage.read_counter("nope")
    lines = coverage.show().splitlines()
    assert lines[0].startswith("Event coverage, avg rate over last: 5 seconds, last minute, last hour,  hash=")
    assert lines[1] == "hit                        0.0/sec     0.000/sec        0.0000/sec   total: 5"
    assert lines[2:] == ["1 events never hit"]


def test_rates_are_averages_over_5_seconds_a_minute_and_an_hour():
    async def main():
        hits = coverage.counter("hits")
        coverage.start()
        coverage.start()
        hits.inc(600)
        await CLOCK.sleep(5.1)
        assert line_of("hits").split()[1:4] == ["120.0/sec", "10.000/sec", "0.0000/sec"]
        await CLOCK.sleep(5)
        assert line_of("hits").split()[1:4] == ["0.0/sec", "10.000/sec", "0.0000/sec"]
        await CLOCK.sleep(60)
        assert line_of("hits").split()[1:4] == ["0.0/sec", "0.000/sec", "0.1667/sec"]
        await CLOCK.sleep(3600)
        assert line_of("hits").split()[1:4] == ["0.0/sec", "0.000/sec", "0.0000/sec"]
        coverage.stop()

    clock.run(main())


def test_counts_kept_elsewhere_are_exported():
    count = [0]
    coverage.export("compiled", lambda: count[0])
    count[0] = 1 << 40
    assert coverage.read_counter("compiled") == 1 << 40
    assert line_of("compiled").endswith(f"total: {1 << 40}")
    coverage.unexport("compiled")
    coverage.unexport("compiled")
    assert coverage.show().splitlines()[1:] == ["0 events never hit"]


def test_the_hash_stands_for_which_counters_were_hit():
    coverage.counter("a").inc()
    before = coverage.show().splitlines()[0]
    coverage.counter("a").inc()
    assert coverage.show().splitlines()[0] == before
    coverage.counter("b").inc()
    assert coverage.show().splitlines()[0] != before


def test_memory_show_is_one_sorted_line():
    assert memory.show() == ""
    memory.register("ports", lambda: 3)
    memory.register("flows", lambda: 10)
    assert memory.show() == "flows:10 ports:3\n"
    memory.unregister("ports")
    memory.unregister("flows")
