"""What a bridge does without its controllers (CH.10), as Open vSwitch has it.

The table says what happens to the flows; "primaries" are controllers that we call and that are not of type `service`.

| event | flows of controllers | rule of the switch |
|---|---|---|
| first primary configured, last one removed | removed | without primaries and standalone: `priority=0,actions=NORMAL` |
| fail mode changed, no primaries | removed | the same |
| fail mode changed, with primaries | stay | |
| standalone, primaries out of reach for three probe intervals | removed | hidden, above all flows: `actions=NORMAL` |
| a primary is back and in charge | those it makes | the hidden one goes |

A controller is in charge once it asked for more than a handshake does (`Connection.admitted`). While the bridge is on
its own, connected controllers get a made-up packet-in now and then, so that those that only answer packets show
themselves.
Thread rule: control thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from ofproto import flow_text
from ofproto.controllers import Channel
from ofproto.numbers import OFPP_LOCAL
from ofproto.packet_in import NO_COOKIE, NO_MATCH
from vslib import vlog
from vslib.clock import CLOCK, Handle

HIDDEN_PRIORITY = 0xF0F0F0
BOGUS_PERIOD_S = 2.0
OFPRR_DELETE = 2
_NORMAL = "priority=0,actions=NORMAL"
# RARP, Ethernet and IPv4, "who am I": nobody answers it.
_RARP = bytes.fromhex("8035 0001 0800 06 04 0003")

log = vlog.get("fail_open")


class MadeUpPunt(NamedTuple):
    """A frame that never came; see `packet_in.PuntLike`."""

    frame: bytes
    key: bytes
    in_port: int = OFPP_LOCAL
    cookie: int = NO_COOKIE
    controller_id: int = 0
    reason: int = NO_MATCH
    table_id: int = 0


def made_up_punt() -> MadeUpPunt:
    """Return a packet-in about a RARP request of a random address of Nicira's, as if from the bridge's own port."""
    mac = bytes.fromhex("002320") + bytes([os.urandom(1)[0] | 0x80]) + os.urandom(2)
    frame = b"\xff" * 6 + mac + _RARP + mac + bytes(4) + mac + bytes(4)
    return MadeUpPunt(frame, flow_text.parse_match("in_port=LOCAL")[0])


class FailMode:
    """Keeps a bridge's flow tables as the table above says.

    flows: `ofproto.flow_table.FlowTables`; on_removed gets the removed flows that controllers asked to hear of.
    """

    def __init__(self, name: str, flows: Any, channel: Channel, on_removed: Callable[[list[Any]], None]) -> None:
        self.name = name
        self.flows = flows
        self.channel = channel
        self.secure = True
        self.open = False  # on its own although there are primaries
        self._on_removed = on_removed
        self._has_primaries = False
        self._bogus: Handle | None = None

    def configure(self, secure: bool) -> None:
        """Take over the fail mode and the channel's controllers."""
        mode_changed = secure != self.secure
        had, self._has_primaries, self.secure = self._has_primaries, self.channel.has_primaries, secure
        if had != self._has_primaries or (mode_changed and not self._has_primaries):
            self._set_open(False)
            self._flush()
        self.update()

    def update(self) -> None:
        """Take note that controllers came, went or failed."""
        wanted = not self.secure and self._has_primaries and self.channel.all_failed
        if wanted and not self.open:
            self._flush()
        self._set_open(wanted)

    def close(self) -> None:
        """Stop; the tables are about to go."""
        if self._bogus is not None:
            self._bogus.cancel()

    def _flush(self) -> None:
        self._on_removed(self.flows.flush(reason=OFPRR_DELETE))
        if not self.secure and not self._has_primaries:
            self.flows.flow_mod(flow_text.parse_flow(_NORMAL).message)

    def _set_open(self, wanted: bool) -> None:
        if wanted == self.open:
            return
        self.open = wanted
        rule = flow_text.parse_flow(_NORMAL)
        if wanted:
            log.info("%s: failing open", self.name)
            self.flows.add_hidden(HIDDEN_PRIORITY, rule.value, rule.mask, rule.actions)
            self._bogus = CLOCK.call_later(BOGUS_PERIOD_S, self._ask_for_a_sign)
        else:
            log.warn("%s: no longer in fail-open mode", self.name)
            self.flows.del_hidden(HIDDEN_PRIORITY, rule.value, rule.mask)
            self.close()

    def _ask_for_a_sign(self) -> None:
        self._bogus = CLOCK.call_later(BOGUS_PERIOD_S, self._ask_for_a_sign)
        if self.channel.connected_primary:
            self.channel.packet_in(made_up_punt())
