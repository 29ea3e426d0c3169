"""The command `ofctl`: looks at an OpenFlow switch and edits its flow tables, as ovs-ofctl does (TL.01, TL.02).

This file holds the command line: OPTIONS and COMMANDS, one row each. What the commands do is in ofctl_show.py and
ofctl_flows.py, which are imported when a command of theirs runs, as starting up is most of what a command costs.
"""

from __future__ import annotations

import os
import sys

from vslib import blocking
from vslib.errors import ConfigError, SwitchError
from vslib.getopt_long import NONE, OPTIONAL, REQUIRED, parse

TYPE_CHECKING = False  # importing typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Callable

    from vswitchd.ofctl_connection import Connection

MANY = 1 << 30  # arguments without a limit
LOOK, EDIT = "look", "edit"  # --read-only refuses what edits
HAVE_BUNDLES, WITH_BUNDLES = {4, 5, 6}, 5  # wire versions with bundles, and the one that --bundle chooses itself

# Name, fewest and most arguments, what it is to the switch, module, arguments as list-commands shows them, sentence.
COMMANDS: tuple[tuple[str, int, int, str, str, str, str], ...] = (
    ("show", 1, 1, LOOK, "show", "switch", "features, ports and fragment handling of the switch"),
    ("dump-desc", 1, 1, LOOK, "show", "switch", "who made the switch, in its own words"),
    ("dump-tables", 1, 1, LOOK, "show", "switch", "flows, lookups and hits of each flow table"),
    ("dump-ports", 1, 2, LOOK, "show", "switch [port]", "counters of one port or all"),
    ("dump-ports-desc", 1, 2, LOOK, "show", "switch [port]", "numbers, names, addresses and state of the ports"),
    ("dump-flows", 1, 2, LOOK, "flows", "switch [flow]", "the flows that FLOW matches, or all"),
    ("dump-aggregate", 1, 2, LOOK, "flows", "switch [flow]", "packets, bytes and number of these flows, added up"),
    ("add-flow", 2, 2, EDIT, "flows", "switch flow", "add a flow, or those of standard input if FLOW is -"),
    ("add-flows", 2, 2, EDIT, "flows", "switch file",
     "add the flows of FILE (-: standard input), one a line; all or, if a line is wrong, none are sent"),
    ("mod-flows", 2, 2, EDIT, "flows", "switch flow", "give the flows that FLOW matches its actions; add it if none"),
    ("del-flows", 1, 2, EDIT, "flows", "switch [flow]", "delete the flows that FLOW matches, or all"),
    ("replace-flows", 2, 2, EDIT, "diff", "switch file", "make the tables hold the flows of FILE and no others"),
    ("diff-flows", 2, 2, LOOK, "diff", "source1 source2",
     "flows of one source (switch or FILE) and not of the other; exit code 2 if there are any"),
    ("packet-out", 2, MANY, EDIT, "flows", "switch \"in_port=<port> packet=<hex data> actions=...\"",
     "let a packet run through actions in the switch"),
    ("mod-port", 3, 3, EDIT, "show", "switch iface act",
     "change a port: up, down, or [no-]stp, receive, receive-stp, flood, forward, packet-in"),
    ("get-frags", 1, 1, LOOK, "show", "switch", "how IP fragments are handled"),
    ("set-frags", 2, 2, EDIT, "show", "switch frag_mode",
     "handle IP fragments so: normal, drop, reassemble or nx-match"),
    ("monitor", 1, 4, LOOK, "monitor", "switch [misslen] [invalid_ttl]",
     "print what the switch reports until interrupted: packets (misslen bytes of each), ports, flows that end"),
    ("probe", 1, 1, LOOK, "show", "target", "see that a switch or a controller answers"),
    ("ping", 1, 2, LOOK, "show", "target [n]", "time 10 echoes of N bytes (64)"),
    ("benchmark", 3, 3, LOOK, "show", "target n count", "time COUNT echoes of N bytes, one after the other"),
    ("parse-flow", 1, 1, LOOK, "flows", "flow", "print the message that add-flow would send, without a switch"),
    ("parse-flows", 1, 1, LOOK, "flows", "file", "print the messages that add-flows would send, without a switch"),
    ("list-commands", 0, MANY, LOOK, "", "", "print the commands"),
    ("help", 0, MANY, LOOK, "", "", "print this text"),
)  # fmt: skip
_BY_NAME = {row[0]: row for row in COMMANDS}

