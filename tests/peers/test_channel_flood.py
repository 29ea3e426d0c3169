"""A flood of packets for a controller that does not read: everything else the daemon has to do goes on (CH.13, CH.16).

Three ports of one bridge play a capture for ever, and each of its frames is for the controllers. One of these is deaf,
the other reads; next to them stands another bridge with two hosts and a controller of its own.
"""

from __future__ import annotations

import contextlib
import re
import struct
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from datapath.ports import pcap_file
from tests.peers.controller_stub import PACKET_IN, Stub
from tests.peers.daemon import Daemon, device
from tests.system.hosts import pair

pytestmark = [pytest.mark.root, pytest.mark.ovs_tools]

N_PORTS = 3
N_PINGS = 20
IN_PORT_13 = bytes.fromhex("80000004")  # OXM in_port, the first of a packet-in's match


def capture(folder: Path) -> Path:
    """Return a file with 500 frames of 60 bytes."""
    frames = [
        (bytes.fromhex("020000000002 020000000001 88b5") + struct.pack("!I", i)).ljust(60, b"\0") for i in range(500)
    ]
    path = folder / "in.pcap"
    path.write_bytes(pcap_file.header() + b"".join(struct.pack("=IIII", 0, 0, 60, 60) + frame for frame in frames))
    return path


def in_port(packet_in: bytes) -> int:
    """Return the input port of a packet-in of OpenFlow 1.3."""
    assert packet_in[28:32] == IN_PORT_13, packet_in.hex()
    return int.from_bytes(packet_in[32:36], "big")


def resident_kb(daemon: Daemon) -> int:
    assert daemon.process is not None
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))


def drops(daemon: Daemon) -> dict[str, int]:
    """Return the counts of drops/show by reason."""
    return {line.split()[1]: int(line.split()[0]) for line in daemon.appctl("drops/show").splitlines()}


@contextlib.contextmanager
def flood(daemon: Daemon, bridge: str, path: Path) -> Iterator[None]:
    """Have ports of a bridge receive frames as fast as the switch takes them."""
    names = [device("fl") for _ in range(N_PORTS)]
    for number, name in enumerate(names, 1):
        daemon.vsctl("add-port", bridge, name, "--", "set", "Interface", name, "type=pcap", f"ofport_request={number}",
                     f"options:rx_pcap={path}", "options:infinite_rx=true")  # fmt: skip
    yield
    for name in names:
        daemon.vsctl("del-port", bridge, name)


@contextlib.contextmanager
def controlled(daemon: Daemon, name: str, n_controllers: int, version: int) -> Iterator[list[Stub]]:
    """Make a bridge of fail mode secure with controllers that are connected."""
    stubs = [Stub(daemon.place.call) for _ in range(n_controllers)]
    for stub in stubs:
        stub.listen()
    targets = [f"tcp:127.0.0.1:{stub.port}" for stub in stubs]
    daemon.vsctl("add-br", name, "--", "set-fail-mode", name, "secure", "--", "set-controller", name, *targets)
    for uuid in daemon.vsctl("get", "bridge", name, "controller").strip("[]").split(", "):
        daemon.vsctl("set", "controller", uuid, "inactivity_probe=0", "max_backoff=1000")
    try:
        for stub in stubs:
            stub.accept(version).until_barrier(version)
        yield stubs
    finally:
        for stub in stubs:
            stub.hang_up()
        daemon.vsctl("del-br", name)


def timed(work, *args) -> float:
    """Return how many seconds a call takes."""
    begin = time.monotonic()
    work(*args)
    return time.monotonic() - begin


@pytest.mark.parametrize("misses", [False, True], ids=["openflow13-rule", "openflow10-misses"])
def test_a_flood_for_a_deaf_controller_stalls_nothing(daemon: Daemon, tmp_path, misses):  # CH.13, CH.16, MS.09, MS.12
    version = 1 if misses else 4
    busy, calm = device("cb"), device("cb")
    with (
        controlled(daemon, busy, 2, version) as (deaf, reader),
        controlled(daemon, calm, 1, 4) as (other,),
        pair(daemon, calm, "internal") as (near, far),
        ThreadPoolExecutor() as pool,
    ):
        daemon.ofctl("add-flow", calm, "priority=1,actions=NORMAL")
        daemon.ofctl("add-flow", calm, "priority=2,icmp,actions=NORMAL,CONTROLLER")
        if not misses:
            daemon.ofctl("add-flow", busy, "actions=CONTROLLER")
        assert near.ping(far, count=2) == 2
        other.until_barrier()
        before_kb, before = resident_kb(daemon), drops(daemon)
        with flood(daemon, busy, capture(tmp_path)):
            read, heard = pool.submit(reader.follow, 0.7), pool.submit(other.follow, 0.7)
            assert near.ping(far, count=N_PINGS) == N_PINGS
            assert max(timed(daemon.appctl, "version") for _ in range(5)) < 1
            assert timed(daemon.vsctl, "set", "bridge", calm, "other_config:some=thing") < 2
            assert timed(daemon.ofctl, "dump-flows", busy) < 2
            assert resident_kb(daemon) - before_kb < 20_000
            lost = drops(daemon)["controller_queue_full"] - before.get("controller_queue_full", 0)
            assert lost > 10_000
            assert int(daemon.appctl("coverage/read-counter", "packet_in_overflow")) > 1000
        deaf.until_barrier(version)  # it gets what waits for it and is as good as ever
        read, heard = read.result(), heard.result()
        assert {message[1] for message in heard} == {PACKET_IN} and len(heard) == 2 * N_PINGS
        packet_ins = [message for message in read if message[1] == PACKET_IN]
        assert len(packet_ins) > 1000
        if not misses:
            ports = Counter(map(in_port, packet_ins))
            assert sorted(ports) == [1, 2, 3] and min(ports.values()) > 100
