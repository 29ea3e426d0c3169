"""Idle and hard time-outs (OF.07): see expiry.pxd."""

from libc.stdint cimport INT64_MAX, int64_t, uint32_t
from libc.stdlib cimport free, realloc

from datapath.atomic cimport load_seq_i64
from ofproto.rule cimport Rule, VERSION_FOREVER, rule_ref, rule_unref

cdef enum:
    SMALL_HEAP = 1024          # never swept below this size

cdef int64_t NS_PER_S = 1_000_000_000


cdef int rules_reserve(RuleList *rules, uint32_t extra) noexcept nogil:
    cdef uint32_t capacity = rules.capacity
    cdef void *grown
    if rules.n + extra <= capacity:
        return 0
    capacity = max(2 * capacity + 16, rules.n + extra)
    grown = realloc(rules.items, capacity * sizeof(Rule *))
    if grown == NULL:
        return -1
    rules.items = <Rule **>grown
    rules.capacity = capacity
    return 0


cdef int rules_push(RuleList *rules, Rule *rule) noexcept nogil:
    if rules_reserve(rules, 1) < 0:
        return -1
    rules.items[rules.n] = rule
    rules.n += 1
    return 0


cdef void rules_release(RuleList *rules) noexcept nogil:
    cdef uint32_t i
    for i in range(rules.n):
        rule_unref(rules.items[i])
    free(rules.items)
    rules.items = NULL
    rules.n = rules.capacity = 0


cdef bint rule_expires(const Rule *rule) noexcept nogil:
    return rule.idle_timeout_s != 0 or rule.hard_timeout_s != 0


cdef int64_t hard_deadline(const Rule *rule) noexcept nogil:
    return rule.modified_ns + rule.hard_timeout_s * NS_PER_S if rule.hard_timeout_s else INT64_MAX


cdef int64_t idle_deadline(const Rule *rule) noexcept nogil:
    return load_seq_i64(&rule.used_ns) + rule.idle_timeout_s * NS_PER_S if rule.idle_timeout_s else INT64_MAX


cdef int64_t deadline(const Rule *rule) noexcept nogil:
    return min(hard_deadline(rule), idle_deadline(rule))


cdef int expiry_reserve(Expiry *expiry, uint32_t extra) noexcept nogil:
    cdef uint32_t capacity = expiry.capacity
    cdef void *grown
    if expiry.n + extra <= capacity:
        return 0
    capacity = max(2 * capacity + 16, expiry.n + extra)
    grown = realloc(expiry.heap, capacity * sizeof(Deadline))
    if grown == NULL:
        return -1
    expiry.heap = <Deadline *>grown
    expiry.capacity = capacity
    return 0


cdef void sift_up(Deadline *heap, uint32_t at) noexcept nogil:
    cdef Deadline item = heap[at]
    while at and heap[(at - 1) // 2].at_ns > item.at_ns:
        heap[at] = heap[(at - 1) // 2]
        at = (at - 1) // 2
    heap[at] = item


cdef void sift_down(Deadline *heap, uint32_t n, uint32_t at) noexcept nogil:
    cdef Deadline item = heap[at]
    cdef uint32_t child = 2 * at + 1
    while child < n:
        if child + 1 < n and heap[child + 1].at_ns < heap[child].at_ns:
            child += 1
        if heap[child].at_ns >= item.at_ns:
            break
        heap[at] = heap[child]
        at = child
        child = 2 * at + 1
    heap[at] = item


cdef void expiry_add(Expiry *expiry, Rule *rule) noexcept nogil:
    rule_ref(rule)
    expiry.heap[expiry.n].rule = rule
    expiry.heap[expiry.n].at_ns = deadline(rule)
    expiry.n += 1
    sift_up(expiry.heap, expiry.n - 1)


cdef void sweep(Expiry *expiry) noexcept nogil:
    """Drop all rules that were removed and restore the heap."""
    cdef uint32_t i, kept = 0
    for i in range(expiry.n):
        if expiry.heap[i].rule.remove_version == VERSION_FOREVER:
            expiry.heap[kept] = expiry.heap[i]
            kept += 1
        else:
            rule_unref(expiry.heap[i].rule)
    expiry.n = kept
    expiry.n_dead = 0
    for i in range(kept // 2, 0, -1):
        sift_down(expiry.heap, kept, i - 1)


cdef void expiry_gone(Expiry *expiry) noexcept nogil:
    expiry.n_dead += 1
    if expiry.n_dead > SMALL_HEAP and expiry.n_dead > expiry.n // 2:
        sweep(expiry)


cdef void pop(Expiry *expiry) noexcept nogil:
    expiry.n -= 1
    expiry.heap[0] = expiry.heap[expiry.n]
    if expiry.n:
        sift_down(expiry.heap, expiry.n, 0)


cdef void expiry_due(Expiry *expiry, int64_t now_ns, RuleList *out) noexcept nogil:
    cdef Rule *rule
    while expiry.n and expiry.heap[0].at_ns < now_ns:
        rule = expiry.heap[0].rule
        if rule.remove_version != VERSION_FOREVER:
            pop(expiry)
            expiry.n_dead -= 1
            rule_unref(rule)
            continue
        if deadline(rule) >= now_ns:                       # used since
            expiry.heap[0].at_ns = deadline(rule)
            sift_down(expiry.heap, expiry.n, 0)
            continue
        if rules_push(out, rule) < 0:
            return
        rule.reason = OFPRR_HARD_TIMEOUT if hard_deadline(rule) < now_ns else OFPRR_IDLE_TIMEOUT
        pop(expiry)


cdef void expiry_free(Expiry *expiry) noexcept nogil:
    cdef uint32_t i
    for i in range(expiry.n):
        rule_unref(expiry.heap[i].rule)
    free(expiry.heap)
    expiry.heap = NULL
    expiry.n = expiry.capacity = expiry.n_dead = 0
