"""Commit: see commit.pxd, and context.pxd for the masks.

A bit of a header is in one of four states: written by the pipeline or not (det), written by earlier ops or not (bdet).
Written bits are sent unless the packet is known to hold them already; bits that earlier ops wrote and the pipeline took
back (after a patch port) are sent back, and as their value comes from the packet, it is matched. Bits that were only
written, never read, are not matched: Open vSwitch matches them.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp, memcpy, memset

from datapath.act cimport ACT_SET_MARK, ACT_SET_PRIORITY, ActOp, act_add, act_pop_vlan, act_push_vlan, act_set
from datapath.bytes cimport load_be16, load_be32
from datapath.flow_key cimport (
    OFS_PKT_MARK, OFS_SKB_PRIORITY, OFS_VLAN_TCI, SLOT_PKT_MARK, SLOT_SKB_PRIORITY, SLOT_VLAN_TCI,
)
from datapath.headers cimport VLAN_PRESENT
from ofproto.xlate.context cimport DeepTags, VLAN_SLOT_BYTES, XlateContext, fold, is_touched

from datapath.slots import places

cdef enum:
    HEADER_SLOTS_MAX = 32
    TAGS_MAX = 8               # two in the key and DEEP_TAGS_MAX
    SLOT_BYTES_MAX = 16

cdef struct HeaderSlot:
    uint8_t slot
    uint8_t n_bytes
    uint16_t ofs

# Slots that ACT_SET can write: those of fields that OpenFlow may write. The VLAN, the mark and the priority have ops of
# their own.
HEADER_SLOT_NAMES = (
    "eth_dst", "eth_src", "mpls_lse0", "ipv6_src", "ipv6_dst", "nd_target", "ip_src", "ip_dst", "ipv6_label", "arp_sha",
    "arp_tha", "nw_proto", "nw_tos", "nw_ttl", "nd_reserved", "nd_options_type", "tp_src", "tp_dst",
)

cdef HeaderSlot[HEADER_SLOTS_MAX] HEADER_SLOT
cdef uint32_t n_header_slots = 0


def _fill() -> None:
    global n_header_slots
    by_name = places()
    for i, name in enumerate(HEADER_SLOT_NAMES):
        place = by_name[name]
        HEADER_SLOT[i].slot, HEADER_SLOT[i].ofs, HEADER_SLOT[i].n_bytes = place.number, place.offset, place.slot.n_bytes
    n_header_slots = len(HEADER_SLOT_NAMES)


_fill()


cdef bint differs(XlateContext *ctx, uint32_t ofs, uint32_t n, uint8_t *value_out, uint8_t *mask_out) noexcept nogil:
    """Whether bytes [ofs, ofs + n) have to be written, and which bits; the packet counts as holding them then."""
    cdef uint8_t *key = <uint8_t *>&ctx.key + ofs
    cdef uint8_t *base = <uint8_t *>&ctx.base + ofs
    cdef uint8_t *det = <uint8_t *>&ctx.det + ofs
    cdef uint8_t *bdet = <uint8_t *>&ctx.bdet + ofs
    cdef uint8_t *mask = <uint8_t *>&ctx.mask + ofs
    cdef uint8_t send = 0
    cdef uint32_t i
    for i in range(n):
        mask[i] |= bdet[i] & ~det[i]                       # taken back: the packet's own value is needed
        mask_out[i] = det[i] | bdet[i]
        value_out[i] = key[i] & mask_out[i]
        send |= ((key[i] ^ base[i]) & mask_out[i]) | (det[i] & ~bdet[i] & ~mask[i])
    if not send:
        return False
    for i in range(n):
        base[i] = (base[i] & ~mask_out[i]) | value_out[i]
        bdet[i] = det[i]
    return True


# -- VLAN tags

cdef inline uint32_t n_tags(const uint8_t *tags) noexcept nogil:
    if not load_be16(tags) & VLAN_PRESENT:
        return 0
    return 2 if load_be16(tags + 4) & VLAN_PRESENT else 1


cdef bint only_outer_tci(XlateContext *ctx) noexcept nogil:
    """Whether both have the same tags but for the outer TCI: then it is rewritten in place."""
    cdef const uint8_t *key = <const uint8_t *>&ctx.key + OFS_VLAN_TCI
    cdef const uint8_t *base = <const uint8_t *>&ctx.base + OFS_VLAN_TCI
    cdef const uint8_t *det = <const uint8_t *>&ctx.det + OFS_VLAN_TCI
    cdef const uint8_t *bdet = <const uint8_t *>&ctx.bdet + OFS_VLAN_TCI
    cdef const uint8_t *mask = <const uint8_t *>&ctx.mask + OFS_VLAN_TCI
    cdef uint32_t i
    if ctx.key_deep.n != ctx.base_deep.n or memcmp(&ctx.key_deep.tag[0], &ctx.base_deep.tag[0], ctx.key_deep.n * 4):
        return False
    for i in range(2, VLAN_SLOT_BYTES):
        if (key[i] ^ base[i]) & (det[i] | bdet[i]) or det[i] & ~bdet[i] & ~mask[i] or bdet[i] & ~det[i]:
            return False
    return True


cdef void rewrite_tci(XlateContext *ctx) noexcept nogil:
    cdef uint8_t[2] value
    cdef uint8_t[2] mask
    if differs(ctx, OFS_VLAN_TCI, 2, &value[0], &mask[0]):
        value[0] &= 0xef           # 0x1000 says "there is a tag"; on the wire it is another bit
        mask[0] &= 0xef
        act_set(ctx.acts, SLOT_VLAN_TCI, &value[0], &mask[0], 2)


cdef uint32_t flatten(const uint8_t *tags, const DeepTags *deep, uint8_t *out) noexcept nogil:
    """All tags of a key, outermost first, 4 bytes each; their number."""
    cdef uint32_t n = n_tags(tags)
    cdef uint32_t i
    memcpy(out, tags, 4 * n)
    for i in range(deep.n):
        memcpy(out + 4 * (n + i), &deep.tag[deep.n - 1 - i], 4)
    return n + deep.n


cdef void match_tags(XlateContext *ctx, bint compared) noexcept nogil:
    """What is pushed or compared, and comes from the packet, is matched."""
    cdef uint8_t *det = <uint8_t *>&ctx.det + OFS_VLAN_TCI
    cdef uint8_t *bdet = <uint8_t *>&ctx.bdet + OFS_VLAN_TCI
    cdef uint8_t *mask = <uint8_t *>&ctx.mask + OFS_VLAN_TCI
    cdef uint32_t i
    for i in range(VLAN_SLOT_BYTES):
        mask[i] |= ~det[i] | (~bdet[i] if compared else 0)


cdef void replace_tags(XlateContext *ctx) noexcept nogil:
    """Pop and push until the tags agree; inner tags that are the same stay."""
    cdef uint8_t[4 * TAGS_MAX] key
    cdef uint8_t[4 * TAGS_MAX] base
    cdef uint32_t n_key = flatten(<const uint8_t *>&ctx.key + OFS_VLAN_TCI, &ctx.key_deep, &key[0])
    cdef uint32_t n_base = flatten(<const uint8_t *>&ctx.base + OFS_VLAN_TCI, &ctx.base_deep, &base[0])
    cdef uint32_t common = 0
    cdef uint32_t i
    if n_key:
        match_tags(ctx, n_base > 0)
    while common < min(n_base, n_key):
        if memcmp(&base[4 * (n_base - 1 - common)], &key[4 * (n_key - 1 - common)], 4):
            break
        common += 1
    for i in range(n_base - common):
        act_pop_vlan(ctx.acts)
    i = n_key - common
    while i:
        i -= 1
        act_push_vlan(ctx.acts, load_be16(&key[4 * i + 2]), load_be16(&key[4 * i]))
    memcpy(<uint8_t *>&ctx.base + OFS_VLAN_TCI, <uint8_t *>&ctx.key + OFS_VLAN_TCI, VLAN_SLOT_BYTES)
    ctx.base_deep = ctx.key_deep
    # the tags are what the ops made them, whatever the packet had
    memset(<uint8_t *>&ctx.bdet + OFS_VLAN_TCI, 0xff, VLAN_SLOT_BYTES)
    memset(<uint8_t *>&ctx.det + OFS_VLAN_TCI, 0xff, VLAN_SLOT_BYTES)


cdef void commit_vlan(XlateContext *ctx) noexcept nogil:
    cdef uint32_t n_base, n_key
    if not is_touched(ctx, SLOT_VLAN_TCI):
        return
    fold(ctx, OFS_VLAN_TCI, VLAN_SLOT_BYTES)
    n_base = n_tags(<const uint8_t *>&ctx.base + OFS_VLAN_TCI)
    n_key = n_tags(<const uint8_t *>&ctx.key + OFS_VLAN_TCI)
    if n_base == 0 and n_key == 0:
        return
    if n_base == n_key and only_outer_tci(ctx):
        rewrite_tci(ctx)
    else:
        replace_tags(ctx)


# -- metadata of the packet

cdef void commit_mark(XlateContext *ctx) noexcept nogil:
    cdef uint8_t[4] value
    cdef uint8_t[4] mask
    cdef ActOp *op
    if not is_touched(ctx, SLOT_PKT_MARK) or not differs(ctx, OFS_PKT_MARK, 4, &value[0], &mask[0]):
        return
    op = act_add(ctx.acts, ACT_SET_MARK)
    if op != NULL:
        op.arg, op.aux32 = load_be32(&value[0]), load_be32(&mask[0])


cdef void commit_priority(XlateContext *ctx) noexcept nogil:
    cdef uint8_t[4] value
    cdef uint8_t[4] mask
    cdef ActOp *op
    if not is_touched(ctx, SLOT_SKB_PRIORITY) or not differs(ctx, OFS_SKB_PRIORITY, 4, &value[0], &mask[0]):
        return
    op = act_add(ctx.acts, ACT_SET_PRIORITY)
    if op != NULL:
        op.arg = load_be32(&value[0])


cdef void commit(XlateContext *ctx) noexcept nogil:
    cdef uint8_t[SLOT_BYTES_MAX] value
    cdef uint8_t[SLOT_BYTES_MAX] mask
    cdef HeaderSlot *h
    cdef uint32_t i
    if not ctx.touched[0] | ctx.touched[1]:
        return
    for i in range(n_header_slots):
        h = &HEADER_SLOT[i]
        if is_touched(ctx, h.slot) and differs(ctx, h.ofs, h.n_bytes, &value[0], &mask[0]):
            act_set(ctx.acts, h.slot, &value[0], &mask[0], h.n_bytes)
    commit_vlan(ctx)
    commit_mark(ctx)
    commit_priority(ctx)
