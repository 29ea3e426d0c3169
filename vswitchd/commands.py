"""COMMANDS: the unixctl commands of the daemon, a table of name, usage, argument counts and functions.

Texts are those of Open vSwitch 3.1, as scripts parse them; json gives the same as a JSON value to clients that ask for
it. Thread rule: control thread.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from ofproto.numbers import OFPP_LOCAL
from vslib import memory
from vslib.unixctl import UNLIMITED, CommandError, Fn, JsonFn, Registry
from vswitchd import dpctl, drops, pmd_commands, trace, upcall

if TYPE_CHECKING:
    from vswitchd.bridge import Bridge
    from vswitchd.core import Core
    from vswitchd.daemon import Daemon

LOCAL_TEXT = "LOCAL"


class Row(NamedTuple):
    """One command: fn(daemon, args) returns its text, at once or as a coroutine, json(daemon, args) a JSON value."""

    name: str
    usage: str
    min_args: int
    max_args: int
    fn: Callable[[Daemon, list[str]], str | Awaitable[str]]
    json: Callable[[Daemon, list[str]], Any] | None = None


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
    return "\n".join(lines)


def fdb_rows(daemon: Daemon, args: list[str]) -> list[dict[str, Any]]:
    """Return what fdb_show prints as objects; `port` is an OpenFlow port or "LOCAL", `age` is in seconds."""
    bridge = bridge_named(daemon.core, args[0])
    return [
        {"port": LOCAL_TEXT if number == OFPP_LOCAL else number, "vlan": vlan, "mac": mac.hex(":"), "age": int(age_s)}
        for number, vlan, mac, age_s in bridge.handle.fdb()
    ]


def fdb_flush(daemon: Daemon, args: list[str]) -> str:
    """Forget the learned MAC addresses of one bridge, or of all."""
    chosen = [bridge_named(daemon.core, args[0])] if args else list(daemon.core.bridges.values())
    for bridge in chosen:
        bridge.handle.fdb_flush()
    return "table successfully flushed"


def ofproto_list(daemon: Daemon, _args: list[str]) -> str:
    """Return the names of the bridges (AP.12)."""
    return "\n".join(sorted(daemon.core.bridges))


def exit_daemon(daemon: Daemon, args: list[str]) -> str:
    """End the daemon; with --cleanup its devices go too (AP.05)."""
    daemon.request_exit(cleanup="--cleanup" in args)
    return ""


def memory_counts(daemon: Daemon, _args: list[str]) -> dict[str, int]:
    """Return numbers of objects under Open vSwitch's names, and those that other modules have registered (AP.10)."""
    core = daemon.core
    counts = memory.counts() | {
        "handlers": core.datapath.n_forwarders,
        "ports": sum(len(bridge.ports_by_name) for bridge in core.bridges.values()),
        "rules": sum(bridge.flows.n_flows for bridge in core.bridges.values()),
        "udpif keys": core.datapath.stats()["n_flows"],
    }
    return dict(sorted(counts.items()))


def memory_show(daemon: Daemon, args: list[str]) -> str:
    """Return memory_counts as Open vSwitch prints it: what there is none of is left out."""
    return " ".join(f"{name}:{count}" for name, count in memory_counts(daemon, args).items() if count)


COMMANDS: tuple[Row, ...] = (
    Row("exit", "[--cleanup]", 0, 1, exit_daemon),
    Row("fdb/show", "bridge", 1, 1, fdb_show, fdb_rows),
    Row("fdb/flush", "[bridge]", 0, 1, fdb_flush),
    Row("ofproto/list", "", 0, 0, ofproto_list, lambda daemon, _: sorted(daemon.core.bridges)),
    Row("ofproto/trace", trace.USAGE, 1, 64, trace.trace),
    Row(
        "dpctl/show", "[-s] [dp...]", 0, UNLIMITED,
        lambda daemon, args: dpctl.show(daemon.core, args), lambda daemon, args: dpctl.show_rows(daemon.core, args),
    ),
    Row(
        "dpctl/dump-flows", "[-m] [--names] [dp] [filter=..] [type=..] [pmd=..]", 0, 6,
        lambda daemon, args: dpctl.dump_flows(daemon.core, args),
        lambda daemon, args: dpctl.flow_rows(daemon.core, args),
    ),
    Row("dpctl/dump-dps", "", 0, 0, lambda *_: dpctl.DATAPATH_NAME, lambda *_: [dpctl.DATAPATH_NAME]),
    Row(
        "dpif/show", "", 0, 0,
        lambda daemon, _: dpctl.dpif_show(daemon.core), lambda daemon, _: dpctl.dpif_rows(daemon.core),
    ),
    Row("dpif-netdev/pmd-rxq-show", pmd_commands.SHOW_USAGE, 0, 5, pmd_commands.rxq_show, pmd_commands.rxq_rows),
    Row("dpif-netdev/pmd-rxq-rebalance", "[dp]", 0, 1, pmd_commands.rebalance),
    Row("dpif-netdev/pmd-stats-show", pmd_commands.STATS_USAGE, 0, 3, pmd_commands.stats_show, pmd_commands.stats_rows),
    Row("dpif-netdev/pmd-stats-clear", pmd_commands.STATS_USAGE, 0, 3, pmd_commands.stats_clear),
    Row(
        "upcall/show", "", 0, 0, lambda daemon, _: upcall.show(daemon.core), lambda daemon, _: upcall.rows(daemon.core),
    ),
    Row("drops/show", drops.USAGE, 0, 1, drops.show, drops.rows),
    Row("memory/show", "", 0, 0, memory_show, memory_counts),
)  # fmt: skip


def register(daemon: Daemon, registry: Registry) -> None:
    """Add the daemon's commands to `registry`."""
    for row in COMMANDS:
        fn, json_fn = _bound(daemon, row)
        registry.register(row.name, row.usage, row.min_args, row.max_args, fn, json_fn)


def _bound(daemon: Daemon, row: Row) -> tuple[Fn, JsonFn | None]:
    json = row.json
    return lambda args: row.fn(daemon, args), None if json is None else lambda args: json(daemon, args)
