"""Management commands over a unix socket, as ``ovs-appctl`` speaks it: string arguments, a string back (MG.01).

``Registry`` maps names to functions, ``Server`` serves one on ``$OVS_RUNDIR/<name>.<pid>.ctl``; ``call`` and
``call_sync`` are clients. Commands of every daemon (version, vlog, coverage, memory) are in each registry.
Thread rule: the loop's thread only.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from vslib import coverage, dirs, jsonrpc, memory, pidfile, stream, stream_unix, version, vlog
from vslib.errors import ConfigError, PeerError, SwitchError

UNLIMITED = 1 << 30
MAX_REQUEST_BYTES = 16 << 20

log = vlog.get("unixctl")
_received = coverage.counter("unixctl_received")
_replied = coverage.counter("unixctl_replied")

Fn = Callable[[list[str]], str | Awaitable[str]]


class CommandError(SwitchError):
    """A command failed; its text is the error that the client prints."""


class Command(NamedTuple):
    """One row of a registry; ``usage`` None keeps it out of ``list-commands``."""

    name: str
    usage: str | None
    min_args: int
    max_args: int
    fn: Fn


class Registry:
    """The commands of one daemon (or of one embedded switch)."""

    def __init__(self, program: str = "ovs-vswitchd") -> None:
        self.program = program
        self.commands: dict[str, Command] = {}
        for command in _built_ins(self):
            self.commands[command.name] = command

    def register(self, name: str, usage: str | None, min_args: int, max_args: int, fn: Fn) -> None:
        """Add the command ``name``; ``fn(args)`` returns the reply, at once or as a coroutine.

        ``fn`` raises CommandError (or another SwitchError) to fail. A later command of the same name replaces it.
        """
        self.commands[name] = Command(name, usage, min_args, max_args, fn)

    def unregister(self, name: str) -> None:
        """Remove the command ``name``; harmless if there is none."""
        self.commands.pop(name, None)

    async def run(self, name: str, args: list[str]) -> str:
        """Return the reply of one command; raises CommandError with the text for the client."""
        command = self.commands.get(name)
        if command is None:
            raise CommandError(
                f'"{name}" is not a valid command (use "list-commands" to see a list of valid commands)'
            )
        if len(args) < command.min_args:
            raise CommandError(f'"{name}" command requires at least {command.min_args} arguments')
        if len(args) > command.max_args:
            raise CommandError(f'"{name}" command takes at most {command.max_args} arguments')
        try:
            result = command.fn(args)
            return result if isinstance(result, str) else await result
        except SwitchError as error:
            raise CommandError(str(error)) from error
        except Exception as error:  # a bug in one command must not end the daemon
            log.exception("command %s failed", name)
            raise CommandError(f'"{name}" failed: internal error: {error!r}') from error

    def list_commands(self) -> str:
        """Return the text of ``list-commands``."""
        lines = ["The available commands are:"]
        for name in sorted(self.commands):
            usage = self.commands[name].usage
            if usage is not None:
                lines.append(f"  {name:<23} {usage}")
        return "\n".join(lines) + "\n"


def _built_ins(registry: Registry) -> list[Command]:
    """Return the commands that every daemon has."""

    def vlog_set(args: list[str]) -> str:
        for spec in args or ["dbg"]:
            vlog.set_levels(spec)
        return ""

    def reopen(_: list[str]) -> str:
        if vlog.log_file() is None:
            raise CommandError("Logging to file not configured")
        vlog.reopen_log_file()
        return ""

    def close(_: list[str]) -> str:
        vlog.close_log_file()
        return ""

    def limit(on: bool) -> Fn:
        def apply(args: list[str]) -> str:
            vlog.set_rate_limited(on, args)
            return ""

        return apply

    return [
        Command("list-commands", "", 0, 0, lambda _: registry.list_commands()),
        Command("help", None, 0, 0, lambda _: registry.list_commands()),
        Command("version", "", 0, 0, lambda _: version.version_text(registry.program)),
        Command("vlog/set", "{spec | PATTERN:destination:pattern}", 0, UNLIMITED, vlog_set),
        Command("vlog/list", "", 0, 0, lambda _: vlog.list_levels()),
        Command("vlog/list-pattern", "", 0, 0, lambda _: vlog.list_patterns()),
        Command("vlog/reopen", "", 0, 0, reopen),
        Command("vlog/close", "", 0, 0, close),
        Command("vlog/enable-rate-limit", "[module]...", 0, UNLIMITED, limit(True)),
        Command("vlog/disable-rate-limit", "[module]...", 0, UNLIMITED, limit(False)),
        Command("coverage/show", "", 0, 0, lambda _: coverage.show()),
        Command("coverage/read-counter", "COUNTER", 1, 1, lambda args: str(coverage.read_counter(args[0]))),
        Command("memory/show", "", 0, 0, lambda _: memory.show()),
    ]


COMMANDS = Registry()
register = COMMANDS.register


class Server:
    """Serves a registry on one unix socket."""

    def __init__(self, name: str = "ovs-vswitchd", registry: Registry | None = None) -> None:
        self.name = name
        self.registry = registry if registry is not None else COMMANDS
        self.path = ""
        self._listener: stream.Listener | None = None
        self._sessions: set[jsonrpc.Session] = set()

    async def start(self, path: str | None = None) -> str:
        """Listen at ``path`` (relative: in the run directory; default NAME.PID.ctl there) and return the full path.

        Raises ConfigError if that is not possible.
        """
        self.path = dirs.abs_file(dirs.rundir(), path or f"{self.name}.{os.getpid()}.ctl")
        self._listener = await stream.listen(f"punix:{self.path}", None, self._accept)
        return self.path

    def _accept(self, connection: stream.Stream) -> None:
        session = jsonrpc.Session(
            connection,
            self._handle,
            probe_s=0,
            max_message_bytes=MAX_REQUEST_BYTES,
            on_close=self._sessions.discard,
            answer_echo=False,
        )
        self._sessions.add(session)
        session.start()

    async def _handle(self, session: jsonrpc.Session, message: jsonrpc.Message) -> None:
        if message.kind != jsonrpc.REQUEST:
            raise PeerError(f"unexpected {message.kind} on a management connection")
        _received.inc()
        args = message.params
        if not all(isinstance(arg, str) for arg in args):
            session.reply_error(message.id, _line(f'"{message.method}" command arguments must be strings'))
            return
        log.dbg("received request %s%s, id=%s", message.method, args, message.id)
        try:
            session.reply(message.id, _line(await self.registry.run(message.method, args)))
        except CommandError as error:
            session.reply_error(message.id, _line(str(error)))
        _replied.inc()

    async def close(self) -> None:
        """Stop listening, remove the socket and end the connections once their replies are sent."""
        if self._listener is not None:
            await self._listener.close()
            self._listener = None
        for session in list(self._sessions):
            session.close("server is ending")


def _line(text: str) -> str:
    """Return ``text`` ending in a newline, as clients print it raw."""
    return text if not text or text.endswith("\n") else text + "\n"


def find(target: str) -> str:
    """Return the socket path of ``target``, a path or a daemon's name; raises ConfigError if it does not run."""
    if "/" in target:
        return target
    try:
        pid = pidfile.read(pidfile.path_of(target))
    except ConfigError as error:
        raise ConfigError(f'cannot read pidfile of "{target}": {error}') from error
    return os.path.join(dirs.rundir(), f"{target}.{pid}.ctl")


