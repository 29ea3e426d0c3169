"""Packets per second through a running daemon without network devices: looped capture -> output -> null, one forwarder.

usage: python -m bench.looped [--flows N] [--frame BYTES] [--periods P] [--path FILE]
The daemon is set up by ovs-vsctl (a `pcap` port with infinite_rx, a `null` port) and ovs-ofctl, and pinned to one
processor; the figure is the growth of the null port's Interface.statistics:tx_packets between the daemon's reports, as
any operator would read it. Prints the median over the periods, in million packets per second.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import struct
import sys
import tempfile
import time
from pathlib import Path

from bench.inmemory import frame
from bench.peer import Ours, StepError, two_cpus
from datapath.ports import pcap_file
from ovsdb.idl import Idl
from vslib.errors import SwitchError

BRIDGE, SOURCE, SINK = "br-loop", "source", "sink"
PERIOD_TIMEOUT_S = 15.0  # the daemon reports every 5 s


def write_capture(path: Path, flows: int, n_bytes: int) -> None:
    """Write a capture file with one UDP frame per flow."""
    frames = [frame(flow, n_bytes) for flow in range(flows)]
    records = b"".join(struct.pack("=IIII", 0, 0, len(one), len(one)) + one for one in frames)
    path.write_bytes(pcap_file.header() + records)


def set_up(switch: Ours, capture: Path) -> None:
    """Make the bridge, its flow and its two ports."""
    words = ["add-br", BRIDGE, "--", "set-fail-mode", BRIDGE, "secure"]
    words += ["--", "add-port", BRIDGE, SINK, "--", "set", "Interface", SINK, "type=null", "ofport_request=2"]
    switch.tool("ovs-vsctl", "--timeout=20", *words)
    switch.tool("ovs-ofctl", "add-flow", BRIDGE, "in_port=1,actions=output:2")
    words = ["add-port", BRIDGE, SOURCE, "--", "set", "Interface", SOURCE, "type=pcap", "ofport_request=1"]
    words += [f"options:rx_pcap={capture}", "options:infinite_rx=true"]
    switch.tool("ovs-vsctl", "--timeout=20", *words)
    for name in (SOURCE, SINK):
        error = switch.tool("ovs-vsctl", "--timeout=20", "get", "Interface", name, "error").strip()
        if error != "[]":
            raise StepError(f"{name}: {error}")


async def rates(database: str, periods: int) -> list[float]:
    """Return packets per second sent to the null port in each period between two reports of the daemon."""
    idl = Idl({"Interface": ["name", "statistics"]})
    await idl.connect(database)
    seen: list[tuple[float, int]] = []
    try:
        while len(seen) < periods + 2:  # the first report may be old
            await asyncio.wait_for(idl.wait_change(), PERIOD_TIMEOUT_S)
            row = idl.tables["Interface"].find(name=SINK)
            sent = row.statistics.get("tx_packets", 0) if row is not None else 0
            if not seen or sent != seen[-1][1]:
                seen.append((time.monotonic(), sent))
    finally:
        await idl.close()
    return [(b[1] - a[1]) / (b[0] - a[0]) for a, b in zip(seen[1:], seen[2:], strict=False)]


def measure(chosen: argparse.Namespace) -> float:
    """Return packets per second. Raises StepError when a packet was dropped."""
    with tempfile.TemporaryDirectory() as folder:
        capture = chosen.path or Path(folder) / "looped.pcap"
        if chosen.path is None:
            write_capture(capture, chosen.flows, chosen.frame)
        switch = Ours(two_cpus()[0])
        with switch:
            set_up(switch, capture.resolve())
            found = asyncio.run(rates(switch.database, chosen.periods))
            drops = switch.appctl("drops/show")
            if drops.strip():
                raise StepError(f"packets were dropped:\n{drops}")
    return statistics.median(found)


def main() -> int:
    """Print million packets per second."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--flows", type=int, default=32)
    parser.add_argument("--frame", type=int, default=60, help="bytes")
    parser.add_argument("--periods", type=int, default=2, help="of 5 seconds")
    parser.add_argument("--path", type=Path, help="capture file to play instead of UDP flows")
    try:
        print(f"{measure(parser.parse_args()) / 1e6:.2f}")
    except (StepError, SwitchError, TimeoutError) as error:
        print(f"looped: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
