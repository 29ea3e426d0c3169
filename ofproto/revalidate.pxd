"""Which megaflows an edit may have touched: the change log read by forwarders (DP.13).

Thread rule: no lock. An entry is written before its version is published; a reader that took too long sees that by the
version and answers "everything".
"""

from libc.stdint cimport uint64_t

from ofproto.switch cimport Switch

# OR of the tags of versions since + 1 .. upto; all ones if the log does not reach back that far, 0 if upto <= since.
cdef uint64_t changes_between(Switch *sw, uint64_t since, uint64_t upto) noexcept nogil
