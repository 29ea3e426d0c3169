"""Making a device give whole frames to XDP: tags in the frame, nothing longer than the MTU (PT.05).

A VLAN tag that is not in the frame but beside it does not reach an XDP program (measured: it is lost, in both modes,
so that a tagged frame would be taken for an untagged one), and a TCP frame that is still to be segmented is dropped
there for its length. A network card does the first on its own; a veth has what the stack at its other end left to it.
So these offloads are switched off, at the other end of a veth also in another network namespace, and on again at the
end. Checksums need not: see partial.pxd. Thread rule: control thread.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
from dataclasses import dataclass

from datapath.ports import ethtool, namespace, netlink
from datapath.ports.netdev import Link
from vslib.vlog import get

log = get("netdev_afxdp")

TAKEN_OFF = frozenset({"rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"})
LEFT_TO_US = frozenset({"tx-vlan-hw-insert", "tx-vlan-stag-hw-insert"})
SEGMENTATION = "-segmentation"
SOFTWARE = frozenset({"tx-generic-segmentation"})  # by the stack, before the frames reach the device


@dataclass
class _Switched:
    """Features that were switched off: of the device with number `index` in the namespace of the file `path`."""

    path: str | None
    index: int
    features: frozenset[str]


class PlainFrames:
    """What was switched off for one device; undo() switches it on again."""

    def __init__(self, link: Link) -> None:
        self._switched = [_switch_off(None, link.ifindex, peer=False)]
        if link.kind != "veth":
            return
        try:
            self._switched.append(_switch_off(_place_of_peer(link.name), link.peer_ifindex, peer=True))
        except (OSError, LookupError) as error:
            log.warn(
                "%s: the other end is out of reach (%s): switch its offloads off, or VLAN tags and long TCP frames are "
                "lost (ethtool -K DEV txvlan off tso off)",
                link.name,
                error,
            )

    def undo(self) -> None:
        """Switch on what was switched off; a second call does nothing, and a device that is gone is left alone."""
        for one in self._switched:
            with contextlib.suppress(OSError):
                namespace.call_in(one.path, functools.partial(_switch, one.index, one.features, True))
        self._switched = []


def _switch_off(path: str | None, index: int, *, peer: bool) -> _Switched:
    def work() -> frozenset[str]:
        on = ethtool.features_on(socket.if_indextoname(index))
        if peer:
            hardware = {one for one in on if one.endswith(SEGMENTATION)} - SOFTWARE
            on &= LEFT_TO_US | hardware
        else:
            on &= TAKEN_OFF
        _switch(index, on, False)
        return on

    return _Switched(path, index, namespace.call_in(path, work))


def _switch(index: int, features: frozenset[str], on: bool) -> None:
    if features:
        ethtool.switch_features(socket.if_indextoname(index), features, on)


def _place_of_peer(name: str) -> str | None:
    """Return a path of the namespace of a veth's other end, None if it is this one.

    Raises LookupError if no name and no process leads there, and OSError.
    """
    [message, *_] = netlink.links([("IFLA_IFNAME", name)])
    number = message.get_attr("IFLA_LINK_NETNSID")
    if number is None:
        return None
    for path in namespace.others():
        if _number_of(path) == number:
            return path
    raise LookupError("no name or process leads to its namespace")


def _number_of(path: str) -> int | None:
    """Return the number by which this namespace knows another one; None if it does not, or the other went meanwhile."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return netlink.known_namespace_number(fd)
    except OSError:
        return None
    finally:
        os.close(fd)
