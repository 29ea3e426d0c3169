"""Structs and calls of the kernel that Python has no name for, through cffi (ABI mode): ioctl, setsockopt, setns, bpf.

Only set-up comes here, no packet. The declarations are parsed at the first use (about 50 ms), not with this module.
Structs are in host byte order; the names are those of the kernel's headers, as given beside them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import threading
from typing import Any

DECLARATIONS = """
int setns(int fd, int nstype);          /* sched.h */
int setsockopt(int fd, int level, int name, const void *value, unsigned int size);  /* sys/socket.h */
long syscall(long number, ...);         /* unistd.h */

struct ifreq {                          /* linux/if.h, the members that are used here */
    char ifr_name[16];
    union { short ifr_flags; int ifr_mtu; void *ifr_data; char pad[24]; };
};
struct ethtool_drvinfo {                /* linux/ethtool.h */
    uint32_t cmd;
    char driver[32], version[32], fw_version[32], bus_info[32], erom_version[32], reserved2[12];
    uint32_t n_priv_flags, n_stats, testinfo_len, eedump_len, regdump_len;
};
struct ethtool_channels { uint32_t cmd, max_rx, max_tx, max_other, max_combined, rx_count, tx_count, other_count,
    combined_count; };
struct ethtool_gstrings { uint32_t cmd, string_set, len; char names[256][32]; };
struct ethtool_gfeatures { uint32_t cmd, size; struct { uint32_t available, requested, active, fixed; } words[8]; };
struct ethtool_sfeatures { uint32_t cmd, size; struct { uint32_t valid, requested; } words[8]; };
struct ethtool_link_settings {          /* with room for the three masks of at most 127 words */
    uint32_t cmd, speed;
    uint8_t duplex, port, phy_address, autoneg, mdio_support, eth_tp_mdix, eth_tp_mdix_ctrl;
    int8_t link_mode_masks_nwords;
    uint8_t transceiver, master_slave_cfg, master_slave_state, rate_matching;
    uint32_t reserved[7];
    uint32_t link_mode_masks[381];
};
struct packet_mreq {                    /* linux/if_packet.h */
    int mr_ifindex;
    unsigned short mr_type, mr_alen;
    unsigned char mr_address[8];
};
struct tpacket_req { unsigned int tp_block_size, tp_block_nr, tp_frame_size, tp_frame_nr; };
struct tpacket_stats { unsigned int tp_packets, tp_drops; };
struct sock_filter { uint16_t code; uint8_t jt, jf; uint32_t k; };      /* linux/filter.h */
struct bpf_insn { uint8_t code, registers; int16_t off; int32_t imm; }; /* linux/bpf.h; two registers of 4 bits */
struct bpf_prog_load { uint32_t prog_type, insn_cnt; uint64_t insns, license; };  /* of union bpf_attr */
struct bpf_link_create { uint32_t prog_fd, target_fd, attach_type, flags; };
struct bpf_map_create { uint32_t map_type, key_size, value_size, max_entries; };
struct bpf_map_element { uint32_t map_fd, pad; uint64_t key, value, flags; };
union bpf_attr {
    struct bpf_prog_load load;
    struct bpf_link_create link;
    struct bpf_map_create map;
    struct bpf_map_element element;
    uint8_t room[128];
};
"""
CLONE_NEWNET = 0x40000000
BPF_CALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "s390x": 351, "ppc64le": 361}  # system call by machine

CData = Any  # a C object that this module made; its memory lives as long as it

_lock = threading.Lock()
_made: list[tuple[Any, Any]] = []


def _library() -> tuple[Any, Any]:
    """Return cffi's FFI and the C library; made once, since structs of two FFIs are of different types."""
    with _lock:
        if not _made:
            import cffi

            ffi = cffi.FFI()
            ffi.cdef(DECLARATIONS)
            _made.append((ffi, ffi.dlopen(None)))
        return _made[0]


def new(kind: str, value: Any = None) -> CData:
    """Return a pointer to a new C object of a declared type (``new("struct ifreq *", {"ifr_mtu": 1})``), else zeros."""
    return _library()[0].new(kind, value)


def octets(pointer: CData) -> bytes:
    """Return the memory of what a pointer points to."""
    return bytes(_library()[0].buffer(pointer))


def read(kind: str, data: bytes) -> CData:
    """Return a pointer to a new object of a declared type with the given memory, zeros behind it."""
    pointer = new(kind)
    _library()[0].buffer(pointer)[: len(data)] = data
    return pointer


def text(array: CData) -> str:
    """Return the text of a char array up to its first zero."""
    return bytes(_library()[0].string(array)).decode(errors="replace")


def size(pointer: CData) -> int:
    """Return the size of what a pointer points to, in bytes."""
    return len(_library()[0].buffer(pointer))


def address(pointer: CData) -> int:
    """Return an address as a number, as the attributes of bpf(2) have it."""
    return int(_library()[0].cast("uintptr_t", pointer))


def ioctl(fd: int, request: int, pointer: CData) -> None:
    """Call ioctl(2) with a pointer to an object, which takes the answer; raises OSError."""
    fcntl.ioctl(fd, request, _library()[0].buffer(pointer), True)


def setsockopt(fd: int, level: int, name: int, pointer: CData) -> None:
    """Call setsockopt(2) without holding Python's lock, for options that the kernel takes long for; raises OSError."""
    ffi, library = _library()
    if library.setsockopt(fd, level, name, pointer, size(pointer)):
        raise OSError(ffi.errno, os.strerror(ffi.errno))


def enter_network(fd: int) -> None:
    """Move the calling thread into the network namespace of a descriptor; raises OSError."""
    ffi, library = _library()
    if library.setns(fd, CLONE_NEWNET):
        raise OSError(ffi.errno, os.strerror(ffi.errno))


def bpf(command: int, member: str, values: dict[str, int]) -> int:
    """Call bpf(2) with one member of its attributes filled in; return the new descriptor. Raises OSError."""
    ffi, library = _library()
    number = BPF_CALL.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    attributes = new("union bpf_attr *", {member: values})
    room = ffi.cast("unsigned int", size(attributes))
    fd = int(library.syscall(number, ffi.cast("int", command), attributes, room))
    if fd < 0:
        raise OSError(ffi.errno, os.strerror(ffi.errno))
    return fd
