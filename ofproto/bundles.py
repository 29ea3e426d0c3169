"""Bundles: edits that a controller collects in the switch and commits, flow-mods as one version of the tables, all or
none (OF.11, MS.47, MS.48).

A message is decoded when it comes in, and refused then; what depends on the tables is found at the commit, whose error
follows the error about the message. Packet-outs, port-mods and changes of groups run after the flow-mods are published,
in order: a packet-out meets all flow-mods of its bundle, in Open vSwitch those before it. A port-mod makes an atomic
bundle fail, as there. Bundles belong to a connection and end with it, or when nothing is done with them
for IDLE_MS. Every mistake with a bundle that is known discards it, as Open vSwitch does.
Thread rule: the control thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ofproto import messages, wire
from ofproto.edits import BUNDLED, Edit
from ofproto.errors import OpenFlowError
from ofproto.mod_store import MESSAGE_OVERHEAD_BYTES, ModStore
from ofproto.session import Request, kind_of
from vslib import vlog
from vslib.clock import CLOCK
from vslib.errors import ConfigError

if TYPE_CHECKING:
    from ofproto.connection import Connection

OPEN_REQUEST, CLOSE_REQUEST, COMMIT_REQUEST, DISCARD_REQUEST = 0, 2, 4, 6  # OFPBCT_; a reply is one more
ATOMIC, ORDERED = 1, 2  # OFPBF_; what is neither is committed like what is both
_ADD = messages.MESSAGES["OFPT_BUNDLE_ADD_MESSAGE"]
IDLE_MS = 10_000  # Open vSwitch's default
BUNDLES_MAX = 64  # of a connection
BYTES_MAX = 1 << 28  # of all bundles of a connection: about two million flows
EDIT_BYTES = 1000  # what one of the other messages costs beyond its bytes
OPENER_BYTES = 64  # of the message that began a bundle, quoted when it ends by time

log = vlog.get("bundles")
_errors_limit = vlog.RateLimit(10, 10)


class Other(NamedTuple):
    """A message that is no flow-mod; message: the whole bundle-add."""

    name: str
    message: bytes
    edit: Edit


@dataclass
class Bundle:
    """A bundle under way; used_ms: when something was done with it last."""

    number: int
    flags: int
    opener: bytes
    used_ms: int
    closed: bool = False
    parts: list[ModStore | Other] = field(default_factory=list)  # in order
    n_bytes: int = 0

    def store(self, version: int) -> ModStore:
        """Return where the next bundle-add with a flow-mod goes, at the end."""
        if self.parts and isinstance(self.parts[-1], ModStore):
            return self.parts[-1]
        store = ModStore(_head_bytes(version))
        self.parts.append(store)
        return store


def _head_bytes(version: int) -> int:
    """Return how many bytes of a bundle-add stand before the message in it."""
    return wire.header_bytes(version, _ADD.keys[version]) + messages.BUNDLE_ADD.size


class Bundles:
    """The bundles of one connection."""

    def __init__(self) -> None:
        self._open: dict[int, Bundle] = {}
        self._n_bytes = 0

    def __len__(self) -> int:
        return len(self._open)

    @property
    def deadline_ms(self) -> int | None:
        """Return when `expired` has something to return, None for never."""
        return min(b.used_ms for b in self._open.values()) + IDLE_MS if self._open else None

    def expired(self) -> list[Bundle]:
        """Discard and return the bundles that nothing was done with for IDLE_MS."""
        last_ms = CLOCK.now_ms() - IDLE_MS
        return [self.discard(b.number) for b in list(self._open.values()) if b.used_ms <= last_ms]

    def begin(self, number: int, flags: int, opener: bytes) -> Bundle:
        """Return a new bundle; raises OpenFlowError when the number is in use (that bundle is discarded), or when there
        are too many.
        """
        if number in self._open:
            self.discard(number)
            raise OpenFlowError("OFPBFC_BAD_ID")
        if len(self._open) >= BUNDLES_MAX:
            raise OpenFlowError("OFPBFC_OUT_OF_BUNDLES")
        self._open[number] = Bundle(number, flags, opener[:OPENER_BYTES], CLOCK.now_ms())
        return self._open[number]

    def use(self, number: int, flags: int) -> Bundle | None:
        """Return a bundle to add to or to close, None if there is none; raises OpenFlowError, and discards it, when it
        is closed already or has other flags.
        """
        bundle = self._open.get(number)
        if bundle is None:
            return None
        if bundle.closed or bundle.flags != flags:
            self.discard(number)
            raise OpenFlowError("OFPBFC_BUNDLE_CLOSED" if bundle.closed else "OFPBFC_BAD_FLAGS")
        bundle.used_ms = CLOCK.now_ms()
        return bundle

    def grow(self, bundle: Bundle, n_bytes: int) -> None:
        """Take note that a bundle grew; raises OpenFlowError, and discards it, when the connection's grow too big."""
        if self._n_bytes + n_bytes > BYTES_MAX:
            self.discard(bundle.number)
            raise OpenFlowError("OFPBFC_MSG_TOO_MANY")
        bundle.n_bytes += n_bytes
        self._n_bytes += n_bytes
        bundle.used_ms = CLOCK.now_ms()

    @property
    def room(self) -> int:
        """Return by how many bytes the bundles may still grow, MESSAGE_OVERHEAD_BYTES a message included."""
        return BYTES_MAX - self._n_bytes

    def usable(self, number: int, flags: int) -> Bundle | None:
        """Return a bundle that takes messages with these flags, None if that needs a closer look."""
        bundle = self._open.get(number)
        return bundle if bundle is not None and bundle.flags == flags and not bundle.closed else None

    def discard(self, number: int) -> Bundle:
        """Take a bundle away and return it; raises OpenFlowError when there is none."""
        bundle = self._open.pop(number, None)
        if bundle is None:
            raise OpenFlowError("OFPBFC_BAD_ID")
        self._n_bytes -= bundle.n_bytes
        return bundle


