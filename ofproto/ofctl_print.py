"""Messages as text, as Open vSwitch's tools print them: `PRINTERS` by the name of the message (TL.02, OF.34)."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from ofproto import act_text, messages, ofctl_decode, wire
from ofproto.actions import KINDS
from ofproto.errors import OpenFlowError, decode_error
from ofproto.flow_text import DEFAULT_PRIORITY, format_match
from ofproto.numbers import COOKIE_NONE, OFP10, OFP14, OFPP_ANY, ONF
from ofproto.ofctl_decode import Row
from ofproto.value_text import hex_text, port_text
from vslib.errors import PeerError

Names = Mapping[int, str]
_NO_BUFFER = 0xFFFFFFFF
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")

CONFIG = ("PORT_DOWN", "NO_STP", "NO_RECV", "NO_RECV_STP", "NO_FLOOD", "NO_FWD", "NO_PACKET_IN")
STATE = ("LINK_DOWN", "BLOCKED", "LIVE")
STP_STATES = ("STP_LISTEN", "STP_LEARN", "STP_FORWARD", "STP_BLOCK")
FEATURES = ("10MB-HD", "10MB-FD", "100MB-HD", "100MB-FD", "1GB-HD", "1GB-FD", "10GB-FD", "40GB-FD", "100GB-FD",
            "1TB-FD", "OTHER", "COPPER", "FIBER", "AUTO_NEG", "AUTO_PAUSE", "AUTO_PAUSE_ASYM")  # fmt: skip
CAPABILITIES_13 = ("FLOW_STATS", "TABLE_STATS", "PORT_STATS", "GROUP_STATS", "", "IP_REASM", "QUEUE_STATS", "",
                   "PORT_BLOCKED")  # fmt: skip
CAPABILITIES: dict[int, tuple[str, ...]] = {
    OFP10: ("FLOW_STATS", "TABLE_STATS", "PORT_STATS", "STP", "RESERVED", "IP_REASM", "QUEUE_STATS", "ARP_MATCH_IP"),
    OFP14: (*CAPABILITIES_13, "BUNDLES", "FLOW_MONITORING"),
}
ACTIONS_10 = ("output", "set_vlan_vid", "set_vlan_pcp", "strip_vlan", "mod_dl_src", "mod_dl_dst", "mod_nw_src",
              "mod_nw_dst", "mod_nw_tos", "mod_tp_src", "mod_tp_dst", "enqueue")  # fmt: skip
_ACTION_ORDER = ("output", "enqueue", *ACTIONS_10[1:11])
FRAGS = {0: "normal", 1: "drop", 2: "reassemble", 3: "nx-match"}
FLOW_FLAGS = ("send_flow_rem", "check_overlap", "reset_counts", "no_packet_counts", "no_byte_counts")
MOD_COMMANDS = ("ADD", "MOD", "MOD_STRICT", "DEL", "DEL_STRICT")
ALL_WILD_10 = 0x3FFFFF


# -- small pieces ----------------------------------------------------------------------------------------------------


def port_name(number: int, names: Names) -> str:
    """Return a port as texts show it: by its name, in quotes if it looks like something else."""
    name = names.get(number)
    if name is None:
        return port_text(number)
    return name if _PLAIN.fullmatch(name) else f'"{name}"'


def duration_text(pair: tuple[int, int]) -> str:
    """Return seconds and nanoseconds as text, without a fraction or with milliseconds or with nanoseconds."""
    sec, nsec = pair
    if not nsec:
        return f"{sec}s"
    return f"{sec}.{nsec // 1000000:03d}s" if nsec % 1000000 == 0 else f"{sec}.{nsec:09d}s"


def bits_text(bits: int, names: Iterable[str], between: str = " ") -> str:
    """Return names of bits, unknown ones as a number, "0" for none."""
    words = []
    for i, name in enumerate(names):
        if name and bits >> i & 1:
            words.append(name)
            bits &= ~(1 << i)
    if bits:
        words.append(f"{bits:#x}")
    return between.join(words) or "0"


def cut_body(key: tuple[bytes, bytes], names: Names) -> str:
    """Return a match as text, ports by name."""
    text = format_match(*key)
    if names and "in_port=" in text:
        text = re.sub(r"\bin_port=(\d+)", lambda found: f"in_port={port_name(int(found[1]), names)}", text)
    return text


def match_text(key: tuple[bytes, bytes], priority: int, names: Names) -> str:
    """Return a match with its priority, as flow dumps have it."""
    text = cut_body(key, names)
    if priority == DEFAULT_PRIORITY:
        return text
    return f"priority={priority},{text}" if text else f"priority={priority}"


# -- actions ---------------------------------------------------------------------------------------------------------


def _named_output(flags: int, body: bytes, names: Names) -> str:
    (port,) = struct.unpack_from("=I", body)
    return f"output:{port_name(port, names)}"


def _named_enqueue(flags: int, body: bytes, names: Names) -> str:
    port, queue = struct.unpack_from("=II", body)
    return f"enqueue:{port_name(port, names)}:{queue}"


def _named_resubmit(flags: int, body: bytes, names: Names) -> str:
    port, table = struct.unpack_from("=IB", body)
    return f"resubmit:{port_name(port, names)}" if table == 255 else f"resubmit({port_name(port, names)},{table})"


_NAMED = {KINDS["OUTPUT"]: _named_output, KINDS["ENQUEUE"]: _named_enqueue, KINDS["RESUBMIT"]: _named_resubmit}
_ACT = struct.Struct("=BBHI")


_nameless = lru_cache(4096)(act_text.format_actions)  # a dump has few different lists


def acts_text(acts: bytes, names: Names) -> str:
    """Return an OfAct list as text, ports by name."""
    if not names:
        return _nameless(acts)
    words, at = [], 0
    while at < len(acts):
        kind, flags, length, _ = _ACT.unpack_from(acts, at)
        body = acts[at + _ACT.size : at + length]
        port = struct.unpack_from("=I", body)[0] if kind in _NAMED else None
        if port in names:
            words.append(_NAMED[kind](flags, body, names))
        else:
            words.append(act_text.format_actions(acts[at : at + length]))
        at += length
    return ",".join(words) or "drop"


def _metadata(value: Any, names: Names) -> str:
    number, mask = value
    return f"write_metadata:{hex_text(number)}" + ("" if mask == (1 << 64) - 1 else f"/{hex_text(mask)}")


_RUNS: dict[str, Callable[[Any, Names], str]] = {
    "acts": acts_text,
    "acts11": lambda acts, names: acts_text(acts, names).replace("strip_vlan", "pop_vlan"),
    "raw": lambda data, names: f"unknown(0x{data.hex()})",
    "clear": lambda value, names: "clear_actions",
    "write": lambda runs, names: f"write_actions({runs_text(runs, names)})",
    "metadata": _metadata,
    "goto": lambda table, names: f"goto_table:{table}",
    "meter": lambda number, names: f"meter:{number}",
}


def runs_text(runs: list[tuple[str, Any]], names: Names) -> str:
    """Return actions and instructions as `ofctl_decode` found them."""
    return ",".join(_RUNS[kind](value, names) for kind, value in runs) or "drop"


# -- flows -----------------------------------------------------------------------------------------------------------


def flow_text(row: Row, names: Names, stats: bool = True) -> str:
    """Return a flow as a line of dump-flows, with a blank before it and no newline."""
    if stats:
        head = f"cookie={row['cookie']:#x}, duration={duration_text(row['duration'])}, table={row['table_id']}, "
        words = [f"{head}n_packets={row['packet_count']}, n_bytes={row['byte_count']}, "]
    else:
        words = [f"cookie={row['cookie']:#x}, "] if row["cookie"] else []
        words += [f"table={row['table_id']}, "] if row["table_id"] else []
    for name in ("idle_timeout", "hard_timeout"):
        if row[name]:
            words.append(f"{name}={row[name]}, ")
    flags = row.get("flags", 0)
    if flags:
        words.append(bits_text(flags, FLOW_FLAGS) + " ")
    if row.get("importance"):
        words.append(f"importance={row['importance']}, ")
    words.append(_ages(row) if stats else "")
    match = match_text(row["key"], row["priority"], names)
    return f" {''.join(words)}{match}{' ' if match else ''}actions={runs_text(row['runs'], names)}"


def _ages(row: Row) -> str:
    text = f"idle_age={row['idle_age'] - 1}, " if row.get("idle_age") else ""
    hard = row.get("hard_age", 0) - 1
    return text + (f"hard_age={hard}, " if hard >= 0 and hard != row["duration"][0] else "")


def _flow_stats(message: bytes, names: Names) -> str:
    return "\n" + "".join(flow_text(row, names) + "\n" for row in ofctl_decode.flows(message))


def _flow_mod(message: bytes, names: Names) -> str:
    row = ofctl_decode.flow_mod(message)
    command = row["command"]
    words = [MOD_COMMANDS[command] if command < len(MOD_COMMANDS) else f"cmd:{command}"]
    if row["table_id"] not in (0, 255):
        words.append(f"table:{row['table_id']}")
    words.append(match_text(row["key"], row["priority"], names))
    cookie, mask, new = row["cookies"]
    words.append(f"cookie:{new:#x}" if new not in (0, COOKIE_NONE) else "")
    words.append(f"cookie:{cookie:#x}/{mask:#x}" if mask else "")
    words += [f"{name}:{row[f'{name}_timeout']}" if row[f"{name}_timeout"] else "" for name in ("idle", "hard")]
    words.append(f"importance:{row['importance']}" if row.get("importance") else "")
    words.append(f"buf:{row['buffer_id']:#x}" if row["buffer_id"] != _NO_BUFFER else "")
    words.append(f"out_port:{port_name(row['out_port'], names)}" if row["out_port"] not in (OFPP_ANY, 0) else "")
    words.append(bits_text(row["flags"], FLOW_FLAGS) if row["flags"] else "")
    words.append(f"actions={runs_text(row['runs'], names)}")
    return " " + " ".join(filter(None, words)) + "\n"


def _aggregate(message: bytes, names: Names) -> str:
    return " " + " ".join(f"{name}={value}" for name, value in ofctl_decode.aggregate(message).items()) + "\n"


# -- ports -----------------------------------------------------------------------------------------------------------


def state_text(state: int, version: int) -> str:
    """Return the bits of a port's state."""
    stp = state & 0x300 if version == OFP10 else 0
    words = [bits_text(state & ~0x300 if version == OFP10 else state, STATE)]
    if stp:
        words = [*(word for word in words if word != "0"), STP_STATES[stp >> 8]]
    return " ".join(words)


