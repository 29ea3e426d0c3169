"""Making and closing AF_XDP sockets: see xsk.pxd. Nothing here touches packets. Thread rule: control thread."""

from libc.errno cimport ENOMEM, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset
from posix.mman cimport (
    MAP_ANONYMOUS, MAP_FAILED, MAP_POPULATE, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap,
)
from posix.unistd cimport close

cdef extern from "<sys/socket.h>" nogil:
    cdef struct sockaddr:
        pass
    ctypedef unsigned int socklen_t
    int socket(int domain, int kind, int protocol)
    int bind(int fd, sockaddr *address, socklen_t length)
    int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
    int setsockopt(int fd, int level, int name, void *value, socklen_t length)
    enum: AF_XDP
    enum: SOCK_RAW
    enum: SOCK_CLOEXEC
    enum: SOCK_NONBLOCK
    enum: SOL_SOCKET
    enum: SO_SNDBUFFORCE

cdef extern from *:
    """
    #include <linux/if_xdp.h>
    #include <sys/socket.h>
    #ifndef SOL_XDP
    #define SOL_XDP 283
    #endif
    #ifndef XDP_MAX_TX_SKB_BUDGET
    #define XDP_MAX_TX_SKB_BUDGET 9          /* Linux 6.17 */
    #endif
    """
    enum: SOL_XDP
    enum: XDP_MMAP_OFFSETS
    enum: XDP_RX_RING
    enum: XDP_TX_RING
    enum: XDP_UMEM_REG
    enum: XDP_UMEM_FILL_RING
    enum: XDP_UMEM_COMPLETION_RING
    enum: XDP_STATISTICS
    enum: XDP_OPTIONS
    enum: XDP_OPTIONS_ZEROCOPY
    enum: XDP_USE_NEED_WAKEUP
    enum: XDP_SHARED_UMEM
    enum: XDP_MAX_TX_SKB_BUDGET
    const long long XDP_PGOFF_RX_RING
    const long long XDP_PGOFF_TX_RING
    const long long XDP_UMEM_PGOFF_FILL_RING
    const long long XDP_UMEM_PGOFF_COMPLETION_RING
    cdef struct sockaddr_xdp:
        unsigned short sxdp_family
        unsigned short sxdp_flags
        uint32_t sxdp_ifindex
        uint32_t sxdp_queue_id
        uint32_t sxdp_shared_umem_fd
    cdef struct xdp_ring_offset:
        uint64_t producer
        uint64_t consumer
        uint64_t desc
        uint64_t flags
    cdef struct xdp_mmap_offsets:
        xdp_ring_offset rx
        xdp_ring_offset tx
        xdp_ring_offset fr
        xdp_ring_offset cr
    cdef struct xdp_umem_reg:
        uint64_t addr
        uint64_t len "len"
        uint32_t chunk_size
    cdef struct xdp_statistics:
        uint64_t rx_dropped
        uint64_t rx_ring_full
    cdef struct xdp_options:
        uint32_t flags
    cdef struct xdp_desc:
        pass

cdef enum:
    SEND_BUFFER_BYTES = 8 << 20     # what the frames that the kernel holds may take, as for packet sockets
    SEND_BUDGET = 512               # frames that one call may send; the kernel's own default is 32


cdef int option(Xsk *xsk, int name, void *value, socklen_t n_bytes) noexcept nogil:
    return -errno if setsockopt(xsk.fd, SOL_XDP, name, value, n_bytes) else 0


cdef int register_memory(Xsk *xsk) noexcept nogil:
    cdef xdp_umem_reg reg
    cdef size_t n_bytes = <size_t>xsk.chunk_bytes * (2 * XSK_FRAMES)
    cdef void *memory = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0)
    if memory == MAP_FAILED:
        return -ENOMEM
    xsk.umem = <uint8_t *>memory
    memset(&reg, 0, sizeof(reg))
    reg.addr = <uint64_t><size_t>memory
    reg.len = n_bytes
    reg.chunk_size = xsk.chunk_bytes
    return option(xsk, XDP_UMEM_REG, &reg, sizeof(reg))


