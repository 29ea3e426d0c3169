"""The frame cache never answers with a megaflow that a frame does not belong to, however masks change (DP.02)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datapath import frame_vector
from datapath.parse import parse_frame
from datapath.testing_caches import Caches
from tests.datapath.forwarding import frame, match
from tests.oracle.packet_shapes import damaged, frames
from tests.scenario.frames import frame as random_frame
from vslib.errors import ConfigError

SECOND_NS = 1_000_000_000
ALL = sorted(frames().items())
# one slot or part of a slot that a megaflow may read, at a time
READS = [
    {"eth_dst": b"\xff" * 6}, {"eth_src": b"\x01\0\0\0\0\x0f"}, {"eth_type": b"\xff\xff"}, {"vlan_tci": b"\x1f\xff"},
    {"vlan_tci": b"\xff\xff", "vlan2_tci": b"\x0f\xff"}, {"vlan_tpid": b"\xff\xff"}, {"vlan2_tpid": b"\xff\xff"},
    {"ip_src": b"\xff\xff\xff\0"},
    {"ip_dst": b"\0\0\0\xff"}, {"ipv6_dst": b"\0" * 12 + b"\xff" * 4}, {"ipv6_src": b"\xff" * 16},
    {"ipv6_label": b"\0\x0f\xff\xff"}, {"nw_tos": b"\xfc"}, {"nw_tos": b"\x03"}, {"nw_ttl": b"\xff"},
    {"nw_proto": b"\xff"}, {"nw_frag": b"\x03"}, {"tp_src": b"\xff\xff"}, {"tp_dst": b"\0\x0f"},
    {"tcp_flags": b"\x0f\xff"}, {"arp_sha": b"\xff" * 6}, {"arp_tha": b"\0\0\0\0\0\xff"}, {"nd_target": b"\xff" * 16},
    {"mpls_lse0": b"\xff" * 4}, {"igmp_group": b"\xff" * 4}, {},
]  # fmt: skip


@pytest.fixture(params=frame_vector.available(), autouse=True, scope="module")
def variant(request):
    """Every test runs in all variants that this processor has."""
    frame_vector.use(request.param)
    yield request.param
    frame_vector.use(frame_vector.available()[0])


IP_DST = {"ip_dst": b"\xff" * 4}
PORTS = {"tp_src": b"\xff\xff", "tp_dst": b"\xff\xff"}


def mask_of(*reads):
    """A megaflow's mask that reads what is given, as in READS, and the port."""
    mask = bytearray(match(in_port=b"\xff\xff\xff\xff")[1])
    for slots in reads:
        for at, byte in enumerate(match(**slots)[1]):
            mask[at] |= byte
    return bytes(mask)


def key_of(data, in_port):
    return parse_frame(data, in_port)[1]


def belongs(data, in_port, flow):
    here, key, mask = (int.from_bytes(part, "big") for part in (key_of(data, in_port), *flow))
    return (here ^ key) & mask == 0


def some_frames(rng, n):
    """Frames that have much in common, whole ones and damaged ones."""
    found = [random_frame(rng)[0] for _ in range(n)]
    found += [rng.choice(ALL)[1] for _ in range(n)]
    for data in found[:n]:
        at = rng.randrange(min(len(data), 80))
        found.append(data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :])
        if len(data) > 14:
            found += damaged(data, rng.randrange(1 << 30), 1)
    return [data for data in found if len(data) >= 14]


def neighbours(data):
    """The frame with each bit of its headers changed, and with other kinds of VLAN tags."""
    for bit in range(8 * min(len(data), 96)):
        yield data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]
    for at in (12, 16):
        yield data[:at] + (b"\x81\x00" if data[at] == 0x88 else b"\x88\xa8") + data[at + 2 :]


@given(st.integers(0, 1 << 32))
@settings(max_examples=70, deadline=None)
def test_what_the_cache_says_of_a_frame_is_true_of_its_key(seed):
    rng = random.Random(seed)
    caches, live, now = Caches(), {}, 0
    material = some_frames(rng, 12)
    for number in range(120):
        action, data, port = rng.random(), rng.choice(material), rng.choice((1, 2))
        if action < 0.12:
            flow = key_of(data, port), mask_of(*rng.sample(READS, rng.choice((1, 1, 2, 3))))
            caches.insert(flow[0], flow[1], number)
            live = {n: (k, m) for n, (k, m) in live.items() if m != flow[1] or not belongs(data, port, (k, m))}
            live[number] = flow
        elif action < 0.18 and live:
            gone = rng.choice(sorted(live))
            del live[gone]
            caches.remove(gone)
            caches.reap()
        elif action < 0.22:
            now += SECOND_NS
            caches.tend_frames(now)
        elif action < 0.6:
            caches.remember_frame(data, port)
        said = caches.recall_frame(data, port)
        assert said is None or belongs(data, port, live[said])


