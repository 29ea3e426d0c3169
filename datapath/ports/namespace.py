"""Calls in another network namespace: on a thread of their own, which ends inside it, so that no other ever moves.

setns(2) moves one thread only; a socket or TUN descriptor keeps the namespace in which it was opened.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from datapath.ports import kernel

T = TypeVar("T")
HERE = "/proc/thread-self/ns/net"  # the namespace of the thread that opens it


def enter(path: str) -> None:
    """Move the calling thread into the network namespace of the file `path`; raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        kernel.enter_network(fd)
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(fd)


def others() -> Iterator[str]:
    """Yield a path of each other network namespace that has a name or a process, each namespace once."""
    seen = {os.stat(HERE).st_ino}
    named = sorted(Path("/run/netns").glob("*"))
    for path in [*named, *Path("/proc").glob("[0-9]*/ns/net")]:
        try:
            inode = path.stat().st_ino
        except OSError:
            continue  # the process ended, or is not ours to look at
        if inode not in seen:
            seen.add(inode)
            yield str(path)


def call_in(path: str | None, fn: Callable[[], T]) -> T:
    """Return ``fn()`` called in the namespace of the file `path` (None: here).

    Raises what ``fn`` raises, and OSError if there is no way into the namespace.
    """
    if path is None:
        return fn()
    results: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            enter(path)
            results.append(fn())
        except BaseException as error:  # handed to the caller below
            errors.append(error)

    thread = threading.Thread(target=body, name="namespace")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
