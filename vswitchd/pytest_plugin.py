"""pytest plugin: the fixture `switch`, a fresh embedded switch for each test, closed behind it.

pytest loads this module at every start, in projects that have nothing to do with switches too: it imports nothing
before the fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from vswitchd.embed import Switch


@pytest.fixture
def switch() -> Iterator[Switch]:
    """Return a fresh embedded switch, without bridges."""
    from vswitchd.embed import Switch

    with Switch() as fresh:
        yield fresh
