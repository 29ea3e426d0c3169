"""A database client that waits: read some columns, change rows, commit once. For programs of one command (TL.01).

What `ovsdb.idl` is for the daemon, without asyncio and without a schema: values keep the shape that they have on the
wire, a set or an atom as a list, a map as a dict. Everything here takes microseconds to import. A `Transaction` holds
one snapshot and the changes made to it; what the changes rest on is verified by ``wait`` operations when they are
committed, so that concurrent writers lose nothing (DB.13, DB.19; RFC 7047 section 5.2).
"""

from __future__ import annotations

from vslib.errors import InternalError, PeerError

TYPE_CHECKING = False  # importing typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from vslib.blocking import JsonConnection

    Datum = list[Any] | dict[Any, Any]
    Wanted = Mapping[str, Iterable[str]]

UNCHANGED, SUCCESS, TRY_AGAIN, ERROR = "unchanged", "success", "try again", "error"


class Uuid(str):
    """A UUID in canonical text, told from a string by its type."""

    __slots__ = ()


class UnknownColumns(Exception):
    """The server's schema lacks a table or column that was asked for."""


def decode(value: Any) -> Datum:
    """Return a wire ``<value>`` as a list or dict; raises PeerError if it is none."""
    if not isinstance(value, list):
        return [value]
    if len(value) == 2:
        tag, body = value
        if tag == "uuid":
            return [Uuid(body)]
        if tag == "set" and isinstance(body, list):
            return [Uuid(atom[1]) if isinstance(atom, list) else atom for atom in body]
        if tag == "map" and isinstance(body, list):
            return {_atom(key): _atom(atom) for key, atom in body}
    raise PeerError("the database server sent what is no value")


def _atom(value: Any) -> Any:
    return Uuid(value[1]) if isinstance(value, list) else value


class Row:
    """One row: what the server has (``old``, empty for a new row) and what the transaction made of it (``new``)."""

    __slots__ = ("deleted", "fixed", "inserted", "mutations", "new", "old", "table", "uuid", "verified")

    def __init__(self, table: str, uuid: Uuid, old: dict[str, Datum], *, inserted: bool = False) -> None:
        self.table, self.uuid, self.old, self.inserted = table, uuid, old, inserted
        self.new: dict[str, Datum] = {}
        self.mutations: dict[str, Mutation] = {}  # by column; others in ``new`` are sent as a whole
        self.verified: set[str] = set()
        self.fixed = False  # an inserted row whose UUID is final
        self.deleted = False

    def get(self, column: str) -> Datum:
        """Return a column's value as the transaction has it; an empty list if a new row has none."""
        found = self.new.get(column)
        return found if found is not None else self.old.get(column, [])

    def set(self, column: str) -> list[Any]:
        """Return a set's members, or an atom in a list."""
        found = self.get(column)
        return found if isinstance(found, list) else []

    def one(self, column: str, default: Any = "") -> Any:
        """Return the only member of a column, ``default`` without one."""
        found = self.get(column)
        return found[0] if found else default

    def map(self, column: str) -> dict[Any, Any]:
        """Return a map's pairs."""
        found = self.get(column)
        return found if isinstance(found, dict) else {}

    def verify(self, column: str) -> None:
        """Let the commit fail with TRY_AGAIN if somebody else has changed this column meanwhile."""
        if not self.inserted:
            self.verified.add(column)

    def write(self, column: str, value: Datum) -> None:
        """Replace a column's value."""
        self.mutations.pop(column, None)
        self.new[column] = value

    def insert(self, column: str, values: Datum) -> None:
        """Add members to a set, or pairs to a map where they replace those of the same key."""
        mutation = self._mutation(column)
        self.new[column] = _with(self.get(column), values)
        if mutation is not None:
            mutation.more = _with(mutation.more, values)

    def remove(self, column: str, values: list[Any]) -> None:
        """Take members out of a set, or pairs with these keys out of a map."""
        mutation = self._mutation(column)
        self.new[column] = _without(self.get(column), values)
        if mutation is None:
            return
        # What this transaction itself has inserted is taken back, so that nothing may be left to do.
        mutation.more = _without(mutation.more, values)
        mutation.gone = _with(mutation.gone, [atom for atom in values if atom in self.old.get(column, [])])
        if not mutation.gone and not mutation.more:
            del self.mutations[column], self.new[column]

    def _mutation(self, column: str) -> Mutation | None:
        """Return the mutation of a column; None for one that is sent as a whole."""
        if self.inserted or (column in self.new and column not in self.mutations):
            return None
        return self.mutations.setdefault(column, Mutation())


