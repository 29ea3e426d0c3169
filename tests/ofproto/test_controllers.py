"""OpenFlow sockets: real ovs-ofctl and os-ken, back-off, probes, fail-over, bad peers (CH.01 to CH.10, CH.16)."""

import asyncio
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from ofproto import connection as connection_module
from ofproto import peers
from ofproto.controllers import Channel, ControllerConfig
from tests.ofproto.channel_fakes import FakeBridge, FakePunt
from tests.ofproto.channel_rig import ANY, Client, bound, flow_mod, msg, stat
from vslib import clock, stream
from vslib.clock import CLOCK
from vslib.errors import ConfigError

ROOT = Path(__file__).parent.parent.parent
needs_tools = pytest.mark.skipif(not shutil.which("ovs-ofctl"), reason="openvswitch-switch is not installed")


def live(tmp_path, monkeypatch, use, **options):
    """Run `use(bridge, channel)` with a channel that listens below `tmp_path`, and close it."""
    monkeypatch.setenv("OVS_RUNDIR", str(tmp_path))

    async def main():
        bridge = FakeBridge(**options)
        channel = Channel(bridge, bridge.codec)
        await channel.listen()
        try:
            return await use(bridge, channel)
        finally:
            await channel.close()
            assert channel.connections == []
            assert not os.path.exists(channel.mgmt_path)

    return asyncio.run(main())


async def ofctl(*args):
    """Run the real ovs-ofctl; return its exit status, output and errors."""
    process = await asyncio.create_subprocess_exec(
        "ovs-ofctl", *args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ)
    )
    out, err = await asyncio.wait_for(process.communicate(), 20)
    return process.returncode, out.decode(), err.decode()


async def mgmt_client(channel, version=None):
    client = Client(await stream.connect(f"unix:{channel.mgmt_path}"))
    if version is not None:
        await client.hello(version)
    return client


async def until(condition):
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about")


# -- ovs-ofctl

PORTS = ("1(p1): addr:aa:55:aa:55:00:0f", "2(p2): addr:aa:55:aa:55:00:0e", "LOCAL(br0): addr:aa:55:aa:55:00:01")
OFCTL = [
    ("show", (), ("dpid:00000000000000aa", "n_tables:254, n_buffers:0", "frags=normal miss_send_len=0", *PORTS)),
    (
        "dump-desc",
        (),
        ("Manufacturer: Nicira, Inc.", "Hardware: Open vSwitch", "Software: 3.1.0", "DP Description: None"),
    ),
    ("dump-ports", (), ("3 ports", "port  1: rx pkts=1", "port LOCAL: rx pkts=254", "bytes=99")),
    ("dump-ports", ("2",), ("1 ports", "port  2: rx pkts=2")),
    ("dump-ports-desc", (), (*PORTS, "current:    10GB-FD COPPER", "speed: 10000 Mbps now")),
    ("dump-flows", (), ("reply",)),
    ("dump-aggregate", (), ("packet_count=7 byte_count=420 flow_count=3",)),
    ("dump-tables", (), ("table 0:", "active=0, lookup=0, matched=0", "tables 1...253: ditto")),
    ("queue-stats", (), ("0 queues",)),
    ("get-frags", (), ("normal",)),
    ("ping", ("100",), ("100 bytes from br0",)),
    ("probe", (), ()),
    ("del-flows", (), ()),
    ("add-flow", ("actions=drop",), ()),
    ("mod-port", ("p1", "no-forward"), ()),
    ("set-frags", ("drop",), ()),
]


@needs_tools
@pytest.mark.parametrize("version", ["OpenFlow10", "OpenFlow13"])
def test_real_ovs_ofctl_understands_every_answer(tmp_path, monkeypatch, version):  # CH.01, MS.05 to MS.69
    async def use(bridge, channel):
        for command, args, expected in OFCTL:
            status, out, err = await ofctl("-O", version, command, "br0", *args)
            assert status == 0, (command, err)
            assert [text for text in expected if text not in out] == [], (command, out)
        assert bridge.flows.messages and bridge.all_ports[0].config == 32 and channel.frag_mode == 1

    live(tmp_path, monkeypatch, use)


