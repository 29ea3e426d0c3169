"""The reconnect state machine (CH.03, DB.27) against the independent one of Open vSwitch's Python package."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vslib.reconnect import Action, Reconnect

oracle = pytest.importorskip("ovs.reconnect")

EVENTS = [
    "enable",
    "disable",
    "force_reconnect",
    "connecting",
    "listening",
    "connected",
    "connect_failed",
    "disconnected",
    "listen_error",
    "activity",
    "receive_attempted",
    "run",
    "passive_on",
    "passive_off",
    "backoff",
    "probe",
    "no_probe",
    "tries",
]


def apply_event(ours, theirs, event, now):
    """Report one event to both machines and return what each answered."""
    if event == "run":
        action = ours.run(now)
        return action and action.value, theirs.run(now)
    if event in ("connect_failed", "disconnected", "listen_error"):
        getattr(ours, event)(now, "No route to host")
        getattr(theirs, event)(now, 113)
    elif event in ("passive_on", "passive_off"):
        ours.set_passive(event == "passive_on", now)
        theirs.set_passive(event == "passive_on", now)
    elif event == "backoff":
        ours.set_backoff(500, 3000)
        theirs.set_backoff(500, 3000)
    elif event in ("probe", "no_probe"):
        ours.set_probe_interval(200 if event == "probe" else 0)
        theirs.set_probe_interval(200 if event == "probe" else 0)
    elif event == "tries":
        ours.set_max_tries(3)
        theirs.set_max_tries(3)
    else:
        getattr(ours, event)(now)
        getattr(theirs, event)(now)
    return None, None


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.sampled_from([0, 1, 400, 1000, 2600, 5000, 9000])), max_size=60))
def test_every_sequence_of_events_gives_open_vswitchs_states_and_timeouts(events):
    now = 1000
    ours, theirs = Reconnect(now), oracle.Reconnect(now)
    for event, wait in [("enable", 0), *events]:
        now += wait
        if event == "activity" and not ours.is_connected:
            continue  # the reference asserts nothing here, but no owner hears a peer that it has not
        if event == "disconnected" and ours.is_connected and ours.last_connected_ms is None:
            continue
        mine, reference = apply_event(ours, theirs, event, now)
        assert mine == reference, event
        assert ours.state == theirs.state.name
        assert ours.backoff_ms == theirs.backoff
        assert ours.timeout(now) == theirs.timeout(now)
        assert ours.seqno == theirs.seqno
        assert ours.attempted_connections == theirs.n_attempted_connections
        assert ours.successful_connections == theirs.n_successful_connections
        assert ours.max_tries == theirs.max_tries


def test_failed_attempts_back_off_1_2_4_8_seconds():
    fsm, now, waits = Reconnect(0), 0, []
    fsm.enable(now)
    for _ in range(6):
        assert fsm.run(now) is Action.CONNECT
        fsm.connecting(now)
        fsm.connect_failed(now, "Connection refused")
        waits.append(fsm.timeout(now))
        now += waits[-1]
    assert waits == [1000, 2000, 4000, 8000, 8000, 8000]


def test_a_silent_peer_is_probed_after_5_seconds_and_dropped_after_10():
    fsm = Reconnect(0)
    fsm.enable(0)
    fsm.receive_attempted(None)
    fsm.connected(0)
    assert fsm.timeout(0) == 5000
    assert fsm.run(4999) is None
    assert fsm.run(5000) is Action.PROBE
    assert fsm.run(9999) is None
    assert fsm.run(10000) is Action.DISCONNECT


def test_a_steadily_failing_peer_is_logged_until_the_back_off_is_full_only(caplog):
    caplog.set_level("INFO")
    fsm, now = Reconnect(0, "tcp:192.0.2.1:6653"), 0
    fsm.enable(now)
    for _ in range(30):
        fsm.connecting(now)
        fsm.connect_failed(now, "No route to host")
        now += 8000
    assert "suppressing further logging" in caplog.text
    assert len(caplog.records) < 15
