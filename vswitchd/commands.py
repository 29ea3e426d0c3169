"""COMMANDS: the unixctl commands of the daemon, a table of name, usage, argument counts and function.

Texts are those of Open vSwitch 3.1, as scripts parse them. Thread rule: control thread.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

from datapath import dp_text
from ofproto.numbers import OFPP_LOCAL
from vslib import unixctl
from vslib.unixctl import CommandError, Registry
from vswitchd import trace
from vswitchd.devices import KINDS

if TYPE_CHECKING:
    from vswitchd.bridge import Bridge
    from vswitchd.core import Core
    from vswitchd.daemon import Daemon

DATAPATH_NAME = "netdev@ovs-netdev"
LOCAL_TEXT = "LOCAL"


class Row(NamedTuple):
    """One command: fn(daemon, args) returns its text, at once or as a coroutine."""

    name: str
    usage: str
    min_args: int
    max_args: int
    fn: Callable[[Daemon, list[str]], str | Awaitable[str]]


def bridge_named(core: Core, name: str) -> Bridge:
    """Return the bridge; raises CommandError `no such bridge`."""
    bridge = core.bridges.get(name)
    if bridge is None:
        raise CommandError("no such bridge")
    return bridge


def port_text(number: int) -> str:
    """Return an OpenFlow port as fdb/show prints it."""
    return LOCAL_TEXT if number == OFPP_LOCAL else str(number)


def fdb_show(daemon: Daemon, args: list[str]) -> str:
    """Return the MAC learning table of a bridge, oldest entries first (AP.19)."""
    lines = [" port  VLAN  MAC                Age"]
    for number, vlan, mac, age_s in bridge_named(daemon.core, args[0]).handle.fdb():
        lines.append(f"{port_text(number):>5}  {vlan:>4}  {mac.hex(':')}  {int(age_s):>3}")
    return "\n".join(lines) + "\n"


def fdb_flush(daemon: Daemon, args: list[str]) -> str:
    """Forget the learned MAC addresses of one bridge, or of all."""
    chosen = [bridge_named(daemon.core, args[0])] if args else list(daemon.core.bridges.values())
    for bridge in chosen:
        bridge.handle.fdb_flush()
    return "table successfully flushed\n"


def _datapath_named(args: list[str]) -> None:
    if args and args[-1] not in (DATAPATH_NAME, "ovs-netdev", "system@ovs-system", "ovs-system"):
        raise CommandError(f"{args[-1]}: opening datapath failed (No such device)")


def dpctl_show(daemon: Daemon, args: list[str]) -> str:
    """Return the datapath's counters and ports (AP.30)."""
    _datapath_named([a for a in args if not a.startswith("-")])
    stats = daemon.core.datapath.stats()
    lines = [
        f"{DATAPATH_NAME}:",
        f"  lookups: hit:{stats['hits']} missed:{stats['misses']} lost:{stats['lost']}",
        f"  flows: {stats['n_flows']}",
        "  port 0: ovs-netdev (tap)",
    ]
    ports = [
        p for bridge in daemon.core.bridges.values() for p in bridge.ports_by_name.values() if p.dp_port is not None
    ]
    for port in sorted(ports, key=lambda p: p.dp_port or 0):
        word = KINDS[port.kind].dpctl_word
        lines.append(f"  port {port.dp_port}: {port.name}" + (f" ({word})" if word else ""))
    return "\n".join(lines) + "\n"


def dpctl_dump_flows(daemon: Daemon, args: list[str]) -> str:
    """Return the installed megaflows of all forwarders (AP.31)."""
    options = [a for a in args if a.startswith("-")]
    _datapath_named([a for a in args if not a.startswith("-") and "=" not in a])
    now_ns = daemon.core.clock.now_ns()
    rows = daemon.core.datapath.dump_flows()
    verbose = "-m" in options or "--more" in options
    lines = []
    for number in sorted({row.forwarder for row in rows}):
        lines.append(f"flow-dump from forwarder {number}:")
        lines += [dp_text.format_flow(row, now_ns, verbose=verbose) for row in rows if row.forwarder == number]
    return "\n".join(lines) + ("\n" if lines else "")


def dpctl_dump_dps(_daemon: Daemon, _args: list[str]) -> str:
    """Return the names of the datapaths (AP.29)."""
    return f"{DATAPATH_NAME}\n"


def ofproto_list(daemon: Daemon, _args: list[str]) -> str:
    """Return the names of the bridges (AP.12)."""
    return "".join(f"{name}\n" for name in sorted(daemon.core.bridges))


def exit_daemon(daemon: Daemon, args: list[str]) -> str:
    """End the daemon; with --cleanup its devices go too (AP.05)."""
    daemon.request_exit(cleanup="--cleanup" in args)
    return ""


def drops_show(daemon: Daemon, _args: list[str]) -> str:
    """Return the drop counters that are not zero, with their sentences (MO.08)."""
    from datapath.drops import DROPS

    counts = daemon.core.datapath.stats()["drops"]
    lines = [f"{counts[symbol]:>12}  {symbol:<24} {sentence}" for symbol, sentence in DROPS if counts.get(symbol)]
    return "\n".join(lines) + ("\n" if lines else "")


COMMANDS: tuple[Row, ...] = (
    Row("exit", "[--cleanup]", 0, 1, exit_daemon),
    Row("fdb/show", "bridge", 1, 1, fdb_show),
    Row("fdb/flush", "[bridge]", 0, 1, fdb_flush),
    Row("ofproto/list", "", 0, 0, ofproto_list),
    Row("ofproto/trace", trace.USAGE, 1, 64, trace.trace),
    Row("dpctl/show", "[-s] [dp...]", 0, 8, dpctl_show),
    Row("dpctl/dump-flows", "[-m] [--names] [dp] [filter=...]", 0, 8, dpctl_dump_flows),
    Row("dpctl/dump-dps", "", 0, 0, dpctl_dump_dps),
    Row("drops/show", "", 0, 0, drops_show),
)


def register(daemon: Daemon, registry: Registry) -> None:
    """Add the daemon's commands to `registry`."""
    for row in COMMANDS:
        registry.register(row.name, row.usage, row.min_args, row.max_args, _bound(daemon, row))


def _bound(daemon: Daemon, row: Row) -> unixctl.Fn:
    return lambda args: row.fn(daemon, args)
