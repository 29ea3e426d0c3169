"""Decoded OpenFlow actions and instructions, the form that rules keep and translation walks.

A list is a run of structs, each starting with OfAct and padded to 8 bytes; `length` leads to the next. Instructions are
entries like actions: the contents of apply-actions stand directly in the list, write-actions nests its own list, the
others have a kind. The list's order is execution order. `actions.py` (ACTIONS) holds names, wire types per version and
text forms; act_decode.pyx and act_encode.pyx loop over it.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum OfActKind:
    OFACT_OUTPUT = 1           # OfActOutput
    OFACT_CONTROLLER           # OfActController
    OFACT_ENQUEUE              # OfActEnqueue
    OFACT_OUTPUT_REG           # OfActOutputReg
    OFACT_SET_VLAN_VID         # OfActValue: 12 bits; pushes a tag when there is none and flags & OFACT_F_PUSH_VLAN
                               # (OpenFlow 1.0)
    OFACT_SET_VLAN_PCP         # OfActValue: 3 bits; the same
    OFACT_STRIP_VLAN           # OfAct
    OFACT_PUSH_VLAN            # OfActValue: ethertype
    OFACT_SET_ETH_SRC          # OfActMac
    OFACT_SET_ETH_DST          # OfActMac
    OFACT_SET_IPV4_SRC         # OfActValue: address as a host-order number
    OFACT_SET_IPV4_DST         # OfActValue
    OFACT_SET_IP_DSCP          # OfActValue: DSCP << 2 (as mod_nw_tos)
    OFACT_SET_IP_ECN           # OfActValue
    OFACT_SET_IP_TTL           # OfActValue
    OFACT_SET_L4_SRC           # OfActValue: TCP, UDP or SCTP port
    OFACT_SET_L4_DST           # OfActValue
    OFACT_SET_FIELD            # OfActSetField (set_field, and load: flags & OFACT_F_LOAD)
    OFACT_MOVE                 # OfActMove
    OFACT_STACK_PUSH           # OfActStack
    OFACT_STACK_POP            # OfActStack
    OFACT_DEC_TTL              # OfActIds: controller ids (count 0: plain dec_ttl)
    OFACT_SET_TUNNEL           # OfActValue64
    OFACT_SET_QUEUE            # OfActValue
    OFACT_POP_QUEUE            # OfAct
    OFACT_RESUBMIT             # OfActResubmit
    OFACT_NOTE                 # OfActNote
    OFACT_EXIT                 # OfAct
    # instructions
    OFACT_CLEAR_ACTIONS        # OfAct
    OFACT_WRITE_ACTIONS        # OfActNested
    OFACT_WRITE_METADATA       # OfActMetadata
    OFACT_GOTO_TABLE           # OfActValue: table
    N_OFACT_KINDS

cdef enum OfActFlag:
    OFACT_F_PUSH_VLAN = 1      # SET_VLAN_*: push a tag if there is none
    OFACT_F_LOAD = 2           # SET_FIELD came as NXAST_REG_LOAD
    OFACT_F_64 = 4             # SET_TUNNEL came as set_tunnel64
    OFACT_F_TABLE = 8          # RESUBMIT names a table (resubmit(,N)); OUTPUT_REG came with max_len form NX32
    OFACT_F_NXM = 16           # encode the NX form although the version has a standard one
    OFACT_F_VLAN_FLOW_HAS = 32 # SET_VLAN_*: the match guarantees a tag

cdef struct OfAct:
    uint8_t kind               # OfActKind
    uint8_t flags              # OfActFlag
    uint16_t length            # bytes of this entry, a multiple of 8
    uint32_t reserved
cdef struct OfActOutput:
    OfAct h
    uint32_t port              # OpenFlow port number (32-bit form), host order
    uint32_t max_len           # bytes for the controller
cdef struct OfActController:
    OfAct h
    uint16_t max_len
    uint16_t controller_id
    uint8_t reason             # OFPR_*
    uint8_t[3] pad
cdef struct OfActEnqueue:
    OfAct h
    uint32_t port
    uint32_t queue
cdef struct OfActValue:
    OfAct h
    uint32_t value             # host order
    uint32_t pad               # SET_L4_*: IP protocol that the match names, 0 = unknown; else 0
cdef struct OfActValue64:
    OfAct h
    uint64_t value
cdef struct OfActMac:
    OfAct h
    uint8_t[6] mac
    uint8_t[2] pad
cdef struct OfActSetField:     # followed by value and mask, n_bytes each, right-aligned big-endian
    OfAct h
    uint16_t field             # number in FIELD
    uint16_t n_bytes
    uint32_t pad
    uint8_t[8] data            # value[n_bytes] then mask[n_bytes], padded
cdef struct OfActMove:
    OfAct h
    uint16_t src
    uint16_t src_low
    uint16_t dst
    uint16_t dst_low
    uint16_t n_bits
    uint8_t[6] pad
cdef struct OfActStack:
    OfAct h
    uint16_t field
    uint16_t low
    uint16_t n_bits
    uint16_t pad
cdef struct OfActOutputReg:
    OfAct h
    uint16_t field
    uint16_t low
    uint16_t n_bits
    uint16_t max_len
cdef struct OfActIds:
    OfAct h
    uint16_t count
    uint16_t[3] ids            # count entries, padded
cdef struct OfActResubmit:
    OfAct h
    uint32_t in_port           # OpenFlow port to pretend, OFPP_IN_PORT = keep
    uint8_t table              # 255 = the current table
    uint8_t[3] pad
cdef struct OfActNote:
    OfAct h
    uint16_t count
    uint8_t[6] data            # count bytes, padded
cdef struct OfActNested:
    OfAct h                    # length includes the nested entries, which follow
cdef struct OfActMetadata:
    OfAct h
    uint64_t value_be          # network byte order, as the slot
    uint64_t mask_be

cdef struct OfActBuf:          # growable byte buffer
    uint8_t *data
    uint32_t length
    uint32_t capacity

cdef inline const OfAct *ofact_next(const OfAct *a) noexcept nogil:
    return <const OfAct *>(<const uint8_t *>a + a.length)
