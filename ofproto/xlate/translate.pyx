"""The miss function: see translate.pxd.

Learning happens between translation and output, because the answer to this very packet may arrive before any other
thread has run. It takes the write lock only when there is news; an address that is known where it is costs nothing.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from datapath.act cimport ACT_PUNT, ActOp, act_drop
from datapath.bytes cimport be32toh, htobe16, htobe32
from datapath.drops cimport DROP_MISS_NO_BRIDGE, DROP_NONE, DROP_OUT_OF_MEMORY, DROP_TOO_MANY_ACTIONS
from datapath.flow_key cimport (
    FlowKey, KEY_PACKET_WORDS, KEY_WORDS, OFS_ETH_TYPE, OFS_NW_FRAG, OFS_PACKET_TYPE, OFS_RECIRC_ID, PacketKey,
)
from datapath.headers cimport ETH_IPV4, ETH_IPV6, VLAN_PRESENT
from datapath.packet cimport Packet
from datapath.ports.port cimport PORTS_MAX
from datapath.upcall cimport Translation
from ofproto.credits cimport (
    CREDIT_DROP, CREDIT_RULE, CreditItem, PUNT_ACTION, PUNT_EXPLICIT_MISS, PuntInfo, credit_make,
)
from ofproto.l2.mac_table cimport mac_learn
from ofproto.of_number cimport COOKIE_NONE, OFPP_UNSET
from ofproto.rule cimport rule_unref
from ofproto.switch cimport (
    Bridge, Edit, OfPort, bridge_port, bridge_tag, switch_bridge, switch_edit_begin, switch_edit_end, switch_read_lock,
    switch_unlock,
)
from ofproto.tags cimport tags_hold
from ofproto.xlate.apply cimport apply_list
from ofproto.xlate.context cimport (
    Learn, XlateContext, add_credit, context_start, cookie_of_first, depend, fold_all, read_bytes,
)
from ofproto.xlate.emit cimport may_receive
from ofproto.xlate.record cimport EVENT_BRIDGE
from ofproto.xlate.report cimport report_close, report_open

cdef enum:
    NO_TABLE = 0xff


# -- start

cdef void load_key(XlateContext *ctx, const PacketKey *key, uint32_t in_port) noexcept nogil:
    """Fill in the key with an OpenFlow input port, and read what Open vSwitch reads of every packet."""
    memcpy(&ctx.key, key, sizeof(PacketKey))
    memset(<uint64_t *>&ctx.key + KEY_PACKET_WORDS, 0, (KEY_WORDS - KEY_PACKET_WORDS) * 8)
    ctx.key.actset_output = htobe32(<uint32_t>OFPP_UNSET)
    ctx.key.pkt.in_port = htobe32(in_port)
    ctx.det.pkt.in_port = <uint32_t>0xffffffff
    ctx.skb_priority_be = key.skb_priority
    ctx.base = ctx.key
    read_bytes(ctx, OFS_RECIRC_ID, 4)
    read_bytes(ctx, OFS_PACKET_TYPE, 4)
    read_bytes(ctx, OFS_ETH_TYPE, 2)
    if key.eth_type == htobe16(ETH_IPV4) or key.eth_type == htobe16(ETH_IPV6):
        read_bytes(ctx, OFS_NW_FRAG, 1)


cdef int run_received(XlateContext *ctx, const PacketKey *key) noexcept nogil:
    cdef uint32_t dp_port = be32toh(key.in_port)
    cdef OfPort *port = ctx.sw.by_dp_port[dp_port] if dp_port < PORTS_MAX else NULL
    if port == NULL:
        return DROP_MISS_NO_BRIDGE
    ctx.bridge = port.bridge
    depend(ctx, bridge_tag(port.bridge))
    load_key(ctx, key, port.number)
    if may_receive(ctx, port):
        ctx.run_table(ctx, 0, ctx.key.pkt.in_port, True)
        ctx.cookie = cookie_of_first(ctx, 0)
        ctx.run_set(ctx)
    return 0


cdef int run_packet_out(XlateContext *ctx, const PacketKey *key, const PacketOutJob *job) noexcept nogil:
    ctx.bridge = switch_bridge(ctx.sw, job.bridge_id)
    if ctx.bridge == NULL:
        return DROP_MISS_NO_BRIDGE
    depend(ctx, bridge_tag(ctx.bridge))
    load_key(ctx, key, job.in_port)
    ctx.in_packet_out = True
    ctx.cookie = <uint64_t>COOKIE_NONE
    apply_list(ctx, job.acts, job.acts_length)
    ctx.run_set(ctx)
    return 0


cdef int run_traced(XlateContext *ctx) noexcept nogil:
    """As run_received, but by OpenFlow port, which need not be one, and from values of the pipeline."""
    cdef uint32_t number = ctx.record.in_port
    cdef OfPort *port
    ctx.bridge = switch_bridge(ctx.sw, ctx.record.bridge_id)
    if ctx.bridge == NULL:
        return DROP_MISS_NO_BRIDGE
    depend(ctx, bridge_tag(ctx.bridge))
    load_key(ctx, &ctx.record.start.pkt, number)
    memcpy(<uint64_t *>&ctx.key + KEY_PACKET_WORDS, <const uint64_t *>&ctx.record.start + KEY_PACKET_WORDS,
        (KEY_WORDS - KEY_PACKET_WORDS) * 8)
    ctx.key.actset_output = htobe32(<uint32_t>OFPP_UNSET)
    ctx.base = ctx.key
    report_open(ctx, EVENT_BRIDGE)
    port = bridge_port(ctx.bridge, number)
    if port == NULL or may_receive(ctx, port):
        ctx.run_table(ctx, 0, ctx.key.pkt.in_port, True)
        ctx.cookie = cookie_of_first(ctx, 0)
        ctx.run_set(ctx)
    report_close(ctx)
    return 0


# -- result

cdef void put_mask(XlateContext *ctx, Translation *out) noexcept nogil:
    cdef FlowKey *mask = &ctx.mask
    fold_all(ctx)
    mask.pkt.in_port = mask.pkt.recirc_id = <uint32_t>0xffffffff
    if mask.pkt.vlan_tci:
        mask.pkt.vlan_tci |= htobe16(VLAN_PRESENT)               # without the present bit a tag's contents mean nothing
    if mask.pkt.vlan2_tci:
        mask.pkt.vlan2_tci |= htobe16(VLAN_PRESENT)
        mask.pkt.vlan_tci |= htobe16(VLAN_PRESENT)
    memcpy(&out.mask[0], mask, KEY_PACKET_WORDS * 8)


cdef void put_drop(XlateContext *ctx, Translation *out, uint32_t reason) noexcept nogil:
    """Make it a program that drops, counted where the last thing happened that kept the packet from going out."""
    cdef CreditItem *item = add_credit(ctx, CREDIT_DROP, ctx.reason_table)
    if item != NULL:
        item.port = reason
        if ctx.reason_bridge:
            item.bridge_id = ctx.reason_bridge
    out.acts.n = 0
    out.acts.overflow = False
    out.drop_reason = reason
    act_drop(&out.acts, reason, ctx.reason_table)


cdef void release_rules(XlateContext *ctx) noexcept nogil:
    cdef CreditItem *items = <CreditItem *>ctx.credits.data
    cdef uint32_t i
    for i in range(ctx.credits.n):
        if items[i].kind == CREDIT_RULE and items[i].rule != NULL:
            rule_unref(items[i].rule)
    ctx.credits.n = 0


cdef void describe_punt(ActOp *op, const PuntInfo *info) noexcept nogil:
    """Say in the op what dumps print of a controller action (datapath/act.pxd)."""
    op.aux = PUNT_ACTION if info.reason == PUNT_EXPLICIT_MISS else info.reason
    op.arg = <uint32_t>info.controller_id << 16 | info.max_len
    memcpy(&op.mask[0], &info.cookie, 8)


cdef int put_owner(XlateContext *ctx, Translation *out) noexcept nogil:
    """Hand out the credit list, and point the program's punts into it."""
    cdef uint32_t i
    cdef uint64_t index
    cdef PuntInfo *info
    from_credit = credit_make(<CreditItem *>ctx.credits.data, ctx.credits.n, <PuntInfo *>ctx.punts.data, ctx.punts.n)
    if from_credit == NULL:
        release_rules(ctx)
        return DROP_OUT_OF_MEMORY
    for i in range(out.acts.n):
        if out.acts.ops[i].kind == ACT_PUNT:
            memcpy(&index, &out.acts.ops[i].value[0], 8)
            info = from_credit.punts + index
            memcpy(&out.acts.ops[i].value[0], &info, 8)
            describe_punt(&out.acts.ops[i], info)
    out.owner = from_credit
    return 0


