"""Flows that time out or are deleted, as a raw OpenFlow connection hears of them: reasons, counts (OF.05, MS.24)."""

from __future__ import annotations

import re
import struct
import time
from typing import NamedTuple

import pytest

from tests.ofproto.real_switch import Session
from tests.peers.daemon import wait_until
from tests.system.hosts import pair

pytestmark = [pytest.mark.root, pytest.mark.ovs_tools]

IDLE, HARD, DELETE = range(3)
FLOW_REMOVED, SET_CONFIG = 11, 9
ECHO_BYTES = 98  # an echo request of 56 bytes with its headers


class Removed(NamedTuple):
    """What of a flow-removed message is compared."""

    cookie: int
    priority: int
    reason: int
    duration_s: float
    packets: int
    n_bytes: int


def read_removed(message: bytes) -> Removed:
    """Read a flow-removed of OpenFlow 1.0 or 1.3."""
    at = 48 if message[0] == 1 else 8
    cookie, priority, reason, _, seconds, nanoseconds = struct.unpack_from("!QHBBII", message, at)
    packets, n_bytes = struct.unpack_from("!QQ", message, at + 24)
    return Removed(cookie, priority, reason, seconds + nanoseconds / 1e9, packets, n_bytes)


@pytest.fixture(params=[1, 4], ids=["openflow10", "openflow13"])
def listener(daemon, bridge, request):
    """Return a connection that asked for asynchronous messages."""
    session = Session(daemon.sock(f"{bridge}.mgmt"), request.param)
    session.socket.sendall(struct.pack("!BBHIHH", request.param, SET_CONFIG, 12, 5, 0, 0xFFFF))
    assert session.call(b"") == []
    yield session
    session.close()


def next_removed(session: Session) -> Removed:
    """Return the next flow-removed message."""
    while (message := session.read())[1] != FLOW_REMOVED:
        pass
    return read_removed(message)


@pytest.mark.parametrize("timeout", ["idle_timeout=1", "hard_timeout=2", None])
def test_a_removed_flow_tells_its_reason_and_its_final_counts(daemon, bridge, listener, timeout):
    with pair(daemon, bridge, "internal") as (near, far):
        assert near.ping(far, count=1) == 1
        words = ["cookie=7", "priority=9", "send_flow_rem", "icmp", "nw_src=10.1.0.1", timeout, "actions=NORMAL"]
        daemon.ofctl("add-flow", bridge, ",".join(filter(None, words)))
        start = time.monotonic()
        assert near.ping(far, count=40) == 40
        if timeout is None:
            daemon.ofctl("del-flows", bridge, "icmp")
        removed = next_removed(listener)
        took_s = time.monotonic() - start
    reason = {None: DELETE, "idle_timeout=1": IDLE, "hard_timeout=2": HARD}[timeout]
    assert removed[:3] == (7, 9, reason)
    assert removed[4:] == (40, 40 * ECHO_BYTES)
    assert abs(removed.duration_s - took_s) < 0.7
    assert {IDLE: 1.0, HARD: 2.0, DELETE: 0.0}[reason] <= took_s < 4.5


def test_traffic_keeps_a_flow_from_idling_out(daemon, bridge, listener):
    with pair(daemon, bridge, "system") as (near, far):
        daemon.ofctl("add-flow", bridge, "priority=9,send_flow_rem,icmp,nw_src=10.1.0.1,idle_timeout=1,actions=NORMAL")
        for _ in range(10):
            assert near.ping(far, count=1) == 1
            time.sleep(0.25)
        (line,) = (row for row in daemon.flows(bridge) if "idle_timeout=1" in row)
        assert "n_packets=10," in line
        removed = next_removed(listener)
        assert (removed.reason, removed.packets) == (IDLE, 10)
        assert removed.duration_s >= 3


def test_flow_removed_tells_nothing_where_nobody_asked(daemon, bridge, listener):
    daemon.ofctl("add-flow", bridge, "priority=9,icmp,hard_timeout=1,actions=NORMAL")
    daemon.ofctl("add-flow", bridge, "priority=8,send_flow_rem,icmp,hard_timeout=2,actions=NORMAL")
    assert next_removed(listener).priority == 8
    assert not any("timeout" in row for row in daemon.flows(bridge))


def test_learned_addresses_age(daemon, bridge):
    daemon.vsctl("set", "bridge", bridge, "other_config:mac-aging-time=15")
    arp = "ffffffffffff020000000001080600010800060400010200000000010a0000010000000000000a000002"
    daemon.ofctl("packet-out", bridge, f"in_port=LOCAL,packet={arp},actions=normal")
    learned = re.compile(r"^LOCAL     0  02:00:00:00:00:01 +(\d+)$", re.MULTILINE)
    seen = wait_until(lambda: learned.search(daemon.appctl("fdb/show", bridge)), "the address is learned")
    assert int(seen.group(1)) <= 1
    time.sleep(2.1)
    assert 2 <= int(learned.search(daemon.appctl("fdb/show", bridge)).group(1)) <= 4


def test_ages_of_flows_grow_and_use_sets_them_back(daemon, bridge):
    with pair(daemon, bridge, "system") as (near, far):
        assert near.ping(far) == 5
        age = lambda: int(re.search(r"idle_age=(\d+)", daemon.ofctl("dump-flows", bridge)).group(1))  # noqa: E731
        wait_until(lambda: age() >= 1, "the flow was idle for a second")
        assert near.ping(far) == 5
        assert age() == 0
