"""Debian's ovs-vsctl and ovsdb-client, and python-ovs's IDL, drive our server."""

import json
import subprocess
import sys
import textwrap

import pytest

from tests.ovsdb.conftest import SCHEMA, needs_tools, run, wait_until

pytestmark = [needs_tools, pytest.mark.ovs_tools]


@pytest.fixture
def vsctl(ours):
    def call(*args, check=True):
        return run("ovs-vsctl", f"--db={ours.target}", "--no-wait", *args, check=check)

    call("init")
    return call


def test_bridges_and_ports_are_added_shown_and_removed(vsctl):  # DB.07-DB.13, DB.19
    vsctl("add-br", "br0")
    vsctl("add-port", "br0", "eth0", "tag=7", "--", "set", "Interface", "eth0", "type=internal", "options:a=b")
    assert vsctl("list-br").stdout.split() == ["br0"]
    assert vsctl("list-ports", "br0").stdout.split() == ["eth0"]
    shown = vsctl("show").stdout
    assert "Bridge br0" in shown and "tag: 7" in shown and "type: internal" in shown
    vsctl("del-port", "eth0")
    assert vsctl("--columns=name", "list", "Interface").stdout.split() == ["name", ":", "br0"]
    vsctl("del-br", "br0")
    assert vsctl("list", "Interface").stdout == vsctl("list", "Port").stdout == ""


def test_columns_are_set_read_and_searched(vsctl):  # DB.16
    vsctl(
        "add-br", "br0", "--", "set", "Bridge", "br0", "external_ids:owner=me", "other_config:x=1", "fail_mode=secure"
    )
    vsctl("add-port", "br0", "p1", "trunks=5,6,7")
    assert vsctl("get", "Bridge", "br0", "fail_mode").stdout == "secure\n"
    assert vsctl("get", "Bridge", "br0", "external_ids").stdout == "{owner=me}\n"
    assert vsctl("get", "Port", "p1", "trunks").stdout == "[5, 6, 7]\n"
    vsctl("add", "Port", "p1", "trunks", "8", "--", "remove", "Port", "p1", "trunks", "5")
    assert vsctl("get", "Port", "p1", "trunks").stdout == "[6, 7, 8]\n"
    assert vsctl("--bare", "--columns=name", "find", "Port", "trunks{>=}8").stdout == "p1\n"
    vsctl("clear", "Port", "p1", "trunks", "--", "remove", "Bridge", "br0", "external_ids", "owner")
    assert vsctl("get", "Bridge", "br0", "external_ids").stdout == "{}\n"


def test_mirrors_lose_weak_references_and_queues_stay(vsctl):  # DB.19
    vsctl("add-br", "br0", "--", "add-port", "br0", "p1", "--", "--id=@p", "get", "Port", "p1")
    vsctl(
        "--id=@p",
        "get",
        "Port",
        "p1",
        "--",
        "--id=@m",
        "create",
        "Mirror",
        "name=m",
        "output_port=@p",
        "select_all=true",
        "--",
        "set",
        "Bridge",
        "br0",
        "mirrors=@m",
    )
    assert vsctl("get", "Mirror", "m", "output_port").stdout != "[]\n"
    vsctl("del-port", "p1")
    assert vsctl("get", "Mirror", "m", "output_port").stdout == "[]\n"
    queue = vsctl("create", "Queue", "other_config:max-rate=1000").stdout.strip()
    vsctl("create", "QoS", "type=linux-htb", f"queues:0={queue}")
    assert "linux-htb" in vsctl("list", "QoS").stdout
    failed = vsctl("destroy", "Queue", queue, check=False)
    assert failed.returncode and "referential integrity violation" in failed.stderr


def test_mistakes_are_refused_with_reasons(vsctl):  # DB.18, DB.20
    vsctl("add-br", "br0")
    for args, reason in [
        (("set", "Port", "br0", "tag=4096"), "constraint violation"),
        (("set", "Bridge", "br0", "fail_mode=loose"), "constraint violation"),
        (("set", "Bridge", "br0", "nope=1"), "nope"),
        (("set", "Interface", "br0", "name=x"), "name"),
        (("create", "Open_vSwitch", "next_cfg=1"), "constraint violation"),
    ]:
        failed = vsctl(*args, check=False)
        assert failed.returncode and reason in failed.stderr, (args, failed.stderr)


def test_many_ovs_vsctl_at_once_all_succeed(ours, vsctl):  # DB.12, DB.45: wait + retry, no lost update
    vsctl("add-br", "br0")
    command = ["ovs-vsctl", f"--db={ours.target}", "--no-wait"]
    children = [subprocess.Popen([*command, "add-port", "br0", f"p{n}"]) for n in range(20)]
    assert [child.wait(20) for child in children] == [0] * 20
    assert len(vsctl("list-ports", "br0").stdout.split()) == 20


