"""Many ports at once, and ports that come and go under traffic (PT.23, PT.26, DB.43, SC.01)."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.peers.daemon import Daemon, device, running, wait_until
from tests.system.hosts import Host, host, pair

pytestmark = [pytest.mark.root, pytest.mark.ovs_tools]

HALF_MINUTE = "-w", "30"


def numbers(daemon: Daemon) -> dict[str, int]:
    """Return the port numbers of all interfaces."""
    rows = json.loads(daemon.vsctl("--format=json", "--columns=name,ofport", "list", "interface"))["data"]
    return {name: ofport for name, ofport in rows if isinstance(ofport, int)}


def many(n: int, *words: str) -> list[str]:
    """Return one command line for ovs-vsctl: `words` for each of `n` ports, with {} for the number."""
    return [w.format(i) for i in range(n) for w in ("--", *words)]


def batch(daemon: Daemon, n: int, line: str) -> None:
    """Run ip(8) in the daemon's namespace once with `n` lines."""
    lines = "".join(line.format(i) + "\n" for i in range(n))
    daemon.ok("ip", "-n", daemon.place.name, "-batch", "-", stdin=lines)


@contextlib.contextmanager
def flood(near: Host, far: Host) -> Iterator[None]:
    """Send echo requests as fast as they are answered, for at most half a minute."""
    words = ["ip", "netns", "exec", near.place.name, "ping", "-q", "-f", *HALF_MINUTE, far.address]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def check_many(folder, n: int, limit_s: float) -> None:
    """Add, lose and remove `n` veth and `n` internal ports at once, each within `limit_s` seconds."""
    bridge = device("cb")
    with running(folder / "run") as daemon:
        daemon.vsctl("add-br", bridge)
        with pair(daemon, bridge, "internal") as (near, far):
            batch(daemon, n, "link add w{0} type veth peer name wp{0}")
            start = time.monotonic()
            daemon.vsctl(*many(n, "add-port", bridge, "w{0}"))
            internal = ("add-port", bridge, "i{0}", "--", "set", "interface", "i{0}", "type=internal")
            daemon.vsctl(*many(n, *internal))
            assert time.monotonic() - start < limit_s
            # The command returns once cur_cfg says that all of it works: every port has a number then, each its own.
            found = numbers(daemon)
            ours = [found[f"{kind}{i}"] for kind in "wi" for i in range(n)]
            assert len(set(ours)) == 2 * n and min(ours) > 0
            assert daemon.get("open_vswitch", ".", "cur_cfg") == daemon.get("open_vswitch", ".", "next_cfg")
            assert near.ping(far) == 5
            batch(daemon, n, "link del w{0}")
            wait_until(lambda: {numbers(daemon)[f"w{i}"] for i in range(n)} == {-1}, "the loss is written", limit_s)
            assert near.ping(far) == 5
            start = time.monotonic()
            daemon.vsctl(*many(n, "del-port", "w{0}", "--", "del-port", "i{0}"))
            assert time.monotonic() - start < limit_s
            assert set(numbers(daemon)) == {bridge, near.port, far.port}
            assert "i0" not in daemon.place.ip("-br", "link")
            assert near.ping(far) == 5
        daemon.vsctl("del-br", bridge)


def test_many_ports_come_vanish_and_go_at_once(tmp_path):
    check_many(tmp_path, 40, 10)


@pytest.mark.slow
def test_200_ports_of_each_kind_come_vanish_and_go_at_once(tmp_path):
    check_many(tmp_path, 200, 20)


def check_recreated(daemon: Daemon, bridge: str, times: int) -> None:
    """Delete the veth under a port and make it again, over and over under traffic; then it forwards."""
    with pair(daemon, bridge, "internal") as (near, far):
        number = daemon.interface(near.port, "ofport")
        for _ in range(times):
            with flood(near, far):
                lines = (
                    f"link del {near.port}\n"
                    f"link add {near.port} type veth peer name {near.device} netns {near.place.name}\n"
                    f"link set {near.port} up\n"
                )
                daemon.ok("ip", "-n", daemon.place.name, "-batch", "-", stdin=lines)
                near.place.ip("addr", "add", "10.1.0.1/24", "dev", near.device)
                near.place.ip("link", "set", near.device, "up")
        far.place.ip("neigh", "flush", "all")
        wait_until(lambda: near.ping(far, count=1, wait_s=1), "it forwards again")
        assert near.ping(far) == 5
        assert (daemon.interface(near.port, "ofport"), daemon.interface(near.port, "error")) == (number, None)
    assert "Traceback" not in daemon.log()


def test_a_veth_is_deleted_and_made_again_under_traffic(daemon, bridge):
    check_recreated(daemon, bridge, 8)


@pytest.mark.slow
def test_a_veth_is_deleted_and_made_again_50_times_under_traffic(daemon, bridge):
    check_recreated(daemon, bridge, 50)


def test_ports_are_deleted_while_they_carry_traffic(daemon, bridge):
    """The frames of a port that goes have somewhere to end; the others go on."""
    with pair(daemon, bridge, "internal") as (near, far), pair_of_its_own(daemon, bridge) as (one, two):
        with flood(near, far), flood(one, two):
            for _ in range(10):
                daemon.vsctl("del-port", two.port)
                daemon.vsctl("add-port", bridge, two.port)
        two.place.ip("neigh", "flush", "all")
        wait_until(lambda: one.ping(two, count=1, wait_s=1), "it forwards again")
        assert near.ping(far) == 5
    assert "Traceback" not in daemon.log()


@contextlib.contextmanager
def pair_of_its_own(daemon: Daemon, bridge: str) -> Iterator[tuple[Host, Host]]:
    """Make two more hosts on system ports, with addresses of their own."""
    with host(daemon, bridge, "system", "10.2.0.1/24") as one, host(daemon, bridge, "system", "10.2.0.2/24") as two:
        yield one, two


def test_a_veth_moves_to_and_fro_under_traffic(daemon, bridge):
    with pair(daemon, bridge, "internal") as (near, far), flood(far, near):
        for _ in range(5):
            daemon.place.ip("link", "set", near.port, "netns", far.place.name)
            far.place.ip("link", "set", near.port, "netns", daemon.place.name)
            daemon.place.ip("link", "set", near.port, "up")
        wait_until(lambda: near.ping(far, count=1, wait_s=1), "it forwards again")
    assert "Traceback" not in daemon.log()
