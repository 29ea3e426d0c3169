"""Megaflow classifier: see megaflow.pxd. Hot: `classifier_lookup`; everything else runs per miss or per sweep."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memmove, memset

from datapath.act cimport Program, program_unref
from datapath.atomic cimport prefetch
from datapath.flow_key cimport KEY_BASE_WORDS, KEY_PACKET_WORDS, PacketKey
from datapath.hash cimport HashSecret, mum
from datapath.upcall cimport MissHandler, Tags

cdef enum:
    FIRST_SLOTS = 16           # capacity of a new subtable
    AHEAD = 4                  # subtables whose place in memory is asked for before it is looked at (a power of two)


cdef void classifier_init(Classifier *cls, const HashSecret *secret, MissHandler *handler) noexcept nogil:
    memset(cls, 0, sizeof(Classifier))
    cls.secret = secret
    cls.handler = handler
    cls.limit = 200_000


cdef void classifier_destroy(Classifier *cls) noexcept nogil:
    while cls.n:
        classifier_remove(cls, cls.all[cls.n - 1])
    classifier_reap(cls)
    free_spare(cls)
    free(cls.subtables)
    free(cls.all)
    cls.subtables = NULL
    cls.all = NULL
    cls.n_subtables = cls.subtables_capacity = cls.all_capacity = 0


# ---- lookup ----

cdef inline uint32_t masked_hash(const HashSecret *secret, const Subtable *sub, const uint64_t *words) noexcept nogil:
    """As hash_words, of the masked words only: products of pairs, which do not wait for each other."""
    cdef const uint64_t *k = <const uint64_t *> &secret.words[0]
    cdef uint64_t h = sub.n_words
    cdef uint32_t i
    for i in range(0, sub.n_words & ~<uint32_t> 1, 2):
        h += mum((words[sub.index[i]] & sub.mask[i]) ^ k[i], (words[sub.index[i + 1]] & sub.mask[i + 1]) ^ k[i + 1])
    if sub.n_words & 1:
        i = sub.n_words - 1
        h += mum((words[sub.index[i]] & sub.mask[i]) ^ k[i], k[i + 1])
    return <uint32_t> (h ^ (h >> 32))


cdef inline bint masked_equal(const Subtable *sub, const Megaflow *flow, const uint64_t *words) noexcept nogil:
    cdef uint64_t diff = 0
    cdef uint32_t i
    for i in range(sub.n_words):
        diff |= (words[sub.index[i]] & sub.mask[i]) ^ flow.words[i]
    return diff == 0


cdef Megaflow *subtable_find(const Subtable *sub, const uint64_t *words, uint32_t h) noexcept nogil:
    cdef uint32_t at = h & (sub.capacity - 1)
    while sub.slots[at].flow != NULL:
        if sub.slots[at].hash == h and masked_equal(sub, sub.slots[at].flow, words):
            return sub.slots[at].flow
        at = (at + 1) & (sub.capacity - 1)
    return NULL


cdef void rank_subtables(Classifier *cls) noexcept nogil:
    """Insertion sort by hits (nearly sorted from the last time), then halve them so that the past fades."""
    cdef uint32_t i, j
    cdef Subtable *sub
    cls.lookups = 0
    for i in range(1, cls.n_subtables):
        sub = cls.subtables[i]
        j = i
        while j > 0 and cls.subtables[j - 1].hits < sub.hits:
            cls.subtables[j] = cls.subtables[j - 1]
            j -= 1
        cls.subtables[j] = sub
    for i in range(cls.n_subtables):
        cls.subtables[i].hits >>= 1


cdef Megaflow *classifier_lookup(Classifier *cls, const PacketKey *key) noexcept nogil:
    cdef const uint64_t *words = <const uint64_t *> key
    cdef Subtable *sub
    cdef Megaflow *flow
    cdef uint32_t[AHEAD] hashes
    cdef uint32_t i = 0, ready = 0
    cls.lookups += 1
    if cls.lookups >= RANK_EVERY:
        rank_subtables(cls)
    while i < cls.n_subtables:
        # the first is asked by itself: it has most of the hits
        while ready < cls.n_subtables and (ready == 0 or (i and ready < i + AHEAD)):
            sub = cls.subtables[ready]
            hashes[ready % AHEAD] = masked_hash(cls.secret, sub, words)
            prefetch(&sub.slots[hashes[ready % AHEAD] & (sub.capacity - 1)])
            ready += 1
        sub = cls.subtables[i]
        flow = subtable_find(sub, words, hashes[i % AHEAD])
        if flow != NULL:
            sub.hits += 1
            cls.probes += i + 1
            return flow
        i += 1
    return NULL


# ---- subtables ----

cdef Subtable *subtable_get(Classifier *cls, const uint64_t *mask) noexcept nogil:
    """The subtable of this mask, made if there is none; NULL without memory."""
    cdef uint64_t mask_hash = 0
    cdef uint32_t i, n = 0
    cdef Subtable *sub
    cdef void *grown
    for i in range(<uint32_t> KEY_PACKET_WORDS):
        mask_hash = mum(mask_hash ^ mask[i] ^ cls.secret.words[2], cls.secret.words[3])
    for i in range(cls.n_subtables):
        if cls.subtables[i].mask_hash == mask_hash and subtable_mask_is(cls.subtables[i], mask):
            return cls.subtables[i]
    if cls.n_subtables == cls.subtables_capacity:
        grown = realloc(cls.subtables, (2 * cls.subtables_capacity + 16) * sizeof(Subtable *))
        if grown == NULL:
            return NULL
        cls.subtables = <Subtable **> grown
        cls.subtables_capacity = 2 * cls.subtables_capacity + 16
    sub = <Subtable *> calloc(1, sizeof(Subtable))
    if sub == NULL:
        return NULL
    sub.slots = <Slot *> calloc(FIRST_SLOTS, sizeof(Slot))
    if sub.slots == NULL:
        free(sub)
        return NULL
    sub.capacity = FIRST_SLOTS
    sub.mask_hash = mask_hash
    for i in range(<uint32_t> KEY_PACKET_WORDS):
        if mask[i]:
            sub.index[n] = <uint8_t> i
            sub.mask[n] = mask[i]
            n += 1
    sub.n_words = n
    cls.made += 1
    sub.number = cls.made
    cls.subtables[cls.n_subtables] = sub
    cls.n_subtables += 1
    return sub


cdef bint subtable_mask_is(const Subtable *sub, const uint64_t *mask) noexcept nogil:
    cdef uint32_t i, n = 0
    for i in range(<uint32_t> KEY_PACKET_WORDS):
        if mask[i] == 0:
            continue
        if n >= sub.n_words or sub.index[n] != i or sub.mask[n] != mask[i]:
            return False
        n += 1
    return n == sub.n_words


cdef bint classifier_mask_is(const Megaflow *flow, const uint64_t *mask) noexcept nogil:
    return subtable_mask_is(flow.subtable, mask)


cdef void subtable_drop(Classifier *cls, Subtable *sub) noexcept nogil:
    cdef uint32_t i
    cls.dropped += 1
    for i in range(cls.n_subtables):
        if cls.subtables[i] == sub:
            cls.n_subtables -= 1
            memmove(&cls.subtables[i], &cls.subtables[i + 1], (cls.n_subtables - i) * sizeof(Subtable *))
            break
    free(sub.slots)
    free(sub)


cdef void slot_put(Slot *slots, uint32_t capacity, Megaflow *flow) noexcept nogil:
    cdef uint32_t at = flow.hash & (capacity - 1)
    while slots[at].flow != NULL:
        at = (at + 1) & (capacity - 1)
    slots[at].flow = flow
    slots[at].hash = flow.hash


cdef bint subtable_make_room(Subtable *sub) noexcept nogil:
    """Keep it at most half full; False without memory."""
    cdef uint32_t i, capacity = sub.capacity * 2
    cdef Slot *slots
    if 2 * (sub.n + 1) <= sub.capacity:
        return True
    slots = <Slot *> calloc(capacity, sizeof(Slot))
    if slots == NULL:
        return False
    for i in range(sub.capacity):
        if sub.slots[i].flow != NULL:
            slot_put(slots, capacity, sub.slots[i].flow)
    free(sub.slots)
    sub.slots = slots
    sub.capacity = capacity
    return True


cdef void subtable_remove(Subtable *sub, const Megaflow *flow) noexcept nogil:
    """Take the entry out and close the gap: those behind it move up unless they stand at or after their home."""
    cdef uint32_t mask = sub.capacity - 1
    cdef uint32_t hole = flow.hash & mask
    cdef uint32_t at
    while sub.slots[hole].flow != flow:
        hole = (hole + 1) & mask
    at = hole
    while True:
        at = (at + 1) & mask
        if sub.slots[at].flow == NULL:
            break
        # distance from home to `at` against distance from the hole to `at`
        if ((at - sub.slots[at].hash) & mask) >= ((at - hole) & mask):
            sub.slots[hole] = sub.slots[at]
            hole = at
    sub.slots[hole].flow = NULL
    sub.n -= 1


# ---- installing and removing ----

cdef uint32_t key_n_words(const PacketKey *key) noexcept nogil:
    cdef const uint64_t *words = <const uint64_t *> key
    cdef uint64_t any_bit = 0
    cdef uint32_t i
    for i in range(<uint32_t> KEY_BASE_WORDS, <uint32_t> KEY_PACKET_WORDS):
        any_bit |= words[i]
    return KEY_PACKET_WORDS if any_bit else KEY_BASE_WORDS


cdef Megaflow *take_memory(Classifier *cls, uint32_t n_words) noexcept nogil:
    """A zeroed megaflow with room for so many words, from the spare ones if there is one; NULL without memory."""
    cdef uint32_t size = (n_words + SPARE_STEP - 1) // SPARE_STEP
    cdef Megaflow *flow = cls.spare[size]
    if flow != NULL:
        cls.spare[size] = flow.next_dead
        cls.n_spare -= 1
    else:
        flow = <Megaflow *> malloc(sizeof(Megaflow) + size * SPARE_STEP * sizeof(uint64_t))
        cls.allocated += 1
    if flow != NULL:
        memset(flow, 0, sizeof(Megaflow))
        flow.room = <uint16_t> (size * SPARE_STEP)
    return flow


cdef void megaflow_free(Megaflow *flow) noexcept nogil:
    """Keep its memory for another; called when nothing refers to it any more."""
    cdef Classifier *cls = <Classifier *> flow.owner
    cdef uint32_t size = flow.room // SPARE_STEP
    if cls.n_spare == SPARE_MOST:
        free(flow)
        return
    flow.next_dead = cls.spare[size]
    cls.spare[size] = flow
    cls.n_spare += 1


cdef void free_spare(Classifier *cls) noexcept nogil:
    """For good: what the caches in front let go of later is not kept either."""
    cdef Megaflow *flow
    cdef uint32_t i
    for i in range(<uint32_t> SPARE_SIZES):
        while cls.spare[i] != NULL:
            flow = cls.spare[i]
            cls.spare[i] = flow.next_dead
            free(flow)
    cls.n_spare = SPARE_MOST


cdef Megaflow *megaflow_new(Classifier *cls, const Subtable *sub, const PacketKey *key) noexcept nogil:
    cdef const uint64_t *words = <const uint64_t *> key
    cdef uint32_t i, key_words = key_n_words(key)
    cdef Megaflow *flow = take_memory(cls, sub.n_words + key_words)
    if flow == NULL:
        return NULL
    flow.refs = 1
    flow.key_words = <uint16_t> key_words
    flow.key = &flow.words[sub.n_words]
    memcpy(flow.key, words, key_words * sizeof(uint64_t))
    for i in range(sub.n_words):
        flow.words[i] = words[sub.index[i]] & sub.mask[i]
    return flow


cdef bint make_room_in_all(Classifier *cls) noexcept nogil:
    cdef void *grown
    if cls.n < cls.all_capacity:
        return True
    grown = realloc(cls.all, (2 * cls.all_capacity + 256) * sizeof(Megaflow *))
    if grown == NULL:
        return False
    cls.all = <Megaflow **> grown
    cls.all_capacity = 2 * cls.all_capacity + 256
    return True


cdef void evict_one(Classifier *cls) noexcept nogil:
    """At the limit, remove the longest unused of a few megaflows; a rotating cursor looks at all of them in time."""
    cdef uint32_t i
    cdef Megaflow *flow
    cdef Megaflow *oldest = NULL
    for i in range(<uint32_t> EVICT_SAMPLE):
        cls.evict_cursor = (cls.evict_cursor + 1) % cls.n
        flow = cls.all[cls.evict_cursor]
        if oldest == NULL or flow.used_ns < oldest.used_ns:
            oldest = flow
    cls.evicted += 1
    classifier_remove(cls, oldest)


cdef Megaflow *classifier_insert(Classifier *cls, const PacketKey *key, const uint64_t *mask, Program *program,
                                 void *owner, const Tags *tags,
                                 uint64_t version) noexcept nogil:
    cdef Subtable *sub
    cdef Megaflow *flow
    cdef uint32_t h, evict = EVICT_MOST
    while cls.n and cls.n >= cls.limit and evict:
        evict_one(cls)
        evict -= 1
    sub = subtable_get(cls, mask)
    if sub == NULL:
        return NULL
    h = masked_hash(cls.secret, sub, <const uint64_t *> key)
    flow = subtable_find(sub, <const uint64_t *> key, h)
    if flow != NULL:
        # It may be in a group of this batch: let the graveyard keep its program until that ran.
        subtable_remove(sub, flow)
        forget(cls, flow)
        flow = NULL
    if subtable_make_room(sub) and make_room_in_all(cls):
        flow = megaflow_new(cls, sub, key)
    if flow == NULL:
        if sub.n == 0:
            subtable_drop(cls, sub)
        return NULL
    flow.hash = h
    flow.subtable = sub
    flow.program = program
    flow.owner = owner
    flow.tags = tags[0]
    flow.version = version
    slot_put(sub.slots, sub.capacity, flow)
    sub.n += 1
    flow.index = cls.n
    cls.all[cls.n] = flow
    cls.n += 1
    return flow


cdef void classifier_remove(Classifier *cls, Megaflow *flow) noexcept nogil:
    cdef Subtable *sub = flow.subtable
    subtable_remove(sub, flow)
    if sub.n == 0:
        subtable_drop(cls, sub)
    forget(cls, flow)


cdef void forget(Classifier *cls, Megaflow *flow) noexcept nogil:
    """From the list of all to the graveyard; its subtable has let go of it."""
    cdef Megaflow *last
    flow.subtable = NULL
    cls.n -= 1
    last = cls.all[cls.n]
    cls.all[flow.index] = last
    last.index = flow.index
    flow.dead = True
    flow.next_dead = cls.graveyard
    cls.graveyard = flow


cdef void megaflow_push(Classifier *cls, Megaflow *flow) noexcept nogil:
    cdef uint64_t packets = flow.packets - flow.pushed_packets
    cdef uint64_t n_bytes = flow.bytes - flow.pushed_bytes
    flow.pushed_packets = flow.packets
    flow.pushed_bytes = flow.bytes
    if packets and flow.owner != NULL:
        cls.handler.credit(cls.handler.ctx, flow.owner, packets, n_bytes, flow.used_ns, flow.tcp_flags)


cdef void release_owner(Classifier *cls, Megaflow *flow) noexcept nogil:
    megaflow_push(cls, flow)
    if flow.owner != NULL:
        cls.handler.release(cls.handler.ctx, flow.owner)
    flow.owner = NULL


cdef void megaflow_replace(Classifier *cls, Megaflow *flow, Program *program, void *owner, const Tags *tags,
                           uint64_t version) noexcept nogil:
    release_owner(cls, flow)
    if program != flow.program:
        program_unref(flow.program)
        flow.program = program
    flow.owner = owner
    flow.tags = tags[0]
    flow.version = version


cdef void classifier_reap(Classifier *cls) noexcept nogil:
    cdef Megaflow *flow
    while cls.graveyard != NULL:
        flow = cls.graveyard
        cls.graveyard = flow.next_dead
        release_owner(cls, flow)
        program_unref(flow.program)
        flow.program = NULL
        flow.owner = cls
        megaflow_unref(flow)
