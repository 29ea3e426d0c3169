"""SLOTS: where each header value is stored in the flow key.

A slot is (name, bytes, stage, scope). `gen.py` turns this table into the C structs of `flow_key.pxd`;
`ofproto/fields.py` names views on slots. Several fields may share a slot (TCP and UDP source ports and the ICMP type
all live in `tp_src`), as they never occur in one packet.

Every slot holds its value in network byte order (big-endian), exactly as it stands on the wire; a view's "low bit"
counts from the least significant bit of the slot read as one big-endian number. So encoding a match is a copy, and one
routine serves all fields.

Stage: 0 metadata, 1 layer 2, 2 layer 3, 3 layer 4 and above; staged lookup compares in this order.
Scope: `packet` = read from the frame or its metadata; `tunnel` = the same, but all zero unless the frame came out of a
tunnel (kept last, so that ordinary packets neither clear nor compare it); `pipeline` = exists only during translation
and never in a megaflow.
"""

from __future__ import annotations

from dataclasses import dataclass

PACKET, TUNNEL, PIPELINE = "packet", "tunnel", "pipeline"


@dataclass(frozen=True, slots=True)
class Slot:
    """One storage place of the flow key.

    name: C member name; n_bytes: size; stage: 0-3; scope: PACKET, TUNNEL or PIPELINE; doc: what it holds.
    """

    name: str
    n_bytes: int
    stage: int
    scope: str
    doc: str


