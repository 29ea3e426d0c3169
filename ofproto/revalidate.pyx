"""The change log: see revalidate.pxd."""

from libc.stdint cimport uint64_t

from datapath.atomic cimport load_acquire
from datapath.upcall cimport Tags
from ofproto.switch cimport CHANGE_LOG, Switch, TAG_LOG
from ofproto.tags cimport tags_hold


cdef bint affected(Switch *sw, uint64_t since, uint64_t upto, const Tags *tags) noexcept nogil:
    cdef uint64_t first, end, i
    if upto <= since:
        return False
    # The writer fills the place of version + 1 before it publishes it: one less than the log is trustworthy.
    if load_acquire(&sw.version) - since >= CHANGE_LOG - 1:
        return True
    first = load_acquire(&sw.ends[since % CHANGE_LOG])
    end = load_acquire(&sw.ends[upto % CHANGE_LOG])
    if end - first > SCAN_MAX:
        return True
    for i in range(first, end):
        if tags_hold(tags, load_acquire(&sw.log[i % TAG_LOG])):
            return True
    # Was any of it written again meanwhile?
    return load_acquire(&sw.version) - since >= CHANGE_LOG - 1 or load_acquire(&sw.logged) - first > TAG_LOG
