"""See partial.pxd. Some 4 ns a packet: three compares and a sum of 12 or 36 bytes that are in the cache anyway."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from datapath.bytes cimport htobe16, load_be16, load_u16, load_u32
from datapath.csum cimport csum_add, csum_fold
from datapath.headers cimport (
    ETHERNET_BYTES, ETH_IPV4, ETH_IPV6, ETH_SVLAN, ETH_VLAN, IP_SCTP, IP_TCP, IP_UDP, IPV4_BYTES, IPV6_BYTES,
    VLAN_BYTES,
)
from datapath.packet cimport LARGE_FRAME_MAX, OFFLOAD_CSUM_PARTIAL, Packet

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memset

from vslib.errors import ConfigError

cdef enum:
    TAGS_MAX = 2
    IPV4_FRAGMENT = 0x3fff     # more fragments, offset
    TCP_CSUM_AT = 16
    UDP_CSUM_AT = 6
    SCTP_CSUM_AT = 8
    UDP_LEAST = 8              # bytes of the headers
    TCP_LEAST = 20
    SCTP_LEAST = 12


cdef struct Layer4:            # what is needed of the layers below
    uint32_t start             # from the Ethernet header
    uint32_t n_bytes           # header and payload
    uint64_t addresses         # running sum of both addresses
    uint8_t proto


cdef inline bint ipv4_layer(const uint8_t *ip, uint32_t at, uint32_t room, Layer4 *l4) noexcept nogil:
    cdef uint32_t header = 4 * <uint32_t>(ip[0] & 15)
    cdef uint32_t total = load_be16(ip + 2)
    if ip[0] >> 4 != 4 or header < IPV4_BYTES or total > room or total < header:
        return False
    if load_be16(ip + 6) & IPV4_FRAGMENT:
        return False
    l4.start = at + header
    l4.n_bytes = total - header
    l4.addresses = csum_add(0, ip + 12, 8)
    l4.proto = ip[9]
    return True


cdef inline bint ipv6_layer(const uint8_t *ip, uint32_t at, uint32_t room, Layer4 *l4) noexcept nogil:
    cdef uint32_t n_bytes = load_be16(ip + 4)
    if ip[0] >> 4 != 6 or IPV6_BYTES + n_bytes > room:
        return False
    l4.start = at + IPV6_BYTES
    l4.n_bytes = n_bytes
    l4.addresses = csum_add(0, ip + 8, 32)
    l4.proto = ip[6]
    return True


cdef inline bint find_layer(const Packet *pkt, Layer4 *l4) noexcept nogil:
    """Fill in l4; False if the frame has no whole layer 4."""
    cdef uint32_t at = ETHERNET_BYTES
    cdef uint32_t tags = 0
    cdef uint16_t kind = load_be16(pkt.data + 12)
    while (kind == ETH_VLAN or kind == ETH_SVLAN) and tags < TAGS_MAX and at + VLAN_BYTES <= pkt.length:
        kind = load_be16(pkt.data + at + 2)
        at += VLAN_BYTES
        tags += 1
    if kind == ETH_IPV4 and at + IPV4_BYTES <= pkt.length:
        return ipv4_layer(pkt.data + at, at, pkt.length - at, l4)
    if kind == ETH_IPV6 and at + IPV6_BYTES <= pkt.length:
        return ipv6_layer(pkt.data + at, at, pkt.length - at, l4)
    return False


cdef inline bint holds_pseudo_sum(const uint8_t *field, const Layer4 *l4) noexcept nogil:
    cdef uint64_t sum = l4.addresses + htobe16(<uint16_t>l4.n_bytes) + htobe16(l4.proto)
    return load_u16(field) == csum_fold(sum)


cdef void partial_find(Packet *pkt) noexcept nogil:
    cdef Layer4 l4
    cdef uint32_t offset
    cdef const uint8_t *start
    if not find_layer(pkt, &l4):
        return
    start = pkt.data + l4.start
    if l4.proto == IP_UDP and l4.n_bytes >= UDP_LEAST:
        offset = UDP_CSUM_AT
    elif l4.proto == IP_TCP and l4.n_bytes >= TCP_LEAST:
        offset = TCP_CSUM_AT
    elif l4.proto == IP_SCTP and l4.n_bytes >= SCTP_LEAST and load_u32(start + SCTP_CSUM_AT) == 0:
        pkt.offload |= OFFLOAD_CSUM_PARTIAL
        pkt.csum_start = <uint16_t>l4.start
        pkt.csum_offset = SCTP_CSUM_AT
        return
    else:
        return
    if holds_pseudo_sum(start + offset, &l4):
        pkt.offload |= OFFLOAD_CSUM_PARTIAL
        pkt.csum_start = <uint16_t>l4.start
        pkt.csum_offset = <uint16_t>offset


def unfinished(bytes frame not None) -> tuple[int, int] | None:
    """Return where the sum of an unfinished checksum starts and where from there it is stored, in bytes; else None.

    For tests. Raises ConfigError for a frame of no length that a port receives.
    """
    cdef Packet pkt
    if not ETHERNET_BYTES <= PyBytes_GET_SIZE(frame) <= LARGE_FRAME_MAX:
        raise ConfigError(f"a frame of {len(frame)} bytes is none")
    memset(&pkt, 0, sizeof(pkt))
    pkt.data = <uint8_t *>PyBytes_AS_STRING(frame)
    pkt.length = <uint32_t>PyBytes_GET_SIZE(frame)
    partial_find(&pkt)
    return (pkt.csum_start, pkt.csum_offset) if pkt.offload else None
