"""When to connect, probe and give up: Open vSwitch's reconnect state machine, without I/O and without a clock.

The owner reports what happened (``connecting``, ``connected``, ``activity``, ``disconnected`` ...) and asks ``run``
what to do next. All times are the caller's milliseconds. The states are the rows of ``STATES``.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from vslib import vlog

DEFAULT_MIN_BACKOFF_MS = 1000
DEFAULT_MAX_BACKOFF_MS = 8000
DEFAULT_PROBE_MS = 5000
SHORTEST_MS = 1000  # of back-offs, connection attempts and probe intervals

log = vlog.get("reconnect")


class Action(Enum):
    """What ``run`` asks the owner to do."""

    CONNECT = "connect"  # start a connection attempt, then call connecting() (passive: listen, then listening())
    DISCONNECT = "disconnect"  # drop the connection or attempt, then call disconnected()
    PROBE = "probe"  # send something that the peer must answer


class State(NamedTuple):
    """One row of ``STATES``: ``run`` returns ``action``, and moves to ``then``, once ``deadline_ms`` has passed."""

    connected: bool
    deadline_ms: Callable[[Reconnect, int], int | None]
    action: Action | None = None
    then: str = ""


class Reconnect:
    """The state machine of one connection; disabled until ``enable``."""

    def __init__(self, now_ms: int, name: str = "void") -> None:
        self.name = name
        self.state = "VOID"
        self.state_entered_ms = now_ms
        self.backoff_ms = 0
        self.min_backoff_ms = DEFAULT_MIN_BACKOFF_MS
        self.max_backoff_ms = DEFAULT_MAX_BACKOFF_MS
        self.probe_interval_ms = DEFAULT_PROBE_MS
        self.passive = False
        self.quiet = False  # informational messages at debug level
        self.max_tries: int | None = None  # attempts left, None without limit
        self.backoff_free_tries = 0
        self.last_activity_ms = now_ms
        self.last_connected_ms: int | None = None
        self.last_disconnected_ms: int | None = None
        self.last_receive_attempt_ms: int | None = now_ms  # None: every time
        self.attempted_connections = 0
        self.successful_connections = 0
        self.connected_total_ms = 0
        self.seqno = 0  # changes with each connection made or lost

    # Settings

    def set_backoff(self, min_ms: int, max_ms: int) -> None:
        """Wait between attempts ``min_ms`` first, doubling up to ``max_ms``; both at least 1 s."""
        self.min_backoff_ms = max(min_ms, SHORTEST_MS)
        self.max_backoff_ms = max(max_ms, self.min_backoff_ms)
        if self.state == "BACKOFF":
            self.backoff_ms = min(self.backoff_ms, self.max_backoff_ms)

    def set_probe_interval(self, ms: int) -> None:
        """Probe after ``ms`` of silence, at least 1 s; 0 never."""
        self.probe_interval_ms = max(ms, SHORTEST_MS) if ms else 0

    def set_max_tries(self, tries: int | None) -> None:
        """Disable the machine after this many more attempts; None never."""
        self.max_tries = tries

    def set_passive(self, passive: bool, now_ms: int) -> None:
        """Listen for connections instead of making them, or the other way round."""
        if self.passive == passive:
            return
        self.passive = passive
        if (passive and self.state in ("CONNECTING", "RECONNECT")) or (
            not passive and self.state == "LISTENING" and self._may_retry()
        ):
            self._enter("BACKOFF", now_ms)
            self.backoff_ms = 0

    # What the owner reports

    def enable(self, now_ms: int) -> None:
        """Let the next ``run`` ask for a connection; no effect if enabled."""
        if self.state == "VOID" and self._may_retry():
            self._enter("BACKOFF", now_ms)
            self.backoff_ms = 0

    def disable(self, now_ms: int) -> None:
        """Ask for nothing any more, until ``enable``."""
        if self.state != "VOID":
            self._enter("VOID", now_ms)

    def force_reconnect(self, now_ms: int) -> None:
        """Let the next ``run`` ask to disconnect, if there is a connection or attempt."""
        if self.state in ("CONNECTING", "ACTIVE", "IDLE"):
            self._enter("RECONNECT", now_ms)

    def connecting(self, now_ms: int) -> None:
        """An attempt began that will end later in ``connected`` or ``connect_failed``."""
        if self.state != "CONNECTING":
            if self.passive or not self._gone_quiet:
                self._info("listening..." if self.passive else "connecting...")
            self._enter("CONNECTING", now_ms)

    def listening(self, now_ms: int) -> None:
        """A passive listener is open and waits for its peer."""
        if self.state != "LISTENING":
            self._info("listening...")
            self._enter("LISTENING", now_ms)

    def listen_error(self, now_ms: int, error: str) -> None:
        """Accepting a connection failed."""
        if self.state == "LISTENING":
            self.disconnected(now_ms, error)

    def connected(self, now_ms: int) -> None:
        """The connection stands."""
        if not self.is_connected:
            self.connecting(now_ms)
            self._info("connected")
            self._enter("ACTIVE", now_ms)
            self.last_connected_ms = now_ms

    def connect_failed(self, now_ms: int, error: str) -> None:
        """The attempt failed with ``error`` (text for the log)."""
        self.connecting(now_ms)
        self.disconnected(now_ms, error)

    def disconnected(self, now_ms: int, error: str = "") -> None:
        """The connection or attempt ended; ``error`` is text for the log, empty if the peer closed."""
        if self.state in ("BACKOFF", "VOID"):
            return
        was_connected = self.is_connected
        self._log_end(error)
        if was_connected:
            self.last_disconnected_ms = now_ms
        if not self._may_retry():
            self._enter("VOID", now_ms)
            return
        self._set_next_backoff(was_connected)
        self._enter("BACKOFF", now_ms)

    def activity(self, now_ms: int) -> None:
        """The peer was heard."""
        if self.state != "ACTIVE":
            self._enter("ACTIVE", now_ms)
        self.last_activity_ms = now_ms

    def receive_attempted(self, now_ms: int | None) -> None:
        """The owner looked for input; silence counts only up to then. None: it looks all the time."""
        self.last_receive_attempt_ms = now_ms

    # What the owner asks

    def run(self, now_ms: int) -> Action | None:
        """Return what to do now, None if nothing."""
        row = STATES[self.state]
        deadline_ms = row.deadline_ms(self, now_ms)
        if deadline_ms is None or now_ms < deadline_ms:
            return None
        if row.action is Action.DISCONNECT and self.state == "IDLE":
            silent_s = (now_ms - self.state_entered_ms) / 1000
            log.err("%s: no response to inactivity probe after %.3g seconds, disconnecting", self.name, silent_s)
        if row.then:
            self._enter(row.then, now_ms)
        return row.action

    def timeout(self, now_ms: int) -> int | None:
        """Return after how many ms ``run`` will have something to say, None if only a report can change that."""
        deadline_ms = STATES[self.state].deadline_ms(self, now_ms)
        return None if deadline_ms is None else max(0, deadline_ms - now_ms)

    @property
    def is_connected(self) -> bool:
        """Whether the connection stands."""
        return STATES[self.state].connected

    def connected_ms(self, now_ms: int) -> int:
        """Return for how long, in sum, the connection has stood."""
        running = now_ms - (self.last_connected_ms or 0) if self.is_connected else 0
        return self.connected_total_ms + running

    def _may_retry(self) -> bool:
        if self.max_tries is None:
            return True
        if self.max_tries <= 0:
            return False
        self.max_tries -= 1
        return True

    def _set_next_backoff(self, was_connected: bool) -> None:
        """Choose the wait before the next attempt; a connection that lasted starts the doubling afresh."""
        lasted_ms = self.last_activity_ms - (self.last_connected_ms or 0)
        if self.backoff_free_tries > 1:
            self.backoff_free_tries -= 1
            self.backoff_ms = 0
        elif was_connected and (self.passive or lasted_ms >= self.backoff_ms):
            self.backoff_ms = 0 if self.passive else self.min_backoff_ms
        elif self.backoff_ms < self.min_backoff_ms:
            self.backoff_ms = self.min_backoff_ms
        elif self.backoff_ms < self.max_backoff_ms / 2:
            self.backoff_ms *= 2
            what = "trying to listen again" if self.passive else "reconnect"
            self._info(f"waiting {self.backoff_ms / 1000:.3g} seconds before {what}")
        else:
            if not self._gone_quiet:
                what = "try to listen" if self.passive else "reconnect"
                self._info(f"continuing to {what} in the background but suppressing further logging")
            self.backoff_ms = self.max_backoff_ms

    @property
    def _gone_quiet(self) -> bool:
        """Whether attempts fail so steadily that their log lines would tell nothing new."""
        return self.backoff_ms >= self.max_backoff_ms

    def _log_end(self, error: str) -> None:
        level = vlog.WARN if error else vlog.DBG if self.quiet else vlog.INFO
        if self.is_connected:
            text = f"connection dropped ({error})" if error else "connection closed by peer"
        elif self.state == "LISTENING":
            text = f"error listening for connections ({error})" if error else "error listening for connections"
        elif self.state == "RECONNECT":
            text = "connection closed by client"
        elif self._gone_quiet:
            return
        else:
            what = "listen" if self.passive else "connection"
            text = f"{what} attempt failed ({error})" if error else f"{what} attempt timed out"
        log.log(level, "%s: %s", self.name, text)

    def _info(self, text: str) -> None:
        log.log(vlog.DBG if self.quiet else vlog.INFO, "%s: %s", self.name, text)

    def _enter(self, state: str, now_ms: int) -> None:
        if self.state == "CONNECTING":
            self.attempted_connections += 1
            self.successful_connections += state == "ACTIVE"
        before, after = self.is_connected, STATES[state].connected
        if before and not after:
            self.connected_total_ms += now_ms - (self.last_connected_ms or 0)
        self.seqno += before != after
        log.dbg("%s: entering %s", self.name, state)
        self.state = state
        self.state_entered_ms = now_ms


def _never(fsm: Reconnect, now_ms: int) -> None:
    return None


def _heard_until(fsm: Reconnect, now_ms: int, since_ms: int) -> int | None:
    """Return when silence since ``since_ms`` is too long; it does not count while the owner did not look."""
    if not fsm.probe_interval_ms:
        return None
    expiry_ms = since_ms + fsm.probe_interval_ms
    looked_ms = fsm.last_receive_attempt_ms
    return expiry_ms if now_ms < expiry_ms or looked_ms is None or looked_ms >= expiry_ms else now_ms + 1


STATES = {
    "VOID": State(False, _never),
    "LISTENING": State(False, _never),
    "BACKOFF": State(False, lambda fsm, now_ms: fsm.state_entered_ms + fsm.backoff_ms, Action.CONNECT),
    "CONNECTING": State(
        False, lambda fsm, now_ms: fsm.state_entered_ms + max(SHORTEST_MS, fsm.backoff_ms), Action.DISCONNECT
    ),
    "ACTIVE": State(
        True,
        lambda fsm, now_ms: _heard_until(fsm, now_ms, max(fsm.last_activity_ms, fsm.state_entered_ms)),
        Action.PROBE,
        then="IDLE",
    ),
    "IDLE": State(True, lambda fsm, now_ms: _heard_until(fsm, now_ms, fsm.state_entered_ms), Action.DISCONNECT),
    "RECONNECT": State(False, lambda fsm, now_ms: fsm.state_entered_ms, Action.DISCONNECT),
}
