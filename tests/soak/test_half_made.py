"""Objects that were refused half-way, used after close() or dropped at a bad moment: no foreign descriptor is closed,
none is left open, nothing crashes (PT.12, DP.18).
"""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from datapath.core import Core
from datapath.datapath import Datapath
from datapath.ports.afpacket import AfPacketPort
from datapath.ports.pipe import PipePort
from datapath.ports.rig import PortRig
from datapath.ports.tap import TapPort
from datapath.upcall import ExecuteHook, MissHook
from ofproto.flow_table import FlowTables, RemovedFlow
from ofproto.switch import BridgeHandle, SwitchHandle
from ofproto.xlate.runtime import PacketOut, Runtime, SwitchMissHook
from tests.system.netns import namespace, switch_namespace, veth
from vslib.errors import ConfigError, InternalError

ROOT = Path(__file__).parents[2]
MAC = bytes(6)
FRAME = bytes(60)


def descriptors() -> dict[int, tuple[int, int]]:
    """The open descriptors, each with what it refers to."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            status = os.fstat(int(name))
        except OSError:  # the one that listdir used
            continue
        found[int(name)] = (status.st_dev, status.st_ino)
    return found


@contextmanager
def same_descriptors() -> Iterator[None]:
    gc.collect()
    before = descriptors()
    yield
    gc.collect()
    assert descriptors() == before


def wrong_tap_descriptor() -> None:
    read, write = os.pipe()
    try:
        TapPort("", fd=read)
    finally:
        for fd in {read, write} & descriptors().keys():  # whoever takes a descriptor may close it when refusing it
            os.close(fd)


REFUSED: dict[str, Callable[[], object]] = {
    "core without arguments": lambda: Core(),
    "core with a word": lambda: Core("two"),
    "core with no forwarders": lambda: Core(0),
    "core with a negative number": lambda: Core(-1),
    "datapath with too many forwarders": lambda: Datapath(17),
    "pipe with an unknown offload": lambda: PipePort("p", caps=["lro"]),
    "pipe without room": lambda: PipePort("p", size=0),
    "pipe with a bad MTU": lambda: PipePort("p", mtu=1),
    "pipe without a name": lambda: PipePort(),
    "tap of an unknown kind": lambda: TapPort("t", "tun"),
    "tap with a wrong descriptor": wrong_tap_descriptor,
    "tap with a word as descriptor": lambda: TapPort("t", fd="one"),
    "tap in no namespace": lambda: TapPort("t", namespace="/nowhere"),
    "device that does not exist": lambda: AfPacketPort("no-such-device0"),
    "device with a bad ring": lambda: AfPacketPort("lo", slots=-1),
    "rig with a word": lambda: PortRig("one"),
    "runtime without a switch": lambda: Runtime(),
    "runtime of None": lambda: Runtime(None),
    "runtime of something else": lambda: Runtime(5),
    "flow tables of None": lambda: FlowTables(None),
    "flow tables of something else": lambda: FlowTables("br0"),
    "hook of None": lambda: SwitchMissHook(None),
    "packet-out of None": lambda: PacketOut(None, 1, b"", 1),
    "switch with an argument": lambda: SwitchHandle(1),
    "removed flow out of nowhere": lambda: RemovedFlow().encode(4, False),
    "bridge out of nowhere": lambda: BridgeHandle().ports(),
    "miss hook without functions": lambda: Datapath(1, inline=True).set_miss_hook(MissHook()),
    "execute hook without a function": lambda: Datapath(1, inline=True).execute(FRAME, 1, ExecuteHook()),
    "frame that no buffer holds": lambda: Datapath(1, inline=True).execute(bytes(70_000), 1, ExecuteHook()),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_leaves_the_descriptors_alone(case):
    with same_descriptors(), pytest.raises((ConfigError, InternalError, TypeError, ValueError, OverflowError, OSError)):
        REFUSED[case]()


@pytest.mark.parametrize("kind", [PipePort, TapPort, AfPacketPort])
def test_ports_that_were_never_initialised_can_be_asked_and_closed(kind):
    with same_descriptors():
        for act in (lambda port: port.close(), lambda port: (port.stats(), port.close(), port.close()), lambda _: None):
            act(kind.__new__(kind))


def test_a_pipe_that_was_never_initialised_takes_no_frames():
    port = PipePort.__new__(PipePort)
    assert (port.inject(FRAME), port.take(), port.wait_fd, port.rx_fd) == (False, [], -1, -1)
    with pytest.raises(ConfigError):
        port.loop([FRAME])


@contextmanager
def descriptors_left(n: int) -> Iterator[None]:
    """Let this process open only so many descriptors more; gaps count."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(descriptors())
    kept = [os.dup(0)]
    while kept[-1] < highest:
        kept.append(os.dup(0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(kept[-1], highest) + 1 + n, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in kept:
            os.close(fd)


MAKERS: dict[str, Callable[[], object]] = {
    "datapath": lambda: Datapath(2, inline=True),
    "pipe": lambda: PipePort("p"),
    "switch": SwitchHandle,
}


def try_with_few_descriptors(maker: Callable[[], object], n: int) -> None:
    with same_descriptors(), descriptors_left(n), suppress(OSError, MemoryError, ConfigError):
        maker()


@pytest.mark.parametrize("n", range(6))
@pytest.mark.parametrize("maker", MAKERS)
def test_running_out_of_descriptors_closes_what_was_opened(maker, n):
    try_with_few_descriptors(MAKERS[maker], n)


@pytest.fixture
def device():
    """An Ethernet device that is gone with its namespace."""
    with switch_namespace() as here, namespace() as there:
        yield veth(here, there)[0]


@pytest.mark.root
def test_running_out_of_descriptors_closes_the_sockets_of_a_device(device):
    AfPacketPort(device, silence=False).close()
    for n in range(4):
        try_with_few_descriptors(lambda: AfPacketPort(device, silence=False), n)


def test_a_closed_pipe_answers_with_errors():
    with same_descriptors():
        port = PipePort("p")
        port.inject(FRAME)
        port.loop([FRAME, FRAME])
        port.close()
        for use in (lambda: port.inject(FRAME), port.take, lambda: port.loop([FRAME])):
            with pytest.raises(ConfigError):
                use()
        port.null = True
        assert (port.stats()["rx_packets"], port.wait_fd, port.rx_fd, port.is_closed) == (0, -1, -1, True)
        assert "closed" in repr(port)
        with pytest.raises(ConfigError):
            Datapath(1, inline=True).add_port(port)


@pytest.mark.root
def test_a_closed_device_answers_with_errors(device):
    with same_descriptors():
        port = AfPacketPort(device, silence=False)
        port.close()
        assert (port.has_ring, port.stats()["rx_packets"], port.rx_fd) == (False, 0, -1)
        port.close()


@pytest.mark.root
def test_a_closed_tap_answers_with_errors(device):
    """`device` for its namespace."""
    with same_descriptors():
        port = TapPort("half0")
        port.close()
        assert (port.stats()["rx_packets"], port.rx_fd) == (0, -1)
        port.destroy()
        with pytest.raises(ConfigError):
            port.link()
        TapPort("half0").destroy()


def test_handles_of_a_deleted_bridge_answer_with_errors():
    switch = SwitchHandle()
    bridge = switch.add_bridge("br0", MAC)
    tables, hook = FlowTables(bridge), bridge.packet_out(b"", 1)
    bridge.add_port(1, None, "p")
    switch.del_bridge("br0")
    uses = (
        bridge.ports,
        bridge.fdb,
        bridge.fdb_flush,
        bridge.configure,
        lambda: bridge.del_port(1),
        lambda: bridge.set_port(1),
        lambda: bridge.age_macs(0),
        lambda: bridge.packet_out(b"", 1),
        lambda: tables.flow_mod(b""),
        lambda: bridge.set_peer(1, None),
    )
    for use in uses:
        with pytest.raises((ConfigError, InternalError)):
            use()
    dp = Datapath(1, inline=True)
    dp.execute(FRAME, 1, hook)
    dp.step()


def test_hooks_keep_the_switch_they_point_into():
    dp = Datapath(1, inline=True)
    switch = SwitchHandle()
    switch.add_bridge("br0", MAC).add_port(1, 1, "p")
    dp.set_miss_hook(switch.miss_hook)
    port = PipePort("p")
    dp.add_port(port)
    dp.loop_of_references = [dp, switch]
    port.inject(FRAME)
    dp.step()
    del switch
    gc.collect()
    port.inject(FRAME)
    dp.step()
    assert dp.stats()["packets"] == 2
    del dp
    gc.collect()


def test_commands_that_nobody_ran_are_freed_with_what_they_keep():
    class Callback:
        alive = 0

        def __init__(self):
            Callback.alive += 1

        def __call__(self):
            pass

        def __del__(self):
            Callback.alive -= 1

    with same_descriptors():
        dp = Datapath(2, inline=True)
        dp.push_credits(Callback())
        dp.barrier(Callback())
        del dp
        gc.collect()
    assert Callback.alive == 0


DROPPED = """
import gc, sys, time
from datapath.datapath import Datapath
from datapath.ports.pipe import PipePort
from ofproto.switch import SwitchHandle

dp, switch = Datapath(2), SwitchHandle()
bridge = switch.add_bridge("br0", bytes(6))
bridge.configure(standalone_normal=True)
dp.set_miss_hook(switch.miss_hook)
for number in (1, 2, 3):
    port = PipePort(f"p{number}", null=True)
    bridge.add_port(number, dp.add_port(port), f"p{number}")
    port.loop([bytes(11) + bytes([n, *bytes(48)]) for n in range(50)])
dp.start()
time.sleep(0.1)
if sys.argv[1] == "dropped":
    del dp, port, bridge, switch
    gc.collect()
    trash = [bytes(64 + n % 4096) for n in range(20_000)]      # takes the places of what was freed
    time.sleep(0.3)
if sys.argv[1] == "raised":
    raise SystemExit(0)
"""


@pytest.mark.parametrize("way", ["dropped", "raised", "ended"])
def test_a_datapath_that_was_never_stopped_does_not_crash(way):
    """Forwarders go on, as daemon threads: what they point into must stay."""
    done = subprocess.run([sys.executable, "-c", DROPPED, way], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


NOISY = """
class Loud:
    def __del__(self):
        raise ValueError("only printed")

def test_that_passes():
    Loud()
"""


def test_what_is_only_printed_fails_a_test(tmp_path):
    """A `noexcept` function cannot raise: the session must not overlook what it prints instead (habit 6)."""
    (tmp_path / "test_noisy.py").write_text(NOISY)
    command = [sys.executable, "-m", "pytest", "-q", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path)]
    done = subprocess.run([*command, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "only printed" in done.stdout, done.stdout + done.stderr
