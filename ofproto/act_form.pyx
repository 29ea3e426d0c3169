"""The table of wire forms, and checks of fields named in actions; see act_form.pxd."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from datapath.bytes cimport load_be16 as get16
from datapath.headers cimport VLAN_PRESENT
from ofproto.field cimport FIELD, FIELD_CT_ONLY, FIELD_WRITABLE, field_by_name, field_value_valid
from ofproto.of_error cimport (
    OFPBAC_BAD_SET_ARGUMENT, OFPBAC_BAD_SET_LEN, OFPBAC_BAD_SET_TYPE, OFPBMC_BAD_FIELD, OFPFMFC_TABLE_FULL,
)
from ofproto.ofact cimport *
from ofproto.oxm cimport OxmEntry, oxm_pull_header

from ofproto.actions import FORMS, INST, NX, OF10, OF13
from vslib.errors import InternalError

cdef uint16_t F_VLAN_VID = field_by_name("vlan_vid")
cdef uint16_t F_IN_PORT_OXM = field_by_name("in_port_oxm")
cdef set BOUND = set()
cdef dict SPACES = {OF10: SPACE_OF10, OF13: SPACE_OF13, NX: SPACE_NX}


cdef uint32_t range_error(uint16_t field, uint32_t low, uint32_t n_bits, bint written) noexcept nogil:
    if n_bits == 0 or low + n_bits > FIELD[field].n_bits:
        return OFPBAC_BAD_SET_LEN
    if written and (not FIELD[field].flags & FIELD_WRITABLE or FIELD[field].flags & FIELD_CT_ONLY):
        return OFPBAC_BAD_SET_ARGUMENT
    return 0


cdef uint32_t pull_field(const uint8_t **p, uint32_t *left, uint16_t *field) noexcept nogil:
    # A field named by its header alone; anything wrong with it is a bad field, as Open vSwitch has it (but see
    # old_form_error).
    cdef OxmEntry e
    cdef uint32_t error = oxm_pull_header(p[0], left[0], &e)
    if error:
        return OFPBMC_BAD_FIELD if error == OFPBAC_BAD_SET_LEN or error == OFPBAC_BAD_SET_TYPE else error
    field[0] = e.field
    p[0] += e.header_bytes
    left[0] -= e.header_bytes
    return 0


cdef uint32_t old_form_error(uint32_t error) noexcept nogil:
    # The forms whose header is a plain number of 32 bits (load, output_reg) tell a bad field as a bad type.
    return OFPBAC_BAD_SET_TYPE if error == OFPBMC_BAD_FIELD else error


cdef uint32_t add_whole_field(const OxmEntry *e, OfActBuf *out, uint8_t flags) noexcept nogil:
    cdef OfActSetField *act
    if e.field == F_IN_PORT_OXM or range_error(e.field, 0, 1, 1) or not field_value_valid(e.field, e.value):
        return OFPBAC_BAD_SET_ARGUMENT
    if e.field == F_VLAN_VID and not get16(e.value) & VLAN_PRESENT and e.mask == NULL:
        return OFPBAC_BAD_SET_ARGUMENT
    act = add_set_field(out, e.field, flags)
    if act == NULL:
        return OFPFMFC_TABLE_FULL
    memcpy(act.data, e.value, e.n_bytes)
    if e.mask != NULL:
        memcpy(act.data + e.n_bytes, e.mask, e.n_bytes)
    else:
        memset(act.data + e.n_bytes, 0xff, e.n_bytes)
    return 0


cdef int bind(str name, DecodeFn fn) except -1:
    form = FORMS[name]
    if form.number >= FORM_NUMBERS:
        raise InternalError(f"action form {name}: number {form.number} is beyond the table")
    cdef Decoder *decoder = &DECODER[<int>SPACES[form.space]][<int>form.number]
    decoder.fn = fn
    decoder.n_bytes = form.n_bytes
    decoder.variable = form.variable
    decoder.only10 = form.only10
    BOUND.add(name)
    return 0


cdef list unbound_forms():
    return sorted(name for name, form in FORMS.items() if form.space != INST and name not in BOUND)
