"""One socket connection on the event loop, read in either of two ways: bytes waited for, or bytes handed over as they
come.

Handing over costs neither a task switch nor a future per read, which is what the OpenFlow channel needs (a controller
that waits for a barrier after each flow-mod pays for every microsecond). Thread rule: the loop's thread only.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import cast

from vslib.clock import CLOCK

CHUNK_BYTES = 1 << 16
HIGH_BYTES = 1 << 19  # reading stops while more than this waits to be asked for
LOW_BYTES = 1 << 18

READS_AT_ONCE = 16  # of one connection, before others have their turn

OnData = Callable[[bytes], bool]  # whether more is likely to be there already
OnEnd = Callable[[Exception | None], None]


class Carrier(asyncio.BufferedProtocol):
    """What asyncio calls; `made` is called once the transport is there."""

    def __init__(self, made: Callable[[Carrier], None] | None = None) -> None:
        self.transport: asyncio.Transport
        self.ended = False  # the peer will send nothing more
        self.error: Exception | None = None
        self._made = made
        self._chunk = bytearray(CHUNK_BYTES)
        self._view = memoryview(self._chunk)
        self._chunks = [self._chunk]
        self._fd = -1  # of a socket whose bytes are the stream's
        self._pending = bytearray()
        self._paused = False
        self._reader: asyncio.Future[None] | None = None
        self._writers: list[asyncio.Future[None]] = []
        self._full = False
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_data: OnData | None = None
        self._on_end: OnEnd | None = None

    # -- what asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        sock = transport.get_extra_info("socket")
        if sock is not None and transport.get_extra_info("sslcontext") is None:
            self._fd = sock.fileno()
        if self._made is not None:
            self._made(self)

    def get_buffer(self, sizehint: int) -> bytearray:
        """Return where the next bytes go."""
        return self._chunk

    def buffer_updated(self, nbytes: int) -> None:
        """Take bytes that arrived."""
        if self._on_data is not None and not self._paused:
            if self._on_data(bytes(self._view[:nbytes])) and self._fd >= 0:
                self._read_on(self._on_data)
            return
        self._pending += self._view[:nbytes]
        if len(self._pending) > HIGH_BYTES:
            self.transport.pause_reading()
        _wake(self._reader)

    def _read_on(self, on_data: OnData) -> None:
        """Read what has come meanwhile, which spares a turn of the loop; the end and errors are the transport's."""
        for _ in range(READS_AT_ONCE):
            if self._paused or self.transport.is_closing():
                return
            try:
                nbytes = os.readv(self._fd, self._chunks)
            except OSError:
                return
            if not nbytes or not on_data(bytes(self._view[:nbytes])):
                return

    def eof_received(self) -> bool:
        """Take the end of what the peer sends; what we still have to say may be said, except under TLS."""
        self._end(None)
        return self.transport.get_extra_info("sslcontext") is None

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end of the connection."""
        self._fd = -1
        self._end(exc)
        for writer in self._writers:
            _wake(writer)
        _wake(self._lost)

    def pause_writing(self) -> None:
        """The output queue is long."""
        self._full = True

    def resume_writing(self) -> None:
        """The output queue is short again."""
        self._full = False
        for writer in self._writers:
            _wake(writer)

    def _end(self, error: Exception | None) -> None:
        first = not self.ended
        self.ended = True
        if error is not None and self.error is None:
            self.error = error
        _wake(self._reader)
        if first and self._on_end is not None and not self._paused:
            self._on_end(self.error)

    # -- what the owner asks

    async def read(self, max_bytes: int) -> bytes:
        """Return what has arrived, waiting for at least one byte; b"" at the end. Raises the error that ended it."""
        while not self._pending:
            if self.error is not None:
                raise self.error
            if self.ended:
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        data = bytes(self._pending[:max_bytes])
        del self._pending[:max_bytes]
        if len(self._pending) <= LOW_BYTES:
            self.transport.resume_reading()
        return data

    def hand_over(self, on_data: OnData, on_end: OnEnd) -> None:
        """From now on call `on_data` with what arrives, and `on_end` once at the end; what is here already at once."""
        self._on_data, self._on_end = on_data, on_end
        self._deliver()

    def pause(self) -> None:
        """Hand nothing over, and stop reading, until `resume`."""
        self._paused = True
        self.transport.pause_reading()

    def resume(self) -> None:
        """Hand over again."""
        self._paused = False
        if not self.transport.is_closing():
            self.transport.resume_reading()
        self._deliver()

    def _deliver(self) -> None:
        if self._pending and self._on_data is not None:
            data = bytes(self._pending)
            self._pending.clear()
            self._on_data(data)
        if self.ended and self._on_end is not None and not self._paused:
            self._on_end(self.error)

    async def drain(self) -> None:
        """Wait until the output queue is short; raises ConnectionError when the connection is gone."""
        if self.error is not None:
            raise self.error
        if self.transport.is_closing():
            await CLOCK.sleep(0)
        while self._full and not self._lost.done():
            writer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._writers.append(writer)
            try:
                await writer
            finally:
                self._writers.remove(writer)
        if self._lost.done():
            raise self.error or ConnectionResetError("Connection lost")

    async def wait_lost(self) -> None:
        """Return when the connection has ended."""
        if not self._lost.done():
            await asyncio.shield(self._lost)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
