"""The switch's structs, lock and versions, and the Python handles that edit them; thread rules in switch.pxd.

An edit is: work out what is needed (may fail, may allocate), `switch_edit_begin`, change the structs, `switch_edit_end`
when all that changed was named by `touch`.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from datapath.atomic cimport load_seq, load_seq_i64, store_release
from datapath.drops cimport N_DROP_REASONS
from datapath.ports.port cimport PORTS_MAX
from ofproto.l2.mac_table cimport (
    MAC_AGING_S_DEFAULT, MAC_LIMIT_DEFAULT, mac_any_expired, mac_expire, mac_flush, mac_flush_port, mac_set_limit,
    mac_table_free, mac_table_init,
)
from ofproto.of_number cimport OFPP_LOCAL, OFPP_MAX
from ofproto.rule cimport table_free
from ofproto.tags cimport TAG_ALL

from collections.abc import Iterable

from vslib.clock import CLOCK
from vslib.errors import ConfigError, InternalError

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <pthread.h>
    static inline void cyv_rwlock_init(pthread_rwlock_t *lock) {
        pthread_rwlockattr_t attr;
        pthread_rwlockattr_init(&attr);
        pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
        pthread_rwlock_init(lock, &attr);
        pthread_rwlockattr_destroy(&attr);
    }
    """
    void cyv_rwlock_init(pthread_rwlock_t *lock) noexcept nogil
    int pthread_rwlock_rdlock(pthread_rwlock_t *lock) noexcept nogil
    int pthread_rwlock_wrlock(pthread_rwlock_t *lock) noexcept nogil
    int pthread_rwlock_unlock(pthread_rwlock_t *lock) noexcept nogil
    int pthread_rwlock_destroy(pthread_rwlock_t *lock) noexcept nogil

cdef enum:
    SWEEP_BUCKETS = 4096       # MAC buckets looked at under one hold of the lock
    TRUNK_BYTES = 512          # bitmap of 4096 VLANs

ALL_VLANS = frozenset(range(4096))
VLAN_MODES = {
    "trunk": VLAN_TRUNK, "access": VLAN_ACCESS,
    "native-tagged": VLAN_NATIVE_TAGGED, "native-untagged": VLAN_NATIVE_UNTAGGED,
}


# -- lock and versions

cdef void switch_init(Switch *sw) noexcept nogil:
    memset(sw, 0, sizeof(Switch))
    cyv_rwlock_init(&sw.lock)
    sw.version = 1
    sw.next_id = 1


cdef void switch_read_lock(Switch *sw) noexcept nogil:
    pthread_rwlock_rdlock(&sw.lock)


cdef void switch_unlock(Switch *sw) noexcept nogil:
    pthread_rwlock_unlock(&sw.lock)


cdef uint64_t switch_edit_begin(Switch *sw) noexcept nogil:
    pthread_rwlock_wrlock(&sw.lock)
    return sw.version + 1


cdef void log_edit(Switch *sw) noexcept nogil:
    """Write the tags of the edit to the log. Readers (revalidate.pyx) see by `logged` that a place was reused."""
    cdef Edit *edit = &sw.edit
    cdef uint32_t i
    if edit.many:
        edit.tags[0] = TAG_ALL if edit.mixed else bridge_tag_of(edit.bridge_id)
        edit.n = 1
    for i in range(edit.n):
        sw.logged += 1
        store_release(&sw.log[(sw.logged - 1) % TAG_LOG], edit.tags[i])        # after `logged`
    store_release(&sw.ends[(sw.version + 1) % CHANGE_LOG], sw.logged)
    edit.n = 0
    edit.many = edit.mixed = False


cdef void switch_edit_end(Switch *sw) noexcept nogil:
    if sw.edit.n:
        log_edit(sw)
        store_release(&sw.version, sw.version + 1)         # logged before it can be seen
    pthread_rwlock_unlock(&sw.lock)


cdef uint64_t switch_version(Switch *sw) noexcept nogil:
    return load_seq(&sw.version)


# -- ports and bridges; all under the write lock

cdef inline OfPort **port_bucket(Bridge *bridge, uint32_t number) noexcept nogil:
    return &bridge.by_number[(number ^ (number >> 8)) & (OFPORT_BUCKETS - 1)]


