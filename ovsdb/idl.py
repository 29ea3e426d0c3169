"""The client side of OVSDB: a live replica of chosen tables, changes, transactions, a lock (DB.23-DB.26, DB.46).

Works on any stream: the in-memory one of `Server.connect_local` and a socket to a stock ovsdb-server are alike to it.
Over a target string it reconnects by itself and, where the server can, asks only for what it missed.

    idl = Idl({"Open_vSwitch": None, "Bridge": ["name", "ports"]})
    await idl.connect("unix:/run/openvswitch/db.sock")
    for bridge in idl.tables["Bridge"].rows.values():
        print(bridge.name, bridge.ports)
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid as uuidlib
from dataclasses import dataclass
from typing import Any

from ovsdb import schema as schemas
from ovsdb.atoms import UNLIMITED, ZERO_UUID, Datum, Type, apply_diff
from ovsdb.error import OvsdbError
from ovsdb.idl_row import NewRow, Replica, Row
from ovsdb.idl_txn import TryAgain, Txn, TxnError
from vslib import clock, jsonrpc, reconnect, stream, vlog
from vslib.errors import ConfigError, PeerError, SwitchError

__all__ = ["Change", "Idl", "NewRow", "Replica", "Row", "TryAgain", "Txn", "TxnError"]

log = vlog.get("ovsdb_idl")

DEFAULT_PORT = 6640
MONITOR_ID = "idl"
MIN_BACKOFF_S, MAX_BACKOFF_S = 1.0, 8.0  # as Open vSwitch's reconnect
INSERT, MODIFY, DELETE = "insert", "modify", "delete"


@dataclass(slots=True)
class Change:
    """What happened to a row since the changes were last taken; ``row`` of a deleted row has its last values."""

    table: str
    row: Row
    kind: str  # INSERT, MODIFY or DELETE
    columns: frozenset[str]  # that differ (MODIFY), that are monitored (others)

    @property
    def uuid(self) -> uuidlib.UUID:
        """The row's UUID."""
        return self.row.uuid


# (kind before, kind now) -> kind of both together; None: as if nothing had happened
_MERGED = {
    (INSERT, MODIFY): INSERT,
    (INSERT, DELETE): None,
    (MODIFY, MODIFY): MODIFY,
    (MODIFY, DELETE): DELETE,
    (DELETE, INSERT): MODIFY,
}


