"""Action NORMAL: see normal.pxd. Learning is only noted here; translate.pyx applies it before the packet is output."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from datapath.bytes cimport be16toh, be32toh, htobe16
from datapath.drops cimport (
    DROP_NO_FLOOD_PORTS, DROP_NOT_IN_PIPELINE, DROP_OUT_OF_MEMORY, DROP_OWN_SOURCE, DROP_RESERVED_MULTICAST,
)
from datapath.flow_key cimport OFS_ETH_DST, OFS_ETH_SRC, OFS_IP_DST, OFS_IP_SRC, OFS_NW_PROTO, OFS_VLAN_TCI
from datapath.headers cimport ETH_ARP, ETH_VLAN, VLAN_PCP, VLAN_PRESENT, VLAN_VID
from ofproto.credits cimport CREDIT_MAC, CreditItem
from ofproto.l2.mac_table cimport mac_find, mac_is_news
from ofproto.l2.vlan cimport vlan_admit, vlan_carried, vlan_inside, vlan_outside
from ofproto.of_number cimport OFPP_ANY, OFPP_CONTROLLER
from ofproto.switch cimport MacEntry, OfPort, PORT_NO_FLOOD, VLAN_ACCESS, bridge_port, mac_tag
from ofproto.tags cimport tags_add
from ofproto.xlate.context cimport (
    DeepTags, Learn, VLAN_SLOT_BYTES, XlateContext, add_credit, depend, fold, grow_add, note_drop, read_bytes,
)
from ofproto.xlate.emit cimport emit_port, is_to
from ofproto.xlate.record cimport (
    NOTE_FLOODING, NOTE_FORWARDING, NOTE_LEARNED, NOTE_LEARNED_ON_INPUT, NOTE_NO_BUNDLE, NOTE_RESERVED_MAC,
    NOTE_TAG_ON_ACCESS_PORT, NOTE_UNKNOWN_PORT, NOTE_VLAN_DROPPED, NOTE_VLAN_NOT_ADMITTED,
)
from ofproto.xlate.report cimport report_mac, report_note
from ofproto.xlate.vlan_ops cimport vlan_pop, vlan_push, vlan_set

cdef enum:
    ARP_REQUEST = 1
    ARP_REPLY = 2

cdef const char *BROADCAST = b"\xff\xff\xff\xff\xff\xff"

# Destinations that a bridge keeps to itself unless forward-bpdu is set, as (address, mask).
RESERVED_MACS = (
    ("0180c2000000", "fffffffffff0"),      # IEEE 802.1D bridge group: STP, pause, LACP, 802.1X, LLDP
    ("00e02b000000", "ffffffffffff"),      # Extreme EDP
    ("00e02b000004", "ffffffffffff"),      # Extreme EAPS
    ("00e02b000006", "ffffffffffff"),      # Extreme EAPS
    ("01000ccccccc", "ffffffffffff"),      # Cisco CDP, VTP, DTP, PAgP, UDLD
    ("01000ccccccd", "ffffffffffff"),      # Cisco shared STP
    ("01000ccdcdcd", "ffffffffffff"),      # Cisco STP uplink fast
    ("01000c000000", "ffffffffffff"),      # Cisco ISL
    ("01000cccccc0", "fffffffffff8"),      # Cisco CFM
)

cdef struct MaskedMac:
    uint64_t value             # six bytes in memory order, then zero
    uint64_t mask

cdef MaskedMac[16] RESERVED
cdef uint32_t n_reserved = 0


cdef uint64_t mac_word(const uint8_t *mac) noexcept nogil:
    cdef uint64_t word = 0
    memcpy(&word, mac, 6)
    return word


def _fill() -> None:
    global n_reserved
    for value, mask in RESERVED_MACS:
        RESERVED[n_reserved].value = mac_word(bytes.fromhex(value))
        RESERVED[n_reserved].mask = mac_word(bytes.fromhex(mask))
        n_reserved += 1


_fill()


cdef bint is_reserved(const uint8_t *mac) noexcept nogil:
    cdef uint64_t word = mac_word(mac)
    cdef uint32_t i
    for i in range(n_reserved):
        if word & RESERVED[i].mask == RESERVED[i].value:
            return True
    return False


cdef bint is_grat_arp(XlateContext *ctx) noexcept nogil:
    """A broadcast ARP reply, or a broadcast request for the sender's own address."""
    if ctx.key.pkt.eth_type != htobe16(ETH_ARP) or not is_to(ctx, BROADCAST):
        return False
    read_bytes(ctx, OFS_NW_PROTO, 1)
    if ctx.key.pkt.nw_proto != ARP_REQUEST:
        return ctx.key.pkt.nw_proto == ARP_REPLY
    read_bytes(ctx, OFS_IP_SRC, 4)
    read_bytes(ctx, OFS_IP_DST, 4)
    return ctx.key.pkt.ip_src == ctx.key.pkt.ip_dst


