"""Our vsctl against Debian's ovs-vsctl: the same lines on equal databases, and both on the same daemons (TL.01)."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.ofproto.channel_rig import bound
from tests.ovsdb.conftest import Debians, Ours, Wire, wait_until
from tests.peers.daemon import ROOT, device
from tests.peers.vsctl_lines import LINES, words
from tests.system.netns import namespace

pytestmark = [pytest.mark.ovs_tools]

DEBIAN_SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
UNORDERED = re.compile(r"\b(list|find|show)\b")  # commands that print rows in an order of their own
READS = re.compile(r"(-\S+ )*(list|find|get|show|br-to|port-to|iface-to)[^ ]*( (?!--)\S+)*$")  # changes nothing
MAX_DEPTH = 8
SCRIPT = """#!{python} -S
import sys

sys.path.insert(0, {root!r})
from vswitchd.vsctl import main

sys.exit(main())
"""


@pytest.fixture(scope="module")
def vsctl(tmp_path_factory):
    """Our vsctl under the original's name, so that messages begin alike."""
    path = tmp_path_factory.mktemp("bin") / "ovs-vsctl"
    path.write_text(SCRIPT.format(python=sys.executable, root=str(ROOT)))
    path.chmod(0o755)
    return str(path)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Compiled Python kept outside the checkout, as installed programs have it; nothing of the user's own settings."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "OVS_RUNDIR")}
    return kept | {"PYTHONPYCACHEPREFIX": str(tmp_path_factory.mktemp("pyc"))}


def run(program, server, *arguments, environment, **more):
    """Run a program on a server and return what it did."""
    command = [program, f"--db={server.target}", "--no-wait", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, **more)


@contextlib.contextmanager
def debian_server(folder, schema):
    folder.mkdir()
    server = Debians(folder, schema)
    try:
        yield server.start()
    finally:
        server.end()


# --- equal effect, text and exit code ------------------------------------------------------------------------------


class Contents:
    """All rows of a database without UUIDs: in their place stands the row, so that equal databases are equal."""

    def __init__(self, server):
        self._wire = Wire(server.sock)
        tables = self._wire.call("get_schema", ["Open_vSwitch"])["result"]["tables"]
        self._ops = [{"op": "select", "table": name, "where": []} for name in tables]
        self._rows, self._raw, self._contents = {}, None, []

    def close(self):
        self._wire.close()

    def read(self):
        results = self._wire.transact("Open_vSwitch", *self._ops)
        if results == self._raw:
            return self._contents
        self._rows, self._raw = {}, results
        for op, result in zip(self._ops, results, strict=True):
            for row in result["rows"]:
                self._rows[row["_uuid"][1]] = (op["table"], row)
        self._contents = sorted((self._tree(uuid, 0) for uuid in self._rows), key=str)
        return self._contents

    def _tree(self, uuid, depth):
        table, row = self._rows.get(uuid, ("none", {}))
        if depth > MAX_DEPTH:
            return table
        columns = {name: self._value(value, depth) for name, value in sorted(row.items()) if name[0] != "_"}
        return {table: columns}

    def _value(self, value, depth):
        if not isinstance(value, list):
            return value
        kind, inner = value
        if kind == "uuid":
            return self._tree(inner, depth + 1)
        if kind == "set":
            return sorted((self._value(each, depth) for each in inner), key=str)
        return sorted(([key, self._value(each, depth)] for key, each in inner), key=str)


def said(done, line):
    """Return what a program printed and its exit code, without UUIDs, times and the order of rows."""
    texts = []
    for text in (done.stdout, done.stderr):
        text = re.sub(r">[0-9a-f]{8}<", "><", UUID.sub("UUID", text))  # the second in links of HTML
        texts.append(TIME.sub("TIME", text))
    if UNORDERED.search(line):
        texts[0] = "\n".join(sorted(texts[0].split("\n")))
    return {"stdout": texts[0], "stderr": texts[1], "exit code": done.returncode}


@pytest.mark.timeout(300)
def test_every_line_does_and_says_what_ovs_vsctls_does(tmp_path, vsctl, environment):
    assert len(LINES) > 400
    with (
        debian_server(tmp_path / "theirs", DEBIAN_SCHEMA) as theirs,
        debian_server(tmp_path / "ours", DEBIAN_SCHEMA) as ours,
        contextlib.closing(Contents(theirs)) as their_rows,
        contextlib.closing(Contents(ours)) as our_rows,
        ThreadPoolExecutor(2) as both,
    ):
        wrong = []
        for line in LINES:

            def do(program, server, line=line):
                return said(run(program, server, *words(line), environment=environment), line)

            expected, got = both.map(do, ("ovs-vsctl", vsctl), (theirs, ours))
            if got != expected:
                wrong.append((line, expected, got))
            if not READS.match(line):
                assert our_rows.read() == their_rows.read(), line
    assert wrong == []


