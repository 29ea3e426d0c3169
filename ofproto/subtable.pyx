"""The linear hash table (Litwin 1980) under a subtable: an insert splits one bucket and a removal merges one, so no
edit ever rehashes a table. Stage filters (the idea is Open vSwitch's staged look-up) tell a look-up early that no rule
begins like the key, so that it reads no further.

A single insert costs 0.6 us at 10,000 rules and 1.1 us at 1,000,000 (bench/classifier.py --table, Python's share
included): a bucket and the rules in it are three or four cache misses by then. Batches have them fetched before
(fetch_ahead.pyx).
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memmove

from datapath.atomic cimport drop_u32
from datapath.flow_key cimport KEY_BASE_WORDS, KEY_PACKET_WORDS, KEY_STAGE0_WORDS, KEY_STAGE1_WORDS, KEY_STAGE2_WORDS
from ofproto.rule cimport MaskShape, PriorityCount, Rule, Stage, Subtable

cdef enum:
    MIN_BUCKETS = 4            # a power of two
    MIN_STAGE = 64             # counts of a stage filter; a power of two
    MAX_STAGE = 16384          # beyond it a filter lets more and more pass, which only widens masks
    GROW_RULES = 32768         # no filter is built anew from more rules: that would hold the lock for milliseconds


cdef Subtable *subtable_new(const MaskShape *shape) noexcept nogil:
    cdef Subtable *subtable = <Subtable *>calloc(1, sizeof(Subtable))
    if subtable == NULL:
        return NULL
    subtable.buckets = <Rule **>calloc(MIN_BUCKETS, sizeof(Rule *))
    if subtable.buckets == NULL:
        free(subtable)
        return NULL
    memcpy(&subtable.shape, shape, sizeof(MaskShape))
    stages_init(subtable)
    subtable.n_buckets = subtable.capacity = MIN_BUCKETS
    subtable.refs = 1
    return subtable


cdef void subtable_unref(Subtable *subtable) noexcept nogil:
    cdef uint32_t i
    if subtable != NULL and drop_u32(&subtable.refs) == 0:
        for i in range(subtable.n_stages):
            free(subtable.stages[i].counts)
        free(subtable.buckets)
        free(subtable.priorities)
        free(subtable)


cdef int bucket_split(Subtable *subtable) noexcept nogil:
    """Add one bucket: divide the one at `split` in two; 0, or -1 without memory (then the table is merely denser)."""
    cdef uint32_t capacity = 2 * subtable.capacity
    cdef void *grown
    cdef Rule *rule
    cdef Rule **low
    cdef Rule **high
    if subtable.n_buckets + subtable.split == subtable.capacity:
        grown = realloc(subtable.buckets, capacity * sizeof(Rule *))
        if grown == NULL:
            return -1
        subtable.buckets = <Rule **>grown
        subtable.capacity = capacity
    low = &subtable.buckets[subtable.split]
    high = &subtable.buckets[subtable.split + subtable.n_buckets]
    rule = low[0]
    while rule != NULL:                        # both chains keep falling priority
        if rule.hash & subtable.n_buckets:
            high[0] = rule
            high = &rule.next
        else:
            low[0] = rule
            low = &rule.next
        rule = rule.next
    low[0] = high[0] = NULL
    subtable.split += 1
    if subtable.split == subtable.n_buckets:
        subtable.n_buckets *= 2
        subtable.split = 0
    return 0


cdef void bucket_merge(Subtable *subtable) noexcept nogil:
    """Give up the last bucket: its rules go back to the bucket they were split from."""
    cdef Rule *a
    cdef Rule *b
    cdef Rule **tail
    cdef void *shrunk
    if subtable.split == 0:
        subtable.n_buckets //= 2
        subtable.split = subtable.n_buckets
    subtable.split -= 1
    tail = &subtable.buckets[subtable.split]
    a = tail[0]
    b = subtable.buckets[subtable.split + subtable.n_buckets]
    while a != NULL and b != NULL:
        if a.priority >= b.priority:
            tail[0] = a
            a = a.next
        else:
            tail[0] = b
            b = b.next
        tail = &tail[0].next
    tail[0] = a if a != NULL else b
    if subtable.split == 0 and subtable.capacity >= 4 * subtable.n_buckets and subtable.capacity > MIN_BUCKETS:
        shrunk = realloc(subtable.buckets, 2 * subtable.n_buckets * sizeof(Rule *))
        if shrunk != NULL:
            subtable.buckets = <Rule **>shrunk
            subtable.capacity = 2 * subtable.n_buckets


cdef void bucket_link(Subtable *subtable, Rule *rule) noexcept nogil:
    cdef Rule **at = bucket_of(subtable, rule.hash)
    while at[0] != NULL and at[0].priority > rule.priority:
        at = &at[0].next
    rule.next = at[0]
    at[0] = rule
    subtable.n_rules += 1
    if subtable.n_rules > subtable.n_buckets + subtable.split:
        bucket_split(subtable)


cdef void bucket_unlink(Subtable *subtable, Rule *rule) noexcept nogil:
    cdef Rule **at = bucket_of(subtable, rule.hash)
    while at[0] != rule:
        at = &at[0].next
    at[0] = rule.next
    subtable.n_rules -= 1
    if subtable.n_buckets + subtable.split > MIN_BUCKETS and 4 * subtable.n_rules < subtable.n_buckets + subtable.split:
        bucket_merge(subtable)


# --- stages of a subtable ---------------------------------------------------------------------------------------------

cdef inline int stage_of(uint32_t word) noexcept nogil:
    if word >= KEY_PACKET_WORDS:
        return 0
    if word < KEY_STAGE0_WORDS or word >= KEY_BASE_WORDS:
        return 1
    if word < KEY_STAGE1_WORDS:
        return 2
    return 3 if word < KEY_STAGE2_WORDS else 4


cdef void stages_init(Subtable *subtable) noexcept nogil:
    """One filter at each change of stage within the shape; without memory there are fewer."""
    cdef const MaskShape *shape = &subtable.shape
    cdef Stage *stage
    cdef uint32_t i
    for i in range(1, shape.n):
        if stage_of(shape.index[i - 1]) == stage_of(shape.index[i]):
            continue
        stage = &subtable.stages[subtable.n_stages]
        stage.counts = <uint32_t *>calloc(MIN_STAGE, sizeof(uint32_t))
        if stage.counts == NULL:
            return
        stage.size = MIN_STAGE
        stage.n_words = i
        subtable.n_stages += 1


cdef inline uint32_t *stage_count(const Stage *stage, const Rule *rule) noexcept nogil:
    cdef uint64_t hash = 0
    cdef uint32_t i
    for i in range(stage.n_words):
        hash = mix(hash, rule.words[i])
    return &stage.counts[hash & (stage.size - 1)]


cdef void stage_raise(Stage *stage, const Rule *rule) noexcept nogil:
    cdef uint32_t *count = stage_count(stage, rule)
    stage.n_used += count[0] == 0
    count[0] += 1


cdef void stage_grow(const Subtable *subtable, Stage *stage) noexcept nogil:
    """Make a filter four times as large and count all rules again."""
    cdef void *grown = calloc(4 * stage.size, sizeof(uint32_t))
    cdef Rule *rule
    cdef uint32_t b
    if grown == NULL:
        return
    free(stage.counts)
    stage.counts = <uint32_t *>grown
    stage.size *= 4
    stage.n_used = 0
    for b in range(subtable.n_buckets + subtable.split):
        rule = subtable.buckets[b]
        while rule != NULL:
            stage_raise(stage, rule)
            rule = rule.next


cdef void stages_add(Subtable *subtable, const Rule *rule) noexcept nogil:
    cdef Stage *stage
    cdef uint32_t i
    for i in range(subtable.n_stages):
        stage = &subtable.stages[i]
        stage_raise(stage, rule)
        if 4 * stage.n_used > stage.size and stage.size < MAX_STAGE and subtable.n_rules < GROW_RULES:
            stage_grow(subtable, stage)


cdef void stages_drop(Subtable *subtable, const Rule *rule) noexcept nogil:
    cdef uint32_t *count
    cdef uint32_t i
    for i in range(subtable.n_stages):
        count = stage_count(&subtable.stages[i], rule)
        count[0] -= 1
        subtable.stages[i].n_used -= count[0] == 0


# --- priorities of a subtable -----------------------------------------------------------------------------------------

cdef uint32_t priority_place(const Subtable *subtable, uint32_t priority) noexcept nogil:
    """Index of the first entry that is not below `priority`."""
    cdef uint32_t low = 0, high = subtable.n_priorities, middle
    if high and subtable.priorities[high - 1].priority < priority:
        return high
    while low < high:
        middle = (low + high) // 2
        if subtable.priorities[middle].priority < priority:
            low = middle + 1
        else:
            high = middle
    return low


cdef bint priority_known(const Subtable *subtable, uint32_t priority) noexcept nogil:
    cdef uint32_t at = priority_place(subtable, priority)
    return at < subtable.n_priorities and subtable.priorities[at].priority == priority


cdef int priority_add(Subtable *subtable, uint32_t priority) noexcept nogil:
    """Count one more rule of `priority`; 0, or -1 without memory."""
    cdef uint32_t at = priority_place(subtable, priority)
    cdef uint32_t capacity
    cdef void *grown
    if at < subtable.n_priorities and subtable.priorities[at].priority == priority:
        subtable.priorities[at].n_rules += 1
        return 0
    if subtable.n_priorities == subtable.priorities_capacity:
        capacity = 2 * subtable.priorities_capacity + 2
        grown = realloc(subtable.priorities, capacity * sizeof(PriorityCount))
        if grown == NULL:
            return -1
        subtable.priorities = <PriorityCount *>grown
        subtable.priorities_capacity = capacity
    memmove(&subtable.priorities[at + 1], &subtable.priorities[at],
            (subtable.n_priorities - at) * sizeof(PriorityCount))
    subtable.priorities[at].priority = priority
    subtable.priorities[at].n_rules = 1
    subtable.n_priorities += 1
    return 0


cdef void priority_drop(Subtable *subtable, uint32_t priority) noexcept nogil:
    cdef uint32_t at = priority_place(subtable, priority)
    subtable.priorities[at].n_rules -= 1
    if subtable.priorities[at].n_rules == 0:
        subtable.n_priorities -= 1
        memmove(&subtable.priorities[at], &subtable.priorities[at + 1],
                (subtable.n_priorities - at) * sizeof(PriorityCount))
