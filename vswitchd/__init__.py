"""Make the switch match the database. `from vswitchd import Switch` embeds one in a program (see `vswitchd.embed`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vswitchd.embed import Switch

__all__ = ["Switch"]


def __getattr__(name: str) -> Any:
    """Import Switch when it is asked for: the command lines live in this package too, and must start fast."""
    if name == "Switch":
        from vswitchd.embed import Switch

        return Switch
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
