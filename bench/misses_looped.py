"""New flows per second without network devices: a capture file in which every frame is a flow of its own, played once.

usage: python -m bench.misses_looped [--switch ours|dpdk] [--flows N]
The pipeline copies both UDP ports to a register, so that each frame needs a translation and a 5-tuple megaflow. The
null port's counter is read until it stands still; the figure is its growth between the first and the last time it
moved. Each switch gets as many flows as it keeps from the start: Open vSwitch only forwards, without a megaflow, what
is beyond the 10,000 that it begins with, which is faster but no new flow.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from bench import load, looped
from bench.peer import StepError, Switch, switch_of

KEPT_FLOWS = {"ours": 150_000, "dpdk": 9_000}
LEAST_SHARE = 0.9
STILL_S = 1.5
TIMEOUT_S = 60.0


def growth(switch: Switch) -> tuple[int, float]:
    """Return packets sent and the seconds for them, until no more come."""
    begin = moved = time.monotonic()
    seen: list[tuple[float, int]] = []
    while time.monotonic() - moved < STILL_S and time.monotonic() - begin < TIMEOUT_S:
        sent, now = switch.sent(looped.BRIDGE, looped.SINK_NUMBER), time.monotonic()
        if sent and (not seen or sent != seen[-1][1]):
            seen.append((now, sent))
            moved = now
    if len(seen) < 2:
        raise StepError("all frames had passed before they could be counted twice: use more flows")
    return seen[-1][1] - seen[0][1], seen[-1][0] - seen[0][0]


def measure(chosen: argparse.Namespace) -> dict[str, tuple[float, str]]:
    """Return thousand misses per second."""
    with tempfile.TemporaryDirectory() as folder, switch_of(chosen.switch) as switch:
        capture = Path(folder) / "flows.pcap"
        flows = chosen.flows or KEPT_FLOWS[chosen.switch]
        looped.write_capture(capture, flows, 60)
        looped.set_up(switch, "ports")
        looped.start_playing(switch, capture, forever=False)
        packets, seconds = growth(switch)
        kept = looped.megaflows(switch)
        if kept < LEAST_SHARE * flows:
            raise StepError(f"{flows} packets, but only {kept} megaflows")
    return {"new_flows": (packets / seconds / 1e3, "k/s")}


if __name__ == "__main__":
    found = load.options("new flows per second", ("ours", "dpdk"), flows=(int, 0))
    sys.exit(load.main(measure, found))
