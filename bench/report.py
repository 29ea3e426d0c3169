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

from bench.rows import MEASURES, OURS, PEERS, Measure, reason

RESULTS = Path(__file__).parent / "RESULTS.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
HEAD = ("what", "unit", "better", "cyvswitch", "peer", "the peer's", "ratio", "must", "goal", "")


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
        return self.meets(peer, measure.must.get(peer) if peer else measure.bound)

    def reached_goal(self, peer: str | None) -> bool:
        """Tell whether everything that should be reached is: the goal's ratio to a peer, and that of our own value."""
        measure = self.measure()
        told = [self.meets(peer, measure.goal.get(peer) if peer else None), self.meets(None, measure.goal_bound)]
        return True in told and False not in told

    def meets(self, peer: str | None, wanted: float | None) -> bool | None:
        """Tell whether the median ratio to a peer (None: our own value) is at least, or at most, as wanted."""
        found = self.ratios(peer) if peer else self.values.get(OURS, [])
        if wanted is None or not found:
            return None
        middle = statistics.median(found)
        return middle >= wanted if self.measure().more else middle <= wanted


def spread(values: list[float]) -> str:
    """Return median and range."""
    return f"{statistics.median(values):.4g} ({min(values):.3g}-{max(values):.3g})" if values else "-"


def verdict(row: Row, peer: str | None) -> str:
    """Return the last cell of a line."""
    reached = row.reached(peer)
    if reached is not False and row.reached_goal(peer):
        return "goal"
    return {None: "", True: "reached", False: "**short**"}[reached]


def demands(measure: Measure, peer: str | None) -> list[str]:
    """Return the cells of what must and should be reached."""
    sign = "at least" if measure.more else "at most"
    must = measure.must.get(peer) if peer else measure.bound
    goal = measure.goal.get(peer) if peer else None
    told = [f"{sign} {one:g}" if one is not None else "" for one in (must, goal)]
    if measure.goal_bound is not None and (peer is None or peer in measure.must):
        told[1] = f"{sign} {measure.goal_bound:g} of its unit"
    return told


def lines_of(row: Row) -> list[list[str]]:
    """Return the cells of a row: a line for each peer, or one without."""
    measure = row.measure()
    if not row.values.get(OURS):
        return [[measure.text, row.unit, "", "failed", "", "", "", "", "", ""]]
    begin = [measure.text, row.unit, "more" if measure.more else "less", spread(row.values[OURS])]
    peers = [name for name in PEERS if row.values.get(name)]
    if not peers:
        return [[*begin, "-", "-", "-", *demands(measure, None), verdict(row, None)]]
    return [
        [
            *begin,
            PEERS[peer],
            spread(row.values[peer]),
            spread(row.ratios(peer)),
            *demands(measure, peer),
            verdict(row, peer),
        ]
        for peer in peers
    ]


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
        why = dict.fromkeys(reason(row.name, peer) for peer in (*PEERS, None) if row.reached(peer) is False)
        said = f"- {row.measure().text}: `{row.command}`"
        if why:
            said += ". Short: " + "; ".join(why) + "."
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
                "goal": row.measure().goal or row.measure().goal_bound,
                "command": row.command,
                "failures": row.failures,
            }
        )
    path.write_text(json.dumps({"run": head, "rows": found, "curves": curves}, indent=1) + "\n")
