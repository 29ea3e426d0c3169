"""A TCP transfer whose content is compared: python -m bench.transfer receive|send ADDRESS BYTES.

The receiver prints `listening`, then `whole GBIT_PER_S` or `broken`. For machines without iperf3.
"""

from __future__ import annotations

import hashlib
import socket
import sys
import time

PORT = 5201
CHUNK_BYTES = 1 << 20
TIMEOUT_S = 60.0


def chunk(number: int) -> bytes:
    """Return the content of a chunk: different for each, the same at both ends."""
    return hashlib.sha256(number.to_bytes(8, "big")).digest() * (CHUNK_BYTES // 32)


def pieces(n_bytes: int) -> int:
    """Return how many chunks are sent."""
    return max(1, n_bytes // CHUNK_BYTES)


def receive(address: str, n_bytes: int) -> str:
    """Accept one connection and return the verdict."""
    with socket.create_server((address, PORT)) as server:
        print("listening", flush=True)
        server.settimeout(TIMEOUT_S)
        connection, _ = server.accept()
    got = bytearray()
    with connection:
        connection.settimeout(TIMEOUT_S)
        begin = time.monotonic()
        while data := connection.recv(CHUNK_BYTES):
            got += data
        seconds = time.monotonic() - begin
    view = memoryview(got)
    whole = len(got) == pieces(n_bytes) * CHUNK_BYTES and all(
        view[i * CHUNK_BYTES : (i + 1) * CHUNK_BYTES] == chunk(i) for i in range(pieces(n_bytes))
    )
    return f"whole {len(got) * 8 / seconds / 1e9:.3f}" if whole else f"broken: {len(got)} bytes"


def main(argv: list[str]) -> int:
    """Run one side."""
    side, address, n_bytes = argv[0], argv[1], int(argv[2])
    if side == "receive":
        print(receive(address, n_bytes))
        return 0
    with socket.create_connection((address, PORT), timeout=TIMEOUT_S) as sock:
        for number in range(pieces(n_bytes)):
            sock.sendall(chunk(number))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
