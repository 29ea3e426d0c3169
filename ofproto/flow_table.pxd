"""Python's handle on the flow tables of one bridge."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from ofproto.flow_edit cimport Criteria, FlowEditor
from ofproto.expiry cimport RuleList
from ofproto.flow_mod cimport Match, OutBuf
from ofproto.rule cimport Rule
from ofproto.switch cimport BridgeHandle

# A rule that went, kept alive until its flow-removed message is made.
cdef class RemovedFlow:
    cdef Rule *rule                    # one reference held
    cdef int64_t removed_ns

# A flow statistics answer under way.
cdef class FlowDump:
    cdef RuleList rules                # a reference on each from next_rule on; those before are NULL
    cdef OutBuf out                    # what is encoded and not yet in a body
    cdef uint32_t next_rule            # first one not encoded
    cdef int64_t now_ns                # what ages are relative to
    cdef uint8_t version
    cdef bint nxst

cdef class FlowTables:
    cdef FlowEditor *ed
    cdef readonly BridgeHandle bridge
    cdef list take_told(self)
    cdef int prepare(self) except -1
    cdef int meeting(self, const Criteria *which, RuleList *out) except -1

# FlowKey images; raises InternalError for other lengths
cdef int load_match(bytes value, bytes mask, Match *out) except -1
