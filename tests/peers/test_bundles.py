"""Bundles with Debian's ovs-ofctl and as raw messages, to the daemon and to a real ovs-vswitchd: the same flows, errors
and replies (MS.47, MS.48, OF.10, OF.11).
"""

from __future__ import annotations

import os
import re
import struct
import subprocess

import pytest

from datapath.ports import pcap_file
from tests.ofproto.real_switch import Session, real_switch
from tests.peers.daemon import TIMEOUT_S, Daemon, flow_lines, wait_until

pytestmark = [pytest.mark.root, pytest.mark.ovs_tools]

BRIDGE = "br0"
DIALECTS = {"openflow14": ["-O", "OpenFlow14"], "openflow13": ["-O", "OpenFlow13"], "any": []}
XID = re.compile(r" ?\(xid=0x[0-9a-f]+\)")
ERROR, ONF = 1, 0x4F4E4600
OPEN, CLOSE, COMMIT, DISCARD = 0, 2, 4, 6
FLOWS = [
    "priority=1 actions=drop",
    "table=1,priority=7,in_port=1 actions=output:2",
    "cookie=0x17,priority=2,ip,nw_dst=10.0.0.0/8 actions=mod_nw_tos:4,output:1",
    "priority=3,tcp,tp_dst=80,idle_timeout=300,send_flow_rem actions=resubmit(,1)",
    "priority=1 actions=output:3",
]
MIXED = [
    "delete table=1",
    "add priority=9,udp actions=output:1",
    "modify ip,nw_dst=10.0.0.0/8 actions=output:3",
    "delete_strict priority=1",
    "add table=1,priority=7,in_port=1 actions=output:4",
    "modify_strict table=1,priority=7,in_port=1 actions=output:1",
]
# One line is refused; nothing of what stands before it may be there afterwards. The overlap is with a flow of FLOWS:
# Open vSwitch overlooks one with a flow of the same bundle.
OVERLAP = "add check_overlap,priority=2,ip,nw_dst=10.1.0.0/16 actions=2"
FAILING = {
    "overlap": ["add table=4,priority=20,ip actions=1", OVERLAP],
    "after-delete": ["delete table=1", "delete_strict priority=1", OVERLAP],
    "after-modify": ["modify actions=output:4", "add priority=2,arp actions=1", OVERLAP],
    "in-the-middle": ["add table=3 actions=1", OVERLAP, "delete"],
    "hidden-table": ["add priority=20 actions=1", "add table=254 actions=2"],
}


class Peer:
    """ovs-ofctl against one of the two switches."""

    def __init__(self, socket_path) -> None:
        self.path = socket_path
        self.env = os.environ | {"OVS_RUNDIR": str(socket_path.parent)}

    def run(self, *words: str, stdin: str | None = None):
        command = ["ovs-ofctl", f"--timeout={TIMEOUT_S}", *words]
        return subprocess.run(command, env=self.env, input=stdin, capture_output=True, text=True, timeout=TIMEOUT_S)

    def ok(self, *words: str, stdin: str | None = None) -> str:
        done = self.run(*words, stdin=stdin)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def flows(self) -> list[str]:
        return flow_lines(self.ok("-O", "OpenFlow14", "dump-flows", BRIDGE))


@pytest.fixture(scope="module")
def peers(daemon: Daemon, tmp_path_factory):
    """Return ovs-ofctl for a bridge of ours and for one of a real switch, with the same ports 1 to 4."""
    words = f"--may-exist add-br {BRIDGE} -- set-fail-mode {BRIDGE} secure"
    words += f" -- set bridge {BRIDGE} protocols=OpenFlow10,OpenFlow13,OpenFlow14"
    for number in range(1, 5):
        words += f" -- add-port {BRIDGE} p{number} -- set interface p{number} type=internal ofport_request={number}"
    with real_switch(tmp_path_factory.mktemp("ovs")) as real:
        daemon.vsctl(*words.split())
        database = f"--db=unix:{real.parent}/db.sock"
        subprocess.run(["ovs-vsctl", database, f"--timeout={TIMEOUT_S}", *words.split()], check=True)
        yield Peer(daemon.sock(f"{BRIDGE}.mgmt")), Peer(real)
        daemon.vsctl("del-br", BRIDGE)


