"""AfPacketPort: a network device of the host, through packet sockets (PT.01).

Place in the packet's path: rx copies frames out of a TPACKET_V2 ring (24 ns a packet where recvmmsg takes 1.1 us,
IOLIMITS.md), tx hands vectors to sendmmsg. Virtio-net headers travel along in both directions, so TSO frames and
partial checksums pass unchanged. Frames longer than a slot come through the socket's queue, in ring order; a VLAN tag
that the kernel took off is put back. Without a ring, recvmmsg receives. Thread rule: one forwarder receives; any
forwarder sends (no state is shared but the socket, which the kernel guards).
"""

from libc.errno cimport EAGAIN, EINTR, ENETDOWN, ENOBUFS, ENODEV, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove, memset
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap
from posix.unistd cimport close, write

from datapath.atomic cimport exchange_ptr, load_ptr, unlikely
from datapath.drops cimport DROP_RX_NO_BUFFER, DROP_RX_TOO_LONG, DROP_RX_TOO_SHORT, DROP_TX_DOWN
from datapath.epoll cimport EPOLLIN, EPOLL_CLOEXEC, EPOLL_CTL_ADD, epoll_create1, epoll_ctl, epoll_event
from datapath.headers cimport ETHERNET_BYTES, ETH_VLAN, VLAN_BYTES
from datapath.packet cimport (
    BATCH_DEVICE, LARGE_FRAME_MAX, SMALL_FRAME_MAX, VNET_HDR_BYTES, Batch, Packet, PacketPool, packet_alloc,
    packet_from_vnet, packet_push, packet_release, packet_to_vnet, packet_vnet_front,
)
from datapath.ports.port cimport (
    Port, PortHandle, PortStats, port_drop, port_finish_rx, port_refuse, port_sent, port_tx_reason,
)

import os
import threading

from datapath.ports import netdev, packet_socket, ring_growth, silence as host_silence
from datapath.ports.port import CAPS
from vslib.errors import ConfigError
from vslib.vlog import Module

cdef extern from "<sys/socket.h>" nogil:
    cdef struct iovec:
        void *iov_base
        size_t iov_len
    cdef struct msghdr:
        void *msg_name
        iovec *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
        int msg_flags
    cdef struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    cdef struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type
    cdef struct sockaddr:
        pass
    ctypedef unsigned int socklen_t
    cmsghdr *CMSG_FIRSTHDR(msghdr *message)
    void *CMSG_DATA(cmsghdr *control)
    ssize_t recvmsg(int fd, msghdr *message, int flags)
    int recvmmsg(int fd, mmsghdr *messages, unsigned int n, int flags, void *timeout)
    int sendmmsg(int fd, mmsghdr *messages, unsigned int n, int flags)
    int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
    int getsockname(int fd, sockaddr *address, socklen_t *length)
    enum: MSG_DONTWAIT
    enum: MSG_TRUNC
    enum: SOL_SOCKET
    enum: SO_ERROR

cdef extern from "<linux/if_packet.h>" nogil:
    cdef struct sockaddr_ll:
        int sll_ifindex
    cdef struct tpacket2_hdr:
        uint32_t tp_status     # who owns the slot, and flags
        uint32_t tp_len        # bytes of the frame on the wire, without a tag that was taken off
        uint32_t tp_snaplen    # bytes of it in the slot
        uint16_t tp_mac        # where the frame starts, from the slot; the virtio-net header is just before
        uint16_t tp_vlan_tci
        uint16_t tp_vlan_tpid
    cdef struct tpacket_auxdata:
        uint32_t tp_status
        uint16_t tp_vlan_tci
        uint16_t tp_vlan_tpid
    enum: PACKET_AUXDATA
    enum: SOL_PACKET "263"
    enum: TP_STATUS_KERNEL
    enum: TP_STATUS_USER
    enum: TP_STATUS_COPY
    enum: TP_STATUS_VLAN_VALID
    enum: TP_STATUS_VLAN_TPID_VALID

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef extern from *:
    """
    static inline unsigned int slot_status(const unsigned int *status) {
        return __atomic_load_n(status, __ATOMIC_ACQUIRE);
    }
    static inline void slot_return(unsigned int *status) { __atomic_store_n(status, 0, __ATOMIC_RELEASE); }
    """
    uint32_t slot_status(const uint32_t *status) nogil
    void slot_return(uint32_t *status) nogil

