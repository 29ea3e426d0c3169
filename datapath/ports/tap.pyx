"""TapPort: a TAP device, as the bridge-local `internal` port or a plain `tap` port (PT.02, PT.03).

Place in the packet's path: rx reads frames that the host's stack (or a virtual machine) sends into the device, tx
writes frames that it receives. Both carry the virtio-net header, so that TSO frames and partial checksums pass
unchanged. Measured (IOLIMITS.md): plain read/write in a loop of 32 reaches what io_uring does, 340-360 thousand
packets/s. Thread rule: one forwarder reads; any forwarder writes (the kernel serialises).
"""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy
from posix.unistd cimport close

from datapath.drops cimport (
    DROP_RX_NO_BUFFER, DROP_RX_TOO_LONG, DROP_RX_TOO_SHORT,
)
from datapath.headers cimport ETHERNET_BYTES
from datapath.packet cimport (
    LARGE_FRAME_MAX, SMALL_FRAME_MAX, VNET_HDR_BYTES, Batch, Packet, PacketPool, packet_alloc, packet_from_vnet,
    packet_release, packet_to_vnet,
)
from datapath.ports.port cimport Port, PortHandle, PortStats, port_drop, port_finish_rx, port_refuse, port_tx_reason

import dataclasses

from datapath.ports import netdev, tun
from datapath.ports.port import CAPS
from vslib.errors import ConfigError

cdef extern from "<sys/uio.h>" nogil:
    cdef struct iovec:
        void *iov_base
        size_t iov_len
    ssize_t readv(int fd, const iovec *iov, int n)
    ssize_t writev(int fd, const iovec *iov, int n)

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef enum:
    TAP_RX_MAX = 32            # frames per rx call, so that other ports of the forwarder get their turn
    TX_RETRIES = 2             # further tries for one frame when the kernel is out of buffers

KINDS = ("internal", "tap")

cdef struct Tap:
    int fd                     # of /dev/net/tun, non-blocking; -1 = closed
    bint expect_large          # the last frame was longer than a small buffer: read the next one into a large buffer
    uint8_t *overflow          # LARGE_FRAME_MAX bytes: the tail of a large frame that came unexpected


cdef Packet *large_from(Tap *tap, Packet *small, uint32_t length, PacketPool *pool) noexcept nogil:
    """Return a large packet with the head from `small`, which is released, and the tail from the overflow.

    NULL if there is none.
    """
    cdef Packet *pkt = packet_alloc(pool, length)
    if pkt != NULL:
        memcpy(pkt.data, small.data, SMALL_FRAME_MAX)
        memcpy(pkt.data + SMALL_FRAME_MAX, tap.overflow, length - SMALL_FRAME_MAX)
    packet_release(small)
    return pkt


cdef Packet *small_from(Packet *large, uint32_t length, PacketPool *pool) noexcept nogil:
    """Return the frame of a large buffer in a small one, so that large buffers stay for large frames.

    The large one if there is none.
    """
    cdef Packet *pkt = packet_alloc(pool, length)
    if pkt == NULL:
        return large
    memcpy(pkt.data, large.data, length)
    packet_release(large)
    return pkt


cdef Packet *fitted(Tap *tap, Packet *pkt, uint32_t room, uint32_t length, PacketPool *pool,
                    PortStats *stats) noexcept nogil:
    """Return the frame of `length` bytes that was read into `pkt` with `room` in a buffer of its own size.

    NULL if refused (counted).
    """
    if length < ETHERNET_BYTES or length > LARGE_FRAME_MAX:
        port_refuse(DROP_RX_TOO_SHORT if length < ETHERNET_BYTES else DROP_RX_TOO_LONG, stats)
        packet_release(pkt)
        return NULL
    tap.expect_large = length > SMALL_FRAME_MAX
    if length > room:
        pkt = large_from(tap, pkt, length, pool)
    elif room > SMALL_FRAME_MAX and length <= SMALL_FRAME_MAX:
        pkt = small_from(pkt, length, pool)
    if pkt == NULL:
        port_refuse(DROP_RX_NO_BUFFER, stats)
        return NULL
    pkt.length = length
    return pkt


cdef int tap_read(Tap *tap, PacketPool *pool, Batch *batch, PortStats *stats) noexcept nogil:
    """Read one frame and append it to the batch unless it is refused (counted).

    0, or a negative errno if nothing was read.
    """
    cdef uint8_t[VNET_HDR_BYTES] vnet
    cdef iovec[3] iov
    cdef uint32_t room = LARGE_FRAME_MAX if tap.expect_large else SMALL_FRAME_MAX
    cdef Packet *pkt = packet_alloc(pool, room)
    cdef ssize_t n
    cdef int reason
    if pkt == NULL and tap.expect_large:
        room = SMALL_FRAME_MAX
        pkt = packet_alloc(pool, room)
    iov[0].iov_base = <void *>vnet
    iov[0].iov_len = VNET_HDR_BYTES
    iov[1].iov_base = pkt.data if pkt != NULL else tap.overflow
    iov[1].iov_len = room
    iov[2].iov_base = tap.overflow
    iov[2].iov_len = LARGE_FRAME_MAX
    n = readv(tap.fd, iov, 3 if pkt != NULL and room == SMALL_FRAME_MAX else 2)
    if n < 0:
        reason = -errno
        if pkt != NULL:
            packet_release(pkt)
        return reason
    if pkt == NULL:            # out of buffers: the frame was read to empty the device's queue, and is lost
        port_refuse(DROP_RX_NO_BUFFER, stats)
        return 0
    pkt = fitted(tap, pkt, room, <uint32_t>(n - VNET_HDR_BYTES) if n > VNET_HDR_BYTES else 0, pool, stats)
    if pkt == NULL:
        return 0
    reason = packet_from_vnet(pkt, vnet)
    if reason:
        port_refuse(<uint32_t>reason, stats)
        packet_release(pkt)
        return 0
    batch.pkts[batch.n] = pkt
    batch.n += 1
    return 0


