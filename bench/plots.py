"""Curves of `make bench`: rates against the number of flows, of masks, and the packet size, as points and as PNG.

Matplotlib draws them; where it is not installed, the points are in the JSON file and the plots are left out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.rows import ALONE, DPDK, OURS, PEERS, Script

RUNS = 3
Points = dict[str, list[tuple[float, float]]]
Run = Callable[[Script, str], float | None]


class Curve(NamedTuple):
    """One plot: its file's name, title, axes, and the script for each x."""

    name: str
    title: str
    x_label: str
    y_label: str
    scripts: dict[int, Script]


CURVES: tuple[Curve, ...] = (
    Curve(
        "flows",
        "looped capture to null, 60 bytes, one forwarder, the rule matches UDP",
        "flows",
        "million packets/s",
        {n: Script("looped", ("--flows", str(n), "--pipeline", "udp"), DPDK) for n in (1, 32, 1000, 10_000, 200_000)},
    ),
    Curve(
        "sizes",
        "looped capture to null, 1,000 flows, one forwarder",
        "bytes a packet",
        "million packets/s",
        {n: Script("looped", ("--flows", "1000", "--frame", str(n)), DPDK) for n in (60, 128, 256, 512, 1024, 1500)},
    ),
    Curve(
        "masks",
        "cost of a packet in memory, 20,000 flows",
        "masks in use",
        "ns a packet",
        {n: Script("masks", ("--masks", str(n)), ALONE, ("ns", "ns")) for n in (1, 2, 4, 8, 16, 32, 64)},
    ),
)


def measure(absent: dict[str, str], run: Run) -> dict[str, Points]:
    """Return the points of each curve by switch: medians of RUNS runs, the sides in turn."""
    found: dict[str, Points] = {}
    for curve in CURVES:
        points: Points = {}
        for x, script in curve.scripts.items():
            sides = [side for side in script.sides if side not in absent]
            values: dict[str, list[float]] = {side: [] for side in sides}
            for side in sides * RUNS:
                value = run(script, side)
                if value is not None:
                    values[side].append(value)
            for side, each in values.items():
                if each:
                    points.setdefault(side, []).append((x, sorted(each)[len(each) // 2]))
        found[curve.name] = points
    return found


def draw(curves: dict[str, Points], folder: Path) -> list[Path]:
    """Write a PNG for each curve and return the files; none without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("plots are left out: matplotlib is not installed (pip install -e .[plots])", file=sys.stderr)
        return []
    files = []
    for curve in CURVES:
        figure = Figure(figsize=(7, 4.5), layout="constrained")
        axes = figure.add_subplot(title=curve.title, xlabel=curve.x_label, ylabel=curve.y_label)
        for side, points in curves.get(curve.name, {}).items():
            xs, ys = zip(*points, strict=True)
            axes.plot(xs, ys, marker="o", label="cyvswitch" if side == OURS else PEERS[side])
        axes.set_xscale("log", base=2 if curve.name == "masks" else 10)
        axes.set_xticks(list(curve.scripts), [f"{x:,}" for x in curve.scripts])
        axes.set_xticks([], minor=True)
        axes.set_ylim(bottom=0)
        axes.grid(visible=True, alpha=0.3)
        if axes.lines:
            axes.legend()
        files.append(folder / f"{curve.name}.png")
        figure.savefig(files[-1], dpi=120)
    return files
