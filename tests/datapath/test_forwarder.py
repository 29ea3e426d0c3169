"""The forwarder's caches, versions and tags, with a table-driven miss hook (DP.02, DP.04, DP.10, DP.12, DP.13)."""

from __future__ import annotations

import gc
import os

import pytest

from datapath.datapath import Datapath
from datapath.ports.pipe import PipePort
from datapath.testing import GivenHook
from tests.datapath.forwarding import KEY_BYTES, S, frame, match, out, punt, rig, rule, set_field
from vslib.errors import ConfigError, InternalError

F = frame()
IGMP = F[:23] + b"\x02" + F[24:]


def counters(r, *names):
    stats = r.dp.stats()
    return tuple(stats[name] for name in names)


def test_first_packet_misses_then_caches_answer():
    with rig() as r:
        r.hook.set_bank(1, [rule(out(2), ip_dst=b"\x0a\0\0\x01")])
        assert r.send(1, F) == [(2, F)]
        assert counters(r, "misses", "masked_hits", "exact_hits") == (1, 0, 0)
        r.send(1, F)
        assert counters(r, "misses", "masked_hits", "exact_hits") == (1, 0, 1)
        r.send(1, frame(sport=77))  # a frame that differs only in what no megaflow reads
        assert counters(r, "misses", "masked_hits", "exact_hits") == (1, 0, 2)
        r.send(1, IGMP)  # without shape: looked up by its parsed key
        r.send(1, IGMP)
        assert counters(r, "misses", "masked_hits", "exact_hits") == (1, 1, 3)
        r.send(1, frame(ip_dst=2))
        assert counters(r, "misses", "n_flows", "n_masks") == (2, 2, 1)
        assert r.dp.stats()["drops"] == {"table_miss": 1}


def test_in_port_is_always_part_of_a_megaflow():
    with rig() as r:
        r.hook.set_bank(1, [rule(out(3))])
        r.hook.set_bank(2, [rule(out(1))])
        assert r.send(1, F) == [(3, F)]
        assert r.send(2, F) == [(1, F)]


def test_change_with_a_tag_that_matters_translates_again():
    with rig() as r:
        r.hook.set_bank(1, [rule(out(2))])
        r.send(1, F)
        r.hook.set_bank(1, [rule(out(3))])
        assert r.send(1, F, F) == [(3, F), (3, F)]
        assert counters(r, "misses", "retranslations", "n_flows") == (1, 1, 1)


def test_change_with_another_tag_costs_no_translation():
    with rig() as r:
        r.hook.set_bank(1, [rule(out(2))])
        r.send(1, F)
        for _ in range(10):
            r.hook.set_bank(2, [rule(out(3))])
        assert r.send(1, F) == [(2, F)]
        assert r.hook.translations == 1
        assert counters(r, "exact_hits", "retranslations") == (1, 0)


def test_new_mask_replaces_the_megaflow():
    with rig() as r:
        r.hook.set_bank(1, [rule(out(2), ip_dst=b"\x0a\0\0\x01")])
        r.send(1, F)
        r.hook.set_bank(1, [rule(out(3), tp_dst=b"\0\x02")])
        assert r.send(1, F) == [(3, F)]
        (row,) = r.dp.dump_flows()
        assert row.mask == match(in_port=b"\0\0\0\0", recirc_id=b"\0\0\0\0", tp_dst=b"\0\0")[1]
        assert r.send(1, frame(ip_dst=9)) == [(3, frame(ip_dst=9))]
        assert counters(r, "misses", "retranslations") == (1, 1)


def test_uncacheable_result_runs_once_and_is_not_installed():
    with rig() as r:
        r.hook.set_bank(1, [rule(out(2), credit=3, cacheable=False)])
        assert r.send(1, F, F) == [(2, F), (2, F)]
        assert counters(r, "n_flows", "uncached", "misses") == (0, 2, 2)
        assert r.hook.credits(3)[:2] == (2, 2 * len(F))
        assert r.hook.owners == 0


def test_megaflow_that_became_uncacheable_goes():
    with rig() as r:
        r.hook.set_bank(1, [rule(out(2), credit=3)])
        r.send(1, F)
        r.hook.set_bank(1, [rule(out(2), credit=4, cacheable=False)])
        assert r.send(1, F) == [(2, F)]
        assert counters(r, "n_flows", "retranslations", "uncached") == (0, 1, 1)
        assert (r.hook.credits(3)[0], r.hook.credits(4)[0]) == (1, 1)


