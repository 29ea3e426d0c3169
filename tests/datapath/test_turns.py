"""Ports share a forwarder when packets miss the caches: turns, their debts, and what waits (issue 4, 5)."""

from __future__ import annotations

import pytest

from tests.datapath.forwarding import frame, out, rig, rule

TURN = 32  # TURN_TRANSLATIONS
BATCH = 64  # BATCH_DEVICE: injected frames
LOOPED = 128  # BATCH_LOOP
EACH = {"tp_src": b"\xff\xff"}  # a rule that matches nothing here and makes every source port a megaflow of its own


def new_flows(n, ip_dst=1):
    return [frame(sport=i, ip_dst=ip_dst) for i in range(n)]


def exact_rules(r, *ports, to):
    for port in ports:
        r.hook.set_bank(port, [rule(**EACH), rule(out(to))])


def one_round(r):
    return r.dp.step(r.now_ns, 1)


def test_a_turn_ends_after_its_translations_and_the_rest_follows_in_order():
    with rig() as r:
        exact_rules(r, 1, to=2)
        sent = new_flows(BATCH)
        for one in sent:
            r.pipes[1].inject(one)
        for done in range(TURN, BATCH + 1, TURN):
            assert one_round(r) == 1
            assert r.dp.stats()["misses"] == done
        r.run()
        assert r.taken() == [(2, one) for one in sent]
        assert r.dp.stats()["packets"] == BATCH


def test_hits_do_not_end_a_turn():
    with rig() as r:
        exact_rules(r, 1, to=2)
        r.send(1, frame())
        for _ in range(BATCH):
            r.pipes[1].inject(frame())
        one_round(r)
        assert len(r.taken()) == BATCH


@pytest.mark.parametrize("flooding", [(1,), (1, 3), (1, 3, 4)])
def test_few_new_flows_pass_a_flood_in_the_round_in_which_they_come(flooding):
    with rig(n_ports=6) as r:
        r.dp.flow_limit = 100
        exact_rules(r, *flooding, to=6)
        exact_rules(r, 2, to=5)
        for port in flooding:
            r.pipes[port].loop(new_flows(5000))
        for one in new_flows(400, ip_dst=2):
            assert r.pipes[2].inject(one)
            before = r.dp.stats()["misses"]
            one_round(r)
            assert r.pipes[5].take() == [one]
            assert r.dp.stats()["misses"] - before <= 1 + TURN * len(flooding)
            r.pipes[6].take()
        before = r.dp.stats()["misses"]
        one_round(r)
        assert r.dp.stats()["misses"] >= before + TURN  # a flood goes on when nobody else has packets, whatever it owes
        for port in flooding:
            r.pipes[port].loop([])
        r.run()
        assert r.dp.stats()["drops"].keys() <= {"tx_queue_full"}


def test_hits_of_another_port_get_more_turns_than_a_flood():
    with rig(n_ports=4, null=True) as r:
        r.dp.flow_limit = 100
        exact_rules(r, 1, to=3)
        r.hook.set_bank(2, [rule(out(4))])
        r.pipes[1].loop(new_flows(5000))
        r.pipes[2].loop([frame()])
        r.dp.step(r.now_ns, 2000)
        hits, misses = (r.pipes[port].stats()["tx_packets"] for port in (4, 3))
        for port in (1, 2):
            r.pipes[port].loop([])
        assert hits == 2000 * LOOPED  # a whole batch in every round
        assert 0 < misses <= 1000 * TURN  # passed over at least once after each turn


def test_two_floods_take_turns():
    with rig(n_ports=4, null=True) as r:
        r.dp.flow_limit = 100
        exact_rules(r, 1, to=3)
        exact_rules(r, 2, to=4)
        for port in (1, 2):
            r.pipes[port].loop(new_flows(5000))
        r.dp.step(r.now_ns, 4000)
        first, second = (r.pipes[port].stats()["tx_packets"] for port in (3, 4))
        for port in (1, 2):
            r.pipes[port].loop([])
        assert first and second and first + second >= 4000 * TURN


def test_what_waits_is_handled_before_its_port_goes():
    with rig() as r:
        exact_rules(r, 1, to=2)
        for one in new_flows(BATCH):
            r.pipes[1].inject(one)
        one_round(r)
        r.dp.del_port(1)
        assert len(r.pipes[2].take()) == BATCH
        r.dp.add_port(r.pipes[1], 1)


@pytest.mark.parametrize("inline", [True, False])
def test_nothing_waits_in_a_stopped_datapath(inline):
    with rig(inline=inline, null=True) as r:
        r.dp.flow_limit = 100
        exact_rules(r, 1, to=2)
        r.pipes[1].loop(new_flows(5000))
        if inline:
            r.dp.step(r.now_ns, 10)
        r.dp.stop()
        assert r.dp.stats()["buffers_in_use"] == 0
        r.dp.start()
        r.pipes[1].loop([])


def test_frames_of_a_flow_keep_their_order_across_turns():
    with rig() as r:
        exact_rules(r, 1, to=2)
        sent = [frame(sport=i % 40, payload=i.to_bytes(2, "big")) for i in range(200)]
        got = [one for _, one in r.send(1, *sent)]
        for flow in range(40):
            assert [one for one in got if one[34:36] == sent[flow][34:36]] == sent[flow::40]
