"""PipePort and port_send: frames and offload state both ways, bounds, modes, drop reasons (PT.28, AC.31)."""

from __future__ import annotations

import os
import select
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datapath.ports.pipe import Offload, PipePort
from datapath.ports.rig import PortRig
from tests.datapath.frames import CSUM_PARTIAL, TSO4, TSO6, USO, checksum_ok, partial_tcp
from tests.oracle.segment_naive import segments
from vslib.errors import ConfigError, InternalError

FRAME = bytes(range(60))
LONGEST = 66560


def readable(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])


def n_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def rig():
    rig = PortRig()
    yield rig
    assert rig.in_use == 0


def test_injected_frames_are_received_in_order_and_counted(rig):
    with PipePort("p1") as port:
        frames = [bytes([0, i]) + FRAME for i in range(100)]
        assert all(port.inject(frame) for frame in frames)
        assert rig.receive(port) + rig.receive(port) == frames
        assert rig.receive(port) == []
        stats = port.stats()
        assert (stats["rx_packets"], stats["rx_bytes"], stats["rx_dropped"]) == (100, 6200, 0)


def test_sent_frames_are_taken_in_order_and_counted(rig):
    with PipePort("p1") as port:
        frames = [bytes([i]) + FRAME for i in range(100)]
        rig.send(port, frames)
        assert port.take() == frames
        assert port.take() == []
        stats = port.stats()
        assert (stats["tx_packets"], stats["tx_bytes"], stats["tx_dropped"]) == (100, 6100, 0)


def test_descriptors_are_readable_exactly_while_frames_wait(rig):
    with PipePort("p1") as port:
        assert not readable(port.rx_fd)
        port.inject(FRAME)
        port.inject(FRAME)
        assert readable(port.rx_fd)
        rig.receive(port)
        assert not readable(port.rx_fd)
        assert not readable(port.wait_fd)
        rig.send(port, [FRAME])
        assert readable(port.wait_fd)
        port.take()
        assert not readable(port.wait_fd)


def test_a_full_ring_refuses_in_and_drops_out_by_reason(rig):
    with PipePort("p1", size=3) as port:
        assert [port.inject(FRAME) for _ in range(5)] == [True, True, True, False, False]
        rig.send(port, [FRAME] * 5)
        assert len(port.take()) == 3
        assert port.stats()["drops"] == {"tx_full": 2}
        assert port.stats()["tx_dropped"] == 2


def test_multicast_is_counted_by_the_group_bit(rig):
    with PipePort("p1") as port:
        port.inject(b"\xff" * 6 + FRAME)
        port.inject(b"\x02" * 6 + FRAME)
        rig.receive(port)
        assert port.stats()["multicast"] == 1


def test_offload_state_travels_with_the_frame_when_the_output_takes_it(rig):
    frame, offload = partial_tcp(b"x" * 4000, gso_size=1448)
    with PipePort("a") as source, PipePort("b", caps=["csum", "tso4"]) as target:
        source.inject(frame, offload)
        assert rig.forward(source, target) == 1
        assert target.take_meta() == [(frame, offload)]


def test_partial_checksum_is_completed_for_an_output_without_it(rig):
    frame, offload = partial_tcp(b"hello")
    assert not checksum_ok(frame)
    with PipePort("a") as source, PipePort("b") as target:
        source.inject(frame, offload)
        rig.forward(source, target)
        [(sent, state)] = target.take_meta()
        assert checksum_ok(sent)
        assert not state.flags & CSUM_PARTIAL


@pytest.mark.parametrize(
    ("flag", "caps", "whole"),
    [
        (TSO4, ["csum", "tso4"], True),
        (TSO4, ["tso4"], False),
        (TSO4, ["csum", "tso6", "uso"], False),
        (USO, ["csum", "uso"], True),
        (USO, ["csum", "tso4", "tso6"], False),
        (TSO4, [], False),
    ],
)
def test_gso_frames_stay_whole_only_where_they_can_be_segmented(rig, flag, caps, whole):
    frame, offload = partial_tcp(b"x" * 4000, gso_size=1000, proto=17 if flag == USO else 6)
    with PipePort("a", caps=caps) as port:
        rig.send(port, [frame], offload)
        assert port.take_meta() == [(frame, offload)] if whole else len(port.take()) == 4
        assert port.stats()["drops"] == {}
        assert port.stats()["tx_segmented"] == (not whole)


@pytest.mark.parametrize(
    ("length", "tag", "passes"),
    [
        (1514, b"", True),
        (1515, b"", False),
        (1518, b"\x81\x00", True),
        (1518, b"\x88\xa8", True),
        (1519, b"\x81\x00", False),
    ],
)
def test_frames_beyond_the_mtu_are_dropped_tags_do_not_count(rig, length, tag, passes):
    frame = (bytes(12) + (tag or b"\x08\x00")).ljust(length, b"\0")
    with PipePort("a", mtu=1500) as port:
        rig.send(port, [frame])
        assert len(port.take()) == passes
        assert port.stats()["drops"] == ({} if passes else {"tx_too_long": 1})