def test_a_database_with_newer_columns_is_read_by_its_own_schema(tmp_path, vsctl, environment):
    with debian_server(tmp_path / "new", ROOT / "vswitchd" / "vswitch.ovsschema") as server:
        done = run(vsctl, server, "add-br", "br0", "--", "list", "Open_vSwitch", environment=environment)
        assert (done.returncode, done.stderr) == (0, "")
        listed = run(vsctl, server, "find", "Mirror", "filter=[]", environment=environment)
    assert (listed.returncode, listed.stderr) == (0, "")


# --- concurrency ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ours", "debians"])
def test_eight_concurrent_writers_lose_nothing(kind, tmp_path, vsctl, environment):
    server = Ours(tmp_path) if kind == "ours" else Debians(tmp_path)
    writers, rounds = 8, 3

    def write(number):
        for turn in range(rounds):
            name = f"p{number}x{turn}"
            lines = [
                ["add-port", "br0", name, "--", "set", "Open_vSwitch", ".", f"external_ids:{name}=1"],
                ["add", "bridge", "br0", "flood_vlans", str(number * rounds + turn + 1)],
                ["--may-exist", "add-port", "br0", "shared"],
                ["remove", "bridge", "br0", "external_ids", name],
            ]
            for line in lines:
                done = run(vsctl, server, *line, environment=environment)
                assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), line

    try:
        server.start()
        names = [f"p{number}x{turn}" for number in range(writers) for turn in range(rounds)]
        before = [f"external_ids:{name}=1" for name in names]
        assert run(vsctl, server, "add-br", "br0", "--", "set", "bridge", "br0", *before, environment=environment)
        with ThreadPoolExecutor(writers) as pool:
            list(pool.map(write, range(writers)))
        ports = run(vsctl, server, "list-ports", "br0", environment=environment).stdout.split()
        assert sorted(ports) == sorted([*names, "shared"])
        columns = ["get", "Open_vSwitch", ".", "external_ids", "--", "get", "bridge", "br0", "flood_vlans"]
        kept = run(vsctl, server, *columns, "--", "get", "bridge", "br0", "external_ids", environment=environment)
        ids, vlans, left = kept.stdout.splitlines()
        assert ids.count("=") == len(names)
        assert json.loads(vlans) == list(range(1, len(names) + 1))
        assert left == "{}"
    finally:
        server.end()


# --- waiting -------------------------------------------------------------------------------------------------------


def test_wait_until_ends_when_another_program_makes_it_true(tmp_path, vsctl, environment):
    with debian_server(tmp_path / "db", DEBIAN_SCHEMA) as server:
        command = [vsctl, f"--db={server.target}", "wait-until", "bridge", "br0", "external_ids:go=1"]
        waiting = subprocess.Popen([*command, "--", "list-br"], env=environment, stdout=subprocess.PIPE, text=True)
        run("ovs-vsctl", server, "add-br", "br0", environment=environment)
        time.sleep(0.1)
        assert waiting.poll() is None
        run("ovs-vsctl", server, "set", "bridge", "br0", "external_ids:go=1", environment=environment)
        assert waiting.communicate(timeout=10) == ("br0\n", None)


def test_retry_waits_for_a_server_to_come(tmp_path, vsctl, environment):
    server = Debians(tmp_path)
    command = [vsctl, f"--db={server.target}", "--retry", "--no-wait", "add-br", "br0", "--", "list-br"]
    waiting = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(0.2)
        assert waiting.poll() is None
        server.start()
        assert waiting.communicate(timeout=10) == ("br0\n", None)
    finally:
        server.end()


def test_a_timeout_ends_it_by_sigalrm_as_the_original(tmp_path, vsctl, environment):
    with debian_server(tmp_path / "db", DEBIAN_SCHEMA) as server:
        longer = environment | {"OVS_CTL_TIMEOUT": "15"}
        done = run(vsctl, server, "-t1", "wait-until", "bridge", "nope", environment=longer)
    assert done.returncode == -14
    assert done.stderr.endswith("|fatal_signal|WARN|terminating with signal 14 (Alarm clock)\n")


def test_a_server_that_restarts_while_we_wait_for_the_switch_is_found_again(tmp_path, vsctl, environment):
    server = Debians(tmp_path).start()
    try:
        command = [vsctl, f"--db={server.target}", "add-br", "br0", "--", "list-br"]
        waiting = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        asked = ["--bare", "--columns=next_cfg", "find", "Open_vSwitch"]
        wait_until(lambda: run("ovs-vsctl", server, *asked, environment=environment).stdout == "1\n")
        server.end()
        server.start()
        assert waiting.poll() is None
        run("ovs-vsctl", server, "set", "Open_vSwitch", ".", "cur_cfg=1", environment=environment)
        assert waiting.communicate(timeout=10) == ("br0\n", None)
        assert waiting.returncode == 0
    finally:
        server.end()


