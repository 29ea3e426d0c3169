"""Make the switch match the database. `from vswitchd import Switch` embeds one in a program (see `vswitchd.embed`)."""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing costs 8 ms
if TYPE_CHECKING:
    from vswitchd.embed import Switch

__all__ = ["Switch"]


def __getattr__(name: str) -> object:
    """Import Switch when it is asked for: the command lines live in this package too, and must start fast."""
    if name == "Switch":
        from vswitchd.embed import Switch

        return Switch
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
