"""Bytes of OpenFlow messages: framing, layouts, keys, parts (CH.16, MS.04)."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofproto import wire
from ofproto.messages import BY_KEY, MESSAGES, VERSIONS
from ofproto.numbers import NICIRA
from ofproto.wire import Framer, Key, Layout
from vslib.errors import PeerError

MESSAGE = st.binary(max_size=80).map(lambda body: struct.pack("!BBHI", 1, 2, 8 + len(body), 5) + body)


@given(st.lists(MESSAGE, max_size=12), st.lists(st.integers(1, 60), max_size=40))
def test_messages_come_out_whole_however_the_stream_is_cut(messages, cuts):
    framer, data, found = Framer(), b"".join(messages), []
    for cut in [*cuts, len(data) or 1]:
        found += framer.feed(data[:cut])
        data = data[cut:]
    found += framer.feed(data)
    assert found == messages
    assert framer.pending == b""


def test_a_length_below_eight_ends_the_stream():
    with pytest.raises(PeerError, match="too-short"):
        Framer().feed(bytes([1, 2, 0, 7, 0, 0, 0, 0]))


def test_layout_packs_and_unpacks_named_fields_and_skips_padding():
    layout = Layout("port:H 2x queue:I")
    assert layout.size == 8
    assert layout.pack(port=5, queue=9) == bytes.fromhex("0005000000000009")
    assert layout.unpack(bytes.fromhex("ff0005000000000009"), 1) == {"port": 5, "queue": 9}
    with pytest.raises(KeyError):
        layout.pack(prt=5)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=60), st.integers(40, 200))
def test_bodies_hold_whole_entries_within_the_limit(entries, limit):
    bodies = wire.chunks(entries, limit)
    assert b"".join(bodies) == b"".join(entries)
    assert all(len(body) <= limit for body in bodies)
    assert len(bodies) >= 1


@pytest.mark.parametrize("version", VERSIONS)
def test_every_kind_of_message_is_found_by_what_build_writes(version):
    for key, kind in BY_KEY[version].items():
        message = wire.build(version, key, 9, b"x" * 40)
        assert wire.key_of(message) == key
        assert len(message) == wire.header_bytes(version, key) + 40
        assert BY_KEY[version][wire.key_of(message)] is kind


@pytest.mark.parametrize("version", VERSIONS)
def test_headers_that_are_cut_short_are_noticed(version):
    for key in (Key(4, None, NICIRA, 10), Key(wire.STATS_REQUEST[version], 0)):
        whole = wire.build(version, key, 9, b"")
        for end in range(8, len(whole)):
            with pytest.raises(ValueError):
                wire.key_of(whole[:end])


def test_message_names_are_unique_and_both_versions_are_covered():
    assert len(MESSAGES) == len({kind.name for kind in MESSAGES.values()})
    assert all(kind.keys for kind in MESSAGES.values())
