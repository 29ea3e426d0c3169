"""The table of benchmarks: medians, ratios, what is demanded, failures that are not zeros; scripts measure switches."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import __main__ as program
from bench import plots, report
from bench.__main__ import Failed
from bench.report import Row
from bench.rows import MEASURES, OURS, PEERS, REASONS, SCRIPTS, SECONDS, USUAL_SECONDS, Script, estimate_s

ROOT = Path(__file__).parent.parent.parent
VETH = Row(
    "veth_saturated", "kpps", {"ours": [100.0, 300.0, 90.0], "ovs": [50.0, 100.0, 90.0]}, command="python -m bench.veth"
)


def test_numbers_are_read_by_name_with_their_unit():
    assert program.parse(Script("idle"), "idle_cpu 0.1 %\nmemory 43 MiB\n") == {
        "idle_cpu": (0.1, "%"),
        "memory": (43.0, "MiB"),
    }


def test_a_bare_number_gets_the_name_and_unit_of_its_row():
    script = Script("inmemory", bare=("inmemory_1_flow", "Mpps"))
    assert program.parse(script, "warming up\n21.98\n") == {"inmemory_1_flow": (21.98, "Mpps")}


def test_other_output_is_a_failure_and_no_number():
    with pytest.raises(Failed, match="unexpected output"):
        program.parse(Script("veth"), "Killed\n")


def test_the_ratio_is_the_median_of_the_pairs_ratios_with_its_spread():
    line = report.lines_of(VETH)[0]
    assert line[6] == "2 (1-3)"
    assert line[7:] == ["at least 2.5", "at least 3", "**short**"]


def test_a_row_has_a_line_for_each_peer():
    row = Row("veth_saturated", "kpps", {"ours": [260.0], "ovs": [100.0], "bridge": [400.0]})
    lines = report.lines_of(row)
    assert [line[4] for line in lines] == [PEERS["ovs"], PEERS["bridge"]]
    assert [line[9] for line in lines] == ["reached", ""]


@pytest.mark.parametrize(
    ("values", "word"),
    [([3.5, 1.0], "goal"), ([2.6, 1.0], "reached"), ([2.4, 1.0], "**short**")],
)
def test_the_last_cell_tells_what_was_reached(values, word):
    row = Row("veth_saturated", "kpps", {"ours": values[:1], "ovs": values[1:]})
    assert report.lines_of(row)[0][9] == word


def test_a_goal_of_our_own_counts_with_the_ratio_to_a_peer():
    for ours, theirs, word in ((0.3, 0.4, "goal"), (0.6, 0.7, "reached"), (0.4, 0.3, "**short**")):
        assert report.lines_of(Row("idle_cpu_100", "%", {"ours": [ours], "ovs": [theirs]}))[0][9] == word


def test_every_demand_of_the_issue_has_a_row():
    wanted = {name for name, measure in MEASURES.items() if measure.must or measure.bound is not None}
    assert len(wanted) >= 22
    assert all(measure.goal.keys() <= measure.must.keys() for measure in MEASURES.values())
    for measure in map(MEASURES.__getitem__, wanted):
        assert all((goal > measure.must[peer]) is measure.more for peer, goal in measure.goal.items())


def test_of_what_should_be_small_less_than_demanded_is_reached():
    assert Row("add_flows", "s", {"ours": [2.0], "ovs": [4.0]}).reached("ovs") is True
    assert Row("add_flows", "s", {"ours": [5.0], "ovs": [4.0]}).reached("ovs") is False


def test_a_figure_without_a_peer_is_held_against_its_bound():
    assert Row("forwarders", "-", {"ours": [0.95, 0.8, 0.97]}).reached(None) is True
    assert Row("growth", "-", {"ours": [9.0]}).reached(None) is False


def test_a_row_without_results_says_that_it_failed():
    rows = {"tcp": Row("tcp", failures=["ours: no result"], command="python -m bench.tcp")}
    assert "failed" in report.table(rows)[-1]
    assert " 0 " not in report.table(rows)[-1]
    assert "no result" in report.notes(rows)[-1]


def test_each_row_tells_its_command_and_why_it_is_short(monkeypatch):
    monkeypatch.setitem(REASONS, "veth_saturated ovs", "sending is slow")
    assert report.notes({"veth": VETH}) == [
        f"- {MEASURES['veth_saturated'].text}: `python -m bench.veth`. Short: sending is slow."
    ]


def test_results_replace_what_is_between_the_marks(tmp_path):
    path = tmp_path / "RESULTS.md"
    path.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write_results({"veth": VETH}, "here and now", path)
    text = path.read_text()
    assert "old" not in text
    assert text.startswith(f"before\n{report.BEGIN}\nhere and now\n")
    assert text.endswith(f"{report.END}\nafter\n")


def test_the_json_file_has_every_run(tmp_path):
    path = tmp_path / "bench.json"
    report.write_json({"veth": VETH}, "here and now", {"flows": {"ours": [(1, 2.0)]}}, path)
    told = json.loads(path.read_text())
    assert told["rows"][0]["values"] == VETH.values
    assert told["rows"][0]["ratios"] == {"ovs": [2.0, 3.0, 1.0]}
    assert told["curves"] == {"flows": {"ours": [[1, 2.0]]}}


def test_every_named_script_exists():
    scripts = [*SCRIPTS, *(script for curve in plots.CURVES for script in curve.scripts.values())]
    assert all((ROOT / "bench" / f"{script.module}.py").exists() for script in scripts)
    assert all(script.bare[0] in MEASURES for script in SCRIPTS if script.bare)
    assert all(script.sides[0] == OURS and set(script.sides[1:]) <= set(PEERS) for script in scripts)
    assert all(set(measure.must) <= set(PEERS) for measure in MEASURES.values())
    assert {name.split()[0] for name in REASONS} <= set(MEASURES)


def test_the_time_that_it_takes_is_told_first():
    scripts = [Script("veth", (), ("ours", "ovs")), Script("idle", (), ("ours", "ovs"), None, 3)]
    assert estimate_s(scripts, 5, {}) == 10 * USUAL_SECONDS + 6 * SECONDS["idle"]
    assert estimate_s(scripts, 5, {"ovs": "not here"}) == 5 * USUAL_SECONDS + 3 * SECONDS["idle"]


def test_an_absent_peer_is_not_run(monkeypatch):
    ran = []
    monkeypatch.setattr(program, "run", lambda _script, side: ran.append(side) or {"veth": (1.0, "kpps")})
    rows = {}
    program.measure(Script("veth", (), ("ours", "ovs", "dpdk")), 2, {"dpdk": "not here"}, rows)
    assert ran == ["ours", "ovs", "ours", "ovs"]
    assert set(rows["veth"].values) == {"ours", "ovs"}


def test_curves_are_medians_and_leave_failures_out(tmp_path):
    results = iter(range(1000))
    found = plots.measure({"dpdk": "not here"}, lambda script, _side: None if "60" in script.args else next(results))
    assert set(found) == {curve.name for curve in plots.CURVES}
    assert [x for x, _ in found["sizes"]["ours"]] == [128, 256, 512, 1024, 1500]
    assert found["flows"]["ours"][0] == (1, 1)
    pytest.importorskip("matplotlib")
    assert all(path.stat().st_size for path in plots.draw(found, tmp_path))


def test_plots_are_left_out_without_matplotlib(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert plots.draw({}, tmp_path) == []
    assert "matplotlib is not installed" in capsys.readouterr().err


def test_micro_benchmarks_run():
    words = ["-q", "-p", "no:xdist", "-p", "no:randomly", "--benchmark-disable", "bench/micro"]
    command = [sys.executable, "-m", "pytest", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "script", [("forwarders", "--seconds", "0.1"), ("masks", "--flows", "200"), ("growth", "--flows", "20000")]
)
def test_scripts_without_a_peer_print_a_number(script):
    command = [sys.executable, "-m", f"bench.{script[0]}", *script[1:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0


def printed_values(script: tuple[str, ...], switch: str) -> list[float]:
    command = [sys.executable, "-m", f"bench.{script[0]}", *script[1:], "--switch", switch]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [float(value) for value in re.findall(r"^\w+ ([\d.e+-]+) \S+$", done.stdout, re.M)]


@pytest.mark.root
@pytest.mark.ovs_tools
@pytest.mark.parametrize("switch", ["ours", "ovs"])
@pytest.mark.parametrize(
    "script", [("veth", "--seconds", "0.3"), ("misses_veth", "--seconds", "0.3"), ("ofctl_add_flows", "--flows", "500")]
)
def test_pair_scripts_measure_both_switches(script, switch):
    values = printed_values(script, switch)
    assert values
    assert all(value > 0 for value in values)


@pytest.mark.root
@pytest.mark.ovs_tools
@pytest.mark.parametrize(
    "script",
    [
        ("looped", "--pipeline", "fields", "--seconds", "0.3"),
        ("misses_looped", "--flows", "60000"),
        ("edits_flood", "--flows", "200"),
    ],
)
def test_scripts_without_devices_measure_us(script):
    assert printed_values(script, "ours")[0] > 0


@pytest.mark.root
@pytest.mark.ovs_tools
@pytest.mark.parametrize("switch", ["ours", "bridge"])
@pytest.mark.parametrize(
    "script",
    [("pingpong", "--rounds", "20"), ("pingpong", "--busy", "1", "--rounds", "20"), ("tcp", "--seconds", "1")],
)
def test_scripts_with_hosts_measure_the_bridge_too(script, switch):
    assert printed_values(script, switch)[0] > 0
