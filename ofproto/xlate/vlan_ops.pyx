"""VLAN tags of the key: see vlan_ops.pxd. Two tags are kept in the key; a third one is pushed on the packet at once."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memmove, memset

from datapath.act cimport act_push_vlan
from datapath.bytes cimport be16toh, htobe16
from datapath.flow_key cimport OFS_VLAN_TCI
from ofproto.xlate.commit cimport commit
from ofproto.xlate.context cimport VLAN_SLOT_BYTES, XlateContext, read_bytes, write_vlan

cdef enum:
    TPID_8021Q = 0x8100
    TAG_BYTES = 4


cdef inline uint8_t *tags_of(void *key) noexcept nogil:
    return <uint8_t *>key + OFS_VLAN_TCI


cdef void put_tag(uint8_t *tags, uint16_t tpid, uint16_t tci) noexcept nogil:
    cdef uint16_t tci_be = htobe16(tci)
    cdef uint16_t tpid_be = htobe16(tpid)
    memmove(tags + TAG_BYTES, tags, TAG_BYTES)
    memcpy(tags, &tci_be, 2)
    memcpy(tags + 2, &tpid_be, 2)


cdef void vlan_push(XlateContext *ctx, uint16_t tpid, uint16_t tci) noexcept nogil:
    cdef bint full = (ctx.key.pkt.vlan2_tci & htobe16(0x1000)) != 0
    if ctx.key.pkt.vlan_tci & htobe16(0x1000):
        read_bytes(ctx, OFS_VLAN_TCI, VLAN_SLOT_BYTES)     # tags move: their contents count
    write_vlan(ctx)
    if full:
        commit(ctx)
        act_push_vlan(ctx.acts, tpid, tci)
    put_tag(tags_of(&ctx.key), tpid, tci)
    memset(tags_of(&ctx.det), 0xff, VLAN_SLOT_BYTES)
    if full:
        memcpy(tags_of(&ctx.base), tags_of(&ctx.key), VLAN_SLOT_BYTES)
        memset(tags_of(&ctx.bdet), 0xff, VLAN_SLOT_BYTES)


cdef void vlan_pop(XlateContext *ctx) noexcept nogil:
    cdef uint8_t *tags = tags_of(&ctx.key)
    write_vlan(ctx)
    if not ctx.key.pkt.vlan_tci & htobe16(0x1000):
        return
    if ctx.key.pkt.vlan2_tci & htobe16(0x1000):
        read_bytes(ctx, OFS_VLAN_TCI + TAG_BYTES, TAG_BYTES)
        write_vlan(ctx)
    memcpy(tags, tags + TAG_BYTES, TAG_BYTES)
    memset(tags + TAG_BYTES, 0, TAG_BYTES)
    memset(tags_of(&ctx.det), 0xff, VLAN_SLOT_BYTES)


cdef void vlan_set(XlateContext *ctx, uint16_t bits, uint16_t mask) noexcept nogil:
    write_vlan(ctx)
    ctx.key.pkt.vlan_tci = (ctx.key.pkt.vlan_tci & ~htobe16(mask)) | htobe16(bits & mask)
    ctx.det.pkt.vlan_tci |= htobe16(mask)
    vlan_settle(ctx)


cdef void vlan_drop_outer(XlateContext *ctx) noexcept nogil:
    """The present bit was cleared by a write: the tag is gone, and what stood behind it moves up."""
    cdef uint8_t *tags = tags_of(&ctx.key)
    if ctx.key.pkt.vlan2_tci & htobe16(0x1000):
        read_bytes(ctx, OFS_VLAN_TCI + TAG_BYTES, TAG_BYTES)
        write_vlan(ctx)
    memcpy(tags, tags + TAG_BYTES, TAG_BYTES)
    memset(tags + TAG_BYTES, 0, TAG_BYTES)
    memset(tags_of(&ctx.det), 0xff, VLAN_SLOT_BYTES)


cdef void vlan_settle(XlateContext *ctx) noexcept nogil:
    cdef bint present = (ctx.key.pkt.vlan_tci & htobe16(0x1000)) != 0
    if present == (ctx.key.pkt.vlan_tpid != 0):
        return
    if present:
        ctx.key.pkt.vlan_tpid = htobe16(TPID_8021Q)
        ctx.det.pkt.vlan_tpid = 0xffff
        ctx.det.pkt.vlan_tci = 0xffff                      # there was no tag: every bit of it is ours
    else:
        vlan_drop_outer(ctx)
