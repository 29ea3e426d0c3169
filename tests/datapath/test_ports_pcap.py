"""Ports on capture files: what is read is received, what is sent is written, nothing is unbounded (PT.28)."""

from __future__ import annotations

import itertools
import os
import struct
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.utils import RawPcapReader, wrpcap

from datapath.datapath import Datapath
from datapath.ports import pcap_file
from datapath.ports.pcap import PcapPort, null_port
from datapath.ports.pipe import PipePort
from datapath.testing import Rule, TableHook
from vslib.errors import ConfigError

MAGICS = [(order, magic) for order in "<>" for magic in (pcap_file.MAGIC_US, pcap_file.MAGIC_NS)]
KEY_BYTES = 584
CAPTURE_BYTES = 4 << 20  # pcap.pyx


def capture(frames: list[bytes], order: str = "=", magic: int = pcap_file.MAGIC_US, **changes: int) -> bytes:
    """The bytes of a capture file; changes: members of its header."""
    header = {"major": 2, "minor": 4, "zone": 0, "sigfigs": 0, "snap": 65535, "link": 1} | changes
    records = (struct.pack(order + "IIII", 7, 8, len(one), len(one) + 3) + one for one in frames)
    return struct.pack(order + "IHHiIII", magic, *header.values()) + b"".join(records)


def frame(number: int, n_bytes: int = 60) -> bytes:
    return (bytes.fromhex("020000000002 020000000001 88b5") + number.to_bytes(4, "big")).ljust(n_bytes, b"\0")


@pytest.fixture
def played(tmp_path) -> Path:
    path = tmp_path / "in.pcap"
    path.write_bytes(capture([frame(i) for i in range(100)]))
    return path


class Bench:
    """A datapath that sends everything from port 1 to port 2, run here."""

    def __init__(self, source, sink) -> None:
        self.dp = Datapath(1, inline=True)
        hook = TableHook()
        self.dp.set_miss_hook(hook)
        self.ports = [source, sink]
        numbers = [self.dp.add_port(port) for port in self.ports]
        output = (1, 0, 0, numbers[1], 0, bytes(16), bytes(16))
        hook.set_bank(numbers[0], [Rule(bytes(KEY_BYTES), bytes(KEY_BYTES), [output])])

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.dp.stop()
        for number in list(self.dp.ports()):
            self.dp.del_port(number)
        for port in self.ports:
            port.close()


def written(path: Path) -> list[bytes]:
    return [bytes(data) for data, _ in RawPcapReader(str(path))]


