"""A learning switch on os-ken's API, OpenFlow 1.3: the controller of the demo and of the peer tests.

Run: ``python -m bench.learning_switch [--listen ADDRESS] [--port PORT]``. It prints ``listening`` once it accepts
switches and one line
for each switch and each flow it installs.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib.mac import haddr_to_str
from os_ken.ofproto import ofproto_v1_3

MISS_PRIORITY, LEARNED_PRIORITY = 0, 1
IDLE_TIMEOUT_S = 60
MAX_LEN = 256
LLDP = 0x88CC


class LearningSwitch(app_manager.OSKenApp):  # type: ignore[misc]  # os-ken has no types
    """Learns which address is behind which port; installs a flow once it knows both ends."""

    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ports_by_mac: dict[int, dict[str, int]] = {}

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)  # type: ignore[untyped-decorator]
    def connected(self, ev: Any) -> None:
        """Start with an empty table and send what matches nothing here."""
        datapath = ev.msg.datapath
        proto, parser = datapath.ofproto, datapath.ofproto_parser
        self.ports_by_mac[datapath.id] = {}
        actions = [parser.OFPActionOutput(proto.OFPP_CONTROLLER, MAX_LEN)]
        self.add_flow(datapath, MISS_PRIORITY, parser.OFPMatch(), actions)
        print(f"switch {datapath.id:016x} connected", flush=True)

    def add_flow(self, datapath: Any, priority: int, match: Any, actions: list[Any], idle_s: int = 0) -> None:
        """Send one flow-mod that adds a flow."""
        proto, parser = datapath.ofproto, datapath.ofproto_parser
        apply = parser.OFPInstructionActions(proto.OFPIT_APPLY_ACTIONS, actions)
        datapath.send_msg(
            parser.OFPFlowMod(
                datapath=datapath, priority=priority, match=match, instructions=[apply], idle_timeout=idle_s
            )
        )

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def packet_in(self, ev: Any) -> None:
        """Learn the source; forward the packet, and install a flow when the destination is known."""
        msg = ev.msg
        datapath = msg.datapath
        proto, parser = datapath.ofproto, datapath.ofproto_parser
        in_port = msg.match["in_port"]
        dst, src = haddr_to_str(msg.data[:6]), haddr_to_str(msg.data[6:12])
        if int.from_bytes(msg.data[12:14], "big") == LLDP:
            return
        known = self.ports_by_mac.setdefault(datapath.id, {})
        known[src] = in_port
        out_port = known.get(dst, proto.OFPP_FLOOD)
        actions = [parser.OFPActionOutput(out_port)]
        if out_port != proto.OFPP_FLOOD:
            match = parser.OFPMatch(in_port=in_port, eth_src=src, eth_dst=dst)
            self.add_flow(datapath, LEARNED_PRIORITY, match, actions, IDLE_TIMEOUT_S)
            print(f"flow {src} -> {dst}: port {in_port} -> {out_port}", flush=True)
        datapath.send_msg(
            parser.OFPPacketOut(
                datapath=datapath, buffer_id=proto.OFP_NO_BUFFER, in_port=in_port, actions=actions, data=msg.data
            )
        )


def main(argv: list[str]) -> int:
    """Run the application until it is killed."""
    options = argparse.ArgumentParser(prog="learning_switch")
    options.add_argument("--listen", default="127.0.0.1")
    options.add_argument("--port", type=int, default=6653)
    chosen = options.parse_args(argv)

    from os_ken import cfg
    from os_ken.controller import controller  # noqa: F401  (registers its options)
    from os_ken.lib import hub

    cfg.CONF(args=[], project="learning_switch")
    cfg.CONF.set_override("ofp_listen_host", chosen.listen)
    cfg.CONF.set_override("ofp_tcp_listen_port", chosen.port)
    manager = app_manager.AppManager.get_instance()
    manager.load_apps(["bench.learning_switch", "os_ken.controller.ofp_handler"])
    contexts = manager.create_contexts()
    services = manager.instantiate_apps(**contexts)
    print(f"listening on {chosen.listen}:{chosen.port}", flush=True)
    try:
        hub.joinall(services)
    except KeyboardInterrupt:
        pass
    finally:
        manager.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
