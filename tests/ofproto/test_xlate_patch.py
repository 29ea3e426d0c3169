"""Patch ports: the packet goes on in the peer's bridge and comes back unchanged (OF.25, OF.09)."""

from __future__ import annotations

import pytest

from ofproto.switch import BridgeHandle
from tests.ofproto.xlate_rig import (
    EXIT,
    NORMAL,
    SET_VLAN_VID,
    Rig,
    act,
    output,
    packet,
    resubmit,
    set_field,
    value,
    write_actions,
)
from vslib.errors import ConfigError


@pytest.fixture
def rig() -> Rig:
    made = Rig(3, local=False)
    made.far = made.bridge("br1")
    made.far.add_port(5, 5, "p5")
    made.patch(9, made.far, 8)
    return made


def far(rig: Rig) -> BridgeHandle:
    return rig.far


def test_output_to_a_patch_port_continues_in_the_peer(rig: Rig) -> None:
    rig.flow(output(9), output(2))
    rig.flow(output(5), bridge=far(rig), in_port=8)
    assert rig.send().text == "5 2"


def test_what_the_peer_changes_is_taken_back_and_matched(rig: Rig) -> None:
    rig.flow(output(9), output(2))
    rig.flow(set_field("eth_dst", 7), output(5), bridge=far(rig))
    result = rig.send()
    assert result.text == "set(eth_dst=000000000007) 5 set(eth_dst=02000000000b) 2"
    assert result.reads("eth_dst") == 0xFFFFFFFFFFFF


def test_registers_metadata_and_the_action_set_stay_on_their_side(rig: Rig) -> None:
    rig.flow(set_field("reg0", 1), set_field("metadata", 1), write_actions(output(3)), output(9), resubmit(1))
    rig.flow(output(2), table=1, regs=(1).to_bytes(4, "big") + bytes(124), metadata=1)
    rig.flow(
        output(5),
        set_field("reg0", 9),
        write_actions(set_field("eth_dst", 1)),
        bridge=far(rig),
        regs=bytes(128),
        metadata=0,
    )
    assert rig.send().text == "5 2 3"


def test_the_peer_has_an_action_set_and_an_exit_of_its_own(rig: Rig) -> None:
    rig.flow(output(9), output(2))
    rig.flow(write_actions(output(5)), bridge=far(rig))
    assert rig.send().text == "5 2"
    rig.flow(act(EXIT), bridge=far(rig))
    assert rig.send().text == "2"


def test_an_error_in_the_peer_does_not_drop_the_packet_here(rig: Rig) -> None:
    rig.flow(output(9), output(2))
    rig.flow(resubmit(0), bridge=far(rig))
    assert rig.send().text == "2"


def test_normal_learns_in_both_bridges(rig: Rig) -> None:
    rig.flow(output(NORMAL))
    rig.flow(output(NORMAL), bridge=far(rig))
    assert rig.send().text == "2 3 5"
    assert [row[0] for row in rig.br.fdb(0)] == [1] and [row[0] for row in far(rig).fdb(0)] == [8]
    assert (
        rig.send(packet(in_port=5, eth_src=bytes.fromhex("02000000000b"), eth_dst=bytes.fromhex("02000000000a"))).text
        == "1"
    )


def test_a_loop_of_patch_ports_ends(rig: Rig) -> None:
    rig.patch(10, far(rig), 11)
    rig.flow(output(NORMAL))
    rig.flow(output(NORMAL), bridge=far(rig))
    assert rig.send().drop in ("", "too_many_actions")


def test_a_tag_for_the_peer_does_not_show_here(rig: Rig) -> None:
    rig.flow(value(SET_VLAN_VID, 5, 1), output(9), output(2))
    rig.flow(value(SET_VLAN_VID, 6), output(5), bridge=far(rig), vlan_tci=0x1005)
    assert rig.send().text == "push(8100,1006) 5 set(vlan_tci=0005/efff) 2"


@pytest.mark.parametrize(("number", "config", "drop"), [(9, 32, "port_no_forward"), (9, 1, "port_no_forward")])
def test_port_configuration_holds_for_patch_ports(rig: Rig, number: int, config: int, drop: str) -> None:
    rig.flow(output(9))
    rig.flow(output(5), bridge=far(rig))
    rig.br.set_port(number, config=config)
    assert rig.send().drop == drop


def test_the_peer_may_refuse_to_receive(rig: Rig) -> None:
    rig.flow(output(9))
    rig.flow(output(5), bridge=far(rig))
    far(rig).set_port(8, config=4)
    assert rig.send().drop == "rx_port_disabled"


def test_a_patch_port_without_peer_drops_by_name(rig: Rig) -> None:
    rig.flow(output(9))
    far(rig).del_port(8)
    assert rig.send().drop == "patch_no_peer"
    rig.br.set_peer(9, None)
    assert rig.send().drop == "patch_no_peer"


def test_only_two_patch_ports_can_be_peers(rig: Rig) -> None:
    with pytest.raises(ConfigError):
        rig.br.set_peer(9, far(rig), 5)
    with pytest.raises(ConfigError):
        rig.br.set_peer(9, rig.br, 9)


def test_a_change_in_the_peer_touches_what_went_through_it(rig: Rig) -> None:
    rig.flow(output(9))
    rig.flow(output(5), bridge=far(rig))
    tags, version = rig.send().tags, rig.switch.version
    far(rig).set_port(5, config=32)
    assert rig.switch.affected(version, rig.switch.version, tags)
