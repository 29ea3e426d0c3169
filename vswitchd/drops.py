"""`drops/show`: why packets were dropped; in all, by receiving or sending port, or by flow table (MO.08).

Every dropped packet has a reason of datapath/drops.py and is counted once by it, at the port where it was received or,
if sending failed, where it was to go. What translation dropped is counted besides at the table that decided it; these
counts are as old as the last push of credits, half a second at most.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from datapath.drops import DROP_NAMES, DROPS
from vslib.unixctl import CommandError

if TYPE_CHECKING:
    from vswitchd.core import Core
    from vswitchd.daemon import Daemon

USAGE = "[ports|tables]"


def total_rows(core: Core) -> list[dict[str, Any]]:
    """Return the counters over everything that are not zero."""
    counts = core.datapath.stats()["drops"]
    rows = ((symbol, sentence, counts.get(symbol, 0)) for symbol, sentence in DROPS)
    return [{"reason": symbol, "packets": count, "text": sentence} for symbol, sentence, count in rows if count]


def port_rows(core: Core) -> list[dict[str, Any]]:
    """Return the counters of each port that are not zero."""
    rows = []
    for bridge in core.bridges.values():
        for name, port in sorted(bridge.ports_by_name.items()):
            counts = {} if port.dp_port is None else core.datapath.port_stats(port.dp_port)["drops"]
            rows += [
                {"bridge": bridge.name, "port": name, "reason": symbol, "packets": counts[symbol]}
                for symbol in DROP_NAMES if counts.get(symbol)
            ]
    return rows


def table_rows(core: Core) -> list[dict[str, Any]]:
    """Return the counters of each flow table that are not zero."""
    return [
        {"bridge": bridge.name, "table": table, "reason": DROP_NAMES[reason], "packets": packets}
        for bridge in core.bridges.values()
        for table, reason, packets in bridge.handle.drops()
    ]


KINDS: dict[str, tuple[Callable[[Core], list[dict[str, Any]]], str]] = {
    "": (total_rows, "{packets:>12}  {reason:<24} {text}"),
    "ports": (port_rows, "{packets:>12}  {reason:<24} {bridge} {port}"),
    "tables": (table_rows, "{packets:>12}  {reason:<24} {bridge} table {table}"),
}


def rows(daemon: Daemon, args: list[str]) -> list[dict[str, Any]]:
    """Return the counters that are not zero as objects; raises CommandError for an unknown kind."""
    kind = args[0] if args else ""
    if kind not in KINDS:
        raise CommandError(f"{kind}: neither ports nor tables")
    return KINDS[kind][0](daemon.core)


def show(daemon: Daemon, args: list[str]) -> str:
    """Return what `rows` has as lines."""
    return "\n".join(KINDS[args[0] if args else ""][1].format(**row) for row in rows(daemon, args))
