"""The configuration database read into plain dataclasses: what the switch is to be.

Nothing here touches the running switch; `reconfigure.py` compares these values with it. A wrong value in the database
never raises: it becomes
an entry of `problems` (for the log) and the default takes its place.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from datapath.datapath import DEFAULT_FLOW_LIMIT, DEFAULT_MAX_IDLE_MS
from ofproto.packet_in_queue import DEFAULT_QUEUE_SIZE, Limits
from vslib import dirs
from vslib.stream_tls import TlsFiles
from vswitchd import desired_threads
from vswitchd.desired_threads import Threads

TABLES: dict[str, list[str] | None] = {
    "Open_vSwitch": None,
    "Bridge": None,
    "Port": None,
    "Interface": None,
    "Controller": None,
    "SSL": None,
}

OPENFLOW_VERSIONS = {
    "OpenFlow10": 1,
    "OpenFlow11": 2,
    "OpenFlow12": 3,
    "OpenFlow13": 4,
    "OpenFlow14": 5,
    "OpenFlow15": 6,
}
VLAN_MODES = ("access", "trunk", "native-tagged", "native-untagged", "dot1q-tunnel")
LAST_OFPORT = 0xFEFF
# Columns that are accepted and do nothing yet; one line in the log says so when they are set.
UNSUPPORTED: dict[str, tuple[str, ...]] = {
    "Bridge": (
        "auto_attach", "flood_vlans", "flow_tables", "ipfix", "mcast_snooping_enable", "mirrors", "netflow",
        "rstp_enable", "sflow", "stp_enable",
    ),
    "Port": ("cvlans", "protected", "qos"),
    "Interface": ("cfm_mpid", "ingress_policing_kpkts_rate", "ingress_policing_rate", "bfd", "lldp"),
}  # fmt: skip
DATAPATH_ID = re.compile(r"(?:0x)?([0-9a-fA-F]{1,16})")
MAC = re.compile(r"(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")


@dataclass(frozen=True)
class DesiredInterface:
    """One Interface row. ofport: the number it had or asks for, None = any; requested: it asks for that number.

    last_ofport: the one it had, None = it did not run; is_new: nobody has tried to make it run yet; mac: None also on
    the device of the bridge itself; affinity: cores that shall receive from its queues, by queue.
    """

    row: uuid.UUID
    name: str
    kind: str
    options: Mapping[str, str]
    ofport: int | None
    requested: bool
    mac: bytes | None
    mtu_request: int | None
    last_ofport: int | None = None
    is_new: bool = True
    affinity: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class DesiredPort:
    """One Port row with its interfaces; vlan_mode is one of VLAN_MODES, tag and trunks as in the database.

    mac: what counts when the bridge chooses its MAC address, None = the device's.
    """

    row: uuid.UUID
    name: str
    interfaces: tuple[DesiredInterface, ...]
    vlan_mode: str
    tag: int | None
    trunks: tuple[int, ...]
    mac: bytes | None = None


@dataclass(frozen=True)
class DesiredController:
    """One Controller row; times in milliseconds, None = the default."""

    row: uuid.UUID
    target: str
    max_backoff_ms: int | None
    inactivity_probe_ms: int | None
    kind: str | None
    async_messages: bool = True
    limits: Limits = Limits()


@dataclass(frozen=True)
class DesiredBridge:
    """One Bridge row; datapath_id None = derived from the MAC address; mac None = chosen."""

    row: uuid.UUID
    name: str
    ports: tuple[DesiredPort, ...]
    controllers: tuple[DesiredController, ...]
    secure: bool
    versions: frozenset[int]
    datapath_id: int | None
    hwaddr: bytes | None
    dp_desc: str | None
    dp_sn: str | None
    mac_aging_s: int
    mac_table_size: int
    forward_bpdu: bool
    datapath_type: str = "system"

    @property
    def local_interface(self) -> DesiredInterface | None:
        """Return the interface that is the bridge's own device, None when it has none."""
        for port in self.ports:
            for interface in port.interfaces:
                if interface.name == self.name:
                    return interface
        return None


@dataclass
class Desired:
    """The whole configuration. next_cfg is what to write to cur_cfg once it is real; problems are lines for the log.

    flow_limit: most megaflows; max_idle_ms: how long one that no packet uses is kept.
    """

    root: uuid.UUID | None = None
    next_cfg: int = 0
    other_config: Mapping[str, str] = field(default_factory=dict)
    bridges: dict[str, DesiredBridge] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    flow_limit: int = DEFAULT_FLOW_LIMIT
    max_idle_ms: int = DEFAULT_MAX_IDLE_MS
    tls: TlsFiles | None = None
    threads: Threads = Threads()


def parse_mac(text: str | None) -> bytes | None:
    """Return the six bytes of a unicast MAC address in colon form, None when `text` is no such address."""
    if text is None or not MAC.fullmatch(text):
        return None
    mac = bytes.fromhex(text.replace(":", ""))
    return None if mac[0] & 1 or not any(mac) else mac


