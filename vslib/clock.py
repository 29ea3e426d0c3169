"""The only source of time: monotonic and wall clock, timers, sleeps, and a clock that can be stopped and warped.

Timers live in the clock's own heaps, one per event loop, and each heap arms a single timer of its loop. That is
what makes ``time/stop`` and ``time/warp`` work on any loop, uvloop included: a stopped clock just does not arm.
``VirtualLoop`` goes further: its clock moves only when the loop has nothing else to do, so every run is the same.

Thread rule: ``now_ns`` and ``wall_ms`` may be called from any thread, everything else from the loop's thread.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import selectors
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from vslib.errors import ConfigError, InternalError

T = TypeVar("T")
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
_process_started_ns = time.monotonic_ns()


def host_ns() -> int:
    """Return the host's monotonic time in ns, which no stop or warp of the clock changes."""
    return time.monotonic_ns()


def process_uptime_ms() -> int:
    """Return for how long this process has run, a fact of the host that no warp of the clock changes."""
    return (time.monotonic_ns() - _process_started_ns) // NS_PER_MS
# uvloop rounds timers to milliseconds and counts them from a cached time, so one may come this much early.
EARLY_NS = NS_PER_MS
# Loop turns that a step of warp_settled() leaves for the tasks it woke, and the tasks that those wake.
SETTLE_TURNS = 8

_serial = itertools.count()


