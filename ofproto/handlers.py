"""What each message does with the bridge: HANDLERS by the names in MESSAGES; statistics are in `stats.py`.

A handler gets the connection and the request, queues its answer on the connection's session, and raises OpenFlowError
for the error to answer. One that is a coroutine holds up the later messages of its connection, which is what keeps them
in order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ofproto import bundles, edits, messages, ports, stats, wire
from ofproto.errors import OpenFlowError
from ofproto.messages import MESSAGES
from ofproto.mod_store import ModStore
from ofproto.numbers import (
    OFP10,
    OFP13,
    OFP14,
    OFPP_ANY,
    OPENFLOW_TABLES,
    TABLE_ALL,
)
from ofproto.packet_in import ACTION, ACTION_SET, EXPLICIT_MISS, GROUP, INVALID_TTL, NO_MATCH, PACKET_OUT
from ofproto.ports import PortDesc, PortStatsRow
from ofproto.session import Request

if TYPE_CHECKING:
    from ofproto.connection import Connection

FRAG_MASK, FRAG_NORMAL, FRAG_DROP, FRAG_NX_MATCH = 3, 0, 1, 3
FRAGS_SUPPORTED = (FRAG_NORMAL, FRAG_DROP, FRAG_NX_MATCH)
INVALID_TTL_TO_CONTROLLER = 4
# OFPC_: 1 flows, 2 tables, 4 ports, 8 groups, 64 queues, 128 ARP addresses (1.0), 512 bundles (1.4).
CAPABILITIES = {OFP10: 1 | 2 | 4 | 64 | 128, OFP13: 1 | 2 | 4 | 8 | 64, OFP14: 1 | 2 | 4 | 8 | 64 | 512}
ACTIONS_10 = 0xFFF  # the twelve actions of OpenFlow 1.0
ROLE_NOCHANGE, ROLE_EQUAL, ROLE_PRIMARY, ROLE_SECONDARY = range(4)
ROLE_NAMES = {ROLE_EQUAL: "other", ROLE_PRIMARY: "master", ROLE_SECONDARY: "slave"}
NO_GENERATION = 0xFFFFFFFFFFFFFFFF
FLOW_FORMATS = {0: False, 2: True}  # NXFF_OPENFLOW10, NXFF_NXM
PACKET_IN_FORMATS = (0, 1, 2)
METER_ADD, METER_MODIFY, METER_DELETE = range(3)


@dataclass(frozen=True)
class Description:
    """The strings of OFPMP_DESC."""

    mfr_desc: str
    hw_desc: str
    sw_desc: str
    serial_num: str
    dp_desc: str


class FlowDumpLike(Protocol):
    """What the channel needs of `ofproto.flow_table.FlowDump`."""

    @property
    def more(self) -> bool: ...
    def next_body(self) -> bytes: ...


class FlowTablesLike(Protocol):
    """What the channel needs of `ofproto.flow_table.FlowTables`."""

    def apply_run(
        self, data: bytes, at: int, end: int, nxt_table_id: bool = False
    ) -> tuple[list[Any], list[tuple[int, OpenFlowError]]]: ...
    def check(self, msg: bytes, nxt_table_id: bool = False) -> None: ...
    def collect_adds(
        self, store: ModStore, data: bytes, at: int, end: int, room: int, nxt_table_id: bool = False
    ) -> int: ...
    def apply_bundle(
        self, msgs: Sequence[ModStore | bytes], nxt_table_id: bool = False
    ) -> tuple[list[Any], tuple[int, OpenFlowError] | None]: ...
    def flow_dump(self, request: bytes, version: int, nxst: bool, now_ns: int) -> FlowDumpLike: ...
    def aggregate(self, request: bytes) -> tuple[int, int, int]: ...
    def table_stats(self) -> list[tuple[int, int, int, int]]: ...


class Switchboard(Protocol):
    """The bridge as the OpenFlow channel sees it; vswitchd's Bridge is one."""

    name: str
    flows: Any  # FlowTablesLike; a compiled class has no signatures that mypy could compare

    @property
    def datapath_id(self) -> int: ...
    @property
    def allowed_versions(self) -> set[int]: ...
    @property
    def description(self) -> Description: ...
    def ports(self) -> list[PortDesc]: ...
    def port_stats(self, number: int | None) -> list[PortStatsRow]: ...
    def port_mod(self, number: int, mac: bytes, config: int, mask: int) -> None: ...
    def packet_out(self, frame: bytes, in_port: int, ofacts: bytes) -> None: ...
    def switch_config(self, *, frag_mode: int, miss_punt: bool, ttl_punt: bool) -> None: ...
    async def fresh_counts(self) -> None: ...
    def barrier(self) -> Awaitable[None] | None: ...
    def flow_removed_ready(self, removed: list[Any]) -> None: ...


