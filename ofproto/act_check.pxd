"""Checks a decoded action list against the match it belongs to: prerequisites, VLAN tags, tables; see act_check.pyx."""

from libc.stdint cimport uint8_t, uint32_t

from ofproto.flow_mod cimport Match
from ofproto.ofact cimport OfActBuf

# table_id: where the flow stands (goto must lead to a later one), TABLE_ALL = unknown. Notes in the entries what
# encoding in another version needs to know (OFACT_F_VLAN_FLOW_HAS, the IP protocol of SET_L4_*). 0 or an error.
cdef uint32_t acts_check(OfActBuf *acts, const Match *match, uint8_t version, uint8_t table_id) noexcept nogil
