"""Big-endian byte arrays of any length as numbers: whole, and ranges of bits counted from the least significant one."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef inline uint64_t be_load(const uint8_t *p, uint32_t n) noexcept nogil:
    cdef uint64_t v = 0
    cdef uint32_t i
    for i in range(n):
        v = v << 8 | p[i]
    return v


cdef inline void be_store(uint8_t *p, uint32_t n, uint64_t v) noexcept nogil:
    while n:
        n -= 1
        p[n] = <uint8_t>v
        v >>= 8


cdef inline uint64_t ones(uint32_t n_bits) noexcept nogil:
    return 0xffffffffffffffffULL if n_bits >= 64 else (<uint64_t>1 << n_bits) - 1


cdef inline uint64_t be_bits(const uint8_t *p, uint32_t n_bytes, uint32_t low, uint32_t n_bits) noexcept nogil:
    cdef uint64_t v = 0
    cdef uint32_t i
    if n_bits == 0:
        return 0
    for i in range(low // 8, (low + n_bits - 1) // 8 + 1):
        if i * 8 < low:
            v |= <uint64_t>p[n_bytes - 1 - i] >> (low - i * 8)
        else:
            v |= <uint64_t>p[n_bytes - 1 - i] << (i * 8 - low)
    return v & ones(n_bits)


cdef inline void be_put_bits(uint8_t *p, uint32_t n_bytes, uint32_t low, uint32_t n_bits,
                             uint64_t value) noexcept nogil:
    cdef uint32_t bit = low, end = low + n_bits, stop, shift
    cdef uint8_t m
    while bit < end:
        stop = min((bit // 8 + 1) * 8, end)
        shift = bit % 8
        m = <uint8_t>(ones(stop - bit) << shift)
        p[n_bytes - 1 - bit // 8] = (p[n_bytes - 1 - bit // 8] & ~m) | (<uint8_t>((value >> (bit - low)) << shift) & m)
        bit = stop
