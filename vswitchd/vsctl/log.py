"""Logging of a command line: warnings on standard error, the command itself to syslog, the rest only if asked for.

`vslib.vlog` takes 50 ms to import, so it is loaded for the first warning, or when an option asks for a log.
"""

from __future__ import annotations

import os

from vslib.errors import ConfigError

TYPE_CHECKING = False  # importing typing costs 8 ms
if TYPE_CHECKING:
    from vswitchd.vsctl.options import Options


MODULES = ("vsctl", "db_ctl_base", "ovsdb_idl")  # what a level may be set for


class Log:
    """Where messages of one run go."""

    def __init__(self, program: str, options: Options) -> None:
        self._program, self._options = program, options
        self._called = ""  # the message about the command itself, which has the first serial number
        self._syslog_done = self._ready = False
        self._said: set[str] = set()
        if options.full_logging:
            self._open()

    def called(self, words: list[str], *, writes: bool) -> None:
        """Note the command line; syslog hears of one that may change the database."""
        text = "Called as " + " ".join([self._program, *map(_escaped, words)])
        if self._options.full_logging:
            from vslib import vlog

            module = vlog.get("vsctl")
            (module.info if writes else module.dbg)("%s", text)
        elif writes:
            self._called = text
            if self._options.syslog:
                self._to_syslog(text)

    def warn(self, module: str, text: str) -> None:
        """Print a warning, once."""
        if text in self._said:
            return
        self._said.add(text)
        self._open()
        from vslib import vlog

        vlog.get(module).warn("%s", text)

    def failed(self, text: str) -> None:
        """Log what ends the program; standard error has it in other words."""
        if self._options.full_logging:
            from vslib import vlog

            vlog.set_default_levels(console=vlog.OFF)
            vlog.get("vsctl").err("%s", text)

    def _to_syslog(self, text: str) -> None:
        import syslog

        syslog.openlog(self._program, 0, syslog.LOG_DAEMON)
        syslog.syslog(syslog.LOG_INFO, f"ovs|00001|vsctl|INFO|{text}")

    def _open(self) -> None:
        if self._ready:
            return
        self._ready = True
        from vslib import vlog

        options = self._options
        vlog.set_program(self._program)
        vlog.set_default_levels(console=vlog.WARN)
        vlog.open_console()
        if self._called:
            vlog.get("vsctl").info("%s", self._called)  # counts; only syslog has it, and got it above
            return
        if options.syslog:
            vlog.open_syslog(options.syslog_method or "libc")
        for spec in options.verbose:
            _set_levels(spec)
        if options.log_file is not None:
            from vslib.dirs import logdir

            vlog.set_log_file(options.log_file or os.path.join(logdir(), f"{self._program}.log"))


def _set_levels(spec: str) -> None:
    from vslib import vlog

    for name in MODULES:
        vlog.get(name)
    try:
        vlog.set_levels(spec or "any:any:dbg")
    except ConfigError as error:
        raise ConfigError(f'processing "{spec}": {error}') from None


def _escaped(word: str) -> str:
    """Return a word as a shell would need it."""
    if word and all(letter.isalnum() or letter in "_-/.:=,@%+" for letter in word):
        return word
    from vswitchd.vsctl.values import quoted

    return quoted(word)


def command_line(program: str, words: list[str]) -> str:
    """Return the command line for the database's log."""
    return " ".join([f"{program}: {program}", *map(_escaped, words)])
