"""The megaflow classifier against a dict of masks (DP.04, DP.10)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from datapath.testing_caches import Caches
from tests.datapath.forwarding import KEY_BYTES, frame, match, out, rig, rule
from tests.oracle.megaflow_naive import NaiveMegaflows

IP_MASKS = [b"\0\0\0\0", b"\xff\0\0\0", b"\xff\xff\xff\0", b"\xff\xff\xff\xff"]
PORT_MASKS = [b"\0\0", b"\0\x0f", b"\xff\xff"]
BYTE = st.integers(0, 3).map(lambda n: bytes((n,)))


@st.composite
def keys(draw):
    slots = {
        "in_port": b"\0\0\0" + draw(BYTE),
        "ip_dst": b"\x0a\0" + draw(BYTE) + draw(BYTE),
        "tp_dst": b"\0" + draw(BYTE),
        "tun_id": bytes(7) + draw(BYTE),
    }
    return match(**slots)[0]


@st.composite
def masks(draw):
    port, ip = draw(st.sampled_from(PORT_MASKS)), draw(st.sampled_from(IP_MASKS))
    tunnel = draw(st.sampled_from([bytes(8), b"\xff" * 8]))
    return match(ip_dst=(bytes(4), ip), tp_dst=(bytes(2), port), tun_id=(bytes(8), tunnel))[1]


STEPS = st.lists(st.tuples(st.sampled_from("iiilr"), keys(), masks(), st.integers(0, 30)), max_size=60)


@given(STEPS)
@settings(max_examples=150, deadline=None)
def test_lookup_equals_a_linear_search(steps):
    caches, naive = Caches(), NaiveMegaflows()
    for number, (action, key, mask, old) in enumerate(steps):
        if action == "i":
            caches.insert(key, mask, number)
            naive.insert(key, mask, number)
        elif action == "r":
            assert caches.remove(old) == naive.remove(old)
        found, allowed = caches.lookup(key), naive.matching(key)
        assert found in allowed if allowed else found is None
        assert caches.n_flows == len(naive.flows)
        assert caches.n_masks == len({mask for mask, _ in naive.flows})


def test_a_removed_megaflow_is_credited_and_released_once():
    caches = Caches()
    for n in range(1000):
        caches.insert(n.to_bytes(KEY_BYTES, "big"), b"\xff" * KEY_BYTES, n)
    for n in range(0, 1000, 2):
        assert caches.remove(n)
    assert [caches.lookup(n.to_bytes(KEY_BYTES, "big")) for n in range(4)] == [None, 1, None, 3]
    assert caches.reap() == (500, 500)
    assert caches.reap() == (500, 500)


def test_the_limit_evicts_what_was_used_longest_ago():
    caches = Caches(limit=8)
    for n in range(8):
        caches.insert(n.to_bytes(KEY_BYTES, "big"), b"\xff" * KEY_BYTES, n, used_ns=100 + n)
    caches.insert((99).to_bytes(KEY_BYTES, "big"), b"\xff" * KEY_BYTES, 99, used_ns=999)
    assert caches.n_flows == 8
    assert [n for n in range(8) if caches.lookup(n.to_bytes(KEY_BYTES, "big")) is None] == [0]


def test_the_most_hit_mask_is_asked_first():
    caches = Caches()
    rare, often = match(tp_dst=b"\0\x01"), match(ip_dst=b"\x0a\0\0\x01")
    caches.insert(*rare, 1)
    caches.insert(*often, 2)
    for _ in range(1100):
        assert caches.lookup(often[0]) == 2
    assert caches.first_mask_hits() > 500


def test_key_words_tell_tunnels_apart():
    caches = Caches()
    assert caches.key_words(match(ip_dst=b"\x0a\0\0\x01")[0]) == 32
    assert caches.key_words(match(tun_gtpu_msgtype=b"\x01")[0]) == 73


def test_new_megaflows_get_the_memory_of_removed_ones():
    with rig() as r:
        r.dp.flow_limit = 100
        r.hook.set_bank(1, [rule(tp_src=b"\xff\xff"), rule(out(2))])
        for start in range(0, 5000, 500):
            r.send(1, *(frame(sport=i) for i in range(start, start + 500)))
        stats = r.dp.stats()["forwarders"][0]
        assert (stats["misses"], stats["n_flows"]) == (5000, 100)
        assert stats["allocated"] <= 100 + 5000 // 4  # those that the frame cache still points to are not free yet