class Idl:
    """A replica of ``tables`` (name -> column names, None for all) of one database.

    ``known``: the schema that the server surely has, for embedding; None: ask the server.
    """

    def __init__(
        self, tables: dict[str, list[str] | None], db: str = "Open_vSwitch", known: schemas.Schema | None = None
    ) -> None:
        self.db = db
        self._known = known
        self.tables = {name: Replica(name, columns) for name, columns in tables.items()}
        self.schema: schemas.Schema | None = None
        self.seqno = 0  # grows with each change of contents, lock or connection
        self.in_flight = 0  # transactions that have been sent and not been answered
        self.lock_name: str | None = None
        self.has_lock = False
        self.session: jsonrpc.Session | None = None
        self._changes: dict[tuple[str, str], Change] = {}
        self._news = asyncio.Event()
        self._last_id = ZERO_UUID
        self._early: list[jsonrpc.Message] | None = None  # notifications that came before the first contents
        self._keeper: asyncio.Task[None] | None = None

    # --- connection ----------------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """True while the replica follows the server."""
        return self.session is not None and not self.session.closed and self._early is None

    async def connect(self, where: stream.Stream | str) -> None:
        """Connect and return when the contents are here.

        ``where``: an open stream, used once; or a target such as ``unix:PATH``, tried until it works and again whenever
        the connection is lost. Raises ConfigError (bad target, no such database), and for a stream what went wrong.
        """
        if isinstance(where, stream.Stream):
            await self._start(where)
            return
        stream.parse_target(where, DEFAULT_PORT)
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._keeper = asyncio.ensure_future(self._keep(where, ready))
        try:
            await asyncio.shield(ready)
        except asyncio.CancelledError:
            self._keeper.cancel()
            raise

    async def _keep(self, target: str, ready: asyncio.Future[None]) -> None:
        fsm = self._backoff(target)
        while True:
            fsm.connecting(clock.CLOCK.now_ms())
            try:
                await self._start(await stream.connect(target, DEFAULT_PORT))
            except ConfigError as error:
                if not ready.done():
                    ready.set_exception(error)
                    return
                fsm.connect_failed(clock.CLOCK.now_ms(), str(error))
            except (OSError, SwitchError) as error:
                fsm.connect_failed(clock.CLOCK.now_ms(), getattr(error, "strerror", None) or str(error))
            else:
                fsm.connected(clock.CLOCK.now_ms())
                if not ready.done():
                    ready.set_result(None)
                await self._until_lost(fsm)
            await clock.CLOCK.sleep(fsm.backoff_ms / 1000)

    def _backoff(self, target: str) -> reconnect.Reconnect:
        """Return what says when to try again, and logs it in the words that operators know."""
        fsm = reconnect.Reconnect(clock.CLOCK.now_ms(), target)
        fsm.min_backoff_ms, fsm.max_backoff_ms = int(1000 * MIN_BACKOFF_S), int(1000 * MAX_BACKOFF_S)
        fsm.enable(clock.CLOCK.now_ms())
        return fsm

    async def _until_lost(self, fsm: reconnect.Reconnect) -> None:
        assert self.session is not None
        await self.session.wait_closed()
        now_ms = clock.CLOCK.now_ms()
        fsm.activity(now_ms)
        fsm.disconnected(now_ms)

    async def _start(self, end: stream.Stream) -> None:
        self._early = []
        session = jsonrpc.Session(end, self._handle, on_close=self._closed, probe_s=0.0)
        self.session = session
        session.start()
        try:
            await self._follow(session)
        except BaseException:
            session.close("start of the replica failed")
            raise

    async def _follow(self, session: jsonrpc.Session) -> None:
        try:
            found = self._known or schemas.parse(await session.call("get_schema", [self.db]))
        except jsonrpc.RpcError as error:
            raise ConfigError(f"{session.name}: database {self.db}: {_text(error.error)}") from error
        except OvsdbError as error:
            raise PeerError(f"{session.name}: bad schema: {error}") from error
        self._bind(found)
        if self.lock_name is not None:
            await self._ask_lock(session)
        await self._monitor(session)
        early, self._early = self._early or [], None
        for message in early:
            self._handle(session, message)
        self._note()

    def _bind(self, found: schemas.Schema) -> None:
        if self.schema is not None and self.schema.to_json() != found.to_json():
            self._last_id = ZERO_UUID  # differences against another schema mean nothing
        self.schema = found
        for replica in self.tables.values():
            replica.bind(found.tables.get(replica.name))
            if replica.missing:
                log.info("table %s of the server has no columns %s", replica.name, ", ".join(sorted(replica.missing)))

    async def _monitor(self, session: jsonrpc.Session) -> None:
        """Start the best monitor the server has, and take the contents."""
        present = [r for r in self.tables.values() if r.schema is not None]
        requests = {r.name: [{"columns": list(r.columns)}] for r in present}
        params = [self.db, MONITOR_ID, requests]
        try:
            found, self._last_id, updates = await session.call("monitor_cond_since", [*params, self._last_id])
        except jsonrpc.RpcError as error:
            if error.error != "unknown method":
                raise
            found, self._last_id, updates = False, ZERO_UUID, await self._monitor_old(session, params)
        if not found:
            self._drop_absent(updates)
        self._apply(updates)

    async def _monitor_old(self, session: jsonrpc.Session, params: list[Any]) -> Any:
        try:
            return await session.call("monitor_cond", params)
        except jsonrpc.RpcError as error:
            if error.error != "unknown method":
                raise
            return await session.call("monitor", params)

    def _closed(self, _session: jsonrpc.Session) -> None:
        self.has_lock = False
        self._note()

    async def close(self) -> None:
        """Disconnect and stop reconnecting; the replica stays as it is."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        if self.session is not None:
            self.session.close()

    # --- contents ------------------------------------------------------------------------------------------------

    def _handle(self, session: jsonrpc.Session, message: jsonrpc.Message) -> None:
        if message.kind != jsonrpc.NOTIFY:
            raise jsonrpc.RpcError("unknown method")
        action = _NOTIFICATIONS.get(message.method)
        if action is None or session is not self.session:
            return
        if self._early is not None and message.method.startswith("update"):
            self._early.append(message)
        else:
            action(self, message.params)

    def _on_update(self, params: list[Any]) -> None:
        self._apply(params[1])

    def _on_update3(self, params: list[Any]) -> None:
        self._last_id = params[1]
        self._apply(params[2])

    def _apply(self, updates: dict[str, Any]) -> None:
        try:
            for name, rows in updates.items():
                replica = self.tables[name]
                for uuid, update in rows.items():
                    self._apply_row(replica, uuid, update)
        except (OvsdbError, LookupError, TypeError, AttributeError, StopIteration) as error:
            raise PeerError(f"server sent a bad update: {error!r}") from error
        if updates:
            self._note()

    def _apply_row(self, replica: Replica, uuid: str, update: dict[str, Any]) -> None:
        """Apply one ``<row-update>`` of any dialect."""
        if "modify" in update:
            row = replica.by_text[uuid]
            columns = replica.columns
            change = {n: _diff_type(columns[n]).parse(v) for n, v in update["modify"].items()}
            self._set(replica, uuid, {n: apply_diff(columns[n], row._data[n], d) for n, d in change.items()})
        elif "delete" in update or "new" not in update and "old" in update:
            self._remove(replica, uuid)
        else:
            body = next(update[kind] for kind in ("initial", "insert", "new") if kind in update)
            data = {n: replica.columns[n].parse(v) for n, v in body.items()}
            self._set(replica, uuid, {**replica.defaults, **data})

    def _set(self, replica: Replica, uuid: str, data: dict[str, Datum]) -> None:
        row = replica.by_text.get(uuid)
        if row is None:
            row = Row(replica, uuid, data)
            replica.by_text[uuid] = replica.rows[row.uuid] = row
            self._track(replica, row, INSERT, frozenset(data))
            return
        changed = frozenset(n for n, d in data.items() if row._data.get(n) != d)
        if changed:
            row._data = {**row._data, **data}
            row._values = {}
            self._track(replica, row, MODIFY, changed)

    def _remove(self, replica: Replica, uuid: str) -> None:
        row = replica.by_text.pop(uuid, None)
        if row is not None:
            del replica.rows[row.uuid]
            self._track(replica, row, DELETE, frozenset(row._data))

    def _drop_absent(self, updates: dict[str, Any]) -> None:
        """Remove replicated rows that the fresh contents do not have (after a reconnect)."""
        for replica in self.tables.values():
            present = updates.get(replica.name, {})
            for uuid in [u for u in replica.by_text if u not in present]:
                self._remove(replica, uuid)

    def _track(self, replica: Replica, row: Row, kind: str, columns: frozenset[str]) -> None:
        key = (replica.name, str(row.uuid))
        earlier = self._changes.pop(key, None)
        if earlier is not None:
            merged = _MERGED.get((earlier.kind, kind), kind)
            if merged is None:
                return
            kind, columns = merged, earlier.columns | columns
        self._changes[key] = Change(replica.name, row, kind, columns)

    @property
    def changes(self) -> list[Change]:
        """What has changed since `take_changes`, one entry per row."""
        return list(self._changes.values())

    def take_changes(self) -> list[Change]:
        """Return the changes and start to gather anew."""
        taken = self.changes
        self._changes = {}
        return taken

    def _note(self) -> None:
        self.seqno += 1
        self._news.set()

    async def wait_change(self) -> None:
        """Return when contents, lock or connection have changed since this last returned; for one consumer."""
        await self._news.wait()
        self._news.clear()

    def row(self, table: str, uuid: uuidlib.UUID | None) -> Row | None:
        """Return a row by UUID, None if it is not there."""
        return self.tables[table].rows.get(uuid) if uuid is not None else None

    # --- transactions and lock -----------------------------------------------------------------------------------

    def txn(self, comment: str | None = None) -> Txn:
        """Start a transaction; ``comment`` goes into the database's log."""
        return Txn(self, comment)

    async def transact(self, operations: list[dict[str, Any]]) -> list[Any]:
        """Send operations as one transaction and return the raw results.

        Raises TxnError if the request as a whole was refused, jsonrpc.SessionClosed without a connection.
        """
        if self.session is None:
            raise jsonrpc.SessionClosed("not connected")
        self.in_flight += 1
        try:
            results = await self.session.call("transact", [self.db, *operations])
        except jsonrpc.RpcError as error:
            raise TxnError(_text(error.error)) from error
        finally:
            self.in_flight -= 1
        if not isinstance(results, list):
            raise PeerError("server answered transact with something else than an array")
        return results

    async def lock(self, name: str) -> bool:
        """Ask for the lock ``name`` and keep asking over reconnects; return whether it is ours already.

        From now on every transaction asserts it. `has_lock` tells, `wait_change` returns when it changes.
        """
        self.lock_name = name
        if self.session is not None and not self.session.closed:
            await self._ask_lock(self.session)
        return self.has_lock

    async def _ask_lock(self, session: jsonrpc.Session) -> None:
        reply = await session.call("lock", [self.lock_name])
        self.has_lock = self.has_lock or bool(reply.get("locked"))
        self._note()

    async def unlock(self) -> None:
        """Give the lock back."""
        name, self.lock_name, self.has_lock = self.lock_name, None, False
        if name is not None and self.session is not None and not self.session.closed:
            await self.session.call("unlock", [name])

    def _on_locked(self, params: list[Any]) -> None:
        if params[:1] == [self.lock_name]:
            self.has_lock = True
            self._note()

    def _on_stolen(self, params: list[Any]) -> None:
        if params[:1] == [self.lock_name]:
            self.has_lock = False
            self._note()

    def _on_canceled(self, _params: list[Any]) -> None:
        if self.session is not None:
            self.session.close("the server canceled the monitor")  # reconnecting starts a new one


_NOTIFICATIONS = {
    "update": Idl._on_update,
    "update2": Idl._on_update,
    "update3": Idl._on_update3,
    "locked": Idl._on_locked,
    "stolen": Idl._on_stolen,
    "monitor_canceled": Idl._on_canceled,
}


def _diff_type(type_: Type) -> Type:
    return Type(type_.key, type_.value, 0, UNLIMITED) if type_.is_composite else type_


def _text(error: Any) -> str:
    if isinstance(error, dict):
        parts = [str(error[k]) for k in ("error", "details") if error.get(k)]
        return ": ".join(parts)
    return str(error)
