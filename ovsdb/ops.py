"""The operations of RFC 7047 section 5.2: one table row each (OPS), and the loop that runs a list of them.

`execute` is synchronous and does no I/O: it takes parsed JSON and returns parsed JSON plus the delta that was
committed. A `wait` that may still come true is reported as `Outcome.wait_ms` and leaves no trace; the server runs the
whole transaction again when something has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ovsdb import condition, mutation
from ovsdb.atoms import ID_RE, UUID_RE, Datum, SymbolTable, new_uuid
from ovsdb.error import (
    ABORTED,
    CONSTRAINT,
    DUPLICATE_NAME,
    NOT_ALLOWED,
    NOT_OWNER,
    SYNTAX,
    TIMED_OUT,
    UNKNOWN_COLUMN,
    OvsdbError,
    syntax_error,
)
from ovsdb.schema import Column, check_member, members
from ovsdb.schema import Table as TableSchema
from ovsdb.store import Database, Delta, RowData, Table, Txn

FOREVER_MS = (1 << 63) - 1  # the timeout of a wait that names none


@dataclass(slots=True)
class Outcome:
    """What a transaction did."""

    results: list[Any]  # one <result>, <error> or null per operation, plus one for a failed commit
    delta: Delta = field(default_factory=dict)  # empty if nothing changed or anything failed
    comment: str = ""
    wait_ms: int | None = None  # not None: nothing was done, try again until this many ms after the first attempt


@dataclass(slots=True)
class Context:
    """The state of one transaction while its operations run."""

    db: Database
    txn: Txn
    elapsed_ms: int
    owns_lock: Callable[[str], bool]
    symbols: SymbolTable = field(default_factory=SymbolTable)
    comments: list[str] = field(default_factory=list)


class WaitLonger(Exception):
    """A wait's condition does not hold yet and its timeout (ms from the first attempt) has not passed."""

    def __init__(self, timeout_ms: int) -> None:
        super().__init__(timeout_ms)
        self.timeout_ms = timeout_ms


# --- helpers -------------------------------------------------------------------------------------------------------


def _table(ctx: Context, op: dict[str, Any], what: str) -> Table:
    table = ctx.db.tables.get(op["table"])
    if table is None:
        raise syntax_error(op, f"Parsing {what} failed: No table named {op['table']}.")
    return table


def _parse_row(schema: TableSchema, value: Any, symbols: SymbolTable) -> RowData:
    row: RowData = {}
    for name, datum in value.items():
        column = schema.columns.get(name)
        if column is None:
            raise OvsdbError(UNKNOWN_COLUMN, f"No column {name} in table {schema.name}.", value)
        row[name] = column.type.parse(datum, symbols)
    return row


def parse_columns(schema: TableSchema, value: Any) -> list[Column]:
    """Parse an array of column names; None means all, `_uuid` and `_version` included. Raises OvsdbError."""
    if value is None:
        return list(schema.columns.values())
    if not isinstance(value, list):
        raise syntax_error(value, "array of distinct column names expected")
    columns: dict[str, Column] = {}
    for name in value:
        if not isinstance(name, str):
            raise syntax_error(value, "array of distinct column names expected")
        column = schema.columns.get(name)
        if column is None:
            raise syntax_error(value, f"{name} is not a valid column name")
        if name in columns:
            raise syntax_error(value, "array of distinct column names expected")
        columns[name] = column
    return list(columns.values())


def query(table: Table, where: condition.Condition) -> Iterator[RowData]:
    """Yield the rows for which every clause holds; equality on `_uuid` or on a unique column is a dict look-up."""
    for clause in where:
        if isinstance(clause, condition.Clause) and clause.function == "==":
            uuid = _look_up(table, clause)
            if uuid is not _NO_INDEX:
                row = table.rows.get(uuid) if uuid is not None else None
                if row is not None and condition.all_hold(where, row):
                    yield row
                return
    for row in table.rows.values():
        if condition.all_hold(where, row):
            yield row


_NO_INDEX: Any = object()


def _look_up(table: Table, clause: condition.Clause) -> Any:
    # Only `_uuid`: inside a transaction the unique indexes still show the state before it.
    return clause.arg[0] if clause.column == "_uuid" else _NO_INDEX


# --- the operations ------------------------------------------------------------------------------------------------


