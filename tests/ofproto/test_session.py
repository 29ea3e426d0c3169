"""OpenFlow sessions without I/O: negotiation, errors, parts of requests (CH.05, CH.06, MS.01 to MS.04).

Expected bytes were taken from Open vSwitch 3.1 on the same input.
"""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofproto.session import FlowMods, Lost, Negotiated, Request, Session, read_hello
from tests.ofproto.channel_rig import flow_mod, msg, nx, stat
from vslib.clock import CLOCK, VirtualClock, use

ALL = {1, 2, 3, 4, 5, 6}


def bitmap(*versions, header=None):
    bits = sum(1 << v for v in versions)
    return struct.pack("!BBHIHHI", header or max(versions), 0, 16, 1, 1, 8, bits)


def ready(version):
    session = Session(ALL)
    assert session.receive(msg(version, 0)) == [Negotiated(version)]
    session.outgoing()
    return session


@pytest.mark.parametrize(
    ("allowed", "hello"),
    [
        (ALL, "0500000800000001"),                        # D.1.1: exactly 8 bytes
        ({1}, "0100000800000001"),
        ({1, 2, 3, 4}, "0400000800000001"),
        ({4}, "04000010000000010001000800000010"),
        ({1, 4}, "04000010000000010001000800000012"),
    ],
)  # fmt: skip
def test_hello_has_a_bitmap_only_when_versions_do_not_run_from_1_0(allowed, hello):
    assert Session(allowed).outgoing().hex() == hello


@pytest.mark.parametrize(
    ("peer", "agreed"),
    [
        (msg(1, 0), 1),
        (msg(4, 0), 4),
        (msg(5, 0), 5),
        (msg(6, 0), 5),
        (msg(9, 0), 5),
        (bitmap(4), 4),
        (bitmap(1, 4, 6), 4),
        (bitmap(1, 4, 5, 6), 5),
        (bitmap(1), 1),
        (struct.pack("!BBHIHHI", 4, 0, 16, 1, 1, 3, 16), 4),      # element with an impossible length
        (struct.pack("!BBHIHHI", 4, 0, 16, 1, 2, 8, 16), 4),      # unknown element
        (msg(4, 0, b"abcd"), 4),
    ],
)  # fmt: skip
def test_the_highest_common_version_is_agreed(peer, agreed):
    session = Session(ALL)
    assert session.receive(peer) == [Negotiated(agreed)]
    assert session.version == agreed


def test_no_common_version_is_told_in_words_and_ends_the_connection():
    session = Session({4})
    session.outgoing()
    events = session.receive(msg(1, 0))
    assert isinstance(events[0], Lost)
    answer = session.outgoing()
    assert answer[:2] == bytes([1, 1]) and answer[8:12] == bytes(4)
    assert answer[12:] == b"We support version 0x04, you support version 0x01, no common versions."
    assert session.receive(msg(4, 2)) == []


def test_a_peer_that_would_settle_on_a_version_we_lack_is_refused():
    assert isinstance(Session(ALL).receive(bitmap(1, 2, 3))[0], Lost)
    assert Session({1, 4}).receive(bitmap(1, 2, 3)) == [Negotiated(1)]  # our bitmap told it


@pytest.mark.parametrize("first", [msg(4, 5), msg(4, 1, bytes(12)), msg(0, 0), bytes([4, 0, 0, 4, 0, 0, 0, 1])])
def test_nothing_but_hello_may_come_first(first):
    session = Session(ALL)
    assert isinstance(session.receive(first)[0], Lost)


def test_requests_may_follow_hello_in_the_same_bytes():
    events = Session(ALL).receive(msg(1, 0) + stat(1, 0))
    assert events[0] == Negotiated(1)
    assert events[1].kind.name == "OFPST_DESC request"


def test_read_hello_of_a_long_bitmap():
    words = struct.pack("!BBHIHHII", 4, 0, 20, 1, 1, 12, 1 << 4, 1)
    assert read_hello(words) == frozenset({4, 32})