cdef enum:
    SLOT_BYTES = 2048          # as packet_socket.SLOT_BYTES
    RING_SLOTS = 2048          # 4 MB a port; 3 ms at 650,000 packets/s
    INBOX_MESSAGES = 16        # frames per recvmmsg call
    CONTROL_BYTES = 64         # room for one tpacket_auxdata
    TX_MESSAGES = 64           # frames per sendmmsg call; more gained nothing (IOLIMITS.md)
    TX_RETRIES = 4             # further tries per call while the kernel is out of buffers
    IDLE_CALLS = 64            # empty rx calls between two looks at the device's state
    ADDRESSES_BYTES = 12

cdef struct Inbox:             # where recvmmsg puts frames when there is no ring
    mmsghdr[INBOX_MESSAGES] messages
    iovec[INBOX_MESSAGES * 3] parts          # of each message: virtio-net header, small buffer, overflow
    uint8_t[INBOX_MESSAGES * VNET_HDR_BYTES] vnet
    uint8_t[INBOX_MESSAGES * CONTROL_BYTES] control
    Packet *pkts[INBOX_MESSAGES]
    uint8_t[INBOX_MESSAGES * LARGE_FRAME_MAX] overflow

cdef struct NextRing:          # a larger ring that is to take the place of the present one
    int rx_fd
    uint8_t *ring
    uint32_t slots

cdef struct AfPacket:          # one receive queue; in cache lines of its own
    int rx_fd
    int error                  # errno once the device is gone, else 0
    uint32_t idle              # rx calls that found nothing, in a row
    uint8_t *ring              # slots * SLOT_BYTES, shared with the kernel; NULL without a ring
    uint32_t slots
    uint32_t head              # the slot that is filled next
    Inbox *inbox               # NULL with a ring
    uint32_t asked             # the ring filled up and a larger one was asked for
    int ask_fd                 # event descriptor of the thread that makes larger rings, -1 = it stays as it is
    int wait_fd                # epoll descriptor of the rx sockets, -1 = rx_fd itself is waited on
    int spare_fd               # socket for the larger ring, -1 = none
    NextRing *following        # set by that thread, taken by the forwarder once the present ring is empty
    NextRing *retired          # the other way: the ring before, to be closed
    uint8_t[128] unused

cdef struct AfPackets:         # only read while the port is attached
    AfPacket *queues
    int tx_fd

cdef struct Vector:            # what one sendmmsg call is given
    mmsghdr[TX_MESSAGES] messages
    iovec[TX_MESSAGES * 2] parts             # of each message: virtio-net header, frame
    uint8_t[TX_MESSAGES * VNET_HDR_BYTES] vnet


log = Module("netdev_linux")
CHANGE_OVER_S = 0.002          # for who is about to write into the ring before: a softirq on another processor


# -- one received frame -----------------------------------------------------------------------------------------------

cdef void put_tag(Packet *pkt, uint16_t tpid, uint16_t tci) noexcept nogil:
    """Put a VLAN tag (host order) back behind the addresses; a fresh packet has the headroom.

    The offsets move along.
    """
    cdef uint8_t *data = packet_push(pkt, VLAN_BYTES)
    if data == NULL:
        return
    memmove(data, data + VLAN_BYTES, ADDRESSES_BYTES)
    data[12] = tpid >> 8
    data[13] = tpid & 0xff
    data[14] = tci >> 8
    data[15] = tci & 0xff


