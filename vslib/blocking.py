"""A client that waits: sockets and JSON-RPC for programs of one command, without asyncio (TL.01, TL.03).

What counts here is the time to import: this module takes 1 ms where ``socket`` takes 6, ``vslib.jsonrpc`` 60. So it
uses the C module below ``socket``, and imports TLS, parsing of addresses and logging only when needed.
"""

from __future__ import annotations

import _socket
import errno
import os

from vslib import json_light
from vslib.errors import PeerError, SwitchError

TYPE_CHECKING = False  # importing typing costs 8 ms
if TYPE_CHECKING:
    from typing import Any

MAX_SUN_PATH_BYTES = 107
RECEIVE_BYTES = 1 << 18


class ReplyError(SwitchError):
    """The peer answered a request with an error; ``error`` is its JSON value."""

    def __init__(self, error: Any) -> None:
        super().__init__(error if isinstance(error, str) else json_light.dumps(error))
        self.error = error


class Disconnected(PeerError):
    """The connection broke, or the peer closed it; ``reason`` is Open vSwitch's word for it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TlsKeys:
    """Paths of PEM files as the options -p, -c and -C give them; ``ca_cert`` "none" accepts any peer."""

    def __init__(self, private_key: str = "", certificate: str = "", ca_cert: str = "") -> None:
        self.private_key, self.certificate, self.ca_cert = private_key, certificate, ca_cert


def is_target(text: str) -> bool:
    """Tell whether ``text`` starts like something ``connect`` takes (``unix:``, ``tcp:`` or ``ssl:``)."""
    return text.startswith(("unix:", "tcp:", "ssl:"))


def connect(
    target: str, default_port: int | None = None, timeout_s: float | None = None, tls: TlsKeys | None = None
) -> _socket.socket:
    """Return a blocking socket connected to ``unix:PATH``, ``tcp:HOST[:PORT]`` or ``ssl:HOST[:PORT]``.

    HOST is a name, an IPv4 address or an IPv6 address in brackets. ``timeout_s`` limits each wait, connecting and
    later ones; None waits for ever (``end_after`` limits a whole program). The caller closes the socket.
    Raises OSError, whose ``strerror`` is what messages show, and ConfigError for a target that cannot be parsed or
    keys that cannot be read.
    """
    method, _, rest = target.partition(":")
    if method == "unix":
        return connect_unix(rest, timeout_s)
    if method not in ("tcp", "ssl"):
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT), target)
    from vslib.stream_target import parse_target

    parsed = parse_target(target, default_port)
    if method == "ssl":
        return _connect_tls(parsed.host, parsed.port, timeout_s, tls or TlsKeys())
    return _connect_tcp(parsed.host, parsed.port, timeout_s)


def connect_unix(path: str, timeout_s: float | None = None) -> _socket.socket:
    """Return a blocking socket connected to the listener at ``path``, of any length; raises OSError."""
    if len(os.fsencode(path)) > MAX_SUN_PATH_BYTES:
        from vslib import stream_unix

        return stream_unix.connect_now(path, timeout_s)
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        sock.connect(path)
    except BaseException:
        sock.close()
        raise
    return sock


def _connect_tcp(host: str, port: int, timeout_s: float | None) -> _socket.socket:
    """Connect to the first address of ``host`` that answers; raises the last address's error."""
    failure = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    for family, kind, protocol, _, address in _socket.getaddrinfo(host, port, 0, _socket.SOCK_STREAM):
        sock = _socket.socket(family, kind, protocol)
        try:
            sock.settimeout(timeout_s)
            sock.connect(address)
            sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            return sock
        except OSError as error:
            sock.close()
            failure = error
    raise failure


def _connect_tls(host: str, port: int, timeout_s: float | None, keys: TlsKeys) -> _socket.socket:
    import socket
    import ssl

    from vslib import stream_tls

    stream_tls.configure(keys.private_key, keys.certificate, keys.ca_cert)
    context = stream_tls.context(server=False)
    plain = _connect_tcp(host, port, timeout_s)
    whole = socket.socket(fileno=plain.detach())
    try:
        whole.settimeout(timeout_s)
        return context.wrap_socket(whole)
    except ssl.SSLError as error:
        whole.close()
        raise OSError(errno.EPROTO, os.strerror(errno.EPROTO), f"{host}:{port}") from error
    except BaseException:
        whole.close()
        raise


