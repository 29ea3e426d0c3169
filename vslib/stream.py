"""Byte streams by Open vSwitch's target strings: ``unix:``, ``tcp:``, ``ssl:``, their passive forms, and in memory.

A ``Stream`` is what protocols see: read, write, drain, close, a name. Sockets of the operating system and the
in-memory pair behave the same, so a protocol tested on the pair needs no sockets. Default ports are the caller's.
Thread rule: the loop's thread only.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import os
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from vslib import coverage, stream_tls, stream_unix, vlog
from vslib.clock import CLOCK
from vslib.errors import ConfigError
from vslib.stream_carrier import CHUNK_BYTES, Carrier, OnData, OnEnd
from vslib.stream_target import Target, join_host, parse_target

__all__ = ["Listener", "MemoryStream", "SocketStream", "Stream", "connect", "listen", "pair", "parse_target"]

WRITE_LIMIT_BYTES = 1 << 16  # drain() waits above this
BACKLOG = 64
CONNECT_TRIES = 50  # of a unix listener whose backlog is full
CONNECT_RETRY_S = 0.02

log = vlog.get("stream")
_opened = coverage.counter("stream_open")
_listened = coverage.counter("pstream_open")

_AddressInfo = tuple[int, int, int, str, Any]
OnConnect = Callable[["Stream"], Awaitable[None] | None]


class Stream(abc.ABC):
    """One end of a two-way byte stream."""

    name = ""  # the other end, as a target string

    @abc.abstractmethod
    async def read(self, max_bytes: int = 1 << 16) -> bytes:
        """Return at least one byte, or b"" at the end; raises ConnectionError when the connection broke."""

    @abc.abstractmethod
    def write(self, data: bytes) -> None:
        """Queue ``data``; never waits, and is silent when the connection is gone (``read`` will tell)."""

    @abc.abstractmethod
    async def drain(self) -> None:
        """Wait until the output queue is short again; raises ConnectionError when the connection broke."""

    @abc.abstractmethod
    def hand_over(self, on_data: OnData, on_end: OnEnd) -> None:
        """Read no more by `read`: call `on_data` with bytes as they come and `on_end` at the end, perhaps repeatedly,
        with the error that broke the connection or None.
        """

    @abc.abstractmethod
    def pause(self) -> None:
        """Hand nothing over until `resume`, and let the peer wait."""

    @abc.abstractmethod
    def resume(self) -> None:
        """Hand over again."""

    @property
    @abc.abstractmethod
    def queued_bytes(self) -> int:
        """How many bytes wait for the peer to take them, the kernel's own buffer not counted."""

    @abc.abstractmethod
    def close(self) -> None:
        """End the connection after sending what is queued."""

    @abc.abstractmethod
    def abort(self) -> None:
        """End the connection now; what is queued is lost."""

    @abc.abstractmethod
    async def wait_closed(self) -> None:
        """Return when the connection has ended; never raises for a broken one."""


