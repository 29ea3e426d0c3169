"""Values as vsctl reads and prints them: what is printed reads back, wrong text has an error that names it (TL.01)."""

from __future__ import annotations

import json
import string
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovsdb.blocking import Uuid
from vslib.errors import ConfigError
from vswitchd.vsctl import database, output, values
from vswitchd.vsctl.schema import UUID, Column, Schema

ATOMS = {
    "integer": st.integers(-(1 << 63), (1 << 63) - 1),
    "real": st.integers(-(10**6), 10**6).map(lambda number: number / 64),
    "boolean": st.booleans(),
    "string": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    "uuid": st.builds(lambda: Uuid(uuid.uuid4())),
}
KINDS = sorted(ATOMS)


@st.composite
def typed_values(draw):
    """A column of any type and a value of it."""
    kind, other = draw(st.sampled_from(KINDS)), draw(st.sampled_from([None, *KINDS]))
    spec = {"key": kind, "min": 0, "max": "unlimited"}
    if other is not None:
        spec["value"] = other
        return Column("c", {"type": spec}), draw(st.dictionaries(ATOMS[kind], ATOMS[other], max_size=4))
    return Column("c", {"type": spec}), draw(st.lists(ATOMS[kind], max_size=4, unique=True))


@given(typed_values())
def test_what_is_printed_reads_back_as_the_same_value(pair):
    column, value = pair
    found = values.parse_value(values.value_text(value, column), column)
    assert found == value if isinstance(value, dict) else set(found) == set(value)


@given(typed_values())
def test_json_is_what_every_json_reader_reads(pair):
    column, value = pair
    notation = values.value_json(value, column)
    for pretty in (False, True):
        assert json.loads(output.json_text(notation, pretty)) == json.loads(json.dumps(notation))


@given(st.text(string.ascii_letters + string.digits + '"\\:=, []{}!<>-.@ü', max_size=12), st.sampled_from(KINDS),
       st.sampled_from([None, *KINDS]))  # fmt: skip
def test_any_text_is_a_value_or_has_an_error_for_the_operator(text, kind, other):
    spec = {"key": kind, "min": 0, "max": 3} | ({"value": other} if other else {})
    column = Column("c", {"type": spec})
    try:
        found = values.parse_value(text, column)
    except ConfigError as error:
        assert str(error)
    else:
        assert len(found) <= 3
        values.value_text(found, column)


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("1-3", [1, 2, 3]),
        ("-3--1,7", [-3, -2, -1, 7]),
        ("[ 5 , 6 ]", [5, 6]),
        ("1 2", [1, 2]),
        ("+4", [4]),
        ("[]", []),
    ],
)  # fmt: skip
def test_sets_of_integers_may_have_ranges_blanks_and_brackets(text, members):
    assert values.parse_value(text, Column("c", {"type": {"key": "integer", "min": 0, "max": 9}})) == members


@pytest.mark.parametrize(
    ("type_", "text", "error"),
    [
        ("integer", "9223372036854775808", '"9223372036854775808" is not a valid integer or range'),
        ("integer", "1_000", '"1_000" is not a valid integer or range'),
        ("real", "nan", '"nan" is not a valid real number'),
        ("real", "1e999", '"1e999" is not a valid real number'),
        ("boolean", "maybe", '"maybe" is not a valid boolean (use "true" or "false")'),
        ("uuid", "123", '"123" is not a valid UUID'),
        ("string", '"\\u12"', '"\\u12": malformed \\u escape'),
        ("string", '"\\ud800"', '"\\ud800": malformed \\u escape'),
        ({"key": "integer", "max": 9999}, "1-5000", 'Range "1-5000" is too big. Maximum allowed size is 4096.'),
        ({"key": {"type": "string", "minLength": 2}}, "a", 'constraint violation: "a" length 1 is less than minimum '
         "allowed length 2"),
        ({"key": {"type": "real", "maxReal": 2.5}}, "3", "constraint violation: 3 is greater than maximum allowed "
         "value 2.5"),
        ({"key": "string", "value": "integer", "min": 1, "max": 2}, "{}", "{}: 0 pair(s) specified but the minimum "
         "number is 1"),
        ({"key": "string", "min": 0}, " ", 'use "[]" to specify the empty set'),
        ({"key": "string", "value": "string", "min": 0}, "", 'use "{}" to specify the empty map'),
    ],
)  # fmt: skip
def test_a_wrong_value_has_an_error_that_names_it(type_, text, error):
    with pytest.raises(ConfigError) as caught:
        values.parse_value(text, Column("c", {"type": type_}))
    assert str(caught.value) == error


@given(st.lists(st.sampled_from(string.ascii_lowercase), max_size=3, unique=True),
       st.lists(st.sampled_from(string.ascii_lowercase), max_size=3, unique=True))  # fmt: skip
def test_conditions_order_sets_by_size_and_then_by_members(one, other):
    rank = [(len(each), sorted(each)) for each in (one, other)]
    found = {name: relation(one, other) for name, relation in database.RELATIONS.items()}
    a, b = set(one), set(other)
    assert found == {
        "=": a == b, "!=": a != b, "<": rank[0] < rank[1], ">": rank[0] > rank[1], "<=": rank[0] <= rank[1],
        ">=": rank[0] >= rank[1], "{=}": a == b, "{!=}": a != b, "{<}": a < b, "{>}": a > b, "{<=}": a <= b,
        "{>=}": a >= b, "{in}": a <= b, "{not-in}": not a & b,
    }  # fmt: skip
    assert tuple(found) == database.CONDITIONS


def test_names_may_be_abbreviated_as_long_as_only_one_fits():
    schema = Schema()
    assert schema.find("open-vSWITCH").name == "Open_vSwitch"
    assert schema.find("port").column("External-IDs").name == "external_ids"
    with pytest.raises(ConfigError, match="more than one column whose name matches \"rstp\": rstp_statistics, rstp_"):
        schema.find("port").column("rstp")
    with pytest.raises(ConfigError, match='unknown table ""'):
        schema.find("")


def test_tables_of_every_format_show_the_same_cells():
    listing = output.Listing([UUID, Column("name", {"type": "string"})])
    row = Uuid(uuid.UUID(int=5))
    listing.rows = [[[row], ["a,b"]], [[row], ['say "x"']]]
    texts = {}
    for name in output.FORMATS:
        style = output.Style()
        style.format = name
        texts[name] = output.render(listing, style)
    assert texts["csv"].splitlines()[1:] == [f'{row},"""a,b"""', f'{row},"""say \\""x\\"""""']
    assert json.loads(texts["json"]) == {
        "headings": ["_uuid", "name"],
        "data": [[["uuid", row], "a,b"], [["uuid", row], 'say "x"']],
    }
    assert f'<td><a name="{row}">00000000</a></td>' in texts["html"]
    assert texts["table"].splitlines()[1] == "-" * 36 + " " + "-" * 11
    assert texts["list"].splitlines()[1] == f'{"name":<20}: "a,b"'
