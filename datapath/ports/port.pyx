"""What all port kinds share: the memory of a Port, its statistics, and `port_send`, the last step before tx.

Place in the packet's path: `port_send` runs between the forwarder's output vectors and the port's tx. Hot
functions run on forwarder threads; PortHandle belongs to the control thread. Statistics are read without a lock: each
counter is one aligned word with one writer.
"""

from libc.errno cimport EAGAIN, EBADFD, EIO, EMSGSIZE, ENETDOWN, ENOBUFS, ENODEV, ENOMEM, ENXIO
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from datapath.drops cimport (
    DROP_OUT_OF_MEMORY, DROP_RX_BAD_VNET_HEADER, DROP_RX_PORT_DISABLED, DROP_TX_DOWN, DROP_TX_ERROR, DROP_TX_FULL,
    DROP_TX_TOO_LONG, N_DROP_REASONS,
)
from datapath.headers cimport ETHERNET_BYTES, ETH_SVLAN, ETH_VLAN, VLAN_BYTES
from datapath.lines cimport LINES_BYTES, lines_get
from datapath.packet cimport (
    BATCH_DEVICE, OFFLOAD_CSUM_PARTIAL, OFFLOAD_GSO, Batch, Packet, PacketPool, packet_complete_csum, packet_release,
    packet_writable, packets_release,
)
from datapath.ports.segment cimport Cut, GsoLayout, cut_begin, cut_next, layout_find

from datapath.drops import DROP_NAMES
from vslib.errors import ConfigError, InternalError

cdef enum:
    MTU_MIN = 68               # RFC 791: every module must take a datagram of 68 bytes
    MTU_MAX = 65536            # the loopback device has it
    UDP_CSUM_OFFSET = 6        # by which a partial checksum of UDP is told from one of TCP
    UDP_BYTES = 8
    TCP_OFFSET = 12            # of the byte with the header's length

if <int> N_DROP_REASONS > <int> DROPS_ROOM or sizeof(PortStats) % LINES_BYTES or sizeof(RxQueueStats) % LINES_BYTES:
    raise InternalError(f"PortStats is {sizeof(PortStats)} bytes, no multiple of {LINES_BYTES}: correct DROPS_ROOM")

# Drops that belong to the two directions of the device itself; all other reasons are decisions of the switch. A packet
# for a missing port is counted where it was received, so tx_no_port is none of an output's drops.
RX_DROPS = tuple(name for name in DROP_NAMES if name.startswith("rx_"))
TX_DROPS = tuple(name for name in DROP_NAMES if name.startswith("tx_") and name != "tx_no_port")
CAPS = {"csum": PORT_CAP_CSUM, "tso4": PORT_CAP_TSO4, "tso6": PORT_CAP_TSO6, "uso": PORT_CAP_USO}
CAP_NAMES = {bit: name for name, bit in CAPS.items()}


cdef int absent_rx(Port *port, uint32_t queue, PacketPool *pool, Batch *batch, PortStats *stats) noexcept nogil:
    """Receive of a handle whose kind set no function: nothing."""
    return 0


cdef void absent_tx(Port *port, Packet **pkts, uint32_t n, uint32_t forwarder, PortStats *stats) noexcept nogil:
    """Transmit of a handle whose kind set no function: every packet is dropped."""
    cdef uint32_t i
    for i in range(n):
        port_drop(pkts[i], DROP_TX_DOWN, stats)


cdef void port_drop(Packet *pkt, uint32_t reason, PortStats *stats) noexcept nogil:
    stats.drops[reason] += 1
    stats.tx_errors += reason == DROP_TX_ERROR
    packet_release(pkt)


cdef void port_refuse(uint32_t reason, PortStats *stats) noexcept nogil:
    stats.drops[reason] += 1
    stats.rx_errors += reason == DROP_RX_BAD_VNET_HEADER


cdef int port_finish_rx(Port *port, Batch *batch, PortStats *stats) noexcept nogil:
    cdef uint64_t n_bytes = 0
    cdef uint64_t multicast = 0
    cdef uint32_t i
    cdef Packet *pkt
    if not port.flags & PORT_UP:
        for i in range(batch.n):
            port_drop(batch.pkts[i], DROP_RX_PORT_DISABLED, stats)
        batch.n = 0
        return 0
    for i in range(batch.n):
        pkt = batch.pkts[i]
        pkt.in_port = port.port_no
        n_bytes += pkt.length
        multicast += pkt.data[0] & 1
    stats.rx_packets += batch.n
    stats.rx_bytes += n_bytes
    stats.multicast += multicast
    return <int>batch.n


