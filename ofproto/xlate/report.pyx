"""The hooks by which translation tells what it does: see report.pxd."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ofproto.field cimport field_bits
from ofproto.rule cimport Rule
from ofproto.xlate.context cimport XlateContext, grow_add
from ofproto.xlate.record cimport (
    EVENT_ACTION_SET, EVENT_BRIDGE, EVENT_CLOSE, EVENT_NOTE, EVENT_TABLE, EVENT_VALUE, EVENTS_MAX, Event, NOTE_CUT,
    NOTE_NONE, Record,
)

cdef enum:
    WORD_BITS = 64
    WORDS_MAX = 16             # of a field's value


cdef inline bint opens(uint8_t kind) noexcept nogil:
    return kind == EVENT_BRIDGE or kind == EVENT_TABLE or kind == EVENT_ACTION_SET


cdef bint is_hidden(Record *record, uint8_t kind) noexcept nogil:
    """Whether it is too late for an event; what was opened before is closed all the same."""
    if kind == EVENT_CLOSE:
        if record.hidden == 0:
            return False
        record.hidden -= 1
        return True
    if record.events.n < EVENTS_MAX:
        return False
    record.hidden += opens(kind)
    return True


cdef Event *add(XlateContext *ctx, uint8_t kind, uint8_t note) noexcept nogil:
    """The next event, NULL when there are too many or no memory is left. The last one says that more is missing."""
    cdef Record *record = ctx.record
    cdef Event *event
    if is_hidden(record, kind):
        return NULL
    event = <Event *>grow_add(&record.events, sizeof(Event), 1)
    if event == NULL:
        record.hidden += opens(kind)
        return NULL
    event.kind, event.note, event.table_id, event.bridge_id = kind, note, ctx.table_id, ctx.bridge.id
    if record.events.n == EVENTS_MAX and kind != EVENT_CLOSE:
        record.hidden += opens(kind)
        event.kind, event.note = EVENT_NOTE, NOTE_CUT
    return event


cdef void report_add(XlateContext *ctx, uint8_t kind, uint8_t note, uint32_t number, uint32_t aux, const void *data,
        uint32_t length) noexcept nogil:
    cdef Event *event = add(ctx, kind, note)
    cdef void *copy
    if event == NULL or event.kind != kind:
        return
    event.number, event.aux = number, aux
    if length == 0:
        return
    copy = grow_add(&ctx.record.data, 1, length)
    if copy != NULL:
        memcpy(copy, data, length)
        event.at, event.length = ctx.record.data.n - length, length


cdef void report_rule_of(XlateContext *ctx, uint8_t table_id, const Rule *rule, uint8_t note) noexcept nogil:
    cdef Event *event = add(ctx, EVENT_TABLE, note)
    if event != NULL and event.kind == EVENT_TABLE:
        event.table_id, event.rule = table_id, rule


cdef void report_value_of(XlateContext *ctx, uint16_t field, uint16_t low, uint16_t n_bits) noexcept nogil:
    cdef uint64_t[WORDS_MAX] value
    cdef Event *event
    cdef uint32_t done = 0
    while done < n_bits:
        value[done // WORD_BITS] = field_bits(&ctx.key, field, low + done, min(<uint32_t>WORD_BITS, n_bits - done))
        done += WORD_BITS
    report_add(ctx, EVENT_VALUE, NOTE_NONE, field, low, &value[0], (done // WORD_BITS) * 8)
    event = <Event *>ctx.record.events.data + (ctx.record.events.n - 1)
    if ctx.record.events.n and event.kind == EVENT_VALUE:
        event.n_bits = n_bits
