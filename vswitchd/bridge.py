"""One running bridge: its handle in the switch, its flow tables, its ports and its OpenFlow channel.

It is what the OpenFlow handlers see (`ofproto.handlers.Switchboard`) and what `reconfigure.py` edits. Thread rule:
control thread only.
"""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from datapath.ports import netdev
from ofproto.controllers import Channel, ControllerConfig
from ofproto.fail_mode import FailMode
from ofproto.flow_table import FlowTables, RemovedFlow
from ofproto.handlers import Description
from ofproto.numbers import OFPP_LOCAL
from ofproto.own_flows import add_own_flows
from ofproto.ports import OFPPC_PORT_DOWN, OFPPS_LINK_DOWN, PortDesc, PortStatsRow
from ofproto.switch import BridgeHandle
from vslib import vlog
from vslib.errors import ConfigError
from vslib.version import OVS_VERSION
from vswitchd.desired import LAST_OFPORT, DesiredBridge, DesiredInterface, DesiredPort
from vswitchd.devices import Closing

if TYPE_CHECKING:
    from datapath.ports.port import PortHandle
    from vswitchd.core import Core

log = vlog.get("bridge")

PORT_ADDED, PORT_DELETED, PORT_MODIFIED = 0, 1, 2
# What port-mod may change of OpenFlow's OFPPC_ bits: down, no-recv, no-flood, no-fwd, no-packet-in.
PORT_MOD_BITS = 1 | 4 | 16 | 32 | 64
PATCH_COUNTS = ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes")


@dataclass
class RunningPort:
    """One interface that forwards. number: OpenFlow port, host order; dp_port: datapath port, None for a patch port.

    followed_mtu: the bridge's smallest MTU, in bytes, as it was last given to the device; None = never.
    """

    name: str
    number: int
    kind: str
    wanted: DesiredInterface
    dp_port: int | None
    handle: PortHandle | None
    link: netdev.Link
    added_ns: int
    config: int = 0
    followed_mtu: int | None = None
    link_resets: int = 0
    vlan: DesiredPort | None = None
    peer: tuple[str, int] | None = None
    written: dict[str, Any] = field(default_factory=dict)  # columns as last written to the database

    @property
    def short_number(self) -> int:
        """Return the number in its 16-bit form, in which the database and the log name ports."""
        return self.number & 0xFFFF

    @property
    def link_up(self) -> bool:
        """Tell whether the carrier is on (a patch port: always)."""
        return self.kind == "patch" or self.link.running

    def describe(self) -> PortDesc:
        """Return OpenFlow's description of the port."""
        config = self.config if self.link.up or self.kind == "patch" else self.config | OFPPC_PORT_DOWN
        return PortDesc(
            number=self.number,
            mac=self.link.mac,
            name=self.name,
            config=config,
            state=0 if self.link_up else OFPPS_LINK_DOWN,
            curr=0 if self.kind == "patch" else self.link.features,
            curr_speed_kbps=0 if self.kind == "patch" else self.link.speed_kbps,
        )


