"""The command `vswitchd`: arguments, logging, the event loop."""

from __future__ import annotations

import argparse
import os
import sys

from vslib import version


def arguments(argv: list[str]) -> argparse.Namespace:
    """Return the parsed command line; exits with a message for a wrong one."""
    parser = argparse.ArgumentParser(
        prog="vswitchd",
        description="The cyvswitch daemon: an Open vSwitch-compatible virtual switch. Without DATABASE it embeds its "
        "own database server, keeps the configuration in $OVS_DBDIR/conf.db and listens on $OVS_RUNDIR/db.sock.",
        epilog="Environment: OVS_RUNDIR (/run/openvswitch), OVS_DBDIR (/etc/openvswitch), "
        "OVS_LOGDIR (/var/log/openvswitch), OVS_SYSCONFDIR (/etc).",
    )
    parser.add_argument(
        "database",
        nargs="?",
        metavar="DATABASE",
        help="a database server to use instead, such as unix:/run/openvswitch/db.sock",
    )
    parser.add_argument(
        "--forwarders",
        type=int,
        metavar="N",
        help="forwarding threads (default: one per processor but one, at least one)",
    )
    parser.add_argument(
        "--log-file", nargs="?", const="", metavar="FILE", help="log to FILE as well ($OVS_LOGDIR/ovs-vswitchd.log)"
    )
    parser.add_argument(
        "-v", "--verbose", action="append", default=[], metavar="SPEC", help="log levels as in `ovs-appctl vlog/set`"
    )
    parser.add_argument("-V", "--version", action="version", version=version.version_text())
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the daemon in the foreground until it is told to end; returns the exit code."""
    options = arguments(sys.argv[1:] if argv is None else argv)
    if options.forwarders is not None and options.forwarders < 1:
        print("vswitchd: --forwarders must be at least 1", file=sys.stderr)
        return 1
    import asyncio

    from vslib import dirs, vlog
    from vslib.errors import SwitchError
    from vswitchd.daemon import Daemon

    vlog.set_program("ovs-vswitchd")
    vlog.open_console()
    try:
        for spec in options.verbose:
            vlog.set_levels(spec)
        if options.log_file is not None:
            vlog.set_log_file(options.log_file or os.path.join(dirs.logdir(), "ovs-vswitchd.log"))
        asyncio.run(Daemon(options.database, options.forwarders).run())
    except SwitchError as error:
        print(f"vswitchd: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
