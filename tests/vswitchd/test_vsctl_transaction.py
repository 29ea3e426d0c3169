"""Transactions of the database client that waits, against a naive model of rows as dicts (DB.13, TL.01)."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovsdb import blocking
from ovsdb.blocking import ERROR, SUCCESS, TRY_AGAIN, UNCHANGED, Transaction, Uuid
from tests.ovsdb.conftest import Ours
from vslib.blocking import JsonConnection, connect

WANTED = {"Queue": ["other_config", "external_ids", "dscp"], "Open_vSwitch": ["next_cfg"]}
KEYS = st.sampled_from("abc")
PAIRS = st.dictionaries(KEYS, st.sampled_from("xyz"), max_size=2)
ROWS = st.integers(0, 3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("make"), ROWS, PAIRS),
        st.tuples(st.just("write"), ROWS, PAIRS),
        st.tuples(st.just("insert"), ROWS, PAIRS),
        st.tuples(st.just("remove"), ROWS, st.lists(KEYS, max_size=2)),
        st.tuples(st.just("dscp"), ROWS, st.lists(st.integers(0, 63), max_size=1)),
        st.tuples(st.just("delete"), ROWS, st.none()),
    ),
    max_size=8,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    started = Ours(tmp_path_factory.mktemp("db"))
    try:
        yield started.start()
    finally:
        started.end()


@contextlib.contextmanager
def client(server):
    connection = JsonConnection(connect(server.target))
    try:
        yield connection
    finally:
        connection.close()


def begin(connection):
    txn = Transaction("Open_vSwitch")
    txn.fetch(connection, WANTED)
    return txn


class Model:
    """Queues by a label in their external_ids, as plain dicts."""

    def __init__(self):
        self.rows = {}

    def make(self, label, pairs):
        self.rows.setdefault(label, {"pairs": dict(pairs), "dscp": []})

    def write(self, label, pairs):
        self.rows[label]["pairs"] = dict(pairs)

    def insert(self, label, pairs):
        self.rows[label]["pairs"].update(pairs)

    def remove(self, label, keys):
        for key in keys:
            self.rows[label]["pairs"].pop(key, None)

    def dscp(self, label, value):
        self.rows[label]["dscp"] = value

    def delete(self, label, _value):
        del self.rows[label]


class Real:
    """The same steps on a transaction."""

    def __init__(self, txn):
        self.txn = txn
        self.rows = {row.map("external_ids")["label"]: row for row in txn.rows("Queue")}

    def make(self, label, pairs):
        if label not in self.rows:
            ids = {"label": label}
            self.rows[label] = self.txn.insert("Queue", other_config=dict(pairs), external_ids=ids)

    def write(self, label, pairs):
        self.rows[label].write("other_config", dict(pairs))

    def insert(self, label, pairs):
        self.rows[label].insert("other_config", dict(pairs))

    def remove(self, label, keys):
        self.rows[label].remove("other_config", list(keys))

    def dscp(self, label, value):
        self.rows[label].write("dscp", list(value))

    def delete(self, label, _value):
        self.txn.delete(self.rows.pop(label))

    def contents(self):
        return {
            label: {"pairs": row.map("other_config"), "dscp": row.set("dscp")} for label, row in self.rows.items()
        }


@settings(max_examples=60)
@given(st.lists(STEPS, min_size=1, max_size=3))
def test_transactions_leave_what_a_dict_has_and_show_it_before_they_are_committed(server, transactions):
    model = Model()
    with client(server) as connection:
        cleared = begin(connection)
        for row in cleared.rows("Queue"):
            cleared.delete(row)
        assert cleared.commit(connection) in (SUCCESS, UNCHANGED)
        for steps in transactions:
            real = Real(begin(connection))
            for step, number, value in steps:
                label = f"row{number}"
                if step == "make" or label in model.rows:
                    getattr(model, step)(label, value)
                    getattr(real, step)(label, value)
            assert real.contents() == model.rows
            assert real.txn.commit(connection) in (SUCCESS, UNCHANGED)
            assert Real(begin(connection)).contents() == model.rows


def test_a_change_of_what_was_verified_makes_it_try_again(server):
    with client(server) as connection:
        first = begin(connection)
        first.insert("Queue", Uuid("11111111-2222-3333-4444-555555555555"), fixed=True, other_config={"a": "1"})
        assert first.commit(connection) == SUCCESS
        mine, theirs = begin(connection), begin(connection)
        for txn, value in ((theirs, "2"), (mine, "3")):
            row = txn.row("Queue", "11111111-2222-3333-4444-555555555555")
            row.verify("other_config")
            row.write("other_config", {"a": value})
        assert theirs.commit(connection) == SUCCESS
        assert mine.commit(connection) == TRY_AGAIN
        assert begin(connection).row("Queue", "11111111-2222-3333-4444-555555555555").map("other_config") == {"a": "2"}


def test_nothing_is_sent_when_nothing_changed_and_the_counter_stays(server):
    with client(server) as connection:
        txn = begin(connection)
        ovs = txn.rows("Open_vSwitch")[0] if txn.rows("Open_vSwitch") else txn.insert("Open_vSwitch")
        txn.insert("Queue", external_ids={"label": "count"})
        txn.increment = (ovs, "next_cfg")
        assert txn.commit(connection) == SUCCESS
        assert txn.incremented == 1
        again = begin(connection)
        again.increment = (again.rows("Open_vSwitch")[0], "next_cfg")
        again.comments.append("nothing")
        for row in again.rows("Queue"):
            row.verify("dscp")
            row.write("dscp", row.get("dscp"))
        assert again.commit(connection) == UNCHANGED


def test_errors_of_the_server_and_unknown_columns_are_told_apart(server):
    with client(server) as connection:
        txn = begin(connection)
        txn.insert("Queue", dscp=[99])
        assert txn.commit(connection) == ERROR
        assert txn.error["error"] == "constraint violation"
        with pytest.raises(blocking.UnknownColumns):
            Transaction("Open_vSwitch").fetch(connection, {"Queue": ["nosuch"]})
        with pytest.raises(blocking.UnknownColumns):
            blocking.watch(connection, "Open_vSwitch", "x", {"Queue": ["nosuch"]})


def test_a_dry_run_changes_nothing(server):
    with client(server) as connection:
        before = len(begin(connection).rows("Queue"))
        txn = begin(connection)
        txn.dry_run = True
        txn.insert("Queue")
        assert txn.commit(connection) == SUCCESS
        assert len(begin(connection).rows("Queue")) == before


def test_uuids_made_here_are_version_4_and_differ():
    made = {blocking.fresh_uuid() for _ in range(100)}
    assert len(made) == 100
    assert all(uuid[14] == "4" and uuid[19] in "89ab" and len(uuid) == 36 for uuid in made)
