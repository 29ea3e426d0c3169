"""Packet-ins as messages, byte for byte what Open vSwitch 3.1 sent for the frame (MS.09, MS.12 to MS.14, OF.21)."""

from dataclasses import replace

import pytest

from ofproto import packet_in
from ofproto.packet_in import NXT, NXT2, STANDARD, encode
from tests.ofproto.channel_fakes import FakePunt

FRAME = bytes.fromhex(
    "aa55aa55000f505400000007080045000028000000004006b98e0a0000010a0000020400005000000000000000005002000000000000"
)
OXM = bytes.fromhex("80000004000000010001060400000005800004080000000000000007")
NXM = bytes.fromhex("0000000200010001060400000005800004080000000000000007")
PUNT = FakePunt(frame=FRAME)
MISS = FakePunt(frame=FRAME, reason=packet_in.NO_MATCH, cookie=packet_in.NO_COOKIE)
BARE = {1: bytes.fromhex("000000020001"), 4: bytes.fromhex("8000000400000001")}

NXT_BODY = (
    "00002320 00000011 ffffffff 0036 01 00 0000000000000077 001a 000000000000"
    "000000020001 0001060400000005 800004080000000000000007 000000000000 0000"
)
NXT2_BODY = "00002320 0000001e 0000003a {frame} 000000000000 0003000500000000 0004001000000000 0000000000000077"
NXT2_BODY += "0005000501000000 0006002080000004 00000001 00010604 00000005 80000408 0000000000000007"


def encode_match(key, dialect):
    return {1: NXM, 4: OXM}[dialect]


@pytest.mark.parametrize(
    ("version", "form", "expected"),
    [
        (1, STANDARD, "010a0048 00000000 ffffffff 0036 0001 01 00 {frame}"),
        (4, STANDARD, "040a0070 00000000 ffffffff 0036 01 00 0000000000000077 00010020" + OXM.hex() + "0000 {frame}"),
        (1, NXT, "01040080 00000000" + NXT_BODY + "{frame}"),
        (4, NXT, "04040080 00000000" + NXT_BODY + "{frame}"),
        (1, NXT2, "01040090 00000000" + NXT2_BODY),
        (4, NXT2, "04040090 00000000" + NXT2_BODY),
    ],
)
def test_a_controller_action_gives_the_bytes_of_open_vswitch(version, form, expected):
    assert encode(PUNT, version, form, encode_match) == bytes.fromhex(expected.format(frame=FRAME.hex()))


def test_a_table_miss_has_reason_and_cookie_0():
    found = encode(MISS, 1, NXT, lambda key, dialect: BARE[dialect])
    head = "01040068 00000000 00002320 00000011 ffffffff 0036 00 00 0000000000000000 0006 000000000000"
    assert found == bytes.fromhex(head + "000000020001 0000 0000") + FRAME


def test_a_table_miss_rule_counts_as_no_match_from_1_3_on_and_as_action_before():
    punt = FakePunt(frame=FRAME, reason=packet_in.EXPLICIT_MISS, cookie=0)
    assert encode(punt, 1, STANDARD, encode_match)[16] == packet_in.ACTION
    assert (
        encode(punt, 4, STANDARD, lambda key, dialect: BARE[dialect])
        == bytes.fromhex(
            "040a0060 00000000 ffffffff 0036 00 00 0000000000000000 0001000c 8000000400000001 00000000 0000"
        )
        + FRAME
    )


@pytest.mark.parametrize("reason", [packet_in.ACTION_SET, packet_in.GROUP, packet_in.PACKET_OUT])
@pytest.mark.parametrize(("version", "at"), [(1, 16), (4, 14)])
def test_reasons_of_1_4_are_sent_as_action(version, at, reason):
    assert encode(FakePunt(reason=reason), version, STANDARD, encode_match)[at] == packet_in.ACTION


def test_packet_in_2_leaves_out_a_cookie_that_there_is_not():
    punt = FakePunt(reason=packet_in.PACKET_OUT, cookie=packet_in.NO_COOKIE)
    assert bytes.fromhex("00040010") not in encode(punt, 4, NXT2, encode_match)


@pytest.mark.parametrize("form", [STANDARD, NXT, NXT2])
@pytest.mark.parametrize("version", [1, 4])
def test_a_frame_of_64_kib_is_cut_to_what_a_message_holds(version, form):
    message = encode(replace(PUNT, frame=bytes(65535)), version, form, encode_match)
    assert len(message) <= 0xFFFF
    assert int.from_bytes(message[2:4], "big") == len(message)


def test_the_local_port_is_16_bits_wide_in_1_0():
    assert encode(FakePunt(in_port=0xFFFFFFFE), 1, STANDARD, encode_match)[14:16] == b"\xff\xfe"
