"""MTU and MAC address rules: the same steps on our daemon and on Open vSwitch, equal columns after each (PT.02, PT.25).

A step is words for ip(8) in the daemon's namespace ("ip ...") or for ovs-vsctl. What is random (MAC addresses that
nobody set) is left out of the comparison.
"""

from __future__ import annotations

import contextlib
import json
import re

import pytest

from tests.peers.daemon import Daemon, plain, running, wait_until
from tests.system.real_daemon import real_daemon

pytestmark = [pytest.mark.root, pytest.mark.ovs_tools]

COLUMNS = ("mtu", "admin_state", "link_state", "duplex", "link_speed", "status", "mac_in_use", "error")
LOCAL_MAC = re.compile(".[26ae]:")
SET_UP = (
    "add-br br0 -- set bridge br0 datapath_type=netdev",
    "ip link add ve0 type veth peer name ve0p",
    "ip link add ve1 type veth peer name ve1p",
)
MTU_STEPS = (
    "add-port br0 ve0 -- add-port br0 in0 -- set interface in0 type=internal",
    "add-port br0 tp0 -- set interface tp0 type=tap",
    "ip link set ve0 mtu 1400",
    "ip link set ve1 mtu 9000",
    "add-port br0 ve1",
    "ip link set ve0 mtu 2000",
    "ip link set in0 mtu 1300",
    "set bridge br0 other_config:any=thing",
    "set interface in0 mtu_request=1234",
    "set interface ve0 mtu_request=1450",
    "ip link set ve0 mtu 1460",
    "set interface br0 mtu_request=1700",
    "clear interface br0 mtu_request -- clear interface in0 mtu_request -- clear interface ve0 mtu_request",
    "ip link set ve0 mtu 1452",
    "del-port ve0",
    "del-port ve1",
    "set bridge br0 other_config:last=step",
)
MAC_STEPS = (
    "ip link set ve0 address 00:11:22:33:44:55",
    "ip link set ve1 address 00:11:22:33:44:44",
    "add-port br0 ve0",
    "add-port br0 ve1",
    "ip link set ve1 address 00:11:22:33:44:66",
    "ip link set ve1 address 02:00:00:00:00:01",
    'add-port br0 in0 -- set interface in0 type=internal mac="00:11:22:00:00:01"',
    'set interface in0 mac="01:11:22:00:00:01"',
    "set interface in0 mac=nonsense",
    'set interface in0 mac="00:11:22:00:00:02"',
    "clear interface in0 mac",
    'set interface br0 mac="00:01:02:03:04:05"',
    'set bridge br0 other_config:hwaddr="00:44:22:00:00:02"',
    'set bridge br0 other_config:hwaddr="01:44:22:00:00:02"',
    "set bridge br0 other_config:hwaddr=nonsense",
    'set bridge br0 other_config:hwaddr="02:44:22:00:00:02"',
    "remove bridge br0 other_config hwaddr",
    'set port ve0 mac="00:11:00:00:00:09"',
    'set port ve0 mac="03:11:00:00:00:09"',
    "clear port ve0 mac",
    "ip link set br0 address 02:00:00:00:00:99",
    "ip link set in0 address 02:00:00:00:00:98",
    'set bridge br0 other_config:datapath-id="00000000000000ab"',
    "remove bridge br0 other_config datapath-id",
    'set interface ve1 mac="00:11:22:00:00:09"',
    "ip link set br0 up",
    "ip link set ve0 up",
    "ip link set ve0p up",
    "ip link set ve0p down",
    "set bridge br0 other_config:last=step",
)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("like")
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(running(folder / "ours")), stack.enter_context(real_daemon(folder / "theirs"))]


def do(daemon: Daemon, step: str) -> None:
    """Do one step."""
    words = step.split()
    if words[0] == "ip":
        daemon.place.ip(*words[1:])
    else:
        daemon.vsctl(*words)


def state(daemon: Daemon, *, macs: bool) -> dict:
    """Return the columns of all interfaces and the bridge's datapath ID."""
    listed = json.loads(daemon.vsctl("--format=json", f"--columns=name,{','.join(COLUMNS)}", "list", "interface"))
    found = {row[0]: dict(zip(COLUMNS, map(plain, row[1:]), strict=True)) for row in listed["data"]}
    for columns in found.values():
        if not macs or LOCAL_MAC.match(str(columns["mac_in_use"])):
            del columns["mac_in_use"]
        if isinstance(columns["status"], dict):
            columns["status"].pop("io", None)  # ours alone
    return found | {"datapath_id": daemon.get("bridge", "br0", "datapath_id") if macs else ""}


@pytest.mark.parametrize(("steps", "macs"), [(MTU_STEPS, False), (MAC_STEPS, True)], ids=["mtu", "mac"])
def test_devices_have_what_open_vswitch_gives_them(both, steps, macs):
    for daemon in both:
        for step in SET_UP:
            do(daemon, step)
    for number, step in enumerate(steps):
        for daemon in both:
            do(daemon, step)
        # Until a port has a global address the bridge's own follows from its row's UUID, which differs.
        with_macs = macs and number > 1

        def same(with_macs: bool = with_macs) -> bool:
            return state(both[0], macs=with_macs) == state(both[1], macs=with_macs)

        try:
            wait_until(same, step, timeout_s=3)
        except AssertionError:
            ours, theirs = (state(daemon, macs=with_macs) for daemon in both)
            assert ours == theirs, (step, ours, theirs)
    for daemon in both:
        daemon.vsctl("del-br", "br0")
        for name in ("ve0", "ve1"):
            daemon.place.ip("link", "del", name)
