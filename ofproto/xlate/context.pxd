"""The state of one translation, and the small operations that every step of it uses.

Four masks make the result exact and small. For each bit of the flow key:
- `det`: its value was determined by translation (a constant, or computed from bits already in `mask`): reading it says
  nothing of the packet;
- `reads`: it was read since the last write near it. Before a write, and at the end, `reads & ~det` is folded into
  `mask`, the bits of the packet that the result depends on;
- `base` / `bdet`: what the packet holds after the actions emitted so far, and which of its bits those actions wrote.

So a field that is overwritten before it is looked at stays out of the megaflow's mask, and `commit` knows what has to
be written before an output.

Thread rule: one context per forwarder, used under the switch's read lock; nothing here outlives a translation but the
memory of the arrays.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from datapath.act cimport ActBuf
from datapath.bytes cimport htobe16
from datapath.flow_key cimport FlowKey, OFS_VLAN_TCI, SLOT_VLAN2_TPID, SLOT_VLAN_TCI
from datapath.headers cimport VLAN_PRESENT
from datapath.upcall cimport Tags
from ofproto.credits cimport CREDIT_RULE, CreditItem
from ofproto.field cimport FIELD
from ofproto.switch cimport Bridge, Switch
from ofproto.tags cimport tags_add
from ofproto.xlate.record cimport Grow, Record

cdef enum:
    DEPTH_MAX = 64             # nested resubmits to the same or an earlier table, and patch ports (OF.24)
    RESUBMITS_MAX = 4096       # per packet
    STACK_MAX = 512            # values on the stack
    STACK_WORDS = 16           # 64-bit words of a value, least significant first
    VLAN_SLOT_BYTES = 8        # vlan_tci, vlan_tpid, vlan2_tci, vlan2_tpid lie together
    DEEP_TAGS_MAX = 6          # tags below the two that the key holds; a push beyond is an error

cdef struct Learn:             # a MAC to learn after the translation
    uint32_t bridge_id
    uint32_t port              # OpenFlow number
    uint8_t[6] mac
    uint16_t vlan
    bint grat_arp

cdef struct DeepTags:          # VLAN tags that pushes moved out of the key, innermost first
    uint32_t n
    uint32_t[DEEP_TAGS_MAX] tag    # as in the key: TCI, TPID

cdef struct XlateContext:
    Switch *sw
    Bridge *bridge             # where the packet is now
    FlowKey key                # what the pipeline sees; in_port is an OpenFlow number
    FlowKey det
    FlowKey base
    FlowKey bdet
    FlowKey reads
    FlowKey mask
    DeepTags key_deep          # belongs to key
    DeepTags base_deep         # belongs to base
    uint64_t[2] touched        # bit per slot: written at least once, so that commit looks at it
    ActBuf *acts
    uint64_t version           # of the tables
    int64_t now_ns
    Tags tags                  # what the result depends on
    uint32_t n_tags            # how many were added
    Tags dst_tags              # of the destinations that were looked up in MAC tables
    uint64_t cookie            # of the rule whose actions run
    uint32_t skb_priority_be   # of the packet as received
    uint32_t depth
    uint32_t resubmits
    uint32_t n_outputs         # outputs and punts emitted
    uint32_t error             # DropReason that ends the translation, 0 = go on
    uint32_t reason            # DropReason to report when nothing is output
    uint32_t set_base          # action_set: first byte of this bridge
    uint32_t stack_base        # stack: first value of this bridge
    uint8_t table_id
    uint8_t reason_table       # table of `reason`
    uint32_t reason_bridge     # ... and bridge
    bint exit                  # action exit: no more actions in this bridge
    bint in_action_set
    bint in_packet_out
    bint miss_rule             # the rule whose actions run is a table-miss rule (priority 0, matches all)
    bint side_effects          # a packet is here: refresh MACs, collect learning
    Record *record             # where to tell what happens, NULL = nobody asks
    Grow credits               # CreditItem
    Grow punts                 # PuntInfo
    Grow learns                # Learn
    Grow stack                 # uint64_t[STACK_WORDS]
    Grow action_set            # bytes: OfAct entries in the order written
    # Continue in a table, or run the action set: pointers, as those modules stand above the ones that call them.
    void (*run_table)(XlateContext *ctx, uint32_t table_id, uint32_t in_port_be, bint honour_miss) noexcept nogil
    void (*run_set)(XlateContext *ctx) noexcept nogil
    # Append to `out` (bytes) the entries of the action set that would run, in their order.
    void (*list_set)(XlateContext *ctx, Grow *out) noexcept nogil

cdef XlateContext *context_new(Switch *sw) noexcept nogil         # NULL without memory
cdef void context_free(XlateContext *ctx) noexcept nogil
cdef void context_start(XlateContext *ctx, ActBuf *acts, uint64_t version, int64_t now_ns) noexcept nogil
# `count` elements more, zeroed; NULL without memory
cdef void *grow_add(Grow *grow, uint32_t element_bytes, uint32_t count) noexcept nogil
# of the current bridge; NULL sets the error
cdef CreditItem *add_credit(XlateContext *ctx, uint8_t kind, uint8_t table_id) noexcept nogil
cdef void fold_all(XlateContext *ctx) noexcept nogil

# Fold what was read in the 64-bit words of bytes [ofs, ofs + n) into the mask; to be called before they are written.
cdef inline void fold(XlateContext *ctx, uint32_t ofs, uint32_t n) noexcept nogil:
    cdef uint64_t *reads = <uint64_t *>&ctx.reads
    cdef uint64_t *mask = <uint64_t *>&ctx.mask
    cdef const uint64_t *det = <const uint64_t *>&ctx.det
    cdef uint32_t w
    for w in range(ofs >> 3, (ofs + n + 7) >> 3):
        mask[w] |= reads[w] & ~det[w]
        reads[w] = 0

cdef inline void touch(XlateContext *ctx, uint32_t slot) noexcept nogil:
    ctx.touched[slot >> 6] |= <uint64_t>1 << (slot & 63)

cdef inline bint is_touched(const XlateContext *ctx, uint32_t slot) noexcept nogil:
    return (ctx.touched[slot >> 6] >> (slot & 63)) & 1

# Note that bytes of the key were read.
cdef inline void read_bytes(XlateContext *ctx, uint32_t ofs, uint32_t n) noexcept nogil:
    memset(<uint8_t *>&ctx.reads + ofs, 0xff, n)

# Announce a write of a whole slot; the caller then stores the value in ctx.key.
cdef inline void write_slot(XlateContext *ctx, uint32_t slot, uint32_t ofs, uint32_t n) noexcept nogil:
    fold(ctx, ofs, n)
    touch(ctx, slot)
    memset(<uint8_t *>&ctx.det + ofs, 0xff, n)

# Announce a write to a VLAN slot: whether there are tags decides what has to be done, so it counts as read. The caller
# stores the bits and marks them in det.
cdef inline void write_vlan(XlateContext *ctx) noexcept nogil:
    ctx.reads.pkt.vlan_tci |= htobe16(VLAN_PRESENT)
    ctx.reads.pkt.vlan2_tci |= htobe16(VLAN_PRESENT)
    fold(ctx, OFS_VLAN_TCI, VLAN_SLOT_BYTES)
    touch(ctx, SLOT_VLAN_TCI)

cdef inline bint is_vlan_slot(uint32_t slot) noexcept nogil:
    return SLOT_VLAN_TCI <= slot <= SLOT_VLAN2_TPID

# Announce a write to bits of a field.
cdef inline void write_field(XlateContext *ctx, uint32_t field) noexcept nogil:
    if is_vlan_slot(FIELD[field].slot):
        write_vlan(ctx)
    else:
        fold(ctx, FIELD[field].ofs, FIELD[field].slot_bytes)
        touch(ctx, FIELD[field].slot)

# Note that the result depends on what `tag` names.
cdef inline void depend(XlateContext *ctx, uint64_t tag) noexcept nogil:
    tags_add(&ctx.tags, tag)
    ctx.n_tags += 1

# Note why the packet might end here; the last reason counts, and only if nothing is output.
cdef inline void note_drop(XlateContext *ctx, uint32_t reason) noexcept nogil:
    ctx.reason = reason
    ctx.reason_table = ctx.table_id
    ctx.reason_bridge = ctx.bridge.id

# The cookie of the rule that a bridge's first table gave, whose credit is entry `first`: packets of the action set are
# reported with it, as Open vSwitch does.
cdef inline uint64_t cookie_of_first(const XlateContext *ctx, uint32_t first) noexcept nogil:
    cdef const CreditItem *items = <const CreditItem *>ctx.credits.data
    return items[first].rule.cookie if ctx.credits.n > first and items[first].kind == CREDIT_RULE else ctx.cookie