Handler = Callable[["Connection", Request], Awaitable[None] | None]


def no_secondary(conn: Connection) -> None:
    """Raise OpenFlowError if the controller's role lets it only look (MS.38)."""
    if conn.role == ROLE_SECONDARY:
        raise OpenFlowError("OFPBRC_IS_SECONDARY")


# -- the connection itself


def nothing(conn: Connection, request: Request) -> None:
    """Take note that the peer lives."""


def echo_request(conn: Connection, request: Request) -> None:
    """Send the payload back (MS.03)."""
    conn.session.reply(request, "OFPT_ECHO_REPLY", request.data[request.offset :])


def barrier(conn: Connection, request: Request) -> Awaitable[None] | None:
    """Answer when every forwarder handles what it receives by all earlier edits: at once when all sleep (MS.36)."""
    passing = conn.bridge.barrier()
    if passing is not None:
        return answer_barrier(conn, request, passing)
    conn.session.reply(request, "OFPT_BARRIER_REPLY")
    return None


async def answer_barrier(conn: Connection, request: Request, passing: Awaitable[None]) -> None:
    """Answer a barrier once `passing` is over."""
    await passing
    conn.session.reply(request, "OFPT_BARRIER_REPLY")


def features(conn: Connection, request: Request) -> None:
    """Describe the switch; OpenFlow 1.0 lists as many ports as fit (MS.05, MS.07)."""
    body = messages.FEATURES.pack(
        datapath_id=conn.bridge.datapath_id,
        n_tables=OPENFLOW_TABLES,
        capabilities=CAPABILITIES[request.version],
        actions=ACTIONS_10 if request.version == OFP10 else 0,
    )
    if request.version == OFP10:
        room = (0xFFFF - 8 - len(body)) // ports.port_bytes(OFP10)
        body += b"".join(ports.pack_port(port, OFP10) for port in conn.bridge.ports()[:room])
    conn.session.reply(request, "OFPT_FEATURES_REPLY", body)


def get_config(conn: Connection, request: Request) -> None:
    """Report fragment handling and miss_send_len (MS.08)."""
    flags = conn.channel.frag_mode
    if request.version == OFP10 and conn.wants_invalid_ttl:
        flags |= INVALID_TTL_TO_CONTROLLER
    conn.session.reply(
        request, "OFPT_GET_CONFIG_REPLY", messages.SWITCH_CONFIG.pack(flags=flags, miss_send_len=conn.miss_send_len)
    )


def set_config(conn: Connection, request: Request) -> None:
    """Set the bridge's fragment handling and this connection's miss_send_len (MS.08, CH.09)."""
    config = messages.SWITCH_CONFIG.unpack(request.data, request.offset)
    allowed = FRAG_MASK | (INVALID_TTL_TO_CONTROLLER if request.version == OFP10 else 0)
    if config["flags"] & ~allowed:
        raise OpenFlowError("OFPSCFC_BAD_FLAGS")
    frag = config["flags"] & FRAG_MASK
    if conn.role != ROLE_SECONDARY and frag in FRAGS_SUPPORTED:
        conn.channel.frag_mode = frag
    if request.version == OFP10:
        bit = 1 << INVALID_TTL
        mask = conn.async_masks["packet_in"][0] & ~bit
        conn.async_masks["packet_in"][0] = mask | (bit if config["flags"] & INVALID_TTL_TO_CONTROLLER else 0)
    conn.miss_send_len = config["miss_send_len"]
    conn.channel.wishes_changed()


# -- roles and asynchronous messages


def _change_role(conn: Connection, role: int) -> None:
    if role == ROLE_PRIMARY:
        for other in conn.channel.connections:
            if other is not conn and other.role == ROLE_PRIMARY:
                other.role = ROLE_SECONDARY
    if conn.role != role:
        conn.role = role
        conn.channel.roles_changed()


