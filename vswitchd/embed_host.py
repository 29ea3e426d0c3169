"""The devices of an embedded switch: in memory, so that nothing of the computer is touched and no rights are needed.

`MemoryHost` takes the place of `vswitchd.devices.Host`: interfaces of the types system, internal and tap become pipes,
whose other end is in the hands of the program that embeds the switch. Thread rule: the caller's thread.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from datapath.ports.netdev import Link, virtual_link
from datapath.ports.pcap import PcapPort
from datapath.ports.pipe import PipePort
from vslib.errors import ConfigError
from vswitchd.desired import DesiredInterface
from vswitchd.devices import KINDS, Closing, Host, Kind, Opened, in_memory
from vswitchd.measuring import pcap_opener

QUEUE_FRAMES = 4096  # that a port holds in each direction; more are dropped, and counted as tx_full
DEFAULT_MTU = 1500
IN_MEMORY = ("system", "afxdp", "afxdp-nonpmd", "internal", "tap")  # types that become pipes
FIRST_MAC = 0x02_00_00_00_00_00


@dataclass
class Device:
    """One device in memory: its pipe and the state of its link."""

    pipe: PipePort
    link: Link


class MemoryHost(Host):
    """The devices of one embedded switch, by name. Addresses are given in order, so that every run has the same."""

    listens = False

    def __init__(self) -> None:
        self.devices: dict[str, Device] = {}
        self._bridges = 0
        self._captures: list[PcapPort] = []
        pipes = {name: Kind(self._opener(name), KINDS[name].dpctl_word, KINDS[name].owned) for name in IN_MEMORY}
        pcap = in_memory(pcap_opener(background=False, opened=self._captures.append), KINDS["pcap"].dpctl_word)
        self.kinds: Mapping[str, Kind] = {**KINDS, **pipes, "pcap": pcap}

    def _opener(self, kind: str) -> Callable[[DesiredInterface, bytes | None], Opened]:
        def open_it(wanted: DesiredInterface, mac: bytes | None) -> Opened:
            link = dataclasses.replace(virtual_link(wanted.name), mtu=wanted.mtu_request or DEFAULT_MTU)
            pipe = PipePort(wanted.name, size=QUEUE_FRAMES, mtu=link.mtu, kind=kind)
            if mac is not None:
                link = dataclasses.replace(link, mac=mac)
            self.devices[wanted.name] = Device(pipe, link)
            return Opened(pipe, link)

        return open_it

    async def close_all(self, ports: Sequence[Closing]) -> None:
        """Close many devices; in memory nothing of them is left."""
        for port in ports:
            port.handle.close()
            self.devices.pop(port.name, None)

    def captures(self) -> list[PcapPort]:
        """Return the pcap ports: somebody has to flush() them, and to tell them the time."""
        self._captures[:] = [port for port in self._captures if not port.is_closed]
        return self._captures

    def _device(self, name: str) -> Device:
        device = self.devices.get(name)
        if device is None:
            raise ConfigError(f"could not open network device {name} (No such device)")
        return device

    def link(self, name: str) -> Link:
        """Return the state of a device."""
        return self._device(name).link

    def exists(self, name: str) -> bool:
        """Return whether there is a device of this name."""
        return name in self.devices

    def set_mac(self, name: str, mac: bytes) -> None:
        """Set the MAC address of a device (6 bytes)."""
        device = self._device(name)
        device.link = dataclasses.replace(device.link, mac=mac)

    def set_mtu(self, name: str, mtu: int) -> None:
        """Set the MTU of a device, in bytes."""
        device = self._device(name)
        device.pipe.set_mtu(mtu)
        device.link = dataclasses.replace(device.link, mtu=mtu)

    def set_up(self, name: str, up: bool) -> None:
        """Bring a device up or down."""
        device = self._device(name)
        device.pipe.up = up
        device.link = dataclasses.replace(device.link, up=up, running=up)

    def delete_if_exists(self, name: str) -> bool:
        """Forget a device if there is one; return whether there was."""
        return self.devices.pop(name, None) is not None

    def fresh_mac(self, *_bridge: uuid.UUID) -> bytes:
        """Return a MAC address (6 bytes) for a bridge that has none: 02:00:00:00:00:01 and up."""
        self._bridges += 1
        return (FIRST_MAC + self._bridges).to_bytes(6, "big")
