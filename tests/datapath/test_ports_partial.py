"""Unfinished checksums in frames without a virtio-net header: found, and nothing is spoilt (PT.05)."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Raw

from datapath.ports.partial import unfinished
from tests.datapath.frames import ones_sum, partial_tcp, tagged

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")  # else scapy asks the network for them
TAGS = (ETHER, ETHER / Dot1Q(vlan=5), ETHER / Dot1AD(vlan=6) / Dot1Q(vlan=7))
NETWORKS = (IP(src="10.0.0.1", dst="10.0.0.2"), IPv6(src="fd00::1", dst="fd00::2"))
OFFSETS = {TCP: 16, UDP: 6}
NUMBERS = {TCP: 6, UDP: 17}

frames = st.tuples(
    st.sampled_from(TAGS),
    st.sampled_from(NETWORKS),
    st.sampled_from((TCP(sport=1, dport=2), UDP(sport=3, dport=4))),
    st.binary(max_size=100),
    st.integers(0, 8),
)


def start_of(ether, network) -> int:
    return len(ether) + len(network.__class__())


def pseudo_sum(network, layer, n_bytes: int) -> int:
    raw = bytes(network)
    addresses = raw[12:20] if isinstance(network, IP) else raw[8:40]
    return ones_sum(addresses + struct.pack("!HH", NUMBERS[type(layer)], n_bytes))


@given(frames)
def test_a_sum_of_the_pseudo_header_is_found(parts):
    ether, network, layer, payload, padding = parts
    frame = bytearray(bytes(ether / network / layer / Raw(payload)))
    start, offset = start_of(ether, network), OFFSETS[type(layer)]
    sum_ = pseudo_sum(network, layer, len(frame) - start)
    frame[start + offset : start + offset + 2] = sum_.to_bytes(2, "big")
    assert unfinished(bytes(frame) + bytes(padding)) == (start, offset)


@given(frames)
def test_a_complete_sum_is_left_alone_or_completing_it_gives_the_same(parts):
    ether, network, layer, payload, padding = parts
    frame = bytes(ether / network / layer / Raw(payload))
    found = unfinished(frame + bytes(padding))
    if found is not None:
        start, offset = found
        stored = int.from_bytes(frame[start + offset : start + offset + 2], "big")
        assert 0xFFFF - ones_sum(frame[start:]) in (stored, 0 if stored == 0xFFFF else stored)


@given(st.integers(0, 0xFFFF))
def test_where_both_are_equal_completing_changes_nothing(number):
    """The one frame in 65536 that is complete and looks unfinished, made on purpose."""
    frame, _ = partial_tcp(struct.pack("!HH", number, 0))
    body = bytearray(frame)
    pseudo = int.from_bytes(body[50:52], "big")
    # Choose the last word so that the complete sum is the pseudo-header sum.
    missing = (2 * 0xFFFF - pseudo - ones_sum(bytes(body[34:56]))) % 0xFFFF
    body[56:58] = missing.to_bytes(2, "big")
    assert 0xFFFF - ones_sum(bytes(body[34:])) == pseudo
    assert unfinished(bytes(body)) == (34, 16)


@given(st.binary(min_size=14, max_size=120), st.sampled_from((b"", b"\x08\0", b"\x86\xdd", b"\x81\0\0\1\x08\0")))
def test_any_bytes_are_looked_at_without_leaving_the_frame(data, kind):
    frame = data[:12] + kind + data[12 + len(kind) :]
    found = unfinished(frame[: len(data)] if len(frame) > len(data) else frame)
    assert found is None or found[0] + found[1] + 2 <= len(frame)


@pytest.mark.parametrize("cut", range(14, 60))
def test_a_frame_that_is_cut_short_has_none(cut):
    frame, _ = partial_tcp(b"123456")
    assert unfinished(frame) == (34, 16)
    assert unfinished(frame[:cut]) is None


def test_fragments_other_protocols_and_what_is_too_deep_have_none():
    first = IP(src="10.0.0.1", dst="10.0.0.2", flags="MF") / UDP() / Raw(b"x" * 16)
    later = IP(src="10.0.0.1", dst="10.0.0.2", frag=2, proto=17) / Raw(b"x" * 16)
    behind = IPv6(src="fd00::1", dst="fd00::2") / IPv6ExtHdrDestOpt() / UDP() / Raw(b"x")
    for packet in (
        first,
        later,
        behind,
        IP(src="10.0.0.1", dst="10.0.0.2") / ICMP(),
        IP(src="10.0.0.1", dst="10.0.0.2", proto=17) / Raw(b"x" * 7),
        IP(src="10.0.0.1", dst="10.0.0.2") / UDP(chksum=0),
    ):
        assert unfinished(bytes(ETHER / packet)) is None
    frame, _ = partial_tcp(b"")
    assert unfinished(tagged(tagged(frame, 1), 2)) == (42, 16)
    assert unfinished(tagged(tagged(tagged(frame, 1), 2), 3)) is None


def test_sctp_leaves_zero():
    frame = bytearray(bytes(ETHER / IP(src="10.0.0.1", dst="10.0.0.2") / SCTP() / Raw(b"chunk")))
    assert unfinished(bytes(frame)) is None
    frame[42:46] = bytes(4)
    assert unfinished(bytes(frame)) == (34, 8)
