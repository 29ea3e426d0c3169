"""The action set: what write-actions collected, run at the end in the order OpenFlow gives (OF.12)."""

from ofproto.xlate.context cimport XlateContext
from ofproto.xlate.record cimport Grow

cdef void run_set(XlateContext *ctx) noexcept nogil
# append the entries that would run, in their order
cdef void list_set(XlateContext *ctx, Grow *out) noexcept nogil