class Mutation:
    """A change of a set or map that leaves members alone that others may add or remove meanwhile."""

    __slots__ = ("gone", "more")

    def __init__(self) -> None:
        self.gone: Datum = []  # members, or keys of pairs, to remove before ``more`` is inserted
        self.more: Datum = []

    def steps(self) -> list[tuple[str, Datum]]:
        """Return the mutators and their values in the order in which they are to happen."""
        replaced = list(self.more) if isinstance(self.more, dict) else []
        gone = _with(self.gone, replaced)
        return [step for step in (("delete", gone), ("insert", self.more)) if step[1]]


def _with(old: Datum, more: Datum) -> Datum:
    if isinstance(more, dict):
        return {**old, **more} if isinstance(old, dict) else dict(more)
    return list(dict.fromkeys([*old, *more]))


def _without(old: Datum, gone: list[Any]) -> Datum:
    if isinstance(old, dict):
        return {key: value for key, value in old.items() if key not in gone}
    return [atom for atom in old if atom not in gone]


def same(one: Datum, other: Datum) -> bool:
    """Tell whether two values are equal, whatever the order of their members."""
    if isinstance(one, dict) or isinstance(other, dict):
        return one == other
    return len(one) == len(other) and (one == other or set(one) == set(other))


class Transaction:
    """A snapshot of some columns of some tables, the changes made to it, and how they are committed."""

    def __init__(self, database: str) -> None:
        self.database = database
        self.tables: dict[str, dict[str, Row]] = {}
        self.comments: list[str] = []
        self.dry_run = False
        self.increment: tuple[Row, str] | None = None  # a counter that goes up if anything changes
        self.incremented = 0  # its new value, after the commit
        self.error: dict[str, Any] = {}  # the server's, after a commit that ended in ERROR
        self._places: dict[str, int] = {}  # inserted row -> number of its operation
        self._counter_place = -1

    # -- the snapshot

    def fetch(self, connection: JsonConnection, wanted: Wanted) -> None:
        """Read the columns ``wanted`` (table -> names) of every row in one transaction.

        Raises UnknownColumns, PeerError, vslib.blocking.ReplyError or Disconnected.
        """
        names = list(wanted)
        ops = [
            {"op": "select", "table": name, "where": [], "columns": ["_uuid", *sorted(wanted[name])]} for name in names
        ]
        results = connection.request("transact", [self.database, *ops])
        for name, result in zip(names, results, strict=False):
            if not isinstance(result, dict) or "rows" not in result:
                raise UnknownColumns(name)
            rows = (dict(row) for row in result["rows"])
            found = [Row(name, Uuid(row.pop("_uuid")[1]), {c: decode(v) for c, v in row.items()}) for row in rows]
            self.tables[name] = {row.uuid: row for row in found}

    def rows(self, table: str) -> list[Row]:
        """Return the rows of a table that are not deleted, new ones last."""
        return [row for row in self.tables.get(table, {}).values() if not row.deleted]

    def row(self, table: str, uuid: str) -> Row | None:
        """Return one row, None if the snapshot has none of that UUID or it was deleted."""
        found = self.tables.get(table, {}).get(uuid)
        return None if found is None or found.deleted else found

    def refs(self, row: Row, column: str, table: str) -> list[Row]:
        """Return the rows of ``table`` that a column refers to, by UUID."""
        found = (self.row(table, uuid) for uuid in sorted(row.set(column)))
        return [each for each in found if each is not None]

    # -- changes

    def insert(self, table: str, uuid: Uuid | None = None, *, fixed: bool = False, **columns: Datum) -> Row:
        """Add a row; ``uuid`` is only its name within the transaction unless ``fixed``."""
        row = Row(table, uuid or fresh_uuid(), {}, inserted=True)
        row.new.update(columns)
        row.fixed = fixed
        self.tables.setdefault(table, {})[row.uuid] = row
        return row

    def delete(self, row: Row) -> None:
        """Delete a row. Only rows of root tables need it: others go with the last reference to them (DB.19)."""
        if row.inserted:
            del self.tables[row.table][row.uuid]
        row.deleted = True

    # -- committing

    def operations(self) -> list[dict[str, Any]]:
        """Return the operations of the changes made, none if there are no changes."""
        updates: list[dict[str, Any]] = []
        waits = [self._wait(row) for row in self._all() if row.verified and not row.deleted]
        for row in self._all():
            self._update(row, len(waits), updates)
        if not updates:
            return []
        ops = waits + updates
        if self.increment is not None:
            row, column = self.increment
            where = self._where(row)
            ops.append({"op": "mutate", "table": row.table, "where": where, "mutations": [[column, "+=", 1]]})
            self._counter_place = len(ops)
            ops.append({"op": "select", "table": row.table, "where": where, "columns": [column]})
        if self.comments:
            ops.append({"op": "comment", "comment": "\n".join(self.comments)})
        if self.dry_run:
            ops.append({"op": "abort"})
        return ops

    def _all(self) -> Iterable[Row]:
        for rows in self.tables.values():
            yield from rows.values()

    def _where(self, row: Row) -> list[Any]:
        return [["_uuid", "==", self._encode_atom(row.uuid)]]

    def _wait(self, row: Row) -> dict[str, Any]:
        columns = sorted(row.verified)
        values = {column: self.encode(row.old.get(column, [])) for column in columns}
        head = {"op": "wait", "timeout": 0, "table": row.table, "where": self._where(row)}
        return {**head, "columns": columns, "until": "==", "rows": [values]}

    def _update(self, row: Row, before: int, ops: list[dict[str, Any]]) -> None:
        """Append the operations of one row to ``ops``; ``before`` operations come in front of them all."""
        if row.inserted:
            values = {column: self.encode(value) for column, value in row.new.items()}
            name = {"uuid": row.uuid} if row.fixed else {"uuid-name": _symbol(row.uuid)}
            self._places[row.uuid] = before + len(ops)
            ops.append({"op": "insert", "table": row.table, "row": values, **name})
            return
        if row.deleted:
            ops.append({"op": "delete", "table": row.table, "where": self._where(row)})
            return
        values = {
            column: self.encode(value)
            for column, value in row.new.items()
            if column not in row.mutations and not same(value, row.old.get(column, []))
        }
        if values:
            ops.append({"op": "update", "table": row.table, "where": self._where(row), "row": values})
        if row.mutations:
            mutations = [
                [column, mutator, self.encode_set(value)]
                for column, mutation in row.mutations.items()
                for mutator, value in mutation.steps()
            ]
            ops.append({"op": "mutate", "table": row.table, "where": self._where(row), "mutations": mutations})

    def encode(self, value: Datum) -> Any:
        """Return a value for the wire; UUIDs of rows inserted here become named ones."""
        if isinstance(value, list) and len(value) == 1:
            return self._encode_atom(value[0])
        return self.encode_set(value)

    def encode_set(self, value: Datum) -> Any:
        """Return a value for the wire, a single member in a set too."""
        if isinstance(value, dict):
            return ["map", [[self._encode_atom(key), self._encode_atom(atom)] for key, atom in value.items()]]
        return ["set", [self._encode_atom(atom) for atom in value]]

    def _encode_atom(self, atom: Any) -> Any:
        if not isinstance(atom, Uuid):
            return atom
        for rows in self.tables.values():
            row = rows.get(atom)
            if row is not None and row.inserted and not row.fixed:
                return ["named-uuid", _symbol(atom)]
        return ["uuid", atom]

    def commit(self, connection: JsonConnection) -> str:
        """Commit; return UNCHANGED, SUCCESS, TRY_AGAIN or ERROR (then ``error`` is the server's).

        After SUCCESS inserted rows carry their final UUIDs and ``incremented`` the counter.
        Raises vslib.blocking.ReplyError or Disconnected.
        """
        ops = self.operations()
        if not ops:
            return UNCHANGED
        results = connection.request("transact", [self.database, *ops])
        status = self._judge(results)
        if status == SUCCESS and not self.dry_run:
            self._take(results)
        return status

    def _judge(self, results: list[Any]) -> str:
        failures = [each for each in results if isinstance(each, dict) and each.get("error")]
        if self.dry_run:
            failures = [each for each in failures if each["error"] != "aborted"]
        hard = [each for each in failures if each["error"] != "timed out"]
        if hard:
            self.error = hard[0]
            return ERROR
        return TRY_AGAIN if failures else SUCCESS

    def _take(self, results: list[Any]) -> None:
        for row in list(self._all()):
            if row.inserted and not row.fixed:
                row.uuid = Uuid(results[self._places[row.uuid]]["uuid"][1])
        if self.increment is not None and self._counter_place >= 0:
            rows = results[self._counter_place]["rows"]
            self.incremented = int(rows[0][self.increment[1]]) if rows else 0


def fresh_uuid() -> Uuid:
    """Return a random UUID (version 4), without the module ``uuid``, which takes 5 ms to import."""
    from os import urandom

    raw = bytearray(urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return Uuid("-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:])))


def _symbol(uuid: str) -> str:
    """Return the name that a new row has on the wire."""
    return "row" + uuid.replace("-", "_")


def watch(connection: JsonConnection, database: str, name: str, wanted: Wanted) -> dict[str, Any]:
    """Monitor columns (table -> names); return the initial contents, as RFC 7047 section 4.1.5 has them.

    From then on each change comes as a notification with ``name``. Raises UnknownColumns if the schema lacks one.
    """
    from vslib.blocking import ReplyError

    tables = {table: {"columns": sorted(columns)} for table, columns in wanted.items()}
    try:
        found = connection.request("monitor", [database, name, tables])
    except ReplyError as error:
        raise UnknownColumns(str(error)) from error
    if not isinstance(found, dict):
        raise InternalError("monitor: the server answered without an object")
    return found
