"""Debian's ovs-vsctl against the daemon: bridges, ports, columns, what it says when something is wrong (DB.40-46)."""

from __future__ import annotations

import pytest

from tests.peers.daemon import device, plain, wait_until

pytestmark = [pytest.mark.root, pytest.mark.ovs_tools]


def add_internal(daemon, bridge, *more):
    name = device()
    daemon.vsctl("add-port", bridge, name, "--", "set", "interface", name, "type=internal", *more)
    return name


def test_a_bridge_comes_and_goes_with_its_device_and_its_socket(daemon):
    name = device("cb")
    daemon.vsctl("add-br", name)
    assert daemon.vsctl("list-br").split() == [name]
    assert f"    Bridge {name}\n" in daemon.vsctl("show")
    assert name in daemon.place.ip("-br", "link")
    assert daemon.sock(f"{name}.mgmt").is_socket()
    assert daemon.interface(name, "ofport") == 65534
    assert daemon.get("bridge", name, "datapath_id") == daemon.interface(name, "mac_in_use").replace(":", "").zfill(16)
    daemon.vsctl("del-br", name)
    assert daemon.vsctl("list-br") == ""
    assert name not in daemon.place.ip("-br", "link")
    assert not daemon.sock(f"{name}.mgmt").exists()


def test_may_exist_and_if_exists_make_commands_repeatable(daemon, bridge):
    port = add_internal(daemon, bridge)
    assert f"a bridge named {bridge} already exists" in daemon.fails("ovs-vsctl", "add-br", bridge)
    daemon.vsctl("--may-exist", "add-br", bridge)
    assert f"a port named {port} already exists" in daemon.fails("ovs-vsctl", "add-port", bridge, port)
    daemon.vsctl("--may-exist", "add-port", bridge, port)
    daemon.vsctl("del-port", bridge, port)
    assert f"no port named {port}" in daemon.fails("ovs-vsctl", "del-port", bridge, port)
    daemon.vsctl("--if-exists", "del-port", bridge, port)
    daemon.vsctl("del-br", bridge)
    assert f"no bridge named {bridge}" in daemon.fails("ovs-vsctl", "del-br", bridge)
    daemon.vsctl("--if-exists", "del-br", bridge)


def test_ports_get_numbers_addresses_and_states(daemon, bridge):
    port = add_internal(daemon, bridge)
    assert daemon.vsctl("list-ports", bridge) == port
    assert daemon.vsctl("port-to-br", port) == bridge
    assert daemon.interface(port, "ofport") == 1
    assert daemon.interface(port, "error") is None
    assert daemon.interface(port, "mac_in_use") in daemon.place.ip("link", "show", port)
    assert (daemon.interface(port, "admin_state"), daemon.interface(port, "mtu")) == ("down", 1500)
    daemon.place.ip("link", "set", port, "up")
    wait_until(lambda: daemon.interface(port, "admin_state") == "up", "the new state is written")
    assert daemon.interface(port, "link_state") == "up"
    assert daemon.interface(port, "statistics").keys() >= {"rx_packets", "tx_packets", "rx_bytes", "rx_dropped"}


def test_a_failed_device_does_not_use_up_a_port_number(daemon, bridge):
    missing = device()
    daemon.vsctl("add-port", bridge, missing)
    assert daemon.interface(add_internal(daemon, bridge), "ofport") == 1
    daemon.vsctl("del-port", bridge, missing)


def test_a_requested_port_number_is_given_and_kept_and_can_change(daemon, bridge):
    port = add_internal(daemon, bridge, "ofport_request=77")
    assert daemon.interface(port, "ofport") == 77
    other = add_internal(daemon, bridge)
    assert daemon.interface(other, "ofport") == 1
    daemon.vsctl("set", "interface", port, "ofport_request=5")
    assert daemon.interface(port, "ofport") == 5
    assert f" 5({port}):" in daemon.ofctl("show", bridge)
    loser = device()
    daemon.vsctl("add-port", bridge, loser, "--", "set", "interface", loser, "type=internal", "ofport_request=5")
    assert daemon.interface(loser, "ofport") not in (5, -1)


