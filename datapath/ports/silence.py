"""Keeping the host's stack silent on a device that is a `system` port (issue 2, 3): what it receives is ours alone.

Packet sockets see a frame before traffic control does, so a classifier at ingress whose verdict is "drop" hides it
from the stack only. There are two ways:

``tcx``: a BPF program of two instructions on a link (Linux 6.6). No qdisc is involved, and the kernel removes it with
its descriptor, so a killed daemon leaves nothing behind. Needs CAP_BPF in the initial user namespace.

``clsact``: a classic BPF classifier, which the kernel also takes from a user namespace. If the device has an ingress or
clsact qdisc, it is used and stays; else a clsact qdisc is added and removed again. The filter's handle tells a later
daemon that a filter, and the qdisc, is left over from us.

The first is tried first, except where the user has a qdisc at ingress: there our filter comes last, so that the user's
filters see every frame (and may still let one pass to the stack).
"""

from __future__ import annotations

import atexit
import errno
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from datapath.ports import kernel, netlink
from vslib.vlog import get

log = get("silence")

# linux/bpf.h
BPF_PROG_LOAD, BPF_LINK_CREATE = 5, 28
BPF_PROG_TYPE_SCHED_CLS = 3
BPF_TCX_INGRESS = 46
TC_ACT_SHOT = 2
# mov r0, TC_ACT_SHOT; exit, as struct bpf_insn
DROP_EBPF = ((0xB7, 0, 0, TC_ACT_SHOT), (0x95, 0, 0, 0))
# ret TC_ACT_SHOT, as struct sock_filter
DROP_CBPF = ((0x06, 0, 0, TC_ACT_SHOT),)

# linux/pkt_sched.h, linux/pkt_cls.h, linux/rtnetlink.h
TC_H_CLSACT, TC_H_INGRESS_PARENT = 0xFFFFFFF1, 0xFFFFFFF2
TC_H_EGRESS_PARENT = 0xFFFFFFF3
CLSACT_HANDLE = 0xFFFF0000
TCA_BPF_FLAG_ACT_DIRECT = 1
ETH_P_ALL = 0x0003
PRIORITY = 0xFFFF  # the last: after every filter of the user's
# Handle of our filter by whether the qdisc is ours too ("cyvq", "cyvs"); the kernel keeps no name of a classic program.
HANDLES = {True: 0x63797671, False: 0x63797673}


class Silencer(Protocol):
    """A device that is silent until undo()."""

    method: str

    def undo(self) -> None:
        """Let the host's stack have the frames again; a second call does nothing."""


def silence(name: str, ifindex: int) -> Silencer | None:
    """Keep the host's stack from the frames that the device receives; None, and a line in the log, if it cannot be."""
    reclaim(name, ifindex)
    ways: tuple[Callable[[int], Silencer], ...] = (_Tcx, _Clsact)
    if _ingress_qdisc(ifindex):
        ways = (_Clsact, _Tcx)
    reasons = []
    for way in ways:
        try:
            return way(ifindex)
        except OSError as error:
            reasons.append(f"{way.method}: {error.strerror}")  # type: ignore[attr-defined]
    log.warn("%s: the host's stack also answers what this port receives (%s)", name, ", ".join(reasons))
    return None


def reclaim(name: str, ifindex: int) -> bool:
    """Remove what a killed daemon left on a device; return whether there was anything."""
    found = _our_filters(ifindex)
    for own_qdisc in found:
        log.info("%s: removing the ingress filter that an earlier daemon left", name)
        _remove(ifindex, own_qdisc)
    return bool(found)


class _Tcx:
    """The program on a link, which lives as long as its descriptor."""

    method = "tcx"

    def __init__(self, ifindex: int) -> None:
        program = _load(DROP_EBPF)
        try:
            link = {"prog_fd": program, "target_fd": ifindex, "attach_type": BPF_TCX_INGRESS}
            self._fd = kernel.bpf(BPF_LINK_CREATE, "link", link)
        finally:
            os.close(program)

    def undo(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)


