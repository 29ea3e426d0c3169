"""Memory in cache lines of its own, for what one thread writes while others write next to it."""

cdef extern from "<stdlib.h>" nogil:
    void *aligned_alloc(size_t alignment, size_t size)

cdef enum:
    LINES_BYTES = 128          # two cache lines, which processors fetch in pairs


# Not zeroed, to be freed with free(); NULL without memory.
cdef inline void *lines_get(size_t n_bytes) noexcept nogil:
    return aligned_alloc(LINES_BYTES, (n_bytes + LINES_BYTES - 1) // LINES_BYTES * LINES_BYTES)
