"""The client that waits: targets, requests, echoes and notifications, broken peers, the time limit (TL.01, TL.03)."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vslib import blocking, getopt_long, json_light, stream_tls
from vslib.blocking import Disconnected, JsonConnection, ReplyError
from vslib.errors import ConfigError, PeerError

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def listening(family: int, address):
    """Listen and answer one client with what it sends."""
    with socket.socket(family) as server:
        server.bind(address)
        server.listen(1)

        def echo() -> None:
            peer, _ = server.accept()
            with peer, contextlib.suppress(ConnectionError):
                while data := peer.recv(100):
                    peer.sendall(data)

        thread = threading.Thread(target=echo)
        thread.start()
        yield server.getsockname()
        thread.join(5)


def talks(target: str, default_port: int | None = None) -> bool:
    sock = blocking.connect(target, default_port, timeout_s=5)
    sock.sendall(b"abc")
    got = sock.recv(10)
    sock.close()
    return got == b"abc"


def test_targets_of_each_kind_are_connected(tmp_path):
    for name in ("s", "long" * 40 + "/" + "s" * 80):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        short = os.open(path.parent, os.O_PATH)
        with listening(socket.AF_UNIX, f"/proc/self/fd/{short}/{path.name}"):
            assert talks(f"unix:{path}")
        os.close(short)
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as (_, port):
        assert talks(f"tcp:127.0.0.1:{port}")
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as (_, port):
        assert talks("tcp:localhost", port)
    with contextlib.suppress(OSError), listening(socket.AF_INET6, ("::1", 0)) as (_, port, *_rest):
        assert talks(f"tcp:[::1]:{port}")


@pytest.mark.parametrize(
    ("target", "error", "text"),
    [
        ("unix:/nonexistent/socket", FileNotFoundError, "No such file or directory"),
        ("tcp:127.0.0.1:1", ConnectionRefusedError, "Connection refused"),
        ("foo:bar", OSError, "Address family not supported by protocol"),
        ("tcp:127.0.0.1", ConfigError, "missing port"),
        ("tcp:127.0.0.1:x", ConfigError, "bad port"),
        ("tcp:::1:5", ConfigError, "brackets"),
        ("ssl:127.0.0.1:1", ConfigError, "private key"),
    ],
)
def test_failures_to_connect_have_the_text_of_messages(target, error, text):
    with pytest.raises(error) as failed:
        blocking.connect(target)
    assert text in str(getattr(failed.value, "strerror", None) or failed.value)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make keys")
def test_tls_is_spoken_with_the_keys_given(tmp_path):
    key, certificate = tmp_path / "key", tmp_path / "cert"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=cyvswitch", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    served = []

    def serve(server: socket.socket) -> None:
        peer, _ = server.accept()
        try:
            with context.wrap_socket(peer, server_side=True) as safe:
                served.append(safe.recv(3))
                safe.sendall(b"def")
        except ssl.SSLError as error:
            served.append(error.reason)

    with socket.create_server(("127.0.0.1", 0)) as server:
        target = f"ssl:127.0.0.1:{server.getsockname()[1]}"
        for authority in (str(certificate), "none"):
            thread = threading.Thread(target=serve, args=(server,))
            thread.start()
            sock = blocking.connect(target, timeout_s=5, tls=blocking.TlsKeys(str(key), str(certificate), authority))
            sock.sendall(b"abc")
            assert sock.recv(10) == b"def"
            sock.close()
            thread.join()
    assert served == [b"abc", b"abc"]
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as (_, port), pytest.raises(OSError, match="Protocol error"):
        blocking.connect(f"ssl:127.0.0.1:{port}", timeout_s=5, tls=blocking.TlsKeys(str(key), str(certificate), "none"))


@pytest.fixture(autouse=True)
def no_tls():
    """Leave no keys to the tests that follow."""
    yield
    stream_tls.configure()


@pytest.fixture
def pair():
    """Give a JsonConnection and the socket of its peer."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    theirs.settimeout(5)
    yield JsonConnection(ours), theirs
    ours.close()
    theirs.close()


