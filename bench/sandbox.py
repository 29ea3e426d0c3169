"""A sandbox for the demo and the benchmarks: network, mount and process namespaces that end with the program.

`enter` starts the calling module again inside; everything made there (devices, namespaces, processes, files in /run)
is gone when it ends, however it ends. Works as root and, where the kernel allows it, as any user.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

MARK = "CYVSWITCH_SANDBOX"
ROOT = Path(__file__).resolve().parent.parent
# From the best to the least: with a process namespace no process can survive; without it the callers' own clean-up has
# to do (some containers forbid mounting /proc).
WAYS = (["--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"], ["--net", "--mount"])


class SandboxError(Exception):
    """The machine does not allow what is needed; the text says what."""


def enter() -> None:
    """Return inside the sandbox; outside, run the program again inside and exit with its code.

    Raises SandboxError when the machine allows no namespaces.
    """
    if os.environ.get(MARK):
        _prepare()
        return
    way = _possible_way()
    module = sys.modules["__main__"].__spec__.name  # type: ignore[union-attr]
    command = ["unshare", *way, sys.executable, "-m", module, *sys.argv[1:]]
    child = subprocess.Popen(command, env={**os.environ, MARK: "1"}, cwd=ROOT)
    # unshare holds SIGTERM back while its child runs; killing it ends the child and with it the process namespace.
    signal.signal(signal.SIGTERM, lambda *_: child.kill())
    while True:
        try:
            code = child.wait()
            break
        except KeyboardInterrupt:  # the child has had it as well and cleans up
            continue
    sys.exit(code if code >= 0 else 128 - code)


def _possible_way() -> list[str]:
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    problem = "the command unshare (util-linux) is missing"
    for way in WAYS:
        try:
            tried = subprocess.run(["unshare", *user, *way, "true"], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            break
        if tried.returncode == 0:
            return user + way
        problem = tried.stderr.strip()
    raise SandboxError(f"cannot make namespaces here: {problem} (run as root, or allow user namespaces)")


def _prepare() -> None:
    """Give the sandbox a /run of its own, where ip(8) keeps its namespaces, and a loopback device that is up."""
    for command in (["mount", "-t", "tmpfs", "tmpfs", "/run"], ["ip", "link", "set", "lo", "up"]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise SandboxError(f"the command {error.filename} is not installed (Debian: iproute2, mount)") from error
        if done.returncode:
            raise SandboxError(f"{' '.join(command)}: {done.stderr.strip()}")
    os.makedirs("/run/netns")
    tempfile.tempdir = "/run"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def ip(*args: str) -> str:
    """Run ip(8) and return what it prints; raises CalledProcessError."""
    return subprocess.run(["ip", *args], check=True, capture_output=True, text=True).stdout


def add_host(name: str, device: str, address: str | None = None, *, quiet: bool = False) -> None:
    """Make namespace `name` with a veth `eth0` whose other end is `device` here; `address` is like 10.0.0.1/24.

    quiet: without IPv6, so that nothing is sent that was not asked for.
    """
    ip("netns", "add", name)
    ip("link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", name)
    if quiet:
        silence = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"
        subprocess.run(["ip", "netns", "exec", name, "sh", "-c", silence], check=False, capture_output=True)
        subprocess.run(["sh", "-c", silence], check=False, capture_output=True)
    if address:
        ip("-n", name, "addr", "add", address, "dev", "eth0")
    ip("-n", name, "link", "set", "lo", "up")
    ip("-n", name, "link", "set", "eth0", "up")
    ip("link", "set", device, "up")


def mac_of(namespace: str, device: str = "eth0") -> str:
    """Return the MAC address of a device in a namespace."""
    return ip("-n", namespace, "-br", "link", "show", "dev", device).split()[2]


def device_packets(namespace: str, device: str, counter: str) -> int:
    """Return a counter of a device in a namespace, such as rx_packets."""
    path = f"/sys/class/net/{device}/statistics/{counter}"
    return int(subprocess.run(["ip", "netns", "exec", namespace, "cat", path], check=True, capture_output=True).stdout)


def bin_path(name: str) -> str:
    """Return a command of the project's virtual environment."""
    return str(ROOT / ".venv" / "bin" / name)
