"""Logging the way Open vSwitch's operators know it: modules, destinations, levels, patterns, rate limits (MG.08).

Modules are loggers of the standard library below ``vlog``, so that a program which embeds the switch sees them with
its own handlers. The three destinations are closed until the daemon opens them (``open_console``, ``set_log_file``,
``open_syslog``); their levels are kept here per module and changed by ``set_levels`` in the words of ``vlog/set``.
Thread rule: logging from any thread, changing levels and files from the control thread.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from vslib import vlog_pattern
from vslib.clock import CLOCK
from vslib.errors import ConfigError

# Name, the standard library's number, syslog severity (RFC 5424); OFF is above every message.
LEVELS = {
    "OFF": (60, 0),
    "EMER": (50, 1),
    "ERR": (40, 3),
    "WARN": (30, 4),
    "INFO": (20, 6),
    "DBG": (10, 7),
}
LEVEL_NAMES = {number: name for name, (number, _) in LEVELS.items()}
OFF, EMER, ERR, WARN, INFO, DBG = (number for number, _ in LEVELS.values())

DESTINATIONS = ("syslog", "console", "file")
# Numbers of RFC 5424, section 6.2.1; 10 has no name here because vlog never had one for it.
FACILITIES = {
    "kern": 0, "user": 1, "mail": 2, "daemon": 3, "auth": 4, "syslog": 5, "lpr": 6, "news": 7, "uucp": 8, "clock": 9,
    "ftp": 11, "ntp": 12, "audit": 13, "alert": 14, "clock2": 15, "local0": 16, "local1": 17, "local2": 18,
    "local3": 19, "local4": 20, "local5": 21, "local6": 22, "local7": 23,
}  # fmt: skip
DEFAULT_PATTERNS = {
    "syslog": "ovs|%05N|%c%T|%p|%m",
    "console": "%D{%Y-%m-%dT%H:%M:%SZ}|%05N|%c%T|%p|%m",
    "file": "%D{%Y-%m-%dT%H:%M:%S.###Z}|%05N|%c%T|%p|%m",
}
SYSLOG_PREFIX = "<%B> %D{%h %e %T} %E %A:"
DEVICE_LOG = "/dev/log"
ROOT = "vlog"


class RateLimit:
    """A token bucket: ``rate`` messages a minute, up to ``burst`` at once; what it drops is counted and reported."""

    __slots__ = ("_burst", "_dropped", "_filled_ms", "_first_ms", "_last_ms", "_rate", "_tokens")

    def __init__(self, rate: int, burst: int) -> None:
        self._rate = rate
        self._burst = burst * 60_000  # a token is one message-millisecond of a minute
        self._tokens = self._burst
        self._filled_ms: int | None = None
        self._dropped = 0
        self._first_ms = 0
        self._last_ms = 0

    def drop(self) -> bool:
        """Take a token; return True, and count the message, if there was none."""
        now_ms = CLOCK.now_ms()
        if self._filled_ms is not None:
            self._tokens = min(self._burst, self._tokens + (now_ms - self._filled_ms) * self._rate)
        self._filled_ms = now_ms
        if self._tokens < 60_000:
            if not self._dropped:
                self._first_ms = now_ms
            self._last_ms = now_ms
            self._dropped += 1
            return True
        self._tokens -= 60_000
        return False

    def report(self) -> str | None:
        """Return the sentence on what was dropped since the last report, None if nothing was."""
        if not self._dropped:
            return None
        now_ms = CLOCK.now_ms()
        text = (
            f"Dropped {self._dropped} log messages in last {(now_ms - self._first_ms) // 1000} seconds (most recently,"
            f" {(now_ms - self._last_ms) // 1000} seconds ago) due to excessive rate"
        )
        self._dropped = 0
        return text


class Module:
    """The log of one module; the methods take %-style arguments and, by ``rl``, a rate limit."""

    __slots__ = ("levels", "logger", "name", "rate_limited")

    def __init__(self, name: str) -> None:
        self.name = name
        self.logger = logging.getLogger(f"{ROOT}.{name}")
        self.levels = dict(_default_levels)
        self.rate_limited = True
        self.update()

    def update(self) -> None:
        """Let the logger pass what at least one destination wants."""
        self.logger.setLevel(min(self.levels.values()))

    def enabled(self, level: int) -> bool:
        """Return whether any destination wants messages of ``level``."""
        return self.logger.isEnabledFor(level)

    def log(self, level: int, text: str, *args: object, rl: RateLimit | None = None) -> None:
        """Log ``text % args`` at ``level``, unless ``rl`` says that there were too many."""
        if not self.logger.isEnabledFor(level):
            return
        if rl is not None and self.rate_limited:
            if rl.drop():
                return
            report = rl.report()
            if report is not None:
                self.logger.log(level, report)
        self.logger.log(level, text, *args)

    def emer(self, text: str, *args: object, rl: RateLimit | None = None) -> None:
        """Log what forces the process to end."""
        self.log(EMER, text, *args, rl=rl)

    def err(self, text: str, *args: object, rl: RateLimit | None = None) -> None:
        """Log a high-level failure."""
        self.log(ERR, text, *args, rl=rl)

    def warn(self, text: str, *args: object, rl: RateLimit | None = None) -> None:
        """Log a low-level failure that higher layers may cure."""
        self.log(WARN, text, *args, rl=rl)

    def info(self, text: str, *args: object, rl: RateLimit | None = None) -> None:
        """Log something that a look back at the day would want to see."""
        self.log(INFO, text, *args, rl=rl)

    def dbg(self, text: str, *args: object, rl: RateLimit | None = None) -> None:
        """Log what only debugging wants."""
        self.log(DBG, text, *args, rl=rl)

    def exception(self, text: str, *args: object) -> None:
        """Log ``text`` and the traceback of the exception being handled, at ERR."""
        self.logger.error(text, *args, exc_info=True)


class _Destination(logging.Handler):
    """One destination: drops what its module's level excludes, formats by its pattern, writes a line."""

    def __init__(self, name: str, write: Callable[[str], None]) -> None:
        super().__init__()
        self.destination = name
        self.write = write

    def handle(self, record: logging.LogRecord) -> bool:
        module = record.name.rpartition(".")[2]
        known = _modules.get(module)
        wanted = (known.levels if known is not None else _default_levels)[self.destination]
        return record.levelno >= wanted and bool(super().handle(record))

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError, ValueError):  # a full disk or a closed terminal must not stop the switch
            self.write(_line(self.destination, record))


