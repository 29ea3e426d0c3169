"""What a translation tells of its way, for ofproto/trace: a list of events.

The events are plain structs because translation runs without Python objects; report.pxd adds them, runtime.pyx hands
them to Python and ofproto/trace.py makes text of them.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from datapath.flow_key cimport FlowKey
from ofproto.rule cimport Rule

cpdef enum EventKind:
    EVENT_BRIDGE = 1           # opens: bridge_id was entered
    EVENT_TABLE                # opens: table was looked up; rule, or note says why there is none
    EVENT_ACTION_SET           # opens: the action set is executed
    EVENT_CLOSE                # ends what was opened last
    EVENT_ACTION               # data: the action; none = drop
    EVENT_SET                  # data: contents of the action set in the order they would run; note: is or was
    EVENT_VALUE                # number, aux, n_bits: field, lowest bit and bits written; data: value, 8 bytes a word
    EVENT_NOTE                 # note, about number, aux, and data

cpdef enum Note:
    NOTE_NONE
    NOTE_NO_MATCH
    NOTE_PACKET_IN             # no match, and a packet-in is sent
    NOTE_STANDALONE            # no match, and the fail mode says NORMAL
    NOTE_FRAGMENT              # fragments are dropped
    NOTE_SET_IS
    NOTE_SET_WAS
    NOTE_SAME_PORT
    NOTE_NO_PORT               # output to a port that is not there
    NOTE_OUTPUT_REG            # number: the port that the register held
    NOTE_NO_FWD
    NOTE_TTL_4
    NOTE_TTL_6
    NOTE_STACK_UNDERFLOW
    NOTE_TOO_DEEP
    NOTE_TOO_MANY_RESUBMITS
    NOTE_STACK_FULL
    NOTE_UNMET_PREREQS         # number: field
    NOTE_UNKNOWN_PORT          # number: input port of NORMAL
    NOTE_NO_BUNDLE             # ... so that it has no VLAN settings
    NOTE_VLAN_NOT_ADMITTED     # number: port; aux: its tag << 16 | VLAN
    NOTE_TAG_ON_ACCESS_PORT    # ... as above
    NOTE_VLAN_DROPPED
    NOTE_RESERVED_MAC
    NOTE_LEARNED               # number: port; aux: VLAN; data: MAC
    NOTE_FORWARDING
    NOTE_LEARNED_ON_INPUT
    NOTE_FLOODING
    NOTE_QUEUE                 # number: skb_priority
    NOTE_CUT                   # more than EVENTS_MAX
    N_NOTES

cdef enum:
    EVENTS_MAX = 50000         # of one translation; 4096 resubmits may each run a long list

cdef struct Grow:              # an array that grows and is kept from one translation to the next
    uint8_t *data
    uint32_t n                 # elements
    uint32_t capacity

cdef struct Event:
    uint8_t kind               # EventKind
    uint8_t note               # Note
    uint8_t table_id
    uint16_t n_bits
    uint32_t bridge_id         # where it happened
    uint32_t number
    uint32_t aux
    uint32_t at                # data: first byte in Record.data
    uint32_t length            # data: bytes
    const Rule *rule           # the credit list keeps it

cdef struct Record:
    uint32_t bridge_id         # where the packet comes in
    uint32_t in_port           # OpenFlow number, which may be no port
    FlowKey start              # the packet, and values of the pipeline to start with
    Grow events                # Event
    Grow data                  # bytes
    uint32_t hidden            # opened after EVENTS_MAX and not closed yet

cdef void record_free(Record *record) noexcept nogil
