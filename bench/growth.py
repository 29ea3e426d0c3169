"""Cost of a flow by the number of those there are: the 10,000 up to a million for each ns of the first 10,000.

usage: python -m bench.growth [--flows N] [--table]
Whole flow-mods without a socket: decoded, checked, inserted. --table prints the curve.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

from bench.flow_mods import RUN, flow_mod_13
from ofproto.flow_table import FlowTables
from ofproto.switch import SwitchHandle

ROUND = 10_000


def round_ns(tables: FlowTables, first: int) -> float:
    """Add ROUND flows from number `first` and return nanoseconds for each: the median over messages of one run."""
    costs = []
    for begin in range(first, first + ROUND, RUN):
        msgs = [flow_mod_13(i) for i in range(begin, begin + RUN)]
        start_ns = time.perf_counter_ns()
        _, errors = tables.apply_many(msgs)
        costs.append((time.perf_counter_ns() - start_ns) / RUN)
        if errors:
            raise SystemExit(f"flow-mod {begin + errors[0][0]}: {errors[0][1]}")
    return statistics.median(costs)


def main() -> int:
    """Print the ratio, or the curve."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--flows", type=int, default=1_000_000)
    parser.add_argument("--table", action="store_true")
    chosen = parser.parse_args()
    tables = FlowTables(SwitchHandle().add_bridge("br0", bytes(6)))
    costs = {}
    for first in range(0, chosen.flows, ROUND):
        costs[first + ROUND] = round_ns(tables, first)
    if chosen.table:
        for flows in sorted(costs)[:: max(1, len(costs) // 10)]:
            print(f"{flows:>8} flows {costs[flows]:6.0f} ns a flow-mod")
    numbers = sorted(costs)
    print(f"{costs[numbers[-1]] / costs[numbers[0]]:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
