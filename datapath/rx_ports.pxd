"""The queues of ports that one forwarder receives from: hot ones are polled in turn, cold ones wait in epoll.

A queue is hot while it delivers packets and for SPIN_NS after its last one (polling.pxd); then its descriptor, which is
always registered, brings it back. So a busy port costs no epoll and a quiet one no polling, and with every port cold
the forwarder may sleep.
"""

from libc.stdint cimport int64_t, uint32_t

from datapath.ports.port cimport Port
from datapath.turns cimport Turn

cdef enum:
    RX_ERRORS_MAX = 8          # failed receives in a row after which a port's descriptor is left alone until the next
                               # sweep
    READY_MAX = 64             # descriptors taken from epoll at once

cdef struct RxPort:            # allocated apart from other forwarders' memory
    Port *port
    uint32_t queue             # of the port
    int64_t last_ns            # time of the last packet, or when it became hot
    bint hot                   # in RxPorts.hot
    bint watched               # its descriptor is in epoll
    uint32_t errors            # failed receives in a row
    Turn turn                  # its share of the forwarder

cdef struct RxPorts:
    RxPort **all
    uint32_t n
    RxPort **hot
    uint32_t n_hot
    uint32_t capacity          # of both arrays
    int epoll_fd
    int wake_fd                # the mailbox's, registered without a port

cdef int rx_ports_init(RxPorts *ports, int wake_fd) noexcept nogil         # 0, or -1 without memory or descriptors
cdef void rx_ports_destroy(RxPorts *ports) noexcept nogil
# 0, or -1 without memory
cdef int rx_ports_add(RxPorts *ports, Port *port, uint32_t queue, int64_t now_ns) noexcept nogil
cdef void rx_ports_remove(RxPorts *ports, const Port *port, uint32_t queue) noexcept nogil     # if it is there
# Take what epoll knows, waiting up to timeout_ms (-1: until something happens); ports with news become hot. After a
# wait, those without a descriptor too.
cdef void rx_ports_wait(RxPorts *ports, int timeout_ms, int64_t now_ns) noexcept nogil
cdef void rx_ports_rewatch(RxPorts *ports, int64_t now_ns) noexcept nogil      # give failed ports another chance
cdef void rx_port_heat(RxPorts *ports, RxPort *rx, int64_t now_ns) noexcept nogil
# hot[place]; the last hot one takes its place
cdef void rx_port_cool(RxPorts *ports, uint32_t place) noexcept nogil
cdef void rx_port_failed(RxPorts *ports, RxPort *rx) noexcept nogil            # one more failed receive
