"""The pieces that wire actions are put together from: headers, padding, numbers, OXM entries.

A function that writes returns 0, or -1 without memory.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from ofproto.flow_mod cimport OutBuf

cdef struct Wire:                  # a form of ACTIONS
    uint16_t number
    bint nicira
    uint32_t n_bytes

# The form of ACTIONS with that name; raises KeyError. For set-up at import.
cdef Wire wire(str name) except *

# A zeroed action of n_bytes with its header, or NULL. Bodies start at byte 4, those of Nicira actions at byte 10.
cdef uint8_t *start(OutBuf *out, const Wire *w, uint32_t n_bytes) noexcept nogil
# Pad the action that starts at byte `at` of the buffer to 8 bytes, and note its length.
cdef int finish(OutBuf *out, uint32_t at) noexcept nogil
# An action that says nothing but its type.
cdef int put_plain(OutBuf *out, const Wire *w) noexcept nogil
# A fixed-length action with one number of n_bytes at byte `at`.
cdef int put_number(OutBuf *out, const Wire *w, uint32_t at, uint32_t n_bytes, uint64_t value) noexcept nogil
cdef int put_bytes(OutBuf *out, const uint8_t *data, uint32_t n) noexcept nogil
# Header, value and (unless it is NULL or all ones) mask of a field in the numbers of `version`.
cdef int put_oxm(OutBuf *out, uint16_t field, uint8_t version, const uint8_t *value,
                 const uint8_t *mask) noexcept nogil
