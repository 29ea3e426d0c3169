"""Line patterns of ``vlog/set PATTERN``: ``%`` escapes with flags and widths, compiled once into a list of parts."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from typing import NamedTuple

from vslib.clock import process_uptime_ms

_ESCAPE = re.compile(r"%(-?)(0?)(\d*)(?:([dD])\{([^}]*)\}|(.))", re.DOTALL)
_ISO = "%Y-%m-%d %H:%M:%S"


class Facts(NamedTuple):
    """What a line may say about one message."""

    program: str
    module: str
    level: str
    priority: int  # RFC 5424 PRI
    text: str
    serial: int
    wall_ms: int
    pid: int
    thread: str  # empty for the main thread


Part = str | Callable[[Facts], str]


def _uptime(_: Facts) -> str:
    return str(process_uptime_ms())


# Escape -> how it expands; %d and %D with a format are made by _date.
ESCAPES: dict[str, Callable[[Facts], str]] = {
    "A": lambda facts: facts.program,
    "B": lambda facts: str(facts.priority),
    "c": lambda facts: facts.module,
    "d": lambda facts: format_time(_ISO, facts.wall_ms, utc=False),
    "D": lambda facts: format_time(_ISO, facts.wall_ms, utc=True),
    "E": lambda facts: socket.gethostname(),
    "m": lambda facts: facts.text,
    "N": lambda facts: str(facts.serial),
    "n": lambda facts: "\n",
    "p": lambda facts: facts.level,
    "P": lambda facts: str(facts.pid),
    "r": _uptime,
    "t": lambda facts: facts.thread or "main",
    "T": lambda facts: f"({facts.thread})" if facts.thread else "",
    "%": lambda facts: "%",
}


def format_time(template: str, wall_ms: int, utc: bool) -> str:
    """Return the time ``wall_ms`` (ms since 1970 UTC) by strftime; a run of ``#`` becomes fractions of a second."""
    seconds, ms = divmod(wall_ms, 1000)
    text = time.strftime(template, time.gmtime(seconds) if utc else time.localtime(seconds))
    return re.sub("#+", lambda run: f"{ms:03d}"[: len(run[0])].ljust(len(run[0]), "0"), text)


def _date(template: str, utc: bool) -> Callable[[Facts], str]:
    return lambda facts: format_time(template, facts.wall_ms, utc)


def _padded(expand: Callable[[Facts], str], left: bool, zeros: bool, width: int) -> Callable[[Facts], str]:
    fill = "0" if zeros else " "
    if left:
        return lambda facts: expand(facts).ljust(width, fill)
    return lambda facts: expand(facts).rjust(width, fill)


def compile_pattern(pattern: str) -> list[Part]:
    """Return the parts of ``pattern``; an unknown escape stands for itself, as a pattern must never fail."""
    parts: list[Part] = []
    end = 0
    for found in _ESCAPE.finditer(pattern):
        parts.append(pattern[end : found.start()])
        end = found.end()
        left, zeros, width, date, template, letter = found.groups()
        expand = _date(template, date == "D") if date else ESCAPES.get(letter)
        if expand is None:
            parts.append(found[0])
        else:
            parts.append(_padded(expand, bool(left), bool(zeros), int(width)) if width else expand)
    parts.append(pattern[end:])
    return [part for part in parts if part]


def render(parts: list[Part], facts: Facts) -> str:
    """Return the line of ``facts``."""
    return "".join(part if isinstance(part, str) else part(facts) for part in parts)
