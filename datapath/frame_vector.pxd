"""The steps of a look-up in the frame cache that go over a whole batch, in three variants: AVX-512, AVX2, portable C.

Place: frame_cache.pyx calls them through `FrameOps`, chosen when a forwarder is made (frame_vector.pyx: by the
processor, or by CYVSWITCH_VECTOR). The vectors' hash is NH (Black et al., UMAC, 1999): 32-bit halves of the masked
words, each added to a secret, multiplied in pairs and summed; the portable one multiplies whole words. Who does not
know the secret finds frames that collide no better than by chance (1 in 2^31), and one that collides is told apart by
the whole compare.

The pointers are those of frame_cache.pxd's structs, seen as the words they consist of: a set is four times (megaflow,
id), a line eight words, a mask WINDOW_WORDS words and whether any beyond the first eight is set.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

# Of n frames with their shapes: the masked first eight words (into lines) and the id (0 = no shape); fetches the sets.
ctypedef void (*IdentifyFn)(const uint8_t *const *data, const uint8_t *shapes, uint32_t n, uint32_t in_port,
                            const uint64_t *masks, const uint64_t *secret, const uint64_t *sets, uint64_t set_mask,
                            uint64_t *lines, uint64_t *ids) noexcept nogil
# The entry of each id, or 0xffffffff; fetches the entry's line and its megaflow.
ctypedef void (*FindFn)(const uint64_t *ids, uint32_t n, const uint64_t *sets, uint64_t set_mask,
                        const uint64_t *near, uint32_t *entries) noexcept nogil
# The megaflow of each entry whose line equals the frame's, else NULL.
ctypedef void (*CompareFn)(const uint64_t *lines, const uint32_t *entries, uint32_t n, const uint64_t *sets,
                           const uint64_t *near, void **flows) noexcept nogil

cdef struct FrameOps:
    IdentifyFn identify
    FindFn find
    CompareFn compare

cdef const FrameOps *frame_ops() noexcept nogil                  # the variant in use for new forwarders
