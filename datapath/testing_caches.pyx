"""The caches as Python objects, for tests: each method is one C call, keys are bytes of a PacketKey."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from datapath.act cimport ActBuf, act_drop, actbuf_free, actbuf_init, program_make
from datapath.flow_cache cimport FlowCache, flow_cache_destroy, flow_cache_init, flow_cache_insert, flow_cache_lookup
from datapath.flow_key cimport KEY_PACKET_WORDS, PacketKey
from datapath.frame_cache cimport (
    FRAME_CACHE_WAYS, FrameCache, FrameLook, frame_cache_destroy, frame_cache_follow, frame_cache_init,
    frame_cache_insert, frame_cache_look, frame_cache_tend,
)
from datapath.forwarder cimport monotonic_ns
from datapath.hash cimport HASH_SECRET_WORDS, HashSecret, hash_words
from datapath.megaflow cimport (
    Classifier, Megaflow, classifier_destroy, classifier_init, classifier_insert, classifier_lookup, classifier_reap,
    classifier_remove, key_n_words,
)
from datapath.packet cimport PACKET_HEADROOM, Packet, PacketPool, packet_alloc, packet_release, pool_destroy, pool_init
from datapath.parse cimport parse
from datapath.shape cimport KIND_NONE, N_KINDS, WINDOW_WORDS, shape_of
from datapath.upcall cimport MissHandler, Tags

cdef enum:
    KEY_BYTES = KEY_PACKET_WORDS * 8


cdef void note_credit(void *ctx, void *owner, uint64_t packets, uint64_t n_bytes, int64_t used_ns,
                      uint16_t tcp_flags) noexcept nogil:
    (<uint64_t *> ctx)[0] += packets


cdef void note_release(void *ctx, void *owner) noexcept nogil:
    (<uint64_t *> ctx)[1] += 1


cdef int load_key(PacketKey *key, bytes text) except -1:
    if len(text) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes")
    memcpy(key, <const char *> text, KEY_BYTES)
    return 0


cdef class Caches:
    """A classifier with the flow cache and the frame cache in front.

    Megaflows are named by the number they were inserted with, kept in the first word of `tags`.
    """

    cdef Classifier classifier
    cdef FlowCache cache
    cdef FrameCache frames
    cdef FrameLook look
    cdef PacketPool pool
    cdef HashSecret secret
    cdef MissHandler handler
    cdef uint64_t[2] noted     # packets credited, owners released

    def __cinit__(self, limit: int = 200_000):
        cdef uint32_t i
        cdef uint64_t golden = 0x9e3779b97f4a7c15
        for i in range(<uint32_t> HASH_SECRET_WORDS):
            self.secret.words[i] = (golden * (i + 1)) | 1
        memset(&self.handler, 0, sizeof(self.handler))
        self.handler.ctx = self.noted
        self.handler.credit = note_credit
        self.handler.release = note_release
        classifier_init(&self.classifier, &self.secret, &self.handler)
        self.classifier.limit = limit
        pool_init(&self.pool, 2, 2)
        if flow_cache_init(&self.cache) or frame_cache_init(&self.frames):
            raise MemoryError

    def __dealloc__(self):
        classifier_destroy(&self.classifier)
        flow_cache_destroy(&self.cache)
        frame_cache_destroy(&self.frames)
        pool_destroy(&self.pool)

    def insert(self, bytes key not None, bytes mask not None, uint64_t number, int64_t used_ns=0) -> None:
        """Install megaflow `number`."""
        cdef PacketKey wanted, bits
        cdef ActBuf acts
        cdef Tags tags
        cdef Megaflow *flow
        load_key(&wanted, key)
        load_key(&bits, mask)
        memset(&tags, 0, sizeof(tags))
        tags.words[0] = number
        actbuf_init(&acts)
        act_drop(&acts, 1, 0)
        flow = classifier_insert(&self.classifier, &wanted, <uint64_t *> &bits, program_make(&acts), self.noted,
                                 &tags, 1)
        actbuf_free(&acts)
        if flow == NULL:
            raise MemoryError
        flow.used_ns = used_ns
        flow.packets = 1

    def lookup(self, bytes key not None) -> int | None:
        """Return the number of a megaflow that matches."""
        cdef PacketKey wanted
        load_key(&wanted, key)
        flow = classifier_lookup(&self.classifier, &wanted)
        return None if flow == NULL else flow.tags.words[0]

    def lookups_ns(self, bytes keys not None, uint32_t rounds) -> float:
        """Look up keys that stand one behind the other and return the mean time of a look-up. All must be found."""
        cdef uint32_t i, n = <uint32_t> (len(keys) // KEY_BYTES), found = 0
        cdef const PacketKey *wanted = <const PacketKey *> <const char *> keys
        cdef int64_t begin_ns = monotonic_ns()
        with nogil:
            for i in range(n * rounds):
                found += classifier_lookup(&self.classifier, &wanted[i % n]) != NULL
        if found != n * rounds:
            raise ValueError(f"{found} of {n * rounds} keys found")
        return (monotonic_ns() - begin_ns) / found

    def remove(self, uint64_t number) -> bool:
        """Remove megaflow `number`; it stays in the graveyard until reap()."""
        cdef uint32_t i
        for i in range(self.classifier.n):
            if self.classifier.all[i].tags.words[0] == number:
                classifier_remove(&self.classifier, self.classifier.all[i])
                return True
        return False

    def reap(self) -> tuple[int, int]:
        """Finish off removed megaflows; returns (packets credited, owners released) so far."""
        classifier_reap(&self.classifier)
        return self.noted[0], self.noted[1]

    @property
    def n_flows(self) -> int:
        """Megaflows installed."""
        return self.classifier.n

    @property
    def n_masks(self) -> int:
        """Subtables."""
        return self.classifier.n_subtables

    def first_mask_hits(self) -> int:
        """Return the recent hits of the subtable that is asked first."""
        return self.classifier.subtables[0].hits if self.classifier.n_subtables else 0

    def key_words(self, bytes key not None) -> int:
        """Return how many words of the key count."""
        cdef PacketKey wanted
        load_key(&wanted, key)
        return key_n_words(&wanted)

    def hash(self, bytes key not None) -> int:
        """Return the flow hash of a key."""
        cdef PacketKey wanted
        load_key(&wanted, key)
        return hash_words(&self.secret, <uint64_t *> &wanted, key_n_words(&wanted))

    def remember(self, bytes key not None, uint32_t h) -> int | None:
        """Put what the classifier says of `key` into the flow cache under hash h; returns the megaflow's number."""
        cdef PacketKey wanted
        cdef Megaflow *flow
        load_key(&wanted, key)
        flow = classifier_lookup(&self.classifier, &wanted)
        if flow == NULL:
            return None
        flow_cache_insert(&self.cache, &wanted, key_n_words(&wanted), h, flow)
        return flow.tags.words[0]

    def recall(self, bytes key not None, uint32_t h) -> int | None:
        """Return the number of the megaflow that the flow cache has for `key` under hash h."""
        cdef PacketKey wanted
        cdef Megaflow *flow
        load_key(&wanted, key)
        flow = flow_cache_lookup(&self.cache, &wanted, key_n_words(&wanted), h)
        return None if flow == NULL else flow.tags.words[0]

    cdef Packet *packet_of(self, bytes frame, uint32_t in_port) except NULL:
        cdef Packet *pkt = packet_alloc(&self.pool, <uint32_t> len(frame))
        if pkt == NULL:
            raise MemoryError
        memset(pkt.buf + PACKET_HEADROOM, 0xa5, 256)     # what an earlier frame left behind must not matter
        memcpy(pkt.data, <const char *> frame, len(frame))
        pkt.in_port = in_port
        return pkt

    def remember_frame(self, bytes frame not None, uint32_t in_port) -> int | None:
        """Put what the classifier says of a frame into the frame cache; returns the megaflow's number, None if none.

        A frame without shape is not remembered.
        """
        cdef PacketKey key
        cdef Packet *pkt = self.packet_of(frame, in_port)
        cdef Megaflow *flow
        cdef uint32_t shape = shape_of(pkt.data, pkt.length)
        memset(&key, 0, sizeof(key))
        parse(pkt, &key)
        flow = classifier_lookup(&self.classifier, &key)
        if flow != NULL and shape % N_KINDS != KIND_NONE:
            frame_cache_follow(&self.frames, &self.classifier)
            frame_cache_insert(&self.frames, &self.secret, pkt.data, shape, in_port, flow)
        packet_release(pkt)
        return None if flow == NULL else flow.tags.words[0]

    def recall_frame(self, bytes frame not None, uint32_t in_port) -> int | None:
        """Return the number of the living megaflow that the frame cache has for a frame."""
        cdef Packet *pkt = self.packet_of(frame, in_port)
        cdef uint32_t shape = shape_of(pkt.data, pkt.length)
        self.look.data[0] = pkt.data
        self.look.shapes[0] = <uint8_t> (shape if shape % N_KINDS != KIND_NONE else 0)
        frame_cache_follow(&self.frames, &self.classifier)
        frame_cache_look(&self.frames, &self.secret, &self.look, 0, 1, in_port)
        packet_release(pkt)
        return None if self.look.flows[0] == NULL else self.look.flows[0].tags.words[0]

    def tend_frames(self, int64_t now_ns) -> int:
        """Do the frame cache's upkeep; returns its entries, used or not."""
        frame_cache_tend(&self.frames, &self.classifier, now_ns)
        return self.frames.n_sets * FRAME_CACHE_WAYS

    def frame_mask(self, bytes frame not None) -> bytes | None:
        """Return the bits that are compared of frames of this one's shape, None for a frame without shape."""
        cdef uint32_t shape = shape_of(<const uint8_t *> <const char *> frame, <uint32_t> len(frame))
        if shape % N_KINDS == KIND_NONE:
            return None
        frame_cache_follow(&self.frames, &self.classifier)
        return (<const char *> self.frames.masks[shape].words)[: WINDOW_WORDS * 8]