SLOTS: tuple[Slot, ...] = (
    # -- metadata
    Slot("in_port", 4, 0, PACKET, "receiving port: datapath number in the datapath, OpenFlow number in translation"),
    Slot("recirc_id", 4, 0, PACKET, "0, or the frozen state that sent the packet round again"),
    Slot("dp_hash", 4, 0, PACKET, "hash computed by the datapath for a select group or bond"),
    Slot("pkt_mark", 4, 0, PACKET, "mark carried between kernel and switch"),
    Slot("skb_priority", 4, 0, PACKET, "queue to use on output"),
    Slot("packet_type", 4, 0, PACKET, "namespace << 16 | type; 0 = Ethernet"),
    Slot("ct_label", 16, 0, PACKET, "connection tracking label"),
    Slot("ct_ipv6_src", 16, 0, PACKET, "IPv6 source of the connection's original direction"),
    Slot("ct_ipv6_dst", 16, 0, PACKET, "IPv6 destination of the connection's original direction"),
    Slot("ct_state", 4, 0, PACKET, "connection state bits new est rel rpl inv trk snat dnat"),
    Slot("ct_mark", 4, 0, PACKET, "connection mark"),
    Slot("ct_nw_src", 4, 0, PACKET, "IPv4 source of the connection's original direction"),
    Slot("ct_nw_dst", 4, 0, PACKET, "IPv4 destination of the connection's original direction"),
    Slot("ct_zone", 2, 0, PACKET, "connection tracking zone"),
    Slot("ct_tp_src", 2, 0, PACKET, "source port of the connection's original direction"),
    Slot("ct_tp_dst", 2, 0, PACKET, "destination port of the connection's original direction"),
    Slot("ct_nw_proto", 1, 0, PACKET, "IP protocol of the connection's original direction"),
    # -- layer 2
    Slot("eth_dst", 6, 1, PACKET, "Ethernet destination"),
    Slot("eth_src", 6, 1, PACKET, "Ethernet source"),
    Slot("eth_type", 2, 1, PACKET, "EtherType after all VLAN tags; 0x05ff = IEEE 802.3 frame without SNAP EtherType"),
    Slot("vlan_tci", 2, 1, PACKET, "outer 802.1Q TCI with bit 0x1000 set when there is a tag, 0 = no tag"),
    Slot("vlan_tpid", 2, 1, PACKET, "TPID of the outer tag (0x8100, 0x88a8), 0 = no tag"),
    Slot("vlan2_tci", 2, 1, PACKET, "inner 802.1Q TCI, as vlan_tci"),
    Slot("vlan2_tpid", 2, 1, PACKET, "TPID of the inner tag"),
    Slot("mpls_lse0", 4, 1, PACKET, "outermost MPLS label stack entry: label 20, tc 3, bos 1, ttl 8 bits"),
    Slot("mpls_lse1", 4, 1, PACKET, "second MPLS label stack entry"),
    Slot("mpls_lse2", 4, 1, PACKET, "third MPLS label stack entry"),
    Slot("pbb", 4, 1, PACKET, "802.1ah: use-customer-address bit 24, I-SID bits 0-23"),
    # -- layer 3
    Slot("ipv6_src", 16, 2, PACKET, "IPv6 source"),
    Slot("ipv6_dst", 16, 2, PACKET, "IPv6 destination"),
    Slot("nd_target", 16, 2, PACKET, "neighbour discovery target"),
    Slot("ip_src", 4, 2, PACKET, "IPv4 source; ARP sender protocol address"),
    Slot("ip_dst", 4, 2, PACKET, "IPv4 destination; ARP target protocol address"),
    Slot("ipv6_label", 4, 2, PACKET, "IPv6 flow label, 20 bits"),
    Slot("nsh_path", 4, 2, PACKET, "NSH service path identifier 24 bits, service index 8 bits"),
    Slot("nsh_c1", 4, 2, PACKET, "NSH context header 1"),
    Slot("nsh_c2", 4, 2, PACKET, "NSH context header 2"),
    Slot("nsh_c3", 4, 2, PACKET, "NSH context header 3"),
    Slot("nsh_c4", 4, 2, PACKET, "NSH context header 4"),
    Slot("arp_sha", 6, 2, PACKET, "ARP sender hardware address; ND source link-layer address option"),
    Slot("arp_tha", 6, 2, PACKET, "ARP target hardware address; ND target link-layer address option"),
    Slot("ipv6_exthdr", 2, 2, PACKET, "IPv6 extension header flags of OpenFlow 1.3"),
    Slot("nw_proto", 1, 2, PACKET, "IP protocol or IPv6 next header after extensions; low byte of the ARP opcode"),
    Slot("nw_tos", 1, 2, PACKET, "DSCP << 2 | ECN"),
    Slot("nw_ttl", 1, 2, PACKET, "TTL or hop limit"),
    Slot("nw_frag", 1, 2, PACKET, "bit 0: a fragment; bit 1: not the first one"),
    Slot("nsh_flags", 1, 2, PACKET, "NSH flags"),
    Slot("nsh_mdtype", 1, 2, PACKET, "NSH metadata type"),
    Slot("nsh_np", 1, 2, PACKET, "NSH next protocol"),
    Slot("nsh_ttl", 1, 2, PACKET, "NSH time to live"),
    # -- layer 4
    Slot("igmp_group", 4, 3, PACKET, "IGMP group address"),
    Slot("nd_reserved", 4, 3, PACKET, "neighbour discovery reserved field and flags"),
    Slot("tp_src", 2, 3, PACKET, "TCP, UDP, SCTP source port; ICMP type (low byte)"),
    Slot("tp_dst", 2, 3, PACKET, "TCP, UDP, SCTP destination port; ICMP code (low byte)"),
    Slot("tcp_flags", 2, 3, PACKET, "TCP flags, 12 bits"),
    Slot("nd_options_type", 1, 3, PACKET, "type of the neighbour discovery option read into arp_sha / arp_tha"),
    # -- tunnel the packet came from, or is to leave by
    Slot("tun_metadata", 256, 0, TUNNEL, "Geneve option values, allocated by the TLV map"),
    Slot("tun_ipv6_src", 16, 0, TUNNEL, "outer IPv6 source"),
    Slot("tun_ipv6_dst", 16, 0, TUNNEL, "outer IPv6 destination"),
    Slot("tun_id", 8, 0, TUNNEL, "tunnel key (VNI, GRE key)"),
    Slot("tun_metadata_present", 8, 0, TUNNEL, "bit n: tun_metadata<n> is present"),
    Slot("tun_src", 4, 0, TUNNEL, "outer IPv4 source"),
    Slot("tun_dst", 4, 0, TUNNEL, "outer IPv4 destination"),
    Slot("tun_erspan_idx", 4, 0, TUNNEL, "ERSPAN index, 20 bits"),
    Slot("tun_flags", 2, 0, TUNNEL, "tunnel flags (OAM)"),
    Slot("tun_gbp_id", 2, 0, TUNNEL, "VXLAN group policy ID"),
    Slot("tun_gbp_flags", 1, 0, TUNNEL, "VXLAN group policy flags"),
    Slot("tun_ttl", 1, 0, TUNNEL, "outer TTL"),
    Slot("tun_tos", 1, 0, TUNNEL, "outer TOS"),
    Slot("tun_erspan_ver", 1, 0, TUNNEL, "ERSPAN version"),
    Slot("tun_erspan_dir", 1, 0, TUNNEL, "ERSPAN direction"),
    Slot("tun_erspan_hwid", 1, 0, TUNNEL, "ERSPAN hardware identifier"),
    Slot("tun_gtpu_flags", 1, 0, TUNNEL, "GTP-U flags"),
    Slot("tun_gtpu_msgtype", 1, 0, TUNNEL, "GTP-U message type"),
    # -- state of the pipeline
    Slot("regs", 128, 0, PIPELINE, "registers reg0..reg31, reg0 first; xreg and xxreg are wider views"),
    Slot("metadata", 8, 0, PIPELINE, "OpenFlow metadata"),
    Slot("conj_id", 4, 0, PIPELINE, "conjunction that matched"),
    Slot("actset_output", 4, 0, PIPELINE, "output port of the action set"),
    Slot("in_phy_port", 4, 0, PIPELINE, "physical port under in_port"),
)

