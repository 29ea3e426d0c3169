"""Named event counters and the text of ``coverage/show`` with their rates over 5 seconds, a minute and an hour.

A counter is an object with ``inc()``, or a callable that reads a count kept elsewhere (``export``), so that
compiled code counts in C. ``sample()`` runs every 5 s (``start`` does that on the clock) and keeps the history.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable

from vslib.clock import CLOCK, Handle
from vslib.errors import ConfigError

SLOT_S = 5
SLOTS_PER_MINUTE = 60 // SLOT_S
MINUTES_PER_HOUR = 60


class Counter:
    """One event's count since the start of the process."""

    __slots__ = ("name", "total")

    def __init__(self, name: str) -> None:
        self.name = name
        self.total = 0

    def inc(self, n: int = 1) -> None:
        """Count ``n`` more events."""
        self.total += n


class _History:
    """Counts of the last minute in slots of 5 s and of the last hour in minutes, newest last."""

    __slots__ = ("minutes", "slots", "taken")

    def __init__(self, total: int = 0) -> None:
        self.taken = total
        self.slots: deque[int] = deque([0] * SLOTS_PER_MINUTE, SLOTS_PER_MINUTE)
        self.minutes: deque[int] = deque([0] * MINUTES_PER_HOUR, MINUTES_PER_HOUR)

    def sample(self, total: int, minute_ends: bool) -> None:
        self.slots.append(total - self.taken)
        self.taken = total
        if minute_ends:
            self.minutes.append(sum(self.slots))

    def rates(self) -> tuple[float, float, float]:
        """Return events per second over the last 5 s, minute and hour."""
        return self.slots[-1] / SLOT_S, sum(self.slots) / 60, sum(self.minutes) / 3600


_counters: dict[str, Counter] = {}
_exports: dict[str, Callable[[], int]] = {}
_histories: dict[str, _History] = {}
_samples = 0
_timer: Handle | None = None


def counter(name: str) -> Counter:
    """Return the counter called ``name``, made on first use."""
    found = _counters.get(name)
    if found is None:
        found = _counters[name] = Counter(name)
    return found


def export(name: str, read: Callable[[], int]) -> None:
    """Show the count that ``read()`` returns under ``name``; a later export of the same name replaces it."""
    _exports[name] = read


def unexport(name: str) -> None:
    """Stop showing an exported count; harmless if there is none."""
    _exports.pop(name, None)
    if name not in _counters:
        _histories.pop(name, None)


def read_counter(name: str) -> int:
    """Return the count of ``name``; raises ConfigError if there is no such counter."""
    read = _exports.get(name)
    if read is not None:
        return read()
    if name not in _counters:
        raise ConfigError("No such counter")
    return _counters[name].total


def sample() -> None:
    """Close a slot of 5 seconds; call it every 5 seconds."""
    global _samples
    _samples += 1
    for name in [*_counters, *_exports]:
        history = _histories.get(name)
        if history is None:
            history = _histories[name] = _History()
        history.sample(read_counter(name), _samples % SLOTS_PER_MINUTE == 0)


def start() -> None:
    """Sample on the running loop's clock from now on; a second start moves the sampling to the loop of its caller."""
    global _timer
    stop()
    _timer = CLOCK.call_later(SLOT_S, _tick)


def stop() -> None:
    """Sample no more."""
    global _timer
    if _timer is not None:
        _timer.cancel()
        _timer = None


def _tick() -> None:
    global _timer
    sample()
    _timer = CLOCK.call_later(SLOT_S, _tick)


def rows() -> list[dict[str, str | int | float]]:
    """Return every counter as name, total and events per second over the last 5 s, minute and hour."""
    found: list[dict[str, str | int | float]] = []
    for name in sorted({*_counters, *_exports}):
        slot, minute, hour = _histories.get(name, _History()).rates()
        found.append({"name": name, "total": read_counter(name), "rate_5s": slot, "rate_minute": minute,
                      "rate_hour": hour})  # fmt: skip
    return found


def show() -> str:
    """Return the text of ``coverage/show``: every counter that was ever hit, and how many were not."""
    totals = {name: read_counter(name) for name in sorted({*_counters, *_exports})}
    hit = [name for name, total in totals.items() if total]
    # The hash stands for *which* counters were hit, so that equal behaviour is seen at a glance.
    seal = zlib.crc32("\n".join(hit).encode())
    lines = [f"Event coverage, avg rate over last: {SLOT_S} seconds, last minute, last hour,  hash={seal:08x}:"]
    for name in hit:
        slot, minute, hour = _histories.get(name, _History()).rates()
        lines.append(f"{name:<24} {slot:5.1f}/sec {minute:9.3f}/sec {hour:13.4f}/sec   total: {totals[name]}")
    lines.append(f"{len(totals) - len(hit)} events never hit")
    return "\n".join(lines) + "\n"
