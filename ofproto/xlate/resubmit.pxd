"""Continue in a flow table: look up, count, run what was found; limits against loops (OF.01, OF.24)."""

from libc.stdint cimport uint32_t

from ofproto.xlate.context cimport XlateContext

# in_port_be: the port to look up with (the actions still see the real one); honour_miss: what the bridge does on a miss
# applies.
cdef void run_table(XlateContext *ctx, uint32_t table_id, uint32_t in_port_be, bint honour_miss) noexcept nogil
