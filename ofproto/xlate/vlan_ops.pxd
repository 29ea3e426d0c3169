"""VLAN tags of the key: push, pop, set (AC.11, AC.12)."""

from libc.stdint cimport uint16_t

from ofproto.xlate.context cimport XlateContext

# host order, TCI with the present bit
cdef void vlan_push(XlateContext *ctx, uint16_t tpid, uint16_t tci) noexcept nogil
cdef void vlan_pop(XlateContext *ctx) noexcept nogil                                     # nothing without a tag
# bits of the outer TCI, host order; makes a tag if the bits have the present bit
cdef void vlan_set(XlateContext *ctx, uint16_t bits, uint16_t mask) noexcept nogil
# after a free write to a VLAN slot: TPID present if and only if the tag is
cdef void vlan_settle(XlateContext *ctx) noexcept nogil
