"""Packet buffers, batches and pools.

A packet belongs to one forwarder from rx to its last tx and is never shared between threads; a frame that must cross to
another thread (controller, in-memory pipe) is copied. So reference counts are plain integers.

Layout of a buffer:  buf |<- headroom ->| data |<- length ->| data+length  ... |<- tailroom ->| buf+capacity
"""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t

cdef enum:
    BATCH_MAX = 256            # packets per batch
    BATCH_DEVICE = 64          # that a port receives from a device at once: more gained nothing
    BATCH_LOOP = 128           # that a port receives from memory at once: with 64 a packet costs 8 % more, and with 256
                               # too, as their buffers fill the first cache
    PACKET_HEADROOM = 128      # bytes in front of a received frame: room for tags and labels that actions push
    SMALL_FRAME_MAX = 1920     # longest frame that a small buffer takes
    LARGE_FRAME_MAX = 66560    # longest frame at all: a 64 KiB GSO packet with its headers
    OFS_ABSENT = 0xffff        # a layer offset when the layer is not there

cdef enum OffloadFlag:         # Packet.offload: what the virtio-net header said, checked against the frame
    OFFLOAD_CSUM_PARTIAL = 1   # the L4 checksum holds only the pseudo-header sum: complete from csum_start at
                               # csum_offset
    OFFLOAD_CSUM_VALID = 2     # the receiver verified the L4 checksum
    OFFLOAD_TSO4 = 4           # TCP over IPv4 longer than the MTU, to be segmented to gso_size
    OFFLOAD_TSO6 = 8           # TCP over IPv6, the same
    OFFLOAD_USO = 16           # UDP segmentation
    OFFLOAD_ECN = 32           # a GSO frame whose segments need care for CWR
    OFFLOAD_GSO = 28           # any of TSO4, TSO6, USO

cdef struct PacketPool         # below: packets point back to their pool

cdef struct Packet:
    # what every packet needs, one cache line
    uint8_t *data              # first byte of the Ethernet header
    uint8_t *buf               # start of the buffer; data - buf bytes are headroom
    Packet *next               # free list
    PacketPool *pool           # where it returns
    uint32_t length            # bytes of the frame
    uint32_t capacity          # bytes of the buffer from buf
    uint16_t l3_ofs            # from data to the IPv4/IPv6/ARP header (behind VLAN tags and MPLS labels), OFS_ABSENT if
                               # none
    uint16_t l4_ofs            # from data to the TCP/UDP/SCTP/ICMP header, OFS_ABSENT if none or a later fragment
    uint16_t l25_ofs           # from data to the first MPLS label, OFS_ABSENT if none
    uint16_t tcp_flags         # host order, for flow statistics; set by parse
    uint32_t offload           # OffloadFlag bits
    uint32_t in_port           # datapath port that received it, host order
    uint16_t refs              # holders of this packet: 1 + copies queued for output
    uint8_t large              # 1 = from the pool's large buffers
    uint8_t shape              # of the frame as it is now (shape.pxd), 0 = none or not known
    uint32_t pkt_mark          # mark, host order
    # what only some have
    uint16_t gso_size          # payload bytes of a segment; 0 = not a GSO frame
    uint16_t csum_start        # with OFFLOAD_CSUM_PARTIAL: where the checksum starts, from data
    uint16_t csum_offset       # with OFFLOAD_CSUM_PARTIAL: where it is stored, from csum_start
    uint16_t gso_hdr_length    # virtio-net hdr_len: bytes of all headers of a GSO frame (a hint)
    uint32_t skb_priority      # output queue, host order
    uint32_t recirc_id         # host order
    uint32_t dp_hash           # host order
    uint32_t flow_hash         # hash of the key, set by the flow cache

cdef struct PacketPool:
    Packet *small_free         # free list of small buffers
    Packet *large_free         # free list of large buffers
    uint32_t small_made        # small buffers allocated so far
    uint32_t small_limit       # and at most
    uint32_t large_made
    uint32_t large_limit
    uint32_t in_use            # buffers out of the pool now

cdef struct Batch:
    uint32_t n                 # packets in it
    Packet *pkts[BATCH_MAX]

