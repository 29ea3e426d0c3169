"""Controllers of a bridge, one by one: those that we call, and the sockets on which they and tools call us (CH.03,
CH.04, CH.07).

`Active` keeps one connection to a controller (`tcp: unix: ssl:`) with back-off and probes; `Passive` listens (`ptcp:
punix: pssl:`) for any number of them, each a `Guest`. The management listener is a `Passive` without probes. Thread
rule: the control thread's event loop.
"""

from __future__ import annotations

import abc
import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ofproto.connection import Connection
from ofproto.handlers import ROLE_EQUAL, ROLE_NAMES
from ofproto.packet_in_queue import Limits
from vslib import stream, vlog
from vslib.clock import CLOCK, Handle
from vslib.errors import ConfigError
from vslib.reconnect import Action, Reconnect

if TYPE_CHECKING:
    from ofproto.controllers import Channel

OFP_PORT = 6653
HANDSHAKE_MS = 30_000  # how long a peer that connected to us may take for its HELLO
LISTEN_RETRY_S = 5.0
TIMED_OUT = "Connection timed out"
BUSY_POLL_MS = 100  # how often silence is looked at while a connection is busy and reads nothing
DEFAULT_PROBE_MS = 5000
ADMITTED_AFTER_MS = 30_000

log = vlog.get("connmgr")


@dataclass(frozen=True)
class ControllerConfig:
    """One configured controller; times in ms, probe 0 = never. service: gets no asynchronous messages until it asks
    (CH.09).

    connection_mode ("in-band", "out-of-band") is accepted and has no effect: traffic to controllers never crosses the
    bridge (CH.11).
    """

    target: str
    max_backoff_ms: int = 8000
    inactivity_probe_ms: int = DEFAULT_PROBE_MS
    service: bool = False
    connection_mode: str | None = None
    async_messages: bool = True
    limits: Limits = field(default_factory=Limits)

    def apply(self, connection: Connection, afresh: bool) -> None:
        """Set up a connection as configured; `afresh`: one that has just begun."""
        connection.limit(self.limits)
        if afresh and not self.async_messages:
            connection.silence()


class Peer(abc.ABC):
    """A configured controller, of either kind."""

    def __init__(self, channel: Channel, config: ControllerConfig) -> None:
        self.channel = channel
        self.config = config

    @abc.abstractmethod
    def start(self) -> None:
        """Begin to connect or to listen."""

    @abc.abstractmethod
    def reconfigure(self, config: ControllerConfig) -> None:
        """Take over changed times."""

    @abc.abstractmethod
    async def close(self) -> None:
        """End all connections and timers."""

    @abc.abstractmethod
    def status(self) -> dict[str, Any]:
        """Return the columns of the Controller row."""


def _watch(fsm: Reconnect, config: ControllerConfig) -> None:
    fsm.set_backoff(min(1000, config.max_backoff_ms), config.max_backoff_ms)
    fsm.set_probe_interval(config.inactivity_probe_ms)


class Watched:
    """A connection (or the attempt to make one) under a Reconnect machine, driven by the clock."""

    def __init__(self, name: str) -> None:
        self.fsm = Reconnect(CLOCK.now_ms(), name)
        self.connection: Connection | None = None
        self.busy = False
        self.task: asyncio.Task[None] | None = None
        self._timer: Handle | None = None
        self._actions = {Action.CONNECT: self.connect, Action.PROBE: self.probe, Action.DISCONNECT: self.disconnect}

    def poke(self) -> None:
        """Do what is due and set the timer for what comes next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        action = self.fsm.run(CLOCK.now_ms())
        while action is not None:
            self._actions[action]()
            action = self.fsm.run(CLOCK.now_ms())
        timeout_ms = self.fsm.timeout(CLOCK.now_ms())
        if timeout_ms is not None:
            if self.busy:
                timeout_ms = max(timeout_ms, BUSY_POLL_MS)
            self._timer = CLOCK.call_later(timeout_ms / 1000, self.poke)

    def watch(self, connection: Connection) -> None:
        """Follow what a connection hears; silence counts only while it listens."""
        connection.heard = self.heard
        connection.listening = self.listening
        self.fsm.receive_attempted(None)

    def heard(self) -> None:
        """The peer sent something."""
        if self.fsm.is_connected:
            self.fsm.activity(CLOCK.now_ms())

    def listening(self, reads: bool) -> None:
        """The connection begins to read, or to handle what it read."""
        self.busy = not reads
        self.fsm.receive_attempted(None if reads else CLOCK.now_ms())

    def connect(self) -> None:
        """Start an attempt; a connection that the peer made cannot be made again."""

    def probe(self) -> None:
        """Ask the peer to show that it lives."""
        if self.connection is not None:
            self.connection.probe()

    def disconnect(self) -> None:
        """Drop the connection or attempt."""
        self.drop()
        self.fsm.disconnected(CLOCK.now_ms(), TIMED_OUT if self.fsm.is_connected else "")

    def drop(self) -> None:
        """End the connection or attempt without a word to the machine."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        task, self.task = self.task, None
        if self.connection is not None:
            self.connection.stream.abort()
        if task is not None:
            task.cancel()


