"""Turns: how ports share a forwarder when packets miss the caches, so that one port's flood of new flows does not hold
up another port's new flows, nor its hits.

A turn is one batch of one port, but ends after TURN_TRANSLATIONS: what is left of the batch waits at the port, in
order, for its next turn, in which nothing is received. A turn that used them all is paid for: the port owes the time
that it took and is passed over while other ports have packets, until these have used as much in the mean; so ports with
work share the forwarder's time equally (deficit round robin). Other turns cost nothing, and a port that is alone is
not cut off. No packet is dropped here: a port that sends more than its share overflows its own receive queue, where
that is counted. "Port" means each of its receive queues.
"""

from libc.stdint cimport uint32_t, uint64_t

from datapath.packet cimport BATCH_MAX, Batch, Packet

cdef enum:
    TURN_TRANSLATIONS = 32     # of one turn: 30 to 60 us
    UNLIMITED = BATCH_MAX + 1  # more than a batch can need
    DEBT_MAX = 4000000         # cycles, 1 or 2 ms: a turn in which the thread lost its processor costs no more

cdef struct Turn:              # of one port and forwarder
    uint64_t debt              # cycles (forwarder.pxd) that others may use before it is served again
    bint passed_over           # in this round
    uint32_t next_waiting      # packets of its last batch that wait: from here
    uint32_t end_waiting       # to here
    Packet *waiting[BATCH_MAX]

# move what waits into an empty batch
cdef void turn_resume(Turn *turn, Batch *batch) noexcept nogil
# after a batch that used up its translations: packets from `done` on wait for the next turn, and it has to be paid for
cdef void turn_cut(Turn *turn, const Batch *batch, uint32_t done, uint64_t cycles) noexcept nogil
cdef void turn_release(Turn *turn) noexcept nogil              # let go of packets that wait

# whether the port is passed over in this round
cdef inline bint turn_passes(Turn *turn) noexcept nogil:
    turn.passed_over = turn.debt != 0
    return turn.passed_over

cdef inline bint turn_waits(const Turn *turn) noexcept nogil:
    return turn.next_waiting != turn.end_waiting

# others have used so many cycles each in a round in which this port was passed over
cdef inline void turn_pay(Turn *turn, uint64_t cycles) noexcept nogil:
    if turn.passed_over:
        turn.debt -= min(turn.debt, cycles)
