"""What demo and benchmarks start, each in a directory: ours, Debian's Open vSwitch in user space, a Linux bridge.

All are driven by the same calls, the switches through Debian's tools where they are installed; ours also without them
(`bench.own_tools`). Open vSwitch with DPDK is in `bench.peer_dpdk`.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import own_tools
from bench.sandbox import ROOT, bin_path

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0
TOOLS = ("ovs-vsctl", "ovs-ofctl", "ovs-appctl")


class StepError(Exception):
    """Something that had to work did not; the text is for the reader."""


def wait_for(what: str, ready: Callable[[], bool], timeout_s: float = START_TIMEOUT_S) -> float:
    """Return after how many seconds `ready()` was true; raises StepError naming `what`."""
    begin = time.monotonic()
    while not ready():
        if time.monotonic() - begin > timeout_s:
            raise StepError(f"{what}: not within {timeout_s:g} s")
        time.sleep(0.02)
    return time.monotonic() - begin


def run(command: list[str], env: dict[str, str] | None = None, timeout_s: float = 60.0) -> str:
    """Run a command and return what it prints; raises StepError with its errors when it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=timeout_s, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StepError(f"{shlex.join(command)}: {error}") from error
    if done.returncode:
        said = (done.stdout + done.stderr).strip()
        raise StepError(f"{shlex.join(command)}: exit code {done.returncode}\n{said}")
    return done.stdout


class Switch:
    """One running switch; a context manager that stops what it started. cpus: where its processes may run."""

    label = ""
    counts_cpu = True  # whether its work is done by processes of its own, so that `cpu_s` says what it costs

    def __init__(self, cpus: set[int] | None = None) -> None:
        self.rundir = Path(tempfile.mkdtemp(prefix="switch-"))
        self.cpus = cpus
        self.processes: list[subprocess.Popen[bytes]] = []
        self.env = dict(os.environ)
        for variable in ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR"):
            self.env[variable] = str(self.rundir)

    def start(self) -> float:
        """Start the processes; return after how many seconds the switch answered."""
        raise StepError(f"{type(self).__name__} cannot be started")

    def __enter__(self) -> Switch:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def spawn(self, *command: str) -> None:
        """Start a process of the switch, its output in the run directory."""
        with open(self.rundir / f"{Path(command[0]).name}.out", "wb") as out:
            child = subprocess.Popen(command, env=self.env, stdout=out, stderr=out, cwd=ROOT)
        self.processes.append(child)
        if self.cpus:
            os.sched_setaffinity(child.pid, self.cpus)

    def stop(self) -> list[int]:
        """End the processes, last first, and return their exit codes; those that do not end are killed."""
        codes = []
        for child in reversed(self.processes):
            child.terminate()
            try:
                codes.append(child.wait(STOP_TIMEOUT_S))
            except subprocess.TimeoutExpired:
                child.kill()
                codes.append(child.wait())
        self.processes.clear()
        shutil.rmtree(self.rundir, ignore_errors=True)
        return codes

    def output(self) -> str:
        """Return what the processes have printed."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.rundir.glob("*.out")))

    def alive(self) -> bool:
        """Tell whether all processes run."""
        return all(child.poll() is None for child in self.processes)

    def tool(self, name: str, *args: str, timeout_s: float = 60.0) -> str:
        """Run one of Open vSwitch's tools on this switch and return what it prints."""
        return run([name, *args], self.env, timeout_s)

    def appctl(self, *words: str) -> str:
        """Run a management command of the switch and return what it prints."""
        return self.tool("ovs-appctl", *words)

    def answers(self) -> bool:
        """Tell whether the database answers; raises StepError when a process has ended."""
        if not self.alive():
            raise StepError(f"{self.label} did not start:\n{self.output()}")
        return (self.rundir / "db.sock").exists()

    # -- what every caller needs

    def add_bridge(self, name: str, *ports: str) -> None:
        """Add a bridge with datapath_type netdev and system ports."""
        words = ["add-br", name, "--", "set", "bridge", name, "datapath_type=netdev"]
        for port in ports:
            words += ["--", "add-port", name, port]
        self.tool("ovs-vsctl", "--timeout=20", *words)

    def flows(self, bridge: str, *texts: str) -> None:
        """Replace all flows of a bridge."""
        self.tool("ovs-ofctl", "del-flows", bridge)
        for text in texts:
            self.tool("ovs-ofctl", "add-flow", bridge, text)

    def capture_port(self, name: str, number: int, capture: Path, *, forever: bool = True) -> list[str]:
        """Return ovs-vsctl's words for an Interface that plays a capture file, for ever or once."""
        options = f"options:rx_pcap={capture}"
        return ["set", "Interface", name, "type=pcap", f"ofport_request={number}", options] + (
            ["options:infinite_rx=true"] if forever else []
        )

    def null_port(self, name: str, number: int) -> list[str]:
        """Return ovs-vsctl's words for an Interface that takes everything and gives nothing."""
        return ["set", "Interface", name, "type=null", f"ofport_request={number}"]

    def sent(self, bridge: str, port: int) -> int:
        """Return how many packets a port has sent."""
        told = self.tool("ovs-ofctl", "dump-ports", bridge, str(port))
        return int(told.split("tx pkts=")[1].split(",")[0])

    # -- what it costs

    def pids(self) -> list[int]:
        """Return the processes of the switch."""
        return [child.pid for child in self.processes]

    def cpu_s(self) -> float:
        """Return the processor time used so far, in seconds, of all processes and their threads that run."""
        used_ns = 0
        for pid in self.pids():
            for task in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(FileNotFoundError):  # a thread that has just ended
                    used_ns += int((task / "schedstat").read_text().split()[0])
        if not used_ns:
            raise StepError("this kernel keeps no schedstat of threads")
        return used_ns / 1e9

    def resident_mib(self) -> float:
        """Return the resident memory of all processes, in MiB."""
        total_kib = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total_kib += int(line.split()[1])
        return total_kib / 1024


