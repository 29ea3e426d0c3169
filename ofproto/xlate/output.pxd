"""Actions output and controller: ordinary and reserved ports (OF.21, OF.22, AC.01, AC.05)."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from ofproto.xlate.context cimport XlateContext

cdef void output(XlateContext *ctx, uint32_t port, uint32_t max_len) noexcept nogil
cdef void punt(XlateContext *ctx, uint8_t reason, uint16_t controller_id, uint16_t max_len,
        uint64_t cookie) noexcept nogil
# Output with another queue; the queue is afterwards as before (AC.07).
cdef void enqueue(XlateContext *ctx, uint32_t port, uint32_t queue) noexcept nogil
