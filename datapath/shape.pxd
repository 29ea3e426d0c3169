"""Shapes: which headers a frame has and where they sit, told from a few of its bytes, before any parsing.

Frames of one shape have their header values at the same places, and every slot of the flow key that is not in the
frame has the same value. So two frames of one shape, from one port, that agree in the bits that megaflows read agree in
all that decides their megaflow. Anything unusual (options, fragments, extension headers, neighbour discovery, a length
that lies) has no shape and is parsed.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from datapath.bytes cimport htobe16, load_be16, load_u16
from datapath.headers cimport (
    ARP_BYTES, ETHERNET_BYTES, ETH_ARP, ETH_IPV4, ETH_IPV6, ETH_SVLAN, ETH_VLAN, IPV4_BYTES, IPV6_BYTES, IP_ICMP,
    IP_ICMPV6, IP_TCP, IP_UDP, ND_ADVERT, ND_SOLICIT, TCP_BYTES, VLAN_BYTES,
)

cdef enum:
    WINDOW_WORDS = 16          # of a frame, from its first byte: all headers of every shape lie in it
    NEAR_WORDS = 8             # those that are always compared
    UDP_BYTES = 8
    ICMP_BYTES = 8

cdef enum ShapeKind:           # what follows the Ethernet header and its tags
    KIND_NONE = 0              # no shape
    KIND_TCP4 = 1
    KIND_UDP4 = 2
    KIND_ICMP4 = 3
    KIND_TCP6 = 4
    KIND_UDP6 = 5
    KIND_ICMP6 = 6             # without neighbour discovery
    KIND_ARP = 7
    N_KINDS = 8

cdef enum:
    N_SHAPES = 24              # N_KINDS * (0 to 2 VLAN tags); a shape is tags * N_KINDS + kind
    SHAPE_TAGS_MAX = 2

cdef struct ShapeMask:         # the bits of a shape's frames that megaflows read
    uint64_t[WINDOW_WORDS] words           # in the frame's own order
    uint64_t far               # words behind NEAR_WORDS are among them
    uint64_t[7] reserved       # to whole cache lines

cdef struct ShapePlace:        # where the layers are, bytes from the start of the frame
    uint16_t l3_ofs
    uint16_t l4_ofs            # OFS_ABSENT for ARP

cdef ShapePlace[N_SHAPES] SHAPE_PLACES
cdef uint32_t[N_SHAPES] SHAPE_HEADERS  # Header bits (edit.pxd) of each shape's frames

# Add what a megaflow's mask (KEY_PACKET_WORDS words of the key) reads of this shape's frames.
cdef void shape_mask_add(ShapeMask *into, uint32_t shape, const uint64_t *mask) noexcept nogil


cdef inline bint tag_follows(uint16_t type_be) noexcept nogil:
    return type_be == htobe16(ETH_VLAN) or type_be == htobe16(ETH_SVLAN)


# ip: the IPv4 header; n_bytes: from there to the end of the frame.
cdef inline uint32_t kind_of_ipv4(const uint8_t *ip, uint32_t n_bytes) noexcept nogil:
    cdef uint32_t total = load_be16(ip + 2), rest
    if ip[0] != 0x45 or load_u16(ip + 6) & htobe16(0x3fff) or total > n_bytes or total < IPV4_BYTES + UDP_BYTES:
        return KIND_NONE
    if ip[9] == IP_UDP:
        return KIND_UDP4
    if ip[9] == IP_TCP:
        rest = <uint32_t>(ip[IPV4_BYTES + 12] >> 4) * 4
        return KIND_TCP4 if total >= IPV4_BYTES + TCP_BYTES and TCP_BYTES <= rest <= total - IPV4_BYTES else KIND_NONE
    return KIND_ICMP4 if ip[9] == IP_ICMP else KIND_NONE


cdef inline uint32_t kind_of_ipv6(const uint8_t *ip, uint32_t n_bytes) noexcept nogil:
    cdef uint32_t n_payload = load_be16(ip + 4), rest
    cdef const uint8_t *l4 = ip + IPV6_BYTES
    if n_bytes < IPV6_BYTES + UDP_BYTES or n_payload > n_bytes - IPV6_BYTES or n_payload < UDP_BYTES:
        return KIND_NONE
    if ip[6] == IP_UDP:
        return KIND_UDP6
    if ip[6] == IP_TCP:
        rest = <uint32_t>(l4[12] >> 4) * 4 if n_payload >= TCP_BYTES else 0
        return KIND_TCP6 if TCP_BYTES <= rest <= n_payload else KIND_NONE
    if ip[6] == IP_ICMPV6 and l4[0] != ND_SOLICIT and l4[0] != ND_ADVERT:
        return KIND_ICMP6
    return KIND_NONE


# Hardware type Ethernet, protocol IPv4, address lengths 6 and 4, an opcode that the key can hold.
cdef inline uint32_t kind_of_arp(const uint8_t *arp) noexcept nogil:
    cdef bint usual = (load_be16(arp) == 1 and load_be16(arp + 2) == ETH_IPV4 and load_be16(arp + 4) == 0x0604
                       and arp[6] == 0)
    return KIND_ARP if usual else KIND_NONE


# The shape of a frame; shape % N_KINDS is KIND_NONE when it has none. Reads `length` bytes at most.
cdef inline uint32_t shape_of(const uint8_t *data, uint32_t length) noexcept nogil:
    cdef uint32_t at = ETHERNET_BYTES, tags = 0
    cdef uint16_t type_be
    if length < ETHERNET_BYTES + ARP_BYTES:
        return KIND_NONE
    type_be = load_u16(data + 12)
    while tag_follows(type_be) and tags < SHAPE_TAGS_MAX:
        type_be = load_u16(data + at + 2)
        at += VLAN_BYTES
        tags += 1
    if length < at + ARP_BYTES:
        return KIND_NONE
    if type_be == htobe16(ETH_IPV4):
        return tags * N_KINDS + kind_of_ipv4(data + at, length - at)
    if type_be == htobe16(ETH_IPV6):
        return tags * N_KINDS + kind_of_ipv6(data + at, length - at)
    if type_be == htobe16(ETH_ARP):
        return tags * N_KINDS + kind_of_arp(data + at)
    return KIND_NONE


cdef inline bint shape_is_tcp(uint32_t shape) noexcept nogil:
    return shape % N_KINDS == KIND_TCP4 or shape % N_KINDS == KIND_TCP6
