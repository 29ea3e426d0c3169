"""Naive references of the caches and of a datapath with a table-driven hook: lists, bytes and nothing clever."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from datapath.drops import DROPS
from datapath.edit import apply_edits
from datapath.slots import places

OUTPUT, SET, PUSH_VLAN, POP_VLAN, PUNT, DROP = 1, 2, 3, 4, 5, 6
SLOT_ETH_DST, SLOT_ETH_SRC = 21, 22
AT = {SLOT_ETH_DST: 0, SLOT_ETH_SRC: 6}  # where these slots stand in a frame
SLOTS = {place.number: (name, place.slot.n_bytes) for name, place in places().items()}
DROP_NAMES = [symbol for symbol, _ in DROPS]


def masked(key: bytes, mask: bytes) -> int:
    """Return the masked key as one number."""
    return int.from_bytes(key, "big") & int.from_bytes(mask, "big")


@dataclass
class NaiveMegaflows:
    """Megaflows in a dict by (mask, masked key)."""

    flows: dict = field(default_factory=dict)

    def insert(self, key: bytes, mask: bytes, number: int) -> None:
        self.flows[mask, masked(key, mask)] = number

    def remove(self, number: int) -> bool:
        gone = [at for at, known in self.flows.items() if known == number]
        for at in gone:
            del self.flows[at]
        return bool(gone)

    def matching(self, key: bytes) -> set[int]:
        """Return every megaflow that a lookup may give."""
        return {number for (mask, value), number in self.flows.items() if masked(key, mask) == value}


@dataclass
class NaiveSwitch:
    """Each packet alone, in order: first matching rule of the bank of its port, then its ops one by one."""

    banks: dict[int, list]
    ports: set[int]
    drops: Counter = field(default_factory=Counter)
    credits: Counter = field(default_factory=Counter)
    punts: list = field(default_factory=list)

    def forward(self, frame: bytes, key: bytes, in_port: int) -> list[tuple[int, bytes]]:
        """Return (port, frame) for every output of one packet."""
        rules = self.banks.get(in_port, [])
        rule = next((r for r in rules if masked(key, r.mask) == masked(r.key, r.mask)), None)
        if rule is None:
            self.drops["table_miss"] += 1
            return []
        if rule.fails:
            self.drops["miss_failed"] += 1
            return []
        if rule.once:
            rules.remove(rule)
        if rule.credit:
            self.credits[rule.credit] += 1
        if not rule.ops:
            self.drops["no_output"] += 1
            return []
        return self.run(frame, rule.ops)

    def run(self, frame: bytes, ops: list) -> list[tuple[int, bytes]]:
        """Run a list of ops over one frame."""
        sent, used = [], False
        for kind, slot, _aux, arg, _aux32, value, mask in ops:
            if kind == OUTPUT:
                used = True
                if arg in self.ports:
                    sent.append((arg, frame))
                else:
                    self.drops["tx_no_port"] += 1
            elif kind == PUNT:
                used = True
                self.punts.append((int.from_bytes(value[:8], "little"), frame))
            elif kind == DROP:
                self.drops[DROP_NAMES[arg]] += 1
                return sent
            elif kind == SET and slot not in AT:  # one rewrite alone, as test_edit.py compares with scapy
                name, n_bytes = SLOTS[slot]
                frame = apply_edits(frame, [(name, value[:n_bytes], mask[:n_bytes])])[1]
            elif kind == SET:
                at = AT[slot]
                new = bytes(o & ~m & 0xFF | v & m for o, v, m in zip(frame[at : at + 6], value, mask, strict=False))
                frame = frame[:at] + new + frame[at + 6 :]
            elif kind == PUSH_VLAN:
                frame = frame[:12] + (arg >> 16).to_bytes(2, "big") + (arg & 0xEFFF).to_bytes(2, "big") + frame[12:]
            elif kind == POP_VLAN:
                if frame[12:14] not in (b"\x81\x00", b"\x88\xa8"):
                    self.drops["action_bad_packet"] += 1
                    return sent
                frame = frame[:12] + frame[16:]
        if not used:
            self.drops["no_output"] += 1
        return sent
