"""Translation against a naive switch, and the megaflow's promise (DP.05).

Every packet that agrees with a translated one in the masked bits gets the same program.
"""

from __future__ import annotations

import struct

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ofproto.xlate.testing import add_flow
from tests.ofproto import xlate_rig as rig
from tests.ofproto.xlate_rig import PLACES, Rig, key, output, packet
from tests.oracle import xlate_naive as naive

PORTS = (1, 2, 3, 4)
PATCH, PEER, FAR = 9, 8, (5, 6)  # br0:9 is connected with br1:8; br1 also has ports 5 and 6
MACS = [int.from_bytes(mac, "big") for mac in (rig.MAC_A, rig.MAC_B, rig.MAC_C)]
NAIVE_SLOT = {"reg0": ("regs", 0), "reg1": ("regs", 4)}

macs = st.sampled_from([*MACS, naive.BROADCAST])
vids = st.integers(0, 3)
tags = st.lists(
    st.tuples(st.just(0x8100), st.builds(lambda pcp, vid: pcp << 13 | vid, st.integers(0, 2), vids)), max_size=2
)
ips = st.sampled_from([0x0A000001, 0x0A000002, 0x0A000101])
small = st.integers(0, 3)
port_numbers = st.sampled_from([*PORTS, PATCH, PEER, *FAR, 77])

packets = st.fixed_dictionaries(
    {
        "eth_src": st.sampled_from(MACS),
        "eth_dst": macs,
        "eth_type": st.sampled_from([0x0800, 0x0800, 0x88B5]),
        "tags": tags,
        "ip_src": ips,
        "ip_dst": ips,
        "nw_proto": st.just(6),
        "nw_tos": st.sampled_from([0, 4, 7]),
        "nw_ttl": st.sampled_from([0, 1, 2, 64]),
        "tp_src": small,
        "tp_dst": small,
        "pkt_mark": small,
        "skb_priority": small,
    }
)

matched = st.one_of(
    st.tuples(st.just("in_port"), port_numbers, st.just(0xFFFFFFFF)),
    st.tuples(st.just("eth_dst"), macs, st.sampled_from([(1 << 48) - 1, 1 << 40])),
    st.tuples(st.just("eth_src"), macs, st.just((1 << 48) - 1)),
    st.tuples(
        st.just("vlan_tci"),
        st.builds(lambda p, v: p | v, st.sampled_from([0x1000, 0]), vids),
        st.sampled_from([0x1000, 0x1FFF, 0xF000]),
    ),
    st.tuples(st.just("ip_src"), ips, st.sampled_from([0xFFFFFFFF, 0xFFFFFF00])),
    st.tuples(st.just("nw_ttl"), st.sampled_from([1, 2, 63]), st.just(0xFF)),
    st.tuples(st.just("nw_tos"), st.sampled_from([0, 4]), st.sampled_from([0xFC, 0xFF])),
    st.tuples(st.just("tp_dst"), small, st.just(0xFFFF)),
    st.tuples(st.just("pkt_mark"), small, st.just(0xFFFFFFFF)),
    st.tuples(st.just("reg0"), small, st.just(0xFFFFFFFF)),
    st.tuples(st.just("metadata"), small, st.just(0xFFFFFFFFFFFFFFFF)),
)
matches = st.lists(matched, max_size=2).map(lambda rows: {name: (value, mask) for name, value, mask in rows})

