"""Management commands of our daemon beside those of a real ovs-vswitchd with the same ports and traffic.

Text and exit codes are equal but for what is measured and what DIFFERENCES names (AP.01-AP.12, AP.19, AP.21, AP.24,
AP.29-AP.31, MO.08); what ours has in JSON (AP.04).
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ofproto.real_switch import SCHEMA, run, stop
from tests.peers.daemon import Daemon, running
from tests.system.hosts import Host
from tests.system.netns import namespace
from vswitchd import compat

pytestmark = [pytest.mark.root, pytest.mark.ovs_tools]

STATISTICS = re.compile(r"packets:\d+, bytes:\d+, used:[^,]*(, flags:\S+)?")
COUNTS = re.compile(r"(?<=[a-z]:)\d+(?= |$)| \(\d+\.\d [KMGT]iB\)", re.M)
ACTIONS = re.compile(r"(?<=actions:)[\w,]+$", re.M)
HEADER = re.compile(r"^flow-dump from .*\n", re.M)
AGE = re.compile(r" +\d+$", re.M)


class RealDaemon(Daemon):
    """Debian's ovs-vswitchd with its database server, used like ours."""

    def start(self) -> Daemon:
        options = ["--no-chdir", "--detach", "--pidfile", "-vconsole:off"]
        run(self.env, ["ovsdb-tool", "create", f"{self.folder}/conf.db", str(SCHEMA)])
        run(self.env, ["ovsdb-server", f"{self.folder}/conf.db", f"--remote=punix:{self.folder}/db.sock", *options])
        run(self.env, ["ovs-vsctl", "--no-wait", "init"])
        run(self.env, ["ip", "netns", "exec", self.place.name, "ovs-vswitchd", *options])
        return self

    def end(self) -> None:
        """End both servers."""
        for pidfile in sorted(self.folder.glob("*.pid"), reverse=True):
            stop(int(pidfile.read_text()))


@contextlib.contextmanager
def real_running(folder: Path) -> Iterator[Daemon]:
    """Run the real one in a namespace of its own."""
    with namespace() as place:
        daemon = RealDaemon(folder, place)
        try:
            yield daemon.start()
        finally:
            daemon.end()


@contextlib.contextmanager
def traffic(daemon: Daemon) -> Iterator[Callable[[], None]]:
    """Make br0 with a host each at p1 and p2, and a patch cable to br1; yield what has the hosts exchange echoes."""
    # Megaflows shall stay while a busy machine compares.
    daemon.vsctl("set", "Open_vSwitch", ".", "other_config:max-idle=600000")
    for bridge in ("br0", "br1"):
        daemon.vsctl("add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev")
    with namespace() as one, namespace() as other:
        hosts = [Host(place, f"p{n}", "eth0", f"10.1.0.{n}") for n, place in enumerate((one, other), 1)]
        for n, host in enumerate(hosts, 1):
            host.place.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
            daemon.place.ip("link", "add", host.port, "type", "veth", "peer", "name", "eth0", "netns", host.place.name)
            daemon.place.run("sysctl", "-qw", f"net.ipv6.conf.{host.port}.disable_ipv6=1")
            host.place.ip("link", "set", "eth0", "address", f"02:00:00:00:00:0{n}")
            host.place.ip("addr", "add", f"{host.address}/24", "dev", "eth0")
            daemon.place.ip("link", "set", host.port, "up")
            host.place.ip("link", "set", "eth0", "up")
            daemon.vsctl("add-port", "br0", host.port)
        for bridge, port, peer in (("br0", "px", "py"), ("br1", "py", "px")):
            settings = ("--", "set", "interface", port, "type=patch", f"options:peer={peer}")
            daemon.vsctl("add-port", bridge, port, *settings)

        def echo() -> None:
            hosts[0].place.ip("neigh", "flush", "all")
            assert hosts[0].ping(hosts[1], count=3) == 3

        yield echo


@pytest.fixture(scope="module")
def daemons(tmp_path_factory):
    """Run ours and the real one, with the same ports; yield them, and what makes the same traffic at both."""
    with (
        running(tmp_path_factory.mktemp("ours")) as ours,
        real_running(tmp_path_factory.mktemp("real")) as real,
        traffic(ours) as echo,
        traffic(real) as real_echo,
    ):
        yield ours, real, lambda: (echo(), real_echo())


