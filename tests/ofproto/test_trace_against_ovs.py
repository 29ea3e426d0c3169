"""ofproto/trace against a real ovs-vswitchd: the same flows and packets, the same text (AP.13).

What differs on purpose is taken out of the comparison: the number of the frozen state of a controller action (we freeze
nothing); the order of ports within a flood; OpenFlow 1.0's name of pop_vlan; that Open vSwitch shows an internal rule
where nothing matched behind a patch port; and the megaflow, whose mask is smaller here, as what a translation does not
look at is not matched.
"""

from __future__ import annotations

import difflib
import itertools
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ofproto.real_switch import installed, real_switch
from tests.ofproto.trace_cases import CASES, Case
from tests.ofproto.trace_rig import Traced

pytestmark = [pytest.mark.skipif(not installed(), reason="needs Debian's openvswitch-switch"), pytest.mark.ovs_tools]


class Real:
    """The real switch: br0 with ports 1-4 and a patch port 10 to br1, which has port 2 besides."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vsctl("set", "Open_vSwitch", ".", "other_config:vlan-limit=2")
        words = "set-fail-mode br0 secure -- add-br br1 -- set bridge br1 datapath_type=dummy fail_mode=secure"
        for number in range(1, 5):
            words += f" -- add-port br0 p{number} -- set interface p{number} type=dummy ofport_request={number}"
        words += " -- add-port br0 pa -- set interface pa type=patch options:peer=pb ofport_request=10"
        words += " -- add-port br1 pb -- set interface pb type=patch options:peer=pa ofport_request=1"
        words += " -- add-port br1 q2 -- set interface q2 type=dummy ofport_request=2"
        self.vsctl(*words.split())
        lines = self.appctl("dpctl/show").stdout
        self.dp_ports = {name: int(number) for number, name in re.findall(r"port (\d+): (\S+)", lines)}

    def vsctl(self, *words: str) -> None:
        subprocess.run(["ovs-vsctl", f"--db=unix:{self.folder}/db.sock", "--timeout=20", *words], check=True)

    def appctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        pid = (self.folder / "ovs-vswitchd.pid").read_text().strip()
        command = ["ovs-appctl", "-t", f"{self.folder}/ovs-vswitchd.{pid}.ctl", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)

    def flows(self, bridge: str, flows: tuple[str, ...]) -> None:
        target = f"{self.folder}/{bridge}.mgmt"
        subprocess.run(["ovs-ofctl", "-O", "OpenFlow13", "del-flows", target], check=True)
        command = ["ovs-ofctl", "-O", "OpenFlow13", "add-flows", target, "-"]
        subprocess.run(command, input="\n".join(flows), text=True, check=True)

    def setup(self, case: Case) -> None:
        """Take over the flows and VLANs of a case and forget what was learned."""
        words = "clear port p2 tag trunks vlan_mode" + (f" -- set port p2 {case.vlan}" if case.vlan else "")
        self.vsctl(*words.split())
        self.flows("br0", case.flows)
        self.flows("br1", case.flows1)
        self.appctl("fdb/flush")

    def trace(self, words: str) -> str:
        """Return the answer, or the error, of ofproto/trace for a packet of br0."""
        done = self.appctl("ofproto/trace", "br0", *(words.split() or [""]))
        return done.stdout if done.returncode == 0 else done.stderr


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    with real_switch(tmp_path_factory.mktemp("ovs")) as path:
        yield Real(path.parent)


def split(actions: str) -> list[str]:
    """Return datapath actions one by one."""
    return re.findall(r"(?:[^,(]|\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))+", actions)


def flood_sorted(actions: str, _flow: str = "") -> str:
    """Return datapath actions with each run of plain outputs in order."""
    runs = [list(run) for _, run in itertools.groupby(split(actions), key=lambda part: part.isalnum())]
    return ",".join(",".join(sorted(run)) if run[0].isalnum() else ",".join(run) for run in runs)


def ports_and_tags(actions: str, flow: str) -> str:
    """Return which port gets the packet with which VLAN tag, whatever the order of ports; flow: of the packet."""
    tag, outputs = re.sub(r".*dl_vlan=(\d+),dl_vlan_pcp=(\d).*", r"vid=\1,pcp=\2", flow), []
    for part in split(actions):
        if part.isalnum():
            outputs.append(f"{part} tagged {tag}")
        elif part == "pop_vlan":
            tag = "no"
        else:
            tag = re.sub(r".*vlan\(([^()]*)\)+", r"\1", part)
    return ", ".join(sorted(outputs))


def comparable(text: str, actions_form: Callable[[str, str], str] = flood_sorted) -> list[str]:
    """Return the lines that must agree."""
    lines = []
    for line in text.rstrip("\n").splitlines():
        line = line.replace("strip_vlan", "pop_vlan").replace(" 0. reg0=0x2, priority 0", " 0. No match.")
        line = re.sub(r"recirc_id=\d+,rule", "recirc_id=N,rule", line)
        head, colon, actions = line.partition("Datapath actions: ")
        if colon:
            line = head + colon + actions_form(actions, text.partition("\n")[0])
        if not line.startswith(("Megaflow: ", "ovs-appctl: ")):
            lines.append(line)
    return lines


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_text_is_open_vswitchs(real: Real, case: Case) -> None:
    ours = Traced(real.dp_ports)
    ours.setup(case)
    real.setup(case)
    form = ports_and_tags if case.vlan else flood_sorted
    differing = []
    for words in case.packets:
        a, b = (comparable(switch.trace(words), form) for switch in (ours, real))
        if a != b:
            differing.append("\n".join(difflib.unified_diff(b, a, f"Open vSwitch: {words}", "ours", lineterm="", n=2)))
    assert not differing, "\n".join(differing)


FIELD = re.compile(r"[a-z0-9_]+(?==)")


def megaflow(text: str) -> set[str]:
    """Return the names of the fields that a trace says the translation depends on, protocols as the fields they are."""
    (line,) = [line for line in text.splitlines() if line.startswith("Megaflow: ")]
    names = set(FIELD.findall(line))
    word = re.search(r"eth,(tcp6?|udp6?|sctp6?|icmp6?)(,|$)", line)
    return names | {"nw_proto"} if word else names


# What only we match: the mark, which goes into packet-ins; the opcode by which gratuitous ARP is told; and whether
# there are tags, where Open vSwitch leaves it to the datapath that a flow without a tag matches untagged packets only.
OURS_ALONE = {"pkt_mark", "arp_op", "vlan_tci", "vlan_tci1", "dl_vlan_pcp"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_megaflow_matches_no_field_that_open_vswitch_does_not_match(real: Real, case: Case) -> None:
    if case.name == "mistakes":
        return
    ours = Traced(real.dp_ports)
    ours.setup(case)
    real.setup(case)
    for words in case.packets:
        fields = [megaflow(switch.trace(words)) for switch in (ours, real)]
        assert fields[0] - fields[1] <= OURS_ALONE, words
