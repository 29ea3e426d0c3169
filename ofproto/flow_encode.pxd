"""Encoders of flow statistics entries and flow-removed messages; reached through flow_mod.pxd, which documents them."""

from libc.stdint cimport uint8_t

from ofproto.flow_mod cimport FlowRow, OutBuf

cdef int stats_entry_encode(OutBuf *out, const FlowRow *row, uint8_t version, bint nxst) noexcept nogil
cdef int removed_encode(OutBuf *out, const FlowRow *row, uint8_t version, bint nxt) noexcept nogil
