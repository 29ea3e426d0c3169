"""Actions on the wire and as text (AC.01 to AC.41): every form, hostile bytes, versions, the ACTIONS table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofproto.actions import ACTIONS, FORMS, KINDS
from ofproto.errors import OpenFlowError
from ofproto.flow_mod import check_actions, decode_actions, encode_actions, encode_instructions
from ofproto.flow_text import format_actions, parse_actions, parse_match
from tests.ofproto.codec_tools import EMPTY, apply, decode13, flow_mod13, nx, nxt_flow_mod


def h(text):
    return bytes.fromhex(text.replace(" ", ""))


def test_kinds_follow_the_enum_of_ofact_pxd():
    text = (Path(__file__).parents[2] / "ofproto/ofact.pxd").read_text()
    body = text[text.index("cdef enum OfActKind") : text.index("N_OFACT_KINDS")]
    assert [name[6:] for name in re.findall(r"^    (OFACT_\w+)", body, re.MULTILINE)] == list(KINDS)


def test_rows_of_actions_are_consistent():
    forms = [(f.space, f.number) for row in ACTIONS for f in row.forms]
    assert len(forms) == len(set(forms)), "two forms share a number"
    assert {row.kind for row in ACTIONS} == {*KINDS, "GROUP", "METER", "APPLY_ACTIONS"}
    assert all(f.n_bytes % 8 == 0 for f in FORMS.values())


_TEXTS = [
    "drop", "output:1", "output:65279", "IN_PORT", "LOCAL", "NORMAL", "FLOOD", "ALL", "TABLE", "CONTROLLER:65535",
    "CONTROLLER:100", "controller(reason=no_match,max_len=100,id=5)", "enqueue:3:1", "enqueue:LOCAL:7",
    "output:NXM_NX_REG0[0..15]", "mod_vlan_vid:7", "mod_vlan_pcp:3", "strip_vlan", "mod_dl_src:00:01:02:03:04:05",
    "mod_dl_dst:00:01:02:03:04:05", "mod_nw_src:1.2.3.4", "mod_nw_dst:1.2.3.4", "mod_nw_tos:32", "mod_tp_src:80",
    "mod_tp_dst:80", "load:0x5->NXM_NX_REG1[3..5]", "load:0->NXM_OF_VLAN_TCI[]",
    "move:NXM_NX_REG0[0..15]->NXM_NX_REG1[16..31]", "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
    "push:NXM_NX_XXREG0[]", "pop:NXM_NX_REG1[7]", "dec_ttl", "dec_ttl(1,2,3,4)", "set_tunnel:0x5", "set_tunnel64:0x5",
    "set_tunnel64:0x123456789a", "set_queue:4", "pop_queue", "resubmit:3", "resubmit(,5)", "resubmit(1,2)",
    "resubmit:IN_PORT", "note:00.01.02.03.04.05", "note:00.01.02.03.04.05.06.07.08.09.0a.0b.0c.0d", "exit",
    "write_metadata:0x5/0xff", "write_metadata:0x5", "set_field:0x1/0xff->reg0",
]  # fmt: skip
_SAME_IN_10 = [t for t in _TEXTS if t != "set_field:0x1/0xff->reg0"]


@pytest.mark.parametrize("text", _TEXTS)
def test_text_round_trip(text):
    assert format_actions(parse_actions(text)) == text


@pytest.mark.parametrize("text", _SAME_IN_10)
def test_openflow10_round_trip(text):
    """AC.01, 02, 05, 07, 09 to 15, 19 to 22, 27, 28, 40: text to wire and back."""
    assert format_actions(decode_actions(encode_actions(parse_actions(text), 1), 1)) == text


_SAME_IN_13 = [
    t for t in _TEXTS
    if not re.match(r"enqueue|mod_|set_tunnel|write_metadata|set_field:.*/", t)
] + [
    "push_vlan:0x8100", "push_vlan:0x88a8", "mod_nw_ttl:5", "set_field:00:01:02:03:04:05->eth_dst",
    "set_field:1.2.3.4->ip_src", "set_field:63->ip_dscp", "set_field:4101->vlan_vid", "set_field:0x5->xxreg1",
    "set_field:fe80::1->nd_target", "set_field:0x5->tun_erspan_idx",
]  # fmt: skip


@pytest.mark.parametrize("text", _SAME_IN_13)
def test_openflow13_round_trip(text):
    assert format_actions(decode_actions(encode_actions(parse_actions(text), 4), 4)) == text


@pytest.mark.parametrize(
    ("text", "match", "openflow10", "openflow13"),
    [
        ("mod_dl_src:00:00:00:00:00:01", "", None, "set_field:00:00:00:00:00:01->eth_src"),
        ("mod_nw_tos:32", "ip", None, "set_field:8->ip_dscp"),
        ("mod_tp_src:5", "udp", None, "set_field:5->udp_src"),
        ("mod_tp_dst:5", "sctp", None, "set_field:5->sctp_dst"),
        ("mod_vlan_vid:5", "", None, "push_vlan:0x8100,set_field:4101->vlan_vid"),
        ("mod_vlan_vid:5,mod_vlan_pcp:3", "", None, "push_vlan:0x8100,set_field:4101->vlan_vid,set_field:3->vlan_pcp"),
        ("mod_vlan_vid:5", "dl_vlan=1", None, "set_field:4101->vlan_vid"),
        ("set_tunnel:0x5", "", None, "set_field:0x5->tun_id"),
        ("enqueue:3:1", "", None, "set_queue:1,output:3,pop_queue"),
        ("set_field:00:00:00:00:00:01->eth_src", "", "mod_dl_src:00:00:00:00:00:01", None),
        ("set_field:8->ip_dscp", "ip", "mod_nw_tos:32", None),
        ("set_field:5->tcp_dst", "tcp", "mod_tp_dst:5", None),
        ("set_field:4101->vlan_vid", "dl_vlan=1", "mod_vlan_vid:5", None),
        ("set_field:0x5->metadata", "", "load:0x5->OXM_OF_METADATA[]", None),
        ("set_field:0xf0f0/0xf0f0->reg2", "", "load:0xf->NXM_NX_REG2[4..7],load:0xf->NXM_NX_REG2[12..15]", "="),
        ("mod_nw_ecn:1,mod_nw_ttl:9", "ip", "load:0x1->NXM_NX_IP_ECN[],load:0x9->NXM_NX_IP_TTL[]",
         "set_field:1->nw_ecn,mod_nw_ttl:9"),
    ],
)  # fmt: skip
def test_actions_are_translated_between_versions(text, match, openflow10, openflow13):
    """AC.13: what OpenFlow 1.0 says with an action of its own, 1.3 says with set_field, and back."""
    acts = check_actions(parse_actions(text), *parse_match(match), 1)
    shown10 = format_actions(decode_actions(encode_actions(acts, 1), 1))
    shown13 = format_actions(decode_actions(encode_actions(acts, 4), 4))
    assert shown10 == (openflow10 or text)
    assert shown13 == (openflow10 if openflow13 == "=" else openflow13 or text)


def test_instructions_stand_in_the_order_of_execution():
    goto, out = h("0001 0008 05 000000"), apply(h("0000 0010 00000001 ffff 000000000000"))
    assert format_actions(decode13(b"", goto + out).actions) == "output:1,goto_table:5"


def test_instructions_round_trip():
    write = "write_actions(output:2,set_field:00:00:00:00:00:01->eth_src)"
    text = f"output:1,clear_actions,{write},write_metadata:0x5/0xf,goto_table:7"
    acts = parse_actions(text)
    assert format_actions(decode13(b"", encode_instructions(acts, 4)).actions) == text


@pytest.mark.parametrize(
    ("instructions", "error"),
    [
        ("0006 0008 00000001", "OFPMMFC_INVALID_METER"),
        ("0009 0008 00000000", "OFPBIC_UNKNOWN_INST"),
        ("ffff 0008 00002320", "OFPBIC_BAD_EXPERIMENTER"),
        ("0001 0010 0500000000000000 00000000", "OFPBIC_BAD_LEN"),
        ("0001 0008 05000000 0001 0008 06000000", "OFPBIC_DUP_INST"),
        ("0004 0010 00000000 0016 0008 00000001", "OFPBAC_BAD_OUT_GROUP"),
        ("0003 0018 00000000 ffff 0010 00002320 0011 000000000000", "OFPBAC_BAD_TYPE"),
        ("0001 0008 00000000", "OFPBIC_BAD_TABLE_ID"),
        ("0001 0008 ff000000", "OFPBIC_BAD_TABLE_ID"),
    ],
)
def test_bad_instructions_are_refused(instructions, error):
    """AC.39, AC.40: meters and groups are known but absent; the rest is wrong on the wire."""
    with pytest.raises(OpenFlowError) as caught:
        decode13(b"", h(instructions))
    assert caught.value.name == error


@pytest.mark.parametrize(
    ("subtype", "body", "error"),
    [
        (16, bytes(22), "OFPBAC_BAD_VENDOR_TYPE"),
        (35, bytes(14), "OFPBAC_BAD_VENDOR_TYPE"),
        (34, h("000200000001"), "OFPBAC_BAD_VENDOR_TYPE"),
        (7, h("003f 00010204 0000000000000001"), "OFPBAC_BAD_SET_LEN"),
        (7, h("0007 00010204 0000000000000100"), "OFPBAC_BAD_ARGUMENT"),
        (7, h("0007 00000c01 0000000000000001"), "OFPBAC_BAD_SET_ARGUMENT"),
        (7, h("001f 0001d604 0000000000000001"), "OFPBAC_BAD_SET_ARGUMENT"),
        (6, h("0000 0000 0000 00010204 00010004"), "OFPBAC_BAD_SET_LEN"),
        (6, h("0010 0000 0000 00010204 00010004 0000000000000001"), "NXBRC_MUST_BE_ZERO"),
        (14, h("fff8 05 000001"), "OFPBAC_BAD_ARGUMENT"),
    ],
)
def test_bad_nicira_actions_are_refused(subtype, body, error):
    with pytest.raises(OpenFlowError) as caught:
        decode_actions(nx(subtype, body), 1)
    assert caught.value.name == error


@given(st.sampled_from(_TEXTS), st.sampled_from([1, 4]))
def test_actions_cut_at_any_byte_are_refused(text, version):
    data = encode_actions(parse_actions(text), version)
    for end in range(1, len(data)):
        try:
            decode_actions(data[:end], version)
        except OpenFlowError:
            continue
        assert end % 8 == 0, "only whole actions are a list"


_WIRE_ACTION = st.tuples(st.integers(0, 40) | st.just(0xFFFF), st.binary(min_size=4, max_size=44))


@given(st.lists(_WIRE_ACTION, max_size=4), st.sampled_from([1, 4]))
def test_random_actions_never_crash(items, version):
    data = b""
    for kind, body in items:
        body = body.ljust(-(-(len(body) + 4) // 8) * 8 - 4, b"\0")
        data += kind.to_bytes(2, "big") + (len(body) + 4).to_bytes(2, "big") + body
    try:
        acts = decode_actions(data, version)
    except OpenFlowError:
        return
    for other in (1, 4):
        encode_actions(acts, other)
    format_actions(acts)


@given(st.integers(1, 60), st.binary(min_size=6, max_size=38))
def test_random_nicira_actions_decode_to_what_they_encode(subtype, body):
    body = body.ljust(-(-(len(body) + 10) // 8) * 8 - 10, b"\0")
    try:
        acts = decode_actions(nx(subtype, body), 1)
    except OpenFlowError:
        return
    assert decode_actions(encode_actions(acts, 1), 1) == acts


@pytest.mark.parametrize("version", [1, 4])
def test_prerequisites_of_actions_are_checked(version):
    """OF.02: what names a field needs it in the match in every version, OpenFlow 1.0's own actions from 1.1 on."""
    load_port = parse_actions("load:5->NXM_OF_TCP_SRC[]")
    with pytest.raises(OpenFlowError, match="OFPBAC_MATCH_INCONSISTENT"):
        check_actions(load_port, EMPTY, EMPTY, version)
    assert check_actions(load_port, *parse_match("tcp"), version) == load_port
    own = parse_actions("mod_nw_src:1.2.3.4")
    if version == 1:
        assert check_actions(own, EMPTY, EMPTY, version) == own
    else:
        with pytest.raises(OpenFlowError, match="OFPBAC_MATCH_INCONSISTENT"):
            check_actions(own, EMPTY, EMPTY, version)


