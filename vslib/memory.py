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


def show() -> str:
    """Return ``name:count`` pairs on one line, sorted by name."""
    if not _sources:
        return ""
    return " ".join(f"{name}:{_sources[name]()}" for name in sorted(_sources)) + "\n"
