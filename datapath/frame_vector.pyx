"""Vector variants of the frame cache's steps: see frame_vector.pxd. The variant is chosen by `use`, at the start."""

import os

from vslib.errors import ConfigError
from vslib.vlog import Module

cdef extern from * nogil:
    """
    #include <stdint.h>
    #include <string.h>
    enum { CYVS_LINE = 8, CYVS_MASK = 24, CYVS_WAYS = 4, CYVS_KINDS = 8 };   /* words; shapes per number of tags */
    #define CYVS_INLINE inline __attribute__((always_inline))

    static CYVS_INLINE uint64_t cyvs_frame_id(uint64_t sum, const uint64_t *k, uint32_t shape, uint32_t in_port) {
        unsigned __int128 r = (unsigned __int128)(sum ^ k[16]) * (k[17] ^ shape);
        return ((uint64_t)r ^ (uint64_t)(r >> 64)) << 24 | (uint64_t)in_port << 8 | shape;
    }

    /* Mask eight words, keep them in line, return their part of the hash. */
    static CYVS_INLINE uint64_t mask_portable(const uint8_t *data, const uint64_t *m, const uint64_t *k,
                                              uint64_t *line) {
        uint64_t sum = 0;
        for (int i = 0; i < CYVS_LINE; i += 2) {
            uint64_t x[2];
            unsigned __int128 r;
            memcpy(x, data + 8 * i, 16);
            line[i] = x[0] &= m[i];
            line[i + 1] = x[1] &= m[i + 1];
            r = (unsigned __int128)(x[0] ^ k[i]) * (x[1] ^ k[i + 1]);
            sum += (uint64_t)r ^ (uint64_t)(r >> 64);
        }
        return sum;
    }

    /* The ways of a set with this id, as bits 1, 3, 5, 7. */
    static CYVS_INLINE uint32_t ways_portable(const uint64_t *set, uint64_t id) {
        return (set[1] == id) << 1 | (set[3] == id) << 3 | (set[5] == id) << 5 | (set[7] == id) << 7;
    }

    static CYVS_INLINE int equal_portable(const uint64_t *a, const uint64_t *b) {
        uint64_t differ = 0;
        for (int i = 0; i < CYVS_LINE; i++)
            differ |= a[i] ^ b[i];
        return differ == 0;
    }

    /* The three steps over a batch, the same for all variants but for the functions above. */
    #define CYVS_STEPS(name, attribute) \\
        attribute static void identify_##name(const uint8_t *const *data, const uint8_t *shapes, uint32_t n, \\
                uint32_t in_port, const uint64_t *masks, const uint64_t *k, const uint64_t *sets, uint64_t set_mask, \\
                uint64_t *lines, uint64_t *ids) { \\
            uint64_t beyond[CYVS_LINE]; \\
            for (uint32_t i = 0; i < n; i++) { \\
                const uint64_t *m = masks + CYVS_MASK * shapes[i]; \\
                uint64_t h = mask_##name(data[i], m, k, lines + CYVS_LINE * i); \\
                if (__builtin_expect(m[2 * CYVS_LINE] != 0, 0)) \\
                    h += mask_##name(data[i] + 8 * CYVS_LINE, m + CYVS_LINE, k + CYVS_LINE, beyond); \\
                h = cyvs_frame_id(h, k, shapes[i], in_port); \\
                __builtin_prefetch(sets + CYVS_LINE * (h >> 24 & set_mask)); \\
                ids[i] = shapes[i] % CYVS_KINDS ? h : 0; \\
            } \\
        } \\
        attribute static void find_##name(const uint64_t *ids, uint32_t n, const uint64_t *sets, uint64_t set_mask, \\
                const uint64_t *near, uint32_t *entries) { \\
            for (uint32_t i = 0; i < n; i++) { \\
                uint64_t at = ids[i] >> 24 & set_mask; \\
                const uint64_t *set = sets + CYVS_LINE * at; \\
                uint32_t way, found = ways_##name(set, ids[i]); \\
                if (__builtin_expect(found == 0 || ids[i] == 0, 0)) { \\
                    entries[i] = UINT32_MAX; \\
                    continue; \\
                } \\
                way = (uint32_t)__builtin_ctz(found) >> 1; \\
                entries[i] = (uint32_t)(at * CYVS_WAYS + way); \\
                __builtin_prefetch(near + CYVS_LINE * (uint64_t)entries[i]); \\
                __builtin_prefetch((const void *)(uintptr_t)set[2 * way]); \\
            } \\
        } \\
        attribute static void compare_##name(const uint64_t *lines, const uint32_t *entries, uint32_t n, \\
                const uint64_t *sets, const uint64_t *near, void **flows) { \\
            for (uint32_t i = 0; i < n; i++) { \\
                uint64_t entry = entries[i]; \\
                flows[i] = NULL; \\
                if (__builtin_expect(entry != UINT32_MAX, 1) \\
                        && equal_##name(lines + CYVS_LINE * i, near + CYVS_LINE * entry)) \\
                    flows[i] = (void *)(uintptr_t)sets[2 * entry]; \\
            } \\
        }
    CYVS_STEPS(portable, )

    #if defined(__x86_64__)
    #include <immintrin.h>
    #define CYVS_AVX2 __attribute__((target("avx2")))
    #define CYVS_AVX512 __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl")))

    CYVS_AVX2 static CYVS_INLINE uint64_t mask_avx2(const uint8_t *data, const uint64_t *m, const uint64_t *k,
                                                    uint64_t *line) {
        __m256i sum = _mm256_setzero_si256();
        __m128i half;
        for (int i = 0; i < CYVS_LINE; i += 4) {
            __m256i x = _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(data + 8 * i)),
                                         _mm256_loadu_si256((const __m256i *)(m + i)));
            __m256i t = _mm256_add_epi32(x, _mm256_loadu_si256((const __m256i *)(k + i)));
            _mm256_storeu_si256((__m256i *)(line + i), x);
            sum = _mm256_add_epi64(sum, _mm256_mul_epu32(t, _mm256_srli_epi64(t, 32)));
        }
        half = _mm_add_epi64(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        return (uint64_t)_mm_cvtsi128_si64(_mm_add_epi64(half, _mm_unpackhi_epi64(half, half)));
    }

    CYVS_AVX512 static CYVS_INLINE uint64_t mask_avx512(const uint8_t *data, const uint64_t *m, const uint64_t *k,
                                                        uint64_t *line) {
        __m512i x = _mm512_and_si512(_mm512_loadu_si512(data), _mm512_loadu_si512(m));
        __m512i t = _mm512_add_epi32(x, _mm512_loadu_si512(k));
        _mm512_storeu_si512(line, x);
        return (uint64_t)_mm512_reduce_add_epi64(_mm512_mul_epu32(t, _mm512_srli_epi64(t, 32)));
    }

    CYVS_AVX2 static CYVS_INLINE uint32_t ways_avx2(const uint64_t *set, uint64_t id) {
        __m256i wanted = _mm256_set1_epi64x((long long)id);
        __m256i low = _mm256_cmpeq_epi64(_mm256_loadu_si256((const __m256i *)set), wanted);
        __m256i high = _mm256_cmpeq_epi64(_mm256_loadu_si256((const __m256i *)(set + 4)), wanted);
        return (uint32_t)(_mm256_movemask_pd(_mm256_castsi256_pd(low))
                          | _mm256_movemask_pd(_mm256_castsi256_pd(high)) << 4) & 0xaa;
    }

    CYVS_AVX512 static CYVS_INLINE uint32_t ways_avx512(const uint64_t *set, uint64_t id) {
        return _mm512_mask_cmpeq_epi64_mask(0xaa, _mm512_loadu_si512(set), _mm512_set1_epi64((long long)id));
    }

    CYVS_AVX2 static CYVS_INLINE int equal_avx2(const uint64_t *a, const uint64_t *b) {
        __m256i low = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)a), _mm256_loadu_si256((const __m256i *)b));
        __m256i high = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(a + 4)),
                                        _mm256_loadu_si256((const __m256i *)(b + 4)));
        __m256i differ = _mm256_or_si256(low, high);
        return _mm256_testz_si256(differ, differ);
    }

    CYVS_AVX512 static CYVS_INLINE int equal_avx512(const uint64_t *a, const uint64_t *b) {
        return _mm512_cmpneq_epi64_mask(_mm512_loadu_si512(a), _mm512_loadu_si512(b)) == 0;
    }

    CYVS_STEPS(avx2, CYVS_AVX2)
    CYVS_STEPS(avx512, CYVS_AVX512)
    static int cyvs_has_avx2(void) { return __builtin_cpu_supports("avx2"); }
    static int cyvs_has_avx512(void) {
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")
            && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    }
    #else
    #define identify_avx2 identify_portable
    #define find_avx2 find_portable
    #define compare_avx2 compare_portable
    #define identify_avx512 identify_portable
    #define find_avx512 find_portable
    #define compare_avx512 compare_portable
    static int cyvs_has_avx2(void) { return 0; }
    static int cyvs_has_avx512(void) { return 0; }
    #endif
    """
    bint cyvs_has_avx2()
    bint cyvs_has_avx512()
    IdentifyFn identify_portable, identify_avx2, identify_avx512
    FindFn find_portable, find_avx2, find_avx512
    CompareFn compare_portable, compare_avx2, compare_avx512

