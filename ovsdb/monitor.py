"""Monitors: which rows and columns a client watches, and its update, update2 and update3 notifications.

A monitor keeps the changes it has not sent as one merged delta (first old row, last new row), so a slow reader costs at
most one copy of what it watches however much happens meanwhile (DB.21, DB.23-DB.25). The three dialects differ in one
function each, `ENCODERS`; everything here is free of sockets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ovsdb import condition
from ovsdb.atoms import diff
from ovsdb.error import OvsdbError, syntax_error
from ovsdb.schema import Column, Schema, members
from ovsdb.schema import Table as TableSchema
from ovsdb.store import Database, Delta, RowChange, RowData

INITIAL, INSERT, DELETE, MODIFY = 1, 2, 4, 8
SELECT_FLAGS = {"initial": INITIAL, "insert": INSERT, "delete": DELETE, "modify": MODIFY}
ALL_FLAGS = INITIAL | INSERT | DELETE | MODIFY


@dataclass(slots=True)
class TableMonitor:
    """What is watched of one table: (column, SELECT_FLAGS bits) pairs, and the condition (None: every row)."""

    schema: TableSchema
    columns: list[tuple[Column, int]]
    flags: int  # union over the columns; events outside it are never sent
    where: list[condition.Clause | condition.Constant] | None = None

    def matches(self, row: RowData | None) -> bool:
        """True if the row exists and is inside the condition."""
        return row is not None and (self.where is None or condition.any_holds(self.where, row))


# --- requests ------------------------------------------------------------------------------------------------------


def parse_requests(schema: Schema, value: Any, *, conditional: bool) -> dict[str, TableMonitor]:
    """Parse ``<monitor-requests>`` (RFC 7047 section 4.1.5; ``conditional`` allows ``where``). Raises OvsdbError."""
    if not isinstance(value, dict):
        raise syntax_error(value, "monitor-requests must be object")
    result = {}
    for name, requests in value.items():
        table = schema.tables.get(name)
        if table is None:
            raise OvsdbError("syntax error", f"no table named {name}")
        requests = requests if isinstance(requests, list) else [requests]
        result[name] = _parse_table(table, requests, conditional)
    return result


def _parse_table(table: TableSchema, requests: list[Any], conditional: bool) -> TableMonitor:
    columns: dict[str, tuple[Column, int]] = {}
    clauses: list[condition.Clause | condition.Constant] = []
    every_row = False
    union = 0
    optional: dict[str, Any] = {"columns": list, "select": dict}
    if conditional:
        optional["where"] = list
    for request in requests:
        members(request, f"table {table.name}", {}, optional)
        flags = _parse_select(table, request.get("select", {}))
        union |= flags
        for column in _monitored(table, request.get("columns")):
            if column.name in columns:
                raise syntax_error(request.get("columns"), f"column {column.name} mentioned more than once")
            columns[column.name] = (column, flags)
        every_row = every_row or "where" not in request
        clauses += condition.parse(table, request.get("where", []), None)
    return TableMonitor(table, list(columns.values()), union, _simplify(None if every_row else clauses))


def _simplify(where: list[condition.Clause | condition.Constant] | None) -> list[Any] | None:
    if where and any(isinstance(c, condition.Constant) and c.value for c in where):
        return None
    return where


def _parse_select(table: TableSchema, value: dict[str, Any]) -> int:
    members(value, f"table {table.name} select", {}, dict.fromkeys(SELECT_FLAGS, bool))
    flags = ALL_FLAGS
    for name, wanted in value.items():
        if not wanted:
            flags &= ~SELECT_FLAGS[name]
    return flags


def _monitored(table: TableSchema, names: Any) -> list[Column]:
    if names is None:
        return [c for c in table.columns.values() if c.name != "_uuid"]
    columns = []
    for name in names:
        column = table.columns.get(name) if isinstance(name, str) else None
        if column is None:
            raise syntax_error(names, f"{name} is not a valid column name")
        columns.append(column)
    return columns


# --- encoding ------------------------------------------------------------------------------------------------------


def _changed(table: TableMonitor, old: RowData, new: RowData) -> list[Column]:
    return [c for c, flags in table.columns if flags & MODIFY and old[c.name] != new[c.name]]


def _full(table: TableMonitor, row: RowData, event: int) -> dict[str, Any]:
    return {c.name: c.type.to_json(row[c.name]) for c, flags in table.columns if flags & event}


def _encode_update(table: TableMonitor, event: int, change: RowChange) -> dict[str, Any] | None:
    """RFC 7047 section 4.1.6: whole values, old and new."""
    old, new = change
    if event == DELETE and old is not None:
        return {"old": _full(table, old, DELETE)}
    if event == MODIFY and old is not None and new is not None:
        changed = _changed(table, old, new)
        before = {c.name: c.type.to_json(old[c.name]) for c in changed}
        return {"old": before, "new": _full(table, new, MODIFY)} if changed else None
    return {"new": _full(table, new, event)} if new is not None else None


_EVENT_NAMES = {INITIAL: "initial", INSERT: "insert"}


def _encode_update2(table: TableMonitor, event: int, change: RowChange) -> dict[str, Any] | None:
    """ovsdb-server(7), update2: defaults left out, changes as differences."""
    old, new = change
    if event == DELETE:
        return {"delete": None}
    if event == MODIFY and old is not None and new is not None:
        columns = _changed(table, old, new)
        body = {c.name: c.type.to_json(diff(c.type, old[c.name], new[c.name])) for c in columns}
        return {"modify": body} if body else None
    if new is None:
        return None
    columns = [c for c, flags in table.columns if flags & event and new[c.name] != c.default]
    return {_EVENT_NAMES[event]: {c.name: c.type.to_json(new[c.name]) for c in columns}}


@dataclass(frozen=True, slots=True)
class Dialect:
    """One row of DIALECTS: a monitor method, its notification, and how rows are written."""

    notification: str
    encode: Callable[[TableMonitor, int, RowChange], dict[str, Any] | None]
    conditional: bool
    since: bool = False  # carries transaction ids


DIALECTS: dict[str, Dialect] = {
    "monitor": Dialect("update", _encode_update, conditional=False),
    "monitor_cond": Dialect("update2", _encode_update2, conditional=True),
    "monitor_cond_since": Dialect("update3", _encode_update2, conditional=True, since=True),
}


# --- the monitor ---------------------------------------------------------------------------------------------------


class Monitor:
    """One monitor of one client."""

    def __init__(self, db: Database, ident: Any, dialect: Dialect, tables: dict[str, TableMonitor]) -> None:
        self.db = db
        self.ident = ident  # any JSON; echoed in each notification
        self.dialect = dialect
        self.tables = tables
        self._pending: Delta = {}

    def initial(self) -> dict[str, Any]:
        """Return the ``<table-updates>`` that show the present contents."""
        result: dict[str, Any] = {}
        for name, table in self.tables.items():
            if table.flags & INITIAL:
                present = self.db.tables[name].rows.items()
                rows: dict[str, RowChange] = {uuid: (None, row) for uuid, row in present if table.matches(row)}
                self._compose_table(result, name, rows, INITIAL)
        return result

    def add(self, delta: Delta) -> None:
        """Note a committed delta for the next `flush`."""
        for name, rows in delta.items():
            if name in self.tables:
                merge(self._pending.setdefault(name, {}), rows)

    def flush(self) -> dict[str, Any]:
        """Return the ``<table-updates>`` for everything added since the last flush, {} if nothing shows."""
        if not self._pending:
            return {}
        pending, self._pending = self._pending, {}
        return self.compose(pending)

    def compose(self, delta: Delta) -> dict[str, Any]:
        """Return the ``<table-updates>`` for a delta."""
        result: dict[str, Any] = {}
        for name, rows in delta.items():
            if name in self.tables:
                self._compose_table(result, name, rows, 0)
        return result

    def _compose_table(self, result: dict[str, Any], name: str, rows: dict[str, RowChange], initial: int) -> None:
        table = self.tables[name]
        updates = {}
        for uuid, (old, new) in rows.items():
            before, after = table.matches(old), table.matches(new)
            event = initial or (MODIFY if before and after else INSERT if after else DELETE if before else 0)
            if not event & table.flags:
                continue
            update = self.dialect.encode(table, event, (old, new))
            if update is not None:
                updates[uuid] = update
        if updates:
            result[name] = updates

    def parse_conditions(self, value: Any) -> dict[str, list[Any] | None]:
        """Parse the object of monitor_cond_change: table -> new condition. Raises OvsdbError."""
        if not isinstance(value, dict):
            raise syntax_error(value, "monitor-cond-change-requests must be object")
        result = {}
        for name, requests in value.items():
            table = self.tables.get(name)
            if table is None:
                raise OvsdbError("syntax error", f"no table named {name} in monitor session")
            if not isinstance(requests, list):
                raise OvsdbError("syntax error", f"table {name} no monitor-cond-change JSON array")
            clauses: list[Any] = []
            every_row = False
            for request in requests:
                members(request, f"monitor-cond-change of table {name}", {}, {"where": list})
                every_row = every_row or "where" not in request
                clauses += condition.parse(table.schema, request.get("where", []), None)
            result[name] = _simplify(None if every_row else clauses)
        return result

    def change_conditions(self, wanted: dict[str, list[Any] | None]) -> dict[str, Any]:
        """Put new conditions in place; return the ``<table-updates>`` of rows that came into or left the view.

        Everything pending must have been flushed.
        """
        result: dict[str, Any] = {}
        for name, where in wanted.items():
            table = self.tables[name]
            rows = self.db.tables[name].rows
            before = {u for u, row in rows.items() if table.matches(row)}
            table.where = where
            moved: dict[str, Any] = {}
            for uuid, row in rows.items():
                inside = table.matches(row)
                if inside and uuid not in before and table.flags & INSERT:
                    moved[uuid] = self.dialect.encode(table, INSERT, (None, row))
                elif not inside and uuid in before and table.flags & DELETE:
                    moved[uuid] = self.dialect.encode(table, DELETE, (row, None))
            if moved:
                result[name] = moved
        return result


def merge(into: dict[str, RowChange], rows: dict[str, RowChange]) -> None:
    """Add later changes of one table to earlier ones, so that each row has one (first old, last new) pair."""
    for uuid, (old, new) in rows.items():
        if uuid in into:
            old = into[uuid][0]
        if old is None and new is None:
            into.pop(uuid, None)
        else:
            into[uuid] = (old, new)


def merge_deltas(deltas: list[Delta]) -> Delta:
    """Return one delta equal to ``deltas`` applied one after the other."""
    result: Delta = {}
    for delta in deltas:
        for name, rows in delta.items():
            merge(result.setdefault(name, {}), rows)
    return result
