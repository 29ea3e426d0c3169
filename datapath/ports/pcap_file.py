"""Capture files of libpcap's classic format: reading frames, opening a file to write.

Microseconds and nanoseconds, both byte orders, link type Ethernet; the format is that of
draft-ietf-opsawg-pcap. Errors are ConfigError with the file and the reason; the caller adds the option's name.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import zlib

from vslib.errors import ConfigError

FILE_BYTES_MAX = 256 << 20  # read into memory at once
FRAMES_MAX = 1_000_000
FRAME_BYTES_MAX = 65_535 + 18  # what the largest packet buffer surely holds
SNAP_BYTES = 262_144  # what tcpdump says by default
ETHERNET = 1
IP_AT = 14
MAGIC_US, MAGIC_NS, MAGIC_NG = 0xA1B2C3D4, 0xA1B23C4D, 0x0A0D0D0A
_HEADER_BYTES, _RECORD_BYTES = 24, 16


def _open(path: str, flags: int) -> int:
    """Open a regular file and return its descriptor. Raises ConfigError."""
    try:
        # O_NONBLOCK: a FIFO without a peer must not stop the control thread.
        fd = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ConfigError(f"{path}: not a regular file")
    return fd


def read(path: str) -> list[bytes]:
    """Return the frames of a capture file, as far as they were captured. Raises ConfigError."""
    fd = _open(path, os.O_RDONLY)
    with open(fd, "rb") as file:
        n_bytes = os.fstat(fd).st_size
        if n_bytes > FILE_BYTES_MAX:
            raise ConfigError(f"{path}: {n_bytes} bytes are more than {FILE_BYTES_MAX}")
        try:
            data = file.read(FILE_BYTES_MAX)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from error
    try:
        return parse(data)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def parse(data: bytes) -> list[bytes]:
    """Return the frames in the bytes of a capture file. Raises ConfigError with the reason and the place."""
    order = _byte_order(data)
    link_type = struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF  # above: length of the check sequence
    if link_type != ETHERNET:
        raise ConfigError(f"link type {link_type} is not Ethernet")
    record, at = struct.Struct(order + "8xI4x"), _HEADER_BYTES
    frames: list[bytes] = []
    while at < len(data):
        place = f"frame {len(frames) + 1} at byte {at}"
        if at + _RECORD_BYTES > len(data):
            raise ConfigError(f"{place}: the file ends within its header")
        [length] = record.unpack_from(data, at)
        at += _RECORD_BYTES
        if not 0 < length <= FRAME_BYTES_MAX:
            raise ConfigError(f"{place}: length {length} is not in 1..{FRAME_BYTES_MAX}")
        if at + length > len(data):
            raise ConfigError(f"{place}: the file ends within it")
        if len(frames) == FRAMES_MAX:
            raise ConfigError(f"more than {FRAMES_MAX} frames")
        frames.append(data[at : at + length])
        at += length
    return frames


def _byte_order(data: bytes) -> str:
    """Return struct's sign for the byte order of a capture file. Raises ConfigError when it is none."""
    if len(data) < _HEADER_BYTES:
        raise ConfigError(f"{len(data)} bytes are no capture file")
    for order in "<>":
        [magic] = struct.unpack_from(order + "I", data)
        if magic in (MAGIC_US, MAGIC_NS):
            major = struct.unpack_from(order + "H", data, 4)[0]
            if major != 2:
                raise ConfigError(f"version {major} of the capture format is not 2")
            return order
        if magic == MAGIC_NG:
            raise ConfigError("a pcapng file; convert it with: editcap -F pcap")
    raise ConfigError(f"no capture file: it begins with {data[:4].hex()}")


def header() -> bytes:
    """Return the header of the files that we write: microseconds, this machine's byte order, Ethernet."""
    return struct.pack("=IHHiIII", MAGIC_US, 2, 4, 0, 0, SNAP_BYTES, ETHERNET)


def create(path: str) -> int:
    """Make or empty a capture file, write its header and return its descriptor. Raises ConfigError.

    The file is locked (flock), so that no two ports write to it.
    """
    fd = _open(path, os.O_WRONLY | os.O_CREAT)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(fd, 0)
        os.write(fd, header())
    except OSError as error:
        os.close(fd)
        reason = "another port writes to it" if error.errno == errno.EWOULDBLOCK else error.strerror
        raise ConfigError(f"{path}: {reason}") from error
    return fd


def by_flow(frames: list[bytes], n: int) -> list[list[bytes]]:
    """Deal frames out to n lists, in their order; those with the same addresses and ports go to the same one."""
    if n == 1:
        return [frames]
    shares: list[list[bytes]] = [[] for _ in range(n)]
    for frame in frames:
        shares[zlib.crc32(_flow_bytes(frame)) % n].append(frame)
    return shares


def _flow_bytes(frame: bytes) -> bytes:
    """Return what tells a flow: protocol, addresses and ports of IPv4 without options and of IPv6, else Ethernet's."""
    version = frame[IP_AT : IP_AT + 1]
    if version == b"\x45":
        return frame[IP_AT + 9 : IP_AT + 10] + frame[IP_AT + 12 : IP_AT + 24]
    if version and version[0] >> 4 == 6:
        return frame[IP_AT + 6 : IP_AT + 7] + frame[IP_AT + 8 : IP_AT + 44]
    return frame[: IP_AT - 2]