def test_requested_address_and_mtu_reach_the_device(daemon, bridge):
    port = add_internal(daemon, bridge, r'mac="02:00:00:00:00:77"', "mtu_request=1400")
    link = daemon.place.ip("link", "show", port)
    assert "02:00:00:00:00:77" in link and "mtu 1400" in link
    assert (daemon.interface(port, "mac_in_use"), daemon.interface(port, "mtu")) == ("02:00:00:00:00:77", 1400)


def test_a_port_whose_device_does_not_exist_says_so(daemon, bridge):
    name = device()
    done = daemon.tool("ovs-vsctl", "add-port", bridge, name)
    text = f"could not open network device {name} (No such device)"
    assert done.returncode == 0  # the database took it; that it does not work yet is a warning
    assert f"Error detected while setting up '{name}': {text}." in done.stderr
    assert (daemon.interface(name, "ofport"), daemon.interface(name, "error")) == (-1, text)
    assert f'error: "{text}"' in daemon.vsctl("show")
    daemon.vsctl("del-port", name)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        (["type=nosuchtype"], "could not open network device {} (Address family not supported by protocol)"),
        (["type=patch"], "{}: patch type requires valid 'peer' argument"),
        (["type=patch", "options:peer={}"], "{}: patch peer must not be self"),
    ],
)
def test_a_port_that_cannot_be_says_why(daemon, bridge, settings, error):
    name = device()
    words = [word.format(name) for word in settings]
    done = daemon.tool("ovs-vsctl", "add-port", bridge, name, "--", "set", "interface", name, *words)
    assert f"Error detected while setting up '{name}': {error.format(name)}." in done.stderr
    assert (daemon.interface(name, "ofport"), daemon.interface(name, "error")) == (-1, error.format(name))


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("set bridge {} fail_mode=foo", "foo is not one of the allowed values ([secure, standalone])"),
        ("set port {} tag=5000", "constraint violation: 5000 is not in the valid range 0 to 4095 (inclusive)"),
        ("set interface {} mtu_request=abc", '"abc" is not a valid integer or range'),
        ("set interface {} nosuch=1", 'Interface does not contain a column whose name matches "nosuch"'),
        ("list NoSuch", 'unknown table "NoSuch"'),
        ("get interface nosuch ofport", 'no row "nosuch" in table Interface'),
        ("add-port nosuch p", "no bridge named nosuch"),
        ("set bridge {} protocols=OpenFlow99", "OpenFlow99 is not one of the allowed values"),
        ("set bridge {} datapath_id=[1,2]", "2 value(s) specified but the maximum number is 1"),
        ("add-port {0} {0}", "already exists"),
    ],
)
def test_wrong_values_are_refused_and_change_nothing(daemon, bridge, words, text):
    before = daemon.ok("ovsdb-client", "dump", "Open_vSwitch", "Port", "name", "tag")
    assert text in daemon.fails("ovs-vsctl", *words.format(bridge).split())
    assert daemon.ok("ovsdb-client", "dump", "Open_vSwitch", "Port", "name", "tag") == before


def test_columns_are_set_added_removed_cleared_and_found(daemon, bridge):
    port = add_internal(daemon, bridge)
    daemon.vsctl("set", "port", port, "tag=100", "external_ids:owner=me")
    assert daemon.vsctl("get", "port", port, "tag", "external_ids:owner").split() == ["100", "me"]
    assert daemon.vsctl("--bare", "--columns=name", "find", "port", "tag=100") == port
    assert daemon.vsctl("--bare", "--columns=name", "find", "port", "external_ids:owner=me") == port
    daemon.vsctl("clear", "port", port, "tag", "--", "add", "port", port, "trunks", "1,2,3")
    daemon.vsctl("remove", "port", port, "trunks", "2", "--", "remove", "port", port, "external_ids", "owner")
    assert daemon.get("port", port, "trunks") == [1, 3]
    assert (daemon.get("port", port, "tag"), daemon.get("port", port, "external_ids")) == (None, {})
    daemon.vsctl("br-set-external-id", bridge, "key", "value")
    assert daemon.vsctl("br-get-external-id", bridge, "key") == "value"
    daemon.vsctl("set-fail-mode", bridge, "secure")
    assert daemon.vsctl("get-fail-mode", bridge) == "secure"
    daemon.vsctl("set-controller", bridge, "tcp:127.0.0.1:1", "--", "del-controller", bridge)
    assert daemon.vsctl("get-controller", bridge) == ""


