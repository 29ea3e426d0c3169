"""The classifier against a naive list: priorities, masks, versions and the exactness of the mask (OF.02, OF.10)."""

from __future__ import annotations

import random
import statistics
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from ofproto.testing import KEY_BYTES, TestTable
from tests.oracle.classifier_naive import NaiveTable

# Bytes in link, network, transport, tunnel and pipeline words; few, so that random masks share words and keys hit.
PLACES = (48, 124, 125, 184, 187, 231, 248, 251, 560, 584, 719)


def spread(few: int) -> int:
    """Place the bytes of a small number at PLACES of a flow key."""
    return sum(((few >> 8 * i) & 0xFF) << 8 * at for i, at in enumerate(PLACES))


def image(number: int) -> bytes:
    return number.to_bytes(KEY_BYTES, "little")


BYTE = st.sampled_from([0, 0, 0, 1, 2, 3])
MASK_BYTE = st.sampled_from([0, 0, 0, 0xFF, 3, 1])


def keys_of(one_byte: st.SearchStrategy[int]) -> st.SearchStrategy[int]:
    some = st.lists(one_byte, min_size=len(PLACES), max_size=len(PLACES))
    return some.map(lambda b: spread(int.from_bytes(bytes(b), "little")))


VALUES, MASKS = keys_of(BYTE), keys_of(MASK_BYTE)
PRIORITIES = st.integers(0, 4)
KINDS = st.sampled_from(["insert", "insert", "insert", "remove", "collect"])


def edits_with(masks: st.SearchStrategy[int], size: int) -> st.SearchStrategy[list[tuple]]:
    return st.lists(st.tuples(KINDS, VALUES, masks, PRIORITIES, st.integers(0, 2**16)), max_size=size)


# Many masks with few rules each, or few masks with many.
FEW_MASKS = st.lists(MASKS, min_size=1, max_size=3).flatmap(lambda pool: edits_with(st.sampled_from(pool), 90))
EDITS = st.one_of(edits_with(MASKS, 50), FEW_MASKS)
QUESTION = st.tuples(VALUES, MASKS, PRIORITIES)


class Pair:
    """The fast and the naive table, edited alike; version 1 is the first."""

    def __init__(self) -> None:
        self.fast, self.naive = TestTable(), NaiveTable()
        self.version, self.oldest = 1, 1

    def edit(self, kind: str, value: int, mask: int, priority: int, pick: int) -> None:
        self.version += pick % 2
        if kind == "insert":
            self.insert(value, mask, priority)
        elif kind == "remove" and self.naive.visible(self.version):
            alive = self.naive.visible(self.version)
            name = alive[pick % len(alive)].name
            self.fast.remove(name, self.version)
            self.naive.remove(name, self.version)
        elif kind == "collect":
            self.oldest = max(self.oldest, self.version - pick % 3)
            self.fast.collect(self.oldest)

    def insert(self, value: int, mask: int, priority: int) -> None:
        if self.naive.find(value, mask, priority, self.version) is not None:
            return
        name = len(self.naive.rules)
        self.fast.insert(name, image(value), image(mask), priority, self.version)
        self.naive.insert(name, value, mask, priority, self.version)


@settings(max_examples=150, deadline=None)
@given(edits=EDITS, keys=st.lists(VALUES, min_size=1, max_size=8), question=QUESTION)
def test_every_search_agrees_with_a_linear_table_in_every_version(edits, keys, question):
    pair = Pair()
    for edit in edits:
        pair.edit(*edit)
    value, mask, priority = question
    images = image(value), image(mask)
    for version in range(max(pair.oldest, pair.version - 3), pair.version + 1):
        for key in keys:
            found, _ = pair.fast.lookup(image(key), version)
            want = pair.naive.lookup(key, version)
            assert found in want if want else found is None
        assert pair.fast.find(*images, priority, version) == pair.naive.find(value, mask, priority, version)
        assert pair.fast.overlaps(*images, priority, version) == pair.naive.overlaps(value, mask, priority, version)
        each = pair.fast.each(*images, version)
        assert len(each) == len(set(each))
        assert set(each) == pair.naive.each(value, mask, version)
    assert pair.fast.shape[0] == len(pair.naive.visible(pair.version))
    assert pair.fast.shape[2] == sorted(pair.fast.shape[2], reverse=True)


@settings(max_examples=150, deadline=None)
@given(edits=EDITS, key=VALUES, noise=st.integers(0, 2 ** (8 * KEY_BYTES) - 1))
def test_bits_that_were_not_reported_never_change_the_answer(edits, key, noise):
    pair = Pair()
    for edit in edits:
        pair.edit(*edit)
    found, read = pair.fast.lookup(image(key), pair.version)
    unread = ~int.from_bytes(read, "little")
    for few in (noise, noise >> 7, spread(noise & (1 << 88) - 1), spread(noise >> 90 & (1 << 88) - 1)):
        other = key ^ (few & unread & (1 << 8 * KEY_BYTES) - 1)
        assert pair.fast.lookup(image(other), pair.version) == (found, read)