@pytest.fixture(scope="module")
def appctl(tmp_path_factory):
    """Give the path of our `ovs-appctl`."""
    folder = tmp_path_factory.mktemp("bin")
    compat.install(str(folder))
    return str(folder / "ovs-appctl")


def same(text: str) -> str:
    """Return a reply without what is measured, and without orders that mean nothing."""
    text = HEADER.sub("", STATISTICS.sub("stats", text))
    text = ACTIONS.sub(lambda found: ",".join(sorted(found[0].split(","))), text)
    if "stats, actions:" in text:
        return "\n".join(sorted(text.splitlines()))
    return text


def counted(text: str) -> str:
    return COUNTS.sub("N", text)


def upcalls(text: str) -> str:
    """Return upcall/show without its numbers: there are as many threads as there are."""
    return "\n".join(dict.fromkeys(re.sub("[0-9]+", "N", text).splitlines()))


def aged(text: str) -> str:
    return AGE.sub("", text)


# Command, what makes replies comparable.
EQUAL = [
    ("version", lambda text: text.partition("\n")[0]),
    ("version x", same),
    ("ofproto/list", same),
    ("ofproto/list x", same),
    ("fdb/show br0", aged),
    ("fdb/show br1", aged),
    ("fdb/show", same),
    ("fdb/show nosuch", same),
    ("fdb/show br0 x", same),
    ("fdb/flush nosuch", same),
    ("fdb/flush a b", same),
    ("dpctl/dump-dps", same),
    ("dpctl/dump-dps x", same),
    ("dpctl/show", counted),
    ("dpctl/show -s", counted),
    ("dpctl/show --statistics netdev@ovs-netdev", counted),
    ("dpctl/show nosuch", same),
    ("dpctl/show ovs-netdev", same),
    ("dpctl/show -x", same),
    ("dpctl/show --nosuch", same),
    ("dpctl/show -sx", same),
    ("dpctl/dump-flows --names", same),
    ("dpctl/dump-flows --names netdev@ovs-netdev", same),
    ("dpctl/dump-flows --names filter=arp", same),
    ("dpctl/dump-flows --names filter=ip", same),
    ("dpctl/dump-flows --names filter=ip,in_port=p1", same),
    ("dpctl/dump-flows --names filter=ip,in_port=3", same),
    ("dpctl/dump-flows --names filter=eth_src=02:00:00:00:00:01", same),
    ("dpctl/dump-flows --names filter=eth_dst=ff:ff:ff:ff:ff:ff", same),
    ("dpctl/dump-flows --names filter=tcp", same),
    ("dpctl/dump-flows --names filter=icmp,nw_src=10.1.0.1", same),
    ("dpctl/dump-flows --names filter=ip,nw_ttl=5", same),
    ("dpctl/dump-flows --names filter=arp,arp_op=1", same),
    ("dpctl/dump-flows --names filter=arp,arp_op=2", same),
    ("dpctl/dump-flows --names filter=dl_vlan=5", same),
    ("dpctl/dump-flows --names filter=ipv6", same),
    ("dpctl/dump-flows --names filter=reg0=1", same),
    ("dpctl/dump-flows --names filter=metadata=1", same),
    ("dpctl/dump-flows --names filter=vlan_tci=0x1005", same),
    ("dpctl/dump-flows --names filter=", same),
    ("dpctl/dump-flows --names type=ovs", same),
    ("dpctl/dump-flows --names type=all", same),
    ("dpctl/dump-flows --names type=non-offloaded", same),
    ("dpctl/dump-flows --names type=offloaded", same),
    ("dpctl/dump-flows --names type=tc,ovs", same),
    ("dpctl/dump-flows --names type=dpdk", same),
    ("dpctl/dump-flows type=nosuch", same),
    ("dpctl/dump-flows type=ovs,nosuch", same),
    ("dpctl/dump-flows pmd=99", same),
    ("dpctl/dump-flows nosuch", same),
    ("dpctl/dump-flows netdev@nosuch", same),
    ("dpctl/dump-flows -x", same),
    ("dpctl/dump-flows --nosuch", same),
    ("dpctl/dump-flows a b c d e f g", same),
    ("dpif/show", counted),
    ("dpif/show x", same),
    ("upcall/show", upcalls),
    ("upcall/show x", same),
    ("coverage/read-counter", same),
    ("coverage/read-counter nosuch", same),
    ("coverage/show x", same),
    ("memory/show x", same),
    ("vlog/list x", same),
    ("vlog/set nosuch", same),
    ("vlog/set jsonrpc:nosuch", same),
    ("vlog/set unixctl:file:dbg", same),
    ("vlog/set unixctl:file:info bridge", same),
    ("vlog/set bridge:info", same),
    ("vlog/set PATTERN:file", same),
    ("vlog/set FACILITY:nosuch", same),
    ("vlog/list-pattern", same),
    ("vlog/reopen", same),
    ("vlog/reopen x", same),
    ("vlog/close", same),
    ("vlog/disable-rate-limit nosuch", same),
    ("vlog/disable-rate-limit unixctl", same),
    ("vlog/enable-rate-limit", same),
    ("nosuch/command", same),
    ("exit a b", same),
    ("fdb/flush br0", same),
    ("fdb/flush", same),
]