def _inner(request: Request) -> Request:
    """Return the message inside a bundle-add; raises OpenFlowError for one that no bundle can take."""
    data, at = request.data, request.offset + messages.BUNDLE_ADD.size
    length = int.from_bytes(data[at + 2 : at + 4], "big")
    if not 8 <= length <= len(data) - at:
        raise OpenFlowError("OFPBFC_MSG_BAD_LEN")
    inner = data[at : at + length]
    if inner[4:8] != data[4:8]:
        raise OpenFlowError("OFPBFC_MSG_BAD_XID")
    if inner[0] != request.version:
        raise OpenFlowError("OFPBFC_BAD_VERSION")
    try:
        kind = kind_of(inner, request.version)
    except OpenFlowError:
        raise OpenFlowError("OFPBFC_MSG_UNSUP") from None
    if kind.handler != "flow_mod" and kind.handler not in BUNDLED:
        raise OpenFlowError("OFPBFC_MSG_UNSUP")
    return Request(kind, inner, request.version, wire.header_bytes(request.version, kind.keys[request.version]))


def add(conn: Connection, request: Request) -> None:
    """Put a message into a bundle, which need not have been opened; raises OpenFlowError."""
    number, flags = messages.BUNDLE_ADD.struct.unpack_from(request.data, request.offset)
    inner = _inner(request)
    edit = None
    if inner.kind.handler in BUNDLED:
        edit = BUNDLED[inner.kind.handler](conn, inner)
    else:
        conn.bridge.flows.check(inner.data, conn.table_in_command)
    bundle = conn.bundles.use(number, flags)
    if bundle is None:
        bundle = conn.bundles.begin(number, flags, request.data)
    if edit is None:
        conn.bundles.grow(bundle, len(request.data) + MESSAGE_OVERHEAD_BYTES)
        bundle.store(request.version).append(request.data)
    else:
        conn.bundles.grow(bundle, len(request.data) + EDIT_BYTES)
        bundle.parts.append(Other(inner.kind.name, request.data, edit))


