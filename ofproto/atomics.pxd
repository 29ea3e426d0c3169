"""Atomic loads, stores and counters on plain struct members, by the compiler's __atomic builtins."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from *:
    """
    #define CYV_COUNT(p, v) ((void)__atomic_fetch_add((p), (v), __ATOMIC_RELAXED))
    #define CYV_LOAD(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)
    #define CYV_STORE(p, v) __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)
    #define CYV_TAKE(p) __atomic_exchange_n((p), 0, __ATOMIC_SEQ_CST)
    #define CYV_ADD(p, v) __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)
    #define CYV_DROP(p) __atomic_sub_fetch((p), 1, __ATOMIC_ACQ_REL)
    static inline void cyv_raise(int64_t *p, int64_t v) {
        int64_t seen = __atomic_load_n(p, __ATOMIC_RELAXED);
        while (seen < v && !__atomic_compare_exchange_n(p, &seen, v, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
    }
    """
    void count_u32 "CYV_COUNT"(uint32_t *p, uint32_t n) noexcept nogil         # relaxed add
    uint64_t load_u64 "CYV_LOAD"(const uint64_t *p) noexcept nogil
    int64_t load_i64 "CYV_LOAD"(const int64_t *p) noexcept nogil
    uint64_t take_u64 "CYV_TAKE"(uint64_t *p) noexcept nogil                   # read and zero
    uint64_t add_u64 "CYV_ADD"(uint64_t *p, uint64_t n) noexcept nogil         # returns the old value
    uint32_t drop_u32 "CYV_DROP"(uint32_t *p) noexcept nogil                   # subtract one, return what is left
    void raise_i64 "cyv_raise"(int64_t *p, int64_t to) noexcept nogil          # maximum of both
    void *load_ptr "CYV_LOAD"(void **p) noexcept nogil
    void store_ptr "CYV_STORE"(void **p, void *value) noexcept nogil
