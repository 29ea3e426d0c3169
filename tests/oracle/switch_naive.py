"""The oracle of the whole switch: linear flow tables, every action done on a dict, one packet at a time.

Plain Python, independent of all compiled code and of the tables of `ofproto`. A rule's match maps slot names to (value,
mask); `vlan_tci` has bit 0x1000 set when there is a tag. An action is a tuple (name, arguments...); see STEPS. MAC
tables and the counts of rules are kept.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.oracle.fields_naive import FIELDS, REGS, anything, get, is_ip, put, slot, type_in, write_slot
from tests.oracle.packets import Key, commit, parse

IN_PORT, TABLE, NORMAL, FLOOD, ALL, CONTROLLER, LOCAL, NONE = range(0xFFFFFFF8, 0x100000000)
PORT_DOWN, NO_RECV, NO_RECV_STP, NO_FLOOD, NO_FWD, NO_PACKET_IN = 1, 4, 8, 16, 32, 64
R_NO_MATCH, R_ACTION, R_INVALID_TTL, R_ACTION_SET, R_PACKET_OUT, R_EXPLICIT_MISS = 0, 1, 2, 3, 5, 6
FRAGS_NORMAL, FRAGS_DROP, FRAGS_NX = 0, 1, 3
STP_MAC, BROADCAST = 0x0180C2000000, 0xFFFFFFFFFFFF
NO_COOKIE = 0xFFFFFFFFFFFFFFFF
NS = 1_000_000_000
MAC_AGE = 300 * NS
DEPTH, RESUBMITS, STACK, TAGS = 64, 4096, 512, 8
PIPELINE = (*REGS, "metadata", "tun_id")
Action = tuple[Any, ...]


class TranslationError(Exception):
    """The packet is dropped, whatever was sent."""


class Exit(Exception):
    """Action exit."""


@dataclass
class Rule:
    """One flow. `instructions` of OpenFlow 1.3 stand in `actions` like other actions: clear, write, metadata, goto."""

    table: int
    priority: int
    match: dict[str, tuple[int, int]]
    actions: list[Action]
    cookie: int
    idle: int = 0  # time-outs in seconds, 0 = none
    hard: int = 0
    packets: int = 0
    used: int = 0  # time of the last packet, of a new flow that of its making
    modified: int = 0

    @property
    def is_miss(self) -> bool:
        return self.priority == 0 and not self.match


@dataclass
class Port:
    """An OpenFlow port; wire: name of where frames leave, None for a patch port."""

    number: int
    wire: Any = None
    mode: str = "trunk"
    tag: int = 0
    trunks: frozenset[int] = frozenset()
    config: int = 0
    peer: tuple[Bridge, int] | None = None

    def carries(self, vlan: int) -> bool:
        if self.mode == "access":
            return vlan == self.tag
        if self.mode == "trunk" or not self.tag:
            return not self.trunks or vlan in self.trunks
        return (
            vlan == self.tag or vlan != 0 and (not self.trunks or vlan in self.trunks)
        )  # a native VLAN takes the place of VLAN 0


@dataclass
class Bridge:
    name: str
    ports: dict[int, Port] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)
    macs: dict[tuple[int, int], int] = field(default_factory=dict)
    seen: dict[tuple[int, int], int] = field(default_factory=dict)  # when a MAC was last seen
    now: int = 0  # ns; whoever drives the oracle sets it
    forward_bpdu: bool = False
    standalone: bool = False
    miss_punt: bool = False
    ttl_punt: bool = False
    frag_mode: int = FRAGS_NORMAL

    def lookup(self, table: int, key: Key) -> Rule | None:
        hits = [rule for rule in self.rules if rule.table == table and matches(key, rule.match)]
        return max(hits, key=lambda rule: rule.priority) if hits else None

    # -- flow-mods

    def add(self, rule: Rule, reset_counts: bool) -> None:
        rule.used = rule.modified = self.now
        for old in self.rules:
            if (old.table, old.priority, old.match) == (rule.table, rule.priority, rule.match):
                rule.packets = 0 if reset_counts else old.packets
                rule.used = old.used
                self.rules.remove(old)
                break
        self.rules.append(rule)

    def meeting(self, table: int, match: dict, strict: bool, priority: int) -> list[Rule]:
        rules = [rule for rule in self.rules if table in (0xFF, rule.table)]
        if strict:
            return [rule for rule in rules if (rule.priority, rule.match) == (priority, match)]
        return [rule for rule in rules if all(covers(rule.match.get(name, (0, 0)), row) for name, row in match.items())]

    def modify(self, rule: Rule, strict: bool, version: int) -> None:
        found = self.meeting(rule.table, rule.match, strict, rule.priority)
        for old in found:
            old.actions, old.modified = rule.actions, self.now
            old.cookie = rule.cookie if version == 1 else old.cookie
        if not found and version == 1:
            self.add(rule, True)

    def delete(self, rule: Rule, strict: bool) -> None:
        for old in self.meeting(rule.table, rule.match, strict, rule.priority):
            self.rules.remove(old)

    # -- time

    def expire(self) -> None:
        """Remove what has timed out: flows, and MACs after 300 seconds."""
        for rule in list(self.rules):
            idle = rule.idle and self.now - rule.used >= rule.idle * NS
            if idle or (rule.hard and self.now - rule.modified >= rule.hard * NS):
                self.rules.remove(rule)
        self.macs = {mac: port for mac, port in self.macs.items() if self.now - self.seen[mac] < MAC_AGE}

    def port_vlan(self, number: int, mode: str, tag: int, trunks: frozenset[int]) -> None:
        port = self.ports[number]
        port.mode, port.tag, port.trunks = mode, tag, trunks
        self.macs = {mac: where for mac, where in self.macs.items() if where != number}


def covers(has: tuple[int, int], wanted: tuple[int, int]) -> bool:
    return has[1] & wanted[1] == wanted[1] and has[0] & wanted[1] == wanted[0]


def matches(key: Key, match: dict[str, tuple[int, int]]) -> bool:
    return all(slot(key, name) & mask == value for name, (value, mask) in match.items())


@dataclass
class Run:
    """One packet's way through the bridges."""

    bridge: Bridge
    key: Key
    base: Key  # what the bytes of `frame` hold
    frame: bytes
    sent: list[tuple[Any, bytes]] = field(default_factory=list)  # (wire, frame)
    punts: list[tuple] = field(default_factory=list)
    depth: int = 0
    resubmits: int = 0
    table: int = 0
    cookie: int = NO_COOKIE
    first_cookie: int | None = None  # of the first rule in this bridge: the action set reports it
    miss_rule: bool = False
    in_set: bool = False
    packet_out: bool = False
    failed: bool = False  # translation failed: nothing leaves at all
    action_set: list[Action] = field(default_factory=list)
    stack: list[int] = field(default_factory=list)

    def commit(self) -> None:
        """Bring the bytes up to the key."""
        self.frame = commit(self.frame, self.base, self.key)
        self.key["written"] = {}
        self.base = copy.deepcopy(self.key)


