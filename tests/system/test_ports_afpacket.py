"""AfPacketPort on veth pairs, by ring and recvmmsg: frames, tags, offloads, lost devices, drop reasons (PT.01)."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from datapath.ports import netdev
from datapath.ports.afpacket import AfPacketPort
from datapath.ports.rig import PortRig
from datapath.ports.tap import TapPort
from tests.datapath.frames import CSUM_PARTIAL, TSO4, USO, checksum_ok, partial_tcp, tagged
from tests.system.netns import (
    Namespace,
    inside,
    ip,
    namespace,
    needs_root,
    send_bytes,
    switch_namespace,
    unique,
    veth,
    wire,
)
from vslib.errors import ConfigError

pytestmark = [pytest.mark.root, needs_root]

RING, NO_RING = 2048, 0
PLAIN = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x88\xb5" + bytes(range(46))
EXPERIMENTAL = b"\x88\xb5"  # IEEE 802 local experimental ethertype: the stack sends none of these by itself


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


@pytest.fixture(params=[RING, NO_RING], ids=["ring", "recvmmsg"])
def slots(request):
    return request.param


@contextlib.contextmanager
def raw(where: Namespace, name: str):
    """A plain packet socket on a device: how the test sees the far end."""
    sock = where.call(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3)))
    with sock:
        sock.bind((name, 3))
        sock.settimeout(5)
        yield sock


def receive(rig: PortRig, port: AfPacketPort, count: int, marker: bytes = EXPERIMENTAL) -> list[tuple]:
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


def test_frames_pass_both_ways_and_are_counted(switch, far, rig, slots):
    name, peer = veth(switch, far)
    with AfPacketPort(name, slots=slots) as port, raw(far, peer) as sock:
        assert port.has_ring == bool(slots)
        assert port.mtu == 1500
        frames = [PLAIN + bytes([i]) for i in range(200)]
        for frame in frames:
            sock.send(frame)
        assert [frame for frame, _ in receive(rig, port, 200)] == frames
        rig.send(port, frames)
        assert [next_frame(sock) for _ in frames] == frames
        stats = port.stats()
        assert stats["tx_packets"] == 200
        assert stats["tx_bytes"] == 200 * 61
        assert stats["tx_calls"] <= 8
        assert stats["rx_packets"] >= 200
        assert not stats["drops"]


def test_own_frames_are_not_received(switch, far, rig, slots):
    name, _ = veth(switch, far)
    with AfPacketPort(name, slots=slots) as port:
        rig.send(port, [PLAIN] * 10)
        select.select([port.rx_fd], [], [], 0.05)
        assert not [frame for frame in rig.receive(port) if EXPERIMENTAL in frame]


def test_frames_for_other_addresses_are_received(switch, far, rig, slots):
    """The device is promiscuous as long as it is a port, and not afterwards."""
    name, peer = veth(switch, far)
    with AfPacketPort(name, slots=slots) as port, raw(far, peer) as sock:
        sock.send(b"\x02\x33\x33\x33\x33\x33" + PLAIN[6:])
        assert len(receive(rig, port, 1)) == 1
        assert "promiscuity 1 " in ip("-n", switch.name, "-d", "link", "show", name)
    assert "promiscuity 0 " in ip("-n", switch.name, "-d", "link", "show", name)


@pytest.mark.parametrize("tpid", [0x8100, 0x88A8])
@pytest.mark.parametrize("tci", [5, 0xE00A])
def test_vlan_tags_pass_both_ways(switch, far, rig, slots, tpid, tci):
    name, peer = veth(switch, far)
    once = tagged(PLAIN, tci, tpid)
    twice = tagged(tagged(PLAIN, 7), tci, tpid)
    long = once.ljust(1518 if tpid == 0x8100 else 1514, b"x")  # for 802.1ad the kernel allows no longer frame
    with AfPacketPort(name, slots=slots) as port, raw(far, peer) as sock:
        for frame in (once, twice, long):
            sock.send(frame)
        assert [frame for frame, _ in receive(rig, port, 3)] == [once, twice, long]
        # a plain packet socket does not show a tag that was taken off; a second port does
        with inside(far):
            other = AfPacketPort(peer, slots=slots)
        with other:
            rig.send(port, [once, twice, long])
            assert [frame for frame, _ in receive(rig, other, 3)] == [once, twice, long]
        assert not port.stats()["drops"]


@pytest.mark.parametrize(("proto", "flag"), [(6, TSO4), (17, USO)])
def test_tagged_frames_keep_their_offload_state(switch, far, rig, slots, proto, flag):
    """The tag comes in the kernel's metadata and its offsets do not count it; in the frame they match again."""
    name, peer = veth(switch, far)
    frame, offload = partial_tcp(bytes(range(256)) * 16, 1400, proto=proto)
    frame = tagged(frame, 42)
    offload = offload._replace(csum_start=offload.csum_start + 4, gso_hdr_length=offload.gso_hdr_length + 4)
    with inside(far):
        other = AfPacketPort(peer, slots=slots)
    with AfPacketPort(name, slots=slots) as port, other:
        rig.send(other, [frame], offload)
        [(got, state)] = receive(rig, port, 1, frame[30:38])
        assert got == frame
        assert state == offload
        assert state.flags == CSUM_PARTIAL | flag


