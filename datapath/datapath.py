"""Datapath: the Python face of the forwarders: ports, flows, statistics, barriers.

Everything here runs on the control thread. Blocking calls release the GIL while they wait; the others answer through
callbacks, which `run_callbacks` runs when `completion_fd` is readable (`loop.add_reader`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datapath.core import Core
from datapath.flow_limit import FlowLimit
from datapath.frame_vector import choose as choose_vector
from datapath.rx_queues import RxQueues
from vslib.clock import CLOCK
from vslib.errors import ConfigError

NS_PER_MS = 1_000_000
FIRST_PORT = 1  # 0 is the datapath's own name
PORTS_MAX = 65536
FORWARDERS_MAX = 16
DEFAULT_MAX_IDLE_MS = 10_000
DEFAULT_FLOW_LIMIT = 200_000

# counters of a forwarder whose sum means something
SUMMED = (
    *("packets", "exact_hits", "masked_hits", "misses", "retranslations", "uncached", "lost", "evicted"),
    *("n_flows", "n_masks", "buffers_in_use"),
)
COUNTS = (
    *("packets", "exact_hits", "masked_hits", "misses", "retranslations", "lost"),
    *("subtable_lookups", "sent", "sent_batches", "busy_cycles"),
)
GROWING = SUMMED[:8]  # those that never fall, also when a forwarder goes

Octets = bytes  # MegaflowRow has a member of that name
Callback = Callable[[], object]


@dataclass(frozen=True, slots=True)
class MegaflowRow:
    """A copy of one megaflow.

    key, mask: a PacketKey each, network byte order, key already masked; actions: (kind, slot, aux, arg, aux32, value16,
    mask16) per op; used_ns: monotonic time of the last packet, 0 = none; forwarder: whose cache it is in.
    """

    key: Octets
    mask: Octets
    actions: list[tuple[int, int, int, int, int, Octets, Octets]]
    packets: int
    bytes: int
    used_ns: int
    tcp_flags: int
    forwarder: int


def default_forwarders() -> int:
    """Return one forwarder per core that we may use but one, at least one."""
    return min(16, max(1, len(os.sched_getaffinity(0)) - 1))


class Datapath:
    """Ports, forwarders and their caches.

    n_forwarders: threads (None: one per core but one); inline: no threads, ``step`` runs everything on the caller's
    thread until idle. Raises ConfigError for a number of forwarders that is not in 1..16.
    """

    def __init__(self, n_forwarders: int | None = None, inline: bool = False) -> None:
        count = n_forwarders if n_forwarders is not None else 1 if inline else default_forwarders()
        choose_vector()
        self._core: Any = Core(count, inline)
        self._default_count = count
        self.rx = RxQueues(self._core)
        self._polls = (False, 0)
        self._counted_before = [self._counts(i) for i in range(count)]
        self._retired = dict.fromkeys(GROWING, 0)  # of forwarders that have gone
        self._ports: dict[int, Any] = {}
        self._drops_before: dict[int, dict[str, int]] = {}  # what a port's handle had counted when it was attached
        self._drops_retired: dict[str, int] = {}  # of ports that have gone
        self.limits = FlowLimit(DEFAULT_FLOW_LIMIT)
        self._sweeping = False
        self.max_idle_ms = DEFAULT_MAX_IDLE_MS
        self.flow_limit = DEFAULT_FLOW_LIMIT

    # -- life

    def set_miss_hook(self, hook: Any) -> None:
        """Let a MissHook translate what misses; before ``start``. Raises InternalError while forwarders run."""
        self._core.set_miss_hook(hook)

    def start(self) -> None:
        """Start the forwarders; raises InternalError when they run already."""
        self._core.start()

    def stop(self) -> None:
        """Stop the forwarders; last counts are pushed, all megaflows are gone. Ports stay attached."""
        self._core.stop()

    @property
    def n_forwarders(self) -> int:
        """Number of forwarders."""
        return int(self._core.n_forwarders)

    @property
    def inline(self) -> bool:
        """Whether there are no threads."""
        return bool(self._core.inline)

    @property
    def running(self) -> bool:
        """Whether forwarder threads run."""
        return bool(self._core.running)

    def set_forwarders(self, cpus: Sequence[int] | None, max_sleep_us: int = 0) -> None:
        """Have one forwarder for each of these processors, which stays there and never waits for packets.

        None: as many as at the start, on any processor, sleeping while nothing comes. max_sleep_us: how long one with
        little to do may sleep at a time, 0 = it never does; with None it has no effect. When their number or place
        changes all forwarders stop for a moment, with packets waiting at their ports, and megaflows are learned anew.
        Raises ConfigError for a number of processors that is not in 1..16.
        """
        places: list[int | None] = list(cpus) if cpus is not None else [None] * self._default_count
        if not 0 < len(places) <= FORWARDERS_MAX:
            raise ConfigError(f"{len(places)} forwarders are not in 1..{FORWARDERS_MAX}")
        if places != self._core.cpus:
            self._replace_forwarders(places)
            self._polls = (False, 0)
        polls = (cpus is not None, 1000 * max_sleep_us if cpus is not None else 0)
        if polls != self._polls:
            self._polls = polls
            for i in range(self.n_forwarders):
                self._core.set_polling(i, *polls)

    def _replace_forwarders(self, places: list[int | None]) -> None:
        was_running = self.running
        self.rx.release()
        self._core.stop()
        for i in range(len(places), self.n_forwarders):
            gone = self._core.forwarder_stats(i)
            add_counts(self._retired, {name: gone[name] for name in GROWING})
            add_counts(self._drops_retired, gone["orphans"])
        self._core.resize(len(places))
        self._core.set_cpus(places)
        for i in range(len(places)):
            self._core.set_polling(i, False, 0)
        self._limit_forwarders()
        if was_running:
            self._core.start()
        self._counted_before = [self._counts(i) for i in range(len(places))]
        self.rx.forwarders_changed([i if cpu is None else cpu for i, cpu in enumerate(places)])

    # -- ports

    def add_port(self, handle: Any, port_no: int | None = None, affinity: Mapping[int, int] | None = None) -> int:
        """Attach a PortHandle; returns its number (the lowest free one from 1, or port_no).

        affinity: cores that shall receive from its queues, by queue. Raises ConfigError for a number that is taken or
        out of range, and for a handle that is attached or closed.
        """
        if handle.attached or handle.is_closed:
            raise ConfigError(f"port {handle.name} is {'attached already' if handle.attached else 'closed'}")
        number = self._free_number() if port_no is None else port_no
        if number in self._ports or not FIRST_PORT <= number < PORTS_MAX:
            raise ConfigError(f"port number {number} is {'taken' if number in self._ports else 'out of range'}")
        before = dict(handle.stats()["drops"])
        self._core.attach(handle, number)
        self._drops_before[number] = before
        self._ports[number] = handle
        self.rx.add(number, handle, affinity or {})
        return number

    def del_port(self, port_no: int) -> None:
        """Detach a port; on return no forwarder uses it any more and its handle may be closed.

        Raises ConfigError if there is none.
        """
        handle = self._port(port_no)
        self._core.detach(handle)
        del self._ports[port_no]
        self.rx.remove(port_no)
        add_counts(self._drops_retired, handle.stats()["drops"])
        add_counts(self._drops_retired, self._drops_before.pop(port_no), -1)

    def hold(self, held: bool) -> None:
        """Receive from no port from now on (held), or from all again: for a start that waits for its flows (MG.10)."""
        self.rx.hold(held)

    def port_stats(self, port_no: int) -> dict[str, Any]:
        """Return the counters of a port (see PortHandle.stats). Raises ConfigError if there is none."""
        stats: dict[str, Any] = self._port(port_no).stats()
        return stats

    def ports(self) -> dict[int, Any]:
        """Return the attached handles by number."""
        return dict(self._ports)

    def _port(self, port_no: int) -> Any:
        try:
            return self._ports[port_no]
        except KeyError:
            raise ConfigError(f"no datapath port {port_no}") from None

    def _free_number(self) -> int:
        number = FIRST_PORT
        while number in self._ports:
            number += 1
        return number

    # -- barriers and commands

    def barrier(self, callback: Callback) -> None:
        """Call back, from ``run_callbacks``, when each forwarder has finished what it received before this call.

        Every frame received after that is handled with the tables as they are published now, caches included; frames
        given to ``execute`` before have been sent.
        """
        if self._core.barrier(callback):
            self._core.call_soon(callback)

    def tables_barrier(self) -> asyncio.Future[None] | None:
        """Return what ends when frames given to ``execute`` have been sent and every frame received from then on is
        handled with the tables as they are published now; None when that is so already, as mostly.

        Unlike ``barrier`` it does not wait for frames that were received before, and which no flood can thus hold it up
        with; those of one batch may still be on their way. Somebody must call ``run_callbacks``.
        """
        if self._core.executed():
            return None
        passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._core.barrier(lambda: None if passed.done() else passed.set_result(None)):
            return None
        return passed

    async def barrier_async(self) -> None:
        """Return when each forwarder has passed a barrier; somebody must call ``run_callbacks``."""
        passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self._core.barrier(lambda: None if passed.done() else passed.set_result(None)):
            await passed

    def barrier_wait(self) -> None:
        """Return when each forwarder has passed a barrier."""
        self._core.barrier_wait()

    def push_credits(self, callback: Callback | None = None, full: bool = False) -> None:
        """Push what megaflows have counted to their owners and expire those idle for max_idle_ms; call back when done.

        full: also remove every megaflow that changes of the tables may have touched, so that nothing refers to deleted
        rules any more (without it, those in use are renewed by their next packet). Works in slices between batches.
        """
        self._core.sweep(callback, self.max_idle_ms * NS_PER_MS, full)

    def sweep(self) -> None:
        """Push credits as ``push_credits`` does and adapt the flow limit to how long that takes; nothing while the last
        such sweep is under way. To be called every now and then.
        """
        if self._sweeping:
            return
        n_flows = sum(self._core.forwarder_stats(i)["n_flows"] for i in range(self.n_forwarders))

        def swept() -> None:
            self._sweeping = False
            self.limits.swept(self._core.sweep_ns // NS_PER_MS, n_flows)
            self._limit_forwarders()

        self._sweeping = True
        self.push_credits(swept)

    def flush(self) -> None:
        """Remove all megaflows, pushing their last counts."""
        self._core.flush()

    def dump_flows(self) -> list[MegaflowRow]:
        """Return a copy of all megaflows of all forwarders. Raises MemoryError."""
        return [MegaflowRow(*row) for row in self._core.dump()]

    def execute(self, frame: bytes, in_port: int, hook: Any) -> None:
        """Run a frame through an ExecuteHook on forwarder 0, in order with other commands.

        in_port: datapath port that it pretends to have come from. Raises ConfigError for a frame that no buffer holds.
        """
        self._core.execute(frame, in_port & 0xFFFFFFFF, hook)

    def step(self, now_ns: int | None = None, max_rounds: int | None = None) -> int:
        """Inline only: run all forwarders, then callbacks, until idle; returns how many rounds had work.

        now_ns: the time to use (None: vslib's clock); max_rounds: stop after so many (None: when idle).
        Raises InternalError for a datapath with threads.
        """
        return int(self._core.step(CLOCK.now_ns() if now_ns is None else now_ns, max_rounds))

    @property
    def completion_fd(self) -> int:
        """Descriptor that is readable while callbacks wait."""
        return int(self._core.completion_fd)

    def run_callbacks(self) -> int:
        """Run the callbacks that wait; returns how many."""
        return int(self._core.run_callbacks())

    # -- settings and counters

    @property
    def flow_limit(self) -> int:
        """Most megaflows in all forwarders together, an equal share each; for the time being fewer (`limits`)."""
        return self.limits.upper

    @flow_limit.setter
    def flow_limit(self, value: int) -> None:
        if value < 1:
            raise ConfigError(f"flow limit {value} is not positive")
        self.limits.set_upper(value)
        self._limit_forwarders()

    def _limit_forwarders(self) -> None:
        self._core.set_flow_limit(max(1, self.limits.current // self.n_forwarders))

    def _counts(self, number: int) -> dict[str, int]:
        stats = self._core.forwarder_stats(number)
        return {name: stats[name] for name in COUNTS} | {"cycles": self._core.cycles()}

    def counts_since_clear(self) -> list[dict[str, int]]:
        """Return for each forwarder its COUNTS, and the `cycles` that have passed, since it was made or cleared."""
        now = [self._counts(i) for i in range(self.n_forwarders)]
        return [
            {name: value - before[name] for name, value in counts.items()}
            for counts, before in zip(now, self._counted_before, strict=True)
        ]

    def clear_counts(self, numbers: Sequence[int]) -> None:
        """Let counts_since_clear begin anew for these forwarders."""
        for number in numbers:
            self._counted_before[number] = self._counts(number)

    def stats(self) -> dict[str, Any]:
        """Return counters over all forwarders.

        ``forwarders`` has those of each, ``drops`` packets by reason, wherever they were dropped.
        """
        each = [self._core.forwarder_stats(i) for i in range(self.n_forwarders)]
        drops = dict(self._drops_retired)
        for number, handle in list(self._ports.items()):  # another Python thread may add and delete ports meanwhile
            add_counts(drops, handle.stats()["drops"])
            add_counts(drops, self._drops_before.get(number, {}), -1)
        for one in each:
            add_counts(drops, one["orphans"])
        result: dict[str, Any] = {name: sum(one[name] for one in each) for name in SUMMED}
        add_counts(result, self._retired)
        result["hits"] = result["exact_hits"] + result["masked_hits"]
        result["drops"] = {reason: count for reason, count in drops.items() if count}
        result["forwarders"] = each
        return result


def add_counts(total: dict[str, int], counts: dict[str, int], sign: int = 1) -> None:
    """Add (or take away) counts by name."""
    for name, count in counts.items():
        total[name] = total.get(name, 0) + sign * count
