"""The receive queues of a datapath: who receives from each, how much that costs, and moving them (DP.15).

A queue that moves is first given up by its forwarder, which has then sent all that it received; only then does the
next one look at it. So packets keep their order. Loads are sampled every INTERVAL_S by the owner of the datapath, the
last minute is kept. Thread rule: control thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from datapath.rx_assign import MODES, Assignment, QueueId, Wish, assign, improvement, not_isolated, place
from vslib.vlog import get

log = get("dpif_netdev")

INTERVAL_S = 5.0
INTERVALS = 12  # a minute of them is kept


@dataclass
class Load:
    """The cycles spent on a queue, or by a forwarder: in all, and in each of the last intervals, oldest first."""

    total: int = 0
    intervals: deque[int] = field(default_factory=lambda: deque(maxlen=INTERVALS))

    def sample(self, total: int) -> None:
        """Note the count of now."""
        self.intervals.append(total - self.total)
        self.total = total

    def last(self, n: int) -> int:
        """Return the cycles of the last n intervals together."""
        return sum(list(self.intervals)[-n:])


@dataclass
class Queue:
    """One receive queue: the port's handle, the core that is wanted and the one that has it, None = any, none."""

    handle: Any
    affinity: int | None
    load: Load


class RxQueues:
    """All receive queues of the attached ports; see the module's first sentence. core: the shell of the forwarders."""

    def __init__(self, core: Any) -> None:
        self._core = core
        self._queues: dict[QueueId, Queue] = {}
        self._now = Assignment()
        self.cores: list[int] = list(range(core.n_forwarders))
        self.mode = MODES[0]
        self.isolate = True
        self._held = False
        self._elapsed = Load(core.cycles())
        self._busy = [Load() for _ in self.cores]

    # -- ports

    def add(self, number: int, handle: Any, affinity: Mapping[int, int]) -> None:
        """Receive from all queues of a port that was attached; affinity: cores by queue."""
        for n in range(handle.n_rxq):
            load = Load(handle.rxq_load(n)[1])
            self._queues[QueueId(number, n)] = Queue(handle, affinity.get(n), load)
        if affinity:
            self.assign_all()
            return
        for n in range(handle.n_rxq):
            queue = QueueId(number, n)
            self._now.cores[queue] = None
            self._give(queue, place(self._now, self.cores))

    def remove(self, number: int) -> None:
        """Forget the queues of a port that was detached."""
        gone = [queue for queue in self._queues if queue.port == number]
        for queue in gone:
            del self._queues[queue]
            self._now.cores.pop(queue, None)
        if any(queue in self._now.pinned for queue in gone):
            self.assign_all()

    def set_affinity(self, number: int, affinity: Mapping[int, int]) -> None:
        """Choose the cores that queues of a port shall have."""
        changed = False
        for queue, known in self._queues.items():
            if queue.port == number and known.affinity != affinity.get(queue.queue):
                known.affinity = affinity.get(queue.queue)
                changed = True
        if changed:
            self.assign_all()

    def hold(self, held: bool) -> None:
        """Receive from nothing (held), or from all queues again."""
        if held == self._held:
            return
        self._held = held
        for queue, core in self._now.cores.items():
            if core is not None:
                self._tell(held, queue, core)

    # -- who has what

    def configure(self, mode: str, isolate: bool) -> None:
        """Choose how queues are dealt out (rx_assign.MODES), and whether cores of pinned queues have no others."""
        if (mode, isolate) != (self.mode, self.isolate):
            self.mode, self.isolate = mode, isolate
            log.info("Rxq to PMD assignment mode changed to: '%s'.", mode)
            self.assign_all()

    def assign_all(self) -> None:
        """Deal out all queues anew by what is known of their loads; those that stay where they are notice nothing."""
        wanted = self._wanted(self.mode)
        for queue in wanted.homeless:
            core = self._queues[queue].affinity
            log.warn(
                "Core %2d cannot be pinned with port '%s' rx queue %d. Use pmd-cpu-mask to enable a pmd on core %d. "
                "An alternative core will be assigned.", core, self._queues[queue].handle.name, queue.queue, core,
            )  # fmt: skip
        before, self._now.pinned, self._now.isolated = self._now.cores, wanted.pinned, wanted.isolated
        self._now.cores = {queue: before.get(queue) for queue in wanted.cores}
        for queue, core in wanted.cores.items():
            self._give(queue, core)

    def _wanted(self, mode: str) -> Assignment:
        wishes = {queue: Wish(known.affinity, known.load.last(INTERVALS)) for queue, known in self._queues.items()}
        return assign(wishes, self.cores, mode, self.isolate)

    def _give(self, queue: QueueId, core: int | None) -> None:
        before = self._now.cores[queue]
        if before == core:
            return
        self._now.cores[queue] = core
        if self._held:
            return
        if before is not None:
            self._tell(True, queue, before)
        if core is not None:
            self._tell(False, queue, core)

    def _tell(self, leave: bool, queue: QueueId, core: int) -> None:
        act = self._core.leave if leave else self._core.receive
        act(self._queues[queue].handle, queue.queue, self.cores.index(core))

    def forwarders_changed(self, cores: Sequence[int]) -> None:
        """Deal the queues out to forwarders that have just been made, and receive from nothing yet."""
        self.cores = list(cores)
        self._busy = [Load(self._core.forwarder_stats(i)["busy_cycles"]) for i in range(len(cores))]
        self._now = Assignment(cores=dict.fromkeys(self._queues))
        self.assign_all()

    def release(self) -> None:
        """Receive from nothing, before the forwarders change."""
        for queue, core in self._now.cores.items():
            if core is not None and not self._held:
                self._tell(True, queue, core)
            self._now.cores[queue] = None

    # -- loads

    def sample(self) -> None:
        """Note the loads of the last interval; to be called every INTERVAL_S."""
        self._elapsed.sample(self._core.cycles())
        for i, load in enumerate(self._busy):
            load.sample(self._core.forwarder_stats(i)["busy_cycles"])
        for queue, known in self._queues.items():
            known.load.sample(known.handle.rxq_load(queue.queue)[1])

    def rebalance_if_worth(self, load_percent: int, improvement_percent: int) -> bool:
        """Deal the queues out anew if a forwarder was busy for load_percent of the last minute and that helps enough.

        improvement_percent: by how much the variance of their loads must fall. Returns whether it was done.
        """
        elapsed = self._elapsed.last(INTERVALS)
        if len(self._elapsed.intervals) < INTERVALS or len(self.cores) - len(self._now.isolated) < 2:
            return False
        if not any(100 * load.last(INTERVALS) >= load_percent * elapsed for load in self._busy):
            return False
        loads = {queue: known.load.last(INTERVALS) for queue, known in self._queues.items()}
        open_cores = not_isolated(self._now, self.cores)
        gain = improvement(self._now.cores, self._wanted(self.mode).cores, loads, open_cores)
        if gain < improvement_percent:
            return False
        log.info("PMD auto load balance dry run requested. An improvement of %d%% of the variance: rebalancing.", gain)
        self.assign_all()
        return True

    def rows(self, intervals: int = INTERVALS) -> list[dict[str, Any]]:
        """Return for each forwarder its core, whether it is isolated, its queues, and loads in percent.

        Of the last `intervals`; None = not known yet.
        """
        elapsed = self._elapsed.last(intervals)

        def percent(cycles: int) -> int | None:
            return min(100, round(100 * cycles / elapsed)) if elapsed else None

        rows: list[dict[str, Any]] = []
        for core, busy in zip(self.cores, self._busy, strict=True):
            queues = [queue for queue in sorted(self._queues) if self._now.cores.get(queue) == core]
            loads = [self._queues[queue].load for queue in queues]
            shown = [
                {
                    "port": self._queues[queue].handle.name,
                    "queue": queue.queue,
                    "usage": percent(load.last(intervals)) if load.intervals else None,
                }
                for queue, load in zip(queues, loads, strict=True)
            ]
            rest = max(0, busy.last(intervals) - sum(load.last(intervals) for load in loads))
            rows.append(
                {"core": core, "isolated": core in self._now.isolated, "queues": shown, "overhead": percent(rest)}
            )
        return rows