def test_long_frames_come_whole_and_in_order(switch, far, rig, slots):
    name, peer = veth(switch, far)
    switch.ip("link", "set", name, "mtu", "9000")
    far.ip("link", "set", peer, "mtu", "9000")
    with AfPacketPort(name, slots=slots) as port, raw(far, peer) as sock:
        lengths = [60, 9014, 61, 1920, 1921, 1972, 1973, 2048, 62, 9000, 63]
        frames = [(PLAIN + bytes([i])).ljust(n, b"y") for i, n in enumerate(lengths)]
        for frame in frames:
            sock.send(frame)
        assert [frame for frame, _ in receive(rig, port, len(frames))] == frames
        rig.send(port, frames)
        assert [next_frame(sock) for _ in frames] == frames
        assert port.mtu == 9000


def test_a_frame_without_a_buffer_is_counted_and_the_next_ones_are_right(switch, far, slots):
    name, peer = veth(switch, far)
    switch.ip("link", "set", name, "mtu", "9000")
    far.ip("link", "set", peer, "mtu", "9000")
    rig = PortRig(large=0)
    with AfPacketPort(name, slots=slots) as port, raw(far, peer) as sock:
        for frame in (PLAIN.ljust(5000, b"a"), PLAIN + b"1", PLAIN.ljust(6000, b"b"), PLAIN + b"2"):
            sock.send(frame)
        assert [frame for frame, _ in receive(rig, port, 2)] == [PLAIN + b"1", PLAIN + b"2"]
        assert port.stats()["drops"] == {"rx_no_buffer": 2}
    empty = PortRig(small=0, large=0)
    with AfPacketPort(name, slots=slots) as port, raw(far, peer) as sock:
        for _ in range(20):
            sock.send(PLAIN)
        while select.select([port.rx_fd], [], [], 0.05)[0]:
            assert empty.receive(port) == []
        assert port.stats()["drops"]["rx_no_buffer"] >= 20


def test_what_the_kernel_drops_for_a_full_ring_is_counted(switch, far, rig):
    name, peer = veth(switch, far)
    with AfPacketPort(name, slots=64) as port, raw(far, peer) as sock:
        for _ in range(300):
            sock.send(PLAIN)
        received = 0
        while select.select([port.rx_fd], [], [], 0.05)[0]:
            received += len([frame for frame in rig.receive(port) if EXPERIMENTAL in frame])
        assert received <= 64
        assert port.stats()["drops"]["rx_no_buffer"] >= 300 - 64
        again = port.stats()["drops"]["rx_no_buffer"]
    assert port.stats()["drops"]["rx_no_buffer"] == again  # also after close


def numbers(frames: list[tuple]) -> list[int]:
    return [int.from_bytes(frame[-2:], "big") for frame, _ in frames]


def burst(rig, port, sock, count: int) -> list[int]:
    """Send numbered frames at once; return the numbers that came, in order."""
    for number in range(count):
        sock.send(PLAIN + number.to_bytes(2, "big"))
    return numbers(receive(rig, port, count))


def test_a_ring_that_fills_up_is_replaced_by_a_larger_one_and_no_frame_is_lost(switch, far, rig):
    """Bursts of 100 fit 128 slots, bursts of 800 do not."""
    name, peer = veth(switch, far)
    with AfPacketPort(name, slots=1000, first_slots=128) as port, raw(far, peer) as sock:
        assert port.slots == 128
        deadline = time.monotonic() + 10
        while port.slots == 128 and time.monotonic() < deadline:
            assert burst(rig, port, sock, 100) == list(range(100))
        assert port.slots == 1024
        assert burst(rig, port, sock, 800) == list(range(800))
        assert not port.stats()["drops"]


