"""Flow-mods on their way from received bytes to the tables: those of one read, and those that wait for the commit of
their bundle, whole messages one after the other in one piece of memory.

Thread rule: the control thread.
"""

from libc.stdint cimport uint8_t, uint32_t

from ofproto.flow_edit cimport EDIT_BATCH, FlowEditor
from ofproto.flow_mod cimport OutBuf

cdef enum:
    MESSAGE_OVERHEAD = 16      # what a bundle's limit counts for each message beyond its bytes

cdef struct Messages:          # a batch on its way into C; somebody else holds the bytes
    (const uint8_t *)[EDIT_BATCH] data
    uint32_t[EDIT_BATCH] lengths
    uint32_t n

cdef struct BundleAdds:        # a run of them
    const uint8_t *at
    const uint8_t *end
    Py_ssize_t room            # bytes that the bundle may still grow by
    bint in_command            # NXT_FLOW_MOD_TABLE_ID is on

cdef class ModStore:
    cdef OutBuf data
    cdef uint32_t n
    cdef uint32_t inside       # byte of each message where the flow-mod begins: behind the head of a bundle-add
    # 0, -1 without memory
    cdef int put(self, const uint8_t *msg, uint32_t length) noexcept nogil

# Fill a batch with the flow-mods in the whole messages from `at` on, `inside` each; returns where the next one begins.
cdef const uint8_t *cut_messages(const uint8_t *at, const uint8_t *end, uint32_t inside, Messages *batch) noexcept nogil
cdef void decode_batch(FlowEditor *ed, const Messages *batch, bint in_command) noexcept nogil
# Move the flow-mods that FlowTables.collect_adds describes into the store and run.at behind them; 0, -1 without memory.
cdef int take_adds(FlowEditor *ed, ModStore store, BundleAdds *run) noexcept nogil
# Apply a store as part of the bundle under way; 0, or the error of the message behind the n_done that went well.
cdef uint32_t run_store(FlowEditor *ed, ModStore store, bint in_command, Py_ssize_t *n_done) noexcept nogil
