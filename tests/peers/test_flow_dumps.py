"""The same flows to the daemon and to a real ovs-vswitchd: ovs-ofctl must show the same, and report the same errors.

Ages are left out; everything else is compared as text (MS.25-27, MS.50-54, AC.01-AC.41, FL.01-FL.60).
"""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from tests.ofproto.real_switch import real_switch
from tests.peers.daemon import TIMEOUT_S, Daemon, flow_lines
from tests.peers.flow_lists import ANY_VERSION, ONLY_13, REFUSED

pytestmark = [pytest.mark.root, pytest.mark.ovs_tools]

DIALECTS = {
    "openflow10-plain": ["-O", "OpenFlow10", "-F", "OpenFlow10-table_id"],
    "openflow10": ["-O", "OpenFlow10"],
    "nxm": [],
    "openflow13": ["-O", "OpenFlow13"],
}
OPTIONS = {name: options for name, options in DIALECTS.items() if name != "openflow10-plain"}
BRIDGE = "br0"
XID = re.compile(r" ?\(xid=0x[0-9a-f]+\)")


class Peer:
    """ovs-ofctl against one of the two switches."""

    def __init__(self, folder) -> None:
        self.env = os.environ | {"OVS_RUNDIR": str(folder)}

    def run(self, *words: str, stdin: str | None = None):
        command = ["ovs-ofctl", f"--timeout={TIMEOUT_S}", *words]
        return subprocess.run(command, env=self.env, input=stdin, capture_output=True, text=True, timeout=TIMEOUT_S)

    def ok(self, *words: str, stdin: str | None = None) -> str:
        done = self.run(*words, stdin=stdin)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout


@pytest.fixture(scope="module")
def peers(daemon: Daemon, tmp_path_factory):
    """Return ovs-ofctl for a bridge of ours and for one of a real switch, with the same ports 1 to 4."""
    words = f"--may-exist add-br {BRIDGE} -- set-fail-mode {BRIDGE} secure"
    for number in range(1, 5):
        port = f"p{number} -- set interface p{number} type=internal ofport_request={number}"
        words += f" -- add-port {BRIDGE} {port}"
    with real_switch(tmp_path_factory.mktemp("ovs")) as real:
        daemon.vsctl(*words.split())
        database = f"--db=unix:{real.parent}/db.sock"
        subprocess.run(["ovs-vsctl", database, f"--timeout={TIMEOUT_S}", *words.split()], check=True)
        yield Peer(daemon.folder), Peer(real.parent)
        daemon.vsctl("del-br", BRIDGE)


@pytest.fixture
def empty(peers):
    """Return both peers with no flows."""
    for peer in peers:
        peer.ok("del-flows", BRIDGE)
    return peers


def complaint(done) -> list[str]:
    """Return what ovs-ofctl reported of an error: its name and the message that it is about."""
    return [XID.sub("", line) for line in done.stderr.splitlines() if "OFPT_ERROR" in line or "ovs-ofctl:" in line]


@pytest.mark.parametrize("dialect", OPTIONS)
def test_every_flow_is_accepted_and_shown_as_open_vswitch_shows_it(empty, dialect):
    options = OPTIONS[dialect]
    flows = ANY_VERSION + (ONLY_13 if dialect == "openflow13" else [])
    for peer in empty:
        peer.ok(*options, "add-flows", BRIDGE, "-", stdin="\n".join(flows))
    # Earlier versions cannot say everything that 1.3 can, and ovs-ofctl stops reading at the first flow like that.
    for shown in [options] if dialect == "openflow13" else OPTIONS.values():
        ours, real = (peer.ok(*shown, "dump-flows", BRIDGE) for peer in empty)
        assert flow_lines(ours) == flow_lines(real)
    assert len(flow_lines(ours)) == len(flows) >= 120


def test_flows_that_openflow_1_0_can_say_are_shown_in_its_own_form(empty):
    for flow in ANY_VERSION:
        for peer in empty:
            peer.run(*DIALECTS["openflow10-plain"], "add-flow", BRIDGE, flow.strip())
    ours, real = (flow_lines(peer.ok(*DIALECTS["openflow10-plain"], "dump-flows", BRIDGE)) for peer in empty)
    assert ours == real
    assert len(ours) > 50


def test_ages_and_the_form_of_whole_lines_are_alike(empty):
    form = re.compile(
        r" cookie=0x7, duration=\d+(\.\d{1,3})?s, table=0, n_packets=0, n_bytes=0, "
        r"(idle_timeout=9, hard_timeout=99, )?(idle_age=\d+, |reset_counts )?priority=5,in_port=1 actions=drop"
    )
    for peer in empty:
        peer.ok("add-flow", BRIDGE, "cookie=7,priority=5,idle_timeout=9,hard_timeout=99,in_port=1,actions=drop")
        for options in OPTIONS.values():
            lines = peer.ok(*options, "dump-flows", BRIDGE).splitlines()
            assert form.fullmatch(lines[1] if len(lines) > 1 else lines[0]), lines


