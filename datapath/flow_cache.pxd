"""Flow cache: exact match from the parsed key to its megaflow, in front of the classifier, for frames without shape.

Two ways per set. Tags (hash and megaflow) stand apart from the keys, so that a miss touches one cache line. An entry
holds a reference of its megaflow; one that has died since is never returned (see megaflow.pxd). Belongs to one
forwarder. Ordinary keys are compared over KEY_BASE_WORDS; keys out of a tunnel over KEY_PACKET_WORDS, the rest in a
block made on demand.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp

from datapath.flow_key cimport KEY_BASE_WORDS, PacketKey
from datapath.megaflow cimport Megaflow

cdef enum:
    FLOW_CACHE_WAYS = 2
    FLOW_CACHE_SETS = 8192     # a power of two; 16384 entries, 4 MiB of keys, touched only as flows come
    REPLACE_ONE_IN = 4         # how often a new flow replaces a live one (a power of two): with more flows than
                               # entries, most copies would be wasted

cdef struct FlowTag:
    Megaflow *flow             # NULL = empty
    uint32_t hash              # of the key
    uint32_t n_words           # KEY_BASE_WORDS or KEY_PACKET_WORDS

cdef struct FlowSet:           # one set, half a cache line
    FlowTag[FLOW_CACHE_WAYS] ways

cdef struct FlowKeyCopy:
    uint64_t[KEY_BASE_WORDS] words

cdef struct FlowCache:
    FlowSet *sets              # FLOW_CACHE_SETS
    FlowKeyCopy *keys          # one per way
    uint64_t **tunnels         # one per way: the words from KEY_BASE_WORDS on, NULL = none yet
    uint32_t turn              # counts insertions, to choose ways

cdef int flow_cache_init(FlowCache *cache) noexcept nogil          # 0, or -1 without memory
cdef void flow_cache_destroy(FlowCache *cache) noexcept nogil
# Remember that this key belongs to `flow` (maybe: a set full of live flows is replaced only now and then).
cdef void flow_cache_insert(FlowCache *cache, const PacketKey *key, uint32_t n_words, uint32_t h,
                            Megaflow *flow) noexcept nogil
cdef bint tunnel_words_equal(const FlowCache *cache, uint32_t entry, const PacketKey *key) noexcept nogil

# The live megaflow of this key, or NULL. n_words: KEY_BASE_WORDS, or KEY_PACKET_WORDS for a key with tunnel words; h:
# its hash.
cdef inline Megaflow *flow_cache_lookup(const FlowCache *cache, const PacketKey *key, uint32_t n_words,
                                        uint32_t h) noexcept nogil:
    cdef uint32_t at = h & (FLOW_CACHE_SETS - 1)
    cdef const FlowSet *group = &cache.sets[at]
    cdef const FlowTag *tag
    cdef uint32_t way, entry
    for way in range(<uint32_t> FLOW_CACHE_WAYS):
        tag = &group.ways[way]
        if tag.hash != h or tag.flow == NULL or tag.n_words != n_words:
            continue
        entry = at * FLOW_CACHE_WAYS + way
        if memcmp(&cache.keys[entry], key, KEY_BASE_WORDS * sizeof(uint64_t)) != 0:
            continue
        if n_words != KEY_BASE_WORDS and not tunnel_words_equal(cache, entry, key):
            continue
        return NULL if tag.flow.dead else tag.flow
    return NULL
