"""Rows of the client side: Python values for datums and back.

column type                 read                    may be written as
integer real boolean string the atom                the atom
uuid, reference             uuid.UUID               UUID, Row, NewRow
optional                    value or None           value or None
set                         tuple, sorted           any iterable but str
map                         dict                    mapping
"""

from __future__ import annotations

import uuid as uuidlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ovsdb.atoms import ATOMS, BaseType, Datum, Type
from ovsdb.error import OvsdbError
from ovsdb.schema import Table
from vslib.errors import InternalError


class NewRow:
    """A row that a transaction inserts; usable as a reference in the same transaction, ``uuid`` is set by commit."""

    __slots__ = ("table", "name", "uuid", "op")

    def __init__(self, table: str, name: str, op: dict[str, Any]) -> None:
        self.table = table
        self.name = name
        self.uuid: uuidlib.UUID | None = None
        self.op = op


class Row:
    """A replicated row: ``row.uuid`` and one attribute per monitored column, always the newest values.

    A column that was asked for but that the server's schema lacks reads as None.
    """

    __slots__ = ("_table", "uuid", "_data", "_values")

    def __init__(self, table: Replica, uuid: str, data: dict[str, Datum]) -> None:
        self._table = table
        self.uuid = uuidlib.UUID(uuid)
        self._data = data
        self._values: dict[str, Any] = {}

    @property
    def table(self) -> str:
        """The table's name."""
        return self._table.name

    def __getattr__(self, name: str) -> Any:
        values = self._values
        if name in values:
            return values[name]
        if name in self._data:
            value = values[name] = to_python(self._table.columns[name], self._data[name])
            return value
        if name in self._table.missing:
            return None
        raise AttributeError(f"{self._table.name} has no monitored column {name}")

    def __repr__(self) -> str:
        return f"<{self._table.name} {self.uuid} {self._data.get('name', ('',))[0]}>"


@dataclass(slots=True)
class Replica:
    """The replica of one table; ``rows`` is for reading only."""

    name: str
    wanted: list[str] | None  # None: every column of the server's schema
    columns: dict[str, Type] = field(default_factory=dict)  # monitored columns that the server has
    defaults: dict[str, Datum] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()  # wanted columns that the server lacks
    schema: Table | None = None  # None: the server lacks the table
    rows: dict[uuidlib.UUID, Row] = field(default_factory=dict)
    by_text: dict[str, Row] = field(default_factory=dict)  # the same rows by UUID text

    def bind(self, schema: Table | None) -> None:
        """Adopt the server's schema of this table."""
        self.schema = schema
        own = {c.name: c for c in schema.own} if schema is not None else {}
        names = self.wanted if self.wanted is not None else list(own)
        self.columns = {n: own[n].type for n in names if n in own}
        self.defaults = {n: own[n].default for n in self.columns}
        self.missing = frozenset(n for n in names if n not in own)

    def find(self, **columns: Any) -> Row | None:
        """Return the first row whose columns have these values, None if there is none."""
        for row in self.rows.values():
            if all(getattr(row, name) == value for name, value in columns.items()):
                return row
        return None


def _atom_to_python(base: BaseType, atom: Any) -> Any:
    return uuidlib.UUID(atom) if base.kind == "uuid" else atom


def to_python(type_: Type, datum: Datum) -> Any:
    """Return the Python value of a datum (see the table above)."""
    if type_.value is not None:
        other = type_.value
        return {_atom_to_python(type_.key, k): _atom_to_python(other, v) for k, v in datum}
    if type_.n_max == 1:
        return _atom_to_python(type_.key, datum[0]) if datum else None
    return tuple(_atom_to_python(type_.key, atom) for atom in datum)


def reference(row: Row | NewRow | uuidlib.UUID) -> list[str]:
    """Return the JSON atom that refers to a row; a new row goes by its name until it has been committed."""
    if isinstance(row, NewRow) and row.uuid is None:
        return ["named-uuid", row.name]
    return ["uuid", str(row if isinstance(row, uuidlib.UUID) else row.uuid)]


def _atom_to_json(base: BaseType, value: Any) -> Any:
    if base.kind == "uuid":
        if isinstance(value, (Row, NewRow, uuidlib.UUID)):
            return reference(value)
    elif base.kind == "real" and type(value) is int:
        return float(value)
    elif isinstance(value, type(ATOMS[base.kind].default)) and isinstance(value, bool) == (base.kind == "boolean"):
        return value
    raise InternalError(f"{value!r} is not a value of an OVSDB {base.kind}")


def to_json(type_: Type, value: Any) -> Any:
    """Return the JSON ``<value>`` for a Python value; raises InternalError on a value of another type."""
    if type_.value is not None:
        if not isinstance(value, Mapping):
            raise InternalError(f"{value!r} is not a mapping")
        other = type_.value
        pairs = [[_atom_to_json(type_.key, k), _atom_to_json(other, v)] for k, v in value.items()]
        return ["map", pairs]
    if value is None:
        return ["set", []]
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ["set", [_atom_to_json(type_.key, v) for v in value]]
    return _atom_to_json(type_.key, value)


def same(type_: Type, datum: Datum, value: Any) -> bool:
    """True if JSON ``value`` is surely the datum that the row has."""
    try:
        return type_.parse(value) == datum
    except OvsdbError:
        return False  # a named-uuid, or something that the server shall complain about
