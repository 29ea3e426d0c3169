"""Database schemas of RFC 7047 section 3.2: parse, check, print.

A schema is read once and never changes. Each table also carries the two synthetic columns ``_uuid`` and ``_version`` in
its column dict, so that conditions, select and monitors need no special case for them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ovsdb.atoms import ATOMS, ID_RE, UNLIMITED, BaseType, Datum, Type
from ovsdb.error import OvsdbError, syntax_error
from vslib.errors import ConfigError

VERSION_RE = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")
UUID_TYPE = Type(BaseType("uuid"))
SYNTHETIC = ("_uuid", "_version")


@dataclass(frozen=True, slots=True)
class Column:
    """One column; synthetic ones are neither mutable nor persistent."""

    name: str
    type: Type
    mutable: bool = True
    persistent: bool = True
    default: Datum = ()  # cached type.default()


@dataclass(slots=True)
class Table:
    """One table's schema; ``columns`` holds `_uuid` and `_version` too, ``own`` only the declared ones."""

    name: str
    columns: dict[str, Column]
    is_root: bool = False
    max_rows: int = UNLIMITED
    indexes: list[tuple[str, ...]] = field(default_factory=list)
    own: list[Column] = field(default_factory=list)
    strong: list[Column] = field(default_factory=list)  # columns with a strong reference
    weak: list[Column] = field(default_factory=list)
    defaults: dict[str, Datum] = field(default_factory=dict)  # template of a fresh row

    def __post_init__(self) -> None:
        for name in SYNTHETIC:
            self.columns[name] = Column(name, UUID_TYPE, mutable=False, persistent=False, default=UUID_TYPE.default())
        self.own = [c for c in self.columns.values() if c.name not in SYNTHETIC]
        self.strong = [c for c in self.own if _refers(c.type, weak=False)]
        self.weak = [c for c in self.own if _refers(c.type, weak=True)]
        self.defaults = {c.name: c.default for c in self.own}


@dataclass(slots=True)
class Schema:
    """A database schema."""

    name: str
    version: str
    cksum: str
    tables: dict[str, Table]

    def to_json(self) -> dict[str, Any]:
        """Return the ``<database-schema>`` in its shortest form (defaults left out), as get_schema answers it."""
        result: dict[str, Any] = {"name": self.name, "version": self.version}
        if self.cksum:
            result["cksum"] = self.cksum
        default_roots = all(t.is_root for t in self.tables.values())
        result["tables"] = {n: _table_to_json(t, default_roots) for n, t in self.tables.items()}
        return result

    @property
    def version_key(self) -> tuple[int, ...]:
        """The version as comparable numbers; () when the schema has none."""
        return tuple(int(part) for part in self.version.split(".")) if self.version else ()


