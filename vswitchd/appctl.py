"""The command `appctl`: sends one management command to a running daemon and prints what it answers (TL.03, AP.04).

It works with every daemon that speaks `ovs-appctl`'s protocol, and `ovs-appctl` works with ours. What is imported here
decides how long it takes to start: nothing of the daemon, no asyncio.
"""

from __future__ import annotations

import os
import sys

from vslib import blocking, json_light, version
from vslib.errors import ConfigError, SwitchError
from vslib.getopt_long import NONE, OPTIONAL, REQUIRED, parse
from vslib.unixctl_client import DEFAULT_TARGET, Client, CommandError

TYPE_CHECKING = False  # importing typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Long name, letter, whether it takes an argument.
OPTIONS = (
    ("target", "t", REQUIRED),
    ("execute", "e", NONE),  # what Open vSwitch ignores for programs that still write it
    ("format", "f", REQUIRED),
    ("pretty", "", NONE),
    ("help", "h", NONE),
    ("option", "o", NONE),
    ("version", "V", NONE),
    ("timeout", "T", REQUIRED),
    ("verbose", "v", OPTIONAL),  # this and the next three: accepted, as this program logs nothing
    ("log-file", "", OPTIONAL),
    ("syslog-method", "", REQUIRED),
    ("syslog-target", "", REQUIRED),
)
LONG = {name: kind for name, _, kind in OPTIONS}
SHORT = {letter: name for name, letter, _ in OPTIONS if letter}
FORMATS = ("text", "json")
EXIT_SERVER_ERROR = 2  # the daemon answered with an error; everything else that goes wrong is 1
MAX_ALARM_S = 2**31 - 1

HELP = """\
{program}: ask a running switch daemon, or tell it to do something.

Usage: {program} [OPTION]... COMMAND [ARGUMENT]...

Options (before COMMAND):
  -t, --target=TARGET   the daemon: the name of its pid file ({target} by
                        default; $OVS_RUNDIR/TARGET.pid tells its process) or
                        the path of its management socket
  -T, --timeout=SECS    give up after SECS seconds, by signal 14 (SIGALRM);
                        without it the wait is endless
  -f, --format=FORMAT   "text" (default) or "json": lists of objects where the
                        command has them, else the text as an object
                        {{"reply": TEXT, "reply-format": "plain"}}
      --pretty          with --format=json: one member a line, indented
  -o, --option          print all options, one a line, and exit
  -h, --help            print this text and exit
  -V, --version         print versions and exit

Common commands (list-commands prints all that the daemon has):
  list-commands         the commands of the daemon, with their arguments
  version               the daemon's version
  exit [--cleanup]      end the daemon; with --cleanup its devices go too
  fdb/show BRIDGE       learned MAC addresses: port, VLAN, address, age (s)
  fdb/flush [BRIDGE]    forget learned MAC addresses of a bridge, or of all
  ofproto/list          the bridges
  ofproto/trace BRIDGE FLOW [PACKET]
                        follow a packet through the tables, without sending it
  dpctl/show            look-ups, number of megaflows, ports of the datapath
  dpctl/dump-flows [-m] [--names] [filter=FLOW] [type=TYPES] [pmd=N]
                        megaflows: what is done to which packets, and how many
  drops/show            packets dropped, by reason
  coverage/show         events counted, with their rates
  coverage/read-counter NAME
                        one of these counts
  memory/show           numbers of objects that use memory
  vlog/list             log levels, by module and destination
  vlog/set [SPEC]...    change them; SPEC is words separated by colons: a
                        module, a destination (console, syslog, file), a level
                        (off, emer, err, warn, info, dbg); what is missing is
                        all of them, a missing level is dbg
  vlog/reopen           open the log file again, after it was moved away
  vlog/close            close the log file

Exit status: 0 when the command succeeded; 1 when the daemon could not be
reached or the command line is wrong; 2 when the daemon answered with an error,
whose text goes to standard error.

Environment: OVS_RUNDIR is the directory of pid files and sockets
(/run/openvswitch by default).

Examples:
  {program} fdb/show br0
  {program} --format=json --pretty dpctl/show
  {program} -t ovsdb-server -T 5 list-commands
"""


