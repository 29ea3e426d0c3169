"""Runs action programs over the packets of one megaflow and collects what is to be sent in one vector per port.

Place in a packet's path: after classification, before `port.tx`. Copies are references: an output that is not a
packet's last one takes a reference, and an edit first makes the packet its own (packet_writable). Belongs to one
forwarder.
"""

from libc.stdint cimport uint32_t, uint64_t

from datapath.act cimport Program
from datapath.drops cimport N_DROP_REASONS
from datapath.packet cimport Packet
from datapath.ports.port cimport Port
from datapath.upcall cimport MissHandler

cdef enum:
    OUT_VECTOR_MAX = 64        # packets that wait for one port before they are sent

cdef struct OutVector:         # one per attached port and forwarder
    Port *port
    uint32_t n                 # packets waiting
    bint listed                # in the sender's list since the last flush (and empty, if it was full in between)
    OutVector *next            # the next in that list
    Packet *pkts[OUT_VECTOR_MAX]

cdef struct Sender:
    OutVector **by_port        # PORTS_MAX entries, NULL = no such port
    OutVector *first           # vectors with packets waiting, in the order of their first packet
    OutVector *last
    uint32_t forwarder         # number of this forwarder
    MissHandler *handler       # who takes punted packets
    uint32_t trunc_bytes       # ACT_TRUNC: longest length of the next output, 0 = whole packets
    uint64_t sent              # packets handed to ports
    uint64_t sent_batches      # in so many vectors
    bint consumed              # the running program has sent or punted something
    uint64_t[N_DROP_REASONS] drops      # by this forwarder's pipeline
    uint64_t[N_DROP_REASONS] orphans    # of these: the receiving port was gone, so that no port counted them

# 0, or -1 without memory
cdef int sender_init(Sender *sender, uint32_t forwarder, MissHandler *handler) noexcept nogil
cdef void sender_destroy(Sender *sender) noexcept nogil
cdef int sender_attach(Sender *sender, Port *port) noexcept nogil      # 0, or -1 without memory
# between batches only: nothing waits then
cdef void sender_detach(Sender *sender, uint32_t port_no) noexcept nogil
# Run a program over n packets, at least one (their references are handed over); pkts is scratch afterwards.
cdef void program_run(Sender *sender, const Program *program, Packet **pkts, uint32_t n) noexcept nogil
cdef void sender_flush(Sender *sender) noexcept nogil          # prepare and send all that waits
# count at receiving port and forwarder, release
cdef void drop_packet(Sender *sender, Packet *pkt, uint32_t reason) noexcept nogil
cdef void count_drops(Sender *sender, uint32_t in_port, uint32_t reason, uint32_t n) noexcept nogil
