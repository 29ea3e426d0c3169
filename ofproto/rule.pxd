"""Rules, subtables and the versioned classifier.

A table groups its rules by mask into subtables (tuple space search, Srinivasan et al. 1999); a subtable is a hash table over the masked words. Lookup visits
subtables by falling highest priority and stops when none can beat the best match; the bits it read are reported exactly.

Thread rule: lookups under the switch's read lock; every change under its write lock. Versions: a rule is visible to version v when
add_version <= v < remove_version, so a forwarder that began its batch before an edit goes on seeing the old tables.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from datapath.flow_key cimport FlowKey, KEY_WORDS
from ofproto.flow_mod cimport Match

cdef enum:
    VERSION_FOREVER = 0xffffffffffffffff

cdef struct MaskShape:         # the nonzero words of a mask
    uint16_t n                 # how many
    uint16_t[KEY_WORDS] index  # word number in FlowKey, ordered by stage
    uint64_t[KEY_WORDS] mask   # mask of that word

cdef struct Rule:
    Rule *next                 # same hash bucket
    Subtable *subtable         # gives the mask
    uint64_t hash
    uint64_t cookie
    uint64_t add_version       # first version that sees it
    uint64_t remove_version    # first version that does not; VERSION_FOREVER while it lives
    Rule *replaced_by          # a modify replaced it: credits go there (one reference held)
    uint8_t *acts              # OfAct list
    uint32_t acts_length
    uint32_t refs              # atomic: the table, credit lists, pending messages
    int64_t created_ns
    int64_t modified_ns
    int64_t used_ns            # atomic
    uint64_t n_packets         # atomic
    uint64_t n_bytes           # atomic
    uint16_t priority
    uint16_t idle_timeout_s
    uint16_t hard_timeout_s
    uint16_t importance
    uint16_t flags             # FlowFlag
    uint8_t table_id
    uint8_t reason             # OFPRR_* once removed
    uint64_t[1] words          # subtable.shape.n masked words of the match

cdef struct Subtable:
    MaskShape shape
    Rule **buckets
    uint32_t n_buckets         # a power of two
    uint32_t n_rules           # rules in it, those removed but not yet collected included
    uint16_t max_priority      # upper bound
    uint32_t max_count         # rules at max_priority

cdef struct Table:
    Subtable **subtables       # by falling max_priority
    uint32_t n_subtables
    uint32_t n_rules           # visible now (to the latest version)
    uint64_t n_lookups         # atomic
    uint64_t n_matches         # atomic

cdef Table *table_new() noexcept nogil
cdef void table_free(Table *table) noexcept nogil
# The highest-priority rule visible at `version` that matches key, or NULL. ORs every bit that decided the answer into `mask` (may be NULL). No reference is taken.
cdef Rule *table_lookup(const Table *table, const FlowKey *key, uint64_t version, FlowKey *mask) noexcept nogil
cdef Rule *table_find_exact(const Table *table, const Match *match, uint16_t priority, uint64_t version) noexcept nogil
cdef int table_insert(Table *table, Rule *rule, const Match *match) noexcept nogil     # 0, -1 without memory; takes over the caller's reference
cdef void table_remove(Table *table, Rule *rule, uint64_t version) noexcept nogil      # invisible from `version`; memory goes by table_collect
cdef void table_collect(Table *table, uint64_t oldest_version) noexcept nogil          # unlink rules that no version >= oldest_version sees
cdef Rule *rule_new(const MaskShape *shape_hint, uint32_t acts_length) noexcept nogil  # zeroed, refs 1, acts allocated
cdef void rule_ref(Rule *rule) noexcept nogil
cdef void rule_unref(Rule *rule) noexcept nogil
cdef void rule_credit(Rule *rule, uint64_t packets, uint64_t bytes, int64_t used_ns) noexcept nogil   # follows replaced_by
cdef void rule_match(const Rule *rule, Match *out) noexcept nogil                      # expand the match
