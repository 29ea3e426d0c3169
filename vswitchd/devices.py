"""KINDS: what each Interface.type opens, as a table; the only place that maps database types to ports.

Opening raises ConfigError with the text for Interface.error. Thread rule: control thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

from datapath.ports import netdev, tun
from datapath.ports.afpacket import AfPacketPort
from datapath.ports.port import PortHandle
from datapath.ports.tap import TapPort
from vslib.errors import ConfigError
from vswitchd.desired import DesiredInterface


class Opened(NamedTuple):
    """An open device: the port for the datapath (None for a patch port) and the state of its link."""

    handle: PortHandle | None
    link: netdev.Link


class Kind(NamedTuple):
    """One row: how to open it, the word dpctl/show prints behind the name, whether the device is ours to delete.

    slow: opening and closing wait for the kernel, so that many are done at the same time.
    """

    open: Callable[[DesiredInterface, bytes | None], Opened]
    dpctl_word: str
    owned: bool
    slow: bool = False


def _find_tap(wanted: DesiredInterface) -> tuple[str, str | None]:
    """Return the present name and namespace of an interface's device; None = here, where it may have to be made."""
    if netdev.exists(wanted.name):
        return wanted.name, None
    path = tun.find_moved(wanted.name)
    if path is None and wanted.had_number:  # it ran before: perhaps it has another name where it went
        path, name = tun.find_renamed(wanted.name) or (None, wanted.name)
        return name, path
    return wanted.name, path


def _open_tap(kind: str) -> Callable[[DesiredInterface, bytes | None], Opened]:
    def open_it(wanted: DesiredInterface, mac: bytes | None) -> Opened:
        name, path = _find_tap(wanted)
        handle = TapPort(name, kind, namespace=path)
        try:
            link = handle.link()
            # A device that was moved into another namespace is its owner's there: its address is left alone.
            if path is None and mac is not None and link.mac != mac:
                netdev.set_mac(name, mac)
                link = handle.link()
            return Opened(handle, link)
        except ConfigError:
            handle.close()
            raise

    return open_it


def _open_system(wanted: DesiredInterface, _mac: bytes | None) -> Opened:
    before = netdev.link(wanted.name)
    if before.loopback:
        raise ConfigError(f"could not add network device {wanted.name} to ofproto (Invalid argument)")
    handle = AfPacketPort(wanted.name)
    try:
        link = netdev.link(wanted.name)
        if link.ifindex != before.ifindex:  # replaced meanwhile: the sockets are bound to one of the two
            raise ConfigError(f"could not open network device {wanted.name} (No such device)")
        return Opened(handle, link)
    except ConfigError:
        handle.close()
        raise


def _open_patch(wanted: DesiredInterface, _mac: bytes | None) -> Opened:
    peer = wanted.options.get("peer")
    if not peer:
        raise ConfigError(f"{wanted.name}: patch type requires valid 'peer' argument")
    if peer == wanted.name:
        raise ConfigError(f"{wanted.name}: patch peer must not be self")
    return Opened(None, netdev.virtual_link(wanted.name))


KINDS: dict[str, Kind] = {
    "system": Kind(_open_system, "", False, slow=True),
    "internal": Kind(_open_tap("internal"), "tap", True, slow=True),
    "tap": Kind(_open_tap("tap"), "tap", True, slow=True),
    "patch": Kind(_open_patch, "patch", False),
}


class Host:
    """Where the devices are: this computer. Embedding puts memory in its place.

    The methods are those of `datapath.ports.netdev` and raise as they do.
    """

    kinds: Mapping[str, Kind] = KINDS
    listens = True  # bridges have management sockets

    def open(self, wanted: DesiredInterface, kind: str, mac: bytes | None) -> Opened:
        """Open the device of an interface as `kind`; `mac` is what an internal device is to have, None = leave it.

        Raises ConfigError with Open vSwitch's text for the failure.
        """
        row = self.kinds.get(kind)
        if row is None:
            raise ConfigError(f"could not open network device {wanted.name} (Address family not supported by protocol)")
        return row.open(wanted, mac)

    def link(self, name: str) -> netdev.Link:
        """Return the state of a device."""
        return netdev.link(name)

    def exists(self, name: str) -> bool:
        """Return whether there is a device of this name."""
        return netdev.exists(name)

    def set_mac(self, name: str, mac: bytes) -> None:
        """Set the MAC address of a device (6 bytes)."""
        netdev.set_mac(name, mac)

    def set_mtu(self, name: str, mtu: int) -> None:
        """Set the MTU of a device, in bytes."""
        netdev.set_mtu(name, mtu)

    def set_up(self, name: str, up: bool) -> None:
        """Bring a device up or down."""
        netdev.set_up(name, up)

    def delete_if_exists(self, name: str) -> bool:
        """Remove a device if there is one; return whether there was."""
        return netdev.delete_if_exists(name)

    def fresh_mac(self) -> bytes:
        """Return a MAC address (6 bytes) for a bridge that has none: a random, locally administered one."""
        mac = bytearray(os.urandom(6))
        mac[0] = mac[0] & 0xFE | 0x02
        return bytes(mac)


def interface_types() -> list[str]:
    """Return what Open_vSwitch.iface_types lists."""
    return sorted(KINDS)
