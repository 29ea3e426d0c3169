"""`ofproto/trace`: its arguments, and the packet and bridge that they mean (AP.13). The rest is in ofproto/trace.py.

Thread rule: control thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from datapath.dp_parse import DatapathFlowError, parse_key
from datapath.parse import parse_frame
from datapath.slots import TUNNEL
from ofproto.exact_text import PLACES, parse_exact, put_slot, slot_of
from ofproto.flow_text import KEY_BYTES
from ofproto.trace import explain
from vslib.errors import ConfigError
from vslib.unixctl import CommandError
from vswitchd.dpctl import DATAPATH_ALIASES, port_names

if TYPE_CHECKING:
    from vswitchd.bridge import Bridge
    from vswitchd.core import Core
    from vswitchd.daemon import Daemon

USAGE = "{[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet]"
MAX_WORDS = 3
ETHERNET_BYTES = 14
DATAPATHS = (*DATAPATH_ALIASES, *(name.partition("@")[2] for name in DATAPATH_ALIASES))
CT_STATES = ("new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat")
# What a packet has besides its bytes: kept from the flow's text when both are given.
METADATA = ("in_port", "recirc_id", "dp_hash", "pkt_mark", "skb_priority", "ct_state", "ct_zone", "ct_mark", "ct_label")


@dataclass
class Request:
    """The command line: words are datapath or bridge, flow, packet."""

    words: list[str] = field(default_factory=list)
    generate: bool = False
    named: bool = False


# -- arguments ---------------------------------------------------------------------------------------------------------


def _generate(request: Request, _value: str) -> None:
    request.generate = True


def _names(request: Request, _value: str) -> None:
    request.named = True


def _ct_next(_request: Request, value: str) -> None:
    # No action of ours recirculates through connection tracking, so a valid state is not needed again.
    for word in filter(None, re.split(r"[,|\s]+", value)):
        if word not in CT_STATES:
            raise CommandError(f"{word}: unknown connection tracking state flag")


def _l7_len(_request: Request, value: str) -> None:
    if not value.isdecimal():
        raise CommandError(f"{value}: invalid argument for option --l7-len")


# Option -> whether it takes a value, and what it does.
OPTIONS: dict[str, tuple[bool, Callable[[Request, str], None]]] = {
    "-generate": (False, _generate), "--generate": (False, _generate), "--names": (False, _names),
    "--ct-next": (True, _ct_next), "-ct-next": (True, _ct_next),
    "--l7-len": (True, _l7_len), "-l7-len": (True, _l7_len),
}  # fmt: skip


def parse_request(args: list[str]) -> Request:
    """Return the command line in parts; raises CommandError."""
    request = Request()
    rest = iter(args)
    for word in rest:
        if not word.startswith("-"):
            request.words.append(word)
            continue
        if word not in OPTIONS:
            raise CommandError(f"{word}: unknown option")
        takes_value, apply = OPTIONS[word]
        value = next(rest, None) if takes_value else ""
        if value is None:
            raise CommandError(f"Missing argument for option {word}")
        apply(request, value)
    if len(request.words) > MAX_WORDS:
        raise CommandError("too many arguments")
    return request


def parse_frame_text(text: str) -> bytes:
    """Return a frame from its bytes in hexadecimal; raises CommandError."""
    digits = re.sub(r"\s+", "", text)
    if not re.fullmatch(r"(?:[0-9a-fA-F]{2})*", digits):
        raise CommandError("Trailing garbage in packet data")
    if len(digits) < 2 * ETHERNET_BYTES:
        raise CommandError("Packet data too short for Ethernet")
    return bytes.fromhex(digits)


def _take_frame(request: Request) -> bytes | None:
    """Take the packet off the end of the words: a third word must be one, a second one may be."""
    if len(request.words) < 2:
        return None
    try:
        frame = parse_frame_text(request.words[-1])
    except CommandError:
        if len(request.words) == MAX_WORDS:
            raise
        return None
    if request.generate:
        raise CommandError("Syntax error")
    request.words.pop()
    return frame


# -- packets and bridges -----------------------------------------------------------------------------------------------


def _from_datapath(core: Core, words: list[str]) -> tuple[Bridge, bytes] | None:
    """Return bridge and key when the flow is one of the datapath's; raises CommandError when its place is unknown."""
    names = {name: number for number, name in port_names(core).items()}
    try:
        key = parse_key(words[-1], names)
    except DatapathFlowError as error:
        if len(words) == 1:
            raise CommandError(f"{error} (or the bridge name was omitted)") from None
        return None
    if len(words) > 1 and words[0] not in DATAPATHS:
        raise CommandError("Cannot find the datapath")
    dp_port = slot_of(key, "in_port")
    for bridge in core.bridges.values():
        for port in bridge.ports_by_name.values():
            if port.dp_port == dp_port:
                return bridge, put_slot(key.ljust(KEY_BYTES, b"\0"), "in_port", port.number)
    raise CommandError(f"no OpenFlow port for datapath port {dp_port}")


def _from_bridge(core: Core, words: list[str]) -> tuple[Bridge, bytes]:
    if words[0] not in core.bridges:
        raise CommandError(f"{words[0]}: unknown bridge")
    bridge = core.bridges[words[0]]
    try:
        return bridge, parse_exact(words[1], {port.name: number for number, port in bridge.numbers.items()})
    except ConfigError as error:
        raise CommandError(str(error)) from None


def with_frame(key: bytes, frame: bytes) -> bytes:
    """Return the key that a frame has; what a frame does not say is taken from `key`."""
    parsed = parse_frame(frame, slot_of(key, "in_port"))
    result: bytes = parsed[1].ljust(KEY_BYTES, b"\0")
    for name in METADATA:
        result = put_slot(result, name, slot_of(key, name))
    for name, place in PLACES.items():
        if place.slot.scope == TUNNEL:
            result = put_slot(result, name, slot_of(key, name))
    return result


def trace(daemon: Daemon, args: list[str]) -> str:
    """Return how a packet would be handled, as text; raises CommandError (AP.13)."""
    core = daemon.core
    request = parse_request(args)
    frame = _take_frame(request)
    if not request.words:
        raise CommandError("syntax error at  (or the bridge name was omitted)")
    found = _from_datapath(core, request.words) or _from_bridge(core, request.words)
    bridge, key = found
    if frame is not None:
        key = with_frame(key, frame)
    return explain(
        core.switch, bridge.handle, key, learn=request.generate or frame is not None, now_ns=core.clock.now_ns(),
        named=request.named, dp_names=port_names(core),
    )
