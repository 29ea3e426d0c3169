"""The daemon on Debian's ovsdb-server instead of its embedded one, and beside Debian's switch (DB.26, DB.41)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.peers.daemon import Daemon, device, running, wait_until
from tests.peers.stock import stock_server, stock_switch
from tests.system.hosts import pair

pytestmark = [pytest.mark.root, pytest.mark.ovs_tools]

LOCKED_OUT = "another ovs-vswitchd process is running, disabling this process (pid {}) until it goes away"


def cfg(daemon: Daemon) -> tuple[str, str]:
    return daemon.vsctl("get", "open_vswitch", ".", "cur_cfg"), daemon.vsctl("get", "open_vswitch", ".", "next_cfg")


def waits_for_lock(daemon: Daemon) -> None:
    """Wait until the daemon says that it has to; then it answers commands and has no bridge."""
    assert daemon.process is not None
    wait_until(lambda: LOCKED_OUT.format(daemon.process.pid) in daemon.log(), "the second daemon waits")
    assert daemon.appctl("version").startswith("ovs-vswitchd (Open vSwitch) ")
    assert daemon.appctl("ofproto/list") == ""
    assert not list(daemon.folder.glob("*.mgmt"))


def test_a_stock_ovsdb_server_drives_the_daemon(tmp_path: Path) -> None:
    """The daemon finds the server by itself: it has the database in the usual place open and answers on db.sock."""
    folder = tmp_path / "switch"
    with stock_server(folder) as server, running(folder) as daemon:
        assert server.process is not None
        assert f"conf.db is open in process {server.process.pid}, using its server at " in daemon.log()
        daemon.vsctl("add-br", "br0", "--", "add-port", "br0", "in0", "--", "set", "interface", "in0", "type=internal")
        assert daemon.interface("in0", "ofport") == 1
        current, wanted = cfg(daemon)
        assert current == wanted
        assert "actions=NORMAL" in daemon.ok("ovs-ofctl", "dump-flows", "br0")
        daemon.stop_process()
        assert server.socket.exists()


def test_a_daemon_outlives_its_server_and_follows_the_next_one(tmp_path: Path) -> None:
    bridge = device("cb")
    with (
        stock_server(tmp_path / "server") as server,
        running(tmp_path / "switch", server.target, start=False) as daemon,
    ):
        daemon.launch()
        db = f"--db={server.target}"
        daemon.vsctl(db, "add-br", bridge)
        (daemon.folder / "db.sock").symlink_to(server.socket)
        with pair(daemon, bridge, "system") as (near, far):
            assert near.ping(far) == 5
            server.stop()
            wait_until(lambda: "connection closed by peer" in daemon.log(), "the loss is logged")
            assert near.ping(far) == 5
            server.start()
            daemon.vsctl("add-port", bridge, "in0", "--", "set", "interface", "in0", "type=internal")
            assert daemon.interface("in0", "ofport") > 0
            assert near.ping(far) == 5
        (daemon.folder / "db.sock").unlink()


def test_a_daemon_that_is_first_waits_for_its_server(tmp_path: Path) -> None:
    with (
        stock_server(tmp_path / "server", start=False) as server,
        running(tmp_path / "switch", server.target, start=False) as daemon,
    ):
        daemon.launch()
        failed = f"|reconnect|WARN|{server.target}: connection attempt failed (No such file or directory)"
        wait_until(lambda: failed in daemon.log(), "the attempt is logged")
        assert daemon.appctl("ofproto/list") == ""
        server.start()
        daemon.vsctl(f"--db={server.target}", "add-br", "br0")
        assert daemon.appctl("ofproto/list") == "br0\n"


def test_a_daemon_that_waits_for_its_server_ends_when_told(tmp_path: Path) -> None:
    with running(tmp_path / "switch", f"unix:{tmp_path}/none", start=False) as daemon:
        daemon.launch()
        wait_until(lambda: "connection attempt failed" in daemon.log(), "the attempt is logged")
        daemon.stop()


def test_a_second_daemon_waits_for_the_first_and_takes_over_when_it_is_killed(tmp_path: Path) -> None:
    bridge = device("cb")
    with stock_server(tmp_path / "one") as server, running(tmp_path / "one") as one:
        one.vsctl("add-br", bridge)
        second = Daemon(tmp_path / "two", one.place, server.target)
        second.folder.mkdir()
        with pair(one, bridge, "internal") as (near, far):
            numbers = [one.interface(name, "ofport") for name in (near.port, far.port)]
            second.launch()
            try:
                waits_for_lock(second)
                assert near.ping(far) == 5
                one.kill()
                wait_until(lambda: near.ping(far, count=1, wait_s=1), "the second daemon forwards")
                assert second.appctl("ofproto/list") == f"{bridge}\n"
                assert [one.interface(name, "ofport") for name in (near.port, far.port)] == numbers
                # The first one comes back and has to wait now.
                one.launch()
                waits_for_lock(one)
                second.stop()
                wait_until(lambda: near.ping(far, count=1, wait_s=1), "the first has the lock again")
                assert near.ping(far) == 5
            finally:
                second.kill()
        one.vsctl("del-br", bridge)
        one.stop_process()


def test_a_second_daemon_on_the_same_file_waits_and_serves_it_when_the_first_is_killed(tmp_path: Path) -> None:
    with running(tmp_path / "one") as one:
        one.vsctl("add-br", "br0")
        second = Daemon(tmp_path / "two", one.place)
        second.folder.mkdir()
        second.env["OVS_DBDIR"] = str(one.folder)
        second.launch()
        try:
            waits_for_lock(second)
            one.kill()
            wait_until(second.answers, "the second daemon serves")
            second.vsctl("add-port", "br0", "in0", "--", "set", "interface", "in0", "type=internal")
            assert second.interface("in0", "ofport") == 1
            second.stop()
        finally:
            second.kill()
        one.start()
        assert one.vsctl("list-ports", "br0") == "in0"
        one.vsctl("del-br", "br0")


def test_a_daemon_whose_lock_is_stolen_lets_go_until_it_is_back(tmp_path: Path) -> None:
    bridge = device("cb")
    with running(tmp_path / "switch") as daemon:
        daemon.vsctl("add-br", bridge)
        thief = subprocess.Popen(
            ["ovsdb-client", "steal", f"unix:{daemon.folder}/db.sock", "ovs_vswitchd"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            waits_for_lock(daemon)
        finally:
            thief.kill()
            thief.wait()
        wait_until(lambda: daemon.appctl("ofproto/list") == f"{bridge}\n", "the bridge is back")
        daemon.vsctl("del-br", bridge)


def test_a_stock_switch_keeps_the_daemon_out_and_the_daemon_keeps_it_out(tmp_path: Path) -> None:
    with stock_server(tmp_path / "one") as server, running(tmp_path / "one", start=False) as daemon:
        with stock_switch(tmp_path / "stock", server.target) as stock:
            log = tmp_path / "stock" / "log"
            wait_until(lambda: log.exists() and "connected" in log.read_text(), "the stock switch is connected")
            daemon.launch()
            waits_for_lock(daemon)
            stock.terminate()
            stock.wait()
        daemon.vsctl("set", "open_vswitch", ".", "external_ids:x=1")
        with stock_switch(tmp_path / "again", server.target) as stock:
            log = tmp_path / "again" / "log"
            wait_until(lambda: log.exists() and LOCKED_OUT.format(stock.pid) in log.read_text(), "it waits")
        daemon.stop_process()
