"""Make the running switch match the desired one: ordered steps, each a function over the difference.

The order matters: what goes away first frees names and port numbers for what comes. A port that cannot be had is
reported in `errors` and everything
else goes on (DB.43).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from vslib import stream_tls, vlog
from vslib.errors import ConfigError
from vswitchd.bridge import Bridge, RunningPort, closing, find_port
from vswitchd.core import Core
from vswitchd.desired import Desired, DesiredBridge, DesiredInterface, DesiredPort, parse_mac
from vswitchd.devices import KINDS, REOPENING, Host, Opened, Request

log = vlog.get("bridge")

LOCAL_BIT, GROUP_BIT = 2, 1
DEFAULT_MTU = 1500


@dataclass
class Change:
    """One reconfiguration under way. errors: interface name -> text for Interface.error; problems: lines logged."""

    core: Core
    desired: Desired
    errors: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def problem(self, line: str) -> None:
        """Log a line, unless the last reconfiguration did."""
        if line not in self.core.problems and line not in self.problems:
            log.warn("%s", line)
        self.problems.append(line)

    def failed(self, interface: DesiredInterface, error: Exception) -> None:
        """Note why an interface is not as it should be."""
        self.errors[interface.name] = str(error)
        self.problem(str(error))

    def wanted_interfaces(self, bridge: DesiredBridge) -> dict[str, tuple[DesiredPort, DesiredInterface]]:
        """Return the bridge's interfaces by name, with their ports."""
        return {i.name: (port, i) for port in bridge.ports for i in port.interfaces}


def same_device(running: RunningPort, wanted: DesiredInterface) -> bool:
    """Tell whether `running` can stay for `wanted`: its device is there, same row and kind."""
    if running.kind != effective_kind(wanted, None) and not (running.kind == "internal" and wanted.kind == "system"):
        return False
    if KINDS[running.kind].by_options and running.wanted.options != wanted.options:
        return False
    if any(running.wanted.options.get(name) != wanted.options.get(name) for name in REOPENING):
        return False
    return running.link.present and running.wanted.row == wanted.row


def effective_kind(wanted: DesiredInterface, bridge: DesiredBridge | None) -> str:
    """Return the type that is opened: the bridge's own device is internal whatever its row says."""
    return "internal" if bridge is not None and wanted.name == bridge.name else wanted.kind


async def delete_bridges(change: Change) -> None:
    for name in [n for n in change.core.bridges if n not in change.desired.bridges]:
        await change.core.bridges.pop(name).close(destroy=True)


async def delete_ports(change: Change) -> None:
    gone = []
    for name, bridge in change.core.bridges.items():
        wanted_bridge = change.desired.bridges[name]
        wanted = change.wanted_interfaces(wanted_bridge)
        for port in list(bridge.ports_by_name.values()):
            pair = wanted.get(port.name)
            if pair is not None and same_device(port, pair[1]):
                continue
            bridge.del_port(port)
            if port.handle is not None:
                # What is not there under its name any more is not kept under another.
                stays = pair is not None and port.link.present and effective_kind(pair[1], wanted_bridge) == port.kind
                gone.append(closing(port, destroy=not stays))
    await change.core.host.close_all(gone)


def bridge_mac(bridge: Bridge, wanted: DesiredBridge) -> bytes:
    """Choose the bridge's MAC: configured, else the smallest global one of its other ports, else its own."""
    if wanted.hwaddr is not None:
        return wanted.hwaddr
    found = [
        port.mac or bridge.ports_by_name[i.name].link.mac
        for port in wanted.ports
        for i in port.interfaces
        if i.name != wanted.name and i.name in bridge.ports_by_name
    ]
    return min((mac for mac in found if is_global(mac)), default=bridge.default_mac)


def is_global(mac: bytes) -> bool:
    """Tell whether a MAC address is the only one of its kind in the world."""
    return any(mac) and not mac[0] & (LOCAL_BIT | GROUP_BIT)


def first_mac(host: Host, wanted: DesiredBridge, default: bytes) -> bytes:
    """Guess what bridge_mac() will choose once the ports are there, so that the datapath ID is right from the start."""
    if wanted.hwaddr is not None:
        return wanted.hwaddr
    found = [
        port.mac or host.link(i.name).mac
        for port in wanted.ports
        for i in port.interfaces
        if i.name != wanted.name and i.kind != "patch" and host.exists(i.name)
    ]
    return min((mac for mac in found if is_global(mac)), default=default)


async def add_bridges(change: Change) -> None:
    for name, wanted in change.desired.bridges.items():
        if name in change.core.bridges:
            continue
        default = change.core.host.fresh_mac(wanted.row)
        bridge = Bridge(change.core, wanted, first_mac(change.core.host, wanted, default))
        bridge.default_mac = default
        change.core.bridges[name] = bridge
        if change.core.host.listens:
            await bridge.channel.listen()
        log.info("bridge %s: using datapath ID %016x", name, bridge.datapath_id)


