"""Multipart (statistics) requests and their answers; part of HANDLERS (MS.49 to MS.69)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from ofproto import messages, ports, wire
from ofproto.errors import OpenFlowError
from ofproto.numbers import OFP10, OFPP_ANY
from ofproto.session import Request
from vslib.clock import CLOCK

if TYPE_CHECKING:
    from ofproto.connection import Connection

WILDCARDS_10 = 0x3FFFFF  # OFPFW_ALL
MAX_ENTRIES = 1_000_000  # of a table, as told to controllers
SLICE_NS = 10_000_000  # a dump lets the loop go after this time
QUEUE_ALL = 0xFFFFFFFF
METER_ALL = 0xFFFFFFFF
OFPP_ALL_10 = 0xFFFC  # 1.0 clients name all ports of queue statistics so


def reply_name(request: Request) -> str:
    """Return the name of the answer's row."""
    return request.kind.name.removesuffix(" request") + " reply"


async def reply_bodies(conn: Connection, request: Request, bodies: list[bytes]) -> None:
    """Send an answer in parts, waiting for a slow peer between them (CH.16)."""
    for i, body in enumerate(bodies):
        conn.session.reply(request, reply_name(request), body, wire.MORE if i + 1 < len(bodies) else 0)
        await conn.flush_and_drain()


def port_exists(conn: Connection, number: int) -> bool:
    """Tell whether the bridge has a port of this number (32-bit form)."""
    return any(port.number == number for port in conn.bridge.ports())


def desc(conn: Connection, request: Request) -> None:
    """Describe maker, hardware, software and bridge (MS.49)."""
    texts = conn.bridge.description
    fields = {
        name: getattr(texts, name).encode()[: 31 if name == "serial_num" else 255] for name in messages.DESC.names
    }
    conn.session.reply(request, reply_name(request), messages.DESC.pack(**fields))


async def _flow_stats(conn: Connection, request: Request, nxst: bool) -> None:
    await conn.bridge.fresh_counts()
    dump = conn.bridge.flows.flow_dump(request.data, request.version, nxst, CLOCK.now_ns())
    end_ns, more = CLOCK.now_ns() + SLICE_NS, True
    while more:
        body = dump.next_body()
        more = dump.more
        conn.session.reply(request, reply_name(request), body, wire.MORE if more else 0)
        await conn.flush_and_drain()
        if CLOCK.now_ns() >= end_ns:  # the peer reads as fast as we write
            await CLOCK.sleep(0)
            end_ns = CLOCK.now_ns() + SLICE_NS


async def flow_stats(conn: Connection, request: Request) -> None:
    """List flows (MS.50, MS.51)."""
    await _flow_stats(conn, request, False)


async def nxst_flow(conn: Connection, request: Request) -> None:
    """List flows in Nicira's form (MS.53)."""
    await _flow_stats(conn, request, True)


async def aggregate(conn: Connection, request: Request) -> None:
    """Sum up flows (MS.54, MS.56)."""
    await conn.bridge.fresh_counts()
    packets, n_bytes, flows = conn.bridge.flows.aggregate(request.data)
    conn.session.reply(
        request, reply_name(request), messages.AGGREGATE.pack(packets=packets, bytes=n_bytes, flows=flows)
    )


async def table_stats(conn: Connection, request: Request) -> None:
    """List the tables' counts (MS.57)."""
    await conn.bridge.fresh_counts()
    layout = messages.TABLE_STATS[request.version]
    extra = {"wildcards": WILDCARDS_10, "max_entries": MAX_ENTRIES, "name": b""} if request.version == OFP10 else {}
    entries = [
        layout.pack(table_id=table, active=active, lookups=lookups, matched=matched, **extra)
        for table, active, lookups, matched in conn.bridge.flows.table_stats()
    ]
    await reply_bodies(conn, request, wire.chunks(entries))


async def port_stats(conn: Connection, request: Request) -> None:
    """List the counters of one port or all (MS.58)."""
    raw = messages.PORT_REQUEST[request.version].unpack(request.data, request.offset)["port"]
    number = ports.port_from_wire(raw, request.version)
    await conn.bridge.fresh_counts()
    rows = conn.bridge.port_stats(None if number == OFPP_ANY else number)
    await reply_bodies(conn, request, wire.chunks(ports.pack_stats(row, request.version) for row in rows))


async def port_desc(conn: Connection, request: Request) -> None:
    """Describe all ports (MS.69)."""
    await reply_bodies(
        conn, request, wire.chunks(ports.pack_port(port, request.version) for port in conn.bridge.ports())
    )


def queue_stats(conn: Connection, request: Request) -> None:
    """List the counters of queues: there are none (MS.60)."""
    wanted = messages.QUEUE_REQUEST[request.version].unpack(request.data, request.offset)
    any_port = wanted["port"] == OFPP_ALL_10 and request.version == OFP10
    number = OFPP_ANY if any_port else ports.port_from_wire(wanted["port"], request.version)
    if number != OFPP_ANY and not port_exists(conn, number):
        raise OpenFlowError("OFPQOFC_BAD_PORT")
    if wanted["queue"] != QUEUE_ALL:
        raise OpenFlowError("OFPQOFC_BAD_QUEUE")
    conn.session.reply(request, reply_name(request))


def empty(conn: Connection, request: Request) -> None:
    """Answer with an empty list: groups, which do not exist (MS.61, MS.62)."""
    conn.session.reply(request, reply_name(request))


def group_features(conn: Connection, request: Request) -> None:
    """Say that no kind of group is supported (MS.63)."""
    conn.session.reply(request, reply_name(request), bytes(messages.GROUP_FEATURES.size))


def meter_features(conn: Connection, request: Request) -> None:
    """Say that there can be no meters (MS.65)."""
    conn.session.reply(request, reply_name(request), messages.METER_FEATURES.pack())


def meter_stats(conn: Connection, request: Request) -> None:
    """List meters: none; a particular one is unknown (MS.64)."""
    if messages.METER_REQUEST.unpack(request.data, request.offset)["meter_id"] != METER_ALL:
        raise OpenFlowError("OFPMMFC_UNKNOWN_METER")
    conn.session.reply(request, reply_name(request))


async def table_features(conn: Connection, request: Request) -> None:
    """Tell what each table can match and do; a request to change it is refused (MS.66)."""
    from ofproto.table_features import (
        all_tables,  # built from FIELDS on first use: a session that never asks does not pay
    )

    if len(request.data) > request.offset:
        raise OpenFlowError("OFPTFFC_EPERM")
    await reply_bodies(conn, request, wire.chunks(all_tables()))


HANDLERS: dict[str, Callable[[Connection, Request], Awaitable[None] | None]] = {
    "desc": desc,
    "flow_stats": flow_stats,
    "nxst_flow": nxst_flow,
    "aggregate": aggregate,
    "table_stats": table_stats,
    "port_stats": port_stats,
    "port_desc": port_desc,
    "queue_stats": queue_stats,
    "group_stats": empty,
    "group_desc": empty,
    "group_features": group_features,
    "meter_stats": meter_stats,
    "meter_features": meter_features,
    "table_features": table_features,
}
