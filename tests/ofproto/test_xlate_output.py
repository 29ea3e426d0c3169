"""Actions that send: ports, port configuration, controller, queues (OF.21-OF.23, AC.01, AC.02, AC.05, AC.07)."""

from __future__ import annotations

import struct

import pytest

from datapath.drops import number
from ofproto.switch import SwitchHandle
from tests.ofproto.xlate_rig import (
    ALL,
    ANY,
    CONTROLLER,
    ENQUEUE,
    FLOOD,
    IN_PORT,
    LOCAL,
    POP_QUEUE,
    SET_QUEUE,
    TABLE,
    Rig,
    act,
    controller,
    output,
    output_reg,
    packet,
    set_field,
    value,
    write_actions,
)

NO_FLOOD, NO_FWD, NO_RECV, NO_RECV_STP, PORT_DOWN = 16, 32, 4, 8, 1
STP = bytes.fromhex("0180c2000000")


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.mark.parametrize(
    ("acts", "expected"),
    [
        ([output(2)], "2"),
        ([output(2), output(3)], "2 3"),
        ([output(1)], "drop(same_port,0)"),
        ([output(IN_PORT)], "1"),
        ([output(LOCAL)], "100"),
        ([output(ALL)], "2 3 100"),
        ([output(FLOOD)], "2 3 100"),
        ([output(ANY)], "drop(no_output,0)"),
        ([output(77)], "drop(not_in_pipeline,0)"),
        ([output(TABLE)], "drop(invalid_action,0)"),
        ([], "drop(explicit_drop,0)"),
        ([set_field("in_port_oxm", 0), output(1)], "1"),
        ([set_field("reg0", 3), output_reg("reg0", 16)], "3"),
        ([set_field("reg0", 0xFFFB), output_reg("reg0", 16)], "2 3 100"),
        ([act(ENQUEUE, struct.pack("=II", 2, 7)), output(3)], "priority(7) 2 priority(0) 3"),
        ([value(SET_QUEUE, 5), output(2), act(POP_QUEUE), output(3)], "priority(5) 2 priority(0) 3"),
        ([output(CONTROLLER)], "punt"),
    ],
)
def test_output(rig: Rig, acts: list[bytes], expected: str) -> None:
    rig.flow(*acts)
    assert rig.send().text == expected


def test_an_action_unknown_to_translation_is_a_named_drop(rig: Rig) -> None:
    rig.flow(act(200))
    assert rig.send().drop == "invalid_action"


@pytest.mark.parametrize(
    ("config", "expected"), [(NO_FLOOD, "3 100 2 3 100"), (NO_FWD, "3 100 3 100"), (PORT_DOWN, "3 100 3 100")]
)
def test_port_configuration_of_the_output(rig: Rig, config: int, expected: str) -> None:
    rig.br.set_port(2, config=config)
    rig.flow(output(FLOOD), output(ALL))
    assert rig.send().text == expected


@pytest.mark.parametrize(
    ("config", "dst", "drop"),
    [
        (NO_RECV, bytes(6), "rx_port_disabled"),
        (NO_RECV, STP, ""),
        (NO_RECV_STP, STP, "rx_port_disabled"),
        (NO_RECV_STP, bytes(6), ""),
        (PORT_DOWN, STP, "rx_port_disabled"),
    ],
)
def test_port_configuration_of_the_input(rig: Rig, config: int, dst: bytes, drop: str) -> None:
    rig.br.set_port(1, config=config)
    rig.flow(output(2))
    result = rig.send(packet(eth_dst=dst))
    assert (result.drop, result.reads("eth_dst")) == (drop, 0xFFFFFFFFFFFF)


def test_a_mask_without_reads_holds_only_what_is_always_matched(rig: Rig) -> None:
    rig.flow(output(2))
    result = rig.send(packet(eth_type=0x88B5))
    used = {name for name in ("in_port", "recirc_id", "packet_type", "eth_type") if result.reads(name)}
    assert (
        used == {"in_port", "recirc_id", "packet_type", "eth_type"}
        and sum(map(int.bit_count, result.mask)) == 32 * 3 + 16
    )
    assert rig.send().reads("nw_frag") == 0xFF


@pytest.mark.parametrize(
    ("acts", "priority", "reason"),
    [
        ([output(CONTROLLER)], 1, 1),
        ([output(CONTROLLER)], 0, 6),
        ([controller()], 0, 6),
        ([controller(reason=0)], 1, 0),
        ([write_actions(output(CONTROLLER))], 0, 3),
    ],
)
def test_reason_of_a_packet_in(rig: Rig, acts: list[bytes], priority: int, reason: int) -> None:
    from datapath.datapath import Datapath
    from datapath.ports.pipe import PipePort

    rig.flow(*acts, priority=priority)
    dp = Datapath(inline=True)
    dp.set_miss_hook(rig.switch.miss_hook)
    port = PipePort("p1")
    dp.add_port(port, 1)
    dp.start()
    port.inject(bytes(60))
    dp.step()
    dp.stop()
    assert [punt.reason for punt in rig.switch.poll_punts()] == [reason]


def test_a_port_of_no_bridge_is_not_translated() -> None:
    assert SwitchHandle().translate(packet(in_port=9))[2] == number("miss_no_bridge")
