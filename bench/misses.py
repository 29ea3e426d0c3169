"""Misses per second in memory: every frame is a new flow, so each is translated and gets a megaflow of its own.

usage: python -m bench.misses [--flows N] [--rules N] [--seconds S] [--runs R]

Prints one number: the median, in thousand misses per second, on one forwarder, inline. The flow tables hold exact rules
on UDP ports besides the one that matches, so that every megaflow matches the ports; caches are emptied between rounds,
which is not timed.
"""

from __future__ import annotations

import argparse
import statistics

from bench.inmemory import frame
from datapath.datapath import Datapath
from datapath.ports.pipe import PipePort
from ofproto.flow_table import FlowTables
from ofproto.flow_text import parse_flow
from ofproto.switch import SwitchHandle
from vslib.clock import CLOCK

BATCH = 64  # frames that the source gives at a time
MAC = bytes(6)


def run(flows: int, rules: int, seconds: float) -> float:
    """Return thousand misses per second of one run."""
    switch, dp = SwitchHandle(), Datapath(1, inline=True)
    dp.set_miss_hook(switch.miss_hook)
    bridge = switch.add_bridge("br0", MAC)
    source, sink = PipePort("source"), PipePort("sink", null=True)
    for number, port in enumerate((source, sink), 1):
        bridge.add_port(number, dp.add_port(port), port.name)
    tables = FlowTables(bridge)
    texts = [f"priority=9,udp,tp_src={1 + i},tp_dst=65535,actions=drop" for i in range(rules)]
    for text in (*texts, "priority=1,actions=output:2"):
        tables.flow_mod(parse_flow(text).to_message())
    frames = [frame(i, 60) for i in range(flows)]
    misses = spent_ns = 0
    while spent_ns < seconds * 1e9:
        source.loop(frames, count=flows)
        start_ns, before = CLOCK.now_ns(), dp.stats()["misses"]
        dp.step(max_rounds=flows // BATCH + 2)
        spent_ns += CLOCK.now_ns() - start_ns
        misses += dp.stats()["misses"] - before
        dp.flush()
        dp.step()
    assert misses and dp.stats()["drops"] == {}
    dp.stop()
    return misses * 1e6 / spent_ns


def main() -> None:
    """Print the median of some runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flows", type=int, default=20_000)
    parser.add_argument("--rules", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    print(f"{statistics.median(run(args.flows, args.rules, args.seconds) for _ in range(args.runs)):.0f}")


if __name__ == "__main__":
    main()
