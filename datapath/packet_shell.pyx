"""Python's handles of pools and packets, for tests, trace and embedding; nothing on a packet's path uses them."""

import struct

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from datapath.bytes cimport load_u16
from datapath.csum cimport csum_add, csum_fold
from datapath.packet cimport (
    OFS_ABSENT, VNET_HDR_BYTES, Packet, PacketPool, packet_alloc, packet_clone, packet_complete_csum,
    packet_from_vnet, packet_pull, packet_push, packet_release, packet_to_vnet, packet_writable, pool_destroy,
    pool_init,
)


cdef class PoolShell:
    """A packet pool; small_limit, large_limit: most buffers of each kind. It lives as long as any of its packets."""

    cdef PacketPool pool

    def __cinit__(self, uint32_t small_limit=64, uint32_t large_limit=8):
        if pool_init(&self.pool, small_limit, large_limit) != 0:
            raise MemoryError

    def __dealloc__(self):
        pool_destroy(&self.pool)

    def alloc(self, frame: bytes) -> PacketShell | None:
        """Return a packet that holds `frame`, or None when no buffer is to be had."""
        cdef bytes data = frame
        cdef Packet *pkt = packet_alloc(&self.pool, <uint32_t>len(data))
        if pkt == NULL:
            return None
        memcpy(pkt.data, <const uint8_t *>data, len(data))
        return wrap(pkt, self)

    @property
    def in_use(self) -> int:
        """Buffers out of the pool now."""
        return self.pool.in_use

    @property
    def made(self) -> tuple[int, int]:
        """Small and large buffers allocated so far."""
        return self.pool.small_made, self.pool.large_made


cdef PacketShell wrap(Packet *pkt, PoolShell pool):
    cdef PacketShell shell = PacketShell.__new__(PacketShell)
    shell.pkt = pkt
    shell.pool = pool
    return shell


