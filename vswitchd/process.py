"""Going into the background and being watched there: the processes around the daemon (MG.05, MG.09).

With --detach the command forks and waits until the daemon says that it serves; with --monitor a process between the two
lives on and starts the daemon anew when that dies of a signal that means a bug. All forks happen before the switch is
imported, so no thread is ever forked and the monitor stays small (11 MB); for the same reason this module imports
nothing of ours, and what the monitor has to log is logged by a process of a moment.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

# The signals by which the kernel or an abort() ends a process with a bug: after these the monitor starts it anew.
RESTART_SIGNALS = frozenset(
    {
        signal.SIGABRT, signal.SIGALRM, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGPIPE, signal.SIGSEGV,
        signal.SIGXCPU, signal.SIGXFSZ,
    }
)  # fmt: skip
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # what the monitor passes on to the daemon
MIN_RESTART_S = 10.0  # from one restart to the next
READY = b"\1"

Report = Callable[[str, str], None]  # (level, text) goes to the log


class Background:
    """What the daemon has of the processes that wait for it; `ready` tells them that it serves."""

    def __init__(
        self,
        ready_fd: int = -1,
        detached: bool = False,
        restart: str | None = None,
        told: bool = False,
        monitored: bool = False,
    ) -> None:
        self._ready_fd = ready_fd
        self._told = told  # the service manager knows already
        self._detached = detached
        self._monitored = monitored
        self.restart = restart  # why the daemon was started again, for its log; None at the first start

    def ready(self, chdir: bool = True) -> None:
        """Let those who wait go on; a detached daemon lets go of its terminal and, with `chdir`, of its directory."""
        if not self._told:
            tell_service_manager(f"READY=1\nMAINPID={os.getpid()}")
        if self._ready_fd >= 0:
            with contextlib.suppress(BrokenPipeError):  # the one who waited may have gone
                os.write(self._ready_fd, READY)
            os.close(self._ready_fd)
            self._ready_fd = -1
        if self._detached:
            let_go_of_terminal()
            if chdir:
                os.chdir("/")

    def die_of_bug(self) -> None:
        """Let the monitor, if there is one and it waits for no start, see a death that it answers with a restart."""
        if self._monitored and self._ready_fd < 0:
            os.kill(os.getpid(), signal.SIGALRM)  # like an abort(), but without a core file: the traceback says more


def start(detach: bool, monitor: bool, report: Report) -> Background:
    """Make the processes that are asked for; returns in the one that is to be the daemon, in others never.

    `report` logs from a process of its own.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # an interrupt while nothing runs yet needs no traceback
    ready_fd = -1
    if detach:
        child, ready_fd = _fork()
        if child:
            _leave(_wait_until_ready(child, ready_fd), child)
        os.setsid()
    if not monitor:
        return Background(ready_fd, detach)
    return Monitor(ready_fd, detach, report).run()


def _fork() -> tuple[int, int]:
    """Fork; returns (child, read end) in the parent and (0, write end of the same pipe) in the child."""
    sys.stdout.flush()
    sys.stderr.flush()
    reader, writer = os.pipe()
    child = os.fork()
    os.close(writer if child else reader)
    return child, reader if child else writer


def _wait_until_ready(child: int, ready_fd: int) -> int | None:
    """Return None when the child says that it serves, otherwise the status with which it ended (as waitpid's)."""
    try:
        if os.read(ready_fd, 1) == READY:
            return None
    finally:
        os.close(ready_fd)
    return os.waitpid(child, 0)[1]


def _leave(status: int | None, child: int) -> NoReturn:
    """End this process for the child that it started: well if that serves, with its exit code otherwise."""
    if status is None:
        os._exit(0)
    code = os.waitstatus_to_exitcode(status)
    if code <= 0:
        print(f"pid {child} died before it was ready ({describe(status)})", file=sys.stderr, flush=True)
    os._exit(code if code > 0 else 1)


def describe(status: int) -> str:
    """Return how a process ended, in Open vSwitch's words; `status` is waitpid's."""
    if os.WIFEXITED(status):
        return f"exit status {os.WEXITSTATUS(status)}"
    number = os.WTERMSIG(status)
    text = f"killed ({signal.strsignal(number) or number})"
    return text + ", core dumped" if os.WCOREDUMP(status) else text


