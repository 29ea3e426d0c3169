"""Flows in the words of ovs-ofctl: every match field and every action of this switch, and flows that must be refused.

One list for both switches of a comparison; a name says which OpenFlow versions can carry the flow.
"""

from __future__ import annotations

# What an OpenFlow 1.0 match or, beyond it, Nicira's extended match and the actions of both can say.
ANY_VERSION = """
    actions=drop
    priority=1 actions=NORMAL
    priority=2,in_port=1 actions=output:2
    priority=3,in_port=LOCAL actions=output:1
    priority=65535,in_port=3 actions=IN_PORT
    priority=4,cookie=0x123456789abcdef0 actions=FLOOD
    priority=5,idle_timeout=300,hard_timeout=600 actions=ALL
    priority=6,send_flow_rem actions=LOCAL
    table=1,priority=7,check_overlap,in_port=1 actions=CONTROLLER
    priority=8 actions=CONTROLLER:128
    priority=9 actions=controller(max_len=100,reason=action,id=7)
    priority=10 actions=output:1,output:2,output:3
    priority=11,dl_src=00:11:22:33:44:55 actions=1
    priority=12,dl_dst=00:11:22:33:44:55 actions=1
    priority=13,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00 actions=1
    priority=14,dl_src=00:11:22:00:00:00/ff:ff:ff:00:00:00 actions=1
    priority=15,dl_type=0x1234 actions=1
    priority=16,dl_vlan=0 actions=1
    priority=17,dl_vlan=4095 actions=1
    priority=18,dl_vlan=100 actions=strip_vlan,1
    priority=19,dl_vlan=100,dl_vlan_pcp=5 actions=1
    priority=20,dl_vlan_pcp=7 actions=1
    priority=21,dl_vlan=0xffff actions=1
    priority=22,vlan_tci=0 actions=1
    priority=23,vlan_tci=0x1000/0x1000 actions=1
    priority=24,vlan_tci=0x1005/0x1fff actions=1
    priority=25,vlan_tci=0x0/0x1fff actions=1
    priority=26,vlan_tci=0x1001/0x1001 actions=1
    priority=27,vlan_tci=0xf123 actions=1
    priority=30,ip actions=1
    priority=31,ip,nw_src=10.0.0.1 actions=1
    priority=32,ip,nw_src=10.0.0.0/8,nw_dst=192.168.0.0/16 actions=1
    priority=33,ip,nw_src=10.0.0.1/255.0.0.255 actions=1
    priority=34,ip,nw_dst=0.0.0.1/0.0.0.1 actions=1
    priority=35,ip,nw_tos=32 actions=1
    priority=36,ip,nw_tos=252,nw_proto=17 actions=1
    priority=37,ip,nw_ecn=3 actions=1
    priority=38,ip,nw_ttl=1 actions=1
    priority=39,ip,nw_proto=47 actions=1
    priority=40,ip,nw_frag=no actions=1
    priority=41,ip,nw_frag=yes actions=1
    priority=42,ip,nw_frag=first actions=1
    priority=43,ip,nw_frag=later actions=1
    priority=44,ip,nw_frag=not_later actions=1
    priority=45,tcp actions=1
    priority=46,tcp,tp_src=80 actions=1
    priority=47,tcp,tp_dst=0x1f90/0xfff0 actions=1
    priority=48,tcp,tcp_flags=+syn-ack actions=1
    priority=49,tcp,tcp_flags=0x12 actions=1
    priority=50,udp,tp_src=53,tp_dst=53 actions=1
    priority=51,udp,tp_src=0/0x8000 actions=1
    priority=52,sctp,tp_src=7,tp_dst=9 actions=1
    priority=53,icmp actions=1
    priority=54,icmp,icmp_type=8,icmp_code=0 actions=1
    priority=55,arp actions=1
    priority=56,arp,arp_op=1 actions=1
    priority=57,arp,arp_spa=10.0.0.1,arp_tpa=10.0.0.0/24 actions=1
    priority=58,arp,arp_sha=00:11:22:33:44:55,arp_tha=00:00:00:00:00:00 actions=1
    priority=59,arp,arp_sha=00:11:22:33:44:55/ff:ff:ff:00:00:00 actions=1
    priority=60,rarp actions=1
    priority=61,rarp,arp_spa=10.0.0.1,arp_op=3 actions=1
    priority=62,ipv6 actions=1
    priority=63,ipv6,ipv6_src=2001:db8::1,ipv6_dst=2001:db8::/32 actions=1
    priority=64,ipv6,ipv6_dst=::1/::ffff actions=1
    priority=65,ipv6,ipv6_label=0x12345 actions=1
    priority=66,ipv6,ipv6_label=0x5/0xf actions=1
    priority=67,ipv6,nw_proto=89 actions=1
    priority=68,tcp6,tp_dst=443 actions=1
    priority=69,udp6,tp_src=546 actions=1
    priority=70,sctp6,tp_dst=36412 actions=1
    priority=71,icmp6 actions=1
    priority=72,icmp6,icmpv6_type=128,icmpv6_code=0 actions=1
    priority=73,icmp6,icmp_type=135,icmp_code=0,nd_target=fe80::1 actions=1
    priority=74,icmp6,icmp_type=135,icmp_code=0,nd_target=fe80::/64,nd_sll=00:11:22:33:44:55 actions=1
    priority=75,icmp6,icmp_type=136,icmp_code=0,nd_tll=00:11:22:33:44:55 actions=1
    priority=76,ipv6,nw_tos=8,nw_ecn=1,nw_ttl=64,nw_frag=first actions=1
    priority=80,tun_id=0x123 actions=1
    priority=81,tun_id=0x1/0xffff0000ffff0001 actions=1
    priority=82,tun_src=192.0.2.1,tun_dst=192.0.2.0/24 actions=1
    priority=83,tun_ipv6_src=2001:db8::1,tun_ipv6_dst=2001:db8::/64 actions=1
    priority=84,tun_flags=oam actions=1
    priority=85,tun_flags=-oam actions=1
    priority=86,tun_gbp_id=5,tun_gbp_flags=0x40 actions=1
    priority=87,pkt_mark=0x1/0xff actions=1
    priority=88,pkt_mark=7 actions=1
    priority=89,reg0=0x12345678 actions=1
    priority=90,reg15=0x5/0xf actions=1
    priority=91,reg1=1,reg2=2,reg3=3,reg4=0x40000000/0xf0000000 actions=1
    priority=92,xreg0=0x1122334455667788 actions=1
    priority=93,xxreg1=0x112233445566778899aabbccddeeff00 actions=1
    priority=94,xreg2=0x1/0x1 actions=1
    priority=95,ct_state=+trk+new actions=1
    priority=96,ct_state=+trk-inv+est-rel+rpl actions=1
    priority=97,ct_zone=5,ct_mark=0x7/0xf,ct_label=0x1 actions=1
    priority=98,ct_state=-trk,ip actions=1
    priority=99,ct_state=+trk+est,ip,ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.0/24,ct_nw_proto=6,ct_tp_src=80 actions=1
    priority=100,conj_id=5 actions=1
    priority=102,recirc_id=0 actions=1
    priority=103,mpls actions=1
    priority=104,mpls,mpls_label=100,mpls_tc=3,mpls_bos=1 actions=1
    priority=105,mpls,mpls_ttl=5 actions=1
    priority=106,mplsm,mpls_label=3 actions=1
    priority=107,metadata=0x1122334455667788 actions=1
    priority=108,metadata=0x5/0xff actions=1
    priority=110 actions=mod_vlan_vid:5,output:1
    priority=111 actions=mod_vlan_pcp:7,output:1
    priority=112 actions=mod_dl_src:00:11:22:33:44:55,mod_dl_dst:66:77:88:99:aa:bb,output:1
    priority=113,ip actions=mod_nw_src:1.2.3.4,mod_nw_dst:5.6.7.8,mod_nw_tos:32,output:1
    priority=114,tcp actions=mod_tp_src:80,mod_tp_dst:8080,output:1
    priority=115,udp actions=mod_tp_src:80,mod_tp_dst:8080,output:1
    priority=116 actions=enqueue:1:2
    priority=117 actions=set_queue:5,output:1,pop_queue,output:2
    priority=118 actions=set_tunnel:0x5,output:1
    priority=119 actions=set_tunnel64:0x123456789abcdef0,output:1
    priority=120 actions=resubmit:2
    priority=121 actions=resubmit(,5)
    priority=122 actions=resubmit(3,5),resubmit(IN_PORT,6)
    priority=123 actions=load:0x5->NXM_NX_REG0[]
    priority=124 actions=load:0x1->NXM_NX_REG3[4..7],load:0->OXM_OF_METADATA[0..15]
    priority=125 actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],IN_PORT
    priority=126 actions=move:NXM_NX_REG0[0..15]->NXM_NX_REG1[16..31]
    priority=127 actions=push:NXM_NX_REG0[],pop:NXM_NX_REG1[]
    priority=128 actions=push:NXM_NX_REG2[1..5],pop:NXM_OF_VLAN_TCI[0..4]
    priority=129 actions=output:NXM_NX_REG5[0..15]
    priority=130 actions=note:01.02.03.04.05.06
    priority=131 actions=note:de.ad.be.ef.01.02.03.04.05.06.07.08.09.0a
    priority=132 actions=output:1,exit
    priority=133,ip actions=dec_ttl,output:1
    priority=134,ip actions=dec_ttl(1,2,3),output:1
    priority=135,ipv6 actions=dec_ttl,output:1
    priority=136,ip actions=load:0x40->NXM_NX_IP_TTL[],load:2->NXM_NX_IP_ECN[]
    priority=137,tcp actions=load:0x50->NXM_OF_TCP_DST[],1
    priority=138,arp actions=load:0x2->NXM_OF_ARP_OP[],move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],IN_PORT
    priority=139 actions=load:0xa->NXM_NX_TUN_IPV4_DST[],load:7->NXM_NX_PKT_MARK[]
    priority=140,ipv6 actions=set_field:2001:db8::5->ipv6_dst,1
    priority=141,icmp actions=set_field:0->icmp_type,1
    priority=142 actions=set_field:0x5/0xf->reg0,resubmit(,1)
    priority=143 actions=set_field:00:00:00:00:00:05->eth_src,1
    priority=144 actions=set_field:0x7->xreg1,1
    priority=145 actions=set_field:0x1234567890abcdef->metadata,resubmit(,2)
    priority=146,dl_vlan=5 actions=set_field:4102->vlan_vid,set_field:3->vlan_pcp,1
    table=5,priority=1 actions=NORMAL
    table=253,priority=9,in_port=1,dl_src=00:00:00:00:00:01 actions=2
""".strip().splitlines()

