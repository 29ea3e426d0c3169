"""What a switch costs when nothing is to do: processor time and resident memory with 2 silent veth ports, or more.

usage: python -m bench.idle [--switch ours|ovs] [--ports N] [--seconds S]
Counted over all processes of the switch: Open vSwitch's two, our one.
"""

from __future__ import annotations

import argparse
import sys
import time

from bench import load, sandbox

QUIET_S = 3.0


def more_devices(count: int) -> list[str]:
    """Make silent veth pairs and return one end of each."""
    for i in range(count):
        sandbox.ip("link", "add", f"port{i}", "up", "type", "veth", "peer", "name", f"far{i}")
        sandbox.ip("link", "set", f"far{i}", "up")
    return [f"port{i}" for i in range(count)]


def measure(chosen: argparse.Namespace) -> dict[str, tuple[float, str]]:
    """Return processor time as a share of one core, and memory."""
    devices = load.hosts() + more_devices(chosen.ports - len(load.NAMES))
    with load.wired(chosen.switch) as switch:
        switch.add_bridge(load.BRIDGE, *devices)
        time.sleep(QUIET_S)
        before, begin = switch.cpu_s(), time.monotonic()
        time.sleep(chosen.seconds)
        share = (switch.cpu_s() - before) / (time.monotonic() - begin)
        suffix = "" if chosen.ports == len(load.NAMES) else f"_{chosen.ports}"
        return {f"idle_cpu{suffix}": (100 * share, "%"), f"memory{suffix}": (switch.resident_mib(), "MiB")}


if __name__ == "__main__":
    sys.exit(load.main(measure, load.options("idle cost", ports=(int, 2), seconds=(float, 10.0))))
