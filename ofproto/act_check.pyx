"""Checks an action list against its match, action by action, following what earlier actions do to the packet's VLAN
tags.

Place in the packet's path: none; the control thread runs it for each flow-mod. An action whose prerequisite the match
does not guarantee is OFPBAC_MATCH_INCONSISTENT. OpenFlow 1.0 lets its own actions stand anyway (they do nothing on
other packets); what names a field (set_field, load, move, push, pop) is checked in every version, as in Open vSwitch.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from datapath.bytes cimport load_be16 as get16
from datapath.flow_key cimport OFS_ETH_TYPE, OFS_NW_FRAG, OFS_NW_PROTO, OFS_VLAN_TCI
from datapath.headers cimport ETH_IPV4, ETH_IPV6, FRAG_LATER, IP_SCTP, IP_TCP, IP_UDP, VLAN_PRESENT
from ofproto.field cimport field_by_name
from ofproto.flow_mod cimport Match
from ofproto.of_error cimport OFPBAC_BAD_TAG, OFPBAC_MATCH_INCONSISTENT, OFPBIC_BAD_TABLE_ID
from ofproto.of_number cimport TABLE_ALL
from ofproto.ofact cimport *
from ofproto.oxm cimport match_prereqs_met

cdef enum:
    VLAN_TAGS_MAX = 2              # tags that a flow key holds

cdef struct Check:
    const Match *match
    uint8_t version
    uint8_t table_id
    uint8_t tags                   # VLAN tags that the packet is known to have here

ctypedef uint32_t (*CheckFn)(OfAct *act, Check *check) noexcept nogil

cdef CheckFn[N_OFACT_KINDS] CHECK          # NULL = nothing to check
cdef uint16_t F_VLAN_VID, F_VLAN_PCP, F_VLAN_TCI


cdef inline uint32_t inconsistent(const Check *check) noexcept nogil:
    return 0 if check.version == 1 else OFPBAC_MATCH_INCONSISTENT


cdef inline bint is_ip(const Check *check) noexcept nogil:
    cdef uint32_t eth_type = get16(<const uint8_t *>&check.match.value + OFS_ETH_TYPE)
    return eth_type == ETH_IPV4 or eth_type == ETH_IPV6


cdef uint32_t field_error(const Check *check, uint16_t field) noexcept nogil:
    if field == F_VLAN_PCP:
        return 0 if check.tags else OFPBAC_MATCH_INCONSISTENT
    return 0 if match_prereqs_met(field, check.match) else OFPBAC_MATCH_INCONSISTENT


cdef uint32_t check_vlan_set(OfAct *act, Check *check) noexcept nogil:
    if check.tags:
        act.flags |= OFACT_F_VLAN_FLOW_HAS
        return 0
    if not act.flags & OFACT_F_PUSH_VLAN:
        return inconsistent(check)
    check.tags = 1
    return 0


cdef uint32_t check_vlan_strip(OfAct *act, Check *check) noexcept nogil:
    if check.tags == 0:
        return inconsistent(check)
    check.tags -= 1
    return 0


cdef uint32_t check_vlan_push(OfAct *act, Check *check) noexcept nogil:
    if check.tags == VLAN_TAGS_MAX:
        return OFPBAC_BAD_TAG
    check.tags += 1
    return 0


cdef uint32_t check_ipv4(OfAct *act, Check *check) noexcept nogil:
    return 0 if get16(<const uint8_t *>&check.match.value + OFS_ETH_TYPE) == ETH_IPV4 else inconsistent(check)


cdef uint32_t check_ip(OfAct *act, Check *check) noexcept nogil:
    return 0 if is_ip(check) else inconsistent(check)


cdef uint32_t check_l4(OfAct *act, Check *check) noexcept nogil:
    cdef const uint8_t *key = <const uint8_t *>&check.match.value
    cdef uint8_t proto = key[<int>OFS_NW_PROTO]
    cdef bint ported = proto == IP_TCP or proto == IP_UDP or proto == IP_SCTP
    if not is_ip(check) or not ported or key[<int>OFS_NW_FRAG] & FRAG_LATER:
        return inconsistent(check)
    (<OfActValue *>act).pad = proto
    return 0


cdef uint32_t check_set_field(OfAct *act, Check *check) noexcept nogil:
    cdef uint16_t field = (<OfActSetField *>act).field
    if field == F_VLAN_VID and not check.tags:
        return OFPBAC_MATCH_INCONSISTENT
    if field == F_VLAN_TCI:
        # Writing the whole TCI adds or removes the tag.
        check.tags = 1 if get16((<OfActSetField *>act).data) & VLAN_PRESENT else 0
    return field_error(check, field)


cdef uint32_t check_move(OfAct *act, Check *check) noexcept nogil:
    cdef OfActMove *move = <OfActMove *>act
    cdef uint32_t error = field_error(check, move.src)
    return error if error else field_error(check, move.dst)


cdef uint32_t check_stack(OfAct *act, Check *check) noexcept nogil:
    return field_error(check, (<OfActStack *>act).field)


cdef uint32_t check_output_reg(OfAct *act, Check *check) noexcept nogil:
    return field_error(check, (<OfActOutputReg *>act).field)


cdef uint32_t check_goto(OfAct *act, Check *check) noexcept nogil:
    cdef uint32_t table = (<OfActValue *>act).value
    if table == TABLE_ALL or (check.table_id != TABLE_ALL and table <= check.table_id):
        return OFPBIC_BAD_TABLE_ID
    return 0


cdef uint32_t check_run(uint8_t *at, uint32_t length, Check *check) noexcept nogil:
    cdef OfAct *act
    cdef uint32_t error
    cdef uint8_t *end = at + length
    while at < end:
        act = <OfAct *>at
        if CHECK[act.kind] != NULL:
            error = CHECK[act.kind](act, check)
            if error:
                return error
        at += act.length
    return 0


cdef uint32_t check_nested(OfAct *act, Check *check) noexcept nogil:
    # The action set runs later and in an order of its own: what it does to tags is not carried on, and only what names
    # a field is held against the match (version 1 is the lenient one).
    cdef Check inner = check[0]
    inner.version = 1
    return check_run(<uint8_t *>act + sizeof(OfActNested), act.length - sizeof(OfActNested), &inner)


cdef uint32_t acts_check(OfActBuf *acts, const Match *match, uint8_t version, uint8_t table_id) noexcept nogil:
    cdef Check check
    check.match = match
    check.version = version
    check.table_id = table_id
    check.tags = 1 if get16(<const uint8_t *>&match.value + OFS_VLAN_TCI) & VLAN_PRESENT else 0
    return check_run(acts.data, acts.length, &check)


cdef void on(int kind, CheckFn fn) noexcept:
    CHECK[kind] = fn


def _fill():
    global F_VLAN_VID, F_VLAN_PCP, F_VLAN_TCI
    F_VLAN_TCI = field_by_name("vlan_tci")
    F_VLAN_VID = field_by_name("vlan_vid")
    F_VLAN_PCP = field_by_name("vlan_pcp")
    on(OFACT_SET_VLAN_VID, check_vlan_set)
    on(OFACT_SET_VLAN_PCP, check_vlan_set)
    on(OFACT_STRIP_VLAN, check_vlan_strip)
    on(OFACT_PUSH_VLAN, check_vlan_push)
    on(OFACT_SET_IPV4_SRC, check_ipv4)
    on(OFACT_SET_IPV4_DST, check_ipv4)
    on(OFACT_SET_IP_DSCP, check_ip)
    on(OFACT_SET_IP_ECN, check_ip)
    on(OFACT_SET_IP_TTL, check_ip)
    on(OFACT_DEC_TTL, check_ip)
    on(OFACT_SET_L4_SRC, check_l4)
    on(OFACT_SET_L4_DST, check_l4)
    on(OFACT_SET_FIELD, check_set_field)
    on(OFACT_MOVE, check_move)
    on(OFACT_STACK_PUSH, check_stack)
    on(OFACT_STACK_POP, check_stack)
    on(OFACT_OUTPUT_REG, check_output_reg)
    on(OFACT_GOTO_TABLE, check_goto)
    on(OFACT_WRITE_ACTIONS, check_nested)


_fill()
