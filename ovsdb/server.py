"""The OVSDB server: sessions and methods of RFC 7047 section 4 with ovsdb-server's extensions (DB.01-DB.31).

`Server` owns databases and listeners; a `Client` is one JSON-RPC session with its monitors, locks and transactions.
METHODS is the dispatch table. Everything runs on the loop's thread; only fsync leaves it (`engine`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from ovsdb import schema, server_db
from ovsdb.atoms import UUID_RE, new_uuid
from ovsdb.engine import Engine, ServedDb, Transaction
from ovsdb.error import UNKNOWN_DATABASE, OvsdbError, syntax_error
from ovsdb.filedb import FileDb
from ovsdb.locks import LockTable, Notice, parse_name
from ovsdb.monitor import DIALECTS, Monitor, parse_requests
from ovsdb.store import Database
from vslib import jsonrpc, stream, vlog
from vslib.errors import ConfigError

log = vlog.get("ovsdb_server")

DEFAULT_PORT = 6640
PROBE_S = 5.0  # of TCP and TLS clients; unix sockets tell by themselves when the peer has gone
HIGH_WATER_BYTES = 1 << 20  # above this much unsent output a client's monitors gather instead of sending
MAX_OUTSTANDING = 128  # requests of one client in the queue; the next is not read before one is done


class Client:
    """One session."""

    def __init__(self, server: Server, end: stream.Stream, probe_s: float) -> None:
        self.server = server
        self.session = jsonrpc.Session(end, self._handle, probe_s=probe_s, on_close=self._closed)
        self.monitors: dict[str, tuple[ServedDb, Monitor]] = {}
        self.transactions: dict[str, Transaction] = {}
        self.change_aware = False
        self._gathering = False  # output is backed up, a task will flush
        self._queued = 0  # requests other than transactions that are in the engine's queue
        self._room = asyncio.Event()

    # --- session -------------------------------------------------------------------------------------------------

    def _handle(self, _session: jsonrpc.Session, message: jsonrpc.Message) -> Awaitable[None] | None:
        method = METHODS.get(message.method)
        if message.kind == jsonrpc.NOTIFY and message.method != "cancel":
            return None
        if method is None:
            raise jsonrpc.RpcError("unknown method")
        if method.queued:
            self._queued += 1
            self.server.engine.submit(lambda: self._answer_queued(method, message))
        else:
            self._answer(method, message)
        return None if self._has_room() else self._wait_for_room()

    def _answer_queued(self, method: Method, message: jsonrpc.Message) -> None:
        self._queued -= 1
        self._room.set()
        self._answer(method, message)

    def _answer(self, method: Method, message: jsonrpc.Message) -> None:
        if self.session.closed:
            return
        try:
            result = method.run(self, message)
        except OvsdbError as error:
            self.session.reply_error(message.id, error.to_json())
        except jsonrpc.RpcError as error:
            self.session.reply_error(message.id, error.error)
        except Exception as error:  # our bug costs one request, not the queue
            log.exception("%s: %s failed", self.session.name, message.method)
            self.session.reply_error(message.id, OvsdbError("internal error", str(error)).to_json())
        else:
            if result is not None:
                self.session.reply(message.id, result)

    def _has_room(self) -> bool:
        return len(self.transactions) + self._queued < MAX_OUTSTANDING

    async def _wait_for_room(self) -> None:
        while not self._has_room() and not self.session.closed:
            self._room.clear()
            await self._room.wait()

    def _closed(self, _session: jsonrpc.Session) -> None:
        for served, monitor in self.monitors.values():
            served.monitors.pop(monitor, None)
        for txn in self.transactions.values():
            self.server.engine.forget(txn)
        self._room.set()
        self.server.gone(self)

    # --- transactions --------------------------------------------------------------------------------------------

    def transact(self, message: jsonrpc.Message) -> None:
        """Queue a transaction; it answers by itself."""
        served = self.server.find(message.params, "transact")
        key = _key(message.id)

        def reply(results: list[Any] | None, error: dict[str, Any] | None) -> None:
            self.transactions.pop(key, None)
            self._room.set()
            if error is not None:
                self.session.reply_error(message.id, error)
            else:
                self.session.reply(message.id, results)

        txn = Transaction(served, message.params[1:], lambda name: self.server.locks.owns(self, name), reply)
        if key in self.transactions:
            raise syntax_error(message.id, "request id is in use by an unfinished transaction")
        self.transactions[key] = txn
        self.server.engine.submit(txn)

    def cancel(self, message: jsonrpc.Message) -> dict[str, Any] | None:
        """Cancel an unfinished transaction by its request id (RFC 7047 section 4.1.4)."""
        txn = self.transactions.get(_key(message.params[0])) if len(message.params) == 1 else None
        if txn is not None:
            self.server.engine.cancel(txn)
        return {} if message.kind == jsonrpc.REQUEST else None

    # --- monitors ------------------------------------------------------------------------------------------------

    def monitor(self, message: jsonrpc.Message) -> Any:
        """Start a monitor in the dialect that the method names; return its initial contents."""
        dialect = DIALECTS[message.method]
        params = message.params
        served = self.server.find(params, message.method)
        if len(params) != (4 if dialect.since else 3):
            raise syntax_error(params, "invalid parameters")
        key = _key(params[1])
        if key in self.monitors:
            raise syntax_error(params[1], "duplicate monitor ID")
        tables = parse_requests(served.db.schema, params[2], conditional=dialect.conditional)
        monitor = Monitor(served.db, params[1], dialect, tables)
        result = self._first_contents(served, monitor, params)
        self.monitors[key] = (served, monitor)
        served.monitors[monitor] = self
        return result

    def _first_contents(self, served: ServedDb, monitor: Monitor, params: list[Any]) -> Any:
        if not monitor.dialect.since:
            return monitor.initial()
        if not isinstance(params[3], str) or not UUID_RE.fullmatch(params[3]):
            raise syntax_error(params[3], "last transaction id must be a UUID")
        missed = served.since(params[3])
        if missed is None:
            return [False, served.last_id, monitor.initial()]
        return [True, served.last_id, monitor.compose(missed)]

    def monitor_cancel(self, message: jsonrpc.Message) -> dict[str, Any]:
        """End a monitor."""
        found = self.monitors.pop(_key(message.params[0]), None) if len(message.params) == 1 else None
        if found is None:
            raise jsonrpc.RpcError("unknown monitor")
        served, monitor = found
        served.monitors.pop(monitor, None)
        return {}

    def monitor_cond_change(self, message: jsonrpc.Message) -> dict[str, Any]:
        """Change a monitor's conditions, and its id if another is given; what moved in or out of view goes first."""
        params = message.params
        if len(params) != 3:
            raise syntax_error(params, "invalid parameters")
        old_key, new_key = _key(params[0]), _key(params[1])
        if old_key not in self.monitors:
            raise syntax_error(params[0], "unknown monitor session")
        if new_key != old_key and new_key in self.monitors:
            raise syntax_error(params[1], "duplicate monitor ID")
        served, monitor = self.monitors[old_key]
        if not monitor.dialect.conditional:
            raise syntax_error(params[0], "monitor session has no conditions to change")
        wanted = monitor.parse_conditions(params[2])
        self._send(served, monitor, monitor.flush())
        del self.monitors[old_key]
        monitor.ident = params[1]
        self.monitors[new_key] = (served, monitor)
        self._send(served, monitor, monitor.change_conditions(wanted))
        return {}

    def flush(self) -> None:
        """Send what the monitors have gathered, or wait until the client has read what it was sent before."""
        if self._gathering:
            return
        if self.session.queued_bytes > HIGH_WATER_BYTES:
            self._gathering = True
            self.session.spawn(self._flush_when_drained())
            return
        for served, monitor in self.monitors.values():
            self._send(served, monitor, monitor.flush())

    async def _flush_when_drained(self) -> None:
        try:
            await self.session.stream.drain()
        except ConnectionError:
            return  # the reading side will notice and end the session
        finally:
            self._gathering = False
        self.server.engine.submit(self.flush)

    def _send(self, served: ServedDb, monitor: Monitor, updates: dict[str, Any]) -> None:
        if updates:
            extra = [served.last_id] if monitor.dialect.since else []
            self.session.notify(monitor.dialect.notification, [monitor.ident, *extra, updates])

    # --- locks ---------------------------------------------------------------------------------------------------

    def lock(self, message: jsonrpc.Message) -> dict[str, Any]:
        """Ask for a lock (``lock``) or take it (``steal``)."""
        name = parse_name(message.params, message.method)
        owned, notices = self.server.locks.lock(self, name, steal=message.method == "steal")
        send_notices(notices)
        return {"locked": owned}

    def unlock(self, message: jsonrpc.Message) -> dict[str, Any]:
        """Give a lock back."""
        name = parse_name(message.params, "unlock")
        send_notices(self.server.locks.unlock(self, name))
        return {}

    # --- what the server is --------------------------------------------------------------------------------------

    def list_dbs(self, _message: jsonrpc.Message) -> list[str]:
        """Return the databases' names."""
        return sorted(self.server.databases)

    def get_schema(self, message: jsonrpc.Message) -> dict[str, Any]:
        """Return a database's schema."""
        return self.server.find(message.params, "get_schema").db.schema.to_json()

    def get_server_id(self, _message: jsonrpc.Message) -> str:
        """Return the UUID of this run of the server."""
        return self.server.ident

    def set_db_change_aware(self, message: jsonrpc.Message) -> dict[str, Any]:
        """Note that the client watches `_Server` and need not be disconnected when databases change."""
        if len(message.params) != 1 or not isinstance(message.params[0], bool):
            raise syntax_error(message.params, "set_db_change_aware: true or false parameter expected")
        self.change_aware = message.params[0]
        return {}


