"""Devices that vanish and come back, restarts of the daemon, a clean end under traffic (PT.26, DB.43, MG.05)."""

from __future__ import annotations

import signal
import subprocess

import pytest

from tests.peers.daemon import device, running, wait_until
from tests.system.hosts import host, pair, transfer
from tests.system.netns import veth

pytestmark = [pytest.mark.root, pytest.mark.ovs_tools]


def test_a_deleted_device_is_an_error_and_one_that_appears_is_taken_again(daemon, bridge):
    with pair(daemon, bridge, "system") as (near, far):
        assert near.ping(far) == 5
        daemon.place.ip("link", "del", far.port)
        wait_until(lambda: daemon.interface(far.port, "ofport") == -1, "the loss is written")
        assert daemon.interface(far.port, "error") == f"could not open network device {far.port} (No such device)"
        assert f"({far.port})" not in daemon.ofctl("show", bridge)
        assert daemon.interface(near.port, "ofport") > 0
        daemon.place.ip(
            "link", "add", far.port, "type", "veth", "peer", "name", far.device, "netns", far.place.name
        )
        far.place.ip("addr", "add", "10.1.0.2/24", "dev", far.device)
        far.place.ip("link", "set", far.device, "up")
        daemon.place.ip("link", "set", far.port, "up")
        near.place.ip("neigh", "flush", "all")
        wait_until(lambda: daemon.interface(far.port, "ofport") > 0, "the device is taken again")
        assert daemon.interface(far.port, "error") is None
        wait_until(lambda: near.ping(far, count=1, wait_s=1), "the wire is up again")
        assert near.ping(far) == 5


def test_a_device_that_comes_after_its_port_is_taken(daemon, bridge):
    name = device()
    daemon.vsctl("add-port", bridge, name)
    assert daemon.interface(name, "ofport") == -1
    daemon.place.ip("link", "add", name, "type", "veth", "peer", "name", device())
    wait_until(lambda: daemon.interface(name, "ofport") > 0, "the device is taken")
    assert daemon.interface(name, "error") is None
    daemon.vsctl("del-port", name)
    assert name in daemon.place.ip("-br", "link")
    daemon.place.ip("link", "del", name)


def test_a_link_that_goes_down_is_told_to_controllers_and_the_database(daemon, bridge):
    with host(daemon, bridge, "system", "10.1.0.1/24") as near:
        wait_until(lambda: daemon.interface(near.port, "link_state") == "up", "the link is up")
        resets = daemon.interface(near.port, "link_resets")
        near.down()
        wait_until(lambda: daemon.interface(near.port, "link_state") == "down", "the link is down")
        assert daemon.interface(near.port, "link_resets") == resets + 1
        number = daemon.interface(near.port, "ofport")
        assert "LINK_DOWN" in daemon.ofctl("dump-ports-desc", bridge, str(number))


def test_an_internal_device_deleted_by_hand_is_made_again(daemon, bridge):
    name = device()
    daemon.vsctl("add-port", bridge, name, "--", "set", "interface", name, "type=internal")
    number = daemon.interface(name, "ofport")
    daemon.place.ip("link", "del", name)
    wait_until(lambda: name in daemon.place.ip("-br", "link"), "the device is back")
    wait_until(lambda: daemon.interface(name, "ofport") == number, "with its number")


def test_what_a_restart_keeps(tmp_path):
    """Devices with addresses and routes, here and in another namespace, port numbers, the configuration."""
    bridge, here = device("cb"), device()
    with running(tmp_path / "run") as daemon:
        daemon.vsctl("add-br", bridge)
        daemon.vsctl("add-port", bridge, here, "tag=7", "--", "set", "interface", here, "type=internal")
        daemon.place.ip("addr", "add", "10.2.0.1/24", "dev", here)
        daemon.place.ip("link", "set", here, "up")
        daemon.place.ip("route", "add", "10.3.0.0/16", "via", "10.2.0.9")
        with pair(daemon, bridge, "internal") as (near, far):
            names = (bridge, here, near.port, far.port)
            numbers = [daemon.interface(name, "ofport") for name in names]
            macs = [daemon.interface(name, "mac_in_use") for name in names]
            dpid = daemon.get("bridge", bridge, "datapath_id")
            indexes = daemon.place.run("cat", f"/sys/class/net/{here}/ifindex").stdout
            assert near.ping(far) == 5
            daemon.restart()
            assert near.ping(far) == 5
            transfer(near, far, 1 << 20)
            assert [daemon.interface(name, "ofport") for name in names] == numbers
            assert [daemon.interface(name, "mac_in_use") for name in names] == macs
            assert daemon.get("bridge", bridge, "datapath_id") == dpid
            assert daemon.get("port", here, "tag") == 7
            assert "inet 10.2.0.1/24" in daemon.place.ip("addr", "show", here)
            assert "10.3.0.0/16 via 10.2.0.9" in daemon.place.ip("route")
            assert daemon.place.run("cat", f"/sys/class/net/{here}/ifindex").stdout == indexes
        daemon.vsctl("del-br", bridge)
        assert here not in daemon.place.ip("-br", "link")


def test_a_killed_daemon_leaves_a_database_and_devices_that_the_next_one_takes(tmp_path):
    bridge = device("cb")
    with running(tmp_path / "run") as daemon:
        daemon.vsctl("add-br", bridge)
        with pair(daemon, bridge, "internal") as (near, far):
            assert near.ping(far) == 5
            stale = daemon.sock("ctl")
            daemon.kill()
            daemon.start()
            assert not stale.exists()
            assert near.ping(far) == 5
        daemon.vsctl("del-br", bridge)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_daemon_ends_well_in_the_middle_of_traffic_and_edits(tmp_path, number):
    bridge = device("cb")
    with running(tmp_path / "run") as daemon:
        daemon.vsctl("add-br", bridge)
        with pair(daemon, bridge, "system") as (near, far):
            words = ["ip", "netns", "exec", near.place.name, "ping", "-q", "-f", "-w", "3", far.address]
            flood = subprocess.Popen(words, stdout=subprocess.DEVNULL)
            flows = "".join(f"priority={i},udp,tp_dst={i},actions=NORMAL\n" for i in range(1, 3000))
            words = ["ovs-ofctl", "add-flows", bridge, "-"]
            editor = subprocess.Popen(words, env=daemon.env, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
            editor.stdin.write(flows.encode())
            daemon.stop(number)
            editor.kill()
            editor.communicate()
            flood.kill()
            flood.wait()
            daemon.start()


def test_ports_can_be_added_and_deleted_over_and_over_under_traffic(daemon, bridge):
    with pair(daemon, bridge, "system") as (near, far):
        words = ["ip", "netns", "exec", near.place.name, "ping", "-q", "-i", "0.002", "-w", "60", far.address]
        pings = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        one, two = veth(daemon.place, daemon.place)
        for _ in range(20):
            daemon.vsctl("add-port", bridge, one, "--", "set", "interface", one, "ofport_request=99")
            daemon.vsctl("del-port", one)
        pings.kill()
        pings.wait()
        daemon.place.ip("link", "del", two)
        assert near.ping(far) == 5
        assert "Traceback" not in daemon.log()
