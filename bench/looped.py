"""Packets per second without network devices: looped capture -> pipeline -> null port, through a running daemon.

usage: python -m bench.looped [--switch ours|dpdk] [--pipeline output|udp|fields|masks] [--flows N] [--frame BYTES]
                              [--seconds S] [--capture FILE]
The daemon is set up by ovs-vsctl and ovs-ofctl; one thread forwards, and every frame is copied into a buffer. The
figure is the growth of the null port's OpenFlow counter over the time. Pipelines: one flow for the port, for which
Open vSwitch 3.1 has a short cut past its caches; one for UDP, for which it has none; three tables that set the
Ethernet addresses and decrement the TTL; 20 prefix lengths of IPv4 destinations, so that as many masks are in use.
"""

from __future__ import annotations

import argparse
import re
import struct
import sys
import tempfile
import time
from pathlib import Path

from bench import load
from bench.inmemory import frame
from bench.peer import StepError, Switch, switch_of
from datapath.ports import pcap_file

BRIDGE, SOURCE, SINK = "br-loop", "source", "sink"
SOURCE_NUMBER, SINK_NUMBER = 1, 2
PREFIXES = range(13, 33)  # of the pipeline `masks`
WARM_UP_S = 1.0
LONG_WARM_UP_S = 6.0  # the first time each of 200,000 flows is seen it is a miss, for Open vSwitch 60,000 a second
MANY_FLOWS = 50_000
DESTINATION_AT = 30  # Ethernet 14, IPv4 16
PIPELINES: dict[str, tuple[str, ...]] = {
    "output": ("in_port=1,actions=output:2",),
    "udp": ("udp,actions=output:2",),
    "fields": (
        "table=0,in_port=1,actions=mod_dl_src:02:00:00:00:01:01,resubmit(,1)",
        "table=1,ip,actions=mod_dl_dst:02:00:00:00:01:02,resubmit(,2)",
        "table=2,udp,actions=dec_ttl,output:2",
    ),
    "masks": tuple(f"ip,nw_dst={bits}.0.0.0/{bits},actions=output:2" for bits in PREFIXES),
    "ports": (  # each pair of UDP ports is a megaflow of its own
        "udp,actions=move:NXM_OF_UDP_SRC[]->NXM_NX_REG0[0..15],move:NXM_OF_UDP_DST[]->NXM_NX_REG0[16..31],output:2",
    ),
}


def packet(flow: int, n_bytes: int, pipeline: str) -> bytes:
    """Return the frame of a flow; those for `masks` are spread over its prefixes."""
    made = frame(flow, n_bytes)
    if pipeline != "masks":
        return made
    destination = bytes([PREFIXES[flow % len(PREFIXES)], 0, 0, 0])
    return made[:DESTINATION_AT] + destination + made[DESTINATION_AT + 4 :]


def write_capture(path: Path, flows: int, n_bytes: int, pipeline: str = "output") -> None:
    """Write a capture file with one UDP frame per flow."""
    frames = [packet(flow, n_bytes, pipeline) for flow in range(flows)]
    records = b"".join(struct.pack("=IIII", 0, 0, len(one), len(one)) + one for one in frames)
    path.write_bytes(pcap_file.header() + records)


def add_port(switch: Switch, name: str, words: list[str]) -> None:
    """Add a port; raises StepError when the switch finds an error in it."""
    switch.tool("ovs-vsctl", "--timeout=20", "add-port", BRIDGE, name, "--", *words)
    error = switch.tool("ovs-vsctl", "--timeout=20", "get", "Interface", name, "error").strip()
    if error != "[]":
        raise StepError(f"{name}: {error}")


def set_up(switch: Switch, pipeline: str) -> None:
    """Make the bridge, its flows and the null port."""
    words = ["--", "set", "Bridge", BRIDGE, "datapath_type=netdev", "fail_mode=secure"]
    switch.tool("ovs-vsctl", "--timeout=20", "add-br", BRIDGE, *words)
    add_port(switch, SINK, switch.null_port(SINK, SINK_NUMBER))
    for text in PIPELINES[pipeline]:
        switch.tool("ovs-ofctl", "add-flow", BRIDGE, text)


def start_playing(switch: Switch, capture: Path, *, forever: bool = True) -> None:
    """Start playing a capture file."""
    add_port(switch, SOURCE, switch.capture_port(SOURCE, SOURCE_NUMBER, capture, forever=forever))


def looked_up(switch: Switch) -> tuple[int, int]:
    """Return hits and misses of the datapath; those that got no megaflow, which Open vSwitch calls lost, are misses."""
    found = re.search(r"hit:(\d+) missed:(\d+) lost:(\d+)", switch.appctl("dpctl/show"))
    if found is None:
        raise StepError("dpctl/show has no look-ups")
    return int(found[1]), int(found[2]) + int(found[3])


def megaflows(switch: Switch) -> int:
    """Return how many megaflows the datapath holds."""
    found = re.search(r"flows: (\d+)", switch.appctl("dpctl/show"))
    if found is None:
        raise StepError("dpctl/show has no number of flows")
    return int(found[1])


def rate(switch: Switch, seconds: float) -> float:
    """Return packets sent to the null port per second; raises StepError when misses were among them."""
    missed = looked_up(switch)[1]
    packets, begin = switch.sent(BRIDGE, SINK_NUMBER), time.monotonic()
    time.sleep(seconds)
    packets, elapsed_s = switch.sent(BRIDGE, SINK_NUMBER) - packets, time.monotonic() - begin
    missed = looked_up(switch)[1] - missed
    if not packets or missed > packets / 1000:
        raise StepError(f"{packets} packets arrived, {missed} packets missed the caches")
    return packets / elapsed_s


def measure(chosen: argparse.Namespace) -> dict[str, tuple[float, str]]:
    """Return million packets per second. Raises StepError when a packet was dropped."""
    with tempfile.TemporaryDirectory() as folder, switch_of(chosen.switch) as switch:
        capture = chosen.capture or Path(folder) / "looped.pcap"
        if chosen.capture is None:
            write_capture(capture, chosen.flows, chosen.frame, chosen.pipeline)
        set_up(switch, chosen.pipeline)
        start_playing(switch, capture.resolve())
        time.sleep(LONG_WARM_UP_S if chosen.flows >= MANY_FLOWS else WARM_UP_S)
        found = rate(switch, chosen.seconds)
        if chosen.switch == "ours" and (drops := switch.appctl("drops/show").strip()):
            raise StepError(f"packets were dropped:\n{drops}")
    name = f"looped_{chosen.flows}" if chosen.pipeline == "output" else f"looped_{chosen.pipeline}"
    return {name: (found / 1e6, "Mpps")}


def main() -> int:
    """Print million packets per second."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--switch", choices=("ours", "dpdk"), default="ours")
    parser.add_argument("--pipeline", choices=tuple(PIPELINES), default="output")
    parser.add_argument("--flows", type=int, default=32)
    parser.add_argument("--frame", type=int, default=60, help="bytes")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--capture", type=Path, help="capture file to play instead of UDP flows")
    return load.main(measure, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
