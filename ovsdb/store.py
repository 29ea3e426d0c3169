"""The rows of one database, in memory, and the transactions that change them (RFC 7047 sections 3.2 and 4.1.3).

A row is a plain dict of datums and is never changed once it is in a table: a transaction puts a changed copy in its
place and remembers the old one, so undo is putting it back and nobody needs a lock (everything runs on the control
thread, between two awaits). `Txn.commit` checks the whole change in the order that ovsdb-server uses:

    drop no-op changes -> count strong references -> collect garbage -> reference counts -> weak references
    -> maxRows -> unique indexes

and only then touches the derived tables: reference counts, weak back references and indexes. The cost of a
commit follows the size of the change, not of the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ovsdb.atoms import Datum, new_uuid
from ovsdb.error import CONSTRAINT, DUPLICATE_UUID, REFERENTIAL, OvsdbError
from ovsdb.schema import Column, Schema
from ovsdb.schema import Table as TableSchema

RowData = dict[str, Datum]
RowChange = tuple[RowData | None, RowData | None]  # old, new; None where the row does not exist
Delta = dict[str, dict[str, RowChange]]  # table -> row uuid -> change
Place = tuple[str, str]  # table, row uuid


class Table:
    """The rows of one table and what is derived from them."""

    __slots__ = ("schema", "rows", "refs", "weak_sources", "indexes")

    def __init__(self, schema: TableSchema) -> None:
        self.schema = schema
        self.rows: dict[str, RowData] = {}
        self.refs: dict[str, int] = {}  # row -> strong references from other rows; absent is 0
        self.weak_sources: dict[str, set[Place]] = {}  # row -> rows that refer to it weakly
        self.indexes: list[dict[tuple[Datum, ...], str]] = [{} for _ in schema.indexes]

    def key(self, number: int, row: RowData) -> tuple[Datum, ...]:
        """Return the row's key in index ``number``."""
        return tuple(row[name] for name in self.schema.indexes[number])


class Database:
    """One database: its schema and its tables."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.tables = {name: Table(table) for name, table in schema.tables.items()}

    @property
    def name(self) -> str:
        """The database's name."""
        return self.schema.name

    def txn(self) -> Txn:
        """Start a transaction; the caller ends it with commit or abort before anything else runs."""
        return Txn(self)

    def snapshot(self) -> Delta:
        """Return the whole contents as a delta from the empty database."""
        return {n: {u: (None, row) for u, row in t.rows.items()} for n, t in self.tables.items() if t.rows}

    def revert(self, delta: Delta) -> None:
        """Take back a committed delta; only allowed for the newest ones, newest first."""
        inverse = {t: {u: (new, old) for u, (old, new) in rows.items()} for t, rows in delta.items()}
        for name, rows in inverse.items():
            for uuid, (_, back) in rows.items():
                _put(self.tables[name].rows, uuid, back)
        self._book(inverse)

    def _book(self, delta: Delta) -> None:
        """Bring reference counts, weak back references and indexes up to date with an applied delta."""
        for name, rows in delta.items():
            table = self.tables[name]
            for number in range(len(table.indexes)):
                _reindex(table, number, rows)
            for column in table.schema.strong:
                self._count_strong(name, column, rows)
            if table.schema.weak:
                self._move_weak(name, table.schema, rows)

    def _count_strong(self, name: str, column: Column, rows: dict[str, RowChange]) -> None:
        for uuid, change in rows.items():
            for place, step in ref_steps(name, uuid, column, change):
                refs = self.tables[place[0]].refs
                refs[place[1]] = refs.get(place[1], 0) + step
                if not refs[place[1]]:
                    del refs[place[1]]

    def _move_weak(self, name: str, schema: TableSchema, rows: dict[str, RowChange]) -> None:
        for uuid, (old, new) in rows.items():
            before = _weak_targets(schema, old)
            after = _weak_targets(schema, new)
            for target, row in before - after:
                sources = self.tables[target].weak_sources
                sources[row].discard((name, uuid))
                if not sources[row]:
                    del sources[row]
            for target, row in after - before:
                self.tables[target].weak_sources.setdefault(row, set()).add((name, uuid))


def _put(rows: dict[str, RowData], uuid: str, row: RowData | None) -> None:
    if row is None:
        rows.pop(uuid, None)
    else:
        rows[uuid] = row


def _reindex(table: Table, number: int, rows: dict[str, RowChange]) -> None:
    index = table.indexes[number]
    for old, _ in rows.values():
        if old is not None:
            index.pop(table.key(number, old), None)
    for uuid, (_, new) in rows.items():
        if new is not None:
            index[table.key(number, new)] = uuid


def references(column: Column, datum: Datum, *, weak: bool) -> Iterator[Place]:
    """Yield (table, uuid) for each strong (or weak) reference in a datum."""
    for position, base in enumerate((column.type.key, column.type.value)):
        if base is None or base.ref_table is None or base.weak != weak:
            continue
        for member in datum:
            yield base.ref_table, (member[position] if column.type.is_map else member)


