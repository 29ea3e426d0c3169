"""The thread that makes larger receive rings for `system` ports whose small one fills up (PT.01).

A ring that takes a burst of 2,048 frames is 4 MB of memory, and most of a hundred ports never need it. So a port begins
with a small one; its forwarder asks when it has to read it in several batches. Making a ring takes 20 ms, most of it a
grace period of the kernel, which neither the forwarder nor the control thread should wait for.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol


class Growing(Protocol):
    """A port that may ask."""

    def grow(self) -> None:
        """Do what was asked for, if anything was; never raises."""


_ports: weakref.WeakSet[Growing] = weakref.WeakSet()
_lock = threading.Lock()
_event_fd = -1


def join(port: Growing) -> int:
    """Have grow() called soon after 8 bytes, the number 1, were written to the descriptor that is returned."""
    global _event_fd
    with _lock:
        if _event_fd < 0:
            _event_fd = os.eventfd(0, os.EFD_CLOEXEC)
            threading.Thread(target=_serve, args=(_event_fd,), name="receive rings", daemon=True).start()
        _ports.add(port)
        return _event_fd


def leave(port: Growing) -> None:
    """Have grow() of a port not called any more."""
    with _lock:
        _ports.discard(port)


def _serve(event_fd: int) -> None:
    while True:
        os.eventfd_read(event_fd)
        with _lock:
            ports = list(_ports)
        for port in ports:
            port.grow()
        del ports
