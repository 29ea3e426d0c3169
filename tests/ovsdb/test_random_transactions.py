"""Random transactions: the store against a naive model, derived tables against a recount, the log against memory."""

import itertools

from hypothesis import given, settings

from ovsdb import schema, store
from ovsdb.filedb import load_records, record
from ovsdb.log import encode_record, split_records
from ovsdb.monitor import DIALECTS, Monitor, merge_deltas, parse_requests
from ovsdb.ops import execute
from tests.oracle import ovsdb_model
from tests.ovsdb.random_txns import histories

SCHEMA = schema.parse(ovsdb_model.SCHEMA)


def contents(db):
    """The store's contents as the model writes them."""
    result = {}
    for name, table in db.tables.items():
        result[name] = {
            uuid: {c.name: plain(c, row[c.name]) for c in table.schema.own} for uuid, row in table.rows.items()
        }
    return result


def plain(column, datum):
    return dict(datum) if column.type.is_map else set(datum)


def error_word(outcome):
    for result in outcome.results:
        if result is not None and result.get("error"):
            return result["error"]
    return None


@settings(max_examples=300, deadline=None)
@given(histories)
def test_results_and_contents_equal_those_of_a_naive_database(history):  # DB.07-DB.19
    db, model = store.Database(SCHEMA), ovsdb_model.empty()
    for ops in history:
        outcome = execute(db, ops)
        model, word = ovsdb_model.run(model, ops)
        assert error_word(outcome) == word
        assert contents(db) == model
        assert bool(outcome.delta) <= (word is None)


@settings(max_examples=150, deadline=None)
@given(histories)
def test_derived_tables_equal_a_recount(history):  # DB.19
    db = store.Database(SCHEMA)
    for ops in history:
        execute(db, ops)
    fresh = store.Database(SCHEMA)
    fresh._book(db.snapshot())
    for name, table in db.tables.items():
        assert table.refs == fresh.tables[name].refs
        assert table.weak_sources == fresh.tables[name].weak_sources
        assert table.indexes == fresh.tables[name].indexes


@settings(max_examples=150, deadline=None)
@given(histories)
def test_reverting_everything_ends_where_it_began(history):  # DB.38: a failed write takes the batch back
    db = store.Database(SCHEMA)
    half = len(history) // 2
    for ops in history[:half]:
        execute(db, ops)
    before = contents(db)
    deltas = [execute(db, ops).delta for ops in history[half:]]
    for delta in reversed(deltas):
        db.revert(delta)
    assert contents(db) == before
    fresh = store.Database(SCHEMA)
    fresh._book(db.snapshot())
    assert [t.refs for t in db.tables.values()] == [t.refs for t in fresh.tables.values()]
    assert [t.indexes for t in db.tables.values()] == [t.indexes for t in fresh.tables.values()]


@settings(max_examples=150, deadline=None)
@given(histories)
def test_log_replays_to_the_same_contents(history):  # DB.36, DB.37, DB.39
    db = store.Database(SCHEMA)
    data = b""
    for ops in history:
        value = record(SCHEMA, execute(db, ops).delta, "why", 1000)
        data += encode_record(value) if value is not None else b""
    values, end, problem = split_records(data)
    assert (end, problem) == (len(data), "")
    assert contents(load_records(SCHEMA, values)) == contents(db)


REQUESTS = {
    "monitor": {"A": {}, "B": [{"columns": ["label"]}, {"columns": ["peer"]}]},
    "monitor_cond": {"A": [{"where": [["name", "!=", "k"], ["ints", "includes", 3]]}], "B": [{}]},
}


