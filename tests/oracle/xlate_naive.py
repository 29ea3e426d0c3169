"""A naive switch: linear flow tables, one packet at a time, every action done on a dict.

A packet is a dict of slot values plus `tags`, a list of (TPID, TCI without the present bit), outermost first. A flow is
(priority, match, actions); a match maps slot names to (value, mask), an action is a tuple (name, arguments...).
"""

from __future__ import annotations

import contextlib
import copy
from dataclasses import dataclass, field
from typing import Any

Packet = dict[str, Any]
HEADERS = (
    "eth_src",
    "eth_dst",
    "eth_type",
    "ip_src",
    "ip_dst",
    "nw_proto",
    "nw_tos",
    "nw_ttl",
    "tp_src",
    "tp_dst",
    "pkt_mark",
    "skb_priority",
)
PIPELINE = ("reg0", "reg1", "metadata")
BROADCAST = 0xFFFFFFFFFFFF
DEPTH, RESUBMITS, TAGS = 64, 4096, 8


class TranslationError(Exception):
    """The packet is dropped whatever was sent."""


class Exit(Exception):
    """Action exit."""


@dataclass
class Port:
    number: int
    mode: str = "trunk"
    tag: int = 0
    trunks: frozenset[int] = frozenset()
    no_flood: bool = False
    no_fwd: bool = False
    peer: tuple[Bridge, int] | None = None

    def carries(self, vlan: int) -> bool:
        if self.mode == "access":
            return vlan == self.tag
        return not self.trunks or vlan in self.trunks


@dataclass
class Bridge:
    name: str
    ports: dict[int, Port] = field(default_factory=dict)
    tables: dict[int, list[tuple[int, dict, list]]] = field(default_factory=dict)
    macs: dict[tuple[int, int], int] = field(default_factory=dict)


@dataclass
class Run:
    """One packet's way; `sent` collects (bridge, port, headers, tags)."""

    sent: list = field(default_factory=list)
    depth: int = 0
    resubmits: int = 0
    action_set: list = field(default_factory=list)
    stack: list = field(default_factory=list)
    table: int = 0


def slot_value(p: Packet, name: str) -> int:
    if name in ("vlan_tci", "vlan_tpid"):
        if not p["tags"]:
            return 0
        tpid, tci = p["tags"][0]
        return tci | 0x1000 if name == "vlan_tci" else tpid
    return p[name]


def matches(p: Packet, match: dict[str, tuple[int, int]]) -> bool:
    return all(slot_value(p, name) & mask == value & mask for name, (value, mask) in match.items())


def forward(bridge: Bridge, packet: Packet, in_port: int) -> list:
    """Send a packet through a bridge and return what comes out."""
    run = Run()
    p = copy.deepcopy(packet)
    p.update(in_port=in_port, reg0=0, reg1=0, metadata=0)
    try:
        run_bridge(bridge, p, run)
    except TranslationError:
        return []
    return run.sent


def run_bridge(bridge: Bridge, p: Packet, run: Run) -> None:
    with contextlib.suppress(Exit):
        run_table(bridge, p, run, 0, p["in_port"])
        run_set(bridge, p, run)


def run_table(bridge: Bridge, p: Packet, run: Run, table: int, in_port: int) -> None:
    if run.depth > DEPTH or run.resubmits > RESUBMITS:
        raise TranslationError
    run.resubmits += 1
    before, run.table = run.table, table
    seen = {**p, "in_port": in_port}
    hits = [flow for flow in bridge.tables.get(table, []) if matches(seen, flow[1])]
    if hits:
        deepens = table <= before
        run.depth += deepens
        run_list(bridge, p, run, max(hits, key=lambda flow: flow[0])[2])
        run.depth -= deepens
    run.table = before


def run_list(bridge: Bridge, p: Packet, run: Run, actions: list) -> None:
    for name, *args in actions:
        if STEPS[name](bridge, p, run, *args):
            return


SET_ORDER = ("strip_vlan", "push_vlan", "dec_ttl", "set", "output")


def run_set(bridge: Bridge, p: Packet, run: Run) -> None:
    actions, run.action_set = run.action_set, []
    kinds = [(name if name in SET_ORDER else "set", (name, *args)) for name, *args in actions]
    if not any(kind == "output" for kind, _ in kinds):
        return
    for phase in SET_ORDER:
        chosen = [action for kind, action in kinds if kind == phase]
        if phase != "set":
            chosen = chosen[-1:]
        for name, *args in chosen:
            if STEPS[name](bridge, p, run, *args):
                return


def emit(bridge: Bridge, p: Packet, run: Run, number: int) -> None:
    port = bridge.ports.get(number)
    if port is None or port.no_fwd:
        return
    if port.peer is None:
        run.sent.append((bridge.name, number, tuple(p[name] for name in HEADERS), tuple(p["tags"])))
        return
    other, other_number = port.peer
    saved, action_set, stack, table = copy.deepcopy(p), run.action_set, run.stack, run.table
    p.update(in_port=other_number, reg0=0, reg1=0, metadata=0)
    run.action_set, run.stack, run.table = [], [], 0
    depth = run.depth
    with contextlib.suppress(TranslationError):
        run_bridge(other, p, run)
    run.depth, run.action_set, run.stack, run.table = depth, action_set, stack, table
    p.clear()
    p.update(saved)


def output(bridge: Bridge, p: Packet, run: Run, number: int) -> None:
    if number != p["in_port"]:
        emit(bridge, p, run, number)


