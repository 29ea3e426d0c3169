"""`Switch.vsctl`: the command line of `vsctl` on the database of an embedded switch, in this process.

The commands are those of `vswitchd.vsctl`, unchanged; only their connection is another one. Thread rule: the caller's
thread, the one that owns the Switch.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from typing import Any

from vslib.blocking import ReplyError
from vslib.errors import ConfigError
from vswitchd.vsctl import help as texts
from vswitchd.vsctl import output, table
from vswitchd.vsctl.context import Exit
from vswitchd.vsctl.options import parse
from vswitchd.vsctl.run import Run

PROGRAM = "vsctl"
Ask = Callable[[str, list[Any]], Any]


class MemoryConnection:
    """Stands for `vslib.blocking.JsonConnection`; ask: sends one request and returns its result."""

    def __init__(self, ask: Ask) -> None:
        self.notifications: list[tuple[str, list[Any]]] = []
        self._ask = ask

    def request(self, method: str, params: list[Any]) -> Any:
        """Send a request and return its result; raises ReplyError."""
        return self._ask(method, json.loads(json.dumps(params)))  # plain JSON, as a socket would make it

    def notification(self) -> tuple[str, list[Any]]:
        """Refuse to wait: nobody but the caller changes this database."""
        raise ConfigError("this would wait for ever: nobody else changes an embedded switch's database")

    def close(self) -> None:
        """Nothing to close."""


class MemoryRun(Run):
    """One command line on a connection in memory."""

    def __init__(self, ask: Ask, options: Any, calls: list[table.Call]) -> None:
        super().__init__(PROGRAM, options, calls, Silent())  # type: ignore[arg-type]
        self._memory: Any = MemoryConnection(ask)

    def connection(self, *, patient: bool = False) -> Any:
        """Return the connection."""
        return self._memory

    def _wait_for_switch(self, _txn: Any) -> None:
        """The switch has done it: only tell on standard error of new interfaces that failed."""
        self._report(self._new_ifaces)


class Silent:
    """Stands for `vswitchd.vsctl.log.Log`: an embedded switch's commands go to no log."""

    def warn(self, module: str, text: str) -> None:
        """Nothing."""


def run(ask: Ask, words: list[str]) -> str:
    """Run a command line and return what it prints.

    Raises ConfigError with what it would write to standard error, or with its exit code when it writes nothing.
    """
    out, errors = (io.TextIOWrapper(io.BytesIO(), "utf-8", "surrogateescape") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            _run(ask, words)
        except Exit as end:
            if end.code:
                raise ConfigError(f"{PROGRAM} {' '.join(words)}: exit code {end.code}") from None
        except ReplyError as error:
            raise ConfigError(str(error)) from error
    complaints = errors.buffer.getvalue().decode("utf-8", "surrogateescape")
    if complaints:
        raise ConfigError(complaints.removeprefix(f"{PROGRAM}: ").splitlines()[0])
    printed: str = out.buffer.getvalue().decode("utf-8", "surrogateescape")
    return printed


def _run(ask: Ask, words: list[str]) -> None:
    options = parse(words, output.Style())
    if options.action:
        output.write(texts.TEXTS[options.action](PROGRAM))
        return
    MemoryRun(ask, options, table.split(options.words, options.first)).run()
