"""Bridges and ports of an embedded switch, as the program that embeds it holds them.

They are handles by name: everything they say is read from the running switch, everything they change goes through its
database or its flow tables. Thread rule: the caller's thread, the one that owns the Switch.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ofproto.numbers import OFP13
from vslib.errors import ConfigError
from vswitchd.bridge import Bridge, RunningPort
from vswitchd.embed_flows import (
    ALL_TABLES,
    Flow,
    FlowRemoved,
    PacketIn,
    dump_request,
    parse_flow,
    parse_flows,
    read_flows,
    read_punt,
    read_removed,
)

if TYPE_CHECKING:
    from datapath.ports.pipe import PipePort
    from ofproto.flow_text import ParsedFlow
    from vslib import stream
    from vswitchd.embed import Switch

KEPT_MESSAGES = 65_536  # packet-ins and flow-removed messages that wait to be taken; the oldest go
ADD, MODIFY, MODIFY_STRICT, DELETE, DELETE_STRICT = range(5)
SHORTEST_FRAME_BYTES = 14  # an Ethernet header


class Nowhere:
    """The stream of an observer: there is none to close."""

    name = "observer"
    queued_bytes = 0

    def close(self) -> None:
        """Nothing to close."""


class Observer:
    """Takes what the switch tells its controllers: one more connection of the channel (`ofproto.connection`)."""

    running = True
    service = False
    version = OFP13
    controller_id = 0
    wants_invalid_ttl = False
    miss_send_len = 0xFFFF
    role = 0
    stream = Nowhere()

    def __init__(self) -> None:
        self.punts: deque[Any] = deque(maxlen=KEPT_MESSAGES)
        self.removed: deque[FlowRemoved] = deque(maxlen=KEPT_MESSAGES)

    def send_packet_in(self, punt: Any) -> None:
        self.punts.append(punt)

    def send_flow_removed(self, removed: Any) -> None:
        self.removed.append(read_removed(removed.encode(OFP13, False)))

    def send_port_status(self, reason: int, port: Any) -> None:
        """Ports are seen in Switch; nothing to keep."""


class Controller:
    """An OpenFlow connection in memory: bytes to and from the switch as over TCP; the switch says HELLO at once."""

    def __init__(self, switch: Switch, end: stream.Stream) -> None:
        self._switch = switch
        self._end = end
        self._received = bytearray()

    async def pump(self) -> None:
        """Collect what the switch sends until the connection ends."""
        while data := await self._end.read():
            self._received += data

    def send(self, data: bytes) -> None:
        """Send bytes to the switch: whole messages or parts of them."""
        self._switch._call(lambda: self._end.write(data))

    def recv(self) -> bytes:
        """Return all bytes that the switch has sent and that were not taken yet."""
        self._switch._settle()
        data = bytes(self._received)
        self._received.clear()
        return data

    def messages(self) -> list[bytes]:
        """Return the whole OpenFlow messages that the switch has sent; the start of another one waits."""
        data = self.recv()
        found = []
        while len(data) >= 8 and len(data) >= int.from_bytes(data[2:4], "big"):
            length = max(8, int.from_bytes(data[2:4], "big"))
            found.append(data[:length])
            data = data[length:]
        self._received[:0] = data
        return found

    def close(self) -> None:
        """End the connection."""
        self._switch._call(self._end.close)


class EmbeddedPort:
    """One port: send() is what a host behind it sends to the switch, recv() what it gets from the switch."""

    def __init__(self, bridge: EmbeddedBridge, name: str) -> None:
        self.bridge = bridge
        self.name = name
        self._switch = bridge.switch

    def __repr__(self) -> str:
        return f"<port {self.name} of {self.bridge.name}>"

    def _running(self) -> RunningPort:
        port = self.bridge.running.ports_by_name.get(self.name)
        if port is None:
            raise ConfigError(f"{self.bridge.name} has no port {self.name}")
        return port

    @property
    def _pipe(self) -> PipePort:
        device = self._switch.host.devices.get(self.name)
        if device is None:
            self._running()  # says so when the bridge or the port has gone
            raise ConfigError(f"{self.name} is no port that packets can be sent to or received from")
        return device.pipe

    # -- packets

    def send(self, *packets: Any) -> None:
        """Let the switch receive packets, bytes or scapy packets, one after the other, and do all that follows.

        Raises ConfigError for a packet shorter than an Ethernet header or longer than any buffer.
        """
        pipe = self._pipe
        for packet in packets:
            frame = bytes(packet)
            if len(frame) < SHORTEST_FRAME_BYTES:
                raise ConfigError(f"a frame of {len(frame)} bytes is shorter than an Ethernet header")
            while not pipe.inject(frame):
                self._switch._settle()
        self._switch._settle()

    def recv(self) -> bytes | None:
        """Return the oldest packet that the switch has sent here and that was not taken yet, None if there is none."""
        frame: bytes | None = self._pipe.take_next()
        return frame

    def recv_all(self) -> list[bytes]:
        """Return all packets that the switch has sent here and that were not taken yet, oldest first."""
        frames: list[bytes] = self._pipe.take()
        return frames

    # -- how it is

    @property
    def number(self) -> int:
        """The OpenFlow port number."""
        return self._running().number

    @property
    def mac(self) -> bytes:
        """The MAC address, 6 bytes."""
        return self._running().link.mac

    @property
    def stats(self) -> dict[str, int]:
        """The counters, as in Interface.statistics."""
        return self._switch.port_statistics(self.bridge.name, self.name)

    @property
    def up(self) -> bool:
        """Whether the link is up. Setting it is like plugging the cable: controllers get a port-status message."""
        return self._running().link_up

    @up.setter
    def up(self, value: bool) -> None:
        port = self._running()
        link = dataclasses.replace(self._switch.host.link(self.name), running=value)
        self._switch.host.devices[self.name].link = link
        self._pipe.up = value and link.up
        self._switch._call(lambda: self.bridge.running.link_changed(port, link))

    def set(self, **columns: Any) -> None:
        """Set columns of the Port and Interface rows: tag, trunks, vlan_mode, mtu_request, options, ...

        None empties a column. Raises ConfigError for a column or value that the database does not take.
        """
        self._switch.set_port(self.name, columns)


class EmbeddedBridge:
    """One bridge: its ports, its flows, and what it tells controllers."""

    def __init__(self, switch: Switch, name: str) -> None:
        self.switch = switch
        self.name = name
        self._observer = Observer()
        channel: Any = self.running.channel
        channel.connections.append(self._observer)
        channel.wishes_changed()

    def __repr__(self) -> str:
        return f"<bridge {self.name}>"

    @property
    def running(self) -> Bridge:
        """The bridge in the running switch. Raises ConfigError when it was deleted."""
        found = self.switch.core.bridges.get(self.name)
        if found is None:
            raise ConfigError(f"there is no bridge {self.name}")
        return found

    # -- ports

    def add_port(self, name: str, **columns: Any) -> EmbeddedPort:
        """Add a port in memory and return it.

        columns: of its Port and Interface rows, such as tag=10, trunks=[1, 2], vlan_mode="native-tagged",
        ofport_request=7, mtu_request=9000, type="null". Raises ConfigError with Interface.error's text when the
        switch cannot have it; the database is as before then.
        """
        self.switch.add_port(self.name, name, columns)
        return EmbeddedPort(self, name)

    def del_port(self, name: str) -> None:
        """Delete a port. Raises ConfigError if there is none."""
        self.switch.del_port(self.name, name)

    def port(self, name: str) -> EmbeddedPort:
        """Return a port by its name. Raises ConfigError if there is none."""
        port = EmbeddedPort(self, name)
        port._running()
        return port

    @property
    def ports(self) -> dict[str, EmbeddedPort]:
        """The ports by name in the order of their OpenFlow numbers, without the bridge's own."""
        numbers = self.running.numbers
        return {numbers[n].name: EmbeddedPort(self, numbers[n].name) for n in sorted(numbers) if n < 0xFFFFFF00}

    @property
    def local(self) -> EmbeddedPort:
        """The bridge's own port (LOCAL). What the switch sends there is discarded until this is asked for first."""
        port = self.port(self.name)
        port._pipe.null = False
        return port

    def _numbers(self) -> dict[str, int]:
        return {name: port.number for name, port in self.running.ports_by_name.items()}

    def _names(self) -> dict[int, str]:
        return {number: port.name for number, port in self.running.numbers.items()}

    # -- settings

    def set(self, **columns: Any) -> None:
        """Set columns of the Bridge row, such as fail_mode="secure", protocols=["OpenFlow13"], other_config={...}.

        Raises ConfigError for a column or value that the database does not take.
        """
        self.switch.set("Bridge", self.name, **columns)

    # -- flows

    def add_flow(self, text: str) -> None:
        """Add a flow, as with ovs-ofctl; ports may be given by name. Raises FlowTextError, OpenFlowError."""
        self._flow_mods(ADD, [parse_flow(text, self._numbers())])

    def add_flows(self, text: str | Iterable[str]) -> int:
        """Add flows, one a line; returns how many. A line that cannot be read adds none: FlowTextError says which."""
        flows = parse_flows(text, self._numbers())
        self._flow_mods(ADD, flows)
        return len(flows)

    def mod_flows(self, text: str, strict: bool = False) -> None:
        """Change the actions of the flows that the text's match takes. Raises FlowTextError, OpenFlowError."""
        flow = parse_flow(text, self._numbers(), all_tables=not strict)
        tables = [flow.table_id] if flow.table_id != ALL_TABLES else sorted({f.table for f in self._dump(flow)})
        self._flow_mods(MODIFY_STRICT if strict else MODIFY, [flow._replace(table_id=table) for table in tables])

    def del_flows(self, match: str = "", strict: bool = False) -> None:
        """Delete the flows that a match takes, all by default. Raises FlowTextError, OpenFlowError."""
        flow = parse_flow(match, self._numbers(), all_tables=True, actions=False)
        self._flow_mods(DELETE_STRICT if strict else DELETE, [flow])

    def _flow_mods(self, command: int, flows: list[ParsedFlow]) -> None:
        def edit() -> None:
            running = self.running
            for flow in flows:
                running.flow_removed_ready(running.flows.flow_mod(flow.to_message(command)))

        self.switch._call(edit)

    def flows(self, match: str = "") -> list[Flow]:
        """Return the flows that a match takes, with their counts of now, by table, falling priority and match."""
        found = self._dump(parse_flow(match, self._numbers(), all_tables=True, actions=False))
        return sorted(found, key=lambda flow: (flow.table, -flow.priority, flow.match))

    def _dump(self, wanted: ParsedFlow) -> list[Flow]:
        running = self.running
        self.switch._await(running.fresh_counts())
        bodies = running.flows.flow_stats(dump_request(wanted), OFP13, False, self.switch.clock.now_ns())
        return list(read_flows(bodies))

    def dump_flows(self, match: str = "") -> str:
        """Return flows() as text, one a line, in the form of `ovs-ofctl dump-flows`."""
        return "".join(f"{flow}\n" for flow in self.flows(match))

    def flow_removed(self) -> list[FlowRemoved]:
        """Return the flow-removed messages that were not taken yet (flows with send_flow_rem)."""
        return self._take(self._observer.removed)

    # -- packets to and from controllers

    def packet_ins(self) -> list[PacketIn]:
        """Return the packets for controllers that were not taken yet."""
        names: Mapping[int, str] = self._names()
        return [read_punt(punt, names) for punt in self._take(self._observer.punts)]

    def packet_out(self, packet: Any, actions: str, in_port: str = "CONTROLLER") -> None:
        """Run a packet through actions as if it had come from `in_port`. Raises FlowTextError."""
        flow = parse_flow(f"in_port={in_port} actions={actions}", self._numbers())
        port = int.from_bytes(flow.value[self.switch.in_port_at], "big")
        frame = bytes(packet)
        self.switch._call(lambda: self.running.packet_out(frame, port, flow.actions))

    def controller(self) -> Controller:
        """Connect a controller in memory: raw OpenFlow both ways, with packet-ins and other news, any version."""
        return self.switch._connect_controller(self.running)

    def _take(self, queue: deque[Any]) -> list[Any]:
        self.switch._settle()
        taken = list(queue)
        queue.clear()
        return taken

    # -- learned addresses

    def fdb(self) -> list[tuple[str, int, str, int]]:
        """Return the learned addresses: (port, VLAN, MAC address, age in seconds), by VLAN and address."""
        names = self._names()
        now_ns = self.switch.clock.now_ns()
        found = [(names[port], vlan, mac.hex(":"), age) for port, vlan, mac, age in self.running.handle.fdb(now_ns)]
        return sorted(found, key=lambda row: row[1:3])
