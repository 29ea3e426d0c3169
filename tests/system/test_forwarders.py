"""Two forwarders on real devices: receive queues by fanout, changes while packets flow (DP.15, DP.16, PT.01)."""

from __future__ import annotations

import socket
import threading

import pytest

from tests.peers.daemon import wait_until
from tests.system.hosts import host, transfer

pytestmark = [pytest.mark.root, pytest.mark.ovs_tools]

FLOWS, ROUNDS, PORT = 6, 400, 5400
BOTH = "other_config:pmd-cpu-mask=3"


def receive(sock, total, got):
    sock.settimeout(5)
    try:
        while len(got) < total:
            got.append(sock.recvfrom(64))
    except TimeoutError:
        pass


def queues(daemon, port):
    shown = daemon.appctl("dpif-netdev/pmd-rxq-show")
    return [line.split("queue-id:")[1].split()[0] for line in shown.splitlines() if f" {port} " in line]


def test_flows_over_two_queues_keep_their_order_while_forwarders_change(daemon, bridge):
    daemon.vsctl("set", "Open_vSwitch", ".", BOTH, "other_config:pmd-sleep-max=200")
    with (
        host(daemon, bridge, "system", "10.1.0.1/24") as near,
        host(daemon, bridge, "system", "10.1.0.2/24") as far,
    ):
        for one in (near, far):
            daemon.vsctl("set", "Interface", one.port, "options:n_rxq=2")
        assert queues(daemon, near.port) == queues(daemon, far.port) == ["0", "1"]
        wait_until(lambda: near.ping(far, count=1, wait_s=1), "the hosts reach each other again")
        got = []
        with far.place.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sink:
            sink.setsockopt(socket.SOL_SOCKET, 33, 4 << 20)  # SO_RCVBUFFORCE
            sink.bind((far.address, PORT))
            total = FLOWS * ROUNDS
            listening = threading.Thread(target=receive, args=(sink, total, got))
            listening.start()
            flows = [near.place.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(FLOWS)]
            settings = iter(("2", "3", "1", "3"))
            for number in range(ROUNDS):
                for flow in flows:
                    flow.sendto(number.to_bytes(4, "big"), (far.address, PORT))
                if number % 100 == 50:
                    daemon.vsctl("set", "Open_vSwitch", ".", f"other_config:pmd-cpu-mask={next(settings)}")
                    daemon.appctl("dpif-netdev/pmd-rxq-rebalance")
            listening.join()
            for flow in flows:
                flow.close()
        by_flow = {}
        for data, sender in got:
            by_flow.setdefault(sender, []).append(int.from_bytes(data, "big"))
        assert by_flow == {sender: list(range(ROUNDS)) for sender in by_flow} and len(by_flow) == FLOWS
        transfer(near, far, 4 << 20)
        transfer(far, near, 4 << 20)
        daemon.vsctl("remove", "Open_vSwitch", ".", "other_config", "pmd-cpu-mask")
        assert near.ping(far, count=3) == 3
        assert queues(daemon, near.port) == ["0", "1"]
        daemon.vsctl("set", "Interface", near.port, "options:n_rxq=0")
        assert "options:n_rxq: '0' is not a number from 1 to 16" in daemon.interface(near.port, "error")


def test_several_queues_see_every_frame_once(daemon, bridge):
    with (
        host(daemon, bridge, "system", "10.1.0.1/24") as near,
        host(daemon, bridge, "system", "10.1.0.2/24") as far,
    ):
        daemon.vsctl("set", "Interface", near.port, "options:n_rxq=3")
        wait_until(lambda: near.ping(far, count=1, wait_s=1), "the hosts reach each other again")
        daemon.ofctl("del-flows", bridge)
        daemon.ofctl("add-flow", bridge, "priority=5,icmp,nw_src=10.1.0.1,actions=NORMAL")
        daemon.ofctl("add-flow", bridge, "priority=1,actions=NORMAL")
        assert near.ping(far, count=20) == 20
        (line,) = (line for line in daemon.flows(bridge) if "icmp" in line)
        assert "n_packets=20," in line
