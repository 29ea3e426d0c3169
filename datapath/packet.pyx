"""Packet buffers, pools and virtio-net headers: what a frame lives in from rx to its last tx.

Place: before parse (ports fill buffers) and after execute (ports empty them). Thread rule: a pool and its packets
belong to one forwarder; nothing here locks. A Packet and its bytes are one allocation, so that taking one off a free
list touches the struct and the first bytes of the frame on neighbouring cache lines.
"""

from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from datapath.bytes cimport store_le32, store_u16, store_u32
from datapath.csum cimport crc32c, csum_add, csum_fold
from datapath.drops cimport DROP_ACTION_BAD_PACKET, DROP_RX_BAD_VNET_HEADER
from datapath.headers cimport ETHERNET_BYTES, TCP_BYTES

cdef extern from "<stdlib.h>" nogil:
    int posix_memalign(void **memory, size_t alignment, size_t n_bytes) noexcept

cdef enum:
    CACHE_LINE = 64
    STRUCT_BYTES = 128         # room for the struct in front of the buffer, in whole cache lines
    SCTP_CSUM_OFFSET = 8       # only SCTP keeps its checksum there, and it is a CRC32c (TCP 16, UDP 6, ICMP 2)
    TCP_CSUM_OFFSET = 16
    UDP_CSUM_OFFSET = 6
    UDP_BYTES = 8

cdef enum VnetFlag:            # struct virtio_net_hdr, flags (virtio 1.2, 5.1.6)
    VNET_NEEDS_CSUM = 1
    VNET_DATA_VALID = 2

cdef enum VnetGso:             # struct virtio_net_hdr, gso_type
    VNET_GSO_NONE = 0
    VNET_GSO_TCPV4 = 1
    VNET_GSO_TCPV6 = 4
    VNET_GSO_UDP_L4 = 5
    VNET_GSO_ECN = 0x80        # or-ed to the type

cdef packed struct VnetHeader: # host order, as Linux passes it on AF_PACKET and TAP
    uint8_t flags              # VnetFlag bits
    uint8_t gso_type           # VnetGso
    uint16_t hdr_len           # bytes of all headers; a hint
    uint16_t gso_size          # payload bytes of one segment
    uint16_t csum_start        # where the checksum starts, from the Ethernet header
    uint16_t csum_offset       # where it is stored, from csum_start


# -- pools -------------------------------------------------------------------------------------------------------------

cdef int pool_init(PacketPool *pool, uint32_t small_limit, uint32_t large_limit) noexcept nogil:
    memset(pool, 0, sizeof(PacketPool))
    pool.small_limit = small_limit
    pool.large_limit = large_limit
    if sizeof(Packet) > STRUCT_BYTES:
        return -1
    return 0


cdef void free_list(Packet *pkt) noexcept nogil:
    cdef Packet *following
    while pkt != NULL:
        following = pkt.next
        free(pkt)
        pkt = following


cdef void pool_destroy(PacketPool *pool) noexcept nogil:
    free_list(pool.small_free)
    free_list(pool.large_free)
    pool.small_free = pool.large_free = NULL
    pool.small_made = pool.large_made = 0


cdef Packet *make_packet(PacketPool *pool, uint32_t frame_max, uint8_t large) noexcept nogil:
    cdef void *memory = NULL
    cdef Packet *pkt
    if posix_memalign(&memory, CACHE_LINE, STRUCT_BYTES + PACKET_HEADROOM + frame_max) != 0:
        return NULL
    pkt = <Packet *>memory
    pkt.buf = <uint8_t *>memory + STRUCT_BYTES
    pkt.capacity = PACKET_HEADROOM + frame_max
    pkt.large = large
    pkt.pool = pool
    return pkt


cdef Packet *new_small(PacketPool *pool) noexcept nogil:
    cdef Packet *pkt = NULL
    if pool.small_made < pool.small_limit:
        pkt = make_packet(pool, SMALL_FRAME_MAX, 0)
    if pkt != NULL:
        pool.small_made += 1
    return pkt


cdef Packet *new_large(PacketPool *pool) noexcept nogil:
    cdef Packet *pkt = NULL
    if pool.large_made < pool.large_limit:
        pkt = make_packet(pool, LARGE_FRAME_MAX, 1)
    if pkt != NULL:
        pool.large_made += 1
    return pkt


cdef Packet *new_packet(PacketPool *pool, uint32_t length) noexcept nogil:
    """A buffer that is not from a free list, for packet_alloc; NULL if none or too long."""
    if length <= SMALL_FRAME_MAX:
        return new_small(pool)
    return new_large(pool) if length <= LARGE_FRAME_MAX else NULL


# -- packets -----------------------------------------------------------------------------------------------------------

