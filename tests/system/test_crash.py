"""kill -9 of the daemon at any moment: nothing acknowledged is lost, nothing is left over, traffic flows (DB.36)."""

from __future__ import annotations

import contextlib
import random
import statistics
import threading
import time

import pytest

from tests.peers.daemon import TIMEOUT_S, Daemon, device, running, wait_until
from tests.peers.stock import stock_server
from tests.system import crash_rig
from tests.system.crash_rig import Churn, Stream
from tests.system.hosts import host, pair
from tests.system.netns import namespace

pytestmark = [pytest.mark.root, pytest.mark.ovs_tools]

ROUNDS, SOAK_ROUNDS = 5, 200
FIXED = "fixed"
CHURNED = ["ch0", "ch1"]
LONGEST_S = 0.5  # from the start of the changes, or of the daemon, to its end
DIES_STARTING = 0.25  # how often it is killed before it is ready
SLOWEST_MEDIAN_S = 15.0  # until a ping is answered; on a quiet machine 0.4 s


class Rounds:
    """A daemon with fixed hosts, killed again and again while streams change it."""

    def __init__(self, daemon, hosts, seed: int) -> None:
        self.daemon, self.hosts, self.random = daemon, hosts, random.Random(seed)
        self.elsewhere = {host.port for host in hosts}
        self.streams = {prefix: Stream(daemon, prefix, self.random.random()) for prefix in ("s0", "s1")}
        self.first_ping_s: list[float] = []
        self.numbers = self.fixed_numbers()
        self.n_transactions = self.n_waited = 0

    def fixed_numbers(self) -> dict[str, int]:
        return {host.port: self.daemon.interface(host.port, "ofport") for host in self.hosts}

    def round(self) -> None:
        """Change things, kill, start, check."""
        daemon = self.daemon
        self.streams = {p: Stream(daemon, p, self.random.random(), old) for p, old in self.streams.items()}
        threads: list[Stream | Churn] = [*self.streams.values(), Churn(daemon, CHURNED, self.random.random())]
        for thread in threads:
            thread.start()
        if self.random.random() < 0.5:  # not before something was acknowledged, however slow the machine is
            streams = self.streams.values()
            wait_until(lambda: any(one.n_done or not one.is_alive() for one in streams), "a transaction", TIMEOUT_S)
            self.n_waited += 1
        threading.Event().wait(self.random.uniform(0, LONGEST_S))
        daemon.kill()
        for thread in threads:
            thread.cut()
        self.n_transactions += sum(stream.n_done for stream in self.streams.values())
        while self.random.random() < DIES_STARTING:
            daemon.launch()
            threading.Event().wait(self.random.uniform(0, LONGEST_S))
            daemon.kill()
        started_s = time.monotonic()
        daemon.launch()
        self.first_ping_s.append(crash_rig.seconds_until(lambda: crash_rig.answered(*self.hosts), started_s))
        wait_until(daemon.answers, f"ovs-vsctl show answers; log: {daemon.log()}", TIMEOUT_S)
        self.check()

    def check(self) -> None:
        daemon = self.daemon
        found = crash_rig.database_state(daemon)
        for stream in self.streams.values():
            stream.settle(found)
        crash_rig.check_devices(daemon, found, self.elsewhere)
        crash_rig.check_interfaces(daemon)
        assert self.fixed_numbers() == self.numbers
        names = [path.name for path in daemon.folder.iterdir()]
        assert sum(name.endswith(".ctl") for name in names) == 1, names
        assert {name for name in names if name.endswith(".mgmt")} == {f"{bridge}.mgmt" for bridge in found}
        assert "Traceback" not in daemon.log(), daemon.log()


