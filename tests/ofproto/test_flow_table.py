"""Flow tables: every command against a list of flows, errors, time-outs, statistics and versions (OF.01 to OF.10)."""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofproto.errors import OpenFlowError
from ofproto.flow_table import FlowTables
from ofproto.numbers import NICIRA
from ofproto.switch import SwitchHandle
from ofproto.testing_flows import credit_flow, forward, heap_size, lookup_flow, version_of
from tests.ofproto import flow_messages as wire
from tests.oracle.flow_table_naive import (
    ADD,
    ANY,
    CHECK_OVERLAP,
    DELETE,
    DELETE_STRICT,
    MODIFY,
    MODIFY_STRICT,
    RESET_COUNTS,
    SEND_FLOW_REM,
    TABLE_ALL,
    TABLE_HIDDEN,
    Mod,
    NaiveFlows,
    Refused,
    S,
)
from vslib.clock import VirtualClock, use

FULL = 0xFFFFFFFF
X, Y = (1, FULL, 0, 0), (2, FULL, 0, 0)


@pytest.fixture
def clock():
    """A clock that stands still until a test moves it."""
    virtual = VirtualClock()
    previous = use(virtual)
    yield virtual
    use(previous)


@pytest.fixture
def tables(clock):
    return new_tables()


def new_tables() -> FlowTables:
    return FlowTables(SwitchHandle().add_bridge("br0", bytes(6)))


def apply(tables: FlowTables, mod: Mod) -> list:
    return tables.flow_mod(wire.flow_mod(mod), nxt_table_id=True)


def dump(tables: FlowTables, now: int = 0, **request) -> list[tuple]:
    return wire.read_flows(tables.flow_stats(wire.flow_request(**request), 4, False, now))


def refused(tables: FlowTables, mod: Mod) -> str:
    with pytest.raises(OpenFlowError) as caught:
        apply(tables, mod)
    return caught.value.name


# --- every command against the oracle -------------------------------------------------------------------------------

WORD = st.sampled_from([(0, 0), (0, 0), (0, 1), (1, 1), (1, 3), (2, 3), (1, FULL), (2, FULL)])
MATCH = st.tuples(WORD, WORD).map(lambda words: words[0] + words[1])
COOKIE = st.sampled_from([0, 1, 2, 3])


@st.composite
def mods(draw) -> Mod:
    command = draw(st.sampled_from([ADD, ADD, ADD, MODIFY, MODIFY_STRICT, DELETE, DELETE_STRICT]))
    version = draw(st.sampled_from([1, 4]))
    outputs = st.lists(st.sampled_from([1, 2, 3]), min_size=0 if command == ADD else 1, max_size=2, unique=True)
    return Mod(
        command, version,
        table=draw(st.sampled_from([0, 0, 1, TABLE_HIDDEN, TABLE_ALL])),
        match=draw(MATCH),
        priority=draw(st.integers(0, 2)),
        cookie=draw(COOKIE),
        cookie_mask=draw(st.sampled_from([0, 0, 1, 3])) if version == 4 and command != ADD else 0,
        idle=draw(st.sampled_from([0, 0, 3, 9])),
        hard=draw(st.sampled_from([0, 0, 4, 8])),
        flags=draw(st.integers(0, 7)) & (7 if version == 4 else 3),
        out_port=draw(st.sampled_from([ANY, ANY, 1, 2])),
        outputs=tuple(draw(outputs)) if command <= MODIFY_STRICT else (),
    )


STEP = st.one_of(mods(), mods(), mods(), st.tuples(st.just("wait"), st.integers(0, 4)),
                 st.tuples(st.just("credit"), st.integers(0, 100)), st.just(("collect", 0)))


