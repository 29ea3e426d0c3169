"""All benchmarks, as one table: runs in turn (ours, each peer, ours, ...), their medians and the ratios.

usage: python -m bench [--pairs N] [--only NAME,...] [--write] [--json FILE] [--plots FOLDER]
--only takes modules of bench/ and `micro`; --write puts the table into bench/RESULTS.md; --plots also measures the
rates against flows, masks and packet sizes. Exits with 1 when a script of ours failed; a failure is a row of its own,
not 0. A peer that is not there is left out, and the reason is told.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench import peer_dpdk, plots, report
from bench.peer import StepError
from bench.report import Row
from bench.rows import CURVES_SECONDS, MICRO_SECONDS, OURS, SCRIPTS, Script, estimate_s, label
from bench.sandbox import ROOT

TIMEOUT_S = 180.0
MICRO = "micro"


class Failed(Exception):
    """A script failed; the text is what it said."""


def run(script: Script, switch: str) -> dict[str, tuple[float, str]]:
    """Run one script once; return value and unit by name. Raises Failed."""
    command = [sys.executable, *script.command(switch)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"no result within {TIMEOUT_S:g} s") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Failed(said[-1] if said else f"exit code {done.returncode}")
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


def progress(text: str) -> None:
    """Show what is going on, in the line that the last one had."""
    print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def measure(script: Script, pairs: int, absent: dict[str, str], rows: dict[str, Row]) -> None:
    """Run a script `pairs` times for each of its switches in turn, and add what it says to `rows`."""
    command = "python " + " ".join(script.command())
    for number in range(min(pairs, script.most_pairs)):
        for side in script.sides:
            if side in absent:
                continue
            progress(f"{label(script)} {number + 1}/{pairs} {side}")
            try:
                found = run(script, side)
            except Failed as error:
                row = rows.setdefault(label(script), Row(label(script), command=command))
                row.failures.append(f"{side}: {error}")
                continue
            for name, (value, unit) in found.items():
                row = rows.setdefault(name, Row(name, command=command))
                row.unit = unit
                row.values.setdefault(side, []).append(value)
    progress("")


def absent_peers(scripts: list[Script]) -> dict[str, str]:
    """Return which peers are not there, with the reason; fetches Open vSwitch with DPDK when it is wanted."""
    absent = {}
    if not shutil.which("ovs-vswitchd"):
        absent = dict.fromkeys(("ovs", "ovs-tso", "dpdk"), "Debian's openvswitch-switch is not installed")
    elif os.geteuid() != 0:
        absent["dpdk"] = "DPDK needs root here"
    elif any("dpdk" in script.sides for script in scripts):
        try:
            peer_dpdk.unpack()
        except StepError as error:
            absent["dpdk"] = str(error)
        if len(os.sched_getaffinity(0)) < 2:
            absent["dpdk"] = "its forwarder takes a whole processor, and there is only one"
    return absent


def micro(folder: Path | None) -> int:
    """Run the micro-benchmarks, with their figures as JSON in a folder; return the exit code."""
    saved = [f"--benchmark-json={folder / 'micro.json'}"] if folder else []
    words = ["-q", "-p", "no:xdist", "--benchmark-columns=median,iqr,ops,rounds", "--benchmark-sort=name", *saved]
    return subprocess.run([sys.executable, "-m", "pytest", *words, "bench/micro"], cwd=ROOT, check=False).returncode


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the arguments, `only` as a set of names."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5, help="runs of each side (default 5)")
    parser.add_argument("--only", default="", help="scripts, separated by commas")
    parser.add_argument("--write", action="store_true", help="put the table into bench/RESULTS.md")
    parser.add_argument("--json", type=Path, help="file for everything that was measured")
    parser.add_argument("--plots", type=Path, help="folder for plots as PNG")
    chosen = parser.parse_args(arguments)
    chosen.only = {name for name in chosen.only.split(",") if name}
    unknown = chosen.only - {script.module for script in SCRIPTS} - {MICRO}
    if unknown:
        parser.error(f"no such script: {', '.join(sorted(unknown))}")
    return chosen


def main() -> int:
    """Run what is asked for, print the table, write the files; return the exit code."""
    chosen = options()
    scripts = [script for script in SCRIPTS if not chosen.only or script.module in chosen.only]
    head = report.facts("python -m bench " + " ".join(a for a in sys.argv[1:] if a != "--write"), os.getloadavg()[0])
    absent = absent_peers(scripts)
    for peer, reason in absent.items():
        print(f"left out: {peer}: {reason}", file=sys.stderr)
    seconds = estimate_s(scripts, chosen.pairs, absent) + CURVES_SECONDS * bool(chosen.plots)
    seconds += MICRO_SECONDS * (not chosen.only or MICRO in chosen.only)
    print(f"this takes about {max(1, round(seconds / 60))} minutes", file=sys.stderr)
    rows: dict[str, Row] = {}
    curves: dict[str, Any] = {}
    for script in scripts:
        measure(script, chosen.pairs, absent, rows)
    if chosen.plots:
        chosen.plots.mkdir(parents=True, exist_ok=True)
        curves = plots.measure(absent, run_or_none)
        plots.draw(curves, chosen.plots)
    print("\n".join([head, "", *report.table(rows), "", *report.notes(rows)]))
    if chosen.write:
        report.write_results(rows, head)
    if chosen.json:
        report.write_json(rows, head, curves, chosen.json)
    failed = any(failure.startswith(OURS) for row in rows.values() for failure in row.failures)
    if not chosen.only or MICRO in chosen.only:
        failed |= bool(micro(chosen.json.parent if chosen.json else None))
    return 1 if failed else 0


def run_or_none(script: Script, switch: str) -> float | None:
    """Return the first figure of a script, or nothing when it failed; the reason is told."""
    progress(f"{label(script)} {switch}")
    try:
        return next(iter(run(script, switch).values()))[0]
    except Failed as error:
        print(f"\nno point: {label(script)} {switch}: {error}", file=sys.stderr)
        return None


if __name__ == "__main__":
    sys.exit(main())
