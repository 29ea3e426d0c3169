"""Credit lists: whom a megaflow's packets count for (OF.09, DP.13).

A list is made by one translation, held by the megaflow through a reference count and walked whenever the datapath
pushes counts. Rules are held by reference; everything else is named by number and looked up again under the read lock,
so that a port or a MAC may go at any time.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from datapath.flow_key cimport FlowKey
from ofproto.rule cimport Rule
from ofproto.switch cimport Switch

cdef enum CreditKind:
    CREDIT_RULE = 1            # rule: matched in table of bridge_id
    CREDIT_MISS = 2            # table of bridge_id was looked up in vain
    CREDIT_MAC = 3             # mac, vlan of bridge_id was seen on port
    CREDIT_PATCH = 4           # left bridge_id by patch port `port` into its peer
    CREDIT_DROP = 5            # was dropped in table of bridge_id for the DropReason in `port`

cdef struct CreditItem:
    uint8_t kind               # CreditKind
    uint8_t table
    uint16_t vlan
    uint32_t bridge_id
    uint32_t port              # OpenFlow port number; CREDIT_DROP: DropReason
    uint8_t[6] mac
    Rule *rule                 # one reference held; CREDIT_RULE only

cdef struct PuntInfo:          # what a controller action knows besides the frame
    uint32_t bridge_id
    uint32_t in_port           # OpenFlow number
    uint64_t cookie            # of the rule that said so; all ones for a table miss or a packet-out
    uint16_t max_len           # bytes of the frame the controller wants
    uint16_t controller_id
    uint8_t reason             # OFPR_*; PUNT_EXPLICIT_MISS for a controller action of a table-miss rule
    uint8_t table_id
    FlowKey key                # metadata only: in_port, mark, tunnel, ct and the pipeline's registers

cdef enum PuntReason:          # OFPR_* of OpenFlow 1.4, which sessions map down
    PUNT_NO_MATCH = 0
    PUNT_ACTION = 1
    PUNT_INVALID_TTL = 2
    PUNT_ACTION_SET = 3
    PUNT_PACKET_OUT = 5
    PUNT_EXPLICIT_MISS = 6     # ours: OFPR_NO_MATCH from OpenFlow 1.3 on, OFPR_ACTION before

cdef struct Credit:
    uint32_t refs              # atomic
    uint32_t n_items
    uint32_t n_punts
    CreditItem *items          # both arrays lie in the same block of memory, behind this struct
    PuntInfo *punts            # the cookies of ACT_PUNT point here

# refs 1; takes over the rules' references; NULL without memory
cdef Credit *credit_make(const CreditItem *items, uint32_t n_items, const PuntInfo *punts,
        uint32_t n_punts) noexcept nogil
cdef void credit_release(Credit *credit) noexcept nogil
cdef void credit_push(Switch *sw, const Credit *credit, uint64_t packets, uint64_t n_bytes,
        int64_t used_ns) noexcept nogil
