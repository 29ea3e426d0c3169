"""Values of RFC 7047 section 3.2: atoms, their constraints, and the set and map datums made of them.

How values are held: integer -> int, real -> float, boolean -> bool, string -> str, uuid -> canonical lower-case str.
A *datum* is always a sorted tuple: of atoms for a scalar, optional or set column, of (key, value) pairs for a map. A
sorted tuple is immutable, compares and hashes in C and already has the order in which ovsdb-server prints it. UUIDs
stay text because the wire, the file and every index want text; a `uuid.UUID` costs 2 us to make, so only the IDL does.
"""

from __future__ import annotations

import json
import math
import re
import uuid as uuidlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ovsdb.error import CONSTRAINT, OvsdbError, syntax_error

Atom = int | float | bool | str
Datum = tuple[Any, ...]  # of Atom, or of (Atom, Atom) pairs for a map

UNLIMITED = 0xFFFFFFFF  # how "max": "unlimited" is held and, in error texts, printed (as ovsdb-server does)
INT_MIN, INT_MAX = -(1 << 63), (1 << 63) - 1
ZERO_UUID = "00000000-0000-0000-0000-000000000000"
EMPTY: Datum = ()

UUID_RE = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
ID_RE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
PLAIN_RE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.-]*")


def new_uuid() -> str:
    """Return a fresh random UUID in text form."""
    return str(uuidlib.uuid4())


@dataclass(slots=True)
class Symbol:
    """One ``uuid-name`` of a transaction: the UUID it stands for and whether an insert has declared it."""

    uuid: str
    created: bool = False


@dataclass(slots=True)
class SymbolTable:
    """The ``named-uuid`` scope of one transaction (RFC 7047 section 3.1); references may come before the insert."""

    symbols: dict[str, Symbol] = field(default_factory=dict)

    def get(self, name: str) -> Symbol:
        """Return the symbol called ``name``, made on first use."""
        symbol = self.symbols.get(name)
        if symbol is None:
            symbol = self.symbols[name] = Symbol(new_uuid())
        return symbol


# --- atoms ---------------------------------------------------------------------------------------------------------


def _parse_integer(value: Any, _symbols: SymbolTable | None) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 1.0 is an integer in JSON's eyes
    if type(value) is not int or not INT_MIN <= value <= INT_MAX:
        raise syntax_error(value, "expected integer")
    return value


def _parse_real(value: Any, _symbols: SymbolTable | None) -> float:
    if type(value) not in (int, float):
        raise syntax_error(value, "expected real")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise syntax_error(str(value), "expected real")
    return number


def _parse_boolean(value: Any, _symbols: SymbolTable | None) -> bool:
    if type(value) is not bool:
        raise syntax_error(value, "expected boolean")
    return value


def _parse_string(value: Any, _symbols: SymbolTable | None) -> str:
    if not isinstance(value, str):
        raise syntax_error(value, "expected string")
    return value


def _parse_uuid(value: Any, symbols: SymbolTable | None) -> str:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[1], str):
        tag, text = value
        if tag == "uuid":
            if not UUID_RE.fullmatch(text):
                raise syntax_error(value, f'"{text}" is not a valid UUID')
            return str(text.lower())
        if tag == "named-uuid" and symbols is not None:
            if not ID_RE.fullmatch(text):
                raise syntax_error(value, f'"{text}" is not a valid uuid-name')
            return symbols.get(text).uuid
    raise syntax_error(value, 'expected ["uuid", <string>]')


@dataclass(frozen=True, slots=True)
class AtomKind:
    """One row of ATOMS: how an atomic type is parsed, what its default is and which constraints it may have."""

    parse: Callable[[Any, SymbolTable | None], Any]
    default: Any
    limits: tuple[str, ...]  # schema members that only this type may have
    plural: str  # for error texts


ATOMS: dict[str, AtomKind] = {
    "integer": AtomKind(_parse_integer, 0, ("minInteger", "maxInteger"), "integers"),
    "real": AtomKind(_parse_real, 0.0, ("minReal", "maxReal"), "reals"),
    "boolean": AtomKind(_parse_boolean, False, (), "booleans"),
    "string": AtomKind(_parse_string, "", ("minLength", "maxLength"), "strings"),
    "uuid": AtomKind(_parse_uuid, ZERO_UUID, ("refTable", "refType"), "uuids"),
}


