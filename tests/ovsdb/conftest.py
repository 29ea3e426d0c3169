"""Servers for the tests: ours inside this process (on a loop of its own thread), Debian's as a process."""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from ovsdb.server import Server

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "vswitchd" / "vswitch.ovsschema"
needs_tools = pytest.mark.skipif(
    shutil.which("ovs-vsctl") is None, reason="Debian's openvswitch-switch is not installed"
)
needs_server = pytest.mark.skipif(shutil.which("ovsdb-server") is None, reason="Debian's ovsdb-server is not installed")


class Wire:
    """A raw connection that sends JSON-RPC and reads whole messages."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(str(path))
        self._text = ""
        self._id = 0

    def send(self, method, params, id=None):
        self.sock.sendall(json.dumps({"method": method, "params": params, "id": id}).encode())

    def receive(self):
        decoder = json.JSONDecoder()
        while True:
            with contextlib.suppress(ValueError):
                value, end = decoder.raw_decode(self._text)
                self._text = self._text[end:].lstrip()
                return value
            chunk = self.sock.recv(65536)
            if not chunk:
                raise EOFError
            self._text += chunk.decode()

    def call(self, method, params):
        """Return the reply to a request; notifications before it are dropped."""
        self._id += 1
        self.send(method, params, self._id)
        while (reply := self.receive()).get("id") != self._id or "method" in reply:
            pass
        return reply

    def transact(self, db, *ops):
        return self.call("transact", [db, *ops])["result"]

    def at_end(self):
        """True if the server closes the connection."""
        try:
            while self.sock.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True

    def close(self):
        self.sock.close()


class Ours:
    """Our server on a thread of this process."""

    def __init__(self, folder, schema=SCHEMA, database=True):
        self.folder = folder
        self.sock = folder / "db.sock"
        self.target = f"unix:{self.sock}"
        self.database = folder / "conf.db" if database else None
        self.schema = schema
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.server = None

    def do(self, work):
        """Run a coroutine on the server's loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def start(self):
        async def begin():
            self.server = Server()
            await self.server.open(str(self.database) if self.database else None, str(self.schema))
            await self.server.listen(f"p{self.target}")

        self.do(begin())
        return self

    def stop(self):
        if self.server is not None:
            self.do(self.server.close())
            self.server = None

    def end(self):
        self.stop()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    def wire(self):
        return Wire(self.sock)


class Debians:
    """A real ovsdb-server."""

    def __init__(self, folder, schema=SCHEMA):
        self.folder = folder
        self.sock = folder / "ref.sock"
        self.target = f"unix:{self.sock}"
        self.database = folder / "ref.db"
        if not self.database.exists():
            subprocess.run(["ovsdb-tool", "create", self.database, schema], check=True)
        self.process = None

    def start(self):
        args = ["ovsdb-server", f"--remote=p{self.target}", f"--unixctl={self.folder}/ref.ctl", str(self.database)]
        self.process = subprocess.Popen(
            [*args, "-vconsole:off", "-vsyslog:off"], env={**os.environ, "OVS_RUNDIR": str(self.folder)}
        )
        wait_until(self._accepts)
        return self

    def _accepts(self):
        with contextlib.suppress(OSError):
            Wire(self.sock).close()
            return True
        return False

    def end(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait()

    def wire(self):
        return Wire(self.sock)


def wait_until(condition, seconds=10.0):
    """Wait until ``condition()`` holds; fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def ours(tmp_path):
    """Our server with an empty Open_vSwitch database on disk."""
    server = Ours(tmp_path)
    try:
        yield server.start()
    finally:
        server.end()


@pytest.fixture
def wire(ours):
    connection = ours.wire()
    yield connection
    connection.close()


def run(*args, check=True, **more):
    """Run a tool and return the completed process with its output as text."""
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=20, **more)
    assert not check or done.returncode == 0, done.stderr
    return done
