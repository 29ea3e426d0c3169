"""PipePort: a port in memory, for tests, embedding and benchmarks.

Python injects frames on one side and takes what was sent from the same port; both directions are bounded rings under
a spinlock, because forwarders and any number of Python threads meet here. Three modes cost no Python object per
packet: `loop` repeats frames from memory as fast as they are received, `null` counts and discards what is sent, and
both together measure the switch alone. Thread rule: `pipe_*` functions run on forwarder threads, everything else on
Python threads with the GIL.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset
from posix.unistd cimport close, read, write

from datapath.atomic cimport unlikely
from datapath.drops cimport (
    DROP_OUT_OF_MEMORY, DROP_RX_NO_BUFFER, DROP_TX_FULL,
)
from datapath.packet cimport (
    BATCH_DEVICE, BATCH_LOOP, BATCH_MAX, LARGE_FRAME_MAX, OFFLOAD_CSUM_PARTIAL, OFFLOAD_GSO, Batch, Packet, PacketPool,
    packet_alloc, packet_release,
)
from datapath.ports.port cimport (
    PORT_UP, RX_QUEUES_MAX, Port, PortHandle, PortStats, port_drop, port_finish_rx, port_refuse, port_sent,
)

from typing import NamedTuple

from datapath.ports.port import CAPS
from vslib.errors import ConfigError

cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd(unsigned int initval, int flags)
    enum: EFD_CLOEXEC
    enum: EFD_NONBLOCK


class Offload(NamedTuple):
    """Offload state of a frame, as in the virtio-net header.

    `flags` are OffloadFlag bits, the rest is in bytes from the frame's start.
    """

    flags: int = 0
    gso_size: int = 0
    csum_start: int = 0
    csum_offset: int = 0
    gso_hdr_length: int = 0


cdef enum:
    LINE_BYTES = 64            # a cache line

cdef extern from "<stdlib.h>" nogil:
    void *aligned_alloc(size_t alignment, size_t size)


cdef int ring_open(Ring *ring, uint32_t size) noexcept nogil:
    """Return 0, or -1 without memory or descriptors."""
    memset(ring, 0, sizeof(Ring))
    ring.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
    ring.slots = <Slot *>calloc(size, sizeof(Slot))
    ring.size = size
    return 0 if ring.slots != NULL and ring.event_fd >= 0 else -1


cdef void ring_close(Ring *ring) noexcept nogil:
    """Free the frames and the descriptor; a second call does nothing, nor one for a ring that was never opened."""
    cdef uint32_t i
    if ring.size == 0:
        return
    for i in range(ring.used):
        free(ring.slots[(ring.head + i) % ring.size].frame)
    free(ring.slots)
    ring.slots = NULL
    ring.used = ring.size = 0
    if ring.event_fd >= 0:
        close(ring.event_fd)
    ring.event_fd = -1


cdef void ring_signal(Ring *ring) noexcept nogil:
    """Make the descriptor readable; called with the lock held, so that it never disagrees with the ring."""
    cdef uint64_t one = 1
    if not ring.signalled:
        ring.signalled = True
        write(ring.event_fd, &one, 8)


cdef void ring_settle(Ring *ring) noexcept nogil:
    """Make the descriptor unreadable once the ring is empty; called with the lock held."""
    cdef uint64_t count
    if ring.signalled and ring.used == 0:
        ring.signalled = False
        read(ring.event_fd, &count, 8)


cdef bint ring_put(Ring *ring, const Slot *slot) noexcept nogil:
    """Append a frame, whose memory the ring then owns; False if the ring is full. Called with the lock held."""
    if ring.used == ring.size:
        return False
    ring.slots[(ring.head + ring.used) % ring.size] = slot[0]
    ring.used += 1
    return True


cdef bint ring_take(Ring *ring, Slot *slot) noexcept nogil:
    """Take the oldest frame, whose memory the caller then owns; False if there is none. Called with the lock held."""
    if ring.used == 0:
        return False
    slot[0] = ring.slots[ring.head]
    ring.head = (ring.head + 1) % ring.size
    ring.used -= 1
    return True


cdef Packet *slot_packet(const Slot *slot, PacketPool *pool, PortStats *stats) noexcept nogil:
    """Return a packet with a copy of the frame; NULL if refused (counted)."""
    cdef Packet *pkt = packet_alloc(pool, slot.length)
    if pkt == NULL:
        port_refuse(DROP_RX_NO_BUFFER, stats)
        return NULL
    memcpy(pkt.data, slot.frame, slot.length)
    pkt.length = slot.length
    pkt.offload = slot.offload
    pkt.gso_size = slot.gso_size
    pkt.csum_start = slot.csum_start
    pkt.csum_offset = slot.csum_offset
    pkt.gso_hdr_length = slot.gso_hdr_length
    return pkt


cdef Packet *looped_packet(const Looped *looped, PacketPool *pool, PortStats *stats) noexcept nogil:
    """Return a packet with a copy of the frame; NULL if there is no buffer (counted).

    Whole cache lines are copied: both sides are padded to them.
    """
    cdef Packet *pkt = packet_alloc(pool, looped.length)
    cdef uint32_t at
    if unlikely(pkt == NULL):
        port_refuse(DROP_RX_NO_BUFFER, stats)
        return NULL
    at = 0
    while at < looped.length:
        memcpy(pkt.data + at, looped.frame + at, LINE_BYTES)
        at += LINE_BYTES
    return pkt


cdef void pipe_rx_loop(PipeQueue *pipe, PacketPool *pool, Batch *batch, PortStats *stats) noexcept nogil:
    """Fill the batch from the looped frames; called with the lock of the queue's ring held."""
    cdef uint32_t want = pipe.loop_batch
    cdef Packet *pkt
    if want > pipe.loop_left:
        want = <uint32_t>pipe.loop_left
    while batch.n < want:
        pkt = looped_packet(&pipe.looped[pipe.next_looped], pool, stats)
        if pkt == NULL:
            break
        batch.pkts[batch.n] = pkt
        batch.n += 1
        pipe.next_looped += 1
        if pipe.next_looped == pipe.n_looped:
            pipe.next_looped = 0
    if pipe.loop_left != <uint64_t>-1:
        pipe.loop_left -= batch.n
    if pipe.loop_left == 0:
        pipe.n_looped = 0


