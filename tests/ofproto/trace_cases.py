"""Flow tables and packets for ofproto/trace: each packet of a case is traced with the case's flows in place.

br0 has ports 1-4, a patch port 10 to port 1 of br1, and LOCAL; br1 has port 2 too. A packet is the words after the
bridge on the command line. `-generate` and bytes learn, so their order counts within a case.
"""

from __future__ import annotations

from typing import NamedTuple

# UDP 10.0.0.1:1 -> 10.0.0.2:2, its checksum not asked for; the same in VLAN 7; ARP request.
UDP = "0000000000020000000000010800" + "4500001c00000000401100000a0000010a000002" + "0001000200080000"
UDP_VLAN = "00000000000200000000000181006007" + UDP[24:]
QINQ = "000000000002000000000001" + "88a80005" + "81000007" + "0806" + "0001080006040001" + "00" * 20
ARP = "ffffffffffff0000000000010806" + "0001080006040001" + "0000000000010a000001" + "0000000000000a000002"
NS = (
    "3333ff000002000000000001" + "86dd" + "6000000000203aff" + "fe80" + "00" * 13 + "01" + "ff02" + "00" * 9
    + "01ff000002"
    + "8700000000000000" + "fe80" + "00" * 13 + "02" + "0101000000000001"
)  # fmt: skip


class Case(NamedTuple):
    """Flows of br0 and br1, and the command lines to try with them."""

    name: str
    flows: tuple[str, ...]
    packets: tuple[str, ...]
    flows1: tuple[str, ...] = ()
    vlan: str = ""          # ovs-vsctl words for the port p2, beforehand: "tag=5" ...


TCP = "tcp,in_port=1,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,tp_src=1,tp_dst=80"

