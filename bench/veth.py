"""60-byte UDP packets per second from veth to veth through one output flow; the receiver's stack drops them early.

usage: python -m bench.veth [--switch ours|ovs] [--flows N] [--seconds S] [--type afxdp] [--mode MODE] [--saturate 1]
--type: of both interfaces; --mode: options:xdp-mode of afxdp; --saturate: with bench.live_frames, 1 flow
"""

from __future__ import annotations

import argparse
import sys

from bench import load
from bench.peer import StepError, run


def measure(chosen: argparse.Namespace) -> dict[str, tuple[float, str]]:
    """Return thousand packets received per second, and per second of the switch's processor time."""
    devices = load.hosts()
    with load.wired(chosen.switch) as switch:
        switch.add_bridge(load.BRIDGE, *devices)
        if chosen.type != "system":
            for device in devices:
                options = [f"options:xdp-mode={chosen.mode}"] if chosen.mode else []
                switch.tool("ovs-vsctl", "--timeout=20", "set", "interface", device, f"type={chosen.type}", *options)
                error = switch.tool("ovs-vsctl", "get", "interface", device, "error").strip()
                if error != "[]":
                    raise StepError(error)
        switch.flows(load.BRIDGE, "in_port=1,actions=2", "in_port=2,actions=1")
        module = "bench.generator"
        if chosen.saturate:
            module = "bench.live_frames"
            run(["ethtool", "-K", devices[0], "gro", "on"])
        pps, per_cpu = load.received_pps(switch, chosen.flows, chosen.seconds, module)
        return {"veth": (pps / 1e3, "kpps"), "veth_cpu": (per_cpu / 1e3, "kpps")}


if __name__ == "__main__":
    OPTIONS = {
        "flows": (int, 1),
        "seconds": (float, 2.0),
        "type": (str, "system"),
        "mode": (str, ""),
        "saturate": (int, 0),
    }
    sys.exit(load.main(measure, load.options("packets per second over veth", **OPTIONS)))
