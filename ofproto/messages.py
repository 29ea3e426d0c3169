"""MESSAGES: every OpenFlow message that the switch knows, a row each (FEATURES A3b); versions differ by columns, not by
code.

A row: name (as Open vSwitch's logs have it), numbers in OpenFlow 1.0 and 1.3, direction, body, handler.
 - numbers: (type or statistics number in 1.0, in 1.3), None = unknown there; for vendor messages the subtype. A third
   number is OpenFlow 1.4's where it differs from 1.3's.
 - direction: ">" controller to switch, "<" switch to controller, "=" both.
 - body: bytes after the headers: "8" exactly, "8+" at least, "8+8" a multiple of 8 more; words = 1.0, 1.3 and 1.4,
   the last one also for the versions behind it.
 - handler: key of `handlers.HANDLERS`; "" = known, but nothing a switch is asked (answered with BAD_TYPE or BAD_STAT).
A message of a kind that is not here is answered like Open vSwitch answers what it does not know.
"""

from __future__ import annotations

from dataclasses import dataclass

from ofproto.numbers import NICIRA, OFP10, OFP13, OFP14, OFPT_VENDOR, ONF
from ofproto.wire import STAT_VENDOR, STATS_REPLY, STATS_REQUEST, Key, Layout, header_bytes

