"""Edits other than flow-mods, each in two halves: `check` raises the OpenFlowError that its state of today would give,
`run` does it (MS.22, MS.23, MS.28, MS.31, MS.32).

Reading one raises the OpenFlowError of a message that is wrong in any state. A message of its own runs at once; in a
bundle it is read when it is added and checked and run at the commit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ofproto import messages, ports
from ofproto.errors import OpenFlowError
from ofproto.numbers import OFPP_ANY, OFPP_CONTROLLER, OFPP_LOCAL, OFPP_MAX
from ofproto.packet_in import NO_BUFFER
from ofproto.session import Request

if TYPE_CHECKING:
    from ofproto.connection import Connection

# Who may be named as the input of a packet-out although no port has the number.
PACKET_OUT_FROM = (OFPP_LOCAL, OFPP_ANY, OFPP_CONTROLLER)
GROUP_ADD, GROUP_MODIFY, GROUP_DELETE = range(3)
LAST_GROUP_TYPE = 3  # OFPGT_FF
_NO_GROUPS = {GROUP_ADD: "OFPGMFC_OUT_OF_GROUPS", GROUP_MODIFY: "OFPGMFC_UNKNOWN_GROUP", GROUP_DELETE: None}


class Edit(NamedTuple):
    """An edit that was read; transactional: it can be part of an atomic bundle."""

    check: Callable[[], None]
    run: Callable[[], None]
    transactional: bool = True


def _nothing() -> None:
    """What needs no check, or does nothing."""


def packet_out(conn: Connection, request: Request) -> Edit:
    """Read a frame and the action list that it shall go through."""
    layout = messages.PACKET_OUT[request.version]
    head = layout.unpack(request.data, request.offset)
    in_port = ports.port_from_wire(head["in_port"], request.version)
    start = request.offset + layout.size
    end = start + head["actions_len"]
    if end > len(request.data):
        raise OpenFlowError("OFPBRC_BAD_LEN")
    ofacts = conn.codec.decode_actions(request.data[start:end], request.version)
    if in_port >= OFPP_MAX and in_port not in PACKET_OUT_FROM:
        raise OpenFlowError("OFPBRC_BAD_PORT")
    if head["buffer_id"] != NO_BUFFER:
        raise OpenFlowError("OFPBRC_BUFFER_UNKNOWN")
    return Edit(_nothing, lambda: conn.bridge.packet_out(request.data[end:], in_port, ofacts))


def port_mod(conn: Connection, request: Request) -> Edit:
    """Read a change of a port's configuration bits."""
    mod = messages.PORT_MOD[request.version].unpack(request.data, request.offset)
    known = ports.CONFIG_BITS[request.version]
    number = ports.port_from_wire(mod["port"], request.version)

    def check() -> None:
        port = next((port for port in conn.bridge.ports() if port.number == number), None)
        if port is None:
            raise OpenFlowError("OFPPMFC_BAD_PORT")
        if port.mac != mod["mac"]:
            raise OpenFlowError("OFPPMFC_BAD_HW_ADDR")

    def run() -> None:
        conn.bridge.port_mod(number, mod["mac"], mod["config"] & known, mod["mask"] & known)

    return Edit(check, run, transactional=False)


def group_mod(conn: Connection, request: Request) -> Edit:
    """Read a change of groups, of which there are none; deleting what is not there succeeds, as controllers do at their
    start.
    """
    mod = messages.GROUP_MOD.unpack(request.data, request.offset)
    command = mod["command"]
    if command not in _NO_GROUPS:
        raise OpenFlowError("OFPGMFC_BAD_COMMAND")
    if mod["type"] > LAST_GROUP_TYPE:
        raise OpenFlowError("OFPGMFC_BAD_TYPE")

    def check() -> None:
        error = _NO_GROUPS[command]
        if error is not None:
            raise OpenFlowError(error)

    return Edit(check, _nothing)


# What a bundle takes besides flow-mods, by the handler in MESSAGES.
BUNDLED: dict[str, Callable[[Connection, Request], Edit]] = {
    "packet_out": packet_out,
    "port_mod": port_mod,
    "group_mod": group_mod,
}
