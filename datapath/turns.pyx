"""Sharing a forwarder among ports: see turns.pxd."""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from datapath.packet cimport Batch, Packet, packet_release


cdef void turn_resume(Turn *turn, Batch *batch) noexcept nogil:
    batch.n = turn.end_waiting - turn.next_waiting
    memcpy(batch.pkts, &turn.waiting[turn.next_waiting], batch.n * sizeof(Packet *))
    turn.next_waiting = turn.end_waiting = 0


cdef void turn_cut(Turn *turn, const Batch *batch, uint32_t done, uint64_t cycles) noexcept nogil:
    turn.next_waiting = 0
    turn.end_waiting = batch.n - done
    memcpy(turn.waiting, &batch.pkts[done], turn.end_waiting * sizeof(Packet *))
    turn.debt = max(<uint64_t> 1, min(cycles, <uint64_t> DEBT_MAX))


cdef void turn_release(Turn *turn) noexcept nogil:
    while turn_waits(turn):
        packet_release(turn.waiting[turn.next_waiting])
        turn.next_waiting += 1
