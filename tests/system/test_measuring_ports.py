"""The interface types `pcap` and `null` of a running daemon, as ovs-vsctl configures them (PT.28, DB.43)."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from datapath.ports import pcap_file
from tests.peers.daemon import Daemon, wait_until

pytestmark = [pytest.mark.root, pytest.mark.ovs_tools]
BRIDGE = "br0"
BATCH = 128  # packets that a forwarder receives at once


def frame(number: int) -> bytes:
    return (bytes.fromhex("020000000002 020000000001 88b5") + number.to_bytes(4, "big")).ljust(60, b"\0")


@pytest.fixture
def played(tmp_path) -> Path:
    path = tmp_path / "in.pcap"
    frames = [frame(i) for i in range(500)]
    records = b"".join(struct.pack("=IIII", 0, 0, len(one), len(one)) + one for one in frames)
    path.write_bytes(pcap_file.header() + records)
    return path


@pytest.fixture
def wired(daemon: Daemon) -> Iterator[Daemon]:
    """The daemon with an empty bridge, which is gone after the test."""
    daemon.vsctl("add-br", BRIDGE, "--", "set-fail-mode", BRIDGE, "secure")
    yield daemon
    daemon.vsctl("del-br", BRIDGE)


def add(daemon: Daemon, name: str, kind: str, *options: str) -> str:
    """Add an interface and return its error column."""
    words = [f"options:{option}" for option in options]
    daemon.tool(
        "ovs-vsctl", "--timeout=20", "add-port", BRIDGE, name, "--", "set", "Interface", name, f"type={kind}", *words
    )
    return daemon.interface(name, "error")


def sent(daemon: Daemon, name: str) -> int:
    """Packets that a port has sent by now."""
    line = daemon.ofctl("dump-ports", BRIDGE, name).splitlines()[-1]
    return int(line.split("pkts=")[1].split(",")[0])


def received(daemon: Daemon, name: str) -> int:
    line = daemon.ofctl("dump-ports", BRIDGE, name).splitlines()[-2]
    return int(line.split("pkts=")[1].split(",")[0])


def test_a_capture_is_played_through_the_flows_and_written(wired, played, tmp_path):
    out = tmp_path / "out.pcap"
    assert add(wired, "out", "pcap", f"tx_pcap={out}") is None
    assert add(wired, "sink", "null") is None
    wired.ofctl("add-flow", BRIDGE, "actions=output:1,output:2")
    assert add(wired, "src", "pcap", f"rx_pcap={played}") is None
    wait_until(lambda: sent(wired, "sink") == 500, "all frames sent")
    wait_until(lambda: out.stat().st_size >= 24 + 500 * 76, "the file is written without being asked for")
    assert pcap_file.read(str(out)) == [frame(i) for i in range(500)]
    assert wired.appctl("drops/show") == ""
    assert [wired.interface(name, "link_state") for name in ("src", "out", "sink")] == ["up"] * 3
    shown = wired.appctl("dpctl/show")
    assert "out (pcap" in shown and "sink (null" in shown


def test_an_infinite_one_plays_until_its_port_goes_or_is_put_down(wired, played):
    add(wired, "sink", "null")
    wired.ofctl("add-flow", BRIDGE, "actions=output:1")
    assert add(wired, "src", "pcap", f"rx_pcap={played}", "infinite_rx=true") is None
    wait_until(lambda: sent(wired, "sink") > 1_000_000, "a million frames", 20)
    wired.ofctl("mod-port", BRIDGE, "src", "down")
    before = wait_until(lambda: rest(wired), "comes to rest")
    wait_until(lambda: wired.interface("src", "admin_state") == "down", "the database says so")
    wired.ofctl("mod-port", BRIDGE, "src", "up")
    wait_until(lambda: sent(wired, "sink") > before, "plays again")
    wired.vsctl("del-port", BRIDGE, "src")
    wait_until(lambda: rest(wired), "comes to rest")
    # What a forwarder had in its hands when the port was put down or taken away: a batch each time.
    dropped = {line.split()[1]: int(line.split()[0]) for line in wired.appctl("drops/show").splitlines()}
    assert dropped.keys() <= {"rx_port_disabled", "miss_no_bridge"} and sum(dropped.values()) <= 4 * BATCH


def rest(daemon: Daemon) -> int:
    """What the null port has sent, 0 while it still grows."""
    before = sent(daemon, "sink")
    time.sleep(0.05)
    return before if sent(daemon, "sink") == before else 0


def test_other_options_make_the_port_anew_under_its_number(wired, played, tmp_path):
    first, second = tmp_path / "1.pcap", tmp_path / "2.pcap"
    add(wired, "out", "pcap", f"tx_pcap={first}")
    add(wired, "src", "pcap")
    wired.ofctl("add-flow", BRIDGE, "actions=output:1")
    wired.vsctl("set", "Interface", "out", f"options:tx_pcap={second}")
    assert wired.interface("out", "ofport") == 1
    wired.vsctl("set", "Interface", "src", f"options:rx_pcap={played}")
    wait_until(lambda: second.stat().st_size == 24 + 500 * 76, "the second file is written")
    assert first.stat().st_size == 24
    wired.vsctl("set", "Interface", "src", "external_ids:a=b")  # another column: it is not played again
    assert received(wired, "src") == 500
    wired.restart()
    wait_until(lambda: received(wired, "src") == 500, "played after a restart")


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("pcap", [], "x: type pcap needs options:rx_pcap or options:tx_pcap"),
        ("pcap", ["rx_pcap=/nowhere"], "x: options:rx_pcap: /nowhere: No such file or directory"),
        ("pcap", ["rx_pcap=/etc/passwd"], "x: options:rx_pcap: /etc/passwd: no capture file: it begins with "),
        ("pcap", ["tx_pcap=/nowhere/x"], "x: options:tx_pcap: /nowhere/x: No such file or directory"),
        ("pcap", ["tx_pcap=/dev/null"], "x: options:tx_pcap: /dev/null: not a regular file"),
        ("pcap", ["infinite_rx=true"], "x: options:infinite_rx needs options:rx_pcap"),
        ("pcap", ["rx_pcap=/x", "infinite_rx=yes"], "x: options:infinite_rx: 'yes' is neither true nor false"),
        ("pcap", ["speed=9"], "x: options:speed: unknown option; type pcap has rx_pcap, tx_pcap, infinite_rx"),
        ("null", ["a=b"], "x: options:a: unknown option; type null has no options"),
    ],
)
def test_wrong_options_are_named_in_the_interfaces_error(wired, kind, options, words):
    error = add(wired, "x", kind, *options)
    assert error is not None and error.startswith(words)
    assert wired.interface("x", "ofport") == -1
    assert add(wired, "fine", "null") is None
