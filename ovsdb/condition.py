"""Conditions of RFC 7047 section 5.1: `[column, function, value]` clauses, parsed once and tested against rows.

A ``where`` of an operation needs all clauses to hold, a ``where`` of monitor_cond any of them (ovsdb-server(7)).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ovsdb.atoms import UNLIMITED, Datum, SymbolTable, Type
from ovsdb.error import UNKNOWN_COLUMN, UNKNOWN_FUNCTION, OvsdbError, syntax_error
from ovsdb.schema import Column, Table

RowData = dict[str, Datum]
Test = Callable[[Datum, Datum], bool]


def _includes(field: Datum, arg: Datum) -> bool:
    return all(member in field for member in arg)


def _excludes(field: Datum, arg: Datum) -> bool:
    return not any(member in field for member in arg)


def _relation(compare: Callable[[Any, Any], bool]) -> Test:
    """Return a test on scalars; an empty optional scalar fulfils no relation."""

    def test(field: Datum, arg: Datum) -> bool:
        return bool(field) and bool(arg) and compare(field[0], arg[0])

    return test


@dataclass(frozen=True, slots=True)
class Function:
    """One row of FUNCTIONS."""

    test: Test
    ordered: bool = False  # only for (optional) integer and real scalars
    part_of: bool = False  # the argument may be any subset, not a full value


FUNCTIONS: dict[str, Function] = {
    "==": Function(operator.eq),
    "!=": Function(operator.ne),
    "<": Function(_relation(operator.lt), ordered=True),
    "<=": Function(_relation(operator.le), ordered=True),
    ">": Function(_relation(operator.gt), ordered=True),
    ">=": Function(_relation(operator.ge), ordered=True),
    "includes": Function(_includes, part_of=True),
    "excludes": Function(_excludes, part_of=True),
}


@dataclass(frozen=True, slots=True)
class Clause:
    """One test on one column."""

    column: str
    function: str
    test: Test
    arg: Datum

    def holds(self, row: RowData) -> bool:
        """True if the row passes."""
        return self.test(row[self.column], self.arg)


@dataclass(frozen=True, slots=True)
class Constant:
    """A clause written as plain ``true`` or ``false`` (monitor_cond)."""

    value: bool
    function: str = ""

    def holds(self, _row: RowData) -> bool:
        """Return the constant."""
        return self.value


Condition = Sequence[Clause | Constant]


def parse(table: Table, value: Any, symbols: SymbolTable | None) -> list[Clause | Constant]:
    """Parse a ``<condition>*`` array for ``table``; raises OvsdbError."""
    if not isinstance(value, list):
        raise syntax_error(value, "array expected for condition")
    return [_parse_clause(table, clause, symbols) for clause in value]


def _parse_clause(table: Table, value: Any, symbols: SymbolTable | None) -> Clause | Constant:
    if isinstance(value, bool):
        return Constant(value)
    if not isinstance(value, list) or len(value) != 3 or not all(isinstance(v, str) for v in value[:2]):
        raise syntax_error(value, "Parse error in condition.")
    name, word, arg = value
    column = table.columns.get(name)
    if column is None:
        raise OvsdbError(UNKNOWN_COLUMN, f"No column {name} in table {table.name}.", value)
    function = FUNCTIONS.get(word)
    if function is None:
        raise OvsdbError(UNKNOWN_FUNCTION, f"No function named {word}.")
    if function.ordered and not _has_order(column.type):
        words = f'Type mismatch: "{word}" operator may not be applied to column {name}'
        raise syntax_error(value, f"{words} of type {column.type.describe()}.")
    return Clause(name, word, function.test, _argument_type(column, function).parse(arg, symbols))


def _has_order(type_: Type) -> bool:
    return type_.value is None and type_.n_max == 1 and type_.key.kind in ("integer", "real")


def _argument_type(column: Column, function: Function) -> Type:
    if function.part_of and not column.type.is_scalar:
        return replace(column.type, n_min=0, n_max=UNLIMITED)
    return column.type


def all_hold(condition: Condition, row: RowData) -> bool:
    """True if every clause holds (``where`` of an operation)."""
    return all(clause.holds(row) for clause in condition)


def any_holds(condition: Condition, row: RowData) -> bool:
    """True if some clause holds (``where`` of a monitor)."""
    return any(clause.holds(row) for clause in condition)
