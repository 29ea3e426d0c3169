"""How many megaflows there may be: as many as the periodic sweep gets through in time.

The sweep brings counts to the flows and removes what is idle. If it takes long, because there are many megaflows or
because the forwarders have other work, flow statistics and idle timeouts lag behind and the sweep itself costs packets
their time; so the limit shrinks then, and grows back while sweeps are quick and the limit is what keeps megaflows out.
Memory is bounded by `upper`, which the operator sets (other_config:flow-limit).

Above the limit, a new megaflow replaces the longest unused of a few, and a sweep keeps only those used in the last
100 ms; above twice the limit it removes any (datapath/commands.pyx). The thresholds are Open vSwitch's, but as much as
it may have at the start it has at once, and what is cut off is measured from the megaflows that there are.
"""

from __future__ import annotations

FLOOR = 1000  # never fewer, unless the operator wants that
STEP = 1000  # by which it grows after a quick sweep
QUICK_MS, LATE_MS, TOO_LATE_MS = 1000, 1300, 2000  # of a sweep
BUSY_FLOWS = 2000  # fewer megaflows say nothing about how long more would take


class FlowLimit:
    """The limit that holds now, at most `upper`, and what the last sweeps saw."""

    def __init__(self, upper: int) -> None:
        self.upper = self.current = upper
        self.sweep_ms = 0  # how long the last sweep took
        self.average = self.highest = 0  # megaflows that sweeps found

    def set_upper(self, upper: int) -> None:
        """Take over another upper limit, and go up or down to it."""
        self.upper = self.current = upper

    def swept(self, duration_ms: int, n_flows: int) -> None:
        """Adapt to a sweep of so many megaflows that took this long on the slowest forwarder."""
        self.sweep_ms = duration_ms
        self.average = (self.average + n_flows) // 2
        self.highest = max(self.highest, n_flows)
        if duration_ms > TOO_LATE_MS:
            self._set(min(self.current, n_flows) * QUICK_MS // duration_ms)
        elif duration_ms > LATE_MS:
            self._set(min(self.current, n_flows) * 3 // 4)
        elif duration_ms < QUICK_MS and n_flows > BUSY_FLOWS and self.current * duration_ms < n_flows * QUICK_MS:
            self._set(self.current + STEP)

    def _set(self, wanted: int) -> None:
        self.current = min(self.upper, max(wanted, FLOOR))