def test_failed_translation_drops_and_counts_lost():
    with rig() as r:
        r.hook.set_bank(1, [rule(out(2))])
        r.send(1, F)
        r.hook.set_bank(1, [rule(fails=True)])
        assert r.send(1, F) == []
        assert counters(r, "lost", "n_flows") == (1, 0)
        assert r.dp.stats()["drops"] == {"miss_failed": 1}


def test_change_made_by_a_translation_holds_for_the_next_packet_of_the_batch():
    frames = [frame(payload=bytes((n,))) for n in range(5)]
    with rig() as r:
        r.hook.set_bank(1, [rule(out(2), once=True), rule(out(3))])
        assert r.send(1, *frames) == [(2, frames[0]), *((3, f) for f in frames[1:])]


def test_without_a_hook_everything_is_dropped():
    dp = Datapath(inline=True)
    with PipePort("p") as pipe:
        dp.add_port(pipe)
        pipe.inject(F)
        dp.step(S)
        assert dp.stats()["drops"] == {"miss_no_bridge": 1}
        assert dp.port_stats(1)["drops"] == {"miss_no_bridge": 1}
        dp.del_port(1)
        assert dp.stats()["drops"] == {"miss_no_bridge": 1}


def test_short_frame_is_dropped_by_name():
    with rig() as r:
        assert r.send(1, b"123") == []
        assert r.dp.stats()["drops"] == {"rx_too_short": 1}


# -- credits and expiry


def test_credits_are_pushed_as_differences_to_the_owner_of_the_time():
    with rig() as r:
        r.hook.set_bank(1, [rule(out(2), credit=1)])
        r.send(1, F, F)
        assert r.hook.credits(1) == (0, 0, 0)
        r.push()
        assert r.hook.credits(1) == (2, 2 * len(F), r.now_ns)
        r.push()
        r.send(1, F)
        r.hook.set_bank(1, [rule(out(2), credit=2)])
        r.send(1, F)
        assert r.hook.credits(1)[0] == 3
        r.dp.stop()
        assert (r.hook.credits(1)[0], r.hook.credits(2)[0], r.hook.owners) == (3, 1, 0)


def test_idle_megaflow_expires_after_max_idle():
    with rig() as r:
        r.hook.set_bank(1, [rule(out(2), credit=1)])
        r.dp.max_idle_ms = 2000
        r.send(1, F)
        r.now_ns += 2 * S
        r.push()
        assert counters(r, "n_flows") == (1,)
        r.now_ns += 1
        r.push()
        assert counters(r, "n_flows") == (0,)
        assert r.hook.owners == 0
        assert r.send(1, F) == [(2, F)]
        assert counters(r, "misses") == (2,)


def test_sweep_lets_go_of_stale_megaflows_that_nobody_uses():
    with rig() as r:
        r.hook.set_bank(1, [rule(out(2), credit=1)])
        r.send(1, F)
        r.hook.set_bank(1, [])
        r.push()
        assert (r.hook.owners, r.hook.credits(1)[0]) == (1, 1)
        r.push()
        assert r.hook.owners == 0


def test_full_push_lets_go_of_stale_megaflows_at_once():
    with rig() as r:
        r.hook.set_bank(1, [rule(out(2), credit=1)])
        r.hook.set_bank(2, [rule(out(1), credit=2)])
        r.send(1, F)
        r.send(2, F)
        r.hook.set_bank(1, [])
        r.push(full=True)
        assert (r.hook.owners, r.hook.credits(1)[0], r.dp.stats()["n_flows"]) == (1, 1, 1)


def test_sweep_of_many_megaflows_works_in_slices():
    with rig(size=4096) as r:
        r.hook.set_bank(1, [rule(tp_src=b"\xff\xff"), rule(out(2), credit=1)])
        r.send(1, *(frame(sport=n) for n in range(3500)))
        assert counters(r, "n_flows") == (3500,)
        assert len({row.key for row in r.dp.dump_flows()}) == 3500
        r.push()
        assert r.hook.credits(1)[0] == 3500
        r.dp.flush()
        assert counters(r, "n_flows", "n_masks") == (0, 0)
        assert r.hook.owners == 0


def test_flow_limit_holds_and_packets_still_pass():
    with rig() as r:
        r.dp.flow_limit = 50
        r.hook.set_bank(1, [rule(tp_src=b"\xff\xff"), rule(out(2), credit=1)])
        sent = r.send(1, *(frame(sport=n) for n in range(200)))
        assert len(sent) == 200
        assert counters(r, "n_flows", "evicted") == (50, 150)
        r.push()
        assert r.hook.credits(1)[0] == 200


