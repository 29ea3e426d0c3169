"""Datums: notation, order, constraints, differences."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovsdb import schema
from ovsdb.atoms import INT_MAX, INT_MIN, apply_diff, diff
from ovsdb.error import OvsdbError

ATOMS = {
    "integer": st.integers(INT_MIN, INT_MAX),
    "real": st.floats(allow_nan=False, allow_infinity=False),
    "boolean": st.booleans(),
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    "uuid": st.uuids().map(lambda u: ["uuid", str(u)]),
}


@st.composite
def typed_values(draw, count=1):
    """A type and some JSON values of it."""
    key = draw(st.sampled_from(list(ATOMS)))
    value = draw(st.sampled_from([None, *ATOMS]))
    n_max = draw(st.sampled_from([1, 2, "unlimited"]))
    spec = {"key": key, "min": 0, "max": n_max} | ({"value": value} if value else {})
    most = {"unlimited": 5}.get(n_max, n_max)
    results = []
    for _ in range(count):
        keys = draw(st.lists(ATOMS[key], max_size=most, unique_by=json.dumps))
        keys = list({str(k) if k not in (0, 1) else int(k): k for k in keys}.values())  # 0.0 and -0.0 are one value
        results.append(["map", [[k, draw(ATOMS[value])] for k in keys]] if value else ["set", keys])
    return schema.parse_type(spec), results


def as_json(value):
    return json.loads(json.dumps(value))


@given(typed_values())
def test_what_is_printed_parses_to_the_same(case):  # DB.18
    type_, (value,) = case
    datum = type_.parse(value)
    assert type_.parse(as_json(type_.to_json(datum))) == datum
    assert list(datum) == sorted(datum) and len(datum) == len(value[1])


@given(typed_values(count=2))
def test_a_difference_leads_from_old_to_new(case):  # DB.23
    type_, (old, new) = (case[0], map(case[0].parse, case[1]))
    assert apply_diff(type_, old, diff(type_, old, new)) == new
    if type_.is_composite:
        assert (diff(type_, old, new) == ()) == (old == new)


@pytest.mark.parametrize(
    ("spec", "value", "word"),
    [
        ("integer", 1.5, "syntax error"),
        ("integer", True, "syntax error"),
        ("integer", INT_MAX + 1, "syntax error"),
        ("real", "1", "syntax error"),
        ("real", 10**400, "syntax error"),
        ("boolean", 1, "syntax error"),
        ("string", 1, "syntax error"),
        ("uuid", "x", "syntax error"),
        ("uuid", ["uuid", "x"], "syntax error"),
        ("uuid", ["named-uuid", "x"], "syntax error"),
        ("string", ["set", []], "syntax error"),
        ({"key": "string", "max": 2}, ["set", ["a", "b", "c"]], "syntax error"),
        ({"key": "string", "max": 2}, ["set", ["a", "a"]], "constraint violation"),
        ({"key": "string", "max": 2}, ["set", "a"], "syntax error"),
        ({"key": "string", "value": "string"}, ["map", [["a", "b"], ["a", "c"]]], "syntax error"),
        ({"key": "string", "value": "string", "max": 2}, ["map", [["a", "b"], ["a", "c"]]], "constraint violation"),
        ({"key": {"type": "integer", "minInteger": 1}}, 0, "constraint violation"),
        ({"key": {"type": "integer", "maxInteger": 1}}, 2, "constraint violation"),
        ({"key": {"type": "real", "minReal": 0.5, "maxReal": 1}}, 0.25, "constraint violation"),
        ({"key": {"type": "string", "minLength": 2}}, "a", "constraint violation"),
        ({"key": {"type": "string", "maxLength": 2}}, "abc", "constraint violation"),
        ({"key": {"type": "string", "enum": ["set", ["a", "b"]]}}, "c", "constraint violation"),
        ({"key": {"type": "integer", "enum": 3}}, 4, "constraint violation"),
    ],
)
def test_values_outside_their_type_are_refused(spec, value, word):  # DB.18, DB.20
    with pytest.raises(OvsdbError) as caught:
        schema.parse_type(spec).parse(value)
    assert caught.value.word == word and caught.value.details


def test_integral_reals_and_integers_stand_for_each_other():
    assert schema.parse_type("integer").parse(3.0) == (3,)
    (real,) = schema.parse_type("real").parse(3)
    assert isinstance(real, float) and math.isclose(real, 3)


def test_uuids_are_compared_without_case():
    type_ = schema.parse_type("uuid")
    assert type_.parse(["uuid", "ABCDEF00-0000-0000-0000-00000000000A"]) == ("abcdef00-0000-0000-0000-00000000000a",)
