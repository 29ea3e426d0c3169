"""Debian's ovsdb-server and ovs-vswitchd as processes of a test."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.peers.daemon import wait_until

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


class StockServer:
    """An ovsdb-server on `folder`/conf.db that listens on `folder`/db.sock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "db.sock"
        self.target = f"unix:{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["ovsdb-tool", "create", str(folder / "conf.db"), SCHEMA], check=True)

    def start(self) -> StockServer:
        """Start it and wait until it listens."""
        remote = f"--remote=punix:{self.socket}"
        command = ["ovsdb-server", "-voff", f"--unixctl={self.folder}/server.ctl", remote, f"{self.folder}/conf.db"]
        self.process = subprocess.Popen(command)
        wait_until(self.socket.exists, "ovsdb-server listens")
        return self

    def stop(self) -> None:
        """End it, if it runs."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None
            self.socket.unlink(missing_ok=True)


@contextlib.contextmanager
def stock_server(folder: Path, start: bool = True) -> Iterator[StockServer]:
    """Run an ovsdb-server on an empty database."""
    server = StockServer(folder)
    try:
        yield server.start() if start else server
    finally:
        server.stop()


@contextlib.contextmanager
def stock_switch(folder: Path, target: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run an ovs-vswitchd with a run directory of its own on the database `target`; it logs to `folder`/log."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")
    environment = os.environ | dict.fromkeys(names, str(folder))
    process = subprocess.Popen(
        ["ovs-vswitchd", "--pidfile", f"--log-file={folder}/log", "-vconsole:off", target], env=environment
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
