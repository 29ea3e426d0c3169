"""A bounded traffic generator: 60-byte UDP frames by sendmmsg on an AF_PACKET socket, for a namespace made to that end.

usage: python -m bench.generator DEVICE DST_MAC SRC_MAC SECONDS [FLOWS [PACKETS_PER_S]]
FLOWS: how many different pairs of UDP ports (default 1). Prints how many frames the kernel took.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
import time
from array import array

BATCH = 64
FRAME_BYTES = 60
PORTS_AT = 34  # Ethernet 14, IPv4 20: the UDP ports
PORTS = 60_000
IOVEC_BYTES, MMSGHDR_BYTES = 16, 64  # on 64-bit machines
MAX_SECONDS = 30.0


def frame(dst: str, src: str) -> bytes:
    """Return a UDP frame between two MAC addresses, its ports zero."""
    ether = bytes.fromhex((dst + src).replace(":", "")) + b"\x08\0"
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, FRAME_BYTES - 14, 0, 0, 64, 17, 0, b"\x0a\0\0\1", b"\x0a\0\0\2")
    words = struct.unpack("!10H", ip)
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    ip = ip[:10] + struct.pack("!H", ~total & 0xFFFF) + ip[12:]
    udp = struct.pack("!HHHH", 0, 0, FRAME_BYTES - 34, 0)
    return (ether + ip + udp).ljust(FRAME_BYTES, b"\0")


class Batches:
    """`flows` frames that differ in their UDP ports, laid out for sendmmsg: frames, struct iovec and struct mmsghdr."""

    def __init__(self, dst: str, src: str, flows: int) -> None:
        n = -(-max(flows, BATCH) // BATCH) * BATCH
        numbers = [i % flows for i in range(n)]
        self.frames = bytearray(frame(dst, src) * n)
        ports = [(1 + i // PORTS, 1 + i % PORTS) for i in numbers]
        for at, values in ((PORTS_AT, [a for a, _ in ports]), (PORTS_AT + 2, [b for _, b in ports])):
            self.frames[at::FRAME_BYTES] = bytes(value >> 8 for value in values)
            self.frames[at + 1 :: FRAME_BYTES] = bytes(value & 0xFF for value in values)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.frames))
        # struct iovec: base, length
        self.vectors = array("Q", [word for i in range(n) for word in (start + i * FRAME_BYTES, FRAME_BYTES)])
        start = self.vectors.buffer_info()[0]
        # struct mmsghdr: name, length of name, vectors, their number, control, its length, flags, bytes sent
        headers = (word for i in range(n) for word in (0, 0, start + i * IOVEC_BYTES, 1, 0, 0, 0, 0))
        self.headers = array("Q", headers)
        start = self.headers.buffer_info()[0]
        self.addresses = [start + i * MMSGHDR_BYTES for i in range(0, n, BATCH)]


def send(device: str, batches: Batches, seconds: float, rate_pps: float) -> int:
    """Send the batches in turn until the time is over, no faster than `rate_pps` (0 = as fast as it goes)."""
    libc = ctypes.CDLL(None, use_errno=True)
    taken = 0
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.bind((device, 0))
        fd, addresses, turn = sock.fileno(), batches.addresses, 0
        begin = time.monotonic()
        while (elapsed := time.monotonic() - begin) < seconds:
            if rate_pps and taken > elapsed * rate_pps:
                time.sleep(0.0005)
                continue
            sent = libc.sendmmsg(fd, ctypes.c_void_p(addresses[turn]), BATCH, 0)
            turn = (turn + 1) % len(addresses)
            if sent > 0:
                taken += sent
    return taken


def main(argv: list[str]) -> int:
    """Send and print the number of frames."""
    device, dst, src, seconds, *rest = argv
    flows = int(rest[0]) if rest else 1
    rate_pps = float(rest[1]) if len(rest) > 1 else 0.0
    batches = Batches(dst, src, flows)
    print("ready", flush=True)
    print(send(device, batches, min(float(seconds), MAX_SECONDS), rate_pps))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
