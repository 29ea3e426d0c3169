"""All benchmarks, as one table: pairs of runs (ours, Open vSwitch's, ours, ...), their medians and the ratio.

usage: python -m bench [--pairs N] [--only NAME,...] [--write]
--write puts the table into bench/RESULTS.md. Exits with 1 when a script failed; a failure is a row of its own, not 0.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bench.sandbox import ROOT

RESULTS = Path(__file__).parent / "RESULTS.md"
TIMEOUT_S = 180.0
SWITCHES = ("ours", "ovs")


class Script(NamedTuple):
    """One script: its module and arguments, whether Open vSwitch has a side in it, a bare number's name and unit."""

    module: str
    args: tuple[str, ...] = ()
    pair: bool = True
    bare: tuple[str, str] | None = None


SCRIPTS: tuple[Script, ...] = (
    Script("inmemory", ("--flows", "1"), False, ("inmemory_1_flow", "Mpps")),
    Script("inmemory", ("--flows", "1000"), False, ("inmemory_1000_flows", "Mpps")),
    Script("looped", ("--flows", "32"), False, ("looped_32_flows", "Mpps")),
    Script("looped", ("--flows", "1000"), False, ("looped_1000_flows", "Mpps")),
    Script("classifier", (), False, ("classifier_inserts", "1/s")),
    Script("flow_mods", (), False, ("flow_mods_in_memory", "s")),
    Script("veth"),
    Script("misses_veth"),
    Script("tcp"),
    Script("ofctl_add_flows"),
    Script("idle"),
)
# name -> what it is, whether more is better.
MEASURES: dict[str, tuple[str, bool]] = {
    "inmemory_1_flow": ("packets in memory, 64 bytes, 1 flow, one forwarder", True),
    "inmemory_1000_flows": ("packets in memory, 64 bytes, 1,000 flows, one forwarder", True),
    "looped_32_flows": ("looped capture to null through the daemon, 60 bytes, 32 flows, one forwarder", True),
    "looped_1000_flows": ("looped capture to null through the daemon, 60 bytes, 1,000 flows, one forwarder", True),
    "classifier_inserts": ("inserts into a classifier of 1,000,000 rules, 64 masks", True),
    "flow_mods_in_memory": ("100,000 flow-mods, prepared messages, no socket", False),
    "veth": ("packets veth to veth, 60 bytes UDP, 1 flow", True),
    "veth_cpu": ("... for each second of the switch's processor time", True),
    "misses": ("packets veth to veth, every one the first of its flow", True),
    "misses_cpu": ("... for each second of the switch's processor time", True),
    "tcp": ("TCP namespace to namespace, iperf3", True),
    "add_flows": ("100,000 flows by ovs-ofctl add-flows", False),
    "add_flows_cpu": ("... the switch's processor time for them", False),
    "memory_flows": ("resident memory with these 100,000 flows", False),
    "idle_cpu": ("processor time, two silent ports, share of a core", False),
    "memory": ("resident memory, two silent ports", False),
}


@dataclass
class Row:
    """What was measured under one name: values by switch, in the order of the runs."""

    name: str
    unit: str = ""
    values: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in SWITCHES})
    failures: list[str] = field(default_factory=list)


class Failed(Exception):
    """A script failed; the text is what it said."""


def run(script: Script, switch: str) -> dict[str, tuple[float, str]]:
    """Run one script once; return value and unit by name. Raises Failed."""
    command = [sys.executable, "-m", f"bench.{script.module}", *script.args]
    if script.pair:
        command += ["--switch", switch]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"no result within {TIMEOUT_S:g} s") from error
    if done.returncode:
        raise Failed((done.stderr or done.stdout).strip().splitlines()[-1:][0] if done.stderr or done.stdout else "?")
    return parse(script, done.stdout)


def parse(script: Script, text: str) -> dict[str, tuple[float, str]]:
    """Return value and unit by name from what a script printed; raises Failed."""
    lines = [line.split() for line in text.strip().splitlines()]
    if script.bare is not None:
        lines = [[script.bare[0], line[-1], script.bare[1]] for line in lines[-1:]]
    try:
        return {name: (float(value), unit) for name, value, unit in lines}
    except ValueError as error:
        raise Failed(f"unexpected output: {text.strip()}") from error