def port_lines(row: Row, version: int) -> str:
    """Return a port's description as show prints it."""
    text = f" {port_text(row['port_no'])}({row['name']}): addr:{row['hw_addr']}\n"
    text += f"     config:     {bits_text(row['config'], CONFIG)}\n"
    text += f"     state:      {state_text(row['state'], version)}\n"
    for label, name in (("current:    ", "curr"), ("advertised: ", "advertised"), ("supported:  ", "supported"),
                        ("peer:       ", "peer")):  # fmt: skip
        if row[name]:
            text += f"     {label}{bits_text(row[name], FEATURES)}\n"
    return text + f"     speed: {row['curr_speed'] // 1000} Mbps now, {row['max_speed'] // 1000} Mbps max\n"


def ports_text(rows: list[Row], version: int) -> str:
    """Return ports by rising number."""
    return "".join(port_lines(row, version) for row in sorted(rows, key=lambda row: row["port_no"]))


def _port_desc(message: bytes, names: Names) -> str:
    return "\n" + ports_text(ofctl_decode.port_list(ofctl_decode.body_of(message), message[0]), message[0])


_COUNTERS = ("rx_packets", "rx_bytes", "rx_dropped", "rx_errors", "rx_frame_err", "rx_over_err", "rx_crc_err",
             "tx_packets", "tx_bytes", "tx_dropped", "tx_errors", "collisions")  # fmt: skip


