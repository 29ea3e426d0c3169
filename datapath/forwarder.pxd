"""A forwarder: everything that one forwarding thread owns, and its loop.

    rx_ports -> frame_cache, or parse -> flow_cache -> megaflow -> (miss: handler.translate) -> groups -> execute -> tx

Nothing here is shared but the mailbox, the counters (one writer, read by anybody) and what the miss handler keeps
behind its own lock. Time and table version are sampled once per batch; when a translation itself changes the tables
(learning), the batch is cut there and the rest is handled with the new version, so that a packet always meets what the
one before it taught.
"""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from datapath.act cimport Program, Programs
from datapath.execute cimport Sender
from datapath.flow_cache cimport FlowCache
from datapath.flow_key cimport PacketKey
from datapath.frame_cache cimport FrameCache, FrameLook
from datapath.hash cimport HashSecret
from datapath.mailbox cimport Command, Mailbox, Stack
from datapath.megaflow cimport Classifier, Megaflow
from datapath.packet cimport BATCH_MAX, Batch, Packet, PacketPool
from datapath.polling cimport Polling
from datapath.rx_ports cimport RxPort, RxPorts
from datapath.upcall cimport MissHandler, Translation

cdef enum:
    POOL_SMALL = 16384         # packet buffers of a forwarder, made when needed
    POOL_LARGE = 512
    LOOK_AT_EPOLL_EVERY = 8    # turns of a busy forwarder between two looks for ports that have become ready
    SLICE_NS = 100000          # that a sliced command may take between two batches,
    SLICE_STEP = 32            # looked at after each so many megaflows

cdef struct ForwarderStats:
    uint64_t packets           # received and looked up
    uint64_t exact_hits        # answered by the frame cache or the flow cache
    uint64_t masked_hits       # answered by the megaflow classifier
    uint64_t misses            # neither: translated
    uint64_t retranslations    # hits that a change of the tables made us translate again
    uint64_t uncached          # translations that were run once and not installed
    uint64_t lost              # translations that could not run: the packet was dropped
    uint64_t batches
    uint64_t slices            # of sliced commands (commands.pyx)
    uint64_t sleeps
    uint64_t busy_cycles       # of the time stamp counter, spent on batches that had packets

cdef struct Group:             # packets of one batch that run one program, whatever their megaflows
    Program *program
    uint32_t n                 # packets
    uint32_t at                # its first packet in Forwarder.sorted; while sorting, the next free place
    bint uncached              # of one packet whose translation no megaflow holds: let go after it ran
    void *owner                # of that translation, or NULL
    uint32_t bytes             # of that packet
    uint16_t tcp_flags

cdef struct Forwarder:
    FrameLook look             # of this batch; first, as it and the secret are read by whole cache lines
    HashSecret secret
    uint32_t number
    MissHandler *handler
    RxPorts rx
    Polling polling
    Mailbox box
    Command *sweeps            # sliced commands at work, oldest first
    uint64_t stopping          # set by CMD_STOP
    int64_t now_ns             # of this batch
    int64_t clock_offset_ns    # what to add to CLOCK_MONOTONIC, set by the control thread when its clock was warped
    uint64_t version           # of this (part of a) batch
    uint32_t serial            # counts (parts of) batches; 0 is never used
    uint32_t dump_serial
    uint32_t n_groups
    uint32_t translations_left # of the turn under way
    uint32_t n_owing           # ports that are to be passed over (turns.pxd)
    Batch batch                # as received; then only what was parsed
    Group[BATCH_MAX] groups
    uint16_t[BATCH_MAX] group_of           # by packet; NO_GROUP = dropped already
    Packet *sorted[BATCH_MAX]
    ForwarderStats stats
    Sender sender
    Classifier classifier
    Programs programs
    FrameCache frames          # by the frame's bytes: frames of a known shape
    FlowCache cache            # by the parsed key: the others
    PacketPool pool
    Translation translation    # reused from miss to miss
    PacketKey key              # of the packet that is parsed; tunnel words stay zero

# 0, or -1
cdef int forwarder_init(Forwarder *fwd, uint32_t number, MissHandler *handler, Stack *done, int done_fd) noexcept nogil
cdef void forwarder_destroy(Forwarder *fwd) noexcept nogil
cdef void forwarder_loop(Forwarder *fwd) noexcept nogil      # until CMD_STOP
# run all packets that wait at a port (turns.pxd)
cdef void forwarder_finish(Forwarder *fwd, RxPort *rx) noexcept nogil
# One round without waiting: commands, one slice, and one round of turns. Returns what it did (0: nothing). For inline
# use.
cdef uint32_t forwarder_step(Forwarder *fwd, int64_t now_ns, bint receive_too) noexcept nogil
cdef int64_t monotonic_ns() noexcept nogil
cdef uint64_t cycles_now() noexcept nogil      # the processor's time stamp counter; nanoseconds where there is none