@needs_tools
def test_real_ovs_ofctl_reads_the_table_features(tmp_path, monkeypatch):  # MS.66
    async def use(bridge, channel):
        _, out, err = await ofctl("-O", "OpenFlow13", "dump-table-features", "br0")
        assert err == "" and "tables 1...252: ditto" in out and "set_field strip_vlan push_vlan" in out
        status, _, err = await ofctl("-O", "OpenFlow13", "--names", "dump-flows", "br0")
        assert (status, err) == (0, "")

    live(tmp_path, monkeypatch, use)


@needs_tools
@pytest.mark.parametrize(
    ("offer", "spoken"),
    [
        ("OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13", "(OF1.3)"),
        ("OpenFlow13,OpenFlow14", "(OF1.4)"),
        ("OpenFlow13,OpenFlow15", "(OF1.3)"),
        ("OpenFlow10,OpenFlow15", ""),
    ],
)
def test_versions_are_agreed_with_real_ovs_ofctl(tmp_path, monkeypatch, offer, spoken):  # CH.05
    async def use(bridge, channel):
        status, out, err = await ofctl("-O", offer, "dump-desc", "br0")
        assert status == 0, err
        assert "(OF1.3)" not in out and "(OF1.4)" not in out if not spoken else spoken in out

    live(tmp_path, monkeypatch, use)


@needs_tools
@pytest.mark.parametrize(("allowed", "offer"), [({4}, "OpenFlow10"), ({1}, "OpenFlow13"), ({1, 4}, "OpenFlow15")])
def test_ovs_ofctl_without_a_common_version_is_told_so(tmp_path, monkeypatch, allowed, offer):  # CH.05
    async def use(bridge, channel):
        status, _, err = await ofctl("-O", offer, "show", "br0")
        assert status != 0 and "version negotiation failed" in err

    live(tmp_path, monkeypatch, use, allowed_versions=allowed)