# Long name, letter, whether it takes an argument, name of the argument, sentence; without a sentence: ignored.
OPTIONS: tuple[tuple[str, str, int, str, str], ...] = (
    ("protocols", "O", REQUIRED, "VERSIONS",
     "OpenFlow versions to offer, separated by commas: OpenFlow10 (default), OpenFlow13"),
    ("flow-format", "F", REQUIRED, "FORMATS",
     "forms of flows to use: OpenFlow10, NXM, OXM, any, or one with -table_id or +table_id"),
    ("packet-in-format", "P", REQUIRED, "FORMAT",
     "form of packets in monitor: standard, nxt_packet_in or nxt_packet_in2"),
    ("strict", "", NONE, "", "mod-flows and del-flows: match and priority must be equal, not only match"),
    ("names", "", NONE, "", "show ports by name (default on a terminal)"),
    ("no-names", "", NONE, "", "show ports by number, and read no names"),
    ("stats", "", NONE, "", "dump-flows: show counters (default)"),
    ("no-stats", "", NONE, "", "dump-flows: leave counters and ages out"),
    ("sort", "", OPTIONAL, "FIELD", "dump-flows: sort by a field, upwards; without FIELD by priority"),
    ("rsort", "", OPTIONAL, "FIELD", "dump-flows: sort downwards"),
    ("format", "f", REQUIRED, "FORMAT", "text (default) or json: lists of objects, keys as in OpenFlow"),
    ("read-only", "", NONE, "", "refuse commands that edit"),
    ("readd", "", NONE, "", "replace-flows: replace flows that are equal, too"),
    ("bundle", "", NONE, "", "do all edits of the command or none, as one version of the tables (OpenFlow 1.4)"),
    ("timeout", "t", REQUIRED, "SECS", "give up after SECS seconds, by SIGALRM"),
    ("timestamp", "", NONE, "", "monitor: begin each message with the time"),
    ("private-key", "p", REQUIRED, "FILE", "ssl: targets: PEM file of our private key"),
    ("certificate", "c", REQUIRED, "FILE", "ssl: targets: PEM file of our certificate"),
    ("ca-cert", "C", REQUIRED, "FILE", "ssl: targets: PEM file of who signed the peer's"),
    ("help", "h", NONE, "", "print this text"),
    ("version", "V", NONE, "", "print versions"),
    ("color", "", OPTIONAL, "", ""),
    ("more", "m", NONE, "", ""),
    ("verbose", "v", OPTIONAL, "", ""),
    ("log-file", "", OPTIONAL, "", ""),
    ("syslog-method", "", REQUIRED, "", ""),
    ("syslog-target", "", REQUIRED, "", ""),
)  # fmt: skip
_LONG = {row[0]: row[2] for row in OPTIONS}
_SHORT = {row[1]: row[0] for row in OPTIONS if row[1]}
_COLORS = ("always", "auto", "never")
_PACKET_IN_FORMS = {"standard": 0, "openflow10": 0, "nxt_packet_in": 1, "nxm": 1, "nxt_packet_in2": 2}

HEAD = """\
{program}: looks at an OpenFlow switch and edits its flow tables

Usage: {program} [OPTION]... COMMAND [ARGUMENT]...

Commands:
"""
TAIL = """
A switch (or target) is:
  BRIDGE                a bridge of this computer: the socket BRIDGE.mgmt in the run directory
  PATH, unix:PATH       a socket
  tcp:HOST[:PORT]       by TCP, port 6653 by default; an IPv6 address in [brackets]
  ssl:HOST[:PORT]       by TLS; needs -p, -c and -C

A flow is a list of FIELD=VALUE[/MASK], protocol words (tcp, arp, ...) and settings (table, priority, cookie,
idle_timeout, hard_timeout, send_flow_rem, check_overlap), separated by commas or blanks, and where it is to be added
or changed actions=ACTION[,ACTION]... at its end; see docs/fields.md and docs/actions.md. In a file, # begins a
comment, and a line may begin with add, modify, modify_strict, delete or delete_strict.

add-flows sends all flows of a file and waits once. A line that cannot be read is named (FILE:LINE: reason), and then
nothing is sent; a flow that the switch refuses is reported with its line, and the others stand.

Exit code: 0 if all went well, 1 for an error, 2 from diff-flows if there are differences.

Environment: OVS_RUNDIR, the run directory ({rundir}).

Examples:
  {program} show br0
  {program} add-flow br0 "priority=10,tcp,tp_dst=80,actions=output:2"
  {program} -O OpenFlow13 --names --sort dump-flows br0 table=0
  {program} --format=json dump-ports br0 | python3 -m json.tool
  {program} --strict del-flows br0 "priority=10,tcp,tp_dst=80"
  {program} packet-out br0 "in_port=1,packet=ffffffffffff02000000000108004500,actions=normal"
"""


