"""Route netlink with pyroute2's message classes: one request and its answers, in the namespace of the calling thread.

pyroute2's IPRoute (0.9) runs an event loop of its own and refuses to work inside a running one, which is where the
control thread lives. Its codec does not mind: here it writes and reads the messages of a plain socket, which is opened
for each request and so belongs to the namespace where the caller is. A request for one device takes 0.2 ms.

pyroute2 comes in with the first message, not with this module: importing it takes a third of a second.
"""

from __future__ import annotations

import errno
import functools
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP, NLM_F_EXCL, NLM_F_CREATE = 0x1, 0x4, 0x300, 0x200, 0x400
NLMSG_ERROR, NLMSG_DONE = 2, 3
RECEIVE_BYTES = 1 << 18
RTMGRP_LINK = 1
SOL_NETLINK, NETLINK_LISTEN_ALL_NSID = 270, 8
NO_NSID = 0xFFFFFFFF
HERE = -1  # instead of a number: the namespace of the socket itself

Message = Any  # pyroute2's nlmsg: a mapping of the fields of the fixed part, "attrs" and "event"
Attribute = tuple[str, Any]


class _Codec(NamedTuple):
    """What pyroute2 has for us; `numbers` are the message types by name."""

    numbers: dict[str, int]
    ifinfmsg: type[Message]
    nsidmsg: type[Message]
    tcmsg: type[Message]
    filtermsg: type[Message]
    marshal: Any


@functools.cache
def _codec() -> _Codec:
    from pyroute2.netlink import NLA_F_NESTED, nla, nlmsg, rtnl
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
    from pyroute2.netlink.rtnl.marshal import MarshalRtnl
    from pyroute2.netlink.rtnl.nsidmsg import nsidmsg
    from pyroute2.netlink.rtnl.tcmsg import tcmsg

    class ClassicBpf(nla):  # type: ignore[misc]
        """Options of a classifier in classic BPF; pyroute2's own take programs by descriptor (eBPF) only."""

        nla_flags = NLA_F_NESTED
        nla_map = (
            (4, "TCA_BPF_OPS_LEN", "uint16"),
            (5, "TCA_BPF_OPS", "cdata"),
            (8, "TCA_BPF_FLAGS", "uint32"),
        )

    class Filter(nlmsg):  # type: ignore[misc]
        """A tcmsg with such options."""

        fields = tcmsg.fields
        nla_map = ((1, "TCA_KIND", "asciiz"), (2, "TCA_OPTIONS", "classic"))
        classic = ClassicBpf

    return _Codec(rtnl.RTM_NAMES, ifinfmsg, nsidmsg, tcmsg, Filter, MarshalRtnl())


def links(attributes: Sequence[Attribute] = (), *, dump: bool = False) -> Iterator[Message]:
    """Yield the RTM_NEWLINK of the device that the attributes name, or with `dump` of all; raises OSError."""
    return _answers("RTM_GETLINK", _message(_codec().ifinfmsg, {}, attributes), NLM_F_DUMP if dump else NLM_F_ACK)


def change_link(
    command: str, ifindex: int, attributes: Sequence[Attribute] = (), *, flags: int = 0, mask: int = 0
) -> None:
    """Do RTM_SETLINK or RTM_DELLINK; those of `flags` (IFF_*) that are in `mask` are set too. Raises OSError."""
    message = _message(_codec().ifinfmsg, {"index": ifindex, "flags": flags, "change": mask}, attributes)
    _do(command, message, NLM_F_ACK)


def namespace_number(fd: int) -> int:
    """Return the number by which this namespace knows the one of the descriptor, given if it had none; raises OSError.

    Messages from there carry it, see `receive_from`.
    """
    found = known_namespace_number(fd)
    if found == NO_NSID:
        message = _message(_codec().nsidmsg, {}, [("NETNSA_FD", fd), ("NETNSA_NSID", NO_NSID)])
        _do("RTM_NEWNSID", message, NLM_F_ACK)
        found = known_namespace_number(fd)
    return found