# What OpenFlow 1.3 has instructions or actions for and 1.0 has not.
ONLY_13 = """
    priority=200 actions=goto_table:1
    priority=201 actions=write_metadata:0x5,goto_table:2
    priority=202 actions=write_metadata:0x5/0xff,goto_table:253
    priority=203 actions=write_actions(output:1),goto_table:3
    priority=204 actions=clear_actions
    priority=205 actions=output:2,clear_actions,write_actions(set_field:00:00:00:00:00:01->eth_dst,1),goto_table:4
    priority=206 actions=push_vlan:0x8100,set_field:4196->vlan_vid,output:1
    priority=207 actions=push_vlan:0x88a8,output:1
    priority=208,vlan_vid=0x1005 actions=pop_vlan,output:1
    priority=209,vlan_vid=0x1000/0x1000,vlan_pcp=3 actions=pop_vlan,output:1
    priority=210,vlan_vid=0 actions=1
    priority=211,ip,ip_dscp=10 actions=set_field:20->ip_dscp,1
    priority=212,ip actions=mod_nw_ecn:2,mod_nw_ttl:9,1
    priority=213,reset_counts,in_port=2 actions=1
    priority=214,no_packet_counts actions=1
    priority=215,no_byte_counts actions=1
    priority=216,in_port=4 actions=in_port,flood,all,local,normal
    priority=217,dl_type=0x894f actions=1
    priority=218,dl_type=0x894f,nsh_mdtype=1,nsh_spi=0x123,nsh_si=255,nsh_c1=0x5 actions=1
    priority=219,actset_output=1 actions=1
    priority=220,sctp actions=set_field:5->sctp_src,set_field:6->sctp_dst,1
    priority=221 actions=set_field:0x5->tun_id,set_field:1.2.3.4->tun_dst,1
    priority=222,mpls,mpls_label=5 actions=1
    priority=223 actions=set_queue:7,1
""".strip().splitlines()

