"""Action NORMAL: VLAN modes, learning, flooding, reserved addresses (L2.01, L2.02, L2.04, L2.08)."""

from __future__ import annotations

import pytest

from tests.ofproto.xlate_rig import ANY, BROADCAST, MAC_A, MAC_B, NORMAL, Rig, arp, output, packet

NO_FLOOD, NO_FWD = 16, 32
TRUNK, ACCESS, TAGGED, UNTAGGED = "trunk", "access", "native-tagged", "native-untagged"


@pytest.fixture
def rig() -> Rig:
    made = Rig(2, local=False)
    made.flow(output(NORMAL))
    return made


def tag(vid: int, pcp: int = 0) -> dict[str, int]:
    return {"vlan_tci": 0x1000 | pcp << 13 | vid, "vlan_tpid": 0x8100}


@pytest.mark.parametrize(
    ("mode", "native", "trunks", "slots", "expected"),
    [
        (TRUNK, 0, (), {}, "2"),
        (TRUNK, 0, (), tag(5), "2"),
        (TRUNK, 0, (5,), tag(5), "2"),
        (TRUNK, 0, (5,), tag(6), "drop(vlan_not_allowed,0)"),
        (TRUNK, 0, (5,), {}, "drop(vlan_not_allowed,0)"),
        (TRUNK, 0, (0, 5), {}, "2"),
        (ACCESS, 5, (), {}, "push(8100,1005) 2"),
        (ACCESS, 5, (), tag(0, 7), "set(vlan_tci=e005/efff) 2"),
        (ACCESS, 5, (), tag(5), "drop(vlan_tagged_on_access,0)"),
        (TAGGED, 5, (), {}, "push(8100,1005) 2"),
        (TAGGED, 5, (7,), {}, "push(8100,1005) 2"),
        (TAGGED, 5, (7,), tag(7), "2"),
        (TAGGED, 5, (7,), tag(8), "drop(vlan_not_allowed,0)"),
        (UNTAGGED, 5, (), {}, "push(8100,1005) 2"),
        (UNTAGGED, 5, (7,), tag(5), "2"),
    ],
)
def test_what_a_port_accepts(
    rig: Rig, mode: str, native: int, trunks: tuple[int, ...], slots: dict[str, int], expected: str
) -> None:
    rig.br.set_port(1, vlan_mode=mode, tag=native, trunks=trunks)
    assert rig.send(packet(**slots)).text == expected


@pytest.mark.parametrize(
    ("mode", "native", "trunks", "slots", "expected"),
    [
        (TRUNK, 0, (), tag(5), "2"),
        (TRUNK, 0, (6,), tag(5), "drop(no_flood_ports,0)"),
        (ACCESS, 5, (), tag(5), "pop 2"),
        (ACCESS, 6, (), tag(5), "drop(no_flood_ports,0)"),
        (TAGGED, 5, (), tag(5), "2"),
        (TAGGED, 5, (), tag(6), "2"),
        (UNTAGGED, 5, (), tag(5), "pop 2"),
        (UNTAGGED, 5, (), tag(6), "2"),
        (UNTAGGED, 5, (6,), tag(7), "drop(no_flood_ports,0)"),
        (TRUNK, 0, (), tag(0, 3), "2"),
        (TRUNK, 0, (), tag(0, 0), "pop 2"),
        (ACCESS, 0, (), tag(0, 3), "pop 2"),
        (TAGGED, 5, (), {}, "drop(no_flood_ports,0)"),
        (UNTAGGED, 5, (), {}, "drop(no_flood_ports,0)"),
    ],
)
def test_what_a_port_sends(
    rig: Rig, mode: str, native: int, trunks: tuple[int, ...], slots: dict[str, int], expected: str
) -> None:
    rig.br.set_port(2, vlan_mode=mode, tag=native, trunks=trunks)
    assert rig.send(packet(**slots)).text == expected


def test_an_inner_tag_survives_untagging(rig: Rig) -> None:
    rig.br.set_port(2, vlan_mode=ACCESS, tag=5)
    assert rig.send(packet(**tag(5), vlan2_tci=0x1009, vlan2_tpid=0x8100)).text == "pop 2"


def test_the_tag_changes_back_between_ports_of_a_flood() -> None:
    rig = Rig(4, local=False)
    rig.flow(output(NORMAL))
    rig.br.set_port(3, vlan_mode=ACCESS, tag=5)
    assert rig.send(packet(**tag(5))).text == "2 pop 3 push(8100,1005) 4"


def test_the_priority_is_matched_only_where_it_is_written(rig: Rig) -> None:
    assert rig.send(packet(**tag(5, 3))).reads("vlan_tci") == 0x1FFF
    rig.br.set_port(2, vlan_mode=ACCESS, tag=5)
    assert rig.send(packet(**tag(5, 3))).reads("vlan_tci") == 0x1FFF
    rig.br.set_port(1, vlan_mode=ACCESS, tag=6)
    rig.br.set_port(2, vlan_mode=TRUNK)
    assert rig.send(packet(**tag(0, 3))).reads("vlan_tci") & 0xE000 == 0xE000


def test_a_learned_address_gets_its_frames_alone(rig: Rig) -> None:
    rig.br.add_port(3, 3, "p3")
    assert rig.send().text == "2 3"
    assert rig.send(packet(in_port=3, eth_src=MAC_B, eth_dst=MAC_A)).text == "1"
    assert rig.send().text == "3"
    assert rig.br.fdb(0) == [(1, 0, MAC_A, 0), (3, 0, MAC_B, 0)]


