"""Decoders of the Nicira extension actions, whose body starts at byte 10; see act_form.pxd."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from datapath.bytes cimport load_be16 as get16, load_be32 as get32, load_be64 as get64
from ofproto.act_form cimport *
from ofproto.bits cimport be_put_bits
from ofproto.codec cimport act_room, all_zero, port_from16
from ofproto.of_error cimport (
    NXBRC_MUST_BE_ZERO, OFPBAC_BAD_ARGUMENT, OFPBAC_BAD_LEN, OFPBAC_BAD_SET_ARGUMENT, OFPFMFC_TABLE_FULL,
)
from ofproto.ofact cimport *
from ofproto.oxm cimport OXM_IN_ACTION, OxmEntry, oxm_pull


cdef uint32_t nx_controller(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    cdef OfActController *act = <OfActController *>act_room(out, OFACT_CONTROLLER, sizeof(OfActController))
    if act == NULL:
        return OFPFMFC_TABLE_FULL
    act.max_len = get16(p + 10)
    act.controller_id = get16(p + 12)
    act.reason = p[14]
    return 0


cdef uint32_t add_output_reg(const uint8_t *p, uint32_t left, uint32_t range_word, uint32_t max_len, uint8_t flags,
                             OfActBuf *out) noexcept nogil:
    # p: the field header and zeros after it; range_word: low << 6 | n_bits - 1.
    cdef OfActOutputReg *act
    cdef uint16_t field = 0
    cdef uint32_t error = pull_field(&p, &left, &field)
    if not error and not all_zero(p, left):
        error = NXBRC_MUST_BE_ZERO
    if not error:
        error = range_error(field, range_word >> 6, (range_word & 63) + 1, 0)
    if error:
        return error
    act = <OfActOutputReg *>act_room(out, OFACT_OUTPUT_REG, sizeof(OfActOutputReg))
    if act == NULL:
        return OFPFMFC_TABLE_FULL
    act.h.flags = flags
    act.field = field
    act.low = range_word >> 6
    act.n_bits = (range_word & 63) + 1
    act.max_len = max_len
    return 0


cdef uint32_t nx_output_reg(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    if not all_zero(p + 18, 6):
        return OFPBAC_BAD_ARGUMENT
    return old_form_error(add_output_reg(p + 12, 4, get16(p + 10), get16(p + 16), 0, out))


cdef uint32_t nx_output_reg2(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return add_output_reg(p + 14, length - 14, get16(p + 10), get16(p + 12), OFACT_F_TABLE, out)


cdef uint32_t nx_reg_load(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    cdef const uint8_t *at = p + 12
    cdef OfActSetField *act
    cdef uint16_t field = 0
    cdef uint32_t left = 4, low = get16(p + 10) >> 6, n_bits = (get16(p + 10) & 63) + 1
    cdef uint64_t value = get64(p + 16)
    cdef uint32_t error = old_form_error(pull_field(&at, &left, &field))
    if not error:
        error = range_error(field, low, n_bits, 1)
    if error:
        return error
    if n_bits < 64 and value >> n_bits:
        return OFPBAC_BAD_ARGUMENT
    act = add_set_field(out, field, OFACT_F_LOAD)
    if act == NULL:
        return OFPFMFC_TABLE_FULL
    be_put_bits(act.data, act.n_bytes, low, n_bits, value)
    be_put_bits(act.data + act.n_bytes, act.n_bytes, low, n_bits, 0xffffffffffffffffULL)
    return 0


cdef uint32_t nx_reg_load2(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    cdef OxmEntry e
    cdef uint32_t error = oxm_pull(p + 10, length - 10, OXM_IN_ACTION, &e)
    if error:
        return error
    if not all_zero(p + 10 + e.total_bytes, length - 10 - e.total_bytes):
        return OFPBAC_BAD_SET_ARGUMENT
    return add_whole_field(&e, out, OFACT_F_LOAD | OFACT_F_NXM)


cdef uint32_t nx_reg_move(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    cdef const uint8_t *at = p + 16
    cdef uint32_t left = length - 16, n_bits = get16(p + 10), src_low = get16(p + 12), dst_low = get16(p + 14)
    cdef uint16_t src = 0, dst = 0
    cdef OfActMove *act
    cdef uint32_t error = pull_field(&at, &left, &src)
    if not error:
        error = pull_field(&at, &left, &dst)
    if not error and not all_zero(at, left):
        error = NXBRC_MUST_BE_ZERO
    if not error:
        error = range_error(src, src_low, n_bits, 0)
    if not error:
        error = range_error(dst, dst_low, n_bits, 1)
    if error:
        return error
    act = <OfActMove *>act_room(out, OFACT_MOVE, sizeof(OfActMove))
    if act == NULL:
        return OFPFMFC_TABLE_FULL
    act.src = src
    act.src_low = src_low
    act.dst = dst
    act.dst_low = dst_low
    act.n_bits = n_bits
    return 0


cdef uint32_t add_stack(const uint8_t *p, uint32_t length, uint8_t kind, OfActBuf *out) noexcept nogil:
    # Body: offset, field header, number of bits, zeros.
    cdef const uint8_t *at = p + 12
    cdef uint32_t left = length - 12, low = get16(p + 10), n_bits
    cdef uint16_t field = 0
    cdef OfActStack *act
    cdef uint32_t error = pull_field(&at, &left, &field)
    if error:
        return error
    if left < 2:
        return OFPBAC_BAD_LEN
    n_bits = get16(at)
    if not all_zero(at + 2, left - 2):
        return NXBRC_MUST_BE_ZERO
    error = range_error(field, low, n_bits, kind == OFACT_STACK_POP)
    if error:
        return error
    act = <OfActStack *>act_room(out, kind, sizeof(OfActStack))
    if act == NULL:
        return OFPFMFC_TABLE_FULL
    act.field = field
    act.low = low
    act.n_bits = n_bits
    return 0


cdef uint32_t nx_stack_push(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return add_stack(p, length, OFACT_STACK_PUSH, out)


cdef uint32_t nx_stack_pop(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return add_stack(p, length, OFACT_STACK_POP, out)


cdef uint32_t nx_dec_ttl_cnt_ids(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    cdef uint32_t n = get16(p + 10), i
    cdef OfActIds *act
    if n * 2 > length - 16:
        return OFPBAC_BAD_LEN
    act = <OfActIds *>act_room(out, OFACT_DEC_TTL, max(<uint32_t>sizeof(OfActIds), <uint32_t>sizeof(OfAct) + 2 + 2 * n))
    if act == NULL:
        return OFPFMFC_TABLE_FULL
    act.count = n
    for i in range(n):
        act.ids[i] = get16(p + 16 + 2 * i)
    return 0


cdef uint32_t nx_set_tunnel(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return add_tunnel(out, get32(p + 12), 0)


cdef uint32_t nx_set_tunnel64(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return add_tunnel(out, get64(p + 16), OFACT_F_64)


cdef uint32_t nx_set_queue(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return add_value(out, OFACT_SET_QUEUE, get32(p + 12), 0)


cdef uint32_t nx_pop_queue(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return add_plain(out, OFACT_POP_QUEUE)


cdef uint32_t add_resubmit(uint32_t port, uint8_t table, uint8_t flags, OfActBuf *out) noexcept nogil:
    cdef OfActResubmit *act = <OfActResubmit *>act_room(out, OFACT_RESUBMIT, sizeof(OfActResubmit))
    if act == NULL:
        return OFPFMFC_TABLE_FULL
    act.h.flags = flags
    act.in_port = port_from16(port)
    act.table = table
    return 0


cdef uint32_t nx_resubmit(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return add_resubmit(get16(p + 10), 255, 0, out)


cdef uint32_t nx_resubmit_table(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    if not all_zero(p + 13, 3):
        return OFPBAC_BAD_ARGUMENT
    return add_resubmit(get16(p + 10), p[12], OFACT_F_TABLE, out)


cdef uint32_t nx_note(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    cdef OfActNote *act = <OfActNote *>act_room(out, OFACT_NOTE, sizeof(OfAct) + 2 + (length - 10))
    if act == NULL:
        return OFPFMFC_TABLE_FULL
    act.count = <uint16_t>(length - 10)
    memcpy(act.data, p + 10, length - 10)
    return 0


cdef uint32_t nx_exit(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return add_plain(out, OFACT_EXIT)


cdef uint32_t nx_write_metadata(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    if not all_zero(p + 10, 6):
        return NXBRC_MUST_BE_ZERO
    return add_metadata(p + 16, p + 24, out)


# -- set-up ------------------------------------------------------------------------------------------------------------

def _bind_nicira():
    bind("nx_controller", nx_controller)
    bind("nx_output_reg", nx_output_reg)
    bind("nx_output_reg2", nx_output_reg2)
    bind("nx_reg_load", nx_reg_load)
    bind("nx_reg_load2", nx_reg_load2)
    bind("nx_reg_move", nx_reg_move)
    bind("nx_stack_push", nx_stack_push)
    bind("nx_stack_pop", nx_stack_pop)
    bind("nx_dec_ttl_cnt_ids", nx_dec_ttl_cnt_ids)
    bind("nx_set_tunnel", nx_set_tunnel)
    bind("nx_set_tunnel64", nx_set_tunnel64)
    bind("nx_set_queue", nx_set_queue)
    bind("nx_pop_queue", nx_pop_queue)
    bind("nx_resubmit", nx_resubmit)
    bind("nx_resubmit_table", nx_resubmit_table)
    bind("nx_note", nx_note)
    bind("nx_exit", nx_exit)
    bind("nx_write_metadata", nx_write_metadata)


_bind_nicira()