def test_tls_needs_keys_and_works_with_them(tmp_path, vsctl, environment):
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    ask = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    ask += ["-subj", "/CN=x", "-days", "2", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(ask, check=True, capture_output=True)
    files = ["-p", str(key), "-c", str(cert), "-C", str(cert)]
    reserved = bound("127.0.0.1", 0)
    port = reserved.getsockname()[1]
    database, ready = tmp_path / "db", tmp_path / "sock"
    subprocess.run(["ovsdb-tool", "create", database, DEBIAN_SCHEMA], check=True)
    command = ["ovsdb-server", f"--remote=pssl:{port}:127.0.0.1", f"--remote=punix:{ready}", *files, str(database)]
    server = subprocess.Popen([*command, f"--unixctl={tmp_path}/ctl", "-vconsole:off", "-vsyslog:off"])
    try:
        wait_until(ready.exists)
        line = [vsctl, f"--db=ssl:127.0.0.1:{port}", "--no-wait"]
        done = subprocess.run(
            [*line, *files, "add-br", "br0", "--", "list-br"], env=environment, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "br0\n", "")
        done = subprocess.run([*line, "list-br"], env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (1, "ovs-vsctl: SSL requires private key to be configured\n")
    finally:
        server.terminate()
        server.wait()
        reserved.close()


@contextlib.contextmanager
def real_switch(folder):
    """Debian's ovsdb-server and ovs-vswitchd, on dummy devices in a namespace."""
    files = {"OVS_RUNDIR": str(folder), "OVS_LOGDIR": str(folder), "OVS_DBDIR": str(folder)}
    options = ["--enable-dummy=override", "--disable-system", "-vconsole:off", "-vsyslog:off", "--pidfile"]
    with namespace() as place, debian_server(folder / "db", DEBIAN_SCHEMA) as server:
        command = ["ip", "netns", "exec", place.name, "ovs-vswitchd", server.target, *options]
        daemon = subprocess.Popen(command, env=os.environ | files, cwd=folder)
        try:
            wait_until((folder / "ovs-vswitchd.pid").exists)
            yield server
        finally:
            daemon.terminate()
            daemon.wait()


@pytest.mark.root
def test_against_a_real_ovs_vswitchd(tmp_path, vsctl, environment):
    with real_switch(tmp_path) as server:

        def call(program, *line):
            command = [program, f"--db={server.target}", "--timeout=10", *line]
            return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20)

        done = call(vsctl, "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy")
        assert (done.returncode, done.stderr) == (0, "")
        assert call(vsctl, "get", "interface", "br0", "ofport").stdout == "65534\n"
        results = []
        for program in ("ovs-vsctl", vsctl):
            failed = call(program, "add-port", "br0", "p1", "--", "set", "interface", "p1", "type=patch")
            results.append((failed.returncode, failed.stdout, failed.stderr))
            call(vsctl, "del-port", "p1")
        assert "Error detected while setting up 'p1'" in results[0][2]
        assert results[0] == results[1]
        for line in (["show"], ["list-br"], ["get", "Open_vSwitch", ".", "cur_cfg", "next_cfg"]):
            theirs, ours = call("ovs-vsctl", *line), call(vsctl, *line)
            assert (ours.stdout, ours.stderr) == (theirs.stdout, theirs.stderr)


@pytest.mark.root
def test_against_our_daemon(daemon, vsctl, environment):
    name, port = device("cb"), device()

    def call(program, *line):
        command = [program, "--timeout=10", *line]
        return subprocess.run(command, env=daemon.env | environment | {"OVS_RUNDIR": str(daemon.folder)},
                              capture_output=True, text=True, timeout=20)  # fmt: skip

    done = call(vsctl, "add-br", name, "--", "add-port", name, port, "--", "set", "interface", port, "type=internal")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert call(vsctl, "get", "interface", port, "ofport").stdout == "1\n"
    results = []
    for program in ("ovs-vsctl", vsctl):
        done = call(program, "add-port", name, "nosuch0")
        results.append((done.returncode, done.stdout, done.stderr))
        call(program, "del-port", "nosuch0")
    assert "Error detected while setting up 'nosuch0'" in results[0][2]
    assert results[0] == results[1]
    shown = [call(program, "show").stdout for program in ("ovs-vsctl", vsctl)]
    assert shown[0] == shown[1]
    assert call(vsctl, "del-br", name).returncode == 0
