"""One OpenFlow connection without I/O: framing, version negotiation, and messages sorted by their row in MESSAGES
(CH.05, CH.06).

The owner feeds received bytes to `receive` and gets events in order; it sends what `outgoing` returns. What breaks the
protocol beyond repair ends in one `Lost` event; everything else is answered with the error that Open vSwitch gives. The
states are the rows of STATES.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import NamedTuple

from ofproto import wire
from ofproto.errors import OpenFlowError, encode_error
from ofproto.intake import BARRIER, BUNDLE_ADDS, FLOW_MODS, IMPOSSIBLE, OTHER, UNFINISHED, messages_in, run_at
from ofproto.messages import BY_KEY, KNOWN_VENDORS, MESSAGES, VERSIONS, Kind
from ofproto.numbers import OFP10
from vslib import vlog
from vslib.clock import CLOCK

IMPLEMENTED = frozenset(VERSIONS)
HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY = 0, 1, 2, 3
ANY_VERSION = (HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY)  # types that may come in another version than the negotiated one
VERSION_BITMAP = 1  # OFPHET_VERSIONBITMAP
LAST_VERSION = 6
BARRIER_BYTES = 8
PARTIAL_TIMEOUT_MS = 1000
PARTIALS_MAX = 32
PARTIAL_BYTES_MAX = 1 << 20
TABLE_FEATURES = "OFPST_TABLE_FEATURES request"

log = vlog.get("connmgr")
_errors_limit = vlog.RateLimit(10, 10)


class Request(NamedTuple):
    """A message to handle; `data` is the whole message, its body starts at `offset`."""

    kind: Kind
    data: bytes
    version: int
    offset: int

    @property
    def xid(self) -> int:
        """Return the transaction id."""
        return wire.xid_of(self.data)


class FlowMods(NamedTuple):
    """Flow-mods that follow each other directly, whole messages, in data[begin:end]."""

    data: bytes
    begin: int
    end: int

    @property
    def messages(self) -> list[bytes]:
        """Return each for itself."""
        found: list[bytes] = messages_in(self.data, self.begin, self.end)
        return found


class BundleAdds(NamedTuple):
    """Bundle-adds that follow each other directly, whole messages, in data[begin:end]."""

    data: bytes
    begin: int
    end: int


class Negotiated(NamedTuple):
    """The peer's HELLO came and a version is agreed."""

    version: int


class Lost(NamedTuple):
    """The connection is of no use any more; send what is outgoing, then close it."""

    reason: str


Event = Request | FlowMods | BundleAdds | Negotiated | Lost


class Partial(NamedTuple):
    """A multipart request whose last part has not come."""

    kind: Kind
    data: bytes
    deadline_ms: int


def version_bits(versions: Iterable[int]) -> int:
    """Return the bitmap of OpenFlow versions."""
    return sum(1 << version for version in set(versions))


def _contiguous(versions: Iterable[int]) -> bool:
    """Tell whether the versions run from 1.0 without a gap (CH.06)."""
    return sorted(set(versions)) == list(range(1, len(set(versions)) + 1))


def describe_versions(versions: Iterable[int]) -> str:
    """Return the set of versions in words."""
    ordered = sorted(set(versions))
    if not ordered:
        return "no version"
    if len(ordered) > 1 and _contiguous(ordered):
        return f"version 0x{ordered[-1]:02x} and earlier"
    return ("version " if len(ordered) == 1 else "versions ") + ", ".join(f"0x{v:02x}" for v in ordered)


def make_hello(allowed: Iterable[int], xid: int, version: int = 0) -> bytes:
    """Return our HELLO: exactly 8 bytes when the allowed versions run from 1.0, with a version bitmap otherwise
    (D.1.1). version: the one to name, 0 = our highest.
    """
    allowed = set(allowed)
    spoken = allowed & IMPLEMENTED
    version = version or max(spoken or allowed or {OFP10})
    body = b"" if _contiguous(allowed) else struct.pack("!HHI", VERSION_BITMAP, 8, version_bits(spoken or allowed))
    return wire.build(version, wire.Key(HELLO), xid, body)


def read_hello(message: bytes) -> frozenset[int]:
    """Return the versions that a peer's HELLO offers; one without a usable bitmap offers its own version and all
    before.
    """
    header = wire.header_of(message)
    at = 8
    while at + 4 <= len(message):
        kind, length = struct.unpack_from("!HH", message, at)
        if length < 4 or at + length > len(message):
            break
        if kind == VERSION_BITMAP and length >= 8:
            words = struct.unpack_from(f"!{(length - 4) // 4}I", message, at + 4)
            found = frozenset(32 * i + bit for i, word in enumerate(words) for bit in range(32) if word >> bit & 1) - {
                0
            }
            if found:
                return found
        at += (length + 7) // 8 * 8
    return frozenset(range(1, header.version + 1))