cdef void copy_metadata(Packet *to, const Packet *source) noexcept nogil:
    to.l3_ofs = source.l3_ofs
    to.l4_ofs = source.l4_ofs
    to.l25_ofs = source.l25_ofs
    to.gso_size = source.gso_size
    to.csum_start = source.csum_start
    to.csum_offset = source.csum_offset
    to.gso_hdr_length = source.gso_hdr_length
    to.offload = source.offload
    to.in_port = source.in_port
    to.pkt_mark = source.pkt_mark
    to.skb_priority = source.skb_priority
    to.recirc_id = source.recirc_id
    to.dp_hash = source.dp_hash
    to.flow_hash = source.flow_hash
    to.tcp_flags = source.tcp_flags
    to.shape = source.shape


cdef Packet *packet_clone(Packet *pkt) noexcept nogil:
    cdef Packet *copy = packet_alloc(pkt.pool, pkt.length)
    if copy == NULL:
        return NULL
    copy_metadata(copy, pkt)
    memcpy(copy.data, pkt.data, pkt.length)
    return copy


cdef Packet *packet_writable(Packet *pkt) noexcept nogil:
    cdef Packet *copy
    if pkt.refs == 1:
        return pkt
    copy = packet_clone(pkt)
    if copy != NULL:
        pkt.refs -= 1
    return copy


cdef inline uint16_t offset_moved(uint16_t offset, int32_t n_bytes) noexcept nogil:
    # A layer that the move leaves in front of the data is no longer in the frame.
    if offset == OFS_ABSENT or offset + n_bytes < 0:
        return OFS_ABSENT
    return <uint16_t>(offset + n_bytes)


cdef void move_offsets(Packet *pkt, int32_t n_bytes) noexcept nogil:
    pkt.l3_ofs = offset_moved(pkt.l3_ofs, n_bytes)
    pkt.l4_ofs = offset_moved(pkt.l4_ofs, n_bytes)
    pkt.l25_ofs = offset_moved(pkt.l25_ofs, n_bytes)
    if pkt.gso_hdr_length != 0:
        pkt.gso_hdr_length = <uint16_t>max(0, <int32_t>pkt.gso_hdr_length + n_bytes)
    if not pkt.offload & OFFLOAD_CSUM_PARTIAL:
        return
    if <int32_t>pkt.csum_start + n_bytes < 0:
        # The header that was to be completed is gone, and with it what the offload state described.
        pkt.offload = 0
        pkt.gso_size = 0
        return
    pkt.csum_start = <uint16_t>(<int32_t>pkt.csum_start + n_bytes)


cdef uint8_t *packet_push(Packet *pkt, uint32_t n_bytes) noexcept nogil:
    if <size_t>(pkt.data - pkt.buf) < n_bytes:
        return NULL
    pkt.data -= n_bytes
    pkt.length += n_bytes
    move_offsets(pkt, <int32_t>n_bytes)
    return pkt.data


cdef uint8_t *packet_pull(Packet *pkt, uint32_t n_bytes) noexcept nogil:
    if pkt.length < n_bytes:
        return NULL
    pkt.data += n_bytes
    pkt.length -= n_bytes
    move_offsets(pkt, -<int32_t>n_bytes)
    return pkt.data


# -- virtio-net headers ------------------------------------------------------------------------------------------------

cdef uint32_t gso_offload(uint8_t gso_type) noexcept nogil:
    # 0 = a type we do not know (or UFO, which Linux no longer offers).
    cdef uint8_t kind = gso_type & <uint8_t>~VNET_GSO_ECN
    if kind == VNET_GSO_TCPV4:
        return OFFLOAD_TSO4
    if kind == VNET_GSO_TCPV6:
        return OFFLOAD_TSO6
    if kind == VNET_GSO_UDP_L4:
        return OFFLOAD_USO
    return 0


cdef bint gso_lies(const VnetHeader *header, uint32_t length) noexcept nogil:
    """Return whether what the header says of segmentation cannot be true of a frame of `length` bytes."""
    cdef uint32_t offload = gso_offload(header.gso_type)
    cdef bint udp = offload == OFFLOAD_USO
    cdef uint32_t transport = UDP_BYTES if udp else TCP_BYTES
    if offload == 0 or header.gso_size == 0 or (udp and header.gso_type & VNET_GSO_ECN):
        return True
    if not header.flags & VNET_NEEDS_CSUM:
        return False
    if header.csum_offset != (UDP_CSUM_OFFSET if udp else TCP_CSUM_OFFSET):
        return True
    return header.csum_start + transport > length


