"""Hosts of a test: network namespaces joined to a bridge of the daemon, and what is sent between them."""

from __future__ import annotations

import contextlib
import hashlib
import random
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from tests.peers.daemon import Daemon, device
from tests.system.netns import Namespace, namespace, veth

PING_INTERVAL_S = "0.01"
CHUNK = 1 << 16


@dataclass
class Host:
    """A namespace with one address. port: the interface's name in the database; device: what the host calls it."""

    place: Namespace
    port: str
    device: str
    address: str

    def ping(self, other: Host, count: int = 5, wait_s: int = 2, size: int = 56) -> int:
        """Return how many of `count` echo requests to the other host were answered; fails on duplicate answers."""
        words = ["ping", "-c", str(count), "-i", PING_INTERVAL_S, "-W", str(wait_s), "-s", str(size), other.address]
        text = self.place.run(*words, check=False).stdout
        assert "DUP!" not in text, text
        return int(re.search(r"(\d+) received", text).group(1))

    def down(self) -> None:
        """Take the host's device down."""
        self.place.ip("link", "set", self.device, "down")


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
