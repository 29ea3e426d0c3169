"""Bytes of OpenFlow messages: headers, framing, and bodies packed and unpacked by their layout (pure functions, no
I/O).

Everything on the wire is big-endian. What a body consists of is said in `messages.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, NamedTuple, NewType

from ofproto.numbers import OFP10, OFP13, OFP14, OFPT_VENDOR
from vslib.errors import PeerError

MAX_MESSAGE_BYTES = 0xFFFF
MAX_BODY_BYTES = 0xF000  # of one part of a multipart reply: room for any header
MORE = 1  # OFPSF_REPLY_MORE, OFPMPF_MORE

STAT_VENDOR = 0xFFFF  # OFPST_VENDOR, OFPMP_EXPERIMENTER
STATS_REQUEST = {OFP10: 16, OFP13: 18, OFP14: 18}
STATS_REPLY = {OFP10: 17, OFP13: 19, OFP14: 19}

_HEADER = struct.Struct("!BBHI")
_STAT = struct.Struct("!HH")
_VENDOR = struct.Struct("!II")

Xid = NewType("Xid", int)


class Header(NamedTuple):
    """The 8 bytes that every message starts with; length in bytes, header included."""

    version: int
    type: int
    length: int
    xid: int


class Key(NamedTuple):
    """What identifies a kind of message within a version; None where its type has no such number."""

    type: int
    stat: int | None = None
    vendor: int | None = None
    subtype: int | None = None


class Layout:
    """A fixed part of a body: field names in wire order, from a text such as ``flags:H miss_send_len:H 4x``."""

    def __init__(self, text: str) -> None:
        names, codes = [], []
        for word in text.split():
            name, colon, code = word.partition(":")
            if colon:
                names.append(name)
            codes.append(code if colon else word)
        self.struct = struct.Struct("!" + "".join(codes))
        self.size = self.struct.size
        self.names = tuple(names)

    def pack(self, **values: Any) -> bytes:
        """Return the bytes; fields that are not named are 0. Raises KeyError for an unknown name."""
        for name in values:
            if name not in self.names:
                raise KeyError(name)
        return self.struct.pack(*[values.get(name, 0) for name in self.names])

    def unpack(self, data: bytes, offset: int = 0) -> dict[str, Any]:
        """Return the fields found at `offset`; the caller has checked the length."""
        return dict(zip(self.names, self.struct.unpack_from(data, offset), strict=True))


class Framer:
    """Cuts a byte stream into messages."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that are complete now; raises PeerError when a length is impossible (the stream is lost
        then).
        """
        if self._rest:
            data = self._rest + data
        messages = []
        at, end = 0, len(data)
        while end - at >= 8:
            length = data[at + 2] << 8 | data[at + 3]
            if length < 8:
                raise PeerError(f"received too-short ofp_header ({length} bytes)")
            if end - at < length:
                break
            messages.append(data[at : at + length])
            at += length
        self._rest = data[at:]
        return messages

    @property
    def pending(self) -> bytes:
        """What has arrived of an unfinished message."""
        return self._rest


def header_of(message: bytes) -> Header:
    """Return the header of a whole message."""
    return Header(*_HEADER.unpack_from(message))


def xid_of(message: bytes) -> int:
    """Return the transaction id of a whole message."""
    return int.from_bytes(message[4:8], "big")


def header_bytes(version: int, key: Key) -> int:
    """Return how many bytes stand before the body of a message of this kind."""
    if key.stat is None:
        return 8 if key.vendor is None else 16
    if key.vendor is None:
        return 12 if version == OFP10 else 16
    return 24


def key_of(message: bytes) -> Key:
    """Return the numbers of a message; raises ValueError when it ends before the last of them."""
    version, kind = message[0], message[1]
    if kind == OFPT_VENDOR:
        if len(message) < 16:
            raise ValueError("vendor header is cut short")
        return Key(kind, None, *_VENDOR.unpack_from(message, 8))
    if kind not in (STATS_REQUEST[version], STATS_REPLY[version]):
        return Key(kind)
    plain = 12 if version == OFP10 else 16
    if len(message) < plain:
        raise ValueError("statistics header is cut short")
    stat = _STAT.unpack_from(message, 8)[0]
    if stat != STAT_VENDOR:
        return Key(kind, stat)
    if len(message) < plain + 8:
        raise ValueError("vendor statistics header is cut short")
    return Key(kind, stat, *_VENDOR.unpack_from(message, plain))


def stat_flags(message: bytes) -> int:
    """Return the flags of a statistics message."""
    return int(_STAT.unpack_from(message, 8)[1])


def build(version: int, key: Key, xid: int, body: bytes, flags: int = 0) -> bytes:
    """Return a whole message; `flags` are those of statistics."""
    parts = b""
    if key.stat is not None:
        parts = _STAT.pack(key.stat, flags)
        if version != OFP10:
            parts += bytes(4)
    if key.vendor is not None:
        parts += _VENDOR.pack(key.vendor, key.subtype)
        if key.stat is not None and version == OFP10:
            parts += bytes(4)
    return _HEADER.pack(version, key.type, 8 + len(parts) + len(body), xid) + parts + body


def properties(data: bytes, offset: int) -> list[tuple[int, bytes]]:
    """Return type and payload of OpenFlow 1.4 properties from `offset` on; raises ValueError when one is cut short."""
    found = []
    while offset < len(data):
        if len(data) - offset < 4:
            raise ValueError("property header is cut short")
        kind, length = _STAT.unpack_from(data, offset)
        if length < 4 or offset + length > len(data):
            raise ValueError(f"property of {length} bytes")
        found.append((kind, data[offset + 4 : offset + length]))
        offset += (length + 7) // 8 * 8
    return found


def chunks(entries: Iterable[bytes], limit: int = MAX_BODY_BYTES) -> list[bytes]:
    """Return bodies of at most `limit` bytes made of whole entries, at least one body (CH.16)."""
    bodies: list[bytes] = []
    run: list[bytes] = []
    size = 0
    for entry in entries:
        if run and size + len(entry) > limit:
            bodies.append(b"".join(run))
            run, size = [], 0
        run.append(entry)
        size += len(entry)
    bodies.append(b"".join(run))
    return bodies