def send(peer: socket.socket, *messages: object, step: int = 1 << 20) -> None:
    data = b"".join(json.dumps(message, ensure_ascii=False).encode() for message in messages)
    for at in range(0, len(data), step):
        peer.sendall(data[at : at + step])


def received(peer: socket.socket) -> dict:
    return json.loads(peer.recv(1 << 16))


@pytest.mark.parametrize("step", [1, 3, 1 << 20])
def test_requests_get_their_replies_and_everything_else_finds_its_place(pair, step):
    rpc, peer = pair
    number = rpc.send("list_dbs", [])
    assert received(peer) == {"method": "list_dbs", "params": [], "id": number}
    messages = (
        {"method": "echo", "params": ["} é \"{"], "id": "echo"},
        {"method": "update", "params": [None, {"T": {}}], "id": None},
        {"id": number, "result": ["Open_vSwitch", "\u00e9\U0001f600}"], "error": None},
    )
    writer = threading.Thread(target=send, args=(peer, *messages), kwargs={"step": step})
    writer.start()
    assert rpc.result(number) == ["Open_vSwitch", "\u00e9\U0001f600}"]
    writer.join()
    assert received(peer) == {"id": "echo", "result": ["} é \"{"], "error": None}
    assert rpc.notifications == [("update", [None, {"T": {}}])]
    assert rpc.notification() == ("update", [None, {"T": {}}])


def test_replies_may_come_in_any_order_and_errors_keep_their_value(pair):
    rpc, peer = pair
    first, second = rpc.send("a", [1]), rpc.send("b", [])
    send(peer, {"id": second, "result": 2, "error": None}, {"id": first, "result": None, "error": {"error": "x"}})
    assert rpc.result(second) == 2
    with pytest.raises(ReplyError) as failed:
        rpc.result(first)
    assert failed.value.error == {"error": "x"}


def test_a_request_of_the_peer_is_refused_and_a_new_line_between_messages_harmless(pair):
    rpc, peer = pair
    peer.sendall(b' \n{"method":"steal","params":[],"id":7}\r\n {"method":"n","params":[],"id":null}\n')
    assert rpc.notification() == ("n", [])
    assert received(peer) == {"id": 7, "result": None, "error": "unknown method steal"}


@pytest.mark.parametrize(
    "answer",
    [b"garbage}", b"[]}", b"{} ", b'{"id":0,"foo":1}', b'{"id":null,"result":1}', b'{"a" 1}', b'{"a":\xff}', b'{"a":x}',
     b"1 ", b'"a" '],
)  # fmt: skip
def test_what_is_no_json_rpc_is_the_peers_fault(pair, answer):
    rpc, peer = pair
    rpc.send("x", [])
    peer.sendall(answer)
    with pytest.raises(PeerError):
        rpc.result(0)


@pytest.mark.parametrize("before", [b"", b'{"id":0,"resu', b'{"id":0,"result":"}'])
def test_a_peer_that_hangs_up_is_the_end_of_file(pair, before):
    rpc, peer = pair
    rpc.send("x", [])
    peer.sendall(before)
    peer.shutdown(socket.SHUT_WR)
    with pytest.raises(Disconnected, match="^End of file$"):
        rpc.result(0)


def test_a_large_reply_is_taken_in(pair):
    rpc, peer = pair
    rows = [{"name": f"p{n}", "text": "}{" * 50} for n in range(20_000)]
    reply = {"id": rpc.send("select", []), "result": rows, "error": None}
    writer = threading.Thread(target=send, args=(peer, reply))
    writer.start()
    assert rpc.result(0) == rows
    writer.join()


