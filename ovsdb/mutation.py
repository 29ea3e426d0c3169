"""Mutations of RFC 7047 section 5.1: `[column, mutator, value]` steps, parsed once and applied to a datum."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ovsdb.atoms import INT_MAX, INT_MIN, UNLIMITED, BaseType, Datum, SymbolTable, Type, canonical_map
from ovsdb.error import CONSTRAINT, DOMAIN, RANGE, UNKNOWN_COLUMN, UNKNOWN_MUTATOR, OvsdbError, syntax_error
from ovsdb.schema import Column, Table

Number = int | float


def _divide(a: Any, b: Any) -> Any:
    if b == 0:
        raise OvsdbError(DOMAIN, "Division by zero.")
    if isinstance(a, float):
        return a / b
    quotient = abs(a) // abs(b)  # C division: towards zero
    return quotient if (a < 0) == (b < 0) else -quotient


def _remainder(a: Any, b: Any) -> Any:
    return a - b * _divide(a, b)


# Arithmetic mutators; "%=" is for integers only.
ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+=": lambda a, b: a + b,
    "-=": lambda a, b: a - b,
    "*=": lambda a, b: a * b,
    "/=": _divide,
    "%=": _remainder,
}


@dataclass(frozen=True, slots=True)
class Mutation:
    """One parsed mutation."""

    column: Column
    mutator: str
    arg: Datum
    keys_only: bool = False  # delete from a map by key, whatever the value

    def apply(self, datum: Datum) -> Datum:
        """Return the mutated datum; raises OvsdbError if the result is out of its type's bounds."""
        if self.mutator in ARITHMETIC:
            return self._calculate(datum)
        change = _SET_STEPS[self.mutator, self.column.type.is_map, self.keys_only]
        result = change(datum, self.arg)
        self.column.type.check_size(result)
        return result

    def _calculate(self, datum: Datum) -> Datum:
        step, base = ARITHMETIC[self.mutator], self.column.type.key
        result = []
        for atom in datum:
            number = step(atom, self.arg[0])
            if base.kind == "integer" and not INT_MIN <= number <= INT_MAX or not math.isfinite(number):
                raise OvsdbError(RANGE, f'Result of "{self.mutator}" operation is out of range.')
            base.check(number)
            result.append(number)
        if len(set(result)) != len(result):
            raise OvsdbError(CONSTRAINT, f'Result of "{self.mutator}" operation contains duplicates.')
        return tuple(sorted(result))


def _set_insert(datum: Datum, arg: Datum) -> Datum:
    return tuple(sorted({*datum, *arg}))


def _remove(datum: Datum, arg: Datum) -> Datum:
    gone = set(arg)
    return tuple(member for member in datum if member not in gone)


def _map_insert(datum: Datum, arg: Datum) -> Datum:
    return canonical_map({**dict(arg), **dict(datum)})  # keys that are there keep their value


def _remove_keys(datum: Datum, arg: Datum) -> Datum:
    gone = set(arg)
    return tuple(pair for pair in datum if pair[0] not in gone)


# (mutator, the column is a map, the argument is a set of keys) -> step
_SET_STEPS: dict[tuple[str, bool, bool], Callable[[Datum, Datum], Datum]] = {
    ("insert", False, False): _set_insert,
    ("insert", True, False): _map_insert,
    ("delete", False, False): _remove,
    ("delete", True, False): _remove,
    ("delete", True, True): _remove_keys,
}


def parse(table: Table, value: Any, symbols: SymbolTable) -> list[Mutation]:
    """Parse a ``<mutation>*`` array for ``table``; raises OvsdbError."""
    return [_parse_one(table, mutation, symbols) for mutation in value]


def _parse_one(table: Table, value: Any, symbols: SymbolTable) -> Mutation:
    if not isinstance(value, list) or len(value) != 3 or not all(isinstance(v, str) for v in value[:2]):
        raise syntax_error(value, "Parse error in mutation.")
    name, mutator, arg = value
    column = table.columns.get(name)
    if column is None:
        raise OvsdbError(UNKNOWN_COLUMN, f"No column {name} in table {table.name}.", value)
    if not column.mutable:
        raise OvsdbError(CONSTRAINT, f"Cannot mutate immutable column {name} in table {table.name}.", value)
    if mutator in ARITHMETIC:
        return _parse_arithmetic(column, mutator, value, symbols)
    if mutator not in ("insert", "delete"):
        raise OvsdbError(UNKNOWN_MUTATOR, f"No mutator named {mutator}.")
    if column.type.is_scalar:
        raise _mismatch(column, mutator, value)
    if mutator == "insert":
        return Mutation(column, mutator, replace(column.type, n_min=0).parse(arg, symbols))
    return _parse_delete(column, arg, symbols)


def _parse_arithmetic(column: Column, mutator: str, value: Any, symbols: SymbolTable) -> Mutation:
    kind = column.type.key.kind
    if column.type.is_map or kind not in ("integer", "real") or (kind == "real" and mutator == "%="):
        raise _mismatch(column, mutator, value)
    return Mutation(column, mutator, Type(BaseType(kind)).parse(value[2], symbols))


def _parse_delete(column: Column, arg: Any, symbols: SymbolTable) -> Mutation:
    wide = replace(column.type, n_min=0, n_max=UNLIMITED)
    if not column.type.is_map:
        return Mutation(column, "delete", wide.parse(arg, symbols))
    if isinstance(arg, list) and arg[:1] == ["map"]:
        return Mutation(column, "delete", wide.parse(arg, symbols))
    return Mutation(column, "delete", replace(wide, value=None).parse(arg, symbols), keys_only=True)


def _mismatch(column: Column, mutator: str, value: Any) -> OvsdbError:
    kind = column.type.describe()
    words = f'Type mismatch: "{mutator}" operator may not be applied to column {column.name} of type {kind}.'
    return syntax_error(value, words)
