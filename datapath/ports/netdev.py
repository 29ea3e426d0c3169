"""Network devices from the control side: what they are like, changes to them, news of them (PT.21, PT.23 to PT.26).

Everything goes through route netlink and ethtool ioctls in the namespace of the calling thread; nothing here touches
packets. Errors are ConfigError in Open vSwitch's words: ``could not open network device eth9 (No such device)``.
"""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import hashlib
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

from datapath.ports import ethtool, netlink, tun
from vslib.errors import ConfigError
from vslib.vlog import get

log = get("netdev")

IFF_UP, IFF_LOOPBACK, IFF_RUNNING = 0x1, 0x8, 0x40
NO_MAC = bytes(6)


@dataclass(frozen=True, slots=True)
class Link:
    """State of a device.

    `mac` has 6 bytes, `mtu` is in bytes, `speed_kbps` 0 = unknown, `features` are OpenFlow 1.3's bits. `peer_ifindex`
    is what the device is tied to (a veth's other end, a VLAN's parent), 0 = none. `moved`: the device went to another
    network namespace and lives on there.
    """

    name: str
    ifindex: int = 0
    mac: bytes = NO_MAC
    mtu: int = 1500
    up: bool = False
    running: bool = False
    present: bool = True
    moved: bool = False
    loopback: bool = False
    kind: str = ""
    alias: str = ""
    peer_ifindex: int = 0
    speed_kbps: int = 0
    full_duplex: bool = False
    features: int = 0
    status: tuple[tuple[str, str], ...] = ()

    def gone(self) -> Link:
        """Return what is left of it once the device does not exist any more."""
        return dataclasses.replace(self, ifindex=0, up=False, running=False, present=False, moved=False)


def link(name: str) -> Link:
    """Return the state of a device; raises ConfigError if there is none."""
    tun.check_name(name)
    try:
        [found, *_] = netlink.links([("IFLA_IFNAME", name)])
    except OSError as error:
        raise ConfigError(f"could not open network device {name} ({error.strerror})") from error
    return _with_settings(_decode(found))


def exists(name: str) -> bool:
    """Return whether there is a device of this name here."""
    return ifindex(name) != 0


