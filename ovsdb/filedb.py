"""A database and its log file: what a record means, opening, schema upgrade at open, compaction (DB.36-DB.40).

Record 1 is the schema; each later record is one transaction: table -> row uuid -> columns, or null for a deleted row,
plus `_date` (ms since 1970), `_comment` and `_is_diff` (changed sets and maps of existing rows are differences).
Written the way ovsdb-server 2.15 and later writes it; records without `_is_diff` are read too.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

from ovsdb import schema as schemas
from ovsdb.atoms import UNLIMITED, Datum, Type, apply_diff, diff
from ovsdb.error import OvsdbError
from ovsdb.lockfile import LockFile
from ovsdb.log import Log, encode_record
from ovsdb.schema import Column, Schema
from ovsdb.store import Database, Delta, RowChange, RowData
from vslib import clock, vlog
from vslib.errors import ConfigError

log = vlog.get("ovsdb_file")

# Compact when the file is this many times its compacted size and at least this large. ovsdb-server: 4 and 10 MB.
GROWTH_FACTOR = 4
MIN_COMPACT_BYTES = 10 << 20


# --- transaction -> record -----------------------------------------------------------------------------------------


def record(schema: Schema, delta: Delta, comment: str, date_ms: int) -> dict[str, Any] | None:
    """Return the record of a committed delta, None if nothing in it outlives a restart."""
    result: dict[str, Any] = {}
    for name, rows in delta.items():
        columns = [c for c in schema.tables[name].own if c.persistent]
        changed = {}
        for uuid, change in rows.items():
            body = _row_record(columns, change)
            if body is not _NOTHING:
                changed[uuid] = body
        if changed:
            result[name] = changed
    if not result:
        return None
    if comment:
        result["_comment"] = comment
    result["_date"] = date_ms
    result["_is_diff"] = True
    return result


_NOTHING: Any = object()


def _row_record(columns: list[Column], change: RowChange) -> Any:
    old, new = change
    if new is None:
        return None
    if old is None:
        return {c.name: c.type.to_json(new[c.name]) for c in columns if new[c.name] != c.default}
    body = {}
    for column in columns:
        before, after = old[column.name], new[column.name]
        if before != after:
            # From its default a column is written whole: readers take the difference only on top of something else.
            whole = before == column.default
            body[column.name] = column.type.to_json(after if whole else diff(column.type, before, after))
    return body or _NOTHING


def snapshot_records(db: Database, date_ms: int) -> Iterator[dict[str, Any]]:
    """Yield the two records of a compacted file: schema and contents."""
    yield db.schema.to_json()
    contents = record(db.schema, db.snapshot(), "compacting database online", date_ms)
    if contents is not None:
        del contents["_is_diff"]
        yield contents


# --- record -> rows ------------------------------------------------------------------------------------------------


def load_records(schema: Schema, records: list[Any]) -> Database:
    """Build a database from transaction records (schema record not included); raises OvsdbError."""
    db = Database(schema)
    for value in records:
        _apply(db, value)
    txn = db.txn()
    for name, table in db.tables.items():
        if table.rows:
            txn.old[name] = dict.fromkeys(table.rows)
    txn.commit()
    return db


def _apply(db: Database, value: Any) -> None:
    if not isinstance(value, dict):
        raise OvsdbError("syntax error", "transaction record is not a JSON object")
    is_diff = value.get("_is_diff", False)
    for name, rows in value.items():
        if name.startswith("_"):
            continue
        table = db.tables.get(name)
        if table is None or not isinstance(rows, dict):
            raise OvsdbError("syntax error", f"transaction record names unknown table {name}")
        for uuid, body in rows.items():
            if body is None:
                table.rows.pop(uuid, None)
            else:
                row = table.rows.get(uuid) or _fresh_row(table.schema, uuid)
                table.rows[uuid] = row | _apply_row(table.schema, row, body, is_diff)


def _fresh_row(schema: schemas.Table, uuid: str) -> RowData:
    return {**schema.defaults, "_uuid": (uuid,), "_version": schema.columns["_version"].default}


def _apply_row(schema: schemas.Table, row: RowData, body: Any, is_diff: bool) -> RowData:
    changed: dict[str, Datum] = {}
    for name, value in body.items():
        column = schema.columns.get(name)
        if column is None:
            raise OvsdbError("unknown column", f"No column {name} in table {schema.name}.")
        if is_diff and column.type.is_composite and row[name] != column.default:
            change = _diff_type(column).parse(value)
            changed[name] = apply_diff(column.type, row[name], change)
        else:
            changed[name] = column.type.parse(value)
    return changed


def _diff_type(column: Column) -> Type:
    return Type(column.type.key, column.type.value, 0, UNLIMITED)


# --- the open file -------------------------------------------------------------------------------------------------


class FileDb:
    """An open database file under its lock."""

    def __init__(self, path: str, schema: Schema) -> None:
        """Open or create ``path`` with ``schema``; raises ConfigError (locked, unreadable, other schema's name ...)."""
        self.path = path
        directory = os.path.dirname(os.path.abspath(path))
        try:
            os.makedirs(directory, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{directory}: cannot create directory: {error.strerror}") from error
        self._lock = LockFile(path)
        self._log = Log(path)
        try:
            self.db = self._open(schema)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise ConfigError(f"{path}: cannot open database: {error.strerror}") from error
            if isinstance(error, OvsdbError):
                raise ConfigError(f"{path}: {error}") from error
            raise

    def _open(self, schema: Schema) -> Database:
        records = self._log.open() if os.path.exists(self.path) else []
        if not records:
            self._log.create([schema.to_json()])
            return Database(schema)
        found = schemas.parse(records[0])
        if found.name != schema.name:
            raise ConfigError(f"{self.path}: is a database {found.name}, not {schema.name}")
        db = load_records(found, records[1:])
        self._log.base_bytes = min(self._log.size_bytes, MIN_COMPACT_BYTES // GROWTH_FACTOR)
        if _same(found, schema) or _serves(found, schema):
            return db
        return self._upgrade(db, schema)

    def _upgrade(self, db: Database, schema: Schema) -> Database:
        """Move the contents to ``schema``; the old file stays beside as ovs-ctl's upgrade would leave it."""
        backup = f"{self.path}.backup{db.schema.version}-{db.schema.cksum.replace(' ', '-')}"
        shutil.copyfile(self.path, backup)
        log.info("%s: schema %s becomes %s, backup in %s", self.path, db.schema.version, schema.version, backup)
        converted = convert(db, schema)
        self._log.rewrite(snapshot_records(converted, clock.CLOCK.wall_ms()))
        return converted

    @property
    def size_bytes(self) -> int:
        """The log's length."""
        return self._log.size_bytes

    def encode(self, delta: Delta, comment: str) -> bytes:
        """Return the log record of a delta, b"" if there is nothing to keep."""
        value = record(self.db.schema, delta, comment, clock.CLOCK.wall_ms())
        return encode_record(value) if value is not None else b""

    def append(self, data: bytes) -> None:
        """Write records; if an earlier write failed, write the whole file anew instead. Raises OSError."""
        if self._log.broken:
            self.compact()  # the contents in memory include what `data` says
        else:
            self._log.append(data)

    def sync(self) -> None:
        """Wait for the disk; raises OSError."""
        self._log.sync()

    def undo(self, size_bytes: int) -> None:
        """After a failed append or sync: go back to the file as it was at ``size_bytes``."""
        self._log.undo_append(size_bytes)

    def should_compact(self) -> bool:
        """True when the log has outgrown its contents."""
        size, base = self._log.size_bytes, self._log.base_bytes
        return size >= MIN_COMPACT_BYTES and size >= GROWTH_FACTOR * base

    def compact(self) -> None:
        """Replace the log by one record of schema and one of contents; raises OSError, the old log stays then."""
        before = self._log.size_bytes
        self._log.rewrite(snapshot_records(self.db, clock.CLOCK.wall_ms()))
        log.info("%s: compacted from %d to %d bytes", self.path, before, self._log.size_bytes)

    def close(self) -> None:
        """Close the file and release the lock."""
        self._log.close()
        self._lock.release()


def _same(a: Schema, b: Schema) -> bool:
    return a.to_json() | {"cksum": ""} == b.to_json() | {"cksum": ""}


def _serves(found: Schema, wanted: Schema) -> bool:
    """True if a newer file schema has everything that ``wanted`` has: then it is served as it is, nothing is lost."""
    if found.version_key < wanted.version_key:
        return False
    for name, table in wanted.tables.items():
        other = found.tables.get(name)
        if other is None or any(other.columns.get(c.name) != c for c in table.own):
            return False
    return True


def convert(db: Database, schema: Schema) -> Database:
    """Return the contents of ``db`` under another schema; what that does not know is dropped. Raises OvsdbError."""
    result = Database(schema)
    txn = result.txn()
    for name, table in db.tables.items():
        target = schema.tables.get(name)
        if target is None:
            log.warn("table %s (%d rows) is dropped", name, len(table.rows))
            continue
        lost = [c.name for c in table.schema.own if c.name not in target.columns]
        if lost and table.rows:
            log.warn("table %s: columns %s are dropped", name, ", ".join(lost))
        for uuid, row in table.rows.items():
            kept = {c.name: c for c in table.schema.own if c.name in target.columns}
            txn.insert(name, uuid, {n: target.columns[n].type.parse(_json(c, row)) for n, c in kept.items()})
    txn.commit()
    return result


def _json(column: Column, row: RowData) -> Any:
    return _lists(column.type.to_json(row[column.name]))


def _lists(value: Any) -> Any:
    return [_lists(v) for v in value] if isinstance(value, (list, tuple)) else value
