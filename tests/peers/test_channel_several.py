"""Several controllers of one bridge at once, each with settings of its own, next to a real Open vSwitch; os-ken; TLS
(CH.03, CH.07, CH.09, CH.12, MS.40).
"""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import struct
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.ofproto.channel_rig import msg, nx
from tests.ofproto.real_switch import installed, real_switch
from tests.peers.controller_stub import HELLO, PACKET_IN, Stub
from tests.peers.daemon import ROOT, Daemon, device, needs_tools, wait_until
from tests.system.netns import needs_root

pytestmark = [needs_root, needs_tools, pytest.mark.root, pytest.mark.ovs_tools]

EXPERIMENTER, PORT_STATUS, FLOW_REMOVED = 4, 12, 11
ARP = bytes.fromhex("ffffffffffff02000000000108060001") + bytes(44)
TO_CONTROLLER = bytes.fromhex("00000010fffffffdffff000000000000")
PACKET_OUT = msg(4, 13, bytes.fromhex("fffffffffffffffd0010000000000000") + TO_CONTROLLER + ARP)
MASTER, SLAVE = 2, 3
MODIFY = 2  # reason of a port-status


def role(number: int) -> bytes:
    return msg(4, 24, struct.pack("!I4xQ", number, 1))


def set_async(*masks: int) -> bytes:
    """Masks of packet-in, port-status and flow-removed, each as primary and as secondary."""
    return msg(4, 28, struct.pack("!6I", *masks))


# What each of the controllers says first: its version and messages.
CONTROLLERS = {
    "default": (4, []),
    "openflow10": (1, []),
    "nxt_packet_in": (1, [nx(1, 16, struct.pack("!I", 1))]),
    "nxt_packet_in2": (4, [nx(4, 16, struct.pack("!I", 2))]),
    "only port status": (4, [set_async(0, 0, 7, 7, 0, 0)]),
    "only flow removed, Nicira's": (1, [nx(1, 19, struct.pack("!6I", 0, 0, 0, 0, 15, 15))]),
    "secondary": (4, [role(SLAVE)]),
    "secondary with packet-ins": (4, [set_async(0, 7, 0, 0, 0, 0), role(SLAVE)]),
    "not what primaries get": (4, [set_async(0, 7, 0, 7, 0, 15)]),
    "another controller's packets": (4, [nx(4, 20, struct.pack("!6xH", 7))]),
    "primary": (4, [role(MASTER)]),
}


class Side:
    """A switch with a bridge and all the controllers."""

    def __init__(self, ok, bridge, call=lambda fn: fn()):
        self.ok, self.bridge = ok, bridge
        self.stubs = {name: Stub(call) for name in CONTROLLERS}

    def connect(self):
        """Connect all at once, as a switch waits for a second only, and let each say what it wants."""
        for stub in self.stubs.values():
            stub.listen()
        targets = [f"tcp:127.0.0.1:{stub.port}" for stub in self.stubs.values()]
        with ThreadPoolExecutor(len(targets)) as pool:
            accepted = [pool.submit(stub.accept, CONTROLLERS[name][0]) for name, stub in self.stubs.items()]
            self.ok("ovs-vsctl", "--timeout=20", "set-fail-mode", self.bridge, "secure",
                    "--", "set-controller", self.bridge, *targets)  # fmt: skip
            for future in accepted:
                future.result()
        for name, stub in self.stubs.items():
            stub.send(*CONTROLLERS[name][1])
            assert [message for message in stub.until_barrier(CONTROLLERS[name][0]) if message[1] == 1] == []
        self.heard()

    def events(self, port):
        """Let the switch have something to tell of each kind."""
        self.ok("ovs-ofctl", "add-flow", self.bridge, "send_flow_rem,priority=5,cookie=0x77,actions=drop")
        self.ok("ovs-ofctl", "del-flows", self.bridge)
        self.ok("ovs-vsctl", "--timeout=20", "add-port", self.bridge, port, "--",
                "set", "Interface", port, "type=internal", "ofport_request=9")  # fmt: skip
        self.stubs["primary"].send(PACKET_OUT)
        self.stubs["primary"].send(PACKET_OUT.replace(b"\xff\xfd\xff\xff", b"\xff\xfd\x00\x10"))

    def heard(self):
        """Return what each controller heard by now; devices tell in their own time how their links are (MODIFY)."""
        found = {}
        for (version, _), (name, stub) in zip(CONTROLLERS.values(), self.stubs.items(), strict=True):
            heard = map(summary, stub.until_barrier(version))
            found[name] = [message for message in heard if message != (version, PORT_STATUS, MODIFY)]
        return found

    def close(self):
        for stub in self.stubs.values():
            stub.hang_up()


def summary(message):
    """Return what two switches must have in common: all of a packet-in, the reason of the others."""
    if message[1] in (PACKET_IN, EXPERIMENTER):
        return message[:4] + message[8:]
    return (message[0], message[1], message[8] if message[1] == PORT_STATUS else message[4:8] and message[18:19])


@pytest.fixture
def sides(daemon: Daemon, bridge, tmp_path):
    if not installed():
        pytest.skip("needs Debian's openvswitch-switch")
    names = ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")
    env = os.environ | dict.fromkeys(names, str(tmp_path))

    def ok(*command):
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 0, (command, done.stderr)

    with real_switch(tmp_path):
        ok("ovs-vsctl", "--timeout=20", "del-br", "br0", "--", "add-br", "br0",
           "--", "set", "bridge", "br0", "datapath_type=dummy")  # fmt: skip
        made = [Side(daemon.ok, bridge, daemon.place.call), Side(ok, "br0")]
        yield made
        for side in made:
            side.close()


