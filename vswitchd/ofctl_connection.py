"""A blocking OpenFlow connection for ofctl: handshake, requests with their replies, flow formats, pipelined edits."""

from __future__ import annotations

import os
import select
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NoReturn

from ofproto import ofctl_protocol as formats
from ofproto import wire
from ofproto.numbers import OFP10
from ofproto.ofctl_build import BUNDLE_COMMIT, BUNDLE_OPEN, bundle_add, bundle_control, message
from ofproto.ofctl_decode import kind_of
from ofproto.ofctl_print import message_text, wire_versions
from vslib import blocking, dirs
from vslib.errors import ConfigError, PeerError, SwitchError

if TYPE_CHECKING:
    from _socket import socket as Socket

DEFAULT_PORT = 6653
CHUNK_BYTES = 1 << 18
_ERROR = 1
_HELLO_FAILED = struct.pack("!HH", 0, 0)
NXFF_NXM, NXFF_OPENFLOW10 = 2, 0


class Failed(SwitchError):
    """The command ends with exit code 1 and this text on standard error, as it is (with its newline)."""


def _warn(module: str, text: str) -> None:
    from vslib import vlog

    vlog.open_console()
    vlog.get(module).warn("%s", text)


def _reason(error: OSError) -> str:
    return error.strerror or os.strerror(error.errno or 0)


# -- where a switch is -----------------------------------------------------------------------------------------------


def open_target(name: str, timeout_s: float | None = None, tls: blocking.TlsKeys | None = None) -> tuple[str, Socket]:
    """Return the target that messages name and a connected socket for a switch: a connection method, a bridge of the
    run directory or the path of a socket. Raises ConfigError in ovs-ofctl's words.
    """
    if ":" in name:
        try:
            return name, blocking.connect(name, DEFAULT_PORT, timeout_s, tls)
        except OSError as error:
            raise ConfigError(f"connecting to {name} ({_reason(error)})") from None
    paths = (name, os.path.join(dirs.rundir(), f"{name}.mgmt"),
             os.path.join(dirs.rundir(), f"{name.partition('@')[2] or name}.mgmt"))  # fmt: skip
    for path in paths:
        if os.path.exists(path):
            try:
                return f"unix:{path}", blocking.connect_unix(path, timeout_s)
            except OSError as error:
                raise ConfigError(f"{name}: failed to open socket ({_reason(error)})") from None
    raise ConfigError(f"{name} is not a bridge or a socket")


# -- the connection --------------------------------------------------------------------------------------------------


