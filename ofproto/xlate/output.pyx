"""Actions output and controller: see output.pxd."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from datapath.act cimport act_punt
from datapath.bytes cimport be32toh, htobe32
from datapath.drops cimport (
    DROP_INVALID_ACTION, DROP_NO_FLOOD_PORTS, DROP_NOT_IN_PIPELINE, DROP_OUT_OF_MEMORY, DROP_SAME_PORT,
)
from datapath.flow_key cimport (
    KEY_BASE_WORDS, KEY_PACKET_WORDS, KEY_WORDS, OFS_CT_NW_PROTO, OFS_CT_STATE, OFS_IN_PORT, OFS_PKT_MARK,
    OFS_SKB_PRIORITY, SLOT_SKB_PRIORITY,
)
from ofproto.credits cimport PUNT_ACTION, PUNT_ACTION_SET, PUNT_EXPLICIT_MISS, PUNT_PACKET_OUT, PuntInfo
from ofproto.of_number cimport OFPP_IN_PORT
from ofproto.switch cimport OfPort, PORT_NO_FLOOD, bridge_port
from ofproto.xlate.commit cimport commit
from ofproto.xlate.context cimport XlateContext, grow_add, note_drop, read_bytes, write_slot
from ofproto.xlate.emit cimport emit_port
from ofproto.xlate.normal cimport normal
from ofproto.xlate.record cimport NOTE_NO_PORT, NOTE_SAME_PORT
from ofproto.xlate.report cimport report_note

ctypedef void (*ReservedFn)(XlateContext *ctx, uint32_t max_len) noexcept nogil

cdef enum:
    N_RESERVED = 8             # OFPP_IN_PORT .. OFPP_ANY


cdef void emit_number(XlateContext *ctx, uint32_t number) noexcept nogil:
    cdef OfPort *port = bridge_port(ctx.bridge, number)
    if port != NULL:
        emit_port(ctx, port)
    else:
        note_drop(ctx, DROP_NOT_IN_PIPELINE)
        report_note(ctx, NOTE_NO_PORT, number, 0)


# -- reserved ports

cdef void to_in_port(XlateContext *ctx, uint32_t max_len) noexcept nogil:
    emit_number(ctx, be32toh(ctx.key.pkt.in_port))


cdef void to_table(XlateContext *ctx, uint32_t max_len) noexcept nogil:
    if ctx.in_packet_out:
        ctx.run_table(ctx, 0, ctx.key.pkt.in_port, True)
    else:
        note_drop(ctx, DROP_INVALID_ACTION)


cdef void to_normal(XlateContext *ctx, uint32_t max_len) noexcept nogil:
    normal(ctx)


cdef void to_others(XlateContext *ctx, uint32_t skip) noexcept nogil:
    """Send to every port but the input port and those with a config bit of `skip`."""
    cdef uint32_t in_port = be32toh(ctx.key.pkt.in_port)
    cdef OfPort *port = ctx.bridge.ports
    cdef uint32_t n = 0
    while port != NULL and not ctx.error:
        if port.number != in_port and not port.config & skip:
            emit_port(ctx, port)
            n += 1
        port = port.next
    if n == 0:
        note_drop(ctx, DROP_NO_FLOOD_PORTS)


cdef void to_flood(XlateContext *ctx, uint32_t max_len) noexcept nogil:
    to_others(ctx, PORT_NO_FLOOD)


cdef void to_all(XlateContext *ctx, uint32_t max_len) noexcept nogil:
    to_others(ctx, 0)


cdef void to_controller(XlateContext *ctx, uint32_t max_len) noexcept nogil:
    cdef uint8_t reason = PUNT_ACTION
    if ctx.in_packet_out:
        reason = PUNT_PACKET_OUT
    elif ctx.in_action_set:
        reason = PUNT_ACTION_SET
    elif ctx.miss_rule:
        reason = PUNT_EXPLICIT_MISS
    punt(ctx, reason, 0, <uint16_t>min(max_len, <uint32_t>0xffff), ctx.cookie)


cdef void to_nowhere(XlateContext *ctx, uint32_t max_len) noexcept nogil:
    pass


cdef ReservedFn[N_RESERVED] RESERVED
RESERVED[0], RESERVED[1], RESERVED[2], RESERVED[3] = to_in_port, to_table, to_normal, to_flood
RESERVED[4], RESERVED[5], RESERVED[6], RESERVED[7] = to_all, to_controller, NULL, to_nowhere


cdef void output(XlateContext *ctx, uint32_t port, uint32_t max_len) noexcept nogil:
    if port >= <uint32_t>OFPP_IN_PORT and RESERVED[port - <uint32_t>OFPP_IN_PORT] != NULL:
        RESERVED[port - <uint32_t>OFPP_IN_PORT](ctx, max_len)
    elif port == be32toh(ctx.key.pkt.in_port):
        note_drop(ctx, DROP_SAME_PORT)
        report_note(ctx, NOTE_SAME_PORT, port, 0)
    else:
        emit_number(ctx, port)


# -- controller

cdef void read_metadata(XlateContext *ctx) noexcept nogil:
    """A packet-in carries metadata of the packet, so the megaflow matches it."""
    cdef const uint64_t *key = <const uint64_t *>&ctx.key
    cdef uint32_t i
    cdef uint64_t tunnel = 0
    for i in range(KEY_BASE_WORDS, KEY_PACKET_WORDS):
        tunnel |= key[i]
    if tunnel:
        read_bytes(ctx, KEY_BASE_WORDS * 8, (KEY_PACKET_WORDS - KEY_BASE_WORDS) * 8)
    read_bytes(ctx, OFS_PKT_MARK, 4)
    if ctx.key.pkt.ct_state:
        read_bytes(ctx, 0, OFS_IN_PORT)
        read_bytes(ctx, OFS_CT_STATE, OFS_CT_NW_PROTO + 1 - OFS_CT_STATE)


cdef void copy_range(PuntInfo *info, const XlateContext *ctx, uint32_t ofs, uint32_t end) noexcept nogil:
    memcpy(<uint8_t *>&info.key + ofs, <const uint8_t *>&ctx.key + ofs, end - ofs)


cdef void punt(XlateContext *ctx, uint8_t reason, uint16_t controller_id, uint16_t max_len,
        uint64_t cookie) noexcept nogil:
    cdef PuntInfo *info = <PuntInfo *>grow_add(&ctx.punts, sizeof(PuntInfo), 1)
    if info == NULL:
        ctx.error = DROP_OUT_OF_MEMORY
        return
    commit(ctx)
    read_metadata(ctx)
    info.bridge_id, info.in_port, info.cookie = ctx.bridge.id, be32toh(ctx.key.pkt.in_port), cookie
    info.max_len, info.controller_id, info.reason, info.table_id = max_len, controller_id, reason, ctx.table_id
    copy_range(info, ctx, 0, OFS_IN_PORT + 4)
    copy_range(info, ctx, OFS_PKT_MARK, OFS_PKT_MARK + 4)
    copy_range(info, ctx, OFS_CT_STATE, OFS_CT_NW_PROTO + 1)
    copy_range(info, ctx, KEY_BASE_WORDS * 8, KEY_WORDS * 8)
    act_punt(ctx.acts, ctx.punts.n - 1)                    # translate.pyx puts the address in its place
    ctx.n_outputs += 1


# -- queues

cdef void enqueue(XlateContext *ctx, uint32_t port, uint32_t queue) noexcept nogil:
    cdef uint32_t before = ctx.key.pkt.skb_priority
    cdef uint32_t det = ctx.det.pkt.skb_priority
    write_slot(ctx, SLOT_SKB_PRIORITY, OFS_SKB_PRIORITY, 4)
    ctx.key.pkt.skb_priority = htobe32(queue)
    output(ctx, port, 0)
    write_slot(ctx, SLOT_SKB_PRIORITY, OFS_SKB_PRIORITY, 4)
    ctx.key.pkt.skb_priority, ctx.det.pkt.skb_priority = before, det
