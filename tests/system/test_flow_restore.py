"""other_config:flow-restore-wait: a start that forwards nothing before its flows are back (MG.10, OC.04)."""

from __future__ import annotations

import socket

import pytest

from tests.peers.daemon import device, running, wait_until
from tests.system.hosts import pair

pytestmark = [pytest.mark.root, pytest.mark.ovs_tools]

SETTING = ("open_vswitch", ".", "other_config:flow-restore-wait=true")
CLEAR = ("remove", "open_vswitch", ".", "other_config", "flow-restore-wait")


def test_a_restart_waits_for_its_flows(tmp_path):
    """As ovs-ctl does it: save the flows, set the flag, restart, put the flows back, clear the flag."""
    bridge = device("cb")
    with running(tmp_path / "run") as daemon:
        daemon.vsctl("add-br", bridge, "--", "set-fail-mode", bridge, "secure")
        with pair(daemon, bridge, "internal") as (near, far):
            daemon.ofctl("add-flow", bridge, "priority=5,actions=NORMAL")
            assert near.ping(far) == 5
            flows = daemon.ofctl("--no-stats", "dump-flows", bridge)
            assert "priority=5 actions=NORMAL" in flows.splitlines()[0]
            daemon.vsctl("set", *SETTING)
            assert near.ping(far) == 5  # it is about the next start
            daemon.restart()
            numbers = [daemon.interface(host.port, "ofport") for host in (near, far)]
            assert min(numbers) > 0
            daemon.ofctl("add-flows", bridge, "-", stdin=flows)
            assert near.ping(far, count=1, wait_s=1) == 0
            daemon.vsctl(*CLEAR)
            assert near.ping(far) == 5
            assert daemon.ofctl("--no-stats", "dump-flows", bridge) == flows
            daemon.vsctl("set", *SETTING)  # once cleared, it says nothing more to this process
            assert near.ping(far) == 5
        daemon.vsctl("del-br", bridge, "--", *CLEAR)


def test_controllers_are_connected_when_the_wait_is_over(tmp_path):
    bridge = device("cb")
    with running(tmp_path / "run") as daemon, socket.socket(socket.AF_UNIX) as controller:
        controller.bind(str(daemon.folder / "controller"))
        controller.listen()
        controller.settimeout(10)
        target = f"unix:{daemon.folder}/controller"  # others are refused
        daemon.vsctl("add-br", bridge, "--", "set-controller", bridge, target, "--", "set", *SETTING)
        controller.accept()[0].close()
        daemon.restart()
        controller.settimeout(0.5)
        with pytest.raises(TimeoutError):
            controller.accept()
        # Without controllers it is a standalone switch, whose flow goes when they come: as Open vSwitch does it.
        assert "actions=NORMAL" in daemon.ofctl("dump-flows", bridge)
        daemon.vsctl(*CLEAR)
        controller.settimeout(10)
        controller.accept()[0].close()
        wait_until(lambda: "NORMAL" not in daemon.ofctl("dump-flows", bridge), "the flow is gone")
        daemon.vsctl("del-br", bridge)
