"""Round trip of one small packet at a time between two namespaces, everybody asleep in between: the median, in us.

usage: python -m bench.pingpong [--switch ours|ovs|bridge] [--rounds N]
A UDP datagram of 16 bytes, sent back by the far end. The hosts share one processor, the switch has the other. Between
rounds is a pause of 1 ms, longer than a switch keeps polling.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time

from bench import load
from bench.demo import inside
from bench.peer import StepError, two_cpus

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


def measure(chosen: argparse.Namespace) -> dict[str, tuple[float, str]]:
    """Return the round trip's median and 99th percentile."""
    devices = load.hosts(offloads=chosen.switch != "ovs")
    cpus = two_cpus()[1]
    program = [sys.executable, "-m", "bench.pingpong", "--role"]
    with load.wired(chosen.switch) as switch:
        switch.add_bridge(load.BRIDGE, *devices)
        switch.flows(load.BRIDGE, "actions=NORMAL")
        far = subprocess.Popen(inside("right", *program, "answer"), stdout=subprocess.PIPE, text=True)
        try:
            assert far.stdout is not None
            far.stdout.readline()
            if cpus:
                os.sched_setaffinity(far.pid, cpus)
            near = [*inside("left", *program, "ask"), "--rounds", str(chosen.rounds)]
            if cpus:
                near = ["taskset", "-c", str(min(cpus)), *near]
            done = subprocess.run(near, capture_output=True, text=True, timeout=60, check=False)
        finally:
            far.kill()
            far.communicate()
    if done.returncode:
        raise StepError(done.stderr.strip().splitlines()[-1])
    median, worst = map(float, done.stdout.split())
    return {"pingpong": (median, "us"), "pingpong_p99": (worst, "us")}


def main() -> int:
    """Play the role that is asked for, or measure."""
    chosen = load.options("round trip", ("ours", "ovs", "bridge"), rounds=(int, 1000), role=(str, ""))
    if chosen.role:
        answer() if chosen.role == "answer" else ask(chosen.rounds)
        return 0
    return load.main(measure, chosen)


if __name__ == "__main__":
    sys.exit(main())
