"""The commands that work on any table: list, find, get, set, add, remove, clear, create, destroy, wait-until."""

from __future__ import annotations

from ovsdb.blocking import Row, Uuid
from vslib.errors import ConfigError
from vswitchd.vsctl import values
from vswitchd.vsctl.context import TryAgain, has
from vswitchd.vsctl.output import Listing
from vswitchd.vsctl.schema import ROW_NAMES, UNLIMITED, UUID

TYPE_CHECKING = False  # importing typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ovsdb.blocking import Datum
    from vswitchd.vsctl.context import Context
    from vswitchd.vsctl.schema import Column, Schema, Table
    from vswitchd.vsctl.table import Call

    Needs = list[tuple[str, str]]  # (table, column)

EQUALS = ("=",)
PARTIAL_UUID = 4  # hex digits that an abbreviated UUID has at least
CONDITIONS = ("=", "!=", "<", ">", "<=", ">=", "{=}", "{!=}", "{<}", "{>}", "{<=}", "{>=}", "{in}", "{not-in}")


# --- arguments -----------------------------------------------------------------------------------------------------


class Setting:
    """One argument COLUMN[:KEY][OPERATOR VALUE]; ``key`` is None without one."""

    __slots__ = ("column", "key", "operator", "value")

    def __init__(self, table: Table, text: str, operators: tuple[str, ...]) -> None:
        name, at = values.token(text, 0)
        if not name:
            raise ConfigError(f"{text}: missing column name")
        self.column = table.column(name)
        self.key: str | None = None
        if text[at : at + 1] == ":":
            self.key, at = values.token(text, at + 1)
        self.operator, self.value = "", ""
        if not operators:
            if at < len(text):
                raise ConfigError(f'{text}: trailing garbage "{text[at:]}" in argument')
            return
        fitting = [each for each in operators if text.startswith(each, at) and at + len(each) < len(text)]
        if not fitting:
            raise ConfigError(f"{text}: argument does not end in {_either(operators)} followed by a value.")
        self.operator = max(fitting, key=len)
        self.value = text[at + len(self.operator) :]


def _either(operators: tuple[str, ...]) -> str:
    quoted = [f'"{each}"' for each in operators]
    return quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + f", or {quoted[-1]}"


def _listed(call: Call, table: Table) -> list[Column]:
    """Return the columns that list and find print."""
    text = call.options.get("--columns")
    if text is None:
        return [UUID, *table.columns.values()]
    words = [word for word in text.replace(",", " ").split() if word]
    if not words:
        raise ConfigError("must specify at least one column name")
    return [UUID if word.lower().replace("-", "_") == "_uuid" else table.column(word) for word in words]


def _is_uuid_column(word: str) -> bool:
    return word.lower() in ("_uuid", "-uuid")


# --- what commands need --------------------------------------------------------------------------------------------


def needs_names(schema: Schema, table: Table) -> Needs:
    """Return what is needed to find rows of a table by name."""
    needs = [(table.name, "")]
    if table.name in ROW_NAMES:
        where, name, reference = ROW_NAMES[table.name]
        needs += [(where, name), (where, reference)]
    return [(name, column) for name, column in needs if name in schema.names()]


def _needs(schema: Schema, table: Table, columns: list[Column]) -> Needs:
    own = [(table.name, column.name) for column in columns if column is not UUID]
    return own + needs_names(schema, table)


def needs_list(schema: Schema, call: Call) -> Needs:
    """Needs of list."""
    table = schema.find(call.args[0])
    return _needs(schema, table, _listed(call, table))


def needs_find(schema: Schema, call: Call) -> Needs:
    """Needs of find."""
    table = schema.find(call.args[0])
    settings = [Setting(table, text, CONDITIONS) for text in call.args[1:]]
    return _needs(schema, table, _listed(call, table) + [each.column for each in settings])


def needs_get(schema: Schema, call: Call) -> Needs:
    """Needs of get and clear."""
    table = schema.find(call.args[0])
    words = [word for word in call.args[2:] if not _is_uuid_column(word)]
    return _needs(schema, table, [Setting(table, word, ()).column for word in words])


def needs_set(schema: Schema, call: Call) -> Needs:
    """Needs of set."""
    table = schema.find(call.args[0])
    return _needs(schema, table, [Setting(table, word, EQUALS).column for word in call.args[2:]])


def needs_wait(schema: Schema, call: Call) -> Needs:
    """Needs of wait-until."""
    table = schema.find(call.args[0])
    return _needs(schema, table, [Setting(table, word, CONDITIONS).column for word in call.args[2:]])


def needs_column(schema: Schema, call: Call) -> Needs:
    """Needs of add and remove."""
    table = schema.find(call.args[0])
    return _needs(schema, table, [table.column(call.args[2])])