def test_learning_is_per_vlan(rig: Rig) -> None:
    rig.br.add_port(3, 3, "p3")
    rig.send(packet(in_port=3, eth_src=MAC_B, eth_dst=MAC_A, **tag(5)))
    assert rig.send(packet(**tag(5))).text == "3"
    assert rig.send(packet(**tag(6))).text == "2 3"


def test_without_a_packet_nothing_is_learned(rig: Rig) -> None:
    rig.send(learn=False)
    assert rig.br.fdb(0) == []


def test_a_group_source_is_not_learned(rig: Rig) -> None:
    rig.send(packet(eth_src=b"\x01" + bytes(5)))
    assert rig.br.fdb(0) == []


def test_a_frame_to_an_address_on_its_own_port_is_dropped_by_name(rig: Rig) -> None:
    rig.send(packet(eth_src=MAC_B, eth_dst=MAC_A))
    assert rig.send().text == "drop(own_source,0)"
    assert rig.send(packet(eth_dst=MAC_A)).drop == "own_source"


def test_a_moved_address_changes_its_port_and_its_tag(rig: Rig) -> None:
    rig.send()
    tags, version = rig.send().tags, rig.switch.version
    rig.send(packet(in_port=2))
    assert rig.br.fdb(0) == [(2, 0, MAC_A, 0)]
    assert rig.switch.affected(version, rig.switch.version, tags)


def test_news_of_another_address_leaves_a_megaflow_alone(rig: Rig) -> None:
    rig.send(packet(in_port=2, eth_src=MAC_B, eth_dst=MAC_A))
    rig.send()
    tags, version = rig.send().tags, rig.switch.version
    missed = 0
    for n in range(50):
        rig.send(packet(eth_src=bytes([2, 0, 0, 0, 1, n]), eth_dst=MAC_B))
        missed += not rig.switch.affected(version, rig.switch.version, tags)
        version = rig.switch.version
    assert missed > 45  # tags are a Bloom filter: nearly all, not all


def test_an_address_seen_where_it_is_known_makes_no_version(rig: Rig) -> None:
    rig.send(now_ns=5_000_000_000)
    version = rig.switch.version
    rig.send(now_ns=9_000_000_000)
    assert rig.switch.version == version
    assert rig.br.fdb(10_000_000_000) == [(1, 0, MAC_A, 1)]


def test_flood_leaves_out_no_flood_and_no_forward_ports(rig: Rig) -> None:
    rig.br.add_port(3, 3, "p3")
    rig.br.set_port(2, config=NO_FLOOD)
    assert rig.send().text == "3"
    rig.br.set_port(3, config=NO_FWD)
    assert rig.send().drop == "port_no_forward"
    rig.send(packet(in_port=2, eth_src=MAC_B, eth_dst=MAC_A))
    assert rig.send().text == "2"  # NO_FLOOD is no hindrance to a learned port


@pytest.mark.parametrize(
    "address",
    [
        "0180c2000000",
        "0180c200000f",
        "00e02b000000",
        "00e02b000004",
        "00e02b000006",
        "01000ccccccc",
        "01000ccccccd",
        "01000ccdcdcd",
        "01000c000000",
        "01000cccccc7",
    ],
)
def test_reserved_addresses_stay_unless_forward_bpdu(rig: Rig, address: str) -> None:
    frame = packet(eth_dst=bytes.fromhex(address))
    assert rig.send(frame).text == "drop(reserved_multicast,0)"
    rig.br.configure(forward_bpdu=True)
    assert rig.send(frame).text == "2"


@pytest.mark.parametrize("address", ["0180c2000010", "00e02b000005", "01000cccccc8", "01000ccccccf"])
def test_neighbours_of_reserved_addresses_are_forwarded(rig: Rig, address: str) -> None:
    assert rig.send(packet(eth_dst=bytes.fromhex(address))).text == "2"


def test_a_packet_out_from_nowhere_floods_everywhere_and_learns_nothing(rig: Rig) -> None:
    hook = rig.br.packet_out(output(NORMAL), ANY)
    assert rig.send(hook=hook).text == "1 2"
    assert rig.br.fdb(0) == []
    assert rig.send(hook=rig.br.packet_out(output(NORMAL), 77)).drop == "not_in_pipeline"


@pytest.mark.parametrize(
    ("op", "slots", "reads"),
    [
        (2, {}, ["nw_proto"]),
        (1, {"ip_dst": 0x0A000001}, ["nw_proto", "ip_src", "ip_dst"]),
        (1, {"eth_dst": MAC_B}, []),
    ],
)
def test_gratuitous_arp_is_told_by_what_it_takes(rig: Rig, op: int, slots: dict[str, int], reads: list[str]) -> None:
    result = rig.send(arp(op, **{"eth_dst": BROADCAST, **slots}))
    assert [name for name in ("nw_proto", "ip_src", "ip_dst") if result.reads(name)] == reads
    assert len(rig.br.fdb(0)) == 1


def test_changing_the_vlan_of_a_port_forgets_what_it_learned(rig: Rig) -> None:
    rig.send()
    rig.br.set_port(1, vlan_mode=ACCESS, tag=5)
    assert rig.br.fdb(0) == []
