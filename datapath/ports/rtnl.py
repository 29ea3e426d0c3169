"""Route netlink by hand: a request and its answers, attributes to and from bytes.

pyroute2's IPRoute (0.9) runs an event loop of its own and refuses to work inside a running one, which is where the
control thread lives; what the ports need of the protocol (man 7 rtnetlink) fits on this page. All integers are in
host byte order, as the kernel passes them.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWQDISC, RTM_DELQDISC, RTM_GETQDISC = 36, 37, 38
RTM_NEWTFILTER, RTM_DELTFILTER, RTM_GETTFILTER = 44, 45, 46
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP, NLM_F_EXCL, NLM_F_CREATE = 0x1, 0x4, 0x300, 0x200, 0x400
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLMSG = struct.Struct("IHHII")  # length, type, flags, sequence number, port id
IFINFO = struct.Struct("BxHiII")  # struct ifinfomsg: family, ARP hardware type, index, flags, mask of flags to change
NLA = struct.Struct("HH")  # length with this header, type
NLA_TYPE_MASK = 0x3FFF  # the two highest bits say nested and network byte order
NLA_F_NESTED = 0x8000
SOL_NETLINK, NETLINK_EXT_ACK = 270, 11
RECEIVE_BYTES = 1 << 18
RTMGRP_LINK = 1


def attr(number: int, payload: bytes) -> bytes:
    """Return one attribute, padded to four bytes."""
    return NLA.pack(NLA.size + len(payload), number) + payload + bytes(-len(payload) % 4)


def attr_u32(number: int, value: int) -> bytes:
    """Return an attribute that holds a 32-bit number."""
    return attr(number, struct.pack("I", value))


def attr_text(number: int, text: str) -> bytes:
    """Return an attribute that holds text with a zero at its end."""
    return attr(number, text.encode() + b"\0")


def attrs(data: bytes) -> dict[int, bytes]:
    """Return the attributes in `data` by number; the last of a kind counts, what is cut short is left out."""
    found = {}
    at = 0
    while at + NLA.size <= len(data):
        length, number = NLA.unpack_from(data, at)
        if length < NLA.size or at + length > len(data):
            break
        found[number & NLA_TYPE_MASK] = data[at + NLA.size : at + length]
        at += (length + 3) & ~3
    return found


def text(value: bytes) -> str:
    """Return the text of an attribute."""
    return value.split(b"\0", 1)[0].decode(errors="replace")


def u32(value: bytes | None) -> int:
    """Return the number of an attribute, 0 if it is absent or too short."""
    return struct.unpack_from("I", value)[0] if value is not None and len(value) >= 4 else 0


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (type, body) of each message in a datagram."""
    at = 0
    while at + NLMSG.size <= len(data):
        length, kind, _flags, _sequence, _port = NLMSG.unpack_from(data, at)
        if length < NLMSG.size or at + length > len(data):
            break
        yield kind, data[at + NLMSG.size : at + length]
        at += (length + 3) & ~3


def request(kind: int, body: bytes, flags: int = 0) -> list[tuple[int, bytes]]:
    """Send one request and return its answers as (type, body); raises OSError with the kernel's errno.

    `flags` are NLM_F_* beyond REQUEST; with NLM_F_DUMP all answers up to the end of the dump are returned.
    """
    dump = flags & NLM_F_DUMP == NLM_F_DUMP and kind in (RTM_GETLINK, RTM_GETQDISC, RTM_GETTFILTER)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as sock:
        sock.bind((0, 0))
        flags |= NLM_F_REQUEST | (0 if dump else NLM_F_ACK)
        sock.send(NLMSG.pack(NLMSG.size + len(body), kind, flags, 1, 0) + body)
        answers: list[tuple[int, bytes]] = []
        while True:
            for answer, payload in messages(sock.recv(RECEIVE_BYTES)):
                if answer == NLMSG_ERROR:
                    _raise_on_error(payload)
                    return answers
                if answer == NLMSG_DONE:
                    return answers
                answers.append((answer, payload))


def _raise_on_error(payload: bytes) -> None:
    number = -struct.unpack_from("i", payload)[0]
    if number:
        raise OSError(number, os.strerror(number))
