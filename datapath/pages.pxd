"""Memory for large tables: whole pages, zero until touched, huge ones where the kernel has them (2 MiB and more).

A table of a million lines is looked up at random, so that with pages of 4 KiB each look-up would also miss the
processor's table of addresses. Any thread; for tables that live long.
"""

cdef void *pages_get(size_t n_bytes) noexcept nogil              # NULL without memory
cdef void pages_give(void *pages, size_t n_bytes) noexcept nogil # n_bytes as they were asked for; NULL is no table