cdef void take_frame(Packet *pkt, uint32_t length, const uint8_t *vnet, uint32_t status, uint16_t tpid, uint16_t tci,
                     Batch *batch, PortStats *stats) noexcept nogil:
    """Complete a packet whose bytes are in place and append it to the batch, or release it (counted)."""
    cdef int reason = DROP_RX_TOO_SHORT
    pkt.length = length
    if length >= ETHERNET_BYTES:
        reason = packet_from_vnet(pkt, vnet)
    if reason:
        port_refuse(<uint32_t>reason, stats)
        packet_release(pkt)
        return
    if status & TP_STATUS_VLAN_VALID:
        put_tag(pkt, tpid if status & TP_STATUS_VLAN_TPID_VALID else <uint16_t>ETH_VLAN, tci)
    batch.pkts[batch.n] = pkt
    batch.n += 1


# -- receive ring -----------------------------------------------------------------------------------------------------

cdef Packet *from_queue(AfPacket *sock, uint32_t length, uint8_t *vnet, PacketPool *pool,
                        PortStats *stats) noexcept nogil:
    """Return the frame of `length` bytes that waits in the socket's queue, which it leaves in any case.

    NULL if refused (counted).
    """
    cdef Packet *pkt = packet_alloc(pool, length) if length <= LARGE_FRAME_MAX else NULL
    cdef iovec[2] iov
    cdef msghdr message
    cdef ssize_t n
    memset(&message, 0, sizeof(message))
    iov[0].iov_base = vnet
    iov[0].iov_len = VNET_HDR_BYTES
    iov[1].iov_base = pkt.data if pkt != NULL else NULL
    iov[1].iov_len = length if pkt != NULL else 0
    message.msg_iov = iov
    message.msg_iovlen = 2
    n = recvmsg(sock.rx_fd, &message, MSG_DONTWAIT)
    if n < 0 and (errno == ENETDOWN or errno == EINTR):      # news of the device come first, once
        n = recvmsg(sock.rx_fd, &message, MSG_DONTWAIT)
    if pkt != NULL and n == <ssize_t>length + VNET_HDR_BYTES:
        return pkt
    if pkt != NULL:
        packet_release(pkt)
    port_refuse(DROP_RX_TOO_LONG if length > LARGE_FRAME_MAX else DROP_RX_NO_BUFFER, stats)
    return NULL


cdef void take_slot(AfPacket *sock, tpacket2_hdr *slot, uint32_t status, PacketPool *pool, Batch *batch,
                    PortStats *stats) noexcept nogil:
    """Append the frame of one slot to the batch, or count why not."""
    cdef uint8_t[VNET_HDR_BYTES] queued
    cdef uint8_t *frame = <uint8_t *>slot + slot.tp_mac
    cdef const uint8_t *vnet = frame - VNET_HDR_BYTES
    cdef uint32_t length = slot.tp_len
    cdef Packet *pkt
    if status & TP_STATUS_COPY:
        vnet = queued
        pkt = from_queue(sock, length, queued, pool, stats)
        if pkt == NULL:
            return
    else:
        # A frame that is longer than its slot and not in the queue found the queue full.
        pkt = packet_alloc(pool, length) if slot.tp_snaplen == length else NULL
        if pkt == NULL:
            port_refuse(DROP_RX_NO_BUFFER, stats)
            return
        memcpy(pkt.data, frame, length)
    take_frame(pkt, length, vnet, status, slot.tp_vlan_tpid, slot.tp_vlan_tci, batch, stats)


cdef uint32_t ring_rx(AfPacket *sock, PacketPool *pool, Batch *batch, PortStats *stats) noexcept nogil:
    """Fill the batch from the ring; the number of slots that were looked at."""
    cdef tpacket2_hdr *slot
    cdef uint32_t status
    cdef uint32_t taken = 0
    while taken < BATCH_DEVICE:
        # every slot before head is the kernel's
        slot = <tpacket2_hdr *>(sock.ring + <size_t>sock.head * SLOT_BYTES)
        status = slot_status(&slot.tp_status)
        if not status & TP_STATUS_USER:
            break
        take_slot(sock, slot, status, pool, batch, stats)
        slot_return(&slot.tp_status)
        sock.head = sock.head + 1 if sock.head + 1 < sock.slots else 0
        taken += 1
    if taken == BATCH_DEVICE and sock.ask_fd >= 0 and not sock.asked:
        ask_if_full(sock)
    return taken


