"""Output to one port: see emit.pxd."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memset

from datapath.act cimport act_output
from datapath.bytes cimport htobe32
from datapath.drops cimport DROP_NONE, DROP_PATCH_NO_PEER, DROP_PORT_NO_FORWARD, DROP_RX_PORT_DISABLED
from datapath.flow_key cimport (
    FlowKey, KEY_BASE_WORDS, KEY_WORDS, OFS_CT_NW_PROTO, OFS_CT_STATE, OFS_ETH_DST, OFS_IN_PORT,
)
from ofproto.credits cimport CREDIT_PATCH, CreditItem
from ofproto.of_number cimport OFPP_UNSET
from ofproto.switch cimport (
    Bridge, DP_PORT_NONE, OfPort, PORT_DOWN, PORT_NO_FWD, PORT_NO_RECV, PORT_NO_RECV_STP, bridge_tag,
)
from ofproto.xlate.commit cimport commit
from ofproto.xlate.context cimport (
    DeepTags, XlateContext, add_credit, cookie_of_first, depend, fold_all, note_drop, read_bytes,
)
from ofproto.xlate.record cimport EVENT_BRIDGE, NOTE_NO_FWD
from ofproto.xlate.report cimport report_close, report_note, report_open

cdef const char *STP_MAC = b"\x01\x80\xc2\x00\x00\x00"

cdef struct Outer:             # what the bridge on this side of a patch port gets back afterwards
    FlowKey key
    FlowKey det
    DeepTags key_deep
    Bridge *bridge
    uint64_t cookie
    uint32_t set_base
    uint32_t stack_base
    uint32_t n_set
    uint32_t n_stack
    uint8_t table_id
    bint in_action_set
    bint miss_rule


cdef bint is_to(XlateContext *ctx, const char *mac) noexcept nogil:
    read_bytes(ctx, OFS_ETH_DST, 6)
    return memcmp(&ctx.key.pkt.eth_dst[0], mac, 6) == 0


cdef bint may_receive(XlateContext *ctx, const OfPort *port) noexcept nogil:
    cdef uint32_t blocked
    if not port.config & (PORT_DOWN | PORT_NO_RECV | PORT_NO_RECV_STP):
        return True
    blocked = PORT_DOWN | (PORT_NO_RECV_STP if is_to(ctx, STP_MAC) else PORT_NO_RECV)
    if port.config & blocked:
        note_drop(ctx, DROP_RX_PORT_DISABLED)
        return False
    return True


cdef void emit_port(XlateContext *ctx, OfPort *port) noexcept nogil:
    if port.config & (PORT_NO_FWD | PORT_DOWN):
        note_drop(ctx, DROP_PORT_NO_FORWARD)
        if port.config & PORT_NO_FWD:
            report_note(ctx, NOTE_NO_FWD, port.number, 0)
    elif port.dp_port != DP_PORT_NONE:
        commit(ctx)
        act_output(ctx.acts, port.dp_port)
        ctx.n_outputs += 1
    elif port.peer != NULL:
        cross(ctx, port)
    else:
        note_drop(ctx, DROP_PATCH_NO_PEER)


# -- patch ports

cdef void save(XlateContext *ctx, Outer *outer) noexcept nogil:
    fold_all(ctx)
    outer.key, outer.det, outer.key_deep = ctx.key, ctx.det, ctx.key_deep
    outer.bridge, outer.cookie, outer.table_id = ctx.bridge, ctx.cookie, ctx.table_id
    outer.set_base, outer.n_set = ctx.set_base, ctx.action_set.n
    outer.stack_base, outer.n_stack = ctx.stack_base, ctx.stack.n
    outer.in_action_set, outer.miss_rule = ctx.in_action_set, ctx.miss_rule


cdef void restore(XlateContext *ctx, const Outer *outer) noexcept nogil:
    fold_all(ctx)                  # what was read over there counts by what was determined over there
    ctx.key, ctx.det, ctx.key_deep = outer.key, outer.det, outer.key_deep
    ctx.bridge, ctx.cookie, ctx.table_id = outer.bridge, outer.cookie, outer.table_id
    ctx.set_base, ctx.action_set.n = outer.set_base, outer.n_set
    ctx.stack_base, ctx.stack.n = outer.stack_base, outer.n_stack
    ctx.in_action_set, ctx.miss_rule = outer.in_action_set, outer.miss_rule
    ctx.exit = False
    ctx.error = DROP_NONE          # an error over there does not end the translation here


cdef void forget(XlateContext *ctx, uint32_t first_word, uint32_t end_word) noexcept nogil:
    memset(<uint64_t *>&ctx.key + first_word, 0, (end_word - first_word) * 8)
    memset(<uint64_t *>&ctx.det + first_word, 0xff, (end_word - first_word) * 8)


cdef void enter(XlateContext *ctx, OfPort *peer) noexcept nogil:
    """Make it a packet just received by the peer: no registers, metadata, tunnel or connection state."""
    forget(ctx, KEY_BASE_WORDS, KEY_WORDS)
    forget(ctx, 0, OFS_IN_PORT // 8)                       # ct_label and ct_ipv6
    memset(<uint8_t *>&ctx.key + OFS_CT_STATE, 0, OFS_CT_NW_PROTO + 1 - OFS_CT_STATE)
    memset(<uint8_t *>&ctx.det + OFS_CT_STATE, 0xff, OFS_CT_NW_PROTO + 1 - OFS_CT_STATE)
    ctx.key.actset_output = htobe32(<uint32_t>OFPP_UNSET)
    ctx.key.pkt.in_port = htobe32(peer.number)
    ctx.bridge = peer.bridge
    depend(ctx, bridge_tag(peer.bridge))
    ctx.set_base, ctx.stack_base = ctx.action_set.n, ctx.stack.n
    ctx.table_id = 0
    ctx.in_action_set = ctx.miss_rule = False


cdef void cross(XlateContext *ctx, OfPort *port) noexcept nogil:
    """Continue in the peer's bridge at table 0, then come back to the state before."""
    cdef Outer outer
    cdef CreditItem *item = add_credit(ctx, CREDIT_PATCH, 0)
    cdef uint32_t first
    if item == NULL:
        return
    item.port = port.number
    first = ctx.credits.n
    save(ctx, &outer)
    enter(ctx, port.peer)
    report_open(ctx, EVENT_BRIDGE)
    if may_receive(ctx, port.peer):
        ctx.run_table(ctx, 0, ctx.key.pkt.in_port, True)
        ctx.cookie = cookie_of_first(ctx, first)
        ctx.run_set(ctx)
    report_close(ctx)
    restore(ctx, &outer)
