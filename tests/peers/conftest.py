"""One daemon for a module of tests, a bridge of its own for each test."""

from __future__ import annotations

import pytest

from tests.peers.daemon import Daemon, device, running


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    """Run the daemon in a namespace of its own for the tests of a module."""
    with running(tmp_path_factory.mktemp("vswitchd")) as started:
        yield started


@pytest.fixture
def bridge(daemon: Daemon):
    """Make a bridge that is gone after the test; its name."""
    name = device("cb")
    daemon.vsctl("add-br", name)
    yield name
    daemon.vsctl("--if-exists", "del-br", name)