def test_the_rest_of_a_vector_is_sent_when_some_do_not_fit(rig):
    short, long = bytes(60), bytes(2000)
    with PipePort("a") as port:
        rig.send(port, [long, short, long, short, short, long])
        assert port.take() == [short] * 3
        assert port.stats()["drops"] == {"tx_too_long": 3}


def test_mtu_and_up_are_settable(rig):
    with PipePort("a") as port:
        port.mtu = 9000
        rig.send(port, [bytes(9014)])
        assert len(port.take()) == 1
        port.up = False
        rig.send(port, [FRAME])
        port.inject(FRAME)
        assert rig.receive(port) == []
        assert not readable(port.rx_fd)
        assert port.take() == []
        assert port.stats()["drops"] == {"tx_down": 1, "rx_port_disabled": 1}
        port.up = True
        port.inject(FRAME)
        assert rig.receive(port) == [FRAME]
        with pytest.raises(ConfigError, match="MTU 10"):
            port.mtu = 10


def test_null_mode_counts_and_discards(rig):
    with PipePort("a", null=True) as port:
        rig.send(port, [FRAME] * 200)
        assert port.take() == []
        assert (port.stats()["tx_packets"], port.stats()["tx_bytes"]) == (200, 12000)


def test_looped_frames_repeat_until_the_count_or_the_stop(rig):
    frames = [b"a" * 60, b"b" * 61, b"c" * 62]
    with PipePort("a") as port:
        port.loop(frames, count=70)
        assert readable(port.rx_fd)
        assert rig.receive(port) + rig.receive(port) == (frames * 24)[:70]
        assert rig.receive(port) == []
        assert not readable(port.rx_fd)
        port.loop(frames, batch=2)
        assert [rig.receive(port) for _ in range(3)] == [frames[:2], [frames[2], frames[0]], frames[1:]]
        port.loop([])
        assert rig.receive(port) == []
        assert port.stats()["rx_packets"] == 76


def test_running_out_of_buffers_is_counted(rig):
    small = PortRig(small=10)
    with PipePort("a") as port:
        for _ in range(15):
            port.inject(FRAME)
        assert len(small.receive(port)) == 10
        assert port.stats()["drops"] == {"rx_no_buffer": 5}
    assert small.in_use == 0


def test_forwarders_have_counters_of_their_own_and_the_snapshot_adds_them():
    with PipePort("a") as port:
        for forwarder in (0, 3, 15):
            PortRig(forwarder=forwarder).send(port, [FRAME])
        assert port.stats()["tx_packets"] == 3


@pytest.mark.parametrize(
    ("frame", "offload", "text"),
    [
        (b"", None, "0 bytes"),
        (bytes(LONGEST + 1), None, "66561 bytes"),
        (FRAME, Offload(CSUM_PARTIAL, 0, 50, 16, 0), "outside"),
        (FRAME, Offload(TSO4, 0, 0, 0, 0), "gso_size"),
    ],
)
def test_frames_that_cannot_be_are_refused(frame, offload, text):
    with PipePort("a") as port, pytest.raises(ConfigError, match=text):
        port.inject(frame, offload)


def test_unknown_offload_is_refused():
    with pytest.raises(ConfigError, match="tso7"):
        PipePort("a", caps=["csum", "tso7"])


def test_the_longest_frame_passes(rig):
    with PipePort("a") as port:
        port.inject(bytes(LONGEST))
        assert [len(frame) for frame in rig.receive(port)] == [LONGEST]


def test_close_gives_back_descriptors_and_waits_for_detach():
    before = n_descriptors()
    port = PipePort("a")
    port.loop([FRAME])
    port.attached = True
    with pytest.raises(InternalError, match="forwarders use it"):
        port.close()
    port.attached = False
    port.close()
    port.close()
    assert port.is_closed
    with pytest.raises(ConfigError, match="closed"):
        port.inject(FRAME)
    dropped = PipePort("b")
    dropped.inject(FRAME)
    del dropped
    assert n_descriptors() == before


def test_two_threads_share_a_pipe_without_losing_frames():
    total = 5000
    with PipePort("a", size=256) as port:
        stop = threading.Event()

        def inject() -> None:
            for i in range(total):
                while not port.inject(i.to_bytes(4, "big") + FRAME):
                    os.sched_yield()
            stop.set()

        thread = threading.Thread(target=inject)
        thread.start()
        rig = PortRig()
        got: list[bytes] = []
        while len(got) < total and (not stop.is_set() or readable(port.rx_fd)):
            select.select([port.rx_fd], [], [], 5)
            got += rig.receive(port)
        thread.join()
        assert [int.from_bytes(frame[:4], "big") for frame in got] == list(range(total))