class Settings:
    """What the options say."""

    def __init__(self) -> None:
        self.program = "ofctl"
        self.versions: set[int] = {1}
        self.allowed: int | None = None  # formats of -F
        self.packet_in_form: int | None = None
        self.strict = self.read_only = self.json = self.timestamp = self.readd = self.bundle = False
        self.stats = True
        self.names: bool | None = None  # None: shown on a terminal only, read anyway
        self.sort: list[tuple[str, bool]] = []  # field ("" = priority), downwards
        self.timeout_s = 0
        self.files: dict[str, str] = {}

    @property
    def show_names(self) -> bool:
        """Whether ports are shown by name."""
        return sys.stdout.isatty() if self.names is None else self.names

    def connect(self, target: str) -> Connection:
        """Return a connection to a switch; the caller closes it. Raises ConfigError."""
        from vswitchd.ofctl_connection import Connection

        keys = (self.files.get(name, "") for name in ("private-key", "certificate", "ca-cert"))
        return Connection(target, self.versions, self.formats(), None, blocking.TlsKeys(*keys))

    def formats(self) -> int:
        """Return the flow formats that -O and -F leave; raises ConfigError when there are none."""
        from ofproto import ofctl_protocol

        possible = ofctl_protocol.formats_with(self.versions)
        if self.allowed is None:
            return possible
        if not possible & self.allowed:
            versions, forms = ofctl_protocol.versions_text(self.versions), ofctl_protocol.formats_text(self.allowed)
            raise ConfigError(
                f"None of the enabled OpenFlow versions ({versions}) supports any of the enabled flow formats "
                f"({forms}).  (Use -O to enable additional OpenFlow versions or -F to enable additional flow formats.)"
            )
        return possible & self.allowed


def _take_versions(settings: Settings, value: str) -> None:
    from ofproto import ofctl_protocol

    settings.versions = ofctl_protocol.versions_of(value)


def _take_formats(settings: Settings, value: str) -> None:
    from ofproto import ofctl_protocol

    settings.allowed = ofctl_protocol.formats_of(value)


def _take_timeout(settings: Settings, value: str) -> None:
    seconds = int(value) if value.isascii() and value.isdigit() else 0
    if not 0 < seconds < 2**31:
        raise ConfigError(f"value {value} on -t or --timeout is invalid")
    settings.timeout_s = seconds


def _take_format(settings: Settings, value: str) -> None:
    if value not in ("text", "json"):
        raise ConfigError(f'unsupported output format "{value}": use text or json')
    settings.json = value == "json"


def _take_packet_in(settings: Settings, value: str) -> None:
    if value not in _PACKET_IN_FORMS:
        raise ConfigError(f"unknown packet-in format `{value}'")
    settings.packet_in_form = _PACKET_IN_FORMS[value]


def _take_color(settings: Settings, value: str) -> None:
    if value and value not in _COLORS:
        raise ConfigError(f"incorrect value `{value}' for --color")


def _take_sort(downwards: bool) -> Callable[[Settings, str], None]:
    def take(settings: Settings, value: str) -> None:
        if value and value != "priority":
            from ofproto.ofctl_flow import field_named

            if field_named(value) is None:
                raise ConfigError(f"{value}: unknown field name")
        settings.sort.append(("" if value == "priority" else value, downwards))

    return take


def _set(name: str, to: bool = True) -> Callable[[Settings, str], None]:
    return lambda settings, value: setattr(settings, name, to)


def _file(name: str) -> Callable[[Settings, str], None]:
    def take(settings: Settings, value: str) -> None:
        settings.files[name] = value

    return take


