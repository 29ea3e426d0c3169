"""What SIOCETHTOOL says of a device: driver, speed, duplex, OpenFlow features (PT.24).

Every answer may be missing; a device without link settings (most virtual ones) gives zeros. The numbers are those of
linux/ethtool.h.
"""

from __future__ import annotations

import socket
from collections.abc import Collection
from typing import NamedTuple

from datapath.ports import kernel

SIOCETHTOOL = 0x8946
ETHTOOL_GDRVINFO, ETHTOOL_GCHANNELS, ETHTOOL_GLINKSETTINGS = 0x03, 0x3C, 0x4C
ETHTOOL_GSTRINGS, ETHTOOL_GFEATURES, ETHTOOL_SFEATURES = 0x1B, 0x3A, 0x3B
ETH_SS_FEATURES = 4
FEATURE_WORDS = 8
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
    info = kernel.new("struct ethtool_drvinfo *", {"cmd": ETHTOOL_GDRVINFO})
    if not _ask(name, info):
        return Driver()
    return Driver(*(kernel.text(part) for part in (info.driver, info.version, info.fw_version)))


def rx_queues(name: str) -> int:
    """Return how many receive queues of a device are in use, 1 if it does not say."""
    found = kernel.new("struct ethtool_channels *", {"cmd": ETHTOOL_GCHANNELS})
    return max(1, int(found.rx_count + found.combined_count)) if _ask(name, found) else 1


def features_on(name: str) -> frozenset[str]:
    """Return the features of a device that are on and can be switched off, by the names of ``ethtool -k``."""
    found = kernel.new("struct ethtool_gfeatures *", {"cmd": ETHTOOL_GFEATURES, "size": FEATURE_WORDS})
    if not _ask(name, found):
        return frozenset()
    on = [word.active & word.available & ~word.fixed for word in found.words]
    return frozenset(one for i, one in enumerate(_feature_names(name)) if on[i // 32] >> i % 32 & 1)


def switch_features(name: str, wanted: Collection[str], on: bool) -> None:
    """Switch features of a device on or off; those that it has not, or that cannot be changed, stay as they are."""
    words = [[0, 0] for _ in range(FEATURE_WORDS)]
    names = _feature_names(name)
    for i in (i for i, one in enumerate(names) if one in wanted):
        words[i // 32][0] |= 1 << i % 32
        words[i // 32][1] |= on << i % 32
    n_words = -(-len(names) // 32)
    _ask(name, kernel.new("struct ethtool_sfeatures *", (ETHTOOL_SFEATURES, n_words, words)))


def _feature_names(name: str) -> list[str]:
    found = kernel.new("struct ethtool_gstrings *", {"cmd": ETHTOOL_GSTRINGS, "string_set": ETH_SS_FEATURES})
    if not _ask(name, found):
        return []
    return [kernel.text(found.names[i]) for i in range(min(found.len, 32 * FEATURE_WORDS))]


def settings(name: str) -> Settings:
    """Return speed, duplex and features of a device's link."""
    found = kernel.new("struct ethtool_link_settings *", {"cmd": ETHTOOL_GLINKSETTINGS})
    if not _ask(name, found):
        return Settings()
    # The kernel answers a wrong number of mask words with the right one, negated; only then the settings come.
    words = -found.link_mode_masks_nwords
    if not 0 < words <= MASK_WORDS_MAX:
        return Settings()
    found = kernel.new(
        "struct ethtool_link_settings *", {"cmd": ETHTOOL_GLINKSETTINGS, "link_mode_masks_nwords": words}
    )
    if not _ask(name, found) or found.speed in (0, SPEED_UNKNOWN):
        return Settings()
    full = found.duplex == DUPLEX_FULL
    features = FEATURES.get((found.speed, full), FEATURE_OTHER)
    features |= {PORT_TP: FEATURE_COPPER, PORT_FIBRE: FEATURE_FIBER}.get(found.port, 0)
    return Settings(found.speed * 1000, full, features | (FEATURE_AUTONEG if found.autoneg else 0))


def _ask(name: str, query: kernel.CData) -> bool:
    """Have an ethtool query answered in its place; return False if the device or the query is unknown."""
    request = kernel.new("struct ifreq *", {"ifr_name": name.encode()[:15], "ifr_data": query})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            kernel.ioctl(sock.fileno(), SIOCETHTOOL, request)
        except OSError:
            return False
    return True
