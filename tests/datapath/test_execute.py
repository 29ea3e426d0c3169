"""Action programs at work: copy on write, order, truncation, metadata, and a reason for every drop (DP.22, DP.24)."""

from __future__ import annotations

import pytest

from datapath.drops import number
from datapath.ports.pipe import Offload
from tests.datapath.forwarding import (
    DROP,
    POP_VLAN,
    PUSH_VLAN,
    SET_MARK,
    SET_PRIORITY,
    TRUNC,
    frame,
    op,
    out,
    punt,
    rig,
    rule,
    set_field,
)

F = frame(payload=b"hello")
MAC = b"\x0e\x01\x02\x03\x04\x05"


def tagged(one, tci):
    return one[:12] + b"\x81\x00" + tci.to_bytes(2, "big") + one[12:]


def renamed(one, mac):
    return one[:6] + mac + one[12:]


@pytest.mark.parametrize(
    ("ops", "sent"),
    [
        ([out(2)], [(2, F)]),
        ([out(2), out(3)], [(2, F), (3, F)]),
        ([out(2), out(2)], [(2, F), (2, F)]),
        ([out(1)], [(1, F)]),
        ([out(2), op(PUSH_VLAN, arg=0x81000005), out(3)], [(2, F), (3, tagged(F, 5))]),
        ([op(PUSH_VLAN, arg=0x81000005), out(2), op(POP_VLAN), out(3)], [(2, tagged(F, 5)), (3, F)]),
        ([out(2), set_field("eth_src", MAC), out(3), out(1)], [(1, renamed(F, MAC)), (2, F), (3, renamed(F, MAC))]),
        ([out(2), set_field("eth_src", MAC)], [(2, F)]),
        ([op(TRUNC, arg=20), out(2), out(3)], [(2, F[:20]), (3, F)]),
        ([op(TRUNC, arg=20), out(2)], [(2, F[:20])]),
        ([op(TRUNC, arg=9000), out(2)], [(2, F)]),
        ([op(SET_MARK, arg=5, aux32=0xF), op(SET_PRIORITY, arg=7), out(2)], [(2, F)]),
    ],
)
def test_program_sends(ops, sent):
    with rig() as r:
        r.hook.set_bank(1, [rule(*ops)])
        assert r.send(1, F) == sent
        assert sorted(r.send(1, F, F)) == sorted(sent * 2)
        assert r.dp.stats()["drops"] == {}


@pytest.mark.parametrize(
    ("ops", "reason", "where"),
    [
        ([], "no_output", 1),
        ([op(PUSH_VLAN, arg=0x81000005)], "no_output", 1),
        ([op(DROP, arg=number("explicit_drop"))], "explicit_drop", 1),
        ([op(DROP, arg=9999)], "invalid_action", 1),
        ([out(9)], "tx_no_port", 1),
        ([out(70000)], "tx_no_port", 1),
        ([op(POP_VLAN), out(2)], "action_bad_packet", 1),
        ([op(77), out(2)], "invalid_action", 1),
        ([op(0), out(2)], "invalid_action", 1),
    ],
)
def test_drop_is_counted_at_the_receiving_port_and_the_forwarder(ops, reason, where):
    with rig() as r:
        r.hook.set_bank(1, [rule(*ops)])
        assert r.send(1, F, F, F) == []
        assert r.dp.stats()["drops"] == {reason: 3}
        assert r.dp.port_stats(where)["drops"] == {reason: 3}
        assert r.dp.stats()["forwarders"][0]["drops"] == {reason: 3}


def test_output_drops_are_counted_at_the_output():
    with rig() as r:
        r.hook.set_bank(1, [rule(out(2))])
        r.pipes[2].up = False
        assert r.send(1, F) == []
        assert r.dp.port_stats(2)["drops"] == {"tx_down": 1}
        assert r.dp.stats()["drops"] == {"tx_down": 1}


def test_failed_edit_keeps_what_was_sent_before():
    with rig() as r:
        r.hook.set_bank(1, [rule(out(2), op(POP_VLAN), out(3))])
        assert r.send(1, F, tagged(F, 7)) == [(2, F), (2, tagged(F, 7)), (3, F)]
        assert r.dp.stats()["drops"] == {"action_bad_packet": 1}


def test_punt_sees_the_frame_as_it_is_there():
    with rig() as r:
        r.hook.set_bank(1, [rule(punt(7), set_field("eth_src", MAC), punt(8))])
        assert r.send(1, F) == []
        assert r.hook.take_punts() == [(7, F), (8, renamed(F, MAC))]
        assert r.dp.stats()["drops"] == {}


def test_a_vector_longer_than_its_bound_keeps_its_order():
    frames = [frame(payload=n.to_bytes(2, "big")) for n in range(64)]
    with rig() as r:
        r.hook.set_bank(1, [rule(out(2), out(3), out(2))])
        sent = r.send(1, *frames)
        assert [f for port, f in sent if port == 3] == frames
        to_2 = [f for port, f in sent if port == 2]
        assert sorted(to_2) == sorted(frames * 2)
        assert [f for i, f in enumerate(to_2) if f in to_2[:i]] == frames


def test_a_truncated_gso_frame_is_an_ordinary_one():
    big = frame(proto=6, payload=bytes(3000))
    with rig(caps=("csum", "tso4")) as r:
        r.hook.set_bank(1, [rule(op(TRUNC, arg=100), out(2), out(3))])
        r.pipes[1].inject(big, Offload(5, 1400, 34, 16, 54))
        r.run()
        assert r.pipes[2].take_meta() == [(big[:100], Offload(0, 0, 34, 16, 54))]
        assert r.pipes[3].take_meta() == [(big, Offload(5, 1400, 34, 16, 54))]
