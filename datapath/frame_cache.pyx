"""Frame cache: see frame_cache.pxd, where the lookup is."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from datapath.atomic cimport unlikely
from datapath.bytes cimport load_u64
from datapath.flow_cache cimport REPLACE_ONE_IN
from datapath.flow_key cimport KEY_PACKET_WORDS
from datapath.frame_vector cimport FrameOps, frame_ops
from datapath.hash cimport HashSecret
from datapath.megaflow cimport Classifier, Megaflow, Subtable, megaflow_unref
from datapath.pages cimport pages_get, pages_give
from datapath.shape cimport KIND_NONE, N_KINDS, N_SHAPES, NEAR_WORDS, ShapeMask, shape_mask_add

cdef enum:
    SHRINK_EVERY_NS = 1000000000       # masks are made anew at most this often: it visits every subtable
    GROW_BY = 4
    CROWDED_ONE_IN = 4         # the table grows after crowded insertions for this share of its entries ...
    EASE_EVERY_NS = 1000000000 # ... which count half after so long: a trickle of them over days asks for no more room
    REFILLS = 2                # new masks make all be inserted again beside what nobody looks up: so often is forgiven


# ---- life ----

cdef void free_lines(FrameLine *lines, uint64_t n_sets) noexcept nogil:
    pages_give(lines, n_sets * FRAME_CACHE_WAYS * sizeof(FrameLine))


cdef bint make_table(FrameCache *cache, uint64_t n_sets) noexcept nogil:
    """Replace the (freed or retired) table by an empty one; False, and nothing changed, without memory."""
    cdef FrameSet *sets = <FrameSet *> pages_get(n_sets * sizeof(FrameSet))
    cdef FrameLine *near = <FrameLine *> pages_get(n_sets * FRAME_CACHE_WAYS * sizeof(FrameLine))
    cdef FrameLine *far = <FrameLine *> pages_get(n_sets * FRAME_CACHE_WAYS * sizeof(FrameLine))
    if sets == NULL or near == NULL or far == NULL:
        pages_give(sets, n_sets * sizeof(FrameSet))
        free_lines(near, n_sets)
        free_lines(far, n_sets)
        return False
    cache.sets = sets
    cache.near = near
    cache.far = far
    cache.n_sets = n_sets
    cache.crowded = 0
    return True


cdef int frame_cache_init(FrameCache *cache) noexcept nogil:
    memset(cache, 0, sizeof(FrameCache))
    cache.ops = frame_ops()
    cache.masks = <ShapeMask *> pages_get(N_SHAPES * sizeof(ShapeMask))
    return 0 if cache.masks != NULL and make_table(cache, FRAME_SETS_FIRST) else -1


cdef void let_go(FrameSet *sets, uint64_t n_sets) noexcept nogil:
    cdef uint64_t i
    cdef uint32_t way
    for i in range(n_sets):
        for way in range(<uint32_t> FRAME_CACHE_WAYS):
            if sets[i].ways[way].flow != NULL:
                megaflow_unref(sets[i].ways[way].flow)


cdef void frame_cache_destroy(FrameCache *cache) noexcept nogil:
    if cache.sets != NULL:
        let_go(cache.sets, cache.n_sets)
    if cache.retired != NULL:
        let_go(cache.retired, cache.retired_sets)
    pages_give(cache.sets, cache.n_sets * sizeof(FrameSet))
    free_lines(cache.near, cache.n_sets)
    free_lines(cache.far, cache.n_sets)
    pages_give(cache.retired, cache.retired_bytes)
    pages_give(cache.masks, N_SHAPES * sizeof(ShapeMask))
    memset(cache, 0, sizeof(FrameCache))


# ---- masks ----

cdef void masks_changed(FrameCache *cache) noexcept nogil:
    cache.serial += 1
    cache.crowded = -<int64_t> (REFILLS * cache.n_sets * FRAME_CACHE_WAYS)


cdef bint cover(ShapeMask *masks, const Subtable *sub) noexcept nogil:
    """Add one subtable's mask to the masks of all shapes; whether that changed any."""
    cdef uint64_t[KEY_PACKET_WORDS] whole
    cdef ShapeMask before
    cdef uint32_t i
    cdef bint changed = False
    memset(whole, 0, sizeof(whole))
    for i in range(sub.n_words):
        whole[sub.index[i]] = sub.mask[i]
    for i in range(<uint32_t> N_SHAPES):
        if i % N_KINDS == KIND_NONE:
            continue
        before = masks[i]
        shape_mask_add(&masks[i], i, whole)
        changed = changed or memcmp(&before, &masks[i], sizeof(ShapeMask)) != 0
    return changed


cdef void frame_cache_follow(FrameCache *cache, const Classifier *cls) noexcept nogil:
    cdef uint32_t i
    if cache.seen_made == cls.made:
        return
    for i in range(cls.n_subtables):
        if cls.subtables[i].number > cache.seen_made and cover(cache.masks, cls.subtables[i]):
            masks_changed(cache)
    cache.seen_made = cls.made


cdef void shrink_masks(FrameCache *cache, const Classifier *cls) noexcept nogil:
    cdef ShapeMask[N_SHAPES] masks
    cdef uint32_t i
    memset(masks, 0, sizeof(masks))
    for i in range(cls.n_subtables):
        cover(masks, cls.subtables[i])
    if memcmp(masks, cache.masks, sizeof(masks)) != 0:
        memcpy(cache.masks, masks, sizeof(masks))
        masks_changed(cache)


# ---- upkeep ----