class Handle:
    """One pending call of ``Clock.call_later``; ``cancel()`` before it fired keeps it from firing."""

    __slots__ = ("_args", "_fn", "_serial", "cancelled", "due_ns")

    def __init__(self, due_ns: int, fn: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.due_ns = due_ns
        self.cancelled = False
        self._serial = next(_serial)
        self._fn: Callable[..., object] | None = fn
        self._args = args

    def __lt__(self, other: Handle) -> bool:
        return (self.due_ns, self._serial) < (other.due_ns, other._serial)

    def cancel(self) -> None:
        """Keep the call from being made; harmless after it was made."""
        self.cancelled = True
        self._fn = None
        self._args = ()

    def fire(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Make the call once; an exception goes to the loop's exception handler, not to the other timers."""
        fn, args = self._fn, self._args
        self.cancel()
        if fn is None:
            return
        try:
            fn(*args)
        except Exception as error:
            if loop is None:
                raise
            loop.call_exception_handler({"message": f"timer {fn!r} raised", "exception": error})


class _Timers:
    """The heap of one event loop (or of no loop: then only ``warp`` fires it)."""

    __slots__ = ("_armed", "_clock", "heap", "loop")

    def __init__(self, clock: Clock, loop: asyncio.AbstractEventLoop | None) -> None:
        self.heap: list[Handle] = []
        self.loop = loop
        self._clock = clock
        self._armed: asyncio.TimerHandle | None = None

    def add(self, handle: Handle) -> None:
        heapq.heappush(self.heap, handle)
        if self.heap[0] is handle:
            self.arm()

    def arm(self) -> None:
        """Arm the loop for the first live timer, unless the clock stands still."""
        self.disarm()
        while self.heap and self.heap[0].cancelled:
            heapq.heappop(self.heap)
        if self.heap and self.loop is not None and not self._clock.stopped and not self.loop.is_closed():
            delay_ns = max(0, self.heap[0].due_ns - self._clock.now_ns())
            self._armed = self.loop.call_later(delay_ns / NS_PER_S, self._expired)

    def disarm(self) -> None:
        if self._armed is not None:
            self._armed.cancel()
            self._armed = None

    def _expired(self) -> None:
        self._armed = None
        self.fire_until(self._clock.now_ns() + self._clock.early_ns)

    def fire_until(self, now_ns: int) -> None:
        """Fire what was already pending and is due; a timer that these set waits for the next turn."""
        due = []
        while self.heap and self.heap[0].due_ns <= now_ns:
            due.append(heapq.heappop(self.heap))
        for handle in due:
            handle.fire(self.loop)
        self.arm()


class Clock:
    """Real time, which an operator may stop and warp; all times derive from the host's monotonic clock."""

    early_ns = EARLY_NS

    def __init__(self) -> None:
        self._warped_ns = 0  # what warps and stops added to the host's clock (stops make it negative)
        self._stopped_ns: int | None = None  # the frozen time, None while running
        self._timers: dict[asyncio.AbstractEventLoop | None, _Timers] = {}

    def _host_ns(self) -> int:
        return time.monotonic_ns()

    @property
    def stopped(self) -> bool:
        """Whether time moves by ``warp`` only."""
        return self._stopped_ns is not None

    def now_ns(self) -> int:
        """Return the monotonic time in ns."""
        return self._stopped_ns if self._stopped_ns is not None else self._host_ns() + self._warped_ns

    def now_ms(self) -> int:
        """Return the monotonic time in ms."""
        return self.now_ns() // NS_PER_MS

    def now(self) -> float:
        """Return the monotonic time in seconds."""
        return self.now_ns() / NS_PER_S

    def wall_ms(self) -> int:
        """Return the time of day in ms since 1970-01-01 UTC, stopped and warped like the monotonic time."""
        return (time.time_ns() + self.now_ns() - self._host_ns()) // NS_PER_MS

    def call_later(self, seconds: float, fn: Callable[..., object], *args: Any) -> Handle:
        """Call ``fn(*args)`` once, ``seconds`` from now, on the running loop (without one: by ``warp`` only)."""
        handle = Handle(self.now_ns() + max(0, math.ceil(seconds * NS_PER_S)), fn, args)
        self._timers_here().add(handle)
        return handle

    def _timers_here(self) -> _Timers:
        try:
            loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        timers = self._timers.get(loop)
        if timers is None:
            for other in [known for known in self._timers if known is not None and known.is_closed()]:
                del self._timers[other]
            timers = self._timers[loop] = _Timers(self, loop)
        return timers

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds`` of this clock; zero or less lets the loop turn once."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        handle = self.call_later(seconds, _release, waiter)
        try:
            await waiter
        finally:
            handle.cancel()

    async def wait_for(self, aw: Awaitable[T], seconds: float | None) -> T:
        """Return the result of ``aw``; after ``seconds`` of this clock cancel it and raise TimeoutError."""
        task = asyncio.ensure_future(aw)
        if seconds is None:
            return await task
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(_: object) -> None:
            _release(waiter)

        handle = self.call_later(seconds, _release, waiter)
        task.add_done_callback(done)
        try:
            await waiter
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            handle.cancel()
            task.remove_done_callback(done)
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
            if task.cancelled():
                raise TimeoutError
        return task.result()

    def stop(self) -> None:
        """Freeze the time (``time/stop``): timers fire only when ``warp`` passes them."""
        if self._stopped_ns is None:
            self._stopped_ns = self.now_ns()
            for timers in self._timers.values():
                timers.disarm()

    def resume(self) -> None:
        """Let a stopped clock run on from where it stands."""
        if self._stopped_ns is not None:
            self._warped_ns = self._stopped_ns - self._host_ns()
            self._stopped_ns = None
            for timers in self._timers.values():
                timers.arm()

    def warp(self, ms: int, step_ms: int | None = None) -> None:
        """Move the time ``ms`` ahead, in steps of ``step_ms`` (default: one step), firing due timers after each.

        Only timers fire here; tasks that they wake run when the caller returns to the loop. Use ``warp_settled``
        where each step shall also see those tasks run. Raises ConfigError for a negative or zero step.
        """
        for step_ns in _steps(ms, step_ms):
            self._advance(step_ns)

    async def warp_settled(self, ms: int, step_ms: int | None = None) -> None:
        """Move the time like ``warp``, and let the tasks that each step woke run before the next step."""
        for step_ns in _steps(ms, step_ms):
            self._advance(step_ns)
            for _ in range(SETTLE_TURNS):
                await asyncio.sleep(0)

    def _advance(self, step_ns: int) -> None:
        if self._stopped_ns is not None:
            self._stopped_ns += step_ns
        else:
            self._warped_ns += step_ns
        for timers in list(self._timers.values()):
            timers.fire_until(self.now_ns())


class VirtualClock(Clock):
    """A clock that stands still between explicit moves; ``VirtualLoop`` moves it when it is idle."""

    early_ns = 0

    def __init__(self, start_ns: int = NS_PER_S, wall_ms: int = 1_600_000_000_000) -> None:
        super().__init__()
        self._virtual_ns = start_ns
        self._wall_base_ns = wall_ms * NS_PER_MS - start_ns

    def _host_ns(self) -> int:
        return self._virtual_ns

    def wall_ms(self) -> int:
        """Return the virtual time of day in ms since 1970-01-01 UTC."""
        return (self._wall_base_ns + self.now_ns()) // NS_PER_MS

    def move_to(self, ns: int) -> None:
        """Set the time to ``ns`` without firing timers (the loop does that); raises InternalError if backwards."""
        if ns < self._virtual_ns:
            raise InternalError(f"virtual clock would go back from {self._virtual_ns} to {ns} ns")
        self._virtual_ns = ns


class _VirtualSelector(selectors.DefaultSelector):
    """Wait by moving the clock: real descriptors are only polled while a timer is pending."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock
        self.until_ns: int | None = None  # run no further than this and then call on_idle
        self.on_idle: Callable[[], object] | None = None
        self.other_work: Callable[[], object] | None = None  # done when nothing is ready; true: there may be more

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        if self.other_work is not None and self.other_work():
            return []
        clock = self._clock
        next_ns = None if timeout is None else clock.now_ns() + max(1, math.ceil(timeout * NS_PER_S))
        past_end = next_ns is None or self.until_ns is None or next_ns > self.until_ns
        if self.on_idle is not None and (past_end or clock.stopped):
            if self.until_ns is not None and not clock.stopped:
                clock.move_to(max(self.until_ns, clock.now_ns()))
            self.on_idle()
            return []
        if next_ns is None or clock.stopped:
            return super().select(None)
        clock.move_to(next_ns)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop on a virtual clock: when idle it jumps to its next timer instead of sleeping."""

    def __init__(self, clock: VirtualClock | None = None) -> None:
        self.clock = clock if clock is not None else VirtualClock()
        self._virtual_selector = _VirtualSelector(self.clock)
        super().__init__(self._virtual_selector)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self.clock.now_ns() / NS_PER_S

    def work_when_idle(self, work: Callable[[], object]) -> None:
        """Have `work` called whenever nothing is ready, before time moves; what it returns tells if it did anything."""
        self._virtual_selector.other_work = work

    def run_until_idle(self) -> None:
        """Run until nothing is ready, without moving the time."""
        self._run_until(None)

    def advance(self, seconds: float) -> None:
        """Run for ``seconds`` of virtual time, jumping from timer to timer, and return when all is idle."""
        self._run_until(self.clock.now_ns() + math.ceil(seconds * NS_PER_S))

    def _run_until(self, until_ns: int | None) -> None:
        selector = self._virtual_selector
        selector.until_ns, selector.on_idle = until_ns, self.stop
        try:
            self.run_forever()
        finally:
            selector.until_ns = selector.on_idle = None


_here: ContextVar[Clock | None] = ContextVar("clock in use here", default=None)


@contextmanager
def using(clock: Clock) -> Iterator[None]:
    """Make ``clock`` the one behind ``CLOCK`` for the block, and for the callbacks and tasks that it starts; nobody
    else sees it.
    """
    token = _here.set(clock)
    try:
        yield
    finally:
        _here.reset(token)


class _Current:
    """Stands for the clock in use, so that ``from vslib.clock import CLOCK`` follows ``using()`` and ``use()``."""

    __slots__ = ("_clock",)

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(_here.get() or self._clock, name)


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _steps(ms: int, step_ms: int | None) -> list[int]:
    """Return the steps, in ns, of a warp of ``ms``; the last one is what remains."""
    step = ms if step_ms is None else step_ms
    if ms <= 0 or step <= 0:
        raise ConfigError("MSECS must be positive")
    whole, rest = divmod(ms, step)
    return [step * NS_PER_MS] * whole + ([rest * NS_PER_MS] if rest else [])


_current = _Current(Clock())
CLOCK: Clock = _current  # type: ignore[assignment]


def use(clock: Clock) -> Clock:
    """Make ``clock`` the one behind ``CLOCK`` and return the one it replaces."""
    previous = _current._clock
    _current._clock = clock
    return previous


def run(main: Coroutine[Any, Any, T], clock: VirtualClock | None = None) -> T:
    """Run ``main`` on a VirtualLoop with its clock in use, then put the old clock back and return the result."""
    loop = VirtualLoop(clock)
    previous = use(loop.clock)
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            return runner.run(main)
    finally:
        use(previous)
