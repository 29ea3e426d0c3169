"""Bytes to flow key; see parse.pxd for the contract.

The key is cleared by plain stores and then filled, because the common frame (IPv4, TCP or UDP) sets only a fifth of
it. Neighbours on the wire that are neighbours in the key (MAC addresses, ports) are copied together.
"""

from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

from datapath.act cimport ActOp
from datapath.bytes cimport (
    cursor_left, cursor_limit, cursor_take, htobe16, htobe32, load_be16, load_u16, load_u32, load_u64, store_u32,
    store_u64,
)
from datapath.drops cimport DROP_RX_TOO_SHORT
from datapath.flow_key cimport KEY_PACKET_WORDS, FlowKey
from datapath.headers cimport (
    ARP_BYTES, ETHERNET_BYTES, ETH_ARP, ETH_IPV4, ETH_IPV6, ETH_MIN, ETH_MPLS, ETH_MPLS_MCAST, ETH_NONE, ETH_NSH,
    ETH_RARP, ETH_SVLAN, ETH_VLAN, EXT_AUTH, EXT_DEST, EXT_ESP, EXT_FRAG, EXT_HOP, EXT_NONEXT, EXT_ROUTER, EXT_UNREP,
    EXT_UNSEQ, FRAG_ANY, FRAG_LATER, IPV4_BYTES, IPV6_BYTES, IP_AH, IP_DSTOPTS, IP_ESP, IP_FRAGMENT, IP_HOPOPTS,
    IP_ICMP, IP_ICMPV6, IP_IGMP, IP_NONE, IP_ROUTING, IP_SCTP, IP_TCP, IP_UDP, ND_ADVERT, ND_OPT_SLL, ND_OPT_TLL,
    ND_SOLICIT, TCP_BYTES, VLAN_BYTES, VLAN_PRESENT,
)
from datapath.packet cimport OFS_ABSENT, PacketPool, packet_alloc, packet_release, pool_destroy, pool_init

cdef enum:
    MPLS_LABELS_MAX = 3        # label stack entries kept in the key
    MPLS_BOTTOM = 0x01         # bottom-of-stack bit, in the third byte of an entry
    IPV4_MORE_FRAGMENTS = 0x2000
    IPV4_OFFSET_MASK = 0x1fff
    IPV6_OFFSET_MASK = 0xfff8
    LLC_SNAP_BYTES = 8
    NSH_BASE_BYTES = 8
    NSH_TYPE1_BYTES = 24
    FLOW_LABEL_MASK = 0xfffff
    TAIL_BYTES = 64            # parse_frame() only: room for `behind`
    TCP_FLAGS_MASK = 0x0fff


# -- layer 2 -----------------------------------------------------------------------------------------------------------

cdef inline bint is_vlan(uint16_t eth_type) noexcept nogil:
    return eth_type == ETH_VLAN or eth_type == ETH_SVLAN


# The type behind the VLAN tags; cursor.at is at the two-byte type or 802.3 length.
cdef inline uint16_t parse_ether_type(Cursor *cursor) noexcept nogil:
    cdef uint16_t eth_type = load_be16(cursor.at)
    cursor.at += 2
    if eth_type >= ETH_MIN:
        return eth_type
    return parse_snap(cursor)


cdef uint16_t parse_snap(Cursor *cursor) noexcept nogil:
    cdef const uint8_t *llc = cursor.at
    if cursor_left(cursor) < LLC_SNAP_BYTES:
        return ETH_NONE
    if load_u32(llc) != htobe32(0xaaaa0300) or load_u16(llc + 4) != 0:
        return ETH_NONE
    cursor.at += LLC_SNAP_BYTES
    return max(load_be16(llc + 6), <uint16_t>ETH_NONE)


# A tag counts only when the type behind it is there too.
cdef inline void parse_vlans(Cursor *cursor, PacketKey *key) noexcept nogil:
    if not is_vlan(load_be16(cursor.at)) or cursor_left(cursor) < VLAN_BYTES + 2:
        return
    key.vlan_tpid = load_u16(cursor.at)
    key.vlan_tci = load_u16(cursor.at + 2) | htobe16(VLAN_PRESENT)
    cursor.at += VLAN_BYTES
    if not is_vlan(load_be16(cursor.at)) or cursor_left(cursor) < VLAN_BYTES + 2:
        return
    key.vlan2_tpid = load_u16(cursor.at)
    key.vlan2_tci = load_u16(cursor.at + 2) | htobe16(VLAN_PRESENT)
    cursor.at += VLAN_BYTES


