"""The OpenFlow sockets of a bridge: the management listener, controllers that we call and controllers that call us
(CH.01 to CH.10).

`Channel` is the whole; `Active` keeps one connection to a controller (`tcp: unix: ssl:`) with back-off and probes,
`Passive` listens (`ptcp: punix: pssl:`) for any number of them. The management listener is a `Passive` without probes.
Thread rule: the control thread's event loop.
"""

from __future__ import annotations

import abc
import asyncio
import importlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

from ofproto.connection import Codec, Connection
from ofproto.handlers import FRAG_NORMAL, ROLE_EQUAL, ROLE_NAMES, Switchboard
from ofproto.ports import PortDesc
from ofproto.wire import OFP10
from vslib import dirs, stream, vlog
from vslib.clock import CLOCK, Handle
from vslib.errors import ConfigError
from vslib.reconnect import Action, Reconnect
from vslib.stream_target import parse_target

OFP_PORT = 6653
HANDSHAKE_MS = 30_000  # how long a peer that connected to us may take for its HELLO
LISTEN_RETRY_S = 5.0
TIMED_OUT = "Connection timed out"
BUSY_POLL_MS = 100  # how often silence is looked at while a connection is busy and reads nothing
FAIL_PROBES = 3  # this many probe intervals without any controller: the bridge is on its own (CH.10)
DEFAULT_PROBE_MS = 5000

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
        _watch(self.fsm, config)

    def start(self) -> None:
        """Begin to connect, now and after every loss."""
        self.fsm.enable(CLOCK.now_ms())
        self.poke()

    def reconfigure(self, config: ControllerConfig) -> None:
        """Take over changed times without losing the connection."""
        self.config = config
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

    def __init__(self, channel: Channel, carrier: stream.Stream, probe_ms: int, service: bool) -> None:
        super().__init__(f"{channel.bridge.name}<->{carrier.name}")
        self.fsm.quiet = True
        self.fsm.set_max_tries(0)
        self.fsm.set_probe_interval(probe_ms)
        self.connected_ms = CLOCK.now_ms()
        self.channel = channel
        self.connection: Connection = Connection(
            channel, carrier, self.fsm.name, service=service, on_negotiated=self._negotiated
        )
        self.watch(self.connection)
        self._handshake = CLOCK.call_later(HANDSHAKE_MS / 1000, carrier.abort)

    def _negotiated(self) -> None:
        self._handshake.cancel()
        self.fsm.connected(CLOCK.now_ms())
        self.poke()
        self.channel.changed()

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
            self.channel.changed()
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
        guest = Guest(self.channel, carrier, self.config.inactivity_probe_ms, service=True)
        self.guests.append(guest)
        try:
            await guest.run()
        finally:
            self.guests.remove(guest)

    def reconfigure(self, config: ControllerConfig) -> None:
        """Take over a changed probe interval, for connections too."""
        self.config = config
        for guest in self.guests:
            guest.fsm.set_probe_interval(config.inactivity_probe_ms)
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
        for guest in self.guests:
            _hang_up(guest.connection)
        running = [guest.task for guest in self.guests if guest.task is not None]
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
        if self.last_error:
            row["last_error"] = self.last_error
        return row