class Settings:
    """What the options say."""

    def __init__(self) -> None:
        self.target = DEFAULT_TARGET
        self.json = False
        self.pretty = False
        self.timeout_s = 0


def print_text(program: str, text: str) -> int:
    """Print one of the texts about this program; returns the exit code."""
    sys.stdout.write(text.format(program=program, target=DEFAULT_TARGET))
    return 0


def option_list() -> str:
    """Return all options as --option prints them for shells that complete words."""
    forms = {NONE: ("", " "), REQUIRED: ("=ARG", " ARG"), OPTIONAL: ("=[ARG]", " [ARG]")}
    lines = []
    for name, letter, kind in OPTIONS:
        lines.append(f"--{name}{forms[kind][0]}")
        if letter:
            lines.append(f"-{letter}{forms[kind][1]}")
    return "\n".join(lines) + "\n"


def _take_target(settings: Settings, value: str) -> None:
    settings.target = value


def _take_format(settings: Settings, value: str) -> None:
    if value not in FORMATS:
        raise ConfigError(f"value {value} on -f or --format is invalid")
    settings.json = value == "json"


def _take_pretty(settings: Settings, _value: str) -> None:
    settings.pretty = True


def timeout_s(value: str, letter: str = "-T") -> int:
    """Return the seconds that --timeout (whose letter is `letter`) names; raises ConfigError."""
    if not (value.isascii() and value.isdigit() and len(value) < 20 and int(value)):
        raise ConfigError(f"value {value} on {letter} or --timeout is invalid")
    return min(int(value), MAX_ALARM_S)


def _take_timeout(settings: Settings, value: str) -> None:
    settings.timeout_s = timeout_s(value)


TAKE = {"target": _take_target, "format": _take_format, "pretty": _take_pretty, "timeout": _take_timeout}
PRINT: dict[str, Callable[[], str]] = {
    "help": lambda: HELP,
    "option": option_list,
    "version": lambda: version.version_text("{program}") + "\n",
}


def as_text(reply: Any, pretty: bool) -> str:
    """Return what is printed for a reply: text as it is, a JSON value on one line or, if pretty, indented."""
    if isinstance(reply, str):
        return reply
    if pretty:
        import json

        return json.dumps(reply, indent=2, sort_keys=True) + "\n"
    return json_light.dumps(reply) + "\n"


def ask(settings: Settings, words: list[str]) -> str:
    """Return what the daemon answers to the command in `words`; raises SwitchError, CommandError for its errors."""
    with Client(settings.target) as client:
        if settings.json:
            client.run("set-options", ["--format", "json"])
        return as_text(client.run(words[0], words[1:]), settings.pretty)


def run(program: str, argv: list[str]) -> int:
    """Do what the command line `argv` says; returns the exit code. Raises ConfigError, PeerError or CommandError."""
    settings = Settings()
    found, words = parse(argv, LONG, SHORT)
    for name, value in found:
        if name in PRINT:
            return print_text(program, PRINT[name]())
        if name in TAKE:
            TAKE[name](settings, value or "")
    if settings.pretty and not settings.json:
        raise ConfigError("--pretty is supported with --format json only")
    if not words:
        raise ConfigError("at least one non-option argument is required (use --help for help)")
    if settings.timeout_s:
        blocking.end_after(settings.timeout_s, program)
    try:
        sys.stdout.write(ask(settings, words))
    except CommandError as error:
        sys.stderr.write(f"{error}\n{program}: {settings.target}: server returned an error\n")
        return EXIT_SERVER_ERROR
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (default: that of the process); returns the exit code."""
    program = os.path.basename(sys.argv[0])
    blocking.die_by_signals()
    try:
        return run(program, sys.argv[1:] if argv is None else argv)
    except SwitchError as error:
        sys.stderr.write(f"{program}: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