cdef void parse_mpls(Packet *pkt, PacketKey *key, Cursor *cursor) noexcept nogil:
    cdef const uint8_t *entry
    cdef uint32_t n = 0
    pkt.l25_ofs = <uint16_t>(cursor.at - pkt.data)
    while True:
        entry = cursor_take(cursor, 4)
        if entry == NULL:
            return
        if n < MPLS_LABELS_MAX:
            store_u32(<uint8_t *>&key.mpls_lse0 + 4 * n, load_u32(entry))
        n += 1
        if entry[2] & MPLS_BOTTOM:
            # A frame deeper in labels than an offset counts has no layer 3 for us.
            if cursor.at - pkt.data < OFS_ABSENT:
                pkt.l3_ofs = <uint16_t>(cursor.at - pkt.data)
            return


cdef void parse_arp(Packet *pkt, PacketKey *key, Cursor *cursor) noexcept nogil:
    cdef const uint8_t *arp = cursor_take(cursor, ARP_BYTES)
    cdef uint16_t opcode
    # Hardware type Ethernet, protocol IPv4, address lengths 6 and 4.
    if arp == NULL or load_u32(arp) != htobe32(0x00010800) or load_u16(arp + 4) != htobe16(0x0604):
        return
    pkt.l3_ofs = <uint16_t>(arp - pkt.data)
    opcode = load_be16(arp + 6)
    key.nw_proto = <uint8_t>opcode if opcode <= 0xff else 0
    memcpy(key.arp_sha, arp + 8, 6)
    key.ip_src = load_u32(arp + 14)
    memcpy(key.arp_tha, arp + 18, 6)
    key.ip_dst = load_u32(arp + 24)


cdef void parse_nsh(PacketKey *key, Cursor *cursor) noexcept nogil:
    cdef const uint8_t *nsh = cursor.at
    cdef uint16_t word
    cdef uint32_t n_bytes
    if cursor_left(cursor) < NSH_BASE_BYTES:
        return
    # Version 2 bits, flags 2, TTL 6, length in 4-byte words 6 (RFC 8300).
    word = load_be16(nsh)
    n_bytes = <uint32_t>(word & 0x3f) * 4
    if word >> 14 != 0 or n_bytes > cursor_left(cursor):
        return
    if nsh[2] == 1 and n_bytes != NSH_TYPE1_BYTES or n_bytes < NSH_BASE_BYTES:
        return
    key.nsh_flags = word >> 12 & 3
    key.nsh_ttl = word >> 6 & 0x3f
    key.nsh_mdtype = nsh[2]
    key.nsh_np = nsh[3]
    key.nsh_path = load_u32(nsh + 4)
    if nsh[2] == 1:
        memcpy(&key.nsh_c1, nsh + 8, 16)


# -- layer 4 -----------------------------------------------------------------------------------------------------------

# Shortest header of the protocols that the key knows; 0 for the others.
cdef inline uint32_t l4_bytes(uint8_t proto) noexcept nogil:
    if proto == IP_TCP:
        return TCP_BYTES
    if proto == IP_UDP or proto == IP_ICMP or proto == IP_ICMPV6 or proto == IP_IGMP:
        return 8
    return 12 if proto == IP_SCTP else 0


cdef void clear_nd(PacketKey *key) noexcept nogil:
    store_u64(key.nd_target, 0)
    store_u64(&key.nd_target[8], 0)
    store_u64(key.arp_sha, 0)
    store_u32(&key.arp_tha[2], 0)


