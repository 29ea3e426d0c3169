"""Actions that change the key: see rewrite.pxd. A header that the packet does not have is left alone."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from datapath.bytes cimport be32toh, htobe16, htobe32, htobe64
from datapath.drops cimport DROP_OUT_OF_MEMORY, DROP_STACK_TOO_DEEP
from datapath.flow_key cimport (
    OFS_ETH_DST, OFS_ETH_SRC, OFS_IP_DST, OFS_IP_SRC, OFS_NW_PROTO, OFS_NW_TOS, OFS_NW_TTL, OFS_SKB_PRIORITY,
    OFS_TP_DST, OFS_TP_SRC, OFS_TUN_ID, SLOT_ETH_DST, SLOT_ETH_SRC, SLOT_IP_DST, SLOT_IP_SRC, SLOT_NW_TOS, SLOT_NW_TTL,
    SLOT_SKB_PRIORITY, SLOT_TP_DST, SLOT_TP_SRC, SLOT_TUN_ID,
)
from datapath.headers cimport ETH_IPV4, ETH_IPV6, FRAG_LATER, IP_SCTP, IP_TCP, IP_UDP, VLAN_PRESENT
from ofproto.field cimport (
    FIELD, field_bits, field_mark_bits, field_move, field_prereqs_met, field_put_bits, field_put_masked,
)
from ofproto.ofact cimport (
    OFACT_F_PUSH_VLAN, OFACT_MOVE, OFACT_POP_QUEUE, OFACT_PUSH_VLAN, OFACT_SET_ETH_DST, OFACT_SET_ETH_SRC,
    OFACT_SET_FIELD, OFACT_SET_IPV4_DST, OFACT_SET_IPV4_SRC, OFACT_SET_IP_DSCP, OFACT_SET_IP_ECN, OFACT_SET_IP_TTL,
    OFACT_SET_L4_DST, OFACT_SET_L4_SRC, OFACT_SET_QUEUE, OFACT_SET_TUNNEL, OFACT_SET_VLAN_PCP, OFACT_SET_VLAN_VID,
    OFACT_STACK_POP, OFACT_STACK_PUSH, OFACT_STRIP_VLAN, OfAct, OfActMac, OfActMove, OfActSetField, OfActStack,
    OfActValue, OfActValue64,
)
from ofproto.xlate.apply cimport StepFn
from ofproto.xlate.context cimport (
    STACK_MAX, STACK_WORDS, XlateContext, fold, grow_add, is_vlan_slot, note_drop, read_bytes, touch, write_field,
    write_slot,
)
from ofproto.xlate.record cimport NOTE_QUEUE, NOTE_STACK_FULL, NOTE_STACK_UNDERFLOW, NOTE_UNMET_PREREQS
from ofproto.xlate.report cimport report_note, report_value
from ofproto.xlate.vlan_ops cimport vlan_pop, vlan_push, vlan_set, vlan_settle

cdef enum:
    WORD_BITS = 64


# -- any field

cdef void settle(XlateContext *ctx, uint32_t field) noexcept nogil:
    if is_vlan_slot(FIELD[field].slot):
        vlan_settle(ctx)


cdef bint set_field(XlateContext *ctx, const OfAct *a) noexcept nogil:
    cdef const OfActSetField *act = <const OfActSetField *>a
    cdef const uint8_t *mask = &act.data[0] + act.n_bytes
    if not field_prereqs_met(act.field, &ctx.key, &ctx.reads):
        report_note(ctx, NOTE_UNMET_PREREQS, act.field, 0)
        return False
    write_field(ctx, act.field)
    field_put_masked(&ctx.key, act.field, &act.data[0], mask)
    field_put_masked(&ctx.det, act.field, mask, mask)
    settle(ctx, act.field)
    return False


cdef bint move(XlateContext *ctx, const OfAct *a) noexcept nogil:
    cdef const OfActMove *act = <const OfActMove *>a
    if not field_prereqs_met(act.src, &ctx.key, &ctx.reads) or not field_prereqs_met(act.dst, &ctx.key, &ctx.reads):
        return False
    field_mark_bits(&ctx.reads, act.src, act.src_low, act.n_bits)
    write_field(ctx, act.dst)
    field_move(&ctx.key, act.dst, act.dst_low, act.src, act.src_low, act.n_bits)
    field_mark_bits(&ctx.det, act.dst, act.dst_low, act.n_bits)
    settle(ctx, act.dst)
    report_value(ctx, act.dst, act.dst_low, act.n_bits)
    return False


cdef bint stack_push(XlateContext *ctx, const OfAct *a) noexcept nogil:
    cdef const OfActStack *act = <const OfActStack *>a
    cdef uint64_t *value
    cdef uint32_t done = 0
    if ctx.stack.n >= STACK_MAX:
        ctx.error = DROP_STACK_TOO_DEEP
        note_drop(ctx, DROP_STACK_TOO_DEEP)
        report_note(ctx, NOTE_STACK_FULL, 0, 0)
        return True
    value = <uint64_t *>grow_add(&ctx.stack, STACK_WORDS * 8, 1)
    if value == NULL:
        ctx.error = DROP_OUT_OF_MEMORY
        return True
    field_mark_bits(&ctx.reads, act.field, act.low, act.n_bits)
    while done < act.n_bits:
        value[done // WORD_BITS] = field_bits(&ctx.key, act.field, act.low + done, min(<uint32_t>WORD_BITS,
            act.n_bits - done))
        done += WORD_BITS
    return False


cdef bint stack_pop(XlateContext *ctx, const OfAct *a) noexcept nogil:
    cdef const OfActStack *act = <const OfActStack *>a
    cdef const uint64_t *value
    cdef uint32_t done = 0
    if ctx.stack.n <= ctx.stack_base:
        report_note(ctx, NOTE_STACK_UNDERFLOW, 0, 0)
        return False
    ctx.stack.n -= 1
    value = <const uint64_t *>(ctx.stack.data + <size_t>ctx.stack.n * STACK_WORDS * 8)
    if not field_prereqs_met(act.field, &ctx.key, &ctx.reads):
        return False
    write_field(ctx, act.field)
    while done < act.n_bits:
        field_put_bits(&ctx.key, act.field, act.low + done, min(<uint32_t>WORD_BITS, act.n_bits - done),
            value[done // WORD_BITS])
        done += WORD_BITS
    field_mark_bits(&ctx.det, act.field, act.low, act.n_bits)
    settle(ctx, act.field)
    report_value(ctx, act.field, act.low, act.n_bits)
    return False


# -- VLAN

cdef bint set_vlan(XlateContext *ctx, const OfAct *a, uint16_t bits, uint16_t mask) noexcept nogil:
    ctx.reads.pkt.vlan_tci |= htobe16(VLAN_PRESENT)
    if ctx.key.pkt.vlan_tci & htobe16(VLAN_PRESENT) or a.flags & OFACT_F_PUSH_VLAN:
        vlan_set(ctx, bits | VLAN_PRESENT, mask | VLAN_PRESENT)
    return False


cdef bint set_vlan_vid(XlateContext *ctx, const OfAct *a) noexcept nogil:
    return set_vlan(ctx, a, (<const OfActValue *>a).value & 0xfff, 0xfff)


cdef bint set_vlan_pcp(XlateContext *ctx, const OfAct *a) noexcept nogil:
    return set_vlan(ctx, a, <uint16_t>(((<const OfActValue *>a).value & 7) << 13), 0xe000)


cdef bint strip_vlan(XlateContext *ctx, const OfAct *a) noexcept nogil:
    vlan_pop(ctx)
    return False


cdef bint push_vlan(XlateContext *ctx, const OfAct *a) noexcept nogil:
    vlan_push(ctx, <uint16_t>(<const OfActValue *>a).value, VLAN_PRESENT)
    return False


# -- addresses

cdef bint set_eth_src(XlateContext *ctx, const OfAct *a) noexcept nogil:
    write_slot(ctx, SLOT_ETH_SRC, OFS_ETH_SRC, 6)
    memcpy(&ctx.key.pkt.eth_src[0], &(<const OfActMac *>a).mac[0], 6)
    return False


cdef bint set_eth_dst(XlateContext *ctx, const OfAct *a) noexcept nogil:
    write_slot(ctx, SLOT_ETH_DST, OFS_ETH_DST, 6)
    memcpy(&ctx.key.pkt.eth_dst[0], &(<const OfActMac *>a).mac[0], 6)
    return False


cdef bint set_ipv4_src(XlateContext *ctx, const OfAct *a) noexcept nogil:
    if ctx.key.pkt.eth_type == htobe16(ETH_IPV4):
        write_slot(ctx, SLOT_IP_SRC, OFS_IP_SRC, 4)
        ctx.key.pkt.ip_src = htobe32((<const OfActValue *>a).value)
    return False


cdef bint set_ipv4_dst(XlateContext *ctx, const OfAct *a) noexcept nogil:
    if ctx.key.pkt.eth_type == htobe16(ETH_IPV4):
        write_slot(ctx, SLOT_IP_DST, OFS_IP_DST, 4)
        ctx.key.pkt.ip_dst = htobe32((<const OfActValue *>a).value)
    return False


# -- single bytes and ports of IP; the Ethernet type is always matched

cdef inline bint is_ip(const XlateContext *ctx) noexcept nogil:
    return ctx.key.pkt.eth_type == htobe16(ETH_IPV4) or ctx.key.pkt.eth_type == htobe16(ETH_IPV6)


cdef bint set_tos(XlateContext *ctx, const OfAct *a, uint8_t mask) noexcept nogil:
    if is_ip(ctx):
        fold(ctx, OFS_NW_TOS, 1)
        touch(ctx, SLOT_NW_TOS)
        ctx.key.pkt.nw_tos = (ctx.key.pkt.nw_tos & ~mask) | (<uint8_t>(<const OfActValue *>a).value & mask)
        ctx.det.pkt.nw_tos |= mask
    return False


cdef bint set_ip_dscp(XlateContext *ctx, const OfAct *a) noexcept nogil:
    return set_tos(ctx, a, 0xfc)


cdef bint set_ip_ecn(XlateContext *ctx, const OfAct *a) noexcept nogil:
    return set_tos(ctx, a, 0x03)


cdef bint set_ip_ttl(XlateContext *ctx, const OfAct *a) noexcept nogil:
    if is_ip(ctx):
        write_slot(ctx, SLOT_NW_TTL, OFS_NW_TTL, 1)
        ctx.key.pkt.nw_ttl = <uint8_t>(<const OfActValue *>a).value
    return False


cdef bint has_l4_ports(XlateContext *ctx) noexcept nogil:
    cdef uint8_t proto = ctx.key.pkt.nw_proto
    if not is_ip(ctx) or ctx.key.pkt.nw_frag & FRAG_LATER:
        return False
    read_bytes(ctx, OFS_NW_PROTO, 1)
    return proto == IP_TCP or proto == IP_UDP or proto == IP_SCTP


cdef bint set_l4_src(XlateContext *ctx, const OfAct *a) noexcept nogil:
    if has_l4_ports(ctx):
        write_slot(ctx, SLOT_TP_SRC, OFS_TP_SRC, 2)
        ctx.key.pkt.tp_src = htobe16(<uint16_t>(<const OfActValue *>a).value)
    return False


cdef bint set_l4_dst(XlateContext *ctx, const OfAct *a) noexcept nogil:
    if has_l4_ports(ctx):
        write_slot(ctx, SLOT_TP_DST, OFS_TP_DST, 2)
        ctx.key.pkt.tp_dst = htobe16(<uint16_t>(<const OfActValue *>a).value)
    return False


# -- metadata

cdef bint set_tunnel(XlateContext *ctx, const OfAct *a) noexcept nogil:
    write_slot(ctx, SLOT_TUN_ID, OFS_TUN_ID, 8)
    ctx.key.pkt.tun_id = htobe64((<const OfActValue64 *>a).value)
    return False


cdef bint set_queue(XlateContext *ctx, const OfAct *a) noexcept nogil:
    write_slot(ctx, SLOT_SKB_PRIORITY, OFS_SKB_PRIORITY, 4)
    ctx.key.pkt.skb_priority = htobe32((<const OfActValue *>a).value)
    return False


cdef bint pop_queue(XlateContext *ctx, const OfAct *a) noexcept nogil:
    write_slot(ctx, SLOT_SKB_PRIORITY, OFS_SKB_PRIORITY, 4)
    ctx.key.pkt.skb_priority = ctx.skb_priority_be
    ctx.det.pkt.skb_priority = 0
    report_note(ctx, NOTE_QUEUE, be32toh(ctx.key.pkt.skb_priority), 0)
    return False


cdef void add_rewrite_steps(StepFn *steps) noexcept:
    steps[<int>OFACT_SET_FIELD], steps[<int>OFACT_MOVE] = set_field, move
    steps[<int>OFACT_STACK_PUSH], steps[<int>OFACT_STACK_POP] = stack_push, stack_pop
    steps[<int>OFACT_SET_VLAN_VID], steps[<int>OFACT_SET_VLAN_PCP] = set_vlan_vid, set_vlan_pcp
    steps[<int>OFACT_STRIP_VLAN], steps[<int>OFACT_PUSH_VLAN] = strip_vlan, push_vlan
    steps[<int>OFACT_SET_ETH_SRC], steps[<int>OFACT_SET_ETH_DST] = set_eth_src, set_eth_dst
    steps[<int>OFACT_SET_IPV4_SRC], steps[<int>OFACT_SET_IPV4_DST] = set_ipv4_src, set_ipv4_dst
    steps[<int>OFACT_SET_IP_DSCP], steps[<int>OFACT_SET_IP_ECN] = set_ip_dscp, set_ip_ecn
    steps[<int>OFACT_SET_IP_TTL] = set_ip_ttl
    steps[<int>OFACT_SET_L4_SRC], steps[<int>OFACT_SET_L4_DST] = set_l4_src, set_l4_dst
    steps[<int>OFACT_SET_TUNNEL] = set_tunnel
    steps[<int>OFACT_SET_QUEUE], steps[<int>OFACT_POP_QUEUE] = set_queue, pop_queue