def ref_steps(name: str, uuid: str, column: Column, change: RowChange) -> Iterator[tuple[Place, int]]:
    """Yield how a row's change moves the strong reference counts; a row's reference to itself does not count."""
    old, new = change
    before = old[column.name] if old is not None else ()
    after = new[column.name] if new is not None else ()
    if before == after:
        return
    for datum, step in ((before, -1), (after, 1)):
        for place in references(column, datum, weak=False):
            if place != (name, uuid):
                yield place, step


def _weak_targets(schema: TableSchema, row: RowData | None) -> set[Place]:
    if row is None:
        return set()
    return {place for column in schema.weak for place in references(column, row[column.name], weak=True)}


class Txn:
    """One transaction; rows are changed in place, `abort` puts the old ones back."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.old: dict[str, dict[str, RowData | None]] = {}  # what each touched row was before

    # --- changes -------------------------------------------------------------------------------------------------

    def insert(self, table: str, uuid: str, values: RowData) -> None:
        """Add a row; columns not in ``values`` get their defaults.

        Raises ``duplicate uuid``, also for that of an older row deleted in this transaction (as ovsdb-server).
        """
        rows = self.db.tables[table].rows
        if uuid in rows or self.old.get(table, {}).get(uuid) is not None:
            words = f"This UUID would duplicate a UUID already present within the table {table}."
            raise OvsdbError(DUPLICATE_UUID, words)
        schema = self.db.schema.tables[table]
        self._remember(table, uuid, None)
        rows[uuid] = {**schema.defaults, **values, "_uuid": (uuid,), "_version": (new_uuid(),)}

    def update(self, table: str, uuid: str, values: RowData) -> None:
        """Replace some columns of an existing row."""
        rows = self.db.tables[table].rows
        row = rows[uuid]
        self._remember(table, uuid, row)
        rows[uuid] = {**row, **values}

    def delete(self, table: str, uuid: str) -> None:
        """Remove an existing row."""
        self._remember(table, uuid, self.db.tables[table].rows.pop(uuid))

    def _remember(self, table: str, uuid: str, row: RowData | None) -> None:
        self.old.setdefault(table, {}).setdefault(uuid, row)

    # --- end -----------------------------------------------------------------------------------------------------

    def abort(self) -> None:
        """Undo everything."""
        for name, rows in self.old.items():
            table = self.db.tables[name].rows
            for uuid, row in rows.items():
                _put(table, uuid, row)
        self.old = {}

    def commit(self) -> Delta:
        """Check and keep the changes; return what really changed. On OvsdbError everything is undone."""
        try:
            self._drop_unchanged()
            counts = self._count_references()
            self._collect_garbage(counts)
            self._check_counts(counts)
            self._prune_weak()
            self._drop_unchanged()  # a weak reference to nothing came and went
            self._check_max_rows()
            self._check_indexes()
        except OvsdbError:
            self.abort()
            raise
        delta: Delta = {}
        for name, olds in self.old.items():
            rows = self.db.tables[name].rows
            for uuid, old in olds.items():
                new = rows.get(uuid)
                if new is not None and old is not None:
                    new = rows[uuid] = {**new, "_version": (new_uuid(),)}
                delta.setdefault(name, {})[uuid] = (old, new)
        self.db._book(delta)
        return delta

    def changes(self, name: str) -> Iterable[tuple[str, RowChange]]:
        """Yield (uuid, (old, new)) for each row of a table touched so far."""
        rows = self.db.tables[name].rows
        for uuid, old in self.old.get(name, {}).items():
            yield uuid, (old, rows.get(uuid))

    def _drop_unchanged(self) -> None:
        for name, olds in list(self.old.items()):
            rows = self.db.tables[name].rows
            for uuid, old in list(olds.items()):
                if old == rows.get(uuid):
                    del olds[uuid]
                    if old is not None:
                        rows[uuid] = old
            if not olds:
                del self.old[name]

    def _count_references(self) -> dict[Place, int]:
        """Return how the strong counts move; raises on a reference to a row that never was."""
        counts: dict[Place, int] = {}
        for name in list(self.old):
            for column in self.db.schema.tables[name].strong:
                for uuid, change in self.changes(name):
                    for place, step in ref_steps(name, uuid, column, change):
                        if step > 0:
                            self._check_target(place, name, column.name, uuid)
                        counts[place] = counts.get(place, 0) + step
        return counts

    def _check_target(self, place: Place, name: str, column: str, uuid: str) -> None:
        target, row = place
        if row in self.db.tables[target].rows or self.old.get(target, {}).get(row) is not None:
            return
        words = f"Table {name} column {column} row {uuid} references nonexistent row {row} in table {target}."
        raise OvsdbError(REFERENTIAL, words)

    def _is_garbage(self, place: Place, counts: dict[Place, int]) -> bool:
        name, uuid = place
        table = self.db.tables[name]
        if table.schema.is_root or uuid not in table.rows:
            return False
        return table.refs.get(uuid, 0) + counts.get(place, 0) == 0

    def _collect_garbage(self, counts: dict[Place, int]) -> None:
        """Delete non-root rows that nothing refers to any more, and what only they referred to."""
        touched = {(name, uuid) for name, olds in self.old.items() for uuid in olds}
        work = [place for place in touched | counts.keys() if self._is_garbage(place, counts)]
        while work:
            name, uuid = place = work.pop()
            if not self._is_garbage(place, counts):
                continue
            row = self.db.tables[name].rows[uuid]
            self.delete(name, uuid)
            if self.old[name][uuid] is None:
                del self.old[name][uuid]  # came and went inside this transaction
            for column in self.db.schema.tables[name].strong:
                for target, step in ref_steps(name, uuid, column, (row, None)):
                    counts[target] = counts.get(target, 0) + step
                    work.append(target)

    def _check_counts(self, counts: dict[Place, int]) -> None:
        for name, olds in self.old.items():
            table = self.db.tables[name]
            for uuid in olds:
                left = table.refs.get(uuid, 0) + counts.get((name, uuid), 0)
                if uuid not in table.rows and left > 0:
                    words = f"cannot delete {name} row {uuid} because of {left} remaining reference(s)"
                    raise OvsdbError(REFERENTIAL, words)

    def _prune_weak(self) -> None:
        """Remove weak references to rows that are not there (any more)."""
        work: set[Place] = set()
        for name, olds in self.old.items():
            table = self.db.tables[name]
            if table.schema.weak:
                work.update((name, uuid) for uuid in olds if uuid in table.rows)
            for uuid in olds:
                if uuid not in table.rows:
                    work.update(table.weak_sources.get(uuid, ()))
        for name, uuid in work:
            row = self.db.tables[name].rows.get(uuid)
            if row is not None:
                self._prune_row(name, uuid, row)

    def _prune_row(self, name: str, uuid: str, row: RowData) -> None:
        for column in self.db.schema.tables[name].weak:
            datum = row[column.name]
            kept = tuple(m for m in datum if self._target_lives(column, m))
            if len(kept) == len(datum):
                continue
            if len(kept) < column.type.n_min:
                words = f'Weak reference column "{column.name}" in "{name}" row {uuid}'
                limit = f"{len(kept)} value(s), it needs at least {column.type.n_min}."
                raise OvsdbError(CONSTRAINT, f"{words} would be left with {limit}")
            self.update(name, uuid, {column.name: kept})

    def _target_lives(self, column: Column, member: Any) -> bool:
        return all(uuid in self.db.tables[table].rows for table, uuid in references(column, (member,), weak=True))

    def _check_max_rows(self) -> None:
        for name in self.old:
            count, limit = len(self.db.tables[name].rows), self.db.schema.tables[name].max_rows
            if count > limit:
                words = f'transaction causes "{name}" table to contain {count} rows'
                raise OvsdbError(CONSTRAINT, f"{words}, greater than the schema-defined limit of {limit} row(s)")

    def _check_indexes(self) -> None:
        for name in self.old:
            table = self.db.tables[name]
            for number in range(len(table.indexes)):
                self._check_index(name, table, number)

    def _check_index(self, name: str, table: Table, number: int) -> None:
        seen: dict[tuple[Datum, ...], str] = {}
        olds = self.old[name]
        for uuid, (_, new) in self.changes(name):
            if new is None:
                continue
            key = table.key(number, new)
            owner = table.indexes[number].get(key)
            first = seen.get(key) or (owner if owner not in olds else None)  # a touched owner shows up in `seen`
            if first is not None:
                raise self._not_unique(name, number, key, first, uuid)
            seen[key] = uuid

    def _not_unique(self, name: str, number: int, key: tuple[Datum, ...], first: str, second: str) -> OvsdbError:
        schema = self.db.schema.tables[name]
        columns = schema.indexes[number]
        values = ", ".join(_text(schema.columns[c].type.to_json(d)) for c, d in zip(columns, key, strict=True))
        names = ", ".join(f'"{c}"' for c in columns)
        where = f"index on column{'s' if len(columns) > 1 else ''} {names}"
        words = f'Transaction causes multiple rows in "{name}" table to have identical values ({values}) for {where}.'
        parts = [self._describe(name, "First", first), self._describe(name, "Second", second)]
        return OvsdbError(CONSTRAINT, "  ".join([words, *parts]))

    def _describe(self, name: str, rank: str, uuid: str) -> str:
        olds = self.old[name]
        if uuid not in olds:
            fate = "existed in the database before this transaction and was not modified by the transaction"
        elif olds[uuid] is None:
            fate = "was inserted by this transaction"
        else:
            fate = "existed in the database before this transaction, which modified some of the row's columns"
        return f"{rank} row, with UUID {uuid}, {fate}."


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)
