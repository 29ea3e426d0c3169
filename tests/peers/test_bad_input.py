"""Garbage, half messages and floods on every socket: the sender gets an error or is dropped, everybody else goes on."""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import socket
import struct
import subprocess
import time

import pytest

from tests.ofproto.real_switch import Session
from tests.peers.daemon import Daemon, device, wait_until
from tests.system.hosts import pair

pytestmark = [pytest.mark.root, pytest.mark.ovs_tools]

SOCKETS = ("db.sock", "ctl", "mgmt")
PATIENCE_S = 5  # of the well-behaved clients; a stall would take longer
FLOOD_S = 1.0
MEMORY_LIMIT_KB = 200_000  # how much more the daemon may need because of one peer that does not read


@pytest.fixture
def others(daemon, bridge):
    """Return a check that well-behaved clients of every socket, and packets, get on while something else happens."""
    with pair(daemon, bridge, "internal") as (near, far):
        assert near.ping(far, count=1) == 1

        def go_on() -> None:
            start = time.monotonic()
            daemon.vsctl("set", "bridge", bridge, f"external_ids:at={time.time_ns()}")
            daemon.ofctl("add-flow", bridge, "priority=7,in_port=77,actions=drop")
            assert any("in_port=77" in line for line in daemon.flows(bridge, "-O", "OpenFlow13"))
            assert daemon.appctl("version").startswith("ovs-vswitchd")
            assert near.ping(far, count=3, wait_s=1) == 3
            assert time.monotonic() - start < PATIENCE_S
            assert daemon.alive() and "Traceback" not in daemon.log()

        yield go_on
        go_on()


def connect(daemon: Daemon, bridge: str, name: str) -> socket.socket:
    """Connect to one of SOCKETS."""
    opened = socket.socket(socket.AF_UNIX)
    opened.connect(str(daemon.sock(f"{bridge}.mgmt" if name == "mgmt" else name)))
    opened.settimeout(5)
    return opened


