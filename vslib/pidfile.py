"""Pid files with a live write lock, which clients test with F_GETLK (MG.02).

The kernel drops a process's fcntl locks on a file when the process closes *any* descriptor of that file, so this
process never opens its own pid file a second time: ``read`` answers from memory for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct

from vslib import dirs
from vslib.errors import ConfigError

# struct flock of Linux on 64 bits: type, whence, start, len, pid.
_FLOCK = struct.Struct("hhqqi4x")
_held: dict[tuple[int, int], PidFile] = {}


def path_of(program: str) -> str:
    """Return the path of the pid file of the daemon ``program``."""
    return os.path.join(dirs.rundir(), f"{program}.pid")


class PidFile:
    """Our pid file: made, locked and filled by ``create``, removed by ``remove``."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd
        self._key = _key(fd)
        _held[self._key] = self

    def remove(self) -> None:
        """Delete the file, if it is still ours, and release the lock; harmless if already done."""
        if self._fd < 0:
            return
        with contextlib.suppress(OSError):
            if _key(self.path) == self._key:
                os.unlink(self.path)
        os.close(self._fd)
        self._fd = -1
        _held.pop(self._key, None)


def create(path: str, overwrite: bool = False) -> PidFile:
    """Make and lock the pid file; raises ConfigError if another process holds it or it cannot be written.

    ``overwrite``: put a new file in the place of one that another process holds (--overwrite-pidfile).
    """
    while True:
        if overwrite:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        _refuse_own(path)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ConfigError(f"{path}: cannot create pid file: {error.strerror}") from error
        try:
            if _lock(fd, path):
                return PidFile(path, fd)
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _refuse_own(path: str) -> None:
    """Raise ConfigError if this process holds the file: only opening and closing it again would lose the lock."""
    with contextlib.suppress(FileNotFoundError):
        if _key(path) in _held:
            raise ConfigError(f"{path}: already running as pid {os.getpid()}, aborting")


def _lock(fd: int, path: str) -> bool:
    """Lock and fill the file; return False if it was replaced or removed meanwhile, so that the caller tries again."""
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = _owner(fd)
        if owner:
            raise ConfigError(f"{path}: already running as pid {owner}, aborting") from error
        return False
    try:
        if _key(fd) != _key(path):
            return False
    except FileNotFoundError:
        return False
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return True


def read(path: str) -> int:
    """Return the pid of the live daemon that holds ``path``; raises ConfigError if there is none."""
    try:
        held = _held.get(_key(path))
        if held is not None:
            return os.getpid()
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"{path}: open: {error.strerror}") from error
    try:
        owner = _owner(fd)
        text = os.pread(fd, 64, 0).strip()
    finally:
        os.close(fd)
    if not owner:
        raise ConfigError(f"{path}: pid file is stale")
    if not text.isdigit() or int(text) != owner:
        raise ConfigError(f"{path}: stale pid file for pid {text.decode('ascii', 'replace')} being held by pid {owner}")
    return owner


def _owner(fd: int) -> int:
    """Return the pid that holds a write lock on the file, 0 if none does."""
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    return 0 if kind == fcntl.F_UNLCK else int(pid)


def _key(file: int | str) -> tuple[int, int]:
    found = os.stat(file)
    return found.st_dev, found.st_ino