def _stats_lines(row: Row, names: Names) -> str:
    number = row["port_no"]
    pad = " " if number < 10 else ""
    word = ["?" if row[name] is None else str(row[name]) for name in _COUNTERS]
    text = (
        f"  port {pad}{port_name(number, names)}: rx pkts={word[0]}, bytes={word[1]}, drop={word[2]}, errs={word[3]}, "
        f"frame={word[4]}, over={word[5]}, crc={word[6]}\n"
        f"           tx pkts={word[7]}, bytes={word[8]}, drop={word[9]}, errs={word[10]}, coll={word[11]}\n"
    )
    if "duration" in row:
        text += f"           duration={duration_text(row['duration'])}\n"
    return text


def _port_stats(message: bytes, names: Names) -> str:
    rows = ofctl_decode.port_stats(message)
    return f" {len(rows)} ports\n" + "".join(_stats_lines(row, names) for row in rows)


def _port_status(message: bytes, names: Names) -> str:
    reasons = ("ADD", "DEL", "MOD")
    reason, version = message[8], message[0]
    word = reasons[reason] if reason < len(reasons) else str(reason)
    return f" {word}:" + port_lines(ofctl_decode.port(message[16:], version), version)


# -- the switch ------------------------------------------------------------------------------------------------------


def _features(message: bytes, names: Names) -> str:
    row, version = ofctl_decode.features(message), message[0]
    text = f" dpid:{row['datapath_id']:016x}\nn_tables:{row['n_tables']}, n_buffers:{row['n_buffers']}"
    text += f", auxiliary_id:{row['auxiliary_id']}\n" if row["auxiliary_id"] else "\n"
    text += f"capabilities: {bits_text(row['capabilities'], CAPABILITIES.get(version, CAPABILITIES_13))}\n"
    if version != OFP10:
        return text
    known = {ACTIONS_10[i] for i in range(len(ACTIONS_10)) if row["actions"] >> i & 1}
    text += f"actions: {' '.join(name for name in _ACTION_ORDER if name in known)}\n"
    return text + ports_text(row["ports"], version)


