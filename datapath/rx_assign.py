"""Which forwarder receives from which queue: the decision, as pure functions over loads and wishes.

The names and rules are Open vSwitch's: queues with an affinity go where they want and keep others off that core
(unless `isolate` is off), the rest are dealt out by `mode`. But where it leaves queues to nobody, because every core is
kept, they share those cores here: bridges' own devices are received from by forwarders, too. A core is the number that
a forwarder goes by: its processor, or its own number when it may run anywhere.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

MODES = ("cycles", "roundrobin", "group")


@dataclass(frozen=True, order=True)
class QueueId:
    """A receive queue: datapath port, and number at that port."""

    port: int
    queue: int


@dataclass(frozen=True)
class Wish:
    """What is known of a queue: the core that it is to have (None = any), and its load in cycles."""

    core: int | None = None
    load: int = 0


@dataclass
class Assignment:
    """Who has what. cores: of each queue, None = nobody yet; pinned: queues where they want to be.

    isolated: cores that are kept for pinned queues; homeless: queues whose core does not exist.
    """

    cores: dict[QueueId, int | None] = field(default_factory=dict)
    pinned: set[QueueId] = field(default_factory=set)
    isolated: set[int] = field(default_factory=set)
    homeless: list[QueueId] = field(default_factory=list)


def assign(wishes: Mapping[QueueId, Wish], cores: Sequence[int], mode: str, isolate: bool) -> Assignment:
    """Return who is to receive from what; mode: one of MODES."""
    found = Assignment()
    loads = dict.fromkeys(cores, 0)
    free: list[QueueId] = []
    for queue in sorted(wishes):
        wish = wishes[queue]
        if wish.core not in loads:
            free.append(queue)
            if wish.core is not None:
                found.homeless.append(queue)
            continue
        found.cores[queue] = wish.core
        found.pinned.add(queue)
        loads[wish.core] += wish.load
        if isolate:
            found.isolated.add(wish.core)
    open_cores = not_isolated(found, cores)
    if mode != "roundrobin":
        free.sort(key=lambda queue: (-wishes[queue].load, queue))
    if mode == "group":
        _least_loaded(found, free, wishes, {core: loads[core] for core in open_cores})
    else:
        found.cores.update(zip(free, _in_turn(open_cores, len(free), back=mode == "cycles"), strict=True))
    return found


def not_isolated(found: Assignment, cores: Sequence[int]) -> list[int]:
    """Return the cores for queues that are not pinned: those that are not isolated, all if there is none."""
    return [core for core in cores if core not in found.isolated] or list(cores)


def _in_turn(cores: Sequence[int], n: int, *, back: bool) -> Iterable[int]:
    """Return the cores in turn, n in all; back: every second time from the last to the first."""
    for i in range(n):
        round_, at = divmod(i, len(cores))
        yield cores[len(cores) - 1 - at if back and round_ % 2 else at]


def _least_loaded(
    found: Assignment, free: Sequence[QueueId], wishes: Mapping[QueueId, Wish], loads: dict[int, int]
) -> None:
    """Give each queue, the one with most load first, to the core with the least load so far, then fewest queues."""
    counts = dict.fromkeys(loads, 0)
    for queue in free:
        core = min(loads, key=lambda core: (loads[core], counts[core]))
        found.cores[queue] = core
        loads[core] += wishes[queue].load
        counts[core] += 1


def place(current: Assignment, cores: Sequence[int]) -> int:
    """Return the core for one more queue that is not pinned, while all others stay: the one with the fewest queues."""
    taken = list(current.cores.values())
    return min(not_isolated(current, cores), key=taken.count)


def improvement(before: Mapping[QueueId, int | None], after: Mapping[QueueId, int | None],
                loads: Mapping[QueueId, int], cores: Sequence[int]) -> float:  # fmt: skip
    """Return by how many percent the variance of the cores' loads falls from one assignment to the other."""

    def variance(owners: Mapping[QueueId, int | None]) -> float:
        return statistics.pvariance([sum(loads[q] for q, owner in owners.items() if owner == core) for core in cores])

    old = variance(before)
    return 100 * (old - variance(after)) / old if old else 0.0
