"""Controllers of the running daemon: fail modes, listeners, versions, status in the database, several at once
(CH.03 to CH.10, CH.16, SC.15), next to a real Open vSwitch where flows are at stake.
"""

from __future__ import annotations

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.ofproto.channel_rig import msg
from tests.ofproto.real_switch import installed, real_switch
from tests.peers.controller_stub import PACKET_IN, Stub
from tests.peers.daemon import Daemon, flow_lines, needs_tools, wait_until
from tests.system.netns import needs_root

pytestmark = [needs_root, needs_tools, pytest.mark.root, pytest.mark.ovs_tools]

PROBE_MS = 1000
PATIENCE_S = 3 * PROBE_MS / 1000


class Real:
    """Debian's Open vSwitch with one bridge."""

    def __init__(self, folder):
        self.folder = folder
        names = ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")
        self.env = os.environ | dict.fromkeys(names, str(folder))

    def ok(self, *command):
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout


class Side:
    """A switch, its bridge, and a controller for it."""

    def __init__(self, switch, bridge, stub):
        self.switch, self.bridge, self.stub = switch, bridge, stub

    @property
    def target(self):
        return f"tcp:127.0.0.1:{self.stub.port}"

    def vsctl(self, words):
        """Run ovs-vsctl on words in which B is the bridge and T the controller's target."""
        places = {"B": self.bridge, "T": self.target}
        self.switch.ok("ovs-vsctl", "--timeout=20", *(places.get(word, word) for word in words.split()))

    def add_flow(self, text):
        self.switch.ok("ovs-ofctl", "-O", "OpenFlow13", "add-flow", self.bridge, text)

    def flows(self):
        return flow_lines(self.switch.ok("ovs-ofctl", "-O", "OpenFlow13", "dump-flows", self.bridge))

    def controller(self):
        """Return the stub connected; the back-off of the switch is up to a second."""
        self.stub.accept()
        return self


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    if not installed():
        pytest.skip("needs Debian's openvswitch-switch")
    folder = tmp_path_factory.mktemp("real")
    with real_switch(folder):
        yield Real(folder)


@pytest.fixture
def stub(daemon: Daemon):
    made = Stub(daemon.place.call)
    yield made
    made.hang_up()


@pytest.fixture
def sides(real, daemon: Daemon, bridge, stub):
    theirs = Stub()
    real.ok("ovs-vsctl", "--timeout=20", "--if-exists", "del-br", "br0", "--", "add-br", "br0",
            "--", "set", "bridge", "br0", "datapath_type=dummy", "other_config:disable-in-band=true")  # fmt: skip
    yield Side(daemon, bridge, stub), Side(real, "br0", theirs)
    theirs.hang_up()


NORMAL = ["cookie=0x0, table=0, n_packets=0, n_bytes=0, priority=0 actions=NORMAL"]
CONTROLLER = f"set-controller B T -- set controller B max_backoff=1000 inactivity_probe={PROBE_MS}"
# What is done, one after the other, and how many flows are left; + adds a flow; ? is a controller that shows itself.
CHANGES = [
    ("", 1),
    ("+", 2),
    ("set-fail-mode B secure", 0),
    ("+", 1),
    ("set-controller B ptcp:0:127.0.0.1", 1),
    ("set-fail-mode B standalone", 1),
    ("+", 2),
    (CONTROLLER, 0),
    ("+", 1),
    ("set-fail-mode B secure", 1),
    ("del-fail-mode B", 1),
    ("set bridge B protocols=OpenFlow10,OpenFlow13", 1),
    ("del-controller B", 1),
    ("+", 2),
    (CONTROLLER + " type=service", 2),
    ("set-controller B none", 2),
    (CONTROLLER + " -- set-fail-mode B secure", 0),
    ("+", 1),
    ("del-controller B", 0),
    ("del-fail-mode B", 1),
]


def test_flows_survive_or_go_with_each_change_of_fail_mode_and_controllers_as_in_open_vswitch(sides):  # CH.10
    for side in sides:
        seen = []
        for what, n_flows in CHANGES:
            if what == "+":
                side.add_flow("tcp,actions=drop")
            elif what:
                side.vsctl(what)
            seen.append((what, side.flows()))
            assert len(seen[-1][1]) == n_flows, (side.bridge, seen)
        side.expected = seen
    assert sides[0].expected == sides[1].expected


