"""60-byte UDP packets per second from veth to veth through one output flow; the receiver's stack drops them early.

usage: python -m bench.veth [--switch ours|ovs|bridge] [--flows N] [--seconds S] [--sink fair|answering]
                            [--type afxdp] [--mode MODE] [--saturate 1]
--sink: fair frames have a MAC address that is not the receiver's; answering ones have, so that its stack answers with
ICMP on the forwarder's time; --type: of our interfaces; --mode: options:xdp-mode of afxdp; --saturate: with
bench.live_frames, 1 flow
"""

from __future__ import annotations

import argparse
import sys

from bench import load, sandbox
from bench.peer import StepError, Switch, run


def open_as(switch: Switch, devices: list[str], kind: str, mode: str) -> None:
    """Set the type of the interfaces; raises StepError when the switch cannot."""
    for device in devices:
        options = [f"options:xdp-mode={mode}"] if mode else []
        switch.tool("ovs-vsctl", "--timeout=20", "set", "interface", device, f"type={kind}", *options)
        error = switch.tool("ovs-vsctl", "get", "interface", device, "error").strip()
        if error != "[]":
            raise StepError(error)


def measure(chosen: argparse.Namespace) -> dict[str, tuple[float, str]]:
    """Return thousand packets received per second, and per second of the switch's processor time."""
    devices = load.hosts()
    with load.wired(chosen.switch) as switch:
        switch.add_bridge(load.BRIDGE, *devices)
        if chosen.type != "system" and chosen.switch == "ours":
            open_as(switch, devices, chosen.type, chosen.mode)
        switch.flows(load.BRIDGE, "in_port=1,actions=2", "in_port=2,actions=1")
        module = "bench.generator"
        if chosen.saturate:
            module = "bench.live_frames"
            run(["ethtool", "-K", devices[0], "gro", "on"])
        to = sandbox.mac_of("right") if chosen.sink == "answering" else load.FOREIGN_MAC
        pps, per_cpu = load.received_pps(switch, chosen.flows, chosen.seconds, module, to)
        found = {name_of(chosen): (pps / 1e3, "kpps")}
        plain = name_of(chosen) == "veth" and switch.counts_cpu
        return found | ({"veth_cpu": (per_cpu / 1e3, "kpps")} if plain else {})


def name_of(chosen: argparse.Namespace) -> str:
    """Return the name of the figure."""
    parts = ["veth"]
    parts += ["answering"] if chosen.sink == "answering" else []
    parts += ["saturated"] if chosen.saturate else []
    return "_".join(parts + ([chosen.type] if chosen.type != "system" else []))


if __name__ == "__main__":
    OPTIONS = {
        "flows": (int, 1),
        "seconds": (float, 2.0),
        "sink": (str, "fair"),
        "type": (str, "system"),
        "mode": (str, ""),
        "saturate": (int, 0),
    }
    sys.exit(load.main(measure, load.options("packets per second over veth", ("ours", "ovs", "bridge"), **OPTIONS)))