# -- ways in


def start(bridge: Bridge, in_port: int, frame: bytes) -> Run | None:
    found = parse(frame)
    if found is None:
        return None
    key = found[0] | dict.fromkeys(PIPELINE, 0) | {"in_port": in_port, "pkt_mark": 0, "skb_priority": 0}
    return Run(bridge, key, copy.deepcopy(key), frame)


def finish(run: Run, work: Callable[[], None]) -> Run:
    try:
        work()
    except TranslationError:
        run.sent, run.punts, run.failed = [], [], True
    return run


def receive(bridge: Bridge, in_port: int, frame: bytes) -> Run | None:
    """One frame from the wire; None when it is too short to be one."""
    run = start(bridge, in_port, frame)
    return None if run is None else finish(run, lambda: enter(run, bridge.ports[in_port]))


def packet_out(bridge: Bridge, in_port: int, actions: list[Action], frame: bytes) -> Run | None:
    """One frame from a controller."""
    run = start(bridge, in_port, frame)
    if run is None:
        return None
    run.packet_out, run.first_cookie = True, NO_COOKIE
    return finish(run, lambda: run_bridge(run, lambda: run_list(run, actions)))


def enter(run: Run, port: Port) -> None:
    blocked = PORT_DOWN | (NO_RECV_STP if run.key["eth_dst"] == STP_MAC else NO_RECV)
    if not port.config & blocked:
        run_bridge(run, lambda: run_table(run, 0, run.key["in_port"], True))


def run_bridge(run: Run, work: Callable[[], None]) -> None:
    try:
        work()
        run_set(run)
    except Exit:
        pass


# -- tables


def run_table(run: Run, table: int, in_port: int, honour_miss: bool) -> None:
    if run.depth > DEPTH or run.resubmits > RESUBMITS:
        raise TranslationError
    run.resubmits += 1
    before, run.table = run.table, table
    enter_table(run, before, in_port, honour_miss)
    run.table = before


