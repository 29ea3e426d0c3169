"""The hooks by which translation tells what it does (record.pxd).

Only the control thread records: XlateContext.record is NULL on forwarders, so a hook costs the packets' path one test
of a pointer.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from ofproto.ofact cimport OfAct
from ofproto.rule cimport Rule
from ofproto.xlate.context cimport XlateContext
from ofproto.xlate.record cimport EVENT_ACTION, EVENT_CLOSE, EVENT_NOTE, NOTE_NONE

cdef void report_add(XlateContext *ctx, uint8_t kind, uint8_t note, uint32_t number, uint32_t aux, const void *data,
        uint32_t length) noexcept nogil
cdef void report_rule_of(XlateContext *ctx, uint8_t table_id, const Rule *rule, uint8_t note) noexcept nogil
cdef void report_value_of(XlateContext *ctx, uint16_t field, uint16_t low, uint16_t n_bits) noexcept nogil

cdef inline void report_open(XlateContext *ctx, uint8_t kind) noexcept nogil:
    if ctx.record != NULL:
        report_add(ctx, kind, NOTE_NONE, 0, 0, NULL, 0)

cdef inline void report_close(XlateContext *ctx) noexcept nogil:
    if ctx.record != NULL:
        report_add(ctx, EVENT_CLOSE, NOTE_NONE, 0, 0, NULL, 0)

cdef inline void report_table(XlateContext *ctx, uint8_t table_id, const Rule *rule, uint8_t note) noexcept nogil:
    if ctx.record != NULL:
        report_rule_of(ctx, table_id, rule, note)

cdef inline void report_action(XlateContext *ctx, const OfAct *act) noexcept nogil:
    if ctx.record != NULL:
        report_add(ctx, EVENT_ACTION, NOTE_NONE, 0, 0, act, act.length if act != NULL else 0)

cdef inline void report_note(XlateContext *ctx, uint8_t note, uint32_t number, uint32_t aux) noexcept nogil:
    if ctx.record != NULL:
        report_add(ctx, EVENT_NOTE, note, number, aux, NULL, 0)

cdef inline void report_mac(XlateContext *ctx, uint8_t note, uint32_t number, uint32_t aux,
        const uint8_t *mac) noexcept nogil:
    if ctx.record != NULL:
        report_add(ctx, EVENT_NOTE, note, number, aux, mac, 6)

# Note what bits of a field are now.
cdef inline void report_value(XlateContext *ctx, uint16_t field, uint16_t low, uint16_t n_bits) noexcept nogil:
    if ctx.record != NULL:
        report_value_of(ctx, field, low, n_bits)