def should_restart(status: int) -> bool:
    """Tell whether a process that ended with `status` (waitpid's) died of a bug."""
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) in RESTART_SIGNALS


def let_go_of_terminal() -> None:
    """Make standard input, output and error /dev/null."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    if null > 2:
        os.close(null)


def tell_service_manager(text: str) -> None:
    """Send a line to who started us as a service of Type=notify (sd_notify(3)); does nothing for others (MG.06)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    import socket

    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.sendto(text.encode(), "\0" + address[1:] if address[0] == "@" else address)


def _now_s() -> float:
    """Return seconds of a clock that nobody sets; `vslib.clock` would bring asyncio into the monitor."""
    return os.times().elapsed


class Monitor:
    """The process that starts the daemon again."""

    def __init__(self, ready_fd: int, detached: bool, report: Report) -> None:
        self._starter_fd = ready_fd  # where somebody waits for the first start, -1 if nobody does
        self._detached = detached
        self._report = report
        self._daemon = 0  # its pid, 0 while none runs
        self._dead = 0  # the pid of the last one that ran
        self._told_to_end = False

    def run(self) -> Background:
        """Start the daemon and watch it; returns in each daemon that is started, in this process never."""
        ready_fd = self._fork_daemon()
        if not self._daemon:
            return self._become_daemon(ready_fd, None)
        for number in FORWARDED:
            signal.signal(number, self._forward)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
        status = _wait_until_ready(self._daemon, ready_fd)
        if status is not None:
            _leave(status, self._daemon)
        Background(self._starter_fd, self._detached, told=True).ready()
        self._starter_fd = -1
        return self._watch()

    def _watch(self) -> Background:
        """Start the daemon again whenever it dies of a bug, and also when it did so and then could not start."""
        crashes, restarted_s, failed = 0, _now_s() - MIN_RESTART_S, False
        status = self._wait()
        while (should_restart(status) or failed) and not self._told_to_end:
            crashes += 1
            text = f"{crashes} crashes: pid {self._dead} died, {describe(status)}"
            self._pause(restarted_s + MIN_RESTART_S - _now_s(), text)
            restarted_s = _now_s()
            ready_fd = self._fork_daemon()
            if not self._daemon:
                return self._become_daemon(ready_fd, f"{text}, restarting")
            signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
            early = _wait_until_ready(self._daemon, ready_fd)
            failed = early is not None
            status = self._wait() if early is None else self._note_death(early)
        self._log("INFO", f"pid {self._dead} died, {describe(status)}, exiting")
        os._exit(0)

    def _fork_daemon(self) -> int:
        """Fork the daemon with the forwarded signals blocked, so that none comes while its pid is not known."""
        signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
        self._daemon, ready_fd = _fork()
        return ready_fd

    def _wait(self) -> int:
        return self._note_death(os.waitpid(self._daemon, 0)[1])

    def _note_death(self, status: int) -> int:
        self._dead, self._daemon = self._daemon, 0
        return status

    def _pause(self, seconds: float, text: str) -> None:
        if seconds > 0:
            self._log("WARN", f"{text}, waiting until {MIN_RESTART_S:.0f} seconds since last restart")
            select.select([], [], [], seconds)

    def _log(self, level: str, text: str) -> None:
        child = os.fork()
        if not child:
            try:
                self._report(level, text)
            finally:
                os._exit(0)
        os.waitpid(child, 0)

    def _forward(self, number: int, _frame: object) -> None:
        """Pass a signal on; one that ends the daemon ends this process, too, at once if no daemon runs."""
        self._told_to_end = self._told_to_end or number != signal.SIGHUP
        if self._daemon:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._daemon, number)
        elif self._told_to_end:
            os._exit(0)

    def _become_daemon(self, ready_fd: int, restart: str | None) -> Background:
        for number in FORWARDED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
        if self._starter_fd >= 0:
            os.close(self._starter_fd)
        return Background(ready_fd, self._detached, restart, monitored=True)
