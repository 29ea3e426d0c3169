"""Commands about bridges."""

from __future__ import annotations

from vslib.errors import ConfigError
from vswitchd.vsctl.context import MAX_VLAN, Exit, has

TYPE_CHECKING = False  # importing typing costs 8 ms
if TYPE_CHECKING:
    from ovsdb.blocking import Row
    from vswitchd.vsctl.context import Bridge, Context, Port
    from vswitchd.vsctl.table import Call

FAKE_PREFIX = "fake-bridge-"  # of keys in a port's external_ids that are the fake bridge's


def add_br(ctx: Context, call: Call) -> None:
    """Add a bridge, real or fake; raises ConfigError."""
    if len(call.args) == 2:
        raise ConfigError("'add-br' command takes exactly 1 or 3 arguments")
    name, parent = call.args[0], ""
    vlan = 0
    if len(call.args) == 3:
        parent, vlan = call.args[1], _vlan(call.args[2])
    if not name:
        raise ConfigError("bridge name must not be empty string")
    found = ctx.names().bridges.get(name)
    if has(call, "--may-exist") and found is not None:
        _check_same(call, found, parent, vlan)
        return
    ctx.check_conflicts(name, f"cannot create a bridge named {name}")
    if parent:
        iface = _add_fake(ctx, name, parent, vlan)
    else:
        iface = ctx.txn.insert("Interface", name=[name], type=["internal"])
        port = ctx.txn.insert("Port", name=[name], interfaces=[iface.uuid])
        bridge = ctx.txn.insert("Bridge", name=[name], ports=[port.uuid])
        ctx.ovs.insert("bridges", [bridge.uuid])
    ctx.new_ifaces.append(iface)
    ctx.forget_names()


def _vlan(text: str) -> int:
    """Return a VLAN as atoi reads it; raises ConfigError for one out of range."""
    end = 0
    while end < len(text) and (text[end].isdigit() or (end == 0 and text[end] in "+-")):
        end += 1
    digits = text[:end]
    vlan = int(digits) if digits.lstrip("+-") else 0
    if not 0 <= vlan <= MAX_VLAN:
        raise ConfigError("add-br: vlan must be between 0 and 4095")
    return vlan


def _check_same(call: Call, found: Bridge, parent: str, vlan: int) -> None:
    """Raise ConfigError if a bridge that may exist is another one than the command asks for."""
    name = found.name
    if not parent:
        if found.parent is not None:
            text = f"{name} is a VLAN bridge for VLAN {found.vlan}"
            raise ConfigError(f'"--may-exist add-br {name}" but {text}')
        return
    if found.parent is None:
        problem = f"{name} is not a VLAN bridge"
    elif found.parent.name != parent:
        problem = f"{name} has the wrong parent {found.parent.name}"
    elif found.vlan != vlan:
        problem = f"{name} is a VLAN bridge for the wrong VLAN {found.vlan}"
    else:
        return
    raise ConfigError(f'"--may-exist add-br {name} {parent} {vlan}" but {problem}')


def _add_fake(ctx: Context, name: str, parent_name: str, vlan: int) -> Row:
    parent = ctx.names().bridges.get(parent_name)
    if parent is None:
        raise ConfigError(f"parent bridge {parent_name} does not exist")
    if parent.parent is not None:
        raise ConfigError("cannot create bridge with fake bridge as parent")
    child = parent.children.get(vlan)
    if child is not None:
        raise ConfigError(f"bridge {parent_name} already has a child VLAN bridge {child.name} on VLAN {vlan}")
    iface = ctx.txn.insert("Interface", name=[name], type=["internal"])
    port = ctx.txn.insert("Port", name=[name], interfaces=[iface.uuid], fake_bridge=[True], tag=[vlan])
    parent.real_row.insert("ports", [port.uuid])
    return iface


def del_br(ctx: Context, call: Call) -> None:
    """Delete a bridge; raises ConfigError."""
    name = call.args[0]
    if has(call, "--if-exists") and name not in ctx.names().bridges:
        return
    bridge = ctx.find_bridge(name)
    if bridge.row is not None:
        ctx.ovs.remove("bridges", [bridge.row.uuid])
        drop(ctx, bridge.row)
    members = [*bridge.ports, *(port for child in bridge.children.values() for port in child.ports)]
    for port in members:
        del_port(ctx, port)
    ctx.forget_names()


def del_port(ctx: Context, port: Port) -> None:
    """Take a port out of its bridge; its rows go with the reference."""
    row = port.bridge.real_row
    if not row.deleted:
        row.remove("ports", [port.row.uuid])
    for each in (port.row, *(iface.row for iface in port.ifaces)):
        drop(ctx, each)


def drop(ctx: Context, row: Row) -> None:
    """Forget a row that nothing refers to any more; the server deletes it by itself (DB.19)."""
    if row.inserted:
        ctx.txn.delete(row)
    else:
        del ctx.txn.tables[row.table][row.uuid]


def list_br(ctx: Context, call: Call) -> None:
    """Print names of bridges."""
    real, fake = has(call, "--real"), has(call, "--fake")
    for name, bridge in sorted(ctx.names().bridges.items()):
        if real == fake or (real and bridge.parent is None) or (fake and bridge.parent is not None):
            call.line(name)


def br_exists(ctx: Context, call: Call) -> None:
    """End with exit code 2 without the bridge."""
    if call.args[0] not in ctx.names().bridges:
        raise Exit(2)


def br_to_vlan(ctx: Context, call: Call) -> None:
    """Print a bridge's VLAN."""
    vlan = ctx.find_bridge(call.args[0]).vlan
    call.line(str(vlan))
    call.data = [vlan]


def br_to_parent(ctx: Context, call: Call) -> None:
    """Print the real bridge."""
    call.line(ctx.find_bridge(call.args[0]).real.name)


def _external_ids(ctx: Context, name: str) -> tuple[Row, str]:
    """Return the row that has a bridge's external_ids, and what its keys begin with there."""
    bridge = ctx.find_bridge(name)
    if bridge.row is not None:
        return bridge.row, ""
    return ctx.names().ports[name].row, FAKE_PREFIX


def br_set_external_id(ctx: Context, call: Call) -> None:
    """Set or remove one of a bridge's external_ids."""
    row, prefix = _external_ids(ctx, call.args[0])
    key = prefix + call.args[1]
    if len(call.args) == 3:
        row.insert("external_ids", {key: call.args[2]})
    elif key in row.map("external_ids"):
        row.remove("external_ids", [key])


def br_get_external_id(ctx: Context, call: Call) -> None:
    """Print one or all of a bridge's external_ids."""
    row, prefix = _external_ids(ctx, call.args[0])
    pairs = row.map("external_ids")
    if len(call.args) == 2:
        value = pairs.get(prefix + call.args[1])
        if value is not None:
            call.line(value)
        return
    own = {key[len(prefix) :]: value for key, value in sorted(pairs.items()) if key.startswith(prefix)}
    for key, value in own.items():
        call.line(f"{key}={value}")
    call.data = [own]
