"""60-byte UDP packets per second from veth to veth through one output flow; the receiver's stack drops them early.

usage: python -m bench.veth [--switch ours|ovs] [--flows N] [--seconds S]
"""

from __future__ import annotations

import argparse
import sys

from bench import load


def measure(chosen: argparse.Namespace) -> dict[str, tuple[float, str]]:
    """Return thousand packets received per second, and per second of the switch's processor time."""
    devices = load.hosts()
    with load.wired(chosen.switch) as switch:
        switch.add_bridge(load.BRIDGE, *devices)
        switch.flows(load.BRIDGE, "in_port=1,actions=2", "in_port=2,actions=1")
        pps, per_cpu = load.received_pps(switch, chosen.flows, chosen.seconds)
        return {"veth": (pps / 1e3, "kpps"), "veth_cpu": (per_cpu / 1e3, "kpps")}


if __name__ == "__main__":
    sys.exit(load.main(measure, load.options("packets per second over veth", flows=(int, 1), seconds=(float, 2.0))))
