"""Management commands from the client's side, for programs of one command: finds a daemon, asks, waits (TL.03, AP.04).

Imports in 3 ms; the server and the client for event loops are in ``unixctl``.
"""

from __future__ import annotations

import errno
import os

from vslib import dirs
from vslib.blocking import Disconnected, JsonConnection, ReplyError, connect_unix
from vslib.errors import ConfigError, PeerError, SwitchError

TYPE_CHECKING = False  # importing typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

DEFAULT_TARGET = "ovs-vswitchd"


class CommandError(SwitchError):
    """A command failed; its text is the error that the client prints."""


def find(target: str) -> str:
    """Return the socket path of ``target``, a path or a daemon's name; raises ConfigError if it does not run."""
    if "/" in target:
        return target
    from vslib import pidfile

    path = pidfile.path_of(target)
    try:
        pid = pidfile.read(path)
    except ConfigError as error:
        cause = error.__cause__
        # Whoever wrote a stale file is gone; that is what Open vSwitch answers then.
        reason = cause.strerror if isinstance(cause, OSError) else os.strerror(errno.ESRCH)
        raise ConfigError(f'cannot read pidfile "{path}" ({reason})') from error
    return os.path.join(dirs.rundir(), f"{target}.{pid}.ctl")


class Client:
    """A connection to one daemon's management socket; use it in a ``with`` statement."""

    def __init__(self, target: str, timeout_s: float | None = None) -> None:
        """Connect to ``target``, a path or a daemon's name; ``timeout_s`` limits each wait.

        Raises ConfigError if nobody serves there.
        """
        self.target = target
        path = find(target)
        try:
            self._rpc = JsonConnection(connect_unix(path, timeout_s))
        except OSError as error:
            raise ConfigError(f'cannot connect to "{path}" ({error.strerror or error})') from error

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._rpc.close()

    def run(self, command: str, args: Sequence[str]) -> Any:
        """Return the reply, a string or, after ``set-options --format json``, any JSON value.

        Raises CommandError with the daemon's error, ConfigError if it hung up or does not answer in time, and
        PeerError for an answer that is no JSON-RPC.
        """
        try:
            return self._rpc.request(command, list(args))
        except ReplyError as error:
            raise CommandError(str(error).rstrip("\n")) from error
        except Disconnected as error:
            raise ConfigError(f"{self.target}: transaction error ({error.reason})") from error
        except PeerError as error:
            raise PeerError(f"{self.target}: transaction error ({error})") from error


def call_sync(target: str, command: str, *args: str, timeout_s: float | None = 30.0) -> str:
    """Return the text that ``command`` replies at a daemon (name or socket path); ``timeout_s`` limits each wait.

    Raises as ``Client`` and ``Client.run``.
    """
    with Client(target, timeout_s) as client:
        return str(client.run(command, args))