cdef int tap_rx(Port *port, uint32_t queue, PacketPool *pool, Batch *batch, PortStats *stats) noexcept nogil:
    cdef Tap *tap = <Tap *>port.impl
    cdef int i
    cdef int error = 0
    batch.n = 0
    for i in range(TAP_RX_MAX):
        error = tap_read(tap, pool, batch, stats)
        if error:
            break
    if batch.n:
        return port_finish_rx(port, batch, stats)
    return 0 if error == -EAGAIN or error == -EINTR else error


cdef int tap_write(int fd, const Packet *pkt, PortStats *stats) noexcept nogil:
    """Write one frame; 0 or errno."""
    cdef uint8_t[VNET_HDR_BYTES] vnet
    cdef iovec[2] iov
    cdef int i
    packet_to_vnet(pkt, vnet)
    iov[0].iov_base = <void *>vnet
    iov[0].iov_len = VNET_HDR_BYTES
    iov[1].iov_base = pkt.data
    iov[1].iov_len = pkt.length
    for i in range(TX_RETRIES + 1):
        stats.tx_calls += 1
        if writev(fd, iov, 2) >= 0:
            return 0
        if errno != EAGAIN and errno != EINTR:
            return errno
        sched_yield()
    return EAGAIN


cdef void tap_tx(Port *port, Packet **pkts, uint32_t n, uint32_t forwarder, PortStats *stats) noexcept nogil:
    cdef Tap *tap = <Tap *>port.impl
    cdef uint32_t i
    cdef int error
    for i in range(n):
        error = tap_write(tap.fd, pkts[i], stats)
        if error:
            port_drop(pkts[i], port_tx_reason(error), stats)
            continue
        stats.tx_packets += 1
        stats.tx_bytes += pkts[i].length
        packet_release(pkts[i])


cdef class TapPort(PortHandle):
    """A TAP device of the host; made, and made persistent, if it does not exist, else attached again.

    `kind` is "internal" or "tap". `namespace` is the path of the network namespace where the device lives (None: the
    caller's); a device that moves away later keeps working. `fd` hands over a descriptor that somebody else opened;
    `name` may then be empty. Raises ConfigError if the device cannot be had.
    """

    cdef Tap tap
    cdef readonly bint created # the device did not exist before

    def __cinit__(self, *args, **kwargs):
        self.tap.fd = -1

    def __init__(self, str name, str kind="tap", *, namespace: str | None = None, fd: int | None = None):
        if kind not in KINDS:
            raise ConfigError(f"{name}: {kind} is not one of {', '.join(KINDS)}")
        self.tap.overflow = <uint8_t *>malloc(LARGE_FRAME_MAX)
        if self.tap.overflow == NULL:
            raise MemoryError
        opened = tun.open_tap(name, namespace) if fd is None else tun.adopt_fd(fd)
        self.name = opened.name
        self.kind = kind
        self.created = opened.created
        self.mtu = opened.mtu
        self.tap.fd = opened.fd
        self.port.caps = sum(CAPS[cap] for cap in opened.caps)
        self.port.impl = &self.tap
        self.port.rx_fd = opened.fd
        self.port.rx = tap_rx
        self.port.tx = tap_tx

    def __dealloc__(self):
        self.release_memory()

    cdef void release_memory(self) noexcept:
        cdef int fd = self.tap.fd
        self.tap.fd = -1
        if fd >= 0:
            with nogil:        # a device that goes with its descriptor makes the kernel wait for its grace period
                close(fd)
        free(self.tap.overflow)
        self.tap.overflow = NULL

    def _close(self) -> None:
        self.release_memory()

    def link(self) -> netdev.Link:
        """Return the state of the device, wherever it lives now (`moved`: not here). Raises ConfigError if it is
        gone.
        """
        if self.closed:
            raise ConfigError(f"could not open network device {self.name} (closed)")
        try:
            name, _ = tun.identify(self.tap.fd)
            found = tun.in_its_namespace(self.tap.fd, lambda: netdev.link(name))
        except OSError as error:
            raise ConfigError(f"could not open network device {self.name} ({error.strerror})") from error
        return dataclasses.replace(found, moved=found.ifindex != netdev.ifindex(name))

    def destroy(self) -> None:
        """Remove the device and close the port; for del-port and `exit --cleanup`.

        close() alone leaves the device in place.
        """
        if not self.closed:
            tun.make_temporary(self.tap.fd)
            self.close()
