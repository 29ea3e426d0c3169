"""What the embedded switch prints and decides is what the daemon and ovs-ofctl say of the same configuration (D2)."""

from __future__ import annotations

import re

import pytest

from tests.peers.daemon import Daemon
from vswitchd import Switch

pytestmark = [pytest.mark.root, pytest.mark.ovs_tools]

FLOWS = """
priority=0,actions=NORMAL
in_port=1,actions=output:2
cookie=0x1234,table=3,idle_timeout=60,priority=7,tcp,nw_src=10.0.0.0/8,tp_dst=80,actions=output:1,output:2
hard_timeout=90,udp,in_port=2,actions=mod_dl_dst:02:00:00:00:00:09,output:1
send_flow_rem,ip,nw_tos=4,actions=drop
priority=40000,check_overlap,reset_counts,arp,arp_tpa=10.0.0.1,actions=FLOOD
table=1,dl_vlan=5,actions=strip_vlan,output:1
table=1,vlan_tci=0x1000/0x1000,actions=push_vlan:0x8100,set_field:4102->vlan_vid,output:2
table=1,ipv6,ipv6_dst=2001:db8::/32,actions=set_field:7->reg0,resubmit(,2)
table=2,reg0=7,actions=controller(max_len=64)
table=2,icmp6,icmp_type=135,nd_target=fe80::1,actions=LOCAL
table=4,ip,actions=load:5->NXM_NX_REG1[0..7],move:NXM_NX_REG1[]->NXM_NX_REG2[],goto_table:5
table=5,metadata=0x5/0xf,actions=write_metadata:9,goto_table:6
table=6,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=clear_actions,write_actions(output:1)
table=7,tcp,tcp_flags=+syn-ack,actions=dec_ttl,IN_PORT
table=8,ip,nw_proto=47,actions=note:00.11.22.00.00.00,ALL
table=9,tun_id=0x10,actions=set_field:0x20->tun_id,enqueue:2:1
""".strip()


def lines(text: str) -> list[str]:
    """The flows of a dump, without what differs between two moments."""
    found = [re.sub(r"duration=[0-9.]+s, ", "", line).strip() for line in text.splitlines() if "actions=" in line]
    return sorted(line.replace("pop_vlan", "strip_vlan") for line in found)  # two words for one action


def test_the_dump_is_ovs_ofctls_of_a_daemon_with_the_same_flows(daemon: Daemon, tmp_path):
    daemon.vsctl(
        *("add-br", "br0", "--", "set-fail-mode", "br0", "secure"),
        *("--", "add-port", "br0", "a", "--", "set", "Interface", "a", "type=null", "ofport_request=1"),
        *("--", "add-port", "br0", "b", "--", "set", "Interface", "b", "type=null", "ofport_request=2"),
    )
    with Switch() as sw:
        br = sw.add_bridge("br0", fail_mode="secure")
        br.add_port("a"), br.add_port("b")
        for flow in FLOWS.splitlines():
            br.add_flow(flow)
            daemon.ofctl("-O", "OpenFlow13", "add-flow", "br0", flow)
        assert lines(br.dump_flows()) == lines(daemon.ofctl("-O", "OpenFlow13", "--no-names", "dump-flows", "br0"))
        for match in ("tcp", "table=1", "in_port=1", "cookie=0x1234/-1", "table=2,icmp6", "out_port=2"):
            theirs = daemon.ofctl("-O", "OpenFlow13", "--no-names", "dump-flows", "br0", match)
            assert lines(br.dump_flows(match)) == lines(theirs), match
        assert sw.get("Bridge", "br0", "datapath_version") == daemon.get("Bridge", "br0", "datapath_version")
