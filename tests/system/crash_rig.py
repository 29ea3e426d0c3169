"""What the crash test does to a daemon until it is killed, and what must be true when it is back.

A `Stream` changes bridges of its own by one `ovs-vsctl` transaction after the other, each of several operations, the
last of which counts it. So the database of the next daemon must say exactly what the stream knows: with the
transaction that was on its way when the daemon died, whole, or without it.
"""

from __future__ import annotations

import copy
import json
import random
import subprocess
import threading
import time
from collections.abc import Callable

from tests.peers.daemon import Daemon, plain, wait_until
from tests.system.hosts import Echo, Host

MAX_BRIDGES, MAX_PORTS = 3, 6
OURS = ("internal", "tap")

Ports = dict[str, tuple[str, int | None]]  # name -> type, tag
State = dict[str, tuple[Ports, int]]  # bridge -> its ports, how many transactions it has seen


class Stream(threading.Thread):
    """Transactions on bridges whose names begin with `prefix`, until one fails."""

    def __init__(self, daemon: Daemon, prefix: str, seed: int, before: Stream | None = None) -> None:
        super().__init__(name=prefix)
        self.daemon_process, self.prefix = daemon, prefix
        self.random = random.Random(seed)
        self.state: State = {}
        self.maybe: State = {}
        self.n_done, self.n_made = 0, 0
        self.current: subprocess.Popen[str] | None = None
        self.refused = ""
        if before is not None:
            self.state, self.n_made = before.state, before.n_made
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            self.maybe = copy.deepcopy(self.state)
            words = self.random.choice(KINDS)(self)
            if not words:
                continue
            if not self._vsctl(words):
                return
            self.state = self.maybe
            self.n_done += 1

    def _vsctl(self, words: list[str]) -> bool:
        options = [] if self.random.random() < 0.3 else ["--no-wait"]
        command = ["ovs-vsctl", "--timeout=20", *options, *words]
        self.current = subprocess.Popen(
            command, env=self.daemon_process.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        if self.ended.is_set():
            self.current.kill()
        _, errors = self.current.communicate()
        if self.current.returncode == 0:
            return True
        if not self.ended.is_set() and "db.sock" not in errors:
            self.refused = f"{words}: {errors}"
        return False

    def cut(self) -> None:
        """End the stream when its daemon is dead; a transaction on its way may have been done or not."""
        self.ended.set()
        if self.current is not None:
            self.current.kill()
        self.join()
        assert not self.refused, self.refused

    def settle(self, found: State) -> None:
        """Compare with what the next daemon's database says."""
        mine = {name: value for name, value in found.items() if name.startswith(self.prefix)}
        assert mine in (self.state, self.maybe), f"database: {mine}\nacknowledged: {self.state}\nor: {self.maybe}"
        self.state = mine

    # -- transactions: change `maybe`, return words of ovs-vsctl; none where there is nothing to do

    def _count(self, bridge: str) -> list[str]:
        ports, n = self.maybe[bridge]
        self.maybe[bridge] = (ports, n + 1)
        return ["--", "set", "bridge", bridge, f"external_ids:n={n + 1}"]

    def _new(self, letter: str) -> str:
        self.n_made += 1
        return f"{self.prefix}{letter}{self.n_made}"

    def add_bridge(self) -> list[str]:
        if len(self.maybe) >= MAX_BRIDGES:
            return []
        name, port = self._new("b"), self._new("p")
        self.maybe[name] = ({name: ("internal", None), port: ("internal", 7)}, 0)
        return ["add-br", name, "--", "add-port", name, port, "tag=7", "--", "set", "interface", port, "type=internal",
                *self._count(name)]  # fmt: skip

    def del_bridge(self) -> list[str]:
        if len(self.maybe) < MAX_BRIDGES:
            return []
        name = self.random.choice(sorted(self.maybe))
        del self.maybe[name]
        other = self.random.choice(sorted(self.maybe))
        return ["del-br", name, *self._count(other)]

    def add_ports(self) -> list[str]:
        free = [name for name, (ports, _) in self.maybe.items() if len(ports) < MAX_PORTS]
        if not free:
            return []
        bridge = self.random.choice(free)
        words: list[str] = []
        for _ in range(2):
            name, kind, tag = self._new("p"), self.random.choice(OURS), self.random.choice((None, 9))
            self.maybe[bridge][0][name] = (kind, tag)
            words += ["--"] * bool(words) + ["add-port", bridge, name] + ([f"tag={tag}"] if tag else [])
            words += ["--", "set", "interface", name, f"type={kind}"]
        return words + self._count(bridge)

    def del_port(self) -> list[str]:
        rich = [name for name, (ports, _) in self.maybe.items() if len(ports) > 1]
        if not rich:
            return []
        bridge = self.random.choice(rich)
        ports = self.maybe[bridge][0]
        name = self.random.choice([p for p in ports if p != bridge])
        del ports[name]
        return ["del-port", bridge, name, *self._count(bridge)]

    def note(self) -> list[str]:
        """A change of words only, which the switch need not follow."""
        return self._count(self.random.choice(sorted(self.maybe)))[1:] if self.maybe else []

    def move_port(self) -> list[str]:
        rich = [name for name, (ports, _) in self.maybe.items() if len(ports) > 1]
        if len(self.maybe) < 2 or not rich:
            return []
        bridge = self.random.choice(rich)
        other = self.random.choice([name for name in self.maybe if name != bridge])
        name = self.random.choice([p for p in self.maybe[bridge][0] if p != bridge])
        self.maybe[other][0][name] = (self.maybe[bridge][0].pop(name)[0], None)
        kind = self.maybe[other][0][name][0]
        return ["del-port", bridge, name, "--", "add-port", other, name, "--", "set", "interface", name, f"type={kind}",
                *self._count(bridge), *self._count(other)]  # fmt: skip


KINDS: list[Callable[[Stream], list[str]]] = [
    Stream.add_bridge,
    Stream.add_bridge,
    Stream.del_bridge,
    Stream.add_ports,
    Stream.add_ports,
    Stream.del_port,
    Stream.del_port,
    Stream.move_port,
    *[Stream.note] * 8,
]


class Churn(threading.Thread):
    """Deletes and makes again the veth devices `names` of a daemon's namespace, all the time."""

    def __init__(self, daemon: Daemon, names: list[str], seed: int) -> None:
        super().__init__(name="churn")
        self.place, self.names, self.random = daemon.place, names, random.Random(seed)
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(self.random.uniform(0, 0.02)):
            name = self.random.choice(self.names)
            self.place.ip("link", "del", name)
            self.ended.wait(self.random.uniform(0, 0.02))
            make_veth(self.place, name)

    def cut(self) -> None:
        self.ended.set()
        self.join()


def make_veth(place, name: str) -> None:
    """Make a veth pair that is up, its other end called like the first with an `x` behind it."""
    place.ip("link", "add", name, "up", "type", "veth", "peer", "name", f"{name}x")
    place.ip("link", "set", f"{name}x", "up")


def table(daemon: Daemon, name: str, columns: str) -> dict[str, list]:
    """Return rows of the database by their UUID."""
    found = json.loads(daemon.ok("ovs-vsctl", "--format=json", f"--columns=_uuid,{columns}", "list", name))
    return {plain(row[0]): [plain(value) for value in row[1:]] for row in found["data"]}


def database_state(daemon: Daemon) -> State:
    """Return what the database says of bridges and ports, and check that rows fit together."""
    interfaces = table(daemon, "Interface", "name,type")
    ports = table(daemon, "Port", "name,tag,interfaces")
    state: State = {}
    for name, its_ports, external_ids in table(daemon, "Bridge", "name,ports,external_ids").values():
        found: Ports = {}
        for uuid in as_list(its_ports):
            port, tag, its_interfaces = ports.pop(uuid)
            [(interface, kind)] = [interfaces.pop(u) for u in as_list(its_interfaces)]
            assert interface == port
            found[port] = (kind, tag)
        state[name] = (found, int(external_ids.get("n", 0)))
    assert not ports and not interfaces, (ports, interfaces)
    return state


def as_list(value) -> list:
    return value if isinstance(value, list) else [] if value is None else [value]


def devices(daemon: Daemon) -> set[str]:
    """Return the names of TAP devices in the daemon's namespace."""
    lines = daemon.place.ip("-o", "link", "show", "type", "tun").splitlines()
    return {line.split(": ")[1].split("@")[0] for line in lines}


def check_devices(daemon: Daemon, state: State, elsewhere: set[str]) -> None:
    """Check that every device that is configured is there, and none that is not."""
    configured = {name for ports, _ in state.values() for name, (kind, _) in ports.items() if kind in OURS}
    wait_until(
        lambda: devices(daemon) == configured - elsewhere,
        f"devices are those configured: {sorted(configured - elsewhere)} and not {sorted(devices(daemon))}",
    )


def check_interfaces(daemon: Daemon) -> None:
    """Check that every configured interface is a port again."""

    def missing() -> list[list]:
        return [row for row in table(daemon, "Interface", "name,ofport,error").values() if (row[1] or -1) < 0 or row[2]]

    wait_until(lambda: not missing(), f"all interfaces are ports: {missing()}")


def answered(one: Host, other: Host) -> bool:
    """Tell whether an echo request is answered at once; unlike `Host.ping` it does not mind late answers."""
    echo = Echo(v6=False)
    with one.place.call(echo.open) as sock:
        return echo.ask(sock, other.address, 0, 0.05, 56)


def seconds_until(check: Callable[[], object], since_s: float, limit_s: float = 20.0) -> float:
    """Return how long after `since_s` (monotonic) `check` became true."""
    wait_until(check, "it works again", limit_s, 0.005)
    return time.monotonic() - since_s
