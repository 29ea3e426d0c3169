"""Streams by target string: sockets, long and stale paths, TLS, the pair in memory (CH.03, DB.30, DB.31)."""

import asyncio
import contextlib
import datetime
import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vslib import clock, stream, stream_tls
from vslib.errors import ConfigError


async def echo(connection):
    """Send back what comes until the peer ends."""
    while data := await connection.read():
        connection.write(data)
        await connection.drain()
    connection.close()


async def round_trip(listen_on, connect_to=None):
    """Listen, connect, send, receive; return the client's stream and the listener."""
    names = []

    async def served(connection):
        names.append(connection.name)
        await echo(connection)

    listener = await stream.listen(listen_on, 0, served)
    target = connect_to or listen_on[1:]
    client = await stream.connect(target.replace("PORT", str(listener.port)))
    client.write(b"hello")
    assert await client.read() == b"hello"
    client.close()
    await client.wait_closed()
    await listener.close()
    return names[0]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("unix:/a:b", ("unix", False, "/a:b", "", 0)),
        ("punix:x", ("unix", True, "x", "", 0)),
        ("tcp:1.2.3.4", ("tcp", False, "", "1.2.3.4", 6640)),
        ("tcp:host:1", ("tcp", False, "", "host", 1)),
        ("tcp:[::1]:65535", ("tcp", False, "", "::1", 65535)),
        ("ssl:[fe80::1%eth0]", ("ssl", False, "", "fe80::1%eth0", 6640)),
        ("ptcp:", ("tcp", True, "", "", 6640)),
        ("ptcp:0", ("tcp", True, "", "", 0)),
        ("ptcp:6640:127.0.0.1", ("tcp", True, "", "127.0.0.1", 6640)),
        ("ptcp::[::]", ("tcp", True, "", "::", 6640)),
        ("pssl:1:[::1]", ("ssl", True, "", "::1", 1)),
    ],
)
def test_targets_are_parsed(text, wanted):
    assert stream.parse_target(text, 6640) == (text, *wanted)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "unknown target"),
        ("tcp", "unknown target"),
        ("udp:1.2.3.4:5", "unknown target"),
        ("unix:", "bad or missing socket path"),
        ("punix:a\0b", "bad or missing socket path"),
        ("tcp:", "missing host"),
        ("tcp::1", "missing host"),
        ("tcp:1.2.3.4", "missing port"),
        ("tcp:1.2.3.4:0", 'bad port number "0"'),
        ("tcp:1.2.3.4:65536", 'bad port number "65536"'),
        ("tcp:h:x", 'bad port number "x"'),
        ("tcp:h:\u0663", "bad port number"),
        ("tcp:::1:2", "IPv6 addresses belong in brackets"),
        ("tcp:[1.2.3.4]:2", '"1.2.3.4" is not an IPv6 address'),
        ("tcp:[::1:2", "cannot parse"),
        ("ptcp:70000", "bad port number"),
        ("ptcp:1:2:3", "cannot parse"),
    ],
)
def test_bad_targets_are_refused_with_the_reason(text, reason):
    with pytest.raises(ConfigError, match=reason):
        stream.parse_target(text)


@given(st.sampled_from(["tcp:", "ptcp:", "ssl:", "pssl:", "unix:", "x"]), st.text(max_size=12))
def test_any_text_is_a_target_or_the_operators_error(method, rest):
    try:
        assert stream.parse_target(method + rest, 1).text == method + rest
    except ConfigError as error:
        assert str(error)


def test_unix_sockets_carry_bytes_and_their_file_goes_with_the_listener(tmp_path):
    path = str(tmp_path / "s")
    assert asyncio.run(round_trip(f"punix:{path}")) == "unix#1"
    assert not os.path.exists(path)


