"""Write the state of the running switch back into the database: columns that clients read.

Only values that changed since the last write go into a transaction, so that monitors are not flooded (DB.44).
"""

from __future__ import annotations

import os
import uuid
from typing import Any

from datapath.ports.afpacket import AfPacketPort
from datapath.ports.afxdp import AfXdpPort
from datapath.ports.port import PortHandle
from ovsdb.idl import Idl
from vslib import vlog
from vslib.version import OVS_VERSION
from vswitchd.bridge import Bridge, RunningPort
from vswitchd.core import Core
from vswitchd.desired import Desired, DesiredInterface
from vswitchd.devices import interface_types

log = vlog.get("bridge")

DATAPATH_TYPES = ("netdev", "system")
DATAPATH_VERSION = "<built-in>"
SCHEMA_VERSION = "8.8.0"
# Interface.statistics key -> key of the datapath's counters.
STATISTICS = {
    "collisions": None,
    "rx_bytes": "rx_bytes",
    "rx_crc_err": None,
    "rx_dropped": "rx_dropped",
    "rx_errors": "rx_errors",
    "rx_frame_err": None,
    "rx_missed_errors": None,
    "rx_multicast_packets": "multicast",
    "rx_over_err": None,
    "rx_packets": "rx_packets",
    "tx_bytes": "tx_bytes",
    "tx_dropped": "tx_dropped",
    "tx_errors": "tx_errors",
    "tx_packets": "tx_packets",
}
# Columns that only we write: their changes are no news to us.
STATUS_COLUMNS: dict[str, frozenset[str]] = {
    "Open_vSwitch": frozenset(
        {
            "cur_cfg",
            "ovs_version",
            "db_version",
            "system_type",
            "system_version",
            "iface_types",
            "datapath_types",
            "statistics",
        }
    ),
    "Bridge": frozenset({"datapath_id", "datapath_version", "status", "rstp_status"}),
    "Port": frozenset({"status", "statistics"}),
    "Interface": frozenset(
        {
            "admin_state",
            "link_state",
            "link_resets",
            "mac_in_use",
            "mtu",
            "ifindex",
            "duplex",
            "link_speed",
            "status",
            "statistics",
            "ofport",
            "error",
        }
    ),
    "Controller": frozenset({"is_connected", "role", "status"}),
}
NOTHING: dict[str, Any] = {
    "admin_state": None,
    "link_state": None,
    "mac_in_use": None,
    "mtu": None,
    "ifindex": None,
    "duplex": None,
    "link_speed": None,
    "link_resets": None,
    "status": {},
    "statistics": {},
}


def text_of_mac(mac: bytes) -> str:
    """Return a MAC address in colon form."""
    return mac.hex(":")


def statistics(core: Core, bridge: Bridge, port: RunningPort) -> dict[str, int]:
    """Return Interface.statistics of a running port."""
    if port.dp_port is None:
        return bridge.patch_counts(port)
    counts = core.datapath.port_stats(port.dp_port)
    return {key: int(counts.get(source, 0)) if source else 0 for key, source in STATISTICS.items()}


def io_status(handle: PortHandle | None) -> dict[str, str]:
    """Return how frames of a device of the host are moved, for Interface.status; empty for other ports."""
    if isinstance(handle, AfXdpPort):
        return {"io": "afxdp", "xdp-mode-in-use": handle.mode_in_use}
    return {"io": "afpacket"} if isinstance(handle, AfPacketPort) else {}


def interface_columns(core: Core, bridge: Bridge, port: RunningPort) -> dict[str, Any]:
    """Return what Interface columns should say of a running port."""
    link = port.link
    columns: dict[str, Any] = {
        "admin_state": "up" if link.up or port.kind == "patch" else "down",
        "link_state": "up" if port.link_up else "down",
        "link_resets": port.link_resets,
        "mac_in_use": text_of_mac(link.mac),
        "ofport": port.short_number,
        "error": None,
        "ifindex": link.ifindex,
        "statistics": statistics(core, bridge, port),
    }
    if port.kind == "patch":
        return columns | {"mtu": None, "duplex": None, "link_speed": None, "status": {}}
    return columns | {
        "mtu": link.mtu,
        "duplex": "full" if link.full_duplex else None,
        "link_speed": link.speed_kbps * 1000 if link.speed_kbps else None,
        "status": dict(link.status) | io_status(port.handle),
    }