cdef void port_sent(Packet **pkts, uint32_t n, PortStats *stats) noexcept nogil:
    cdef uint64_t n_bytes = 0
    cdef uint32_t i
    for i in range(n):
        n_bytes += pkts[i].length
    packets_release(pkts, n)
    stats.tx_packets += n
    stats.tx_bytes += n_bytes


cdef uint32_t port_tx_reason(int error) noexcept nogil:
    if error == EAGAIN or error == ENOBUFS or error == ENOMEM:
        return DROP_TX_FULL
    if error == ENETDOWN or error == ENXIO or error == ENODEV or error == EIO or error == EBADFD:
        return DROP_TX_DOWN
    if error == EMSGSIZE:
        return DROP_TX_TOO_LONG
    return DROP_TX_ERROR


cdef inline bint outer_tag(const Packet *pkt) noexcept nogil:
    """Return whether the frame starts with a VLAN tag (IEEE 802.1Q, 802.1ad): devices allow four more bytes then."""
    cdef uint16_t ethertype
    if pkt.length < ETHERNET_BYTES + VLAN_BYTES:
        return False
    ethertype = <uint16_t>(pkt.data[12] << 8 | pkt.data[13])
    return ethertype == ETH_VLAN or ethertype == ETH_SVLAN


cdef inline uint32_t header_bytes(const Packet *pkt) noexcept nogil:
    """Return the length of all headers of a GSO frame, 0 if it is not one that can be cut.

    The virtio-net header's own length is only a hint: Linux gives what happens to lie together.
    """
    cdef GsoLayout layout
    cdef uint32_t l4 = pkt.csum_start
    if not pkt.offload & OFFLOAD_CSUM_PARTIAL:
        return layout.payload if layout_find(&layout, pkt) else 0
    if pkt.csum_offset == UDP_CSUM_OFFSET:
        return l4 + UDP_BYTES
    return l4 + 4 * <uint32_t>(pkt.data[l4 + TCP_OFFSET] >> 4) if l4 + TCP_OFFSET < pkt.length else l4


cdef inline uint32_t wire_bytes(const Packet *pkt) noexcept nogil:
    """Return the length of the longest frame that will be on the wire: of a GSO frame, that of a whole segment."""
    if not pkt.offload & OFFLOAD_GSO:
        return pkt.length
    return min(pkt.length, header_bytes(pkt) + pkt.gso_size)


cdef inline bint can_cut(const Port *port, const Packet *pkt) noexcept nogil:
    """Return whether the device cuts the GSO frame itself: to do that, it must also do checksums.

    PortCap's segmentation bits are OffloadFlag's, one place lower.
    """
    cdef uint32_t gso = pkt.offload & OFFLOAD_GSO
    return (port.caps << 1) & gso == gso and port.caps & PORT_CAP_CSUM


cdef uint32_t misfit(const Port *port, const Packet *pkt) noexcept nogil:
    """Return why the port cannot take the packet (a DropReason), 0 if it can once it is cut and its checksum complete.
    """
    cdef uint32_t limit = port.max_frame_bytes
    cdef uint32_t length
    if not port.flags & PORT_UP:
        return DROP_TX_DOWN
    length = wire_bytes(pkt)
    if length <= limit or (length <= limit + VLAN_BYTES and outer_tag(pkt)):
        return 0
    return DROP_TX_TOO_LONG


cdef Packet *completed(Packet *pkt, PortStats *stats) noexcept nogil:
    """Return the packet, or a private copy of it, with a complete checksum.

    NULL if it was dropped (counted, released).
    """
    cdef Packet *own = packet_writable(pkt)
    cdef int reason
    if own == NULL:
        port_drop(pkt, DROP_OUT_OF_MEMORY, stats)
        return NULL
    reason = packet_complete_csum(own)
    if reason:
        port_drop(own, <uint32_t>reason, stats)
        return NULL
    return own