WORD = 8
SCOPES = (PACKET, TUNNEL, PIPELINE)


@dataclass(frozen=True, slots=True)
class Place:
    """A slot with its byte offset in the FlowKey struct and its number (the generated SLOT_ enum)."""

    slot: Slot
    number: int
    offset: int


def _ordered() -> list[list[Slot]]:
    groups = []
    for scope in SCOPES:
        for stage in range(4):
            group = [s for s in SLOTS if s.scope == scope and s.stage == stage]
            if group:
                # Wide slots first keeps every member at its natural alignment without holes.
                groups.append(sorted(group, key=lambda s: -_alignment(s)))
    return groups


def _alignment(slot: Slot) -> int:
    for size in (8, 4, 2):
        if slot.n_bytes % size == 0:
            return size
    return 1


def layout() -> tuple[list[list[Place]], dict[str, int]]:
    """Return the places grouped by (scope, stage) in storage order, and the sizes in 64-bit words.

    The second value maps `base` (packet scope), `packet` (packet and tunnel scope) and `flow` (everything) to the
    number of words from the start of the key, and `stage0`..`stage3` to the end of each packet-scope stage.
    """
    groups: list[list[Place]] = []
    words: dict[str, int] = {}
    offset = number = 0
    for group in _ordered():
        places = []
        for slot in group:
            places.append(Place(slot, number, offset))
            offset += slot.n_bytes
            number += 1
        offset = -(-offset // WORD) * WORD
        groups.append(places)
        scope = group[0].scope
        if scope == PACKET:
            words[f"stage{group[0].stage}"] = words["base"] = offset // WORD
        if scope != PIPELINE:
            words["packet"] = offset // WORD
        words["flow"] = offset // WORD
    return groups, words


def places() -> dict[str, Place]:
    """Return every slot's place by its name."""
    return {place.slot.name: place for group in layout()[0] for place in group}
