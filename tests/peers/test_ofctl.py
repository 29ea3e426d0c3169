"""Debian's ovs-ofctl, ovs-appctl and ovsdb-client against the daemon, comparisons of flows aside (AP.01-AP.31)."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.peers.daemon import Daemon, device, running, wait_until

pytestmark = [pytest.mark.root, pytest.mark.ovs_tools]

# A request of 10.0.0.1, 02:00:00:00:00:01, for 10.0.0.2.
ARP = "ffffffffffff020000000001080600010800060400010200000000010a0000010000000000000a000002"


def internal_ports(daemon: Daemon, bridge: str, count: int) -> list[str]:
    """Add internal ports with the OpenFlow numbers 1 to `count`, up; return their names."""
    names = [device() for _ in range(count)]
    for number, name in enumerate(names, start=1):
        settings = ["type=internal", f"ofport_request={number}"]
        daemon.vsctl("add-port", bridge, name, "--", "set", "interface", name, *settings)
        daemon.place.ip("link", "set", name, "up")
    return names


@contextlib.contextmanager
def monitor(daemon: Daemon, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command that goes on until it is ended, its output to be read."""
    process = subprocess.Popen(
        words, env=daemon.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        process.stdout.close()


def read_until(process: subprocess.Popen[str], pattern: str) -> str:
    """Return what a process writes up to the line that `pattern` is found in."""
    text = ""
    for line in process.stdout:
        text += line
        if re.search(pattern, text):
            return text
    raise AssertionError(f"{pattern} not in {text}")


@pytest.mark.parametrize("version", ["OpenFlow10", "OpenFlow13"])
def test_a_packet_out_leaves_at_the_ports_that_it_names_and_is_counted(daemon, bridge, version):
    first, second = internal_ports(daemon, bridge, 2)
    options = ["-O", version]
    before = counter(daemon, bridge, 2, "tx pkts")
    for _ in range(3):
        daemon.ofctl(*options, "packet-out", bridge, f"in_port=1,packet={ARP},actions=output:2")
    wait_until(lambda: counter(daemon, bridge, 2, "tx pkts") >= before + 3, "three frames leave at port 2")
    if version == "OpenFlow13":  # once is enough: it takes seconds
        wait_until(lambda: daemon.interface(second, "statistics")["tx_packets"] >= before + 3, "the database has them")


def counter(daemon: Daemon, bridge: str, number: int, which: str) -> int:
    """Return a counter of a port as dump-ports tells it, "rx pkts" for instance."""
    text = daemon.ofctl("dump-ports", bridge, str(number))
    direction, name = which.split()
    return int(re.search(rf"{direction} {name}=(\d+)", text).group(1))


@pytest.mark.parametrize("version", ["OpenFlow10", "OpenFlow13"])
def test_a_monitor_sees_packets_for_the_controller_and_ports_that_come_and_go(daemon, bridge, version):
    options = ["-O", version]
    internal_ports(daemon, bridge, 1)
    daemon.ofctl("add-flow", bridge, "priority=9,arp,actions=controller:65535")
    with monitor(daemon, "ovs-ofctl", *options, "monitor", bridge, "65534") as seen:
        wait_until(lambda: "monitor" in " ".join(seen.args) and connections(daemon, bridge) >= 1, "it is connected")
        daemon.ofctl(*options, "packet-out", bridge, f"in_port=1,packet={ARP},actions=table")
        text = read_until(seen, "arp_tpa=10.0.0.2")
        assert "PACKET_IN" in text and "in_port=1" in text and "(via action)" in text and "total_len=42" in text
        port = device()
        daemon.vsctl("add-port", bridge, port, "--", "set", "interface", port, "type=internal")
        assert "PORT_STATUS" in read_until(seen, rf"ADD:[\s\S]*\({port}\)")
        daemon.vsctl("del-port", bridge, port)
        read_until(seen, rf"DEL:[\s\S]*\({port}\)")


def connections(daemon: Daemon, bridge: str) -> int:
    """Return how many processes have the bridge's OpenFlow socket open at the other end (as ss(8) shows it)."""
    sockets = subprocess.run(["ss", "-xH", "state", "connected"], capture_output=True, text=True, check=True).stdout
    return sockets.count(f"{daemon.folder}/{bridge}.mgmt")


def test_mod_port_and_frags_change_what_show_tells(daemon, bridge):
    (name,) = internal_ports(daemon, bridge, 1)
    daemon.ofctl("mod-port", bridge, "1", "no-flood")
    assert "NO_FLOOD" in daemon.ofctl("show", bridge)
    daemon.ofctl("mod-port", bridge, name, "down")
    wait_until(lambda: "PORT_DOWN" in daemon.ofctl("dump-ports-desc", bridge, "1"), "the port is down")
    assert "state DOWN" in daemon.place.ip("link", "show", name)
    daemon.ofctl("mod-port", bridge, "1", "up")
    daemon.ofctl("set-frags", bridge, "drop")
    assert daemon.ofctl("get-frags", bridge) == "drop\n"


def test_probe_and_ping_are_answered(daemon, bridge):
    daemon.ofctl("probe", bridge)
    assert "64 bytes" in daemon.ofctl("ping", bridge)


def test_ports_are_known_by_name(daemon, bridge):
    one, two = internal_ports(daemon, bridge, 2)
    daemon.ofctl("add-flow", bridge, f"in_port={one},actions=output:{two}")
    assert f'in_port={one} actions=output:{two}' in daemon.ofctl("--names", "dump-flows", bridge).replace('"', "")
    assert "in_port=1 actions=output:2" in daemon.ofctl("--no-names", "dump-flows", bridge)


def test_a_bridge_that_is_not_there_is_named(daemon):
    assert "nosuch is not a bridge or a socket" in daemon.fails("ovs-ofctl", "show", "nosuch")


# --- ovs-appctl


def test_appctl_knows_its_commands(daemon, bridge):
    assert daemon.appctl("version").startswith("ovs-vswitchd (Open vSwitch) 3.1")
    commands = [line.split()[0] for line in daemon.appctl("list-commands").splitlines()[1:]]
    assert commands == sorted(commands)
    assert {"version", "exit", "fdb/show", "fdb/flush", "dpctl/show", "dpctl/dump-flows", "vlog/list"} <= set(commands)
    assert "not a valid command" in daemon.fails("ovs-appctl", "no/such")
    assert '"fdb/show" command requires at least 1 arguments' in daemon.fails("ovs-appctl", "fdb/show")
    assert '"fdb/show" command takes at most 1 arguments' in daemon.fails("ovs-appctl", "fdb/show", "a", "b")
    assert "no such bridge" in daemon.fails("ovs-appctl", "fdb/show", "nosuch")


def test_learned_addresses_and_megaflows_are_shown_and_flushed(daemon, bridge):
    internal_ports(daemon, bridge, 2)
    daemon.ofctl("packet-out", bridge, f"in_port=1,packet={ARP},actions=normal")
    learned = re.compile(r"^    1     0  02:00:00:00:00:01 +\d+$", re.MULTILINE)
    wait_until(lambda: learned.search(daemon.appctl("fdb/show", bridge)), "an address is learned")
    assert daemon.appctl("fdb/flush", bridge) == "table successfully flushed\n"
    assert not learned.search(daemon.appctl("fdb/show", bridge))


def test_the_datapath_is_shown(daemon, bridge):
    (name,) = internal_ports(daemon, bridge, 1)
    text = daemon.appctl("dpctl/show")
    assert re.search(r"^netdev@ovs-netdev:\n  lookups: hit:\d+ missed:\d+ lost:\d+\n  flows: \d+\n  port 0: ", text)
    assert re.search(rf"^  port \d+: {name} \(tap\)$", text, re.MULTILINE)


def test_vlog_levels_are_listed_and_set(daemon):
    daemon.appctl("vlog/set", "bridge:console:dbg")
    assert re.search(r"^bridge +DBG", daemon.appctl("vlog/list"), re.MULTILINE)
    daemon.appctl("vlog/set", "bridge:console:info")


def test_exit_ends_the_daemon_and_cleanup_takes_its_devices_along(tmp_path):
    name = device("cb")
    with running(tmp_path / "run") as daemon:
        daemon.vsctl("add-br", name)
        daemon.appctl("exit")
        daemon.wait_end()
        assert name in daemon.place.ip("-br", "link")
        daemon.start()
        daemon.appctl("exit", "--cleanup")
        daemon.wait_end()
        assert name not in daemon.place.ip("-br", "link")


def test_a_second_daemon_on_the_same_files_refuses_to_start(tmp_path):
    with running(tmp_path / "run") as daemon:
        second = daemon.tool(*daemon.command())
        assert second.returncode == 1
        assert "Traceback" not in second.stderr
        assert re.search(r"already running|is locked by pid", second.stderr)
        assert daemon.vsctl("show")


# --- ovsdb-client


def test_ovsdb_client_lists_dumps_and_transacts(daemon, bridge):
    assert set(daemon.ok("ovsdb-client", "list-dbs").split()) == {"Open_vSwitch", "_Server"}
    assert "Interface" in daemon.ok("ovsdb-client", "list-tables", "Open_vSwitch").split()
    assert bridge in daemon.ok("ovsdb-client", "dump", "Open_vSwitch", "Bridge", "name")
    assert daemon.ok("ovsdb-client", "get-schema-version", "Open_vSwitch").startswith("8.")
    select = {"op": "select", "table": "Bridge", "where": [["name", "==", bridge]], "columns": ["fail_mode", "name"]}
    reply = json.loads(daemon.ok("ovsdb-client", "transact", json.dumps(["Open_vSwitch", select])))
    assert reply == [{"rows": [{"name": bridge, "fail_mode": ["set", []]}]}]
    broken = json.dumps(["Open_vSwitch", {"op": "select", "table": "Bridg", "where": []}])
    (answer,) = json.loads(daemon.ok("ovsdb-client", "transact", broken))
    assert answer["error"] == "syntax error"
    assert answer["details"] == "Parsing ovsdb operation 1 of 1 failed: No table named Bridg."
    assert "no-such-db" in daemon.fails("ovsdb-client", "dump", "no-such-db")


def test_ovsdb_client_monitors_what_ovs_vsctl_changes(daemon, bridge):
    with monitor(daemon, "ovsdb-client", "monitor", "--format=csv", "Open_vSwitch", "Port", "name,tag") as seen:
        read_until(seen, rf"initial,{bridge}")
        name = device()
        daemon.vsctl("add-port", bridge, name, "tag=7", "--", "set", "interface", name, "type=internal")
        read_until(seen, rf"insert,{name},7")
        daemon.vsctl("set", "port", name, "tag=8")
        text = read_until(seen, rf"new,{name},8")
        assert "old,,7" in text
        daemon.vsctl("del-port", bridge, name)
        read_until(seen, rf"delete,{name},8")


def test_a_backup_of_the_database_can_be_read_by_ovsdb_tool(daemon, bridge, tmp_path):
    backup = tmp_path / "backup.db"
    backup.write_text(daemon.ok("ovsdb-client", "backup", "Open_vSwitch"))
    text = daemon.ok("ovsdb-tool", "query", str(backup), '["Open_vSwitch",{"op":"select","table":"Bridge","where":[]}]')
    assert bridge in text
