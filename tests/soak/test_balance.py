"""Random edits and traffic of all shapes over ports of many kinds: in the end the books balance to the packet, and
memory is what it was after three minutes (issue 4).

`make test` runs it for a few seconds, `make soak` for ten minutes or CYVSWITCH_SOAK_SECONDS.
"""

from __future__ import annotations

import contextlib
import gc
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from datapath.ports.afpacket import AfPacketPort
from datapath.ports.afxdp import AfXdpPort
from datapath.ports.tap import TapPort
from tests.soak.balance import DEVICES, Balance, Far
from tests.system.netns import Namespace, namespace, switch_namespace, unique, veth

SHORT_S = 4.0
LONG_S = float(os.environ.get("CYVSWITCH_SOAK_SECONDS", "600"))
WARM_UP_S = 180.0
GROWTH_BYTES = 8 << 20
FAULTS = {"miss_failed", "out_of_memory", "rx_bad_vnet_header", "invalid_action"}
CONTROL: list[tuple[Callable[[Balance], None], int]] = [
    (Balance.edit, 150),
    (Balance.bundle, 5),
    (Balance.port, 4),
    (Balance.settings, 3),
    (Balance.packet_out, 40),
    (Balance.sweep, 3),
    (Balance.look, 10),
    (Balance.flush, 1),
    (Balance.forget, 1),
]


@contextlib.contextmanager
def devices(balance: Balance) -> Iterator[None]:
    """Give the switch two veths by AF_PACKET, one by AF_XDP and a TAP, with senders at their far ends."""
    with switch_namespace() as here, namespace() as there, contextlib.closing(balance):
        for place in (here, there):
            for kind in ("all", "default"):
                place.run("sysctl", "-qw", f"net.ipv6.conf.{kind}.disable_ipv6=1")
        for number, kind in zip(DEVICES, (AfPacketPort, AfPacketPort, AfXdpPort, TapPort), strict=True):
            place, name, far = wire(here, there, kind)
            port = kind(name, mode="generic") if kind is AfXdpPort else kind(name)
            if kind is TapPort:
                here.ip("link", "set", name, "up")
            balance.add_device(number, port, Far(place, far, number))
        yield


def wire(here: Namespace, there: Namespace, kind: type) -> tuple[Namespace, str, str]:
    """Return where the far end of a new device is, the device, and its far end."""
    if kind is TapPort:
        name = unique()
        return here, name, name
    return there, *veth(here, there)


def rss_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def drive(balance: Balance, seconds: float) -> int:
    """Disturb for so long; returns how much memory was taken since it was warm, in bytes."""
    kinds, weights = zip(*CONTROL, strict=True)
    start, warm = time.monotonic(), 0
    for kind in kinds:
        kind(balance)
        balance.done[kind.__name__] += 1
    while (spent := time.monotonic() - start) < seconds:
        for kind in balance.rng.choices(kinds, weights, k=50):
            kind(balance)
            balance.done[kind.__name__] += 1
        if not warm and spent > min(WARM_UP_S, seconds / 2):
            gc.collect()
            warm = rss_bytes()
    gc.collect()
    return rss_bytes() - warm


def soak(seconds: float, with_devices: bool) -> int:
    """Run and close the books; returns the growth of memory in bytes."""
    balance = Balance(seed := time.time_ns())
    with devices(balance) if with_devices else contextlib.closing(balance):
        more = drive(balance, seconds)
        balance.quiet()
        came, went, drops = balance.total()
        wrong = balance.differences()
    print(f"seed {seed}: {came} packets, {balance.punts} handed up, {drops}, {dict(balance.done)}")
    print(f"{more >> 10} KiB more than when it was warm")
    assert came == went, f"seed {seed}: {came} packets came in, {went} had an outcome; {drops}"
    assert not wrong, f"seed {seed}: {wrong}"
    assert not drops.keys() & FAULTS, drops
    assert came > 1000 * seconds
    assert all(balance.done[kind.__name__] for kind, _ in CONTROL), balance.done
    return more


@pytest.mark.root
def test_a_few_seconds_of_traffic_and_edits_balance_to_the_packet():
    soak(SHORT_S, True)


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.timeout(LONG_S + 300)
def test_minutes_of_traffic_and_edits_balance_to_the_packet_without_growth():
    assert soak(LONG_S, True) < GROWTH_BYTES
