"""Continue in a flow table: see resubmit.pxd."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

from datapath.bytes cimport be32toh
from datapath.drops cimport (
    DROP_EXPLICIT_DROP, DROP_INVALID_ACTION, DROP_RECURSION_TOO_DEEP, DROP_TABLE_MISS, DROP_TOO_MANY_RESUBMITS,
)
from datapath.headers cimport FRAG_ANY
from ofproto.credits cimport CREDIT_MISS, CREDIT_RULE, CreditItem, PUNT_NO_MATCH
from ofproto.of_number cimport COOKIE_NONE
from ofproto.rule cimport Rule, Table, TRAIL_MAX, Trail, rule_ref, table_lookup
from ofproto.switch cimport N_TABLES, OfPort, PORT_NO_PACKET_IN, bridge_port, place_tag, rules_tag, table_tag
from ofproto.xlate.apply cimport apply_list
from ofproto.xlate.context cimport DEPTH_MAX, RESUBMITS_MAX, XlateContext, add_credit, depend, note_drop
from ofproto.xlate.normal cimport normal
from ofproto.xlate.output cimport punt
from ofproto.xlate.record cimport (
    NOTE_FRAGMENT, NOTE_NO_MATCH, NOTE_NONE, NOTE_PACKET_IN, NOTE_STANDALONE, NOTE_TOO_DEEP, NOTE_TOO_MANY_RESUBMITS,
)
from ofproto.xlate.report cimport report_action, report_close, report_note, report_table

cdef enum:
    FRAGS_NORMAL = 0           # OFPC_FRAG_NORMAL: fragments are matched as if they had no ports
    FRAGS_DROP = 1
    PLACE_TAGS_MAX = 40        # tags of a translation; what would be more depends on whole tables (figures in tags.pxd)


cdef void depend_on_rules(XlateContext *ctx, const Trail *trail) noexcept nogil:
    """Note which places of the current table the look-up asked; too many count as all."""
    cdef uint32_t i
    if trail.n > TRAIL_MAX or ctx.n_tags + trail.n > PLACE_TAGS_MAX:
        depend(ctx, rules_tag(ctx.bridge, ctx.table_id))
        return
    for i in range(trail.n):
        depend(ctx, place_tag(ctx.bridge, ctx.table_id, trail.places[i]))


cdef Rule *look_up(XlateContext *ctx, const Table *table, uint32_t in_port_be) noexcept nogil:
    """The rule for the packet as if it came in by in_port_be."""
    cdef uint32_t in_port = ctx.key.pkt.in_port
    cdef uint16_t tp_src = ctx.key.pkt.tp_src
    cdef uint16_t tp_dst = ctx.key.pkt.tp_dst
    cdef Rule *rule
    cdef Trail trail
    ctx.key.pkt.in_port = in_port_be
    if ctx.key.pkt.nw_frag & FRAG_ANY and ctx.bridge.frag_mode == FRAGS_NORMAL:
        ctx.key.pkt.tp_src = ctx.key.pkt.tp_dst = 0        # nw_frag is always matched, so this depends on nothing else
    rule = table_lookup(table, &ctx.key, ctx.version, &ctx.reads, &trail)
    depend_on_rules(ctx, &trail)
    ctx.key.pkt.in_port, ctx.key.pkt.tp_src, ctx.key.pkt.tp_dst = in_port, tp_src, tp_dst
    return rule


cdef void miss(XlateContext *ctx, uint32_t table_id, uint32_t in_port_be, bint honour_miss) noexcept nogil:
    cdef OfPort *port = bridge_port(ctx.bridge, be32toh(in_port_be))
    add_credit(ctx, CREDIT_MISS, table_id)
    note_drop(ctx, DROP_TABLE_MISS)
    if honour_miss and ctx.bridge.standalone_normal and table_id == 0:
        report_table(ctx, table_id, NULL, NOTE_STANDALONE)
        normal(ctx)
    elif honour_miss and ctx.bridge.miss_punt and (port == NULL or not port.config & PORT_NO_PACKET_IN):
        report_table(ctx, table_id, NULL, NOTE_PACKET_IN)
        punt(ctx, PUNT_NO_MATCH, 0, 0xffff, <uint64_t>COOKIE_NONE)
    else:
        report_table(ctx, table_id, NULL, NOTE_NO_MATCH)
        report_action(ctx, NULL)
    report_close(ctx)


cdef void run_rule(XlateContext *ctx, Rule *rule, bint deepens) noexcept nogil:
    cdef CreditItem *item = add_credit(ctx, CREDIT_RULE, ctx.table_id)
    cdef uint64_t cookie = ctx.cookie
    cdef bint miss_rule = ctx.miss_rule
    if item == NULL:
        return
    rule_ref(rule)
    item.rule = rule
    report_table(ctx, ctx.table_id, rule, NOTE_NONE)
    ctx.cookie = rule.cookie
    ctx.miss_rule = rule.priority == 0 and rule.subtable.shape.n == 0
    ctx.depth += deepens
    apply_list(ctx, rule.acts, rule.acts_length)
    ctx.depth -= deepens
    report_close(ctx)
    ctx.cookie, ctx.miss_rule = cookie, miss_rule


cdef bint may_go_on(XlateContext *ctx, uint32_t table_id) noexcept nogil:
    if ctx.depth > DEPTH_MAX:          # the first table counts as one
        ctx.error = DROP_RECURSION_TOO_DEEP
        note_drop(ctx, DROP_RECURSION_TOO_DEEP)
        report_note(ctx, NOTE_TOO_DEEP, 0, 0)
    elif ctx.resubmits > RESUBMITS_MAX:
        ctx.error = DROP_TOO_MANY_RESUBMITS
        note_drop(ctx, DROP_TOO_MANY_RESUBMITS)
        report_note(ctx, NOTE_TOO_MANY_RESUBMITS, 0, 0)
    elif table_id >= N_TABLES:
        note_drop(ctx, DROP_INVALID_ACTION)
        return False
    return not ctx.error


cdef void run_table(XlateContext *ctx, uint32_t table_id, uint32_t in_port_be, bint honour_miss) noexcept nogil:
    cdef uint32_t before = ctx.table_id
    cdef Rule *rule = NULL
    if not may_go_on(ctx, table_id):
        return
    ctx.resubmits += 1
    ctx.table_id = table_id
    depend(ctx, table_tag(ctx.bridge, table_id))
    if ctx.key.pkt.nw_frag & FRAG_ANY and ctx.bridge.frag_mode == FRAGS_DROP:
        note_drop(ctx, DROP_EXPLICIT_DROP)
        report_table(ctx, table_id, NULL, NOTE_FRAGMENT)
        report_action(ctx, NULL)
        report_close(ctx)
        ctx.table_id = before
        return
    if ctx.bridge.tables[table_id] != NULL:
        rule = look_up(ctx, ctx.bridge.tables[table_id], in_port_be)
    if rule != NULL:
        run_rule(ctx, rule, table_id <= before)
    else:
        miss(ctx, table_id, in_port_be, honour_miss)
    ctx.table_id = before
