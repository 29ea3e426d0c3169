"""Opening TAP devices: the ioctl calls of /dev/net/tun, before any packet moves (PT.02, PT.03).

A TAP device of ours is persistent: it outlives the descriptor, and with it its addresses and routes, and `open_tap`
attaches to it again, also in another network namespace to which somebody moved it meanwhile (as Neutron does). Such a
device is known by its alias, which names the namespace where we made it. Control code; the packets are in tap.pyx.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from datapath.ports import kernel, netlink
from datapath.ports import namespace as netns
from vslib.errors import ConfigError

T = TypeVar("T")
DEVICE = "/dev/net/tun"
# linux/if_tun.h, linux/sockios.h
TUNSETIFF, TUNSETPERSIST, TUNSETOFFLOAD, TUNGETIFF = 0x400454CA, 0x400454CB, 0x400454D0, 0x800454D2
TUNSETVNETHDRSZ, TUNGETDEVNETNS = 0x400454D8, 0x54E3
SIOCGIFMTU = 0x8921
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR, IFF_MULTI_QUEUE, IFF_PERSIST = 0x0002, 0x1000, 0x4000, 0x0100, 0x0800
MARK = "cyvswitch"
NAME_BYTES_MAX = 15  # IFNAMSIZ without the zero at the end
VNET_HDR_BYTES = 10
# What the reader of the device can take, most first: (TUN_F_* bits, the port capabilities that they mean).
# CSUM 1, TSO4 2, TSO6 4, TSO_ECN 8, USO4 0x20 and USO6 0x40 (Linux 6.2, only together).
OFFLOADS = ((0x6F, ("csum", "tso4", "tso6", "uso")), (0x0F, ("csum", "tso4", "tso6")), (0x01, ("csum",)), (0, ()))


class Tap(NamedTuple):
    """An attached TAP device; the caller owns `fd`, which is non-blocking and speaks 10-byte virtio-net headers."""

    fd: int
    name: str
    caps: tuple[str, ...]
    created: bool
    mtu: int


def check_name(name: str) -> str:
    """Return the name if the kernel can take it for a device; raises ConfigError if not."""
    bad = name in ("", ".", "..") or any(c in "/:%\0" or c.isspace() for c in name)
    if bad or len(name.encode()) > NAME_BYTES_MAX:
        raise ConfigError(f"could not open network device {name} ({os.strerror(errno.EINVAL)})")
    return name


def mark(name: str) -> str:
    """Return the alias of a device that is made here; the inode of the namespace tells switches apart."""
    return f"{MARK}:{os.stat(netns.HERE).st_ino}:{name}"


def open_tap(name: str, namespace: str | None = None) -> Tap:
    """Attach to the TAP device `name`, made (and made persistent) if it does not exist.

    `namespace` is the path of the network namespace where it lives; None: here, or where a device that we made here
    went to. Raises ConfigError if the device cannot be had: not a TAP, held by somebody else, no permission.
    """
    check_name(name)
    try:
        if namespace is None and not _is_here(name):
            namespace = find_moved(name)
        return netns.call_in(namespace, lambda: _attach(name))
    except OSError as error:
        raise ConfigError(f"could not open network device {name} ({_reason(error)})") from error


def find_moved(name: str) -> str | None:
    """Return the path of another namespace where the device `name` that was made here lives, None if there is none."""
    ours = mark(name)
    return next((path for path in netns.others() if _ask_in(path, lambda: alias(name)) == ours), None)


def find_renamed(name: str) -> tuple[str, str] | None:
    """Return path and present name of a device that was made here as `name`, then moved and renamed, None if none is.

    Reads all devices of all namespaces: for ports that are known to have existed.
    """
    ours = mark(name)

    def look() -> str:
        for found in netlink.links(dump=True):
            if netlink.text(found, "IFLA_IFALIAS") == ours:
                return netlink.text(found, "IFLA_IFNAME")
        return ""

    found = ((path, _ask_in(path, look)) for path in netns.others())
    return next(((path, there) for path, there in found if there), None)


def _ask_in(path: str, fn: Callable[[], str]) -> str:
    """Return ``fn()`` called in a namespace, empty if that went away meanwhile or is closed to us."""
    try:
        return netns.call_in(path, fn)
    except OSError:
        return ""


def alias(name: str) -> str:
    """Return the alias of a device, empty if it has none or does not exist."""
    try:
        socket.if_nametoindex(name)  # the cheap question first: find_moved() asks in every namespace there is
        [found, *_] = netlink.links([("IFLA_IFNAME", name)])
    except OSError:
        return ""
    return netlink.text(found, "IFLA_IFALIAS")


def adopt_fd(fd: int) -> Tap:
    """Take over a TAP descriptor that somebody else opened with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR (PT.04).

    On success the descriptor is ours. Raises ConfigError if it is no such descriptor.
    """
    try:
        name, flags = identify(fd)
        if flags & (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR) != IFF_TAP | IFF_NO_PI | IFF_VNET_HDR:
            raise ConfigError(f"descriptor {fd} is not a TAP device with virtio-net headers")
        caps = _configure(fd)
        mtu = in_its_namespace(fd, lambda: _mtu(name))
    except OSError as error:
        raise ConfigError(f"descriptor {fd} is not a TAP device ({error.strerror})") from error
    return Tap(fd, name, caps, False, mtu)


def identify(fd: int) -> tuple[str, int]:
    """Return the name that the device of a TUN descriptor has now, and its IFF_* flags; raises OSError."""
    answer = kernel.new("struct ifreq *")
    kernel.ioctl(fd, TUNGETIFF, answer)
    return kernel.text(answer.ifr_name), answer.ifr_flags & 0xFFFF


def namespace_fd(fd: int) -> int:
    """Return a new descriptor of the network namespace where the device of a TUN descriptor lives; raises OSError."""
    return fcntl.ioctl(fd, TUNGETDEVNETNS, 0)


def in_its_namespace(fd: int, fn: Callable[[], T]) -> T:
    """Return ``fn()`` called in the namespace where the device of a TUN descriptor lives now; raises OSError too."""
    there = namespace_fd(fd)
    try:
        home = os.stat(netns.HERE)
        same = os.fstat(there).st_ino == home.st_ino
        return fn() if same else netns.call_in(f"/proc/self/fd/{there}", fn)
    finally:
        os.close(there)


def make_temporary(fd: int) -> None:
    """Let the device go with its last descriptor; a device that is already gone is none of our concern."""
    try:
        fcntl.ioctl(fd, TUNSETPERSIST, 0)
    except OSError as error:
        if error.errno != errno.EBADFD:
            raise


def _attach(name: str) -> Tap:
    fd = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        flags = _set_iff(fd, name)
        created = not flags & IFF_PERSIST
        caps = _configure(fd)
        if created:  # the mark first: a process that is killed in between leaves no device that nobody knows
            netlink.change_link("RTM_SETLINK", socket.if_nametoindex(name), [("IFLA_IFALIAS", mark(name))])
        fcntl.ioctl(fd, TUNSETPERSIST, 1)
        mtu = _mtu(name)
    except BaseException:
        os.close(fd)
        raise
    return Tap(fd, name, caps, created, mtu)


def _is_here(name: str) -> bool:
    return any(found == name for _, found in socket.if_nameindex())


def _set_iff(fd: int, name: str) -> int:
    """Attach the descriptor; return the flags that the device has then."""
    wanted = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
    try:
        kernel.ioctl(fd, TUNSETIFF, _ifreq(name, wanted))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # A device that somebody made with several queues can only be opened as such; one queue is enough here.
        kernel.ioctl(fd, TUNSETIFF, _ifreq(name, wanted | IFF_MULTI_QUEUE))
    return identify(fd)[1]


def _ifreq(name: str, flags: int = 0) -> kernel.CData:
    return kernel.new("struct ifreq *", {"ifr_name": name.encode(), "ifr_flags": flags})


def _configure(fd: int) -> tuple[str, ...]:
    """Set header size and offloads; return the capabilities that the kernel granted."""
    kernel.ioctl(fd, TUNSETVNETHDRSZ, kernel.new("int *", VNET_HDR_BYTES))
    for bits, caps in OFFLOADS:
        try:
            fcntl.ioctl(fd, TUNSETOFFLOAD, bits)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            continue
        return caps
    return ()


def _mtu(name: str) -> int:
    """Return the MTU of a device in the namespace of the calling thread, in bytes; raises OSError if there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        answer = _ifreq(name)
        kernel.ioctl(sock.fileno(), SIOCGIFMTU, answer)
    return int(answer.ifr_mtu)


def _reason(error: OSError) -> str:
    """Return the text for Interface.error; the two that users meet say what to do."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{error.strerror}; CAP_NET_ADMIN and {DEVICE} are needed"
    if error.errno == errno.ENOENT and error.filename == DEVICE:
        return f"{DEVICE} does not exist: {error.strerror}"
    return str(error.strerror)
