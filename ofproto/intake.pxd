"""Received bytes cut into runs of messages of one kind, by the rows of MESSAGES.

Thread rule: the tables are filled at import and never change.
"""

from libc.stdint cimport uint8_t, uint32_t

cdef enum Run:
    RUN_OTHER = 0              # one message that is looked at by itself, also one that breaks a row's rules
    RUN_FLOW_MODS = 1          # also in forms that `flow_mod_decode` refuses in this version
    RUN_BUNDLE_ADDS = 2
    RUN_BARRIER = 3            # one barrier request
    RUN_UNFINISHED = 4         # the message that begins here is not whole
    RUN_IMPOSSIBLE = 5         # its header says that it is shorter than the header

# What one whole message of `length` bytes is: one of the first four.
cdef Run run_of(const uint8_t *msg, uint32_t length, uint8_t version) noexcept nogil
# Bytes before the body of a bundle-add in an OpenFlow version.
cdef uint32_t bundle_add_head(uint8_t version) noexcept nogil
