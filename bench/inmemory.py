"""Packets per second in memory: looped source -> caches -> output -> null pipe, on one forwarder.

usage: python -m bench.inmemory [--flows N] [--frame BYTES] [--seconds S] [--runs R] Prints one number: the median, in
million packets per second. The miss hook is a table of one rule that reads the UDP ports, so that each flow has its own
megaflow.
"""

from __future__ import annotations

import argparse
import statistics
import struct

from datapath.datapath import Datapath
from datapath.ports.pipe import PipePort
from datapath.testing import Rule, TableHook
from vslib.clock import CLOCK

KEY_BYTES = 584
PORTS_OFFSET = 248  # OFS_TP_SRC
ROUNDS = 2000  # batches between two looks at the clock
OUTPUT = 1


def frame(flow: int, n_bytes: int) -> bytes:
    """Return a UDP frame of flow number `flow`."""
    ether = bytes.fromhex("0200000000020200000000010800")
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, n_bytes - 14, 0, 0, 64, 17, 0, b"\x0a\0\0\1", b"\x0a\0\0\2")
    udp = struct.pack("!HHHH", 1 + flow % 60000, 1 + flow // 60000, n_bytes - 34, 0)
    return (ether + ip + udp).ljust(n_bytes, b"\0")


def run(flows: int, n_bytes: int, seconds: float) -> float:
    """Return million packets per second of one run."""
    dp = Datapath(1, inline=True)
    hook = TableHook()
    dp.set_miss_hook(hook)
    source, sink = PipePort("source"), PipePort("sink", null=True)
    in_port, out_port = dp.add_port(source), dp.add_port(sink)
    mask = bytearray(KEY_BYTES)
    mask[PORTS_OFFSET : PORTS_OFFSET + 4] = b"\xff" * 4
    never = bytearray(KEY_BYTES)  # port 0 does not occur: the rule only makes the ports part of every megaflow
    hook.set_bank(
        in_port, [Rule(bytes(never), bytes(mask), []), Rule(bytes(KEY_BYTES), bytes(KEY_BYTES), [op_output(out_port)])]
    )
    source.loop([frame(i, n_bytes) for i in range(flows)])
    dp.step(max_rounds=ROUNDS)
    start_ns, before = CLOCK.now_ns(), dp.stats()["packets"]
    while CLOCK.now_ns() - start_ns < seconds * 1e9:
        dp.step(max_rounds=ROUNDS)
    packets, elapsed_ns = dp.stats()["packets"] - before, CLOCK.now_ns() - start_ns
    assert dp.stats()["misses"] == flows and dp.stats()["drops"] == {}
    source.loop([])
    dp.stop()
    return float(packets * 1e3 / elapsed_ns)


def op_output(port: int) -> tuple[int, int, int, int, int, bytes, bytes]:
    """Return an output op."""
    return (OUTPUT, 0, 0, port, 0, bytes(16), bytes(16))


def main() -> None:
    """Print the median of the runs."""
    parser = argparse.ArgumentParser(description="packets per second in memory, in millions")
    parser.add_argument("--flows", type=int, default=1)
    parser.add_argument("--frame", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    rates = [run(options.flows, options.frame, options.seconds) for _ in range(options.runs)]
    print(f"{statistics.median(rates):.2f}")


if __name__ == "__main__":
    main()
