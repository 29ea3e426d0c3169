"""ofproto/trace on a switch without a daemon: what it leaves alone, its forms and its limits (AP.13)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapath.dp_parse import DatapathFlowError, parse_key
from datapath.dp_text import KEY_BYTES, format_key
from datapath.slots import TUNNEL
from ofproto.exact_text import PLACES, format_exact, parse_exact, put_slot, slot_of
from ofproto.flow_text import KEY_BYTES as FLOW_BYTES
from tests.ofproto.trace_cases import ARP, CASES, UDP, Case
from tests.ofproto.trace_rig import Traced

NORMAL = Case("", ("actions=NORMAL",), (), ("actions=NORMAL",))
MAC = "dl_src=00:00:00:00:00:01"


def traced(*flows: str, flows1: tuple[str, ...] = ()) -> Traced:
    """Return the switch with these flows."""
    switch = Traced()
    switch.setup(Case("", flows, (), flows1))
    return switch


def counted(switch: Traced) -> list[tuple[int, int]]:
    """Return what tables counted as (look-ups, matches), where they did."""
    rows = [row for bridge in (switch.br0, switch.br1) for row in bridge.flows.table_stats()]
    return [row[2:] for row in rows if any(row[2:])]


def test_a_trace_counts_nothing_and_learns_nothing() -> None:
    switch = traced("actions=NORMAL", flows1=("actions=NORMAL",))
    for _ in range(3):
        text = switch.trace(f"in_port=1,{MAC},ip")
    assert "no learned MAC for destination, flooding" in text and "learned that" not in text
    assert switch.br0.handle.fdb() == switch.br1.handle.fdb() == []
    assert switch.br0.handle.patch_stats(10) == (0, 0, 0, 0)
    assert not counted(switch)


@pytest.mark.parametrize("packet", ["-generate", ARP], ids=["generate", "bytes"])
def test_a_packet_teaches_addresses_and_is_still_not_counted(packet: str) -> None:
    switch = traced("actions=NORMAL", flows1=("actions=NORMAL",))
    text = switch.trace(f"in_port=1,{MAC} {packet}")
    assert " -> learned that 00:00:00:00:00:01 is on port p1 in VLAN 0\n" in text
    assert " -> learned that 00:00:00:00:00:01 is on port pb in VLAN 0\n" in text
    assert [row[:3] for row in switch.br0.handle.fdb()] == [(1, 0, bytes.fromhex("000000000001"))]
    assert "learned that" not in switch.trace(f"in_port=1,{MAC} {packet}")
    assert not counted(switch)


def test_the_form_is_that_of_open_vswitch() -> None:
    switch = traced("in_port=1,cookie=0x5,actions=set_field:3->reg1,resubmit(,1),output:2", "table=1,actions=10,99",
                    flows1=("ip,nw_src=1.2.3.0/24,actions=drop",))
    assert switch.trace("in_port=1,udp,nw_src=1.2.3.4,nw_ttl=9") == (
        "Flow: udp,in_port=1,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=1.2.3.4,"
        "nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=9,nw_frag=no,tp_src=0,tp_dst=0\n"
        "\n"
        'bridge("br0")\n'
        "-------------\n"
        " 0. in_port=1, priority 32768, cookie 0x5\n"
        "    set_field:0x3->reg1\n"
        "    resubmit(,1)\n"
        "     1. priority 32768\n"
        "            output:10\n"
        "\n"
        '            bridge("br1")\n'
        "            -------------\n"
        "                 0. ip,nw_src=1.2.3.0/24, priority 32768\n"
        "                    drop\n"
        "            output:99\n"
        "             >> Nonexistent output port\n"
        "    output:2\n"
        "\n"
        "Final flow: udp,reg1=0x3,in_port=1,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,"
        "nw_src=1.2.3.4,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=9,nw_frag=no,tp_src=0,tp_dst=0\n"
        "Megaflow: recirc_id=0,eth,ip,in_port=1,nw_src=1.2.3.0/24,nw_frag=no\n"
        "Datapath actions: 2"
    )


def test_nesting_that_is_too_deep_ends_the_translation() -> None:
    lines = traced("in_port=1,actions=2,resubmit(,0)").trace("in_port=1").splitlines()
    assert sum(line.endswith("resubmit(,0)") for line in lines) == 65
    assert any(line.endswith(" >>>> over max translation depth 64 <<<<") for line in lines)
    assert lines[-2:] == ["Datapath actions: drop", "Translation failed (Recursion too deep), packet is dropped."]


def test_too_many_resubmits_end_the_translation() -> None:
    flows = [f"table={t},actions=" + ",".join([f"resubmit(,{t + 1})"] * 9) for t in range(5)]
    text = traced(*flows).trace("in_port=1")
    assert " >>>> over 4096 resubmit actions <<<<\n" in text
    assert text.endswith("\nTranslation failed (Too many resubmits), packet is dropped.")


def test_a_trace_that_would_not_end_is_cut() -> None:
    notes = ",".join(["note:00"] * 1000)
    flows = [f"table={t},actions=" + ",".join([f"resubmit(,{t + 1})"] * 8) + f",{notes}" for t in range(4)]
    text = traced(*flows).trace("in_port=1")
    assert " >>>> too much happens, the rest is left out <<<<\n" in text
    assert len(text.splitlines()) < 51_000
    assert "\nDatapath actions: drop\n" in text


def test_the_datapath_form_names_ports_of_the_datapath() -> None:
    switch = traced("actions=drop")
    words = "eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02),eth_type(0x0806),arp(sip=1.1.1.1,tip=2.2.2.2,op=1)"
    same = "arp,in_port=3,dl_src=0:0:0:0:0:1,dl_dst=0:0:0:0:0:2,arp_spa=1.1.1.1,arp_tpa=2.2.2.2,arp_op=1"
    expected = switch.trace(same)
    for place in ("in_port(3)", "in_port(p3)"):
        assert switch.words(f"{place},{words}") == expected
        assert switch.words("ovs-netdev", f"{place},{words}") == expected
    assert 'bridge("br1")' in switch.words("in_port(q2)")
    assert switch.words("in_port(br1)", UDP).startswith("Flow: udp,in_port=LOCAL,")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["br0"], "syntax error at br0 (or the bridge name was omitted)"),
        (["in_port(1),zzz"], "syntax error at zzz (or the bridge name was omitted)"),
        (["in_port(1)zzz"], "syntax error at zzz (or the bridge name was omitted)"),
        (["in_port(zz)"], "syntax error at in_port(zz) (or the bridge name was omitted)"),
        (["in_port(1),eth(src=1)"], "syntax error at eth(src=1) (or the bridge name was omitted)"),
        (["in_port=1"], "syntax error at in_port=1 (or the bridge name was omitted)"),
        (["in_port(99)"], "no OpenFlow port for datapath port 99"),
        (["eth()"], "no OpenFlow port for datapath port 4294967295"),
        (["br9", "in_port=1"], "br9: unknown bridge"),
        (["br9", "in_port(1)"], "Cannot find the datapath"),
        (["br0", ""], "Cannot find the datapath"),
        (["br0", "in_port=1", "00"], "Packet data too short for Ethernet"),
        (["br0", "in_port=1", "zz"], "Trailing garbage in packet data"),
        (["br0", "in_port=1", UDP, "-generate"], "Syntax error"),
        (["br0", "in_port=1", "a", "b"], "too many arguments"),
        (["br0", "in_port=1", "--zz"], "--zz: unknown option"),
        (["br0", "in_port=1", "--ct-next"], "Missing argument for option --ct-next"),
        (["br0", "in_port=1", "--ct-next", "zz"], "zz: unknown connection tracking state flag"),
        (["br0", "dl_vlan=x"], "Bad openflow flow syntax: dl_vlan=x: bad value for dl_vlan (x: 'x' is not a number)"),
    ],
)
def test_mistakes_are_named(words: list[str], reason: str) -> None:
    assert traced("actions=drop").words(*words) == reason


@given(st.data())
def test_the_datapath_form_of_a_key_is_read_as_it_is_written(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([packet for case in CASES[:4] for packet in case.packets if " " not in packet]))
    key = parse_exact(text)[:KEY_BYTES]
    key = put_slot(key, "in_port", data.draw(st.integers(0, 0xFFFFFFFF)))
    if not slot_of(key, "eth_type"):
        key = put_slot(key, "eth_type", 0x1234)
    assert parse_key(format_key(key, b"\xff" * KEY_BYTES)) == key


@given(st.data())
def test_the_key_of_a_megaflow_is_read_with_its_masks_left_out(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([packet for case in CASES[:4] for packet in case.packets if " " not in packet]))
    key = put_slot(parse_exact(text)[:KEY_BYTES], "in_port", 7)
    mask = data.draw(st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES))
    for name in ("in_port", "eth_type", "nw_proto", "nw_frag"):
        mask = put_slot(mask, name, (1 << 8 * PLACES[name].slot.n_bytes) - 1)
    masked = bytes(k & m for k, m in zip(key, mask, strict=True))
    for name in ("vlan_tci", "vlan2_tci"):
        masked = put_slot(masked, name, slot_of(key, name) and slot_of(masked, name) | 0x1000)
    read = parse_key(format_key(masked, mask))
    for name in ("eth_src", "eth_dst", "ip_src", "ipv6_dst", "nw_ttl", "tp_src", "arp_sha", "vlan_tci", "in_port"):
        assert slot_of(read, name) in (slot_of(masked, name), 0), name


@given(st.text(alphabet="in_port(1),eth=:/x0afdlvncip4 ", max_size=60))
def test_any_text_is_a_key_or_a_named_mistake(text: str) -> None:
    try:
        assert len(parse_key(text)) == KEY_BYTES
    except DatapathFlowError as error:
        assert text.endswith(error.rest) or error.rest in text


@pytest.mark.parametrize("text", [packet for case in CASES[:8] for packet in case.packets if " " not in packet])
def test_an_exact_flow_is_read_as_it_is_written(text: str) -> None:
    key = parse_exact(text)
    shown = format_exact(key).replace("dl_vlan1=", "x=").replace(",vlan_tci1=0x0000", "").replace("nw_frag=no,", "")
    assert len(key) == FLOW_BYTES and slot_of(key, "eth_type") == slot_of(parse_exact(text), "eth_type")
    assert "=" in shown and all(slot_of(key, name) == 0 for name in PLACES if PLACES[name].slot.scope == TUNNEL)