cdef void ask_if_full(AfPacket *sock) noexcept nogil:
    """Ask for a larger ring if a quarter of this one still waits after a whole batch was read."""
    cdef uint64_t one = 1
    cdef uint32_t at = sock.head + sock.slots // 4
    cdef tpacket2_hdr *slot
    if at >= sock.slots:
        at -= sock.slots
    slot = <tpacket2_hdr *>(sock.ring + <size_t>at * SLOT_BYTES)
    if slot_status(&slot.tp_status) & TP_STATUS_USER:
        sock.asked = 1
        write(sock.ask_fd, &one, sizeof(one))


cdef bint go_on_with_larger(AfPacket *sock) noexcept nogil:
    """Take the larger ring if one is ready; the present one is empty and gets no more frames."""
    cdef uint64_t one = 1
    cdef NextRing *ring = <NextRing *>load_ptr(<void **>&sock.following)
    cdef NextRing present
    if ring == NULL:
        return False
    present.rx_fd, present.ring, present.slots = sock.rx_fd, sock.ring, sock.slots
    sock.rx_fd, sock.ring, sock.slots = ring.rx_fd, ring.ring, ring.slots
    sock.head = 0
    sock.following = NULL
    ring[0] = present
    exchange_ptr(<void **>&sock.retired, ring)
    write(sock.ask_fd, &one, sizeof(one))
    return True


# -- receive without a ring -------------------------------------------------------------------------------------------

cdef uint32_t inbox_fill(Inbox *inbox, PacketPool *pool) noexcept nogil:
    """Give each message a small packet; the number of messages that got one."""
    cdef uint32_t i
    cdef uint32_t n = INBOX_MESSAGES
    cdef Packet *pkt
    cdef msghdr *message
    for i in range(n):
        pkt = packet_alloc(pool, SMALL_FRAME_MAX)
        if pkt == NULL:
            return i
        inbox.pkts[i] = pkt
        inbox.parts[3 * i].iov_base = &inbox.vnet[i * VNET_HDR_BYTES]
        inbox.parts[3 * i].iov_len = VNET_HDR_BYTES
        inbox.parts[3 * i + 1].iov_base = pkt.data
        inbox.parts[3 * i + 1].iov_len = SMALL_FRAME_MAX
        inbox.parts[3 * i + 2].iov_base = &inbox.overflow[<size_t>i * LARGE_FRAME_MAX]
        inbox.parts[3 * i + 2].iov_len = LARGE_FRAME_MAX - SMALL_FRAME_MAX
        message = &inbox.messages[i].msg_hdr
        memset(message, 0, sizeof(msghdr))
        message.msg_iov = &inbox.parts[3 * i]
        message.msg_iovlen = 3
        message.msg_control = &inbox.control[i * CONTROL_BYTES]
        message.msg_controllen = CONTROL_BYTES
    return n


cdef void take_message(Inbox *inbox, uint32_t i, PacketPool *pool, Batch *batch, PortStats *stats) noexcept nogil:
    """Append the frame of one message to the batch, or count why not."""
    cdef Packet *small = inbox.pkts[i]
    cdef Packet *pkt = small
    cdef msghdr *message = &inbox.messages[i].msg_hdr
    cdef cmsghdr *control = CMSG_FIRSTHDR(message)
    cdef tpacket_auxdata aux
    cdef uint32_t length = inbox.messages[i].msg_len
    cdef bint whole = not message.msg_flags & MSG_TRUNC
    memset(&aux, 0, sizeof(aux))
    if control != NULL and control.cmsg_level == SOL_PACKET and control.cmsg_type == PACKET_AUXDATA:
        memcpy(&aux, CMSG_DATA(control), sizeof(aux))
    length = length - VNET_HDR_BYTES if length > VNET_HDR_BYTES else 0
    if length > SMALL_FRAME_MAX:
        pkt = packet_alloc(pool, length) if whole else NULL
        if pkt != NULL:
            memcpy(pkt.data, small.data, SMALL_FRAME_MAX)
            memcpy(pkt.data + SMALL_FRAME_MAX, &inbox.overflow[<size_t>i * LARGE_FRAME_MAX], length - SMALL_FRAME_MAX)
        packet_release(small)
    if pkt == NULL:
        port_refuse(DROP_RX_NO_BUFFER if whole else DROP_RX_TOO_LONG, stats)
        return
    take_frame(pkt, length, &inbox.vnet[i * VNET_HDR_BYTES], aux.tp_status, aux.tp_vlan_tpid, aux.tp_vlan_tci,
               batch, stats)


