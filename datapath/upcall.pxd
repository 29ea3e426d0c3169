"""The miss function: how the datapath asks for a translation without knowing OpenFlow.

`ofproto` fills in a MissHandler; forwarders call it on their own thread without the GIL. `owner` is opaque here: it is
what the megaflow keeps so that its counts reach the rules it came from (the credit list).
"""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from datapath.act cimport ActBuf
from datapath.flow_key cimport KEY_PACKET_WORDS, PacketKey
from datapath.packet cimport Packet

cdef enum:
    TAG_WORDS = 4

cdef struct Tags:              # a Bloom filter of dependencies; only the miss function knows how to read it
    uint64_t[TAG_WORDS] words

cdef struct Translation:       # result of one translation; owned and reused by the forwarder
    uint64_t[KEY_PACKET_WORDS] mask    # 1 bits = bits of the packet key that were read; in_port and recirc_id are
                                       # always exact
    ActBuf acts                # the action program
    void *owner                # credit list with one reference for the caller, or NULL
    Tags tags                  # what change could alter this result
    uint64_t version           # version of the tables it was made from
    bint cacheable             # 0 = run it for this packet only (side effects per packet, or tables were edited
                               # meanwhile)
    uint32_t drop_reason       # DROP_NONE, or why nothing is output

# Translate `key` (datapath port numbers) with the tables of `version`, applying learning; fills out, returns 0; or a
# DropReason when it could not run (nothing is cached then). pkt may be NULL (revalidation): then no side effect
# happens.
ctypedef int (*TranslateFn)(void *ctx, uint32_t forwarder, const PacketKey *key, Packet *pkt, uint64_t version,
                            int64_t now_ns, Translation *out) noexcept nogil

cdef struct MissHandler:
    void *ctx                  # first argument of all functions below
    TranslateFn translate
    # Add packets and bytes seen by a megaflow since the last call, and the time of the last one, along its credit list.
    void (*credit)(void *ctx, void *owner, uint64_t packets, uint64_t bytes, int64_t used_ns,
                   uint16_t tcp_flags) noexcept nogil
    void (*release)(void *ctx, void *owner) noexcept nogil     # drop one reference of a credit list
    # Hand a frame to the control thread (controller action). Copies what it needs; returns 0 or a DropReason.
    int (*punt)(void *ctx, uint32_t forwarder, const Packet *pkt, uint64_t cookie) noexcept nogil
    uint64_t (*version)(void *ctx) noexcept nogil              # the published version of the tables
    # Whether something changed after version `since` up to `upto` that may alter a result with these tags; 1 when that
    # is not known any more, or too much to look through.
    bint (*affected)(void *ctx, uint64_t since, uint64_t upto, const Tags *tags) noexcept nogil

# Python's handle of a MissHandler; whoever provides it keeps ctx alive as long as the handle lives.
cdef class MissHook:
    cdef MissHandler handler

# One frame to be run through an action list of its own (packet-out): `translate` replaces the miss function for this
# frame; nothing is cached, credits are pushed at once. Subclasses keep what ctx points to; the datapath holds a
# reference until the frame is done.
cdef class ExecuteHook:
    cdef void *ctx
    cdef TranslateFn translate