cdef void frame_cache_tend(FrameCache *cache, const Classifier *cls, int64_t now_ns) noexcept nogil:
    cdef uint64_t n
    cdef int64_t most = <int64_t> (cache.n_sets * FRAME_CACHE_WAYS // CROWDED_ONE_IN)
    if now_ns - cache.eased_ns >= EASE_EVERY_NS:
        cache.eased_ns = now_ns
        cache.crowded -= max(cache.crowded, 0) // 2
    if cache.retired != NULL:
        n = min(cache.retired_sets, <uint64_t> FRAME_FREE_AT_ONCE)
        cache.retired_sets -= n
        let_go(cache.retired + cache.retired_sets, n)
        if cache.retired_sets == 0:
            pages_give(cache.retired, cache.retired_bytes)
            cache.retired = NULL
    elif cache.crowded > most and cache.n_sets < FRAME_SETS_LAST:
        grow(cache)
    if cache.seen_dropped != cls.dropped and now_ns - cache.shrunk_ns >= SHRINK_EVERY_NS:
        cache.seen_dropped = cls.dropped
        cache.shrunk_ns = now_ns
        shrink_masks(cache, cls)


cdef void grow(FrameCache *cache) noexcept nogil:
    """Start a larger table, empty: it fills from the megaflows in little time, and nothing waits for a great move."""
    cdef FrameSet *sets = cache.sets
    cdef FrameLine *near = cache.near
    cdef FrameLine *far = cache.far
    cdef uint64_t n_sets = cache.n_sets
    if not make_table(cache, n_sets * GROW_BY):
        cache.crowded = 0
        return
    free_lines(near, n_sets)
    free_lines(far, n_sets)
    cache.retired = sets
    cache.retired_sets = n_sets
    cache.retired_bytes = n_sets * sizeof(FrameSet)


# ---- looking up ----

cdef void frame_cache_look(const FrameCache *cache, const HashSecret *secret, FrameLook *look, uint32_t start,
                           uint32_t end, uint32_t in_port) noexcept nogil:
    """Each step goes over the whole batch, so that what the one before it fetched has time to come."""
    cdef const FrameOps *ops = cache.ops
    cdef const uint64_t *sets = <const uint64_t *> cache.sets
    cdef const uint64_t *near = <const uint64_t *> cache.near
    cdef uint32_t i, n = end - start
    ops.identify(&look.data[start], &look.shapes[start], n, in_port, <const uint64_t *> cache.masks, secret.words, sets,
                 cache.n_sets - 1, look.lines[start].words, &look.ids[start])
    ops.find(&look.ids[start], n, sets, cache.n_sets - 1, near, &look.entries[start])
    ops.compare(look.lines[start].words, &look.entries[start], n, sets, near, <void **> &look.flows[start])
    for i in range(start, end):
        if unlikely(look.flows[i] == NULL):
            continue
        if unlikely(look.flows[i].dead or (cache.masks[look.shapes[i]].far and not far_equal(cache, look, i))):
            look.flows[i] = NULL


cdef bint far_equal(const FrameCache *cache, const FrameLook *look, uint32_t i) noexcept nogil:
    """Whether the frame's words behind the first eight are the entry's."""
    cdef const uint64_t *m = &cache.masks[look.shapes[i]].words[NEAR_WORDS]
    cdef const FrameLine *line = &cache.far[look.entries[i]]
    cdef uint64_t differ = 0
    cdef uint32_t word
    for word in range(<uint32_t> NEAR_WORDS):
        differ |= (load_u64(look.data[i] + 64 + 8 * word) & m[word]) ^ line.words[word]
    return differ == 0


# ---- insertion ----

cdef uint32_t choose_way(FrameCache *cache, const FrameSet *group, uint64_t id) noexcept nogil:
    """The way for this id.

    Its own (an id never stands in two), else a free or dead one, else now and then a live one.
    """
    cdef uint32_t way, found = FRAME_CACHE_WAYS
    cdef const FrameTag *tag
    for way in range(<uint32_t> FRAME_CACHE_WAYS):
        tag = &group.ways[way]
        if tag.id == id:
            return way
        if tag.flow == NULL or tag.flow.dead:
            found = way
    if found < FRAME_CACHE_WAYS:
        return found
    cache.turn += 1
    cache.crowded += 1
    if cache.turn & (REPLACE_ONE_IN - 1):
        return FRAME_CACHE_WAYS
    return (cache.turn // REPLACE_ONE_IN) & (FRAME_CACHE_WAYS - 1)


cdef void frame_cache_insert(FrameCache *cache, const HashSecret *secret, const uint8_t *data, uint32_t shape,
                             uint32_t in_port, Megaflow *flow) noexcept nogil:
    cdef FrameLine line
    cdef uint8_t one_shape = <uint8_t> shape
    cdef uint64_t id, at, entry
    cdef uint32_t way, i
    cdef FrameTag *tag
    cache.ops.identify(&data, &one_shape, 1, in_port, <const uint64_t *> cache.masks, secret.words,
                       <const uint64_t *> cache.sets, cache.n_sets - 1, line.words, &id)
    at = (id >> FRAME_HASH_SHIFT) & (cache.n_sets - 1)
    way = choose_way(cache, &cache.sets[at], id)
    if way == FRAME_CACHE_WAYS:
        return
    entry = at * FRAME_CACHE_WAYS + way
    tag = &cache.sets[at].ways[way]
    flow.refs += 1
    if tag.flow != NULL:
        megaflow_unref(tag.flow)
    tag.flow = flow
    tag.id = id
    cache.near[entry] = line
    if cache.masks[shape].far:
        for i in range(<uint32_t> NEAR_WORDS):
            cache.far[entry].words[i] = load_u64(data + 64 + 8 * i) & cache.masks[shape].words[NEAR_WORDS + i]
