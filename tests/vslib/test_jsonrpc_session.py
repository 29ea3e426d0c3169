"""JSON-RPC sessions: calls both ways, echo, probes, bounded queues, and peers that misbehave (DB.01, DB.27, MG.23)."""

import asyncio
import gc
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vslib import clock, jsonrpc, stream
from vslib.clock import CLOCK
from vslib.errors import ConfigError

ADD = b'{"method":"add","params":[1],"id":1}'
PROBE = b'{"method":"echo","params":[],"id":"echo"}'


def service(session, message):
    """Answer a few methods, as a plain function."""
    if message.method == "add":
        session.reply(message.id, sum(message.params))
    elif message.method == "refuse":
        raise jsonrpc.RpcError({"error": "refused", "details": "no"})
    elif message.method == "config":
        raise ConfigError("bad value")
    elif message.method == "bug":
        raise ZeroDivisionError("x")
    elif message.method == "later":
        session.spawn(reply_later(session, message))
    else:
        raise jsonrpc.RpcError("unknown method")


async def reply_later(session, message):
    await CLOCK.sleep(message.params[0])
    session.reply(message.id, message.params[0])


def sessions(**options):
    """Return a client and a server session, started, on a memory pair."""
    ends = stream.pair()
    client = jsonrpc.Session(ends[0], **options)
    server = jsonrpc.Session(ends[1], service, **options)
    client.start()
    server.start()
    return client, server


def test_calls_are_answered_refused_and_overtaken():
    async def main():
        client, server = sessions()
        assert await client.call("add", [1, 2]) == 3
        for method, error in [
            ("refuse", {"error": "refused", "details": "no"}),
            ("config", "bad value"),
            ("bug", "internal error: x"),
            ("nope", "unknown method"),
        ]:
            with pytest.raises(jsonrpc.RpcError) as caught:
                await client.call(method, [])
            assert caught.value.error == error
        slow, quick = client.call("later", [2]), client.call("later", [1])
        order = []
        await asyncio.gather(*(note(each, order) for each in (slow, quick)))
        assert order == [1, 2]
        assert await server.call("echo", ["back"]) == ["back"]
        client.close()
        await server.wait_closed()
        assert server.close_reason == "connection closed by peer"

    clock.run(main())


async def note(call, order):
    order.append(await call)


def test_notifications_reach_the_handler_and_their_errors_reach_nobody():
    async def main():
        seen = []

        async def handler(session, message):
            seen.append((message.kind, message.method, message.params))
            raise ZeroDivisionError

        ends = stream.pair()
        client, server = jsonrpc.Session(ends[0]), jsonrpc.Session(ends[1], handler)
        client.start()
        server.start()
        client.notify("update", [1])
        assert await client.call("echo", [2]) == [2]
        assert seen == [("notification", "update", [1])]

    clock.run(main())


def test_a_call_times_out_and_its_late_reply_is_ignored():
    async def main():
        client, _ = sessions()
        with pytest.raises(TimeoutError):
            await client.call("later", [3], timeout_s=1)
        await CLOCK.sleep(5)
        assert not client.closed
        assert not client._pending
        assert await client.call("add", [1]) == 1

    clock.run(main())


def test_waiting_calls_end_with_the_session():
    async def main():
        client, server = sessions()
        waiting = asyncio.ensure_future(client.call("later", [100]))
        await CLOCK.sleep(1)
        server.close("enough")
        with pytest.raises(jsonrpc.SessionClosed, match="connection closed by peer"):
            await waiting
        with pytest.raises(jsonrpc.SessionClosed):
            await client.call("add", [])
        client.notify("ignored", [])
        assert not server._spawned

    clock.run(main())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"garbage", "not with 'g'"),
        (b'{"method":"add","par', r"closed in mid-message \(20 bytes\)"),
        (b"", "connection closed by peer"),
        (b"{}", "neither"),
        (b'{"method":"x","params":[],"id":1]}', "syntax error"),
    ],
)
def test_misbehaving_peers_end_their_session_only(data, reason):
    async def main():
        raw, end = stream.pair()
        closed = []
        session = jsonrpc.Session(end, service, on_close=closed.append)
        task = session.start()
        raw.write(data)
        await CLOCK.sleep(0.1)
        raw.close()
        await session.wait_closed()
        await task
        assert closed == [session]
        assert re.search(reason, session.close_reason)

    clock.run(main())


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=40) | st.sampled_from([ADD, b'{"id":']), max_size=8))
def test_no_bytes_whatever_make_the_task_raise(chunks):
    async def main():
        raw, end = stream.pair()
        session = jsonrpc.Session(end, service, max_message_bytes=200)
        task = session.start()
        for chunk in chunks:
            raw.write(chunk)
            await asyncio.sleep(0)
        raw.close()
        await CLOCK.wait_for(task, 10)
        assert session.close_reason

    clock.run(main())


