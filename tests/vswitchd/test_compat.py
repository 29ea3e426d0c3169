"""Our commands under Open vSwitch's names in a directory (TL.01), and the file rules of the program that puts them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vswitchd import compat

ROOT = Path(__file__).parents[2]
NAMES = ["ovs-appctl", "ovs-dpctl", "ovs-ofctl", "ovs-vsctl", "ovs-vswitchd"]


def run(*command: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command], cwd="/", env=os.environ | env, capture_output=True, text=True, check=False
    )


def program(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", "vswitchd.compat", *args, PYTHONPATH=str(ROOT))


def test_the_scripts_start_and_name_themselves_as_they_were_called(tmp_path):
    done = program(tmp_path / "new" / "bin")
    assert (done.returncode, done.stderr) == (0, "")
    place = tmp_path / "new" / "bin"
    assert sorted(os.listdir(place)) == NAMES
    for name in ("ovs-appctl", "ovs-dpctl", "ovs-vswitchd"):
        shown = run(place / name, "--version")
        assert shown.stdout.splitlines()[0] == f"{name} (Open vSwitch) 3.1.0" or name == "ovs-vswitchd"
        assert "cyvswitch" in shown.stdout
    wrong = run(place / "ovs-appctl", "--no-such-option")
    assert (wrong.returncode, wrong.stderr) == (1, "ovs-appctl: unrecognized option '--no-such-option'\n")


@pytest.mark.parametrize("variable", ["PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP"])
def test_the_environments_python_does_not_get_into_the_scripts(tmp_path, variable):
    compat.install(str(tmp_path))
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "vslib.py").write_text("raise SystemExit('trapped')")
    (tmp_path / "vslib.py").write_text("raise SystemExit('trapped beside the script')")
    done = run(tmp_path / "ovs-appctl", "--help", **{variable: str(trap)})
    assert (done.returncode, done.stderr) == (0, "")


def test_a_second_run_overwrites_ours_and_remove_takes_only_ours(tmp_path):
    (tmp_path / "neighbour").write_text("stays")
    assert program(tmp_path).returncode == 0
    assert program(tmp_path).returncode == 0
    (tmp_path / "ovs-ofctl").write_text("#!/bin/sh\n")
    done = program("--remove", tmp_path)
    assert done.returncode == 0
    assert sorted(os.listdir(tmp_path)) == ["neighbour", "ovs-ofctl"]
    assert "ovs-ofctl" not in done.stdout


@pytest.mark.parametrize("kind", ["file", "link", "dangling", "directory"])
def test_files_of_others_are_refused_before_anything_is_written(tmp_path, kind):
    path = tmp_path / "ovs-vsctl"
    make = {
        "file": lambda: path.write_bytes(b"\x7fELF\xff"),
        "link": lambda: path.symlink_to("/bin/true"),
        "dangling": lambda: path.symlink_to("nowhere"),
        "directory": path.mkdir,
    }
    make[kind]()
    done = program(tmp_path)
    assert done.returncode == 1
    assert f"{path}: already there, and not made by us" in done.stderr
    assert os.listdir(tmp_path) == ["ovs-vsctl"]


def test_wrong_arguments_say_what_is_wrong(tmp_path):
    (tmp_path / "file").write_text("")
    for args, reason in [
        ((), "exactly one directory is required"),
        (("a", "b"), "exactly one directory is required"),
        (("--wrong",), "unrecognized option '--wrong'"),
        ((tmp_path / "file",), "File exists"),
        ((tmp_path / "file" / "below",), "Not a directory"),
    ]:
        done = program(*args)
        assert (done.returncode, done.stdout) == (1, ""), args
        assert reason in done.stderr
        assert "Traceback" not in done.stderr


def test_help_names_all_that_is_written():
    done = program("--help")
    assert done.returncode == 0
    assert all(f"  {name}\n" in done.stdout for name in NAMES)


@pytest.mark.parametrize("folder", ["with blank", "quo'te", "long" * 40])
def test_a_python_in_an_odd_place_is_started_by_way_of_the_shell(tmp_path, folder, monkeypatch):
    python = tmp_path / folder / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(python))
    compat.install(str(tmp_path / "bin"))
    done = run(tmp_path / "bin" / "ovs-appctl", "a b", "'", "--help")
    assert "cannot read pidfile" in done.stderr  # options end at the first other word
    assert run(tmp_path / "bin" / "ovs-appctl", "--help").stdout.startswith("ovs-appctl: ask")
