"""The demo: a switch, two hosts, an SDN controller, and real packets; under half a minute, nothing stays behind.

usage: python -m bench.demo (or `make demo`). As root or, where user namespaces are allowed, as any user. Exits with 1
when a step does not do what it should.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

from bench import sandbox
from bench.peer import Ours, StepError, run, wait_for

BRIDGE = "br0"
HOSTS = {"alice": "10.0.0.1", "bob": "10.0.0.2"}
CONTROLLER = "127.0.0.1", 6653
PINGS = 5
TCP_SECONDS = 2
TRANSFER_BYTES = 200_000_000  # by Python, where iperf3 is not installed
NEEDED = ("ip", "ping")
OPTIONAL = {
    "ovs-vsctl": "the bridge is configured by our own database client",
    "ovs-ofctl": "flows are read by our own OpenFlow client",
    "iperf3": "TCP is measured by a transfer in Python",
}


class Demo:
    """The steps in their order; each raises StepError when it fails."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.stack = stack
        self.switch = Ours()
        self.controller_lines: list[str] = []
        self.number = 0

    # -- telling

    def title(self, text: str) -> None:
        """Print the headline of the next step."""
        self.number += 1
        print(f"\n{self.number}. {text}")

    @staticmethod
    def shell(command: str) -> None:
        """Print a command as typed."""
        print(f"   $ {command}")

    @staticmethod
    def say(text: str) -> None:
        """Print lines, indented."""
        for line in text.strip("\n").splitlines():
            print(f"     {line}")
        sys.stdout.flush()

    # -- steps

    def start_switch(self) -> None:
        """Start the daemon in a run directory of its own."""
        self.title("Start the switch: one process, with its database inside")
        self.shell(".venv/bin/vswitchd")
        self.stack.callback(self.switch.stop)
        seconds = self.switch.start()
        self.say(f"ready after {seconds:.2f} s, pid {self.switch.pids()[0]}")
        self.shell("ovs-appctl version")
        self.say(self.switch.appctl("version"))

    def make_topology(self) -> None:
        """Two namespaces with a veth each, both ends here on a bridge."""
        self.title("Two hosts (network namespaces) on a bridge, wired with veth pairs")
        for name, address in HOSTS.items():
            sandbox.add_host(name, f"to-{name}", f"{address}/24", quiet=True)
        ports = [f"to-{name}" for name in HOSTS]
        self.shell(f"ovs-vsctl add-br {BRIDGE} " + " ".join(f"-- add-port {BRIDGE} {port}" for port in ports))
        self.switch.add_bridge(BRIDGE, *ports)
        if shutil.which("ovs-vsctl"):
            self.shell("ovs-vsctl show")
            self.say(self.switch.tool("ovs-vsctl", "show"))
        self.shell("ovs-appctl dpctl/show")
        self.say(self.switch.appctl("dpctl/show"))

    def start_controller(self) -> None:
        """Start the learning switch and make the bridge use it."""
        self.title("An SDN controller decides: a learning switch on os-ken's API, OpenFlow 1.3")
        address, port = CONTROLLER
        self.shell(f"python -m bench.learning_switch --port {port}")
        command = [sys.executable, "-m", "bench.learning_switch", "--listen", address, "--port", str(port)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=sandbox.ROOT)
        self.stack.callback(end, child)
        threading.Thread(target=self.listen_to, args=(child,), daemon=True).start()
        self.await_controller(child, "listening")
        self.shell(f"ovs-vsctl set-controller {BRIDGE} tcp:{address}:{port} -- set-fail-mode {BRIDGE} secure")
        self.switch.set_controller(BRIDGE, f"tcp:{address}:{port}")
        self.await_controller(child, "connected")
        wait_for("the table-miss flow", lambda: "CONTROLLER" in self.flows() or "4294967293" in self.flows())
        self.say("\n".join(self.controller_lines))

    def listen_to(self, child: subprocess.Popen[str]) -> None:
        """Collect what the controller prints (on a thread)."""
        assert child.stdout is not None
        for line in child.stdout:
            self.controller_lines.append(line.rstrip())

    def await_controller(self, child: subprocess.Popen[str], word: str) -> None:
        """Return when the controller has printed a line with `word`."""

        def said() -> bool:
            if child.poll() is not None:
                raise StepError("the controller ended:\n" + "\n".join(self.controller_lines))
            return any(word in line for line in self.controller_lines)

        try:
            wait_for(f"the controller saying '{word}'", said)
        except StepError as error:
            raise StepError("\n".join([str(error), *self.controller_lines])) from error

    def ping(self) -> None:
        """Ping; the first packet goes by the controller, which installs flows for those that follow."""
        self.title("Ping: the first packets visit the controller, which installs flows for the rest")
        told = len(self.controller_lines)
        self.shell(f"ip netns exec alice ping -c {PINGS} -i 0.2 {HOSTS['bob']}")
        text = run(inside("alice", "ping", "-c", str(PINGS), "-i", "0.2", HOSTS["bob"]))
        lines = text.splitlines()
        self.say("\n".join(line for line in lines if "icmp_seq" in line or "packets" in line or "rtt" in line))
        if f"{PINGS} received" not in text:
            raise StepError("packets were lost:\n" + text)
        if "DUP!" in text:
            raise StepError("packets were answered twice:\n" + text)
        self.say("the controller:")
        self.say("\n".join("  " + line for line in self.controller_lines[told:]))

    def tcp(self) -> None:
        """Run TCP through the switch."""
        self.title("TCP, offloads on: segments of up to 64 KB cross the switch in one piece")
        if shutil.which("iperf3"):
            self.shell(f"ip netns exec alice iperf3 -c {HOSTS['bob']} -t {TCP_SECONDS}")
            lines = [line for line in iperf3("bob", "alice", HOSTS["bob"], TCP_SECONDS).splitlines() if "sec" in line]
            self.say("\n".join(lines))
        else:
            self.say("(iperf3 is not installed: a transfer in Python)")
            gbps = transfer("bob", "alice", HOSTS["bob"], TRANSFER_BYTES)
            self.say(f"{TRANSFER_BYTES / 1e6:.0f} MB in order and whole, {gbps:.2f} Gbit/s")

    def flows(self) -> str:
        """Return the bridge's flows."""
        return self.switch.dump_flows(BRIDGE)

    def show(self) -> None:
        """Print flows, megaflows and counters, and check that each has seen the traffic."""
        self.title("What the controller installed: OpenFlow flows with their counters")
        self.shell(f"ovs-ofctl -O OpenFlow13 dump-flows {BRIDGE}")
        flows = self.flows()
        self.say(flows)
        learned = [int(n) for n in re.findall(r"n_packets=(\d+).*?priority=1\b", flows)]
        if len(learned) < 2 or not all(learned):
            raise StepError("there should be a flow for each direction, and packets in both")

        self.title("What the fast path made of it: megaflows, one per decision and only the bits it read")
        self.shell("ovs-appctl dpctl/dump-flows")
        megaflows = self.switch.appctl("dpctl/dump-flows")
        self.say(megaflows)
        if "actions:" not in megaflows:
            raise StepError("there is no megaflow")

        self.title("Counters: look-ups, ports, and every dropped packet by its reason")
        self.shell("ovs-appctl dpctl/show")
        lookups = self.switch.appctl("dpctl/show")
        self.say(lookups)
        if shutil.which("ovs-ofctl"):
            self.shell(f"ovs-ofctl dump-ports {BRIDGE}")
            self.say(self.switch.tool("ovs-ofctl", "dump-ports", BRIDGE))
        self.shell("ovs-appctl drops/show")
        self.say(self.switch.appctl("drops/show") or "(none)")
        self.say("processor time of the daemon so far: " + f"{self.switch.cpu_s():.2f} s")

    def stop(self) -> None:
        """End the daemon as a service manager would."""
        self.title("Stop")
        self.shell("kill -TERM $(cat $OVS_RUNDIR/ovs-vswitchd.pid)")
        output = self.switch.output()
        codes = self.switch.stop()
        self.say(f"exit code {codes[0]}; devices, namespaces and files of the demo are gone")
        if codes != [0] or "Traceback" in output:
            raise StepError("the daemon did not end cleanly:\n" + output)

    def run(self) -> None:
        """Run all steps."""
        for step in (
            self.start_switch,
            self.make_topology,
            self.start_controller,
            self.ping,
            self.tcp,
            self.show,
            self.stop,
        ):
            step()


