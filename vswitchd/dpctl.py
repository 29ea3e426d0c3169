"""What the commands dpctl/* and dpif/* say about the datapath, as text in Open vSwitch's words and as JSON values.

Thread rule: control thread. Arguments are those of the command line, without the command's name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from datapath import dp_text
from ofproto import flow_text, value_text
from vslib.errors import ConfigError
from vslib.unixctl import CommandError

if TYPE_CHECKING:
    from datapath.datapath import MegaflowRow
    from vswitchd.bridge import RunningPort
    from vswitchd.core import Core

DATAPATH_NAME = "netdev@ovs-netdev"
# It is asked for by the name of the kernel's as well: Neutron and Mininet make bridges of type system (DP.26).
DATAPATH_ALIASES = (DATAPATH_NAME, "system@ovs-system")
PROGRAM = "ovs-vswitchd"  # what Open vSwitch puts in front of these errors
# The port 0 that Open vSwitch's datapath has for itself; nothing comes or goes there.
OWN_PORT = "ovs-netdev"
NS_PER_S = 1_000_000_000
ROWS_AT_ONCE = 200  # some 10 ms of formatting

T = TypeVar("T")

# type= of dump-flows -> whether our megaflows, which are in software, are of it.
FLOW_TYPES = {
    "ovs": True, "tc": False, "dpdk": False, "offloaded": False, "non-offloaded": True, "partially-offloaded": False,
    "all": True,
}  # fmt: skip
OPTIONS = {"s": "statistics", "m": "more"}  # letter -> long name
LONG_OPTIONS = ("statistics", "more", "names", "no-names", "clear", "may-create", "read-only")

# dpctl/show -s: one line each, label and Interface.statistics key of its numbers.
STATISTICS = (
    ("RX", (("packets", "rx_packets"), ("errors", "rx_errors"), ("dropped", "rx_dropped"),
            ("overruns", "rx_over_err"), ("frame", "rx_frame_err"))),
    ("TX", (("packets", "tx_packets"), ("errors", "tx_errors"), ("dropped", "tx_dropped"),
            ("aborted", ""), ("carrier", ""))),
    ("", (("collisions", "collisions"),)),
)  # fmt: skip
BYTE_UNITS = ("KiB", "MiB", "GiB", "TiB")


class Words(NamedTuple):
    """The arguments of a dpctl command, sorted out."""

    options: frozenset[str]
    settings: dict[str, str]  # name=value
    rest: list[str]


def words(args: list[str], settings: tuple[str, ...] = ()) -> Words:
    """Sort arguments out: options, those of `settings` (as `name=value`), others; raises CommandError."""
    options: set[str] = set()
    found: dict[str, str] = {}
    rest = []
    for arg in args:
        name, equals, value = arg.partition("=")
        if arg.startswith("-") and arg != "-":
            options |= _options(arg)
        elif equals and name in settings:
            found[name] = value
        else:
            rest.append(arg)
    return Words(frozenset(options), found, rest)


def _options(arg: str) -> set[str]:
    if arg.startswith("--"):
        if arg[2:] not in LONG_OPTIONS:
            raise CommandError(f"Unrecognized option {arg}")
        return {arg[2:]}
    for letter in arg[1:]:
        if letter not in OPTIONS:
            raise CommandError(f"Unrecognized option -{letter}")
    return {OPTIONS[letter] for letter in arg[1:]}


def datapath_ports(core: Core) -> list[RunningPort]:
    """Return the ports that the datapath has, in the order of their datapath numbers."""
    ports = [port for bridge in core.bridges.values() for port in bridge.ports_by_name.values()]
    return sorted((port for port in ports if port.dp_port is not None), key=lambda port: port.dp_port or 0)


def port_names(core: Core) -> dict[int, str]:
    """Return the names of the datapath's ports by their numbers."""
    return {port.dp_port: port.name for port in datapath_ports(core) if port.dp_port is not None}


# -- show --------------------------------------------------------------------------------------------------------------


