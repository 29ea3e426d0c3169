"""PcapPort: see pcap.pyx."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from datapath.ports.pipe cimport PipePort

cdef struct Capture:           # frames on their way to a file
    uint8_t *data              # records that forwarders append, CAPTURE_BYTES
    uint8_t *spare             # records that are being written, as long; touched by the writer only
    uint32_t used              # bytes in data
    uint32_t failed            # the file takes no more
    int64_t now_us             # time of day for the records; -1 = the kernel's
    int event_fd               # readable while data is not empty
    char lock                  # of data, used and the event descriptor

cdef class PcapPort(PipePort):
    cdef Capture capture
    cdef int fd                # the file that tx writes, -1 = none
    cdef object writing        # held by whoever writes to the file
    cdef object thread         # the writer, None = the owner calls flush()
    cdef bint stopping         # the writer is to end

    cdef int open_capture(self, str path, bint background) except -1
