"""Parse, cache hit, megaflow by number of masks, and actions, in the datapath alone."""

from __future__ import annotations

import pytest

from bench import masks
from bench.classifier import IP_DST, IP_SRC
from bench.inmemory import KEY_BYTES, frame, op_output
from datapath.datapath import Datapath
from datapath.parse import parse_frame
from datapath.ports.pipe import PipePort
from datapath.testing import Rule, TableHook
from datapath.testing_caches import Caches
from ofproto.flow_table import FlowTables
from ofproto.flow_text import parse_flow
from ofproto.switch import SwitchHandle

ROUNDS = 200  # batches of a call
KEYS = 1000
UDP = frame(7, 60)
TAGGED = UDP[:12] + b"\x81\0\0\x05" + UDP[12:]
ARP = UDP[:12] + b"\x08\x06" + b"\0\x01\x08\0\x06\x04\0\x01".ljust(46, b"\0")
ACTIONS = {
    "output": "output:2",
    "set_addresses": "mod_dl_src:02:00:00:00:01:01,mod_dl_dst:02:00:00:00:01:02,output:2",
    "set_ip": "mod_nw_src:192.0.2.1,mod_nw_dst:192.0.2.2,output:2",
    "dec_ttl": "dec_ttl,output:2",
    "push_vlan": "push_vlan:0x8100,output:2",
    "drop": "drop",
}


@pytest.mark.parametrize("shape", [UDP, TAGGED, ARP], ids=["udp", "vlan", "arp"])
def test_parse(benchmark, shape):
    """Includes the copy of the key into a Python object."""
    assert benchmark(parse_frame, shape, 1)[0] == 0


def looped(frames: list[bytes], rules: list[str], ports: tuple[str, ...] = ("source", "sink")) -> tuple:
    """Return a datapath behind the real tables that plays frames into a null port, its caches filled."""
    switch, dp = SwitchHandle(), Datapath(1, inline=True)
    dp.set_miss_hook(switch.miss_hook)
    bridge = switch.add_bridge("br0", bytes(6))
    made = [PipePort(name, null=name == "sink") for name in ports]
    for number, port in enumerate(made, 1):
        bridge.add_port(number, dp.add_port(port), port.name)
    tables = FlowTables(bridge)
    for text in rules:
        tables.flow_mod(parse_flow(text).to_message())
    made[0].loop(frames)
    dp.step(max_rounds=2 * ROUNDS + len(frames) // 16)
    return dp, made[0], tables, switch


def bench_looped(benchmark, frames: list[bytes], rules: list[str]) -> None:
    dp, source, _tables, _switch = looped(frames, rules)
    before = dp.stats()
    benchmark(dp.step, max_rounds=ROUNDS)
    after = dp.stats()
    benchmark.extra_info["packets"] = after["packets"] - before["packets"]
    source.loop([])
    dp.stop()
    assert after["packets"] > before["packets"]
    assert after["misses"] == before["misses"]


@pytest.mark.parametrize("flows", [1, 32, 1000, 10_000])
def test_cache_hit(benchmark, flows):
    """A call is some hundred batches, source and sink included."""
    dp, hook = Datapath(1, inline=True), TableHook()
    dp.set_miss_hook(hook)
    source, sink = PipePort("source"), PipePort("sink", null=True)
    in_port, out_port = dp.add_port(source), dp.add_port(sink)
    hook.set_bank(in_port, [Rule(bytes(KEY_BYTES), bytes(KEY_BYTES), [op_output(out_port)])])
    source.loop([frame(i, 60) for i in range(flows)])
    dp.step(max_rounds=2 * ROUNDS)
    benchmark(dp.step, max_rounds=ROUNDS)
    source.loop([])
    dp.stop()


@pytest.mark.parametrize("n_masks", [1, 4, 16, 64])
def test_packets_by_masks(benchmark, n_masks):
    """The whole path: caches in front of the megaflows, as traffic meets them."""
    frames = [masks.packet(i, n_masks) for i in range(20_000)]
    bench_looped(benchmark, frames, [masks.rule(i) for i in range(n_masks)])


@pytest.mark.parametrize("n_masks", [1, 4, 16, 64])
def test_megaflow_by_masks(benchmark, n_masks):
    """A thousand look-ups in the megaflow classifier alone."""
    caches, n_bytes = Caches(), len(parse_frame(UDP)[1])
    keys = []
    for i in range(KEYS):
        which = i % n_masks
        value, mask = bytearray(n_bytes), bytearray(n_bytes)
        bits = prefix(25 + which % 8) + prefix(25 + which // 8)
        pair = (which + 1 << 8).to_bytes(4, "big") + (i << 8).to_bytes(4, "big")
        mask[IP_SRC : IP_DST + 4] = bits
        value[IP_SRC : IP_DST + 4] = bytes(a & b for a, b in zip(pair, bits, strict=True))
        caches.insert(bytes(value), bytes(mask), i)
        keys.append(bytes(value))
    assert caches.n_masks == n_masks
    look = caches.lookup

    def all_keys() -> None:
        for key in keys:
            look(key)

    benchmark(all_keys)
    assert look(keys[0]) is not None


def prefix(n_bits: int) -> bytes:
    """Return the mask of an IPv4 prefix."""
    return (0xFFFFFFFF << (32 - n_bits) & 0xFFFFFFFF).to_bytes(4, "big")


@pytest.mark.parametrize("actions", ACTIONS.values(), ids=ACTIONS)
def test_actions(benchmark, actions):
    """A thousand flows that all do the same."""
    bench_looped(benchmark, [frame(i, 60) for i in range(KEYS)], [f"ip,actions={actions}"])
