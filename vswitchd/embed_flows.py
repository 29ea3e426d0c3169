"""What embedders see of flows and packets for controllers: plain values, read from OpenFlow's own messages.

Nothing here touches the switch: bytes and texts in, values out.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ofproto import flow_mod, flow_text
from ofproto.flow_text import ParsedFlow
from ofproto.value_text import port_names
from vslib.errors import ConfigError

ALL_TABLES = 255
OFP13 = 4
DEFAULT_PRIORITY = 0x8000
# OFPFF_ bits in the order in which flow dumps name them.
FLAGS = (
    (1, "send_flow_rem"),
    (2, "check_overlap"),
    (4, "reset_counts"),
    (8, "no_packet_counts"),
    (16, "no_byte_counts"),
)
REMOVED_REASONS = ("idle_timeout", "hard_timeout", "delete", "group_delete", "meter_delete", "eviction")
PUNT_REASONS = ("no_match", "action", "invalid_ttl", "action_set", "group", "packet_out", "explicit_miss")
_STATS = struct.Struct("!HBxIIHHHHHxxQQQ")  # struct ofp13_flow_stats up to the match; importance is 1.4's
_REMOVED = struct.Struct("!QHBBIIHHQQ")  # struct ofp13_flow_removed behind the header, up to the match
_FLOW_MOD = struct.Struct("!QQBBHHHIIIHH")
_TABLE_WORD = re.compile(r"(?:^|[\s,])table=")


class FlowTextError(ConfigError):
    """A flow that cannot be read. `line`: number of the line that it is in, from 1; `flow`: its text."""

    def __init__(self, line: int, flow: str, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.flow = flow
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Flow:
    """One flow of a dump. Times in seconds; match and actions as texts."""

    table: int
    priority: int
    match: str
    actions: str
    n_packets: int
    n_bytes: int
    cookie: int
    duration_s: float
    idle_timeout: int
    hard_timeout: int
    flags: tuple[str, ...]

    def __str__(self) -> str:
        head = [
            f"cookie={self.cookie:#x}",
            f"duration={self.duration_s:.3f}s",
            f"table={self.table}",
            f"n_packets={self.n_packets}",
            f"n_bytes={self.n_bytes}",
        ]
        head += [f"idle_timeout={self.idle_timeout}"] if self.idle_timeout else []
        head += [f"hard_timeout={self.hard_timeout}"] if self.hard_timeout else []
        criteria = [f"priority={self.priority}"] if self.priority != DEFAULT_PRIORITY else []
        criteria += [self.match] if self.match else []
        words = [*self.flags, *([",".join(criteria)] if criteria else [])]
        return f" {', '.join(head)}, {' '.join([*words, f'actions={self.actions}'])}"


@dataclass(frozen=True, slots=True)
class FlowRemoved:
    """A flow-removed message. reason: one of REMOVED_REASONS."""

    reason: str
    table: int
    priority: int
    match: str
    cookie: int
    n_packets: int
    n_bytes: int
    duration_s: float
    idle_timeout: int
    hard_timeout: int


@dataclass(frozen=True, slots=True)
class PacketIn:
    """A packet that the switch sent to its controllers.

    in_port: name of the port that it came from, its number as text when that port has gone; reason: one of
    PUNT_REASONS; cookie: of the flow that sent it, None for a table miss; metadata: pipeline fields as a match text.
    """

    packet: bytes
    in_port: str
    reason: str
    table: int
    cookie: int | None
    max_len: int
    controller_id: int
    metadata: str


# -- texts to flows


def parse_flow(text: str, names: Mapping[str, int], *, all_tables: bool = False, actions: bool = True) -> ParsedFlow:
    """Return a flow from its text; `names`: port numbers by name; all_tables: without table= all are meant.

    actions=False: the text is a match only, as for deleting. Raises FlowTextError.
    """
    try:
        with port_names(names):
            found = flow_text.parse_flow(text if actions else f"{text} actions=drop")
    except ConfigError as error:
        raise FlowTextError(1, text, str(error)) from None
    if all_tables and not _TABLE_WORD.search(text.partition("actions=")[0]):
        found = found._replace(table_id=ALL_TABLES)
    return found


def parse_flows(text: str | Iterable[str], names: Mapping[str, int]) -> list[ParsedFlow]:
    """Return the flows of a text with one flow a line, as in a flow file: blank lines and `#` comments are skipped.

    Raises FlowTextError with the number of the first line that cannot be read.
    """
    lines = text.splitlines() if isinstance(text, str) else list(text)
    found = []
    for number, line in enumerate(lines, 1):
        flow = line.partition("#")[0].strip()
        if not flow:
            continue
        try:
            found.append(parse_flow(flow, names))
        except FlowTextError as error:
            raise FlowTextError(number, flow, error.reason) from None
    return found


def dump_request(wanted: ParsedFlow) -> bytes:
    """Return the flow statistics request (OpenFlow 1.3) for the flows that a match takes."""
    match = _with_header(flow_mod.encode_match(wanted.value, wanted.mask, OFP13))
    body = struct.pack(
        "!BxxxIIxxxxQQ", wanted.table_id, wanted.out_port, wanted.out_group, wanted.cookie, wanted.cookie_mask
    )
    return struct.pack("!BBHIHHxxxx", OFP13, 18, 16 + len(body) + len(match), 0, 1, 0) + body + match


def _with_header(match: bytes) -> bytes:
    return (struct.pack("!HH", 1, 4 + len(match)) + match).ljust(-(-(4 + len(match)) // 8) * 8, b"\0")


# -- messages to values


def _flags(bits: int) -> tuple[str, ...]:
    return tuple(name for bit, name in FLAGS if bits & bit)


def _match_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """Return the fields of a struct ofp_match at `at`, without header and padding, and where it ends."""
    length = struct.unpack_from("!H", data, at + 2)[0]
    return data[at + 4 : at + length], at + -(-length // 8) * 8


def _decoded(match: bytes, instructions: bytes, table: int) -> Any:
    """Return match and instructions as a DecodedFlowMod, by way of the flow-mod that would add them."""
    body = _FLOW_MOD.pack(0, 0, table, 0, 0, 0, 0, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0, 0)
    rest = body + _with_header(match) + instructions
    return flow_mod.decode_flow_mod(struct.pack("!BBHI", OFP13, 14, 8 + len(rest), 0) + rest)


def read_flows(bodies: Iterable[bytes]) -> Iterator[Flow]:
    """Yield the flows of statistics replies (bodies of OFPMP_FLOW, OpenFlow 1.3)."""
    for body in bodies:
        at = 0
        while at < len(body):
            length, table, sec, nsec, priority, idle, hard, flags, _, cookie, packets, n_bytes = _STATS.unpack_from(
                body, at
            )
            match, end = _match_bytes(body, at + _STATS.size)
            one = _decoded(match, body[end : at + length], table)
            yield Flow(
                table=table,
                priority=priority,
                match=flow_text.format_match(one.value, one.mask),
                actions=flow_text.format_actions(one.actions),
                n_packets=packets,
                n_bytes=n_bytes,
                cookie=cookie,
                duration_s=sec + nsec / 1e9,
                idle_timeout=idle,
                hard_timeout=hard,
                flags=_flags(flags),
            )
            at += length


def read_removed(message: bytes) -> FlowRemoved:
    """Return a flow-removed message (OpenFlow 1.3) as a value."""
    cookie, priority, reason, table, sec, nsec, idle, hard, packets, n_bytes = _REMOVED.unpack_from(message, 8)
    value, mask = flow_mod.decode_match(_match_bytes(message, 8 + _REMOVED.size)[0])
    return FlowRemoved(
        reason=REMOVED_REASONS[reason],
        table=table,
        priority=priority,
        match=flow_text.format_match(value, mask),
        cookie=cookie,
        n_packets=packets,
        n_bytes=n_bytes,
        duration_s=sec + nsec / 1e9,
        idle_timeout=idle,
        hard_timeout=hard,
    )


def read_punt(punt: Any, names: Mapping[int, str]) -> PacketIn:
    """Return a frame for controllers (`ofproto.punt.Punt`) as a value; `names`: port names by number."""
    value, mask = flow_mod.decode_match(flow_mod.encode_packet_in_match(punt.key, OFP13))
    metadata = [part for part in flow_text.format_match(value, mask).split(",") if not part.startswith("in_port=")]
    miss = punt.cookie == (1 << 64) - 1
    return PacketIn(
        packet=punt.frame,
        in_port=names.get(punt.in_port, str(punt.in_port)),
        reason=PUNT_REASONS[punt.reason],
        table=punt.table_id,
        cookie=None if miss else punt.cookie,
        max_len=punt.max_len,
        controller_id=punt.controller_id,
        metadata=",".join(metadata),
    )
