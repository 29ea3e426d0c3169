"""An add to a large table reads a bucket, the rules in it, and those in the bucket that it divides, each somewhere else
in memory: three or four cache misses one after the other. Here those of a whole batch are under way at once.

Place in the packet's path: none. Thread rule: the control thread, the only one that changes tables, so what is read
here without the lock stays as it is. Measured by bench/growth.py, see bench/RESULTS.md.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from datapath.atomic cimport prefetch
from ofproto.flow_edit cimport EDIT_BATCH, FlowOp
from ofproto.flow_mod cimport FM_ADD
from ofproto.of_number cimport TABLE_ALL
from ofproto.rule cimport Rule, Subtable, Table, find_subtable
from ofproto.subtable cimport bucket_of, hash_key
from ofproto.switch cimport Bridge

cdef enum:
    LARGE_RULES = 2048         # smaller tables are in the cache anyway
    LINE_BYTES = 64


cdef inline Subtable *where_of(const Bridge *bridge, const FlowOp *op) noexcept nogil:
    """The subtable that an add goes to, if it is large; else NULL."""
    cdef const Table *table
    cdef Subtable *subtable
    if op.error or op.fm.command != FM_ADD:
        return NULL
    table = bridge.tables[0 if op.fm.table_id == TABLE_ALL else op.fm.table_id]
    if table == NULL:
        return NULL
    subtable = find_subtable(table, &op.which.shape)
    return subtable if subtable != NULL and subtable.n_rules >= LARGE_RULES else NULL


cdef inline void fetch_rule(const Rule *rule) noexcept nogil:
    """What decides whether it is the same flow, and where it goes when its bucket is divided."""
    prefetch(rule)
    prefetch(<const uint8_t *>rule + LINE_BYTES)


cdef void fetch_ahead(const Bridge *bridge, const FlowOp *ops, uint32_t n_ops) noexcept nogil:
    cdef (Rule **)[2 * EDIT_BATCH] heads
    cdef Subtable *subtable
    cdef Subtable *last = NULL
    cdef uint32_t i, n = 0, n_same = 0
    for i in range(n_ops):
        subtable = where_of(bridge, &ops[i])
        if subtable == NULL:
            continue
        heads[n] = bucket_of(subtable, hash_key(&subtable.shape, <const uint64_t *>ops[i].which.value))
        prefetch(heads[n])
        n += 1
        n_same = n_same + 1 if subtable == last else 0
        last = subtable
        if subtable.split + n_same < subtable.n_buckets:   # the bucket that this add divides, if they come in a row
            heads[n] = &subtable.buckets[subtable.split + n_same]
            n += 1
    for i in range(n):
        if heads[i][0] != NULL:
            fetch_rule(heads[i][0])
    for i in range(n):
        if heads[i][0] != NULL and heads[i][0].next != NULL:
            fetch_rule(heads[i][0].next)
