"""The command `vswitchd`: arguments, processes, logging, the event loop.

What is imported at the top is also what the monitor of --monitor has in memory; the switch comes after the forks.
"""

from __future__ import annotations

import os
import sys

from vslib.errors import ConfigError, SwitchError
from vswitchd import options, process
from vswitchd.options import Arguments

PROGRAM = "ovs-vswitchd"
FORWARDERS_MAX = 16


def main(argv: list[str] | None = None) -> int:
    """Run the daemon until it is told to end; returns the exit code."""
    try:
        arguments = options.parse(sys.argv[1:] if argv is None else argv)
        if arguments.has("help"):
            print(options.help_text(), end="")
            return 0
        if arguments.has("version"):
            from vslib import version

            print(version.version_text(options.program()))
            return 0
        n_forwarders(arguments)
        keep_paths()
        background = process.start(
            arguments.has("detach"), arguments.has("monitor"), lambda level, text: report(arguments, level, text)
        )
        return run(arguments, background)
    except SwitchError as error:
        text = str(error)
    except OSError as error:  # of the directories and files that the operator chose
        text = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    print(f"{options.program()}: {text}", file=sys.stderr)
    return 1


def n_forwarders(arguments: Arguments) -> int | None:
    """Return the number of forwarding threads that was asked for, None for the default; raises ConfigError."""
    text = arguments.get("forwarders")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= FORWARDERS_MAX:
        raise ConfigError(f"--forwarders: {text} is not a number from 1 to {FORWARDERS_MAX}")
    return int(text)


def keep_paths() -> None:
    """Make the directories of the environment absolute, as the daemon may change its own."""
    for name in ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR"):
        if os.environ.get(name):
            os.environ[name] = os.path.abspath(os.environ[name])


def run(arguments: Arguments, background: process.Background) -> int:
    """Be the daemon; returns its exit code, raises SwitchError when it cannot start."""
    import asyncio

    from vslib import dirs, vlog

    if arguments.has("user"):
        from vswitchd import privileges

        privileges.become_user(arguments.given["user"], arguments.has("mlockall"), [dirs.rundir()])
    # Before the log is opened, as -v may name the module of any log.
    from vslib import eager_loop
    from vswitchd.daemon import Daemon, Settings

    open_log(arguments)
    if background.restart is not None:
        vlog.get("daemon_unix").err("%s", background.restart)
    if arguments.has("mlockall"):
        from vswitchd import privileges

        problem = privileges.lock_memory()
        if problem is not None:
            vlog.get("vswitchd").err("mlockall failed: %s", problem)
    settings = Settings(
        database=arguments.database,
        n_forwarders=n_forwarders(arguments),
        pidfile=arguments.get("pidfile") or None,
        overwrite_pidfile=arguments.has("overwrite_pidfile"),
        unixctl=arguments.get("unixctl"),
        ready=lambda: background.ready(chdir=not arguments.has("no_chdir")),
    )
    try:
        with asyncio.Runner(loop_factory=eager_loop.new_loop) as runner:
            runner.run(Daemon(settings).run())
    except (SwitchError, OSError):
        raise
    except Exception:
        vlog.get("vswitchd").exception("ending for a bug")
        background.die_of_bug()
        raise
    return 0


def open_log(arguments: Arguments) -> None:
    """Open the log's destinations as the options say; raises ConfigError."""
    from vslib import dirs, stream_tls, vlog

    vlog.set_program(PROGRAM)
    vlog.get("daemon_unix")  # so that its level can be set
    vlog.open_console()
    if arguments.has("detach"):  # who started it is to hear of failures only
        vlog.set_default_levels(console=vlog.OFF)
    for spec in arguments.verbose:
        try:
            vlog.set_levels(spec)
        except ConfigError as error:
            raise ConfigError(f'processing "{spec}": {error}') from error
    if arguments.has("syslog_target"):
        vlog.open_syslog("udp:" + arguments.given["syslog_target"])
    elif arguments.has("syslog_method") or arguments.has("detach"):
        vlog.open_syslog(arguments.get("syslog_method") or "libc")
    if arguments.has("log_file"):
        vlog.set_log_file(os.path.join(dirs.logdir(), arguments.given["log_file"] or f"{PROGRAM}.log"))
    names = ("private_key", "certificate", "ca_cert", "bootstrap_ca_cert")
    keys = {name: os.path.abspath(arguments.given[name]) for name in names if arguments.has(name)}
    if keys:
        keys.setdefault("ca_cert", keys.pop("bootstrap_ca_cert", ""))
        stream_tls.configure(**keys)


def report(arguments: Arguments, level: str, text: str) -> None:
    """Log a line for the monitor, in a process that ends then."""
    from vslib import vlog

    open_log(arguments)
    vlog.get("daemon_unix").log(vlog.LEVELS[level][0], "%s", text)


if __name__ == "__main__":
    sys.exit(main())