cdef uint32_t inbox_lose(AfPacket *sock, PortStats *stats) noexcept nogil:
    """Take one frame off the queue and drop it for want of a buffer, so that epoll does not spin on it."""
    cdef msghdr message
    cdef iovec part
    memset(&message, 0, sizeof(message))
    part.iov_base = sock.inbox.vnet
    part.iov_len = VNET_HDR_BYTES
    message.msg_iov = &part
    message.msg_iovlen = 1
    if recvmsg(sock.rx_fd, &message, MSG_DONTWAIT) < 0:
        return 0
    port_refuse(DROP_RX_NO_BUFFER, stats)
    return 1


cdef uint32_t inbox_rx(AfPacket *sock, PacketPool *pool, Batch *batch, PortStats *stats) noexcept nogil:
    """Fill the batch with one recvmmsg call; the number of frames that were looked at."""
    cdef Inbox *inbox = sock.inbox
    cdef uint32_t ready = inbox_fill(inbox, pool)
    cdef uint32_t i
    cdef int n
    if ready == 0:
        return inbox_lose(sock, stats)
    n = recvmmsg(sock.rx_fd, inbox.messages, ready, MSG_DONTWAIT, NULL)
    if n < 0:
        if errno != EAGAIN and errno != EINTR:
            sock.idle = 0      # the error is taken off the socket by this call: look at the device now
        n = 0
    for i in range(ready):
        if i < <uint32_t>n:
            take_message(inbox, i, pool, batch, stats)
        else:
            packet_release(inbox.pkts[i])
    return <uint32_t>n


# -- the port's functions ---------------------------------------------------------------------------------------------

cdef int device_state(AfPacket *sock) noexcept nogil:
    """Look whether the device still exists, now and then; 0, or a negative errno for ever after it went away.

    The kernel reports a device that is down or gone by an error on the socket, which also keeps epoll awake until it
    is read.
    """
    cdef int error = 0
    cdef socklen_t length = sizeof(int)
    cdef sockaddr_ll address
    if sock.idle % IDLE_CALLS == 0:
        getsockopt(sock.rx_fd, SOL_SOCKET, SO_ERROR, &error, &length)
        length = sizeof(sockaddr_ll)
        memset(&address, 0, sizeof(address))
        if getsockname(sock.rx_fd, <sockaddr *>&address, &length) == 0 and address.sll_ifindex <= 0:
            sock.error = ENODEV
    sock.idle += 1
    return -sock.error


cdef int afpacket_rx(Port *port, uint32_t queue, PacketPool *pool, Batch *batch, PortStats *stats) noexcept nogil:
    cdef AfPacket *sock = &(<AfPackets *>port.impl).queues[queue]
    cdef uint32_t taken
    batch.n = 0
    if sock.error:
        return -sock.error
    taken = ring_rx(sock, pool, batch, stats) if sock.ring != NULL else inbox_rx(sock, pool, batch, stats)
    if taken == 0 and go_on_with_larger(sock):
        taken = ring_rx(sock, pool, batch, stats)
    if taken == 0:
        return device_state(sock)
    sock.idle = 1              # while frames come, the device is there
    return port_finish_rx(port, batch, stats)


