"""After a barrier no frame is handled by older tables, on any forwarder, caches included (OF.10, MS.36).

Threads flood two ports, one for each forwarder, across thousands of flow-mods, each followed by a barrier. A frame
carries in its destination address the number of the last barrier that had completed when it was injected; the flow that
handles it writes its own number into the source address and alternates between two output ports. So a frame whose
source is smaller than its destination was handled by a table that was too old.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.scenario.flows import Mod
from tests.scenario.world import Real, wait_for

IN = (("br0", 1), ("br0", 2))
OUT = (("br0", 3), ("br0", 4))
NOISE = (("br1", 1), ("br1", 2))  # frames repeated from memory keep the forwarders from sleeping
FULL48 = (1 << 48) - 1
BODY = b"\x08\x00" + bytes.fromhex("4500001c000000004011000a0a0000010a000002000100020008") + bytes(20)


class Flood:
    """Threads that inject frames stamped with `epoch`, each into its own port."""

    def __init__(self, real: Real) -> None:
        self.real = real
        self.epoch = 0
        self.stopping = False
        self.sent: Counter[tuple[str, int]] = Counter()
        self.threads = [threading.Thread(target=self.run, args=(wire,), daemon=True) for wire in IN]

    def run(self, wire: tuple[str, int]) -> None:
        inject, n = self.real.pipes[wire].inject, 0
        while not self.stopping:
            accepted = inject(self.epoch.to_bytes(6, "big") + bytes(6) + BODY)
            n += accepted
            if not accepted or n % 64 == 0:
                time.sleep(0.0005)  # lets the switch sleep now and then, and the edits come between a few frames each
        self.sent[wire] = n

    @contextmanager
    def running(self) -> Iterator[Flood]:
        before = sys.getswitchinterval()
        sys.setswitchinterval(0.0002)
        for thread in self.threads:
            thread.start()
        try:
            yield self
        finally:
            self.stopping = True
            for thread in self.threads:
                thread.join()
            sys.setswitchinterval(before)


def stamp(number: int) -> tuple:
    return (("set_field", "eth_src", number, FULL48), ("output", OUT[number % 2][1], 0))


def edits(number: int) -> list[Mod]:
    """Flow-mods that hand the frames over to stamp `number`, in three ways that leave different traces in caches."""
    way, priority = number % 3, number % 50000 + 10
    if way == 0:
        return [Mod("modify", 1, 0, {}, stamp(number), number), goto(0, 1, number)]
    if way == 1:
        return [Mod("add", 1, priority, {"eth_type": (0x0800, 0xFFFF)}, stamp(number), number), goto(0, 1, number)]
    narrow = {"eth_type": (0x0800, 0xFFFF), "nw_proto": (17, 0xFF), "ip_dst": (0x0A000002, 0xFFFFFFFF)}
    return [Mod("add", 2, priority, narrow, stamp(number), number), goto(0, 2, number)]


def goto(table: int, to: int, number: int) -> Mod:
    return Mod("add", table, 1, {}, (("goto", to),), number)


def collect(real: Real) -> list[tuple[int, int, int]]:
    """(port, epoch at injection, stamp) of the frames that came out."""
    return [
        (port, int.from_bytes(frame[:6], "big"), int.from_bytes(frame[6:12], "big"))
        for bridge, port in OUT
        for frame in real.pipes[bridge, port].take()
    ]


def clean_up(real: Real, number: int) -> None:
    """Take older rules away, so that the tables stay small; what is current stays."""
    for table in (1, 2):
        real.flow_mod("br0", Mod("delete", table, 0, {}, (), 0))
    real.flow_mod("br0", Mod("add", 1, 1, {}, stamp(number), number))
    real.flow_mod("br0", goto(0, 1, number))


@pytest.fixture
def real() -> Iterator[Real]:
    made = Real(2, inline=False)
    try:
        for wire in NOISE:
            number = made.numbers[wire]
            made.flow_mod("br1", Mod("add", 0, 1, {"in_port": (wire[1], 0xFFFFFFFF)}, (), number))
        yield made
    finally:
        made.close()


def barrier(real: Real, number: int) -> None:
    """Both forms."""
    if number % 2:
        real.dp.barrier_wait()
        return
    done: list[int] = []
    real.dp.barrier(lambda: done.append(1))
    wait_for(lambda: real.dp.run_callbacks() or done)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("noisy", "n_edits"), [(False, 5000), (True, 1000)], ids=["sleeping", "busy"])
def test_no_frame_received_after_a_barrier_is_handled_by_an_older_table(real: Real, noisy: bool, n_edits: int) -> None:
    frames, late = 0, []
    seen: Counter[int] = Counter()
    clean_up(real, 0)
    real.dp.barrier_wait()
    if noisy:
        for wire in NOISE:
            real.pipes[wire].loop([bytes(12) + BODY], batch=4)
    with Flood(real).running() as flood:
        for number in range(1, n_edits + 1):
            if number % 100 == 0:
                clean_up(real, number)
            for mod in edits(number):
                real.flow_mod("br0", mod)
            barrier(real, number)
            flood.epoch = number
            if number % 10 == 0:
                out = collect(real)
                frames += len(out)
                seen.update(stamped - epoch for _, epoch, stamped in out)
                late += [row for row in out if row[2] < row[1]]
                assert all(port == OUT[stamped % 2][1] for port, _, stamped in out)
    for wire in NOISE:
        real.pipes[wire].loop([])
    wait_for(lambda: all(real.dp.port_stats(real.numbers[wire])["rx_packets"] >= n for wire, n in flood.sent.items()))
    real.dp.barrier_wait()
    out = collect(real)
    late += [row for row in out if row[2] < row[1]]
    assert not late, f"{len(late)} of {frames}: {late[:5]}"
    assert frames > n_edits, "too few frames to say anything"
    assert seen[0] and seen[1], seen  # handled by the newest table, and by one that was being put in
    assert all(one["packets"] > 100 for one in real.dp.stats()["forwarders"])