cdef int map_ring(int fd, XskRing *ring, size_t entry_bytes, const xdp_ring_offset *at,
                  long long page_offset) noexcept nogil:
    """Map one ring, whose size was set before."""
    cdef size_t n_bytes = at.desc + XSK_FRAMES * entry_bytes
    cdef void *memory = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, page_offset)
    if memory == MAP_FAILED:
        return -errno
    ring.memory = memory
    ring.n_bytes = n_bytes
    ring.producer = <uint32_t *>(<uint8_t *>memory + at.producer)
    ring.consumer = <uint32_t *>(<uint8_t *>memory + at.consumer)
    ring.flags = <uint32_t *>(<uint8_t *>memory + at.flags)
    ring.entries = <uint8_t *>memory + at.desc
    return 0


cdef int make_rings(Xsk *xsk) noexcept nogil:
    cdef xdp_mmap_offsets at
    cdef socklen_t length = sizeof(at)
    cdef uint32_t entries = XSK_FRAMES
    cdef int error
    error = option(xsk, XDP_UMEM_FILL_RING, &entries, sizeof(entries))
    error = error or option(xsk, XDP_UMEM_COMPLETION_RING, &entries, sizeof(entries))
    error = error or option(xsk, XDP_RX_RING, &entries, sizeof(entries))
    error = error or option(xsk, XDP_TX_RING, &entries, sizeof(entries))
    if error:
        return error
    if getsockopt(xsk.fd, SOL_XDP, XDP_MMAP_OFFSETS, &at, &length):
        return -errno
    error = map_ring(xsk.fd, &xsk.fill, sizeof(uint64_t), &at.fr, XDP_UMEM_PGOFF_FILL_RING)
    error = error or map_ring(xsk.fd, &xsk.completion, sizeof(uint64_t), &at.cr, XDP_UMEM_PGOFF_COMPLETION_RING)
    error = error or map_ring(xsk.fd, &xsk.rx, sizeof(xdp_desc), &at.rx, XDP_PGOFF_RX_RING)
    return error or map_ring(xsk.fd, &xsk.tx, sizeof(xdp_desc), &at.tx, XDP_PGOFF_TX_RING)


cdef void deal_out(Xsk *xsk) noexcept nogil:
    """Give the kernel all chunks for receiving, and put the others on the free stack."""
    cdef uint64_t *empty = <uint64_t *>xsk.fill.entries
    cdef uint32_t i
    for i in range(<uint32_t>XSK_FRAMES):
        empty[i] = <uint64_t>i * xsk.chunk_bytes
        xsk.free[i] = <uint64_t>(XSK_FRAMES + i) * xsk.chunk_bytes
    xsk.n_free = XSK_FRAMES
    xsk.fill.ours = XSK_FRAMES
    xsk.fill.producer[0] = XSK_FRAMES    # before bind(): the kernel does not look yet


cdef int xsk_open(Xsk *xsk, uint32_t chunk_bytes) noexcept nogil:
    cdef int error
    memset(xsk, 0, sizeof(Xsk))
    xsk.tx_fd = -1
    xsk.chunk_bytes = chunk_bytes
    xsk.fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
    if xsk.fd < 0:
        return -errno
    error = register_memory(xsk)
    error = error or make_rings(xsk)
    if error:
        xsk_close(xsk)
        return error
    xsk.tx_fd = xsk.fd
    smooth_sending(xsk.fd)
    deal_out(xsk)
    return 0


cdef void smooth_sending(int fd) noexcept nogil:
    """Ask for room; without it calls are repeated, or frames counted as tx_full."""
    cdef int size = SEND_BUFFER_BYTES
    cdef uint32_t budget = SEND_BUDGET
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size))
    setsockopt(fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof(budget))


