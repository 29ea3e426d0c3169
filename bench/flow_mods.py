"""100,000 flow-mods, half OpenFlow 1.3 and half NXM, prepared beforehand: prints the seconds that they take.

usage: python -m bench.flow_mods
Every message adds a TCP flow to an address and port of its own, with one output action, as an access list has them.
"""

from __future__ import annotations

import struct
import time

from ofproto.flow_table import FlowTables
from ofproto.switch import SwitchHandle

N = 100_000
RUN = 1000  # messages handed over at once, about what one read from a busy controller's socket holds
ANY = 0xFFFFFFFF
NX_VENDOR, NXT_FLOW_MOD = 0x2320, 13


def header(version: int, kind: int, body: bytes) -> bytes:
    return struct.pack("!BBHI", version, kind, 8 + len(body), 1) + body


def pad8(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def flow_mod_13(i: int) -> bytes:
    """eth_type, ip_proto, ipv4_dst, tcp_dst -> output."""
    address, port = 0x0A000000 + i, i & 0xFFFF
    entries = struct.pack("!IHIBIIIH", 0x80000A02, 0x0800, 0x80001401, 6, 0x80001804, address, 0x80001C02, port)
    match = pad8(struct.pack("!HH", 1, 4 + len(entries)) + entries)
    actions = struct.pack("!HH4xHHIH6x", 4, 24, 0, 16, 1 + i % 8, 0)
    body = struct.pack("!QQBBHHHIIIH2x", i, 0, 0, 0, 0, 0, 100, ANY, ANY, ANY, 0)
    return header(4, 14, body + match + actions)


def flow_mod_nxm(i: int) -> bytes:
    """The same with NXM_OF_ETH_TYPE, _IP_PROTO, _IP_DST, _TCP_DST."""
    address, port = 0x0A000000 + i, i & 0xFFFF
    entries = struct.pack("!IHIBIIIH", 0x00000602, 0x0800, 0x00000C01, 6, 0x00001004, address, 0x00001402, port)
    actions = struct.pack("!HHHH", 0, 8, 1 + i % 8, 0)
    body = struct.pack("!IIQHHHHIHHH6x", NX_VENDOR, NXT_FLOW_MOD, i, 0, 0, 0, 100, ANY, 0xFFFF, 0, len(entries))
    return header(1, 4, body + pad8(entries) + actions)


def main() -> None:
    msgs = [flow_mod_13(i) if i % 2 else flow_mod_nxm(i) for i in range(N)]
    tables = FlowTables(SwitchHandle().add_bridge("br0", bytes(6)))
    begin = time.perf_counter()
    for first in range(0, N, RUN):
        _, errors = tables.apply_many(msgs[first : first + RUN])
        if errors:
            raise SystemExit(f"flow-mod {first + errors[0][0]}: {errors[0][1]}")
    seconds = time.perf_counter() - begin
    if tables.n_flows != N:
        raise SystemExit(f"{tables.n_flows} flows instead of {N}")
    print(f"{seconds:.3f}")


if __name__ == "__main__":
    main()
