"""The switch as translation sees it: bridges, their ports and tables, all C structs, under one reader-writer lock.

Forwarders take the read lock once per translation; the control thread takes the write lock per edit; learning takes it
briefly after a translation. Nothing under the lock makes a system call.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ofproto.rule cimport Rule, Table
from ofproto.tags cimport tag_of

cdef extern from "pthread.h" nogil:
    ctypedef struct pthread_rwlock_t:
        pass

cdef enum:
    N_TABLES = 255             # 0-254; 254 is hidden from OpenFlow
    TABLE_HIDDEN = 254
    CHANGE_LOG = 4096          # remembered versions (a power of two)
    TAG_LOG = 16384            # remembered tags (a power of two)
    EDIT_TAGS = 64             # an edit that touches more counts as touching all of its bridge
    OFPORT_BUCKETS = 256
    BRIDGE_BUCKETS = 64        # of Switch.by_id

cdef enum VlanMode:
    VLAN_TRUNK = 0
    VLAN_ACCESS = 1
    VLAN_NATIVE_TAGGED = 2
    VLAN_NATIVE_UNTAGGED = 3

cdef enum OfPortConfig:        # OpenFlow 1.0/1.3 OFPPC_* bits
    PORT_DOWN = 1
    PORT_NO_STP = 2
    PORT_NO_RECV = 4
    PORT_NO_RECV_STP = 8
    PORT_NO_FLOOD = 16
    PORT_NO_FWD = 32
    PORT_NO_PACKET_IN = 64

cdef enum:
    DP_PORT_NONE = 0xffffffff  # OfPort.dp_port of a patch port

cdef struct OfPort:
    OfPort *hash_next          # same bucket of Bridge.by_number
    OfPort *next               # Bridge.ports list, in order of number (flood order)
    Bridge *bridge
    uint32_t number            # OpenFlow port number, 32-bit form, host order
    uint32_t dp_port           # datapath port number, DP_PORT_NONE for a patch port
    OfPort *peer               # patch ports: the other end, NULL = none yet
    uint32_t config            # OfPortConfig
    uint32_t link_up           # 1 = carrier
    uint8_t vlan_mode          # VlanMode
    uint16_t tag               # access or native VLAN; 0 with VLAN_TRUNK
    uint8_t *trunks            # bitmap of 4096 VLANs it carries, NULL = all
    uint64_t patch_rx_packets  # patch ports only, atomic
    uint64_t patch_rx_bytes
    uint64_t patch_tx_packets
    uint64_t patch_tx_bytes
    MacEntry *mac_head         # the MACs learned here, oldest first (victims of eviction)
    MacEntry *mac_tail
    uint32_t n_macs

cdef struct MacEntry:
    MacEntry *next             # same bucket
    uint8_t[6] mac
    uint16_t vlan
    OfPort *port
    int64_t used_ns            # last time its source was seen (atomic)
    int64_t grat_arp_lock_ns   # not moved by gratuitous ARP before this time
    int64_t listed_ns          # used_ns when it took its place in the port's list
    MacEntry *port_prev        # list of its port
    MacEntry *port_next

cdef struct MacTable:
    MacEntry **buckets
    uint32_t n_buckets
    uint32_t n                 # entries now
    uint32_t limit             # mac-table-size, default 8192 (Open vSwitch 3.x)
    int64_t aging_ns           # mac-aging-time, default 300 s

cdef struct Bridge:
    Bridge *next
    Bridge *id_next            # same bucket of Switch.by_id
    Switch *sw
    uint32_t id                # unique, for tags and packet-ins
    char[16] name
    (Table *)[N_TABLES] tables # NULL until a flow is added
    (OfPort *)[OFPORT_BUCKETS] by_number
    OfPort *ports
    MacTable macs
    uint64_t *drops            # packets by table and DropReason, N_TABLES * N_DROP_REASONS, atomic
    uint8_t[6] mac             # of the local port
    bint standalone_normal     # fail mode standalone without a controller: an implicit NORMAL rule at priority 0
    bint forward_bpdu
    uint32_t miss_punt         # 1 = OpenFlow 1.0/NXM sessions want table misses as packet-ins (default by version: see
                               # xlate)
    uint32_t ttl_punt          # 1 = some session wants packets whose TTL is invalid (OFPC_INVALID_TTL_TO_CONTROLLER)
    uint32_t frag_mode         # OFPC_FRAG_*: 0 normal, 1 drop, 3 match (Nicira)

cdef struct Edit:              # what the edit under way has touched
    uint64_t[EDIT_TAGS] tags
    uint32_t n
    uint32_t bridge_id         # that it touched last
    bint many                  # more than EDIT_TAGS
    bint mixed                 # several bridges

cdef struct Switch:
    pthread_rwlock_t lock      # writer-preferring, non-recursive
    uint64_t version           # atomic; the published version of all tables
    Edit edit                  # belongs to the holder of the write lock
    uint64_t[TAG_LOG] log      # tags that edits touched, in order; the one of number n at n % TAG_LOG
    uint64_t logged            # atomic: how many were ever written to it
    uint64_t[CHANGE_LOG] ends  # how many there were with version v, at v % CHANGE_LOG
    Bridge *bridges
    (Bridge *)[BRIDGE_BUCKETS] by_id
    OfPort **by_dp_port        # PORTS_MAX entries, NULL = not ours
    uint64_t next_id

cdef void switch_init(Switch *sw) noexcept nogil
cdef void switch_read_lock(Switch *sw) noexcept nogil
cdef void switch_unlock(Switch *sw) noexcept nogil
# Begin an edit: takes the write lock and returns the version that the edit will have (current + 1).
cdef uint64_t switch_edit_begin(Switch *sw) noexcept nogil
# Publish it: logs what it touched, raises the version, releases the lock. If it touched nothing, no version is used up.
cdef void switch_edit_end(Switch *sw) noexcept nogil
cdef uint64_t switch_version(Switch *sw) noexcept nogil

# Tags (tags.pxd) name what a translation looked at and what an edit touched.
# the masks of a table and the order in which they are asked
cdef inline uint64_t table_tag(const Bridge *bridge, uint32_t table_id) noexcept nogil:
    return tag_of(bridge.id, 1 + (<uint64_t>table_id << 8))
# any rule of a table
cdef inline uint64_t rules_tag(const Bridge *bridge, uint32_t table_id) noexcept nogil:
    return tag_of(bridge.id, 4 + (<uint64_t>table_id << 8))
# the rules of a table that are in one place of a Trail (rule.pxd)
cdef inline uint64_t place_tag(const Bridge *bridge, uint32_t table_id, uint64_t place) noexcept nogil:
    return tag_of(place, 5 + (<uint64_t>table_id << 8) + (<uint64_t>bridge.id << 16))
cdef inline uint64_t mac_tag(const Bridge *bridge, const uint8_t *mac, uint16_t vlan) noexcept nogil:
    cdef uint64_t address = vlan
    memcpy(<uint8_t *>&address + 2, mac, 6)
    return tag_of(address, 2 + (<uint64_t>bridge.id << 8))
# Ports, VLAN settings, fail mode: everything of the bridge that is not a flow or a MAC. Every translation that enters
# the bridge has it.
cdef inline uint64_t bridge_tag_of(uint32_t bridge_id) noexcept nogil:
    return tag_of(bridge_id, 3)
cdef inline uint64_t bridge_tag(const Bridge *bridge) noexcept nogil:
    return bridge_tag_of(bridge.id)

# Note that the edit under way touches what `tag` names; the write lock is held.
cdef inline void touch(const Bridge *bridge, uint64_t tag) noexcept nogil:
    cdef Edit *edit = &bridge.sw.edit
    cdef uint32_t i = edit.n
    if edit.n and edit.bridge_id != bridge.id:
        edit.mixed = True
    edit.bridge_id = bridge.id
    while i and not edit.many:
        i -= 1
        if edit.tags[i] == tag:
            return
    if edit.n == EDIT_TAGS:
        edit.many = True
    else:
        edit.tags[edit.n] = tag
        edit.n += 1

cdef inline OfPort *bridge_port(const Bridge *bridge, uint32_t number) noexcept nogil:
    cdef OfPort *port = bridge.by_number[(number ^ (number >> 8)) & (OFPORT_BUCKETS - 1)]
    while port != NULL and port.number != number:
        port = port.hash_next
    return port
cdef inline Bridge *switch_bridge(const Switch *sw, uint32_t bridge_id) noexcept nogil:
    cdef Bridge *bridge = sw.by_id[bridge_id & (BRIDGE_BUCKETS - 1)]
    while bridge != NULL and bridge.id != bridge_id:
        bridge = bridge.id_next
    return bridge

# Python's handle of one switch: owns the structs, edits ports and settings, hands the MissHandler to the datapath
# (ofproto/ofproto.py builds on it).
cdef class SwitchHandle:
    cdef Switch sw
    cdef readonly dict bridges         # name -> BridgeHandle
    cdef readonly object runtime       # ofproto.xlate.runtime.Runtime: contexts, rings, hooks
    cdef dict _by_id                   # bridge id -> name, for packet-ins

# One bridge. Edits go through methods that do switch_edit_begin/end with the right tags. Flow tables are edited by
# ofproto/flow_table.pyx through `br.tables`.
cdef class BridgeHandle:
    cdef Bridge *br                    # NULL once the bridge is deleted
    cdef readonly SwitchHandle owner
    cdef readonly str name
    cdef readonly dict port_names      # OpenFlow number -> name
    cdef Bridge *live(self) except NULL
    cdef OfPort *port(self, uint32_t number) except NULL