cdef int put_result(XlateContext *ctx, Translation *out) noexcept nogil:
    out.tags, out.version, out.cacheable, out.drop_reason, out.owner = ctx.tags, ctx.version, True, DROP_NONE, NULL
    put_mask(ctx, out)
    if ctx.error:
        put_drop(ctx, out, ctx.error)
    elif out.acts.overflow:
        put_drop(ctx, out, DROP_TOO_MANY_ACTIONS)
    elif ctx.n_outputs == 0:
        put_drop(ctx, out, ctx.reason)
    return put_owner(ctx, out)


# -- learning

cdef void learn_all(XlateContext *ctx) noexcept nogil:
    cdef Learn *news = <Learn *>ctx.learns.data
    cdef Bridge *bridge
    cdef OfPort *port
    cdef uint32_t i
    for i in range(ctx.learns.n):
        bridge = switch_bridge(ctx.sw, news[i].bridge_id)
        port = bridge_port(bridge, news[i].port) if bridge != NULL else NULL
        if port != NULL:
            mac_learn(bridge, port, &news[i].mac[0], news[i].vlan, ctx.now_ns, news[i].grat_arp, False)


cdef bint asked_before(const XlateContext *ctx) noexcept nogil:
    """Whether the translation looked up a destination that the edit under way touches."""
    cdef const Edit *edit = &ctx.sw.edit
    cdef uint32_t i
    for i in range(edit.n):
        if tags_hold(&ctx.dst_tags, edit.tags[i]):
            return True
    return edit.many


cdef void apply_learning(XlateContext *ctx, Translation *out) noexcept nogil:
    """Apply and publish.

    If nothing else was published since, the result is already that of the new version, unless the packet itself asked
    for an address before it showed it (or before learning evicted it).
    """
    cdef uint64_t version = switch_edit_begin(ctx.sw)
    learn_all(ctx)
    if ctx.sw.edit.n != 0 and version == ctx.version + 1 and not asked_before(ctx):
        out.version = version
    switch_edit_end(ctx.sw)


cdef int translate(XlateContext *ctx, const PacketKey *key, Packet *pkt, uint64_t version, int64_t now_ns,
        const PacketOutJob *job, Translation *out) noexcept nogil:
    cdef int failed = 0
    context_start(ctx, &out.acts, version, now_ns)
    ctx.side_effects = pkt != NULL
    switch_read_lock(ctx.sw)
    if ctx.record != NULL:
        failed = run_traced(ctx)
    elif job == NULL:
        failed = run_received(ctx, key)
    else:
        failed = run_packet_out(ctx, key, job)
    if not failed:
        failed = put_result(ctx, out)
    switch_unlock(ctx.sw)
    if not failed and ctx.learns.n:
        apply_learning(ctx, out)
    return failed
