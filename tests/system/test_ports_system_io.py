"""How a running daemon moves the frames of `system` devices: chosen, told, forced (PT.01, PT.05, DB.43)."""

from __future__ import annotations

import pytest

from tests.peers.daemon import Daemon
from tests.system.hosts import host
from tests.system.netns import namespace, veth

pytestmark = [pytest.mark.root, pytest.mark.ovs_tools]
RING_KB = 2 * 2048  # of 2,048 frames


def set_options(daemon: Daemon, name: str, *options: str) -> str | None:
    """Set options of an interface in place of those that it has; return its error."""
    words = [f"options:{option}" for option in options]
    clear = ("clear", "Interface", name, "options", *(["--", "set", "Interface", name, *words] if words else []))
    daemon.tool("ovs-vsctl", "--timeout=20", *clear)
    error: str | None = daemon.interface(name, "error")
    return error


def test_packet_sockets_are_chosen_for_a_veth_and_af_xdp_can_be_forced(daemon, bridge):
    with host(daemon, bridge, "system", "10.1.0.1/24") as one, host(daemon, bridge, "system", "10.1.0.2/24") as other:
        number = daemon.interface(one.port, "ofport")
        assert daemon.interface(one.port, "status")["io"] == "afpacket"
        assert f"{one.port}: packet sockets, not AF_XDP: its driver (veth) has no zero-copy mode" in daemon.log()
        for options, expected in ((["io=afxdp"], "native"), (["io=afxdp", "xdp-mode=generic"], "generic")):
            assert set_options(daemon, one.port, *options) is None
            status = daemon.interface(one.port, "status")
            assert (status["io"], status["xdp-mode-in-use"]) == ("afxdp", expected)
            assert one.ping(other, 2) == 2
        assert set_options(daemon, one.port, "io=afpacket", "n_rxq_desc=256", "colour=red") is None
        assert daemon.interface(one.port, "status")["io"] == "afpacket"
        assert daemon.interface(one.port, "ofport") == number
        assert one.ping(other, 2) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["io=fast"], "options:io: 'fast' is not auto or afpacket or afxdp"),
        (["n_rxq_desc=100"], "options:n_rxq_desc: '100' is not a power of two from 64 to 32768"),
        (["io=afxdp", "xdp-mode=fast"], "options:xdp-mode: 'fast' is not best-effort or"),
        (["io=afxdp", "n_rxq_desc=256"], "options:n_rxq_desc: unknown option"),
    ],
)
def test_wrong_options_are_named_in_the_interfaces_error(daemon, bridge, options, words):
    with namespace() as place:
        name, _ = veth(daemon.place, place)
        daemon.vsctl("add-port", bridge, name)
        assert (set_options(daemon, name, *options) or "").startswith(f"{name}: {words}")
        assert set_options(daemon, name) is None
        daemon.vsctl("del-port", bridge, name)


def resident_kb(daemon: Daemon) -> int:
    with open(f"/proc/{daemon.process.pid}/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def test_silent_ports_need_little_memory(daemon, bridge):
    with namespace() as place:
        names = [veth(daemon.place, place)[0] for _ in range(12)]
        daemon.vsctl("add-port", bridge, names[0])
        before = resident_kb(daemon)
        daemon.vsctl(*(word for name in names[1:] for word in ("--", "add-port", bridge, name)))
        assert resident_kb(daemon) - before < len(names) * RING_KB / 4
        daemon.vsctl(*(word for name in names for word in ("--", "del-port", bridge, name)))