def test_a_silent_peer_is_probed_and_then_dropped():
    async def main():
        raw, end = stream.pair()
        session = jsonrpc.Session(end, probe_s=5)
        session.start()
        start = CLOCK.now_ns()
        assert await raw.read() == PROBE
        assert (CLOCK.now_ns() - start) / 1e9 == pytest.approx(5, abs=0.01)
        raw.write(b'{"result":[],"error":null,"id":"echo"}')
        await CLOCK.sleep(4)
        assert not session.closed
        assert await raw.read() == PROBE
        await session.wait_closed()
        assert session.close_reason == "no response to inactivity probe after 5 seconds"
        assert (CLOCK.now_ns() - start) / 1e9 == pytest.approx(15, abs=0.1)

    clock.run(main())


def test_two_idle_sessions_keep_each_other_alive():
    async def main():
        client, server = sessions(probe_s=5)
        await CLOCK.sleep(3600)
        assert not client.closed
        assert not server.closed
        client.set_probe(0)
        server.set_probe(0)
        assert client._probe is None

    clock.run(main())


def test_a_slow_handler_is_not_taken_for_a_silent_peer():
    async def main():
        async def slow(session, message):
            await CLOCK.sleep(60)
            session.reply(message.id, "done")

        ends = stream.pair()
        client, server = jsonrpc.Session(ends[0], probe_s=0), jsonrpc.Session(ends[1], slow, probe_s=5)
        client.start()
        server.start()
        assert await client.call("work", []) == "done"

    clock.run(main())


def test_a_peer_that_does_not_read_is_dropped_at_the_queue_limit():
    async def main():
        _, end = stream.pair()
        session = jsonrpc.Session(end, max_queued_bytes=10_000)
        session.start()
        for _ in range(100):
            session.notify("update", ["x" * 1000])
        assert "does not read" in session.close_reason
        assert end.queued_bytes < 12_000

    clock.run(main())


def test_one_message_larger_than_the_queue_limit_goes_through():
    async def main():
        client, server = sessions(max_queued_bytes=10_000)
        assert await client.call("echo", ["x" * 100_000]) == ["x" * 100_000]
        assert not server.closed

    clock.run(main())


def test_requests_of_a_peer_that_does_not_read_replies_wait():
    async def main():
        raw, end = stream.pair()
        session = jsonrpc.Session(end, service, probe_s=0)
        session.start()
        text = "x" * 40_000
        for _ in range(50):
            raw.write(b'{"method":"echo","params":["' + text.encode() + b'"],"id":1}')
        await CLOCK.sleep(1)
        assert end.queued_bytes < 10 * len(text)
        received = 0
        while received < 50 * len(text):
            received += len(await raw.read(1 << 20))
        assert not session.closed

    clock.run(main())


def test_a_session_that_nobody_holds_lives_until_its_peer_ends(tmp_path):
    async def main():
        def accept(connection):
            jsonrpc.Session(connection, service).start()

        listener = await stream.listen(f"punix:{tmp_path}/s", None, accept)
        client = jsonrpc.Session(await stream.connect(f"unix:{tmp_path}/s"))
        client.start()
        for _ in range(3):
            assert await client.call("add", [1, 1], timeout_s=5) == 2
            gc.collect()
        client.close()
        await client.wait_closed()
        await asyncio.sleep(0.05)
        assert not jsonrpc._running
        await listener.close()

    asyncio.run(main())


def test_closing_from_a_handler_and_running_inside_another_task_are_quiet():
    async def main():
        def hang_up(session, message):
            session.close("told to")

        ends = stream.pair()
        client, server = jsonrpc.Session(ends[0]), jsonrpc.Session(ends[1], hang_up)
        client.start()
        client.notify("go", [])
        await server.run()
        assert server.close_reason == "told to"

    clock.run(main())


def test_closing_a_session_that_another_task_runs_lets_that_task_go_on():
    async def main():
        _, end = stream.pair()
        session, went_on = jsonrpc.Session(end), []

        async def owner():
            await session.run()
            await CLOCK.sleep(1)
            went_on.append(True)

        task = asyncio.ensure_future(owner())
        await CLOCK.sleep(1)
        session.close("elsewhere")
        await task
        assert went_on == [True]

    clock.run(main())