cdef OfPort *seen_here(XlateContext *ctx, const uint8_t *mac, uint16_t vlan) noexcept nogil:
    """Where this very packet showed the address as a source; it counts as learned already."""
    cdef const CreditItem *items = <const CreditItem *>ctx.credits.data
    cdef uint32_t i = ctx.credits.n
    if ctx.record != NULL and not ctx.side_effects:
        return NULL                # a trace that learns nothing
    while i:
        i -= 1
        if items[i].kind != CREDIT_MAC or items[i].vlan != vlan or items[i].bridge_id != ctx.bridge.id:
            continue
        if memcmp(&items[i].mac[0], mac, 6) == 0:
            return bridge_port(ctx.bridge, items[i].port)
    return NULL


cdef void learn(XlateContext *ctx, OfPort *port, uint16_t vlan) noexcept nogil:
    """Note the source for learning if it is news, and for refreshing by credits."""
    cdef const uint8_t *src = &ctx.key.pkt.eth_src[0]
    cdef bint grat_arp = is_grat_arp(ctx)
    cdef CreditItem *item
    cdef Learn *news
    cdef OfPort *earlier
    if src[0] & 1:
        return
    earlier = seen_here(ctx, src, vlan)
    depend(ctx, mac_tag(ctx.bridge, src, vlan))
    item = add_credit(ctx, CREDIT_MAC, 0)
    if item == NULL:
        return
    item.vlan, item.port = vlan, port.number
    memcpy(&item.mac[0], src, 6)
    if not ctx.side_effects:
        return
    if not mac_is_news(&ctx.bridge.macs, port, src, vlan, ctx.now_ns, grat_arp, False) and (earlier == NULL
            or earlier == port):
        return
    news = <Learn *>grow_add(&ctx.learns, sizeof(Learn), 1)
    if news == NULL:
        ctx.error = DROP_OUT_OF_MEMORY
        return
    news.bridge_id, news.port, news.vlan, news.grat_arp = ctx.bridge.id, port.number, vlan, grat_arp
    memcpy(&news.mac[0], src, 6)
    report_mac(ctx, NOTE_LEARNED, port.number, vlan, src)


cdef OfPort *port_of_destination(XlateContext *ctx, uint16_t vlan) noexcept nogil:
    """Where the destination was learned, NULL = flood."""
    cdef const uint8_t *dst = &ctx.key.pkt.eth_dst[0]
    cdef OfPort *port = seen_here(ctx, dst, vlan)
    cdef MacEntry *entry
    depend(ctx, mac_tag(ctx.bridge, dst, vlan))
    if port != NULL:
        return port
    tags_add(&ctx.dst_tags, mac_tag(ctx.bridge, dst, vlan))
    entry = mac_find(&ctx.bridge.macs, dst, vlan)
    return entry.port if entry != NULL else NULL


cdef void put_tag(XlateContext *ctx, uint16_t tci, uint16_t want) noexcept nogil:
    """Change the outer tag from `tci` to `want` (0 = no tag); the priority is read only if it has to be written."""
    if want == 0:
        vlan_pop(ctx)
        return
    ctx.reads.pkt.vlan_tci |= htobe16(VLAN_PCP)
    if tci & VLAN_PRESENT:
        vlan_set(ctx, want, 0xffff)
    else:
        vlan_push(ctx, ETH_VLAN, want)


