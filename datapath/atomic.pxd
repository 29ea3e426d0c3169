"""Atomic operations on plain struct members, as inlines over the compiler's builtins.

Forwarders and the control thread share single words only: list heads, flags and counters. Every pairing (who releases,
who acquires, where the full fence of the sleep protocol stands) is written down where it is used: mailbox.pyx,
forwarder.pyx, and for `seq` (one order for all threads) ofproto's rule.pyx.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from * nogil:
    """
    #ifndef CYVSWITCH_ATOMIC
    #define CYVSWITCH_ATOMIC
    #define cyvs_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
    #define cyvs_load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
    #define cyvs_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
    #define cyvs_store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
    #define cyvs_load_seq(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)
    #define cyvs_store_seq(p, v) __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)
    #define cyvs_count(p, v) ((void)__atomic_fetch_add((p), (v), __ATOMIC_RELAXED))
    #define cyvs_add(p, v) __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)
    #define cyvs_take(p) __atomic_exchange_n((p), 0, __ATOMIC_SEQ_CST)
    #define cyvs_drop(p) __atomic_sub_fetch((p), 1, __ATOMIC_ACQ_REL)
    static inline void cyvs_raise(int64_t *p, int64_t v) {
        int64_t seen = __atomic_load_n(p, __ATOMIC_RELAXED);
        while (seen < v && !__atomic_compare_exchange_n(p, &seen, v, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
    }
    #define cyvs_fence() __atomic_thread_fence(__ATOMIC_SEQ_CST)
    static inline void *cyvs_exchange_ptr(void **p, void *v) { return __atomic_exchange_n(p, v, __ATOMIC_ACQ_REL); }
    static inline int cyvs_cas_ptr(void **p, void *old, void *v) {
        return __atomic_compare_exchange_n(p, &old, v, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
    }
    #define cyvs_prefetch(p) __builtin_prefetch(p)
    #define cyvs_likely(x) __builtin_expect(!!(x), 1)
    #define cyvs_unlikely(x) __builtin_expect(!!(x), 0)
    #endif
    """
    uint64_t load_acquire "cyvs_load_acquire"(const uint64_t *p)
    uint64_t load_relaxed "cyvs_load_relaxed"(const uint64_t *p)
    void store_release "cyvs_store_release"(uint64_t *p, uint64_t value)
    void store_relaxed "cyvs_store_relaxed"(uint64_t *p, uint64_t value)
    uint64_t load_seq "cyvs_load_seq"(const uint64_t *p)
    int64_t load_seq_i64 "cyvs_load_seq"(const int64_t *p)
    void *load_ptr "cyvs_load_acquire"(void **p)
    void *load_seq_ptr "cyvs_load_seq"(void **p)
    void store_seq_ptr "cyvs_store_seq"(void **p, void *value)
    void count_u32 "cyvs_count"(uint32_t *p, uint32_t n)       # relaxed add
    uint32_t drop_u32 "cyvs_drop"(uint32_t *p)                 # subtract one, return what is left
    uint64_t add_u64 "cyvs_add"(uint64_t *p, uint64_t n)       # return the old value
    uint64_t take_u64 "cyvs_take"(uint64_t *p)                 # return the value and leave zero
    void raise_i64 "cyvs_raise"(int64_t *p, int64_t to)        # maximum of both
    void *exchange_ptr "cyvs_exchange_ptr"(void **p, void *value)
    bint cas_ptr "cyvs_cas_ptr"(void **p, void *old, void *value)
    void full_fence "cyvs_fence"()
    void prefetch "cyvs_prefetch"(const void *p)
    bint likely "cyvs_likely"(bint x)
    bint unlikely "cyvs_unlikely"(bint x)
