"""A decoded flow-mod and flow request, and the codec's C entry points.

Error codes are `type << 16 | code` in OpenFlow 1.3 numbering (errors.py maps them to other versions and names); 0 =
success.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from datapath.flow_key cimport FlowKey
from ofproto.ofact cimport OfActBuf

cdef enum FlowModCommand:
    FM_ADD = 0
    FM_MODIFY = 1
    FM_MODIFY_STRICT = 2
    FM_DELETE = 3
    FM_DELETE_STRICT = 4

cdef enum FlowFlag:            # OpenFlow 1.3 numbering
    FLOW_SEND_FLOW_REM = 1
    FLOW_CHECK_OVERLAP = 2
    FLOW_RESET_COUNTS = 4
    FLOW_NO_PKT_COUNTS = 8
    FLOW_NO_BYT_COUNTS = 16

cdef struct Match:             # value & ~mask is always 0
    FlowKey value
    FlowKey mask

cdef struct FlowMod:
    Match match
    uint64_t cookie            # filter of modify and delete under cookie_mask, host order (OpenFlow 1.1+,
                               # NXM_NX_COOKIE)
    uint64_t cookie_mask       # 0 = any cookie
    uint64_t new_cookie        # what an added or modified rule gets, host order; all ones = none given (a modify then
                               # never adds); an add always gives one
    bint modify_cookie         # a modify that adds or changes sets the cookie (OpenFlow 1.0 semantics, NXM with cookie)
    uint8_t table_id           # TABLE_ALL = all (delete) or 0 by default (add)
    uint8_t command            # FlowModCommand
    uint8_t version            # wire version it came in: 1 or 4 (1 decides that modify adds if absent, OF.04)
    uint16_t priority
    uint16_t idle_timeout_s
    uint16_t hard_timeout_s
    uint16_t importance
    uint16_t flags             # FlowFlag
    uint32_t buffer_id
    uint32_t out_port          # 32-bit form, OFPP_ANY = no filter
    uint32_t out_group
    OfActBuf acts              # owned; reused by the decoder
    bint table_in_command      # set by the caller before decoding: the session has NXT_FLOW_MOD_TABLE_ID on, so in
                               # OpenFlow 1.0 and NXM the high
                               # byte of the command is the table; the decoder reads it and leaves it

cdef struct FlowStatsRequest:
    Match match
    uint64_t cookie
    uint64_t cookie_mask
    uint8_t table_id
    uint32_t out_port
    uint32_t out_group

cdef struct FlowRow:           # what the encoders need to describe a flow
    const Match *match
    const uint8_t *acts
    uint32_t acts_length
    uint64_t cookie
    uint64_t n_packets
    uint64_t n_bytes
    int64_t duration_ns
    int64_t idle_ns            # since last use (or creation)
    int64_t hard_ns            # since last modification
    uint16_t priority
    uint16_t idle_timeout_s
    uint16_t hard_timeout_s
    uint16_t importance
    uint16_t flags
    uint8_t table_id
    uint8_t reason             # OFPRR_*, flow-removed only

cdef struct OutBuf:            # growable output of the encoders
    uint8_t *data
    uint32_t length
    uint32_t capacity

# `msg` starts at the OpenFlow header. The decoder checks everything that does not depend on the switch's state:
# lengths, match prerequisites, masks, action lengths, arguments, field writability, table numbers of goto. nxt: the
# Nicira form (NXT_FLOW_MOD, NXST_FLOW).
cdef uint32_t flow_mod_decode(const uint8_t *msg, uint32_t length, FlowMod *out) noexcept nogil
# FLOW, AGGREGATE, NXST_*
cdef uint32_t flow_stats_request_decode(const uint8_t *msg, uint32_t length, FlowStatsRequest *out) noexcept nogil
# one entry of a reply; -1 without memory; an entry beyond 64 kB is left out
cdef int flow_stats_encode(OutBuf *out, const FlowRow *row, uint8_t version, bint nxst) noexcept nogil
# whole message, xid 0
cdef int flow_removed_encode(OutBuf *out, const FlowRow *row, uint8_t version, bint nxt) noexcept nogil
# a bare action list (packet-out)
cdef uint32_t actions_decode(const uint8_t *data, uint32_t length, uint8_t version, OfActBuf *out) noexcept nogil
