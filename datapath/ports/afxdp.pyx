"""AfXdpPort: a network device of the host, through an AF_XDP socket (PT.05).

Place in the packet's path: the XDP program (xdp_program.py) hands each frame that the device receives to the socket;
rx copies it from there into a packet of the pool and gives the chunk back at once, tx copies packets into chunks of
the second half of the memory. Measured here with 60-byte UDP from veth to veth: bench/RESULTS.md.

There are no virtio-net headers: unfinished checksums are found by looking (partial.pxd), the output completes its own
and cuts GSO frames (port_send). Thread rule: one forwarder receives; any forwarder
sends, one at a time (a mutex a vector: the tx ring has one producer).
"""

from libc.errno cimport EAGAIN, EBUSY, EINTR, ENETDOWN, ENOBUFS, ENODEV, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy
from posix.unistd cimport close

from datapath.atomic cimport prefetch
from datapath.drops cimport (
    DROP_RX_NO_BUFFER, DROP_RX_TOO_SHORT, DROP_TX_DOWN, DROP_TX_FULL, DROP_TX_TOO_LONG,
)
from datapath.headers cimport ETHERNET_BYTES, VLAN_BYTES
from datapath.packet cimport BATCH_DEVICE, Batch, Packet, PacketPool, packet_alloc, packet_release
from datapath.ports.partial cimport partial_find
from datapath.ports.port cimport (
    Port, PortHandle, PortStats, port_drop, port_finish_rx, port_refuse, port_tx_reason,
)
from datapath.ports.xsk cimport XSK_FRAMES, Xsk, XskRing, xsk_bind, xsk_close, xsk_lost, xsk_open

import os
import threading

from datapath.ports import ethtool, netdev, packet_socket, plain_frames, xdp_program
from vslib.errors import ConfigError
from vslib.vlog import get

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_init(pthread_mutex_t *mutex, const void *attributes)
    int pthread_mutex_destroy(pthread_mutex_t *mutex)
    int pthread_mutex_lock(pthread_mutex_t *mutex)
    int pthread_mutex_trylock(pthread_mutex_t *mutex)
    int pthread_mutex_unlock(pthread_mutex_t *mutex)

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    ssize_t sendto(int fd, const void *data, size_t n_bytes, int flags, const void *address, socklen_t length)
    ssize_t recvfrom(int fd, void *data, size_t n_bytes, int flags, void *address, void *length)
    int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
    enum: MSG_DONTWAIT
    enum: SOL_SOCKET
    enum: SO_ERROR

cdef extern from "<linux/if_xdp.h>" nogil:
    enum: XDP_COPY
    enum: XDP_ZEROCOPY
    enum: XDP_USE_NEED_WAKEUP
    enum: XDP_RING_NEED_WAKEUP
    cdef struct xdp_desc:
        uint64_t addr
        uint32_t len "len"
        uint32_t options

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef extern from *:
    """
    static inline unsigned int index_load(const unsigned int *index) {
        return __atomic_load_n(index, __ATOMIC_ACQUIRE);
    }
    static inline void index_store(unsigned int *index, unsigned int value) {
        __atomic_store_n(index, value, __ATOMIC_RELEASE);
    }
    """
    uint32_t index_load(const uint32_t *index) nogil
    void index_store(uint32_t *index, uint32_t value) nogil

cdef enum:
    MASK = XSK_FRAMES - 1
    XDP_HEADROOM = 256         # bytes that the kernel keeps in front of a received frame (XDP_PACKET_HEADROOM)
    SMALL_CHUNK = 2048
    LARGE_CHUNK = 4096         # a page: the kernel takes no larger ones
    TAGS_BYTES = 8             # room for two VLAN tags
    TX_RETRIES = 4             # further calls without progress while the kernel is out of buffers
    IDLE_CALLS = 64            # empty rx calls between two looks at the device's state
    AHEAD = 4                  # frames that are fetched into the cache before their turn

