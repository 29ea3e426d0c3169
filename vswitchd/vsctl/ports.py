"""Commands about ports and interfaces."""

from __future__ import annotations

from vslib.errors import ConfigError
from vswitchd.vsctl.bridges import del_port as take_out
from vswitchd.vsctl.bridges import drop
from vswitchd.vsctl.context import has

TYPE_CHECKING = False  # importing typing costs 8 ms
if TYPE_CHECKING:
    from vswitchd.vsctl.context import Bridge, Context, Port
    from vswitchd.vsctl.table import Call


def list_ports(ctx: Context, call: Call) -> None:
    """Print names of ports."""
    bridge = ctx.find_bridge(call.args[0])
    for name in sorted(port.name for port in bridge.ports if port.name != bridge.name):
        call.line(name)


def list_ifaces(ctx: Context, call: Call) -> None:
    """Print names of interfaces."""
    bridge = ctx.find_bridge(call.args[0])
    names = (iface.name for port in bridge.ports for iface in port.ifaces)
    for name in sorted(name for name in names if name != bridge.name):
        call.line(name)


def port_to_br(ctx: Context, call: Call) -> None:
    """Print the bridge of a port."""
    call.line(ctx.find_port(call.args[0]).bridge.name)


def iface_to_br(ctx: Context, call: Call) -> None:
    """Print the bridge of an interface."""
    call.line(ctx.find_iface(call.args[0]).port.bridge.name)


def add_port(ctx: Context, call: Call) -> None:
    """Add a port with an interface of its name; raises ConfigError."""
    name = call.args[1]
    _add(ctx, call, [name], call.args[2:])


def add_bond(ctx: Context, call: Call) -> None:
    """Add a port with several interfaces; raises ConfigError."""
    words = call.args[2:]
    count = next((at for at, word in enumerate(words) if "=" in word), len(words))
    if count < 2:
        raise ConfigError(f"add-bond requires at least 2 interfaces, but only {count} were specified")
    _add(ctx, call, words[:count], words[count:])


def _add(ctx: Context, call: Call, ifaces: list[str], settings: list[str]) -> None:
    bridge_name, name = call.args[:2]
    if not name:
        raise ConfigError("port name must not be empty string")
    if not all(ifaces):
        raise ConfigError("interface name must not be empty string")
    if has(call, "--may-exist"):
        port = ctx.maybe_port(name)
        if port is not None:
            _check_same(call, port, bridge_name, ifaces)
            return
    ctx.check_conflicts(name, f"cannot create a port named {name}")
    for each in ifaces:
        ctx.check_conflicts(each, f"cannot create an interface named {each}")
    bridge = ctx.find_bridge(bridge_name)
    rows = [ctx.txn.insert("Interface", name=[each]) for each in ifaces]
    row = ctx.txn.insert("Port", name=[name], interfaces=[each.uuid for each in rows])
    if has(call, "--fake-iface"):
        row.write("bond_fake_iface", [True])
    if bridge.parent is not None:
        row.write("tag", [bridge.vlan])
    if settings:
        from vswitchd.vsctl import database

        database.set_all(ctx, ctx.schema.table("Port"), row, settings)
    bridge.real_row.insert("ports", [row.uuid])
    ctx.new_ifaces.extend(rows)
    ctx.forget_names()


def _check_same(call: Call, port: Port, bridge: str, ifaces: list[str]) -> None:
    """Raise ConfigError if a port that may exist is another one than the command asks for."""
    if port.bridge.name != bridge:
        raise ConfigError(f'"{call.words()}" but {port.name} is actually attached to bridge {port.bridge.name}')
    have = sorted(iface.name for iface in port.ifaces)
    if have != sorted(ifaces):
        raise ConfigError(f'"{call.words()}" but {port.name} actually has interface(s) {", ".join(have)}')


def del_port(ctx: Context, call: Call) -> None:
    """Delete a port; raises ConfigError."""
    port = _to_delete(ctx, call)
    if port is None:
        return
    if len(call.args) == 2:
        _check_bridge(ctx.find_bridge(call.args[0]), port)
    take_out(ctx, port)
    ctx.forget_names()


def _to_delete(ctx: Context, call: Call) -> Port | None:
    """Return the port that del-port names; None if it need not exist."""
    name, required = call.args[-1], not has(call, "--if-exists")
    if name in ctx.names().bridges:
        if required:
            why = "(deleting this port requires deleting the entire bridge)"
            raise ConfigError(f"cannot delete port {name} because it is the local port for bridge {name} {why}")
        return None
    port = ctx.maybe_port(name)
    if port is None and has(call, "--with-iface"):
        iface = ctx.maybe_iface(name)
        port = iface.port if iface is not None else None
        if port is None and required:
            raise ConfigError(f"no port or interface named {name}")
    if port is None and required:
        raise ConfigError(f"no port named {name}")
    return port


def _check_bridge(bridge: Bridge, port: Port) -> None:
    if port.bridge is bridge:
        return
    text = f"bridge {bridge.name} does not have a port {port.name}"
    if port.bridge.parent is bridge:
        text += f" (although its child bridge {port.bridge.name} does)"
    raise ConfigError(text)


def add_bond_iface(ctx: Context, call: Call) -> None:
    """Add an interface to a port; raises ConfigError."""
    port_name, name = call.args
    port = ctx.find_port(port_name)
    if has(call, "--may-exist"):
        iface = ctx.maybe_iface(name)
        if iface is not None:
            if iface.port.name != port_name:
                raise ConfigError(f'"{call.words()}" but {name} is actually attached to port {iface.port.name}')
            return
    ctx.check_conflicts(name, f"cannot create an interface named {name}")
    port.row.verify("interfaces")
    row = ctx.txn.insert("Interface", name=[name])
    port.row.insert("interfaces", [row.uuid])
    ctx.new_ifaces.append(row)
    ctx.forget_names()


def del_bond_iface(ctx: Context, call: Call) -> None:
    """Take an interface out of its port; raises ConfigError."""
    name = call.args[-1]
    iface = ctx.maybe_iface(name)
    if iface is None:
        if has(call, "--if-exists"):
            return
        raise ConfigError(f"no interface named {name}")
    port = iface.port
    if len(call.args) == 2:
        wanted = ctx.find_port(call.args[0])
        if wanted is not port:
            raise ConfigError(f"port {wanted.name} does not have an interface {name}")
    if len(port.ifaces) == 1:
        raise ConfigError(f"cannot delete last interface from port {port.name}")
    port.row.verify("interfaces")
    port.row.remove("interfaces", [iface.row.uuid])
    drop(ctx, iface.row)
    ctx.forget_names()