@pytest.mark.parametrize("name", [name for name, data in ALL if Caches().frame_mask(data) is not None])
def test_every_bit_that_is_read_tells_frames_apart(name):
    data = dict(ALL)[name]
    for read in READS:
        caches, flow = Caches(), (key_of(data, 1), mask_of(read))
        caches.insert(*flow, 7)
        assert caches.remember_frame(data, 1) == caches.recall_frame(data, 1) == 7
        for other in neighbours(data):
            said = caches.recall_frame(other, 1)
            assert said is None or belongs(other, 1, flow), (read, other.hex())


def test_a_variant_that_is_unknown_or_cannot_run_is_refused(monkeypatch, variant):
    with pytest.raises(ConfigError, match="CYVSWITCH_VECTOR: sse9 is not one of avx512, avx2, portable"):
        frame_vector.use("sse9")
    monkeypatch.setenv("CYVSWITCH_VECTOR", variant)
    assert frame_vector.choose() == variant
    monkeypatch.delenv("CYVSWITCH_VECTOR")
    assert frame_vector.choose() == frame_vector.available()[0]
    frame_vector.use(variant)


def test_usual_frames_have_a_shape():
    shaped = {name for name, data in ALL if Caches().frame_mask(data) is not None}
    tagged, six = {"vlan", "qinq", "vlan_ipv6"}, {"tcp6", "udp6", "echo6"}
    assert shaped >= {"tcp", "udp", "icmp", "padded", "arp_request"} | tagged | six
    assert not shaped & {"igmp", "ip_options", "first_fragment", "later_fragment", "three_tags", "rarp", "sctp"}


def test_frames_that_differ_in_what_nobody_reads_share_an_entry():
    caches = Caches()
    caches.insert(key_of(frame(), 1), mask_of(IP_DST), 5)
    assert caches.remember_frame(frame(), 1) == 5
    assert caches.recall_frame(frame(sport=9), 1) == 5
    assert caches.recall_frame(frame(), 2) is None


def test_masks_grow_with_megaflows_and_shrink_within_a_second():
    caches = Caches()
    caches.insert(key_of(frame(), 1), mask_of(IP_DST), 1)
    narrow = caches.frame_mask(frame())
    caches.insert(key_of(frame(sport=9), 1), mask_of(IP_DST, PORTS), 2)
    wide = caches.frame_mask(frame())
    assert (narrow[34:36], wide[34:36]) == (b"\0\0", b"\xff\xff")
    caches.remove(2)
    caches.reap()
    caches.tend_frames(0)
    caches.tend_frames(SECOND_NS)
    assert caches.frame_mask(frame()) == narrow


def test_a_crowded_table_grows_and_lets_its_megaflows_go():
    caches = Caches()
    caches.insert(key_of(frame(), 1), mask_of(PORTS), 1)
    first = caches.tend_frames(0)
    for n in range(4 * first):
        data = frame(sport=n, dport=n >> 16)
        caches.insert(key_of(data, 1), mask_of(PORTS), n)
        caches.remember_frame(data, 1)
        last = caches.tend_frames(n)
    assert last > first
    known = [caches.remember_frame(frame(sport=n), 1) == caches.recall_frame(frame(sport=n), 1) for n in range(2000)]
    assert sum(known) > 1500  # full sets keep what they have most times


def test_changes_of_masks_and_a_trickle_of_new_flows_ask_for_no_more_room():
    """Otherwise a daemon whose flows are edited takes the largest table within minutes, whatever its traffic."""
    caches = Caches()
    caches.insert(key_of(frame(), 1), mask_of(), 1)
    caches.insert(key_of(frame(), 2), mask_of(PORTS), 2)
    first = caches.tend_frames(0)
    for n in range(24):  # the frames have another id each time
        caches.insert(key_of(frame(), 2), mask_of(PORTS, {"ip_src": (1 << n).to_bytes(4, "big")}), 3 + n)
        for sport in range(first // 2):
            caches.remember_frame(frame(sport=sport), 1)
            assert caches.tend_frames(0) == first
    for n in range(20_000):
        caches.remember_frame(frame(sport=n, dport=9), 1)
        assert caches.tend_frames(n * SECOND_NS // 200) == first
