"""What all tests share: tests marked `root` or `ovs_tools` are skipped, with the reason, where they cannot run."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import hypothesis
import pytest

# How long an example takes says more of what else the machine does than of the code.
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")

MISSING = {
    "root": (lambda: os.geteuid() != 0, "needs root (interfaces, namespaces)"),
    "ovs_tools": (
        lambda: not all(map(shutil.which, ("ovs-vsctl", "ovs-ofctl", "ovs-appctl", "ovsdb-client"))),
        "needs Debian's openvswitch-switch",
    ),
}

# The tests start a thousand Python processes. Where no bytecode may be kept beside the sources, each would compile what
# it imports: half of a daemon's start. It is kept in build/ instead, for xdist's workers too.
if sys.dont_write_bytecode:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ.setdefault("PYTHONPYCACHEPREFIX", str(Path(__file__).parents[1] / "build" / "pycache"))


def pytest_addoption(parser):
    parser.addoption("--soak", action="store_true", help="run the long tests marked slow")


def pytest_collection_modifyitems(config, items):
    reasons = {mark: reason for mark, (missing, reason) in MISSING.items() if missing()}
    if not config.getoption("--soak"):
        reasons["slow"] = "part of make soak"
    for item in items:
        for mark in {m.name for m in item.iter_markers()} & reasons.keys():
            item.add_marker(pytest.mark.skip(reason=reasons[mark]))
