"""Reads and writes fields of a flow key; the C array FIELD is filled from `fields.py` when the module is imported.

Place in the packet's path: match decode, translation (set-field, move, load) and flow dumps. Thread rule: FIELD and the
prerequisite tables are constant after import and read without a lock.

A view of a slot of at most 8 bytes is read and written as one 64-bit number, with any bit offset. Wider slots
(addresses, registers, labels) hold whole-byte views only, which are copied; the import checks that.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from datapath.flow_key cimport KEY_WORDS, FlowKey
from ofproto.bits cimport be_bits, be_load, be_put_bits, be_store, ones
from ofproto.codec cimport port_from16, port_unknown

from datapath.slots import places
from ofproto.fields import FIELDS, NUMBER, PREREQS, prereq_terms
from vslib.errors import InternalError

cdef enum:
    TERMS_MAX = 8
    VALUES_MAX = 2
    PREREQS_MAX = 32

cdef struct Term:
    uint16_t ofs                   # byte offset of the slot in FlowKey
    uint16_t slot_bytes            # at most 4
    uint32_t mask                  # bits of the slot that count
    uint32_t n_values              # 0: any bit of the mask will do
    uint32_t[VALUES_MAX] values    # one of them has to be there

cdef struct Prereq:
    uint32_t n_terms
    Term[TERMS_MAX] terms

cdef Prereq[PREREQS_MAX] PREREQ
cdef uint8_t[FIELDS_MAX] PREREQ_OF         # row of PREREQ by field number; row 0 is empty


# -- views -----------------------------------------------------------------------------------------------------------

cdef inline const uint8_t *wide_at(const FlowKey *key, const Field *f) noexcept nogil:
    # First byte of a whole-byte view of a slot wider than 8 bytes.
    return <const uint8_t *>key + f.ofs + f.slot_bytes - f.low_bit // 8 - f.n_bytes


cdef inline uint64_t raw_view(const FlowKey *key, const Field *f) noexcept nogil:
    # The valid bits of a view of at most 64 bits, ports not mapped.
    if f.slot_bytes > 8:
        return be_load(wide_at(key, f), f.n_bytes)
    return (be_load(<const uint8_t *>key + f.ofs, f.slot_bytes) >> f.low_bit) & f.valid


cdef inline uint64_t view_load(const FlowKey *key, const Field *f) noexcept nogil:
    if f.flags & FIELD_PORT16:
        # Truncation is exact for the reserved ports and for all that OpenFlow 1.0 can name.
        return be_load(<const uint8_t *>key + f.ofs, 4) & 0xffff
    return raw_view(key, f)


cdef inline void view_store(FlowKey *key, const Field *f, uint64_t v) noexcept nogil:
    cdef uint8_t *p = <uint8_t *>key + f.ofs
    if f.flags & FIELD_PORT16:
        be_store(p, 4, port_from16(<uint16_t>v))
    elif f.slot_bytes > 8:
        be_store(<uint8_t *>wide_at(key, f), f.n_bytes, v)
    else:
        be_store(p, f.slot_bytes,
                 (be_load(p, f.slot_bytes) & ~(f.valid << f.low_bit)) | (v & f.valid) << f.low_bit)


cdef void field_get(const FlowKey *key, uint16_t field, uint8_t *value_out) noexcept nogil:
    cdef const Field *f = &FIELD[field]
    if f.n_bytes > 8:
        memcpy(value_out, wide_at(key, f), f.n_bytes)
    else:
        be_store(value_out, f.n_bytes, view_load(key, f))


cdef void field_put(FlowKey *key, uint16_t field, const uint8_t *value) noexcept nogil:
    cdef const Field *f = &FIELD[field]
    if f.n_bytes > 8:
        memcpy(<uint8_t *>wide_at(key, f), value, f.n_bytes)
    elif f.n_bytes:
        view_store(key, f, be_load(value, f.n_bytes))


cdef void field_put_masked(FlowKey *key, uint16_t field, const uint8_t *value, const uint8_t *mask) noexcept nogil:
    cdef const Field *f = &FIELD[field]
    cdef uint8_t *p
    cdef uint32_t i
    cdef uint64_t m
    if f.n_bytes > 8:
        p = <uint8_t *>wide_at(key, f)
        for i in range(f.n_bytes):
            p[i] = (p[i] & ~mask[i]) | (value[i] & mask[i])
    elif f.n_bytes:
        m = be_load(mask, f.n_bytes)
        view_store(key, f, (view_load(key, f) & ~m) | (be_load(value, f.n_bytes) & m))


cdef void field_mark(FlowKey *mask, uint16_t field) noexcept nogil:
    cdef const Field *f = &FIELD[field]
    field_mark_bits(mask, field, 0, 8 * f.n_bytes)


cdef void field_mark_bits(FlowKey *mask, uint16_t field, uint32_t low, uint32_t n_bits) noexcept nogil:
    cdef const Field *f = &FIELD[field]
    cdef uint8_t *p = <uint8_t *>mask + f.ofs
    cdef uint32_t bit, step
    if f.n_bytes == 0 or n_bits == 0:
        return
    if f.flags & FIELD_PORT16:
        # The mapping of reserved ports is not bit by bit, so any bit needs the whole number.
        memset(p, 0xff, f.slot_bytes)
    elif f.slot_bytes > 8:
        p = <uint8_t *>wide_at(mask, f)
        bit = low
        while bit < low + n_bits:
            step = min(<uint32_t>64, low + n_bits - bit)
            be_put_bits(p, f.n_bytes, bit, step, 0xffffffffffffffffULL)
            bit += step
    else:
        be_store(p, f.slot_bytes, be_load(p, f.slot_bytes) | (((ones(n_bits) << low) & f.valid) << f.low_bit))


cdef uint64_t field_bits(const FlowKey *key, uint16_t field, uint32_t low, uint32_t n_bits) noexcept nogil:
    cdef const Field *f = &FIELD[field]
    if f.n_bytes > 8:
        return be_bits(wide_at(key, f), f.n_bytes, low, n_bits)
    return (view_load(key, f) >> low) & ones(n_bits)


cdef void field_put_bits(FlowKey *key, uint16_t field, uint32_t low, uint32_t n_bits, uint64_t value) noexcept nogil:
    cdef const Field *f = &FIELD[field]
    cdef uint64_t m
    if f.n_bytes > 8:
        be_put_bits(<uint8_t *>wide_at(key, f), f.n_bytes, low, n_bits, value)
    elif f.n_bytes:
        m = ones(n_bits) << low
        view_store(key, f, (view_load(key, f) & ~m) | ((value << low) & m))


cdef void field_move(FlowKey *key, uint16_t dst, uint32_t dst_low, uint16_t src, uint32_t src_low,
                     uint32_t n_bits) noexcept nogil:
    cdef uint8_t[FIELD_BYTES_MAX] copy
    cdef uint32_t done = 0, step
    # The copy first: source and destination may overlap.
    field_get(key, src, copy)
    while done < n_bits:
        step = min(<uint32_t>64, n_bits - done)
        field_put_bits(key, dst, dst_low + done, step,
                       be_bits(copy, FIELD[src].n_bytes, src_low + done, step))
        done += step


cdef bint field_wild(const FlowKey *mask, uint16_t field) noexcept nogil:
    cdef const Field *f = &FIELD[field]
    cdef const uint8_t *p
    cdef uint32_t i
    if f.n_bytes <= 8:
        return raw_view(mask, f) == 0
    p = wide_at(mask, f)
    for i in range(f.n_bytes):
        if p[i]:
            return 0
    return 1


cdef bint field_exact(const FlowKey *mask, uint16_t field) noexcept nogil:
    cdef const Field *f = &FIELD[field]
    cdef const uint8_t *p
    cdef uint32_t i
    if f.n_bytes <= 8:
        return raw_view(mask, f) == f.valid
    p = wide_at(mask, f)
    for i in range(f.n_bytes):
        if p[i] != 0xff:
            return 0
    return 1


cdef bint field_value_valid(uint16_t field, const uint8_t *value) noexcept nogil:
    cdef const Field *f = &FIELD[field]
    cdef uint64_t v
    if f.n_bytes > 8:
        return 1
    v = be_load(value, f.n_bytes)
    if f.flags & FIELD_PORT32 and port_unknown(<uint32_t>v):
        return 0
    return (v & ~f.valid) == 0


# -- prerequisites ---------------------------------------------------------------------------------------------------

cdef inline bint term_met(const Term *term, uint32_t v) noexcept nogil:
    cdef uint32_t i
    if term.n_values == 0:
        return v != 0
    for i in range(term.n_values):
        if v == term.values[i]:
            return 1
    return 0


cdef bint field_prereqs_met(uint16_t field, const FlowKey *key, FlowKey *mask) noexcept nogil:
    cdef const Prereq *prereq = &PREREQ[PREREQ_OF[field]]
    cdef const Term *term
    cdef uint8_t *p
    cdef uint32_t i
    for i in range(prereq.n_terms):
        term = &prereq.terms[i]
        if mask != NULL:
            p = <uint8_t *>mask + term.ofs
            be_store(p, term.slot_bytes, be_load(p, term.slot_bytes) | term.mask)
        if not term_met(term, <uint32_t>be_load(<const uint8_t *>key + term.ofs, term.slot_bytes) & term.mask):
            return 0
    return 1


# -- set-up ----------------------------------------------------------------------------------------------------------

cdef uint16_t field_by_name(str name) except? 0xfffe:
    return NUMBER[name]


cdef uint32_t header_word(header, uint32_t n_bytes) except? 0xffffffff:
    cdef uint32_t extra = 4 if header.experimenter else 0
    return <uint32_t>header.oxm_class << 16 | <uint32_t>header.number << 9 | n_bytes + extra


cdef object preferred_header(row, int version):
    best = row.headers[0] if row.headers else None
    for header in row.headers[1:]:
        if header.since <= version:
            best = header
    return best


cdef int fill_field(Field *f, row, place) except -1:
    # A field of the TLV map has no bits until the map gives it some.
    unmapped = row.slot == "tun_metadata"
    f.slot = place.number
    f.ofs = place.offset
    f.slot_bytes = place.slot.n_bytes
    f.low_bit = row.low_bit
    f.n_bits = 0 if unmapped else row.n_bits
    f.n_bytes = 0 if unmapped else row.n_bytes
    f.valid = 0 if unmapped else row.valid_bits & 0xffffffffffffffff
    f.flags = (
        (FIELD_MASKABLE if row.maskable else 0)
        | (FIELD_WRITABLE if row.writable else 0)
        | (FIELD_PIPELINE if place.slot.stage == 0 else 0)
        | (FIELD_PORT16 if row.fmt == "port" and row.n_bits == 16 else 0)
        | (FIELD_MASK_SHOWN if row.mask_shown else 0)
        | (FIELD_CT_ONLY if row.ct_only else 0)
    )
    if row.fmt == "port" and row.n_bits == 32:
        f.flags |= FIELD_PORT32
    modern, legacy = preferred_header(row, 4), preferred_header(row, 1)
    f.oxm_header = header_word(modern, f.n_bytes) if modern else 0
    f.nxm_header = header_word(legacy, f.n_bytes) if legacy else 0
    f.exp_id = modern.experimenter if modern else 0
    whole_bytes = row.low_bit % 8 == 0 and row.n_bits == 8 * row.n_bytes
    if place.slot.n_bytes > 8 and not whole_bytes:
        raise InternalError(f"field {row.name}: a view of a slot wider than 8 bytes has to be whole bytes")
    return 0


cdef int fill_prereq(Prereq *out, name, at) except -1:
    terms = prereq_terms(name)
    if len(terms) > TERMS_MAX:
        raise InternalError(f"prerequisite {name}: more than {TERMS_MAX} terms")
    out.n_terms = len(terms)
    for i, term in enumerate(terms):
        place = at[term.slot]
        if place.slot.n_bytes > 4 or len(term.values) > VALUES_MAX:
            raise InternalError(f"prerequisite {name}: slot {term.slot} is too wide or has too many values")
        out.terms[i].ofs = place.offset
        out.terms[i].slot_bytes = place.slot.n_bytes
        out.terms[i].mask = term.mask
        out.terms[i].n_values = len(term.values)
        for j, value in enumerate(term.values):
            out.terms[i].values[j] = value
    return 0


def _fill():
    global n_fields
    if len(FIELDS) > FIELDS_MAX or len(PREREQS) > PREREQS_MAX:
        raise InternalError("more fields or prerequisites than the C arrays hold")
    at = places()
    rows = {name: i for i, name in enumerate(PREREQS)}
    for name, i in rows.items():
        fill_prereq(&PREREQ[i], name, at)
    for i, row in enumerate(FIELDS):
        fill_field(&FIELD[i], row, at[row.slot])
        PREREQ_OF[i] = rows[row.prereq]
    n_fields = len(FIELDS)


_fill()


# -- Python shell: control code and tests ----------------------------------------------------------------------------

cdef uint16_t checked(str name, uint32_t low=0, uint32_t n_bits=0) except? 0xfffe:
    cdef uint16_t field = field_by_name(name)
    if low + n_bits > FIELD[field].n_bits:
        raise ValueError(f"{name} has {FIELD[field].n_bits} bits")
    return field


cdef FlowKey key_of(bytes key) except *:
    cdef FlowKey k
    if len(key) != KEY_WORDS * 8:
        raise ValueError(f"a flow key has {KEY_WORDS * 8} bytes, not {len(key)}")
    memcpy(&k, <const uint8_t *>key, sizeof(FlowKey))
    return k


cdef bytes value_of(uint16_t field, bytes value):
    if len(value) != FIELD[field].n_bytes:
        raise ValueError(f"{FIELDS[field].name} has {FIELD[field].n_bytes} bytes, not {len(value)}")
    return value


def get_value(key: bytes, name: str) -> bytes:
    """Return a field's value (big-endian, right-aligned) from a flow key; raises KeyError, ValueError."""
    cdef uint16_t field = checked(name)
    cdef FlowKey k = key_of(key)
    cdef uint8_t[FIELD_BYTES_MAX] value
    field_get(&k, field, value)
    return value[:FIELD[field].n_bytes]


