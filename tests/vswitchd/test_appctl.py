"""`appctl` beside Debian's `ovs-appctl`: equal output, messages and exit codes (TL.03), JSON (AP.04), quick start."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vslib import pidfile
from vswitchd import appctl, compat

ROOT = Path(__file__).parents[2]
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
STAMP = re.compile(r"^\S+Z\|\d+\|", re.M)
# Its log says once more what the message says; ours does not log.
LOGGED = re.compile(r"^(daemon_unix|unixctl|jsonrpc|vlog)\|(WARN|INFO)\|.*\n", re.M)

Done = subprocess.CompletedProcess[str]


def run(program: str, folder: Path, *words: str) -> tuple[int, str, str]:
    """Run a program in `folder`, its run directory; return exit code, output and messages without times."""
    done = subprocess.run(
        [program, *words], cwd=folder, env=os.environ | {"OVS_RUNDIR": str(folder)}, capture_output=True, text=True,
        timeout=20, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, LOGGED.sub("", STAMP.sub("", done.stderr))


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """Give the path of our `ovs-appctl`."""
    folder = tmp_path_factory.mktemp("bin")
    compat.install(str(folder))
    return str(folder / "ovs-appctl")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Run Debian's ovsdb-server; yield its run directory, where there is also a socket that never answers."""
    folder = tmp_path_factory.mktemp("run")
    env = os.environ | dict.fromkeys(("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"), str(folder))
    subprocess.run(["ovsdb-tool", "create", folder / "conf.db", SCHEMA], check=True, env=env)
    server = subprocess.Popen(
        ["ovsdb-server", "-voff", "--pidfile", "--remote=punix:db.sock", str(folder / "conf.db")],
        env=env, cwd=folder, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    silent = socket.socket(socket.AF_UNIX)
    silent.bind(str(folder / "silent.ctl"))
    silent.listen(16)
    (folder / "stale.pid").write_text("4711\n")
    (folder / "ctl").symlink_to(folder / f"ovsdb-server.{server.pid}.ctl")
    try:
        while not list(folder.glob("ovsdb-server.*.ctl")) or not (folder / "ovsdb-server.pid").exists():
            assert server.poll() is None
            time.sleep(0.02)
        yield folder
    finally:
        silent.close()
        server.terminate()
        server.wait(10)


# {run}: the run directory.
COMMAND_LINES = [
    "-t ovsdb-server version",
    "-t ovsdb-server list-commands",
    "--target=ovsdb-server vlog/list",
    "--target ovsdb-server vlog/list-pattern",
    "-t {run}/ctl ovsdb-server/list-dbs",
    "-t {run}/ctl -T 5 ovsdb-server/list-remotes",
    "--timeout=5 -t {run}/ctl coverage/read-counter nope",
    "-t ovsdb-server vlog/set nope",
    "-t ovsdb-server vlog/set jsonrpc:file:warn",
    "-t ovsdb-server vlog/set -- -x",
    "-t ovsdb-server vlog/reopen",
    "-t ovsdb-server nosuch/command with arguments",
    "-t ovsdb-server version --help",
    "-t ovsdb-server -- version",
    "-e -t ovsdb-server version",
    "-vjsonrpc:off -t ovsdb-server version",
    "--log-file={run}/log -t ovsdb-server version",
    "-t ovsdb-server ovsdb-server/add-db",
    "-t ovsdb-server ovsdb-server/add-db /nonexistent",
    "-t ovsdb-server ovsdb-server/add-db a b c",
    "version",
    "-t nosuch version",
    "-t stale version",
    "-t /nonexistent version",
    "-t {run} version",
    "-t {run}/stale.pid version",
    "-t {run}/silent.ctl -T 1 version",
    "",
    "-t ovsdb-server",
    "-t",
    "-T",
    "-T 0 version",
    "-T x version",
    "-T 5s version",
    "--timeout= version",
    "--timeout",
    "--target",
    "--t=3 version",
    "--tar=ovsdb-server version",
    "--nosuch",
    "--nosuch=1 version",
    "-x",
    "--help=3",
    "-Q -t ovsdb-server version",
]


@pytest.mark.ovs_tools
@pytest.mark.parametrize("line", COMMAND_LINES)
def test_command_lines_do_what_they_do_with_the_original(place, ours, line):
    words = line.format(run=place).split()
    assert run(ours, place, *words) == run("ovs-appctl", place, *words)


@pytest.mark.ovs_tools
def test_a_daemon_that_hangs_up_is_a_transaction_error(tmp_path, ours):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen(1)
        results = []
        for program in (ours, "ovs-appctl"):
            client = subprocess.Popen(
                [program, "-t", str(tmp_path / "s"), "version"], stderr=subprocess.PIPE, stdout=subprocess.PIPE
            )
            peer, _ = server.accept()
            peer.recv(100)
            peer.close()
            out, err = client.communicate(timeout=10)
            results.append((client.returncode, out, LOGGED.sub("", STAMP.sub("", err.decode()))))
    assert results[0] == results[1]
    assert results[0][0] == 1


@pytest.mark.ovs_tools
def test_the_list_of_options_has_all_of_the_original(place, ours):
    mine, theirs = (run(program, place, "--option")[1].splitlines() for program in (ours, "ovs-appctl"))
    assert set(theirs) <= set(mine)
    assert set(mine) - set(theirs) == {"--format=ARG", "-f ARG", "--pretty"}


@pytest.mark.ovs_tools
def test_a_pid_file_that_nobody_locks_is_no_daemon(place, ours, monkeypatch):
    monkeypatch.setenv("OVS_RUNDIR", str(place))
    held = pidfile.create(str(place / "mine.pid"))
    try:
        text = run(ours, place, "-t", "mine", "version")[2]
        assert text == f'ovs-appctl: cannot connect to "{place}/mine.{os.getpid()}.ctl" (No such file or directory)\n'
    finally:
        held.remove()


@pytest.mark.ovs_tools
def test_a_server_without_json_says_so(place, ours):
    assert run(ours, place, "-t", "ovsdb-server", "-f", "json", "version") == (
        2, "", '"set-options" is not a valid command (use "list-commands" to see a list of valid commands)\n'
        "ovs-appctl: ovsdb-server: server returned an error\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-f", "xml", "version"], "value xml on -f or --format is invalid"),
        (["--pretty", "version"], "--pretty is supported with --format json only"),
        (["-f", "text", "--pretty", "version"], "--pretty is supported with --format json only"),
    ],
)
def test_wrong_formats_are_named(tmp_path, ours, words, text):
    assert run(ours, tmp_path, *words) == (1, "", f"ovs-appctl: {text}\n")


