"""Flow statistics entries and flow-removed messages in three dialects: OpenFlow 1.0, its Nicira extension, OpenFlow 1.1
to 1.4.

Place in the packet's path: none; the control thread runs it, without the GIL.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from datapath.bytes cimport store_be16 as put16, store_be32 as put32, store_be64 as put64
from ofproto.act_encode cimport act_list_encode, instructions_encode
from ofproto.codec cimport out_room
from ofproto.flow_mod cimport FlowRow, Match, OutBuf
from ofproto.match cimport match10_encode
from ofproto.of_number cimport NICIRA, OFP10, OFP13, OFP14, OFPMT_OXM, OFPT_VENDOR
from ofproto.oxm cimport oxm_match_encode

cdef enum:
    OFPT_FLOW_REMOVED = 11
    NXT_FLOW_REMOVED = 14
    ENTRY_MAX = 0xffff
    NS = 1000000000
    NS_PER_MS = 1000000


# -- matches ---------------------------------------------------------------------------------------------------------

cdef int end_match(OutBuf *out, uint32_t start, uint32_t at) noexcept nogil:
    # Pad what begins at byte `start` to 8 bytes, and put its length without padding at byte `at`.
    cdef uint32_t length = out.length - start
    if length & 7 and out_room(out, 8 - (length & 7)) == NULL:
        return -1
    put16(out.data + at, length)
    return 0


cdef int put_nxm(OutBuf *out, const Match *match, uint8_t version, uint32_t at) noexcept nogil:
    # The match and its padding, and its length without padding at byte `at`.
    cdef uint32_t start = out.length
    return -1 if oxm_match_encode(out, match, version, NULL) else end_match(out, start, at)


cdef int put_ofp_match(OutBuf *out, const Match *match, uint8_t version) noexcept nogil:
    cdef uint32_t start = out.length
    if out_room(out, 4) == NULL or oxm_match_encode(out, match, version, NULL):
        return -1
    put16(out.data + start, OFPMT_OXM)
    return end_match(out, start, start + 2)


# -- flow statistics -------------------------------------------------------------------------------------------------

cdef inline void put_duration(uint8_t *p, int64_t duration_ns) noexcept nogil:
    put32(p, <uint32_t>(duration_ns // NS))
    # whole milliseconds, as Open vSwitch tells them
    put32(p + 4, <uint32_t>(duration_ns % NS // NS_PER_MS * NS_PER_MS))


cdef inline uint32_t age_s(int64_t age_ns) noexcept nogil:
    # NXST ages are one more than the seconds, at most 65535; 0 = unknown.
    return 0 if age_ns < 0 else <uint32_t>min(age_ns // NS + 1, <int64_t>0xffff)


cdef int put_stats10(OutBuf *out, const FlowRow *row) noexcept nogil:
    cdef uint8_t *p = out_room(out, 88)
    if p == NULL:
        return -1
    p[2] = row.table_id
    match10_encode(p + 4, row.match)
    put_duration(p + 44, row.duration_ns)
    put16(p + 52, row.priority)
    put16(p + 54, row.idle_timeout_s)
    put16(p + 56, row.hard_timeout_s)
    put64(p + 64, row.cookie)
    put64(p + 72, row.n_packets)
    put64(p + 80, row.n_bytes)
    return act_list_encode(out, row.acts, row.acts_length, OFP10)


cdef uint8_t *put_stats_head(OutBuf *out, const FlowRow *row) noexcept nogil:
    # What Nicira's entries and those of OpenFlow 1.1 and later begin with; NULL without memory.
    cdef uint8_t *p = out_room(out, 48)
    if p == NULL:
        return NULL
    p[2] = row.table_id
    put_duration(p + 4, row.duration_ns)
    put16(p + 12, row.priority)
    put16(p + 14, row.idle_timeout_s)
    put16(p + 16, row.hard_timeout_s)
    put64(p + 24, row.cookie)
    put64(p + 32, row.n_packets)
    put64(p + 40, row.n_bytes)
    return p


cdef int put_stats_nx(OutBuf *out, const FlowRow *row) noexcept nogil:
    cdef uint32_t start = out.length
    cdef uint8_t *p = put_stats_head(out, row)
    if p == NULL:
        return -1
    put16(p + 20, age_s(row.idle_ns))
    put16(p + 22, age_s(row.hard_ns))
    if put_nxm(out, row.match, OFP10, start + 18):
        return -1
    return act_list_encode(out, row.acts, row.acts_length, OFP10)


cdef int put_stats13(OutBuf *out, const FlowRow *row, uint8_t version) noexcept nogil:
    cdef uint8_t *p = put_stats_head(out, row)
    if p == NULL:
        return -1
    if version >= OFP13:
        put16(p + 18, row.flags)       # all of them, CHECK_OVERLAP and RESET_COUNTS too, as Open vSwitch shows them
    if version >= OFP14:
        put16(p + 20, row.importance)
    if put_ofp_match(out, row.match, version):
        return -1
    return instructions_encode(out, row.acts, row.acts_length, version)


cdef int stats_entry_encode(OutBuf *out, const FlowRow *row, uint8_t version, bint nxst) noexcept nogil:
    cdef uint32_t start = out.length
    cdef int result
    if nxst:
        result = put_stats_nx(out, row)
    elif version == OFP10:
        result = put_stats10(out, row)
    else:
        result = put_stats13(out, row, version)
    if result:
        return result
    if out.length - start > ENTRY_MAX:
        out.length = start
    else:
        put16(out.data + start, out.length - start)
    return 0


# -- flow-removed ----------------------------------------------------------------------------------------------------

cdef int put_removed10(OutBuf *out, const FlowRow *row) noexcept nogil:
    cdef uint8_t *p = out_room(out, 88)
    if p == NULL:
        return -1
    match10_encode(p + 8, row.match)
    put64(p + 48, row.cookie)
    put16(p + 56, row.priority)
    p[58] = row.reason
    put_duration(p + 60, row.duration_ns)
    put16(p + 68, row.idle_timeout_s)
    put64(p + 72, row.n_packets)
    put64(p + 80, row.n_bytes)
    return 0


cdef int put_removed_nx(OutBuf *out, const FlowRow *row) noexcept nogil:
    cdef uint32_t start = out.length
    cdef uint8_t *p = out_room(out, 56)
    if p == NULL:
        return -1
    put32(p + 8, NICIRA)
    put32(p + 12, NXT_FLOW_REMOVED)
    put64(p + 16, row.cookie)
    put16(p + 24, row.priority)
    p[26] = row.reason
    p[27] = row.table_id + 1
    put_duration(p + 28, row.duration_ns)
    put16(p + 36, row.idle_timeout_s)
    put64(p + 40, row.n_packets)
    put64(p + 48, row.n_bytes)
    return put_nxm(out, row.match, OFP10, start + 38)


cdef int put_removed13(OutBuf *out, const FlowRow *row, uint8_t version) noexcept nogil:
    cdef uint8_t *p = out_room(out, 48)
    if p == NULL:
        return -1
    put64(p + 8, row.cookie)
    put16(p + 16, row.priority)
    p[18] = row.reason
    p[19] = row.table_id
    put_duration(p + 20, row.duration_ns)
    put16(p + 28, row.idle_timeout_s)
    put16(p + 30, row.hard_timeout_s)
    put64(p + 32, row.n_packets)
    put64(p + 40, row.n_bytes)
    return put_ofp_match(out, row.match, version)


cdef int removed_encode(OutBuf *out, const FlowRow *row, uint8_t version, bint nxt) noexcept nogil:
    cdef uint32_t start = out.length
    cdef int result
    if nxt:
        result = put_removed_nx(out, row)
    elif version == OFP10:
        result = put_removed10(out, row)
    else:
        result = put_removed13(out, row, version)
    if result:
        return result
    out.data[start] = version
    out.data[start + 1] = OFPT_VENDOR if nxt else OFPT_FLOW_REMOVED
    put16(out.data + start + 2, out.length - start)
    return 0
