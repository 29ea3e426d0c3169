"""The commands `dpif-netdev/pmd-*`: what forwarders and receive queues do, in the layout of Open vSwitch 3.1.

A forwarder takes the place of a PMD thread. Its core is the processor that it stays on, or its own number when it may
run anywhere. Thread rule: control thread.
"""

from __future__ import annotations

import functools
import glob
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from datapath.rx_queues import INTERVAL_S, INTERVALS
from vslib.unixctl import CommandError
from vswitchd.dpctl import DATAPATH_ALIASES

if TYPE_CHECKING:
    from vswitchd.core import Core
    from vswitchd.daemon import Daemon

MINUTE_S = int(INTERVAL_S * INTERVALS)
SHOW_USAGE = "[-pmd core] [-secs secs] [dp]"
STATS_USAGE = "[-pmd core] [dp]"


class Said(NamedTuple):
    """What a command was asked: of one core only (None = all), and of so many seconds."""

    core: int | None
    seconds: int


def parse(args: list[str]) -> Said:
    """Sort arguments out, what is no number being left out; raises CommandError for a datapath that does not exist."""
    found: dict[str, int] = {}
    rest = iter(args)
    for arg in rest:
        if arg in ("-pmd", "-secs"):
            text = next(rest, "")
            if re.fullmatch(r"\d{1,9}", text):
                found[arg] = int(text)
        elif arg not in DATAPATH_ALIASES:
            raise CommandError("please specify an existing datapath")
    seconds = found.get("-secs", 0)
    rounded = -(-seconds // int(INTERVAL_S)) * int(INTERVAL_S)
    return Said(found.get("-pmd"), rounded if 0 < rounded <= MINUTE_S else MINUTE_S)


@functools.cache
def numa_of(core: int) -> int:
    """Return the NUMA node of a processor, 0 when that is not known."""
    found = glob.glob(f"/sys/devices/system/cpu/cpu{core}/node[0-9]*")
    return int(found[0].rpartition("node")[2]) if found else 0


def title(core: int) -> str:
    """Return the line with which what is said of a forwarder begins."""
    return f"pmd thread numa_id {numa_of(core)} core_id {core}:"


def rxq_rows(daemon: Daemon, args: list[str]) -> list[dict[str, Any]]:
    """Return what pmd-rxq-show prints as objects; `usage` and `overhead` in percent, null = not known yet."""
    said = parse(args)
    rows = daemon.core.datapath.rx.rows(int(said.seconds / INTERVAL_S))
    return [row for row in rows if said.core in (None, row["core"])]


def rxq_show(daemon: Daemon, args: list[str]) -> str:
    """Return who receives from which queue, and how busy each keeps its forwarder."""

    def usage(percent: int | None) -> str:
        return "NOT AVAIL" if percent is None else f"{percent:2d} %"

    lines: list[str] = []
    for row in rxq_rows(daemon, args):
        lines += [title(row["core"]), f"  isolated : {str(row['isolated']).lower()}"]
        for queue in row["queues"]:
            where = f"  port: {queue['port']:<16}  queue-id: {queue['queue']:2d} (enabled)  "
            lines.append(f"{where} pmd usage: {usage(queue['usage'])}")
        lines.append(f"  overhead: {usage(row['overhead'])}")
    if not lines:
        return ""
    return "\n".join([f"Displaying last {parse(args).seconds} seconds pmd usage %", *lines])


def rebalance(daemon: Daemon, args: list[str]) -> str:
    """Deal the receive queues out anew, by what each has cost lately."""
    parse(args)
    daemon.core.datapath.rx.assign_all()
    return "pmd rxq rebalance requested."


def chosen(core: Core, args: list[str]) -> list[tuple[int, int]]:
    """Return number and core of the forwarders that are asked for; raises CommandError."""
    said = parse(args)
    return [(n, cpu) for n, cpu in enumerate(core.datapath.rx.cores) if said.core in (None, cpu)]


def stats_rows(daemon: Daemon, args: list[str]) -> list[dict[str, Any]]:
    """Return the forwarders' counters as objects, without Open vSwitch's that are always 0 here."""
    counts = daemon.core.datapath.counts_since_clear()
    return [{"core": core} | counts[n] for n, core in chosen(daemon.core, args)]


def stats_show(daemon: Daemon, args: list[str]) -> str:
    """Return the forwarders' counters."""
    return "\n".join(f"{title(row['core'])}\n{stats_text(row)}" for row in stats_rows(daemon, args))


def stats_text(row: dict[str, Any]) -> str:
    """Return one forwarder's counters as text."""

    def each(total: int, n: int) -> str:
        return f"{total / n if n else 0:.2f}"

    def share(cycles: int) -> str:
        return f"{cycles} ({100 * cycles / row['cycles'] if row['cycles'] else 0:.2f}%)"

    busy, packets = min(row["busy_cycles"], row["cycles"]), row["packets"]
    lines = {
        "packets received": packets,
        "packet recirculations": 0,
        "avg. datapath passes per packet": each(packets, packets),
        "phwol hits": 0,
        "mfex opt hits": 0,
        "simple match hits": 0,
        "emc hits": row["exact_hits"],
        "smc hits": 0,
        "megaflow hits": row["masked_hits"],
        "avg. subtable lookups per megaflow hit": each(row["subtable_lookups"], row["masked_hits"]),
        "miss with success upcall": row["misses"] + row["retranslations"] - row["lost"],
        "miss with failed upcall": row["lost"],
        "avg. packets per output batch": each(row["sent"], row["sent_batches"]),
        "idle cycles": share(row["cycles"] - busy),
        "processing cycles": share(busy),
    }
    if packets:
        lines["avg cycles per packet"] = f"{row['cycles'] / packets:.2f} ({row['cycles']}/{packets})"
        lines["avg processing cycles per packet"] = f"{busy / packets:.2f} ({busy}/{packets})"
    return "\n".join(f"  {name}: {value}" for name, value in lines.items())


def stats_clear(daemon: Daemon, args: list[str]) -> str:
    """Count from zero again in pmd-stats-show."""
    daemon.core.datapath.clear_counts([n for n, _ in chosen(daemon.core, args)])
    return ""
