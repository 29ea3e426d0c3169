"""What a translation tells of its way: see record.pxd."""

from libc.stdlib cimport free


cdef void record_free(Record *record) noexcept nogil:
    free(record.events.data)
    free(record.data.data)
