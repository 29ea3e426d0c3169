"""Test shell: flows made of C structs without the codec, so that translation can be tested alone."""

from libc.stdint cimport uint16_t, uint64_t
from libc.string cimport memcpy, memset

from ofproto.flow_edit cimport touch_rule
from ofproto.flow_mod cimport Match
from ofproto.rule cimport (
    INSERT_REORDERS, MaskShape, Rule, VERSION_FOREVER, mask_shape, rule_new, table_find_exact, table_insert, table_new,
    table_remove,
)
from ofproto.switch cimport Bridge, BridgeHandle, switch_edit_begin, switch_edit_end, table_tag, touch


cdef int fill(Match *match, value: bytes, mask: bytes) except -1:
    cdef uint64_t *words = <uint64_t *>&match.value
    cdef uint64_t *masks = <uint64_t *>&match.mask
    cdef size_t i
    memset(match, 0, sizeof(Match))
    memcpy(words, <const char *>value, len(value))
    memcpy(masks, <const char *>mask, len(mask))
    for i in range(sizeof(match.value) // 8):
        words[i] &= masks[i]
    return 0


def add_flow(BridgeHandle bridge, table_id: int, priority: int, value: bytes, mask: bytes, acts: bytes,
        cookie: int = 0) -> None:
    """Add a flow, or replace one of the same match and priority. value, mask: FlowKey bytes; acts: OfAct bytes."""
    cdef Bridge *br = bridge.live()
    cdef int t = table_id
    cdef Match match
    cdef MaskShape shape
    cdef Rule *rule
    cdef uint64_t version
    fill(&match, value, mask)
    mask_shape(&match.mask, &shape)
    rule = rule_new(&shape, len(acts))
    if rule == NULL:
        raise MemoryError
    memcpy(rule.acts, <const char *>acts, len(acts))
    rule.priority, rule.cookie, rule.table_id = priority, cookie, table_id
    rule.remove_version = <uint64_t>VERSION_FOREVER
    version = switch_edit_begin(br.sw)
    if br.tables[t] == NULL:
        br.tables[t] = table_new()
    old = table_find_exact(br.tables[t], &match, rule.priority, version)
    if old != NULL:
        table_remove(br.tables[t], old, version)
    rule.add_version = version
    if table_insert(br.tables[t], rule, &match) == INSERT_REORDERS:
        touch(br, table_tag(br, t))
    touch_rule(br, rule)
    switch_edit_end(br.sw)


def del_flow(BridgeHandle bridge, table_id: int, priority: int, value: bytes, mask: bytes) -> None:
    """Remove a flow; raises KeyError if there is none."""
    cdef Bridge *br = bridge.live()
    cdef int t = table_id
    cdef Match match
    cdef Rule *old = NULL
    cdef uint64_t version
    cdef uint16_t c_priority = priority
    fill(&match, value, mask)
    version = switch_edit_begin(br.sw)
    if br.tables[t] != NULL:
        old = table_find_exact(br.tables[t], &match, c_priority, version)
    if old != NULL:
        table_remove(br.tables[t], old, version)
        touch_rule(br, old)
    switch_edit_end(br.sw)
    if old == NULL:
        raise KeyError(priority)


def flow_counts(BridgeHandle bridge, table_id: int, priority: int, value: bytes, mask: bytes) -> tuple[int, int]:
    """Return (packets, bytes) credited to a flow; raises KeyError if there is none."""
    cdef Match match
    cdef Rule *rule = NULL
    cdef int t = table_id
    cdef Bridge *br = bridge.live()
    fill(&match, value, mask)
    if br.tables[t] != NULL:
        rule = table_find_exact(br.tables[t], &match, priority, <uint64_t>VERSION_FOREVER - 1)
    if rule == NULL:
        raise KeyError(priority)
    return rule.n_packets, rule.n_bytes


def lookup_counts(BridgeHandle bridge, table_id: int) -> tuple[int, int]:
    """Return (lookups, matches) of a table that has flows."""
    cdef int t = table_id
    return bridge.live().tables[t].n_lookups, bridge.br.tables[t].n_matches
