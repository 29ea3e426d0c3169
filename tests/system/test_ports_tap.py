"""TapPort on the real kernel: frames and offloads both ways, re-attachment, moves, losses (PT.02, PT.03, PT.04)."""

from __future__ import annotations

import errno
import os
import select
import socket
from pathlib import Path

import pytest

from datapath.ports import netdev, tun
from datapath.ports.rig import PortRig
from datapath.ports.tap import TapPort
from tests.datapath.frames import CSUM_PARTIAL, TSO4, checksum_ok, partial_tcp
from tests.system.netns import inside, ip, namespace, needs_root, send_bytes, switch_namespace, unique, wire
from vslib.errors import ConfigError

pytestmark = [pytest.mark.root, needs_root]

BROADCAST = b"\xff" * 6
PEER_MAC = b"\x02\x00\x00\x00\x00\x09"


def arp_request(target: str, sender: str = "10.9.0.9") -> bytes:
    addresses = PEER_MAC + socket.inet_aton(sender) + bytes(6) + socket.inet_aton(target)
    return BROADCAST + PEER_MAC + b"\x08\x06\0\x01\x08\0\x06\x04\0\x01" + addresses + bytes(18)


def wait_frames(rig: PortRig, port: TapPort, wanted, seconds: float = 5.0) -> list[bytes]:
    """Receive until a frame satisfies `wanted`; return those that do."""
    while select.select([port.rx_fd], [], [], seconds)[0]:
        found = [frame for frame in rig.receive(port) if wanted(frame)]
        if found:
            return found
    raise AssertionError("no such frame came")


@pytest.fixture
def switch():
    with switch_namespace() as made:
        yield made


@pytest.fixture
def rig():
    rig = PortRig()
    yield rig
    assert rig.in_use == 0


