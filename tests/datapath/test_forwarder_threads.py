"""Forwarders on threads: barriers under load, sleep without losing a wake-up, attach and detach while frames
flow, clean stops (DP.15, DP.17, DP.18).
"""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from datapath.datapath import Datapath
from datapath.ports.pipe import PipePort
from datapath.testing import GivenHook
from tests.datapath.forwarding import frame, out, rig, rule, wait_for
from vslib.errors import InternalError

F = frame()


def sent_by(pipe):
    return pipe.stats()["tx_packets"]


@pytest.mark.parametrize("n_forwarders", [1, 2])
def test_after_a_barrier_no_frame_is_handled_by_the_old_tables(n_forwarders):
    flows = [frame(sport=n) for n in range(20)]
    with rig(n_forwarders, inline=False, n_ports=4, null=True) as r:
        old, new = 4, 3
        for bank in (1, 2):
            r.hook.set_bank(bank, [rule(tp_src=b"\xff\xff"), rule(out(new))])
            r.pipes[bank].loop(flows)
        wait_for(lambda: sent_by(r.pipes[new]) > 10_000)
        for _ in range(1500):
            old, new = new, old
            for bank in (1, 2):
                r.hook.set_bank(bank, [rule(tp_src=b"\xff\xff"), rule(out(new))])
            r.dp.barrier_wait()
            before = sent_by(r.pipes[old])
            time.sleep(0)
            assert sent_by(r.pipes[old]) == before
        assert min(sent_by(r.pipes[old]), sent_by(r.pipes[new])) > 10_000
        for bank in (1, 2):
            r.pipes[bank].loop([])


def test_barrier_of_sleeping_forwarders_needs_no_wake_up():
    with rig(2, inline=False) as r:
        r.run()
        sleeps = [one["sleeps"] for one in r.dp.stats()["forwarders"]]
        for _ in range(100):
            r.dp.barrier_wait()
        assert [one["sleeps"] for one in r.dp.stats()["forwarders"]] == sleeps


def test_barrier_waits_for_frames_given_to_execute():
    with rig(2, inline=False) as r:
        hook = GivenHook(r.hook, [out(1)], 1)
        for n in range(200):
            r.dp.execute(frame(sport=n), 2, hook)
            r.dp.barrier_wait()
            assert r.taken() == [(1, frame(sport=n))]


@pytest.mark.parametrize("n_forwarders", [1, 2])
def test_frames_received_after_a_table_barrier_meet_the_new_tables_and_it_waits_for_no_flood(n_forwarders):  # MS.36
    flood = [frame(sport=n) for n in range(2000)]
    with rig(n_forwarders, inline=False, n_ports=4) as r:
        r.dp.flow_limit = 100
        r.hook.set_bank(1, [rule(tp_src=b"\xff\xff"), rule()])
        r.hook.set_bank(2, [rule(out(3))])
        r.pipes[1].loop(flood)
        wait_for(lambda: r.dp.stats()["misses"] > 5000)
        for n in range(500):
            new = 3 + n % 2
            r.hook.set_bank(2, [rule(out(new))])
            assert r.dp.tables_barrier() is None  # no command, so no wait
            assert r.pipes[2].inject(F)
            sent = []
            wait_for(lambda sent=sent: sent.extend(r.taken()) or sent)
            assert sent == [(new, F)]
        r.pipes[1].loop([])


def test_table_barrier_waits_for_frames_given_to_execute():  # MS.36
    async def ask(r):
        hook = GivenHook(r.hook, [out(1)], 1)
        asyncio.get_running_loop().add_reader(r.dp.completion_fd, r.dp.run_callbacks)
        for n in range(100):
            r.dp.execute(frame(sport=n), 2, hook)
            await r.dp.tables_barrier()
            assert r.taken() == [(1, frame(sport=n))]
            assert r.dp.tables_barrier() is None
        asyncio.get_running_loop().remove_reader(r.dp.completion_fd)

    with rig(2, inline=False) as r:
        r.pipes[3].loop([F])
        asyncio.run(ask(r))
        r.pipes[3].loop([])


def test_no_wake_up_is_lost():
    with rig(1, inline=False) as r:
        r.hook.set_bank(1, [rule(out(2))])
        for n in range(1500):
            r.pipes[1].inject(F)
            if n % 3 == 0:
                r.dp.barrier_wait()
            wait_for(r.pipes[2].take)


def test_idle_forwarders_cost_no_cpu():
    with rig(2, inline=False) as r:
        r.hook.set_bank(1, [rule(out(2))])
        r.send(1, F)
        before = time.process_time()
        time.sleep(0.3)
        assert time.process_time() - before < 0.02


def test_barrier_callbacks_reach_an_event_loop():
    async def ask(dp):
        loop = asyncio.get_running_loop()
        loop.add_reader(dp.completion_fd, dp.run_callbacks)
        for _ in range(50):
            await asyncio.wait_for(dp.barrier_async(), 10)
        loop.remove_reader(dp.completion_fd)

    with rig(2, inline=False, null=True) as r:
        r.hook.set_bank(1, [rule(out(2))])
        r.pipes[1].loop([F])
        asyncio.run(ask(r.dp))
        r.pipes[1].loop([])


def test_ports_come_and_go_while_frames_flow():
    with rig(2, inline=False, null=True) as r:
        r.hook.set_bank(1, [rule(out(2), out(9))])
        r.pipes[1].loop([F])
        for _ in range(100):
            late = PipePort("late", null=True)
            late.loop([F])
            assert r.dp.add_port(late, 9) == 9
            wait_for(lambda late=late: sent_by(late) > 0)
            r.dp.del_port(9)
            late.close()
        r.pipes[1].loop([])
        r.run()
        assert set(r.dp.stats()["drops"]) <= {"tx_no_port", "table_miss"}


def test_dump_push_and_flush_work_under_load():
    flows = [frame(sport=n) for n in range(3000)]
    with rig(1, inline=False, null=True) as r:
        r.hook.set_bank(1, [rule(tp_src=b"\xff\xff"), rule(out(2), credit=1)])
        r.pipes[1].loop(flows)
        wait_for(lambda: r.dp.stats()["n_flows"] == 3000)
        for _ in range(20):
            keys = [row.key for row in r.dp.dump_flows()]
            assert len(keys) == len(set(keys)) > 2000
            r.push()
            r.dp.flush()
            wait_for(lambda: r.dp.stats()["n_flows"] == 3000)
        r.pipes[1].loop([])
        r.run()
        r.dp.flush()
        assert r.hook.credits(1)[0] == sent_by(r.pipes[2])


def test_several_python_threads_may_give_commands():
    with rig(2, inline=False) as r:
        wrong = []

        def work():
            try:
                for _ in range(100):
                    r.dp.barrier_wait()
                    r.dp.dump_flows()
            except Exception as error:
                wrong.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


def test_stop_and_start_again():
    with rig(2, inline=False) as r:
        r.hook.set_bank(1, [rule(out(2), credit=1)])
        for _ in range(5):
            assert r.send(1, F) == [(2, F)]
            r.dp.stop()
            assert (r.dp.stats()["n_flows"], r.hook.owners) == (0, 0)
            r.dp.start()
        assert r.hook.credits(1)[0] == 5
        with pytest.raises(InternalError):
            r.dp.start()
        with pytest.raises(InternalError):
            r.dp.step()


def test_stop_ends_the_threads():
    before = threading.active_count()
    dp = Datapath(4)
    dp.start()
    assert threading.active_count() == before + 4
    dp.stop()
    assert threading.active_count() == before
