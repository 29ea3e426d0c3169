"""OXM and NXM, both ways; see oxm.pxd. The number tables are filled from FIELDS at import and constant afterwards."""

from libc.string cimport memset

from datapath.flow_key cimport OFS_CT_STATE
from datapath.bytes cimport load_be32 as get32, load_be64 as get64, store_be32 as put32, store_be64 as put64
from ofproto.codec cimport all_ones, all_zero, out_room
from ofproto.field cimport (
    FIELD, FIELD_BYTES_MAX, FIELD_MASK_SHOWN, FIELD_MASKABLE, FIELD_NONE, FIELD_PIPELINE, FIELDS_MAX, Field,
    field_by_name, field_exact, field_get, field_mark, field_prereqs_met, field_put, field_put_masked,
    field_value_valid, field_wild,
)
from ofproto.of_error cimport (
    NXFMFC_INVALID_TLV_FIELD, OFPBAC_BAD_SET_LEN, OFPBAC_BAD_SET_TYPE, OFPBMC_BAD_FIELD, OFPBMC_BAD_LEN,
    OFPBMC_BAD_MASK, OFPBMC_BAD_PREREQ, OFPBMC_BAD_VALUE, OFPBMC_BAD_WILDCARDS, OFPBMC_DUP_FIELD,
)

from ofproto.fields import FIELDS, NEVER, NXM, OXM
from vslib.errors import InternalError

cdef enum:
    CLASSES = 8                    # number spaces: five classes and three experimenters
    NUMBERS = 128                  # field numbers are 7 bits
    VERSIONS = 7                   # index = OpenFlow wire version
    CLASS_EXPERIMENTER = 0xffff
    MASK_BIT = 0x100               # of a header word
    COOKIE_HEADER = 0x00013c08     # NXM_NX_COOKIE, number 30 of class 1 with 8 bytes
    COOKIE_HEADER_W = 0x00013d10
    CT_TRACKED = 0x20
    CT_INVALID = 0x10

cdef struct Header:
    uint32_t word                  # class, number, length of an unmasked value (experimenter included); 0 = no number
    uint32_t experimenter          # 0 = none

cdef uint16_t[CLASSES][NUMBERS] FIELD_OF       # field by number space and number
cdef uint32_t[CLASSES] SPACE_CLASS             # class of a number space
cdef uint32_t[CLASSES] SPACE_EXPERIMENTER      # and its experimenter, 0 = none
cdef Header[VERSIONS][FIELDS_MAX] HEADER       # preferred number by version and field
cdef uint16_t[VERSIONS][FIELDS_MAX] ORDER      # fields that a match is written with, ended by FIELD_NONE
cdef uint8_t[FIELDS_MAX] CT_TUPLE              # 1 = the field has the CT prerequisite
cdef uint16_t[FIELDS_MAX] METADATA             # fields of packet-in metadata, ended by FIELD_NONE
cdef uint16_t[FIELDS_MAX] METADATA_CT          # those that need a conntrack state
cdef uint16_t F_IN_PORT_OXM


# -- reading ---------------------------------------------------------------------------------------------------------

cdef inline uint16_t field_of(uint32_t word, uint32_t experimenter) noexcept nogil:
    cdef int i
    for i in range(CLASSES):
        if SPACE_CLASS[i] == word >> 16 and SPACE_EXPERIMENTER[i] == experimenter:
            return FIELD_OF[i][(word >> 9) & (NUMBERS - 1)]
    return FIELD_NONE


