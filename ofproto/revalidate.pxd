"""Which megaflows an edit may have touched: the change log read by forwarders (DP.13).

Thread rule: no lock. A tag is announced (Switch.logged) before it is written, and an edit is logged before its version
is published; a reader that took too long sees that by either number and answers "affected".
"""

from libc.stdint cimport uint64_t

from datapath.upcall cimport Tags
from ofproto.switch cimport Switch

cdef enum:
    SCAN_MAX = 1024            # logged tags that are looked through before a new translation is the cheaper answer

# Whether versions since + 1 .. upto touched something that `tags` hold; 1 as well when the log does not reach back that
# far or more than SCAN_MAX tags were logged; 0 if upto <= since.
cdef bint affected(Switch *sw, uint64_t since, uint64_t upto, const Tags *tags) noexcept nogil
