"""What goes to the kernel at set-up: structs, calls, netlink messages; without rights (PT.01 to PT.03, PT.24)."""

from __future__ import annotations

import errno
import os
import platform
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from datapath.ports import kernel, netdev, netlink

ROOT = Path(__file__).parents[2]
IFINFO = struct.Struct("BxHiII")
RTM_NEWLINK = 16


def attribute(number: int, value: bytes) -> bytes:
    return struct.pack("HH", 4 + len(value), number) + value + bytes(-len(value) % 4)


def datagram(kind: int, body: bytes) -> bytes:
    return struct.pack("IHHII", 16 + len(body), kind, 0, 0, 0) + body


def link_of(*attributes: bytes, flags: int = 0) -> netdev.Link:
    [message] = netlink.decode(datagram(RTM_NEWLINK, IFINFO.pack(0, 1, 7, flags, 0) + b"".join(attributes)))
    return netdev._decode(message)


@pytest.mark.parametrize(
    ("kind", "n_bytes"),
    [
        ("struct ifreq", 40),
        ("struct ethtool_drvinfo", 196),
        ("struct ethtool_link_settings", 48 + 3 * 4 * 127),
        ("struct packet_mreq", 16),
        ("struct tpacket_req", 16),
        ("struct tpacket_stats", 8),
        ("struct sock_filter", 8),
        ("struct bpf_insn", 8),
        ("struct bpf_prog_load", 24),
        ("struct bpf_link_create", 16),
        ("union bpf_attr", 128),
    ],
)
def test_structs_are_as_long_as_the_kernels(kind, n_bytes):
    assert kernel.size(kernel.new(f"{kind} *")) == n_bytes


def test_members_are_where_the_kernel_has_them():
    request = kernel.new("struct ifreq *", {"ifr_name": b"eth0", "ifr_flags": 0x5002})
    assert kernel.octets(request) == struct.pack("16sH22x", b"eth0", 0x5002)
    settings = kernel.new("struct ethtool_link_settings *", {"cmd": 0x4C, "link_mode_masks_nwords": -4, "speed": 10})
    assert kernel.octets(settings)[:20] == struct.pack("II7xb4x", 0x4C, 10, -4)
    ring = kernel.new("struct tpacket_req *", (1 << 16, 2, 2048, 64))
    assert kernel.octets(ring) == struct.pack("IIII", 1 << 16, 2, 2048, 64)
    assert kernel.read("struct tpacket_stats *", struct.pack("II", 5, 3)).tp_drops == 3
    assert kernel.octets(kernel.new("struct bpf_insn[]", [(0xB7, 0, 0, 2)])) == struct.pack("BBhi", 0xB7, 0, 0, 2)


def test_an_ioctl_answers_in_the_struct():
    request = kernel.new("struct ifreq *", {"ifr_name": b"lo"})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        kernel.ioctl(sock.fileno(), 0x8913, request)  # SIOCGIFFLAGS
        assert request.ifr_flags & 0x8  # IFF_LOOPBACK
        with pytest.raises(OSError, match="No such device"):
            kernel.ioctl(sock.fileno(), 0x8913, kernel.new("struct ifreq *", {"ifr_name": b"eth9"}))


def test_refused_calls_raise_the_kernels_error():
    with pytest.raises(OSError) as caught:
        kernel.enter_network(-1)
    assert caught.value.errno == errno.EBADF
    with pytest.raises(OSError) as caught:
        kernel.bpf(9999, "load", {})
    assert caught.value.errno in (errno.EINVAL, errno.EPERM)


def test_a_machine_whose_bpf_call_is_unknown_has_none(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    with pytest.raises(OSError) as caught:
        kernel.bpf(5, "load", {})
    assert caught.value.errno == errno.ENOSYS


def test_threads_that_come_first_together_get_the_same_library(monkeypatch):
    monkeypatch.setattr(kernel, "_made", [])
    found = []
    threads = [threading.Thread(target=lambda: found.append(kernel._library())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry is found[0] for entry in found] == [True] * 4


def test_libraries_come_with_the_first_call_only():
    script = (
        "import sys, datapath.ports.netdev, datapath.ports.silence, datapath.ports.packet_socket\n"
        "print([m for m in ('pyroute2', 'cffi', 'ctypes') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_a_link_is_read_whatever_its_address_is_like():
    name, mtu = attribute(3, b"gre0\0"), attribute(4, struct.pack("I", 1476))
    for address, mac in (
        (b"", bytes(6)),
        (b"\x0a\0\0\1", b"\x0a\0\0\1\0\0"),
        (bytes(range(6)), bytes(range(6))),
        (bytes(range(20)), bytes(range(6))),
    ):
        link = link_of(name, attribute(1, address), mtu, flags=0x41)
        assert (link.name, link.ifindex, link.mac, link.mtu) == ("gre0", 7, mac, 1476)
        assert link.up
        assert link.running


def test_a_link_that_tells_nothing_has_defaults():
    link = link_of()
    assert link == netdev.Link("", ifindex=7, mtu=0)
    kind = attribute(18, attribute(1, b"veth\0"))
    assert link_of(kind, attribute(20, b"\xff\xfeodd\0"), attribute(5, struct.pack("I", 9))) == netdev.Link(
        "", ifindex=7, mtu=0, kind="veth", alias="\ufffd\ufffdodd", peer_ifindex=9
    )


def test_messages_of_other_types_are_told_apart():
    address = datagram(20, struct.pack("BBBBI", 2, 8, 0, 0, 1))
    unknown = datagram(9999, bytes(4))
    link = datagram(RTM_NEWLINK, IFINFO.pack(0, 1, 7, 0, 0))
    assert [netlink.event(m) for m in netlink.decode(address + unknown + link)] == ["RTM_NEWADDR", "", "RTM_NEWLINK"]


def test_the_classic_filter_is_encoded_as_the_kernel_wants_it():
    program = kernel.octets(kernel.new("struct sock_filter[]", [(0x06, 0, 0, 2)]))
    options = [("TCA_BPF_OPS_LEN", 1), ("TCA_BPF_OPS", program), ("TCA_BPF_FLAGS", 1)]
    fields = {"index": 7, "handle": 0x63797671, "parent": 0xFFFFFFF2, "info": 0xFFFF0300}
    attributes = [("TCA_KIND", "bpf"), ("TCA_OPTIONS", {"attrs": options})]
    message = netlink._message(netlink._codec().filtermsg, fields, attributes)
    message.encode()
    nested = (
        attribute(4, struct.pack("H", 1))
        + attribute(5, struct.pack("HBBI", 0x06, 0, 0, 2))
        + attribute(8, struct.pack("I", 1))
    )
    body = struct.pack("BxxxiIII", 0, 7, 0x63797671, 0xFFFFFFF2, 0xFFFF0300)
    assert bytes(message.data[16:]) == body + attribute(1, b"bpf\0") + attribute(2 | 0x8000, nested)


def test_errors_of_the_kernel_are_os_errors():
    with pytest.raises(OSError, match=os.strerror(errno.ENODEV)) as caught:
        list(netlink.links([("IFLA_IFNAME", "eth9")]))
    assert caught.value.errno == errno.ENODEV


def test_all_devices_are_listed():
    assert "lo" in [link.name for link in netdev.links()]
    assert next(link.ifindex for link in netdev.links() if link.name == "lo") == socket.if_nametoindex("lo")
