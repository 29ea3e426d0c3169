"""One OpenFlow connection of a bridge: its stream, its session, and what the controller asked for on it (CH.08, CH.09,
CH.16).

What is read is handled at once and in order, without a task; only a message that must wait (for the forwarders, or for
a peer that does not take its answers) goes on in one, and nothing more is read meanwhile. Messages that nobody asked
for (packet-ins, flow-removed, port-status) are written by others at any time.
Thread rule: the control thread's event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

from ofproto import bundles, handlers, packet_in, ports
from ofproto.bundles import Bundles
from ofproto.errors import OpenFlowError
from ofproto.handlers import HANDLERS, ROLE_EQUAL, ROLE_NAMES, ROLE_SECONDARY, Switchboard
from ofproto.intake import BARRIER, BUNDLE_ADDS, FLOW_MODS, messages_in, run_at
from ofproto.messages import MESSAGES
from ofproto.numbers import OFP10, OFP13
from ofproto.packet_in_queue import Limits, Outstanding, RateLimiter
from ofproto.session import BundleAdds, Event, FlowMods, Lost, Negotiated, Request, Session
from ofproto.wire import build
from vslib import coverage, vlog
from vslib.clock import CLOCK, Handle
from vslib.errors import ConfigError
from vslib.stream import Stream

if TYPE_CHECKING:
    from ofproto.controllers import Channel

OUTPUT_HIGH_BYTES = 1 << 18  # more waits for the peer before the next message is handled (CH.16)
OUTPUT_MAX_BYTES = 1 << 26  # a peer that lets this much pile up is dropped
GREETING_S = 0.1  # how long our HELLO waits for the peer's
SLICE_NS = 10_000_000  # the loop is let go after this time
DEFAULT_MISS_SEND_LEN = 128
PACKET_INS = sum(
    1 << r for r in (packet_in.NO_MATCH, packet_in.ACTION, packet_in.ACTION_SET, packet_in.GROUP, packet_in.PACKET_OUT)
)
PACKET_INS |= 1 << packet_in.EXPLICIT_MISS
# Requests that any controller makes at its start, or without knowing of the switch's traffic.
HANDSHAKE = frozenset(
    ("nothing", "echo_request", "features", "get_config", "set_config", "queue_get_config", "get_async", "group_stats")
    + ("group_desc", "group_features", "table_features")
)
FLOW_REMOVALS, PORT_CHANGES = 0xF, 0x7

log = vlog.get("connmgr")
assert HANDLERS.keys() >= HANDSHAKE
_errors_limit = vlog.RateLimit(10, 10)
_received = coverage.counter("rconn_received")
_overflow = coverage.counter("packet_in_overflow")


class Codec(Protocol):
    """What the channel needs of the compiled codec (`ofproto.flow_mod`)."""

    def decode_actions(self, data: bytes, version: int) -> bytes: ...
    def encode_packet_in_match(self, key: bytes, version: int) -> bytes: ...


class Connection:
    """See the module; service: asynchronous messages only after miss_send_len was raised."""

    def __init__(
        self,
        channel: Channel,
        stream: Stream,
        name: str,
        *,
        service: bool,
        on_negotiated: Callable[[], None] | None = None,
    ) -> None:
        self.channel = channel
        self.bridge: Switchboard = channel.bridge
        self.codec: Codec = channel.codec
        self.stream = stream
        self.name = name
        self.service = service
        self.session = Session(channel.bridge.allowed_versions, name, patient=True)
        self.heard: Callable[[], None] | None = None  # called when anything arrives
        self.listening: Callable[[bool], None] | None = None  # called with True before reading, with False after
        self.lost = ""  # why it ended
        self.admitted = False  # the controller asked for more than a handshake: it is in charge (CH.10)
        self.on_admitted: Callable[[], None] | None = None
        self._on_negotiated = on_negotiated
        self._timer: Handle | None = None
        self._timer_ms = 0  # when it fires
        self._greeting: Handle | None = None
        self._events: deque[Event] = deque()
        self._worker: asyncio.Task[None] | None = None  # while something must be waited for
        self._over: asyncio.Future[None] | None = None
        self.role = ROLE_EQUAL
        self.miss_send_len = 0 if service else DEFAULT_MISS_SEND_LEN
        self.controller_id = 0
        self.packet_in_form = packet_in.STANDARD
        self.nxm_flows = False
        self.table_in_command = False
        self.limits = Limits()
        self.limiters = {kind: RateLimiter(self._send_packet_in_now) for kind in ("miss", "action")}
        self._outstanding = Outstanding()
        self.bundles = Bundles()
        # Reasons wanted as primary or equal, and as secondary.
        self.async_masks = {
            "packet_in": [PACKET_INS, 0],
            "flow_removed": [FLOW_REMOVALS, 0],
            "port_status": [PORT_CHANGES, PORT_CHANGES],
        }

    def limit(self, limits: Limits) -> None:
        """Take over how many packet-ins the controller shall get."""
        self.limits = limits
        for limiter in self.limiters.values():
            limiter.configure(limits.rate_pps, limits.burst)

    def silence(self) -> None:
        """Send no asynchronous messages until the controller chooses some (Controller.enable_async_messages)."""
        for kind in self.async_masks:
            self.async_masks[kind] = [0, 0]

    # -- what it is

    @property
    def version(self) -> int:
        """Return the agreed wire version, 0 before the handshake."""
        return self.session.version

    @property
    def running(self) -> bool:
        """Tell whether the handshake is done and the connection is not lost."""
        return self.session.state == "RUNNING"

    @property
    def role_name(self) -> str:
        """Return the role as the database has it."""
        return ROLE_NAMES[self.role]

    @property
    def wants_invalid_ttl(self) -> bool:
        """Tell whether packets with an invalid TTL are to be sent (as primary or equal)."""
        return bool(self.async_masks["packet_in"][0] >> packet_in.INVALID_TTL & 1)

    def takes(self, kind: str, reason: int) -> bool:
        """Tell whether the controller gets asynchronous messages of a kind for a reason (MS.40, CH.09)."""
        if not self.running or (self.service and not self.miss_send_len):
            return False
        return bool(self.async_masks[kind][self.role == ROLE_SECONDARY] >> reason & 1)

    # -- reading and handling, in order

    async def run(self) -> str:
        """Talk until the connection ends and return why; the stream is closed then."""
        self._over = asyncio.get_running_loop().create_future()
        try:
            self.flush()
            self._greeting = CLOCK.call_later(GREETING_S, self._greet)
            self.stream.hand_over(self._arrived, self._ended)
            await self._over
            self.flush()
        finally:
            self._stop_work()
            self.stream.close()
            self.session.state = "LOST"
        return self.lost

    def _greet(self) -> None:
        """Say HELLO to a peer that waits for ours."""
        self.session.greet()
        self.flush()

    def _stop_work(self) -> None:
        if self._greeting is not None:
            self._greeting.cancel()
        if self._timer is not None:
            self._timer.cancel()
        if self._worker is not None:
            self._worker.cancel()
        for limiter in self.limiters.values():
            limiter.close()

    def _ended(self, error: Exception | None) -> None:
        """The stream is at its end; what was read before it is still handled."""
        if self._worker is None or error is not None:
            self._end(_reason(error) if error is not None else "End of file")

    def _end(self, reason: str) -> None:
        self.lost = self.lost or reason
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    def _arrived(self, data: bytes) -> bool:
        """Handle what was read, up to the first message that must wait for something; tells whether it ended in
        messages that have no answer: mostly their sender says more without waiting.
        """
        _received.inc()
        if self.heard is not None:
            self.heard()
        if self._worker is not None:
            self._events.extend(self.session.receive(data))
            return False
        waiting, at, last = None, 0, False
        if self.session.at_message and not self._events:
            waiting, at, last = self._express(data)
        if at < len(data):
            events = self.session.receive(data[at:] if at else data)
            self._events.extend(events)
            last = bool(events) and type(events[-1]) in _UNANSWERED
            if waiting is None:
                waiting = self._handle_some()
        self._handled(waiting)
        return last

    def _express(self, data: bytes) -> tuple[Awaitable[None] | None, int, bool]:
        """Handle the messages at the beginning of what was read that need no event: it takes half the time, for which
        a controller waits that asks for a barrier after each flow-mod.

        Returns what to wait for before the next message, where that begins, and whether those before have no answer.
        """
        waiting, at, end, unanswered = None, 0, len(data), False
        while waiting is None and at < end and not self.lost:
            run, to = run_at(data, at, self.session.version)
            express = _EXPRESS.get(run)
            if express is None:
                break
            waiting = express(self, data, at, to)
            at, unanswered = to, run != BARRIER
        return waiting, at, unanswered

    def _handled(self, waiting: Awaitable[None] | None) -> None:
        """Send what there is to be sent; with more to handle, or something to wait for, go on in a task."""
        self.flush()
        if self.lost:
            self._end(self.lost)
        elif waiting is not None or self._events or self.stream.queued_bytes > OUTPUT_HIGH_BYTES:
            self.stream.pause()
            if self.listening is not None:
                self.listening(False)
            self._worker = asyncio.get_running_loop().create_task(self._work(waiting))
        elif self.bundles or self.session.deadline_ms is not None:
            self._arm_timer()

    def _barrier(self, data: bytes, begin: int, end: int) -> Awaitable[None] | None:
        """Handle a barrier request: the answer is the request with the next type."""
        if not self.admitted:
            self.admit()
        passing = self.bridge.barrier()
        if passing is not None:
            return handlers.answer_barrier(self, self.session.barrier_request(data[begin:end]), passing)
        self.session.send(data[begin : begin + 1] + bytes((data[begin + 1] + 1,)) + data[begin + 2 : end])
        return None

    def _handle_some(self) -> Awaitable[None] | None:
        """Handle events for a slice of time at most; returns what to wait for before the next."""
        events, end_ns = self._events, 0
        while events and not self.lost:
            event = events.popleft()
            waiting = _EVENTS[type(event)](self, event)
            if waiting is not None:
                return waiting
            if not events:
                break
            end_ns = end_ns or CLOCK.now_ns() + SLICE_NS
            if CLOCK.now_ns() >= end_ns:
                break
        return None

    async def _work(self, waiting: Awaitable[None] | None) -> None:
        """Handle the rest of what was read while the stream pauses, then let it read again."""
        try:
            while not self.lost:
                if waiting is not None:
                    await waiting
                await self.flush_and_drain()
                if not self._events:
                    break
                await CLOCK.sleep(0)
                waiting = self._handle_some()
        except ConnectionError as error:
            self._end(_reason(error))
        finally:
            self._worker = None
        if self.lost:
            self._end(self.lost)
            return
        self._arm_timer()
        if self.listening is not None:
            self.listening(True)
        self.stream.resume()

    def _negotiated(self, event: Negotiated) -> None:
        if self._on_negotiated is not None:
            self._on_negotiated()
        self.channel.wishes_changed()

    def _lost(self, event: Lost) -> None:
        log.warn("%s: connection dropped (%s)", self.name, event.reason, rl=_errors_limit)
        self.lost = "Protocol error"

    def admit(self) -> None:
        """Take note that the controller is in charge."""
        self.admitted = True
        if self.on_admitted is not None:
            self.on_admitted()

    def _request(self, request: Request) -> Awaitable[None] | None:
        if not self.admitted and request.kind.handler not in HANDSHAKE:
            self.admit()
        try:
            waiting = HANDLERS[request.kind.handler](self, request)
        except Exception as error:
            self._failed(request, error)
            return None
        return None if waiting is None else self._wait_for(request, waiting)

    async def _wait_for(self, request: Request, waiting: Awaitable[None]) -> None:
        try:
            await waiting
        except ConnectionError:
            raise
        except Exception as error:
            self._failed(request, error)

    def _failed(self, request: Request, error: Exception) -> None:
        """Answer a request that raised; our bug is logged, and everything else goes on."""
        name = "OFPBRC_EPERM"
        if isinstance(error, OpenFlowError):
            name = error.name
        elif isinstance(error, ConfigError):  # a frame too long for any buffer, a device that will not go down
            log.warn("%s: %s: %s", self.name, request.kind.name, error, rl=_errors_limit)
        else:
            log.exception("%s: %s failed: %s", self.name, request.kind.name, request.data[:64].hex())
        self.session.error(name, request.data, request.kind.name)

    def _flow_mod_event(self, event: FlowMods) -> None:
        self._flow_mods(*event)

    def _flow_mods(self, data: bytes, begin: int, end: int) -> None:
        """Apply a run of flow-mods; what one read brings is a millisecond's work."""
        if not self.admitted:
            self.admit()
        if self.role == ROLE_SECONDARY:
            self._refuse(messages_in(data, begin, end), "OFPBRC_IS_SECONDARY")
            return
        try:
            removed, errors = self.bridge.flows.apply_run(data, begin, end, self.table_in_command)
        except Exception:
            log.exception("%s: flow_mod failed", self.name)
            self._refuse(messages_in(data, begin, end), "OFPFMFC_UNKNOWN")
            return
        for at, error in errors:
            message = data[at : at + int.from_bytes(data[at + 2 : at + 4], "big")]
            self.session.error(error.name, message, "OFPT_FLOW_MOD")
        if removed:
            self.bridge.flow_removed_ready(removed)

    def _refuse(self, flow_mods: list[bytes], name: str) -> None:
        """Answer all of a run with one error."""
        for message in flow_mods:
            self.session.error(name, message, "OFPT_FLOW_MOD")

    def _bundle_add_event(self, event: BundleAdds) -> None:
        self._bundle_adds(*event)

    def _bundle_adds(self, data: bytes, at: int, end: int) -> None:
        """Put messages into bundles: most of them in runs, what the run stops at by its handler."""
        while at < end:
            if self.admitted and self.role != ROLE_SECONDARY:
                at = bundles.add_run(self, data, at, end)
            if at < end:
                to = at + int.from_bytes(data[at + 2 : at + 4], "big")
                request = self.session.single(data[at:to])
                if request is not None:
                    self._request(request)  # which waits for nothing
                at = to

    # -- output

    def flush(self) -> None:
        """Hand what the session has queued to the stream; a peer that takes nothing for too long is dropped."""
        data = self.session.outgoing()
        if data:
            self.stream.write(data)
            self._outstanding.wrote(len(data))
            if self.stream.queued_bytes > OUTPUT_MAX_BYTES:
                log.warn("%s: dropping connection that has %d bytes waiting", self.name, self.stream.queued_bytes)
                self.lost = "No buffer space available"
                self.stream.abort()

    async def flush_and_drain(self) -> None:
        """Flush, and wait while the peer is slow; raises ConnectionError when it is gone."""
        self.flush()
        if self.stream.queued_bytes > OUTPUT_HIGH_BYTES:
            await self.stream.drain()

    def probe(self) -> None:
        """Send an echo request."""
        self.session.probe()
        self.flush()

    def _arm_timer(self) -> None:
        """See to it that unfinished multipart requests and idle bundles are given up in time."""
        deadlines = [at_ms for at_ms in (self.session.deadline_ms, self.bundles.deadline_ms) if at_ms is not None]
        if not deadlines or (self._timer is not None and self._timer_ms <= min(deadlines)):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ms = min(deadlines)
        self._timer = CLOCK.call_later(max(0, self._timer_ms - CLOCK.now_ms()) / 1000, self._expire)

    def _expire(self) -> None:
        self._timer = None
        self.session.expire()
        for bundle in self.bundles.expired():
            self.session.error("OFPBFC_TIMEOUT", bundle.opener, "OFPT_BUNDLE_CONTROL")
        self.flush()
        self._arm_timer()

    # -- asynchronous messages

    def send_packet_in(self, punt: Any) -> None:
        """Send a frame that a forwarder set aside, if the controller wants it and takes them as fast as they come."""
        if punt.controller_id != self.controller_id or not self.takes("packet_in", punt.reason):
            return
        if not self.limits.rate_pps and self._is_behind():  # known without the work of encoding
            _overflow.inc()
            return
        message = packet_in.encode(punt, self.version, self.packet_in_form, self.codec.encode_packet_in_match)
        self.limiters["miss" if punt.reason == packet_in.NO_MATCH else "action"].put(punt.in_port, message)

    def _send_packet_in_now(self, message: bytes) -> None:
        if self._is_behind():
            _overflow.inc()
            return
        self.session.send(message)
        self.flush()
        self._outstanding.note()

    def _is_behind(self) -> bool:
        """Tell whether as many packet-ins as may wait for the controller do."""
        return self._outstanding.count(self.stream.queued_bytes) >= self.limits.queue_size

    def send_flow_removed(self, removed: Any) -> None:
        """Tell the controller of a removed flow (`ofproto.flow_table.RemovedFlow`), if it wants to know."""
        if self.takes("flow_removed", removed.reason):
            self.session.send(removed.encode(self.version, self.version == OFP10 and self.nxm_flows))
            self.flush()

    def send_port_status(self, reason: int, port: ports.PortDesc) -> None:
        """Tell the controller of a change of a port, if it wants to know."""
        if self.takes("port_status", reason):
            key = MESSAGES["OFPT_PORT_STATUS"].keys[self.version]
            self.session.send(build(self.version, key, 0, ports.pack_status(reason, port, self.version)))
            self.flush()


def _reason(error: Exception) -> str:
    """Return why the stream broke, as the system says it."""
    known = error.strerror if isinstance(error, OSError) else None
    return known or str(error) or "Connection reset by peer"


_EVENTS: dict[type[Event], Callable[[Connection, Any], Awaitable[None] | None]] = {
    Request: Connection._request,
    FlowMods: Connection._flow_mod_event,
    BundleAdds: Connection._bundle_add_event,
    Negotiated: Connection._negotiated,
    Lost: Connection._lost,
}
# Runs of messages that need no event.
_EXPRESS: dict[int, Callable[[Connection, bytes, int, int], Awaitable[None] | None]] = {
    FLOW_MODS: Connection._flow_mods,
    BUNDLE_ADDS: Connection._bundle_adds,
    BARRIER: Connection._barrier,
}
_UNANSWERED = (FlowMods, BundleAdds)
assert OFP13 in MESSAGES["OFPT_PORT_STATUS"].keys