cdef void emit_tagged(XlateContext *ctx, OfPort *port, uint16_t vlan) noexcept nogil:
    """Send to a port with the tag that its VLAN mode wants; the key is afterwards as before."""
    cdef uint16_t tci = be16toh(ctx.key.pkt.vlan_tci)
    cdef uint16_t want = vlan_outside(port, vlan, tci & VLAN_PCP)
    cdef uint8_t[VLAN_SLOT_BYTES] key
    cdef uint8_t[VLAN_SLOT_BYTES] det
    cdef DeepTags deep = ctx.key_deep
    if vlan == 0 and tci & VLAN_PRESENT:
        ctx.reads.pkt.vlan_tci |= htobe16(VLAN_PCP)         # whether there is a priority decides about the tag
    if (want ^ tci) & (VLAN_VID | VLAN_PRESENT) == 0:
        emit_port(ctx, port)
        return
    memcpy(&key[0], <uint8_t *>&ctx.key + OFS_VLAN_TCI, VLAN_SLOT_BYTES)
    memcpy(&det[0], <uint8_t *>&ctx.det + OFS_VLAN_TCI, VLAN_SLOT_BYTES)
    put_tag(ctx, tci, want)
    emit_port(ctx, port)
    fold(ctx, OFS_VLAN_TCI, VLAN_SLOT_BYTES)
    memcpy(<uint8_t *>&ctx.key + OFS_VLAN_TCI, &key[0], VLAN_SLOT_BYTES)
    memcpy(<uint8_t *>&ctx.det + OFS_VLAN_TCI, &det[0], VLAN_SLOT_BYTES)
    ctx.key_deep = deep


cdef void flood(XlateContext *ctx, OfPort *in_port, uint16_t vlan) noexcept nogil:
    cdef OfPort *port = ctx.bridge.ports
    cdef uint32_t n = 0
    while port != NULL and not ctx.error:
        if port != in_port and not port.config & PORT_NO_FLOOD and vlan_carried(port, vlan):
            emit_tagged(ctx, port, vlan)
            n += 1
        port = port.next
    if n == 0:
        note_drop(ctx, DROP_NO_FLOOD_PORTS)


cdef void forward(XlateContext *ctx, OfPort *in_port, uint16_t vlan) noexcept nogil:
    cdef OfPort *port = port_of_destination(ctx, vlan)
    if port == NULL:
        report_note(ctx, NOTE_FLOODING, 0, 0)
        flood(ctx, in_port, vlan)
    elif port == in_port:
        note_drop(ctx, DROP_OWN_SOURCE)
        report_note(ctx, NOTE_LEARNED_ON_INPUT, port.number, 0)
    else:
        report_note(ctx, NOTE_FORWARDING, port.number, 0)
        emit_tagged(ctx, port, vlan)


cdef void normal(XlateContext *ctx) noexcept nogil:
    cdef uint32_t number = be32toh(ctx.key.pkt.in_port)
    cdef OfPort *in_port = bridge_port(ctx.bridge, number)
    cdef uint16_t tci = be16toh(ctx.key.pkt.vlan_tci)
    cdef uint16_t vlan
    cdef int reason
    if in_port == NULL and number != <uint32_t>OFPP_ANY and number != <uint32_t>OFPP_CONTROLLER:
        note_drop(ctx, DROP_NOT_IN_PIPELINE)
        report_note(ctx, NOTE_UNKNOWN_PORT, number, 0)
        report_note(ctx, NOTE_NO_BUNDLE, 0, 0)
        return
    read_bytes(ctx, OFS_ETH_SRC, 6)
    read_bytes(ctx, OFS_ETH_DST, 6)
    ctx.reads.pkt.vlan_tci |= htobe16(VLAN_VID | VLAN_PRESENT)
    reason = vlan_admit(in_port, tci)
    if reason:
        note_drop(ctx, reason)
        report_note(ctx, NOTE_TAG_ON_ACCESS_PORT if in_port.vlan_mode == VLAN_ACCESS else NOTE_VLAN_NOT_ADMITTED,
            number, <uint32_t>in_port.tag << 16 | (tci & VLAN_VID))
        report_note(ctx, NOTE_VLAN_DROPPED, 0, 0)
        return
    vlan = vlan_inside(in_port, tci)
    if in_port != NULL:
        if not ctx.bridge.forward_bpdu and is_reserved(&ctx.key.pkt.eth_dst[0]):
            note_drop(ctx, DROP_RESERVED_MULTICAST)
            report_note(ctx, NOTE_RESERVED_MAC, 0, 0)
            return
        learn(ctx, in_port, vlan)
    forward(ctx, in_port, vlan)