def role_request(conn: Connection, request: Request) -> None:
    """Change and report the controller's role; a stale generation is refused (MS.38)."""
    wanted = messages.ROLE.unpack(request.data, request.offset)
    role, channel = wanted["role"], conn.channel
    if role not in (ROLE_NOCHANGE, *ROLE_NAMES):
        raise OpenFlowError("OFPRRFC_BAD_ROLE")
    if role in (ROLE_PRIMARY, ROLE_SECONDARY) and not channel.new_generation(wanted["generation_id"]):
        raise OpenFlowError("OFPRRFC_STALE")
    if role != ROLE_NOCHANGE:
        _change_role(conn, role)
    generation = NO_GENERATION if channel.generation_id is None else channel.generation_id
    conn.session.reply(request, "OFPT_ROLE_REPLY", messages.ROLE.pack(role=conn.role, generation_id=generation))


def nx_role_request(conn: Connection, request: Request) -> None:
    """The same in Nicira's form, whose numbers are one less and without generations (MS.39)."""
    role = messages.NX_ROLE.unpack(request.data, request.offset)["role"] + 1
    if role not in ROLE_NAMES:
        raise OpenFlowError("OFPRRFC_BAD_ROLE")
    _change_role(conn, role)
    conn.session.reply(request, "NXT_ROLE_REPLY", messages.NX_ROLE.pack(role=role - 1))


# Bits that a version does not know and which bit decides for them.
_IMPLIED: dict[int, dict[int, tuple[int, ...]]] = {
    OFP10: {ACTION: (ACTION_SET, GROUP, PACKET_OUT, EXPLICIT_MISS)},
    OFP13: {ACTION: (ACTION_SET, GROUP, PACKET_OUT), NO_MATCH: (EXPLICIT_MISS,)},
    OFP14: {NO_MATCH: (EXPLICIT_MISS,)},
}
_ASYNC_BITS = {"packet_in": 0x7, "port_status": 0x7, "flow_removed": 0x3F}


def get_async(conn: Connection, request: Request) -> None:
    """Report which asynchronous messages the controller gets (MS.40)."""
    values = {}
    for kind, known in _ASYNC_BITS.items():
        values[kind], values[kind + "_slave"] = (mask & known for mask in conn.async_masks[kind])
    body = messages.ASYNC.pack(**values)
    if request.version == OFP14:
        numbers = sorted((number, name) for name, number in messages.ASYNC_NUMBERS.items())
        body = b"".join(messages.ASYNC_PROPERTY.pack(type=n, length=8, mask=values[name]) for n, name in numbers)
    conn.session.reply(request, "OFPT_GET_ASYNC_REPLY", body)


def _async_14(conn: Connection, request: Request) -> dict[str, int]:
    """Return the masks of OpenFlow 1.4's properties; those that are not named stay."""
    values = {}
    for kind in _ASYNC_BITS:
        values[kind], values[kind + "_slave"] = conn.async_masks[kind]
    names = {number: name for name, number in messages.ASYNC_NUMBERS.items()}
    try:
        found = wire.properties(request.data, request.offset)
    except ValueError:
        raise OpenFlowError("OFPBPC_BAD_LEN") from None
    for number, payload in found:
        if len(payload) != 4:
            raise OpenFlowError("OFPBPC_BAD_LEN")
        if number in names:
            values[names[number]] = int.from_bytes(payload, "big")
        elif number > messages.ASYNC_LAST:
            raise OpenFlowError("OFPBPC_BAD_TYPE")
    return values


def set_async(conn: Connection, request: Request) -> None:
    """Choose which asynchronous messages the controller gets, as primary or equal and as secondary (MS.40, MS.42)."""
    if request.version == OFP14:
        wanted = _async_14(conn, request)
    else:
        wanted = messages.ASYNC.unpack(request.data, request.offset)
    for kind, known in _ASYNC_BITS.items():
        conn.async_masks[kind] = [wanted[kind] & known, wanted[kind + "_slave"] & known]
    for i, mask in enumerate(conn.async_masks["packet_in"]):
        for bit, implied in _IMPLIED[request.version].items():
            if mask >> bit & 1:
                conn.async_masks["packet_in"][i] |= sum(1 << other for other in implied)
    conn.channel.wishes_changed()


# -- Nicira's switches of a connection


def set_flow_format(conn: Connection, request: Request) -> None:
    """Choose how flow-removed messages come in OpenFlow 1.0: its own match or NXM (MS.73)."""
    wanted = messages.NX_FORMAT.unpack(request.data, request.offset)["format"]
    if wanted not in FLOW_FORMATS:
        raise OpenFlowError("OFPBRC_EPERM")
    conn.nxm_flows = FLOW_FORMATS[wanted]


def flow_mod_table_id(conn: Connection, request: Request) -> None:
    """Let the upper byte of a flow-mod's command name the table, or not (MS.73)."""
    conn.table_in_command = messages.NX_TABLE_ID.unpack(request.data, request.offset)["on"] != 0


