"""ofp_match of OpenFlow 1.0, both ways; see match.pxd. Layout and wildcard bits: OpenFlow 1.0.1 specification,
5.2.3.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memset

from datapath.bytes cimport load_be16 as get16, load_be32 as get32, store_be16 as put16, store_be32 as put32
from datapath.flow_key cimport FlowKey
from datapath.headers cimport (
    ETH_ARP, ETH_IPV4, ETH_IPV6, ETH_RARP, IP_ICMP, IP_ICMPV6, IP_SCTP, IP_TCP, IP_UDP, VLAN_PCP, VLAN_PRESENT,
    VLAN_VID,
)
from ofproto.codec cimport all_zero, port_from16

cdef enum Wildcard:
    WILD_IN_PORT = 0x1
    WILD_DL_VLAN = 0x2
    WILD_DL_SRC = 0x4
    WILD_DL_DST = 0x8
    WILD_DL_TYPE = 0x10
    WILD_NW_PROTO = 0x20
    WILD_TP_SRC = 0x40
    WILD_TP_DST = 0x80
    NW_SRC_SHIFT = 8               # six bits: how many low bits of the address are wild, 32 and more = all
    NW_DST_SHIFT = 14
    WILD_DL_VLAN_PCP = 0x100000
    WILD_NW_TOS = 0x200000
    WILD_ALL = 0x3fffff

cdef enum At:                      # byte offsets in ofp_match
    AT_IN_PORT = 4
    AT_DL_SRC = 6
    AT_DL_DST = 12
    AT_DL_VLAN = 18
    AT_DL_VLAN_PCP = 20
    AT_DL_TYPE = 22
    AT_NW_TOS = 24
    AT_NW_PROTO = 25
    AT_NW_SRC = 28
    AT_NW_DST = 32
    AT_TP_SRC = 36
    AT_TP_DST = 38

cdef enum:
    VLAN_NONE = 0xffff             # dl_vlan of an untagged frame
    DSCP_MASK = 0xfc


# -- reading ---------------------------------------------------------------------------------------------------------

cdef inline void set16(void *value, void *mask, uint32_t v, uint32_t m) noexcept nogil:
    put16(value, v & m)
    put16(mask, m)


cdef inline uint32_t prefix_mask(uint32_t wild_bits) noexcept nogil:
    return 0 if wild_bits >= 32 else <uint32_t>0xffffffffU << wild_bits


cdef void read_vlan(const uint8_t *p, uint32_t wild, Match *out) noexcept nogil:
    cdef uint32_t vid = get16(p + AT_DL_VLAN), pcp = <uint32_t>(p + AT_DL_VLAN_PCP)[0] << 13 & VLAN_PCP, mask = 0
    if not wild & WILD_DL_VLAN and vid == VLAN_NONE:
        # A priority makes no sense here; Open vSwitch ignores it.
        set16(&out.value.pkt.vlan_tci, &out.mask.pkt.vlan_tci, 0, 0xffff)
        return
    if not wild & WILD_DL_VLAN:
        mask |= VLAN_VID | VLAN_PRESENT
    if not wild & WILD_DL_VLAN_PCP:
        mask |= VLAN_PCP | VLAN_PRESENT
    set16(&out.value.pkt.vlan_tci, &out.mask.pkt.vlan_tci, (vid & VLAN_VID) | pcp | VLAN_PRESENT, mask)


cdef void read_addresses(const uint8_t *p, uint32_t wild, Match *out) noexcept nogil:
    cdef uint32_t src = prefix_mask(wild >> NW_SRC_SHIFT & 63), dst = prefix_mask(wild >> NW_DST_SHIFT & 63)
    put32(&out.value.pkt.ip_src, get32(p + AT_NW_SRC) & src)
    put32(&out.mask.pkt.ip_src, src)
    put32(&out.value.pkt.ip_dst, get32(p + AT_NW_DST) & dst)
    put32(&out.mask.pkt.ip_dst, dst)


cdef inline uint32_t port_mask(bint icmp, uint32_t v) noexcept nogil:
    # An ICMP type has 8 bits, so that the flow equals one that OXM wrote; a larger number can match nothing.
    return 0xff if icmp and v <= 0xff else 0xffff


cdef void read_ports(const uint8_t *p, uint32_t wild, uint32_t eth_type, Match *out) noexcept nogil:
    cdef uint8_t proto = out.value.pkt.nw_proto
    cdef bint icmp = proto == (IP_ICMP if eth_type == ETH_IPV4 else IP_ICMPV6)
    cdef uint32_t v
    if not icmp and proto != IP_TCP and proto != IP_UDP and proto != IP_SCTP:
        return
    if not wild & WILD_TP_SRC:
        v = get16(p + AT_TP_SRC)
        set16(&out.value.pkt.tp_src, &out.mask.pkt.tp_src, v, port_mask(icmp, v))
    if not wild & WILD_TP_DST:
        v = get16(p + AT_TP_DST)
        set16(&out.value.pkt.tp_dst, &out.mask.pkt.tp_dst, v, port_mask(icmp, v))


cdef void read_network(const uint8_t *p, uint32_t wild, uint32_t eth_type, Match *out) noexcept nogil:
    cdef bint ip = eth_type == ETH_IPV4 or eth_type == ETH_IPV6
    cdef bint arp = eth_type == ETH_ARP or eth_type == ETH_RARP
    if not ip and not arp:
        return
    if not wild & WILD_NW_PROTO:
        out.value.pkt.nw_proto = (p + AT_NW_PROTO)[0]
        out.mask.pkt.nw_proto = 0xff
    if eth_type != ETH_IPV6:
        read_addresses(p, wild, out)
    if ip and not wild & WILD_NW_TOS:
        out.value.pkt.nw_tos = (p + AT_NW_TOS)[0] & DSCP_MASK
        out.mask.pkt.nw_tos = DSCP_MASK
    if ip:
        read_ports(p, wild, eth_type, out)


cdef bint match10_decode(const uint8_t *p, Match *out) noexcept nogil:
    cdef uint32_t wild = get32(p) & WILD_ALL, eth_type = 0
    memset(out, 0, sizeof(Match))
    if not wild & WILD_IN_PORT:
        put32(&out.value.pkt.in_port, port_from16(get16(p + AT_IN_PORT)))
        put32(&out.mask.pkt.in_port, 0xffffffffU)
    if not wild & WILD_DL_SRC:
        memcpy(out.value.pkt.eth_src, p + AT_DL_SRC, 6)
        memset(out.mask.pkt.eth_src, 0xff, 6)
    if not wild & WILD_DL_DST:
        memcpy(out.value.pkt.eth_dst, p + AT_DL_DST, 6)
        memset(out.mask.pkt.eth_dst, 0xff, 6)
    if not wild & WILD_DL_TYPE:
        eth_type = get16(p + AT_DL_TYPE)
        set16(&out.value.pkt.eth_type, &out.mask.pkt.eth_type, eth_type, 0xffff)
    read_vlan(p, wild, out)
    read_network(p, wild, eth_type, out)
    return wild == 0


# -- writing ---------------------------------------------------------------------------------------------------------

cdef uint32_t write_vlan(uint8_t *p, const Match *match) noexcept nogil:
    # Returns the wildcard bits that remain set.
    cdef uint32_t value = get16(&match.value.pkt.vlan_tci), mask = get16(&match.mask.pkt.vlan_tci), wild = 0
    if mask & VLAN_PRESENT and not value & VLAN_PRESENT:
        put16(p + AT_DL_VLAN, VLAN_NONE)
        return 0
    if mask & VLAN_VID:
        put16(p + AT_DL_VLAN, value & VLAN_VID)
    else:
        wild |= WILD_DL_VLAN
    if mask & VLAN_PCP:
        (p + AT_DL_VLAN_PCP)[0] = <uint8_t>(value >> 13)
    else:
        wild |= WILD_DL_VLAN_PCP
    return wild


cdef uint32_t write_address(uint8_t *p, const void *value, const void *mask) noexcept nogil:
    # Returns the number of wild low bits; holes in the mask cannot be said and are filled, as Open vSwitch does.
    cdef uint32_t m = get32(mask), wild = 0
    while wild < 32 and not m & (<uint32_t>1 << wild):
        wild += 1
    put32(p, get32(value) & prefix_mask(wild))
    return wild


cdef void match10_encode(uint8_t *p, const Match *match) noexcept nogil:
    cdef uint32_t wild = WILD_ALL & ~<uint32_t>(0xfff << NW_SRC_SHIFT)
    cdef const FlowKey *mask = &match.mask
    if mask.pkt.in_port:
        wild &= ~<uint32_t>WILD_IN_PORT
        put16(p + AT_IN_PORT, get32(&match.value.pkt.in_port) & 0xffff)
    if not all_zero(mask.pkt.eth_src, 6):
        wild &= ~<uint32_t>WILD_DL_SRC
        memcpy(p + AT_DL_SRC, match.value.pkt.eth_src, 6)
    if not all_zero(mask.pkt.eth_dst, 6):
        wild &= ~<uint32_t>WILD_DL_DST
        memcpy(p + AT_DL_DST, match.value.pkt.eth_dst, 6)
    if mask.pkt.eth_type:
        wild &= ~<uint32_t>WILD_DL_TYPE
        put16(p + AT_DL_TYPE, get16(&match.value.pkt.eth_type))
    wild = (wild & ~<uint32_t>(WILD_DL_VLAN | WILD_DL_VLAN_PCP)) | write_vlan(p, match)
    if mask.pkt.nw_tos & DSCP_MASK:
        wild &= ~<uint32_t>WILD_NW_TOS
        (p + AT_NW_TOS)[0] = match.value.pkt.nw_tos & DSCP_MASK
    if mask.pkt.nw_proto:
        wild &= ~<uint32_t>WILD_NW_PROTO
        (p + AT_NW_PROTO)[0] = match.value.pkt.nw_proto
    if mask.pkt.tp_src:
        wild &= ~<uint32_t>WILD_TP_SRC
        put16(p + AT_TP_SRC, get16(&match.value.pkt.tp_src))
    if mask.pkt.tp_dst:
        wild &= ~<uint32_t>WILD_TP_DST
        put16(p + AT_TP_DST, get16(&match.value.pkt.tp_dst))
    wild |= write_address(p + AT_NW_SRC, &match.value.pkt.ip_src, &mask.pkt.ip_src) << NW_SRC_SHIFT
    wild |= write_address(p + AT_NW_DST, &match.value.pkt.ip_dst, &mask.pkt.ip_dst) << NW_DST_SHIFT
    put32(p, wild)
