"""From packets to programs: the middle of a forwarder's loop (see forwarder.pxd)."""

from libc.stdint cimport int64_t, uint32_t

from datapath.forwarder cimport Forwarder
from datapath.megaflow cimport Megaflow
from datapath.mailbox cimport Command

# Parse, look up and run packets of fwd.batch until fwd.translations_left is 0, and send what they output; returns how
# many. fwd.now_ns and fwd.translations_left are set.
cdef uint32_t batch_run(Forwarder *fwd) noexcept nogil
# Translate one frame with a command's own hook and run it; nothing is cached. 0, or -1 without a buffer (counted).
cdef int frame_run(Forwarder *fwd, const Command *command) noexcept nogil
# Whether the tables have not changed, up to `version`, in a way that may touch this megaflow; notes the version if so.
cdef bint flow_is_current(Forwarder *fwd, Megaflow *flow, unsigned long long version) noexcept nogil