setters = st.one_of(
    st.tuples(st.just("set"), st.just("eth_dst"), macs, st.just((1 << 48) - 1)),
    st.tuples(st.just("set"), st.just("eth_src"), macs, st.sampled_from([(1 << 48) - 1, 0xFFFF])),
    st.tuples(st.just("set"), st.just("ip_src"), ips, st.sampled_from([0xFFFFFFFF, 0xFF])),
    st.tuples(st.just("set"), st.just("nw_tos"), st.sampled_from([0, 4]), st.just(0xFC)),
    st.tuples(st.just("set"), st.just("nw_ttl"), st.sampled_from([1, 2, 64]), st.just(0xFF)),
    st.tuples(st.just("set"), st.just("tp_dst"), small, st.just(0xFFFF)),
    st.tuples(st.just("set"), st.just("pkt_mark"), small, st.sampled_from([0xFFFFFFFF, 1])),
    st.tuples(st.just("set"), st.just("reg0"), small, st.just(0xFFFFFFFF)),
    st.tuples(st.just("set"), st.just("metadata"), small, st.just(0xFFFFFFFFFFFFFFFF)),
    st.tuples(st.just("set_vid"), vids),
    st.tuples(st.just("set_pcp"), st.integers(0, 2)),
)
in_sets = st.one_of(
    setters, st.tuples(st.just("output"), port_numbers), st.just(("strip_vlan",)), st.just(("dec_ttl",))
)
actions = st.one_of(
    setters,
    setters,
    st.tuples(st.just("output"), port_numbers),
    st.tuples(st.just("output"), port_numbers),
    st.just(("normal",)),
    st.just(("in_port",)),
    st.just(("all",)),
    st.just(("flood",)),
    st.just(("strip_vlan",)),
    st.tuples(st.just("push_vlan"), st.sampled_from([0x8100, 0x88A8])),
    st.just(("dec_ttl",)),
    st.sampled_from(
        [("move", "ip_src", "reg0"), ("move", "reg0", "reg1"), ("move", "reg1", "ip_src"), ("move", "pkt_mark", "reg1")]
    ),
    st.tuples(st.sampled_from(["push", "pop"]), st.sampled_from(["reg0", "reg1"])),
    st.tuples(st.just("resubmit"), st.integers(0, 3), st.one_of(st.none(), port_numbers)),
    st.just(("exit",)),
    st.lists(in_sets, min_size=1, max_size=3).map(lambda rows: ("write", *rows)),
    st.just(("clear",)),
    st.tuples(st.just("enqueue"), port_numbers, small),
)
busy = st.lists(actions, min_size=2, max_size=6)
# A flow for every packet in each table, so that most of them get somewhere.
bases = st.tuples(busy, busy, busy, busy, busy).map(
    lambda lists: [("br1" if i == 4 else "br0", i % 4, 0, {}, acts, i in (0, 4)) for i, acts in enumerate(lists)]
)
flows = st.tuples(
    st.sampled_from(["br0", "br0", "br1"]),
    st.integers(0, 3),
    st.integers(1, 30),
    matches,
    st.lists(actions, max_size=5),
    st.booleans(),
)
vlan_modes = st.tuples(
    st.sampled_from(["trunk", "trunk", "access", "native-tagged", "native-untagged"]),
    st.integers(1, 3),
    st.frozensets(vids, max_size=2),
)


def field_name(slot: str) -> str:
    return {"nw_ttl": "nw_ttl", "tp_dst": "tcp_dst"}.get(slot, slot)


ENCODERS = {
    "output": output,
    "normal": lambda: output(rig.NORMAL),
    "in_port": lambda: output(rig.IN_PORT),
    "all": lambda: output(rig.ALL),
    "flood": lambda: output(rig.FLOOD),
    "set": lambda name, value, mask: rig.set_field(field_name(name), value, mask),
    "set_vid": lambda vid: rig.value(rig.SET_VLAN_VID, vid, 1),
    "set_pcp": lambda pcp: rig.value(rig.SET_VLAN_PCP, pcp, 1),
    "push_vlan": lambda tpid: rig.value(rig.PUSH_VLAN, tpid),
    "strip_vlan": lambda: rig.act(rig.STRIP_VLAN),
    "dec_ttl": lambda: rig.act(rig.DEC_TTL, bytes(2)),
    "move": lambda src, dst: rig.move(src, dst, 32),
    "push": lambda name: rig.stack(rig.STACK_PUSH, name, 32),
    "pop": lambda name: rig.stack(rig.STACK_POP, name, 32),
    "resubmit": lambda table, port: rig.resubmit(table, rig.IN_PORT if port is None else port),
    "goto": rig.goto,
    "exit": lambda: rig.act(rig.EXIT),
    "write": lambda *acts: rig.write_actions(*map(encode, acts)),
    "clear": lambda: rig.act(rig.CLEAR_ACTIONS),
    "enqueue": lambda port, queue: rig.act(rig.ENQUEUE, struct.pack("=II", port, queue)),
}


