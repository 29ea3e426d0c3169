"""Flow tables as a list of flows: what each flow-mod means (OF.03 to OF.07), spelt out slowly."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

ADD, MODIFY, MODIFY_STRICT, DELETE, DELETE_STRICT = range(5)
SEND_FLOW_REM, CHECK_OVERLAP, RESET_COUNTS = 1, 2, 4
TABLE_ALL, TABLE_HIDDEN = 255, 254
ANY = 0xFFFFFFFF
IDLE, HARD, DELETED = 0, 1, 2
S = 1_000_000_000


@dataclass(frozen=True)
class Mod:
    """One flow-mod; the match is (reg0, reg0 mask, reg1, reg1 mask), the actions a list of output ports."""

    command: int
    version: int = 4
    table: int = 0
    match: tuple[int, int, int, int] = (0, 0, 0, 0)
    priority: int = 0
    cookie: int = 0          # OpenFlow 1.3: filter of a modify or delete, else the new one
    cookie_mask: int = 0
    idle: int = 0
    hard: int = 0
    flags: int = 0
    out_port: int = ANY
    outputs: tuple[int, ...] = ()
    buffer_id: int = ANY


@dataclass
class Flow:
    """One flow in a table."""

    mod: Mod
    table: int
    cookie: int
    created: int
    modified: int
    used: int
    packets: int = 0
    outputs: tuple[int, ...] = ()
    key: tuple[object, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.key = (self.table, self.mod.priority, self.mod.match)


class Refused(Exception):  # noqa: N818
    """A flow-mod that is answered with an error; the argument is its name."""


class NaiveFlows:
    """The tables of one bridge."""

    def __init__(self) -> None:
        self.flows: list[Flow] = []
        self.now = 0

    def apply(self, mod: Mod) -> list[tuple[Flow, int]]:
        """Apply a flow-mod; returns (flow, reason) of the removals to report, raises Refused."""
        deleting = mod.command in (DELETE, DELETE_STRICT)
        if not deleting:
            self._check(mod)
        if mod.command == ADD:
            self._add(mod)
            return []
        found = [f for f in self.flows if self._meant(f, mod)]
        if deleting:
            return self._remove(found, DELETED)
        for flow in found:
            self._modify(flow, mod)
        if not found and mod.version == 1:
            self._add(mod)
        return []

    def _check(self, mod: Mod) -> None:
        if mod.table == TABLE_HIDDEN:
            raise Refused("OFPBRC_EPERM")
        if mod.table == TABLE_ALL and mod.version != 1:
            raise Refused("OFPFMFC_BAD_TABLE_ID")
        if mod.buffer_id != ANY:
            raise Refused("OFPBRC_BUFFER_UNKNOWN")

    def _meant(self, flow: Flow, mod: Mod) -> bool:
        if mod.table not in (flow.table, TABLE_ALL) or (flow.cookie ^ mod.cookie) & mod.cookie_mask:
            return False
        if mod.command in (DELETE, DELETE_STRICT) and mod.out_port != ANY and mod.out_port not in flow.outputs:
            return False
        if mod.command in (MODIFY_STRICT, DELETE_STRICT):
            return (mod.priority, mod.match) == (flow.mod.priority, flow.mod.match)
        (a, am, b, bm), (fa, fam, fb, fbm) = mod.match, flow.mod.match
        return fam & am == am and fbm & bm == bm and fa & am == a and fb & bm == b

    def _add(self, mod: Mod) -> None:
        table = 0 if mod.table == TABLE_ALL else mod.table
        if mod.command == ADD and mod.version == 1:
            mod = replace(mod, flags=mod.flags | RESET_COUNTS)
        flow = Flow(mod, table, mod.cookie, self.now, self.now, self.now, outputs=mod.outputs)
        old = next((f for f in self.flows if f.key == flow.key), None)
        if old is not None:
            flow.used = old.used
            flow.packets = 0 if mod.flags & RESET_COUNTS else old.packets
            self.flows.remove(old)
        elif mod.flags & CHECK_OVERLAP and any(self._overlap(f, flow) for f in self.flows):
            raise Refused("OFPFMFC_OVERLAP")
        self.flows.append(flow)

    def _overlap(self, one: Flow, other: Flow) -> bool:
        (a, am, b, bm), (c, cm, d, dm) = one.mod.match, other.mod.match
        alike = (one.table, one.mod.priority) == (other.table, other.mod.priority)
        return alike and (a ^ c) & am & cm == 0 and (b ^ d) & bm & dm == 0

    def _modify(self, flow: Flow, mod: Mod) -> None:
        flow.outputs = mod.outputs
        flow.modified = self.now
        if mod.version == 1:
            flow.cookie = mod.cookie
        if mod.flags & RESET_COUNTS and mod.version != 1:
            flow.packets = 0

    def _remove(self, found: list[Flow], reason: int) -> list[tuple[Flow, int]]:
        for flow in found:
            self.flows.remove(flow)
        return [(f, reason) for f in found if f.mod.flags & SEND_FLOW_REM]

    def expire(self, now: int) -> list[tuple[Flow, int]]:
        """Remove what has timed out; returns the removals to report."""
        self.now = now
        hard = [f for f in self.flows if f.mod.hard and now > f.modified + f.mod.hard * S]
        told = self._remove(hard, HARD)
        return told + self._remove([f for f in self.flows if f.mod.idle and now > f.used + f.mod.idle * S], IDLE)