def _insert(ctx: Context, op: dict[str, Any], table: Table) -> dict[str, Any]:
    uuid = _insert_uuid(ctx, op)
    row = _parse_row(table.schema, op["row"], ctx.symbols)
    row.pop("_uuid", None)
    row.pop("_version", None)
    ctx.txn.insert(table.schema.name, uuid, row)
    return {"uuid": ["uuid", uuid]}


def _insert_uuid(ctx: Context, op: dict[str, Any]) -> str:
    uuid = op.get("uuid")
    if uuid is not None and not UUID_RE.fullmatch(uuid):
        raise syntax_error(uuid, "bad uuid")
    uuid = uuid.lower() if uuid else None
    name = op.get("uuid-name")
    if name is None:
        return uuid or new_uuid()
    if not ID_RE.fullmatch(name):
        raise syntax_error(op, f"\"{name}\" is not a valid id for member 'uuid-name'.")
    symbol = ctx.symbols.get(name)
    if symbol.created:
        words = 'This "uuid-name" appeared on an earlier "insert" operation.'
        raise OvsdbError(DUPLICATE_NAME, words, name)
    symbol.created = True
    if uuid is not None:
        symbol.uuid = uuid
    return symbol.uuid


def _select(ctx: Context, op: dict[str, Any], table: Table) -> dict[str, Any]:
    where = condition.parse(table.schema, op["where"], ctx.symbols)
    columns = parse_columns(table.schema, op.get("columns"))
    names = [c.name for c in columns]
    distinct = "_uuid" in names
    found = list(query(table, where))
    if not distinct:  # select returns a set of rows: equal projections appear once
        found = list({tuple(row[n] for n in names): row for row in found}.values())
    return {"rows": [{c.name: c.type.to_json(row[c.name]) for c in columns} for row in found]}


def _update(ctx: Context, op: dict[str, Any], table: Table) -> dict[str, Any]:
    where = condition.parse(table.schema, op["where"], ctx.symbols)
    row = _parse_row(table.schema, op["row"], ctx.symbols)
    for name in row:
        if not table.schema.columns[name].mutable:
            words = f"Cannot update immutable column {name} in table {table.schema.name}."
            raise OvsdbError(CONSTRAINT, words, op)
    found = [r["_uuid"][0] for r in query(table, where)]
    for uuid in found:
        ctx.txn.update(table.schema.name, uuid, row)
    return {"count": len(found)}


def _mutate(ctx: Context, op: dict[str, Any], table: Table) -> dict[str, Any]:
    where = condition.parse(table.schema, op["where"], ctx.symbols)
    steps = mutation.parse(table.schema, op["mutations"], ctx.symbols)
    found = list(query(table, where))
    for row in found:
        changed: dict[str, Datum] = {}
        for step in steps:
            name = step.column.name
            changed[name] = step.apply(changed.get(name, row[name]))
        ctx.txn.update(table.schema.name, row["_uuid"][0], changed)
    return {"count": len(found)}


def _delete(ctx: Context, op: dict[str, Any], table: Table) -> dict[str, Any]:
    where = condition.parse(table.schema, op["where"], ctx.symbols)
    found = [r["_uuid"][0] for r in query(table, where)]
    for uuid in found:
        ctx.txn.delete(table.schema.name, uuid)
    return {"count": len(found)}


def _wait(ctx: Context, op: dict[str, Any], table: Table) -> dict[str, Any]:
    timeout_ms = op.get("timeout", FOREVER_MS)
    if timeout_ms < 0:
        raise syntax_error(timeout_ms, "timeout must be nonnegative")
    if op["until"] not in ("==", "!="):
        raise syntax_error(op["until"], '"until" must be "==" or "!="')
    where = condition.parse(table.schema, op["where"], ctx.symbols)
    columns = parse_columns(table.schema, op.get("columns"))
    expected = set()
    for value in op["rows"]:
        if not isinstance(value, dict):
            raise syntax_error(value, "row must be JSON object")
        row = _parse_row(table.schema, value, ctx.symbols)
        expected.add(tuple(row.get(c.name, c.default) for c in columns))
    found = {tuple(row[c.name] for c in columns) for row in query(table, where)}
    if (found == expected) == (op["until"] == "=="):
        return {}
    if timeout_ms == 0:
        raise OvsdbError(TIMED_OUT, '"where" clause test failed')
    if ctx.elapsed_ms >= timeout_ms:
        raise OvsdbError(TIMED_OUT, f'"wait" timed out after {ctx.elapsed_ms} ms')
    raise WaitLonger(timeout_ms)


