"""The match of OpenFlow 1.0: 40 bytes with wildcard bits and prefix lengths."""

from libc.stdint cimport uint8_t

from ofproto.flow_mod cimport Match

cdef enum:
    MATCH10_BYTES = 40

# Fields whose prerequisites the match lacks are left out, as OpenFlow 1.0 says nothing of them; never fails. Returns 1
# if the match had no wildcard at all (then the flow has the highest priority).
cdef bint match10_decode(const uint8_t *p, Match *out) noexcept nogil
# The closest that OpenFlow 1.0 can say: other fields are left out, masks that are no prefix become exact or fill their
# holes, as in Open vSwitch. `p` has MATCH10_BYTES zero bytes.
cdef void match10_encode(uint8_t *p, const Match *match) noexcept nogil
