"""FIELDS and the field accessors (FEATURES A6, FL.01 to FL.60) against an oracle on Python integers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapath.slots import layout, places
from ofproto import field as fieldmod
from ofproto.fields import FIELDS, NUMBER, PREREQS, by_name, prereq_terms

KEY_BYTES = layout()[1]["flow"] * 8
MAPPED = [f for f in FIELDS if f.slot != "tun_metadata"]
PLACES = places()

keys = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)
mapped = st.sampled_from(MAPPED)


def slot_value(key, f):
    place = PLACES[f.slot]
    return int.from_bytes(key[place.offset : place.offset + place.slot.n_bytes], "big")


def oracle_get(key, f):
    v = slot_value(key, f) >> f.low_bit
    return v & 0xFFFF if f.name == "in_port" else v & f.valid_bits


def test_rows_are_consistent():
    names = [n for f in FIELDS for n in (f.name, *f.aliases)]
    assert len(names) == len(set(names)), "a name or alias stands twice"
    # NXM_NX 30 is mpls_ttl and, with another length, the cookie; the table has only the former.
    headers = [(h.oxm_class, h.number, h.experimenter) for f in FIELDS for h in f.headers]
    assert len(headers) == len(set(headers)), "an OXM number stands twice"
    for f in FIELDS:
        assert f.slot in PLACES and f.prereq in PREREQS and f.doc
        assert f.low_bit + f.valid_bits.bit_length() <= PLACES[f.slot].slot.n_bytes * 8


def test_wire_order_puts_prerequisites_first():
    by_slot = {}
    for i, f in enumerate(FIELDS):
        by_slot.setdefault(f.slot, i)
    for i, f in enumerate(FIELDS):
        for term in prereq_terms(f.prereq):
            first = by_slot[term.slot]
            assert first < i or term.slot in ("ct_state", "nw_frag"), f"{f.name} stands before {term.slot}"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("in_port", (0x0000, 0)), ("in_port_oxm", (0x8000, 0)), ("eth_dst", (0x0000, 1)), ("arp_op", (0x0000, 15)),
        ("tun_id", (0x0001, 16)), ("nd_target", (0x0001, 23)), ("reg15", (0x0001, 15)), ("xreg3", (0x8001, 3)),
        ("ct_label", (0x0001, 108)), ("xxreg3", (0x0001, 114)), ("tun_metadata63", (0x0001, 103)),
        ("nsh_c4", (0xFFFF, 9)), ("reg16", (0xFFFF, 17)), ("xxreg4", (0xFFFF, 33)), ("pbb_isid", (0x8000, 37)),
    ],
)  # fmt: skip
def test_numbers_as_in_feature_list(name, expected):
    header = by_name(name).headers[0]
    assert (header.oxm_class, header.number) == expected


@given(keys, mapped)
def test_get_equals_oracle(key, f):
    assert int.from_bytes(fieldmod.get_value(key, f.name), "big") == oracle_get(key, f)


@given(keys, mapped, st.data())
def test_put_changes_only_the_view(key, f, data):
    value = data.draw(st.integers(0, f.valid_bits)) & f.valid_bits
    out = fieldmod.put_value(key, f.name, value.to_bytes(f.n_bytes, "big"))
    assert oracle_get(out, f) == value
    place = PLACES[f.slot]
    a, b = place.offset, place.offset + place.slot.n_bytes
    assert out[:a] == key[:a] and out[b:] == key[b:]
    view = 0xFFFFFFFF if f.name == "in_port" else f.valid_bits << f.low_bit
    assert slot_value(out, f) & ~view == slot_value(key, f) & ~view


@given(keys, mapped, st.data())
def test_masked_put_keeps_other_bits(key, f, data):
    value, mask = (data.draw(st.integers(0, f.valid_bits)) & f.valid_bits for _ in range(2))
    n = f.n_bytes
    out = fieldmod.put_value(key, f.name, value.to_bytes(n, "big"), mask.to_bytes(n, "big"))
    assert oracle_get(out, f) == (oracle_get(key, f) & ~mask) | (value & mask)


@given(keys, mapped, st.data())
def test_bit_ranges_equal_oracle(key, f, data):
    low = data.draw(st.integers(0, f.n_bits - 1))
    n = data.draw(st.integers(1, min(64, f.n_bits - low)))
    value = data.draw(st.integers(0, (1 << n) - 1))
    before = oracle_get(key, f)
    assert fieldmod.get_bits(key, f.name, low, n) == before >> low & (1 << n) - 1
    out = fieldmod.put_bits(key, f.name, low, n, value)
    span = (1 << n) - 1 << low
    assert oracle_get(out, f) == ((before & ~span) | value << low) & (0xFFFF if f.name == "in_port" else f.valid_bits)


@given(keys, mapped, mapped, st.data())
def test_move_equals_oracle(key, dst, src, data):
    n = data.draw(st.integers(1, min(dst.n_bits, src.n_bits)))
    dst_low = data.draw(st.integers(0, dst.n_bits - n))
    src_low = data.draw(st.integers(0, src.n_bits - n))
    out = fieldmod.move_bits(key, dst.name, dst_low, src.name, src_low, n)
    bits = oracle_get(key, src) >> src_low & (1 << n) - 1
    span = (1 << n) - 1 << dst_low
    valid = 0xFFFF if dst.name == "in_port" else dst.valid_bits
    assert oracle_get(out, dst) == ((oracle_get(key, dst) & ~span) | bits << dst_low) & valid


@given(mapped)
def test_mark_sets_exactly_the_view(f):
    out = fieldmod.mark(bytes(KEY_BYTES), f.name)
    place = PLACES[f.slot]
    view = 0xFFFFFFFF if f.name == "in_port" else f.valid_bits << f.low_bit
    assert slot_value(out, f) == view
    assert not any(out[: place.offset]) and not any(out[place.offset + place.slot.n_bytes :])


@pytest.mark.parametrize(("port16", "port32"), [(1, 1), (0xFEFF, 0xFEFF), (0xFFF8, 0xFFFFFFF8), (0xFFFE, 0xFFFFFFFE)])
def test_in_port_maps_reserved_ports(port16, port32):
    out = fieldmod.put_value(bytes(KEY_BYTES), "in_port", port16.to_bytes(2, "big"))
    assert fieldmod.get_value(out, "in_port_oxm") == port32.to_bytes(4, "big")
    assert fieldmod.get_value(out, "in_port") == port16.to_bytes(2, "big")


def key_with(**slots):
    key = bytearray(KEY_BYTES)
    for name, value in slots.items():
        place = PLACES[name]
        key[place.offset : place.offset + place.slot.n_bytes] = value.to_bytes(place.slot.n_bytes, "big")
    return bytes(key)


@pytest.mark.parametrize(
    ("name", "slots", "met"),
    [
        ("tcp_src", {"eth_type": 0x800, "nw_proto": 6}, True),
        ("tcp_src", {"eth_type": 0x86DD, "nw_proto": 6}, True),
        ("tcp_src", {"eth_type": 0x800, "nw_proto": 17}, False),
        ("tcp_src", {"eth_type": 0x800, "nw_proto": 6, "nw_frag": 3}, False),
        ("tcp_src", {"eth_type": 0x800, "nw_proto": 6, "nw_frag": 1}, True),
        ("tcp_src", {"eth_type": 0x806, "nw_proto": 6}, False),
        ("arp_op", {"eth_type": 0x8035}, True),
        ("vlan_pcp", {"vlan_tci": 0x1000}, True),
        ("vlan_pcp", {}, False),
        ("nd_sll", {"eth_type": 0x86DD, "nw_proto": 58, "tp_src": 135}, True),
        ("nd_sll", {"eth_type": 0x86DD, "nw_proto": 58, "tp_src": 136}, False),
        ("nd_target", {"eth_type": 0x86DD, "nw_proto": 58, "tp_src": 136, "tp_dst": 1}, False),
        ("ct_nw_src", {"ct_state": 0x22}, True),
        ("ct_nw_src", {"ct_state": 0x20}, False),
        ("eth_src", {"packet_type": 0x10800}, False),
        ("metadata", {}, True),
    ],
)
def test_prerequisites_read_the_key(name, slots, met):
    assert fieldmod.prereqs_met(key_with(**slots), name)[0] is met


def test_prerequisite_mask_is_what_was_read():
    key = key_with(eth_type=0x0806)
    met, mask = fieldmod.prereqs_met(key, "tcp_src")
    assert not met
    assert mask == key_with(eth_type=0xFFFF), "the check ends at the first condition that fails"


def test_unknown_names_are_refused():
    with pytest.raises(KeyError):
        fieldmod.get_value(bytes(KEY_BYTES), "no_such_field")
    with pytest.raises(ValueError):
        fieldmod.get_bits(bytes(KEY_BYTES), "vlan_vid", 5, 8)
    assert NUMBER["nw_src"] == NUMBER["ip_src"]
