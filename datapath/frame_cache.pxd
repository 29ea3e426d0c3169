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

from datapath.frame_vector cimport FrameOps
from datapath.hash cimport HashSecret
from datapath.megaflow cimport Classifier, Megaflow
from datapath.packet cimport BATCH_MAX
from datapath.shape cimport N_SHAPES, NEAR_WORDS, WINDOW_WORDS, ShapeMask

cdef enum:
    FRAME_CACHE_WAYS = 4
    FRAME_SETS_FIRST = 1024    # powers of two: from 4,096 entries ...
    FRAME_SETS_LAST = 262144   # ... to a million
    FRAME_NONE = 0xffffffff    # no entry
    FRAME_HASH_SHIFT = 24      # where the hash begins in an id (see frame_vector.pyx)
    FRAME_FREE_AT_ONCE = 64    # sets of an outgrown table let go between two batches

cdef struct FrameTag:
    Megaflow *flow             # NULL = empty
    uint64_t id                # see frame_id; 0 = never used

cdef struct FrameSet:          # one cache line
    FrameTag[FRAME_CACHE_WAYS] ways

cdef struct FrameLine:         # masked bytes, one cache line
    uint64_t[NEAR_WORDS] words

cdef struct FrameLook:         # one batch as it is looked up, by packet
    FrameLine[BATCH_MAX] lines             # masked bytes
    uint64_t[BATCH_MAX] ids                # shape in bits 0-7, port in 8-23, above a hash of the line; 0 = no shape
    Megaflow *flows[BATCH_MAX]             # alive; NULL = not found
    const uint8_t *data[BATCH_MAX]         # the frame, of which 64 bytes (128 if a mask reaches there) can be read
    uint32_t[BATCH_MAX] entries            # FRAME_NONE = not found
    uint8_t[BATCH_MAX] shapes              # 0 = no shape

cdef struct FrameCache:
    const FrameOps *ops        # the steps of a look-up, for this processor
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
    uint64_t retired_bytes     # its memory
    ShapeMask *masks           # N_SHAPES

cdef int frame_cache_init(FrameCache *cache) noexcept nogil        # 0, or -1 without memory
cdef void frame_cache_destroy(FrameCache *cache) noexcept nogil
# Let the masks cover every megaflow of the classifier again; to be called whenever a megaflow was added.
cdef void frame_cache_follow(FrameCache *cache, const Classifier *cls) noexcept nogil
# Upkeep between two batches: lets go of an outgrown table, makes a larger one when flows crowd each other out, and
# takes bits that nobody reads any more out of the masks.
cdef void frame_cache_tend(FrameCache *cache, const Classifier *cls, int64_t now_ns) noexcept nogil
# Find the megaflows of frames start to end of a batch, of which data and shapes are set: fills ids and flows. All are
# from one port. What it found stays alive until a megaflow's memory is given back (classifier_reap).
cdef void frame_cache_look(const FrameCache *cache, const HashSecret *secret, FrameLook *look, uint32_t start,
                           uint32_t end, uint32_t in_port) noexcept nogil
# Remember that frames like this one, of a shape, belong to `flow`.
cdef void frame_cache_insert(FrameCache *cache, const HashSecret *secret, const uint8_t *data, uint32_t shape,
                             uint32_t in_port, Megaflow *flow) noexcept nogil
