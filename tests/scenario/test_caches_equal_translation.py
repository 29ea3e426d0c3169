"""For any tables, edits and packets: caches forward as if each packet were translated alone, then (DP.05, DP.13).

Expected is what the naive oracle says: every frame on every port, every packet-in, and at the end the counts of rules,
the MAC tables and the number of drops. The frame cache's variants take turns. Each case is a seed; CYV_PROPERTY_CASES
multiplies their number for a soak, CYV_PROPERTY_SEED runs one alone. A failure prints the seed and the shortest list of
steps that still fails.
"""

from __future__ import annotations

import os

import pytest

from tests.datapath.forwarding import vector
from tests.scenario.cases import Generator, shrink
from tests.scenario.world import Mismatch, World, step_text

FACTOR = float(os.environ.get("CYV_PROPERTY_CASES", "1"))
ONE_SEED = os.environ.get("CYV_PROPERTY_SEED")
STEPS_PER_CASE = 60


def run(steps: list[tuple], n_forwarders: int, inline: bool) -> int:
    """Run one case; returns the number of packets, raises what went wrong."""
    world = World(n_forwarders, inline)
    try:
        for step in steps:
            world.step(step)
        world.finish()
    finally:
        world.close()
    return world.packets


def fault(steps: list[tuple], n_forwarders: int, inline: bool) -> str:
    try:
        run(steps, n_forwarders, inline)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def check(seed: int, n_forwarders: int, inline: bool, learning: bool) -> int:
    steps = Generator(seed, learning).steps(STEPS_PER_CASE)
    with vector(seed):
        return check_steps(steps, seed, n_forwarders, inline, learning)


def check_steps(steps: list[tuple], seed: int, n_forwarders: int, inline: bool, learning: bool) -> int:
    try:
        return run(steps, n_forwarders, inline)
    except Exception as error:
        kind = type(error).__name__ if isinstance(error, Mismatch) else f"{type(error).__name__}: {error}"
        least = shrink(steps, lambda some: fault(some, n_forwarders, inline).startswith(kind))
        lines = "\n".join(map(step_text, least))
        pytest.fail(
            f"seed {seed}, {n_forwarders} forwarders, inline={inline}, learning={learning}\n{lines}\n"
            f"{fault(least, n_forwarders, inline) or error}"
        )


def seeds(first: int, count: int) -> range | list[int]:
    return [int(ONE_SEED)] if ONE_SEED else range(first, first + max(1, int(count * FACTOR)))


# (forwarders, inline, learning, first seed, cases); about 45 packets a case without learning twice that.
MODES = [
    (1, True, True, 0, 240),
    (1, True, False, 1_000_100, 100),
    (1, False, True, 2_000_000, 60),
    (2, False, True, 3_000_000, 60),
    (2, False, False, 4_000_000, 60),
]


@pytest.mark.parametrize(("n_forwarders", "inline", "learning", "first", "count"), MODES)
@pytest.mark.timeout(3600)
def test_output_through_caches_equals_translating_each_packet_alone(n_forwarders, inline, learning, first, count):
    packets = sum(check(seed, n_forwarders, inline, learning) for seed in seeds(first, count))
    assert packets > 30
