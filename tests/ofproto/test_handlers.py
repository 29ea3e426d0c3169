"""What each OpenFlow message does with the bridge (A3b rows named per test); bytes as Open vSwitch 3.1 answers them."""

import asyncio
import struct

import pytest

from ofproto import messages, ports
from ofproto.errors import OpenFlowError
from ofproto.ports import PortDesc, PortStatsRow
from tests.ofproto.channel_fakes import FakePunt, FakeRemoved
from tests.ofproto.channel_rig import ANY, error_of, flow_mod, msg, nx, nxst, run, stat
from vslib.errors import ConfigError

P1 = bytes.fromhex("aa55aa55000f")


def talk(version, **options):
    """Make a test of a coroutine function `(rig, client)`: the client has shaken hands in `version`."""

    def wrap(body):
        def test():
            async def main(rig):
                await body(rig, await rig.ready(version))

            run(main, **options)

        test.__name__, test.__doc__ = body.__name__, body.__doc__
        return test

    return wrap


# -- handshake and configuration


@talk(1)
async def test_features_1_0_list_the_ports(rig, c):  # MS.05
    reply = await c.ask(msg(1, 5))
    assert reply[:8] == bytes.fromhex("010600b000000007")
    assert reply[8:32].hex() == "00000000000000aa00000000fe000000000000c700000fff"
    assert reply[32:80] == ports.pack_port(rig.bridge.all_ports[0], 1)