async def call(target: str, command: str, *args: str, timeout_s: float | None = None) -> str:
    """Return the reply of ``command`` at a daemon (name or socket path).

    Raises CommandError with the daemon's error, ConfigError if it cannot be reached.
    """
    path = find(target)
    try:
        connection = await stream.connect(f"unix:{path}")
    except OSError as error:
        raise ConfigError(f'cannot connect to "{path}" ({error.strerror})') from error
    session = jsonrpc.Session(connection, probe_s=0)
    session.start()
    try:
        return str(await session.call(command, list(args), timeout_s))
    except jsonrpc.RpcError as error:
        raise CommandError(_text(error.error).rstrip("\n")) from error
    except jsonrpc.SessionClosed as error:
        raise ConfigError(f"{path}: transaction error ({session.close_reason})") from error
    finally:
        session.close()


def call_sync(target: str, command: str, *args: str, timeout_s: float | None = 30.0) -> str:
    """Do what ``call`` does without an event loop; ``timeout_s`` limits each wait for the socket."""
    path = find(target)
    try:
        with stream_unix.connect_now(path, timeout_s) as sock:
            message = jsonrpc.Message(kind=jsonrpc.REQUEST, method=command, params=list(args), id=0)
            sock.sendall(jsonrpc.encode(message))
            reply = jsonrpc.decode(_receive_one(sock, path))
    except OSError as error:
        raise ConfigError(f'cannot talk to "{path}" ({error.strerror or error})') from error
    if reply.kind == jsonrpc.ERROR:
        raise CommandError(_text(reply.error).rstrip("\n"))
    return _text(reply.result)


def _receive_one(sock: socket.socket, path: str) -> bytes:
    splitter = jsonrpc.Splitter()
    while True:
        chunk = sock.recv(1 << 16)
        if not chunk:
            raise ConfigError(f"{path}: transaction error (connection closed)")
        messages = splitter.feed(chunk)
        if messages:
            return messages[0]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)
