"""TCP between two namespaces through a switch, by iperf3: over veth with its default offloads, or over TAP devices.

usage: python -m bench.tcp [--switch ours|ovs|ovs-tso|bridge] [--device veth|tap] [--seconds S]
Open vSwitch as Debian ships it gets hosts without offloads, because frames with partial checksums do not get through;
`ovs-tso` is the same with its experimental userspace-tso-enable. TAP: internal ports of the switch, moved into the
namespaces.
"""

from __future__ import annotations

import argparse
import json
import sys

from bench import load, sandbox
from bench.demo import background, inside
from bench.peer import Switch, run

SWITCHES = ("ours", "ovs", "ovs-tso", "bridge")


def over_veth(switch: Switch, name: str) -> None:
    """Join two hosts by veth."""
    switch.add_bridge(load.BRIDGE, *load.hosts(offloads=name != "ovs"))


def over_tap(switch: Switch, _name: str) -> None:
    """Join two hosts by the TAP devices that the switch makes for internal ports."""
    switch.add_bridge(load.BRIDGE)
    for number, host in enumerate(load.NAMES, 1):
        sandbox.ip("netns", "add", host)
        tap = f"tap-{host}"
        words = ["add-port", load.BRIDGE, tap, "--", "set", "Interface", tap, "type=internal"]
        switch.tool("ovs-vsctl", "--timeout=20", *words)
        sandbox.ip("link", "set", tap, "netns", host)
        sandbox.ip("-n", host, "addr", "add", f"10.0.0.{number}/24", "dev", tap)
        sandbox.ip("-n", host, "link", "set", tap, "up")


DEVICES = {"veth": over_veth, "tap": over_tap}


def measure(chosen: argparse.Namespace) -> dict[str, tuple[float, str]]:
    """Return gigabits per second received."""
    with load.wired(chosen.switch) as switch:
        DEVICES[chosen.device](switch, chosen.switch)
        switch.flows(load.BRIDGE, "actions=NORMAL")
        with background(*inside("right", "iperf3", "--server", "--one-off", "--forceflush")) as server:
            assert server.stdout is not None
            while "listening" not in server.stdout.readline():
                pass
            report = run(inside("left", "iperf3", "--json", "-c", "10.0.0.2", "-t", f"{chosen.seconds:.0f}"))
        name = "tcp" if chosen.device == "veth" else "tcp_tap"
        return {name: (json.loads(report)["end"]["sum_received"]["bits_per_second"] / 1e9, "Gbit/s")}


if __name__ == "__main__":
    settings = load.options("TCP through a switch", SWITCHES, device=(str, "veth"), seconds=(float, 2.0))
    sys.exit(load.main(measure, settings))
