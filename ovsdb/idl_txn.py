"""Transactions of the client side: gather operations on rows, send them as one, turn failures into exceptions."""

from __future__ import annotations

import uuid as uuidlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ovsdb.atoms import UNLIMITED, Type
from ovsdb.error import TIMED_OUT
from ovsdb.idl_row import NewRow, Replica, Row, reference, same, to_json
from ovsdb.mutation import ARITHMETIC
from vslib.errors import InternalError, SwitchError

if TYPE_CHECKING:
    from ovsdb.idl import Idl


class TxnError(SwitchError):
    """The server refused a transaction; ``word`` is RFC 7047's error string, nothing has been changed."""

    def __init__(self, word: str, details: str = "", results: list[Any] | None = None) -> None:
        super().__init__(f"{word}: {details}" if details else word)
        self.word = word
        self.details = details
        self.results = results or []


class TryAgain(TxnError):
    """A verified column had changed meanwhile: look at the new contents and build the transaction anew."""


class Txn:
    """One transaction; made by `Idl.txn`, used once."""

    def __init__(self, idl: Idl, comment: str | None) -> None:
        self._idl = idl
        self._comment = comment
        self._verify: list[dict[str, Any]] = []
        self._ops: list[dict[str, Any]] = []
        self._new: list[NewRow] = []
        self._updates: dict[uuidlib.UUID, dict[str, Any]] = {}  # row -> its one update operation's columns

    def insert(self, table: str, values: dict[str, Any]) -> NewRow:
        """Insert a row; the result serves as a reference to it in this transaction."""
        replica = self._replica(table)
        name = f"row{len(self._new)}"
        op = {"op": "insert", "table": table, "uuid-name": name, "row": self._columns(replica, values)}
        row = NewRow(table, name, op)
        self._new.append(row)
        self._ops.append(op)
        return row

    def update(self, row: Row | NewRow, **columns: Any) -> None:
        """Set columns; those that have the value already are left out."""
        if isinstance(row, NewRow):
            row.op["row"].update(self._columns(self._replica(row.table), columns))
            return
        replica = self._replica(row.table)
        fresh = self._columns(replica, columns)
        earlier = self._updates.get(row.uuid, {})
        if not self._idl.in_flight and not self._touched(row):
            fresh = {n: v for n, v in fresh.items() if n in earlier or not self._has(replica, row, n, v)}
        if not fresh:
            return
        if row.uuid not in self._updates:
            self._updates[row.uuid] = {}
            op = {"op": "update", "table": row.table, "where": _is(row), "row": self._updates[row.uuid]}
            self._ops.append(op)
        self._updates[row.uuid].update(fresh)

    def mutate(self, row: Row | NewRow, column: str, mutator: str, value: Any) -> None:
        """Apply one mutation: ``+= -= *= /= %= insert delete``; ``delete`` of a map takes pairs or keys."""
        type_ = self._type(self._replica(row.table), column)
        if type_ is None:
            return
        if mutator in ARITHMETIC:
            json = to_json(Type(type_.key), value)
        elif type_.is_map and mutator == "delete" and not isinstance(value, dict):
            json = to_json(Type(type_.key, None, 0, UNLIMITED), value)
        else:
            json = to_json(replace(type_, n_min=0, n_max=UNLIMITED), value)
        mutations = [[column, mutator, json]]
        self._ops.append({"op": "mutate", "table": row.table, "where": _is(row), "mutations": mutations})

    def delete(self, row: Row | NewRow) -> None:
        """Delete a row. Needed for root tables only: elsewhere a row goes with the last reference to it."""
        self._ops.append({"op": "delete", "table": row.table, "where": _is(row)})

    def verify(self, row: Row, column: str) -> None:
        """Make the commit fail with TryAgain if the column has no longer the value that is seen here."""
        replica = self._replica(row.table)
        if self._type(replica, column) is None:
            return
        value = to_json(replica.columns[column], getattr(row, column))
        op = {"op": "wait", "timeout": 0, "table": row.table, "where": _is(row), "columns": [column]}
        self._verify.append({**op, "until": "==", "rows": [{column: value}]})

    def raw(self, op: dict[str, Any]) -> None:
        """Add an operation as JSON."""
        self._ops.append(op)

    async def commit(self) -> list[Any]:
        """Send; return the results of the operations after the verifications.

        When it returns, the replica shows the change. Raises TryAgain, TxnError, or jsonrpc.SessionClosed: then the
        outcome is unknown.
        """
        if not self._ops and not self._verify:
            return []
        head: list[dict[str, Any]] = []
        if self._idl.lock_name is not None:
            head.append({"op": "assert", "lock": self._idl.lock_name})
        head += self._verify
        tail = [{"op": "comment", "comment": self._comment}] if self._comment else []
        results = await self._idl.transact([*head, *self._ops, *tail])
        _check(results)
        results = results[len(head) : len(head) + len(self._ops)]
        for op, result in zip(self._ops, results, strict=True):
            for row in self._new:
                if row.op is op:
                    row.uuid = uuidlib.UUID(result["uuid"][1])
        return results

    def _replica(self, table: str) -> Replica:
        replica = self._idl.tables.get(table)
        if replica is None or replica.schema is None:
            raise InternalError(f"table {table} is not replicated here")
        return replica

    def _type(self, replica: Replica, column: str) -> Type | None:
        """Return a column's type, None if only this server's schema lacks it; raises InternalError."""
        assert replica.schema is not None
        found = replica.schema.columns.get(column)
        if found is None and column not in replica.missing:
            raise InternalError(f"table {replica.name} has no column {column}")
        return found.type if found is not None else None

    def _columns(self, replica: Replica, values: dict[str, Any]) -> dict[str, Any]:
        types = {name: self._type(replica, name) for name in values}
        return {name: to_json(type_, values[name]) for name, type_ in types.items() if type_ is not None}

    def _has(self, replica: Replica, row: Row, column: str, value: Any) -> bool:
        return column in row._data and same(replica.columns[column], row._data[column], value)

    def _touched(self, row: Row) -> bool:
        where = _is(row)
        return any(op["op"] in ("mutate", "delete") and op["where"] == where for op in self._ops if "where" in op)


def _is(row: Row | NewRow) -> list[Any]:
    return [["_uuid", "==", reference(row)]]


def _check(results: list[Any]) -> None:
    """Raise for the first error among the results of a transaction."""
    for result in results:
        if isinstance(result, dict) and result.get("error"):
            kind = TryAgain if result["error"] == TIMED_OUT else TxnError
            raise kind(result["error"], result.get("details", ""), results)