cdef void link_port(Bridge *bridge, OfPort *port) noexcept nogil:
    cdef OfPort **bucket = port_bucket(bridge, port.number)
    cdef OfPort **at = &bridge.ports
    port.hash_next = bucket[0]
    bucket[0] = port
    while at[0] != NULL and at[0].number < port.number:
        at = &at[0].next
    port.next = at[0]
    at[0] = port
    if port.dp_port != DP_PORT_NONE:
        bridge.sw.by_dp_port[port.dp_port] = port


cdef void part(OfPort *port) noexcept nogil:
    """Separate a patch port from its peer; touches the peer's bridge."""
    cdef OfPort *peer = port.peer
    port.peer = NULL
    if peer != NULL and peer.peer == port:
        peer.peer = NULL
        touch(peer.bridge, bridge_tag(peer.bridge))


cdef void renumber(Bridge *bridge, OfPort *port, uint32_t dp_port) noexcept nogil:
    """Give a port another datapath port number, unless that is taken."""
    cdef OfPort **ports = bridge.sw.by_dp_port
    if dp_port >= PORTS_MAX or ports[dp_port] != NULL:
        return
    if port.dp_port != DP_PORT_NONE:
        ports[port.dp_port] = NULL
    port.dp_port = dp_port
    ports[dp_port] = port
    touch(bridge, bridge_tag(bridge))


cdef void drop_port(Bridge *bridge, OfPort *port) noexcept nogil:
    """Unlink and free a port with its MACs."""
    cdef OfPort **at = port_bucket(bridge, port.number)
    touch(bridge, bridge_tag(bridge))
    mac_flush_port(bridge, port)
    part(port)
    while at[0] != port:
        at = &at[0].hash_next
    at[0] = port.hash_next
    at = &bridge.ports
    while at[0] != port:
        at = &at[0].next
    at[0] = port.next
    if port.dp_port != DP_PORT_NONE and bridge.sw.by_dp_port[port.dp_port] == port:
        bridge.sw.by_dp_port[port.dp_port] = NULL
    free(port.trunks)
    free(port)


cdef void drop_bridge(Bridge *bridge) noexcept nogil:
    """Unlink and free a bridge with its ports, MACs and flow tables; what depended on these depended on it too."""
    cdef Switch *sw = bridge.sw
    cdef Bridge **at = &sw.bridges
    cdef int i
    touch(bridge, bridge_tag(bridge))
    while bridge.ports != NULL:
        drop_port(bridge, bridge.ports)
    while at[0] != bridge:
        at = &at[0].next
    at[0] = bridge.next
    at = &sw.by_id[bridge.id & (BRIDGE_BUCKETS - 1)]
    while at[0] != bridge:
        at = &at[0].id_next
    at[0] = bridge.id_next
    for i in range(N_TABLES):
        if bridge.tables[i] != NULL:
            table_free(bridge.tables[i])
    mac_table_free(&bridge.macs)
    free(bridge.drops)
    free(bridge)


cdef struct FdbRow:
    uint32_t number
    uint16_t vlan
    uint8_t[6] mac
    int64_t used_ns


cdef FdbRow *fdb_copy(const Bridge *bridge, uint32_t *n_out) noexcept nogil:
    """A copy of the MAC table, by port; the caller holds the read lock and frees it."""
    cdef FdbRow *rows = <FdbRow *>malloc((bridge.macs.n + 1) * sizeof(FdbRow))
    cdef OfPort *port = bridge.ports
    cdef MacEntry *entry
    cdef uint32_t n = 0
    while rows != NULL and port != NULL:
        entry = port.mac_head
        while entry != NULL:
            rows[n].number, rows[n].vlan, rows[n].used_ns = port.number, entry.vlan, load_seq_i64(&entry.used_ns)
            memcpy(&rows[n].mac[0], &entry.mac[0], 6)
            n += 1
            entry = entry.port_next
        port = port.next
    n_out[0] = n
    return rows


