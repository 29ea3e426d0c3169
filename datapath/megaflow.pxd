"""Megaflows: the masked cache. One hash table per mask shape (a subtable), most-hit shapes asked first.

Place in a packet's path: behind the flow cache, in front of the miss function. Belongs to one forwarder; no locks. Life
of a megaflow: `refs` counts its table and the flow-cache entries that point at it. Removal marks it `dead` and hangs it
on `graveyard`; `classifier_reap` (after the batch, when nothing runs its program any more) pushes its last counts and
lets go of program and owner; the memory goes when the last flow-cache entry has noticed. So a flow-cache entry never
leads to freed memory, and never to a dead megaflow's actions. The memory of some waits for new megaflows, so that a
flood of new flows at the limit asks for none.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from datapath.act cimport Program
from datapath.flow_key cimport KEY_PACKET_WORDS, PacketKey
from datapath.hash cimport HashSecret
from datapath.upcall cimport MissHandler, Tags

cdef enum:
    RANK_EVERY = 1024          # lookups between two sortings of the subtables
    SPARE_MOST = 4096          # removed megaflows whose memory is kept for new ones: 3 MB
    SPARE_STEP = 8             # words by which their sizes differ
    SPARE_SIZES = 20
    EVICT_SAMPLE = 8           # megaflows looked at to find an old one when the limit is reached
    EVICT_MOST = 4             # removed for one new one when there are more than the limit, so that none takes long

cdef struct Megaflow:
    # what a hit touches, one cache line
    uint64_t version           # tables that it is known to be right for
    Program *program           # its actions
    uint64_t packets           # seen since it was installed
    uint64_t bytes
    int64_t used_ns            # time of the last packet, 0 = none yet
    uint32_t batch             # serial of the last batch that had packets of it
    uint16_t reserved
    uint16_t tcp_flags         # all flags seen
    uint32_t refs              # 1 while in the table or graveyard + flow-cache entries that point here
    bint dead                  # removed: must not be used for packets any more
    # cold
    void *owner                # credit list, or NULL; once it is reaped: the Classifier that gets its memory
    Tags tags                  # changes that may alter it
    uint64_t pushed_packets    # of `packets`, already pushed to the owner
    uint64_t pushed_bytes
    Subtable *subtable
    Megaflow *next_dead        # graveyard or spare list
    uint32_t hash              # of its masked words
    uint32_t index             # its place in Classifier.all
    uint32_t dump_serial       # last dump that has copied it
    uint16_t room              # words behind this struct that there is memory for, a multiple of SPARE_STEP
    uint16_t key_words         # KEY_BASE_WORDS, or KEY_PACKET_WORDS when it came out of a tunnel
    uint64_t *key              # the whole key it was made from, key_words words, for translating it again without a
                               # packet
    uint64_t[1] words          # masked words (subtable.n_words), then the key's words

cdef struct Slot:              # open addressing, linear probing
    Megaflow *flow             # NULL = empty
    uint32_t hash

cdef struct Subtable:
    uint32_t n_words           # nonzero words of the mask
    uint8_t[KEY_PACKET_WORDS] index        # which words
    uint64_t[KEY_PACKET_WORDS] mask        # their masks
    uint64_t mask_hash         # of the whole mask, to find it
    uint64_t number            # Classifier.made when it was made
    Slot *slots                # capacity entries, a power of two, at most half full
    uint32_t capacity
    uint32_t n                 # megaflows in it
    uint64_t hits              # lately; halved at each ranking

cdef struct Classifier:
    const HashSecret *secret
    MissHandler *handler       # where counts go
    Subtable **subtables       # ranked
    uint32_t n_subtables
    uint32_t subtables_capacity
    uint64_t made              # subtables made so far
    uint64_t dropped           # subtables dropped so far
    Megaflow **all             # dense, unordered
    uint32_t n
    uint32_t all_capacity
    uint32_t limit             # flow-limit
    uint32_t evict_cursor
    uint32_t lookups           # since the last ranking
    Megaflow *graveyard        # removed, not reaped yet
    uint64_t probes            # subtables looked at for keys that had a megaflow
    Megaflow *spare[SPARE_SIZES]       # free memory, by room / SPARE_STEP
    uint32_t n_spare
    uint64_t allocated         # megaflows that memory was asked for
    uint64_t evicted           # megaflows removed because the limit was reached

cdef void classifier_init(Classifier *cls, const HashSecret *secret, MissHandler *handler) noexcept nogil
cdef void classifier_destroy(Classifier *cls) noexcept nogil       # removes and reaps all, pushing the last counts
cdef Megaflow *classifier_lookup(Classifier *cls, const PacketKey *key) noexcept nogil     # NULL = no match
# Install what a translation of `key` gave (mask of KEY_PACKET_WORDS words, a reference of owner and program handed
# over); an equal one is removed. NULL without memory: then owner and program stay the caller's.
cdef Megaflow *classifier_insert(Classifier *cls, const PacketKey *key, const uint64_t *mask, Program *program,
                                 void *owner, const Tags *tags,
                                 uint64_t version) noexcept nogil
cdef bint classifier_mask_is(const Megaflow *flow, const uint64_t *mask) noexcept nogil    # flow's mask equals this one
cdef void classifier_remove(Classifier *cls, Megaflow *flow) noexcept nogil
# New actions and owner for a megaflow in place; counts so far go to the old owner. program may be flow.program itself.
# Not while a group of the batch at work holds the megaflow.
cdef void megaflow_replace(Classifier *cls, Megaflow *flow, Program *program, void *owner, const Tags *tags,
                           uint64_t version) noexcept nogil
cdef void megaflow_push(Classifier *cls, Megaflow *flow) noexcept nogil    # counts since the last push go to its owner
cdef void classifier_reap(Classifier *cls) noexcept nogil          # between batches: finish off the graveyard
# KEY_BASE_WORDS, or KEY_PACKET_WORDS if any tunnel word is set
cdef uint32_t key_n_words(const PacketKey *key) noexcept nogil

cdef void megaflow_free(Megaflow *flow) noexcept nogil

cdef inline void megaflow_unref(Megaflow *flow) noexcept nogil:
    flow.refs -= 1
    if flow.refs == 0:
        megaflow_free(flow)