class SocketStream(Stream):
    """A stream over a socket of the event loop."""

    def __init__(self, carrier: Carrier, name: str) -> None:
        self.name = name
        self._carrier = carrier
        self._transport = carrier.transport
        _opened.inc()

    async def read(self, max_bytes: int = 1 << 16) -> bytes:
        try:
            return await self._carrier.read(max_bytes)
        except ConnectionError:
            raise
        except OSError as error:
            raise ConnectionError(str(error)) from error

    def hand_over(self, on_data: OnData, on_end: OnEnd) -> None:
        self._carrier.hand_over(on_data, on_end)

    def pause(self) -> None:
        self._carrier.pause()

    def resume(self) -> None:
        self._carrier.resume()

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        try:
            await self._carrier.drain()
        except ConnectionError:
            raise
        except OSError as error:
            raise ConnectionError(str(error)) from error

    @property
    def queued_bytes(self) -> int:
        return int(self._transport.get_write_buffer_size())

    @property
    def sock(self) -> socket.socket | None:
        """The socket, for options and addresses; None once closed."""
        found: socket.socket | None = self._transport.get_extra_info("socket")
        return found

    @property
    def peer_credentials(self) -> tuple[int, int, int] | None:
        """Process, user and group id of a unix peer, None on other streams."""
        if self.sock is None or self.sock.family != socket.AF_UNIX:
            return None
        pid, uid, gid = struct.unpack("3i", self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return pid, uid, gid

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    async def wait_closed(self) -> None:
        await self._carrier.wait_lost()


class _Pipe:
    """One direction of a memory pair: bytes that were written and not yet read."""

    __slots__ = ("broken", "data", "deliver", "ended", "readable", "writable")

    def __init__(self) -> None:
        self.data = bytearray()
        self.deliver: Callable[[], None] | None = None  # to be called soon when there is news for the reader
        self.ended = False  # the writer closed: read the rest, then the end
        self.broken = False  # the reader closed: writing has no sense any more
        self.readable: asyncio.Future[None] | None = None
        self.writable: asyncio.Future[None] | None = None

    def wake(self) -> None:
        for waiter in (self.readable, self.writable):
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
        self.readable = self.writable = None
        self.tell()

    def tell(self) -> None:
        """Have the reader that bytes are handed to look, in the loop's next turn."""
        if self.deliver is not None:
            asyncio.get_running_loop().call_soon(self.deliver)


class MemoryStream(Stream):
    """One end of ``pair()``: no descriptors, no kernel, the same order of events in every run."""

    def __init__(self, inward: _Pipe, outward: _Pipe, name: str) -> None:
        self.name = name
        self._in = inward
        self._out = outward
        self._closed = False
        self._paused = False
        self._on_data: OnData | None = None
        self._on_end: OnEnd | None = None

    async def read(self, max_bytes: int = 1 << 16) -> bytes:
        pipe = self._in
        while not pipe.data and not pipe.ended and not self._closed:
            if pipe.readable is None:
                pipe.readable = asyncio.get_running_loop().create_future()
            await asyncio.shield(pipe.readable)
        if self._closed:
            return b""
        return self._take(max_bytes)

    def _take(self, max_bytes: int) -> bytes:
        pipe = self._in
        data = bytes(pipe.data[:max_bytes])
        del pipe.data[:max_bytes]
        if len(pipe.data) <= WRITE_LIMIT_BYTES and pipe.writable is not None and not pipe.writable.done():
            pipe.writable.set_result(None)
            pipe.writable = None
        return data

    def hand_over(self, on_data: OnData, on_end: OnEnd) -> None:
        self._on_data, self._on_end = on_data, on_end
        self._in.deliver = self._deliver
        self._deliver()

    def _deliver(self) -> None:
        while self._in.data and not self._paused and not self._closed and self._on_data is not None:
            self._on_data(self._take(CHUNK_BYTES))
        if (self._in.ended or self._closed) and not self._paused and self._on_end is not None:
            self._on_end(None)

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._deliver()

    def write(self, data: bytes) -> None:
        pipe = self._out
        if self._closed or pipe.broken or not data:
            return
        pipe.data += data
        if pipe.readable is not None and not pipe.readable.done():
            pipe.readable.set_result(None)
            pipe.readable = None
        pipe.tell()

    async def drain(self) -> None:
        pipe = self._out
        while len(pipe.data) > WRITE_LIMIT_BYTES and not pipe.broken and not self._closed:
            if pipe.writable is None:
                pipe.writable = asyncio.get_running_loop().create_future()
            await asyncio.shield(pipe.writable)
        if pipe.broken or self._closed:
            raise ConnectionResetError(f"{self.name}: closed")

    @property
    def queued_bytes(self) -> int:
        return len(self._out.data)

    def close(self) -> None:
        self._closed = True
        self._in.broken = True
        self._in.data.clear()
        self._out.ended = True
        self._in.wake()
        self._out.wake()

    def abort(self) -> None:
        self._out.data.clear()
        self.close()

    async def wait_closed(self) -> None:
        return


def pair(name: str = "memory") -> tuple[MemoryStream, MemoryStream]:
    """Return the two ends of a stream inside this process."""
    there, back = _Pipe(), _Pipe()
    return MemoryStream(back, there, f"{name}:a"), MemoryStream(there, back, f"{name}:b")


async def connect(target: str, default_port: int | None = None, *, source: tuple[str, int] | None = None) -> Stream:
    """Return a stream connected to an active ``target``; ``source`` is the local (host, port) to use.

    Raises ConfigError for a bad target or missing TLS files, OSError when the connection fails (the caller retries).
    """
    parsed = parse_target(target, default_port)
    if parsed.passive:
        raise ConfigError(f"{target}: not an active connection method")
    loop = asyncio.get_running_loop()
    if parsed.carrier == "unix":
        sock = await _connect_unix(parsed.path)
        _, carrier = await loop.create_unix_connection(Carrier, sock=sock)
        return SocketStream(carrier, target)
    tls = stream_tls.context(server=False) if parsed.carrier == "ssl" else None
    try:
        _, carrier = await loop.create_connection(Carrier, parsed.host, parsed.port, ssl=tls, local_addr=source)
    except OSError as error:
        raise _one_error(error) from error
    _no_delay(carrier)
    return SocketStream(carrier, target)


def _one_error(error: OSError) -> OSError:
    """Return the system's own text for asyncio's, which tells addresses or of several that all failed."""
    if type(error).__module__ != "builtins":  # of TLS or the resolver: their numbers are not errno's, their texts good
        return error
    number = error.errno
    if number is None:
        found = re.findall(r"\[Errno (\d+)\]", str(error))
        number = int(found[-1]) if found else None
    return error if number is None else OSError(number, os.strerror(number))


async def _connect_unix(path: str) -> socket.socket:
    for _ in range(CONNECT_TRIES):
        try:
            return stream_unix.connect_now(path)
        except BlockingIOError:  # the listener's backlog is full; the kernel tells no other way when it is not
            await CLOCK.sleep(CONNECT_RETRY_S)
    return stream_unix.connect_now(path)


def _no_delay(carrier: Carrier) -> None:
    sock: socket.socket | None = carrier.transport.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Listener:
    """A passive target that is being listened on."""

    def __init__(self, target: Target, sock: socket.socket, on_connect: OnConnect) -> None:
        self.target = target.text
        self._parsed = target
        self._sock = sock
        self._on_connect = on_connect
        self._identity = stream_unix.identity(target.path) if target.carrier == "unix" else None
        self._server: asyncio.AbstractServer | None = None
        self._serial = 0
        self._tasks: set[asyncio.Task[None]] = set()
        _listened.inc()

    async def start(self) -> None:
        """Begin to accept connections."""
        loop = asyncio.get_running_loop()
        if self._parsed.carrier == "unix":
            self._server = await loop.create_unix_server(self._carrier, sock=self._sock)
            return
        tls = stream_tls.context(server=True) if self._parsed.carrier == "ssl" else None
        self._server = await loop.create_server(self._carrier, sock=self._sock, ssl=tls)

    def _carrier(self) -> Carrier:
        return Carrier(self._made)

    def _made(self, carrier: Carrier) -> None:
        task = asyncio.get_running_loop().create_task(self._accepted(carrier))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def port(self) -> int:
        """The TCP port that is bound (the kernel's choice if the target said 0), 0 for a unix socket."""
        return 0 if self._parsed.carrier == "unix" else int(self._sock.getsockname()[1])

    async def _accepted(self, carrier: Carrier) -> None:
        self._serial += 1
        stream = SocketStream(carrier, self._peer_name(carrier))
        _no_delay(carrier)
        try:
            result = self._on_connect(stream)
            if result is not None:
                await result
        except asyncio.CancelledError:  # the owner ends its handlers; asyncio of Python 3.11 would log that as an error
            stream.abort()
        except Exception:  # a broken handler costs its own connection, never the listener
            log.exception("%s: connection handler failed", self.target)
            stream.abort()

    def _peer_name(self, carrier: Carrier) -> str:
        if self._parsed.carrier == "unix":
            return f"unix#{self._serial}"
        peer = carrier.transport.get_extra_info("peername") or ("?", 0)
        return f"{self._parsed.carrier}:{join_host(peer[0], peer[1])}"

    async def close(self) -> None:
        """Stop listening and remove the socket file, if it is still ours; connections live on."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._sock.close()
        if self._identity is not None and stream_unix.identity(self._parsed.path) == self._identity:
            with contextlib.suppress(OSError):
                os.unlink(self._parsed.path)
        self._identity = None


async def listen(target: str, default_port: int | None, on_connect: OnConnect, *, mode: int | None = None) -> Listener:
    """Listen on a passive ``target``; ``on_connect(stream)``, a function or coroutine, gets each connection.

    ``mode`` is the permission of a unix socket's file (default 0o770). Raises ConfigError with the reason.
    """
    parsed = parse_target(target, default_port)
    if not parsed.passive:
        raise ConfigError(f"{target}: not a passive connection method")
    if parsed.carrier == "ssl":
        stream_tls.context(server=True)
    try:
        if parsed.carrier == "unix":
            sock = stream_unix.listen_now(parsed.path, BACKLOG, mode)
        else:
            sock = await _bind_tcp(parsed.host, parsed.port)
    except OSError as error:
        raise ConfigError(f"{target}: listen failed: {error.strerror or error}") from error
    listener = Listener(parsed, sock, on_connect)
    await listener.start()
    return listener


async def _bind_tcp(host: str, port: int) -> socket.socket:
    """Return a listening socket; an empty host means every IPv4 address, as in Open vSwitch."""
    family, kind, proto, _, address = await _resolve(host or "0.0.0.0", port)
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


async def _resolve(host: str, port: int) -> _AddressInfo:
    """Return the first address of ``host``; names are looked up on another thread, so nothing stalls (MG.16)."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0]
    except socket.gaierror:
        loop = asyncio.get_running_loop()
        return (await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE))[0]