@pytest.fixture
def filled(peers):
    """Return both peers with FLOWS."""
    for peer in peers:
        peer.ok("del-flows", BRIDGE)
        peer.ok("-O", "OpenFlow13", "add-flows", BRIDGE, "-", stdin="\n".join(FLOWS))
    return peers


def complaint(done) -> list[str]:
    """Return what ovs-ofctl wrote of errors, without transaction ids and socket."""
    return [re.sub(r"unix:\S+", "unix:", XID.sub("", line)) for line in done.stderr.splitlines()]


def same_flows(peers) -> list[str]:
    """Return the flows of both, which must be equal."""
    ours, real = (peer.flows() for peer in peers)
    assert ours == real
    return ours


@pytest.mark.parametrize("dialect", DIALECTS)
def test_bundled_commands_leave_the_flows_that_open_vswitch_has(filled, dialect):
    steps = [
        (["add-flows", BRIDGE, "-"], MIXED),
        (["replace-flows", BRIDGE, "-"], FLOWS[:3] + ["importance=5,priority=77 actions=1"]),
        (["add-flow", BRIDGE, "priority=4,arp actions=NORMAL"], None),
        (["mod-flows", BRIDGE, "actions=output:4"], None),
        (["--strict", "mod-flows", BRIDGE, "priority=4,arp actions=FLOOD"], None),
        (["--strict", "del-flows", BRIDGE, "priority=77"], None),
        (["del-flows", BRIDGE, "ip"], None),
        (["del-flows", BRIDGE], None),
    ]
    for words, lines in steps:
        if dialect == "openflow13" and lines:
            lines = [line.replace("importance=5,", "") for line in lines]
        ours, real = (
            peer.run(*DIALECTS[dialect], "--bundle", *words, stdin=lines and "\n".join(lines)) for peer in filled
        )
        assert (ours.returncode, complaint(ours)) == (real.returncode, complaint(real)) == (0, []), words
        same_flows(filled)
    assert filled[0].flows() == []


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("case", FAILING)
def test_a_bundle_that_fails_changes_nothing_and_names_the_message(filled, dialect, case):
    before = same_flows(filled)
    options = [*DIALECTS[dialect], "--bundle"]
    ours, real = (peer.run(*options, "add-flows", BRIDGE, "-", stdin="\n".join(FAILING[case])) for peer in filled)
    assert (ours.returncode, complaint(ours)) == (real.returncode, complaint(real))
    assert ours.returncode != 0
    assert same_flows(filled) == before


def test_openflow14_shows_what_open_vswitch_shows(filled):
    """MS.21, MS.47, MS.59, MS.69: flows with importance, ports with properties, features, aggregate, tables."""
    for peer in filled:
        peer.ok("-O", "OpenFlow14", "add-flow", BRIDGE, "importance=9,priority=5,ipv6 actions=output:1")
    same_flows(filled)
    for command, wanted in SHOWN.items():
        ours, real = (
            sorted(re.findall(wanted, peer.ok("-O", "OpenFlow14", command, BRIDGE), re.MULTILINE)) for peer in filled
        )
        assert ours == real and ours, command
    ours = filled[0]
    ours.ok("-O", "OpenFlow14", "mod-port", BRIDGE, "p4", "no-forward")
    assert "NO_FWD" in ours.ok("-O", "OpenFlow14", "show", BRIDGE)
    ours.ok("-O", "OpenFlow14", "mod-port", BRIDGE, "p4", "forward")


