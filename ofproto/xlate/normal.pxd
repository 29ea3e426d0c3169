"""Action NORMAL: forward as a learning VLAN switch does (L2.01, L2.04, L2.08)."""

from ofproto.xlate.context cimport XlateContext

cdef void normal(XlateContext *ctx) noexcept nogil
