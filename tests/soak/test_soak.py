"""Everything at once: traffic on two forwarders, edits, ports that come and go, dumps, statistics, packet-outs, expiry.
Nothing crashes, memory and descriptors do not grow (DP.18, BM.07).

Here packets are copied, flooded and resubmitted; where each has one outcome, `test_balance.py` balances the books.
`make test` runs it for a few seconds, `make soak` for five minutes or half of CYVSWITCH_SOAK_SECONDS.
"""

from __future__ import annotations

import gc
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from datapath.ports.pipe import PipePort
from ofproto.flow_mod import decode_actions
from tests.scenario import flows
from tests.scenario.flows import Mod
from tests.scenario.world import LOCAL, Real, wait_for

SHORT_S = 4.0
LONG_S = float(os.environ.get("CYVSWITCH_SOAK_SECONDS", "600")) / 2
WARM_UP = 0.4  # of the time: until then pools and caches may still grow
GROWTH_SHORT_BYTES = 48 << 20  # a leak of one megaflow or rule per edit is a hundred times that in ten minutes
GROWTH_LONG_BYTES = 96 << 20
N_FRAMES = 2000
NORMAL = (("output", 0xFFFFFFFA, 0),)
FAULTS = {"miss_failed", "out_of_memory", "rx_bad_vnet_header"}
LATE = ("br0", 20)  # the port that comes and goes


def frame(n: int) -> bytes:
    """An Ethernet/IPv4/UDP frame, as many kinds as numbers; some unicast, some broadcast, some with a tag."""
    mac = bytes([2, 0, 0, 0, n >> 8 & 3, n & 0xFF])
    to = b"\xff" * 6 if n % 7 == 0 else bytes([2, 0, 0, 0, n >> 9 & 3, n * 3 & 0xFF])
    tag = (0x8100 << 16 | n % 5).to_bytes(4, "big") if n % 3 == 0 else b""
    ip = bytes([0x45, 0, 0, 28, 0, 0, 0, 0, 1 + n % 64, 17, 0, 0, 10, 0, n >> 8 & 0xFF, n & 0xFF, 10, 0, 0, n % 11])
    return to + mac + tag + b"\x08\x00" + ip + (1000 + n % 500).to_bytes(2, "big") + b"\0\x35\0\x08\0\0" + bytes(18)


ACTIONS: list[tuple] = [
    NORMAL,
    (("output", 3, 0), ("output", 4, 0)),
    (("set_field", "eth_src", 0x020000000001, (1 << 48) - 1), ("output", 9, 0)),
    (("goto", 1),),
    (("output", LATE[1], 0),),
    (),
]


