"""A saturating generator: copies of one 60-byte UDP frame, made by the kernel itself and sent from a device.

usage: python -m bench.live_frames DEVICE DST_MAC SRC_MAC SECONDS

The kernel runs an XDP program (``return XDP_TX``) on frames that exist for that purpose only (BPF_PROG_TEST_RUN with
live frames, Linux 5.18): 1.4 to 4 million a second where sendmmsg gets half a million out. The other end of the veth
has to have NAPI: by XDP in the driver or by ``ethtool -K DEV gro on``. Prints how many frames were made.
"""

from __future__ import annotations

import ctypes
import os
import platform
import socket
import struct
import sys
import time

from bench.generator import MAX_SECONDS, frame

BPF_PROG_LOAD, BPF_PROG_TEST_RUN = 5, 10
BPF_PROG_TYPE_XDP = 6
BPF_F_TEST_XDP_ON_FRAMES = 1 << 1
CALL = {"x86_64": 321, "aarch64": 280}
ATTRIBUTES_BYTES = 128
FRAMES_PER_CALL = 1_000_000  # a call ends in 20 ms of grace periods without frames
BATCH = 64
# mov r0, XDP_TX; exit
PROGRAM = struct.pack("=BBhiBBhi", 0xB7, 0, 0, 3, 0x95, 0, 0, 0)


def bpf(command: int, attributes: bytes) -> int:
    """Call bpf(2); raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    room = ctypes.create_string_buffer(attributes, ATTRIBUTES_BYTES)
    result = int(libc.syscall(CALL[platform.machine()], command, room, ATTRIBUTES_BYTES))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def send(device: str, data: bytes, seconds: float) -> int:
    """Send copies of a frame for some time; return how many."""
    code, licence = ctypes.create_string_buffer(PROGRAM), ctypes.create_string_buffer(b"Apache-2.0")
    load = struct.pack("=IIQQ", BPF_PROG_TYPE_XDP, 2, ctypes.addressof(code), ctypes.addressof(licence))
    program = bpf(BPF_PROG_LOAD, load)
    # struct xdp_md: data, its end, metadata, the device as which the frames come, queue
    context_bytes = struct.pack("=IIIIII", 0, len(data), 0, socket.if_nametoindex(device), 0, 0)
    context, body = ctypes.create_string_buffer(context_bytes), ctypes.create_string_buffer(data)
    run = struct.pack("=IIIIQQII", program, 0, len(data), 0, ctypes.addressof(body), 0, FRAMES_PER_CALL, 0)
    run += struct.pack(
        "=IIQQIII", len(context_bytes), 0, ctypes.addressof(context), 0, BPF_F_TEST_XDP_ON_FRAMES, 0, BATCH
    )
    made = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        bpf(BPF_PROG_TEST_RUN, run)
        made += FRAMES_PER_CALL
    return made


def main(argv: list[str]) -> int:
    """Send and print the number of frames."""
    device, dst, src, seconds, *_ = argv
    data = frame(dst, src)
    print("ready", flush=True)
    print(send(device, data, min(float(seconds), MAX_SECONDS)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