TAKE: dict[str, Callable[[Settings, str], None]] = {
    "protocols": _take_versions,
    "flow-format": _take_formats,
    "packet-in-format": _take_packet_in,
    "strict": _set("strict"),
    "names": _set("names"),
    "no-names": _set("names", False),
    "stats": _set("stats"),
    "no-stats": _set("stats", False),
    "sort": _take_sort(False),
    "rsort": _take_sort(True),
    "format": _take_format,
    "read-only": _set("read_only"),
    "readd": _set("readd"),
    "bundle": _set("bundle"),
    "timeout": _take_timeout,
    "timestamp": _set("timestamp"),
    "color": _take_color,
    **{name: _file(name) for name in ("private-key", "certificate", "ca-cert")},
}


# -- texts -----------------------------------------------------------------------------------------------------------


def _fold(head: str, sentence: str, column: int) -> str:
    """Return a line of the help text with its sentence, folded, from a column on."""
    lines = [f"  {head}".ljust(column)]
    if len(lines[0]) > column:
        lines = [lines[0], " " * column]
    for word in sentence.split():
        if len(lines[-1]) + len(word) > 110 and lines[-1].strip():
            lines.append(" " * column)
        lines[-1] += word + " "
    return "".join(line.rstrip() + "\n" for line in lines)


def help_text(program: str) -> str:
    """Return what --help prints."""
    from vslib import dirs

    text = HEAD.format(program=program)
    text += "".join(_fold(f"{row[0]} {row[5]}".upper().replace(row[0].upper(), row[0], 1), row[6], 36)
                    for row in COMMANDS)  # fmt: skip
    text += "\nOptions:\n"
    for name, letter, takes, value, sentence in OPTIONS:
        if sentence:
            argument = {NONE: "", REQUIRED: f"={value}", OPTIONAL: f"[={value}]"}[takes]
            text += _fold(f"{f'-{letter}, ' if letter else '    '}--{name}{argument}", sentence, 36)
    return text + TAIL.format(program=program, rundir=dirs.rundir())


def version_text(program: str) -> str:
    """Return what --version prints."""
    from vslib.version import version_text as versions

    return f"{versions(program)}\nOpenFlow versions 0x1, 0x4, 0x5\n"


def command_list() -> str:
    """Return what list-commands prints."""
    return "The available commands are:\n" + "".join(f"  {row[0]:<23} {row[5]}\n" for row in COMMANDS)


# -- running ---------------------------------------------------------------------------------------------------------


def _command(settings: Settings, words: list[str]) -> tuple[str, int, int, str, str, str, str]:
    """Return the row of the command, its arguments counted; raises ConfigError."""
    if not words:
        raise ConfigError("missing command name; use --help for help")
    row = _BY_NAME.get(words[0])
    if row is None:
        raise ConfigError(f"unknown command '{words[0]}'; use --help for help")
    name, least, most, kind = row[:4]
    if len(words) - 1 < least:
        raise ConfigError(f"'{name}' command requires at least {least} arguments")
    if len(words) - 1 > most:
        raise ConfigError(f"'{name}' command takes at most {most} arguments")
    if settings.read_only and kind == EDIT:
        raise ConfigError(f"'{name}' command does not work in read only mode")
    return row


def run(program: str, argv: list[str]) -> int:
    """Do what the command line `argv` says; returns the exit code. Raises SwitchError."""
    settings = Settings()
    settings.program = program
    found, words = parse(argv, _LONG, _SHORT, permute=True)
    for name, value in found:
        if name in ("help", "version"):
            sys.stdout.write(help_text(program) if name == "help" else version_text(program))
            return 0
        if name in TAKE:
            TAKE[name](settings, value or "")
    row = _command(settings, words)
    if settings.bundle:
        settings.versions = settings.versions & HAVE_BUNDLES or {WITH_BUNDLES}
    if not row[4]:
        sys.stdout.write(help_text(program) if row[0] == "help" else command_list())
        return 0
    settings.formats()
    if settings.timeout_s:
        blocking.end_after(settings.timeout_s, program)
    from importlib import import_module

    module = import_module(f"vswitchd.ofctl_{row[4]}")
    return int(module.COMMANDS[row[0]](settings, words[1:]))


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (default: that of the process); returns the exit code."""
    program = os.path.basename(sys.argv[0])
    blocking.die_by_signals()
    try:
        code = run(program, sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
        return code
    except SwitchError as error:
        sys.stdout.flush()
        raw = type(error).__name__ == "Failed"  # an OpenFlow message in words, whole lines
        sys.stderr.write(str(error) if raw else f"{program}: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