def together(sides, what):
    """Do something with all sides at once, as an unanswered probe ends a connection; returns what it returned."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(what, sides))


def attend(sides, seconds):
    """Answer the switches' probes for some time and return what else they sent."""
    end, found = time.monotonic() + seconds, []
    while time.monotonic() < end:
        found += [message for side in sides for message in side.stub.follow(0.05)]
    return found


@pytest.mark.slow  # 15 s; the short form is in test_learning_switch.py
def test_a_standalone_bridge_switches_by_itself_while_no_controller_is_in_charge(sides):  # CH.10
    def begin(side):
        side.vsctl(CONTROLLER)
        side.controller().stub.until_barrier()
        side.add_flow("priority=7,tcp,actions=drop")

    together(sides, begin)
    assert attend(sides, PATIENCE_S + 0.5) == []  # who answers probes stays in charge
    assert [len(side.flows()) for side in sides] == [1, 1]
    for side in sides:
        side.stub.until_barrier()  # Open vSwitch takes no notice of probes, in a connection's first half minute
        side.stub.hang_up()
    time.sleep(0.3)
    assert [len(side.flows()) for side in sides] == [1, 1]
    time.sleep(PATIENCE_S + 0.5)
    for side in sides:
        assert side.flows() == []
        side.add_flow("priority=9,tcp,actions=drop")

    def come_back(side):
        asked = side.controller().stub.follow(3)
        side.stub.until_barrier()
        assert side.flows() == ["cookie=0x0, table=0, n_packets=0, n_bytes=0, priority=9,tcp actions=drop"]
        return asked

    ours, theirs = together(sides, come_back)
    assert ours  # a made-up packet every 2 s, for those that only answer packets
    assert len({message[:4] + message[8:16] for message in ours + theirs}) == 1 and ours[0][1] == PACKET_IN


def row_of(daemon, bridge, column):
    """Return a column of the bridge's only controller."""
    return daemon.get("Controller", daemon.vsctl("get", "Bridge", bridge, "controller").strip("[]"), column)


def connected(daemon, bridge):
    """Wait until the database shows the bridge's controller as connected."""
    wait_until(lambda: row_of(daemon, bridge, "is_connected"), "is_connected")


def test_the_database_shows_connection_role_and_errors_promptly(daemon: Daemon, bridge, stub):  # CH.07, SC.15, MS.38
    daemon.vsctl("set-controller", bridge, f"tcp:127.0.0.1:{stub.port}", "--", "set", "controller", bridge,
                 "max_backoff=1000")  # fmt: skip
    wait_until(lambda: row_of(daemon, bridge, "status").get("last_error") == "Connection refused", "last_error")
    assert row_of(daemon, bridge, "status")["state"] == "BACKOFF" and not row_of(daemon, bridge, "is_connected")
    stub.accept()
    connected(daemon, bridge)
    assert row_of(daemon, bridge, "role") == "other"
    for role, name in ((2, "master"), (3, "slave"), (1, "other")):
        stub.send(msg(4, 24, role.to_bytes(4, "big") + bytes(12)))
        wait_until(lambda name=name: row_of(daemon, bridge, "role") == name, name, 1.0)
    status = row_of(daemon, bridge, "status")
    assert status["state"] == "ACTIVE" and int(status["sec_since_connect"]) <= 5
    stub.hang_up()
    wait_until(lambda: not row_of(daemon, bridge, "is_connected"), "not connected", 1.0)
    assert "sec_since_disconnect" in row_of(daemon, bridge, "status")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost"])
def test_controllers_are_called_by_ipv4_ipv6_and_name(daemon: Daemon, bridge, address):  # CH.03
    stub = Stub(daemon.place.call, "127.0.0.1" if address == "localhost" else address)
    try:
        host = f"[{address}]" if ":" in address else address
        daemon.vsctl("set-controller", bridge, f"tcp:{host}:{stub.port}", "--", "set", "controller", bridge,
                     "max_backoff=1000")  # fmt: skip
        stub.accept().until_barrier()
        connected(daemon, bridge)
    finally:
        stub.hang_up()


