"""Encodes OfAct lists as wire actions and instructions, in the form that Open vSwitch gives for each version."""

from libc.stdint cimport uint8_t, uint32_t

from ofproto.flow_mod cimport OutBuf

# A bare action list. OpenFlow 1.0 has no instructions: write_metadata becomes the Nicira action, goto_table a resubmit;
# clear and write cannot be said and are left out. 0, -1 without memory.
cdef int act_list_encode(OutBuf *out, const uint8_t *acts, uint32_t length, uint8_t version) noexcept nogil
# Instructions (OpenFlow 1.1+): runs of actions become apply-actions. 0, -1 without memory.
cdef int instructions_encode(OutBuf *out, const uint8_t *acts, uint32_t length, uint8_t version) noexcept nogil
