"""One abstract flow, written as an OpenFlow 1.0, NXM or 1.3 flow-mod, and as text for reports; bytes by `struct` alone.

Match and actions are those of `tests.oracle.switch_naive`. `Mod` adds the command and the encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.oracle.fields_naive import FIELDS, REGS
from tests.oracle.switch_naive import IN_PORT, Action

Match = dict[str, tuple[int, int]]
NX_VENDOR = 0x2320
COMMANDS = ("add", "modify", "modify_strict", "delete", "delete_strict")
NO_BUFFER, OFPP_ANY = 0xFFFFFFFF, 0xFFFFFFFF
NXM_OF, NXM_NX, OXM = 0, 1, 0x8000

# field -> (bytes, NXM header or None, OXM number or None)
HEADERS: dict[str, tuple[int, tuple[int, int] | None, int | None]] = {
    "in_port": (2, (NXM_OF, 0), None),
    "metadata": (8, None, 2),
    "eth_dst": (6, (NXM_OF, 1), 3),
    "eth_src": (6, (NXM_OF, 2), 4),
    "eth_type": (2, (NXM_OF, 3), 5),
    "vlan_tci": (2, (NXM_OF, 4), None),
    "vlan_vid": (2, None, 6),
    "vlan_pcp": (1, None, 7),
    "nw_tos": (1, (NXM_OF, 5), None),
    "ip_dscp": (1, None, 8),
    "nw_ecn": (1, (NXM_NX, 28), 9),
    "ip_proto": (1, (NXM_OF, 6), 10),
    "ip_src": (4, (NXM_OF, 7), 11),
    "ip_dst": (4, (NXM_OF, 8), 12),
    "tcp_src": (2, (NXM_OF, 9), 13),
    "tcp_dst": (2, (NXM_OF, 10), 14),
    "udp_src": (2, (NXM_OF, 11), 15),
    "udp_dst": (2, (NXM_OF, 12), 16),
    "sctp_src": (2, None, 17),
    "sctp_dst": (2, None, 18),
    "icmp_type": (1, (NXM_OF, 13), 19),
    "icmp_code": (1, (NXM_OF, 14), 20),
    "arp_op": (2, (NXM_OF, 15), 21),
    "arp_spa": (4, (NXM_OF, 16), 22),
    "arp_tpa": (4, (NXM_OF, 17), 23),
    "arp_sha": (6, (NXM_NX, 17), 24),
    "arp_tha": (6, (NXM_NX, 18), 25),
    "ipv6_src": (16, (NXM_NX, 19), 26),
    "ipv6_dst": (16, (NXM_NX, 20), 27),
    "ipv6_label": (4, (NXM_NX, 27), 28),
    "icmpv6_type": (1, (NXM_NX, 21), 29),
    "icmpv6_code": (1, (NXM_NX, 22), 30),
    "nd_target": (16, (NXM_NX, 23), 31),
    "nd_sll": (6, (NXM_NX, 24), 32),
    "nd_tll": (6, (NXM_NX, 25), 33),
    "mpls_label": (4, None, 34),
    "mpls_tc": (1, None, 35),
    "mpls_bos": (1, None, 36),
    "tun_id": (8, (NXM_NX, 16), 38),
    "pkt_mark": (4, (NXM_NX, 33), None),
    "tcp_flags": (2, (NXM_NX, 34), None),
    "ip_frag": (1, (NXM_NX, 26), None),
    "nw_ttl": (1, (NXM_NX, 29), None),
    "in_port_oxm": (4, None, 0),
    **{name: (4, (NXM_NX, i), None) for i, name in enumerate(REGS)},
}


@dataclass(frozen=True)
class Mod:
    """A flow-mod. encoding: "10" (the match of OpenFlow 1.0), "nxm" or "13"; actions: see switch_naive.STEPS."""

    command: str
    table: int
    priority: int
    match: Match
    actions: tuple[Action, ...]
    cookie: int
    encoding: str = "13"
    idle: int = 0
    hard: int = 0

    @property
    def version(self) -> int:
        return 4 if self.encoding == "13" else 1


# -- match


def header(name: str, oxm: bool, mask: bool = False) -> int:
    n, nxm, number = HEADERS[name]
    kind, number = (OXM, number) if number is not None and (oxm or nxm is None) else nxm  # type: ignore[misc]
    return kind << 16 | number << 9 | mask << 8 | (2 * n if mask else n)


def entry(name: str, value: int, mask: int | None, oxm: bool) -> bytes:
    n = HEADERS[name][0]
    out = struct.pack("!I", header(name, oxm, mask is not None)) + value.to_bytes(n, "big")
    return out if mask is None else out + mask.to_bytes(n, "big")


def tp_names(match: Match) -> tuple[str, str]:
    names = {6: "tcp", 17: "udp", 132: "sctp"}
    proto = match["nw_proto"][0]
    if proto in names:
        return f"{names[proto]}_src", f"{names[proto]}_dst"
    return ("icmp_type", "icmp_code") if proto == 1 else ("icmpv6_type", "icmpv6_code")


def views(match: Match, oxm: bool) -> list[tuple[str, int, int]]:
    """The match as (field, value, mask), prerequisites first."""
    rows: list[tuple[str, int, int]] = []
    eth_type = match.get("eth_type", (0, 0))[0]
    arp = eth_type == 0x0806
    for name in ORDER:
        if name in match:
            value, mask = match[name]
            rows += (
                SPLIT[name](match, value, mask, oxm) if name in SPLIT else [(plain_name(name, arp, match), value, mask)]
            )
    return rows


def plain_name(name: str, arp: bool, match: Match) -> str:
    if arp and name in ("nw_proto", "ip_src", "ip_dst"):
        return {"nw_proto": "arp_op", "ip_src": "arp_spa", "ip_dst": "arp_tpa"}[name]
    if not arp and name in ("arp_sha", "arp_tha"):
        return {"arp_sha": "nd_sll", "arp_tha": "nd_tll"}[name]
    if name in ("tp_src", "tp_dst"):
        return tp_names(match)[name == "tp_dst"]
    return {"nw_proto": "ip_proto", "nw_frag": "ip_frag"}.get(name, name)


def split_vlan(match: Match, value: int, mask: int, oxm: bool) -> list:
    if not oxm:
        return [("vlan_tci", value, mask)]
    vid, pcp = mask & 0x1FFF, mask >> 13
    return ([("vlan_vid", value & 0x1FFF, vid)] if vid else []) + ([("vlan_pcp", value >> 13, pcp)] if pcp else [])


def split_tos(match: Match, value: int, mask: int, oxm: bool) -> list:
    dscp = ("ip_dscp", value >> 2, 0x3F) if oxm else ("nw_tos", value & 0xFC, 0xFF)
    return ([dscp] if mask & 0xFC else []) + ([("nw_ecn", value & 3, 3)] if mask & 3 else [])


def split_mpls(match: Match, value: int, mask: int, oxm: bool) -> list:
    parts = (("mpls_label", 12, 0xFFFFF), ("mpls_tc", 9, 7), ("mpls_bos", 8, 1))
    return [(name, value >> low & bits, bits) for name, low, bits in parts if mask >> low & bits]


def split_in_port(match: Match, value: int, mask: int, oxm: bool) -> list:
    return [("in_port_oxm", value, 0xFFFFFFFF)] if oxm else [("in_port", value & 0xFFFF, 0xFFFF)]


SPLIT: dict[str, Callable[..., list]] = {
    "vlan_tci": split_vlan,
    "nw_tos": split_tos,
    "mpls_lse0": split_mpls,
    "in_port": split_in_port,
}
ORDER = (
    "in_port",
    "metadata",
    "pkt_mark",
    "tun_id",
    *REGS,
    "eth_dst",
    "eth_src",
    "eth_type",
    "vlan_tci",
    "mpls_lse0",
    "nw_tos",
    "nw_proto",
    "ip_src",
    "ip_dst",
    "ipv6_src",
    "ipv6_dst",
    "ipv6_label",
    "nw_ttl",
    "nw_frag",
    "arp_sha",
    "arp_tha",
    "tp_src",
    "tp_dst",
    "tcp_flags",
    "nd_target",
)
# Fields after others that they need: ND addresses need the ICMPv6 type.
ND_LATE = ("nd_sll", "nd_tll")
FULL = {
    "icmp_type": 0xFFFF,
    "icmp_code": 0xFFFF,
    "icmpv6_type": 0xFFFF,
    "icmpv6_code": 0xFFFF,
    "arp_op": 0xFF,
    "ip_frag": 3,
    "tcp_flags": 0xFFF,
    "vlan_vid": 0x1FFF,
    "ipv6_label": 0xFFFFF,
    "vlan_pcp": 7,
    "ip_dscp": 0x3F,
    "nw_ecn": 3,
    "mpls_label": 0xFFFFF,
    "mpls_tc": 7,
    "mpls_bos": 1,
}


def nx_match(match: Match, oxm: bool) -> bytes:
    rows = views(match, oxm)
    rows = [row for row in rows if row[0] not in ND_LATE] + [row for row in rows if row[0] in ND_LATE]
    out = b""
    for name, value, mask in rows:
        full = FULL.get(name, (1 << 8 * HEADERS[name][0]) - 1)
        out += entry(name, value, None if mask == full else mask, oxm)
    return out


def match10(match: Match) -> bytes | None:
    """The match structure of OpenFlow 1.0, None if it cannot say this."""
    exact = {
        "in_port": (1, 0xFFFFFFFF),
        "eth_src": (4, (1 << 48) - 1),
        "eth_dst": (8, (1 << 48) - 1),
        "eth_type": (16, 0xFFFF),
        "nw_proto": (32, 0xFF),
        "nw_tos": (1 << 21, 0xFC),
        "tp_src": (64, 0xFFFF),
        "tp_dst": (128, 0xFFFF),
    }
    wildcards = 0x3FFFFF
    for name, (_, mask) in match.items():
        if name in ("ip_src", "ip_dst"):
            left = (mask ^ 0xFFFFFFFF).bit_length()
            if mask != 0xFFFFFFFF >> left << left:
                return None
            shift = 8 if name == "ip_src" else 14
            wildcards = wildcards & ~(0x3F << shift) | left << shift
        elif name in exact and mask == exact[name][1]:
            wildcards &= ~exact[name][0]
        else:
            return None
    if match.get("eth_type", (0, 0))[0] == 0x86DD:
        return None

    def of(name: str) -> int:
        return match.get(name, (0, 0))[0]

    return struct.pack(
        "!IH6s6sHBxHBB2xIIHH",
        wildcards,
        of("in_port") & 0xFFFF,
        of("eth_src").to_bytes(6, "big"),
        of("eth_dst").to_bytes(6, "big"),
        0,
        0,
        of("eth_type"),
        of("nw_tos"),
        of("nw_proto"),
        of("ip_src"),
        of("ip_dst"),
        of("tp_src"),
        of("tp_dst"),
    )


# -- actions


def pad8(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def sized(kind: int, body: bytes) -> bytes:
    body = body + bytes(-(4 + len(body)) % 8)
    return struct.pack("!HH", kind, 4 + len(body)) + body


def nx(subtype: int, body: bytes) -> bytes:
    return sized(0xFFFF, struct.pack("!IH", NX_VENDOR, subtype) + body)


def bits(low: int, n: int) -> int:
    return low << 6 | n - 1


def set_field(v: int, name: str, value: int, mask: int) -> bytes:
    full = (1 << FIELDS[name][2]) - 1
    wire = value | 0x1000 if name == "vlan_vid" else value
    if mask != full or v == 1:
        return nx(33, entry(name, wire, None if mask == full else mask, v == 4))
    return sized(25, entry(name, wire, None, True))


def load(v: int, name: str, value: int, mask: int) -> bytes:
    low = (mask & -mask).bit_length() - 1
    n = mask.bit_count()
    return nx(7, struct.pack("!HIQ", bits(low, n), header(name, False), value >> low))


def output(v: int, port: int, max_len: int = 0) -> bytes:
    if v == 1:
        return struct.pack("!HHHH", 0, 8, port & 0xFFFF, max_len)
    return struct.pack("!HHIH6x", 0, 16, port, max_len)


def write(v: int, *actions: Action) -> bytes:
    raise AssertionError("an instruction")


ENCODERS: dict[str, Callable[..., bytes]] = {
    "output": output,
    "controller": lambda v, max_len, reason=1: nx(20, struct.pack("!HHBx", max_len, 0, reason)),
    "enqueue": lambda v, port, queue: struct.pack("!HHH6xI", 11, 16, port & 0xFFFF, queue),
    "output_reg": lambda v, name: nx(15, struct.pack("!HIH6x", bits(0, 16), header(name, False), 0xFFFF)),
    "set_field": set_field,
    "load": load,
    "move": lambda v, src, low, dst, dst_low, n: nx(
        6, struct.pack("!HHHII", n, low, dst_low, header(src, False), header(dst, False))
    ),
    "push": lambda v, name, low, n: nx(27, struct.pack("!HIH6x", low, header(name, False), n)),
    "pop": lambda v, name, low, n: nx(28, struct.pack("!HIH6x", low, header(name, False), n)),
    "set_vid": lambda v, vid: struct.pack("!HHH2x", 1, 8, vid),
    "set_pcp": lambda v, pcp: struct.pack("!HHB3x", 2, 8, pcp),
    "push_vlan": lambda v, tpid: struct.pack("!HHH2x", 17, 8, tpid),
    "strip_vlan": lambda v: struct.pack("!HH4x", 3 if v == 1 else 18, 8),
    "mod_dl_src": lambda v, mac: struct.pack("!HH6s6x", 4, 16, mac.to_bytes(6, "big")),
    "mod_dl_dst": lambda v, mac: struct.pack("!HH6s6x", 5, 16, mac.to_bytes(6, "big")),
    "mod_nw_src": lambda v, ip: struct.pack("!HHI", 6, 8, ip),
    "mod_nw_dst": lambda v, ip: struct.pack("!HHI", 7, 8, ip),
    "mod_nw_tos": lambda v, tos: struct.pack("!HHB3x", 8, 8, tos),
    "mod_tp_src": lambda v, port: struct.pack("!HHH2x", 9, 8, port),
    "mod_tp_dst": lambda v, port: struct.pack("!HHH2x", 10, 8, port),
    "set_nw_ttl": lambda v, ttl: struct.pack("!HHB3x", 23, 8, ttl),
    "dec_ttl": lambda v: nx(18, bytes(6)) if v == 1 else struct.pack("!HH4x", 24, 8),
    "set_queue": lambda v, queue: nx(4, struct.pack("!2xI", queue)) if v == 1 else struct.pack("!HHI", 21, 8, queue),
    "pop_queue": lambda v: nx(5, bytes(6)),
    "set_tunnel": lambda v, tun_id: nx(2, struct.pack("!2xI", tun_id)),
    "note": lambda v, data: nx(8, data.ljust(6, b"\0")),
    "resubmit": lambda v, port, table: nx(
        14, struct.pack("!HB3x", (IN_PORT if port is None else port) & 0xFFFF, table)
    ),
    "exit": lambda v: nx(17, bytes(6)),
    "metadata": lambda v, value, mask: nx(22, struct.pack("!6xQQ", value & mask, mask)),
}
# In the order that OpenFlow gives instructions.
INSTRUCTIONS = ("clear", "write", "metadata", "goto")


def actions_wire(actions: Any, version: int) -> bytes:
    return b"".join(ENCODERS[name](version, *args) for name, *args in actions)


def instruction(name: str, *args: Any) -> bytes:
    if name == "clear":
        return struct.pack("!HH4x", 5, 8)
    if name == "metadata":
        return struct.pack("!HH4xQQ", 2, 24, args[0] & args[1], args[1])
    if name == "goto":
        return struct.pack("!HHB3x", 1, 8, args[0])
    inner = actions_wire(args, 4)
    return struct.pack("!HH4x", 3, 8 + len(inner)) + inner


def instructions_wire(actions: tuple[Action, ...]) -> bytes:
    apply = actions_wire([action for action in actions if action[0] not in INSTRUCTIONS], 4)
    out = struct.pack("!HH4x", 4, 8 + len(apply)) + apply if apply else b""
    return out + b"".join(instruction(*action) for action in actions if action[0] in INSTRUCTIONS)


# -- messages


def message(version: int, kind: int, body: bytes) -> bytes:
    return struct.pack("!BBHI", version, kind, 8 + len(body), 1) + body


def flow_mod(mod: Mod) -> bytes:
    """The message; the table is in the command's high byte before OpenFlow 1.1."""
    command = COMMANDS.index(mod.command)
    if mod.encoding == "13":
        cookie = 0 if mod.command != "add" else mod.cookie  # else it would have to match
        entries = nx_match(mod.match, True)
        body = struct.pack(
            "!QQBBHHHIIIH2x",
            cookie,
            0,
            mod.table,
            command,
            mod.idle,
            mod.hard,
            mod.priority,
            NO_BUFFER,
            OFPP_ANY,
            OFPP_ANY,
            0,
        )
        return message(
            4, 14, body + pad8(struct.pack("!HH", 1, 4 + len(entries)) + entries) + instructions_wire(mod.actions)
        )
    actions = actions_wire(mod.actions, 1)
    tail = struct.pack("!HHHHIHH", mod.table << 8 | command, mod.idle, mod.hard, mod.priority, NO_BUFFER, 0xFFFF, 0)
    if mod.encoding == "10":
        match = match10(mod.match)
        assert match is not None
        return message(1, 14, match + struct.pack("!Q", mod.cookie) + tail + actions)
    entries = nx_match(mod.match, False)
    body = (
        struct.pack("!IIQ", NX_VENDOR, 13, mod.cookie)
        + tail
        + struct.pack("!H6x", len(entries))
        + pad8(entries)
        + actions
    )
    return message(1, 4, body)


