"""ofctl without a switch: what it loads, its help, how it reads flows and prints messages and packets (TL.02)."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import redirect_stdout

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofproto import flow_text, ofctl_build, ofctl_decode, ofctl_flow, ofctl_print
from ofproto import ofctl_protocol as formats
from ofproto.ofctl_packet import packet_text
from ofproto.ofctl_values import Ports
from tests.peers.flow_lists import ANY_VERSION, ONLY_13
from vslib.errors import ConfigError
from vswitchd import ofctl

HEAVY = ("asyncio", "pyroute2", "cffi", "ssl", "datapath.core", "datapath.datapath", "vslib.vlog", "msgspec")


def loaded_after(words: list[str]) -> set[str]:
    """Return the modules that are loaded when the program has done what the words say."""
    script = (
        "import sys; sys.argv[0] = 'ofctl'\nfrom vswitchd.ofctl import main\n"
        f"code = main({words!r})\nprint('\\x00' + ' '.join(sys.modules))\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("\0")[2].split())


def test_help_loads_nothing_of_the_switch():
    loaded = loaded_after(["--help"])
    assert not loaded & set(HEAVY)
    assert not {name for name in loaded if name.startswith("ofproto.")}
    assert "re" not in loaded and "typing" not in loaded


@pytest.mark.parametrize("words", [["parse-flow", "tcp,in_port=1,actions=2"], ["list-commands"], ["--version"]])
def test_commands_load_no_event_loop_and_no_datapath(words):
    assert not loaded_after(words) & set(HEAVY)


def test_help_explains_every_command_and_option():
    text = ofctl.help_text("ofctl")
    for name, _least, _most, _kind, _module, _args, sentence in ofctl.COMMANDS:
        assert f"\n  {name}" in text and sentence.split()[0] in text
    for name, _letter, _takes, _value, sentence in ofctl.OPTIONS:
        assert (f"--{name}" in text) == bool(sentence)
    assert max(map(len, text.splitlines())) <= 120


def test_every_command_has_its_function():
    from importlib import import_module

    for row in ofctl.COMMANDS:
        if row[4]:
            assert callable(import_module(f"vswitchd.ofctl_{row[4]}").COMMANDS[row[0]])


# -- reading flows: the quick reader against the strict one


def both(text: str) -> tuple[ofctl_flow.FlowMod, flow_text.ParsedFlow]:
    """Return a flow as both readers read it."""
    return ofctl_flow.FlowReader().flow(text, ofctl_flow.ADD), flow_text.parse_flow(text)


# The strict reader refuses values with bits outside of their mask.
@pytest.mark.parametrize("text", [text for text in ANY_VERSION + ONLY_13 if "55/ff:ff:ff:00" not in text])
def test_both_readers_of_flows_read_the_same(text):
    quick, strict = both(text.strip())
    assert flow_text.format_match(quick.value, quick.mask) == flow_text.format_match(strict.value, strict.mask)
    assert flow_text.format_actions(quick.actions) == flow_text.format_actions(strict.actions)
    assert (quick.priority, quick.new_cookie, quick.flags) == (strict.priority, strict.cookie, strict.flags)
    assert (quick.idle_timeout_s, quick.hard_timeout_s) == (strict.idle_timeout_s, strict.hard_timeout_s)


BYTE = st.integers(0, 255)
WORDS = st.lists(
    st.one_of(
        st.builds("in_port={}".format, st.integers(0, 65279)),
        st.builds("dl_src=00:00:00:00:00:{:02x}".format, BYTE),
        st.builds("dl_vlan={}".format, st.integers(0, 4095)),
        st.builds("nw_src=10.0.{}.{}".format, BYTE, BYTE),
        st.builds("nw_dst=10.{}.0.0/16".format, BYTE),
        st.builds("tp_dst={}".format, st.integers(0, 65535)),
        st.builds("tp_src=0x{:x}/0xff00".format, st.integers(0, 255).map(lambda n: n << 8)),
        st.builds("reg{}={}".format, st.integers(0, 15), st.integers(0, 1 << 31)),
        st.builds("metadata={:#x}/{:#x}".format, st.just(0x10), st.just(0xF0)),
    ),
    max_size=5,
    unique_by=lambda word: word.partition("=")[0],
)


@given(st.lists(st.tuples(st.sampled_from(["tcp", "udp", "tcp,priority=9", "tcp,table=3"]), WORDS), max_size=8))
def test_what_a_reader_remembers_changes_nothing(lines):
    shared = ofctl_flow.FlowReader()
    for protocol, words in lines:
        text = ",".join([protocol, *words, "actions=1,2"])
        assert shared.flow(text, ofctl_flow.ADD) == ofctl_flow.FlowReader().flow(text, ofctl_flow.ADD)
        quick, strict = shared.flow(text, ofctl_flow.ADD), flow_text.parse_flow(text)
        assert (quick.value, quick.mask) == (strict.value, strict.mask)


def test_a_full_memory_is_emptied_and_nothing_is_mistaken(monkeypatch):
    monkeypatch.setattr(ofctl_flow, "REMEMBERED", 3)
    monkeypatch.setattr(ofctl_flow, "FORMS_REMEMBERED", 2)
    reader = ofctl_flow.FlowReader()
    for i in range(300):
        protocol = ("tcp", "udp", "arp", "ip")[i % 4]
        text = f"{protocol},in_port={i},dl_vlan={i % 7},reg{i % 5}={i}/0xfff,actions={i % 3 + 1}"
        quick, strict = reader.flow(text, ofctl_flow.ADD), flow_text.parse_flow(text)
        assert (quick.value, quick.mask) == (strict.value, strict.mask)


def test_later_words_of_a_match_win():
    quick = ofctl_flow.FlowReader().flow("in_port=1,tcp,in_port=2,udp,actions=drop", ofctl_flow.ADD)
    assert flow_text.format_match(quick.value, quick.mask) == "udp,in_port=2"


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40))
def test_no_text_makes_the_reader_fail_otherwise_than_by_name(text):
    for command in (ofctl_flow.ADD, ofctl_flow.DELETE, ofctl_flow.QUERY):
        try:
            ofctl_flow.FlowReader().flow(text, command)
        except ConfigError as error:
            assert str(error)


SCRAPS = (
    "tcp in_port actions = : ( ) , -> [ ] .. 1 reg0 set_field load resubmit output controller / p1 - drop 0x cookie "
    "table write_actions dec_ttl nw_src 10.0.0.1"
)


@given(st.lists(st.sampled_from([*SCRAPS.split(), " "]), max_size=14))
def test_no_mixture_of_words_makes_the_reader_fail_otherwise_than_by_name(parts):
    for text in ("".join(parts), f"actions={''.join(parts)}"):
        try:
            ofctl_flow.FlowReader(Ports(lambda: {"p1": 1})).flow(text, ofctl_flow.ADD)
        except ConfigError as error:
            assert str(error)


# -- messages


@pytest.mark.parametrize("form", [formats.STD_TID, formats.NXM_TID, formats.OF13])
@pytest.mark.parametrize("text", ANY_VERSION)
def test_what_is_sent_can_be_printed(text, form):
    flow = ofctl_flow.FlowReader().flow(text.strip(), ofctl_flow.ADD)
    if flow.formats & form:
        shown = ofctl_print.message_text(ofctl_build.flow_mod(flow, form, 7), {})
        assert "(xid=0x7): ADD" in shown and "decode error" not in shown and "unknown(" not in shown


@given(st.binary(max_size=200))
def test_no_bytes_make_the_printer_fail(data):
    for version in (1, 4):
        for kind in (*range(24), 30):
            message = bytes([version, kind]) + (len(data) + 8).to_bytes(2, "big") + bytes(4) + data
            if ofctl_decode.kind_of(message):
                assert ofctl_print.message_text(message, {}).endswith("\n")


@given(st.binary(max_size=120), st.sampled_from(["0800", "86dd", "0806", "8100", "8847", "0010", "88a8"]))
def test_no_frame_makes_the_packet_printer_fail(data, kind):
    assert packet_text(bytes(12) + bytes.fromhex(kind) + data)


def test_parse_flows_prints_one_message_a_line_of_the_file(tmp_path):
    path = tmp_path / "flows"
    path.write_text("in_port=1,actions=2\n# nothing\ndelete table=3\n")
    out = io.StringIO()
    with redirect_stdout(out):
        assert ofctl.run("ofctl", ["parse-flows", str(path)]) == 0
    assert [line.split("): ")[1] for line in out.getvalue().splitlines()[2:]] == [
        "ADD in_port=1 actions=output:2",
        "DEL table:3 actions=drop",
    ]
