"""Traffic through a switch between two namespaces, measured at the receiver: what the packet benchmarks share."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable

from bench import sandbox
from bench.peer import StepError, Switch, switch_of, two_cpus, wait_for
from vslib.errors import SwitchError

BRIDGE = "br0"
NAMES = ("left", "right")
SETTLE_S = 0.5
START_S = 10.0  # until the first packet arrives, on a machine that is busy otherwise
FOREIGN_MAC = "02:00:00:00:00:99"  # the receiver does not own it: its stack drops early and answers nothing (fair sink)


def options(
    description: str, switches: tuple[str, ...] = ("ours", "ovs"), **extra: tuple[type, object]
) -> argparse.Namespace:
    """Return the arguments of a pair script: --switch with one of `switches`, and those in `extra` (type, default)."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--switch", choices=switches, default=switches[0])
    for name, (kind, default) in extra.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=default)
    return parser.parse_args()


def main(measure: Callable[[argparse.Namespace], dict[str, tuple[float, str]]], chosen: argparse.Namespace) -> int:
    """Enter the sandbox, measure, and print `name value unit` lines; returns the exit code."""
    try:
        sandbox.enter()
        for name, (value, unit) in measure(chosen).items():
            print(f"{name} {value:.4g} {unit}")
    except (StepError, SwitchError, sandbox.SandboxError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def hosts(*, offloads: bool = True) -> list[str]:
    """Make the two namespaces and return the names of their devices here.

    offloads: as veth has them; without, whole frames only, since those with partial checksums do not get through Open
    vSwitch in user space.
    """
    devices = [f"to-{name}" for name in NAMES]
    for number, (name, device) in enumerate(zip(NAMES, devices, strict=True), 1):
        sandbox.add_host(name, device, f"10.0.0.{number}/24", quiet=True)
        if not offloads:
            words = ["ip", "netns", "exec", name, "ethtool", "-K", "eth0", "tx", "off"]
            subprocess.run(words, check=True, capture_output=True)
    return devices


def wired(name: str) -> Switch:
    """Return the switch called `name`, on a processor of its own and not yet started."""
    return switch_of(name, two_cpus()[0])


def received_pps(
    switch: Switch,
    flows: int,
    seconds: float,
    generator_module: str = "bench.generator",
    destination: str = FOREIGN_MAC,
) -> tuple[float, float]:
    """Send from left to right as fast as it goes for some `seconds`.

    Returns packets received per second, and per second of the switch's processor time: the second figure suffers less
    when something else runs on the machine.
    """
    _, cpus = two_cpus()
    source = sandbox.mac_of("left")
    command = [sys.executable, "-m", generator_module, "eth0", destination, source, str(seconds + SETTLE_S + START_S)]
    generator = subprocess.Popen(
        ["ip", "netns", "exec", "left", *command, str(flows)], stdout=subprocess.PIPE, text=True, cwd=sandbox.ROOT
    )
    try:
        if cpus:
            os.sched_setaffinity(generator.pid, cpus)
        assert generator.stdout is not None
        generator.stdout.readline()  # `ready`
        before = received()
        wait_for("packets at the receiver", lambda: received() > before, START_S)
        time.sleep(SETTLE_S)
        packets, used_s, begin = received(), processor_s(switch), time.monotonic()
        time.sleep(seconds)
        packets, used_s, elapsed_s = received() - packets, processor_s(switch) - used_s, time.monotonic() - begin
    finally:
        generator.kill()
        generator.wait()
    if switch.counts_cpu and used_s <= 0 or not packets:
        raise StepError(f"{packets} packets arrived, {used_s:.3f} s of processor time were used")
    return packets / elapsed_s, packets / used_s if switch.counts_cpu else 0.0


def processor_s(switch: Switch) -> float:
    """Return the switch's processor time so far, 0 when it works on somebody else's."""
    return switch.cpu_s() if switch.counts_cpu else 0.0


def received() -> int:
    """Return how many packets the right host's interface got so far."""
    return sandbox.device_packets("right", "eth0", "rx_packets")