class _Numbering(logging.Filter):
    """Gives each record its serial number and clock time once, before the first destination formats it."""

    def filter(self, record: logging.LogRecord) -> bool:
        global _serial
        with _lock:
            _serial += 1
            record.vlog_serial = _serial
        record.vlog_ms = CLOCK.wall_ms()
        return True


_lock = threading.Lock()
_serial = 0
_default_levels = {"syslog": INFO, "console": INFO, "file": INFO}
_modules: dict[str, Module] = {}
_handlers: dict[str, _Destination] = {}
_patterns = {name: vlog_pattern.compile_pattern(text) for name, text in DEFAULT_PATTERNS.items()}
_pattern_texts = dict(DEFAULT_PATTERNS)
_prefix = vlog_pattern.compile_pattern(SYSLOG_PREFIX + " ")
_facility = FACILITIES["daemon"]
_log_file: _LogFile | None = None
_numbering = _Numbering()
logging.getLogger(ROOT).addHandler(logging.NullHandler())  # embedded: silent unless the program logs
program = "ovs-vswitchd"  # %A, set by set_program


def get(name: str) -> Module:
    """Return the module called ``name``, made on first use; names are compared without case, ``-`` counts as ``_``."""
    key = name.lower().replace("-", "_")
    module = _modules.get(key)
    if module is None:
        module = _modules[key] = Module(key)
        module.logger.addFilter(_numbering)
    return module


def set_program(name: str) -> None:
    """Set the program's name, as patterns print it (%A)."""
    global program
    program = name