def needs_create(schema: Schema, call: Call) -> Needs:
    """Needs of create."""
    table = schema.find(call.args[0])
    settings = [Setting(table, word, EQUALS) for word in call.args[1:]]
    return [(table.name, ""), *((table.name, each.column.name) for each in settings)]


def needs_rows(schema: Schema, call: Call) -> Needs:
    """Needs of destroy."""
    return needs_names(schema, schema.find(call.args[0]))


def needs_show(schema: Schema, _call: Call) -> Needs:
    """Needs of show."""
    from vswitchd.vsctl.show import TREE

    wanted = [(table, column) for table, (_, columns) in TREE.items() for column in columns]
    named = [(table, name) for table, (name, _) in TREE.items()]
    return [(table, column) for table, column in wanted + named if table in schema.names()]


# --- rows ----------------------------------------------------------------------------------------------------------


def find_row(ctx: Context, table: Table, name: str, *, required: bool = True) -> Row | None:
    """Return the row of a table that ``name`` means: a UUID, a name, or the start of a UUID; raises ConfigError."""
    row = ctx.txn.row(table.name, name.lower()) if values.is_uuid(name) else None
    row = row or _row_by_name(ctx, table, name) or _row_by_part(ctx, table, name)
    if row is None and required:
        raise ConfigError(f'no row "{name}" in table {table.name}')
    return row


def _row_by_name(ctx: Context, table: Table, name: str) -> Row | None:
    if name == ".":
        only = ctx.txn.rows(table.name)
        if len(only) == 1:
            return only[0]
    where, column, reference = ROW_NAMES.get(table.name, ("", "", ""))
    if not column:
        return None
    kind = ctx.schema.table(where).columns[column].key.kind
    wanted: Any = name
    if kind == "integer":
        if not values.DIGITS.issuperset(name) or not name:
            return None
        wanted = int(name)
    rows = [row for row in ctx.txn.rows(where) if row.one(column, None) == wanted]
    if len(rows) > 1:
        raise ConfigError(f'multiple rows in {where} match "{name}"')
    if not rows or not reference:
        return rows[0] if rows else None
    rows[0].verify(reference)
    found = ctx.txn.refs(rows[0], reference, table.name)
    return found[0] if found else None


def _row_by_part(ctx: Context, table: Table, text: str) -> Row | None:
    start = text.lower()
    if len(start) < PARTIAL_UUID or not values.is_uuid_start(start):
        return None
    found = [row for row in ctx.txn.rows(table.name) if row.uuid.startswith(start)]
    if len(found) > 1:
        two = f"at least {found[0].uuid} and {found[1].uuid}"
        raise ConfigError(f"{table.name} contains 2 or more rows whose UUIDs begin with {text}: {two}")
    return found[0] if found else None


def read(row: Row, column: Column) -> Datum:
    """Return a column's value, the default one if a new row has none."""
    if column is UUID:
        return [row.uuid]
    if column.name in row.new or column.name in row.old:
        return row.get(column.name)
    return column.default  # type: ignore[no-any-return]


def _check_mutable(row: Row, column: Column, table: Table) -> None:
    if not column.mutable and not row.inserted:
        raise ConfigError(f"cannot modify read-only column {column.name} in table {table.name}")


def _target(ctx: Context, call: Call) -> tuple[Table, Row | None]:
    """Return the table and row that the first two arguments name; None for a row that need not exist."""
    table = ctx.schema.find(call.args[0])
    return table, find_row(ctx, table, call.args[1], required=not has(call, "--if-exists"))


# --- reading -------------------------------------------------------------------------------------------------------


def list_rows(ctx: Context, call: Call) -> None:
    """Print rows."""
    table = ctx.schema.find(call.args[0])
    if len(call.args) == 1:
        rows: list[Row | None] = [*ctx.txn.rows(table.name)]
    else:
        rows = [find_row(ctx, table, name, required=not has(call, "--if-exists")) for name in call.args[1:]]
    _print(call, table, [row for row in rows if row is not None])


def find(ctx: Context, call: Call) -> None:
    """Print the rows that fulfil all conditions."""
    table = ctx.schema.find(call.args[0])
    conditions = [_condition(ctx, table, text) for text in call.args[1:]]
    _print(call, table, [row for row in ctx.txn.rows(table.name) if all(check(row) for check in conditions)])


def _print(call: Call, table: Table, rows: list[Row]) -> None:
    call.listing = listing = Listing(_listed(call, table))
    listing.rows = [[read(row, column) for column in listing.columns] for row in rows]


