"""What `make bench` tells: rows of values by switch, as a table of ratios, as JSON, and in RESULTS.md."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.rows import MEASURES, OURS, PEERS, REASONS, Measure

RESULTS = Path(__file__).parent / "RESULTS.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
HEAD = ("what", "unit", "better", "cyvswitch", "peer", "the peer's", "ratio", "must", "")


@dataclass
class Row:
    """What was measured under one name: values by switch, in the order of the runs; `command` reproduces it."""

    name: str
    unit: str = ""
    values: dict[str, list[float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    command: str = ""

    def measure(self) -> Measure:
        """Return what the row says about."""
        return MEASURES.get(self.name, Measure(self.name, True))

    def ratios(self, peer: str) -> list[float]:
        """Return ours to theirs for each pair of runs."""
        pairs = zip(self.values.get(OURS, []), self.values.get(peer, []), strict=False)
        return [ours / theirs for ours, theirs in pairs if theirs]

    def reached(self, peer: str | None) -> bool | None:
        """Tell whether the ratio to a peer (None: our own value) is what is demanded; None when nothing is."""
        measure = self.measure()
        wanted = measure.must.get(peer) if peer else measure.bound
        found = self.ratios(peer) if peer else self.values.get(OURS, [])
        if wanted is None or not found:
            return None
        middle = statistics.median(found)
        return middle >= wanted if measure.more else middle <= wanted


def spread(values: list[float]) -> str:
    """Return median and range."""
    return f"{statistics.median(values):.4g} ({min(values):.3g}-{max(values):.3g})" if values else "-"


def verdict(reached: bool | None) -> str:
    """Return the last cell of a line."""
    return {None: "", True: "reached", False: "**short**"}[reached]


def lines_of(row: Row) -> list[list[str]]:
    """Return the cells of a row: a line for each peer, or one without."""
    measure = row.measure()
    if not row.values.get(OURS):
        return [[measure.text, row.unit, "", "failed", "", "", "", "", ""]]
    begin = [measure.text, row.unit, "more" if measure.more else "less", spread(row.values[OURS])]
    peers = [name for name in PEERS if row.values.get(name)]
    sign = "at least" if measure.more else "at most"
    if not peers:
        wanted = f"{sign} {measure.bound:g}" if measure.bound is not None else ""
        return [[*begin, "-", "-", "-", wanted, verdict(row.reached(None))]]
    found = []
    for peer in peers:
        wanted = f"{sign} {measure.must[peer]:g}" if peer in measure.must else ""
        ratio = spread(row.ratios(peer))
        found.append([*begin, PEERS[peer], spread(row.values[peer]), ratio, wanted, verdict(row.reached(peer))])
    return found


def ordered(rows: dict[str, Row]) -> list[Row]:
    """Return the rows in the order of MEASURES."""
    places = {name: number for number, name in enumerate(MEASURES)}
    return sorted(rows.values(), key=lambda row: places.get(row.name, len(places)))


def table(rows: dict[str, Row]) -> list[str]:
    """Return the results as a Markdown table, aligned."""
    lines = [list(HEAD)]
    for row in ordered(rows):
        lines += lines_of(row)
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(HEAD))]
    lines.insert(1, ["-" * width for width in widths])
    return ["| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in lines]


def notes(rows: dict[str, Row]) -> list[str]:
    """Return a line for each row with the command that repeats it, and why it falls short or failed."""
    lines = []
    for row in ordered(rows):
        short = [peer for peer in (*PEERS, None) if row.reached(peer) is False]
        said = f"- {row.measure().text}: `{row.command}`"
        if short:
            said += ". Short: " + REASONS.get(row.name, "the reason is not known yet") + "."
        if row.failures:
            said += ". Failed: " + "; ".join(dict.fromkeys(row.failures)) + "."
        lines.append(said)
    return lines


def machine() -> str:
    """Return what the figures depend on."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    cpus = len(os.sched_getaffinity(0))
    return f"{cpus} processors ({model}), Linux {platform.release()}, Python {platform.python_version()}"


def facts(command: str, load: float) -> str:
    """Return when, where and by what the figures were made."""
    date = time.strftime("%Y-%m-%d %H:%M")
    return f"`{command}` on {date}: {machine()}; load average before the run {load:.1f}."


def write_results(rows: dict[str, Row], head: str, path: Path = RESULTS) -> None:
    """Replace the part of RESULTS.md between its markers."""
    before, _, rest = path.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    body = [head, "", *table(rows), "", "Commands, and why a figure is short of what is demanded:", "", *notes(rows)]
    path.write_text("\n".join([before + BEGIN, *body, END]) + after)


def write_json(rows: dict[str, Row], head: str, curves: dict[str, Any], path: Path) -> None:
    """Write everything that was measured, each single run included."""
    found = []
    for row in ordered(rows):
        peers = [name for name in PEERS if row.values.get(name)]
        found.append(
            {
                "name": row.name,
                "what": row.measure().text,
                "unit": row.unit,
                "more_is_better": row.measure().more,
                "values": row.values,
                "ratios": {peer: row.ratios(peer) for peer in peers},
                "must": row.measure().must or row.measure().bound,
                "command": row.command,
                "failures": row.failures,
            }
        )
    path.write_text(json.dumps({"run": head, "rows": found, "curves": curves}, indent=1) + "\n")