def enter_table(run: Run, before: int, in_port: int, honour_miss: bool) -> None:
    fragment = run.key["nw_frag"] & 1
    if fragment and run.bridge.frag_mode == FRAGS_DROP:
        return
    seen = run.key | {"in_port": in_port}
    if fragment and run.bridge.frag_mode == FRAGS_NORMAL:
        seen |= {"tp_src": 0, "tp_dst": 0}
    rule = run.bridge.lookup(run.table, seen)
    if rule is not None:
        run_rule(run, rule, run.table <= before)
    elif honour_miss:
        miss(run, in_port)


def run_rule(run: Run, rule: Rule, deepens: bool) -> None:
    saved = run.cookie, run.miss_rule
    rule.packets += 1
    rule.used = run.bridge.now
    if run.first_cookie is None:
        run.first_cookie = rule.cookie
    run.cookie, run.miss_rule = rule.cookie, rule.is_miss
    run.depth += deepens
    run_list(run, rule.actions)
    run.depth -= deepens
    run.cookie, run.miss_rule = saved


def miss(run: Run, in_port: int) -> None:
    port = run.bridge.ports.get(in_port)
    if run.bridge.standalone and run.table == 0:
        normal(run)
    elif run.bridge.miss_punt and not (port and port.config & NO_PACKET_IN):
        punt(run, R_NO_MATCH, 0xFFFF, NO_COOKIE)


def run_list(run: Run, actions: list[Action]) -> None:
    for name, *args in actions:
        if STEPS[name](run, *args):
            return


# -- action set

PHASES = ("strip_vlan", "push_vlan", "dec_ttl", "set", "queue", "resubmit", "output")
PHASE_OF = {
    "strip_vlan": "strip_vlan",
    "push_vlan": "push_vlan",
    "dec_ttl": "dec_ttl",
    "set_queue": "queue",
    "resubmit": "resubmit",
    "output": "output",
    "controller": "output",
    "enqueue": "output",
    "output_reg": "output",
}


def run_set(run: Run) -> None:
    entries, run.action_set = run.action_set, []
    by_phase: dict[str, list[Action]] = {phase: [] for phase in PHASES}
    for entry in entries:
        by_phase[PHASE_OF.get(entry[0], "set")].append(entry)
    if not by_phase["output"] and not by_phase["resubmit"]:
        return
    run.in_set = True
    run.cookie = NO_COOKIE if run.first_cookie is None else run.first_cookie
    for phase in PHASES:
        if phase == "resubmit" and by_phase["output"]:
            continue
        chosen = by_phase[phase] if phase == "set" else by_phase[phase][-1:]
        if any(STEPS[name](run, *args) for name, *args in chosen):
            break
    run.in_set = False


# -- output


def emit(run: Run, number: int) -> None:
    port = run.bridge.ports.get(number)
    if port is None or port.config & (NO_FWD | PORT_DOWN):
        return
    if port.wire is not None:
        run.commit()
        run.sent.append((port.wire, run.frame))
    elif port.peer is not None:
        cross(run, *port.peer)


def cross(run: Run, other: Bridge, number: int) -> None:
    """Through a patch port: fresh registers there, everything as before here."""
    kept = ("bridge", "cookie", "first_cookie", "table", "miss_rule", "in_set", "action_set", "stack")
    saved = {name: getattr(run, name) for name in kept}
    key, depth = copy.deepcopy(run.key), run.depth
    run.bridge, run.table, run.miss_rule, run.in_set, run.action_set, run.stack = other, 0, False, False, [], []
    run.first_cookie = None
    run.key |= dict.fromkeys(PIPELINE, 0) | {"in_port": number}
    with contextlib.suppress(TranslationError):
        enter(run, other.ports[number])
    run.key, run.depth = key, depth
    for name, value in saved.items():
        setattr(run, name, value)


def output(run: Run, port: int, max_len: int = 0) -> None:
    if port in RESERVED:
        RESERVED[port](run, max_len)
    elif port != run.key["in_port"]:
        emit(run, port)


def others(run: Run, skip: int) -> None:
    for number in sorted(run.bridge.ports):
        if number != run.key["in_port"] and not run.bridge.ports[number].config & skip:
            emit(run, number)


