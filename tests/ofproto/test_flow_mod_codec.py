"""Flow-mods, flow requests, statistics and flow-removed (MS.15, 16, 18, 25 to 27, 50, 51, 53, 54, 56, 73)."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofproto.errors import OpenFlowError
from ofproto.flow_mod import (
    decode_flow_mod,
    decode_flow_request,
    decode_match,
    decode_match10,
    encode_flow_removed,
    encode_flow_stats,
    encode_instructions,
    encode_match,
)
from ofproto.flow_text import format_actions, format_match, parse_actions, parse_flow, parse_match
from ofproto.flow_types import FlowStats
from tests.ofproto.codec_tools import decode13, flow_mod13, golden, matches, nxt_flow_mod, pad8

ANY = 0xFFFFFFFF
GOLDEN = golden("golden_flows.txt")


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: f"{row[1][:4]} {row[0]}"[:60])
def test_flow_mods_of_ovs_ofctl_are_read(row):
    """OF.34: what ovs-ofctl sends is read as it prints it."""
    _, message, match, actions = row
    fm = decode_flow_mod(bytes.fromhex(message), True)
    assert format_match(fm.value, fm.mask) == match
    assert format_actions(fm.actions) == actions


@pytest.mark.parametrize("row", [r for r in GOLDEN if r[1].startswith("040e")], ids=lambda row: row[0][:60])
def test_openflow13_flow_mods_are_written_byte_by_byte(row):
    message = bytes.fromhex(row[1])
    if b"\x80\x00\x58\x04\0\0\0\0" in message or "enqueue" in row[0]:
        return  # packet_type=(0,0) is dropped, enqueue became three actions
    fm = decode_flow_mod(message)
    match = encode_match(fm.value, fm.mask, 4)
    body = pad8(struct.pack("!HH", 1, 4 + len(match)) + match) + encode_instructions(fm.actions, 4)
    if "set_tunnel" in row[0] or "mod_" in row[0]:
        assert decode13(match, encode_instructions(fm.actions, 4)).value == fm.value
    else:
        assert body == message[48:]


@pytest.mark.parametrize("row", golden("golden_errors.txt"), ids=lambda row: row[0])
def test_malformed_flow_mods_get_the_error_of_open_vswitch(row):
    """OF.35."""
    with pytest.raises(OpenFlowError) as caught:
        decode_flow_mod(bytes.fromhex(row[1]))
    assert caught.value.name == row[2]


def test_flow_mod13_members():
    flow = parse_flow(
        "table=3,priority=7,cookie=0x1234,idle_timeout=5,hard_timeout=6,send_flow_rem,check_overlap,in_port=1,actions=output:2"
    )
    fm = decode_flow_mod(flow.message)
    assert (fm.table_id, fm.priority, fm.new_cookie, fm.cookie_mask) == (3, 7, 0x1234, 0)
    assert (fm.idle_timeout_s, fm.hard_timeout_s, fm.flags, fm.command, fm.version) == (5, 6, 3, 0, 4)
    assert (fm.out_port, fm.out_group, fm.buffer_id) == (ANY, ANY, ANY)


def test_flow_mod13_modify_filters_by_cookie_and_keeps_cookies():
    """OF.05."""
    flow = parse_flow("cookie=0x12/0xff,actions=drop")
    fm = decode_flow_mod(flow.to_message(command=1))
    assert (fm.cookie, fm.cookie_mask, fm.new_cookie, fm.modify_cookie) == (0x12, 0xFF, (1 << 64) - 1, False)


def test_nxt_flow_mod_takes_a_cookie_filter_except_to_add():
    match = encode_match(*parse_match("in_port=1"), 1, 0x12, 0xFF)
    fm = decode_flow_mod(nxt_flow_mod(match, command=3, cookie=9))
    assert (fm.cookie, fm.cookie_mask, fm.new_cookie, fm.modify_cookie) == (0x12, 0xFF, 9, True)
    with pytest.raises(OpenFlowError, match="NXBRC_NXM_INVALID"):
        decode_flow_mod(nxt_flow_mod(match, command=0))


def test_table_in_command_needs_its_extension():
    """MS.73."""
    assert decode_flow_mod(nxt_flow_mod(command=0x0503), True)[7:9] == (5, 3)
    assert decode_flow_mod(nxt_flow_mod(command=3))[7:9] == (255, 3)
    assert decode_flow_mod(nxt_flow_mod(command=0)).table_id == 0
    with pytest.raises(OpenFlowError, match="OFPFMFC_BAD_COMMAND"):
        decode_flow_mod(nxt_flow_mod(command=0x0503))


def test_openflow10_flow_without_wildcards_has_the_highest_priority():
    match = bytes(40)
    body = match + struct.pack("!QHHHHIHH", 0, 0, 0, 0, 5, ANY, 0xFFFF, 0)
    fm = decode_flow_mod(struct.pack("!BBHI", 1, 14, 8 + len(body), 0) + body)
    assert fm.priority == 0xFFFF


@pytest.mark.parametrize(
    ("version", "flags", "error"),
    [(4, 0x20, "OFPFMFC_BAD_FLAGS"), (3, 8, "OFPFMFC_BAD_FLAGS"), (4, 0x1F, None), (3, 7, None)],
)
def test_flags_by_version(version, flags, error):
    if error is None:
        assert decode13(flags=flags, version=version).flags == flags
    else:
        with pytest.raises(OpenFlowError, match=error):
            decode13(flags=flags, version=version)


@pytest.mark.parametrize("command", [5, 255])
def test_unknown_command(command):
    with pytest.raises(OpenFlowError, match="OFPFMFC_BAD_COMMAND"):
        decode13(command=command)


def test_other_messages_and_versions_are_refused():
    for message, error in (
        (b"\x04\x0e\x00", "OFPBRC_BAD_LEN"),
        (bytes([9]) + flow_mod13()[1:], "OFPBRC_BAD_VERSION"),
        (b"\x04\x02\x00\x08\0\0\0\0", "OFPBRC_BAD_TYPE"),
        (nxt_flow_mod()[:8] + struct.pack("!II", 0x1234, 13), "OFPBRC_BAD_VENDOR"),
        (nxt_flow_mod()[:8] + struct.pack("!II", 0x2320, 99), "OFPBRC_BAD_SUBTYPE"),
    ):
        with pytest.raises(OpenFlowError) as caught:
            decode_flow_mod(message)
        assert caught.value.name == error


@given(st.sampled_from(GOLDEN))
def test_flow_mod_cut_at_any_byte_is_refused(row):
    message = bytes.fromhex(row[1])
    whole = decode_flow_mod(message, True)
    for end in range(len(message)):
        try:
            part = decode_flow_mod(message[:end], True)
        except OpenFlowError:
            continue
        assert (part.value, part.mask) == (whole.value, whole.mask), "only whole actions may be cut off"


@given(st.sampled_from(GOLDEN), st.data())
def test_flow_mod_with_flipped_bytes_never_crashes(row, data):
    message = bytearray(bytes.fromhex(row[1]))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    try:
        fm = decode_flow_mod(bytes(message), data.draw(st.booleans()))
    except OpenFlowError:
        return
    row13 = FlowStats(fm.value, fm.mask, fm.actions)
    for version, nx in ((1, False), (1, True), (4, False)):
        assert len(encode_flow_stats(row13, version, nx)) % 8 == 0


def request10(kind=1, table=0xFF, port=0xFFFF):
    body = struct.pack("!HH", kind, 0) + struct.pack("!I", 0x3FFFFF) + bytes(36) + struct.pack("!BxH", table, port)
    return struct.pack("!BBHI", 1, 16, 8 + len(body), 0) + body


def request_nx(match=b"", subtype=0):
    body = struct.pack("!HHIIxxxxHHBxxx", 0xFFFF, 0, 0x2320, subtype, 0xFFFF, len(match), 3) + pad8(match)
    return struct.pack("!BBHI", 1, 16, 8 + len(body), 0) + body


def request13(match=b"", kind=1, out_port=ANY):
    body = struct.pack("!HHxxxxBxxxIIxxxxQQ", kind, 0, 3, out_port, 9, 1, 2)
    body += pad8(struct.pack("!HH", 1, 4 + len(match)) + match)
    return struct.pack("!BBHI", 4, 18, 8 + len(body), 0) + body


def test_requests_of_every_dialect():
    match = parse_match("in_port=1")
    r = decode_flow_request(request10(port=0xFFFE))
    assert (r.table_id, r.out_port, r.out_group) == (255, 0xFFFFFFFE, ANY)
    r = decode_flow_request(request_nx(encode_match(*match, 1, 5, 7)))
    assert (r.value, r.mask, r.table_id, r.cookie, r.cookie_mask, r.out_port) == (*match, 3, 5, 7, ANY)
    r = decode_flow_request(request13(encode_match(*match, 4), kind=2))
    assert (r.value, r.mask, r.table_id, r.cookie, r.cookie_mask, r.out_group) == (*match, 3, 1, 2, 9)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (request10(kind=9), "OFPBRC_BAD_STAT"),
        (request10() + bytes(4), "OFPBRC_BAD_LEN"),
        (request_nx(subtype=7), "OFPBRC_BAD_SUBTYPE"),
        (request_nx() + bytes(8), "OFPBRC_BAD_LEN"),
        (request13() + bytes(8), "OFPBRC_BAD_LEN"),
        (request13(out_port=0x10000), "OFPBAC_BAD_OUT_PORT"),
        (request13(bytes.fromhex("00007e0401020304")), "OFPBMC_BAD_FIELD"),
    ],
)
def test_bad_requests(message, error):
    with pytest.raises(OpenFlowError) as caught:
        decode_flow_request(message)
    assert caught.value.name == error


@pytest.mark.parametrize("message", [request10(), request_nx(encode_match(*parse_match("tcp"), 1)), request13()])
def test_requests_cut_at_any_byte_are_refused(message):
    for end in range(len(message)):
        with pytest.raises(OpenFlowError):
            decode_flow_request(message[:end])


FLOW = FlowStats(
    *parse_match("tcp,tp_dst=80"), parse_actions("output:1"), cookie=0x1122, n_packets=3, n_bytes=180,
    duration_ns=5_250_000_000, idle_ns=2_000_000_000, hard_ns=5_000_000_000, priority=7, idle_timeout_s=60,
    hard_timeout_s=90, flags=1, table_id=4, reason=1,
)  # fmt: skip


def test_nxst_entry_layout():
    entry = encode_flow_stats(FLOW, 1, True)
    n_match = 6 + 5 + 6
    # The ages, 3 and 6, are one more than the seconds.
    assert struct.unpack_from("!HBxIIHHHHHHQQQ", entry) == (
        len(entry), 4, 5, 250_000_000, 7, 60, 90, n_match, 3, 6, 0x1122, 3, 180,
    )  # fmt: skip
    assert decode_match(entry[48 : 48 + n_match]) == (FLOW.value, FLOW.mask)


def test_openflow10_entry_layout():
    entry = encode_flow_stats(FLOW, 1)
    assert struct.unpack_from("!HB", entry) == (len(entry), 4)
    assert decode_match10(entry[4:44]) == (FLOW.value, FLOW.mask)
    assert struct.unpack_from("!IIHHH6xQQQ", entry, 44) == (5, 250_000_000, 7, 60, 90, 0x1122, 3, 180)
    assert entry[88:] == bytes.fromhex("0000000800010000")


def test_openflow13_entry_layout():
    entry = encode_flow_stats(FLOW, 4)
    assert struct.unpack_from("!HBxIIHHHH4xQQQHH", entry) == (
        len(entry), 4, 5, 250_000_000, 7, 60, 90, 1, 0x1122, 3, 180, 1, 4 + 6 + 5 + 6,
    )  # fmt: skip


def test_flow_removed_layouts():
    m10, nxt, m13 = encode_flow_removed(FLOW, 1), encode_flow_removed(FLOW, 1, True), encode_flow_removed(FLOW, 4)
    assert struct.unpack_from("!BBHI", m10) == (1, 11, 88, 0)
    assert struct.unpack_from("!QHBxIIHxxQQ", m10, 48) == (0x1122, 7, 1, 5, 250_000_000, 60, 3, 180)
    assert struct.unpack_from("!BBHIIIQHBBIIHHQQ", nxt) == (
        1, 4, len(nxt), 0, 0x2320, 14, 0x1122, 7, 1, 5, 5, 250_000_000, 60, 17, 3, 180,
    )  # fmt: skip
    assert struct.unpack_from("!BBHIQHBBIIHHQQ", m13) == (
        4, 11, len(m13), 0, 0x1122, 7, 1, 4, 5, 250_000_000, 60, 90, 3, 180,
    )  # fmt: skip


def test_entry_that_would_not_fit_is_left_out():
    big = FLOW._replace(actions=parse_actions(",".join(["output:1"] * 4500)))
    assert encode_flow_stats(big, 4) == b""
    assert len(encode_flow_stats(big, 1)) == 88 + 8 * 4500


@given(matches())
def test_statistics_show_the_match_of_the_flow_mod(keys):
    entry = encode_flow_stats(FlowStats(*keys), 4)
    length = struct.unpack_from("!H", entry, 50)[0]
    assert decode_match(entry[52 : 48 + length]) == keys
