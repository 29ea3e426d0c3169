"""OXM, NXM and OpenFlow 1.0 matches (OF.02, MS.25 to MS.27): round trips, strict checks, hostile bytes."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ofproto import field as field_access
from ofproto.errors import OpenFlowError
from ofproto.fields import EXPERIMENTER, FIELDS, by_name
from ofproto.flow_mod import (
    decode_match,
    decode_match10,
    encode_match,
    encode_match10,
    encode_packet_in_match,
    match_prereqs,
)
from ofproto.flow_text import format_match, parse_match
from tests.ofproto.codec_tools import EMPTY, MATCHABLE, MATCHABLE_NXM, matches


def h(text):
    return bytes.fromhex(text.replace(" ", ""))


def normal(keys):
    """What the wire can say: conntrack fields and shared slots only where their prerequisites hold."""
    return decode_match(encode_match(*keys, 4))


@given(matches(rows=tuple(MATCHABLE_NXM)))
def test_nxm_match_decodes_to_itself(keys):
    assert decode_match(encode_match(*keys, 1)) == keys


@given(matches(), st.sampled_from([3, 4, 5, 6]))
def test_oxm_match_decodes_to_itself(keys, version):
    assert decode_match(encode_match(*keys, version)) == keys


@given(matches())
def test_match_keeps_values_inside_masks(keys):
    value, mask = normal(keys)
    assert all(v & ~m == 0 for v, m in zip(value, mask, strict=True))


@pytest.mark.parametrize("row", [f for f in FIELDS if f.headers and f.slot != "tun_metadata"], ids=lambda f: f.name)
def test_every_number_of_every_field_is_read(row):
    """FL.01 to FL.60: each OXM/NXM number, exact, after the prerequisites that its row names."""
    before = {
        "none": "", "Ethernet": "", "VLAN": "vlan_vid=0x1000/0x1000", "IPv4": "ip", "IPv6": "ipv6", "IPv4/IPv6": "ip",
        "ARP": "arp", "MPLS": "mpls", "NSH": "dl_type=0x894f", "PBB": "dl_type=0x88e7", "TCP": "tcp", "UDP": "udp",
        "SCTP": "sctp", "ICMPv4": "icmp", "ICMPv6": "icmp6", "ND": "icmp6,icmp_type=135,icmp_code=0",
        "ND solicit": "icmp6,icmp_type=135", "ND advert": "icmp6,icmp_type=136", "CT": "ct_state=+new+trk",
        "in_port": "in_port=1",
    }[row.prereq]  # fmt: skip
    prefix = encode_match(*parse_match(before), 4) if before else b""
    value = (1 & row.valid_bits or 4).to_bytes(row.n_bytes, "big")
    for header in row.headers:
        extra = header.experimenter.to_bytes(4, "big") if header.oxm_class == EXPERIMENTER else b""
        word = header.oxm_class << 16 | header.number << 9 | len(extra) + row.n_bytes
        data = prefix + word.to_bytes(4, "big") + extra + value
        got_value, got_mask = decode_match(data)
        if row.name != "packet_type":
            assert field_access.get_value(got_value, row.name) == value
        if before:
            with pytest.raises(OpenFlowError, match="OFPBMC_BAD_PREREQ"):
                decode_match(data[len(prefix) :])


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ("00007e04 01020304", "OFPBMC_BAD_FIELD"),
        ("00000003 000001", "OFPBMC_BAD_FIELD"),
        ("00000002 00", "OFPBMC_BAD_LEN"),
        ("000000", "OFPBMC_BAD_LEN"),
        ("00000002 0001 00000002 0001", "OFPBMC_DUP_FIELD"),
        ("00000002 0001 80000004 00000001", "OFPBMC_DUP_FIELD"),
        ("00010108 0000000f 000000f0", "OFPBMC_BAD_WILDCARDS"),
        ("00000104 0000 ff00", "OFPBMC_BAD_MASK"),
        ("00001202 0050", "OFPBMC_BAD_PREREQ"),
        ("00000602 0800 00000a01 03", "OFPBMC_BAD_VALUE"),
        ("80000004 00010000", "OFPBMC_BAD_VALUE"),
        ("00000602 0806 00001e02 0100", "OFPBMC_BAD_VALUE"),
        ("00015004 00000001", "NXFMFC_INVALID_TLV_FIELD"),
        ("ffff5406 41424344 0000", "OFPBMC_BAD_FIELD"),
        ("ffff5402 4f4e", "OFPBMC_BAD_LEN"),
        ("00013c08 0000000000000001", "OFPBMC_BAD_FIELD"),
    ],
)
def test_bad_match_is_refused_with_its_error(data, error):
    with pytest.raises(OpenFlowError) as caught:
        decode_match(h(data))
    assert caught.value.name == error


def test_all_zero_mask_is_no_match():
    assert decode_match(h("00000104 0000 0000")) == (EMPTY, EMPTY)


def test_ethernet_packet_type_is_what_every_match_means():
    assert decode_match(h("80005804 00000000")) == (EMPTY, EMPTY)
    assert format_match(*decode_match(h("80005804 00010800"))) == "packet_type=(1,0x800)"


def test_conntrack_fields_are_allowed_under_tracked_not_invalid():
    value, mask = parse_match("ct_state=+trk-inv")
    assert match_prereqs(value, mask, "ct_nw_src")
    value, mask = parse_match("ct_state=+trk")
    assert not match_prereqs(value, mask, "ct_nw_src")


@given(st.binary(max_size=64))
@example(h("ffff0000 00000000"))
@example(h("ffff01ff 4f4e4600"))
def test_random_bytes_never_crash_the_match_decoder(data):
    try:
        keys = decode_match(data)
    except OpenFlowError:
        return
    assert decode_match(encode_match(*keys, 4)) is not None


@given(matches())
def test_match_cut_at_any_byte_is_refused_or_shorter(keys):
    data = encode_match(*keys, 4)
    whole = decode_match(data)
    for end in range(len(data)):
        try:
            part = decode_match(data[:end])
        except OpenFlowError as error:
            assert error.name in ("OFPBMC_BAD_LEN", "OFPBMC_BAD_FIELD")
        else:
            assert all(p & ~w == 0 for p, w in zip(part[1], whole[1], strict=True))


_IN_10 = ("in_port_oxm", "eth_src", "eth_dst", "ip_dscp", "tcp_src", "icmp_type")
_EXACT_10 = tuple(f for f in MATCHABLE if f.name in _IN_10)


@given(matches(rows=_EXACT_10))
def test_openflow10_match_round_trip(keys):
    value, mask = keys
    for name in ("eth_src", "eth_dst", "tcp_src"):
        row = by_name(name)
        if field_access.get_value(mask, name) not in (bytes(row.n_bytes), b"\xff" * row.n_bytes):
            return
    if field_access.get_value(mask, "eth_type") == b"\0\0":
        return
    eth_type = int.from_bytes(field_access.get_value(value, "eth_type"), "big")
    if eth_type in (0x0800, 0x86DD):
        assert decode_match10(encode_match10(value, mask)) == keys


@pytest.mark.parametrize(
    "text",
    [
        "", "in_port=1", "in_port=LOCAL", "dl_vlan=5", "dl_vlan=5,dl_vlan_pcp=3", "dl_vlan_pcp=3", "dl_vlan=0",
        "tcp,nw_src=10.0.0.0/8,nw_dst=1.2.3.4,tp_src=80", "ip,nw_tos=32", "icmp,icmp_type=8,icmp_code=0",
        "arp,arp_spa=10.0.0.1,arp_op=2", "icmp6,icmp_type=135", "dl_src=00:01:02:03:04:05,dl_type=0x88cc",
    ],
)  # fmt: skip
def test_openflow10_match_keeps_what_it_can_say(text):
    keys = parse_match(text)
    assert format_match(*decode_match10(encode_match10(*keys))) == format_match(*keys)


def test_openflow10_untagged_match():
    data = bytearray(encode_match10(EMPTY, EMPTY))
    data[3] &= ~2
    data[18:20] = b"\xff\xff"
    assert decode_match10(bytes(data)) == parse_match("vlan_tci=0")


def test_openflow10_drops_fields_without_prerequisites():
    data = bytearray(encode_match10(*parse_match("tcp,nw_src=10.0.0.1,tp_src=80")))
    data[22:24] = b"\x88\xcc"
    assert format_match(*decode_match10(bytes(data))) == "dl_type=0x88cc"


def test_packet_in_match_carries_nonzero_metadata():
    """MS.12: in_port always, then what is not zero."""
    metadata = "in_port=3,tun_id=5,metadata=7,reg1=9,ct_state=+new+trk,ct_zone=4"
    value, _ = parse_match(metadata + ",tcp,tp_src=80,dl_src=00:00:00:00:00:01")
    keys = decode_match(encode_packet_in_match(value, 4))
    assert format_match(*keys) == "ct_state=new|trk,ct_zone=4,reg1=0x9,tun_id=0x5,metadata=0x7,in_port=3"
    assert encode_packet_in_match(EMPTY, 1) == h("00000002 0000")
