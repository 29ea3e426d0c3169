"""The schema as a command line sees it: names that may be abbreviated, types in words, how rows are referred to.

The file is the daemon's own; only tables that a command names are parsed. `ovsdb.schema` checks schemas fully, for 28
ms of importing. Where the server's database is older, `Schema.restrict` drops what it lacks (DB.41).
"""

from __future__ import annotations

import os

from vslib import json_light
from vslib.errors import ConfigError

TYPE_CHECKING = False  # importing typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

FILE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "vswitch.ovsschema")
UNLIMITED = 0xFFFFFFFF
EXACT, NEARLY = 1 << 31, 1 << 30  # scores of names that are equal, or equal but for case and dashes

# How a row may be named besides its UUID: table -> (table that has the name, column of the name, column that refers to
# the row), the last one empty if the name is the row's own; an empty name column means the only row, called ".".
ROW_NAMES: dict[str, tuple[str, str, str]] = {
    "AutoAttach": ("Bridge", "name", "auto_attach"),
    "Bridge": ("Bridge", "name", ""),
    "Controller": ("Bridge", "name", "controller"),
    "Flow_Sample_Collector_Set": ("Flow_Sample_Collector_Set", "id", ""),
    "Flow_Table": ("Flow_Table", "name", ""),
    "IPFIX": ("Bridge", "name", "ipfix"),
    "Interface": ("Interface", "name", ""),
    "Manager": ("Manager", "target", ""),
    "Mirror": ("Mirror", "name", ""),
    "NetFlow": ("Bridge", "name", "netflow"),
    "Open_vSwitch": ("Open_vSwitch", "", ""),
    "Port": ("Port", "name", ""),
    "QoS": ("Port", "name", "qos"),
    "SSL": ("SSL", "", ""),
    "sFlow": ("Bridge", "name", "sflow"),
}


class Base:
    """An atomic type with its constraints; ``low`` and ``high`` limit a number, or the length of a string."""

    __slots__ = ("enum", "high", "kind", "low", "ref", "weak")

    def __init__(self, spec: Any) -> None:
        if isinstance(spec, str):
            spec = {"type": spec}
        self.kind: str = spec["type"]
        enum = spec.get("enum")
        self.enum: list[Any] | None = None
        if enum is not None:
            self.enum = sorted(enum[1]) if isinstance(enum, list) and enum[0] == "set" else [enum]
        stem = "Length" if self.kind == "string" else self.kind.capitalize()
        self.low, self.high = spec.get("min" + stem), spec.get("max" + stem)
        self.ref: str = spec.get("refTable", "")
        self.weak: bool = spec.get("refType") == "weak"


class Column:
    """One column and its type."""

    __slots__ = ("key", "mutable", "n_max", "n_min", "name", "value")

    def __init__(self, name: str, spec: Any) -> None:
        self.name = name
        self.mutable: bool = spec.get("mutable", True)
        kind = spec["type"]
        if isinstance(kind, str):
            kind = {"key": kind}
        self.key = Base(kind["key"])
        self.value = Base(kind["value"]) if "value" in kind else None
        self.n_min: int = kind.get("min", 1)
        n_max = kind.get("max", 1)
        self.n_max: int = UNLIMITED if n_max == "unlimited" else n_max

    def like(self, n_min: int, n_max: int, *, keys: bool = False, values: bool = False) -> Column:
        """Return the column's type with another size, or as the set of its keys or of its values."""
        copy = Column.__new__(Column)
        copy.name, copy.mutable, copy.n_min, copy.n_max = self.name, self.mutable, n_min, n_max
        copy.key, copy.value = self.key, None if keys else self.value
        if values and self.value is not None:
            copy.key, copy.value = self.value, None
        return copy

    @property
    def default(self) -> Any:
        """The value of a new row's column."""
        atoms = {"integer": 0, "real": 0.0, "boolean": False, "string": "", "uuid": ""}
        if self.n_min == 0:
            return {} if self.value is not None else []
        if self.value is not None:
            return {atoms[self.key.kind]: atoms[self.value.kind]}
        return [atoms[self.key.kind]]

    def describe(self) -> str:
        """Return the type in words, as error texts name it."""
        if self.n_min == self.n_max == 1 and self.value is None:
            return self.key.kind
        if self.n_max == UNLIMITED:
            amount = f"{self.n_min} or more " if self.n_min else ""
        else:
            amount = f"{self.n_min} to {self.n_max} " if self.n_min else f"up to {self.n_max} "
        if self.value is None:
            return f"set of {amount}{self.key.kind}s"
        return f"map of {amount}({self.key.kind}, {self.value.kind}) pairs"


UUID = Column("_uuid", {"type": "uuid", "mutable": False})


class Table:
    """One table: its columns by name, in alphabetical order."""

    __slots__ = ("columns", "is_root", "name")

    def __init__(self, name: str, spec: Any) -> None:
        self.name = name
        self.is_root: bool = spec.get("isRoot", False)
        self.columns = {each: Column(each, body) for each, body in sorted(spec["columns"].items())}

    def column(self, text: str) -> Column:
        """Return the column that ``text`` names or abbreviates; raises ConfigError."""
        found = best(text, self.columns)
        if len(found) == 1:
            return self.columns[found[0]]
        if not found:
            raise ConfigError(f'{self.name} does not contain a column whose name matches "{text}"')
        listed = ", ".join(sorted(found))
        raise ConfigError(f'{self.name} contains more than one column whose name matches "{text}": {listed}')


class Schema:
    """The tables; each is parsed when it is first asked for."""

    def __init__(self) -> None:
        with open(FILE, "rb") as file:
            self._specs: dict[str, Any] = json_light.loads(file.read())["tables"]
        self._tables: dict[str, Table] = {}

    def names(self) -> list[str]:
        """Return the names of all tables."""
        return sorted(self._specs)

    def table(self, name: str) -> Table:
        """Return the table of that full name."""
        found = self._tables.get(name)
        if found is None:
            found = self._tables[name] = Table(name, self._specs[name])
        return found

    def find(self, text: str) -> Table:
        """Return the table that ``text`` names or abbreviates; raises ConfigError."""
        found = best(text, self._specs)
        if len(found) == 1:
            return self.table(found[0])
        if not found:
            raise ConfigError(f'unknown table "{text}"')
        raise ConfigError(f'"{text}" matches multiple table names: {", ".join(sorted(found))}')

    def restrict(self, server: dict[str, Any]) -> None:
        """Drop tables and columns that the server's schema (the answer to get_schema) lacks."""
        theirs: dict[str, Any] = server["tables"]
        self._tables.clear()
        self._specs = {name: self._specs[name] for name in self._specs if name in theirs}
        for name, spec in self._specs.items():
            columns = spec["columns"]
            self._specs[name] = {**spec, "columns": {c: columns[c] for c in columns if c in theirs[name]["columns"]}}


def best(text: str, names: Iterable[str]) -> list[str]:
    """Return the names that ``text`` matches best: itself, itself in other letters, or those that it abbreviates."""
    scores = [(_score(name, text), name) for name in names]
    top = max((score for score, _ in scores), default=0)
    return [name for score, name in scores if score == top and score > 0]


def _score(name: str, text: str) -> int:
    if name == text:
        return EXACT
    plain, wanted = name.lower().replace("-", "_"), text.lower().replace("-", "_")
    if plain == wanted:
        return NEARLY
    return len(wanted) if plain.startswith(wanted) else 0
