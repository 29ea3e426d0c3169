"""Packet buffers, pools, virtio-net headers and checksum completion."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP, SCTPChunkInit
from scapy.packet import Raw

from datapath.csum import checksum_of, crc32c_of
from datapath.drops import number
from datapath.packet_shell import PacketShell, PoolShell, complete_checksum, make_partial
from tests.oracle.packet_shapes import ETH, V4, frames

FRAMES = frames()
BAD_VNET = number("rx_bad_vnet_header")
SMALL_MAX, LARGE_MAX, HEADROOM = 1920, 66560, 128
NEEDS_CSUM, DATA_VALID = 1, 2
TCPV4, TCPV6, UDP_L4, UFO, ECN = 1, 4, 5, 3, 0x80
PARTIAL, VALID, TSO4, TSO6, USO, OFFLOAD_ECN = 1, 2, 4, 8, 16, 32


def vnet(flags: int = 0, gso: int = 0, hdr: int = 0, size: int = 0, start: int = 0, offset: int = 0) -> bytes:
    return struct.pack("=BBHHHH", flags, gso, hdr, size, start, offset)


def packet(frame: bytes = FRAMES["tcp"], pool: PoolShell | None = None) -> PacketShell:
    made = (pool or PoolShell()).alloc(frame)
    assert made is not None
    return made


def test_pool_gives_buffers_up_to_its_limit_and_takes_them_back() -> None:
    pool = PoolShell(small_limit=3, large_limit=1)
    held = [pool.alloc(b"x" * 60) for _ in range(3)]
    assert pool.alloc(b"y") is None
    big = pool.alloc(bytes(SMALL_MAX + 1))
    assert pool.alloc(bytes(LARGE_MAX)) is None
    assert (pool.in_use, pool.made) == (4, (3, 1))
    del held, big
    assert (pool.in_use, pool.made) == (0, (3, 1))
    again = pool.alloc(bytes(LARGE_MAX))
    assert again is not None
    assert (pool.in_use, pool.made) == (1, (3, 1))


def test_frames_longer_than_any_buffer_get_none() -> None:
    assert PoolShell().alloc(bytes(LARGE_MAX + 1)) is None


@given(st.lists(st.integers(0, 5), max_size=40))
def test_buffers_are_never_lost_or_given_twice(steps: list[int]) -> None:
    pool = PoolShell(small_limit=4)
    held: list[PacketShell] = []
    model = 0
    for step in steps:
        if step < 3:
            made = pool.alloc(bytes([step]) * 60)
            assert (made is None) == (model == 4)
            if made is not None:
                assert not any(made.same_as(other) for other in held)
                held.append(made)
                model += 1
        elif held:
            held.pop(step % len(held)).release()
            model -= 1
        assert pool.in_use == model


def test_a_reused_buffer_remembers_nothing() -> None:
    pool = PoolShell(small_limit=1)
    first = packet(pool=pool)
    first.metadata = (1, 2, 3, 4, 5)
    first.layers = (14, 34, None)
    assert first.take_vnet(vnet(NEEDS_CSUM, TCPV4, 54, 1000, 34, 16)) == 0
    first.push(40)
    first.release()
    second = packet(b"z" * 60, pool)
    assert second.metadata == (0, 0, 0, 0, 0)
    assert second.layers == (None, None, None)
    assert (second.offload, second.gso, second.csum_at, second.refs, second.frame) == (0, (0, 0), (0, 0), 1, b"z" * 60)
    assert second.push(HEADROOM)


def test_clone_is_deep_and_whole() -> None:
    original = packet()
    original.metadata = (1, 2, 3, 4, 5)
    original.layers = (14, 34, None)
    original.take_vnet(vnet(NEEDS_CSUM, TCPV4 | ECN, 54, 1000, 34, 16))
    copy = original.clone()
    assert copy is not None
    for member in ("frame", "metadata", "layers", "offload", "gso", "csum_at"):
        assert getattr(copy, member) == getattr(original, member)
    assert copy.pull(2)
    assert original.frame == FRAMES["tcp"]


def test_writing_copies_only_a_shared_packet() -> None:
    pool = PoolShell(small_limit=2)
    one = packet(pool=pool)
    assert one.make_writable()
    assert pool.in_use == 1
    two = one.share()
    assert one.refs == 2
    assert two.make_writable()
    assert not two.same_as(one)
    assert (one.refs, two.refs, pool.in_use) == (1, 1, 2)


def test_writing_without_a_buffer_for_the_copy_changes_nothing() -> None:
    pool = PoolShell(small_limit=1)
    one = packet(pool=pool)
    two = one.share()
    assert not two.make_writable()
    assert two.same_as(one)
    assert one.refs == 2


def test_push_and_pull_move_layers_and_checksum_start() -> None:
    moved = packet()
    moved.layers = (14, 34, None)
    moved.take_vnet(vnet(NEEDS_CSUM, TCPV4, 54, 1000, 34, 16))
    assert moved.push(4)
    assert (moved.layers, moved.csum_at, moved.gso) == ((18, 38, None), (38, 16), (1000, 58))
    assert moved.pull(4)
    assert (moved.layers, moved.csum_at, moved.gso) == ((14, 34, None), (34, 16), (1000, 54))
    assert moved.frame == FRAMES["tcp"]


def test_push_stops_at_the_headroom_and_pull_at_the_end() -> None:
    tight = packet(b"a" * 20)
    assert tight.push(HEADROOM)
    assert not tight.push(1)
    assert not tight.pull(HEADROOM + 21)
    assert tight.pull(HEADROOM + 20)
    assert tight.frame == b""


def test_pulling_a_layer_away_forgets_it_and_its_offload() -> None:
    cut = packet()
    cut.layers = (14, 34, None)
    cut.take_vnet(vnet(NEEDS_CSUM, TCPV4, 54, 1000, 34, 16))
    assert cut.pull(20)
    assert (cut.layers, cut.csum_at) == ((None, 14, None), (14, 16))
    assert cut.pull(20)
    assert (cut.layers, cut.offload) == ((None, None, None), 0)


LENGTH = len(FRAMES["tcp"])


@pytest.mark.parametrize("header", [
    vnet(NEEDS_CSUM, start=34, offset=LENGTH - 35),         # stored half behind the end
    vnet(NEEDS_CSUM, start=0xFFFF, offset=0xFFFF),
    vnet(NEEDS_CSUM, start=13, offset=16),                  # inside the Ethernet header
    vnet(NEEDS_CSUM, start=LENGTH - 10, offset=8),          # an SCTP checksum is four bytes long
    vnet(NEEDS_CSUM, TCPV4, 54, 0, 34, 16),                 # segments without payload
    vnet(NEEDS_CSUM, UFO, 54, 1000, 34, 6),
    vnet(NEEDS_CSUM, 2, 54, 1000, 34, 16),
    vnet(NEEDS_CSUM, ECN, 54, 1000, 34, 16),                # a flag without a type
    vnet(0, 77, 54, 1000),
    vnet(NEEDS_CSUM, UDP_L4 | ECN, 42, 1000, 34, 6),        # datagrams have no CWR
    vnet(NEEDS_CSUM, TCPV4, 54, 1000, 34, 6),               # TCP keeps its checksum at 16
    vnet(NEEDS_CSUM, UDP_L4, 42, 1000, 34, 16),
    vnet(NEEDS_CSUM, TCPV4, 54, 1000, LENGTH - 19, 16),     # no room for a TCP header
    vnet(NEEDS_CSUM, TCPV4, LENGTH + 1, 1000, 34, 16),      # headers longer than the frame
    vnet(0, 0, 0xFFFF),
])  # fmt: skip
def test_a_lying_vnet_header_is_refused_and_leaves_no_offload(header: bytes) -> None:
    refused = packet()
    assert refused.take_vnet(header) == BAD_VNET
    assert refused.offload == 0


@pytest.mark.parametrize(("header", "offload"), [
    (vnet(), 0),
    (vnet(DATA_VALID), VALID),
    (vnet(NEEDS_CSUM, start=34, offset=16), PARTIAL),
    (vnet(NEEDS_CSUM, start=34, offset=LENGTH - 36), PARTIAL),
    (vnet(NEEDS_CSUM, TCPV4, 54, 1448, 34, 16), PARTIAL | TSO4),
    (vnet(NEEDS_CSUM, TCPV6, 54, 1428, 34, 16), PARTIAL | TSO6),
    (vnet(NEEDS_CSUM, UDP_L4, 42, 1472, 34, 6), PARTIAL | USO),
    (vnet(NEEDS_CSUM, TCPV4 | ECN, 54, 1448, 34, 16), PARTIAL | TSO4 | OFFLOAD_ECN),
])  # fmt: skip
def test_vnet_header_is_read_and_written_alike(header: bytes, offload: int) -> None:
    """The header that goes out says what the one that came in said."""
    through = packet()
    assert through.take_vnet(header) == 0
    assert through.offload == offload
    given_back = through.give_vnet()
    assert through.take_vnet(given_back) == 0
    assert through.offload == offload
    if through.gso[0]:
        assert given_back == header


@pytest.mark.parametrize("hint", [0, 1, 50])
def test_a_wrong_header_length_hint_is_accepted_and_replaced(hint: int) -> None:
    """Linux gives what happens to lie together; what goes out is possible."""
    hinted = packet()
    assert hinted.take_vnet(vnet(NEEDS_CSUM, TCPV4, hint, 1000, 34, 16)) == 0
    assert struct.unpack("=BBHHHH", hinted.give_vnet())[2] == 54


@given(st.binary(min_size=10, max_size=10), st.sampled_from(sorted(FRAMES)))
def test_any_vnet_header_is_judged_and_completed_without_harm(header: bytes, shape: str) -> None:
    any_packet = packet(FRAMES[shape])
    if any_packet.take_vnet(header) == 0:
        assert any_packet.complete_checksum() == 0
        assert len(any_packet.give_vnet()) == 10
    else:
        assert any_packet.frame == FRAMES[shape]


@pytest.mark.parametrize(("shape", "offset"), [
    ("tcp", 16), ("udp", 6), ("tcp6", 16), ("udp6", 6), ("vlan", 16), ("vlan_ipv6", 6), ("ip_options", 16),
])  # fmt: skip
def test_a_completed_checksum_is_the_one_scapy_computes(shape: str, offset: int) -> None:
    frame = FRAMES[shape]
    parsed = Ether(frame)
    l4 = len(frame) - len(parsed[TCP] if TCP in parsed else parsed[UDP])
    partial = make_partial(frame, l4, offset)
    assert partial != frame
    assert complete_checksum(partial, l4, offset) == frame


def test_a_completed_sctp_checksum_is_a_crc() -> None:
    frame = bytes(Ether(**ETH) / IP(**V4) / SCTP(sport=1, dport=2) / SCTPChunkInit(init_tag=9))
    assert complete_checksum(frame[:42] + bytes(4) + frame[46:], 34, 8) == frame


def test_a_udp_checksum_that_sums_to_zero_is_sent_as_all_ones() -> None:
    whole = Ether(bytes(Ether(**ETH) / IP(**V4) / UDP(sport=0, dport=9) / Raw(b"ab")))
    source = whole[UDP].chksum
    frame = bytes(Ether(**ETH) / IP(**V4) / UDP(sport=source, dport=9) / Raw(b"ab"))
    assert frame[40:42] == b"\xff\xff"
    assert complete_checksum(make_partial(frame, 34, 6), 34, 6) == frame


def test_completing_marks_the_checksum_as_good_once() -> None:
    done = packet()
    done.take_vnet(vnet(NEEDS_CSUM, start=34, offset=16))
    assert done.complete_checksum() == 0
    after = done.frame
    assert done.offload == VALID
    assert done.complete_checksum() == 0
    assert done.frame == after


def test_a_partial_checksum_whose_frame_was_cut_is_refused() -> None:
    cut = packet()
    cut.take_vnet(vnet(NEEDS_CSUM, start=34, offset=LENGTH - 36))
    assert cut.pull(LENGTH - 20)
    assert cut.offload == 0
    assert cut.complete_checksum() == 0


@given(st.binary(max_size=300))
def test_internet_checksum_is_the_sum_of_its_words(data: bytes) -> None:
    total = sum(int.from_bytes(data[i : i + 2].ljust(2, b"\0"), "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert checksum_of(data) == total ^ 0xFFFF


def test_checksums_of_published_examples() -> None:
    assert checksum_of(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF ^ 0xDDF2  # RFC 1071, section 3
    assert crc32c_of(b"123456789") == 0xE3069283
    assert crc32c_of(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    echo = Ether(bytes(Ether(**ETH) / IP(**V4) / ICMP() / Raw(b"odd")))
    assert checksum_of(bytes(echo[ICMP])) == 0
