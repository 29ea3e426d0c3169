"""The parser against scapy on well-formed frames, and on its own where scapy has no opinion (AC.23)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Packet, Raw

from datapath.drops import number
from datapath.parse import parse_frame
from datapath.slots import places
from tests.oracle import parse_scapy
from tests.oracle.packet_shapes import ETH, V4, V6, damaged, frames, truncations

PLACES = places()
FRAMES = frames()

u8, u16, u32 = st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
mac = st.binary(min_size=6, max_size=6).map(lambda octets: octets.hex(":"))
ip4 = st.ip_addresses(v=4).map(str)
ip6 = st.ip_addresses(v=6).map(str)


def slots_of(key: bytes) -> dict[str, int]:
    """Return the slots of a key that are not zero, as numbers."""
    values = {
        name: int.from_bytes(key[place.offset : place.offset + place.slot.n_bytes], "big")
        for name, place in PLACES.items()
        if place.slot.scope != "pipeline"
    }
    return {name: value for name, value in values.items() if value}


def tcp() -> st.SearchStrategy[Packet]:
    return st.builds(lambda s, d, f: TCP(sport=s, dport=d, flags=f), u16, u16, st.integers(0, 0x1FF))


def ports(kind: type[Packet]) -> st.SearchStrategy[Packet]:
    return st.builds(lambda s, d: kind(sport=s, dport=d), u16, u16)


def nd(kind: type[Packet]) -> st.SearchStrategy[Packet]:
    options = st.lists(st.sampled_from((ICMPv6NDOptSrcLLAddr, ICMPv6NDOptDstLLAddr)), unique=True, max_size=2)

    def build(target: str, order: list[type[Packet]], address: str) -> Packet:
        packet = kind(tgt=target)
        for option in order:
            packet = packet / option(lladdr=address)
        return packet

    return st.builds(build, ip6, options, mac.filter(lambda text: text != "00:00:00:00:00:00"))


def ipv4() -> st.SearchStrategy[Packet]:
    inside = st.one_of(tcp(), ports(UDP), ports(SCTP), st.builds(lambda c: ICMP(type=8, code=c), u8),
                       st.binary(min_size=4, max_size=4).map(lambda g: Raw(b"\x16\x07\0\0" + g)))  # fmt: skip

    def build(src: str, dst: str, tos: int, ttl: int, payload: Packet, n_options: int, flags: str) -> Packet:
        proto = {"proto": 2} if isinstance(payload, Raw) else {}
        return IP(src=src, dst=dst, tos=tos, ttl=ttl, options=b"\1" * 4 * n_options, flags=flags, **proto) / payload

    return st.builds(build, ip4, ip4, u8, u8, inside, st.integers(0, 10), st.sampled_from(("", "DF", "MF")))


EXTENSIONS = (
    IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt(), IPv6ExtHdrRouting(addresses=["::1"]), IPv6ExtHdrFragment(m=1, id=7),
    IPv6ExtHdrFragment(id=7), IPv6ExtHdrFragment(id=7, offset=9),
)  # fmt: skip


def ipv6() -> st.SearchStrategy[Packet]:
    inside = st.one_of(tcp(), ports(UDP), ports(SCTP), nd(ICMPv6ND_NS), nd(ICMPv6ND_NA), st.just(ICMPv6EchoRequest()))
    # In the order that RFC 8200 recommends, so that the out-of-order flags stay clear.
    chain = st.lists(st.integers(0, 3), unique=True).map(sorted)

    def build(src: str, dst: str, tc: int, hlim: int, label: int, order: list[int], payload: Packet) -> Packet:
        packet = IPv6(src=src, dst=dst, tc=tc, hlim=hlim, fl=label)
        for index in order:
            packet = packet / EXTENSIONS[index].copy()
        return packet / payload

    return st.builds(build, ip6, ip6, u8, u8, st.integers(0, 0xFFFFF), chain, inside)


def arp() -> st.SearchStrategy[Packet]:
    return st.builds(lambda o, s, d, a, b: ARP(op=o, hwsrc=a, hwdst=b, psrc=s, pdst=d), u16, ip4, ip4, mac, mac)


tags = st.lists(
    st.builds(lambda kind, vid, prio: kind(vlan=vid, prio=prio), st.sampled_from((Dot1Q, Dot1AD)), st.integers(0, 4095),
              st.integers(0, 7)),
    max_size=2,
)  # fmt: skip


@st.composite
def well_formed(draw: st.DrawFn) -> bytes:
    packet: Packet = Ether(src=draw(mac), dst=draw(mac))
    for tag in draw(tags):
        packet = packet / tag
    packet = packet / draw(st.one_of(ipv4(), ipv6(), arp()))
    return bytes(packet) + draw(st.sampled_from((b"", bytes(7))))


@settings(max_examples=150, deadline=None)
@given(well_formed(), st.integers(0, 65535))
def test_parse_reads_what_scapy_reads(frame: bytes, in_port: int) -> None:
    reason, key, l3_ofs, l4_ofs, l25_ofs, _ = parse_frame(frame, in_port)
    assert (reason, l25_ofs) == (0, None)
    assert slots_of(key) == parse_scapy.read(frame, in_port)


@pytest.mark.parametrize("shape", [
    "tcp", "udp", "sctp", "icmp", "vlan", "qinq", "arp_reply", "tcp6", "echo6", "solicit", "ipv6_chain",
    "later_fragment", "ipv6_later_fragment", "ip_options",
])  # fmt: skip
def test_layer_offsets_point_at_the_headers(shape: str) -> None:
    _, _, l3_ofs, l4_ofs, *_ = parse_frame(FRAMES[shape])
    assert (l3_ofs, l4_ofs) == parse_scapy.offsets(FRAMES[shape])


@given(st.integers(0, 0xFFF), st.integers(5, 15))
def test_all_twelve_tcp_flags_reach_the_key_and_the_packet(flags: int, words: int) -> None:
    segment = bytes(12) + (words << 12 | flags).to_bytes(2, "big") + bytes(words * 4 - 14)
    frame = bytes(Ether(**ETH) / IP(**V4, proto=6) / Raw(segment))
    _, key, _, l4_ofs, _, seen = parse_frame(frame)
    assert (slots_of(key).get("tcp_flags", 0), seen, l4_ofs) == (flags, flags, 34)


@pytest.mark.parametrize("n_bytes", range(14))
def test_a_frame_without_a_whole_ethernet_header_is_refused(n_bytes: int) -> None:
    assert parse_frame(bytes(n_bytes))[0] == number("rx_too_short")


def test_every_truncation_of_every_header_is_parsed_without_reading_on() -> None:
    """Fields of a header that is cut off are zero, so what a cut frame shows is part of what the whole one shows."""
    for name, frame in FRAMES.items():
        whole = slots_of(parse_frame(frame)[1])
        for cut in truncations(frame, at_least=14):
            reason, key, l3_ofs, l4_ofs, *_ = parse_frame(cut)
            assert reason == 0
            assert all(offset is None or offset <= len(cut) for offset in (l3_ofs, l4_ofs)), name
            shown = slots_of(key)
            assert set(shown) <= set(whole) | {"eth_type"}, name


@settings(max_examples=300)
@given(st.binary(min_size=14, max_size=200))
def test_any_bytes_are_parsed(frame: bytes) -> None:
    reason, key, l3_ofs, l4_ofs, l25_ofs, _ = parse_frame(frame)
    assert reason == 0
    assert not any(key[256:])
    assert all(offset is None or 14 <= offset <= len(frame) for offset in (l3_ofs, l4_ofs, l25_ofs))


def test_damaged_frames_keep_layer_2_and_pads_zero() -> None:
    pads = set(range(256)) - {
        place.offset + i for place in PLACES.values() for i in range(place.slot.n_bytes) if place.slot.scope == "packet"
    }
    for seed, frame in enumerate(FRAMES.values()):
        for bad in damaged(frame, seed, 60):
            key = parse_frame(bad)[1]
            assert key[PLACES["eth_dst"].offset :][:12] == bad[:12]
            assert not any(key[i] for i in pads)


def test_bytes_behind_the_frame_are_not_read() -> None:
    """Buffers are reused: what an earlier, longer frame left behind this one must not reach the key."""
    for seed, frame in enumerate(FRAMES.values()):
        for cut in truncations(frame, at_least=14) + damaged(frame, seed, 30):
            alone = parse_frame(cut, 0, bytes(64))
            assert alone == parse_frame(cut, 0, b"\xff" * 64) == parse_frame(cut, 0, frame[-64:])


def test_igmp_group_and_nd_fields_are_read() -> None:
    assert slots_of(parse_frame(FRAMES["igmp"])[1])["igmp_group"] == 0xE1020304
    both = slots_of(parse_frame(FRAMES["solicit_both"])[1])
    assert (both["nd_reserved"], both["nd_options_type"]) == (0x12345, 2)
    assert (both["arp_sha"], both["arp_tha"]) == (0x021122334455, 0x02667788_99AA)


HOP, ROUTER, DEST, FRAG = IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment


@pytest.mark.parametrize(("chain", "flags"), [
    ((HOP,), 64), ((DEST,), 8), ((HOP, DEST, ROUTER, DEST), 64 | 8 | 32), ((ROUTER, FRAG, DEST), 32 | 16 | 8),
    ((ROUTER, HOP), 32 | 64 | 256), ((FRAG, ROUTER), 16 | 32 | 256), ((HOP, HOP), 64 | 128),
    ((DEST, DEST, DEST), 8 | 128), ((FRAG, DEST, ROUTER), 16 | 8 | 32 | 256), ((ROUTER, ROUTER), 32 | 128),
])  # fmt: skip
def test_extension_headers_set_their_openflow_flags(chain: tuple[type[Packet], ...], flags: int) -> None:
    """OpenFlow 1.3, 7.2.3.8: 128 = a header came twice, 256 = not in the recommended order."""
    packet = Ether(**ETH) / IPv6(**V6)
    for kind in chain:
        packet = packet / kind()
    slots = slots_of(parse_frame(bytes(packet / UDP(sport=1, dport=2)))[1])
    assert (slots["ipv6_exthdr"], slots["nw_proto"], slots["tp_dst"]) == (flags, 17, 2)


def test_esp_and_no_next_header_are_flagged() -> None:
    assert slots_of(parse_frame(FRAMES["ipv6_esp"])[1])["ipv6_exthdr"] == 2
    assert slots_of(parse_frame(FRAMES["ipv6_no_next"])[1])["ipv6_exthdr"] == 1


def test_mpls_offsets_are_the_first_label_and_the_end_of_the_stack() -> None:
    assert parse_frame(FRAMES["mpls"])[2:5] == (18, None, 14)
    assert parse_frame(FRAMES["mpls_deep"])[2:5] == (30, None, 14)
    assert parse_frame(FRAMES["mpls_deep"][:20])[2:5] == (None, None, 14)


def test_padding_behind_the_datagram_is_not_a_header() -> None:
    frame = bytes(Ether(**ETH) / IP(**V4, proto=17, len=24)) + b"\0\1\0\2" + bytes(20)
    _, key, l3_ofs, l4_ofs, *_ = parse_frame(frame)
    assert (l3_ofs, l4_ofs) == (14, None)
    assert "tp_dst" not in slots_of(key)