@pytest.mark.parametrize(
    ("listen_on", "connect_to"),
    [("ptcp:0:127.0.0.1", "tcp:127.0.0.1:PORT"), ("ptcp:0:[::1]", "tcp:[::1]:PORT")],
)
def test_tcp_carries_bytes_over_both_families(listen_on, connect_to):
    if "[" in connect_to and not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("no IPv6 here")
    assert asyncio.run(round_trip(listen_on, connect_to)).startswith(connect_to[: connect_to.index("PORT")])


def test_it_works_on_uvloop(tmp_path):
    uvloop = pytest.importorskip("uvloop")
    assert uvloop.run(round_trip(f"punix:{tmp_path}/s")) == "unix#1"
    assert uvloop.run(round_trip("ptcp:0:127.0.0.1", "tcp:127.0.0.1:PORT")).startswith("tcp:127.0.0.1:")


def test_paths_longer_than_a_socket_address_work(tmp_path):
    folder = tmp_path / ("d" * 100) / ("e" * 100)
    folder.mkdir(parents=True)
    before = len(os.listdir("/proc/self/fd"))
    assert asyncio.run(round_trip(f"punix:{folder}/sock")) == "unix#1"
    assert not os.listdir(folder)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_socket_name_longer_than_a_socket_address_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="listen failed: File name too long"):
        asyncio.run(stream.listen(f"punix:{tmp_path}/{'n' * 120}", None, echo))


def test_a_stale_socket_file_is_replaced(tmp_path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))
    assert asyncio.run(round_trip(f"punix:{tmp_path}/s")) == "unix#1"


def test_a_living_listener_and_a_plain_file_are_left_alone(tmp_path):
    (tmp_path / "file").write_text("precious")
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(str(tmp_path / "s"))
        alive.listen()
        with pytest.raises(ConfigError, match="another process is listening"):
            asyncio.run(stream.listen(f"punix:{tmp_path}/s", None, echo))
    with pytest.raises(ConfigError, match="exists and is not a socket"):
        asyncio.run(stream.listen(f"punix:{tmp_path}/file", None, echo))
    assert (tmp_path / "file").read_text() == "precious"


def test_closing_leaves_a_socket_file_that_another_listener_made(tmp_path):
    async def main():
        listener = await stream.listen(f"punix:{tmp_path}/s", None, echo)
        os.unlink(tmp_path / "s")
        other = await stream.listen(f"punix:{tmp_path}/s", None, echo)
        await listener.close()
        assert (tmp_path / "s").exists()
        await other.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("tcp:1.2.3.4:5", "not a passive connection method"),
        ("punix:/nonexistent/s", "listen failed: No such file"),
        ("ptcp:0:192.0.2.1", "listen failed: Cannot assign requested address"),
        ("pssl:0", "SSL requires private key to be configured"),
    ],
)
def test_listening_fails_with_the_reason(target, reason):
    with pytest.raises(ConfigError, match=reason):
        asyncio.run(stream.listen(target, 1, echo))


def test_connecting_fails_with_the_reason(tmp_path):
    with pytest.raises(ConfigError, match="not an active connection method"):
        asyncio.run(stream.connect("punix:/x"))
    with pytest.raises(ConfigError, match="SSL requires"):
        asyncio.run(stream.connect("ssl:127.0.0.1:1"))
    with pytest.raises(FileNotFoundError):
        asyncio.run(stream.connect(f"unix:{tmp_path}/none"))
    with pytest.raises(ConnectionRefusedError):
        asyncio.run(stream.connect("tcp:127.0.0.1:1"))


def test_a_handler_that_fails_costs_its_connection_only(tmp_path):
    async def main():
        async def fails_first(connection):
            if connection.name == "unix#1":
                raise ValueError("bug")
            await echo(connection)

        listener = await stream.listen(f"punix:{tmp_path}/s", None, fails_first)
        first = await stream.connect(f"unix:{tmp_path}/s")
        with contextlib.suppress(ConnectionError):
            assert await first.read() == b""
        second = await stream.connect(f"unix:{tmp_path}/s")
        second.write(b"x")
        assert await second.read() == b"x"
        second.close()
        await second.wait_closed()
        await listener.close()

    asyncio.run(main())


