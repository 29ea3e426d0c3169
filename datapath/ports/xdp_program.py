"""The XDP program of an `afxdp` port (PT.05): six instructions, assembled here, that hand every frame to its socket.

The kernel's verifier checks them as they are; no compiler and no library is needed. The program hangs on a BPF link,
which goes with its descriptor: a killed daemon leaves nothing on the device. A frame for whose queue there is no socket
is dropped, so that the host's stack never answers what comes to a port. Needs CAP_BPF and CAP_NET_ADMIN in the initial
user namespace, Linux 5.9.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys

from datapath.ports import kernel

# linux/bpf.h
BPF_MAP_CREATE, BPF_MAP_UPDATE_ELEM, BPF_PROG_LOAD, BPF_LINK_CREATE = 0, 2, 5, 28
BPF_MAP_TYPE_XSKMAP = 17
BPF_PROG_TYPE_XDP = 6
BPF_XDP = 37
BPF_PSEUDO_MAP_FD = 1
BPF_FUNC_REDIRECT_MAP = 51
XDP_DROP = 1
RX_QUEUE_INDEX = 16  # in struct xdp_md
# linux/if_link.h
XDP_FLAGS_SKB_MODE, XDP_FLAGS_DRV_MODE = 1 << 1, 1 << 2
# struct bpf_insn's codes, by the names of the kernel's instruction set document
LDX_W, LD_IMM64, MOV_IMM, CALL, EXIT = 0x61, 0x18, 0xB7, 0x85, 0x95
R1, R2, R3 = 1, 2, 3


def instructions(map_fd: int) -> tuple[tuple[int, int, int, int], ...]:
    """Return ``return bpf_redirect_map(map, ctx->rx_queue_index, XDP_DROP)``: code, registers, offset, immediate."""
    return (
        (LDX_W, _registers(R2, R1), RX_QUEUE_INDEX, 0),
        (LD_IMM64, _registers(R1, BPF_PSEUDO_MAP_FD), 0, map_fd),
        (0, 0, 0, 0),  # the upper half of the 64-bit number
        (MOV_IMM, _registers(R3), 0, XDP_DROP),
        (CALL, 0, 0, BPF_FUNC_REDIRECT_MAP),
        (EXIT, 0, 0, 0),
    )


def attach(ifindex: int, xsk_fd: int, native: bool) -> int:
    """Hand all that the device receives on queue 0 to an AF_XDP socket, which need not be bound yet.

    native: in the driver, else in the stack. Returns the link's descriptor: the caller closes it to detach. Raises
    OSError: EBUSY when another program is there, EOPNOTSUPP or another when the driver cannot, EPERM without rights.
    """
    with contextlib.ExitStack() as stack:
        sockets = kernel.bpf(
            BPF_MAP_CREATE,
            "map",
            {"map_type": BPF_MAP_TYPE_XSKMAP, "key_size": 4, "value_size": 4, "max_entries": 1},
        )
        stack.callback(os.close, sockets)
        program = _load(instructions(sockets))
        stack.callback(os.close, program)
        _put(sockets, 0, xsk_fd)
        flags = XDP_FLAGS_DRV_MODE if native else XDP_FLAGS_SKB_MODE
        link = {"prog_fd": program, "target_fd": ifindex, "attach_type": BPF_XDP, "flags": flags}
        return kernel.bpf(BPF_LINK_CREATE, "link", link)


def why(error: OSError) -> str:
    """Return the text for an error of attach(), or of making the socket."""
    if error.errno == errno.ENOBUFS:
        return f"{error.strerror}; the limit of locked memory is too low (ulimit -l)"
    if error.errno == errno.EBUSY:
        return "another XDP program is attached to it"
    if error.errno == errno.EPERM:
        return f"{error.strerror}; CAP_BPF and CAP_NET_ADMIN are needed"
    return str(error.strerror or error)


def _registers(target: int, source: int = 0) -> int:
    """Return the byte of two register numbers, which little- and big-endian machines lay out differently."""
    return target | source << 4 if sys.byteorder == "little" else target << 4 | source


def _load(program: tuple[tuple[int, ...], ...]) -> int:
    code = kernel.new("struct bpf_insn[]", program)
    licence = kernel.new("char[]", b"Apache-2.0")
    load = {
        "prog_type": BPF_PROG_TYPE_XDP,
        "insn_cnt": len(program),
        "insns": kernel.address(code),
        "license": kernel.address(licence),
    }
    return kernel.bpf(BPF_PROG_LOAD, "load", load)


def _put(map_fd: int, queue: int, xsk_fd: int) -> None:
    key, value = kernel.new("uint32_t *", queue), kernel.new("uint32_t *", xsk_fd)
    element = {"map_fd": map_fd, "key": kernel.address(key), "value": kernel.address(value)}
    kernel.bpf(BPF_MAP_UPDATE_ELEM, "element", element)
