"""Random and damaged bytes at every entrance: what is wrong is refused with the error of that entrance, and nothing
crashes (OF.33, OF.35, DB.07, DP.20).

`make test` spends half a second at each, `make soak` a minute (CYVSWITCH_FUZZ_SECONDS); `make check-asan` looks at the
memory.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from datapath.datapath import Datapath
from datapath.packet_shell import PoolShell
from datapath.parse import parse_frame
from datapath.ports.pipe import PipePort
from ofproto import flow_text
from ofproto.flow_mod import (
    decode_actions,
    decode_flow_mod,
    decode_flow_request,
    decode_match,
    decode_match10,
    encode_actions,
    encode_match,
)
from ofproto.flow_table import FlowTables
from ofproto.session import Lost, Session
from ofproto.switch import SwitchHandle
from tests.ofproto.codec_tools import golden
from tests.oracle import packet_shapes
from vslib.errors import ConfigError, PeerError
from vslib.jsonrpc_text import Splitter, decode

SHORT_S = 0.5
LONG_S = float(os.environ.get("CYVSWITCH_FUZZ_SECONDS", "60"))
EDGES = (0, 1, 2, 4, 7, 8, 0x10, 0x7F, 0x80, 0xFE, 0xFF)
FLOW_MODS = [bytes.fromhex(row[1]) for name in ("golden_flows.txt", "golden_errors.txt") for row in golden(name)]
TEXTS = [row[0] for row in golden("golden_flows.txt")]
FRAMES = list(packet_shapes.frames().values())
HELLO = bytes.fromhex("0400000800000001")
ECHO = bytes.fromhex("0402000800000002")
STATS = bytes.fromhex(
    "0412003800000003000100000000000000ff000000ffffffffffffffff00000000" + "00" * 16 + "0001000400000000"
)
JSON = b'{"method":"transact","params":["db",{"op":"insert","row":{"a\\"}":"\\u00e4{["}}],"id":[1,null,-2.5e3]}'
Draw = random.Random


def damage(draw: Draw, data: bytes) -> bytes:
    """Some bytes changed, taken away, repeated or put in."""
    mutable = bytearray(data)
    for _ in range(draw.randrange(1, 5)):
        at = draw.randrange(len(mutable) + 1)
        way = draw.randrange(5)
        if way <= 1 and at < len(mutable):
            mutable[at] = draw.choice(EDGES) if way else draw.randrange(256)
        elif way == 2:
            del mutable[at : at + draw.randrange(1, 9)]
        elif way == 3:
            mutable[at:at] = draw.randbytes(draw.randrange(1, 9))
        else:
            mutable[at:at] = mutable[at : at + draw.randrange(1, 41)]
    return bytes(mutable)


def some(draw: Draw, samples: list[bytes]) -> bytes:
    """A damaged sample, or mere noise."""
    if draw.random() < 0.1:
        return draw.randbytes(draw.randrange(200))
    return damage(draw, draw.choice(samples))


def with_length(message: bytes) -> bytes:
    """An OpenFlow message whose header tells its length, so that the rest of it is looked at."""
    return message[:2] + len(message).to_bytes(2, "big") + message[4:] if len(message) >= 8 else message


# -- one function for each entrance: called again and again with a generator of random numbers


def frames_through_the_parser() -> Callable[[Draw], None]:
    def once(draw: Draw) -> None:
        frame = some(draw, FRAMES)
        reason, key, *_ = parse_frame(frame, 1)
        assert (reason == 0 or len(frame) < 14 or reason > 0) and len(key) > 0

    return once


def messages_through_the_flow_mod_codec() -> Callable[[Draw], None]:
    def once(draw: Draw) -> None:
        message = with_length(some(draw, FLOW_MODS))
        with suppress(PeerError):
            decoded = decode_flow_mod(message, draw.random() < 0.5)
            for version in (1, 2, 4, 5):
                with suppress(PeerError, ConfigError, ValueError):
                    encode_match(decoded.value, decoded.mask, version)
        with suppress(PeerError):
            decode_flow_request(with_length(some(draw, [STATS])))

    return once


def matches_and_actions() -> Callable[[Draw], None]:
    matches = [message[start:] for message in FLOW_MODS for start in (56, 60, 72) if len(message) > start]

    def once(draw: Draw) -> None:
        with suppress(PeerError):
            decode_match(some(draw, matches))
        with suppress(ValueError):
            decode_match10(some(draw, matches)[:40])
        with suppress(PeerError):
            encode_actions(decode_actions(some(draw, matches), draw.choice((1, 2, 3, 4, 5))), 1)

    return once


def texts_of_flows() -> Callable[[Draw], None]:
    def once(draw: Draw) -> None:
        text = damage(draw, draw.choice(TEXTS).encode()).decode("latin-1")
        with suppress(ConfigError):
            flow_text.parse_flow(text)

    return once


def streams_into_an_openflow_session() -> Callable[[Draw], None]:
    def once(draw: Draw) -> None:
        session = Session((1, 2, 3, 4, 5))
        stream = HELLO if draw.random() < 0.9 else damage(draw, HELLO)
        for _ in range(draw.randrange(1, 6)):
            stream += with_length(some(draw, [*FLOW_MODS, ECHO, STATS, HELLO]))
        while stream:
            n = draw.randrange(1, len(stream) + 1)
            chunk, stream = stream[:n], stream[n:]
            lost = any(isinstance(event, Lost) for event in session.receive(chunk))
            assert isinstance(session.outgoing(), bytes)
            if lost:
                assert session.receive(b"\0" * 8) == []

    return once


def streams_into_the_json_splitter() -> Callable[[Draw], None]:
    def once(draw: Draw) -> None:
        splitter = Splitter(max_bytes=4096, max_depth=50)
        stream = b"".join(some(draw, [JSON]) if draw.random() < 0.5 else JSON for _ in range(4))
        with suppress(PeerError):
            while stream:
                n = draw.randrange(1, len(stream) + 1)
                chunk, stream = stream[:n], stream[n:]
                for message in splitter.feed(chunk):
                    decode(message)

    return once


def virtio_net_headers() -> Callable[[Draw], None]:
    pool = PoolShell()

    def once(draw: Draw) -> None:
        packet = pool.alloc(some(draw, FRAMES) or b"\0")
        header = bytes(draw.choice((*EDGES, 0x22, 0x2A, 0x32)) for _ in range(10))
        if packet is not None and packet.take_vnet(header) == 0:
            packet.give_vnet()
            packet.complete_checksum()
        del packet
        assert pool.in_use == 0

    return once


def frames_and_flow_mods_into_a_switch() -> Callable[[Draw], None]:
    switch, dp = SwitchHandle(), Datapath(1, inline=True)
    bridge = switch.add_bridge("br0", bytes(6))
    tables = FlowTables(bridge)
    bridge.configure(standalone_normal=True)
    dp.set_miss_hook(switch.miss_hook)
    pipes = {dp.add_port(pipe): pipe for pipe in (PipePort("a"), PipePort("b"), PipePort("c", null=True))}
    for number, pipe in pipes.items():
        bridge.add_port(number, number, pipe.name)

    def once(draw: Draw) -> None:
        tables.apply_many([with_length(some(draw, FLOW_MODS)) for _ in range(draw.randrange(4))], True)
        if draw.random() < 0.05:
            tables.flush()
        for _ in range(8):
            pipes[1 + draw.randrange(2)].inject(some(draw, FRAMES) or b"\0")
        dp.step(time.monotonic_ns())
        switch.poll_punts()
        for number in (1, 2):
            pipes[number].take()
        assert dp.stats()["buffers_in_use"] == 0

    return once


ENTRANCES = [
    frames_through_the_parser,
    messages_through_the_flow_mod_codec,
    matches_and_actions,
    texts_of_flows,
    streams_into_an_openflow_session,
    streams_into_the_json_splitter,
    virtio_net_headers,
    frames_and_flow_mods_into_a_switch,
]


def fuzz(entrance: Callable[[], Callable[[Draw], None]], seconds: float) -> None:
    """Call the entrance for so long; a failure names the seed that repeats it."""
    once = entrance()
    seed = first = int.from_bytes(os.urandom(4), "big")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        seed += 1
        try:
            once(random.Random(seed))
        except Exception as error:
            raise AssertionError(f"{entrance.__name__} failed with seed {seed} (from {first}): {error!r}") from error
    assert seed - first > 10, "too slow to say anything"


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_damaged_input_is_refused_without_harm(entrance):
    fuzz(entrance, SHORT_S)


@pytest.mark.slow
@pytest.mark.timeout(LONG_S + 60)
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_a_minute_of_damaged_input_is_refused_without_harm(entrance):
    fuzz(entrance, LONG_S)