@talk(1)
async def test_features_1_0_stop_at_what_a_message_holds(rig, c):  # CH.16
    rig.bridge.all_ports = [PortDesc(i + 1, P1, f"p{i}") for i in range(2000)]
    reply = await c.ask(msg(1, 5))
    assert len(reply) == 32 + 48 * ((0xFFFF - 32) // 48)


@talk(4)
async def test_features_1_3_have_no_ports(rig, c):  # MS.07
    assert (await c.ask(msg(4, 5))).hex() == "040600200000000700000000000000aa00000000fe0000000000004f00000000"


@talk(4)
async def test_echo_gives_the_payload_back(rig, c):  # MS.03
    assert await c.ask(msg(4, 2, b"payload")) == msg(4, 3, b"payload")
    assert await c.ask(msg(1, 2, b"old")) == msg(1, 3, b"old")
    assert await c.all_until_barrier(4) == []
    c.send(msg(4, 3, b"unasked"))
    assert await c.all_until_barrier(4) == []


def test_config_is_kept_per_connection_but_fragments_per_bridge():  # MS.08, CH.09
    async def main(rig):
        a, b = await rig.ready(1), await rig.ready(4)
        assert await a.ask(msg(1, 7)) == msg(1, 8, bytes.fromhex("00000080"))
        a.send(msg(1, 9, struct.pack("!HH", 1 | 4, 60)))
        assert await a.ask(msg(1, 7)) == msg(1, 8, bytes.fromhex("0005003c"))
        assert await b.ask(msg(4, 7)) == msg(4, 8, bytes.fromhex("00010080"))
        a.send(msg(1, 9, struct.pack("!HH", 2, 61)))  # reassembly is not supported: the mode stays
        assert await a.ask(msg(1, 7)) == msg(1, 8, bytes.fromhex("0001003d"))
        wishes = [c[1] for c in rig.bridge.calls if c[0] == "switch_config"]
        assert {"frag_mode": 1, "miss_punt": True, "ttl_punt": True} in wishes
        assert wishes[-1] == {"frag_mode": 1, "miss_punt": True, "ttl_punt": False}

    run(main)


@pytest.mark.parametrize(("version", "flags"), [(1, 0xFF), (4, 0xFF), (4, 4)])
def test_unknown_config_flags_are_refused(version, flags):  # MS.08
    async def main(rig):
        c = await rig.ready(version)
        answer = error_of(await c.ask(msg(version, 9, struct.pack("!HH", flags, 60))))
        assert answer[:2] == ((10, 0) if version == 4 else (0xB0C2, 0))
        assert c.connection.miss_send_len == 128

    run(main)


def test_misses_are_wanted_only_by_sessions_before_1_3_that_get_packet_ins():  # OF.01
    async def main(rig):
        await rig.ready(4)
        service = await rig.ready(1, service=True)
        assert rig.bridge.calls == []
        service.send(msg(1, 9, struct.pack("!HH", 0, 64)))
        await service.all_until_barrier(1)
        assert rig.bridge.calls[0] == ("switch_config", {"frag_mode": 0, "miss_punt": True, "ttl_punt": False})
        service.send(nx(1, 20, bytes(7) + b"\5"))
        await service.all_until_barrier(1)
        assert rig.bridge.calls[-2][1]["miss_punt"] is False

    run(main)


# -- order


def test_a_barrier_holds_up_what_comes_after_it_and_nothing_else():  # MS.36
    async def main(rig):
        gate = asyncio.Event()

        async def slow():
            rig.bridge.calls.append(("barrier", len(rig.bridge.flows.messages)))
            await gate.wait()

        a, b = await rig.ready(4), await rig.ready(4)
        rig.bridge.barrier = slow
        a.send(flow_mod(4) * 3 + msg(4, 20, xid=1) + flow_mod(4) + msg(4, 2, xid=2))
        assert await b.ask(msg(4, 2, xid=3)) == msg(4, 3, xid=3)
        await asyncio.sleep(0.01)
        assert rig.bridge.calls == [("barrier", 3)] and len(rig.bridge.flows.messages) == 3
        gate.set()
        assert await a.receive() == msg(4, 21, xid=1)
        assert await a.receive() == msg(4, 3, xid=2)
        assert len(rig.bridge.flows.messages) == 4

    run(main)


@pytest.mark.parametrize("version", [1, 4])
def test_long_runs_of_flow_mods_are_applied_in_few_calls_and_errors_come_in_order(version):  # MS.25, MS.26
    async def main(rig):
        c = await rig.ready(version)
        good, bad = flow_mod(version), flow_mod(version, 0xBB)
        c.send(good * 1000 + bad[:7] + b"\x0b" + bad[8:] + good * 500 + bad[:7] + b"\x0c" + bad[8:])
        answers = await c.all_until_barrier(version)
        assert [error_of(a)[2] for a in answers] == [11, 12]
        assert len(rig.bridge.flows.messages) == 1502 and len(rig.bridge.flows.runs) < 12

    run(main)


@talk(4)
async def test_a_bug_in_a_handler_costs_one_answer_not_the_connection(rig, c):
    rig.bridge.port_stats = None
    assert error_of(await c.ask(stat(4, 4, struct.pack("!I4x", ANY))))[:2] == (1, 5)
    assert await c.ask(msg(4, 2)) == msg(4, 3)


@talk(4)
async def test_what_the_bridge_cannot_do_is_refused(rig, c):
    def refuse(*args):
        raise ConfigError("no buffer holds 70000 bytes")

    rig.bridge.packet_out = refuse
    assert error_of(await c.ask(packet_out(4, ANY, 1)))[:2] == (1, 5)


# -- roles and asynchronous messages


def role(version_role, generation):
    return msg(4, 24, struct.pack("!I4xQ", version_role, generation))


@talk(4)
async def test_roles_and_generations(rig, c):  # MS.38
    assert (await c.ask(role(0, 5)))[8:].hex() == "0000000100000000ffffffffffffffff"
    assert (await c.ask(role(2, 5)))[8:].hex() == "00000002000000000000000000000005"
    assert error_of(await c.ask(role(3, 4)))[:2] == (11, 0)
    assert (await c.ask(role(3, 6)))[8:].hex() == "00000003000000000000000000000006"
    assert error_of(await c.ask(role(9, 6)))[:2] == (11, 2)
    assert c.connection.role_name == "slave"


def test_one_primary_makes_the_other_secondary_which_may_only_look():  # MS.38, MS.39
    async def main(rig):
        a, b = await rig.ready(4), await rig.ready(1)
        assert await b.ask(nx(1, 10, struct.pack("!I", 1))) == nx(1, 11, struct.pack("!I", 1))
        await a.ask(role(2, 1))
        assert b.connection.role_name == "slave"
        edits = (flow_mod(1), msg(1, 13, struct.pack("!IHH", ANY, 1, 0)), msg(1, 15, bytes(24)))
        for edit in edits:
            assert error_of(await b.ask(edit))[:2] == (1, 5)
        a.send(role(3, 2))
        await a.receive()
        assert error_of(await a.ask(msg(4, 17, bytes(8))))[:2] == (1, 10)
        b.send(msg(1, 9, struct.pack("!HH", 1, 60)))  # its own miss_send_len may change, the bridge's mode not
        assert await b.ask(msg(1, 7)) == msg(1, 8, bytes.fromhex("0000003c"))
        assert rig.bridge.flows.messages == []

    run(main)


@talk(4)
async def test_async_masks(rig, c):  # MS.40
    assert (await c.ask(msg(4, 26)))[8:].hex() == "000000030000000000000007000000070000000f00000000"
    c.send(msg(4, 28, struct.pack("!6I", 3, 0, 7, 1, 15, 0)))
    assert (await c.ask(msg(4, 26)))[8:].hex() == "000000030000000000000007000000010000000f00000000"
    c.send(nx(4, 19, struct.pack("!6I", *[ANY] * 6)))
    assert (await c.ask(msg(4, 26)))[8:].hex() == "000000070000000700000007000000070000003f0000003f"


def test_asynchronous_messages_go_to_those_who_want_them():  # CH.08, CH.09, MS.15, MS.16, MS.19, MS.20
    async def main(rig):
        old, new, service = await rig.ready(1), await rig.ready(4), await rig.ready(4, service=True)
        port = rig.bridge.all_ports[0]
        rig.channel.port_status(2, port)
        rig.channel.send_flow_removed([FakeRemoved()])
        rig.channel.packet_in(FakePunt())
        rig.channel.packet_in(FakePunt(controller_id=9))
        rig.channel.packet_in(FakePunt(reason=2))  # invalid TTL: nobody asked
        assert [m[1] for m in await old.all_until_barrier(1)] == [12, 11, 10]
        got = await new.all_until_barrier(4)
        assert got[0] == msg(4, 12, bytes([2]) + bytes(7) + ports.pack_port(port, 4), xid=0)
        assert [m[1] for m in got] == [12, 11, 10]
        assert await service.all_until_barrier(4) == []
        service.send(msg(4, 9, struct.pack("!HH", 0, 65535)))
        await new.ask(role(3, 1))
        await service.all_until_barrier(4)
        rig.channel.port_status(0, port)
        rig.channel.packet_in(FakePunt())
        assert [m[1] for m in await service.all_until_barrier(4)] == [12, 10]
        assert [m[1] for m in await new.all_until_barrier(4)] == [12]  # secondary: port status only

    run(main)


def test_formats_of_packet_ins_and_flow_removals_are_chosen_per_connection():  # MS.73, MS.74, MS.75
    async def main(rig):
        c = await rig.ready(1)
        c.send(nx(1, 16, struct.pack("!I", 1)) + nx(1, 12, struct.pack("!I", 2)) + nx(1, 20, bytes(7) + b"\3"))
        c.send(nx(1, 15, b"\1" + bytes(7)))
        await c.all_until_barrier(1)
        rig.channel.packet_in(FakePunt(controller_id=3))
        rig.channel.packet_in(FakePunt())
        rig.channel.send_flow_removed([FakeRemoved()])
        first, second = await c.all_until_barrier(1)
        assert first[8:16] == struct.pack("!II", 0x2320, 17)
        assert second[1] == 4
        assert c.connection.table_in_command
        assert error_of(await c.ask(nx(1, 16, struct.pack("!I", 7))))[:2] == (1, 5)
        assert error_of(await c.ask(nx(1, 12, struct.pack("!I", 1))))[:2] == (1, 5)

    run(main)


# -- edits


def packet_out(version, buffer_id, in_port, actions=b"", data=b"", claimed=None):
    length = len(actions) if claimed is None else claimed
    head = struct.pack("!IHH" if version == 1 else "!IIH6x", buffer_id, in_port, length)
    return msg(version, 13, head + actions + data)


@pytest.mark.parametrize("version", [1, 4])
def test_a_packet_out_reaches_the_bridge(version):  # MS.22, MS.23
    async def main(rig):
        c = await rig.ready(version)
        local = 0xFFFE if version == 1 else 0xFFFFFFFE
        c.send(packet_out(version, ANY, 1, b"actions.", b"frame") + packet_out(version, ANY, local))
        assert await c.all_until_barrier(version) == []
        sent = [call for call in rig.bridge.calls if call[0] == "packet_out"]
        assert sent == [("packet_out", b"frame", 1, b"actions."), ("packet_out", b"", 0xFFFFFFFE, b"")]

    run(main)


PACKET_OUT_ERRORS = [
    (1, packet_out(1, ANY, 0xFF00), (0xB0C2, 0)),
    (1, packet_out(1, ANY, 0xFFF8), (0xB0C2, 0)),
    (1, packet_out(1, 5, 1, b"actions.", b"data"), (1, 8)),
    (1, packet_out(1, ANY, 1, b"12345678", claimed=80), (1, 6)),
    (4, packet_out(4, ANY, 0xFFFF), (2, 4)),
    (4, packet_out(4, ANY, 0xFFFFFFF8), (1, 11)),
    (4, packet_out(4, 7, 1), (1, 8)),
]


@pytest.mark.parametrize(("version", "message", "expected"), PACKET_OUT_ERRORS)
def test_wrong_packet_outs_are_refused(version, message, expected):  # MS.22
    async def main(rig):
        c = await rig.ready(version)
        assert error_of(await c.ask(message))[:2] == expected
        assert rig.bridge.calls[-1][0] != "packet_out" if rig.bridge.calls else True

    run(main)


def port_mod(version, number, mac, config, mask):
    if version == 1:
        return msg(1, 15, struct.pack("!H6sIII4x", number, mac, config, mask, 0))
    return msg(4, 16, struct.pack("!I4x6s2xIII4x", number, mac, config, mask, 0))


@pytest.mark.parametrize(("version", "bits"), [(1, 0x7F), (4, 0x65)])
def test_a_port_mod_changes_the_bits_that_its_version_knows(version, bits):  # MS.31, MS.32
    async def main(rig):
        c = await rig.ready(version)
        c.send(port_mod(version, 1, P1, 0xFFFFFFFF, 0xFFFFFFFF))
        assert await c.all_until_barrier(version) == []
        assert rig.bridge.all_ports[0].config == bits
        kind = 4 if version == 1 else 7
        assert error_of(await c.ask(port_mod(version, 9, P1, 0, 0)))[:2] == (kind, 0)
        assert error_of(await c.ask(port_mod(version, 1, bytes(6), 0, 0)))[:2] == (kind, 1)

    run(main)


@talk(4)
async def test_deleting_groups_and_meters_succeeds_and_adding_is_refused(rig, c):  # MS.28, MS.43
    group = lambda command: msg(4, 15, struct.pack("!HBxI", command, 0, 0xFFFFFFFC))  # noqa: E731
    meter = lambda command: msg(4, 29, struct.pack("!HHI", command, 0, 0xFFFFFFFF))  # noqa: E731
    c.send(group(2) + meter(2) + msg(4, 17, struct.pack("!B3xI", 255, 0)))
    assert await c.all_until_barrier(4) == []
    refused = [(group(0), (6, 3)), (group(1), (6, 8)), (group(7), (6, 11)), (meter(0), (12, 10)), (meter(1), (12, 3))]
    refused += [(meter(7), (12, 4)), (msg(4, 17, struct.pack("!B3xI", 254, 0)), (8, 2))]
    for message, expected in refused:
        assert error_of(await c.ask(message))[:2] == expected


# -- statistics


@pytest.mark.parametrize("version", [1, 4])
def test_desc_and_ports(version):  # MS.49, MS.58, MS.69
    async def main(rig):
        c = await rig.ready(version)
        desc = await c.ask(stat(version, 0))
        assert len(desc) == {1: 1068, 4: 1072}[version] and b"Nicira, Inc.\0" in desc and b"3.1.0\0" in desc
        body = b"".join(ports.pack_port(p, version) for p in rig.bridge.all_ports)
        reply = stat(version, 13)
        assert await c.ask(stat(version, 13)) == msg(version, reply[1] + 1, reply[8:] + body)
        request = struct.pack("!H6x", 0xFFFF) if version == 1 else struct.pack("!I4x", ANY)
        rows = b"".join(ports.pack_stats(row, version) for row in rig.bridge.port_stats(None))
        found = await c.ask(stat(version, 4, request))
        assert found.endswith(rows) and len(found) == {1: 12 + 3 * 104, 4: 16 + 3 * 112}[version]
        one = struct.pack("!H6x", 2) if version == 1 else struct.pack("!I4x", 2)
        assert len(await c.ask(stat(version, 4, one))) == {1: 12 + 104, 4: 16 + 112}[version]
        none = struct.pack("!H6x", 9) if version == 1 else struct.pack("!I4x", 9)
        assert len(await c.ask(stat(version, 4, none))) == {1: 12, 4: 16}[version]

    run(main)


@talk(4)
async def test_an_impossible_port_number_is_refused(rig, c):
    assert error_of(await c.ask(stat(4, 4, struct.pack("!I4x", 0xFFFF))))[:2] == (2, 4)


def test_port_structs_golden_bytes():  # MS.19, MS.58, MS.69
    port = PortDesc(
        1, P1, "a-name-that-is-too-long", config=0x11, state=0, curr=0x2840, supported=0x300, max_speed_kbps=0
    )
    name = b"a-name-that-is-".hex() + "00"
    assert ports.pack_port(port, 1).hex() == "0001" + P1.hex() + name + "0000001100000000000002c0" + "00000000" * 3
    tail = "000000010000000000002840000000000000030000000000009896803b9aca00"
    assert ports.pack_port(port, 4).hex() == "0000000100000000" + P1.hex() + "0000" + name + tail
    row = PortStatsRow(0xFFFFFFFE, 1_500_000_000, *range(1, 13))
    counters = "".join(f"{i:016x}" for i in range(1, 13))
    assert ports.pack_stats(row, 1).hex() == "fffe" + "00" * 6 + counters
    assert ports.pack_stats(row, 4).hex() == "fffffffe00000000" + counters + "000000011dcd6500"


@talk(1)
async def test_flow_statistics_1_0_come_in_parts(rig, c):  # MS.50, MS.53, MS.54, MS.56, CH.16
    rig.bridge.flows.bodies = [b"x" * 60000, b"y" * 10]
    for request in (stat(1, 1, bytes(44)), nxst(0, bytes(8))):
        first, second = await c.ask(request), await c.receive()
        assert (first[10:12], second[10:12]) == (b"\0\1", b"\0\0")
        assert first.endswith(b"x" * 60000) and second.endswith(b"y" * 10)
        assert first[:2] == bytes([1, 17]) and first[8:10] == request[8:10]
    assert (await c.ask(nxst(1, bytes(8))))[24:].hex() == "000000000000000700000000000001a40000000300000000"
    assert (await c.ask(stat(1, 2, bytes(44))))[12:].hex() == "000000000000000700000000000001a40000000300000000"
    assert ("fresh_counts",) in rig.bridge.calls


@talk(4)
async def test_errors_of_flow_statistics_are_answered(rig, c):
    def refuse(*args):
        raise OpenFlowError("OFPBMC_BAD_LEN")

    rig.bridge.flows.flow_dump = refuse
    assert error_of(await c.ask(stat(4, 1, bytes(40))))[:2] == (4, 1)


@pytest.mark.parametrize(("version", "length"), [(1, 16268), (4, 6112)])
def test_table_statistics_name_254_tables(version, length):  # MS.57
    async def main(rig):
        c = await rig.ready(version)
        reply = await c.ask(stat(version, 3))
        assert len(reply) == length

    run(main)


@talk(4)
async def test_there_are_no_queues_groups_and_meters(rig, c):  # MS.37, MS.60 to MS.65
    assert len(await c.ask(stat(4, 5, struct.pack("!II", ANY, ANY)))) == 16
    assert error_of(await c.ask(stat(4, 5, struct.pack("!II", ANY, 1))))[:2] == (9, 1)
    assert error_of(await c.ask(stat(4, 5, struct.pack("!II", 77, ANY))))[:2] == (9, 0)
    for kind, body, length in ((6, bytes(8), 16), (7, b"", 16), (8, b"", 56), (11, b"", 32)):
        assert len(await c.ask(stat(4, kind, body))) == length
    for kind in (9, 10):
        assert len(await c.ask(stat(4, kind, struct.pack("!I4x", ANY)))) == 16
        assert error_of(await c.ask(stat(4, kind, struct.pack("!I4x", 3))))[:2] == (12, 3)
    assert await c.ask(msg(4, 22, struct.pack("!I4x", 1))) == msg(4, 23, struct.pack("!I4x", 1))
    assert await c.ask(msg(4, 22, struct.pack("!I4x", ANY))) == msg(4, 23, struct.pack("!I4x", ANY))
    assert error_of(await c.ask(msg(4, 22, struct.pack("!I4x", 9))))[:2] == (9, 0)


@talk(1)
async def test_queues_in_1_0(rig, c):  # MS.37, MS.60
    assert len(await c.ask(stat(1, 5, struct.pack("!H2xI", 0xFFFC, ANY)))) == 12
    assert await c.ask(msg(1, 20, struct.pack("!H2x", 1))) == msg(1, 21, struct.pack("!H6x", 1))
    assert error_of(await c.ask(msg(1, 20, struct.pack("!H2x", 0xFFFF))))[:2] == (5, 0)


@talk(4)
async def test_table_features_tell_of_254_tables_and_cannot_be_changed(rig, c):  # MS.66
    tables, more = [], True
    c.send(stat(4, 12))
    while more:
        reply = await c.receive()
        more, at = reply[11] & 1, 16
        while at < len(reply):
            tables.append(reply[at + 2])
            at += int.from_bytes(reply[at : at + 2], "big")
        assert at == len(reply)
    assert tables == list(range(254))
    assert error_of(await c.ask(stat(4, 12, bytes(64))))[:2] == (13, 5)


@talk(4)
async def test_the_tunnel_metadata_table_is_empty(rig, c):
    assert await c.ask(nx(4, 25)) == nx(4, 26, bytes.fromhex("00000100004000000000000000000000"))


def test_every_message_that_a_controller_may_send_has_a_handler():
    asked = [k for k in messages.MESSAGES.values() if k.direction == ">"]
    assert all(k.handler for k in asked) and len(asked) > 30