cdef int pipe_rx(Port *port, uint32_t queue, PacketPool *pool, Batch *batch, PortStats *stats) noexcept nogil:
    cdef PipeQueue *pipe = &(<Pipe *>port.impl).queues[queue]
    cdef Ring *ring = &pipe.ring
    cdef Slot slot
    cdef Packet *pkt
    batch.n = 0
    spin_lock(&ring.lock)
    if pipe.n_looped and port.flags & PORT_UP:     # down: the loop waits
        pipe_rx_loop(pipe, pool, batch, stats)
    else:
        while batch.n < BATCH_DEVICE and ring_take(ring, &slot):
            pkt = slot_packet(&slot, pool, stats)
            free(slot.frame)
            if pkt != NULL:
                batch.pkts[batch.n] = pkt
                batch.n += 1
    if not pipe.n_looped:
        ring_settle(ring)
    spin_unlock(&ring.lock)
    return port_finish_rx(port, batch, stats)


cdef uint32_t pipe_send(Ring *ring, const Packet *pkt) noexcept nogil:
    """Copy a packet into the ring; 0, or the reason why not. Called with the lock held."""
    cdef Slot slot
    if ring.used == ring.size:
        return DROP_TX_FULL
    slot.frame = <uint8_t *>malloc(pkt.length if pkt.length else 1)
    if slot.frame == NULL:
        return DROP_OUT_OF_MEMORY
    memcpy(slot.frame, pkt.data, pkt.length)
    slot.length = pkt.length
    slot.offload = pkt.offload
    slot.gso_size = pkt.gso_size
    slot.csum_start = pkt.csum_start
    slot.csum_offset = pkt.csum_offset
    slot.gso_hdr_length = pkt.gso_hdr_length
    ring_put(ring, &slot)
    return 0


cdef void pipe_tx(Port *port, Packet **pkts, uint32_t n, uint32_t forwarder, PortStats *stats) noexcept nogil:
    cdef Pipe *pipe = <Pipe *>port.impl
    cdef Ring *ring = &pipe.outward
    cdef uint32_t i, reason
    if pipe.null:
        port_sent(pkts, n, stats)
        return
    spin_lock(&ring.lock)
    for i in range(n):
        reason = pipe_send(ring, pkts[i])
        if reason:
            port_drop(pkts[i], reason, stats)
            continue
        stats.tx_packets += 1
        stats.tx_bytes += pkts[i].length
        packet_release(pkts[i])
    if ring.used:
        ring_signal(ring)
    spin_unlock(&ring.lock)


