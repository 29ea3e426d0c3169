"""What the database says about forwarders: Open vSwitch's settings of its PMD threads, read into plain values.

A wrong value never raises: it is named through `problem`, and the default takes its place, as in Open vSwitch.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from datapath.rx_assign import MODES

FORWARDERS_MAX = 16
SLEEP_MAX_US = 10_000
HEX = "0123456789abcdefABCDEF"
AFFINITY = re.compile(r"\s*\d{1,5}\s*:\s*\d{1,5}\s*(?:,\s*\d{1,5}\s*:\s*\d{1,5}\s*)*,?")
# Accepted for compatibility: forwarders translate misses themselves, and there is no revalidator thread.
COUNTS = ("n-handler-threads", "n-revalidator-threads")

Problem = Callable[[str], None]


@dataclass(frozen=True)
class Threads:
    """Settings of the forwarders. cpus: one forwarder stays on each of them and polls, None = pmd-cpu-mask is not set.

    max_sleep_us: of one that polls; assign: how queues are dealt out, isolate: cores of pinned queues have no others;
    balance and the rest: whether that is done anew from time to time, how often, from which load of a forwarder on (in
    percent), and if by how much it helps (in percent).
    """

    cpus: tuple[int, ...] | None = None
    max_sleep_us: int = 0
    assign: str = MODES[0]
    isolate: bool = True
    balance: bool = False
    balance_minutes: int = 1
    balance_load: int = 95
    balance_gain: int = 25


def cpu_mask(text: str, problem: Problem, n_cpus: int) -> tuple[int, ...] | None:
    """Return the processors below n_cpus that a mask of hex digits names, None if it names none."""
    digits = text.removeprefix("0x").removeprefix("0X")
    wrong = next((digit for digit in digits if digit not in HEX), None)
    if wrong is not None:
        problem(f"Invalid cpu mask: {wrong}")
        return None
    value = int(digits or "0", 16)
    cpus = tuple(cpu for cpu in range(n_cpus) if value >> cpu & 1)
    if digits and not cpus:
        problem(f"other_config:pmd-cpu-mask={text} names no processor that is there; ignored")
    if len(cpus) > FORWARDERS_MAX:
        problem(f"other_config:pmd-cpu-mask={text} names {len(cpus)} processors; using the first {FORWARDERS_MAX}")
    return cpus[:FORWARDERS_MAX] or None


def read(values: Mapping[str, str], problem: Problem, n_cpus: int | None = None) -> Threads:
    """Return what Open_vSwitch.other_config says; n_cpus: None = this computer's."""
    default = Threads()

    def number(key: str, unset: int, low: int, high: int) -> int:
        text = values.get(key)
        if text is None:
            return unset
        if re.fullmatch(r"\d{1,9}", text) and low <= int(text) <= high:
            return int(text)
        problem(f"other_config:{key}={text} is not a number from {low} to {high}; using {unset}")
        return unset

    for key in COUNTS:
        number(key, 0, 0, 1 << 20)
    mode = values.get("pmd-rxq-assign", default.assign)
    if mode not in MODES:
        problem("Unsupported rx queue to PMD assignment mode in pmd-rxq-assign. Defaulting to 'cycles'.")
        mode = default.assign
    mask = values.get("pmd-cpu-mask")
    sleep_key = "pmd-sleep-max" if "pmd-sleep-max" in values else "pmd-maxsleep"
    return Threads(
        cpus=None if mask is None else cpu_mask(mask, problem, n_cpus or os.cpu_count() or 1),
        max_sleep_us=min(number(sleep_key, default.max_sleep_us, 0, 1 << 29), SLEEP_MAX_US),
        assign=mode,
        isolate=values.get("pmd-rxq-isolate") != "false",
        balance=values.get("pmd-auto-lb") == "true",
        balance_minutes=number("pmd-auto-lb-rebal-interval", default.balance_minutes, 0, 20_000) or 1,
        balance_load=number("pmd-auto-lb-load-threshold", default.balance_load, 0, 100),
        balance_gain=number("pmd-auto-lb-improvement-threshold", default.balance_gain, 0, 100),
    )


def affinity(row: Any, problem: Problem) -> dict[int, int]:
    """Return what Interface.other_config:pmd-rxq-affinity says: cores by queue."""
    text = (getattr(row, "other_config", None) or {}).get("pmd-rxq-affinity")
    if not text:
        return {}
    if not AFFINITY.fullmatch(text):
        problem(f"interface {row.name}: other_config:pmd-rxq-affinity={text} is not a list of QUEUE:CORE; ignored")
        return {}
    pairs = (pair.split(":") for pair in text.split(",") if pair.strip())
    return {int(queue): int(core) for queue, core in pairs}
