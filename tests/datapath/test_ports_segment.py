"""Software segmentation for outputs that cannot: as scapy would; frames that lie are dropped (PT.29, DP.32)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.packet import Raw

from datapath.ports.pcap import PcapPort, null_port
from datapath.ports.pcap_file import read
from datapath.ports.pipe import Offload, PipePort
from datapath.ports.rig import PortRig
from tests.datapath.frames import CSUM_PARTIAL, TSO4, TSO6, USO, partial_tcp
from tests.oracle.segment_naive import segments

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
TAGS = (ETHER, ETHER / Dot1Q(vlan=5, prio=3), ETHER / Dot1AD(vlan=6) / Dot1Q(vlan=7))
IPV4 = {"src": "10.0.0.1", "dst": "10.0.0.2"}
NETWORKS = (
    IP(**IPV4, id=0xFFFE, tos=3),
    IP(**IPV4, options=b"\x01" * 8, flags="DF"),
    IPv6(src="fd00::1", dst="fd00::2"),
)
OPTIONS = ([], [("Timestamp", (1, 2)), ("NOP", None), ("NOP", None)])


@st.composite
def gso_frames(draw):
    """A frame, its offload state and gso_size; the checksum is whatever was left there."""
    network, ether = draw(st.sampled_from(NETWORKS)), draw(st.sampled_from(TAGS))
    udp = draw(st.booleans())
    transport = UDP(sport=1, dport=2)
    if not udp:
        flags, seq = draw(st.integers(0, 255)), draw(st.sampled_from([0, 7, 2**32 - 100]))
        transport = TCP(sport=1, dport=2, seq=seq, flags=flags, options=draw(st.sampled_from(OPTIONS)))
    payload = draw(st.binary(min_size=1, max_size=64)) * draw(st.sampled_from([1, 3, 60, 900]))
    gso_size = draw(st.sampled_from([9, 100, 536, 1000, 1399]))
    frame = bytes(ether / network / transport / Raw(payload))
    start = len(frame) - len(payload) - (8 if udp else len(bytes(transport)))
    kind = USO if udp else (TSO4 if isinstance(network, IP) else TSO6)
    partial = draw(st.booleans())
    at = (start, 6 if udp else 16) if partial else (0, 0)
    return frame, Offload((CSUM_PARTIAL if partial else 0) | kind, gso_size, *at, draw(st.sampled_from([0, start])))


@settings(max_examples=120, deadline=None)
@given(gso_frames(), st.booleans())
def test_pieces_are_those_of_the_oracle(made, shared):
    frame, offload = made
    rig = PortRig()
    with PipePort("a", size=8192) as source, PipePort("b", size=8192) as target:
        source.inject(frame, offload)
        source.inject(b"\2" * 60)
        rig.forward(source, target)
        sent = target.take_meta()
        assert [piece for piece, _ in sent] == [*segments(frame, offload.gso_size), b"\2" * 60]
        assert not any(state.flags & ~2 or state.gso_size for _, state in sent)
        stats = target.stats()
        assert (stats["drops"], stats["tx_segmented"], stats["tx_packets"]) == ({}, 1, len(sent))
    assert rig.in_use == 0


def test_ipv6_extension_headers_are_kept():
    frame = bytes(ETHER / IPv6(src="fd00::1", dst="fd00::2") / IPv6ExtHdrDestOpt() / TCP() / Raw(b"x" * 300))
    rig = PortRig()
    with PipePort("b") as target:
        rig.send(target, [frame], Offload(CSUM_PARTIAL | TSO6, 100, 62, 16, 82))
        assert target.take() == segments(frame, 100)


def test_frames_keep_their_order_around_a_cut_one():
    rig, (frame, offload) = PortRig(), partial_tcp(b"x" * 3000, 1000)
    with PipePort("a") as source, PipePort("b") as target:
        for number in range(3):
            source.inject(bytes([2, number]) + bytes(58))
            source.inject(frame, offload)
        rig.forward(source, target)
        assert [len(piece) for piece in target.take()] == [60, 1054, 1054, 1054] * 3


def test_a_frame_of_64_kb_is_cut_into_as_many_pieces_as_it_takes():
    rig, (frame, offload) = PortRig(small=64), partial_tcp(b"0123456789" * 6500, 500)
    with PipePort("b") as target:
        rig.send(target, [frame], offload)
        assert target.take() == segments(frame, 500)


def damaged() -> dict[str, tuple[bytes, Offload]]:
    """Return frames whose GSO state cannot be true, by what is wrong; edits may make such."""
    tcp, state = partial_tcp(b"x" * 3000, 1000)
    udp, datagrams = partial_tcp(b"x" * 3000, 1000, proto=17)
    return {
        "another protocol": (udp, state._replace(csum_offset=6)),
        "another version of IP": (tcp, state._replace(flags=CSUM_PARTIAL | TSO6)),
        "datagrams of TCP": (tcp, datagrams),
        "no IP": (tcp[:12] + b"\x08\x06" + tcp[14:], state),
        "a fragment": (tcp[:20] + b"\x20\x00" + tcp[22:], state),
        "a short TCP header": (tcp[:46] + b"\x40" + tcp[47:], state),
        "a TCP header behind the end": (tcp[:50], state),
        "a short IP header": (tcp[:14] + b"\x44" + tcp[15:], state),
        "IP options over the end": (tcp[:14] + b"\x4f" + tcp[15:60], state),
        "segments of a byte": (partial_tcp(b"x" * 9000, 1)[0], state._replace(gso_size=1)),
        "nothing but tags": ((tcp[:12] + b"\x81\x00\0\1" * 20)[:92], state),
    }


@pytest.mark.parametrize("what", damaged())
def test_a_frame_that_is_not_what_its_state_says_is_dropped_by_name(what):
    rig = PortRig()
    with PipePort("b") as target:
        rig.send(target, [damaged()[what][0]], damaged()[what][1])
        assert target.take() == []
        assert target.stats()["drops"] == {"tx_no_gso": 1}
        assert target.stats()["tx_segmented"] == 0
    assert rig.in_use == 0


@settings(max_examples=150, deadline=None)
@given(
    data=st.binary(min_size=14, max_size=120),
    kind=st.sampled_from([b"", b"\x08\0\x45", b"\x08\0\x46", b"\x86\xdd\x60", b"\x81\0\0\1\x08\0\x45"]),
    flags=st.sampled_from([TSO4, TSO6, USO]),
    gso_size=st.integers(0, 0xFFFF),
)
def test_any_bytes_are_cut_or_dropped_without_harm(data, kind, flags, gso_size):
    frame = (data[:12] + kind + data[12 + len(kind) :])[: len(data)]
    rig = PortRig()
    with PipePort("b", mtu=65535) as target:
        rig.send(target, [frame], Offload(flags, gso_size))
        assert bool(target.take()) == (target.stats()["drops"] == {})
    assert rig.in_use == 0


def test_running_out_of_buffers_drops_the_rest_by_name():
    rig, (frame, offload) = PortRig(small=2), partial_tcp(b"x" * 3000, 1000)
    with PipePort("b") as target:
        rig.send(target, [frame], offload)
        assert len(target.take()) == 2
        assert target.stats()["drops"] == {"out_of_memory": 1}
    assert rig.in_use == 0


def test_a_capture_holds_the_pieces_and_null_takes_the_whole(tmp_path):
    rig, (frame, offload) = PortRig(), partial_tcp(b"x" * 3000, 1000)
    with PcapPort("p", tx=str(tmp_path / "out"), background=False) as capture, null_port("n") as null:
        rig.send(capture, [frame], offload)
        rig.send(null, [frame], offload)
        capture.flush()
        assert read(str(tmp_path / "out")) == segments(frame, 1000)
        assert (null.stats()["tx_packets"], null.stats()["tx_segmented"]) == (1, 0)