def test_a_better_match_ends_the_search_before_less_important_masks_are_read():
    table = TestTable()
    table.insert(1, image(spread(5)), image(spread(0xFF)), 10, 1)
    table.insert(2, image(spread(0)), image(spread(0xFF00)), 9, 1)
    assert table.lookup(image(spread(5)), 1) == (1, image(spread(0xFF)))
    assert table.lookup(image(spread(6)), 1) == (2, image(spread(0xFFFF)))


def test_a_rule_that_fails_on_an_early_word_does_not_report_the_later_ones():
    table = TestTable()
    ethertype, port = 124, 248
    mask = image(0xFFFF << 8 * ethertype | 0xFFFF << 8 * port)
    table.insert(1, image(8 << 8 * ethertype | 80 << 8 * port), mask, 1, 1)
    assert table.lookup(image(6 << 8 * ethertype), 1) == (None, image(0xFFFF << 8 * ethertype))
    assert table.lookup(image(8 << 8 * ethertype), 1) == (None, mask)


def test_a_large_table_of_transport_rules_does_not_make_other_packets_read_their_ports():
    table = TestTable()
    ethertype, address, port = 8 * 124, 8 * 188, 8 * 248
    mask = 0xFFFF << ethertype | 0xFFFFFFFF << address | 0xFFFF << port
    for i in range(1, 500):
        table.insert(i, image(8 << ethertype | i << address | i << port), image(mask), 1, 1)
    assert table.lookup(image(6 << ethertype | 5 << address | 5 << port), 1) == (None, image(0xFFFF << ethertype))
    found, read = table.lookup(image(8 << ethertype | 600 << address | 5 << port), 1)
    assert (found, read) == (None, image(mask & ~(0xFFFF << port)))
    assert table.lookup(image(8 << ethertype | 5 << address | 5 << port), 1) == (5, image(mask))
    for i in range(1, 490):
        table.remove(i, 2)
    table.collect(2)
    assert table.lookup(image(8 << ethertype | 5 << address | 5 << port), 2)[1] == image(mask & ~(0xFFFF << port))


def test_a_collected_table_reports_no_bits_of_rules_that_are_gone():
    table = TestTable()
    table.insert(1, image(spread(1)), image(spread(0xFF)), 9, 1)
    table.insert(2, image(0), image(0), 1, 1)
    table.remove(1, 2)
    table.collect(2)
    assert table.lookup(image(0), 2) == (2, image(0))
    assert table.shape == (1, 1, [1])


def test_a_unlinked_rule_still_tells_its_match():
    table = TestTable()
    value, mask = image(spread(0x0102)), image(spread(0xFFFF))
    table.insert(1, value, mask, 9, 1)
    table.remove(1, 2)
    table.collect(2)
    assert table.match_of(1) == (value, mask)


def test_credits_follow_a_modify_and_a_reset_forwards_only_the_time():
    table = TestTable()
    for name in (1, 2, 3):
        table.insert(name, image(spread(name)), image(spread(0xFF)), 9, 1)
    table.credit(1, 5, 500, 1000)
    table.replace(1, 2, True)
    assert table.counters(2) == (5, 500, 1000)
    table.credit(1, 1, 60, 2000)
    assert table.counters(2) == (6, 560, 2000)
    table.replace(2, 3, False)
    table.credit(1, 1, 60, 3000)
    assert table.counters(3) == (0, 0, 3000)


def test_a_long_chain_of_modifies_is_released_without_deep_recursion():
    table = TestTable()
    for name in range(100_000):
        table.insert(name, image(0), image(0), 9, name)
        if name:
            table.remove(name - 1, name)
            table.replace(name - 1, name, True)
            table.collect(name)
            if name > 1:
                table.forget(name - 1)
    table.credit(0, 7, 7, 7)
    assert table.counters(99_999) == (7, 7, 7)
    table.forget(0)
    assert table.shape[0] == 1


def test_thousands_of_rules_grow_and_shrink_a_subtable_without_losing_one():
    rng = random.Random(7)
    table = TestTable()
    mask = image(spread(0xFFFFFF))
    values = rng.sample(range(1 << 24), 5000)
    for i, value in enumerate(values):
        table.insert(i, image(spread(value)), mask, rng.randrange(100), 1)
    assert all(table.lookup(image(spread(v)), 1)[0] == i for i, v in enumerate(values))
    for i in range(4990):
        table.remove(i, 2)
        if i % 7 == 0:
            table.collect(2)
    table.collect(2)
    assert table.lookup(image(spread(values[0])), 2)[0] is None
    assert [table.lookup(image(spread(v)), 2)[0] for v in values[4990:]] == list(range(4990, 5000))
    assert table.shape[:2] == (10, 1)


def seconds_for_inserts(table: TestTable, first: int, mask: bytes) -> float:
    work = [(i, image(spread(i)), mask, i % 50, 1) for i in range(first, first + 1000)]
    begin = time.perf_counter()
    for rule in work:
        table.insert(*rule)
    return time.perf_counter() - begin


def test_inserts_cost_the_same_in_a_large_table_as_in_a_small_one():
    table, mask = TestTable(), image(spread(0xFFFFFFFF))
    costs = [seconds_for_inserts(table, first, mask) for first in range(0, 100_000, 1000)]
    # Far above what caches explain (2), far below what a scan or a rehash would take (50).
    assert statistics.median(costs[-20:]) < 8 * statistics.median(costs[:20])
