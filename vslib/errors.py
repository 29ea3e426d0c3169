"""Errors by fault: who has to act decides the class, not where it was noticed."""

from __future__ import annotations


class SwitchError(Exception):
    """Base of every error that this project raises on purpose; ``str(error)`` is text for the user."""


class PeerError(SwitchError):
    """A peer sent bytes that its protocol forbids; answered with that protocol's error, the daemon lives on."""


class ConfigError(SwitchError):
    """The operator asked for something that cannot be; lands in ``Interface.error``, a reply or stderr."""


class InternalError(SwitchError):
    """Our own bug; logged with the state that led to it."""