def run(folder, n_rounds: int, seed: int) -> None:
    print(f"seed {seed}")
    with running(folder / "run", "--forwarders=2") as daemon, contextlib.ExitStack() as stack:
        for name in CHURNED:
            crash_rig.make_veth(daemon.place, name)
        daemon.vsctl("add-br", FIXED, *(w for name in CHURNED for w in ("--", "add-port", FIXED, name)))
        hosts = stack.enter_context(pair(daemon, FIXED, "internal"))  # one on a veth, one on a device that was moved
        rounds = Rounds(daemon, hosts, seed)
        for _ in range(n_rounds):
            rounds.round()
        for bridge in crash_rig.database_state(daemon):
            if bridge != FIXED:
                daemon.vsctl("del-br", bridge)
        crash_rig.check_devices(daemon, crash_rig.database_state(daemon), rounds.elsewhere)
    median_s = statistics.median(rounds.first_ping_s)
    print(f"{rounds.n_transactions} transactions, first ping after {median_s:.2f} s, {max(rounds.first_ping_s):.2f} s")
    assert rounds.n_transactions >= rounds.n_waited
    assert median_s < SLOWEST_MEDIAN_S


def test_a_daemon_killed_again_and_again_loses_nothing(tmp_path):
    run(tmp_path, ROUNDS, int(time.time()))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_daemon_killed_two_hundred_times_loses_nothing(tmp_path):
    run(tmp_path, SOAK_ROUNDS, int(time.time()))


def test_devices_whose_ports_went_while_no_daemon_ran_are_removed(tmp_path):
    """One here, one that was moved away; a device of the same name that is not ours stays (PT.03).

    A device that was taken gets its frames back: the filter of a daemon without CAP_BPF outlives it.
    """
    bridge, here, other, taken = device("cb"), device(), device(), device()
    with stock_server(tmp_path / "run") as server, running(tmp_path / "run") as daemon, namespace() as away:
        daemon.vsctl("add-br", bridge)
        for name in (here, other):
            daemon.vsctl("add-port", bridge, name, "--", "set", "interface", name, "type=internal")
        crash_rig.make_veth(daemon.place, taken)
        daemon.place.run("tc", "qdisc", "add", "dev", taken, "clsact")
        daemon.vsctl("add-port", bridge, taken)
        assert "chain 0" in daemon.place.run("tc", "filter", "show", "dev", taken, "ingress").stdout
        with host(daemon, bridge, "internal", "10.1.0.9/24") as moved:
            daemon.kill()
            gone = (moved.port, here, other, taken)
            daemon.vsctl("--no-wait", *(word for name in gone for word in ("--", "del-port", name)))
            daemon.place.ip("link", "del", other)
            daemon.place.ip("link", "add", other, "type", "veth", "peer", "name", f"{other}x", "netns", away.name)
            daemon.launch()
            wait_until(lambda: daemon.log().count("|cyvswitch ") == 2, "the daemon is back")
            assert crash_rig.devices(daemon) == {bridge}
            assert moved.device not in moved.place.ip("-br", "link")
            assert other in daemon.place.ip("-br", "link")
            assert daemon.place.run("tc", "filter", "show", "dev", taken, "ingress").stdout == ""
        daemon.appctl("exit", "--cleanup")
        daemon.wait_process()
        assert crash_rig.devices(daemon) == set()
        assert not (daemon.folder / "ovs-vswitchd.devices").read_text()
        assert server.socket.exists()


def test_a_device_that_another_switch_has_is_left_alone(tmp_path):
    """Two daemons with databases of their own in one namespace: a bridge that the second could not make is not its."""
    with running(tmp_path / "one") as one:
        one.vsctl("add-br", "br0")
        second = Daemon(tmp_path / "two", one.place)
        second.folder.mkdir()
        try:
            second.start()
            second.vsctl("--no-wait", "add-br", "br0")
            wait_until(lambda: second.interface("br0", "error"), "the second daemon cannot have the device")
            assert "Device or resource busy" in second.interface("br0", "error")
            second.vsctl("del-br", "br0")
            assert crash_rig.devices(one) == {"br0"}
            second.stop()
        finally:
            second.kill()
        assert one.interface("br0", "error") is None
        one.vsctl("del-br", "br0")