class Bridge:
    """A bridge that exists in the switch; see the module's first sentence."""

    def __init__(self, core: Core, wanted: DesiredBridge, mac: bytes) -> None:
        self.core = core
        self.name = wanted.name
        self.wanted = wanted
        self.mac = self.default_mac = mac  # default: when no port has a global one
        self.handle: BridgeHandle = core.switch.add_bridge(wanted.name, mac)
        self.flows = FlowTables(self.handle)
        add_own_flows(self.flows)
        self.ports_by_name: dict[str, RunningPort] = {}
        self.numbers: dict[int, RunningPort] = {}
        self.channel = Channel(self)
        self.channel.on_controllers_changed = self.controllers_changed
        self.fail_mode = FailMode(wanted.name, self.flows, self.channel, self.flow_removed_ready)
        self.last_number = 0
        self.kept_numbers: dict[uuid.UUID, int] = {}  # of interfaces that lost their device, for when it is back

    # -- identity

    @property
    def datapath_id(self) -> int:
        """Return the 64-bit datapath ID: configured, else the MAC address (OF.36)."""
        return self.wanted.datapath_id or int.from_bytes(self.mac, "big")

    @property
    def allowed_versions(self) -> set[int]:
        """Return the wire versions that Bridge.protocols allows."""
        return set(self.wanted.versions)

    @property
    def description(self) -> Description:
        """Return the strings of OFPMP_DESC."""
        return Description(
            mfr_desc="Nicira, Inc.",
            hw_desc="Open vSwitch",
            sw_desc=OVS_VERSION,
            serial_num=self.wanted.dp_sn or "None",
            dp_desc=self.wanted.dp_desc or "None",
        )

    # -- ports

    def pick_number(self, wanted: DesiredInterface) -> int:
        """Return the OpenFlow port number for a new interface: its wish when free, else the next one not in use.

        Raises ConfigError when none is left.
        """
        if wanted.name == self.name:
            return OFPP_LOCAL
        for wish in (wanted.ofport, self.kept_numbers.get(wanted.row), wanted.last_ofport):
            if wish is not None and wish not in self.numbers:
                return wish
        for avoided in (set(self.kept_numbers.values()), set[int]()):
            for step in range(LAST_OFPORT):
                number = (self.last_number + step) % LAST_OFPORT + 1
                if number not in self.numbers and number not in avoided:
                    return number
        raise ConfigError(f"could not add network device {wanted.name} to ofproto (Numerical result out of range)")

    def add_port(self, port: RunningPort) -> None:
        """Make `port` part of the bridge and tell the controllers."""
        self.handle.add_port(port.number, port.dp_port, port.name)
        if not port.wanted.requested and port.number <= LAST_OFPORT:
            self.last_number = port.number
        self.handle.set_port(port.number, link_up=port.link_up, config=port.config)
        self.ports_by_name[port.name] = self.numbers[port.number] = port
        self.kept_numbers.pop(port.wanted.row, None)
        log.info("bridge %s: added interface %s on port %d", self.name, port.name, port.short_number)
        self.channel.port_status(PORT_ADDED, port.describe())
        self._play(port, port.link.up)

    def _play(self, port: RunningPort, on: bool) -> None:
        """Let a port without device receive, while the bridge has it: what it plays would be lost otherwise."""
        if port.handle is not None and self.core.host.kinds[port.kind].in_memory:
            port.handle.up = on

    def take_off(self, port: RunningPort) -> None:
        """Take the number of `port` away and tell the controllers; the datapath keeps its device for `add_port`."""
        self._play(port, False)
        del self.ports_by_name[port.name], self.numbers[port.number]
        self.handle.del_port(port.number)
        port.vlan = port.peer = None
        log.info("bridge %s: deleted interface %s on port %d", self.name, port.name, port.short_number)
        self.channel.port_status(PORT_DELETED, port.describe())

    def del_port(self, port: RunningPort) -> None:
        """Take `port` out of the bridge and the datapath and tell the controllers; the caller closes `port.handle`."""
        self.take_off(port)
        if not port.link.present and port.number <= LAST_OFPORT:
            self.kept_numbers[port.wanted.row] = port.number
        if port.dp_port is not None:
            self.core.datapath.del_port(port.dp_port)

    def set_mac(self, mac: bytes) -> None:
        """Take over the MAC address that was chosen for the bridge; a new datapath ID makes controllers reconnect."""
        before = self.datapath_id
        self.mac = mac
        self.handle.configure(mac=mac)
        self._tell_datapath_id(before)

    def _tell_datapath_id(self, before: int) -> None:
        """Make controllers connect anew if the datapath ID is not `before` any more: OpenFlow has no message for it."""
        if self.datapath_id == before:
            return
        log.info("bridge %s: using datapath ID %016x", self.name, self.datapath_id)
        for connection in list(self.channel.connections):
            connection.stream.close()

    def link_changed(self, port: RunningPort, link: netdev.Link) -> None:
        """Take over a device's new state and tell the controllers what they can see of it."""
        before = port.describe()
        if link.running != port.link.running:
            port.link_resets += 1
        port.link = link
        if port.handle is not None:
            port.handle.set_mtu(link.mtu)
        self.handle.set_port(port.number, link_up=port.link_up)
        if port.describe() != before:
            self.channel.port_status(PORT_MODIFIED, port.describe())

    def ports(self) -> list[PortDesc]:
        """Return the descriptions of all ports in the order of their numbers."""
        return [self.numbers[number].describe() for number in sorted(self.numbers)]

    def port_stats(self, number: int | None) -> list[PortStatsRow]:
        """Return the counters of one port, or of all when `number` is None."""
        chosen = sorted(self.numbers) if number is None else [n for n in (number,) if n in self.numbers]
        return [self.stats_row(self.numbers[n]) for n in chosen]

    def stats_row(self, port: RunningPort) -> PortStatsRow:
        """Return the counters of `port`: those of the datapath, or of the patch port."""
        now_ns = self.core.clock.now_ns()
        if port.dp_port is None:
            counts = self.patch_counts(port)
        else:
            counts = self.core.datapath.port_stats(port.dp_port)
        return PortStatsRow(number=port.number, duration_ns=now_ns - port.added_ns, **_openflow_counts(counts))

    def patch_counts(self, port: RunningPort) -> dict[str, int]:
        """Return a patch port's counters under the names that the datapath uses for the others."""
        return dict(zip(PATCH_COUNTS, self.handle.patch_stats(port.number), strict=True))

    def port_mod(self, number: int, mac: bytes, config: int, mask: int) -> None:
        """Change the OFPPC_ bits in `mask` of a port; PORT_DOWN also takes the device down.

        Raises OpenFlowError BAD_PORT for an unknown port and BAD_HW_ADDR for a wrong MAC address.
        """
        from ofproto.errors import OpenFlowError

        port = self.numbers.get(number)
        if port is None:
            raise OpenFlowError("OFPPMFC_BAD_PORT")
        if mac != port.link.mac:
            raise OpenFlowError("OFPPMFC_BAD_HW_ADDR")
        before = port.describe()
        mask &= PORT_MOD_BITS
        if mask & OFPPC_PORT_DOWN and port.handle is not None and not port.link.moved:
            self._bring(port, up=not config & OFPPC_PORT_DOWN)
        port.config = (port.config & ~mask) | (config & mask & ~OFPPC_PORT_DOWN)
        self.handle.set_port(number, config=port.config, link_up=port.link_up)
        if port.describe() != before:
            self.channel.port_status(PORT_MODIFIED, port.describe())

    def _bring(self, port: RunningPort, *, up: bool) -> None:
        """Take a port's device up or down; without one, the port itself."""
        if port.handle is not None and self.core.host.kinds[port.kind].in_memory:
            self._play(port, up)
            port.link = dataclasses.replace(port.link, up=up, running=up)
            self.core.status_changed()  # nobody else has news of it
            return
        try:
            self.core.host.set_up(port.name, up)
            port.link = self.core.host.link(port.name)
        except ConfigError as error:  # it went meanwhile: news of that are under way
            log.warn("%s", error)

    # -- what controllers do

    def packet_out(self, frame: bytes, in_port: int, ofacts: bytes) -> None:
        """Run `frame` through the action list `ofacts` as if received on OpenFlow port `in_port`."""
        port = self.numbers.get(in_port)
        dp_in = port.dp_port if port is not None and port.dp_port is not None else 0
        self.core.datapath.execute(frame, dp_in, self.handle.packet_out(ofacts, in_port))

    def switch_config(self, *, frag_mode: int, miss_punt: bool, ttl_punt: bool) -> None:
        """Take over what the connected controllers want: OFPC_FRAG_ mode, table misses, packets with an invalid TTL."""
        self.handle.configure(frag_mode=frag_mode, miss_punt=miss_punt, ttl_punt=ttl_punt)

    async def fresh_counts(self) -> None:
        """Return when the forwarders have brought what they counted so far to the rules and ports."""
        counted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.core.datapath.push_credits(callback=lambda: None if counted.done() else counted.set_result(None))
        await counted

    def barrier(self) -> Awaitable[None] | None:
        """Return what ends when packet-outs so far are done and every frame received from then on meets the tables of
        now; None when that is so already.
        """
        return self.core.datapath.tables_barrier()

    def flow_removed_ready(self, removed: list[RemovedFlow]) -> None:
        """Collect the final counts of removed flows from the forwarders, then send the flow-removed messages."""
        if not removed:
            return

        def counted() -> None:
            self.channel.send_flow_removed(removed)

        self.core.datapath.push_credits(callback=counted, full=True)

    # -- configuration

    def configure(self, wanted: DesiredBridge) -> None:
        """Apply the bridge's own settings, controllers and fail mode."""
        before = self.datapath_id
        self.wanted = wanted
        self._tell_datapath_id(before)
        rows = {interface.row for port in wanted.ports for interface in port.interfaces}
        self.kept_numbers = {row: number for row, number in self.kept_numbers.items() if row in rows}
        self.handle.configure(
            mac=self.mac,
            mac_aging_s=wanted.mac_aging_s,
            mac_table_size=wanted.mac_table_size,
            forward_bpdu=wanted.forward_bpdu,
        )
        self.channel.set_controllers(controller_configs(wanted))
        self.fail_mode.configure(wanted.secure)

    def controllers_changed(self) -> None:
        """Take note that a controller came, went or failed: clients poll Controller.is_connected."""
        self.fail_mode.update()
        self.core.status_changed()

    async def close(self, destroy: bool = False) -> None:
        """Take the bridge out of the switch: its ports, its channel, its tables; `destroy`: devices of ours as well."""
        ports = list(self.ports_by_name.values())
        for port in ports:
            self.del_port(port)
        await self.core.host.close_all([closing(port, destroy) for port in ports if port.handle is not None])
        await self.channel.close()
        self.fail_mode.close()
        self.flows.flush(reason=2)
        self.core.switch.del_bridge(self.name)


