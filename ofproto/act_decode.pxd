"""Decodes OpenFlow actions and instructions from the wire into OfAct lists, and checks them against a match.

Errors are of_error.pxd numbers; 0 = success. On an error the list is left as far as it got; callers discard it.
"""

from libc.stdint cimport uint8_t, uint32_t

from ofproto.ofact cimport OfActBuf

# A bare action list (OpenFlow 1.0 flow-mod, packet-out) appended to `out`; `version` 1 or 2 to 6.
cdef uint32_t act_list_decode(const uint8_t *p, uint32_t length, uint8_t version, OfActBuf *out) noexcept nogil
# Instructions (OpenFlow 1.1+), in whatever order they stand, appended in the order of execution.
cdef uint32_t instructions_decode(const uint8_t *p, uint32_t length, uint8_t version, OfActBuf *out) noexcept nogil
