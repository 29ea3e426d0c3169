"""MAC learning: see mac_table.pxd."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy

from datapath.atomic cimport load_seq_i64, raise_i64
from ofproto.switch cimport Bridge, MacEntry, MacTable, OfPort, mac_tag, touch

cdef enum:
    FIRST_BUCKETS = 256
    SECOND_CHANCES = 16        # entries in use that an eviction moves back before it takes one anyway


cdef inline uint32_t bucket_of(const uint8_t *mac, uint16_t vlan, uint32_t n_buckets) noexcept nogil:
    cdef uint64_t x = vlan
    memcpy(<uint8_t *>&x + 2, mac, 6)
    x = (x ^ (x >> 31)) * <uint64_t>0x9e3779b97f4a7c15
    x = (x ^ (x >> 29)) * <uint64_t>0xbf58476d1ce4e5b9
    return <uint32_t>(x >> 32) & (n_buckets - 1)


cdef int mac_table_init(MacTable *table) noexcept nogil:
    table.n_buckets = FIRST_BUCKETS
    table.n = 0
    table.limit = MAC_LIMIT_DEFAULT
    table.aging_ns = <int64_t>MAC_AGING_S_DEFAULT * 1000000000
    table.buckets = <MacEntry **>calloc(FIRST_BUCKETS, sizeof(MacEntry *))
    return 0 if table.buckets != NULL else -1


cdef void mac_table_free(MacTable *table) noexcept nogil:
    cdef uint32_t i
    cdef MacEntry *entry
    if table.buckets == NULL:
        return
    for i in range(table.n_buckets):
        while table.buckets[i] != NULL:
            entry = table.buckets[i]
            table.buckets[i] = entry.next
            free(entry)
    free(table.buckets)
    table.buckets = NULL
    table.n = 0


cdef MacEntry *mac_find(const MacTable *table, const uint8_t *mac, uint16_t vlan) noexcept nogil:
    cdef MacEntry *entry = table.buckets[bucket_of(mac, vlan, table.n_buckets)]
    while entry != NULL:
        if entry.vlan == vlan and memcmp(&entry.mac[0], mac, 6) == 0:
            return entry
        entry = entry.next
    return NULL


# -- a port's list, oldest first

cdef void list_add(OfPort *port, MacEntry *entry, int64_t listed_ns) noexcept nogil:
    entry.port = port
    entry.listed_ns = listed_ns
    entry.port_next = NULL
    entry.port_prev = port.mac_tail
    if port.mac_tail != NULL:
        port.mac_tail.port_next = entry
    else:
        port.mac_head = entry
    port.mac_tail = entry
    port.n_macs += 1


cdef void list_drop(MacEntry *entry) noexcept nogil:
    cdef OfPort *port = entry.port
    if entry.port_prev != NULL:
        entry.port_prev.port_next = entry.port_next
    else:
        port.mac_head = entry.port_next
    if entry.port_next != NULL:
        entry.port_next.port_prev = entry.port_prev
    else:
        port.mac_tail = entry.port_prev
    port.n_macs -= 1


# -- the table

cdef void remove(Bridge *bridge, MacEntry *entry) noexcept nogil:
    cdef MacTable *table = &bridge.macs
    cdef MacEntry **link = &table.buckets[bucket_of(&entry.mac[0], entry.vlan, table.n_buckets)]
    touch(bridge, mac_tag(bridge, &entry.mac[0], entry.vlan))
    while link[0] != entry:
        link = &link[0].next
    link[0] = entry.next
    list_drop(entry)
    table.n -= 1
    free(entry)


cdef void evict(Bridge *bridge) noexcept nogil:
    """Take the oldest entry of the port that owns most; entries used since they were listed get a second chance."""
    cdef OfPort *port = bridge.ports
    cdef OfPort *owner = NULL
    cdef MacEntry *entry
    cdef uint32_t i
    cdef int64_t used_ns
    while port != NULL:
        if port.n_macs and (owner == NULL or port.n_macs > owner.n_macs):
            owner = port
        port = port.next
    if owner == NULL:
        return
    for i in range(SECOND_CHANCES):
        entry = owner.mac_head
        used_ns = load_seq_i64(&entry.used_ns)
        if used_ns <= entry.listed_ns:
            break
        list_drop(entry)
        list_add(owner, entry, used_ns)
    remove(bridge, owner.mac_head)


cdef void grow(MacTable *table) noexcept nogil:
    cdef uint32_t n_buckets = table.n_buckets * 2
    cdef MacEntry **buckets = <MacEntry **>calloc(n_buckets, sizeof(MacEntry *))
    cdef MacEntry *entry
    cdef uint32_t i, b
    if buckets == NULL:
        return                 # longer chains are slower, not wrong
    for i in range(table.n_buckets):
        while table.buckets[i] != NULL:
            entry = table.buckets[i]
            table.buckets[i] = entry.next
            b = bucket_of(&entry.mac[0], entry.vlan, n_buckets)
            entry.next = buckets[b]
            buckets[b] = entry
    free(table.buckets)
    table.buckets = buckets
    table.n_buckets = n_buckets


cdef MacEntry *insert(Bridge *bridge, OfPort *port, const uint8_t *mac, uint16_t vlan, int64_t now_ns) noexcept nogil:
    cdef MacTable *table = &bridge.macs
    cdef MacEntry *entry = <MacEntry *>malloc(sizeof(MacEntry))
    cdef uint32_t b
    if entry == NULL:
        return NULL
    if table.n >= table.n_buckets:
        grow(table)
    memcpy(&entry.mac[0], mac, 6)
    entry.vlan = vlan
    entry.used_ns = now_ns
    entry.grat_arp_lock_ns = 0
    b = bucket_of(mac, vlan, table.n_buckets)
    entry.next = table.buckets[b]
    table.buckets[b] = entry
    table.n += 1
    list_add(port, entry, now_ns)
    return entry


cdef bint mac_is_news(const MacTable *table, const OfPort *port, const uint8_t *mac, uint16_t vlan, int64_t now_ns,
        bint grat_arp, bint reflects) noexcept nogil:
    cdef MacEntry *entry = mac_find(table, mac, vlan)
    if entry == NULL:
        return table.limit > 0
    if grat_arp and reflects and now_ns < load_seq_i64(&entry.grat_arp_lock_ns):
        return False           # our own broadcast coming back through a bond must not move the address there
    if entry.port != port:
        return True
    raise_i64(&entry.used_ns, now_ns)
    if grat_arp and not reflects:
        raise_i64(&entry.grat_arp_lock_ns, now_ns + GRAT_ARP_LOCK_NS)
    return False


cdef void mac_learn(Bridge *bridge, OfPort *port, const uint8_t *mac, uint16_t vlan, int64_t now_ns,
        bint grat_arp, bint reflects) noexcept nogil:
    cdef MacEntry *entry
    if not mac_is_news(&bridge.macs, port, mac, vlan, now_ns, grat_arp, reflects):
        return
    touch(bridge, mac_tag(bridge, mac, vlan))
    entry = mac_find(&bridge.macs, mac, vlan)
    if entry != NULL:
        list_drop(entry)
        list_add(port, entry, now_ns)
        raise_i64(&entry.used_ns, now_ns)
    else:
        if bridge.macs.n >= bridge.macs.limit:
            evict(bridge)
        entry = insert(bridge, port, mac, vlan, now_ns)
        if entry == NULL:
            return
    if grat_arp and not reflects:
        entry.grat_arp_lock_ns = now_ns + GRAT_ARP_LOCK_NS


cdef void mac_set_limit(Bridge *bridge, uint32_t limit) noexcept nogil:
    bridge.macs.limit = limit
    while bridge.macs.n > limit:
        evict(bridge)


cdef void mac_flush_port(Bridge *bridge, OfPort *port) noexcept nogil:
    while port.mac_head != NULL:
        remove(bridge, port.mac_head)


cdef void mac_flush(Bridge *bridge) noexcept nogil:
    cdef OfPort *port = bridge.ports
    while port != NULL:
        mac_flush_port(bridge, port)
        port = port.next


cdef inline bint is_expired(const MacTable *table, const MacEntry *entry, int64_t now_ns) noexcept nogil:
    return now_ns - load_seq_i64(&entry.used_ns) >= table.aging_ns


cdef bint mac_any_expired(const MacTable *table, int64_t now_ns, uint32_t first_bucket, uint32_t n) noexcept nogil:
    cdef uint32_t i
    cdef MacEntry *entry
    for i in range(first_bucket, min(first_bucket + n, table.n_buckets)):
        entry = table.buckets[i]
        while entry != NULL:
            if is_expired(table, entry, now_ns):
                return True
            entry = entry.next
    return False


cdef void mac_expire(Bridge *bridge, int64_t now_ns, uint32_t first_bucket, uint32_t n) noexcept nogil:
    cdef MacTable *table = &bridge.macs
    cdef uint32_t i
    cdef MacEntry *entry
    cdef MacEntry *after
    for i in range(first_bucket, min(first_bucket + n, table.n_buckets)):
        entry = table.buckets[i]
        while entry != NULL:
            after = entry.next
            if is_expired(table, entry, now_ns):
                remove(bridge, entry)
            entry = after