cdef uint32_t pull_header(const uint8_t *p, uint32_t left, OxmEntry *out, uint32_t *word,
                          uint32_t *payload) noexcept nogil:
    # Sets all of `out` but value and mask. OFPBMC_BAD_FIELD leaves header_bytes and payload valid.
    cdef uint32_t experimenter = 0
    out.header_bytes = 4
    if left < 4:
        return OFPBMC_BAD_LEN
    word[0] = get32(p)
    if word[0] >> 16 == CLASS_EXPERIMENTER:
        if left < 8 or word[0] & 0xff < 4:
            return OFPBMC_BAD_LEN
        experimenter = get32(p + 4)
        out.header_bytes = 8
    payload[0] = (word[0] & 0xff) - (out.header_bytes - 4)
    out.masked = word[0] & MASK_BIT != 0
    out.field = field_of(word[0], experimenter)
    out.total_bytes = out.header_bytes + payload[0]
    if out.field == FIELD_NONE:
        return OFPBMC_BAD_FIELD
    out.n_bytes = FIELD[out.field].n_bytes
    if out.n_bytes == 0:
        return NXFMFC_INVALID_TLV_FIELD
    if payload[0] != (out.n_bytes * 2 if out.masked else out.n_bytes):
        return OFPBMC_BAD_FIELD
    return 0


cdef uint32_t pull_action_error(uint32_t error, const OxmEntry *entry) noexcept nogil:
    # In an action an unknown field is a bad type, a known one of the wrong size a bad length.
    if error != OFPBMC_BAD_FIELD:
        return error
    return OFPBAC_BAD_SET_TYPE if entry.field == FIELD_NONE else OFPBAC_BAD_SET_LEN


cdef uint32_t oxm_pull(const uint8_t *p, uint32_t left, OxmUse use, OxmEntry *out) noexcept nogil:
    cdef uint32_t word = 0, payload = 0, i
    cdef uint32_t error = pull_header(p, left, out, &word, &payload)
    if error == OFPBMC_BAD_FIELD and out.total_bytes > left:
        return OFPBMC_BAD_LEN
    if error:
        return pull_action_error(error, out) if use == OXM_IN_ACTION else error
    if out.total_bytes > left:
        return OFPBMC_BAD_LEN
    out.value = p + out.header_bytes
    out.mask = NULL
    if not out.masked:
        return 0
    out.mask = out.value + out.n_bytes
    for i in range(out.n_bytes):
        if out.value[i] & ~out.mask[i]:
            return OFPBMC_BAD_WILDCARDS
    return 0


cdef uint32_t oxm_pull_header(const uint8_t *p, uint32_t left, OxmEntry *out) noexcept nogil:
    cdef uint32_t word = 0, payload = 0
    return pull_action_error(pull_header(p, left, out, &word, &payload), out)


cdef bint match_prereqs_met(uint16_t field, const Match *match) noexcept nogil:
    cdef uint32_t state, state_mask
    if field_prereqs_met(field, &match.value, NULL):
        return 1
    if not CT_TUPLE[field]:
        return 0
    state = get32(<const uint8_t *>&match.value + OFS_CT_STATE)
    state_mask = get32(<const uint8_t *>&match.mask + OFS_CT_STATE)
    return state & CT_TRACKED and state_mask & CT_INVALID and not state & CT_INVALID


cdef uint32_t put_entry(const OxmEntry *e, Match *out) noexcept nogil:
    cdef const Field *f = &FIELD[e.field]
    cdef uint8_t[FIELD_BYTES_MAX] ones
    cdef const uint8_t *mask = e.mask
    if mask == NULL:
        memset(ones, 0xff, e.n_bytes)
        mask = ones
    elif not f.flags & FIELD_MASKABLE and not all_zero(mask, e.n_bytes) and not all_ones(mask, e.n_bytes):
        return OFPBMC_BAD_MASK
    if not field_value_valid(e.field, e.value):
        return OFPBMC_BAD_VALUE
    if not match_prereqs_met(e.field, out):
        return OFPBMC_BAD_PREREQ
    if not field_wild(&out.mask, e.field):
        return OFPBMC_DUP_FIELD
    field_put_masked(&out.value, e.field, e.value, mask)
    field_put_masked(&out.mask, e.field, mask, mask)
    return 0


