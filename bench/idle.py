"""What a switch costs when nothing is to do: processor time and resident memory with two silent veth ports.

usage: python -m bench.idle [--switch ours|ovs] [--seconds S]
Counted over all processes of the switch: Open vSwitch's two, our one.
"""

from __future__ import annotations

import argparse
import sys
import time

from bench import load

QUIET_S = 3.0


def measure(chosen: argparse.Namespace) -> dict[str, tuple[float, str]]:
    """Return processor time as a share of one core, and memory."""
    devices = load.hosts()
    with load.wired(chosen.switch) as switch:
        switch.add_bridge(load.BRIDGE, *devices)
        time.sleep(QUIET_S)
        before, begin = switch.cpu_s(), time.monotonic()
        time.sleep(chosen.seconds)
        share = (switch.cpu_s() - before) / (time.monotonic() - begin)
        return {"idle_cpu": (100 * share, "%"), "memory": (switch.resident_mib(), "MiB")}


if __name__ == "__main__":
    sys.exit(load.main(measure, load.options("idle cost", seconds=(float, 10.0))))