async def add_ports(change: Change) -> None:
    for name, bridge in change.core.bridges.items():
        wanted = change.wanted_interfaces(change.desired.bridges[name])
        missing = [interface for _, interface in wanted.values() if interface.name not in bridge.ports_by_name]
        # Interfaces that insist on a number first, then those that had one, so that nobody takes it before them; of
        # those that insist on the same one, who had it.
        missing.sort(
            key=lambda i: (i.name != name, not i.requested, i.ofport is None, i.last_ofport != i.ofport, i.name)
        )
        requests = [request(change, bridge, interface) for interface in missing if is_free(change, interface)]
        for asked, opened in zip(requests, await change.core.host.open_all(requests), strict=True):
            if isinstance(opened, Opened):
                add_one(change, bridge, asked, opened)
            else:
                change.failed(asked.wanted, opened)


def is_free(change: Change, wanted: DesiredInterface) -> bool:
    """Tell whether no port of another bridge has the interface's device; otherwise that is its error."""
    free = find_port(change.core.bridges.values(), wanted.name) is None
    if not free:
        change.failed(wanted, ConfigError(f"could not open network device {wanted.name} (Device or resource busy)"))
    return free


def request(change: Change, bridge: Bridge, wanted: DesiredInterface) -> Request:
    """Return what is to be opened for an interface of `bridge`."""
    kind = effective_kind(wanted, bridge.wanted if bridge.wanted.name == wanted.name else None)
    return Request(wanted, kind, bridge.mac if wanted.name == bridge.name else wanted.mac)


def add_one(change: Change, bridge: Bridge, asked: Request, opened: Opened) -> None:
    """Add an open device to `bridge`; a failure closes it and goes to change.errors."""
    wanted, core = asked.wanted, change.core
    try:
        number = bridge.pick_number(wanted)
        dp_port = None if opened.handle is None else core.datapath.add_port(opened.handle, affinity=wanted.affinity)
    except ConfigError as error:
        if opened.handle is not None:
            opened.handle.close()
        change.failed(wanted, error)
        return
    bridge.add_port(
        RunningPort(
            wanted.name, number, asked.kind, wanted, dp_port, opened.handle, opened.link, added_ns=core.clock.now_ns()
        )
    )


async def renumber_ports(change: Change) -> None:
    """Give ports the numbers that they ask for; who has one without asking for it gives way (PT.22)."""
    for name, bridge in change.core.bridges.items():
        wanted = change.wanted_interfaces(change.desired.bridges[name])
        asking = [
            (port, wanted[port.name][1])
            for port in bridge.numbers.values()
            if port.name in wanted and port.name != name
        ]
        # Who has what it asks for keeps it, then the first by name gets it.
        asking.sort(key=lambda pair: (pair[1].ofport != pair[0].number, pair[0].name))
        owners: dict[int, str] = {}
        for port, interface in asking:
            if interface.ofport is None or not interface.requested:
                continue
            owner = owners.setdefault(interface.ofport, port.name)
            if owner != port.name:
                change.problem(
                    f"interface {port.name}: ofport_request={interface.ofport} is in use by interface {owner}; "
                    f"using {port.number}"
                )
        renumber(bridge, asking, owners)


def renumber(bridge: Bridge, asking: list[tuple[RunningPort, DesiredInterface]], owners: dict[int, str]) -> None:
    """Move ports so that each number in `owners` belongs to the port that it names."""
    numbers = {name: number for number, name in owners.items()}
    moving = [
        (port, interface)
        for port, interface in asking
        if numbers.get(port.name, port.number) != port.number or owners.get(port.number, port.name) != port.name
    ]
    moving.sort(key=lambda pair: pair[0].name not in numbers)
    for port, _ in moving:
        bridge.take_off(port)
    for port, interface in moving:
        port.number = numbers.get(port.name) or bridge.pick_number(interface)
        bridge.add_port(port)


async def update_ports(change: Change) -> None:
    for name, bridge in change.core.bridges.items():
        for device, (port, interface) in change.wanted_interfaces(change.desired.bridges[name]).items():
            running = bridge.ports_by_name.get(device)
            if running is None:
                continue
            set_vlan(bridge, running, port)
            set_device(change, bridge, running, interface)
            if running.dp_port is not None:
                change.core.datapath.rx.set_affinity(running.dp_port, interface.affinity)
            if interface.mtu_request is None and running.wanted.mtu_request is not None:
                running.followed_mtu = 0  # it follows the others again
            running.wanted = interface


def set_vlan(bridge: Bridge, running: RunningPort, port: DesiredPort) -> None:
    """Apply the port's VLAN settings when they differ from the running ones."""
    before = running.vlan
    running.vlan = port
    if before is None or (before.vlan_mode, before.tag, before.trunks) != (port.vlan_mode, port.tag, port.trunks):
        bridge.handle.set_port(running.number, vlan_mode=port.vlan_mode, tag=port.tag or 0, trunks=port.trunks or None)


