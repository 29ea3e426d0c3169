"""Shapes: see shape.pxd. Here: masks over frames, made from masks over keys.

Where a slot stands in a frame is told by the table of header rewrites (EDITS in edit.pyx) and, for slots that cannot be
rewritten, by READ_ONLY. A slot that neither names for a shape is the same for all frames of that shape, so that reading
it costs no bit of theirs. A mask may cover more than was asked for (reserved bits): that only tells apart what need not
be.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from datapath.edit cimport (
    AT_FRAME, AT_L3, AT_L4, HAS_ARP, HAS_ETH, HAS_ICMP, HAS_ICMP6, HAS_IP4, HAS_IP6, HAS_TCP, HAS_UDP, HAS_VLAN,
    LOW_BYTE, NIBBLE_UP,
)
from datapath.packet cimport OFS_ABSENT

from datapath.edit import EDITS
from datapath.slots import places
from vslib.errors import InternalError

cdef enum:
    ROWS_MAX = 64
    NO_VLAN2 = 0x10000         # one bit more for READ_ONLY: a second tag
    WINDOW_BYTES = 8 * WINDOW_WORDS

cdef struct PlaceRow:          # bytes of the key, and where frames have them
    uint32_t headers           # Header bits: any of them will do
    uint32_t base              # AT_FRAME, AT_L3 or AT_L4
    uint32_t offset            # bytes from base
    uint32_t key_ofs           # bytes from the start of the key
    uint32_t n_bytes
    bint nibble_up             # in the frame it starts four bits into its first byte

cdef PlaceRow[ROWS_MAX] place_rows
cdef uint32_t n_place_rows = 0

# slot, headers, base, offset, bytes on the wire, twist, as in EDITS: what frames have and no action writes in place
READ_ONLY = (
    ("vlan_tpid", HAS_VLAN, AT_FRAME, 12, 2, 0, b""),
    ("vlan2_tpid", NO_VLAN2, AT_FRAME, 16, 2, 0, b""),
    ("vlan2_tci", NO_VLAN2, AT_FRAME, 18, 2, 0, b""),
    ("tcp_flags", HAS_TCP, AT_L4, 12, 2, 0, b""),
)
KIND_HEADERS = {
    KIND_TCP4: HAS_IP4 | HAS_TCP,
    KIND_UDP4: HAS_IP4 | HAS_UDP,
    KIND_ICMP4: HAS_IP4 | HAS_ICMP,
    KIND_TCP6: HAS_IP6 | HAS_TCP,
    KIND_UDP6: HAS_IP6 | HAS_UDP,
    KIND_ICMP6: HAS_IP6 | HAS_ICMP6,
    KIND_ARP: HAS_ARP,
}
L3_BYTES = {HAS_IP4: IPV4_BYTES, HAS_IP6: IPV6_BYTES}


def fill_shapes() -> None:
    """Fill the tables of shapes and places, once, at import; raises InternalError for a place outside the window."""
    global n_place_rows
    cdef uint32_t shape, kind, tags, l3
    cdef PlaceRow *row
    for shape in range(N_SHAPES):
        kind, tags = shape % N_KINDS, shape // N_KINDS
        l3 = ETHERNET_BYTES + VLAN_BYTES * tags
        headers = KIND_HEADERS.get(kind, 0)
        SHAPE_PLACES[shape].l3_ofs = <uint16_t> l3
        SHAPE_PLACES[shape].l4_ofs = <uint16_t> (OFS_ABSENT if headers & HAS_ARP else
                                                 l3 + (IPV4_BYTES if headers & HAS_IP4 else IPV6_BYTES))
        SHAPE_HEADERS[shape] = headers | HAS_ETH | (HAS_VLAN if tags else 0) | (NO_VLAN2 if tags > 1 else 0)
    for slot, headers, base, offset, n_bytes, twist, _ in EDITS + READ_ONLY:
        if base not in (AT_FRAME, AT_L3, AT_L4):
            continue
        if n_place_rows == ROWS_MAX or offset + n_bytes > WINDOW_BYTES - ETHERNET_BYTES - 2 * VLAN_BYTES - IPV6_BYTES:
            raise InternalError(f"shapes have no room for {slot}")
        row = &place_rows[n_place_rows]
        row.headers, row.base, row.offset, row.n_bytes = headers, base, offset, n_bytes
        row.key_ofs = places()[slot].offset + (1 if twist & LOW_BYTE else 0)
        row.nibble_up = bool(twist & NIBBLE_UP)
        n_place_rows += 1


fill_shapes()


cdef uint32_t place_of(const PlaceRow *row, uint32_t shape) noexcept nogil:
    """Bytes from the start of the shape's frames to the row's bytes."""
    if row.base == AT_FRAME:
        return row.offset
    return row.offset + (SHAPE_PLACES[shape].l3_ofs if row.base == AT_L3 else SHAPE_PLACES[shape].l4_ofs)


cdef void shape_mask_add(ShapeMask *into, uint32_t shape, const uint64_t *mask) noexcept nogil:
    cdef uint8_t *window = <uint8_t *> into.words
    cdef const uint8_t *bits
    cdef const PlaceRow *row
    cdef uint32_t i, j, at
    for i in range(n_place_rows):
        row = &place_rows[i]
        if not row.headers & SHAPE_HEADERS[shape]:
            continue
        at = place_of(row, shape)
        bits = <const uint8_t *> mask + row.key_ofs
        if row.nibble_up:
            window[at] |= bits[0] >> 4
            window[at + 1] |= <uint8_t> (bits[0] << 4)
            continue
        for j in range(row.n_bytes):
            window[at + j] |= bits[j]
    into.far = False
    for i in range(<uint32_t> NEAR_WORDS, <uint32_t> WINDOW_WORDS):
        into.far = into.far or into.words[i] != 0
