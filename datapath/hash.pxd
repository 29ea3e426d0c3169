"""Hashes of flow keys: sums of 64x64->128-bit products with secret words, so that nobody outside can aim for
collisions.

The products of one key do not wait for each other; the base key (32 words) takes some 20 cycles.
"""

from libc.stdint cimport uint32_t, uint64_t


cdef extern from * nogil:
    """
    #ifndef CYVSWITCH_HASH
    #define CYVSWITCH_HASH
    static inline uint64_t cyvs_mum(uint64_t a, uint64_t b) {
        unsigned __int128 r = (unsigned __int128)a * b;
        return (uint64_t)r ^ (uint64_t)(r >> 64);
    }
    #endif
    """
    uint64_t mum "cyvs_mum"(uint64_t a, uint64_t b)

cdef enum:
    HASH_SECRET_WORDS = 74     # KEY_PACKET_WORDS, rounded up to even

cdef struct HashSecret:
    uint64_t[HASH_SECRET_WORDS] words      # random, none zero; drawn once per forwarder

# Hash of n_words (even) words. secret->words covers HASH_SECRET_WORDS of them.
cdef inline uint32_t hash_words(const HashSecret *secret, const uint64_t *words, uint32_t n_words) noexcept nogil:
    cdef uint64_t a = n_words, b = 0
    cdef uint32_t i
    cdef const uint64_t *k = <const uint64_t *> &secret.words[0]
    for i in range(0, n_words & ~3, 4):
        a += mum(words[i] ^ k[i], words[i + 1] ^ k[i + 1])
        b += mum(words[i + 2] ^ k[i + 2], words[i + 3] ^ k[i + 3])
    for i in range(n_words & ~3, n_words):
        a += mum(words[i] ^ k[i], k[i ^ 1])
    a = mum(a ^ k[0], b ^ k[1])
    return <uint32_t> (a ^ (a >> 32))
