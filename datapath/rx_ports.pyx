"""Hot and cold receive ports: see rx_ports.pxd."""

from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset
from posix.unistd cimport close

from datapath.epoll cimport (
    EPOLLIN, EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, epoll_create1, epoll_ctl, epoll_event, epoll_wait,
)
from datapath.lines cimport lines_get
from datapath.mailbox cimport fd_drain
from datapath.ports.port cimport Port, port_rx_fd
from datapath.turns cimport turn_release


cdef bint watch(RxPorts *ports, int fd, RxPort *rx) noexcept nogil:
    cdef epoll_event event
    event.events = EPOLLIN
    event.data.ptr = rx
    return fd >= 0 and epoll_ctl(ports.epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0


cdef void unwatch(RxPorts *ports, RxPort *rx) noexcept nogil:
    cdef epoll_event unused
    if rx.watched:
        epoll_ctl(ports.epoll_fd, EPOLL_CTL_DEL, port_rx_fd(rx.port, rx.queue), &unused)
    rx.watched = False


cdef int rx_ports_init(RxPorts *ports, int wake_fd) noexcept nogil:
    memset(ports, 0, sizeof(RxPorts))
    ports.wake_fd = wake_fd
    ports.epoll_fd = epoll_create1(EPOLL_CLOEXEC)
    return 0 if ports.epoll_fd >= 0 and watch(ports, wake_fd, NULL) else -1


cdef void rx_ports_destroy(RxPorts *ports) noexcept nogil:
    while ports.n:
        rx_ports_remove(ports, ports.all[0].port, ports.all[0].queue)
    free(ports.all)
    free(ports.hot)
    if ports.epoll_fd >= 0:
        close(ports.epoll_fd)
    memset(ports, 0, sizeof(RxPorts))
    ports.epoll_fd = -1


cdef bint make_room(RxPorts *ports) noexcept nogil:
    cdef uint32_t capacity = 2 * ports.capacity + 16
    cdef void *grown
    if ports.n < ports.capacity:
        return True
    grown = realloc(ports.all, capacity * sizeof(RxPort *))
    if grown == NULL:
        return False
    ports.all = <RxPort **> grown
    grown = realloc(ports.hot, capacity * sizeof(RxPort *))
    if grown == NULL:
        return False
    ports.hot = <RxPort **> grown
    ports.capacity = capacity
    return True


cdef int rx_ports_add(RxPorts *ports, Port *port, uint32_t queue, int64_t now_ns) noexcept nogil:
    cdef RxPort *rx
    if not make_room(ports):
        return -1
    rx = <RxPort *> lines_get(sizeof(RxPort))
    if rx == NULL:
        return -1
    memset(rx, 0, sizeof(RxPort))
    rx.port = port
    rx.queue = queue
    rx.watched = watch(ports, port_rx_fd(port, queue), rx)
    ports.all[ports.n] = rx
    ports.n += 1
    rx_port_heat(ports, rx, now_ns)
    return 0


cdef inline bint is_queue(const RxPort *rx, const Port *port, uint32_t queue) noexcept nogil:
    return rx.port == port and rx.queue == queue


cdef void rx_ports_remove(RxPorts *ports, const Port *port, uint32_t queue) noexcept nogil:
    cdef uint32_t i
    cdef RxPort *rx = NULL
    for i in range(ports.n_hot):
        if is_queue(ports.hot[i], port, queue):
            rx_port_cool(ports, i)
            break
    for i in range(ports.n):
        if is_queue(ports.all[i], port, queue):
            rx = ports.all[i]
            ports.n -= 1
            ports.all[i] = ports.all[ports.n]
            break
    if rx != NULL:
        unwatch(ports, rx)
        turn_release(&rx.turn)
        free(rx)


cdef void rx_port_heat(RxPorts *ports, RxPort *rx, int64_t now_ns) noexcept nogil:
    if not rx.hot:
        rx.hot = True
        rx.last_ns = now_ns
        ports.hot[ports.n_hot] = rx
        ports.n_hot += 1


cdef void rx_port_cool(RxPorts *ports, uint32_t place) noexcept nogil:
    ports.hot[place].hot = False
    ports.n_hot -= 1
    ports.hot[place] = ports.hot[ports.n_hot]


cdef void rx_port_failed(RxPorts *ports, RxPort *rx) noexcept nogil:
    """A device that is gone keeps its descriptor readable, which would cost a core: after a few failures it is
    not watched any more.
    """
    rx.errors += 1
    if rx.errors >= RX_ERRORS_MAX:
        unwatch(ports, rx)


cdef void rx_ports_rewatch(RxPorts *ports, int64_t now_ns) noexcept nogil:
    cdef uint32_t i
    cdef RxPort *rx
    for i in range(ports.n):
        rx = ports.all[i]
        if rx.errors:
            rx.errors = 0
            if not rx.watched:
                rx.watched = watch(ports, port_rx_fd(rx.port, rx.queue), rx)
            rx_port_heat(ports, rx, now_ns)


cdef void heat_unwatched(RxPorts *ports, int64_t now_ns) noexcept nogil:
    cdef uint32_t i
    for i in range(ports.n):
        if not ports.all[i].watched and ports.all[i].errors < RX_ERRORS_MAX:
            rx_port_heat(ports, ports.all[i], now_ns)


cdef void rx_ports_wait(RxPorts *ports, int timeout_ms, int64_t now_ns) noexcept nogil:
    cdef epoll_event[READY_MAX] ready
    cdef int i
    cdef int n = epoll_wait(ports.epoll_fd, ready, READY_MAX, timeout_ms)
    for i in range(n):
        if ready[i].data.ptr == NULL:
            fd_drain(ports.wake_fd)
        else:
            rx_port_heat(ports, <RxPort *> ready[i].data.ptr, now_ns)
    heat_unwatched(ports, now_ns)
