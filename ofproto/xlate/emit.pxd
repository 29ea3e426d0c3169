"""Send the packet, as it is now, out of one port: a datapath output, or the bridge behind a patch port (OF.25)."""

from ofproto.switch cimport OfPort
from ofproto.xlate.context cimport XlateContext

cdef void emit_port(XlateContext *ctx, OfPort *port) noexcept nogil
# Whether a packet may enter by this port (OFPPC_NO_RECV, NO_RECV_STP, PORT_DOWN); notes the drop reason if not.
cdef bint may_receive(XlateContext *ctx, const OfPort *port) noexcept nogil
# Whether the packet's destination is `mac`; what was read is noted.
cdef bint is_to(XlateContext *ctx, const char *mac) noexcept nogil