def set_device(change: Change, bridge: Bridge, running: RunningPort, wanted: DesiredInterface) -> None:
    """Keep MAC address and MTU of a running device as the interface asks; a failure goes to change.errors.

    A device that lives in another namespace is its owner's there.
    """
    before, host = running.wanted, change.core.host
    if running.handle is None or running.link.moved or KINDS[running.kind].in_memory:
        return
    new_mac = wanted.mac if running.kind == "internal" and before.mac != wanted.mac else None
    new_mtu = wanted.mtu_request if wanted.mtu_request != running.link.mtu else None
    try:
        if new_mac is not None:
            host.set_mac(running.name, new_mac)
        if new_mtu is not None:
            host.set_mtu(running.name, new_mtu)
        if new_mac is not None or new_mtu is not None:
            bridge.link_changed(running, host.link(running.name))
    except (ConfigError, OSError) as error:
        change.failed(wanted, error)


async def choose_macs(change: Change) -> None:
    """Choose each bridge's MAC address anew and keep its own device like it (PT.25)."""
    for name, wanted in change.desired.bridges.items():
        bridge = change.core.bridges[name]
        mac = bridge_mac(bridge, wanted)
        if mac != bridge.mac:
            bridge.set_mac(mac)
        local = bridge.ports_by_name.get(name)
        if local is None or local.handle is None or local.link.moved or local.link.mac == mac:
            continue
        try:
            change.core.host.set_mac(name, mac)
            bridge.link_changed(local, change.core.host.link(name))
        except (ConfigError, OSError) as error:
            change.failed(local.wanted, error)


async def set_mtus(change: Change) -> None:
    """Give the devices that are ours the smallest MTU of the bridge's other ports, unless they ask for one (PT.02).

    Only when that has changed: what somebody set by hand since stays. Without other ports it is 1500.
    """
    for bridge in change.core.bridges.values():
        ports = [port for port in bridge.ports_by_name.values() if port.handle is not None]
        ours = [p for p in ports if change.core.host.kinds[p.kind].owned and p.wanted.mtu_request is None]
        devices = [port for port in ports if port.link.present and not change.core.host.kinds[port.kind].in_memory]
        others = [port.link.mtu for port in devices if port not in ours]
        for port in ours:
            follow_mtu(change, bridge, port, min(others, default=None))


def follow_mtu(change: Change, bridge: Bridge, port: RunningPort, smallest: int | None) -> None:
    """Give a device of ours the MTU `smallest` in bytes; None = there is nothing to follow."""
    before, mtu = port.followed_mtu, DEFAULT_MTU if smallest is None else smallest
    port.followed_mtu = mtu
    nothing_new = before == mtu or (before is None and smallest is None)
    if nothing_new or port.link.moved or port.link.mtu == mtu:
        return
    try:
        change.core.host.set_mtu(port.name, mtu)
        bridge.link_changed(port, change.core.host.link(port.name))
    except (ConfigError, OSError) as error:
        change.failed(port.wanted, error)


async def connect_patches(change: Change) -> None:
    """Join patch ports whose two ends name each other; either side may have come first (PT.06)."""
    patches = {
        p.name: (b, p) for b in change.core.bridges.values() for p in b.ports_by_name.values() if p.kind == "patch"
    }
    for name, (bridge, port) in patches.items():
        other = patches.get(port.wanted.options.get("peer", ""))
        joined = other is not None and other[1].wanted.options.get("peer") == name
        peer = (other[0].name, other[1].number) if joined and other is not None else None
        if peer is None:
            wish, datapath = port.wanted.options.get("peer"), bridge.wanted.datapath_type
            change.errors[name] = f"No usable peer '{wish}' exists in '{datapath}' datapath."
        if peer == port.peer:
            continue
        port.peer = peer
        if peer is None or other is None:
            bridge.handle.set_peer(port.number, None, 0)
        else:
            bridge.handle.set_peer(port.number, other[0].handle, peer[1])


async def configure_tls(change: Change) -> None:
    """Use the database's key files for connections from now on; without a row those of the command line stay."""
    tls = change.desired.tls
    if tls is not None and tls != stream_tls.files():
        stream_tls.configure(*tls)


async def configure_bridges(change: Change) -> None:
    for name, wanted in change.desired.bridges.items():
        change.core.bridges[name].configure(wanted)


async def limit_caches(change: Change) -> None:
    datapath, wanted = change.core.datapath, change.desired
    datapath.max_idle_ms = wanted.max_idle_ms
    if datapath.flow_limit != wanted.flow_limit:
        datapath.flow_limit = wanted.flow_limit


async def set_threads(change: Change) -> None:
    """Have the forwarders that are asked for, and deal receive queues out as is asked for."""
    change.core.set_threads(change.desired.threads)


STEPS: tuple[Callable[[Change], Awaitable[None]], ...] = (
    delete_bridges,
    delete_ports,
    add_bridges,
    set_threads,
    add_ports,
    renumber_ports,
    update_ports,
    connect_patches,
    choose_macs,
    set_mtus,
    configure_tls,
    configure_bridges,
    limit_caches,
)


async def reconfigure(core: Core, desired: Desired) -> dict[str, str]:
    """Apply `desired` to `core`; returns the errors by interface name. Never raises for a bad value."""
    change = Change(core, desired)
    for line in desired.problems:
        change.problem(line)
    for step in STEPS:
        await step(change)
    core.problems = frozenset(change.problems)
    return change.errors


__all__ = ["Change", "parse_mac", "reconfigure"]