def encode(action: tuple) -> bytes:
    return ENCODERS[action[0]](*action[1:])


def flow_match(match: dict[str, tuple[int, int]]) -> tuple[bytes, bytes]:
    """Value and mask as FlowKey bytes."""
    value, mask = bytearray(rig.FLOW_BYTES), bytearray(rig.FLOW_BYTES)
    for name, (v, m) in match.items():
        slot, shift = NAIVE_SLOT.get(name, (name, 0))
        size = 4 if name in NAIVE_SLOT else PLACES[slot].slot.n_bytes
        at = PLACES[slot].offset + shift
        value[at : at + size], mask[at : at + size] = v.to_bytes(size, "big"), m.to_bytes(size, "big")
    return bytes(value), bytes(mask)


def packet_key(p: dict, in_port: int) -> bytes:
    slots = {name: p[name] for name in naive.HEADERS}
    if p["eth_type"] != 0x0800:
        slots.update(dict.fromkeys(("ip_src", "ip_dst", "nw_proto", "nw_tos", "nw_ttl", "tp_src", "tp_dst"), 0))
    for (tpid, tci), prefix in zip(p["tags"], ("vlan", "vlan2"), strict=False):
        slots[f"{prefix}_tci"], slots[f"{prefix}_tpid"] = tci | 0x1000, tpid
    return key(in_port=in_port, **slots)[: rig.KEY_BYTES]


def clean(p: dict) -> dict:
    """Headers that the packet does not have are zero."""
    if p["eth_type"] != 0x0800:
        p = {**p, **dict.fromkeys(("ip_src", "ip_dst", "nw_proto", "nw_tos", "nw_ttl", "tp_src", "tp_dst"), 0)}
    return p


def run_program(ops: list[tuple], p: dict) -> list[tuple]:
    """What a program sends for one packet, as (datapath port, headers, tags)."""
    p = {**p, "tags": list(p["tags"])}
    sent = []
    for kind, slot, _aux, arg, aux32, data, mask in ops:
        if kind == 1:
            sent.append((arg, tuple(p[name] for name in naive.HEADERS), tuple(p["tags"])))
        elif kind == 2:
            name = rig.SLOT_NAMES[slot]
            size = PLACES[name].slot.n_bytes
            v, m = int.from_bytes(data[:size], "big"), int.from_bytes(mask[:size], "big")
            if name == "vlan_tci":
                p["tags"][0] = (p["tags"][0][0], (p["tags"][0][1] & ~m) | v)
            else:
                p[name] = (p[name] & ~m) | v
        elif kind == 3:
            p["tags"].insert(0, (arg >> 16, arg & 0xEFFF))
        elif kind == 4:
            p["tags"].pop(0)
        elif kind == 7:
            p["pkt_mark"] = (p["pkt_mark"] & ~aux32) | arg
        elif kind == 8:
            p["skb_priority"] = arg
    return sent