def _config(message: bytes, names: Names) -> str:
    row = ofctl_decode.config(message)
    text = f" frags={FRAGS[row['flags'] & 3]}"
    if message[0] == OFP10 and row["flags"] & 4:
        text += " invalid_ttl_to_controller"
    return f"{text} miss_send_len={row['miss_send_len']}\n"


def _desc(message: bytes, names: Names) -> str:
    row = ofctl_decode.desc(message)
    labels = ("Manufacturer", "Hardware", "Software", "Serial Num", "DP Description")
    return "\n" + "".join(f"{label}: {value}\n" for label, value in zip(labels, row.values(), strict=True))


_MATCHING = "in_port eth_{src,dst,type} vlan_{vid,pcp} ip_{src,dst} nw_{proto,tos} tcp_{src,dst}"


def _table_lines(row: Row, previous: Row | None) -> str:
    name = f' ("{row["name"]}")' if row.get("name") else ""
    text = f"  table {row['table_id']}{name}:\n"
    text += f"    active={row['active_count']}, lookup={row['lookup_count']}, matched={row['matched_count']}\n"
    if "max_entries" in row:
        same = previous is not None and all(previous[key] == row[key] for key in ("max_entries", "wildcards"))
        what = _MATCHING if row["wildcards"] == ALL_WILD_10 else f"{row['wildcards']:#x}"
        text += "    (same features)\n" if same else (
            f"    max_entries={row['max_entries']}\n    matching:\n      exact match or wildcard: {what}\n"
        )  # fmt: skip
    return text + "\n"


def tables_text(rows: list[Row]) -> str:
    """Return table statistics; tables like the one before them are named in one line."""
    text, ditto = "\n", []
    previous: Row | None = None
    for row in rows:
        if previous is not None and {**previous, "table_id": 0} == {**row, "table_id": 0}:
            ditto.append(row["table_id"])
            continue
        text += _ditto(ditto) + ("\n" if ditto else "") + _table_lines(row, previous)
        ditto, previous = [], row
    return text + _ditto(ditto)


def _ditto(tables: list[int]) -> str:
    if not tables:
        return ""
    return f"  tables {tables[0]}...{tables[-1]}: ditto\n" if len(tables) > 1 else f"  table {tables[0]}: ditto\n"


def _tables(message: bytes, names: Names) -> str:
    return tables_text(ofctl_decode.table_stats(message))


_BUNDLE_STEPS = ("OPEN", "CLOSE", "COMMIT", "DISCARD")


def _bundle_control(message: bytes, names: Names) -> str:
    row = messages.BUNDLE_CONTROL.unpack(ofctl_decode.body_of(message))
    step = _BUNDLE_STEPS[row["type"] // 2] if row["type"] // 2 < len(_BUNDLE_STEPS) else row["type"]
    kind = f"{step}_{'REPLY' if row['type'] & 1 else 'REQUEST'}"
    words = [word for bit, word in ((1, "atomic"), (2, "ordered")) if row["flags"] & bit]
    return f"\n bundle_id={hex_text(row['bundle_id'])} type={kind} flags={' '.join(words) or 0}\n"


# -- errors and the rest ---------------------------------------------------------------------------------------------


def hex_dump(data: bytes) -> str:
    """Return bytes in lines of 16, with offsets and characters."""
    text = ""
    for at in range(0, len(data), 16):
        line = data[at : at + 16]
        digits = [f"{byte:02x}" for byte in line] + ["  "] * (16 - len(line))
        middle = "-" if len(line) >= 8 else " "
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in line).ljust(16)
        text += f"{at:08x}  {' '.join(digits[:8])}{middle}{' '.join(digits[8:])} |{shown}|\n"
    return text


