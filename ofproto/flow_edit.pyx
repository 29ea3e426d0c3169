"""The meaning of flow-mods (OF.03 to OF.06), as Open vSwitch 3.1 has it where OpenFlow leaves a choice:

- An add over the same match and priority inherits the counters unless RESET_COUNTS (which OpenFlow 1.0 implies) and
  always the time of last use.
- A modify keeps times, time-outs, flags and cookie of the rule; hard time-outs count from the modify. In OpenFlow 1.0
  it adds if nothing matches.
- CHECK_OVERLAP does not look at the rule that is replaced. Replacing is silent; only a removal tells controllers.
- Table 254 and rules of priorities above 65535 are the switch's own.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from ofproto.expiry cimport (
    OFPRR_DELETE, expiry_add, expiry_free, expiry_gone, expiry_reserve, rule_expires, rules_push, rules_release,
    rules_reserve,
)
from ofproto.fetch_ahead cimport fetch_ahead
from ofproto.flow_mod cimport (
    FLOW_CHECK_OVERLAP, FLOW_RESET_COUNTS, FLOW_SEND_FLOW_REM, FM_ADD, FM_DELETE, FM_DELETE_STRICT, FM_MODIFY,
    FM_MODIFY_STRICT, flow_mod_decode,
)
from ofproto.of_error cimport (
    OFPBRC_BUFFER_UNKNOWN, OFPBRC_EPERM, OFPFMFC_BAD_TABLE_ID, OFPFMFC_OVERLAP, OFPFMFC_TABLE_FULL,
)
from ofproto.of_number cimport COOKIE_NONE, OFPG_ANY, OFPP_ANY, OFPP_CONTROLLER, TABLE_ALL
from ofproto.ofact cimport (
    OFACT_CONTROLLER, OFACT_ENQUEUE, OFACT_OUTPUT, OFACT_WRITE_ACTIONS, OfAct, OfActEnqueue, OfActNested, OfActOutput,
    ofact_next,
)
from ofproto.rule cimport (
    INSERT_REORDERS, PLACES_MAX, VERSION_FOREVER, VERSION_PENDING, mask_shape, rule_match, rule_new, rule_places,
    rule_ref, rule_replace, rule_unref, table_each,
    table_find_shaped, table_insert_shaped, table_new, table_overlaps, table_remove, table_take_back,
)
from ofproto.switch cimport (
    EDIT_TAGS, TABLE_HIDDEN, place_tag, rules_tag, switch_edit_begin, switch_edit_end, table_tag, touch,
)

cdef uint32_t NO_BUFFER = 0xffffffff


# --- which rules ------------------------------------------------------------------------------------------------------

cdef bint acts_output_to(const uint8_t *acts, uint32_t length, uint32_t port) noexcept nogil:
    """Whether a list, or a list of write-actions within it, names the port in output, enqueue or (port CONTROLLER)
    controller.
    """
    cdef const OfAct *act = <const OfAct *>acts
    cdef const OfAct *end = <const OfAct *>(acts + length)
    while act < end:
        if act.kind == OFACT_OUTPUT and (<const OfActOutput *>act).port == port:
            return True
        if act.kind == OFACT_ENQUEUE and (<const OfActEnqueue *>act).port == port:
            return True
        if act.kind == OFACT_CONTROLLER and port == OFPP_CONTROLLER:
            return True
        if act.kind == OFACT_WRITE_ACTIONS:                # its own list follows its header: walk on inside
            act = <const OfAct *>(<const uint8_t *>act + sizeof(OfActNested))
            continue
        act = ofact_next(act)
    return False


cdef bint meets(const Rule *rule, const Criteria *which) noexcept nogil:
    """The criteria beyond match and table."""
    return (rule.priority <= PRIORITY_MAX
            and ((rule.cookie ^ which.cookie) & which.cookie_mask) == 0
            and which.out_group == OFPG_ANY                # no action of ours names a group
            and (which.out_port == OFPP_ANY or acts_output_to(rule.acts, rule.acts_length, which.out_port)))


cdef struct Gather:
    const Criteria *which
    RuleList *out
    bint hold


cdef int gather(void *arg, Rule *rule) noexcept nogil:
    cdef Gather *g = <Gather *>arg
    if not meets(rule, g.which):
        return 0
    if rules_push(g.out, rule) < 0:
        return -1
    if g.hold:
        rule_ref(rule)
    return 0


cdef inline uint32_t first_table(uint8_t table_id) noexcept nogil:
    return 0 if table_id == TABLE_ALL else table_id


cdef inline uint32_t end_table(uint8_t table_id) noexcept nogil:
    return TABLE_HIDDEN if table_id == TABLE_ALL else table_id + 1


cdef int rules_meeting(Bridge *bridge, const Criteria *which, uint64_t version, RuleList *out,
                       bint hold) noexcept nogil:
    cdef Gather g
    cdef uint32_t i
    g.which = which
    g.out = out
    g.hold = hold
    for i in range(first_table(which.table_id), end_table(which.table_id)):
        if bridge.tables[i] != NULL and table_each(bridge.tables[i], &which.shape, which.value, version, gather,
                                                   &g) < 0:
            return -1
    return 0


cdef int rules_exactly(FlowEditor *ed, const Criteria *which, uint32_t priority) noexcept nogil:
    """Fill ed.found with the rules of exactly this match and priority; 0, -1 without memory."""
    cdef uint32_t i
    cdef Rule *rule
    for i in range(first_table(which.table_id), end_table(which.table_id)):
        if ed.bridge.tables[i] == NULL:
            continue
        rule = table_find_shaped(ed.bridge.tables[i], &which.shape, which.value, priority, ed.version)
        if rule != NULL and meets(rule, which) and rules_push(&ed.found, rule) < 0:
            return -1
    return 0


cdef int find(FlowEditor *ed, FlowOp *op, bint strict) noexcept nogil:
    ed.found.n = 0
    if strict:
        return rules_exactly(ed, &op.which, op.fm.priority)
    return rules_meeting(ed.bridge, &op.which, ed.version, &ed.found, False)


# --- the journal of a bundle ------------------------------------------------------------------------------------------

cdef int journal_reserve(Journal *journal, uint32_t extra) noexcept nogil:
    """0, -1 without memory."""
    cdef uint32_t capacity = journal.capacity
    cdef void *grown
    if journal.n + extra <= capacity:
        return 0
    capacity = max(2 * capacity + 64, journal.n + extra)
    grown = realloc(journal.items, capacity * sizeof(Change))
    if grown == NULL:
        return -1
    journal.items = <Change *>grown
    journal.capacity = capacity
    return 0


cdef int room_for(FlowEditor *ed, uint32_t n) noexcept nogil:
    """Make sure that `n` more rules can be put in: 0, -1 without memory."""
    if ed.bundling and journal_reserve(&ed.journal, n) < 0:
        return -1
    return expiry_reserve(&ed.expiry, ed.journal.n_expiring + n)


cdef void journal_note(FlowEditor *ed, Rule *old, Rule *fresh, bint keep_counts) noexcept nogil:
    """Note a change, for which there is room; the bundle itself sees it from now on."""
    cdef Change *change = &ed.journal.items[ed.journal.n]
    ed.journal.n += 1
    change.old = old
    change.fresh = fresh
    change.keep_counts = keep_counts
    if old != NULL:
        old.remove_version = VERSION_PENDING
    if fresh != NULL and rule_expires(fresh):
        ed.journal.n_expiring += 1


# --- single changes ---------------------------------------------------------------------------------------------------

cdef void touch_rule(const Bridge *bridge, const Rule *rule) noexcept nogil:
    """Name where look-ups are that this rule concerns; its whole table once the edit names too much."""
    cdef uint64_t[PLACES_MAX] places
    cdef uint32_t i, n
    if bridge.sw.edit.n > EDIT_TAGS // 2:
        touch(bridge, table_tag(bridge, rule.table_id))
        return
    touch(bridge, rules_tag(bridge, rule.table_id))
    n = rule_places(rule, places)
    for i in range(n):
        touch(bridge, place_tag(bridge, rule.table_id, places[i]))


cdef void put_in(FlowEditor *ed, Rule *old, Rule *rule, bint keep_counts) noexcept nogil:
    """After `rule` went into its table: start its life, and end that of the rule it replaces, if any. There is room in
    the heap.
    """
    rule.add_version = ed.version
    rule.modified_ns = ed.now_ns
    if ed.bundling:
        journal_note(ed, old, rule, keep_counts)
        return
    if old == NULL:
        rule.used_ns = ed.now_ns
    else:
        take_out(ed, old, True)
        rule_replace(old, rule, keep_counts)
    if rule_expires(rule):
        expiry_add(&ed.expiry, rule)
    touch_rule(ed.bridge, rule)


cdef void take_out(FlowEditor *ed, Rule *rule, bint in_heap) noexcept nogil:
    """Make a rule invisible. The dead queue of its table holds the reference from now on."""
    cdef Table *table = ed.bridge.tables[rule.table_id]
    table_remove(table, rule, ed.version)
    if in_heap and rule_expires(rule):
        expiry_gone(&ed.expiry)
    if rule.priority > PRIORITY_MAX:
        ed.n_hidden[rule.table_id] -= 1
    touch_rule(ed.bridge, rule)


cdef void reordered(FlowEditor *ed, uint8_t table_id) noexcept nogil:
    """Take note that look-ups in a table ask its masks in another order, or one more."""
    if ed.bundling:
        ed.journal.reordered[table_id] = True
    else:
        touch(ed.bridge, table_tag(ed.bridge, table_id))


cdef void remove_and_tell(FlowEditor *ed, Rule *rule, bint in_heap) noexcept nogil:
    if ed.bundling:
        journal_note(ed, rule, NULL, False)
        return
    take_out(ed, rule, in_heap)
    # Without memory for it the message is lost, not the removal.
    if rule.flags & FLOW_SEND_FLOW_REM and rules_push(&ed.told, rule) == 0:
        rule_ref(rule)


cdef Rule *new_rule(const MaskShape *shape, const uint8_t *acts, uint32_t acts_length) noexcept nogil:
    cdef Rule *rule = rule_new(shape, acts_length)
    if rule != NULL and acts_length:
        memcpy(rule.acts, acts, acts_length)
    return rule


cdef Rule *rule_of_mod(FlowOp *op) noexcept nogil:
    cdef Rule *rule = new_rule(&op.which.shape, op.fm.acts.data, op.fm.acts.length)
    if rule == NULL:
        return NULL
    rule.cookie = op.fm.new_cookie
    rule.priority = op.fm.priority
    rule.idle_timeout_s = op.fm.idle_timeout_s
    rule.hard_timeout_s = op.fm.hard_timeout_s
    rule.importance = op.fm.importance
    rule.flags = op.fm.flags
    rule.table_id = 0 if op.fm.table_id == TABLE_ALL else op.fm.table_id
    return rule


# --- commands; each returns 0 or an error -----------------------------------------------------------------------------

cdef uint32_t insert_fresh(FlowEditor *ed, FlowOp *op, Rule *old) noexcept nogil:
    """Put op.fresh into its table, in place of `old` if that is given."""
    cdef Rule *rule = op.fresh
    cdef Table **table = &ed.bridge.tables[rule.table_id]
    cdef int inserted
    if table[0] == NULL:
        table[0] = table_new()
    if table[0] == NULL or room_for(ed, 1) < 0:
        return OFPFMFC_TABLE_FULL
    rule.add_version = ed.version
    rule.created_ns = ed.now_ns
    inserted = table_insert_shaped(table[0], rule, &op.which.shape, op.which.value)
    if inserted < 0:
        return OFPFMFC_TABLE_FULL
    if inserted == INSERT_REORDERS:
        reordered(ed, rule.table_id)
    op.fresh = NULL
    put_in(ed, old, rule, not op.fm.flags & FLOW_RESET_COUNTS)
    return 0


cdef uint32_t run_add(FlowEditor *ed, FlowOp *op) noexcept nogil:
    cdef Table *table
    cdef Rule *old = NULL
    if op.fresh == NULL:
        op.fresh = rule_of_mod(op)
    if op.fresh == NULL:
        return OFPFMFC_TABLE_FULL
    table = ed.bridge.tables[op.fresh.table_id]
    if table != NULL:
        old = table_find_shaped(table, &op.which.shape, op.which.value, op.fm.priority, ed.version)
    if old != NULL and op.fm.new_cookie == COOKIE_NONE:
        op.fresh.cookie = old.cookie
    if (table != NULL and old == NULL and op.fm.flags & FLOW_CHECK_OVERLAP
            and table_overlaps(table, &op.which.shape, op.which.value, op.fm.priority, ed.version)):
        return OFPFMFC_OVERLAP
    return insert_fresh(ed, op, old)


cdef Rule *modified(FlowEditor *ed, FlowOp *op, const Rule *old) noexcept nogil:
    """A copy of `old` with the actions, and perhaps the cookie, of the flow-mod."""
    cdef Rule *rule = new_rule(&old.subtable.shape, op.fm.acts.data, op.fm.acts.length)
    if rule == NULL:
        return NULL
    rule.cookie = op.fm.new_cookie if op.fm.modify_cookie and op.fm.new_cookie != COOKIE_NONE else old.cookie
    rule.priority = old.priority
    rule.idle_timeout_s = old.idle_timeout_s
    rule.hard_timeout_s = old.hard_timeout_s
    rule.importance = old.importance
    rule.flags = old.flags
    rule.table_id = old.table_id
    rule.created_ns = old.created_ns
    rule.add_version = ed.version
    return rule


cdef uint32_t modify_found(FlowEditor *ed, FlowOp *op) noexcept nogil:
    """All or none: the new rules are made before the first is put in."""
    cdef Match match
    cdef Rule *old
    cdef Rule *rule
    cdef uint32_t i
    ed.made.n = 0
    if rules_reserve(&ed.made, ed.found.n) < 0 or room_for(ed, ed.found.n) < 0:
        return OFPFMFC_TABLE_FULL
    for i in range(ed.found.n):
        rule = modified(ed, op, ed.found.items[i])
        if rule == NULL:
            break
        rules_push(&ed.made, rule)
    if ed.made.n < ed.found.n:
        for i in range(ed.made.n):
            rule_unref(ed.made.items[i])
        return OFPFMFC_TABLE_FULL
    for i in range(ed.found.n):
        old = ed.found.items[i]
        rule = ed.made.items[i]
        rule_match(old, &match)
        # Needs no memory that matters: subtable and priority are there already.
        table_insert_shaped(ed.bridge.tables[old.table_id], rule, &old.subtable.shape, &match.value)
        put_in(ed, old, rule, not op.fm.flags & FLOW_RESET_COUNTS)
    return 0


cdef uint32_t run_modify(FlowEditor *ed, FlowOp *op) noexcept nogil:
    if find(ed, op, op.fm.command == FM_MODIFY_STRICT) < 0:
        return OFPFMFC_TABLE_FULL
    if ed.found.n:
        return modify_found(ed, op)
    if op.fm.cookie_mask == 0 and op.fm.new_cookie != COOKIE_NONE:
        return run_add(ed, op)                             # OpenFlow 1.0, 1.1 and NXM only (OF.04)
    return 0


cdef uint32_t run_delete(FlowEditor *ed, FlowOp *op) noexcept nogil:
    cdef uint32_t i
    if find(ed, op, op.fm.command == FM_DELETE_STRICT) < 0:
        return OFPFMFC_TABLE_FULL
    if op.fm.table_id == TABLE_HIDDEN and ed.found.n:
        return OFPBRC_EPERM
    if ed.bundling and journal_reserve(&ed.journal, ed.found.n) < 0:
        return OFPFMFC_TABLE_FULL
    for i in range(ed.found.n):
        ed.found.items[i].reason = OFPRR_DELETE
        remove_and_tell(ed, ed.found.items[i], True)
    return 0


ctypedef uint32_t (*Command)(FlowEditor *ed, FlowOp *op) noexcept nogil

cdef Command[5] COMMANDS
COMMANDS[<int>FM_ADD] = run_add
COMMANDS[<int>FM_MODIFY] = run_modify
COMMANDS[<int>FM_MODIFY_STRICT] = run_modify
COMMANDS[<int>FM_DELETE] = run_delete
COMMANDS[<int>FM_DELETE_STRICT] = run_delete


# --- the way of a flow-mod --------------------------------------------------------------------------------------------

cdef inline bint deletes(const FlowMod *fm) noexcept nogil:
    return fm.command == FM_DELETE or fm.command == FM_DELETE_STRICT


cdef uint32_t op_check(const FlowMod *fm) noexcept nogil:
    """What can be refused without looking at the tables."""
    if deletes(fm):
        return 0
    if fm.table_id == TABLE_HIDDEN:
        return OFPBRC_EPERM
    if fm.match.mask.pkt.dp_hash or fm.match.value.pkt.recirc_id:  # what only the switch itself can know beforehand
        return OFPBRC_EPERM
    if fm.table_id == TABLE_ALL and fm.version != 1:
        return OFPFMFC_BAD_TABLE_ID
    return OFPBRC_BUFFER_UNKNOWN if fm.buffer_id != NO_BUFFER else 0


cdef void op_decode(FlowOp *op, const uint8_t *msg, uint32_t length, bint nxt_table_id) noexcept nogil:
    cdef FlowMod *fm = &op.fm
    op.fresh = NULL
    fm.table_in_command = nxt_table_id
    op.error = flow_mod_decode(msg, length, fm)
    if op.error == 0:
        op.error = op_check(fm)
    if op.error:
        return
    mask_shape(&fm.match.mask, &op.which.shape)
    op.which.value = &fm.match.value
    op.which.cookie = fm.cookie
    op.which.cookie_mask = 0 if fm.command == FM_ADD else fm.cookie_mask
    op.which.out_port = fm.out_port if deletes(fm) else OFPP_ANY
    op.which.out_group = fm.out_group if deletes(fm) else OFPG_ANY
    op.which.table_id = fm.table_id
    if fm.command == FM_ADD:
        op.fresh = rule_of_mod(op)
        op.error = 0 if op.fresh != NULL else OFPFMFC_TABLE_FULL


cdef void edit_begin(FlowEditor *ed) noexcept nogil:
    ed.version = switch_edit_begin(ed.bridge.sw)


cdef void edit_end(FlowEditor *ed) noexcept nogil:
    switch_edit_end(ed.bridge.sw)


cdef void drop_fresh(FlowEditor *ed, uint32_t n_ops) noexcept nogil:
    """Free the rules of adds that failed or were not run."""
    cdef uint32_t i
    for i in range(n_ops):
        rule_unref(ed.ops[i].fresh)
        ed.ops[i].fresh = NULL


cdef void edit_run(FlowEditor *ed, uint32_t n_ops) noexcept nogil:
    cdef FlowOp *op
    cdef uint32_t i
    if n_ops > 1:
        fetch_ahead(ed.bridge, ed.ops, n_ops)
    edit_begin(ed)
    for i in range(n_ops):
        op = &ed.ops[i]
        if op.error == 0:
            op.error = COMMANDS[op.fm.command](ed, op)
    edit_end(ed)
    drop_fresh(ed, n_ops)


# --- bundles ----------------------------------------------------------------------------------------------------------

cdef uint32_t op_refusal(FlowOp *op, const uint8_t *msg, uint32_t length, bint nxt_table_id) noexcept nogil:
    op.fresh = NULL
    op.fm.table_in_command = nxt_table_id
    op.error = flow_mod_decode(msg, length, &op.fm)
    return op.error if op.error else op_check(&op.fm)


cdef void bundle_begin(FlowEditor *ed) noexcept nogil:
    ed.bundling = True
    ed.journal.n = ed.journal.n_expiring = 0
    memset(ed.journal.reordered, 0, sizeof(ed.journal.reordered))


cdef uint32_t bundle_run(FlowEditor *ed, uint32_t n_ops) noexcept nogil:
    cdef FlowOp *op
    cdef uint32_t done = 0
    fetch_ahead(ed.bridge, ed.ops, n_ops)
    edit_begin(ed)
    ed.version = VERSION_PENDING
    while done < n_ops:
        op = &ed.ops[done]
        if op.error == 0:
            op.error = COMMANDS[op.fm.command](ed, op)
        if op.error:
            break
        done += 1
    edit_end(ed)                                           # nothing was touched: publishes nothing
    drop_fresh(ed, n_ops)
    return done


cdef void journal_free(Journal *journal) noexcept nogil:
    free(journal.items)
    journal.items = NULL
    journal.n = journal.capacity = journal.n_expiring = 0


cdef void touch_reordered(FlowEditor *ed) noexcept nogil:
    cdef uint32_t i
    for i in range(N_TABLES):
        if ed.journal.reordered[i]:
            touch(ed.bridge, table_tag(ed.bridge, i))


cdef void bundle_publish(FlowEditor *ed) noexcept nogil:
    """One version for all: whoever begins a translation sees every step or none."""
    cdef Change *change
    cdef uint32_t i
    ed.bundling = False
    ed.journal.n_expiring = 0
    edit_begin(ed)
    touch_reordered(ed)
    for i in range(ed.journal.n):
        change = &ed.journal.items[i]
        if change.fresh == NULL:
            remove_and_tell(ed, change.old, True)
        else:
            put_in(ed, change.old, change.fresh, change.keep_counts)
    edit_end(ed)
    journal_free(&ed.journal)


cdef void bundle_undo(FlowEditor *ed) noexcept nogil:
    """Latest step first, so that what a step replaced is there again when its own step is undone."""
    cdef Change *change
    cdef uint32_t i = ed.journal.n
    ed.bundling = False
    edit_begin(ed)
    touch_reordered(ed)                                    # masks come and go again
    while i:
        i -= 1
        change = &ed.journal.items[i]
        if change.fresh != NULL:
            table_take_back(ed.bridge.tables[change.fresh.table_id], change.fresh)
        if change.old != NULL:
            change.old.remove_version = VERSION_FOREVER
    edit_end(ed)
    journal_free(&ed.journal)


cdef void edit_remove_all(FlowEditor *ed, RuleList *rules, bint in_heap) noexcept nogil:
    cdef uint32_t i
    edit_begin(ed)
    for i in range(rules.n):
        if rules.items[i].remove_version == VERSION_FOREVER:
            remove_and_tell(ed, rules.items[i], in_heap)
    edit_end(ed)


cdef uint32_t edit_add_hidden(FlowEditor *ed, uint8_t table_id, uint32_t priority, Match *match, const uint8_t *acts,
                              uint32_t acts_length) noexcept nogil:
    cdef FlowOp *op = &ed.ops[0]
    cdef Rule *old = NULL
    cdef uint32_t error
    mask_shape(&match.mask, &op.which.shape)
    op.which.value = &match.value
    op.fm.flags = 0
    op.fresh = new_rule(&op.which.shape, acts, acts_length)
    if op.fresh == NULL:
        return OFPFMFC_TABLE_FULL
    op.fresh.table_id = table_id
    op.fresh.priority = priority
    edit_begin(ed)
    if ed.bridge.tables[table_id] != NULL:
        old = table_find_shaped(ed.bridge.tables[table_id], &op.which.shape, &match.value, priority, ed.version)
    error = insert_fresh(ed, op, old)
    if error == 0 and priority > PRIORITY_MAX:
        ed.n_hidden[table_id] += 1
    edit_end(ed)
    rule_unref(op.fresh)
    op.fresh = NULL
    return error


cdef void edit_del_hidden(FlowEditor *ed, uint8_t table_id, uint32_t priority, const Match *match) noexcept nogil:
    cdef MaskShape shape
    cdef Table *table = ed.bridge.tables[table_id]
    cdef Rule *rule
    if table == NULL:
        return
    mask_shape(&match.mask, &shape)
    edit_begin(ed)
    rule = table_find_shaped(table, &shape, &match.value, priority, ed.version)
    if rule != NULL:
        take_out(ed, rule, False)
    edit_end(ed)


cdef void editor_free(FlowEditor *ed) noexcept nogil:
    cdef int i
    for i in range(EDIT_BATCH):
        free(ed.ops[i].fm.acts.data)
    rules_release(&ed.told)
    free(ed.found.items)
    free(ed.made.items)
    free(ed.journal.items)
    expiry_free(&ed.expiry)
