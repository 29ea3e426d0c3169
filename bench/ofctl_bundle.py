"""Seconds for 100,000 flows in one atomic bundle, `ovs-ofctl -O OpenFlow14 --bundle add-flows`.

usage: python -m bench.ofctl_bundle [--switch ours|ovs] [--flows N]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time

from bench import load, ofctl_add_flows

TIMEOUT_S = 120.0


def measure(chosen: argparse.Namespace) -> dict[str, tuple[float, str]]:
    """Return seconds."""
    with tempfile.NamedTemporaryFile("w", suffix=".flows") as listing, load.wired(chosen.switch) as switch:
        listing.writelines(ofctl_add_flows.flow(i) for i in range(chosen.flows))
        listing.flush()
        switch.add_bridge(load.BRIDGE)
        switch.tool("ovs-vsctl", "set", "Bridge", load.BRIDGE, "protocols=OpenFlow10,OpenFlow13,OpenFlow14")
        words = ["-O", "OpenFlow14", "--bundle", "add-flows", load.BRIDGE, listing.name]
        begin = time.monotonic()
        switch.tool("ovs-ofctl", *words, timeout_s=TIMEOUT_S)
        return {"bundle": (time.monotonic() - begin, "s")}


if __name__ == "__main__":
    sys.exit(load.main(measure, load.options("a bundle of flows", flows=(int, 100_000))))
