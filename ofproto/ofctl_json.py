"""Replies as JSON: objects whose keys are OpenFlow's field names (TL.02); ports as numbers, bits by name."""

from __future__ import annotations

from typing import Any

from ofproto import ofctl_print as text
from ofproto.numbers import OFP10
from ofproto.ofctl_decode import Row
from ofproto.value_text import port_text

_LATER_CAPABILITIES = text.CAPABILITIES_13


def _names(bits: int, names: tuple[str, ...]) -> list[str]:
    found = [name for i, name in enumerate(names) if name and bits >> i & 1]
    rest = bits & ~sum(1 << i for i, name in enumerate(names) if name)
    return found + ([hex(rest)] if rest else [])


def _port(number: int) -> int | str:
    word = port_text(number)
    return number if word.isdigit() else word


def port(row: Row, version: int) -> Row:
    """Return a port's description; features by name, speeds in kb/s."""
    found = dict(row, port_no=_port(row["port_no"]), config=_names(row["config"], text.CONFIG))
    found["state"] = [word for word in text.state_text(row["state"], version).split() if word != "0"]
    for name in ("curr", "advertised", "supported", "peer"):
        found[name] = _names(row[name], text.FEATURES)
    return found


def features(row: Row, version: int) -> Row:
    """Return what a switch is; its ports, if the message has them, described."""
    found = dict(row, datapath_id=f"{row['datapath_id']:016x}")
    found["capabilities"] = _names(row["capabilities"], text.CAPABILITIES.get(version, _LATER_CAPABILITIES))
    if version == OFP10:
        found["actions"] = _names(row["actions"], text.ACTIONS_10)
        found["ports"] = [port(one, version) for one in row["ports"]]
    else:
        del found["actions"]
    return found


def config(row: Row) -> Row:
    """Return fragment handling and miss_send_len."""
    return {"flags": text.FRAGS[row["flags"] & 3], "miss_send_len": row["miss_send_len"]}


def port_stats(row: Row) -> Row:
    """Return a port's counters, null for those that nobody keeps."""
    return _with_duration(dict(row, port_no=_port(row["port_no"])))


def _with_duration(row: Row) -> Row:
    if "duration" in row:
        row["duration_sec"], row["duration_nsec"] = row.pop("duration")
    return row


def flow(row: Row, names: text.Names) -> Row:
    """Return a flow: match and actions in the words of dump-flows."""
    found: dict[str, Any] = {name: row[name] for name in ("table_id", "priority", "cookie")}
    found["match"] = text.cut_body(row["key"], names)
    found["actions"] = text.runs_text(row["runs"], names)
    found |= {name: row[name] for name in ("packet_count", "byte_count", "idle_timeout", "hard_timeout", "duration")}
    if "flags" in row:
        found["flags"] = _names(row["flags"], text.FLOW_FLAGS)
    if row.get("importance"):
        found["importance"] = row["importance"]
    for name in ("idle_age", "hard_age"):
        if row.get(name):
            found[name] = row[name] - 1
    return _with_duration(found)


def dumps(value: Any) -> str:
    """Return JSON text with a newline."""
    from vslib import json_light

    return json_light.dumps(value) + "\n"
