"""Header rewrites driven by one table; see edit.pxd for the contract.

EDITS says, per slot and header, where the bytes lie and which checksums cover them. A rewrite finds the headers that
the frame has, takes the slot's row for one of them, sums the 16-bit words around the bytes before and after, and lets
the difference flow into the checksums (RFC 1624). Headers are found through the layer offsets and the EtherType,
which stands directly in front of layer 3 in every encapsulation we parse.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset

from datapath.bytes cimport Cursor, load_be16, load_le32, load_u16, store_be16, store_le32, store_u16
from datapath.csum cimport crc32c, csum_add, csum_update, csum_update_partial
from datapath.drops cimport DROP_ACTION_BAD_PACKET
from datapath.flow_key cimport N_SLOTS, PacketKey
from datapath.headers cimport (
    ETH_ARP, ETH_IPV4, ETH_IPV6, ETH_RARP, ETH_SVLAN, ETH_VLAN, FRAG_LATER, IPV6_BYTES, IP_ICMP, IP_ICMPV6, IP_SCTP,
    IP_TCP, IP_UDP, ND_ADVERT, ND_OPT_SLL, ND_OPT_TLL, ND_SOLICIT, VLAN_BYTES, VLAN_PRESENT,
)
from datapath.packet cimport (
    OFFLOAD_CSUM_PARTIAL, OFS_ABSENT, PacketPool, packet_alloc, packet_pull, packet_push, packet_release, pool_destroy,
    pool_init,
)
from datapath.parse cimport Ip6Chain, parse, parse_ip6_chain

from datapath.slots import places
from vslib.errors import InternalError

cdef enum:
    FIELD_MAX = 16             # bytes of the longest slot that can be written
    ROWS_MAX = 40
    GUARD = 0x5a               # guarded_packet() only: what must stay behind the frame
    GUARD_BYTES = 64
    ND_BYTES = 24              # header and target
    IPV4_CSUM = 10             # where checksums are, from their header
    TCP_CSUM = 16
    UDP_CSUM = 6
    ICMP_CSUM = 2
    SCTP_CSUM = 8

cdef EditRow[ROWS_MAX] rows            # EDITS, sorted by slot
cdef uint8_t[N_SLOTS + 1] first_row    # rows[first_row[slot]..first_row[slot + 1]) are the slot's

# slot, headers, base, offset, bytes on the wire, twist, bits never written
EDITS = (
    ("eth_dst", HAS_ETH, AT_FRAME, 0, 6, 0, b""),
    ("eth_src", HAS_ETH, AT_FRAME, 6, 6, 0, b""),
    ("vlan_tci", HAS_VLAN, AT_FRAME, 14, 2, 0, b"\x10\x00"),
    ("mpls_lse0", HAS_MPLS, AT_MPLS, 0, 4, 0, b""),
    ("ip_src", HAS_IP4, AT_L3, 12, 4, SUM_IP4 | SUM_PSEUDO, b""),
    ("ip_src", HAS_ARP, AT_L3, 14, 4, 0, b""),
    ("ip_dst", HAS_IP4, AT_L3, 16, 4, SUM_IP4 | SUM_PSEUDO, b""),
    ("ip_dst", HAS_ARP, AT_L3, 24, 4, 0, b""),
    ("nw_tos", HAS_IP4, AT_L3, 1, 1, SUM_IP4, b""),
    ("nw_tos", HAS_IP6, AT_L3, 0, 2, NIBBLE_UP, b""),
    ("nw_ttl", HAS_IP4, AT_L3, 8, 1, SUM_IP4, b""),
    ("nw_ttl", HAS_IP6, AT_L3, 7, 1, 0, b""),
    ("nw_proto", HAS_ARP, AT_L3, 7, 1, HIGH_ZERO, b""),
    ("ipv6_src", HAS_IP6, AT_L3, 8, 16, SUM_PSEUDO, b""),
    ("ipv6_dst", HAS_IP6, AT_L3, 24, 16, SUM_PSEUDO | ROUTED, b""),
    ("ipv6_label", HAS_IP6, AT_L3, 0, 4, 0, b"\xff\xf0\x00\x00"),
    ("arp_sha", HAS_ARP, AT_L3, 8, 6, 0, b""),
    ("arp_sha", HAS_ND, AT_SLL, 2, 6, SUM_L4, b""),
    ("arp_tha", HAS_ARP, AT_L3, 18, 6, 0, b""),
    ("arp_tha", HAS_ND, AT_TLL, 2, 6, SUM_L4, b""),
    ("nd_target", HAS_ND, AT_L4, 8, 16, SUM_L4, b""),
    ("nd_reserved", HAS_ND, AT_L4, 4, 4, SUM_L4, b""),
    ("tp_src", HAS_PORTS, AT_L4, 0, 2, SUM_L4, b""),
    ("tp_src", HAS_ANY_ICMP, AT_L4, 0, 1, SUM_L4 | LOW_BYTE, b""),
    ("tp_dst", HAS_PORTS, AT_L4, 2, 2, SUM_L4, b""),
    ("tp_dst", HAS_ANY_ICMP, AT_L4, 1, 1, SUM_L4 | LOW_BYTE, b""),
)


def fill_rows() -> None:
    """Turn EDITS into the C rows, once, at import."""
    numbers = {name: place.number for name, place in places().items()}
    ordered = sorted(EDITS, key=lambda row: numbers[row[0]])
    cdef uint32_t i, slot
    for i, (name, headers, base, offset, n_bytes, twist, keep) in enumerate(ordered):
        rows[i].slot = numbers[name]
        rows[i].headers = headers
        rows[i].base = base
        rows[i].offset = offset
        rows[i].n_bytes = n_bytes
        rows[i].twist = twist
        for slot, bits in enumerate(keep):
            rows[i].keep[slot] = bits
    for slot in range(N_SLOTS + 1):
        first_row[slot] = sum(1 for row in ordered if numbers[row[0]] < slot)


fill_rows()


# -- which headers, and where ------------------------------------------------------------------------------------------

cdef inline uint32_t l4_header(const Packet *pkt, uint8_t proto, bint six) noexcept nogil:
    if pkt.l4_ofs == OFS_ABSENT:
        return 0
    if proto == IP_TCP:
        return HAS_TCP
    if proto == IP_UDP:
        return HAS_UDP
    if proto == IP_SCTP:
        return HAS_SCTP
    if proto == IP_ICMP and not six:
        return HAS_ICMP
    return icmp6_header(pkt) if proto == IP_ICMPV6 and six else 0


cdef uint32_t icmp6_header(const Packet *pkt) noexcept nogil:
    cdef const uint8_t *l4 = pkt.data + pkt.l4_ofs
    if (l4[0] == ND_SOLICIT or l4[0] == ND_ADVERT) and l4[1] == 0 and pkt.l4_ofs + <uint32_t>ND_BYTES <= l3_end(pkt):
        return HAS_ICMP6 | HAS_ND
    return HAS_ICMP6


# Where the IP packet ends, from data; padding may follow.
cdef uint32_t l3_end(const Packet *pkt) noexcept nogil:
    cdef const uint8_t *ip = pkt.data + pkt.l3_ofs
    if load_be16(ip - 2) == ETH_IPV4:
        return min(pkt.length, pkt.l3_ofs + <uint32_t>load_be16(ip + 2))
    return min(pkt.length, pkt.l3_ofs + <uint32_t>IPV6_BYTES + load_be16(ip + 4))


cdef uint32_t ip6_headers(const Packet *pkt) noexcept nogil:
    cdef const uint8_t *ip = pkt.data + pkt.l3_ofs
    cdef uint32_t found = HAS_IP6
    cdef Cursor cursor
    cdef Ip6Chain chain
    memset(&chain, 0, sizeof(chain))
    cursor.at = ip + IPV6_BYTES
    cursor.end = pkt.data + l3_end(pkt)
    chain.proto = ip[6]
    if parse_ip6_chain(&cursor, &chain):
        return found
    if chain.routed:
        found |= HAS_ROUTE
    if chain.frag & FRAG_LATER:
        return found | IS_LATER
    return found | l4_header(pkt, chain.proto, True)


cdef uint32_t headers_of(const Packet *pkt) noexcept nogil:
    cdef const uint8_t *l3 = pkt.data + pkt.l3_ofs
    cdef uint32_t found = HAS_ETH
    cdef uint16_t eth_type
    if has_vlan(pkt):
        found |= HAS_VLAN
    if pkt.l25_ofs != OFS_ABSENT:
        return found | HAS_MPLS
    if pkt.l3_ofs == OFS_ABSENT:
        return found
    eth_type = load_be16(l3 - 2)
    if eth_type == ETH_IPV4:
        found |= HAS_IP4 | l4_header(pkt, l3[9], False)
        return found | IS_LATER if load_be16(l3 + 6) & 0x1fff else found
    if eth_type == ETH_IPV6:
        return found | ip6_headers(pkt)
    return found | HAS_ARP if eth_type == ETH_ARP or eth_type == ETH_RARP else found


cdef inline bint has_vlan(const Packet *pkt) noexcept nogil:
    cdef uint16_t eth_type = load_be16(pkt.data + 12)
    return (eth_type == ETH_VLAN or eth_type == ETH_SVLAN) and pkt.length >= 14 + VLAN_BYTES


cdef const EditRow *edit_row(uint8_t slot, uint32_t headers) noexcept nogil:
    cdef uint32_t i
    for i in range(first_row[slot], first_row[slot + 1]):
        if rows[i].headers & headers:
            return &rows[i]
    return NULL


# The first ND option `kind` of eight bytes; NULL when there is none.
cdef uint8_t *nd_option(const Packet *pkt, uint8_t kind) noexcept nogil:
    cdef uint8_t *option = pkt.data + pkt.l4_ofs + ND_BYTES
    cdef uint8_t *end = pkt.data + l3_end(pkt)
    while option + 8 <= end and option[1] != 0:
        if option[0] == kind and option[1] == 1:
            return option
        option += <uint32_t>option[1] * 8
    return NULL


cdef uint8_t *base_of(const Packet *pkt, uint8_t base) noexcept nogil:
    if base == AT_FRAME:
        return pkt.data
    if base == AT_L3:
        return pkt.data + pkt.l3_ofs
    if base == AT_L4:
        return pkt.data + pkt.l4_ofs
    if base == AT_MPLS:
        return pkt.data + pkt.l25_ofs
    return nd_option(pkt, ND_OPT_SLL if base == AT_SLL else ND_OPT_TLL)


# -- writing and summing -----------------------------------------------------------------------------------------------

cdef uint32_t edit_l4_csum(uint32_t headers) noexcept nogil:
    if headers & HAS_TCP:
        return TCP_CSUM
    return UDP_CSUM if headers & HAS_UDP else ICMP_CSUM


cdef void update_l4(Packet *pkt, uint32_t headers, uint32_t twist, uint64_t old, uint64_t new) noexcept nogil:
    cdef uint8_t *at = pkt.data + pkt.l4_ofs + edit_l4_csum(headers)
    cdef bint partial = pkt.offload & OFFLOAD_CSUM_PARTIAL and pkt.csum_start == pkt.l4_ofs
    cdef uint16_t csum = load_u16(at)
    if partial:
        # Only the pseudo-header is in the sum so far; the rest is summed when the checksum is completed.
        if twist & SUM_PSEUDO:
            store_u16(at, csum_update_partial(csum, old, new))
        return
    if headers & HAS_UDP and csum == 0:
        return
    csum = csum_update(csum, old, new)
    store_u16(at, csum if csum != 0 or not headers & HAS_UDP else <uint16_t>0xffff)


# SCTP's CRC32c is linear: what two versions of the segment differ by is what their CRCs differ by, wherever the
# checksum field stands.
cdef uint32_t sctp_crc(const Packet *pkt) noexcept nogil:
    return crc32c(0, pkt.data + pkt.l4_ofs, l3_end(pkt) - pkt.l4_ofs)


cdef void write_bytes(uint8_t *at, const EditRow *row, const uint8_t *value, const uint8_t *mask) noexcept nogil:
    cdef uint32_t i
    cdef uint8_t write
    if row.twist & NIBBLE_UP:
        at[0] = (at[0] & <uint8_t>~(mask[0] >> 4)) | (value[0] & mask[0]) >> 4
        at[1] = (at[1] & <uint8_t>~(mask[0] << 4)) | <uint8_t>((value[0] & mask[0]) << 4)
        return
    if row.twist & LOW_BYTE:
        value += 1
        mask += 1
    if row.twist & HIGH_ZERO:
        (at - 1)[0] = 0
    for i in range(row.n_bytes):
        write = mask[i]
        if i < sizeof(row.keep):
            write &= ~row.keep[i]
        at[i] = (at[i] & ~write) | (value[i] & write)


cdef void write_summed(
    Packet *pkt, uint32_t headers, const EditRow *row, uint8_t *at, const uint8_t *value, const uint8_t *mask,
) noexcept nogil:
    cdef uint8_t *l3 = pkt.data + pkt.l3_ofs
    cdef uint8_t *origin = l3 if row.base == AT_L3 else pkt.data + pkt.l4_ofs
    cdef uint32_t odd = (at - origin) & 1
    cdef uint32_t n_bytes = (odd + row.n_bytes + 1) & <uint32_t>~1
    cdef uint64_t old = csum_add(0, at - odd, n_bytes)
    cdef uint64_t new
    write_bytes(at, row, value, mask)
    new = csum_add(0, at - odd, n_bytes)
    if row.twist & SUM_IP4:
        store_u16(l3 + IPV4_CSUM, csum_update(load_u16(l3 + IPV4_CSUM), old, new))
    if row.twist & ROUTED and headers & HAS_ROUTE:
        return
    if row.twist & SUM_PSEUDO and headers & (HAS_TCP | HAS_UDP | HAS_ICMP6) or row.twist & SUM_L4:
        update_l4(pkt, headers, row.twist, old, new)


cdef void write_sctp(
    Packet *pkt, const EditRow *row, uint8_t *at, const uint8_t *value, const uint8_t *mask,
) noexcept nogil:
    cdef uint8_t *csum = pkt.data + pkt.l4_ofs + SCTP_CSUM
    cdef uint32_t old
    if pkt.offload & OFFLOAD_CSUM_PARTIAL and pkt.csum_start == pkt.l4_ofs:
        write_bytes(at, row, value, mask)
        return
    old = sctp_crc(pkt)
    write_bytes(at, row, value, mask)
    store_le32(csum, load_le32(csum) ^ old ^ sctp_crc(pkt))


cdef int edit_set(Packet *pkt, uint8_t slot, const uint8_t *value, const uint8_t *mask) noexcept nogil:
    cdef uint32_t headers = headers_of(pkt)
    cdef const EditRow *row
    cdef uint8_t *at
    if slot >= N_SLOTS:
        return DROP_ACTION_BAD_PACKET
    row = edit_row(slot, headers)
    if row == NULL:
        return 0 if headers & IS_LATER and lies_in_l4(slot) else DROP_ACTION_BAD_PACKET
    at = base_of(pkt, row.base)
    if at == NULL:
        return 0       # an ND option that this message does not carry: there is nothing to rewrite
    at += row.offset
    if at + row.n_bytes > pkt.data + pkt.length:
        return DROP_ACTION_BAD_PACKET
    if row.twist & SUM_L4 and headers & HAS_SCTP:
        write_sctp(pkt, row, at, value, mask)
    elif row.twist & (SUM_IP4 | SUM_PSEUDO | SUM_L4):
        write_summed(pkt, headers, row, at, value, mask)
    else:
        write_bytes(at, row, value, mask)
    return 0


cdef bint lies_in_l4(uint8_t slot) noexcept nogil:
    cdef uint32_t i
    for i in range(first_row[slot], first_row[slot + 1]):
        if rows[i].base >= AT_L4:
            return True
    return False


# -- VLAN tags ---------------------------------------------------------------------------------------------------------

cdef int edit_push_vlan(Packet *pkt, uint16_t tpid, uint16_t tci) noexcept nogil:
    cdef uint8_t *data = packet_push(pkt, VLAN_BYTES)
    if data == NULL:
        return DROP_ACTION_BAD_PACKET
    memmove(data, data + VLAN_BYTES, 12)
    store_be16(data + 12, tpid)
    store_be16(data + 14, tci & <uint16_t>~VLAN_PRESENT)
    pkt.shape = 0
    return 0


cdef int edit_pop_vlan(Packet *pkt) noexcept nogil:
    if not has_vlan(pkt):
        return DROP_ACTION_BAD_PACKET
    memmove(pkt.data + VLAN_BYTES, pkt.data, 12)
    packet_pull(pkt, VLAN_BYTES)
    pkt.shape = 0
    return 0


# -- for tests and embedding -------------------------------------------------------------------------------------------

cdef int apply_one(Packet *pkt, tuple edit):
    cdef uint8_t[FIELD_MAX] value
    cdef uint8_t[FIELD_MAX] mask
    kind, *args = edit
    if kind == "push_vlan":
        return edit_push_vlan(pkt, args[0], args[1])
    if kind == "pop_vlan":
        return edit_pop_vlan(pkt)
    memset(value, 0, FIELD_MAX)
    memset(mask, 0, FIELD_MAX)
    for i, byte in enumerate(args[0]):
        value[i] = byte
    for i, byte in enumerate(args[1] if len(args) > 1 else b"\xff" * len(args[0])):
        mask[i] = byte
    return edit_set(pkt, places()[kind].number, value, mask)


cdef Packet *guarded_packet(PacketPool *pool, bytes frame, csum_start, uint16_t csum_offset) except NULL:
    cdef PacketKey key
    cdef Packet *pkt = packet_alloc(pool, <uint32_t>len(frame) + GUARD_BYTES)
    if pkt == NULL:
        raise ValueError(f"no buffer for a frame of {len(frame)} bytes")
    memcpy(pkt.data, <const uint8_t *>frame, len(frame))
    memset(pkt.data + len(frame), GUARD, GUARD_BYTES)
    pkt.length = <uint32_t>len(frame)
    if csum_start is not None:
        pkt.offload = OFFLOAD_CSUM_PARTIAL
        pkt.csum_start = csum_start
        pkt.csum_offset = csum_offset
    if parse(pkt, &key) != 0:
        packet_release(pkt)
        raise ValueError("the frame is shorter than an Ethernet header")
    return pkt


cdef bytes guarded_frame(const Packet *pkt):
    if any(byte != GUARD for byte in pkt.data[pkt.length : pkt.length + GUARD_BYTES]):
        raise InternalError("an edit wrote behind the frame")
    return pkt.data[: pkt.length]


def apply_edits(bytes frame, list edits, csum_start=None, uint16_t csum_offset=0) -> tuple:
    """Run edits over one frame as the forwarder does; for tests, trace and embedding.

    frame: bytes from the Ethernet header on; edits: ("push_vlan", TPID, TCI), ("pop_vlan",) or (slot name, value
    bytes, mask bytes = all), values in network byte order; csum_start, csum_offset: bytes, make the checksum there a
    partial one. Returns (drop reason number or 0, the frame, l3_ofs, l4_ofs, csum_start); edits stop at the first
    reason. Raises KeyError for an unknown slot, ValueError for a frame that cannot be parsed and InternalError when
    something was written behind the frame.
    """
    cdef PacketPool pool
    cdef Packet *pkt = NULL
    cdef int reason = 0
    pool_init(&pool, 1, 1)
    try:
        pkt = guarded_packet(&pool, frame, csum_start, csum_offset)
        for edit in edits:
            reason = apply_one(pkt, edit)
            if reason:
                break
        offsets = tuple([None if ofs == OFS_ABSENT else ofs for ofs in (pkt.l3_ofs, pkt.l4_ofs)])
        return (reason, guarded_frame(pkt), *offsets, pkt.csum_start)
    finally:
        if pkt != NULL:
            packet_release(pkt)
        pool_destroy(&pool)
