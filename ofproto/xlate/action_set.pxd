"""The action set of OpenFlow 1.1 and later: what write-actions collected, run at the end in the order the specification gives (OF.12)."""

from ofproto.xlate.context cimport XlateContext

cdef void run_set(XlateContext *ctx) noexcept nogil