def controller_configs(wanted: DesiredBridge) -> list[ControllerConfig]:
    """Return what the channel is to connect to."""
    return [
        ControllerConfig(
            target=c.target,
            max_backoff_ms=8000 if c.max_backoff_ms is None else max(1000, c.max_backoff_ms),
            inactivity_probe_ms=5000 if c.inactivity_probe_ms is None else c.inactivity_probe_ms,
            service=c.kind == "service",
            async_messages=c.async_messages,
            limits=c.limits,
        )
        for c in wanted.controllers
    ]


OPENFLOW_COUNTS = (
    "rx_packets",
    "tx_packets",
    "rx_bytes",
    "tx_bytes",
    "rx_dropped",
    "tx_dropped",
    "rx_errors",
    "tx_errors",
)


def _openflow_counts(counts: dict[str, Any]) -> dict[str, int]:
    return {name: int(counts.get(name, 0)) for name in OPENFLOW_COUNTS}


def closing(port: RunningPort, destroy: bool) -> Closing:
    """Return how the device of `port` is closed; `destroy` counts for devices that are ours."""
    assert port.handle is not None
    return Closing(port.name, port.handle, port.kind, destroy)


def find_port(bridges: Iterable[Bridge], name: str) -> tuple[Bridge, RunningPort] | None:
    """Return the running port called `name` and its bridge."""
    for bridge in bridges:
        if name in bridge.ports_by_name:
            return bridge, bridge.ports_by_name[name]
    return None