def test_a_reset_peer_is_a_connection_error_and_writing_stays_silent():
    async def main():
        served = asyncio.get_running_loop().create_future()
        listener = await stream.listen("ptcp:0:127.0.0.1", None, served.set_result)
        client = await stream.connect(f"tcp:127.0.0.1:{listener.port}")
        server = await served
        server.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        server.abort()
        with pytest.raises(ConnectionError):
            await client.read()
        for _ in range(10):
            client.write(b"x")
        client.close()
        await client.wait_closed()
        await listener.close()

    asyncio.run(main())


def test_a_unix_peer_is_known_by_its_credentials(tmp_path):
    async def main():
        served = asyncio.get_running_loop().create_future()
        listener = await stream.listen(f"punix:{tmp_path}/s", None, served.set_result)
        client = await stream.connect(f"unix:{tmp_path}/s")
        server = await served
        assert server.peer_credentials == (os.getpid(), os.getuid(), os.getgid())
        for each in (client, server):
            each.close()
            await each.wait_closed()
        await listener.close()

    asyncio.run(main())


def test_a_full_backlog_is_waited_for(tmp_path):
    async def main():
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as first:
            server.bind(str(tmp_path / "s"))
            server.listen(0)
            first.connect(str(tmp_path / "s"))
            waiting = asyncio.ensure_future(stream.connect(f"unix:{tmp_path}/s"))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            server.accept()[0].close()
            client = await waiting
            client.close()
            await client.wait_closed()

    asyncio.run(main())


def test_the_memory_pair_carries_bytes_in_order_and_ends():
    async def main():
        a, b = stream.pair("db")
        assert (a.name, b.name) == ("db:a", "db:b")
        a.write(b"one")
        a.write(b"two")
        assert await b.read(4) == b"onet"
        assert await b.read() == b"wo"
        a.write(b"last")
        a.close()
        a.write(b"lost")
        assert await b.read() == b"last"
        assert await b.read() == b""
        b.write(b"nobody")
        assert b.queued_bytes == 0
        with pytest.raises(ConnectionError):
            await b.drain()

    clock.run(main())


def test_the_memory_pair_pushes_back():
    async def main():
        a, b = stream.pair()
        a.write(b"x" * 100_000)
        assert a.queued_bytes == 100_000
        drained = asyncio.ensure_future(a.drain())
        await asyncio.sleep(0)
        assert not drained.done()
        await b.read(100_000)
        await drained
        a.write(b"y" * 100_000)
        drained = asyncio.ensure_future(a.drain())
        await asyncio.sleep(0)
        b.close()
        with pytest.raises(ConnectionError):
            await drained

    clock.run(main())


@pytest.fixture
def tls_files(tmp_path):
    """Write a self-signed certificate that is its own authority; yield its paths and switch TLS off afterwards."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(1)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "cert").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    encoding = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "key").write_bytes(key.private_bytes(*encoding))
    yield str(tmp_path / "key"), str(tmp_path / "cert")
    stream_tls.configure()


def test_tls_carries_bytes_between_peers_of_one_authority(tls_files):
    key, certificate = tls_files
    stream_tls.configure(key, certificate, certificate)
    assert asyncio.run(round_trip("pssl:0:127.0.0.1", "ssl:127.0.0.1:PORT")).startswith("ssl:127.0.0.1:")


def test_tls_files_that_cannot_be_used_are_the_operators_error(tls_files):
    key, certificate = tls_files
    stream_tls.configure(certificate, certificate, certificate)
    with pytest.raises(ConfigError, match="cannot use SSL files"):
        asyncio.run(stream.listen("pssl:0:127.0.0.1", None, echo))
    stream_tls.configure(key, certificate, "none")
    asyncio.run(round_trip("pssl:0:127.0.0.1", "ssl:127.0.0.1:PORT"))