def ifindex(name: str) -> int:
    """Return the number of a device, 0 if there is none."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def links() -> list[Link]:
    """Return all devices of the namespace, without their link settings."""
    return [_decode(found) for found in netlink.links(dump=True)]


def virtual_link(name: str) -> Link:
    """Return the link of a port without a device (a patch port): up, with a MAC address that follows from the name."""
    mac = bytearray(hashlib.blake2b(name.encode(), digest_size=6).digest())
    mac[0] = mac[0] & 0xFE | 0x02  # locally administered, not multicast
    return Link(name, mac=bytes(mac), up=True, running=True)


def classify(name: str) -> str:
    """Return what a device is to us: "absent", "internal" (a TAP that we made), "tap" (another one) or "system"."""
    if not exists(name):
        return "absent"
    found = link(name)
    if dict(found.status).get("driver_name") != "tun" or found.kind != "tun":
        return "system"
    return "internal" if found.alias.split(":")[0] == tun.MARK else "tap"


def set_mac(name: str, mac: bytes) -> None:
    """Set the MAC address (6 bytes), if need be by taking the device down for a moment. Raises ConfigError."""
    change = ("IFLA_ADDRESS", mac.hex(":"))
    try:
        _change(name, change)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise _could_not(name, "set MAC address", error) from error
        set_up(name, False)
        try:
            _checked(name, "set MAC address", change)
        finally:
            set_up(name, True)


def set_mtu(name: str, mtu: int) -> None:
    """Set the MTU in bytes. Raises ConfigError, also if the device cannot have it."""
    _checked(name, f"set MTU to {mtu}", ("IFLA_MTU", mtu))


def set_up(name: str, up: bool) -> None:
    """Bring a device up or down. Raises ConfigError."""
    _checked(name, "bring up" if up else "bring down", None, IFF_UP if up else 0, IFF_UP)


def set_alias(name: str, alias: str) -> None:
    """Set the alias, the free text that ``ip link`` shows. Raises ConfigError."""
    _checked(name, "set alias", ("IFLA_IFALIAS", alias))


def rename(name: str, new_name: str) -> None:
    """Give a device another name. Raises ConfigError."""
    tun.check_name(new_name)
    _checked(name, f"rename to {new_name}", ("IFLA_IFNAME", new_name))


def delete(name: str) -> None:
    """Remove a device. Raises ConfigError if there is none or it cannot be removed."""
    index = _index(name)
    try:
        netlink.change_link("RTM_DELLINK", index)
    except OSError as error:
        raise _could_not(name, "delete", error) from error


def delete_if_exists(name: str) -> bool:
    """Remove a device if there is one; return whether there was. Raises ConfigError if it cannot be removed."""
    if not exists(name):
        return False
    delete(name)
    return True


def create_internal(name: str, mac: bytes | None = None, mtu: int | None = None) -> bool:
    """Make the persistent TAP device of an internal port, unless it exists, with a MAC address (6 bytes) and MTU.

    Returns whether it was made. It is down, as Open vSwitch leaves its own. Raises ConfigError.
    """
    tap = tun.open_tap(name)
    os.close(tap.fd)
    if mac is not None:
        set_mac(name, mac)
    if mtu is not None:
        set_mtu(name, mtu)
    return tap.created


class Watch:
    """Calls back on the event loop: (name, Link) when a device appears or changes, (name, None) when one is gone.

    A device that moved to another network namespace is reported as a Link with `moved` set, once, as it went: down.
    Those that were given to `follow` are reported with `moved` set whenever something changes there. News that the
    kernel had to drop are made up for by reading all devices again.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[str, Link | None], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._sock = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        try:
            netlink.hear_all_namespaces(self._sock)
        except OSError as error:
            log.info("devices in other network namespaces cannot be followed: %s", error.strerror)
        self._sock.bind((0, netlink.RTMGRP_LINK))
        self._known = {found.ifindex: found for found in links()}
        self._away: dict[tuple[int, int], str] = {}  # number of the namespace, ifindex there -> name as it was here
        loop.add_reader(self._sock.fileno(), self._read)

    def close(self) -> None:
        """Stop watching; a second call does nothing."""
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()

    def follow(self, name: str, namespace_fd: int, index: int) -> bool:
        """Report from now on what becomes of the device with number `index` in another namespace, under `name`.

        Returns False when it is followed already. Raises OSError if the kernel has no number for the namespace.
        """
        where = (netlink.namespace_number(namespace_fd), index)
        if self._away.get(where) == name:
            return False
        self.forget(name)
        self._away[where] = name
        return True

    def forget(self, name: str) -> None:
        """End what `follow` began."""
        self._away = {where: other for where, other in self._away.items() if other != name}

    def _read(self) -> None:
        while self._sock.fileno() >= 0:
            try:
                data, namespace = netlink.receive_from(self._sock)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    log.err("no more news of network devices: %s", error)
                    self.close()
                    return
                self._read_all()
                continue
            if namespace == netlink.HERE or any(number == namespace for number, _ in self._away):
                for message in netlink.decode(data):
                    self._message(message, namespace)

    def _message(self, message: netlink.Message, namespace: int) -> None:
        event = netlink.event(message)
        if event not in ("RTM_NEWLINK", "RTM_DELLINK"):
            return
        if message["family"] != socket.AF_UNSPEC:  # a bridge's view of its ports comes to the same group
            return
        found = _decode(message)
        if namespace != netlink.HERE:
            self._elsewhere(found, namespace, event == "RTM_DELLINK")
        elif event == "RTM_NEWLINK":
            self._present(found)
        else:
            self._absent(found, moved=message.get_attr("IFLA_NEW_NETNSID") is not None)

    def _elsewhere(self, found: Link, namespace: int, gone: bool) -> None:
        name = self._away.get((namespace, found.ifindex))
        if name is None:
            return
        if gone:  # deleted, or on its way to yet another namespace
            del self._away[namespace, found.ifindex]
            found = dataclasses.replace(found, up=False, running=False)
        self._callback(name, dataclasses.replace(found, name=name, moved=True))

    def _present(self, found: Link) -> None:
        before = self._known.get(found.ifindex)
        self._known[found.ifindex] = found
        if before is not None and before.name != found.name:
            self._callback(before.name, None)
        if before != found:
            self._callback(found.name, _with_settings(found))

    def _absent(self, found: Link, moved: bool) -> None:
        before = self._known.pop(found.ifindex, None)
        if before is None:
            return
        if moved:  # the kernel takes a device down before it goes
            self._callback(before.name, dataclasses.replace(before, moved=True, up=False, running=False))
        else:
            self._callback(before.name, None)

    def _read_all(self) -> None:
        """Take over the state of all devices, as if each difference had been reported."""
        now = {found.ifindex: found for found in links()}
        for index in self._known.keys() - now.keys():
            self._absent(self._known[index], False)
        for found in now.values():
            self._present(found)
        for name in list(self._away.values()):
            self._callback(name, Link(name, moved=True))