def test_the_host_answers_what_is_sent_and_sends_what_is_received(switch, rig):
    name = unique()
    with TapPort(name, "internal") as port:
        netdev.set_up(name, True)
        switch.ip("addr", "add", "10.9.0.1/24", "dev", name)
        rig.send(port, [arp_request("10.9.0.1")])
        [reply] = wait_frames(rig, port, lambda frame: frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\x02")
        assert reply[:6] == PEER_MAC
        assert reply[6:12] == netdev.link(name).mac
        stats = port.stats()
        assert stats["tx_packets"] == 1
        assert stats["tx_bytes"] == 60
        assert stats["rx_packets"] >= 1
        assert not stats["drops"]


def test_tcp_between_two_taps_passes_as_gso_frames_both_ways(switch):
    a, b = unique(), unique()
    with namespace() as far, TapPort(a) as one, TapPort(b) as other:
        switch.ip("link", "set", b, "netns", far.name)  # the descriptor keeps working
        for where, name, address in ((switch, a, "10.9.0.1/24"), (far, b, "10.9.0.2/24")):
            where.ip("addr", "add", address, "dev", name)
            where.ip("link", "set", name, "up")
        with wire(one, other):
            send_bytes(switch, far, "10.9.0.2", 8 << 20)
            send_bytes(far, switch, "10.9.0.1", 8 << 20)
        for port in (one, other):
            stats = port.stats()
            assert stats["rx_bytes"] > 8 << 20
            assert stats["rx_bytes"] / stats["rx_packets"] > 3000
            assert not {"rx_too_long", "rx_bad_vnet_header", "tx_error", "tx_no_gso"} & stats["drops"].keys()


def test_offload_state_is_received_and_sent(switch, rig):
    name = unique()
    assert {"csum", "tso4", "tso6"} <= TapPort(name).caps
    with TapPort(name) as port:
        netdev.set_up(name, True)
        switch.ip("addr", "add", "10.9.0.1/24", "dev", name)
        switch.ip("neigh", "add", "10.9.0.2", "lladdr", "02:00:00:00:00:02", "dev", name)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with udp:
            udp.sendto(b"hello", ("10.9.0.2", 7))
        while True:
            select.select([port.rx_fd], [], [], 5)
            found = [(f, o) for f, o in rig.receive_meta(port) if f[12:14] == b"\x08\x00" and f[23] == 17]
            if found:
                break
        [(frame, offload)] = found
        assert offload.flags == CSUM_PARTIAL
        assert (offload.csum_start, offload.csum_offset) == (34, 6)
        assert not checksum_ok(frame)
        # and in the other direction: the kernel takes a partial checksum and a GSO frame from us
        mac = netdev.link(name).mac
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with receiver:
            receiver.bind(("10.9.0.1", 5678))
            receiver.settimeout(5)
            eth = mac + PEER_MAC
            frame, offload = partial_tcp(b"partial", src="10.9.0.2", dst="10.9.0.1", eth=eth, proto=17)
            rig.send(port, [frame], offload)
            assert receiver.recv(2000) == b"partial"
        frame, offload = partial_tcp(b"x" * 20000, 1448, src="10.9.0.2", dst="10.9.0.1", eth=eth)
        assert offload.flags & TSO4
        rig.send(port, [frame], offload)
        assert not port.stats()["drops"]


def test_frames_longer_than_a_small_buffer_come_whole(switch, rig):
    name = unique()
    with TapPort(name) as port:
        netdev.set_mtu(name, 9000)
        netdev.set_up(name, True)
        switch.ip("addr", "add", "10.9.0.1/24", "dev", name)
        switch.ip("neigh", "add", "10.9.0.2", "lladdr", "02:00:00:00:00:02", "dev", name)
        payloads = [bytes([i]) * n for i, n in enumerate((1800, 8900, 1878, 1879, 8000, 8001, 10, 8002))]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for payload in payloads:
                udp.sendto(payload, ("10.9.0.2", 7))
        got: list[bytes] = []
        while len(got) < len(payloads):
            got += [f[42:] for f in wait_frames(rig, port, lambda f: f[12:14] == b"\x08\x00" and f[23] == 17)]
        assert got == payloads


def test_running_out_of_buffers_empties_the_device_and_is_counted(switch):
    name = unique()
    rig = PortRig(small=4, large=0)
    with TapPort(name) as port:
        netdev.set_up(name, True)
        switch.ip("addr", "add", "10.9.0.1/24", "dev", name)
        switch.ip("neigh", "add", "10.9.0.2", "lladdr", "02:00:00:00:00:02", "dev", name)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for _ in range(10):
                udp.sendto(b"x", ("10.9.0.2", 7))
        while select.select([port.rx_fd], [], [], 0.05)[0]:
            rig.receive(port)
        assert port.stats()["drops"]["rx_no_buffer"] >= 6


def test_sending_to_a_device_that_is_down_is_a_drop_with_its_reason(switch, rig):
    with TapPort(unique()) as port:
        rig.send(port, [arp_request("10.9.0.1")] * 3)
        assert port.stats()["drops"] == {"tx_down": 3}
        assert rig.receive(port) == []


def test_a_deleted_device_is_reported_and_drops_with_its_reason(switch, rig):
    name = unique()
    with TapPort(name) as port:
        netdev.set_up(name, True)
        netdev.delete(name)
        assert select.select([port.rx_fd], [], [], 5)[0]
        with pytest.raises(ConfigError, match=f"could not open network device {name}"):
            port.link()
        with pytest.raises(OSError, match="is gone") as caught:
            rig.receive(port)
        assert caught.value.errno in (errno.EBADFD, errno.EIO, errno.ENODEV)
        rig.send(port, [arp_request("10.9.0.1")])
        assert port.stats()["drops"] == {"tx_down": 1}


def test_the_device_survives_close_and_is_attached_again_with_its_address(switch):
    name = unique()
    with TapPort(name, "internal") as port:
        assert port.created
        switch.ip("addr", "add", "10.9.0.1/24", "dev", name)
        index = netdev.ifindex(name)
    assert netdev.classify(name) == "internal"
    with TapPort(name, "internal") as port:
        assert not port.created
        assert netdev.ifindex(name) == index
        assert "10.9.0.1/24" in switch.ip("addr", "show", "dev", name)
        port.destroy()
    assert not netdev.exists(name)


def test_a_device_that_was_moved_away_is_found_again(switch, rig):
    name = unique()
    with namespace() as far:
        TapPort(name, "internal").close()
        switch.ip("link", "set", name, "netns", far.name)
        far.ip("link", "set", name, "mtu", "1450")
        with TapPort(name, "internal") as port:
            assert not port.created
            assert not netdev.exists(name)
            assert port.mtu == 1450
            far.ip("addr", "add", "10.9.0.1/24", "dev", name)
            far.ip("link", "set", name, "up")
            rig.send(port, [arp_request("10.9.0.1")])
            assert wait_frames(rig, port, lambda frame: frame[20:22] == b"\0\x02")
            link = port.link()
            assert (link.name, link.moved, link.up, link.mtu) == (name, True, True, 1450)
            far.ip("link", "set", name, "netns", switch.name)
            assert not port.link().moved
            port.destroy()
        assert name not in far.ip("link")


def test_a_device_of_another_switch_is_not_taken_for_ours(switch):
    name = unique()
    with namespace() as far:
        with inside(far):
            TapPort(name, "internal").close()
        with TapPort(name, "internal") as port:
            assert port.created
            assert netdev.exists(name)


def test_a_tap_with_several_queues_is_opened(switch):
    name = unique()
    ip("-n", switch.name, "tuntap", "add", "name", name, "mode", "tap", "multi_queue")
    with TapPort(name) as port:
        assert not port.created
    assert netdev.classify(name) == "tap"


def test_a_descriptor_can_be_handed_over(switch, rig):
    name = unique()
    opened = tun.open_tap(name)
    with TapPort("", fd=opened.fd) as port:
        assert port.name == name
        netdev.set_up(name, True)
        switch.ip("addr", "add", "10.9.0.1/24", "dev", name)
        rig.send(port, [arp_request("10.9.0.1")])
        assert wait_frames(rig, port, lambda frame: frame[20:22] == b"\0\x02")
    read_end, write_end = os.pipe()
    with pytest.raises(ConfigError, match="is not a TAP device"):
        TapPort("", fd=read_end)
    os.close(read_end)
    os.close(write_end)


@pytest.mark.parametrize("name", ["", "a" * 16, "a/b", "a b", ".."])
def test_names_that_no_device_can_have_are_refused(name):
    with pytest.raises(ConfigError, match=r"could not open network device .*\(Invalid argument\)"):
        TapPort(name)


def test_devices_that_cannot_be_had_are_refused_with_the_reason(switch):
    with pytest.raises(ConfigError, match=r"could not open network device lo \(Invalid argument\)"):
        TapPort("lo")
    name = unique()
    with TapPort(name), pytest.raises(ConfigError, match=r"\(Device or resource busy\)"):
        TapPort(name)
    with pytest.raises(ConfigError, match="is not one of internal, tap"):
        TapPort(name, "dummy")


def test_no_descriptors_are_left_open(switch):
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = count()
    for _ in range(3):
        TapPort(unique()).close()
        TapPort(unique())
        with pytest.raises(ConfigError):
            TapPort("lo")
    assert count() == before
