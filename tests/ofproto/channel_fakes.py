"""A bridge without a switch behind it, for tests of the OpenFlow channel alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ofproto import intake
from ofproto.errors import OpenFlowError
from ofproto.handlers import Description
from ofproto.numbers import OFPP_LOCAL
from ofproto.ports import OFPPS_LINK_DOWN, PortDesc, PortStatsRow


@dataclass
class FakePunt:
    frame: bytes = bytes(range(60))
    in_port: int = 1
    reason: int = 1
    table_id: int = 0
    cookie: int = 0x77
    controller_id: int = 0
    max_len: int = 65535
    key: bytes = b""


@dataclass
class FakeRemoved:
    reason: int = 2

    def encode(self, version, nxt):
        kind = (4, 14) if nxt else (11, None)
        return bytes([version, kind[0], 0, 8]) + bytes(4)


class FakeDump:
    def __init__(self, bodies):
        self.bodies = bodies

    @property
    def more(self):
        return bool(self.bodies)

    def next_body(self):
        return self.bodies.pop(0)


class FakeFlows:
    """Counts flow-mods and refuses those that end in 0xbb."""

    def __init__(self):
        self.messages = []
        self.runs = []
        self.bodies = [b""]

    def apply_run(self, data, at, end, nxt_table_id=False):
        found = intake.messages_in(data, at, end)
        self.runs.append(len(found))
        self.messages += found
        errors = []
        for message in found:
            if message[-1] == 0xBB:
                errors.append((at, OpenFlowError("OFPBMC_BAD_FIELD")))
            at += len(message)
        return [], errors

    def flow_dump(self, request, version, nxst, now_ns):
        return FakeDump(list(self.bodies))

    def aggregate(self, request):
        return (7, 420, 3)

    def table_stats(self):
        return [(i, 0, 0, 0) for i in range(254)]


class FakeCodec:
    def __init__(self):
        self.match = bytes.fromhex("8000000400000001")

    def decode_actions(self, data, version):
        return data

    def encode_packet_in_match(self, key, version):
        return bytes.fromhex("000000020001") if version == 1 else self.match


@dataclass
class FakeBridge:
    name: str = "br0"
    datapath_id: int = 0xAA
    allowed_versions: set = field(default_factory=lambda: {1, 2, 3, 4, 5, 6})

    def __post_init__(self):
        self.description = Description("Nicira, Inc.", "Open vSwitch", "3.1.0", "None", "None")
        self.flows = FakeFlows()
        self.codec = FakeCodec()
        self.calls = []
        self.all_ports = [
            PortDesc(1, bytes.fromhex("aa55aa55000f"), "p1", curr=0x840, supported=0x840, state=0),
            PortDesc(2, bytes.fromhex("aa55aa55000e"), "p2", state=OFPPS_LINK_DOWN, config=1),
            PortDesc(OFPP_LOCAL, bytes.fromhex("aa55aa550001"), "br0"),
        ]

    def ports(self):
        return list(self.all_ports)

    def port_stats(self, number):
        return [
            PortStatsRow(p.number, 5_500_000_000, rx_packets=p.number & 0xFF, tx_bytes=99)
            for p in self.all_ports
            if number in (None, p.number)
        ]

    def port_mod(self, number, mac, config, mask):
        port = next((p for p in self.all_ports if p.number == number), None)
        if port is None:
            raise OpenFlowError("OFPPMFC_BAD_PORT")
        if port.mac != mac:
            raise OpenFlowError("OFPPMFC_BAD_HW_ADDR")
        self.all_ports[self.all_ports.index(port)] = replace(port, config=port.config & ~mask | config & mask)

    def packet_out(self, frame, in_port, ofacts):
        self.calls.append(("packet_out", frame, in_port, ofacts))

    def switch_config(self, **wishes):
        self.calls.append(("switch_config", wishes))

    async def fresh_counts(self):
        self.calls.append(("fresh_counts",))

    async def barrier(self):
        self.calls.append(("barrier", len(self.flows.messages)))

    def flow_removed_ready(self, removed):
        self.calls.append(("removed", removed))
