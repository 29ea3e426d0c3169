"""How two forwarders scale in memory, for each part of what two processes that share nothing reach on the same cores.

usage: python -m bench.forwarders [--flows N] [--seconds S]
Measured in one run: one forwarder alone; two forwarders of one datapath, each with a source and a sink of its own; and
two processes with a datapath each. Prints (two forwarders : one) : (two processes : one).
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time

from bench.inmemory import KEY_BYTES, frame, op_output
from datapath.datapath import Datapath
from datapath.ports.pipe import PipePort
from datapath.testing import Rule, TableHook
from vslib.clock import CLOCK

WARM_UP_S = 0.3


def run(n_forwarders: int, flows: int, seconds: float) -> float:
    """Return million packets per second of one datapath with a looped source for each forwarder."""
    dp, hook = Datapath(n_forwarders), TableHook()
    dp.rx.isolate = False
    dp.set_miss_hook(hook)
    sources = [PipePort(f"source{i}") for i in range(n_forwarders)]
    for i, source in enumerate(sources):
        # The sink is a port like any other, that somebody looks after: left alone, the sources might share a forwarder.
        in_port, out_port = dp.add_port(source, affinity={0: i}), dp.add_port(PipePort(f"sink{i}", null=True))
        hook.set_bank(in_port, [Rule(bytes(KEY_BYTES), bytes(KEY_BYTES), [op_output(out_port)])])
        source.loop([frame(flow, 64) for flow in range(flows)])
    dp.start()
    time.sleep(WARM_UP_S)
    start_ns, before = CLOCK.now_ns(), dp.stats()["packets"]
    time.sleep(seconds)
    assert all(one["packets"] for one in dp.stats()["forwarders"])
    packets, elapsed_ns = dp.stats()["packets"] - before, CLOCK.now_ns() - start_ns
    for source in sources:
        source.loop([])
    dp.stop()
    return float(packets * 1e3 / elapsed_ns)


def apart(flows: int, seconds: float) -> float:
    """Return million packets per second of two processes, added."""
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.starmap(run, [(1, 32, 0.1)] * 2, chunksize=1)  # both have imported everything
        return sum(pool.starmap(run, [(1, flows, seconds)] * 2, chunksize=1))


def main() -> int:
    """Print the ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--flows", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=1.0)
    chosen = parser.parse_args()
    one, two = run(1, chosen.flows, chosen.seconds), run(2, chosen.flows, chosen.seconds)
    separate = apart(chosen.flows, chosen.seconds)
    print(f"one {one:.2f}, two {two:.2f}, two processes {separate:.2f} Mpps", file=sys.stderr)
    print(f"{two / separate:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
