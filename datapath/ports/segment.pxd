"""Software segmentation: a GSO frame cut into frames that any device can send (PT.29).

    layout_find(&layout, pkt) -> cut_begin(&cut, pkt, &layout) -> cut_next(&cut) until cut.left is 0

Linux's rules: every piece has the headers of the whole with its own lengths and checksums and an IPv4 identification
one higher than the piece before; TCP's sequence number moves on, FIN and PSH stay on the last piece, CWR on the first.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from datapath.packet cimport Packet

cdef struct GsoLayout:         # offsets from the Ethernet header
    uint32_t l3                # IPv4 or IPv6 header, behind VLAN tags
    uint32_t l4                # TCP or UDP header
    uint32_t payload           # first byte behind all headers
    uint8_t proto              # IP_TCP or IP_UDP
    bint ipv6

cdef struct Cut:               # a frame that is being cut; holds no reference of it
    const Packet *source
    GsoLayout layout
    uint64_t addresses         # running sum of the pseudo-header without the length
    uint32_t at                # next byte of the payload, from the Ethernet header
    uint32_t left              # bytes of payload that are still to come
    uint16_t number            # pieces made
    bint done                  # the last piece is made

# Find the headers of a GSO frame; False if they are not what its GSO type says, or not whole. Reads no more than the
# frame.
cdef bint layout_find(GsoLayout *layout, const Packet *pkt) noexcept nogil
# Start cutting; 0, or the drop reason.
cdef int cut_begin(Cut *cut, const Packet *pkt) noexcept nogil
# The next piece, complete with checksums, from the pool of the source; NULL without memory. Not after `done`.
cdef Packet *cut_next(Cut *cut) noexcept nogil
