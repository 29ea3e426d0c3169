"""A wrong value in the database: a message names it, the default takes its place, the rest goes on (DB.43, OC.01).

The configuration goes through an embedded switch, whose database, reader and reconfiguration are the daemon's.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from scapy.layers.l2 import Ether

from vslib.errors import ConfigError, SwitchError
from vswitchd import desired
from vswitchd.pytest_plugin import switch as _switch

switch = _switch
SOURCE = Path(desired.__file__).read_text()
FRAME = bytes(Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b") / b"payload")
REFUSED = "the database refuses it"


class Case(NamedTuple):
    """A column of a row with a wrong value; `message`: what is said of it, in the log or in Interface.error."""

    table: str
    column: str
    value: Any
    message: str


def other(key: str, value: str, message: str) -> Case:
    """A key of the bridge's other_config."""
    return Case("Bridge", "other_config", {key: value}, f"bridge br0: other_config:{key}={value} {message}")


BRIDGE = (
    other("datapath-id", "xyz", "is not 1 to 16 hex digits and nonzero; ignored"),
    other("datapath-id", "0", "is not 1 to 16 hex digits and nonzero; ignored"),
    other("datapath-id", "1" * 17, "is not 1 to 16 hex digits and nonzero; ignored"),
    other("hwaddr", "nonsense", "is not a unicast Ethernet address; ignored"),
    other("hwaddr", "01:00:00:00:00:01", "is not a unicast Ethernet address; ignored"),
    other("hwaddr", "00:00:00:00:00:00", "is not a unicast Ethernet address; ignored"),
    other("mac-aging-time", "soon", "is not a number from 15 to 3600; using 300"),
    other("mac-aging-time", "1", "is not a number from 15 to 3600; using 300"),
    other("mac-table-size", "-1", "is not a number from 10 to 1000000; using 8192"),
    other("mac-table-size", "1e3", "is not a number from 10 to 1000000; using 8192"),
    other("controller-queue-size", "513", "is not a number from 1 to 512; using 100"),
    other("forward-bpdu", "yes", "is neither true nor false; using false"),
    Case("Bridge", "fail_mode", "open", REFUSED),
    Case("Bridge", "protocols", ["OpenFlow9"], REFUSED),
    Case("Bridge", "stp_enable", True, "bridge br0: stp_enable is not supported; ignored"),
    Case("Bridge", "flood_vlans", [5], "bridge br0: flood_vlans is not supported; ignored"),
)
PORT = (
    Case("Port", "tag", 4096, REFUSED),
    Case("Port", "trunks", [-1], REFUSED),
    Case("Port", "vlan_mode", "sideways", REFUSED),
    Case("Port", "vlan_mode", "dot1q-tunnel", "port c: vlan_mode dot1q-tunnel is not supported; treating it as access"),
    Case("Port", "mac", "zz", "port c: mac=zz is not a unicast Ethernet address; ignored"),
    Case("Port", "protected", True, "port c: protected is not supported; ignored"),
)
INTERFACE = (
    Case("Interface", "type", "warp", "could not open network device c (Address family not supported by protocol)"),
    Case("Interface", "type", "patch", "c: patch type requires valid 'peer' argument"),
    Case("Interface", "ofport_request", 0, REFUSED),
    Case("Interface", "ofport_request", 65280, REFUSED),
    Case("Interface", "ofport_request", 1, "interface c: ofport_request=1 is in use by interface a; using 3"),
    Case("Interface", "mac", "nonsense", "interface c: mac=nonsense is not a unicast Ethernet address; ignored"),
    Case("Interface", "mtu_request", 0, REFUSED),
    Case("Interface", "ingress_policing_rate", 1000, "interface c: ingress_policing_rate is not supported; ignored"),
    Case("Interface", "ingress_policing_burst", -1, REFUSED),
)
CONTROLLER = (
    Case("Controller", "target", "carrier-pigeon", "carrier-pigeon"),
    Case("Controller", "target", "tcp:", "tcp:"),
    Case("Controller", "target", "ptcp:70000", "70000"),
    Case("Controller", "target", "unix:/nowhere", 'ignoring controller "unix:/nowhere": unix sockets must be in'),
    Case("Controller", "target", "punix:/etc/x", 'ignoring controller "punix:/etc/x": unix sockets must be in'),
    Case("Controller", "local_ip", "10.0.0.1", "local_ip is not acted on"),
    Case("Controller", "connection_mode", "in-band", "connection_mode in-band is treated as out-of-band"),
    Case("Controller", "max_backoff", 10, REFUSED),
    Case("Controller", "inactivity_probe", -5, "controller unix:/nowhere: inactivity_probe=-5 is negative; using 5000"),
    Case("Controller", "type", "boss", REFUSED),
    Case("Controller", "connection_mode", "through-the-wall", REFUSED),
    Case("Controller", "controller_rate_limit", 1, REFUSED),
    Case("Controller", "controller_burst_limit", 1, REFUSED),
    Case("Controller", "controller_queue_size", 0, REFUSED),
)
ROOT = (
    Case(
        "Open_vSwitch",
        "other_config",
        {"flow-restore-wait": "perhaps"},
        "Open_vSwitch: other_config:flow-restore-wait=perhaps is neither true nor false; using false",
    ),
    Case(
        "Open_vSwitch",
        "other_config",
        {"flow-limit": "0"},
        "Open_vSwitch: other_config:flow-limit=0 is not a number from 1 to 1073741824; using 200000",
    ),
    Case(
        "Open_vSwitch",
        "other_config",
        {"max-idle": "100"},
        "Open_vSwitch: other_config:max-idle=100 is not a number from 500 to 2147483648; using 10000",
    ),
)
CASES = (*BRIDGE, *PORT, *INTERFACE, *ROOT)
# Read from the database, and right whatever they are: links between rows, free text, what we wrote ourselves.
NEVER_WRONG = {
    "bridges", "ports", "interfaces", "controller", "uuid", "name", "ofport", "next_cfg", "options", "datapath_type",
    "dp-desc", "dp-sn", "other_config", "enable_async_messages", "private_key", "certificate", "ca_cert",
    "bootstrap_ca_cert",
}  # fmt: skip