def measure(script: Script, pairs: int, rows: dict[str, Row]) -> None:
    """Run a script `pairs` times for each switch in turn, and add what it says to `rows`."""
    sides = SWITCHES if script.pair and shutil.which("ovs-vswitchd") else SWITCHES[:1]
    label = script.bare[0] if script.bare else script.module
    for number in range(pairs):
        for side in sides:
            print(f"\r\033[K{label} {number + 1}/{pairs} {side}", end="", file=sys.stderr, flush=True)
            try:
                found = run(script, side)
            except Failed as error:
                rows.setdefault(label, Row(label)).failures.append(f"{side}: {error}")
                continue
            for name, (value, unit) in found.items():
                row = rows.setdefault(name, Row(name))
                row.unit = unit
                row.values[side].append(value)
    print("\r\033[K", end="", file=sys.stderr, flush=True)


def side_text(values: list[float]) -> str:
    """Return median and range of one side."""
    if not values:
        return "-"
    return f"{statistics.median(values):.4g} ({min(values):.3g}-{max(values):.3g})"


def ratio_text(row: Row) -> str:
    """Return the median of the pairs' ratios, ours to theirs."""
    pairs = [ours / theirs for ours, theirs in zip(row.values["ours"], row.values["ovs"], strict=False) if theirs]
    return f"{statistics.median(pairs):.2f}" if pairs else "-"


def table(rows: dict[str, Row]) -> list[str]:
    """Return the results as a Markdown table, aligned."""
    head = ["what", "unit", "better", "cyvswitch", "Open vSwitch 3.1", "ratio"]
    lines = [head]
    for row in rows.values():
        text, more = MEASURES.get(row.name, (row.name, True))
        if row.failures and not row.values["ours"]:
            lines.append([text, row.unit, "", "failed", "", ""])
            continue
        sides = [side_text(row.values[side]) for side in SWITCHES]
        lines.append([text, row.unit, "more" if more else "less", *sides, ratio_text(row)])
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    return ["| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in lines]


def machine() -> str:
    """Return what the figures depend on."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    cpus = len(os.sched_getaffinity(0))
    return f"{cpus} processors ({model}), Linux {platform.release()}, Python {platform.python_version()}"


def write(lines: list[str], command: str, load: float) -> None:
    """Replace the part of RESULTS.md between its markers."""
    begin, end = "<!-- table: begin -->", "<!-- table: end -->"
    text = RESULTS.read_text()
    before, _, rest = text.partition(begin)
    after = rest.partition(end)[2]
    date = time.strftime("%Y-%m-%d %H:%M")
    facts = f"`{command}` on {date}: {machine()}; load average before the run {load:.1f}."
    RESULTS.write_text("\n".join([before + begin, facts, "", *lines, end]) + after)


def main() -> int:
    """Run the scripts that are asked for and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="all benchmarks as one table")
    parser.add_argument("--pairs", type=int, default=3, help="runs of each side (default 3)")
    parser.add_argument("--only", default="", help="names of scripts, comma separated")
    parser.add_argument("--write", action="store_true", help="write the table into bench/RESULTS.md")
    chosen = parser.parse_args()
    wanted = {name for name in chosen.only.split(",") if name}
    unknown = wanted - {script.module for script in SCRIPTS}
    if unknown:
        parser.error(f"no such script: {', '.join(sorted(unknown))}")
    rows: dict[str, Row] = {}
    load = os.getloadavg()[0]
    for script in SCRIPTS:
        if not wanted or script.module in wanted:
            measure(script, chosen.pairs, rows)
    lines = table(rows)
    print("\n".join(lines))
    failures = [f"{row.name}: {failure}" for row in rows.values() for failure in row.failures]
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    if chosen.write:
        write(lines, "python -m bench " + " ".join(a for a in sys.argv[1:] if a != "--write"), load)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
