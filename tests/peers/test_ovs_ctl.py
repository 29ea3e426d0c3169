"""Debian's ovs-ctl starts, watches and ends the daemon under its `ovs-vswitchd` name (MG.05, MG.09)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers.daemon import ROOT, wait_until
from tests.system.netns import namespace

SCRIPT = Path("/usr/share/openvswitch/scripts/ovs-ctl")
DAEMONS = ("ovsdb-server", "ovs-vswitchd")

pytestmark = [
    pytest.mark.root,
    pytest.mark.ovs_tools,
    pytest.mark.skipif(not SCRIPT.exists(), reason="needs ovs-ctl"),
]


def write_script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def folder(tmp_path):
    """Make a folder with our daemon under the original's name; whatever is started there ends with the test."""
    (tmp_path / "sbin").mkdir()
    code = "import sys\nfrom vswitchd.main import main\nsys.exit(main())\n"
    write_script(tmp_path / "sbin/ovs-vswitchd", f"#!{sys.executable}\n{code}")
    write_script(tmp_path / "sbin/modprobe", "#!/bin/sh\nexit 0\n")
    (tmp_path / "openvswitch").mkdir()
    yield tmp_path
    for name in DAEMONS:
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((tmp_path / f"{name}.pid").read_text()), signal.SIGTERM)


def test_ovs_ctl_starts_watches_and_stops_the_daemon(folder):
    names = ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")
    path = f"{folder}/sbin:{os.environ['PATH']}"
    more = {"OVS_SBINDIR": f"{folder}/sbin", "PATH": path, "PYTHONPATH": str(ROOT)}
    environment = os.environ | dict.fromkeys(names, str(folder)) | more

    def run(*words: str) -> str:
        command = ["ip", "netns", "exec", place.name, *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def pid() -> int:
        return int((folder / "ovs-vswitchd.pid").read_text())

    log = folder / "ovs-vswitchd.log"
    with namespace() as place:
        run(str(SCRIPT), "start", "--system-id=random", "--no-record-hostname")
        run("ovs-vsctl", "--timeout=20", "add-br", "br0")
        assert f"ovs-vswitchd is running with pid {pid()}" in run(str(SCRIPT), "status")
        os.kill(pid(), signal.SIGSEGV)
        wait_until(lambda: "killed (Segmentation fault)" in log.read_text(), "the monitor notices")
        wait_until(lambda: log.read_text().count("|cyvswitch ") == 2, "the daemon is back")
        assert "br0" in run("ovs-vsctl", "--timeout=20", "list-br")
        assert "ovs-vswitchd (Open vSwitch) " in run(str(SCRIPT), "version")
        run(str(SCRIPT), "stop")
        assert not (folder / "ovs-vswitchd.pid").exists()
        wait_until(lambda: log.read_text().endswith("exit status 0, exiting\n"), "the monitor ends, too")
