"""The OpenFlow channel over the real flow tables, driven by ovs-ofctl (MS.25 to MS.27, MS.50 to MS.54, OF.34)."""

import asyncio
import os
import re
import shutil
import struct
import subprocess

import pytest

from ofproto.controllers import Channel
from tests.ofproto.channel_fakes import FakeBridge
from tests.ofproto.channel_rig import ANY, Client, error_of, msg, nx, stat
from vslib import stream

FlowTables = pytest.importorskip("ofproto.flow_table").FlowTables
SwitchHandle = pytest.importorskip("ofproto.switch").SwitchHandle
needs_tools = pytest.mark.skipif(not shutil.which("ovs-ofctl"), reason="openvswitch-switch is not installed")

# A flow as written, and as ovs-ofctl 3.1 prints it from a real ovs-vswitchd in OpenFlow 1.0 and 1.3.
FLOWS = [
    (
        "priority=100,ip,in_port=1,nw_src=10.0.0.0/8,actions=output:2",
        "priority=100,ip,in_port=1,nw_src=10.0.0.0/8 actions=output:2",
        None,
    ),
    (
        "idle_timeout=60,priority=90,tcp,tp_dst=80,actions=mod_nw_dst:10.1.1.1,mod_tp_dst:8080,output:2",
        "idle_timeout=60, priority=90,tcp,tp_dst=80 actions=mod_nw_dst:10.1.1.1,mod_tp_dst:8080,output:2",
        "idle_timeout=60, priority=90,tcp,tp_dst=80 "
        "actions=set_field:10.1.1.1->ip_dst,set_field:8080->tcp_dst,output:2",
    ),
    ("priority=80,arp,actions=NORMAL", "priority=80,arp actions=NORMAL", None),
    (
        "priority=70,ipv6,ipv6_dst=2001:db8::/32,actions=resubmit(,5)",
        "priority=70,ipv6,ipv6_dst=2001:db8::/32 actions=resubmit(,5)",
        None,
    ),
    (
        "priority=60,dl_vlan=10,actions=strip_vlan,CONTROLLER:128",
        "priority=60,dl_vlan=10 actions=strip_vlan,CONTROLLER:128",
        "priority=60,dl_vlan=10 actions=pop_vlan,CONTROLLER:128",
    ),
    (
        "hard_timeout=100,send_flow_rem,priority=40,udp,actions=set_tunnel:7,FLOOD",
        "hard_timeout=100, priority=40,udp actions=set_tunnel:0x7,FLOOD",
        "hard_timeout=100, send_flow_rem priority=40,udp actions=set_field:0x7->tun_id,FLOOD",
    ),
    ("priority=0,actions=drop", "priority=0 actions=drop", None),
]


VARIES = re.compile(r"cookie=\S+, duration=\S+, table=\d+, n_packets=0, n_bytes=0, |idle_age=\d+, ")


class Bridge(FakeBridge):
    """The fake bridge with real tables."""

    def __post_init__(self):
        super().__post_init__()
        self.switch = SwitchHandle()
        self.handle = self.switch.add_bridge(self.name, bytes.fromhex("aa55aa550001"))
        self.flows = FlowTables(self.handle)

    async def barrier(self):
        pass


def live(tmp_path, monkeypatch, use):
    monkeypatch.setenv("OVS_RUNDIR", str(tmp_path))

    async def main():
        bridge = Bridge()
        channel = Channel(bridge)
        bridge.flow_removed_ready = channel.send_flow_removed
        await channel.listen()
        try:
            await use(bridge, channel)
        finally:
            await channel.close()

    asyncio.run(main())


async def ofctl(*args, expect=0):
    process = await asyncio.create_subprocess_exec(
        "ovs-ofctl", *args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ)
    )
    out, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == expect, err.decode()
    return out.decode() + err.decode()


def flows_of(text):
    return sorted(VARIES.sub("", line.strip()) for line in text.splitlines()[1:])


@needs_tools
@pytest.mark.parametrize("version", ["OpenFlow10", "OpenFlow13"])
def test_flows_come_back_as_ovs_ofctl_wrote_them(tmp_path, monkeypatch, version):  # MS.50, MS.51
    shown = sorted(in_13 if in_13 and version == "OpenFlow13" else in_10 for _, in_10, in_13 in FLOWS)

    async def use(bridge, channel):
        file = tmp_path / "flows"
        file.write_text("\n".join(row[0] for row in FLOWS))
        await ofctl("-O", version, "add-flows", "br0", str(file))
        await ofctl("-O", version, "add-flow", "br0", "table=5,priority=1,reg1=0x5/0xf,actions=IN_PORT")
        main = await ofctl("-O", version, "dump-flows", "br0", "table=0")
        assert flows_of(main) == shown
        assert flows_of(await ofctl("-O", version, "dump-flows", "br0", "table=5")) == [
            "priority=1,reg1=0x5/0xf actions=IN_PORT"
        ]
        assert "flow_count=8" in await ofctl("-O", version, "dump-aggregate", "br0")
        assert "active=7" in await ofctl("-O", version, "dump-tables", "br0")
        await ofctl("-O", version, "--strict", "mod-flows", "br0", "priority=80,arp,actions=LOCAL")
        await ofctl("-O", version, "del-flows", "br0", "ip")
        left = flows_of(await ofctl("-O", version, "dump-flows", "br0", "table=0"))
        assert "priority=80,arp actions=LOCAL" in left and len(left) == 4

    live(tmp_path, monkeypatch, use)


