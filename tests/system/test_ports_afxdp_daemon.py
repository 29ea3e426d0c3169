"""Interfaces of type `afxdp` in a running daemon: options, errors, traffic, changes, the end (PT.05, DB.43)."""

from __future__ import annotations

import pytest

from tests.peers.daemon import Daemon, wait_until
from tests.system.hosts import host, transfer
from tests.system.netns import ip, namespace, veth

pytestmark = [pytest.mark.root, pytest.mark.ovs_tools]
TYPES = ("afxdp", "afxdp-nonpmd")


def xdp_of(daemon: Daemon, name: str) -> str:
    """Return how XDP is attached to a device: "", "xdp" or "xdpgeneric"."""
    words = ip("-n", daemon.place.name, "link", "show", name).split()
    return next((word for word in words if word in ("xdp", "xdpgeneric")), "")


def make_afxdp(daemon: Daemon, name: str, *options: str, kind: str = "afxdp") -> str | None:
    """Make a port an afxdp port and return the error column."""
    words = [f"options:{option}" for option in options]
    daemon.tool("ovs-vsctl", "--timeout=20", "set", "Interface", name, f"type={kind}", *words)
    error: str | None = daemon.interface(name, "error")
    return error


@pytest.mark.parametrize("options", [[], ["xdp-mode=generic", "n_rxq=1", "use-need-wakeup=false"]])
@pytest.mark.parametrize("kind", TYPES)
def test_hosts_reach_each_other(daemon: Daemon, bridge: str, options, kind):
    with host(daemon, bridge, "system", "10.1.0.1/24") as one, host(daemon, bridge, "system", "10.1.0.2/24") as other:
        for end in (one, other):
            assert make_afxdp(daemon, end.port, *options, kind=kind) is None
            assert xdp_of(daemon, end.port) == ("xdpgeneric" if options else "xdp")
        assert one.ping(other, 3) == 3
        transfer(one, other, 3 << 20)
        assert daemon.interface(one.port, "statistics")["rx_packets"] >= 0
        assert kind in daemon.appctl("dpctl/show")
        assert {kind} <= set(daemon.get("open_vswitch", ".", "iface_types"))


def test_an_afxdp_port_and_a_system_port_exchange_tcp_with_offloads_of_the_hosts_untouched(daemon, bridge):
    with host(daemon, bridge, "system", "10.1.0.1/24") as one, host(daemon, bridge, "system", "10.1.0.2/24") as other:
        assert make_afxdp(daemon, one.port) is None
        assert one.ping(other, 3) == 3
        transfer(one, other, 3 << 20)
        transfer(other, one, 3 << 20)


def test_other_options_or_another_type_open_the_device_anew_under_its_number(daemon, bridge):
    with namespace() as place:
        name, _ = veth(daemon.place, place)
        daemon.vsctl("add-port", bridge, name)
        number = daemon.interface(name, "ofport")
        for options, expected in ([["xdp-mode=generic"], "xdpgeneric"], [["xdp-mode=native"], "xdp"]):
            assert make_afxdp(daemon, name, *options) is None
            assert xdp_of(daemon, name) == expected
            assert daemon.interface(name, "ofport") == number
        daemon.vsctl("set", "Interface", name, "type=system")
        assert xdp_of(daemon, name) == ""
        assert daemon.interface(name, "ofport") == number
        daemon.vsctl("del-port", bridge, name)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("xdp-mode=fast", "options:xdp-mode: 'fast' is not best-effort or native-with-zerocopy or native or generic"),
        ("n_rxq=2", "options:n_rxq: '2' is not 1"),
        ("use-need-wakeup=1", "options:use-need-wakeup: '1' is not true or false"),
        ("speed=9", "options:speed: unknown option; type afxdp has xdp-mode, n_rxq, use-need-wakeup"),
    ],
)
def test_wrong_options_are_named_in_the_interfaces_error(daemon, bridge, option, words):
    with namespace() as place:
        name, _ = veth(daemon.place, place)
        daemon.vsctl("add-port", bridge, name)
        assert make_afxdp(daemon, name, option) == f"{name}: {words}"
        assert daemon.interface(name, "ofport") == -1
        daemon.vsctl("clear", "Interface", name, "options")
        assert daemon.interface(name, "error") is None and daemon.interface(name, "ofport") > 0
        daemon.vsctl("del-port", bridge, name)


def test_a_mode_that_the_driver_has_not_is_an_error_with_the_reason(daemon, bridge):
    with namespace() as place:
        name, _ = veth(daemon.place, place)
        daemon.vsctl("add-port", bridge, name)
        error = make_afxdp(daemon, name, "xdp-mode=native-with-zerocopy")
        assert error == f"could not open network device {name} (native XDP: Operation not supported)"
        daemon.vsctl("del-port", bridge, name)


def test_the_mtu_that_is_asked_for_decides_how_long_frames_may_be(daemon, bridge):
    with host(daemon, bridge, "system", "10.1.0.1/24") as one, host(daemon, bridge, "system", "10.1.0.2/24") as other:
        for end in (one, other):
            end.place.ip("link", "set", end.device, "mtu", "3000")
            daemon.vsctl("set", "Interface", end.port, "mtu_request=3000", "type=afxdp")
            assert daemon.interface(end.port, "error") is None
        assert one.ping(other, 3, size=2900) == 3
        daemon.tool("ovs-vsctl", "set", "Interface", one.port, "mtu_request=4000", "options:xdp-mode=generic")
        words = f"could not open network device {one.port} (MTU 4000 is above 3818, the most for type afxdp)"
        assert daemon.interface(one.port, "error") == words


def test_a_deleted_device_is_lost_and_one_that_comes_again_is_opened(daemon, bridge):
    with namespace() as place:
        name, peer = veth(daemon.place, place)
        daemon.vsctl("add-port", bridge, name, "--", "set", "Interface", name, "type=afxdp")
        daemon.place.ip("link", "del", name)
        wait_until(lambda: daemon.interface(name, "error"), "the error says so")
        daemon.place.ip("link", "add", name, "type", "veth", "peer", "name", peer, "netns", place.name)
        wait_until(lambda: daemon.interface(name, "error") is None, "it is there again")
        assert xdp_of(daemon, name) == "xdp"
        daemon.vsctl("del-port", bridge, name)


def test_the_end_and_a_killed_daemon_leave_nothing_on_the_device(daemon, bridge):
    with namespace() as place:
        name, _ = veth(daemon.place, place)
        daemon.vsctl("add-port", bridge, name, "--", "set", "Interface", name, "type=afxdp")
        daemon.stop()
        assert xdp_of(daemon, name) == ""
        daemon.start()
        wait_until(lambda: xdp_of(daemon, name) == "xdp", "it is attached again")
        daemon.kill()
        assert xdp_of(daemon, name) == ""
        daemon.start()
        wait_until(lambda: xdp_of(daemon, name) == "xdp", "it is attached again")
        daemon.vsctl("del-port", bridge, name)
