"""The OVSDB log file: `OVSDB JSON <length> <sha1>\\n`, then that many bytes of JSON, and so on (DB.37, DB.38).

This file knows records, not what they mean (`filedb` does). Promises: a record that `sync` has returned for survives a
crash; reading stops at the first record that is cut short or damaged, says so, and the file goes on from there; when
whole records follow the damage, the file is first copied aside, so nothing that was ever committed is thrown away.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Iterable
from typing import Any

import msgspec

from vslib import clock, vlog
from vslib.errors import ConfigError

log = vlog.get("ovsdb_log")

HEADER_RE = re.compile(rb"OVSDB (JSON|CLUSTER) (\d{1,10}) ([0-9a-f]{40})\n")
MAX_HEADER_BYTES = 80
MODE = 0o640  # as ovsdb-tool creates databases
_encoder = msgspec.json.Encoder()


def encode_record(value: Any) -> bytes:
    """Return one record, header included, for a JSON value."""
    body = _encoder.encode(value) + b"\n"
    return b"OVSDB JSON %d %s\n" % (len(body), hashlib.sha1(body, usedforsecurity=False).hexdigest().encode()) + body


def split_records(data: bytes) -> tuple[list[Any], int, str]:
    """Parse a file's bytes into (JSON values, offset after the last good record, what is wrong after it or "").

    Raises ConfigError if the file is of the clustered kind.
    """
    values: list[Any] = []
    offset = 0
    while offset < len(data):
        header = HEADER_RE.match(data, offset)
        if header is None:
            whole = len(data) - offset >= MAX_HEADER_BYTES
            return values, offset, "bad record header" if whole else "record header cut short"
        if header[1] != b"JSON":
            raise ConfigError("clustered databases are not supported, convert it with ovsdb-tool cluster-to-standalone")
        end = header.end() + int(header[2])
        body = data[header.end() : end]
        if len(body) < int(header[2]):
            return values, offset, "record cut short"
        if hashlib.sha1(body, usedforsecurity=False).hexdigest().encode() != header[3]:
            return values, offset, "wrong checksum"
        try:
            values.append(msgspec.json.decode(body))
        except msgspec.DecodeError as error:
            return values, offset, f"record is not JSON ({error})"
        offset = end
    return values, offset, ""


class Log:
    """An open log file, positioned for appending. Blocking; the server calls `sync` on a thread."""

    def __init__(self, path: str) -> None:
        self.path = os.path.realpath(path)
        self._fd = -1
        self.size_bytes = 0
        self.base_bytes = 0  # size after the last compaction
        self.broken = False  # an append or sync failed: only rewrite() helps

    def create(self, records: Iterable[Any]) -> None:
        """Write a new file that holds ``records``; raises OSError."""
        self.rewrite(records)

    def open(self) -> list[Any]:
        """Open an existing file and return its records; cuts a damaged tail. Raises ConfigError, OSError."""
        self._fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        with open(self._fd, "rb", closefd=False) as file:
            data = file.read()
        try:
            values, good, problem = split_records(data)
        except ConfigError as error:
            self.close()
            raise ConfigError(f"{self.path}: {error}") from error
        if problem and not values and data:
            self.close()
            raise ConfigError(f"{self.path}: not an OVSDB database file ({problem})")
        if problem:
            self._cut(data, good, problem)
        self.size_bytes = good
        return values

    def _cut(self, data: bytes, good: int, problem: str) -> None:
        rest = len(data) - good
        log.warn("%s: %s at offset %d, %d bytes are cut off", self.path, problem, good, rest)
        if HEADER_RE.search(data, good + 1):
            aside = f"{self.path}.corrupt-{clock.CLOCK.wall_ms()}"
            shutil.copyfile(self.path, aside)
            log.err("%s: whole records follow the damage; the file as found is kept in %s", self.path, aside)
        os.ftruncate(self._fd, good)
        os.fsync(self._fd)

    def append(self, data: bytes) -> None:
        """Write encoded records at the end; on OSError the file is as before (or `broken`)."""
        if self.broken:
            raise OSError(5, "database file is damaged by an earlier write error")
        done = 0
        try:
            while done < len(data):
                done += os.pwrite(self._fd, data[done:], self.size_bytes + done)
        except OSError:
            try:
                os.ftruncate(self._fd, self.size_bytes)
            except OSError:
                self.broken = True
            raise
        self.size_bytes += len(data)

    def undo_append(self, size_bytes: int) -> None:
        """Forget what was appended beyond ``size_bytes`` after a failed sync; the file then needs a rewrite."""
        self.broken = True  # after a failed fsync the kernel's idea of the file is unknown
        self.size_bytes = size_bytes
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, size_bytes)

    def sync(self) -> None:
        """Return when everything appended is on the disk; raises OSError. (fdatasync writes the size too.)"""
        os.fdatasync(self._fd)

    def rewrite(self, records: Iterable[Any]) -> None:
        """Replace the file's contents atomically; raises OSError and leaves the old file if that fails."""
        temporary = f"{self.path}.tmp"
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE)
        try:
            size = 0
            with open(fd, "wb", closefd=False) as file:
                for record in records:
                    size += file.write(encode_record(record))
            os.fsync(fd)
            self._copy_owner(fd)
            os.rename(temporary, self.path)
            self._sync_directory()
        except BaseException:
            os.close(fd)
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        self.close()
        self._fd = fd
        self.size_bytes = self.base_bytes = size
        self.broken = False

    def _copy_owner(self, fd: int) -> None:
        with contextlib.suppress(OSError):  # no old file, or not root
            old = os.stat(self.path)
            os.fchmod(fd, old.st_mode & 0o7777)
            os.fchown(fd, old.st_uid, old.st_gid)

    def _sync_directory(self) -> None:
        directory = os.open(os.path.dirname(self.path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
