"""What outlives a daemon that was killed: devices of its own and sockets; the next one takes or removes them.

Internal and TAP devices are persistent. A daemon that is killed between a committed del-port and the removal of its
device could not tell the next one of it: the database does not know the port any more. So the names of all devices that
the configuration makes ours are in a file of the run directory before the first of them is made, and leave it after
they are gone. Reboots take both, the devices and the run directory. Thread rule: control thread.
"""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterable

from datapath.ports import namespace, netdev, tun
from vslib import dirs, stream_unix, vlog
from vslib.errors import ConfigError
from vswitchd.desired import Desired
from vswitchd.devices import KINDS
from vswitchd.reconfigure import effective_kind

log = vlog.get("vswitchd")

FILE = "ovs-vswitchd.devices"
SOCKETS = ("ovs-vswitchd.*.ctl", "*.mgmt", "*.snoop")


def owned_names(desired: Desired) -> frozenset[str]:
    """Return the names of the devices that are made for this configuration, and go with it."""
    found = set()
    for bridge in desired.bridges.values():
        for port in bridge.ports:
            for interface in port.interfaces:
                kind = KINDS.get(effective_kind(interface, bridge))
                if kind is not None and kind.owned:
                    found.add(interface.name)
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


class OwnedDevices:
    """The list in the run directory."""

    def __init__(self) -> None:
        self.path = os.path.join(dirs.rundir(), FILE)
        self._is_first = True
        self._names: frozenset[str] = frozenset()
        with contextlib.suppress(FileNotFoundError), open(self.path, encoding="utf-8") as lines:
            self._names = frozenset(line.rstrip("\n") for line in lines if line.endswith("\n"))

    def expect(self, wanted: frozenset[str]) -> None:
        """Note the devices that are about to be made; before the first of them is."""
        self._write(self._names | wanted)

    def settle(self, wanted: frozenset[str]) -> None:
        """Remove what is left of devices that are not wanted any more, and forget them."""
        # Only at the first time: later `reconfigure` has removed them, wherever they were, by their descriptors.
        everywhere, self._is_first = self._is_first, False
        self._write(wanted | self._left(self._names - wanted, everywhere))

    def remove_all(self) -> None:
        """Remove every device that is ours (`exit --cleanup`)."""
        self._write(self._left(self._names, everywhere=True))

    def _left(self, names: frozenset[str], everywhere: bool) -> frozenset[str]:
        """Remove devices; returns the names of those that could not be removed."""
        return frozenset(name for name in names if not _remove(name, everywhere))

    def _write(self, names: Iterable[str]) -> None:
        after = frozenset(names)
        if after == self._names:
            return
        temporary = self.path + ".tmp"
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                file.write("".join(f"{name}\n" for name in sorted(after)))
            os.replace(temporary, self.path)
        except OSError as error:
            log.warn("%s: could not write the list of our devices: %s", self.path, error.strerror)
        self._names = after


def _remove(name: str, everywhere: bool) -> bool:
    """Remove a device that bears our mark, `everywhere`: from other namespaces, too; return whether it is gone."""
    try:
        if netdev.classify(name) == "internal":
            netdev.delete_if_exists(name)
        elif everywhere and (moved := tun.find_renamed(name)) is not None:
            path, there = moved
            namespace.call_in(path, lambda: netdev.delete_if_exists(there))
        else:
            return True
        log.info("removed device %s, which is not configured any more", name)
    except (ConfigError, OSError) as error:
        log.warn("%s", error)
        return not netdev.exists(name)
    return True
