"""Pid files with a live lock, as clients test them (MG.02)."""

import os
import shutil
import subprocess
import sys

import pytest

from vslib import pidfile
from vslib.errors import ConfigError

READ = "import sys; from vslib import pidfile; print(pidfile.read(sys.argv[1]))"
CREATE = "import sys; from vslib import pidfile; pidfile.create(sys.argv[1])"


def run_python(code, path):
    """Run ``code`` in another process, as locks are the business of processes."""
    return subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=60)


def test_other_processes_see_the_lock_and_cannot_take_it(tmp_path):
    path = str(tmp_path / "x.pid")
    held = pidfile.create(path)
    assert run_python(READ, path).stdout == f"{os.getpid()}\n"
    assert f"{path}: already running as pid {os.getpid()}, aborting" in run_python(CREATE, path).stderr
    assert pidfile.read(path) == os.getpid()
    with pytest.raises(ConfigError, match=f"already running as pid {os.getpid()}, aborting"):
        pidfile.create(path)
    assert run_python(READ, path).stdout == f"{os.getpid()}\n", "reading our own file lost the lock"
    held.remove()
    held.remove()
    assert not os.path.exists(path)


def test_a_stale_file_is_taken_over(tmp_path):
    path = tmp_path / "x.pid"
    path.write_text("1234567\n")
    with pytest.raises(ConfigError, match="pid file is stale"):
        pidfile.read(str(path))
    held = pidfile.create(str(path))
    assert path.read_text() == f"{os.getpid()}\n"
    held.remove()


def test_removing_leaves_a_file_that_somebody_else_put_there(tmp_path):
    path = tmp_path / "x.pid"
    held = pidfile.create(str(path))
    path.unlink()
    path.write_text("5\n")
    held.remove()
    assert path.read_text() == "5\n"


def test_missing_files_and_folders_are_the_operators_error(tmp_path):
    with pytest.raises(ConfigError, match="open: No such file or directory"):
        pidfile.read(str(tmp_path / "x.pid"))
    with pytest.raises(ConfigError, match="cannot create pid file: No such file or directory"):
        pidfile.create(str(tmp_path / "none" / "x.pid"))


@pytest.mark.ovs_tools
@pytest.mark.skipif(not shutil.which("ovs-appctl"), reason="openvswitch-switch is not installed")
def test_the_real_appctl_trusts_our_pid_file(tmp_path):
    held = pidfile.create(str(tmp_path / "x.pid"))
    result = subprocess.run(
        ["ovs-appctl", "-t", "x", "version"],
        capture_output=True,
        text=True,
        env=os.environ | {"OVS_RUNDIR": str(tmp_path)},
    )
    held.remove()
    assert f'cannot connect to "{tmp_path}/x.{os.getpid()}.ctl"' in result.stderr
