"""Test shells: what forwarders do to the flow tables of a bridge, and a look behind them."""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from datapath.flow_key cimport FlowKey
from ofproto.flow_mod cimport Match
from ofproto.flow_table cimport FlowTables, load_match
from ofproto.rule cimport (
    Rule, Table, VERSION_FOREVER, rule_credit, rule_ref, rule_unref, table_find_exact, table_lookup,
)
from ofproto.switch cimport Bridge, switch_read_lock, switch_unlock, switch_version


cdef Table *table_of(FlowTables tables, int table_id) except? NULL:
    return tables.bridge.live().tables[table_id]


def credit_flow(FlowTables tables, int table_id, bytes value, bytes mask, int priority, packets: int, n_bytes: int,
                used_ns: int) -> None:
    """Credit the newest rule of a match and priority, as a forwarder would; raises KeyError if there is none."""
    cdef Match match
    cdef Table *table = table_of(tables, table_id)
    cdef Rule *rule = NULL
    load_match(value, mask, &match)
    if table != NULL:
        rule = table_find_exact(table, &match, priority, VERSION_FOREVER - 1)
    if rule == NULL:
        raise KeyError(priority)
    rule_credit(rule, packets, n_bytes, used_ns)


def lookup_flow(FlowTables tables, int table_id, bytes key, version: int) -> tuple[int, int] | None:
    """Return (priority, cookie) of the rule that a packet of `version` meets in a table."""
    cdef FlowKey flow
    cdef Table *table = table_of(tables, table_id)
    cdef Rule *rule = NULL
    memcpy(&flow, <const uint8_t *>key, sizeof(FlowKey))
    if table != NULL:
        rule = table_lookup(table, &flow, version, NULL, NULL)
    return None if rule == NULL else (rule.priority, rule.cookie)


def heap_size(FlowTables tables) -> int:
    """Return how many rules the time-out heap holds, removed ones included."""
    return tables.ed.expiry.n


def version_of(FlowTables tables) -> int:
    """Return the published version of the switch's tables."""
    return switch_version(tables.bridge.live().sw)


def forward(FlowTables tables, int table_id, bytes key, rounds: int) -> tuple[int, int]:
    """Look a packet up and credit its rule `rounds` times as a forwarder does, without the GIL; return (packets that
    matched, packets that did not).
    """
    cdef FlowKey flow
    cdef Bridge *bridge = tables.bridge.live()
    cdef Table *table = table_of(tables, table_id)
    cdef Rule *rule
    cdef uint64_t version = 0
    cdef int64_t i, n = rounds, missed = 0
    memcpy(&flow, <const uint8_t *>key, sizeof(FlowKey))
    with nogil:
        for i in range(n):
            switch_read_lock(bridge.sw)
            version = switch_version(bridge.sw)
            rule = table_lookup(table, &flow, version, NULL, NULL)
            if rule != NULL:
                rule_ref(rule)
            switch_unlock(bridge.sw)
            missed += rule == NULL
            if rule != NULL:
                rule_credit(rule, 1, 60, i)
                rule_unref(rule)
    return n - missed, missed