def _line(destination: str, record: logging.LogRecord) -> str:
    """Return the record as the destination's pattern wants it, with its traceback on lines of their own."""
    text = record.getMessage()
    if record.exc_info:
        text += "\n" + logging.Formatter().formatException(record.exc_info)
    level = LEVEL_NAMES.get(record.levelno, record.levelname)
    facts = vlog_pattern.Facts(
        program=program,
        module=record.name.rpartition(".")[2],
        level=level,
        priority=_facility * 8 + LEVELS.get(level, (0, 6))[1],
        text=text,
        serial=getattr(record, "vlog_serial", 0),
        wall_ms=getattr(record, "vlog_ms", 0),
        pid=record.process or 0,
        thread="" if record.threadName == "MainThread" else (record.threadName or ""),
    )
    prefix = vlog_pattern.render(_prefix, facts) if destination == "syslog" else ""
    return prefix + vlog_pattern.render(_patterns[destination], facts)


def _open(name: str, write: Callable[[str], None]) -> None:
    _close(name)
    handler = _handlers[name] = _Destination(name, write)
    logging.getLogger(ROOT).addHandler(handler)


def _close(name: str) -> None:
    handler = _handlers.pop(name, None)
    if handler is not None:
        logging.getLogger(ROOT).removeHandler(handler)


def open_console() -> None:
    """Send lines to standard error from now on."""

    def write(line: str) -> None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    _open("console", write)


def close_console() -> None:
    """Send no more lines to standard error."""
    _close("console")


def open_syslog(method: str = "libc") -> None:
    """Send lines to a syslog daemon by datagrams; those that it cannot take at once are lost.

    ``method`` is that of --syslog-method: libc (``/dev/log``), unix:FILE, udp:HOST:PORT, null. Raises ConfigError.
    """
    kind, _, where = method.partition(":")
    if kind == "udp":
        family, address = _udp_address(where)
    elif method == "libc" or (kind == "unix" and where):
        family, address = socket.AF_UNIX, where or DEVICE_LOG
    elif method == "null":
        _close("syslog")
        return
    else:
        raise ConfigError(f"unsupported syslog method '{method}'")
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)

    def write(line: str) -> None:
        sock.sendto(line.encode("utf-8", "replace")[:8192], address)

    _open("syslog", write)


def _udp_address(where: str) -> tuple[socket.AddressFamily, Any]:
    host, _, port = where.rpartition(":")
    try:
        [(family, _, _, _, address), *_] = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"syslog: {where} is not HOST:PORT of a reachable daemon ({error})") from error
    return family, address


def close_syslog() -> None:
    """Send no more lines to syslog."""
    _close("syslog")


