"""Our ofctl and Debian's ovs-ofctl, the same command lines on the same switch: equal effect, text, exit code (TL.02).

The switch is our daemon, and for what only looks also a real ovs-vswitchd. Both programs start from the same flows.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.ofproto.real_switch import real_switch
from tests.peers.daemon import ROOT, TIMEOUT_S, Daemon, flow_lines, wait_until
from tests.peers.flow_lists import ANY_VERSION, ONLY_13
from tests.peers.test_ofctl import ARP

pytestmark = [pytest.mark.root, pytest.mark.ovs_tools]

BRIDGE = "br0"
OURS = [sys.executable, "-c", "import sys; sys.argv[0] = 'ofctl'; from vswitchd.ofctl import main; sys.exit(main())"]
THEIRS = ["ovs-ofctl"]
OF13 = ["-O", "OpenFlow13"]

# What differs without meaning: transactions, ages, times, program names, log times.
MASKS = (
    (re.compile(r"xid=(0x)?[0-9a-f]+"), "xid=X"),
    (re.compile(r"(duration|idle_age|hard_age)=[0-9.]+"), r"\1=N"),
    (re.compile(r"time=[0-9.]+ ms"), "time=N ms"),
    (re.compile(r"Finished in .*"), "Finished"),
    (re.compile(r"^(ovs-ofctl|ofctl\.py|ofctl): ", re.MULTILINE), "PROGRAM: "),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:]+Z\|\d+\|"), "LOG|"),
    (re.compile(r"lookup=\d+, matched=\d+"), "lookup=N"),
)

# Each list: flows to begin with, then command lines, one a line; BR stands for the bridge. Bad ones are as good as any.
LOOKING = """
    show BR | dump-desc BR | dump-tables BR | dump-ports BR | dump-ports BR 1 | dump-ports BR p2 | dump-ports BR LOCAL
    dump-ports BR 77 | dump-ports BR nosuch | dump-ports BR 1 2 | dump-ports-desc BR | dump-ports-desc BR p1
    dump-ports-desc BR nosuch | -O OpenFlow13 show BR | -O OpenFlow13 dump-desc BR | -O OpenFlow13 dump-tables BR
    -O OpenFlow13 dump-ports BR | -O OpenFlow13 dump-ports BR p3 | -O OpenFlow13 dump-ports-desc BR | get-frags BR
    -O OpenFlow13 get-frags BR | -O OpenFlow10,OpenFlow13 get-frags BR | -Oopenflow13 get-frags BR
    show BR -O OpenFlow13 | dump-flows BR | dump-flows BR tcp | dump-flows BR table=1 | dump-flows BR cookie=5/-1
    dump-flows BR out_port=2 | dump-flows BR out_port=p2 | dump-flows BR in_port=p1
    dump-flows BR ip,nw_src=10.0.0.0/8 | -O OpenFlow13 dump-flows BR | -O OpenFlow13 dump-flows BR ipv6
    --sort dump-flows BR | --rsort dump-flows BR | --sort=in_port dump-flows BR | --rsort=nw_src --sort dump-flows BR
    --sort=tcp_dst dump-flows BR | --rsort=priority dump-flows BR | --sort=foo dump-flows BR | --names dump-flows BR
    --no-names dump-flows BR | --no-names dump-flows BR in_port=p1 | --no-stats dump-flows BR
    --names --no-stats --sort dump-flows BR | -O OpenFlow13 --no-stats dump-flows BR | --names dump-ports BR
    --names dump-ports BR 1 | -m dump-flows BR | -F NXM dump-flows BR | -F OpenFlow10 dump-flows BR
    -F OpenFlow10-table_id dump-flows BR | -F OXM dump-flows BR | -F nosuch dump-flows BR | -F NXM,OXM dump-flows BR
    -F any dump-flows BR table=1 | dump-aggregate BR | dump-aggregate BR tcp | dump-aggregate BR table=1
    -O OpenFlow13 dump-aggregate BR | -F OpenFlow10 dump-aggregate BR | dump-aggregate BR foo | dump-flows BR foo
    dump-flows BR foo=1 | dump-flows BR actions=1 | dump-flows BR priority=1 | dump-flows BR idle_timeout=1
    dump-flows BR table=300 | dump-flows BR table=x | dump-flows BR cookie=1 | dump-flows BR cookie=1/x
    dump-flows BR out_port=nosuch | dump-flows BR in_port=nosuch | dump-flows BR out_group=1
    dump-flows BR tcp tp_dst=80 | dump-flows BR ip,nw_src=1.2.3 | probe BR | probe nosuch | ping BR 10 | ping BR 0
    ping BR 65528 | benchmark BR 10 5 | parse-flow in_port=1,actions=2 | -O OpenFlow13 parse-flow in_port=1,actions=2
    -F nxm parse-flow tcp,actions=drop | parse-flow in_port=p1,actions=2 | parse-flow actions=dec_ttl
    -O OpenFlow13 parse-flow actions=dec_ttl | parse-flow table=3,actions=1 | diff-flows BR BR | show nosuch | show
    show BR BR | nosuch BR | --nosuch show BR | -x show BR | --t show BR | -t x show BR | -t 0 show BR
    -t 5 get-frags BR | --timeout=5 get-frags BR | -O nosuch show BR | -P nosuch monitor BR
    --color=nosuch dump-flows BR | show unix:/nosuch | show /nosuch | show tcp:127.0.0.1:1 | show nosuch:1
    monitor nosuch | monitor BR nosuch | add-flows BR /nosuch | --read-only add-flow BR actions=1
    --read-only dump-desc BR | mod-port BR | set-frags BR | add-flow BR | -O OpenFlow14 show BR
    -O OpenFlow14 dump-desc BR | -O OpenFlow14 dump-tables BR | -O OpenFlow14 dump-ports-desc BR
    -O OpenFlow14 dump-flows BR | -O OpenFlow14 dump-flows BR in_port=p1 | -O OpenFlow14 dump-aggregate BR tcp
    -O OpenFlow14 get-frags BR | --bundle show BR | --bundle --no-stats --sort dump-flows BR
    --bundle -F NXM dump-flows BR | --bundle parse-flow importance=5,idle_timeout=3,check_overlap,actions=drop
    -O OpenFlow13,OpenFlow14 dump-aggregate BR