class Channel:
    """All OpenFlow connections of one bridge.

    `bridge`: what handlers work on; `codec`: the compiled codec, by default `ofproto.flow_mod`.
    `on_controllers_changed` is called after a connection was made or lost, after a role changed, and when `all_failed`
    changed.
    """

    def __init__(self, bridge: Switchboard, codec: Codec | None = None) -> None:
        self.bridge = bridge
        self.codec: Codec = codec if codec is not None else _compiled_codec()
        self.connections: list[Connection] = []
        self.on_controllers_changed: Callable[[], None] | None = None
        self.generation_id: int | None = None
        self._frag_mode = FRAG_NORMAL
        self._wishes: tuple[int, bool, bool] = (FRAG_NORMAL, False, False)
        self._mgmt: Passive | None = None
        self._peers: dict[str, Peer] = {}
        self._versions: frozenset[int] = frozenset()
        self._closing: set[asyncio.Task[None]] = set()
        self._alone_since_ms: int | None = None
        self._failed = False
        self._fail_timer: Handle | None = None
        self._closed = False

    # -- set-up

    @property
    def mgmt_path(self) -> str:
        """Return the path of the management socket."""
        return os.path.join(dirs.rundir(), f"{self.bridge.name}.mgmt")

    async def listen(self) -> None:
        """Open the management socket `$OVS_RUNDIR/<bridge>.mgmt` (CH.01); raises ConfigError with the reason."""
        if self._mgmt is not None:
            return
        mgmt = Passive(self, ControllerConfig(f"punix:{self.mgmt_path}", inactivity_probe_ms=0, service=True))
        await mgmt.listen()
        self._mgmt = mgmt

    def set_controllers(self, configs: Iterable[ControllerConfig]) -> None:
        """Make the set of controllers `configs`; connections whose target stays are kept, unless the allowed versions
        changed.
        """
        wanted = {config.target: config for config in configs}
        versions = frozenset(self.bridge.allowed_versions)
        afresh = versions != self._versions
        self._versions = versions
        for target, peer in list(self._peers.items()):
            config = wanted.get(target)
            if config is None or afresh or config.service != peer.config.service:
                self._close_later(self._peers.pop(target))
            elif config != peer.config:
                peer.reconfigure(config)
        for target, config in wanted.items():
            if target not in self._peers:
                self._add(config)
        self._note_connections()

    def _add(self, config: ControllerConfig) -> None:
        try:
            parsed = parse_target(config.target, OFP_PORT)
        except ConfigError as error:
            log.err("%s: %s", self.bridge.name, error)
            return
        peer = Passive(self, config) if parsed.passive else Active(self, config)
        self._peers[config.target] = peer
        peer.start()

    def _close_later(self, peer: Peer) -> None:
        task = asyncio.get_running_loop().create_task(peer.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Hang up everywhere and remove the management socket."""
        self._closed = True
        self._stop_fail_timer()
        for peer in [*self._peers.values(), *([self._mgmt] if self._mgmt is not None else [])]:
            self._close_later(peer)
        self._peers.clear()
        self._mgmt = None
        if self._closing:
            await asyncio.wait(list(self._closing))

    # -- how it stands

    def status(self) -> dict[str, dict[str, Any]]:
        """Return the columns of each controller's row by target (see Active.status)."""
        return {target: peer.status() for target, peer in self._peers.items()}

    @property
    def _primaries(self) -> list[Active]:
        return [peer for peer in self._peers.values() if isinstance(peer, Active) and not peer.config.service]

    @property
    def connected_primary(self) -> bool:
        """Tell whether a primary controller is connected."""
        return any(peer.fsm.is_connected for peer in self._primaries)

    @property
    def all_failed(self) -> bool:
        """Tell whether there are primary controllers and none has been connected for three probe intervals (CH.10)."""
        return self._failed

    def changed(self) -> None:
        """Note that a connection was made or lost, or a role changed."""
        self._note_connections()
        self._tell()

    def _tell(self) -> None:
        if self.on_controllers_changed is not None and not self._closed:
            self.on_controllers_changed()

    def _stop_fail_timer(self) -> None:
        if self._fail_timer is not None:
            self._fail_timer.cancel()
            self._fail_timer = None

    def _note_connections(self) -> None:
        """Keep the time since which the bridge is alone, and `all_failed`, up to date."""
        self._stop_fail_timer()
        primaries = self._primaries
        if self._closed or not primaries or self.connected_primary:
            self._alone_since_ms = None
            self._failed = False
            return
        if self._alone_since_ms is None:
            self._alone_since_ms = CLOCK.now_ms()
        patience_ms = FAIL_PROBES * max(peer.config.inactivity_probe_ms or DEFAULT_PROBE_MS for peer in primaries)
        left_ms = self._alone_since_ms + patience_ms - CLOCK.now_ms()
        if left_ms > 0:
            self._failed = False
            self._fail_timer = CLOCK.call_later(left_ms / 1000, self._patience_over)
        elif not self._failed:
            log.warn("%s: could not connect to a controller for %d seconds", self.bridge.name, patience_ms // 1000)
            self._failed = True

    def _patience_over(self) -> None:
        before = self._failed
        self._note_connections()
        if self._failed != before:
            self._tell()

    def new_generation(self, generation_id: int) -> bool:
        """Take over a generation of controller roles; False when it is older than the last one (MS.38)."""
        if self.generation_id is not None and (generation_id - self.generation_id) & (1 << 63):
            return False
        self.generation_id = generation_id
        return True

    @property
    def frag_mode(self) -> int:
        """Return the bridge's OFPC_FRAG_ mode."""
        return self._frag_mode

    @frag_mode.setter
    def frag_mode(self, mode: int) -> None:
        self._frag_mode = mode
        self.wishes_changed()

    def wishes_changed(self) -> None:
        """Tell the bridge what packets the controllers want now, if that changed (OF.01: misses go to sessions before
        1.3).
        """
        listening = [c for c in self.connections if c.running and (c.miss_send_len or not c.service)]
        wishes = (
            self._frag_mode,
            any(c.version == OFP10 and c.controller_id == 0 for c in listening),
            any(c.wants_invalid_ttl for c in listening),
        )
        if wishes != self._wishes and not self._closed:
            self._wishes = wishes
            self.bridge.switch_config(frag_mode=wishes[0], miss_punt=wishes[1], ttl_punt=wishes[2])

    # -- asynchronous messages

    def port_status(self, reason: int, port: PortDesc) -> None:
        """Tell the controllers that a port was added (0), deleted (1) or modified (2)."""
        for connection in list(self.connections):
            connection.send_port_status(reason, port)

    def packet_in(self, punt: Any) -> None:
        """Hand a frame (`ofproto.punt.Punt`) to the controllers that want it."""
        for connection in list(self.connections):
            connection.send_packet_in(punt)

    def send_flow_removed(self, removed: Iterable[Any]) -> None:
        """Tell the controllers of removed flows whose final counts are in."""
        for flow in removed:
            for connection in list(self.connections):
                connection.send_flow_removed(flow)


def _hang_up(connection: Connection) -> None:
    """End a connection without waiting for a peer that does not take what is queued."""
    if connection.stream.queued_bytes:
        connection.stream.abort()
    else:
        connection.stream.close()


def _compiled_codec() -> Codec:
    """Return the codec; imported late, as it is compiled and tests of the channel alone bring their own."""
    codec: Any = importlib.import_module("ofproto.flow_mod")
    return cast(Codec, codec)
