"""What commands work with: the transaction, names of rows (@x), and the bridges, ports and interfaces by name.

Bridges may be *fake*: a port with ``fake_bridge`` set whose tag makes a bridge of the ports with that tag (L2.23).
"""

from __future__ import annotations

from ovsdb.blocking import Row, Transaction, Uuid, fresh_uuid
from vslib.errors import ConfigError

TYPE_CHECKING = False  # importing typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Callable

    from vswitchd.vsctl.schema import Base, Schema
    from vswitchd.vsctl.table import Call

    Warn = Callable[[str, str], None]  # (module, text)

MAX_VLAN = 4095


class TryAgain(Exception):
    """The command has to wait until the database has changed."""


class Exit(Exception):
    """End at once with an exit code, changing nothing."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Symbol:
    """A name like @x: the row it stands for, and whether anything that will stay refers to it."""

    __slots__ = ("created", "strong", "uuid", "weak")

    def __init__(self, uuid: Uuid) -> None:
        self.uuid, self.created, self.strong, self.weak = uuid, False, False, False


class Bridge:
    """A real bridge, or a fake one in ``parent`` (then ``row`` is None)."""

    __slots__ = ("children", "name", "parent", "ports", "row", "vlan")

    def __init__(self, name: str, row: Row | None, parent: Bridge | None = None, vlan: int = 0) -> None:
        self.name, self.row, self.parent, self.vlan = name, row, parent, vlan
        self.ports: list[Port] = []
        self.children: dict[int, Bridge] = {}

    @property
    def real(self) -> Bridge:
        """The bridge itself, or the one that a fake bridge is in."""
        return self.parent or self

    @property
    def real_row(self) -> Row:
        """The row of ``real``."""
        row = self.real.row
        assert row is not None
        return row


class Port:
    """A port and its interfaces."""

    __slots__ = ("bridge", "ifaces", "name", "row")

    def __init__(self, name: str, row: Row, bridge: Bridge) -> None:
        self.name, self.row, self.bridge = name, row, bridge
        self.ifaces: list[Iface] = []


class Iface:
    """An interface of a port."""

    __slots__ = ("name", "port", "row")

    def __init__(self, name: str, row: Row, port: Port) -> None:
        self.name, self.row, self.port = name, row, port


class Context:
    """One attempt at a command line, on one snapshot of the database."""

    def __init__(self, txn: Transaction, load_schema: Callable[[], Schema], warn: Warn, ovs: Row) -> None:
        self.txn, self._load_schema, self.warn, self.ovs = txn, load_schema, warn, ovs
        self.symbols: dict[str, Symbol] = {}
        self.new_ifaces: list[Row] = []  # interfaces whose success is told after the switch has seen them
        self.model: Model | None = None

    @property
    def schema(self) -> Schema:
        """The schema; only commands that take names of columns need it."""
        return self._load_schema()

    def symbol(self, name: str, base: Base) -> Uuid:
        """Return the UUID that ``@x`` stands for, where a column of type ``base`` refers to it."""
        found = self.symbols.get(name)
        if found is None:
            found = self.symbols[name] = Symbol(fresh_uuid())
        if base.ref:
            found.strong, found.weak = found.strong or not base.weak, found.weak or base.weak
        return found.uuid

    def define(self, name: str, *, uuid: Uuid | None = None) -> Symbol:
        """Return the symbol of an option ``--id=name``, now defined; ``uuid`` is that of an existing row."""
        if not name.startswith("@"):
            raise ConfigError(f'row id "{name}" does not begin with "@"')
        found = self.symbols.get(name)
        if found is None:
            found = self.symbols[name] = Symbol(uuid or fresh_uuid())
        elif found.created:
            raise ConfigError(f'row id "{name}" may only be specified on one --id option')
        elif uuid is not None:
            raise ConfigError(f'row id "{name}" specified on "get" command was used before it was defined')
        found.created = True
        return found

    def check_symbols(self) -> None:
        """Raise ConfigError for a name that no command defined; warn of rows that will not stay."""
        for name, symbol in self.symbols.items():
            if not symbol.created:
                example = f'(e.g. with "-- --id={name} create ...")'
                raise ConfigError(f'row id "{name}" is referenced but never created {example}')
            if not symbol.strong:
                what = "only a weak reference to it was inserted" if symbol.weak else "no reference to it was inserted"
                lost = f"{what}, so it will not actually appear in the database"
                self.warn("vsctl", f'row id "{name}" was created but {lost}')

    # -- bridges, ports, interfaces

    def names(self) -> Model:
        """Return the bridges, ports and interfaces as the commands so far have left them."""
        if self.model is None:
            self.model = Model(self)
        return self.model

    def forget_names(self) -> None:
        """Let the next look at names see a change."""
        self.model = None

    def find_bridge(self, name: str) -> Bridge:
        """Return a bridge; raises ConfigError without it."""
        found = self.names().bridges.get(name)
        if found is None:
            raise ConfigError(f"no bridge named {name}")
        self.ovs.verify("bridges")
        return found

    def find_real_bridge(self, name: str) -> Bridge:
        """Return a bridge that is not fake; raises ConfigError."""
        found = self.find_bridge(name)
        if found.parent is not None:
            raise ConfigError(f"{name} is a fake bridge")
        return found

    def maybe_port(self, name: str) -> Port | None:
        """Return a port; None for one that is not there or is a bridge's own."""
        found = self.names().ports.get(name)
        self.verify_ports()
        return None if found is None or found.name == found.bridge.name else found

    def find_port(self, name: str) -> Port:
        """Return a port that is not a bridge's own; raises ConfigError."""
        found = self.maybe_port(name)
        if found is None:
            raise ConfigError(f"no port named {name}")
        return found

    def maybe_iface(self, name: str) -> Iface | None:
        """Return an interface; None for one that is not there or is a bridge's own."""
        found = self.names().ifaces.get(name)
        self.verify_ports()
        return None if found is None or found.name == found.port.bridge.name else found

    def find_iface(self, name: str) -> Iface:
        """Return an interface that is not a bridge's own; raises ConfigError."""
        found = self.maybe_iface(name)
        if found is None:
            raise ConfigError(f"no interface named {name}")
        return found

    def verify_ports(self) -> None:
        """Rest the commit on the lists of bridges and of their ports."""
        self.ovs.verify("bridges")
        for row in self.txn.rows("Bridge"):
            row.verify("ports")

    def check_conflicts(self, name: str, what: str) -> None:
        """Raise ConfigError if ``name`` is taken; ``what`` begins the message."""
        names = self.names()
        self.verify_ports()
        if name in names.bridges:
            raise ConfigError(f"{what} because a bridge named {name} already exists")
        port = names.ports.get(name)
        if port is not None:
            raise ConfigError(f"{what} because a port named {name} already exists on bridge {port.bridge.name}")
        iface = names.ifaces.get(name)
        if iface is not None:
            where = iface.port.bridge.name
            raise ConfigError(f"{what} because an interface named {name} already exists on bridge {where}")


