"""Malformed packets through the whole switch: each is sent, handed up or dropped with a reason (DP.01, DP.24).

The oracle has its own parser, so these tests also say that a damaged packet is read the same way twice, and that what
is sent is what was received with the same changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from datapath.drops import DROPS
from tests.oracle import switch_naive as naive
from tests.oracle.packet_shapes import damaged, frames, truncations
from tests.scenario.flows import Match, Mod
from tests.scenario.frames import without_cfi
from tests.scenario.world import Real, World, step_text

SHAPES = sorted(frames().items())
REASONS = {symbol for symbol, _ in DROPS}
IPV4, IPV6, ARP, MPLS = ({"eth_type": (kind, 0xFFFF)} for kind in (0x0800, 0x86DD, 0x0806, 0x8847))
FULL16, FULL32, FULL48, FULL128 = ((1 << n) - 1 for n in (16, 32, 48, 128))


def proto(kind: Match, number: int) -> Match:
    return {**kind, "nw_proto": (number, 0xFF)}


# Match and changes for every header that can be written: deeper headers before the ones that hold them.
WRITES: tuple[tuple[Match, tuple], ...] = (
    (proto(IPV4, 6), (("set_field", "tcp_dst", 77, FULL16), ("set_field", "ip_src", 0x01020304, FULL32))),
    (proto(IPV4, 17), (("set_field", "udp_src", 78, FULL16), ("set_field", "ip_dst", 0x01020304, FULL32))),
    (proto(IPV4, 132), (("set_field", "sctp_src", 79, FULL16),)),
    (proto(IPV4, 1), (("set_field", "icmp_code", 9, 0xFF), ("dec_ttl",))),
    (proto(IPV6, 6), (("set_field", "tcp_src", 80, FULL16), ("set_field", "ipv6_src", 99, FULL128))),
    (proto(IPV6, 17), (("set_field", "udp_dst", 81, FULL16), ("set_field", "ipv6_dst", 98, FULL128))),
    (proto(IPV6, 132), (("set_field", "sctp_dst", 82, FULL16),)),
    (
        {**proto(IPV6, 58), "tp_src": (135, FULL16), "tp_dst": (0, FULL16)},
        (("set_field", "nd_target", 97, FULL128), ("set_field", "nd_sll", 0x020000000099, FULL48)),
    ),
    (
        {**proto(IPV6, 58), "tp_src": (136, FULL16), "tp_dst": (0, FULL16)},
        (("set_field", "nd_tll", 0x020000000098, FULL48),),
    ),
    (IPV4, (("set_field", "ip_dscp", 9, 0x3F), ("set_nw_ttl", 33))),
    (IPV6, (("set_field", "ipv6_label", 0x77777, 0xFFFFF), ("dec_ttl",))),
    (ARP, (("set_field", "arp_tpa", 0x01010101, FULL32), ("set_field", "arp_sha", 0x020000000097, FULL48))),
    (MPLS, (("set_field", "mpls_label", 500, 0xFFFFF),)),
    ({"vlan_tci": (0x1000, 0x1000)}, (("strip_vlan",), ("push_vlan", 0x88A8))),
    ({}, (("set_field", "eth_src", 0x020000000096, FULL48),)),
)


def writing_flows(after: tuple) -> Iterator[Mod]:
    for i, (match, actions) in enumerate(WRITES):
        yield Mod("add", 0, 1000 - i, match, (*actions, *after), i + 1)


def bad_frames(name: str, frame: bytes) -> list[bytes]:
    return [without_cfi(bad) for bad in (*truncations(frame, 1), *damaged(frame, len(name), 30))]


@pytest.mark.parametrize(("n_forwarders", "inline"), [(1, True), (2, False)])
def test_damaged_and_truncated_packets_come_out_as_the_oracle_says(n_forwarders: int, inline: bool) -> None:
    world = World(n_forwarders, inline)
    try:
        for mod in writing_flows((("output", 2, 0), ("output", naive.CONTROLLER, 64))):
            world.step(("mod", "br0", mod))
        for name, frame in SHAPES:
            step = ("send", tuple(("br0", 1 + i % 2, bad) for i, bad in enumerate(bad_frames(name, frame))))
            try:
                world.step(step)
            except AssertionError as error:
                raise AssertionError(f"{name}: {error}\n{step_text(step)[:2000]}") from None
        world.finish()
    finally:
        world.close()


def accounted(real: Real, n_received: int) -> Counter[str]:
    """Where the packets went: everything that was received must be found."""
    stats = real.dp.stats()
    sent = sum(real.dp.port_stats(number)["tx_packets"] for number in real.numbers.values())
    received = sum(real.dp.port_stats(number)["rx_packets"] for number in real.numbers.values())
    found = Counter({"sent": sent, "handed up": len(real.punts()), **stats["drops"]})
    assert received == n_received
    assert set(stats["drops"]) <= REASONS
    assert found.total() == n_received, found
    return found


@pytest.mark.parametrize(("n_forwarders", "inline"), [(1, True), (2, False)])
def test_every_damaged_packet_is_sent_handed_up_or_dropped_with_a_reason(n_forwarders: int, inline: bool) -> None:
    real = Real(n_forwarders, inline)
    try:
        for i, mod in enumerate(writing_flows(())):
            end = (("output", 3, 0), ("output", naive.CONTROLLER, 0), ("output", 77, 0), ())[i % 4]
            actions = (*mod.actions, end) if end else mod.actions
            real.flow_mod("br0", Mod("add", 0, mod.priority, mod.match, actions, mod.cookie))
        n, handed_up = 0, 0
        for name, frame in SHAPES:
            bad = bad_frames(name, frame)
            real.send([(("br0", 1 + i % 2), one) for i, one in enumerate(bad)])
            n += len(bad)
        found = accounted(real, n)
        handed_up += found["handed up"]
        assert found["rx_too_short"] == sum(len(bad) < 14 for name, frame in SHAPES for bad in bad_frames(name, frame))
        assert min(found[way] for way in ("sent", "handed up", "no_output")) > 0, found
    finally:
        real.close()


def test_normal_learns_and_forwards_whatever_has_an_ethernet_header() -> None:
    real = Real()
    try:
        real.flow_mod("br1", Mod("add", 0, 1, {}, (("output", naive.NORMAL, 0),), 1))
        real.bridges["br1"].set_peer(8, None)
        n = 0
        for name, frame in SHAPES:
            bad = bad_frames(name, frame)
            real.send([(("br1", 1), one) for one in bad])
            n += len(bad)
        found = accounted(real, n)
        assert set(found) <= {"sent", "handed up", "rx_too_short", "reserved_multicast", "own_source"}
        assert {mac for _, _, mac, _ in real.bridges["br1"].fdb()} >= {bytes.fromhex("02000000000a")}
    finally:
        real.close()
