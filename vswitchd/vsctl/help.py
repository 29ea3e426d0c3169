"""The texts of --help, --version, --commands and --options, made from the tables."""

from __future__ import annotations

import textwrap

from vslib import json_light
from vslib.dirs import rundir
from vslib.getopt_long import NONE, OPTIONAL
from vslib.version import CYVSWITCH_VERSION, OVS_VERSION
from vswitchd.vsctl.options import OPTIONS
from vswitchd.vsctl.schema import FILE, ROW_NAMES
from vswitchd.vsctl.table import COMMANDS, Command

TYPE_CHECKING = False  # importing typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH = 100

HEAD = """\
{program}: show and change the configuration of the virtual switch
usage: {program} [OPTIONS] COMMAND [ARG...] [-- [OPTIONS] COMMAND [ARG...]]...

Reads and writes the database Open_vSwitch. All commands of a line are one transaction: either all take effect or none.
Unless --no-wait is given, a command that changes something ends when the switch has put it into force.
"""

VALUES = """
Values
  integers (42, or 1-5 in a set), reals, true and false, strings, UUIDs, @NAME for a row of the same command line. A
  string that is not a plain word (letters, digits, "_", "-", "."; a letter first) goes into double quotes, which the
  shell must not eat: 'mac="00:11:22:33:44:55"'. Sets are [A, B], maps {{KEY=VALUE, KEY=VALUE}}; brackets and braces may
  be left out; [] and {{}} are empty. Tables and columns may be abbreviated, "-" stands for "_", and case does not
  matter.

Records are named by UUID, or its first 4 or more digits, and
"""

TAIL = """
With --format=json, list and find print a table ({{"headings": [...], "data": [[...]]}}) as they do in Open vSwitch; all
other commands print a list, of names or of objects whose keys are columns.

Exit code
  0 done; 1 an error, told on standard error, nothing was changed; 2 br-exists found no bridge; 142 --timeout passed.
  An interface that could not be set up is told on standard error, with exit code 0, as its configuration was stored.

Environment
  OVS_RUNDIR            directory of the database's socket (now {rundir})
  OVS_LOGDIR            directory of log files
  OVS_CTL_TIMEOUT       default of --timeout, in seconds

Examples
  {program} add-br br0 -- add-port br0 eth0 tag=9
  {program} --may-exist add-port br0 gre0 -- set interface gre0 type=gre options:remote_ip=192.0.2.1
  {program} -- --id=@m create Mirror name=m0 select_all=true -- add Bridge br0 mirrors @m
  {program} --columns=name,error find Interface ofport=-1
"""


def _filled(text: str, indent: int) -> str:
    pad = " " * indent
    return textwrap.fill(text, WIDTH, initial_indent=pad, subsequent_indent=pad) + "\n"


def _usage(row: Command) -> str:
    options = [f"[{option}{'VALUE' if option.endswith('=') else ''}]" for option in row.options]
    return " ".join(filter(None, [*options, row.name, row.usage]))


def _groups() -> str:
    parts: list[str] = []
    group = ""
    for row in COMMANDS:
        if row.group != group:
            group = row.group
            parts.append(f"\n{group}\n")
        parts.append(f"  {_usage(row)}\n" + _filled(row.help, 6))
    return "".join(parts)


def _options() -> str:
    parts: list[str] = []
    for group in dict.fromkeys(row[4] for row in OPTIONS):
        parts.append(f"\n{group}\n")
        for name, letter, takes, value, its_group, sentence in OPTIONS:
            if its_group == group:
                argument = "" if takes == NONE else f"[={value}]" if takes == OPTIONAL else f"={value}"
                head = f"  {f'-{letter}, ' if letter else ''}--{name}{argument}"
                parts.append(head + "\n" + _filled(sentence, 6))
    return "".join(parts)


def _record_names() -> str:
    lines = []
    for table, (where, column, reference) in ROW_NAMES.items():
        if not column:
            how = "as . (the only one)"
        elif reference:
            how = f"by {column} of the {where} whose {reference} it is"
        else:
            how = f"by {column}"
        lines.append(f"  {table:<26}{how}\n")
    return "".join(lines)


def full(program: str) -> str:
    """Return the text of --help."""
    head = HEAD.format(program=program) + _groups() + _options()
    return head + VALUES.format() + _record_names() + TAIL.format(program=program, rundir=rundir())


def version(program: str) -> str:
    """Return the text of --version; agents parse its first line (TL.01)."""
    with open(FILE, "rb") as file:
        schema = json_light.loads(file.read())["version"]
    return f"{program} (Open vSwitch) {OVS_VERSION}\nDB Schema {schema}\ncyvswitch {CYVSWITCH_VERSION}\n"


def commands(_program: str) -> str:
    """Return one line per command: its options, its name, its arguments with how often they may stand there."""
    return "".join(
        f"{' '.join(f'[{option}]' for option in row.options)},{row.name},{' '.join(_marked(row))}\n" for row in COMMANDS
    )


def _marked(row: Command) -> list[str]:
    """Return arguments marked by ! (one), ? (at most one), + (one or more), * (any number)."""
    found = []
    for word in row.usage.split():
        optional, many = word.startswith("["), word.endswith("...")
        mark = ("*" if optional else "+") if many else ("?" if optional else "!")
        plain = word.removesuffix("...")
        found.append(mark + (plain[1:-1] if optional else plain).replace("[:KEY]", "?:KEY").replace("[KEY=]", "?KEY="))
    return found


def options(_program: str) -> str:
    """Return one line per option."""
    lines = []
    for name, letter, takes, *_ in OPTIONS:
        lines.append(f"--{name}{'' if takes == NONE else '=ARG'}")
        if letter:
            lines.append(f"-{letter}{'' if takes == NONE else ' ARG'}")
    return "".join(line + "\n" for line in lines)


TEXTS: dict[str, Callable[[str], str]] = {
    "help": full, "version": version, "commands": commands, "options": options,
}  # fmt: skip