def flow_request() -> bytes:
    """OpenFlow 1.3 request for all flows."""
    return message(4, 18, struct.pack("!HH4xB3xII4xQQHH4x", 1, 0, 0xFF, OFPP_ANY, OFPP_ANY, 0, 0, 1, 4))


def read_counts(bodies: list[bytes]) -> list[tuple[int, int, int, int]]:
    """(table, priority, cookie, packets) of each flow in OpenFlow 1.3 replies, sorted."""
    rows = []
    for body in bodies:
        at = 0
        while at < len(body):
            length, table, priority, cookie, packets = struct.unpack_from("!HBx8xH10xQQ", body, at)
            rows.append((table, priority, cookie, packets))
            at += length
    return sorted(rows)


# -- text


def action_text(action: Action) -> str:
    name, *args = action
    if name == "write":
        return f"write_actions({','.join(map(action_text, args))})"
    return f"{name}({','.join(hex(a) if isinstance(a, int) and a > 9 else str(a) for a in args)})" if args else name


def text(mod: Mod) -> str:
    """One line for a report."""
    match = ",".join(f"{name}={value:#x}/{mask:#x}" for name, value, mask in views(mod.match, mod.encoding == "13"))
    actions = ",".join(map(action_text, mod.actions)) or "drop"
    times = f"idle={mod.idle},hard={mod.hard}," if mod.idle or mod.hard else ""
    where = f"{times}table={mod.table},priority={mod.priority},cookie={mod.cookie:#x}"
    return f"{mod.command}[{mod.encoding}] {where},{match or 'any'} actions={actions}"
