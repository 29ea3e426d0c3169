"""What SIOCETHTOOL says of a device: driver, speed, duplex, OpenFlow features (PT.24).

Every answer may be missing; a device without link settings (most virtual ones) gives zeros. The numbers are those of
linux/ethtool.h.
"""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct
from typing import NamedTuple

SIOCETHTOOL = 0x8946
ETHTOOL_GDRVINFO, ETHTOOL_GLINKSETTINGS = 0x03, 0x4C
DRVINFO = struct.Struct("I32s32s32s32s32s12sIIIII")
# struct ethtool_link_settings up to its masks: command, speed (Mbit/s), duplex, port, ..., 32-bit words of a mask.
LINK_SETTINGS = struct.Struct("IIBBBBBBBbB3x")
LINK_SETTINGS_BYTES = 48
MASK_WORDS_MAX = 127
SPEED_UNKNOWN = 0xFFFFFFFF
PORT_TP, PORT_FIBRE = 0, 3
DUPLEX_FULL = 1

# OpenFlow's port feature bits (OpenFlow 1.3.5, 7.2.1): speed in Mbit/s and full duplex -> bit.
FEATURES = {
    (10, False): 1 << 0, (10, True): 1 << 1, (100, False): 1 << 2, (100, True): 1 << 3,
    (1000, False): 1 << 4, (1000, True): 1 << 5, (10_000, True): 1 << 6, (40_000, True): 1 << 7,
    (100_000, True): 1 << 8, (1_000_000, True): 1 << 9,
}  # fmt: skip
FEATURE_OTHER, FEATURE_COPPER, FEATURE_FIBER, FEATURE_AUTONEG = 1 << 10, 1 << 11, 1 << 12, 1 << 13


class Settings(NamedTuple):
    """Link settings; speed 0 = unknown, features in OpenFlow 1.3's bits."""

    speed_kbps: int = 0
    full_duplex: bool = False
    features: int = 0


class Driver(NamedTuple):
    """Names as Interface.status shows them; empty if unknown."""

    name: str = ""
    version: str = ""
    firmware: str = ""


def driver(name: str) -> Driver:
    """Return driver name, version and firmware version of a device."""
    answer = _ask(name, struct.pack("I", ETHTOOL_GDRVINFO).ljust(DRVINFO.size, b"\0"))
    if answer is None:
        return Driver()
    texts = [part.split(b"\0", 1)[0].decode(errors="replace") for part in DRVINFO.unpack(answer)[1:4]]
    return Driver(*texts)


def settings(name: str) -> Settings:
    """Return speed, duplex and features of a device's link."""
    # The kernel answers a wrong number of mask words with the right one, negated; only then the settings come.
    room = LINK_SETTINGS_BYTES + 3 * 4 * MASK_WORDS_MAX
    first = _ask(name, struct.pack("I", ETHTOOL_GLINKSETTINGS).ljust(room, b"\0"))
    if first is None:
        return Settings()
    words = -LINK_SETTINGS.unpack_from(first)[9]
    if not 0 < words <= MASK_WORDS_MAX:
        return Settings()
    query = struct.pack("I11xb", ETHTOOL_GLINKSETTINGS, words)
    answer = _ask(name, query.ljust(room, b"\0"))
    if answer is None:
        return Settings()
    _, speed, duplex, port, _, autoneg, *_ = LINK_SETTINGS.unpack_from(answer)
    if speed in (0, SPEED_UNKNOWN):
        return Settings()
    full = duplex == DUPLEX_FULL
    features = FEATURES.get((speed, full), FEATURE_OTHER)
    features |= {PORT_TP: FEATURE_COPPER, PORT_FIBRE: FEATURE_FIBER}.get(port, 0)
    return Settings(speed * 1000, full, features | (FEATURE_AUTONEG if autoneg else 0))


def _ask(name: str, query: bytes) -> bytes | None:
    """Return the answer to an ethtool query, None if the device or the query is unknown."""
    buffer = ctypes.create_string_buffer(query, len(query))
    ifreq = struct.pack("16sP16x", name.encode()[:15], ctypes.addressof(buffer))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            fcntl.ioctl(sock.fileno(), SIOCETHTOOL, ifreq)
        except OSError:
            return None
    return buffer.raw