def told(daemon, *command):
    """Return what a command in the daemon's namespace prints once it succeeds."""
    last = []

    def done():
        last[:] = [daemon.place.run(*command, check=False)]
        return last[0].returncode == 0

    try:
        wait_until(done, "success")
    except AssertionError as error:
        raise AssertionError(f"{error}: {last[0].stderr} {daemon.log()[-800:]}") from None
    return last[0].stdout


@pytest.mark.parametrize(
    "target", ["ptcp:{port}", "ptcp:{port}:127.0.0.1", "ptcp:{port}:[::1]", "punix:{folder}/{name}.own"]
)
def test_tools_and_controllers_may_call_the_bridge(daemon: Daemon, bridge, stub, target):  # CH.04
    target = target.format(port=stub.port, folder=daemon.folder, name=bridge)
    daemon.vsctl("set-controller", bridge, target)
    host = "[::1]" if "::1" in target else "127.0.0.1"
    active = f"tcp:{host}:{stub.port}" if target.startswith("ptcp") else target[1:]
    assert "OFPT_FEATURES_REPLY" in told(daemon, "ovs-ofctl", "show", active)
    daemon.vsctl("del-controller", bridge)
    assert daemon.place.run("ovs-ofctl", "show", active, check=False).returncode != 0


def test_versions_change_live(daemon: Daemon, bridge, stub):  # CH.05
    daemon.vsctl("set-controller", bridge, f"tcp:127.0.0.1:{stub.port}", "--", "set", "controller", bridge,
                 "max_backoff=1000")  # fmt: skip
    stub.accept(1).until_barrier(1)
    daemon.vsctl("set", "bridge", bridge, "protocols=OpenFlow13")
    assert stub.read() == b""  # dropped: its version is not allowed any more
    stub.accept(4).until_barrier(4)
    assert "version negotiation failed" in daemon.fails("ovs-ofctl", "-O", "OpenFlow10", "show", bridge)
    daemon.vsctl("set", "bridge", bridge, "protocols=OpenFlow15")
    daemon.fails("ovs-ofctl", "-O", "OpenFlow15", "show", bridge)  # 1.5 may be allowed, but is not spoken
    assert "We support no version" in daemon.log()
    daemon.vsctl("clear", "bridge", bridge, "protocols")
    assert "OF1.3" in daemon.ofctl("-O", "OpenFlow13,OpenFlow15", "show", bridge)
    assert "OF1.4" in daemon.ofctl("-O", "OpenFlow13,OpenFlow14", "show", bridge)


def test_a_rate_limit_is_counted_in_the_database(daemon: Daemon, bridge, stub):  # CH.13, SC.15
    daemon.vsctl("set-controller", bridge, f"tcp:127.0.0.1:{stub.port}", "--", "set", "controller", bridge,
                 "max_backoff=1000", "controller_rate_limit=100", "controller_burst_limit=25")  # fmt: skip
    stub.accept().until_barrier()
    packet = bytes.fromhex("ffffffffffff02000000000108060001") + bytes(44)
    action = bytes.fromhex("00000010fffffffdffff000000000000")
    out = bytes.fromhex("fffffffffffffffd0010000000000000") + action + packet
    stub.send(*[msg(4, 13, out)] * 200)
    stub.until_barrier()
    status = wait_until(
        lambda: (s := row_of(daemon, bridge, "status")).get("packet-in-action-dropped", "0") != "0" and s, "counted", 8
    )
    assert int(status["packet-in-action-bypassed"]) >= 25 and int(status["packet-in-action-queued"]) > 0


def test_tls_follows_the_database(daemon: Daemon, bridge, tmp_path):  # CH.03, CH.12
    key, certificate = daemon.folder / "key.pem", daemon.folder / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test",
                    "-keyout", key, "-out", certificate], check=True, capture_output=True)  # fmt: skip
    daemon.vsctl("set-ssl", str(key), str(certificate), str(certificate))
    port = Stub(daemon.place.call).port
    daemon.vsctl("set-controller", bridge, f"pssl:{port}:127.0.0.1")
    keys = ("-p", str(key), "-c", str(certificate), "-C", str(certificate))
    assert "OFPT_FEATURES_REPLY" in told(daemon, "ovs-ofctl", *keys, "show", f"ssl:127.0.0.1:{port}")
    daemon.vsctl("del-ssl")
