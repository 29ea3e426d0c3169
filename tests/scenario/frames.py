"""Frames with few values, so that flows and packets collide; their checksums are right.

By `struct` alone, as scapy takes a millisecond for each.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from typing import Any

from tests.oracle.packet_shapes import damaged, frames
from tests.oracle.packets import crc32c, fold, ones_sum

MACS = (0x02000000000A, 0x02000000000B, 0x02000000000C, 0x02000000000D)
BROADCAST, MULTICAST, BPDU = 0xFFFFFFFFFFFF, 0x01005E000001, 0x0180C2000000
IPS = (0x0A000001, 0x0A000002, 0x0A000101)
IP6S = (0x20010DB8 << 96 | 1, 0x20010DB8 << 96 | 2, 0xFE80 << 112 | 3)
PORTS = (1, 2, 80)
TTLS, TOSES, VIDS, PCPS = (64, 64, 2, 1, 0), (0, 4, 0x2D), (0, 1, 2, 3), (0, 0, 5)
LABELS = (16, 18)
SHAPES = sorted(frames().items())


def csum(data: bytes, start: int = 0) -> int:
    return ~fold(start + ones_sum(data)) & 0xFFFF


def with_csum(data: bytes, at: int, pseudo: bytes, zero_is_none: bool = False) -> bytes:
    value = csum(data, ones_sum(pseudo))
    return data[:at] + (value or 0xFFFF if zero_is_none else value).to_bytes(2, "big") + data[at + 2 :]


def l4(rng: Picks, proto: int, pseudo: bytes, six: bool) -> bytes:
    sport, dport, payload = rng.choice(PORTS), rng.choice(PORTS), bytes(rng.choice((0, 1, 7, 20)))
    if proto == 6:
        data = struct.pack("!HHIIHHHH", sport, dport, 1, 2, 0x5000 | rng.choice((2, 0x10, 0x12)), 99, 0, 0) + payload
        return with_csum(data, 16, pseudo + struct.pack("!I", len(data)))
    if proto == 17:
        data = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload
        return (
            data if rng.random() < 0.1 and not six else with_csum(data, 6, pseudo + struct.pack("!I", len(data)), True)
        )
    if proto == 132:
        data = struct.pack("!HHII", sport, dport, 7, 0) + bytes(8)
        return data[:8] + (crc32c(data) ^ 0xFFFFFFFF).to_bytes(4, "little") + data[12:]
    if proto == 1:
        return with_csum(struct.pack("!BBHI", rng.choice((8, 0)), 0, 0, 1) + payload, 2, b"")
    if proto == 58:
        data = icmp6(rng)
        return with_csum(data, 2, pseudo + struct.pack("!I", len(data)))
    return payload


def icmp6(rng: Picks) -> bytes:
    kind = rng.choice((135, 136, 128))
    if kind == 128:
        return struct.pack("!BBHI", kind, 0, 0, 1)
    option = struct.pack("!BB", 1 if kind == 135 else 2, 1) + rng.choice(MACS).to_bytes(6, "big")
    return struct.pack("!BBHI", kind, 0, 0, 0) + rng.choice(IP6S).to_bytes(16, "big") + option * rng.choice((1, 1, 0))


def ipv4(rng: Picks) -> bytes:
    src, dst, proto = rng.choice(IPS), rng.choice(IPS), rng.choice((6, 6, 17, 17, 1, 132, 47))
    fragment = rng.choice((0, 0, 0, 0, 0, 0x2000, 0x2003, 5))
    pseudo = struct.pack("!IIH", src, dst, proto)
    data = bytes(16) if fragment & 0x1FFF else l4(rng, proto, pseudo, False)
    head = struct.pack(
        "!BBHHHBBHII", 0x45, rng.choice(TOSES), 20 + len(data), 1, fragment, rng.choice(TTLS), proto, 0, src, dst
    )
    return with_csum(head, 10, b"") + data


def ipv6(rng: Picks) -> bytes:
    src, dst, proto = rng.choice(IP6S), rng.choice(IP6S), rng.choice((6, 17, 58, 58, 132))
    addresses = src.to_bytes(16, "big") + dst.to_bytes(16, "big")
    data, following = l4(rng, proto, addresses + struct.pack("!H", proto), True), proto
    extra = rng.random()
    if extra < 0.1:
        data, following = struct.pack("!BB6x", proto, 0) + data, 60
    elif extra < 0.2:
        fragment = rng.choice((1, 0x10))
        data, following = struct.pack("!BBHI", proto, 0, fragment, 4) + (data if fragment == 1 else bytes(16)), 44
    elif extra < 0.25:
        data, following = struct.pack("!BBBBI", proto, 2, 0, 1, 0) + IP6S[0].to_bytes(16, "big") + data, 43
    first = 6 << 28 | rng.choice(TOSES) << 20 | rng.choice((0, 0xABCDE))
    return struct.pack("!IHBB", first, len(data), following, rng.choice(TTLS)) + addresses + data


def arp(rng: Picks) -> bytes:
    macs = [rng.choice(MACS).to_bytes(6, "big") for _ in range(2)]
    return struct.pack(
        "!HHBBH6sI6sI", 1, 0x0800, 6, 4, rng.choice((1, 1, 2)), macs[0], rng.choice(IPS), macs[1], rng.choice(IPS)
    )


def mpls(rng: Picks) -> bytes:
    inner = struct.pack("!I", 20 << 12 | 0x140)
    bottom = rng.random() < 0.7
    return (
        struct.pack("!I", rng.choice(LABELS) << 12 | rng.choice((0, 3)) << 9 | bottom << 8 | 64)
        + (b"" if bottom else inner)
        + bytes(20)
    )


BODIES = (
    (0x0800, ipv4),
    (0x0800, ipv4),
    (0x0800, ipv4),
    (0x86DD, ipv6),
    (0x86DD, ipv6),
    (0x0806, arp),
    (0x8847, mpls),
    (0x88B5, lambda rng: bytes(30)),
)


class Picks:
    """Random choices that are remembered, so that a frame can be built again with one of them made otherwise."""

    def __init__(self, rng: random.Random, picks: list[float] | None = None) -> None:
        self.rng, self.picks, self.at = rng, list(picks or ()), 0

    def random(self) -> float:
        if self.at == len(self.picks):
            self.picks.append(self.rng.random())
        self.at += 1
        return self.picks[self.at - 1]

    def choice(self, options: Sequence[Any]) -> Any:
        return options[int(self.random() * len(options))]

    def varied(self) -> Picks:
        """The same choices but for one."""
        picks = self.picks[: self.at]
        picks[self.rng.randrange(len(picks))] = self.rng.random()
        return Picks(self.rng, picks)


def build(rng: Picks) -> bytes:
    """A whole frame of a random shape."""
    eth_type, body = rng.choice(BODIES)
    dst = rng.choice((*MACS, *MACS, BROADCAST, MULTICAST, BPDU))
    tags = b""
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 3))):
        tags += struct.pack("!HH", rng.choice((0x8100, 0x8100, 0x88A8)), rng.choice(PCPS) << 13 | rng.choice(VIDS))
    frame = (
        dst.to_bytes(6, "big") + rng.choice(MACS).to_bytes(6, "big") + tags + struct.pack("!H", eth_type) + body(rng)
    )
    return frame + bytes(rng.choice((0, 0, 6)))


def without_cfi(frame: bytes) -> bytes:
    """All CFI bits cleared: whether a tag replaced by an equal one keeps it depends on what the megaflow knows."""
    out, at = bytearray(frame), 12
    while out[at : at + 2] in (b"\x81\0", b"\x88\xa8") and at + 2 < len(out):
        out[at + 2] &= 0xEF
        at += 4
    return bytes(out)


def frame(rng: random.Random) -> tuple[bytes, Picks | None]:
    """A frame: most built from few values (then with its choices), some of every shape, truncated or damaged."""
    choice = rng.random()
    picks = Picks(rng)
    if choice < 0.8:
        return build(picks), picks
    one = build(picks) if choice < 0.9 else rng.choice(SHAPES)[1]
    if choice < 0.85 or choice > 0.97:
        one = one[: rng.randrange(1, len(one))]
    elif choice < 0.9 or choice > 0.95:
        one = damaged(one, rng.randrange(1 << 30), 1)[0] if len(one) > 14 else one
    return without_cfi(one), None
