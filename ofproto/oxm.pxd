"""The OXM and NXM codec: a match as a list of (header, value, mask), one loop over FIELDS in each direction.

OXM is the form of OpenFlow 1.2 and later, NXM that of the Nicira extensions to OpenFlow 1.0; they differ in the numbers
and views that are preferred when writing. Both readers accept both, as Open vSwitch does. Errors are of_error.pxd
numbers.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from datapath.flow_key cimport FlowKey
from ofproto.flow_mod cimport Match, OutBuf

cdef enum OxmUse:              # where an entry stands decides the error for a bad one
    OXM_IN_MATCH = 0           # OFPBMC_*
    OXM_IN_ACTION = 1          # OFPBAC_BAD_SET_*

cdef struct OxmEntry:
    uint16_t field             # number in FIELD, FIELD_NONE for the cookie pseudo-field
    bint masked                # a mask of n_bytes follows the value
    uint16_t n_bytes           # of the value
    uint32_t header_bytes      # 4, or 8 with an experimenter
    uint32_t total_bytes       # header, value and mask
    const uint8_t *value
    const uint8_t *mask        # NULL unless masked

cdef struct Cookie:            # the cookie pseudo-field of NXM requests
    uint64_t value
    uint64_t mask

# One entry from at most `left` bytes: lengths, known field, value and mask consistent. 0 or an error.
cdef uint32_t oxm_pull(const uint8_t *p, uint32_t left, OxmUse use, OxmEntry *out) noexcept nogil
# A header alone (move, load, push): only `field` and `header_bytes` are set. A mask bit changes nothing; a wrong length
# is an error.
cdef uint32_t oxm_pull_header(const uint8_t *p, uint32_t left, OxmEntry *out) noexcept nogil
# A whole match into `out` (cleared first). `cookie` NULL: the cookie pseudo-field is unknown. 0 or an error.
cdef uint32_t oxm_match_decode(const uint8_t *p, uint32_t length, Match *out, Cookie *cookie) noexcept nogil
# The match without padding; `version` 1 writes NXM, 2 to 6 OXM. `cookie` may be NULL. 0, -1 without memory.
cdef int oxm_match_encode(OutBuf *out, const Match *match, uint8_t version, const Cookie *cookie) noexcept nogil
# A header (4 or 8 bytes) for a field with values of its own size; 0, -1 without memory.
cdef int oxm_header_encode(OutBuf *out, uint16_t field, uint8_t version, bint masked) noexcept nogil
# 1 if the version has a number for the field that is not an experimenter's (so reg_load can name it).
cdef bint oxm_has_short_header(uint16_t field, uint8_t version) noexcept nogil
# 1 if the match meets the field's prerequisites; unlike a packet, a match may name conntrack fields under +trk-inv.
cdef bint match_prereqs_met(uint16_t field, const Match *match) noexcept nogil
# The metadata of a packet (port, tunnel, registers, marks, conntrack) as a match for packet-ins: what is not zero, and
# in_port always.
cdef void metadata_match(const FlowKey *key, Match *out) noexcept nogil
