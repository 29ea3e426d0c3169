"""Seconds for `ovs-ofctl add-flows` of 100,000 flows, for `dump-flows` of them, and the resident memory.

usage: python -m bench.ofctl_add_flows [--switch ours|ovs] [--flows N]
The flows match TCP to an address and port of their own, as an access list does. Includes ovs-ofctl's own work, the same
for both switches.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time

from bench import load
from bench.peer import StepError

TIMEOUT_S = 120.0


def flow(i: int) -> str:
    """Return flow number i as text."""
    address = f"10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}"
    return f"priority=100,tcp,nw_dst={address},tp_dst={i & 0xFFFF},actions=output:{1 + i % 8}\n"


def measure(chosen: argparse.Namespace) -> dict[str, tuple[float, str]]:
    """Return seconds, the switch's processor time, and its memory."""
    with tempfile.NamedTemporaryFile("w", suffix=".flows") as listing, load.wired(chosen.switch) as switch:
        listing.writelines(flow(i) for i in range(chosen.flows))
        listing.flush()
        switch.add_bridge(load.BRIDGE)
        switch.tool("ovs-ofctl", "del-flows", load.BRIDGE)
        used_s, begin = switch.cpu_s(), time.monotonic()
        switch.tool("ovs-ofctl", "add-flows", load.BRIDGE, listing.name, timeout_s=TIMEOUT_S)
        seconds, used_s = time.monotonic() - begin, switch.cpu_s() - used_s
        begin_dump = time.monotonic()
        switch.tool("ovs-ofctl", "-O", "OpenFlow13", "dump-flows", load.BRIDGE, timeout_s=TIMEOUT_S)
        dump_s = time.monotonic() - begin_dump
        told = switch.tool("ovs-ofctl", "dump-aggregate", load.BRIDGE)
        counted = re.search(r"flow_count=(\d+)", told)
        if counted is None or int(counted[1]) != chosen.flows:
            raise StepError(f"{chosen.flows} flows were added, but: {told}")
        return {
            "add_flows": (seconds, "s"),
            "add_flows_cpu": (used_s, "s"),
            "dump_flows": (dump_s, "s"),
            "memory_flows": (switch.resident_mib(), "MiB"),
        }


if __name__ == "__main__":
    sys.exit(load.main(measure, load.options("100,000 flow-mods by ovs-ofctl", flows=(int, 100_000))))