class Ours(Switch):
    """cyvswitch. The environment's CYVSWITCH_VSWITCHD replaces the command, for instance by another build's."""

    label = "cyvswitch"

    def command(self) -> list[str]:
        """Return how the daemon is started."""
        return shlex.split(os.environ.get("CYVSWITCH_VSWITCHD", bin_path("vswitchd")))

    def start(self) -> float:
        """See Switch."""
        self.spawn(*self.command())
        return wait_for("db.sock of vswitchd", self.answers)

    @property
    def database(self) -> str:
        """Return the target of the database."""
        return f"unix:{self.rundir}/db.sock"

    def add_bridge(self, name: str, *ports: str) -> None:
        """See Switch; without ovs-vsctl by our own client."""
        if shutil.which("ovs-vsctl"):
            super().add_bridge(name, *ports)
        else:
            own_tools.add_bridge(self.database, name, ports)

    def set_controller(self, bridge: str, target: str) -> None:
        """Let a bridge connect to a controller, fail mode secure."""
        if shutil.which("ovs-vsctl"):
            words = ["set-controller", bridge, target, "--", "set-fail-mode", bridge, "secure"]
            self.tool("ovs-vsctl", "--timeout=20", *words)
        else:
            own_tools.set_controller(self.database, bridge, target)

    def dump_flows(self, bridge: str) -> str:
        """Return the flows of a bridge as text, by OpenFlow 1.3."""
        if shutil.which("ovs-ofctl"):
            return self.tool("ovs-ofctl", "-O", "OpenFlow13", "dump-flows", bridge)
        return own_tools.dump_flows(str(self.rundir / f"{bridge}.mgmt"))

    def appctl(self, *words: str) -> str:
        """See Switch."""
        if shutil.which("ovs-appctl"):
            return super().appctl(*words)
        return own_tools.appctl(str(self.rundir), *words)


class OpenVSwitch(Switch):
    """Debian's ovsdb-server and ovs-vswitchd; bridges use its user-space datapath, the kernel module stays out."""

    label = "Open vSwitch"
    settings: tuple[str, ...] = ()  # of other_config, from the start

    def daemon(self) -> str:
        """Return the program of the switch; raises StepError when it is not installed."""
        if not shutil.which("ovs-vswitchd"):
            raise StepError("Debian's openvswitch-switch is not installed")
        return "ovs-vswitchd"

    def start(self) -> float:
        """See Switch."""
        daemon = self.daemon()
        database = str(self.rundir / "conf.db")
        self.tool("ovsdb-tool", "create", database, "/usr/share/openvswitch/vswitch.ovsschema")
        remote = f"--remote=punix:{self.rundir}/db.sock"
        self.spawn("ovsdb-server", database, remote, "--pidfile", "--no-chdir", "-vconsole:warn")
        begin = wait_for("db.sock of ovsdb-server", self.answers)
        words = ["--", "set", "Open_vSwitch", "."] if self.settings else []
        self.tool("ovs-vsctl", "--no-wait", "init", *words, *(f"other_config:{each}" for each in self.settings))
        pidfile = f"--pidfile={self.rundir}/ovs-vswitchd.pid"
        self.spawn(daemon, "--disable-system", pidfile, "--no-chdir", "-vconsole:warn")
        return begin + wait_for("ovs-vswitchd", self.has_control_socket)

    def appctl(self, *words: str) -> str:
        """See Switch; by the socket, whose name has the program's, whatever that is called."""
        return self.tool("ovs-appctl", "--target", str(next(self.rundir.glob("ovs-vswitchd*.ctl"))), *words)

    def has_control_socket(self) -> bool:
        """Tell whether the switch has made its control socket; raises StepError when a process has ended."""
        return self.answers() and bool(list(self.rundir.glob("ovs-vswitchd*.ctl")))


class OpenVSwitchTso(OpenVSwitch):
    """The same with its experimental TSO, without which large frames of the hosts do not get through it."""

    label = "Open vSwitch with TSO"
    settings = ("userspace-tso-enable=true",)


class LinuxBridge(Switch):
    """The kernel's own bridge. It forwards on the time of whoever sends, so it has no processor time of its own."""

    label = "Linux bridge"
    counts_cpu = False

    def start(self) -> float:
        """See Switch."""
        return 0.0

    def add_bridge(self, name: str, *ports: str) -> None:
        """See Switch; the ports are devices."""
        run(["ip", "link", "add", name, "type", "bridge"])
        for port in ports:
            run(["ip", "link", "set", port, "master", name])
        run(["ip", "link", "set", name, "up"])

    def flows(self, bridge: str, *texts: str) -> None:
        """A bridge has no flows: it floods what it has not learned."""


SWITCHES: dict[str, type[Switch]] = {"ours": Ours, "ovs": OpenVSwitch, "ovs-tso": OpenVSwitchTso, "bridge": LinuxBridge}


def switch_of(name: str, cpus: set[int] | None = None) -> Switch:
    """Return the switch called `ours`, `ovs`, `ovs-tso`, `bridge` or `dpdk`, not yet started."""
    if name == "dpdk":
        from bench.peer_dpdk import OpenVSwitchDpdk  # imports this module

        return OpenVSwitchDpdk(None)
    return SWITCHES[name](cpus)


def two_cpus() -> tuple[set[int], set[int]] | tuple[None, None]:
    """Return one processor for the switch and one for the traffic, or nothing where there are not two."""
    usable = sorted(os.sched_getaffinity(0))
    return ({usable[0]}, {usable[1]}) if len(usable) > 1 else (None, None)