def show_rows(core: Core, args: list[str]) -> list[dict[str, Any]]:
    """Return the datapaths that dpctl/show was asked about as objects; raises CommandError for an unknown one."""
    said = words(args)
    for name in said.rest:
        if name not in DATAPATH_ALIASES:
            raise CommandError(f"{PROGRAM}: opening datapath {name} failed (No such file or directory)")
    stats = core.datapath.stats()
    ports: list[dict[str, Any]] = [{"number": 0, "name": OWN_PORT, "type": "tap"}]
    for port in datapath_ports(core):
        ports.append({"number": port.dp_port, "name": port.name, "type": core.host.kinds[port.kind].dpctl_word})
    if "statistics" in said.options:
        for row in ports:
            row["statistics"] = _counts(core, row["number"])
    lookups = {"hit": stats["hits"], "missed": stats["misses"], "lost": stats["lost"]}
    return [{"name": DATAPATH_NAME, "lookups": lookups, "flows": stats["n_flows"], "ports": ports}]


def _counts(core: Core, number: int) -> dict[str, int]:
    from vswitchd.status import STATISTICS as SOURCES

    counts = core.datapath.port_stats(number) if number else {}
    return {key: int(counts.get(source, 0)) if source else 0 for key, source in SOURCES.items()}


def show(core: Core, args: list[str]) -> str:
    """Return the text of dpctl/show (AP.30); raises as show_rows."""
    lines = []
    for row in show_rows(core, args):
        lookups = " ".join(f"{word}:{count}" for word, count in row["lookups"].items())
        lines += [f"{row['name']}:", f"  lookups: {lookups}", f"  flows: {row['flows']}"]
        for port in row["ports"]:
            lines.append(f"  port {port['number']}: {port['name']}" + (f" ({port['type']})" if port["type"] else ""))
            lines += _statistics_lines(port.get("statistics"))
    return "\n".join(lines) + "\n"


def _statistics_lines(counts: dict[str, int] | None) -> list[str]:
    if counts is None:
        return []
    lines = []
    for label, numbers in STATISTICS:
        texts = [label] * bool(label) + [f"{word}:{counts.get(key, 0)}" for word, key in numbers]
        lines.append("    " + " ".join(texts))
    rx, tx = counts.get("rx_bytes", 0), counts.get("tx_bytes", 0)
    return [*lines, f"    RX bytes:{rx}{_about(rx)}  TX bytes:{tx}{_about(tx)}"]


def _about(n_bytes: int) -> str:
    """Return a number of bytes for people, in the largest unit that it fills, or nothing below 1 KiB."""
    text = ""
    for power, unit in enumerate(BYTE_UNITS, 1):
        if n_bytes >= 1024**power:
            text = f" ({n_bytes / 1024**power:.1f} {unit})"
    return text


# -- megaflows ---------------------------------------------------------------------------------------------------------


class Dump(NamedTuple):
    """What dpctl/dump-flows is to print."""

    rows: list[MegaflowRow]
    verbose: bool
    names: dict[int, str]  # empty: print numbers
    headers: bool


def _filter(text: str, names: dict[int, str]) -> Callable[[MegaflowRow], bool]:
    """Return a test for megaflows from a match text, ports by datapath number or name; raises CommandError."""
    try:
        with value_text.port_names({name: number for number, name in names.items()}):
            wanted, cared = flow_text.parse_match(text)
    except ConfigError as error:
        raise CommandError(f"{PROGRAM}: Failed to parse filter ({error})") from error

    value, bits = _number(wanted), _number(cared)

    def passes(row: MegaflowRow) -> bool:
        # What a megaflow does not look at fits every filter: packets that the filter takes may use it.
        return not (_number(row.key) ^ value) & bits & _number(row.mask)

    return passes


def _number(octets: bytes) -> int:
    # Low byte first: the same offset is the same bit, however long a key is.
    return int.from_bytes(octets, "little")


def _has_type(text: str) -> bool:
    for word in text.split(","):
        if word not in FLOW_TYPES:
            raise CommandError(f"{PROGRAM}: Failed to parse type ({word}) (Invalid argument)")
    return any(FLOW_TYPES[word] for word in text.split(","))


