"""`ovs-appctl ofproto/trace` of the daemon: the ports, bridges and clock of a running switch behind it (AP.13)."""

from __future__ import annotations

import pytest

from tests.peers.daemon import Daemon, device, needs_tools

pytestmark = [needs_tools, pytest.mark.root, pytest.mark.ovs_tools]

FRAME = "ffffffffffff0000000000010806" + "0001080006040001" + "0000000000010a000001" + "0000000000000a000002"


@pytest.fixture(scope="module")
def ports(daemon: Daemon):
    """A bridge with two internal ports, and a second one behind a patch port; yields the names of the ports."""
    br, br2, one, two = (device(prefix) for prefix in ("br", "bs", "pa", "pb"))
    words = f"add-br {br} -- set-fail-mode {br} secure -- add-br {br2} -- set-fail-mode {br2} secure"
    for number, port in ((1, one), (2, two)):
        words += f" -- add-port {br} {port} -- set interface {port} type=internal ofport_request={number}"
    words += f" -- add-port {br} {br}x -- set interface {br}x type=patch options:peer={br2}x ofport_request=9"
    words += f" -- add-port {br2} {br2}x -- set interface {br2}x type=patch options:peer={br}x ofport_request=1"
    daemon.vsctl(*words.split())
    yield br, br2, one, two
    daemon.vsctl("del-br", br, "--", "del-br", br2)


def test_a_packet_is_followed_through_the_bridges(daemon, ports):
    br, br2, one, _two = ports
    daemon.ofctl("add-flow", br, "in_port=1,actions=2,9")
    daemon.ofctl("add-flow", br2, "in_port=1,arp,actions=LOCAL")
    lines = daemon.appctl("ofproto/trace", br, f"arp,in_port={one}").splitlines()
    assert lines[1:15] == [
        "", f'bridge("{br}")', "-" * (len(br) + 10), " 0. in_port=1, priority 32768", "    output:2", "    output:9",
        "", f'bridge("{br2}")', "-" * (len(br2) + 10), " 0. arp,in_port=1, priority 32768", "    LOCAL", "",
        "Final flow: unchanged", "Megaflow: recirc_id=0,eth,arp,in_port=1",
    ]  # fmt: skip
    assert lines[15].startswith("Datapath actions: ")


def test_names_are_printed_on_demand(daemon, ports):
    br, br2, one, two = ports
    daemon.ofctl("add-flow", br, "in_port=1,actions=2,9")
    daemon.ofctl("add-flow", br2, "in_port=1,arp,actions=LOCAL")
    text = daemon.appctl("ofproto/trace", "--names", br, "arp,in_port=1")
    assert f"    output:{two}\n    output:{br}x\n" in text and f"in_port={one}," in text
    assert text.rstrip("\n").endswith(f"Datapath actions: {two},{br2}")


def test_a_datapath_flow_and_a_packet_are_accepted(daemon, ports):
    br, _br2, one, _two = ports
    daemon.ofctl("add-flow", br, "in_port=1,actions=NORMAL")
    text = daemon.appctl("ofproto/trace", f"in_port({one})", FRAME)
    assert text.startswith("Flow: arp,in_port=1,vlan_tci=0x0000,dl_src=00:00:00:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff,")
    assert f" -> learned that 00:00:00:00:00:01 is on port {one} in VLAN 0\n" in text
    assert "00:00:00:00:00:01" in daemon.appctl("fdb/show", br)


def test_flows_count_nothing_of_it(daemon, ports):
    br, *_ = ports
    daemon.ofctl("add-flow", br, "in_port=2,actions=NORMAL")
    for _ in range(3):
        daemon.appctl("ofproto/trace", br, "in_port=2", "-generate")
    assert "n_packets=0" in daemon.ofctl("dump-flows", br, "in_port=2")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["nosuch", "in_port=1"], "nosuch: unknown bridge"),
        (["{br}", "in_port=nosuch"], "Bad openflow flow syntax: in_port=nosuch: bad value for in_port "
         "(nosuch: invalid or unknown port for in_port)"),
        (["{br}", "in_port=1", "00zz"], "Trailing garbage in packet data"),
        (["in_port(7777)"], "no OpenFlow port for datapath port 7777"),
        ([], '"ofproto/trace" command requires at least 1 arguments'),
    ],
)  # fmt: skip
def test_mistakes_are_named(daemon, ports, words, reason):
    error = daemon.fails("ovs-appctl", "ofproto/trace", *(word.format(br=ports[0]) for word in words))
    assert error == f"{reason}\novs-appctl: ovs-vswitchd: server returned an error\n"