class World:
    """The same two bridges in both worlds."""

    def __init__(self, rows: list, modes: list, flags: list) -> None:
        self.rig = Rig(0, local=False)
        self.br1 = self.rig.bridge("br1")
        self.naive = {name: naive.Bridge(name) for name in ("br0", "br1")}
        handles = {"br0": self.rig.br, "br1": self.br1}
        for name, numbers in (("br0", PORTS), ("br1", FAR)):
            for number in numbers:
                handles[name].add_port(number, number, f"p{number}")
                self.naive[name].ports[number] = naive.Port(number)
        self.rig.patch(PATCH, self.br1, PEER)
        self.naive["br0"].ports[PATCH] = naive.Port(PATCH, peer=(self.naive["br1"], PEER))
        self.naive["br1"].ports[PEER] = naive.Port(PEER, peer=(self.naive["br0"], PATCH))
        for number, (mode, tag, trunks), (no_flood, no_fwd) in zip(PORTS, modes, flags, strict=True):
            self.set_port(number, mode, tag, trunks, no_flood, no_fwd)
        taken: set = set()
        for bridge, table, priority, match, acts, normal in rows:
            place = (bridge, table, priority)
            if place not in taken:
                taken.add(place)
                acts = [*acts, ("normal",)] if normal else acts
                self.naive[bridge].tables.setdefault(table, []).append((priority, match, acts))
                add_flow(handles[bridge], table, priority, *flow_match(match), b"".join(map(encode, acts)))

    def set_port(self, number: int, mode: str, tag: int, trunks: frozenset, no_flood: bool, no_fwd: bool) -> None:
        self.rig.br.set_port(
            number, vlan_mode=mode, tag=0 if mode == "trunk" else tag, trunks=trunks, config=16 * no_flood + 32 * no_fwd
        )
        port = self.naive["br0"].ports[number]
        port.mode, port.tag, port.no_flood, port.no_fwd = mode, tag, no_flood, no_fwd
        port.trunks = trunks if mode in ("trunk", "access") else ((trunks or frozenset(range(4096))) | {tag}) - {0}

    def expected(self, p: dict, in_port: int) -> list:
        return [
            (number, headers, tags) for _, number, headers, tags in naive.forward(self.naive["br0"], clean(p), in_port)
        ]


worlds = st.builds(
    lambda base, rows, modes, flags: World([*base, *rows], modes, flags),
    bases,
    st.lists(flows, max_size=8),
    st.lists(vlan_modes, min_size=len(PORTS), max_size=len(PORTS)),
    st.lists(
        st.sampled_from([(False, False), (False, False), (True, False), (False, True)]),
        min_size=len(PORTS),
        max_size=len(PORTS),
    ),
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds, st.lists(st.tuples(packets, st.sampled_from(PORTS)), min_size=1, max_size=4))
def test_translation_sends_what_a_naive_switch_sends_learning_included(world: World, sequence: list) -> None:
    for p, in_port in sequence:
        result = world.rig.send(packet_key(p, in_port))
        expected = world.expected(p, in_port)
        if result.drop == "too_many_actions":
            assert len(expected) > 512  # a program holds 4096 ops
            continue
        assert run_program(result.ops, clean(p)) == expected, (result.text, world.naive)


def mix(one: bytes, other: bytes, mask: bytes) -> bytes:
    """A valid key that agrees with `one` in the masked bits and is like `other` elsewhere."""
    out = bytearray((a & m) | (b & ~m & 0xFF) for a, b, m in zip(one, other, mask, strict=True))
    at = PLACES["vlan_tci"].offset
    for first in (at, at + 4):
        if not out[first] & 0x10:
            out[first : at + 8] = bytes(at + 8 - first)
        elif out[first + 2 : first + 4] == b"\0\0":
            out[first + 2 : first + 4] = b"\x81\x00"
    return bytes(out)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds, packets, st.sampled_from(PORTS), st.lists(packets, min_size=1, max_size=8))
def test_packets_that_agree_in_the_masked_bits_get_the_same_program(
    world: World, p: dict, in_port: int, others: list
) -> None:
    one = packet_key(p, in_port)
    world.rig.send(one)  # whatever is to be learned is known from here on
    result = world.rig.send(one, learn=False)
    for other in others:
        like = mix(one, packet_key({**other, "eth_type": p["eth_type"]}, in_port), result.mask)
        again = world.rig.send(like, learn=False)
        assert (again.text, again.drop) == (result.text, result.drop), result.text


def test_the_plain_packet_of_the_rig_is_valid() -> None:
    assert packet()[PLACES["eth_src"].offset :][:6] == rig.MAC_A