cdef void send_cut(Port *port, Packet *pkt, uint32_t forwarder, PortStats *stats) noexcept nogil:
    """Cut a GSO frame and send the pieces; releases it."""
    cdef Cut cut
    cdef Packet *pieces[BATCH_DEVICE]
    cdef uint32_t n
    cdef uint32_t reason = <uint32_t>cut_begin(&cut, pkt)
    stats.tx_segmented += reason == 0
    while reason == 0 and not cut.done:
        n = 0
        while n < BATCH_DEVICE and not cut.done:
            pieces[n] = cut_next(&cut)
            if pieces[n] == NULL:
                reason = DROP_OUT_OF_MEMORY      # of what is left: the first pieces go, as on a lossy wire
                break
            n += 1
        if n:
            port.tx(port, pieces, n, forwarder, stats)
    if reason:
        port_drop(pkt, reason, stats)
    else:
        packet_release(pkt)


cdef void send_unusual(Port *port, Packet **pkts, uint32_t n, uint32_t forwarder, PortStats *stats) noexcept nogil:
    """Send a vector in which some packets must be changed or dropped, in order."""
    cdef uint32_t kept = 0
    cdef uint32_t i, reason
    cdef Packet *pkt
    for i in range(n):
        # pkts[0:kept] fit the port and wait, pkts[kept:i] are stale, pkts[i:n] are still to be looked at
        pkt = pkts[i]
        reason = misfit(port, pkt)
        if reason:
            port_drop(pkt, reason, stats)
            continue
        if pkt.offload & OFFLOAD_GSO and not can_cut(port, pkt):
            if kept:
                port.tx(port, pkts, kept, forwarder, stats)
            kept = 0
            send_cut(port, pkt, forwarder, stats)
            continue
        if pkt.offload & OFFLOAD_CSUM_PARTIAL and not port.caps & PORT_CAP_CSUM:
            pkt = completed(pkt, stats)
            if pkt == NULL:
                continue
        pkts[kept] = pkt
        kept += 1
    if kept:
        port.tx(port, pkts, kept, forwarder, stats)


cdef void port_send(Port *port, Packet **pkts, uint32_t n, uint32_t forwarder) noexcept nogil:
    cdef PortStats *stats = &port.stats[forwarder]
    cdef uint32_t i
    cdef uint32_t unusual = (port.flags & PORT_UP) == 0
    for i in range(n):
        unusual |= (pkts[i].offload & (OFFLOAD_GSO | OFFLOAD_CSUM_PARTIAL)) | (pkts[i].length > port.max_frame_bytes)
    if unusual:
        send_unusual(port, pkts, n, forwarder, stats)
    elif n:
        port.tx(port, pkts, n, forwarder, stats)


