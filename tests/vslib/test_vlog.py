"""vlog: levels in the words of vlog/set, compared with a real daemon; patterns, files, rate limits (MG.07, MG.08)."""

import os
import re
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vslib import clock, unixctl, vlog
from vslib.clock import CLOCK
from vslib.errors import ConfigError

pytestmark = pytest.mark.usefixtures("fresh_vlog")
SHARED = ["coverage", "jsonrpc", "reconnect", "stream", "unixctl", "vlog"]
WORDS = [
    *SHARED, "Stream", "console", "FILE", "syslog", "dbg", "INFO", "warn", "off", "emer", "any", "ANY", "nosuch", "",
]  # fmt: skip


@pytest.fixture
def log_file(tmp_path):
    path = tmp_path / "x.log"
    vlog.set_log_file(str(path))
    return path


def levels_of(table):
    """Return the lines of a vlog/list table that both daemons have."""
    return [line for line in table.splitlines() if line.split()[0] in SHARED]


@pytest.mark.ovs_tools
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=5), st.sampled_from([":", ",", " ", "::", "\t"]))
def test_vlog_set_answers_and_acts_as_a_real_daemon(real_server, words, separator):
    spec = separator.join(words)
    for name in SHARED:
        vlog.get(name)
    vlog.set_levels("info")
    unixctl.call_sync(real_server, "vlog/set", "info")
    try:
        unixctl.call_sync(real_server, "vlog/set", spec)
        wanted = None
    except unixctl.CommandError as error:
        wanted = str(error)
    try:
        vlog.set_levels(spec)
        found = None
    except ConfigError as error:
        found = str(error)
    assert found == wanted
    assert levels_of(vlog.list_levels()) == levels_of(unixctl.call_sync(real_server, "vlog/list"))


@pytest.mark.ovs_tools
def test_vlog_set_pattern_and_facility_answer_as_a_real_daemon(real_server):
    specs = [
        "PATTERN", "PATTERN:nope:x", "pattern:console", "PATTERN:Console:%m x:y, z", "PATTERN:any:%q", "FACILITY",
        "PATTERN:file::%m", "FACILITY:xx", "FACILITY:LOCAL3", "facility:daemon", "PATTERN:any:%m",
    ]  # fmt: skip
    for spec in specs:
        answers = []
        for apply in (vlog.set_levels, lambda each: unixctl.call_sync(real_server, "vlog/set", each)):
            try:
                apply(spec)
                answers.append("")
            except (ConfigError, unixctl.CommandError) as error:
                answers.append(str(error))
        assert answers[0] == answers[1], spec
        assert vlog.list_patterns() == unixctl.call_sync(real_server, "vlog/list-pattern"), spec


def test_a_line_in_the_file_has_open_vswitchs_form(log_file):
    vlog.get("bridge").info("bridge %s: added", "br0")
    line = log_file.read_text().splitlines()[-1]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\|\d{5}\|bridge\|INFO\|bridge br0: added", line)


def test_serial_numbers_count_each_message_once(log_file, capsys):
    vlog.open_console()
    vlog.get("bridge").info("one")
    vlog.get("bridge").dbg("not shown")
    vlog.get("bridge").info("two")
    numbers = [int(line.split("|")[1]) for line in log_file.read_text().splitlines()]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert [line.split("|")[1:] for line in capsys.readouterr().err.splitlines()] == [
        line.split("|")[1:] for line in log_file.read_text().splitlines()[1:]
    ]


def test_each_destination_has_its_own_level(log_file, capsys):
    vlog.open_console()
    vlog.get("bridge")
    vlog.set_levels("bridge:console:off")
    vlog.set_levels("bridge:file:dbg")
    vlog.get("bridge").dbg("detail")
    vlog.get("bridge").emer("ending")
    assert capsys.readouterr().err == ""
    assert [line.split("|")[3] for line in log_file.read_text().splitlines()[1:]] == ["DBG", "EMER"]


