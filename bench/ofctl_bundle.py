"""Seconds for one bundle of 100,000 flows by `ovs-ofctl --bundle`, and for the bundle that replaces them.

usage: python -m bench.ofctl_bundle [--switch ours|ovs] [--flows N]
The flows are those of `ofctl_add_flows`; replace-flows gives half of them other actions, in one version of the tables.
Includes ovs-ofctl's own work, the same for both switches.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time

from bench import load
from bench.ofctl_add_flows import flow
from bench.peer import StepError

TIMEOUT_S = 120.0


def changed(i: int) -> str:
    """Return flow number i with another action."""
    return flow(i).replace("output:", "strip_vlan,output:")


def measure(chosen: argparse.Namespace) -> dict[str, tuple[float, str]]:
    """Return seconds for adding and for replacing, and the switch's processor time for both."""
    results: dict[str, tuple[float, str]] = {}
    with tempfile.NamedTemporaryFile("w", suffix=".flows") as listing, load.wired(chosen.switch) as switch:
        switch.add_bridge(load.BRIDGE)
        switch.tool("ovs-ofctl", "del-flows", load.BRIDGE)
        for command, change in (("add-flows", False), ("replace-flows", True)):
            listing.seek(0)
            listing.truncate()
            listing.writelines(changed(i) if change and i % 2 else flow(i) for i in range(chosen.flows))
            listing.flush()
            used_s, begin = switch.cpu_s(), time.monotonic()
            switch.tool("ovs-ofctl", "--bundle", command, load.BRIDGE, listing.name, timeout_s=TIMEOUT_S)
            results[f"bundle_{command}"] = (time.monotonic() - begin, "s")
            results[f"bundle_{command}_cpu"] = (switch.cpu_s() - used_s, "s")
        told = switch.tool("ovs-ofctl", "dump-aggregate", load.BRIDGE)
        counted = re.search(r"flow_count=(\d+)", told)
        if counted is None or int(counted[1]) != chosen.flows:
            raise StepError(f"{chosen.flows} flows were bundled, but: {told}")
    return results


if __name__ == "__main__":
    sys.exit(load.main(measure, load.options("a bundle of 100,000 flow-mods by ovs-ofctl", flows=(int, 100_000))))