"""
EDITING = """
    add-flow BR in_port=1,actions=2 | add-flow BR priority=7,tcp,tp_dst=81,actions=output:p2
    add-flow BR in_port=p1,actions=p2,LOCAL | -O OpenFlow13 add-flow BR table=2,in_port=1,actions=goto_table:3
    add-flow BR table=4,cookie=9,actions=resubmit(,5) | add-flow BR reg0=5,actions=load:1->NXM_NX_REG1[]
    -F NXM add-flow BR in_port=4,actions=1 | -F OpenFlow10 add-flow BR in_port=4,actions=1
    -F OpenFlow10-table_id add-flow BR table=4,actions=1 | -F OpenFlow10 add-flow BR reg0=1,actions=1
    add-flow BR send_flow_rem,idle_timeout=50,hard_timeout=60,in_port=3,actions=drop
    add-flow BR check_overlap,priority=10,tcp,tp_dst=80,actions=1 | add-flow BR reset_counts,actions=1
    -O OpenFlow13 add-flow BR reset_counts,in_port=1,actions=1 | add-flow BR in_port=1 actions=2
    add-flow BR in_port=nosuch,actions=1 | add-flow BR in_port=1,actions=nosuch
    add-flow BR in_port=1,actions=output: | add-flow BR in_port=1 | add-flow BR actions=
    add-flow BR priority=70000,actions=1 | add-flow BR foo=1,actions=1 | add-flow BR tcp,tp_dst=80/x,actions=1
    add-flow BR ip,nw_src=10.0.0.0/33,actions=1 | add-flow BR cookie=1/1,actions=1
    add-flow BR dl_src=1:2:3,actions=1 | add-flow BR table=254,actions=1
    -O OpenFlow13 add-flow BR table=254,actions=1 | add-flow BR ct_state=+foo,actions=1
    add-flow BR ip_frag=foo,ip,actions=1 | add-flow BR actions=set_field:1->tcp_dst
    add-flow BR actions=mod_vlan_vid:5000 | add-flow BR actions=push_vlan:0x8100 | add-flow BR actions=note:xyz
    add-flow BR actions=goto_table:5,1 | add-flow BR tcp_dst=80,actions=1 | add-flow BR idle_timeout=x,actions=1
    -O OpenFlow13 add-flow BR actions=dec_ttl | add-flow BR actions=enqueue:1 | add-flow BR actions=resubmit
    add-flow BR actions=move:reg0[]->reg1[0..3] | add-flow BR actions=load:0x1ff->reg0[0..7]
    add-flow BR ip,foo,actions=1 | -O OpenFlow13 add-flow BR recirc_id=5,actions=1 | add-flow BR dp_hash=1,actions=1
    mod-flows BR tcp,actions=3 | --strict mod-flows BR priority=10,tcp,tp_dst=80,actions=3
    --strict mod-flows BR priority=11,tcp,tp_dst=80,actions=3 | mod-flows BR cookie=5/-1,actions=4
    mod-flows BR cookie=5/-1,cookie=6,actions=4 | -O OpenFlow13 mod-flows BR cookie=5/-1,actions=4
    -O OpenFlow13 mod-flows BR ip,actions=set_field:5->nw_ttl,2 | mod-flows BR in_port=1 | mod-flows BR foo,actions=1
    mod-flows BR table=7,in_port=4,actions=1 | del-flows BR | del-flows BR tcp | del-flows BR table=1
    --strict del-flows BR priority=10,tcp,tp_dst=80 | --strict del-flows BR tcp,tp_dst=80 | del-flows BR out_port=2
    del-flows BR out_port=p2 | del-flows BR cookie=5/-1 | -O OpenFlow13 del-flows BR cookie=5/-1
    del-flows BR cookie=5 | -O OpenFlow13 del-flows BR
    -O OpenFlow13 --strict del-flows BR table=1,priority=5,in_port=1 | del-flows BR actions=1
    del-flows BR priority=1 | del-flows BR send_flow_rem | del-flows BR out_port=nosuch | mod-port BR 1 no-flood
    mod-port BR p1 flood | mod-port BR 77 up | mod-port BR p1 nosuch | mod-port BR p1 no-packet-in
    mod-port BR p1 packet-in | -O OpenFlow13 mod-port BR 2 no-forward | -O OpenFlow13 mod-port BR 2 forward
    set-frags BR drop | set-frags BR normal | set-frags BR nx-match | set-frags BR reassemble | set-frags BR nosuch
    set-frags BR normal | packet-out BR in_port=1,packet=ARP,actions=2
    packet-out BR in_port=p1,packet=ARP,actions=p2 | -O OpenFlow13 packet-out BR in_port=1,packet=ARP,actions=2
    packet-out BR 1 2 ARP | packet-out BR p1 drop ARP ARP | packet-out BR in_port=1,packet=0011,actions=2
    packet-out BR in_port=1,packet=xx,actions=2 | packet-out BR foo
    packet-out BR in_port=nosuch,packet=ARP,actions=2 | packet-out BR in_port=1,actions=2 | packet-out BR nosuch 2 ARP
    packet-out BR in_port=1,packet=ARP,actions=nosuch | packet-out BR in_port=1,packet=ARP,actions=goto_table:1
    packet-out BR in_port=1,foo=1,packet=ARP,actions=1 | packet-out BR 1 2 zz
    -O OpenFlow14 add-flow BR importance=5,in_port=1,actions=2 | -O OpenFlow14 add-flow BR table=254,actions=1
    -O OpenFlow14 del-flows BR tcp | -O OpenFlow14 mod-port BR 2 no-forward | -O OpenFlow14 mod-port BR 2 forward
    -O OpenFlow14 packet-out BR in_port=1,packet=ARP,actions=2 | --bundle add-flow BR in_port=4,actions=1
    --bundle add-flow BR importance=7,reg0=5,actions=load:1->NXM_NX_REG1[] | --bundle mod-flows BR tcp,actions=3
    --bundle --strict mod-flows BR priority=10,tcp,tp_dst=80,actions=3 | --bundle del-flows BR tcp
    --bundle del-flows BR | --bundle del-flows BR table=254 | --bundle add-flow BR table=254,actions=1
    --bundle add-flow BR check_overlap,priority=10,tcp,actions=1 | --bundle -F NXM add-flow BR actions=1
    -O OpenFlow10 --bundle add-flow BR in_port=4,actions=1 | -O OpenFlow13 --bundle add-flow BR in_port=4,actions=1
    -O OpenFlow13 --bundle add-flow BR table=254,ip,actions=1
    --bundle packet-out BR in_port=1,packet=ARP,actions=2 | --bundle mod-port BR 1 no-flood | mod-port BR 1 flood