class Reader:
    """Reads one snapshot of the database; see read()."""

    def __init__(self, tables: Mapping[str, Any]) -> None:
        self.tables = tables
        self.desired = Desired()

    def problem(self, text: str) -> None:
        self.desired.problems.append(text)

    def rows(self, table: str, uuids: Iterable[uuid.UUID]) -> list[Any]:
        """Return the referred rows that exist, in the order of their names."""
        rows = self.tables[table].rows
        found = [rows[u] for u in uuids if u in rows]
        return sorted(found, key=lambda row: str(getattr(row, "name", None) or getattr(row, "target", "")))

    def number(self, where: str, values: Mapping[str, str], key: str, default: int, low: int, high: int) -> int:
        """Return the integer `values[key]` within [low, high], or `default` with a problem noted."""
        text = values.get(key)
        if text is None:
            return default
        if re.fullmatch(r"-?\d+", text) and low <= int(text) <= high:
            return int(text)
        self.problem(f"{where}: other_config:{key}={text} is not a number from {low} to {high}; using {default}")
        return default

    def flag(self, where: str, values: Mapping[str, str], key: str) -> bool:
        """Return whether `values[key]` is "true"; anything but "true" and "false" is noted as a problem."""
        text = values.get(key, "false")
        if text not in ("true", "false"):
            self.problem(f"{where}: other_config:{key}={text} is neither true nor false; using false")
        return text == "true"

    def mac(self, where: str, text: str | None) -> bytes | None:
        """Return a MAC address, None with a problem noted when it is none that a device can have."""
        mac = parse_mac(text)
        if text is not None and mac is None:
            self.problem(f"{where}={text} is not a unicast Ethernet address; ignored")
        return mac

    def unsupported(self, table: str, row: Any) -> None:
        """Note the columns that are set and have no effect here."""
        for column in UNSUPPORTED[table]:
            if getattr(row, column, None):
                self.problem(f"{table.lower()} {row.name}: {column} is not supported; ignored")

    def interface(self, row: Any, bridge: str) -> DesiredInterface:
        self.unsupported("Interface", row)
        requested = self.ofport(f"interface {row.name}: ofport_request", row.ofport_request)
        mac = self.mac(f"interface {row.name}: mac", row.mac)
        if mac is not None and row.name == bridge:
            self.problem(f"interface {row.name}: ignoring mac in Interface record (use Bridge record to set local "
                         "port's mac)")  # fmt: skip
            mac = None
        had = row.ofport if row.ofport is not None and 1 <= row.ofport <= LAST_OFPORT else None
        return DesiredInterface(
            row=row.uuid,
            name=row.name,
            kind=row.type or "system",
            options=dict(row.options),
            ofport=requested if requested is not None else had,
            requested=requested is not None,
            mac=mac,
            mtu_request=row.mtu_request,
            last_ofport=had,
            is_new=row.ofport is None,
            affinity=desired_threads.affinity(row, self.problem),
        )

    def ofport(self, where: str, number: int | None) -> int | None:
        """Return a port number that a port may have, None with a problem noted for another."""
        if number is None or 1 <= number <= LAST_OFPORT:
            return number
        self.problem(f"{where}={number} is not a number from 1 to {LAST_OFPORT}; ignored")
        return None

    def port(self, row: Any, bridge: str) -> DesiredPort:
        self.unsupported("Port", row)
        interfaces = tuple(self.interface(r, bridge) for r in self.rows("Interface", row.interfaces))
        if len(interfaces) > 1:
            self.problem(f"port {row.name}: bonds are not supported; using interface {interfaces[0].name} only")
        tag, trunks = row.tag, tuple(sorted(row.trunks))
        mode = row.vlan_mode
        if mode is None:
            mode = "access" if tag is not None else "trunk"
            if tag is not None and trunks:
                self.problem(f"port {row.name}: ignoring trunks in favor of implicit vlan")
        if mode == "dot1q-tunnel":
            self.problem(f"port {row.name}: vlan_mode dot1q-tunnel is not supported; treating it as access")
            mode = "access"
        return DesiredPort(
            row=row.uuid,
            name=row.name,
            interfaces=interfaces[:1],
            vlan_mode=mode,
            tag=tag,
            trunks=trunks,
            mac=self.mac(f"port {row.name}: mac", getattr(row, "mac", None)),
        )

    def controller(self, row: Any, default_queue: int) -> DesiredController:
        probe_ms = row.inactivity_probe
        if probe_ms is not None and probe_ms < 0:
            self.problem(f"controller {row.target}: inactivity_probe={probe_ms} is negative; using 5000")
            probe_ms = None
        for column in ("local_ip", "local_netmask", "local_gateway"):
            if getattr(row, column, None):
                self.problem(f"controller {row.target}: {column} is not acted on: the host's own devices reach it")
        if getattr(row, "connection_mode", None) == "in-band":
            self.problem(f"controller {row.target}: connection_mode in-band is treated as out-of-band")
        return DesiredController(
            row=row.uuid,
            target=row.target,
            max_backoff_ms=row.max_backoff,
            inactivity_probe_ms=probe_ms,
            kind=row.type,
            async_messages=getattr(row, "enable_async_messages", None) is not False,
            limits=Limits(
                max(0, getattr(row, "controller_rate_limit", None) or 0),
                max(0, getattr(row, "controller_burst_limit", None) or 0),
                getattr(row, "controller_queue_size", None) or default_queue,
            ),
        )

    def controllers(self, bridge: Any) -> tuple[DesiredController, ...]:
        """Return the bridge's controllers; a single one called "none" means that there shall be none."""
        where = f"bridge {bridge.name}"
        default_queue = self.number(where, bridge.other_config, "controller-queue-size", DEFAULT_QUEUE_SIZE, 1, 512)
        rows = self.rows("Controller", bridge.controller)
        if [row.target for row in rows] == ["none"]:
            return ()
        found = [self.controller(row, default_queue) for row in rows]
        return tuple(each for each in found if self.may_connect(bridge.name, each.target))

    def may_connect(self, bridge: str, target: str) -> bool:
        """Tell whether a target is allowed: unix sockets only in the run directory, as who may write to the database
        shall not reach any socket of the host, nor make files anywhere.
        """
        method, _, path = target.partition(":")
        if method not in ("unix", "punix"):
            return True
        allowed = os.path.join(os.path.realpath(dirs.rundir()), "")
        if os.path.isabs(path) and os.path.join(os.path.realpath(os.path.dirname(path)), "").startswith(allowed):
            return True
        self.problem(f'bridge {bridge}: ignoring controller "{target}": unix sockets must be in {dirs.rundir()}')
        return False

    def tls(self, ssl: uuid.UUID | None) -> TlsFiles | None:
        """Return the files of the SSL row, if there is one."""
        for row in self.rows("SSL", [ssl]) if ssl is not None else ():
            if row.bootstrap_ca_cert and not os.path.exists(row.ca_cert):
                self.problem(f"SSL: bootstrap_ca_cert is not supported; {row.ca_cert} must exist")
            return TlsFiles(row.private_key, row.certificate, row.ca_cert)
        return None

    def versions(self, row: Any) -> frozenset[int]:
        named = frozenset(OPENFLOW_VERSIONS[name] for name in row.protocols if name in OPENFLOW_VERSIONS)
        return named or frozenset(OPENFLOW_VERSIONS.values())

    def datapath_id(self, row: Any) -> int | None:
        text = row.other_config.get("datapath-id")
        if text is None:
            return None
        match = DATAPATH_ID.fullmatch(text)
        value = int(match.group(1), 16) if match else 0
        if value == 0:
            self.problem(
                f"bridge {row.name}: other_config:datapath-id={text} is not 1 to 16 hex digits and nonzero; ignored"
            )
            return None
        return value

    def bridge(self, row: Any) -> DesiredBridge:
        other, where = row.other_config, f"bridge {row.name}"
        self.unsupported("Bridge", row)
        return DesiredBridge(
            row=row.uuid,
            name=row.name,
            ports=tuple(self.port(r, row.name) for r in self.rows("Port", row.ports)),
            controllers=self.controllers(row),
            secure=row.fail_mode == "secure",
            versions=self.versions(row),
            datapath_id=self.datapath_id(row),
            hwaddr=self.mac(f"{where}: other_config:hwaddr", other.get("hwaddr")),
            dp_desc=other.get("dp-desc"),
            dp_sn=other.get("dp-sn"),
            mac_aging_s=self.number(where, other, "mac-aging-time", 300, 15, 3600),
            mac_table_size=self.number(where, other, "mac-table-size", 8192, 10, 1_000_000),
            forward_bpdu=self.flag(where, other, "forward-bpdu"),
            datapath_type=getattr(row, "datapath_type", "") or "system",
        )

    def read(self) -> Desired:
        roots = list(self.tables["Open_vSwitch"].rows.values())
        if not roots:
            return self.desired
        root = roots[0]
        self.desired.root, self.desired.next_cfg, self.desired.other_config = (
            root.uuid,
            root.next_cfg,
            dict(root.other_config),
        )
        where, other = "Open_vSwitch", root.other_config
        self.flag(where, other, "flow-restore-wait")
        self.desired.flow_limit = self.number(where, other, "flow-limit", DEFAULT_FLOW_LIMIT, 1, 1 << 30)
        self.desired.max_idle_ms = self.number(where, other, "max-idle", DEFAULT_MAX_IDLE_MS, 500, 1 << 31)
        self.desired.threads = desired_threads.read(other, self.problem)
        self.desired.tls = self.tls(getattr(root, "ssl", None))
        for row in self.rows("Bridge", root.bridges):
            if "/" in row.name or not row.name or len(row.name) > 15:
                self.problem(f'ignoring bridge with invalid name "{row.name}"')
                continue
            self.desired.bridges[row.name] = self.bridge(row)
        return self.desired


def read(tables: Mapping[str, Any]) -> Desired:
    """Return the configuration in the replica `tables` (table name -> object with `rows`, a dict of rows by UUID)."""
    return Reader(tables).read()
