"""Ports and the devices under them: state, loss and return, other namespaces, numbers (PT.02, PT.22, PT.23, PT.26)."""

from __future__ import annotations

import re

import pytest

from tests.peers.daemon import device, running, wait_until
from tests.system.hosts import pair, transfer
from tests.system.netns import namespace, veth
from tests.system.portwatch import SOON_S, port_watch

pytestmark = [pytest.mark.root, pytest.mark.ovs_tools]

NO_DEVICE = "could not open network device {} (No such device)"


def soon(daemon, port: str, **columns) -> None:
    """Wait until columns of an interface have values."""

    def current() -> dict:
        return {column: daemon.interface(port, column) for column in columns}

    wait_until(lambda: current() == columns, f"{port}: {columns}", timeout_s=10 * SOON_S)


@pytest.fixture
def far():
    with namespace() as made:
        yield made


@pytest.fixture
def wire(daemon, bridge, far):
    """A veth pair between the daemon's namespace and another, its near end a port; both names."""
    name, peer = veth(daemon.place, far)
    daemon.vsctl("add-port", bridge, name)
    yield name, peer
    daemon.vsctl("--if-exists", "del-port", name)


@pytest.fixture
def internal(daemon, bridge):
    """An internal port; its name."""
    name = device()
    daemon.vsctl("add-port", bridge, name, "--", "set", "interface", name, "type=internal")
    yield name
    daemon.vsctl("--if-exists", "del-port", name)


def test_the_state_of_a_device_is_in_the_database_and_told_to_controllers(daemon, bridge, wire, far):
    """PT.23, SC.11: carrier, admin state, MTU and MAC address."""
    name, peer = wire
    soon(daemon, name, link_state="up", admin_state="up")
    resets = daemon.interface(name, "link_resets")
    with port_watch(daemon, bridge) as watch:
        far.ip("link", "set", peer, "down")
        soon(daemon, name, link_state="down", admin_state="up", link_resets=resets + 1)
        watch.hears(("MOD", name))
        far.ip("link", "set", peer, "up")
        soon(daemon, name, link_state="up", link_resets=resets + 2)
        watch.hears(("MOD", name))
        daemon.place.ip("link", "set", name, "down")
        soon(daemon, name, link_state="down", admin_state="down")
        watch.hears(("MOD", name))
        daemon.place.ip("link", "set", name, "address", "02:00:00:00:12:34", "mtu", "1300")
        soon(daemon, name, mac_in_use="02:00:00:00:12:34", mtu=1300)
        watch.hears(("MOD", name))
    index = daemon.place.run("cat", f"/sys/class/net/{name}/ifindex").stdout
    assert daemon.interface(name, "ifindex") == int(index)


def test_a_lost_device_is_a_lost_port_and_comes_back_with_its_number(daemon, bridge, wire, internal, far):
    """PT.22, PT.23, DB.43: nobody takes the number meanwhile."""
    name, _ = wire
    number = daemon.interface(name, "ofport")
    with port_watch(daemon, bridge) as watch:
        daemon.place.ip("link", "del", name)
        soon(daemon, name, ofport=-1, error=NO_DEVICE.format(name), link_state=None, mac_in_use=None, ifindex=None)
        watch.hears(("DEL", name))
        other = device()
        daemon.vsctl("add-port", bridge, other, "--", "set", "interface", other, "type=internal")
        assert daemon.interface(other, "ofport") not in (number, -1)
        daemon.place.ip("link", "add", name, "type", "veth", "peer", "name", device())
        soon(daemon, name, ofport=number, error=None)
        watch.hears(("ADD", name))
        daemon.vsctl("del-port", other)


def test_a_port_follows_its_name_not_its_device(daemon, bridge, wire):
    """PT.23: a renamed device is gone, one that gets the name is the port's."""
    name, _ = wire
    away, number = device(), daemon.interface(name, "ofport")
    with port_watch(daemon, bridge) as watch:
        daemon.place.ip("link", "set", name, "down")
        daemon.place.ip("link", "set", name, "name", away)
        soon(daemon, name, ofport=-1, error=NO_DEVICE.format(name))
        watch.hears(("DEL", name))
        daemon.place.ip("link", "set", away, "name", name)
        soon(daemon, name, ofport=number, error=None)
        watch.hears(("ADD", name))


def test_a_device_replaced_in_one_go_is_taken_and_forwards(daemon, bridge):
    """PT.26: the new device is there before the loss of the old one has been dealt with."""
    with pair(daemon, bridge, "internal") as (near, far):
        assert near.ping(far) == 5
        number = daemon.interface(near.port, "ofport")
        batch = (
            f"link del {near.port}\n"
            f"link add {near.port} type veth peer name {near.device} netns {near.place.name}\n"
            f"link set {near.port} up\n"
        )
        daemon.ok("ip", "-n", daemon.place.name, "-batch", "-", stdin=batch)
        near.place.ip("addr", "add", "10.1.0.1/24", "dev", near.device)
        near.place.ip("link", "set", near.device, "up")
        far.place.ip("neigh", "flush", "all")
        wait_until(lambda: near.ping(far, count=1, wait_s=1), "it forwards again")
        soon(daemon, near.port, ofport=number, error=None)


