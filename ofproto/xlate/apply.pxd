"""Run a list of actions and instructions on the packet, in order. One function per action, in a table."""

from libc.stdint cimport uint8_t, uint32_t

from ofproto.ofact cimport OfAct
from ofproto.xlate.context cimport XlateContext

# Do one action; returns whether the list it stands in ends here.
ctypedef bint (*StepFn)(XlateContext *ctx, const OfAct *act) noexcept nogil

cdef void apply_list(XlateContext *ctx, const uint8_t *acts, uint32_t length) noexcept nogil
cdef bint apply_one(XlateContext *ctx, const OfAct *act) noexcept nogil
