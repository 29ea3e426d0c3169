"""A real ovsdb-server to compare with, and a vlog that each test may change."""

import os
import shutil
import subprocess
import time

import pytest

from vslib import vlog

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


@pytest.fixture
def fresh_vlog():
    """Put every level, pattern and destination back after the test."""
    levels = {name: (dict(module.levels), module.rate_limited) for name, module in vlog._modules.items()}
    kept = (dict(vlog._default_levels), dict(vlog._patterns), dict(vlog._pattern_texts), vlog._facility, vlog.program)
    yield
    for name in list(vlog._handlers):
        vlog._close(name)
    if vlog._log_file is not None:
        vlog._log_file.close()
        vlog._log_file = None
    vlog._default_levels.update(kept[0])
    vlog._patterns.update(kept[1])
    vlog._pattern_texts.update(kept[2])
    vlog._facility, vlog.program = kept[3], kept[4]
    for name, module in vlog._modules.items():
        old = levels.get(name, (kept[0], True))
        module.levels.update(old[0])
        module.rate_limited = old[1]
        module.update()


@pytest.fixture(scope="session")
def real_server(tmp_path_factory):
    """Run Debian's ovsdb-server without a log file; yield its control socket."""
    if not shutil.which("ovsdb-server"):
        pytest.skip("openvswitch-switch is not installed")
    folder = tmp_path_factory.mktemp("ovs")
    environment = dict.fromkeys(("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"), str(folder))
    ctl = folder / "server.ctl"
    subprocess.run(["ovsdb-tool", "create", folder / "conf.db", SCHEMA], check=True, env=os.environ | environment)
    process = subprocess.Popen(
        ["ovsdb-server", f"--unixctl={ctl}", "-voff", f"--remote=punix:{folder}/db.sock", folder / "conf.db"],
        env=os.environ | environment,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(200):
            if ctl.exists():
                break
            time.sleep(0.02)
        yield str(ctl)
    finally:
        process.terminate()
        process.wait(10)
