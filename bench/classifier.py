"""Insert cost and look-up rate of the classifier: prints inserts/s at 1,000,000 rules; with --table the whole curve.

The rules are spread over 64 masks, as a table of access rules with different prefix lengths has them.
"""

from __future__ import annotations

import random
import sys
import time

from ofproto.testing import KEY_BYTES, TestTable

IP_SRC, IP_DST = 184, 188
ROUND = 10_000


def image(src: int, dst: int) -> bytes:
    key = bytearray(KEY_BYTES)
    key[IP_SRC : IP_SRC + 4] = src.to_bytes(4, "big")
    key[IP_DST : IP_DST + 4] = dst.to_bytes(4, "big")
    return bytes(key)


def prefix(n: int) -> int:
    return (0xFFFFFFFF << (32 - n)) & 0xFFFFFFFF


def insert_round(table: TestTable, first: int, masks: list[bytes], rng: random.Random) -> float:
    """Insert ROUND rules and return seconds an insert."""
    work = []
    for i in range(first, first + ROUND):
        mask = masks[i % len(masks)]
        work.append((i, image(rng.getrandbits(32), rng.getrandbits(32)), mask, i % 1000))
    begin = time.perf_counter()
    for i, value, mask, priority in work:
        table.insert(i, value, mask, priority, 1)
    return (time.perf_counter() - begin) / ROUND


def main() -> None:
    rng = random.Random(1)
    masks = [image(prefix(32 - i % 8), prefix(32 - i // 8)) for i in range(64)]
    table = TestTable()
    curve = "--table" in sys.argv
    each = 0.0
    for first in range(0, 1_000_000, ROUND):
        each = insert_round(table, first, masks, rng)
        if curve and (first in (0, 90_000, 490_000, 990_000)):
            keys = [image(rng.getrandbits(32), rng.getrandbits(32)) for _ in range(ROUND)]
            begin = time.perf_counter()
            table.lookup_many(keys, 1)
            look = (time.perf_counter() - begin) / ROUND
            costs = f"{each * 1e9:7.0f} ns an insert, {look * 1e9:7.0f} ns a look-up that misses all 64 masks"
            print(f"{first + ROUND:>9} rules: {costs}")
    if not curve:
        print(round(1 / each))


if __name__ == "__main__":
    main()
