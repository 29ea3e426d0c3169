"""Hosts of a test: network namespaces joined to a bridge of the daemon, and what is sent between them."""

from __future__ import annotations

import contextlib
import hashlib
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.peers.daemon import Daemon, device
from tests.system.netns import Namespace, namespace, veth

CHUNK = 1 << 16


@dataclass
class Host:
    """A namespace with one address. port: the interface's name in the database; device: what the host calls it."""

    place: Namespace
    port: str
    device: str
    address: str

    def ping(self, other: Host, count: int = 5, wait_s: int = 2, size: int = 56) -> int:
        """Return how many of `count` echo requests to the other host were answered in `wait_s` seconds each.

        Fails on duplicate answers. Not by ping(8), which on a busy machine does not wait for the last answers.
        """
        echo = Echo(":" in other.address)
        with self.place.call(echo.open) as sock:
            answers = [echo.ask(sock, other.address, number, wait_s, size) for number in range(count)]
            sock.settimeout(0)
            assert not echo.read(sock), "duplicate answers"
        return sum(answers)

    def down(self) -> None:
        """Take the host's device down."""
        self.place.ip("link", "set", self.device, "down")


@dataclass
class Echo:
    """Echo requests and replies of ICMP or, with `v6`, of ICMPv6."""

    v6: bool

    def __post_init__(self) -> None:
        self.ident = random.randrange(1 << 16)
        self.request, self.reply = (128, 129) if self.v6 else (8, 0)

    def open(self) -> socket.socket:
        """Return a socket in the namespace of the calling thread."""
        if self.v6:
            return socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)

    def ask(self, sock: socket.socket, address: str, number: int, wait_s: float, size: int) -> bool:
        """Send one request with `size` bytes and tell whether its answer came in time."""
        message = struct.pack("!BBHHH", self.request, 0, 0, self.ident, number) + bytes(size)
        if not self.v6:
            total = sum(struct.unpack(f"!{len(message) // 2}H", message))
            total = (total & 0xFFFF) + (total >> 16)
            message = message[:2] + struct.pack("!H", ~total & 0xFFFF) + message[4:]
        end = time.monotonic() + wait_s
        try:
            sock.sendto(message, (address, 0))
        except OSError:  # no route yet, or the neighbour was not found last time
            return False
        while (left_s := end - time.monotonic()) > 0:
            sock.settimeout(left_s)
            if self.read(sock) == number + 1:
                return True
        return False

    def read(self, sock: socket.socket) -> int:
        """Return the number of the next answer plus one; 0 for another message, or when there is none in time."""
        try:
            data = sock.recv(1 << 16)
        except (TimeoutError, BlockingIOError, OSError):
            return 0
        body = data if self.v6 else data[(data[0] & 15) * 4 :]
        kind, _, _, ident, number = struct.unpack_from("!BBHHH", body)
        return number + 1 if (kind, ident) == (self.reply, self.ident) else 0


def _system(daemon: Daemon, bridge: str, place: Namespace, *settings: str) -> tuple[str, str]:
    name, peer = veth(daemon.place, place)
    daemon.vsctl("add-port", bridge, name, *settings)
    return name, peer


def _internal(daemon: Daemon, bridge: str, place: Namespace, *settings: str, kind: str = "internal") -> tuple[str, str]:
    name = device()
    daemon.vsctl("add-port", bridge, name, *settings, "--", "set", "interface", name, f"type={kind}")
    daemon.place.ip("link", "set", name, "netns", place.name)
    return name, name


def _tap(daemon: Daemon, bridge: str, place: Namespace, *settings: str) -> tuple[str, str]:
    return _internal(daemon, bridge, place, *settings, kind="tap")


KINDS = {"system": _system, "internal": _internal, "tap": _tap}


@contextlib.contextmanager
def host(daemon: Daemon, bridge: str, kind: str, address: str, *settings: str) -> Iterator[Host]:
    """Make a host on a new port of `bridge`; `address` has a prefix length; `settings` are columns of the port."""
    with namespace() as place:
        port, name = KINDS[kind](daemon, bridge, place, *settings)
        place.ip("addr", "add", address, "dev", name)
        place.ip("link", "set", name, "up")
        yield Host(place, port, name, address.split("/")[0])
        daemon.vsctl("--if-exists", "del-port", port)


@contextlib.contextmanager
def pair(daemon: Daemon, bridge: str, kind: str) -> Iterator[tuple[Host, Host]]:
    """Make two hosts, 10.1.0.1 on a system port and 10.1.0.2 on one of the kind `kind`."""
    with host(daemon, bridge, "system", "10.1.0.1/24") as one, host(daemon, bridge, kind, "10.1.0.2/24") as other:
        yield one, other


def transfer(source: Host, target: Host, n_bytes: int) -> None:
    """Send `n_bytes` random bytes by TCP and check at the other end that they arrive as they were."""
    data = random.Random(n_bytes).randbytes(n_bytes)
    server = target.place.call(lambda: socket.create_server((target.address, 0)))
    port = server.getsockname()[1]
    server.settimeout(20)
    digests: list[bytes] = []

    def serve() -> None:
        digest = hashlib.sha256()
        connection, _ = server.accept()
        with connection:
            connection.settimeout(20)
            while more := connection.recv(CHUNK):
                digest.update(more)
        digests.append(digest.digest())

    thread = threading.Thread(target=serve)
    thread.start()
    with server:
        address = (target.address, port)
        with source.place.call(lambda: socket.create_connection(address, timeout=20)) as client:
            client.sendall(data)
        thread.join(30)
    assert digests == [hashlib.sha256(data).digest()]