cdef class PacketShell:
    """One reference to a packet, dropped by release() or with the object."""

    cdef Packet *pkt
    cdef PoolShell pool

    def __dealloc__(self):
        if self.pkt != NULL:
            packet_release(self.pkt)

    def release(self) -> None:
        """Drop this reference; the object is not to be used after."""
        packet_release(self.pkt)
        self.pkt = NULL

    def share(self) -> PacketShell:
        """Return one more reference to the same packet."""
        self.pkt.refs += 1
        return wrap(self.pkt, self.pool)

    def same_as(self, PacketShell other not None) -> bool:
        """Return whether both are references to one packet."""
        return self.pkt == other.pkt

    def clone(self) -> PacketShell | None:
        """Return a deep copy, or None when no buffer is to be had."""
        cdef Packet *copy = packet_clone(self.pkt)
        return None if copy == NULL else wrap(copy, self.pool)

    def make_writable(self) -> bool:
        """Make this the only reference to its bytes, copying if need be; False (nothing changed) without a buffer."""
        cdef Packet *alone = packet_writable(self.pkt)
        if alone == NULL:
            return False
        self.pkt = alone
        return True

    def push(self, uint32_t n_bytes) -> bool:
        """Grow at the front by n_bytes; returns False without headroom."""
        return packet_push(self.pkt, n_bytes) != NULL

    def pull(self, uint32_t n_bytes) -> bool:
        """Shrink at the front by n_bytes; returns False when the frame is shorter."""
        return packet_pull(self.pkt, n_bytes) != NULL

    def take_vnet(self, header: bytes) -> int:
        """Fill the offload state from a virtio-net header; returns 0 or a drop reason; ValueError if not ten bytes."""
        cdef bytes data = header
        if len(data) != VNET_HDR_BYTES:
            raise ValueError(f"a virtio-net header has {VNET_HDR_BYTES} bytes, not {len(data)}")
        return packet_from_vnet(self.pkt, data)

    def give_vnet(self) -> bytes:
        """Return the virtio-net header for output."""
        cdef uint8_t[VNET_HDR_BYTES] header
        packet_to_vnet(self.pkt, header)
        return (<const uint8_t *>header)[:VNET_HDR_BYTES]

    def complete_checksum(self) -> int:
        """Complete a partial checksum; returns 0 or a drop reason number."""
        return packet_complete_csum(self.pkt)

    @property
    def frame(self) -> bytes:
        """The bytes of the frame."""
        return self.pkt.data[: self.pkt.length]

    @property
    def refs(self) -> int:
        """Holders of the packet."""
        return self.pkt.refs

    @property
    def offload(self) -> int:
        """OffloadFlag bits."""
        return self.pkt.offload

    @property
    def gso(self) -> tuple[int, int]:
        """Bytes of a segment's payload and of all headers."""
        return self.pkt.gso_size, self.pkt.gso_hdr_length

    @property
    def csum_at(self) -> tuple[int, int]:
        """Where the partial checksum starts, and where it is stored from there, in bytes."""
        return self.pkt.csum_start, self.pkt.csum_offset

    @property
    def layers(self) -> tuple[int | None, ...]:
        """l3_ofs, l4_ofs, l25_ofs in bytes from the Ethernet header, None where absent."""
        return tuple([None if o == OFS_ABSENT else o for o in (self.pkt.l3_ofs, self.pkt.l4_ofs, self.pkt.l25_ofs)])

    @layers.setter
    def layers(self, offsets: tuple[int | None, ...]) -> None:
        l3, l4, l25 = [OFS_ABSENT if offset is None else offset for offset in offsets]
        self.pkt.l3_ofs, self.pkt.l4_ofs, self.pkt.l25_ofs = l3, l4, l25

    @property
    def metadata(self) -> tuple[int, int, int, int, int]:
        """in_port, pkt_mark, skb_priority, recirc_id and dp_hash, host order."""
        return self.pkt.in_port, self.pkt.pkt_mark, self.pkt.skb_priority, self.pkt.recirc_id, self.pkt.dp_hash

    @metadata.setter
    def metadata(self, values: tuple[int, int, int, int, int]) -> None:
        self.pkt.in_port, self.pkt.pkt_mark, self.pkt.skb_priority, self.pkt.recirc_id, self.pkt.dp_hash = values


def make_partial(bytes frame, uint32_t csum_start, uint32_t csum_offset) -> bytes:
    """Return `frame` (checksum right) as a sender with checksum offload leaves it: the pseudo-header sum in the field.

    csum_start: bytes from the Ethernet header to the layer 4 header; csum_offset: bytes from there to the checksum.
    Raises ValueError when the field is outside the frame.
    """
    cdef const uint8_t *data = frame
    cdef uint32_t at = csum_start + csum_offset
    cdef uint64_t segment
    cdef uint16_t pseudo
    if at + 2 > <uint32_t>len(frame):
        raise ValueError("the checksum lies outside the frame")
    # ~checksum = pseudo-header + segment without checksum, so the pseudo-header is what the segment does not account
    # for.
    segment = csum_add(0, data + csum_start, csum_offset)
    segment = csum_add(segment, data + at + 2, <uint32_t>len(frame) - at - 2)
    pseudo = csum_fold(<uint64_t><uint16_t>~load_u16(data + at) + <uint16_t>~csum_fold(segment))
    return frame[:at] + (<const uint8_t *>&pseudo)[:2] + frame[at + 2:]


def complete_checksum(frame: bytes, csum_start: int, csum_offset: int) -> bytes:
    """Return `frame` with its partial checksum completed as for an output without offload.

    csum_start: bytes from the Ethernet header; csum_offset: bytes from there to the checksum. Raises ValueError when
    the field is outside the frame, and for a frame that no buffer holds.
    """
    packet = PoolShell(1, 1).alloc(frame)
    needs_csum = struct.pack("=BBHHHH", 1, 0, 0, 0, csum_start, csum_offset)
    if packet is None or packet.take_vnet(needs_csum) != 0 or packet.complete_checksum() != 0:
        raise ValueError("the checksum lies outside the frame")
    return packet.frame
