"""Ports under a real forwarder thread: TCP with default offloads, deleted devices, sleep when idle (PT.01, PT.02)."""

from __future__ import annotations

import contextlib
import resource
import time

import pytest

from datapath.datapath import Datapath
from datapath.ports import netdev
from datapath.ports.afpacket import AfPacketPort
from datapath.ports.tap import TapPort
from datapath.testing import Rule, TableHook
from tests.system.netns import namespace, needs_root, send_bytes, switch_namespace, unique, veth

pytestmark = [pytest.mark.root, needs_root]

KEY_BYTES = 584
OUTPUT = 1  # ACT_OUTPUT


@pytest.fixture
def switch():
    with switch_namespace() as made:
        yield made


@contextlib.contextmanager
def crossed(one, other):
    """Run a datapath in which each port's frames go to the other."""
    dp = Datapath(1)
    hook = TableHook()
    dp.set_miss_hook(hook)
    numbers = dp.add_port(one), dp.add_port(other)
    for source, target in (numbers, numbers[::-1]):
        op = (OUTPUT, 0, 0, target, 0, bytes(16), bytes(16))
        hook.set_bank(source, [Rule(bytes(KEY_BYTES), bytes(KEY_BYTES), [op])])
    dp.start()
    try:
        yield dp, numbers
    finally:
        for number in numbers:
            dp.del_port(number)
        dp.stop()


def test_tcp_crosses_from_veth_to_veth_and_to_a_tap(switch):
    with namespace() as near, namespace() as far:
        name, _ = veth(switch, near, address="10.9.0.1/24")
        name2, _ = veth(switch, far, address="10.9.0.2/24")
        with AfPacketPort(name) as one, AfPacketPort(name2) as other, crossed(one, other) as (dp, _):
            send_bytes(near, far, "10.9.0.2", 16 << 20)
            send_bytes(far, near, "10.9.0.1", 16 << 20)
            assert one.stats()["rx_bytes"] / one.stats()["rx_packets"] > 3000
            assert not dp.stats()["drops"].keys() - {"rx_no_buffer"}
        tap = unique()
        with AfPacketPort(name) as one, TapPort(tap, "internal") as other, crossed(one, other):
            switch.ip("addr", "add", "10.9.0.2/24", "dev", tap)
            switch.ip("link", "set", tap, "up")
            near.ip("neigh", "flush", "all")
            send_bytes(near, switch, "10.9.0.2", 16 << 20)
            send_bytes(switch, near, "10.9.0.1", 16 << 20)
            assert other.stats()["rx_bytes"] / other.stats()["rx_packets"] > 3000


def test_deleted_devices_cost_no_processor_time_and_detach(switch):
    with namespace() as near:
        name, _ = veth(switch, near)
        tap = unique()
        with AfPacketPort(name) as one, TapPort(tap) as other, crossed(one, other):
            netdev.set_up(tap, True)
            netdev.delete(name)
            netdev.delete(tap)
            time.sleep(0.1)
            before = resource.getrusage(resource.RUSAGE_SELF)
            time.sleep(0.4)
            after = resource.getrusage(resource.RUSAGE_SELF)
            assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.1


def test_a_device_that_is_down_costs_no_processor_time_and_comes_back(switch):
    with namespace() as near, namespace() as far:
        name, _ = veth(switch, near, address="10.9.0.1/24")
        name2, _ = veth(switch, far, address="10.9.0.2/24")
        with AfPacketPort(name) as one, AfPacketPort(name2) as other, crossed(one, other):
            netdev.set_up(name, False)
            time.sleep(0.1)
            before = resource.getrusage(resource.RUSAGE_SELF)
            time.sleep(0.4)
            after = resource.getrusage(resource.RUSAGE_SELF)
            assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.1
            netdev.set_up(name, True)
            send_bytes(near, far, "10.9.0.2", 1 << 20)
