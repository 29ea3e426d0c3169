"""Packets per second when every packet is the first of its flow: veth to veth, each packet with UDP ports of its own.

usage: python -m bench.misses_veth [--switch ours|ovs] [--seconds S]
The flow copies both ports to a register, so each pair of ports is a megaflow of its own and every packet a miss; fewer
than 90 % misses are an error.
"""

from __future__ import annotations

import argparse
import sys

from bench import load
from bench.looped import looked_up
from bench.peer import StepError

FLOWS_PER_S = 400_000  # about what the generator sends
FLOW = "udp,actions=move:NXM_OF_UDP_SRC[]->NXM_NX_REG0[0..15],move:NXM_OF_UDP_DST[]->NXM_NX_REG0[16..31],output:2"
LEAST_SHARE = 0.9


def measure(chosen: argparse.Namespace) -> dict[str, tuple[float, str]]:
    """Return thousand first packets received per second, and per second of the switch's processor time."""
    devices = load.hosts()
    with load.wired(chosen.switch) as switch:
        switch.add_bridge(load.BRIDGE, *devices)
        switch.flows(load.BRIDGE, FLOW)
        hits, misses = looked_up(switch)
        pps, per_cpu = load.received_pps(switch, int(FLOWS_PER_S * (chosen.seconds + 1)), chosen.seconds)
        after = looked_up(switch)
        hits, misses = after[0] - hits, after[1] - misses
        if misses < LEAST_SHARE * (hits + misses):
            raise StepError(f"only {misses} of {hits + misses} packets were misses")
        return {"misses": (pps / 1e3, "kpps"), "misses_cpu": (per_cpu / 1e3, "kpps")}


if __name__ == "__main__":
    sys.exit(load.main(measure, load.options("first packets per second", seconds=(float, 2.0))))
