"""Partial checksums and GSO frames through flows: completed, passed on, or cut (DP.31, DP.32)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from datapath.ports.pipe import Offload
from tests.oracle import switch_naive as naive
from tests.oracle.packets import fold, ones_sum
from tests.oracle.segment_naive import segments
from tests.scenario.flows import Mod
from tests.scenario.world import Real

CSUM_PARTIAL, TSO4 = 1, 4
PLAIN, OFFLOADING, IN, IN_BR1 = ("br0", 5), ("br0", 6), ("br0", 1), ("br1", 1)
ETH = bytes.fromhex("02000000000b 02000000000a 0800")
FULL16, FULL32 = 0xFFFF, 0xFFFFFFFF


def ip_header(length: int, src: int = 0x0A000001, dst: int = 0x0A000002) -> bytes:
    head = struct.pack("!BBHHHBBHII", 0x45, 0, 20 + length, 1, 0, 64, 6, 0, src, dst)
    return head[:10] + (~fold(ones_sum(head)) & 0xFFFF).to_bytes(2, "big") + head[12:]


def tcp_frame(payload: bytes, gso_size: int = 0) -> tuple[bytes, Offload]:
    """A frame as a kernel hands it over: the checksum field holds the pseudo-header's sum."""
    ip = ip_header(20 + len(payload))
    pseudo = fold(ones_sum(ip[12:20] + struct.pack("!HH", 6, 20 + len(payload))))
    tcp = struct.pack("!HHIIHHHH", 1000, 80, 1, 2, 0x5010, 99, pseudo, 0)
    flags = CSUM_PARTIAL | (TSO4 if gso_size else 0)
    return ETH + ip + tcp + payload, Offload(flags, gso_size, 34, 16, 54 if gso_size else 0)


def checksum_is_right(frame: bytes) -> bool:
    """Of TCP over IPv4 behind any number of tags, by adding everything up."""
    at = 14
    while frame[at - 2 : at] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    ip = frame[at : at + 20]
    segment = frame[at + 20 :]
    pseudo = ip[12:20] + struct.pack("!HH", 6, len(segment))
    return fold(ones_sum(ip)) == 0xFFFF and fold(ones_sum(pseudo) + ones_sum(segment)) == 0xFFFF


@pytest.fixture(params=[(1, True), (2, False)], ids=["inline", "threads"])
def real(request: pytest.FixtureRequest) -> Iterator[Real]:
    made = Real(*request.param)
    try:
        made.add_wire(PLAIN)
        made.add_wire(OFFLOADING, caps=("csum", "tso4"))
        yield made
    finally:
        made.close()


def send(real: Real, frame: bytes, offload: Offload, wire: tuple[str, int] = IN) -> dict:
    assert real.pipes[wire].inject(frame, offload)
    real.injected[wire] += 1
    real.settle()
    return {out: pipe.take_meta() for out, pipe in real.pipes.items()}


def flow(real: Real, *actions: tuple, bridge: str = "br0") -> None:
    real.flow_mod(bridge, Mod("add", 0, 1, {"eth_type": (0x0800, 0xFFFF)}, actions, 1))


BOTH = (("output", PLAIN[1], 0), ("output", OFFLOADING[1], 0))
EDITS = (
    (),
    (("set_field", "ip_src", 0xC0A80101, FULL32),),
    (("push_vlan", 0x8100), ("set_field", "vlan_vid", 5, 0xFFF)),
    (("dec_ttl",), ("push_vlan", 0x88A8), ("set_field", "ip_dst", 0x01020304, FULL32)),
)


@pytest.mark.parametrize("edits", EDITS, ids=["none", "address", "tag", "all"])
@pytest.mark.parametrize("payload", [b"", b"odd", bytes(range(256)) * 4])
def test_a_partial_checksum_is_completed_only_for_ports_that_cannot(real: Real, edits: tuple, payload: bytes) -> None:
    flow(real, *edits, *BOTH)
    out = send(real, *tcp_frame(payload))
    ((plain, plain_state),), ((offloaded, state),) = out[PLAIN], out[OFFLOADING]
    assert plain_state.flags & CSUM_PARTIAL == 0 and checksum_is_right(plain)
    tags = len(offloaded) - len(ETH) - 40 - len(payload)
    assert state.flags & CSUM_PARTIAL and (state.csum_start, state.csum_offset) == (34 + tags, 16)
    done = bytearray(offloaded)
    rest = ~fold(ones_sum(bytes(done[state.csum_start :]))) & 0xFFFF
    done[state.csum_start + 16 : state.csum_start + 18] = (rest or 0xFFFF).to_bytes(2, "big")
    assert bytes(done) == plain


@pytest.mark.parametrize("edits", EDITS, ids=["none", "address", "tag", "all"])
def test_a_gso_frame_passes_whole_where_it_can_be_segmented_and_is_cut_elsewhere(real: Real, edits: tuple) -> None:
    """Both get the same: cutting what the offloading port got gives what the other one got."""
    flow(real, *edits, *BOTH)
    frame, offload = tcp_frame(bytes(range(250)) * 40, gso_size=1448)
    out = send(real, frame, offload)
    ((sent, state),) = out[OFFLOADING]
    assert (state.flags & TSO4, state.gso_size) == (TSO4, 1448)
    assert sent[-10000:] == frame[-10000:]
    assert [piece for piece, _ in out[PLAIN]] == segments(sent, 1448)
    assert all(checksum_is_right(piece) for piece, _ in out[PLAIN])
    assert real.dp.stats()["drops"] == {}
    assert real.dp.port_stats(real.numbers[PLAIN])["tx_segmented"] == 1


@pytest.mark.parametrize("mss", [1448, 1460, 1461, 8948])
def test_a_gso_frame_whose_segments_are_too_long_for_the_output_is_dropped(real: Real, mss: int) -> None:
    """DP.32: what the kernel would cut it into is 14 + 20 + 20 bytes longer than its payload."""
    flow(real, ("output", OFFLOADING[1], 0))
    out = send(real, *tcp_frame(bytes(20000), gso_size=mss))
    assert len(out[OFFLOADING]) == (mss <= 1460)
    assert real.dp.stats()["drops"] == ({} if mss <= 1460 else {"tx_too_long": 1})


def test_gso_frames_cross_patch_ports_and_normal(real: Real) -> None:
    real.flow_mod("br1", Mod("add", 0, 1, {}, (("output", naive.NORMAL, 0),), 1))
    flow(real, ("output", naive.NORMAL, 0))
    frame, offload = tcp_frame(bytes(4000), gso_size=1000)
    out = send(real, frame, offload, IN_BR1)
    assert [state.gso_size for _, state in out[OFFLOADING]] == [1000]
    # Flooded to br0's four other ports and its plain one, and to br1's two other ports.
    assert sum(len(pieces) == 4 for pieces in out.values()) == 7
    assert real.dp.stats()["drops"] == {}


def test_a_controller_gets_a_complete_checksum(real: Real) -> None:
    match = {"eth_type": (0x0800, 0xFFFF), "nw_proto": (6, 0xFF)}
    actions = (("set_field", "tcp_dst", 81, FULL16), ("output", naive.CONTROLLER, 0xFFFF))
    real.flow_mod("br0", Mod("add", 0, 1, match, actions, 1))
    send(real, *tcp_frame(b"for the controller"))
    (punt,) = real.punts()
    assert checksum_is_right(punt[-1]) and punt[-1][36:38] == (81).to_bytes(2, "big")