CASES: tuple[Case, ...] = (
    Case("no flows", (), ("in_port=1", "in_port=77", "in_port=10,ip", "arp", TCP, "in_port=LOCAL,dl_vlan=5")),
    Case("outputs", (
        "in_port=1,actions=2,1,3,IN_PORT,LOCAL,99", "in_port=2,cookie=0xabc,actions=FLOOD", "in_port=3,actions=ALL",
        "in_port=4,priority=7,actions=drop", "in_port=LOCAL,actions=CONTROLLER:99",
    ), ("in_port=1", "in_port=2", "in_port=3", "in_port=4,ip", "in_port=LOCAL,udp", "in_port=1,dl_vlan=5",
        "in_port=77")),
    Case("matches", (
        "priority=9,tcp,nw_src=10.0.0.0/8,tp_dst=80,actions=2", "priority=8,ip,nw_dst=10.0.0.2,actions=3",
        "priority=7,ipv6,ipv6_src=fe80::/10,actions=4", "priority=6,arp,arp_op=1,actions=LOCAL",
        "priority=5,dl_vlan=7,actions=1", "priority=4,dl_src=00:00:00:00:00:00/01:00:00:00:00:00,actions=2,3",
        "priority=3,in_port=3,vlan_tci=0x1000/0x1000,actions=4", "priority=2,tcp,tcp_flags=+syn-ack,actions=4",
    ), (
        TCP, "udp,in_port=1,nw_dst=10.0.0.2", "ipv6,ipv6_src=fe80::1,in_port=2", "tcp6,ipv6_src=fd00::1,tcp_src=5",
        "arp,arp_op=1,arp_spa=1.1.1.1", "arp,arp_op=2", "in_port=1,dl_vlan=7,dl_vlan_pcp=3", "in_port=3,dl_vlan=9",
        "icmp,icmp_type=8,nw_frag=later", "rarp,in_port=1", "mpls,mpls_label=5,mpls_bos=1", "dl_type=0x1234,in_port=2",
        "sctp,sctp_dst=9", "icmp6,icmpv6_type=135,nd_target=fe80::3", "in_port=1,dl_src=01:00:00:00:00:00",
    )),
    Case("packets by their bytes", ("priority=1,udp,actions=2", "priority=1,arp,actions=3", "icmp6,actions=4"), (
        f"in_port=1 {UDP}", f"in_port=p2 {UDP_VLAN}", f"in_port=3,metadata=5,reg1=7 {ARP}", f"in_port=2 {NS}",
        f"in_port=1,pkt_mark=5 {QINQ}", f"in_port=1 {UDP[:60]}",
    )),
    Case("rewrites", (
        "in_port=1,ip,actions=set_field:1.2.3.4->ip_src,set_field:5->nw_ttl,mod_dl_dst:00:00:00:00:00:09,2,dec_ttl,3",
        "in_port=2,tcp,actions=mod_tp_dst:81,mod_nw_tos:16,2,mod_nw_ecn:2,4",
        "in_port=3,actions=push_vlan:0x8100,set_field:4103->vlan_vid,2,pop_vlan,1",
        "in_port=4,dl_vlan=7,actions=pop_vlan,3,push_vlan:0x88a8,set_field:4104->vlan_vid,set_field:3->vlan_pcp,2",
        "in_port=LOCAL,ip,actions=dec_ttl,1,dec_ttl,2",
    ), (
        TCP, "in_port=1,udp,nw_ttl=9", "in_port=2,tcp,tcp_dst=80,nw_ttl=3", "in_port=3", "in_port=3,dl_vlan=9,ip",
        "in_port=4,dl_vlan=7", "in_port=LOCAL,udp,nw_ttl=2", "in_port=LOCAL,udp,nw_ttl=3",
        "in_port=LOCAL,udp,nw_ttl=1",
        "in_port=LOCAL,ip",
    )),
    Case("registers and the stack", (
        "in_port=1,actions=set_field:0x12345678->reg1,move:NXM_NX_REG1[0..15]->NXM_NX_REG2[16..31],"
        "push:NXM_NX_REG2[],push:NXM_NX_REG1[8..15],pop:NXM_NX_REG3[0..7],pop:NXM_NX_REG4[],pop:NXM_NX_REG5[],"
        "load:3->NXM_NX_REG0[],output:NXM_NX_REG0[],output:NXM_NX_REG3[0..3]",
        "in_port=2,actions=set_field:0x11->metadata,set_field:1/1->reg7,push:NXM_OF_ETH_SRC[],pop:NXM_OF_ETH_DST[],"
        "move:NXM_OF_ETH_TYPE[]->NXM_NX_REG9[0..15],resubmit(,5)",
        "table=5,metadata=0x11,reg7=1,actions=set_field:7->tun_id,set_field:9->pkt_mark,output:3",
    ), ("in_port=1,ip", "in_port=2,dl_src=00:00:00:00:00:07,ip", "in_port=2,dl_src=00:00:00:00:00:07,reg7=2")),
    Case("tables", (
        "in_port=1,actions=2,resubmit(,1),resubmit(,2),3", "table=1,actions=resubmit(,3),4",
        "table=2,ip,actions=LOCAL",
        "table=3,priority=0,actions=drop", "in_port=2,actions=goto_table:4", "table=4,actions=1,goto_table:5",
        "table=5,in_port=2,actions=resubmit(3,6),write_metadata:0x7/0xf,goto_table:6", "table=6,in_port=3,actions=4",
        "in_port=3,actions=resubmit(7,3),resubmit(,200)", "in_port=4,actions=resubmit(,1),goto_table:1",
        "in_port=LOCAL,actions=resubmit(1,0)",
    ), ("in_port=1", "in_port=1,ip", "in_port=2", "in_port=3", "in_port=4", "in_port=LOCAL,metadata=5")),
    Case("action sets", (
        "in_port=1,ip,actions=write_actions(set_field:1.2.3.4->ip_src,output:2),goto_table:5",
        "table=5,ip,actions=write_actions(push_vlan:0x8100,dec_ttl,set_queue:3,output:3),goto_table:6",
        "table=6,in_port=1,actions=4,goto_table:7", "in_port=2,actions=write_actions(output:1),goto_table:7",
        "table=7,actions=clear_actions,goto_table:8", "table=8,in_port=1,actions=write_actions(output:2)",
        "in_port=3,actions=write_actions(output:1,pop_vlan)", "in_port=4,actions=write_actions(set_field:1->reg1)",
        "in_port=LOCAL,actions=write_actions(CONTROLLER:9)",
    ), (
        "in_port=1,ip,nw_ttl=9", "in_port=2", "in_port=3,dl_vlan=5", "in_port=4", "in_port=LOCAL,ip",
        "in_port=2,dl_vlan=1",
    )),
    Case("controller", (
        "in_port=1,actions=controller", "in_port=2,cookie=0x1,actions=controller(max_len=5,id=7),2,controller",
        "in_port=3,actions=controller(reason=no_match),1", "in_port=4,ip,actions=mod_nw_ecn:1,controller,dec_ttl,2",
        "in_port=LOCAL,ip,actions=dec_ttl(3,4),2",
    ), (
        "in_port=1", "in_port=2,udp", "in_port=3", "in_port=4,udp,nw_ttl=4", "in_port=4,udp,nw_ttl=1",
        f"in_port=1 {UDP}",
        "in_port=LOCAL,ip,nw_ttl=1", "in_port=LOCAL,ipv6,nw_ttl=1",
    )),
    Case("queues", (
        "in_port=1,actions=set_queue:5,2,pop_queue,3", "in_port=2,actions=enqueue:3:7,4",
        "in_port=3,actions=set_queue:1,enqueue:4:9,1",
    ), ("in_port=1", "in_port=2", "in_port=3", "in_port=1,skb_priority=9")),
    Case("end early", (
        "in_port=1,actions=resubmit(,1),2", "table=1,actions=exit,3", "in_port=2,actions=note:00.11.22,exit,4",
        "in_port=3,ip,actions=dec_ttl,4", "in_port=3,ipv6,actions=dec_ttl,1",
    ), ("in_port=1", "in_port=2", "in_port=3,udp", "in_port=3,tcp6,nw_ttl=3")),
    Case("normal learns", ("actions=NORMAL",), (
        "in_port=1", "in_port=1,dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:02",
        "in_port=1,dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:02 -generate",
        "in_port=2,dl_src=00:00:00:00:00:02,dl_dst=00:00:00:00:00:01 -generate",
        "in_port=1,dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:02,ip",
        "in_port=1,dl_src=00:00:00:00:00:03,dl_dst=00:00:00:00:00:01",
        "in_port=3,dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:02 -generate",
        "in_port=3,dl_dst=01:80:c2:00:00:0e", "in_port=77", "in_port=2,dl_vlan=5,dl_src=00:00:00:00:00:02 -generate",
        "in_port=1,dl_vlan=5,dl_dst=00:00:00:00:00:02", f"in_port=2 {ARP}",
        "in_port=4,dl_src=01:00:00:00:00:01 -generate",
        "in_port=CONTROLLER,dl_dst=00:00:00:00:00:02", "in_port=10,dl_src=00:00:00:00:00:09 -generate",
    )),
    Case("an access port", ("actions=NORMAL",), (
        "in_port=1,dl_vlan=5", "in_port=2", "in_port=2,dl_vlan=5", "in_port=2,dl_vlan=0,dl_vlan_pcp=3", "in_port=1",
        "in_port=1,dl_vlan=5,dl_vlan_pcp=4", f"in_port=2 {UDP}", f"in_port=2 {UDP_VLAN}",
    ), ("actions=NORMAL",), "tag=5"),
    Case("a trunk port", ("actions=NORMAL",), (
        "in_port=1,dl_vlan=5", "in_port=2", "in_port=2,dl_vlan=5", "in_port=2,dl_vlan=6", "in_port=1,dl_vlan=7",
    ), ("actions=NORMAL",), "trunks=5,7"),
    Case("a native port", ("actions=NORMAL",), (
        "in_port=1,dl_vlan=5", "in_port=2", "in_port=2,dl_vlan=5", "in_port=2,dl_vlan=6", "in_port=1,dl_vlan=7",
    ), ("actions=NORMAL",), "tag=5 vlan_mode=native-untagged trunks=7"),
    Case("patch ports", (
        "in_port=1,actions=set_field:5->reg1,10,2", "in_port=2,actions=10,resubmit(,1),10", "table=1,actions=3",
        "in_port=3,actions=10", "in_port=10,cookie=5,actions=4",
    ), ("in_port=1", "in_port=1,tcp,nw_ttl=4", "in_port=2,udp,nw_ttl=4", "in_port=3,arp", "in_port=10"), (
        "priority=9,reg1=5,actions=drop", "ip,actions=dec_ttl,2,LOCAL", "arp,actions=in_port",
        "priority=0,actions=mod_dl_src:00:00:00:00:00:09,resubmit(,7)", "table=7,actions=NORMAL",
    )),
    Case("fragments", ("tcp,tp_dst=0,actions=2", "ip,nw_frag=later,actions=3", "ip,nw_frag=first,actions=4"), (
        "in_port=1,tcp,nw_frag=first,tp_dst=80", "in_port=1,tcp,nw_frag=later", "in_port=1,tcp,tp_dst=80",
    )),
    Case("names", ("in_port=1,actions=2,resubmit(3,1),enqueue:3:5,10",
        "table=1,in_port=3,actions=output:4,CONTROLLER"), (
        "in_port=p1 --names", "in_port=3 --names", "--names in_port=LOCAL", f"in_port=p3 {UDP} --names",
    ), ("in_port=1,actions=NORMAL",)),
    Case("too deep", ("in_port=1,actions=resubmit(,0)", "in_port=2,actions=resubmit(,1)",
        "table=1,actions=resubmit(,0)"), (
        "in_port=1", "in_port=2,tcp",
    )),
    Case("mistakes", ("actions=NORMAL",), (
        "in_port=1,in_port=2", "ip,ip", "tcp,udp", "nw_src=1.1.1.1,ip", "ip,nw_src=1.2.3.0/24", "in_port=zz", "zz=3",
        "in_port=1,zz=3", "icmp,icmp_type=3,tp_src=4", "tcp,tcp_flags=+syn-ack", "reg0=0x10/0xf", "priority=5",
        "table=3",
        "dl_src=zz", "nw_proto=6", "udp,tp_src=5", "nw_frag=first,ip", "arp,arp_op=1,arp_spa=1.1.1.1,nw_src=3.3.3.3",
        "ip,nw_src=::1", "in_port=1 zz", "in_port=1 0011", "in_port=1 --zz", "in_port=1 -zz", "a b c",
        "in_port=1 --ct-next", "in_port=1 --ct-next zzz", "in_port=1,ip --ct-next trk,est", "", "ip,nw_src=fe80::1",
        f"in_port=1 {UDP} -generate", f"in_port=1 {UDP}0", f"in_port=1 {UDP}zz",
    )),
)  # fmt: skip