def in_a_process(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_time_limit_ends_the_process_by_its_signal_with_a_line():
    done = in_a_process("import time; from vslib import blocking; blocking.end_after(1, 'prog'); time.sleep(9)")
    assert done.returncode == -signal.SIGALRM
    assert done.stderr.endswith("|fatal_signal|WARN|terminating with signal 14 (Alarm clock)\n")


def test_a_closed_pipe_ends_the_process_without_a_traceback():
    done = in_a_process("from vslib import blocking; blocking.die_by_signals(); import os; "
                        "r, w = os.pipe(); os.close(r); os.write(w, b'x'); print('alive')")  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGPIPE, "", "")


def test_nothing_slow_is_imported():
    done = in_a_process("import sys; before = set(sys.modules); from vslib import unixctl_client, getopt_long; "
                        "print(*sorted(set(sys.modules) - before))")  # fmt: skip
    slow = {"asyncio", "socket", "json", "re", "enum", "typing", "msgspec", "selectors", "dataclasses", "argparse"}
    assert not slow & set(done.stdout.split()), done.stdout


# -- JSON --------------------------------------------------------------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(values)
def test_json_is_what_the_standard_library_makes_of_it(value):
    text = json_light.dumps(value)
    assert text == json.dumps(value)
    assert json_light.loads(text) == value == json_light.loads(json.dumps(value, ensure_ascii=False).encode())


@settings(max_examples=40)
@given(st.dictionaries(st.text(), values, min_size=1), st.data())
def test_a_cut_text_is_unfinished_and_never_wrong(value, data):
    text = json.dumps(value)
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    with pytest.raises(json_light.Unfinished):
        json_light.scan(cut)


@pytest.mark.parametrize("text", ["", "{", "[1,", '"', "tru", "1 2", "nulll", "{'a':1}", "[1}", '{"a":1}}', "\\"])
def test_what_is_no_json_is_a_value_error(text):
    with pytest.raises(ValueError):
        json_light.loads(text)


# -- options -----------------------------------------------------------------------------------------------------------

LONG = {"target": 1, "timeout": 1, "quiet": 0, "verbose": 2, "help": 0}
SHORT = {"t": "target", "q": "quiet", "v": "verbose", "h": "help"}


@pytest.mark.parametrize(
    ("words", "found", "rest"),
    [
        ("-t a b", [("target", "a")], ["b"]),
        ("-ta b -q", [("target", "a")], ["b", "-q"]),
        ("-qt a", [("quiet", None), ("target", "a")], []),
        ("-q --help -x", [("quiet", None), ("help", None)], ["-x"]),
        ("-hx --wrong", [("help", None)], ["--wrong"]),
        ("--target=a --targ b c", [("target", "a"), ("target", "b")], ["c"]),
        ("-v x", [("verbose", None)], ["x"]),
        ("-vx --verbose y", [("verbose", "x"), ("verbose", None)], ["y"]),
        ("--verbose= -- -h", [("verbose", "")], ["-h"]),
        ("- -h", [], ["-", "-h"]),
        ("", [], []),
    ],
)
def test_options_are_read_as_getopt_reads_them(words, found, rest):
    assert getopt_long.parse(words.split(), LONG, SHORT) == (found, rest)


def test_options_behind_other_words_are_found_when_asked_for():
    assert getopt_long.parse(["a", "-q", "b", "--", "-q"], LONG, SHORT, permute=True) == (
        [("quiet", None)], ["a", "b", "-q"]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("-x", "invalid option -- 'x'"),
        ("-qx", "invalid option -- 'x'"),
        ("-t", "option requires an argument -- 't'"),
        ("--target", "option '--target' requires an argument"),
        ("--quiet=3", "option '--quiet' doesn't allow an argument"),
        ("--wrong=1", "unrecognized option '--wrong=1'"),
        ("--t", "option '--t' is ambiguous; possibilities: '--target' '--timeout'"),
    ],
)
def test_wrong_options_have_getopts_message(words, text):
    with pytest.raises(ConfigError) as failed:
        getopt_long.parse(words.split(), LONG, SHORT)
    assert str(failed.value) == text
