"""Rules that may time out, as a binary heap over the earliest moment at which each can: what is not due is not touched.

A rule used in the meantime comes up at its old deadline and is put back with the new one. Rules that went otherwise
stay in the heap (it holds a reference) until they come up or make up half of it. Thread rule: the switch's write lock,
or the control thread while nothing else edits tables.
"""

from libc.stdint cimport int64_t, uint32_t

from ofproto.rule cimport Rule

cdef enum:
    OFPRR_IDLE_TIMEOUT = 0
    OFPRR_HARD_TIMEOUT = 1
    OFPRR_DELETE = 2

cdef struct RuleList:          # growable; whoever fills it says whether references are held
    Rule **items
    uint32_t n
    uint32_t capacity

cdef struct Deadline:
    int64_t at_ns
    Rule *rule                 # one reference held

cdef struct Expiry:
    Deadline *heap
    uint32_t n
    uint32_t capacity
    uint32_t n_dead            # of n: rules removed otherwise

cdef int rules_reserve(RuleList *rules, uint32_t extra) noexcept nogil                # 0, -1 without memory
# 0, -1 without memory; takes no reference
cdef int rules_push(RuleList *rules, Rule *rule) noexcept nogil
# drop one reference of each and free the list
cdef void rules_release(RuleList *rules) noexcept nogil

cdef bint rule_expires(const Rule *rule) noexcept nogil
cdef int expiry_reserve(Expiry *expiry, uint32_t extra) noexcept nogil                # 0, -1 without memory
# a rule with time-outs; there is room; takes a reference
cdef void expiry_add(Expiry *expiry, Rule *rule) noexcept nogil
# one of the rules in it was removed
cdef void expiry_gone(Expiry *expiry) noexcept nogil
# Move the rules that have timed out at now_ns to `out` with their reference, reason set; stops early without memory.
cdef void expiry_due(Expiry *expiry, int64_t now_ns, RuleList *out) noexcept nogil
cdef void expiry_free(Expiry *expiry) noexcept nogil
