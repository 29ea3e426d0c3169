"""Megaflow text against lines that ovs-vswitchd 3.1 (dummy datapath, dpctl/dump-flows) printed for the same frames."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapath.dp_text import BY_NUMBER, OpTuple, format_actions, format_flow, format_key
from datapath.parse import parse_frame
from datapath.slots import PIPELINE, places
from tests.oracle.packet_shapes import frames

PLACES = places()
FRAMES = frames()
ALWAYS = {"recirc_id": -1, "in_port": -1, "packet_type": -1, "eth_type": -1}
KEY_BYTES = 584
ANY_KEY = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)
OUTPUT, SET, PUSH_VLAN, POP_VLAN, PUNT, DROP, SET_MARK, SET_PRIORITY, TRUNC = range(1, 10)


def mask_of(**slots: int) -> bytes:
    """Return a mask with the given bits per slot; -1 = all."""
    mask = bytearray(KEY_BYTES)
    for name, bits in (ALWAYS | slots).items():
        place = PLACES[name]
        full = (1 << place.slot.n_bytes * 8) - 1
        octets = (bits & full).to_bytes(place.slot.n_bytes, "big")
        mask[place.offset : place.offset + place.slot.n_bytes] = octets
    return bytes(mask)


def key_of(shape: str, **slots: int) -> bytes:
    key = bytearray(parse_frame(FRAMES[shape], 1)[1])
    for name, value in slots.items():
        place = PLACES[name]
        key[place.offset : place.offset + place.slot.n_bytes] = value.to_bytes(place.slot.n_bytes, "big")
    return bytes(key)


def set_op(slot: str, value: bytes, mask: bytes = b"") -> OpTuple:
    return (SET, PLACES[slot].number, 0, 0, 0, value.ljust(16, b"\0"), (mask or b"\xff" * len(value)).ljust(16, b"\0"))


def op(kind: int, arg: int = 0, aux32: int = 0, value: bytes = b"") -> OpTuple:
    return (kind, 0, 0, arg, aux32, value.ljust(16, b"\0"), bytes(16))


START = "recirc_id(0),in_port(1),packet_type(ns=0,id=0),"
V4 = {"nw_frag": -1}
TAGGED = {"vlan_tci": 0x1FFF, "vlan_tpid": -1, "nw_frag": -1}
KEYS: list[tuple[str, dict[str, int], str]] = [
    ("tcp", V4, "eth_type(0x0800),ipv4(frag=no)"),
    ("first_fragment", V4, "eth_type(0x0800),ipv4(frag=first)"),
    ("later_fragment", V4, "eth_type(0x0800),ipv4(frag=later)"),
    ("vlan", TAGGED, "eth_type(0x8100),vlan(vid=100,pcp=5/0x0),encap(eth_type(0x0800),ipv4(frag=no))"),
    ("vlan_cfi", TAGGED, "eth_type(0x8100),vlan(vid=0,pcp=7/0x0),encap(eth_type(0x0800),ipv4(frag=no))"),
    ("vlan_cfi", TAGGED | {"vlan_tci": 0x1000},
     "eth_type(0x8100),vlan(pcp=7/0x0),encap(eth_type(0x0800),ipv4(frag=no))"),
    ("qinq", TAGGED, "eth_type(0x88a8),vlan(vid=30,pcp=1/0x0),"
     "encap(eth_type(0x8100),encap(eth_type(0x0800),ipv4(frag=no)))"),
    ("qinq", TAGGED | {"vlan_tci": -1, "vlan2_tci": -1}, "eth_type(0x88a8),vlan(vid=30,pcp=1),"
     "encap(eth_type(0x8100),vlan(vid=4095,pcp=0),encap(eth_type(0x0800),ipv4(frag=no)))"),
    ("qinq", TAGGED | {"vlan_tci": 0xF000}, "eth_type(0x88a8),vlan(vid=30/0x0,pcp=1),"
     "encap(eth_type(0x8100),encap(eth_type(0x0800),ipv4(frag=no)))"),
    ("three_tags", TAGGED, "eth_type(0x8100),vlan(vid=1),encap(eth_type(0x8100),encap(eth_type(0x8100)))"),
    ("arp_request", {}, "eth_type(0x0806)"),
    ("arp_request", {"nw_proto": -1}, "eth_type(0x0806),arp(op=1)"),
    ("arp_request", {"nw_proto": -1, "ip_src": -1, "ip_dst": 0xFFFFFF00, "arp_sha": -1, "arp_tha": 0xFFFFFF000000},
     "eth_type(0x0806),arp(sip=10.0.0.1,tip=10.0.0.2/255.255.255.0,op=1,sha=02:11:22:33:44:55,"
     "tha=00:00:00:00:00:00/ff:ff:ff:00:00:00)"),
    ("llc", {}, "eth_type(0/0xffff)"),
    ("lldp", {}, "eth_type(0x88cc)"),
    ("tcp", V4 | {"ip_src": 0xF8000000, "nw_proto": -1, "nw_tos": 0xFC, "nw_ttl": -1},
     "eth_type(0x0800),ipv4(src=10.1.2.3/248.0.0.0,proto=6,tos=0x2d/0xfc,ttl=9,frag=no)"),
    ("udp", V4 | {"ip_src": 0xF8000000, "nw_proto": -1, "nw_tos": 0xFC, "nw_ttl": -1},
     "eth_type(0x0800),ipv4(src=10.1.2.3/248.0.0.0,proto=17,tos=0/0xfc,ttl=64,frag=no)"),
    ("tcp",
     V4 | {"eth_src": -1, "eth_dst": -1, "ip_dst": -1, "nw_proto": -1, "tp_src": -1, "tp_dst": -1, "tcp_flags": 6},
     "eth(src=02:00:00:00:00:0a,dst=02:00:00:00:00:0b),eth_type(0x0800),ipv4(dst=192.168.7.9,proto=6,frag=no),"
     "tcp(src=1234,dst=80),tcp_flags(+syn-rst)"),
    ("tcp", V4 | {"nw_proto": -1, "tp_src": -1, "tp_dst": -1, "tcp_flags": -1},
     "eth_type(0x0800),ipv4(proto=6,frag=no),tcp(src=1234,dst=80),tcp_flags(syn|ack|ece)"),
    ("udp", V4 | {"eth_dst": 0xFF, "ip_src": 0xFF000000, "nw_proto": -1, "tp_dst": 0xF0},
     "eth(dst=02:00:00:00:00:0b/00:00:00:00:00:ff),eth_type(0x0800),ipv4(src=10.1.2.3/255.0.0.0,proto=17,frag=no),"
     "udp(dst=5353/0xf0)"),
    ("sctp", V4 | {"nw_proto": -1, "tp_src": -1, "tp_dst": -1},
     "eth_type(0x0800),ipv4(proto=132,frag=no),sctp(src=7,dst=9)"),
    ("icmp", V4 | {"nw_proto": -1, "tp_dst": 0xFC}, "eth_type(0x0800),ipv4(proto=1,frag=no),icmp(code=0/0xfc)"),
    ("icmp", V4 | {"nw_proto": -1, "tp_src": -1, "tp_dst": -1},
     "eth_type(0x0800),ipv4(proto=1,frag=no),icmp(type=8,code=0)"),
    ("tcp6", V4 | {"ipv6_src": -1, "ipv6_dst": -1, "ipv6_label": -1, "nw_proto": -1, "nw_tos": -1, "nw_ttl": -1},
     "eth_type(0x86dd),ipv6(src=2001:db8::1:2,dst=2001:db8:5::77,label=0xabcde,proto=6,tclass=0xb9,hlimit=3,frag=no)"),
    ("udp6", V4 | {"ipv6_src": -1, "ipv6_dst": 0xFFFFFFFF << 96, "ipv6_label": -1, "nw_tos": -1, "nw_ttl": -1},
     "eth_type(0x86dd),ipv6(src=2001:db8::1:2,dst=2001:db8:5::77/ffff:ffff::,label=0,tclass=0,hlimit=64,frag=no)"),
    ("echo6", V4 | {"ipv6_dst": -1 << 64, "ipv6_label": 0xF, "nw_proto": -1, "tp_src": 0xFC},
     "eth_type(0x86dd),ipv6(dst=2001:db8:5::77/ffff:ffff:ffff:ffff::,label=0/0xf,proto=58,frag=no),"
     "icmpv6(type=128/0xfc)"),
    ("solicit", V4 | {"nw_proto": -1, "tp_src": -1, "tp_dst": -1, "nd_target": -1, "arp_sha": -1},
     "eth_type(0x86dd),ipv6(proto=58,frag=no),icmpv6(type=135,code=0),nd(target=fe80::5,sll=02:11:22:33:44:55)"),
    ("mpls", {"mpls_lse0": 0xFFFFF000}, "eth_type(0x8847),mpls(label=18/0xfffff,tc=3/0,ttl=60/0x0,bos=1/0)"),
    ("mpls", {"mpls_lse0": -1}, "eth_type(0x8847),mpls(label=18,tc=3,ttl=60,bos=1)"),
    ("mpls_deep", {"mpls_lse0": 0xFFFFF000}, "eth_type(0x8848),mpls(label=1/0xfffff,tc=0/0,ttl=0/0x0,bos=0/0,"
     "label=2/0x0,tc=0/0,ttl=0/0x0,bos=0/0,label=3/0x0,tc=0/0,ttl=0/0x0,bos=0/0)"),
    ("nsh_type1", {"nsh_flags": -1, "nsh_ttl": -1, "nsh_mdtype": -1, "nsh_np": -1, "nsh_path": -1, "nsh_c1": -1},
     "eth_type(0x894f),nsh(flags=0,ttl=63,mdtype=1,np=3,spi=0x102,si=15,c1=0x11111111)"),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "slots", "expected"), KEYS, ids=[f"{i}-{row[0]}" for i, row in enumerate(KEYS)])
def test_key_reads_as_open_vswitch_prints_it(shape: str, slots: dict[str, int], expected: str) -> None:
    assert format_key(key_of(shape), mask_of(**slots)) == START + expected


def test_metadata_reads_as_open_vswitch_prints_it() -> None:
    values = {"pkt_mark": 5, "skb_priority": 3, "ct_state": 0x21, "ct_zone": 3, "ct_mark": 5, "ct_label": 1}
    bits = {"pkt_mark": 0xF, "skb_priority": -1, "ct_state": 0x25, "ct_zone": 0xF, "ct_mark": 0xFF, "ct_label": 1}
    key = key_of("tcp", **values, recirc_id=5, dp_hash=3)
    mask = mask_of(**bits, dp_hash=0xF, nw_frag=-1)
    assert format_key(key, mask) == (
        "skb_priority(0x3),skb_mark(0x5/0xf),ct_state(+new-rel+trk),ct_zone(0x3/0xf),ct_mark(0x5/0xff),"
        "ct_label(0x1/0x1),recirc_id(0x5),dp_hash(0x3/0xf),in_port(1),packet_type(ns=0,id=0),"
        "eth_type(0x0800),ipv4(frag=no)"
    )


def test_verbose_key_shows_every_field_and_port_names_replace_numbers() -> None:
    text = format_key(key_of("tcp"), mask_of(nw_frag=-1), verbose=True, names={1: "p1"})
    assert text == (
        "skb_priority(0/0),skb_mark(0/0),ct_state(0/0),ct_zone(0/0),ct_mark(0/0),ct_label(0/0),recirc_id(0),"
        "dp_hash(0/0),in_port(p1),packet_type(ns=0,id=0),eth(src=02:00:00:00:00:0a/00:00:00:00:00:00,"
        "dst=02:00:00:00:00:0b/00:00:00:00:00:00),eth_type(0x0800),ipv4(src=10.1.2.3/0.0.0.0,dst=192.168.7.9/0.0.0.0,"
        "proto=6/0,tos=0x2d/0,ttl=9/0,frag=no),tcp(src=1234/0,dst=80/0),tcp_flags(0/0)"
    )


MAC99 = bytes.fromhex("020000000099")
PUNT_OP = (PUNT, 0, 1, 7 << 16 | 128, 0, struct.pack("=Q", 0x7F0000001000), struct.pack("=QQ", 0x1F, 0))
ACTIONS: list[tuple[str, list[OpTuple], str]] = [
    ("tcp", [set_op("eth_dst", MAC99), set_op("ip_dst", b"\x09\x09\x09\x09"), set_op("tp_dst", b"\0\x63"),
             op(OUTPUT, 2), op(PUSH_VLAN, 0x81000009), op(OUTPUT, 3)],
     "set(eth(dst=02:00:00:00:00:99)),set(ipv4(dst=9.9.9.9)),set(tcp(dst=99)),2,push_vlan(vid=9,pcp=0),3"),
    ("tcp", [set_op("nw_ttl", b"\x08"), set_op("nw_tos", b"\x05"), op(SET_PRIORITY, 3),
             op(SET_MARK, 5, 0xFFFFFFFF), op(OUTPUT, 2), op(TRUNC, 100), op(OUTPUT, 3)],
     "set(ipv4(tos=0x5,ttl=8)),set(skb_priority(0x3)),set(skb_mark(0x5)),2,trunc(100),3"),
    ("udp", [set_op("eth_dst", b"\0\0\0\0\0\5", b"\0\0\0\0\0\xff"), set_op("ip_src", b"\1\0\0\0", b"\xff\0\0\0"),
             set_op("tp_dst", b"\0\x10", b"\0\xf0"), op(OUTPUT, 2)],
     "set(eth(dst=00:00:00:00:00:05/00:00:00:00:00:ff)),set(ipv4(src=1.0.0.0/255.0.0.0)),set(udp(dst=16/0xf0)),2"),
    ("vlan", [op(POP_VLAN), op(OUTPUT, 2), op(PUSH_VLAN, 0x88A8600F), op(OUTPUT, 3)],
     "pop_vlan,2,push_vlan(tpid=0x88a8,vid=15,pcp=3),3"),
    ("tcp", [set_op("nw_tos", b"\x08", b"\xfc"), op(OUTPUT, 2)], "set(ipv4(tos=0x8/0xfc)),2"),
    ("tcp6", [set_op("ipv6_dst", b"\xfe\x80" + bytes(13) + b"\1"), set_op("ipv6_label", b"\0\0\0\5", b"\0\x0f\xff\xff"),
              set_op("nw_tos", b"\xba"), set_op("nw_ttl", b"\2"), op(OUTPUT, 2)],
     "set(ipv6(dst=fe80::1,label=0x5,tclass=0xba,hlimit=2)),2"),
    ("sctp", [set_op("tp_dst", b"\0\x08"), op(OUTPUT, 2)], "set(sctp(dst=8)),2"),
    ("mpls", [set_op("mpls_lse0", (55 << 12 | 3 << 9 | 1 << 8 | 59).to_bytes(4, "big")), op(OUTPUT, 2)],
     "set(mpls(label=55,tc=3,ttl=59,bos=1)),2"),
    ("udp", [set_op("ip_src", b"\1\1\1\1"), set_op("ip_dst", b"\2\2\2\2"), op(OUTPUT, 2)],
     "set(ipv4(src=1.1.1.1,dst=2.2.2.2)),2"),
    ("udp", [op(OUTPUT, 3), op(OUTPUT, 100), op(OUTPUT, 2)], "3,100,2"),
    ("udp", [], "drop"),
    ("udp", [op(DROP, 9)], "drop"),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "ops", "expected"), ACTIONS, ids=[row[2][:40] for row in ACTIONS])
def test_actions_read_as_open_vswitch_prints_them(shape: str, ops: list[OpTuple], expected: str) -> None:
    assert format_actions(ops, key_of(shape)) == expected


def test_writes_of_one_header_stay_apart_where_an_output_is_between() -> None:
    ops = [set_op("ip_src", b"\1\1\1\1"), op(OUTPUT, 2), set_op("ip_dst", b"\2\2\2\2"), op(OUTPUT, 3)]
    assert format_actions(ops, key_of("udp")) == "set(ipv4(src=1.1.1.1)),2,set(ipv4(dst=2.2.2.2)),3"


def test_a_tag_rewritten_in_place_reads_as_a_set_of_vlan() -> None:
    ops = [set_op("vlan_tci", b"\x20\x07", b"\xef\xff"), op(OUTPUT, 2)]
    assert format_actions(ops, key_of("vlan")) == "set(vlan(vid=7,pcp=1)),2"


def test_arp_and_icmp_writes_carry_the_names_of_their_headers() -> None:
    arp = [set_op("nw_proto", b"\2"), set_op("ip_src", b"\1\2\3\4"), set_op("arp_sha", MAC99)]
    assert format_actions(arp, key_of("arp_request")) == "set(arp(sip=1.2.3.4,op=2,sha=02:00:00:00:00:99))"
    assert format_actions([set_op("tp_dst", b"\0\3")], key_of("icmp")) == "set(icmp(code=3))"


def test_controller_action_is_a_userspace_action_whose_text_the_caller_may_give() -> None:
    form = "userspace(pid=0,controller(reason=1,dont_send={},continuation=0,recirc_id=0,rule_cookie=0x1f,{}))"
    end = "controller_id=7,max_len=128"
    assert format_actions([PUNT_OP, op(OUTPUT, 1)]) == form.format(0, end) + ",1"
    assert format_actions([PUNT_OP], sends=False) == form.format(1, end)


@dataclass
class Megaflow:
    key: bytes
    mask: bytes
    actions: list[OpTuple] = field(default_factory=lambda: [op(OUTPUT, 2)])
    packets: int = 2
    bytes: int = 134
    used_ns: int = 5_000_000_000
    tcp_flags: int = 0x42


def test_flow_line_reads_as_dump_flows_prints_it() -> None:
    row = Megaflow(key_of("tcp"), mask_of(nw_frag=-1))
    line = START + "eth_type(0x0800),ipv4(frag=no), packets:2, bytes:134, used:0.158s, flags:SE, actions:2"
    assert format_flow(row, 5_158_000_000) == line
    row.used_ns = row.tcp_flags = row.packets = row.bytes = 0
    line = "recirc_id(0),in_port(p1),packet_type(ns=0,id=0),eth_type(0x0800),ipv4(frag=no), "
    line += "packets:0, bytes:0, used:never, actions:p2"
    assert format_flow(row, 1, names={1: "p1", 2: "p2"}) == line


def test_verbose_flow_line_begins_with_its_identifier_and_names_the_datapath() -> None:
    line = format_flow(Megaflow(key_of("tcp"), mask_of(nw_frag=-1)), 5_000_000_000, verbose=True)
    identifier = r"ufid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    assert re.fullmatch(identifier + r", skb_priority\(0/0\),.*, dp:ovs, actions:2", line)


@given(ANY_KEY, ANY_KEY, st.booleans())
def test_any_key_and_mask_have_a_text_with_balanced_brackets(key: bytes, mask: bytes, verbose: bool) -> None:
    text = format_key(key, mask, verbose)
    assert text.count("(") == text.count(")")
    assert text.startswith("skb_priority(") or not verbose


@given(
    st.lists(st.tuples(st.sampled_from(sorted(BY_NUMBER)), st.binary(min_size=16, max_size=16)), max_size=8),
    st.sampled_from(sorted(FRAMES)),
)
def test_any_writes_have_a_text(writes: list[tuple[int, bytes]], shape: str) -> None:
    wide = {place.number for place in PLACES.values() if place.slot.n_bytes > 16 or place.slot.scope == PIPELINE}
    ops = [(SET, slot, 0, 0, 0, value, b"\xff" * 16) for slot, value in writes if slot not in wide]
    text = format_actions(ops, key_of(shape))
    assert text.count("(") == text.count(")")
    assert text == "drop" if not ops else "set(" in text


def test_a_key_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="584 bytes, not 10"):
        format_key(bytes(10), bytes(584))
