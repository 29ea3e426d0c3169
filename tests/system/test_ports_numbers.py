"""OpenFlow port numbers that interfaces ask for: given, moved, refused, kept (PT.22); ports in the database (SC.11)."""

from __future__ import annotations

import pytest

from tests.peers.daemon import Daemon, device, running, wait_until
from tests.system.hosts import host
from tests.system.portwatch import port_watch

pytestmark = [pytest.mark.root, pytest.mark.ovs_tools]


def add(daemon: Daemon, bridge: str, *columns: str, port: str = "", name: str = "") -> str:
    """Add an internal port with columns of its interface; its name."""
    name = name or device()
    settings = [word for word in (port,) if word]
    daemon.vsctl("add-port", bridge, name, *settings, "--", "set", "interface", name, "type=internal", *columns)
    return name


def request(daemon: Daemon, name: str, number: int | None) -> None:
    words = ("clear", "interface", name, "ofport_request")
    daemon.vsctl(*(words if number is None else ("set", "interface", name, f"ofport_request={number}")))


def numbers(daemon: Daemon, *names: str) -> list[int]:
    return [daemon.interface(name, "ofport") for name in names]


def test_a_request_is_honoured_and_changed_live(daemon, bridge):
    """The device stays as it is, and so do the port's VLAN and what controllers set."""
    name = add(daemon, bridge, "ofport_request=50", port="tag=7")
    index = daemon.interface(name, "ifindex")
    daemon.ofctl("mod-port", bridge, name, "no-flood")
    assert numbers(daemon, name) == [50]
    with port_watch(daemon, bridge) as watch:
        request(daemon, name, 60)
        assert numbers(daemon, name) == [60]
        watch.hears(("DEL", name), ("ADD", name))
    assert daemon.interface(name, "ifindex") == index
    assert "NO_FLOOD" in daemon.ofctl("dump-ports-desc", bridge, "60")
    request(daemon, name, None)
    assert numbers(daemon, name) == [60]
    daemon.place.ip("link", "set", name, "up")
    daemon.vsctl("set", "port", name, "tag=4095")
    assert daemon.get("port", name, "tag") == 4095
    daemon.vsctl("del-port", name)


def test_two_ports_swap_their_numbers(daemon, bridge):
    one, two = add(daemon, bridge, "ofport_request=50"), add(daemon, bridge, "ofport_request=60")
    words = (one, "ofport_request=60", "--", "set", "interface", two, "ofport_request=50")
    daemon.vsctl("set", "interface", *words)
    assert numbers(daemon, one, two) == [60, 50]


def test_who_asks_for_a_number_gets_it_from_who_only_has_it(daemon, bridge):
    one = add(daemon, bridge)
    number = daemon.interface(one, "ofport")
    two = add(daemon, bridge, f"ofport_request={number}")
    assert daemon.interface(two, "ofport") == number
    assert daemon.interface(one, "ofport") not in (number, -1)


def test_the_second_to_ask_for_a_number_is_named_and_keeps_its_own(daemon, bridge):
    one, two = add(daemon, bridge, "ofport_request=70"), add(daemon, bridge)
    (before,) = numbers(daemon, two)
    request(daemon, two, 70)
    assert numbers(daemon, one, two) == [70, before]
    line = f"interface {two}: ofport_request=70 is in use by interface {one}; using {before}"
    assert daemon.log().count(line) == 1
    daemon.vsctl("set", "bridge", bridge, "external_ids:any=thing")
    assert daemon.log().count(line) == 1  # said once
    request(daemon, one, 71)
    assert numbers(daemon, one, two) == [71, 70]


@pytest.mark.parametrize("number", [0, 65280, -1])
def test_a_number_out_of_range_is_refused_with_the_range(daemon, bridge, number):
    name = add(daemon, bridge)
    text = daemon.fails("ovs-vsctl", "set", "interface", name, f"ofport_request={number}")
    assert "is not in the valid range 1 to 65279 (inclusive)" in text


