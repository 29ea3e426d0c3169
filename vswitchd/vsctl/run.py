"""One run: connect, fetch what the commands need, run them, commit, wait for the switch.

A commit that somebody else's came in between of is tried again on a new snapshot, so nothing is lost (DB.13).
"""

from __future__ import annotations

import os
import sys

from ovsdb import blocking as db
from vslib.blocking import Disconnected, JsonConnection, ReplyError, TlsKeys, connect
from vslib.errors import ConfigError
from vswitchd.vsctl import output, table
from vswitchd.vsctl.context import Context, TryAgain

TYPE_CHECKING = False  # importing typing costs 8 ms
if TYPE_CHECKING:
    from typing import Any

    from vswitchd.vsctl.log import Log
    from vswitchd.vsctl.options import Options
    from vswitchd.vsctl.schema import Schema

DATABASE = "Open_vSwitch"
SILENT = ("comment", "br-exists", "wait-until")  # commands that change nothing and print nothing
MAX_CONFLICT_MS = 50
RETRY_S = (1, 1, 2, 4, 8)  # pauses between attempts to connect


class Run:
    """The state of one run."""

    def __init__(self, program: str, options: Options, calls: list[table.Call], log: Log) -> None:
        self.program, self.options, self.calls, self.log = program, options, calls, log
        self.comment = ""
        self._schema: Schema | None = None
        self._server: dict[str, Any] | None = None  # the server's tables, once we had to ask
        self._connection: JsonConnection | None = None
        self._watching = False

    # -- connection

    def connection(self, *, patient: bool = False) -> JsonConnection:
        """Return the connection, made if there is none; ``patient`` tries again. Raises ConfigError."""
        attempt = 0
        while self._connection is None:
            try:
                self._connection = JsonConnection(self._connect())
            except OSError as error:
                if not patient and not self.options.retry:
                    raise ConfigError(self.failure(error.strerror or str(error))) from error
                self._pause(RETRY_S[min(attempt, len(RETRY_S) - 1)])
                attempt += 1
        return self._connection

    def failure(self, reason: str) -> str:
        """Return the text about a connection that failed."""
        return f"{self.options.db}: database connection failed ({reason})"

    def _connect(self) -> Any:
        keys = self.options.keys
        tls = TlsKeys(keys.get("private-key", ""), keys.get("certificate", ""), keys.get("ca-cert", ""))
        return connect(self.options.db, 6640, None, tls)

    def _pause(self, seconds: float) -> None:
        import select

        select.select([], [], [], seconds)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self._watching = None, False

    # -- what is needed

    def schema(self) -> Schema:
        """Return the schema, loaded on first use."""
        if self._schema is None:
            from vswitchd.vsctl.schema import Schema

            self._schema = Schema()
            if self._server is not None:
                self._schema.restrict({"tables": self._server})
        return self._schema

    def wanted(self) -> dict[str, set[str]]:
        """Return the columns that all commands need, by table; raises ConfigError for arguments that are wrong."""
        wanted: dict[str, set[str]] = {"Open_vSwitch": set()}
        for call in self.calls:
            for name, column in self._needs(call):
                columns = wanted.setdefault(name, set())
                if column:
                    columns.add(column)
        if self._server is None:
            return wanted
        known = self._server
        return {name: {c for c in wanted[name] if c in known[name]["columns"]} for name in wanted if name in known}

    def _needs(self, call: table.Call) -> list[tuple[str, str]]:
        text = call.row.needs
        if text.startswith(":"):
            from vswitchd.vsctl import database

            found: list[tuple[str, str]] = getattr(database, text[1:])(self.schema(), call)
            return found
        words = text.replace("*", table.NAMES).split()
        needs = [(name, column) for name, _, column in (word.partition(".") for word in words)]
        if call.row.name in ("add-port", "add-bond"):
            needs += self._settings(call)
        return needs

    def _settings(self, call: table.Call) -> list[tuple[str, str]]:
        """Check the names of columns that add-port and add-bond set, before anything is done."""
        words = [word for word in call.args[2:] if "=" in word or call.row.name == "add-port"]
        if not words:
            return []
        from vswitchd.vsctl import database

        port = self.schema().table("Port")
        return [("Port", database.Setting(port, word, database.EQUALS).column.name) for word in words]

    def _learn_schema(self) -> None:
        """Find out what the server's schema lacks; raises ConfigError if that is not the reason."""
        if self._server is not None:
            raise ConfigError(f"{self.options.db}: the server's schema does not have what it says")
        answer = self.connection().request("get_schema", [DATABASE])
        self._server = answer["tables"]
        self._schema = None

    # -- running

    def run(self) -> None:
        """Run all commands and print what they say; raises ConfigError, context.Exit."""
        retried, conflicts = False, 0
        while True:
            try:
                txn = self._attempt()
                status = txn.commit(self.connection())
            except db.UnknownColumns:
                self._learn_schema()
                continue
            except TryAgain:
                self._wait_for_change()
                continue
            if status == db.TRY_AGAIN:
                conflicts += 1
                self._pause(min(conflicts, MAX_CONFLICT_MS) / 1000)  # gives the others time to be done
                continue
            if status != db.ERROR:
                break
            # A name that somebody else took meanwhile: the commands say so better than the server.
            if txn.error.get("error") != "constraint violation" or retried:
                self._fail(txn)
            retried = True
        self._print()
        if self.options.wait and status == db.SUCCESS and not self.options.dry_run:
            sys.stdout.flush()
            self._wait_for_switch(txn)

    def _fail(self, txn: db.Transaction) -> None:
        text = f"transaction error: {output.json_text(txn.error)}"
        self.log.warn("ovsdb_idl", text)
        raise ConfigError(text)

    def _attempt(self) -> db.Transaction:
        """Run the commands on a new snapshot and return the transaction, not yet committed."""
        txn = db.Transaction(DATABASE)
        txn.dry_run = self.options.dry_run
        txn.comments.append(self.comment)
        txn.fetch(self.connection(), self.wanted())
        rows = txn.rows("Open_vSwitch")
        ovs = rows[0] if rows else txn.insert("Open_vSwitch")
        if self.options.wait:
            txn.increment = (ovs, "next_cfg")
        ctx = Context(txn, self.schema, self.log.warn, ovs)
        for call in self.calls:
            call.reset()
            module, _, function = call.row.code.partition(".")
            getattr(_module(module), function)(ctx, call)
        ctx.check_symbols()
        self._new_ifaces = ctx.new_ifaces
        return txn

    def _wait_for_change(self) -> None:
        """Wait until something that the commands look at has changed, or may have before we watched."""
        connection = self.connection()
        if not self._watching:
            self._watching = True
            db.watch(connection, DATABASE, "needs", self.wanted())
            return
        connection.notification()
        connection.notifications.clear()

    # -- printing

    def _print(self) -> None:
        style = self.options.style
        for call in self.calls:
            if call.listing is not None:
                output.write(output.render(call.listing, style))
            elif style.format == "json":
                output.write(_as_json(call, style.pretty))
            else:
                text = "".join(call.output) + (f"{call.made.uuid}\n" if call.made is not None else "")
                output.write(output.oneline(text) if self.options.oneline else text)

    # -- waiting for the switch

    def _wait_for_switch(self, txn: db.Transaction) -> None:
        """Wait until the switch has put a change into force, then tell of new interfaces that failed (DB.42, DB.43)."""
        while True:
            try:
                self._wait_for_number(txn.incremented)
                self._report(self._new_ifaces)
                return
            except Disconnected:
                self.close()
                self.connection(patient=True)

    def _wait_for_number(self, number: int) -> None:
        connection = self.connection(patient=True)
        tables = db.watch(connection, DATABASE, "switch", {"Open_vSwitch": ["cur_cfg"]})
        while _current(tables) < number:
            method, params = connection.notification()
            tables = params[1] if method == "update" and params[0] == "switch" else {}

    def _report(self, ifaces: list[db.Row]) -> None:
        ops = [
            {
                "op": "select",
                "table": "Interface",
                "where": [["_uuid", "==", ["uuid", row.uuid]]],
                "columns": ["name", "ofport", "error"],
            }
            for row in ifaces
        ]
        results = self.connection().request("transact", [DATABASE, *ops]) if ops else []
        failed = [row for result in results for row in result["rows"] if row["ofport"] == -1]
        for row in failed:
            error = f": {row['error']}" if isinstance(row["error"], str) else ""
            text = f"Error detected while setting up '{row['name']}'{error}.  See ovs-vswitchd log for details."
            output.complain(f"{self.program}: {text}")
        if failed:
            from vslib.dirs import logdir

            output.complain(f'{self.program}: The default log directory is "{logdir()}".')


