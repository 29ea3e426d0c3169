"""The host's stack does not answer what a system port receives, as long as it is one (issue 2, 3)."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from datapath.ports import netdev, silence
from datapath.ports.afpacket import AfPacketPort
from datapath.ports.tap import TapPort
from tests.system.netns import Namespace, inside, namespace, needs_root, switch_namespace, unique, veth, wire

pytestmark = [pytest.mark.root, needs_root]

ROOT = Path(__file__).parents[2]
MAC = bytes.fromhex("02aabbccdd01")


@pytest.fixture
def switch():
    with switch_namespace() as made:
        yield made


@pytest.fixture
def far():
    with namespace() as made:
        yield made


def refuse_tcx(ifindex: int) -> silence.Silencer:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.fixture(params=["tcx", "clsact"])
def method(request, monkeypatch):
    """Each way by which the stack is kept silent."""
    if request.param == "clsact":
        monkeypatch.setattr(silence._Tcx, "__init__", lambda self, ifindex: refuse_tcx(ifindex))
    return request.param


def ping(where: Namespace, address: str, count: int = 2) -> tuple[int, int]:
    """Return (answers, duplicates) to `count` requests."""
    where.ip("neigh", "flush", "all")  # else an unanswered ARP request makes the next one wait
    printed = where.run("ping", "-n", "-c", str(count), "-i", "0.1", "-W", "0.5", address, check=False).stdout
    lines = [line for line in printed.splitlines() if "icmp_seq=" in line and "ttl=" in line]
    duplicates = [line for line in lines if "DUP!" in line]
    return len(lines) - len(duplicates), len(duplicates)


def qdiscs(where: Namespace, name: str) -> list[str]:
    rows = json.loads(where.run("tc", "-j", "qdisc", "show", "dev", name).stdout)
    return [row["kind"] for row in rows if row["kind"] in ("clsact", "ingress")]


def bridge(switch: Namespace, device: str) -> TapPort:
    """Return a bridge's internal port, with an address of its own and the device's MAC address, as bridges have."""
    name = unique()
    port = TapPort(name, "internal")
    netdev.set_mac(device, MAC)
    netdev.set_mac(name, MAC)
    switch.ip("link", "set", name, "up")
    switch.ip("addr", "add", "10.9.0.1/24", "dev", name)
    return port


def test_a_ping_to_the_bridge_gets_exactly_one_reply(switch, far, method):
    device, _ = veth(switch, far, address="10.9.0.2/24")
    with bridge(switch, device) as local, AfPacketPort(device) as port:
        assert port.silenced_by == method
        with wire(local, port):
            assert ping(far, "10.9.0.1") == (2, 0)


def test_without_silence_the_stack_answers_too(switch, far):
    """The fault that this is about; a test of the test above."""
    device, _ = veth(switch, far, address="10.9.0.2/24")
    with bridge(switch, device) as local, AfPacketPort(device, silence=False) as port:
        assert port.silenced_by == ""
        with wire(local, port):
            answers, duplicates = ping(far, "10.9.0.1", 3)
            assert answers == 3
            assert duplicates >= 2


def test_the_device_is_silent_exactly_while_it_is_a_port(switch, far, method):
    device, _ = veth(switch, far, address="10.9.0.2/24")
    switch.ip("addr", "add", "10.9.0.1/24", "dev", device)
    assert ping(far, "10.9.0.1", 1) == (1, 0)
    with AfPacketPort(device) as port:
        assert ping(far, "10.9.0.1", 1) == (0, 0)
        assert port.stats()["drops"] == {}
    assert ping(far, "10.9.0.1", 1) == (1, 0)
    assert qdiscs(switch, device) == []
    del port
    port = AfPacketPort(device)
    del port  # never closed, as in a daemon that ends by an exception
    if method == "tcx":
        assert ping(far, "10.9.0.1", 1) == (1, 0)


@pytest.mark.parametrize("kind", ["clsact", "ingress"])
def test_a_qdisc_of_the_user_is_used_and_stays(switch, far, kind):
    device, _ = veth(switch, far, address="10.9.0.2/24")
    switch.ip("addr", "add", "10.9.0.1/24", "dev", device)
    switch.run("tc", "qdisc", "add", "dev", device, kind)
    # a filter of the user's that only looks: it must go on seeing frames, before ours
    u32 = ["protocol", "ip", "prio", "7", "u32", "match", "u32", "0", "0", "flowid", "1:1"]
    parent = ["parent", "ffff:"] if kind == "ingress" else ["ingress"]
    switch.run("tc", "filter", "add", "dev", device, *parent, *u32)
    before = switch.run("tc", "filter", "show", "dev", device, *parent).stdout
    assert "u32" in before
    with AfPacketPort(device) as port:
        assert port.silenced_by == "clsact"
        during = switch.run("tc", "filter", "show", "dev", device, *parent).stdout
        rows = [line for line in during.splitlines() if "handle" in line or "fh" in line]
        assert "u32" in rows[0]
        assert "pref 65535 bpf chain 0 handle 0x63797673 direct-action" in rows[-1]
    assert qdiscs(switch, device) == [kind]
    after = switch.run("tc", "filter", "show", "dev", device, *parent).stdout
    assert after.replace("filter ingress ", "filter ") == before.replace("filter ingress ", "filter ")


def test_an_empty_qdisc_of_the_user_stays(switch, far):
    device, _ = veth(switch, far)
    switch.run("tc", "qdisc", "add", "dev", device, "clsact")
    AfPacketPort(device).close()
    assert qdiscs(switch, device) == ["clsact"]


def test_a_filter_that_the_user_added_meanwhile_keeps_our_qdisc(switch, far, method):
    if method == "tcx":
        pytest.skip("there is no qdisc")
    device, _ = veth(switch, far)
    with AfPacketPort(device):
        assert qdiscs(switch, device) == ["clsact"]
        switch.run(
            "tc",
            "filter",
            "add",
            "dev",
            device,
            "egress",
            "protocol",
            "ip",
            "u32",
            "match",
            "u32",
            "0",
            "0",
            "flowid",
            "1:1",
        )
    assert qdiscs(switch, device) == ["clsact"]
    assert "bpf" not in switch.run("tc", "filter", "show", "dev", device, "ingress").stdout
    assert "u32" in switch.run("tc", "filter", "show", "dev", device, "egress").stdout


CHILD = """
import sys, time
from datapath.ports import silence
from datapath.ports.afpacket import AfPacketPort
if sys.argv[2] == "clsact":
    def refuse(self, ifindex):
        raise PermissionError(1, "no")
    silence._Tcx.__init__ = refuse
