"""How many packet-ins one controller gets (CH.13): a rate limit with a queue for each port, and a limit of how many may
wait for a controller that does not read.

What goes over a limit is dropped and counted, so a flood of packets that nobody handles costs neither memory nor the
turn of other controllers. Thread rule: the control thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from vslib import coverage
from vslib.clock import CLOCK, Handle

DEFAULT_QUEUE_SIZE = 100
NS_PER_S = 1_000_000_000
DRAIN_PERIOD_S = 0.05  # how often queued packet-ins are looked at while there are any
_limited = coverage.counter("packet_in_rate_limited")


class Limits(NamedTuple):
    """What a Controller row says. rate_pps: packet-ins a second, 0 = no limit; burst: how many at once, 0 = a quarter
    of the rate; queue_size: how many may wait to be sent.
    """

    rate_pps: int = 0
    burst: int = 0
    queue_size: int = DEFAULT_QUEUE_SIZE


class RateLimiter:
    """A token bucket; what has no token waits, by port, and ports take turns."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self.bypassed = self.queued = self.dropped = 0  # since the limit was set
        self._send = send
        self._rate_pps = self._burst = 0
        self._tokens = 0.0
        self._filled_ns = 0
        self._queues: dict[int, deque[bytes]] = {}  # in the order of turns
        self._backlog = 0
        self._timer: Handle | None = None

    def configure(self, rate_pps: int, burst: int) -> None:
        """Set the limit; packets over a smaller burst are dropped, and without a limit all are sent."""
        burst = max(1, burst or rate_pps // 4)
        if (rate_pps, burst) == (self._rate_pps, self._burst):
            return
        if not self._rate_pps:
            self.bypassed = self.queued = self.dropped = 0
            self._tokens, self._filled_ns = float(burst), CLOCK.now_ns()
        self._rate_pps, self._burst = rate_pps, burst
        while self._backlog > (burst if rate_pps else 0):
            self._drop() if rate_pps else self._send(self._take_turn())

    def put(self, port: int, message: bytes) -> None:
        """Send a packet-in about a packet of `port` (OpenFlow number), now or when it is its turn."""
        if not self._rate_pps:
            self._send(message)
            return
        self._fill()
        if not self._backlog and self._tokens >= 1:
            self._tokens -= 1
            self.bypassed += 1
            self._send(message)
            return
        if self._backlog >= self._burst:
            self._drop()
        self._queues.setdefault(port, deque()).append(message)
        self._backlog += 1
        self.queued += 1
        if self._timer is None:
            self._timer = CLOCK.call_later(DRAIN_PERIOD_S, self._drain)

    def status(self, kind: str) -> dict[str, int]:
        """Return the counts under the keys of Controller.status, none without a limit."""
        if not self._rate_pps:
            return {}
        counts = {"backlog": self._backlog, "bypassed": self.bypassed, "dropped": self.dropped, "queued": self.queued}
        return {f"packet-in-{kind}-{name}": count for name, count in counts.items()}

    def close(self) -> None:
        """Forget what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._queues.clear()
        self._backlog = 0

    def _fill(self) -> None:
        now_ns = CLOCK.now_ns()
        self._tokens = min(self._burst, self._tokens + (now_ns - self._filled_ns) * self._rate_pps / NS_PER_S)
        self._filled_ns = now_ns

    def _drop(self) -> None:
        """Drop the oldest packet of the port that has most."""
        port = max(self._queues, key=lambda number: len(self._queues[number]))
        self._queues[port].popleft()
        if not self._queues[port]:
            del self._queues[port]
        self._backlog -= 1
        self.dropped += 1
        _limited.inc()

    def _take_turn(self) -> bytes:
        port = next(iter(self._queues))
        queue = self._queues.pop(port)
        message = queue.popleft()
        if queue:
            self._queues[port] = queue  # at the end again
        self._backlog -= 1
        return message

    def _drain(self) -> None:
        self._timer = None
        self._fill()
        while self._backlog and self._tokens >= 1:
            self._tokens -= 1
            self._send(self._take_turn())
        if self._backlog:
            self._timer = CLOCK.call_later(DRAIN_PERIOD_S, self._drain)


class Outstanding:
    """How many packet-ins wait in a stream's output queue, found from where in the stream each ends."""

    def __init__(self) -> None:
        self._written_bytes = 0
        self._ends: deque[int] = deque()

    def wrote(self, n_bytes: int) -> None:
        """Note that bytes went to the stream."""
        self._written_bytes += n_bytes

    def note(self) -> None:
        """Note that what was written last was a packet-in."""
        self._ends.append(self._written_bytes)

    def count(self, queued_bytes: int) -> int:
        """Return how many still wait when `queued_bytes` do."""
        sent = self._written_bytes - queued_bytes
        while self._ends and self._ends[0] <= sent:
            self._ends.popleft()
        return len(self._ends)
