"""The lock file beside a database: the same file and the same fcntl lock as ovsdb-server's, so there is one writer.

For ``/etc/openvswitch/conf.db`` that is ``/etc/openvswitch/.conf.db.~lock~``. fcntl locks belong to a process: a second
opener in the same process would be let in, and closing any descriptor of the file drops the lock; so this process keeps
its own list of what it holds and never opens a held file a second time.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct

from vslib.errors import ConfigError

_FLOCK = "hhqqi"  # struct flock of 64-bit Linux: type, whence, start, length, pid
_held: dict[tuple[int, int], int] = {}  # (device, inode) -> descriptor


def lock_path(path: str) -> str:
    """Return the lock file's name for a database file (symbolic links resolved, as ovsdb-server does)."""
    directory, name = os.path.split(os.path.realpath(path))
    return os.path.join(directory, f".{name}.~lock~")


def holder(path: str) -> int:
    """Return the process that has the database file ``path`` open under this lock, 0 if none does.

    Never to be asked for a file that this process holds: closing what is opened here would drop the lock.
    """
    try:
        fd = os.open(lock_path(path), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return _ask_holder(fd)
    finally:
        os.close(fd)


def _ask_holder(fd: int) -> int:
    question = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    with contextlib.suppress(OSError):
        kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_GETLK, question))
        return int(pid) if kind != fcntl.F_UNLCK else 0
    return 0


class LockFile:
    """The exclusive lock on one database file."""

    def __init__(self, path: str) -> None:
        """Take the lock or raise ConfigError that names the holder's process."""
        self.path = lock_path(path)
        with contextlib.suppress(OSError):
            status = os.stat(self.path)
            if (status.st_dev, status.st_ino) in _held:
                raise ConfigError(f"{path}: cannot lock database: {self.path} is locked by pid {os.getpid()}")
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot create lock file: {error.strerror}") from error
        try:
            fcntl.fcntl(self._fd, fcntl.F_SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        except OSError as error:
            held_by = _ask_holder(self._fd)
            os.close(self._fd)
            reason = f"{self.path} is locked by pid {held_by}" if held_by else error.strerror
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                reason = error.strerror
            raise ConfigError(f"{path}: cannot lock database: {reason}") from error
        status = os.fstat(self._fd)
        self._key = (status.st_dev, status.st_ino)
        _held[self._key] = self._fd

    def release(self) -> None:
        """Give the lock up; the file stays, as ovsdb-server leaves it."""
        if _held.pop(self._key, None) is not None:
            os.close(self._fd)