def test_the_local_port_has_its_number_whatever_it_asks_for(daemon, bridge):
    request(daemon, bridge, 7)
    assert numbers(daemon, bridge) == [65534]


def test_numbers_outlive_a_restart_also_those_of_refused_requests(tmp_path):
    bridge = device("cb")
    with running(tmp_path / "run") as daemon:
        daemon.vsctl("add-br", bridge)
        names = [add(daemon, bridge, *columns) for columns in ((), ("ofport_request=9",), ("ofport_request=9",), ())]
        names.append(add(daemon, bridge, "ofport_request=9", name=f"A{device()}"))  # in order of names the first
        daemon.vsctl("del-port", names.pop(0))
        before = numbers(daemon, *names)
        daemon.restart()
        assert numbers(daemon, *names) == before
        daemon.vsctl("del-br", bridge)


def test_every_port_has_a_mac_address_of_its_own(daemon, bridge):
    """PT.25: patch ports too."""
    for _ in range(4):
        add(daemon, bridge)
    for _ in range(2):
        name = device()
        daemon.vsctl("add-port", bridge, name, "--", "set", "interface", name, "type=patch", f"options:peer={name}x")
    names = daemon.vsctl("list-ifaces", bridge).split()
    macs = [daemon.interface(name, "mac_in_use") for name in [*names, bridge]]
    assert len(set(macs)) == 7
    assert all(int(mac[:2], 16) & 3 == 2 for mac in macs)


def test_statistics_have_the_keys_that_open_vswitch_gives(daemon, bridge):
    """MO.01, SC.11."""
    keys = "collisions rx_bytes rx_crc_err rx_dropped rx_errors rx_frame_err rx_missed_errors rx_multicast_packets"
    more = "rx_over_err rx_packets tx_bytes tx_dropped tx_errors tx_packets"
    with host(daemon, bridge, "system", "10.1.0.1/24") as near:
        assert set(daemon.interface(near.port, "statistics")) == {*keys.split(), *more.split()}
        packets = daemon.interface(near.port, "statistics")["rx_packets"]
        near.place.run("ping", "-c", "1", "-W", "0.1", "10.1.0.9", check=False)
        wait_until(lambda: daemon.interface(near.port, "statistics")["rx_packets"] > packets, "counters are written")


def test_foreign_keys_are_kept(daemon, bridge):
    """OC.09, SC.04, SC.07: what Neutron and others store is theirs."""
    name = add(daemon, bridge)
    keys = {"net_uuid": "a1", "network_type": "vlan", "physical_network": "ext", "segmentation_id": "5", "tag": "7"}
    for table, record in (("bridge", bridge), ("port", name), ("interface", name)):
        for column in ("other_config", "external_ids"):
            daemon.vsctl("set", table, record, *(f"{column}:{key}={value}" for key, value in keys.items()))
            daemon.vsctl("set", "port", name, f"tag={len(table)}")
            assert daemon.get(table, record, column) == keys


def test_the_root_row_says_what_it_is(daemon):
    """SC.01: what ovs-ctl writes for Open vSwitch is there without it."""
    ids = daemon.get("open_vswitch", ".", "external_ids")
    assert set(ids) >= {"hostname", "rundir", "system-id"}
    assert ids["rundir"] == str(daemon.folder)
    assert {"netdev", "system"} <= set(daemon.get("open_vswitch", ".", "datapath_types"))
    assert {"system", "internal", "tap", "patch"} <= set(daemon.get("open_vswitch", ".", "iface_types"))
    for column in ("ovs_version", "db_version", "system_type", "system_version"):
        assert daemon.get("open_vswitch", ".", column)


def test_a_new_datapath_id_makes_controllers_connect_anew(daemon, bridge):
    """OC.01: nothing else would tell them."""
    with port_watch(daemon, bridge) as watch:
        daemon.vsctl("set", "bridge", bridge, "other_config:datapath-id=00000000000000ab")
        assert daemon.get("bridge", bridge, "datapath_id") == "00000000000000ab"
        assert watch.process.wait(5) != 0
    assert "dpid:00000000000000ab" in daemon.ofctl("show", bridge)