# What of an answer must be the same on both switches; addresses, speeds and counts of the host's devices differ.
SHOWN = {
    "show": r"capabilities:.*|n_tables:\d+|[0-9LOCA]+\([a-z0-9]+\): addr|speed:|frags=.*",
    "dump-ports-desc": r"[0-9LOCA]+\([a-z0-9]+\): addr|speed:",
    "dump-ports": r"port +\S+: rx|tx pkts|frame=|duration=",
    "dump-aggregate": r"packet_count.*",
    "dump-desc": r"Manufacturer.*|Software.*|Serial.*",
    "dump-tables": r"table 25\d.*|active=\d+",
}


# -- raw messages


def control(version: int, kind: int, number: int = 1, flags: int = 3, xid: int = 7) -> bytes:
    body = struct.pack("!IHH", number, kind, flags)
    return header(version, 33, 2300, body, xid)


def header(version: int, kind: int, subtype: int, body: bytes, xid: int) -> bytes:
    if version == 4:
        kind, body = 4, struct.pack("!II", ONF, subtype) + body
    return struct.pack("!BBHI", version, kind, 8 + len(body), xid) + body


def add(version: int, inner: bytes, number: int = 1, flags: int = 3, xid: int = 7) -> bytes:
    return header(version, 34, 2301, struct.pack("!IHH", number, 0, flags) + inner, xid)


def flow_mod(
    version: int, xid: int = 7, table: int = 0, flags: int = 0, buffer: int = 0xFFFFFFFF, command: int = 0
) -> bytes:
    body = struct.pack("!QQBBHHHIIIHH", 0, 0, table, command, 0, 0, 5, buffer, 0xFFFFFFFF, 0xFFFFFFFF, flags, 0)
    body += struct.pack("!HHI", 1, 4, 0)
    return struct.pack("!BBHI", version, 14, 8 + len(body), xid) + body


def plain(version: int, kind: int, body: bytes = b"", xid: int = 7) -> bytes:
    return struct.pack("!BBHI", version, kind, 8 + len(body), xid) + body


def packet_out(
    version: int, actions: bytes = b"", port: int = 0xFFFFFFFF, buffer: int = 0xFFFFFFFF, frame: bytes = bytes(60)
) -> bytes:
    return plain(version, 13, struct.pack("!IIH6x", buffer, port, len(actions)) + actions + frame)


def output(port: int) -> bytes:
    return struct.pack("!HHIH6x", 0, 16, port, 0xFFFF)


def port_mod(version: int, port: int, address: bytes = bytes(6), config: int = 0, mask: int = 0) -> bytes:
    body = struct.pack("!I4x6s2xII", port, address, config, mask)
    return plain(version, 16, body + (bytes(8) if version == 4 else b""))


