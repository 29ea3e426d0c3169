"""Header rewrites in place, checksums kept right.

Place: called by execute for ACT_SET, ACT_PUSH_VLAN and ACT_POP_VLAN. Thread rule: touches only the packet, which must
be writable (refs == 1) and parsed (layer offsets valid). Where a slot lies in a frame is one table, EDITS in
edit.pyx.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from datapath.packet cimport Packet, PacketPool

cdef enum Header:              # what a frame has, as bits
    HAS_ETH = 0x001
    HAS_VLAN = 0x002
    HAS_MPLS = 0x004
    HAS_ARP = 0x008            # ARP or RARP, Ethernet and IPv4
    HAS_IP4 = 0x010
    HAS_IP6 = 0x020
    HAS_TCP = 0x040
    HAS_UDP = 0x080
    HAS_SCTP = 0x100
    HAS_ICMP = 0x200
    HAS_ICMP6 = 0x400
    HAS_ND = 0x800             # neighbour solicitation or advertisement with its target
    HAS_ROUTE = 0x1000         # an IPv6 routing header with segments left
    IS_LATER = 0x2000          # a fragment without layer 4
    HAS_PORTS = 0x1c0          # TCP, UDP or SCTP
    HAS_ANY_ICMP = 0x600

cdef enum Base:                # where a row's offset counts from
    AT_FRAME = 0
    AT_MPLS = 1
    AT_L3 = 2
    AT_L4 = 3
    AT_SLL = 4                 # the ND option, when there is one
    AT_TLL = 5

cdef enum Twist:               # how the slot differs from the wire, and what its bytes are summed into
    SUM_IP4 = 1                # the IPv4 header checksum covers it
    SUM_PSEUDO = 2             # it is part of the pseudo-header of layer 4
    SUM_L4 = 4                 # the layer 4 checksum covers it
    LOW_BYTE = 8               # only the low byte of the slot is on the wire
    NIBBLE_UP = 16             # on the wire it starts four bits into its first byte
    HIGH_ZERO = 32             # on the wire a byte that the key does not hold stands in front; it becomes zero
    ROUTED = 64                # with HAS_ROUTE the pseudo-header holds another address

cdef struct EditRow:           # where frames with one of some headers have a slot
    uint8_t slot               # SlotNumber
    uint8_t base               # Base
    uint8_t offset             # bytes from base
    uint8_t n_bytes            # on the wire
    uint16_t headers           # Header bits: any of them will do
    uint16_t twist             # Twist bits
    uint8_t[4] keep            # bits of the first bytes that are never written

cdef const EditRow *edit_row(uint8_t slot, uint32_t headers) noexcept nogil      # NULL = such frames do not have it
cdef uint32_t edit_l4_csum(uint32_t headers) noexcept nogil      # where the layer 4 checksum is, from its header

# Write value & mask (slot's size, network byte order) over the slot's bytes in the frame and update every checksum
# that covers them: incrementally, and with OFFLOAD_CSUM_PARTIAL only the pseudo-header sum. Fields of layer 4 are
# quietly left alone in later fragments. Returns 0, or DROP_ACTION_BAD_PACKET when the frame has no such header (or
# the slot cannot be written).
cdef int edit_set(Packet *pkt, uint8_t slot, const uint8_t *value, const uint8_t *mask) noexcept nogil

# Insert a VLAN tag behind the MAC addresses; tpid and tci in host order, bit 0x1000 of tci is not sent. Returns 0 or
# DROP_ACTION_BAD_PACKET without headroom. The frame's shape is forgotten.
cdef int edit_push_vlan(Packet *pkt, uint16_t tpid, uint16_t tci) noexcept nogil

# Remove the outer VLAN tag. Returns 0 or DROP_ACTION_BAD_PACKET when there is none.
cdef int edit_pop_vlan(Packet *pkt) noexcept nogil

# For what runs edits over a frame on its own: the frame (bytes from its Ethernet header on) in a buffer of the pool,
# parsed, with a guard behind it; csum_start, csum_offset: bytes, make the checksum there a partial one, None = none.
# Raises ValueError for a frame that cannot be parsed.
cdef Packet *guarded_packet(PacketPool *pool, bytes frame, csum_start, uint16_t csum_offset) except NULL
cdef bytes guarded_frame(const Packet *pkt)    # its bytes; raises InternalError when the guard was written