def _current(tables: dict[str, Any]) -> int:
    """Return the highest cur_cfg in updates of a monitor."""
    rows = (each.get("new") or {} for each in tables.get("Open_vSwitch", {}).values())
    return max((row.get("cur_cfg", -1) for row in rows), default=-1)


def _module(name: str) -> Any:
    full = f"vswitchd.vsctl.{name}"
    __import__(full)
    return sys.modules[full]


def _as_json(call: table.Call, pretty: bool) -> str:
    """Return what a command printed as JSON: its own data, else a list of its lines; nothing for no output."""
    if call.made is not None:
        value: Any = [{"_uuid": ["uuid", str(call.made.uuid)]}]
    elif call.data is not None:
        value = call.data
    elif call.row.writes or call.row.name in SILENT:
        return ""
    else:
        value = "".join(call.output).split("\n")[:-1]
    return output.json_text(value, pretty) + "\n"


def start(program: str, options: Options, log: Log, words: list[str]) -> None:
    """Run a command line; raises ConfigError, context.Exit, vslib.errors.PeerError."""
    from vswitchd.vsctl.log import command_line

    calls = table.split(options.words, options.first)
    for word in words:
        if not _is_utf8(word):
            raise ConfigError(f"constraint violation: not a valid UTF-8 string: {word}")
    log.called(words, writes=any(call.row.writes for call in calls))
    seconds = options.timeout_s or _default_timeout()
    if seconds:
        from vslib.blocking import end_after

        end_after(seconds, program)
    run = Run(program, options, calls, log)
    run.comment = command_line(program, words)
    try:
        run.run()
    except Disconnected as error:
        raise ConfigError(run.failure(error.reason)) from error
    except ReplyError as error:
        raise ConfigError(f"{options.db}: {error}") from error
    finally:
        run.close()


def _is_utf8(word: str) -> bool:
    return word.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in word)


def _default_timeout() -> int:
    text = os.environ.get("OVS_CTL_TIMEOUT", "")
    return int(text) if text.isascii() and text.isdigit() else 0
