"""The pieces that wire actions are put together from; see act_put.pxd."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from datapath.bytes cimport store_be16 as put16, store_be32 as put32
from ofproto.bits cimport be_store
from ofproto.codec cimport all_ones, out_room
from ofproto.field cimport FIELD
from ofproto.of_number cimport NICIRA, OFPAT_VENDOR
from ofproto.oxm cimport oxm_header_encode

from ofproto.actions import FORMS, NX


cdef Wire wire(str name) except *:
    cdef Wire w
    form = FORMS[name]
    w.number = form.number
    w.nicira = form.space == NX
    w.n_bytes = form.n_bytes
    return w


cdef uint8_t *start(OutBuf *out, const Wire *w, uint32_t n_bytes) noexcept nogil:
    cdef uint8_t *p = out_room(out, n_bytes)
    if p == NULL:
        return NULL
    put16(p, OFPAT_VENDOR if w.nicira else w.number)
    put16(p + 2, n_bytes)
    if w.nicira:
        put32(p + 4, NICIRA)
        put16(p + 8, w.number)
    return p


cdef int finish(OutBuf *out, uint32_t at) noexcept nogil:
    cdef uint32_t pad = (0 - (out.length - at)) & 7
    if out_room(out, pad) == NULL:
        return -1
    put16(out.data + at + 2, out.length - at)
    return 0


cdef int put_plain(OutBuf *out, const Wire *w) noexcept nogil:
    return 0 if start(out, w, w.n_bytes) != NULL else -1


cdef int put_number(OutBuf *out, const Wire *w, uint32_t at, uint32_t n_bytes, uint64_t value) noexcept nogil:
    cdef uint8_t *p = start(out, w, w.n_bytes)
    if p == NULL:
        return -1
    be_store(p + at, n_bytes, value)
    return 0


cdef int put_bytes(OutBuf *out, const uint8_t *data, uint32_t n) noexcept nogil:
    cdef uint8_t *p = out_room(out, n)
    if p == NULL:
        return -1
    memcpy(p, data, n)
    return 0


cdef int put_oxm(OutBuf *out, uint16_t field, uint8_t version, const uint8_t *value,
                 const uint8_t *mask) noexcept nogil:
    cdef uint32_t n = FIELD[field].n_bytes
    cdef bint masked = mask != NULL and not all_ones(mask, n)
    if oxm_header_encode(out, field, version, masked) or put_bytes(out, value, n):
        return -1
    return put_bytes(out, mask, n) if masked else 0
