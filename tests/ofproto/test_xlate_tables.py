"""Tables: goto, resubmit and its limits, metadata, the action set, misses, versions and tags.

OF.01, OF.10, OF.12, OF.24, AC.21, AC.22, AC.28, AC.40.
"""

from __future__ import annotations

import pytest

from ofproto.xlate.testing import del_flow, lookup_counts
from tests.ofproto.xlate_rig import (
    CLEAR_ACTIONS,
    CONTROLLER,
    DEC_TTL,
    EXIT,
    NORMAL,
    PUSH_VLAN,
    SET_VLAN_VID,
    STACK_PUSH,
    STRIP_VLAN,
    Rig,
    act,
    full_mask,
    goto,
    key,
    metadata,
    output,
    packet,
    resubmit,
    set_field,
    stack,
    value,
    write_actions,
)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_goto_and_metadata(rig: Rig) -> None:
    rig.flow(metadata(0x1200, 0xFF00), goto(5))
    rig.flow(output(2), table=5, metadata=0x1200)
    assert rig.send().text == "2"


def test_resubmit_changes_the_port_for_the_lookup_only(rig: Rig) -> None:
    rig.flow(resubmit(255, 2), in_port=1)
    rig.flow(output(0xFFFFFFF8), resubmit(1), in_port=2)
    rig.flow(output(3), table=1, in_port=1)
    rig.flow(output(2), table=1, in_port=2)
    assert rig.send().text == "1 3"


def test_resubmit_returns_and_goes_on(rig: Rig) -> None:
    rig.flow(resubmit(1), output(3))
    rig.flow(set_field("reg0", 1), output(2), table=1)
    assert rig.send().text == "2 3"


def test_64_nested_resubmits_are_allowed_and_one_more_drops_the_packet(rig: Rig) -> None:
    for left, drop in ((63, ""), (64, "recursion_too_deep")):
        rig.flow(output(2))  # replaced below; here so that a bug shows as an output
        for n in range(66):
            rig.flow(set_field("reg0", n + 1), resubmit(0), priority=200, regs=n.to_bytes(4, "big") + bytes(124))
        rig.flow(output(2), priority=300, regs=(left + 1).to_bytes(4, "big") + bytes(124))
        assert rig.send().drop == drop
        rig = Rig()


def test_4096_resubmits_are_allowed_and_one_more_drops_the_packet(rig: Rig) -> None:
    rig.flow(*[resubmit(1)] * 64, output(2))
    rig.flow(*[resubmit(2)] * 63, table=1)
    rig.flow(table=2)
    assert rig.send().drop == ""  # 64 + 64 * 63 = 4096
    rig.flow(*[resubmit(1)] * 64, resubmit(2), output(2))
    assert rig.send().drop == "too_many_resubmits"


def test_too_many_datapath_actions_drop_the_packet(rig: Rig) -> None:
    rig.flow(*[output(2)] * 4097)
    assert rig.send().drop == "too_many_actions"


def test_a_full_stack_drops_the_packet(rig: Rig) -> None:
    rig.flow(output(2), *[stack(STACK_PUSH, "reg0", 32)] * 513)
    assert rig.send().drop == "stack_too_deep"


@pytest.mark.parametrize(
    ("acts", "expected"),
    [
        ([write_actions(output(2))], "2"),
        ([write_actions(output(2)), write_actions(output(3))], "3"),
        ([write_actions(set_field("eth_dst", 1))], "drop(no_output,0)"),
        ([write_actions(output(2)), act(CLEAR_ACTIONS)], "drop(no_output,0)"),
        ([write_actions(output(2)), act(EXIT)], "drop(no_output,0)"),
        ([output(3), write_actions(output(2))], "3 2"),
        ([write_actions(output(2), set_field("nw_ttl", 5), act(DEC_TTL, bytes(2)))], "set(nw_ttl=05) 2"),
        ([write_actions(value(SET_VLAN_VID, 9, 1), output(2), value(PUSH_VLAN, 0x8100))], "push(8100,1009) 2"),
        ([write_actions(value(PUSH_VLAN, 0x8100), output(2), act(STRIP_VLAN))], "push(8100,1000) 2"),
        ([write_actions(set_field("eth_dst", 1), output(2), set_field("eth_dst", 2))], "set(eth_dst=000000000002) 2"),
        ([write_actions(resubmit(7), output(2))], "2"),
        ([write_actions(resubmit(7))], "3"),
        ([write_actions(output(NORMAL))], "2 3 100"),
    ],
)
def test_action_set(rig: Rig, acts: list[bytes], expected: str) -> None:
    rig.flow(*acts)
    rig.flow(output(3), table=7)
    assert rig.send().text == expected


def test_the_action_set_runs_after_the_last_table(rig: Rig) -> None:
    rig.flow(write_actions(output(2)), goto(1))
    rig.flow(output(3), table=1)
    assert rig.send().text == "3 2"


def test_exit_ends_all_levels(rig: Rig) -> None:
    rig.flow(resubmit(1), output(3))
    rig.flow(output(2), act(EXIT), output(3), table=1)
    assert rig.send().text == "2"


def test_a_miss_drops_punts_or_falls_back_to_normal(rig: Rig) -> None:
    assert rig.send().text == "drop(table_miss,0)"
    rig.br.configure(miss_punt=True)
    assert rig.send().text == "punt"
    rig.br.set_port(1, config=64)  # OFPPC_NO_PACKET_IN
    assert rig.send().text == "drop(table_miss,0)"
    rig.br.configure(standalone_normal=True)
    assert rig.send().text == "2 3 100"


def test_a_miss_behind_goto_punts_and_behind_resubmit_does_not(rig: Rig) -> None:
    rig.br.configure(miss_punt=True)
    rig.flow(goto(3), in_port=1)
    rig.flow(resubmit(3), in_port=2)
    assert rig.send().text == "punt"
    assert rig.send(packet(in_port=2)).text == "drop(table_miss,3)"


def test_fragments_follow_the_mode_of_the_bridge(rig: Rig) -> None:
    rig.flow(output(2), tp_dst=80)
    rig.flow(output(3), priority=1)
    assert rig.send(packet(nw_frag=1)).text == "3"
    rig.br.configure(frag_mode=3)
    assert rig.send(packet(nw_frag=1)).text == "2"
    rig.br.configure(frag_mode=1)
    assert rig.send(packet(nw_frag=1)).text == "drop(explicit_drop,0)"


def test_tags_tell_the_tables_looked_at_apart(rig: Rig) -> None:
    rig.flow(resubmit(1), in_port=1)
    rig.flow(output(2), table=1)
    rig.flow(output(2), table=2)
    tags, version = rig.send().tags, rig.switch.version
    rig.flow(output(3), table=2, priority=7)
    assert not rig.switch.affected(version, rig.switch.version, tags)  # table 2 was not looked at
    version = rig.switch.version
    rig.flow(output(3), table=1, priority=7)
    assert rig.switch.affected(version, rig.switch.version, tags)


def test_a_removed_flow_is_gone_with_its_version(rig: Rig) -> None:
    rig.flow(output(2), in_port=1)
    assert rig.send().text == "2"
    del_flow(rig.br, 0, 100, key(in_port=1), full_mask("in_port"))
    assert rig.send().drop == "table_miss"
    assert lookup_counts(rig.br, 0) == (0, 0)  # nothing was credited: no packet ran


def test_a_packet_in_in_the_middle_keeps_the_order(rig: Rig) -> None:
    rig.flow(output(2), output(CONTROLLER), output(3))
    assert rig.send().text == "2 punt 3"