def test_a_ring_that_does_not_fill_up_stays_small(switch, far, rig):
    name, peer = veth(switch, far)
    with AfPacketPort(name, slots=2048, first_slots=128) as port, raw(far, peer) as sock:
        for _ in range(10):
            assert burst(rig, port, sock, 60) == list(range(60))
        assert port.slots == 128


def test_a_port_is_closed_while_its_ring_grows(switch, far, rig):
    name, peer = veth(switch, far)
    before = set(os.listdir("/proc/self/fd"))
    for pause_s in (0, 0.01, 0.03, 0.06):
        with AfPacketPort(name, slots=1000, first_slots=128) as port, raw(far, peer) as sock:
            for _ in range(100):
                sock.send(PLAIN)
            rig.receive(port)
            time.sleep(pause_s)
    deadline = time.monotonic() + 5
    while len(set(os.listdir("/proc/self/fd")) - before) > 1 and time.monotonic() < deadline:  # one is the thread's
        time.sleep(0.01)
    assert len(set(os.listdir("/proc/self/fd")) - before) <= 1


def test_partial_checksums_are_received_and_sent(switch, far, rig, slots):
    name, peer = veth(switch, far, address="10.9.0.2/24")
    far.ip("neigh", "add", "10.9.0.9", "lladdr", "02:00:00:00:00:09", "dev", peer)
    with AfPacketPort(name, slots=slots) as port:
        udp = far.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        with udp:
            udp.bind(("10.9.0.2", 5678))
            udp.settimeout(5)
            udp.sendto(b"from the stack", ("10.9.0.9", 7))
            [(frame, offload)] = receive(rig, port, 1, b"from the stack")
            assert (offload.flags, offload.csum_start, offload.csum_offset) == (CSUM_PARTIAL, 34, 6)
            assert not checksum_ok(frame)
            eth = bytes.fromhex(far.ip("-br", "link", "show", peer).split()[2].replace(":", "")) + PLAIN[6:12]
            frame, offload = partial_tcp(b"to the stack", src="10.9.0.9", dst="10.9.0.2", eth=eth, proto=17)
            rig.send(port, [frame], offload)
            assert udp.recv(2000) == b"to the stack"


@pytest.mark.parametrize(("proto", "flag"), [(6, TSO4), (17, USO)])
def test_gso_frames_are_segmented_by_whoever_needs_it(switch, far, rig, slots, proto, flag):
    """A GSO frame is sent as it is; behind a veth without segmentation offload a plain packet socket sees segments."""
    name, peer = veth(switch, far)
    subprocess.run(
        ["ethtool", "-K", name, "tx", "off", "tso", "off", "gso", "off", "tx-udp-segmentation", "off"], check=True
    )
    with AfPacketPort(name, slots=slots) as port, raw(far, peer) as sock:
        payload = bytes(range(256)) * 16
        frame, offload = partial_tcp(payload, 1400, proto=proto)
        assert offload.flags == CSUM_PARTIAL | flag
        rig.send(port, [frame], offload)
        header_bytes = len(frame) - len(payload)
        got = b""
        while len(got) < len(payload):
            segment = next_frame(sock, frame[26:34])
            assert len(segment) - header_bytes <= 1400
            assert checksum_ok(segment)
            got += segment[header_bytes:]
        assert got == payload
        assert not port.stats()["drops"]


def test_tcp_passes_as_gso_frames_both_ways(switch, far, slots):
    name, _ = veth(switch, far, address="10.9.0.1/24")
    with namespace() as second:
        name2, _ = veth(switch, second, address="10.9.0.2/24")
        with AfPacketPort(name, slots=slots) as one, AfPacketPort(name2, slots=slots) as other:
            with wire(one, other):
                send_bytes(far, second, "10.9.0.2", 8 << 20)
                send_bytes(second, far, "10.9.0.1", 8 << 20)
            for port in (one, other):
                stats = port.stats()
                assert stats["rx_bytes"] > 8 << 20
                assert stats["rx_bytes"] / stats["rx_packets"] > 3000
                assert not stats["drops"].keys() - {"rx_no_buffer"}


