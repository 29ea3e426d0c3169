"""Frame cache: exact match from a frame's own bytes to its megaflow, in front of parsing.

A frame of some shape (shape.pxd) is masked with all the bits that any megaflow of this forwarder reads of that shape,
hashed, and compared whole with the entry: bytes, shape and port. Four ways per set. Belongs to one forwarder.

Why an entry is never wrong: it was made with a mask that covered its megaflow's own, and is looked up with one that
covers those of all living megaflows. If x was stored under M and p is asked for under N, p & N == x & M; the megaflow's
mask A lies in both, so p & A == x & A: p belongs to it. So masks may grow and shrink under the entries; only between
masking a frame and storing an entry with it the mask must stay, see `serial`. A megaflow that has died since is never
returned (megaflow.pxd).
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from datapath.atomic cimport prefetch, unlikely
from datapath.bytes cimport load_u64
from datapath.hash cimport HashSecret, mum
from datapath.megaflow cimport Classifier, Megaflow
from datapath.shape cimport N_SHAPES, NEAR_WORDS, WINDOW_WORDS, ShapeMask

cdef enum:
    FRAME_CACHE_WAYS = 4
    FRAME_SETS_FIRST = 1024    # powers of two: from 4,096 entries ...
    FRAME_SETS_LAST = 262144   # ... to a million
    FRAME_NONE = 0xffffffff    # no entry
    FRAME_HASH_SHIFT = 24      # where the hash begins in an id
    FRAME_FREE_AT_ONCE = 64    # sets of an outgrown table let go between two batches

cdef struct FrameTag:
    Megaflow *flow             # NULL = empty
    uint64_t id                # see frame_id; 0 = never used

cdef struct FrameSet:          # one cache line
    FrameTag[FRAME_CACHE_WAYS] ways

cdef struct FrameLine:         # masked bytes, one cache line
    uint64_t[NEAR_WORDS] words

cdef struct FrameCache:
    FrameSet *sets
    FrameLine *near            # the first NEAR_WORDS words, one per way
    FrameLine *far             # the rest, used by shapes whose mask reaches there
    uint64_t n_sets            # a power of two
    uint32_t turn              # counts insertions that found no room, to choose ways
    int64_t crowded            # insertions that found only live entries, eased with time and with new masks
    int64_t eased_ns           # when it was last halved
    uint32_t serial            # counts changes of masks
    uint64_t seen_made         # Classifier.made and .dropped that `masks` knows of
    uint64_t seen_dropped
    int64_t shrunk_ns          # when the masks were last made anew
    FrameSet *retired          # table that was outgrown: its references go little by little
    uint64_t retired_sets      # of it, still to be let go
    ShapeMask[N_SHAPES] masks

cdef int frame_cache_init(FrameCache *cache) noexcept nogil        # 0, or -1 without memory
cdef void frame_cache_destroy(FrameCache *cache) noexcept nogil
# Let the masks cover every megaflow of the classifier again; to be called whenever a megaflow was added.
cdef void frame_cache_follow(FrameCache *cache, const Classifier *cls) noexcept nogil
# Upkeep between two batches: lets go of an outgrown table, makes a larger one when flows crowd each other out, and
# takes bits that nobody reads any more out of the masks.
cdef void frame_cache_tend(FrameCache *cache, const Classifier *cls, int64_t now_ns) noexcept nogil
# Remember that frames like this one belong to `flow`; id as made with the masks of now.
cdef void frame_cache_insert(FrameCache *cache, const uint8_t *data, uint64_t id, Megaflow *flow) noexcept nogil


# What a frame is looked up by, with the masks of now: shape in bits 0-7, port in 8-23, above a hash of masked bytes.
# 64 bytes (128 when the mask reaches there) are read at data: buffers are that long, and what the frame has not written
# there the mask leaves out. The products do not wait for each other.
cdef inline uint64_t frame_id(const FrameCache *cache, const HashSecret *secret, const uint8_t *data, uint32_t shape,
                              uint32_t in_port) noexcept nogil:
    cdef const uint64_t *m = &cache.masks[shape].words[0]
    cdef const uint64_t *k = &secret.words[0]
    cdef uint64_t h = mum((load_u64(data) & m[0]) ^ k[0], (load_u64(data + 8) & m[1]) ^ k[1])
    cdef uint32_t i
    h += mum((load_u64(data + 16) & m[2]) ^ k[2], (load_u64(data + 24) & m[3]) ^ k[3])
    h += mum((load_u64(data + 32) & m[4]) ^ k[4], (load_u64(data + 40) & m[5]) ^ k[5])
    h += mum((load_u64(data + 48) & m[6]) ^ k[6], (load_u64(data + 56) & m[7]) ^ k[7])
    if unlikely(cache.masks[shape].far):
        for i in range(<uint32_t> NEAR_WORDS, <uint32_t> WINDOW_WORDS, 2):
            h += mum((load_u64(data + 8 * i) & m[i]) ^ k[i], (load_u64(data + 8 * i + 8) & m[i + 1]) ^ k[i + 1])
    h = mum(h ^ k[16], k[17] ^ shape)
    return h << FRAME_HASH_SHIFT | in_port << 8 | shape


cdef inline uint64_t set_of_frame(const FrameCache *cache, uint64_t id) noexcept nogil:
    return (id >> FRAME_HASH_SHIFT) & (cache.n_sets - 1)


cdef inline void frame_cache_prefetch(const FrameCache *cache, uint64_t id) noexcept nogil:
    prefetch(&cache.sets[set_of_frame(cache, id)])


# The entry of this id, or FRAME_NONE; fetches what frame_cache_hit will read.
cdef inline uint32_t frame_cache_find(const FrameCache *cache, uint64_t id) noexcept nogil:
    cdef uint64_t at = set_of_frame(cache, id)
    cdef const FrameSet *group = &cache.sets[at]
    cdef uint32_t way, entry
    for way in range(<uint32_t> FRAME_CACHE_WAYS):
        if group.ways[way].id == id:
            entry = <uint32_t> at * FRAME_CACHE_WAYS + way
            prefetch(&cache.near[entry])
            prefetch(group.ways[way].flow)
            return entry
    return FRAME_NONE


# The megaflow of this entry if it still is the frame's, else NULL. It may have died.
cdef inline Megaflow *frame_cache_hit(const FrameCache *cache, uint32_t entry, uint64_t id,
                                      const uint8_t *data) noexcept nogil:
    cdef const FrameTag *tag = &cache.sets[entry // FRAME_CACHE_WAYS].ways[entry % FRAME_CACHE_WAYS]
    cdef const ShapeMask *mask = &cache.masks[id & 0xff]
    cdef const uint64_t *m = &mask.words[0]
    cdef const uint64_t *x = &cache.near[entry].words[0]
    cdef uint64_t differ = tag.id ^ id
    cdef uint32_t i
    for i in range(<uint32_t> NEAR_WORDS):
        differ |= (load_u64(data + 8 * i) & m[i]) ^ x[i]
    if unlikely(mask.far):
        x = &cache.far[entry].words[0]
        for i in range(<uint32_t> NEAR_WORDS):
            differ |= (load_u64(data + 64 + 8 * i) & m[NEAR_WORDS + i]) ^ x[i]
    return NULL if differ else tag.flow