def load(path: str | Path) -> Schema:
    """Read a schema file; raises ConfigError with the reason."""
    try:
        text = json.loads(Path(path).read_text(encoding="utf-8"))
        return parse(text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot read schema: {error.strerror}") from error
    except (ValueError, OvsdbError) as error:
        raise ConfigError(f"{path}: not a database schema: {error}") from error


# --- parsing -------------------------------------------------------------------------------------------------------


def members(value: Any, what: str, required: dict[str, Any], optional: dict[str, Any]) -> dict[str, Any]:
    """Check that ``value`` is an object with exactly these members of these Python types; raises OvsdbError."""
    if not isinstance(value, dict):
        raise OvsdbError("syntax error", f"Parsing {what} failed: Object expected.")
    for name, kind in required.items():
        if type(value.get(name)) is kind:
            continue  # nearly always; what follows finds the words for the other cases
        if name not in value:
            raise syntax_error(value, f"Parsing {what} failed: Required '{name}' member is missing.")
        check_member(value, what, name, kind)
    for name in value:
        if name in required:
            continue
        if name not in optional:
            raise syntax_error(value, f"Parsing {what} failed: Member '{name}' is present but not allowed here.")
        check_member(value, what, name, optional[name])
    return value


def check_member(value: dict[str, Any], what: str, name: str, kind: Any) -> None:
    """Raise a syntax error unless ``value[name]`` has the Python type ``kind`` (True is not an integer)."""
    member = value[name]
    if not isinstance(member, kind) or (isinstance(member, bool) and kind in (int, (int, float))):
        raise syntax_error(value, f"Parsing {what} failed: Type mismatch for member '{name}'.")


def parse(value: Any) -> Schema:
    """Parse a ``<database-schema>``; raises OvsdbError."""
    spec = members(value, "database schema", {"name": str, "tables": dict}, {"version": str, "cksum": str})
    _check_id(spec["name"], value, allow_reserved=True)
    version = spec.get("version", "")
    if version and not VERSION_RE.fullmatch(version):
        raise syntax_error(value, f'schema version "{version}" not in format x.y.z')
    tables = {}
    for name, body in spec["tables"].items():
        _check_id(name, value)
        tables[name] = _parse_table(name, body)
    if tables and not any(t.is_root for t in tables.values()):
        for table in tables.values():  # RFC 7047: without isRoot anywhere, every table is in the root set
            table.is_root = True
    for table in tables.values():
        _check_refs(table, tables)
    return Schema(spec["name"], version, spec.get("cksum", ""), tables)


def _parse_table(name: str, value: Any) -> Table:
    what = f"table schema for table {name}"
    optional = {"maxRows": int, "isRoot": bool, "indexes": list}
    spec = members(value, what, {"columns": dict}, optional)
    if not spec["columns"]:
        raise syntax_error(value, "table must have at least one column")
    if spec.get("maxRows", 1) < 1:
        raise syntax_error(value, "maxRows must be at least 1")
    columns = {}
    for column, body in spec["columns"].items():
        _check_id(column, value)
        columns[column] = _parse_column(column, body)
    indexes = [_parse_index(index, columns) for index in spec.get("indexes", [])]
    return Table(name, columns, spec.get("isRoot", False), spec.get("maxRows", UNLIMITED), indexes)


def _parse_index(value: Any, columns: dict[str, Column]) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(c, str) for c in value):
        raise syntax_error(value, "array of column names expected")
    for name in value:
        if name not in columns:
            raise syntax_error(value, f"{name} is not a valid column name")
        if not columns[name].persistent:
            raise syntax_error(value, f'ephemeral columns (such as "{name}") may not be indexed')
    if len(set(value)) != len(value):
        raise syntax_error(value, "column mentioned more than once in index")
    return tuple(value)


def _parse_column(name: str, value: Any) -> Column:
    what = f"schema for column {name}"
    spec = members(value, what, {"type": (str, dict)}, {"ephemeral": bool, "mutable": bool})
    type_ = parse_type(spec["type"])
    return Column(name, type_, spec.get("mutable", True), not spec.get("ephemeral", False), type_.default())


def parse_type(value: Any) -> Type:
    """Parse a ``<type>`` (RFC 7047 section 3.2); raises OvsdbError."""
    if isinstance(value, str):
        return Type(_parse_base(value))
    either = (str, dict)
    spec = members(value, "ovsdb type", {"key": either}, {"value": either, "min": int, "max": (int, str)})
    key = _parse_base(spec["key"])
    other = _parse_base(spec["value"]) if "value" in spec else None
    n_min, n_max = spec.get("min", 1), spec.get("max", 1)
    n_max = UNLIMITED if n_max == "unlimited" else n_max
    if isinstance(n_max, (str, bool)) or n_min not in (0, 1) or n_max < 1:
        raise syntax_error(value, "ovsdb type fails constraint checks")
    return Type(key, other, n_min, n_max)


