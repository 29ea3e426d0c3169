"""Actions that change headers, and what they add to the mask (AC.09-AC.15, AC.19, AC.20, DP.05)."""

from __future__ import annotations

import pytest

from tests.ofproto.xlate_rig import (
    CONTROLLER,
    DEC_TTL,
    MAC_C,
    NOTE,
    PUSH_VLAN,
    SET_ETH_DST,
    SET_ETH_SRC,
    SET_IP_DSCP,
    SET_IP_ECN,
    SET_IP_TTL,
    SET_IPV4_DST,
    SET_IPV4_SRC,
    SET_L4_DST,
    SET_L4_SRC,
    SET_TUNNEL,
    SET_VLAN_PCP,
    SET_VLAN_VID,
    STACK_POP,
    STACK_PUSH,
    STRIP_VLAN,
    Rig,
    act,
    arp,
    mac,
    move,
    output,
    packet,
    set_field,
    stack,
    value,
    write_actions,
)

TAGGED = {"vlan_tci": 0x3005, "vlan_tpid": 0x8100}
DOUBLE = {**TAGGED, "vlan2_tci": 0x1007, "vlan2_tpid": 0x8100}
DEC = act(DEC_TTL, bytes(2))


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.mark.parametrize(
    ("acts", "expected"),
    [
        ([mac(SET_ETH_SRC, MAC_C)], "set(eth_src=02000000000c) 2"),
        ([mac(SET_ETH_DST, MAC_C)], "set(eth_dst=02000000000c) 2"),
        ([value(SET_IPV4_SRC, 0x01020304)], "set(ip_src=01020304) 2"),
        ([value(SET_IPV4_DST, 0x01020304)], "set(ip_dst=01020304) 2"),
        ([value(SET_IP_DSCP, 0x28)], "set(nw_tos=28/fc) 2"),
        ([value(SET_IP_ECN, 3)], "set(nw_tos=03/03) 2"),
        ([value(SET_IP_DSCP, 0x28), value(SET_IP_ECN, 1)], "set(nw_tos=29) 2"),
        ([value(SET_IP_TTL, 9)], "set(nw_ttl=09) 2"),
        ([value(SET_L4_SRC, 5), value(SET_L4_DST, 6)], "set(tp_src=0005) set(tp_dst=0006) 2"),
        ([DEC], "set(nw_ttl=3f) 2"),
        ([DEC, DEC], "set(nw_ttl=3e) 2"),
        ([set_field("eth_dst", 0xAA00, 0xFF00)], "set(eth_dst=00000000aa00/00000000ff00) 2"),
        ([set_field("tcp_dst", 443)], "set(tp_dst=01bb) 2"),
        ([set_field("pkt_mark", 3)], "mark(0x3/0xffffffff) 2"),
        ([move("eth_src", "eth_dst", 48)], "set(eth_dst=02000000000a) 2"),
        ([stack(STACK_PUSH, "eth_src", 48), stack(STACK_POP, "eth_dst", 48)], "set(eth_dst=02000000000a) 2"),
        ([stack(STACK_POP, "eth_dst", 48)], "2"),
        ([act(SET_TUNNEL, (5).to_bytes(8, "little"))], "2"),
        ([act(NOTE, b"\x03\x00abc")], "2"),
        ([set_field("reg0", 1), set_field("metadata", 2)], "2"),
    ],
)
def test_rewrite_of_tcp_over_ipv4(rig: Rig, acts: list[bytes], expected: str) -> None:
    rig.flow(*acts, output(2))
    assert rig.send().text == expected


@pytest.mark.parametrize(
    "acts",
    [
        [value(SET_IPV4_SRC, 1)],
        [value(SET_IP_DSCP, 4)],
        [value(SET_IP_TTL, 1)],
        [value(SET_L4_SRC, 1)],
        [DEC],
        [set_field("tcp_dst", 1)],
        [set_field("ipv6_src", 1)],
        [move("tcp_src", "reg0", 16)],
    ],
)
def test_a_header_that_the_packet_does_not_have_is_left_alone(rig: Rig, acts: list[bytes]) -> None:
    rig.flow(*acts, output(2))
    assert rig.send(arp()).text == "2"


def test_later_fragments_have_no_ports_to_write(rig: Rig) -> None:
    rig.flow(value(SET_L4_DST, 1), output(2))
    assert rig.send(packet(nw_frag=3)).text == "2"
    assert rig.send(packet(nw_frag=1)).text == "set(tp_dst=0001) 2"