class NaivePipe:
    """Two bounded lists: what PipePort must be equal to."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.inward: list[bytes] = []
        self.outward: list[bytes] = []

    def inject(self, frame: bytes) -> bool:
        if len(self.inward) == self.size:
            return False
        self.inward.append(frame)
        return True

    def send(self, frames: list[bytes]) -> None:
        self.outward += frames[: self.size - len(self.outward)]

    def receive(self) -> list[bytes]:
        taken, self.inward = self.inward[:64], self.inward[64:]
        return taken

    def take(self) -> list[bytes]:
        taken, self.outward = self.outward, []
        return taken


FRAMES = st.binary(min_size=1, max_size=80)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("inject"), FRAMES),
        st.tuples(st.just("send"), st.lists(FRAMES, max_size=5)),
        st.tuples(st.just("receive")),
        st.tuples(st.just("take")),
    ),
    max_size=60,
)


@settings(max_examples=100, deadline=None)
@given(size=st.integers(1, 5), steps=STEPS)
def test_a_pipe_equals_two_bounded_lists(size, steps):
    naive, rig = NaivePipe(size), PortRig()
    with PipePort("a", size=size) as port:
        calls = {
            "inject": port.inject,
            "take": port.take,
            "send": lambda frames: rig.send(port, frames),
            "receive": lambda: rig.receive(port),
        }
        for name, *args in steps:
            assert calls[name](*args) == getattr(naive, name)(*args)
            assert readable(port.rx_fd) == bool(naive.inward)
            assert readable(port.wait_fd) == bool(naive.outward)
    assert rig.in_use == 0


CAP_OF_FLAG = {TSO4: "tso4", TSO6: "tso6", USO: "uso"}


def naive_send(frame: bytes, offload: Offload, caps: set[str], mtu: int) -> str:
    """Return what must become of a frame: "sent", "completed", "cut" or the reason of the drop."""
    gso = offload.flags & (TSO4 | TSO6 | USO)
    tag = 4 if frame[12:14] in (b"\x81\x00", b"\x88\xa8") else 0
    headers = offload.csum_start + (8 if offload.flags & USO else 20)
    longest = min(len(frame), headers + offload.gso_size) if gso else len(frame)
    if longest > mtu + 14 + tag:
        return "tx_too_long"
    if gso and not {"csum", CAP_OF_FLAG[gso]} <= caps:
        return "cut"
    return "completed" if offload.flags & CSUM_PARTIAL and "csum" not in caps else "sent"


def naive_sent(frame: bytes, offload: Offload, fate: str) -> list[bytes | None]:
    """Return the frames that must leave, None for one with another checksum."""
    if fate == "cut":
        return list(segments(frame, offload.gso_size))
    return [frame if fate == "sent" else None]


@st.composite
def prepared_frames(draw):
    payload = draw(st.binary(max_size=40)) * draw(st.sampled_from([1, 1, 30, 40]))
    proto, gso = draw(st.sampled_from([(6, 0), (17, 0), (6, TSO4), (17, USO)]))
    frame, offload = partial_tcp(payload, 1000 if gso else 0, proto=proto)
    if draw(st.booleans()) and not gso:
        offload = Offload()
    return frame, offload


@settings(max_examples=150, deadline=None)
@given(
    frames=st.lists(prepared_frames(), min_size=1, max_size=20),
    caps=st.sets(st.sampled_from(["csum", "tso4", "tso6", "uso"])),
    mtu=st.sampled_from([68, 1000, 1027, 1028, 1040, 1500]),
)
def test_sending_a_vector_equals_judging_each_frame_alone(frames, caps, mtu):
    rig = PortRig()
    with PipePort("a") as source, PipePort("b", caps=caps, mtu=mtu) as target:
        for frame, offload in frames:
            source.inject(frame, offload)
        rig.forward(source, target)
        fates = [naive_send(frame, offload, caps, mtu) for frame, offload in frames]
        sent = target.take_meta()
        passed = [(pair, fate) for pair, fate in zip(frames, fates, strict=True) if not fate.startswith("tx_")]
        expected = [one for (frame, offload), fate in passed for one in naive_sent(frame, offload, fate)]
        assert len(sent) == len(expected)
        for (got, state), frame in zip(sent, expected, strict=True):
            if frame is None:
                assert checksum_ok(got)
                assert not state.flags & CSUM_PARTIAL
            else:
                assert got == frame
        assert [pair for pair in sent if pair[1].flags & CSUM_PARTIAL] == [
            pair for pair, fate in passed if fate == "sent" and pair[1].flags
        ]
        drops = {name: fates.count(name) for name in set(fates) if name.startswith("tx_")}
        assert target.stats()["drops"] == drops
    assert rig.in_use == 0