def to_controller(run: Run, max_len: int) -> None:
    reason = R_ACTION
    if run.packet_out:
        reason = R_PACKET_OUT
    elif run.in_set:
        reason = R_ACTION_SET
    elif run.miss_rule:
        reason = R_EXPLICIT_MISS
    punt(run, reason, min(max_len, 0xFFFF), run.cookie)


def to_table(run: Run, max_len: int) -> None:
    if run.packet_out:
        run_table(run, 0, run.key["in_port"], True)


RESERVED = {
    IN_PORT: lambda run, _: emit(run, run.key["in_port"]),
    TABLE: to_table,
    NORMAL: lambda run, _: normal(run),
    FLOOD: lambda run, _: others(run, NO_FLOOD),
    ALL: lambda run, _: others(run, 0),
    CONTROLLER: to_controller,
    NONE: lambda run, _: None,
}


def punt(run: Run, reason: int, max_len: int, cookie: int) -> None:
    run.commit()
    metadata = tuple(run.key[name] for name in PIPELINE)
    run.punts.append(
        (
            run.bridge.name,
            run.key["in_port"],
            reason,
            run.table,
            cookie,
            max_len,
            metadata,
            run.key["pkt_mark"],
            run.frame,
        )
    )


def controller(run: Run, max_len: int, reason: int = R_ACTION) -> None:
    punt(run, R_EXPLICIT_MISS if reason == R_ACTION and run.miss_rule else reason, max_len, run.cookie)


def enqueue(run: Run, port: int, queue: int) -> None:
    before, run.key["skb_priority"] = run.key["skb_priority"], queue
    output(run, port)
    run.key["skb_priority"] = before


def output_reg(run: Run, name: str) -> None:
    """The low 16 bits of a register are the port."""
    port = run.key[name] & 0xFFFF
    output(run, port + 0xFFFF0000 if port >= 0xFF00 else port, 0xFFFF)


# -- NORMAL


def is_reserved(mac: int) -> bool:
    ranges = (
        (0x0180C2000000, 16),
        (0x00E02B000000, 1),
        (0x00E02B000004, 1),
        (0x00E02B000006, 1),
        (0x01000CCCCCCC, 1),
        (0x01000CCCCCCD, 1),
        (0x01000CCDCDCD, 1),
        (0x01000C000000, 1),
        (0x01000CCCCCC0, 8),
    )
    return any(first <= mac < first + n for first, n in ranges)


def inside(port: Port, vid: int) -> int | None:
    """The VLAN that a frame is in, None if the port does not take it."""
    if port.mode == "access":
        return None if vid else port.tag
    if port.mode != "trunk" and vid == 0:
        return port.tag
    return vid if port.carries(vid) else None


def normal(run: Run) -> None:
    bridge, key = run.bridge, run.key
    port = bridge.ports.get(key["in_port"])
    vid = key["tags"][0][1] & 0xFFF if key["tags"] else 0
    vlan: int | None = vid
    if port is None and key["in_port"] not in (NONE, CONTROLLER):
        return
    if port is not None:
        vlan = inside(port, vid)
        if vlan is None or (is_reserved(key["eth_dst"]) and not bridge.forward_bpdu):
            return
        if not key["eth_src"] >> 40 & 1:
            bridge.macs[key["eth_src"], vlan] = port.number
            bridge.seen[key["eth_src"], vlan] = bridge.now
    assert vlan is not None
    known = bridge.macs.get((key["eth_dst"], vlan))
    if known is None:
        flood(run, port, vlan)
    elif port is None or known != port.number:
        emit_tagged(run, bridge.ports[known], vlan)


def flood(run: Run, in_port: Port | None, vlan: int) -> None:
    for number in sorted(run.bridge.ports):
        port = run.bridge.ports[number]
        if port is not in_port and not port.config & NO_FLOOD and port.carries(vlan):
            emit_tagged(run, port, vlan)


def emit_tagged(run: Run, port: Port, vlan: int) -> None:
    saved = list(run.key["tags"])
    tpid, tci = saved[0] if saved else (0x8100, 0)
    bare = vlan | tci & 0xE000 == 0 or port.mode == "access" or (port.mode == "native-untagged" and vlan == port.tag)
    if bare:
        run.key["tags"] = saved[1:]
    else:
        run.key["tags"] = [(tpid, tci & 0xE000 | vlan), *saved[1:]]
    emit(run, port.number)
    run.key["tags"] = saved


# -- fields


def set_field(run: Run, name: str, value: int, mask: int) -> None:
    if FIELDS[name][3](run.key):
        put(run.key, name, value, mask)


