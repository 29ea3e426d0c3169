"""The command `ovs-dpctl` for those used to it: asks the running daemon for `dpctl/...`, as `appctl` does (TL.07).

The datapath is inside the daemon, so there is nothing that this command could do without it.
"""

from __future__ import annotations

import os
import sys

from vslib import blocking, version
from vslib.errors import ConfigError, SwitchError
from vslib.getopt_long import NONE, OPTIONAL, REQUIRED, parse
from vslib.unixctl_client import DEFAULT_TARGET, Client, CommandError
from vswitchd.appctl import timeout_s

# Long name, letter, whether it takes an argument.
OPTIONS = (
    ("statistics", "s", NONE),
    ("more", "m", NONE),
    ("names", "", NONE),
    ("no-names", "", NONE),
    ("timeout", "t", REQUIRED),
    ("help", "h", NONE),
    ("version", "V", NONE),
    ("verbose", "v", OPTIONAL),
    ("log-file", "", OPTIONAL),
)
PASSED_ON = {"statistics": "-s", "more": "-m", "names": "--names", "no-names": "--no-names"}

HELP = """\
{program}: look into the datapath of the running switch daemon.

Usage: {program} [OPTION]... COMMAND [ARGUMENT]...

It sends dpctl/COMMAND to {target}, as {appctl} does.

Commands:
  show [DP]             look-ups, number of megaflows, ports; with -s counters
  dump-flows [DP] [filter=FLOW] [type=TYPES] [pmd=N]
                        megaflows: what is done to which packets, how often
  dump-dps              the name of the datapath

Options:
  -s, --statistics      show: print counters of ports
  -m, --more            dump-flows: print all fields, and ports by name
      --names           dump-flows: print ports by name
      --no-names        dump-flows: print ports by number
  -t, --timeout=SECS    give up after SECS seconds
  -h, --help            print this text and exit
  -V, --version         print versions and exit

Exit status: 0 on success, 1 on failure.
"""


def run(program: str, argv: list[str]) -> int:
    """Do what the command line `argv` says; returns the exit code. Raises SwitchError with the text for stderr."""
    found, rest = parse(argv, {o[0]: o[2] for o in OPTIONS}, {o[1]: o[0] for o in OPTIONS if o[1]}, permute=True)
    flags = []
    for name, value in found:
        if name == "help":
            sys.stdout.write(HELP.format(program=program, target=DEFAULT_TARGET, appctl="ovs-appctl"))
            return 0
        if name == "version":
            print(version.version_text(program))
            return 0
        if name == "timeout":
            blocking.end_after(timeout_s(value or "", "-t"), program)
        elif name in PASSED_ON:
            flags.append(PASSED_ON[name])
    if not rest:
        raise ConfigError("missing command name; use --help for help")
    with Client(DEFAULT_TARGET) as client:
        try:
            sys.stdout.write(str(client.run(f"dpctl/{rest[0]}", [*flags, *rest[1:]])))
        except CommandError as error:
            if f'"dpctl/{rest[0]}" is not a valid command' in str(error):
                raise ConfigError(f"unknown command '{rest[0]}'; use --help for help") from error
            # The daemon puts its name in front, as Open vSwitch's does; here it is this program that fails.
            raise ConfigError(str(error).removeprefix(f"{DEFAULT_TARGET}: ")) from error
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
