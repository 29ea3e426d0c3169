"""Header rewrites in place, checksums kept right.

Place: called by execute for ACT_SET, ACT_PUSH_VLAN and ACT_POP_VLAN. Thread rule: touches only the packet, which must
be writable (refs == 1) and parsed (layer offsets valid). Where a slot lies in a frame is one table, EDITS in
edit.pyx.
"""

from libc.stdint cimport uint8_t, uint16_t

from datapath.packet cimport Packet

# Write value & mask (slot's size, network byte order) over the slot's bytes in the frame and update every checksum
# that covers them: incrementally, and with OFFLOAD_CSUM_PARTIAL only the pseudo-header sum. Fields of layer 4 are
# quietly left alone in later fragments. Returns 0, or DROP_ACTION_BAD_PACKET when the frame has no such header (or
# the slot cannot be written).
cdef int edit_set(Packet *pkt, uint8_t slot, const uint8_t *value, const uint8_t *mask) noexcept nogil

# Insert a VLAN tag behind the MAC addresses; tpid and tci in host order, bit 0x1000 of tci is not sent. Returns 0 or
# DROP_ACTION_BAD_PACKET without headroom.
cdef int edit_push_vlan(Packet *pkt, uint16_t tpid, uint16_t tci) noexcept nogil

# Remove the outer VLAN tag. Returns 0 or DROP_ACTION_BAD_PACKET when there is none.
cdef int edit_pop_vlan(Packet *pkt) noexcept nogil
