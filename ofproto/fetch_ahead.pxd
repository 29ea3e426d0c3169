"""Memory that a batch of adds will read, fetched before the switch's lock is taken."""

from libc.stdint cimport uint32_t

from ofproto.flow_edit cimport FlowOp
from ofproto.switch cimport Bridge

# ops[0..n_ops): decoded flow-mods
cdef void fetch_ahead(const Bridge *bridge, const FlowOp *ops, uint32_t n_ops) noexcept nogil
