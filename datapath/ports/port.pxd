"""The port interface: what the forwarder knows of a port.

A port kind (tap, afpacket, pipe, ...) fills in a Port struct with its functions. The struct lives from the attach
command until every forwarder has acknowledged the detach command; then the Python object that owns it closes its
descriptors.
"""

from libc.stdint cimport uint32_t, uint64_t

from datapath.packet cimport Batch, Packet, PacketPool

cdef enum:
    FORWARDERS_MAX = 16        # most forwarder threads
    PORTS_MAX = 65536          # datapath port numbers are below this
    RX_QUEUES_MAX = 16         # most receive queues of a port
    DROPS_ROOM = 55            # N_DROP_REASONS and what rounds PortStats up

cdef enum PortCap:             # Port.caps: what the output can be given as it is
    PORT_CAP_CSUM = 1          # frames with partial checksums
    PORT_CAP_TSO4 = 2
    PORT_CAP_TSO6 = 4
    PORT_CAP_USO = 8

cdef enum PortFlag:            # Port.flags, set by the control thread, read by forwarders (a plain word)
    PORT_UP = 1                # frames are received and sent; cleared while the device is administratively down

cdef struct PortStats:         # one per forwarder and port; written only by that forwarder, read by anybody
    uint64_t rx_packets
    uint64_t rx_bytes
    uint64_t rx_errors
    uint64_t tx_packets
    uint64_t tx_bytes
    uint64_t tx_errors
    uint64_t tx_calls          # system calls made to send
    uint64_t tx_segmented      # GSO frames that were cut here because the output cannot
    uint64_t multicast         # received with the group bit set
    # by reason: received here and dropped anywhere (rx), or dropped at this output (tx_*); the array is longer than
    # there are reasons, so that the whole is a multiple of two cache lines and no forwarder's counters share one
    uint64_t[DROPS_ROOM] drops

cdef struct RxQueueStats:      # one per receive queue; written only by the forwarder that receives from it
    uint64_t packets
    uint64_t cycles            # of the processor's time stamp counter, spent on batches that had packets
    uint64_t[14] unused        # two cache lines (processors fetch them in pairs)

cdef struct Port:
    uint32_t port_no           # datapath port number, host order
    uint32_t caps              # PortCap bits
    uint32_t flags             # PortFlag bits
    uint32_t max_frame_bytes   # longest frame without VLAN tag that the device takes (MTU + 14); GSO frames are exempt
    int rx_fd                  # descriptor that epoll waits on for reading, -1 = none (rx is polled on a wake-up only)
    uint32_t n_rxq             # receive queues; does not change while the port is attached
    int[RX_QUEUES_MAX] more_rx_fds     # descriptors of the queues from the second on; see port_rx_fd
    # Receive up to BATCH_MAX frames from one queue into packets of the pool, in_port set. Returns their number, 0 =
    # nothing there, or a negative errno when the device is gone. Frames refused while receiving are counted in stats by
    # reason. At most one forwarder at a time receives from a queue, which one may change; queues share no state that is
    # written.
    int (*rx)(Port *port, uint32_t queue, PacketPool *pool, Batch *batch, PortStats *stats) noexcept nogil
    # Send a vector and release every packet of it, sent or not (drops counted in stats by reason). The vector already
    # went through `port_send` (checksums, GSO, length), so the port only writes. forwarder: number of the calling
    # forwarder, for per-thread handles.
    void (*tx)(Port *port, Packet **pkts, uint32_t n, uint32_t forwarder, PortStats *stats) noexcept nogil
    void *impl                 # the kind's own state
    PortStats *stats           # FORWARDERS_MAX entries
    RxQueueStats *rxq_stats    # RX_QUEUES_MAX entries

cdef inline int port_rx_fd(const Port *port, uint32_t queue) noexcept nogil:
    return port.rx_fd if queue == 0 else port.more_rx_fds[queue - 1]


# Send a vector and release every packet of it: what the port cannot take as it is goes with its checksum completed or
# cut into segments, or is dropped (with reason): over-long frames, GSO frames that cannot be cut, a port that is down.
cdef void port_send(Port *port, Packet **pkts, uint32_t n, uint32_t forwarder) noexcept nogil
# count a DropReason and release the packet
cdef void port_drop(Packet *pkt, uint32_t reason, PortStats *stats) noexcept nogil
cdef void port_refuse(uint32_t reason, PortStats *stats) noexcept nogil     # count a frame for which no packet was made
# end of every rx: stamp in_port, count; drops the batch of a port that is not up; batch.n
cdef int port_finish_rx(Port *port, Batch *batch, PortStats *stats) noexcept nogil
# count n packets as sent and release them
cdef void port_sent(Packet **pkts, uint32_t n, PortStats *stats) noexcept nogil
cdef uint32_t port_tx_reason(int error) noexcept nogil       # the DropReason for an errno that a send call gave

# Shell around a Port: owns its memory and descriptors. Subclasses (TapPort, AfPacketPort, PipePort, ...) set the
# functions in __init__.
cdef class PortHandle:
    cdef Port port             # what forwarders hold a pointer to
    cdef readonly str name     # device or wire name
    cdef readonly str kind     # "tap", "internal", "system", "pipe", "dummy"
    cdef bint closed
    cdef public bint attached  # set by the datapath from attach to the last detach acknowledgement; close() is refused
                               # meanwhile