def others(bridge: Bridge, p: Packet, run: Run, flood: bool) -> None:
    for number in sorted(bridge.ports):
        if number != p["in_port"] and not (flood and bridge.ports[number].no_flood):
            emit(bridge, p, run, number)


def normal(bridge: Bridge, p: Packet, run: Run) -> None:
    port = bridge.ports.get(p["in_port"])
    if port is None:
        return
    tci = p["tags"][0][1] if p["tags"] else 0
    vid = tci & 0xFFF
    if port.mode == "access":
        if vid:
            return
        vlan = port.tag
    elif port.mode != "trunk" and vid == 0:
        vlan = port.tag
    elif port.carries(vid):
        vlan = vid
    else:
        return
    if not p["eth_src"] >> 40 & 1:
        bridge.macs[p["eth_src"], vlan] = port.number
    known = bridge.macs.get((p["eth_dst"], vlan))
    if known == port.number:
        return
    if known is not None:
        normal_to(bridge, p, run, bridge.ports[known], vlan)
        return
    for number in sorted(bridge.ports):
        to = bridge.ports[number]
        if to is not port and not to.no_flood and to.carries(vlan):
            normal_to(bridge, p, run, to, vlan)


def normal_to(bridge: Bridge, p: Packet, run: Run, port: Port, vlan: int) -> None:
    pcp = p["tags"][0][1] & 0xE000 if p["tags"] else 0
    saved = list(p["tags"])
    if vlan | pcp == 0 or port.mode == "access" or (port.mode == "native-untagged" and vlan == port.tag):
        p["tags"] = saved[1:]
    elif saved:
        p["tags"] = [(saved[0][0], pcp | vlan), *saved[1:]]
    else:
        p["tags"] = [(0x8100, pcp | vlan)]
    emit(bridge, p, run, port.number)
    p["tags"] = saved


def set_slot(bridge: Bridge, p: Packet, run: Run, name: str, value: int, mask: int) -> None:
    if name in ("ip_src", "ip_dst", "nw_tos", "nw_ttl", "tp_src", "tp_dst") and p["eth_type"] != 0x0800:
        return
    p[name] = (p[name] & ~mask) | (value & mask)


def set_vid(bridge: Bridge, p: Packet, run: Run, vid: int) -> None:
    tpid, tci = p["tags"][0] if p["tags"] else (0x8100, 0)
    p["tags"][:1] = [(tpid, (tci & 0xE000) | vid)]


def set_pcp(bridge: Bridge, p: Packet, run: Run, pcp: int) -> None:
    tpid, tci = p["tags"][0] if p["tags"] else (0x8100, 0)
    p["tags"][:1] = [(tpid, (tci & 0xFFF) | pcp << 13)]


def push_vlan(bridge: Bridge, p: Packet, run: Run, tpid: int) -> None:
    if len(p["tags"]) == TAGS:
        raise TranslationError
    p["tags"].insert(0, (tpid, 0))


def strip_vlan(bridge: Bridge, p: Packet, run: Run) -> None:
    del p["tags"][:1]


def dec_ttl(bridge: Bridge, p: Packet, run: Run) -> bool:
    if p["eth_type"] != 0x0800:
        return False
    if p["nw_ttl"] <= 1:
        return True
    p["nw_ttl"] -= 1
    return False


def move(bridge: Bridge, p: Packet, run: Run, src: str, dst: str) -> None:
    if "ip_src" in (src, dst) and p["eth_type"] != 0x0800:
        return
    p[dst] = p[src]


def push(bridge: Bridge, p: Packet, run: Run, name: str) -> None:
    run.stack.append(p[name])


def pop(bridge: Bridge, p: Packet, run: Run, name: str) -> None:
    if run.stack:
        p[name] = run.stack.pop()


def resubmit(bridge: Bridge, p: Packet, run: Run, table: int, in_port: int | None) -> None:
    run_table(bridge, p, run, table, p["in_port"] if in_port is None else in_port)


def goto(bridge: Bridge, p: Packet, run: Run, table: int) -> bool:
    run_table(bridge, p, run, table, p["in_port"])
    return True


def exit_(bridge: Bridge, p: Packet, run: Run) -> None:
    raise Exit


def write(bridge: Bridge, p: Packet, run: Run, *actions: tuple) -> None:
    run.action_set.extend(actions)


def clear(bridge: Bridge, p: Packet, run: Run) -> None:
    run.action_set.clear()


def enqueue(bridge: Bridge, p: Packet, run: Run, port: int, queue: int) -> None:
    before, p["skb_priority"] = p["skb_priority"], queue
    output(bridge, p, run, port)
    p["skb_priority"] = before


STEPS = {
    "output": output,
    "normal": normal,
    "set": set_slot,
    "set_vid": set_vid,
    "set_pcp": set_pcp,
    "push_vlan": push_vlan,
    "strip_vlan": strip_vlan,
    "dec_ttl": dec_ttl,
    "move": move,
    "push": push,
    "pop": pop,
    "resubmit": resubmit,
    "goto": goto,
    "exit": exit_,
    "write": write,
    "clear": clear,
    "enqueue": enqueue,
    "in_port": lambda b, p, r: emit(b, p, r, p["in_port"]),
    "all": lambda b, p, r: others(b, p, r, False),
    "flood": lambda b, p, r: others(b, p, r, True),
}
