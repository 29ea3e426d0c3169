"""A switch of ours with the ports of trace_cases.py, without a daemon: what `ofproto/trace` works on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ofproto.flow_table import FlowTables
from ofproto.flow_text import parse_flow
from ofproto.numbers import OFPP_LOCAL
from ofproto.switch import SwitchHandle
from tests.ofproto.trace_cases import Case
from vslib.unixctl import CommandError
from vswitchd import trace

DP_PORTS = {"p1": 1, "p2": 2, "p3": 3, "p4": 4, "q2": 5, "br0": 100, "br1": 101}
NS_PER_S = 1_000_000_000


class FakeBridge:
    """What vswitchd/trace.py sees of a running bridge."""

    def __init__(self, switch: SwitchHandle, name: str) -> None:
        self.name, self.handle = name, switch.add_bridge(name, bytes(6))
        self.flows = FlowTables(self.handle)
        self.numbers: dict[int, Any] = {}
        self.ports_by_name: dict[str, Any] = {}

    def add_port(self, name: str, number: int, dp_port: int | None) -> None:
        self.handle.add_port(number, dp_port, name)
        port = SimpleNamespace(name=name, number=number, dp_port=dp_port)
        self.numbers[number] = self.ports_by_name[name] = port


class Traced:
    """br0 with ports 1-4 and a patch port 10 to port 1 of br1, which has port 2 besides."""

    def __init__(self, dp_ports: dict[str, int] | None = None) -> None:
        numbers = dp_ports or DP_PORTS
        self.switch = SwitchHandle()
        self.br0, self.br1 = (FakeBridge(self.switch, name) for name in ("br0", "br1"))
        for bridge in (self.br0, self.br1):
            bridge.add_port(bridge.name, OFPP_LOCAL, numbers[bridge.name])
            bridge.handle.configure(ttl_punt=True)
        for number in range(1, 5):
            self.br0.add_port(f"p{number}", number, numbers[f"p{number}"])
        self.br0.add_port("pa", 10, None)
        self.br1.add_port("pb", 1, None)
        self.br1.add_port("q2", 2, numbers["q2"])
        self.br0.handle.set_peer(10, self.br1.handle, 1)
        clock = SimpleNamespace(now_ns=lambda: NS_PER_S)
        bridges = {"br0": self.br0, "br1": self.br1}
        self.daemon: Any = SimpleNamespace(core=SimpleNamespace(switch=self.switch, bridges=bridges, clock=clock))

    def setup(self, case: Case) -> None:
        """Take over the flows and VLANs of a case."""
        for bridge, flows in ((self.br0, case.flows), (self.br1, case.flows1)):
            for flow in flows:
                bridge.flows.flow_mod(parse_flow(flow).message)
        words = dict(word.split("=") for word in case.vlan.split())
        tag = int(words["tag"]) if "tag" in words else None
        trunks = [int(vlan) for vlan in words["trunks"].split(",")] if "trunks" in words else None
        mode = words.get("vlan_mode", "access" if tag is not None else "trunk")
        self.br0.handle.set_port(2, vlan_mode=mode, tag=tag, trunks=trunks)

    def trace(self, words: str) -> str:
        """Return the answer, or the error, of ofproto/trace for a packet of br0."""
        return self.words("br0", *(words.split() or [""]))

    def words(self, *words: str) -> str:
        """Return the answer, or the error, of ofproto/trace."""
        try:
            return trace.trace(self.daemon, list(words))
        except CommandError as error:
            return str(error)