cdef class PortHandle:
    """A port as the control thread holds it; the datapath keeps a reference as long as forwarders may use `port`."""

    def __cinit__(self, *args, **kwargs):
        self.port.stats = <PortStats *>lines_get(FORWARDERS_MAX * sizeof(PortStats))
        self.port.rxq_stats = <RxQueueStats *>lines_get(RX_QUEUES_MAX * sizeof(RxQueueStats))
        if self.port.stats == NULL or self.port.rxq_stats == NULL:
            raise MemoryError
        memset(self.port.stats, 0, FORWARDERS_MAX * sizeof(PortStats))
        memset(self.port.rxq_stats, 0, RX_QUEUES_MAX * sizeof(RxQueueStats))
        self.port.rx_fd = -1
        self.port.n_rxq = 1
        self.port.flags = PORT_UP
        self.port.max_frame_bytes = 1500 + ETHERNET_BYTES
        self.port.rx = absent_rx
        self.port.tx = absent_tx

    def __dealloc__(self):
        free(self.port.stats)
        free(self.port.rxq_stats)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} port {self.port.port_no}{' closed' if self.closed else ''}>"

    @property
    def port_no(self) -> int:
        """Number in the datapath; set by the datapath when the port is attached."""
        return self.port.port_no

    @property
    def rx_fd(self) -> int:
        """Descriptor that is readable while frames wait, -1 if there is none."""
        return self.port.rx_fd

    @property
    def n_rxq(self) -> int:
        """Number of receive queues."""
        return self.port.n_rxq

    def rxq_load(self, uint32_t queue) -> tuple[int, int]:
        """Return the packets received from a queue so far and the cycles spent on them."""
        if queue >= self.port.n_rxq:
            raise InternalError(f"port {self.name} has no queue {queue}")
        return self.port.rxq_stats[queue].packets, self.port.rxq_stats[queue].cycles

    @property
    def is_closed(self) -> bool:
        """Whether close() was called."""
        return bool(self.closed)

    @property
    def caps(self) -> frozenset[str]:
        """Offloads that the output takes: csum, tso4, tso6, uso."""
        return frozenset(name for bit, name in CAP_NAMES.items() if self.port.caps & <uint32_t>bit)

    @property
    def up(self) -> bool:
        """Whether frames are received and sent.

        The control thread clears it while the device is administratively down.
        """
        return bool(self.port.flags & PORT_UP)

    @up.setter
    def up(self, value: bool) -> None:
        self.port.flags = self.port.flags | PORT_UP if value else self.port.flags & ~<uint32_t>PORT_UP

    @property
    def mtu(self) -> int:
        """Longest layer-3 packet, in bytes, that is sent here.

        This is what the switch checks, not the device's own setting.
        """
        return self.port.max_frame_bytes - ETHERNET_BYTES

    @mtu.setter
    def mtu(self, value: int) -> None:
        self.set_mtu(value)

    def set_mtu(self, value: int) -> None:
        """Let frames with up to `value` bytes behind the Ethernet header pass.

        Raises ConfigError if no device has such an MTU.
        """
        if not MTU_MIN <= value <= MTU_MAX:
            raise ConfigError(f"{self.name}: MTU {value} is not in {MTU_MIN}..{MTU_MAX}")
        self.port.max_frame_bytes = value + ETHERNET_BYTES

    def stats(self) -> dict:
        """Return a snapshot of the counters, summed over forwarders.

        `drops` maps a reason's name to its count if that is not 0.
        """
        cdef PortStats total
        cdef PortStats *one
        cdef uint32_t i, reason
        cdef uint32_t n_reasons = N_DROP_REASONS
        cdef uint32_t n_forwarders = FORWARDERS_MAX
        memset(&total, 0, sizeof(total))
        for i in range(n_forwarders):
            one = &self.port.stats[i]
            total.rx_packets += one.rx_packets
            total.rx_bytes += one.rx_bytes
            total.rx_errors += one.rx_errors
            total.tx_packets += one.tx_packets
            total.tx_bytes += one.tx_bytes
            total.tx_errors += one.tx_errors
            total.tx_calls += one.tx_calls
            total.tx_segmented += one.tx_segmented
            total.multicast += one.multicast
            for reason in range(n_reasons):
                total.drops[reason] += one.drops[reason]
        drops = {name: total.drops[reason] for reason, name in enumerate(DROP_NAMES) if total.drops[reason]}
        lost = self._lost_in_kernel()
        if lost:
            drops["rx_no_buffer"] = drops.get("rx_no_buffer", 0) + lost
        return {
            "rx_packets": total.rx_packets,
            "rx_bytes": total.rx_bytes,
            "rx_errors": total.rx_errors,
            "rx_dropped": sum(drops.get(name, 0) for name in RX_DROPS),
            "tx_packets": total.tx_packets,
            "tx_bytes": total.tx_bytes,
            "tx_errors": total.tx_errors,
            "tx_dropped": sum(drops.get(name, 0) for name in TX_DROPS),
            "tx_calls": total.tx_calls,
            "tx_segmented": total.tx_segmented,
            "multicast": total.multicast,
            "drops": drops,
        }

    def _lost_in_kernel(self) -> int:
        """Return how many frames the kernel dropped because we did not take them in time.

        Kinds that can know override it.
        """
        return 0

    def close(self) -> None:
        """Give back descriptors; a second call does nothing. Raises InternalError while forwarders hold the port."""
        if self.attached:
            raise InternalError(f"port {self.name} is closed while forwarders use it")
        if self.closed:
            return
        self.closed = True
        self.port.rx_fd = -1
        self.port.rx = absent_rx
        self.port.tx = absent_tx
        self._close()

    def _close(self) -> None:
        """Give back what the kind holds; called once."""

    def __enter__(self) -> PortHandle:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
