"""The classifier: rules by mask, a linear hash table per mask, versions, and an account of the bits a look-up read.

Place in the packet's path: translation calls table_lookup for table 0 and at each resubmit or goto. Thread rule: see
rule.pxd; a rule's counters and references are atomic because forwarders credit and release rules without the lock.

Three things make the reported mask narrow. Subtables come by falling highest priority, so a good match ends the search.
A subtable of at most WALK_RULES rules is compared word by word in the order of the shape (pipeline, tunnel, then link
to transport layer), so a rule that fails on its Ethernet type does not put its transport ports into the megaflow. A
larger one has filters between the layers that do the same.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memmove, memset

from datapath.atomic cimport add_u64, count_u32, drop_u32, load_seq_ptr, prefetch, raise_i64, store_seq_ptr, take_u64
from datapath.flow_key cimport FlowKey, KEY_BASE_WORDS, KEY_PACKET_WORDS, KEY_WORDS
from ofproto.flow_mod cimport Match
from ofproto.subtable cimport (
    HASH_K, bucket_link, bucket_of, bucket_unlink, hash_key, mix, priority_add, priority_drop, priority_known,
    shape_equal, stages_add, stages_drop, subtable_new, subtable_unref, visible, words_match,
)

cdef enum:
    AHEAD = 16                 # buckets whose first rules are fetched early: a walk over all takes a third of the time
    WALK_RULES = 4             # subtables up to this size are walked instead of hashed


# --- shapes -----------------------------------------------------------------------------------------------------------

cdef inline uint16_t shape_add(const uint64_t *words, uint32_t begin, uint32_t end, uint16_t n,
                               MaskShape *out) noexcept nogil:
    cdef uint32_t i
    for i in range(begin, end):
        if words[i]:
            out.index[n] = i
            out.mask[n] = words[i]
            n += 1
    return n


cdef void mask_shape(const FlowKey *mask, MaskShape *out) noexcept nogil:
    cdef const uint64_t *words = <const uint64_t *>mask
    cdef uint64_t hash = HASH_K
    cdef uint32_t i
    # The order of reading: what costs a megaflow nothing (pipeline) first, the most specific header last.
    out.n = shape_add(words, KEY_PACKET_WORDS, KEY_WORDS, 0, out)
    out.n = shape_add(words, KEY_BASE_WORDS, KEY_PACKET_WORDS, out.n, out)
    out.n = shape_add(words, 0, KEY_BASE_WORDS, out.n, out)
    for i in range(out.n):
        hash = mix(hash, out.mask[i] + out.index[i])
    out.hash = hash


# --- rules ------------------------------------------------------------------------------------------------------------

cdef Rule *rule_new(const MaskShape *shape, uint32_t acts_length) noexcept nogil:
    # Rule holds one word already; the acts begin behind the last
    cdef size_t size = sizeof(Rule) + shape.n * sizeof(uint64_t)
    cdef Rule *rule = <Rule *>malloc(size + acts_length)
    if rule == NULL:
        return NULL
    memset(rule, 0, size)
    rule.acts = <uint8_t *>rule + size
    rule.acts_length = acts_length
    rule.refs = 1
    rule.remove_version = VERSION_FOREVER
    return rule


cdef void rule_ref(Rule *rule) noexcept nogil:
    count_u32(&rule.refs, 1)


cdef void rule_unref(Rule *rule) noexcept nogil:
    cdef Rule *heir
    while rule != NULL and drop_u32(&rule.refs) == 0:
        heir = rule.replaced_by                # a loop, as a rule modified a million times is a chain a million long
        subtable_unref(rule.subtable)
        free(rule)
        rule = heir


cdef void rule_replace(Rule *old, Rule *new, bint forward_counts) noexcept nogil:
    rule_ref(new)
    old.forward_counts = forward_counts
    store_seq_ptr(<void **>&old.replaced_by, new)
    pass_on(old, new)


cdef inline void pass_on(Rule *old, Rule *new) noexcept nogil:
    """Move what `old` has counted; whoever credits `old` at this moment looks for the heir afterwards and moves it
    again, so nothing is lost or doubled.
    """
    cdef uint64_t packets = take_u64(&old.n_packets)
    cdef uint64_t bytes = take_u64(&old.n_bytes)
    raise_i64(&new.used_ns, old.used_ns)
    if old.forward_counts:
        rule_credit(new, packets, bytes, 0)


cdef void rule_credit(Rule *rule, uint64_t packets, uint64_t bytes, int64_t used_ns) noexcept nogil:
    cdef Rule *heir = <Rule *>load_seq_ptr(<void **>&rule.replaced_by)
    while heir != NULL:
        if not rule.forward_counts:
            packets = 0
            bytes = 0
        rule = heir
        heir = <Rule *>load_seq_ptr(<void **>&rule.replaced_by)
    add_u64(&rule.n_packets, packets)
    add_u64(&rule.n_bytes, bytes)
    raise_i64(&rule.used_ns, used_ns)
    heir = <Rule *>load_seq_ptr(<void **>&rule.replaced_by)
    if heir != NULL:                           # replaced between the two looks
        pass_on(rule, heir)


cdef void rule_match(const Rule *rule, Match *out) noexcept nogil:
    cdef const MaskShape *shape = &rule.subtable.shape
    cdef uint64_t *value = <uint64_t *>&out.value
    cdef uint64_t *mask = <uint64_t *>&out.mask
    cdef uint32_t i
    memset(out, 0, sizeof(Match))
    for i in range(shape.n):
        value[shape.index[i]] = rule.words[i]
        mask[shape.index[i]] = shape.mask[i]


# --- the table: subtables by mask and by falling priority -------------------------------------------------------------

cdef Table *table_new() noexcept nogil:
    cdef Table *table = <Table *>calloc(1, sizeof(Table))
    if table == NULL:
        return NULL
    table.n_by_mask = 16
    table.by_mask = <Subtable **>calloc(table.n_by_mask, sizeof(Subtable *))
    if table.by_mask == NULL:
        free(table)
        return NULL
    return table


cdef void table_free(Table *table) noexcept nogil:
    cdef uint32_t i, j
    cdef Subtable *subtable
    cdef Rule *rule
    cdef Rule *after
    if table == NULL:
        return
    for i in range(table.n_subtables):
        subtable = table.subtables[i]
        for j in range(subtable.n_buckets + subtable.split):
            rule = subtable.buckets[j]
            while rule != NULL:
                after = rule.next
                rule_unref(rule)
                rule = after
        subtable_unref(subtable)
    free(table.subtables)
    free(table.max_priorities)
    free(table.by_mask)
    free(table)


cdef Subtable *find_subtable(const Table *table, const MaskShape *shape) noexcept nogil:
    cdef Subtable *subtable = table.by_mask[shape.hash & (table.n_by_mask - 1)]
    while subtable != NULL and not shape_equal(&subtable.shape, shape):
        subtable = subtable.next
    return subtable


cdef void index_by_mask(Table *table, Subtable *subtable) noexcept nogil:
    cdef Subtable **bucket = &table.by_mask[subtable.shape.hash & (table.n_by_mask - 1)]
    subtable.next = bucket[0]
    bucket[0] = subtable


cdef void grow_by_mask(Table *table) noexcept nogil:
    """Double the mask index when it is full; without memory it stays dense."""
    cdef Subtable **grown
    cdef uint32_t i
    if table.n_subtables < table.n_by_mask:
        return
    grown = <Subtable **>calloc(2 * table.n_by_mask, sizeof(Subtable *))
    if grown == NULL:
        return
    free(table.by_mask)
    table.by_mask = grown
    table.n_by_mask *= 2
    for i in range(table.n_subtables):
        index_by_mask(table, table.subtables[i])


cdef uint32_t rank_after(const Table *table, uint32_t priority) noexcept nogil:
    """Index of the first subtable whose highest priority is below `priority`."""
    cdef uint32_t low = 0, high = table.n_subtables, middle
    while low < high:
        middle = (low + high) // 2
        if table.max_priorities[middle] >= priority:
            low = middle + 1
        else:
            high = middle
    return low


cdef void rank_remove(Table *table, Subtable *subtable) noexcept nogil:
    cdef uint32_t at = rank_after(table, subtable.max_priority) - 1
    cdef uint32_t behind
    while table.subtables[at] != subtable:
        at -= 1
    table.n_subtables -= 1
    behind = table.n_subtables - at
    memmove(&table.subtables[at], &table.subtables[at + 1], behind * sizeof(Subtable *))
    memmove(&table.max_priorities[at], &table.max_priorities[at + 1], behind * sizeof(uint32_t))


cdef void rank_insert(Table *table, Subtable *subtable, uint32_t max_priority) noexcept nogil:
    """Put a subtable in its place; there is room (rank_reserve)."""
    cdef uint32_t at = rank_after(table, max_priority)
    cdef uint32_t behind = table.n_subtables - at
    memmove(&table.subtables[at + 1], &table.subtables[at], behind * sizeof(Subtable *))
    memmove(&table.max_priorities[at + 1], &table.max_priorities[at], behind * sizeof(uint32_t))
    subtable.max_priority = max_priority
    table.subtables[at] = subtable
    table.max_priorities[at] = max_priority
    table.n_subtables += 1


cdef int rank_reserve(Table *table) noexcept nogil:
    cdef uint32_t capacity = 2 * table.subtables_capacity + 8
    cdef void *grown
    if table.n_subtables < table.subtables_capacity:
        return 0
    grown = realloc(table.subtables, capacity * sizeof(Subtable *))
    if grown == NULL:
        return -1
    table.subtables = <Subtable **>grown
    grown = realloc(table.max_priorities, capacity * sizeof(uint32_t))
    if grown == NULL:
        return -1
    table.max_priorities = <uint32_t *>grown
    table.subtables_capacity = capacity
    return 0


cdef void drop_subtable(Table *table, Subtable *subtable) noexcept nogil:
    """Take an empty subtable out of the table."""
    cdef Subtable **at = &table.by_mask[subtable.shape.hash & (table.n_by_mask - 1)]
    while at[0] != subtable:
        at = &at[0].next
    at[0] = subtable.next
    rank_remove(table, subtable)
    subtable_unref(subtable)


cdef Subtable *add_subtable(Table *table, const MaskShape *shape, uint32_t priority, int *reorders) noexcept nogil:
    """Find or make the subtable of a shape and count one rule of `priority` in it; NULL without memory."""
    cdef Subtable *subtable = find_subtable(table, shape)
    reorders[0] = INSERT_REORDERS if subtable == NULL or priority > subtable.max_priority else 0
    if subtable != NULL:
        if priority_add(subtable, priority) < 0:
            return NULL
        if priority > subtable.max_priority:
            rank_remove(table, subtable)
            rank_insert(table, subtable, priority)
        return subtable
    if rank_reserve(table) < 0:
        return NULL
    subtable = subtable_new(shape)
    if subtable == NULL or priority_add(subtable, priority) < 0:
        subtable_unref(subtable)
        return NULL
    grow_by_mask(table)
    index_by_mask(table, subtable)
    rank_insert(table, subtable, priority)
    return subtable


# --- edits ------------------------------------------------------------------------------------------------------------

cdef int table_insert_shaped(Table *table, Rule *rule, const MaskShape *shape, const FlowKey *value) noexcept nogil:
    cdef const uint64_t *words = <const uint64_t *>value
    cdef int reorders
    cdef Subtable *subtable = add_subtable(table, shape, rule.priority, &reorders)
    cdef uint32_t i
    if subtable == NULL:
        return -1
    for i in range(shape.n):
        rule.words[i] = words[shape.index[i]] & shape.mask[i]
    rule.hash = hash_key(shape, words)
    rule.subtable = subtable
    count_u32(&subtable.refs, 1)
    bucket_link(subtable, rule)
    stages_add(subtable, rule)
    table.n_rules += 1
    return reorders


cdef int table_insert(Table *table, Rule *rule, const Match *match) noexcept nogil:
    cdef MaskShape shape
    mask_shape(&match.mask, &shape)
    return table_insert_shaped(table, rule, &shape, &match.value)


cdef void table_remove(Table *table, Rule *rule, uint64_t version) noexcept nogil:
    rule.remove_version = version
    rule.dead_next = NULL
    if table.dead == NULL:
        table.dead = rule
    else:
        table.dead_last.dead_next = rule
    table.dead_last = rule
    table.n_rules -= 1


cdef void collect_one(Table *table, Rule *rule) noexcept nogil:
    cdef Subtable *subtable = rule.subtable
    cdef uint32_t highest
    bucket_unlink(subtable, rule)
    stages_drop(subtable, rule)
    priority_drop(subtable, rule.priority)
    if subtable.n_rules == 0:
        drop_subtable(table, subtable)
    else:
        highest = subtable.priorities[subtable.n_priorities - 1].priority
        if highest != subtable.max_priority:
            rank_remove(table, subtable)
            rank_insert(table, subtable, highest)
    rule_unref(rule)


cdef void table_take_back(Table *table, Rule *rule) noexcept nogil:
    table.n_rules -= 1
    collect_one(table, rule)


cdef bint table_collect_some(Table *table, uint64_t oldest_version, uint32_t limit) noexcept nogil:
    cdef Rule *rule = table.dead
    while rule != NULL and rule.remove_version <= oldest_version:
        if limit == 0:
            return True
        limit -= 1
        table.dead = rule.dead_next
        collect_one(table, rule)
        rule = table.dead
    return False


cdef void table_collect(Table *table, uint64_t oldest_version) noexcept nogil:
    while table_collect_some(table, oldest_version, 0xffffffff):
        pass


# --- look-ups ---------------------------------------------------------------------------------------------------------

cdef inline void mark_read(const MaskShape *shape, uint32_t n_words, uint64_t *mask) noexcept nogil:
    cdef uint32_t i
    if mask != NULL:
        for i in range(n_words):
            mask[shape.index[i]] |= shape.mask[i]


cdef uint64_t place_of(const Subtable *subtable, uint32_t n_words, const uint64_t *key) noexcept nogil:
    """The place of all keys that begin, under the mask, with the same words, as far as a stage ends in n_words."""
    cdef const MaskShape *shape = &subtable.shape
    cdef uint64_t hash = shape.hash
    cdef uint32_t i, n = 0
    if n_words == shape.n:
        n = n_words
    else:
        for i in range(subtable.n_stages):
            if subtable.stages[i].n_words <= n_words:
                n = subtable.stages[i].n_words
    for i in range(n):
        hash = mix(hash, key[shape.index[i]] & shape.mask[i])
    return mix(hash, n)


cdef uint32_t rule_places(const Rule *rule, uint64_t *places) noexcept nogil:
    cdef const Subtable *subtable = rule.subtable
    cdef const Stage *stage = &subtable.stages[0]
    cdef const Stage *end = stage + subtable.n_stages
    cdef uint64_t hash = subtable.shape.hash
    cdef uint32_t i, n = 1
    places[0] = mix(hash, 0)
    for i in range(1, <uint32_t>subtable.shape.n + 1):
        hash = mix(hash, rule.words[i - 1])
        if i == subtable.shape.n or (stage < end and stage.n_words == i):
            places[n] = mix(hash, i)
            n += 1
            stage += 1
    return n


cdef inline void account(const Subtable *subtable, const uint64_t *key, uint32_t n_words, uint64_t *mask,
                         Trail *trail) noexcept nogil:
    """Note that a look-up read the first n_words of a subtable."""
    mark_read(&subtable.shape, n_words, mask)
    if trail == NULL:
        return
    if trail.n < TRAIL_MAX:
        trail.places[trail.n] = place_of(subtable, n_words, key)
    trail.n += 1


cdef Rule *lookup_walk(const Subtable *subtable, const uint64_t *key, uint64_t version, uint64_t *mask,
                       Trail *trail, Rule *best) noexcept nogil:
    """Compare a small subtable's rules that would beat `best`, word by word; report the words up to the last one that
    was compared.
    """
    cdef const MaskShape *shape = &subtable.shape
    cdef uint32_t b, i, n_read = 0
    cdef Rule *rule
    for b in range(subtable.n_buckets + subtable.split):
        rule = subtable.buckets[b]
        while rule != NULL:
            if visible(rule, version) and (best == NULL or rule.priority > best.priority):
                i = 0
                while i < shape.n and (key[shape.index[i]] & shape.mask[i]) == rule.words[i]:
                    i += 1
                n_read = max(n_read, min(i + 1, shape.n))
                if i == shape.n:
                    best = rule
            rule = rule.next
    account(subtable, key, n_read, mask, trail)
    return best


cdef Rule *lookup_hash(const Subtable *subtable, const uint64_t *key, uint64_t version, uint64_t *mask,
                       Trail *trail, Rule *best) noexcept nogil:
    """The first visible match of the key's bucket if it beats `best`, else `best`; reports the words up to the stage
    that no rule has, or all.
    """
    cdef const MaskShape *shape = &subtable.shape
    cdef const Stage *stage = &subtable.stages[0]
    cdef const Stage *end = stage + subtable.n_stages
    cdef uint64_t hash = 0
    cdef uint32_t i = 0
    cdef Rule *rule
    while i < shape.n:
        hash = mix(hash, key[shape.index[i]] & shape.mask[i])
        i += 1
        if stage < end and stage.n_words == i:
            if stage.counts[hash & (stage.size - 1)] == 0:
                account(subtable, key, i, mask, trail)
                return best
            stage += 1
    account(subtable, key, shape.n, mask, trail)
    rule = bucket_of(subtable, hash)[0]
    while rule != NULL and (best == NULL or rule.priority > best.priority):
        if rule.hash == hash and visible(rule, version) and words_match(rule, shape, key):
            return rule
        rule = rule.next
    return best


cdef Rule *table_lookup(const Table *table, const FlowKey *key, uint64_t version, FlowKey *mask,
                        Trail *trail) noexcept nogil:
    cdef const uint64_t *words = <const uint64_t *>key
    cdef uint64_t *read = <uint64_t *>mask
    cdef const Subtable *subtable
    cdef Rule *best = NULL
    cdef uint32_t i
    if trail != NULL:
        trail.n = 0
    for i in range(table.n_subtables):
        if best != NULL and table.max_priorities[i] <= best.priority:
            break
        subtable = table.subtables[i]
        if subtable.n_rules <= WALK_RULES:
            best = lookup_walk(subtable, words, version, read, trail, best)
        else:
            best = lookup_hash(subtable, words, version, read, trail, best)
    return best


cdef Rule *table_find_shaped(const Table *table, const MaskShape *shape, const FlowKey *value, uint32_t priority,
                             uint64_t version) noexcept nogil:
    cdef const uint64_t *words = <const uint64_t *>value
    cdef Subtable *subtable = find_subtable(table, shape)
    cdef uint64_t hash
    cdef Rule *rule
    if subtable == NULL:
        return NULL
    hash = hash_key(shape, words)
    rule = bucket_of(subtable, hash)[0]
    while rule != NULL and rule.priority >= priority:
        if (rule.hash == hash and rule.priority == priority and visible(rule, version)
                and words_match(rule, shape, words)):
            return rule
        rule = rule.next
    return NULL


cdef Rule *table_find_exact(const Table *table, const Match *match, uint32_t priority, uint64_t version) noexcept nogil:
    cdef MaskShape shape
    mask_shape(&match.mask, &shape)
    return table_find_shaped(table, &shape, &match.value, priority, version)


# --- searches over many rules -----------------------------------------------------------------------------------------

cdef struct Common:            # the words that a subtable and a target both look at
    uint32_t n
    uint16_t[KEY_WORDS] at     # position in the rule's words
    uint64_t[KEY_WORDS] mask   # bits that both care for
    uint64_t[KEY_WORDS] value  # the target's value of those bits


cdef uint32_t common_words(const Subtable *subtable, const MaskShape *target, const uint64_t *value,
                           Common *out) noexcept nogil:
    """Fill `out`; returns how many of the target's words the subtable covers wholly (target.n: the subtable is at least
    as specific).
    """
    cdef const MaskShape *shape = &subtable.shape
    cdef uint64_t[KEY_WORDS] wanted
    cdef uint64_t both
    cdef uint32_t i, n_covered = 0
    memset(wanted, 0, sizeof(wanted))
    for i in range(target.n):
        wanted[target.index[i]] = target.mask[i]
    out.n = 0
    for i in range(shape.n):
        both = shape.mask[i] & wanted[shape.index[i]]
        if both == 0:
            continue
        n_covered += both == wanted[shape.index[i]]
        out.at[out.n] = i
        out.mask[out.n] = both
        out.value[out.n] = value[shape.index[i]] & both
        out.n += 1
    return n_covered


cdef inline bint agrees(const Rule *rule, const Common *common) noexcept nogil:
    cdef uint32_t i
    for i in range(common.n):
        if (rule.words[common.at[i]] & common.mask[i]) != common.value[i]:
            return False
    return True


cdef bint table_overlaps(const Table *table, const MaskShape *shape, const FlowKey *value, uint32_t priority,
                         uint64_t version) noexcept nogil:
    cdef Common common
    cdef const Subtable *subtable
    cdef Rule *rule
    cdef uint32_t i, b
    for i in range(rank_after(table, priority)):
        subtable = table.subtables[i]
        if not priority_known(subtable, priority):
            continue
        common_words(subtable, shape, <const uint64_t *>value, &common)
        for b in range(subtable.n_buckets + subtable.split):
            rule = subtable.buckets[b]
            while rule != NULL:
                if rule.priority == priority and visible(rule, version) and agrees(rule, &common):
                    return True
                rule = rule.next
    return False


cdef int each_in_bucket(Rule *rule, const Common *common, uint64_t version, RuleVisitor visit,
                        void *arg) noexcept nogil:
    cdef int stop
    while rule != NULL:
        if visible(rule, version) and agrees(rule, common):
            stop = visit(arg, rule)
            if stop:
                return stop
        rule = rule.next
    return 0


cdef int table_each(const Table *table, const MaskShape *shape, const FlowKey *value, uint64_t version,
                    RuleVisitor visit, void *arg) noexcept nogil:
    cdef const uint64_t *words = <const uint64_t *>value
    cdef Common common
    cdef const Subtable *subtable
    cdef uint32_t i, b, n_buckets
    cdef int stop = 0
    for i in range(table.n_subtables):
        subtable = table.subtables[i]
        if common_words(subtable, shape, words, &common) < shape.n:
            continue
        if shape_equal(&subtable.shape, shape):            # one bucket holds all that can match
            stop = each_in_bucket(bucket_of(subtable, hash_key(shape, words))[0], &common, version, visit, arg)
            if stop:
                return stop
            continue
        n_buckets = subtable.n_buckets + subtable.split
        for b in range(n_buckets):
            if b + AHEAD < n_buckets:
                prefetch(<char *>subtable.buckets[b + AHEAD])
                prefetch(<char *>subtable.buckets[b + AHEAD] + 64)
                prefetch(<char *>subtable.buckets[b + AHEAD] + 128)
            stop = each_in_bucket(subtable.buckets[b], &common, version, visit, arg)
            if stop:
                return stop
    return 0