def test_levels_for_all_hold_for_modules_made_later():
    vlog.set_levels("file:err")
    assert vlog.get(f"later_{os.getpid()}").levels["file"] == vlog.ERR


def test_reopening_follows_a_rotation(log_file):
    log_file.rename(log_file.with_suffix(".1"))
    vlog.get("bridge").info("old")
    vlog.reopen_log_file()
    vlog.get("bridge").info("new")
    assert "old" in log_file.with_suffix(".1").read_text()
    assert "new" in log_file.read_text()
    vlog.close_log_file()
    vlog.get("bridge").info("lost")
    vlog.reopen_log_file()
    assert "lost" not in log_file.read_text()


def test_a_log_file_that_cannot_be_opened_is_the_operators_error(log_file):
    with pytest.raises(ConfigError, match="failed to open /nonexistent/x.log for logging: No such file"):
        vlog.set_log_file("/nonexistent/x.log")
    assert vlog.log_file() == str(log_file)


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("%c|%p|%m", "bridge|WARN|text"),
        ("%-7p|%7p|%07P", "WARN   |   WARN|{pid:07d}"),
        ("%A %E %t%T%%", "ovs-vswitchd {host} main%"),
        ("<%B>", "<28>"),
        ("%n%m%", "\ntext%"),
        ("%D{%H:%M:%S.###}", "12:26:40.005"),
        ("%D{%S.#####}%D", "40.005002020-09-13 12:26:40"),
        ("%q%m", "%qtext"),
    ],
)
def test_patterns_expand(log_file, pattern, wanted):
    previous = clock.use(clock.VirtualClock(wall_ms=1_600_000_000_005))
    try:
        vlog.set_levels(f"PATTERN:file:{pattern}")
        before = len(log_file.read_text())
        vlog.get("bridge").warn("text")
        expected = wanted.format(pid=os.getpid(), host=socket.gethostname())
        assert log_file.read_text()[before:] == expected + "\n"
    finally:
        clock.use(previous)


def test_an_exception_is_logged_with_its_traceback(log_file):
    try:
        raise ValueError("inner")
    except ValueError:
        vlog.get("bridge").exception("while testing")
    text = log_file.read_text()
    assert "|bridge|ERR|while testing\nTraceback" in text
    assert "ValueError: inner" in text


def test_a_rate_limit_drops_counts_and_reports(log_file):
    async def main():
        limit, module = vlog.RateLimit(60, 2), vlog.get("bridge")
        for number in range(5):
            module.warn("message %d", number, rl=limit)
        await CLOCK.sleep(3)
        module.warn("later", rl=limit)

    clock.run(main())
    texts = [line.split("|")[4] for line in log_file.read_text().splitlines()[1:]]
    assert texts == [
        "message 0",
        "message 1",
        "Dropped 3 log messages in last 3 seconds (most recently, 3 seconds ago) due to excessive rate",
        "later",
    ]


def test_rate_limits_can_be_switched_off_by_module(log_file):
    module, limit = vlog.get("bridge"), vlog.RateLimit(1, 1)
    with pytest.raises(ConfigError, match="unknown module"):
        vlog.set_rate_limited(False, ["nosuch"])
    vlog.set_rate_limited(False, ["bridge"])
    for _ in range(5):
        module.warn("again", rl=limit)
    assert log_file.read_text().count("again") == 5


def test_syslog_gets_datagrams_and_its_absence_harms_nobody(tmp_path):
    path = str(tmp_path / "log")
    vlog.open_syslog(f"unix:{path}")
    vlog.get("bridge").info("nobody listens")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.settimeout(5)
        vlog.get("bridge").info("heard")
        assert re.fullmatch(rb"<30> .* ovs-vswitchd: ovs\|\d{5}\|bridge\|INFO\|heard", sock.recv(1000))


def test_an_embedding_program_sees_the_messages_in_its_own_logging(caplog):
    caplog.set_level("INFO")
    vlog.get("bridge").info("port %d", 3)
    assert ("vlog.bridge", 20, "port 3") in caplog.record_tuples
