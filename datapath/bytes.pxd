"""Big-endian loads and stores, and a bounds-checked read cursor; everything inlines into the importing extension.

`load_u*`/`store_u*` move bytes as they are (wire order stays wire order, as in the flow key); `load_be*`/`store_be*`
convert between wire and host order. memcpy of a constant size compiles to one move and is defined for unaligned
addresses.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from "<endian.h>" nogil:
    uint16_t htobe16(uint16_t value) noexcept
    uint32_t htobe32(uint32_t value) noexcept
    uint64_t htobe64(uint64_t value) noexcept
    uint16_t be16toh(uint16_t value) noexcept
    uint32_t be32toh(uint32_t value) noexcept
    uint64_t be64toh(uint64_t value) noexcept
    uint32_t htole32(uint32_t value) noexcept
    uint32_t le32toh(uint32_t value) noexcept


cdef inline uint16_t load_u16(const void *at) noexcept nogil:
    cdef uint16_t value
    memcpy(&value, at, 2)
    return value


cdef inline uint32_t load_u32(const void *at) noexcept nogil:
    cdef uint32_t value
    memcpy(&value, at, 4)
    return value


cdef inline uint64_t load_u64(const void *at) noexcept nogil:
    cdef uint64_t value
    memcpy(&value, at, 8)
    return value


cdef inline void store_u16(void *at, uint16_t value) noexcept nogil:
    memcpy(at, &value, 2)


cdef inline void store_u32(void *at, uint32_t value) noexcept nogil:
    memcpy(at, &value, 4)


cdef inline void store_u64(void *at, uint64_t value) noexcept nogil:
    memcpy(at, &value, 8)


cdef inline uint16_t load_be16(const void *at) noexcept nogil:
    return be16toh(load_u16(at))


cdef inline uint32_t load_be32(const void *at) noexcept nogil:
    return be32toh(load_u32(at))


cdef inline uint64_t load_be64(const void *at) noexcept nogil:
    return be64toh(load_u64(at))


cdef inline void store_be16(void *at, uint16_t value) noexcept nogil:
    store_u16(at, htobe16(value))


cdef inline void store_be32(void *at, uint32_t value) noexcept nogil:
    store_u32(at, htobe32(value))


cdef inline void store_be64(void *at, uint64_t value) noexcept nogil:
    store_u64(at, htobe64(value))


# Little-endian pair: virtio and CRC32c are the exceptions to network order.
cdef inline uint32_t load_le32(const void *at) noexcept nogil:
    return le32toh(load_u32(at))


cdef inline void store_le32(void *at, uint32_t value) noexcept nogil:
    store_u32(at, htole32(value))


cdef struct Cursor:            # what is still to be read: at <= end always
    const uint8_t *at          # next byte
    const uint8_t *end         # one behind the last byte that may be read


cdef inline uint32_t cursor_left(const Cursor *cursor) noexcept nogil:
    return <uint32_t>(cursor.end - cursor.at)


# Advance by n_bytes and return where they start, or NULL (cursor unmoved) when fewer are left.
cdef inline const uint8_t *cursor_take(Cursor *cursor, uint32_t n_bytes) noexcept nogil:
    cdef const uint8_t *start = cursor.at
    if cursor_left(cursor) < n_bytes:
        return NULL
    cursor.at += n_bytes
    return start


# Give up the bytes behind n_bytes (padding); 1 when fewer than n_bytes are left.
cdef inline bint cursor_limit(Cursor *cursor, uint32_t n_bytes) noexcept nogil:
    if cursor_left(cursor) < n_bytes:
        return True
    cursor.end = cursor.at + n_bytes
    return False
