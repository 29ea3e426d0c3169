"""The daemon as a process: its options, the background, the monitor, signals, files, rights (MG.02, MG.05, MG.09)."""

from __future__ import annotations

import grp
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.peers.daemon import wait_until
from vslib import pidfile, unixctl
from vslib.errors import ConfigError
from vswitchd import options, privileges, process

ROOT = Path(__file__).parents[2]
MONITOR_KIB = 15 << 10
CAPABILITIES = 1 << 11 | 1 << 12 | 1 << 13


# The daemon with a status writer that fails once the file `break` is there, which it takes away again.
BROKEN = """
import os, sys
from vswitchd import main

def run(*args, run=main.run):
    from vswitchd.status import StatusWriter
    async def write(self, *args, write=StatusWriter.write):
        if os.path.exists("break"):
            os.unlink("break")
            raise RuntimeError("broken")
        await write(self, *args)
    StatusWriter.write = write
    return run(*args)

main.run = run
sys.exit(main.main())
"""


class Place:
    """A folder that is all of a daemon's directories, and the commands that are run with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        names = ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")
        self.env = os.environ | dict.fromkeys(names, str(folder)) | {"PYTHONPATH": str(ROOT)}
        self.started: list[int] = []
        self.program = ["-m", "vswitchd.main"]

    def run(self, *words: str, code: int = 0) -> str:
        """Run the command, which must end by itself with `code`; returns what it wrote."""
        command = [sys.executable, *self.program, *words]
        done = subprocess.run(command, env=self.env, cwd=self.folder, capture_output=True, text=True, timeout=20)
        assert done.returncode == code, (words, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def detach(self, *words: str) -> int:
        """Start a daemon in the background, which must be silent; returns its pid."""
        assert self.run("--detach", "--log-file", *words) == ""
        pid = self.pid()
        self.started.append(pid)
        return pid

    def pid(self) -> int:
        """Return the pid of the daemon that holds the pid file."""
        return int(subprocess.run(
            [sys.executable, "-c", "import sys; from vslib import pidfile; print(pidfile.read(sys.argv[1]))",
             str(self.folder / "ovs-vswitchd.pid")],
            env=self.env, capture_output=True, text=True, check=True, timeout=20,
        ).stdout)  # fmt: skip

    def end(self, pid: int, number: int = signal.SIGTERM) -> None:
        """End a process by a signal and wait until it is gone."""
        os.kill(pid, number)
        wait_until(lambda: not alive(pid), f"process {pid} ends")

    def log(self) -> str:
        path = self.folder / "ovs-vswitchd.log"
        return path.read_text() if path.exists() else ""

    def appctl(self, *words: str) -> str:
        """Run a command of the control socket in the usual place."""
        return unixctl.call_sync(str(self.folder / f"ovs-vswitchd.{self.pid()}.ctl"), *words)


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that only waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    parents = [int(status_of(pid)["PPid"]) for pid in made.started if alive(pid)]
    for pid in [*parents, *made.started]:
        if pid > 1 and alive(pid) and "vswitchd.main" in Path(f"/proc/{pid}/cmdline").read_text():
            made.end(pid, signal.SIGKILL)


# -- the background


def test_detach_returns_silently_when_the_configuration_is_served(place):
    pid = place.detach("--pidfile")
    assert pidfile.read(str(place.folder / "ovs-vswitchd.pid")) == pid != os.getpid()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(place.folder / "db.sock"))
    assert place.appctl("version").startswith("ovs-vswitchd (Open vSwitch) ")
    assert [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)] == ["/dev/null"] * 3
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert os.getsid(pid) == pid
    place.end(pid)
    assert sorted(p.name for p in place.folder.iterdir()) == [".conf.db.~lock~", "conf.db", "ovs-vswitchd.log"]
    assert "Traceback" not in place.log()


def test_no_chdir_stays_in_the_directory(place):
    pid = place.detach("--no-chdir")
    assert os.readlink(f"/proc/{pid}/cwd") == str(place.folder)


def test_a_second_daemon_on_the_run_directory_is_refused(place):
    pid = place.detach()
    text = f"vswitchd: {place.folder}/ovs-vswitchd.pid: already running as pid {pid}, aborting\n"
    assert place.run("--detach", code=1) == text
    assert place.run("--detach", "--monitor", code=1) == text
    assert place.run("-vconsole:off", code=1) == text
    assert place.appctl("ofproto/list") == ""


def test_a_daemon_that_dies_before_it_is_ready_is_told_of():
    child, ready_fd = process._fork()
    if not child:
        os.kill(os.getpid(), signal.SIGKILL)
    assert process.describe(process._wait_until_ready(child, ready_fd)) == "killed (Killed)"


def test_more_pid_files_and_one_that_is_taken_over(place):
    other = place.folder / "more.pid"
    first = place.detach("--pidfile=more.pid")
    assert pidfile.read(str(other)) == first == place.pid()
    with pytest.raises(ConfigError, match="already running"):
        pidfile.create(str(other))
    # Another daemon may take the file; with the database it has to wait.
    command = [sys.executable, "-m", "vswitchd.main", "--overwrite-pidfile", "--unixctl=second.ctl", "-vconsole:info"]
    with subprocess.Popen(
        command, env=place.env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as second:
        wait_until(lambda: place.pid() == second.pid, "the second daemon has the pid file")
        second.terminate()
        assert f"is open in process {first}, using its server" in second.stderr.read()
    assert second.returncode == 0
    assert alive(first)


def test_a_service_manager_is_told_when_it_serves(place):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(place.folder / "notify"))
        manager.settimeout(10)
        place.env["NOTIFY_SOCKET"] = str(place.folder / "notify")
        pid = place.detach()
        assert manager.recv(100).decode().split() == ["READY=1", f"MAINPID={pid}"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_the_unit_file_is_one_that_systemd_takes(place):
    text = (ROOT / "vswitchd/systemd/cyvswitch.service").read_text()
    unit = place.folder / "cyvswitch.service"
    unit.write_text(text.replace("ExecStart=vswitchd ", f"ExecStart={sys.executable} -m vswitchd.main "))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "cyvswitch" in line]) == (0, [])
    [command] = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    words = command.replace("%%", "%").split()[1:-1]
    assert place.run(*words, "--forwarders=0", code=1)


# -- the monitor


def test_the_monitor_is_small_and_starts_a_crashed_daemon_again(place):
    first = place.detach("--monitor")
    monitor = int(status_of(first)["PPid"])
    assert int(status_of(monitor)["VmRSS"].split()[0]) < MONITOR_KIB
    os.kill(first, signal.SIGSEGV)
    wait_until(lambda: "restarting" in place.log() and place.log().count("|cyvswitch ") == 2, "the daemon is back")
    second = place.pid()
    place.started.append(second)
    assert int(status_of(second)["PPid"]) == monitor
    line = f"|daemon_unix|ERR|1 crashes: pid {first} died, killed (Segmentation fault)"
    assert line in place.log()
    assert place.appctl("ofproto/list") == ""
    # The next crash comes too soon; whoever ends the monitor meanwhile does not wait.
    os.kill(second, signal.SIGABRT)
    text = f"2 crashes: pid {second} died, killed (Aborted)"
    wait_until(lambda: ", waiting until 10 seconds since last restart" in place.log(), "the monitor waits")
    assert text in place.log()
    place.end(monitor)


@pytest.mark.parametrize(
    ("target", "number", "how"),
    [
        ("daemon", signal.SIGTERM, "exit status 0"),
        ("daemon", signal.SIGKILL, "killed (Killed)"),  # somebody wanted that, it is no bug
        ("monitor", signal.SIGTERM, "exit status 0"),  # is passed on
    ],
)
def test_the_monitor_ends_with_a_daemon_that_was_ended(place, target, number, how):
    pid = place.detach("--monitor")
    monitor = int(status_of(pid)["PPid"])
    os.kill(pid if target == "daemon" else monitor, number)
    wait_until(lambda: not alive(pid) and not alive(monitor), "both end")
    assert place.log().splitlines()[-1].endswith(f"|daemon_unix|INFO|pid {pid} died, {how}, exiting")


def test_the_monitor_starts_a_daemon_again_that_ended_by_an_exception(place):
    (place.folder / "vswitchd.main.py").write_text(BROKEN)
    place.program = ["vswitchd.main.py"]
    pid = place.detach("--monitor", "--no-chdir")
    (place.folder / "break").touch()
    wait_until(lambda: "restarting" in place.log() and place.log().count("|cyvswitch ") == 2, "the daemon is back")
    place.started.append(place.pid())
    assert "|vswitchd|ERR|ending for a bug\nTraceback" in place.log()
    assert f"1 crashes: pid {pid} died, killed (Alarm clock), restarting" in place.log()


def test_what_counts_as_a_bug():
    def status(code: str) -> int:
        child = os.posix_spawn(sys.executable, [sys.executable, "-c", f"import os; {code}"], os.environ)
        return os.waitpid(child, 0)[1]

    aborted, ended = status("os.kill(os.getpid(), 11)"), status("os._exit(3)")
    assert process.should_restart(aborted) and not process.should_restart(ended)
    assert process.describe(aborted).startswith("killed (Segmentation fault)")
    assert process.describe(ended) == "exit status 3"


# -- logs and control sockets


def test_sighup_opens_the_log_anew(place):
    pid = place.detach()
    (place.folder / "ovs-vswitchd.log").rename(place.folder / "old.log")
    os.kill(pid, signal.SIGHUP)
    wait_until(lambda: "opened log file" in place.log(), "the new log file")
    assert "closing log file" in (place.folder / "old.log").read_text()
    assert alive(pid)


def test_levels_and_patterns_of_the_log_are_set_by_options(place):
    place.detach("-vfile:warn", "-vovsdb_idl:file:dbg", "--verbose=PATTERN:file:%m!", "-vFACILITY:local3")
    rows = {line.split()[0]: line.split()[1:] for line in place.appctl("vlog/list").splitlines()[2:]}
    assert rows["ovsdb_idl"][2] == "DBG"
    assert rows["bridge"] == ["OFF", "INFO", "WARN"]
    place.appctl("vlog/set", "vswitchd:file:info")
    place.appctl("vlog/reopen")
    assert "%m!" in place.appctl("vlog/list-pattern")


def test_messages_go_to_syslog_by_the_method_named(place):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(place.folder / "log"))
        server.settimeout(10)
        place.detach(f"--syslog-method=unix:{place.folder}/log", "-vsyslog:info")
        while "|cyvswitch " not in server.recv(4096).decode():
            pass  # other messages may come first; without it the receive ends by time
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        place.end(place.pid())
        place.detach(f"--syslog-target=127.0.0.1:{server.getsockname()[1]}")
        assert b"ovs-vswitchd: ovs|" in server.recv(4096)


def test_the_control_socket_is_where_the_option_says(place):
    place.detach("--unixctl=here.ctl")
    assert unixctl.call_sync(str(place.folder / "here.ctl"), "ofproto/list") == ""
    place.end(place.pid())
    place.detach("--unixctl=none")
    assert not list(place.folder.glob("*.ctl"))


# -- rights


@pytest.mark.root
def test_a_user_works_with_the_rights_of_a_switch_only(place):
    """The user is root, as another one may not be able to read this Python; the rights are dropped all the same."""
    pid = place.detach("--user=root:nogroup", "--mlockall")
    found = status_of(pid)
    assert set(found["Gid"].split()) == {str(grp.getgrnam("nogroup").gr_gid)}
    assert int(found["CapEff"], 16) == int(found["CapPrm"], 16) == CAPABILITIES | 1 << 14
    assert int(found["VmLck"].split()[0]) > 10_000


@pytest.mark.root
def test_becoming_another_user_takes_the_folder_along():
    with tempfile.TemporaryDirectory() as above:
        os.chmod(above, 0o755)
        folder = os.path.join(above, "run")
        child = os.fork()
        if not child:
            privileges.become_user("nobody", False, [folder])
            kept = int(status_of(os.getpid())["CapEff"], 16) == CAPABILITIES
            os._exit(0 if kept and os.getuid() == os.stat(folder).st_uid != 0 else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_a_folder_that_the_user_may_not_write_is_named(place):
    (place.folder / "ovs-vswitchd.pid").mkdir()
    assert "ovs-vswitchd.pid: cannot create pid file: Is a directory" in place.run("--detach", code=1)


# -- the command line

WRONG = {
    "--bogus": "unrecognized option '--bogus'",
    "--unixctl": "option '--unixctl' requires an argument",
    "--detach=1": "option '--detach' doesn't allow an argument",
    "-Q": "invalid option -- 'Q'",
    "-vbogus": 'processing "bogus": no destination, level, or module "bogus"',
    "--verbose=any:bogus": 'processing "any:bogus": no destination, level, or module "bogus"',
    "one two": "at most one non-option argument accepted; use --help for usage",
    "--syslog-method=bogus": "unsupported syslog method 'bogus'",
}
WRONG_HERE = {
    "--forwarders=0": "--forwarders: 0 is not a number from 1 to 16",
    "--forwarders=x": "--forwarders: x is not a number from 1 to 16",
    "--log-file=/nonexistent/x": "failed to open /nonexistent/x for logging: No such file or directory",
    "--pidfile=/nonexistent/x": "/nonexistent/x: cannot create pid file: No such file or directory",
    "--user=nosuchuser": "user nosuchuser not found, aborting.",
    "--user=root:nosuchgroup": "group nosuchgroup not found, aborting.",
    "bogus:xx": "bogus:xx: unknown target",
    "ssl:127.0.0.1": "SSL requires private key to be configured",
}


@pytest.mark.parametrize("words", [*WRONG, *WRONG_HERE])
def test_a_wrong_command_line_gets_a_message_and_exit_code_1(place, words):
    text = place.run("-vconsole:off", *words.split(), code=1)
    assert text.startswith(f"vswitchd: {(WRONG | WRONG_HERE)[words]}")
    assert text.count("\n") == 1
    assert place.run("--detach", *words.split(), code=1) == text


@pytest.mark.ovs_tools
@pytest.mark.skipif(not shutil.which("ovs-vswitchd"), reason="needs Debian's ovs-vswitchd")
@pytest.mark.parametrize("words", WRONG)
def test_messages_for_wrong_command_lines_are_those_of_the_original(place, words):
    command = ["ovs-vswitchd", f"--unixctl={place.folder}/x", *words.split()]
    done = subprocess.run(command, env=place.env, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (1, f"ovs-vswitchd: {WRONG[words]}\n")


def test_messages_name_the_program_as_it_was_called(place):
    script = place.folder / "ovs-vswitchd"
    script.write_text(f"#!{sys.executable}\nimport sys\nfrom vswitchd.main import main\nsys.exit(main())\n")
    script.chmod(0o755)
    done = subprocess.run([str(script), "--bogus"], env=place.env, capture_output=True, text=True, timeout=20)
    assert done.stderr == "ovs-vswitchd: unrecognized option '--bogus'\n"
    done = subprocess.run([str(script), "-V"], env=place.env, capture_output=True, text=True, timeout=20)
    assert done.stdout.startswith("ovs-vswitchd (Open vSwitch) ")


def test_help_names_every_option_and_place(place):
    text = place.run("--help")
    assert all(f"--{option.long}" in text and option.help.split()[0] in text for option in options.OPTIONS)
    assert str(place.folder) in text
    assert max(map(len, text.replace(str(place.folder), "").splitlines())) <= 120


def test_options_may_be_abbreviated_and_mixed_with_the_database():
    found = options.parse(["--pid", "unix:x", "--forw", "3", "-v", "-vdbg", "--log=x"])
    assert found.database == "unix:x"
    assert found.given == {"pidfile": "", "forwarders": "3", "verbose": "dbg", "log_file": "x"}
    assert found.verbose == ("", "dbg")
    with pytest.raises(ConfigError, match="ambiguous; possibilities: '--syslog-method' '--syslog-target'"):
        options.parse(["--sysl"])