SEQUENCES = {
    "open-twice": lambda v: [control(v, OPEN), control(v, OPEN), control(v, COMMIT)],
    "close-unknown": lambda v: [control(v, CLOSE)],
    "commit-unknown": lambda v: [control(v, COMMIT)],
    "discard-unknown": lambda v: [control(v, DISCARD)],
    "empty": lambda v: [control(v, OPEN), control(v, CLOSE), control(v, COMMIT)],
    "commit-open": lambda v: [control(v, OPEN), add(v, flow_mod(v)), control(v, COMMIT)],
    "close-twice": lambda v: [control(v, OPEN), control(v, CLOSE), control(v, CLOSE), control(v, DISCARD)],
    "add-closed": lambda v: [control(v, OPEN), control(v, CLOSE), add(v, flow_mod(v)), control(v, DISCARD)],
    "other-flags-add": lambda v: [control(v, OPEN), add(v, flow_mod(v), flags=1), control(v, DISCARD)],
    "other-flags-close": lambda v: [control(v, OPEN), control(v, CLOSE, flags=0), control(v, DISCARD)],
    "other-flags-commit": lambda v: [control(v, OPEN), control(v, COMMIT, flags=0), control(v, DISCARD)],
    "other-flags-discard": lambda v: [control(v, OPEN), control(v, DISCARD, flags=0)],
    "no-flags": lambda v: [control(v, OPEN, flags=0), add(v, flow_mod(v), flags=0), control(v, COMMIT, flags=0)],
    "unknown-flags": lambda v: [control(v, OPEN, flags=0x10), control(v, DISCARD, flags=0x10)],
    "reply-type": lambda v: [control(v, 1), control(v, 3), control(v, 5), control(v, 7)],
    "add-unopened": lambda v: [add(v, flow_mod(v)), control(v, DISCARD)],
    "other-xid": lambda v: [control(v, OPEN), add(v, flow_mod(v, xid=8)), control(v, DISCARD)],
    "other-version": lambda v: [control(v, OPEN), add(v, flow_mod(9 - v)), control(v, DISCARD)],
    "hello": lambda v: [control(v, OPEN), add(v, plain(v, 0)), control(v, DISCARD)],
    "echo": lambda v: [control(v, OPEN), add(v, plain(v, 2)), control(v, DISCARD)],
    "barrier": lambda v: [control(v, OPEN), add(v, plain(v, 20)), control(v, DISCARD)],
    "desc": lambda v: [control(v, OPEN), add(v, plain(v, 18, bytes(8))), control(v, DISCARD)],
    "no-such-type": lambda v: [control(v, OPEN), add(v, plain(v, 99)), control(v, DISCARD)],
    "nested": lambda v: [control(v, OPEN), add(v, control(v, OPEN, 2)), control(v, DISCARD)],
    "inner-too-short": lambda v: [control(v, OPEN), add(v, plain(v, 14)), control(v, DISCARD)],
    "inner-length-beyond": lambda v: [add(v, struct.pack("!BBHI", v, 14, 999, 7) + bytes(48)), control(v, DISCARD)],
    "inner-length-small": lambda v: [add(v, struct.pack("!BBHI", v, 14, 7, 7) + bytes(48)), control(v, DISCARD)],
    "bad-command": lambda v: [control(v, OPEN), add(v, flow_mod(v, command=9)), control(v, COMMIT)],
    "bad-flow-flags": lambda v: [control(v, OPEN), add(v, flow_mod(v, flags=0x8000)), control(v, COMMIT)],
    "buffer": lambda v: [control(v, OPEN), add(v, flow_mod(v, buffer=5)), control(v, COMMIT)],
    "all-tables": lambda v: [control(v, OPEN), add(v, flow_mod(v, table=255)), control(v, COMMIT)],
    "hidden-table": lambda v: [control(v, OPEN), add(v, flow_mod(v, table=254)), control(v, COMMIT)],
    "two-bundles": lambda v: [
        control(v, OPEN, 1), control(v, OPEN, 2), add(v, flow_mod(v), 2), add(v, flow_mod(v, table=1), 1),
        control(v, COMMIT, 2), control(v, DISCARD, 1),
    ],
}  # fmt: skip
# What stands in a bundle besides flow-mods, and with which flags: atomic 1, ordered 2.
OTHERS = {
    "packet-out": (3, lambda v: packet_out(v, output(1))),
    "packet-out-from-nowhere": (3, lambda v: packet_out(v, port=0xFFFFFF77)),
    "packet-out-from-unknown": (3, lambda v: packet_out(v, port=99)),
    "packet-out-buffer": (3, lambda v: packet_out(v, buffer=5)),
    "packet-out-bad-action": (3, lambda v: packet_out(v, struct.pack("!HHI", 77, 8, 0))),
    "packet-out-bad-output": (3, lambda v: packet_out(v, output(0xFFFFFF77))),
    "packet-out-empty": (3, lambda v: packet_out(v, frame=b"")),
    "packet-out-short": (3, lambda v: plain(v, 13, bytes(8))),
    "port-mod-unknown": (0, lambda v: port_mod(v, 99)),
    "port-mod-address": (2, lambda v: port_mod(v, 1)),
    "port-mod-atomic": (1, lambda v: port_mod(v, 1)),
    "port-mod-short": (2, lambda v: plain(v, 16, bytes(16))),
    "group-delete": (3, lambda v: plain(v, 15, struct.pack("!HBxI", 2, 0, 1))),
    "group-modify": (3, lambda v: plain(v, 15, struct.pack("!HBxI", 1, 0, 1))),
    "group-command": (3, lambda v: plain(v, 15, struct.pack("!HBxI", 9, 0, 1))),
    "group-type": (3, lambda v: plain(v, 15, struct.pack("!HBxI", 2, 9, 1))),
    "table-mod": (3, lambda v: plain(v, 17, bytes(8))),
    "meter-mod": (3, lambda v: plain(v, 29, struct.pack("!HHI", 2, 0, 1))),
}  # fmt: skip