def _parse_base(value: Any) -> BaseType:
    if isinstance(value, str):
        value = {"type": value}
    kind = value.get("type") if isinstance(value, dict) else None
    if kind not in ATOMS:
        raise syntax_error(value, f'"{kind}" is not an atomic-type')
    limits = ATOMS[kind].limits
    kinds: Any = {"integer": int, "real": (int, float), "string": int, "uuid": str}.get(kind, int)
    optional = dict.fromkeys(limits, kinds) | {"enum": (list, str, int, float, bool)}
    spec = members(value, "ovsdb type", {"type": str}, optional)
    enum = None
    if "enum" in spec:
        enum = Type(BaseType(kind), None, 1, UNLIMITED).parse(spec["enum"])
        if any(name in spec for name in limits):
            raise syntax_error(value, "enum may not be combined with other constraints")
    if kind == "uuid":
        return _parse_reference(spec, enum)
    low, high = (spec.get(name) for name in limits) if limits else (None, None)
    if low is not None and high is not None and low > high:
        raise syntax_error(value, f"{limits[0]} exceeds {limits[1]}")
    return BaseType(kind, enum, low, high)


def _parse_reference(spec: dict[str, Any], enum: Datum | None) -> BaseType:
    ref_type = spec.get("refType", "strong")
    if ref_type not in ("strong", "weak"):
        raise syntax_error(spec, 'refType must be "strong" or "weak"')
    return BaseType("uuid", enum, ref_table=spec.get("refTable"), weak=ref_type == "weak")


def _check_refs(table: Table, tables: dict[str, Table]) -> None:
    for column in table.own:
        for base in (column.type.key, column.type.value):
            target = base.ref_table if base is not None else None
            if target is not None and target not in tables:
                words = f"{table.name} column {column.name} refers to undefined table {target}"
                raise syntax_error(column.name, words)


def _check_id(name: str, value: Any, *, allow_reserved: bool = False) -> None:
    if not ID_RE.fullmatch(name) or (name.startswith("_") and not allow_reserved):
        raise syntax_error(value, f"{name} is not a valid name")


def _refers(type_: Type, *, weak: bool) -> bool:
    return any(b is not None and b.ref_table is not None and b.weak == weak for b in (type_.key, type_.value))


# --- printing ------------------------------------------------------------------------------------------------------


def _table_to_json(table: Table, default_roots: bool) -> dict[str, Any]:
    result: dict[str, Any] = {"columns": {c.name: _column_to_json(c) for c in table.own}}
    if table.max_rows != UNLIMITED:
        result["maxRows"] = table.max_rows
    if table.is_root and not default_roots:
        result["isRoot"] = True
    if table.indexes:
        result["indexes"] = [list(index) for index in table.indexes]
    return result


def _column_to_json(column: Column) -> dict[str, Any]:
    result: dict[str, Any] = {"type": _type_to_json(column.type)}
    if not column.mutable:
        result["mutable"] = False
    if not column.persistent:
        result["ephemeral"] = True
    return result


def _type_to_json(type_: Type) -> Any:
    key = _base_to_json(type_.key)
    if type_.is_scalar and isinstance(key, str):
        return key
    result: dict[str, Any] = {"key": key}
    if type_.value is not None:
        result["value"] = _base_to_json(type_.value)
    if type_.n_min != 1:
        result["min"] = type_.n_min
    if type_.n_max != 1:
        result["max"] = "unlimited" if type_.n_max == UNLIMITED else type_.n_max
    return result


def _base_to_json(base: BaseType) -> Any:
    result: dict[str, Any] = {"type": base.kind}
    if base.enum is not None:
        result["enum"] = Type(BaseType(base.kind), None, 1, UNLIMITED).to_json(base.enum)
    if base.kind == "uuid":
        limits: tuple[Any, Any] = (base.ref_table, "weak" if base.weak else None)
    else:
        limits = (base.low, base.high)
    for name, limit in zip(ATOMS[base.kind].limits, limits, strict=False):
        if limit is not None:
            result[name] = limit
    return result if len(result) > 1 else base.kind
