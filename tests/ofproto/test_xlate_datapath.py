"""Translation behind the real forwarder on in-memory ports: caches, learning, credits, packet-in and packet-out."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1Q, Ether

from datapath.datapath import Datapath
from datapath.ports.pipe import PipePort
from ofproto.xlate.testing import flow_counts
from tests.ofproto.xlate_rig import (
    ALL,
    CONTROLLER,
    DEC_TTL,
    LOCAL,
    NORMAL,
    TABLE,
    Rig,
    act,
    full_mask,
    goto,
    key,
    output,
    set_field,
    write_actions,
)
from vslib.clock import CLOCK

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"


class Net:
    """A rig whose datapath ports 1..3 are pipes, run inline."""

    def __init__(self) -> None:
        self.rig = Rig(3, local=False)
        self.dp = Datapath(inline=True)
        self.dp.set_miss_hook(self.rig.switch.miss_hook)
        self.pipes = [PipePort(f"p{number}") for number in (1, 2, 3)]
        for number, pipe in enumerate(self.pipes, 1):
            self.dp.add_port(pipe, number)
        self.dp.start()

    def send(self, number: int, *frames: Ether) -> list[list[bytes]]:
        """Inject frames and return what each port sent."""
        for frame in frames:
            self.pipes[number - 1].inject(bytes(frame))
        self.dp.step()
        return self.sent()

    def sent(self) -> list[list[bytes]]:
        return [pipe.take() for pipe in self.pipes]

    def close(self) -> None:
        self.dp.stop()


@pytest.fixture
def net():
    made = Net()
    yield made
    made.close()


def frame(src: str = A, dst: str = B, ttl: int = 64) -> Ether:
    return Ether(src=src, dst=dst) / IP(src="10.0.0.1", dst="10.0.0.2", ttl=ttl) / UDP(sport=1, dport=2) / b"payload"


def test_normal_floods_then_forwards_to_where_the_answer_came_from(net: Net) -> None:
    net.rig.flow(output(NORMAL))
    assert [len(sent) for sent in net.send(1, frame())] == [0, 1, 1]
    assert [len(sent) for sent in net.send(2, frame(B, A))] == [1, 0, 0]
    assert [len(sent) for sent in net.send(1, frame())] == [0, 1, 0]  # the flooding megaflow was translated again
    assert [(port, vlan) for port, vlan, _, _ in net.rig.br.fdb()] == [(1, 0), (2, 0)]


def test_a_moved_address_is_followed_by_the_next_packet(net: Net) -> None:
    net.rig.flow(output(NORMAL))
    net.send(1, frame())
    net.send(2, frame(B, A))
    net.send(3, frame(B, A))
    assert [len(sent) for sent in net.send(1, frame())] == [0, 0, 1]


def test_header_rewrites_reach_the_wire(net: Net) -> None:
    net.rig.flow(act(DEC_TTL, bytes(2)), set_field("eth_dst", 0x020000000003), output(2))
    (sent,) = net.send(1, frame(ttl=9))[1]
    got = Ether(sent)
    assert (got.dst, got[IP].ttl) == ("02:00:00:00:00:03", 8)
    assert got[IP].chksum == IP(bytes(frame(ttl=8)[IP])).chksum


def test_access_and_trunk_ports_tag_and_untag(net: Net) -> None:
    net.rig.flow(output(NORMAL))
    net.rig.br.set_port(1, vlan_mode="access", tag=10)
    net.rig.br.set_port(3, vlan_mode="access", tag=20)
    sent = net.send(1, frame())
    assert [len(s) for s in sent] == [0, 1, 0]
    assert Ether(sent[1][0])[Dot1Q].vlan == 10
    sent = net.send(2, Ether(src=B, dst=A) / Dot1Q(vlan=10) / IP() / UDP())
    assert [len(s) for s in sent] == [1, 0, 0] and Dot1Q not in Ether(sent[0][0])


def test_counts_reach_the_rule_by_credits_and_survive_a_flow_change(net: Net) -> None:
    net.rig.flow(output(2), in_port=1)
    data = bytes(frame())
    net.send(1, *[frame()] * 5)
    net.dp.push_credits()
    net.dp.step()
    assert flow_counts(net.rig.br, 0, 100, key(in_port=1), full_mask("in_port")) == (5, 5 * len(data))
    assert [len(s) for s in net.send(1, frame())] == [0, 1, 0]
    net.rig.flow(output(3), in_port=1)
    assert [len(s) for s in net.send(1, frame())] == [0, 0, 1]


def test_credits_keep_a_learned_address_young(net: Net) -> None:
    net.rig.flow(output(NORMAL))
    start = CLOCK.now_ns()
    net.send(1, frame())
    ((_, _, _, age),) = net.rig.br.fdb(start + 10_000_000_000)
    assert age >= 9
    net.rig.br.age_macs(start + 299_000_000_000)
    assert len(net.rig.br.fdb(start)) == 1
    net.rig.br.age_macs(start + 400_000_000_000)
    assert net.rig.br.fdb(start) == []
    net.send(1, frame())  # its megaflow was translated again: learned anew
    assert len(net.rig.br.fdb(start)) == 1


def test_a_table_miss_is_dropped_with_its_reason_until_a_session_wants_it(net: Net) -> None:
    assert net.send(1, frame()) == [[], [], []]
    assert net.dp.stats()["drops"]["table_miss"] == 1
    net.rig.br.configure(miss_punt=True)
    net.send(1, frame())
    (punt,) = net.rig.switch.poll_punts()
    assert (punt.bridge, punt.reason, punt.in_port, punt.table_id, punt.frame) == ("br0", 0, 1, 0, bytes(frame()))
    assert punt.cookie == 0xFFFFFFFFFFFFFFFF


def test_controller_gets_the_frame_as_changed_so_far(net: Net) -> None:
    net.rig.flow(
        set_field("reg0", 7),
        set_field("eth_dst", 5),
        output(CONTROLLER, 128),
        set_field("eth_dst", 6),
        output(2),
        cookie=0x55,
    )
    sent = net.send(1, frame())
    (punt,) = net.rig.switch.poll_punts()
    assert Ether(punt.frame).dst == "00:00:00:00:00:05" and Ether(sent[1][0]).dst == "00:00:00:00:00:06"
    assert (punt.reason, punt.cookie, punt.max_len) == (1, 0x55, 128)
    assert punt.key[584:588] == bytes([0, 0, 0, 7])


def test_a_packet_in_of_the_action_set_names_the_rule_of_the_first_table(net: Net) -> None:
    net.rig.flow(write_actions(output(CONTROLLER)), goto(1), cookie=0x11)
    net.rig.flow(output(2), table=1, cookie=0x22)
    net.send(1, frame())
    assert [(punt.reason, punt.cookie) for punt in net.rig.switch.poll_punts()] == [(3, 0x11)]


def test_packet_out_runs_its_actions_in_order_and_may_use_the_tables(net: Net) -> None:
    net.rig.flow(output(3), in_port=2)
    hook = net.rig.br.packet_out(output(1) + output(TABLE), 2)
    net.dp.execute(bytes(frame()), 2, hook)
    net.dp.step()
    assert [len(s) for s in net.sent()] == [1, 0, 1]


def test_packet_out_from_no_port_reaches_all_ports(net: Net) -> None:
    hook = net.rig.br.packet_out(output(ALL), LOCAL - 1)  # from the controller
    net.dp.execute(bytes(frame()), 0, hook)
    net.dp.step()
    assert [len(s) for s in net.sent()] == [1, 1, 1]


def test_removing_the_bridge_stops_forwarding_and_leaves_no_dangling_credit(net: Net) -> None:
    net.rig.flow(output(2))
    net.send(1, frame())
    net.rig.switch.del_bridge("br0")
    assert net.send(1, frame()) == [[], [], []]
    net.dp.push_credits()
    net.dp.step()
    assert net.dp.stats()["drops"]["miss_no_bridge"] == 1