def in_bundle(flags, inner):
    """Return a sequence with a flow before and behind the message, so that a failure takes them away."""
    return lambda v: [
        control(v, OPEN, flags=flags), add(v, flow_mod(v, table=2), flags=flags), add(v, inner(v), flags=flags),
        add(v, flow_mod(v, table=3), flags=flags), control(v, COMMIT, flags=flags), control(v, DISCARD, flags=flags),
    ]  # fmt: skip


SEQUENCES |= {name: in_bundle(*row) for name, row in OTHERS.items()}
SEQUENCES["first-failure-counts"] = lambda v: [
    control(v, OPEN, flags=0), add(v, flow_mod(v, table=254, command=3), flags=0), add(v, port_mod(v, 99), flags=0),
    control(v, COMMIT, flags=0),
]  # fmt: skip
VERSIONED = [(version, name) for version in (4, 5) for name in SEQUENCES]


@pytest.mark.parametrize(("version", "name"), VERSIONED, ids=[f"1.{v - 1}-{name}" for v, name in VERSIONED])
def test_every_message_about_bundles_gets_the_reply_of_open_vswitch(peers, version, name):
    answers = []
    for peer in peers:
        peer.ok("del-flows", BRIDGE)
        session = Session(peer.path, version)
        try:
            answers.append([[r.hex(" ") for r in session.call(m)] for m in SEQUENCES[name](version)])
        finally:
            session.close()
    assert answers[0] == answers[1]
    same_flows(peers)


def test_a_bundle_ends_with_its_connection_and_belongs_to_it(peers):
    path = peers[0].path
    first, second = Session(path, 5), Session(path, 5)
    assert [r[1] for r in first.call(control(5, OPEN))] == [33]
    assert [r[1] for r in second.call(control(5, COMMIT))] == [ERROR]
    first.close()
    second.close()
    third = Session(path, 5)
    assert [r[1] for r in third.call(control(5, OPEN))] == [33]
    third.close()


def test_a_control_type_that_is_none_is_refused(peers):
    """Open vSwitch answers it with an open request."""
    session = Session(peers[0].path, 5)
    assert [r[8:12] for r in session.call(control(5, 9))] == [struct.pack("!HH", 17, 6)]  # OFPBFC_BAD_TYPE
    session.close()


def test_a_bundle_changes_a_port_once_it_is_committed(peers):
    """MS.31, MS.47."""
    ours = peers[0]
    told = ours.ok("-O", "OpenFlow14", "dump-ports-desc", BRIDGE)
    address = bytes.fromhex(re.search(r"1\(p1\): addr:(\S+)", told)[1].replace(":", ""))
    for config in (32, 0):  # OFPPC_NO_FWD
        session = Session(ours.path, 5)
        for message in (control(5, OPEN, flags=0), add(5, port_mod(5, 1, address, config, 32), flags=0)):
            session.call(message)
        assert ("NO_FWD" in ours.ok("-O", "OpenFlow14", "show", BRIDGE)) == (config == 0)
        assert session.call(control(5, COMMIT, flags=0))[0][1] == 33
        session.close()
        assert ("NO_FWD" in ours.ok("-O", "OpenFlow14", "show", BRIDGE)) == (config == 32)


HIDDEN = [
    "del-flows br0 table=254",
    "del-flows br0 table=254,ip",
    "del-flows br0 table=254,reg0=1",
    "--strict del-flows br0 table=254,priority=0",
    "--strict del-flows br0 table=254,priority=2,recirc_id=0",
    "mod-flows br0 table=254,actions=1",
    "del-flows br0 table=254,cookie=1/-1",
    "del-flows br0 table=254,out_port=1",
    "del-flows br0",
    "dump-aggregate br0 table=254",
    "dump-flows br0 table=254",
]


