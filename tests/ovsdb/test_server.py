"""The server's protocol: sessions, waits, locks, monitors since, bad bytes, slow readers."""

import contextlib
import json
import socket
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ovsdb import client, engine
from ovsdb import server as server_module
from ovsdb.error import OvsdbError
from tests.ovsdb.conftest import SCHEMA, Ours, Wire, wait_until

DB = "Open_vSwitch"
ZERO = "00000000-0000-0000-0000-000000000000"


def insert(**row):
    return {"op": "insert", "table": "Queue", "row": row}


def select(*columns):
    return {"op": "select", "table": "Queue", "where": [], "columns": list(columns)}


def wait_for_dscp(value, timeout=None):
    op = {
        "op": "wait",
        "table": "Queue",
        "where": [["dscp", "==", value]],
        "columns": ["dscp"],
        "until": "==",
        "rows": [{"dscp": value}],
    }
    return op if timeout is None else {**op, "timeout": timeout}


@pytest.fixture
def other(ours):
    connection = ours.wire()
    yield connection
    connection.close()


# --- transactions --------------------------------------------------------------------------------------------------


def test_wait_blocks_until_another_client_makes_it_true(wire, other):  # DB.12
    wire.send("transact", [DB, wait_for_dscp(5), insert(dscp=6)], "w")
    assert other.transact(DB, select("dscp")) == [{"rows": []}]
    other.transact(DB, insert(dscp=5))
    reply = wire.receive()
    assert reply["id"] == "w" and reply["result"][0] == {} and "uuid" in reply["result"][1]
    assert {row["dscp"] for row in other.transact(DB, select("dscp"))[0]["rows"]} == {5, 6}


def test_waits_wake_each_other_in_one_go(wire, other):  # DB.12
    wire.send("transact", [DB, wait_for_dscp(2), insert(dscp=3)], 1)
    wire.send("transact", [DB, wait_for_dscp(1), insert(dscp=2)], 2)
    wire.send("transact", [DB, wait_for_dscp(3)], 3)
    other.transact(DB, insert(dscp=1))
    assert {wire.receive()["id"] for _ in range(3)} == {1, 2, 3}


def test_wait_gives_up_after_its_timeout(wire):  # DB.12
    begin = time.monotonic()
    results = wire.transact(DB, wait_for_dscp(1, timeout=60), insert(dscp=1))
    assert 0.05 < time.monotonic() - begin < 5
    assert results[0]["error"] == "timed out" and results[1] is None


def test_a_waiting_transaction_can_be_cancelled(wire):  # DB.28
    wire.send("transact", [DB, wait_for_dscp(1)], 5)
    wire.send("cancel", [5])
    reply = wire.receive()
    assert (reply["id"], reply["error"]["error"]) == (5, "canceled")
    wire.send("cancel", ["never was"])
    assert wire.transact(DB) == []


def test_a_client_that_leaves_takes_its_waits_along(ours, wire, other):  # DB.12
    wire.send("transact", [DB, wait_for_dscp(1), insert(dscp=2)], 5)
    wire.call("list_dbs", [])
    wire.close()
    wait_until(lambda: len(ours.server.clients) == 1)
    other.transact(DB, insert(dscp=1))
    assert other.transact(DB, select("dscp")) == [{"rows": [{"dscp": 1}]}]


def test_comment_commit_and_abort(wire):  # DB.13, DB.15
    ops = [insert(dscp=1), {"op": "comment", "comment": "why"}, {"op": "commit", "durable": True}]
    assert wire.transact(DB, *ops)[1:] == [{}, {}]
    results = wire.transact(DB, insert(dscp=2), {"op": "abort"}, insert(dscp=3))
    assert results[1]["error"] == "aborted" and results[2] is None
    assert wire.transact(DB, select("dscp")) == [{"rows": [{"dscp": 1}]}]