def test_commands_answer_as_those_of_a_real_daemon(daemons, appctl):
    ours, real, echo = daemons
    echo()
    wrong = []
    for line, comparable in EQUAL:
        mine, theirs = ours.tool(appctl, *line.split(" ")), real.tool("ovs-appctl", *line.split(" "))
        found, wanted = ([comparable(d.stdout), comparable(d.stderr), d.returncode] for d in (mine, theirs))
        if found != wanted:
            wrong.append((line, found, wanted))
    assert not wrong, "\n".join(f"{line}\n  ours {found}\n  real {wanted}" for line, found, wanted in wrong)


def test_the_original_client_prints_what_ours_prints(daemons, appctl):
    ours, _, _ = daemons
    for line in ("list-commands", "vlog/list", "ofproto/list", "dpctl/show -s", "fdb/show nosuch", "dpif/show"):
        mine, theirs = (ours.tool(program, *line.split(" ")) for program in (appctl, "ovs-appctl"))
        assert (mine.stdout, mine.stderr, mine.returncode) == (theirs.stdout, theirs.stderr, theirs.returncode), line


def test_commands_have_the_usage_of_the_real_ones(daemons):
    ours, real = (daemon.appctl("list-commands").splitlines() for daemon in daemons[:2])
    only_ours = {line.split()[0] for line in set(ours) - set(real)}
    assert only_ours <= {"set-options", "drops/show"}


def test_vlog_list_has_the_table_of_the_real_one(daemons):
    ours, real = (daemon.appctl("vlog/list").splitlines() for daemon in daemons[:2])
    assert ours[:2] == real[:2]
    level = "(?:  OFF| EMER|  ERR| WARN| INFO|  DBG)"
    row = re.compile(rf"\S.{{15,}} {level}      {level}      {level}")
    assert [line for line in ours[2:] + real[2:] if not row.fullmatch(line)] == []


def test_memory_show_counts_under_the_names_of_the_real_one(daemons):
    ours, real = (dict(word.rsplit(":", 1) for word in re.findall(r"\S[^:]*:\d+", daemon.appctl("memory/show")))
                  for daemon in daemons[:2])  # fmt: skip
    assert {"handlers", "ports", "rules"} <= ours.keys() & real.keys()
    assert ours["ports"] == real["ports"]


def test_coverage_counts_what_its_reader_reads(daemons):
    ours, _, _ = daemons
    row = re.compile(r"^unixctl_received +[\d.]+/sec +[\d.]+/sec +[\d.]+/sec +total: (\d+)$", re.M)
    total = row.search(ours.appctl("coverage/show"))[1]
    assert int(ours.appctl("coverage/read-counter", "unixctl_received")) == int(total) + 1


def as_json(daemon: Daemon, appctl: str, line: str):
    return json.loads(daemon.ok(appctl, "--format=json", *line.split(" ")))


