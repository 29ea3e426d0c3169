"""Rules, subtables and the versioned classifier.

A table groups its rules by mask into subtables (tuple space search, Srinivasan et al. 1999); a subtable is a hash table
over the masked words. Lookup visits subtables by falling highest priority and stops when none can beat the best match;
the bits it read are reported exactly.

Thread rule: lookups under the switch's read lock; every change under its write lock. Versions: a rule is visible to
version v when add_version <= v < remove_version, so a forwarder that began its batch before an edit goes on seeing the
old tables.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from datapath.flow_key cimport FlowKey, KEY_WORDS
from ofproto.flow_mod cimport Match

cdef enum:
    VERSION_FOREVER = 0xffffffffffffffff
    VERSION_PENDING = 0xfffffffffffffffe  # of what a bundle under way brings or ends: nobody but the bundle sees it

cdef struct MaskShape:         # the nonzero words of a mask
    uint16_t n                 # how many
    uint16_t[KEY_WORDS] index  # word number in FlowKey, ordered by stage
    uint64_t[KEY_WORDS] mask   # mask of that word
    uint64_t hash              # of all of the above

cdef struct Rule:              # what a search reads comes first: a cache line, and the words
    Rule *next                 # same hash bucket, by falling priority
    uint64_t hash
    uint64_t add_version       # first version that sees it
    uint64_t remove_version    # first version that does not; VERSION_FOREVER while it lives
    uint32_t priority          # above 0xffff: a hidden rule of the switch itself
    uint32_t refs              # atomic: the table, credit lists, pending messages
    Subtable *subtable         # gives the mask (one reference held)
    Rule *dead_next            # removed, not yet collected: the next of its table
    Rule *replaced_by          # a modify replaced it: credits go there (one reference held)
    uint64_t cookie
    uint8_t *acts              # OfAct list
    uint32_t acts_length
    uint16_t idle_timeout_s
    uint16_t hard_timeout_s
    int64_t created_ns
    int64_t modified_ns
    int64_t used_ns            # atomic
    uint64_t n_packets         # atomic
    uint64_t n_bytes           # atomic
    uint16_t importance
    uint16_t flags             # FlowFlag
    uint8_t table_id
    uint8_t reason             # OFPRR_* once removed
    uint8_t forward_counts     # replaced_by also inherits packets and bytes, not just the time of last use
    uint64_t[1] words          # subtable.shape.n masked words of the match

cdef struct PriorityCount:     # how many rules of a subtable have one priority
    uint32_t priority
    uint32_t n_rules

cdef enum:
    N_STAGES = 4               # places where a look-up may stop reading: after pipeline, metadata and tunnel, link,
                               # network words

cdef struct Stage:             # a counting filter over the hashes of the first words of a subtable's rules
    uint32_t *counts           # rules by hash of words [0, n_words); zero = no rule begins like this
    uint32_t size              # of counts, a power of two
    uint32_t n_used            # nonzero counts
    uint32_t n_words

# a linear hash table (Litwin 1980): each insert splits at most one bucket, so growing never stalls the lock
cdef struct Subtable:
    MaskShape shape
    Subtable *next             # same bucket of Table.by_mask
    Rule **buckets
    uint32_t n_buckets         # a power of two; those below `split` have been split: n_buckets + split are in use
    uint32_t split
    uint32_t capacity          # room in `buckets`
    uint32_t n_rules           # rules in it, those removed but not yet collected included
    uint32_t refs              # atomic: the table and each of its rules, linked or not
    uint32_t max_priority      # of those n_rules
    PriorityCount *priorities  # by rising priority
    uint32_t n_priorities
    uint32_t priorities_capacity
    uint32_t n_stages
    Stage[N_STAGES] stages     # by rising n_words, all less than shape.n

cdef struct Table:
    Subtable **subtables       # by falling max_priority
    uint32_t *max_priorities   # of each, so that finding a place does not touch the subtables
    uint32_t n_subtables
    uint32_t subtables_capacity
    Subtable **by_mask         # hash table over MaskShape.hash
    uint32_t n_by_mask         # a power of two
    uint32_t n_rules           # visible now (to the latest version)
    Rule *dead                 # removed rules in order of remove_version
    Rule *dead_last
    uint64_t n_lookups         # atomic
    uint64_t n_matches         # atomic

# Where look-ups and rules meet (DP.13): a place is a hash of a mask, of a number of its first words, and of their
# masked values. A look-up was there that read these words of the subtable, or a few more; a rule is in a few places,
# one for each stage where a look-up may have stopped. A rule that comes or goes concerns only look-ups that share a
# place with it, but for INSERT_REORDERS: a megaflow stands for all packets that agree in what was read, so a rule that
# matches any of them begins with the same words.
cdef enum:
    TRAIL_MAX = 8
    PLACES_MAX = N_STAGES + 2

cdef struct Trail:
    uint32_t n                 # subtables asked; beyond TRAIL_MAX they are counted only
    uint64_t[TRAIL_MAX] places # one of each subtable

cdef enum:
    INSERT_REORDERS = 1        # a new mask, or one that is asked earlier now: concerns every look-up in the table

ctypedef int (*RuleVisitor)(void *arg, Rule *rule) noexcept nogil

cdef Table *table_new() noexcept nogil                                                 # NULL without memory
# gives up the table's references; NULL is allowed
cdef void table_free(Table *table) noexcept nogil
cdef void mask_shape(const FlowKey *mask, MaskShape *out) noexcept nogil
cdef Subtable *find_subtable(const Table *table, const MaskShape *shape) noexcept nogil        # NULL if there is none
# The highest-priority rule visible at `version` that matches key, or NULL. ORs every bit that decided the answer into
# `mask` (may be NULL) and writes where it looked to `trail` (may be NULL). No reference is taken.
cdef Rule *table_lookup(const Table *table, const FlowKey *key, uint64_t version, FlowKey *mask,
                        Trail *trail) noexcept nogil
cdef uint32_t rule_places(const Rule *rule, uint64_t *places) noexcept nogil           # up to PLACES_MAX; their number
cdef Rule *table_find_exact(const Table *table, const Match *match, uint32_t priority, uint64_t version) noexcept nogil
# The same with the mask's shape at hand; value is masked already.
cdef Rule *table_find_shaped(const Table *table, const MaskShape *shape, const FlowKey *value, uint32_t priority,
                             uint64_t version) noexcept nogil
# Whether a rule of this priority, visible at `version`, could match a packet that the match also matches.
cdef bint table_overlaps(const Table *table, const MaskShape *shape, const FlowKey *value, uint32_t priority,
                         uint64_t version) noexcept nogil
# Calls visit for each rule visible at `version` that is at least as specific as the match (the loose criterion of
# OpenFlow); stops when it returns nonzero and returns that. visit may remove the rule it is given.
cdef int table_each(const Table *table, const MaskShape *shape, const FlowKey *value, uint64_t version,
                    RuleVisitor visit, void *arg) noexcept nogil
# 0 or INSERT_REORDERS, or -1 without memory; takes over the caller's reference. The rule's priority and versions are
# set before.
cdef int table_insert(Table *table, Rule *rule, const Match *match) noexcept nogil
cdef int table_insert_shaped(Table *table, Rule *rule, const MaskShape *shape, const FlowKey *value) noexcept nogil
# invisible from `version` (never falling); memory goes by table_collect
cdef void table_remove(Table *table, Rule *rule, uint64_t version) noexcept nogil
# take back an insertion that no published version has seen; gives up the table's reference
cdef void table_take_back(Table *table, Rule *rule) noexcept nogil
# unlink rules that no version >= oldest_version sees
cdef void table_collect(Table *table, uint64_t oldest_version) noexcept nogil
# at most `limit` of them; 1 = there are more
cdef bint table_collect_some(Table *table, uint64_t oldest_version, uint32_t limit) noexcept nogil
# zeroed, refs 1, room for words and acts; NULL without memory
cdef Rule *rule_new(const MaskShape *shape, uint32_t acts_length) noexcept nogil
cdef void rule_ref(Rule *rule) noexcept nogil
cdef void rule_unref(Rule *rule) noexcept nogil
# Rule `old`, already removed, hands its counters to `new` now and all that is credited to it later; forward_counts 0:
# only the time of last use.
cdef void rule_replace(Rule *old, Rule *new, bint forward_counts) noexcept nogil
# follows replaced_by
cdef void rule_credit(Rule *rule, uint64_t packets, uint64_t bytes, int64_t used_ns) noexcept nogil
cdef void rule_match(const Rule *rule, Match *out) noexcept nogil                      # expand the match