"""
START = """
    priority=10,tcp,tp_dst=80,actions=output:2
    priority=20,ip,nw_src=10.1.0.0/16,actions=output:1
    priority=5,ipv6,actions=NORMAL
    cookie=5,in_port=1,actions=output:2,LOCAL
    priority=3,udp,in_port=2,idle_timeout=500,actions=output:p3
    table=1,priority=5,in_port=1,actions=CONTROLLER
    table=2,cookie=5,reg0=7,actions=resubmit(,3)
"""


def command_lines(text: str) -> list[str]:
    """Return the command lines of a list."""
    return [one.strip() for line in text.split("\n") for one in line.split("|") if one.strip()]


# Runs our ofctl for each line of JSON (words, environment, input): each in a child that finds the modules loaded. That
# saves most of the time of hundreds of programs.
FORKER = """
import json, os, sys
from vswitchd import ofctl, ofctl_diff, ofctl_flows, ofctl_show
for line in sys.stdin:
    words, env, place = json.loads(line)
    child = os.fork()
    if child == 0:
        os.environ.update(env)
        for number, name, mode in ((0, "in", os.O_RDONLY), (1, "out", os.O_WRONLY), (2, "err", os.O_WRONLY)):
            os.dup2(os.open(f"{place}/{name}", mode), number)
        sys.stdin = open(0)
        sys.argv = ["ofctl"]
        code = ofctl.main(words)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Forker:
    """Our ofctl, one run after the other."""

    def __init__(self, folder) -> None:
        self.folder = folder
        env = os.environ | {"PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", FORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )

    def run(self, words: list[str], rundir: str, stdin: str | None):
        """Run a command line; what it did."""
        for name, text in (("in", stdin or ""), ("out", ""), ("err", "")):
            (self.folder / name).write_text(text)
        self.process.stdin.write(json.dumps([words, {"OVS_RUNDIR": rundir}, str(self.folder)]) + "\n")
        self.process.stdin.flush()
        code = int(self.process.stdout.readline())
        out, err = ((self.folder / name).read_text() for name in ("out", "err"))
        return subprocess.CompletedProcess(words, code, out, err)

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait(TIMEOUT_S)
        self.process.stdout.close()


