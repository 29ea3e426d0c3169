"""News of network devices, brought to the ports that run on them (PT.23, PT.26).

A `system` port lives as long as its device is here under its name: its sockets are bound to that one device, so one
that comes later under the same name is opened anew. A device of ours is held by its descriptor and may live in any
network namespace under any name there; only under another name in our own it is lost. Thread rule: control thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable

from datapath.ports import netdev, tun
from datapath.ports.tap import TapPort
from vslib.errors import ConfigError
from vswitchd.bridge import RunningPort, find_port
from vswitchd.core import Core
from vswitchd.desired import Desired

NETLINK_FIELDS = ("ifindex", "mac", "mtu", "up", "running")
MOVES_MEANWHILE = 5  # that a device makes while it is looked for
ASKED_ONE_BY_ONE = 3  # more devices are read all at once


class LinkFollower:
    """Keeps the running ports like their devices.

    `again` is called when the configuration is to be applied again: a port's device is gone or different in what others
    depend on, or one has come that was missed. `changed` is called when the database is to hear of something.
    """

    def __init__(self, core: Core, again: Callable[[], None], changed: Callable[[], None]) -> None:
        self.core = core
        self.again = again
        self.changed = changed
        self.wanted: frozenset[str] = frozenset()  # names of all configured interfaces
        self._watch: netdev.Watch | None = None
        self._known: dict[str, RunningPort] = {}

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to watch, and take over what happened to the devices since they were opened."""
        self._watch = netdev.watch(loop, self.news)
        self._catch_up()

    def close(self) -> None:
        """Stop watching."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def applied(self, desired: Desired) -> None:
        """Take note of what is wanted now, and of ports that were opened while news of their devices came."""
        bridges = desired.bridges.values()
        self.wanted = frozenset(i.name for b in bridges for port in b.ports for i in port.interfaces)
        if self._watch is not None:
            self._catch_up()

    def _catch_up(self) -> None:
        """Compare the ports that are new with their devices."""
        ports = [p for b in self.core.bridges.values() for p in b.ports_by_name.values() if self._has_device(p)]
        new = [port for port in ports if self._known.get(port.name) is not port]
        self._known = {port.name: port for port in ports}
        listed = {link.name: link for link in netdev.links()} if len(new) > ASKED_ONE_BY_ONE else {}
        for port in new:
            if not _looks_alike(listed.get(port.name), port.link):
                self.news(port.name, netdev.link(port.name) if netdev.exists(port.name) else None)

    def news(self, name: str, link: netdev.Link | None) -> None:
        """Take over a device's new state; None: there is no device of this name any more."""
        found = find_port(self.core.bridges.values(), name)
        if found is not None and not self._has_device(found[1]):
            return
        if found is not None:
            bridge, port = found
            before = port.link
            now = self._state(port, link) or before.gone()
            if now == before:
                return
            bridge.link_changed(port, now)
            if not now.present or (now.mac, now.mtu) != (before.mac, before.mtu):
                self.again()
        elif link is not None and not link.moved and name in self.wanted:
            self.again()
        self.changed()

    def _has_device(self, port: RunningPort) -> bool:
        return port.handle is not None and not self.core.host.kinds[port.kind].in_memory

    def _state(self, port: RunningPort, link: netdev.Link | None) -> netdev.Link | None:
        """Return the state of the device that the port holds, None when it is lost."""
        if not port.link.present:
            return None
        if not isinstance(port.handle, TapPort):
            return None if link is None or link.moved or link.ifindex != port.link.ifindex else link
        if link is not None and not link.moved and not port.link.moved and link.ifindex == port.link.ifindex:
            return link
        return self._found(port.name, port.handle)

    def _found(self, name: str, handle: TapPort) -> netdev.Link | None:
        """Return the state of a device of ours, wherever it is, and follow it there; None when it is lost."""
        for _ in range(MOVES_MEANWHILE):
            try:
                tun.identify(handle.rx_fd)  # raises once the device does not exist
            except OSError:
                return None
            with contextlib.suppress(ConfigError, OSError):  # it went on while it was looked for
                link = self._look(name, handle)
                return None if not link.moved and link.name != name else link
        return None

    def _look(self, name: str, handle: TapPort) -> netdev.Link:
        """Return the state of a device of ours; what changes from now on, elsewhere too, is news. Raises OSError."""
        place = tun.namespace_fd(handle.rx_fd)
        try:
            link: netdev.Link = handle.link()
            if link.moved and self._watch is not None and self._watch.follow(name, place, link.ifindex):
                link = handle.link()  # what changed before it was followed
            return link
        finally:
            os.close(place)


def _looks_alike(one: netdev.Link | None, other: netdev.Link) -> bool:
    """Tell whether two states of a device are the same in what netlink tells of it."""
    return one is not None and all(getattr(one, name) == getattr(other, name) for name in NETLINK_FIELDS)
