"""Flow edits during a flood of misses: flows a second that `ovs-ofctl add-flows` gets in while a capture is looped.

usage: python -m bench.edits_flood [--switch ours|dpdk] [--flows N] [--seconds S]
The capture has 100,000 flows and the caches are limited to 1,000 (flow-limit), so that the loop never stops to miss.
After S seconds the command is ended, and what the table holds by then counts. The figure for 100,000 flows would
take Open vSwitch minutes; a rate can be compared without.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import load, looped, ofctl_add_flows
from bench.peer import StepError, Switch, switch_of

CAPTURE_FLOWS = 100_000
CACHED_FLOWS = 1_000
WARM_UP_S = 2.0
LEAST_SHARE = 0.5  # of misses among the look-ups of the time that is measured


def edit(switch: Switch, listing: Path, seconds: float) -> float:
    """Add the flows of a file for at most some seconds and return flows per second."""
    before, begin = flow_count(switch), time.monotonic()
    command = ["ovs-ofctl", "add-flows", looped.BRIDGE, str(listing)]
    with subprocess.Popen(command, env=switch.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as editor:
        try:
            editor.wait(seconds)
        except subprocess.TimeoutExpired:
            editor.terminate()
            editor.wait()
        elapsed_s = time.monotonic() - begin
    return (flow_count(switch) - before) / elapsed_s


def flow_count(switch: Switch) -> int:
    """Return how many flows the bridge has."""
    told = switch.tool("ovs-ofctl", "dump-aggregate", looped.BRIDGE)
    found = re.search(r"flow_count=(\d+)", told)
    if found is None:
        raise StepError(f"dump-aggregate: {told}")
    return int(found[1])


def measure(chosen: argparse.Namespace) -> dict[str, tuple[float, str]]:
    """Return flows per second. Raises StepError when there was no flood."""
    with tempfile.TemporaryDirectory() as folder, switch_of(chosen.switch) as switch:
        capture, listing = Path(folder) / "flood.pcap", Path(folder) / "flows"
        looped.write_capture(capture, CAPTURE_FLOWS, 60)
        listing.write_text("".join(ofctl_add_flows.flow(i) for i in range(chosen.flows)))
        looped.set_up(switch, "ports")
        limit = f"other_config:flow-limit={CACHED_FLOWS}"
        switch.tool("ovs-vsctl", "--timeout=20", "set", "Open_vSwitch", ".", limit)
        looped.start_playing(switch, capture)
        time.sleep(WARM_UP_S)
        before = looped.looked_up(switch)
        found = edit(switch, listing, chosen.seconds)
        hits, misses = (b - a for a, b in zip(before, looped.looked_up(switch), strict=True))
        if misses < LEAST_SHARE * (hits + misses):
            raise StepError(f"no flood: {misses} misses among {hits + misses} packets")
    return {"edits_flood": (found, "1/s"), "edits_flood_misses": (misses / chosen.seconds / 1e3, "k/s")}


if __name__ == "__main__":
    settings = load.options("edits in a flood", ("ours", "dpdk"), flows=(int, 100_000), seconds=(float, 10.0))
    sys.exit(load.main(measure, settings))
