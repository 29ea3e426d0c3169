"""The action set: what write-actions collected, run at the end in the order OpenFlow gives (OF.12)."""

from ofproto.xlate.context cimport XlateContext

cdef void run_set(XlateContext *ctx) noexcept nogil
