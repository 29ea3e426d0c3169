"""Unix sockets with paths of any length, and without stale files left by a process that died."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator

from vslib.errors import ConfigError

MAX_PATH_BYTES = 107  # sun_path is 108 bytes with its final NUL


@contextlib.contextmanager
def short_path(path: str) -> Iterator[str]:
    """Yield a name for ``path`` that fits a socket address: through a descriptor of its directory if too long."""
    if len(os.fsencode(path)) <= MAX_PATH_BYTES:
        yield path
        return
    directory, name = os.path.split(os.path.abspath(path))
    dir_fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        short = f"/proc/self/fd/{dir_fd}/{name}"
        if len(os.fsencode(short)) > MAX_PATH_BYTES:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
        yield short
    finally:
        os.close(dir_fd)


def connect_now(path: str, timeout_s: float | None = 0.0) -> socket.socket:
    """Return a socket connected to the listener at ``path``; raises OSError.

    With ``timeout_s`` 0 the socket does not block and a full backlog raises BlockingIOError.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        sock.settimeout(timeout_s)
        with short_path(path) as short:
            sock.connect(short)
    except BaseException:
        sock.close()
        raise
    return sock


def listen_now(path: str, backlog: int, mode: int | None = None) -> socket.socket:
    """Return a socket that listens at ``path``, replacing the file of a listener that is gone.

    Raises ConfigError if somebody listens there or if the file is no socket, OSError otherwise.
    """
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        with short_path(path) as short:
            sock.bind(short)
            os.chmod(short, 0o770 if mode is None else mode)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _remove_stale(path: str) -> None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigError(f"{path}: exists and is not a socket")
    try:
        connect_now(path).close()
    except BlockingIOError:
        pass  # a full backlog is a living listener
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return
    raise ConfigError(f"{path}: another process is listening on this socket")


def identity(path: str) -> tuple[int, int] | None:
    """Return device and inode of ``path``, None if it is gone."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