def test_vlan_id_needs_a_tag_that_is_there():
    set_vid = parse_actions("set_field:4101->vlan_vid")
    with pytest.raises(OpenFlowError, match="OFPBAC_MATCH_INCONSISTENT"):
        check_actions(set_vid, EMPTY, EMPTY, 4)
    check_actions(parse_actions("push_vlan:0x8100") + set_vid, EMPTY, EMPTY, 4)
    with pytest.raises(OpenFlowError, match="OFPBAC_BAD_TAG"):
        check_actions(parse_actions("push_vlan:0x8100,push_vlan:0x8100,push_vlan:0x8100"), EMPTY, EMPTY, 4)


def test_write_metadata_comes_last_in_openflow10():
    data = encode_actions(parse_actions("write_metadata:5"), 1)
    assert decode_actions(data, 1)
    with pytest.raises(OpenFlowError, match="OFPBAC_UNSUPPORTED_ORDER"):
        decode_actions(data + encode_actions(parse_actions("output:1"), 1), 1)


def test_action_set_longer_than_its_length_field_is_refused():
    body = h("0018 0008 00000000") * 5000
    data = h("0003") + (8 + len(body)).to_bytes(2, "big") + bytes(4) + body
    with pytest.raises(OpenFlowError, match="OFPBAC_TOO_MANY"):
        decode13(b"", data)


def test_frames_of_helpers_are_well_formed():
    assert len(flow_mod13()) == 56 and len(nxt_flow_mod()) == 48
