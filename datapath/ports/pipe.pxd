"""PipePort: a port in memory (see pipe.pyx), and what kinds that build on it need: pcap."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from datapath.ports.port cimport PortHandle

cdef extern from *:
    """
    #include <sched.h>
    static inline void spin_lock(char *lock) {
        while (__atomic_test_and_set(lock, __ATOMIC_ACQUIRE))
            sched_yield();          /* two cores are shared with the peer: let it finish */
    }
    static inline void spin_unlock(char *lock) { __atomic_clear(lock, __ATOMIC_RELEASE); }
    """
    void spin_lock(char *lock) nogil
    void spin_unlock(char *lock) nogil

cdef struct Slot:              # one frame in a ring
    uint8_t *frame             # its bytes, from malloc; owned by the ring
    uint32_t length            # bytes of frame
    uint32_t offload           # OffloadFlag bits
    uint16_t gso_size          # as in Packet
    uint16_t csum_start
    uint16_t csum_offset
    uint16_t gso_hdr_length

cdef struct Ring:
    Slot *slots                # `size` of them
    uint32_t size
    uint32_t head              # oldest frame
    uint32_t used              # frames in it: slots[head .. head+used) modulo size
    char lock
    bint signalled             # the event descriptor is readable
    int event_fd

cdef struct Looped:            # one frame that rx repeats
    const uint8_t *frame       # its bytes, on a cache line of its own and padded to whole ones
    uint32_t length            # bytes of frame

cdef struct PipeQueue:         # a receive queue; in cache lines of its own
    Ring ring                  # Python -> forwarder
    Looped *looped             # frames that rx repeats; they and their bytes are one piece of memory
    uint32_t n_looped          # 0 = not looping
    uint32_t next_looped       # the one that comes next
    uint32_t loop_batch        # frames given by one rx call
    uint64_t loop_left         # frames still to be given; all ones = no end
    uint8_t[128] unused

cdef struct Pipe:
    PipeQueue *queues
    uint32_t n_queues          # Port.n_rxq, or 1 where nobody is to receive
    Ring outward               # forwarder -> Python
    bint null                  # tx counts and discards
    void *kind                 # state of a kind that builds on this one (pcap), else NULL

cdef class PipePort(PortHandle):
    cdef Pipe pipe

    cdef PipeQueue *queue_of(self, uint32_t queue) except NULL
    cdef void free_frames(self) noexcept
    cdef bint take_one(self, Slot *slot) noexcept
