"""JSON-RPC 1.0 sessions over a byte stream: requests, replies and notifications in both directions (DB.01, DB.27).

``Session`` is the same at a server and at a client. One task reads, splits, checks and dispatches; whatever the
peer does (garbage, half messages, hang-ups) ends that task quietly, with the reason in ``close_reason``.
The text level (splitter, checks, encoding) is ``jsonrpc_text``. Thread rule: the loop's thread only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from vslib import coverage, vlog
from vslib.clock import CLOCK, Handle
from vslib.errors import PeerError, SwitchError
from vslib.jsonrpc_text import (
    ERROR,
    MAX_DEPTH,
    MAX_MESSAGE_BYTES,
    NOTIFY,
    REPLY,
    REQUEST,
    Message,
    Splitter,
    check,
    decode,
    encode,
)
from vslib.stream import Stream

__all__ = [
    "ERROR",
    "MAX_DEPTH",
    "MAX_MESSAGE_BYTES",
    "NOTIFY",
    "REPLY",
    "REQUEST",
    "Message",
    "RpcError",
    "Session",
    "SessionClosed",
    "Splitter",
    "check",
    "decode",
    "encode",
]

DEFAULT_PROBE_S = 5.0
MAX_QUEUED_BYTES = 64 << 20
READ_BYTES = 1 << 18
ECHO_ID = "echo"

log = vlog.get("jsonrpc")
_limit = vlog.RateLimit(5, 5)
_received = coverage.counter("jsonrpc_received")
_sent = coverage.counter("jsonrpc_sent")
_garbage = coverage.counter("jsonrpc_garbage")
_overflow = coverage.counter("jsonrpc_queue_overflow")


# The loop holds its tasks by weak references only, and nobody else need hold a server's session.
_running: set[Session] = set()


class RpcError(SwitchError):
    """The peer answered with an error, or a handler wants to: ``error`` is its JSON value."""

    def __init__(self, error: Any) -> None:
        super().__init__(str(error))
        self.error = error


class SessionClosed(PeerError):
    """The session ended before the reply came, or was closed already."""


Handler = Callable[["Session", Message], Awaitable[None] | None]


class Session:
    """One JSON-RPC connection.

    ``handler(session, message)`` gets every request and notification but ``echo`` requests, in order; it answers by
    ``reply`` or ``reply_error``, now or later. A coroutine is awaited before the next message is dispatched; what
    shall run beside that goes through ``spawn``. An RpcError that it raises becomes the error reply.
    ``probe_s``: seconds of silence before an echo request, and again before the session is closed; 0 never.
    """

    def __init__(
        self,
        stream: Stream,
        handler: Handler | None = None,
        *,
        name: str | None = None,
        probe_s: float = DEFAULT_PROBE_S,
        max_queued_bytes: int = MAX_QUEUED_BYTES,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        on_close: Callable[[Session], None] | None = None,
        answer_echo: bool = True,
    ) -> None:
        self.stream = stream
        self.name = name or stream.name
        self.handler = handler
        self.close_reason = ""  # one line, once closed
        self.last_received_ns = CLOCK.now_ns()
        self._probe_s = probe_s
        self._probe: Handle | None = None
        self._probing = False
        self._reading = False  # silence counts only while we listen
        self._max_queued_bytes = max_queued_bytes
        self._splitter = Splitter(max_message_bytes)
        self._on_close = on_close
        self._answer_echo = answer_echo
        self._next_id = 0
        self._pending: dict[Any, asyncio.Future[Any]] = {}
        self._task: asyncio.Task[None] | None = None
        self._spawned: set[asyncio.Task[None]] = set()
        self._closed = asyncio.Event()

    def start(self) -> asyncio.Task[None]:
        """Begin to read, on a task of its own (returned); harmless if already started."""
        if self._task is None:
            _running.add(self)
            self._task = asyncio.ensure_future(self.run())
        return self._task

    async def run(self) -> None:
        """Read and dispatch until the connection ends; raises nothing but its own cancellation."""
        self._task = self._task or asyncio.current_task()
        if not self.closed:
            _running.add(self)
        self._arm_probe()
        reason = "connection closed by peer"
        try:
            while not self._closed.is_set():
                self._reading = True
                chunk = await self.stream.read(READ_BYTES)
                self._reading = False
                if not chunk:
                    reason = self._end_of_stream()
                    break
                await self._feed(chunk)
        except PeerError as error:
            _garbage.inc()
            reason = str(error)
            log.warn("%s: %s", self.name, reason, rl=_limit)
        except OSError as error:
            reason = f"connection dropped ({error})"
        except asyncio.CancelledError:
            self._cancelled()
        except Exception:
            log.exception("%s: session failed", self.name)
            reason = "internal error"
        self.close(reason)

    def _cancelled(self) -> None:
        """Swallow the cancellation by which ``close`` ends the reading task; pass on any other."""
        if not self.closed:
            self.close("session cancelled")
            raise asyncio.CancelledError
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()

    def _end_of_stream(self) -> str:
        left = self._splitter.pending_bytes
        return f"connection closed in mid-message ({left} bytes)" if left else "connection closed by peer"

    async def _feed(self, chunk: bytes) -> None:
        self.last_received_ns = CLOCK.now_ns()
        self._probing = False
        for text in self._splitter.feed(chunk):
            message = decode(text)
            _received.inc()
            if log.enabled(vlog.DBG):
                log.dbg("%s: received %s", self.name, text.decode("utf-8", "replace"))
            await self._dispatch(message)
            if self._closed.is_set():
                return
        await self.stream.drain()  # a peer that does not read its replies gets no more requests served

    async def _dispatch(self, message: Message) -> None:
        if message.kind in (REPLY, ERROR):
            self._take_reply(message)
        elif message.method == "echo" and message.kind == REQUEST and self._answer_echo:
            self.reply(message.id, message.params)
        else:
            await self._handle(message)

    def _take_reply(self, message: Message) -> None:
        try:
            waiter = self._pending.pop(message.id, None)
        except TypeError:  # an id that is an object or array, and so none of ours
            waiter = None
        if waiter is None or waiter.done():
            if message.id != ECHO_ID:
                log.dbg("%s: reply to unknown request %r", self.name, message.id)
        elif message.kind == ERROR:
            waiter.set_exception(RpcError(message.error))
        else:
            waiter.set_result(message.result)

    async def _handle(self, message: Message) -> None:
        try:
            if self.handler is None:
                raise RpcError("unknown method")
            result = self.handler(self, message)
            if result is not None:
                await result
        except RpcError as error:
            self._fail(message, error.error)
        except PeerError:
            raise
        except SwitchError as error:
            self._fail(message, str(error))
        except Exception as error:  # a bug in a handler costs its request, not the session
            log.exception("%s: handler of %s failed", self.name, message.method)
            self._fail(message, f"internal error: {error}")

    def _fail(self, message: Message, error: Any) -> None:
        if message.kind == REQUEST:
            self.reply_error(message.id, error)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run ``work`` beside the session and cancel it when the session closes."""
        task = asyncio.ensure_future(work)
        self._spawned.add(task)
        task.add_done_callback(self._reap)
        return task

    def _reap(self, task: asyncio.Task[None]) -> None:
        self._spawned.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.err("%s: task failed: %r", self.name, task.exception())

    async def call(self, method: str, params: list[Any], timeout_s: float | None = None) -> Any:
        """Send a request and return its result.

        Raises RpcError with the peer's error, SessionClosed when the session ends first, TimeoutError after
        ``timeout_s`` seconds.
        """
        _, waiter = self.request(method, params)
        return await CLOCK.wait_for(waiter, timeout_s)

    def request(self, method: str, params: list[Any]) -> tuple[int, asyncio.Future[Any]]:
        """Send a request without waiting; return its id and the future of its result (as of ``call``)."""
        self._next_id += 1
        number = self._next_id
        waiter: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.closed:
            waiter.set_exception(SessionClosed(f"{self.name}: {self.close_reason}"))
            return number, waiter
        self._pending[number] = waiter
        waiter.add_done_callback(lambda _: self._pending.pop(number, None))
        self.send(Message(kind=REQUEST, method=method, params=params, id=number))
        return number, waiter

    def notify(self, method: str, params: list[Any]) -> None:
        """Send a notification."""
        self.send(Message(kind=NOTIFY, method=method, params=params))

    def reply(self, id: Any, result: Any) -> None:
        """Answer the request ``id`` with ``result``."""
        self.send(Message(kind=REPLY, result=result, id=id))

    def reply_error(self, id: Any, error: Any) -> None:
        """Answer the request ``id`` with ``error``, any JSON value but null."""
        self.send(Message(kind=ERROR, error=error, id=id))

    def send(self, message: Message) -> None:
        """Queue ``message``; silent once closed. Raises InternalError if it has no JSON form."""
        if self.closed:
            return
        self.send_bytes(encode(message))

    def send_bytes(self, text: bytes) -> None:
        """Queue an encoded message; a peer that lets more than ``max_queued_bytes`` pile up is dropped."""
        if self.closed:
            return
        if log.enabled(vlog.DBG):
            log.dbg("%s: send %s", self.name, text.decode("utf-8", "replace"))
        if self.stream.queued_bytes > self._max_queued_bytes:  # before: one message alone may be larger
            _overflow.inc()
            log.warn("%s: peer does not read, dropping the connection", self.name, rl=_limit)
            self.abort(f"peer does not read: more than {self._max_queued_bytes} bytes queued")
            return
        self.stream.write(text)
        _sent.inc()

    @property
    def queued_bytes(self) -> int:
        """How many bytes wait for the peer to read them."""
        return self.stream.queued_bytes

    @property
    def closed(self) -> bool:
        """Whether the session has ended."""
        return self._closed.is_set()

    def set_probe(self, seconds: float) -> None:
        """Change the inactivity probe interval; 0 switches it off."""
        self._probe_s = seconds
        self._probing = False
        self._arm_probe()

    def _arm_probe(self) -> None:
        if self._probe is not None:
            self._probe.cancel()
            self._probe = None
        if self._probe_s > 0 and not self.closed:
            silent_s = (CLOCK.now_ns() - self.last_received_ns) / 1e9
            self._probe = CLOCK.call_later(max(0.001, self._probe_s - silent_s), self._silent)

    def _silent(self) -> None:
        self._probe = None
        if not self._reading:
            self._probe = CLOCK.call_later(self._probe_s, self._silent)
        elif CLOCK.now_ns() - self.last_received_ns < self._probe_s * 1e9 - 1e6:
            self._arm_probe()
        elif self._probing:
            log.err("%s: no response to inactivity probe after %g seconds, disconnecting", self.name, self._probe_s)
            self.abort(f"no response to inactivity probe after {self._probe_s:g} seconds")
        else:
            self._probing = True
            self.send(Message(kind=REQUEST, method="echo", params=[], id=ECHO_ID))
            self._probe = CLOCK.call_later(self._probe_s, self._silent)

    def close(self, reason: str = "closed") -> None:
        """End the session after what is queued was sent; waiting calls raise SessionClosed."""
        if self._finish(reason):
            self.stream.close()

    def abort(self, reason: str = "aborted") -> None:
        """End the session now, dropping what is queued."""
        if self._finish(reason):
            self.stream.abort()

    def _finish(self, reason: str) -> bool:
        if self.closed:
            return False
        self.close_reason = reason
        self._closed.set()
        _running.discard(self)
        if self._probe is not None:
            self._probe.cancel()
        for waiter in list(self._pending.values()):
            if not waiter.done():
                waiter.set_exception(SessionClosed(f"{self.name}: {reason}"))
                waiter.exception()  # a caller that no longer waits is no error
        for task in list(self._spawned):
            task.cancel()
        if self._task is not None and not self._task.done() and self._task is not asyncio.current_task():
            self._task.cancel()
        if self._on_close is not None:
            self._on_close(self)
        return True

    async def wait_closed(self) -> None:
        """Return when the session and its stream have ended."""
        await self._closed.wait()
        await self.stream.wait_closed()
