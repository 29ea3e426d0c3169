"""Packet sockets of a `system` port, set up but not yet moving anything (PT.01); the packets are in afpacket.pyx.

The recipe and the measurements behind it are in IOLIMITS.md, section 5: a TPACKET_V2 ring of 2 KB slots to receive
(longer frames come whole through the socket's queue: PACKET_COPY_THRESH), a second socket bound with protocol 0, so
that it receives nothing, to send.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from typing import NamedTuple

from datapath.ports import kernel
from datapath.ports.tun import check_name
from vslib.errors import ConfigError
from vslib.vlog import get

log = get("netdev_linux")

ETH_P_ALL = 0x0003
ARPHRD_ETHER = 1
SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP, PACKET_RX_RING, PACKET_STATISTICS, PACKET_COPY_THRESH = 1, 5, 6, 7
PACKET_AUXDATA, PACKET_VERSION, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 8, 10, 15, 23
PACKET_FANOUT = 18
FANOUT_UNIQUE_ID, FANOUT_IGNORE_OUTGOING = 0x2000, 0x4000  # flags of the type PACKET_FANOUT_HASH, which is 0
SO_ATTACH_FILTER, SO_DETACH_FILTER, BPF_RET = 26, 27, 0x06
TPACKET_V2 = 1
PACKET_MR_PROMISC = 1
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
BUFFER_BYTES = 8 << 20
SLOT_BYTES = 2048
BLOCK_BYTES = 1 << 16
# Linux 6.2 learned to pass UDP segmentation in a virtio-net header; before, such frames did not reach packet sockets.
USO_SINCE = (6, 2)


class Sockets(NamedTuple):
    """Descriptors that the caller owns, and what they can do; `slots` 0 = no ring: frames come by recvmmsg.

    more_rx_fds: further receive queues, among which the kernel spreads flows. spare_fd: a socket that is not in use,
    for a larger ring (see set_up_spare), -1 = none.
    """

    rx_fd: int
    tx_fd: int
    slots: int
    caps: tuple[str, ...]
    more_rx_fds: tuple[int, ...] = ()
    spare_fd: int = -1


def open_sockets(name: str, slots: int, n_rxq: int = 1, *, spare: bool = False) -> Sockets:
    """Open the sockets of a device, with a receive ring of `slots` frames if the kernel grants one (0: do not ask).

    n_rxq: how many sockets to receive from; there is one if the kernel does not let several share (logged). Raises
    ConfigError if there is no such device, it is no Ethernet device, or without CAP_NET_RAW.
    """
    check_name(name)
    try:
        with contextlib.ExitStack() as stack:
            rx = stack.enter_context(_socket())
            tx = stack.enter_context(_socket())
            more = [stack.enter_context(_socket()) for _ in range(n_rxq - 1)]
            slots = _set_up_shared(rx, more, name, slots) if more else _set_up_rx(rx, name, slots)
            _set_up_tx(tx, name)
            spare_fd = _socket().detach() if spare and slots else -1
            more_fds = tuple(sock.detach() for sock in more)
            return Sockets(rx.detach(), tx.detach(), slots, _caps(), more_fds, spare_fd)
    except OSError as error:
        raise ConfigError(f"could not open network device {name} ({_reason(error)})") from error


def set_up_spare(fd: int, name: str, ifindex: int, slots: int) -> int:
    """Make an unused socket receive from a device by a ring, but no frame yet: change_over() lets them come.

    Returns the slots of the ring, 0 if the kernel grants none (logged); raises OSError.
    """
    with socket.socket(fileno=os.dup(fd)) as sock:
        _mute(sock)
        return _set_up_rx(sock, name, slots, ifindex)


def change_over(old_fd: int, new_fd: int) -> None:
    """Let frames come to another socket of the same device from now on.

    A frame that arrives in the microsecond between the two calls is lost; the other order would give one twice.
    """
    with socket.socket(fileno=os.dup(old_fd)) as old, socket.socket(fileno=os.dup(new_fd)) as new:
        _mute(old)
        new.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)


def _mute(sock: socket.socket) -> None:
    """Attach a filter that refuses every frame."""
    nothing = kernel.new("struct sock_filter *", {"code": BPF_RET})
    program = struct.pack("HP", 1, kernel.address(nothing))  # struct sock_fprog
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def open_promiscuous(name: str) -> socket.socket:
    """Return a socket that receives nothing and keeps the device promiscuous; raises ConfigError as open_sockets()."""
    check_name(name)
    try:
        with contextlib.ExitStack() as stack:
            sock = stack.enter_context(_socket())
            _make_promiscuous(sock, socket.if_nametoindex(name))
            sock.bind((name, 0))
            _check_ethernet(sock)
            stack.pop_all()
            return sock
    except OSError as error:
        raise ConfigError(f"could not open network device {name} ({_reason(error)})") from error


def lost(fd: int) -> int:
    """Return how many frames the kernel dropped since the last call because the ring or queue was full."""
    with socket.socket(fileno=os.dup(fd)) as sock:
        answer = sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
    return int(kernel.read("struct tpacket_stats *", answer).tp_drops)


def _socket() -> socket.socket:
    # Protocol 0: nothing is received before bind(), so that no frame comes in before its options are set.
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)


def _set_up_rx(sock: socket.socket, name: str, slots: int, index: int = 0) -> int:
    """Set options and bind; return the slots of the ring. index: of the device, 0 = look it up."""
    index = index or socket.if_nametoindex(name)
    sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    _set_buffer(sock, SO_RCVBUFFORCE, socket.SO_RCVBUF)
    slots = _ring(sock, name, slots) if slots else 0
    _make_promiscuous(sock, index)
    sock.bind((name, ETH_P_ALL))
    _check_ethernet(sock)
    return slots


def _set_up_shared(rx: socket.socket, more: list[socket.socket], name: str, slots: int) -> int:
    """Set up sockets among which the kernel spreads flows by their hash; return the slots of each ring.

    Until all have joined each would get every frame: a filter keeps them empty meanwhile. `more` is cleared when they
    cannot share.
    """
    for sock in (rx, *more):
        _mute(sock)
    slots = _set_up_rx(rx, name, slots)
    try:
        rx.setsockopt(SOL_PACKET, PACKET_FANOUT, (FANOUT_IGNORE_OUTGOING | FANOUT_UNIQUE_ID) << 16)
        group = rx.getsockopt(SOL_PACKET, PACKET_FANOUT) & 0xFFFF
        for sock in more:
            if _set_up_rx(sock, name, slots) != slots:
                raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
            sock.setsockopt(SOL_PACKET, PACKET_FANOUT, FANOUT_IGNORE_OUTGOING << 16 | group)
    except OSError as error:
        log.warn("%s: one receive queue instead of %d: %s", name, 1 + len(more), error.strerror)
        for sock in more:
            sock.close()
        more.clear()
    for sock in (rx, *more):
        sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
    return slots


def _make_promiscuous(sock: socket.socket, index: int) -> None:
    membership = kernel.new("struct packet_mreq *", {"mr_ifindex": index, "mr_type": PACKET_MR_PROMISC})
    sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, kernel.octets(membership))


def _check_ethernet(sock: socket.socket) -> None:
    """Raise OSError if the device that the socket is bound to has no Ethernet frames."""
    if sock.getsockname()[3] != ARPHRD_ETHER:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


def _set_up_tx(sock: socket.socket, name: str) -> None:
    sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    _set_buffer(sock, SO_SNDBUFFORCE, socket.SO_SNDBUF)
    sock.bind((name, 0))


def _ring(sock: socket.socket, name: str, slots: int) -> int:
    """Ask for the ring; return its slots, 0 if it cannot be had (logged)."""
    per_block = BLOCK_BYTES // SLOT_BYTES
    blocks = max(1, (slots + per_block - 1) // per_block)
    request = kernel.new("struct tpacket_req *", (BLOCK_BYTES, blocks, SLOT_BYTES, blocks * per_block))
    try:
        sock.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
        sock.setsockopt(SOL_PACKET, PACKET_COPY_THRESH, SLOT_BYTES)
        # 20 ms, most of it a grace period of the kernel: ports that are opened together wait for it together.
        kernel.setsockopt(sock.fileno(), SOL_PACKET, PACKET_RX_RING, request)
    except OSError as error:
        log.warn("%s: no receive ring, frames are received one system call for many: %s", name, error.strerror)
        return 0
    return blocks * per_block


def _set_buffer(sock: socket.socket, forced: int, plain: int) -> None:
    """Ask for large buffers; without CAP_NET_ADMIN of the initial namespace the system's limit applies."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, forced, BUFFER_BYTES)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, plain, BUFFER_BYTES)


def _caps() -> tuple[str, ...]:
    release = os.uname().release.split("-")[0].split(".")
    new = tuple(int(part) for part in release[:2]) >= USO_SINCE
    return ("csum", "tso4", "tso6", "uso") if new else ("csum", "tso4", "tso6")


def _reason(error: OSError) -> str:
    """Return the text for Interface.error; a missing device and a missing right are the ones that users meet."""
    if error.errno == errno.ENXIO or (error.errno is None and "no interface" in str(error)):
        return os.strerror(errno.ENODEV)
    if error.errno == errno.EPERM:
        return f"{error.strerror}; CAP_NET_RAW is needed"
    return str(error.strerror or error)
