"""The parser against `ovs-ofctl parse-pcap`, which prints the flow that Open vSwitch reads from each frame (AC.23)."""

from __future__ import annotations

import shutil
import subprocess
from ipaddress import IPv6Address
from pathlib import Path

import pytest
from scapy.utils import PcapWriter

from datapath.parse import parse_frame
from datapath.slots import places
from tests.oracle.packet_shapes import damaged, frames, truncations

pytestmark = [
    pytest.mark.ovs_tools,
    pytest.mark.skipif(shutil.which("ovs-ofctl") is None, reason="needs Debian's ovs-ofctl"),
]
PLACES = places()
FLAG_NAMES = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]", "[800]")
SHORT = {  # (EtherType, protocol) -> the word that stands for them
    (0x0806, None): "arp", (0x8035, None): "rarp", (0x8847, None): "mpls", (0x8848, None): "mplsm",
    (0x0800, 1): "icmp", (0x0800, 6): "tcp", (0x0800, 17): "udp", (0x0800, 132): "sctp", (0x0800, None): "ip",
    (0x86DD, 6): "tcp6", (0x86DD, 17): "udp6", (0x86DD, 132): "sctp6", (0x86DD, 58): "icmp6", (0x86DD, None): "ipv6",
}  # fmt: skip


class Key:
    """A parsed key whose slots are attributes: numbers, or bytes where longer than 8."""

    def __init__(self, frame: bytes) -> None:
        self.reason, self.key, *_ = parse_frame(frame)

    def __getattr__(self, name: str) -> int:
        place = PLACES[name]
        return int.from_bytes(self.key[place.offset : place.offset + place.slot.n_bytes], "big")


def mac(value: int) -> str:
    return ":".join(f"{value:012x}"[i : i + 2] for i in range(0, 12, 2))


def ip4(value: int) -> str:
    return ".".join(str(value >> shift & 255) for shift in (24, 16, 8, 0))


def vlan_items(key: Key) -> set[str]:
    items = set()
    for tci, suffix in ((key.vlan_tci, ""), (key.vlan2_tci, "1")):
        if not tci:
            items.add(f"vlan_tci{suffix}=0x0000")
            break
        items |= {f"dl_vlan{suffix}={tci & 0xFFF}", f"dl_vlan_pcp{suffix}={tci >> 13}"}
    return items


def ip_items(key: Key) -> set[str]:
    tos = {f"nw_tos={key.nw_tos & 0xFC}", f"nw_ecn={key.nw_tos & 3}", f"nw_ttl={key.nw_ttl}"}
    return tos | {f"nw_frag={('no', 'first', '?', 'later')[key.nw_frag]}"}


def flags_text(flags: int) -> str:
    # ovs-ofctl joins the flags it names; a flag word without any is a plain 0.
    known = [name for bit, name in enumerate(FLAG_NAMES) if flags >> bit & 1]
    return "|".join(known) if known else "0"


def transport_items(key: Key) -> set[str]:
    later = key.nw_frag & 2
    pair = (key.eth_type, key.nw_proto)
    if pair in ((0x0800, 1), (0x86DD, 58)):
        # Zero type and code are what a frame without an ICMP header has; they are printed all the same.
        items = set() if later else {f"icmp_type={key.tp_src}", f"icmp_code={key.tp_dst}"}
        if pair[1] == 58 and key.tp_src in (135, 136) and key.tp_dst == 0 and not later:
            items |= {f"nd_sll={mac(key.arp_sha)}", f"nd_tll={mac(key.arp_tha)}"}
            items.add(f"nd_target={IPv6Address(key.nd_target)}")
        return items
    items = set() if later else {f"tp_src={key.tp_src}", f"tp_dst={key.tp_dst}"}
    return items | ({f"tcp_flags={flags_text(key.tcp_flags)}"} if key.nw_proto == 6 and not later else set())


