"""Ports as OpenFlow describes and counts them: description, status and statistics structs of 1.0, 1.3 and 1.4 (MS.19
to MS.21, MS.58, MS.59, MS.69).

Inside the switch port numbers are 32 bits wide and configuration, state and features use OpenFlow 1.3's bits
(configuration also 1.0's spanning tree and flood bits); what a version cannot say is left out when it is packed.
"""

from __future__ import annotations

from dataclasses import dataclass

from ofproto.errors import OpenFlowError
from ofproto.numbers import OFP10, OFP13, OFP14, OFPP10_MAX, OFPP_MAX
from ofproto.wire import Layout

OFPPC_PORT_DOWN = 1
OFPPS_LINK_DOWN, OFPPS_LIVE = 1, 4
OFPPR_ADD, OFPPR_DELETE, OFPPR_MODIFY = 0, 1, 2

CONFIG_BITS = {OFP10: 0x7F, OFP13: 1 | 4 | 32 | 64, OFP14: 1 | 4 | 32 | 64}
STATE_BITS = {version: OFPPS_LINK_DOWN if version == OFP10 else OFPPS_LINK_DOWN | OFPPS_LIVE for version in CONFIG_BITS}
# Feature bits 0-6 (10 Mb to 10 Gb) are common; 1.0 keeps copper to asymmetric pause at 7-11, 1.3 at 11-15.
SPEED_BITS_10 = 0x7F
MEDIUM_SHIFT_10 = 4
MEDIUM_BITS_13 = 0xF800
SPEEDS_KBPS = (
    (0x200, 1_000_000_000),
    (0x100, 100_000_000),
    (0x80, 40_000_000),
    (0x40, 10_000_000),
    (0x30, 1_000_000),
    (0x0C, 100_000),
    (0x03, 10_000),
)
UNKNOWN = 0xFFFF_FFFF_FFFF_FFFF  # a counter that nobody keeps

_DESC = {
    OFP10: Layout("number:H mac:6s name:16s config:I state:I curr:I advertised:I supported:I peer:I"),
    OFP13: Layout(
        "number:I 4x mac:6s 2x name:16s config:I state:I curr:I advertised:I supported:I peer:I "
        "curr_speed:I max_speed:I"
    ),
    # The last eleven are an Ethernet property (OFPPDPT_ETHERNET).
    OFP14: Layout(
        "number:I length:H 2x mac:6s 2x name:16s config:I state:I prop_type:H prop_length:H 4x "
        "curr:I advertised:I supported:I peer:I curr_speed:I max_speed:I"
    ),
}
_DESC_EXTRA = {OFP14: {"length": 72, "prop_type": 0, "prop_length": 32}}
_COUNTERS = [
    "rx_packets",
    "tx_packets",
    "rx_bytes",
    "tx_bytes",
    "rx_dropped",
    "tx_dropped",
    "rx_errors",
    "tx_errors",
    "rx_frame_errors",
    "rx_over_errors",
    "rx_crc_errors",
    "collisions",
]
_STATS = {
    OFP10: Layout("number:H 6x " + " ".join(f"{name}:Q" for name in _COUNTERS)),
    OFP13: Layout("number:I 4x " + " ".join(f"{name}:Q" for name in _COUNTERS) + " duration_sec:I duration_nsec:I"),
    OFP14: Layout(
        "length:H 2x number:I duration_sec:I duration_nsec:I "
        + " ".join(f"{name}:Q" for name in _COUNTERS[:8])
        + " prop_type:H prop_length:H 4x "  # OFPPSPT_ETHERNET
        + " ".join(f"{name}:Q" for name in _COUNTERS[8:])
    ),
}
_STATS_EXTRA = {OFP14: {"length": 120, "prop_type": 0, "prop_length": 40}}
_STATUS = Layout("reason:B 7x")