@cython.no_gc_clear            # its runtime must outlive the hooks that point into it, also in a reference cycle
cdef class SwitchHandle:
    """One switch: bridges under one lock, and what the datapath needs to ask them.

    Its methods belong to the control thread; forwarders work on the structs.
    """

    def __cinit__(self):
        switch_init(&self.sw)
        self.bridges = {}
        self._by_id = {}
        self.sw.by_dp_port = <OfPort **>calloc(PORTS_MAX, sizeof(OfPort *))
        if self.sw.by_dp_port == NULL:
            raise MemoryError

    def __init__(self) -> None:
        # the runtime builds on this module: imported when a switch is made, not before
        from ofproto.xlate.runtime import Runtime
        self.runtime = Runtime(self)

    def __dealloc__(self):
        while self.sw.bridges != NULL:
            drop_bridge(self.sw.bridges)
        free(self.sw.by_dp_port)
        pthread_rwlock_destroy(&self.sw.lock)

    @property
    def version(self) -> int:
        """The published version of all tables."""
        return switch_version(&self.sw)

    @property
    def miss_hook(self):
        """The MissHook to give to the datapath."""
        from ofproto.xlate.runtime import SwitchMissHook
        return SwitchMissHook(self)

    @property
    def punt_fd(self) -> int:
        """Descriptor that is readable when poll_punts has something."""
        return self.runtime.punt_fd

    def poll_punts(self) -> list:
        """Return the next frames handed up, as ofproto.punt.Punt, oldest first per forwarder; with more waiting the
        descriptor stays readable.
        """
        return self.runtime.poll_punts(self._by_id)

    def affected(self, since: int, upto: int, tags: int) -> bool:
        """Return whether what changed after version `since` up to `upto` may alter a translation with these tags.

        True also when that is not known any more. tags: as `translate` returns them.
        """
        return self.runtime.affected(since, upto, tags)

    def translate(self, key: bytes, *, learn: bool = False, now_ns: int = 0, hook=None) -> tuple:
        """Translate a PacketKey (datapath port numbers) and return (mask, ops, drop_reason, tags).

        key: KEY_PACKET_WORDS * 8 bytes (a shorter one is filled with zeros); learn: apply MAC learning as for a
        received packet; hook: run the actions of this packet_out hook instead of the flow tables; an op is (kind, slot,
        aux, arg, aux32, value, mask). drop_reason is the number in datapath.drops, 0 = the packet is output. tags: 256
        bits, for `affected`.
        """
        return self.runtime.translate(key, learn, now_ns, hook)

    def trace(self, bridge_id: int, in_port: int, key: bytes, *, learn: bool = False, now_ns: int = 0) -> dict:
        """Translate as if a packet came in by an OpenFlow port, and return what happened.

        in_port: OpenFlow number, host order, which need not be one of a port; key: a FlowKey; learn: with MAC learning.
        The result has `events` (ofproto/xlate/record.pxd, one tuple each), `key` (the FlowKey in the end), `mask`,
        `ops`, `reason` (drop), `error` (the drop reason of a translation that was given up) and `failed`. Nothing is
        counted.
        """
        return self.runtime.trace(bridge_id, in_port, key, learn, now_ns)

    def bridge_name(self, bridge_id: int) -> str | None:
        """Return the name of a bridge by its id, None when it is gone."""
        return self._by_id.get(bridge_id)

    def add_bridge(self, name: str, mac: bytes):
        """Make a bridge without ports. mac: 6 bytes, of its local port. Raises ConfigError if the name is taken."""
        cdef BridgeHandle handle
        cdef Bridge *bridge
        if name in self.bridges:
            raise ConfigError(f"{name}: bridge already exists")
        if len(mac) != 6:
            raise ConfigError(f"{name}: a MAC address has 6 bytes")
        bridge = <Bridge *>calloc(1, sizeof(Bridge))
        if bridge != NULL:
            bridge.drops = <uint64_t *>calloc(N_TABLES * N_DROP_REASONS, sizeof(uint64_t))
        if bridge == NULL or bridge.drops == NULL or mac_table_init(&bridge.macs) < 0:
            if bridge != NULL:
                free(bridge.drops)
            free(bridge)
            raise MemoryError
        encoded = name.encode()[:15]
        memcpy(bridge.name, <const char *>encoded, len(encoded))
        memcpy(&bridge.mac[0], <const char *>mac, 6)
        bridge.sw = &self.sw
        handle = BridgeHandle.__new__(BridgeHandle)
        handle.owner, handle.name, handle.port_names, handle.br = self, name, {}, bridge
        switch_edit_begin(&self.sw)
        bridge.id = <uint32_t>self.sw.next_id
        self.sw.next_id += 1
        bridge.next = self.sw.bridges
        self.sw.bridges = bridge
        bridge.id_next = self.sw.by_id[bridge.id & (BRIDGE_BUCKETS - 1)]
        self.sw.by_id[bridge.id & (BRIDGE_BUCKETS - 1)] = bridge
        touch(bridge, bridge_tag(bridge))
        switch_edit_end(&self.sw)
        self.bridges[name] = handle
        self._by_id[bridge.id] = name
        return handle

    def del_bridge(self, name: str) -> None:
        """Delete a bridge with its ports, MACs and flows. Raises ConfigError if there is none of that name."""
        cdef BridgeHandle handle
        if name not in self.bridges:
            raise ConfigError(f"{name}: no such bridge")
        handle = self.bridges.pop(name)
        del self._by_id[handle.br.id]
        switch_edit_begin(&self.sw)
        drop_bridge(handle.br)
        handle.br = NULL
        switch_edit_end(&self.sw)