class Session:
    """The protocol state of one connection; `allowed`: the wire versions that the bridge's configuration permits.

    A short HELLO of ours claims all versions up to its own, also those that we do not speak (1.1, 1.2). patient: it
    therefore waits for the peer's HELLO, to name no more than both speak, or for a call of `greet`.
    """

    def __init__(self, allowed: Iterable[int], name: str = "", patient: bool = False) -> None:
        self.name = name
        self.state = "HELLO"
        self.version = 0  # agreed version, 0 before
        self._allowed = frozenset(allowed)
        self._rest = b""  # what has arrived of an unfinished message
        self._out: list[bytes] = []
        self._xid = 0
        self._partials: dict[int, Partial] = {}
        self._greeted = False
        if not patient or not _contiguous(self._allowed):
            self.greet()

    # -- output

    def greet(self, version: int = 0) -> None:
        """Queue our HELLO, once; version: the one to name, 0 = our highest."""
        if not self._greeted:
            self._greeted = True
            self.send(make_hello(self._allowed, self.new_xid(), version))

    def new_xid(self) -> int:
        """Return a transaction id for a message of our own."""
        self._xid = self._xid % 0xFFFFFFFF + 1
        return self._xid

    def send(self, message: bytes) -> None:
        """Queue a whole message."""
        self._out.append(message)

    def reply(self, request: Request, kind: str, body: bytes = b"", flags: int = 0) -> None:
        """Queue an answer, named as in MESSAGES, in the request's version and with its transaction id."""
        key = MESSAGES[kind].keys[request.version]
        self.send(wire.build(request.version, key, request.xid, body, flags))

    def error(self, name: str, message: bytes, kind: str = "invalid") -> None:
        """Queue the error `name` about `message` of that kind; nothing when its version has no error numbers."""
        log.info("%s: sending %s error reply to %s message", self.name, name, kind, rl=_errors_limit)
        if 1 <= message[0] <= LAST_VERSION:
            self.send(encode_error(name, message[0], wire.xid_of(message), message))

    def probe(self) -> None:
        """Queue an echo request, which the peer must answer."""
        version = self.version or max(self._allowed & IMPLEMENTED or {OFP10})
        self.send(wire.build(version, wire.Key(ECHO_REQUEST), self.new_xid(), b""))

    def outgoing(self) -> bytes:
        """Return what is to be sent now and forget it."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    # -- input

    def receive(self, data: bytes) -> list[Event]:
        """Take received bytes and return what they amount to, in order; after `Lost` everything is ignored."""
        events: list[Event] = []
        if self._rest:
            data = self._rest + data
        at = 0
        while self.state != "LOST":
            run, to = run_at(data, at, self.version)
            if run == UNFINISHED:
                break
            if run == IMPOSSIBLE:
                length = int.from_bytes(data[at + 2 : at + 4], "big")
                self._lose(f"received too-short ofp_header ({length} bytes)", events)
                break
            _RUNS[run](self, data, at, to, events)
            at = to
        self._rest = data[at:]
        if self.state == "HELLO" and len(self._rest) >= 2 and self._rest[1] != HELLO:
            self._refuse_first(self._rest, events)  # no need to wait for the length that it claims
        return events

    @property
    def at_message(self) -> bool:
        """Tell whether what comes next begins a message of an agreed version: it need not be given to `receive`."""
        return not self._rest and self.state == "RUNNING"

    @property
    def deadline_ms(self) -> int | None:
        """Return when `expire` has something to do, None for never."""
        return min(p.deadline_ms for p in self._partials.values()) if self._partials else None

    def expire(self) -> None:
        """Give up multipart requests whose last part did not come in time."""
        now_ms = CLOCK.now_ms()
        for xid, partial in list(self._partials.items()):
            if partial.deadline_ms <= now_ms:
                del self._partials[xid]
                self.error("OFPBRC_MULTIPART_REQUEST_TIMEOUT", partial.data)

    def _lose(self, reason: str, events: list[Event]) -> None:
        self.state = "LOST"
        self.greet()
        events.append(Lost(reason))

    def _one(self, data: bytes, at: int, to: int, events: list[Event]) -> None:
        """Take a message that makes no run."""
        STATES[self.state](self, data[at:to], events)

    def _flow_mods(self, data: bytes, at: int, to: int, events: list[Event]) -> None:
        """Take a run of flow-mods."""
        events.append(FlowMods(data, at, to))

    def _bundle_adds(self, data: bytes, at: int, to: int, events: list[Event]) -> None:
        """Take a run of bundle-adds."""
        events.append(BundleAdds(data, at, to))

    def _barrier(self, data: bytes, at: int, to: int, events: list[Event]) -> None:
        """Take a barrier request, the message that is waited for most."""
        events.append(self.barrier_request(data[at:to]))

    def _hello(self, message: bytes, events: list[Event]) -> None:
        """State HELLO: nothing but the peer's HELLO may come."""
        header = wire.header_of(message)
        if header.type != HELLO or header.version == 0:
            self._refuse_first(message, events)
            return
        offered = read_hello(message)
        ours = self._allowed & IMPLEMENTED
        common = offered & ours
        # A short HELLO of ours claims all versions up to its own: the peer may settle on one that we do not speak.
        agreed_by_peer = (
            max(offered & frozenset(range(1, max(ours) + 1)), default=0) if ours and _contiguous(self._allowed) else 0
        )
        if common and agreed_by_peer > max(common) and not self._greeted:
            self.greet(max(common))  # without naming more, the peer settles on what both speak
            agreed_by_peer = max(common)
        self.greet()
        if not common or agreed_by_peer > max(common):
            text = (
                f"We support {describe_versions(ours)}, you support {describe_versions(offered)}, no common versions."
            )
            version = header.version if header.version <= LAST_VERSION else OFP10
            body = encode_error("OFPHFC_INCOMPATIBLE", version, 0, text.encode())
            self.send(body)
            self._lose("version negotiation failed (" + text + ")", events)
            return
        self.version = max(common)
        self.state = "RUNNING"
        events.append(Negotiated(self.version))

    def _refuse_first(self, message: bytes, events: list[Event]) -> None:
        text = f"received message type {message[1]} of version {message[0]} while expecting hello"
        self._lose(text, events)

    def _message(self, message: bytes, events: list[Event]) -> None:
        """State RUNNING: sort a message by its row."""
        request = self.single(message)
        if request is None:
            return
        if request.kind.handler == "flow_mod":
            events.append(FlowMods(message, 0, len(message)))
            return
        whole = self._assemble(request) if request.kind.keys[request.version].stat is not None else request
        if whole is not None:
            events.append(whole)

    def single(self, message: bytes) -> Request | None:
        """Return the request that one message of a run is; None when it cannot be one, which is answered."""
        try:
            return self._classify(message)
        except OpenFlowError as error:
            self.error(error.name, message)
            return None

    def barrier_request(self, message: bytes) -> Request:
        """Return the request that a message of the run BARRIER is."""
        return Request(_BARRIER, message, self.version, BARRIER_BYTES)

    def _classify(self, message: bytes) -> Request:
        """Return the request that a message is; raises OpenFlowError for what cannot be one."""
        version, kind_number = message[0], message[1]
        if version != self.version:
            if kind_number not in ANY_VERSION:
                raise OpenFlowError("OFPBRC_BAD_VERSION")
            if version not in BY_KEY:
                version = self.version
        kind = kind_of(message, version)
        key = kind.keys[version]
        if not kind.handler:
            raise OpenFlowError("OFPBRC_BAD_TYPE" if key.stat is None else "OFPBRC_BAD_STAT")
        return Request(kind, message, version, wire.header_bytes(version, key))

    def _assemble(self, request: Request) -> Request | None:
        """Return a multipart request once its last part is here, None before; OpenFlow 1.0 has no parts."""
        if request.version == OFP10:
            return request
        more = bool(wire.stat_flags(request.data) & wire.MORE)
        partial = self._partials.pop(request.xid, None)
        if partial is None and not more:
            return request
        body = request.data[request.offset :]
        if partial is not None:
            both = body and len(partial.data) > request.offset
            if partial.kind is not request.kind or (both and request.kind.name != TABLE_FEATURES):
                self.error("OFPBRC_BAD_STAT", request.data)
                return None
        so_far = request.data if partial is None else partial.data + body
        if more:
            self._keep(request, so_far, partial)
            return None
        return request._replace(data=so_far)

    def _keep(self, request: Request, so_far: bytes, partial: Partial | None) -> None:
        if len(self._partials) >= PARTIALS_MAX or len(so_far) > PARTIAL_BYTES_MAX:
            self.error("OFPBRC_MULTIPART_BUFFER_OVERFLOW", request.data)
            return
        deadline_ms = CLOCK.now_ms() + PARTIAL_TIMEOUT_MS if partial is None else partial.deadline_ms
        self._partials[request.xid] = Partial(request.kind, so_far, deadline_ms)