def test_the_table_of_the_switch_itself_is_shown_and_defended(filled):
    """OF.04, OF.10: what matches nothing in it cannot be deleted, the rest is refused."""
    for words in HIDDEN:
        for options in (["-O", "OpenFlow13"], []):
            ours, real = (peer.run(*options, *words.split()) for peer in filled)
            assert (ours.returncode, complaint(ours)) == (real.returncode, complaint(real)), words
            assert flow_lines(ours.stdout) == flow_lines(real.stdout), words


def test_too_many_bundles_are_refused(peers):
    session = Session(peers[0].path, 5)
    replies = [session.call(control(5, OPEN, number))[0] for number in range(65)]
    assert {r[1] for r in replies[:64]} == {33}
    assert replies[64][8:12] == struct.pack("!HH", 17, 5)  # OFPBFC_OUT_OF_BUNDLES
    session.close()


# -- atomicity under traffic

SOURCES = 64


def packets() -> bytes:
    """Return a capture of UDP packets from SOURCES addresses."""
    records = b""
    for i in range(SOURCES):
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 46, 0, 0, 64, 17, 0, bytes([10, 0, 0, i]), bytes([10, 1, 0, 1]))
        frame = bytes(12) + b"\x08\x00" + ip + struct.pack("!HHHH", 1, 2, 26, 0) + bytes(18)
        records += struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame
    return pcap_file.header() + records


def half(mark: int) -> list[str]:
    """Return flows that lead to port 2 when both tables are of the same mark, and to port 3 otherwise."""
    first = [f"table=0,ip,nw_src=10.0.0.{i} actions=load:{mark}->NXM_NX_REG0[],resubmit(,1)" for i in range(SOURCES)]
    filler = [f"table=5,ip,nw_dst=11.{i >> 8}.{i & 255}.1 actions=drop" for i in range(1500)]
    last = [f"table=1,priority=9,reg0={mark} actions=output:2", f"table=1,priority=9,reg0={3 - mark} actions=output:3"]
    return first + filler + last


def test_a_frame_meets_a_bundle_whole_or_not_at_all(daemon, tmp_path):
    """OF.10: traffic that misses all the time while bundles exchange the flows of two tables."""
    capture = tmp_path / "in.pcap"
    capture.write_bytes(packets())
    bridge = "bundled"
    words = f"add-br {bridge} -- set-fail-mode {bridge} secure -- add-port {bridge} bi -- set interface bi type=pcap"
    words += f" ofport_request=1 options:rx_pcap={capture} options:infinite_rx=true"
    for name, number in (("bo", 2), ("bx", 3)):
        words += f" -- add-port {bridge} {name} -- set interface {name} type=null ofport_request={number}"
    peer = Peer(daemon.sock("db.sock"))
    daemon.vsctl("add-br", bridge, "--", "set-fail-mode", bridge, "secure")
    try:
        peer.ok("--bundle", "add-flows", bridge, "-", stdin="\n".join(half(1)))
        daemon.vsctl(*words.replace("add-br", "--may-exist add-br", 1).split())
        wait_until(lambda: sent(peer, bridge, 2), "frames come out")
        for step in range(12):
            before = sent(peer, bridge, 2)
            peer.ok("--bundle", "add-flows", bridge, "-", stdin="\n".join(half(2 - step % 2)))
            wait_until(lambda before=before: sent(peer, bridge, 2) > before, "frames go on")
        assert sent(peer, bridge, 3) == 0
    finally:
        daemon.vsctl("del-br", bridge)


def sent(peer: Peer, bridge: str, port: int) -> int:
    """Return how many frames went out of a port."""
    found = re.search(r"tx pkts=(\d+)", peer.ok("dump-ports", bridge, str(port)))
    assert found is not None
    return int(found.group(1))
