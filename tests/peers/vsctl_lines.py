"""Command lines of ovs-vsctl, good and bad, run in this order against an empty database: one story for both programs.

Each line is split as a shell does; one that ends in a backslash goes on. What it leaves in the database is what the
next one meets.
"""

from __future__ import annotations

import shlex

# fmt: off
LINES = r'''
show
list Open_vSwitch
init
list Open
add-br br0
show
list-br
--may-exist add-br br0
add-br ""
add-br a b
add-br v10 br0 10
add-br v11 br0 10
add-br v12 br0 9999
add-br v12 br0 x
add-br v12 nobr 3
add-br v12 v10 3
--may-exist add-br v10
--may-exist add-br br0 br0 10
--may-exist add-br v10 br0 11
--may-exist add-br v10 brx 10
list-br
--real list-br
--fake list-br
--real --fake list-br
br-exists br0
br-exists brx
br-to-vlan v10
br-to-vlan br0
br-to-parent v10
br-to-parent br0
br-to-parent brx
add-port br0 p1
add-port br0 p2 tag=10
add-port v10 p3
add-port v10 p4 tag=5
list-ports br0
list-ports v10
list-ifaces br0
port-to-br p2
port-to-br v10
port-to-br br0
port-to-br zz
iface-to-br zz
--may-exist add-port br0 p1
--may-exist add-port v10 p1
--may-exist add-port br0 p1 tag=3
add-port br0 p9 tag=5000
add-port br0 p9 nosuch=1
add-port br0 br0
add-bond br0 b0 i1
add-bond br0 b0 i1 i2
--may-exist add-bond br0 b0 i1 i2
--may-exist add-bond br0 b0 i1 i3
--may-exist add-bond br0 b0 i2 i1 lacp=active
--fake-iface add-bond br0 b1 i4 i5 lacp=active tag=4
add-bond-iface b0 i3
--may-exist add-bond-iface b0 i3
--may-exist add-bond-iface b1 i3
del-bond-iface b0 i4
del-bond-iface i3
--if-exists del-bond-iface b0 zz
del-bond-iface b0 zz
del-bond-iface p1 p1
del-bond-iface p1
list-ifaces br0
del-port br0
del-port br0 br0
del-port v10 p1
del-port br0 p3
--if-exists del-port zz
del-port zz
del-port i1
--with-iface del-port i1
--if-exists --with-iface del-port i1
del-port v10
--if-exists del-port v10
show
del-br brx
--if-exists del-br brx
del-br v10
list-ports br0
add-br br1 -- add-port br1 q1 -- set port q1 tag=3 -- list-ports br1 -- get port q1 tag name
add-port br1 q2 -- add-port br1 q1
list-ports br1
br-set-external-id br0 k v
br-set-external-id br0 k2 "v 2"
br-get-external-id br0
br-get-external-id br0 k
br-get-external-id br0 nokey
br-set-external-id br0 k
add-br v20 br0 20
br-set-external-id v20 k v
br-set-external-id v20 k3 v3
br-get-external-id v20
br-get-external-id v20 k
get port v20 external_ids
br-get-external-id zz
get-controller br0
set-controller br0 tcp:1.2.3.4:6653 tcp:5.6.7.8
get-controller v20
set-controller br0 foo
set-controller br0 tcp:1.2.3.4 tcp:1.2.3.4
--inactivity-probe=3000 set-controller br0 tcp:1.1.1.1:1
list controller
del-controller br0
del-controller zz
del-controller v20
set-controller v20 tcp:1.1.1.1
get-fail-mode br0
set-fail-mode br0 foo
set-fail-mode br0 secure
get-fail-mode v20
set-fail-mode v20 secure
del-fail-mode br0
get-manager
set-manager ptcp:6640 ssl:1.1.1.1 zz
set-manager ptcp:6640 ssl:1.1.1.1
--inactivity-probe=5000 set-manager ptcp:6641
list manager
show
del-manager
get-ssl
set-ssl a b c
--bootstrap set-ssl /a /b /c
show
del-ssl
set-ssl a b
add-aa-mapping br0 100 1
add-aa-mapping br0 101 2
get-aa-mapping br0
del-aa-mapping br0 100 1
del-aa-mapping br0 555 1
add-aa-mapping br0 x y
add-aa-mapping zz 1 1
add-aa-mapping br0 1
list autoattach
add-zone-tp system zone=1 icmp_first=30 icmp_reply=60
list-zone-tp system
-- --id=@d create Datapath datapath_version=x -- set Open_vSwitch . datapaths:system=@d
--may-exist add-zone-tp system zone=1 icmp_first=30 icmp_reply=60
add-zone-tp system zone=2 nosuch=3
add-zone-tp system zone=3
add-zone-tp system zone=9 udp_first=1 udp_single=2
list-zone-tp system
list-zone-tp nosuch
del-zone-tp system zone=1
--if-exists del-zone-tp system zone=1
del-zone-tp nosuch zone=1
list-zone-tp system
list-dp-cap system
list-dp-cap nosuch
set datapath . capabilities:a=b
find datapath
emer-reset
show
foo
--foo list-br
--may-exist list-br
--may-exist=1 add-br x
--inactivity-probe set-controller br0 tcp:1
--if-exists --if-exists del-br x
list-ports
list-ports a b c
list-ports a b --c
--
-- --
list-br --
-- list-br
list-br -- list-br
--timeout=x list-br
--timeout=-1 list-br
--timeout
-t 5 list-br
-t0 list-br
--format=foo list br
--data=foo list br
--no-wait=3 list-br
--db=unix:/nonexistent list-br
--db=tcp:127.0.0.1:1 list-br
--db=foo list-br
--db=foo:bar list-br
--columns=name list-br
--dry-run add-br dry -- list-br
list-br
--bare list-br
comment hello world
comment
list-br -- --if-exists --if-exists del-br x
list-br -- --if-exists=3 del-br x
list-br -- --columns list br
list-br -- --foo list br
list-br -- -x list br
list-br -- --if-exists
--id=@x --id=@y get br br0
list NoSuch
list b
list Bri br0 brx
--if-exists list Bri br0 brx
--columns=name list Bri
--columns=name,uuid list Bri
--columns=_uuid list Bri br1
--columns=na list Bri
--columns= list Bri
--columns=nosuch list Bri
--columns=f list Bri
--columns=name -f table list Bri
--columns=name,ports,external-ids -f table list Bri br0
--columns=name,external-ids,tag -f csv list port
--columns=name,external-ids,tag -f html list port
--columns=name,external-ids,tag --bare list port
--columns=name,external-ids,tag -d json list port
--columns=name,external-ids,tag -f table --no-headings list port
--columns=name,external-ids,tag -f list --no-headings list port
--columns=name,external-ids,tag -f table --max-column-width=5 list port
--columns=name -f table list Bri -- --columns=name list Port br0
--columns=name list Bri -- list-br -- --columns=name list Port br0
--columns=name find Bri name=nosuch
-f table --columns=name find Bri name=nosuch
--columns=name find Bri name=br0
--columns=name find Bri name!=br0
--columns=name find port tag=20
--columns=name find port "tag>4"
--columns=name find port tag!=20
--columns=name find port "tag=[]"
--columns=name find port external_ids:fake-bridge-k=v
--columns=name find port external_ids:fake-bridge-k!=x
--columns=name find port "external_ids:fake-bridge-k{!=}x"
--columns=name find port "external_ids{>=}{fake-bridge-k=v}"
--columns=name find port "tag{<=}1,2,5"
--columns=name find port "tag{in}1,2,5"
--columns=name find port "tag{not-in}1,2,5"
--columns=name find port "tag{<}5,20"
--columns=name find port "tag{=}5"
--columns=name find port tag
--columns=name find port tag~3
--columns=name find port tag=
--columns=name find port =3
--columns=name find port tag:k=3
--columns=name find port tag=abc
--columns=name find port name=5
--columns=name find port 'name=a b'
--columns=name find port name=br0 tag=[]
get br br0 name
get br br0
get br br0 na
get br br0 _uuid name
get br br0 nosuch
get br br0 external_ids
get br br0 external_ids:k2
get br br0 external_ids:nokey
--if-exists get br br0 external_ids:nokey
get br br0 name:foo
get br brx name
--if-exists get br brx name
get br br0 name=3
get br br0 "external_ids:"
get br br0 'external_ids:"k2"'
get br br0 'external_ids:"k2'
get br br0 'external_ids:k2 x'
get Open . bridges
get Open x bridges
get ssl . private_key
get controller br0 target
get interface br0 type
get interface br0 error
get sFlow br0 sampling
--id=@a get br br0 name
--id=a get br br0 name
--id=@a --if-exists get br br0 name
set br br0 name=foo
set br br0 fail_mode=foo
set br br0 fail_mode=secure
set br br0 fail_mode=[]
set br br0 fail_mode=
set br br0 fail_mode={}
set br br0 external_ids={}
set br br0 external_ids=[]
set br br0 external_ids=a=b,c=d
set br br0 external_ids:e=f external-ids:g='"x y"'
get br br0 external_ids
set br br0 external_ids:e=
set br br0 'external_ids:e=""'
set br br0 external_ids={a=b}
set br br0 external_ids={a=b,a=c}
set br br0 external_ids=a
set br br0 external_ids=a:b
set br br0 external_ids=a=b=c
set br br0 name:k=3
set br br0 flood_vlans=1,2,3
set br br0 flood_vlans=1,2,2
set br br0 flood_vlans=1-4
set br br0 flood_vlans=4-1
set br br0 flood_vlans=1-9999
set br br0 flood_vlans=1-4,3
get br br0 flood_vlans
set br br0 flood_vlans=[1 2 5]
set br br0 flood_vlans=[1,2
set br br0 flood_vlans=1,2]
set br br0 flood_vlans=[1,2]x
set br br0 flood_vlans=1,,2
set br br0 flood_vlans=,1
set br br0 flood_vlans=1,
set br br0 flood_vlans=99999
set br br0 flood_vlans=-1
set br br0 flood_vlans=1.5
set br br0 stp_enable=true
set br br0 stp_enable=yes
set br br0 stp_enable=[true,false]
set br br0 datapath_id=[1,2]
set br br0 datapath_id="1,2"
set br br0 datapath_type=a=b
set br br0 datapath_type='"a=b"'
set br br0 datapath_type='"a'
set br br0 datapath_type='"a"b'
set br br0 datapath_type='"a\'
set br br0 datapath_type='"a\q"'
set br br0 datapath_type='"\u00e9"'
set br br0 datapath_type=é
get br br0 datapath_type
set br br0 'datapath_type=""'
set br br0 ports=foo
set br br0 ports=@foo
set br br0 controller=00000000-0000-0000-0000-000000000000
set br brx name=3
--if-exists set br brx name=3
set br br0
set br br0 foo
set br br0 datapath_type
set br br0 datapath_type:
set br br0 :
set br br0 external_ids:a
set br br0 external_ids:=a
add br br0 flood_vlans 7 8
add br br0 flood_vlans 7
add br br0 flood_vlans 4-6
get br br0 flood_vlans
add br br0 external_ids a=b
add br br0 external_ids a=c d=e
get br br0 external_ids
add br br0 external_ids a
add br br0 external_ids:a b
add br br0 stp_enable false
add br br0 stp_enable true
add br br0 name x
remove br br0 flood_vlans 7 999999
remove br br0 flood_vlans 7 99
remove br br0 flood_vlans 4-5
remove br br0 flood_vlans [6,8]
get br br0 flood_vlans
remove br br0 external_ids a
remove br br0 external_ids d=x
remove br br0 external_ids d=e
get br br0 external_ids
remove br br0 stp_enable true
remove br br0 stp_enable false
remove br br0 name br0
clear br br0 flood_vlans external_ids
clear br br0 name
clear br br0 stp_enable
clear br brx flood_vlans
--if-exists clear br brx flood_vlans
clear br br0 nosuch
create br name=foo
create qos type=linux-htb other_config:max-rate=10
--id=@q create qos type=a
--id=@q create qos type=a -- set port p1 qos=@q
get port p1 qos
list qos
--id=q create qos type=a
--id=@q create qos type=a -- --id=@q create qos type=b
--id=11111111-2222-3333-4444-555555555555 create qos type=uu
get qos 1111 type
get qos 111 type
get qos 11111111-2222-3333-4444-555555555555 type
get qos 11111111-2222-3333-4444-55555555555 type
destroy qos 11111111-2222-3333-4444-555555555555
set port p1 qos=@none
create qos
create qos foo=1
create nosuch foo=1
create qos type=
--id=@m create mirror name=m select_all=true -- add br br0 mirrors @m
--id=@m create mirror name=m2 -- --id=@p get port p1 -- set mirror @m select_src_port=@p -- add br br0 mirrors @m
--id=@p get port p1 -- --id=@m create mirror name=m3 select_src_port=@p -- add br br0 mirrors @m
set bridge br0 mirrors=@m -- --id=@m create mirror name=m4
set bridge br0 mirrors=@m -- --id=@m get mirror m4
get mirror m4 name
--id=@m create mirror name=w
-- --id=@p create port name=wp interfaces=@i -- --id=@i create interface name=wi
-- --id=@p create port name=wp interfaces=@i -- --id=@i create interface name=wi -- add bridge br0 ports @p
list-ports br0
destroy br br0
destroy br brx
destroy br
--all destroy br br0
--all --if-exists destroy br
--if-exists destroy br brx
--all destroy qos
destroy port wp
list-ports br0
destroy mirror m4
find mirror
--all destroy mirror
wait-until br br0
wait-until br br0 name=br0
wait-until br br0 external_ids:x
wait-until nosuch x
get br . name
list br .
get port 1 name
list queue x
list ssl .
list ssl
list ipfix br0
set netflow br0 active_timeout=1
-- --id=@n create netflow targets='"1.2.3.4:5"' -- set bridge br0 netflow=@n -- list netflow @n
get netflow br0 targets
get netflow br0 active_timeout
get flow_table x name
set Open_vSwitch . other_config:a=1 -- get Open_vSwitch . other_config:a
set Open_vSwitch . cur_cfg=99999999999999999999
set Open_vSwitch . cur_cfg=0x10
set Open_vSwitch . cur_cfg=010
set Open_vSwitch . cur_cfg=+5
set Open_vSwitch . next_cfg=5
get Open_vSwitch . next_cfg
set interface p1 statistics:a=5
add-port br0 nn -- set interface nn type=dummy -- get interface nn _uuid -- list interface nn
get interface nn _uuid name -- --bare list interface nn
create qos queues:1=@q -- --id=@q create queue other_config:a=b
-- --id=@c create CT_Timeout_Policy timeouts:nosuch=3
set interface p1 lldp:enable=true
set interface p1 mtu_request=68000000000
set interface p1 mtu_request=-1
set interface p1 ofport_request=70000
set interface p1 'mac="aa"'
set interface p1 'mac=aa:bb:cc:dd:ee:ff'
set interface p1 mac=\"aa:bb:cc:dd:ee:ff\"
get interface p1 mac
set interface p1 ingress_policing_rate=-1
set interface p1 ofport=3
set interface p1 external_ids:iface-id=1234
set interface p1 external_ids:iface-id=12:34
set interface p1 'external_ids:iface-id="12:34"'
get interface p1 external_ids
set interface p1 external_ids:a=true external_ids:b=11111111-2222-3333-4444-555555555555 external_ids:c=x.y-z_
get interface p1 external_ids
get interface p1 external_ids:a external_ids:iface-id
add br br0 ports 00000000-0000-0000-0000-000000000001
set Open_vSwitch . external_ids:system-id='a/b'
set Open_vSwitch . statistics:x=1.5
--columns=name -f csv list Bri -- --columns=name list Port br0
--columns=name -f html list Bri -- --columns=name list Port br0
--columns=_uuid,auto_attach,ports -f html list Bri br0
--columns=_uuid,auto_attach,ports -f csv list Bri br0
--columns=_uuid,auto_attach,ports -d bare list Bri br0
--columns=_uuid,name -d json -f table list Bri br0
--columns=name,external_ids -d json -f csv list Bri br0
-f html --no-headings --columns=name list Bri br0
-f csv --no-headings --columns=name list Bri br0
-f json --no-headings --columns=name list Bri br0
--no list-br
--f list-br
--i get br br0 name
--co=name list br br0
-vfoo list-br
-vdbg:foo list-br
-voff list-br
-- --if-exists get br br0 external_ids:zz
create qos type=a queues={0=1}
get open . nosuch
get o . ovs_version
get open_vswitch . Ovs-Version
list c
list i
list int br0 -- -f json list br
get interface p1 statistics
set open . db_version=x
get open . db_version
get bridge br0 flow_tables
set bridge br0 flow_tables:0=@f -- --id=@f create Flow_Table name=t0
get bridge br0 flow_tables:0
get bridge br0 flow_tables:x
get flow_t t0 name
set bridge br0 flow_tables:300=@f -- --id=@f create Flow_Table name=t0
set flow_table t0 flow_limit=-1
set qos zz type=1
--id=@x get port br0 -- get port @x name
show extra
init extra
-- --id=@ssl create SSL private_key=a certificate=b ca_cert=c -- set open . ssl=@ssl
get ssl . bootstrap_ca_cert
-- add-br brz -- set bridge brz other_config:hwaddr=\"aa:bb:cc:dd:ee:01\" other_config:x=y fail_mode=secure -- set \
    port brz other_config:a=b -- set interface brz ingress_policing_rate=5 other_config:q=r external_ids:keep=1 -- \
    set open . other_config:z=1
-- set-controller brz tcp:1.2.3.4 -- set-manager ptcp:1 -- --id=@m create mirror name=m0 -- set bridge brz mirrors=@m
-- --id=@n create netflow targets=\"1.1.1.1:1\" -- set bridge brz netflow=@n -- --id=@s create sflow \
    targets=\"1.1.1.1:1\" sampling=4 agent=eth0 -- set bridge brz sflow=@s
list bridge brz
--columns=other_config list port brz
--columns=other_config,ingress_policing_rate,external_ids list interface brz
get open . other_config manager_options
get br brz name -- set br brz fail_mode=secure -- get br brz fail_mode -- add br brz flood_vlans 5 -- get br brz \
    flood_vlans
list-ports brz -- add-port brz zz1 -- list-ports brz -- del-port zz1 -- list-ports brz
del-br brz -- list-br -- add-br brz -- list-br
add-br brz -- add-br brz
add-br nbr -- br-exists nbr
br-exists nope -- add-br fff
list-br
add-port br0 ""
add-bond br0 bb "" x
del-br br0 -- add-port br0 p5
-z list-br
-t
-f json --columns=name,ports list bridge br1 -- --columns=name -f json
--oneline list-br -- list-br -- get bridge br1 name -- comment x
-f json --columns=name,external_ids,tag list port br1
-f json --pretty --columns=name,external_ids,tag list port br1
--columns=_uuid,interfaces -f html list port br1
-- -f json list-br
list
set bridge br1
get bridge
find
wait-until bridge
destroy
create
clear bridge br1
--if-exists --columns=name list bridge nope
add-port br1 tun0 -- set interface tun0 type=gre options:remote_ip=192.0.2.1 options:key=flow
get interface tun0 options
remove interface tun0 options key
get interface tun0 options:key
--if-exists get interface tun0 options:key
add interface tun0 options key=5 csum=true -- get interface tun0 options
set interface tun0 options={} -- get interface tun0 options
set port tun0 trunks=1,2,3 vlan_mode=native-tagged tag=5 -- get port tun0 trunks vlan_mode tag
set port tun0 vlan_mode=foo
set port tun0 trunks=5000
set port tun0 lacp=sometimes
set port tun0 bond_mode=nope
set bridge br1 protocols=OpenFlow99
set bridge br1 protocols=[] -- get bridge br1 protocols
remove port tun0 trunks 1 2 -- get port tun0 trunks
clear port tun0 trunks tag vlan_mode -- get port tun0 trunks tag vlan_mode
--columns=name find interface type=gre
--columns=name find interface type!=gre name=tun0
--columns=name find interface 'options{=}{}' name=tun0
--columns=name find bridge 'ports{>=}[]' name=br1
--columns=name find port 'trunks{>}[]'
--columns=name find bridge 'flood_vlans{not-in}1,2' name=br1
--columns=name find bridge 'flood_vlans<=1,2' name=br1
find bridge stp_enable=maybe
find port interfaces=5
--id=@q create qos type=linux-htb other_config:max-rate=1000000 queues:0=@a queues:1=@b -- --id=@a create queue \
    other_config:min-rate=5 -- --id=@b create queue other_config:max-rate=7 -- set port tun0 qos=@q
--columns=type list qos tun0
destroy qos tun0
clear port tun0 qos -- --all destroy qos -- --all destroy queue
find queue
-- --id=@c create controller target=\"tcp:127.0.0.1:6633\" max_backoff=1000 -- set bridge br1 controller=[@c] \
    fail_mode=secure
--columns=target,max_backoff list controller br1
get-controller br1
set controller br1 max_backoff=5
set controller br1 connection_mode=sideways
get interface tun0 mac_in_use ofport error
set interface tun0 ofport_request=0
set interface tun0 type=
set interface tun0 type=\"\" -- get interface tun0 type
set interface nope type=internal
set interface tun0 external_ids:\"a:b\"=\"c=d\" -- get interface tun0 external_ids
del-port br1 tun0 -- add-port br1 tun0 tag=7 -- get port tun0 tag
del-port nobr tun0
add-port br1 tun0 -- add-port br1 other
--may-exist add-port br1 tun0 -- set interface tun0 type=internal
list-ports br1
port-to-br tun0
iface-to-br tun0
del-br br1 -- add-br br1 -- list-ports br1
show
emer-reset -- --if-exists del-br br0 -- --if-exists del-br br1 -- --if-exists del-br brz -- --if-exists del-br nbr
list-br
--all destroy queue
--all destroy qos
add-br br0 -- add-br f1 br0 5 -- add-port br0 p1 -- add-bond br0 b0 i1 i2
del-br br0 -- show
add-br br0 -- add-br f1 br0 5 -- add-port f1 p1 -- list-ports f1 -- list-ports br0 -- get port p1 tag -- br-to-vlan f1
set port p1 tag=[] -- list-ports br0
set port f1 fake_bridge=false -- list-br -- list-ports br0
set port f1 fake_bridge=true tag=6 -- list-br -- br-to-vlan f1
del-port p1 -- add-port br0 p1 -- add-bond-iface p1 p1b -- list-ifaces br0
del-bond-iface p1b -- add-bond-iface p1 p1b -- list-ifaces br0
add-port br0 q tag=4 -- set port q tag=5 -- get port q tag -- clear port q tag -- get port q tag
set bridge br0 other_config:a=1 other_config:b=2 -- remove bridge br0 other_config a -- get bridge br0 other_config
set bridge br0 other_config={} -- add bridge br0 other_config c=3 -- get bridge br0 other_config -- remove bridge \
    br0 other_config c=4 -- get bridge br0 other_config
remove bridge br0 other_config c -- get bridge br0 other_config
br-set-external-id br0 a b -- br-get-external-id br0 -- br-set-external-id br0 a -- br-get-external-id br0
br-set-external-id f1 a b -- br-get-external-id f1 -- get port f1 external_ids
br-set-external-id f1 a -- br-get-external-id f1 -- get port f1 external_ids
set-controller br0 tcp:1.1.1.1 -- get-controller br0 -- del-controller br0 -- get-controller br0
set-manager ptcp:1 -- get-manager -- set-manager ptcp:2 -- get-manager -- del-manager -- get-manager
set-ssl a b c -- get-ssl -- del-ssl -- get-ssl
set-fail-mode br0 secure -- get-fail-mode br0 -- del-fail-mode br0 -- get-fail-mode br0
add-aa-mapping br0 1 2 -- get-aa-mapping br0 -- del-aa-mapping br0 1 2 -- get-aa-mapping br0
add-aa-mapping br0 99999999 2
add-aa-mapping br0 5 5000
get-aa-mapping br0
--inactivity-probe=-1 set-controller br0 tcp:1.1.1.1
get controller br0 inactivity_probe
set-fail-mode nobr secure
get-fail-mode nobr
get-controller nobr
list-ports nobr
list-ifaces nobr
br-to-vlan nobr
add-bond nobr b i j
add-bond br0 b9 i j -- del-port i
--with-iface del-port br0 i -- list-ports br0
--if-exists del-port br0 nope
--if-exists del-port nobr nope
--if-exists del-port nobr p1
--if-exists --with-iface del-port br0 nope
del-port nobr nope
--if-exists del-bond-iface nobond p1
del-bond-iface nobond p1
add-bond-iface nobond x
add-bond-iface b0 br0
add-bond-iface p1 q
--may-exist add-bond-iface p1 q
--may-exist add-port br0 f1
--may-exist add-port br0 br0
--may-exist add-br p1
add-br p1b
add-br n1 br0 6
add-br n1 br0 -1
add-br n1 br0 4096
add-br n1 br0 4095 -- br-to-vlan n1 -- br-to-parent n1
--may-exist add-br n1 br0 4095
del-br n1 -- list-br
list bridge 0
list bridge 00000000-0000-0000-0000-000000000000
get interface i9 name
list interface p1 q -- get interface q name
find interface name=p1 name=q
--columns=name find interface name{in}p1
--columns=name find interface 'name!=q' 'name!=p1' 'name!=br0' 'name!=f1'
--columns=name find interface mtu=[]
--columns=name find interface 'ofport<5'
--columns=name find interface 'statistics:rx_bytes>5'
--columns=name find interface 'statistics:rx_bytes{=}5'
--columns=name find interface 'options:peer=x'
--columns=name find interface 'options=x=y'
--columns=name find interface 'lacp_current=true'
--columns=name find interface 'lacp_current=perhaps'
--columns=name find port 'interfaces=@x'
--columns=name find nosuch a=b
--columns=nope find port
--columns=name,name list port q
--columns=NAME list port q
--columns=" name , tag " list port q
get port q "name" ta
get port q 'na"me"'
get port q '"name"'
set port q '"tag"=5'
set port q tag=5 tag=6 -- get port q tag
set port q tag=@x
set port q interfaces=[]
set port q interfaces=@i -- --id=@i create interface name=q -- get port q name
set port q external_ids=a=b,c=d external_ids:e=f -- get port q external_ids
set port q external_ids='{"a b"=c, d="e, f"}' -- get port q external_ids
set port q external_ids="{a=b c=d}" -- get port q external_ids
set port q external_ids="{a = b , c= d}" -- get port q external_ids
set port q external_ids="{a=b,,c=d}"
set port q external_ids="{a=b"
set port q external_ids="a=b}"
set port q external_ids="{a=b}}"
set port q external_ids=a=
set port q external_ids==b
set port q external_ids=a=b,a=c
set port q trunks=[1,2,3] -- get port q trunks -- set port q trunks=[] -- get port q trunks
set port q trunks={1,2}
set port q trunks="1 2 3" -- get port q trunks
set port q trunks=1-3,5-6 -- get port q trunks
set port q trunks=3-3 -- get port q trunks
set port q trunks=0-5000
set port q trunks=1-
set port q trunks=-
set port q trunks=a-b
set port q "statistics:x=1" -- get port q statistics
set port q "statistics=x=1,y=two"
set sflow x sampling=1
set open_vswitch . statistics:cpu=2 -- get open_vswitch . statistics
set interface q cfm_mpid=5 -- get interface q cfm_mpid -- clear interface q cfm_mpid -- get interface q cfm_mpid
set interface q options:key=\"1\" options:remote_ip=1.2.3.4 -- get interface q options
set interface q options:remote_ip=fe80::1
set interface q options:remote_ip=\"fe80::1\" -- get interface q options
set interface q type=tap -- get interface q type
set interface q admin_state=up
set interface q admin_state=sideways
set interface q link_speed=1e6
set interface q mtu_request=1500 -- get interface q mtu_request -- set interface q mtu_request=[] -- get interface \
    q mtu_request
create interface name=zz -- add-br zz
--id=@z create interface name=zz2 -- add-port br0 zz2
--id=11111111-2222-3333-4444-555555555555 create queue dscp=5 -- get queue 11111111-2222-3333-4444-555555555555 dscp
get queue 1111 dscp
get queue 1111-2222 dscp
destroy queue 1111
--id=@a create queue dscp=64
--id=@a create queue dscp=6 other_config:x=y -- set queue @a dscp=5
create queue _uuid=5
create queue dscp=5 -- --all destroy queue
create queue dscp=1 -- create queue dscp=2 -- --columns=dscp list queue
--all destroy queue -- list queue
--if-exists --all destroy nosuch
destroy queue 11111111-2222-3333-4444-555555555555
--if-exists destroy queue 11111111-2222-3333-4444-555555555555 x y
clear queue x
clear queue x dscp
clear port q interfaces
clear port q tag trunks nosuch
--if-exists clear port nope nosuch
--if-exists set port nope nosuch=1
--if-exists add port nope trunks x
--if-exists remove port nope trunks x
--if-exists get port nope nosuch
remove port q trunks x
remove port q external_ids "{a=b}"
remove port q external_ids a,c -- get port q external_ids
remove port q external_ids nope
remove port q external_ids "a b" d -- get port q external_ids
remove port q name q
add port q trunks 9 10 -- get port q trunks -- remove port q trunks 9 10 -- get port q trunks
add port q trunks 5000
add port q trunks []
add port q external_ids {}
add port q tag 3
add port q tag 4
get port q tag
set port q tag=3
wait-until port q tag=3
wait-until port q tag!=4 "external_ids{>=}{}"
wait-until port q tag=x
wait-until port q nosuch=1
get port q tag tag:5
get port q external_ids:
get port q external_ids:a:b
comment a b c -- add-br cm -- comment d
emer-reset -- list-br
init -- init
show -- show
list-br list-br
-- -- list-br -- --
--columns=name -- list bridge
--columns=name list bridge -- --if-exists list bridge nope
--bare --columns=name list bridge br0
--bare --columns=name,ports find bridge name=cm
--format=csv --columns=name,external_ids list port q
-f csv -d json --columns=name,external_ids list port q
--format json --columns=name,external_ids list port q
--no-headings --columns=name -f table list bridge br0
--max-column-width=3 --columns=name,external_ids -f table list port q
--max-column-width=x --columns=name -f table list port q
--oneline get port q name external_ids -- list-ports br0 -- set port q tag=3
--oneline --columns=name list bridge br0
--oneline br-exists br0
'''.strip().replace("\\\n    ", "").split("\n")
# fmt: on


def words(line: str) -> list[str]:
    """Return the arguments that a line stands for."""
    return shlex.split(line)
