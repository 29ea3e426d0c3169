"""Wrong OpenFlow messages to the daemon and to a real ovs-vswitchd: the same errors, byte for byte (OF.35, CH.05)."""

from __future__ import annotations

import socket
import struct
import subprocess

import pytest

from tests.ofproto.real_switch import Session, real_switch
from tests.peers.bad_messages import BAD_10, BAD_13
from tests.peers.daemon import TIMEOUT_S

pytestmark = [pytest.mark.root, pytest.mark.ovs_tools]

BRIDGE = "br0"
HELLO, ERROR = 0, 1
CASES = [(1, name) for name in BAD_10] + [(4, name) for name in BAD_13]


@pytest.fixture(scope="module")
def switches(daemon, tmp_path_factory):
    """Return the OpenFlow sockets of a bridge of ours and of a real one, both with port 1."""
    words = f"--may-exist add-br {BRIDGE} -- set-fail-mode {BRIDGE} secure -- add-port {BRIDGE} p1"
    words += " -- set interface p1 type=internal ofport_request=1"
    with real_switch(tmp_path_factory.mktemp("ovs")) as real:
        daemon.vsctl(*words.split())
        database = f"--db=unix:{real.parent}/db.sock"
        subprocess.run(["ovs-vsctl", database, f"--timeout={TIMEOUT_S}", *words.split()], check=True)
        yield daemon.sock(f"{BRIDGE}.mgmt"), real
        daemon.vsctl("del-br", BRIDGE)


@pytest.fixture(scope="module")
def sessions(switches):
    """Return two connections for each version."""
    opened = {version: [Session(path, version) for path in switches] for version in (1, 4)}
    yield opened
    for session in opened[1] + opened[4]:
        session.close()


def errors(replies: list[bytes]) -> list[bytes]:
    """Return the error messages among replies."""
    return [reply for reply in replies if reply[1] == ERROR]


@pytest.mark.parametrize(("version", "name"), CASES, ids=[f"{v}-{name}" for v, name in CASES])
def test_a_wrong_message_gets_the_error_that_open_vswitch_gives(sessions, version, name):
    message = (BAD_10 if version == 1 else BAD_13)[name]
    ours, real = (errors(session.call(message)) for session in sessions[version])
    assert [e.hex(" ") for e in ours] == [e.hex(" ") for e in real]


def test_most_of_them_are_errors(sessions):
    """Guard the comparison above: a list of messages that both take would prove nothing."""
    counts = [
        sum(bool(errors(sessions[version][0].call(message))) for message in messages.values()) / len(messages)
        for version, messages in ((1, BAD_10), (4, BAD_13))
    ]
    assert min(counts) > 0.85


@pytest.mark.parametrize("offer", [5, 6])
def test_a_later_version_is_negotiated_down(switches, offer):
    for path, highest in zip(switches, (5, 4), strict=True):  # the real one is set up to speak 1.0 and 1.3 only
        session = Session(path, offer)
        session.socket.sendall(struct.pack("!BBHI", highest, 20, 8, 7))
        assert session.read()[:2] == bytes([highest, 21])
        session.close()


@pytest.mark.parametrize("offer", [2, 3])
def test_a_peer_of_a_version_in_between_settles_on_1_0(switches, offer):  # CH.05
    session = Session(switches[0], offer)  # has read our hello, which names 1.0
    session.socket.sendall(struct.pack("!BBHI", 1, 18, 8, 7))
    assert session.read()[:2] == bytes([1, 19])
    session.close()


@pytest.mark.parametrize("offer", [2, 3])
def test_a_version_in_between_that_a_late_peer_would_settle_on_is_refused_in_words(switches, offer):  # CH.05
    with socket.socket(socket.AF_UNIX) as late:
        late.settimeout(10)
        late.connect(str(switches[0]))
        assert late.recv(8)[0] == 5  # our hello, which claims all versions up to 1.4
        late.sendall(struct.pack("!BBHI", offer, 0, 8, 1))
        refusal = b""
        while more := late.recv(1 << 16):
            refusal += more
    assert refusal[:2] == bytes([offer, ERROR]) and struct.unpack_from("!HH", refusal, 8) == (0, 0)
    assert b"no common versions" in refusal