cdef void vector_fill(Vector *vector, Packet **pkts, uint32_t n) noexcept nogil:
    """Describe up to TX_MESSAGES packets to sendmmsg."""
    cdef uint32_t i
    cdef msghdr *message
    cdef iovec *parts
    cdef uint8_t *front
    for i in range(n):
        parts = &vector.parts[2 * i]
        message = &vector.messages[i].msg_hdr
        memset(message, 0, sizeof(msghdr))
        message.msg_iov = parts
        message.msg_iovlen = 1
        # In one piece the kernel copies faster; what actions pushed may have used the room up.
        front = packet_vnet_front(pkts[i])
        parts[0].iov_base = front
        parts[0].iov_len = VNET_HDR_BYTES + pkts[i].length
        if unlikely(front == NULL):
            packet_to_vnet(pkts[i], &vector.vnet[i * VNET_HDR_BYTES])
            parts[0].iov_base = &vector.vnet[i * VNET_HDR_BYTES]
            parts[0].iov_len = VNET_HDR_BYTES
            parts[1].iov_base = pkts[i].data
            parts[1].iov_len = pkts[i].length
            message.msg_iovlen = 2


cdef void drop_all(Packet **pkts, uint32_t n, uint32_t reason, PortStats *stats) noexcept nogil:
    cdef uint32_t i
    for i in range(n):
        port_drop(pkts[i], reason, stats)


cdef void send_vector(int fd, Packet **pkts, uint32_t n, PortStats *stats) noexcept nogil:
    """Send up to TX_MESSAGES packets and release them."""
    cdef Vector vector
    cdef uint32_t done = 0
    cdef uint32_t retries = 0
    cdef uint32_t reason
    cdef int sent
    vector_fill(&vector, pkts, n)
    while done < n:
        # pkts[0:done] are sent or dropped, and released
        sent = sendmmsg(fd, &vector.messages[done], n - done, MSG_DONTWAIT)
        stats.tx_calls += 1
        if sent > 0:
            port_sent(&pkts[done], <uint32_t>sent, stats)
            done += <uint32_t>sent
            continue
        if (errno == EAGAIN or errno == ENOBUFS or errno == EINTR) and retries < TX_RETRIES:
            retries += 1
            sched_yield()
            continue
        reason = port_tx_reason(errno)
        if reason == DROP_TX_DOWN:
            drop_all(&pkts[done], n - done, reason, stats)
            return
        port_drop(pkts[done], reason, stats)
        done += 1


cdef void afpacket_tx(Port *port, Packet **pkts, uint32_t n, uint32_t forwarder, PortStats *stats) noexcept nogil:
    cdef AfPackets *socks = <AfPackets *>port.impl
    cdef uint32_t at = 0
    cdef uint32_t some
    while at < n:
        some = n - at if n - at < TX_MESSAGES else <uint32_t>TX_MESSAGES
        send_vector(socks.tx_fd, &pkts[at], some, stats)
        at += some


# -- rings from the control side --------------------------------------------------------------------------------------

