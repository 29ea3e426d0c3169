"""PcapPort: receives the frames of a capture file from memory, writes what is sent to another; and `null_port`.

Place in the packet's path: an rx and a tx, for measuring. Receiving is PipePort's loop: the file is read once. What is
sent is appended to a buffer of CAPTURE_BYTES, record by record, under a spinlock; a thread of the port takes the
buffer whole (it swaps it for an empty one) and writes it without the GIL. A full buffer drops (tx_full), so a slow disk
costs frames, not memory. `pcap_tx` runs on forwarder threads, everything else on Python threads.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy
from posix.unistd cimport close, read, write

from datapath.drops cimport DROP_TX_ERROR, DROP_TX_FULL
from datapath.packet cimport Packet, packet_release
from datapath.ports.pipe cimport Pipe, PipePort, spin_lock, spin_unlock
from datapath.ports.port cimport Port, PortStats, port_drop

import os
import threading

from datapath.ports import pcap_file
from vslib.errors import ConfigError
from vslib.vlog import get

cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd(unsigned int initval, int flags)
    enum: EFD_CLOEXEC

cdef extern from "<time.h>" nogil:
    cdef struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec *ts)
    enum: CLOCK_REALTIME

cdef extern from "<errno.h>" nogil:
    int errno_now "errno"

cdef enum:
    CAPTURE_BYTES = 4 << 20    # some 5 ms of 60-byte frames at 10 Mpps
    RECORD_BYTES = 16          # header of a record: seconds, microseconds, captured and original length
    US_PER_S = 1000000

MAX_MTU = 65535                # a measuring port takes what any other gives it

log = get("netdev")


cdef int64_t capture_time_us(const Capture *capture) noexcept nogil:
    cdef timespec ts
    if capture.now_us >= 0:
        return capture.now_us
    clock_gettime(CLOCK_REALTIME, &ts)
    return <int64_t>ts.tv_sec * US_PER_S + ts.tv_nsec // 1000


cdef void capture_put(Capture *capture, const Packet *pkt, int64_t time_us) noexcept nogil:
    """Append a record, for which there is room; called with the lock held."""
    cdef uint32_t[4] head
    head[0] = <uint32_t>(time_us // US_PER_S)
    head[1] = <uint32_t>(time_us % US_PER_S)
    head[2] = head[3] = pkt.length
    memcpy(capture.data + capture.used, head, RECORD_BYTES)
    memcpy(capture.data + capture.used + RECORD_BYTES, pkt.data, pkt.length)
    capture.used += RECORD_BYTES + pkt.length


cdef void capture_signal(Capture *capture) noexcept nogil:
    cdef uint64_t one = 1
    write(capture.event_fd, &one, 8)


cdef void pcap_tx(Port *port, Packet **pkts, uint32_t n, uint32_t forwarder, PortStats *stats) noexcept nogil:
    cdef Capture *capture = <Capture *>(<Pipe *>port.impl).kind
    cdef int64_t time_us = capture_time_us(capture)
    cdef bint was_empty
    cdef uint32_t i
    spin_lock(&capture.lock)
    was_empty = capture.used == 0
    for i in range(n):
        if capture.failed:
            port_drop(pkts[i], DROP_TX_ERROR, stats)
            continue
        if capture.used + RECORD_BYTES + pkts[i].length > <uint32_t>CAPTURE_BYTES:
            port_drop(pkts[i], DROP_TX_FULL, stats)
            continue
        capture_put(capture, pkts[i], time_us)
        stats.tx_packets += 1
        stats.tx_bytes += pkts[i].length
        packet_release(pkts[i])
    if was_empty and capture.used:
        capture_signal(capture)
    spin_unlock(&capture.lock)


cdef uint32_t capture_swap(Capture *capture) noexcept nogil:
    """Make what was appended so far the writer's; return its bytes."""
    cdef uint8_t *full
    cdef uint32_t n_bytes
    spin_lock(&capture.lock)
    full = capture.data
    n_bytes = capture.used
    capture.data = capture.spare
    capture.spare = full
    capture.used = 0
    spin_unlock(&capture.lock)
    return n_bytes


cdef int write_all(int fd, const uint8_t *data, uint32_t n_bytes) noexcept nogil:
    """Write a buffer; 0 or the errno."""
    cdef ssize_t done
    while n_bytes:
        done = write(fd, data, n_bytes)
        if done < 0:
            return errno_now
        data += done
        n_bytes -= <uint32_t>done
    return 0


