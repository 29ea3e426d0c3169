"""Tags: what a translation depended on, and what an edit touched (DP.13).

A tag is a 64-bit hash that names one thing: a MAC in a VLAN, the ports and settings of a bridge, the rules of a table
that begin with these words. A translation collects the tags of all it looked at in a Bloom filter
(datapath.upcall.Tags); an edit logs its tags one by one, so that each is looked for by itself: news of one MAC is not
mixed with news of another.

Percent of false positives per logged tag, simulated over 30,000 questions, by size of the filter, bits per tag and tags
that were looked at:

    size/bits      2      4      8     12     24     40
     64/2       0.35   1.47   5.07   10.0   28.4   51.6
     64/4       0.03   0.28   2.55   8.15   37.1   72.4
    128/4       0.00   0.02   0.23   1.02   7.67   26.0
    256/3       0.00   0.02   0.09   0.20   1.40   5.21
    256/4       0.00   0.00   0.01   0.07   0.99   4.87
    256/5       0.00   0.00   0.01   0.07   0.78   4.79

256 bits cost a megaflow 24 bytes more than 64 and pay at any number of tags; five bits gain nothing on four.
"""

from libc.stdint cimport uint32_t, uint64_t

from datapath.upcall cimport Tags

cdef enum:
    TAG_ALL = 0                # as a logged tag: everything
    TAG_BITS = 4               # of the 256 per tag

cdef inline uint64_t tag_of(uint64_t a, uint64_t b) noexcept nogil:
    cdef uint64_t x = (a ^ (b * <uint64_t>0xd6e8feb86659fd93)) * <uint64_t>0x9e3779b97f4a7c15
    x = (x ^ (x >> 32)) * <uint64_t>0xbf58476d1ce4e5b9
    x = (x ^ (x >> 29)) * <uint64_t>0x94d049bb133111eb
    return (x ^ (x >> 32)) | <uint64_t>1 << 63             # bit 63 chooses no bit of the filter: never TAG_ALL

cdef inline void tags_add(Tags *tags, uint64_t tag) noexcept nogil:
    cdef int i
    for i in range(TAG_BITS):
        tags.words[(tag >> 6) & 3] |= <uint64_t>1 << (tag & 63)
        tag >>= 8

# Whether they may hold this tag; TAG_ALL is in all of them.
cdef inline bint tags_hold(const Tags *tags, uint64_t tag) noexcept nogil:
    cdef int i
    if tag == TAG_ALL:
        return True
    for i in range(TAG_BITS):
        if not (tags.words[(tag >> 6) & 3] >> (tag & 63)) & 1:
            return False
        tag >>= 8
    return True
