"""Namespaces joined by the daemon: every kind of port, VLANs, patch ports, TCP with default offloads (PT.01-PT.06)."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import socket
import struct

import pytest

from tests.peers.daemon import device, wait_until
from tests.system.hosts import KINDS, host, transfer
from tests.system.netns import veth

pytestmark = [pytest.mark.root, pytest.mark.ovs_tools]

MEGABYTES = 8 << 20
ETH_P_ALL, SOL_PACKET, PACKET_AUXDATA, VLAN_VALID = 3, 263, 8, 0x10


@pytest.mark.parametrize(("one", "other"), [*itertools.combinations_with_replacement(KINDS, 2)])
def test_hosts_on_ports_of_any_kind_reach_each_other(daemon, bridge, one, other):
    with host(daemon, bridge, one, "10.1.0.1/24") as near, host(daemon, bridge, other, "10.1.0.2/24") as far:
        assert near.ping(far) == 5
        assert far.ping(near, size=1400) == 5
        transfer(near, far, MEGABYTES)
        transfer(far, near, MEGABYTES)
        assert daemon.appctl("fdb/show", bridge).count("\n") >= 3


def test_ipv6_finds_its_neighbours(daemon, bridge):
    near_side, far_side = host(daemon, bridge, "system", "fd00::1/64"), host(daemon, bridge, "internal", "fd00::2/64")
    with near_side as near, far_side as far:
        wait_until(lambda: near.ping(far, count=1, wait_s=1), "duplicate address detection is over")
        assert near.ping(far) == 5


def test_megaflows_and_counters_tell_of_the_traffic(daemon, bridge):
    with host(daemon, bridge, "system", "10.1.0.1/24") as near, host(daemon, bridge, "system", "10.1.0.2/24") as far:
        daemon.ofctl("del-flows", bridge)
        daemon.ofctl("add-flow", bridge, "priority=5,icmp,nw_src=10.1.0.1,actions=NORMAL")
        daemon.ofctl("add-flow", bridge, "priority=1,actions=NORMAL")
        assert near.ping(far, count=20) == 20
        (line,) = (line for line in daemon.flows(bridge) if "icmp" in line)
        assert "n_packets=20, n_bytes=1960," in line
        text = daemon.appctl("dpctl/dump-flows")
        assert "icmp" in text or "proto=1" in text
        assert "actions:" in text and "packets:" in text


@pytest.mark.skipif(shutil.which("iperf3") is None, reason="needs iperf3")
def test_iperf3_runs_between_hosts(daemon, bridge):
    with host(daemon, bridge, "system", "10.1.0.1/24") as near, host(daemon, bridge, "internal", "10.1.0.2/24") as far:
        far.place.run("iperf3", "-s", "-D", "-1", "-p", "5201")
        words = ["iperf3", "-c", far.address, "-p", "5201", "-t", "1", "-J", "--connect-timeout", "3000"]
        end = wait_until(lambda: json.loads(near.place.run(*words, check=False).stdout or "{}").get("end"), "a result")
        assert end["sum_received"]["bytes"] > MEGABYTES


def test_vlans_are_kept_apart_and_trunks_carry_them_tagged(daemon, bridge):
    """Two bridges with a veth as the trunk between them."""
    other, (near_end, far_end) = device("cb"), veth(daemon.place, daemon.place)
    daemon.vsctl("add-br", other, "--", "add-port", bridge, near_end, "trunks=10", "--", "add-port", other, far_end)
    with contextlib.ExitStack() as stack:
        make = lambda *words: stack.enter_context(host(daemon, *words))  # noqa: E731
        red = make(bridge, "system", "10.1.0.1/24", "tag=10")
        red_too = make(bridge, "internal", "10.1.0.2/24", "tag=10")
        blue = make(bridge, "system", "10.1.0.3/24", "tag=20")
        far_red, far_blue = make(other, "system", "10.1.0.4/24", "tag=10"), make(other, "tap", "10.1.0.5/24", "tag=20")
        assert red.ping(red_too) == 5
        assert red.ping(blue, count=1, wait_s=1) == 0
        assert red.ping(far_red) == 5
        transfer(red, far_red, MEGABYTES)
        transfer(far_red, red_too, MEGABYTES)
        assert red.ping(far_blue, count=1, wait_s=1) == 0
        assert blue.ping(far_blue, count=1, wait_s=1) == 0
        daemon.vsctl("add", "port", near_end, "trunks", "20")
        assert blue.ping(far_blue) == 5
        assert tags_on_the_wire(daemon, near_end, red, far_red) == {10}
        vlans = {line.split()[1] for line in daemon.appctl("fdb/show", bridge).splitlines()[1:]}
        assert {"10", "20"} <= vlans
    daemon.vsctl("del-br", other)


def tags_on_the_wire(daemon, name, one, other):
    """Return the VLAN IDs of the echo requests and replies that a device of the daemon's namespace sees, 0 = none."""
    sniffer = daemon.place.call(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)))
    with sniffer:
        sniffer.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        daemon.place.call(lambda: sniffer.bind((name, ETH_P_ALL)))
        sniffer.settimeout(1)
        assert one.ping(other, count=3) == 3
        tags = set()
        for _ in range(6):
            frame, ((_, _, note), *_), _, _ = sniffer.recvmsg(2000, 100)
            status, tci = struct.unpack("I12xH2x", note)
            inline = int.from_bytes(frame[14:16], "big") if frame[12:14] == b"\x81\0" else 0
            tags.add((tci if status & VLAN_VALID else inline) & 0xFFF)
        return tags


