"""Commands of ofctl that compare flows and make them equal: COMMANDS (TL.02)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ofproto import ofctl_decode, ofctl_flow, ofctl_json
from ofproto import ofctl_protocol as formats
from ofproto.ofctl_build import flow_mod, flow_request
from ofproto.ofctl_decode import Row
from ofproto.ofctl_flow import ADD, DELETE_STRICT, QUERY, FlowMod, FlowReader
from ofproto.ofctl_print import Names, match_text, message_text, runs_text
from vswitchd.ofctl import Settings
from vswitchd.ofctl_connection import Connection, Failed
from vswitchd.ofctl_flows import DUMP_ORDER, EDIT_ORDER, Lazy, batch_of, lines_of, reader_of, send, usable_formats
from vswitchd.ofctl_show import names_of, put

DIFFERENT = 2  # exit code

Place = tuple[int, int, str]  # table, negative priority, match: where a flow is


class Version(NamedTuple):
    """What of a flow is compared, in words; `flow` sends it (None: it is in a switch)."""

    cookie: int
    idle_timeout_s: int
    hard_timeout_s: int
    importance: int
    actions: str
    flow: FlowMod | None
    row: Row


def _place(row: Row) -> Place:
    table = 0 if row["table_id"] == 255 else row["table_id"]
    return table, -row["priority"], match_text(row["key"], row["priority"], {})


def _version(row: Row, cookie: int, flow: FlowMod | None) -> Version:
    actions = runs_text(row["runs"], {})
    return Version(cookie, row["idle_timeout"], row["hard_timeout"], row.get("importance", 0), actions, flow, row)


def _of_file(flows: list[FlowMod], form: int) -> dict[Place, Version]:
    """Return the flows of a file as a switch would have them; the last of two at one place counts."""
    found = {}
    for flow in flows:
        row = ofctl_decode.flow_mod(flow_mod(flow, form, 0))
        row["table_id"] = flow.table_id
        found[_place(row)] = _version(row, flow.new_cookie, flow)
    return found


def _of_switch(connection: Connection, form: int) -> dict[Place, Version]:
    request = flow_request(FlowReader().flow("", QUERY), form, connection.xid())
    found = {}
    for part in connection.replies(request):
        if part[1] == 1:
            raise Failed(message_text(part, {}))
        for row in ofctl_decode.flows(part):
            found[_place(row)] = _version(row, row["cookie"], None)
    return found


def _text(version: Version, names: Names) -> str:
    row = version.row
    table = f"table={row['table_id']} " if row["table_id"] not in (0, 255) else ""
    match = match_text(row["key"], row["priority"], names)
    words = [f" cookie={version.cookie:#x}" if version.cookie else ""]
    words.append(f" idle_timeout={version.idle_timeout_s}" if version.idle_timeout_s else "")
    words.append(f" hard_timeout={version.hard_timeout_s}" if version.hard_timeout_s else "")
    words.append(f" importance={version.importance}" if version.importance else "")
    return f"{table}{match}{''.join(words)} actions={runs_text(row['runs'], names)}"


def _ordered(a: dict[Place, Version], b: dict[Place, Version]) -> list[Place]:
    """Return all places by table, in a table by mask, those with the highest priority first, as a classifier has it."""
    highest: dict[tuple[int, bytes], int] = {}
    both = b | a
    for place, version in both.items():
        group = place[0], version.row["key"][1]
        highest[group] = max(highest.get(group, 0), -place[1])
    first = {group: number for number, group in enumerate(highest)}

    def key(place: Place) -> tuple[int, int, int]:
        group = place[0], both[place].row["key"][1]
        return place[0], -highest[group], first[group]

    return sorted(a | b, key=key)


def _differences(a: dict[Place, Version], b: dict[Place, Version]) -> Iterator[tuple[str, Version]]:
    for place in _ordered(a, b):
        old, new = a.get(place), b.get(place)
        if old is not None and new is not None and old[:5] == new[:5]:
            continue
        if old is not None:
            yield "-", old
        if new is not None:
            yield "+", new


def _read(settings: Settings, lazy: Lazy, name: str) -> list[FlowMod]:
    return list(ofctl_flow.read_file(reader_of(settings, lazy), name, lines_of(name, "open"), ADD))


def _is_file(name: str) -> bool:
    """Tell sources apart: what looks like a path, is `-` or a regular file is a file, the rest is a switch."""
    if ":" in name:
        return False
    if name == "-" or os.path.isfile(name):
        return True
    return "/" in name and not os.path.exists(name)


def _usable(flows: list[FlowMod]) -> int:
    usable = formats.ANY
    for flow in flows:
        usable &= flow.formats
    return usable


def diff_flows(settings: Settings, args: list[str]) -> int:
    """Show how the flows of two sources, switches or files, differ."""
    lazies = [Lazy(settings, name) for name in args]
    switches = [not _is_file(name) for name in args]
    files = [[] if is_switch else _read(settings, Lazy(settings, args[1 - i]), name)
             for i, (name, is_switch) in enumerate(zip(args, switches, strict=True))]  # fmt: skip
    usable = usable_formats(settings, _usable(files[0] + files[1]))
    form = next(form for form in DUMP_ORDER if form & usable)
    names: Names = {}
    found: list[dict[Place, Version]] = []
    for lazy, is_switch in zip(lazies, switches, strict=True):
        if is_switch:
            with lazy:
                form = lazy.get().choose_form(usable, DUMP_ORDER)
                found.append(_of_switch(lazy.get(), form))
                names = names or names_of(lazy.get(), settings.show_names)
        else:
            found.append({})
    for i, is_switch in enumerate(switches):
        if not is_switch:
            found[i] = _of_file(files[i], form)
    changes = list(_differences(*found))
    if settings.json:
        put(ofctl_json.dumps([{"change": sign, "flow": _text(version, names)} for sign, version in changes]))
    else:
        put("".join(f"{sign}{_text(version, names)}\n" for sign, version in changes))
    return DIFFERENT if changes else 0


def _deletion(row: Row, place: Place) -> FlowMod:
    value, mask = row["key"]
    return FlowMod(DELETE_STRICT, value, mask, b"", place[0], row["priority"])


def replace_flows(settings: Settings, args: list[str]) -> int:
    """Give a switch the flows of a file, and no others."""
    with Lazy(settings, args[0]) as lazy:
        flows = _read(settings, lazy, args[1])
        usable = usable_formats(settings, _usable(flows))
        connection = lazy.get()
        dump_form = connection.choose_form(usable, DUMP_ORDER)
        wanted, present = _of_file(flows, dump_form), _of_switch(connection, dump_form)
        edits = [_deletion(version.row, place) for place, version in present.items() if place not in wanted]
        for place, version in wanted.items():
            old = present.get(place)
            if old is None or old[:5] != version[:5] or settings.readd:
                assert version.flow is not None  # flows of a file have it
                edits.append(version.flow)
        for one in edits:
            usable &= formats.ANY if one.table_id in (0, 255) else formats.WITH_TABLE
        if dump_form & formats.NXM_ANY:
            usable &= formats.NXM_ANY  # what is deleted may be what OpenFlow 1.0 itself cannot say
        form = connection.choose_form(usable, EDIT_ORDER)
        send(settings, connection, batch_of(settings, edits, args[1], form), args[1])
    return 0


COMMANDS: dict[str, Callable[[Settings, list[str]], int]] = {"diff-flows": diff_flows, "replace-flows": replace_flows}