cdef class PcapPort(PipePort):
    """Port on capture files: `rx` is read and received, once or for ever (infinite), `tx` gets what is sent.

    rx, tx: paths, None = nothing is received, what is sent is discarded; frames are received from when `up` is set.
    n_rxq: receive queues, over which the frames are spread by flow. background=False: no thread writes, the owner calls
    flush(). Raises ConfigError with the option (`rx_pcap`,
    `tx_pcap`), the file and the reason.
    """

    def __cinit__(self, *args, **kwargs):
        self.fd = self.capture.event_fd = -1
        self.capture.now_us = -1

    def __init__(self, str name, *, rx=None, tx=None, bint infinite=False, bint background=True, str kind="pcap",
                 uint32_t n_rxq=1):
        PipePort.__init__(self, name, caps=(), size=1, mtu=MAX_MTU, null=True, kind=kind,
                          n_rxq=n_rxq if rx is not None else 0)
        self.writing = threading.Lock()
        try:
            frames = frames_of(rx) if rx is not None else []
            if rx is not None and tx is not None and os.path.exists(tx) and os.path.samefile(rx, tx):
                raise ConfigError(f"options:tx_pcap: {tx}: is also options:rx_pcap")
            if tx is not None:
                self.open_capture(tx, background)
            if frames:
                self.up = False     # whoever adds it to a bridge sets it going
                for queue, share in enumerate(pcap_file.by_flow(frames, n_rxq)):
                    self.loop(share, None if infinite and share else len(share), queue=queue)
        except BaseException:
            self.close()
            raise

    cdef int open_capture(self, str path, bint background) except -1:
        self.capture.data = <uint8_t *>malloc(CAPTURE_BYTES)
        self.capture.spare = <uint8_t *>malloc(CAPTURE_BYTES)
        if self.capture.data == NULL or self.capture.spare == NULL:
            raise MemoryError
        self.capture.event_fd = eventfd(0, EFD_CLOEXEC)
        if self.capture.event_fd < 0:
            raise OSError("no event descriptor")
        try:
            self.fd = pcap_file.create(path)
        except ConfigError as error:
            raise ConfigError(f"options:tx_pcap: {error}") from None
        self.pipe.kind = &self.capture
        self.port.tx = pcap_tx
        if background:
            self.thread = threading.Thread(target=self._write_on, name=f"pcap {self.name}", daemon=True)
            self.thread.start()
        return 0

    def __dealloc__(self):
        free(self.capture.data)
        free(self.capture.spare)
        self.capture.data = self.capture.spare = NULL
        if self.capture.event_fd >= 0:
            close(self.capture.event_fd)
        if self.fd >= 0:
            close(self.fd)

    @property
    def now_us(self) -> int:
        """Time of day that frames are recorded with, in us since 1970-01-01 UTC; -1 = the kernel's clock."""
        return self.capture.now_us

    @now_us.setter
    def now_us(self, value: int) -> None:
        self.capture.now_us = value

    def _write_on(self) -> None:
        """Write what comes, until the port is closed; the writer's thread."""
        cdef int event_fd = self.capture.event_fd
        cdef uint64_t count
        while not self.stopping:
            with nogil:
                read(event_fd, &count, 8)
            self.flush()

    def flush(self) -> None:
        """Write what was sent so far to the file."""
        cdef uint32_t n_bytes
        cdef int error
        cdef int fd = self.fd
        cdef Capture *capture = &self.capture
        if fd < 0 or not capture.used:
            return
        with self.writing:
            with nogil:
                n_bytes = capture_swap(capture)
                error = write_all(fd, capture.spare, n_bytes)
            if error:
                capture.failed = True
                log.err("%s: writing to options:tx_pcap failed (%s)", self.name, os.strerror(error))

    def _close(self) -> None:
        self.stopping = True
        if self.thread is not None:
            capture_signal(&self.capture)
            self.thread.join()
        if self.fd >= 0:
            self.flush()
            close(self.fd)
            self.fd = -1
        PipePort._close(self)


def frames_of(path: str) -> list[bytes]:
    """Return the frames of the file in `rx_pcap`. Raises ConfigError with the option's name."""
    try:
        frames = pcap_file.read(path)
    except ConfigError as error:
        raise ConfigError(f"options:rx_pcap: {error}") from None
    if not frames:
        raise ConfigError(f"options:rx_pcap: {path}: no frames")
    return frames


def null_port(name: str) -> PipePort:
    """Return a port that counts and discards what is sent, whatever its offloads and length, and receives nothing."""
    return PipePort(name, caps=("csum", "tso4", "tso6", "uso"), size=1, mtu=MAX_MTU, null=True, kind="null", n_rxq=0)