cdef inline bint is_cookie(const uint8_t *p, uint32_t left) noexcept nogil:
    cdef uint32_t word
    if left < 12:
        return 0
    word = get32(p)
    return word == COOKIE_HEADER or (word == COOKIE_HEADER_W and left >= 20)


cdef uint32_t pull_cookie(const uint8_t *p, Cookie *cookie, uint32_t *used) noexcept nogil:
    cdef bint masked = get32(p) == COOKIE_HEADER_W
    if cookie.mask:
        return OFPBMC_DUP_FIELD
    cookie.value = get64(p + 4)
    cookie.mask = get64(p + 12) if masked else 0xffffffffffffffffULL
    used[0] = 20 if masked else 12
    return OFPBMC_BAD_WILDCARDS if cookie.value & ~cookie.mask else 0


cdef uint32_t oxm_match_decode(const uint8_t *p, uint32_t length, Match *out, Cookie *cookie) noexcept nogil:
    cdef OxmEntry e
    cdef uint32_t error, used = 0
    memset(out, 0, sizeof(Match))
    if cookie != NULL:
        cookie.value = cookie.mask = 0
    while length:
        if cookie != NULL and is_cookie(p, length):
            error = pull_cookie(p, cookie, &used)
        else:
            error = oxm_pull(p, length, OXM_IN_MATCH, &e)
            if not error:
                error = put_entry(&e, out)
                used = e.total_bytes
        if error:
            return error
        p += used
        length -= used
    if out.value.pkt.packet_type == 0:
        # Ethernet is what every flow means that does not say otherwise.
        out.mask.pkt.packet_type = 0
    return 0


# -- writing ---------------------------------------------------------------------------------------------------------

cdef int oxm_header_encode(OutBuf *out, uint16_t field, uint8_t version, bint masked) noexcept nogil:
    cdef const Header *h = &HEADER[version][field]
    cdef uint8_t *p = out_room(out, 8 if h.experimenter else 4)
    if p == NULL:
        return -1
    put32(p, h.word + (MASK_BIT | FIELD[field].n_bytes) if masked else h.word)
    if h.experimenter:
        put32(p + 4, h.experimenter)
    return 0


cdef bint oxm_has_short_header(uint16_t field, uint8_t version) noexcept nogil:
    return HEADER[version][field].word != 0 and HEADER[version][field].experimenter == 0


cdef int put_field(OutBuf *out, const Match *match, uint16_t field, uint8_t version) noexcept nogil:
    cdef const Field *f = &FIELD[field]
    cdef bint masked = f.flags & FIELD_MASKABLE and (f.flags & FIELD_MASK_SHOWN or not field_exact(&match.mask, field))
    cdef uint8_t *p
    if oxm_header_encode(out, field, version, masked):
        return -1
    p = out_room(out, f.n_bytes * 2 if masked else f.n_bytes)
    if p == NULL:
        return -1
    field_get(&match.value, field, p)
    if masked:
        field_get(&match.mask, field, p + f.n_bytes)
    return 0


cdef int put_cookie(OutBuf *out, const Cookie *cookie) noexcept nogil:
    cdef bint masked = cookie.mask != 0xffffffffffffffffULL
    cdef uint8_t *p = out_room(out, 20 if masked else 12)
    if p == NULL:
        return -1
    put32(p, COOKIE_HEADER_W if masked else COOKIE_HEADER)
    put64(p + 4, cookie.value & cookie.mask)
    if masked:
        put64(p + 12, cookie.mask)
    return 0


cdef int oxm_match_encode(OutBuf *out, const Match *match, uint8_t version, const Cookie *cookie) noexcept nogil:
    cdef const uint16_t *field = ORDER[version]
    while field[0] != FIELD_NONE:
        # Shared slots: the field whose prerequisites hold is the one that was meant.
        if not field_wild(&match.mask, field[0]) and match_prereqs_met(field[0], match):
            if put_field(out, match, field[0], version):
                return -1
        field += 1
    if cookie != NULL and cookie.mask:
        return put_cookie(out, cookie)
    return 0


