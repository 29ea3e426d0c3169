"""An AF_XDP socket: packet memory shared with the kernel and four rings of it (PT.05).

The memory (UMEM) is cut into chunks of one size. The first FRAMES chunks always belong to receiving: they are either
in the fill ring (empty, the kernel's), or in the rx ring (a frame). The others belong to sending: on the free stack,
in the tx ring, or in the kernel until they come back by the completion ring.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    XSK_FRAMES = 2048          # chunks for each direction, and entries of each ring

cdef struct XskRing:
    uint32_t *producer         # index of the next entry to be written; only ever grows, modulo 2^32
    uint32_t *consumer         # index of the next entry to be read
    uint32_t *flags            # XDP_RING_NEED_WAKEUP
    void *entries              # XSK_FRAMES of uint64_t (fill, completion: address) or xdp_desc (rx, tx)
    uint32_t ours              # our own side's index, as stored last
    void *memory               # the mapping
    size_t n_bytes             # of it

cdef struct Xsk:
    int fd                     # -1 = closed
    int tx_fd                  # socket of the tx ring: fd, or one of its own
    bint zero_copy             # the driver writes into the chunks itself
    bint need_wakeup           # the rings' flags say when the kernel waits for a call
    uint32_t chunk_bytes
    uint8_t *umem              # 2 * XSK_FRAMES chunks
    XskRing fill
    XskRing completion
    XskRing rx
    XskRing tx
    uint32_t n_free            # chunks on the free stack
    uint64_t[XSK_FRAMES] free  # their addresses, from umem

# Make the socket, its memory and rings, not bound yet; what receives is the kernel's from now on. 0 or -errno.
cdef int xsk_open(Xsk *xsk, uint32_t chunk_bytes) noexcept nogil
# Bind it to queue 0 of a device; flags: XDP_COPY, XDP_ZEROCOPY, XDP_USE_NEED_WAKEUP. 0 or -errno.
cdef int xsk_bind(Xsk *xsk, uint32_t ifindex, uint32_t flags) noexcept nogil
cdef void xsk_close(Xsk *xsk) noexcept nogil                 # a second call does nothing
# frames that the kernel could not give us so far: too long for a chunk, no chunk free, rx ring full
cdef uint64_t xsk_lost(const Xsk *xsk) noexcept nogil