def _key(ident: Any) -> str:
    """Return a dict key for any JSON value."""
    return json.dumps(ident, sort_keys=True)


def send_notices(notices: list[Notice]) -> None:
    """Tell clients that they won or lost a lock."""
    for client, method, name in notices:
        client.session.notify(method, [name])


class Method:
    """One row of METHODS; ``queued`` ones take their turn behind transactions that are being written."""

    __slots__ = ("run", "queued")

    def __init__(self, run: Callable[[Client, jsonrpc.Message], Any], queued: bool = False) -> None:
        self.run = run
        self.queued = queued


METHODS: dict[str, Method] = {
    "list_dbs": Method(Client.list_dbs),
    "get_schema": Method(Client.get_schema),
    "get_server_id": Method(Client.get_server_id),
    "set_db_change_aware": Method(Client.set_db_change_aware),
    "transact": Method(Client.transact),
    "cancel": Method(Client.cancel),
    "monitor": Method(Client.monitor, queued=True),
    "monitor_cond": Method(Client.monitor, queued=True),
    "monitor_cond_since": Method(Client.monitor, queued=True),
    "monitor_cond_change": Method(Client.monitor_cond_change, queued=True),
    "monitor_cancel": Method(Client.monitor_cancel, queued=True),
    "lock": Method(Client.lock, queued=True),
    "steal": Method(Client.lock, queued=True),
    "unlock": Method(Client.unlock, queued=True),
}


