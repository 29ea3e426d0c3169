"""Commands about controllers, fail modes, managers and TLS keys."""

from __future__ import annotations

from ovsdb.blocking import Row
from vslib.errors import ConfigError
from vswitchd.vsctl.context import has

TYPE_CHECKING = False  # importing typing costs 8 ms
if TYPE_CHECKING:
    from vswitchd.vsctl.context import Context
    from vswitchd.vsctl.table import Call

TARGETS = ("tcp", "ssl", "unix", "ptcp", "pssl", "punix")
FAIL_MODES = ("standalone", "secure")
PROBE = "--inactivity-probe"


def _print_targets(ctx: Context, call: Call, row: Row, column: str, table: str) -> None:
    for target in sorted(each.one("target") for each in ctx.txn.refs(row, column, table)):
        call.line(target)


def _set_targets(ctx: Context, call: Call, row: Row, column: str, table: str, targets: list[str]) -> None:
    """Put new rows for ``targets`` in the place of what a column refers to; raises ConfigError."""
    uuids = []
    for target in targets:
        if target.partition(":")[0] not in TARGETS or ":" not in target:
            ctx.warn("vsctl", f'target type "{target}" is possibly erroneous')
        made = ctx.txn.insert(table, target=[target])
        if has(call, PROBE):
            made.write("inactivity_probe", [_milliseconds(call.options[PROBE] or "")])
        uuids.append(made.uuid)
    row.verify(column)
    row.write(column, list(uuids))


def _milliseconds(text: str) -> int:
    from vswitchd.vsctl.values import whole_number

    try:
        return whole_number(text)
    except ConfigError:
        raise ConfigError(f'{PROBE}: "{text}" is not a number of milliseconds') from None


def get_controller(ctx: Context, call: Call) -> None:
    """Print a bridge's controllers."""
    _print_targets(ctx, call, ctx.find_bridge(call.args[0]).real_row, "controller", "Controller")


def del_controller(ctx: Context, call: Call) -> None:
    """Remove a bridge's controllers."""
    row = ctx.find_real_bridge(call.args[0]).real_row
    row.verify("controller")
    row.write("controller", [])


def set_controller(ctx: Context, call: Call) -> None:
    """Set a bridge's controllers."""
    row = ctx.find_real_bridge(call.args[0]).real_row
    _set_targets(ctx, call, row, "controller", "Controller", call.args[1:])


def get_fail_mode(ctx: Context, call: Call) -> None:
    """Print a bridge's fail mode."""
    mode = ctx.find_bridge(call.args[0]).real_row.one("fail_mode")
    if mode:
        call.line(mode)


def del_fail_mode(ctx: Context, call: Call) -> None:
    """Remove a bridge's fail mode."""
    ctx.find_real_bridge(call.args[0]).real_row.write("fail_mode", [])


def set_fail_mode(ctx: Context, call: Call) -> None:
    """Set a bridge's fail mode."""
    row = ctx.find_real_bridge(call.args[0]).real_row
    if call.args[1] not in FAIL_MODES:
        raise ConfigError('fail-mode must be "standalone" or "secure"')
    row.write("fail_mode", [call.args[1]])


def get_manager(ctx: Context, call: Call) -> None:
    """Print the managers."""
    _print_targets(ctx, call, ctx.ovs, "manager_options", "Manager")


def del_manager(ctx: Context, _call: Call) -> None:
    """Remove the managers."""
    ctx.ovs.verify("manager_options")
    ctx.ovs.write("manager_options", [])


def set_manager(ctx: Context, call: Call) -> None:
    """Set the managers."""
    _set_targets(ctx, call, ctx.ovs, "manager_options", "Manager", call.args)


def get_ssl(ctx: Context, call: Call) -> None:
    """Print the files of the TLS keys."""
    for row in ctx.txn.refs(ctx.ovs, "ssl", "SSL"):
        call.line(f"Private key: {row.one('private_key')}")
        call.line(f"Certificate: {row.one('certificate')}")
        call.line(f"CA Certificate: {row.one('ca_cert')}")
        call.line(f"Bootstrap: {'true' if row.one('bootstrap_ca_cert', False) else 'false'}")
        columns = ("private_key", "certificate", "ca_cert", "bootstrap_ca_cert")
        call.data = [{column: row.one(column) for column in columns}]


def del_ssl(ctx: Context, _call: Call) -> None:
    """Remove the TLS keys."""
    ctx.ovs.verify("ssl")
    ctx.ovs.write("ssl", [])


def set_ssl(ctx: Context, call: Call) -> None:
    """Set the files of the TLS keys."""
    key, certificate, ca_cert = call.args
    made = ctx.txn.insert("SSL", private_key=[key], certificate=[certificate], ca_cert=[ca_cert])
    made.write("bootstrap_ca_cert", [has(call, "--bootstrap")])
    ctx.ovs.verify("ssl")
    ctx.ovs.write("ssl", [made.uuid])
