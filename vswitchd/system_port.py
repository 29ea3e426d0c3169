"""How a device of the host is opened for an interface: by packet sockets or by AF_XDP, chosen or as `options:io` says.

Measured in bench/RESULTS.md: AF_XDP forwards more small packets, packet sockets carry offloads along, without which TCP
between local hosts is three to five times slower. Thread rule: control thread, and threads that open devices.
"""

from __future__ import annotations

from collections.abc import Collection

from datapath.ports import ethtool, netdev
from datapath.ports.afpacket import AfPacketPort
from datapath.ports.afxdp import MODES as XDP_MODES
from datapath.ports.afxdp import AfXdpPort
from datapath.ports.port import PortHandle
from vslib.errors import ConfigError
from vslib.vlog import Module
from vswitchd import measuring
from vswitchd.desired import DesiredInterface

log = Module("netdev_linux")

# Option of afxdp ports -> its values, the default first.
XDP_OPTIONS = {"xdp-mode": tuple(XDP_MODES), "n_rxq": ("1",), "use-need-wakeup": ("true", "false")}
AUTO, AFPACKET, AFXDP = "auto", "afpacket", "afxdp"
# Frames that the receive ring holds, of 2 KB: at first and once that filled up; with options:n_rxq_desc from the start.
SLOTS_FIRST, SLOTS_MOST = 128, 2048
RING_SIZES = tuple(1 << power for power in range(6, 16))
# Segmentation that the stack does before frames reach the device is nothing that a port could use.
SOFTWARE = frozenset({"tx-generic-segmentation"})


def open_system(wanted: DesiredInterface) -> PortHandle:
    """Open a device as the interface's options say, else in the way that suits it best (logged with the reason).

    Raises ConfigError, naming the option if one is wrong.
    """
    io = _one_of(wanted, "io", (AUTO, AFPACKET, AFXDP))
    if io == AFXDP:
        return open_afxdp(wanted, {**XDP_OPTIONS, "io": (AFXDP,)})
    slots = _ring_frames(wanted)
    queues = measuring.rx_queues(wanted)
    reason = "options:io" if io == AFPACKET else _why_packets(wanted.name, queues)
    if not reason:
        try:
            return AfXdpPort(wanted.name, mode="native-with-zerocopy", mtu=wanted.mtu_request or 0)
        except ConfigError as error:
            reason = str(error)
    first = 0 if slots else SLOTS_FIRST
    handle = AfPacketPort(wanted.name, slots=slots or SLOTS_MOST, first_slots=first, n_rxq=queues)
    log.info("%s: packet sockets, not AF_XDP: %s", wanted.name, reason)
    return handle


def open_afxdp(wanted: DesiredInterface, known: dict[str, tuple[str, ...]] = XDP_OPTIONS) -> AfXdpPort:
    """Open a device through an AF_XDP socket. Raises ConfigError, naming the option if one is wrong."""
    for name in sorted(wanted.options):
        if name not in known:
            names = ", ".join(known)
            raise ConfigError(f"{wanted.name}: options:{name}: unknown option; type {wanted.kind} has {names}")
    chosen = {name: _one_of(wanted, name, values) for name, values in known.items()}
    need_wakeup, mtu = chosen["use-need-wakeup"] == "true", wanted.mtu_request or 0
    return AfXdpPort(wanted.name, mode=chosen["xdp-mode"], need_wakeup=need_wakeup, mtu=mtu)


def _one_of(wanted: DesiredInterface, name: str, values: tuple[str, ...]) -> str:
    """Return the value of an option, the first without one. Raises ConfigError."""
    value = wanted.options.get(name, values[0])
    if value not in values:
        raise ConfigError(f"{wanted.name}: options:{name}: {value!r} is not {' or '.join(values)}")
    return value


def _ring_frames(wanted: DesiredInterface) -> int:
    """Return how many frames the receive ring is to hold, 0 = as many as turn out to be needed. Raises ConfigError."""
    value = wanted.options.get("n_rxq_desc", "0")
    if value not in ("0", *map(str, RING_SIZES)):
        bounds = f"{RING_SIZES[0]} to {RING_SIZES[-1]}"
        raise ConfigError(f"{wanted.name}: options:n_rxq_desc: {value!r} is not a power of two from {bounds}")
    return int(value)


def _why_packets(name: str, queues: int) -> str:
    """Return why packet sockets suit a device better than AF_XDP, empty if they do not. Raises ConfigError."""
    return why_packets(netdev.link(name).kind, max(queues, ethtool.rx_queues(name)), ethtool.features_on(name))


def why_packets(kind: str, queues: int, features: Collection[str]) -> str:
    """Return the reason for packet sockets; empty for a network card without offloads.

    kind: of rtnetlink, empty for hardware; queues: to receive from; features: that are on, by ``ethtool -k``.
    """
    if kind:
        return f"its driver ({kind}) has no zero-copy mode"
    if queues > 1:
        return f"it has {queues} receive queues"
    offloads = [one for one in features if one.endswith("-segmentation") or one.startswith("tx-checksum")]
    if set(offloads) - SOFTWARE:
        return "its segmentation and checksum offloads would be lost"
    return ""
