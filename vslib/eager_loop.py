"""An asyncio event loop that looks a little longer for news before it sleeps, while that pays.

A peer that waits for each answer before it asks again, as `ovs-ofctl add-flows` does for each flow, makes the loop
sleep and wake up once a question, which costs both sides 5 to 50 us. So when questions have lately come soon after the
loop had nothing left to do, it asks the kernel for LOOK_NS without waiting, and only then sleeps. It goes on so while
it finds something. Looks in vain, as where the peer would need the processor that looks, end that: then it tries again
after TRY_AFTER questions that came soon after it slept, and after twice as many each time that this was in vain, too.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable

from vslib.clock import host_ns

LOOK_NS = 50_000  # about what a sleep and wake-up costs
SOON_NS = 100_000  # news after a sleep came soon; a part of it was the wake-up
TRY_AFTER, TRY_AFTER_MOST = 4, 1024
TRUST_MOST = 8  # finds that are remembered; each look in vain halves them

Events = list[tuple[selectors.SelectorKey, int]]


class EagerSelector(selectors.EpollSelector):
    """The policy of the module's first sentence. now_ns: a clock that nobody stops."""

    def __init__(self, now_ns: Callable[[], int] = host_ns) -> None:
        super().__init__()
        self._now_ns = now_ns
        self._trust = 0  # it looks while this is not 0
        self._apart = TRY_AFTER  # news that must come soon after sleeping before it tries again
        self._left = TRY_AFTER  # of these, still to come

    def select(self, timeout: float | None = None) -> Events:
        """Return what is ready, as soon as something is; waits up to `timeout` seconds, None = for ever."""
        if timeout is not None and timeout <= 0:
            return super().select(timeout)
        begin_ns = self._now_ns()
        if not self._trust:
            return self._sleep(timeout, begin_ns)
        end_ns = begin_ns + (LOOK_NS if timeout is None else min(LOOK_NS, int(timeout * 1e9)))
        found = super().select(0)
        while not found and self._now_ns() < end_ns:
            found = super().select(0)
        if found:
            self._trust, self._apart = min(self._trust + 1, TRUST_MOST), TRY_AFTER
            return found
        self._trust //= 2
        if not self._trust:
            self._apart = self._left = min(2 * self._apart, TRY_AFTER_MOST)
        return super().select(timeout)

    def _sleep(self, timeout: float | None, begin_ns: int) -> Events:
        found = super().select(timeout)
        if found and self._now_ns() - begin_ns <= SOON_NS:  # not a timer, and not late
            self._left -= 1
            self._trust = int(self._left <= 0)
        return found


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a loop with such a selector."""
    return asyncio.SelectorEventLoop(EagerSelector())