def failed_columns(error: str | None) -> dict[str, Any]:
    """Return what Interface columns should say of an interface that does not run."""
    return NOTHING | {"ofport": -1, "error": error}


class StatusWriter:
    """Compares what the database says with what is, and writes the difference."""

    def __init__(self, core: Core, idl: Idl) -> None:
        self.core = core
        self.idl = idl

    def _update(self, txn: Any, table: str, row_uuid: uuid.UUID, columns: dict[str, Any]) -> None:
        row = self.idl.tables[table].rows.get(row_uuid)
        if row is None:
            return
        txn.update(row, **columns)

    async def write(self, desired: Desired, errors: dict[str, str], cur_cfg: int | None) -> None:
        """Write all status columns, and `cur_cfg` last when it is not None."""
        txn = self.idl.txn()
        for name, wanted in desired.bridges.items():
            bridge = self.core.bridges.get(name)
            if bridge is None:
                continue
            self._update(
                txn,
                "Bridge",
                wanted.row,
                {
                    "datapath_id": f"{bridge.datapath_id:016x}",
                    "datapath_version": DATAPATH_VERSION,
                },
            )
            for port in wanted.ports:
                for interface in port.interfaces:
                    self._interface(txn, bridge, interface, errors)
            self._controllers(txn, bridge)
        self._root(txn, desired, cur_cfg)
        await txn.commit()

    def _interface(self, txn: Any, bridge: Bridge, wanted: DesiredInterface, errors: dict[str, str]) -> None:
        port = bridge.ports_by_name.get(wanted.name)
        error = errors.get(wanted.name)
        if port is None:
            columns = failed_columns(error)
        else:
            columns = interface_columns(self.core, bridge, port) | {"error": error}
        self._update(txn, "Interface", wanted.row, columns)

    def _controllers(self, txn: Any, bridge: Bridge) -> None:
        status = bridge.channel.status()
        for controller in bridge.wanted.controllers:
            now = status.get(controller.target)
            if now is None:
                continue
            columns = dict(now)
            self._update(
                txn,
                "Controller",
                controller.row,
                {
                    "is_connected": columns.pop("is_connected"),
                    "role": columns.pop("role", None),
                    "status": {k: str(v) for k, v in columns.items() if v is not None},
                },
            )

    def _root(self, txn: Any, desired: Desired, cur_cfg: int | None) -> None:
        if desired.root is None:
            return
        row = self.idl.tables["Open_vSwitch"].rows.get(desired.root)
        if row is None:
            return
        columns: dict[str, Any] = {"iface_types": interface_types(), "datapath_types": DATAPATH_TYPES}
        if row.ovs_version is None:
            columns["ovs_version"] = OVS_VERSION
        if row.db_version is None:
            columns["db_version"] = SCHEMA_VERSION
        if row.system_type is None:
            columns["system_type"], columns["system_version"] = system_facts()
        if cur_cfg is not None:
            columns["cur_cfg"] = cur_cfg
        self._update(txn, "Open_vSwitch", desired.root, columns)


def system_facts() -> tuple[str, str]:
    """Return the operating system's name and version as /etc/os-release has them."""
    facts = {"ID": "unknown", "VERSION_ID": "unknown"}
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        if os.path.exists(path):
            with open(path, encoding="utf-8") as lines:
                for line in lines:
                    key, _, value = line.strip().partition("=")
                    if key in facts:
                        facts[key] = value.strip('"')
            break
    return facts["ID"], facts["VERSION_ID"]