class _LogFile:
    """The log file: whole lines appended by one write each, so that several processes may share it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = -1
        self.open()

    def open(self) -> None:
        try:
            fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise ConfigError(f"failed to open {self.path} for logging: {error.strerror}") from error
        self.close()
        self.fd = fd

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    def write(self, line: str) -> None:
        if self.fd >= 0:
            os.write(self.fd, line.encode("utf-8", "replace") + b"\n")


def set_log_file(path: str) -> None:
    """Log to ``path`` from now on; raises ConfigError if it cannot be opened (the old file stays then)."""
    global _log_file
    previous, _log_file = _log_file, _LogFile(path)
    if previous is not None:
        previous.close()
    _open("file", _log_file.write)
    get("vlog").info("opened log file %s", path)


def log_file() -> str | None:
    """Return the path of the log file, None if there is none."""
    return _log_file.path if _log_file is not None else None


def reopen_log_file() -> None:
    """Close and open the log file (MG.07, after rotation); does nothing without one, raises ConfigError on failure."""
    if _log_file is None:
        return
    if _log_file.fd >= 0:
        get("vlog").info("closing log file")
    _log_file.open()
    get("vlog").info("opened log file %s", _log_file.path)


def close_log_file() -> None:
    """Close the log file; ``reopen_log_file`` opens it again."""
    if _log_file is not None:
        get("vlog").info("closing log file")
        _log_file.close()


def set_levels(spec: str) -> None:
    """Apply one argument of ``vlog/set``: a spec in any order, ``PATTERN:dest:pattern`` or ``FACILITY:name``.

    Raises ConfigError with the text of ``ovs-appctl vlog/set``.
    """
    words = re.split(r"[ ,:\t]+", spec.strip(" ,:\t"))
    keyword = words[0].upper()
    if keyword == "PATTERN":
        _set_pattern(spec)
    elif keyword == "FACILITY":
        set_facility(words[1] if len(words) > 1 else "")
    else:
        _apply(*_parse(words if words != [""] else []))


def _parse(words: Iterable[str]) -> tuple[str | None, int, Module | None]:
    """Return destination (None: all), level and module (None: all) that the words of a spec name."""
    found: dict[str, str] = {}
    for word in words:
        kind = _kind(word)
        if kind == "any":
            continue
        if kind is None:
            raise ConfigError(f'no destination, level, or module "{word}"')
        if kind in found:
            raise ConfigError(f"cannot specify multiple {kind}s")
        found[kind] = word.lower()
    level = LEVELS[found.get("level", "dbg").upper()][0]
    return found.get("destination"), level, _modules[found["module"]] if "module" in found else None


def _kind(word: str) -> str | None:
    known = {"any": ("any",), "destination": DESTINATIONS, "level": [name.lower() for name in LEVELS]}
    kinds = [kind for kind, names in known.items() if word.lower() in names]
    return kinds[0] if kinds else "module" if word.lower() in _modules else None


def _apply(destination: str | None, level: int, module: Module | None) -> None:
    destinations = [destination] if destination else list(DESTINATIONS)
    if module is None:
        _default_levels.update(dict.fromkeys(destinations, level))
    for each in [module] if module is not None else list(_modules.values()):
        each.levels.update(dict.fromkeys(destinations, level))
        each.update()


def set_default_levels(**levels: int) -> None:
    """Set levels of destinations for all modules: ``set_default_levels(console=OFF)``."""
    for destination, level in levels.items():
        _apply(destination, level, None)


def _set_pattern(spec: str) -> None:
    found = re.match(r"[ ,:\t]*\w+[ ,:\t]*([^ ,:\t]*)[ ,:\t]?(.*)", spec, re.DOTALL)
    destination, pattern = found.groups() if found else ("", "")
    if not destination:
        raise ConfigError("missing destination")
    if destination.lower() not in (*DESTINATIONS, "any"):
        raise ConfigError(f'unknown destination "{destination}"')
    for each in DESTINATIONS if destination.lower() == "any" else [destination.lower()]:
        _patterns[each] = vlog_pattern.compile_pattern(pattern)
        _pattern_texts[each] = pattern


def set_facility(name: str) -> None:
    """Set the syslog facility; raises ConfigError for an unknown name."""
    global _facility
    if name.lower() not in FACILITIES:
        raise ConfigError("invalid facility")
    _facility = FACILITIES[name.lower()]


def levels() -> list[dict[str, str]]:
    """Return the level of each module at each destination, sorted by module."""
    return [
        {"module": name} | {each: LEVEL_NAMES[_modules[name].levels[each]] for each in ("console", "syslog", "file")}
        for name in sorted(_modules)
    ]


def list_levels() -> str:
    """Return the table of ``vlog/list``."""
    lines = ["                 console    syslog    file", "                 -------    ------    ------"]
    for row in levels():
        lines.append(f"{row['module']:<16}  {row['console']:>4}       {row['syslog']:>4}       {row['file']:>4}")
    return "\n".join(lines) + "\n"


def list_patterns() -> str:
    """Return the table of ``vlog/list-pattern``."""
    lines = ["         prefix                            format", "         ------                            ------"]
    for name in DESTINATIONS:
        prefix = SYSLOG_PREFIX if name == "syslog" else "none"
        lines.append(f"{name.upper():<7}  {prefix:<32}  {_pattern_texts[name]}")
    return "\n".join(lines) + "\n"


def set_rate_limited(on: bool, names: Iterable[str]) -> None:
    """Switch rate limits on or off for the modules named (none or ``any``: all); raises ConfigError if unknown."""
    chosen = [name.lower() for name in names if name.lower() != "any"]
    for name in chosen:
        if name not in _modules:
            raise ConfigError("unknown module")
    for name in chosen or list(_modules):
        _modules[name].rate_limited = on