class Replica:
    """What a client makes of a monitor's messages: RFC 7047 and ovsdb-server(7), by the letter."""

    def __init__(self, updates):
        self.rows = {}
        self.apply(updates)

    def apply(self, updates):
        for table, rows in updates.items():
            for uuid, update in rows.items():
                self.apply_row((table, uuid), update)

    def apply_row(self, key, update):
        if "modify" in update:
            for name, change in update["modify"].items():
                self.rows[key][name] = self.change(key[0], name, self.rows[key][name], change)
        elif "delete" in update or "old" in update and "new" not in update:
            del self.rows[key]
        elif "new" in update:
            assert all(self.rows[key][n] == parsed(key[0], n, v) for n, v in update.get("old", {}).items())
            self.rows[key] = {n: parsed(key[0], n, v) for n, v in update["new"].items()}
        else:
            assert key not in self.rows
            body = next(iter(update.values()))
            self.rows[key] = {**defaults(key[0]), **{n: parsed(key[0], n, v) for n, v in body.items()}}

    @staticmethod
    def change(table, name, old, change):
        if table == "A" and name == "opts":
            new = dict(old)
            for key, value in change[1]:
                if new.get(key) == value:
                    del new[key]
                else:
                    new[key] = value
            return new
        if name in ("kids", "likes", "ints"):
            return old ^ parsed(table, name, change)
        return parsed(table, name, change)


def parsed(table, name, value):
    return ovsdb_model.parse(_lists(value))


def _lists(value):
    return [_lists(v) for v in value] if isinstance(value, (list, tuple)) else value


def defaults(table):
    return {n: v.copy() for n, v in ovsdb_model.DEFAULTS[table].items()} | {"_version": {"?"}}


def expected(db, monitor):
    result = {}
    for name, table in db.tables.items():
        for uuid, row in table.rows.items():
            if monitor.tables[name].matches(row):
                result[name, uuid] = {c.name: plain(c, row[c.name]) for c in table.schema.own}
    return result


def shown(replica):
    return {key: {n: v for n, v in row.items() if n != "_version"} for key, row in replica.rows.items()}


@settings(max_examples=200, deadline=None)
@given(histories)
def test_monitors_keep_a_replica_equal(history):  # DB.21, DB.23
    db = store.Database(SCHEMA)
    watched = []
    for at, ops in enumerate(history):
        if at == len(history) // 2:
            for method, requests in REQUESTS.items():
                dialect = DIALECTS[method]
                monitor = Monitor(
                    db, method, dialect, parse_requests(SCHEMA, requests, conditional=dialect.conditional)
                )
                watched.append((monitor, Replica(monitor.initial())))
        delta = execute(db, ops).delta
        for monitor, replica in watched:
            monitor.add(delta)
            if at % 3 != 1:  # sometimes two changes arrive as one
                replica.apply(monitor.flush())
                assert shown(replica) == expected(db, monitor)
    for monitor, replica in watched:
        replica.apply(monitor.flush())
        assert shown(replica) == expected(db, monitor)


@settings(max_examples=100, deadline=None)
@given(histories)
def test_changing_conditions_shows_exactly_the_new_view(history):  # DB.25
    db = store.Database(SCHEMA)
    dialect = DIALECTS["monitor_cond_since"]
    monitor = Monitor(db, "m", dialect, parse_requests(SCHEMA, {"A": [{}], "B": [{}]}, conditional=True))
    replica = Replica(monitor.initial())
    views = itertools.cycle([[["name", "==", "k"]], [False], [["ints", "includes", 1], ["name", "==", "l"]], [True]])
    for ops in history:
        monitor.add(execute(db, ops).delta)
        replica.apply(monitor.flush())
        wanted = monitor.parse_conditions({"A": [{"where": next(views)}]})
        replica.apply(monitor.change_conditions(wanted))
        assert shown(replica) == expected(db, monitor)


@settings(max_examples=100, deadline=None)
@given(histories)
def test_merged_history_equals_the_single_steps(history):  # DB.24
    db = store.Database(SCHEMA)
    half = len(history) // 2
    for ops in history[:half]:
        execute(db, ops)
    dialect = DIALECTS["monitor_cond_since"]
    monitor = Monitor(db, "m", dialect, parse_requests(SCHEMA, {"A": [{}], "B": [{}]}, conditional=True))
    replica = Replica(monitor.initial())
    deltas = [execute(db, ops).delta for ops in history[half:]]
    replica.apply(monitor.compose(merge_deltas(deltas)))
    assert shown(replica) == expected(db, monitor)