def _commit(_ctx: Context, _op: dict[str, Any], _table: Any) -> dict[str, Any]:
    return {}  # every commit that changes anything lasting is durable here, asked for or not


def _abort(_ctx: Context, _op: dict[str, Any], _table: Any) -> dict[str, Any]:
    raise OvsdbError(ABORTED, "aborted by request")


def _comment(ctx: Context, op: dict[str, Any], _table: Any) -> dict[str, Any]:
    ctx.comments.append(op["comment"])
    return {}


def _assert(ctx: Context, op: dict[str, Any], _table: Any) -> dict[str, Any]:
    name = op["lock"]
    if not ID_RE.fullmatch(name):
        raise syntax_error(op, f"\"{name}\" is not a valid id for member 'lock'.")
    if not ctx.owns_lock(name):
        raise OvsdbError(NOT_OWNER, f"Asserted lock {name} not held.")
    return {}


@dataclass(frozen=True, slots=True)
class Op:
    """One row of OPS: the members an operation has (name -> Python type), whether it writes, and what does it."""

    run: Callable[[Context, dict[str, Any], Any], dict[str, Any]]
    required: dict[str, Any]
    optional: dict[str, Any] = field(default_factory=dict)
    writes: bool = False


_ROWS = {"table": str, "where": list}

OPS: dict[str, Op] = {
    "insert": Op(_insert, {"table": str, "row": dict}, {"uuid-name": str, "uuid": str}, writes=True),
    "select": Op(_select, _ROWS, {"columns": list}),
    "update": Op(_update, {**_ROWS, "row": dict}, writes=True),
    "mutate": Op(_mutate, {**_ROWS, "mutations": list}, writes=True),
    "delete": Op(_delete, _ROWS, writes=True),
    "wait": Op(_wait, {**_ROWS, "until": str, "rows": list}, {"columns": list, "timeout": int}),
    "commit": Op(_commit, {"durable": bool}),
    "abort": Op(_abort, {}),
    "comment": Op(_comment, {"comment": str}),
    "assert": Op(_assert, {"lock": str}),
}


def execute(
    db: Database,
    operations: list[Any],
    *,
    elapsed_ms: int = 0,
    owns_lock: Callable[[str], bool] = lambda _name: False,
    read_only: bool = False,
) -> Outcome:
    """Run one transaction (RFC 7047 section 4.1.3).

    ``elapsed_ms`` is the age of the request (for `wait`), ``owns_lock`` tells whether the client holds a lock (for
    `assert`), ``read_only`` refuses writes (`_Server`). Never raises OvsdbError: faults are in the results.
    """
    ctx = Context(db, db.txn(), elapsed_ms, owns_lock)
    results: list[Any] = []
    try:
        for number, op in enumerate(operations):
            results.append(_run(ctx, op, f"ovsdb operation {number + 1} of {len(operations)}", read_only))
        delta = ctx.txn.commit()
    except WaitLonger as wait:
        ctx.txn.abort()
        return Outcome([], wait_ms=wait.timeout_ms)
    except OvsdbError as error:
        ctx.txn.abort()
        results.append(error.to_json())
        results += [None] * (len(operations) - len(results))
        return Outcome(results)
    except BaseException:
        ctx.txn.abort()  # our own bug: the database must not keep half of it
        raise
    return Outcome(results, delta, "\n".join(ctx.comments))


def _run(ctx: Context, value: Any, what: str, read_only: bool) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise OvsdbError(SYNTAX, f"Parsing {what} failed: Object expected.")
    if "op" not in value:
        raise syntax_error(value, f"Parsing {what} failed: Required 'op' member is missing.")
    check_member(value, what, "op", str)
    op = OPS.get(value["op"])
    if op is None:
        raise syntax_error(value, f'Parsing {what} failed: No operation "{value["op"]}"')
    if read_only and op.writes:
        words = f"{value['op']} operation not allowed on table in reserved database {ctx.db.name}"
        raise OvsdbError(NOT_ALLOWED, words)
    members(value, what, {"op": str, **op.required}, op.optional)
    table = _table(ctx, value, what) if "table" in op.required else None
    return op.run(ctx, value, table)