def drain(peer: socket.socket) -> bytes:
    """Return what comes until the other side closes; fails when it does not."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while more := peer.recv(1 << 16):
            data += more
    return data


def send_as_much_as_goes(peer: socket.socket, data: bytes, seconds: float = FLOOD_S) -> int:
    """Send over and over, whole messages only, without reading; return how often."""
    peer.setblocking(False)
    end, count, left = time.monotonic() + seconds, 0, b""
    while time.monotonic() < end:
        if not select.select([], [peer], [], 0.05)[1]:
            continue
        left = left or data
        with contextlib.suppress(BlockingIOError):
            left = left[peer.send(left) :]
            count += not left
    return count


def memory_kb(daemon: Daemon) -> int:
    """Return the resident memory of the daemon."""
    with open(f"/proc/{daemon.process.pid}/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


# --- garbage and half messages


@pytest.mark.parametrize("name", SOCKETS)
def test_random_bytes_end_the_connection_that_sent_them_only(daemon, bridge, others, name):
    rng = random.Random(name)
    for size in (1, 8, 9, 100, 5000, 100_000):
        with connect(daemon, bridge, name) as peer:
            # Not a version of OpenFlow, no JSON.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                peer.sendall(b"\xff" + rng.randbytes(size))
                peer.shutdown(socket.SHUT_WR)
            drain(peer)
    others()


@pytest.mark.parametrize("name", SOCKETS)
def test_half_messages_wait_and_are_given_up_with_their_connection(daemon, bridge, others, name):
    halves = {
        "db.sock": b'{"method":"transact","id":1,"params":["Open_vSwitch",{"op":',
        "ctl": b'{"method":"list-commands","id":1,"par',
        "mgmt": struct.pack("!BBHI", 4, 0, 16, 1) + b"\0\1",
    }
    peers = [connect(daemon, bridge, name) for _ in range(20)]
    for peer in peers:
        peer.sendall(halves[name])
    others()
    for peer in peers:
        peer.close()
    others()


@pytest.mark.parametrize("name", SOCKETS)
def test_hundreds_of_silent_connections_stop_nobody(daemon, bridge, others, name):
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(connect(daemon, bridge, name))
        others()


# --- OpenFlow


def test_a_first_message_that_is_no_hello_is_refused(daemon, bridge, others):
    with connect(daemon, bridge, "mgmt") as peer:
        peer.sendall(struct.pack("!BBHI", 4, 5, 8, 1))
        drain(peer)
    others()


@pytest.mark.parametrize("length", [0, 1, 7])
def test_a_length_below_the_header_ends_the_connection(daemon, bridge, others, length):
    session = Session(daemon.sock(f"{bridge}.mgmt"), 4)
    session.socket.sendall(struct.pack("!BBHI", 4, 2, length, 1))
    drain(session.socket)
    session.close()


def test_no_common_version_is_said_in_words(daemon, bridge, others):
    daemon.vsctl("set", "bridge", bridge, "protocols=OpenFlow13")
    with connect(daemon, bridge, "mgmt") as peer:
        peer.sendall(struct.pack("!BBHI", 1, 0, 8, 1))
        replies = drain(peer)
    daemon.vsctl("clear", "bridge", bridge, "protocols")
    at = struct.unpack_from("!H", replies, 2)[0]
    assert struct.unpack_from("!BBHIHH", replies, at)[1::4] == (1, 0)  # HELLO_FAILED, INCOMPATIBLE
    assert b"no common versions" in replies


ANY = 0xFFFFFFFF
OPENFLOW_FLOODS = {
    "echo requests": struct.pack("!BBHI", 4, 2, 60008, 1) + bytes(60000),
    "flow statistics": struct.pack("!BBHIHH4xB3xII4xQQHH4x", 4, 18, 56, 1, 1, 0, 255, ANY, ANY, 0, 0, 1, 4),
    "unknown messages": struct.pack("!BBHI", 4, 99, 8, 1) * 500,
    "barriers": struct.pack("!BBHI", 4, 20, 8, 1) * 500,
}


@pytest.mark.parametrize("flood", OPENFLOW_FLOODS)
def test_a_peer_that_asks_and_never_reads_is_held_back(daemon, bridge, others, flood):
    flows = "".join(f"table=9,priority={i},udp,tp_dst={i},actions=drop\n" for i in range(1, 500))
    daemon.ofctl("add-flows", bridge, "-", stdin=flows)
    before = memory_kb(daemon)
    session = Session(daemon.sock(f"{bridge}.mgmt"), 4)
    assert send_as_much_as_goes(session.socket, OPENFLOW_FLOODS[flood]) > 0
    others()
    assert memory_kb(daemon) - before < MEMORY_LIMIT_KB
    session.close()


def test_a_flood_of_flow_mods_leaves_room_for_others(daemon, bridge, others):
    process = subprocess.Popen(
        ["ovs-ofctl", "add-flows", bridge, "-"], env=daemon.env, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    address = "10.{}.{}.{}".format
    flows = (f"table=8,ip,nw_dst={address(i >> 16, i >> 8 & 255, i & 255)},actions=drop\n" for i in range(30_000))
    text = "".join(flows)
    process.stdin.write(text.encode())
    process.stdin.close()
    others()
    assert (process.wait(30), process.stderr.read()) == (0, b"")
    process.stderr.close()
    assert "flow_count=30000" in daemon.ofctl("-O", "OpenFlow13", "dump-aggregate", bridge, "table=8")
    daemon.ofctl("del-flows", bridge, "table=8")


def test_a_flood_of_packets_for_a_controller_that_does_not_read_stops_nobody(daemon, bridge, others):
    daemon.ofctl("add-flow", bridge, "priority=99,in_port=LOCAL,actions=controller:65535")
    session = Session(daemon.sock(f"{bridge}.mgmt"), 4)
    session.socket.sendall(struct.pack("!BBHIHH", 4, 9, 12, 5, 0, 0xFFFF))
    assert session.call(b"") == []
    frame = bytes.fromhex("ffffffffffff0200000000010900") + bytes(1400)
    out = struct.pack("!IIH6xHHIH6x", 0xFFFFFFFF, 0xFFFFFFFE, 16, 0, 16, 0xFFFFFFF9, 0) + frame  # to TABLE, from LOCAL
    packet_out = struct.pack("!BBHI", 4, 13, 8 + len(out), 6) + out
    before = memory_kb(daemon)
    assert send_as_much_as_goes(session.socket, packet_out) > 100
    others()
    assert memory_kb(daemon) - before < MEMORY_LIMIT_KB
    session.close()


# --- the database's socket and the control socket


def ask(peer: socket.socket, method: str, params: object, **more: object) -> dict:
    """Send a JSON-RPC request and return its reply."""
    peer.sendall(json.dumps({"method": method, "params": params, "id": 7, **more}).encode())
    text = b""
    while True:
        text += peer.recv(1 << 16) or pytest.fail("closed")
        with contextlib.suppress(ValueError):
            return json.loads(text)


@pytest.mark.parametrize(
    ("name", "method", "params", "error"),
    [
        ("db.sock", "nosuch", [], "unknown method"),
        ("db.sock", "transact", ["nosuch"], "unknown database"),
        ("db.sock", "get_schema", ["nosuch"], "unknown database"),
        ("db.sock", "get_schema", [1, 2], "syntax error"),
        ("db.sock", "monitor", ["Open_vSwitch", None, {"NoSuch": {}}], "syntax error"),
        ("ctl", "nosuch", [], "not a valid command"),
        ("ctl", "version", ["one", "two"], "takes at most 0 arguments"),
        ("ctl", "fdb/show", ["nosuch"], "no such bridge"),
        ("ctl", "fdb/show", [7], "command has non-string argument"),
        ("ctl", "vlog/set", ["no:such:level"], "no"),
    ],
)
def test_a_wrong_request_is_answered_precisely_and_the_connection_lives(daemon, bridge, name, method, params, error):
    with connect(daemon, bridge, name) as peer:
        reply = ask(peer, method, params)
        assert reply["id"] == 7 and reply["error"] is not None
        assert error in json.dumps(reply["error"])
        assert ask(peer, *(("list_dbs", []) if name == "db.sock" else ("version", [])))["error"] is None


@pytest.mark.parametrize("name", ["db.sock", "ctl"])
@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 20_000, '"' + "x" * 3_000_000, "{}", "[1,2,3]", '{"method":7,"id":1}', "nonsense"],
    ids=["brackets", "braces", "long string", "empty", "array", "wrong types", "no JSON"],
)
def test_json_that_is_no_request_ends_the_connection(daemon, bridge, others, name, text):
    with connect(daemon, bridge, name) as peer:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            peer.sendall(text.encode())
            peer.shutdown(socket.SHUT_WR)
        drain(peer)


@pytest.mark.parametrize("name", ["db.sock", "ctl"])
def test_a_flood_of_requests_by_a_peer_that_never_reads_is_held_back(daemon, bridge, others, name):
    requests = {"db.sock": ("get_schema", ["Open_vSwitch"]), "ctl": ("list-commands", [])}
    method, params = requests[name]
    before = memory_kb(daemon)
    with connect(daemon, bridge, name) as peer:
        send_as_much_as_goes(peer, json.dumps({"method": method, "params": params, "id": 1}).encode())
        others()
        assert memory_kb(daemon) - before < MEMORY_LIMIT_KB


def test_a_transaction_with_everything_wrong_changes_nothing(daemon, bridge, others):
    operations = [
        {"op": "insert", "table": "Bridge", "row": {"name": "half", "ports": ["uuid", "not-a-uuid"]}},
        {"op": "insert", "table": "Port", "row": {"name": 7}},
        {"op": "nosuch"},
        {"op": "mutate", "table": "Port", "where": [], "mutations": [["tag", "+=", "x"]]},
        {"op": "update", "table": "Open_vSwitch", "where": [["nosuch", "==", 1]], "row": {}},
        {"op": "wait", "table": "Open_vSwitch", "where": [], "until": "==", "rows": [{}], "timeout": "x"},
        7,
        "select",
    ]
    before = daemon.vsctl("show")
    with connect(daemon, bridge, "db.sock") as peer:
        for operation in operations:
            (*_, last) = ask(peer, "transact", ["Open_vSwitch", operation])["result"] or [{"error": "syntax error"}]
            assert last["error"] in ("syntax error", "constraint violation", "unknown column"), last
    assert daemon.vsctl("show") == before


def test_a_full_directory_of_rows_is_one_transaction(daemon, bridge, others):
    """A hundred ports without devices at once: all get their error, and the daemon serves others meanwhile."""
    words = []
    for number in range(100):
        words += ["--", "add-port", bridge, f"x{os.getpid() % 1000}n{number}"]
    daemon.vsctl("--no-wait", *words[1:])
    others()
    name = f"x{os.getpid() % 1000}n99"
    wait_until(lambda: daemon.interface(name, "ofport") == -1, "the last one has its error")


def test_a_bridge_can_go_while_its_connections_wait(daemon):
    """Connections in the middle of a message or of a barrier are closed, without a word in the log."""
    name = device("cb")
    for _ in range(10):
        daemon.vsctl("add-br", name)
        peers = [Session(daemon.sock(f"{name}.mgmt"), 4) for _ in range(5)]
        for peer in peers:
            peer.socket.sendall(struct.pack("!BBHI", 4, 20, 8, 1) * 200 + b"\x04")
        daemon.vsctl("del-br", name)
        for peer in peers:
            drain(peer.socket)
            peer.close()
    assert "Traceback" not in daemon.log()