def test_help_tells_of_every_option_and_names_the_program_as_called(tmp_path, ours):
    code, text, _ = run(ours, tmp_path, "--help")
    assert code == 0
    for name, letter, _kind in appctl.OPTIONS[:1] + appctl.OPTIONS[2:8]:
        assert f"--{name}" in text
        assert not letter or f"-{letter}, " in text
    assert text.startswith("ovs-appctl: ")
    assert max(map(len, text.splitlines())) <= 80


def test_replies_in_json_are_printed_on_one_line_or_indented():
    value = [{"name": "br0", "ports": [1, 2]}]
    assert appctl.as_text("text\n", pretty=False) == "text\n"
    assert appctl.as_text(value, pretty=False) == json.dumps(value) + "\n"
    assert appctl.as_text(value, pretty=True) == json.dumps(value, indent=2) + "\n"


@pytest.mark.ovs_tools
def test_a_reader_that_leaves_early_leaves_no_traceback(place, ours):
    script = f"{ours} -t ovsdb-server list-commands | true; echo ${{PIPESTATUS[0]}} >&2"
    for _ in range(3):
        env = os.environ | {"OVS_RUNDIR": str(place)}
        done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=False)
        assert done.stderr.strip() in ("0", str(128 + signal.SIGPIPE))


# -- start-up ----------------------------------------------------------------------------------------------------------

HEAVY = {"asyncio", "pyroute2", "cffi", "datapath", "ovsdb.server", "ofproto.switch", "dataclasses", "inspect"}


def imported(folder: Path, program: str, *words: str) -> set[str]:
    """Return the modules that a command line of ours imports."""
    code = f"import sys; sys.argv = {['prog', *words]!r}\nfrom {program} import main\ntry: main()\nfinally: "
    code += "print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"OVS_RUNDIR": str(folder)}, capture_output=True,
        text=True, timeout=20, check=False,
    )  # fmt: skip
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("--wrong",), ("version",)])
def test_appctl_imports_nothing_heavy(tmp_path, words, record_property):
    began = time.perf_counter()
    modules = imported(tmp_path, "vswitchd.appctl", *words)
    record_property("seconds", round(time.perf_counter() - began, 4))
    assert not modules & (HEAVY | {"json", "re", "typing", "socket"}), modules


@pytest.mark.ovs_tools
def test_a_command_that_is_answered_imports_nothing_heavy(place, record_property):
    began = time.perf_counter()
    modules = imported(place, "vswitchd.appctl", "-t", "ovsdb-server", "version")
    record_property("seconds", round(time.perf_counter() - began, 4))
    assert not modules & (HEAVY | {"json", "re", "typing", "socket"}), modules
