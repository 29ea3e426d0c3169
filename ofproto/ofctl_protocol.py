"""FORMATS: the flow formats that ofctl can send, as sets of bits, and which of them a flow can be said in (TL.02).

A format is a version of OpenFlow with a way to say matches. Names and their order are ovs-ofctl's, so that its messages
about them are ours too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ofproto.numbers import OFP10, OFP13, OFP14
from vslib.errors import ConfigError

if TYPE_CHECKING:
    from ofproto.fields import Field

# Bit, name and wire version, in the order in which they are tried and named.
_ROWS = (
    ("OpenFlow10-table_id", 1),
    ("OpenFlow10+table_id", 1),
    ("NXM-table_id", 1),
    ("NXM+table_id", 1),
    ("OpenFlow11", 2),
    ("OXM-OpenFlow12", 3),
    ("OXM-OpenFlow13", 4),
    ("OXM-OpenFlow14", 5),
    ("OXM-OpenFlow15", 6),
)
FORMATS: dict[str, int] = {name: 1 << i for i, (name, _) in enumerate(_ROWS)}
WIRE_VERSION: dict[int, int] = {1 << i: version for i, (_, version) in enumerate(_ROWS)}
STD, STD_TID, NXM, NXM_TID, OF11, OF12, OF13, OF14, OF15 = FORMATS.values()

ANY = sum(FORMATS.values())
OF10_ANY = STD | STD_TID
NXM_ANY = NXM | NXM_TID
OXM_ANY = OF12 | OF13 | OF14 | OF15
OF10_UP_NXM = OF10_ANY | NXM_ANY  # what OpenFlow 1.0 carries
NXM_OXM = NXM_ANY | OXM_ANY
NXM_OF11_UP = NXM_ANY | OF11 | OXM_ANY
OF11_UP = OF11 | OXM_ANY
OF13_UP = OF13 | OF14 | OF15
WITH_TABLE = STD_TID | NXM_TID | OF11 | OXM_ANY

_ABBREVIATIONS = (("any", ANY), ("OpenFlow10", OF10_ANY), ("NXM", NXM_ANY), ("OXM", OXM_ANY))

VERSIONS: dict[str, int] = {f"OpenFlow1{i}": i + 1 for i in range(6)}
SPOKEN = (OFP10, OFP13, OFP14)  # wire versions whose messages we know


def versions_of(text: str) -> set[int]:
    """Return the wire versions that `-O` names; raises ConfigError."""
    names = {name.lower(): number for name, number in VERSIONS.items()}
    found = set()
    for word in text.replace(" ", ",").split(","):
        if not word:
            continue
        if word.lower() not in names:
            raise ConfigError(f'Unknown OpenFlow version: "{word}"')
        found.add(names[word.lower()])
    if not found:
        raise ConfigError(f'Unknown OpenFlow version: "{text}"')
    return found


def formats_of(text: str) -> int:
    """Return the formats that `-F` names; raises ConfigError."""
    names = {name.lower(): bits for name, bits in (*FORMATS.items(), *_ABBREVIATIONS)}
    found = 0
    for word in text.split(","):
        if word.lower() not in names:
            raise ConfigError(f"{word}: unknown flow protocol")
        found |= names[word.lower()]
    return found


def formats_text(formats: int) -> str:
    """Return a set of formats as messages name it, `none` when it is empty."""
    if not formats:
        return "none"
    words = []
    for name, bits in (*_ABBREVIATIONS, *FORMATS.items()):
        if formats & bits == bits:
            words.append(name)
            formats &= ~bits
    return ",".join(words)


def versions_text(versions: set[int]) -> str:
    """Return wire versions as messages name them."""
    return ", ".join(name for name, number in VERSIONS.items() if number in versions)


def not_spoken(what: str) -> ConfigError:
    """Return the error for a version or format that we do not speak."""
    *names, last = (name for name, number in VERSIONS.items() if number in SPOKEN)
    return ConfigError(f"{what} is not supported; use -O {', -O '.join(names)} or -O {last}")


def formats_with(versions: set[int]) -> int:
    """Return the formats that some of these wire versions carry."""
    return sum(bit for bit, version in WIRE_VERSION.items() if version in versions)


# -- what can say a match --------------------------------------------------------------------------------------------

# Fields that OpenFlow 1.0's fixed match has; and those that 1.1's has beside them.
_OF10 = {
    "in_port", "eth_src", "eth_dst", "eth_type", "vlan_tci", "vlan_vid", "vlan_pcp", "dl_vlan", "dl_vlan_pcp", "ip_src",
    "ip_dst", "nw_tos", "ip_dscp", "nw_proto", "arp_op", "arp_spa", "arp_tpa", "tcp_src", "tcp_dst", "udp_src",
    "udp_dst", "icmp_type", "icmp_code",
}  # fmt: skip
_OF11 = {"in_port_oxm", "mpls_tc", "mpls_label", "nw_ecn", "sctp_src", "sctp_dst", "metadata"}
# With a mask: OpenFlow 1.1 has any on these, OpenFlow 1.0 only prefixes on the addresses.
_MASKED_OF11 = {"eth_src", "eth_dst", "ip_src", "ip_dst", "arp_spa", "arp_tpa", "metadata"}
_PREFIX_OF10 = {"ip_src", "ip_dst", "arp_spa", "arp_tpa"}


def formats_for(row: Field, mask: int) -> int:
    """Return the formats that can match a field with this mask (bits of the view)."""
    full = mask == row.valid_bits or mask == 0
    if full:
        if row.name in _OF10:
            return ANY
        return NXM_OF11_UP if row.name in _OF11 else NXM_OXM
    inverse = mask ^ row.valid_bits
    if row.name in _PREFIX_OF10 and inverse & (inverse + 1) == 0:
        return ANY
    if row.name in _MASKED_OF11:
        return NXM_OF11_UP
    return NXM_OXM
