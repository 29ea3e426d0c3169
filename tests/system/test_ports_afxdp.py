"""AfXdpPort on veth pairs, in the driver and in the stack: frames, tags, checksums, lost devices, drops (PT.05)."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import shlex
import signal
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from datapath.ports import kernel, netdev
from datapath.ports.afxdp import AfXdpPort
from datapath.ports.rig import PortRig
from datapath.ports.tap import TapPort
from tests.datapath.frames import CSUM_PARTIAL, TSO4, checksum_ok, partial_tcp, tagged
from tests.oracle.segment_naive import segments
from tests.system.netns import Namespace, ip, namespace, needs_root, send_bytes, switch_namespace, unique, veth, wire
from vslib.errors import ConfigError

pytestmark = [pytest.mark.root, needs_root]

PLAIN = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x88\xb5" + bytes(range(46))
EXPERIMENTAL = b"\x88\xb5"  # IEEE 802 local experimental ethertype: the stack sends none of these by itself
ROOT = Path(__file__).parents[2]
SOL_PACKET, PACKET_AUXDATA = 263, 8
TAG_AT = 16  # of TCI and TPID in struct tpacket_auxdata


@pytest.fixture
def switch():
    with switch_namespace() as made:
        yield made


@pytest.fixture
def far():
    with namespace() as made:
        yield made


@pytest.fixture
def rig():
    rig = PortRig()
    yield rig
    assert rig.in_use == 0


@pytest.fixture(params=["generic", "native"])
def mode(request):
    return request.param


@contextlib.contextmanager
def raw(where: Namespace, name: str):
    """A plain packet socket on a device: how the test sees the far end."""
    sock = where.call(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3)))
    with sock:
        sock.bind((name, 3))
        sock.settimeout(5)
        yield sock


def receive(rig: PortRig, port: AfXdpPort, count: int, marker: bytes = EXPERIMENTAL) -> list[tuple]:
    """Receive until `count` frames with the marker came; return them with their offload state."""
    got: list[tuple] = []
    while len(got) < count:
        assert select.select([port.rx_fd], [], [], 5)[0], f"{len(got)} of {count} frames came: {port.stats()}"
        got += [(frame, offload) for frame, offload in rig.receive_meta(port) if marker in frame]
    return got


def next_frame(sock: socket.socket, marker: bytes = EXPERIMENTAL) -> bytes:
    """Return the next frame with the marker that arrived (not one that was sent)."""
    while True:
        frame, address = sock.recvfrom(70000)
        if address[2] != socket.PACKET_OUTGOING and marker in frame:
            return frame


def features(where: Namespace, name: str) -> str:
    return where.run("ethtool", "-k", name).stdout


def xdp_of(where: Namespace, name: str) -> str:
    """Return how XDP is attached: "", "xdp" or "xdpgeneric"."""
    words = ip("-n", where.name, "link", "show", name).split()
    return next((word for word in words if word in ("xdp", "xdpgeneric")), "")


def test_frames_pass_both_ways_and_are_counted(switch, far, rig, mode):
    name, peer = veth(switch, far)
    with AfXdpPort(name, mode=mode) as port, raw(far, peer) as sock:
        assert xdp_of(switch, name) == {"native": "xdp", "generic": "xdpgeneric"}[mode]
        assert (port.native, port.zero_copy, port.mtu, port.caps) == (mode == "native", False, 1500, frozenset())
        frames = [PLAIN + bytes([i]) for i in range(200)]
        for _ in range(30):  # more than the rings hold, so that every index wraps
            for frame in frames:
                sock.send(frame)
            assert [frame for frame, _ in receive(rig, port, 200)] == frames
            rig.send(port, frames)
            assert [next_frame(sock) for _ in frames] == frames
        stats = port.stats()
        assert stats["tx_packets"] == 6000
        assert stats["tx_bytes"] == 6000 * 61
        assert stats["tx_calls"] <= 240
        assert stats["rx_packets"] >= 6000
        assert not stats["drops"]
    assert xdp_of(switch, name) == ""


def test_own_frames_are_not_received_and_foreign_addresses_are(switch, far, rig, mode):
    name, peer = veth(switch, far)
    with AfXdpPort(name, mode=mode) as port, raw(far, peer) as sock:
        rig.send(port, [PLAIN] * 10)
        sock.send(b"\x02\x33\x33\x33\x33\x33" + PLAIN[6:])
        assert [frame[:6] for frame, _ in receive(rig, port, 1)] == [b"\x02\x33\x33\x33\x33\x33"]
        assert "promiscuity 1 " in ip("-n", switch.name, "-d", "link", "show", name)
    assert "promiscuity 0 " in ip("-n", switch.name, "-d", "link", "show", name)


def test_the_hosts_stack_sees_nothing(switch, far, rig, mode):
    name, peer = veth(switch, far, address="10.9.0.2/24")
    switch.ip("addr", "add", "10.9.0.1/24", "dev", name)
    with AfXdpPort(name, mode=mode):
        assert far.run("ping", "-c1", "-W1", "10.9.0.1", check=False).returncode == 1
    assert far.run("ping", "-c1", "-W3", "10.9.0.1").returncode == 0


@pytest.mark.parametrize("tpid", [0x8100, 0x88A8])
def test_vlan_tags_in_the_frame_pass_both_ways(switch, far, rig, mode, tpid):
    name, peer = veth(switch, far)
    once = tagged(PLAIN, 0xE00A, tpid)
    frames = [once, tagged(tagged(PLAIN, 7), 5, tpid), once.ljust(1518 if tpid == 0x8100 else 1514, b"x")]
    name2, peer2 = veth(switch, far)
    with AfXdpPort(name, mode=mode) as port, AfXdpPort(name2, mode=mode) as other, raw(far, peer) as sock:
        for frame in frames:
            sock.send(frame)
        assert [frame for frame, _ in receive(rig, port, 3)] == frames
        with raw(far, peer2) as second:  # which shows only the tags that the kernel did not take off
            second.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            rig.send(other, frames)
            came = 0
            while came < len(frames):
                frame, notes, _, _ = second.recvmsg(3000, 64)
                if EXPERIMENTAL not in frame:  # what the host's own stack says meanwhile
                    continue
                came += 1
                [(_, _, note)] = notes
                assert struct.unpack_from("=HH", note, TAG_AT) in ((0xE00A, tpid), (5, tpid))
        assert not port.stats()["drops"]


def push_tag(name: str, tci: int) -> int:
    """Let a device's frames leave with a tag beside them, as VLAN devices and bridges send; return a link's descriptor.

    A classifier at egress: bpf_skb_vlan_push(skb, htons(0x8100), tci).
    """
    number = struct.unpack("=H", b"\x81\0")[0]
    program = ((0xB7, 2, 0, number), (0xB7, 3, 0, tci), (0x85, 0, 0, 18), (0xB7, 0, 0, 0), (0x95, 0, 0, 0))
    code, licence = kernel.new("struct bpf_insn[]", program), kernel.new("char[]", b"GPL")
    addresses = {"insns": kernel.address(code), "license": kernel.address(licence)}
    fd = kernel.bpf(5, "load", {"prog_type": 3, "insn_cnt": len(program), **addresses})
    try:
        return kernel.bpf(28, "link", {"prog_fd": fd, "target_fd": socket.if_nametoindex(name), "attach_type": 47})
    finally:
        os.close(fd)


def test_vlan_tags_that_a_stack_leaves_to_the_device_are_not_lost(switch, far, rig, mode):
    name, peer = veth(switch, far)
    link = far.call(lambda: push_tag(peer, 5))
    try:
        with AfXdpPort(name, mode=mode) as port, raw(far, peer) as sock:
            sock.send(PLAIN)
            assert [frame for frame, _ in receive(rig, port, 1)] == [tagged(PLAIN, 5)]
    finally:
        os.close(link)


def test_offloads_of_the_other_end_are_as_before_afterwards(switch, far, mode):
    name, peer = veth(switch, far)
    before = features(far, peer)
    assert "tx-vlan-offload: on" in before
    with AfXdpPort(name, mode=mode):
        during = features(far, peer)
        assert "tx-vlan-offload: off" in during and "tcp-segmentation-offload: off" in during
        assert "tx-checksumming: on" in during
    assert features(far, peer) == before


def test_a_veth_whose_other_end_is_here_is_served_too(switch, rig, mode):
    name, peer = veth(switch, switch)
    with AfXdpPort(name, mode=mode) as port, AfXdpPort(peer, mode=mode) as other:
        rig.send(port, [PLAIN] * 3)
        assert len(receive(rig, other, 3)) == 3
        rig.send(other, [PLAIN] * 3)
        assert len(receive(rig, port, 3)) == 3


def test_unfinished_checksums_are_found_and_completed_at_the_output(switch, far, rig, mode):
    name, peer = veth(switch, far, address="10.9.0.2/24")
    far.ip("neigh", "add", "10.9.0.9", "lladdr", "02:00:00:00:00:09", "dev", peer)
    with AfXdpPort(name, mode=mode) as port:
        udp = far.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        with udp:
            udp.bind(("10.9.0.2", 5678))
            udp.settimeout(5)
            udp.sendto(b"from the stack", ("10.9.0.9", 7))
            [(frame, offload)] = receive(rig, port, 1, b"from the stack")
            assert (offload.flags, offload.csum_start, offload.csum_offset) == (CSUM_PARTIAL, 34, 6)
            assert not checksum_ok(frame)
        with raw(far, peer) as sock:
            rig.send(port, [frame], offload)
            assert checksum_ok(next_frame(sock, b"from the stack"))


def test_tcp_passes_both_ways(switch, far, mode):
    name, _ = veth(switch, far, address="10.9.0.1/24")
    with namespace() as second:
        name2, _ = veth(switch, second, address="10.9.0.2/24")
        with AfXdpPort(name, mode=mode) as one, AfXdpPort(name2, mode=mode) as other:
            with wire(one, other):
                send_bytes(far, second, "10.9.0.2", 8 << 20)
                send_bytes(second, far, "10.9.0.1", 8 << 20)
            for port in (one, other):
                assert port.stats()["rx_bytes"] > 8 << 20
                assert not port.stats()["drops"].keys() - {"rx_no_buffer", "tx_full"}


def test_tcp_passes_to_a_tap_whose_sender_may_not_segment(switch, far):
    """Frames of the veth are as long as the MTU, GSO frames of the tap are cut."""
    name, _ = veth(switch, far, address="10.9.0.1/24")
    tap = unique()
    with AfXdpPort(name) as one, TapPort(tap, "internal") as other:
        switch.ip("addr", "add", "10.9.0.2/24", "dev", tap)
        switch.ip("link", "set", tap, "up")
        with wire(one, other):
            send_bytes(far, switch, "10.9.0.2", 4 << 20)
            send_bytes(switch, far, "10.9.0.1", 4 << 20)
        assert one.stats()["tx_segmented"]


def test_what_cannot_be_sent_is_dropped_with_its_reason(switch, far, rig):
    name, peer = veth(switch, far)
    with AfXdpPort(name) as port, raw(far, peer) as sock:
        frame, offload = partial_tcp(bytes(4096), 1400)
        assert offload.flags == CSUM_PARTIAL | TSO4
        rig.send(port, [frame], offload)
        assert [next_frame(sock, b"") for _ in range(3)] == segments(frame, 1400)
        rig.send(port, [PLAIN.ljust(1515, b"z"), PLAIN])
        assert next_frame(sock) == PLAIN
        port.mtu = 9000  # now it is the size of chunks that counts
        rig.send(port, [PLAIN.ljust(3000, b"z"), PLAIN])
        assert next_frame(sock) == PLAIN
        assert port.stats()["drops"] == {"tx_too_long": 2}


def test_larger_mtus_take_larger_chunks(switch, far, rig, mode):
    name, peer = veth(switch, far)
    for place, end in ((switch, name), (far, peer)):
        place.ip("link", "set", end, "mtu", "3000" if mode == "native" else "3818")
    with AfXdpPort(name, mode=mode) as port, raw(far, peer) as sock:
        frame = PLAIN.ljust(port.mtu + 14, b"z")
        sock.send(frame)
        assert [got for got, _ in receive(rig, port, 1)] == [frame]
        rig.send(port, [frame])
        assert next_frame(sock) == frame


def test_an_mtu_that_grows_beyond_the_chunks_is_told_in_the_log(switch, far, rig, caplog):
    name, _ = veth(switch, far)
    with AfXdpPort(name) as port:
        port.mtu = 1770
        assert "are lost" not in caplog.text
        port.mtu = 1771
        assert f"{name}: frames over 1792 bytes are lost: open the port again, its MTU has grown to 1771" in caplog.text
    with AfXdpPort(name, mtu=1771) as port:
        port.mtu = 3818
        assert caplog.text.count("are lost") == 1


def test_frames_without_a_buffer_are_counted(switch, far, mode):
    name, peer = veth(switch, far)
    empty = PortRig(small=0, large=0)
    with AfXdpPort(name, mode=mode) as port, raw(far, peer) as sock:
        for _ in range(20):
            sock.send(PLAIN)
        while select.select([port.rx_fd], [], [], 0.05)[0]:
            assert empty.receive(port) == []
        assert port.stats()["drops"]["rx_no_buffer"] >= 20


def test_what_the_kernel_drops_for_full_rings_is_counted_also_after_close(switch, far, rig, mode):
    name, peer = veth(switch, far)
    with AfXdpPort(name, mode=mode) as port, raw(far, peer) as sock:
        for _ in range(3000):
            sock.send(PLAIN)
        received = 0
        while select.select([port.rx_fd], [], [], 0.05)[0]:
            received += len([frame for frame in rig.receive(port) if EXPERIMENTAL in frame])
        assert received <= 2048
        assert port.stats()["drops"]["rx_no_buffer"] >= 3000 - 2048
        again = port.stats()["drops"]["rx_no_buffer"]
    assert port.stats()["drops"]["rx_no_buffer"] == again


def test_a_device_that_is_down_drops_and_comes_back(switch, far, rig, mode):
    name, peer = veth(switch, far)
    with AfXdpPort(name, mode=mode) as port, raw(far, peer) as sock:
        netdev.set_up(name, False)
        for _ in range(40):  # more than there are chunks
            rig.send(port, [PLAIN] * 64)
        assert port.stats()["drops"] == {"tx_down": 40 * 64}
        assert port.stats()["tx_packets"] == 0
        netdev.set_up(name, True)
        sock.send(PLAIN)
        assert receive(rig, port, 1)
        rig.send(port, [PLAIN + b"again"])
        assert next_frame(sock) == PLAIN + b"again"


def test_a_deleted_device_is_reported_and_drops_with_its_reason(switch, far, rig, mode):
    name, _ = veth(switch, far)
    with AfXdpPort(name, mode=mode) as port:
        netdev.delete(name)
        with pytest.raises(OSError, match="is gone") as caught:
            for _ in range(100):
                rig.receive(port)
        assert caught.value.errno == errno.ENODEV
        with pytest.raises(OSError, match="is gone"):
            rig.receive(port)
        rig.send(port, [PLAIN] * 2)
        assert port.stats()["drops"] == {"tx_down": 2}


def test_best_effort_takes_the_best_that_works(switch, far):
    name, _ = veth(switch, far)
    with AfXdpPort(name) as port:
        assert (port.native, port.zero_copy) == (True, False)
    far.ip("link", "add", "big", "mtu", "9000", "type", "veth", "peer", "name", name + "b", "netns", switch.name)
    with AfXdpPort(name + "b") as port:  # frames of that length are none for the driver
        assert not port.native


def test_devices_and_modes_that_cannot_be_are_refused(switch, far):
    name, _ = veth(switch, far)
    refused = {
        "eth9": r"could not open network device eth9 \(No such device\)",
        "lo": r"could not open network device lo \(Invalid argument\)",
        "a" * 16: r"\(Invalid argument\)",
    }
    for device, words in refused.items():
        with pytest.raises(ConfigError, match=words):
            AfXdpPort(device)
    with pytest.raises(ConfigError, match=r"\(native XDP: Operation not supported\)"):
        AfXdpPort(name, mode="native-with-zerocopy")
    switch.ip("link", "set", name, "mtu", "9000")
    with pytest.raises(ConfigError, match=r"\(MTU 9000 is above 3818, the most for type afxdp\)"):
        AfXdpPort(name)
    switch.ip("link", "set", name, "mtu", "1500")
    with AfXdpPort(name), pytest.raises(ConfigError, match="another XDP program is attached to it"):
        AfXdpPort(name)
    wide, _ = unique("cyv"), None
    switch.ip("link", "add", wide, "numrxqueues", "2", "numtxqueues", "2", "type", "veth")
    with pytest.raises(ConfigError, match=f"it has 2 receive queues, type afxdp takes one: ethtool -L {wide} "):
        AfXdpPort(wide)


def test_no_descriptors_are_left_open_and_a_port_can_be_opened_at_once_again(switch, far, mode):
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    name, _ = veth(switch, far)
    before = count()
    for _ in range(5):
        AfXdpPort(name, mode=mode).close()
        AfXdpPort(name, mode=mode)
        with pytest.raises(ConfigError):
            AfXdpPort("lo")
    assert count() == before


def test_a_killed_process_leaves_no_program_on_the_device(switch, far):
    name, _ = veth(switch, far)
    code = f"from datapath.ports.afxdp import AfXdpPort as A; port = A({name!r}); print('open', flush=True); input()"
    command = [sys.executable, "-c", code]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    with child:
        assert child.stdout is not None and child.stdout.readline() == b"open\n"
        assert xdp_of(switch, name) == "xdp"
        child.send_signal(signal.SIGKILL)
        child.wait()
    with AfXdpPort(name):
        assert xdp_of(switch, name) == "xdp"


@pytest.mark.parametrize(
    ("limit", "words"),
    [("unlimited", "Operation not permitted; CAP_BPF and CAP_NET_ADMIN are needed"), ("64", "(ulimit -l)")],
)
def test_rights_that_are_missing_are_named(limit, words):
    code = "from datapath.ports.afxdp import AfXdpPort as A; A('v0', mode='native')"
    inside = f"ip link add v0 type veth && exec {sys.executable} -c {shlex.quote(code)}"
    command = f"ulimit -l {limit}; exec unshare --user --map-root-user --net sh -c {shlex.quote(inside)}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=ROOT, check=False)
    assert "could not open network device v0 (native XDP: " in done.stderr and words in done.stderr


def test_two_forwarders_send_at_once(switch, far, mode):
    name, peer = veth(switch, far)
    with AfXdpPort(name, mode=mode) as port, raw(far, peer) as sock:
        sock.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)
        rigs = [PortRig(forwarder=0), PortRig(forwarder=1)]
        threads = [
            threading.Thread(target=rig.send, args=(port, [PLAIN + bytes([i])] * 300)) for i, rig in enumerate(rigs)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        got = [next_frame(sock)[-1] for _ in range(600)]
        assert (got.count(0), got.count(1)) == (300, 300)
        assert port.stats()["tx_packets"] == 600


def test_every_frame_is_counted_once_however_slow_the_other_end_is(switch, rig, mode):
    """The other end takes nothing until the end: what was sent arrived or was lost there, nothing is left over."""
    name, peer = veth(switch, switch)
    with AfXdpPort(name, mode=mode) as port, AfXdpPort(peer, mode=mode) as other:
        for _ in range(100):
            rig.send(port, [PLAIN] * 60)
        sent = port.stats()
        assert sent["tx_packets"] + sent["drops"].get("tx_full", 0) == 6000
        assert not sent["drops"].keys() - {"tx_full"}
        for _ in range(200):  # idle calls send what was left in the ring
            rig.receive(port)
        received = 0
        while select.select([other.rx_fd], [], [], 0.1)[0]:
            received += len([frame for frame in rig.receive(other) if EXPERIMENTAL in frame])
        lost = other.stats()["drops"].get("rx_no_buffer", 0)
        assert abs(received + lost - sent["tx_packets"]) <= 4  # the stack's own frames are lost there, too
        rig.send(port, [PLAIN + b"last"])
        assert receive(rig, other, 1)[0][0] == PLAIN + b"last"
