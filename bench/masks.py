"""Cost of a packet by the number of masks in the megaflow cache, in memory: ns with 64 masks for each ns with one.

usage: python -m bench.masks [--flows N] [--table] [--masks N] [--cached]
Rules are pairs of IPv4 prefix lengths; 100,000 flows are spread over them. Their packets carry an IPv4 option, so that
the frame cache does not know them, and are more than the flow cache holds: most are looked up mask by mask.
--cached leaves the option out, so that the frame cache answers; --masks prints ns per packet for one number of masks,
--table those of 1, 2, 4, ..., 64.
"""

from __future__ import annotations

import argparse
import sys

from bench.inmemory import frame
from datapath.datapath import Datapath
from datapath.ports.pipe import PipePort
from ofproto.flow_table import FlowTables
from ofproto.flow_text import parse_flow
from ofproto.switch import SwitchHandle
from vslib.clock import CLOCK

MOST = 64
ROUNDS = 1000
FLOWS = 100_000
LEAST_SHARE = 0.7  # of packets that are looked up by mask
IP_AT = 14  # behind Ethernet
IP_ADDRESSES_AT = IP_AT + 12
NO_OPERATION = b"\x01\x01\x01\x01"
TABLE = tuple(1 << i for i in range(7))


def prefixes(number: int) -> tuple[int, int]:
    """Return the source's and destination's prefix lengths of mask `number`."""
    return 17 + number % 8, 17 + number // 8


def addresses(number: int) -> tuple[bytes, bytes]:
    """Return the source and destination that the rule of mask `number` matches."""
    return bytes([10 + number % 8, 0, 0, 0]), bytes([30 + number // 8, 0, 0, 0])


def rule(number: int) -> str:
    """Return the flow of mask `number` as text."""
    (src, dst), (src_bits, dst_bits) = addresses(number), prefixes(number)
    pair = f"nw_src={'.'.join(map(str, src))}/{src_bits},nw_dst={'.'.join(map(str, dst))}/{dst_bits}"
    return f"ip,{pair},actions=output:2"


def packet(flow: int, n_masks: int) -> bytes:
    """Return the frame of a flow."""
    made = frame(flow, 60)
    return made[:IP_ADDRESSES_AT] + b"".join(addresses(flow % n_masks)) + made[IP_ADDRESSES_AT + 8 :]


def with_option(made: bytes) -> bytes:
    """Return a frame with an IPv4 option that says nothing; its header's checksum is wrong as before."""
    header = b"\x46" + made[IP_AT + 1 : IP_ADDRESSES_AT + 8]
    return made[:IP_AT] + header + NO_OPERATION + made[IP_ADDRESSES_AT + 8 :]


def cost_ns(n_masks: int, flows: int, cached: bool = False, seconds: float = 0.4) -> float:
    """Return nanoseconds per packet with `n_masks` in the cache; cached: of packets that the frame cache knows."""
    switch, dp = SwitchHandle(), Datapath(1, inline=True)
    dp.set_miss_hook(switch.miss_hook)
    bridge = switch.add_bridge("br0", bytes(6))
    source, sink = PipePort("source"), PipePort("sink", null=True)
    for number, port in enumerate((source, sink), 1):
        bridge.add_port(number, dp.add_port(port), port.name)
    tables = FlowTables(bridge)
    for number in range(n_masks):
        tables.flow_mod(parse_flow(rule(number)).to_message())
    frames = [packet(i, n_masks) for i in range(flows)]
    source.loop(frames if cached else [with_option(one) for one in frames])
    dp.step(max_rounds=2 * flows // 64)
    start_ns, before = CLOCK.now_ns(), dp.stats()
    while CLOCK.now_ns() - start_ns < seconds * 1e9:
        dp.step(max_rounds=ROUNDS)
    elapsed_ns, after = CLOCK.now_ns() - start_ns, dp.stats()
    source.loop([])
    dp.stop()
    assert after["misses"] == before["misses"] and after["drops"] == {}
    by_mask = (after["masked_hits"] - before["masked_hits"]) / (after["packets"] - before["packets"])
    assert cached or flows < FLOWS or by_mask > LEAST_SHARE, by_mask
    return float(elapsed_ns / (after["packets"] - before["packets"]))


def main() -> int:
    """Print the ratio, the table, or one figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--flows", type=int, default=FLOWS)
    parser.add_argument("--cached", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--masks", type=int, choices=range(1, MOST + 1), metavar="N")
    chosen = parser.parse_args()
    if chosen.masks:
        print(f"{cost_ns(chosen.masks, chosen.flows, chosen.cached):.1f}")
        return 0
    costs = {n: cost_ns(n, chosen.flows, chosen.cached) for n in (TABLE if chosen.table else (1, MOST))}
    if chosen.table:
        for n, each in costs.items():
            print(f"{n:3} masks {each:7.1f} ns a packet")
    print(f"{costs[MOST] / costs[1]:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
