"""For any tables, packets and edits, forwarding through the caches equals translating each packet alone (DP.02,
DP.04, DP.05, DP.13).
"""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from datapath.drops import number
from datapath.parse import parse_frame
from tests.datapath.forwarding import DROP, POP_VLAN, PUSH_VLAN, S, frame, op, out, punt, rig, rule, set_field, vector
from tests.oracle.megaflow_naive import NaiveSwitch

N_PORTS = 4
MACS = [bytes((2, 0, 0, 0, 0, n)) for n in range(3)]


@st.composite
def rules(draw):
    slots = {}
    for name in draw(st.sets(st.sampled_from(["eth_src", "vlan_tci", "ip_dst", "tp_src", "tp_dst", "nw_ttl"]),
                             max_size=3)):
        slots[name] = draw(MATCHES[name])
    return rule(
        *draw(st.lists(OPS, max_size=5)),
        credit=draw(st.integers(0, 5)),
        cacheable=draw(st.integers(0, 9)) > 0,
        once=draw(st.integers(0, 5)) == 0,
        fails=draw(st.integers(0, 19)) == 0,
        **slots,
    )


MATCHES = {
    "eth_src": st.sampled_from(MACS),
    "vlan_tci": st.sampled_from([b"\x10\x05", b"\0\0", (b"\x10\0", b"\x10\0")]),
    "ip_dst": st.sampled_from([b"\x0a\0\0\x01", (b"\0\0\0\x01", b"\0\0\0\x01"), (b"\x0a\0\0\x02",
                                                                                 b"\xff\xff\xff\xfe")]),
    "tp_src": st.integers(0, 3).map(lambda n: bytes((0, n))),
    "tp_dst": st.sampled_from([(b"\0\0", b"\0\x01"), (b"\0\x02", b"\0\x02"), b"\0\x03"]),
    "nw_ttl": st.sampled_from([b"\x40", b"\x01"]),
}
OPS = st.one_of(
    st.integers(1, N_PORTS + 1).map(out),
    st.integers(1, N_PORTS).map(out),
    st.sampled_from([op(PUSH_VLAN, arg=0x81001005), op(POP_VLAN), op(DROP, arg=number("explicit_drop")), punt(77)]),
    st.sampled_from([set_field("eth_src", b"\x0e" * 6), set_field("eth_dst", MACS[1], b"\xff\0\xff\0\xff\0")]),
    st.sampled_from([set_field("nw_ttl", b"\x05"), set_field("ip_dst", b"\x0a\x09\0\x07", b"\xff\xff\0\x0f"),
                     set_field("tp_dst", b"\x01\x02"), set_field("vlan_tci", b"\x20\x03")]),
)
FRAMES = st.builds(
    frame,
    src=st.sampled_from(MACS),
    vlan=st.sampled_from([None, None, 5, 0x2006]),
    ip_dst=st.integers(0, 3),
    sport=st.integers(0, 3),
    dport=st.integers(0, 3),
    ttl=st.sampled_from([64, 64, 1]),
)
PORTS = st.integers(1, N_PORTS)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("frames"), PORTS, st.lists(FRAMES, min_size=1, max_size=8)),
        st.tuples(st.just("frames"), PORTS, st.lists(FRAMES, min_size=1, max_size=8)),
        st.tuples(st.just("edit"), PORTS, st.lists(rules(), max_size=4)),
        st.tuples(st.sampled_from(["push", "full", "flush", "late"]), st.none(), st.none()),
    ),
    min_size=2,
    max_size=25,
)



def numbered(frames, serial):
    """Make each frame unique by a payload behind it that no rule reads."""
    return [one + (serial + i).to_bytes(4, "big") for i, one in enumerate(frames)]


def check_order(sent, frames):
    """Frames that are equal but for their number are one flow: at each port, the first copies of them are in order."""
    flow_of = {one[-4:]: one[:-4] for one in frames}
    seen = {}
    for port, one in sent:
        numbers = seen.setdefault((port, flow_of[one[-4:]]), [])
        if one[-4:] not in numbers:
            numbers.append(one[-4:])
    assert all(numbers == sorted(numbers) for numbers in seen.values())


def check_batch(r, naive, port, frames):
    """Send a batch and compare with the oracle."""
    expected = []
    for one in frames:
        expected += naive.forward(one, parse_frame(one, port)[1], port)
    sent = r.send(port, *frames)
    assert Counter(sent) == Counter(expected)
    check_order(sent, frames)


def play(r, steps):
    naive = NaiveSwitch({n: [] for n in range(1, N_PORTS + 1)}, set(r.pipes))
    serial = 0
    for action, port, given_ in steps:
        if action == "frames":
            check_batch(r, naive, port, numbered(given_, serial))
            serial += len(given_)
        elif action == "edit":
            naive.banks[port] = list(given_)
            r.hook.set_bank(port, given_)
        elif action == "late":
            r.now_ns += 11 * S
        elif action == "flush":
            r.dp.flush()
        else:
            r.push(full=action == "full")
    stats = r.dp.stats()
    assert stats["drops"] == dict(naive.drops)
    assert Counter(r.hook.take_punts()) == Counter(naive.punts)
    r.dp.stop()
    assert {n: r.hook.credits(n)[0] for n in range(1, 6)} == {n: naive.credits[n] for n in range(1, 6)}


@given(STEPS, st.sampled_from([1, 2]), st.sampled_from([3, 200_000]), st.integers(0, 2))
@settings(max_examples=300, deadline=None)
def test_caches_equal_each_packet_alone(steps, n_forwarders, flow_limit, variant):
    with vector(variant), rig(n_forwarders, n_ports=N_PORTS) as r:
        r.dp.flow_limit = flow_limit
        play(r, steps)


@given(STEPS, st.sampled_from([1, 2]), st.integers(0, 2))
@settings(max_examples=25, deadline=None)
def test_caches_equal_each_packet_alone_on_threads(steps, n_forwarders, variant):
    with vector(variant), rig(n_forwarders, inline=False, n_ports=N_PORTS) as r:
        play(r, [step for step in steps if step[0] != "late"])