class TestReading:
    @pytest.mark.parametrize(("order", "magic"), MAGICS)
    def test_both_resolutions_and_byte_orders_are_read(self, order, magic):
        assert pcap_file.parse(capture([b"one", b"three"], order, magic)) == [b"one", b"three"]

    def test_files_of_scapy_are_read(self, tmp_path):
        wrpcap(str(tmp_path / "x.pcap"), [frame(1), frame(2)])
        assert pcap_file.read(str(tmp_path / "x.pcap")) == [frame(1), frame(2)]

    def test_the_length_of_the_check_sequence_in_the_link_type_does_not_matter(self):
        assert pcap_file.parse(capture([b"x"], link=1 | 0x54000000)) == [b"x"]

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "0 bytes are no capture file"),
            (b"#!/bin/sh\n" * 9, "no capture file: it begins with 23212f62"),
            (bytes.fromhex("0a0d0d0a").ljust(40), "a pcapng file; convert it with: editcap -F pcap"),
            (capture([], link=101), "link type 101 is not Ethernet"),
            (capture([], major=3), "version 3 of the capture format is not 2"),
            (capture([b"one", b"two"])[:-1], "frame 2 at byte 43: the file ends within it"),
            (capture([b"one", b"two"])[:-4], "frame 2 at byte 43: the file ends within its header"),
            (capture([b""]), "frame 1 at byte 24: length 0 is not in 1..65553"),
            (capture([b"x"])[:32] + struct.pack("=I", 1 << 31) + bytes(9), "length 2147483648 is not in"),
        ],
    )
    def test_what_is_wrong_is_named_with_its_place(self, data, words):
        with pytest.raises(ConfigError) as caught:
            pcap_file.parse(data)
        assert words in str(caught.value)

    @given(st.binary(max_size=200), st.sampled_from(MAGICS))
    def test_no_bytes_raise_anything_else(self, junk, kind):
        for data in (junk, capture([], *kind) + junk, capture([b"abc"], *kind)[: len(junk)]):
            try:
                frames = pcap_file.parse(data)
            except ConfigError:
                continue
            assert sum(map(len, frames)) <= len(data)

    def test_more_frames_than_fit_are_refused(self, monkeypatch):
        monkeypatch.setattr(pcap_file, "FRAMES_MAX", 3)
        assert len(pcap_file.parse(capture([b"x"] * 3))) == 3
        with pytest.raises(ConfigError, match="more than 3 frames"):
            pcap_file.parse(capture([b"x"] * 4))

    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (lambda path: None, "No such file or directory"),
            (os.mkdir, "not a regular file"),
            (os.mkfifo, "not a regular file"),
            (lambda path: path.write_bytes(capture([])), "no frames"),
            (
                lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_RDWR), (256 << 20) + 1),
                "are more than 268435456",
            ),
        ],
    )
    def test_a_file_that_cannot_be_played_is_named_with_the_option(self, tmp_path, make, words):
        path = tmp_path / "x"
        make(path)
        with pytest.raises(ConfigError) as caught:
            PcapPort("p", rx=str(path))
        assert str(caught.value).startswith(f"options:rx_pcap: {path}: ") and words in str(caught.value)


class TestPlaying:
    def test_a_file_is_received_once_when_the_port_comes_up(self, played):
        source, sink = PcapPort("p", rx=str(played)), PipePort("s")
        with Bench(source, sink) as bench:
            bench.dp.step()
            assert sink.take() == []
            source.up = True
            bench.dp.step()
            assert sink.take() == [frame(i) for i in range(100)]
            bench.dp.step()
            assert source.stats()["rx_packets"] == 100

    def test_an_infinite_one_goes_on_from_memory_without_its_file(self, played):
        source, sink = PcapPort("p", rx=str(played), infinite=True), PipePort("s", size=1 << 12)
        played.unlink()
        with Bench(source, sink) as bench:
            source.up = True
            bench.dp.step(max_rounds=10)
            taken = sink.take()
            assert len(taken) == 1280
            assert taken == [frame(i % 100) for i in range(1280)]
            source.up = False
            bench.dp.step()  # comes to rest
            assert source.stats()["rx_packets"] == 1280 and source.stats()["rx_dropped"] == 0

    def test_what_is_sent_to_a_port_that_only_plays_is_discarded(self, played):
        source, sink = PipePort("s"), PcapPort("p", rx=str(played))
        with Bench(source, sink) as bench:
            sink.up = True
            source.inject(frame(1))
            bench.dp.step()
            assert sink.stats()["tx_packets"] == 1