@dataclass(frozen=True)
class PortDesc:
    """What OpenFlow tells of a port.

    number: 32-bit form; mac: 6 bytes; config and state: OFPPC_ and OFPPS_ bits; features: OpenFlow 1.3's OFPPF_ bits;
    speeds in kb/s, 0 = as the features say.
    """

    number: int
    mac: bytes
    name: str
    config: int = 0
    state: int = 0
    curr: int = 0
    advertised: int = 0
    supported: int = 0
    peer: int = 0
    curr_speed_kbps: int = 0
    max_speed_kbps: int = 0


@dataclass(frozen=True)
class PortStatsRow:
    """The counters of a port; duration_ns: since it was added. UNKNOWN marks a counter that nobody keeps."""

    number: int
    duration_ns: int = 0
    rx_packets: int = 0
    tx_packets: int = 0
    rx_bytes: int = 0
    tx_bytes: int = 0
    rx_dropped: int = 0
    tx_dropped: int = 0
    rx_errors: int = 0
    tx_errors: int = 0
    rx_frame_errors: int = 0
    rx_over_errors: int = 0
    rx_crc_errors: int = 0
    collisions: int = 0


def port_to_wire(number: int, version: int) -> int:
    """Return a port number (32-bit form) as the version writes it."""
    return number & 0xFFFF if version == OFP10 else number


def port_from_wire(number: int, version: int) -> int:
    """Return the 32-bit form of a port number of a message; raises OpenFlowError BAD_OUT_PORT outside the range."""
    if version == OFP10:
        return number | 0xFFFF0000 if number >= OFPP10_MAX else number
    if OFPP10_MAX <= number < OFPP_MAX:
        raise OpenFlowError("OFPBAC_BAD_OUT_PORT", f"port {number} is outside the supported range")
    return number


def features_10(features: int) -> int:
    """Return OpenFlow 1.0's feature bits for 1.3's; speeds above 10 Gb/s have none."""
    return features & SPEED_BITS_10 | (features & MEDIUM_BITS_13) >> MEDIUM_SHIFT_10


def speed_kbps(features: int) -> int:
    """Return the highest speed among OpenFlow 1.3's feature bits in kb/s, 0 for none."""
    return next((speed for bits, speed in SPEEDS_KBPS if features & bits), 0)


def pack_port(port: PortDesc, version: int) -> bytes:
    """Return ofp_phy_port (1.0, 48 bytes) or ofp_port (64 bytes in 1.3, 72 in 1.4); names have 15 bytes (D.1.13)."""
    live = 0 if (port.state & OFPPS_LINK_DOWN or port.config & OFPPC_PORT_DOWN) else OFPPS_LIVE
    as_features = features_10 if version == OFP10 else int
    values = {
        "number": port_to_wire(port.number, version),
        "mac": port.mac,
        "name": port.name.encode()[:15],
        "config": port.config & CONFIG_BITS[version],
        "state": (port.state | live) & STATE_BITS[version],
        "curr": as_features(port.curr),
        "advertised": as_features(port.advertised),
        "supported": as_features(port.supported),
        "peer": as_features(port.peer),
    }
    if version != OFP10:
        values["curr_speed"] = min(port.curr_speed_kbps or speed_kbps(port.curr), 0xFFFFFFFF)
        values["max_speed"] = min(port.max_speed_kbps or speed_kbps(port.supported), 0xFFFFFFFF)
    return _DESC[version].pack(**values, **_DESC_EXTRA.get(version, {}))


def port_bytes(version: int) -> int:
    """Return the size of a packed port description."""
    return _DESC[version].size


def pack_status(reason: int, port: PortDesc, version: int) -> bytes:
    """Return the body of a port-status message."""
    return _STATUS.pack(reason=reason) + pack_port(port, version)


def pack_stats(row: PortStatsRow, version: int) -> bytes:
    """Return one entry of a port statistics reply."""
    values = {name: getattr(row, name) & UNKNOWN for name in _COUNTERS}
    if version != OFP10:
        values["duration_sec"], values["duration_nsec"] = divmod(max(0, row.duration_ns), 1_000_000_000)
        values["duration_sec"] &= 0xFFFFFFFF
    return _STATS[version].pack(number=port_to_wire(row.number, version), **values, **_STATS_EXTRA.get(version, {}))
