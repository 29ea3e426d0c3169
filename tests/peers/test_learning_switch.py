"""The learning switch on os-ken's API (bench/learning_switch.py) drives the daemon over OpenFlow 1.3 (CH.03, MS.20)."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.daemon import ROOT, Daemon, wait_until
from tests.system.hosts import pair, transfer

pytest.importorskip("os_ken")
pytestmark = [pytest.mark.root, pytest.mark.ovs_tools]

PORT = 6653  # in the daemon's own namespace
TARGET = f"tcp:127.0.0.1:{PORT}"


class Controller:
    """The application as a process in the daemon's namespace, and what it printed."""

    def __init__(self, daemon: Daemon, log: Path) -> None:
        self.daemon, self.log = daemon, log
        command = ["ip", "netns", "exec", daemon.place.name, sys.executable, "-m", "bench.learning_switch"]
        with open(log, "wb") as out:
            self.process = subprocess.Popen([*command, "--port", str(PORT)], cwd=ROOT, stdout=out, stderr=out)
        wait_until(lambda: "listening" in self.text(), f"the controller listens: {self.text()}", 20)

    def text(self) -> str:
        return self.log.read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def controller(daemon: Daemon, log: Path) -> Iterator[Controller]:
    started = Controller(daemon, log)
    try:
        yield started
    finally:
        started.kill()


def connected(daemon: Daemon, bridge: str) -> bool:
    """Tell whether the bridge's controller is connected, as the database has it."""
    (uuid,) = daemon.vsctl("get", "bridge", bridge, "controller").strip("[]").split(",")
    return daemon.vsctl("get", "controller", uuid, "is_connected") == "true"


def learned(daemon: Daemon, bridge: str) -> list[str]:
    """Return the flows that the application installed for known addresses."""
    flows = daemon.flows(bridge, "-O", "OpenFlow13")
    form = re.compile(r"priority=1,in_port=\d+,dl_src=\S+,dl_dst=\S+ actions=output:\d+")
    return [line for line in flows if form.search(line)]


def test_two_hosts_ping_through_flows_that_the_application_installs(daemon, bridge, tmp_path):
    with pair(daemon, bridge, "internal") as (near, far), controller(daemon, tmp_path / "log") as app:
        daemon.vsctl("set-fail-mode", bridge, "secure", "--", "set-controller", bridge, TARGET)
        wait_until(lambda: connected(daemon, bridge), f"the controller is connected: {app.text()}")
        wait_until(lambda: daemon.flows(bridge), "the flow for misses is there")
        assert near.ping(far, count=10) == 10
        assert far.ping(near, count=10) == 10
        assert len(learned(daemon, bridge)) == 2
        transfer(near, far, 4 << 20)
        (line,) = (row for row in learned(daemon, bridge) if f"in_port={daemon.interface(near.port, 'ofport')}" in row)
        assert int(re.search(r"n_bytes=(\d+)", line).group(1)) > 4 << 20
        assert "Traceback" not in app.text()


def test_the_daemon_comes_back_to_a_controller_that_was_killed(daemon, bridge, tmp_path):
    with pair(daemon, bridge, "system") as (near, far):
        daemon.vsctl("set-fail-mode", bridge, "secure", "--", "set-controller", bridge, TARGET)
        (uuid,) = daemon.vsctl("get", "bridge", bridge, "controller").strip("[]").split(",")
        daemon.vsctl("set", "controller", uuid, "max_backoff=1000")
        with controller(daemon, tmp_path / "first"):
            wait_until(lambda: connected(daemon, bridge), "the first controller is connected", 15)
            wait_until(lambda: daemon.flows(bridge), "the flow for misses is there")
            assert near.ping(far, count=3) == 3
        wait_until(lambda: not connected(daemon, bridge), "the loss is written")
        assert near.ping(far, count=3) == 3  # what is installed goes on
        daemon.ofctl("del-flows", bridge)
        assert near.ping(far, count=1, wait_s=1) == 0  # fail mode secure
        with controller(daemon, tmp_path / "second") as second:
            wait_until(lambda: connected(daemon, bridge), "the second controller is connected", 15)
            wait_until(lambda: daemon.flows(bridge), "the flow for misses is there again")
            assert near.ping(far, count=3) >= 2
            assert "connected" in second.text()


def test_without_its_controller_a_standalone_bridge_forwards_by_itself(daemon, bridge):
    with pair(daemon, bridge, "system") as (near, far):
        daemon.vsctl("set-controller", bridge, TARGET)
        (uuid,) = daemon.vsctl("get", "bridge", bridge, "controller").strip("[]").split(",")
        daemon.vsctl("set", "controller", uuid, "max_backoff=1000", "inactivity_probe=1000")
        wait_until(lambda: near.ping(far, count=1, wait_s=1), "the bridge gave the controller up", 20)
