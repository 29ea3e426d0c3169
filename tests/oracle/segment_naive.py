"""Segmentation of a TCP or UDP frame by scapy, one field after the other (what Linux's GSO does)."""

from __future__ import annotations

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw


def segments(frame: bytes, gso_size: int) -> list[bytes]:
    """Return the frames that a whole one of TCP or UDP is cut into, `gso_size` bytes of payload in each."""
    whole = Ether(frame)
    transport = TCP if TCP in whole else UDP
    payload = bytes(whole[transport].payload)
    parts = [payload[at : at + gso_size] for at in range(0, len(payload), gso_size)] or [b""]
    return [_segment(whole, transport, parts, i) for i in range(len(parts))]


def _segment(whole: Packet, transport: type, parts: list[bytes], i: int) -> bytes:
    piece = whole.copy()
    if IP in piece:
        piece[IP].id = (whole[IP].id + i) % 2**16
        piece[IP].len = piece[IP].chksum = None
    else:
        piece[IPv6].plen = None
    layer = piece[transport]
    layer.chksum = None
    if transport is TCP:
        layer.seq = (layer.seq + sum(map(len, parts[:i]))) % 2**32
        layer.flags = "".join(
            flag for flag in str(layer.flags) if (flag not in "FP" or i == len(parts) - 1) and (flag != "C" or i == 0)
        )
    else:
        layer.len = None
    layer.remove_payload()
    layer.add_payload(Raw(parts[i]))
    return bytes(piece)