def add_run(conn: Connection, data: bytes, at: int, end: int) -> int:
    """Put the flow-mods of a run of bundle-adds into their bundle; returns where the first message begins that `add`
    has to look at: one that opens a bundle, belongs to another one, is no flow-mod, or is wrong.
    """
    version = data[at]
    number, flags = messages.BUNDLE_ADD.struct.unpack_from(data, at + wire.header_bytes(version, _ADD.keys[version]))
    bundle = conn.bundles.usable(number, flags)
    if bundle is None:
        return at
    store = bundle.store(version)
    n, begin = len(store), at
    at = conn.bridge.flows.collect_adds(store, data, at, end, conn.bundles.room, conn.table_in_command)
    conn.bundles.grow(bundle, at - begin + (len(store) - n) * MESSAGE_OVERHEAD_BYTES)
    return at


def _open(conn: Connection, request: Request, number: int, flags: int) -> None:
    conn.bundles.begin(number, flags, request.data)


def _close(conn: Connection, request: Request, number: int, flags: int) -> None:
    bundle = conn.bundles.use(number, flags)
    if bundle is None:
        raise OpenFlowError("OFPBFC_BAD_ID")
    bundle.closed = True


def _commit(conn: Connection, request: Request, number: int, flags: int) -> None:
    bundle = conn.bundles.discard(number)
    if bundle.flags != flags:
        raise OpenFlowError("OFPBFC_BAD_FLAGS")
    others = [part for part in bundle.parts if isinstance(part, Other)]
    wrong = next(((i, error) for i, part in enumerate(bundle.parts) if (error := _refusal(part, flags))), None)
    mods = [part for part in bundle.parts[: wrong[0] if wrong else None] if isinstance(part, ModStore)]
    removed, failure = conn.bridge.flows.apply_bundle(mods, conn.table_in_command, wrong is None)
    if failure is not None:
        _fail(conn, failure[1], _message_of(mods, failure[0]), "OFPT_FLOW_MOD")
    if wrong is not None:
        other = bundle.parts[wrong[0]]
        assert isinstance(other, Other)
        _fail(conn, wrong[1], other.message, other.name)
    if removed:
        conn.bridge.flow_removed_ready(removed)
    for other in others:
        try:
            other.edit.run()
        except ConfigError as error:  # a frame too long for any buffer, a device that will not go down
            log.warn("%s: %s in a bundle: %s", conn.name, other.name, error, rl=_errors_limit)


def _refusal(part: ModStore | Other, flags: int) -> OpenFlowError | None:
    """Return why a part that is no flow-mod cannot be committed, as far as that is known."""
    if isinstance(part, ModStore):
        return None
    if flags & ATOMIC and not part.edit.transactional:
        return OpenFlowError("OFPBFC_MSG_FAILED")
    try:
        part.edit.check()
    except OpenFlowError as error:
        return error
    return None


def _message_of(mods: list[ModStore], index: int) -> bytes:
    """Return a message by its number over all stores."""
    for store in mods:
        if index < len(store):
            message: bytes = store.message(index)
            return message
        index -= len(store)
    raise IndexError(index)


def _fail(conn: Connection, error: OpenFlowError, message: bytes, kind: str) -> None:
    """Answer the message that a commit fails for; raises the OpenFlowError about the commit."""
    conn.session.error(error.name, message, kind)
    raise OpenFlowError("OFPBFC_MSG_FAILED")


def _discard(conn: Connection, request: Request, number: int, flags: int) -> None:
    conn.bundles.discard(number)


_CONTROLS: dict[int, Callable[[Connection, Request, int, int], None]] = {
    OPEN_REQUEST: _open,
    CLOSE_REQUEST: _close,
    COMMIT_REQUEST: _commit,
    DISCARD_REQUEST: _discard,
}


def control(conn: Connection, request: Request) -> None:
    """Open, close, commit or discard a bundle and say so; raises OpenFlowError."""
    wanted = messages.BUNDLE_CONTROL.unpack(request.data, request.offset)
    run = _CONTROLS.get(wanted["type"])
    if run is None:
        raise OpenFlowError("OFPBFC_BAD_TYPE")
    run(conn, request, wanted["bundle_id"], wanted["flags"])
    body = messages.BUNDLE_CONTROL.pack(bundle_id=wanted["bundle_id"], type=wanted["type"] + 1)
    conn.session.reply(request, "OFPT_BUNDLE_CONTROL", body)
