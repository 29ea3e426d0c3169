"""Make the running switch match the desired one: ordered steps, each a function over the difference.

The order matters: what goes away first frees names and port numbers for what comes. A port that cannot be had is
reported in `errors` and everything
else goes on (DB.43).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from vslib import vlog
from vslib.errors import ConfigError
from vswitchd.bridge import Bridge, RunningPort, find_port
from vswitchd.core import Core
from vswitchd.desired import Desired, DesiredBridge, DesiredInterface, DesiredPort, parse_mac
from vswitchd.devices import Host

log = vlog.get("bridge")

LOCAL_BIT, GROUP_BIT = 2, 1


@dataclass
class Change:
    """One reconfiguration under way. errors: interface name -> text for Interface.error."""

    core: Core
    desired: Desired
    errors: dict[str, str] = field(default_factory=dict)

    def wanted_interfaces(self, bridge: DesiredBridge) -> dict[str, tuple[DesiredPort, DesiredInterface]]:
        """Return the bridge's interfaces by name, with their ports."""
        return {i.name: (port, i) for port in bridge.ports for i in port.interfaces}


def same_device(running: RunningPort, wanted: DesiredInterface) -> bool:
    """Tell whether `running` can stay for `wanted`: same row, kind and requested number."""
    if running.kind != effective_kind(wanted, None) and not (running.kind == "internal" and wanted.kind == "system"):
        return False
    if wanted.requested and wanted.ofport != running.number and running.number <= 0xFEFF:
        return False
    return running.wanted.row == wanted.row


def effective_kind(wanted: DesiredInterface, bridge: DesiredBridge | None) -> str:
    """Return the type that is opened: the bridge's own device is internal whatever its row says."""
    return "internal" if bridge is not None and wanted.name == bridge.name else wanted.kind


async def delete_bridges(change: Change) -> None:
    for name in [n for n in change.core.bridges if n not in change.desired.bridges]:
        bridge = change.core.bridges.pop(name)
        owned = [p.name for p in bridge.ports_by_name.values() if change.core.host.kinds[p.kind].owned]
        await bridge.close()
        for device in owned:
            change.core.host.delete_if_exists(device)


async def delete_ports(change: Change) -> None:
    for name, bridge in change.core.bridges.items():
        wanted_bridge = change.desired.bridges[name]
        wanted = change.wanted_interfaces(wanted_bridge)
        for port in list(bridge.ports_by_name.values()):
            pair = wanted.get(port.name)
            if pair is not None and same_device(port, pair[1]) and port.link.present:
                continue
            bridge.del_port(port)
            owned = change.core.host.kinds[port.kind].owned
            if owned and (pair is None or effective_kind(pair[1], wanted_bridge) != port.kind):
                change.core.host.delete_if_exists(port.name)


def bridge_mac(host: Host, wanted: DesiredBridge) -> bytes:
    """Choose the bridge's MAC: configured, else the smallest global one of its devices, else a random local one."""
    if wanted.hwaddr is not None:
        return wanted.hwaddr
    local = wanted.local_interface
    if local is not None and local.mac is not None:
        return local.mac
    found = [
        host.link(i.name).mac
        for port in wanted.ports
        for i in port.interfaces
        if i.kind == "system" and i.name != wanted.name and host.exists(i.name)
    ]
    usable = [mac for mac in found if not mac[0] & (LOCAL_BIT | GROUP_BIT) and any(mac)]
    if usable:
        return min(usable)
    if host.exists(wanted.name):  # a device that survived a restart keeps its address
        return host.link(wanted.name).mac
    return host.fresh_mac()


async def add_bridges(change: Change) -> None:
    for name, wanted in change.desired.bridges.items():
        if name in change.core.bridges:
            continue
        bridge = Bridge(change.core, wanted, bridge_mac(change.core.host, wanted))
        change.core.bridges[name] = bridge
        if change.core.host.listens:
            await bridge.channel.listen()
        log.info("bridge %s: using datapath ID %016x", name, bridge.datapath_id)


