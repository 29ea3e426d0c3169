"""What the decoders of wire actions share: the table they are found in, and appending decoded entries.

`act_openflow.pyx` and `act_nicira.pyx` hold one small function for each wire form of ACTIONS and bind them here when
they are imported; `act_decode.pyx` runs them. Every function returns 0 or an of_error.pxd number.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ofproto.codec cimport act_room
from ofproto.field cimport FIELD
from ofproto.of_error cimport OFPBAC_BAD_OUT_PORT, OFPFMFC_TABLE_FULL
from ofproto.of_number cimport OFPP10_MAX, OFPP_IN_PORT, OFPP_LOCAL
from ofproto.ofact cimport *
from ofproto.oxm cimport OxmEntry

cdef enum:
    FORM_NUMBERS = 64              # types and subtypes below this are looked up

cdef enum Space:
    SPACE_OF10 = 0
    SPACE_OF13
    SPACE_NX
    N_SPACES

# p is the start of the action, its header included; the length has been checked against the form's.
ctypedef uint32_t (*DecodeFn)(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil

cdef struct Decoder:
    DecodeFn fn                    # NULL = no such form
    uint32_t n_bytes               # length on the wire
    bint variable                  # longer is allowed
    bint only10                    # OpenFlow 1.0 only

cdef Decoder[N_SPACES][FORM_NUMBERS] DECODER

# Set-up: bind a function to a form of ACTIONS; unbound_forms names those that no module has bound.
cdef int bind(str name, DecodeFn fn) except -1
cdef list unbound_forms()

# 0, or why bits [low, low + n_bits) of the field cannot be read or (`written`) written by an action.
cdef uint32_t range_error(uint16_t field, uint32_t low, uint32_t n_bits, bint written) noexcept nogil
# Take a field header off p; anything wrong with it is OFPBAC_BAD_SET_TYPE.
cdef uint32_t pull_field(const uint8_t **p, uint32_t *left, uint16_t *field) noexcept nogil
cdef uint32_t old_form_error(uint32_t error) noexcept nogil
# Check the value of an OXM entry, and append it as set_field with its mask (all ones when there is none).
cdef uint32_t add_whole_field(const OxmEntry *e, OfActBuf *out, uint8_t flags) noexcept nogil

cdef inline uint32_t add_plain(OfActBuf *out, uint8_t kind) noexcept nogil:
    return 0 if act_room(out, kind, sizeof(OfAct)) != NULL else OFPFMFC_TABLE_FULL

cdef inline uint32_t add_value(OfActBuf *out, uint8_t kind, uint32_t value, uint8_t flags) noexcept nogil:
    cdef OfActValue *act = <OfActValue *>act_room(out, kind, sizeof(OfActValue))
    if act == NULL:
        return OFPFMFC_TABLE_FULL
    act.h.flags = flags
    act.value = value
    return 0

cdef inline uint32_t add_tunnel(OfActBuf *out, uint64_t value, uint8_t flags) noexcept nogil:
    cdef OfActValue64 *act = <OfActValue64 *>act_room(out, OFACT_SET_TUNNEL, sizeof(OfActValue64))
    if act == NULL:
        return OFPFMFC_TABLE_FULL
    act.h.flags = flags
    act.value = value
    return 0

cdef inline uint32_t add_mac(OfActBuf *out, uint8_t kind, const uint8_t *mac) noexcept nogil:
    cdef OfActMac *act = <OfActMac *>act_room(out, kind, sizeof(OfActMac))
    if act == NULL:
        return OFPFMFC_TABLE_FULL
    memcpy(act.mac, mac, 6)
    return 0

cdef inline OfActSetField *add_set_field(OfActBuf *out, uint16_t field, uint8_t flags) noexcept nogil:
    cdef uint32_t n = FIELD[field].n_bytes
    cdef OfActSetField *act = <OfActSetField *>act_room(out, OFACT_SET_FIELD, sizeof(OfActSetField) - 8 + 2 * n)
    if act != NULL:
        act.h.flags = flags
        act.field = field
        act.n_bytes = n
    return act

cdef inline uint32_t add_output(OfActBuf *out, uint32_t port, uint32_t max_len) noexcept nogil:
    cdef OfActOutput *act
    if port >= OFPP10_MAX and not (port >= OFPP_IN_PORT and port <= OFPP_LOCAL):
        return OFPBAC_BAD_OUT_PORT
    act = <OfActOutput *>act_room(out, OFACT_OUTPUT, sizeof(OfActOutput))
    if act == NULL:
        return OFPFMFC_TABLE_FULL
    act.port = port
    act.max_len = max_len
    return 0

cdef inline uint32_t add_metadata(const uint8_t *value, const uint8_t *mask, OfActBuf *out) noexcept nogil:
    cdef OfActMetadata *act = <OfActMetadata *>act_room(out, OFACT_WRITE_METADATA, sizeof(OfActMetadata))
    if act == NULL:
        return OFPFMFC_TABLE_FULL
    memcpy(&act.value_be, value, 8)
    memcpy(&act.mask_be, mask, 8)
    return 0