def atom_to_json(kind: str, atom: Any) -> Any:
    """Return the JSON form of one atom of type ``kind`` (RFC 7047 section 5.1)."""
    return ["uuid", atom] if kind == "uuid" else atom


def atom_to_text(atom: Any) -> str:
    """Return an atom as error texts show it: a string is quoted unless it is a plain word."""
    if isinstance(atom, str):
        return atom if PLAIN_RE.fullmatch(atom) else json.dumps(atom)
    return str(atom).lower() if isinstance(atom, bool) else str(atom)


@dataclass(frozen=True, slots=True)
class BaseType:
    """A ``<base-type>``: an atomic type and its constraints."""

    kind: str
    enum: Datum | None = None  # allowed atoms, sorted
    low: Any = None  # minInteger, minReal or minLength
    high: Any = None
    ref_table: str | None = None
    weak: bool = False  # refType is "weak"

    @property
    def strong(self) -> bool:
        """True for a strong reference."""
        return self.ref_table is not None and not self.weak

    def parse(self, value: Any, symbols: SymbolTable | None = None) -> Any:
        """Parse and check one atom from JSON; raises OvsdbError."""
        atom = ATOMS[self.kind].parse(value, symbols)
        if self.enum is not None or self.low is not None or self.high is not None:
            self.check(atom)
        return atom

    def check(self, atom: Any) -> None:
        """Raise ``constraint violation`` if the atom breaks the enum, range or length of this type."""
        if self.enum is not None and atom not in self.enum:
            allowed = ", ".join(atom_to_text(a) for a in self.enum)
            raise OvsdbError(CONSTRAINT, f"{atom_to_text(atom)} is not one of the allowed values ([{allowed}])")
        if self.kind == "string":
            self._check_length(atom)
        else:
            self._check_range(atom)

    def _check_length(self, text: str) -> None:
        if self.low is not None and len(text) < self.low:
            raise OvsdbError(CONSTRAINT, f'"{text}" length {len(text)} is less than minimum allowed length {self.low}')
        if self.high is not None and len(text) > self.high:
            words = f"is greater than maximum allowed length {self.high}"
            raise OvsdbError(CONSTRAINT, f'"{text}" length {len(text)} {words}')

    def _check_range(self, atom: Any) -> None:
        under = self.low is not None and atom < self.low
        over = self.high is not None and atom > self.high
        if not under and not over:
            return
        if self.low is not None and self.high is not None:
            raise OvsdbError(CONSTRAINT, f"{atom} is not in the valid range {self.low} to {self.high} (inclusive)")
        if under:
            raise OvsdbError(CONSTRAINT, f"{atom} is less than minimum allowed value {self.low}")
        raise OvsdbError(CONSTRAINT, f"{atom} is greater than maximum allowed value {self.high}")