Numbers = tuple[int | None, ...]
VERSIONS = (OFP10, OFP13, OFP14)


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of MESSAGES; keys and bodies by wire version."""

    name: str
    keys: dict[int, Key]
    direction: str
    bodies: dict[int, tuple[int, int]]  # least length, step (0 = exact, 1 = any)
    handler: str

    def fits(self, version: int, length: int) -> bool:
        """Tell whether a message of `length` bytes, headers included, is well formed as far as its length goes."""
        least, step = self.bodies[version]
        extra = length - header_bytes(version, self.keys[version]) - least
        return extra == 0 if step == 0 else extra >= 0 and extra % step == 0


def _body(text: str) -> tuple[int, int]:
    least, plus, step = text.partition("+")
    return int(least), int(step or 1) if plus else 0


def _bodies(text: str) -> dict[int, tuple[int, int]]:
    words = text.split()
    return {version: _body(words[min(i, len(words) - 1)]) for i, version in enumerate(VERSIONS)}


def _kind(name: str, keys: dict[int, Key | None], direction: str, body: str, handler: str) -> Kind:
    return Kind(name, {v: key for v, key in keys.items() if key is not None}, direction, _bodies(body), handler)


_PLAIN: tuple[tuple[str, Numbers, str, str, str], ...] = (
    ("OFPT_HELLO", (0, 0), "=", "0+", ""),
    ("OFPT_ERROR", (1, 1), "=", "4+", ""),
    ("OFPT_ECHO_REQUEST", (2, 2), "=", "0+", "echo_request"),
    ("OFPT_ECHO_REPLY", (3, 3), "=", "0+", "nothing"),
    ("OFPT_FEATURES_REQUEST", (5, 5), ">", "0", "features"),
    ("OFPT_FEATURES_REPLY", (6, 6), "<", "24+48 24", ""),
    ("OFPT_GET_CONFIG_REQUEST", (7, 7), ">", "0", "get_config"),
    ("OFPT_GET_CONFIG_REPLY", (8, 8), "<", "4", ""),
    ("OFPT_SET_CONFIG", (9, 9), ">", "4", "set_config"),
    ("OFPT_PACKET_IN", (10, 10), "<", "10+ 24+", ""),
    ("OFPT_FLOW_REMOVED", (11, 11), "<", "80 40+8", ""),
    ("OFPT_PORT_STATUS", (12, 12), "<", "56 72 48+8", ""),
    ("OFPT_PACKET_OUT", (13, 13), ">", "8+ 16+", "packet_out"),
    ("OFPT_FLOW_MOD", (14, 14), ">", "64+8 40+8", "flow_mod"),
    ("OFPT_GROUP_MOD", (None, 15), ">", "8+8", "group_mod"),
    ("OFPT_PORT_MOD", (15, 16), ">", "24 32 24+", "port_mod"),
    ("OFPT_TABLE_MOD", (None, 17), ">", "8 8 8+", "table_mod"),
    ("OFPT_BARRIER_REQUEST", (18, 20), ">", "0", "barrier"),
    ("OFPT_BARRIER_REPLY", (19, 21), "<", "0", ""),
    ("OFPT_QUEUE_GET_CONFIG_REQUEST", (20, 22, None), ">", "4 8", "queue_get_config"),
    ("OFPT_QUEUE_GET_CONFIG_REPLY", (21, 23, None), "<", "8+8", ""),
    ("OFPT_ROLE_REQUEST", (None, 24), ">", "16", "role_request"),
    ("OFPT_ROLE_REPLY", (None, 25), "<", "16", ""),
    ("OFPT_GET_ASYNC_REQUEST", (None, 26), ">", "0", "get_async"),
    ("OFPT_GET_ASYNC_REPLY", (None, 27), "<", "24 24 0+", ""),
    ("OFPT_SET_ASYNC", (None, 28), ">", "24 24 0+", "set_async"),
    ("OFPT_METER_MOD", (None, 29), ">", "8+", "meter_mod"),
)
# Bundles are ONF's extension in OpenFlow 1.3 and have types of their own from 1.4 on.
_BUNDLES: tuple[tuple[str, dict[int, Key | None], str, str, str], ...] = (
    ("OFPT_BUNDLE_CONTROL", {OFP13: Key(OFPT_VENDOR, None, ONF, 2300), OFP14: Key(33)}, "=", "8+8", "bundle_control"),
    ("OFPT_BUNDLE_ADD_MESSAGE", {OFP13: Key(OFPT_VENDOR, None, ONF, 2301), OFP14: Key(34)}, ">", "16+", "bundle_add"),
)
_NICIRA: tuple[tuple[str, Numbers, str, str, str], ...] = (
    ("NXT_ROLE_REQUEST", (10, 10), ">", "4", "nx_role_request"),
    ("NXT_ROLE_REPLY", (11, 11), "<", "4", ""),
    ("NXT_SET_FLOW_FORMAT", (12, None), ">", "4", "set_flow_format"),
    ("NXT_FLOW_MOD", (13, 13), ">", "32+8", "flow_mod"),
    ("NXT_FLOW_REMOVED", (14, 14), "<", "40+8", ""),
    ("NXT_FLOW_MOD_TABLE_ID", (15, 15), ">", "8", "flow_mod_table_id"),
    ("NXT_SET_PACKET_IN_FORMAT", (16, 16), ">", "4", "set_packet_in_format"),
    ("NXT_PACKET_IN", (17, 17), "<", "24+", ""),
    ("NXT_FLOW_AGE", (18, 18), ">", "0", "nothing"),
    ("NXT_SET_ASYNC_CONFIG", (19, 19), ">", "24", "set_async"),
    ("NXT_SET_CONTROLLER_ID", (20, 20), ">", "8", "set_controller_id"),
    ("NXT_TLV_TABLE_REQUEST", (25, 25), ">", "0", "tlv_table"),
    ("NXT_TLV_TABLE_REPLY", (26, 26), "<", "16+8", ""),
    ("NXT_PACKET_IN2", (30, 30), "<", "0+", ""),
)
# Statistics: the body is the request's; replies of the same number are made here, never read.
_STATS: tuple[tuple[str, Numbers, str, str, str], ...] = (
    ("OFPST_DESC", (0, 0), ">", "0", "desc"),
    ("OFPST_FLOW", (1, 1), ">", "44 32+8", "flow_stats"),
    ("OFPST_AGGREGATE", (2, 2), ">", "44 32+8", "aggregate"),
    ("OFPST_TABLE", (3, 3), ">", "0", "table_stats"),
    ("OFPST_PORT", (4, 4), ">", "8", "port_stats"),
    ("OFPST_QUEUE", (5, 5), ">", "8", "queue_stats"),
    ("OFPST_GROUP", (None, 6), ">", "8", "group_stats"),
    ("OFPST_GROUP_DESC", (None, 7), ">", "0", "group_desc"),
    ("OFPST_GROUP_FEATURES", (None, 8), ">", "0", "group_features"),
    ("OFPST_METER", (None, 9), ">", "8", "meter_stats"),
    ("OFPST_METER_CONFIG", (None, 10), ">", "8", "meter_stats"),
    ("OFPST_METER_FEATURES", (None, 11), ">", "0", "meter_features"),
    ("OFPST_TABLE_FEATURES", (None, 12), ">", "0+8", "table_features"),
    ("OFPST_PORT_DESC", (13, 13), ">", "0", "port_desc"),
)
_NICIRA_STATS: tuple[tuple[str, Numbers, str, str, str], ...] = (
    ("NXST_FLOW", (0, None), ">", "8+8", "nxst_flow"),
    ("NXST_AGGREGATE", (1, None), ">", "8+8", "aggregate"),
)


def _numbered(numbers: Numbers) -> list[tuple[int, int | None]]:
    """Return each version with its number."""
    return [(version, numbers[min(i, len(numbers) - 1)]) for i, version in enumerate(VERSIONS)]


def _rows() -> list[Kind]:
    found = [_kind(*row) for row in _BUNDLES]
    for name, numbers, direction, body, handler in _PLAIN:
        plain = {v: None if n is None else Key(n) for v, n in _numbered(numbers)}
        found.append(_kind(name, plain, direction, body, handler))
    for name, numbers, direction, body, handler in _NICIRA:
        vendor = {v: None if n is None else Key(OFPT_VENDOR, None, NICIRA, n) for v, n in _numbered(numbers)}
        found.append(_kind(name, vendor, direction, body, handler))
    for name, numbers, direction, body, handler in _STATS:
        for suffix, types, way, size, run in (
            (" request", STATS_REQUEST, direction, body, handler),
            (" reply", STATS_REPLY, "<", "0+", ""),
        ):
            stats = {v: None if n is None else Key(types[v], n) for v, n in _numbered(numbers)}
            found.append(_kind(name + suffix, stats, way, size, run))
    for name, numbers, direction, body, handler in _NICIRA_STATS:
        for suffix, types, way, size, run in (
            (" request", STATS_REQUEST, direction, body, handler),
            (" reply", STATS_REPLY, "<", "0+", ""),
        ):
            nicira = {v: None if n is None else Key(types[v], STAT_VENDOR, NICIRA, n) for v, n in _numbered(numbers)}
            found.append(_kind(name + suffix, nicira, way, size, run))
    return found


MESSAGES: dict[str, Kind] = {kind.name: kind for kind in _rows()}
BY_KEY: dict[int, dict[Key, Kind]] = {v: {k.keys[v]: k for k in MESSAGES.values() if v in k.keys} for v in VERSIONS}
# Vendors and statistics numbers that have a row at all: what is wrong with an unknown message depends on them.
VENDORS = {NICIRA}
KNOWN_VENDORS = VENDORS | {ONF, 0x0000154D}  # Netronome: a known name without messages


def _since_13(old: str, new: str) -> dict[int, Layout]:
    """Return the layouts of OpenFlow 1.0 and of 1.3 and later."""
    return {OFP10: Layout(old), OFP13: Layout(new), OFP14: Layout(new)}


# Fixed parts of bodies, by wire version where versions differ.
SWITCH_CONFIG = Layout("flags:H miss_send_len:H")
FEATURES = Layout("datapath_id:Q n_buffers:I n_tables:B auxiliary_id:B 2x capabilities:I actions:I")
PACKET_OUT = _since_13("buffer_id:I in_port:H actions_len:H", "buffer_id:I in_port:I actions_len:H 6x")
PORT_MOD = {
    OFP10: Layout("port:H mac:6s config:I mask:I advertise:I 4x"),
    OFP13: Layout("port:I 4x mac:6s 2x config:I mask:I advertise:I 4x"),
    OFP14: Layout("port:I 4x mac:6s 2x config:I mask:I"),  # properties follow
}
PORT_REQUEST = _since_13("port:H 6x", "port:I 4x")
QUEUE_REQUEST = _since_13("port:H 2x queue:I", "port:I queue:I")
QUEUE_CONFIG_REQUEST = {OFP10: Layout("port:H 2x"), OFP13: Layout("port:I 4x")}
QUEUE_CONFIG_REPLY = {OFP10: Layout("port:H 6x"), OFP13: Layout("port:I 4x")}
ROLE = Layout("role:I 4x generation_id:Q")
NX_ROLE = Layout("role:I")
ASYNC = Layout("packet_in:I packet_in_slave:I port_status:I port_status_slave:I flow_removed:I flow_removed_slave:I")
# OFPACPT_ of OpenFlow 1.4: even ones are the secondary's.
ASYNC_NUMBERS = {name: i ^ 1 for i, name in enumerate(ASYNC.names)}
ASYNC_PROPERTY = Layout("type:H length:H mask:I")
ASYNC_LAST = 11  # OFPACPT_REQUESTFORWARD_MASTER
BUNDLE_CONTROL = Layout("bundle_id:I type:H flags:H")
BUNDLE_ADD = Layout("bundle_id:I 2x flags:H")
NX_FORMAT = Layout("format:I")
NX_TABLE_ID = Layout("on:B 7x")
NX_CONTROLLER_ID = Layout("6x controller_id:H")
NX_TLV_TABLE = Layout("max_option_space:I max_fields:H 10x")
TABLE_MOD = Layout("table_id:B 3x config:I")
GROUP_MOD = Layout("command:H type:B 1x group_id:I")
METER_MOD = Layout("command:H flags:H meter_id:I")
GROUP_FEATURES = Layout("types:I capabilities:I max_all:I max_select:I max_indirect:I max_ff:I actions:4I")
METER_FEATURES = Layout("max_meter:I band_types:I capabilities:I max_bands:B max_color:B 2x")
METER_REQUEST = Layout("meter_id:I 4x")
DESC = Layout("mfr_desc:256s hw_desc:256s sw_desc:256s serial_num:32s dp_desc:256s")
AGGREGATE = Layout("packets:Q bytes:Q flows:I 4x")
TABLE_STATS = _since_13(
    "table_id:B 3x name:32s wildcards:I max_entries:I active:I lookups:Q matched:Q",
    "table_id:B 3x active:I lookups:Q matched:Q",
)
