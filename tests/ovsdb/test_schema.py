"""Schemas: ours against Debian's, printing and parsing, mistakes."""

import copy
import json
import subprocess

import pytest

from ovsdb import schema
from ovsdb.error import OvsdbError
from tests.oracle import ovsdb_model
from tests.ovsdb.conftest import SCHEMA, needs_tools
from vslib.errors import ConfigError

STOCK = "/usr/share/openvswitch/vswitch.ovsschema"
# What came after Debian 12's 8.3.1, by table (SC.22, SC.23, SC.25, SC.26, SC.29, DB.34).
NEWER = {
    "Mirror": {"filter"},
    "Datapath": {"ct_zone_default_limit"},
    "CT_Zone": {"limit"},
    "Flow_Sample_Collector_Set": {"local_group_id"},
    "SSL": {"ssl_protocols", "ssl_ciphers", "ssl_ciphersuites"},
}


@needs_tools
@pytest.mark.ovs_tools
def test_our_schema_is_the_stock_one_and_newer_columns():  # SC.01-SC.30
    ours, stock = schema.load(SCHEMA), schema.load(STOCK)
    assert ours.version == "8.8.0" and ours.tables.keys() == stock.tables.keys()
    for name, table in stock.tables.items():
        mine = ours.tables[name]
        assert (mine.is_root, mine.max_rows, mine.indexes) == (table.is_root, table.max_rows, table.indexes), name
        assert mine.columns.keys() - table.columns.keys() == NEWER.get(name, set()), name
        for column in table.own:
            if (name, column.name) != ("Flow_Table", "prefixes"):
                assert mine.columns[column.name] == column, (name, column.name)
    assert ours.tables["Flow_Table"].columns["prefixes"].type.n_max == 4


def test_the_checksum_is_the_files_own():
    lines = SCHEMA.read_text().splitlines(keepends=True)
    text = "".join(line for line in lines if '"cksum"' not in line)
    found = subprocess.run(["cksum"], input=text.encode(), capture_output=True, check=True).stdout.decode().strip()
    assert schema.load(SCHEMA).cksum == found


@pytest.mark.parametrize("source", [SCHEMA.read_text(), json.dumps(ovsdb_model.SCHEMA)])
def test_a_printed_schema_parses_to_itself(source):  # DB.04
    first = schema.parse(json.loads(source))
    again = schema.parse(json.loads(json.dumps(first.to_json())))
    assert again.to_json() == first.to_json()
    assert again.tables == first.tables


def test_without_roots_every_table_is_one():  # DB.19
    body = copy.deepcopy(ovsdb_model.SCHEMA)
    del body["tables"]["A"]["isRoot"]
    parsed = schema.parse(body)
    assert all(table.is_root for table in parsed.tables.values())
    assert "isRoot" not in json.dumps(parsed.to_json())


def column(type_, **more):
    return {"name": "x", "tables": {"t": {"columns": {"c": {"type": type_, **more}}}}}


@pytest.mark.parametrize(
    "body",
    [
        1,
        {},
        {"name": "x"},
        {"name": 1, "tables": {}},
        {"name": "9", "tables": {}},
        {"name": "x", "tables": {}, "y": 1},
        {"name": "x", "version": "1", "tables": {}},
        {"name": "x", "tables": {"t": 1}},
        {"name": "x", "tables": {"t": {}}},
        {"name": "x", "tables": {"t": {"columns": {}}}},
        {"name": "x", "tables": {"_t": {"columns": {"c": {"type": "string"}}}}},
        {"name": "x", "tables": {"t": {"columns": {"_c": {"type": "string"}}}}},
        {"name": "x", "tables": {"t": {"columns": {"c": {"type": "string"}}, "maxRows": 0}}},
        {"name": "x", "tables": {"t": {"columns": {"c": {"type": "string"}}, "indexes": [["d"]]}}},
        {"name": "x", "tables": {"t": {"columns": {"c": {"type": "string"}}, "indexes": [["c", "c"]]}}},
        {"name": "x", "tables": {"t": {"columns": {"c": {"type": "string", "ephemeral": True}}, "indexes": [["c"]]}}},
        column("text"),
        column({}),
        column({"key": "string", "min": 2}),
        column({"key": "string", "max": 0}),
        column({"key": "string", "max": "many"}),
        column({"key": {"type": "string", "minInteger": 1}}),
        column({"key": {"type": "integer", "minInteger": 2, "maxInteger": 1}}),
        column({"key": {"type": "integer", "minInteger": "a"}}),
        column({"key": {"type": "string", "enum": []}}),
        column({"key": {"type": "string", "enum": ["set", []]}}),
        column({"key": {"type": "string", "enum": 1}}),
        column({"key": {"type": "uuid", "refTable": "u"}}),
        column({"key": {"type": "uuid", "refTable": "t", "refType": "loose"}}),
        column("string", mutable=1),
    ],
    ids=lambda body: json.dumps(body)[-60:],
)
def test_wrong_schemas_are_refused(body):  # DB.18
    with pytest.raises(OvsdbError) as caught:
        schema.parse(body)
    assert caught.value.word == "syntax error" and caught.value.details or "constraint" in caught.value.word


def test_unreadable_schema_files_name_the_file(tmp_path):
    for text in (None, "{", "[]"):
        path = tmp_path / "x.ovsschema"
        if text is not None:
            path.write_text(text)
        with pytest.raises(ConfigError, match="x.ovsschema"):
            schema.load(path)
