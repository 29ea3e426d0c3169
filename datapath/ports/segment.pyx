"""Software segmentation of TCP and UDP: see segment.pxd.

Place in the packet's path: `port_send`, for outputs without the offload. Cutting copies: a piece is a packet of its
own, so that the source may still be on its way to other ports. Thread rule: the forwarder that sends.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from datapath.bytes cimport htobe16, load_be16, load_be32, store_be16, store_be32, store_u16
from datapath.csum cimport csum_add, csum_fold
from datapath.drops cimport DROP_TX_NO_GSO
from datapath.headers cimport (
    ETHERNET_BYTES, ETH_IPV4, ETH_IPV6, ETH_SVLAN, ETH_VLAN, IP_DSTOPTS, IP_HOPOPTS, IP_ROUTING, IP_TCP, IP_UDP,
    IPV4_BYTES, IPV6_BYTES, TCP_BYTES, VLAN_BYTES,
)
from datapath.packet cimport (
    OFFLOAD_CSUM_VALID, OFFLOAD_TSO4, OFFLOAD_TSO6, OFFLOAD_USO, Packet, packet_alloc,
)

cdef enum:
    UDP_BYTES = 8
    UDP_LENGTH_AT = 4
    UDP_CSUM_AT = 6
    TCP_SEQUENCE_AT = 4
    TCP_OFFSET_AT = 12
    TCP_FLAGS_AT = 13
    TCP_CSUM_AT = 16
    TCP_LAST_ONLY = 0x09       # FIN, PSH
    TCP_FIRST_ONLY = 0x80      # CWR (RFC 3168)
    IPV4_FRAGMENT = 0x3fff     # more fragments, offset
    EXTENSIONS_MAX = 4         # IPv6 extension headers that are looked past
    PIECES_MAX = 8192          # 64 KB with the least segment that Linux takes (8 bytes): no frame makes more work


# -- where the headers are ---------------------------------------------------------------------------------------------

cdef inline bint layer4_ipv4(GsoLayout *layout, const Packet *pkt) noexcept nogil:
    cdef const uint8_t *ip = pkt.data + layout.l3
    cdef uint32_t header
    if layout.l3 + IPV4_BYTES > pkt.length:
        return False
    header = 4 * <uint32_t>(ip[0] & 15)
    if ip[0] >> 4 != 4 or header < IPV4_BYTES or load_be16(ip + 6) & IPV4_FRAGMENT:
        return False
    layout.l4 = layout.l3 + header
    layout.proto = ip[9]
    return True


cdef inline bint layer4_ipv6(GsoLayout *layout, const Packet *pkt) noexcept nogil:
    cdef const uint8_t *ip = pkt.data + layout.l3
    cdef uint32_t i
    if layout.l3 + IPV6_BYTES > pkt.length or ip[0] >> 4 != 6:
        return False
    layout.l4 = layout.l3 + IPV6_BYTES
    layout.proto = ip[6]
    for i in range(<uint32_t>EXTENSIONS_MAX):
        if layout.proto != IP_HOPOPTS and layout.proto != IP_ROUTING and layout.proto != IP_DSTOPTS:
            return True
        if layout.l4 + 8 > pkt.length:
            return False
        layout.proto = pkt.data[layout.l4]
        layout.l4 += 8 * (<uint32_t>pkt.data[layout.l4 + 1] + 1)
    return False


cdef inline bint find_network(GsoLayout *layout, const Packet *pkt) noexcept nogil:
    """Find layers 3 and 4 behind any number of VLAN tags."""
    cdef uint32_t at = ETHERNET_BYTES
    cdef uint16_t kind = load_be16(pkt.data + 12)
    while (kind == ETH_VLAN or kind == ETH_SVLAN) and at + VLAN_BYTES <= pkt.length:
        kind = load_be16(pkt.data + at + 2)
        at += VLAN_BYTES
    layout.l3 = at
    layout.ipv6 = kind == ETH_IPV6
    if layout.ipv6:
        return layer4_ipv6(layout, pkt)
    return kind == ETH_IPV4 and layer4_ipv4(layout, pkt)


cdef bint layout_find(GsoLayout *layout, const Packet *pkt) noexcept nogil:
    cdef uint32_t header
    if pkt.length < ETHERNET_BYTES or not find_network(layout, pkt):
        return False
    if pkt.offload & OFFLOAD_USO:
        layout.payload = layout.l4 + UDP_BYTES
        return layout.proto == IP_UDP and layout.payload <= pkt.length
    if not pkt.offload & (OFFLOAD_TSO6 if layout.ipv6 else OFFLOAD_TSO4) or layout.proto != IP_TCP:
        return False
    if layout.l4 + TCP_BYTES > pkt.length:
        return False
    header = 4 * <uint32_t>(pkt.data[layout.l4 + TCP_OFFSET_AT] >> 4)
    layout.payload = layout.l4 + header
    return header >= TCP_BYTES and layout.payload <= pkt.length


# -- cutting -----------------------------------------------------------------------------------------------------------

cdef int cut_begin(Cut *cut, const Packet *pkt) noexcept nogil:
    cdef const uint8_t *ip
    if pkt.gso_size == 0 or not layout_find(&cut.layout, pkt):
        return DROP_TX_NO_GSO
    cut.source = pkt
    cut.at = cut.layout.payload
    cut.left = pkt.length - cut.at
    if cut.left > <uint32_t>pkt.gso_size * <uint32_t>PIECES_MAX:
        return DROP_TX_NO_GSO
    cut.number = 0
    cut.done = False
    ip = pkt.data + cut.layout.l3
    cut.addresses = csum_add(0, ip + 8, 32) if cut.layout.ipv6 else csum_add(0, ip + 12, 8)
    cut.addresses += htobe16(cut.layout.proto)
    return 0


cdef inline void write_network(const Cut *cut, uint8_t *ip, uint32_t n_bytes) noexcept nogil:
    """Make the IP header that of a packet of n_bytes."""
    cdef uint32_t header
    if cut.layout.ipv6:
        store_be16(ip + 4, <uint16_t>(n_bytes - IPV6_BYTES))
        return
    header = cut.layout.l4 - cut.layout.l3
    store_be16(ip + 2, <uint16_t>n_bytes)
    store_be16(ip + 4, <uint16_t>(load_be16(ip + 4) + cut.number))
    store_u16(ip + 10, 0)
    store_u16(ip + 10, <uint16_t>~csum_fold(csum_add(0, ip, header)))


cdef inline void write_tcp(const Cut *cut, uint8_t *tcp, bint last) noexcept nogil:
    store_be32(tcp + TCP_SEQUENCE_AT,
               load_be32(tcp + TCP_SEQUENCE_AT) + <uint32_t>cut.number * <uint32_t>cut.source.gso_size)
    if not last:
        tcp[TCP_FLAGS_AT] &= <uint8_t>~<uint32_t>TCP_LAST_ONLY
    if cut.number:
        tcp[TCP_FLAGS_AT] &= <uint8_t>~<uint32_t>TCP_FIRST_ONLY


cdef inline void write_transport(const Cut *cut, uint8_t *l4, uint32_t n_bytes, bint last) noexcept nogil:
    """Complete the TCP or UDP header of a segment of n_bytes whose payload is in place."""
    cdef uint8_t *field
    cdef uint16_t csum
    if cut.layout.proto == IP_TCP:
        write_tcp(cut, l4, last)
        field = l4 + TCP_CSUM_AT
    else:
        store_be16(l4 + UDP_LENGTH_AT, <uint16_t>n_bytes)
        field = l4 + UDP_CSUM_AT
    store_u16(field, 0)
    csum = <uint16_t>~csum_fold(csum_add(cut.addresses + htobe16(<uint16_t>n_bytes), l4, n_bytes))
    # 0 would mean "no checksum" in UDP and is the same number in TCP.
    store_u16(field, csum if csum != 0 else <uint16_t>0xffff)


cdef Packet *cut_next(Cut *cut) noexcept nogil:
    cdef const Packet *source = cut.source
    cdef uint32_t headers = cut.layout.payload
    cdef uint32_t part = min(cut.left, <uint32_t>source.gso_size)
    cdef bint last = part == cut.left
    cdef Packet *piece = packet_alloc(source.pool, headers + part)
    if piece == NULL:
        return NULL
    memcpy(piece.data, source.data, headers)
    memcpy(piece.data + headers, source.data + cut.at, part)
    piece.length = headers + part
    piece.in_port = source.in_port
    piece.pkt_mark = source.pkt_mark
    piece.skb_priority = source.skb_priority
    piece.offload = OFFLOAD_CSUM_VALID
    write_network(cut, piece.data + cut.layout.l3, piece.length - cut.layout.l3)
    write_transport(cut, piece.data + cut.layout.l4, piece.length - cut.layout.l4, last)
    cut.at += part
    cut.left -= part
    cut.number += 1
    cut.done = last
    return piece
