"""The demo from outside: it ends well with and without Open vSwitch's tools, and says so when it does not."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
NEEDED = ("ip", "ping", "cat", "sh", "unshare", "mount", "true")

pytestmark = pytest.mark.root


def demo(**environment):
    env = {**os.environ, **environment}
    return subprocess.run(
        [sys.executable, "-m", "bench.demo"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False
    )


def test_demo_runs_all_steps_with_the_tools_that_are_there():
    done = demo()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 received, 0% packet loss" in done.stdout
    assert "All 9 steps done" in done.stdout


def test_demo_needs_neither_open_vswitch_nor_iperf3(tmp_path):
    for tool in NEEDED:
        (tmp_path / tool).symlink_to(shutil.which(tool))
    done = demo(PATH=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ovs-vsctl is not installed" in done.stdout
    assert "MB in order and whole" in done.stdout
    assert "priority=1,in_port=" in done.stdout


def test_demo_fails_with_the_step_and_the_reason_when_the_daemon_does_not_start():
    done = demo(CYVSWITCH_VSWITCHD=f"{sys.executable} -c 'raise SystemExit(\"no such luck\")'")
    assert done.returncode == 1
    assert "FAILED in step 1" in done.stderr
    assert "no such luck" in done.stderr


def test_demo_leaves_no_device_and_no_namespace():
    before = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
    demo(CYVSWITCH_VSWITCHD="sleep 0.1")
    after = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
    assert "to-alice" not in before + after
    assert not os.path.exists("/run/netns/alice")
