"""Runs of messages that go to the tables as one, against one message at a time (MS.16, MS.36, MS.47, OF.10)."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofproto.connection import Connection
from ofproto.controllers import Channel
from ofproto.intake import BARRIER, BUNDLE_ADDS, FLOW_MODS, IMPOSSIBLE, OTHER, UNFINISHED, messages_in, run_at
from ofproto.session import Session
from ofproto.wire import Framer
from tests.ofproto import flow_messages as wire
from tests.ofproto.channel_fakes import FakeBridge
from tests.ofproto.channel_rig import flow_mod, msg, nx
from tests.ofproto.test_flow_table import FULL, X, Y, dump, new_tables
from tests.oracle.flow_table_naive import ADD, CHECK_OVERLAP, DELETE, Mod
from vslib.clock import VirtualClock, using

ONF = 0x4F4E4600
OPEN, COMMIT = 0, 4
BARRIERS = {1: 18, 4: 20, 5: 20}


def bundle_add(version, inner, number=1, flags=3, xid=7):
    body = struct.pack("!IHH", number, 0, flags) + inner
    return msg(5, 34, body, xid) if version == 5 else msg(4, 4, struct.pack("!II", ONF, 2301) + body, xid)


def bundle_control(version, kind, number=1, flags=3):
    body = struct.pack("!IHH", number, kind, flags)
    return msg(5, 33, body) if version == 5 else msg(4, 4, struct.pack("!II", ONF, 2300) + body)


@pytest.mark.parametrize("version", [1, 4, 5])
def test_a_run_ends_where_another_kind_or_a_part_of_a_message_begins(version):
    mod, barrier = flow_mod(version), msg(version, BARRIERS[version])
    longer = mod[:2] + (len(mod) + 8).to_bytes(2, "big") + mod[4:] + bytes(8)
    data = mod + longer + mod + barrier + mod + msg(version, 2) + mod[:20]
    at, found = 0, []
    while not found or found[-1] not in (UNFINISHED, IMPOSSIBLE):
        run, at = run_at(data, at, version)
        found.append(run)
    assert found == [FLOW_MODS, BARRIER, FLOW_MODS, OTHER, UNFINISHED]
    assert at == len(data) - 20
    assert messages_in(data, 0, 2 * len(mod) + len(longer)) == [mod, longer, mod]
    assert run_at(bytes([version, 14, 0, 7]) + bytes(4), 0, version) == (IMPOSSIBLE, 0)
    assert run_at(mod + barrier, 0, 0) == (OTHER, len(mod))


def test_what_breaks_its_row_makes_no_run():
    for message in (flow_mod(4)[:2] + b"\0\x2c" + flow_mod(4)[4:44], msg(5, 14, bytes(40)), msg(4, 20, bytes(8)),
                    nx(4, 12, bytes(32)), msg(4, 4, bytes(4)), msg(4, 34, bytes(24))):  # fmt: skip
        assert run_at(message, 0, 4) == (OTHER, len(message)), message.hex()
    assert run_at(nx(1, 13, bytes(32)), 0, 1)[0] == FLOW_MODS
    assert run_at(bundle_add(4, flow_mod(4)), 0, 4)[0] == run_at(bundle_add(5, flow_mod(5)), 0, 5)[0] == BUNDLE_ADDS


class Peer:
    """A connection over tables of its own; keeps what it answers."""

    queued_bytes = 0

    def __init__(self, version):
        bridge = FakeBridge()
        bridge.flows, bridge.barrier = new_tables(), lambda: None
        self.tables, self.written = bridge.flows, b""
        self.connection = Connection(Channel(bridge), self, "peer", service=True)
        self.connection._arrived(msg(version, 0))
        self.connection._arm_timer = lambda: None  # there is no loop

    def write(self, data):
        self.written += data

    def pause(self):
        raise AssertionError("nothing here has to be waited for")


def to_version(version, mod):
    message = wire.flow_mod_13(mod)
    return bytes([version]) + message[1:]


MODS = [
    Mod(ADD, match=X), Mod(ADD, match=Y, priority=3, outputs=(1,)), Mod(ADD, table=254), Mod(DELETE, match=X),
    Mod(ADD, match=(0, 0, 1, FULL), flags=CHECK_OVERLAP),
]  # fmt: skip


@st.composite
def traffic(draw, version):
    """A message of a controller that adds flows, one by one and in two bundles, and makes mistakes."""
    kind = draw(st.sampled_from(["mod", "mod", "barrier", "echo", "open", "commit"] + 6 * ["add"]))
    mod = to_version(version, draw(st.sampled_from(MODS)))
    number, flags = draw(st.sampled_from([(1, 3), (1, 3), (1, 3), (2, 3), (1, 1)]))
    if kind == "add":
        inner = draw(st.sampled_from([mod] * 6 + [mod[:-8], msg(version, 2), msg(version, 99), b"", mod + bytes(4)]))
        xid = draw(st.sampled_from([7] * 9 + [8]))
        return bundle_add(version, inner.ljust(8, b"\0"), number, flags, xid)
    return {
        "mod": mod,
        "barrier": msg(version, BARRIERS[version]),
        "echo": msg(version, 2),
        "open": bundle_control(version, OPEN, number, flags),
        "commit": bundle_control(version, COMMIT, number, flags),
    }[kind]


@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from([4, 5]))
def test_reads_of_any_length_are_answered_like_one_message_at_a_time(data, version):
    messages = data.draw(st.lists(traffic(version), max_size=40))
    stream = b"".join(messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    with using(VirtualClock()):
        cut, single = Peer(version), Peer(version)
        for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            cut.connection._arrived(stream[begin:end])
        for message in messages:
            single.connection._arrived(message)
        assert cut.written == single.written
        assert dump(cut.tables) == dump(single.tables)


@given(st.lists(st.sampled_from([flow_mod(4), msg(4, 20), msg(4, 2), nx(4, 12, bytes(8))]), max_size=20), st.data())
def test_a_session_finds_the_messages_that_a_framer_finds(messages, data):
    stream = b"".join(messages)
    session, framer = Session({4}), Framer()
    session.receive(msg(4, 0))
    found, at = [], 0
    while at < len(stream):
        to = data.draw(st.integers(at + 1, len(stream)))
        for event in session.receive(stream[at:to]):
            found += event.messages if hasattr(event, "messages") else [event.data]
        at = to
    assert found == [m for m in framer.feed(stream) if m[1] != 4]
    assert session.at_message
