"""Internet checksums (RFC 1071, updates by RFC 1624), pseudo-headers, and the CRC32c of SCTP (RFC 9260).

Sums add 16-bit words in memory order into 64 bits and are folded at the end: ones-complement sums do not depend on byte
order, so a folded sum is stored as it is. A block must start at an even offset from where its checksum starts.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from datapath.bytes cimport htobe16, load_u16, load_u32, load_u64


cdef inline uint64_t csum_add_word64(uint64_t sum, uint64_t word) noexcept nogil:
    return sum + <uint32_t>word + (word >> 32)


# Add n_bytes (an odd last byte counts as the high byte of a word) to a running sum; up to 2^32 bytes cannot overflow.
cdef inline uint64_t csum_add(uint64_t sum, const uint8_t *data, uint32_t n_bytes) noexcept nogil:
    while n_bytes >= 8:
        sum = csum_add_word64(sum, load_u64(data))
        data += 8
        n_bytes -= 8
    if n_bytes >= 4:
        sum += load_u32(data)
        data += 4
        n_bytes -= 4
    if n_bytes >= 2:
        sum += load_u16(data)
        data += 2
        n_bytes -= 2
    if n_bytes:
        sum += htobe16(<uint16_t>(data[0] << 8))
    return sum


# Fold a running sum to 16 bits (not complemented), in memory order.
cdef inline uint16_t csum_fold(uint64_t sum) noexcept nogil:
    sum = <uint32_t>sum + (sum >> 32)
    sum = <uint32_t>sum + (sum >> 32)
    sum = (sum & 0xffff) + (sum >> 16)
    sum = (sum & 0xffff) + (sum >> 16)
    return <uint16_t>sum


# The checksum `csum` (memory order) of a block in which words that summed to `old` now sum to `new` (RFC 1624,
# equation 3).
cdef inline uint16_t csum_update(uint16_t csum, uint64_t old, uint64_t new) noexcept nogil:
    return <uint16_t>~csum_fold(<uint64_t><uint16_t>~csum + <uint16_t>~csum_fold(old) + csum_fold(new))


# The same for a sum that is stored uncomplemented: the pseudo-header sum of a partial checksum.
cdef inline uint16_t csum_update_partial(uint16_t sum, uint64_t old, uint64_t new) noexcept nogil:
    return csum_fold(<uint64_t>sum + <uint16_t>~csum_fold(old) + csum_fold(new))


# CRC32c in host order (SCTP stores it least significant byte first); continue with the previous result, start with 0.
cdef uint32_t crc32c(uint32_t crc, const uint8_t *data, uint32_t n_bytes) noexcept nogil