cdef int packet_from_vnet(Packet *pkt, const uint8_t *vnet) noexcept nogil:
    cdef VnetHeader header
    cdef uint32_t offload = 0
    memcpy(&header, vnet, sizeof(VnetHeader))
    if header.hdr_len > pkt.length:
        return DROP_RX_BAD_VNET_HEADER
    if header.flags & VNET_NEEDS_CSUM:
        if header.csum_start < ETHERNET_BYTES or <uint32_t>header.csum_start + header.csum_offset + 2 > pkt.length:
            return DROP_RX_BAD_VNET_HEADER
        if header.csum_offset == SCTP_CSUM_OFFSET and <uint32_t>header.csum_start + SCTP_CSUM_OFFSET + 4 > pkt.length:
            return DROP_RX_BAD_VNET_HEADER
        offload = OFFLOAD_CSUM_PARTIAL
    elif header.flags & VNET_DATA_VALID:
        offload = OFFLOAD_CSUM_VALID
    if header.gso_type != VNET_GSO_NONE:
        if gso_lies(&header, pkt.length):
            return DROP_RX_BAD_VNET_HEADER
        offload |= gso_offload(header.gso_type)
        if header.gso_type & VNET_GSO_ECN:
            offload |= OFFLOAD_ECN
    pkt.offload = offload
    pkt.gso_size = header.gso_size if offload & OFFLOAD_GSO else 0
    pkt.gso_hdr_length = header.hdr_len if offload & OFFLOAD_GSO else 0
    pkt.csum_start = header.csum_start if offload & OFFLOAD_CSUM_PARTIAL else 0
    pkt.csum_offset = header.csum_offset if offload & OFFLOAD_CSUM_PARTIAL else 0
    return 0


cdef uint16_t headers_length(const Packet *pkt) noexcept nogil:
    # Linux refuses a header length beyond the frame, so a hint that cannot be right is replaced by the least that is.
    cdef uint32_t transport = TCP_BYTES if pkt.csum_offset == TCP_CSUM_OFFSET else UDP_BYTES
    cdef uint32_t least = pkt.csum_start + transport
    if pkt.gso_hdr_length >= least and pkt.gso_hdr_length <= pkt.length:
        return pkt.gso_hdr_length
    return <uint16_t>min(least, pkt.length, <uint32_t>0xffff)


cdef void packet_to_vnet(const Packet *pkt, uint8_t *vnet) noexcept nogil:
    cdef VnetHeader header
    memset(&header, 0, sizeof(VnetHeader))
    if pkt.offload & OFFLOAD_CSUM_PARTIAL:
        header.flags = VNET_NEEDS_CSUM
        header.csum_start = pkt.csum_start
        header.csum_offset = pkt.csum_offset
    elif pkt.offload & OFFLOAD_CSUM_VALID:
        header.flags = VNET_DATA_VALID
    if pkt.offload & OFFLOAD_GSO:
        if pkt.offload & OFFLOAD_TSO4:
            header.gso_type = VNET_GSO_TCPV4
        elif pkt.offload & OFFLOAD_TSO6:
            header.gso_type = VNET_GSO_TCPV6
        else:
            header.gso_type = VNET_GSO_UDP_L4
        if pkt.offload & OFFLOAD_ECN:
            header.gso_type |= VNET_GSO_ECN
        header.gso_size = pkt.gso_size
        header.hdr_len = headers_length(pkt)
    memcpy(vnet, &header, sizeof(VnetHeader))


cdef int packet_complete_csum(Packet *pkt) noexcept nogil:
    cdef uint8_t *start = pkt.data + pkt.csum_start
    cdef uint32_t n_bytes, crc
    cdef uint16_t csum
    if not pkt.offload & OFFLOAD_CSUM_PARTIAL:
        return 0
    if <uint32_t>pkt.csum_start + pkt.csum_offset + 2 > pkt.length:
        return DROP_ACTION_BAD_PACKET
    n_bytes = pkt.length - pkt.csum_start
    if pkt.csum_offset == SCTP_CSUM_OFFSET:
        if n_bytes < SCTP_CSUM_OFFSET + 4:
            return DROP_ACTION_BAD_PACKET
        store_u32(start + SCTP_CSUM_OFFSET, 0)
        crc = crc32c(0, start, n_bytes)
        store_le32(start + SCTP_CSUM_OFFSET, crc)
    else:
        # The field already holds the pseudo-header sum, so it takes part. 0 would mean "no checksum" in UDP and is
        # the same number in the others.
        csum = <uint16_t>~csum_fold(csum_add(0, start, n_bytes))
        store_u16(start + pkt.csum_offset, csum if csum != 0 else <uint16_t>0xffff)
    pkt.offload = (pkt.offload & ~<uint32_t>OFFLOAD_CSUM_PARTIAL) | OFFLOAD_CSUM_VALID
    return 0