cdef int slot_fill(Slot *slot, bytes frame, object offload) except -1:
    """Copy a frame and its offload state into a slot; raises ConfigError if no packet could carry it."""
    cdef Py_ssize_t length = PyBytes_GET_SIZE(frame)
    if not 0 < length <= LARGE_FRAME_MAX:
        raise ConfigError(f"a frame of {length} bytes is not in 1..{LARGE_FRAME_MAX}")
    memset(slot, 0, sizeof(Slot))
    if offload is not None:
        slot.offload, slot.gso_size, slot.csum_start, slot.csum_offset, slot.gso_hdr_length = offload
        if slot.offload & OFFLOAD_CSUM_PARTIAL and <Py_ssize_t>slot.csum_start + slot.csum_offset + 2 > length:
            raise ConfigError("the checksum of the frame lies outside of it")
        if slot.offload & OFFLOAD_GSO and slot.gso_size == 0:
            raise ConfigError("a GSO frame needs a gso_size")
    slot.frame = <uint8_t *>malloc(length)
    if slot.frame == NULL:
        raise MemoryError
    memcpy(slot.frame, PyBytes_AS_STRING(frame), length)
    slot.length = <uint32_t>length
    return 0


cdef class PipePort(PortHandle):
    """In-memory port: inject() what the switch receives, take() what it sends.

    `caps` names the offloads that the output takes (csum, tso4, tso6, uso); `size` bounds each direction, in frames;
    `null` makes the output count and discard; `n_rxq` is the number of receive queues, 0 = no forwarder looks for
    frames here. Raises ConfigError for an unknown offload, a size of 0 or more than 16 queues.
    """

    def __cinit__(self, *args, **kwargs):
        self.pipe.outward.event_fd = -1

    def __init__(self, str name, *, caps=(), uint32_t size=1024, int mtu=1500, bint null=False, str kind="pipe",
                 uint32_t n_rxq=1):
        cdef uint32_t i
        unknown = sorted(set(caps) - set(CAPS))
        if unknown:
            raise ConfigError(f"{name}: unknown offload {unknown[0]}")
        if not 0 < size <= 1 << 20:
            raise ConfigError(f"{name}: size {size} is not in 1..{1 << 20}")
        self.name = name
        self.kind = kind
        if n_rxq > RX_QUEUES_MAX:
            raise ConfigError(f"{name}: {n_rxq} receive queues are not in 0..{RX_QUEUES_MAX}")
        self.pipe.n_queues = max(n_rxq, <uint32_t>1)
        self.pipe.queues = <PipeQueue *>calloc(self.pipe.n_queues, sizeof(PipeQueue))
        if self.pipe.queues == NULL or ring_open(&self.pipe.outward, size):
            raise MemoryError
        self.port.n_rxq = n_rxq
        for i in range(self.pipe.n_queues):
            if ring_open(&self.pipe.queues[i].ring, size):
                raise MemoryError
            if i:
                self.port.more_rx_fds[i - 1] = self.pipe.queues[i].ring.event_fd
        self.mtu = mtu
        self.pipe.null = null
        self.port.caps = sum(CAPS[cap] for cap in set(caps))
        self.port.impl = &self.pipe
        self.port.rx_fd = self.pipe.queues[0].ring.event_fd
        self.port.rx = pipe_rx
        self.port.tx = pipe_tx

    def __dealloc__(self):
        self.free_frames()

    cdef void free_frames(self) noexcept:
        cdef uint32_t i
        ring_close(&self.pipe.outward)
        for i in range(self.pipe.n_queues if self.pipe.queues != NULL else 0):
            ring_close(&self.pipe.queues[i].ring)
            free(self.pipe.queues[i].looped)
        free(self.pipe.queues)
        self.pipe.queues = NULL

    def _close(self) -> None:
        self.free_frames()

    def _check_open(self) -> None:
        if self.closed:
            raise ConfigError(f"pipe {self.name} is closed")

    cdef PipeQueue *queue_of(self, uint32_t queue) except NULL:
        self._check_open()
        if queue >= self.pipe.n_queues or self.pipe.queues == NULL:
            raise ConfigError(f"pipe {self.name} has no queue {queue}")
        return &self.pipe.queues[queue]

    @property
    def null(self) -> bool:
        """Whether the output counts and discards."""
        return bool(self.pipe.null)

    @null.setter
    def null(self, value: bool) -> None:
        self.pipe.null = value

    @property
    def wait_fd(self) -> int:
        """Descriptor that is readable while take() has frames to give."""
        return self.pipe.outward.event_fd

    def inject(self, bytes frame not None, offload: Offload | None = None, uint32_t queue=0) -> bool:
        """Let the switch receive a frame; False if the ring is full.

        Raises ConfigError for a frame or offload that cannot be, and for a queue that is not there.
        """
        cdef Slot slot
        cdef bint stored
        cdef Ring *ring
        if self.pipe.queues == NULL and not self.closed:
            return False       # it was never made whole
        ring = &self.queue_of(queue).ring
        slot_fill(&slot, frame, offload)
        spin_lock(&ring.lock)
        stored = ring_put(ring, &slot)
        ring_signal(ring)
        spin_unlock(&ring.lock)
        if not stored:
            free(slot.frame)
        return bool(stored)

    def take_next(self) -> bytes | None:
        """Return the oldest frame that the switch sent and that was not taken yet, None if there is none."""
        cdef Slot slot
        self._check_open()
        if not self.take_one(&slot):
            return None
        try:
            return PyBytes_FromStringAndSize(<char *>slot.frame, slot.length)
        finally:
            free(slot.frame)

    def take(self) -> list[bytes]:
        """Return the frames that the switch sent since the last call, oldest first."""
        return [frame for frame, _ in self.take_meta()]

    def take_meta(self) -> list[tuple[bytes, Offload]]:
        """Return the frames that the switch sent since the last call, each with its offload state."""
        cdef Slot slot
        taken = []
        self._check_open()
        while self.take_one(&slot):
            try:
                frame = PyBytes_FromStringAndSize(<char *>slot.frame, slot.length)
            finally:
                free(slot.frame)
            state = Offload(slot.offload, slot.gso_size, slot.csum_start, slot.csum_offset, slot.gso_hdr_length)
            taken.append((frame, state))
        return taken

    cdef bint take_one(self, Slot *slot) noexcept:
        cdef bint found
        spin_lock(&self.pipe.outward.lock)
        found = ring_take(&self.pipe.outward, slot)
        ring_settle(&self.pipe.outward)
        spin_unlock(&self.pipe.outward.lock)
        return found

    def loop(self, frames: list[bytes], count: int | None = None, batch: int = BATCH_LOOP, uint32_t queue=0) -> None:
        """Receive these frames again and again: `count` in all (None: no end), `batch` at a time; an empty list stops.

        Injected frames wait meanwhile. Raises ConfigError for a frame that cannot be, a batch that is too large or a
        queue that is not there.
        """
        cdef Looped *looped
        cdef Looped *old
        cdef uint32_t n = <uint32_t>len(frames)
        cdef uint64_t left = <uint64_t>-1 if count is None else <uint64_t>count
        cdef uint32_t per_rx = batch
        cdef PipeQueue *pipe = self.queue_of(queue)
        if not 0 < per_rx <= BATCH_MAX:
            raise ConfigError(f"a batch of {batch} is not in 1..{BATCH_MAX}")
        looped = make_looped(frames)
        spin_lock(&pipe.ring.lock)
        old = pipe.looped
        pipe.looped = looped
        pipe.n_looped = n if left else 0
        pipe.next_looped = 0
        pipe.loop_left = left
        pipe.loop_batch = per_rx
        if pipe.n_looped:
            ring_signal(&pipe.ring)
        spin_unlock(&pipe.ring.lock)
        free(old)


cdef uint32_t in_lines(Py_ssize_t n_bytes):
    return <uint32_t>(n_bytes + LINE_BYTES - 1) // LINE_BYTES * LINE_BYTES


cdef Looped *make_looped(list frames) except NULL:
    """Copy the frames into one piece of memory, to be freed as a whole; raises ConfigError for one that cannot be."""
    cdef uint32_t n_table = in_lines((len(frames) + 1) * sizeof(Looped))
    cdef size_t n_bytes = n_table
    cdef Looped *looped
    cdef uint8_t *at
    for frame in frames:
        if not 0 < len(frame) <= LARGE_FRAME_MAX:
            raise ConfigError(f"a frame of {len(frame)} bytes is not in 1..{LARGE_FRAME_MAX}")
        n_bytes += in_lines(len(frame))
    looped = <Looped *>aligned_alloc(LINE_BYTES, n_bytes)
    if looped == NULL:
        raise MemoryError
    memset(looped, 0, n_bytes)
    at = <uint8_t *>looped + n_table
    for i, frame in enumerate(frames):
        memcpy(at, PyBytes_AS_STRING(frame), len(frame))
        looped[i].frame = at
        looped[i].length = <uint32_t>len(frame)
        at += in_lines(len(frame))
    return looped