def set_packet_in_format(conn: Connection, request: Request) -> None:
    """Choose the form of packet-ins (MS.74)."""
    wanted = messages.NX_FORMAT.unpack(request.data, request.offset)["format"]
    if wanted not in PACKET_IN_FORMATS:
        raise OpenFlowError("OFPBRC_EPERM")
    conn.packet_in_form = wanted


def set_controller_id(conn: Connection, request: Request) -> None:
    """Choose which controller actions' packets this connection gets (MS.75)."""
    if any(request.data[request.offset : request.offset + 6]):
        raise OpenFlowError("NXBRC_MUST_BE_ZERO")
    conn.controller_id = messages.NX_CONTROLLER_ID.unpack(request.data, request.offset)["controller_id"]
    conn.channel.wishes_changed()


def tlv_table(conn: Connection, request: Request) -> None:
    """Report the tunnel metadata mapping, which is empty."""
    conn.session.reply(request, "NXT_TLV_TABLE_REPLY", messages.NX_TLV_TABLE.pack(max_option_space=256, max_fields=64))


# -- edits


def _edit(conn: Connection, request: Request) -> None:
    """Do what a message says that a bundle could also hold."""
    no_secondary(conn)
    edit = edits.BUNDLED[request.kind.handler](conn, request)
    edit.check()
    edit.run()


def table_mod(conn: Connection, request: Request) -> None:
    """Accept a table-mod, whose settings all have no meaning in OpenFlow 1.3 (MS.34)."""
    no_secondary(conn)
    table_id = messages.TABLE_MOD.unpack(request.data, request.offset)["table_id"]
    if OPENFLOW_TABLES <= table_id != TABLE_ALL:
        raise OpenFlowError("OFPTMFC_EPERM")  # the switch's own table


_NO_METERS = {METER_ADD: "OFPMMFC_OUT_OF_METERS", METER_MODIFY: "OFPMMFC_UNKNOWN_METER", METER_DELETE: None}


def meter_mod(conn: Connection, request: Request) -> None:
    """Refuse meters, of which there are none; deleting succeeds (MS.43)."""
    no_secondary(conn)
    error = _NO_METERS.get(messages.METER_MOD.unpack(request.data, request.offset)["command"], "OFPMMFC_BAD_COMMAND")
    if error is not None:
        raise OpenFlowError(error)


def queue_get_config(conn: Connection, request: Request) -> None:
    """List the queues of a port: none (MS.37)."""
    raw = messages.QUEUE_CONFIG_REQUEST[request.version].unpack(request.data, request.offset)["port"]
    any_port = request.version == OFP13 and raw == OFPP_ANY
    if not any_port and not stats.port_exists(conn, ports.port_from_wire(raw, request.version)):
        raise OpenFlowError("OFPQOFC_BAD_PORT")
    conn.session.reply(
        request, "OFPT_QUEUE_GET_CONFIG_REPLY", messages.QUEUE_CONFIG_REPLY[request.version].pack(port=raw)
    )


def bundle_control(conn: Connection, request: Request) -> None:
    """Open, close, commit or discard a bundle (MS.47, MS.48)."""
    no_secondary(conn)
    bundles.control(conn, request)


def bundle_add(conn: Connection, request: Request) -> None:
    """Put a message into a bundle (MS.47, MS.48)."""
    no_secondary(conn)
    bundles.add(conn, request)


HANDLERS: dict[str, Handler] = {
    "nothing": nothing,
    "echo_request": echo_request,
    "barrier": barrier,
    "features": features,
    "get_config": get_config,
    "set_config": set_config,
    "role_request": role_request,
    "nx_role_request": nx_role_request,
    "get_async": get_async,
    "set_async": set_async,
    "set_flow_format": set_flow_format,
    "flow_mod_table_id": flow_mod_table_id,
    "set_packet_in_format": set_packet_in_format,
    "set_controller_id": set_controller_id,
    "tlv_table": tlv_table,
    "table_mod": table_mod,
    "meter_mod": meter_mod,
    "queue_get_config": queue_get_config,
    "bundle_control": bundle_control,
    "bundle_add": bundle_add,
} | dict.fromkeys(edits.BUNDLED, _edit) | stats.HANDLERS  # fmt: skip

# Flow-mods do not come here: the session collects them into runs for FlowTables.apply_run.
assert {kind.handler for kind in MESSAGES.values()} <= {"", "flow_mod", *HANDLERS}, "a row of MESSAGES names no handler"
