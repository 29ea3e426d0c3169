"""The MAC learning table of a bridge (L2.01, L2.02): a hash table of (MAC, VLAN) -> port.

Each port keeps its entries in a list, so that a full table gives up an entry of the port that owns most: one noisy port
cannot push out the others' addresses. Thread rule: look up under the switch's read lock, change under its write lock;
`used_ns` and `grat_arp_lock_ns` are single words that a reader may refresh.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ofproto.switch cimport Bridge, MacEntry, MacTable, OfPort

cdef enum:
    MAC_LIMIT_DEFAULT = 8192
    MAC_AGING_S_DEFAULT = 300
    GRAT_ARP_LOCK_NS = 5000000000

cdef int mac_table_init(MacTable *table) noexcept nogil                  # 0, -1 without memory
cdef void mac_table_free(MacTable *table) noexcept nogil
cdef MacEntry *mac_find(const MacTable *table, const uint8_t *mac, uint16_t vlan) noexcept nogil
# Whether a frame with this source, seen on `port`, must change the table. Refreshes the entry when it need not.
cdef bint mac_is_news(const MacTable *table, const OfPort *port, const uint8_t *mac, uint16_t vlan, int64_t now_ns,
        bint grat_arp, bint reflects) noexcept nogil
# Learn it, if it is news. reflects: the port may hand back our own broadcasts (a bond). This and all below touch() what
# they change.
cdef void mac_learn(Bridge *bridge, OfPort *port, const uint8_t *mac, uint16_t vlan, int64_t now_ns,
        bint grat_arp, bint reflects) noexcept nogil
cdef void mac_set_limit(Bridge *bridge, uint32_t limit) noexcept nogil            # evicts what is too much
cdef void mac_flush_port(Bridge *bridge, OfPort *port) noexcept nogil
cdef void mac_flush(Bridge *bridge) noexcept nogil
cdef bint mac_any_expired(const MacTable *table, int64_t now_ns, uint32_t first_bucket, uint32_t n) noexcept nogil
cdef void mac_expire(Bridge *bridge, int64_t now_ns, uint32_t first_bucket, uint32_t n) noexcept nogil
