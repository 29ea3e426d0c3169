"""TCP between two namespaces through a switch, default offloads of veth, by iperf3.

usage: python -m bench.tcp [--switch ours|ovs] [--seconds S]
Open vSwitch runs as Debian ships it, without userspace-tso-enable (experimental there); its devices get no offloads.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from bench import load
from bench.demo import background, inside
from bench.peer import run


def measure(chosen: argparse.Namespace) -> dict[str, tuple[float, str]]:
    """Return gigabits per second received."""
    devices = load.hosts()
    if chosen.switch == "ovs":  # frames with partial checksums do not get through it
        for name in load.NAMES:
            subprocess.run(inside(name, "ethtool", "-K", "eth0", "tx", "off"), check=True, capture_output=True)
    with load.wired(chosen.switch) as switch:
        switch.add_bridge(load.BRIDGE, *devices)
        switch.flows(load.BRIDGE, "actions=NORMAL")
        with background(*inside("right", "iperf3", "--server", "--one-off", "--forceflush")) as server:
            assert server.stdout is not None
            while "listening" not in server.stdout.readline():
                pass
            report = run(inside("left", "iperf3", "--json", "-c", "10.0.0.2", "-t", f"{chosen.seconds:.0f}"))
        return {"tcp": (json.loads(report)["end"]["sum_received"]["bits_per_second"] / 1e9, "Gbit/s")}


if __name__ == "__main__":
    sys.exit(load.main(measure, load.options("TCP through a switch", seconds=(float, 2.0))))
