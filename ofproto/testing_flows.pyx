"""Test shells: what forwarders do to the flow tables of a bridge, and a look behind them."""

from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from datapath.flow_key cimport FlowKey
from ofproto.flow_mod cimport Match
from ofproto.flow_table cimport FlowTables, load_match
from ofproto.rule cimport Rule, Table, VERSION_FOREVER, rule_credit, table_find_exact, table_lookup
from ofproto.switch cimport switch_version


cdef Table *table_of(FlowTables tables, int table_id) except? NULL:
    return tables.bridge.live().tables[table_id]


def credit_flow(FlowTables tables, int table_id, bytes value, bytes mask, int priority, packets: int, n_bytes: int, used_ns: int) -> None:
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
        rule = table_lookup(table, &flow, version, NULL)
    return None if rule == NULL else (rule.priority, rule.cookie)


def heap_size(FlowTables tables) -> int:
    """Return how many rules the time-out heap holds, removed ones included."""
    return tables.ed.expiry.n


def version_of(FlowTables tables) -> int:
    """Return the published version of the switch's tables."""
    return switch_version(tables.bridge.live().sw)
