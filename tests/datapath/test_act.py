"""Builders of action programs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from datapath.act import build_program
from datapath.slots import places

OUTPUT, SET, PUSH_VLAN, POP_VLAN, PUNT, DROP = range(1, 7)
OPS_MAX = 4096
IP_DST = places()["ip_dst"].number
ZERO = bytes(16)


def test_builders_write_the_op_that_their_contract_says() -> None:
    ops, overflow, equal, cookies, equal_after = build_program([
        (SET, IP_DST, b"\x0a\x01\x02\x03", b"\xff\xff\0\0"), (PUSH_VLAN, 0x88A8, 0x6005), (OUTPUT, 7), (POP_VLAN,),
        (PUNT, 0x1122334455667788), (DROP, 11, 3),
    ])  # fmt: skip
    assert ops[0] == (SET, IP_DST, 0, 0, 0, b"\x0a\x01".ljust(16, b"\0"), b"\xff\xff".ljust(16, b"\0"))
    assert ops[1] == (PUSH_VLAN, 0, 0, 0x88A86005, 0, ZERO, ZERO)
    assert ops[2] == (OUTPUT, 0, 0, 7, 0, ZERO, ZERO)
    assert ops[3] == (POP_VLAN, 0, 0, 0, 0, ZERO, ZERO)
    assert ops[5] == (DROP, 0, 3, 11, 0, ZERO, ZERO)
    assert (overflow, equal, cookies, equal_after) == (False, True, [0x1122334455667788], False)


@given(st.lists(st.integers(0, 0xFFFFFFFF), max_size=300))
def test_programs_keep_order_and_every_op(ports: list[int]) -> None:
    ops, overflow, equal, *_ = build_program([(OUTPUT, port) for port in ports])
    assert [op[3] for op in ops] == ports
    assert (overflow, equal) == (False, True)


def test_a_program_holds_4096_ops_and_says_when_it_would_need_more() -> None:
    fits = build_program([(OUTPUT, port) for port in range(OPS_MAX)])
    assert (len(fits[0]), fits[1]) == (OPS_MAX, False)
    too_many = build_program([(OUTPUT, port) for port in range(OPS_MAX + 1)])
    assert (len(too_many[0]), too_many[1]) == (OPS_MAX, True)


def test_a_value_longer_than_an_op_is_cut_not_overrun() -> None:
    ops, *_ = build_program([(SET, 0, b"\xaa" * 40, b"\xff" * 40), (OUTPUT, 1)])
    assert ops[0][5:] == (b"\xaa" * 16, b"\xff" * 16)
    assert ops[1][0] == OUTPUT