cdef void mark_nonzero(const FlowKey *key, const uint16_t *fields, Match *out) noexcept nogil:
    cdef uint8_t[FIELD_BYTES_MAX] value
    while fields[0] != FIELD_NONE:
        # A key read as a mask: "wild" means that all bits of the view are zero.
        if not field_wild(key, fields[0]) and match_prereqs_met(fields[0], out):
            field_get(key, fields[0], value)
            field_put(&out.value, fields[0], value)
            field_mark(&out.mask, fields[0])
        fields += 1


cdef void metadata_match(const FlowKey *key, Match *out) noexcept nogil:
    cdef uint8_t[FIELD_BYTES_MAX] value
    memset(out, 0, sizeof(Match))
    field_get(key, F_IN_PORT_OXM, value)
    field_put(&out.value, F_IN_PORT_OXM, value)
    field_mark(&out.mask, F_IN_PORT_OXM)
    mark_nonzero(key, METADATA, out)
    if get32(<const uint8_t *>key + OFS_CT_STATE):
        mark_nonzero(key, METADATA_CT, out)


# -- set-up ----------------------------------------------------------------------------------------------------------

def _spaces():
    found = []
    for row in FIELDS:
        for header in row.headers:
            if (header.oxm_class, header.experimenter) not in found:
                found.append((header.oxm_class, header.experimenter))
    if len(found) > CLASSES:
        raise InternalError("more OXM classes and experimenters than the C array holds")
    return found


def _fill_numbers():
    memset(FIELD_OF, 0xff, sizeof(FIELD_OF))
    memset(SPACE_CLASS, 0xff, sizeof(SPACE_CLASS))
    spaces = _spaces()
    for i, (oxm_class, experimenter) in enumerate(spaces):
        SPACE_CLASS[i] = oxm_class
        SPACE_EXPERIMENTER[i] = experimenter
    for number, row in enumerate(FIELDS):
        for header in row.headers:
            FIELD_OF[spaces.index((header.oxm_class, header.experimenter))][header.number] = number


cdef object preferred(row, int version):
    best = row.headers[0]
    for header in row.headers[1:]:
        if header.since <= version:
            best = header
    return best


def _written(row, version):
    # Packet registers of 64 bits replace the 32-bit ones in OpenFlow 1.5.
    if row.slot == "regs":
        return row.name.startswith("xreg" if version >= 6 else "reg")
    return row.headers and row.dialect not in (NEVER, OXM if version == 1 else NXM)


def _fill_versions():
    for version in range(1, VERSIONS):
        at = 0
        for number, row in enumerate(FIELDS):
            if row.headers:
                header = preferred(row, version)
                HEADER[version][number].word = (
                    header.oxm_class << 16 | header.number << 9 | (row.n_bytes + (4 if header.experimenter
                                                                   else 0)) & 0xff
                )
                HEADER[version][number].experimenter = header.experimenter
            if _written(row, version):
                ORDER[version][at] = number
                at += 1
        ORDER[version][at] = FIELD_NONE


def _fill_metadata():
    skipped = ("conj_id", "skb_priority", "actset_output", "in_phy_port", "in_port", "packet_type")
    plain = ct = 0
    for number, row in enumerate(FIELDS):
        CT_TUPLE[number] = row.prereq == "CT"
        if not FIELD[number].flags & FIELD_PIPELINE or not _written(row, 4) or row.slot in skipped:
            continue
        if row.name.startswith("ct_"):
            METADATA_CT[ct] = number
            ct += 1
        else:
            METADATA[plain] = number
            plain += 1
    METADATA[plain] = METADATA_CT[ct] = FIELD_NONE


def _fill():
    global F_IN_PORT_OXM
    F_IN_PORT_OXM = field_by_name("in_port_oxm")
    _fill_numbers()
    _fill_versions()
    _fill_metadata()


_fill()