def get(ctx: Context, call: Call) -> None:
    """Print values of a row; raises ConfigError."""
    name = call.options.get("--id")
    if name is not None and has(call, "--if-exists"):
        raise ConfigError("--if-exists and --id may not be specified together")
    table, row = _target(ctx, call)
    if row is None:
        return
    if name is not None:
        ctx.define(name, uuid=row.uuid).strong = True
    found: dict[str, Any] = {}
    for word in call.args[2:]:
        if _is_uuid_column(word):
            call.line(row.uuid)
            found["_uuid"] = ["uuid", str(row.uuid)]
            continue
        setting = Setting(table, word, ())
        row.verify(setting.column.name)
        text, found[word] = _get(call, table, row, setting)
        call.line(text)
    call.data = [found]


def _get(call: Call, table: Table, row: Row, setting: Setting) -> tuple[str, Any]:
    """Return a value as text and as JSON; raises ConfigError."""
    column, value = setting.column, read(row, setting.column)
    if setting.key is None:
        return values.value_text(value, column), values.value_json(value, column)
    if column.value is None or not isinstance(value, dict):
        raise ConfigError(f"cannot specify key to get for non-map column {column.name}")
    key = values.parse_atom(setting.key, column.key)
    if key in value:
        part = column.like(1, 1, values=True)
        return values.value_text([value[key]], part), values.value_json([value[key]], part)
    if has(call, "--if-exists"):
        return "", None
    where = f'{table.name} record "{call.args[1]}" column {column.name}'
    raise ConfigError(f'no key "{setting.key}" in {where}')


# --- conditions ----------------------------------------------------------------------------------------------------


def _members(value: Datum) -> set[Any]:
    return set(value.items()) if isinstance(value, dict) else set(value)


def _compare(one: Datum, other: Datum) -> int:
    """Return -1, 0 or 1: the larger value has more members, else a larger first differing one."""
    ranks = []
    for value in (one, other):
        keys = sorted(value)
        ranks.append((len(value), keys, [value[key] for key in keys] if isinstance(value, dict) else []))
    return (ranks[0] > ranks[1]) - (ranks[0] < ranks[1])


RELATIONS: dict[str, Callable[[Datum, Datum], bool]] = {
    "=": lambda a, b: _compare(a, b) == 0,
    "!=": lambda a, b: _compare(a, b) != 0,
    "<": lambda a, b: _compare(a, b) < 0,
    ">": lambda a, b: _compare(a, b) > 0,
    "<=": lambda a, b: _compare(a, b) <= 0,
    ">=": lambda a, b: _compare(a, b) >= 0,
    "{=}": lambda a, b: _members(a) == _members(b),
    "{!=}": lambda a, b: _members(a) != _members(b),
    "{<}": lambda a, b: _members(a) < _members(b),
    "{>}": lambda a, b: _members(a) > _members(b),
    "{<=}": lambda a, b: _members(a) <= _members(b),
    "{>=}": lambda a, b: _members(a) >= _members(b),
    "{in}": lambda a, b: _members(a) <= _members(b),
    "{not-in}": lambda a, b: not _members(a) & _members(b),
}


def _condition(ctx: Context, table: Table, text: str) -> Callable[[Row], bool]:
    """Return the condition that ``text`` means; raises ConfigError."""
    setting = Setting(table, text, CONDITIONS)
    column, relation = setting.column, RELATIONS[setting.operator]
    if setting.key is None:
        wanted = values.parse_value(setting.value, column, ctx.symbol)
        return lambda row: relation(read(row, column), wanted)
    if column.value is None:
        raise ConfigError(f"cannot specify key to check for non-map column {column.name}")
    key = values.parse_atom(setting.key, column.key, ctx.symbol)
    on_sets = setting.operator.startswith("{")
    part = column.like(1, UNLIMITED if on_sets else 1, values=True)
    wanted = values.parse_value(setting.value, part, ctx.symbol)

    def check(row: Row) -> bool:
        pairs = row.map(column.name)
        if key not in pairs:
            return on_sets and relation([], wanted)
        return relation([pairs[key]], wanted)

    return check


def wait_until(ctx: Context, call: Call) -> None:
    """Raise TryAgain until a row exists and fulfils all conditions; raises ConfigError for wrong ones."""
    table = ctx.schema.find(call.args[0])
    conditions = [_condition(ctx, table, text) for text in call.args[2:]]
    row = find_row(ctx, table, call.args[1], required=False)
    if row is None or not all(check(row) for check in conditions):
        raise TryAgain


# --- changing ------------------------------------------------------------------------------------------------------


def set_columns(ctx: Context, call: Call) -> None:
    """Set columns of a row; raises ConfigError."""
    table, row = _target(ctx, call)
    if row is not None:
        set_all(ctx, table, row, call.args[2:])


