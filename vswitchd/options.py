"""OPTIONS: the command line of the daemon as a table; the parser and the text of --help are made from it (MG.05).

It is imported before anything else and by the process that monitors the daemon, so it imports next to nothing.
"""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

from vslib import getopt_long
from vslib.errors import ConfigError
from vslib.getopt_long import NONE, OPTIONAL, REQUIRED


class Option(NamedTuple):
    """One row: key of the result, long name, letter ("" = none), what it takes, name of the value, group, sentence."""

    key: str
    long: str
    letter: str
    takes: int
    value: str
    group: str
    help: str


class Arguments(NamedTuple):
    """A parsed command line. given: key -> value of its last use ("" without one); verbose: log specs in order."""

    database: str | None
    given: dict[str, str]
    verbose: tuple[str, ...]

    def has(self, key: str) -> bool:
        """Tell whether an option was given."""
        return key in self.given

    def get(self, key: str) -> str | None:
        """Return an option's value, None if it was not given."""
        return self.given.get(key)


DAEMON, LOGGING, TLS, OTHER = "Daemon", "Logging", "TLS", "Other"

OPTIONS: tuple[Option, ...] = (
    Option("detach", "detach", "", NONE, "", DAEMON,
           "run in the background; the command returns when the configuration is in force, or failed (exit code 1)"),
    Option("monitor", "monitor", "", NONE, "", DAEMON,
           "keep a small second process that starts the daemon again when it dies of an error signal"),
    Option("user", "user", "", REQUIRED, "USER[:GROUP]", DAEMON,
           "work as USER with CAP_NET_ADMIN, CAP_NET_RAW and CAP_NET_BROADCAST only; needs to be started by root"),
    Option("no_chdir", "no-chdir", "", NONE, "", DAEMON, "with --detach, stay in the current directory instead of /"),
    Option("pidfile", "pidfile", "", OPTIONAL, "FILE", DAEMON,
           "pid file, besides the one in the run directory that is always there (ovs-vswitchd.pid)"),
    Option("overwrite_pidfile", "overwrite-pidfile", "", NONE, "", DAEMON,
           "start even if a running daemon holds the pid file"),
    Option("verbose", "verbose", "v", OPTIONAL, "SPEC", LOGGING,
           "log levels, [MODULE][:DESTINATION][:LEVEL] in any order, as vlog/set takes them; alone: everything"),
    Option("log_file", "log-file", "", OPTIONAL, "FILE", LOGGING,
           "log to FILE as well (ovs-vswitchd.log in the log directory); SIGHUP and vlog/reopen open it anew"),
    Option("syslog_method", "syslog-method", "", REQUIRED, "METHOD", LOGGING,
           "how to reach syslog: libc, unix:FILE, udp:IP:PORT, or null for not at all"),
    Option("syslog_target", "syslog-target", "", REQUIRED, "HOST:PORT", LOGGING,
           "send to this syslog daemon by UDP (RFC 5424's port is 514)"),
    Option("private_key", "private-key", "p", REQUIRED, "FILE", TLS, "PEM file of our private key"),
    Option("certificate", "certificate", "c", REQUIRED, "FILE", TLS, "PEM file of our certificate"),
    Option("ca_cert", "ca-cert", "C", REQUIRED, "FILE", TLS, "PEM file of the authority that signed the peers'"),
    Option("bootstrap_ca_cert", "bootstrap-ca-cert", "", REQUIRED, "FILE", TLS, "the same; refused if it is missing"),
    Option("forwarders", "forwarders", "", REQUIRED, "N", OTHER,
           "forwarding threads, 1 to 16 (default: one per processor but one, at least one)"),
    Option("unixctl", "unixctl", "", REQUIRED, "SOCKET", OTHER,
           "control socket, relative to the run directory, or none (default: ovs-vswitchd.PID.ctl there)"),
    Option("mlockall", "mlockall", "", NONE, "", OTHER, "lock all memory of the process into RAM"),
    Option("no_self_confinement", "no-self-confinement", "", NONE, "", OTHER,
           "accepted, as ovs-ctl passes it on; this daemon does not confine itself"),
    Option("help", "help", "h", NONE, "", OTHER, "print this text"),
    Option("version", "version", "V", NONE, "", OTHER, "print the versions"),
)  # fmt: skip

