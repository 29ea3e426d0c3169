"""A controller as raw OpenFlow over TCP: it listens where a switch calls, and says only what a test tells it to."""

from __future__ import annotations

import select
import socket
import struct
import time
import weakref
from collections.abc import Callable

from tests.ofproto.channel_rig import bound, msg

HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY, PACKET_IN = 0, 1, 2, 3, 10


class Stub:
    """Listens on a port of an address; `accept` takes the switch's next connection.

    call: runs a function, in another network namespace perhaps.
    """

    def __init__(self, call: Callable[[Callable[[], socket.socket]], socket.socket] = lambda fn: fn(),
                 address: str = "127.0.0.1") -> None:
        self._call, self._address = call, address
        # Bound for as long as the stub lives, so that the system gives the port to nobody else while nothing listens.
        reserved = call(lambda: bound(address, 0))
        weakref.finalize(self, reserved.close)
        self.port = int(reserved.getsockname()[1])
        self.listener: socket.socket | None = None
        self.peer: socket.socket | None = None
        self.rest = b""

    def listen(self) -> None:
        """Listen from now on, so that a call before `accept` waits for that instead of being refused."""
        if self.listener is None:
            self.listener = self._call(lambda: listening(self._address, self.port))

    def accept(self, version: int = 4, hello: bytes | None = None, shake: bool = True) -> Stub:
        """Take a connection and shake hands as `version`, with `hello` if given."""
        if self.peer is not None:
            self.peer.close()
        self.listen()
        assert self.listener is not None
        self.peer, _ = self.listener.accept()
        self.peer.settimeout(15)
        self.rest = b""
        if shake:
            self.send(hello if hello is not None else msg(version, HELLO, xid=1))
            assert self.read()[1] == HELLO
        return self

    def send(self, *messages: bytes) -> None:
        assert self.peer is not None
        self.peer.sendall(b"".join(messages))

    def read(self) -> bytes:
        """Return the next message, echo requests answered and left out; b"" at the end."""
        while True:
            message = self._next()
            if message:
                return message
            if not self._receive():
                return b""

    def _next(self) -> bytes:
        """Return the next message that has arrived, echo requests answered and left out, else b""."""
        while len(self.rest) >= 8 and len(self.rest) >= (length := struct.unpack_from("!H", self.rest, 2)[0]):
            message, self.rest = self.rest[:length], self.rest[length:]
            if message[1] != ECHO_REQUEST:
                return message
            self.send(bytes([message[0], ECHO_REPLY]) + message[2:])
        return b""

    def _receive(self) -> bool:
        assert self.peer is not None
        try:
            more = self.peer.recv(1 << 16)
        except ConnectionResetError:
            return False
        self.rest += more
        return bool(more)

    def until_barrier(self, version: int = 4) -> list[bytes]:
        """Send a barrier and return what comes before its reply."""
        kind = 18 if version == 1 else 20
        self.send(msg(version, kind, xid=0xBA))
        found = []
        while (message := self.read())[1] != kind + 1:
            assert message, "connection ended"
            found.append(message)
        return found

    def follow(self, seconds: float) -> list[bytes]:
        """Answer probes for some time and return what else came."""
        found, end = [], time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            while message := self._next():
                found.append(message)
            if select.select([self.peer], [], [], left)[0] and not self._receive():
                break
        return found

    def hang_up(self) -> None:
        """Close the connection; calls are refused until `accept`."""
        for sock in (self.listener, self.peer):
            if sock is not None:
                sock.close()
        self.listener = self.peer = None


def listening(address: str, port: int) -> socket.socket:
    """Return a socket that listens in the calling thread's network namespace."""
    sock = bound(address, port)
    sock.listen()
    return sock