class Connection:
    """A session with one switch. `allowed`: formats of -O and -F; `version`: what was negotiated."""

    def __init__(
        self, name: str, versions: set[int], allowed: int, timeout_s: float | None = None,
        tls: blocking.TlsKeys | None = None,
    ) -> None:  # fmt: skip
        self.name, self.allowed = name, allowed
        self.target, self.sock = open_target(name, timeout_s, tls)
        self.framer = wire.Framer()
        self.inbox: list[bytes] = []
        self.form = formats.STD
        self._xid = 0
        self.version = OFP10
        self._shake(versions)

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def xid(self) -> int:
        """Return a new transaction id."""
        self._xid += 1
        return self._xid

    def build(self, name: str, body: bytes = b"") -> bytes:
        """Return a message of the negotiated version with an id of its own."""
        return message(name, self.version, self.xid(), body)

    # -- handshake

    def _shake(self, versions: set[int]) -> None:
        spoken = versions & set(formats.SPOKEN)
        offered = spoken or versions
        bitmap = struct.pack("!HHI", 1, 8, sum(1 << v for v in offered)) if offered != {OFP10} else b""
        self.send(wire.build(max(offered), wire.Key(0), self.xid(), bitmap))
        hello = self.receive()
        if hello[1] != 0:
            self._not_connected("Protocol error")
        theirs = wire_versions(hello)
        common = offered & theirs
        if not common:
            self._refuse(offered, theirs)
        self.version = max(common)
        if self.version not in formats.SPOKEN:
            names = formats.versions_text({self.version})
            raise formats.not_spoken(f"{self.name}: {names}")
        self.form = next(form for form, version in formats.WIRE_VERSION.items() if version == self.version)

    def _refuse(self, ours: set[int], theirs: set[int]) -> NoReturn:
        text = (f"{self.target}: version negotiation failed (we support {_versions(ours)}, "
                f"peer supports {_versions(theirs)})")  # fmt: skip
        reason = f"We support {_versions(ours)}, you support {_versions(theirs)}, no common versions."
        from contextlib import suppress
        from signal import SIG_IGN, SIGPIPE, signal

        signal(SIGPIPE, SIG_IGN)
        with suppress(PeerError):  # it may have hung up for the same reason
            self.send(wire.build(max(ours), wire.Key(_ERROR), self.xid(), _HELLO_FAILED + reason.encode()))
        _warn("vconn", text)
        self._not_connected("Broken pipe")

    def _not_connected(self, reason: str) -> NoReturn:
        raise ConfigError(f"{self.name}: failed to connect to socket ({reason})")

    # -- bytes

    def send(self, data: bytes) -> None:
        """Send bytes; raises PeerError."""
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise PeerError(f"{self.name}: send failed ({_reason(error)})") from None

    def _read(self) -> None:
        try:
            data = self.sock.recv(CHUNK_BYTES)
        except OSError as error:
            raise PeerError(f"OpenFlow receive failed ({_reason(error)})") from None
        if not data:
            raise PeerError("OpenFlow receive failed (End of file)")
        self.inbox += self.framer.feed(data)

    def receive(self) -> bytes:
        """Return the next message, echo requests aside, which are answered; raises PeerError."""
        while True:
            while not self.inbox:
                self._read()
            found = self.inbox.pop(0)
            if found[1] != 2:
                return found
            self.send(bytes([found[0], 3]) + found[2:])

    # -- requests

    def replies(self, request: bytes) -> Iterator[bytes]:
        """Send a request and yield the parts of its reply, or the error that answers it."""
        self.send(request)
        xid = request[4:8]
        while True:
            found = self.receive()
            if found[4:8] == xid:
                yield found
                if found[1] != wire.STATS_REPLY.get(found[0]) or not wire.stat_flags(found) & wire.MORE:
                    return

    def transact(self, request: bytes) -> bytes:
        """Return the (single) reply to a request, or the error that answers it."""
        return next(self.replies(request))

    def ask(self, name: str, body: bytes = b"") -> bytes:
        """Return the reply to a request; raises Failed with the text of an error."""
        reply = self.transact(self.build(name, body))
        if reply[1] == _ERROR:
            raise Failed(message_text(reply, {}))
        return reply

    def ask_all(self, name: str, body: bytes = b"") -> list[bytes]:
        """Return all parts of the reply to a request; raises Failed with the text of an error."""
        found = list(self.replies(self.build(name, body)))
        if found[-1][1] == _ERROR:
            raise Failed(message_text(found[-1], {}))
        return found

    def errors_of(self, request: bytes) -> bytes | None:
        """Send a request that is answered only by errors; return the error, None if it was done."""
        barrier = self.build("OFPT_BARRIER_REQUEST")
        self.send(request + barrier)
        failure = None
        while True:
            found = self.receive()
            if found[4:8] == request[4:8]:
                failure = failure or found
            elif found[4:8] == barrier[4:8]:
                return failure

    def order(self, request: bytes) -> None:
        """Send a request that is answered only by errors; raises Failed with the text of one."""
        failure = self.errors_of(request)
        if failure is not None:
            raise Failed(message_text(failure, {}))

    # -- flow formats

    def try_form(self, form: int) -> bool:
        """Switch to a flow format, as far as the connection allows it; returns whether it is in force now."""
        if formats.WIRE_VERSION[form] != self.version:
            return False
        if form == self.form:
            return True
        if self.version == OFP10:
            return self._to_nxm(bool(form & formats.NXM_ANY)) and self._to_tables(bool(form & formats.WITH_TABLE))
        self.form = form
        return True

    def _to_nxm(self, wanted: bool) -> bool:
        if bool(self.form & formats.NXM_ANY) == wanted:
            return True
        number = NXFF_NXM if wanted else NXFF_OPENFLOW10
        if self.errors_of(self.build("NXT_SET_FLOW_FORMAT", struct.pack("!I", number))) is not None:
            return False
        with_table = self.form & formats.WITH_TABLE
        self.form = (formats.NXM_TID if with_table else formats.NXM) if wanted else (
            formats.STD_TID if with_table else formats.STD)  # fmt: skip
        return True

    def _to_tables(self, wanted: bool) -> bool:
        if bool(self.form & formats.WITH_TABLE) == wanted:
            return True
        if self.errors_of(self.build("NXT_FLOW_MOD_TABLE_ID", struct.pack("!B7x", wanted))) is not None:
            return False
        plain = formats.NXM if self.form & formats.NXM_ANY else formats.STD
        self.form = plain << 1 if wanted else plain
        return True

    def choose_form(self, usable: int, order: Iterable[int]) -> int:
        """Switch to the first format of `order` that flows and options allow; raises ConfigError."""
        for form in order:
            if form & usable & self.allowed and self.try_form(form):
                return form
        raise ConfigError(
            f"switch does not support any of the usable flow formats ({formats.formats_text(usable & self.allowed)})"
        )

    # -- many edits at once

    def pipeline(self, edits: Iterable[bytes], on_reply: Callable[[bytes], None]) -> None:
        """Send many edits without waiting, then a barrier; `on_reply` gets what is answered before it: errors.

        Reading goes on while sending, as a switch that cannot get rid of its errors would stop reading.
        """
        pending: list[bytes] = []
        size = 0
        for edit in edits:
            pending.append(edit)
            size += len(edit)
            if size >= CHUNK_BYTES:
                self._send_and_read(b"".join(pending), on_reply)
                pending, size = [], 0
        barrier = self.build("OFPT_BARRIER_REQUEST")
        self._send_and_read(b"".join(pending) + barrier, on_reply)
        while True:
            found = self.receive()
            if found[4:8] == barrier[4:8]:
                return
            on_reply(found)

    def bundle(self, edits: list[bytes], on_reply: Callable[[bytes], None]) -> bool:
        """Have edits done all or none, as OpenFlow's bundle; returns whether they were (MS.47).

        `on_reply` gets the errors: those of each edit that cannot be put into the bundle, else those of the commit.
        """
        refused: list[bytes] = []
        opened = self.transact(bundle_control(BUNDLE_OPEN, self.version, self.xid()))
        if opened[1] == _ERROR:
            refused.append(opened)
        else:
            self.pipeline(map(bundle_add, edits), refused.append)
        if not refused:
            commit = bundle_control(BUNDLE_COMMIT, self.version, self.xid())
            self.send(commit)
            while (found := self.receive())[1] == _ERROR:
                refused.append(found)
                if found[4:8] == commit[4:8]:
                    break
        for failure in refused:
            on_reply(failure)
        return not refused

    def _send_and_read(self, data: bytes, on_reply: Callable[[bytes], None]) -> None:
        view = memoryview(data)
        poll = select.poll()
        poll.register(self.sock, select.POLLIN | select.POLLOUT)
        while view:
            events = poll.poll()[0][1]
            if events & ~select.POLLOUT:
                self._read()
            if events & select.POLLOUT:
                view = view[self._send_some(view) :]
        while self.inbox and kind_of(self.inbox[0]) != "OFPT_BARRIER_REPLY":
            on_reply(self.receive())

    def _send_some(self, view: memoryview) -> int:
        import socket

        try:
            return int(self.sock.send(view, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return 0
        except OSError as error:
            raise PeerError(f"{self.name}: send failed ({_reason(error)})") from None


def _versions(versions: set[int]) -> str:
    if len(versions) == 1:
        (version,) = versions
        return f"version 0x{version:02x}" + ("" if version == OFP10 or versions != {1} else " and earlier")
    if versions == set(range(1, max(versions) + 1)):
        return f"version 0x{max(versions):02x} and earlier"
    return "versions " + ", ".join(f"0x{version:02x}" for version in sorted(versions))
