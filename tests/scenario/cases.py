"""Random tables, edits and packets over few values, and a way to cut a failing sequence of steps down."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator

from tests.oracle import switch_naive as naive
from tests.oracle.fields_naive import FIELDS
from tests.oracle.packet_shapes import frames as shapes
from tests.scenario import flows, frames
from tests.scenario.flows import Match, Mod
from tests.scenario.world import LOCAL, PATCH, WIRES

TABLES = (0, 0, 0, 1, 2, 3)
FULL48, FULL128 = (1 << 48) - 1, (1 << 128) - 1
V4_FIELDS, V6_FIELDS = (
    ("ip_src", "ip_dst", "nw_tos", "nw_ttl", "nw_frag"),
    ("ipv6_src", "ipv6_dst", "ipv6_label", "nw_tos", "nw_ttl", "nw_frag"),
)
# What a match is about: prerequisites, then the slots that may be added.
KINDS: tuple[tuple[Match, tuple[str, ...]], ...] = (
    ({}, ()),
    ({}, ()),
    ({"eth_type": (0x0800, 0xFFFF)}, V4_FIELDS),
    *(
        ({"eth_type": (0x0800, 0xFFFF), "nw_proto": (proto, 0xFF)}, (*V4_FIELDS, "tp_src", "tp_dst", *extra))
        for proto, extra in ((6, ("tcp_flags",)), (6, ()), (17, ()), (1, ()), (132, ()))
    ),
    ({"eth_type": (0x86DD, 0xFFFF)}, V6_FIELDS),
    *(
        ({"eth_type": (0x86DD, 0xFFFF), "nw_proto": (proto, 0xFF)}, (*V6_FIELDS, "tp_src", "tp_dst"))
        for proto in (6, 17, 58)
    ),
    (
        {"eth_type": (0x86DD, 0xFFFF), "nw_proto": (58, 0xFF), "tp_src": (135, 0xFFFF), "tp_dst": (0, 0xFFFF)},
        ("nd_target", "arp_sha", "ipv6_src"),
    ),
    (
        {"eth_type": (0x86DD, 0xFFFF), "nw_proto": (58, 0xFF), "tp_src": (136, 0xFFFF), "tp_dst": (0, 0xFFFF)},
        ("nd_target", "arp_tha", "ipv6_src"),
    ),
    ({"eth_type": (0x0806, 0xFFFF)}, ("nw_proto", "ip_src", "ip_dst", "arp_sha", "arp_tha")),
    ({"eth_type": (0x8847, 0xFFFF)}, ("mpls_lse0",)),
)
COMMON = ("in_port", "eth_dst", "eth_src", "vlan_tci", "reg0", "reg1", "metadata", "pkt_mark", "tun_id")
# Values that packets have by chance and masks that are allowed.
VALUES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "in_port": ((1, 2, 3, 4, LOCAL, PATCH["br0"], PATCH["br1"]), (0xFFFFFFFF,)),
    "eth_dst": ((*frames.MACS, frames.BROADCAST), (FULL48, FULL48, 1 << 40, 0xFF)),
    "eth_src": (frames.MACS, (FULL48, FULL48, 1)),
    "vlan_tci": ((0, 0x1000, 0x1001, 0x1002, 0xB001), (0x1000, 0x1FFF, 0x1FFF, 0xF000, 0xFFFF)),
    **dict.fromkeys(("reg0", "reg1", "pkt_mark"), ((0, 1, 2, 3), (4294967295, 4294967295, 1))),
    "metadata": ((0, 1, 2, 3), ((1 << 64) - 1, 2)),
    "tun_id": ((0, 1), ((1 << 64) - 1,)),
    "ip_src": (frames.IPS, (0xFFFFFFFF, 0xFFFFFF00, 0xFF)),
    "ip_dst": (frames.IPS, (0xFFFFFFFF, 0xFFFFFF00, 0xFFFF00FF)),
    "ipv6_src": (frames.IP6S, (FULL128, 3)),
    "ipv6_dst": (frames.IP6S, (FULL128, 0xFFFF << 112)),
    "ipv6_label": ((0, 0xABCDE), (0xFFFFF, 0x2)),
    "nw_tos": (frames.TOSES, (0xFC, 0x03, 0xFF)),
    "nw_ttl": (frames.TTLS, (0xFF,)),
    "nw_frag": ((0, 1, 3), (3, 1, 2)),
    "nw_proto": ((1, 2), (0xFF,)),
    "tp_src": (frames.PORTS, (0xFFFF, 0xFFFF, 0xFFF0, 1)),
    "tp_dst": (frames.PORTS, (0xFFFF, 2)),
    "tcp_flags": ((2, 0x10, 0x12), (0xFFF, 0x2)),
    "arp_sha": (frames.MACS, (FULL48, 0xFF)),
    "arp_tha": (frames.MACS, (FULL48,)),
    "nd_target": (frames.IP6S, (FULL128, 1)),
    "mpls_lse0": ((16 << 12 | 0x100, 18 << 12, 16 << 12 | 3 << 9), (0xFFFFF000, 0xE00, 0x100, 0xFFFFFF00)),
}
# New values for packets: never 0, as a header that is missing reads as 0 and would then not be written.
NEW: dict[str, tuple[int, ...]] = {
    "eth_dst": frames.MACS,
    "eth_src": frames.MACS,
    "vlan_vid": (1, 2, 3),
    "vlan_pcp": (0, 5, 7),
    "ip_src": frames.IPS,
    "ip_dst": frames.IPS,
    "ip_dscp": (1, 11),
    "nw_ecn": (1, 3),
    "nw_ttl": (1, 2, 65),
    "ipv6_src": frames.IP6S,
    "ipv6_dst": frames.IP6S,
    "ipv6_label": (1, 0xABCDE),
    "arp_op": (1, 2),
    "arp_spa": frames.IPS,
    "arp_tpa": frames.IPS,
    "arp_sha": frames.MACS,
    "arp_tha": frames.MACS,
    **{f"{proto}_{side}": frames.PORTS for proto in ("tcp", "udp", "sctp") for side in ("src", "dst")},
    "icmp_type": (3, 11),
    "icmp_code": (1, 3),
    "nd_target": frames.IP6S,
    "nd_sll": frames.MACS,
    "nd_tll": frames.MACS,
    "mpls_label": (16, 18, 99),
    "mpls_tc": (1, 7),
    "metadata": (0, 1, 2, 3),
    "pkt_mark": (0, 1, 2, 3),
    **dict.fromkeys(("reg0", "reg1", "reg2", "reg3"), (0, 1, 2, 3, 4)),
    "tun_id": (0, 1),
}
MASKED = {
    "eth_src": 0xFFFF,
    "eth_dst": 0xFF,
    "ip_src": 0xFF,
    "ip_dst": 0xFFFF00FF,
    "reg0": 1,
    "metadata": 2,
    "pkt_mark": 2,
    "tcp_dst": 0xFF,
}
FREE = ("eth_dst", "eth_src", "metadata", "pkt_mark", "reg0", "reg1", "reg2", "reg3", "tun_id")
OUTPUTS = (
    1,
    1,
    2,
    2,
    3,
    4,
    LOCAL,
    PATCH["br0"],
    PATCH["br0"],
    PATCH["br1"],
    77,
    naive.IN_PORT,
    naive.FLOOD,
    naive.ALL,
    naive.CONTROLLER,
)


class Generator:
    """One case: `steps()` yields the tables first, then packets with edits between them."""

    def __init__(self, seed: int, learning: bool) -> None:
        self.rng, self.learning = random.Random(seed), learning
        self.cookie = 0
        self.seen: list[bytes] = []
        self.recipes: list[frames.Picks] = []
        self.known: list[tuple[str, Mod]] = []
        self.shapes = list(shapes().values())

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    # -- matches

    def match(self) -> Match:
        match, slots = self.rng.choice(KINDS)
        match = dict(match)
        for name in self.rng.sample((*slots, *slots, *COMMON), self.rng.choice((0, 1, 1, 2, 3))):
            if name not in match:
                self.add_slot(match, name)
        return match

    def add_slot(self, match: Match, name: str) -> None:
        values, masks = VALUES[name]
        value, mask = self.rng.choice(values), self.rng.choice(masks)
        if name in ("tp_src", "tp_dst") and match["nw_proto"][0] in (1, 58):
            value, mask = self.rng.choice((0, 8, 128, 135)) if name == "tp_src" else 0, 0xFFFF
        if name == "vlan_tci" and mask & 0xE000 and not mask & value & 0x1000:
            value, mask = value | 0x1000, mask | 0x1000
        if name == "nw_frag" and "nw_proto" in match:
            value &= 1  # later fragments have no ports to match
        match[name] = (value & mask, mask)

    def encoding(self, match: Match) -> str:
        return self.rng.choice(("13", "13", "nxm", "10" if flows.match10(match) is not None else "nxm"))

    # -- actions

    def writable(self, match: Match) -> list[str]:
        key = {name: value & mask for name, (value, mask) in match.items()}
        later = match.get("nw_frag", (0, 0))
        key = {"eth_type": 0, "nw_proto": 0, "tp_src": 0, "tp_dst": 0, **key, "tags": [], "nw_frag": later[0]}
        if "tp_dst" not in match:
            key["tp_dst"] = 1  # ND needs the code
        return [name for name in NEW if name not in FREE and FIELDS[name][3](key)]

    def actions(self, match: Match, table: int, version: int) -> tuple:
        tags = 1 if all(bits & 0x1000 for bits in match.get("vlan_tci", (0, 0))) else 0
        out: list = []
        for _ in range(self.rng.choice((0, 1, 2, 2, 3, 4, 5))):
            action, tags = self.action(match, table, version, tags)
            out.append(action)
        if self.chance(0.6):
            out.append(self.output())
        if version == 4:
            out += self.instructions(match, table, tags)
        elif self.chance(0.1):
            out.append(("metadata", self.rng.choice((1, 2)), 3))
        return tuple(out)

    def output(self) -> tuple:
        if self.learning and self.chance(0.25):
            return ("output", naive.NORMAL, 0)
        port = self.rng.choice(OUTPUTS)
        return ("output", port, self.rng.choice((0, 64, 0xFFFF)) if port == naive.CONTROLLER else 0)

    def action(self, match: Match, table: int, version: int, tags: int) -> tuple[tuple, int]:
        maker = self.rng.choice(
            (
                self.any_output,
                self.any_output,
                self.set_any,
                self.set_any,
                self.vlan,
                self.flow_control,
                self.registers,
                self.old,
            )
        )
        if maker == self.vlan:
            return self.vlan(version, tags)
        return maker(match, table, version), tags

    def any_output(self, match: Match, table: int, version: int) -> tuple:
        choice = self.rng.random()
        if choice < 0.85:
            return self.output()
        if choice < 0.9:
            return ("controller", self.rng.choice((64, 128)))
        if choice < 0.95 or version == 4:
            return ("output_reg", self.rng.choice(("reg0", "reg1")))
        return ("enqueue", self.rng.choice((1, 2, PATCH["br0"])), self.rng.choice((1, 2)))

    def set_any(self, match: Match, table: int, version: int) -> tuple:
        name = self.rng.choice((*FREE, *self.writable(match) * 3))
        value, full = self.rng.choice(NEW[name]), (1 << FIELDS[name][2]) - 1
        if self.chance(0.3) and name in MASKED and value & MASKED[name]:
            return ("set_field", name, value & MASKED[name], MASKED[name])
        if self.chance(0.3) and FIELDS[name][2] <= 64 and name not in ("mpls_label", "mpls_tc", "ip_dscp"):
            return ("load", name, value, full)
        return ("set_field", name, value, full)

    def vlan(self, version: int, tags: int) -> tuple[tuple, int]:
        if version == 1:
            action = self.rng.choice(
                (
                    ("set_vid", self.rng.choice((1, 2, 3))),
                    ("set_pcp", self.rng.choice((0, 3))),
                    ("strip_vlan",),
                    ("load", "vlan_tci", self.rng.choice((0x1001, 0x3002, 0)), 0xFFFF),
                )
            )
            return action, tags
        if tags == 0 or (tags == 1 and self.chance(0.3)):
            return ("push_vlan", self.rng.choice((0x8100, 0x88A8))), tags + 1
        name = self.rng.choice(("vlan_vid", "vlan_pcp", ""))
        if name:
            return ("set_field", name, self.rng.choice(NEW[name]), (1 << FIELDS[name][2]) - 1), tags
        return ("strip_vlan",), tags - 1

    def flow_control(self, match: Match, table: int, version: int) -> tuple:
        choice = self.rng.random()
        if choice < 0.15:
            return ("exit",)
        if choice < 0.25:
            return ("note", b"hello!")
        port = self.rng.choice((1, 2, 3)) if self.chance(0.25) else None
        onward = [t for t in (1, 2, 3) if t > table] or [3]
        return ("resubmit", port, self.rng.choice(onward) if self.chance(0.96) else self.rng.choice((0, 1, 255)))

    def registers(self, match: Match, table: int, version: int) -> tuple:
        reg = self.rng.choice(("reg0", "reg1", "reg2"))
        if self.chance(0.4):
            return (self.rng.choice(("push", "pop")), reg, 0, 32)
        wide = [name for name in self.writable(match) if FIELDS[name][2] >= 16 and name != "arp_op"]
        other = self.rng.choice(("eth_src", "pkt_mark", "metadata", "reg0", *wide))
        if self.chance(0.5):
            return ("move", other, 0, reg, self.rng.choice((0, 16)), 16)
        return ("move", reg, 0, "reg3", 0, 32)

    def old(self, match: Match, table: int, version: int) -> tuple:
        if version == 4:
            ip = match.get("eth_type", (0, 0))[0] in (0x0800, 0x86DD)
            return self.rng.choice(
                (("dec_ttl",), ("set_nw_ttl", self.rng.choice((1, 65)))) if ip else (("set_queue", 1), ("pop_queue",))
            )
        ip, port = self.rng.choice(frames.IPS), self.rng.choice(frames.PORTS)
        return self.rng.choice(
            (
                ("mod_dl_src", self.rng.choice(frames.MACS)),
                ("mod_dl_dst", self.rng.choice(frames.MACS)),
                ("mod_nw_src", ip),
                ("mod_nw_dst", ip),
                ("mod_nw_tos", 8),
                ("mod_tp_src", port),
                ("mod_tp_dst", port),
                ("dec_ttl",),
                ("dec_ttl",),
                ("set_queue", 2),
                ("set_tunnel", 1),
            )
        )

    def instructions(self, match: Match, table: int, tags: int) -> Iterator[tuple]:
        if self.chance(0.1):
            yield ("clear",)
        if self.chance(0.25):
            yield ("write", *(self.in_set(match, tags, i == 0) for i in range(self.rng.choice((1, 2, 3)))))
        if self.chance(0.15):
            yield ("metadata", self.rng.choice((1, 2, 3)), self.rng.choice((3, (1 << 64) - 1)))
        if self.chance(0.3) and table < 3:
            yield ("goto", self.rng.choice([t for t in (1, 2, 3) if t > table]))

    def in_set(self, match: Match, tags: int, may_push: bool) -> tuple:
        choice = self.rng.random()
        if choice < 0.5:
            return self.output()
        if choice < 0.8:
            return self.set_any(match, 0, 4)
        others: list[tuple] = [("set_queue", 3)]
        if match.get("eth_type") == (0x0800, 0xFFFF):
            others.append(("dec_ttl",))
        if tags:
            others.append(("strip_vlan",))
        if may_push and tags < 2:
            others.append(("push_vlan", 0x8100))
        return self.rng.choice(others)

    # -- steps

    def mod(self, command: str, table: int, priority: int, match: Match) -> Mod:
        self.cookie += 1
        encoding = self.encoding(match)
        actions = () if command.startswith("delete") else self.actions(match, table, 4 if encoding == "13" else 1)
        times = self.rng.choice(((0, 0), (0, 0), (0, 0), (20, 0), (0, 20), (5, 40)))
        return Mod(command, table, priority, match, actions, self.cookie, encoding, *times)

    def new_flow(self) -> tuple:
        bridge = self.rng.choice(("br0", "br0", "br0", "br1"))
        mod = self.mod("add", self.rng.choice(TABLES), self.rng.randrange(1, 60000), self.match())
        self.known.append((bridge, mod))
        return ("mod", bridge, mod)

    def edit_flow(self) -> tuple:
        bridge, old = self.rng.choice(self.known)
        command = self.rng.choice(flows.COMMANDS)
        match = old.match
        if command in ("modify", "delete") and self.chance(0.3):
            match = {name: row for name, row in match.items() if name in ("eth_type", "nw_proto", "in_port")}
        if "nw_proto" in match and "eth_type" not in match:
            match = {}
        table = 255 if command.startswith("delete") and self.chance(0.1) else old.table
        return ("mod", bridge, self.mod(command, table, old.priority, dict(match)))

    def port_step(self) -> tuple:
        bridge = self.rng.choice(("br0", "br0", "br1"))
        number = self.rng.choice((*WIRES[bridge], PATCH[bridge]))
        if self.chance(0.4):
            return (
                "port_config",
                bridge,
                number,
                self.rng.choice(
                    (
                        0,
                        0,
                        naive.NO_FLOOD,
                        naive.NO_FWD,
                        naive.NO_RECV,
                        naive.NO_RECV_STP,
                        naive.PORT_DOWN,
                        naive.NO_PACKET_IN,
                    )
                ),
            )
        mode = self.rng.choice(("trunk", "access", "native-tagged", "native-untagged"))
        return (
            "port_vlan",
            bridge,
            number,
            mode,
            self.rng.choice((1, 2)),
            tuple(self.rng.sample((0, 1, 2, 3), self.rng.choice((0, 0, 2)))),
        )

    def bridge_step(self) -> tuple:
        bridge = self.rng.choice(("br0", "br1"))
        choice = self.rng.choice(
            ("forward_bpdu", "standalone", "miss_punt", "ttl_punt", "frag_mode", "cable", "fdb_flush", "push", "later")
        )
        if choice == "later":
            return ("later", self.rng.choice((1, 4, 6, 21, 41, 301)))
        if choice == "cable":
            return ("cable", self.chance(0.7))
        if choice in ("push", "fdb_flush"):
            return (choice, bridge) if choice == "fdb_flush" else (choice,)
        if choice == "frag_mode":
            return ("bridge_config", bridge, choice, choice, self.rng.choice((0, 0, 1, 3)))
        value = self.chance(0.5) and (self.learning or choice != "standalone")
        return ("bridge_config", bridge, "standalone_normal" if choice == "standalone" else choice, choice, value)

    def frame(self) -> bytes:
        """One that was sent before, one that differs from such a one in a single choice, or a new one."""
        if self.seen and self.chance(0.4):
            return self.rng.choice(self.seen)
        if self.recipes and self.chance(0.6):
            picks: frames.Picks | None = self.rng.choice(self.recipes).varied()
            frame = frames.build(picks)
        else:
            frame, picks = frames.frame(self.rng)
        self.seen.append(frame)
        if picks is not None:
            self.recipes.append(picks)
        return frame

    def packets(self) -> tuple:
        bridge = self.rng.choice(("br0", "br0", "br0", "br1"))
        number = self.rng.choice(WIRES[bridge])
        if self.chance(0.06):
            actions = tuple(self.packet_out_action() for _ in range(self.rng.choice((1, 2))))
            return ("packet_out", bridge, number, actions, frames.build(frames.Picks(self.rng)))
        if self.learning or self.chance(0.5):
            return ("send", ((bridge, number, self.frame()),))
        ports = [(name, n) for name in WIRES for n in WIRES[name]]
        return ("send", tuple((*self.rng.choice(ports), self.frame()) for _ in range(self.rng.choice((2, 8, 40)))))

    def packet_out_action(self) -> tuple:
        if self.chance(0.5):
            return ("output", naive.TABLE, 0)
        return self.rng.choice(
            (
                self.output(),
                ("set_field", "eth_src", self.rng.choice(frames.MACS), FULL48),
                ("set_vid", 2),
                ("strip_vlan",),
                ("resubmit", None, 1),
            )
        )

    def steps(self, n: int) -> list[tuple]:
        out: list[tuple] = []
        for table in (0, 1, 2, 3):
            for bridge in ("br0", "br1") if table == 0 else ("br0",):
                if self.chance(0.8):
                    out.append(("mod", bridge, self.mod("add", table, 0, {})))
        out += [self.new_flow() for _ in range(self.rng.choice((3, 10, 25)))]
        out += [self.port_step() for _ in range(self.rng.choice((0, 2, 6)))]
        for _ in range(n):
            choice = self.rng.random()
            maker = (
                self.packets
                if choice < 0.75
                else self.new_flow
                if choice < 0.83
                else self.edit_flow
                if choice < 0.92
                else self.port_step
                if choice < 0.96
                else self.bridge_step
            )
            out.append(maker())
        return out


# -- cutting down


def smaller(step: tuple) -> Iterator[tuple]:
    """Simpler forms of one step."""
    if step[0] == "mod":
        mod: Mod = step[2]
        for i in range(len(mod.actions)):
            yield (*step[:2], dataclasses.replace(mod, actions=mod.actions[:i] + mod.actions[i + 1 :]))
        for i, action in enumerate(mod.actions):
            if action[0] == "write":
                for j in range(1, len(action)):
                    yield (
                        *step[:2],
                        dataclasses.replace(
                            mod, actions=(*mod.actions[:i], action[:j] + action[j + 1 :], *mod.actions[i + 1 :])
                        ),
                    )
        for name in mod.match:
            yield (*step[:2], dataclasses.replace(mod, match={k: v for k, v in mod.match.items() if k != name}))
    elif step[0] == "send" and len(step[1]) > 1:
        for i in range(len(step[1])):
            yield ("send", step[1][:i] + step[1][i + 1 :])
    elif step[0] == "packet_out" and len(step[3]) > 1:
        for i in range(len(step[3])):
            yield (*step[:3], step[3][:i] + step[3][i + 1 :], step[4])


def shrink(steps: list[tuple], fails: Callable[[list[tuple]], bool], tries: int = 3000) -> list[tuple]:
    """Leave out what the failure does not need: runs of steps, then single ones, then parts of steps."""
    left = [tries]

    def still(candidate: list[tuple]) -> bool:
        left[0] -= 1
        return left[0] > 0 and fails(candidate)

    size = len(steps) // 2
    while size:
        at = 0
        while at < len(steps):
            candidate = steps[:at] + steps[at + size :]
            if still(candidate):
                steps = candidate
            else:
                at += size
        size //= 2
    changed = True
    while changed and left[0] > 0:
        changed = False
        for i in range(len(steps) - 1, -1, -1):
            for option in ([], *([one] for one in smaller(steps[i]))):
                candidate = steps[:i] + option + steps[i + 1 :]
                if still(candidate):
                    steps, changed = candidate, True
                    break
    return steps
