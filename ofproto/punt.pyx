"""The ring of frames for controllers: see punt.pxd."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from posix.unistd cimport close, read, write

from datapath.atomic cimport full_fence, load_acquire, load_relaxed, store_relaxed, store_release
from datapath.bytes cimport load_be16, store_be16
from datapath.drops cimport DROP_CONTROLLER_QUEUE_FULL
from datapath.flow_key cimport FlowKey
from datapath.packet cimport OFFLOAD_CSUM_PARTIAL, Packet

cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd(unsigned int initial, int flags)
    int EFD_NONBLOCK
    int EFD_CLOEXEC


cdef int punt_init(PuntQueue *queue) except -1:
    cdef int i
    memset(queue, 0, sizeof(PuntQueue))
    queue.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
    if queue.fd < 0:
        raise OSError("eventfd")
    for i in range(FORWARDERS_MAX):
        queue.rings[i].data = <uint8_t *>calloc(1, PUNT_RING_BYTES)
        if queue.rings[i].data == NULL:
            raise MemoryError
    return 0


cdef void punt_free(PuntQueue *queue) noexcept nogil:
    cdef int i
    if queue.fd > 0:
        close(queue.fd)
    queue.fd = -1
    for i in range(FORWARDERS_MAX):
        free(queue.rings[i].data)
        queue.rings[i].data = NULL


# -- the writer

cdef inline uint32_t share_of(const PuntInfo *info) noexcept nogil:
    """The share that a frame counts for: that of its port; ports with neighbouring numbers never meet in one."""
    return (info.bridge_id * 21 + info.in_port) & (PUNT_SHARES - 1)


cdef uint8_t *reserve(PuntRing *ring, uint32_t share, uint32_t n_bytes) noexcept nogil:
    """Room for a record in one piece, NULL if there is none for its share; the rest before the ring's end gets a
    filler.
    """
    cdef uint64_t head = load_relaxed(&ring.head)
    cdef uint32_t at = <uint32_t>(head & (PUNT_RING_BYTES - 1))
    cdef uint32_t rest = PUNT_RING_BYTES - at
    cdef uint64_t used = head - load_acquire(&ring.tail)
    cdef uint32_t skip = rest if rest < n_bytes else 0
    cdef uint64_t waiting = ring.written[share] - load_relaxed(&ring.taken[share])
    if used + skip + n_bytes > PUNT_RING_BYTES:
        return NULL
    if waiting + n_bytes > PUNT_EAGERNESS * (PUNT_RING_BYTES - used):
        return NULL
    if skip:
        (<uint32_t *>(ring.data + at))[0] = skip
        (<uint32_t *>(ring.data + at))[1] = <uint32_t>PUNT_FILLER
        store_release(&ring.head, head + skip)
        at = 0
    return ring.data + at


cdef void complete_csum(uint8_t *frame, const Packet *pkt) noexcept nogil:
    """Finish a partial checksum in the copy: a controller wants the frame as it would be on the wire."""
    cdef uint32_t at = pkt.csum_start
    cdef uint32_t store = at + pkt.csum_offset
    cdef uint64_t total = 0
    cdef uint16_t folded
    if store + 2 > pkt.length:
        return
    while at + 1 < pkt.length:
        total += load_be16(frame + at)
        at += 2
    if at < pkt.length:
        total += <uint64_t>frame[at] << 8
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    folded = <uint16_t>~total
    store_be16(frame + store, folded if folded else 0xffff)


cdef void signal_reader(PuntQueue *queue) noexcept nogil:
    cdef uint64_t one = 1
    full_fence()               # the record is visible before we look whether the reader must be woken
    if load_acquire(&queue.signalled) == 0:
        store_release(&queue.signalled, 1)
        write(queue.fd, &one, 8)


cdef int punt_push(PuntQueue *queue, uint32_t forwarder, const PuntInfo *info, const Packet *pkt) noexcept nogil:
    cdef PuntRing *ring = &queue.rings[forwarder]
    cdef uint32_t n_bytes = (<uint32_t>sizeof(PuntRecord) + pkt.length + 7) & ~<uint32_t>7
    cdef uint32_t share = share_of(info)
    cdef uint8_t *at = reserve(ring, share, n_bytes)
    cdef PuntRecord *record = <PuntRecord *>at
    if at == NULL:
        store_relaxed(&ring.refused, ring.refused + 1)
        signal_reader(queue)
        return DROP_CONTROLLER_QUEUE_FULL
    record.record_bytes, record.frame_bytes = n_bytes, pkt.length
    record.info = info[0]
    memcpy(at + sizeof(PuntRecord), pkt.data, pkt.length)
    if pkt.offload & OFFLOAD_CSUM_PARTIAL:
        complete_csum(at + sizeof(PuntRecord), pkt)
    ring.written[share] += n_bytes
    store_release(&ring.head, load_relaxed(&ring.head) + n_bytes)
    signal_reader(queue)
    return 0


# -- the reader

cdef class Punt:
    """One frame for a controller: see the members in punt.pxd."""

    def __repr__(self) -> str:
        return (
            f"Punt(bridge={self.bridge!r}, in_port={self.in_port}, reason={self.reason}, table_id={self.table_id}, "
            f"cookie={self.cookie:#x}, {len(self.frame)} bytes)"
        )


cdef Punt make_punt(const PuntRecord *record, uint32_t forwarder, dict names):
    cdef Punt punt = Punt.__new__(Punt)
    cdef const PuntInfo *info = &record.info
    punt.bridge_id, punt.in_port, punt.cookie = info.bridge_id, info.in_port, info.cookie
    punt.max_len, punt.controller_id = info.max_len, info.controller_id
    punt.reason, punt.table_id, punt.forwarder = info.reason, info.table_id, forwarder
    punt.bridge = names.get(info.bridge_id)
    punt.key = (<const char *>&info.key)[:sizeof(FlowKey)]
    punt.frame = (<const char *>(record + 1))[:record.frame_bytes]
    return punt


cdef bint drain_ring(PuntRing *ring, uint32_t forwarder, dict names, list out) except -1:
    """Append the oldest frames of a ring to `out`; tells whether there are more."""
    cdef uint64_t head = load_acquire(&ring.head)
    cdef uint64_t tail = load_relaxed(&ring.tail)
    cdef uint32_t share, n = 0
    cdef const PuntRecord *record
    while tail != head and n < PUNT_TURN:
        record = <const PuntRecord *>(ring.data + (tail & (PUNT_RING_BYTES - 1)))
        if record.frame_bytes != <uint32_t>PUNT_FILLER:
            out.append(make_punt(record, forwarder, names))
            share = share_of(&record.info)
            store_relaxed(&ring.taken[share], ring.taken[share] + record.record_bytes)
            n += 1
        tail += record.record_bytes
        store_release(&ring.tail, tail)
    return tail != head


cdef list punt_drain(PuntQueue *queue, dict names):
    cdef uint64_t count
    cdef uint32_t i
    cdef bint more = False
    cdef list out = []
    read(queue.fd, &count, 8)
    store_release(&queue.signalled, 0)
    full_fence()               # from here on a writer signals again; what it wrote before is seen below
    for i in range(FORWARDERS_MAX):
        if drain_ring(&queue.rings[i], i, names, out):
            more = True
    if more:
        signal_reader(queue)
    return out
