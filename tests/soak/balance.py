"""A switch with ports of many kinds in which every packet has one outcome: what went in is held against what came out.

Flows output once, hand up once or drop; the bridge with NORMAL has two ports. So all that was received or sent by
packet-out is sent, handed up, or in the counter of a drop with a name. What the switch says of a port is held against
the other end of its wire.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import threading
import time
from collections import Counter
from typing import Any

from datapath.ports.pipe import PipePort
from datapath.ports.port import PortHandle
from ofproto.flow_mod import decode_actions
from ofproto.flow_table import FlowTables
from tests.oracle import switch_naive as naive
from tests.oracle.packet_shapes import damaged, frames, truncations
from tests.scenario import flows
from tests.scenario.cases import Generator
from tests.scenario.flows import Mod
from tests.scenario.world import PATCH, Real
from tests.system.netns import Namespace

BEFORE = ("rx_no_buffer", "rx_bad_vnet_header", "rx_too_long")  # not in rx_packets
REFUSED_BY_DEVICES = (*BEFORE, "rx_too_short")
READ = 5  # the port of br0 whose frames are taken by a reader that is slow
LATE = 20  # the port of br0 that comes and goes
DEVICES = (30, 31, 32, 33)
TABLES = 4
TPIDS = (b"\x81\x00", b"\x88\xa8")
SOURCES = (("br0", 1), ("br0", 2), ("br1", 1))


def traffic(seed: int) -> list[bytes]:
    """Frames of all shapes, whole, cut short and damaged, in an order that the seed decides."""
    rng, all_frames = random.Random(seed), []
    for number, (_, frame) in enumerate(sorted(frames().items())):
        all_frames += [frame] * 4 + rng.sample(truncations(frame, 1), 4) + damaged(frame, seed + number, 6)
    all_frames += [frame.ljust(n, b"\xa5") for frame in list(frames().values())[:4] for n in (600, 1514, 3000)]
    rng.shuffle(all_frames)
    return all_frames


class OneOutcome(Generator):
    """Random flows of which each sends a packet to one place at most."""

    outputs = (1, 2, 3, READ, LATE, *DEVICES, naive.LOCAL, PATCH["br0"], PATCH["br1"], 77, naive.CONTROLLER)

    def __init__(self, seed: int) -> None:
        super().__init__(seed, False)

    def output(self) -> tuple:
        port = self.rng.choice(self.outputs)
        return ("output", port, self.rng.choice((0, 64, 0xFFFF)) if port == naive.CONTROLLER else 0)

    def any_output(self, match: flows.Match, table: int, version: int) -> tuple:
        return self.set_any(match, table, version)

    def flow_control(self, match: flows.Match, table: int, version: int) -> tuple:
        return ("note", b"hello!")

    def actions(self, match: flows.Match, table: int, version: int) -> tuple:
        tags = 1 if all(bits & 0x1000 for bits in match.get("vlan_tci", (0, 0))) else 0
        changes: list[tuple] = []
        for _ in range(self.rng.randrange(4)):
            action, tags = self.action(match, table, version, tags)
            changes.append(action)
        last: list[tuple] = [(self.output(),)] * 6 + [()]
        if table < TABLES - 1:
            onward = self.rng.randrange(table + 1, TABLES)
            last += [(("resubmit", None, onward),)] * 2 + [(("goto", onward),)] * 2 * (version == 4)
        last += [(("write", self.output()),)] * (version == 4)
        return (*changes, *self.rng.choice(last))


class Far:
    """A device at the end of a wire, in a namespace: sends frames with pauses until stopped; counts of the kernel."""

    def __init__(self, place: Namespace, name: str, seed: int) -> None:
        self.place, self.name = place, name
        self.stopping = threading.Event()
        self.frames = [frame for frame in traffic(seed) if self.sendable(frame)]
        self.socket = place.call(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        self.socket.bind((name, 0))
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    @staticmethod
    def sendable(frame: bytes) -> bool:
        """Linux sends nothing shorter or longer, and loses a tag with nothing behind it, uncounted, before all taps."""
        return (20 if frame[12:14] in TPIDS else 14) <= len(frame) <= 1514

    def run(self) -> None:
        while not self.stopping.wait(0.01):
            for frame in random.sample(self.frames, 20):
                with contextlib.suppress(OSError):
                    self.socket.send(frame)

    def stop(self) -> None:
        self.stopping.set()
        self.thread.join()
        self.socket.close()

    def counts(self) -> dict[str, int]:
        """Packets that the device sent and received, from its own view, whatever its stack did with them."""
        (row,) = json.loads(self.place.ip("-s", "-j", "link", "show", "dev", self.name))
        return {f"{way}_packets": row["stats64"][way]["packets"] for way in ("rx", "tx")}


class Balance:
    """The switch, what was done to it, and its books."""

    def __init__(self, seed: int) -> None:
        self.rng, self.flows = random.Random(seed), OneOutcome(seed)
        self.real = Real(2, inline=False)
        self.done: Counter[str] = Counter()
        self.handles: list[PortHandle] = list(self.real.pipes.values())  # those that are gone too
        self.far: dict[PortHandle, Far] = {}
        self.punts = self.packet_outs = 0
        self.late: tuple[PipePort, int] | None = None
        self.read, self.taken = PipePort("read", size=512), 0
        self.handles.append(self.read)
        self.real.bridges["br0"].add_port(READ, self.real.dp.add_port(self.read), "read")
        for pipe in self.real.pipes.values():
            pipe.null = True
        for number, wire in enumerate(SOURCES):
            self.real.pipes[wire].loop(traffic(seed + number), batch=8)
        self.learning = self.add_learning(seed)

    def add_learning(self, seed: int) -> Any:
        """Add a bridge of two ports that learns: a packet goes to the other one or nowhere."""
        bridge = self.real.switch.add_bridge("br2", bytes(6))
        self.real.tables["br2"] = FlowTables(bridge)
        for number in (1, 2):
            port = PipePort(f"br2-{number}", null=True)
            self.handles.append(port)
            bridge.add_port(number, self.real.dp.add_port(port), port.name)
            port.loop(traffic(seed + 10 + number), batch=8)
        self.real.flow_mod("br2", Mod("add", 0, 1, {}, (("output", naive.NORMAL, 0),), 1))
        return bridge

    def add_device(self, number: int, port: PortHandle, far: Far) -> None:
        """Put a device's port on br0."""
        self.handles.append(port)
        self.far[port] = far
        self.real.bridges["br0"].add_port(number, self.real.dp.add_port(port), port.name)

    # -- disturbances

    def edit(self) -> None:
        self.real.flow_mod(self.rng.choice(("br0", "br1")), self.mod())

    def mod(self) -> Mod:
        command = self.rng.choice(("add", "add", "add", "modify", "modify_strict", "delete", "delete_strict"))
        return self.flows.mod(command, self.rng.randrange(TABLES), self.rng.randrange(1, 40), self.flows.match())

    def bundle(self) -> None:
        mods = [flows.flow_mod(self.mod()) for _ in range(self.rng.randrange(1, 30))]
        with contextlib.suppress(Exception):
            self.real.tables["br0"].apply_bundle(mods, True)

    def port(self) -> None:
        """Plug a port in or pull it out while it sends."""
        bridge = self.real.bridges["br0"]
        if self.late is None:
            pipe = PipePort("late", null=True)
            self.handles.append(pipe)
            number = self.real.dp.add_port(pipe)
            bridge.add_port(LATE, number, "late")
            pipe.loop(traffic(self.done["port"])[:200], batch=4)
            self.late = pipe, number
            return
        pipe, number = self.late
        self.late = None
        bridge.del_port(LATE)
        self.real.dp.del_port(number)
        self.retire(pipe)

    def retire(self, port: PortHandle) -> None:
        """Close a port and keep only its counts."""
        self.handles[self.handles.index(port)] = Gone(port.stats())
        port.close()

    def settings(self) -> None:
        configs = (0, 0, naive.NO_FWD, naive.NO_RECV, naive.PORT_DOWN, naive.NO_PACKET_IN)
        number = self.rng.choice((3, READ, *DEVICES[: len(self.far)]))
        self.real.bridges["br0"].set_port(number, config=self.rng.choice(configs))
        self.learning.configure(mac_table_size=self.rng.choice((16, 8192)))
        self.learning.fdb_flush()
        self.real.cable(self.rng.random() < 0.8)

    def packet_out(self) -> None:
        acts = decode_actions(flows.actions_wire((self.flows.output(),), 1), 1)
        self.real.dp.execute(self.rng.choice(traffic(1)), 1, self.real.bridges["br0"].packet_out(acts, 1))
        self.packet_outs += 1

    def sweep(self) -> None:
        self.real.push()
        now = time.monotonic_ns()
        for name, tables in self.real.tables.items():
            tables.expire(now)
            tables.collect(1 << 62)
            if name != "br2":
                self.real.bridges[name].age_macs(now)

    def flush(self) -> None:
        self.real.dp.flush()

    def forget(self) -> None:
        """Take the flows away, so that the tables have a bound."""
        for name in self.real.bridges:
            self.real.flow_mod(name, Mod("delete", 255, 0, {}, (), 0))

    def look(self) -> None:
        """What others do meanwhile: dump, read counters, take what came for the controller and out of a port."""
        self.real.dp.dump_flows()
        self.taken += sum(self.read.take_next() is not None for _ in range(512))
        while some := self.real.switch.poll_punts():
            self.punts += len(some)
        for tables in self.real.tables.values():
            tables.flow_stats(flows.flow_request(), 4, False, time.monotonic_ns())

    # -- the books

    def quiet(self) -> None:
        """Stop all traffic and wait until every packet has had its outcome."""
        for handle in self.handles:
            if isinstance(handle, PipePort):
                handle.loop([])
        for far in self.far.values():
            far.stop()
        before = None
        while before != (before := [handle.stats() for handle in self.handles]):
            self.real.dp.barrier_wait()
            self.real.dp.run_callbacks()
            time.sleep(0.3)
        self.look()

    def total(self) -> tuple[int, int, dict[str, int]]:
        """Return packets that came in, packets that had an outcome, and drops by name."""
        counts = [handle.stats() for handle in self.handles]
        drops = self.real.dp.stats()["drops"]
        refused = sum(
            one["drops"].get(name, 0)
            for handle, one in zip(self.handles, counts, strict=True)
            for name in (REFUSED_BY_DEVICES if handle in self.far else BEFORE)
        )
        came = sum(one["rx_packets"] for one in counts) + self.packet_outs
        went = sum(one["tx_packets"] for one in counts) + self.punts + sum(drops.values()) - refused
        return came, went, drops

    def differences(self) -> list[str]:
        """Return what the far ends of the wires count otherwise than the switch."""
        wrong = []
        for port, far in self.far.items():
            ours, theirs = port.stats(), far.counts()
            received = ours["rx_packets"] + sum(ours["drops"].get(name, 0) for name in REFUSED_BY_DEVICES)
            if received != theirs["tx_packets"]:
                wrong.append(f"{port.kind} {port.name}: received {received}, {theirs} were sent")
            if ours["tx_packets"] != theirs["rx_packets"]:
                wrong.append(f"{port.kind} {port.name}: sent {ours['tx_packets']}, {theirs} arrived")
        if self.read.stats()["tx_packets"] != self.taken:
            wrong.append(f"pipe: sent {self.read.stats()['tx_packets']}, {self.taken} arrived")
        return wrong

    def close(self) -> None:
        for far in self.far.values():
            far.stop()
        if self.late is not None:
            self.port()
        self.real.dp.stop()
        for number, handle in list(self.real.dp.ports().items()):
            self.real.dp.del_port(number)
            handle.close()


class Gone:
    """The counts of a port that was closed."""

    def __init__(self, counts: dict[str, Any]) -> None:
        self.counts = counts

    def stats(self) -> dict[str, Any]:
        return self.counts
