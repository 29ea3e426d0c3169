"""What a forwarder does for the control thread between batches (see mailbox.pxd)."""

from libc.stdint cimport uint32_t

from datapath.forwarder cimport Forwarder

# take and run what is in the mailbox; sliced ones only begin. Returns their number
cdef uint32_t commands_run(Forwarder *fwd) noexcept nogil
# go on with the oldest sliced command for SLICE_NS; 0 = there is none
cdef uint32_t commands_slice(Forwarder *fwd) noexcept nogil
