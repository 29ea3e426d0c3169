"""All OpenFlow connections of a bridge: the management listener and the configured controllers (CH.01 to CH.10).

What a single controller or listener does is in `peers.py`; what happens on a connection is in `connection.py`.
Thread rule: the control thread's event loop.
"""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Callable, Iterable
from typing import Any, cast

from ofproto.connection import Codec, Connection
from ofproto.handlers import FRAG_NORMAL, Switchboard
from ofproto.numbers import OFP10
from ofproto.peers import DEFAULT_PROBE_MS, OFP_PORT, Active, ControllerConfig, Passive, Peer
from ofproto.ports import PortDesc
from vslib import dirs, vlog
from vslib.clock import CLOCK, Handle
from vslib.errors import ConfigError
from vslib.stream_target import parse_target

__all__ = ["Channel", "ControllerConfig"]

FAIL_PROBES = 3  # this many probe intervals without any controller: the bridge is on its own (CH.10)

log = vlog.get("connmgr")


class Channel:
    """All OpenFlow connections of one bridge.

    `bridge`: what handlers work on; `codec`: by default the compiled one, `ofproto.flow_mod`. `on_controllers_changed`
    is called after a controller that we call was connected or lost, and when `all_failed` changed; never for tools on
    the management socket.
    """

    def __init__(self, bridge: Switchboard, codec: Codec | None = None) -> None:
        self.bridge = bridge
        self.codec: Codec = codec if codec is not None else _compiled_codec()
        self.connections: list[Connection] = []
        self.on_controllers_changed: Callable[[], None] | None = None
        self.generation_id: int | None = None
        self._frag_mode = FRAG_NORMAL
        self._wishes: tuple[int, bool, bool] = (FRAG_NORMAL, False, False)
        self._mgmt: Passive | None = None
        self._peers: dict[str, Peer] = {}
        self._versions: frozenset[int] = frozenset()
        self._closing: set[asyncio.Task[None]] = set()
        self._failed = False
        self._fail_timer: Handle | None = None
        self._closed = False

    # -- set-up

    @property
    def mgmt_path(self) -> str:
        """Return the path of the management socket."""
        return os.path.join(dirs.rundir(), f"{self.bridge.name}.mgmt")

    async def listen(self) -> None:
        """Open the management socket `$OVS_RUNDIR/<bridge>.mgmt` (CH.01); raises ConfigError with the reason."""
        if self._mgmt is not None:
            return
        mgmt = Passive(self, ControllerConfig(f"punix:{self.mgmt_path}", inactivity_probe_ms=0, service=True))
        await mgmt.listen()
        self._mgmt = mgmt

    def set_controllers(self, configs: Iterable[ControllerConfig]) -> None:
        """Make the set of controllers `configs`; connections whose target stays are kept, unless the allowed versions
        changed.
        """
        wanted = {config.target: config for config in configs}
        versions = frozenset(self.bridge.allowed_versions)
        afresh = versions != self._versions
        self._versions = versions
        if afresh and self._mgmt is not None:
            self._mgmt.hang_up_on(lambda version: version not in versions)
        for target, peer in list(self._peers.items()):
            config = wanted.get(target)
            if config is None or afresh or config.service != peer.config.service:
                self._close_later(self._peers.pop(target))
            elif config != peer.config:
                peer.reconfigure(config)
        for target, config in wanted.items():
            if target not in self._peers:
                self._add(config)
        self._note_connections()

    def _add(self, config: ControllerConfig) -> None:
        try:
            parsed = parse_target(config.target, OFP_PORT)
        except ConfigError as error:
            log.err("%s: %s", self.bridge.name, error)
            return
        peer = Passive(self, config) if parsed.passive else Active(self, config)
        self._peers[config.target] = peer
        peer.start()

    def _close_later(self, peer: Peer) -> None:
        task = asyncio.get_running_loop().create_task(peer.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Hang up everywhere and remove the management socket."""
        self._closed = True
        self._stop_fail_timer()
        for peer in [*self._peers.values(), *([self._mgmt] if self._mgmt is not None else [])]:
            self._close_later(peer)
        self._peers.clear()
        self._mgmt = None
        if self._closing:
            await asyncio.wait(list(self._closing))

    # -- how it stands

    def status(self) -> dict[str, dict[str, Any]]:
        """Return the columns of each controller's row by target (see Active.status)."""
        return {target: peer.status() for target, peer in self._peers.items()}

    @property
    def _primaries(self) -> list[Active]:
        return [peer for peer in self._peers.values() if isinstance(peer, Active) and not peer.config.service]

    @property
    def connected_primary(self) -> bool:
        """Tell whether a primary controller is connected."""
        return any(peer.fsm.is_connected for peer in self._primaries)

    @property
    def has_primaries(self) -> bool:
        """Tell whether there are controllers that a bridge depends on."""
        return bool(self._primaries)

    @property
    def all_failed(self) -> bool:
        """Tell whether there are primary controllers and none has been in charge for three probe intervals (CH.10)."""
        return self._failed

    def changed(self) -> None:
        """Note that the connection of a controller that we call was made or lost."""
        self._note_connections()
        self._tell()

    def roles_changed(self) -> None:
        """Note that a controller has another role: the database shows it."""
        self._tell()

    def _tell(self) -> None:
        if self.on_controllers_changed is not None and not self._closed:
            self.on_controllers_changed()

    def _stop_fail_timer(self) -> None:
        if self._fail_timer is not None:
            self._fail_timer.cancel()
            self._fail_timer = None

    def _note_connections(self) -> None:
        """Keep `all_failed` up to date."""
        self._stop_fail_timer()
        primaries = self._primaries
        if self._closed or not primaries or any(peer.is_admitted for peer in primaries):
            self._failed = False
            return
        patience_ms = FAIL_PROBES * max(peer.config.inactivity_probe_ms or DEFAULT_PROBE_MS for peer in primaries)
        left_ms = max(peer.admitted_ms for peer in primaries) + patience_ms - CLOCK.now_ms()
        if left_ms > 0:
            self._failed = False
            self._fail_timer = CLOCK.call_later(left_ms / 1000, self._patience_over)
        elif not self._failed:
            log.warn("%s: could not connect to a controller for %d seconds", self.bridge.name, patience_ms // 1000)
            self._failed = True

    def _patience_over(self) -> None:
        before = self._failed
        self._note_connections()
        if self._failed != before:
            self._tell()

    def new_generation(self, generation_id: int) -> bool:
        """Take over a generation of controller roles; False when it is older than the last one (MS.38)."""
        if self.generation_id is not None and (generation_id - self.generation_id) & (1 << 63):
            return False
        self.generation_id = generation_id
        return True

    @property
    def frag_mode(self) -> int:
        """Return the bridge's OFPC_FRAG_ mode."""
        return self._frag_mode

    @frag_mode.setter
    def frag_mode(self, mode: int) -> None:
        self._frag_mode = mode
        self.wishes_changed()

    def wishes_changed(self) -> None:
        """Tell the bridge what packets the controllers want now, if that changed (OF.01: misses go to sessions before
        1.3).
        """
        listening = [c for c in self.connections if c.running and (c.miss_send_len or not c.service)]
        wishes = (
            self._frag_mode,
            any(c.version == OFP10 and c.controller_id == 0 for c in listening),
            any(c.wants_invalid_ttl for c in listening),
        )
        if wishes != self._wishes and not self._closed:
            self._wishes = wishes
            self.bridge.switch_config(frag_mode=wishes[0], miss_punt=wishes[1], ttl_punt=wishes[2])

    # -- asynchronous messages

    def port_status(self, reason: int, port: PortDesc) -> None:
        """Tell the controllers that a port was added (0), deleted (1) or modified (2)."""
        for connection in list(self.connections):
            connection.send_port_status(reason, port)

    def packet_in(self, punt: Any) -> None:
        """Hand a frame (`ofproto.punt.Punt`) to the controllers that want it."""
        for connection in list(self.connections):
            connection.send_packet_in(punt)

    def send_flow_removed(self, removed: Iterable[Any]) -> None:
        """Tell the controllers of removed flows whose final counts are in."""
        for flow in removed:
            for connection in list(self.connections):
                connection.send_flow_removed(flow)


def _compiled_codec() -> Codec:
    """Return the codec; imported late, as it is compiled and tests of the channel alone bring their own."""
    codec: Any = importlib.import_module("ofproto.flow_mod")
    return cast(Codec, codec)
