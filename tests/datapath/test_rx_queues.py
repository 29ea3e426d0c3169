"""Several forwarders: their queues move, they come and go, and packets of a flow keep their order (DP.15, DP.16)."""

from __future__ import annotations

import itertools

import pytest

from datapath.ports.pipe import PipePort
from tests.datapath.forwarding import frame, out, rig, rule, wait_for
from vslib.errors import ConfigError

FLOWS = 8


def numbered(sport, number):
    return frame(sport=sport, payload=number.to_bytes(4, "big"))


def numbers(frames):
    """Return the numbers in frames by source port, in the order of the frames."""
    found = {}
    for one in frames:
        found.setdefault(int.from_bytes(one[34:36], "big"), []).append(int.from_bytes(one[-4:], "big"))
    return found


def test_flows_keep_their_order_while_queues_move_and_forwarders_come_and_go():
    with rig(2, inline=False, n_ports=0) as r:
        source, sink = PipePort("source", n_rxq=2, size=4096), PipePort("sink", size=1 << 16)
        r.pipes = {r.dp.add_port(source): source, r.dp.add_port(sink): sink}
        r.hook.set_bank(1, [rule(tp_src=b"\xff\xff"), rule(out(2))])
        settings = itertools.cycle([None, (0,), (0, 1), (1,), None])
        sent, taken = 0, []
        for turn in range(300):
            for _ in range(20):
                for flow in range(FLOWS):
                    while not source.inject(numbered(1 + flow, sent), queue=flow % 2):
                        taken += sink.take()
                sent += 1
            r.dp.rx.set_affinity(1, {turn % 2: turn // 2 % 2, 1 - turn % 2: turn // 3 % 2})
            if turn % 20 == 0:
                r.dp.set_forwarders(next(settings), max_sleep_us=100)
            taken += sink.take()
        wait_for(lambda: taken.extend(sink.take()) or len(taken) >= sent * FLOWS)
        assert numbers(taken) == {1 + flow: list(range(sent)) for flow in range(FLOWS)}
        assert r.dp.stats()["packets"] == sent * FLOWS and r.dp.stats()["drops"] == {}


def test_counts_outlive_the_forwarders_that_made_them():
    with rig(2, inline=False, null=True) as r:
        for port in (1, 2):
            r.hook.set_bank(port, [rule(tp_src=b"\xff\xff"), rule(out(3), credit=1)])
            r.pipes[port].loop([frame(sport=n) for n in range(50)], 5000)
        wait_for(lambda: r.pipes[3].stats()["tx_packets"] == 10000)
        before = r.dp.stats()
        assert all(one["packets"] for one in before["forwarders"])
        r.dp.set_forwarders((0,))
        after = r.dp.stats()
        assert r.hook.credits(1)[0] == 10000 and after["n_flows"] == 0 and len(after["forwarders"]) == 1
        assert {name: after[name] - before[name] for name in ("packets", "misses", "hits")} == dict.fromkeys(
            ("packets", "misses", "hits"), 0
        )
        assert r.dp.rx.cores == [0] and after["forwarders"][0]["n_rx_ports"] == 3


def test_forwarders_that_poll_never_sleep_and_others_do_again():
    with rig(1, inline=False) as r:
        r.dp.set_forwarders((0,))
        sleeps = r.dp.stats()["forwarders"][0]["sleeps"]
        r.dp.barrier_wait()
        assert not r.dp.stats()["forwarders"][0]["asleep"]
        assert r.dp.stats()["forwarders"][0]["sleeps"] == sleeps
        r.dp.set_forwarders((0,), max_sleep_us=1000)
        wait_for(lambda: r.dp.stats()["forwarders"][0]["sleeps"] > sleeps + 3)
        r.dp.set_forwarders(None)
        wait_for(lambda: r.dp.stats()["forwarders"][0]["asleep"])


def test_a_held_switch_stays_held_when_its_forwarders_change():
    with rig(1, inline=False) as r:
        r.hook.set_bank(1, [rule(out(2))])
        r.dp.hold(True)
        r.dp.set_forwarders((0, 1))
        r.pipes[1].inject(frame())
        r.dp.barrier_wait()
        assert r.pipes[1].stats()["rx_packets"] == 0
        r.dp.hold(False)
        wait_for(r.pipes[2].take)
        r.dp.set_forwarders(None)


def test_a_processor_that_is_not_there_leaves_the_forwarder_where_it_is():
    with rig(1, inline=False) as r:
        r.hook.set_bank(1, [rule(out(2))])
        r.dp.set_forwarders((4000,))
        r.pipes[1].inject(frame())
        wait_for(r.pipes[2].take)


@pytest.mark.parametrize("count", [0, 17])
def test_numbers_of_forwarders_that_cannot_be_change_nothing(count):
    with rig(1, inline=False) as r:
        r.hook.set_bank(1, [rule(out(2))])
        with pytest.raises(ConfigError, match=f"{count} forwarders are not in 1..16"):
            r.dp.set_forwarders(range(count))
        r.pipes[1].inject(frame())
        wait_for(r.pipes[2].take)


def test_loads_show_who_is_busy_and_are_dealt_out_when_that_helps():
    with rig(2, inline=False, null=True, n_ports=4) as r:
        for port in (1, 2, 3):
            r.hook.set_bank(port, [rule(out(4))])
        r.dp.rx.isolate = False
        for port in (1, 2, 3):
            r.dp.rx.set_affinity(port, {0: 0})
        for turn in range(12):
            for port in (1, 2, 3):
                r.pipes[port].loop([frame()], 3000)
            wait_for(lambda turn=turn: sum(r.pipes[n].stats()["rx_packets"] for n in (1, 2, 3)) == 9000 * (turn + 1))
            r.dp.rx.sample()
        first, second = r.dp.rx.rows()
        assert [q["port"] for q in first["queues"] if q["usage"] is not None][:3] == ["p1", "p2", "p3"]
        assert not r.dp.rx.rebalance_if_worth(0, 25)  # all are pinned: nothing can change
        for known in r.dp.rx._queues.values():
            known.affinity = None
        assert not r.dp.rx.rebalance_if_worth(100, 25)  # no forwarder is that busy
        assert r.dp.rx.rebalance_if_worth(0, 25)
        assert {len(row["queues"]) for row in r.dp.rx.rows()} == {2}