class Switch:
    """A switch, and programs that talk to it."""

    def __init__(self, rundir, forker: Forker) -> None:
        self.rundir, self.forker = str(rundir), forker
        self.env = os.environ | {"OVS_RUNDIR": str(rundir), "PYTHONPATH": str(ROOT)}

    def run(self, program: list[str], *words: str, stdin: str | None = None):
        """Run a program; what it did."""
        if program is OURS:
            return self.forker.run(list(words), self.rundir, stdin)
        return subprocess.run(
            [*program, *words], env=self.env, input=stdin, capture_output=True, text=True, timeout=TIMEOUT_S
        )

    def ok(self, *words: str, stdin: str | None = None) -> str:
        """Run ovs-ofctl, which must succeed."""
        done = self.run(THEIRS, *words, stdin=stdin)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def ours(self, *words: str, stdin: str | None = None) -> str:
        """Run our ofctl, which must succeed."""
        done = self.run(OURS, *words, stdin=stdin)
        assert (done.returncode, done.stderr) == (0, ""), words
        return done.stdout

    def objects(self, *words: str) -> list:
        """Return what our ofctl prints as JSON."""
        return json.loads(self.ours("--format=json", *words))

    def reset(self) -> None:
        """Bring the flows back to START."""
        self.ok("add-flows", BRIDGE, "-", stdin=f"delete\n{START}")

    def state(self) -> tuple[list[str], str, list[str]]:
        """Return all that a command could have changed."""
        flows = flow_lines(self.ok(*OF13, "dump-flows", BRIDGE))
        return flows, self.ok("get-frags", BRIDGE), PORT_CONFIG.findall(self.ok("show", BRIDGE))