class Model:
    """The bridges, ports and interfaces by name."""

    def __init__(self, ctx: Context) -> None:
        self.bridges: dict[str, Bridge] = {}
        self.ports: dict[str, Port] = {}
        self.ifaces: dict[str, Iface] = {}
        self._txn, self._warn = ctx.txn, ctx.warn
        self._make_bridges(ctx.ovs)
        for bridge in [each for each in self.bridges.values() if each.row is not None]:
            for row in self._txn.refs(bridge.real_row, "ports", "Port"):
                self._add_port(bridge, row)

    def _make_bridges(self, ovs: Row) -> None:
        seen: set[str] = set()
        for row in self._txn.refs(ovs, "bridges", "Bridge"):
            name = row.one("name")
            if name in self.bridges:
                self._warn("vsctl", f"{name}: database contains duplicate bridge name")
                continue
            bridge = self.bridges[name] = Bridge(name, row)
            for port in self._txn.refs(row, "ports", "Port"):
                port_name = port.one("name")
                if port_name not in seen and is_fake(port) and port_name not in self.bridges:
                    self._add_fake(bridge, port_name, port.one("tag"))
                seen.add(port_name)

    def _add_fake(self, parent: Bridge, name: str, vlan: int) -> None:
        self.bridges[name] = fake = Bridge(name, None, parent, vlan)
        other = parent.children.setdefault(vlan, fake)
        if other is not fake:
            text = f"bridge has multiple VLAN bridges ({other.name} and {name}) for VLAN {vlan}"
            self._warn("vsctl", f"{parent.name}: {text}, but only one is allowed")

    def _add_port(self, bridge: Bridge, row: Row) -> None:
        name = row.one("name")
        other = self.ports.get(name)
        if other is not None:
            if other.row is row:
                text = f"port is in multiple bridges ({bridge.name} and {other.bridge.name})"
            else:
                text = "database contains duplicate port name"
            self._warn("vsctl", f"{name}: {text}")
            return
        port = self.ports[name] = Port(name, row, bridge.children.get(row.one("tag", -1), bridge))
        port.bridge.ports.append(port)
        for iface_row in self._txn.refs(row, "interfaces", "Interface"):
            self._add_iface(port, iface_row)

    def _add_iface(self, port: Port, row: Row) -> None:
        name = row.one("name")
        other = self.ifaces.get(name)
        if other is not None:
            if other.row is row:
                text = f"interface is in multiple ports ({port.name} and {other.port.name})"
            else:
                text = "database contains duplicate interface name"
            self._warn("vsctl", f"{name}: {text}")
            return
        iface = self.ifaces[name] = Iface(name, row, port)
        port.ifaces.append(iface)


def is_fake(port: Row) -> bool:
    """Tell whether a Port row makes a fake bridge."""
    return bool(port.one("fake_bridge", False)) and 0 <= port.one("tag", -1) <= MAX_VLAN


def has(call: Call, option: str) -> bool:
    """Tell whether a command has an option."""
    return option in call.options
