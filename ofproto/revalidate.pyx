"""The change log: see revalidate.pxd."""

from libc.stdint cimport uint64_t

from datapath.atomic cimport load_acquire
from ofproto.switch cimport CHANGE_LOG, Switch

cdef enum:
    EVERYTHING = 0xffffffffffffffff


cdef uint64_t changes_between(Switch *sw, uint64_t since, uint64_t upto) noexcept nogil:
    cdef uint64_t tags = 0
    cdef uint64_t version
    if upto <= since:
        return 0
    if load_acquire(&sw.version) - since >= CHANGE_LOG:
        return <uint64_t>EVERYTHING
    version = since
    while version < upto and tags != <uint64_t>EVERYTHING:
        version += 1
        tags |= load_acquire(&sw.log[version % CHANGE_LOG])
    # The writer fills the slot of version + 1 before it publishes it: one slot less than the log is trustworthy.
    return tags if load_acquire(&sw.version) - since < CHANGE_LOG - 1 else <uint64_t>EVERYTHING