cdef struct AfXdp:
    Xsk xsk
    int error                  # errno once the device is gone, else 0
    uint32_t idle              # rx calls that found nothing, in a row
    pthread_mutex_t sending    # held by who writes the tx ring

log = get("netdev_afxdp")

REBIND_TRIES = 60              # a socket that was closed on the same queue keeps it for up to a grace period
REBIND_PAUSE_S = 0.01
# Name of the mode -> what is tried in turn: in the driver?, flags of bind(). Without either flag the kernel takes
# zero-copy where the driver has it.
MODES = {
    "best-effort": ((True, 0), (False, XDP_COPY)),
    "native-with-zerocopy": ((True, XDP_ZEROCOPY),),
    "native": ((True, XDP_COPY),),
    "generic": ((False, XDP_COPY),),
}


# -- receive ----------------------------------------------------------------------------------------------------------

cdef inline const uint8_t *frame_at(const Xsk *xsk, const xdp_desc *desc) noexcept nogil:
    return xsk.umem + desc.addr


cdef Packet *taken(const Xsk *xsk, const xdp_desc *desc, PacketPool *pool, PortStats *stats) noexcept nogil:
    """Return a packet with a copy of the frame; NULL if it was refused (counted)."""
    cdef Packet *pkt
    if desc.len < ETHERNET_BYTES:
        port_refuse(DROP_RX_TOO_SHORT, stats)
        return NULL
    pkt = packet_alloc(pool, desc.len)
    if pkt == NULL:
        port_refuse(DROP_RX_NO_BUFFER, stats)
        return NULL
    memcpy(pkt.data, frame_at(xsk, desc), desc.len)
    pkt.length = desc.len
    partial_find(pkt)
    return pkt


cdef uint32_t ring_rx(Xsk *xsk, PacketPool *pool, Batch *batch, PortStats *stats) noexcept nogil:
    """Fill the batch from the rx ring and give the chunks back; the number of frames that were looked at."""
    cdef const xdp_desc *descs = <xdp_desc *>xsk.rx.entries
    cdef uint64_t *empty = <uint64_t *>xsk.fill.entries
    cdef uint64_t chunk = ~<uint64_t>(xsk.chunk_bytes - 1)
    cdef uint32_t at = xsk.rx.ours
    cdef uint32_t n = min(index_load(xsk.rx.producer) - at, <uint32_t>BATCH_DEVICE)
    cdef uint32_t i
    cdef const xdp_desc *desc
    cdef Packet *pkt
    for i in range(min(n, <uint32_t>AHEAD)):
        prefetch(frame_at(xsk, &descs[(at + i) & MASK]))
    for i in range(n):
        # descs[at:at + i] are copied and their chunks in the fill ring, which has a place for every chunk
        if i + AHEAD < n:
            prefetch(frame_at(xsk, &descs[(at + i + AHEAD) & MASK]))
        desc = &descs[(at + i) & MASK]
        pkt = taken(xsk, desc, pool, stats)
        if pkt != NULL:
            batch.pkts[batch.n] = pkt
            batch.n += 1
        empty[(xsk.fill.ours + i) & MASK] = desc.addr & chunk
    if n:
        xsk.rx.ours = at + n
        index_store(xsk.rx.consumer, xsk.rx.ours)
        xsk.fill.ours += n
        index_store(xsk.fill.producer, xsk.fill.ours)
    return n


