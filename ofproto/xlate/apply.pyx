"""Run a list of actions: see apply.pxd. Steps that change headers are in rewrite.pyx, all others here."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from datapath.bytes cimport htobe16, htobe32
from datapath.drops cimport DROP_EXPLICIT_DROP, DROP_INVALID_ACTION, DROP_OUT_OF_MEMORY, DROP_TTL_EXPIRED
from datapath.flow_key cimport OFS_NW_TTL, SLOT_NW_TTL
from datapath.headers cimport ETH_IPV4, ETH_IPV6
from ofproto.codec cimport port_from16
from ofproto.credits cimport PUNT_ACTION, PUNT_EXPLICIT_MISS, PUNT_INVALID_TTL
from ofproto.field cimport field_bits, field_mark_bits
from ofproto.of_number cimport OFPP_IN_PORT, OFPP_UNSET, TABLE_ALL
from ofproto.ofact cimport (
    N_OFACT_KINDS, OFACT_CLEAR_ACTIONS, OFACT_CONTROLLER, OFACT_DEC_TTL, OFACT_ENQUEUE, OFACT_EXIT, OFACT_GOTO_TABLE,
    OFACT_NOTE, OFACT_OUTPUT, OFACT_OUTPUT_REG, OFACT_RESUBMIT, OFACT_WRITE_ACTIONS, OFACT_WRITE_METADATA, OfAct,
    OfActController, OfActEnqueue, OfActIds, OfActMetadata, OfActOutput, OfActOutputReg, OfActResubmit, OfActValue,
    ofact_next,
)
from ofproto.xlate.context cimport XlateContext, grow_add, note_drop, read_bytes, write_slot
from ofproto.xlate.output cimport enqueue as enqueue_to, output as output_to, punt
from ofproto.xlate.record cimport (
    EVENT_SET, Grow, NOTE_OUTPUT_REG, NOTE_SET_IS, NOTE_SET_WAS, NOTE_TTL_4, NOTE_TTL_6,
)
from ofproto.xlate.report cimport report_action, report_add, report_note
from ofproto.xlate.rewrite cimport add_rewrite_steps


# -- output

cdef bint output(XlateContext *ctx, const OfAct *a) noexcept nogil:
    output_to(ctx, (<const OfActOutput *>a).port, (<const OfActOutput *>a).max_len)
    return False


cdef bint output_reg(XlateContext *ctx, const OfAct *a) noexcept nogil:
    cdef const OfActOutputReg *act = <const OfActOutputReg *>a
    cdef uint64_t port = field_bits(&ctx.key, act.field, act.low, min(<uint16_t>64, act.n_bits))
    field_mark_bits(&ctx.reads, act.field, act.low, act.n_bits)
    if port <= 0xffff:
        port = port_from16(<uint32_t>port)
    report_note(ctx, NOTE_OUTPUT_REG, <uint32_t>port, 0)
    output_to(ctx, <uint32_t>port, act.max_len)
    return False


cdef bint controller(XlateContext *ctx, const OfAct *a) noexcept nogil:
    cdef const OfActController *act = <const OfActController *>a
    cdef uint8_t reason = PUNT_EXPLICIT_MISS if act.reason == PUNT_ACTION and ctx.miss_rule else act.reason
    punt(ctx, reason, act.controller_id, act.max_len, ctx.cookie)
    return False


cdef bint enqueue(XlateContext *ctx, const OfAct *a) noexcept nogil:
    enqueue_to(ctx, (<const OfActEnqueue *>a).port, (<const OfActEnqueue *>a).queue)
    return False


# -- TTL

cdef void report_ttl(XlateContext *ctx, const OfActIds *act) noexcept nogil:
    cdef uint32_t i
    note_drop(ctx, DROP_TTL_EXPIRED)
    report_note(ctx, NOTE_TTL_4 if ctx.key.pkt.eth_type == htobe16(ETH_IPV4) else NOTE_TTL_6, 0, 0)
    if not ctx.bridge.ttl_punt:
        return
    for i in range(max(<uint16_t>1, act.count)):
        punt(ctx, PUNT_INVALID_TTL, act.ids[i] if act.count else 0, 0xffff, ctx.cookie)


cdef bint dec_ttl(XlateContext *ctx, const OfAct *a) noexcept nogil:
    """Decrement the TTL; when it would reach 0, the list ends here (those that resubmitted to it go on)."""
    if ctx.key.pkt.eth_type != htobe16(ETH_IPV4) and ctx.key.pkt.eth_type != htobe16(ETH_IPV6):
        return False
    read_bytes(ctx, OFS_NW_TTL, 1)
    if ctx.key.pkt.nw_ttl <= 1:
        report_ttl(ctx, <const OfActIds *>a)
        return True
    write_slot(ctx, SLOT_NW_TTL, OFS_NW_TTL, 1)
    ctx.key.pkt.nw_ttl -= 1
    return False


# -- flow control and instructions

cdef bint resubmit(XlateContext *ctx, const OfAct *a) noexcept nogil:
    cdef const OfActResubmit *act = <const OfActResubmit *>a
    cdef uint32_t in_port_be = ctx.key.pkt.in_port if act.in_port == <uint32_t>OFPP_IN_PORT else htobe32(act.in_port)
    ctx.run_table(ctx, ctx.table_id if act.table == TABLE_ALL else act.table, in_port_be, False)
    return False


cdef bint goto_table(XlateContext *ctx, const OfAct *a) noexcept nogil:
    ctx.run_table(ctx, (<const OfActValue *>a).value, ctx.key.pkt.in_port, True)
    return True


cdef bint exit_action(XlateContext *ctx, const OfAct *a) noexcept nogil:
    ctx.exit = True
    return True


cdef bint note(XlateContext *ctx, const OfAct *a) noexcept nogil:
    return False


cdef bint write_metadata(XlateContext *ctx, const OfAct *a) noexcept nogil:
    cdef const OfActMetadata *act = <const OfActMetadata *>a
    ctx.key.metadata = (ctx.key.metadata & ~act.mask_be) | (act.value_be & act.mask_be)
    return False


cdef void report_set(XlateContext *ctx, uint8_t note) noexcept nogil:
    """Tell what is in the action set."""
    cdef Grow entries
    if ctx.record == NULL:
        return
    memset(&entries, 0, sizeof(Grow))
    ctx.list_set(ctx, &entries)
    report_add(ctx, EVENT_SET, note, 0, 0, entries.data, entries.n)
    free(entries.data)


cdef bint clear_actions(XlateContext *ctx, const OfAct *a) noexcept nogil:
    report_set(ctx, NOTE_SET_WAS)
    ctx.action_set.n = ctx.set_base
    ctx.key.actset_output = htobe32(<uint32_t>OFPP_UNSET)
    return False


cdef bint write_actions(XlateContext *ctx, const OfAct *a) noexcept nogil:
    """Append to the action set; which entries count is decided when it runs (action_set.pyx)."""
    cdef uint32_t length = a.length - sizeof(OfAct)
    cdef const uint8_t *nested = <const uint8_t *>(a + 1)
    cdef const OfAct *act = <const OfAct *>nested
    cdef uint8_t *copy
    if length == 0:
        return False
    copy = <uint8_t *>grow_add(&ctx.action_set, 1, length)
    if copy == NULL:
        ctx.error = DROP_OUT_OF_MEMORY
        return True
    memcpy(copy, nested, length)
    while <const uint8_t *>act < nested + length:
        if act.kind == OFACT_OUTPUT:
            ctx.key.actset_output = htobe32((<const OfActOutput *>act).port)
        act = ofact_next(act)
    report_set(ctx, NOTE_SET_IS)
    return False


# -- the table

cdef StepFn[N_OFACT_KINDS] STEP


def _fill() -> None:
    memset(&STEP[0], 0, sizeof(STEP))
    add_rewrite_steps(&STEP[0])
    STEP[<int>OFACT_OUTPUT], STEP[<int>OFACT_OUTPUT_REG] = output, output_reg
    STEP[<int>OFACT_CONTROLLER], STEP[<int>OFACT_ENQUEUE] = controller, enqueue
    STEP[<int>OFACT_DEC_TTL] = dec_ttl
    STEP[<int>OFACT_RESUBMIT], STEP[<int>OFACT_GOTO_TABLE] = resubmit, goto_table
    STEP[<int>OFACT_EXIT], STEP[<int>OFACT_NOTE] = exit_action, note
    STEP[<int>OFACT_CLEAR_ACTIONS], STEP[<int>OFACT_WRITE_ACTIONS] = clear_actions, write_actions
    STEP[<int>OFACT_WRITE_METADATA] = write_metadata


_fill()


cdef bint apply_one(XlateContext *ctx, const OfAct *act) noexcept nogil:
    if act.kind >= N_OFACT_KINDS or STEP[act.kind] == NULL:
        note_drop(ctx, DROP_INVALID_ACTION)
        return False
    report_action(ctx, act)
    return STEP[act.kind](ctx, act)


cdef void apply_list(XlateContext *ctx, const uint8_t *acts, uint32_t length) noexcept nogil:
    cdef const OfAct *act = <const OfAct *>acts
    cdef const uint8_t *end = acts + length
    if length == 0:
        note_drop(ctx, DROP_EXPLICIT_DROP)
        report_action(ctx, NULL)
    while <const uint8_t *>act < end and not ctx.error and not ctx.exit:
        if apply_one(ctx, act):
            return
        act = ofact_next(act)
