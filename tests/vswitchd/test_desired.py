"""The database read into dataclasses: defaults, and wrong values that become a line for the log (DB.43)."""

from __future__ import annotations

import uuid
from types import SimpleNamespace

import pytest

from vswitchd import desired

BRIDGE = {
    "ports": (), "controller": (), "fail_mode": None, "protocols": (), "other_config": {}, "name": "br0",
}  # fmt: skip
PORT = {"name": "p1", "tag": None, "trunks": (), "vlan_mode": None}
INTERFACE = {"name": "p1", "type": "", "options": {}, "ofport": None, "ofport_request": None, "mac": None}


def row(columns: dict, **changes):
    return SimpleNamespace(uuid=uuid.uuid4(), **(columns | changes))


def read(bridge: dict | None = None, port: dict | None = None, interface: dict | None = None) -> desired.Desired:
    """Read a database of one bridge with one port, which differ from the defaults as given."""
    the_interface = row(INTERFACE | {"mtu_request": None}, **(interface or {}))
    the_port = row(PORT, interfaces=(the_interface.uuid,), **(port or {}))
    the_bridge = row(BRIDGE | {"ports": (the_port.uuid,)}, **(bridge or {}))
    root = row({"next_cfg": 3, "other_config": {}, "bridges": (the_bridge.uuid,)})
    tables = {"Open_vSwitch": root, "Bridge": the_bridge, "Port": the_port, "Interface": the_interface}
    rows = {name: {r.uuid: r} for name, r in tables.items()} | {"Controller": {}}
    return desired.read({name: SimpleNamespace(rows=found) for name, found in rows.items()})


def test_an_empty_database_wants_nothing():
    nothing = desired.read({name: SimpleNamespace(rows={}) for name in desired.TABLES})
    assert (nothing.root, nothing.bridges) == (None, {})


def test_defaults_are_those_of_open_vswitch():
    wanted = read()
    bridge = wanted.bridges["br0"]
    assert (wanted.next_cfg, wanted.problems) == (3, [])
    assert (bridge.mac_aging_s, bridge.mac_table_size, bridge.secure, bridge.datapath_id) == (300, 8192, False, None)
    assert bridge.versions == {1, 2, 3, 4, 5, 6}
    (port,) = bridge.ports
    assert (port.vlan_mode, port.interfaces[0].kind, port.interfaces[0].ofport) == ("trunk", "system", None)


@pytest.mark.parametrize(
    ("columns", "mode"),
    [
        ({"tag": 5}, "access"),
        ({"trunks": (1, 2)}, "trunk"),
        ({"tag": 5, "vlan_mode": "native-tagged"}, "native-tagged"),
        ({"tag": 5, "vlan_mode": "dot1q-tunnel"}, "access"),
    ],
)
def test_the_vlan_mode_follows_from_tag_and_trunks(columns, mode):
    (port,) = read(port=columns).bridges["br0"].ports
    assert port.vlan_mode == mode


@pytest.mark.parametrize(
    ("other_config", "line"),
    [
        ({"mac-aging-time": "soon"}, "mac-aging-time=soon is not a number from 15 to 3600; using 300"),
        ({"mac-table-size": "5"}, "mac-table-size=5 is not a number from 10 to 1000000; using 8192"),
        ({"datapath-id": "0"}, "datapath-id=0 is not 1 to 16 hex digits and nonzero; ignored"),
        ({"hwaddr": "01:00:00:00:00:00"}, "hwaddr=01:00:00:00:00:00 is not a unicast Ethernet address; ignored"),
    ],
)
def test_a_wrong_value_is_a_line_for_the_log_and_the_default_takes_its_place(other_config, line):
    wanted = read(bridge={"other_config": other_config})
    assert len(wanted.problems) == 1 and line in wanted.problems[0]
    bridge = wanted.bridges["br0"]
    assert (bridge.mac_aging_s, bridge.mac_table_size, bridge.datapath_id, bridge.hwaddr) == (300, 8192, None, None)


@pytest.mark.parametrize("name", ["a/b", "", "x" * 16])
def test_a_bridge_that_cannot_be_a_device_is_ignored(name):
    wanted = read(bridge={"name": name})
    assert (wanted.bridges, len(wanted.problems)) == ({}, 1)


def test_a_number_that_was_given_before_is_wished_for_and_a_request_insisted_on():
    had = read(interface={"ofport": 7}).bridges["br0"].ports[0].interfaces[0]
    asked = read(interface={"ofport": 7, "ofport_request": 9}).bridges["br0"].ports[0].interfaces[0]
    failed = read(interface={"ofport": -1}).bridges["br0"].ports[0].interfaces[0]
    assert [(i.ofport, i.requested) for i in (had, asked, failed)] == [(7, False), (9, True), (None, False)]