@pytest.mark.parametrize("dialect", OPTIONS)
def test_flows_from_a_file_are_filtered_alike(empty, dialect):
    options = OPTIONS[dialect]
    text = "# a file\n" + "\n".join(ANY_VERSION) + "\n\n"
    filters = (
        "", "table=1", "table=5,in_port=1", "cookie=0x123456789abcdef0/-1", "ip", "tcp", "in_port=1", "out_port=2",
        "dl_vlan=100", "table=0,out_port=3", "ip,nw_src=10.0.0.0/8", "ipv6", "reg0=0x12345678",
    )  # fmt: skip
    for peer in empty:
        peer.ok(*options, "add-flows", BRIDGE, "-", stdin=text)
    for chosen in filters:
        for command in ("dump-flows", "dump-aggregate"):
            ours, real = (peer.ok(*options, command, BRIDGE, chosen) for peer in empty)
            if command == "dump-flows":
                assert (chosen, flow_lines(ours)) == (chosen, flow_lines(real))
            else:
                assert (chosen, XID.sub("", ours)) == (chosen, XID.sub("", real))


EDITS = (
    ("add-flow", "priority=5,in_port=1,actions=1"),
    ("add-flow", "priority=5,in_port=1,actions=2"),
    ("add-flow", "priority=6,ip,nw_src=10.0.0.0/8,actions=3"),
    ("add-flow", "table=3,cookie=0xff,priority=6,ip,nw_src=10.1.0.0/16,actions=4"),
    ("mod-flows", "ip,actions=mod_dl_src:00:00:00:00:00:09,1"),
    ("mod-flows", "table=9,in_port=7,priority=3,actions=1"),
    ("--strict mod-flows", "priority=5,in_port=1,actions=4"),
    ("--strict mod-flows", "priority=4,in_port=1,actions=4"),
    ("mod-flows", "cookie=0xf0/0xf0,actions=FLOOD"),
    ("--strict del-flows", "priority=99,in_port=1"),
    ("del-flows", "table=0,ip"),
    ("del-flows", "out_port=4"),
    ("del-flows", "cookie=0xff/-1"),
    ("--strict del-flows", "table=0,priority=5,in_port=1"),
    ("del-flows", ""),
)


@pytest.mark.parametrize("dialect", OPTIONS)
def test_edits_leave_the_same_flows(empty, dialect):
    for command, flow in EDITS:
        words = [*OPTIONS[dialect], *command.split(), BRIDGE, *([flow] if flow else [])]
        ours, real = (peer.run(*words) for peer in empty)
        assert (words, ours.returncode, complaint(ours)) == (words, real.returncode, complaint(real))
        ours, real = (flow_lines(peer.ok("dump-flows", BRIDGE)) for peer in empty)
        assert (words, ours) == (words, real)


@pytest.mark.parametrize("flow", REFUSED)
def test_a_flow_that_is_refused_is_refused_with_the_same_error(empty, flow):
    for options in OPTIONS.values():
        ours, real = (peer.run(*options, "add-flow", BRIDGE, flow) for peer in empty)
        assert (options, ours.returncode, complaint(ours)) == (options, real.returncode, complaint(real))
    assert flow_lines(empty[0].ok("dump-flows", BRIDGE)) == flow_lines(empty[1].ok("dump-flows", BRIDGE))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_replies_about_the_switch_have_the_same_form(empty, dialect):
    options = DIALECTS[dialect]
    numbers = re.compile(r"(dpid|addr):[0-9a-f:]+|\d+")
    for command in ("show", "dump-desc", "dump-tables", "dump-ports", "dump-ports-desc", "get-frags"):
        ours, real = (peer.ok(*options, command, BRIDGE) for peer in empty)
        shape = [
            [line for line in numbers.sub("N", text).splitlines() if "current:" not in line and "speed:" not in line]
            for text in (ours, real)
        ]
        assert (command, only_form(shape[0])) == (command, only_form(shape[1]))


def only_form(lines: list[str]) -> list[str]:
    """Return the different lines without what depends on the devices: counters that a device has or not, states."""
    device = re.compile(r"(drop|errs|frame|over|crc|coll)=(\?|N)|(config|state): .*")
    return sorted({device.sub(r"\1\3", line) for line in lines})


def test_groups_and_meters_are_refused_or_empty_alike(empty):
    for words in (
        ["-O", "OpenFlow13", "dump-groups", BRIDGE],
        ["-O", "OpenFlow13", "dump-group-stats", BRIDGE],
        ["-O", "OpenFlow13", "dump-meters", BRIDGE],
        ["-O", "OpenFlow13", "del-groups", BRIDGE],
        ["-O", "OpenFlow13", "del-meters", BRIDGE],
    ):
        ours, real = (peer.run(*words) for peer in empty)
        results = [(done.returncode, XID.sub("", done.stdout), complaint(done)) for done in (ours, real)]
        assert (words, results[0]) == (words, results[1])
