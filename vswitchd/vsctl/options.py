"""The global options of vsctl, as a table; those of commands may stand among them in front of the first command."""

from __future__ import annotations

import os

from vslib import getopt_long
from vslib.errors import ConfigError
from vslib.getopt_long import NONE, OPTIONAL, REQUIRED
from vswitchd.vsctl import table

TYPE_CHECKING = False  # importing typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vswitchd.vsctl.output import Style

CONNECTION, OUTPUT, LOGGING, TLS, OTHER = (
    "Connection and waiting", "Output (of list and find; json for all commands)", "Logging",
    "TLS (for ssl: connections)", "Other",
)  # fmt: skip

# Long name, letter, what it takes, the argument's name, group, sentence. The order is that of the original's messages
# about ambiguous abbreviations.
OPTIONS: tuple[tuple[str, str, int, str, str, str], ...] = (
    ("db", "", REQUIRED, "SERVER", CONNECTION,
     "database server: unix:FILE, tcp:IP:PORT or ssl:IP:PORT (default: db.sock in the run directory)"),
    ("no-syslog", "", NONE, "", LOGGING, "do not tell syslog about commands that may change the database"),
    ("no-wait", "", NONE, "", CONNECTION, "do not wait until the switch has put changes into force"),
    ("dry-run", "", NONE, "", OUTPUT, "do everything but change the database"),
    ("oneline", "", NONE, "", OUTPUT, "print one line per command, newlines as \\n"),
    ("timeout", "t", REQUIRED, "SECONDS", CONNECTION, "end by SIGALRM (exit code 142) when it takes longer"),
    ("retry", "", NONE, "", CONNECTION, "keep trying to connect"),
    ("help", "h", NONE, "", OTHER, "print this text"),
    ("commands", "", NONE, "", OTHER, "print all commands, for programs that complete command lines"),
    ("options", "", NONE, "", OTHER, "print all options, likewise"),
    ("leader-only", "", NONE, "", CONNECTION, "accepted and without meaning: databases here are not clustered"),
    ("no-leader-only", "", NONE, "", CONNECTION, "likewise"),
    ("shuffle-remotes", "", NONE, "", CONNECTION, "likewise"),
    ("no-shuffle-remotes", "", NONE, "", CONNECTION, "likewise"),
    ("version", "V", NONE, "", OTHER, "print the version"),
    ("verbose", "v", OPTIONAL, "SPEC", LOGGING, "log levels, [MODULE][:DESTINATION][:LEVEL] in any order; alone: all"),
    ("log-file", "", OPTIONAL, "FILE", LOGGING, "log to FILE (default: PROGRAM.log in the log directory)"),
    ("syslog-method", "", REQUIRED, "METHOD", LOGGING, "how to reach syslog: libc, unix:FILE, udp:IP:PORT or null"),
    ("syslog-target", "", REQUIRED, "HOST:PORT", LOGGING, "log by UDP to HOST:PORT"),
    ("format", "f", REQUIRED, "FORMAT", OUTPUT, "table, list (the default), html, csv or json"),
    ("data", "d", REQUIRED, "FORMAT", OUTPUT, "values as string (the default), bare or json"),
    ("no-headings", "", NONE, "", OUTPUT, "leave names of columns out"),
    ("pretty", "", NONE, "", OUTPUT, "indent JSON"),
    ("bare", "", NONE, "", OUTPUT, "short for --format=list --data=bare --no-headings"),
    ("max-column-width", "", REQUIRED, "N", OUTPUT, "in tables, cut values off after N characters"),
    ("private-key", "p", REQUIRED, "FILE", TLS, "PEM file of our private key"),
    ("certificate", "c", REQUIRED, "FILE", TLS, "PEM file of our certificate"),
    ("ca-cert", "C", REQUIRED, "FILE", TLS, "PEM file of the certificates that sign peers', none to trust all"),
    ("ssl-protocols", "", REQUIRED, "LIST", TLS, "accepted; TLS 1.2 and later are used"),
    ("ssl-ciphers", "", REQUIRED, "LIST", TLS, "accepted; OpenSSL's secure choice is used"),
    ("bootstrap-ca-cert", "", REQUIRED, "FILE", TLS, "like --ca-cert; FILE has to exist"),
    ("peer-ca-cert", "", REQUIRED, "FILE", TLS, "accepted and without meaning for a client"),
)  # fmt: skip