def test_writers_that_verify_lose_no_update(ours):  # DB.12: read, wait+update, again when somebody was faster
    wires = [ours.wire() for _ in range(4)]
    setup = {"op": "insert", "table": "Open_vSwitch", "row": {}}
    wires[0].transact(DB, setup)
    read = {"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["next_cfg"]}
    won = 0
    for _ in range(25):
        values = [w.transact(DB, read)[0]["rows"][0]["next_cfg"] for w in wires]
        for n, (wire, value) in enumerate(zip(wires, values, strict=True)):
            verify = {
                "op": "wait",
                "timeout": 0,
                "table": "Open_vSwitch",
                "where": [],
                "columns": ["next_cfg"],
                "until": "==",
                "rows": [{"next_cfg": value}],
            }
            write = {"op": "update", "table": "Open_vSwitch", "where": [], "row": {"next_cfg": value + 1}}
            wire.send("transact", [DB, verify, write], n)
        won += sum(wire.receive()["result"][0] == {} for wire in wires)
    assert won == 25
    assert wires[0].transact(DB, read)[0]["rows"] == [{"next_cfg": 25}]
    for wire in wires:
        wire.close()


def test_pipelined_requests_are_answered_in_order(wire):  # DB.01
    for n in range(300):
        wire.send("transact", [DB, insert(dscp=n % 64)], n)
    assert [wire.receive()["id"] for _ in range(300)] == list(range(300))
    assert len(wire.transact(DB, select("_uuid"))[0]["rows"]) == 300


def test_group_commit_shares_one_sync(ours, wire, monkeypatch):  # DB.38
    syncs = []
    file = ours.server.databases[DB].file
    real = file.sync
    monkeypatch.setattr(file, "sync", lambda: (syncs.append(1), real()))
    wire.sock.sendall(
        b"".join(
            json.dumps({"method": "transact", "params": [DB, insert(dscp=1)], "id": n}).encode() for n in range(50)
        )
    )
    for _ in range(50):
        wire.receive()
    assert 1 <= len(syncs) < 25


# --- locks ---------------------------------------------------------------------------------------------------------


def test_locks_queue_are_stolen_and_inherited(ours, wire, other):  # DB.26, DB.14
    assertion = {"op": "assert", "lock": "l"}
    assert wire.call("lock", ["l"])["result"] == {"locked": True}
    assert other.call("lock", ["l"])["result"] == {"locked": False}
    assert wire.transact(DB, assertion) == [{}]
    assert other.transact(DB, assertion)[0]["error"] == "not owner"
    third = ours.wire()
    assert third.call("steal", ["l"])["result"] == {"locked": True}
    assert wire.receive()["method"] == "stolen"
    assert wire.transact(DB, assertion)[0]["error"] == "not owner"
    third.close()
    assert wire.receive()["method"] == "locked"
    assert "error" in wire.call("lock", ["l"])
    assert wire.call("unlock", ["l"])["result"] == {}
    assert other.receive() == {"method": "locked", "params": ["l"], "id": None}


# --- monitors ------------------------------------------------------------------------------------------------------


def test_updates_come_before_the_reply_that_caused_them(wire):  # DB.21
    wire.call("monitor", [DB, "m", {"Queue": {"columns": ["dscp"]}}])
    wire.send("transact", [DB, insert(dscp=9)], "t")
    update, reply = wire.receive(), wire.receive()
    assert (update["method"], update["id"], reply["id"]) == ("update", None, "t")
    ((row,),) = (list(update["params"][1]["Queue"].values()),)
    assert row == {"new": {"dscp": 9}}


def test_cancelled_monitors_are_silent_and_forgotten(ours, wire):  # DB.22
    wire.call("monitor", [DB, ["any", "json"], {"Queue": {}}])
    assert wire.call("monitor_cancel", [["any", "json"]])["result"] == {}
    assert wire.call("monitor_cancel", [["any", "json"]])["error"] == "unknown monitor"
    wire.send("transact", [DB, insert(dscp=9)], "t")
    assert wire.receive()["id"] == "t"
    assert not ours.server.databases[DB].monitors


def test_monitor_since_sends_only_what_was_missed(wire, other):  # DB.24
    params = [DB, "m", {"Queue": [{"columns": ["dscp"]}]}]
    found, last_id, updates = wire.call("monitor_cond_since", [*params, ZERO])["result"]
    assert (found, updates) == (False, {})
    wire.call("monitor_cancel", ["m"])
    other.transact(DB, insert(dscp=1))
    (first,) = other.transact(DB, insert(dscp=2))
    uuid = first["uuid"]
    other.transact(DB, {"op": "update", "table": "Queue", "where": [["_uuid", "==", uuid]], "row": {"dscp": 3}})
    found, newer, updates = wire.call("monitor_cond_since", [*params, last_id])["result"]
    assert found and newer != last_id
    assert sorted(u["insert"]["dscp"] for u in updates["Queue"].values()) == [1, 3]
    wire.call("monitor_cancel", ["m"])
    found, same, updates = wire.call("monitor_cond_since", [*params, newer])["result"]
    assert (found, same, updates) == (True, newer, {})
    other.transact(DB, {"op": "delete", "table": "Queue", "where": []})
    message = wire.receive()
    assert message["method"] == "update3" and message["params"][:1] == ["m"]
    assert all(u == {"delete": None} for u in message["params"][2]["Queue"].values())


def test_history_is_short_and_then_everything_is_sent(ours, wire):  # DB.24
    params = [DB, "m", {"Queue": [{"columns": ["dscp"]}]}]
    _, last_id, _ = wire.call("monitor_cond_since", [*params, ZERO])["result"]
    wire.call("monitor_cancel", ["m"])
    for n in range(engine.HISTORY_TXNS + 1):
        wire.transact(DB, insert(dscp=n % 64))
    found, _, updates = wire.call("monitor_cond_since", [*params, last_id])["result"]
    assert not found and len(updates["Queue"]) == engine.HISTORY_TXNS + 1


def test_conditions_change_on_the_fly(wire):  # DB.25
    wire.transact(DB, insert(dscp=1), insert(dscp=2))
    wire.call("monitor_cond", [DB, "m", {"Queue": [{"columns": ["dscp"], "where": [["dscp", "==", 1]]}]}])
    wire.send("monitor_cond_change", ["m", "n", {"Queue": [{"where": [["dscp", "==", 2]]}]}], 1)
    update, reply = wire.receive(), wire.receive()
    assert update["method"] == "update2" and update["params"][0] == "n"
    kinds = sorted(next(iter(u)) for u in update["params"][1]["Queue"].values())
    assert kinds == ["delete", "insert"] and reply["result"] == {}
    assert wire.call("monitor_cond_change", ["m", "m", {}])["error"]["details"] == "unknown monitor session"


def test_a_reader_that_stops_costs_bounded_memory_and_catches_up(ours, other, monkeypatch):  # DB.21
    monkeypatch.setattr(server_module, "HIGH_WATER_BYTES", 100_000)
    slow = ours.wire()
    slow.call("monitor", [DB, "m", {"Queue": {"columns": ["external_ids"]}}])
    (result,) = other.transact(DB, insert())
    where = [["_uuid", "==", result["uuid"]]]
    row = [{"op": "update", "table": "Queue", "where": where, "row": {"external_ids": ["map", [["k", ""]]]}}]
    for n in range(100):
        row[0]["row"]["external_ids"][1][0][1] = f"{n}" + "x" * 20_000
        other.transact(DB, *row)
    (client_side,) = [c for c in ours.server.clients if c.monitors]
    assert client_side.session.queued_bytes < 400_000
    last = ""
    while not last.startswith("99x"):
        update = slow.receive()["params"][1]["Queue"]
        ((new,),) = ([u["new"] for u in update.values()],)
        last = dict(new["external_ids"][1]).get("k", "")
    slow.close()


# --- bad input -----------------------------------------------------------------------------------------------------

GARBAGE = [
    b"garbage",
    b"\x00\x01\x02",
    b"[1,2]",
    b'"x"',
    b"}",
    b"{}",
    b'{"id":1}',
    b'{"method":"echo"}',
    b'{"id":1,"method":3,"params":[]}',
    b'{"id":1,"method":"echo","params":{}}',
    b'{"id":1,"method":"echo","params":[1,]}',
    b'{"id":1,"method":"transact","params":["\xff"]}',
    b'{"id":1,"method":"echo","params":[' + b"[" * 5000 + b"]" * 5000 + b"]}",
    b'{"extra":1,"id":1,"method":"echo","params":[]}',
]


@pytest.mark.parametrize("data", GARBAGE, ids=lambda d: repr(d[:40]))
def test_garbage_ends_its_session_only(ours, wire, other, data):  # DB.01
    wire.sock.sendall(data)
    assert wire.at_end()
    assert other.transact(DB, insert(dscp=1))[0]["uuid"]


def test_half_messages_and_hang_ups_leave_the_server_well(ours, other):  # DB.01
    for data in (b'{"id":1,"method":"tra', b'{"id":1,"method":"transact","params":["Open_vSw', b" "):
        half = ours.wire()
        half.sock.sendall(data)
        half.close()
    reset = ours.wire()
    reset.send("transact", [DB, select("_uuid")], 1)
    reset.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    reset.close()
    assert other.call("list_dbs", [])["result"] == ["Open_vSwitch", "_Server"]
    wait_until(lambda: len(ours.server.clients) == 1)


def test_a_message_in_single_bytes_is_understood(wire):  # DB.01
    for byte in json.dumps({"method": "echo", "params": ['\u00e9\\"{['], "id": 7}, ensure_ascii=False).encode():
        wire.sock.sendall(bytes([byte]))
    assert wire.receive()["result"] == ['\u00e9\\"{[']


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
members = st.fixed_dictionaries(
    {
        "op": st.sampled_from(
            ["insert", "select", "update", "mutate", "delete", "wait", "assert", "comment", "commit", "abort"]
        )
    },
    optional={
        "table": st.sampled_from(["Queue", "Port"]) | json_values,
        "where": json_values,
        "row": json_values,
        "rows": json_values,
        "columns": json_values,
        "mutations": json_values,
        "until": json_values,
        "timeout": st.just(0) | json_values.filter(lambda v: not isinstance(v, int)),
        "lock": json_values,
        "uuid": json_values,
        "uuid-name": json_values,
        "comment": json_values,
        "durable": json_values,
    },
)


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    server = Ours(tmp_path_factory.mktemp("victim"))
    try:
        yield server.start()
    finally:
        server.end()


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(ops=st.lists(members | json_values, max_size=3))
def test_nonsense_operations_get_an_error_never_an_internal_one(victim, ops):  # DB.20
    wire = victim.wire()
    reply = wire.call("transact", [DB, *ops])
    assert "internal" not in json.dumps(reply)
    assert len(reply["result"]) >= len(ops)
    wire.close()


METHODS = [
    "get_schema",
    "monitor",
    "monitor_cond",
    "monitor_cond_since",
    "monitor_cond_change",
    "monitor_cancel",
    "lock",
    "steal",
    "unlock",
    "set_db_change_aware",
    "transact",
    "cancel",
    "list_dbs",
    "get_server_id",
    "convert",
]


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(method=st.sampled_from(METHODS), params=st.lists(json_values, max_size=4), named=st.booleans())
def test_nonsense_requests_are_answered_and_nobody_is_hurt(victim, method, params, named):  # DB.20
    wire = victim.wire()
    reply = wire.call(method, [DB, *params] if named else params)
    assert "internal" not in json.dumps(reply)
    assert wire.call("list_dbs", [])["result"]
    wire.close()


def test_silent_tcp_clients_are_probed_and_dropped(ours):  # DB.27
    listener = ours.do(ours.server.listen("ptcp:0:127.0.0.1", probe_s=0.05))
    with socket.create_connection(("127.0.0.1", listener.port), timeout=10) as mute:
        received = b""
        while chunk := mute.recv(1000):
            received += chunk
    assert json.loads(received)["method"] == "echo"


def test_compaction_on_request_leaves_contents(ours, wire):  # DB.39
    for n in range(20):
        wire.transact(DB, insert(dscp=n), {"op": "delete", "table": "Queue", "where": [["dscp", "==", n - 1]]})
    before = ours.database.stat().st_size
    ours.do(ours.server.compact(DB))
    assert ours.database.stat().st_size < before
    wire.transact(DB, insert(dscp=50))
    ours.stop()
    ours.start()
    other = ours.wire()
    assert {row["dscp"] for row in other.transact(DB, select("dscp"))[0]["rows"]} == {19, 50}
    other.close()


# --- other remotes -------------------------------------------------------------------------------------------------


def test_tcp_remotes_work_on_a_port_of_the_kernels_choice(ours):  # DB.31
    listener = ours.do(ours.server.listen("ptcp:0:127.0.0.1"))
    target = f"tcp:127.0.0.1:{listener.port}"
    assert ours.do(client.call(target, "list_dbs", [])) == ["Open_vSwitch", "_Server"]
    results = ours.do(client.transact(target, DB, insert(dscp=1), select("dscp")))
    assert results[1] == {"rows": [{"dscp": 1}]}
    with pytest.raises(OvsdbError, match="unknown database"):
        ours.do(client.call(target, "get_schema", ["x"]))
    ours.do(ours.server.unlisten("ptcp:0:127.0.0.1"))
    with pytest.raises(OSError):
        ours.do(client.call(target, "list_dbs", []))


def test_memory_only_databases_need_no_disk(tmp_path):  # DB.46
    server = Ours(tmp_path, SCHEMA, database=False)
    try:
        wire = server.start().wire()
        assert wire.transact(DB, insert(dscp=1))[0]["uuid"]
        wire.close()
    finally:
        server.end()
    assert [p.name for p in tmp_path.iterdir()] == []


def test_closing_the_server_disconnects_and_frees_everything(ours, wire):
    wire.transact(DB, insert(dscp=1))
    wire.send("transact", [DB, wait_for_dscp(60)], 1)
    wire.call("list_dbs", [])
    ours.stop()
    with contextlib.suppress(EOFError):
        wire.receive()
    assert wire.at_end() and not ours.sock.exists()
    ours.start()
    assert Wire(ours.sock).transact(DB, select("dscp")) == [{"rows": [{"dscp": 1}]}]
