"""The CRC32c table; the inline sums are in csum.pxd.

SCTP is rare, so one table of 1 KiB and a byte at a time will do; nothing here needs a processor's CRC instruction.
"""

cdef enum:
    CRC32C_POLYNOMIAL = 0x82f63b78     # Castagnoli, bit-reversed (RFC 9260 appendix A)

cdef uint32_t[256] crc32c_table        # written once, at import


cdef void fill_table() noexcept nogil:
    cdef uint32_t value, byte, bit
    for byte in range(256):
        value = byte
        for bit in range(8):
            value = (value >> 1) ^ (<uint32_t>CRC32C_POLYNOMIAL if value & 1 else 0)
        crc32c_table[byte] = value


fill_table()


cdef uint32_t crc32c(uint32_t crc, const uint8_t *data, uint32_t n_bytes) noexcept nogil:
    cdef uint32_t i
    crc = ~crc
    for i in range(n_bytes):
        crc = (crc >> 8) ^ crc32c_table[(crc ^ data[i]) & 0xff]
    return ~crc


def crc32c_of(bytes data) -> int:
    """Return the CRC32c of `data` as SCTP defines it (RFC 9260 appendix A)."""
    return crc32c(0, data, <uint32_t>len(data))


def checksum_of(bytes data, long long initial=0) -> int:
    """Return the Internet checksum of `data` in host order (RFC 1071); initial: host-order sum to start from."""
    cdef uint64_t sum = csum_add(0, data, <uint32_t>len(data))
    sum += htobe16(csum_fold(<uint64_t>initial))
    return htobe16(<uint16_t>~csum_fold(sum))