class Server:
    """An OVSDB server inside this process.

    ``inline_sync``: call fsync on the loop's thread instead of a helper's; for embedding and virtual time, where every
    run must be the same.
    """

    def __init__(self, *, inline_sync: bool = False) -> None:
        self.ident = new_uuid()
        self.engine = Engine(inline_sync=inline_sync)
        self.locks = LockTable()
        self.clients: set[Client] = set()
        self.listeners: dict[str, stream.Listener] = {}
        self._server_db = ServedDb(server_db.create(), read_only=True)
        self.databases: dict[str, ServedDb] = {"_Server": self._server_db}
        self._add(self._server_db.db)

    async def open(self, path: str | None, schema_path: str | schema.Schema) -> Database:
        """Serve the database file ``path``, made if missing; None keeps it in memory only.

        ``schema_path``: file of its schema, or the schema itself, which databases may share.
        Raises ConfigError: bad schema, file locked by another process (names its pid), damaged or foreign file.
        """
        wanted = schema_path if isinstance(schema_path, schema.Schema) else schema.load(schema_path)
        if wanted.name in self.databases:
            raise ConfigError(f"database {wanted.name} is already open")
        file = FileDb(path, wanted) if path is not None else None
        db = file.db if file is not None else Database(wanted)
        self.databases[db.name] = ServedDb(db, file)
        self._add(db)
        return db

    def _add(self, db: Database) -> None:
        self._server_db.publish(server_db.add_row(self._server_db.db, db))

    async def listen(self, target: str, probe_s: float | None = None) -> stream.Listener:
        """Accept clients on ``punix:PATH``, ``ptcp:[PORT][:HOST]`` or ``pssl:...``; raises ConfigError.

        ``probe_s``: seconds of silence before a client is probed, 0 never; default 5 except on unix sockets.
        """
        if target in self.listeners:
            return self.listeners[target]
        default_s = 0.0 if target.startswith("punix:") else PROBE_S
        interval_s = default_s if probe_s is None else probe_s

        def accept(end: stream.Stream) -> None:
            self.serve(end, interval_s)

        listener = await stream.listen(target, DEFAULT_PORT, accept)
        self.listeners[target] = listener
        return listener

    async def unlisten(self, target: str) -> None:
        """Stop accepting on a target; its clients stay connected."""
        listener = self.listeners.pop(target, None)
        if listener is not None:
            await listener.close()

    def serve(self, end: stream.Stream, probe_s: float = 0.0) -> Client:
        """Serve one connected stream, whoever connected it; ``probe_s`` 0 means no inactivity probe."""
        client = Client(self, end, probe_s)
        self.clients.add(client)
        client.session.start()
        return client

    def connect_local(self) -> stream.MemoryStream:
        """Return the client's end of an in-memory connection that this server serves (DB.46)."""
        ours, theirs = stream.pair("ovsdb")
        self.serve(ours)
        return theirs

    def find(self, params: list[Any], method: str) -> ServedDb:
        """Return the database that a request's first parameter names; raises OvsdbError."""
        if not params or not isinstance(params[0], str):
            raise syntax_error(params, f"{method} request params must begin with <db-name>")
        served = self.databases.get(params[0])
        if served is None:
            words = f"{method} request specifies unknown database {params[0]}"
            raise OvsdbError(UNKNOWN_DATABASE, words, params)
        return served

    def gone(self, client: Client) -> None:
        """Forget a client whose session has ended."""
        self.clients.discard(client)
        send_notices(self.locks.drop(client))

    async def compact(self, name: str) -> None:
        """Compact the log of the database ``name`` now (DB.39); raises ConfigError if there is none, OSError."""
        served = self.databases.get(name)
        if served is None or served.file is None:
            raise ConfigError(f"no database file for {name}")
        file = served.file
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def work() -> None:  # in the queue's turn, so that nothing changes meanwhile
            try:
                file.compact()
                done.set_result(None)
            except OSError as error:
                done.set_exception(error)

        self.engine.submit(work)
        await done

    async def close(self) -> None:
        """Stop listening, finish what is queued, disconnect everybody, close the files."""
        for target in list(self.listeners):
            await self.unlisten(target)
        await self.engine.drain()
        for client in list(self.clients):
            client.session.close("server is going down")
        await self.engine.drain()
        for served in self.databases.values():
            if served.file is not None:
                served.file.close()
                served.file = None