class Both:
    """The compiled tables and the oracle, driven alike."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.tables, self.naive = new_tables(), NaiveFlows()
        self.naive.now = self.clock.now_ns()

    def step(self, step) -> None:
        if isinstance(step, Mod):
            self.mod(step)
        else:
            getattr(self, step[0])(step[1])

    def mod(self, mod: Mod) -> None:
        try:
            want = self.naive.apply(mod)
        except Refused as error:
            assert refused(self.tables, mod) == error.args[0]
            return
        self.compare(apply(self.tables, mod), want)

    def wait(self, seconds: int) -> None:
        self.clock.move_to(self.clock.now_ns() + seconds * S)
        now = self.clock.now_ns()
        self.compare(self.tables.expire(now), self.naive.expire(now))

    def credit(self, pick: int) -> None:
        if self.naive.flows:
            flow = self.naive.flows[pick % len(self.naive.flows)]
            a, am, b, bm = flow.mod.match
            now = self.clock.now_ns()
            credit_flow(self.tables, flow.table, wire.image(a, b), wire.image(am, bm), flow.mod.priority, 2, 200, now)
            flow.packets += 2
            flow.used = now

    def collect(self, _: int) -> None:
        self.tables.collect(version_of(self.tables))

    def compare(self, told, want) -> None:
        said = sorted((t.table_id, t.priority, t.cookie, t.n_packets, t.reason) for t in told)
        assert said == sorted((f.table, f.mod.priority, f.cookie, f.packets, reason) for f, reason in want)
        now = self.clock.now_ns()
        assert dump(self.tables, now) == sorted(wire.expected(f, now) for f in self.naive.flows)
        assert self.tables.n_flows == len(self.naive.flows)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, max_size=25))
def test_any_run_of_flow_mods_credits_and_waits_does_what_a_plain_list_does(steps):
    both = Both()
    previous = use(both.clock)
    try:
        for step in steps:
            both.step(step)
    finally:
        use(previous)


@settings(max_examples=60, deadline=None)
@given(st.lists(mods(), max_size=80))
def test_a_batch_does_the_same_as_its_flow_mods_one_by_one(batch):
    one, many = new_tables(), new_tables()
    want_told, want_errors = [], []
    for i, mod in enumerate(batch):
        try:
            want_told += apply(one, mod)
        except OpenFlowError as error:
            want_errors.append((i, error.name))
    told, errors = many.apply_many([wire.flow_mod(m) for m in batch], nxt_table_id=True)
    assert [(i, e.name) for i, e in errors] == want_errors
    assert [(t.priority, t.cookie) for t in told] == [(t.priority, t.cookie) for t in want_told]
    assert [row[:8] for row in dump(many)] == [row[:8] for row in dump(one)]


@settings(max_examples=60, deadline=None)
@given(flows=st.lists(mods(), max_size=30), match=MATCH, table=st.sampled_from([0, 1, TABLE_ALL]), cookie=COOKIE,
       cookie_mask=st.sampled_from([0, 1, 3]), out_port=st.sampled_from([ANY, 1]))
def test_requests_select_by_table_match_cookie_and_port(flows, match, table, cookie, cookie_mask, out_port):
    tables, naive = new_tables(), NaiveFlows()
    for mod in flows:
        try:
            naive.apply(mod)
        except Refused:
            continue
        apply(tables, mod)
    wanted = {"match": match, "table": table, "cookie": cookie, "cookie_mask": cookie_mask, "out_port": out_port}
    meant = [f for f in naive.flows if naive._meant(f, Mod(DELETE, **wanted))]
    assert [row[:4] for row in dump(tables, **wanted)] == sorted((f.table, *f.key[1:], f.cookie) for f in meant)
    assert tables.aggregate(wire.flow_request(kind=2, **wanted)) == (0, 0, len(meant))


# --- the finer points -----------------------------------------------------------------------------------------------

def test_a_flow_mod_with_a_buffer_is_refused_and_changes_nothing(tables):
    assert refused(tables, Mod(ADD, match=X, buffer_id=5)) == "OFPBRC_BUFFER_UNKNOWN"
    assert tables.n_flows == 0


def test_an_add_over_a_flow_keeps_its_counts_in_13_unless_told_and_never_in_10(tables):
    for mod, left in ((Mod(ADD, match=X), 5), (Mod(ADD, match=X, flags=RESET_COUNTS), 0), (Mod(ADD, 1, match=X), 0)):
        apply(tables, Mod(ADD, match=X, flags=RESET_COUNTS))
        credit_flow(tables, 0, wire.image(1, 0), wire.image(FULL, 0), 0, 5, 500, 0)
        apply(tables, mod)
        assert dump(tables)[0][7] == left


def test_overlap_is_an_error_but_replacing_the_same_match_is_not(tables):
    apply(tables, Mod(ADD, match=X))
    assert refused(tables, Mod(ADD, match=(0, 0, 1, FULL), flags=CHECK_OVERLAP)) == "OFPFMFC_OVERLAP"
    apply(tables, Mod(ADD, match=X, flags=CHECK_OVERLAP, outputs=(1,)))
    apply(tables, Mod(ADD, match=Y, flags=CHECK_OVERLAP))
    assert tables.n_flows == 2


def test_a_hidden_rule_is_neither_shown_nor_changed_nor_counted(tables):
    tables.add_hidden(180_000, wire.image(1, 0), wire.image(FULL, 0), b"")
    apply(tables, Mod(DELETE, table=TABLE_ALL))
    tables.flush()
    assert dump(tables) == []
    assert tables.n_flows == 0
    assert tables.table_stats()[0] == (0, 0, 0, 0)
    assert lookup_flow(tables, 0, wire.image(1, 0), version_of(tables)) == (180_000, 0)


def test_rules_of_table_254_show_when_asked_for_and_cannot_be_deleted(tables):
    tables.add_hidden(2, wire.image(1, 0), wire.image(FULL, 0), b"", table_id=TABLE_HIDDEN)
    assert dump(tables) == []
    assert [row[:2] for row in dump(tables, table=TABLE_HIDDEN)] == [(TABLE_HIDDEN, 2)]
    assert refused(tables, Mod(DELETE, table=TABLE_HIDDEN)) == "OFPBRC_EPERM"
    apply(tables, Mod(DELETE, table=TABLE_HIDDEN, match=Y))
    apply(tables, Mod(DELETE, table=TABLE_ALL))
    assert len(dump(tables, table=TABLE_HIDDEN)) == 1


def test_a_use_puts_off_the_idle_time_out_and_a_modify_the_hard_one(tables, clock):
    start = clock.now_ns()
    apply(tables, Mod(ADD, match=X, idle=10, flags=SEND_FLOW_REM))
    apply(tables, Mod(ADD, match=Y, hard=10, flags=SEND_FLOW_REM, outputs=(1,)))
    credit_flow(tables, 0, wire.image(1, 0), wire.image(FULL, 0), 0, 1, 60, start + 5 * S)
    clock.move_to(start + 6 * S)
    apply(tables, Mod(MODIFY, match=Y, outputs=(2,)))
    assert tables.expire(start + 15 * S) == []
    assert [(t.reason, t.priority) for t in tables.expire(start + 15 * S + 1)] == [(0, 0)]
    assert [t.reason for t in tables.expire(start + 16 * S + 1)] == [1]
    assert tables.n_flows == 0


def test_a_removed_flow_reports_the_credits_that_arrive_after_it_went(tables):
    apply(tables, Mod(ADD, match=X, cookie=9, priority=7, flags=SEND_FLOW_REM))
    rule = wire.image(1, 0), wire.image(FULL, 0)
    credit_flow(tables, 0, *rule, 7, 1, 60, 0)
    [gone] = apply(tables, Mod(DELETE))
    assert gone.n_packets == 1
    tables.collect(version_of(tables))
    message = gone.encode(4, False)
    assert (message[0], message[1]) == (4, 11)
    cookie, priority, reason, table = struct.unpack_from("!QHBB", message, 8)
    assert (cookie, priority, reason, table) == (9, 7, 2, 0)
    assert struct.unpack_from("!Q", message, 32) == (1,)


def test_a_forwarder_in_an_older_version_goes_on_seeing_the_tables_of_that_version(tables):
    key = wire.image(1, 0)
    apply(tables, Mod(ADD, match=X, cookie=1))
    before = version_of(tables)
    batch = [Mod(ADD, match=X, cookie=2), Mod(ADD, match=X, priority=3, cookie=3)]
    tables.apply_many([wire.flow_mod(m) for m in batch])
    assert lookup_flow(tables, 0, key, before) == (0, 1)
    assert lookup_flow(tables, 0, key, version_of(tables)) == (3, 3)
    tables.collect(before)
    assert lookup_flow(tables, 0, key, before) == (0, 1)


def test_a_flow_mod_that_changes_nothing_publishes_no_version(tables):
    apply(tables, Mod(ADD, match=X))
    before = version_of(tables)
    apply(tables, Mod(DELETE, match=Y))
    apply(tables, Mod(MODIFY, match=Y, outputs=(1,)))
    tables.expire(10**12)
    tables.collect(before)
    assert version_of(tables) == before


def test_a_long_dump_comes_in_bodies_of_at_most_sixty_kilobytes_each_ending_at_an_entry(tables):
    tables.apply_many([wire.flow_mod(Mod(ADD, match=(i, FULL, 0, 0), outputs=(1,))) for i in range(3000)])
    bodies = tables.flow_stats(wire.flow_request(), 4, False, 0)
    assert len(bodies) > 3
    assert max(map(len, bodies)) <= 60 * 1024
    assert [row[2][0] for row in wire.read_flows(bodies)] == list(range(3000))


REQUEST_10 = wire.header(1, 16, struct.pack("!HHI36xBxH", 1, 0, 0x3FFFFF, TABLE_ALL, 0xFFFF))
REQUEST_NXST = wire.header(1, 16, struct.pack("!HHII4xHHB3x", 0xFFFF, 0, NICIRA, 0, 0xFFFF, 0, TABLE_ALL))


@pytest.mark.parametrize(("request_", "version", "nxst"), [
    (REQUEST_10, 1, False), (REQUEST_NXST, 1, True), (wire.flow_request(), 4, False),
])
def test_every_dialect_dumps_every_flow(tables, request_, version, nxst):
    tables.apply_many([wire.flow_mod(Mod(ADD, match=(i, FULL, 0, 0), priority=i, outputs=(1,))) for i in range(2000)])
    priorities = []
    for body in tables.flow_stats(request_, version, nxst, 0):
        at = 0
        while at < len(body):
            (length,) = struct.unpack_from("!H", body, at)
            where = 52 if (version, nxst) == (1, False) else 12
            priorities += struct.unpack_from("!H", body, at + where)
            at += length
    assert sorted(priorities) == list(range(2000))


@pytest.mark.parametrize(("version", "nxt", "kind"), [(1, False, 11), (1, True, 4), (4, False, 11)])
def test_every_dialect_reports_a_removed_flow(tables, version, nxt, kind):
    apply(tables, Mod(ADD, match=X, flags=SEND_FLOW_REM))
    [gone] = tables.flush(reason=2)
    message = gone.encode(version, nxt)
    assert (message[0], message[1], struct.unpack_from("!H", message, 2)) == (version, kind, (len(message),))


def test_an_empty_dump_is_one_empty_body(tables):
    assert tables.flow_stats(wire.flow_request(), 4, False, 0) == [b""]


def test_a_flow_modified_over_and_over_does_not_pile_up_in_the_time_out_heap(tables):
    apply(tables, Mod(ADD, match=X, hard=3600))
    mods = [wire.flow_mod(Mod(MODIFY, match=X, outputs=(i % 3 + 1,))) for i in range(5000)]
    tables.apply_many(mods)
    assert heap_size(tables) < 2200


def test_garbage_is_answered_with_an_error_and_the_rest_of_the_batch_applied(tables):
    good = wire.flow_mod(Mod(ADD, match=X))
    told, errors = tables.apply_many([good, good[:40], wire.flow_mod(Mod(ADD, match=Y))])
    assert told == []
    assert [i for i, _ in errors] == [1]
    assert tables.n_flows == 2


def test_a_deleted_bridge_is_a_configuration_error(clock):
    switch = SwitchHandle()
    tables = FlowTables(switch.add_bridge("br0", bytes(6)))
    apply(tables, Mod(ADD, match=X, idle=5))
    switch.del_bridge("br0")
    with pytest.raises(Exception, match="br0"):
        tables.flow_mod(wire.delete_all())


def test_no_packet_misses_and_no_credit_is_lost_while_its_flow_is_modified_and_collected(tables):
    apply(tables, Mod(ADD, match=X, outputs=(1,)))
    edits = [wire.flow_mod(Mod(MODIFY, match=X, outputs=(i % 3 + 1,))) for i in range(50)]
    edits += [wire.flow_mod(Mod(ADD, match=(i, FULL, 0, 0), priority=1)) for i in range(2, 40)]
    edits += [wire.flow_mod(Mod(DELETE_STRICT, match=(i, FULL, 0, 0), priority=1)) for i in range(2, 40)]
    with ThreadPoolExecutor(2) as pool:
        forwarders = [pool.submit(forward, tables, 0, wire.image(1, 0), 300_000) for _ in range(2)]
        while not all(f.done() for f in forwarders):
            assert tables.apply_many(edits) == ([], [])
            tables.collect(version_of(tables) - 2)
    assert [f.result() for f in forwarders] == [(300_000, 0)] * 2
    assert dump(tables)[0][7] == 600_000


def test_a_dump_goes_on_from_body_to_body_over_the_flows_of_its_beginning(tables):  # CH.16
    for i in range(1500):
        apply(tables, Mod(ADD, match=(i, i, FULL, FULL), priority=i))
    expected = tables.flow_stats(wire.flow_request(), 4, False, 0)
    dump_ = tables.flow_dump(wire.flow_request(), 4, False, 0)
    bodies = [dump_.next_body()]
    apply(tables, Mod(DELETE, table=TABLE_ALL))
    tables.collect(version_of(tables))
    while dump_.more:
        bodies.append(dump_.next_body())
    assert bodies == expected and len(bodies) == 2 and all(len(body) <= 60 * 1024 for body in bodies)
    tables.flow_dump(wire.flow_request(), 4, False, 0).next_body()  # one that is given up early holds nothing


def test_a_hidden_rule_goes_as_it_came(tables):  # CH.10
    apply(tables, Mod(ADD, match=X, outputs=(1,)))
    image, full = wire.image(1, 0), wire.image(FULL, 0)
    tables.add_hidden(180_000, image, full, b"")
    tables.add_hidden(180_000, image, full, b"")
    tables.del_hidden(180_001, image, full)
    assert lookup_flow(tables, 0, image, version_of(tables))[0] == 180_000
    tables.del_hidden(180_000, image, full)
    tables.del_hidden(180_000, image, full)
    assert lookup_flow(tables, 0, image, version_of(tables))[0] == dump(tables)[0][1]
    assert tables.n_flows == 1