cdef class BridgeHandle:
    """One bridge: its ports and settings. Made by SwitchHandle.add_bridge."""

    cdef Bridge *live(self) except NULL:
        if self.br == NULL:
            raise InternalError(f"{self.name}: the bridge was deleted")
        return self.br

    cdef OfPort *port(self, uint32_t number) except NULL:
        cdef OfPort *port = bridge_port(self.live(), number)
        if port == NULL:
            raise ConfigError(f"{self.name}: no port {number}")
        return port

    @property
    def id(self) -> int:
        """Number of the bridge, never used again."""
        return self.live().id

    # -- ports

    def add_port(self, number: int, dp_port: int | None, name: str) -> None:
        """Add an OpenFlow port. dp_port: its datapath number, None for a patch port. Raises ConfigError."""
        cdef Bridge *bridge = self.live()
        cdef OfPort *port
        if not (0 < number < <uint32_t>OFPP_MAX or number == <uint32_t>OFPP_LOCAL):
            raise ConfigError(f"{name}: {number} is not a port number")
        if bridge_port(bridge, number) != NULL:
            raise ConfigError(f"{name}: port number {number} is taken")
        if dp_port is not None and (not 0 <= dp_port < PORTS_MAX or bridge.sw.by_dp_port[<uint32_t>dp_port] != NULL):
            raise ConfigError(f"{name}: datapath port {dp_port} is taken or out of range")
        port = <OfPort *>calloc(1, sizeof(OfPort))
        if port == NULL:
            raise MemoryError
        port.bridge = bridge
        port.number = number
        port.dp_port = DP_PORT_NONE if dp_port is None else <uint32_t>dp_port
        port.link_up = 1
        switch_edit_begin(bridge.sw)
        link_port(bridge, port)
        touch(bridge, bridge_tag(bridge))
        switch_edit_end(bridge.sw)
        self.port_names[number] = name

    def del_port(self, number: int) -> None:
        """Remove a port and what was learned on it. Raises ConfigError if there is none of that number."""
        cdef OfPort *port = self.port(number)
        switch_edit_begin(self.br.sw)
        drop_port(self.br, port)
        switch_edit_end(self.br.sw)
        self.port_names.pop(number, None)

    def set_port(
        self, number: int, *, config: int | None = None, link_up: bool | None = None, vlan_mode: str | None = None,
        tag: int | None = None, trunks: Iterable[int] | None = None, dp_port: int | None = None,
    ) -> None:
        """Change a port. config: OFPPC_* bits; vlan_mode replaces vlan_mode, tag and trunks together.

        vlan_mode: a name of VLAN_MODES; trunks: the VLANs it carries, None or empty = all. Raises ConfigError.
        """
        cdef OfPort *port = self.port(number)
        cdef uint8_t *bitmap = NULL
        cdef uint16_t native = tag or 0
        # converted before the lock is held: this may raise
        cdef uint32_t new_config = port.config if config is None else config
        cdef uint32_t new_link_up = port.link_up if link_up is None else bool(link_up)
        cdef uint8_t mode = VLAN_MODES.get(vlan_mode, 0)
        cdef uint32_t new_dp_port = DP_PORT_NONE if dp_port is None else dp_port
        cdef bint new_vlan = vlan_mode is not None
        if vlan_mode is not None:
            _check_vlan(vlan_mode, native)
            bitmap = _trunk_bitmap(trunks or (), VLAN_MODES[vlan_mode], native)
        switch_edit_begin(self.br.sw)
        if port.config != new_config:
            port.config = new_config
            touch(self.br, bridge_tag(self.br))
        port.link_up = new_link_up         # translation does not look at it
        if new_vlan:
            port.vlan_mode, port.tag = mode, native
            bitmap, port.trunks = port.trunks, bitmap
            touch(self.br, bridge_tag(self.br))
            mac_flush_port(self.br, port)
        if new_dp_port != DP_PORT_NONE:
            renumber(self.br, port, new_dp_port)
        switch_edit_end(self.br.sw)
        free(bitmap)

    def set_peer(self, number: int, other: BridgeHandle | None, other_number: int = 0) -> None:
        """Connect two patch ports (other None: disconnect). Former peers are left alone. Raises ConfigError."""
        cdef OfPort *port = self.port(number)
        cdef OfPort *peer = NULL
        cdef BridgeHandle far = other
        if far is not None:
            peer = far.port(other_number)
        if port.dp_port != DP_PORT_NONE or (peer != NULL and (peer.dp_port != DP_PORT_NONE or peer == port)):
            raise ConfigError(f"{self.name}: port {number} and its peer must be two patch ports")
        switch_edit_begin(self.br.sw)
        touch(self.br, bridge_tag(self.br))
        part(port)
        if peer != NULL:
            part(peer)
            touch(peer.bridge, bridge_tag(peer.bridge))
            port.peer, peer.peer = peer, port
        switch_edit_end(self.br.sw)

    def patch_stats(self, number: int) -> tuple[int, int, int, int]:
        """Return a patch port's (rx_packets, rx_bytes, tx_packets, tx_bytes)."""
        cdef OfPort *port = self.port(number)
        return (
            load_seq(&port.patch_rx_packets), load_seq(&port.patch_rx_bytes),
            load_seq(&port.patch_tx_packets), load_seq(&port.patch_tx_bytes),
        )

    def ports(self) -> list[tuple[int, int | None, str]]:
        """Return (number, datapath port or None, name) of every port, by number."""
        cdef OfPort *port = self.live().ports
        rows = []
        while port != NULL:
            dp_port = None if port.dp_port == DP_PORT_NONE else port.dp_port
            rows.append((port.number, dp_port, self.port_names.get(port.number, "")))
            port = port.next
        return rows

    # -- settings

    def configure(
        self, *, mac: bytes | None = None, mac_aging_s: int | None = None, mac_table_size: int | None = None,
        forward_bpdu: bool | None = None, standalone_normal: bool | None = None, miss_punt: bool | None = None,
        ttl_punt: bool | None = None, frag_mode: int | None = None,
    ) -> None:
        """Change settings of the bridge; what is not given stays.

        mac_aging_s: seconds, default 300; mac_table_size: entries, default 8192; standalone_normal: NORMAL when no flow
        matches in table 0; miss_punt: table misses go to the controller (a session of OpenFlow 1.2 or older is
        connected); ttl_punt: so do packets with an invalid TTL; frag_mode: OFPC_FRAG_* (0 normal, 1 drop, 3 Nicira
        match).
        """
        cdef Bridge *bridge = self.live()
        # Converted before the lock is held: this may raise.
        cdef bytes address = bridge.mac[:6] if mac is None else bytes(mac)
        cdef const char *address_bytes = address
        cdef int64_t aging_s = bridge.macs.aging_ns // 1_000_000_000 if mac_aging_s is None else mac_aging_s
        cdef uint32_t limit = bridge.macs.limit if mac_table_size is None else mac_table_size or MAC_LIMIT_DEFAULT
        cdef bint bpdu = bridge.forward_bpdu if forward_bpdu is None else forward_bpdu
        cdef bint normal = bridge.standalone_normal if standalone_normal is None else standalone_normal
        cdef bint misses = bridge.miss_punt if miss_punt is None else miss_punt
        cdef bint ttls = bridge.ttl_punt if ttl_punt is None else ttl_punt
        cdef uint32_t frags = bridge.frag_mode if frag_mode is None else frag_mode
        if len(address) != 6:
            raise ConfigError(f"{self.name}: a MAC address has 6 bytes")
        if (
            address == bridge.mac[:6] and (aging_s or MAC_AGING_S_DEFAULT) * 1_000_000_000 == bridge.macs.aging_ns
            and limit == bridge.macs.limit and bpdu == bridge.forward_bpdu and normal == bridge.standalone_normal
            and misses == bridge.miss_punt and ttls == bridge.ttl_punt and frags == bridge.frag_mode
        ):
            return                 # no megaflow needs to be looked at again
        switch_edit_begin(bridge.sw)
        memcpy(&bridge.mac[0], address_bytes, 6)
        bridge.macs.aging_ns = (aging_s or MAC_AGING_S_DEFAULT) * 1_000_000_000
        mac_set_limit(bridge, limit)
        bridge.forward_bpdu = bpdu
        bridge.standalone_normal = normal
        bridge.miss_punt, bridge.ttl_punt, bridge.frag_mode = misses, ttls, frags
        touch(bridge, bridge_tag(bridge))
        switch_edit_end(bridge.sw)

    def drops(self) -> list[tuple[int, int, int]]:
        """Return what its tables dropped as (table, DropReason, packets), by table; as of the last push of counts."""
        cdef Bridge *bridge = self.live()
        cdef uint64_t n
        cdef int i
        rows = []
        for i in range(N_TABLES * N_DROP_REASONS):
            n = load_seq(&bridge.drops[i])
            if n:
                rows.append((i // N_DROP_REASONS, i % N_DROP_REASONS, n))
        return rows

    # -- MAC learning

    def fdb(self, now_ns: int | None = None) -> list[tuple[int, int, bytes, int]]:
        """Return the learned MACs as (OpenFlow port, VLAN, 6 bytes, seconds since last seen), ordered by port."""
        cdef Bridge *bridge = self.live()
        cdef FdbRow *rows
        cdef uint32_t n, i
        cdef int64_t now = CLOCK.now_ns() if now_ns is None else now_ns
        switch_read_lock(bridge.sw)
        rows = fdb_copy(bridge, &n)
        switch_unlock(bridge.sw)
        if rows == NULL:
            raise MemoryError
        try:
            return [
                (rows[i].number, rows[i].vlan, rows[i].mac[:6], max(0, now - rows[i].used_ns) // 1_000_000_000)
                for i in range(n)
            ]
        finally:
            free(rows)

    def fdb_flush(self) -> None:
        """Forget all learned MACs."""
        cdef Bridge *bridge = self.live()
        switch_edit_begin(bridge.sw)
        mac_flush(bridge)
        switch_edit_end(bridge.sw)

    def age_macs(self, now_ns: int) -> None:
        """Forget the MACs not seen for the ageing time; to be called about once a second, after credits were pushed."""
        cdef Bridge *bridge = self.live()
        cdef uint32_t first
        cdef bint expired
        for first in range(0, bridge.macs.n_buckets, SWEEP_BUCKETS):
            switch_read_lock(bridge.sw)
            expired = mac_any_expired(&bridge.macs, now_ns, first, SWEEP_BUCKETS)
            switch_unlock(bridge.sw)
            if expired:
                switch_edit_begin(bridge.sw)
                mac_expire(bridge, now_ns, first, SWEEP_BUCKETS)
                switch_edit_end(bridge.sw)

    def packet_out(self, ofacts: bytes, in_port: int):
        """Return the ExecuteHook that runs an OfAct list over a frame.

        in_port: OpenFlow number it pretends to come by.
        """
        from ofproto.xlate.runtime import PacketOut
        return PacketOut(self.owner, self.live().id, ofacts, in_port)


def _check_vlan(mode: str, tag: int) -> None:
    if mode not in VLAN_MODES:
        raise ConfigError(f"{mode}: not a VLAN mode")
    if tag > 4095:
        raise ConfigError(f"{tag}: not a VLAN")


cdef uint8_t *_trunk_bitmap(trunks, int mode, uint16_t native) except? NULL:
    """The bitmap of the VLANs a port carries, NULL = all; a native VLAN is always carried, and then VLAN 0 is not."""
    cdef uint8_t *bitmap
    has_native = mode != VLAN_TRUNK and native
    vlans = set(trunks)
    if not vlans <= ALL_VLANS:
        raise ConfigError(f"{sorted(vlans)}: not VLANs")
    if mode == VLAN_ACCESS or not (vlans or has_native):
        return NULL
    if has_native:
        vlans = ((vlans or ALL_VLANS) | {native}) - {0}
    bitmap = <uint8_t *>calloc(1, TRUNK_BYTES)
    if bitmap == NULL:
        raise MemoryError
    for vlan in vlans:
        bitmap[<uint32_t>vlan >> 3] |= <uint8_t>(1 << (<uint32_t>vlan & 7))
    return bitmap
