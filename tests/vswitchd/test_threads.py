"""Settings of forwarders in the database, and the commands that tell of them (DP.17, AP.55, AP.56, OC.04, OC.05)."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from vslib.unixctl import CommandError
from vswitchd import desired_threads, pmd_commands
from vswitchd.desired_threads import Threads
from vswitchd.embed import Switch


def read(n_cpus=4, **settings):
    problems = []
    values = {name.replace("_", "-"): value for name, value in settings.items()}
    return desired_threads.read(values, problems.append, n_cpus), problems


def test_nothing_said_is_open_vswitchs_defaults():
    assert read() == (Threads(None, 0, "cycles", True, False, 1, 95, 25), [])


@pytest.mark.parametrize(
    ("mask", "cpus"), [("3", (0, 1)), ("0xA", (1, 3)), ("0Xa", (1, 3)), ("ff", (0, 1, 2, 3)), ("", None)]
)
def test_a_mask_names_processors_in_hex(mask, cpus):
    assert read(pmd_cpu_mask=mask) == (Threads(cpus=cpus), [])


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        ("3z", "Invalid cpu mask: z"),
        ("0", "other_config:pmd-cpu-mask=0 names no processor that is there; ignored"),
        ("100", "other_config:pmd-cpu-mask=100 names no processor that is there; ignored"),
    ],
)
def test_a_mask_that_is_none_leaves_the_default(mask, said):
    assert read(pmd_cpu_mask=mask) == (Threads(), [said])


def test_at_most_16_forwarders_are_made():
    found, problems = read(n_cpus=64, pmd_cpu_mask="ffffffff")
    assert found.cpus == tuple(range(16)) and len(problems) == 1


def test_all_settings_are_read():
    found, problems = read(
        pmd_sleep_max="50", pmd_maxsleep="7", pmd_rxq_assign="group", pmd_rxq_isolate="false", pmd_auto_lb="true",
        pmd_auto_lb_rebal_interval="0", pmd_auto_lb_load_threshold="80", pmd_auto_lb_improvement_threshold="10",
        n_handler_threads="4", n_revalidator_threads="2",
    )  # fmt: skip
    assert (found, problems) == (Threads(None, 50, "group", False, True, 1, 80, 10), [])
    assert read(pmd_maxsleep="20000")[0].max_sleep_us == 10_000


@pytest.mark.parametrize(
    "name", ["pmd_sleep_max", "pmd_auto_lb_rebal_interval", "pmd_auto_lb_load_threshold", "n_handler_threads"]
)
def test_numbers_that_are_none_are_named(name):
    found, (said,) = read(**{name: "-1"})
    assert found == Threads() and f"other_config:{name.replace('_', '-')}=-1 is not a number" in said


def test_unknown_ways_to_assign_are_named_as_open_vswitch_does():
    assert read(pmd_rxq_assign="x") == (
        Threads(), ["Unsupported rx queue to PMD assignment mode in pmd-rxq-assign. Defaulting to 'cycles'."]
    )  # fmt: skip


@pytest.mark.parametrize(("text", "cores"), [("0:1", {0: 1}), ("0:1,3:0", {0: 1, 3: 0}), ("", {}), ("1", None)])
def test_affinity_is_a_list_of_queue_and_core(text, cores):
    problems = []
    row = SimpleNamespace(name="p1", other_config={"pmd-rxq-affinity": text})
    assert desired_threads.affinity(row, problems.append) == (cores or {})
    assert bool(problems) == (cores is None)


def test_commands_print_what_open_vswitch_prints():
    with Switch() as switch:
        commands_print(switch)


def commands_print(switch):
    br = switch.add_bridge("br0")
    br.add_port("p1")
    shown = switch.appctl("dpif-netdev/pmd-rxq-show", "-secs", "7").splitlines()
    assert shown[:3] == [
        "Displaying last 10 seconds pmd usage %",
        "pmd thread numa_id 0 core_id 0:",
        "  isolated : false",
    ]
    assert shown[-2:] == [
        "  port: p1                queue-id:  0 (enabled)   pmd usage: NOT AVAIL",
        "  overhead: NOT AVAIL",
    ]
    assert switch.appctl("dpif-netdev/pmd-rxq-show", "-pmd", "9").strip() == ""
    assert switch.appctl("dpif-netdev/pmd-rxq-rebalance").strip() == "pmd rxq rebalance requested."
    br.port("p1").send(bytes.fromhex("ffffffffffff02000000000188b5") + bytes(50))
    stats = switch.appctl("dpif-netdev/pmd-stats-show", "-pmd", "0").splitlines()
    assert stats[:4] == [
        "pmd thread numa_id 0 core_id 0:",
        "  packets received: 1",
        "  packet recirculations: 0",
        "  avg. datapath passes per packet: 1.00",
    ]
    assert "  miss with success upcall: 1" in stats
    switch.appctl("dpif-netdev/pmd-stats-clear")
    assert "  packets received: 0" in switch.appctl("dpif-netdev/pmd-stats-show").splitlines()


def test_other_datapaths_are_refused_as_open_vswitch_does():
    assert pmd_commands.parse(["-pmd", "x", "-secs", "70", "netdev@ovs-netdev"]) == (None, 60)
    with pytest.raises(CommandError, match="please specify an existing datapath"):
        pmd_commands.parse(["nosuch"])