# Texts that ovs-ofctl sends and a switch must refuse, or that it refuses itself; whichever, with the same words.
REFUSED = """
    dp_hash=1,actions=1
    recirc_id=5,actions=1
    table=254,actions=1
    table=5,actions=goto_table:5
    table=5,actions=goto_table:3
    actions=group:1
    actions=group:4294967040
    actions=meter:1
    actions=meter:1,output:1
    tun_metadata0=1,actions=1
    tun_metadata63=1/1,actions=drop
    actions=set_field:1->tun_metadata0
    actions=move:tun_metadata0->tun_metadata1
    actions=move:NXM_NX_TUN_METADATA5[0..3]->NXM_NX_REG0[0..3]
    ct_state=+trk,ct_nw_src=1.2.3.4,ip,actions=1
    actions=output:65280
    actions=enqueue:CONTROLLER:1
    actions=set_field:1->ct_mark
    actions=mod_nw_src:1.2.3.4
    actions=mod_tp_src:80
    ip,actions=mod_tp_dst:80
    actions=dec_ttl
    ip,actions=set_field:80->tcp_dst
    actions=load:0x5->NXM_OF_IP_SRC[]
    actions=move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[]
    actions=set_field:5->eth_type
    actions=set_field:0x5->in_phy_port
    actions=load:0x1ff->NXM_NX_REG0[0..7]
    actions=load:1->NXM_NX_REG0[31..32]
    actions=push:NXM_NX_NOSUCH[]
    actions=output:NXM_OF_IP_SRC[]
    ip,actions=resubmit(,255),dec_ttl,learn
    tcp_dst=80,actions=1
    arp,nw_ttl=5,actions=1
    nd_target=::1,actions=1
    dl_vlan=5000,actions=1
    vlan_vid=5/1,actions=set_field:1->metadata/5
    in_port=nosuch,actions=1
    actions=write_metadata:1,write_metadata:2
    actions=goto_table:1,output:1
    actions=clear_actions,goto_table:5,write_actions(goto_table:6)
    actions=write_actions(exit)
    actions=push_vlan:0x1234
    mpls,actions=set_field:1->mpls_bos
""".strip().splitlines()
REFUSED = [text.strip() for text in REFUSED]