class Active(Watched, Peer):
    """A controller that we call."""

    def __init__(self, channel: Channel, config: ControllerConfig) -> None:
        Watched.__init__(self, f"{channel.bridge.name}<->{config.target}")
        Peer.__init__(self, channel, config)
        self.last_error = ""
        self.admitted_ms = CLOCK.now_ms()  # when it was last known to be in charge, at first its birth
        _watch(self.fsm, config)

    @property
    def is_admitted(self) -> bool:
        """Tell whether the controller is connected and in charge (CH.10)."""
        return self.fsm.is_connected and self.connection is not None and self.connection.admitted

    def heard(self) -> None:
        """The controller sent something; one that has been there long enough counts as in charge."""
        super().heard()
        connection, now_ms = self.connection, CLOCK.now_ms()
        if connection is None or not self.fsm.is_connected:
            return
        if not connection.admitted and now_ms - (self.fsm.last_connected_ms or now_ms) >= ADMITTED_AFTER_MS:
            connection.admit()
        if connection.admitted:
            self.admitted_ms = now_ms

    def start(self) -> None:
        """Begin to connect, now and after every loss."""
        self.fsm.enable(CLOCK.now_ms())
        self.poke()

    def reconfigure(self, config: ControllerConfig) -> None:
        """Take over changed times without losing the connection."""
        self.config = config
        if self.connection is not None:
            config.apply(self.connection, afresh=False)
        _watch(self.fsm, config)
        self.poke()

    def connect(self) -> None:
        """Start an attempt in a task of its own, which then runs the connection."""
        self.fsm.connecting(CLOCK.now_ms())
        self.task = asyncio.get_running_loop().create_task(self._attempt())

    def disconnect(self) -> None:
        """Drop the connection or attempt because nothing was heard."""
        self.last_error = TIMED_OUT
        was = self.connection
        super().disconnect()
        self._forget(was)

    async def _attempt(self) -> None:
        mine = asyncio.current_task()
        error = ""
        connection = None
        try:
            carrier = await stream.connect(self.config.target, OFP_PORT)
            connection = self.connection = Connection(
                self.channel, carrier, self.fsm.name, service=self.config.service, on_negotiated=self._negotiated
            )
            self.config.apply(connection, afresh=True)
            connection.on_admitted = self._admitted
            self.watch(connection)
            self.channel.connections.append(connection)
            error = await connection.run()
        except ConfigError as problem:
            error = str(problem)
        except OSError as problem:
            error = problem.strerror or str(problem)
        finally:
            if connection is not None and connection in self.channel.connections:
                self.channel.connections.remove(connection)
        if self.task is mine:
            self.task = None
            self.last_error = error or "End of file"
            self.fsm.disconnected(CLOCK.now_ms(), "" if error == "End of file" else error)
            self._forget(connection)
            self.poke()

    def _negotiated(self) -> None:
        self.fsm.connected(CLOCK.now_ms())
        self.channel.changed()
        self.poke()

    def _admitted(self) -> None:
        self.admitted_ms = CLOCK.now_ms()
        self.channel.changed()

    def _forget(self, connection: Connection | None) -> None:
        self.connection = None
        if connection is not None:
            if connection in self.channel.connections:
                self.channel.connections.remove(connection)
            self.channel.changed()
            self.channel.wishes_changed()

    async def close(self) -> None:
        """Hang up and stop calling."""
        self.fsm.disable(CLOCK.now_ms())
        task, connection = self.task, self.connection
        if connection is not None:
            _hang_up(connection)
        self.connection = None
        self.drop()
        if task is not None:
            await asyncio.wait([task])
        self._forget(connection)

    def status(self) -> dict[str, Any]:
        """Return is_connected, role, state, last_error and the seconds since the last connection was made and lost."""
        now_ms, fsm = CLOCK.now_ms(), self.fsm
        row: dict[str, Any] = {"is_connected": fsm.is_connected, "role": ROLE_NAMES[ROLE_EQUAL], "state": fsm.state}
        if self.connection is not None:
            row["role"] = self.connection.role_name
            row |= _limiter_status([self.connection])
        if self.last_error:
            row["last_error"] = self.last_error
        for key, at_ms in (
            ("sec_since_connect", fsm.last_connected_ms),
            ("sec_since_disconnect", fsm.last_disconnected_ms),
        ):
            if at_ms is not None:
                row[key] = (now_ms - at_ms) // 1000
        return row


