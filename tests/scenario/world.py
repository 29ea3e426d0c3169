"""The real switch and the oracle side by side: both take the same steps, and `compare` holds one against the other.

A step is a tuple of plain values (see STEPS), so that a failing run can be cut down and printed.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from datapath.datapath import Datapath
from datapath.ports.pipe import PipePort
from datapath.slots import places
from ofproto.flow_mod import decode_actions
from ofproto.flow_table import FlowTables
from ofproto.switch import SwitchHandle
from tests.oracle import switch_naive as naive
from tests.oracle.fields_naive import REGS
from tests.scenario import flows
from tests.scenario.flows import Mod
from vslib.clock import CLOCK

LOCAL = naive.LOCAL
WIRES = {"br0": (1, 2, 3, 4, LOCAL), "br1": (1, 2)}
PATCH = {"br0": 9, "br1": 8}
PLACES = places()
Wire = tuple[str, int]
sys.setrecursionlimit(50_000)  # of the oracle: 64 levels of tables and bridges, some ten calls each


class Mismatch(AssertionError):
    """The switch did something else than the oracle."""


def wait_for(condition: Callable[[], Any], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Mismatch("nothing happens any more")
        time.sleep(0.0002)


class Real:
    """SwitchHandle, FlowTables, Datapath and pipes: two bridges joined by a patch cable."""

    def __init__(self, n_forwarders: int = 1, inline: bool = True) -> None:
        self.inline = inline
        self.switch = SwitchHandle()
        self.dp = Datapath(n_forwarders, inline=inline)
        self.dp.set_miss_hook(self.switch.miss_hook)
        self.bridges = {name: self.switch.add_bridge(name, bytes(6)) for name in WIRES}
        self.tables = {name: FlowTables(bridge) for name, bridge in self.bridges.items()}
        self.pipes: dict[Wire, PipePort] = {}
        self.numbers: dict[Wire, int] = {}
        self.injected: Counter[Wire] = Counter()
        for name, numbers in WIRES.items():
            for number in numbers:
                self.add_wire((name, number))
            self.bridges[name].add_port(PATCH[name], None, f"patch-{name}")
        self.cable(True)
        self.dp.start()

    def add_wire(self, wire: Wire, **options: Any) -> None:
        """Add a port with a pipe; options: see PipePort."""
        self.pipes[wire] = PipePort(f"{wire[0]}-{wire[1] & 0xFFFF}", size=1 << 16, **options)
        self.numbers[wire] = self.dp.add_port(self.pipes[wire])
        self.bridges[wire[0]].add_port(wire[1], self.numbers[wire], f"{wire[0]}-{wire[1] & 0xFFFF}")

    def cable(self, plugged: bool) -> None:
        self.bridges["br0"].set_peer(PATCH["br0"], self.bridges["br1"] if plugged else None, PATCH["br1"])

    def flow_mod(self, bridge: str, mod: Mod) -> None:
        self.tables[bridge].flow_mod(flows.flow_mod(mod), True)

    def settle(self) -> None:
        """Return when everything that was injected has been handled."""
        if self.inline:
            self.dp.step()
            return
        for wire, count in self.injected.items():
            wait_for(lambda wire=wire, count=count: self.dp.port_stats(self.numbers[wire])["rx_packets"] >= count)
        self.dp.barrier_wait()
        self.dp.run_callbacks()

    def send(self, frames: list[tuple[Wire, bytes]]) -> None:
        for wire, frame in frames:
            assert self.pipes[wire].inject(frame)
            self.injected[wire] += 1
        self.settle()

    def packet_out(self, wire: Wire, actions: list[naive.Action], frame: bytes) -> None:
        acts = decode_actions(flows.actions_wire(actions, 1), 1)
        self.dp.execute(frame, self.numbers[wire], self.bridges[wire[0]].packet_out(acts, wire[1]))
        self.settle()

    def push(self) -> None:
        done: list[int] = []
        self.dp.push_credits(lambda: done.append(1))
        if self.inline:
            self.dp.step()
        wait_for(lambda: self.dp.run_callbacks() or done)

    def taken(self) -> dict[Wire, list[bytes]]:
        return {wire: frames for wire, pipe in self.pipes.items() if (frames := pipe.take())}

    def punts(self) -> list[tuple]:
        found = []
        while some := self.switch.poll_punts():
            found += map(read_punt, some)
        return found

    def close(self) -> None:
        self.dp.stop()
        left = self.dp.stats()["buffers_in_use"]
        for wire, number in self.numbers.items():
            self.dp.del_port(number)
            self.pipes[wire].close()
        if left:
            raise Mismatch(f"{left} packets were lost sight of")


def read_punt(punt: Any) -> tuple:
    """The same tuple as the oracle's."""

    def field(name: str, shift: int = 0, n: int | None = None) -> int:
        at = PLACES[name].offset + shift
        return int.from_bytes(punt.key[at : at + (n or PLACES[name].slot.n_bytes)], "big")

    metadata = (*(field("regs", 4 * i, 4) for i in range(len(REGS))), field("metadata"), field("tun_id"))
    return (
        punt.bridge,
        punt.in_port,
        punt.reason,
        punt.table_id,
        punt.cookie,
        punt.max_len,
        metadata,
        field("pkt_mark"),
        punt.frame,
    )


