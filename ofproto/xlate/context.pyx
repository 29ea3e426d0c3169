"""The state of one translation: see context.pxd."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from datapath.act cimport ActBuf
from datapath.drops cimport DROP_NO_OUTPUT, DROP_OUT_OF_MEMORY
from datapath.flow_key cimport FlowKey, KEY_PACKET_WORDS, KEY_WORDS
from ofproto.credits cimport CreditItem
from ofproto.switch cimport Switch

cdef enum:
    GROW_MIN = 16


cdef XlateContext *context_new(Switch *sw) noexcept nogil:
    cdef XlateContext *ctx = <XlateContext *>calloc(1, sizeof(XlateContext))
    if ctx != NULL:
        ctx.sw = sw
    return ctx


cdef void context_free(XlateContext *ctx) noexcept nogil:
    if ctx == NULL:
        return
    free(ctx.credits.data)
    free(ctx.punts.data)
    free(ctx.learns.data)
    free(ctx.stack.data)
    free(ctx.action_set.data)
    free(ctx)


cdef void context_start(XlateContext *ctx, ActBuf *acts, uint64_t version, int64_t now_ns) noexcept nogil:
    ctx.acts = acts
    acts.n = 0
    acts.overflow = False
    memset(&ctx.bdet, 0, sizeof(FlowKey))
    memset(&ctx.reads, 0, sizeof(FlowKey))
    memset(&ctx.mask, 0, sizeof(FlowKey))
    memset(&ctx.det, 0, KEY_PACKET_WORDS * 8)
    # the pipeline starts from constants
    memset(<uint8_t *>&ctx.det + KEY_PACKET_WORDS * 8, 0xff, (KEY_WORDS - KEY_PACKET_WORDS) * 8)
    ctx.touched[0] = ctx.touched[1] = 0
    ctx.key_deep.n = ctx.base_deep.n = 0
    memset(&ctx.tags, 0, sizeof(ctx.tags))
    memset(&ctx.dst_tags, 0, sizeof(ctx.dst_tags))
    ctx.version, ctx.now_ns, ctx.cookie, ctx.n_tags = version, now_ns, 0, 0
    ctx.depth = ctx.resubmits = ctx.n_outputs = ctx.error = 0
    ctx.set_base = ctx.stack_base = 0
    ctx.table_id = ctx.reason_table = 0
    ctx.reason_bridge = 0
    ctx.reason = DROP_NO_OUTPUT
    ctx.exit = ctx.in_action_set = ctx.in_packet_out = ctx.miss_rule = ctx.side_effects = False
    ctx.credits.n = ctx.punts.n = ctx.learns.n = ctx.stack.n = ctx.action_set.n = 0


cdef void *grow_add(Grow *grow, uint32_t element_bytes, uint32_t count) noexcept nogil:
    cdef uint32_t capacity = grow.capacity
    cdef uint8_t *data
    if grow.n + count > capacity:
        while capacity < grow.n + count:
            capacity = max(<uint32_t>GROW_MIN, capacity * 2)
        data = <uint8_t *>realloc(grow.data, <size_t>capacity * element_bytes)
        if data == NULL:
            return NULL
        grow.data, grow.capacity = data, capacity
    data = grow.data + <size_t>grow.n * element_bytes
    memset(data, 0, <size_t>count * element_bytes)
    grow.n += count
    return data


cdef CreditItem *add_credit(XlateContext *ctx, uint8_t kind, uint8_t table_id) noexcept nogil:
    cdef CreditItem *item = <CreditItem *>grow_add(&ctx.credits, sizeof(CreditItem), 1)
    if item == NULL:
        ctx.error = DROP_OUT_OF_MEMORY
        return NULL
    item.kind, item.table, item.bridge_id = kind, table_id, ctx.bridge.id
    return item


cdef void fold_all(XlateContext *ctx) noexcept nogil:
    fold(ctx, 0, sizeof(FlowKey))
