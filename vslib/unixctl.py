"""Management commands over a unix socket, as ``ovs-appctl`` speaks it: string arguments, a string back (MG.01).

``Registry`` maps names to functions, ``Server`` serves one on ``$OVS_RUNDIR/<name>.<pid>.ctl``; ``call`` is a client
(``unixctl_client`` has those that need no event loop). Commands of every daemon (version, vlog, coverage, memory) are
in each registry. After ``set-options --format json`` a connection gets JSON values, as from Open vSwitch 3.4 (AP.04).
Thread rule: the loop's thread only.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from vslib import coverage, dirs, getopt_long, jsonrpc, memory, stream, version, vlog
from vslib.errors import ConfigError, PeerError, SwitchError
from vslib.unixctl_client import CommandError, call_sync, find

__all__ = ["COMMANDS", "Command", "CommandError", "Registry", "Server", "call", "call_sync", "find", "register"]

UNLIMITED = 1 << 30
MAX_REQUEST_BYTES = 16 << 20

log = vlog.get("unixctl")
_received = coverage.counter("unixctl_received")
_replied = coverage.counter("unixctl_replied")

SET_OPTIONS = "set-options"
FORMATS = ("text", "json")

Fn = Callable[[list[str]], str | Awaitable[str]]
JsonFn = Callable[[list[str]], Any]


class Command(NamedTuple):
    """One row of a registry; ``usage`` None keeps it out of ``list-commands``."""

    name: str
    usage: str | None
    min_args: int
    max_args: int
    fn: Fn
    json_fn: JsonFn | None = None  # the same as a JSON value; without it the text is wrapped


class Caller:
    """What a connection has asked for."""

    def __init__(self) -> None:
        self.json = False


class Registry:
    """The commands of one daemon (or of one embedded switch)."""

    def __init__(self, program: str = "ovs-vswitchd") -> None:
        self.program = program
        self.commands: dict[str, Command] = {}
        for command in _built_ins(self):
            self.commands[command.name] = command

    def register(
        self, name: str, usage: str | None, min_args: int, max_args: int, fn: Fn, json_fn: JsonFn | None = None
    ) -> None:
        """Add the command ``name``; ``fn(args)`` returns the reply, at once or as a coroutine.

        ``json_fn`` returns the same as a JSON value, or a coroutine of it. Both raise CommandError (or another
        SwitchError) to fail. A later command of the same name replaces it.
        """
        self.commands[name] = Command(name, usage, min_args, max_args, fn, json_fn)

    def unregister(self, name: str) -> None:
        """Remove the command ``name``; harmless if there is none."""
        self.commands.pop(name, None)

    async def run(self, name: str, args: list[str], caller: Caller | None = None) -> Any:
        """Return the reply of one command: its text or, for a caller that wants JSON, a JSON value.

        Raises CommandError with the text for the client.
        """
        command = self._checked(name, args)
        caller = caller or Caller()
        try:
            if name == SET_OPTIONS:
                _set_options(caller, args)
            structured = command.json_fn if caller.json else None
            result = (structured or command.fn)(args)
            reply = await result if isinstance(result, Awaitable) else result
        except SwitchError as error:
            raise CommandError(str(error)) from error
        except Exception as error:  # a bug in one command must not end the daemon
            log.exception("command %s failed", name)
            raise CommandError(f'"{name}" failed: internal error: {error!r}') from error
        return {"reply": _line(reply), "reply-format": "plain"} if caller.json and structured is None else reply

    def _checked(self, name: str, args: list[str]) -> Command:
        command = self.commands.get(name)
        if command is None:
            raise CommandError(
                f'"{name}" is not a valid command (use "list-commands" to see a list of valid commands)'
            )
        if len(args) < command.min_args:
            raise CommandError(f'"{name}" command requires at least {command.min_args} arguments')
        if len(args) > command.max_args:
            raise CommandError(f'"{name}" command takes at most {command.max_args} arguments')
        if not all(isinstance(arg, str) for arg in args):
            raise CommandError(f'"{name}" command has non-string argument')
        return command

    def usages(self) -> dict[str, str]:
        """Return the commands that ``list-commands`` shows, sorted, with their arguments."""
        return {name: row.usage for name, row in sorted(self.commands.items()) if row.usage is not None}

    def list_commands(self) -> str:
        """Return the text of ``list-commands``."""
        lines = [f"  {name:<23} {usage}" for name, usage in self.usages().items()]
        return "\n".join(["The available commands are:", *lines]) + "\n"


def _set_options(caller: Caller, args: list[str]) -> None:
    """Act on the options that a client sets for its connection; raises ConfigError for one that is wrong."""
    found, rest = getopt_long.parse(args, {"format": getopt_long.REQUIRED}, {})
    if rest:
        raise ConfigError(f'"{SET_OPTIONS}" takes no argument "{rest[0]}"')
    for name, value in found:
        if value not in FORMATS:
            raise ConfigError(f"option {name} has invalid value {value}")
        caller.json = value == "json"


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
        Command("list-commands", "", 0, 0, lambda _: registry.list_commands(), lambda _: registry.usages()),
        Command("help", None, 0, 0, lambda _: registry.list_commands()),
        Command("version", "", 0, 0, lambda _: version.version_text(registry.program)),
        Command(SET_OPTIONS, "[--format text|json]", 1, 2, lambda _: ""),  # run() acts on the connection
        Command("vlog/set", "{spec | PATTERN:destination:pattern}", 0, UNLIMITED, vlog_set),
        Command("vlog/list", "", 0, 0, lambda _: vlog.list_levels(), lambda _: vlog.levels()),
        Command("vlog/list-pattern", "", 0, 0, lambda _: vlog.list_patterns()),
        Command("vlog/reopen", "", 0, 0, reopen),
        Command("vlog/close", "", 0, 0, close),
        Command("vlog/enable-rate-limit", "[module]...", 0, UNLIMITED, limit(True)),
        Command("vlog/disable-rate-limit", "[module]...", 0, UNLIMITED, limit(False)),
        Command("coverage/show", "", 0, 0, lambda _: coverage.show(), lambda _: coverage.rows()),
        Command("coverage/read-counter", "COUNTER", 1, 1, lambda args: str(coverage.read_counter(args[0]))),
        Command("memory/show", "", 0, 0, lambda _: memory.show(), lambda _: memory.counts()),
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
        self._callers: dict[jsonrpc.Session, Caller] = {}

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
            on_close=self._forget,
            answer_echo=False,
        )
        self._callers[session] = Caller()
        session.start()

    def _forget(self, session: jsonrpc.Session) -> None:
        self._callers.pop(session, None)

    async def _handle(self, session: jsonrpc.Session, message: jsonrpc.Message) -> None:
        if message.kind != jsonrpc.REQUEST:
            raise PeerError(f"unexpected {message.kind} on a management connection")
        _received.inc()
        log.dbg("received request %s%s, id=%s", message.method, message.params, message.id)
        try:
            reply = await self.registry.run(message.method, message.params, self._callers.get(session))
            session.reply(message.id, _line(reply) if isinstance(reply, str) else reply)
        except CommandError as error:
            session.reply_error(message.id, _line(str(error)))
        _replied.inc()

    async def close(self) -> None:
        """Stop listening, remove the socket and end the connections once their replies are sent."""
        if self._listener is not None:
            await self._listener.close()
            self._listener = None
        for session in list(self._callers):
            session.close("server is ending")


def _line(text: str) -> str:
    """Return ``text`` ending in a newline, as clients print it raw."""
    return text if not text or text.endswith("\n") else text + "\n"


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


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)
