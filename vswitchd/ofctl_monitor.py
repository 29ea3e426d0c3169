"""The command `monitor` of ofctl: prints what a switch reports until it is interrupted (TL.02)."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from time import localtime, strftime

from ofproto import messages, ofctl_async, ofctl_json
from ofproto.errors import OpenFlowError
from ofproto.numbers import OFP10
from ofproto.ofctl_decode import config, kind_of
from ofproto.ofctl_print import Names, message_text
from ofproto.ofctl_values import c_number
from vslib.errors import ConfigError, PeerError
from vswitchd.ofctl import Settings
from vswitchd.ofctl_connection import Connection, Failed
from vswitchd.ofctl_show import names_of

INVALID_TTL = 4  # OFPC_INVALID_TTL_TO_CONTROLLER
FORM_NAMES = ("standard", "nxt_packet_in", "nxt_packet_in2")


def _wishes(args: list[str]) -> tuple[int | None, bool]:
    """Return miss_send_len (None: as it is) and whether packets whose TTL ends are wanted; raises ConfigError."""
    miss_len, ttl = None, False
    for word in args:
        if c_number(word) is not None:
            miss_len = (c_number(word) or 0) & 0xFFFF
        elif word == "invalid_ttl":
            ttl = True
        elif word.startswith("watch:"):
            raise ConfigError(f"{word}: this program does not watch flow tables")
        else:
            raise ConfigError(f'{word}: unsupported "monitor" argument')
    return miss_len, ttl


def _configure(connection: Connection, miss_len: int | None, ttl: bool) -> None:
    if miss_len is None and not ttl:
        return
    now = config(connection.ask("OFPT_GET_CONFIG_REQUEST"))
    flags = now["flags"] | (INVALID_TTL if ttl and connection.version == OFP10 else 0)
    wanted = now["miss_send_len"] if miss_len is None else miss_len
    connection.order(
        connection.build("OFPT_SET_CONFIG", messages.SWITCH_CONFIG.pack(flags=flags, miss_send_len=wanted))
    )


def _choose_packets(settings: Settings, connection: Connection) -> None:
    """Ask for the form of packets that tells most, or for the one of --packet-in-format."""
    wanted = settings.packet_in_form
    for form in (2, 1, 0) if wanted is None else (wanted,):
        failure = connection.errors_of(connection.build("NXT_SET_PACKET_IN_FORMAT", struct.pack("!I", form)))
        if failure is None:
            return
        if wanted is not None:
            raise Failed(message_text(failure, {}))


def _show(settings: Settings, message: bytes, names: Names) -> None:
    if settings.json:
        try:
            text = ofctl_json.dumps(ofctl_async.as_json(message))
        except (PeerError, OpenFlowError, struct.error, IndexError, ValueError) as error:
            text = ofctl_json.dumps({"type": kind_of(message), "error": str(error), "message": message.hex()})
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    if settings.timestamp:
        from vslib.clock import CLOCK  # takes longer to import than all the rest, so only where it is needed

        now_ms = CLOCK.wall_ms()
        stamp = strftime("%Y-%m-%d %H:%M:%S", localtime(now_ms // 1000))
        sys.stderr.write(f"{stamp}.{now_ms % 1000:03d}: ")
    sys.stderr.write(message_text(message, names))
    sys.stderr.flush()


def monitor(settings: Settings, args: list[str]) -> int:
    """Print what the switch reports."""
    miss_len, ttl = _wishes(args[1:])
    with settings.connect(args[0]) as connection:
        _configure(connection, miss_len, ttl)
        _choose_packets(settings, connection)
        names = names_of(connection, settings.show_names and not settings.json)
        while True:
            message = connection.receive()
            if kind_of(message) != "OFPT_ECHO_REPLY":
                _show(settings, message, names)


COMMANDS: dict[str, Callable[[Settings, list[str]], int]] = {"monitor": monitor}