def add_one(change: Change, bridge: Bridge, port: DesiredPort, wanted: DesiredInterface) -> None:
    """Open one interface and add it to `bridge`; a failure goes to change.errors."""
    kind = effective_kind(wanted, bridge.wanted if bridge.wanted.name == wanted.name else None)
    mac = wanted.mac or (bridge.mac if wanted.name == bridge.name else None)
    taken = find_port(change.core.bridges.values(), wanted.name)
    try:
        if taken is not None:
            raise ConfigError(f"could not open network device {wanted.name} (Device or resource busy)")
        number = bridge.pick_number(wanted)
        opened = change.core.host.open(wanted, kind, mac)
    except (ConfigError, OSError) as error:
        change.errors[wanted.name] = str(error)
        log.warn("%s", error)
        return
    dp_port = None if opened.handle is None else change.core.datapath.add_port(opened.handle)
    running = RunningPort(wanted.name, number, kind, wanted, dp_port, opened.handle, opened.link)
    bridge.add_port(running)


async def add_ports(change: Change) -> None:
    for name, bridge in change.core.bridges.items():
        wanted = change.wanted_interfaces(change.desired.bridges[name])
        missing = [pair for device, pair in wanted.items() if device not in bridge.ports_by_name]
        # Interfaces that insist on a number first, then those that had one, so that nobody takes it before them.
        missing.sort(
            key=lambda pair: (pair[1].name != name, not pair[1].requested, pair[1].ofport is None, pair[1].name)
        )
        for port, interface in missing:
            add_one(change, bridge, port, interface)


async def update_ports(change: Change) -> None:
    for name, bridge in change.core.bridges.items():
        for device, (port, interface) in change.wanted_interfaces(change.desired.bridges[name]).items():
            running = bridge.ports_by_name.get(device)
            if running is None:
                continue
            set_vlan(bridge, running, port)
            set_device(change, bridge, running, interface)
            running.wanted = interface


def set_vlan(bridge: Bridge, running: RunningPort, port: DesiredPort) -> None:
    """Apply the port's VLAN settings when they differ from the running ones."""
    before = running.vlan
    running.vlan = port
    if before is None or (before.vlan_mode, before.tag, before.trunks) != (port.vlan_mode, port.tag, port.trunks):
        bridge.handle.set_port(running.number, vlan_mode=port.vlan_mode, tag=port.tag or 0, trunks=port.trunks or None)


def set_device(change: Change, bridge: Bridge, running: RunningPort, wanted: DesiredInterface) -> None:
    """Apply changed MAC address and MTU requests to a running device; a failure goes to change.errors."""
    before, host = running.wanted, change.core.host
    if running.handle is None or (before.mac == wanted.mac and before.mtu_request == wanted.mtu_request):
        return
    try:
        if not host.exists(running.name):  # it lives in another namespace and is its owner's there
            return
        if wanted.mac is not None and running.kind == "internal":
            host.set_mac(running.name, wanted.mac)
        if wanted.mtu_request is not None:
            host.set_mtu(running.name, wanted.mtu_request)
        bridge.link_changed(running, host.link(running.name))
    except (ConfigError, OSError) as error:
        change.errors[wanted.name] = str(error)
        log.warn("%s", error)


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
            change.errors[name] = f"No usable peer '{port.wanted.options.get('peer')}' exists in 'system' datapath."
        if peer == port.peer:
            continue
        port.peer = peer
        if peer is None or other is None:
            bridge.handle.set_peer(port.number, None, 0)
        else:
            bridge.handle.set_peer(port.number, other[0].handle, peer[1])


async def configure_bridges(change: Change) -> None:
    for name, wanted in change.desired.bridges.items():
        change.core.bridges[name].configure(wanted)


STEPS: tuple[Callable[[Change], Awaitable[None]], ...] = (
    delete_bridges,
    delete_ports,
    add_bridges,
    add_ports,
    update_ports,
    connect_patches,
    configure_bridges,
)


async def reconfigure(core: Core, desired: Desired) -> dict[str, str]:
    """Apply `desired` to `core`; returns the errors by interface name. Never raises for a bad value."""
    change = Change(core, desired)
    for line in desired.problems:
        log.warn("%s", line)
    for step in STEPS:
        await step(change)
    return change.errors


__all__ = ["Change", "parse_mac", "reconfigure"]
