"""`Switch`: the whole switch inside a Python program, on ports in memory and a clock that only the program moves.

    with Switch() as sw:
        br = sw.add_bridge("br0")
        a, b = br.add_port("a"), br.add_port("b")
        br.add_flow("in_port=a,actions=b")
        a.send(packet)
        b.recv()

It is the daemon's own code: every setting is a transaction in its database (in memory), read and applied as there; one
forwarder runs on the caller's thread. A call returns when everything that follows from it has happened. No thread, no
file, no rights; a program may have many, also inside a running asyncio event loop. Thread rule: one thread per Switch.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import shlex
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from datapath import dp_text
from datapath.slots import places
from ofproto.connection import Connection
from ovsdb import schema
from ovsdb.error import OvsdbError
from ovsdb.idl import Idl, Row, Txn, TxnError
from ovsdb.schema import Schema
from ovsdb.server import Server
from vslib import clock as clock_module
from vslib import jsonrpc, stream, unixctl
from vslib.blocking import ReplyError
from vslib.errors import ConfigError, InternalError
from vswitchd import commands, desired
from vswitchd.bridge import Bridge
from vswitchd.core import Core
from vswitchd.embed_bridge import Controller, EmbeddedBridge, EmbeddedPort
from vswitchd.embed_host import MemoryHost
from vswitchd.reconfigure import reconfigure
from vswitchd.status import StatusWriter, statistics

T = TypeVar("T")
SCHEMA = os.path.join(os.path.dirname(__file__), "vswitch.ovsschema")
PORT_COLUMNS = frozenset({"tag", "trunks", "vlan_mode", "qos", "cvlans", "bond_mode", "lacp"})  # the rest: Interface's
_IN_PORT = places()["in_port"]


class Switch:
    """One embedded switch. Close it, or use it in a `with` statement."""

    in_port_at = slice(_IN_PORT.offset, _IN_PORT.offset + _IN_PORT.slot.n_bytes)

    def __init__(self) -> None:
        self.clock = clock_module.VirtualClock()
        self.host = MemoryHost()
        self.problems: list[str] = []  # what is wrong with the configuration, as the daemon's log would have it
        self._loop = clock_module.VirtualLoop(self.clock)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False
        with self._inside():
            self._core: Core | None = Core(inline=True, host=self.host)
            self._loop.work_when_idle(self._forward)
        try:
            self._await(self._open())
        except BaseException:
            self._loop.close()
            raise
        self._registry = unixctl.Registry()
        commands.register(self, self._registry)  # type: ignore[arg-type]  # they need `core`, all but one:
        self._registry.unregister("exit")

    async def _open(self) -> None:
        self._server = Server(inline_sync=True)
        self._idl = Idl(desired.TABLES, known=load_schema())
        await self._server.open(None, load_schema())
        await self._idl.connect(self._server.connect_local())
        self.core.start()
        txn = self._idl.txn()
        txn.insert("Open_vSwitch", {})
        await txn.commit()

    def __enter__(self) -> Switch:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Give everything back; a second call does nothing."""
        if self._closed:
            return
        parts: list[Any] = [*self.core.bridges.values(), self.core]
        self._await(self._close())
        self._closed = True
        self._loop.work_when_idle(lambda: False)
        self._loop.close()
        self._registry.commands.clear()
        self._core = None
        for part in parts:  # they refer to each other: memory and descriptors go now, not when garbage is collected
            vars(part).clear()

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self.core.stop()
        await self._idl.close()
        await self._server.close()

    # -- running

    @property
    def core(self) -> Core:
        """The switch without the database, as the daemon has it. Raises ConfigError when it is closed."""
        if self._core is None:
            raise ConfigError("the switch is closed")
        return self._core

    @contextlib.contextmanager
    def _inside(self) -> Iterator[None]:
        """Stand on this switch's clock, and in no event loop of the caller's."""
        if self._closed:
            raise ConfigError("the switch is closed")
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            with clock_module.using(self.clock):
                yield
        finally:
            asyncio._set_running_loop(outer)

    def _forward(self) -> int:
        """Run the forwarder until nothing is left; returns how many rounds had work."""
        captures = self.host.captures()
        for port in captures:
            port.now_us = self.clock.wall_ms() * 1000
        rounds = self.core.datapath.step()
        for port in captures:
            port.flush()
        return rounds

    def _settle(self) -> None:
        """Run until nothing is left to do at this time."""
        with self._inside():
            self._loop.run_until_idle()

    def _await(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and all that follows from it; return its result."""
        try:
            with self._inside():
                task = self._loop.create_task(work)
                self._loop.run_until_idle()
        except ConfigError:
            work.close()
            raise
        if not task.done():
            task.cancel()
            raise InternalError(f"{work} waits for something that does not come")
        return task.result()

    def _call(self, work: Callable[[], T]) -> T:
        """Call a function on the switch's loop, and do all that follows from it; return its result."""

        async def call() -> T:
            return work()

        return self._await(call())

    def advance(self, seconds: float) -> None:
        """Let time pass: flows and addresses grow old, timers fire, in their order."""
        with self._inside():
            self._loop.run_until_idle()
            self._loop.advance(seconds)

    @property
    def now(self) -> float:
        """The time of this switch, in seconds since it was made."""
        return (self.clock.now_ns() - self.core.started_ns) / 1e9

    # -- bridges and ports

    def add_bridge(self, name: str, **columns: Any) -> EmbeddedBridge:
        """Add a bridge and return it; columns: of its Bridge row, such as fail_mode="secure".

        Raises ConfigError when there is one of that name, and for a column or value that the database does not take.
        """

        def fill(txn: Txn) -> None:
            self._no_such("Bridge", name)
            interface = txn.insert("Interface", {"name": name, "type": "internal"})
            port = txn.insert("Port", {"name": name, "interfaces": [interface]})
            bridge = txn.insert("Bridge", {"name": name, "ports": [port], **columns})
            txn.mutate(self._root, "bridges", "insert", [bridge])

        self._change(fill)
        if name not in self.core.bridges:
            reason = self.problems[-1] if self.problems else f"could not add bridge {name}"
            self.del_bridge(name)
            raise ConfigError(reason)
        self.host.devices[name].pipe.null = True
        return EmbeddedBridge(self, name)

    def del_bridge(self, name: str) -> None:
        """Delete a bridge with its ports. Raises ConfigError if there is none."""
        row = self._row("Bridge", name)
        self._change(lambda txn: txn.mutate(self._root, "bridges", "delete", [row]))

    def add_port(self, bridge: str, name: str, columns: dict[str, Any]) -> None:
        """Add a port to a bridge; see EmbeddedBridge.add_port."""
        of_port, of_interface = split_columns(columns)

        def fill(txn: Txn) -> None:
            self._no_such("Port", name)
            interface = txn.insert("Interface", {"name": name, **of_interface})
            port = txn.insert("Port", {"name": name, "interfaces": [interface], **of_port})
            txn.mutate(self._row("Bridge", bridge), "ports", "insert", [port])

        errors = self._change(fill)
        if name in errors:
            self.del_port(bridge, name)
            raise ConfigError(errors[name])

    def del_port(self, bridge: str, name: str) -> None:
        """Delete a port of a bridge. Raises ConfigError if there is none."""
        owner, row = self._row("Bridge", bridge), self._row("Port", name)
        if row.uuid not in owner.ports:
            raise ConfigError(f"{bridge} has no port {name}")
        self._change(lambda txn: txn.mutate(owner, "ports", "delete", [row]))

    def set_port(self, name: str, columns: dict[str, Any]) -> None:
        """Set columns of the Port and Interface rows of a port; see EmbeddedPort.set."""
        of_port, of_interface = split_columns(columns)
        port, interface = self._row("Port", name), self._row("Interface", name)

        def fill(txn: Txn) -> None:
            txn.update(port, **of_port)
            txn.update(interface, **of_interface)

        errors = self._change(fill)
        if name in errors:
            raise ConfigError(errors[name])

    def connect(self, one: EmbeddedBridge, other: EmbeddedBridge) -> tuple[EmbeddedPort, EmbeddedPort]:
        """Join two bridges by a pair of patch ports and return these: `patch-ONE-OTHER` and `patch-OTHER-ONE`."""
        number, ends = 1, [f"patch-{one.name}-{other.name}", f"patch-{other.name}-{one.name}"]
        names = list(ends)
        while len(set(names)) < 2 or any(self._idl.tables["Interface"].find(name=name) for name in names):
            number += 1
            names = [f"{ends[0]}.{number}", f"{ends[1]}.{number}" + ("b" if ends[0] == ends[1] else "")]

        def fill(txn: Txn) -> None:
            for bridge, name, peer in ((one.name, *names), (other.name, *names[::-1])):
                interface = txn.insert("Interface", {"name": name, "type": "patch", "options": {"peer": peer}})
                port = txn.insert("Port", {"name": name, "interfaces": [interface]})
                txn.mutate(self._row("Bridge", bridge), "ports", "insert", [port])

        self._change(fill)
        return EmbeddedPort(one, names[0]), EmbeddedPort(other, names[1])

    def port_statistics(self, bridge: str, name: str) -> dict[str, int]:
        """Return the counters of a port under the names of Interface.statistics."""
        running = self.core.bridges[bridge]
        port = running.ports_by_name.get(name)
        if port is None:
            raise ConfigError(f"{bridge} has no port {name}")
        self._await(running.fresh_counts())
        return statistics(self.core, running, port)

    # -- the database

    @property
    def _root(self) -> Row:
        return next(iter(self._idl.tables["Open_vSwitch"].rows.values()))

    def _row(self, table: str, name: str) -> Row:
        if table not in self._idl.tables:
            raise ConfigError(f"there is no table {table}; there are: {', '.join(self._idl.tables)}")
        if table == "Open_vSwitch":
            return self._root
        row = self._idl.tables[table].find(name=name)
        if row is None:
            raise ConfigError(f"there is no {table} {name}")
        return row

    def _no_such(self, table: str, name: str) -> None:
        if self._idl.tables[table].find(name=name) is not None:
            raise ConfigError(f"there is a {table} {name} already")

    def _change(self, fill: Callable[[Txn], None]) -> dict[str, str]:
        """Commit one transaction and make the switch like it says; return the errors of interfaces by name."""
        txn = self._idl.txn()
        try:
            fill(txn)
            txn.mutate(self._root, "next_cfg", "+=", 1)
            return self._await(self._commit(txn))
        except (InternalError, OvsdbError, TxnError) as error:  # what the database does not take is the caller's fault
            raise ConfigError(str(error)) from error

    async def _commit(self, txn: Txn) -> dict[str, str]:
        await txn.commit()
        return await self._apply()

    async def _apply(self) -> dict[str, str]:
        """Make the switch like the database says, as the daemon does."""
        wanted = desired.read(self._idl.tables)
        self.problems = wanted.problems
        errors = await reconfigure(self.core, wanted)
        await StatusWriter(self.core, self._idl).write(wanted, errors, wanted.next_cfg)
        self._idl.take_changes()
        return errors

    def set(self, table: str, name: str, **columns: Any) -> None:
        """Set columns of a row, found by name ("." in Open_vSwitch), as `ovs-vsctl set` does. Raises ConfigError."""
        row = self._row(table, name)
        self._change(lambda txn: txn.update(row, **columns))

    def get(self, table: str, name: str, column: str) -> Any:
        """Return a column of a row, with what the switch has written there. Raises ConfigError."""
        self._await(self._apply())
        try:
            return getattr(self._row(table, name), column)
        except AttributeError:
            raise ConfigError(f"{table} has no column {column}") from None

    def transact(self, *operations: dict[str, Any]) -> list[Any]:
        """Send operations (RFC 7047, as JSON values) as one transaction, apply it, and return the results.

        Raises ConfigError if the database refuses.
        """
        txn = self._idl.txn()
        for operation in operations:
            txn.raw(operation)
        try:
            results = self._await(txn.commit())
        except TxnError as error:
            raise ConfigError(str(error)) from error
        self._await(self._apply())
        return results

    def vsctl(self, *words: str) -> str:
        """Run a command line of `vsctl` (one string, or a word each), apply it, and return what it prints.

        Raises ConfigError with what it would write to standard error.
        """
        from vswitchd import embed_vsctl

        return embed_vsctl.run(self._ask, shlex.split(words[0]) if len(words) == 1 else list(words))

    def _ask(self, method: str, params: list[Any]) -> Any:
        return self._await(self._request(method, params))

    async def _request(self, method: str, params: list[Any]) -> Any:
        """Send a request to the database and apply what it changed; raises ReplyError."""
        session = self._idl.session
        if session is None:
            raise InternalError("the switch lost its database")
        try:
            result = await session.call(method, params)
        except jsonrpc.RpcError as error:
            raise ReplyError(error.error) from error
        if self._idl.changes:
            await self._apply()
        return result

    # -- looking at it

    def bridge(self, name: str) -> EmbeddedBridge:
        """Return a bridge by its name. Raises ConfigError if there is none."""
        if name not in self.core.bridges:
            raise ConfigError(f"there is no bridge {name}")
        return EmbeddedBridge(self, name)

    def dump_megaflows(self) -> list[str]:
        """Return the megaflows, each in the form of `dpctl/dump-flows` with port names, sorted."""
        names = {
            port.dp_port: port.name
            for bridge in self.core.bridges.values()
            for port in bridge.ports_by_name.values()
            if port.dp_port is not None
        }
        now_ns = self.clock.now_ns()
        with self._inside():
            rows = self.core.datapath.dump_flows()
        return sorted(dp_text.format_flow(row, now_ns, names=names) for row in rows)

    def drops(self) -> dict[str, int]:
        """Return how many packets were dropped, by reason (see `drops/show`); reasons that did not occur are absent."""
        return dict(self.core.datapath.stats()["drops"])

    def appctl(self, command: str, *args: str) -> str:
        """Run a management command, as `ovs-appctl` does, and return its text. Raises CommandError."""
        return str(self._await(self._registry.run(command, list(args))))

    def trace(self, bridge: EmbeddedBridge | str, flow: str, *args: str) -> str:
        """Explain what would happen to a packet (`ofproto/trace`); flow: as in flow texts. Raises CommandError."""
        name = bridge if isinstance(bridge, str) else bridge.name
        return self.appctl("ofproto/trace", name, flow, *args)

    def _connect_controller(self, bridge: Bridge) -> Controller:
        ours, theirs = stream.pair(f"{bridge.name}.memory")
        controller = Controller(self, theirs)

        def start() -> None:
            for work in (serve(bridge, ours), controller.pump()):
                task = self._loop.create_task(work)
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

        self._call(start)
        return controller


async def serve(bridge: Bridge, end: stream.Stream) -> None:
    """Serve an OpenFlow connection that is there already, with all asynchronous messages, until it ends."""
    channel = bridge.channel
    connection = Connection(channel, end, end.name, service=False)
    channel.connections.append(connection)
    try:
        await connection.run()
    finally:
        if connection in channel.connections:
            channel.connections.remove(connection)
        channel.wishes_changed()


@functools.cache
def load_schema() -> Schema:
    """Return the database's schema, read once for all switches of a process: that is half the time to make one."""
    return schema.load(SCHEMA)


def split_columns(columns: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the columns that are of the Port row, and those of the Interface row."""
    of_port = {name: value for name, value in columns.items() if name in PORT_COLUMNS}
    return of_port, {name: value for name, value in columns.items() if name not in PORT_COLUMNS}
