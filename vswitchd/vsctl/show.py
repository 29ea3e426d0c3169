"""The command show: the configuration as a tree."""

from __future__ import annotations

from vswitchd.vsctl import values
from vswitchd.vsctl.database import read

TYPE_CHECKING = False  # importing typing costs 8 ms
if TYPE_CHECKING:
    from typing import Any

    from ovsdb.blocking import Row
    from vswitchd.vsctl.context import Context
    from vswitchd.vsctl.schema import Column
    from vswitchd.vsctl.table import Call

# Table -> column that names its rows, columns shown; a reference to a table of this tree shows that row below.
TREE: dict[str, tuple[str, tuple[str, ...]]] = {
    "Open_vSwitch": ("", ("manager_options", "bridges", "ovs_version")),
    "Manager": ("target", ("is_connected",)),
    "Bridge": ("name", ("controller", "fail_mode", "datapath_type", "ports")),
    "Controller": ("target", ("is_connected",)),
    "Port": ("name", ("tag", "trunks", "interfaces")),
    "Interface": ("name", ("type", "options", "error")),
}
INDENT = "    "


def show(ctx: Context, call: Call) -> None:
    """Print the tree below the Open_vSwitch row."""
    call.line(ctx.ovs.uuid)
    call.data = [{"_uuid": ["uuid", str(ctx.ovs.uuid)], **_below(ctx, call, ctx.ovs, 1)}]


def _below(ctx: Context, call: Call, row: Row, level: int) -> dict[str, Any]:
    """Print what hangs on a row and return it for JSON."""
    found: dict[str, Any] = {}
    table = ctx.schema.table(row.table)
    for name in TREE[row.table][1]:
        column = table.columns.get(name)
        if column is None:
            continue
        if column.key.ref in TREE:
            found[name] = [_show(ctx, call, each, level) for each in ctx.txn.refs(row, name, column.key.ref)]
        else:
            _leaf(call, row, column, level, found)
    return found


def _leaf(call: Call, row: Row, column: Column, level: int, found: dict[str, Any]) -> None:
    value = read(row, column)
    if value == column.default:
        return
    call.line(f"{INDENT * level}{column.name}: {values.value_text(value, column)}")
    found[column.name] = values.value_json(value, column)


def _show(ctx: Context, call: Call, row: Row, level: int) -> dict[str, Any]:
    """Print a row and what is below; return it for JSON."""
    name = TREE[row.table][0]
    title = read(row, ctx.schema.table(row.table).columns[name])
    call.line(f"{INDENT * level}{row.table} {values.value_text(title, ctx.schema.table(row.table).columns[name])}")
    return {name: row.one(name), **_below(ctx, call, row, level + 1)}
