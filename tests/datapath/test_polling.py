"""How long a forwarder looks before it sleeps (DP.17)."""

from __future__ import annotations

from datapath.polling import PollingShell

US = 1000
SPIN, MOST = 20 * US, 200 * US


def after(*pauses_ns, rounds=20):
    """Return the policy, the time and the window after packets with these pauses, again and again."""
    policy, now = PollingShell(), 10**9
    window = policy.packets(now)
    for pause in pauses_ns * rounds:
        now += pause
        window = policy.packets(now)
    return policy, now, window


def test_seldom_packets_are_looked_for_no_longer_than_the_spin():
    policy, now, window = after(1000 * US)
    assert window == SPIN
    assert policy.goes_on(now + SPIN) and not policy.goes_on(now + SPIN + 1)


def test_a_request_and_its_answer_are_waited_for_twice_as_long_as_answers_take():
    assert after(1000 * US, 60 * US)[2] == 120 * US


def test_no_wait_is_longer_than_the_bound():
    assert after(150 * US)[2] == MOST


def test_packets_in_close_order_teach_nothing():
    _, _, window = after(*[US] * 50, 1000 * US, *[US] * 50, 60 * US)
    assert window == 120 * US


def test_looking_that_does_not_pay_is_given_up():
    policy, now, window = after(60 * US)
    assert window > SPIN
    for _ in range(12):
        now += 1000 * US
        window = policy.packets(now)
    assert window == SPIN


def test_sleeps_under_a_bound_grow_while_little_comes_and_end_with_much():
    policy = PollingShell()
    assert [policy.load_sleep(n, 3 * US) for n in (0, 1, 15, 0, 16, 0)] == [1000, 2000, 3000, 3000, 0, 1000]
    assert policy.load_sleep(0, 0) == 0