port = AfPacketPort(sys.argv[1])
print(port.silenced_by, flush=True)
if sys.argv[3] == "stay":
    time.sleep(60)
"""


def test_what_a_killed_daemon_leaves_is_reclaimed(switch, far, method):
    device, _ = veth(switch, far, address="10.9.0.2/24")
    switch.ip("addr", "add", "10.9.0.1/24", "dev", device)
    command = ["ip", "netns", "exec", switch.name, sys.executable, "-c", CHILD, device, method, "stay"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == method
        assert ping(far, "10.9.0.1", 1) == (0, 0)
        child.send_signal(signal.SIGKILL)
        child.wait()
    if method == "tcx":
        assert ping(far, "10.9.0.1", 1) == (1, 0)  # nothing is left
    else:
        assert qdiscs(switch, device) == ["clsact"]
    with AfPacketPort(device) as port:
        assert port.silenced_by == method
        assert ping(far, "10.9.0.1", 1) == (0, 0)
    assert qdiscs(switch, device) == []
    assert ping(far, "10.9.0.1", 1) == (1, 0)


def test_a_daemon_that_ends_without_closing_leaves_nothing(switch, far, method):
    device, _ = veth(switch, far)
    printed = switch.run("env", "-C", str(ROOT), sys.executable, "-c", CHILD, device, method, "end").stdout
    assert printed.strip() == method
    assert qdiscs(switch, device) == []


def test_a_qdisc_of_the_user_with_a_leftover_filter_stays(switch, far, method):
    if method == "tcx":
        pytest.skip("there is no qdisc")
    device, _ = veth(switch, far)
    switch.run("tc", "qdisc", "add", "dev", device, "clsact")
    silence.silence(device, netdev.ifindex(device))  # never undone
    assert silence.reclaim(device, netdev.ifindex(device))
    assert not silence.reclaim(device, netdev.ifindex(device))
    assert qdiscs(switch, device) == ["clsact"]


def test_a_device_that_is_gone_is_no_trouble(switch, far, method):
    device, _ = veth(switch, far)
    port = AfPacketPort(device)
    netdev.delete(device)
    port.close()


def test_no_way_at_all_is_logged_and_the_port_works(switch, far, monkeypatch, caplog):
    device, _ = veth(switch, far)
    monkeypatch.setattr(silence._Tcx, "__init__", lambda self, ifindex: refuse_tcx(ifindex))
    monkeypatch.setattr(silence, "_add_filter", lambda ifindex, handle: refuse_tcx(ifindex))
    with AfPacketPort(device) as port:
        assert port.silenced_by == ""
    assert "the host's stack also answers" in caplog.text
    assert "tcx: Operation not permitted, clsact: Operation not permitted" in caplog.text
    assert qdiscs(switch, device) == []


def test_in_a_user_namespace_the_classic_way_is_taken(switch, far):
    """PT.27: CAP_BPF does not reach into a user namespace, classifiers do."""
    script = (
        "import subprocess\n"
        "for args in ('add v0 type veth peer name v1', 'set v0 up', 'set v1 up'):\n"
        "    subprocess.run(['ip', 'link', *args.split()], check=True)\n"
        "from datapath.ports.afpacket import AfPacketPort\n"
        "from datapath.ports.rig import PortRig\n"
        "with AfPacketPort('v0') as one, AfPacketPort('v1') as other:\n"
        "    PortRig().send(one, [bytes(60)])\n"
        "    frames = PortRig().receive(other)\n"
        "    print(one.silenced_by, bytes(60) in frames)\n"
    )
    command = ["unshare", "--user", "--map-root-user", "--net", sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if "unshare" in done.stderr:
        pytest.skip(f"no user namespaces here: {done.stderr.strip()}")
    assert done.stdout.split() == ["clsact", "True"], done.stderr


def test_a_device_of_another_namespace_is_not_touched(switch, far):
    """A number of a device means something in its own namespace only."""
    device, peer = veth(switch, far)
    with inside(far):
        AfPacketPort(peer).close()
    assert qdiscs(switch, device) == []
