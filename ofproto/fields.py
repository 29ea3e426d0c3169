"""FIELDS: named views on the slots of a flow key (FEATURES A6).

A slot is a storage place (`datapath/slots.py`); a field is a name for some of its bits, with the numbers under which
peers know it. Five fields may share one slot: TCP, UDP and SCTP source ports and the ICMP types all live in `tp_src`,
as their prerequisites exclude each other. All else about a field is derived from its row: the C array (`field.pyx`),
the OXM and NXM codec, the text form, prerequisite checks and their errors, set-field and move, `docs/fields.md`.

Table order is wire order: a match is encoded by one walk over the rows, so a prerequisite stands before what needs it,
and the order is the one in which Open vSwitch writes matches.

Overlapping views (`vlan_tci` against `vlan_vid` + `vlan_pcp`) carry the dialect that prefers them: `NXM` matches are
written with one set of views, `OXM` matches with the other, and views marked `NEVER` are understood but not written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ofproto.numbers import NICIRA, ONF

BOTH, NXM, OXM, NEVER = "both", "nxm", "oxm", "never"

NXM_OF, NXM_NX, ERICSSON, OXM_OF, PACKET_REGS, EXPERIMENTER = 0x0000, 0x0001, 0x1000, 0x8000, 0x8001, 0xFFFF
NSH_EXPERIMENTER = 0x005AD650


@dataclass(frozen=True, slots=True)
class Header:
    """One OXM/NXM number of a field.

    oxm_class: 16-bit class; number: 7-bit field number; since: first OpenFlow wire version (1 = 1.0, 4 = 1.3) for which
    this number is preferred over the ones before it; experimenter: identifier after the header when the class is
    EXPERIMENTER, else 0; suffix: its name after the class prefix, "" = the field's name.
    """

    oxm_class: int
    number: int
    since: int = 1
    experimenter: int = 0
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Term:
    """A condition on a slot of at most 4 bytes: `(slot & mask) in values`; with no values, `slot & mask != 0`."""

    slot: str
    mask: int
    values: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Prereq:
    """A named condition: the terms of `parent` and then its own, all of which must hold."""

    parent: str
    terms: tuple[Term, ...]
    doc: str


@dataclass(frozen=True, slots=True)
class Field:
    """One row of FIELDS.

    name; slot: where the value lives; low_bit, n_bits: the view that bit ranges address, counted from the slot's
    least significant bit; fmt: text format (a key of flow_text.FORMATS); headers: OXM/NXM numbers in order of
    preference; doc: one sentence; prereq: a key of PREREQS; maskable: arbitrary bitwise masks; writable: set-field,
    load and move may write it; dialect: BOTH, NXM, OXM or NEVER; valid: bits that may be nonzero, 0 = all; aliases:
    other accepted names; shown: name that flow dumps print, "" = name; mask_shown: a full mask is written out;
    ct_only: writable only inside ct(exec()).
    """

    name: str
    slot: str
    low_bit: int
    n_bits: int
    fmt: str
    headers: tuple[Header, ...]
    doc: str
    prereq: str = "none"
    maskable: bool = False
    writable: bool = False
    dialect: str = BOTH
    valid: int = 0
    aliases: tuple[str, ...] = ()
    shown: str = ""
    mask_shown: bool = False
    ct_only: bool = False

    @property
    def n_bytes(self) -> int:
        """Bytes of the value on the wire."""
        return OXM_BYTES.get(self.name, -(-self.n_bits // 8))

    @property
    def valid_bits(self) -> int:
        """Mask of the bits that may be nonzero."""
        return self.valid or (1 << self.n_bits) - 1

    @property
    def dump_name(self) -> str:
        """Name that flow dumps print."""
        return self.shown or self.name


# Wire sizes that are not the smallest number of bytes that holds the view.
OXM_BYTES = {"mpls_label": 4, "ipv6_label": 4, "tun_erspan_idx": 4, "nsh_spi": 4, "tun_flags": 2}

_CT_VALID = 0x01 | 0x02 | 0x04 | 0x08 | 0x40 | 0x80  # new, est, rel, rpl, snat, dnat
_FIRST_FRAGMENT = Term("nw_frag", 0x02, (0,))        # ports are not in later fragments


def _type(*ethertypes: int) -> tuple[Term, ...]:
    return (Term("eth_type", 0xFFFF, ethertypes),)


def _proto(number: int) -> tuple[Term, ...]:
    return (Term("nw_proto", 0xFF, (number,)), _FIRST_FRAGMENT)


def _nd(*types: int) -> tuple[Term, ...]:
    return (Term("tp_src", 0xFFFF, types), Term("tp_dst", 0xFFFF, (0,)))


PREREQS: dict[str, Prereq] = {
    "none": Prereq("", (), "nothing"),
    "Ethernet": Prereq("none", (Term("packet_type", 0xFFFFFFFF, (0,)),), "an Ethernet frame"),
    "VLAN": Prereq("Ethernet", (Term("vlan_tci", 0x1000, (0x1000,)),), "an 802.1Q tag: `vlan_vid=0x1000/0x1000`"),
    "IPv4": Prereq("none", _type(0x0800), "`eth_type=0x0800`"),
    "IPv6": Prereq("none", _type(0x86DD), "`eth_type=0x86dd`"),
    "IPv4/IPv6": Prereq("none", _type(0x0800, 0x86DD), "`eth_type=0x0800` or `eth_type=0x86dd`"),
    "ARP": Prereq("none", _type(0x0806, 0x8035), "`eth_type=0x0806` or `eth_type=0x8035`"),
    "MPLS": Prereq("none", _type(0x8847, 0x8848), "`eth_type=0x8847` or `eth_type=0x8848`"),
    "NSH": Prereq("none", _type(0x894F), "`eth_type=0x894f`"),
    "PBB": Prereq("none", _type(0x88E7), "`eth_type=0x88e7`"),
    "TCP": Prereq("IPv4/IPv6", _proto(6), "`ip_proto=6` and not a later fragment"),
    "UDP": Prereq("IPv4/IPv6", _proto(17), "`ip_proto=17` and not a later fragment"),
    "SCTP": Prereq("IPv4/IPv6", _proto(132), "`ip_proto=132` and not a later fragment"),
    "ICMPv4": Prereq("IPv4", _proto(1), "`ip_proto=1` and not a later fragment"),
    "ICMPv6": Prereq("IPv6", _proto(58), "`ip_proto=58` and not a later fragment"),
    "ND": Prereq("ICMPv6", _nd(135, 136), "`icmpv6_type` 135 or 136, `icmpv6_code=0`"),
    "ND solicit": Prereq("ICMPv6", _nd(135), "`icmpv6_type=135`, `icmpv6_code=0`"),
    "ND advert": Prereq("ICMPv6", _nd(136), "`icmpv6_type=136`, `icmpv6_code=0`"),
    "CT": Prereq("none", (Term("ct_state", _CT_VALID),), "`ct_state` with new, est, rel, rpl, snat, dnat or +trk-inv"),
    "in_port": Prereq("none", (Term("in_port", 0xFFFFFFFF),), "`in_port`"),
}


def _nxm(number: int, suffix: str = "") -> Header:
    return Header(NXM_OF, number, 1, 0, suffix)


def _nx(number: int, suffix: str = "") -> Header:
    return Header(NXM_NX, number, 1, 0, suffix)


def _oxm(number: int, since: int = 3, suffix: str = "") -> Header:
    return Header(OXM_OF, number, since, 0, suffix)


def _onf(number: int) -> Header:
    return Header(EXPERIMENTER, number, 4, ONF)


def _et(number: int, suffix: str = "") -> Header:
    return Header(EXPERIMENTER, number, 1, NICIRA, suffix)


def _nsh(number: int, suffix: str) -> Header:
    return Header(EXPERIMENTER, number, 1, NSH_EXPERIMENTER, suffix)


def _ericsson(number: int, suffix: str) -> Header:
    return Header(ERICSSON, number, 1, 0, suffix)


_RW: dict[str, Any] = {"maskable": True, "writable": True}
_SET: dict[str, Any] = {"writable": True}
_MASK: dict[str, Any] = {"maskable": True}


def _reg(i: int) -> Field:
    header = _nx(i) if i < 16 else _et(i + 1)
    return Field(f"reg{i}", "regs", 1024 - 32 * (i + 1), 32, "hex", (header,), f"register {i}", **_RW)


def _xreg(i: int) -> Field:
    doc = f"registers {2 * i} and {2 * i + 1}, the former more significant"
    header = Header(PACKET_REGS, i, 4, 0, f"PKT_REG{i}")
    return Field(f"xreg{i}", "regs", 1024 - 64 * (i + 1), 64, "hex", (header,), doc, dialect=NEVER, **_RW)


def _xxreg(i: int) -> Field:
    doc = f"registers {4 * i} to {4 * i + 3}, the first most significant"
    header = _nx(111 + i) if i < 4 else _et(29 + i)
    return Field(f"xxreg{i}", "regs", 1024 - 128 * (i + 1), 128, "hex", (header,), doc, dialect=NEVER, **_RW)


def _tun_metadata(i: int) -> Field:
    doc = f"Geneve option {i}; usable once the TLV map gives it a place and a width"
    return Field(f"tun_metadata{i}", "tun_metadata", 0, 992, "hex", (_nx(40 + i),), doc, **_RW)


_METADATA: tuple[Field, ...] = (
    Field("packet_type", "packet_type", 0, 32, "packet_type", (_oxm(44, 6),),
          "namespace and type of the outermost header"),
    Field("dp_hash", "dp_hash", 0, 32, "hex", (_nx(35), _et(0)), "hash of a select group or bond", **_MASK),
    Field("recirc_id", "recirc_id", 0, 32, "hex", (_nx(36),), "0, or the state that sent the packet round again"),
    Field("conj_id", "conj_id", 0, 32, "decimal", (_nx(37),), "conjunction that matched"),
    Field("in_port", "in_port", 0, 16, "port", (_nxm(0),), "receiving port, OpenFlow 1.0 number", dialect=NXM, **_SET),
    Field("in_port_oxm", "in_port", 0, 32, "port", (_oxm(0, 3, "IN_PORT"),),
          "receiving port, OpenFlow 1.1+ number", dialect=OXM, shown="in_port", **_SET),
    Field("in_phy_port", "in_phy_port", 0, 32, "port", (_oxm(1),), "physical port under in_port", prereq="in_port"),
    Field("actset_output", "actset_output", 0, 32, "port", (_onf(43), _oxm(43, 6)), "output port of the action set"),
    Field("skb_priority", "skb_priority", 0, 32, "hex", (), "queue to use on output"),
)

_LAYER2: tuple[Field, ...] = (
    Field("eth_src", "eth_src", 0, 48, "ethernet", (_nxm(2), _oxm(4)), "Ethernet source",
          prereq="Ethernet", aliases=("dl_src",), shown="dl_src", **_RW),
    Field("eth_dst", "eth_dst", 0, 48, "ethernet", (_nxm(1), _oxm(3)), "Ethernet destination",
          prereq="Ethernet", aliases=("dl_dst",), shown="dl_dst", **_RW),
    Field("eth_type", "eth_type", 0, 16, "hex", (_nxm(3), _oxm(5)), "EtherType after all VLAN tags",
          prereq="Ethernet", aliases=("dl_type",), shown="dl_type"),
    Field("vlan_tci", "vlan_tci", 0, 16, "hex", (_nxm(4),), "802.1Q TCI with bit 0x1000 set when there is a tag",
          prereq="Ethernet", dialect=NXM, **_RW),
    Field("vlan_vid", "vlan_tci", 0, 12, "vlan_vid", (_oxm(6),), "VLAN ID with bit 0x1000 set when there is a tag",
          prereq="Ethernet", dialect=OXM, valid=0x1FFF, **_RW),
    Field("vlan_pcp", "vlan_tci", 13, 3, "pcp", (_oxm(7),), "VLAN priority", prereq="VLAN", dialect=OXM, **_SET),
    Field("dl_vlan", "vlan_tci", 0, 12, "dl_vlan", (), "VLAN ID as OpenFlow 1.0 has it, 0xffff = no tag",
          prereq="Ethernet", dialect=NEVER, **_SET),
    Field("dl_vlan_pcp", "vlan_tci", 13, 3, "pcp", (), "VLAN priority as OpenFlow 1.0 has it",
          prereq="VLAN", dialect=NEVER, **_SET),
    Field("mpls_tc", "mpls_lse0", 9, 3, "decimal", (_oxm(35),), "traffic class of the outermost label",
          prereq="MPLS", **_SET),
    Field("mpls_bos", "mpls_lse0", 8, 1, "decimal", (_oxm(36, 4),), "bottom of stack bit of the outermost label",
          prereq="MPLS"),
    Field("mpls_ttl", "mpls_lse0", 0, 8, "decimal", (_nx(30),), "TTL of the outermost label", prereq="MPLS", **_SET),
    Field("mpls_label", "mpls_lse0", 12, 20, "decimal", (_oxm(34),), "outermost label", prereq="MPLS", **_SET),
    Field("pbb_isid", "pbb", 0, 24, "decimal", (_oxm(37, 4),), "802.1ah service instance", prereq="PBB", **_RW),
    Field("pbb_uca", "pbb", 24, 1, "decimal", (_oxm(41, 5),), "802.1ah use-customer-address bit", prereq="PBB", **_SET),
)

_LAYER3: tuple[Field, ...] = (
    Field("ip_src", "ip_src", 0, 32, "ipv4", (_nxm(7), _oxm(11, 3, "IPV4_SRC")), "IPv4 source",
          prereq="IPv4", aliases=("nw_src",), shown="nw_src", **_RW),
    Field("ip_dst", "ip_dst", 0, 32, "ipv4", (_nxm(8), _oxm(12, 3, "IPV4_DST")), "IPv4 destination",
          prereq="IPv4", aliases=("nw_dst",), shown="nw_dst", **_RW),
    Field("ipv6_src", "ipv6_src", 0, 128, "ipv6", (_nx(19), _oxm(26)), "IPv6 source", prereq="IPv6", **_RW),
    Field("ipv6_dst", "ipv6_dst", 0, 128, "ipv6", (_nx(20), _oxm(27)), "IPv6 destination", prereq="IPv6", **_RW),
    Field("ip_frag", "nw_frag", 0, 2, "frag", (_nx(26),), "no, yes, first, later or not_later",
          prereq="IPv4/IPv6", aliases=("nw_frag",), shown="nw_frag", **_MASK),
    Field("nw_tos", "nw_tos", 0, 8, "decimal", (_nxm(5, "IP_TOS"),), "DSCP in the upper six bits",
          prereq="IPv4/IPv6", dialect=NXM, valid=0xFC, **_SET),
    Field("ip_dscp", "nw_tos", 2, 6, "decimal", (_oxm(8),), "DSCP",
          prereq="IPv4/IPv6", dialect=OXM, aliases=("ip_dscp_shifted",), **_SET),
    Field("nw_ecn", "nw_tos", 0, 2, "decimal", (_nx(28, "IP_ECN"), _oxm(9, 3, "IP_ECN")), "ECN bits",
          prereq="IPv4/IPv6", aliases=("ip_ecn",), **_SET),
    Field("nw_ttl", "nw_ttl", 0, 8, "decimal", (_nx(29, "IP_TTL"),), "TTL or hop limit", prereq="IPv4/IPv6", **_SET),
    Field("ipv6_label", "ipv6_label", 0, 20, "hex", (_nx(27), _oxm(28, 3, "IPV6_FLABEL")), "IPv6 flow label",
          prereq="IPv6", **_RW),
    Field("ipv6_exthdr", "ipv6_exthdr", 0, 9, "hex", (_oxm(39, 4),), "IPv6 extension header flags",
          prereq="IPv6", **_MASK),
    Field("nw_proto", "nw_proto", 0, 8, "decimal", (_nxm(6, "IP_PROTO"), _oxm(10, 3, "IP_PROTO")), "IP protocol",
          prereq="IPv4/IPv6", aliases=("ip_proto",)),
    Field("arp_op", "nw_proto", 0, 16, "decimal", (_nxm(15), _oxm(21)), "ARP opcode, at most 255",
          prereq="ARP", valid=0xFF, **_SET),
    Field("arp_spa", "ip_src", 0, 32, "ipv4", (_nxm(16), _oxm(22)), "ARP sender protocol address", prereq="ARP", **_RW),
    Field("arp_tpa", "ip_dst", 0, 32, "ipv4", (_nxm(17), _oxm(23)), "ARP target protocol address", prereq="ARP", **_RW),
    Field("arp_sha", "arp_sha", 0, 48, "ethernet", (_nx(17), _oxm(24)), "ARP sender hardware address",
          prereq="ARP", **_RW),
    Field("arp_tha", "arp_tha", 0, 48, "ethernet", (_nx(18), _oxm(25)), "ARP target hardware address",
          prereq="ARP", **_RW),
)

_LAYER4: tuple[Field, ...] = (
    Field("tcp_src", "tp_src", 0, 16, "decimal", (_nxm(9), _oxm(13)), "TCP source port",
          prereq="TCP", aliases=("tp_src",), shown="tp_src", **_RW),
    Field("tcp_dst", "tp_dst", 0, 16, "decimal", (_nxm(10), _oxm(14)), "TCP destination port",
          prereq="TCP", aliases=("tp_dst",), shown="tp_dst", **_RW),
    Field("tcp_flags", "tcp_flags", 0, 12, "tcp_flags", (_nx(34), _onf(42), _oxm(42, 6)), "TCP flags",
          prereq="TCP", **_MASK),
    Field("udp_src", "tp_src", 0, 16, "decimal", (_nxm(11), _oxm(15)), "UDP source port",
          prereq="UDP", shown="tp_src", **_RW),
    Field("udp_dst", "tp_dst", 0, 16, "decimal", (_nxm(12), _oxm(16)), "UDP destination port",
          prereq="UDP", shown="tp_dst", **_RW),
    Field("sctp_src", "tp_src", 0, 16, "decimal", (_oxm(17),), "SCTP source port",
          prereq="SCTP", shown="tp_src", **_RW),
    Field("sctp_dst", "tp_dst", 0, 16, "decimal", (_oxm(18),), "SCTP destination port",
          prereq="SCTP", shown="tp_dst", **_RW),
    Field("icmp_type", "tp_src", 0, 8, "decimal", (_nxm(13), _oxm(19, 3, "ICMPV4_TYPE")), "ICMP type",
          prereq="ICMPv4", aliases=("icmpv4_type",), **_SET),
    Field("icmp_code", "tp_dst", 0, 8, "decimal", (_nxm(14), _oxm(20, 3, "ICMPV4_CODE")), "ICMP code",
          prereq="ICMPv4", aliases=("icmpv4_code",), **_SET),
    Field("icmpv6_type", "tp_src", 0, 8, "decimal", (_nx(21), _oxm(29)), "ICMPv6 type",
          prereq="ICMPv6", shown="icmp_type", **_SET),
    Field("icmpv6_code", "tp_dst", 0, 8, "decimal", (_nx(22), _oxm(30)), "ICMPv6 code",
          prereq="ICMPv6", shown="icmp_code", **_SET),
    Field("nd_reserved", "nd_reserved", 0, 32, "decimal", (_ericsson(1, "ICMPV6_ND_RESERVED"),),
          "reserved field and flags of neighbour discovery", prereq="ND", **_SET),
    Field("nd_target", "nd_target", 0, 128, "ipv6", (_nx(23), _oxm(31, 3, "IPV6_ND_TARGET")),
          "neighbour discovery target",
          prereq="ND", **_RW),
    Field("nd_options_type", "nd_options_type", 0, 8, "decimal", (_ericsson(2, "ICMPV6_ND_OPTIONS_TYPE"),),
          "type of the neighbour discovery option", prereq="ND", **_SET),
    Field("nd_sll", "arp_sha", 0, 48, "ethernet", (_nx(24), _oxm(32, 3, "IPV6_ND_SLL")),
          "source link-layer address option",
          prereq="ND solicit", **_RW),
    Field("nd_tll", "arp_tha", 0, 48, "ethernet", (_nx(25), _oxm(33, 3, "IPV6_ND_TLL")),
          "target link-layer address option",
          prereq="ND advert", **_RW),
)

_TUNNEL: tuple[Field, ...] = (
    Field("tun_id", "tun_id", 0, 64, "hex", (_nx(16), _oxm(38, 4, "TUNNEL_ID")), "tunnel key (VNI, GRE key)",
          aliases=("tunnel_id",), **_RW),
    Field("tun_flags", "tun_flags", 0, 1, "tun_flags", (_nx(104),), "tunnel flags: oam", mask_shown=True, **_RW),
    Field("tun_src", "tun_src", 0, 32, "ipv4", (_nx(31, "TUN_IPV4_SRC"),), "outer IPv4 source", **_RW),
    Field("tun_dst", "tun_dst", 0, 32, "ipv4", (_nx(32, "TUN_IPV4_DST"),), "outer IPv4 destination", **_RW),
    Field("tun_ipv6_src", "tun_ipv6_src", 0, 128, "ipv6", (_nx(109),), "outer IPv6 source", **_RW),
    Field("tun_ipv6_dst", "tun_ipv6_dst", 0, 128, "ipv6", (_nx(110),), "outer IPv6 destination", **_RW),
    Field("tun_ttl", "tun_ttl", 0, 8, "decimal", (), "outer TTL"),
    Field("tun_tos", "tun_tos", 0, 8, "decimal", (), "outer TOS"),
    Field("tun_gbp_id", "tun_gbp_id", 0, 16, "decimal", (_nx(38),), "VXLAN group policy ID", **_RW),
    Field("tun_gbp_flags", "tun_gbp_flags", 0, 8, "hex", (_nx(39),), "VXLAN group policy flags", **_RW),
    *(_tun_metadata(i) for i in range(64)),
    Field("tun_erspan_idx", "tun_erspan_idx", 0, 20, "hex", (_et(11, "ERSPAN_IDX"),), "ERSPAN index", **_RW),
    Field("tun_erspan_ver", "tun_erspan_ver", 0, 4, "decimal", (_et(12, "ERSPAN_VER"),), "ERSPAN version", **_RW),
    Field("tun_erspan_dir", "tun_erspan_dir", 0, 1, "decimal", (_et(13, "ERSPAN_DIR"),), "ERSPAN direction", **_RW),
    Field("tun_erspan_hwid", "tun_erspan_hwid", 0, 6, "hex", (_et(14, "ERSPAN_HWID"),), "ERSPAN hardware identifier",
          **_RW),
    Field("tun_gtpu_flags", "tun_gtpu_flags", 0, 8, "hex", (_et(15, "GTPU_FLAGS"),), "GTP-U flags", **_MASK),
    Field("tun_gtpu_msgtype", "tun_gtpu_msgtype", 0, 8, "decimal", (_et(16, "GTPU_MSGTYPE"),), "GTP-U message type",
          **_MASK),
)

_NSH: tuple[Field, ...] = (
    Field("nsh_flags", "nsh_flags", 0, 8, "decimal", (_nsh(1, "FLAGS"),), "NSH flags", prereq="NSH", **_RW),
    Field("nsh_ttl", "nsh_ttl", 0, 8, "decimal", (_nsh(10, "TTL"),), "NSH time to live", prereq="NSH", **_SET),
    Field("nsh_mdtype", "nsh_mdtype", 0, 8, "decimal", (_nsh(2, "MDTYPE"),), "NSH metadata type", prereq="NSH"),
    Field("nsh_np", "nsh_np", 0, 8, "decimal", (_nsh(3, "NP"),), "NSH next protocol", prereq="NSH"),
    Field("nsh_spi", "nsh_path", 8, 24, "hex", (_nsh(4, "SPI"),), "NSH service path",
          prereq="NSH", aliases=("nsp",), **_SET),
    Field("nsh_si", "nsh_path", 0, 8, "decimal", (_nsh(5, "SI"),), "NSH service index",
          prereq="NSH", aliases=("nsi",), **_SET),
    *(
        Field(f"nsh_c{i}", f"nsh_c{i}", 0, 32, "hex", (_nsh(5 + i, f"C{i}"),), f"NSH context header {i}", prereq="NSH",
              aliases=(f"nshc{i}",), **_RW)
        for i in range(1, 5)
    ),
)

_CONNTRACK: tuple[Field, ...] = (
    Field("pkt_mark", "pkt_mark", 0, 32, "hex", (_nx(33),), "mark carried between kernel and switch", **_RW),
    Field("ct_state", "ct_state", 0, 32, "ct_state", (_nx(105),),
          "connection state bits", valid=0xFF, mask_shown=True, **_MASK),
    Field("ct_zone", "ct_zone", 0, 16, "hex", (_nx(106),), "connection tracking zone"),
    Field("ct_mark", "ct_mark", 0, 32, "hex", (_nx(107),), "connection mark", ct_only=True, **_RW),
    Field("ct_label", "ct_label", 0, 128, "hex", (_nx(108),), "connection label", ct_only=True, **_RW),
    Field("ct_nw_src", "ct_nw_src", 0, 32, "ipv4", (_nx(120),), "IPv4 source of the original direction",
          prereq="CT", **_MASK),
    Field("ct_ipv6_src", "ct_ipv6_src", 0, 128, "ipv6", (_nx(122),), "IPv6 source of the original direction",
          prereq="CT", **_MASK),
    Field("ct_nw_dst", "ct_nw_dst", 0, 32, "ipv4", (_nx(121),), "IPv4 destination of the original direction",
          prereq="CT", **_MASK),
    Field("ct_ipv6_dst", "ct_ipv6_dst", 0, 128, "ipv6", (_nx(123),), "IPv6 destination of the original direction",
          prereq="CT", **_MASK),
    Field("ct_nw_proto", "ct_nw_proto", 0, 8, "decimal", (_nx(119),), "IP protocol of the original direction",
          prereq="CT"),
    Field("ct_tp_src", "ct_tp_src", 0, 16, "decimal", (_nx(124),), "source port of the original direction",
          prereq="CT", **_MASK),
    Field("ct_tp_dst", "ct_tp_dst", 0, 16, "decimal", (_nx(125),), "destination port of the original direction",
          prereq="CT", **_MASK),
    Field("metadata", "metadata", 0, 64, "hex", (_oxm(2),), "metadata of the pipeline", **_RW),
)

FIELDS: tuple[Field, ...] = (
    *_METADATA,
    *_LAYER2,
    *_LAYER3,
    *_LAYER4,
    *_TUNNEL,
    *_NSH,
    *(_reg(i) for i in range(32)),
    *(_xreg(i) for i in range(16)),
    *(_xxreg(i) for i in range(8)),
    *_CONNTRACK,
)

NUMBER: dict[str, int] = {name: i for i, f in enumerate(FIELDS) for name in (f.name, *f.aliases)}


def by_name(name: str) -> Field:
    """Return the field of that name or alias; raises KeyError."""
    return FIELDS[NUMBER[name]]


def prereq_terms(name: str) -> tuple[Term, ...]:
    """Return all terms of a prerequisite, its parents' first; raises KeyError."""
    terms: tuple[Term, ...] = ()
    while name:
        prereq = PREREQS[name]
        terms = prereq.terms + terms
        name = prereq.parent
    return terms


_PREFIXES = {
    (NXM_OF, 0): "NXM_OF_", (NXM_NX, 0): "NXM_NX_", (ERICSSON, 0): "ERICOXM_OF_", (OXM_OF, 0): "OXM_OF_",
    (PACKET_REGS, 0): "OXM_OF_", (EXPERIMENTER, ONF): "ONFOXM_ET_",
    (EXPERIMENTER, NICIRA): "NXOXM_ET_", (EXPERIMENTER, NSH_EXPERIMENTER): "NXOXM_NSH_",
}  # fmt: skip


def header_name(field: Field, header: Header) -> str:
    """Return the name under which documents and tools know an OXM/NXM number, such as NXM_NX_REG0."""
    return _PREFIXES[header.oxm_class, header.experimenter] + (header.suffix or field.name.upper())


HEADER_NAMES: dict[str, Field] = {header_name(f, h): f for f in FIELDS for h in f.headers}


def subfield_name(field: Field) -> str:
    """Return the name that load, move and their like print for a field: that of its first OXM/NXM number."""
    return header_name(field, field.headers[0]) if field.headers else field.name
