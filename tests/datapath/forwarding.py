"""Builders for tests of the forwarder: frames, keys, ops, and a datapath of pipes around a table-driven hook."""

from __future__ import annotations

import os
import struct
import time
from collections import Counter
from contextlib import contextmanager

from datapath import frame_vector
from datapath.datapath import Datapath
from datapath.ports.pipe import PipePort
from datapath.slots import layout
from datapath.testing import Rule, TableHook

KEY_BYTES = 584
ANY = bytes(KEY_BYTES)
OUTPUT, SET, PUSH_VLAN, POP_VLAN, PUNT, DROP, SET_MARK, SET_PRIORITY, TRUNC = range(1, 10)
NO16 = bytes(16)
MAC_1, MAC_2 = b"\x02\0\0\0\0\x01", b"\x02\0\0\0\0\x02"
PLACES = {place.slot.name: place for group in layout()[0] for place in group}
S = 1_000_000_000


@contextmanager
def vector(number):
    """Let datapaths made here use one of the frame cache's variants that this processor has: `number` modulo theirs."""
    before = os.environ.get(frame_vector.VARIABLE)
    names = frame_vector.available()
    os.environ[frame_vector.VARIABLE] = names[number % len(names)]
    try:
        yield
    finally:
        del os.environ[frame_vector.VARIABLE]
        if before is not None:
            os.environ[frame_vector.VARIABLE] = before


def op(kind, *, slot=0, aux=0, arg=0, aux32=0, value=NO16, mask=NO16):
    return (kind, slot, aux, arg, aux32, value.ljust(16, b"\0"), mask.ljust(16, b"\0"))


def out(port):
    return op(OUTPUT, arg=port)


def punt(cookie):
    return op(PUNT, value=cookie.to_bytes(8, "little"))


def set_field(slot, value, mask=None):
    return op(SET, slot=PLACES[slot].number, value=value, mask=b"\xff" * len(value) if mask is None else mask)


def frame(
    *, src=MAC_1, dst=MAC_2, vlan=None, ip_dst=1, sport=1, dport=2, ttl=64, proto=17, payload=b""
):
    """Return an Ethernet/IPv4/UDP frame; `payload` tells frames of one flow apart."""
    tag = b"" if vlan is None else struct.pack("!HH", 0x8100, vlan)
    addresses = bytes((10, 0, 0, 99, 10, 0, 0, ip_dst))
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(payload), 0, 0, ttl, proto, 0) + addresses
    return dst + src + tag + b"\x08\x00" + ip + struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload


def match(**slots):
    """Return (key, mask): each slot is given as bytes, or as (value, mask) bytes."""
    key, mask = bytearray(KEY_BYTES), bytearray(KEY_BYTES)
    for name, given in slots.items():
        value, bits = given if isinstance(given, tuple) else (given, b"\xff" * len(given))
        place = PLACES[name]
        assert len(value) == place.slot.n_bytes, name
        key[place.offset : place.offset + len(value)] = bytes(v & b for v, b in zip(value, bits, strict=True))
        mask[place.offset : place.offset + len(value)] = bits
    return bytes(key), bytes(mask)


def rule(*ops, credit=0, cacheable=True, once=False, fails=False, **slots):
    key, mask = match(**slots)
    return Rule(key, mask, list(ops), credit, cacheable, once, fails)


class Rig:
    """A datapath, its hook and pipes numbered from 1."""

    def __init__(self, n_forwarders, inline, n_ports, **pipe):
        self.dp = Datapath(n_forwarders, inline=inline)
        self.hook = TableHook()
        self.dp.set_miss_hook(self.hook)
        self.inline = inline
        self.now_ns = S
        self.injected = Counter()
        handles = [PipePort(f"p{i + 1}", **pipe) for i in range(n_ports)]
        self.pipes = {self.dp.add_port(handle): handle for handle in handles}
        self.dp.start()

    def run(self, now_ns=None):
        """Let the forwarders handle all that was injected."""
        if self.inline:
            self.now_ns = self.now_ns if now_ns is None else now_ns
            self.dp.step(self.now_ns)
            return
        wait_for(lambda: all(self.dp.port_stats(n)["rx_packets"] >= self.injected[n] for n in self.pipes))
        wait_for(lambda: all(one["asleep"] for one in self.dp.stats()["forwarders"]))
        self.dp.barrier_wait()
        self.dp.run_callbacks()

    def taken(self):
        """Return [(port, frame)] of all that was sent, by port."""
        return [(number, sent) for number, handle in self.pipes.items() for sent in handle.take()]

    def send(self, port, *frames):
        """Inject frames, run, and return what was sent."""
        for one in frames:
            assert self.pipes[port].inject(one)
        self.injected[port] += len(frames)
        self.run()
        return self.taken()

    def push(self, **options):
        """Push credits and wait for it."""
        done = []
        self.dp.push_credits(lambda: done.append(1), **options)
        if self.inline:
            self.dp.step(self.now_ns)
        wait_for(lambda: self.dp.run_callbacks() or done)

    def close(self):
        """Stop and check that nothing is left behind."""
        self.dp.stop()
        assert self.dp.stats()["buffers_in_use"] == 0
        assert self.dp.stats()["n_flows"] == 0
        assert self.hook.owners == 0
        for number, handle in self.pipes.items():
            self.dp.del_port(number)
            handle.close()


@contextmanager
def rig(n_forwarders=1, inline=True, n_ports=3, **pipe):
    made = Rig(n_forwarders, inline, n_ports, **pipe)
    try:
        yield made
    finally:
        made.close()


def wait_for(condition, seconds=10):
    """Return when the condition holds; fails after some seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.0005)
