"""The rules of the house that a machine can check: layering, sizes, generated files, compiler hints, source of time."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from datapath.drops import DROPS

ROOT = Path(__file__).parent.parent
PACKAGES = ("vslib", "datapath", "ofproto", "ovsdb", "vswitchd")
# Who may import whom: the arrow of docs/ARCHITECTURE.md.
MAY_IMPORT = {
    "vslib": set(),
    "datapath": {"vslib"},
    "ofproto": {"datapath", "vslib"},
    "ovsdb": {"vslib"},
    "vswitchd": {"vslib", "datapath", "ofproto", "ovsdb"},
}
GENERATED_OR_TABLE = {"datapath/flow_key.pxd", "datapath/drops.pxd", "ofproto/fields.py", "ofproto/errors.py"}
LONGEST_FILE_LINES = 800
LONGEST_LINE = 120


def sources(*suffixes: str, packages: tuple[str, ...] = PACKAGES) -> list[Path]:
    return sorted(p for package in packages for p in (ROOT / package).rglob("*") if p.suffix in suffixes)


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_imports_point_one_way():
    pattern = re.compile(r"^\s*(?:from|import|cimport)\s+(\w+)", re.M)
    wrong = []
    for path in sources(".py", ".pyx", ".pxd"):
        package = relative(path).split("/")[0]
        for name in pattern.findall(path.read_text()):
            if name in PACKAGES and name != package and name not in MAY_IMPORT[package]:
                wrong.append(f"{relative(path)} imports {name}")
    assert not wrong, wrong


def test_files_are_short_enough_to_read():
    long = [
        f"{relative(p)}: {n}"
        for p in sources(".py", ".pyx", ".pxd", packages=(*PACKAGES, "bench", "tests"))
        if relative(p) not in GENERATED_OR_TABLE and (n := len(p.read_text().splitlines())) > LONGEST_FILE_LINES
    ]
    assert not long, long


def test_lines_of_compiled_sources_are_short_enough():
    """Ruff looks after the Python files."""
    long = [
        f"{relative(p)}:{number}"
        for p in sources(".pyx", ".pxd")
        for number, line in enumerate(p.read_text().splitlines(), 1)
        if len(line) > LONGEST_LINE
    ]
    assert not long, long


def test_no_word_of_unfinished_work_is_shipped():
    pattern = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
    found = [relative(p) for p in sources(".py", ".pyx", ".pxd") if pattern.search(p.read_text())]
    assert not found, found


def test_time_comes_from_the_clock_only():
    pattern = re.compile(r"\btime\.(time|monotonic|sleep)\w*\(|\.call_later\(|asyncio\.(sleep|wait_for|timeout)\(")
    found = []
    for path in sources(".py", ".pyx"):
        if relative(path) == "vslib/clock.py":
            continue
        found += [
            f"{relative(path)}: {m.group()}"
            for m in pattern.finditer(path.read_text())
            if "CLOCK" not in m.group() and "clock" not in path.read_text()[max(0, m.start() - 12) : m.start()].lower()
        ]
    assert not found, found


@pytest.mark.parametrize("module", ["datapath.gen", "ofproto.gen_docs"])
def test_generated_files_are_fresh(module):
    done = subprocess.run([sys.executable, "-m", module, "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def translated(path: Path, folder: Path) -> Path:
    """Return the C file that the build made of a module; makes it in `folder` when the build's is missing or old."""
    kept = ROOT / "build" / "release" / path.relative_to(ROOT).with_suffix(".c")
    own = [path, path.with_suffix(".pxd")]
    if kept.exists() and kept.stat().st_mtime >= max(one.stat().st_mtime for one in own if one.exists()):
        return kept
    made = folder / (relative(path).replace("/", ".") + ".c")
    command = [sys.executable, "-m", "cython", "-3", "-o", str(made), relative(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    return made


def test_no_function_without_the_gil_takes_it_to_look_for_an_exception(tmp_path):
    """What Cython's performance hints about a missing `noexcept` mean, as it shows in what it wrote."""
    files = [translated(path, tmp_path) for path in sources(".pyx", packages=("datapath", "ofproto"))]
    assert len(files) > 40
    wrong = [str(path) for path in files if "__Pyx_ErrOccurredWithGIL()" in path.read_text()]
    assert not wrong, wrong


def test_a_missing_noexcept_would_be_found(tmp_path):
    source = tmp_path / "hint.pyx"
    source.write_text("cdef void f() nogil:\n    pass\n\n\ndef g():\n    with nogil:\n        f()\n")
    subprocess.run([sys.executable, "-m", "cython", "-3", str(source)], check=True, capture_output=True, timeout=60)
    assert "__Pyx_ErrOccurredWithGIL()" in source.with_suffix(".c").read_text()


@pytest.mark.slow
def test_hot_path_compiles_without_a_performance_hint(tmp_path):
    """Cython's other hints too; takes as long as translating everything again."""
    script = (
        "import sys; from Cython.Compiler import Main, Options, Errors\n"
        "from Cython.Build import cythonize\n"
        "sys.argv = ['x']\n"
        f"cythonize({[relative(p) for p in sources('.pyx', packages=('datapath', 'ofproto'))]!r},"
        f" build_dir={str(tmp_path)!r}, language_level=3, nthreads=2, force=True, quiet=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    hints = [line for line in (done.stdout + done.stderr).splitlines() if "performance hint" in line]
    assert not hints, hints


def test_every_drop_reason_is_given_by_some_code():
    files = [p for p in sources(".pyx", ".pxd", packages=("datapath", "ofproto")) if p.name != "drops.pxd"]
    code = "\n".join(p.read_text() for p in files)
    unused = [symbol for symbol, _ in DROPS if not re.search(rf"\bDROP_{symbol.upper()}\b", code)]
    assert not unused, unused


def test_no_regular_expression_has_a_possessive_quantifier():
    """Debian 12's Python 3.11.2 gives wrong matches for them: the daemon refused every JSON-RPC message there."""
    found = [
        relative(p)
        for p in sources(".py")
        for line in p.read_text().splitlines()
        if re.search(r"""rb?["'].*[\]).}*+?][+*?}]\+(?!=)""", line) or "(?>" in line
    ]
    assert not found, found