def test_patch_ports_join_two_bridges(daemon, bridge):
    other, one, two = device("cb"), device(), device()
    daemon.vsctl("add-br", other)
    for where, name, peer in ((bridge, one, two), (other, two, one)):
        daemon.vsctl("add-port", where, name, "--", "set", "interface", name, "type=patch", f"options:peer={peer}")
    with host(daemon, bridge, "system", "10.1.0.1/24") as near, host(daemon, other, "system", "10.1.0.2/24") as far:
        assert near.ping(far, count=10) == 10
        transfer(near, far, MEGABYTES)
        daemon.vsctl("set", "port", two, "tag=5")
        assert near.ping(far, count=1, wait_s=1) == 0
        daemon.vsctl("clear", "port", two, "tag")
        assert near.ping(far) == 5
        wait_until(lambda: daemon.interface(one, "statistics").get("tx_packets", 0) > 10, "patch ports are counted")
    daemon.vsctl("del-br", other)


def test_the_bridge_itself_is_a_host(daemon, bridge):
    with host(daemon, bridge, "system", "10.1.0.1/24") as near:
        daemon.place.ip("addr", "add", "10.1.0.9/24", "dev", bridge)
        daemon.place.ip("link", "set", bridge, "up")
        text = near.place.run("ping", "-c", "3", "-i", "0.01", "-W", "2", "10.1.0.9").stdout
        assert "3 received" in text and "DUP!" not in text


def test_the_host_stack_does_not_answer_as_well_where_bridge_and_device_share_an_address(daemon, bridge):
    with host(daemon, bridge, "system", "10.1.0.1/24") as near:
        mac = daemon.interface(near.port, "mac_in_use")
        daemon.vsctl("set", "bridge", bridge, f'other_config:hwaddr="{mac}"')
        daemon.place.ip("addr", "add", "10.1.0.9/24", "dev", bridge)
        daemon.place.ip("link", "set", bridge, "address", mac, "up")
        daemon.place.ip("addr", "add", "10.1.0.9/24", "dev", near.port)
        text = near.place.run("ping", "-c", "5", "-i", "0.01", "-W", "2", "10.1.0.9").stdout
        assert "5 received" in text and "DUP!" not in text
        daemon.ofctl("del-flows", bridge)
        assert "0 received" in near.place.run("ping", "-c", "2", "-i", "0.1", "-W", "1", "10.1.0.9", check=False).stdout
        daemon.vsctl("del-port", near.port)
        daemon.place.ip("addr", "del", "10.1.0.9/24", "dev", bridge)
        assert "1 received" in near.place.run("ping", "-c", "1", "-W", "2", "10.1.0.9", check=False).stdout


def test_tables_registers_and_rewrites_act_on_real_packets(daemon, bridge):
    with host(daemon, bridge, "system", "10.1.0.1/24") as near, host(daemon, bridge, "internal", "10.1.0.2/24") as far:
        a, b = (str(daemon.interface(h.port, "ofport")) for h in (near, far))
        flows = f"""
            priority=1,arp actions=NORMAL
            ip,in_port={a},nw_dst=10.1.0.77 actions=mod_nw_dst:10.1.0.2,load:{b}->NXM_NX_REG0[],resubmit(,5)
            ip,in_port={b},nw_src=10.1.0.2 actions=mod_nw_src:10.1.0.77,load:{a}->NXM_NX_REG0[],resubmit(,5)
            table=5,priority=1,reg0=0 actions=drop
            table=5,priority=0 actions=dec_ttl,output:NXM_NX_REG0[]
        """
        daemon.vsctl("set-fail-mode", bridge, "secure")
        daemon.ofctl("del-flows", bridge)
        daemon.ofctl("add-flows", bridge, "-", stdin=flows)
        mac = far.place.run("cat", f"/sys/class/net/{far.device}/address").stdout.strip()
        near.place.ip("neigh", "add", "10.1.0.77", "lladdr", mac, "dev", near.device)
        text = near.place.run("ping", "-c", "3", "-i", "0.01", "-W", "2", "10.1.0.77", check=False).stdout
        assert "3 received" in text and "ttl=63" in text