class TestWriting:
    @given(lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=50))
    def test_what_is_sent_is_in_the_file_in_order(self, tmp_path_factory, lengths):
        path = tmp_path_factory.mktemp("pcap") / "out.pcap"
        frames = [frame(i).ljust(n, b"x")[: max(n, 14)] for i, n in enumerate(lengths)]
        sink = PcapPort("p", tx=str(path), background=False)
        source = PipePort("s")
        sink.now_us = 1_700_000_000_123_456
        with Bench(source, sink) as bench:
            for one in frames:
                assert source.inject(one)
            bench.dp.step()
            assert sink.stats()["tx_packets"] == len(frames)
        with RawPcapReader(str(path)) as reader:
            records = [(bytes(data), meta) for data, meta in reader]
        assert [data for data, _ in records] == frames
        assert {(meta.sec, meta.usec) for _, meta in records} == {(1_700_000_000, 123_456)}
        assert [meta.wirelen for _, meta in records] == [len(one) for one in frames]

    def test_the_writer_is_there_before_the_port_is_closed(self, tmp_path):
        path = tmp_path / "out.pcap"
        source, sink = PipePort("s"), PcapPort("p", tx=str(path))
        with Bench(source, sink) as bench:
            source.inject(frame(1))
            bench.dp.step()
            end = time.monotonic() + 10
            while path.stat().st_size < 24 + 16 + 60:
                assert time.monotonic() < end, "nothing was written"
                time.sleep(0.005)
            [(_, meta)] = RawPcapReader(str(path))
            assert abs(meta.sec - time.time()) < 60
        assert written(path) == [frame(1)]

    def test_a_full_buffer_drops_by_name_and_is_written_whole(self, tmp_path):
        path = tmp_path / "out.pcap"
        source, sink = PipePort("s", size=4096), PcapPort("p", tx=str(path), background=False)
        fit = CAPTURE_BYTES // (1500 + 16)
        with Bench(source, sink) as bench:
            for i in range(fit + 100):
                assert source.inject(frame(i, 1500))
            bench.dp.step()
            assert sink.stats()["drops"] == {"tx_full": 100} and sink.stats()["tx_packets"] == fit
            sink.flush()
            source.inject(frame(9))
            bench.dp.step()
        assert written(path) == [*(frame(i, 1500) for i in range(fit)), frame(9)]

    def test_a_disk_that_refuses_costs_frames_and_not_the_switch(self, tmp_path, monkeypatch):
        monkeypatch.setattr(pcap_file, "create", lambda path: os.open("/dev/full", os.O_WRONLY))
        source, sink = PipePort("s"), PcapPort("p", tx=str(tmp_path / "x"), background=False)
        with Bench(source, sink) as bench:
            for _ in itertools.repeat(None, 2):
                source.inject(frame(1))
                bench.dp.step()
                sink.flush()
            stats = sink.stats()
            assert (stats["tx_packets"], stats["tx_errors"], stats["drops"]) == (1, 1, {"tx_error": 1})

    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (lambda path: os.mkdir(path), "Is a directory"),
            (lambda path: os.mkfifo(path), "No such device or address"),
            (lambda path: os.symlink("/nowhere/x", path), "No such file or directory"),
        ],
    )
    def test_a_file_that_cannot_be_made_is_named_with_the_option(self, tmp_path, make, words):
        path = tmp_path / "x"
        make(path)
        with pytest.raises(ConfigError) as caught:
            PcapPort("p", tx=str(path))
        assert str(caught.value) == f"options:tx_pcap: {path}: {words}"

    def test_no_two_ports_write_one_file_and_none_writes_what_it_plays(self, tmp_path, played):
        path = str(tmp_path / "out.pcap")
        with PcapPort("p", tx=path) as first:
            with pytest.raises(ConfigError, match="another port writes to it"):
                PcapPort("q", tx=path)
            assert first.is_closed is False
        PcapPort("q", tx=path).close()
        with pytest.raises(ConfigError, match="is also options:rx_pcap"):
            PcapPort("p", rx=str(played), tx=str(played))
        assert len(pcap_file.read(str(played))) == 100

    def test_an_old_file_is_written_anew(self, tmp_path):
        path = tmp_path / "out.pcap"
        path.write_bytes(b"x" * 100_000)
        PcapPort("p", tx=str(path)).close()
        assert path.read_bytes() == pcap_file.header()

    def test_nothing_is_left_open(self, tmp_path):
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(10):
            PcapPort("p", tx=str(tmp_path / "x")).close()
            with pytest.raises(ConfigError):
                PcapPort("p", rx="/nowhere")
        assert len(os.listdir("/proc/self/fd")) == before


class TestNull:
    def test_everything_is_counted_and_discarded(self):
        source, sink = PipePort("s", mtu=65535), null_port("n")
        with Bench(source, sink) as bench:
            for n_bytes in (14, 60, 1514, 9000, 60_000):
                source.inject(frame(1, n_bytes))
            bench.dp.step()
            stats = sink.stats()
            assert (stats["tx_packets"], stats["tx_bytes"], stats["drops"]) == (5, 18 + 60 + 1514 + 9000 + 60_000, {})
