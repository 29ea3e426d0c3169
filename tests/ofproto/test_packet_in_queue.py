"""Packet-ins within a controller's limits (CH.13)."""

import pytest

from ofproto.packet_in_queue import Limits, Outstanding, RateLimiter
from tests.ofproto.channel_fakes import FakePunt
from tests.ofproto.channel_rig import msg, run
from vslib import clock
from vslib.clock import CLOCK


def message(port, number):
    return bytes([port, number])


def limited(use):
    """Run use(limiter, sent) on the virtual clock."""
    sent = []

    async def main():
        limiter = RateLimiter(sent.append)
        await use(limiter, sent)
        limiter.close()

    clock.run(main())


def test_without_a_limit_all_are_sent_at_once_and_nothing_is_reported():
    async def use(limiter, sent):
        for i in range(200):
            limiter.put(1, message(1, i))
        assert len(sent) == 200 and limiter.status("miss") == {}

    limited(use)


def test_a_burst_passes_and_then_the_rate_holds():
    async def use(limiter, sent):
        limiter.configure(100, 25)
        for i in range(200):
            limiter.put(1, message(1, i))
        assert len(sent) == 25
        assert limiter.status("miss") == {
            "packet-in-miss-backlog": 25, "packet-in-miss-bypassed": 25,
            "packet-in-miss-dropped": 150, "packet-in-miss-queued": 175,
        }  # fmt: skip
        await CLOCK.sleep(0.11)
        assert 33 <= len(sent) <= 36
        await CLOCK.sleep(1)
        assert len(sent) == 50 and sent[-1] == message(1, 199)  # the oldest were dropped
        await CLOCK.sleep(10)
        limiter.put(1, b"x")
        assert sent[-1] == b"x" and limiter.bypassed == 26

    limited(use)


def test_a_port_that_floods_does_not_silence_another():
    async def use(limiter, sent):
        limiter.configure(100, 25)
        for i in range(200):
            limiter.put(1, message(1, i))
        limiter.put(2, message(2, 0))
        limiter.put(2, message(2, 1))
        await CLOCK.sleep(0.1)
        assert message(2, 0) in sent and message(2, 1) in sent

    limited(use)


def test_a_limit_that_goes_lets_all_pass_and_a_smaller_burst_drops():
    async def use(limiter, sent):
        limiter.configure(1000, 100)
        for i in range(200):
            limiter.put(1, message(1, i))
        limiter.configure(1000, 30)
        assert limiter.status("a")["packet-in-a-backlog"] == 30
        limiter.configure(0, 0)
        assert len(sent) == 130

    limited(use)


def test_the_burst_is_a_quarter_of_the_rate_unless_given():
    async def use(limiter, sent):
        limiter.configure(200, 0)
        for i in range(99):
            limiter.put(1, message(1, i))
        assert len(sent) == 50

    limited(use)


def test_what_waits_is_found_from_positions_in_the_stream():
    waiting = Outstanding()
    for _ in range(3):
        waiting.wrote(100)
        waiting.note()
    waiting.wrote(50)
    assert [waiting.count(queued) for queued in (350, 250, 60, 50, 0)] == [3, 2, 1, 0, 0]


@pytest.mark.parametrize("size", [1, 7])
def test_a_controller_that_does_not_read_gets_its_queue_and_others_get_all(size):  # CH.08, CH.13
    async def main(rig):
        lazy, eager = await rig.ready(4), await rig.ready(4)
        lazy.connection.limit(Limits(queue_size=size))
        eager.connection.limit(Limits(queue_size=512))
        for _ in range(300):
            rig.channel.packet_in(FakePunt())
        got = await lazy.all_until_barrier(4)
        assert len(got) == size and {m[1] for m in got} == {10}
        assert len(await eager.all_until_barrier(4)) == 300
        rig.channel.packet_in(FakePunt())
        assert (await lazy.receive())[1] == 10  # it caught up: there is room again

    run(main)


def test_a_silent_connection_gets_what_it_asks_for():  # SC.15, MS.40
    async def main(rig):
        client = await rig.ready(4)
        client.connection.silence()
        rig.channel.packet_in(FakePunt())
        rig.channel.port_status(2, rig.bridge.all_ports[0])
        assert await client.all_until_barrier(4) == []
        client.send(msg(4, 28, b"".join(bits.to_bytes(4, "big") for bits in (2, 0, 0, 0, 0, 0))))
        await client.all_until_barrier(4)
        rig.channel.port_status(2, rig.bridge.all_ports[0])
        rig.channel.packet_in(FakePunt())
        assert [m[1] for m in await client.all_until_barrier(4)] == [10]

    run(main)
