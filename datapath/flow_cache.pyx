"""Flow cache: see flow_cache.pxd, where the lookup is."""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from datapath.flow_key cimport KEY_BASE_WORDS, KEY_PACKET_WORDS, PacketKey
from datapath.megaflow cimport Megaflow, megaflow_unref


cdef int flow_cache_init(FlowCache *cache) noexcept nogil:
    memset(cache, 0, sizeof(FlowCache))
    cache.sets = <FlowSet *> calloc(FLOW_CACHE_SETS, sizeof(FlowSet))
    cache.keys = <FlowKeyCopy *> calloc(FLOW_CACHE_SETS * FLOW_CACHE_WAYS, sizeof(FlowKeyCopy))
    cache.tunnels = <uint64_t **> calloc(FLOW_CACHE_SETS * FLOW_CACHE_WAYS, sizeof(uint64_t *))
    if cache.sets == NULL or cache.keys == NULL or cache.tunnels == NULL:
        flow_cache_destroy(cache)
        return -1
    return 0


cdef void flow_cache_destroy(FlowCache *cache) noexcept nogil:
    cdef uint32_t i
    cdef Megaflow *flow
    if cache.sets != NULL:
        for i in range(<uint32_t> (FLOW_CACHE_SETS * FLOW_CACHE_WAYS)):
            flow = cache.sets[i // FLOW_CACHE_WAYS].ways[i % FLOW_CACHE_WAYS].flow
            if flow != NULL:
                megaflow_unref(flow)
    if cache.tunnels != NULL:
        for i in range(<uint32_t> (FLOW_CACHE_SETS * FLOW_CACHE_WAYS)):
            free(cache.tunnels[i])
    free(cache.sets)
    free(cache.keys)
    free(cache.tunnels)
    memset(cache, 0, sizeof(FlowCache))


cdef bint tunnel_words_equal(const FlowCache *cache, uint32_t entry, const PacketKey *key) noexcept nogil:
    return memcmp(cache.tunnels[entry], <const uint64_t *> key + KEY_BASE_WORDS,
                  (KEY_PACKET_WORDS - KEY_BASE_WORDS) * sizeof(uint64_t)) == 0


cdef inline uint32_t way_of_key(const FlowCache *cache, const PacketKey *key, uint32_t n_words,
                                uint32_t h) noexcept nogil:
    """The way that already holds this key (its megaflow died), so that a key never stands in two.

    Else FLOW_CACHE_WAYS.
    """
    cdef uint32_t way, at = h & (FLOW_CACHE_SETS - 1)
    cdef const FlowTag *tag
    for way in range(<uint32_t> FLOW_CACHE_WAYS):
        tag = &cache.sets[at].ways[way]
        if (tag.flow != NULL and tag.hash == h and tag.n_words == n_words
                and memcmp(&cache.keys[at * FLOW_CACHE_WAYS + way], key, KEY_BASE_WORDS * sizeof(uint64_t)) == 0
                and (n_words == KEY_BASE_WORDS or tunnel_words_equal(cache, at * FLOW_CACHE_WAYS + way, key))):
            return way
    return FLOW_CACHE_WAYS


cdef inline uint32_t free_way(const FlowSet *group) noexcept nogil:
    cdef uint32_t way
    for way in range(<uint32_t> FLOW_CACHE_WAYS):
        if group.ways[way].flow == NULL or group.ways[way].flow.dead:
            return way
    return FLOW_CACHE_WAYS


cdef bint copy_tunnel_words(FlowCache *cache, uint32_t entry, const PacketKey *key) noexcept nogil:
    cdef uint32_t n_bytes = (KEY_PACKET_WORDS - KEY_BASE_WORDS) * sizeof(uint64_t)
    if cache.tunnels[entry] == NULL:
        cache.tunnels[entry] = <uint64_t *> malloc(n_bytes)
        if cache.tunnels[entry] == NULL:
            return False
    memcpy(cache.tunnels[entry], <const uint64_t *> key + KEY_BASE_WORDS, n_bytes)
    return True


cdef void flow_cache_insert(FlowCache *cache, const PacketKey *key, uint32_t n_words, uint32_t h,
                            Megaflow *flow) noexcept nogil:
    cdef uint32_t at = h & (FLOW_CACHE_SETS - 1)
    cdef FlowSet *group = &cache.sets[at]
    cdef FlowTag *tag
    cdef uint32_t entry
    cdef uint32_t way = way_of_key(cache, key, n_words, h)
    if way == FLOW_CACHE_WAYS:
        way = free_way(group)
    if way == FLOW_CACHE_WAYS:
        cache.turn += 1
        if cache.turn & (REPLACE_ONE_IN - 1):
            return
        way = (cache.turn // REPLACE_ONE_IN) & 1
    entry = at * FLOW_CACHE_WAYS + way
    tag = &group.ways[way]
    if tag.flow != NULL:
        megaflow_unref(tag.flow)
        tag.flow = NULL
    if n_words != KEY_BASE_WORDS and not copy_tunnel_words(cache, entry, key):
        return
    memcpy(&cache.keys[entry], key, KEY_BASE_WORDS * sizeof(uint64_t))
    tag.flow = flow
    tag.hash = h
    tag.n_words = n_words
    flow.refs += 1
