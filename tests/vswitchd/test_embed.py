"""The embedded switch does what the daemon does, in one process, the same in every run (D2, PT.28, DB.46)."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import RawPcapReader

from ofproto.errors import OpenFlowError
from vslib.clock import CLOCK
from vslib.errors import ConfigError, SwitchError
from vswitchd import Switch
from vswitchd.embed_flows import FlowTextError
from vswitchd.pytest_plugin import switch as _switch

switch = _switch
ROOT = Path(__file__).parents[2]
ROUNDS = 1000
H1, H2 = "02:00:00:00:00:01", "02:00:00:00:00:02"


def frame(src: str = H1, dst: str = H2, payload: bytes = b"hello") -> bytes:
    return bytes(Ether(src=src, dst=dst) / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2) / payload)


def blocks(marker: str) -> list[str]:
    """The Python examples of the documentation that contain `marker`."""
    texts = [(ROOT / name).read_text() for name in ("README.md", "docs/OPERATING.md")]
    found = [block for text in texts for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]
    return [block for block in found if marker in block]


def output(code: object) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, {})
    return out.getvalue()


class TestExample:
    @pytest.mark.parametrize("block", blocks("from vswitchd import Switch"))
    def test_the_documented_example_runs_the_same_a_thousand_times(self, block, caplog):
        caplog.set_level("WARNING", "vlog")  # or pytest keeps ten thousand lines
        code = compile(block, "example", "exec")
        results = {output(code) for _ in range(ROUNDS)}
        assert len(results) == 1
        [text] = results
        assert "n_packets=1, n_bytes=19, in_port=1 actions=output:2" in text
        assert "in_port(a)" in text and "actions:b" in text

    def test_the_documented_test_passes(self, switch):
        [block] = blocks("def test_unknown_addresses_are_flooded")
        namespace: dict = {}
        exec(block, namespace)
        namespace["test_unknown_addresses_are_flooded"](switch)

    def test_it_runs_inside_an_event_loop_and_leaves_the_clock_alone(self):
        async def main() -> None:
            before = CLOCK.now_ns()
            with Switch() as one, Switch() as two:
                for each, seconds in ((one, 5), (two, 7)):
                    a = each.add_bridge("br0").add_port("a")
                    each.advance(seconds)
                    a.send(frame())
                assert (one.now, two.now) == (5, 7)
            assert 0 <= CLOCK.now_ns() - before < 5e9
            await asyncio.sleep(0)

        asyncio.run(main())

    def test_it_starts_no_thread_opens_no_file_and_gives_back_its_descriptors(self):
        threads, descriptors, files = threading.active_count(), len(os.listdir("/proc/self/fd")), os.listdir(".")
        with Switch() as sw:
            sw.add_bridge("br0").add_port("a").send(frame())
            assert threading.active_count() == threads
        assert len(os.listdir("/proc/self/fd")) == descriptors
        assert os.listdir(".") == files

    def test_threads_may_have_one_each(self):
        def play(results: list) -> None:
            for _ in range(10):
                with Switch() as sw:
                    br = sw.add_bridge("br0")
                    a, b = br.add_port("a"), br.add_port("b")
                    for _ in range(5):
                        sw.advance(2.5)
                        a.send(frame())
                    results.append((b.recv_all(), sw.now, br.dump_flows(), sw.dump_megaflows(), br.fdb()))

        results: list = []
        threads = [threading.Thread(target=play, args=(results,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 40 and all(result == results[0] for result in results)
        assert results[0][:2] == ([frame()] * 5, 12.5)

    def test_a_closed_switch_says_so(self):
        sw = Switch()
        a = sw.add_bridge("br0").add_port("a")
        sw.close()
        sw.close()
        for use in (lambda: sw.add_bridge("br1"), lambda: sw.advance(1), lambda: a.send(frame())):
            with pytest.raises(ConfigError, match="closed"):
                use()

    def test_the_plugin_and_the_package_import_nothing_heavy(self):
        code = "import sys, vswitchd, vswitchd.pytest_plugin; print(*sys.modules)"
        loaded = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        assert (
            not {"asyncio", "ofproto", "datapath", "ovsdb", "vswitchd.embed"}
            & {name for name in loaded.split() if not name.startswith("_")} - preloaded()
        )


def preloaded() -> set[str]:
    """What pytest, which every user of the plugin has, loads itself."""
    code = "import sys, pytest; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


class TestPackets:
    def test_bytes_and_scapy_packets_are_taken_and_bytes_are_given(self, switch):
        br = switch.add_bridge("br0")
        a, b = br.add_port("a"), br.add_port("b")
        br.add_flow("in_port=a,actions=b")
        packet = Ether(frame())
        a.send(packet, bytearray(frame()), memoryview(frame()))
        assert b.recv() == frame()
        assert b.recv_all() == [frame(), frame()]
        assert b.recv() is None and b.recv_all() == []

    def test_a_bridge_learns_and_forgets_after_mac_aging_time(self, switch):
        br = switch.add_bridge("br0", other_config={"mac-aging-time": "20"})
        a, b, c = (br.add_port(name) for name in "abc")
        a.send(frame())
        assert (len(b.recv_all()), len(c.recv_all())) == (1, 1)
        b.send(frame(H2, H1))
        assert (len(a.recv_all()), len(c.recv_all())) == (1, 0)
        assert br.fdb() == [("a", 0, H1, 0), ("b", 0, H2, 0)]
        switch.advance(19)
        assert [age for *_, age in br.fdb()] == [19, 19]
        switch.advance(3)
        assert br.fdb() == []

    def test_vlans_of_access_and_trunk_ports_keep_apart(self, switch):
        br = switch.add_bridge("br0")
        a, b, c = br.add_port("a", tag=10), br.add_port("b", tag=20), br.add_port("c", trunks=[10, 30])
        a.send(frame())
        assert b.recv() is None
        tagged = c.recv()
        assert tagged is not None and tagged[12:16] == bytes.fromhex("8100000a")
        b.set(tag=10)
        a.send(frame())
        assert b.recv() == frame()
        b.set(tag=None, vlan_mode="native-untagged")
        a.send(frame())
        assert b.recv() == tagged

    def test_more_than_a_queue_holds_is_dropped_by_name(self, switch):
        br = switch.add_bridge("br0", fail_mode="secure")
        a, b = br.add_port("a"), br.add_port("b")
        br.add_flow("actions=b")
        a.send(*[frame()] * 5000)
        assert len(b.recv_all()) == 4096 and switch.drops() == {"tx_full": 904}
        assert (a.stats["rx_packets"], b.stats["tx_packets"], b.stats["tx_dropped"]) == (5000, 4096, 904)

    def test_bridges_are_joined_by_patch_ports(self, switch):
        one, two = switch.add_bridge("br0"), switch.add_bridge("br1")
        a, b = one.add_port("a"), two.add_port("b")
        ends = switch.connect(one, two)
        assert [end.name for end in ends] == ["patch-br0-br1", "patch-br1-br0"]
        a.send(frame())
        assert b.recv() == frame()
        assert two.fdb() == [("patch-br1-br0", 0, H1, 0)]
        with pytest.raises(ConfigError, match="no port that packets can be sent to"):
            ends[0].send(frame())

    def test_the_local_port_is_one_too(self, switch):
        br = switch.add_bridge("br0")
        a = br.add_port("a")
        a.send(frame())
        assert br.local.recv() is None  # discarded: nobody had asked for it
        a.send(frame())
        assert br.local.recv() == frame()
        br.local.send(frame(H2, H1))
        assert a.recv() == frame(H2, H1)

    def test_a_pulled_cable_stops_packets_and_is_told_to_controllers(self, switch):
        br = switch.add_bridge("br0")
        a, b = br.add_port("a"), br.add_port("b")
        news = br.controller()
        greet(news)
        b.up = False
        assert [message[1] for message in news.messages()] == [12]  # OFPT_PORT_STATUS
        assert switch.get("Interface", "b", "link_state") == "down" and not b.up
        a.send(frame())
        assert b.recv() is None
        b.up = True
        a.send(frame())
        assert b.recv() == frame()


def greet(controller) -> None:
    """The handshake of an OpenFlow 1.3 controller."""
    controller.send(bytes.fromhex("0400000800000001") + bytes.fromhex("0405000800000002"))
    assert [message[1] for message in controller.messages()] == [0, 6]


class TestFlows:
    def test_ports_go_by_name_in_matches_and_actions(self, switch):
        br = switch.add_bridge("br0", fail_mode="secure")
        for name in ("a", "eth0.1", "b"):
            br.add_port(name)
        n = br.add_flows(
            """
            # comments and blank lines are skipped

            in_port=a actions=b,output:eth0.1
            in_port="b" actions=resubmit:a,enqueue:b:1   # behind a flow too
            """
        )
        assert n == 2
        assert [(flow.match, flow.actions) for flow in br.flows()] == [
            ("in_port=1", "output:3,output:2"),
            ("in_port=3", "resubmit(1,),enqueue:3:1"),
        ] or [flow.match for flow in br.flows()] == ["in_port=1", "in_port=3"]

    @pytest.mark.parametrize(
        ("text", "line", "words"),
        [
            ("in_port=a,actions=b\n\n in_port=a actions=outpt:1", 3, "action outpt:1: unknown or unsupported action"),
            ("in_port=zz actions=b", 1, "no port is called 'zz'; there are: br0, a, b"),
            ("in_port=a\n", 1, "in_port=a: must specify an action"),
            ("tcp,tp_dst=70000,actions=drop", 1, "tp_dst=70000"),
            ("actions=output:c", 1, "no port is called 'c'"),
            ("priority=99999 actions=drop", 1, "priority=99999"),
        ],
    )
    def test_a_bad_text_names_its_line_and_adds_nothing(self, switch, text, line, words):
        br = switch.add_bridge("br0", fail_mode="secure")
        br.add_port("a"), br.add_port("b")
        with pytest.raises(FlowTextError, match=re.escape(words)) as caught:
            br.add_flows(text)
        assert caught.value.line == line and f"line {line}:" in str(caught.value)
        assert br.dump_flows() == ""

    def test_flows_are_changed_and_deleted_by_match(self, switch):
        br = switch.add_bridge("br0", fail_mode="secure")
        br.add_port("a"), br.add_port("b")
        br.add_flows(["table=1,ip,in_port=a,actions=drop", "table=2,arp,actions=drop", "priority=5,actions=b"])
        br.mod_flows("ip,actions=b")
        assert [(f.table, f.actions) for f in br.flows()] == [(0, "output:2"), (1, "output:2"), (2, "drop")]
        br.del_flows("in_port=a")
        assert [f.table for f in br.flows()] == [0, 2]
        br.del_flows("priority=6", strict=True)
        br.del_flows("table=0,priority=5", strict=True)
        assert [f.table for f in br.flows()] == [2]
        br.del_flows()
        assert br.flows() == []

    def test_the_dump_has_the_form_of_ovs_ofctl(self, switch):
        br = switch.add_bridge("br0", fail_mode="secure")
        a, _ = br.add_port("a"), br.add_port("b")
        br.add_flow("cookie=0x5,idle_timeout=60,hard_timeout=70,send_flow_rem,priority=7,tcp,actions=b")
        a.send(Ether(src=H1, dst=H2) / IP(src="10.0.0.1", dst="10.0.0.2") / TCP())
        switch.advance(1.5)
        assert br.dump_flows() == (
            " cookie=0x5, duration=1.500s, table=0, n_packets=1, n_bytes=54, idle_timeout=60, hard_timeout=70, "
            "send_flow_rem priority=7,tcp actions=output:2\n"
        )
        assert br.dump_flows("udp") == "" and br.dump_flows("table=0,cookie=5/-1") != ""

    def test_time_outs_run_on_the_switchs_clock_and_tell_why(self, switch):
        br = switch.add_bridge("br0", fail_mode="secure")
        a, _ = br.add_port("a"), br.add_port("b")
        br.add_flow("send_flow_rem,idle_timeout=10,in_port=a,actions=b")
        br.add_flow("send_flow_rem,hard_timeout=15,cookie=3,in_port=b,actions=a")
        for _ in range(4):
            switch.advance(4)
            a.send(frame())
        assert [(r.reason, r.cookie, r.match) for r in br.flow_removed()] == [("hard_timeout", 3, "in_port=2")]
        switch.advance(12)
        [removed] = br.flow_removed()
        assert (removed.reason, removed.n_packets, removed.n_bytes) == ("idle_timeout", 4, 4 * len(frame()))
        assert br.flows() == [] and br.flow_removed() == []

    def test_refused_flows_raise_openflows_error(self, switch):
        br = switch.add_bridge("br0")
        br.add_flow("priority=3,check_overlap,ip,actions=drop")
        with pytest.raises(OpenFlowError, match="OVERLAP"):
            br.add_flow("priority=3,check_overlap,in_port=LOCAL,actions=drop")


class TestControllers:
    def test_packet_ins_are_values(self, switch):
        br = switch.add_bridge("br0", fail_mode="secure")
        a = br.add_port("a")
        br.add_flow("cookie=9,in_port=a,actions=set_field:7->reg0,controller(max_len=40)")
        a.send(frame())
        [packet_in] = br.packet_ins()
        assert (packet_in.packet, packet_in.in_port, packet_in.reason) == (frame(), "a", "action")
        assert (packet_in.cookie, packet_in.table, packet_in.max_len, packet_in.metadata) == (9, 0, 40, "reg0=0x7")
        assert br.packet_ins() == []

    def test_packet_outs_go_through_actions(self, switch):
        br = switch.add_bridge("br0", fail_mode="secure")
        a, b = br.add_port("a"), br.add_port("b")
        br.packet_out(frame(), "a,b")
        assert (a.recv(), b.recv()) == (frame(), frame())
        br.add_flow("in_port=a,actions=b")
        br.packet_out(frame(), "TABLE", in_port="a")
        assert b.recv() == frame()

    def test_a_controller_in_memory_speaks_openflow(self, switch):
        br = switch.add_bridge("br0", fail_mode="secure")
        a = br.add_port("a")
        controller = br.controller()
        greet(controller)
        br.add_flow("actions=controller")
        a.send(frame())
        [message] = controller.messages()
        assert message[1] == 10 and message.endswith(frame())  # OFPT_PACKET_IN
        controller.send(bytes.fromhex("04140008"))  # OFPT_BARRIER_REQUEST in two parts
        assert controller.messages() == []
        controller.send(bytes.fromhex("00000007"))
        assert [m.hex() for m in controller.messages()] == ["0415000800000007"]
        controller.close()
        a.send(frame())
        assert controller.recv() == b""
        assert len(br.packet_ins()) == 2


class TestConfiguration:
    @pytest.mark.parametrize(
        ("use", "words"),
        [
            (lambda sw, br: br.add_port("a"), "there is a Port a already"),
            (lambda sw, br: br.add_port("x", type="foo"), "could not open network device x"),
            (lambda sw, br: br.add_port("x", type="patch"), "x: patch type requires valid 'peer' argument"),
            (lambda sw, br: br.add_port("x", nosuch=1), "table Interface has no column nosuch"),
            (lambda sw, br: br.add_port("x", tag=5000), "5000 is not in the valid range 0 to 4095"),
            (lambda sw, br: br.add_port("x", tag="q"), "'q' is not a value of an OVSDB integer"),
            (lambda sw, br: br.del_port("x"), "there is no Port x"),
            (lambda sw, br: br.port("x"), "br0 has no port x"),
            (lambda sw, br: br.set(fail_mode="x"), "x is not one of the allowed values"),
            (lambda sw, br: sw.add_bridge("br0"), "there is a Bridge br0 already"),
            (lambda sw, br: sw.add_bridge("a/b"), 'ignoring bridge with invalid name "a/b"'),
            (lambda sw, br: sw.del_bridge("br9"), "there is no Bridge br9"),
            (lambda sw, br: sw.bridge("br9"), "there is no bridge br9"),
            (lambda sw, br: sw.set("Nosuch", "x"), "there is no table Nosuch"),
            (lambda sw, br: sw.get("Bridge", "br0", "x"), "Bridge has no column x"),
            (lambda sw, br: sw.transact({"op": "insert", "table": "X", "row": {}}), "No table named X"),
            (lambda sw, br: br.port("a").send(b"short"), "a frame of 5 bytes is shorter than an Ethernet header"),
            (lambda sw, br: br.port("a").send(bytes(200_000)), "a frame of 200000 bytes is not in"),
            (lambda sw, br: sw.appctl("fdb/show", "br9"), "no such bridge"),
            (lambda sw, br: sw.appctl("exit"), '"exit" is not a valid command'),
        ],
    )
    def test_wrong_wishes_are_named_and_change_nothing(self, switch, use, words):
        br = switch.add_bridge("br0")
        br.add_port("a")
        before = [
            sorted(row.name for row in switch._idl.tables[t].rows.values()) for t in ("Bridge", "Port", "Interface")
        ]
        with pytest.raises(SwitchError) as caught:
            use(switch, br)
        assert words in str(caught.value)
        after = [
            sorted(row.name for row in switch._idl.tables[t].rows.values()) for t in ("Bridge", "Port", "Interface")
        ]
        assert after == before and list(br.ports) == ["a"]

    def test_status_is_written_to_the_database_as_by_the_daemon(self, switch):
        br = switch.add_bridge("br0")
        a = br.add_port("a", ofport_request=7, mtu_request=9000)
        assert (a.number, switch.get("Interface", "a", "ofport")) == (7, 7)
        assert switch.get("Interface", "a", "mtu") == 9000
        assert switch.get("Interface", "br0", "mac_in_use") == "02:00:00:00:00:01"
        assert switch.get("Bridge", "br0", "datapath_id") == "0000020000000001"
        root = switch.get("Open_vSwitch", ".", "cur_cfg")
        assert root == switch.get("Open_vSwitch", ".", "next_cfg") == 2

    def test_transactions_of_the_wire_are_applied(self, switch):
        switch.transact(
            {"op": "insert", "table": "Interface", "uuid-name": "i", "row": {"name": "br7", "type": "internal"}},
            {
                "op": "insert",
                "table": "Port",
                "uuid-name": "p",
                "row": {"name": "br7", "interfaces": ["named-uuid", "i"]},
            },
            {"op": "insert", "table": "Bridge", "uuid-name": "b", "row": {"name": "br7", "ports": ["named-uuid", "p"]}},
            {
                "op": "mutate",
                "table": "Open_vSwitch",
                "where": [],
                "mutations": [["bridges", "insert", ["named-uuid", "b"]]],
            },
        )
        br = switch.bridge("br7")
        a, b = br.add_port("a"), br.add_port("b")
        a.send(frame())
        assert b.recv() == frame()

    def test_an_mtu_that_a_port_was_given_holds(self, switch):
        br = switch.add_bridge("br0", fail_mode="secure")
        a, b = br.add_port("a"), br.add_port("b")
        br.add_flow("in_port=a,actions=b")
        a.send(frame(payload=bytes(1600)))
        assert b.recv() is None and switch.drops() == {"tx_too_long": 1}
        b.set(mtu_request=2000)
        a.send(frame(payload=bytes(1600)))
        assert b.recv() == frame(payload=bytes(1600))

    def test_management_commands_answer_as_in_the_daemon(self, switch):
        br = switch.add_bridge("br0")
        br.add_port("a").send(frame())
        assert switch.appctl("fdb/show", "br0").split()[4:] == ["1", "0", H1, "0"]
        assert "port 2: a" in switch.appctl("dpctl/show")

    def test_vsctl_runs_its_commands_here(self, switch):
        assert switch.vsctl("add-br br0 -- set-fail-mode br0 secure -- add-port br0 a") == ""
        switch.vsctl("add-port", "br0", "b", "tag=10", "--", "set", "Interface", "b", "external_ids:x=two words")
        assert switch.vsctl("list-ports br0") == "a\nb\n"
        assert switch.vsctl("get Interface b external_ids:x") == '"two words"\n'
        br = switch.bridge("br0")
        br.add_flow("in_port=a,actions=b")
        br.port("a").send(frame())
        assert br.port("b").recv() == frame()
        assert switch.get("Open_vSwitch", ".", "cur_cfg") == switch.get("Open_vSwitch", ".", "next_cfg") == 2
        switch.vsctl("del-port a")
        assert list(br.ports) == ["b"]
        assert '"name"' in switch.vsctl("--format=json list Port b")

    @pytest.mark.parametrize(
        ("words", "text"),
        [
            ("add-br br0", "cannot create a bridge named br0 because a bridge named br0 already exists"),
            ("nosuch", "unknown command 'nosuch'"),
            ("set Port a tag=9999", "9999 is not in the valid range 0 to 4095"),
            ("br-exists br9", "vsctl br-exists br9: exit code 2"),
            ("add-port br0 x -- set Interface x type=pcap", "Error detected while setting up 'x': x: type pcap needs"),
            ("wait-until Interface nosuch", "this would wait for ever"),
        ],
    )
    def test_what_vsctl_complains_of_is_raised(self, switch, words, text, capfd):
        switch.add_bridge("br0").add_port("a")
        with pytest.raises(ConfigError) as caught:
            switch.vsctl(words)
        assert text in str(caught.value)
        assert capfd.readouterr() == ("", "")

    def test_a_flow_is_traced_by_port_names(self, switch):
        br = switch.add_bridge("br0", fail_mode="secure")
        br.add_port("a"), br.add_port("b")
        br.add_flow("in_port=a,actions=b")
        text = switch.trace(br, "in_port=a,tcp")
        assert " 0. in_port=1, priority 32768\n    output:2\n" in text and "Megaflow:" in text
        assert br.flows()[0].n_packets == 0

    def test_a_new_address_of_the_bridge_is_taken_over(self, switch):
        br = switch.add_bridge("br0")
        br.set(other_config={"hwaddr": "02:11:22:33:44:55"})
        assert switch.get("Bridge", "br0", "datapath_id") == "0000021122334455"
        assert br.local.mac == bytes.fromhex("021122334455")

    def test_measuring_ports_are_those_of_the_daemon(self, switch, tmp_path):
        br = switch.add_bridge("br0", fail_mode="secure")
        out = br.add_port("out", type="pcap", options={"tx_pcap": str(tmp_path / "1.pcap")})
        sink = br.add_port("sink", type="null")
        br.add_flow("actions=out,sink")
        switch.advance(3.5)
        br.add_port("a").send(frame(), frame(H2, H1))
        with RawPcapReader(str(tmp_path / "1.pcap")) as reader:  # written already, at the switch's time of day
            records = [(bytes(data), meta.sec, meta.usec) for data, meta in reader]
        now_ms = switch.clock.wall_ms()
        assert records == [(data, now_ms // 1000, now_ms % 1000 * 1000) for data in (frame(), frame(H2, H1))]
        assert sink.stats["tx_packets"] == 2
        out.set(options={"tx_pcap": str(tmp_path / "2.pcap")})
        br.add_port("src", type="pcap", options={"rx_pcap": str(tmp_path / "1.pcap")})
        assert (tmp_path / "2.pcap").stat().st_size == (tmp_path / "1.pcap").stat().st_size
        with pytest.raises(ConfigError, match="would never come to rest"):
            br.add_port("x", type="pcap", options={"rx_pcap": str(tmp_path / "1.pcap"), "infinite_rx": "true"})

    def test_ports_and_bridges_come_and_go(self, switch):
        for _ in range(3):
            br = switch.add_bridge("br0")
            for name in "abc":
                br.add_port(name)
            br.del_port("b")
            assert [port.name for port in br.ports.values()] == ["a", "c"]
            assert [port.number for port in br.ports.values()] == [1, 3]
            switch.del_bridge("br0")
            with pytest.raises(ConfigError, match="there is no bridge br0"):
                br.dump_flows()
        assert switch.core.datapath.ports() == {} and switch.host.devices == {}
