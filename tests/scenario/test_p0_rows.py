"""Rows of the feature list that no other test names: what a field matches and an action writes, packet by packet.

Each case runs in the whole switch, embedded: configuration, flow text, OpenFlow codec, tables, translation, datapath.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from tests.scenario.flows import Mod
from tests.scenario.world import Real
from vslib.unixctl import CommandError
from vswitchd import Switch

MAC_A, MAC_B, MAC_C = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"
DATA = Raw(b"payload of a test")


def eth(**fields: Any) -> Packet:
    return Ether(**{"src": MAC_A, "dst": MAC_B, **fields})


def ip(**fields: Any) -> Packet:
    return IP(**{"src": "10.0.0.1", "dst": "10.0.0.2", "ttl": 64, "id": 1, **fields})


def six(**fields: Any) -> Packet:
    return IPv6(**{"src": "fe80::1", "dst": "fe80::2", "hlim": 64, **fields})


def arp(**fields: Any) -> Packet:
    return ARP(**{"op": 1, "psrc": "10.0.0.1", "pdst": "10.0.0.2", "hwsrc": MAC_A, "hwdst": MAC_C, **fields})


def tcp(**fields: Any) -> Packet:
    return TCP(**{"sport": 1000, "dport": 80, **fields}) / DATA


def udp(**fields: Any) -> Packet:
    return UDP(**{"sport": 1000, "dport": 53, **fields}) / DATA


class Wires:
    """A switch with br0 and its ports a (1), b (2) and c (3)."""

    def __init__(self, switch: Switch) -> None:
        self.switch = switch
        self.br = switch.add_bridge("br0", fail_mode="secure")
        self.a, self.b, self.c = (self.br.add_port(name, ofport_request=i) for i, name in enumerate("abc", 1))

    def flows(self, *texts: str) -> None:
        """Put these flows in place of all others."""
        self.br.del_flows()
        for text in texts:
            self.br.add_flow(text)

    def through(self, packet: Packet) -> list[bytes]:
        """Return what b gets of a packet that a receives."""
        self.a.send(bytes(packet))
        return self.b.recv_all()


@pytest.fixture(scope="module")
def wires() -> Iterator[Wires]:
    with Switch() as switch:
        yield Wires(switch)


# feature, match, a packet that it takes, one that it does not take
MATCHES = [
    ("FL.15", "in_port=1", eth() / ip() / udp(), None),
    ("FL.31", f"dl_src={MAC_A}", eth(), eth(src=MAC_C)),
    ("FL.31", "dl_dst=02:00:00:00:00:0b/ff:ff:ff:ff:ff:0f", eth(dst="02:00:00:00:00:fb"), eth(dst=MAC_C)),
    ("FL.32", "dl_type=0x88b5", eth(type=0x88B5) / DATA, eth(type=0x88B6) / DATA),
    ("FL.33", "vlan_tci=0x1005/0x1fff", eth() / Dot1Q(vlan=5, prio=3) / DATA, eth() / Dot1Q(vlan=6) / DATA),
    ("FL.33", "vlan_tci=0", eth() / ip(), eth() / Dot1Q(vlan=0) / ip()),
    ("FL.34", "dl_vlan=5", eth() / Dot1Q(vlan=5) / ip(), eth() / ip()),
    ("FL.34", "vlan_vid=0x1004/0x1004", eth() / Dot1Q(vlan=5) / ip(), eth() / Dot1Q(vlan=3) / ip()),
    ("FL.35", "dl_vlan=5,dl_vlan_pcp=3", eth() / Dot1Q(vlan=5, prio=3) / ip(), eth() / Dot1Q(vlan=5) / ip()),
    ("FL.39", "ip,nw_src=10.0.0.0/24", eth() / ip(), eth() / ip(src="10.0.1.1")),
    ("FL.39", "ip,nw_dst=10.0.0.2", eth() / ip(), eth() / ip(dst="10.0.0.3")),
    ("FL.40", "ipv6,ipv6_src=fe80::/10", eth() / six(), eth() / six(src="2001:db8::1")),
    ("FL.40", "ipv6,ipv6_dst=fe80::2", eth() / six() / udp(), eth() / six(dst="fe80::3") / udp()),
    ("FL.43", "ip,nw_proto=6", eth() / ip() / tcp(), eth() / ip() / udp()),
    ("FL.44", "ip,nw_tos=0xb8", eth() / ip(tos=0xB9), eth() / ip(tos=0xB4)),
    ("FL.44", "ipv6,ip_dscp=46", eth() / six(tc=0xB8), eth() / six(tc=0)),
    ("FL.48", "arp,arp_op=1", eth() / arp(), eth() / arp(op=2)),
    ("FL.48", "arp,arp_spa=10.0.0.1,arp_tpa=10.0.0.0/30", eth() / arp(), eth() / arp(pdst="10.0.0.4")),
    ("FL.49", f"arp,arp_sha={MAC_A},arp_tha={MAC_C}", eth() / arp(), eth() / arp(hwsrc=MAC_B)),
    ("FL.50", "tcp,tp_src=1000,tp_dst=0x50/0xfff0", eth() / ip() / tcp(), eth() / ip() / tcp(dport=96)),
    ("FL.50", "tcp6,tp_dst=80", eth() / six() / tcp(), eth() / six() / tcp(dport=81)),
    ("FL.52", "udp,tp_src=1000,tp_dst=53", eth() / ip() / udp(), eth() / ip() / udp(sport=1001)),
    ("FL.54", "icmp,icmp_type=8,icmp_code=0", eth() / ip() / ICMP(), eth() / ip() / ICMP(type=0)),
    ("FL.55", "icmp6,icmpv6_type=128", eth() / six() / ICMPv6EchoRequest(), eth() / six() / udp()),
]


@pytest.mark.parametrize(("row", "match", "taken", "left"), MATCHES, ids=[f"{row[0]} {row[1]}" for row in MATCHES])
def test_a_match_takes_what_it_says_and_nothing_else(wires: Wires, row: str, match: str, taken: Any, left: Any) -> None:
    wires.flows(f"{match},actions=b")
    for _ in range(2):
        assert wires.through(taken) == [bytes(taken)]
        assert left is None or wires.through(left) == []


# feature, match (for its prerequisites), actions, packet, what becomes of it
WRITES = [
    ("FL.05", "", "set_field:0x5->tun_id,resubmit(,1)", eth() / ip(), eth() / ip()),
    ("AC.19", "", "set_tunnel:0x25,resubmit(,1)", eth() / ip(), eth() / ip()),
    ("AC.19", "", "set_tunnel64:0x100000005,resubmit(,1)", eth() / ip(), eth() / ip()),
    ("FL.14", "", "set_field:0x70/0xf0->metadata,resubmit(,2)", eth() / ip(), eth() / ip()),
    ("FL.14", "", "move:NXM_OF_IN_PORT[]->OXM_OF_METADATA[4..19],resubmit(,3)", eth() / ip(), eth() / ip()),
    ("FL.15", "", "set_field:3->in_port,resubmit(,4)", eth() / ip(), eth() / ip()),
    ("FL.31", "", f"set_field:{MAC_C}->eth_src,mod_dl_dst:{MAC_A}", eth() / ip(), eth(src=MAC_C, dst=MAC_A) / ip()),
    ("FL.33", "", "load:0x6005->NXM_OF_VLAN_TCI[]", eth() / Dot1Q(vlan=7) / ip(), eth() / ip()),
    ("FL.33", "", "load:0x7005->NXM_OF_VLAN_TCI[]", eth() / ip(), eth() / Dot1Q(vlan=5, prio=3) / ip()),
    ("FL.34", "dl_vlan=7", "set_field:4101->vlan_vid", eth() / Dot1Q(vlan=7, prio=2) / ip(),
     eth() / Dot1Q(vlan=5, prio=2) / ip()),
    ("FL.35", "dl_vlan=7", "set_field:5->vlan_pcp", eth() / Dot1Q(vlan=7) / ip(), eth() / Dot1Q(vlan=7, prio=5) / ip()),
    ("AC.11", "", "mod_vlan_vid:9", eth() / ip(), eth() / Dot1Q(vlan=9) / ip()),
    ("AC.11", "dl_vlan=1", "mod_vlan_vid:9,mod_vlan_pcp:4", eth() / Dot1Q(vlan=1) / ip(),
     eth() / Dot1Q(vlan=9, prio=4) / ip()),
    ("AC.11", "dl_vlan=1", "strip_vlan", eth() / Dot1Q(vlan=1) / ip(), eth() / ip()),
    ("AC.12", "", "push_vlan:0x88a8,set_field:4105->vlan_vid", eth() / Dot1Q(vlan=1) / ip(),
     eth(type=0x88A8) / Dot1Q(vlan=9) / Dot1Q(vlan=1) / ip()),
    ("AC.12", "vlan_tci=0x1000/0x1000", "pop_vlan", eth() / Dot1Q(vlan=3) / Dot1Q(vlan=4) / ip(),
     eth() / Dot1Q(vlan=4) / ip()),
    ("FL.39", "ip", "set_field:1.2.3.4->ip_src,set_field:0.0.0.9/0.0.0.255->ip_dst", eth() / ip() / udp(),
     eth() / ip(src="1.2.3.4", dst="10.0.0.9") / udp()),
    ("FL.40", "ipv6", "set_field:fe80::9->ipv6_src,set_field:::8/::f->ipv6_dst", eth() / six() / tcp(),
     eth() / six(src="fe80::9", dst="fe80::8") / tcp()),
    ("FL.44", "ip", "set_field:46->ip_dscp", eth() / ip(tos=1) / udp(), eth() / ip(tos=0xB9) / udp()),
    ("FL.44", "ipv6", "set_field:46->ip_dscp", eth() / six(tc=3) / udp(), eth() / six(tc=0xBB) / udp()),
    ("FL.48", "arp", "set_field:2->arp_op,move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],set_field:1.1.1.1->arp_spa",
     eth() / arp(), eth() / arp(op=2, pdst="10.0.0.1", psrc="1.1.1.1")),
    ("FL.49", "arp", f"move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],set_field:{MAC_B}->arp_sha", eth() / arp(),
     eth() / arp(hwdst=MAC_A, hwsrc=MAC_B)),
    ("FL.50", "tcp", "set_field:7->tcp_src,mod_tp_dst:8", eth() / ip() / tcp(), eth() / ip() / tcp(sport=7, dport=8)),
    ("FL.52", "udp", "set_field:7->udp_src,mod_tp_dst:8", eth() / ip() / udp(), eth() / ip() / udp(sport=7, dport=8)),
    ("FL.54", "icmp", "set_field:0->icmp_type,set_field:3->icmp_code", eth() / ip() / ICMP() / DATA,
     eth() / ip() / ICMP(type=0, code=3, id=0, seq=0) / DATA),
    ("FL.55", "icmp6", "set_field:129->icmpv6_type", eth() / six() / ICMPv6EchoRequest(data=b"x"),
     eth() / six() / ICMPv6EchoRequest(type=129, data=b"x")),
]
# Tables 1 to 4 let through what has the right metadata.
BEHIND = (
    "table=1,tun_id=0x5/0xf,actions=b", "table=2,metadata=0x70/0xfff,actions=b", "table=3,metadata=0x10,actions=b",
    "table=4,in_port=3,actions=b",
)  # fmt: skip


@pytest.mark.parametrize(("row", "match", "actions", "before", "after"), WRITES, ids=[f"{r[0]} {r[2]}" for r in WRITES])
def test_an_action_writes_what_it_says_and_checksums_stay_right(
    wires: Wires, row: str, match: str, actions: str, before: Packet, after: Packet,
) -> None:
    end = "" if "resubmit" in actions else ",b"
    wires.flows(f"{match + ',' if match else ''}actions={actions}{end}", *BEHIND)
    for _ in range(2):
        assert wires.through(before) == [bytes(after)]


# A header that the packet does not have whole is left alone, as Open vSwitch 3.1 does with the same frames.
BROKEN = [
    ("ip", "set_field:9.9.9.9->ip_src", (eth() / ip() / udp(), 30)),
    ("ip", "set_field:9.9.9.9->ip_src", (eth() / ip(len=60000) / udp(), None)),
    ("arp", "set_field:9.9.9.9->arp_spa", (eth() / arp(), 30)),
    ("ipv6", "set_field:fe80::9->ipv6_src", (eth() / six() / udp(), 40)),
]


@pytest.mark.parametrize(("match", "actions", "frame"), BROKEN)
def test_a_header_that_is_not_whole_is_left_alone(wires: Wires, match: str, actions: str, frame: Any) -> None:
    """AC.09, AC.13: the packet goes on, with what could be written."""
    wires.flows(f"{match + ',' if match else ''}actions={actions},mod_dl_src:{MAC_C},b")
    packet, length = frame
    data = bytes(packet)[:length]
    assert wires.through(Raw(data)) == [data[:6] + bytes.fromhex(MAC_C.replace(":", "")) + data[12:]]


def test_drops_are_counted_by_reason_port_and_table(wires: Wires) -> None:
    """MO.08, AC.41, DP.24: what was dropped, where it came in, and which table decided it."""
    wires.flows("in_port=1,actions=resubmit(,5)", "table=5,udp,actions=drop", "table=5,tcp,actions=goto_table:9",
                "table=5,arp,actions=a", "in_port=3,actions=resubmit(,0)")
    wires.switch.advance(1)
    before = counts(wires.switch)
    for packet, n in ((eth() / ip() / udp(), 3), (eth() / ip() / tcp(), 2), (eth() / arp(), 4), (eth(), 5)):
        for _ in range(n):
            wires.a.send(bytes(packet))
    wires.c.send(bytes(eth()))
    wires.switch.advance(1)
    found = {key: n - before.get(key, 0) for key, n in counts(wires.switch).items() if n != before.get(key, 0)}
    assert found == {
        "explicit_drop": 3, "table_miss": 7, "same_port": 4, "recursion_too_deep": 1,
        "explicit_drop br0 a": 3, "table_miss br0 a": 7, "same_port br0 a": 4, "recursion_too_deep br0 c": 1,
        "explicit_drop br0 table 5": 3, "table_miss br0 table 9": 2, "table_miss br0 table 5": 5,
        "same_port br0 table 5": 4, "recursion_too_deep br0 table 0": 1,
    }  # fmt: skip


def counts(switch: Switch) -> dict[str, int]:
    """Return all that drops/show has as packets by reason and place."""
    total = [line.split()[:2] for line in switch.appctl("drops/show").splitlines()]
    places = [line.split(maxsplit=2) for kind in ("ports", "tables") for line in
              switch.appctl("drops/show", kind).splitlines()]
    return {reason: int(n) for n, reason in total} | {f"{reason} {at.strip()}": int(n) for n, reason, at in places}


def test_the_datapath_id_is_configured_or_the_mac_address(wires: Wires) -> None:
    """OF.36: and the strings that describe the switch."""
    mac = wires.br.local.mac
    assert wires.br.running.datapath_id == int.from_bytes(mac, "big")
    wires.br.set(other_config={"datapath-id": "00000000000000af", "dp-desc": "a switch", "dp-sn": "7"})
    assert wires.br.running.datapath_id == 0xAF
    assert wires.br.running.description.dp_desc == "a switch" and wires.br.running.description.serial_num == "7"
    wires.br.set(other_config={})
    assert wires.br.running.datapath_id == int.from_bytes(mac, "big")


@pytest.mark.parametrize(("row", "match", "actions", "before", "after"), WRITES, ids=[f"{r[0]} {r[2]}" for r in WRITES])
def test_a_megaflow_traced_as_it_is_dumped_gives_its_own_actions(
    row: str, match: str, actions: str, before: Packet, after: Packet,
) -> None:
    """AP.13, AP.31: the cache holds what translation says of the packets that it is for."""
    end = "" if "resubmit" in actions else ",b"
    with Switch() as switch:
        wires = Wires(switch)
        wires.flows(f"{match + ',' if match else ''}actions={actions}{end}", *BEHIND)
        wires.through(before)
        _, line = switch.appctl("dpctl/dump-flows").splitlines()
        key, _, rest = line.partition(", packets:")
        text = switch.appctl("ofproto/trace", key).rstrip("\n")
    assert text.rpartition("Datapath actions: ")[2] == rest.rpartition("actions:")[2]


def test_the_caches_are_bounded_and_forget_as_configured() -> None:
    """DP.10: other_config:flow-limit and max-idle; a wrong value leaves the default."""
    with Switch() as switch:
        wires = Wires(switch)
        wires.flows(*(f"udp,tp_src={port},actions=b" for port in range(100)))
        switch.set("Open_vSwitch", ".", other_config={"flow-limit": "20", "max-idle": "500"})
        for port in range(100):
            wires.a.send(bytes(eth() / ip() / udp(sport=port)))
        assert len(wires.b.recv_all()) == 100
        assert 0 < len(switch.dump_megaflows()) <= 20
        switch.advance(2)
        assert switch.dump_megaflows() == []
        switch.set("Open_vSwitch", ".", other_config={"flow-limit": "0", "max-idle": "a while"})
        datapath = switch.core.datapath
        assert (datapath.flow_limit, datapath.max_idle_ms) == (200_000, 10_000)


def test_a_port_that_floods_new_flows_does_not_keep_others_waiting() -> None:
    """DP.12: misses are translated a batch of one port at a time."""
    real = Real()
    try:
        match = {"eth_type": (0x0800, 0xFFFF)}
        for port in range(2000):
            ports = match | {"nw_proto": (17, 0xFF), "tp_src": (port, 0xFFFF)}
            real.flow_mod("br0", Mod("add", 0, 5, ports, (("output", 3, 0),), 1))
            assert real.pipes["br0", 1].inject(bytes(eth() / ip() / udp(sport=port)))
        real.flow_mod("br0", Mod("add", 0, 1, {"in_port": (2, 0xFFFF)}, (("output", 4, 0),), 1))
        assert real.pipes["br0", 2].inject(bytes(eth() / arp()))
        real.dp.step(max_rounds=1)
        assert len(real.pipes["br0", 4].take()) == 1
        assert 0 < len(real.pipes["br0", 3].take()) <= 128
        real.dp.step()
        assert real.dp.stats()["misses"] == 2001 and real.dp.stats()["lost"] == 0
    finally:
        real.close()


@pytest.mark.parametrize("kind", ["", "system", "netdev"])
def test_every_type_of_datapath_is_the_one_there_is(kind: str) -> None:
    """DP.26: clients make bridges of type system or netdev, and look for either name."""
    with Switch() as switch:
        switch.add_bridge("br0", datapath_type=kind)
        assert switch.appctl("dpctl/dump-dps").strip() == "netdev@ovs-netdev"
        shown = {switch.appctl("dpctl/show", *name) for name in ((), ("netdev@ovs-netdev",), ("system@ovs-system",))}
        assert len(shown) == 1 and "netdev@ovs-netdev:" in shown.pop()
        with pytest.raises(CommandError):
            switch.appctl("dpctl/show", "nosuch@datapath")


def test_flow_table_and_aggregate_statistics_agree(wires: Wires) -> None:
    """MO.02: what flows, tables and the sum over flows count."""
    wires.flows("table=0,udp,actions=resubmit(,7)", "table=7,in_port=1,actions=b", "table=7,priority=1,actions=drop")
    wires.switch.advance(1)
    tables = wires.br.running.flows
    before = {row[0]: row[2:] for row in tables.table_stats()}
    frames = [bytes(eth() / ip() / udp(sport=port)) for port in (1, 2, 3)]
    for frame in (*frames, *frames):
        wires.a.send(frame)
    wires.switch.advance(1)
    after = {row[0]: row[2:] for row in tables.table_stats()}
    assert [tuple(n - m for n, m in zip(after[t], before[t], strict=True)) for t in (0, 7)] == [(6, 6), (6, 6)]
    lines = wires.br.dump_flows().splitlines()
    counted = [tuple(map(int, re.findall(r"n_packets=(\d+), n_bytes=(\d+)", line)[0])) for line in lines]
    size = len(frames[0])
    assert sorted(counted) == [(0, 0), (6, 6 * size), (6, 6 * size)]