def _chosen(core: Core, args: list[str]) -> Dump:
    """Return the megaflows that the arguments of dump-flows choose; raises CommandError for a wrong one."""
    said = words(args, ("filter", "type", "pmd"))
    if said.rest and (len(said.rest) > 1 or said.rest[0] not in DATAPATH_ALIASES):
        raise CommandError(f"{PROGRAM}: datapath not found (Invalid argument)")
    names = port_names(core)
    tests: list[Callable[[MegaflowRow], bool]] = []
    if "filter" in said.settings:
        tests.append(_filter(said.settings["filter"], names))
    if not _has_type(said.settings.get("type", "all")):
        tests.append(lambda _row: False)
    forwarder = said.settings.get("pmd")
    if forwarder is not None:
        try:
            number = int(forwarder)
        except ValueError:
            raise CommandError(f'{PROGRAM}: pmd={forwarder}: "{forwarder}" is not the number of a forwarder') from None
        tests.append(lambda row: core.datapath.rx.cores[row.forwarder] == number)
    rows = [row for row in core.datapath.dump_flows() if all(test(row) for test in tests)]
    verbose = "more" in said.options
    named = "names" in said.options or (verbose and "no-names" not in said.options)
    return Dump(sorted(rows, key=lambda row: row.forwarder), verbose, names if named else {}, forwarder is None)


async def _each(core: Core, rows: list[MegaflowRow], make: Callable[[MegaflowRow], T]) -> list[T]:
    """Return what `make` makes of each row; other work of the thread goes on in between."""
    made: list[T] = []
    for at in range(0, len(rows), ROWS_AT_ONCE):
        made += map(make, rows[at : at + ROWS_AT_ONCE])
        await core.clock.sleep(0)
    return made


async def dump_flows(core: Core, args: list[str]) -> str:
    """Return the text of dpctl/dump-flows: megaflows by forwarder (AP.31); raises CommandError."""
    dump = _chosen(core, args)
    now_ns = core.clock.now_ns()
    last = None

    def line(row: MegaflowRow) -> str:
        nonlocal last
        text = dp_text.format_flow(row, now_ns, verbose=dump.verbose, names=dump.names)
        if not dump.headers or row.forwarder == last:
            return text
        last = row.forwarder
        return f"flow-dump from forwarder {core.datapath.rx.cores[last]}:\n{text}"

    return "\n".join(await _each(core, dump.rows, line))


async def flow_rows(core: Core, args: list[str]) -> list[dict[str, Any]]:
    """Return what dump_flows prints as objects; ages in seconds, None: never used."""
    dump = _chosen(core, args)
    now_ns = core.clock.now_ns()

    def row_of(row: MegaflowRow) -> dict[str, Any]:
        return {
            "forwarder": core.datapath.rx.cores[row.forwarder],
            "ufid": dp_text.ufid(row.key, row.mask),
            "match": dp_text.format_key(row.key, row.mask, dump.verbose, dump.names),
            "packets": row.packets,
            "bytes": row.bytes,
            "used_s": max(0, now_ns - row.used_ns) / NS_PER_S if row.used_ns else None,
            "actions": dp_text.format_actions(row.actions, row.key, dump.names),
        }

    return await _each(core, dump.rows, row_of)


# -- dpif/* ------------------------------------------------------------------------------------------------------------


def dpif_rows(core: Core) -> list[dict[str, Any]]:
    """Return the bridges with their ports as objects; a patch port's datapath port is None."""
    bridges = []
    for name, bridge in sorted(core.bridges.items()):
        ports = [
            {"name": port.name, "ofport": port.short_number, "dp_port": port.dp_port, "type": _dpif_type(core, port)}
            for port in sorted(bridge.ports_by_name.values(), key=lambda port: port.name)
        ]
        bridges.append({"name": name, "ports": ports})
    return bridges


def _dpif_type(core: Core, port: RunningPort) -> str:
    word = core.host.kinds[port.kind].dpctl_word or port.kind
    return f"{word}: peer={port.wanted.options.get('peer', '')}" if port.kind == "patch" else word


def dpif_show(core: Core) -> str:
    """Return the text of dpif/show: bridges, and ports as `name OpenFlow/datapath: (type)` (AP.24)."""
    stats = core.datapath.stats()
    lines = [f"{DATAPATH_NAME}: hit:{stats['hits']} missed:{stats['misses']}"]
    for bridge in dpif_rows(core):
        lines.append(f"  {bridge['name']}:")
        for port in bridge["ports"]:
            number = "none" if port["dp_port"] is None else port["dp_port"]
            lines.append(f"    {port['name']} {port['ofport']}/{number}: ({port['type']})")
    return "\n".join(lines)