def test_tcp_passes_between_a_veth_and_a_tap(switch, far):
    name, _ = veth(switch, far, address="10.9.0.1/24")
    tap = unique()
    with AfPacketPort(name) as one, TapPort(tap, "internal") as other:
        switch.ip("addr", "add", "10.9.0.2/24", "dev", tap)
        switch.ip("link", "set", tap, "up")
        with wire(one, other):
            send_bytes(far, switch, "10.9.0.2", 8 << 20)
            send_bytes(switch, far, "10.9.0.1", 8 << 20)
        assert one.stats()["rx_bytes"] / one.stats()["rx_packets"] > 3000
        assert other.stats()["rx_bytes"] / other.stats()["rx_packets"] > 3000


def test_frames_beyond_the_mtu_are_dropped_with_the_reason_and_the_rest_goes(switch, far, rig):
    name, peer = veth(switch, far)
    with AfPacketPort(name) as port, raw(far, peer) as sock:
        rig.send(port, [PLAIN.ljust(1515, b"z"), PLAIN])
        assert next_frame(sock) == PLAIN
        port.mtu = 9000  # now the kernel has to refuse it
        rig.send(port, [PLAIN.ljust(3000, b"z"), PLAIN, PLAIN.ljust(3000, b"z"), PLAIN])
        assert [next_frame(sock), next_frame(sock)] == [PLAIN, PLAIN]
        assert port.stats()["drops"] == {"tx_too_long": 3}
        assert port.stats()["tx_packets"] == 3


def test_a_device_that_is_down_drops_and_comes_back(switch, far, rig, slots):
    name, peer = veth(switch, far)
    with AfPacketPort(name, slots=slots) as port, raw(far, peer) as sock:
        netdev.set_up(name, False)
        rig.send(port, [PLAIN] * 3)
        assert port.stats()["drops"] == {"tx_down": 3}
        for _ in range(70):  # the error on the socket is read off by then
            rig.receive(port)
        assert not select.select([port.rx_fd], [], [], 0)[0]
        netdev.set_up(name, True)
        sock.send(PLAIN)
        assert receive(rig, port, 1)


def test_a_deleted_device_is_reported_and_drops_with_its_reason(switch, far, rig, slots):
    name, _ = veth(switch, far)
    with AfPacketPort(name, slots=slots) as port:
        netdev.delete(name)
        assert select.select([port.rx_fd], [], [], 5)[0]
        with pytest.raises(OSError, match="is gone") as caught:
            for _ in range(100):
                rig.receive(port)
        assert caught.value.errno == errno.ENODEV
        with pytest.raises(OSError, match="is gone"):
            rig.receive(port)
        rig.send(port, [PLAIN] * 2)
        assert port.stats()["drops"] == {"tx_down": 2}


def test_a_slow_device_drops_with_tx_full(switch, far, rig):
    """A token bucket that lets next to nothing through: the queue fills up, the vector ends after bounded retries."""
    name, _ = veth(switch, far)
    switch.run("tc", "qdisc", "add", "dev", name, "root", "tbf", "rate", "8kbit", "burst", "1600", "limit", "3000")
    with AfPacketPort(name) as port:
        rig.send(port, [PLAIN.ljust(1000, b"q")] * 60)
        drops = port.stats()["drops"]
        assert drops.keys() == {"tx_full"}
        assert drops["tx_full"] + port.stats()["tx_packets"] == 60
        assert port.stats()["tx_calls"] < 150


def test_devices_that_cannot_be_ports_are_refused(switch):
    with pytest.raises(ConfigError, match=r"could not open network device eth9 \(No such device\)"):
        AfPacketPort("eth9")
    with pytest.raises(ConfigError, match=r"could not open network device lo \(Invalid argument\)"):
        AfPacketPort("lo")
    with pytest.raises(ConfigError, match=r"\(Invalid argument\)"):
        AfPacketPort("a" * 16)


def test_no_descriptors_are_left_open(switch, far, slots):
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    name, _ = veth(switch, far)
    before = count()
    for _ in range(3):
        AfPacketPort(name, slots=slots).close()
        AfPacketPort(name, slots=slots)
        with pytest.raises(ConfigError):
            AfPacketPort("lo")
    assert count() == before


def test_two_forwarders_send_at_once(switch, far):
    name, peer = veth(switch, far)
    with AfPacketPort(name) as port, raw(far, peer) as sock:
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