def known_namespace_number(fd: int) -> int:
    """Return the number that a namespace has here, NO_NSID if it has none; raises OSError."""
    answers = list(_answers("RTM_GETNSID", _message(_codec().nsidmsg, {}, [("NETNSA_FD", fd)]), NLM_F_ACK))
    return int(answers[0].get_attr("NETNSA_NSID")) if answers else NO_NSID


def hear_all_namespaces(sock: socket.socket) -> None:
    """Have the socket receive the news of all namespaces that have a number here, too; raises OSError."""
    sock.setsockopt(SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, 1)


def receive_from(sock: socket.socket) -> tuple[bytes, int]:
    """Return a datagram and the number of the namespace that it is from, HERE for the socket's own; raises OSError."""
    data, notes, _, _ = sock.recvmsg(RECEIVE_BYTES, 64)
    for level, kind, number in notes:
        if (level, kind) == (SOL_NETLINK, NETLINK_LISTEN_ALL_NSID):
            return data, int.from_bytes(number[:4], sys.byteorder, signed=True)
    return data, HERE


def dump_tc(command: str, ifindex: int, parent: int = 0) -> list[Message]:
    """Return the rows of RTM_GETQDISC or RTM_GETTFILTER that belong to a device; raises OSError."""
    rows = _answers(command, _message(_codec().tcmsg, {"index": ifindex, "parent": parent}), NLM_F_DUMP)
    return [row for row in rows if row["index"] == ifindex]


def change_tc(command: str, fields: dict[str, int], attributes: Sequence[Attribute]) -> None:
    """Do RTM_NEW.. (which must not exist yet) or RTM_DEL.. of a qdisc or filter; raises OSError.

    `fields` are those of struct tcmsg by name. The options of a filter are those of a classic BPF classifier.
    """
    create = NLM_F_CREATE | NLM_F_EXCL if command.startswith("RTM_NEW") else 0
    _do(command, _message(_codec().filtermsg, fields, attributes), NLM_F_ACK | create)


def decode(data: bytes) -> Iterator[Message]:
    """Yield the messages of a datagram."""
    yield from _codec().marshal.parse(data)


def event(message: Message) -> str:
    """Return the name of a message's type, as ``RTM_NEWLINK``; empty if it is unknown or could not be decoded."""
    return str(dict.get(message, "event", ""))


def text(message: Message, name: str) -> str:
    """Return the text of an attribute, empty if there is none."""
    value = message.get_attr(name) or ""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def octets(message: Message, name: str) -> bytes:
    """Return the bytes of an attribute as they came, none if there is none.

    For link-layer addresses: pyroute2 makes text of them and takes six bytes for granted, a tunnel has four or sixteen.
    """
    for slot in message["attrs"]:
        if slot.name == name:
            found = slot.nla
            return bytes(found.data[found.offset + 4 : found.offset + found.length])
    return b""


def _message(kind: type[Message], fields: dict[str, int], attributes: Sequence[Attribute] = ()) -> Message:
    message = kind()
    message.update(fields)
    message["attrs"] = list(attributes)
    return message


def _do(command: str, message: Message, flags: int) -> None:
    for _ in _answers(command, message, flags):
        pass


def _answers(command: str, message: Message, flags: int) -> Iterator[Message]:
    """Send one request and yield its answers, of a dump all up to its end; raises OSError with the kernel's errno.

    One after the other, since a message of pyroute2's is 200 objects in cycles: all of a large dump kept until its end
    cost the garbage collector as much again (200 devices: 65 ms instead of 34).
    """
    message["header"] = {"type": _codec().numbers[command], "flags": NLM_F_REQUEST | flags, "sequence_number": 1}
    message.encode()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as sock:
        sock.bind((0, 0))
        sock.send(message.data)
        while True:
            for answer in decode(sock.recv(RECEIVE_BYTES)):
                _raise_on_error(answer["header"]["error"])
                if answer["header"]["type"] in (NLMSG_ERROR, NLMSG_DONE):
                    return
                yield answer


def _raise_on_error(error: Exception | None) -> None:
    if error is not None:
        # A NetlinkError has a code, an OSError a number; what could not be decoded has neither.
        number = int(getattr(error, "code", None) or getattr(error, "errno", None) or errno.EBADMSG)
        raise OSError(number, os.strerror(number))
