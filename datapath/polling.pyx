"""When a forwarder goes on looking and when it sleeps: see polling.pxd."""

from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.string cimport memset

from datapath.atomic cimport load_relaxed

cdef enum:
    WEIGHT = 8                 # the latest pause counts for one part in so many
    PAYS_LEAST = PAYS_ONE // 4
    FEW_PACKETS = 16           # a round with fewer lets the sleep grow, as in Open vSwitch


cdef void polling_init(Polling *polling) noexcept nogil:
    memset(polling, 0, sizeof(Polling))
    polling.window_ns = SPIN_NS


cdef void polling_pause(Polling *polling, int64_t pause_ns) noexcept nogil:
    cdef bint short = pause_ns <= POLL_MAX_NS
    cdef int32_t error = (PAYS_ONE if short else 0) - <int32_t> polling.pays
    # Rounded away from zero, so that both ends are reached.
    polling.pays = <uint32_t> (<int32_t> polling.pays + (error + (WEIGHT - 1 if error > 0 else 1 - WEIGHT)) // WEIGHT)
    if short:
        polling.short_ns += (pause_ns - polling.short_ns) // WEIGHT if polling.short_ns else pause_ns
    if polling.pays >= PAYS_LEAST:
        polling.window_ns = min(max(2 * polling.short_ns, SPIN_NS), POLL_MAX_NS)
    else:
        polling.window_ns = SPIN_NS


cdef int64_t polling_load_sleep(Polling *polling, uint32_t n) noexcept nogil:
    cdef int64_t most = <int64_t> load_relaxed(&polling.max_sleep_ns)
    if n >= FEW_PACKETS:
        polling.sleep_ns = 0
    else:
        polling.sleep_ns = min(polling.sleep_ns + LOAD_SLEEP_STEP_NS, most)
    return polling.sleep_ns


cdef class PollingShell:
    """A Polling for tests."""

    cdef Polling polling

    def __init__(self):
        polling_init(&self.polling)

    def packets(self, now_ns: int) -> int:
        """Tell it that packets came; return how long it will look from then on, in ns."""
        polling_packets(&self.polling, now_ns)
        return self.polling.window_ns

    def goes_on(self, now_ns: int) -> bool:
        """Return whether it still looks."""
        return polling_goes_on(&self.polling, now_ns)

    def load_sleep(self, n: int, max_ns: int) -> int:
        """Return the sleep after a round with n packets, in ns."""
        self.polling.max_sleep_ns = max_ns
        return polling_load_sleep(&self.polling, n)