def test_a_system_device_that_moves_away_is_gone_and_taken_when_it_is_back(daemon, bridge, wire, far):
    name, _ = wire
    number = daemon.interface(name, "ofport")
    with namespace() as elsewhere:
        daemon.place.ip("link", "set", name, "netns", elsewhere.name)
        soon(daemon, name, ofport=-1, error=NO_DEVICE.format(name))
        elsewhere.ip("link", "set", name, "netns", daemon.place.name)
        soon(daemon, name, ofport=number, error=None, link_state="down")
    daemon.place.ip("link", "set", name, "up")
    soon(daemon, name, link_state="up")


def test_an_internal_device_elsewhere_is_followed_there(daemon, bridge, internal, far):
    """PT.02, PT.23: state, MTU, MAC address and another name in the other namespace, and the way back."""
    number = daemon.interface(internal, "ofport")
    daemon.place.ip("link", "set", internal, "up")
    soon(daemon, internal, link_state="up")
    with port_watch(daemon, bridge) as watch:
        daemon.place.ip("link", "set", internal, "netns", far.name)
        soon(daemon, internal, link_state="down", admin_state="down", ofport=number)
        watch.hears(("MOD", internal))
        far.ip("link", "set", internal, "name", "eth0")
        far.ip("link", "set", "eth0", "up", "mtu", "1350", "address", "02:00:00:00:00:77")
        soon(daemon, internal, link_state="up", mtu=1350, mac_in_use="02:00:00:00:00:77", ofport=number, error=None)
        watch.hears(("MOD", internal))
        far.ip("link", "set", "eth0", "down")
        soon(daemon, internal, link_state="down")
        far.ip("link", "set", "eth0", "name", internal, "netns", daemon.place.name)
        daemon.place.ip("link", "set", internal, "up")
        soon(daemon, internal, link_state="up", ofport=number)
        watch.hears(("MOD", internal))
        assert "DEL" not in {what for what, _, _ in watch.messages}


def test_an_internal_device_elsewhere_goes_with_its_port(daemon, bridge, internal, far):
    daemon.place.ip("link", "set", internal, "netns", far.name)
    far.ip("link", "set", internal, "name", "eth0")
    daemon.vsctl("del-port", internal)
    assert "eth0" not in far.ip("-br", "link")


def test_an_internal_device_deleted_elsewhere_is_made_again_here(daemon, bridge, internal, far):
    number = daemon.interface(internal, "ofport")
    daemon.place.ip("link", "set", internal, "netns", far.name)
    far.ip("link", "del", internal)
    wait_until(lambda: internal in daemon.place.ip("-br", "link"), "the device is back")
    soon(daemon, internal, ofport=number, error=None)


def test_an_internal_device_that_went_on_to_a_third_namespace_is_followed(daemon, bridge, internal, far):
    with namespace() as third:
        daemon.place.ip("link", "set", internal, "netns", far.name)
        far.ip("link", "set", internal, "netns", third.name)
        third.ip("link", "set", internal, "up")
        soon(daemon, internal, link_state="up", error=None)
        third.ip("link", "set", internal, "mtu", "1234")
        soon(daemon, internal, mtu=1234)


def test_an_internal_device_renamed_here_is_made_anew(daemon, bridge, internal):
    """Its port follows the name; nothing is left of the other."""
    other = device()
    daemon.place.ip("link", "set", internal, "name", other)
    wait_until(lambda: internal in daemon.place.ip("-br", "link"), "the device is back")
    wait_until(lambda: other not in daemon.place.ip("-br", "link"), "the other is gone")


def test_what_moved_and_was_renamed_is_found_after_a_restart(tmp_path):
    """PT.02: as Neutron and container runtimes leave devices; counters of the device go on, forwarding too."""
    bridge = device("cb")
    with running(tmp_path / "run") as daemon:
        daemon.vsctl("add-br", bridge)
        with pair(daemon, bridge, "internal") as (near, far):
            far.down()
            far.place.ip("link", "set", far.device, "name", "eth0")
            far.place.ip("link", "set", "eth0", "up")
            assert near.ping(far) == 5
            number = daemon.interface(far.port, "ofport")
            index = far.place.run("cat", "/sys/class/net/eth0/ifindex").stdout
            daemon.restart()
            wait_until(lambda: near.ping(far, count=1, wait_s=1), "it forwards again")
            transfer(near, far, 1 << 20)
            assert daemon.interface(far.port, "ofport") == number
            assert far.place.run("cat", "/sys/class/net/eth0/ifindex").stdout == index
            far.place.ip("link", "set", "eth0", "mtu", "1400")
            soon(daemon, far.port, mtu=1400)
        daemon.vsctl("del-br", bridge)


def test_counters_go_on_in_another_namespace(daemon, bridge):
    """PT.02, MO.01."""
    with pair(daemon, bridge, "internal") as (near, far):
        assert near.ping(far) == 5
        wait_until(lambda: daemon.interface(far.port, "statistics")["rx_packets"] >= 5, "counters are written")
        assert daemon.interface(far.port, "statistics")["tx_packets"] >= 5
        assert re.search(rf"{far.port}: rx pkts=[1-9]", daemon.ofctl("--names", "dump-ports", bridge))