# -- dump, execute, ports


def test_dump_shows_masked_key_mask_actions_and_counts():
    with rig() as r:
        r.hook.set_bank(1, [rule(set_field("eth_src", b"\x0e" * 6), out(2), ip_dst=(b"\x0a\0\0\0", b"\xff\xff\0\0"))])
        r.send(1, F, F)
        (row,) = r.dp.dump_flows()
        zero = b"\0\0\0\0"
        assert row.mask == match(in_port=zero, recirc_id=zero, ip_dst=(zero, b"\xff\xff\0\0"))[1]
        assert row.key == match(in_port=b"\0\0\0\x01", ip_dst=b"\x0a\0\0\0")[0]
        assert len(row.key) == KEY_BYTES
        assert row.actions == [set_field("eth_src", b"\x0e" * 6), out(2)]
        assert (row.packets, row.bytes, row.used_ns, row.tcp_flags, row.forwarder) == (2, 2 * len(F), r.now_ns, 0, 0)


def test_execute_runs_a_given_program_and_credits_it():
    with rig() as r:
        r.dp.execute(F, 3, GivenHook(r.hook, [out(1), punt(5), out(2)], 9))
        r.run()
        assert r.taken() == [(1, F), (2, F)]
        assert r.hook.credits(9)[:2] == (1, len(F))
        assert r.hook.take_punts() == [(5, F)]
        assert counters(r, "n_flows", "packets") == (0, 0)


@pytest.mark.parametrize("size", [0, 66561])
def test_execute_refuses_a_frame_that_no_buffer_holds(size):
    with rig() as r, pytest.raises(ConfigError):
        r.dp.execute(bytes(size), 1, GivenHook(r.hook, []))


def test_deleted_port_is_neither_received_from_nor_sent_to():
    with rig() as r:
        r.hook.set_bank(1, [rule(out(2))])
        r.send(1, F)
        r.dp.del_port(2)
        r.pipes.pop(2).close()
        assert r.send(1, F) == []
        assert r.dp.stats()["drops"] == {"tx_no_port": 1}
        again = PipePort("again")
        assert r.dp.add_port(again) == 2
        r.pipes[2] = again
        assert r.send(1, F) == [(2, F)]


def test_port_errors_are_configuration_errors():
    with rig() as r:
        with pytest.raises(ConfigError, match="no datapath port 9"):
            r.dp.del_port(9)
        with pytest.raises(ConfigError, match="attached already"):
            r.dp.add_port(r.pipes[1])
        with PipePort("q") as q:
            for number in (0, 1, 65536):
                with pytest.raises(ConfigError):
                    r.dp.add_port(q, number)
        with pytest.raises(ConfigError, match="closed"):
            r.dp.add_port(q)
        with pytest.raises(InternalError):
            r.pipes[1].close()


def test_receive_ports_are_spread_over_forwarders():
    with rig(n_forwarders=2, n_ports=4) as r:
        assert [one["n_rx_ports"] for one in r.dp.stats()["forwarders"]] == [2, 2]
        r.dp.del_port(1)
        r.dp.del_port(3)
        r.pipes.pop(1).close()
        r.pipes.pop(3).close()
        for name in "nm":
            added = PipePort(name)
            r.pipes[r.dp.add_port(added)] = added
        assert [one["n_rx_ports"] for one in r.dp.stats()["forwarders"]] == [2, 2]


def test_callback_that_raises_does_not_keep_the_others_from_running():
    with rig() as r:
        called = []

        def bad():
            raise KeyError

        r.dp.barrier(bad)
        r.dp.barrier(lambda: called.append(1))
        with pytest.raises(KeyError):
            r.dp.step(S)
        r.dp.step(S)
        assert called == [1]


@pytest.mark.parametrize("count", [0, 17])
def test_number_of_forwarders_is_checked_and_no_descriptor_is_lost(count):
    with open(os.devnull, "rb") as stands_in_for_zero:
        saved = os.dup(0) if os.path.exists("/proc/self/fd/0") else None
        os.dup2(stands_in_for_zero.fileno(), 0)
        try:
            with pytest.raises(ConfigError):
                Datapath(count)
            gc.collect()
            assert os.path.exists("/proc/self/fd/0")
        finally:
            if saved is not None:
                os.dup2(saved, 0)
                os.close(saved)
