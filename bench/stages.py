"""Where a forwarder's time goes: ns per packet of each stage between a looped capture and a null port, by perf.

usage: python -m bench.stages [--pipeline output|udp|fields|masks|ports] [--flows N] [--seconds S]
Samples this process while one forwarder works and prints processor time per packet by stage. Needs Linux perf.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from bench.looped import PIPELINES, packet
from bench.peer import StepError
from datapath.datapath import Datapath
from datapath.ports.pipe import PipePort
from ofproto.flow_table import FlowTables
from ofproto.flow_text import parse_flow
from ofproto.switch import SwitchHandle

WARM_UP_S = 1.0
# stage, what its functions are called; the first that is found in a name counts
STAGES = (
    ("receive: copy into a buffer", r"pipe_rx|port_finish_rx"),
    ("shape; group by program, count", r"batch_run|classify"),
    ("mask and hash", r"identify_"),
    ("find the entry", r"find_"),
    ("compare whole", r"compare_|frame_cache_look"),
    ("rewrite headers, collect outputs", r"edit|execute"),
    ("send and release", r"port_send|port_sent|pipe_tx"),
    ("the loop: clock, mailbox, epoll", r"forwarder|rx_ports|mailbox|commands|clock|epoll|ep_|syscall|fd"),
)


def sample(folder: Path, seconds: float) -> dict[str, float]:
    """Return the share of samples by symbol of this process; raises StepError when perf cannot."""
    data = folder / "perf.data"
    record = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "2000", "-p", str(os.getpid()), "-o", str(data)]
    done = subprocess.run([*record, "--", "sleep", str(seconds)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise StepError(f"perf record: {done.stderr.strip()}")
    report = ["perf", "report", "-i", str(data), "--stdio", "--no-children", "-F", "overhead,sym"]
    text = subprocess.run(report, capture_output=True, text=True, check=True).stdout
    return {name: float(share) / 100 for share, name in re.findall(r"^\s*([\d.]+)%\s+\[.\] (\S+)", text, re.MULTILINE)}


def by_stage(shares: dict[str, float]) -> dict[str, float]:
    """Add the shares of symbols up to those of stages."""
    found: dict[str, float] = defaultdict(float)
    for symbol, share in shares.items():
        stage = next((stage for stage, pattern in STAGES if re.search(pattern, symbol)), "else")
        found[stage] += share
    return found


def main() -> int:
    """Print nanoseconds of processor time per packet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pipeline", choices=tuple(PIPELINES), default="output")
    parser.add_argument("--flows", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=3.0)
    chosen = parser.parse_args()
    if shutil.which("perf") is None:
        raise StepError("perf is not installed")
    switch, dp = SwitchHandle(), Datapath(1)
    dp.set_miss_hook(switch.miss_hook)
    bridge = switch.add_bridge("br0", bytes(6))
    source, sink = PipePort("source"), PipePort("sink", null=True)
    for number, port in enumerate((source, sink), 1):
        bridge.add_port(number, dp.add_port(port), port.name)
    tables = FlowTables(bridge)
    for text in PIPELINES[chosen.pipeline]:
        tables.flow_mod(parse_flow(text).to_message())
    dp.start()
    source.loop([packet(flow, 60, chosen.pipeline) for flow in range(chosen.flows)])
    time.sleep(WARM_UP_S)
    packets, cpu_ns = dp.stats()["packets"], time.process_time_ns()
    with tempfile.TemporaryDirectory() as folder:
        shares = sample(Path(folder), chosen.seconds)
    packets, cpu_ns = dp.stats()["packets"] - packets, time.process_time_ns() - cpu_ns
    source.loop([])
    dp.stop()
    per_packet_ns = cpu_ns / packets
    stages = by_stage(shares)
    for stage in (*(name for name, _ in STAGES), "else"):
        print(f"{stage:34}{stages[stage] * per_packet_ns:6.2f} ns")
    print(f"{'all':34}{per_packet_ns:6.2f} ns")
    return 0


if __name__ == "__main__":
    sys.exit(main())
