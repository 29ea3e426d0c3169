"""KINDS: what each Interface.type opens, as a table; the only place that maps database types to ports.

Opening raises ConfigError with the text for Interface.error. Thread rule: control thread.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from datapath.ports import namespace, netdev, tun
from datapath.ports.port import PortHandle
from datapath.ports.tap import TapPort
from vslib.errors import ConfigError
from vswitchd import measuring
from vswitchd.desired import DesiredInterface
from vswitchd.system_port import open_afxdp, open_system

# Options that make another port, of every type; those of other names may be somebody else's notes.
REOPENING = ("n_rxq", "n_rxq_desc", "io", "xdp-mode", "use-need-wakeup")
T = TypeVar("T")
R = TypeVar("R")
THREADS_MAX = 16


class Opened(NamedTuple):
    """An open device: the port for the datapath (None for a patch port) and the state of its link."""

    handle: PortHandle | None
    link: netdev.Link


Open = Callable[[DesiredInterface, bytes | None], Opened]


class Request(NamedTuple):
    """A device to open; see `Host.open`."""

    wanted: DesiredInterface
    kind: str
    mac: bytes | None


class Closing(NamedTuple):
    """A port's device to close; destroy: a device that is ours goes for good."""

    name: str
    handle: PortHandle
    kind: str
    destroy: bool


class Kind(NamedTuple):
    """One row: how to open it, the word dpctl/show prints behind the name, whether the device is ours to delete.

    slow: opening and closing wait for the kernel, so that many are done at the same time. in_memory: there is no device
    that could be followed. by_options: other options make another port.
    """

    open: Open
    dpctl_word: str
    owned: bool
    slow: bool = False
    in_memory: bool = False
    by_options: bool = False


def _find_tap(wanted: DesiredInterface) -> tuple[str, str | None]:
    """Return the present name and namespace of an interface's device; None = here, where it may have to be made.

    One that existed may have gone anywhere since, under any name; a new one is not looked for.
    """
    if wanted.is_new or netdev.exists(wanted.name):
        return wanted.name, None
    path, name = tun.find_renamed(wanted.name) or (None, wanted.name)
    return name, path


def _open_tap(kind: str) -> Open:
    def open_it(wanted: DesiredInterface, mac: bytes | None) -> Opened:
        name, path = _find_tap(wanted)
        handle = TapPort(name, kind, namespace=path or namespace.HERE)
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


def _open_existing(port: Callable[[DesiredInterface], PortHandle]) -> Open:
    def open_it(wanted: DesiredInterface, _mac: bytes | None) -> Opened:
        if not netdev.exists(wanted.name):
            raise ConfigError(f"could not open network device {wanted.name} (No such device)")
        before = netdev.link(wanted.name)
        if before.loopback:
            raise ConfigError(f"could not add network device {wanted.name} to ofproto (Invalid argument)")
        handle = port(wanted)
        try:
            link = netdev.link(wanted.name)
            if link.ifindex != before.ifindex:  # replaced meanwhile: the sockets are bound to one of the two
                raise ConfigError(f"could not open network device {wanted.name} (No such device)")
            return Opened(handle, link)
        except ConfigError:
            handle.close()
            raise

    return open_it


def _open_patch(wanted: DesiredInterface, _mac: bytes | None) -> Opened:
    peer = wanted.options.get("peer")
    if not peer:
        raise ConfigError(f"{wanted.name}: patch type requires valid 'peer' argument")
    if peer == wanted.name:
        raise ConfigError(f"{wanted.name}: patch peer must not be self")
    return Opened(None, netdev.virtual_link(wanted.name))


def in_memory(open_it: measuring.Open, word: str) -> Kind:
    """Return the row of a type without a device."""
    return Kind(lambda wanted, _mac: Opened(*open_it(wanted)), word, False, in_memory=True, by_options=True)


KINDS: dict[str, Kind] = {
    "system": Kind(_open_existing(open_system), "", False, slow=True),
    "afxdp": Kind(_open_existing(open_afxdp), "afxdp", False, slow=True, by_options=True),
    "afxdp-nonpmd": Kind(_open_existing(open_afxdp), "afxdp-nonpmd", False, slow=True, by_options=True),
    "internal": Kind(_open_tap("internal"), "tap", True, slow=True),
    "tap": Kind(_open_tap("tap"), "tap", True, slow=True),
    "patch": Kind(_open_patch, "patch", False),
    "null": in_memory(measuring.open_null, "null"),
    "pcap": in_memory(measuring.pcap_opener(), "pcap"),
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

    async def open_all(self, requests: Sequence[Request]) -> list[Opened | ConfigError | OSError]:
        """Open many devices; returns for each what `open` returns or raises.

        Those that wait for the kernel are opened on threads: they wait together, and the event loop goes on.
        """
        slow = [request for request in requests if request.kind in self.kinds and self.kinds[request.kind].slow]
        return await _together(self._try_open, requests, len(slow))

    def _try_open(self, request: Request) -> Opened | ConfigError | OSError:
        try:
            return self.open(request.wanted, request.kind, request.mac)
        except (ConfigError, OSError) as error:
            return error

    async def close_all(self, ports: Sequence[Closing]) -> None:
        """Close many devices, and remove those that are to go, wherever they are now."""
        await _together(self._close, ports, sum(self.kinds[port.kind].slow for port in ports))

    def _close(self, port: Closing) -> None:
        destroy = port.destroy and self.kinds[port.kind].owned
        if destroy and isinstance(port.handle, TapPort):
            port.handle.destroy()
            return
        port.handle.close()
        if destroy:
            self.delete_if_exists(port.name)

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

    def fresh_mac(self, bridge: uuid.UUID) -> bytes:
        """Return the MAC address (6 bytes) of a bridge without a device that has one of its own.

        It follows from the UUID of the bridge's row, so that it, and the datapath ID, outlive the daemon.
        """
        mac = bytearray(bridge.bytes_le[:6])
        mac[0] = mac[0] & 0xFE | 0x02  # locally administered, not multicast
        return bytes(mac)


async def _together(work: Callable[[T], R], items: Sequence[T], n_slow: int) -> list[R]:
    """Return the results of `work` for all items: on threads when several are slow."""
    if n_slow < 2:
        return [work(item) for item in items]
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(min(n_slow, THREADS_MAX), "devices") as pool:
        return await asyncio.gather(*(loop.run_in_executor(pool, work, item) for item in items))


def interface_types() -> list[str]:
    """Return what Open_vSwitch.iface_types lists."""
    return sorted(KINDS)
