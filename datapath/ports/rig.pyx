"""PortRig: runs the rx and tx functions of port handles on the caller's thread, with a pool of its own.

For tests and for trying a port by hand: no parser, no tables. What goes from one port to another passes
`port_send` as in a forwarder.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t
from libc.string cimport memcpy

from datapath.packet cimport (
    BATCH_DEVICE, Batch, Packet, PacketPool, packet_alloc, packet_release, pool_destroy, pool_init,
)
from datapath.ports.port cimport PortHandle, port_send

from datapath.ports.pipe import Offload
from vslib.errors import ConfigError

cdef enum:
    SMALL_BUFFERS = 512        # more than two batches, so that running dry can be tested with few frames
    LARGE_BUFFERS = 256


cdef class PortRig:
    """A pool and one forwarder number; raises MemoryError if the pool cannot be had."""

    cdef PacketPool pool
    cdef uint32_t forwarder

    def __cinit__(self, uint32_t forwarder=0, uint32_t small=SMALL_BUFFERS, uint32_t large=LARGE_BUFFERS):
        self.forwarder = forwarder
        if pool_init(&self.pool, small, large):
            raise MemoryError

    def __dealloc__(self):
        pool_destroy(&self.pool)

    @property
    def in_use(self) -> int:
        """Packets that are out of the pool; 0 between calls unless a port leaks."""
        return self.pool.in_use

    cdef int rx(self, PortHandle port, Batch *batch) except -1:
        """Fill the batch once; the number of packets. Raises OSError if the device is gone."""
        cdef int n
        batch.n = 0
        with nogil:
            n = port.port.rx(&port.port, 0, &self.pool, batch, &port.port.stats[self.forwarder])
        if n < 0:
            raise OSError(-n, f"device of port {port.name} is gone")
        return n

    cdef void tx(self, PortHandle port, Packet **pkts, uint32_t n) noexcept:
        """Send a vector; releases every packet."""
        with nogil:
            port_send(&port.port, pkts, n, self.forwarder)

    def receive_meta(self, PortHandle port not None) -> list[tuple[bytes, Offload]]:
        """Return what one rx call gives, each frame with its offload state. Raises OSError if the device is gone."""
        cdef Batch batch
        cdef Packet *pkt
        cdef uint32_t i
        self.rx(port, &batch)
        taken = []
        for i in range(batch.n):
            pkt = batch.pkts[i]
            frame = PyBytes_FromStringAndSize(<char *>pkt.data, pkt.length)
            state = Offload(pkt.offload, pkt.gso_size, pkt.csum_start, pkt.csum_offset, pkt.gso_hdr_length)
            taken.append((frame, state))
            packet_release(pkt)
        return taken

    def receive(self, PortHandle port not None) -> list[bytes]:
        """Return the frames that one rx call gives. Raises OSError if the device is gone."""
        return [frame for frame, _ in self.receive_meta(port)]

    def send(self, PortHandle port not None, frames: list[bytes], offload: Offload | None = None) -> None:
        """Send frames in vectors of at most BATCH_DEVICE, all with the same offload state.

        Raises ConfigError if a frame fits no buffer.
        """
        cdef Packet *pkts[BATCH_DEVICE]
        cdef uint32_t n = 0
        for frame in frames:
            pkts[n] = self.packet(frame, offload)
            if pkts[n] == NULL:
                self.tx(port, pkts, n)
                raise ConfigError(f"no buffer for a frame of {len(frame)} bytes")
            n += 1
            if n == BATCH_DEVICE:
                self.tx(port, pkts, n)
                n = 0
        self.tx(port, pkts, n)

    cdef Packet *packet(self, bytes frame, object offload) except? NULL:
        """Return a packet with the frame, NULL if there is no buffer."""
        cdef uint32_t length = <uint32_t>PyBytes_GET_SIZE(frame)
        cdef Packet *pkt = packet_alloc(&self.pool, length)
        if pkt == NULL:
            return NULL
        memcpy(pkt.data, PyBytes_AS_STRING(frame), length)
        pkt.length = length
        if offload is not None:
            pkt.offload, pkt.gso_size, pkt.csum_start, pkt.csum_offset, pkt.gso_hdr_length = offload
        return pkt

    def forward(self, PortHandle source not None, PortHandle target not None) -> int:
        """Move one batch from source to target; the number of packets received.

        Raises OSError if the source's device is gone.
        """
        cdef Batch batch
        cdef int n = self.rx(source, &batch)
        self.tx(target, batch.pkts, batch.n)
        return n