cdef uint8_t *ring_memory(int fd, uint32_t slots) noexcept nogil:
    """Map the ring of a socket; NULL if that fails."""
    cdef void *memory = mmap(NULL, <size_t>slots * SLOT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
    return NULL if memory == MAP_FAILED else <uint8_t *>memory


cdef void ring_close(NextRing *ring) noexcept nogil:
    if ring == NULL:
        return
    if ring.ring != NULL:
        munmap(ring.ring, <size_t>ring.slots * SLOT_BYTES)
    close(ring.rx_fd)
    free(ring)


cdef int bound_to(int fd) noexcept nogil:
    """Return the number of the device that a packet socket is bound to, 0 or less if it is gone."""
    cdef sockaddr_ll address
    cdef socklen_t length = sizeof(sockaddr_ll)
    memset(&address, 0, sizeof(address))
    getsockname(fd, <sockaddr *>&address, &length)
    return address.sll_ifindex


cdef int watch(int wait_fd, int fd) except -1:
    """Make an epoll descriptor readable while a socket is; raises OSError."""
    cdef epoll_event event
    memset(&event, 0, sizeof(event))
    event.events = EPOLLIN
    if epoll_ctl(wait_fd, EPOLL_CTL_ADD, fd, &event):
        raise OSError(errno, os.strerror(errno))
    return 0


cdef int wait_on(int fd) except -1:
    """Return an epoll descriptor that is readable while a socket is; raises OSError."""
    cdef int wait_fd = epoll_create1(EPOLL_CLOEXEC)
    if wait_fd < 0:
        raise OSError(errno, os.strerror(errno))
    watch(wait_fd, fd)
    return wait_fd


cdef void queue_close(AfPacket *sock) noexcept nogil:
    ring_close(sock.following)
    ring_close(sock.retired)
    if sock.ring != NULL:
        munmap(sock.ring, <size_t>sock.slots * SLOT_BYTES)
    free(sock.inbox)
    close(sock.rx_fd)
    if sock.spare_fd >= 0:
        close(sock.spare_fd)
    if sock.wait_fd >= 0:
        close(sock.wait_fd)


# -- shell ------------------------------------------------------------------------------------------------------------

cdef class AfPacketPort(PortHandle):
    """A device of the host: receives what comes in, sends from it. The device is not made, changed or removed.

    `slots` is the least size of the receive ring in frames, 0 = receive by recvmmsg; `first_slots`, if that is less and
    not 0, its size until it fills up. `silence` keeps the host's own stack from answering the same frames;
    `silenced_by` then tells how, empty if it could not be done (logged). `n_rxq`: receive queues, each with a ring;
    several do not grow. Raises ConfigError if there is no such device or it cannot be opened.
    """

    cdef object __weakref__
    cdef AfPackets socks
    cdef object lost           # frames that the kernel dropped, as far as asked
    cdef object silencer
    cdef object guard          # held by who opens, closes or replaces descriptors of the ring
    cdef uint32_t ifindex
    cdef uint32_t most_slots   # to which the ring may grow

    def __cinit__(self, *args, **kwargs):
        self.socks.tx_fd = -1
        self.guard = threading.Lock()

    def __init__(self, str name, *, uint32_t slots=RING_SLOTS, uint32_t first_slots=0, bint silence=True,
                 uint32_t n_rxq=1):
        cdef uint32_t i
        cdef uint32_t begin = min(first_slots, slots) if first_slots and n_rxq == 1 else slots
        link = netdev.link(name)
        self.name = name
        self.kind = "system"
        self.lost = 0
        self.mtu = link.mtu
        self.ifindex = link.ifindex
        self.most_slots = slots
        opened = packet_socket.open_sockets(name, begin, n_rxq, spare=begin < slots)
        self.socks.tx_fd = opened.tx_fd
        self.make_queues((opened.rx_fd, *opened.more_rx_fds), opened.slots, opened.spare_fd)
        for i in range(self.port.n_rxq):
            self.map_ring(&self.socks.queues[i])
        self.port.caps = sum(CAPS[cap] for cap in opened.caps)
        self.port.impl = &self.socks
        self.port.rx_fd = opened.rx_fd
        if opened.spare_fd >= 0:
            self.socks.queues.wait_fd = self.port.rx_fd = wait_on(opened.rx_fd)
            self.socks.queues.ask_fd = ring_growth.join(self)
        self.port.rx = afpacket_rx
        self.port.tx = afpacket_tx
        if silence:
            self.silencer = host_silence.silence(name, link.ifindex)

    cdef int make_queues(self, tuple rx_fds, uint32_t slots, int spare_fd) except -1:
        """Take over the descriptors of the queues; raises MemoryError."""
        cdef uint32_t i
        self.socks.queues = <AfPacket *>calloc(len(rx_fds), sizeof(AfPacket))
        if self.socks.queues == NULL:
            for fd in (*rx_fds, spare_fd):
                close(fd)
            raise MemoryError
        self.port.n_rxq = <uint32_t>len(rx_fds)
        for i in range(self.port.n_rxq):
            self.socks.queues[i].rx_fd = rx_fds[i]
            self.socks.queues[i].slots = slots
            self.socks.queues[i].ask_fd = self.socks.queues[i].wait_fd = self.socks.queues[i].spare_fd = -1
            if i:
                self.port.more_rx_fds[i - 1] = rx_fds[i]
        self.socks.queues.spare_fd = spare_fd
        return 0

    cdef int map_ring(self, AfPacket *sock) except -1:
        """Map the ring, or make the inbox if there is none; raises ConfigError or MemoryError."""
        if sock.slots == 0:
            sock.inbox = <Inbox *>calloc(1, sizeof(Inbox))
            if sock.inbox == NULL:
                raise MemoryError
            return 0
        sock.ring = ring_memory(sock.rx_fd, sock.slots)
        if sock.ring == NULL:
            raise ConfigError(f"could not open network device {self.name} (the receive ring cannot be mapped)")
        return 0

    def grow(self) -> None:
        """Replace the ring by a larger one if it filled up, and close the one before; see ring_growth."""
        cdef AfPacket *sock
        cdef NextRing *retired
        cdef int fd = -1
        with self.guard:
            sock = self.socks.queues
            if sock == NULL:
                return
            retired = <NextRing *>exchange_ptr(<void **>&sock.retired, NULL)
            if retired != NULL:
                self.lost += packet_socket.lost(retired.rx_fd)
                ring_close(retired)
            if sock.asked:
                fd = sock.spare_fd
                sock.spare_fd = -1
        if fd >= 0:
            try:
                self.make_larger(fd)
            except OSError as error:
                log.warn("%s: the receive ring stays small: %s", self.name, error.strerror)

    cdef int make_larger(self, int fd) except -1:
        """Offer a larger ring on socket `fd`, which is ours, to the forwarder; raises OSError."""
        cdef AfPacket *sock
        cdef NextRing *ring = <NextRing *>calloc(1, sizeof(NextRing))
        if ring == NULL:
            close(fd)
            raise MemoryError
        ring.rx_fd = fd
        try:
            ring.slots = packet_socket.set_up_spare(fd, self.name, self.ifindex, self.most_slots)
            ring.ring = ring_memory(fd, ring.slots) if ring.slots else NULL
            if ring.ring == NULL:
                raise OSError(ENOBUFS, os.strerror(ENOBUFS))
            with self.guard:
                sock = self.socks.queues
                if sock == NULL or bound_to(fd) != bound_to(sock.rx_fd):
                    raise OSError(ENODEV, os.strerror(ENODEV))
                watch(sock.wait_fd, fd)
                packet_socket.change_over(sock.rx_fd, fd)
            threading.Event().wait(CHANGE_OVER_S)
        except OSError:
            ring_close(ring)
            raise
        with self.guard:
            sock = self.socks.queues
            if sock == NULL:
                ring_close(ring)
            else:
                exchange_ptr(<void **>&sock.following, ring)
                log.info("%s: the receive ring grows to %d frames", self.name, ring.slots)
        return 0

    def __dealloc__(self):
        self.release_memory()

    cdef void release_memory(self) noexcept:
        cdef AfPacket *queues = self.socks.queues
        cdef uint32_t i, n = self.port.n_rxq
        cdef int tx_fd = self.socks.tx_fd
        self.socks.queues = NULL
        self.socks.tx_fd = -1
        with nogil:            # the kernel waits for its grace period, 5 to 15 ms: ports that go together wait together
            for i in range(n if queues != NULL else 0):
                queue_close(&queues[i])
            if tx_fd >= 0:
                close(tx_fd)
        free(queues)

    def _close(self) -> None:
        ring_growth.leave(self)
        self._lost_in_kernel()
        with self.guard:
            self.release_memory()
        if self.silencer is not None:
            self.silencer.undo()

    def _lost_in_kernel(self) -> int:
        cdef uint32_t i
        with self.guard:
            for i in range(self.port.n_rxq if self.socks.queues != NULL else 0):
                self.lost += packet_socket.lost(self.socks.queues[i].rx_fd)
            return self.lost

    @property
    def has_ring(self) -> bool:
        """Whether frames are received by a ring."""
        return self.socks.queues != NULL and self.socks.queues[0].ring != NULL

    @property
    def slots(self) -> int:
        """Frames that the receive ring holds, 0 without a ring."""
        return self.socks.queues.slots if self.socks.queues != NULL else 0

    @property
    def silenced_by(self) -> str:
        """How the host's own stack is kept silent: "tcx", "clsact", or empty."""
        return self.silencer.method if self.silencer is not None else ""
