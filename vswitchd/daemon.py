"""The daemon: one event loop that follows the database and keeps the switch like it.

    database --(IDL change)--> desired.read --> reconfigure --> status.write (cur_cfg last)

Thread rule: control thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

from datapath.ports import netdev
from ovsdb.idl import Idl
from ovsdb.server import Server
from vslib import clock as clock_module
from vslib import dirs, pidfile, unixctl, vlog
from vslib.errors import ConfigError, SwitchError
from vslib.version import CYVSWITCH_VERSION
from vswitchd import commands, desired
from vswitchd.core import Core
from vswitchd.devices import KINDS
from vswitchd.reconfigure import reconfigure
from vswitchd.status import STATUS_COLUMNS, StatusWriter

log = vlog.get("vswitchd")

LOCK = "ovs_vswitchd"
PROGRAM = "ovs-vswitchd"
STATUS_PERIOD_S = 5.0
SCHEMA = os.path.join(os.path.dirname(__file__), "vswitch.ovsschema")


class Daemon:
    """Everything that one `vswitchd` process runs; `run` returns when it is told to end."""

    def __init__(self, database: str | None, n_forwarders: int | None = None) -> None:
        self.database = database
        self.n_forwarders = n_forwarders
        self.clock = clock_module.CLOCK
        self.server: Server | None = None
        self.idl = Idl(desired.TABLES)
        self.registry = unixctl.Registry(PROGRAM)
        self.unixctl = unixctl.Server(PROGRAM, self.registry)
        self.core: Core
        self._leave: asyncio.Event
        self._cleanup = False
        self._pid: pidfile.PidFile | None = None
        self._errors: dict[str, str] = {}
        self._current = desired.Desired()
        self._poke: asyncio.Event

    def request_exit(self, cleanup: bool = False) -> None:
        """End `run` soon; with `cleanup` the devices that are ours are deleted."""
        self._cleanup = cleanup
        self._leave.set()

    async def run(self) -> None:
        """Run until SIGTERM, SIGINT or the exit command; raises ConfigError when it cannot start."""
        self._leave, self._poke = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.request_exit)
        os.makedirs(dirs.rundir(), exist_ok=True)
        self._pid = pidfile.create(pidfile.path_of(PROGRAM))
        try:
            await self._run_with_pidfile()
        finally:
            self._pid.remove()

    async def _run_with_pidfile(self) -> None:
        self.core = Core(self.n_forwarders)
        self.core.status_changed = self._poke.set
        self.core.start()
        try:
            await self._open_database()
            commands.register(self, self.registry)
            await self.unixctl.start()
            log.info("cyvswitch %s", CYVSWITCH_VERSION)
            await self._follow()
        finally:
            await self._close()

    async def _open_database(self) -> None:
        if self.database is not None:
            await self.idl.connect(self.database)
        else:
            self.server = Server()
            os.makedirs(dirs.dbdir(), exist_ok=True)
            await self.server.open(dirs.abs_file(dirs.dbdir(), "conf.db"), SCHEMA)
            await self.idl.connect(self.server.connect_local())
        await self.idl.lock(LOCK)
        if not self.idl.tables["Open_vSwitch"].rows:
            txn = self.idl.txn("create the root row")
            txn.insert("Open_vSwitch", {})
            await txn.commit()

    async def _follow(self) -> None:
        """Follow the database until told to end: saved configuration first, then the listener, then changes."""
        await self._apply()
        if self.server is not None:
            await self.server.listen("punix:" + os.path.join(dirs.rundir(), "db.sock"))
        link_watch = netdev.watch(asyncio.get_running_loop(), self._link_changed)
        leave = asyncio.ensure_future(self._leave.wait())
        self._status_timer = self.clock.call_later(STATUS_PERIOD_S, self._tick)
        try:
            while not self._leave.is_set():
                changed = asyncio.ensure_future(self.idl.wait_change())
                poked = asyncio.ensure_future(self._poke.wait())
                await asyncio.wait({changed, poked, leave}, return_when=asyncio.FIRST_COMPLETED)
                was_change = changed.done() and self._configuration_changed()
                for task in (changed, poked):
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task
                if self._leave.is_set():
                    break
                self._poke.clear()
                await (self._apply() if was_change or self._retry else self._write(None))
        finally:
            self._status_timer.cancel()
            link_watch.close()
            leave.cancel()

    _retry = False

    def _configuration_changed(self) -> bool:
        """Tell whether the database's news are more than our own status columns coming back."""
        return any(
            change.kind != "modify" or change.columns - STATUS_COLUMNS.get(change.table, frozenset())
            for change in self.idl.take_changes()
        )

    def _tick(self) -> None:
        self._status_timer = self.clock.call_later(STATUS_PERIOD_S, self._tick)
        self._poke.set()

    def _link_changed(self, name: str, link: netdev.Link | None) -> None:
        """Take a device's news: a running port changes; an appearing one that was missed is tried again (PT.26)."""
        for bridge in self.core.bridges.values():
            port = bridge.ports_by_name.get(name)
            if port is not None:
                bridge.link_changed(port, link if link is not None else port.link.gone())
                self._retry = self._retry or link is None
        if link is not None and name in self._errors:
            self._retry = True
        self._poke.set()

    async def _apply(self) -> None:
        """Make the switch like the database says and report back."""
        self._retry = False
        self._current = desired.read(self.idl.tables)
        self._errors = await reconfigure(self.core, self._current)
        await self._write(self._current.next_cfg)

    async def _write(self, cur_cfg: int | None) -> None:
        try:
            await StatusWriter(self.core, self.idl).write(self._current, self._errors, cur_cfg)
        except SwitchError as error:
            log.warn("could not write status to the database: %s", error)

    async def _close(self) -> None:
        await self.unixctl.close()
        owned = [p.name for b in self.core.bridges.values() for p in b.ports_by_name.values() if KINDS[p.kind].owned]
        await self.core.stop()
        if self._cleanup:
            for name in owned:
                netdev.delete_if_exists(name)
        await self.idl.close()
        if self.server is not None:
            await self.server.close()


__all__ = ["ConfigError", "Daemon"]