@pytest.mark.parametrize(
    ("acts", "slots", "expected"),
    [
        ([value(SET_VLAN_VID, 7, 1)], {}, "push(8100,1007) 2"),
        ([value(SET_VLAN_VID, 7)], {}, "2"),
        ([value(SET_VLAN_VID, 7)], TAGGED, "set(vlan_tci=0007/0fff) 2"),
        ([value(SET_VLAN_PCP, 7)], TAGGED, "set(vlan_tci=e000/e000) 2"),
        ([value(SET_VLAN_PCP, 3, 1)], {}, "push(8100,7000) 2"),
        ([act(STRIP_VLAN)], {}, "2"),
        ([act(STRIP_VLAN)], TAGGED, "pop 2"),
        ([act(STRIP_VLAN)], DOUBLE, "pop 2"),
        ([act(STRIP_VLAN), act(STRIP_VLAN)], DOUBLE, "pop pop 2"),
        ([value(PUSH_VLAN, 0x88A8)], TAGGED, "push(88a8,1000) 2"),
        ([value(PUSH_VLAN, 0x8100), value(SET_VLAN_VID, 9)], DOUBLE, "push(8100,1009) 2"),
        ([value(PUSH_VLAN, 0x8100), act(STRIP_VLAN)], TAGGED, "2"),
        ([act(STRIP_VLAN), value(SET_VLAN_VID, 4, 1)], TAGGED, "pop push(8100,1004) 2"),
        ([set_field("vlan_tci", 0x1006)], {}, "push(8100,1006) 2"),
        ([set_field("vlan_tci", 0)], TAGGED, "pop 2"),
        ([output(3), act(STRIP_VLAN)], TAGGED, "3 pop 2"),
    ],
)
def test_vlan(rig: Rig, acts: list[bytes], slots: dict[str, int], expected: str) -> None:
    rig.flow(*acts, output(2))
    assert rig.send(packet(**slots)).text == expected


def test_more_tags_than_can_be_kept_end_the_translation(rig: Rig) -> None:
    rig.flow(output(2), *[value(PUSH_VLAN, 0x8100)] * 9)
    assert rig.send().drop == "invalid_action"


def test_a_field_that_is_overwritten_unread_is_not_matched(rig: Rig) -> None:
    rig.flow(set_field("eth_dst", 5), set_field("ip_src", 6), act(STRIP_VLAN), output(2), table=0, eth_type=0x800)
    result = rig.send(packet(**TAGGED))
    assert [result.reads(name) for name in ("eth_dst", "ip_src", "vlan_tci")] == [0, 0, 0x1000]


def test_a_match_on_a_written_field_reads_nothing_of_the_packet(rig: Rig) -> None:
    from tests.ofproto.xlate_rig import resubmit

    rig.flow(set_field("eth_dst", 5), resubmit(1))
    rig.flow(output(2), table=1, eth_dst=5)
    result = rig.send()
    assert (result.text, result.reads("eth_dst")) == ("set(eth_dst=000000000005) 2", 0)


def test_a_field_known_to_hold_the_value_is_not_written(rig: Rig) -> None:
    rig.flow(set_field("nw_ttl", 64), output(2), nw_ttl=64)
    assert rig.send().text == "2"


def test_changes_between_outputs_are_sent_each_in_its_turn(rig: Rig) -> None:
    rig.flow(output(2), set_field("eth_dst", 1), output(3), set_field("eth_dst", 2), output(2))
    assert rig.send().text == "2 set(eth_dst=000000000001) 3 set(eth_dst=000000000002) 2"


def test_changes_after_the_last_output_cost_nothing(rig: Rig) -> None:
    rig.flow(output(2), set_field("eth_dst", 1))
    assert rig.send().text == "2"


@pytest.mark.parametrize("ttl", [0, 1])
def test_an_expired_ttl_ends_the_list_and_names_the_drop(rig: Rig, ttl: int) -> None:
    rig.flow(DEC, output(2))
    result = rig.send(packet(nw_ttl=ttl))
    assert (result.text, result.reads("nw_ttl")) == ("drop(ttl_expired,0)", 0xFF)
    rig.br.configure(ttl_punt=True)
    assert rig.send(packet(nw_ttl=ttl)).text == "punt"


def test_the_caller_goes_on_after_an_expired_ttl(rig: Rig) -> None:
    from tests.ofproto.xlate_rig import resubmit

    rig.flow(resubmit(1), output(3))
    rig.flow(DEC, output(2), table=1)
    assert rig.send(packet(nw_ttl=1)).text == "3"


def test_a_packet_in_matches_the_mark_it_carries(rig: Rig) -> None:
    rig.flow(output(CONTROLLER), write_actions(output(2)))
    assert rig.send().reads("pkt_mark") == 0xFFFFFFFF
