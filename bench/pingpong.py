"""Round trip of one small packet at a time between two namespaces: the median, in us.

usage: python -m bench.pingpong [--switch ours|ovs|bridge] [--rounds N] [--busy 1]
A UDP datagram of 16 bytes, sent back by the far end. The hosts share one processor, the switch has the other.
Everybody sleeps: between rounds is a pause of 1 ms, longer than a switch keeps polling. --busy 1: nobody sleeps; one
process is both hosts and polls its two sockets, so that neither takes the processor from the other, and our forwarder
polls, too (pmd-cpu-mask). Open vSwitch has no such mode for devices of the kernel.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from bench import load, sandbox
from bench.demo import inside
from bench.peer import StepError, two_cpus
from datapath.ports import namespace

ADDRESS, PORT = "10.0.0.2", 5300
WARM_UP = 50
PAUSE_S = 0.001
TIMEOUT_S = 5.0


def answer() -> None:
    """Send everything back until killed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((ADDRESS, PORT))
        print("ready", flush=True)
        while True:
            data, peer = sock.recvfrom(64)
            sock.sendto(data, peer)


def ask(rounds: int) -> None:
    """Print median and 99th percentile of the round trips, in us."""
    times = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((ADDRESS, PORT))
        sock.settimeout(TIMEOUT_S)
        for _ in range(WARM_UP + rounds):
            time.sleep(PAUSE_S)
            begin = time.perf_counter_ns()
            sock.send(bytes(16))
            sock.recv(64)
            times.append((time.perf_counter_ns() - begin) / 1e3)
    cuts = statistics.quantiles(times[WARM_UP:], n=100)
    print(f"{cuts[49]:.2f} {cuts[98]:.2f}")


def poll(rounds: int) -> None:
    """Be both ends, without ever sleeping, and print median and 99th percentile of the round trips, in us."""
    kind = (socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    near, far = (namespace.call_in(f"/run/netns/{name}", lambda: socket.socket(*kind)) for name in load.NAMES)
    times = []
    with near, far:
        far.bind((ADDRESS, PORT))
        near.connect((ADDRESS, PORT))
        for _ in range(WARM_UP + rounds):
            begin = time.perf_counter_ns()
            near.send(bytes(16))
            data, peer = received(far, begin)
            far.sendto(data, peer)
            received(near, begin)
            times.append((time.perf_counter_ns() - begin) / 1e3)
    cuts = statistics.quantiles(times[WARM_UP:], n=100)
    print(f"{cuts[49]:.2f} {cuts[98]:.2f}")


def received(sock: socket.socket, begin_ns: int) -> tuple[bytes, tuple[str, int]]:
    """Return the next datagram and its sender, looking until it is there; TimeoutError when it is lost."""
    while time.perf_counter_ns() - begin_ns < TIMEOUT_S * 1e9:
        with contextlib.suppress(BlockingIOError):
            return sock.recvfrom(64)
    raise TimeoutError("a datagram is lost")


def run_busy(cpus: set[int] | None, rounds: int) -> subprocess.CompletedProcess[str]:
    """Run `poll` on the hosts' processor."""
    command = [sys.executable, "-m", "bench.pingpong", "--role", "poll", "--rounds", str(rounds)]
    if cpus:
        command = ["taskset", "-c", str(min(cpus)), *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=sandbox.ROOT)


def run_asleep(cpus: set[int] | None, rounds: int) -> subprocess.CompletedProcess[str]:
    """Run `answer` and `ask` on the hosts' processor."""
    program = [sys.executable, "-m", "bench.pingpong", "--role"]
    far = subprocess.Popen(inside("right", *program, "answer"), stdout=subprocess.PIPE, text=True)
    try:
        assert far.stdout is not None
        far.stdout.readline()
        if cpus:
            os.sched_setaffinity(far.pid, cpus)
        near = [*inside("left", *program, "ask"), "--rounds", str(rounds)]
        if cpus:
            near = ["taskset", "-c", str(min(cpus)), *near]
        return subprocess.run(near, capture_output=True, text=True, timeout=60, check=False)
    finally:
        far.kill()
        far.communicate()


def measure(chosen: argparse.Namespace) -> dict[str, tuple[float, str]]:
    """Return the round trip's median and 99th percentile."""
    devices = load.hosts(offloads=chosen.switch != "ovs")
    ours, cpus = two_cpus()
    with load.wired(chosen.switch) as switch:
        switch.add_bridge(load.BRIDGE, *devices)
        switch.flows(load.BRIDGE, "actions=NORMAL")
        if chosen.busy and chosen.switch == "ours":
            mask = f"other_config:pmd-cpu-mask={1 << min(ours) if ours else 1:x}"
            switch.tool("ovs-vsctl", "--timeout=20", "set", "Open_vSwitch", ".", mask)
        done = (run_busy if chosen.busy else run_asleep)(cpus, chosen.rounds)
    if done.returncode:
        raise StepError(done.stderr.strip().splitlines()[-1])
    median, worst = map(float, done.stdout.split())
    name = "pingpong_busy" if chosen.busy else "pingpong"
    return {name: (median, "us"), f"{name}_p99": (worst, "us")}


def main() -> int:
    """Play the role that is asked for, or measure."""
    switches, numbers = ("ours", "ovs", "bridge"), {"rounds": (int, 1000), "busy": (int, 0)}
    chosen = load.options("round trip", switches, role=(str, ""), **numbers)
    roles: dict[str, Callable[[], None]] = {
        "answer": answer,
        "ask": lambda: ask(chosen.rounds),
        "poll": lambda: poll(chosen.rounds),
    }
    if chosen.role:
        roles[chosen.role]()
        return 0
    return load.main(measure, chosen)


if __name__ == "__main__":
    sys.exit(main())