log = Module("dpif_netdev")
VARIANTS = ("avx512", "avx2", "portable")      # best first
VARIABLE = "CYVSWITCH_VECTOR"

cdef FrameOps[3] OPS           # in the order of VARIANTS
OPS[0].identify, OPS[0].find, OPS[0].compare = identify_avx512, find_avx512, compare_avx512
OPS[1].identify, OPS[1].find, OPS[1].compare = identify_avx2, find_avx2, compare_avx2
OPS[2].identify, OPS[2].find, OPS[2].compare = identify_portable, find_portable, compare_portable
cdef uint32_t chosen = 2


cdef const FrameOps *frame_ops() noexcept nogil:
    return &OPS[chosen]


def available() -> tuple[str, ...]:
    """Return the variants that this processor can run, best first."""
    can = {"avx512": cyvs_has_avx512(), "avx2": cyvs_has_avx2(), "portable": True}
    return tuple([name for name in VARIANTS if can[name]])


def use(name: str) -> None:
    """Let forwarders made from now on use this variant; raises ConfigError when there is none or it cannot run."""
    global chosen
    if name not in VARIANTS:
        raise ConfigError(f"{VARIABLE}: {name} is not one of {', '.join(VARIANTS)}")
    if name not in available():
        raise ConfigError(f"{VARIABLE}: this processor cannot run {name}, only {', '.join(available())}")
    chosen = VARIANTS.index(name)


def choose() -> str:
    """Use what the environment asks for in CYVSWITCH_VECTOR, else the best; returns it. Raises ConfigError as `use`."""
    wanted = os.environ.get(VARIABLE, "")
    name = wanted or available()[0]
    use(name)
    log.info("frame cache: %s (%s)", name, f"as {VARIABLE} says" if wanted else "the best for this processor")
    return name
