"""Frames for port tests, built and checked with nothing but arithmetic."""

from __future__ import annotations

import struct

from datapath.ports.pipe import Offload

CSUM_PARTIAL, CSUM_VALID, TSO4, TSO6, USO = 1, 2, 4, 8, 16
ETHERNET, IPV4, TCP = 14, 20, 20


def ones_sum(data: bytes) -> int:
    """Return the folded one's complement sum of 16-bit words (RFC 1071)."""
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def partial_tcp(
    payload: bytes,
    gso_size: int = 0,
    *,
    src: str = "10.0.0.1",
    dst: str = "10.0.0.2",
    eth: bytes = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01",
    proto: int = 6,
) -> tuple[bytes, Offload]:
    """Return an IPv4 frame whose TCP (or UDP) checksum holds only the pseudo-header sum, and its offload state."""
    addresses = bytes(map(int, f"{src}.{dst}".split(".")))
    header_bytes, csum_offset = (20, 16) if proto == 6 else (8, 6)
    length = header_bytes + len(payload)
    pseudo = ones_sum(addresses + struct.pack("!HH", proto, length))
    if proto == 6:
        l4 = struct.pack("!HHIIBBHHH", 1234, 5678, 1, 1, 0x50, 0x10, 1000, pseudo, 0)
    else:
        l4 = struct.pack("!HHHH", 1234, 5678, length, pseudo)
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 1, 0x4000, 64, proto, 0) + addresses
    ip = ip[:10] + struct.pack("!H", 0xFFFF - ones_sum(ip)) + ip[12:]
    flags = CSUM_PARTIAL | ((TSO4 if proto == 6 else USO) if gso_size else 0)
    hdr = ETHERNET + IPV4 + header_bytes if gso_size else 0
    return eth + b"\x08\x00" + ip + l4 + payload, Offload(flags, gso_size, ETHERNET + IPV4, csum_offset, hdr)


def checksum_ok(frame: bytes) -> bool:
    """Return whether the TCP or UDP checksum of an untagged IPv4 frame without options is right."""
    ip_length = int.from_bytes(frame[16:18], "big")
    l4 = frame[ETHERNET + IPV4 : ETHERNET + ip_length]
    return ones_sum(frame[26:34] + struct.pack("!HH", frame[23], len(l4)) + l4) == 0xFFFF


def tagged(frame: bytes, tci: int, tpid: int = 0x8100) -> bytes:
    """Return the frame with a VLAN tag after the addresses."""
    return frame[:12] + struct.pack("!HH", tpid, tci) + frame[12:]
