"""FIELDS in C: named views on the slots of a FlowKey.

The array is filled once at import from `fields.py`; afterwards it is constant and read without a lock. A field's number
is its row in FIELDS.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from datapath.flow_key cimport FlowKey

cdef enum:
    FIELDS_MAX = 256
    FIELD_BYTES_MAX = 128      # longest value (tun_metadata: up to 124 bytes)
    FIELD_NONE = 0xffff        # no such field

cdef enum FieldFlag:
    FIELD_MASKABLE = 1         # arbitrary bitwise masks are allowed
    FIELD_WRITABLE = 2         # set-field, load and move may write it
    FIELD_PIPELINE = 4         # lives in a pipeline or tunnel or metadata slot: no header prerequisite, no frame bytes
    FIELD_PORT16 = 8           # the 16-bit OpenFlow 1.0 view of a port number (0xff00.. maps to 0xffffff00..)
    FIELD_MASK_SHOWN = 16      # a mask of all valid bits is written out in a match (ct_state, tun_flags)
    FIELD_CT_ONLY = 32         # writable only inside ct(exec())
    FIELD_PORT32 = 64          # a 32-bit port number: 0xff00 to 0xfffffeff name no port

cdef struct Field:
    uint16_t slot              # SlotNumber
    uint16_t ofs               # byte offset of the slot in FlowKey
    uint16_t slot_bytes        # bytes of the slot, a big-endian number
    uint16_t low_bit           # the view's least significant bit in that number
    uint16_t n_bits            # width of the view
    uint16_t n_bytes           # bytes of the value on the wire (OXM payload without mask), value right-aligned
    uint16_t flags             # FieldFlag bits
    uint32_t oxm_header        # preferred OXM header word without mask bit, length of an unmasked value: class << 16 |
                               # field << 9 | length; 0 = none
    uint32_t nxm_header        # the same in NXM form; 0 = none
    uint64_t exp_id            # experimenter id of an experimenter-class OXM, 0 = none
    uint64_t valid             # bits of the view that may be nonzero (all ones when it is wider than 64 bits); may
                               # exceed n_bits: vlan_vid has
                               # 12 addressable bits and the 0x1000 bit besides

cdef Field[FIELDS_MAX] FIELD
cdef int n_fields

# All values are right-aligned big-endian arrays of Field.n_bytes bytes.
cdef void field_get(const FlowKey *key, uint16_t field, uint8_t *value_out) noexcept nogil
# whole view
cdef void field_put(FlowKey *key, uint16_t field, const uint8_t *value) noexcept nogil
# only mask's 1 bits
cdef void field_put_masked(FlowKey *key, uint16_t field, const uint8_t *value, const uint8_t *mask) noexcept nogil
# set all bits of the view in a mask key
cdef void field_mark(FlowKey *mask, uint16_t field) noexcept nogil
# Bit ranges inside a field (load, move, output:reg, push, pop): bits [low, low + n_bits) counted from the field's least
# significant bit.
# n_bits <= 64, host order
cdef uint64_t field_bits(const FlowKey *key, uint16_t field, uint32_t low, uint32_t n_bits) noexcept nogil
cdef void field_put_bits(FlowKey *key, uint16_t field, uint32_t low, uint32_t n_bits, uint64_t value) noexcept nogil
# any width
cdef void field_move(FlowKey *key, uint16_t dst, uint32_t dst_low, uint16_t src, uint32_t src_low,
                     uint32_t n_bits) noexcept nogil
cdef void field_mark_bits(FlowKey *mask, uint16_t field, uint32_t low, uint32_t n_bits) noexcept nogil
# 1 if the key satisfies the field's prerequisites (Ethernet type, IP protocol ...); what was read is marked in mask
# (mask may be NULL).
cdef bint field_prereqs_met(uint16_t field, const FlowKey *key, FlowKey *mask) noexcept nogil
# raises KeyError; for set-up code (constants looked up once at import)
cdef uint16_t field_by_name(str name) except? 0xfffe
cdef bint field_wild(const FlowKey *mask, uint16_t field) noexcept nogil       # 1 if no valid bit of the view is set
cdef bint field_exact(const FlowKey *mask, uint16_t field) noexcept nogil      # 1 if all valid bits of the view are set
# 1 if every bit of the value (n_bytes, right-aligned) is one that may be nonzero.
cdef bint field_value_valid(uint16_t field, const uint8_t *value) noexcept nogil
