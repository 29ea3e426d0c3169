"""Commands about the switch as a whole, Auto Attach mappings and datapaths."""

from __future__ import annotations

from ovsdb.blocking import Row
from vslib.errors import ConfigError
from vswitchd.vsctl.context import has
from vswitchd.vsctl.values import whole_number

TYPE_CHECKING = False  # importing typing costs 8 ms
if TYPE_CHECKING:
    from vswitchd.vsctl.context import Context
    from vswitchd.vsctl.table import Call

ZONE_MAX = 65535
HARMLESS = ("hwaddr",)  # keys of a bridge's other_config that emer-reset leaves: they are who the bridge is


def init(_ctx: Context, _call: Call) -> None:
    """Do nothing: the row is made before any command."""


def emer_reset(ctx: Context, _call: Call) -> None:
    """Take back what connects the switch with others and whatever is not needed to switch."""
    ctx.ovs.write("manager_options", [])
    ctx.ovs.write("ssl", [])
    for row in ctx.txn.rows("Bridge"):
        for column in ("controller", "fail_mode", "mirrors", "netflow", "sflow", "ipfix"):
            row.write(column, [])
        old = row.map("other_config")
        row.write("other_config", {key: old[key] for key in HARMLESS if key in old})
    for row in ctx.txn.rows("Port"):
        row.write("other_config", {})
    for row in ctx.txn.rows("Interface"):
        row.write("ingress_policing_rate", [0])
        row.write("ingress_policing_burst", [0])


def _number(text: str) -> int:
    try:
        return whole_number(text)
    except ConfigError:
        raise ConfigError(f"Invalid argument {text}") from None


def _auto_attach(ctx: Context, name: str) -> tuple[Row, Row | None]:
    """Return a bridge's row and its AutoAttach row."""
    bridge = ctx.find_bridge(name).real_row
    found = ctx.txn.refs(bridge, "auto_attach", "AutoAttach")
    return bridge, found[0] if found else None


def add_aa_mapping(ctx: Context, call: Call) -> None:
    """Add a mapping from a service identifier to a VLAN."""
    bridge, row = _auto_attach(ctx, call.args[0])
    isid, vlan = map(_number, call.args[1:])
    if row is None:
        row = ctx.txn.insert("AutoAttach", mappings={})
        bridge.verify("auto_attach")
        bridge.write("auto_attach", [row.uuid])
    row.insert("mappings", {isid: vlan})


def del_aa_mapping(ctx: Context, call: Call) -> None:
    """Remove a mapping if its service identifier and VLAN are as told."""
    _, row = _auto_attach(ctx, call.args[0])
    isid, vlan = map(_number, call.args[1:])
    if row is not None and row.map("mappings").get(isid) == vlan:
        row.verify("mappings")
        row.remove("mappings", [isid])


def get_aa_mapping(ctx: Context, call: Call) -> None:
    """Print a bridge's mappings."""
    _, row = _auto_attach(ctx, call.args[0])
    pairs = sorted(row.map("mappings").items()) if row is not None else []
    for isid, vlan in pairs:
        call.line(f"{isid} {vlan}")
    call.data = [{"i-sid": isid, "vlan": vlan} for isid, vlan in pairs]


# --- datapaths -----------------------------------------------------------------------------------------------------


def _datapath(ctx: Context, name: str, missing: str) -> Row:
    """Return a datapath's row; raises ConfigError with the text ``missing``."""
    uuid = ctx.ovs.map("datapaths").get(name)
    row = ctx.txn.row("Datapath", uuid) if uuid is not None else None
    if row is None:
        raise ConfigError(missing)
    return row


def _zone(text: str) -> int:
    name, _, number = text.partition("=")
    if name != "zone" or not number.isascii() or not number.isdigit() or int(number) > ZONE_MAX:
        raise ConfigError(f"{text}: expected zone=NUMBER, with a number between 0 and {ZONE_MAX}")
    return int(number)


def _timeout(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if not name or not number.isascii() or not number.isdigit():
        raise ConfigError(f"{text}: expected POLICY=SECONDS")
    return name, int(number)


def add_zone_tp(ctx: Context, call: Call) -> None:
    """Give a conntrack zone timeouts; raises ConfigError."""
    name = call.args[0]
    row = _datapath(ctx, name, f"datapath {name} does not exist")
    zone = _zone(call.args[1])
    timeouts = dict(map(_timeout, call.args[2:]))
    if zone in row.map("ct_zones"):
        if has(call, "--may-exist"):
            return
        raise ConfigError(f"zone id {zone} already exists")
    policy = ctx.txn.insert("CT_Timeout_Policy", timeouts=timeouts)
    made = ctx.txn.insert("CT_Zone", timeout_policy=[policy.uuid])
    row.verify("ct_zones")
    row.insert("ct_zones", {zone: made.uuid})


def del_zone_tp(ctx: Context, call: Call) -> None:
    """Take a conntrack zone's timeouts away; raises ConfigError."""
    name = call.args[0]
    row = _datapath(ctx, name, f"datapath {name} does not exist")
    zone = _zone(call.args[1])
    if zone in row.map("ct_zones"):
        row.remove("ct_zones", [zone])
    elif not has(call, "--if-exists"):
        raise ConfigError(f"zone id {zone} does not exist")


def list_zone_tp(ctx: Context, call: Call) -> None:
    """Print the timeouts of all conntrack zones."""
    name = call.args[0]
    row = _datapath(ctx, name, f"datapath: {name} record not found")
    call.data = []
    for zone, uuid in sorted(row.map("ct_zones").items()):
        zone_row = ctx.txn.row("CT_Zone", uuid)
        policies = ctx.txn.refs(zone_row, "timeout_policy", "CT_Timeout_Policy") if zone_row else []
        timeouts = sorted(policies[0].map("timeouts").items()) if policies else []
        text = "".join(f"{key}={value} " for key, value in timeouts).rstrip() or "system default"
        call.line(f"Zone:{zone}, Timeout Policies: {text}")
        call.data.append({"zone": zone, "timeouts": dict(timeouts)})


def list_dp_cap(ctx: Context, call: Call) -> None:
    """Print what a datapath can do."""
    name = call.args[0]
    row = _datapath(ctx, name, f'datapath "{name}" record not found')
    pairs = sorted(row.map("capabilities").items())
    call.output.append("".join(f"{key}={value} " for key, value in pairs) + "\n")
    call.data = [dict(pairs)]
