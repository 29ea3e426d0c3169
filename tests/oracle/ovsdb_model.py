"""A naive OVSDB: sets and dicts, everything computed from scratch after each transaction, nothing incremental.

It knows one small schema (SCHEMA) with all that makes transactions hard: strong and weak references, a root and a
non-root table, a unique index, a row limit, bounded values. `run` returns the contents after a transaction and the
error word it fails with, or None.
"""

from __future__ import annotations

import copy

SCHEMA = {
    "name": "Model",
    "version": "1.0.0",
    "tables": {
        "A": {
            "isRoot": True,
            "maxRows": 4,
            "indexes": [["name"]],
            "columns": {
                "name": {"type": "string"},
                "kids": {"type": {"key": {"type": "uuid", "refTable": "B"}, "min": 0, "max": "unlimited"}},
                "likes": {
                    "type": {"key": {"type": "uuid", "refTable": "B", "refType": "weak"}, "min": 0, "max": "unlimited"}
                },
                "ints": {"type": {"key": {"type": "integer", "minInteger": 0, "maxInteger": 9}, "min": 0, "max": 3}},
                "opts": {"type": {"key": "string", "value": "integer", "min": 0, "max": "unlimited"}},
                "fixed": {"type": "integer", "mutable": False},
            },
        },
        "B": {
            "columns": {
                "label": {"type": {"key": {"type": "string", "enum": ["set", ["x", "y", ""]]}}},
                "peer": {"type": {"key": {"type": "uuid", "refTable": "B"}, "min": 0}},
            }
        },
    },
}

DEFAULTS = {
    "A": {"name": {""}, "kids": set(), "likes": set(), "ints": set(), "opts": {}, "fixed": {0}},
    "B": {"label": {""}, "peer": set()},
}
STRONG = {"A": ("kids",), "B": ("peer",)}  # all to B
MOST = {"ints": 3, "peer": 1}
CONSTRAINT, REFERENTIAL = "constraint violation", "referential integrity violation"


class Failed(Exception):
    pass


def parse(json):
    if isinstance(json, list) and json[0] == "map":
        return dict(json[1])
    if isinstance(json, list) and json[0] == "set":
        return {parse_atom(a) for a in json[1]}
    return {parse_atom(json)}


def parse_atom(json):
    return json[1] if isinstance(json, list) else json


def empty():
    return {"A": {}, "B": {}}


def run(before, ops):
    state = copy.deepcopy(before)
    state["old"] = {*before["A"], *before["B"]}
    state["used"] = set()  # UUIDs of older rows deleted in this transaction
    try:
        for op in ops:
            apply(state, op)
        finish(before, state)
    except Failed as failed:
        return before, str(failed)
    del state["used"], state["old"]
    return state, None


def matching(state, op):
    table = state[op["table"]]
    result = []
    for uuid, row in table.items():
        if all(holds({**row, "_uuid": {uuid}}, clause) for clause in op["where"]):
            result.append(uuid)
    return result


def holds(row, clause):
    column, function, json = clause
    value, arg = row[column], parse(json)
    if function in ("includes", "excludes"):
        members = value.items() if isinstance(value, dict) else value
        wanted = arg.items() if isinstance(arg, dict) else arg
        inside = [w in members for w in wanted]
        return all(inside) if function == "includes" else not any(inside)
    return (value == arg) == (function == "==")


def apply(state, op):
    if op["op"] == "insert":
        if op["uuid"] in state[op["table"]] or op["uuid"] in state["used"]:
            raise Failed("duplicate uuid")
        row = {**copy.deepcopy(DEFAULTS[op["table"]]), **{c: parse(v) for c, v in op["row"].items()}}
        state[op["table"]][op["uuid"]] = row
        return
    if op["op"] == "update" and "fixed" in op["row"]:
        raise Failed(CONSTRAINT)
    for uuid in matching(state, op):
        if op["op"] == "delete":
            del state[op["table"]][uuid]
            state["used"] |= {uuid} & state["old"]
        elif op["op"] == "update":
            state[op["table"]][uuid].update({c: parse(v) for c, v in op["row"].items()})
        elif op["op"] == "mutate":
            for mutation in op["mutations"]:
                mutate(state[op["table"]][uuid], *mutation)


def mutate(row, column, mutator, json):
    value, arg = row[column], parse(json)
    if mutator == "+=":
        (step,) = arg
        value = {v + step for v in value}
        if any(not 0 <= v <= 9 for v in value):
            raise Failed(CONSTRAINT)
    elif isinstance(value, dict):
        if mutator == "insert":
            value = {**arg, **value}
        elif isinstance(arg, dict):
            value = {k: v for k, v in value.items() if (k, v) not in arg.items()}
        else:
            value = {k: v for k, v in value.items() if k not in arg}
    else:
        value = value | arg if mutator == "insert" else value - arg
    if len(value) > MOST.get(column, 1000):
        raise Failed(CONSTRAINT)
    row[column] = value


def references(state):
    """Yield (table, row uuid, target uuid) for each strong reference between different rows."""
    for table, columns in STRONG.items():
        for uuid, row in state[table].items():
            for column in columns:
                for target in row[column]:
                    if (table, uuid) != ("B", target):
                        yield table, uuid, target


def finish(before, state):
    for _, _, target in references(state):
        if target not in state["B"] and target not in before["B"]:
            raise Failed(REFERENTIAL)
    while True:
        wanted = {target for _, _, target in references(state)}
        garbage = [uuid for uuid in state["B"] if uuid not in wanted]
        if not garbage:
            break
        for uuid in garbage:
            del state["B"][uuid]
    if any(target not in state["B"] for _, _, target in references(state)):
        raise Failed(REFERENTIAL)
    for row in state["A"].values():
        row["likes"] = {target for target in row["likes"] if target in state["B"]}
    if len(state["A"]) > 4:
        raise Failed(CONSTRAINT)
    names = [next(iter(row["name"])) for row in state["A"].values()]
    if len(set(names)) != len(names):
        raise Failed(CONSTRAINT)
