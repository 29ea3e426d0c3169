"""Packets while a thread floods edits: each outcome must be what the tables gave at some moment on its way.

The editing thread notes how many edits it has begun and how many are done. A packet is injected when `done` edits are
in force for certain and has left before the edit `begun` + 1: so one of these versions of the tables must explain it.
The naive oracle goes through the versions afterwards, one by one.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tests.oracle import switch_naive as naive
from tests.scenario import flows
from tests.scenario.cases import Generator
from tests.scenario.flows import Mod
from tests.scenario.world import Expected, Mismatch, Real, Wire

Edit = tuple[str, tuple[Mod, ...]]  # bridge, flow-mods: several are a bundle
Outcome = Counter[tuple]
PORTS: tuple[Wire, ...] = (("br0", 1), ("br0", 2), ("br1", 1))
COPIES = (1, 1, 3, 12)  # of a frame at once
AT_ONCE = 6  # edits that may go by during one packet: what the oracle is asked for grows with them


class Sent(NamedTuple):
    """Copies of a frame, the first and last version that they may have met, and what came of them."""

    wire: Wire
    frame: bytes
    copies: int
    first: int
    last: int
    outcome: Outcome


def plan(seed: int, n_edits: int) -> tuple[Generator, list[Edit], list[Edit]]:
    """Return the generator, the first tables and the edits of a case, none of which learns."""
    made = Generator(seed, False)
    mods = [step[1:] for step in made.steps(0) if step[0] == "mod"]
    first: list[Edit] = [(bridge, (mod,)) for bridge, mod in mods]
    first += [(bridge, (mod,)) for _, bridge, mod in (made.new_flow() for _ in range(6))]
    edits: list[Edit] = []
    for _ in range(n_edits):
        size = made.rng.choice((1, 1, 1, 5))
        mods = [made.new_flow() if made.chance(0.4) else made.edit_flow() for _ in range(size)]
        bridge = mods[0][1]
        edits.append((bridge, tuple(mod for _, name, mod in mods if name == bridge)))
    return made, first, edits


class Editor:
    """The thread: goes through the edits, at most AT_ONCE of them for each packet."""

    def __init__(self, real: Real, edits: list[Edit]) -> None:
        self.real, self.edits = real, edits
        self.begun = self.done = self.allowed = 0
        self.stopping = False
        self.error: BaseException | None = None
        self.room = threading.Semaphore(0)
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        try:
            for bridge, mods in self.edits:
                self.room.acquire()
                if self.stopping:
                    return
                self.begun += 1
                apply(self.real, bridge, mods)
                self.done += 1
        except BaseException as error:
            self.error = error

    def more(self) -> None:
        """Let as many edits go by as may."""
        wanted = self.begun + AT_ONCE
        for _ in range(wanted - self.allowed):
            self.room.release()
        self.allowed = max(self.allowed, wanted)

    @contextmanager
    def running(self) -> Iterator[Editor]:
        before = sys.getswitchinterval()
        sys.setswitchinterval(0.00002)
        self.thread.start()
        try:
            yield self
        finally:
            self.stopping = True
            self.room.release()
            self.thread.join()
            sys.setswitchinterval(before)
        if self.error is not None:
            raise self.error


def apply(real: Real, bridge: str, mods: tuple[Mod, ...]) -> None:
    """Make an edit on the switch: one flow-mod, or a bundle that counts whole."""
    if len(mods) == 1:
        real.flow_mod(bridge, mods[0])
        return
    _, failure = real.tables[bridge].apply_bundle([flows.flow_mod(mod) for mod in mods], True)
    if failure:
        raise failure[1]


def outcome(sent: dict[Wire, list[bytes]], punts: list[tuple]) -> Outcome:
    """Return frames by wire and packet-ins as one bag."""
    left = [(wire, frame) for wire, some in sent.items() for frame in some]
    return Counter(left + [("punt", punt) for punt in punts])


def explains(versions: list[Outcome], copies: int, seen: Outcome) -> bool:
    """Tell whether so many copies, each under one of the versions, come to what was seen."""
    if not versions:
        return copies == 0 and not seen
    first, others = versions[0], versions[1:]
    if not others:
        return Counter({key: n * copies for key, n in first.items() if copies}) == seen
    left = seen.copy()
    for under_first in range(copies + 1):
        if explains(others, copies - under_first, left):
            return True
        if under_first < copies and first - left:
            return False
        left = left - first
    return False


def forward(seed: int, n_edits: int) -> tuple[list[Edit], list[Edit], list[Sent]]:
    """Run a case on the switch; returns the first tables, the edits, and what was sent."""
    made, first, edits = plan(seed, n_edits)
    real, rows = Real(2, inline=False), []
    try:
        for bridge, mods in first:
            apply(real, bridge, mods)
        with Editor(real, edits).running() as editor:
            while editor.done < n_edits and editor.error is None:
                wire, frame, copies = made.rng.choice(PORTS), made.frame(), made.rng.choice(COPIES)
                editor.more()
                before = editor.done
                real.send([(wire, frame)] * copies)
                rows.append(Sent(wire, frame, copies, before, editor.begun, outcome(real.taken(), real.punts())))
    finally:
        real.close()
    return first, edits, rows


def check(seed: int, n_edits: int) -> tuple[int, int]:
    """Run a case and hold it against the oracle; returns how many packets were sent and how many met edits."""
    first, edits, rows = forward(seed, n_edits)
    expected = Expected()
    for bridge, mods in first:
        for mod in mods:
            expected.flow_mod(bridge, mod)
    possible: list[list[Outcome]] = [[] for _ in rows]
    for version in range(len(edits) + 1):
        if version:
            for mod in edits[version - 1][1]:
                expected.flow_mod(edits[version - 1][0], mod)
        for row, known in zip(rows, possible, strict=True):
            if row.first <= version <= row.last and (one := alone(expected, row)) not in known:
                known.append(one)
    for row, known in zip(rows, possible, strict=True):
        if not explains(known, row.copies, row.outcome):
            raise Mismatch(
                f"seed {seed}, {row.copies} times {row.frame.hex()} into {row.wire} between the edits {row.first} and "
                f"{row.last} of {n_edits}:\n  {dict(row.outcome)}, the oracle says one of\n  {list(map(dict, known))}"
            )
    met_edits = sum(row.copies for row, known in zip(rows, possible, strict=True) if known[1:])
    return sum(row.copies for row in rows), met_edits


def alone(expected: Expected, row: Sent) -> Outcome:
    """Return what the oracle makes of one copy with the tables as they are."""
    expected.note(naive.receive(expected.bridges[row.wire[0]], row.wire[1], row.frame))
    sent, expected.sent = expected.sent, {}
    punted, expected.punted = expected.punted, []
    return outcome(sent, punted)