# Command, keys of each object.
LISTS = [
    ("fdb/show br0", {"port", "vlan", "mac", "age"}),
    ("dpctl/show -s", {"name", "lookups", "flows", "ports"}),
    ("dpctl/dump-flows", {"forwarder", "ufid", "match", "packets", "bytes", "used_s", "actions"}),
    ("dpif/show", {"name", "ports"}),
    ("upcall/show", {"name", "flows", "average", "highest", "limit", "sweep_ms", "forwarders"}),
    ("coverage/show", {"name", "total", "rate_5s", "rate_minute", "rate_hour"}),
    ("vlog/list", {"module", "console", "syslog", "file"}),
]


@pytest.fixture
def busy(daemons):
    """Give our daemon with fresh megaflows and MAC addresses."""
    ours, _, echo = daemons
    echo()
    return ours


@pytest.mark.parametrize(("line", "keys"), LISTS, ids=[line for line, _ in LISTS])
def test_lists_are_objects_in_json(busy, appctl, line, keys):
    rows = as_json(busy, appctl, line)
    assert isinstance(rows, list)
    assert all(row.keys() == keys for row in rows)


def test_json_says_what_the_text_says(busy, appctl):
    assert as_json(busy, appctl, "ofproto/list") == ["br0", "br1"]
    assert as_json(busy, appctl, "dpctl/dump-dps") == ["netdev@ovs-netdev"]
    assert as_json(busy, appctl, "version") == {"reply": busy.appctl("version"), "reply-format": "plain"}
    (shown,) = as_json(busy, appctl, "dpctl/show -s")
    text = busy.appctl("dpctl/show")
    assert all(f"  port {port['number']}: {port['name']}" in text for port in shown["ports"])
    assert all(type(count) is int for port in shown["ports"] for count in port["statistics"].values())
    assert as_json(busy, appctl, "list-commands")["fdb/show"] == "bridge"
    assert as_json(busy, appctl, "memory/show")["ports"] == 6
    patch = {"name": "px", "ofport": 3, "dp_port": None, "type": "patch: peer=py"}
    assert patch in as_json(busy, appctl, "dpif/show")[0]["ports"]
    drops = {row["reason"]: row["packets"] for row in as_json(busy, appctl, "drops/show")}
    assert drops == {reason: int(n) for n, reason in re.findall(r"^ *(\d+)  (\S+)", busy.appctl("drops/show"), re.M)}
    assert busy.ok(appctl, "-f", "json", "--pretty", "ofproto/list") == '[\n  "br0",\n  "br1"\n]\n'


def test_errors_stay_text_in_json(busy, appctl):
    done = busy.tool(appctl, "-f", "json", "fdb/show", "nosuch")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "no such bridge\novs-appctl: ovs-vswitchd: server returned an error\n"


def test_a_filter_may_have_masks(busy):
    every = busy.appctl("dpctl/dump-flows", "filter=eth_src=02:00:00:00:00:00/ff:ff:ff:ff:ff:00")
    assert "src=02:00:00:00:00:01" in every
    assert busy.appctl("dpctl/dump-flows", "filter=eth_src=02:00:00:00:01:00/ff:ff:ff:ff:ff:00") == ""


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["set-options"], '"set-options" command requires at least 1 arguments'),
        (["set-options", "--format", "xml"], "option format has invalid value xml"),
        (["set-options", "--nosuch"], "unrecognized option '--nosuch'"),
        (["set-options", "--format=json", "x"], 'takes no argument "x"'),
        (["dpctl/dump-flows", "pmd=x"], 'pmd=x: "x" is not the number of a forwarder'),
        (["dpctl/dump-flows", "filter=nosuch=1"], "Failed to parse filter (nosuch=1: unknown"),
        (["dpctl/dump-flows", "filter=nw_src=1.2.3.4"], "Failed to parse filter (nw_src=1.2.3.4: "),
        (["dpctl/dump-flows", "filter=in_port=p9"], "p9"),
    ],
)
def test_wrong_arguments_are_named(busy, words, reason):
    assert reason in busy.fails("ovs-appctl", *words)


def test_a_format_holds_for_its_connection_only(busy, appctl):
    as_json(busy, appctl, "ofproto/list")
    assert busy.appctl("ofproto/list") == "br0\nbr1\n"
