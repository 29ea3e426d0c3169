"""The daemon: one event loop that follows the database and keeps the switch like it.

    database --(IDL change)--> desired.read --> reconfigure --> status.write (cur_cfg last)

Thread rule: control thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, NamedTuple

from ovsdb.idl import Idl
from ovsdb.server import Server
from vslib import clock as clock_module
from vslib import dirs, pidfile, unixctl, vlog
from vslib.errors import ConfigError, SwitchError
from vslib.version import CYVSWITCH_VERSION
from vswitchd import commands, database, desired, restore
from vswitchd.core import Core
from vswitchd.desired import Desired
from vswitchd.links import LinkFollower
from vswitchd.reconfigure import reconfigure
from vswitchd.status import STATUS_COLUMNS, StatusWriter

log = vlog.get("vswitchd")

LOCK = "ovs_vswitchd"
PROGRAM = "ovs-vswitchd"
STATUS_PERIOD_S = 5.0
NO_SOCKET = "none"


class Settings(NamedTuple):
    """What the command line says of one daemon; the defaults are those of the command without options.

    database: a target, None = the one of the run directory or our own; pidfile: one more, relative to the run
    directory; unixctl: where the control socket is, "none" = nowhere; ready: called once, when it serves.
    """

    database: str | None = None
    n_forwarders: int | None = None
    pidfile: str | None = None
    overwrite_pidfile: bool = False
    unixctl: str | None = None
    ready: Callable[[], None] = lambda: None


class Daemon:
    """Everything that one `vswitchd` process runs; `run` returns when it is told to end."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings if settings is not None else Settings()
        self.clock = clock_module.CLOCK
        self.server: Server | None = None
        self.idl = Idl(desired.TABLES)
        self.registry = unixctl.Registry(PROGRAM)
        self.unixctl = unixctl.Server(PROGRAM, self.registry)
        self.core: Core
        self.links: LinkFollower
        self.devices: restore.Devices
        self._leave: asyncio.Event
        self._cleanup = False
        self._errors: dict[str, str] = {}
        self._current = desired.Desired()
        self._poke: asyncio.Event
        self._retry = False
        self._failed = False  # the configuration could not be applied for a bug of ours
        self._restoring = True  # until the database says otherwise: no controllers, no packets (MG.10)
        self._is_ready = False

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
        loop.add_signal_handler(signal.SIGHUP, reopen_log)
        os.makedirs(dirs.rundir(), exist_ok=True)
        with contextlib.ExitStack() as held:
            for path in self._pid_paths():
                held.callback(pidfile.create(path, self.settings.overwrite_pidfile).remove)
            await self._run_with_pidfile()

    def _pid_paths(self) -> list[str]:
        paths = [pidfile.path_of(PROGRAM)]
        if self.settings.pidfile is not None:
            paths.append(dirs.abs_file(dirs.rundir(), self.settings.pidfile))
        return list(dict.fromkeys(map(os.path.realpath, paths)))

    async def _run_with_pidfile(self) -> None:
        self.core = Core(self.settings.n_forwarders)
        self.core.status_changed = self._poke.set
        self.links = LinkFollower(self.core, self._apply_again, self._poke.set)
        self.core.start()
        self.core.datapath.hold(True)
        self.devices = restore.Devices()
        restore.remove_stale_sockets()
        try:
            commands.register(self, self.registry)
            if self.settings.unixctl != NO_SOCKET:
                await self.unixctl.start(self.settings.unixctl)
            if await self._unless_leaving(self._open_database()):
                await self._follow()
        finally:
            await self._close()

    async def _unless_leaving(self, waiting: Coroutine[Any, Any, None]) -> bool:
        """Await something that may take for ever; returns False, with it cancelled, when the daemon is to end first."""
        task = asyncio.ensure_future(waiting)
        leave = asyncio.ensure_future(self._leave.wait())
        await asyncio.wait({task, leave}, return_when=asyncio.FIRST_COMPLETED)
        leave.cancel()
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            return False
        await task  # raises what it raised
        return True

    async def _open_database(self) -> None:
        """Return when the database is here and its lock is ours."""
        self.server = await database.open_database(self.idl, self.settings.database)
        await self.idl.lock(LOCK)
        await self._wait_for_lock()
        await database.make_root(self.idl)

    async def _wait_for_lock(self) -> None:
        told = False
        while not self.idl.has_lock:
            if self.idl.connected and not told:
                told = True
                log.err("%s", database.locked_out_text())
            await self.idl.wait_change()

    async def _follow(self) -> None:
        """Follow the database until told to end: saved configuration first, then the listener, then changes."""
        await self._apply()
        if self.server is not None:
            await self.server.listen("punix:" + os.path.join(dirs.rundir(), database.SOCKET))
        log.info("cyvswitch %s", CYVSWITCH_VERSION)
        self.settings.ready()
        self.links.start(asyncio.get_running_loop())
        leave = asyncio.ensure_future(self._leave.wait())
        self._status_timer = self.clock.call_later(STATUS_PERIOD_S, self._tick)
        try:
            while not self._leave.is_set():
                await self._turn(leave)
        finally:
            self._status_timer.cancel()
            self.links.close()
            leave.cancel()

    async def _turn(self, leave: asyncio.Future[Any]) -> None:
        """Wait for news and act on them."""
        changed = asyncio.ensure_future(self.idl.wait_change())
        poked = asyncio.ensure_future(self._poke.wait())
        await asyncio.wait({changed, poked, leave}, return_when=asyncio.FIRST_COMPLETED)
        was_change = changed.done() and self._configuration_changed()
        for task in (changed, poked):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._leave.is_set():
            return
        self._poke.clear()
        if self.idl.connected and not self.idl.has_lock:
            await self._give_way()
        elif was_change or self._retry:
            await self._apply()
        else:
            await self._write(None)

    async def _give_way(self) -> None:
        """Let go of everything while another daemon has the database's lock, then take it up again."""
        for name in list(self.core.bridges):
            await self.core.bridges.pop(name).close()
        if await self._unless_leaving(self._wait_for_lock()):
            self._retry = True
            self._poke.set()

    def _configuration_changed(self) -> bool:
        """Tell whether the database's news are more than our own status columns coming back."""
        return any(
            change.kind != "modify" or change.columns - STATUS_COLUMNS.get(change.table, frozenset())
            for change in self.idl.take_changes()
        )

    def _tick(self) -> None:
        self._status_timer = self.clock.call_later(STATUS_PERIOD_S, self._tick)
        self._retry = self._retry or self._failed
        self._poke.set()

    def _apply_again(self) -> None:
        self._retry = True
        self._poke.set()

    async def _apply(self) -> None:
        """Make the switch like the database says and report back."""
        self._retry = False
        self._current = self._restored(desired.read(self.idl.tables))
        wanted = restore.noted(self._current)
        self.devices.expect(wanted)
        try:
            self._errors = await reconfigure(self.core, self._current)
        except Exception:  # a bug: all else keeps working, and the operator can change what led to it
            log.exception("could not apply the configuration, trying again in %g s", STATUS_PERIOD_S)
            self._failed = True
            return
        self._failed = False
        self.core.datapath.hold(self._restoring)  # the first packet meets the flows of the fail mode
        self.devices.settle(wanted)
        self.links.applied(self._current)
        await self._write(self._current.next_cfg)

    def _restored(self, wanted: Desired) -> Desired:
        """Return what is wanted now: without controllers while flow-restore-wait holds the switch (MG.10).

        Once it does not, it never does again in this run, as in Open vSwitch.
        """
        if self._restoring and wanted.other_config.get("flow-restore-wait") == "true":
            bridges = {name: replace(bridge, controllers=()) for name, bridge in wanted.bridges.items()}
            return replace(wanted, bridges=bridges)
        self._restoring = False
        return wanted

    async def _write(self, cur_cfg: int | None) -> None:
        try:
            await StatusWriter(self.core, self.idl).write(self._current, self._errors, cur_cfg)
        except SwitchError as error:
            log.warn("could not write status to the database: %s", error)

    async def _close(self) -> None:
        await self.unixctl.close()
        await self.core.stop()
        if self._cleanup:
            self.devices.remove_all()
        await self.idl.close()
        if self.server is not None:
            await self.server.close()


def reopen_log() -> None:
    """Open the log file anew, if there is one (SIGHUP)."""
    try:
        vlog.reopen_log_file()
    except ConfigError as error:
        log.warn("%s", error)


__all__ = ["ConfigError", "Daemon", "Settings"]
