"""The text of ``memory/show``: counts of what is held in memory, from sources registered by name."""

from __future__ import annotations

from collections.abc import Callable

_sources: dict[str, Callable[[], int]] = {}


def register(name: str, count: Callable[[], int]) -> None:
    """Show what ``count()`` returns under ``name``; a later source of the same name replaces it."""
    _sources[name] = count


def unregister(name: str) -> None:
    """Stop showing ``name``; harmless if it is not shown."""
    _sources.pop(name, None)


def counts() -> dict[str, int]:
    """Return what every source counts now, sorted by name."""
    return {name: _sources[name]() for name in sorted(_sources)}


def show() -> str:
    """Return ``name:count`` pairs on one line, sorted by name; zeros are left out, as in Open vSwitch."""
    text = " ".join(f"{name}:{count}" for name, count in counts().items() if count)
    return text + "\n" if text else ""