class Expected:
    """The oracle with the same ports, and what it says must have happened since the last look."""

    def __init__(self) -> None:
        self.bridges = {name: naive.Bridge(name) for name in WIRES}
        for name, bridge in self.bridges.items():
            bridge.ports = {number: naive.Port(number, (name, number)) for number in WIRES[name]}
            bridge.ports[PATCH[name]] = naive.Port(PATCH[name])
        self.cable(True)
        self.sent: dict[Wire, list[bytes]] = {}
        self.punted: list[tuple] = []
        self.drops = 0

    def cable(self, plugged: bool) -> None:
        br0, br1 = self.bridges["br0"], self.bridges["br1"]
        br0.ports[PATCH["br0"]].peer = (br1, PATCH["br1"]) if plugged else None
        br1.ports[PATCH["br1"]].peer = (br0, PATCH["br0"]) if plugged else None

    def note(self, run: naive.Run | None) -> None:
        self.drops += run is None or not (run.sent or run.punts)
        if run is not None:
            self.punted += run.punts
            for wire, frame in run.sent:
                self.sent.setdefault(wire, []).append(frame)

    def flow_mod(self, bridge: str, mod: Mod) -> None:
        rule = naive.Rule(mod.table, mod.priority, dict(mod.match), list(mod.actions), mod.cookie, mod.idle, mod.hard)
        br = self.bridges[bridge]
        if mod.command == "add":
            br.add(rule, reset_counts=mod.version == 1)
        elif mod.command.startswith("modify"):
            br.modify(rule, mod.command.endswith("strict"), mod.version)
        else:
            br.delete(rule, mod.command.endswith("strict"))

    def counts(self, bridge: str) -> list[tuple[int, int, int, int]]:
        return sorted((rule.table, rule.priority, rule.cookie, rule.packets) for rule in self.bridges[bridge].rules)


