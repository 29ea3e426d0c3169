"""Bundles: flow-mods that a controller collects in the switch and commits as one version of the tables, all or none
(OF.11, MS.47, MS.48).

A message is decoded when it comes in, and refused then; what depends on the tables is found at the commit, whose error
follows the error about the message. Bundles belong to a connection and end with it, or when nothing is done with them
for IDLE_MS. Every mistake with a bundle that is known discards it, as Open vSwitch does.
Thread rule: the control thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ofproto import messages, wire
from ofproto.errors import OpenFlowError
from ofproto.mod_store import MESSAGE_OVERHEAD_BYTES, ModStore
from ofproto.session import Request, kind_of
from vslib.clock import CLOCK

if TYPE_CHECKING:
    from ofproto.connection import Connection

OPEN_REQUEST, CLOSE_REQUEST, COMMIT_REQUEST, DISCARD_REQUEST = 0, 2, 4, 6  # OFPBCT_; a reply is one more
ATOMIC, ORDERED = 1, 2  # OFPBF_; what is neither is committed like what is both
_ADD = messages.MESSAGES["OFPT_BUNDLE_ADD_MESSAGE"]
IDLE_MS = 10_000  # Open vSwitch's default
BUNDLES_MAX = 64  # of a connection
BYTES_MAX = 1 << 28  # of all bundles of a connection: about two million flows
OPENER_BYTES = 64  # of the message that began a bundle, quoted when it ends by time


@dataclass
class Bundle:
    """A bundle under way; used_ms: when something was done with it last."""

    number: int
    flags: int
    opener: bytes
    used_ms: int
    closed: bool = False
    mods: ModStore = field(default_factory=ModStore)
    n_bytes: int = 0


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

    def put(self, bundle: Bundle, message: bytes) -> None:
        """Add a message; raises OpenFlowError, and discards the bundle, when the connection's bundles grow too big."""
        size = len(message) + MESSAGE_OVERHEAD_BYTES
        if self._n_bytes + size > BYTES_MAX:
            self.discard(bundle.number)
            raise OpenFlowError("OFPBFC_MSG_TOO_MANY")
        bundle.mods.append(message)
        bundle.n_bytes += size
        self._n_bytes += size

    def take(self, bundle: Bundle, n_messages: int, n_bytes: int) -> None:
        """Take note that messages were put into a bundle directly, within `room`."""
        size = n_bytes + n_messages * MESSAGE_OVERHEAD_BYTES
        bundle.n_bytes += size
        self._n_bytes += size
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


def _inner(request: Request) -> bytes:
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
    if kind.handler != "flow_mod":
        raise OpenFlowError("OFPBFC_MSG_UNSUP")
    return inner


def add(conn: Connection, request: Request) -> None:
    """Put a flow-mod into a bundle, which need not have been opened; raises OpenFlowError."""
    number, flags = messages.BUNDLE_ADD.struct.unpack_from(request.data, request.offset)
    inner = _inner(request)
    conn.bridge.flows.check(inner, conn.table_in_command)
    bundle = conn.bundles.use(number, flags)
    if bundle is None:
        bundle = conn.bundles.begin(number, flags, request.data)
    conn.bundles.put(bundle, inner)


def add_run(conn: Connection, data: bytes, at: int, end: int) -> int:
    """Put the flow-mods of a run of bundle-adds into their bundle; returns where the first message begins that `add`
    has to look at: one that opens a bundle, belongs to another one, or is wrong.
    """
    head = wire.header_bytes(data[at], _ADD.keys[data[at]])
    number, flags = messages.BUNDLE_ADD.struct.unpack_from(data, at + head)
    bundle = conn.bundles.usable(number, flags)
    if bundle is None:
        return at
    n, n_bytes = len(bundle.mods), bundle.mods.n_bytes
    at = conn.bridge.flows.collect_adds(bundle.mods, data, at, end, conn.bundles.room, conn.table_in_command)
    conn.bundles.take(bundle, len(bundle.mods) - n, bundle.mods.n_bytes - n_bytes)
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
    removed, failure = conn.bridge.flows.apply_bundle([bundle.mods], conn.table_in_command)
    if failure is not None:
        index, error = failure
        conn.session.error(error.name, bundle.mods.message(index), "OFPT_FLOW_MOD")
        raise OpenFlowError("OFPBFC_MSG_FAILED")
    if removed:
        conn.bridge.flow_removed_ready(removed)


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