def move(run: Run, src: str, src_low: int, dst: str, dst_low: int, n: int) -> None:
    if FIELDS[src][3](run.key) and FIELDS[dst][3](run.key):
        put(run.key, dst, get(run.key, src, src_low, n) << dst_low, ((1 << n) - 1) << dst_low)


def stack_push(run: Run, name: str, low: int, n: int) -> None:
    if len(run.stack) >= STACK:
        raise TranslationError
    run.stack.append(get(run.key, name, low, n))


def stack_pop(run: Run, name: str, low: int, n: int) -> None:
    if run.stack:
        value = run.stack.pop()
        set_field(run, name, (value & ((1 << n) - 1)) << low, ((1 << n) - 1) << low)


# -- old ways to set


def set_vid(run: Run, vid: int) -> None:
    tpid, tci = run.key["tags"][0] if run.key["tags"] else (0x8100, 0)
    run.key["tags"] = [(tpid, tci & 0xE000 | vid), *run.key["tags"][1:]]


def set_pcp(run: Run, pcp: int) -> None:
    tpid, tci = run.key["tags"][0] if run.key["tags"] else (0x8100, 0)
    run.key["tags"] = [(tpid, tci & 0xFFF | pcp << 13), *run.key["tags"][1:]]


def push_vlan(run: Run, tpid: int) -> None:
    if len(run.key["tags"]) == TAGS:
        raise TranslationError
    run.key["tags"] = [(tpid, 0), *run.key["tags"]]


def strip_vlan(run: Run) -> None:
    run.key["tags"] = run.key["tags"][1:]


def mod(name: str, allowed: Callable[[Key], bool], mask: int) -> Callable[..., None]:
    def step(run: Run, value: int) -> None:
        if allowed(run.key):
            write_slot(run.key, name, value, mask)

    return step


def _ported(key: Key) -> bool:
    return is_ip(key) and not key["nw_frag"] & 2 and key["nw_proto"] in (6, 17, 132)


def dec_ttl(run: Run) -> bool:
    if not is_ip(run.key):
        return False
    if run.key["nw_ttl"] > 1:
        run.key["nw_ttl"] -= 1
        return False
    if run.bridge.ttl_punt:
        punt(run, R_INVALID_TTL, 0xFFFF, run.cookie)
    return True


# -- flow control


def resubmit(run: Run, port: int | None, table: int) -> None:
    run_table(run, run.table if table == 255 else table, run.key["in_port"] if port is None else port, False)


def goto(run: Run, table: int) -> bool:
    run_table(run, table, run.key["in_port"], True)
    return True


def exit_(run: Run) -> None:
    raise Exit


def write(run: Run, *actions: Action) -> None:
    run.action_set.extend(actions)


def clear(run: Run) -> None:
    run.action_set.clear()


def write_metadata(run: Run, value: int, mask: int) -> None:
    run.key["metadata"] = run.key["metadata"] & ~mask | value & mask


STEPS: dict[str, Callable[..., bool | None]] = {
    "output": output,
    "controller": controller,
    "enqueue": enqueue,
    "output_reg": output_reg,
    "set_field": set_field,
    "load": set_field,
    "move": move,
    "push": stack_push,
    "pop": stack_pop,
    "set_vid": set_vid,
    "set_pcp": set_pcp,
    "push_vlan": push_vlan,
    "strip_vlan": strip_vlan,
    "mod_dl_src": mod("eth_src", anything, BROADCAST),
    "mod_dl_dst": mod("eth_dst", anything, BROADCAST),
    "mod_nw_src": mod("ip_src", type_in(0x0800), 0xFFFFFFFF),
    "mod_nw_dst": mod("ip_dst", type_in(0x0800), 0xFFFFFFFF),
    "mod_nw_tos": mod("nw_tos", is_ip, 0xFC),
    "mod_tp_src": mod("tp_src", _ported, 0xFFFF),
    "mod_tp_dst": mod("tp_dst", _ported, 0xFFFF),
    "set_nw_ttl": mod("nw_ttl", is_ip, 0xFF),
    "dec_ttl": dec_ttl,
    "set_queue": mod("skb_priority", anything, 0xFFFFFFFF),
    "pop_queue": lambda run: run.key.update(skb_priority=0),
    "set_tunnel": mod("tun_id", anything, NO_COOKIE),
    "note": lambda run, data: None,
    "resubmit": resubmit,
    "goto": goto,
    "exit": exit_,
    "write": write,
    "clear": clear,
    "metadata": write_metadata,
}