def set_all(ctx: Context, table: Table, row: Row, words: list[str]) -> None:
    """Set what arguments COLUMN[:KEY]=VALUE say; raises ConfigError."""
    for word in words:
        setting = Setting(table, word, EQUALS)
        column = setting.column
        _check_mutable(row, column, table)
        if setting.key is None:
            row.write(column.name, values.parse_value(setting.value, column, ctx.symbol))
            continue
        if column.value is None:
            raise ConfigError(f"cannot specify key to set for non-map column {column.name}")
        key = values.parse_atom(setting.key, column.key, ctx.symbol)
        pair = {key: values.parse_atom(setting.value, column.value, ctx.symbol)}
        if row.map(column.name).get(key) != pair[key]:
            row.insert(column.name, pair)
    ctx.forget_names()


def add(ctx: Context, call: Call) -> None:
    """Add members or pairs to a column; raises ConfigError."""
    table, row = _target(ctx, call)
    if row is None:
        return
    column = table.column(call.args[2])
    _check_mutable(row, column, table)
    for word in call.args[3:]:
        row.insert(column.name, values.parse_value(word, column.like(1, UNLIMITED), ctx.symbol))
    ctx.forget_names()


def remove(ctx: Context, call: Call) -> None:
    """Take members or pairs out of a column; raises ConfigError."""
    table, row = _target(ctx, call)
    if row is None:
        return
    column = table.column(call.args[2])
    _check_mutable(row, column, table)
    left = read(row, column)
    for word in call.args[3:]:
        left = _without(ctx, left, word, column)
    if len(left) < column.n_min:
        unit = "pairs" if column.value is not None else "values"
        where = f"column {column.name} of table {table.name}"
        raise ConfigError(
            f'"remove" operation would put {len(left)} {unit} in {where} but the minimum number is {column.n_min}'
        )
    row.verify(column.name)
    row.write(column.name, left)
    ctx.forget_names()


def _without(ctx: Context, old: Datum, word: str, column: Column) -> Datum:
    """Return a value without the members, pairs, or pairs with the keys that ``word`` names; raises ConfigError."""
    if not isinstance(old, dict):
        gone = _members(values.parse_value(word, column.like(1, UNLIMITED), ctx.symbol))
        return [atom for atom in old if atom not in gone]
    try:
        pairs = values.parse_value(word, column.like(1, UNLIMITED), ctx.symbol)
    except ConfigError:
        keys = values.parse_value(word, column.like(1, UNLIMITED, keys=True), ctx.symbol)
        return {key: value for key, value in old.items() if key not in keys}
    unwanted = pairs if isinstance(pairs, dict) else {}
    return {key: value for key, value in old.items() if key not in unwanted or unwanted[key] != value}


def clear(ctx: Context, call: Call) -> None:
    """Empty columns of a row; raises ConfigError."""
    table, row = _target(ctx, call)
    if row is None:
        return
    for word in call.args[2:]:
        column = table.column(word)
        _check_mutable(row, column, table)
        if column.n_min > 0:
            where = f"column {column.name} of table {table.name}"
            raise ConfigError(
                f'"clear" operation cannot be applied to {where}, which is not allowed to be empty'
            )
        row.write(column.name, column.default)
    ctx.forget_names()


def create(ctx: Context, call: Call) -> None:
    """Add a row and print its UUID; raises ConfigError."""
    table = ctx.schema.find(call.args[0])
    name = call.options.get("--id")
    if name is not None and values.is_uuid(name):
        row = ctx.txn.insert(table.name, Uuid(name.lower()), fixed=True)
    elif name is not None:
        symbol = ctx.define(name)
        symbol.strong = symbol.strong or table.is_root
        row = ctx.txn.insert(table.name, symbol.uuid)
    else:
        if not table.is_root:
            text = f'applying "create" command to table {table.name} without --id option will have no effect'
            ctx.warn("db_ctl_base", text)
        row = ctx.txn.insert(table.name)
    set_all(ctx, table, row, call.args[1:])
    call.made = row


def destroy(ctx: Context, call: Call) -> None:
    """Delete rows; raises ConfigError."""
    table = ctx.schema.find(call.args[0])
    if has(call, "--all"):
        if len(call.args) > 1:
            raise ConfigError("--all and records argument should not be specified together")
        if has(call, "--if-exists"):
            raise ConfigError("--all and --if-exists should not be specified together")
        rows: list[Row | None] = [*ctx.txn.rows(table.name)]
    else:
        if len(call.args) == 1:
            ctx.warn("db_ctl_base", "either --all or records argument should be specified")
        rows = [find_row(ctx, table, name, required=not has(call, "--if-exists")) for name in call.args[1:]]
    for row in rows:
        if row is not None and (table.is_root or row.inserted):
            ctx.txn.delete(row)
    ctx.forget_names()


def comment(_ctx: Context, _call: Call) -> None:
    """Do nothing: each transaction carries the command line anyway."""
