"""Commit: make the packet equal to the key, just before it is output or handed up."""

from ofproto.xlate.context cimport XlateContext

# Emit the ops that write what the pipeline changed since the last commit. Reads nothing that the mask does not hold
# afterwards.
cdef void commit(XlateContext *ctx) noexcept nogil