class JsonConnection:
    """JSON-RPC 1.0 over a blocking socket: requests with their replies, notifications kept, echoes answered."""

    def __init__(self, sock: _socket.socket) -> None:
        self.sock = sock
        self.notifications: list[tuple[str, list[Any]]] = []  # (method, params), oldest first; the caller takes them
        self._replies: dict[Any, dict[str, Any]] = {}
        self._received = bytearray()
        self._next_id = 0

    def request(self, method: str, params: list[Any]) -> Any:
        """Send a request and return its result; raises ReplyError, Disconnected or PeerError."""
        return self.result(self.send(method, params))

    def send(self, method: str, params: list[Any]) -> int:
        """Send a request without waiting and return its id for ``result``; raises Disconnected."""
        number = self._next_id
        self._next_id += 1
        self._write({"method": method, "params": params, "id": number})
        return number

    def result(self, number: int) -> Any:
        """Wait for the reply to a request sent and return its result; raises as ``request``."""
        while number not in self._replies:
            self._receive()
        reply = self._replies.pop(number)
        if reply.get("error") is not None:
            raise ReplyError(reply["error"])
        return reply.get("result")

    def notification(self) -> tuple[str, list[Any]]:
        """Return the oldest notification (method, params), waiting for one; raises Disconnected or PeerError."""
        while not self.notifications:
            self._receive()
        return self.notifications.pop(0)

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()

    def _write(self, message: dict[str, Any]) -> None:
        try:
            self.sock.sendall(json_light.dumps(message).encode())
        except OSError as error:
            raise Disconnected(error.strerror or str(error)) from error

    def _receive(self) -> None:
        """Wait for at least one whole message and take in all that came."""
        messages: list[Any] = []
        while not messages:
            try:
                chunk = self.sock.recv(RECEIVE_BYTES)
            except OSError as error:
                raise Disconnected(error.strerror or str(error)) from error
            if not chunk:
                raise Disconnected("End of file")
            self._received += chunk
            # A sender finishes its message, so nothing is lost by looking only when the text may be whole.
            if self._received.endswith((b"}", b"\n", b" ")):
                messages = self._split()
        for message in messages:
            self._take(message)

    def _split(self) -> list[Any]:
        """Return the whole messages received and drop their text; raises PeerError for what is no JSON."""
        found: list[Any] = []
        end = 0
        try:
            text = self._received.decode()
            while True:
                value, end = json_light.scan(text, end)
                found.append(value)
        except json_light.Unfinished:
            if found:
                self._received = bytearray(text[end:].lstrip(json_light.BLANKS).encode())
        except ValueError as error:
            raise PeerError(f"syntax error: {error}") from error
        return found

    def _take(self, message: Any) -> None:
        """Sort one message in; raises PeerError for what JSON-RPC does not know."""
        if not isinstance(message, dict):
            raise PeerError("message is not a JSON object")
        method = message.get("method")
        if method is None:
            if message.get("id") is None or not {"result", "error"} & message.keys():
                raise PeerError("message is neither a request nor a reply")
            self._replies[message["id"]] = message
        elif message.get("id") is None:
            self.notifications.append((str(method), message.get("params") or []))
        elif method == "echo":
            self._write({"result": message.get("params"), "error": None, "id": message["id"]})
        else:
            self._write({"result": None, "error": f"unknown method {method}", "id": message["id"]})


def end_after(seconds: int, program: str) -> None:
    """End the whole process by SIGALRM after ``seconds``, with Open vSwitch's line on standard error.

    This is what the option --timeout of the command lines means; shells see exit code 142. ``program`` is the name
    that the log line's configuration goes by.
    """
    import _signal

    def expire(number: int, _frame: object) -> None:
        from vslib import vlog

        vlog.set_program(program)
        vlog.open_console()
        vlog.get("fatal_signal").warn("terminating with signal %d (%s)", number, _signal.strsignal(number))
        _signal.signal(number, _signal.SIG_DFL)
        _signal.raise_signal(number)

    _signal.signal(_signal.SIGALRM, expire)
    _signal.alarm(seconds)


def die_by_signals() -> None:
    """End on ^C and on a closed pipe as C programs do: by the signal, without a traceback."""
    import _signal

    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
