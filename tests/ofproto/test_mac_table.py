"""The MAC table by itself: limit, fair eviction, ageing, flushing (L2.01)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ofproto.xlate_rig import NORMAL, Rig, output, packet

SECOND = 1_000_000_000


def address(n: int) -> bytes:
    return bytes([2, 0, 0, n >> 16, n >> 8 & 0xFF, n & 0xFF])


def learn(rig: Rig, number: int, n: int, now_ns: int = 0) -> None:
    rig.send(packet(in_port=number, eth_src=address(n), eth_dst=b"\xff" * 6), now_ns=now_ns)


def rig_of(n_ports: int = 3, **settings_: int) -> Rig:
    rig = Rig(n_ports, local=False)
    rig.flow(output(NORMAL))
    rig.br.configure(**settings_)
    return rig


def macs(rig: Rig) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for port, _, mac, _ in rig.br.fdb(0):
        found.setdefault(port, []).append(int.from_bytes(mac[3:], "big"))
    return found


def test_thousands_of_addresses_are_found_again() -> None:
    rig = rig_of()
    for n in range(3000):
        learn(rig, 1 + n % 3, n)
    assert sum(map(len, macs(rig).values())) == 3000
    for n in (0, 1, 1499, 2999):
        assert rig.send(packet(in_port=1 + (n + 1) % 3, eth_dst=address(n))).text == str(1 + n % 3)


def test_the_limit_holds_and_the_busiest_port_pays() -> None:
    rig = rig_of(mac_table_size=10)
    learn(rig, 1, 1)
    for n in range(100, 130):
        learn(rig, 2, n)
    assert macs(rig) == {1: [1], 2: list(range(121, 130))}


def test_an_address_in_use_gets_a_second_chance() -> None:
    rig = rig_of(mac_table_size=3)
    for n in range(3):
        learn(rig, 1, n, now_ns=n)
    learn(rig, 1, 0, now_ns=50)
    learn(rig, 1, 9, now_ns=60)
    assert sorted(macs(rig)[1]) == [0, 2, 9]


def test_a_smaller_limit_evicts_at_once() -> None:
    rig = rig_of()
    for n in range(20):
        learn(rig, 1, n)
    rig.br.configure(mac_table_size=5)
    assert len(macs(rig)[1]) == 5


def test_addresses_age_out_after_the_ageing_time() -> None:
    rig = rig_of(mac_aging_s=15)
    learn(rig, 1, 1, now_ns=0)
    learn(rig, 1, 2, now_ns=5 * SECOND)
    rig.br.age_macs(14 * SECOND)
    assert macs(rig) == {1: [1, 2]}
    version = rig.switch.version
    rig.br.age_macs(15 * SECOND)
    assert macs(rig) == {1: [2]} and rig.switch.version == version + 1
    rig.br.age_macs(16 * SECOND)
    assert rig.switch.version == version + 1  # nothing expired: nothing published


def test_flush_and_port_removal() -> None:
    rig = rig_of()
    learn(rig, 1, 1)
    learn(rig, 2, 2)
    rig.br.del_port(1)
    assert macs(rig) == {2: [2]}
    rig.br.fdb_flush()
    assert macs(rig) == {}


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 8),
    st.lists(st.tuples(st.sampled_from(["learn", "age", "flush"]), st.integers(1, 3), st.integers(0, 12)), max_size=60),
)
def test_against_a_dict(limit: int, steps: list[tuple[str, int, int]]) -> None:
    rig = rig_of(mac_table_size=limit, mac_aging_s=10)
    known: dict[int, tuple[int, int]] = {}
    for now, (step, number, n) in enumerate(steps):
        now_ns = now * SECOND
        if step == "flush" and n == 0:
            rig.br.fdb_flush()
            known = {}
        elif step == "age":
            rig.br.age_macs(now_ns)
            known = {mac: row for mac, row in known.items() if now - row[1] < 10}
        else:
            learn(rig, number, n, now_ns)
            known[n] = (number, now)
        kept = {mac: port for port, found in macs(rig).items() for mac in found}
        assert len(kept) <= limit and (len(known) > limit or len(kept) == len(known))
        assert all(known[mac][0] == port for mac, port in kept.items())
        known = {mac: known[mac] for mac in kept}