def kind_of(message: bytes, version: int) -> Kind:
    """Return the row of a whole message, read as one of `version`; raises OpenFlowError without one, or for a length
    that it cannot have.
    """
    try:
        key = wire.key_of(message) if version == message[0] else wire.Key(message[1])
    except ValueError:
        raise OpenFlowError("OFPBRC_BAD_LEN") from None
    kind = BY_KEY[version].get(key)
    if kind is None:
        raise OpenFlowError(_unknown(key))
    if not kind.fits(version, len(message)):
        raise OpenFlowError("OFPBRC_BAD_LEN")
    return kind


def _unknown(key: wire.Key) -> str:
    """Return the name of the error for a message without a row."""
    if key.vendor is not None:
        return "OFPBRC_BAD_SUBTYPE" if key.vendor in KNOWN_VENDORS else "OFPBRC_BAD_VENDOR"
    return "OFPBRC_BAD_TYPE" if key.stat is None else "OFPBRC_BAD_STAT"


STATES: dict[str, Callable[[Session, bytes, list[Event]], None]] = {
    "HELLO": Session._hello,
    "RUNNING": Session._message,
}
_BARRIER = MESSAGES["OFPT_BARRIER_REQUEST"]
_RUNS: dict[int, Callable[[Session, bytes, int, int, list[Event]], None]] = {
    OTHER: Session._one,
    FLOW_MODS: Session._flow_mods,
    BUNDLE_ADDS: Session._bundle_adds,
    BARRIER: Session._barrier,
}