_BY_LONG = {option.long: option for option in OPTIONS}


def program() -> str:
    """Return the name by which the program was called, for its messages."""
    name = os.path.basename(sys.argv[0])
    return "vswitchd" if name.endswith(".py") or name in ("", "-c", "-m") else name


def parse(argv: list[str]) -> Arguments:
    """Return the parsed command line (without the program's name); raises ConfigError in getopt_long's words."""
    takes = {option.long: option.takes for option in OPTIONS}
    letters = {option.letter: option.long for option in OPTIONS if option.letter}
    found, words = getopt_long.parse(argv, takes, letters, permute=True)
    if len(words) > 1:
        raise ConfigError("at most one non-option argument accepted; use --help for usage")
    given = {_BY_LONG[name].key: value or "" for name, value in found}
    verbose = tuple(value or "" for name, value in found if name == "verbose")
    return Arguments(words[0] if words else None, given, verbose)


# -- help

INTRODUCTION = """\
{program}: cyvswitch, an Open vSwitch-compatible virtual switch
usage: {program} [OPTION]... [DATABASE]

The daemon makes the switch what the database says: bridges, ports, controllers. DATABASE is the OVSDB server to follow:
  unix:FILE               a unix socket, relative to the run directory
  tcp:HOST[:PORT]         TCP, port 6640 by default; an IPv6 address in [brackets]
  ssl:HOST[:PORT]         the same with TLS
Without it, the server that has {dbdir}/conf.db open and answers on
{rundir}/db.sock is followed; if there is none, the daemon serves that file on that socket itself.
A server that does not answer is tried again and again; while another daemon works on the same database, this one waits.
"""
CONCLUSION = """
Signals:
  SIGTERM, SIGINT         end; internal and tap devices stay, with their addresses and routes, for the next start
  SIGHUP                  open the log file anew (for log rotation)

Exit code: 0 when told to end, 1 when it could not start (the reason is on standard error).

Files and directories, with the environment variables that move them:
  OVS_RUNDIR ({rundir})
      db.sock, BRIDGE.mgmt, ovs-vswitchd.pid, ovs-vswitchd.PID.ctl, ovs-vswitchd.devices (devices that are ours)
  OVS_DBDIR ({dbdir})
      conf.db, the database, in ovsdb-server's format
  OVS_LOGDIR ({logdir})
      ovs-vswitchd.log, with --log-file

Examples:
  {program} --detach --log-file
  {program} --detach --monitor --pidfile=/run/switch.pid -vconsole:off unix:/run/openvswitch/db.sock

Rights: root, or CAP_NET_ADMIN and CAP_NET_RAW and access to /dev/net/tun.
See also: vsctl, ofctl and appctl with --help, and docs/OPERATING.md.
"""
COLUMN = 26  # where sentences begin
WIDTH = 110


def help_text() -> str:
    """Return what --help prints."""
    from vslib import dirs

    places = {"program": program(), "rundir": dirs.rundir(), "dbdir": dirs.dbdir(), "logdir": dirs.logdir()}
    text = INTRODUCTION.format(**places)
    for group in dict.fromkeys(option.group for option in OPTIONS):
        text += f"\n{group} options:\n"
        text += "".join(_help_row(option) for option in OPTIONS if option.group == group)
    return text + CONCLUSION.format(**places)


def _help_row(option: Option) -> str:
    value = {NONE: "", REQUIRED: f"={option.value}", OPTIONAL: f"[={option.value}]"}[option.takes]
    names = f"  -{option.letter}, " if option.letter else "  "
    head = f"{names}--{option.long}{value}"
    lines = [head.ljust(COLUMN)] if len(head) < COLUMN - 1 else [head, " " * COLUMN]
    for word in option.help.split():
        if len(lines[-1]) + len(word) > WIDTH:
            lines.append(" " * COLUMN)
        lines[-1] += word + " "
    return "".join(line.rstrip() + "\n" for line in lines)