cdef void parse_nd(PacketKey *key, Cursor *cursor) noexcept nogil:
    cdef const uint8_t *target
    cdef const uint8_t *option
    cdef uint32_t n_bytes
    cdef uint8_t *into
    key.nd_reserved = load_u32(cursor.at + 4)
    cursor.at += 8
    target = cursor_take(cursor, 16)
    if target == NULL:
        return
    memcpy(key.nd_target, target, 16)
    while cursor_left(cursor) >= 8:
        option = cursor.at
        n_bytes = <uint32_t>option[1] * 8
        if n_bytes == 0 or n_bytes > cursor_left(cursor):
            return
        cursor.at += n_bytes
        if n_bytes != 8 or (option[0] != ND_OPT_SLL and option[0] != ND_OPT_TLL):
            continue
        into = &key.arp_sha[0] if option[0] == ND_OPT_SLL else &key.arp_tha[0]
        if load_u32(into) != 0 or load_u16(into + 4) != 0:
            # The same option twice: none of it can be trusted.
            clear_nd(key)
            return
        memcpy(into, option + 2, 6)
        if key.nd_options_type == 0:
            key.nd_options_type = option[0]


cdef void parse_icmp(PacketKey *key, Cursor *cursor, uint8_t proto) noexcept nogil:
    cdef const uint8_t *l4 = cursor.at
    key.tp_src = htobe16(l4[0])
    key.tp_dst = htobe16(l4[1])
    if proto == IP_IGMP:
        key.igmp_group = load_u32(l4 + 4)
    elif proto == IP_ICMPV6 and (l4[0] == ND_SOLICIT or l4[0] == ND_ADVERT) and l4[1] == 0:
        parse_nd(key, cursor)


# The header's own length counts: 20 bytes or more, and no more than the segment.
cdef inline bint tcp_is_whole(const uint8_t *tcp, uint32_t n_left) noexcept nogil:
    cdef uint32_t n_bytes = <uint32_t>(tcp[12] >> 4) * 4
    return TCP_BYTES <= n_bytes <= n_left


cdef inline void parse_l4(Packet *pkt, PacketKey *key, Cursor *cursor, uint8_t proto) noexcept nogil:
    cdef const uint8_t *l4 = cursor.at
    cdef uint32_t n_bytes = l4_bytes(proto)
    cdef uint16_t flags
    if n_bytes == 0 or cursor_left(cursor) < n_bytes or l4 - pkt.data >= OFS_ABSENT:
        return
    if proto == IP_TCP and not tcp_is_whole(l4, cursor_left(cursor)):
        return
    pkt.l4_ofs = <uint16_t>(l4 - pkt.data)
    if proto == IP_TCP:
        flags = load_u16(l4 + 12) & htobe16(TCP_FLAGS_MASK)
        pkt.tcp_flags = htobe16(flags)
        key.tcp_flags = flags
        store_u32(&key.tp_src, load_u32(l4))
    elif proto == IP_UDP or proto == IP_SCTP:
        store_u32(&key.tp_src, load_u32(l4))
    else:
        parse_icmp(key, cursor, proto)


# -- layer 3 -----------------------------------------------------------------------------------------------------------

cdef inline void parse_ipv4(Packet *pkt, PacketKey *key, Cursor *cursor) noexcept nogil:
    cdef const uint8_t *ip = cursor.at
    cdef uint32_t n_header, n_total
    cdef uint16_t frag
    if cursor_left(cursor) < IPV4_BYTES:
        return
    n_header = <uint32_t>(ip[0] & 0x0f) * 4
    n_total = load_be16(ip + 2)
    # The rest of the frame is padding.
    if n_header < IPV4_BYTES or n_header > n_total or cursor_limit(cursor, n_total):
        return
    pkt.l3_ofs = <uint16_t>(ip - pkt.data)
    cursor.at += n_header
    store_u64(&key.ip_src, load_u64(ip + 12))
    key.nw_tos = ip[1]
    key.nw_ttl = ip[8]
    key.nw_proto = ip[9]
    frag = load_be16(ip + 6)
    if frag & (IPV4_MORE_FRAGMENTS | IPV4_OFFSET_MASK):
        key.nw_frag = FRAG_ANY
        if frag & IPV4_OFFSET_MASK:
            key.nw_frag = FRAG_ANY | FRAG_LATER
            return
    parse_l4(pkt, key, cursor, ip[9])


