"""What outlives a daemon that was killed: devices of its own, filters on others, sockets; the next one removes them.

Internal and TAP devices are persistent, and a device that is a port may bear a filter that hides its frames from the
host's stack. A daemon that is killed between a committed del-port and the clearing up could not tell the next one of
it: the database does not know the port any more. So the names of all devices that the configuration makes or takes are
in a file of the run directory before that happens, and leave it when they have been given up. Reboots take both, the
devices and the run directory. Thread rule: control thread.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
from typing import NamedTuple

from datapath.ports import netdev, silence, tun
from vslib import dirs, stream_unix, vlog
from vslib.errors import ConfigError
from vswitchd.desired import Desired
from vswitchd.devices import KINDS
from vswitchd.reconfigure import effective_kind

log = vlog.get("vswitchd")

FILE = "ovs-vswitchd.devices"
SOCKETS = ("ovs-vswitchd.*.ctl", "*.mgmt", "*.snoop")
OURS, TAKEN = "ours", "taken"  # made by us; made by others and a port of ours


class Noted(NamedTuple):
    """One line of the file: OURS or TAKEN, and the device's name."""

    how: str
    name: str


def noted(desired: Desired) -> frozenset[Noted]:
    """Return the devices that are made or taken for this configuration."""
    found = set()
    for bridge in desired.bridges.values():
        for port in bridge.ports:
            for interface in port.interfaces:
                kind = effective_kind(interface, bridge)
                if kind in KINDS and KINDS[kind].owned:
                    found.add(Noted(OURS, interface.name))
                elif kind == "system":
                    found.add(Noted(TAKEN, interface.name))
    return frozenset(found)


def remove_stale_sockets() -> None:
    """Remove the sockets of the run directory that a killed daemon left: those on which nobody listens."""
    for path in sorted(p for pattern in SOCKETS for p in glob.glob(os.path.join(glob.escape(dirs.rundir()), pattern))):
        with contextlib.suppress(BlockingIOError):  # its listener is busy
            try:
                stream_unix.connect_now(path).close()
            except ConnectionRefusedError:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
            except OSError as error:
                log.dbg("%s: %s", path, error)


class Devices:
    """The list in the run directory."""

    def __init__(self) -> None:
        self.path = os.path.join(dirs.rundir(), FILE)
        self._is_first = True
        self._noted: frozenset[Noted] = frozenset()
        with contextlib.suppress(FileNotFoundError), open(self.path, encoding="utf-8") as lines:
            words = [line.rstrip("\n").partition(" ") for line in lines if line.endswith("\n")]
            self._noted = frozenset(Noted(how, name) for how, _, name in words if name)

    def expect(self, wanted: frozenset[Noted]) -> None:
        """Note the devices that are about to be made or taken; before the first of them is."""
        self._write(self._noted | wanted)

    def settle(self, wanted: frozenset[Noted]) -> None:
        """Clear up what is left of devices that are not wanted any more, and forget them."""
        # Only at the first time thoroughly: later `reconfigure` has done it, wherever they were, by their descriptors.
        thoroughly, self._is_first = self._is_first, False
        self._write(wanted | self._left(self._noted - wanted, thoroughly))

    def remove_all(self) -> None:
        """Remove every device that is ours (`exit --cleanup`)."""
        self._write(self._left(self._noted, thoroughly=True))

    def _left(self, given_up: frozenset[Noted], thoroughly: bool) -> frozenset[Noted]:
        """Clear up devices; returns those that could not be."""
        left = set()
        for each in given_up:
            try:
                if each.how == OURS:
                    _remove(each.name, thoroughly)
                elif thoroughly and netdev.exists(each.name):
                    silence.reclaim(each.name, netdev.ifindex(each.name))
            except (ConfigError, OSError) as error:
                log.warn("%s: could not clear it up: %s", each.name, error)
                if netdev.exists(each.name):
                    left.add(each)
        return frozenset(left)

    def _write(self, after: frozenset[Noted]) -> None:
        if after == self._noted:
            return
        temporary = self.path + ".tmp"
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                file.write("".join(f"{each.how} {each.name}\n" for each in sorted(after)))
            os.replace(temporary, self.path)
        except OSError as error:
            log.warn("%s: could not write the list of our devices: %s", self.path, error.strerror)
        self._noted = after


def _remove(name: str, everywhere: bool) -> None:
    """Remove a device that bears our mark, `everywhere`: from other namespaces, too; not one that a process uses.

    Raises ConfigError, OSError.
    """
    path: str | None = None
    if netdev.classify(name) != "internal":
        moved = tun.find_renamed(name) if everywhere else None
        if moved is None:
            return
        path, name = moved
    try:
        fd = tun.open_tap(name, path).fd
    except ConfigError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EBUSY:
            return  # another switch has it
        raise
    tun.make_temporary(fd)
    os.close(fd)
    log.info("removed device %s, which is not configured any more", name)
