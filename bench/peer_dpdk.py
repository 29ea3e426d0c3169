"""Open vSwitch with DPDK as a peer: Debian's packages unpacked into build/dpdk; net_pcap loops captures into net_null.

`unpack` fetches the packages through apt into that folder and installs nothing, because the package would put its own
ovs-vswitchd in place of the machine's. Memory is 2 MB pages where the machine gives them, ordinary pages otherwise
(`--no-huge`, slower: the figure then says so on stderr).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from bench.peer import OpenVSwitch, StepError, run
from bench.sandbox import ROOT

FOLDER = Path(os.environ.get("CYVSWITCH_DPDK", ROOT / "build" / "dpdk"))
PACKAGES = ("openvswitch-switch-dpdk", "librte-net-pcap23", "librte-net-null23", "librte-mempool-ring23")
DAEMON = FOLDER / "usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
LIBRARIES = FOLDER / "usr/lib/x86_64-linux-gnu"
DRIVERS = ("bus_vdev", "mempool_ring", "net_pcap", "net_null")  # preloaded: DPDK's -d refuses folders below /tmp
PAGES_FILE = Path("/proc/sys/vm/nr_hugepages")
PAGES = 800  # of 2 MB
MEMORY_MIB = 1400  # 262,144 packet buffers, as many as Open vSwitch asks for
SPARE_MIB = 4096  # what the machine must have free besides the pages
MAIN_CORES, FORWARDER_CORES = "0x1", "0x2"


def unpack() -> None:
    """Fetch and unpack the packages that the machine lacks; raises StepError with the reason when that cannot be."""
    if DAEMON.exists():
        return
    planned = run(["apt-get", "install", "-s", "--no-install-recommends", *PACKAGES])
    names = [line.split()[1] for line in planned.splitlines() if line.startswith("Inst ")]
    archives = FOLDER / "archives"
    archives.mkdir(parents=True, exist_ok=True)
    fetch = subprocess.run(["apt-get", "download", "-qq", *names], cwd=archives, capture_output=True, text=True)
    if fetch.returncode:
        raise StepError(f"apt-get download: {fetch.stderr.strip()}")
    for archive in archives.glob("*.deb"):
        run(["dpkg", "-x", str(archive), str(FOLDER)])


class OpenVSwitchDpdk(OpenVSwitch):
    """ovs-vswitchd-dpdk with one forwarding thread on a processor of its own."""

    label = "Open vSwitch with DPDK"
    pages_before: int | None = None

    def daemon(self) -> str:
        """See OpenVSwitch."""
        super().daemon()
        if not DAEMON.exists():
            raise StepError("Open vSwitch with DPDK is not in build/dpdk (python -m bench.peer_dpdk fetches it)")
        return str(DAEMON)

    def start(self) -> float:
        """See Switch."""
        self.env["LD_LIBRARY_PATH"] = str(LIBRARIES)
        extra = "--no-pci"
        if pages := self.huge_pages():
            memory = [f"dpdk-socket-mem={MEMORY_MIB}", f"dpdk-hugepage-dir={pages}"]
        else:
            print("note: no 2 MB pages here, DPDK runs on ordinary ones", file=sys.stderr)
            extra += f" --no-huge -m {MEMORY_MIB}"
            memory = []
        self.settings = (
            "dpdk-init=true",
            f"dpdk-lcore-mask={MAIN_CORES}",
            f"pmd-cpu-mask={FORWARDER_CORES}",
            f'dpdk-extra="{extra}"',
            *memory,
        )
        return super().start()

    def spawn(self, *command: str) -> None:
        """See Switch; the daemon gets its drivers."""
        if command[0] == str(DAEMON):
            drivers = [str(LIBRARIES / "dpdk/pmds-23.0" / f"librte_{name}.so.23") for name in DRIVERS]
            command = ("env", f"LD_PRELOAD={' '.join(drivers)}", *command)
        super().spawn(*command)

    def huge_pages(self) -> Path | None:
        """Reserve 2 MB pages and return where they are mounted, or nothing where the machine has none to give."""
        folder = self.rundir / "pages"
        folder.mkdir()
        try:
            before = int(PAGES_FILE.read_text())
            if before < PAGES:
                if available_mib() < 2 * PAGES + SPARE_MIB:
                    return None
                PAGES_FILE.write_text(str(PAGES))
                self.pages_before = before
            if int(PAGES_FILE.read_text()) < PAGES:
                return None
            run(["mount", "-t", "hugetlbfs", "-o", "pagesize=2M", "none", str(folder)])
        except (OSError, StepError):
            return None
        return folder

    def stop(self) -> list[int]:
        """See Switch; gives the pages back."""
        with contextlib.suppress(StepError):
            run(["umount", "-l", str(self.rundir / "pages")])
        codes = super().stop()
        if self.pages_before is not None:
            PAGES_FILE.write_text(str(self.pages_before))
            self.pages_before = None
        return codes

    def capture_port(self, name: str, number: int, capture: Path, *, forever: bool = True) -> list[str]:
        """See Switch."""
        device = f"options:dpdk-devargs=net_pcap{number},rx_pcap={capture}" + (",infinite_rx=1" if forever else "")
        return ["set", "Interface", name, "type=dpdk", f"ofport_request={number}", device]

    def null_port(self, name: str, number: int) -> list[str]:
        """See Switch; no-rx, because net_null otherwise makes up packets, which would cost the peer time."""
        device = f"options:dpdk-devargs=net_null{number},no-rx=1"
        return ["set", "Interface", name, "type=dpdk", f"ofport_request={number}", device]


def available_mib() -> int:
    """Return how much memory the machine has to give."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return 0


def main() -> int:
    """Fetch Open vSwitch with DPDK; a reason why not is no failure."""
    try:
        unpack()
    except StepError as error:
        print(f"Open vSwitch with DPDK is left out: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
