"""Memory for large tables: see pages.pxd."""

from libc.stdint cimport uintptr_t

cdef extern from "<sys/mman.h>" nogil:
    void *mmap(void *address, size_t n_bytes, int protection, int flags, int fd, long offset)
    int munmap(void *address, size_t n_bytes)
    int madvise(void *address, size_t n_bytes, int advice)
    enum: PROT_READ
    enum: PROT_WRITE
    enum: MAP_PRIVATE
    enum: MAP_ANONYMOUS
    enum: MADV_HUGEPAGE
    void *MAP_FAILED

cdef enum:
    HUGE_BYTES = 2 << 20       # a huge page on x86-64 and aarch64


cdef size_t whole(size_t n_bytes) noexcept nogil:
    """Length of the mapping: huge tables start at a huge page and fill the last one."""
    cdef size_t unit = HUGE_BYTES if n_bytes >= <size_t>HUGE_BYTES else 4096
    return (n_bytes + unit - 1) & ~(unit - 1)


cdef void *pages_get(size_t n_bytes) noexcept nogil:
    cdef size_t n_whole = whole(n_bytes)
    cdef size_t spare = HUGE_BYTES if n_bytes >= <size_t>HUGE_BYTES else 0
    cdef char *at = <char *>mmap(NULL, n_whole + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    cdef size_t before
    if at == <char *>MAP_FAILED:
        return NULL
    if spare:
        before = -<uintptr_t>at & (<size_t>HUGE_BYTES - 1)
        if before:
            munmap(at, before)
        if before < spare:
            munmap(at + before + n_whole, spare - before)
        at += before
        madvise(at, n_whole, MADV_HUGEPAGE)    # refused where the kernel has none: then these are ordinary pages
    return at


cdef void pages_give(void *pages, size_t n_bytes) noexcept nogil:
    if pages != NULL:
        munmap(pages, whole(n_bytes))
