"""Share of megaflows that one edit makes the forwarder translate again, in percent: the fewer, the better.

usage: python -m bench.revalidate [--macs | --flows] [--megaflows N] [--edits N]
--macs (the default): a learning switch where every megaflow is a pair of addresses, and each edit learns one more.
--flows: four tables, as a controller's pipeline has them, where each edit adds a flow to the third by the masks in use.
No megaflow's result is altered by any edit, so each one translated again is for nothing. Prints one number.
"""

from __future__ import annotations

import argparse
import struct
from collections.abc import Callable

from bench.flow_mods import ANY, header, pad8
from datapath.slots import places
from ofproto.flow_table import FlowTables
from ofproto.switch import SwitchHandle

PLACES = places()
KEY_BYTES = 584
NORMAL = 0xFFFFFFFA
Edit = Callable[[int], object]
Scene = Callable[[SwitchHandle, FlowTables, int], tuple[list[bytes], Edit]]
ETH_DST, ETH_SRC, ETH_TYPE, IN_PORT, IP_DST = 0x80000606, 0x80000806, 0x80000A02, 0x80000004, 0x80001804


def flow_mod(table: int, priority: int, entries: bytes, port: int = 0, goto: int = 0) -> bytes:
    """An OpenFlow 1.3 add: output to `port` or go on in table `goto`, whichever is given."""
    match = pad8(struct.pack("!HH", 1, 4 + len(entries)) + entries)
    output = struct.pack("!HH4xHHIH6x", 4, 24, 0, 16, port, 0) if port else b""
    then = struct.pack("!HHB3x", 1, 8, goto) if goto else b""
    body = struct.pack("!QQBBHHHIIIH2x", 0, 0, table, 0, 0, 0, priority, ANY, ANY, ANY, 0)
    return header(4, 14, body + match + output + then)


def mac(i: int) -> bytes:
    """Return an address of its own for each i."""
    return b"\x02\0" + i.to_bytes(4, "big")


def packet(in_port: int, src: bytes, dst: bytes, ip_dst: int = 0) -> bytes:
    """Return the key of an IPv4 packet."""
    key = bytearray(KEY_BYTES)
    for name, value in (
        ("in_port", in_port.to_bytes(4, "big")),
        ("eth_src", src),
        ("eth_dst", dst),
        ("eth_type", b"\x08\0"),
        ("ip_dst", ip_dst.to_bytes(4, "big")),
    ):
        at = PLACES[name].offset
        key[at : at + len(value)] = value
    return bytes(key)


def make() -> tuple[SwitchHandle, FlowTables]:
    """Return a switch of one bridge with four ports, and its tables."""
    switch = SwitchHandle()
    bridge = switch.add_bridge("br0", bytes(6))
    for number in range(1, 5):
        bridge.add_port(number, number, f"p{number}")
    return switch, FlowTables(bridge)


def apply(tables: FlowTables, *mods: bytes) -> None:
    """Apply flow-mods; an error ends the script."""
    _, errors = tables.apply_many(list(mods))
    if errors:
        raise SystemExit(f"flow-mod: {errors[0][1]}")


def learning(switch: SwitchHandle, tables: FlowTables, n: int) -> tuple[list[bytes], Edit]:
    """Return n packets between 2 * n known addresses, and the edit: learn one more."""
    apply(tables, flow_mod(0, 0, b"", port=NORMAL))
    keys = [packet(1 + i % 4, mac(2 * i), mac(2 * i + 1)) for i in range(n)]
    for key, i in zip(keys, range(n), strict=True):
        switch.translate(key, learn=True)
        switch.translate(packet(1 + (i + 1) % 4, mac(2 * i + 1), mac(2 * i)), learn=True)
    return keys, lambda i: switch.translate(packet(1, mac(1 << 24 | i), mac(0)), learn=True)


def pipeline(switch: SwitchHandle, tables: FlowTables, n: int) -> tuple[list[bytes], Edit]:
    """Return n packets through four tables (port, source, IPv4 destination, destination), and the edit: add a route."""
    mods = [flow_mod(0, 10, struct.pack("!II", IN_PORT, port), goto=1) for port in range(1, 5)]
    mods += [flow_mod(table, 0, b"", goto=table + 1) for table in range(3)] + [flow_mod(3, 0, b"", port=2)]
    for i in range(n):
        mods.append(flow_mod(1, 10, struct.pack("!I6s", ETH_SRC, mac(i)), goto=2))
        mods.append(flow_mod(2, 10, route(0x0A000000 + i), goto=3))
        mods.append(flow_mod(3, 10, struct.pack("!I6s", ETH_DST, mac(n + i)), port=2))
    apply(tables, *mods)
    keys = [packet(1 + i % 4, mac(i), mac(n + i), 0x0A000000 + i) for i in range(n)]
    return keys, lambda i: apply(tables, flow_mod(2, 10, route(0x0B000000 + i), goto=3))


def route(address: int) -> bytes:
    return struct.pack("!IHII", ETH_TYPE, 0x0800, IP_DST, address)


def share(scene: Scene, n_megaflows: int, n_edits: int) -> float:
    """Return how many percent of the megaflows one edit touches, in the mean."""
    switch, tables = make()
    keys, edit = scene(switch, tables, n_megaflows)
    tags = [switch.translate(key)[3] for key in keys]
    touched = 0
    for i in range(n_edits):
        before = switch.version
        edit(i)
        touched += sum(switch.affected(before, switch.version, each) for each in tags)
    return 100 * touched / (n_megaflows * n_edits)


def main() -> None:
    parser = argparse.ArgumentParser(description="percent of the megaflows that an edit elsewhere touches")
    parser.add_argument("--flows", action="store_true")
    parser.add_argument("--macs", action="store_true")
    parser.add_argument("--megaflows", type=int, default=2000)
    parser.add_argument("--edits", type=int, default=200)
    options = parser.parse_args()
    print(f"{share(pipeline if options.flows else learning, options.megaflows, options.edits):.4f}")


if __name__ == "__main__":
    main()
