"""The classifier by the number of rules, and the codecs of OpenFlow messages and flow texts."""

from __future__ import annotations

import random

import pytest

from bench.classifier import image, prefix
from bench.flow_mods import flow_mod_13, flow_mod_nxm
from ofproto.flow_table import FlowTables
from ofproto.flow_text import parse_flow
from ofproto.switch import SwitchHandle
from ofproto.testing import TestTable

KEYS = 1000
MESSAGES = 1000
TEXT = "priority=100,tcp,nw_dst=10.0.0.1,tp_dst=80,actions=mod_dl_dst:02:00:00:00:00:01,output:2"


@pytest.mark.parametrize("rules", [100, 10_000, 100_000])
def test_classifier_lookup(benchmark, rules):
    """A thousand look-ups of random addresses; nearly all search every mask."""
    rng, table = random.Random(1), TestTable()
    for i in range(rules):
        mask = image(prefix(32 - i % 4), prefix(32 - i // 4 % 4))
        table.insert(i, image(rng.getrandbits(32), rng.getrandbits(32)), mask, i % 1000, 1)
    keys = [image(rng.getrandbits(32), rng.getrandbits(32)) for _ in range(KEYS)]
    benchmark(table.lookup_many, keys, 1)


@pytest.mark.parametrize("message", [flow_mod_13, flow_mod_nxm], ids=["openflow13", "nxm"])
def test_flow_mods(benchmark, message):
    """Decode, check and insert a thousand messages; the same flows each time, which replaces them."""
    tables = FlowTables(SwitchHandle().add_bridge("br0", bytes(6)))
    messages = [message(i) for i in range(MESSAGES)]
    _, errors = benchmark(tables.apply_many, messages)
    assert not errors
    assert tables.n_flows == MESSAGES


def test_flow_text_to_message(benchmark):
    """Read a flow as ofctl takes it and encode it."""
    assert benchmark(lambda: parse_flow(TEXT).to_message())
