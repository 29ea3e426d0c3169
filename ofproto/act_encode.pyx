"""OfAct lists to wire actions and instructions; see act_encode.pxd.

One small function for each kind, made of the pieces of act_put.pxd. A flow shown in another version than the one it was
added in is translated: mod_dl_src becomes set_field in OpenFlow 1.2 and later, set_field becomes mod_dl_src or load in
1.0.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from datapath.bytes cimport store_be16 as put16, store_be32 as put32, store_be64 as put64
from datapath.headers cimport ETH_VLAN, IP_SCTP, IP_UDP, VLAN_PRESENT
from ofproto.act_put cimport Wire, finish, put_number, put_oxm, put_plain, start, wire
from ofproto.bits cimport be_bits, be_load, be_store
from ofproto.codec cimport all_ones, out_room
from ofproto.field cimport FIELD, FIELDS_MAX, field_by_name
from ofproto.of_number cimport OFPP_IN_PORT
from ofproto.ofact cimport *
from ofproto.oxm cimport oxm_has_short_header, oxm_header_encode

cdef enum:
    NXM_VERSION = 1                # Nicira actions name fields by their NXM numbers in every version

cdef struct Legacy:                # how OpenFlow 1.0 sets a whole field
    const Wire *wire               # NULL = not at all
    uint32_t shift                 # of a value of at most 2 bytes
    uint32_t mask

ctypedef int (*EncodeFn)(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil

cdef EncodeFn[N_OFACT_KINDS] ENCODE        # NULL = an instruction that act_list_encode leaves out
cdef uint8_t[N_OFACT_KINDS] IS_INSTRUCTION
cdef Legacy[FIELDS_MAX] LEGACY

cdef Wire W_OUTPUT10 = wire("of10_output"), W_OUTPUT = wire("of13_output"), W_CONTROLLER = wire("nx_controller")
cdef Wire W_OUTPUT_REG = wire("nx_output_reg"), W_OUTPUT_REG2 = wire("nx_output_reg2")
cdef Wire W_ENQUEUE10 = wire("of10_enqueue"), W_SET_QUEUE = wire("of13_set_queue")
cdef Wire W_NX_SET_QUEUE = wire("nx_set_queue"), W_POP_QUEUE = wire("nx_pop_queue")
cdef Wire W_VID10 = wire("of10_set_vlan_vid"), W_PCP10 = wire("of10_set_vlan_pcp"), W_STRIP10 = wire("of10_strip_vlan")
cdef Wire W_PUSH_VLAN = wire("of13_push_vlan"), W_POP_VLAN = wire("of13_pop_vlan")
cdef Wire W_DL_SRC10 = wire("of10_set_dl_src"), W_DL_DST10 = wire("of10_set_dl_dst")
cdef Wire W_NW_SRC10 = wire("of10_set_nw_src"), W_NW_DST10 = wire("of10_set_nw_dst")
cdef Wire W_TP_SRC10 = wire("of10_set_tp_src"), W_TP_DST10 = wire("of10_set_tp_dst")
cdef Wire W_NW_TOS10 = wire("of10_set_nw_tos"), W_NW_TTL = wire("of13_set_nw_ttl")
cdef Wire W_SET_FIELD = wire("of13_set_field"), W_REG_LOAD = wire("nx_reg_load"), W_REG_LOAD2 = wire("nx_reg_load2")
cdef Wire W_REG_MOVE = wire("nx_reg_move"), W_STACK_PUSH = wire("nx_stack_push"), W_STACK_POP = wire("nx_stack_pop")
cdef Wire W_DEC_TTL = wire("of13_dec_nw_ttl"), W_NX_DEC_TTL = wire("nx_dec_ttl")
cdef Wire W_DEC_TTL_IDS = wire("nx_dec_ttl_cnt_ids")
cdef Wire W_TUNNEL = wire("nx_set_tunnel"), W_TUNNEL64 = wire("nx_set_tunnel64")
cdef Wire W_RESUBMIT = wire("nx_resubmit"), W_RESUBMIT_TABLE = wire("nx_resubmit_table")
cdef Wire W_NOTE = wire("nx_note"), W_EXIT = wire("nx_exit"), W_NX_METADATA = wire("nx_write_metadata")
cdef Wire I_APPLY = wire("inst_apply_actions"), I_WRITE = wire("inst_write_actions")
cdef Wire I_CLEAR = wire("inst_clear_actions")
cdef Wire I_METADATA = wire("inst_write_metadata"), I_GOTO = wire("inst_goto_table")

cdef uint16_t F_ETH_SRC = field_by_name("eth_src"), F_ETH_DST = field_by_name("eth_dst")
cdef uint16_t F_IP_SRC = field_by_name("ip_src"), F_IP_DST = field_by_name("ip_dst")
cdef uint16_t F_DSCP = field_by_name("ip_dscp"), F_ECN = field_by_name("nw_ecn"), F_TTL = field_by_name("nw_ttl")
cdef uint16_t F_TCI = field_by_name("vlan_tci"), F_VID = field_by_name("vlan_vid"), F_PCP = field_by_name("vlan_pcp")
cdef uint16_t F_TUN_ID = field_by_name("tun_id")
cdef uint16_t F_TCP_SRC = field_by_name("tcp_src"), F_TCP_DST = field_by_name("tcp_dst")
cdef uint16_t F_UDP_SRC = field_by_name("udp_src"), F_UDP_DST = field_by_name("udp_dst")
cdef uint16_t F_SCTP_SRC = field_by_name("sctp_src"), F_SCTP_DST = field_by_name("sctp_dst")


# -- set_field and load ----------------------------------------------------------------------------------------------

cdef int put_set_field(OutBuf *out, uint16_t field, uint8_t version, const uint8_t *value) noexcept nogil:
    cdef uint32_t at = out.length
    if start(out, &W_SET_FIELD, 4) == NULL or put_oxm(out, field, version, value, NULL):
        return -1
    return finish(out, at)


cdef int put_set_number(OutBuf *out, uint16_t field, uint8_t version, uint64_t value) noexcept nogil:
    cdef uint8_t[8] data
    be_store(data, FIELD[field].n_bytes, value)
    return put_set_field(out, field, version, data)


cdef int put_reg_load(OutBuf *out, uint16_t field, uint32_t low, uint32_t n_bits, uint64_t value) noexcept nogil:
    cdef uint32_t at = out.length
    cdef uint8_t *p = start(out, &W_REG_LOAD, 12)
    if p == NULL:
        return -1
    put16(p + 10, low << 6 | (n_bits - 1))
    if oxm_header_encode(out, field, NXM_VERSION, 0):
        return -1
    p = out_room(out, 8)
    if p == NULL:
        return -1
    put64(p, value)
    return finish(out, at)


# -- outputs ---------------------------------------------------------------------------------------------------------

cdef int output(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    cdef const OfActOutput *a = <const OfActOutput *>act
    cdef uint8_t *p = start(out, &W_OUTPUT10, 8) if version == 1 else start(out, &W_OUTPUT, 16)
    if p == NULL:
        return -1
    if version == 1:
        put16(p + 4, a.port & 0xffff)
        put16(p + 6, a.max_len)
    else:
        put32(p + 4, a.port)
        put16(p + 8, a.max_len)
    return 0


cdef int controller(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    cdef const OfActController *a = <const OfActController *>act
    cdef uint8_t *p = start(out, &W_CONTROLLER, 16)
    if p == NULL:
        return -1
    put16(p + 10, a.max_len)
    put16(p + 12, a.controller_id)
    p[14] = a.reason
    return 0


cdef int enqueue(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    cdef const OfActEnqueue *a = <const OfActEnqueue *>act
    cdef uint8_t *p
    if version == 1:
        p = start(out, &W_ENQUEUE10, 16)
        if p == NULL:
            return -1
        put16(p + 4, a.port & 0xffff)
        put32(p + 12, a.queue)
        return 0
    if put_number(out, &W_SET_QUEUE, 4, 4, a.queue):
        return -1
    p = start(out, &W_OUTPUT, 16)
    if p == NULL:
        return -1
    put32(p + 4, a.port)
    put16(p + 8, 0xffff)
    return put_plain(out, &W_POP_QUEUE)


cdef int output_reg(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    cdef const OfActOutputReg *a = <const OfActOutputReg *>act
    cdef bint wide = act.flags & OFACT_F_TABLE or not oxm_has_short_header(a.field, NXM_VERSION)
    cdef uint32_t at = out.length
    cdef uint8_t *p = start(out, &W_OUTPUT_REG2, 14) if wide else start(out, &W_OUTPUT_REG, 12)
    if p == NULL:
        return -1
    put16(p + 10, a.low << 6 | (a.n_bits - 1))
    if wide:
        put16(p + 12, a.max_len)
    if oxm_header_encode(out, a.field, NXM_VERSION, 0):
        return -1
    p = out_room(out, at + 24 - out.length)
    if p == NULL:
        return -1
    if not wide:
        put16(p, a.max_len)
    return finish(out, at)


# -- VLAN ------------------------------------------------------------------------------------------------------------

cdef int put_needed_tag(OutBuf *out, const OfAct *act) noexcept nogil:
    # OpenFlow 1.0's set actions push a tag where there is none; later versions say so.
    if act.flags & OFACT_F_PUSH_VLAN and not act.flags & OFACT_F_VLAN_FLOW_HAS:
        return put_number(out, &W_PUSH_VLAN, 4, 2, ETH_VLAN)
    return 0


cdef int set_vlan_vid(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    cdef uint32_t vid = (<const OfActValue *>act).value
    if version == 1:
        return put_number(out, &W_VID10, 4, 2, vid)
    return -1 if put_needed_tag(out, act) else put_set_number(out, F_VID, version, vid | VLAN_PRESENT)


cdef int set_vlan_pcp(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    cdef uint32_t pcp = (<const OfActValue *>act).value
    if version == 1:
        return put_number(out, &W_PCP10, 4, 1, pcp)
    return -1 if put_needed_tag(out, act) else put_set_number(out, F_PCP, version, pcp)


cdef int strip_vlan(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    return put_plain(out, &W_STRIP10 if version == 1 else &W_POP_VLAN)


cdef int push_vlan(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    # In OpenFlow 1.0 the set action that has to follow pushes the tag.
    return 0 if version == 1 else put_number(out, &W_PUSH_VLAN, 4, 2, (<const OfActValue *>act).value)


# -- header fields ---------------------------------------------------------------------------------------------------

cdef int put_mac(OutBuf *out, const Wire *w, uint16_t field, const uint8_t *mac, uint8_t version) noexcept nogil:
    cdef uint8_t *p
    if version != 1:
        return put_set_field(out, field, version, mac)
    p = start(out, w, 16)
    if p == NULL:
        return -1
    memcpy(p + 4, mac, 6)
    return 0


cdef int set_eth_src(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    return put_mac(out, &W_DL_SRC10, F_ETH_SRC, (<const OfActMac *>act).mac, version)


cdef int set_eth_dst(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    return put_mac(out, &W_DL_DST10, F_ETH_DST, (<const OfActMac *>act).mac, version)


cdef int set_ipv4_src(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    cdef uint32_t v = (<const OfActValue *>act).value
    return put_number(out, &W_NW_SRC10, 4, 4, v) if version == 1 else put_set_number(out, F_IP_SRC, version, v)


cdef int set_ipv4_dst(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    cdef uint32_t v = (<const OfActValue *>act).value
    return put_number(out, &W_NW_DST10, 4, 4, v) if version == 1 else put_set_number(out, F_IP_DST, version, v)


cdef int set_ip_dscp(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    cdef uint32_t v = (<const OfActValue *>act).value
    return put_number(out, &W_NW_TOS10, 4, 1, v) if version == 1 else put_set_number(out, F_DSCP, version, v >> 2)


cdef int set_ip_ecn(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    cdef uint32_t v = (<const OfActValue *>act).value
    return put_reg_load(out, F_ECN, 0, 2, v) if version == 1 else put_set_number(out, F_ECN, version, v)


cdef int set_ip_ttl(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    cdef uint32_t v = (<const OfActValue *>act).value
    return put_reg_load(out, F_TTL, 0, 8, v) if version == 1 else put_number(out, &W_NW_TTL, 4, 1, v)


cdef inline uint16_t port_field(const OfActValue *a, uint16_t tcp, uint16_t udp, uint16_t sctp) noexcept nogil:
    return udp if a.pad == IP_UDP else sctp if a.pad == IP_SCTP else tcp


cdef int set_l4_src(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    cdef const OfActValue *a = <const OfActValue *>act
    if version == 1:
        return put_number(out, &W_TP_SRC10, 4, 2, a.value)
    return put_set_number(out, port_field(a, F_TCP_SRC, F_UDP_SRC, F_SCTP_SRC), version, a.value)


cdef int set_l4_dst(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    cdef const OfActValue *a = <const OfActValue *>act
    if version == 1:
        return put_number(out, &W_TP_DST10, 4, 2, a.value)
    return put_set_number(out, port_field(a, F_TCP_DST, F_UDP_DST, F_SCTP_DST), version, a.value)


cdef int dec_ttl(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    cdef const OfActIds *a = <const OfActIds *>act
    cdef uint32_t i
    cdef uint8_t *p
    if a.count == 0:
        return put_plain(out, &W_NX_DEC_TTL if version == 1 else &W_DEC_TTL)
    p = start(out, &W_DEC_TTL_IDS, (16 + 2 * <uint32_t>a.count + 7) & ~<uint32_t>7)
    if p == NULL:
        return -1
    put16(p + 10, a.count)
    for i in range(a.count):
        put16(p + 16 + 2 * i, a.ids[i])
    return 0


# -- fields by number ------------------------------------------------------------------------------------------------

cdef int put_legacy(OutBuf *out, const Legacy *how, const OfActSetField *a) noexcept nogil:
    cdef uint8_t *p = start(out, how.wire, how.wire.n_bytes)
    if p == NULL:
        return -1
    if a.n_bytes > 2:
        memcpy(p + 4, a.data, a.n_bytes)
    else:
        be_store(p + 4, a.n_bytes, be_load(a.data, a.n_bytes) << how.shift & how.mask)
    return 0


cdef int put_reg_load2(OutBuf *out, const OfActSetField *a) noexcept nogil:
    cdef uint32_t at = out.length
    if start(out, &W_REG_LOAD2, 10) == NULL or put_oxm(out, a.field, NXM_VERSION, a.data, a.data + a.n_bytes):
        return -1
    return finish(out, at)


cdef int put_loads(OutBuf *out, const OfActSetField *a) noexcept nogil:
    # One reg_load for each run of bits in the mask, 64 at most.
    cdef const uint8_t *mask = a.data + a.n_bytes
    cdef uint32_t low = 0, n, end = min(<uint32_t>FIELD[a.field].n_bits, <uint32_t>a.n_bytes * 8)
    while low < end:
        n = 0
        while n < 64 and low + n < end and be_bits(mask, a.n_bytes, low + n, 1):
            n += 1
        if n and put_reg_load(out, a.field, low, n, be_bits(a.data, a.n_bytes, low, n)):
            return -1
        low += n if n else 1
    return 0


cdef int put_vlan_tci(OutBuf *out, uint32_t tci) noexcept nogil:
    # OpenFlow 1.0 sets a TCI in parts; one without the present bit removes the tag.
    if not tci & VLAN_PRESENT:
        return put_plain(out, &W_STRIP10)
    if put_number(out, &W_VID10, 4, 2, tci & 0xfff):
        return -1
    return put_number(out, &W_PCP10, 4, 1, tci >> 13)


cdef int set_field(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    cdef const OfActSetField *a = <const OfActSetField *>act
    cdef bint whole = all_ones(a.data + a.n_bytes, a.n_bytes)
    if whole and not act.flags & OFACT_F_LOAD:
        if version != 1:
            return put_set_field(out, a.field, version, a.data)
        if LEGACY[a.field].wire != NULL:
            return put_legacy(out, &LEGACY[a.field], a)
        if a.field == F_TCI:
            return put_vlan_tci(out, <uint32_t>be_load(a.data, 2))
    if act.flags & OFACT_F_NXM or not oxm_has_short_header(a.field, NXM_VERSION):
        return put_reg_load2(out, a)
    return put_loads(out, a)


cdef int move(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    cdef const OfActMove *a = <const OfActMove *>act
    cdef uint32_t at = out.length
    cdef uint8_t *p = start(out, &W_REG_MOVE, 16)
    if p == NULL:
        return -1
    put16(p + 10, a.n_bits)
    put16(p + 12, a.src_low)
    put16(p + 14, a.dst_low)
    if oxm_header_encode(out, a.src, NXM_VERSION, 0) or oxm_header_encode(out, a.dst, NXM_VERSION, 0):
        return -1
    return finish(out, at)


cdef int stack(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    cdef const OfActStack *a = <const OfActStack *>act
    cdef uint32_t at = out.length
    cdef uint8_t *p = start(out, &W_STACK_PUSH if act.kind == OFACT_STACK_PUSH else &W_STACK_POP, 12)
    if p == NULL:
        return -1
    put16(p + 10, a.low)
    if oxm_header_encode(out, a.field, NXM_VERSION, 0):
        return -1
    p = out_room(out, at + 24 - out.length)
    if p == NULL:
        return -1
    put16(p, a.n_bits)
    return finish(out, at)


# -- the rest --------------------------------------------------------------------------------------------------------

cdef int set_tunnel(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    cdef uint64_t v = (<const OfActValue64 *>act).value
    if version >= 3:
        return put_set_number(out, F_TUN_ID, version, v)
    if act.flags & OFACT_F_64 or v > 0xffffffffULL:
        return put_number(out, &W_TUNNEL64, 16, 8, v)
    return put_number(out, &W_TUNNEL, 12, 4, v)


cdef int set_queue(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    cdef uint32_t v = (<const OfActValue *>act).value
    return put_number(out, &W_NX_SET_QUEUE, 12, 4, v) if version == 1 else put_number(out, &W_SET_QUEUE, 4, 4, v)


cdef int pop_queue(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    return put_plain(out, &W_POP_QUEUE)


cdef int put_resubmit(OutBuf *out, bint with_table, uint32_t port, uint8_t table) noexcept nogil:
    cdef uint8_t *p = start(out, &W_RESUBMIT_TABLE if with_table else &W_RESUBMIT, 16)
    if p == NULL:
        return -1
    put16(p + 10, port & 0xffff)
    if with_table:
        p[12] = table
    return 0


cdef int resubmit(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    cdef const OfActResubmit *a = <const OfActResubmit *>act
    return put_resubmit(out, a.table != 255 or act.flags & OFACT_F_TABLE, a.in_port, a.table)


cdef int note(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    cdef const OfActNote *a = <const OfActNote *>act
    cdef uint8_t *p = start(out, &W_NOTE, max(<uint32_t>16, (10 + <uint32_t>a.count + 7) & ~<uint32_t>7))
    if p == NULL:
        return -1
    memcpy(p + 10, a.data, a.count)
    return 0


cdef int exit_pipeline(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    return put_plain(out, &W_EXIT)


# -- instructions ----------------------------------------------------------------------------------------------------

cdef int write_metadata(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    cdef const OfActMetadata *a = <const OfActMetadata *>act
    cdef uint8_t *p = start(out, &W_NX_METADATA, 32) if version == 1 else start(out, &I_METADATA, 24)
    if p == NULL:
        return -1
    p += 16 if version == 1 else 8
    memcpy(p, &a.value_be, 8)
    memcpy(p + 8, &a.mask_be, 8)
    return 0


cdef int goto_table(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    cdef uint8_t table = <uint8_t>(<const OfActValue *>act).value
    return put_resubmit(out, 1, OFPP_IN_PORT, table) if version == 1 else put_number(out, &I_GOTO, 4, 1, table)


cdef int clear_actions(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    return 0 if version == 1 else put_plain(out, &I_CLEAR)


cdef int write_actions(OutBuf *out, const OfAct *act, uint8_t version) noexcept nogil:
    cdef uint32_t at = out.length
    if version == 1:
        return 0
    if start(out, &I_WRITE, 8) == NULL:
        return -1
    if act_list_encode(out, <const uint8_t *>act + sizeof(OfActNested), act.length - sizeof(OfActNested), version):
        return -1
    return finish(out, at)


cdef int act_list_encode(OutBuf *out, const uint8_t *acts, uint32_t length, uint8_t version) noexcept nogil:
    cdef const uint8_t *end = acts + length
    cdef const OfAct *act
    while acts < end:
        act = <const OfAct *>acts
        if act.kind < N_OFACT_KINDS and ENCODE[act.kind] != NULL and ENCODE[act.kind](out, act, version):
            return -1
        acts += act.length
    return 0


cdef int instructions_encode(OutBuf *out, const uint8_t *acts, uint32_t length, uint8_t version) noexcept nogil:
    cdef const uint8_t *end = acts + length
    cdef const uint8_t *run
    cdef uint32_t at
    while acts < end:
        run = acts
        while acts < end and not IS_INSTRUCTION[(<const OfAct *>acts).kind]:
            acts += (<const OfAct *>acts).length
        if acts > run:
            at = out.length
            if start(out, &I_APPLY, 8) == NULL or act_list_encode(out, run, acts - run, version) or finish(out, at):
                return -1
        else:
            acts += (<const OfAct *>acts).length
            if act_list_encode(out, run, acts - run, version):
                return -1
    return 0


# -- set-up ----------------------------------------------------------------------------------------------------------

cdef void on(int kind, EncodeFn fn) noexcept:
    ENCODE[kind] = fn


cdef int legacy(str field, const Wire *w, uint32_t shift, uint32_t mask) except -1:
    cdef uint16_t number = field_by_name(field)
    LEGACY[number].wire = w
    LEGACY[number].shift = shift
    LEGACY[number].mask = mask
    return 0


def _fill_kinds():
    on(OFACT_OUTPUT, output)
    on(OFACT_CONTROLLER, controller)
    on(OFACT_ENQUEUE, enqueue)
    on(OFACT_OUTPUT_REG, output_reg)
    on(OFACT_SET_VLAN_VID, set_vlan_vid)
    on(OFACT_SET_VLAN_PCP, set_vlan_pcp)
    on(OFACT_STRIP_VLAN, strip_vlan)
    on(OFACT_PUSH_VLAN, push_vlan)
    on(OFACT_SET_ETH_SRC, set_eth_src)
    on(OFACT_SET_ETH_DST, set_eth_dst)
    on(OFACT_SET_IPV4_SRC, set_ipv4_src)
    on(OFACT_SET_IPV4_DST, set_ipv4_dst)
    on(OFACT_SET_IP_DSCP, set_ip_dscp)
    on(OFACT_SET_IP_ECN, set_ip_ecn)
    on(OFACT_SET_IP_TTL, set_ip_ttl)
    on(OFACT_SET_L4_SRC, set_l4_src)
    on(OFACT_SET_L4_DST, set_l4_dst)
    on(OFACT_SET_FIELD, set_field)
    on(OFACT_MOVE, move)
    on(OFACT_STACK_PUSH, stack)
    on(OFACT_STACK_POP, stack)
    on(OFACT_DEC_TTL, dec_ttl)
    on(OFACT_SET_TUNNEL, set_tunnel)
    on(OFACT_SET_QUEUE, set_queue)
    on(OFACT_POP_QUEUE, pop_queue)
    on(OFACT_RESUBMIT, resubmit)
    on(OFACT_NOTE, note)
    on(OFACT_EXIT, exit_pipeline)
    on(OFACT_CLEAR_ACTIONS, clear_actions)
    on(OFACT_WRITE_ACTIONS, write_actions)
    on(OFACT_WRITE_METADATA, write_metadata)
    on(OFACT_GOTO_TABLE, goto_table)
    for kind in (OFACT_CLEAR_ACTIONS, OFACT_WRITE_ACTIONS, OFACT_WRITE_METADATA, OFACT_GOTO_TABLE):
        IS_INSTRUCTION[<int>kind] = 1


def _fill_legacy():
    legacy("eth_src", &W_DL_SRC10, 0, 0)
    legacy("eth_dst", &W_DL_DST10, 0, 0)
    legacy("ip_src", &W_NW_SRC10, 0, 0)
    legacy("ip_dst", &W_NW_DST10, 0, 0)
    legacy("vlan_vid", &W_VID10, 0, 0xfff)
    legacy("vlan_pcp", &W_PCP10, 0, 7)
    legacy("nw_tos", &W_NW_TOS10, 0, 0xfc)
    legacy("ip_dscp", &W_NW_TOS10, 2, 0xfc)
    for proto in ("tcp", "udp"):
        legacy(proto + "_src", &W_TP_SRC10, 0, 0xffff)
        legacy(proto + "_dst", &W_TP_DST10, 0, 0xffff)


_fill_kinds()
_fill_legacy()