# (message, type, code) as Open vSwitch answers.
ERRORS_10 = [
    (msg(1, 0), 1, 1), (msg(1, 1), 1, 6), (msg(1, 1, bytes(8)), 1, 1), (msg(1, 4), 1, 6), (msg(1, 4, bytes(8)), 1, 3),
    (msg(1, 5, bytes(8)), 1, 6), (msg(1, 6), 1, 6), (msg(1, 10, bytes(56)), 1, 1), (msg(1, 11, bytes(8)), 1, 6),
    (msg(1, 13), 1, 6), (msg(1, 14, bytes(56)), 1, 6), (msg(1, 19), 1, 1), (msg(1, 21, bytes(8)), 1, 1),
    (msg(1, 22), 1, 1), (msg(1, 36, bytes(56)), 1, 1), (msg(1, 16), 1, 6), (stat(1, 6), 1, 2), (stat(1, 14), 1, 2),
    (stat(1, 1, bytes(40)), 1, 6), (stat(1, 0xFFFF), 1, 6), (stat(1, 0xFFFF, bytes(16)), 1, 3), (nx(1, 9), 1, 4),
    (nx(1, 10), 1, 6), (nx(1, 11, bytes(8)), 1, 6), (nx(1, 35), 1, 4), (msg(5, 5), 1, 0), (msg(4, 5), 1, 0),
    (msg(1, 4, struct.pack("!II", 0x4F4E4600, 2300)), 1, 4),
]  # fmt: skip
ERRORS_13 = [
    (msg(4, 0), 1, 1), (msg(4, 10, bytes(56)), 1, 1), (msg(4, 12, bytes(56)), 1, 6), (msg(4, 20, bytes(8)), 1, 6),
    (msg(4, 21), 1, 1), (msg(4, 23, bytes(8)), 1, 1), (msg(4, 24), 1, 6), (msg(4, 30), 1, 1), (stat(4, 14), 1, 2),
    (stat(4, 0, bytes(4)), 1, 6), (stat(4, 13, bytes(8)), 1, 6), (stat(4, 0xFFFF), 1, 6), (nx(4, 12), 1, 4),
    (nx(4, 30), 1, 1), (msg(1, 5), 1, 0), (stat(4, 0xFFFF, struct.pack("!II", 0xABC, 0)), 1, 3),
    (stat(4, 0xFFFF, struct.pack("!II", 0x2320, 0)), 1, 4), (msg(4, 16, bytes(102)), 1, 6),
]  # fmt: skip


@pytest.mark.parametrize(("version", "rows"), [(1, ERRORS_10), (4, ERRORS_13)])
def test_wrong_messages_get_the_errors_of_open_vswitch(version, rows):
    session = ready(version)
    for message, kind, code in rows:
        assert session.receive(message) == []
        assert session.outgoing() == msg(message[0], 1, struct.pack("!HH", kind, code) + message), message.hex()


def test_errors_quote_long_messages_as_far_as_they_fit():
    session = ready(4)
    session.receive(msg(4, 77, bytes(0xFFFF - 8)))
    answer = session.outgoing()
    assert len(answer) <= 0xFFFF and len(answer) > 0xFF00


def test_a_message_of_an_unknown_version_is_not_answered():
    session = ready(4)
    assert session.receive(msg(9, 5)) == []
    assert session.outgoing() == b""


def test_echo_may_come_in_another_version():
    (request,) = ready(4).receive(msg(1, 2, b"abc"))
    assert (request.kind.name, request.version, request.data[request.offset :]) == ("OFPT_ECHO_REQUEST", 1, b"abc")
    (request,) = ready(4).receive(msg(5, 2))
    assert request.kind.name == "OFPT_ECHO_REQUEST"


def test_flow_mods_come_in_runs_and_in_order():
    session = ready(4)
    first, second = flow_mod(4), nx(4, 13, bytes(32))
    events = session.receive(first + second + msg(4, 20) + first)
    assert [type(e) for e in events] == [FlowMods, Request, FlowMods]
    assert events[0].messages == [first, second]


# -- requests in parts


