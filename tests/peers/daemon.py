"""The daemon as its operators run it: a process with directories and a network namespace of its own; Debian's tools.

Devices that a test makes live in the daemon's namespace or in namespaces of the test, so they are gone with them.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.netns import Namespace, namespace

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 20
OPEN_FILES = (".mgmt", ".snoop", ".ctl", ".sock", ".pid")  # must be gone when the daemon is
_numbers = itertools.count()

needs_tools = pytest.mark.skipif(
    shutil.which("ovs-vsctl") is None or shutil.which("ovs-ofctl") is None, reason="needs Debian's openvswitch-switch"
)

Done = subprocess.CompletedProcess[str]


def device(prefix: str = "cv") -> str:
    """Return a device name that no other test uses."""
    return f"{prefix}{os.getpid() % 100000}n{next(_numbers)}"


def wait_until(check: Callable[[], Any], what: str, timeout_s: float = 10.0, step_s: float = 0.02) -> Any:
    """Return the first true result of `check`; fails with `what` when none comes in time."""
    end = time.monotonic() + timeout_s
    while not (result := check()):
        assert time.monotonic() < end, f"not in {timeout_s} s: {what}"
        time.sleep(step_s)
    return result


class Daemon:
    """A running `vswitchd` in `place`; its files are in `folder`."""

    def __init__(self, folder: Path, place: Namespace, *options: str) -> None:
        self.folder, self.place, self.options = folder, place, options
        names = ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")
        python_path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self.env = os.environ | dict.fromkeys(names, str(folder)) | {"PYTHONPATH": python_path}
        self.log_path = folder / "console.log"
        self.process: subprocess.Popen[bytes] | None = None

    # -- life

    def start(self) -> Daemon:
        """Start the process and wait until `ovs-vsctl show` answers."""
        self.launch()
        wait_until(self.answers, f"ovs-vsctl show answers; log: {self.log()}", TIMEOUT_S)
        return self

    def launch(self) -> None:
        """Start the process and wait for nothing."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), env=self.env, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def command(self) -> list[str]:
        """Return the command line of the daemon, which is inside its namespace from the start."""
        return ["ip", "netns", "exec", self.place.name, sys.executable, "-m", "vswitchd.main", *self.options]

    def answers(self) -> bool:
        """Tell whether the daemon is up for `ovs-vsctl show`; fails when the process ended."""
        assert self.process is not None and self.process.poll() is None, self.log()
        return (self.folder / "db.sock").exists() and self.tool("ovs-vsctl", "-t", "1", "show").returncode == 0

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the process by a signal; it must end well, and without a traceback in its log."""
        assert self.process is not None
        self.process.send_signal(number)
        self.wait_end()

    def wait_end(self) -> None:
        """Wait for the process to end; it must end well, without a traceback in its log and without open files."""
        self.wait_process()
        assert [path.name for path in self.folder.iterdir() if path.suffix in OPEN_FILES] == []

    def stop_process(self) -> None:
        """End the process by SIGTERM like `stop`, where files of other processes may be in the folder."""
        assert self.process is not None
        self.process.terminate()
        self.wait_process()

    def wait_process(self) -> None:
        """Wait for the process to end like `wait_end`, where files of other processes may be in the folder."""
        assert self.process is not None
        process, self.process = self.process, None
        try:
            code = process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"did not end in {TIMEOUT_S} s: {self.log()}") from None
        assert (code, "Traceback" in self.log()) == (0, False), self.log()

    def restart(self) -> None:
        """End the process and start it again on the same files."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """End the process by force, if it still runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    # -- looking in

    def log(self) -> str:
        """Return what the process wrote."""
        return self.log_path.read_text() if self.log_path.exists() else ""

    def alive(self) -> bool:
        """Tell whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def sock(self, name: str) -> Path:
        """Return the path of a socket in the run directory: "db.sock", "br0.mgmt" or, for the control socket, "ctl"."""
        assert self.process is not None
        return self.folder / (f"ovs-vswitchd.{self.process.pid}.ctl" if name == "ctl" else name)

    # -- tools

    def tool(self, *command: str, stdin: str | None = None) -> Done:
        """Run a command with the daemon's directories and return what it did."""
        return subprocess.run(
            command, env=self.env, input=stdin, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )

    def ok(self, *command: str, stdin: str | None = None) -> str:
        """Run a command that must succeed and return its output."""
        done = self.tool(*command, stdin=stdin)
        assert done.returncode == 0, (command, done.stdout, done.stderr, self.log()[-4000:])
        return done.stdout

    def fails(self, *command: str, stdin: str | None = None) -> str:
        """Run a command that must fail and return what it wrote to standard error."""
        done = self.tool(*command, stdin=stdin)
        assert done.returncode != 0, (command, done.stdout, done.stderr)
        return done.stderr

    def vsctl(self, *words: str) -> str:
        """Run ovs-vsctl; it must succeed; returns its output without the last newline."""
        return self.ok("ovs-vsctl", f"--timeout={TIMEOUT_S}", *words).rstrip("\n")

    def ofctl(self, *words: str, stdin: str | None = None) -> str:
        """Run ovs-ofctl; it must succeed."""
        return self.ok("ovs-ofctl", f"--timeout={TIMEOUT_S}", *words, stdin=stdin)

    def appctl(self, *words: str) -> str:
        """Run ovs-appctl; it must succeed."""
        return self.ok("ovs-appctl", f"--timeout={TIMEOUT_S}", *words)

    def get(self, table: str, record: str, column: str) -> Any:
        """Return a column's value: JSON of the database's notation for sets and maps made plain."""
        text = self.ok("ovs-vsctl", "--format=json", f"--columns={column}", "list", table, record)
        return plain(json.loads(text)["data"][0][0])

    def interface(self, name: str, column: str) -> Any:
        """Return a column of an interface."""
        return self.get("Interface", name, column)

    def flows(self, bridge: str, *options: str) -> list[str]:
        """Return the flows of a bridge, ages left out, sorted."""
        return flow_lines(self.ofctl(*options, "dump-flows", bridge))


def plain(value: Any) -> Any:
    """Return a value of RFC 7047's JSON as Python has it: sets as lists (None when empty), maps as dicts."""
    if not isinstance(value, list):
        return value
    kind, inner = value
    if kind == "map":
        return {plain(k): plain(v) for k, v in inner}
    if kind == "set":
        return [plain(v) for v in inner] or None
    return inner


AGES = re.compile(r"(duration|idle_age|hard_age)=[0-9.]+s?, ?")


def flow_lines(text: str) -> list[str]:
    """Return the lines of dump-flows that describe a flow, ages left out, sorted."""
    lines = (AGES.sub("", line).strip() for line in text.splitlines())
    return sorted(line for line in lines if "actions=" in line)


@contextlib.contextmanager
def running(folder: Path, *options: str, start: bool = True) -> Iterator[Daemon]:
    """Run a daemon in a namespace of its own; in the end it must end well and leave no device outside."""
    before = set(os.listdir("/sys/class/net"))
    folder.mkdir(parents=True, exist_ok=True)
    with namespace() as place:
        daemon = Daemon(folder, place, *options)
        try:
            if start:
                daemon.start()
            yield daemon
            if daemon.process is not None:
                daemon.stop()
        finally:
            daemon.kill()
    ours = {name for name in set(os.listdir("/sys/class/net")) - before if f"{os.getpid() % 100000}n" in name}
    assert not ours
