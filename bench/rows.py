"""What `make bench` runs and asks for: scripts with their sides, and for each figure the ratio that issue 4 demands."""

from __future__ import annotations

from typing import NamedTuple

OURS = "ours"
PEERS = {  # --switch -> heading
    "ovs": "Open vSwitch 3.1, userspace",
    "ovs-tso": "Open vSwitch 3.1, userspace, TSO",
    "dpdk": "Open vSwitch 3.1 with DPDK",
    "bridge": "Linux bridge",
}
PAIR = (OURS, "ovs")
DPDK = (OURS, "dpdk")
ALONE = (OURS,)


class Script(NamedTuple):
    """One script: its module and arguments, the switches it is run with (ours first), a bare number's name and unit."""

    module: str
    args: tuple[str, ...] = ()
    sides: tuple[str, ...] = PAIR
    bare: tuple[str, str] | None = None
    most_pairs: int = 99  # for those that take long

    def command(self, switch: str = OURS) -> list[str]:
        """Return the arguments of Python that run it."""
        chosen = ["--switch", switch] if len(self.sides) > 1 else []
        return ["-m", f"bench.{self.module}", *self.args, *chosen]


class Measure(NamedTuple):
    """One figure: what it is, whether more is better, the ratios to each peer that it must and should reach.

    bound and goal_bound: the same for our own value, where no peer is the measure.
    """

    text: str
    more: bool
    must: dict[str, float] = {}
    bound: float | None = None
    goal: dict[str, float] = {}
    goal_bound: float | None = None


def looped(flows: int, pipeline: str = "output") -> Script:
    """Return the script of a looped capture."""
    words = ("--flows", str(flows)) + (("--pipeline", pipeline) if pipeline != "output" else ())
    return Script("looped", words, DPDK)