def put_value(key: bytes, name: str, value: bytes, mask: bytes | None = None) -> bytes:
    """Return the flow key with a field's value (big-endian) put under a mask (None = whole).

    Raises KeyError, ValueError.
    """
    cdef uint16_t field = checked(name)
    cdef FlowKey k = key_of(key)
    value = value_of(field, value)
    if mask is None:
        field_put(&k, field, value)
    else:
        field_put_masked(&k, field, value, <bytes>value_of(field, mask))
    return (<const char *>&k)[:sizeof(FlowKey)]


def get_bits(key: bytes, name: str, low: int, n_bits: int) -> int:
    """Return at most 64 bits of a field, counted from its least significant bit; raises KeyError, ValueError."""
    cdef FlowKey k = key_of(key)
    return field_bits(&k, checked(name, low, n_bits), low, n_bits)


def put_bits(key: bytes, name: str, low: int, n_bits: int, value: int) -> bytes:
    """Return the flow key with at most 64 bits of a field replaced; raises KeyError, ValueError."""
    cdef FlowKey k = key_of(key)
    field_put_bits(&k, checked(name, low, n_bits), low, n_bits, value)
    return (<const char *>&k)[:sizeof(FlowKey)]


def mark(mask: bytes, name: str) -> bytes:
    """Return the mask key with all bits of a field set; raises KeyError, ValueError."""
    cdef FlowKey k = key_of(mask)
    field_mark(&k, checked(name))
    return (<const char *>&k)[:sizeof(FlowKey)]


def move_bits(key: bytes, dst: str, dst_low: int, src: str, src_low: int, n_bits: int) -> bytes:
    """Return the flow key after copying n_bits bits from field src to field dst; raises KeyError, ValueError."""
    cdef FlowKey k = key_of(key)
    field_move(&k, checked(dst, dst_low, n_bits), dst_low, checked(src, src_low, n_bits), src_low, n_bits)
    return (<const char *>&k)[:sizeof(FlowKey)]


def prereqs_met(key: bytes, name: str) -> tuple[bool, bytes]:
    """Return whether a flow key meets a field's prerequisites, and the mask of bits that were read; raises KeyError."""
    cdef FlowKey k = key_of(key)
    cdef FlowKey mask
    memset(&mask, 0, sizeof(mask))
    met = field_prereqs_met(checked(name), &k, &mask)
    return bool(met), (<const char *>&mask)[:sizeof(FlowKey)]