# --- columns' types ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Type:
    """A ``<type>``: key, optional value, and how many members a datum may have."""

    key: BaseType
    value: BaseType | None = None
    n_min: int = 1
    n_max: int = 1

    @property
    def is_map(self) -> bool:
        """True if datums are maps."""
        return self.value is not None

    @property
    def is_scalar(self) -> bool:
        """True if a datum is exactly one atom."""
        return self.value is None and self.n_min == 1 and self.n_max == 1

    @property
    def is_set(self) -> bool:
        """True for sets, optional scalars included."""
        return self.value is None and not self.is_scalar

    @property
    def is_composite(self) -> bool:
        """True if a change is written as a difference (update2, log records) instead of the new value."""
        return self.n_max > 1

    @property
    def refs(self) -> bool:
        """True if the column may refer to rows, strongly or weakly."""
        return self.key.ref_table is not None or (self.value is not None and self.value.ref_table is not None)

    def default(self) -> Datum:
        """Return the value of a column that an insert does not mention (RFC 7047 section 5.2.1)."""
        if self.n_min == 0:
            return EMPTY
        key = ATOMS[self.key.kind].default
        return ((key, ATOMS[self.value.kind].default),) if self.value is not None else (key,)

    def describe(self) -> str:
        """Return the type in words, as error texts name it (``set of up to 1 strings``)."""
        if self.value is None and self.n_min == 1 and self.n_max == 1:
            return self.key.kind
        if self.n_max == UNLIMITED:
            amount = f"{self.n_min} or more " if self.n_min else ""
        else:
            amount = f"{self.n_min} to {self.n_max} " if self.n_min else f"up to {self.n_max} "
        if self.value is None:
            return f"set of {amount}{ATOMS[self.key.kind].plural}"
        return f"map of {amount}{self.key.kind}-{self.value.kind} pairs"

    def parse(self, value: Any, symbols: SymbolTable | None = None) -> Datum:
        """Parse a ``<value>`` and check every constraint; raises OvsdbError."""
        if self.value is not None:
            return self._parse_map(value, symbols)
        if isinstance(value, list) and len(value) == 2 and value[0] == "set":
            members = value[1]
            if not isinstance(members, list):
                raise syntax_error(value, 'expected ["set", <array>]')
            self._check_count(len(members), value)
            parse = self.key.parse
            return canonical_set([parse(m, symbols) for m in members])
        self._check_count(1, value)
        return (self.key.parse(value, symbols),)

    def _parse_map(self, value: Any, symbols: SymbolTable | None) -> Datum:
        if not (isinstance(value, list) and len(value) == 2 and value[0] == "map" and isinstance(value[1], list)):
            raise syntax_error(value, 'expected ["map", <array>]')
        assert self.value is not None
        self._check_count(len(value[1]), value)
        pairs: dict[Any, Any] = {}
        for pair in value[1]:
            if not isinstance(pair, list) or len(pair) != 2:
                raise syntax_error(pair, "expected 2-element array")
            key = self.key.parse(pair[0], symbols)
            if key in pairs:
                raise OvsdbError(CONSTRAINT, "map contains duplicate key", value)
            pairs[key] = self.value.parse(pair[1], symbols)
        return canonical_map(pairs)

    def _check_count(self, count: int, value: Any) -> None:
        if not self.n_min <= count <= self.n_max:
            shape = "map" if self.is_map else "set"
            exactly_one = self.n_min == self.n_max == 1
            amount = "exactly one member" if exactly_one else f"{self.n_min} to {self.n_max} members"
            raise syntax_error(value, f"{shape} must have {amount} but {count} are present")

    def check_size(self, datum: Datum) -> None:
        """Raise ``constraint violation`` if the result of a mutation has too few or too many members."""
        if not self.n_min <= len(datum) <= self.n_max:
            words = f"Attempted to store {len(datum)} elements in {self.describe()}."
            raise OvsdbError(CONSTRAINT, words)

    def to_json(self, datum: Datum) -> Any:
        """Return the ``<value>`` notation of a datum of this type."""
        kind = self.key.kind
        if self.value is not None:
            other = self.value.kind
            if kind == "uuid" or other == "uuid":
                return ["map", [[atom_to_json(kind, k), atom_to_json(other, v)] for k, v in datum]]
            return ["map", datum]
        if len(datum) == 1:
            return ["uuid", datum[0]] if kind == "uuid" else datum[0]
        return ["set", [["uuid", a] for a in datum] if kind == "uuid" else datum]


def canonical_set(atoms: Iterable[Any]) -> Datum:
    """Return the sorted datum of distinct atoms; raises OvsdbError on a duplicate."""
    datum = tuple(sorted(atoms))
    if len(datum) > 1 and len(set(datum)) != len(datum):
        raise OvsdbError(CONSTRAINT, "set contains duplicate")
    return datum


def canonical_map(pairs: dict[Any, Any]) -> Datum:
    """Return the datum of a Python mapping, sorted by key."""
    return tuple(sorted(pairs.items()))


# --- differences ---------------------------------------------------------------------------------------------------


def diff(type_: Type, old: Datum, new: Datum) -> Datum:
    """Return what turns ``old`` into ``new`` (ovsdb-server(7), update2): symmetric difference for a set; for a map the
    added and changed pairs with the new value and the removed ones with the old; the new value for at most one member.
    """
    if not type_.is_composite:
        return new
    if not type_.is_map:
        return tuple(sorted(set(old) ^ set(new)))
    before, after = dict(old), dict(new)
    changes = {k: v for k, v in after.items() if k not in before or before[k] != v}
    changes.update((k, v) for k, v in before.items() if k not in after)
    return canonical_map(changes)


def apply_diff(type_: Type, old: Datum, change: Datum) -> Datum:
    """Return the datum that ``diff`` made ``change`` from; the inverse of `diff`."""
    if not type_.is_composite:
        return change
    if not type_.is_map:
        return tuple(sorted(set(old) ^ set(change)))
    result = dict(old)
    for key, value in change:
        if key in result and result[key] == value:
            del result[key]  # a pair that is there already means removal
        else:
            result[key] = value
    return canonical_map(result)