@needs_tools
@pytest.mark.parametrize("form", ["openflow10", "nxt_packet_in", "nxt_packet_in2"])
def test_real_ovs_ofctl_monitor_prints_packet_ins(tmp_path, monkeypatch, form):  # CH.09, MS.09 to MS.14
    async def use(bridge, channel):
        process = await asyncio.create_subprocess_exec(
            "ovs-ofctl", "-P", form, "monitor", "br0", "65534", stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            await until(
                lambda: any(c.miss_send_len == 65534 and c.packet_in_form == FORMS[form] for c in channel.connections)
            )
            channel.packet_in(FakePunt())
            line = await asyncio.wait_for(process.stderr.readline(), 10)
            assert b"total_len=60 in_port=1 (via action) data_len=60 (unbuffered)" in line
        finally:
            process.terminate()
            await process.wait()

    live(tmp_path, monkeypatch, use)


FORMS = {"openflow10": 0, "nxt_packet_in": 1, "nxt_packet_in2": 2}


def test_the_exporter_that_reads_exactly_eight_bytes(tmp_path, monkeypatch):  # D.1.1
    """openstack-network-exporter: HELLO, eight bytes back, then NXST_AGGREGATE at once."""

    async def use(bridge, channel):
        client = await mgmt_client(channel)
        client.send(msg(1, 0))
        assert await client.carrier.read(8) == bytes.fromhex("0500000800000001")
        request = stat(1, 0xFFFF, struct.pack("!II4x", 0x2320, 1) + bytes(8))
        reply = await client.ask(request)
        assert len(reply) == 48 and struct.unpack("!QQI", reply[24:44]) == (7, 420, 3)

    live(tmp_path, monkeypatch, use)


# -- bad peers


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.0\r\n\r\n", bytes(64), b"\xff" * 64, bytes([4, 0, 0, 4])])
def test_garbage_costs_only_its_own_connection(tmp_path, monkeypatch, garbage):
    async def use(bridge, channel):
        good = await mgmt_client(channel, 4)
        bad = await mgmt_client(channel)
        bad.send(garbage + bytes(8))
        while await asyncio.wait_for(bad.carrier.read(), 5):
            pass
        assert await good.ask(msg(4, 2)) == msg(4, 3)
        assert len(channel.connections) == 1

    live(tmp_path, monkeypatch, use)


def test_half_a_message_and_a_hang_up_leave_nothing_behind(tmp_path, monkeypatch):
    async def use(bridge, channel):
        for rest in (b"", bytes([4, 14, 0, 56, 0, 0, 0, 1, 0, 0])):
            client = await mgmt_client(channel, 4)
            client.send(rest)
            client.carrier.close()
        await until(lambda: not channel.connections)
        assert bridge.flows.messages == []

    live(tmp_path, monkeypatch, use)


def test_messages_may_come_byte_by_byte(tmp_path, monkeypatch):
    async def use(bridge, channel):
        client = await mgmt_client(channel, 4)
        for byte in flow_mod(4) + msg(4, 20):
            client.send(bytes([byte]))
            await asyncio.sleep(0)
        assert await client.receive() == msg(4, 21)
        assert bridge.flows.messages == [flow_mod(4)]

    live(tmp_path, monkeypatch, use)


def test_a_peer_that_does_not_read_is_not_read_from_either(tmp_path, monkeypatch):  # CH.16
    monkeypatch.setattr(connection_module, "OUTPUT_HIGH_BYTES", 1 << 14)

    async def use(bridge, channel):
        bridge.flows.bodies = [bytes(60000)] * 40
        greedy, other = await mgmt_client(channel, 4), await mgmt_client(channel, 4)
        greedy.send(stat(4, 1, bytes(40)) * 20)
        assert await other.ask(msg(4, 2)) == msg(4, 3)
        await asyncio.sleep(0.1)
        served = channel.connections[0]
        assert served.stream.queued_bytes < 1 << 18
        total = 0
        while total < 20 * 40:
            reply = await greedy.receive()
            assert reply[1] == 19
            total += 1
        assert await greedy.ask(msg(4, 2)) == msg(4, 3)

    live(tmp_path, monkeypatch, use)


def test_packet_ins_for_a_peer_that_does_not_read_are_dropped(tmp_path, monkeypatch):  # CH.13
    async def use(bridge, channel):
        client = await mgmt_client(channel, 4)
        client.send(msg(4, 9, struct.pack("!HH", 0, 65535)))
        await client.ask(msg(4, 2))
        for _ in range(2000):
            channel.packet_in(FakePunt(frame=bytes(1500)))
        assert channel.connections[0].stream.queued_bytes < 1 << 18

    live(tmp_path, monkeypatch, use)


def test_closing_does_not_wait_for_a_barrier_that_never_comes(tmp_path, monkeypatch):
    async def use(bridge, channel):
        async def never():
            await asyncio.get_running_loop().create_future()

        bridge.barrier = never
        client = await mgmt_client(channel, 4)
        client.send(msg(4, 20))
        await until(lambda: any(c.running for c in channel.connections))
        await asyncio.sleep(0.02)
        await asyncio.wait_for(channel.close(), 2)

    live(tmp_path, monkeypatch, use)


def test_tools_that_come_and_go_are_no_news_for_the_fail_mode(tmp_path, monkeypatch):  # CH.10
    async def use(bridge, channel):
        changes = []
        channel.on_controllers_changed = lambda: changes.append(1)
        for _ in range(3):
            client = await mgmt_client(channel, 1)
            await client.ask(msg(1, 2))
            client.carrier.close()
        await until(lambda: not channel.connections)
        assert changes == [] and bridge.calls == []

    live(tmp_path, monkeypatch, use)


def test_a_second_channel_does_not_steal_the_management_socket(tmp_path, monkeypatch):
    async def use(bridge, channel):
        with pytest.raises(ConfigError, match="another process is listening"):
            await Channel(bridge, bridge.codec).listen()

    live(tmp_path, monkeypatch, use)


# -- controllers on real sockets


@pytest.fixture
def port():
    with bound("127.0.0.1", 0) as reserved:
        yield reserved.getsockname()[1]


@pytest.mark.parametrize("version", [4, 1])
def test_an_os_ken_application_completes_its_handshake(tmp_path, monkeypatch, port, version):  # CH.03, B(vi)
    async def use(bridge, channel):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.ofproto.osken_app", str(port), str(version), cwd=ROOT,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            seen = {}

            async def read_until(*names):
                while not all(name in seen for name in names):
                    line = await asyncio.wait_for(process.stdout.readline(), 30)
                    assert line, seen
                    facts = json.loads(line)
                    seen[facts["event"]] = facts

            await read_until("listening")
            channel.set_controllers([ControllerConfig(f"tcp:127.0.0.1:{port}", max_backoff_ms=1000)])
            await read_until("features", "main", "barrier", "desc", *(["port_stats"] if version == 4 else []))
            assert seen["features"]["datapath_id"] == 0xAA and seen["main"]["ports"] == ["br0", "p1", "p2"]
            assert seen["desc"]["hw_desc"] == "Open vSwitch"
            channel.port_status(2, bridge.all_ports[0])
            channel.packet_in(FakePunt())
            await read_until("port_status", "packet_in")
            assert seen["packet_in"] == {"event": "packet_in", "in_port": 1, "length": 60}
            row = channel.status()[f"tcp:127.0.0.1:{port}"]
            assert row["is_connected"] and row["state"] in ("ACTIVE", "IDLE") and row["role"] == "other"
            assert channel.connected_primary and not channel.all_failed
        finally:
            process.kill()
            await process.wait()

    live(tmp_path, monkeypatch, use)


@pytest.mark.parametrize("target", ["ptcp:{port}:127.0.0.1", "punix:{path}/ctl"])
def test_controllers_may_call_us(tmp_path, monkeypatch, port, target):  # CH.04
    async def use(bridge, channel):
        passive = target.format(port=port, path=tmp_path)
        channel.set_controllers([ControllerConfig(passive)])
        await until(lambda: next(iter(channel._peers.values())).listener is not None)
        assert channel.status()[passive] == {"is_connected": False, "role": "other", "state": "VOID"}
        active = f"tcp:127.0.0.1:{port}" if "ptcp" in target else f"unix:{tmp_path}/ctl"
        client = Client(await stream.connect(active))
        await client.hello(4)
        assert await client.ask(msg(4, 2)) == msg(4, 3)
        channel.port_status(2, bridge.all_ports[0])
        assert await client.all_until_barrier(4) == []  # CH.09: not before miss_send_len was raised
        assert channel.status()[passive]["is_connected"]
        channel.set_controllers([])
        assert await client.receive() == b""
        assert channel.status() == {}

    live(tmp_path, monkeypatch, use)


def test_a_target_that_is_kept_keeps_its_connection_and_a_removed_one_loses_it(tmp_path, monkeypatch):
    async def use(bridge, channel):
        clients = {}

        async def serve(name):
            def accept(carrier):
                clients[name] = Client(carrier)

            return await stream.listen(f"punix:{tmp_path}/{name}", None, accept)

        listeners = [await serve("a"), await serve("b")]
        a, b = f"unix:{tmp_path}/a", f"unix:{tmp_path}/b"
        channel.set_controllers([ControllerConfig(a), ControllerConfig(b)])
        await until(lambda: len(clients) == 2)
        for client in clients.values():
            await client.hello(4)
        await until(lambda: all(row["is_connected"] for row in channel.status().values()))
        kept = clients["a"]
        channel.set_controllers([ControllerConfig(a, inactivity_probe_ms=9000)])
        assert await clients["b"].receive() == b""
        assert await kept.ask(msg(4, 2)) == msg(4, 3)
        bridge.allowed_versions = {4}
        channel.set_controllers([ControllerConfig(a)])  # other versions: everybody shakes hands again
        assert await kept.receive() == b""
        await until(lambda: clients["a"] is not kept)
        for listener in listeners:
            await listener.close()

    live(tmp_path, monkeypatch, use)


def test_a_wrong_target_is_reported_and_harms_nobody(tmp_path, monkeypatch):
    async def use(bridge, channel):
        channel.set_controllers(
            [ControllerConfig("nonsense"), ControllerConfig("tcp:"), ControllerConfig("ssl:127.0.0.1")]
        )
        await asyncio.sleep(0.05)
        assert list(channel.status()) == ["ssl:127.0.0.1"]
        assert "last_error" in channel.status()["ssl:127.0.0.1"]

    live(tmp_path, monkeypatch, use)


# -- back-off, probes and patience, on the virtual clock


class FakeNet:
    """Stands for stream.connect: refuses, hangs, or hands out in-memory streams."""

    def __init__(self):
        self.mode = "refuse"
        self.attempts = []
        self.clients = []

    async def connect(self, target, default_port=None):
        self.attempts.append(CLOCK.now())
        if self.mode == "refuse":
            raise ConnectionRefusedError(111, "Connection refused")
        if self.mode == "hang":
            await asyncio.get_running_loop().create_future()
        ours, theirs = stream.pair()
        self.clients.append(Client(theirs))
        return ours


def virtual(monkeypatch, use, **options):
    net = FakeNet()
    monkeypatch.setattr(peers.stream, "connect", net.connect)

    async def main():
        bridge = FakeBridge(**options)
        channel = Channel(bridge, bridge.codec)
        changes = []
        channel.on_controllers_changed = lambda: changes.append(
            (CLOCK.now(), channel.connected_primary, channel.all_failed)
        )
        try:
            await use(bridge, channel, net, changes)
        finally:
            await channel.close()

    clock.run(main())


TARGET = "tcp:192.0.2.1:6653"


def test_back_off_doubles_up_to_its_limit_and_status_tells(monkeypatch):  # CH.07
    async def use(bridge, channel, net, changes):
        start = CLOCK.now()
        channel.set_controllers([ControllerConfig(TARGET, max_backoff_ms=8000)])
        await CLOCK.sleep(0.5)
        row = channel.status()[TARGET]
        assert row == {"is_connected": False, "role": "other", "state": "BACKOFF", "last_error": "Connection refused"}
        await CLOCK.sleep(40)
        times = [round(at - start) for at in net.attempts]
        assert times[:7] == [0, 1, 3, 7, 15, 23, 31]

    virtual(monkeypatch, use)


def test_a_limit_of_one_second_is_kept(monkeypatch):  # Mininet
    async def use(bridge, channel, net, changes):
        channel.set_controllers([ControllerConfig(TARGET, max_backoff_ms=1000)])
        await CLOCK.sleep(10.5)
        assert len(net.attempts) == 11

    virtual(monkeypatch, use)


def test_a_controller_that_accepts_but_never_says_hello_is_given_up(monkeypatch):
    async def use(bridge, channel, net, changes):
        net.mode = "accept"
        channel.set_controllers([ControllerConfig(TARGET, max_backoff_ms=1000)])
        await CLOCK.sleep(0.5)
        assert channel.status()[TARGET]["state"] == "CONNECTING"
        await CLOCK.sleep(10)
        assert len(net.attempts) > 3 and not channel.status()[TARGET]["is_connected"]
        assert len(channel.connections) <= 1
        net.mode = "hang"
        await CLOCK.sleep(10)
        assert len(net.attempts) > 6

    virtual(monkeypatch, use)


def test_silence_is_probed_and_then_ends_the_connection(monkeypatch):  # CH.07
    async def use(bridge, channel, net, changes):
        net.mode = "accept"
        channel.set_controllers([ControllerConfig(TARGET, inactivity_probe_ms=5000)])
        await CLOCK.sleep(0.1)
        client = net.clients[0]
        await client.hello(4)
        await CLOCK.sleep(4)
        assert channel.status()[TARGET]["state"] == "ACTIVE"
        await CLOCK.sleep(1.5)
        assert channel.status()[TARGET]["state"] == "IDLE"
        probe = await client.receive()
        assert probe[:2] == bytes([4, 2])
        client.send(msg(4, 3, xid=int.from_bytes(probe[4:8], "big")))
        await CLOCK.sleep(0.1)
        row = channel.status()[TARGET]
        assert row["state"] == "ACTIVE" and row["sec_since_connect"] == 5 and row["is_connected"]
        assert changes[-1][1:] == (True, False)
        await CLOCK.sleep(10.5)
        assert await client.receive() == b""
        row = channel.status()[TARGET]
        assert not row["is_connected"] and row["last_error"] == "Connection timed out" and "sec_since_disconnect" in row
        assert not changes[-1][1]
        await CLOCK.sleep(1.5)
        assert len(net.clients) == 2

    virtual(monkeypatch, use)


def test_a_long_barrier_is_not_taken_for_silence(monkeypatch):  # CH.07, MS.36
    async def use(bridge, channel, net, changes):
        async def slow():
            await CLOCK.sleep(60)

        bridge.barrier, net.mode = slow, "accept"
        channel.set_controllers([ControllerConfig(TARGET, inactivity_probe_ms=5000)])
        await CLOCK.sleep(0.1)
        client = net.clients[0]
        await client.hello(4)
        client.send(msg(4, 20))
        await CLOCK.sleep(59)
        assert channel.status()[TARGET]["is_connected"]
        await CLOCK.sleep(1.5)
        while (answer := await client.receive())[1] == 2:
            pass
        assert answer == msg(4, 21)

    virtual(monkeypatch, use)


def test_three_probe_intervals_without_a_controller_mean_that_all_failed(monkeypatch):  # CH.10
    async def use(bridge, channel, net, changes):
        start = CLOCK.now()
        channel.set_controllers([ControllerConfig(TARGET, max_backoff_ms=1000, inactivity_probe_ms=2000)])
        await CLOCK.sleep(5.9)
        assert not channel.all_failed and changes == []
        await CLOCK.sleep(0.2)
        assert channel.all_failed and changes == [(start + 6, False, True)]
        net.mode = "accept"
        await CLOCK.sleep(1.5)
        await net.clients[-1].hello(4)
        net.clients[-1].send(msg(4, 5), msg(4, 9, bytes([0, 0, 255, 255])), stat(4, 8))
        await CLOCK.sleep(0.1)
        assert channel.all_failed and changes[-1][1:] == (True, True)  # a handshake says little
        net.clients[-1].send(msg(4, 20))
        await CLOCK.sleep(0.1)
        assert not channel.all_failed and changes[-1][1:] == (True, False)
        net.clients[-1].carrier.close()
        net.mode = "refuse"
        await CLOCK.sleep(5)
        assert not channel.all_failed
        await CLOCK.sleep(1.5)
        assert channel.all_failed
        channel.set_controllers([])
        assert not channel.all_failed

    virtual(monkeypatch, use)


def test_a_controller_that_only_answers_probes_is_in_charge_after_half_a_minute(monkeypatch):  # CH.10
    async def use(bridge, channel, net, changes):
        net.mode = "accept"
        channel.set_controllers([ControllerConfig(TARGET, inactivity_probe_ms=5000)])
        await CLOCK.sleep(0.1)
        client = net.clients[0]
        await client.hello(4)
        states = []
        for _ in range(7):
            await CLOCK.sleep(5.1)
            probe = await client.receive()
            client.send(msg(4, 3, xid=int.from_bytes(probe[4:8], "big")))
            await CLOCK.sleep(0.1)
            states.append(channel.all_failed)
        assert states == [False, False, True, True, True, False, False]

    virtual(monkeypatch, use)


def test_service_controllers_do_not_count_for_fail_mode(monkeypatch):  # CH.10
    async def use(bridge, channel, net, changes):
        channel.set_controllers([ControllerConfig(TARGET, service=True)])
        await CLOCK.sleep(60)
        assert not channel.all_failed and not channel.connected_primary

    virtual(monkeypatch, use)


def test_a_caller_that_never_says_hello_is_dropped_after_half_a_minute(monkeypatch):
    async def use(bridge, channel, net, changes):
        passive = peers.Passive(channel, ControllerConfig("punix:/nowhere"))
        ours, theirs = stream.pair()
        task = asyncio.get_running_loop().create_task(passive._accepted(ours))
        await CLOCK.sleep(29)
        assert not task.done() and len(passive.guests) == 1
        await CLOCK.sleep(2)
        assert task.done() and passive.guests == [] and channel.connections == []

    virtual(monkeypatch, use)


def test_flow_statistics_of_the_whole_table_are_asked_in_one_piece(tmp_path, monkeypatch):
    async def use(bridge, channel):
        client = await mgmt_client(channel, 4)
        bridge.flows.bodies = [b"a" * 100, b"b" * 100]
        assert (await client.ask(stat(4, 1, struct.pack("!B3xII4xQQHH4x", 255, ANY, ANY, 0, 0, 1, 4))))[11] == 1
        assert (await client.receive())[11] == 0

    live(tmp_path, monkeypatch, use)