@dataclass
class _Clsact:
    """The filter on a clsact or ingress qdisc, which may be the user's."""

    method = "clsact"
    ifindex: int

    def __post_init__(self) -> None:
        self._own_qdisc = not _ingress_qdisc(self.ifindex)
        if self._own_qdisc:
            _change_qdisc("RTM_NEWQDISC", self.ifindex)
        try:
            _add_filter(self.ifindex, HANDLES[self._own_qdisc])
        except OSError:
            if self._own_qdisc:
                _change_qdisc("RTM_DELQDISC", self.ifindex)
            raise
        self._active = True
        atexit.register(self.undo)  # a daemon that ends without closing its ports leaves nothing behind either

    def undo(self) -> None:
        if self._active:
            self._active = False
            atexit.unregister(self.undo)
            _remove(self.ifindex, self._own_qdisc)


# -- BPF


def _load(program: tuple[tuple[int, ...], ...]) -> int:
    """Load a classifier; return its descriptor. Raises OSError."""
    code = kernel.new("struct bpf_insn[]", program)
    licence = kernel.new("char[]", b"Apache-2.0")
    load = {
        "prog_type": BPF_PROG_TYPE_SCHED_CLS,
        "insn_cnt": len(program),
        "insns": kernel.address(code),
        "license": kernel.address(licence),
    }
    return kernel.bpf(BPF_PROG_LOAD, "load", load)


# -- traffic control


def _change_qdisc(command: str, ifindex: int) -> None:
    fields = {"index": ifindex, "handle": CLSACT_HANDLE, "parent": TC_H_CLSACT}
    netlink.change_tc(command, fields, [("TCA_KIND", "clsact")])


def _change_filter(command: str, ifindex: int, handle: int, *options: netlink.Attribute) -> None:
    info = PRIORITY << 16 | socket.htons(ETH_P_ALL)
    fields = {"index": ifindex, "handle": handle, "parent": TC_H_INGRESS_PARENT, "info": info}
    netlink.change_tc(command, fields, [("TCA_KIND", "bpf"), *options])


def _ingress_qdisc(ifindex: int) -> bool:
    """Return whether the device has an ingress or clsact qdisc."""
    return any(netlink.text(row, "TCA_KIND") in ("clsact", "ingress") for row in _dump("RTM_GETQDISC", ifindex))


def _add_filter(ifindex: int, handle: int) -> None:
    program = kernel.octets(kernel.new("struct sock_filter[]", DROP_CBPF))
    options = [
        ("TCA_BPF_OPS_LEN", len(DROP_CBPF)),
        ("TCA_BPF_OPS", program),
        ("TCA_BPF_FLAGS", TCA_BPF_FLAG_ACT_DIRECT),
    ]
    _change_filter("RTM_NEWTFILTER", ifindex, handle, ("TCA_OPTIONS", {"attrs": options}))


def _our_filters(ifindex: int) -> list[bool]:
    """Return for each filter of ours on the device whether the qdisc is ours too."""
    if not _ingress_qdisc(ifindex):
        return []
    present = _filters(ifindex, TC_H_INGRESS_PARENT)
    return [own for own, handle in HANDLES.items() if (handle, PRIORITY, "bpf") in present]


def _filters(ifindex: int, parent: int) -> list[tuple[int, int, str]]:
    """Return (handle, priority, kind) of the filters of one direction."""
    rows = _dump("RTM_GETTFILTER", ifindex, parent)
    return [(row["handle"], row["info"] >> 16, netlink.text(row, "TCA_KIND")) for row in rows]


def _dump(command: str, ifindex: int, parent: int = 0) -> list[netlink.Message]:
    """Return the rows of a dump that belong to the device; a device that is gone has none."""
    try:
        return netlink.dump_tc(command, ifindex, parent)
    except OSError:
        return []


def _remove(ifindex: int, own_qdisc: bool) -> None:
    """Remove our filter, and the qdisc if it is ours and nobody else put a filter there meanwhile."""
    try:
        _change_filter("RTM_DELTFILTER", ifindex, HANDLES[own_qdisc])
        used = _filters(ifindex, TC_H_INGRESS_PARENT) + _filters(ifindex, TC_H_EGRESS_PARENT)
        if own_qdisc and not used:
            _change_qdisc("RTM_DELQDISC", ifindex)
    except OSError as error:
        # The device is gone, and the filter with it, or somebody else removed it.
        if error.errno not in (errno.ENODEV, errno.ENOENT, errno.EINVAL):
            log.warn("the ingress filter of device %d could not be removed: %s", ifindex, error.strerror)
