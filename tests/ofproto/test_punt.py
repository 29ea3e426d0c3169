"""The ring of frames for controllers: bounded, in order, complete (OF.21, DP.24)."""

from __future__ import annotations

import select

import pytest

from datapath.datapath import Datapath
from datapath.ports.pipe import Offload, PipePort
from tests.ofproto.xlate_rig import CONTROLLER, Rig, controller, output, set_field

OFFLOAD_CSUM_PARTIAL = 1


class Net:
    def __init__(self, n_ports: int = 1) -> None:
        self.rig = Rig(n_ports, local=False)
        self.dp = Datapath(inline=True)
        self.dp.set_miss_hook(self.rig.switch.miss_hook)
        self.ports = [PipePort(f"p{i + 1}", mtu=9000) for i in range(n_ports)]
        for i, port in enumerate(self.ports):
            self.dp.add_port(port, i + 1)
        self.port = self.ports[0]
        self.dp.start()

    def send(self, *frames: bytes, port: int = 1) -> None:
        for frame in frames:
            assert self.ports[port - 1].inject(frame)
        self.dp.step()

    def readable(self) -> bool:
        return bool(select.select([self.rig.switch.punt_fd], [], [], 0)[0])


@pytest.fixture
def net():
    made = Net()
    yield made
    made.dp.stop()


def frame(n: int, size: int = 60) -> bytes:
    return bytes(6) + n.to_bytes(6, "big") + b"\x88\xb5" + bytes(size - 14)


def test_frames_come_in_order_with_what_the_rule_said(net: Net) -> None:
    net.rig.flow(controller(max_len=100, controller_id=7), cookie=0xC0)
    net.send(*[frame(n) for n in range(5)])
    punts = net.rig.switch.poll_punts()
    assert [punt.frame for punt in punts] == [frame(n) for n in range(5)]
    assert {
        (p.bridge, p.cookie, p.max_len, p.controller_id, p.reason, p.table_id, p.in_port, p.forwarder) for p in punts
    } == {("br0", 0xC0, 100, 7, 1, 0, 1, 0)}
    assert net.rig.switch.poll_punts() == []


def test_the_descriptor_is_readable_exactly_while_something_waits(net: Net) -> None:
    net.rig.flow(output(CONTROLLER))
    assert not net.readable()
    net.send(frame(1))
    assert net.readable()
    net.send(frame(2))
    assert len(net.rig.switch.poll_punts()) == 2
    assert not net.readable()
    net.send(frame(3))
    assert net.readable() and len(net.rig.switch.poll_punts()) == 1


def test_a_full_ring_counts_the_loss_and_recovers(net: Net) -> None:
    net.rig.flow(output(CONTROLLER))
    for _ in range(4):
        net.send(*[frame(n, 8000) for n in range(50)])
    got = net.rig.switch.poll_punts()
    lost = net.dp.stats()["drops"]["controller_queue_full"]
    assert 90 < len(got) < 110 and len(got) + lost == 200  # 4/5 of 1 MiB in frames of 8000 bytes
    net.send(frame(9))
    assert [punt.frame for punt in net.rig.switch.poll_punts()] == [frame(9)]


@pytest.mark.parametrize("n_flooding", [1, 3, 6])
def test_ports_that_flood_leave_room_for_another(n_flooding: int) -> None:  # CH.13
    net = Net(n_flooding + 1)
    net.rig.flow(output(CONTROLLER))
    for _ in range(200):
        for port in range(1, n_flooding + 1):
            net.send(*[frame(n) for n in range(50)], port=port)
    assert net.dp.stats()["drops"]["controller_queue_full"] > 0
    lost = net.dp.stats()["drops"]["controller_queue_full"]
    other = n_flooding + 1
    net.send(*[frame(n) for n in range(20)], port=other)
    assert net.dp.stats()["drops"]["controller_queue_full"] == lost
    got = []
    while net.readable():
        some = net.rig.switch.poll_punts()
        assert len(some) <= 256  # the control thread has other work too
        got += some
    of_port = [[punt.frame for punt in got if punt.in_port == port] for port in range(1, other + 1)]
    assert of_port[-1] == [frame(n) for n in range(20)]
    fair = 0.5 * (len(got) - 20) / n_flooding
    assert all(len(frames) > fair for frames in of_port[:-1])
    net.dp.stop()


def test_the_ring_wraps_thousands_of_times(net: Net) -> None:
    net.rig.flow(output(CONTROLLER))
    n = 0
    for round_ in range(60):
        sent = [frame(n + i, 60 + 97 * ((round_ + i) % 80)) for i in range(40)]
        n += 40
        net.send(*sent)
        assert [punt.frame for punt in net.rig.switch.poll_punts()] == sent


def test_a_partial_checksum_is_completed_in_the_copy(net: Net) -> None:
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether

    whole = bytes(Ether() / IP(src="1.2.3.4", dst="5.6.7.8") / UDP(sport=1, dport=2) / b"hello")
    pseudo = sum(int.from_bytes(b, "big") for b in (b"\1\2", b"\3\4", b"\5\6", b"\7\x08")) + 17 + len(whole) - 34
    partial = whole[:40] + pseudo.to_bytes(2, "big") + whole[42:]
    net.rig.flow(output(CONTROLLER))
    assert net.port.inject(partial, Offload(flags=OFFLOAD_CSUM_PARTIAL, csum_start=34, csum_offset=6))
    net.dp.step()
    assert [punt.frame for punt in net.rig.switch.poll_punts()] == [whole]


def test_the_name_of_a_bridge_that_went_is_none(net: Net) -> None:
    net.rig.flow(set_field("reg0", 1), output(CONTROLLER))
    net.send(frame(1))
    net.rig.switch.del_bridge("br0")
    assert [punt.bridge for punt in net.rig.switch.poll_punts()] == [None]