class World:
    """Both, driven by steps."""

    def __init__(self, n_forwarders: int = 1, inline: bool = True) -> None:
        if inline:
            CLOCK.stop()
        self.real, self.expected = Real(n_forwarders, inline), Expected()
        self.packets = 0

    def step(self, step: tuple) -> None:
        if self.real.inline:
            CLOCK.warp(1)
        for bridge in self.expected.bridges.values():
            bridge.now = CLOCK.now_ns()
        STEPS[step[0]](self, *step[1:])

    def edited(self) -> None:
        """With threads, a change counts from the barrier on."""
        if not self.real.inline:
            self.real.dp.barrier_wait()
            self.real.dp.run_callbacks()

    # -- edits

    def mod(self, bridge: str, mod: Mod) -> None:
        self.real.flow_mod(bridge, mod)
        self.expected.flow_mod(bridge, mod)
        self.edited()

    def port_config(self, bridge: str, number: int, config: int) -> None:
        self.real.bridges[bridge].set_port(number, config=config)
        self.expected.bridges[bridge].ports[number].config = config
        self.edited()

    def port_vlan(self, bridge: str, number: int, mode: str, tag: int, trunks: tuple[int, ...]) -> None:
        self.real.bridges[bridge].set_port(number, vlan_mode=mode, tag=tag, trunks=trunks)
        self.expected.bridges[bridge].port_vlan(number, mode, tag, frozenset(trunks))
        self.edited()

    def bridge_config(self, bridge: str, real: str, name: str, value: int) -> None:
        self.real.bridges[bridge].configure(**{real: value})
        setattr(self.expected.bridges[bridge], name, value)
        self.edited()

    def cable(self, plugged: bool) -> None:
        self.real.cable(plugged)
        self.expected.cable(plugged)
        self.edited()

    def fdb_flush(self, bridge: str) -> None:
        self.real.bridges[bridge].fdb_flush()
        self.expected.bridges[bridge].macs.clear()
        self.edited()

    def push(self) -> None:
        self.real.push()

    def later(self, seconds: int) -> None:
        """Let time pass; with threads it cannot be made to."""
        if not self.real.inline:
            return
        CLOCK.warp(seconds * 1000)
        self.real.push()
        for name, bridge in self.expected.bridges.items():
            bridge.now = CLOCK.now_ns()
            bridge.expire()
            self.real.bridges[name].age_macs(bridge.now)
            self.real.tables[name].expire(bridge.now)

    # -- packets

    def send(self, frames: tuple[tuple[str, int, bytes], ...]) -> None:
        self.packets += len(frames)
        for bridge, number, frame in frames:
            self.expected.note(naive.receive(self.expected.bridges[bridge], number, frame))
        self.real.send([((bridge, number), frame) for bridge, number, frame in frames])
        self.compare(len(frames) == 1)

    def packet_out(self, bridge: str, number: int, actions: tuple, frame: bytes) -> None:
        self.packets += 1
        run = naive.packet_out(self.expected.bridges[bridge], number, list(actions), frame)
        self.expected.note(run)
        self.real.packet_out((bridge, number), list(actions), frame)
        self.compare(True)

    # -- comparison

    def compare(self, in_order: bool) -> None:
        sent, punts = self.real.taken(), self.real.punts()
        expected, self.expected.sent = self.expected.sent, {}
        punted, self.expected.punted = self.expected.punted, []
        order: Callable[[list], list] = list if in_order else sorted
        for wire in sorted(set(sent) | set(expected)):
            got, want = order(sent.get(wire, [])), order(expected.get(wire, []))
            if got != want:
                raise Mismatch(
                    f"out of {wire[0]}:{wire[1]} came\n  {show(got, want)}, the oracle says\n  {show(want, got)}"
                )
        if order(punts) != order(punted):
            raise Mismatch(f"packet-ins\n  {order(punts)}, the oracle says\n  {order(punted)}")

    def finish(self) -> None:
        """Counters at the end: of rules, of learning, and of drops."""
        self.real.push()
        for bridge, tables in self.real.tables.items():
            got, want = (
                flows.read_counts(tables.flow_stats(flows.flow_request(), 4, False, CLOCK.now_ns())),
                self.expected.counts(bridge),
            )
            if got != want:
                raise Mismatch(
                    f"flows of {bridge} (table, priority, cookie, packets)\n  {sorted(set(got) - set(want))}, "
                    "the oracle says\n  "
                    f"{sorted(set(want) - set(got))}"
                )
            fdb = {(int.from_bytes(mac, "big"), vlan): port for port, vlan, mac, _ in self.real.bridges[bridge].fdb()}
            if fdb != self.expected.bridges[bridge].macs:
                raise Mismatch(f"learned on {bridge}: {fdb}, the oracle says {self.expected.bridges[bridge].macs}")
        drops = self.real.dp.stats()["drops"]
        if sum(drops.values()) != self.expected.drops:
            raise Mismatch(f"drops {drops}, the oracle says {self.expected.drops}")

    def close(self) -> None:
        self.real.close()
        CLOCK.resume()


STEPS: dict[str, Callable[..., None]] = {
    "mod": World.mod,
    "port_config": World.port_config,
    "port_vlan": World.port_vlan,
    "bridge_config": World.bridge_config,
    "cable": World.cable,
    "fdb_flush": World.fdb_flush,
    "push": World.push,
    "later": World.later,
    "send": World.send,
    "packet_out": World.packet_out,
}


def show(frames: list[bytes], others: list[bytes]) -> str:
    """The frames that are too many, all of them if the order is wrong."""
    extra = list((Counter(frames) - Counter(others)).elements()) or (
        frames if Counter(frames) == Counter(others) else []
    )
    return "[" + ", ".join(frame.hex() for frame in extra) + "]"


def step_text(step: tuple) -> str:
    if step[0] == "mod":
        return f"{step[1]}: {flows.text(step[2])}"
    if step[0] == "send":
        return "; ".join(f"send {bridge}:{number} {frame.hex()}" for bridge, number, frame in step[1])
    if step[0] == "packet_out":
        return f"packet_out {step[1]}:{step[2]} {','.join(map(flows.action_text, step[3]))} {step[4].hex()}"
    return " ".join(map(str, step))
