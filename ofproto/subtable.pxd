"""One subtable: rules of one mask in a linear hash table, and how many there are of each priority. Part of the
classifier (rule.pxd).

Thread rule: changes under the switch's write lock; subtable_unref from any thread.
"""

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp

from ofproto.rule cimport MaskShape, Rule, Subtable

cdef enum:
    HASH_K = 0x9e3779b97f4a7c15        # 2**64 / golden ratio, odd

cdef inline uint64_t mix(uint64_t h, uint64_t word) noexcept nogil:
    h ^= word
    h = (h ^ (h >> 32)) * HASH_K               # high bits first come down, as a product carries only upwards
    return h ^ (h >> 29)


cdef inline bint shape_equal(const MaskShape *a, const MaskShape *b) noexcept nogil:
    return (a.hash == b.hash and a.n == b.n
            and memcmp(a.index, b.index, a.n * sizeof(uint16_t)) == 0
            and memcmp(a.mask, b.mask, a.n * sizeof(uint64_t)) == 0)


cdef inline uint64_t hash_key(const MaskShape *shape, const uint64_t *key) noexcept nogil:
    """Hash of the key's words under the shape's mask."""
    cdef uint64_t hash = 0
    cdef uint32_t i
    for i in range(shape.n):
        hash = mix(hash, key[shape.index[i]] & shape.mask[i])
    return hash


cdef inline bint words_match(const Rule *rule, const MaskShape *shape, const uint64_t *key) noexcept nogil:
    cdef uint32_t i
    for i in range(shape.n):
        if (key[shape.index[i]] & shape.mask[i]) != rule.words[i]:
            return False
    return True


cdef inline bint visible(const Rule *rule, uint64_t version) noexcept nogil:
    return rule.add_version <= version < rule.remove_version


cdef inline Rule **bucket_of(const Subtable *subtable, uint64_t hash) noexcept nogil:
    cdef uint32_t i = hash & (subtable.n_buckets - 1)
    if i < subtable.split:
        i = hash & (2 * subtable.n_buckets - 1)
    return &subtable.buckets[i]


cdef Subtable *subtable_new(const MaskShape *shape) noexcept nogil             # refs 1; NULL without memory
cdef void subtable_unref(Subtable *subtable) noexcept nogil                    # NULL is allowed
cdef void stages_add(Subtable *subtable, const Rule *rule) noexcept nogil      # after the rule was linked
cdef void stages_drop(Subtable *subtable, const Rule *rule) noexcept nogil     # it was added
# by rule.hash, before rules of its own and lower priorities
cdef void bucket_link(Subtable *subtable, Rule *rule) noexcept nogil
cdef void bucket_unlink(Subtable *subtable, Rule *rule) noexcept nogil         # it is in there
cdef bint priority_known(const Subtable *subtable, uint32_t priority) noexcept nogil
# count one more rule; 0, -1 without memory
cdef int priority_add(Subtable *subtable, uint32_t priority) noexcept nogil
cdef void priority_drop(Subtable *subtable, uint32_t priority) noexcept nogil  # count one rule less; it was counted
