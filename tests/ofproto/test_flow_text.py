"""Text of matches and flows, as ovs-ofctl has it (OF.34)."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofproto.fields import FIELDS
from ofproto.flow_mod import decode_flow_mod
from ofproto.flow_text import (
    KEY_BYTES,
    TEXT_ORDER,
    _plans,
    format_actions,
    format_match,
    parse_actions,
    parse_flow,
    parse_match,
)
from tests.ofproto.codec_tools import golden, matches
from vslib.errors import ConfigError


@given(matches())
def test_text_of_a_match_reads_as_the_same_match(keys):
    text = format_match(*keys)
    again = parse_match(text)
    assert format_match(*again) == text
    if "vlan" not in text:
        assert again == keys


@given(matches(), matches(), st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES))
def test_a_match_reads_the_same_whatever_was_printed_before(keys, others, noise):
    value, mask = keys
    more = [value, bytes(KEY_BYTES), bytes(a & b for a, b in zip(noise, mask, strict=True))]
    more += [bytes(a & b for a, b in zip(others[0], mask, strict=True)), value]
    _plans.clear()
    together = [format_match(one, mask) for one in more]
    for one, text in zip(more, together, strict=True):
        _plans.clear()
        assert format_match(one, mask) == text


def test_every_field_that_a_match_is_written_with_is_printed():
    special = {"eth_type", "nw_proto", "vlan_tci", "vlan_vid", "vlan_pcp", "in_port", "ip_dscp"}
    written = {f.name for f in FIELDS if f.dialect != "never" and f.slot != "tun_metadata"}
    assert written - special <= set(TEXT_ORDER)


GOLDEN = golden("golden_flows.txt")


@pytest.mark.parametrize("row", [r for r in GOLDEN if r[1].startswith("040e")], ids=lambda r: r[0][:60])
def test_flow_text_makes_the_message_of_ovs_ofctl(row):
    message = bytes.fromhex(row[1])
    needs_more = ("nw_src=1.1.1.1,actions", "tp_src=80,actions")
    if row[0].startswith(needs_more) or row[0] == "ip,tp_src=80,actions=drop" or "vlan_tci=0x2000" in row[0]:
        return  # ovs-ofctl drops what it cannot match; we refuse it. packet_type=(0,0) we do not write.
    assert parse_flow(row[0]).to_message(xid=1) == message


@pytest.mark.parametrize("row", GOLDEN, ids=lambda r: f"{r[1][:4]} {r[0]}"[:60])
def test_printed_actions_read_as_the_same_actions(row):
    assert format_actions(parse_actions(row[3])) == row[3]
    assert format_match(*parse_match(row[2])) == row[2]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tcp,nw_src=10.0.0.0/255.0.0.0", "tcp,nw_src=10.0.0.0/8"),
        ("ip,ip_proto=6,tcp_src=80", "tcp,tp_src=80"),
        ("dl_type=0x0800,nw_proto=17", "udp"),
        ("eth_src=0:1:2:3:4:5", "dl_src=00:01:02:03:04:05"),
        ("in_port=65534", "in_port=LOCAL"),
        ("in_port=local", "in_port=LOCAL"),
        ("arp,nw_src=1.2.3.4,nw_proto=1", "arp,arp_spa=1.2.3.4,arp_op=1"),
        ("icmp6,icmpv6_type=135", "icmp6,icmp_type=135"),
        ("ip,nw_frag=not_later", "ip,nw_frag=not_later"),
        ("tcp,tcp_flags=+syn-ack", "tcp,tcp_flags=+syn-ack"),
        ("tcp,tcp_flags=0x12", "tcp,tcp_flags=syn|ack"),
        ("dl_vlan=0xffff", "vlan_tci=0x0000"),
        ("NXM_NX_REG0=5", "reg0=0x5"),
        ("igmp", "ip,nw_proto=2"),
        ("tun_id=0", "tun_id=0"),
        ("ipv6,ipv6_src=fe80::/64,ipv6_label=0x12", "ipv6,ipv6_src=fe80::/64,ipv6_label=0x00012"),
    ],
)
def test_texts_with_one_meaning(text, shown):
    assert format_match(*parse_match(text)) == shown


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("tp_src=80", "tp_src=80: needs TCP"),
        ("ip,nw_src=1.2.3", "nw_src=1.2.3: "),
        ("in_port=70000", "in_port=70000: "),
        ("dl_src=1", "dl_src=1: "),
        ("tcp,tcp", "tcp: given twice"),
        ("reg0=1,reg0=2", "reg0=2: given twice"),
        ("nonsense=1", "nonsense=1: unknown keyword"),
        ("reg0", "reg0: needs a value"),
        ("reg0=5/3", "reg0=5/3: value 5/3 has bits outside"),
        ("in_port=1/1", "in_port=1/1: "),
        ("dl_vlan=5000", "dl_vlan=5000: "),
        ("tcp,tcp_flags=+foo", "tcp_flags=+foo: unknown flag 'foo'"),
        ("ip,nw_tos=3", "nw_tos=3: 3 does not fit in nw_tos"),
    ],
)
def test_bad_match_names_its_place(text, place):
    with pytest.raises(ConfigError) as caught:
        parse_match(text)
    assert str(caught.value).startswith(place)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("output:70000000000", "action output:70000000000: "),
        ("outptu:1", "action outptu:1: unknown or unsupported action"),
        ("learn(table=1)", "action learn:table=1: unknown or unsupported action"),
        ("set_field:1->eth_type", "action set_field:1->eth_type: eth_type is read-only"),
        ("set_field:1", "action set_field:1: needs VALUE->FIELD"),
        ("load:1->reg0[0..40]", "action load:1->reg0[0..40]: "),
        ("load:0x100->reg0[0..7]", "action load:0x100->reg0[0..7]: "),
        ("move:reg0[0..7]->reg1[0..8]", "action move:reg0[0..7]->reg1[0..8]: source has 8 bits, destination 9"),
        ("mod_nw_tos:3", "action mod_nw_tos:3: "),
        ("push_vlan:0x1234", "action push_vlan:0x1234: "),
        ("resubmit(1", "resubmit(1: unbalanced parentheses"),
        ("strip_vlan:1", "action strip_vlan:1: takes no argument"),
        ("drop,output:1", "action drop: unknown or unsupported action"),
        ("goto_table:255", "action goto_table:255: "),
    ],
)
def test_bad_action_names_its_place(text, place):
    with pytest.raises(ConfigError) as caught:
        parse_actions(text)
    assert str(caught.value).startswith(place)


def test_flow_without_actions_is_refused():
    with pytest.raises(ConfigError, match="must specify an action"):
        parse_flow("in_port=1")


def test_flow_whose_actions_do_not_fit_its_match_is_refused():
    with pytest.raises(ConfigError, match="OFPBAC_MATCH_INCONSISTENT"):
        parse_flow("in_port=1,actions=load:5->NXM_OF_TCP_SRC[]")


def test_spaces_separate_like_commas():
    a = parse_flow("priority=5 tcp  nw_dst=10.0.0.0/8 actions=output:2")
    b = parse_flow("priority=5,tcp,nw_dst=10.0.0.0/8,actions=output:2")
    assert a == b and decode_flow_mod(a.message).priority == 5


@given(st.text(max_size=40))
def test_any_text_is_a_flow_or_a_config_error(text):
    for parse in (parse_match, parse_actions, parse_flow):
        with contextlib.suppress(ConfigError):
            parse(text)
