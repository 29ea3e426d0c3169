"""What a wheel and the source archive hold (TL.12); the long form builds them, installs one and starts the daemon."""

from __future__ import annotations

import configparser
import importlib
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.peers.daemon import running

ROOT = Path(__file__).parents[2]
PACKAGES = {"vslib", "datapath", "ofproto", "ovsdb", "vswitchd"}
ARCHIVED = (".py", ".pyx", ".pxd", ".ovsschema", ".service")


def setup(folder: Path, *commands: str) -> Path:
    """Run setup.py on the checkout without compiling and without leaving a file there; return the one archive made."""
    options = ["egg_info", "--egg-base", str(folder), "build", "--build-base", str(folder / "build")]
    subprocess.run(
        [sys.executable, "-W", "ignore", "setup.py", "-q", *options, *commands, "-d", str(folder / "dist")],
        cwd=ROOT,
        env=os.environ | {"CYVSWITCH_EXT": "none"},
        check=True,
        capture_output=True,
    )
    (made,) = (folder / "dist").iterdir()
    return made


def sources(*suffixes: str) -> set[str]:
    """Return the files of the packages that git knows, relative to the checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", *sorted(PACKAGES)], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    return {name for name in listed.split("\0") if name.endswith(suffixes) and (ROOT / name).exists()}


needs_git = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs a git checkout")


@needs_git
def test_a_wheel_holds_the_packages_with_their_schema_and_headers_and_neither_tests_nor_bench(tmp_path):
    wheel = zipfile.ZipFile(setup(tmp_path, "bdist_wheel", "--bdist-dir", str(tmp_path / "bdist")))
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in names} == PACKAGES
    assert sources(".py", ".pxd", ".ovsschema", ".service") <= names
    # Compiled modules come as such; their text and what Cython made of it stay in the source archive.
    assert not [name for name in names if name.endswith((".pyx", ".c"))]


@needs_git
def test_the_source_archive_holds_all_that_building_needs(tmp_path):
    with tarfile.open(setup(tmp_path, "sdist")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert sources(*ARCHIVED) | {"setup.py", "pyproject.toml", "MANIFEST.in", "LICENSE", "README.md"} <= names
    assert not [name for name in names if name.startswith(("bench", "tests", "build")) or name.endswith((".c", ".so"))]


@needs_git
def test_entry_points_name_what_exists(tmp_path):
    wheel = zipfile.ZipFile(setup(tmp_path, "bdist_wheel", "--bdist-dir", str(tmp_path / "bdist")))
    (path,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    points = configparser.ConfigParser()
    points.read_string(wheel.read(path).decode())
    assert set(points["console_scripts"]) == {"vswitchd", "vsctl", "ofctl", "appctl"}
    for target in points["console_scripts"].values():
        module, function = target.split(":")
        assert callable(getattr(importlib.import_module(module), function)), target
    for module in points["pytest11"].values():
        importlib.import_module(module)


def build_wheel(source: Path, folder: Path) -> Path:
    """Build a wheel of `source` with the build tools of this environment; return it."""
    options = ("-q", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder)
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, "."], cwd=source, check=True)
    (made,) = folder.glob("*.whl")
    return made


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.ovs_tools
@pytest.mark.timeout(1800)
@needs_git
def test_a_wheel_built_from_the_source_archive_runs_in_a_fresh_environment(tmp_path):
    with tarfile.open(setup(tmp_path, "sdist")) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    wheel = build_wheel(source, tmp_path / "wheel")
    assert "-none-any" not in wheel.name
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    python = venv / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel], check=True)
    # The few dependencies come from this environment; its .pth files, and with them the checkout, do not.
    (site,) = (venv / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    with running(tmp_path / "run", start=False) as daemon:
        daemon.env = {name: value for name, value in daemon.env.items() if name != "PYTHONPATH"}
        daemon.command = lambda: ["ip", "netns", "exec", daemon.place.name, str(venv / "bin" / "vswitchd")]
        daemon.start()
        for tool in ("vsctl", "ofctl", "appctl"):
            assert "cyvswitch" in daemon.ok(str(venv / "bin" / tool), "--version"), tool
        daemon.ok(str(venv / "bin" / "vsctl"), "add-br", "br0")
        assert daemon.ok(str(venv / "bin" / "appctl"), "ofproto/list") == "br0\n"
        where = daemon.ok(str(python), "-P", "-c", "import vswitchd.main as m; print(m.__file__)")
        assert Path(where.strip()).is_relative_to(venv)
