"""Wire forms of the naive oracle's flow-mods, and a reader of OpenFlow 1.3 flow statistics, by `struct` alone."""

from __future__ import annotations

import struct

from ofproto.numbers import NICIRA
from ofproto.testing import KEY_BYTES
from tests.oracle.flow_table_naive import ANY, DELETE, TABLE_ALL, Flow, Mod

NXM_REG0, NXM_REG1 = 0x0001 << 16 | 0 << 9, 0x0001 << 16 | 1 << 9
REGS = 584


def nxm(match: tuple[int, int, int, int]) -> bytes:
    """Entries for reg0 and reg1, exact or masked."""
    out = b""
    for header, value, mask in ((NXM_REG0, *match[:2]), (NXM_REG1, *match[2:])):
        if mask == 0xFFFFFFFF:
            out += struct.pack("!II", header | 4, value)
        elif mask:
            out += struct.pack("!III", header | 0x100 | 8, value, mask)
    return out


def pad8(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def header(version: int, kind: int, body: bytes, xid: int = 7) -> bytes:
    return struct.pack("!BBHI", version, kind, 8 + len(body), xid) + body


def oxm_match(match: tuple[int, int, int, int]) -> bytes:
    entries = nxm(match)
    return pad8(struct.pack("!HH", 1, 4 + len(entries)) + entries)


def flow_mod_13(mod: Mod) -> bytes:
    """OpenFlow 1.3 FLOW_MOD."""
    actions = b"".join(struct.pack("!HHIH6x", 0, 16, port, 0) for port in mod.outputs)
    instructions = struct.pack("!HH4x", 4, 8 + len(actions)) + actions if actions else b""
    body = struct.pack(
        "!QQBBHHHIIIH2x", mod.cookie, mod.cookie_mask, mod.table, mod.command, mod.idle, mod.hard, mod.priority,
        mod.buffer_id, mod.out_port, ANY, mod.flags,
    )
    return header(4, 14, body + oxm_match(mod.match) + instructions)


def flow_mod_nxm(mod: Mod) -> bytes:
    """NXT_FLOW_MOD inside OpenFlow 1.0, the table in the command's high byte."""
    actions = b"".join(struct.pack("!HHHH", 0, 8, port & 0xFFFF, 0) for port in mod.outputs)
    entries = nxm(mod.match)
    body = struct.pack(
        "!IIQHHHHIHHH6x", NICIRA, 13, mod.cookie, mod.table << 8 | mod.command, mod.idle, mod.hard, mod.priority,
        mod.buffer_id, mod.out_port & 0xFFFF, mod.flags, len(entries),
    )
    return header(1, 4, body + pad8(entries) + actions)


def flow_mod(mod: Mod) -> bytes:
    return flow_mod_13(mod) if mod.version == 4 else flow_mod_nxm(mod)


def flow_request(match: tuple[int, int, int, int] = (0, 0, 0, 0), table: int = TABLE_ALL, cookie: int = 0,
                 cookie_mask: int = 0, out_port: int = ANY, kind: int = 1) -> bytes:
    """OpenFlow 1.3 flow (kind 1) or aggregate (kind 2) request."""
    body = struct.pack("!B3xII4xQQ", table, out_port, ANY, cookie, cookie_mask) + oxm_match(match)
    return header(4, 18, struct.pack("!HH4x", kind, 0) + body)


def read_match(data: bytes) -> tuple[int, int, int, int]:
    found = [0, 0, 0, 0]
    at = 0
    while at < len(data):
        (entry,) = struct.unpack_from("!I", data, at)
        words = struct.unpack_from(f"!{(entry & 0xFF) // 4}I", data, at + 4)
        which = 2 * ((entry >> 9 & 0x7F) - 0)
        found[which : which + 2] = [words[0], words[1] if entry & 0x100 else 0xFFFFFFFF]
        at += 4 + (entry & 0xFF)
    return tuple(found)


def read_outputs(data: bytes) -> tuple[int, ...]:
    """Output ports of one apply-actions instruction, or none."""
    return tuple(struct.unpack_from("!I", data, at + 4)[0] for at in range(8, len(data), 16))


def read_flows(bodies: list[bytes]) -> list[tuple]:
    """(table, priority, match, cookie, idle, hard, flags, packets, duration in s, outputs) of each entry, sorted."""
    flows = []
    for body in bodies:
        at = 0
        while at < len(body):
            length, table, sec, _, prio, idle, hard, flags, cookie, packets, _ = struct.unpack_from(
                "!HBxIIHHHH4xQQQ", body, at)
            (match_length,) = struct.unpack_from("!H", body, at + 50)
            match = read_match(body[at + 52 : at + 48 + match_length])
            rest = at + 48 + match_length + -match_length % 8
            outputs = read_outputs(body[rest : at + length])
            flows.append((table, prio, match, cookie, idle, hard, flags, packets, sec, outputs))
            at += length
    return sorted(flows)


def expected(flow: Flow, now: int) -> tuple:
    """What read_flows should say of an oracle's flow."""
    mod = flow.mod
    age = (now - flow.created) // 1_000_000_000
    head = flow.table, mod.priority, mod.match, flow.cookie
    return (*head, mod.idle, mod.hard, mod.flags, flow.packets, age, flow.outputs)


def image(reg0: int, reg1: int) -> bytes:
    """A flow key with two registers."""
    key = bytearray(KEY_BYTES)
    key[REGS : REGS + 8] = struct.pack("!II", reg0, reg1)
    return bytes(key)


def delete_all() -> bytes:
    return flow_mod_13(Mod(DELETE, table=TABLE_ALL))
