"""What headers say by number: EtherTypes, IP protocols, flags and the sizes of fixed headers. Only constants."""

cdef enum EtherType:
    ETH_MIN = 0x600            # smaller values are an IEEE 802.3 length
    ETH_NONE = 0x5ff           # what the key holds for an 802.3 frame without SNAP EtherType
    ETH_IPV4 = 0x0800
    ETH_ARP = 0x0806
    ETH_RARP = 0x8035
    ETH_VLAN = 0x8100
    ETH_SVLAN = 0x88a8
    ETH_IPV6 = 0x86dd
    ETH_MPLS = 0x8847
    ETH_MPLS_MCAST = 0x8848
    ETH_NSH = 0x894f

cdef enum IpProto:
    IP_HOPOPTS = 0
    IP_ICMP = 1
    IP_IGMP = 2
    IP_TCP = 6
    IP_UDP = 17
    IP_ROUTING = 43
    IP_FRAGMENT = 44
    IP_ESP = 50
    IP_AH = 51
    IP_ICMPV6 = 58
    IP_NONE = 59
    IP_DSTOPTS = 60
    IP_SCTP = 132

cdef enum NdType:
    ND_SOLICIT = 135
    ND_ADVERT = 136
    ND_OPT_SLL = 1             # source link-layer address
    ND_OPT_TLL = 2             # target link-layer address

cdef enum FragFlag:            # nw_frag
    FRAG_ANY = 1
    FRAG_LATER = 2

cdef enum ExtHeader:           # ipv6_exthdr: enum ofp_ipv6exthdr_flags of OpenFlow 1.3
    EXT_NONEXT = 1
    EXT_ESP = 2
    EXT_AUTH = 4
    EXT_DEST = 8
    EXT_FRAG = 16
    EXT_ROUTER = 32
    EXT_HOP = 64
    EXT_UNREP = 128
    EXT_UNSEQ = 256

cdef enum:
    ETHERNET_BYTES = 14
    VLAN_BYTES = 4
    VLAN_PRESENT = 0x1000      # CFI bit; set in the key of a tagged frame
    VLAN_VID = 0x0fff          # bits of the TCI
    VLAN_PCP = 0xe000
    IPV4_BYTES = 20
    IPV6_BYTES = 40
    ARP_BYTES = 28
    TCP_BYTES = 20
