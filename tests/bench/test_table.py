"""The table of benchmarks: medians, ratios, failures that are not zeros; pair scripts measure both switches."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import __main__ as table
from bench.__main__ import MEASURES, SCRIPTS, Failed, Row, Script

ROOT = Path(__file__).parent.parent.parent


def test_numbers_are_read_by_name_with_their_unit():
    assert table.parse(Script("idle"), "idle_cpu 0.1 %\nmemory 43 MiB\n") == {
        "idle_cpu": (0.1, "%"),
        "memory": (43.0, "MiB"),
    }


def test_a_bare_number_gets_the_name_and_unit_of_its_row():
    script = Script("inmemory", bare=("inmemory_1_flow", "Mpps"))
    assert table.parse(script, "warming up\n21.98\n") == {"inmemory_1_flow": (21.98, "Mpps")}


def test_other_output_is_a_failure_and_no_number():
    with pytest.raises(Failed, match="unexpected output"):
        table.parse(Script("veth"), "Killed\n")


def test_the_ratio_is_the_median_of_the_pairs_ratios():
    row = Row("veth", "kpps", {"ours": [100.0, 300.0, 90.0], "ovs": [50.0, 100.0, 90.0]})
    assert table.ratio_text(row) == "2.00"


def test_a_row_without_results_says_that_it_failed():
    lines = table.table({"tcp": Row("tcp", failures=["ours: no result"])})
    assert "failed" in lines[-1]
    assert " 0 " not in lines[-1]


def test_every_named_script_exists():
    assert all((ROOT / "bench" / f"{script.module}.py").exists() for script in SCRIPTS)
    assert all(script.bare[0] in MEASURES for script in SCRIPTS if script.bare)


@pytest.mark.root
@pytest.mark.ovs_tools
@pytest.mark.parametrize("switch", ["ours", "ovs"])
@pytest.mark.parametrize(
    "script", [("veth", "--seconds", "0.3"), ("misses_veth", "--seconds", "0.3"), ("ofctl_add_flows", "--flows", "500")]
)
def test_pair_scripts_measure_both_switches(script, switch):
    command = [sys.executable, "-m", f"bench.{script[0]}", *script[1:], "--switch", switch]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    values = re.findall(r"^\w+ ([\d.e+]+) \S+$", done.stdout, re.M)
    assert values
    assert all(float(value) > 0 for value in values)
