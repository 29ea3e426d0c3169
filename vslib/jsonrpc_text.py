"""JSON-RPC 1.0 as bytes: splitting a stream into messages, decoding, checking and encoding them; no I/O (DB.01).

The stream has no length prefixes: a message ends where its outermost brace closes. ``Splitter`` finds that place
in chunks of any size by looking only at quotes, backslashes and brackets; the text between is msgspec's business.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from vslib.errors import InternalError, PeerError

MAX_MESSAGE_BYTES = 256 << 20  # the first reply to a monitor of a large database is one message
MAX_DEPTH = 1000
REQUEST, NOTIFY, REPLY, ERROR = "request", "notification", "reply", "error"

_BLANKS = b" \t\r\n"
# What changes the depth by nothing, scalars and whole strings, is skipped by the regular expression engine in one go.
# No possessive quantifier: Python 3.11.2, Debian 12's, gives wrong matches for them. The classes are disjoint, so a
# failure costs no more than the text once; the count bounds what the engine keeps for it.
_SKIPPED = re.compile(rb'[^"{}\[\]]*(?:"[^"\\]*(?:\\.[^"\\]*)*"[^"{}\[\]]*){0,256}', re.DOTALL)
_STRING_END = re.compile(rb'["\\]')
_OPENING = b"{["
_MEMBERS = frozenset({"method", "params", "result", "error", "id"})
# What a message of each kind must have (True) and must not have (False).
_SHAPES = {
    REQUEST: {"params": True, "result": False, "error": False, "id": True},
    NOTIFY: {"params": True, "result": False, "error": False, "id": False},
    REPLY: {"method": False, "params": False, "error": False, "id": True},
    ERROR: {"method": False, "params": False, "result": False, "id": True},
}

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


class Message(msgspec.Struct, kw_only=True):
    """One JSON-RPC message; ``kind`` tells which of the other members it has."""

    kind: str
    method: str = ""
    params: list[Any] = []
    result: Any = None
    error: Any = None
    id: Any = None


class Splitter:
    """Cuts a byte stream into top-level JSON objects."""

    __slots__ = ("_depth", "_escaped", "_in_string", "_max_bytes", "_max_depth", "_parts", "_size")

    def __init__(self, max_bytes: int = MAX_MESSAGE_BYTES, max_depth: int = MAX_DEPTH) -> None:
        self._max_bytes = max_bytes
        self._max_depth = max_depth
        self._parts: list[bytes] = []  # the unfinished message, in the chunks it came in
        self._size = 0
        self._depth = 0
        self._in_string = False
        self._escaped = False

    @property
    def pending_bytes(self) -> int:
        """How many bytes of an unfinished message are held."""
        return self._size

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the messages that ``chunk`` completes; raises PeerError for garbage, depth or size."""
        messages = []
        position = 0
        while position < len(chunk):
            if self._depth == 0:
                position = self._skip_blanks(chunk, position)
                if position == len(chunk):
                    break
            end = self._find_end(chunk, position)
            self._keep(chunk[position:end])
            position = end
            if self._depth == 0:
                messages.append(b"".join(self._parts))
                self._parts.clear()
                self._size = 0
        return messages

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._max_bytes:
            raise PeerError(f"JSON message is longer than {self._max_bytes} bytes")
        self._parts.append(part)

    def _skip_blanks(self, chunk: bytes, position: int) -> int:
        """Return where the next message starts, or the end of the chunk."""
        while position < len(chunk) and chunk[position] in _BLANKS:
            position += 1
        if position < len(chunk) and chunk[position] != 0x7B:
            found = chunk[position : position + 1]
            shown = found.decode("ascii") if 0x20 < found[0] < 0x7F else f"\\x{found[0]:02x}"
            raise PeerError(f"syntax error: a JSON-RPC message starts with '{{', not with '{shown}'")
        return position

    def _find_end(self, chunk: bytes, position: int) -> int:
        """Follow the structure from ``position``; return where depth falls to 0, or the end of the chunk."""
        while True:
            if self._in_string:
                position = self._leave_string(chunk, position)
            if self._depth:
                position = _SKIPPED.match(chunk, position).end()  # type: ignore[union-attr]  # it matches nothing, too
            if position == len(chunk):
                return position
            byte = chunk[position]
            position += 1
            if byte == 0x22:  # a string that ends in a later chunk
                self._in_string = True
            elif byte in _OPENING:
                self._depth += 1
                if self._depth > self._max_depth:
                    raise PeerError(f"JSON message is nested deeper than {self._max_depth} levels")
            else:
                self._depth -= 1
                if self._depth == 0:
                    return position

    def _leave_string(self, chunk: bytes, position: int) -> int:
        """Return the position behind the closing quote, or the end of the chunk (the state says which)."""
        if self._escaped:
            position += 1
            self._escaped = False
        while True:
            found = _STRING_END.search(chunk, position)
            if found is None:
                return len(chunk)
            position = found.end()
            if chunk[position - 1] == 0x22:
                self._in_string = False
                return position
            if position == len(chunk):
                self._escaped = True
                return position
            position += 1


def decode(text: bytes) -> Message:
    """Return the message in ``text``; raises PeerError that names what is wrong with it."""
    try:
        value = _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PeerError(f"syntax error: {error}") from error
    return check(value)


def check(value: object) -> Message:
    """Return ``value``, decoded JSON, as a message; raises PeerError if JSON-RPC 1.0 does not allow it."""
    if not isinstance(value, dict):
        raise PeerError("message is not a JSON object")
    for member in value:
        if member not in _MEMBERS:
            raise PeerError(f'message has unexpected member "{member}"')
    method = value.get("method")
    if method is not None and not isinstance(method, str):
        raise PeerError("method is not JSON string")
    kind = _kind(value)
    for member, wanted in _SHAPES[kind].items():
        if (value.get(member) is not None) is not wanted:
            raise PeerError(f'{kind} must{"" if wanted else " not"} have "{member}"')
    params = value.get("params")
    if params is not None and not isinstance(params, list):
        raise PeerError('"params" must be JSON array')
    return Message(
        kind=kind,
        method=method or "",
        params=params or [],
        result=value.get("result"),
        error=value.get("error"),
        id=value.get("id"),
    )


def _kind(value: dict[str, Any]) -> str:
    if value.get("method") is not None:
        return NOTIFY if value.get("id") is None else REQUEST
    if value.get("error") is not None:
        return ERROR
    if "result" in value:
        return REPLY
    raise PeerError('message has neither "method" nor "result" nor "error"')


def encode(message: Message) -> bytes:
    """Return ``message`` as bytes; raises InternalError if something in it has no JSON form."""
    if message.kind in (REQUEST, NOTIFY):
        value = {"method": message.method, "params": message.params, "id": message.id}
    else:
        value = {"result": message.result, "error": message.error, "id": message.id}
    try:
        return _encoder.encode(value)
    except (TypeError, ValueError, RecursionError, msgspec.EncodeError) as error:
        raise InternalError(f"cannot encode JSON-RPC {message.kind}: {error}") from error
