"""How long a forwarder that has nothing to do goes on looking before it sleeps.

A wake-up costs 5 to 50 us (a virtual processor that was halted is the slow case), looking costs a processor. So after
every packet a forwarder looks for SPIN_NS. It looks longer, at most POLL_MAX_NS, when packets have lately come after
such pauses: twice as long as those usually took, as long as at least one pause in four ended within POLL_MAX_NS. A
request and its answer through an otherwise silent switch is that case; a single packet now and then is not.

With `always` it never sleeps, or only as load_sleep says: what Open vSwitch's PMD threads do. Thread rule: the
forwarder's own, but `always` and `max_sleep_ns`, which the control thread sets at any time.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef enum:
    SPIN_NS = 20000            # about what the cheapest sleep and wake-up costs
    POLL_MAX_NS = 200000
    LOAD_SLEEP_STEP_NS = 1000  # by which a sleep of `always` grows with each round that brought little
    PAYS_ONE = 256             # Polling.pays: every pause was short

cdef struct Polling:
    uint64_t always            # atomic; 1 = do not wait for news
    uint64_t max_sleep_ns      # atomic; with `always`: longest sleep of a forwarder with little to do, 0 = none
    int64_t sleep_ns           # with `always`: the next sleep
    int64_t last_ns            # time of the last packet, from whatever port
    int64_t window_ns          # how long to look after it
    int64_t short_ns           # mean of the pauses between SPIN_NS and POLL_MAX_NS
    uint32_t pays              # share of such pauses among all that were longer than SPIN_NS, of PAYS_ONE

cdef void polling_init(Polling *polling) noexcept nogil
cdef void polling_pause(Polling *polling, int64_t pause_ns) noexcept nogil     # learn from a pause longer than SPIN_NS


# packets have come at now_ns
cdef inline void polling_packets(Polling *polling, int64_t now_ns) noexcept nogil:
    if now_ns - polling.last_ns > SPIN_NS:
        polling_pause(polling, now_ns - polling.last_ns)
    polling.last_ns = now_ns


cdef inline bint polling_goes_on(const Polling *polling, int64_t now_ns) noexcept nogil:
    return now_ns - polling.last_ns <= polling.window_ns


# With `always`: how long to sleep after a round in which n packets came, in ns.
cdef int64_t polling_load_sleep(Polling *polling, uint32_t n) noexcept nogil