cdef int rest(AfXdp *sock, PortStats *stats) noexcept nogil:
    """What is to be done when nothing came; 0, or a negative errno for ever after the device went away."""
    cdef int error = 0
    cdef socklen_t length = sizeof(int)
    cdef Xsk *xsk = &sock.xsk
    if sock.idle % IDLE_CALLS == 0:
        # The only error that the kernel puts on the socket: the device was unregistered.
        if getsockopt(xsk.fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 and error:
            sock.error = ENODEV
        if index_load(xsk.fill.flags) & XDP_RING_NEED_WAKEUP:
            recvfrom(xsk.fd, NULL, 0, MSG_DONTWAIT, NULL, NULL)
        # Frames that the kernel would not take, see kick().
        if index_load(xsk.tx.consumer) != xsk.tx.ours and pthread_mutex_trylock(&sock.sending) == 0:
            stats.tx_calls += 1
            sendto(xsk.tx_fd, NULL, 0, MSG_DONTWAIT, NULL, 0)
            pthread_mutex_unlock(&sock.sending)
    sock.idle += 1
    return -sock.error


cdef int afxdp_rx(Port *port, uint32_t queue, PacketPool *pool, Batch *batch, PortStats *stats) noexcept nogil:
    cdef AfXdp *sock = <AfXdp *>port.impl
    batch.n = 0
    if sock.error:
        return -sock.error
    if ring_rx(&sock.xsk, pool, batch, stats) == 0:
        return rest(sock, stats)
    sock.idle = 1              # while frames come, the device is there
    return port_finish_rx(port, batch, stats)


# -- send -------------------------------------------------------------------------------------------------------------

cdef void reclaim(Xsk *xsk) noexcept nogil:
    """Put the chunks of frames that were sent on the free stack."""
    cdef const uint64_t *done = <uint64_t *>xsk.completion.entries
    cdef uint32_t at = xsk.completion.ours
    cdef uint32_t n = min(index_load(xsk.completion.producer) - at, <uint32_t>XSK_FRAMES - xsk.n_free)
    cdef uint32_t i
    for i in range(n):
        xsk.free[xsk.n_free + i] = done[(at + i) & MASK]
    xsk.n_free += n
    xsk.completion.ours = at + n
    index_store(xsk.completion.consumer, xsk.completion.ours)


cdef bint enqueue(Xsk *xsk, Packet *pkt) noexcept nogil:
    """Copy a packet behind what is in the tx ring, not yet published; False if there is no room."""
    cdef xdp_desc *desc = &(<xdp_desc *>xsk.tx.entries)[xsk.tx.ours & MASK]
    if xsk.n_free == 0:
        reclaim(xsk)
    # The ring has as many entries as there are chunks, so with a chunk there is an entry.
    if xsk.n_free == 0:
        return False
    xsk.n_free -= 1
    desc.addr = xsk.free[xsk.n_free]
    desc.len = pkt.length
    desc.options = 0
    memcpy(xsk.umem + desc.addr, pkt.data, pkt.length)
    xsk.tx.ours += 1
    return True


cdef int kick(Xsk *xsk, PortStats *stats) noexcept nogil:
    """Have the kernel send what is in the ring; 0, or the errno for which it will not.

    What it cannot take for the moment stays in the ring: the next vector or an idle rx call goes on with it.
    """
    cdef uint32_t before = index_load(xsk.tx.consumer)
    cdef uint32_t now
    cdef uint32_t retries = 0
    while before != xsk.tx.ours and retries <= TX_RETRIES:
        if xsk.zero_copy and xsk.need_wakeup and not index_load(xsk.tx.flags) & XDP_RING_NEED_WAKEUP:
            return 0
        stats.tx_calls += 1
        if sendto(xsk.tx_fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0:
            return 0
        if errno == EBUSY:     # the device dropped one; the call ended there
            stats.drops[<uint32_t>DROP_TX_FULL] += 1
            stats.tx_packets -= 1
        elif errno != EAGAIN and errno != ENOBUFS and errno != EINTR:
            return errno
        now = index_load(xsk.tx.consumer)
        if now == before:
            retries += 1
            sched_yield()
        before = now
    return 0


cdef void take_back(Xsk *xsk, uint32_t n) noexcept nogil:
    """Take the last n packets off the tx ring again, which the kernel refused to look at."""
    cdef const xdp_desc *descs = <xdp_desc *>xsk.tx.entries
    cdef uint32_t i
    for i in range(n):
        xsk.tx.ours -= 1
        xsk.free[xsk.n_free] = descs[xsk.tx.ours & MASK].addr
        xsk.n_free += 1
    index_store(xsk.tx.producer, xsk.tx.ours)


cdef void send_vector(Xsk *xsk, Packet **pkts, uint32_t n, PortStats *stats) noexcept nogil:
    """Send packets and release them; the caller holds the mutex."""
    cdef uint32_t begin = xsk.tx.ours
    cdef uint64_t n_bytes = 0
    cdef uint32_t i
    cdef int error
    reclaim(xsk)
    for i in range(n):
        if pkts[i].length > xsk.chunk_bytes:
            port_drop(pkts[i], DROP_TX_TOO_LONG, stats)
        elif not enqueue(xsk, pkts[i]):
            port_drop(pkts[i], DROP_TX_FULL, stats)
        else:
            n_bytes += pkts[i].length
            packet_release(pkts[i])
    n = xsk.tx.ours - begin
    index_store(xsk.tx.producer, xsk.tx.ours)
    stats.tx_packets += n
    error = kick(xsk, stats)
    if error and index_load(xsk.tx.consumer) - begin > <uint32_t>XSK_FRAMES:
        error = 0              # older ones are still in front: all wait until the device is up
    if error and index_load(xsk.tx.consumer) == begin:
        take_back(xsk, n)
        stats.tx_packets -= n
        stats.drops[port_tx_reason(error)] += n
        return
    stats.tx_bytes += n_bytes


cdef void afxdp_tx(Port *port, Packet **pkts, uint32_t n, uint32_t forwarder, PortStats *stats) noexcept nogil:
    cdef AfXdp *sock = <AfXdp *>port.impl
    pthread_mutex_lock(&sock.sending)
    send_vector(&sock.xsk, pkts, n, stats)
    pthread_mutex_unlock(&sock.sending)


# -- shell ------------------------------------------------------------------------------------------------------------

cdef class AfXdpPort(PortHandle):
    """A device of the host: receives what comes in, sends from it. The device is not made, changed or removed.

    `mode` is one of MODES; `zero_copy` and `native` then tell what it came to. `need_wakeup`: sleep rather than let the
    driver poll. `mtu`: what the device will be given, in bytes, if more than it has. Raises ConfigError if there is no
    such device, it has several receive queues or too large an MTU, the mode cannot be had, or without the rights.
    """

    cdef AfXdp sock
    cdef int link_fd           # of the XDP program, -1 = detached
    cdef object plain          # offloads that were switched off
    cdef object promiscuous    # socket that keeps the device promiscuous
    cdef object lost           # frames that the kernel dropped, as far as asked
    cdef readonly bint native  # the program runs in the driver

    def __cinit__(self, *args, **kwargs):
        self.sock.xsk.fd = self.sock.xsk.tx_fd = -1
        self.link_fd = -1
        self.lost = 0
        pthread_mutex_init(&self.sock.sending, NULL)

    def __init__(self, str name, *, str mode="best-effort", bint need_wakeup=True, uint32_t mtu=0):
        link = netdev.link(name)
        self.name = name
        self.kind = "afxdp"
        self.mtu = link.mtu
        queues = ethtool.rx_queues(name)
        if queues > 1:
            raise ConfigError(f"could not open network device {name} (it has {queues} receive queues, type afxdp takes "
                              f"one: ethtool -L {name} combined 1)")
        try:
            self.promiscuous = packet_socket.open_promiscuous(name)
            self.plain = plain_frames.PlainFrames(link)
            self.open(link, max(mtu, <uint32_t>link.mtu), mode, XDP_USE_NEED_WAKEUP if need_wakeup else 0)
        except BaseException:
            self._close()
            raise
        self.port.impl = &self.sock
        self.port.rx_fd = self.sock.xsk.fd
        self.port.rx = afxdp_rx
        self.port.tx = afxdp_tx

    def __dealloc__(self):
        self.detach()
        pthread_mutex_destroy(&self.sock.sending)

    cdef int open(self, link, uint32_t mtu, str mode, uint32_t flags) except -1:
        """Try what the mode allows; raises ConfigError with the reason of each."""
        reasons = []
        for native, bind_flags in MODES[mode]:
            try:
                self.attach(link.ifindex, chunk_for(self.name, mtu), native, bind_flags | flags)
            except OSError as error:
                self.detach()
                reasons.append(f"{'native' if native else 'generic'} XDP: {xdp_program.why(error)}")
                continue
            how = "zero-copy" if self.sock.xsk.zero_copy else "copy"
            log.info("%s: AF_XDP socket, %s, %s mode%s", self.name, "native" if native else "generic", how,
                     "".join(f" ({reason})" for reason in reasons))
            return 0
        raise ConfigError(f"could not open network device {self.name} ({'; '.join(reasons)})")

    cdef int attach(self, uint32_t index, uint32_t chunk_bytes, bint native, uint32_t bind_flags) except -1:
        """Make the socket and put it on the device; raises OSError."""
        cdef int error
        with nogil:
            error = xsk_open(&self.sock.xsk, chunk_bytes)
        check(error)
        self.link_fd = xdp_program.attach(index, self.sock.xsk.fd, native)
        self.native = native
        for _ in range(REBIND_TRIES):
            with nogil:
                error = xsk_bind(&self.sock.xsk, index, bind_flags)
            if error != -EBUSY:
                break
            threading.Event().wait(REBIND_PAUSE_S)
        check(error)
        return 0

    cdef void detach(self) noexcept:
        cdef int link_fd = self.link_fd
        self.link_fd = -1
        with nogil:            # the kernel waits for its grace period
            if link_fd >= 0:
                close(link_fd)
            xsk_close(&self.sock.xsk)

    def set_mtu(self, value: int) -> None:
        """See PortHandle; frames that are too long for the chunks are dropped, and the log says so."""
        cdef uint32_t least = TAGS_BYTES + ETHERNET_BYTES + XDP_HEADROOM
        PortHandle.set_mtu(self, value)
        if self.sock.xsk.fd >= 0 and value + least > self.sock.xsk.chunk_bytes:
            log.warn("%s: frames over %d bytes are lost: open the port again, its MTU has grown to %d", self.name,
                     self.sock.xsk.chunk_bytes - XDP_HEADROOM, value)

    def _close(self) -> None:
        self._lost_in_kernel()
        self.detach()
        if self.plain is not None:
            self.plain.undo()
        if self.promiscuous is not None:
            self.promiscuous.close()

    def _lost_in_kernel(self) -> int:
        if self.sock.xsk.fd >= 0:
            self.lost = xsk_lost(&self.sock.xsk)
        return self.lost

    @property
    def mode_in_use(self) -> str:
        """What the mode came to: native-with-zerocopy, native or generic."""
        if self.sock.xsk.zero_copy:
            return "native-with-zerocopy"
        return "native" if self.native else "generic"

    @property
    def zero_copy(self) -> bool:
        """Whether the driver writes into the socket's memory itself."""
        return bool(self.sock.xsk.zero_copy)


cdef uint32_t chunk_for(str name, uint32_t mtu) except 0:
    """Return the size of chunks that take all frames of the device, raises ConfigError if there is none."""
    cdef uint32_t overhead = ETHERNET_BYTES + TAGS_BYTES + XDP_HEADROOM
    if mtu + overhead <= SMALL_CHUNK:
        return SMALL_CHUNK
    if mtu + overhead <= LARGE_CHUNK:
        return LARGE_CHUNK
    raise ConfigError(f"could not open network device {name} (MTU {mtu} is above {LARGE_CHUNK - overhead}, the most "
                      "for type afxdp)")


cdef int check(int error) except -1:
    """Raise OSError for a negative errno."""
    if error:
        raise OSError(-error, os.strerror(-error))
    return 0