def test_patch_ports_pair_up_whichever_comes_first(daemon, bridge):
    other, one, two = device("cb"), device(), device()
    daemon.vsctl("add-br", other)
    daemon.vsctl("add-port", bridge, one, "--", "set", "interface", one, "type=patch", f"options:peer={two}")
    assert daemon.interface(one, "error") == f"No usable peer '{two}' exists in 'system' datapath."
    daemon.vsctl("add-port", other, two, "--", "set", "interface", two, "type=patch", f"options:peer={one}")
    for name in (one, two):
        assert (daemon.interface(name, "error"), daemon.interface(name, "ofport")) == (None, 1)
    assert one not in daemon.place.ip("-br", "link")
    daemon.vsctl("del-br", other)
    assert daemon.interface(one, "error") == f"No usable peer '{two}' exists in 'system' datapath."


def test_fail_mode_standalone_starts_with_normal_and_secure_without_flows(daemon, bridge):
    assert [line.split(" ", 1)[1].split("priority")[1] for line in daemon.flows(bridge)] == ["=0 actions=NORMAL"]
    secure = device("cb")
    daemon.vsctl("add-br", secure, "--", "set", "bridge", secure, "fail_mode=secure")
    assert daemon.flows(secure) == []
    daemon.vsctl("del-br", secure)


def test_what_the_daemon_says_about_itself(daemon, bridge):
    row = daemon.vsctl("list", "Open_vSwitch")
    assert 'ovs_version         : "3.1.0"' in row
    assert set(daemon.get("Open_vSwitch", ".", "iface_types")) >= {"internal", "patch", "system", "tap"}
    assert daemon.get("Open_vSwitch", ".", "cur_cfg") == daemon.get("Open_vSwitch", ".", "next_cfg")
    assert daemon.get("Open_vSwitch", ".", "datapath_types") == ["netdev", "system"]


def test_one_long_command_as_mininet_writes_it(daemon):
    name, ports = device("cb"), [device() for _ in range(8)]
    words = "--id=@c create Controller target=\"tcp:127.0.0.1:1\" max_backoff=1000"
    words += f" -- --if-exists del-br {name} -- add-br {name}"
    words += f" -- set bridge {name} controller=[@c] fail_mode=secure other_config:datapath-id=00000000000000aa"
    words += " other-config:disable-in-band=true other-config:dp-desc=s1 protocols=OpenFlow13 datapath_type=netdev"
    for number, port in enumerate(ports, start=11):
        words += f" -- add-port {name} {port} -- set interface {port} type=internal ofport_request={number}"
    daemon.vsctl(*words.split())
    assert [daemon.interface(port, "ofport") for port in ports] == list(range(11, 19))
    assert daemon.get("bridge", name, "datapath_id") == "00000000000000aa"
    assert "DP Description: s1" in daemon.ofctl("-O", "OpenFlow13", "dump-desc", name)
    assert "version negotiation failed" in daemon.fails("ovs-ofctl", "-O", "OpenFlow10", "show", name)
    daemon.vsctl("--if-exists", "del-br", name, "--", "--if-exists", "del-br", "nosuch")


def test_configuration_for_features_that_we_lack_is_accepted(daemon, bridge):
    daemon.vsctl("set", "Open_vSwitch", ".", "other_config:hw-offload=true", "other_config:dpdk-init=true")
    daemon.vsctl("set", "bridge", bridge, "stp_enable=true", "other_config:hwaddr=nonsense")
    mirror = f"--id=@m create Mirror name=m0 select_all=true -- set bridge {bridge} mirrors=@m"
    daemon.vsctl("--", *mirror.split())
    daemon.vsctl("clear", "bridge", bridge, "mirrors")
    assert "hwaddr=nonsense" in daemon.log()


def test_plain_reads_sets_and_maps():
    assert plain(["set", []]) is None
    assert plain(["set", [1, ["uuid", "x"]]]) == [1, "x"]
    assert plain(["map", [["a", "b"]]]) == {"a": "b"}
