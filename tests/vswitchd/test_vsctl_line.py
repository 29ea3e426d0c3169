"""Command lines of vsctl: its tables agree with each other, texts made from them, and how little a command loads."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.ovsdb.conftest import Ours, run
from vslib.errors import ConfigError
from vswitchd.vsctl import database, help, options, output, table
from vswitchd.vsctl.run import _module
from vswitchd.vsctl.schema import ROW_NAMES, Schema

ROOT = Path(__file__).parents[2]
HEAVY = {
    "argparse", "asyncio", "collections", "dataclasses", "enum", "inspect", "json", "logging", "re", "socket", "typing",
    "datapath", "ofproto", "pyroute2", "msgspec", "ovsdb.atoms", "vslib.vlog",
}  # fmt: skip
PROBE = """
import sys
before = set(sys.modules)
from vswitchd.vsctl import main
code = main()
sys.stdout.flush()
print(*sorted(set(sys.modules) - before), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def server(tmp_path):
    started = Ours(tmp_path)
    try:
        yield started.start()
    finally:
        started.end()


def vsctl(*words, server=None, check=True):
    """Run vsctl as a process."""
    more = [f"--db={server.target}", "--no-wait"] if server is not None else []
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return run(sys.executable, "-m", "vswitchd.vsctl", *more, *words, check=check, env=env)


@pytest.mark.parametrize("row", table.COMMANDS, ids=lambda row: row.name)
def test_each_command_has_code_columns_that_exist_and_a_sentence(row):
    module, _, function = row.code.partition(".")
    assert callable(getattr(_module(module), function))
    schema = Schema()
    if row.needs.startswith(":"):
        assert callable(getattr(database, row.needs[1:]))
    else:
        for word in row.needs.replace("*", table.NAMES).split():
            name, _, column = word.partition(".")
            assert column in schema.table(name).columns
    assert len(row.help) > 10
    assert not row.help.endswith(".")
    assert sum(word[0] != "[" for word in row.usage.split()) <= max(row.least, 0) + 1


def test_each_option_has_an_action_or_is_said_to_do_nothing():
    silent = {name for name, *_ in options.OPTIONS} - set(options.ACTIONS)
    sentences = {name: sentence for name, *_, sentence in options.OPTIONS}
    assert all("accepted" in sentences[name] or sentences[name] == "likewise" for name in silent)
    assert set(options.ACTIONS) <= set(sentences)


def test_rows_are_named_by_columns_that_exist():
    schema = Schema()
    for name, (where, column, reference) in ROW_NAMES.items():
        assert name in schema.names()
        if column:
            assert column in schema.table(where).columns
        if reference:
            assert schema.table(where).columns[reference].key.ref == name


def test_help_tells_every_command_and_option_in_lines_that_fit():
    text = help.full("vsctl")
    lines = text.splitlines()
    for row in table.COMMANDS:
        assert any(line.startswith("  ") and row.name in line.split() and line.endswith(row.usage) for line in lines)
    assert all(f"--{name}" in text for name, *_ in options.OPTIONS)
    assert max(map(len, text.splitlines())) <= 120
    assert vsctl("--help").stdout == text


def test_version_begins_as_agents_parse_it():
    assert vsctl("--version").stdout.splitlines()[0] == "vsctl (Open vSwitch) 3.1.0"


def test_commands_and_options_are_listed_for_completion():
    lines = help.commands("").splitlines()
    assert "[--if-exists] [--with-iface],del-port,?BRIDGE !PORT|IFACE" in lines
    assert "[--if-exists],remove,!TABLE !RECORD !COLUMN +KEY|VALUE|KEY=VALUE" in lines
    assert {"--db=ARG", "-t ARG", "--no-wait"} <= set(help.options("").splitlines())


def test_commands_of_a_line_are_split_at_double_dashes():
    calls = table.split(["--", "add-br", "a", "--", "--", "--if-exists", "del-br", "b"], {})
    assert [(call.row.name, call.args, list(call.options)) for call in calls] == [
        ("add-br", ["a"], []),
        ("del-br", ["b"], ["--if-exists"]),
    ]
    assert calls[1].words() == "--if-exists del-br b"


def test_options_of_the_first_command_stand_among_global_ones():
    parsed = options.parse(["--if-exists", "--db=unix:/x", "-t3", "--columns", "a,b", "list", "-x"], output.Style())
    assert (parsed.db, parsed.timeout_s, parsed.words) == ("unix:/x", 3, ["list", "-x"])
    assert parsed.first == {"--if-exists": None, "--columns": "a,b"}
    with pytest.raises(ConfigError, match="option '--if-exists' doesn't allow an argument"):
        options.parse(["--if-exists=1", "list"], output.Style())


def test_json_is_a_list_for_commands_whose_originals_have_none(server):
    done = vsctl("add-br", "br0", "--", "add-br", "br1", "--", "set-ssl", "a", "b", "c", server=server)
    assert done.stdout == ""
    words = "list-br -- br-to-vlan br0 -- get bridge br0 name stp_enable -- list-ports br0 -- get-ssl -- show"
    lines = vsctl("-f", "json", *words.split(), server=server).stdout.splitlines()
    assert lines[:4] == ['["br0","br1"]', "[0]", '[{"name":"br0","stp_enable":false}]', "[]"]
    assert '"private_key":"a"' in lines[4]
    assert '"name":"br1","ports":[{"interfaces":[{"name":"br1","type":"internal"}],"name":"br1"}]' in lines[5]


@pytest.mark.parametrize("words", [["list-br"], ["add-port", "br0", "p1", "tag=3"], ["get", "bridge", "br0", "name"]])
def test_a_command_loads_next_to_nothing(server, words):
    vsctl("add-br", "br0", server=server)
    command = [sys.executable, "-c", PROBE, f"--db={server.target}", "--no-wait", *words]
    done = run(*command, env=os.environ | {"PYTHONPATH": str(ROOT)})
    loaded = set(done.stderr.split())
    assert not loaded & HEAVY
    assert len(loaded) < 35


def test_errors_begin_with_the_name_that_the_program_was_called_by(server):
    done = vsctl("del-br", "nope", server=server, check=False)
    assert (done.returncode, done.stderr) == (1, "vsctl: no bridge named nope\n")
    done = vsctl("--db=unix:/nonexistent/sock", "list-br", check=False)
    text = "vsctl: unix:/nonexistent/sock: database connection failed (No such file or directory)\n"
    assert (done.returncode, done.stderr) == (1, text)
