"""VLAN tags of the key: see vlan_ops.pxd. The key holds two; those that pushes move out of it are kept beside it."""

from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memcpy, memmove, memset

from datapath.bytes cimport htobe16
from datapath.drops cimport DROP_INVALID_ACTION
from datapath.flow_key cimport OFS_VLAN_TCI
from datapath.headers cimport ETH_VLAN, VLAN_BYTES, VLAN_PRESENT
from ofproto.xlate.context cimport DEEP_TAGS_MAX, DeepTags, VLAN_SLOT_BYTES, XlateContext, read_bytes, write_vlan


cdef inline uint8_t *tags_of(void *key) noexcept nogil:
    return <uint8_t *>key + OFS_VLAN_TCI


cdef void put_tag(uint8_t *tags, uint16_t tpid, uint16_t tci) noexcept nogil:
    cdef uint16_t tci_be = htobe16(tci)
    cdef uint16_t tpid_be = htobe16(tpid)
    memmove(tags + VLAN_BYTES, tags, VLAN_BYTES)
    memcpy(tags, &tci_be, 2)
    memcpy(tags + 2, &tpid_be, 2)


cdef bint hide_inner(XlateContext *ctx) noexcept nogil:
    """Make room for a third tag; False if there is none."""
    cdef DeepTags *deep = &ctx.key_deep
    if deep.n == DEEP_TAGS_MAX:
        ctx.error = DROP_INVALID_ACTION
        return False
    memcpy(&deep.tag[deep.n], tags_of(&ctx.key) + VLAN_BYTES, VLAN_BYTES)
    deep.n += 1
    return True


cdef void vlan_push(XlateContext *ctx, uint16_t tpid, uint16_t tci) noexcept nogil:
    if ctx.key.pkt.vlan_tci & htobe16(VLAN_PRESENT):
        read_bytes(ctx, OFS_VLAN_TCI, VLAN_SLOT_BYTES)     # tags move: their contents count
    write_vlan(ctx)
    if ctx.key.pkt.vlan2_tci & htobe16(VLAN_PRESENT) and not hide_inner(ctx):
        return
    put_tag(tags_of(&ctx.key), tpid, tci)
    memset(tags_of(&ctx.det), 0xff, VLAN_SLOT_BYTES)


cdef void shift_out(XlateContext *ctx) noexcept nogil:
    """Drop the outer tag of the key; those behind it move up."""
    cdef uint8_t *tags = tags_of(&ctx.key)
    cdef DeepTags *deep = &ctx.key_deep
    if ctx.key.pkt.vlan2_tci & htobe16(VLAN_PRESENT):
        read_bytes(ctx, OFS_VLAN_TCI + VLAN_BYTES, VLAN_BYTES)
        write_vlan(ctx)
    memcpy(tags, tags + VLAN_BYTES, VLAN_BYTES)
    memset(tags + VLAN_BYTES, 0, VLAN_BYTES)
    if deep.n:
        deep.n -= 1
        memcpy(tags + VLAN_BYTES, &deep.tag[deep.n], VLAN_BYTES)
    memset(tags_of(&ctx.det), 0xff, VLAN_SLOT_BYTES)


cdef void vlan_pop(XlateContext *ctx) noexcept nogil:
    write_vlan(ctx)
    if ctx.key.pkt.vlan_tci & htobe16(VLAN_PRESENT):
        shift_out(ctx)


cdef void vlan_set(XlateContext *ctx, uint16_t bits, uint16_t mask) noexcept nogil:
    write_vlan(ctx)
    ctx.key.pkt.vlan_tci = (ctx.key.pkt.vlan_tci & ~htobe16(mask)) | htobe16(bits & mask)
    ctx.det.pkt.vlan_tci |= htobe16(mask)
    vlan_settle(ctx)


cdef void vlan_settle(XlateContext *ctx) noexcept nogil:
    cdef bint present = (ctx.key.pkt.vlan_tci & htobe16(VLAN_PRESENT)) != 0
    if present == (ctx.key.pkt.vlan_tpid != 0):
        return
    if present:
        ctx.key.pkt.vlan_tpid = htobe16(ETH_VLAN)
        memset(tags_of(&ctx.det), 0xff, VLAN_SLOT_BYTES)   # there was no tag: every bit is ours
    else:
        shift_out(ctx)                                     # the present bit was cleared by the write