def with_ports(switch):
    """A bridge with three ports, the third of which is the one that is configured wrongly; the first two ports."""
    bridge = switch.add_bridge("br0")
    a, b = bridge.add_port("a", ofport_request=1), bridge.add_port("b", ofport_request=2)
    bridge.add_port("c")
    return a, b


def forwards(a, b) -> bool:
    a.send(FRAME)
    return b.recv() == FRAME


def row_name(case: Case) -> str:
    return {"Bridge": "br0", "Open_vSwitch": "."}.get(case.table, "c")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.table}.{case.column}={case.value}")
def test_a_wrong_value_is_named_and_the_rest_works(switch, caplog, case):
    a, b = with_ports(switch)
    name = row_name(case)
    before = {number: port.name for number, port in switch.core.bridges["br0"].numbers.items()}
    if case.message == REFUSED:
        with pytest.raises(SwitchError, match="constraint|valid range|enum|not one of|allowed"):
            switch.set(case.table, name, **{case.column: case.value})
    else:
        switch.set(case.table, name, **{case.column: case.value})
        said = [caplog.text, *filter(None, [switch.get("Interface", "c", "error")])]
        assert any(case.message in text for text in said), said
    assert forwards(a, b)
    if case.column != "type":
        assert {number: port.name for number, port in switch.core.bridges["br0"].numbers.items()} == before
    else:
        assert switch.get("Interface", "c", "ofport") == -1


@pytest.mark.parametrize("case", BRIDGE[:11], ids=lambda case: f"{case.value}")
def test_the_default_takes_the_place_of_a_wrong_value(switch, case):
    with_ports(switch)

    def settings() -> tuple[Any, ...]:
        bridge = switch.core.bridges["br0"]
        wanted = bridge.wanted
        return wanted.mac_aging_s, wanted.mac_table_size, wanted.forward_bpdu, bridge.datapath_id, bridge.mac

    before = settings()
    switch.set("Bridge", "br0", other_config=case.value)
    assert settings() == before


@pytest.mark.parametrize("case", CONTROLLER, ids=lambda case: f"{case.column}={case.value}")
def test_a_wrong_controller_is_named_and_the_rest_works(switch, caplog, case):
    a, b = with_ports(switch)
    columns = {"target": "unix:/nowhere", case.column: case.value}
    operations = (
        {"op": "insert", "table": "Controller", "uuid-name": "new", "row": columns},
        {
            "op": "update",
            "table": "Bridge",
            "where": [["name", "==", "br0"]],
            "row": {"controller": ["named-uuid", "new"], "fail_mode": "secure"},
        },
    )
    if case.message == REFUSED:
        with pytest.raises(ConfigError, match="constraint|valid range|enum|not one of|allowed"):
            switch.transact(*operations)
        assert forwards(a, b)
        return
    switch.transact(*operations)
    assert case.message in caplog.text
    switch.bridge("br0").add_flow("actions=NORMAL")
    assert forwards(a, b)


def test_two_interfaces_of_a_port_are_named_and_the_first_is_used(switch, caplog):
    a, b = with_ports(switch)
    switch.transact(
        {"op": "insert", "table": "Interface", "uuid-name": "new", "row": {"name": "d"}},
        {
            "op": "mutate",
            "table": "Port",
            "where": [["name", "==", "c"]],
            "mutations": [["interfaces", "insert", ["set", [["named-uuid", "new"]]]]],
        },
    )
    assert "port c: bonds are not supported; using interface c only" in caplog.text
    assert forwards(a, b)


@pytest.mark.parametrize("name", ["a/b", "x" * 16])
def test_a_bridge_that_cannot_be_a_device_is_named_and_the_rest_works(switch, caplog, name):
    a, b = with_ports(switch)
    with pytest.raises(ConfigError):
        switch.add_bridge(name)
    assert f'ignoring bridge with invalid name "{name}"' in caplog.text
    assert forwards(a, b)


def test_a_wrong_value_is_named_once_until_it_is_put_right(switch, caplog):
    with_ports(switch)
    switch.set("Bridge", "br0", other_config={"mac-table-size": "5"})
    switch.set("Bridge", "br0", external_ids={"any": "thing"})
    assert caplog.text.count("mac-table-size=5") == 1
    switch.set("Bridge", "br0", other_config={})
    switch.set("Bridge", "br0", other_config={"mac-table-size": "5"})
    assert caplog.text.count("mac-table-size=5") == 2


def test_every_key_and_column_that_is_read_is_in_a_case():
    read = set(re.findall(r"\b(?:row|root)\.([a-z_]+)\b", SOURCE)) | set(re.findall(r'row, "([a-z_]+)"', SOURCE))
    read |= set(re.findall(r'other(?:_config)?(?:\.get\(|, )"([a-z-]+)"', SOURCE))
    keys = {key for case in CASES for key in (case.value if isinstance(case.value, dict) else ())}
    assert {"mac-table-size", "fail_mode", "vlan_mode", "ofport_request", "inactivity_probe"} <= read
    tried = keys | {case.column for case in (*CASES, *CONTROLLER)} | NEVER_WRONG
    assert read - tried == set()