def network_items(key: Key) -> set[str]:
    if key.eth_type == 0x0800:
        return {f"nw_src={ip4(key.ip_src)}", f"nw_dst={ip4(key.ip_dst)}"} | ip_items(key) | transport_items(key)
    if key.eth_type == 0x86DD:
        addresses = {f"ipv6_src={IPv6Address(key.ipv6_src)}", f"ipv6_dst={IPv6Address(key.ipv6_dst)}"}
        return addresses | {f"ipv6_label=0x{key.ipv6_label:05x}"} | ip_items(key) | transport_items(key)
    if key.eth_type in (0x0806, 0x8035):
        arp = {f"arp_spa={ip4(key.ip_src)}", f"arp_tpa={ip4(key.ip_dst)}", f"arp_op={key.nw_proto}"}
        return arp | {f"arp_sha={mac(key.arp_sha)}", f"arp_tha={mac(key.arp_tha)}"}
    if key.eth_type in (0x8847, 0x8848):
        lse = key.mpls_lse0
        items = {f"mpls_label={lse >> 12}", f"mpls_tc={lse >> 9 & 7}", f"mpls_bos={lse >> 8 & 1}"}
        return items | {f"mpls_ttl={lse & 255}", f"mpls_lse1={key.mpls_lse1}", f"mpls_lse2={key.mpls_lse2}"}
    return nsh_items(key) if key.eth_type == 0x894F else set()


def nsh_items(key: Key) -> set[str]:
    items = {f"nsh_{name}={getattr(key, 'nsh_' + name)}" for name in ("flags", "ttl", "mdtype", "np")}
    items |= {f"nsh_c{i}=0x{getattr(key, f'nsh_c{i}'):x}" for i in range(1, 5)}
    return items | {f"nsh_spi=0x{key.nsh_path >> 8:x}", f"nsh_si={key.nsh_path & 255}"}


def our_items(key: Key) -> set[str]:
    """What ovs-ofctl should print for this key."""
    items = {f"dl_src={mac(key.eth_src)}", f"dl_dst={mac(key.eth_dst)}"} | vlan_items(key) | network_items(key)
    word = SHORT.get((key.eth_type, key.nw_proto)) or SHORT.get((key.eth_type, None))
    if word is None:
        items.add(f"dl_type=0x{key.eth_type:04x}")
    else:
        items.add(word)
        if word in ("ip", "ipv6"):
            items.add(f"nw_proto={key.nw_proto}")
    return items


def ovs_flows(directory: Path, samples: list[bytes]) -> list[str]:
    path = directory / "frames.pcap"
    with PcapWriter(str(path), linktype=1) as writer:
        for frame in samples:
            writer.write(frame)
    command = ["ovs-ofctl", "parse-pcap", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.splitlines()


def optional(items: set[str]) -> set[str]:
    """Items that say nothing: printed or not by ovs-ofctl depending on what else is there."""
    zero = ("tp_src=0", "tp_dst=0", "mpls_lse1=0", "mpls_lse2=0", "tcp_flags=0")
    empty = {"nw_proto=0", "nw_tos=0", "nw_ecn=0", "nw_ttl=0", "nw_frag=no"}
    told = {item for item in items if not item.endswith("=0x0") and not item.startswith("nsh_")}
    return told.difference(zero) - empty


def assert_same(directory: Path, samples: list[bytes]) -> None:
    lines = ovs_flows(directory, samples)
    assert len(lines) == len(samples)
    wrong = []
    for frame, line in zip(samples, lines, strict=True):
        theirs = {item for item in line.split(",") if not item.startswith("in_port=")}
        ours = our_items(Key(frame))
        nsh = {item for item in theirs if item.startswith("nsh_") and not item.endswith(("=0", "=0x0"))}
        if optional(ours) != optional(theirs) or not nsh <= ours:
            wrong.append(f"{frame.hex()}\n  theirs only {sorted(theirs - ours)}\n  ours only   {sorted(ours - theirs)}")
    assert not wrong, f"{len(wrong)} of {len(samples)} differ\n" + "\n".join(wrong[:8])


def test_parse_agrees_with_open_vswitch_on_every_header_shape(tmp_path: Path) -> None:
    assert_same(tmp_path, list(frames().values()))


def test_parse_agrees_with_open_vswitch_on_every_truncation(tmp_path: Path) -> None:
    assert_same(tmp_path, [cut for frame in frames().values() for cut in truncations(frame, at_least=14)])


def test_parse_agrees_with_open_vswitch_on_damaged_frames(tmp_path: Path) -> None:
    samples = [bad for seed, frame in enumerate(frames().values()) for bad in damaged(frame, seed, 150)]
    assert_same(tmp_path, samples)
