"""Bridges, ports and their settings (OF.10, OF.22, L2.04): precise refusals, nothing left behind."""

from __future__ import annotations

from typing import Any

import pytest

from datapath.drops import number
from ofproto.switch import SwitchHandle
from tests.ofproto.xlate_rig import LOCAL, NORMAL, Rig, output, packet
from vslib.errors import ConfigError, InternalError


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.mark.parametrize("number", [0, 0xFFFFFF00, 0xFFFFFFFD, 0xFFFFFFFF])
def test_a_reserved_number_is_refused(rig: Rig, number: int) -> None:
    with pytest.raises(ConfigError):
        rig.br.add_port(number, 50, "x")


def test_taken_numbers_are_refused_on_all_bridges(rig: Rig) -> None:
    other = rig.bridge("br1")
    with pytest.raises(ConfigError):
        rig.br.add_port(1, 50, "x")
    with pytest.raises(ConfigError):
        other.add_port(1, 1, "x")
    with pytest.raises(ConfigError):
        other.add_port(1, 65536, "x")
    with pytest.raises(ConfigError):
        rig.bridge("br0")


def test_ports_are_listed_by_number_and_a_removed_one_can_come_back(rig: Rig) -> None:
    rig.br.del_port(2)
    assert rig.br.ports() == [(1, 1, "p1"), (3, 3, "p3"), (LOCAL, 100, "br0")]
    rig.br.add_port(2, 2, "again")
    rig.flow(output(2))
    assert rig.send().text == "2"


def test_unknown_ports_bridges_and_settings_are_refused(rig: Rig) -> None:
    for call in (
        lambda: rig.br.del_port(77),
        lambda: rig.br.set_port(77, config=1),
        lambda: rig.br.set_port(1, vlan_mode="qinq"),
        lambda: rig.br.set_port(1, vlan_mode="access", tag=4096),
        lambda: rig.br.set_port(1, vlan_mode="trunk", trunks=[5000]),
        lambda: rig.switch.del_bridge("nope"),
        lambda: rig.switch.add_bridge("br9", b"123"),
        lambda: rig.br.configure(mac=b"1"),
    ):
        with pytest.raises(ConfigError):
            call()


def test_values_out_of_range_raise_before_the_lock_is_taken(rig: Rig) -> None:
    for call in (
        lambda: rig.br.set_port(1, config=-1),
        lambda: rig.br.configure(mac_table_size=-1),
        lambda: rig.br.configure(frag_mode=1 << 40),
    ):
        with pytest.raises(OverflowError):
            call()
    rig.br.set_port(1, config=0)  # would hang if the lock were still held


def test_a_change_without_effect_makes_no_version(rig: Rig) -> None:
    version = rig.switch.version
    rig.br.set_port(1, config=0, link_up=False)
    rig.br.fdb_flush()
    assert rig.switch.version == version
    rig.br.set_port(1, config=16)
    assert rig.switch.version == version + 1


def test_a_deleted_bridge_refuses_everything_but_does_not_crash(rig: Rig) -> None:
    br = rig.br
    rig.switch.del_bridge("br0")
    with pytest.raises(InternalError):
        br.add_port(5, 5, "x")
    with pytest.raises(InternalError):
        br.fdb()
    assert rig.send().drop == "miss_no_bridge"


def test_a_bridge_gets_a_new_id_and_its_name_is_known_by_it(rig: Rig) -> None:
    first = rig.br.id
    rig.switch.del_bridge("br0")
    again = rig.bridge("br0")
    assert again.id != first
    assert (rig.switch.bridge_name(first), rig.switch.bridge_name(again.id)) == (None, "br0")


def test_a_port_can_change_its_datapath_port(rig: Rig) -> None:
    rig.flow(output(2))
    rig.br.set_port(2, dp_port=42)
    assert rig.send().text == "42"
    assert rig.send(packet(in_port=42)).drop == "same_port"


def test_hundreds_of_bridges_keep_apart() -> None:
    switch = SwitchHandle()
    bridges = [switch.add_bridge(f"br{n}", bytes(6)) for n in range(200)]
    for n, bridge in enumerate(bridges):
        bridge.configure(standalone_normal=True)
        bridge.add_port(1, 2 * n, "in")
        bridge.add_port(2, 2 * n + 1, "out")
    for n in (0, 77, 199):
        _, ops, _, _ = switch.translate(packet(in_port=2 * n))
        assert [op[3] for op in ops] == [2 * n + 1]


def test_an_oversized_key_is_refused(rig: Rig) -> None:
    with pytest.raises(ConfigError):
        rig.switch.translate(bytes(585))
    rig.flow(output(NORMAL))
    assert rig.switch.translate(b"")[2] == number("miss_no_bridge")


def test_settings_that_stay_as_they_are_leave_the_megaflows_alone(rig: Rig) -> None:
    settings: dict[str, Any] = {
        "mac": bytes(6), "mac_aging_s": 300, "mac_table_size": 8192, "forward_bpdu": False, "standalone_normal": False,
        "miss_punt": False, "ttl_punt": False, "frag_mode": 0,
    }  # fmt: skip
    before = rig.switch.version
    rig.br.configure()
    rig.br.configure(**settings)
    assert rig.switch.version == before
    for name, value in settings.items():
        version = rig.switch.version
        rig.br.configure(**{name: b"\2" * 6 if isinstance(value, bytes) else type(value)(value + 1)})
        assert rig.switch.version == version + 1, name
