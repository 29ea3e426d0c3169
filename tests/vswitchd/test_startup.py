"""What the command lines import before they do their work, which is what their start-up time is made of (TL.01).

No time is asserted, as machines are busy; the seconds are recorded in the report's properties.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"asyncio", "pyroute2", "cffi", "uvloop", "vslib.vlog", "vslib.clock", "ovsdb.server", "vswitchd.daemon"}

COUNT = """
import importlib, sys
sys.argv = sys.argv[1:]
main = importlib.import_module("vswitchd." + sys.argv[0]).main
try:
    main()
finally:
    files = {name: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}
    print(*(f"{name}={file}" for name, file in files.items()), file=sys.stderr)
"""


def imported(folder: Path, *words: str) -> dict[str, str]:
    """Return the modules, with their files, that a command line imports; `folder` is its run directory."""
    done = subprocess.run(
        [sys.executable, "-c", COUNT, *words], cwd=ROOT, env=os.environ | {"OVS_RUNDIR": str(folder)},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return dict(word.split("=", 1) for word in done.stderr.splitlines()[-1].split(" "))


def measured(record_property, folder: Path, *words: str) -> dict[str, str]:
    """Return `imported`, with its seconds in the report."""
    began = time.perf_counter()
    found = imported(folder, *words)
    record_property("seconds", round(time.perf_counter() - began, 4))
    return found


@pytest.mark.parametrize("option", ["--help", "--version"])
@pytest.mark.parametrize("program", ["appctl", "vsctl", "ofctl"])
def test_programs_tell_of_themselves_without_importing_anything_heavy(tmp_path, record_property, program, option):
    modules = measured(record_property, tmp_path, program, option)
    assert not modules.keys() & (HEAVY | {"datapath"}), modules


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_daemon_tells_of_itself_without_importing_itself(tmp_path, record_property, option):
    modules = measured(record_property, tmp_path, "main", option)
    assert not modules.keys() & {"asyncio", "pyroute2", "cffi", "datapath", "vswitchd.daemon"}, modules


@pytest.mark.parametrize(
    "line",
    ["appctl version", "vsctl --db=unix:/nonexistent show", "vsctl --db=unix:/nonexistent add-port br0 p1",
     "ofctl show unix:/nonexistent", "ofctl dump-flows unix:/nonexistent", "ofctl dump-ports unix:/nonexistent"],
)  # fmt: skip
def test_simple_commands_import_nothing_heavy_and_nothing_that_forwards(tmp_path, record_property, line):
    modules = measured(record_property, tmp_path, *line.split())
    assert not modules.keys() & (HEAVY | {"ofproto.switch", "ofproto.flow_table"})
    assert not [name for name, file in modules.items() if name.startswith("datapath.") and file.endswith(".so")]
