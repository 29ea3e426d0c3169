"""Debian's Open vSwitch in a namespace of its own, driven like our daemon: the reference for what ports do."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.peers.daemon import Daemon, wait_until
from tests.system.netns import namespace

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


@contextlib.contextmanager
def real_daemon(folder: Path) -> Iterator[Daemon]:
    """Run ovsdb-server and ovs-vswitchd in `folder`; only the methods of Daemon that run tools may be used."""
    folder.mkdir(parents=True)
    with namespace() as place:
        daemon = Daemon(folder, place)
        daemon.ok("ovsdb-tool", "create", str(folder / "conf.db"), SCHEMA)
        detached = ["--no-chdir", "--detach", "--pidfile", f"--log-file={folder}/log", "-vconsole:off", "-vsyslog:off"]
        remote = f"--remote=punix:{folder}/db.sock"
        try:
            _start(daemon, ["ovsdb-server", *detached, remote, str(folder / "conf.db")])
            daemon.ok("ovs-vsctl", "--no-wait", "init")
            _start(daemon, ["ip", "netns", "exec", place.name, "ovs-vswitchd", *detached])
            yield daemon
        finally:
            for name in ("ovs-vswitchd", "ovsdb-server"):
                _stop(folder / f"{name}.pid")


def _start(daemon: Daemon, command: list[str]) -> None:
    subprocess.run(command, env=daemon.env, check=True, stdin=subprocess.DEVNULL, timeout=30)


def _stop(pid_file: Path) -> None:
    """End a process and wait until its pid file is gone."""
    if pid_file.exists():
        os.kill(int(pid_file.read_text()), signal.SIGTERM)
        wait_until(lambda: not pid_file.exists(), f"{pid_file} is gone")