def watch(loop: asyncio.AbstractEventLoop, callback: Callable[[str, Link | None], None]) -> Watch:
    """Return a Watch that reports changes of devices from now on; close() ends it."""
    return Watch(loop, callback)


# -- netlink


def _decode(message: netlink.Message) -> Link:
    """Return the Link of an RTM_NEWLINK or RTM_DELLINK, without what ethtool knows."""
    info = message.get_attr("IFLA_LINKINFO")
    return Link(
        name=netlink.text(message, "IFLA_IFNAME"),
        ifindex=message["index"],
        mac=netlink.octets(message, "IFLA_ADDRESS")[:6].ljust(6, b"\0"),
        mtu=message.get_attr("IFLA_MTU") or 0,
        up=bool(message["flags"] & IFF_UP),
        running=bool(message["flags"] & IFF_RUNNING),
        loopback=bool(message["flags"] & IFF_LOOPBACK),
        kind=netlink.text(info, "IFLA_INFO_KIND") if info else "",
        alias=netlink.text(message, "IFLA_IFALIAS"),
        peer_ifindex=message.get_attr("IFLA_LINK") or 0,
    )


def _with_settings(found: Link) -> Link:
    """Return the Link with what ethtool says of the device."""
    speed_kbps, full_duplex, features = ethtool.settings(found.name)
    driver = ethtool.driver(found.name)
    named = {"driver_name": driver.name, "driver_version": driver.version, "firmware_version": driver.firmware}
    status = tuple((key, value) for key, value in named.items() if driver.name)
    return dataclasses.replace(found, speed_kbps=speed_kbps, full_duplex=full_duplex, features=features, status=status)


def _index(name: str) -> int:
    index = ifindex(name)
    if not index:
        raise _missing(name)
    return index


def _missing(name: str) -> ConfigError:
    return ConfigError(f"could not open network device {name} ({os.strerror(errno.ENODEV)})")


def _could_not(name: str, what: str, error: OSError) -> ConfigError:
    return ConfigError(f"could not {what} of network device {name} ({error.strerror})")


def _change(name: str, change: netlink.Attribute | None, flags: int = 0, mask: int = 0) -> None:
    netlink.change_link("RTM_SETLINK", _index(name), [change] if change else [], flags=flags, mask=mask)


def _checked(name: str, what: str, change: netlink.Attribute | None, flags: int = 0, mask: int = 0) -> None:
    try:
        _change(name, change, flags, mask)
    except OSError as error:
        raise _could_not(name, what, error) from error
