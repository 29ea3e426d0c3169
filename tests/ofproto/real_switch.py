"""A real Open vSwitch in userspace with dummy ports, in a directory of its own: the reference for OpenFlow messages."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
NXT_FLOW_MOD_TABLE_ID = 15


def installed() -> bool:
    return SCHEMA.exists() and shutil.which("ovs-vswitchd") is not None


@contextmanager
def real_switch(folder: Path) -> Iterator[Path]:
    """Run ovsdb-server and ovs-vswitchd with one bridge `br0`; yields the path of its OpenFlow socket."""
    names = ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")
    env = os.environ | dict.fromkeys(names, str(folder))
    database = f"unix:{folder}/db.sock"
    daemon = ["--no-chdir", "--detach", "--pidfile"]
    servers = (
        ["ovsdb-server", f"{folder}/conf.db", f"--remote=p{database}", *daemon],
        ["ovs-vswitchd", database, "--enable-dummy=override", "--disable-system", *daemon],
    )
    bridge = "add-br br0 -- set bridge br0 datapath_type=dummy protocols=OpenFlow10,OpenFlow13 fail_mode=secure"
    try:
        run(env, ["ovsdb-tool", "create", f"{folder}/conf.db", str(SCHEMA)])
        run(env, servers[0])
        run(env, ["ovs-vsctl", f"--db={database}", "--no-wait", "init"])
        run(env, servers[1])
        run(env, ["ovs-vsctl", f"--db={database}", "--timeout=20", *bridge.split()])
        yield folder / "br0.mgmt"
    finally:
        for pidfile in sorted(folder.glob("*.pid"), reverse=True):
            stop(int(pidfile.read_text()))


def stop(pid: int) -> None:
    """End a process that is not our child and wait until it is gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        for _ in range(500):
            os.kill(pid, 0)
            time.sleep(0.01)


def run(env: dict[str, str], command: list[str]) -> None:
    subprocess.run(command, env=env, check=True, capture_output=True, timeout=30)


class Session:
    """One OpenFlow connection, a message at a time."""

    def __init__(self, path: Path, version: int) -> None:
        self.version, self.data = version, b""
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(str(path))
        self.socket.sendall(struct.pack("!BBHI", version, 0, 8, 1))
        self.read()

    def close(self) -> None:
        self.socket.close()

    def read(self) -> bytes:
        while len(self.data) < 8 or len(self.data) < struct.unpack_from("!H", self.data, 2)[0]:
            more = self.socket.recv(1 << 16)
            if not more:
                raise EOFError
            self.data += more
        (length,) = struct.unpack_from("!H", self.data, 2)
        message, self.data = self.data[:length], self.data[length:]
        return message

    def call(self, message: bytes) -> list[bytes]:
        """Send a message and a barrier; returns what came before the barrier's reply."""
        barrier = 20 if self.version > 1 else 18
        self.socket.sendall(message + struct.pack("!BBHI", self.version, barrier, 8, 0xBA))
        replies = []
        while True:
            reply = self.read()
            if reply[1] == barrier + 1:
                return replies
            replies.append(reply)
