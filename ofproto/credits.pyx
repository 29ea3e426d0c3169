"""Credit lists: see credits.pxd."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from datapath.atomic cimport add_u64, drop_u32, raise_i64
from datapath.drops cimport N_DROP_REASONS
from ofproto.l2.mac_table cimport mac_find
from ofproto.rule cimport Table, rule_credit, rule_unref
from ofproto.switch cimport (
    Bridge, MacEntry, N_TABLES, OfPort, Switch, bridge_port, switch_bridge, switch_read_lock, switch_unlock,
)

ctypedef void (*PushFn)(const CreditItem *item, Bridge *bridge, uint64_t packets, uint64_t n_bytes,
    int64_t used_ns) noexcept nogil


cdef Credit *credit_make(const CreditItem *items, uint32_t n_items, const PuntInfo *punts,
        uint32_t n_punts) noexcept nogil:
    cdef size_t item_bytes = n_items * sizeof(CreditItem)
    cdef size_t punt_bytes = n_punts * sizeof(PuntInfo)
    cdef Credit *credit = <Credit *>malloc(sizeof(Credit) + item_bytes + punt_bytes)
    if credit == NULL:
        return NULL
    credit.refs, credit.n_items, credit.n_punts = 1, n_items, n_punts
    credit.items = <CreditItem *>(credit + 1)
    credit.punts = <PuntInfo *>(credit.items + n_items)
    if item_bytes:
        memcpy(credit.items, items, item_bytes)
    if punt_bytes:
        memcpy(credit.punts, punts, punt_bytes)
    return credit


cdef void credit_release(Credit *credit) noexcept nogil:
    cdef uint32_t i
    if credit == NULL or drop_u32(&credit.refs):
        return
    for i in range(credit.n_items):
        if credit.items[i].kind == CREDIT_RULE:
            rule_unref(credit.items[i].rule)
    free(credit)


cdef void push_rule(const CreditItem *item, Bridge *bridge, uint64_t packets, uint64_t n_bytes,
        int64_t used_ns) noexcept nogil:
    cdef Table *table
    rule_credit(item.rule, packets, n_bytes, used_ns)
    table = bridge.tables[item.table] if bridge != NULL else NULL
    if table != NULL:
        add_u64(&table.n_lookups, packets)
        add_u64(&table.n_matches, packets)


cdef void push_miss(const CreditItem *item, Bridge *bridge, uint64_t packets, uint64_t n_bytes,
        int64_t used_ns) noexcept nogil:
    cdef Table *table = bridge.tables[item.table] if bridge != NULL else NULL
    if table != NULL:
        add_u64(&table.n_lookups, packets)


cdef void push_mac(const CreditItem *item, Bridge *bridge, uint64_t packets, uint64_t n_bytes,
        int64_t used_ns) noexcept nogil:
    cdef MacEntry *entry = mac_find(&bridge.macs, &item.mac[0], item.vlan) if bridge != NULL and packets else NULL
    if entry != NULL and entry.port.number == item.port:
        raise_i64(&entry.used_ns, used_ns)


cdef void push_patch(const CreditItem *item, Bridge *bridge, uint64_t packets, uint64_t n_bytes,
        int64_t used_ns) noexcept nogil:
    cdef OfPort *port = bridge_port(bridge, item.port) if bridge != NULL else NULL
    if port == NULL:
        return
    add_u64(&port.patch_tx_packets, packets)
    add_u64(&port.patch_tx_bytes, n_bytes)
    if port.peer != NULL:
        add_u64(&port.peer.patch_rx_packets, packets)
        add_u64(&port.peer.patch_rx_bytes, n_bytes)


cdef void push_drop(const CreditItem *item, Bridge *bridge, uint64_t packets, uint64_t n_bytes,
        int64_t used_ns) noexcept nogil:
    if bridge != NULL and item.table < N_TABLES and item.port < N_DROP_REASONS:
        add_u64(&bridge.drops[item.table * <uint32_t>N_DROP_REASONS + item.port], packets)


cdef PushFn[6] PUSH
PUSH[<int>CREDIT_RULE], PUSH[<int>CREDIT_MISS] = push_rule, push_miss
PUSH[<int>CREDIT_MAC], PUSH[<int>CREDIT_PATCH] = push_mac, push_patch
PUSH[<int>CREDIT_DROP] = push_drop


cdef void credit_push(Switch *sw, const Credit *credit, uint64_t packets, uint64_t n_bytes,
        int64_t used_ns) noexcept nogil:
    cdef const CreditItem *item
    cdef uint32_t i
    switch_read_lock(sw)
    for i in range(credit.n_items):
        item = &credit.items[i]
        PUSH[item.kind](item, switch_bridge(sw, item.bridge_id), packets, n_bytes, used_ns)
    switch_unlock(sw)