@needs_tools
def test_a_removed_flow_is_reported_to_those_who_monitor(tmp_path, monkeypatch):  # MS.15, MS.16, OF.06
    async def use(bridge, channel):
        client = Client(await stream.connect(f"unix:{channel.mgmt_path}"))
        await client.hello(4)
        client.send(msg(4, 9, struct.pack("!HH", 0, 100)))
        await ofctl("add-flow", "br0", "cookie=0x99,send_flow_rem,priority=5,actions=drop")
        await ofctl("add-flow", "br0", "priority=6,actions=drop")
        await ofctl("del-flows", "br0")
        (removed,) = await client.all_until_barrier(4)
        assert removed[1] == 11 and struct.unpack("!QHB", removed[8:19]) == (0x99, 5, 2)

    live(tmp_path, monkeypatch, use)


def test_bad_flow_mods_in_a_run_get_their_own_errors(tmp_path, monkeypatch):  # OF.35
    def flow(xid, buffer_id=ANY, table=0, oxm=b""):
        match = struct.pack("!HH", 1, 4 + len(oxm)) + oxm
        head = struct.pack("!QQBBHHHIIIH2x", 0, 0, table, 0, 0, 0, 5, buffer_id, ANY, ANY, 0)
        return msg(4, 14, head + match + bytes(-len(match) % 8), xid)

    async def use(bridge, channel):
        client = Client(await stream.connect(f"unix:{channel.mgmt_path}"))
        await client.hello(4)
        port = bytes.fromhex("80001c020050")  # tcp_dst without ip_proto
        client.send(flow(1) + flow(2, oxm=port) + flow(3, table=1) + flow(4, buffer_id=3) + flow(5, table=254))
        answers = [error_of(answer)[:3] for answer in await client.all_until_barrier(4)]
        assert answers[:2] == [(4, 9, 2), (1, 8, 4)] and answers[2][2] == 5 and len(answers) == 3
        reply = await client.ask(stat(4, 3))
        assert struct.unpack("!I", reply[20:24]) == (1,) and struct.unpack("!I", reply[44:48]) == (1,)

    live(tmp_path, monkeypatch, use)


def test_packet_outs_and_packet_ins_go_through_the_compiled_codec(tmp_path, monkeypatch):  # MS.12, MS.22, MS.23
    async def use(bridge, channel):
        client = Client(await stream.connect(f"unix:{channel.mgmt_path}"))
        await client.hello(4)
        output = struct.pack("!HHIH6x", 0, 16, 2, 0)
        client.send(msg(4, 13, struct.pack("!IIH6x", ANY, 0xFFFFFFFD, 16) + output + b"frame"))
        assert await client.all_until_barrier(4) == []
        kind, frame, in_port, ofacts = next(call for call in bridge.calls if call[0] == "packet_out")
        assert (frame, in_port) == (b"frame", 0xFFFFFFFD) and len(ofacts) % 8 == 0 and ofacts
        bad = struct.pack("!HHIH6x", 77, 16, 2, 0)
        answer = await client.ask(msg(4, 13, struct.pack("!IIH6x", ANY, 1, 16) + bad))
        assert error_of(answer)[:2] == (2, 0)

    live(tmp_path, monkeypatch, use)


@needs_tools
def test_the_table_may_be_named_in_the_command_of_a_nicira_flow_mod(tmp_path, monkeypatch):  # MS.73
    async def use(bridge, channel):
        client = Client(await stream.connect(f"unix:{channel.mgmt_path}"))
        await client.hello(1)
        flow = struct.pack("!QHHHHIHHH6x", 0, 7 << 8, 0, 0, 5, ANY, 0xFFFF, 0, 0)
        client.send(nx(1, 15, b"\1" + bytes(7)) + nx(1, 13, flow))
        assert await client.all_until_barrier(1) == []
        assert [row[0] for row in bridge.flows.table_stats() if row[1]] == [7]

    live(tmp_path, monkeypatch, use)
