"""`python -m vswitchd.compat DIR`: our commands under Open vSwitch's names, for scripts that call those (TL.01).

Each is a small script that starts this Python on this installation whatever the environment says, and without `site`
where the command lives for milliseconds only.
"""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

from vslib.errors import ConfigError, SwitchError
from vslib.getopt_long import NONE, parse

MARK = "# Made by `python -m vswitchd.compat`, which overwrites and removes files with this line only."
MAX_SHEBANG_BYTES = 120  # the kernel reads 127 on old systems


class Command(NamedTuple):
    """One command: its name, the module that has its `main`, and the options that Python gets."""

    name: str
    module: str
    python_options: str


# -s: nothing of the user's home, -E: nothing of PYTHON* variables, -S: not what `site` does, which takes 3 ms.
COMMANDS = (
    Command("ovs-vswitchd", "vswitchd.main", "-sE"),
    Command("ovs-vsctl", "vswitchd.vsctl", "-sES"),
    Command("ovs-ofctl", "vswitchd.ofctl", "-sES"),
    Command("ovs-appctl", "vswitchd.appctl", "-sES"),
    Command("ovs-dpctl", "vswitchd.dpctl_tool", "-sES"),
)

HELP = """\
{program}: put this switch's commands under Open vSwitch's names.

Usage: {program} [OPTION] DIR

Writes small scripts into the directory DIR, which is made if it is missing:
{names}
With DIR in PATH, programs that call these find them. Messages begin with the
name that a command was called by. The scripts belong to this installation
({root}, {python}); run {program} again after moving it.

A file of one of these names that {program} did not write is never touched: then
nothing is written at all, and the message names it.

Options:
      --remove          remove the scripts from DIR instead (files of others stay)
  -h, --help            print this text and exit

Exit status: 0 on success, 1 on failure.
"""


def root() -> str:
    """Return the directory that the packages of this installation are in."""
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def site_packages() -> list[str]:
    """Return where this Python looks for packages that were installed into it."""
    folders = ("site-packages", "dist-packages")
    return [entry for entry in sys.path if os.path.basename(entry) in folders and os.path.abspath(entry) != root()]


def shebang(python: str, options: str) -> str:
    """Return the lines that make the kernel start `python`, by way of the shell if its path is too odd for a `#!`."""
    line = f"#!{python} {options}\n"
    if len(os.fsencode(line)) <= MAX_SHEBANG_BYTES and not any(blank in python for blank in " \t\n"):
        return line
    # For the shell a command with its arguments, for Python a string.
    quoted = python.replace("'", "'\\''")
    return f"#!/bin/sh\n'''exec' '{quoted}' {options} \"$0\" \"$@\"\n' '''\n"


def script(command: Command) -> str:
    """Return the text of a command's script."""
    return (
        f"{shebang(sys.executable, command.python_options)}{MARK}\n"
        "import sys\n"
        f"sys.path[0] = {root()!r}\n"  # in the place of DIR, where Python would look first
        f"sys.path += {site_packages()!r}\n"
        f"from {command.module} import main\n"
        "sys.exit(main())\n"
    )


def is_ours(path: str) -> bool:
    """Tell whether the file is a script of ours; raises OSError if there is none that can be read."""
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    with open(path, encoding="utf-8", errors="replace") as file:
        return MARK in file.read(2000)


def _paths(directory: str) -> dict[str, Command]:
    return {os.path.join(directory, command.name): command for command in COMMANDS}


def install(directory: str) -> list[str]:
    """Write the scripts and return their paths; raises ConfigError, before anything is written, for a foreign file."""
    foreign = [path for path in _paths(directory) if os.path.lexists(path) and not is_ours(path)]
    if foreign:
        raise ConfigError(f"{', '.join(foreign)}: already there, and not made by us; nothing was written")
    os.makedirs(directory, exist_ok=True)
    for path, command in _paths(directory).items():
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            file.write(script(command))
            os.fchmod(file.fileno(), 0o755)
        os.rename(f"{path}.new", path)
    return list(_paths(directory))


def remove(directory: str) -> list[str]:
    """Remove our scripts and return their paths; what others put there stays."""
    ours = [path for path in _paths(directory) if os.path.lexists(path) and is_ours(path)]
    for path in ours:
        os.unlink(path)
    return ours


def run(program: str, argv: list[str]) -> int:
    """Do what the command line `argv` says; returns the exit code. Raises ConfigError or OSError."""
    found, rest = parse(argv, {"remove": NONE, "help": NONE}, {"h": "help"}, permute=True)
    options = {name for name, _ in found}
    if "help" in options:
        names = "\n".join(f"  {command.name}" for command in COMMANDS)
        print(HELP.format(program=program, names=names, root=root(), python=sys.executable), end="")
        return 0
    if len(rest) != 1:
        raise ConfigError("exactly one directory is required (use --help for help)")
    directory = os.path.abspath(rest[0])
    done, paths = ("removed", remove(directory)) if "remove" in options else ("wrote", install(directory))
    for path in paths:
        print(f"{done} {path}")
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (default: that of the process); returns the exit code."""
    program = "python -m vswitchd.compat"
    try:
        return run(program, sys.argv[1:] if argv is None else argv)
    except SwitchError as error:
        print(f"{program}: {error}", file=sys.stderr)
    except OSError as error:
        print(f"{program}: {error.filename}: {error.strerror}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
