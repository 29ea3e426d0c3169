"""Finding unfinished checksums in frames that come without a virtio-net header (PT.05).

A local stack that sends over a veth leaves TCP and UDP checksums to the device: the field holds the sum of the
pseudo-header only. AF_XDP does not tell. But the field of such a frame equals that sum, and in a frame that is
complete and intact it does so only if completing it gives the same number again (in one's complement, c = ~(p + d)
and c = p mean that ~(p + d) = p). So whatever compares equal may be called partial. SCTP leaves 0.

Not found: sums inside of tunnels, behind IPv6 extension headers or more than two VLAN tags.
"""

from datapath.packet cimport Packet

# Set OFFLOAD_CSUM_PARTIAL, csum_start and csum_offset if the frame's checksum is unfinished.
cdef void partial_find(Packet *pkt) noexcept nogil
