"""Flow messages between wire and structs: flow-mods, flow and aggregate requests, flow statistics, flow-removed; see
flow_mod.pxd.

Place in the packet's path: none; the control thread runs it, without the GIL. Three dialects: OpenFlow 1.0 with its
fixed match, its Nicira extension (NXM), and OpenFlow 1.3 (whose layouts 1.1, 1.2 and 1.4 share but for details that the
decoder takes from `version`).
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from datapath.bytes cimport load_be16 as get16, load_be32 as get32, load_be64 as get64
from datapath.flow_key cimport FlowKey
from ofproto.act_check cimport acts_check
from ofproto.act_decode cimport act_list_decode, instructions_decode
from ofproto.act_encode cimport act_list_encode, instructions_encode
from ofproto.codec cimport port_from16, port_unknown
from ofproto.field cimport field_by_name
from ofproto.flow_encode cimport removed_encode, stats_entry_encode
from ofproto.match cimport MATCH10_BYTES, match10_decode, match10_encode
from ofproto.of_error cimport (
    NXBRC_NXM_INVALID, OFPBAC_BAD_OUT_PORT, OFPBMC_BAD_LEN, OFPBMC_BAD_TYPE, OFPBRC_BAD_LEN, OFPBRC_BAD_STAT,
    OFPBRC_BAD_SUBTYPE, OFPBRC_BAD_TYPE, OFPBRC_BAD_VENDOR, OFPBRC_BAD_VERSION, OFPFMFC_BAD_COMMAND, OFPFMFC_BAD_FLAGS,
    OFPFMFC_TABLE_FULL,
)
from ofproto.of_number cimport (
    COOKIE_NONE, NICIRA, OFP10, OFP11, OFP12, OFP13, OFP14, OFPG_ANY, OFPMT_OXM, OFPP_ANY, OFPT_VENDOR, TABLE_ALL,
)
from ofproto.oxm cimport Cookie, match_prereqs_met, metadata_match, oxm_match_decode, oxm_match_encode

from ofproto.errors import OpenFlowError
from ofproto.flow_types import DecodedFlowMod, DecodedFlowRequest, FlowStats

cdef enum:
    OFPT_FLOW_MOD = 14
    OFPT10_STATS_REQUEST = 16
    OFPT13_STATS_REQUEST = 18
    NXT_FLOW_MOD = 13
    STATS_FLOW = 1
    STATS_AGGREGATE = 2
    STATS_VENDOR = 0xffff
    NXST_AGGREGATE = 1             # NXST_FLOW is 0
    EMERGENCY = 4                  # OFPFF_EMERG of OpenFlow 1.0
    PRIORITY_EXACT = 0xffff        # of a flow without wildcards in OpenFlow 1.0


# -- matches ---------------------------------------------------------------------------------------------------------

cdef uint32_t pull_nxm(const uint8_t **p, uint32_t *left, uint32_t match_length, Match *out,
                       Cookie *cookie) noexcept nogil:
    # A match of that length, padded to 8 bytes.
    cdef uint32_t padded = (match_length + 7) & ~<uint32_t>7
    cdef const uint8_t *at = p[0]
    if padded > left[0]:
        return OFPBMC_BAD_LEN
    p[0] += padded
    left[0] -= padded
    return oxm_match_decode(at, match_length, out, cookie)


cdef uint32_t pull_ofp_match(const uint8_t **p, uint32_t *left, Match *out) noexcept nogil:
    cdef uint32_t length, padded
    cdef const uint8_t *at = p[0]
    if left[0] < 4:
        return OFPBMC_BAD_LEN
    length = get16(at + 2)
    padded = (length + 7) & ~<uint32_t>7
    if length < 4 or padded > left[0]:
        return OFPBMC_BAD_LEN
    if get16(at) != OFPMT_OXM:
        return OFPBMC_BAD_TYPE
    p[0] += padded
    left[0] -= padded
    return oxm_match_decode(at + 4, length - 4, out, NULL)


# -- flow-mods -------------------------------------------------------------------------------------------------------

cdef uint32_t read_command(uint32_t command, FlowMod *out) noexcept nogil:
    # OpenFlow 1.0 and NXM.
    out.table_id = TABLE_ALL
    if out.table_in_command:
        out.table_id = <uint8_t>(command >> 8)
        command &= 0xff
    if command > FM_DELETE_STRICT:
        return OFPFMFC_BAD_COMMAND
    out.command = <uint8_t>command
    if command == FM_ADD and out.table_id == TABLE_ALL:
        out.table_id = 0
    return 0


cdef uint32_t read_flags(uint32_t flags, FlowMod *out) noexcept nogil:
    cdef uint32_t known = FLOW_SEND_FLOW_REM | FLOW_CHECK_OVERLAP
    if out.version == OFP10 and flags & EMERGENCY:
        return OFPFMFC_TABLE_FULL
    if out.version >= OFP12:
        known |= FLOW_RESET_COUNTS
    if out.version >= OFP13:
        known |= FLOW_NO_PKT_COUNTS | FLOW_NO_BYT_COUNTS
    if flags & ~known:
        return OFPFMFC_BAD_FLAGS
    out.flags = <uint16_t>flags
    if out.version <= OFP11 and out.command == FM_ADD:
        out.flags |= FLOW_RESET_COUNTS
    return 0


cdef void read_cookie10(uint64_t cookie, FlowMod *out) noexcept nogil:
    out.new_cookie = cookie
    out.modify_cookie = cookie != COOKIE_NONE


cdef uint32_t flow_mod10(const uint8_t *msg, uint32_t length, FlowMod *out) noexcept nogil:
    cdef uint32_t error
    cdef bint exact
    if length < 72:
        return OFPBRC_BAD_LEN
    exact = match10_decode(msg + 8, &out.match)
    read_cookie10(get64(msg + 48), out)
    out.idle_timeout_s = get16(msg + 58)
    out.hard_timeout_s = get16(msg + 60)
    out.priority = PRIORITY_EXACT if exact else get16(msg + 62)
    out.buffer_id = get32(msg + 64)
    out.out_port = port_from16(get16(msg + 68))
    error = act_list_decode(msg + 72, length - 72, OFP10, &out.acts)
    if not error:
        error = read_command(get16(msg + 56), out)
    return error if error else read_flags(get16(msg + 70), out)


cdef uint32_t flow_mod_nx(const uint8_t *msg, uint32_t length, FlowMod *out) noexcept nogil:
    cdef const uint8_t *at = msg + 48
    cdef uint32_t left = length - 48, error
    cdef Cookie cookie
    if length < 48:
        return OFPBRC_BAD_LEN
    error = pull_nxm(&at, &left, get16(msg + 40), &out.match, &cookie)
    if not error:
        error = read_command(get16(msg + 24), out)
    if error:
        return error
    if out.command == FM_ADD and cookie.mask:
        return NXBRC_NXM_INVALID
    out.cookie = cookie.value
    out.cookie_mask = cookie.mask
    read_cookie10(get64(msg + 16), out)
    out.idle_timeout_s = get16(msg + 26)
    out.hard_timeout_s = get16(msg + 28)
    out.priority = get16(msg + 30)
    out.buffer_id = get32(msg + 32)
    out.out_port = port_from16(get16(msg + 36))
    error = act_list_decode(at, left, OFP10, &out.acts)
    return error if error else read_flags(get16(msg + 38), out)


cdef uint32_t flow_mod13(const uint8_t *msg, uint32_t length, FlowMod *out) noexcept nogil:
    cdef const uint8_t *at = msg + 48
    cdef uint32_t left = length - 48, error
    if length < 48:
        return OFPBRC_BAD_LEN
    error = pull_ofp_match(&at, &left, &out.match)
    if error:
        return error
    out.table_id = msg[24]
    out.command = msg[25]
    if out.command > FM_DELETE_STRICT:
        return OFPFMFC_BAD_COMMAND
    if out.command == FM_ADD:
        out.new_cookie = get64(msg + 8)
    else:
        # A modify keeps the cookies of the flows that it changes.
        out.cookie = get64(msg + 8)
        out.cookie_mask = get64(msg + 16)
        out.new_cookie = COOKIE_NONE
    out.idle_timeout_s = get16(msg + 26)
    out.hard_timeout_s = get16(msg + 28)
    out.priority = get16(msg + 30)
    out.buffer_id = get32(msg + 32)
    out.out_port = get32(msg + 36)
    out.out_group = get32(msg + 40)
    out.importance = get16(msg + 46) if out.version >= OFP14 else 0
    if port_unknown(out.out_port):
        return OFPBAC_BAD_OUT_PORT
    error = instructions_decode(at, left, out.version, &out.acts)
    return error if error else read_flags(get16(msg + 44), out)


cdef void flow_mod_clear(FlowMod *out) noexcept nogil:
    # All but the match (which its decoder clears), the buffer and the caller's setting.
    cdef OfActBuf acts = out.acts
    cdef bint table_in_command = out.table_in_command
    memset(<uint8_t *>out + sizeof(Match), 0, sizeof(FlowMod) - sizeof(Match))
    acts.length = 0
    out.acts = acts
    out.table_in_command = table_in_command
    out.out_port = OFPP_ANY
    out.out_group = OFPG_ANY


cdef uint32_t flow_mod_decode(const uint8_t *msg, uint32_t length, FlowMod *out) noexcept nogil:
    cdef uint32_t error = OFPBRC_BAD_TYPE
    flow_mod_clear(out)
    if length < 8:
        return OFPBRC_BAD_LEN
    out.version = msg[0]
    if out.version == 0 or out.version > OFP14:
        return OFPBRC_BAD_VERSION
    if msg[1] == OFPT_FLOW_MOD:
        error = flow_mod10(msg, length, out) if out.version == OFP10 else flow_mod13(msg, length, out)
    elif msg[1] == OFPT_VENDOR and out.version == OFP10:
        error = OFPBRC_BAD_LEN if length < 16 else OFPBRC_BAD_VENDOR
        if length >= 16 and get32(msg + 8) == NICIRA:
            error = flow_mod_nx(msg, length, out) if get32(msg + 12) == NXT_FLOW_MOD else OFPBRC_BAD_SUBTYPE
    return error if error else acts_check(&out.acts, &out.match, out.version, out.table_id)


# -- requests for flows ----------------------------------------------------------------------------------------------

cdef uint32_t stats_request10(const uint8_t *msg, uint32_t length, FlowStatsRequest *out) noexcept nogil:
    if length != 12 + MATCH10_BYTES + 4:
        return OFPBRC_BAD_LEN
    match10_decode(msg + 12, &out.match)
    out.table_id = msg[52]
    out.out_port = port_from16(get16(msg + 54))
    return 0


cdef uint32_t stats_request_nx(const uint8_t *msg, uint32_t length, FlowStatsRequest *out) noexcept nogil:
    cdef const uint8_t *at = msg + 32
    cdef uint32_t left = length - 32, error
    cdef Cookie cookie
    if length < 32:
        return OFPBRC_BAD_LEN
    if get32(msg + 12) != NICIRA:
        return OFPBRC_BAD_VENDOR
    if get32(msg + 16) > NXST_AGGREGATE:
        return OFPBRC_BAD_SUBTYPE
    error = pull_nxm(&at, &left, get16(msg + 26), &out.match, &cookie)
    if error:
        return error
    if left:
        return OFPBRC_BAD_LEN
    out.cookie = cookie.value
    out.cookie_mask = cookie.mask
    out.out_port = port_from16(get16(msg + 24))
    out.table_id = msg[28]
    return 0


cdef uint32_t stats_request13(const uint8_t *msg, uint32_t length, FlowStatsRequest *out) noexcept nogil:
    cdef const uint8_t *at = msg + 48
    cdef uint32_t left = length - 48, error
    if length < 48:
        return OFPBRC_BAD_LEN
    error = pull_ofp_match(&at, &left, &out.match)
    if error:
        return error
    if left:
        return OFPBRC_BAD_LEN
    out.table_id = msg[16]
    out.out_port = get32(msg + 20)
    out.out_group = get32(msg + 24)
    out.cookie = get64(msg + 32)
    out.cookie_mask = get64(msg + 40)
    return OFPBAC_BAD_OUT_PORT if port_unknown(out.out_port) else 0


cdef uint32_t flow_stats_request_decode(const uint8_t *msg, uint32_t length, FlowStatsRequest *out) noexcept nogil:
    cdef uint32_t kind
    memset(out, 0, sizeof(FlowStatsRequest))
    out.out_port = OFPP_ANY
    out.out_group = OFPG_ANY
    if length < 12:
        return OFPBRC_BAD_LEN
    if msg[0] == 0 or msg[0] > OFP14:
        return OFPBRC_BAD_VERSION
    if msg[1] != (OFPT10_STATS_REQUEST if msg[0] == OFP10 else OFPT13_STATS_REQUEST):
        return OFPBRC_BAD_TYPE
    kind = get16(msg + 8)
    if kind == STATS_FLOW or kind == STATS_AGGREGATE:
        return stats_request10(msg, length, out) if msg[0] == OFP10 else stats_request13(msg, length, out)
    if kind == STATS_VENDOR and msg[0] == OFP10:
        return stats_request_nx(msg, length, out)
    return OFPBRC_BAD_STAT


# -- flow statistics and flow-removed: flow_encode.pyx ---------------------------------------------------------------

cdef int flow_stats_encode(OutBuf *out, const FlowRow *row, uint8_t version, bint nxst) noexcept nogil:
    return stats_entry_encode(out, row, version, nxst)


cdef int flow_removed_encode(OutBuf *out, const FlowRow *row, uint8_t version, bint nxt) noexcept nogil:
    return removed_encode(out, row, version, nxt)


cdef uint32_t actions_decode(const uint8_t *data, uint32_t length, uint8_t version, OfActBuf *out) noexcept nogil:
    return act_list_decode(data, length, version, out)


# -- Python shell: control code and tests ----------------------------------------------------------------------------

cdef bytes key_bytes(const FlowKey *key):
    return (<const char *>key)[:sizeof(FlowKey)]


cdef int fill_match(Match *match, bytes value, bytes mask) except -1:
    if len(value) != sizeof(FlowKey) or len(mask) != sizeof(FlowKey):
        raise ValueError(f"a match is two flow keys of {sizeof(FlowKey)} bytes")
    memcpy(&match.value, <const uint8_t *>value, sizeof(FlowKey))
    memcpy(&match.mask, <const uint8_t *>mask, sizeof(FlowKey))
    return 0


cdef int raise_error(uint32_t error) except -1:
    if error:
        raise OpenFlowError.from_code13(error)
    return 0


cdef bytes taken(OutBuf *out, int result):
    # The bytes of a buffer, which is freed.
    try:
        if result:
            raise MemoryError
        return (<const char *>out.data)[:out.length] if out.length else b""
    finally:
        free(out.data)


def decode_flow_mod(msg: bytes, table_in_command: bool = False) -> DecodedFlowMod:
    """Return a flow-mod (OpenFlow 1.0 or 1.1-1.4, or NXT_FLOW_MOD) as Python values; raises OpenFlowError.

    table_in_command: the session has switched on NXT_FLOW_MOD_TABLE_ID.
    """
    cdef FlowMod fm
    memset(&fm, 0, sizeof(fm))
    fm.table_in_command = table_in_command
    try:
        raise_error(flow_mod_decode(msg, len(msg), &fm))
        return DecodedFlowMod(
            value=key_bytes(&fm.match.value), mask=key_bytes(&fm.match.mask),
            actions=(<const char *>fm.acts.data)[:fm.acts.length] if fm.acts.length else b"",
            cookie=fm.cookie, cookie_mask=fm.cookie_mask, new_cookie=fm.new_cookie,
            modify_cookie=bool(fm.modify_cookie), table_id=fm.table_id, command=fm.command, version=fm.version,
            priority=fm.priority, idle_timeout_s=fm.idle_timeout_s, hard_timeout_s=fm.hard_timeout_s,
            importance=fm.importance, flags=fm.flags, buffer_id=fm.buffer_id, out_port=fm.out_port,
            out_group=fm.out_group,
        )
    finally:
        free(fm.acts.data)


def decode_flow_request(msg: bytes) -> DecodedFlowRequest:
    """Return a flow or aggregate request of any dialect as Python values; raises OpenFlowError."""
    cdef FlowStatsRequest r
    raise_error(flow_stats_request_decode(msg, len(msg), &r))
    return DecodedFlowRequest(
        value=key_bytes(&r.match.value), mask=key_bytes(&r.match.mask), cookie=r.cookie, cookie_mask=r.cookie_mask,
        table_id=r.table_id, out_port=r.out_port, out_group=r.out_group,
    )


def decode_actions(data: bytes, version: int) -> bytes:
    """Return the OfAct list of a bare wire action list (packet-out); raises OpenFlowError."""
    cdef OfActBuf acts
    memset(&acts, 0, sizeof(acts))
    try:
        raise_error(actions_decode(data, len(data), version, &acts))
        return (<const char *>acts.data)[:acts.length] if acts.length else b""
    finally:
        free(acts.data)


def check_actions(acts: bytes, value: bytes, mask: bytes, version: int, table_id: int = TABLE_ALL) -> bytes:
    """Return the OfAct list, annotated, after checking it against a match; raises OpenFlowError."""
    cdef Match match
    cdef OfActBuf buf
    cdef bytearray copy = bytearray(acts)
    fill_match(&match, value, mask)
    buf.data = <uint8_t *>copy
    buf.length = buf.capacity = len(copy)
    raise_error(acts_check(&buf, &match, version, table_id))
    return bytes(copy)


def encode_actions(acts: bytes, version: int) -> bytes:
    """Return the wire action list of an OfAct list that a decoder or flow_text made; raises MemoryError."""
    cdef OutBuf out
    memset(&out, 0, sizeof(out))
    return taken(&out, act_list_encode(&out, acts, len(acts), version))


def encode_instructions(acts: bytes, version: int) -> bytes:
    """Return the wire instructions (OpenFlow 1.1+) of an OfAct list; raises MemoryError."""
    cdef OutBuf out
    memset(&out, 0, sizeof(out))
    return taken(&out, instructions_encode(&out, acts, len(acts), version))


def decode_match(data: bytes) -> tuple[bytes, bytes]:
    """Return value and mask keys of OXM or NXM entries (no header, no padding); raises OpenFlowError."""
    cdef Match match
    raise_error(oxm_match_decode(data, len(data), &match, NULL))
    return key_bytes(&match.value), key_bytes(&match.mask)


def encode_match(value: bytes, mask: bytes, version: int, cookie: int = 0, cookie_mask: int = 0) -> bytes:
    """Return a match as NXM (version 1, with the cookie pseudo-field if cookie_mask) or OXM entries, without
    padding.
    """
    cdef Match match
    cdef OutBuf out
    cdef Cookie filter
    filter.value = cookie
    filter.mask = cookie_mask
    fill_match(&match, value, mask)
    memset(&out, 0, sizeof(out))
    return taken(&out, oxm_match_encode(&out, &match, version, &filter))


def match_prereqs(value: bytes, mask: bytes, name: str) -> bool:
    """Return whether a match guarantees the prerequisites of a field; raises KeyError for an unknown field."""
    cdef Match match
    fill_match(&match, value, mask)
    return bool(match_prereqs_met(field_by_name(name), &match))


def decode_match10(data: bytes) -> tuple[bytes, bytes]:
    """Return value and mask keys of a 40-byte ofp_match of OpenFlow 1.0; raises ValueError."""
    cdef Match match
    if len(data) != MATCH10_BYTES:
        raise ValueError(f"an OpenFlow 1.0 match has {MATCH10_BYTES} bytes")
    match10_decode(data, &match)
    return key_bytes(&match.value), key_bytes(&match.mask)


def encode_match10(value: bytes, mask: bytes) -> bytes:
    """Return the 40-byte ofp_match of OpenFlow 1.0 that comes closest to a match."""
    cdef Match match
    cdef bytearray data = bytearray(MATCH10_BYTES)
    fill_match(&match, value, mask)
    match10_encode(data, &match)
    return bytes(data)


def encode_packet_in_match(key: bytes, version: int) -> bytes:
    """Return the metadata of a packet (in_port, tunnel, registers ...: what is not zero) as NXM or OXM entries,
    unpadded.
    """
    cdef Match match
    cdef FlowKey k
    cdef OutBuf out
    if len(key) != sizeof(FlowKey):
        raise ValueError(f"a flow key has {sizeof(FlowKey)} bytes, not {len(key)}")
    memcpy(&k, <const uint8_t *>key, sizeof(FlowKey))
    metadata_match(&k, &match)
    memset(&out, 0, sizeof(out))
    return taken(&out, oxm_match_encode(&out, &match, version, NULL))


cdef int fill_row(FlowRow *row, Match *match, flow) except -1:
    fill_match(match, flow.value, flow.mask)
    row.match = match
    row.acts = <bytes>flow.actions
    row.acts_length = len(flow.actions)
    row.cookie, row.n_packets, row.n_bytes = flow.cookie, flow.n_packets, flow.n_bytes
    row.duration_ns, row.idle_ns, row.hard_ns = flow.duration_ns, flow.idle_ns, flow.hard_ns
    row.priority, row.importance, row.flags = flow.priority, flow.importance, flow.flags
    row.idle_timeout_s, row.hard_timeout_s = flow.idle_timeout_s, flow.hard_timeout_s
    row.table_id, row.reason = flow.table_id, flow.reason
    return 0


def encode_flow_stats(flow: FlowStats, version: int, nxst: bool = False) -> bytes:
    """Return one entry of a flow statistics reply; raises ValueError for a match of the wrong size."""
    cdef FlowRow row
    cdef Match match
    cdef OutBuf out
    fill_row(&row, &match, flow)
    memset(&out, 0, sizeof(out))
    return taken(&out, flow_stats_encode(&out, &row, version, nxst))


def encode_flow_removed(flow: FlowStats, version: int, nxt: bool = False) -> bytes:
    """Return a flow-removed message with xid 0; raises ValueError for a match of the wrong size."""
    cdef FlowRow row
    cdef Match match
    cdef OutBuf out
    fill_row(&row, &match, flow)
    memset(&out, 0, sizeof(out))
    return taken(&out, flow_removed_encode(&out, &row, version, nxt))
