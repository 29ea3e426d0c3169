"""Flow-mods on the tables of one bridge, in C: prepared outside the lock, applied under it in batches.

A bundle's flow-mods are applied as VERSION_PENDING, which only the bundle itself sees, and noted in a journal;
bundle_publish then gives all of them one version, bundle_undo takes them back.

Thread rule: the control thread. edit_run takes the switch's write lock once per batch and publishes one version for it.
Between bundle_run and bundle_publish or bundle_undo nothing else edits the tables.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from datapath.flow_key cimport FlowKey
from ofproto.expiry cimport Expiry, RuleList
from ofproto.flow_mod cimport FlowMod, Match
from ofproto.rule cimport MaskShape, Rule, Table
from ofproto.switch cimport Bridge, N_TABLES

cdef enum:
    EDIT_BATCH = 32            # flow-mods under one lock: the lock is held for some 10 us
    PRIORITY_MAX = 0xffff      # of OpenFlow; rules above are hidden

cdef struct Criteria:          # which rules a command or a request means
    MaskShape shape
    const FlowKey *value
    uint64_t cookie
    uint64_t cookie_mask
    uint32_t out_port          # OFPP_ANY = no filter
    uint32_t out_group         # OFPG_ANY = no filter
    uint8_t table_id           # TABLE_ALL = every visible table

cdef struct FlowOp:            # one flow-mod on its way
    FlowMod fm
    Criteria which
    Rule *fresh                # an add's rule, made before the lock is taken
    uint32_t error             # 0 or OfError

cdef struct Change:            # one step of a bundle; the table holds the references
    Rule *fresh                # what was put in; NULL = only a removal
    Rule *old                  # what it replaces, or what is removed; NULL = none
    bint keep_counts           # fresh inherits the counters of old

cdef struct Journal:           # the steps of the bundle under way, in order
    Change *items
    uint32_t n
    uint32_t capacity
    uint32_t n_expiring        # fresh rules with time-outs
    uint8_t[N_TABLES] reordered            # tables where an insertion returned INSERT_REORDERS

cdef struct FlowEditor:
    Bridge *bridge
    uint64_t version           # of the edit under way
    int64_t now_ns
    RuleList found             # scratch; no references
    RuleList made              # scratch; no references
    RuleList told              # rules removed whose controllers want to know (FLOW_SEND_FLOW_REM); references held
    Expiry expiry
    uint32_t[N_TABLES] n_hidden            # hidden rules of each table
    bint bundling              # edits go to the journal
    Journal journal
    FlowOp[EDIT_BATCH] ops

# sets op.error
cdef void op_decode(FlowOp *op, const uint8_t *msg, uint32_t length, bint nxt_table_id) noexcept nogil
# applies ops[0..n_ops) that have no error yet
cdef void edit_run(FlowEditor *ed, uint32_t n_ops) noexcept nogil
# decodes a flow-mod into op.fm; 0 or what can be refused without looking at the tables
cdef uint32_t op_refusal(FlowOp *op, const uint8_t *msg, uint32_t length, bint nxt_table_id) noexcept nogil
cdef void bundle_begin(FlowEditor *ed) noexcept nogil
# Applies ops[0..n_ops) as part of the bundle, up to the first that fails; returns how many went well.
cdef uint32_t bundle_run(FlowEditor *ed, uint32_t n_ops) noexcept nogil
cdef void bundle_publish(FlowEditor *ed) noexcept nogil
cdef void bundle_undo(FlowEditor *ed) noexcept nogil
# one edit; reasons are set; rules removed already are passed over
cdef void edit_remove_all(FlowEditor *ed, RuleList *rules, bint in_heap) noexcept nogil
cdef uint32_t edit_add_hidden(FlowEditor *ed, uint8_t table_id, uint32_t priority, Match *match, const uint8_t *acts,
                              uint32_t acts_length) noexcept nogil
cdef void edit_del_hidden(FlowEditor *ed, uint8_t table_id, uint32_t priority, const Match *match) noexcept nogil
# Append the rules of `version` that meet the criteria, with a reference each if `hold`. 0, -1 without memory.
cdef int rules_meeting(Bridge *bridge, const Criteria *which, uint64_t version, RuleList *out, bint hold) noexcept nogil
# Note that the edit under way brings, changes or ends this rule.
cdef void touch_rule(const Bridge *bridge, const Rule *rule) noexcept nogil
cdef void editor_free(FlowEditor *ed) noexcept nogil