# 0, or -1 without memory
cdef int pool_init(PacketPool *pool, uint32_t small_limit, uint32_t large_limit) noexcept nogil
cdef void pool_destroy(PacketPool *pool) noexcept nogil       # frees the free lists; every packet must be back
# deep copy with metadata and offload state from the same pool, refs 1; NULL if none
cdef Packet *packet_clone(Packet *pkt) noexcept nogil
# pkt itself if refs == 1, else a clone (one reference of pkt dropped); NULL if none (pkt untouched)
cdef Packet *packet_writable(Packet *pkt) noexcept nogil
# grow at the front; the new data pointer, NULL if the headroom is too small; layer offsets and csum_start move along
cdef uint8_t *packet_push(Packet *pkt, uint32_t n_bytes) noexcept nogil
cdef uint8_t *packet_pull(Packet *pkt, uint32_t n_bytes) noexcept nogil    # shrink at the front; NULL if too short

# The 10-byte virtio-net header (struct virtio_net_hdr, host order) that AF_PACKET (PACKET_VNET_HDR) and TAP
# (IFF_VNET_HDR) put before a frame.
cdef enum:
    VNET_HDR_BYTES = 10
# fill offload state; 0, or DROP_RX_BAD_VNET_HEADER
cdef int packet_from_vnet(Packet *pkt, const uint8_t *vnet) noexcept nogil
cdef void packet_to_vnet(const Packet *pkt, uint8_t *vnet) noexcept nogil        # write the header for output

# The header for output, written into the headroom just before the frame, so that both are one piece; NULL if there is
# no room. Whoever else holds the packet would write the same.
cdef inline uint8_t *packet_vnet_front(Packet *pkt) noexcept nogil:
    if pkt.data - pkt.buf < VNET_HDR_BYTES:
        return NULL
    packet_to_vnet(pkt, pkt.data - VNET_HDR_BYTES)
    return pkt.data - VNET_HDR_BYTES

# compute a partial L4 checksum in software and clear the flag (pkt must be writable); 0, or a drop reason
cdef int packet_complete_csum(Packet *pkt) noexcept nogil

cdef Packet *new_packet(PacketPool *pool, uint32_t length) noexcept nogil       # the slow half of packet_alloc


# data behind PACKET_HEADROOM, metadata zero, refs 1; NULL if none or too long
cdef inline Packet *packet_alloc(PacketPool *pool, uint32_t length) noexcept nogil:
    cdef Packet *pkt = NULL
    if length <= SMALL_FRAME_MAX:
        pkt = pool.small_free
        if pkt != NULL:
            pool.small_free = pkt.next
    elif pool.large_free != NULL:
        pkt = pool.large_free
        pool.large_free = pkt.next
    if pkt == NULL:
        pkt = new_packet(pool, length)
        if pkt == NULL:
            return NULL
    pool.in_use += 1
    pkt.data = pkt.buf + PACKET_HEADROOM
    pkt.next = NULL
    pkt.length = length
    pkt.l3_ofs = pkt.l4_ofs = pkt.l25_ofs = OFS_ABSENT
    pkt.tcp_flags = 0
    pkt.offload = pkt.in_port = pkt.pkt_mark = 0
    pkt.refs = 1
    pkt.shape = 0
    pkt.gso_size = pkt.csum_start = pkt.csum_offset = pkt.gso_hdr_length = 0
    pkt.skb_priority = pkt.recirc_id = pkt.dp_hash = pkt.flow_hash = 0
    return pkt


# Drop one reference; the last one returns the packet to its pool.
cdef inline void packet_release(Packet *pkt) noexcept nogil:
    cdef PacketPool *pool = pkt.pool
    pkt.refs -= 1
    if pkt.refs != 0:
        return
    pool.in_use -= 1
    if pkt.large:
        pkt.next = pool.large_free
        pool.large_free = pkt
    else:
        pkt.next = pool.small_free
        pool.small_free = pkt


# The same for n packets at once: the free list is written back once.
cdef inline void packets_release(Packet **pkts, uint32_t n) noexcept nogil:
    cdef PacketPool *pool = pkts[0].pool if n else NULL
    cdef Packet *first = pool.small_free if n else NULL
    cdef Packet *pkt
    cdef uint32_t i, freed = 0
    for i in range(n):
        pkt = pkts[i]
        if pkt.refs != 1 or pkt.large or pkt.pool != pool:
            pool.small_free = first        # what packet_release sees, and changes
            packet_release(pkt)
            first = pool.small_free
            continue
        pkt.refs = 0
        pkt.next = first
        first = pkt
        freed += 1
    if n:
        pool.small_free = first
        pool.in_use -= freed
