"""With a thread flooding edits, each packet's outcome is what the tables gave at some moment on its way (DP.13, OF.10).

CYV_PROPERTY_CASES multiplies the number of cases, CYV_PROPERTY_SEED runs one alone; `make soak` runs them for a minute
or CYVSWITCH_FUZZ_SECONDS.
"""

from __future__ import annotations

import os
import time

import pytest

from tests.datapath.forwarding import vector
from tests.scenario.edits_flood import check

FACTOR = float(os.environ.get("CYV_PROPERTY_CASES", "1"))
ONE_SEED = os.environ.get("CYV_PROPERTY_SEED")
LONG_S = float(os.environ.get("CYVSWITCH_FUZZ_SECONDS", "60"))
CASES, EDITS = 12, 150


def checked(seed: int) -> tuple[int, int]:
    """Check one case; the frame cache's variants take turns."""
    with vector(seed):
        return check(seed, EDITS)


def run(seeds: range | list[int]) -> None:
    packets, met_edits = map(sum, zip(*(checked(seed) for seed in seeds), strict=True))
    print(f"{packets} packets, {met_edits} of them while an edit changed what becomes of them")
    assert packets > 10 * len(seeds)
    assert met_edits or ONE_SEED


def test_each_packet_is_handled_by_the_tables_of_some_moment_on_its_way() -> None:
    run([int(ONE_SEED)] if ONE_SEED else range(int(CASES * FACTOR)))


@pytest.mark.slow
@pytest.mark.timeout(LONG_S + 120)
def test_each_packet_is_handled_by_the_tables_of_some_moment_for_a_minute() -> None:
    seed, end = time.time_ns() // 1_000_000, time.monotonic() + LONG_S
    while time.monotonic() < end:
        run(range(seed, seed + CASES))
        seed += CASES
