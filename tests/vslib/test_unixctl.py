"""Management commands: the real ovs-appctl against our server, ours against a real daemon (MG.01, MG.04, AP.06-09)."""

import asyncio
import json
import os
import shutil
import socket
import subprocess

import pytest

from vslib import coverage, dirs, memory, pidfile, unixctl, unixctl_client, vlog
from vslib.clock import CLOCK
from vslib.errors import ConfigError

needs_tools = pytest.mark.skipif(not shutil.which("ovs-appctl"), reason="openvswitch-switch is not installed")
pytestmark = pytest.mark.usefixtures("fresh_vlog")


@pytest.fixture
def registry():
    made = unixctl.Registry()
    made.register("test/upper", "TEXT [TEXT]", 1, 2, lambda args: " ".join(args).upper())
    made.register("test/slow", "", 0, 0, slow)
    made.register("test/bug", "", 0, 0, lambda _: str(1 // 0))
    made.register("test/fail", "", 0, 0, fail)
    return made


async def slow(_):
    await CLOCK.sleep(0.01)
    return "slept"


def fail(_):
    raise unixctl.CommandError("no such bridge")


def serve(tmp_path, registry, use):
    """Run ``use(path)`` beside a server on a socket in ``tmp_path`` and return its result."""

    async def main():
        server = unixctl.Server(registry=registry)
        path = await server.start(str(tmp_path / "test.ctl"))
        try:
            return await use(path)
        finally:
            await server.close()
            assert not os.path.exists(path)

    return asyncio.run(main())


async def appctl(path, *args):
    """Run the real ovs-appctl; return its exit status, output and first line of errors."""
    process = await asyncio.create_subprocess_exec(
        "ovs-appctl", "-t", path, *args, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode().partition("\n")[0]


@needs_tools
@pytest.mark.ovs_tools
def test_the_real_appctl_drives_every_built_in_command(tmp_path, registry):
    vlog.set_log_file(str(tmp_path / "log"))
    memory.register("test-cells", lambda: 7)
    coverage.counter("test_event").inc(3)

    async def use(path):
        status, out, _ = await appctl(path, "version")
        assert (status, out.splitlines()[0]) == (0, "ovs-vswitchd (Open vSwitch) 3.1.0")
        assert out.splitlines()[1].startswith("cyvswitch ")
        status, out, _ = await appctl(path, "list-commands")
        assert out.splitlines()[0] == "The available commands are:"
        assert "  test/upper              TEXT [TEXT]" in out
        assert out.splitlines()[1:] == sorted(out.splitlines()[1:])
        assert (await appctl(path, "help"))[1] == out
        assert (await appctl(path, "coverage/read-counter", "test_event"))[1] == "3\n"
        assert "test_event " in (await appctl(path, "coverage/show"))[1]
        assert "test-cells:7" in (await appctl(path, "memory/show"))[1]
        for command in ("vlog/reopen", "vlog/close", "vlog/enable-rate-limit", "vlog/disable-rate-limit"):
            assert await appctl(path, command) == (0, "", "")
        assert (await appctl(path, "vlog/list-pattern"))[0] == 0
        assert await appctl(path, "vlog/set", "unixctl:file:warn", "jsonrpc:off") == (0, "", "")
        assert "unixctl           INFO       INFO       WARN" in (await appctl(path, "vlog/list"))[1]

    try:
        serve(tmp_path, registry, use)
    finally:
        memory.unregister("test-cells")


ERRORS = [
    ("nope",),
    ("version", "extra"),
    ("coverage/read-counter",),
    ("coverage/read-counter", "a", "b"),
    ("coverage/read-counter", "nope"),
    ("vlog/set", "nope"),
    ("vlog/set", "info:dbg"),
    ("vlog/disable-rate-limit", "nope"),
    ("vlog/reopen",),
    ("memory/show", "x"),
]


@pytest.mark.ovs_tools
@pytest.mark.parametrize("command", ERRORS, ids=" ".join)
def test_errors_are_those_of_a_real_daemon(tmp_path, registry, real_server, command):
    with pytest.raises(unixctl.CommandError) as wanted:
        unixctl.call_sync(real_server, *command)

    async def use(path):
        with pytest.raises(unixctl.CommandError) as found:
            await unixctl.call(path, *command)
        return str(found.value)

    assert serve(tmp_path, registry, use) == str(wanted.value)


def test_commands_answer_fail_and_survive_bugs(tmp_path, registry):
    async def use(path):
        assert await unixctl.call(path, "test/upper", "a", "b") == "A B\n"
        assert await unixctl.call(path, "test/slow") == "slept\n"
        assert await asyncio.to_thread(unixctl.call_sync, path, "test/upper", "x") == "X\n"
        for command, reason in [("test/fail", "^no such bridge$"), ("test/bug", "internal error: ZeroDivisionError")]:
            with pytest.raises(unixctl.CommandError, match=reason):
                await unixctl.call(path, command)
            with pytest.raises(unixctl.CommandError, match=reason):
                await asyncio.to_thread(unixctl.call_sync, path, command)
        registry.unregister("test/upper")
        with pytest.raises(unixctl.CommandError, match='"test/upper" is not a valid command'):
            await unixctl.call(path, "test/upper", "a")

    serve(tmp_path, registry, use)


@pytest.mark.parametrize(
    "data",
    [
        b"garbage",
        b'{"method":"version","params":{},"id":0}',
        b'{"method":"version","params":[],"id":null}',
        b'{"method":"version"',
        b"[]",
        b"{" * 5000,
        b"",
    ],
)
def test_bad_clients_are_hung_up_on_and_others_served(tmp_path, registry, data):
    async def use(path):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(data)
        if data in (b"", b'{"method":"version"'):
            writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        assert (await unixctl.call(path, "version")).startswith("ovs-vswitchd")

    serve(tmp_path, registry, use)


def test_arguments_that_are_no_strings_get_an_error(tmp_path, registry):
    async def use(path):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"method":"test/upper","params":[1],"id":0}')
        reply = json.loads(await asyncio.wait_for(reader.readuntil(b"}"), 5))
        assert reply == {"id": 0, "result": None, "error": '"test/upper" command has non-string argument\n'}
        writer.write(b'{"method":"test/upper","params":["a"],"id":1}{"method":"test/upper","params":["b"],"id":"x"}')
        replies = [json.loads(await asyncio.wait_for(reader.readuntil(b"}"), 5)) for _ in range(2)]
        assert [(each["id"], each["result"]) for each in replies] == [(1, "A\n"), ("x", "B\n")]
        writer.close()

    serve(tmp_path, registry, use)


def test_replies_are_json_for_the_connection_that_asked(tmp_path, registry):
    async def slowly(args):
        await CLOCK.sleep(0.01)
        return {"args": args}

    registry.register("test/rows", "", 0, 0, lambda _: "text", lambda _: [{"a": 1}])
    registry.register("test/slow-rows", "", 0, 2, slow, slowly)

    def ask(path):
        with unixctl_client.Client(path, 5) as client:
            yield client.run("test/rows", [])
            yield client.run("set-options", ["--format", "json"])
            yield client.run("test/rows", [])
            yield client.run("test/slow-rows", ["x"])
            yield client.run("test/upper", ["a"])
            for command, *args in (["test/fail"], ["test/bug"], ["set-options", "--format=xml"], ["set-options", "x"]):
                with pytest.raises(unixctl.CommandError):
                    client.run(command, args)
            yield client.run("set-options", ["--format=text"])
            yield client.run("test/slow-rows", [])

    async def use(path):
        plain = {"reply-format": "plain"}
        assert await asyncio.to_thread(lambda: list(ask(path))) == [
            "text\n", {"reply": ""} | plain, [{"a": 1}], {"args": ["x"]}, {"reply": "A\n"} | plain, "", "slept\n",
        ]  # fmt: skip
        assert await asyncio.to_thread(unixctl.call_sync, path, "test/rows") == "text\n"

    serve(tmp_path, registry, use)


def test_many_clients_at_once_are_served(tmp_path, registry):
    async def use(path):
        calls = [unixctl.call(path, "test/slow") for _ in range(100)]
        assert await asyncio.gather(*calls) == ["slept\n"] * 100

    serve(tmp_path, registry, use)


@needs_tools
@pytest.mark.ovs_tools
def test_a_daemon_is_found_by_its_name(tmp_path, registry, monkeypatch):
    monkeypatch.setenv("OVS_RUNDIR", str(tmp_path))

    async def main():
        server = unixctl.Server("ovs-vswitchd", registry)
        path = await server.start()
        assert path == f"{tmp_path}/ovs-vswitchd.{os.getpid()}.ctl"
        pid = pidfile.create(pidfile.path_of("ovs-vswitchd"))
        try:
            assert (await appctl("ovs-vswitchd", "version"))[0] == 0
            assert await unixctl.call("ovs-vswitchd", "test/upper", "x") == "X\n"
        finally:
            pid.remove()
            await server.close()
        with pytest.raises(ConfigError, match='cannot read pidfile ".*/ovs-vswitchd.pid" .No such file'):
            await unixctl.call("ovs-vswitchd", "version")

    asyncio.run(main())


def test_a_daemon_that_is_gone_is_the_operators_error(tmp_path):
    with pytest.raises(ConfigError, match=r'cannot connect to ".*none" \(No such file or directory\)'):
        unixctl.call_sync(str(tmp_path / "none"), "version")
    with pytest.raises(ConfigError, match=r'cannot connect to ".*none" \(No such file or directory\)'):
        asyncio.run(unixctl.call(str(tmp_path / "none"), "version"))


@pytest.mark.parametrize("answer", [b"", b"nonsense", b'{"id":0'])
def test_a_daemon_that_answers_nonsense_does_not_hang_the_client(tmp_path, answer):
    async def main():
        def hang_up(_, writer):
            writer.write(answer)
            writer.close()

        server = await asyncio.start_unix_server(hang_up, str(tmp_path / "s"))
        path = str(tmp_path / "s")
        for call in (unixctl.call(path, "x"), asyncio.to_thread(unixctl.call_sync, path, "x")):
            with pytest.raises(Exception, match="transaction error|syntax error|cannot talk"):
                await asyncio.wait_for(call, 5)
        server.close()

    asyncio.run(main())


def test_the_socket_of_a_dead_daemon_is_replaced(tmp_path, registry):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "test.ctl"))

    async def use(path):
        assert await unixctl.call(path, "test/upper", "x") == "X\n"

    serve(tmp_path, registry, use)


def test_directories_come_from_the_environment(monkeypatch):
    for name in ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"):
        monkeypatch.delenv(name, raising=False)
    assert [dirs.rundir(), dirs.logdir(), dirs.dbdir(), dirs.sysconfdir()] == [
        "/run/openvswitch",
        "/var/log/openvswitch",
        "/etc/openvswitch",
        "/etc",
    ]
    monkeypatch.setenv("OVS_SYSCONFDIR", "/conf")
    assert dirs.dbdir() == "/conf/openvswitch"
    monkeypatch.setenv("OVS_DBDIR", "/db")
    monkeypatch.setenv("OVS_RUNDIR", "/run/x")
    assert (dirs.dbdir(), dirs.rundir()) == ("/db", "/run/x")
    assert dirs.abs_file("/run/x", "a") == "/run/x/a"
    assert dirs.abs_file("/run/x", "/a") == "/a"
