"""The log file: exchange with ovsdb-tool and ovsdb-server both ways, damage, locks, schema upgrade, compaction."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovsdb import filedb, schema, store
from ovsdb.filedb import FileDb
from ovsdb.lockfile import LockFile
from ovsdb.log import encode_record, split_records
from ovsdb.ops import execute
from tests.oracle import ovsdb_model
from tests.ovsdb.conftest import ROOT, SCHEMA, Debians, Ours, Wire, needs_server, run
from vslib.errors import ConfigError

MODEL = schema.parse(ovsdb_model.SCHEMA)
SELECT = {"op": "select", "table": "A", "where": [], "columns": ["name"]}


def insert(name, **row):
    return {"op": "insert", "table": "A", "row": {"name": name, **row}}


def names(db):
    return sorted(row["name"][0] for row in db.tables["A"].rows.values())


def write(file, *ops):
    outcome = execute(file.db, list(ops))
    file.append(file.encode(outcome.delta, outcome.comment))
    file.sync()


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "model.db")


def reopen(path, wanted=MODEL):
    file = FileDb(path, wanted)
    file.close()
    return file.db


def fill(path, count=3):
    file = FileDb(path, MODEL)
    for n in range(count):
        write(file, insert(f"a{n}"), {"op": "comment", "comment": f"number {n}"})
    file.close()


def test_contents_come_back_without_ephemeral_columns(path):  # DB.36
    body = json.loads(json.dumps(ovsdb_model.SCHEMA))
    body["tables"]["A"]["columns"]["ints"]["ephemeral"] = True
    wanted = schema.parse(body)
    file = FileDb(path, wanted)
    write(file, insert("a", ints=["set", [1, 2]], opts=["map", [["k", 1]]]))
    size = os.path.getsize(path)
    write(file, {"op": "update", "table": "A", "where": [], "row": {"ints": 3}})
    assert os.path.getsize(path) == size  # nothing to keep, nothing written
    file.close()
    (row,) = reopen(path, wanted).tables["A"].rows.values()
    assert (row["ints"], row["opts"], row["name"]) == ((), (("k", 1),), ("a",))


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(1, 600))
def test_a_tail_cut_anywhere_costs_only_the_cut_record(tmp_path_factory, cut):  # DB.38
    path = str(tmp_path_factory.mktemp("cut") / "model.db")
    fill(path)
    data = Path(path).read_bytes()
    whole, _, _ = split_records(data[: max(len(data) - cut, 0)])
    if not whole:
        return
    Path(path).write_bytes(data[: len(data) - cut])
    db = reopen(path)
    assert names(db) == [f"a{n}" for n in range(len(whole) - 1)]
    file = FileDb(path, MODEL)  # and the file is fit for use
    write(file, insert("later"))
    file.close()
    assert names(reopen(path)) == [*names(db), "later"]


def test_damage_before_whole_records_keeps_a_copy(path, tmp_path):  # DB.38
    fill(path)
    data = bytearray(Path(path).read_bytes())
    at = bytes(data).index(b'"a1"')
    data[at + 1] ^= 1
    Path(path).write_bytes(data)
    assert names(reopen(path)) == ["a0"]
    (copy,) = tmp_path.glob("model.db.corrupt-*")
    assert copy.read_bytes() == data


def test_files_that_are_no_database_are_refused_and_left_alone(path):  # DB.37
    for data in (b"hello\n", b"OVSDB CLUSTER 10 " + b"0" * 40 + b"\n{}", os.urandom(200)):
        Path(path).write_bytes(data)
        with pytest.raises(ConfigError):
            FileDb(path, MODEL)
        assert Path(path).read_bytes() == data


def test_an_empty_file_becomes_a_database(path):  # DB.38: a crash between creating and writing
    Path(path).touch()
    assert names(reopen(path)) == []
    assert split_records(Path(path).read_bytes())[0][0]["name"] == "Model"


def test_a_database_of_another_name_is_refused(path):
    fill(path)
    with pytest.raises(ConfigError, match="is a database Model, not Open_vSwitch"):
        FileDb(path, schema.load(SCHEMA))


def test_second_opener_is_told_who_holds_the_lock(path):  # DB.37
    file = FileDb(path, MODEL)
    with pytest.raises(ConfigError, match=f"locked by pid {os.getpid()}"):
        FileDb(path, MODEL)
    code = f"from ovsdb.lockfile import LockFile; LockFile({path!r})"
    other = run(sys.executable, "-c", code, check=False, cwd=ROOT)
    assert f"is locked by pid {os.getpid()}" in other.stderr
    file.close()
    LockFile(path).release()


@needs_server
@pytest.mark.ovs_tools
def test_ovsdb_tool_and_ours_exclude_each_other(path):  # DB.37
    file = FileDb(path, MODEL)
    refused = run("ovsdb-tool", "transact", path, '["Model"]', check=False)
    assert refused.returncode and "lock" in refused.stderr
    file.close()
    run("ovsdb-tool", "transact", path, '["Model"]')


@needs_server
@pytest.mark.ovs_tools
def test_ovsdb_tool_reads_and_writes_our_file(path):  # DB.37
    fill(path)
    file = FileDb(path, MODEL)
    write(
        file,
        {
            "op": "mutate",
            "table": "A",
            "where": [["name", "==", "a1"]],
            "mutations": [["opts", "insert", ["map", [["k", 1]]]], ["ints", "insert", ["set", [1, 2]]]],
        },
    )
    write(
        file,
        {
            "op": "mutate",
            "table": "A",
            "where": [["name", "==", "a1"]],
            "mutations": [["opts", "insert", ["map", [["l", 2]]]], ["ints", "delete", 1]],
        },
    )
    file.close()
    shown = run("ovsdb-tool", "-m", "show-log", path).stdout
    assert "number 2" in shown and "a1" in shown
    query = ["Model", {"op": "select", "table": "A", "where": [["name", "==", "a1"]], "columns": ["opts", "ints"]}]
    (result,) = json.loads(run("ovsdb-tool", "query", path, json.dumps(query)).stdout)
    assert result["rows"] == [{"opts": ["map", [["k", 1], ["l", 2]]], "ints": 2}]
    run("ovsdb-tool", "transact", path, json.dumps(["Model", insert("tool")]))
    assert names(reopen(path)) == ["a0", "a1", "a2", "tool"]
    run("ovsdb-tool", "compact", path)
    assert names(reopen(path)) == ["a0", "a1", "a2", "tool"]
    assert run("ovsdb-tool", "db-version", path).stdout.strip() == "1.0.0"


@needs_server
@pytest.mark.ovs_tools
def test_a_file_goes_to_ovsdb_server_and_back(tmp_path):  # DB.37, DB.41
    ours = Ours(tmp_path)
    try:
        ours.start()
        vsctl = ["ovs-vsctl", f"--db={ours.target}", "--no-wait"]
        run(*vsctl, "init", "--", "add-br", "br0", "--", "add-port", "br0", "p0", "tag=3")
        run(*vsctl, "set", "bridge", "br0", "external_ids:a=1", "--", "set", "bridge", "br0", "external_ids:b=2")
        ours.stop()
        os.rename(ours.database, tmp_path / "ref.db")
        real = Debians(tmp_path)
        try:
            real.start()
            theirs = ["ovs-vsctl", f"--db={real.target}", "--no-wait"]
            assert run(*theirs, "get", "bridge", "br0", "external_ids").stdout == '{a="1", b="2"}\n'
            run(*theirs, "add-port", "br0", "p1", "--", "set", "port", "p0", "tag=4")
            run(*theirs, "remove", "bridge", "br0", "external_ids", "a")
        finally:
            real.end()
        os.rename(tmp_path / "ref.db", ours.database)
        ours.start()
        assert run(*vsctl, "list-ports", "br0").stdout.split() == ["p0", "p1"]
        assert run(*vsctl, "get", "port", "p0", "tag").stdout == "4\n"
        assert run(*vsctl, "get", "bridge", "br0", "external_ids").stdout == '{b="2"}\n'
    finally:
        ours.end()


@needs_server
@pytest.mark.ovs_tools
def test_a_stock_database_is_upgraded_with_a_backup(tmp_path):  # DB.40
    stock = "/usr/share/openvswitch/vswitch.ovsschema"
    path = str(tmp_path / "conf.db")
    run("ovsdb-tool", "create", path, stock)
    ops = [{"op": "insert", "table": "Open_vSwitch", "row": {"next_cfg": 7}}]
    run("ovsdb-tool", "transact", path, json.dumps(["Open_vSwitch", *ops]))
    before = Path(path).read_bytes()
    wanted = schema.load(SCHEMA)
    db = reopen(path, wanted)
    assert [row["next_cfg"] for row in db.tables["Open_vSwitch"].rows.values()] == [(7,)]
    assert "limit" in db.schema.tables["CT_Zone"].columns
    (backup,) = tmp_path.glob("conf.db.backup*")
    assert backup.read_bytes() == before
    assert run("ovsdb-tool", "db-version", path).stdout.strip() == wanted.version
    reopen(path, wanted)
    assert len(list(tmp_path.glob("conf.db.backup*"))) == 1


def newer_schema():
    body = json.loads(json.dumps(ovsdb_model.SCHEMA))
    body["version"] = "1.1.0"
    body["tables"]["A"]["columns"]["extra"] = {"type": "string"}
    return body


def test_columns_of_a_newer_schema_are_served_not_lost(path):  # DB.40
    newer = schema.parse(newer_schema())
    file = FileDb(path, newer)
    write(file, insert("a", extra="keep me"))
    file.close()
    file = FileDb(path, MODEL)
    write(file, {"op": "update", "table": "A", "where": [], "row": {"name": "b"}})
    file.close()
    (row,) = reopen(path, newer).tables["A"].rows.values()
    assert (row["name"], row["extra"]) == (("b",), ("keep me",))


def test_rows_that_the_wanted_schema_forbids_stop_the_upgrade(path):  # DB.40
    body = newer_schema()
    body["tables"]["A"]["columns"]["name"] = {"type": {"key": {"type": "string", "maxLength": 1}}}
    fill(path)
    data = Path(path).read_bytes()
    with pytest.raises(ConfigError, match="constraint violation"):
        FileDb(path, schema.parse(body))
    assert Path(path).read_bytes() == data


def test_compaction_keeps_contents_and_shrinks(path, monkeypatch):  # DB.39
    monkeypatch.setattr(filedb, "MIN_COMPACT_BYTES", 20_000)
    file = FileDb(path, MODEL)
    write(file, insert("a"))
    while not file.should_compact():
        for value in range(50):
            write(file, {"op": "update", "table": "A", "where": [], "row": {"opts": ["map", [["k", value]]]}})
    file.compact()
    assert os.path.getsize(path) == file.size_bytes < 3000
    assert not file.should_compact()
    write(file, insert("b"))
    file.close()
    assert names(reopen(path)) == ["a", "b"]


def test_encoding_is_what_the_format_says():  # DB.37: golden bytes
    assert encode_record({"a": 1}) == b'OVSDB JSON 8 8a3d961f7fe8ef7b41d461059884a9461be85059\n{"a":1}\n'
    values, end, problem = split_records(encode_record({"a": 1}) + encode_record([]))
    assert (values, problem) == ([{"a": 1}, []], "")
    assert end == len(encode_record({"a": 1}) + encode_record([]))


def test_nothing_answered_is_lost_when_the_process_is_killed(tmp_path):  # DB.38
    sock, path = tmp_path / "db.sock", tmp_path / "conf.db"
    schema_path = tmp_path / "model.ovsschema"
    body = json.loads(json.dumps(ovsdb_model.SCHEMA))
    del body["tables"]["A"]["maxRows"]
    schema_path.write_text(json.dumps(body))
    child = subprocess.Popen(
        [sys.executable, "-m", "ovsdb", path, schema_path, f"punix:{sock}"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout.readline() == "ready\n"
        wire = Wire(sock)
        for n in range(50):  # pipelined: the kill lands in the middle of a batch
            wire.send("transact", ["Model", insert(f"n{n:02}")], n)
        answered = [wire.receive()["id"] for _ in range(20)]
        child.send_signal(signal.SIGKILL)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    wire.close()
    found = names(reopen(str(path), schema.parse(body)))
    assert answered == list(range(20))
    assert found[:20] == [f"n{n:02}" for n in range(20)]


def test_a_full_disk_takes_the_batch_back_and_the_server_lives_on(ours, wire, monkeypatch):  # DB.38
    def refuse(*_args):
        raise OSError(28, "No space left on device")

    add = {"op": "insert", "table": "Queue", "row": {"dscp": 1}}
    count = {"op": "select", "table": "Queue", "where": [], "columns": ["dscp", "_uuid"]}
    wire.transact("Open_vSwitch", add)
    size = ours.database.stat().st_size
    for name in ("pwrite", "fdatasync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, refuse)
            results = wire.transact("Open_vSwitch", add)
            assert results[-1]["error"] == "I/O error" and "No space left" in results[-1]["details"]
        assert ours.database.stat().st_size == size
        assert len(wire.transact("Open_vSwitch", count)[0]["rows"]) == 1
    wire.transact("Open_vSwitch", add)
    ours.stop()
    db = reopen(str(ours.database), schema.load(SCHEMA))
    assert len(db.tables["Queue"].rows) == 2


def test_store_of_a_loaded_file_refuses_what_its_rows_forbid():  # DB.19: a file edited by hand
    broken = [
        {"A": {"aaaaaaaa-0000-4000-8000-000000000000": {"kids": ["uuid", "bbbbbbbb-0000-4000-8000-000000000000"]}}}
    ]
    with pytest.raises(store.OvsdbError, match="nonexistent row"):
        filedb.load_records(MODEL, broken)