def test_parts_of_a_request_are_joined_and_other_messages_pass():
    session = ready(4)
    assert session.receive(stat(4, 12, b"12345678", flags=1)) == []
    (echo,) = session.receive(msg(4, 2))
    assert echo.kind.name == "OFPT_ECHO_REQUEST"
    assert session.receive(stat(4, 12, b"abcdefgh", flags=1)) == []
    (whole,) = session.receive(stat(4, 12, b""))
    assert whole.data[whole.offset :] == b"12345678abcdefgh"


def test_parts_that_do_not_fit_together_are_bad_statistics():
    session = ready(4)
    session.receive(stat(4, 0, flags=1))
    assert session.receive(stat(4, 3)) == []
    assert session.outgoing()[8:12] == bytes([0, 1, 0, 2])
    session.receive(stat(4, 1, bytes(40), flags=1))
    assert session.receive(stat(4, 1, bytes(40))) == []
    assert session.outgoing()[8:12] == bytes([0, 1, 0, 2])


def test_openflow_1_0_has_no_parts():
    assert len(ready(1).receive(stat(1, 0, flags=1) + stat(1, 0))) == 2


def test_an_unfinished_request_is_given_up_after_a_second():
    clock = VirtualClock()
    previous = use(clock)
    try:
        session = ready(4)
        session.receive(stat(4, 1, bytes(40), flags=1))
        session.expire()
        assert session.outgoing() == b"" and session.deadline_ms == CLOCK.now_ms() + 1000
        clock.warp(1000)
        session.expire()
        assert session.outgoing()[8:16].hex() == "ffff0a504f4e4600"
        assert session.deadline_ms is None
    finally:
        use(previous)


def test_unfinished_requests_are_limited_in_number_and_size():
    session = ready(4)
    for xid in range(40):
        session.receive(stat(4, 0, flags=1, xid=xid))
    assert session.outgoing().count(bytes([0, 1, 0, 13])) == 8
    session = ready(4)
    answers = b""
    for _ in range(20):
        session.receive(stat(4, 12, bytes(65000), flags=1))
        answers += session.outgoing()[8:12]
    assert answers == bytes([0, 1, 0, 13])


@given(st.integers(0, 1), st.lists(st.binary(min_size=1, max_size=60), max_size=8))
def test_no_bytes_make_a_session_raise(thirteen, pieces):
    session = ready(4 if thirteen else 1)
    for piece in pieces:
        session.receive(piece)
        session.outgoing()


@given(
    st.sampled_from([1, 4]), st.integers(0, 40), st.binary(max_size=80), st.sampled_from([0, 1, 2, 0x2320, 0x4F4E4600])
)
def test_no_message_makes_a_session_raise(version, kind, body, vendor):
    session = ready(version)
    session.receive(
        msg(version, kind, body) + msg(version, 4, vendor.to_bytes(4, "big") + body) + stat(version, 0xFFFF, body)
    )
    for answer in (session.outgoing(),):
        assert not answer or answer[1] == 1


@pytest.mark.parametrize(("offer", "agreed"), [(1, 1), (2, 1), (3, 1), (4, 4), (5, 5), (6, 5)])
def test_a_patient_session_names_no_version_that_it_does_not_speak(offer, agreed):  # CH.05, CH.06
    session = Session({1, 2, 3, 4, 5, 6}, patient=True)
    assert session.outgoing() == b""
    session.receive(msg(offer, 0))
    hello = session.outgoing()
    assert len(hello) == 8 and session.version == agreed
    assert min(hello[0], offer) == agreed  # what the peer makes of it


def test_a_session_out_of_patience_says_hello_first():  # CH.05
    session = Session({1, 2, 3, 4, 5, 6}, patient=True)
    session.greet()
    session.greet()
    assert session.outgoing()[:4] == bytes([5, 0, 0, 8])
    session.receive(msg(4, 0))
    assert session.outgoing() == b"" and session.version == 4
    assert Session({4}, patient=True).outgoing()[:2] == bytes([4, 0])  # a bitmap says it all
