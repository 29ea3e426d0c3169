"""Resident memory of a megaflow: growth of the switch's processes by 200,000 of them, in bytes for each.

usage: python -m bench.megaflow_memory [--switch ours|ovs] [--flows N]
One UDP flow per megaflow (the pipeline copies both ports to a register), sent over a veth at a bounded rate.
Open vSwitch raises its limit from 10,000 by 1,000 at a time, so it keeps fewer; the growth is divided by those it has.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from bench import load, looped, sandbox
from bench.demo import inside
from bench.peer import StepError

RATE_PPS = 40_000
IDLE_MS = 120_000
LEAST = 10_000  # what Open vSwitch keeps at the start, before it knows how fast it is
MIB = 1 << 20


def measure(chosen: argparse.Namespace) -> dict[str, tuple[float, str]]:
    """Return bytes per megaflow. Raises StepError when the switch kept too few to tell."""
    devices = load.hosts()
    with load.wired(chosen.switch) as switch:
        switch.add_bridge(load.BRIDGE, *devices)
        settings = (f"other_config:max-idle={IDLE_MS}", f"other_config:flow-limit={2 * chosen.flows}")
        switch.tool("ovs-vsctl", "--timeout=20", "set", "Open_vSwitch", ".", *settings)
        switch.flows(load.BRIDGE, *looped.PIPELINES["ports"])
        time.sleep(1.0)
        before = switch.resident_mib()
        seconds = str(chosen.flows / RATE_PPS * 1.3)
        words = ["-m", "bench.generator", "eth0", load.FOREIGN_MAC, sandbox.mac_of("left"), seconds]
        command = inside("left", sys.executable, *words, str(chosen.flows), str(RATE_PPS))
        subprocess.run(command, check=True, capture_output=True, cwd=sandbox.ROOT, timeout=60)
        count, grown = looped.megaflows(switch), switch.resident_mib() - before
    if count < min(LEAST, chosen.flows):
        raise StepError(f"only {count} of {chosen.flows} megaflows are kept")
    return {"megaflow_bytes": (grown * MIB / count, "bytes")}


if __name__ == "__main__":
    sys.exit(load.main(measure, load.options("memory of megaflows", flows=(int, 200_000))))
