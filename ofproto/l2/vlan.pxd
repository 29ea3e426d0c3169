"""VLAN rules of action NORMAL (L2.04): what a port accepts, and what it sends. All inline, pure functions of an OfPort.

A packet's VLAN inside the bridge is (vid, pcp); a port's mode says how that stands on the wire.
"""

from libc.stdint cimport uint16_t

from datapath.drops cimport DROP_NONE, DROP_VLAN_NOT_ALLOWED, DROP_VLAN_TAGGED_ON_ACCESS
from datapath.headers cimport VLAN_PRESENT, VLAN_VID
from ofproto.switch cimport OfPort, VLAN_ACCESS, VLAN_NATIVE_UNTAGGED, VLAN_TRUNK

cdef inline bint vlan_in_trunks(const OfPort *port, uint16_t vid) noexcept nogil:
    return port.trunks == NULL or (port.trunks[vid >> 3] >> (vid & 7)) & 1

# Whether a packet that arrives with this TCI (host order, 0 = no tag) may enter; DROP_NONE or the reason. port NULL =
# from the controller.
cdef inline int vlan_admit(const OfPort *port, uint16_t tci) noexcept nogil:
    cdef uint16_t vid = tci & VLAN_VID
    if port == NULL:
        return DROP_NONE
    if port.vlan_mode == VLAN_ACCESS:
        return DROP_VLAN_TAGGED_ON_ACCESS if vid else DROP_NONE
    if vid == 0 and port.vlan_mode != VLAN_TRUNK:
        return DROP_NONE       # a native VLAN is always carried
    return DROP_NONE if vlan_in_trunks(port, vid) else DROP_VLAN_NOT_ALLOWED

# The VLAN that an admitted packet is in.
cdef inline uint16_t vlan_inside(const OfPort *port, uint16_t tci) noexcept nogil:
    cdef uint16_t vid = tci & VLAN_VID
    if port == NULL or port.vlan_mode == VLAN_TRUNK:
        return vid
    return port.tag if port.vlan_mode == VLAN_ACCESS or vid == 0 else vid

# Whether the port takes packets of this VLAN.
cdef inline bint vlan_carried(const OfPort *port, uint16_t vid) noexcept nogil:
    return vid == port.tag if port.vlan_mode == VLAN_ACCESS else vlan_in_trunks(port, vid)

# The TCI to send on the port, 0 = without a tag. A tag that says nothing (VLAN 0, priority 0) is taken off; a priority
# alone stays on.
cdef inline uint16_t vlan_outside(const OfPort *port, uint16_t vid, uint16_t pcp) noexcept nogil:
    if port.vlan_mode == VLAN_ACCESS or (vid | pcp) == 0:
        return 0
    if port.vlan_mode == VLAN_NATIVE_UNTAGGED and vid == port.tag:
        return 0
    return vid | pcp | VLAN_PRESENT
