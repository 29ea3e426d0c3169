"""Decoders of the actions of the OpenFlow specifications, 1.0 and later; see act_form.pxd."""

from libc.stdint cimport uint8_t, uint32_t

from datapath.bytes cimport load_be16 as get16, load_be32 as get32
from datapath.headers cimport ETH_SVLAN, ETH_VLAN
from ofproto.act_form cimport *
from ofproto.codec cimport act_room, all_zero, port_from16
from ofproto.of_error cimport (
    OFPBAC_BAD_ARGUMENT, OFPBAC_BAD_OUT_GROUP, OFPBAC_BAD_OUT_PORT, OFPBAC_BAD_SET_ARGUMENT, OFPBAC_BAD_SET_MASK,
    OFPFMFC_TABLE_FULL,
)
from ofproto.of_number cimport OFPP10_MAX, OFPP_IN_PORT, OFPP_LOCAL
from ofproto.ofact cimport *
from ofproto.oxm cimport OXM_IN_ACTION, OxmEntry, oxm_pull


# -- OpenFlow 1.0, and 1.1 where it has the same layout --------------------------------------------------------------

cdef uint32_t of10_output(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return add_output(out, port_from16(get16(p + 4)), get16(p + 6))


cdef uint32_t set_vlan_vid(const uint8_t *p, OfActBuf *out, uint8_t flags) noexcept nogil:
    cdef uint32_t vid = get16(p + 4)
    return OFPBAC_BAD_ARGUMENT if vid > 0xfff else add_value(out, OFACT_SET_VLAN_VID, vid, flags)


cdef uint32_t set_vlan_pcp(const uint8_t *p, OfActBuf *out, uint8_t flags) noexcept nogil:
    return OFPBAC_BAD_ARGUMENT if p[4] > 7 else add_value(out, OFACT_SET_VLAN_PCP, p[4], flags)


cdef uint32_t of10_set_vlan_vid(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return set_vlan_vid(p, out, OFACT_F_PUSH_VLAN)


cdef uint32_t of10_set_vlan_pcp(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return set_vlan_pcp(p, out, OFACT_F_PUSH_VLAN)


cdef uint32_t of11_set_vlan_vid(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return set_vlan_vid(p, out, 0)


cdef uint32_t of11_set_vlan_pcp(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return set_vlan_pcp(p, out, 0)


cdef uint32_t strip_vlan(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return add_plain(out, OFACT_STRIP_VLAN)


cdef uint32_t set_dl_src(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return add_mac(out, OFACT_SET_ETH_SRC, p + 4)


cdef uint32_t set_dl_dst(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return add_mac(out, OFACT_SET_ETH_DST, p + 4)


cdef uint32_t set_nw_src(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return add_value(out, OFACT_SET_IPV4_SRC, get32(p + 4), 0)


cdef uint32_t set_nw_dst(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return add_value(out, OFACT_SET_IPV4_DST, get32(p + 4), 0)


cdef uint32_t set_nw_tos(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return OFPBAC_BAD_ARGUMENT if p[4] & 3 else add_value(out, OFACT_SET_IP_DSCP, p[4], 0)


cdef uint32_t set_nw_ecn(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return OFPBAC_BAD_ARGUMENT if p[4] > 3 else add_value(out, OFACT_SET_IP_ECN, p[4], 0)


cdef uint32_t set_tp_src(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return add_value(out, OFACT_SET_L4_SRC, get16(p + 4), 0)


cdef uint32_t set_tp_dst(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return add_value(out, OFACT_SET_L4_DST, get16(p + 4), 0)


cdef uint32_t of10_enqueue(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    cdef uint32_t port = port_from16(get16(p + 4))
    cdef OfActEnqueue *act
    if port >= OFPP10_MAX and port != OFPP_IN_PORT and port != OFPP_LOCAL:
        return OFPBAC_BAD_OUT_PORT
    act = <OfActEnqueue *>act_room(out, OFACT_ENQUEUE, sizeof(OfActEnqueue))
    if act == NULL:
        return OFPFMFC_TABLE_FULL
    act.port = port
    act.queue = get32(p + 12)
    return 0


# -- OpenFlow 1.1 and later --------------------------------------------------------------------------------------------

cdef uint32_t of13_output(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return add_output(out, get32(p + 4), get16(p + 8))


cdef uint32_t of13_push_vlan(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    cdef uint32_t tpid = get16(p + 4)
    if tpid != ETH_VLAN and tpid != ETH_SVLAN:
        return OFPBAC_BAD_ARGUMENT
    return add_value(out, OFACT_PUSH_VLAN, tpid, 0)


cdef uint32_t of13_set_queue(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return add_value(out, OFACT_SET_QUEUE, get32(p + 4), 0)


cdef uint32_t no_group(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return OFPBAC_BAD_OUT_GROUP


cdef uint32_t of13_set_nw_ttl(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return add_value(out, OFACT_SET_IP_TTL, p[4], 0)


cdef uint32_t dec_ttl(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    return 0 if act_room(out, OFACT_DEC_TTL, sizeof(OfActIds)) != NULL else OFPFMFC_TABLE_FULL


cdef uint32_t of13_set_field(const uint8_t *p, uint32_t length, OfActBuf *out) noexcept nogil:
    cdef OxmEntry e
    cdef uint32_t error = oxm_pull(p + 4, length - 4, OXM_IN_ACTION, &e)
    if error:
        return error
    if e.masked:
        return OFPBAC_BAD_SET_MASK
    if not all_zero(p + 4 + e.total_bytes, length - 4 - e.total_bytes):
        return OFPBAC_BAD_SET_ARGUMENT
    return add_whole_field(&e, out, 0)


# -- set-up ------------------------------------------------------------------------------------------------------------

def _bind_openflow():
    bind("of10_output", of10_output)
    bind("of10_set_vlan_vid", of10_set_vlan_vid)
    bind("of10_set_vlan_pcp", of10_set_vlan_pcp)
    bind("of10_strip_vlan", strip_vlan)
    bind("of10_enqueue", of10_enqueue)
    bind("of11_set_vlan_vid", of11_set_vlan_vid)
    bind("of11_set_vlan_pcp", of11_set_vlan_pcp)
    bind("of11_set_nw_ecn", set_nw_ecn)
    for prefix in ("of10_", "of11_"):
        bind(prefix + "set_dl_src", set_dl_src)
        bind(prefix + "set_dl_dst", set_dl_dst)
        bind(prefix + "set_nw_src", set_nw_src)
        bind(prefix + "set_nw_dst", set_nw_dst)
        bind(prefix + "set_nw_tos", set_nw_tos)
        bind(prefix + "set_tp_src", set_tp_src)
        bind(prefix + "set_tp_dst", set_tp_dst)
    bind("of13_output", of13_output)
    bind("of13_push_vlan", of13_push_vlan)
    bind("of13_pop_vlan", strip_vlan)
    bind("of13_set_queue", of13_set_queue)
    bind("of13_group", no_group)
    bind("nx_group", no_group)
    bind("of13_set_nw_ttl", of13_set_nw_ttl)
    bind("of13_dec_nw_ttl", dec_ttl)
    bind("nx_dec_ttl", dec_ttl)
    bind("of13_set_field", of13_set_field)


_bind_openflow()