def test_each_controller_gets_what_it_chose_as_from_open_vswitch(sides):  # CH.07, CH.09, MS.38 to MS.42, MS.74, MS.75
    told = []
    for side in sides:
        side.connect()
        side.events(device("ac"))
        wait_until(lambda side=side: add(side), "every kind of event", 5)
        told.append(side.found)
    ours, theirs = told
    assert ours == theirs
    silent = [name for name, messages in ours.items() if not messages]
    assert silent == ["not what primaries get"]


def add(side):
    """Add what was heard by now to `side.found`; tells whether the controller with default settings heard it all."""
    found = getattr(side, "found", {name: [] for name in CONTROLLERS})
    for name, messages in side.heard().items():
        found[name] += messages
    side.found = found
    return len(found["default"]) >= 4


# -- os-ken


@contextlib.contextmanager
def os_ken(daemon: Daemon, version: int, log: Path) -> Iterator[int]:
    """Run the application of tests/ofproto/osken_app.py; its port."""
    stub = Stub(daemon.place.call)
    with open(log, "wb") as out:
        command = ["ip", "netns", "exec", daemon.place.name, sys.executable, "-m", "tests.ofproto.osken_app"]
        process = subprocess.Popen([*command, str(stub.port), str(version)], cwd=ROOT, stdout=out, stderr=out)
    try:
        wait_until(lambda: b"listening" in log.read_bytes(), log.read_text(), 20)
        yield stub.port
    finally:
        process.kill()
        process.wait()


def told(log: Path) -> dict[str, dict]:
    """Return what an application printed, by event."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return {line["event"]: line for line in lines}


def test_os_ken_applications_of_two_versions_and_a_raw_controller_share_a_bridge(daemon, bridge, tmp_path):  # CH.07
    pytest.importorskip("os_ken")
    logs = {1: tmp_path / "one", 4: tmp_path / "four"}
    raw = Stub(daemon.place.call)
    raw.listen()
    with os_ken(daemon, 1, logs[1]) as one, os_ken(daemon, 4, logs[4]) as four:
        daemon.vsctl("set-controller", bridge, *(f"tcp:127.0.0.1:{port}" for port in (one, four, raw.port)))
        raw.accept().until_barrier()
        for log in logs.values():
            wait_until(lambda log=log: "desc" in told(log) and "barrier" in told(log), f"{log}: {log.read_text()}", 10)
        raw.send(PACKET_OUT)
        assert [message[1] for message in raw.until_barrier()] == [PACKET_IN]
        for version, local in ((1, 0xFFFD), (4, 0xFFFFFFFD)):
            event = wait_until(lambda log=logs[version]: told(log).get("packet_in"), logs[version].read_text(), 5)
            assert event == {"event": "packet_in", "in_port": local, "length": len(ARP)}
            assert "Traceback" not in logs[version].read_text()
    raw.hang_up()


# -- TLS


def make_keys(folder: Path, *names: str) -> None:
    """Make NAME.key and a certificate NAME.pem of each name, each signed by the first, which signs itself."""
    for name in names:
        signed = [] if name == names[0] else ["-CA", folder / f"{names[0]}.pem", "-CAkey", folder / f"{names[0]}.key"]
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        subprocess.run(
            ["openssl", "req", "-x509", *curve, "-nodes", "-days", "2", "-subj", f"/CN={name}", *signed,
             "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"],
            check=True, capture_output=True,
        )  # fmt: skip


class TlsStub(Stub):
    """A controller that wants TLS, and a certificate of the same authority from the switch."""

    def __init__(self, daemon: Daemon, keys: Path, own: str, authority: str) -> None:
        super().__init__(daemon.place.call)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(keys / f"{own}.pem", keys / f"{own}.key")
        self.context.load_verify_locations(keys / f"{authority}.pem")
        self.context.verify_mode = ssl.CERT_REQUIRED

    def accept(self, version: int = 4, hello: bytes | None = None, shake: bool = True) -> Stub:
        super().accept(version, shake=False)
        assert self.peer is not None
        self.peer = self.context.wrap_socket(self.peer, server_side=True)
        self.send(msg(version, HELLO))
        assert self.read()[1] == HELLO
        return self


def test_the_switch_calls_a_controller_by_tls_and_only_one_that_its_authority_signed(daemon, bridge):  # CH.03, CH.12
    keys = daemon.folder
    make_keys(keys, "authority", "switch", "controller")
    make_keys(keys, "stranger", "impostor")
    daemon.vsctl("set-ssl", *(str(keys / name) for name in ("switch.key", "switch.pem", "authority.pem")))
    (good, bad) = TlsStub(daemon, keys, "controller", "authority"), TlsStub(daemon, keys, "impostor", "authority")
    for stub in (good, bad):
        stub.listen()
    daemon.vsctl("set-controller", bridge, *(f"ssl:127.0.0.1:{stub.port}" for stub in (good, bad)))
    good.accept().until_barrier()
    assert good.peer.getpeercert()["subject"] == ((("commonName", "switch"),),)
    with pytest.raises(ssl.SSLError):
        bad.accept()
    uuids = daemon.vsctl("get", "bridge", bridge, "controller").strip("[]").split(", ")

    def told() -> bool:
        rows = [
            {column: daemon.get("Controller", uuid, column) for column in ("target", "is_connected", "status")}
            for uuid in uuids
        ]
        by_target = {row["target"]: row for row in rows}
        refused = by_target[f"ssl:127.0.0.1:{bad.port}"]
        assert not refused["is_connected"]
        said = refused["status"].get("last_error", "")
        return by_target[f"ssl:127.0.0.1:{good.port}"]["is_connected"] and "certificate verify failed" in said

    wait_until(told, "the database tells of both controllers")
    for stub in (good, bad):
        stub.hang_up()
    daemon.vsctl("del-ssl")