def inside(namespace: str, *command: str) -> list[str]:
    """Return a command that runs another in a namespace."""
    return ["ip", "netns", "exec", namespace, *command]


def end(child: subprocess.Popen[str]) -> None:
    """End a child process and wait for it."""
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(3)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextlib.contextmanager
def background(*command: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command meanwhile."""
    child = subprocess.Popen(list(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield child
    finally:
        end(child)


def iperf3(server: str, client: str, address: str, seconds: int) -> str:
    """Run iperf3 between two namespaces and return the client's report."""
    with background(*inside(server, "iperf3", "--server", "--one-off", "--forceflush")) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if "listening" in line:
                break
        return run(inside(client, "iperf3", "--client", address, "--time", str(seconds), "--interval", "0"))


def transfer(server: str, client: str, address: str, n_bytes: int) -> float:
    """Send bytes between two namespaces by TCP, compare what arrived, return Gbit/s."""
    receive = [sys.executable, "-m", "bench.transfer", "receive", address, str(n_bytes)]
    send = [sys.executable, "-m", "bench.transfer", "send", address, str(n_bytes)]
    with background(*inside(server, *receive)) as child:
        assert child.stdout is not None
        if "listening" not in child.stdout.readline():
            raise StepError("the receiver did not start")
        run(inside(client, *send))
        report = child.stdout.read()
    if not report.startswith("whole"):
        raise StepError(f"the transfer failed: {report}")
    return float(report.split()[1])


WHAT_NEXT = f"""
Try next (as root; `.venv/bin/vswitchd` runs in the foreground and uses /run/openvswitch):
  sudo .venv/bin/vswitchd &                                          the switch itself
  sudo ovs-vsctl add-br {BRIDGE} -- add-port {BRIDGE} vm1 -- set interface vm1 type=internal
  sudo ovs-ofctl add-flow {BRIDGE} "priority=10,tcp,tp_dst=22,actions=drop"
  sudo ovs-ofctl dump-flows {BRIDGE};  sudo ovs-appctl fdb/show {BRIDGE};  sudo ovs-appctl list-commands
  make test (all tests)   make bench (side by side with Open vSwitch)   docs/ARCHITECTURE.md (how it works)
"""


def check_tools() -> None:
    """Say which optional tools are missing; raises StepError for a needed one."""
    missing = [tool for tool in NEEDED if not shutil.which(tool)]
    if missing:
        raise StepError(f"needed but not installed: {', '.join(missing)} (Debian: iproute2, iputils-ping)")
    for tool, instead in OPTIONAL.items():
        if not shutil.which(tool):
            print(f"note: {tool} is not installed: {instead}")


def main() -> int:
    """Run the demo and return its exit code."""
    try:
        sandbox.enter()
        check_tools()
    except (StepError, sandbox.SandboxError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    begin = time.monotonic()
    print("cyvswitch, from configuration to wire; in namespaces of its own, nothing outside is touched")
    with contextlib.ExitStack() as stack:
        demo = Demo(stack)
        try:
            demo.run()
        except Exception as error:
            print(f"\nFAILED in step {demo.number}: {error}", file=sys.stderr)
            output = demo.switch.output()
            if output and output not in str(error):
                print(f"\nthe daemon's output:\n{output}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\ninterrupted", file=sys.stderr)
            return 130
    print(WHAT_NEXT)
    print(f"All {demo.number} steps done in {time.monotonic() - begin:.1f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