PORT_CONFIG = re.compile(r"config: +(.*)")


def ports(names: int = 4) -> list[str]:
    """Return the words for ovs-vsctl that make the bridge."""
    words = f"--may-exist add-br {BRIDGE} -- set-fail-mode {BRIDGE} secure"
    words += f" -- set bridge {BRIDGE} protocols=OpenFlow10,OpenFlow13,OpenFlow14"
    for number in range(1, names + 1):
        port = f"p{number} -- set interface p{number} type=internal ofport_request={number}"
        words += f" -- add-port {BRIDGE} {port}"
    return words.split()


@pytest.fixture(scope="module")
def forker(tmp_path_factory) -> Iterator[Forker]:
    """Return what runs our ofctl."""
    made = Forker(tmp_path_factory.mktemp("ofctl"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def switch(daemon: Daemon, forker):
    """Return our daemon with a bridge of four ports."""
    daemon.vsctl(*ports())
    made = Switch(daemon.folder, forker)
    made.reset()
    yield made
    daemon.vsctl("del-br", BRIDGE)


@pytest.fixture(scope="module")
def real(tmp_path_factory, forker):
    """Return a real ovs-vswitchd with such a bridge."""
    with real_switch(tmp_path_factory.mktemp("ovs")) as path:
        database = f"--db=unix:{path.parent}/db.sock"
        subprocess.run(["ovs-vsctl", database, f"--timeout={TIMEOUT_S}", *ports()], check=True)
        made = Switch(path.parent, forker)
        made.reset()
        yield made


def told(done) -> tuple[int, str, str]:
    """Return exit code and texts of a program with what has no meaning masked, in standard error each line once."""
    texts = []
    for text in (done.stdout, done.stderr):
        for pattern, word in MASKS:
            text = pattern.sub(word, text)
        texts.append(text)
    errors = (line for line in texts[1].splitlines() if "lacks correct prerequisites" not in line)
    return done.returncode, texts[0], "\n".join(dict.fromkeys(errors))


def words_of(line: str) -> list[str]:
    """Return the words of a command line; everything from the flow on is one."""
    words = line.replace("ARP", ARP).split()
    words = [BRIDGE if word == "BR" else word for word in words]
    commands = ("add-flow", "mod-flows", "del-flows", "dump-flows")
    at = next((i for i, word in enumerate(words) if word in commands), None)
    if at is not None and words[0] != "show" and len(words) > at + 2 and words[at + 1] == BRIDGE:
        words[at + 2 :] = [" ".join(words[at + 2 :])]
    return words


@pytest.mark.parametrize("line", command_lines(LOOKING))
def test_looking_at_our_switch_shows_what_ovs_ofctl_shows(switch, line):
    ours, theirs = (told(switch.run(program, *words_of(line))) for program in (OURS, THEIRS))
    assert ours == theirs


@pytest.mark.parametrize("line", command_lines(LOOKING))
def test_looking_at_a_real_switch_shows_what_ovs_ofctl_shows(real, line):
    ours, theirs = (told(real.run(program, *words_of(line))) for program in (OURS, THEIRS))
    assert ours == theirs


@pytest.mark.parametrize("line", command_lines(EDITING))
def test_editing_our_switch_does_what_ovs_ofctl_does(switch, line):
    results = []
    for program in (OURS, THEIRS):
        switch.reset()
        results.append((told(switch.run(program, *words_of(line))), switch.state()))
    switch.reset()
    assert results[0] == results[1]


def test_the_command_itself_starts_and_answers(switch):
    done = subprocess.run([*OURS, "get-frags", BRIDGE], env=switch.env, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (0, "normal\n", "")


DIALECTS = {"nxm": [], "openflow10": ["-O", "OpenFlow10"], "openflow13": OF13}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_flow_arrives_as_ovs_ofctl_sends_it(switch, dialect):
    options = DIALECTS[dialect]
    flows = "\n".join(ANY_VERSION + (ONLY_13 if dialect == "openflow13" else []))
    shown = []
    for program in (OURS, THEIRS):
        switch.ok("del-flows", BRIDGE)
        done = switch.run(program, *options, "add-flows", BRIDGE, "-", stdin=flows)
        assert (done.returncode, done.stderr) == (0, "")
        shown.append(flow_lines(switch.ok(*OF13, "dump-flows", BRIDGE)))
    assert shown[0] == shown[1]
    assert len(shown[0]) == flows.count("\n") + 1
    for options in DIALECTS.values() if dialect != "openflow13" else [OF13]:
        ours, theirs = (told(switch.run(program, *options, "dump-flows", BRIDGE)) for program in (OURS, THEIRS))
        assert ours == theirs
    switch.reset()


# -- files


def test_a_line_that_cannot_be_read_is_named_and_nothing_of_its_file_is_sent(switch, tmp_path):
    path = tmp_path / "flows"
    for bad in ("in_port=1,actions=nosuch", "foo", "actions=1 foo=2 bar", "in_port=1", "priority=x,actions=1"):
        path.write_text(f"# flows\n\nin_port=4,actions=1\n{bad}\nin_port=3,actions=1\n")
        before = switch.state()
        ours, theirs = (told(switch.run(program, "add-flows", BRIDGE, str(path))) for program in (OURS, THEIRS))
        assert ours == theirs
        assert ours[2].startswith(f"PROGRAM: {path}:4: ")
        assert switch.state() == before


FILES = (
    "in_port=4,actions=1\ndelete in_port=1\nmodify tcp,actions=4 # why\n",
    "add in_port=4,actions=1\n\n   modify_strict priority=5,ipv6,actions=4\ndelete_strict priority=10,tcp,tp_dst=80",
    "delete\n",
    "delete table=1\n#\n# x",
    "",
    " cookie=0x5, duration=3.2s, table=4, n_packets=0, n_bytes=0, idle_age=3, priority=7,in_port=1 actions=output:2\n",
)


@pytest.mark.parametrize("text", FILES)
def test_files_of_edits_do_what_ovs_ofctl_does_with_them(switch, tmp_path, text):
    path = tmp_path / "edits"
    path.write_text(text)
    for command in (["add-flows", BRIDGE, str(path)], ["add-flow", BRIDGE, "-"], ["add-flows", BRIDGE, "-"]):
        results = []
        for program in (OURS, THEIRS):
            switch.reset()
            results.append((told(switch.run(program, *command, stdin=text)), switch.state()))
        assert results[0] == results[1]
    switch.reset()


BUNDLES = (
    FILES[0],
    FILES[1],
    "in_port=4,actions=1\ntable=254,tcp,nw_src=1.2.3.4,tp_dst=5,actions=mod_tp_src:3,output:4\ntable=254,actions=1\n",
    "delete in_port=1\ndelete table=254\nin_port=4,actions=1\n",
    "check_overlap,priority=10,tcp,actions=1\nin_port=4,actions=1\n",
    "importance=9,in_port=4,actions=1\n",
)


@pytest.mark.parametrize("options", [["--bundle"], [*OF13, "--bundle"]], ids=["OpenFlow14", "OpenFlow13"])
@pytest.mark.parametrize("text", BUNDLES)
def test_files_of_edits_are_done_whole_or_not_at_all_with_bundle(switch, tmp_path, text, options):  # MS.47, MS.48
    path = tmp_path / "edits"
    path.write_text(text)
    results = []
    for program in (OURS, THEIRS):
        switch.reset()
        before = switch.state()
        done = told(switch.run(program, *options, "add-flows", BRIDGE, str(path)))
        results.append((done, switch.state()))
        assert done[0] == 0 or switch.state() == before
    assert results[0] == results[1]
    switch.reset()


def test_flows_are_replaced_as_a_bundle(switch, tmp_path):  # MS.47
    wanted = tmp_path / "wanted"
    for text in ("cookie=5,in_port=1,actions=2,local\nip,actions=4\n", "table=254,actions=1\n"):
        wanted.write_text(text)
        results = []
        for program in (OURS, THEIRS):
            switch.reset()
            done = told(switch.run(program, "--bundle", "replace-flows", BRIDGE, str(wanted)))
            results.append((done, switch.state()))
        assert results[0] == results[1]
    switch.reset()


def test_a_flow_that_the_switch_refuses_is_reported_with_its_line_and_the_others_stand(switch, tmp_path):
    path = tmp_path / "flows"
    path.write_text("in_port=4,actions=1\ntable=254,actions=1\ntable=9,actions=1\n\ntable=254,in_port=1,actions=2\n")
    done = switch.run(OURS, "add-flows", BRIDGE, str(path))
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert [line for line in lines if "OFPT_ERROR" in line] == [
        f"{path}:2: OFPT_ERROR (xid={xid(lines[0])}): OFPBRC_EPERM",
        f"{path}:5: OFPT_ERROR (xid={xid(lines[2])}): OFPBRC_EPERM",
    ]
    flows = switch.state()[0]
    assert any("table=9" in line for line in flows) and any("in_port=4" in line for line in flows)
    switch.reset()


def xid(line: str) -> str:
    """Return the transaction that a line names."""
    return re.search(r"xid=(0x[0-9a-f]+)", line)[1]


def test_flows_are_compared_and_replaced_as_ovs_ofctl_does(switch, tmp_path):
    wanted = tmp_path / "wanted"
    wanted.write_text("priority=10,tcp,tp_dst=80,actions=output:3\ncookie=5,in_port=1,actions=2,local\nip,actions=4\n")
    for words in (["diff-flows", BRIDGE, str(wanted)], ["diff-flows", str(wanted), BRIDGE],
                  ["diff-flows", BRIDGE, "/nosuch"], ["diff-flows", "nosuch", str(wanted)]):  # fmt: skip
        ours, theirs = (told(switch.run(program, *OF13, *words)) for program in (OURS, THEIRS))
        # Their order within a table is that of a hash table.
        a, b = ((code, sorted(text.splitlines()), errors) for code, text, errors in (ours, theirs))
        assert a == b
    results = []
    for program in (OURS, THEIRS):
        switch.reset()
        results.append((told(switch.run(program, *OF13, "replace-flows", BRIDGE, str(wanted))), switch.state()))
    assert results[0] == results[1]
    assert switch.ours(*OF13, "diff-flows", BRIDGE, str(wanted)) == ""
    switch.reset()


def test_ten_thousand_flows_are_added_and_counted(switch, tmp_path):
    path = tmp_path / "many"
    flows = (f"priority=9,tcp,nw_dst=10.0.{i >> 8}.{i & 255},tp_dst={i},actions=2\n" for i in range(10000))
    path.write_text("".join(flows))
    switch.ours("add-flows", BRIDGE, str(path))
    assert "flow_count=10007" in switch.ours("dump-aggregate", BRIDGE)
    for options in ([], OF13, ["--no-stats"]):
        ours, theirs = (told(switch.run(program, *options, "dump-flows", BRIDGE, "tcp")) for program in (OURS, THEIRS))
        assert ours == theirs
        assert ours[1].count("actions=") == 10001
    switch.reset()


# -- JSON


def test_json_has_the_fields_of_openflow(switch):
    switch.reset()
    (features,) = switch.objects(*OF13, "show", BRIDGE)
    assert [port["name"] for port in features["ports"]] == ["p1", "p2", "p3", "p4", BRIDGE]
    assert features["n_tables"] == 254 and features["flags"] == "normal"
    flows = switch.objects("dump-flows", BRIDGE, "in_port=1")
    assert [(flow["match"], flow["actions"], flow["cookie"], flow["table_id"]) for flow in flows] == [
        ("in_port=1", "output:2,LOCAL", 5, 0),
        ("in_port=1", "CONTROLLER:65535", 0, 1),
    ]
    ports_ = switch.objects("dump-ports", BRIDGE)
    assert {port["port_no"] for port in ports_} == {1, 2, 3, 4, "LOCAL"}
    assert all(isinstance(port["rx_packets"], int) for port in ports_)
    assert switch.objects("dump-aggregate", BRIDGE) == [{"packet_count": 0, "byte_count": 0, "flow_count": 7}]
    assert switch.objects("dump-tables", BRIDGE)[0]["active_count"] == 5
    assert switch.objects("get-frags", BRIDGE) == [{"flags": "normal"}]
    assert switch.objects("dump-desc", BRIDGE)[0]["mfr_desc"] == "Nicira, Inc."
    assert len(switch.objects("ping", BRIDGE)) == 10
    assert [row["name"] for row in switch.objects("dump-ports-desc", BRIDGE)] == ["p1", "p2", "p3", "p4", BRIDGE]


# -- monitor


@pytest.mark.parametrize("options", [[], OF13, ["-P", "standard"], [*OF13, "-P", "standard"], ["-P", "nxt_packet_in"]])
def test_a_monitor_prints_what_ovs_ofctl_prints(switch, daemon, options, tmp_path):
    paths = [tmp_path / "ours", tmp_path / "theirs"]
    processes = []
    for program, path in zip((OURS, THEIRS), paths, strict=True):
        with open(path, "w") as file:
            command = [*program, *options, "monitor", BRIDGE, "65534"]
            processes.append(subprocess.Popen(command, env=switch.env, stderr=file, stdout=file))
    try:
        wait_until(lambda: connections(daemon) >= 2, "both are connected")
        for actions in ("controller", "set_field:0x5->reg0,controller(reason=no_match)"):
            # Until both have said in which form they want packets, they may get them in another.
            wait_until(lambda a=actions: all_have(switch, paths, a), "both have the packet")
        switch.ok("packet-out", BRIDGE, f"in_port=1,packet={LAST},actions=controller")
        wait_until(lambda: all("00:00:0e:0d" in path.read_text() for path in paths), "both have the last packet")
        for path in paths:
            path.write_text("")
        for frame in FRAMES:
            switch.ok("packet-out", BRIDGE, f"in_port=1,packet={frame},actions=set_field:0x5->reg0,controller")
        switch.ok("mod-port", BRIDGE, "1", "no-flood")
        switch.ok("mod-port", BRIDGE, "1", "flood")
        wait_until(lambda: all(path.read_text().count("MOD:") >= 2 for path in paths), "both have the changes")
    finally:
        for process in processes:
            process.terminate()
            process.wait(TIMEOUT_S)
    texts = [re.sub(r"^\0+|xid=0x[0-9a-f]+|.*terminating with signal.*\n", "", path.read_text()) for path in paths]
    assert texts[0] == texts[1]
    assert texts[0].count("PACKET_IN") == len(FRAMES)


LAST = "00000000000200000000" + "0e0d" + "ffff" + "00" * 20
FRAMES = (
    ARP,
    "000000000001000000000002810000050800450000280000000040060000010203040506070800500051000000000000000050100000000000000000",
    "00000000000100000000000286dd6000000000083aff000000000000000000000000000000010000000000000000000000000000000280001234567800ff",
    "000000000001000000000002080045b9001c000020004011000001020304050607080035003500080000",
    "000000000001000000000002080045000014000000014011000001020304050607080035003500080000",
    "00000000000100000000000288a80064810000c80806000108000604000102000000000" + "10a0000010000000000000a000002",
    "00000000000100000000000288470006417f45000014",
    "0180c2000000000000000002002642420300000000000000",
    "000000000001000000000002080045000028000000004001000001020304050607080800005100000000",
)


def all_have(switch, paths, actions: str) -> bool:
    """Send a packet to the controllers; tell whether both monitors have printed two since their start."""
    switch.ok("packet-out", BRIDGE, f"in_port=1,packet={ARP},actions={actions}")
    return all(path.read_text().count("PACKET_IN") >= 2 for path in paths)


def connections(daemon: Daemon) -> int:
    """Return how many programs are connected to the bridge."""
    sockets = subprocess.run(["ss", "-xH", "state", "connected"], capture_output=True, text=True, check=True).stdout
    return sockets.count(f"{daemon.folder}/{BRIDGE}.mgmt")