# Note one extension header; `rank` remembers how far in the recommended order (RFC 8200, 4.1) the chain has come.
cdef void note_ext_header(Ip6Chain *chain, uint8_t proto, uint8_t *rank) noexcept nogil:
    cdef uint16_t flag
    cdef uint8_t place
    if proto == IP_HOPOPTS:
        flag, place = EXT_HOP, 1
    elif proto == IP_ROUTING:
        flag, place = EXT_ROUTER, 3
    elif proto == IP_FRAGMENT:
        flag, place = EXT_FRAG, 4
    elif proto == IP_AH:
        flag, place = EXT_AUTH, 5
    else:
        # Destination options may stand before a routing header and once more at the end.
        flag = EXT_DEST
        place = 2 if rank[0] < 2 else 7
    if chain.flags & flag and not (flag == EXT_DEST and rank[0] != 7):
        chain.flags |= EXT_UNREP
    elif place < rank[0]:
        chain.flags |= EXT_UNSEQ
    chain.flags |= flag
    rank[0] = max(rank[0], place)


cdef void note_last_header(Ip6Chain *chain) noexcept nogil:
    if chain.proto == IP_ESP:
        chain.flags |= EXT_ESP
    elif chain.proto == IP_NONE:
        chain.flags |= EXT_NONEXT


cdef inline bint is_ext_header(uint8_t proto) noexcept nogil:
    return (proto == IP_HOPOPTS or proto == IP_ROUTING or proto == IP_FRAGMENT or proto == IP_AH
            or proto == IP_DSTOPTS)


cdef bint parse_ip6_chain(Cursor *cursor, Ip6Chain *chain) noexcept nogil:
    cdef const uint8_t *header
    cdef uint32_t n_bytes
    cdef uint16_t offset
    cdef uint8_t proto, rank = 0
    while is_ext_header(chain.proto):
        header = cursor.at
        proto = chain.proto
        if cursor_left(cursor) < 8:
            return True
        note_ext_header(chain, proto, &rank)
        n_bytes = 8
        if proto == IP_AH:
            n_bytes = (<uint32_t>header[1] + 2) * 4
        elif proto != IP_FRAGMENT:
            n_bytes = (<uint32_t>header[1] + 1) * 8
        if cursor_take(cursor, n_bytes) == NULL:
            return True
        chain.proto = header[0]
        if proto == IP_ROUTING and header[3] != 0:
            chain.routed = True
        if proto == IP_FRAGMENT and load_u16(header + 2) != 0:
            chain.frag = FRAG_ANY
            offset = load_be16(header + 2) & IPV6_OFFSET_MASK
            if offset != 0:
                chain.frag = FRAG_ANY | FRAG_LATER
                chain.proto = IP_FRAGMENT
                return False
    note_last_header(chain)
    return False


cdef void parse_ipv6(Packet *pkt, PacketKey *key, Cursor *cursor) noexcept nogil:
    cdef const uint8_t *ip = cursor_take(cursor, IPV6_BYTES)
    cdef Ip6Chain chain
    if ip == NULL or cursor_limit(cursor, load_be16(ip + 4)):
        return
    pkt.l3_ofs = <uint16_t>(ip - pkt.data)
    memcpy(key.ipv6_src, ip + 8, 32)
    chain.proto = ip[6]
    chain.frag = 0
    chain.flags = 0
    chain.routed = False
    if parse_ip6_chain(cursor, &chain):
        return
    key.ipv6_label = load_u32(ip) & htobe32(FLOW_LABEL_MASK)
    key.ipv6_exthdr = htobe16(chain.flags)
    key.nw_tos = <uint8_t>(ip[0] << 4 | ip[1] >> 4)
    key.nw_ttl = ip[7]
    key.nw_proto = chain.proto
    key.nw_frag = chain.frag
    if not chain.frag & FRAG_LATER:
        parse_l4(pkt, key, cursor, chain.proto)


# -- the frame ---------------------------------------------------------------------------------------------------------

