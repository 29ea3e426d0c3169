"""Which megaflows an edit concerns: nothing that changed is missed, little that did not is translated again (DP.13).

The naive oracle: after every edit, what was said to be untouched is translated anew, packet by packet.
"""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofproto.flow_table import FlowTables
from ofproto.xlate.testing import add_flow, del_flow
from tests.ofproto.xlate_rig import (
    BROADCAST,
    LOCAL,
    MAC_A,
    MAC_B,
    MAC_C,
    NORMAL,
    Rig,
    full_mask,
    key,
    move,
    output,
    packet,
    resubmit,
    set_field,
)

ALL_TAGS = (1 << 256) - 1
MACS = (MAC_A, MAC_B, MAC_C)
IPS = (0x0A000001, 0x0A000002, 0x0A000101)

# What the packets of the tests differ in, and the masks of their flows; flows of one mask do not overlap but for their
# priority, and those of different masks never have the same priority: what decides between such is not defined.
UNIVERSE: dict[str, tuple] = {
    "in_port": (1, 2, 3),
    "eth_src": MACS,
    "eth_dst": (*MACS, BROADCAST),
    "eth_type": (0x0800, 0x88B5),
    "ip_dst": IPS,
    "tp_dst": (1, 2),
    "metadata": (0, 1, *IPS),
}
PACKET_SLOTS = [name for name in UNIVERSE if name != "metadata"]
MATCHED = (
    (),
    ("in_port",),
    ("eth_dst",),
    ("eth_src", "eth_dst"),
    ("in_port", "eth_type", "ip_dst"),
    ("eth_type", "tp_dst"),
    ("metadata",),
    ("metadata", "eth_dst"),
    ("metadata", "in_port", "ip_dst", "tp_dst"),
)
ACTIONS = (
    (output(1),), (output(2),), (output(3),), (NORMAL_ACT := output(NORMAL),), (), (resubmit(1),), (resubmit(2),),
    (set_field("metadata", 1), resubmit(1)), (move("ip_dst", "metadata", 32), resubmit(1), resubmit(2)),
    (set_field("eth_dst", int.from_bytes(MAC_B, "big")), resubmit(2)), (output(1), resubmit(1), NORMAL_ACT),
)  # fmt: skip


class Flow(NamedTuple):
    table: int
    priority: int
    match: tuple[tuple[str, int | bytes], ...]


class Megaflow:
    """A translation as a forwarder keeps it."""

    def __init__(self, rig: Rig, data: bytes) -> None:
        self.data, self.version = data, rig.switch.version
        result = rig.send(data, learn=False)
        self.mask, self.ops, self.tags = int.from_bytes(result.mask, "big"), result.ops, result.tags

    def covers(self, data: bytes) -> bool:
        return (int.from_bytes(data, "big") ^ int.from_bytes(self.data, "big")) & self.mask == 0