SCRIPTS: tuple[Script, ...] = (
    looped(32),
    looped(1_000),
    looped(10_000),
    looped(200_000),
    looped(10_000, "udp"),
    looped(1_000, "fields"),
    looped(10_000, "masks"),
    Script("veth", (), (OURS, "ovs", "bridge")),
    Script("veth", ("--saturate", "1")),
    Script("veth", ("--saturate", "1", "--type", "afxdp")),
    Script("veth", ("--sink", "answering")),
    Script("tcp", (), (OURS, "ovs-tso", "bridge")),
    Script("tcp", ("--device", "tap"), (OURS, "ovs-tso")),
    Script("pingpong", (), (OURS, "ovs", "bridge")),
    Script("pingpong", ("--busy", "1"), (OURS, "ovs", "bridge")),
    Script("misses_looped", (), DPDK),
    Script("misses_veth"),
    Script("ofctl_add_flows", (), PAIR, None, 3),
    Script("ofctl_bundle", (), PAIR, None, 3),
    Script("edits_flood", (), DPDK, None, 3),
    Script("megaflow_memory", (), PAIR, None, 3),
    Script("idle"),
    Script("idle", ("--ports", "100"), PAIR, None, 3),
    Script("inmemory", ("--flows", "1"), ALONE, ("inmemory_1_flow", "Mpps")),
    Script("inmemory", ("--flows", "1000"), ALONE, ("inmemory_1000_flows", "Mpps")),
    Script("forwarders", (), ALONE, ("forwarders", "-")),
    Script("masks", (), ALONE, ("masks", "-")),
    Script("growth", (), ALONE, ("growth", "-"), 3),
    Script("classifier", (), ALONE, ("classifier_inserts", "1/s"), 3),
    Script("flow_mods", (), ALONE, ("flow_mods_in_memory", "s")),
)
LOOPED = "looped capture to null, 60 bytes, "
# In the order of the table; a figure that is not named here is shown behind them.
MEASURES: dict[str, Measure] = {
    "looped_32": Measure(LOOPED + "32 flows", True, {"dpdk": 1.5}, goal={"dpdk": 3.0}),
    "looped_1000": Measure(LOOPED + "1,000 flows", True, {"dpdk": 1.5}, goal={"dpdk": 3.0}),
    "looped_10000": Measure(LOOPED + "10,000 flows", True, {"dpdk": 1.5}, goal={"dpdk": 3.0}),
    "looped_200000": Measure(LOOPED + "200,000 flows", True, {"dpdk": 1.5}, goal={"dpdk": 3.0}),
    "looped_udp": Measure(LOOPED + "10,000 flows, the rule matches UDP", True, {"dpdk": 1.5}, goal={"dpdk": 3.0}),
    "looped_fields": Measure(LOOPED + "1,000 flows, 3 tables that set fields", True, {"dpdk": 1.5}, goal={"dpdk": 3.0}),
    "looped_masks": Measure(LOOPED + "10,000 flows, 20 masks", True, {"dpdk": 1.5}, goal={"dpdk": 3.0}),
    "veth": Measure("packets veth to veth, 60 bytes UDP, 1 flow", True),
    "veth_cpu": Measure("... for each second of the switch's processor time", True),
    "veth_saturated": Measure("... from a generator that saturates", True, {"ovs": 2.5}, goal={"ovs": 3.0}),
    "veth_saturated_afxdp": Measure("... the same, our ports by AF_XDP", True, {"ovs": 3.0}, goal={"ovs": 3.5}),
    "veth_answering": Measure("... to a receiver that answers with ICMP", True, {"ovs": 1.6}, goal={"ovs": 2.0}),
    "tcp": Measure(
        "TCP veth to veth, iperf3, default offloads",
        True,
        {"ovs-tso": 1.2, "bridge": 0.8},
        goal={"ovs-tso": 1.5, "bridge": 0.95},
    ),
    "tcp_tap": Measure("TCP TAP to TAP, iperf3, default offloads", True, {"ovs-tso": 1.2}, goal={"ovs-tso": 1.5}),
    "pingpong": Measure("round trip of a small packet, sleeping, median", False, {"ovs": 0.6}, goal={"ovs": 0.45}),
    "pingpong_p99": Measure("... 99th percentile", False),
    "pingpong_busy": Measure("... nobody sleeping, median", False, {"ovs": 0.25}, goal={"ovs": 0.15}),
    "pingpong_busy_p99": Measure("... nobody sleeping, 99th percentile", False),
    "new_flows": Measure("new flows, every packet a miss, 5-tuple megaflows", True, {"dpdk": 2.0}, goal={"dpdk": 5.0}),
    "misses": Measure("packets veth to veth, every one the first of its flow", True),
    "misses_cpu": Measure("... for each second of the switch's processor time", True),
    "add_flows": Measure("100,000 flows by ovs-ofctl add-flows, idle", False, {"ovs": 1.0}, goal={"ovs": 0.5}),
    "add_flows_cpu": Measure("... the switch's processor time for them", False),
    "dump_flows": Measure("dump-flows of these 100,000 flows", False, {"ovs": 1.0}, goal={"ovs": 0.5}),
    "memory_flows": Measure("resident memory with these 100,000 flows", False, {"ovs": 1.0}, goal={"ovs": 0.5}),
    "bundle": Measure("100,000 flows in one bundle", False, {"ovs": 1.0}, goal={"ovs": 0.5}),
    "edits_flood": Measure(
        "flows added by ovs-ofctl add-flows during a flood of misses", True, {"dpdk": 20.0}, goal={"dpdk": 70.0}
    ),
    "edits_flood_misses": Measure("... misses at the same time", True),
    "megaflow_bytes": Measure("memory of a megaflow, of 200,000", False, {"ovs": 1.0}, goal={"ovs": 0.5}),
    "idle_cpu": Measure("processor time, two silent ports, share of a core", False),
    "memory": Measure("resident memory, two silent ports", False),
    "idle_cpu_100": Measure("processor time, 100 silent ports, share of a core", False, {"ovs": 1.0}, goal_bound=0.5),
    "memory_100": Measure("resident memory, 100 silent ports", False),
    "inmemory_1_flow": Measure("packets in memory, 64 bytes, 1 flow, one forwarder", True),
    "inmemory_1000_flows": Measure("packets in memory, 64 bytes, 1,000 flows, one forwarder", True),
    "forwarders": Measure("rate of 2 forwarders in memory, of 2 processes that share nothing", True, bound=0.9),
    "masks": Measure("cost of a packet with 64 masks, of that with 1", False, bound=64.0),
    "growth": Measure("cost of a flow-mod at 1,000,000 flows, of the first 10,000", False, bound=1.5),
    "classifier_inserts": Measure("inserts into a classifier of 1,000,000 rules, 64 masks", True),
    "flow_mods_in_memory": Measure("100,000 flow-mods, prepared messages, no socket", False),
}
# Why a figure falls short of what is demanded, shown only while it does: by its name, or name and peer ("tcp bridge").
REASONS: dict[str, str] = {
    "veth_saturated": "four fifths of the forwarder's time are the kernel's, which sends frame by frame into the veth",
    "veth_answering": "the receiver's stack answers on the forwarder's processor, a third of its time with any switch",
    "tcp bridge": "every byte is copied out of the kernel and into it again; the bridge passes the buffers on",
    "tcp_tap": "read and write copy every byte, which both switches do alike",
    "add_flows": "ovs-ofctl waits for a barrier after each flow, which here is a round trip through asyncio",
    "pingpong": "both ends are woken on a halted processor, two of the four wake-ups of a round trip",
    "idle_cpu_100": "timers of the control thread and of forwarders do not fall together, so it wakes up more often",
    "masks": "each mask more is a hash of the key's words and a probe of memory",
}
# Seconds of one run, about: what is printed first, so that nobody waits for a result of half an hour.
SECONDS: dict[str, float] = {
    "looped": 8.0,
    "misses_veth": 8.0,
    "ofctl_bundle": 3.0,
    "edits_flood": 18.0,
    "megaflow_memory": 8.0,
    "idle": 14.0,
    "inmemory": 3.0,
    "growth": 8.0,
    "flow_mods": 2.0,
}
USUAL_SECONDS, CURVES_SECONDS, MICRO_SECONDS = 5.0, 400.0, 90.0


def estimate_s(scripts: list[Script], pairs: int, absent: dict[str, str]) -> float:
    """Return about how many seconds it takes to run scripts in pairs without the peers that are not there."""
    runs = {script: min(pairs, script.most_pairs) * len(set(script.sides) - absent.keys()) for script in scripts}
    return sum(n * SECONDS.get(script.module, USUAL_SECONDS) for script, n in runs.items())


def reason(name: str, peer: str | None) -> str:
    """Return why a figure falls short against a peer, or against its own bound."""
    return REASONS.get(f"{name} {peer}") or REASONS.get(name) or "no reason is on record"


def label(script: Script) -> str:
    """Return the name under which a failure of a script is told."""
    return script.bare[0] if script.bare else " ".join((script.module, *script.args))
