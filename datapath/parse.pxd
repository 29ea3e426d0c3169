"""Reads a frame into a flow key and notes where its layers start.

Place: after rx, before the flow cache. Thread rule: touches only its arguments. Malformed frames are treated as Open
vSwitch's flow_extract does: a header that is truncated or contradicts itself does not drop the frame, its layer's key
fields just stay zero, so that flows on lower layers still apply. Only a frame without a whole Ethernet header is
refused.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from datapath.bytes cimport Cursor
from datapath.flow_key cimport PacketKey
from datapath.packet cimport Packet

# What the IPv6 extension headers say.
cdef struct Ip6Chain:
    uint8_t proto              # next header behind them; IP_FRAGMENT in a later fragment
    uint8_t frag               # FragFlag bits
    uint16_t flags             # ExtHeader bits
    bint routed                # a routing header with segments left: the pseudo-header does not hold ipv6_dst

# Fill the packet scope of `key` (KEY_BASE_WORDS; the tunnel words are left alone) from the frame and its metadata,
# and set l3_ofs, l4_ofs, l25_ofs and tcp_flags of the packet. l4_ofs is set only where a complete TCP, UDP, SCTP,
# ICMP, IGMP or ICMPv6 header is; in MPLS l3_ofs is where the last label ends. Returns 0 or DROP_RX_TOO_SHORT (key
# undefined then).
cdef int parse(Packet *pkt, PacketKey *key) noexcept nogil

# Walk IPv6 extension headers from cursor.at (chain.proto = the first next header, the rest zero); 1 when one is
# truncated.
cdef bint parse_ip6_chain(Cursor *cursor, Ip6Chain *chain) noexcept nogil