class Options:
    """A parsed command line."""

    def __init__(self, style: Style) -> None:
        self.style = style
        self.db = ""
        self.wait, self.dry_run, self.oneline, self.retry, self.syslog = True, False, False, False, True
        self.timeout_s = 0
        self.action = ""  # "help", "version", "commands" or "options": print that and end
        self.verbose: list[str] = []
        self.log_file: str | None = None
        self.syslog_method: str | None = None
        self.keys: dict[str, str] = {}  # "private-key", "certificate", "ca-cert"
        self.first: dict[str, str | None] = {}  # options of the first command
        self.words: list[str] = []  # commands

    @property
    def full_logging(self) -> bool:
        """Whether an option asks for more than the default logging."""
        return bool(self.verbose) or self.log_file is not None or self.syslog_method is not None


def _timeout(options: Options, value: str) -> None:
    digits = value.isascii() and value.isdigit()
    options.timeout_s = int(value) if digits else 0
    if options.timeout_s < 1:
        raise ConfigError(f"value {value} on -t or --timeout is invalid")


def _format(options: Options, value: str) -> None:
    from vswitchd.vsctl.output import FORMATS

    if value not in FORMATS:
        raise ConfigError(f'unknown output format "{value}"')
    options.style.format = value


def _data(options: Options, value: str) -> None:
    from vswitchd.vsctl.output import DATA

    if value not in DATA:
        raise ConfigError(f'unknown data format "{value}"')
    options.style.data = value


def _bare(options: Options, _value: str) -> None:
    options.style.format, options.style.data, options.style.headings = "list", "bare", False


def _width(options: Options, value: str) -> None:
    options.style.max_width = int(value) if value.isascii() and value.isdigit() else 0


def _flag(name: str, value: bool) -> Callable[[Options, str], None]:
    return lambda options, _value: setattr(options, name, value)


def _style(name: str, value: bool) -> Callable[[Options, str], None]:
    return lambda options, _value: setattr(options.style, name, value)


def _text(name: str) -> Callable[[Options, str], None]:
    return lambda options, value: setattr(options, name, value)


def _key(name: str) -> Callable[[Options, str], None]:
    def store(options: Options, value: str) -> None:
        options.keys[name] = value

    return store


def _action(name: str) -> Callable[[Options, str], None]:
    def store(options: Options, _value: str) -> None:
        options.action = options.action or name

    return store


def _ignore(_options: Options, _value: str) -> None:
    """Do nothing: accepted for the sake of scripts."""


ACTIONS: dict[str, Callable[[Options, str], None]] = {
    "db": _text("db"),
    "no-syslog": _flag("syslog", False),
    "no-wait": _flag("wait", False),
    "dry-run": _flag("dry_run", True),
    "oneline": _flag("oneline", True),
    "timeout": _timeout,
    "retry": _flag("retry", True),
    "help": _action("help"),
    "commands": _action("commands"),
    "options": _action("options"),
    "version": _action("version"),
    "verbose": lambda options, value: options.verbose.append(value),
    "log-file": _text("log_file"),
    "syslog-method": _text("syslog_method"),
    "syslog-target": lambda options, value: setattr(options, "syslog_method", f"udp:{value}"),
    "format": _format,
    "data": _data,
    "no-headings": _style("headings", False),
    "pretty": _style("pretty", True),
    "bare": _bare,
    "max-column-width": _width,
    "private-key": _key("private-key"),
    "certificate": _key("certificate"),
    "ca-cert": _key("ca-cert"),
    "bootstrap-ca-cert": _key("ca-cert"),
}


def parse(words: Sequence[str], style: Style) -> Options:
    """Return a parsed command line; raises ConfigError with getopt's or our own text."""
    own = {row[0]: row[2] for row in OPTIONS}
    long = dict(own)
    for name in table.option_names():
        long.setdefault(name.rstrip("="), REQUIRED if name.endswith("=") else NONE)
    short = {row[1]: row[0] for row in OPTIONS if row[1]}
    found, rest = getopt_long.parse(words, long, short)
    options = Options(style)
    options.words = rest
    for name, value in found:
        if name in own:
            ACTIONS.get(name, _ignore)(options, value or "")
        else:
            options.first[f"--{name}"] = value
    if not options.db:
        from vslib.dirs import rundir

        options.db = f"unix:{os.path.join(rundir(), 'db.sock')}"
    return options
