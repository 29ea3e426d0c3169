"""Network namespaces, veth pairs and wires for tests: made with unique names, gone when the context ends."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from datapath.ports.namespace import call_in, enter
from datapath.ports.port import PortHandle
from datapath.ports.rig import PortRig

T = TypeVar("T")
_numbers = itertools.count()

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make namespaces and devices")


def unique(prefix: str = "cyt") -> str:
    """Return a device or namespace name that no other test uses."""
    return f"{prefix}{os.getpid() % 100000}x{next(_numbers)}"


def ip(*args: str, check: bool = True) -> str:
    """Run ip(8) and return what it prints."""
    return subprocess.run(["ip", *args], check=check, capture_output=True, text=True).stdout


class Namespace:
    """A named network namespace."""

    def __init__(self) -> None:
        self.name = unique("cyns")
        self.path = f"/run/netns/{self.name}"

    def run(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command inside and return what it did."""
        return subprocess.run(["ip", "netns", "exec", self.name, *args], check=check, capture_output=True, text=True)

    def ip(self, *args: str) -> str:
        """Run ip(8) inside and return what it prints."""
        return ip("-n", self.name, *args)

    def call(self, fn: Callable[[], T]) -> T:
        """Return ``fn()`` called inside, on a thread of its own."""
        return call_in(self.path, fn)


@contextlib.contextmanager
def namespace() -> Iterator[Namespace]:
    """Make a namespace with its loopback device up."""
    made = Namespace()
    ip("netns", "add", made.name)
    try:
        made.ip("link", "set", "lo", "up")
        yield made
    finally:
        ip("netns", "del", made.name)


@contextlib.contextmanager
def inside(where: Namespace) -> Iterator[Namespace]:
    """Move the calling thread into a namespace and back."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter(where.path)
        try:
            yield where
        finally:
            enter(f"/proc/self/fd/{home}")
    finally:
        os.close(home)


@contextlib.contextmanager
def switch_namespace() -> Iterator[Namespace]:
    """Make a namespace and move the calling thread into it: where the switch of a test lives."""
    with namespace() as made, inside(made):
        yield made


def veth(here: Namespace, there: Namespace, *, address: str | None = None) -> tuple[str, str]:
    """Make a veth pair between two namespaces, both ends up, the far one with an address; return both names."""
    name, peer = unique("cyv"), unique("cyp")
    here.ip("link", "add", name, "type", "veth", "peer", "name", peer, "netns", there.name)
    there.ip("link", "set", peer, "up")
    here.ip("link", "set", name, "up")
    if address:
        there.ip("addr", "add", address, "dev", peer, "nodad")
    return name, peer


def send_bytes(source: Namespace, target: Namespace, address: str, n_bytes: int) -> None:
    """Send bytes by TCP from one namespace to an address in the other and check that they all come."""
    server = target.call(lambda: socket.create_server((address, 5001)))
    got: list[int] = []

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            total = 0
            while data := connection.recv(1 << 20):
                total += len(data)
            got.append(total)

    thread = threading.Thread(target=serve)
    thread.start()
    with server, source.call(lambda: socket.create_connection((address, 5001), timeout=20)) as client:
        client.sendall(bytes(n_bytes))
        client.shutdown(socket.SHUT_WR)
        thread.join()
    assert got == [n_bytes]


@contextlib.contextmanager
def wire(one: PortHandle, other: PortHandle) -> Iterator[PortRig]:
    """Move frames between two ports, both ways, on a thread of its own; no packet may be left in the end."""
    rig = PortRig()
    stop_r, stop_w = os.pipe()
    targets = {one.rx_fd: (one, other), other.rx_fd: (other, one)}

    def body() -> None:
        while True:
            ready, _, _ = select.select([stop_r, *targets], [], [])
            if stop_r in ready:
                return
            for fd in ready:
                rig.forward(*targets[fd])

    thread = threading.Thread(target=body, name="wire")
    thread.start()
    try:
        yield rig
    finally:
        os.close(stop_w)
        thread.join()
        os.close(stop_r)
        assert rig.in_use == 0
