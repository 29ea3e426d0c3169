"""Small inlines of the OpenFlow codecs: port numbers of 16 bits, tests for zero bytes, room in growable buffers."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport realloc
from libc.string cimport memset

from ofproto.flow_mod cimport OutBuf
from ofproto.of_number cimport OFPP10_MAX, OFPP_MAX
from ofproto.ofact cimport OfAct, OfActBuf

cdef inline bint all_zero(const uint8_t *p, uint32_t n) noexcept nogil:
    cdef uint32_t i
    for i in range(n):
        if p[i]:
            return 0
    return 1

cdef inline bint all_ones(const uint8_t *p, uint32_t n) noexcept nogil:
    cdef uint32_t i
    for i in range(n):
        if p[i] != 0xff:
            return 0
    return 1

# OpenFlow 1.0 port numbers are 16 bits; the reserved ones, from OFPP10_MAX on, map to OFPP_MAX and on.
cdef inline uint32_t port_from16(uint32_t port) noexcept nogil:
    return port + (OFPP_MAX - OFPP10_MAX) if port >= OFPP10_MAX else port

cdef inline bint port_unknown(uint32_t port) noexcept nogil:
    # 32-bit numbers that are neither a port that OpenFlow 1.0 could name nor a reserved one.
    return OFPP10_MAX <= port < OFPP_MAX

# n zeroed bytes at the end of the buffer, or NULL without memory. The address holds until the next call.
cdef inline uint8_t *out_room(OutBuf *out, uint32_t n) noexcept nogil:
    cdef uint32_t want
    cdef uint8_t *data
    if out.length + n > out.capacity:
        want = max(<uint32_t>256, 2 * out.capacity, out.length + n)
        data = <uint8_t *>realloc(out.data, want)
        if data == NULL:
            return NULL
        out.data = data
        out.capacity = want
    data = out.data + out.length
    memset(data, 0, n)
    out.length += n
    return data

# A zeroed entry of that kind and size (rounded up to 8 bytes) at the end of an action list, or NULL without memory.
cdef inline OfAct *act_room(OfActBuf *out, uint8_t kind, uint32_t n) noexcept nogil:
    cdef OfAct *act
    n = (n + 7) & ~<uint32_t>7
    act = <OfAct *>out_room(<OutBuf *>out, n)
    if act != NULL:
        act.kind = kind
        act.length = <uint16_t>n
    return act