def client(ours, *args, **more):
    return run("ovsdb-client", *args[:1], ours.target, *args[1:], **more)


def test_ovsdb_client_lists_dumps_and_compares_the_schema(ours, vsctl):  # DB.03, DB.04
    assert client(ours, "list-dbs").stdout.split() == ["Open_vSwitch", "_Server"]
    assert (
        client(ours, "get-schema-version", "Open_vSwitch").stdout.strip() == json.loads(SCHEMA.read_text())["version"]
    )
    found = json.loads(client(ours, "get-schema", "Open_vSwitch").stdout)
    ours.folder.joinpath("found.ovsschema").write_text(json.dumps(found))
    run("ovsdb-tool", "schema-version", ours.folder / "found.ovsschema")
    assert client(ours, "needs-conversion", SCHEMA).stdout.strip() == "no"
    vsctl("add-br", "br0")
    assert "br0" in client(ours, "dump", "Open_vSwitch").stdout
    assert "standalone" in client(ours, "dump", "_Server").stdout
    assert "Bridge" in client(ours, "list-tables").stdout
    assert "datapath_id" in client(ours, "list-columns", "Open_vSwitch", "Bridge").stdout


def test_ovsdb_client_monitors_in_both_forms(ours, vsctl):  # DB.21, DB.23
    for form in ("monitor", "monitor-cond"):
        where = ['[["name","!=","hidden"]]'] if form == "monitor-cond" else []
        args = ["ovsdb-client", "--format=json", form, ours.target, "Open_vSwitch", *where, "Bridge", "name"]
        watcher = subprocess.Popen(args, stdout=subprocess.PIPE, text=True)
        try:
            wait_until(lambda: any(served.monitors for served in ours.server.databases.values()))
            vsctl("add-br", f"seen-{form}")
            assert any(f"seen-{form}" in line for line in watcher.stdout)
        finally:
            watcher.kill()
            watcher.wait()
            watcher.stdout.close()


def test_ovsdb_client_transacts_and_waits(ours):  # DB.05, DB.08
    ops = [
        "Open_vSwitch",
        {"op": "insert", "table": "Open_vSwitch", "row": {}},
        {"op": "select", "table": "Open_vSwitch", "where": []},
    ]
    results = json.loads(client(ours, "transact", json.dumps(ops)).stdout)
    assert results[1]["rows"][0]["_uuid"] == results[0]["uuid"]
    run("ovsdb-client", "--timeout=5", "wait", ours.target, "Open_vSwitch", "connected")


def test_ovsdb_client_backs_up_and_takes_the_lock(ours, vsctl):  # DB.26
    vsctl("add-br", "br0")
    backup = client(ours, "backup").stdout
    assert backup.startswith("OVSDB JSON") and "br0" in backup
    holder = subprocess.Popen(["ovsdb-client", "lock", ours.target, "mine"], stdout=subprocess.PIPE, text=True)
    try:
        assert json.loads(holder.stdout.readline()) == {"locked": True}
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


PYTHON_IDL = """
    import sys, ovs.db.idl, ovs.poller, ovs.jsonrpc
    from ovs.db import idl
    target = sys.argv[1]
    helper = idl.SchemaHelper(sys.argv[2])
    helper.register_table("Bridge"); helper.register_table("Open_vSwitch")
    replica = idl.Idl(target, helper)
    def until(done):
        while not done():
            if replica.run(): continue
            poller = ovs.poller.Poller(); replica.wait(poller); poller.timer_wait(5000); poller.block()
    until(lambda: replica.has_ever_connected() and replica.tables["Open_vSwitch"].rows)
    replica.set_lock("mylock")
    until(lambda: replica.has_lock)
    root = next(iter(replica.tables["Open_vSwitch"].rows.values()))
    txn = idl.Transaction(replica)
    bridge = txn.insert(replica.tables["Bridge"]); bridge.name = "python"
    bridge.setkey("external_ids", "a", "b")
    root.verify("bridges"); root.addvalue("bridges", bridge.uuid); root.increment("next_cfg")
    txn.add_comment("by python")
    assert txn.commit_block() == idl.Transaction.SUCCESS
    until(lambda: any(b.name == "python" for b in replica.tables["Bridge"].rows.values()))
    replica.cond_change("Bridge", [["name", "==", "other"]])
    until(lambda: not replica.tables["Bridge"].rows)
    print("done", root.next_cfg)
    replica.close()
"""


def test_python_ovs_idl_replicates_locks_and_writes(ours, vsctl):  # DB.05, DB.06, DB.14, DB.23-DB.26
    pytest.importorskip("ovs.db.idl")
    program = textwrap.dedent(PYTHON_IDL)
    done = run(sys.executable, "-c", program, ours.target, SCHEMA)
    assert done.stdout.split() == ["done", "1"]
    assert vsctl("get", "Bridge", "python", "external_ids").stdout == "{a=b}\n"
