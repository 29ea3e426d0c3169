"""An os-ken application that asks a switch a few things and prints the answers, one JSON object a line.

Run: ``python -m tests.ofproto.osken_app PORT VERSION`` (4 = OpenFlow 1.3, 1 = 1.0); it listens on 127.0.0.1.
"""

import json
import sys

from os_ken import cfg
from os_ken.base import app_manager
from os_ken.controller import (
    controller,  # noqa: F401  (registers its options)
    ofp_event,
)
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib import hub
from os_ken.ofproto import ofproto_v1_0, ofproto_v1_3

PROTOCOL = {1: ofproto_v1_0, 4: ofproto_v1_3}[int(sys.argv[2]) if len(sys.argv) > 2 else 4]


def tell(**facts):
    print(json.dumps(facts), flush=True)


class Asker(app_manager.OSKenApp):
    OFP_VERSIONS = [PROTOCOL.OFP_VERSION]

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def features(self, ev):
        tell(event="features", datapath_id=ev.msg.datapath_id, tables=ev.msg.n_tables)

    @set_ev_cls(ofp_event.EventOFPStateChange, MAIN_DISPATCHER)
    def ready(self, ev):
        datapath = ev.datapath
        parser, proto = datapath.ofproto_parser, datapath.ofproto
        tell(
            event="main",
            ports=sorted(p.name.decode() if isinstance(p.name, bytes) else p.name for p in datapath.ports.values()),
        )
        datapath.send_msg(parser.OFPBarrierRequest(datapath))
        datapath.send_msg(parser.OFPDescStatsRequest(datapath, 0))
        if proto.OFP_VERSION == 4:
            datapath.send_msg(parser.OFPPortStatsRequest(datapath, 0, proto.OFPP_ANY))

    @set_ev_cls(ofp_event.EventOFPBarrierReply, MAIN_DISPATCHER)
    def barrier(self, ev):
        tell(event="barrier")

    @set_ev_cls(ofp_event.EventOFPDescStatsReply, MAIN_DISPATCHER)
    def desc(self, ev):
        text = ev.msg.body.hw_desc
        tell(event="desc", hw_desc=(text if isinstance(text, str) else text.decode()).rstrip("\0"))

    @set_ev_cls(ofp_event.EventOFPPortStatsReply, MAIN_DISPATCHER)
    def port_stats(self, ev):
        tell(event="port_stats", rx=[row.rx_packets for row in ev.msg.body])

    @set_ev_cls(ofp_event.EventOFPPortStatus, MAIN_DISPATCHER)
    def port_status(self, ev):
        tell(event="port_status", reason=ev.msg.reason, number=ev.msg.desc.port_no)

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_in(self, ev):
        port = ev.msg.in_port if PROTOCOL is ofproto_v1_0 else ev.msg.match["in_port"]
        tell(event="packet_in", in_port=port, length=len(ev.msg.data))


def main():
    cfg.CONF(args=[], project="asker")
    cfg.CONF.set_override("ofp_listen_host", "127.0.0.1")
    cfg.CONF.set_override("ofp_tcp_listen_port", int(sys.argv[1]))
    manager = app_manager.AppManager.get_instance()
    manager.load_apps(["tests.ofproto.osken_app", "os_ken.controller.ofp_handler"])
    services = manager.instantiate_apps(**manager.create_contexts())
    tell(event="listening")
    hub.joinall(services)


if __name__ == "__main__":
    main()