# Unrolled by hand: gcc -O2 turns a loop or memset() of 256 bytes into `rep stos`. Measured, IPv4/UDP frame parsed from
# a warm cache, median of 7 runs of 2 million: 20 ns with memset(), 6 ns with these stores.
cdef inline void clear_8_words(uint64_t *word) noexcept nogil:
    word[0] = 0
    word[1] = 0
    word[2] = 0
    word[3] = 0
    word[4] = 0
    word[5] = 0
    word[6] = 0
    word[7] = 0


cdef inline void start_key(const Packet *pkt, PacketKey *key) noexcept nogil:
    cdef uint64_t *words = <uint64_t *>key
    clear_8_words(words)
    clear_8_words(words + 8)
    clear_8_words(words + 16)
    clear_8_words(words + 24)
    key.in_port = htobe32(pkt.in_port)
    key.recirc_id = htobe32(pkt.recirc_id)
    key.dp_hash = htobe32(pkt.dp_hash)
    key.pkt_mark = htobe32(pkt.pkt_mark)
    key.skb_priority = htobe32(pkt.skb_priority)


cdef int parse(Packet *pkt, PacketKey *key) noexcept nogil:
    cdef Cursor cursor
    cdef uint16_t eth_type
    if pkt.length < ETHERNET_BYTES:
        return DROP_RX_TOO_SHORT
    start_key(pkt, key)
    pkt.l3_ofs = pkt.l4_ofs = pkt.l25_ofs = OFS_ABSENT
    pkt.tcp_flags = 0
    memcpy(key.eth_dst, pkt.data, 12)
    cursor.at = pkt.data + 12
    cursor.end = pkt.data + pkt.length
    parse_vlans(&cursor, key)
    eth_type = parse_ether_type(&cursor)
    key.eth_type = htobe16(eth_type)
    if eth_type == ETH_IPV4:
        parse_ipv4(pkt, key, &cursor)
    elif eth_type == ETH_IPV6:
        parse_ipv6(pkt, key, &cursor)
    elif eth_type == ETH_ARP or eth_type == ETH_RARP:
        parse_arp(pkt, key, &cursor)
    elif eth_type == ETH_MPLS or eth_type == ETH_MPLS_MCAST:
        parse_mpls(pkt, key, &cursor)
    elif eth_type == ETH_NSH:
        parse_nsh(key, &cursor)
    return 0


def parse_frame(bytes frame, uint32_t in_port=0, bytes behind=b"") -> tuple:
    """Parse one frame as the forwarder does; for tests, trace and embedding.

    frame: bytes from the Ethernet header on; in_port: datapath port number; behind: what an earlier
    frame left in the buffer behind this one. Returns (drop reason number or 0, key
    bytes of KEY_PACKET_WORDS words, l3_ofs, l4_ofs, l25_ofs, TCP flags), offsets in bytes or None. Raises
    MemoryError, and ValueError for a frame too long for any buffer.
    """
    cdef PacketPool pool
    cdef PacketKey key
    cdef Packet *pkt
    cdef int reason
    memset(&key, 0, sizeof(PacketKey))
    pool_init(&pool, 1, 1)
    pkt = packet_alloc(&pool, <uint32_t>len(frame) + TAIL_BYTES)
    if pkt == NULL:
        raise ValueError(f"no buffer for a frame of {len(frame)} bytes")
    memcpy(pkt.data, <const uint8_t *>frame, len(frame))
    memcpy(pkt.data + len(frame), <const uint8_t *>behind, min(<size_t>len(behind), <size_t>TAIL_BYTES))
    pkt.length = <uint32_t>len(frame)
    pkt.in_port = in_port
    reason = parse(pkt, &key)
    offsets = tuple(None if ofs == OFS_ABSENT else ofs for ofs in (pkt.l3_ofs, pkt.l4_ofs, pkt.l25_ofs))
    result = (reason, (<const uint8_t *>&key)[: KEY_PACKET_WORDS * 8], *offsets, pkt.tcp_flags)
    packet_release(pkt)
    pool_destroy(&pool)
    return result


def struct_sizes() -> dict[str, int]:
    """Return the sizes in bytes that the compiler gave to the structs of the tables; for the test of the layout."""
    return {
        "PacketKey": sizeof(PacketKey), "FlowKey": sizeof(FlowKey), "ActOp": sizeof(ActOp), "Packet": sizeof(Packet),
    }