class World:
    """A switch under random edits, the megaflows of some packets, and the oracle."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.rig = Rig(3)
        self.flows: list[Flow] = []
        self.tables = FlowTables(self.rig.br)
        for _ in range(self.rng.choice((3, 10, 40))):
            self.add()
        self.packets = [self.packet() for _ in range(60)]
        self.megaflows = [Megaflow(self.rig, data) for data in self.packets[:15]]

    def packet(self) -> bytes:
        return packet(**{name: self.rng.choice(UNIVERSE[name]) for name in PACKET_SLOTS})

    def add(self) -> None:
        which = self.rng.randrange(len(MATCHED))
        match = tuple((name, self.rng.choice(UNIVERSE[name])) for name in MATCHED[which])
        flow = Flow(self.rng.randrange(3), 10 * self.rng.randrange(3) + which, match)
        acts = self.rng.choice(ACTIONS)
        if flow.table == 2:  # ends there, so that nothing runs in circles
            acts = self.rng.choice(ACTIONS[:5])
        slots = dict(match)
        add_flow(self.rig.br, flow.table, flow.priority, key(**slots), full_mask(*slots), b"".join(acts), 0)
        if flow not in self.flows:
            self.flows.append(flow)

    def remove(self) -> None:
        if self.flows:
            flow = self.flows.pop(self.rng.randrange(len(self.flows)))
            slots = dict(flow.match)
            del_flow(self.rig.br, flow.table, flow.priority, key(**slots), full_mask(*slots))

    def learn(self) -> None:
        self.rig.send(self.packet(), learn=True)

    def configure(self) -> None:
        self.rig.br.set_port(self.rng.choice((1, 2, 3)), config=self.rng.choice((0, 0, 16, 32)))

    def flush(self) -> None:
        self.rig.br.fdb_flush()

    def collect(self) -> None:
        self.tables.collect(self.rig.switch.version)

    def check(self) -> None:
        """Translate again what is said to be affected, and hold the rest to its promise."""
        now = self.rig.switch.version
        for i, flow in enumerate(self.megaflows):
            if self.rig.switch.affected(flow.version, now, flow.tags):
                self.megaflows[i] = Megaflow(self.rig, flow.data)
                continue
            for data in (flow.data, *self.packets):
                assert not flow.covers(data) or self.rig.send(data, learn=False).ops == flow.ops
            if self.rng.random() < 0.5:
                flow.version = now


EDITS = ("add", "add", "add", "remove", "remove", "learn", "learn", "configure", "flush", "collect")


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.lists(st.sampled_from(EDITS), min_size=1, max_size=40))
def test_what_an_edit_does_not_affect_translates_as_before(seed: int, edits: list[str]) -> None:
    world = World(seed)
    for edit in edits:
        getattr(world, edit)()
        world.check()


def affected_by(rig: Rig, tags: int, version: int) -> bool:
    return rig.switch.affected(version, rig.switch.version, tags)


@pytest.fixture
def many() -> Rig:
    """More flows of one mask than a look-up walks through, and a flow for all others."""
    rig = Rig(2)
    rig.flow(output(2), priority=1)
    for n in range(20):
        rig.flow(output(2), eth_type=0x0800, ip_dst=0x0B000000 + n)
    return rig


def test_a_new_flow_concerns_only_what_it_could_have_matched(many: Rig) -> None:
    (near, far), version = (many.send(packet(ip_dst=ip)).tags for ip in (0x0A000001, 0x0A000002)), many.switch.version
    many.flow(output(1), eth_type=0x0800, ip_dst=0x0A000001)
    assert affected_by(many, near, version)
    assert not affected_by(many, far, version)


def test_a_removed_flow_concerns_only_what_it_matched(many: Rig) -> None:
    (near, far), version = (many.send(packet(ip_dst=ip)).tags for ip in (0x0B000001, 0x0B000002)), many.switch.version
    del_flow(many.br, 0, 100, key(eth_type=0x0800, ip_dst=0x0B000001), full_mask("eth_type", "ip_dst"))
    assert affected_by(many, near, version)
    assert not affected_by(many, far, version)


def test_a_new_mask_concerns_every_look_up_of_the_table(many: Rig) -> None:
    tags, version = many.send().tags, many.switch.version
    many.flow(output(1), tp_dst=77)
    assert affected_by(many, tags, version)


def test_a_first_high_priority_of_a_mask_concerns_look_ups_that_did_not_get_to_it(many: Rig) -> None:
    many.flow(output(2), priority=200, in_port=1)  # nothing below is asked
    tags, version = many.send().tags, many.switch.version
    many.flow(output(1), priority=300, eth_type=0x0800, ip_dst=0x0A000002)
    assert affected_by(many, tags, version)


def test_a_megaflow_wider_than_its_packet_is_concerned_by_any_flow_within_it(many: Rig) -> None:
    """No flow begins like this packet, so its look-up did not read the address: all addresses share its megaflow."""
    odd = many.send(packet(eth_type=0x88B5))
    assert odd.reads("ip_dst") == 0
    version = many.switch.version
    many.flow(output(1), eth_type=0x88B5, ip_dst=5)
    assert affected_by(many, odd.tags, version)


def test_very_many_masks_count_as_the_whole_table() -> None:
    rig = Rig(2)
    for name in (
        "in_port",
        "eth_src",
        "eth_dst",
        "ip_src",
        "ip_dst",
        "tp_src",
        "tp_dst",
        "nw_tos",
        "nw_ttl",
        "metadata",
    ):
        rig.flow(output(2), **{name: 77})
    tags, version = rig.send().tags, rig.switch.version
    rig.flow(output(1), tp_dst=0x1234)
    assert affected_by(rig, tags, version)


def test_the_log_says_affected_when_it_does_not_reach_back() -> None:
    rig = Rig(2)
    version = rig.switch.version
    assert not rig.switch.affected(version, version, ALL_TAGS)
    for n in range(4100):
        rig.br.set_port(1, config=16 * (n & 1))
    assert affected_by(rig, 0, version)
    assert not affected_by(rig, 0, rig.switch.version - 5)
    assert affected_by(rig, ALL_TAGS, rig.switch.version - 5)


def test_far_behind_costs_a_translation_instead_of_a_long_search() -> None:
    rig = Rig(2)
    version = rig.switch.version
    for n in range(1100):
        rig.br.set_port(1, config=16 * (n & 1))
    assert affected_by(rig, 0, version)
    assert not affected_by(rig, 0, rig.switch.version - 1000)


def test_an_edit_of_very_many_tags_counts_as_all_of_its_bridge() -> None:
    rig = Rig(2)
    other = rig.bridge("br1")
    other.add_port(7, 7, "p7")
    rig.flow(output(NORMAL))
    rig.flow(output(LOCAL), bridge=other)
    for n in range(200):
        rig.send(packet(eth_src=bytes([2, 0, 0, 0, 2, n])))
    here, there, version = rig.send().tags, rig.send(packet(in_port=7)).tags, rig.switch.version
    rig.br.fdb_flush()
    assert affected_by(rig, here, version)
    assert not affected_by(rig, there, version)


def test_an_edit_of_few_tags_spares_the_rest_of_its_bridge() -> None:
    rig = Rig(2)
    rig.flow(output(NORMAL))
    rig.send(packet(eth_src=MAC_C, eth_dst=MAC_A))
    other, version = rig.send(packet(eth_src=MAC_A, eth_dst=MAC_B), learn=False).tags, rig.switch.version
    rig.br.fdb_flush()
    assert not affected_by(rig, other, version)
