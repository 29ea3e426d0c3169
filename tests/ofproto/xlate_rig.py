"""What the translation tests share: OfAct lists by `struct`, flow keys by slot name, programs as text."""

from __future__ import annotations

import struct
from typing import NamedTuple

from datapath.drops import DROPS
from datapath.slots import places
from ofproto.fields import FIELDS
from ofproto.switch import BridgeHandle, SwitchHandle
from ofproto.xlate.testing import add_flow

PLACES = places()
KEY_BYTES = 584
FLOW_BYTES = 736
REASONS = [symbol for symbol, _ in DROPS]
IN_PORT, TABLE, NORMAL, FLOOD, ALL, CONTROLLER, LOCAL, ANY = range(0xFFFFFFF8, 0x100000000)
(
    OUTPUT,
    CONTROLLER_ACT,
    ENQUEUE,
    OUTPUT_REG,
    SET_VLAN_VID,
    SET_VLAN_PCP,
    STRIP_VLAN,
    PUSH_VLAN,
    SET_ETH_SRC,
    SET_ETH_DST,
    SET_IPV4_SRC,
    SET_IPV4_DST,
    SET_IP_DSCP,
    SET_IP_ECN,
    SET_IP_TTL,
    SET_L4_SRC,
    SET_L4_DST,
    SET_FIELD,
    MOVE,
    STACK_PUSH,
    STACK_POP,
    DEC_TTL,
    SET_TUNNEL,
    SET_QUEUE,
    POP_QUEUE,
    RESUBMIT,
    NOTE,
    EXIT,
    CLEAR_ACTIONS,
    WRITE_ACTIONS,
    WRITE_METADATA,
    GOTO_TABLE,
) = range(1, 33)
FIELD_NUMBER = {name: i for i, row in enumerate(FIELDS) for name in (row.name, *row.aliases)}
FIELD_BYTES = {i: (row.n_bits + 7) // 8 for i, row in enumerate(FIELDS)}
MAC_A, MAC_B, MAC_C = (bytes.fromhex(f"0200000000{n:02x}") for n in (0xA, 0xB, 0xC))
BROADCAST = b"\xff" * 6


def act(kind: int, body: bytes = b"", flags: int = 0) -> bytes:
    """One entry of an OfAct list, padded to 8 bytes."""
    body += bytes(-len(body) % 8)
    return struct.pack("=BBHI", kind, flags, 8 + len(body), 0) + body


def output(port: int, max_len: int = 0) -> bytes:
    return act(OUTPUT, struct.pack("=II", port, max_len))


def controller(max_len: int = 0xFFFF, controller_id: int = 0, reason: int = 1) -> bytes:
    return act(CONTROLLER_ACT, struct.pack("=HHB", max_len, controller_id, reason))


def value(kind: int, number: int, flags: int = 0) -> bytes:
    return act(kind, struct.pack("=I", number), flags)


def mac(kind: int, address: bytes) -> bytes:
    return act(kind, address)


def set_field(name: str, number: int, mask: int | None = None) -> bytes:
    field = FIELD_NUMBER[name]
    size = FIELD_BYTES[field]
    full = (1 << FIELDS[field].n_bits) - 1
    bits = full if mask is None else mask
    return act(
        SET_FIELD,
        struct.pack("=HHI", field, size, 0) + (number & bits).to_bytes(size, "big") + bits.to_bytes(size, "big"),
    )


def move(src: str, dst: str, n_bits: int, src_low: int = 0, dst_low: int = 0) -> bytes:
    return act(MOVE, struct.pack("=HHHHH", FIELD_NUMBER[src], src_low, FIELD_NUMBER[dst], dst_low, n_bits))


def stack(kind: int, name: str, n_bits: int, low: int = 0) -> bytes:
    return act(kind, struct.pack("=HHH", FIELD_NUMBER[name], low, n_bits))


def output_reg(name: str, n_bits: int, low: int = 0) -> bytes:
    return act(OUTPUT_REG, struct.pack("=HHHH", FIELD_NUMBER[name], low, n_bits, 0xFFFF))


def resubmit(table: int = 255, in_port: int = IN_PORT) -> bytes:
    return act(RESUBMIT, struct.pack("=IB", in_port, table))


def write_actions(*acts: bytes) -> bytes:
    return act(WRITE_ACTIONS, b"".join(acts))


def metadata(number: int, mask: int = 0xFFFFFFFFFFFFFFFF) -> bytes:
    return act(WRITE_METADATA, struct.pack(">QQ", number & mask, mask))


def goto(table: int) -> bytes:
    return value(GOTO_TABLE, table)


def _bytes(slot: str, number: int | bytes) -> bytes:
    return number if isinstance(number, bytes) else number.to_bytes(PLACES[slot].slot.n_bytes, "big")


def key(**slots: int | bytes) -> bytes:
    """A FlowKey with the given slots (numbers or bytes)."""
    out = bytearray(FLOW_BYTES)
    for name, number in slots.items():
        place = PLACES[name]
        out[place.offset : place.offset + place.slot.n_bytes] = _bytes(name, number)
    return bytes(out)


def packet(**slots: int | bytes) -> bytes:
    """A PacketKey; unless told otherwise TCP over IPv4 from MAC_A to MAC_B on datapath port 1."""
    base = {
        "in_port": 1,
        "eth_src": MAC_A,
        "eth_dst": MAC_B,
        "eth_type": 0x0800,
        "ip_src": 0x0A000001,
        "ip_dst": 0x0A000002,
        "nw_proto": 6,
        "nw_ttl": 64,
        "tp_src": 1000,
        "tp_dst": 80,
    }
    return key(**{**base, **slots})[:KEY_BYTES]


def arp(op: int = 1, **slots: int | bytes) -> bytes:
    base = {
        "in_port": 1,
        "eth_src": MAC_A,
        "eth_dst": BROADCAST,
        "eth_type": 0x0806,
        "nw_proto": op,
        "ip_src": 0x0A000001,
        "ip_dst": 0x0A000002,
    }
    return key(**{**base, **slots})[:KEY_BYTES]


def slot_of(data: bytes, name: str) -> int:
    """A slot's value in key or mask bytes."""
    place = PLACES[name]
    return int.from_bytes(data[place.offset : place.offset + place.slot.n_bytes], "big")


def full_mask(*names: str) -> bytes:
    return key(**{name: b"\xff" * PLACES[name].slot.n_bytes for name in names})


class Result(NamedTuple):
    """One translation: the mask, the program in words, why it drops ('' = it outputs) and its tags."""

    mask: bytes
    ops: list[tuple]
    drop: str
    tags: int

    @property
    def text(self) -> str:
        return " ".join(op_text(op) for op in self.ops)

    def reads(self, name: str) -> int:
        return slot_of(self.mask, name)


SLOT_NAMES = {place.number: name for name, place in PLACES.items()}


def op_text(op: tuple) -> str:
    """A datapath op in short: `2`, `set(eth_dst=..)`, `push(8100,1005)`, `pop`, `punt`, `drop(reason,table)` ..."""
    kind, slot, aux, arg, aux32, data, mask = op
    if kind == 2:
        n = PLACES[SLOT_NAMES[slot]].slot.n_bytes
        bits = "" if mask[:n] == b"\xff" * n else "/" + mask[:n].hex()
        return f"set({SLOT_NAMES[slot]}={data[:n].hex()}{bits})"
    words = {
        1: f"{arg}",
        3: f"push({arg >> 16:04x},{arg & 0xFFFF:04x})",
        4: "pop",
        5: "punt",
        6: f"drop({REASONS[arg] if kind == 6 else ''},{aux})",
        7: f"mark({arg:#x}/{aux32:#x})",
        8: f"priority({arg})",
    }
    return words[kind]


class Rig:
    """A switch with bridge br0 and ports 1..n_ports on the datapath ports of the same number, and LOCAL on 100."""

    def __init__(self, n_ports: int = 3, local: bool = True) -> None:
        self.switch = SwitchHandle()
        self.br = self.bridge("br0")
        for number in range(1, n_ports + 1):
            self.br.add_port(number, number, f"p{number}")
        if local:
            self.br.add_port(LOCAL, 100, "br0")

    def bridge(self, name: str) -> BridgeHandle:
        return self.switch.add_bridge(name, bytes(6))

    def flow(
        self,
        *acts: bytes,
        table: int = 0,
        priority: int = 100,
        cookie: int = 0,
        bridge: BridgeHandle | None = None,
        **match: int | bytes,
    ) -> None:
        """Add a flow that matches the given slots exactly."""
        add_flow(bridge or self.br, table, priority, key(**match), full_mask(*match), b"".join(acts), cookie)

    def send(self, data: bytes | None = None, learn: bool = True, now_ns: int = 0, hook: object = None) -> Result:
        mask, ops, reason, tags = self.switch.translate(
            packet() if data is None else data, learn=learn, now_ns=now_ns, hook=hook
        )
        return Result(mask, ops, REASONS[reason] if reason else "", tags)

    def patch(self, number: int, other: BridgeHandle, other_number: int) -> None:
        """Connect br0's port `number` with another bridge's by a pair of patch ports."""
        self.br.add_port(number, None, f"patch{number}")
        other.add_port(other_number, None, f"peer{other_number}")
        self.br.set_peer(number, other, other_number)