class Load:
    """The switch under test, and one method for each kind of disturbance."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.real = Real(2, inline=False)
        self.done: Counter[str] = Counter()
        self.late: PipePort | None = None
        self.callbacks = 0
        for wire in self.real.pipes:
            self.real.pipes[wire].null = True
        for number, wire in enumerate((("br0", 1), ("br0", 2), ("br1", 1))):
            self.real.pipes[wire].loop([frame(n + 100 * number) for n in range(N_FRAMES)], batch=8)
        for name in self.real.bridges:
            self.flow(name, "add", 0, 1, {}, NORMAL)
            self.flow(name, "add", 1, 1, {}, NORMAL)

    def flow(self, bridge: str, command: str, table: int, priority: int, match: dict, actions: tuple) -> None:
        self.real.flow_mod(bridge, Mod(command, table, priority, match, actions, self.done["edit"]))

    def edit(self) -> None:
        pick = self.random
        match = pick.choice(
            [
                {"in_port": (pick.choice((1, 2)), 0xFFFFFFFF)},
                {"eth_type": (0x0800, 0xFFFF), "ip_dst": (0x0A000000 | pick.randrange(11), 0xFFFFFFFF)},
                {"eth_src": (0x020000000000 | pick.randrange(1024), (1 << 48) - 1)},
            ]
        )
        command = pick.choice(("add", "add", "modify", "delete", "delete_strict"))
        actions = () if command.startswith("delete") else pick.choice(ACTIONS)
        if command == "add" and match.get("in_port") and actions == (("goto", 1),):
            actions = NORMAL
        table = 0 if ("goto", 1) in actions else pick.randrange(2)
        self.flow(pick.choice(("br0", "br1")), command, table, pick.randrange(2, 30), match, actions)

    def port(self) -> None:
        bridge, number = LATE
        if self.late is None:
            self.late = PipePort("late", null=True)
            self.late_number = self.real.dp.add_port(self.late)
            self.real.bridges[bridge].add_port(number, self.late_number, "late")
            self.late.loop([frame(n) for n in range(64)], count=2000, batch=4)
            return
        self.real.bridges[bridge].del_port(number)
        self.real.dp.del_port(self.late_number)
        self.late.close()
        self.late = None

    def settings(self) -> None:
        bridge = self.real.bridges["br0"]
        mode = self.random.choice(("trunk", "access", "native-untagged"))
        bridge.set_port(3, vlan_mode=mode, tag=self.random.randrange(1, 5))
        bridge.configure(mac_table_size=self.random.choice((16, 8192)))
        self.real.cable(self.random.random() < 0.8)

    def dump(self) -> None:
        assert all(row.packets >= 0 for row in self.real.dp.dump_flows())
        for tables in self.real.tables.values():
            flows.read_counts(tables.flow_stats(flows.flow_request(), 4, False, time.monotonic_ns()))
        self.real.bridges["br1"].fdb()

    def stats(self) -> None:
        drops = self.real.dp.stats()["drops"]
        assert not drops.keys() & FAULTS, drops
        for number in self.real.dp.ports():
            self.real.dp.port_stats(number)
        self.real.switch.poll_punts()

    def packet_out(self) -> None:
        acts = decode_actions(flows.actions_wire((("output", self.random.choice((1, 3, 9, LOCAL)), 0),), 1), 1)
        self.real.dp.execute(frame(self.random.randrange(N_FRAMES)), 1, self.real.bridges["br0"].packet_out(acts, 1))

    def sweep(self) -> None:
        self.real.dp.push_credits(self.count, full=self.random.random() < 0.5)
        for name, bridge in self.real.bridges.items():
            bridge.age_macs(time.monotonic_ns())
            self.real.tables[name].expire(time.monotonic_ns())
        self.real.dp.run_callbacks()

    def barrier(self) -> None:
        self.real.dp.barrier(self.count)
        self.real.dp.barrier_wait()
        self.real.dp.run_callbacks()

    def flush(self) -> None:
        self.real.dp.flush()
        self.real.bridges["br0"].fdb_flush()

    def forget(self) -> None:
        """Take the flows away, so that the tables have a bound."""
        for name in self.real.bridges:
            for table in (0, 1):
                self.flow(name, "delete", table, 0, {}, ())
                self.flow(name, "add", table, 1, {}, NORMAL)

    def count(self) -> None:
        self.callbacks += 1

    def close(self) -> None:
        if self.late is not None:
            self.port()
        for pipe in self.real.pipes.values():
            pipe.loop([])
        self.real.dp.barrier_wait()
        self.real.dp.run_callbacks()
        self.real.close()


CONTROL: list[tuple[Callable[[Load], None], int]] = [
    (Load.edit, 200),
    (Load.port, 6),
    (Load.settings, 4),
    (Load.packet_out, 40),
    (Load.sweep, 4),
    (Load.barrier, 10),
    (Load.flush, 1),
    (Load.forget, 1),
]
WATCHING = [Load.dump, Load.stats]


def rss_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def n_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def watch(load: Load, stop: threading.Event, wrong: list[BaseException]) -> None:
    """A second Python thread that looks at everything meanwhile."""
    try:
        while not stop.wait(0.02):
            for look in WATCHING:
                look(load)
                load.done[look.__name__] += 1
    except BaseException as error:
        wrong.append(error)


def drive(load: Load, seconds: float) -> tuple[int, int]:
    """Disturb for so long; returns the memory after warming up and at the end, in bytes."""
    kinds = [kind for kind, _ in CONTROL]
    weights = [weight for _, weight in CONTROL]
    start = time.monotonic()
    warm = 0
    while (spent := time.monotonic() - start) < seconds:
        for kind in load.random.choices(kinds, weights, k=50):
            kind(load)
            load.done[kind.__name__] += 1
        if not warm and spent > seconds * WARM_UP:
            gc.collect()
            warm = rss_bytes()
    gc.collect()
    return warm, rss_bytes()


def run(seconds: float) -> tuple[Load, int]:
    """Disturb for so long and stop; returns what was done, and how much memory it took after warming up, in bytes."""
    load, stop = Load(seed=int(time.time())), threading.Event()
    wrong: list[BaseException] = []
    watcher = threading.Thread(target=watch, args=(load, stop, wrong))
    watcher.start()
    try:
        warm, end = drive(load, seconds)
    finally:
        stop.set()
        watcher.join()
        load.close()
    assert wrong == []
    return load, end - warm


def soak(seconds: float, growth_bytes: int) -> None:
    gc.collect()
    before = n_descriptors(), threading.active_count()
    load, more = run(seconds)
    stats = load.real.dp.stats()
    print(f"{stats['packets']} packets, {dict(load.done)}, {more >> 10} KiB more")
    assert stats["n_flows"] == 0
    wait_for(lambda: load.real.dp.run_callbacks() or load.callbacks == load.done["sweep"] + load.done["barrier"])
    assert min(one["packets"] for one in stats["forwarders"]) > 100 * seconds
    assert all(load.done[kind.__name__] for kind, _ in CONTROL), load.done
    assert all(load.done[look.__name__] for look in WATCHING), load.done
    assert more < growth_bytes, f"{more >> 20} MiB more after warming up: {load.done}"
    load.real = load.late = None
    gc.collect()
    assert (n_descriptors(), threading.active_count()) == before


@pytest.mark.timeout(120)
def test_a_few_seconds_of_everything_at_once():
    soak(SHORT_S, GROWTH_SHORT_BYTES)


@pytest.mark.slow
@pytest.mark.timeout(LONG_S + 300)
def test_minutes_of_everything_at_once():
    soak(LONG_S, GROWTH_LONG_BYTES)
