"""Frames on their way to the control thread: one bounded ring per forwarder, and one eventfd (OF.21, DP.24).

Thread rule: a ring has one writer, its forwarder, and one reader, the control thread. The descriptor is signalled only
when the reader has drained since the last signal. A full ring refuses the frame; the forwarder counts it as
DROP_CONTROLLER_QUEUE_FULL.

A port that floods does not take all the room: what waits of one port (of one share, by the port's number) is at most
PUNT_EAGERNESS times what is free. So n ports that flood leave 1 / (1 + n * PUNT_EAGERNESS) of the ring to others.
The reader takes at most PUNT_TURN frames of a ring at once, so that the control thread gets to its other work.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from datapath.packet cimport Packet
from datapath.ports.port cimport FORWARDERS_MAX
from ofproto.credits cimport PuntInfo

cdef enum:
    PUNT_RING_BYTES = 1048576  # per forwarder, a power of two; untouched pages cost nothing
    PUNT_FILLER = 0xffffffff   # PuntRecord.frame_bytes of the unused end of the ring
    PUNT_SHARES = 64           # a power of two
    PUNT_EAGERNESS = 4         # one port alone gets 4/5 of the ring
    PUNT_TURN = 256            # some 4 ms of encoding and sending

cdef struct PuntRecord:        # followed by the frame, padded to 8 bytes
    uint32_t record_bytes      # with frame and padding
    uint32_t frame_bytes
    PuntInfo info

cdef struct PuntRing:
    uint8_t *data              # PUNT_RING_BYTES
    uint64_t head              # bytes ever written; stored by the writer
    uint64_t tail              # bytes ever read; stored by the reader
    uint64_t refused           # frames that found no room
    uint64_t[PUNT_SHARES] written  # bytes ever written of each share, fillers left out; the writer's
    uint64_t[PUNT_SHARES] taken    # bytes ever read of each share; stored by the reader

cdef struct PuntQueue:
    PuntRing[FORWARDERS_MAX] rings
    uint64_t signalled         # 1 = the descriptor is readable already
    int fd

cdef int punt_init(PuntQueue *queue) except -1
cdef void punt_free(PuntQueue *queue) noexcept nogil
# Copy the frame into the forwarder's ring, a partial checksum completed; 0 or DROP_CONTROLLER_QUEUE_FULL.
cdef int punt_push(PuntQueue *queue, uint32_t forwarder, const PuntInfo *info, const Packet *pkt) noexcept nogil
# Return the oldest Punts of each ring, PUNT_TURN at most; with more waiting the descriptor stays readable.
cdef list punt_drain(PuntQueue *queue, dict names)

cdef class Punt:
    cdef readonly object bridge        # name, None when it was deleted meanwhile
    cdef readonly uint32_t bridge_id
    cdef readonly uint32_t in_port     # OpenFlow number
    cdef readonly uint64_t cookie
    cdef readonly uint16_t max_len
    cdef readonly uint16_t controller_id
    cdef readonly uint8_t reason       # PuntReason
    cdef readonly uint8_t table_id
    cdef readonly uint32_t forwarder
    cdef readonly bytes key            # FlowKey bytes: metadata only
    cdef readonly bytes frame
