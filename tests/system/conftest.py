"""The daemon and bridges of the peer tests serve these tests, too."""

from __future__ import annotations

from tests.peers.conftest import bridge, daemon

__all__ = ["bridge", "daemon"]
