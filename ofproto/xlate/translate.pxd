"""The miss function: translate one packet under the read lock, then apply what was learned under the write lock."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from datapath.flow_key cimport PacketKey
from datapath.packet cimport Packet
from datapath.upcall cimport Translation
from ofproto.xlate.context cimport XlateContext

cdef struct PacketOutJob:      # a frame with an action list of its own
    uint32_t bridge_id
    uint32_t in_port           # OpenFlow number
    const uint8_t *acts        # OfAct list
    uint32_t acts_length

# Returns 0, or a DropReason when nothing could be translated. job NULL: by the flow tables; else its actions. pkt NULL:
# no side effect.
cdef int translate(XlateContext *ctx, const PacketKey *key, Packet *pkt, uint64_t version, int64_t now_ns,
        const PacketOutJob *job, Translation *out) noexcept nogil