cdef int open_sender(int fd, XskRing *ring, const sockaddr_xdp *address) noexcept nogil:
    """Give a new socket a tx ring and the other one's memory and queue; 0 or -errno."""
    cdef xdp_mmap_offsets at
    cdef socklen_t length = sizeof(at)
    cdef uint32_t entries = XSK_FRAMES
    cdef int error
    if setsockopt(fd, SOL_XDP, XDP_TX_RING, &entries, sizeof(entries)):
        return -errno
    if getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &at, &length):
        return -errno
    error = map_ring(fd, ring, sizeof(xdp_desc), &at.tx, XDP_PGOFF_TX_RING)
    if error == 0 and bind(fd, <const sockaddr *>address, sizeof(sockaddr_xdp)):
        error = -errno
    return error


cdef void send_apart(Xsk *xsk, uint32_t ifindex) noexcept nogil:
    """Send by a socket that nobody waits on, if it can be had.

    The kernel tells who waits on a socket of every frame that it has sent: 7 % of a forwarder's time went there.
    """
    cdef XskRing ring
    cdef sockaddr_xdp address
    cdef int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
    if fd < 0:
        return
    memset(&ring, 0, sizeof(ring))
    memset(&address, 0, sizeof(address))
    address.sxdp_family = AF_XDP
    address.sxdp_flags = XDP_SHARED_UMEM
    address.sxdp_ifindex = ifindex
    address.sxdp_shared_umem_fd = <uint32_t>xsk.fd
    if open_sender(fd, &ring, &address):
        unmap(ring.memory, ring.n_bytes)
        close(fd)
        return
    smooth_sending(fd)
    unmap(xsk.tx.memory, xsk.tx.n_bytes)
    xsk.tx = ring
    xsk.tx_fd = fd


cdef int xsk_bind(Xsk *xsk, uint32_t ifindex, uint32_t flags) noexcept nogil:
    cdef sockaddr_xdp address
    cdef xdp_options options
    cdef socklen_t length = sizeof(options)
    memset(&address, 0, sizeof(address))
    address.sxdp_family = AF_XDP
    address.sxdp_flags = <unsigned short>flags
    address.sxdp_ifindex = ifindex
    if bind(xsk.fd, <sockaddr *>&address, sizeof(address)):
        return -errno
    xsk.need_wakeup = (flags & XDP_USE_NEED_WAKEUP) != 0
    if getsockopt(xsk.fd, SOL_XDP, XDP_OPTIONS, &options, &length) == 0:
        xsk.zero_copy = options.flags & XDP_OPTIONS_ZEROCOPY
    if not xsk.zero_copy:      # there the driver sends, which is fastest with one socket
        send_apart(xsk, ifindex)
    return 0


cdef void unmap(void *memory, size_t n_bytes) noexcept nogil:
    if memory != NULL:
        munmap(memory, n_bytes)


cdef void xsk_close(Xsk *xsk) noexcept nogil:
    if xsk.tx_fd >= 0 and xsk.tx_fd != xsk.fd:
        close(xsk.tx_fd)
    if xsk.fd >= 0:
        close(xsk.fd)
    unmap(xsk.fill.memory, xsk.fill.n_bytes)
    unmap(xsk.completion.memory, xsk.completion.n_bytes)
    unmap(xsk.rx.memory, xsk.rx.n_bytes)
    unmap(xsk.tx.memory, xsk.tx.n_bytes)
    unmap(xsk.umem, <size_t>xsk.chunk_bytes * (2 * XSK_FRAMES))
    memset(xsk, 0, sizeof(Xsk))
    xsk.fd = xsk.tx_fd = -1


cdef uint64_t xsk_lost(const Xsk *xsk) noexcept nogil:
    cdef xdp_statistics counted
    cdef socklen_t length = sizeof(counted)
    memset(&counted, 0, sizeof(counted))
    if getsockopt(xsk.fd, SOL_XDP, XDP_STATISTICS, &counted, &length):
        return 0
    return counted.rx_dropped + counted.rx_ring_full
