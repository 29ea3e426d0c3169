"""What the property test found about learning and packet-ins, kept as steps (L2.01, OF.21)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.oracle import switch_naive as naive
from tests.scenario.flows import Mod
from tests.scenario.world import World

MAC_A, MAC_B = 0x02000000000A, 0x02000000000B
FRAME = MAC_B.to_bytes(6, "big") + MAC_A.to_bytes(6, "big") + b"\x88\xb5" + bytes(30)
NORMAL = ("output", naive.NORMAL, 0)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    try:
        yield made
    finally:
        made.close()


def test_a_packet_that_shows_the_address_it_asked_for_goes_another_way_the_next_time(world: World) -> None:
    actions = (NORMAL, ("set_field", "eth_src", MAC_B, (1 << 48) - 1), NORMAL)
    world.step(("mod", "br0", Mod("add", 0, 1, {}, actions, 1)))
    for _ in range(3):
        world.step(("send", (("br0", 1, FRAME),)))
    world.finish()


@pytest.mark.parametrize("table", [0, 1])
def test_packet_ins_of_the_action_set_name_the_first_flow(world: World, table: int) -> None:
    write = ("write", ("output", naive.CONTROLLER, 64))
    world.step(("mod", "br0", Mod("add", table, 1, {}, (write,), 0x22)))
    if table:
        world.step(("mod", "br0", Mod("add", 0, 1, {}, (("goto", table),), 0x11)))
    for _ in range(2):
        world.step(("send", (("br0", 1, FRAME),)))
    world.finish()