class Guest(Watched):
    """One connection that a controller or a tool made to us: never made again, probed if so configured."""

    def __init__(self, channel: Channel, carrier: stream.Stream, config: ControllerConfig) -> None:
        super().__init__(f"{channel.bridge.name}<->{carrier.name}")
        self.fsm.quiet = True
        self.fsm.set_max_tries(0)
        self.fsm.set_probe_interval(config.inactivity_probe_ms)
        self.connected_ms = CLOCK.now_ms()
        self.channel = channel
        self.connection: Connection = Connection(
            channel, carrier, self.fsm.name, service=True, on_negotiated=self._negotiated
        )
        config.apply(self.connection, afresh=True)
        self.watch(self.connection)
        self._handshake = CLOCK.call_later(HANDSHAKE_MS / 1000, carrier.abort)

    def _negotiated(self) -> None:
        self._handshake.cancel()
        self.fsm.connected(CLOCK.now_ms())
        self.poke()

    async def run(self) -> None:
        """Talk until it ends."""
        self.task = asyncio.current_task()
        self.channel.connections.append(self.connection)
        try:
            await self.connection.run()
        finally:
            self.task = None
            self._handshake.cancel()
            self.drop()
            self.fsm.disconnected(CLOCK.now_ms())
            if self.connection in self.channel.connections:
                self.channel.connections.remove(self.connection)
            self.channel.wishes_changed()


class Passive(Peer):
    """A socket on which controllers and tools connect to us."""

    def __init__(self, channel: Channel, config: ControllerConfig) -> None:
        super().__init__(channel, config)
        self.listener: stream.Listener | None = None
        self.guests: list[Guest] = []
        self.last_error = ""
        self.closed = False
        self._task: asyncio.Task[None] | None = None
        self._retry: Handle | None = None

    def start(self) -> None:
        """Begin to listen, and try again later when that fails."""
        self._retry = None
        self._task = asyncio.get_running_loop().create_task(self._try_listen())

    async def _try_listen(self) -> None:
        try:
            await self.listen()
            self.last_error = ""
        except ConfigError as error:
            if str(error) != self.last_error:
                log.err("%s: %s", self.channel.bridge.name, error)
            self.last_error = str(error)
            if not self.closed:
                self._retry = CLOCK.call_later(LISTEN_RETRY_S, self.start)

    async def listen(self) -> None:
        """Listen; raises ConfigError with the reason why not."""
        self.listener = await stream.listen(self.config.target, OFP_PORT, self._accepted)

    async def _accepted(self, carrier: stream.Stream) -> None:
        if self.closed:
            carrier.abort()
            return
        guest = Guest(self.channel, carrier, self.config)
        self.guests.append(guest)
        try:
            await guest.run()
        finally:
            self.guests.remove(guest)

    def hang_up_on(self, unwanted: Callable[[int], bool]) -> None:
        """End the connections of an agreed version that is unwanted."""
        for guest in self.guests:
            if guest.connection.version and unwanted(guest.connection.version):
                _hang_up(guest.connection)

    def reconfigure(self, config: ControllerConfig) -> None:
        """Take over a changed probe interval, for connections too."""
        self.config = config
        for guest in self.guests:
            guest.fsm.set_probe_interval(config.inactivity_probe_ms)
            config.apply(guest.connection, afresh=False)
            guest.poke()

    async def close(self) -> None:
        """Stop listening and hang up on all."""
        self.closed = True
        if self._retry is not None:
            self._retry.cancel()
        if self._task is not None:
            await asyncio.wait([self._task])
        if self.listener is not None:
            await self.listener.close()
            self.listener = None
        running = [guest.task for guest in self.guests if guest.task is not None]
        for guest in self.guests:
            _hang_up(guest.connection)
        for task in running:  # it may wait for a barrier that never comes
            task.cancel()
        if running:
            await asyncio.wait(running)

    def status(self) -> dict[str, Any]:
        """Return the columns of the Controller row: those of the connection that stands longest."""
        running = [guest for guest in self.guests if guest.connection.running]
        row: dict[str, Any] = {
            "is_connected": bool(running),
            "role": ROLE_NAMES[ROLE_EQUAL],
            "state": "ACTIVE" if running else "VOID",
        }
        if running:
            row["role"] = running[0].connection.role_name
            row["sec_since_connect"] = (CLOCK.now_ms() - running[0].connected_ms) // 1000
            row |= _limiter_status([guest.connection for guest in running])
        if self.last_error:
            row["last_error"] = self.last_error
        return row


def _limiter_status(connections: list[Connection]) -> dict[str, int]:
    """Return the sums of the rate limiters' counts over connections."""
    total: Counter[str] = Counter()
    for connection in connections:
        for kind, limiter in connection.limiters.items():
            total.update(limiter.status(kind))
    return dict(total)


def _hang_up(connection: Connection) -> None:
    """End a connection without waiting for a peer that does not take what is queued."""
    if connection.stream.queued_bytes:
        connection.stream.abort()
    else:
        connection.stream.close()