def _error(message: bytes, names: Names) -> str:
    try:
        name, data = decode_error(message)
    except PeerError as error:
        return f" {error}\n"
    if name.startswith("OFPHFC"):
        return f" {name}\n{data.decode(errors='replace')}\n"
    return f" {name}\n" + (message_text(data, names) if len(data) >= 8 else hex_dump(data) or "(empty)\n")


def _echo(message: bytes, names: Names) -> str:
    return f" {len(message) - 8} bytes of payload\n"


def _hello(message: bytes, names: Names) -> str:
    offered = wire_versions(message)
    return "\n version bitmap: " + ", ".join(f"0x{version:02x}" for version in sorted(offered)) + "\n"


def wire_versions(hello: bytes) -> set[int]:
    """Return the wire versions that a hello offers: those of its bitmap, else all up to its own."""
    at = 8
    while at + 8 <= len(hello):
        kind, length = struct.unpack_from("!HH", hello, at)
        if kind == 1 and length >= 8:
            (bitmap,) = struct.unpack_from("!I", hello, at + 4)
            return {version for version in range(1, 32) if bitmap >> version & 1}
        at += max(4, (length + 7) // 8 * 8)
    return set(range(1, hello[0] + 1))


def _nothing(message: bytes, names: Names) -> str:
    return "\n"


PRINTERS: dict[str, Callable[[bytes, Names], str]] = {
    "OFPT_HELLO": _hello,
    "OFPT_ERROR": _error,
    "OFPT_ECHO_REQUEST": _echo,
    "OFPT_ECHO_REPLY": _echo,
    "OFPT_FEATURES_REPLY": _features,
    "OFPT_GET_CONFIG_REPLY": _config,
    "OFPT_SET_CONFIG": _config,
    "OFPT_PORT_STATUS": _port_status,
    "OFPT_FLOW_MOD": _flow_mod,
    "NXT_FLOW_MOD": _flow_mod,
    "OFPT_BUNDLE_CONTROL": _bundle_control,
    "OFPT_BARRIER_REQUEST": _nothing,
    "OFPT_BARRIER_REPLY": _nothing,
    "OFPST_DESC reply": _desc,
    "OFPST_FLOW reply": _flow_stats,
    "NXST_FLOW reply": _flow_stats,
    "OFPST_AGGREGATE reply": _aggregate,
    "NXST_AGGREGATE reply": _aggregate,
    "OFPST_TABLE reply": _tables,
    "OFPST_PORT reply": _port_stats,
    "OFPST_PORT_DESC reply": _port_desc,
}


def head_text(message: bytes, name: str) -> str:
    """Return the beginning of a message's text: its name, the version after 1.0, and the transaction."""
    version = "" if message[0] == OFP10 else f" (OF1.{message[0] - 1})"
    kind = messages.MESSAGES.get(name)
    if kind is not None and kind.keys[message[0]].vendor == ONF:
        name = name.replace("OFPT", "ONFT", 1)  # ONF's extension of this version has the name of what it became
    text = f"{name}{version} (xid={wire.xid_of(message):#x}):"
    if kind is not None and name.split()[0].startswith(("OFPST", "NXST")) and wire.stat_flags(message) & 1:
        text += " flags=[more]" if name.endswith("reply") else ""
    return text


def message_text(message: bytes, names: Names) -> str:
    """Return a whole message as text that ends with a newline."""
    name = ofctl_decode.kind_of(message)
    if not name:
        return f"message of type {message[1]} in version {message[0]:#x}\n{hex_dump(message)}"
    head = head_text(message, name)
    printer = PRINTERS.get(name)
    if printer is None:
        return f"{head}\n"
    try:
        return head + printer(message, names)
    except OpenFlowError as error:
        return f"{head} ***decode error: {error.name}***\n{hex_dump(message)}"
    except (PeerError, struct.error, IndexError, ValueError):  # it ends too early, or lengths in it are wrong
        return f"{head} ***decode error: OFPBRC_BAD_LEN***\n{hex_dump(message)}"

