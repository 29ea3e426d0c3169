"""Hypothesis strategies: transactions for the small schema of tests/oracle/ovsdb_model.py."""

from hypothesis import strategies as st

A_UUIDS = [f"aaaaaaaa-0000-4000-8000-{n:012x}" for n in range(5)]
B_UUIDS = [f"bbbbbbbb-0000-4000-8000-{n:012x}" for n in range(5)]
UUIDS = {"A": A_UUIDS, "B": B_UUIDS}

b_ref = st.sampled_from(B_UUIDS).map(lambda u: ["uuid", u])
b_refs = st.lists(b_ref, max_size=3, unique_by=lambda r: r[1]).map(lambda refs: ["set", refs])
ints = st.lists(st.integers(0, 9), max_size=3, unique=True).map(lambda v: ["set", v])
pairs = st.dictionaries(st.sampled_from("pqr"), st.integers(0, 2), max_size=3)
opts = pairs.map(lambda d: ["map", [[k, v] for k, v in d.items()]])
keys = st.lists(st.sampled_from("pqr"), max_size=2, unique=True).map(lambda v: ["set", v])

COLUMNS = {
    "A": {"name": st.sampled_from("klmno"), "kids": b_refs, "likes": b_refs, "ints": ints, "opts": opts},
    "B": {"label": st.sampled_from(["x", "y", ""]), "peer": st.one_of(st.just(["set", []]), b_ref)},
}


def rows(table, fixed=False):
    columns = dict(COLUMNS[table])
    if fixed:
        columns["fixed"] = st.integers(0, 3)
    return st.fixed_dictionaries({}, optional=columns)


def where(table):
    by_uuid = st.sampled_from(UUIDS[table]).map(lambda u: [["_uuid", "==", ["uuid", u]]])
    if table == "B":
        by_value = st.sampled_from(["x", "y"]).map(lambda v: [["label", "!=", v]])
        return st.one_of(by_uuid, by_uuid, by_value, st.just([]))
    by_name = st.sampled_from("klmno").map(lambda v: [["name", "==", v]])
    function = st.sampled_from(["includes", "excludes", "==", "!="])
    by_ints = st.tuples(st.just("ints"), function, ints).map(lambda c: [list(c)])
    by_opts = st.tuples(st.just("opts"), function, opts).map(lambda c: [list(c)])
    by_kids = st.tuples(st.just("kids"), st.sampled_from(["includes", "excludes"]), b_refs).map(lambda c: [list(c)])
    return st.one_of(by_uuid, by_uuid, by_name, by_ints, by_opts, by_kids, st.just([]))


mutations_a = st.one_of(
    st.tuples(st.sampled_from(["kids", "likes"]), st.sampled_from(["insert", "delete"]), b_refs),
    st.tuples(st.just("ints"), st.sampled_from(["insert", "delete"]), ints),
    st.tuples(st.just("ints"), st.just("+="), st.integers(-3, 3)),
    st.tuples(st.just("opts"), st.sampled_from(["insert", "delete"]), opts),
    st.tuples(st.just("opts"), st.just("delete"), keys),
).map(list)
mutations_b = st.tuples(st.just("peer"), st.sampled_from(["insert", "delete"]), b_ref).map(list)


def operations(table):
    mutations = mutations_a if table == "A" else mutations_b
    place = {"table": st.just(table), "where": where(table)}
    insert = {"op": st.just("insert"), "table": st.just(table), "uuid": st.sampled_from(UUIDS[table])}
    return st.one_of(
        st.fixed_dictionaries({**insert, "row": rows(table, fixed=table == "A")}),
        st.fixed_dictionaries({"op": st.just("update"), **place, "row": rows(table)}),
        st.fixed_dictionaries({"op": st.just("mutate"), **place, "mutations": st.lists(mutations, max_size=2)}),
        st.fixed_dictionaries({"op": st.just("delete"), **place}),
    )


# Transactions that build something sensible come up too seldom by chance, so they are drawn on purpose.
@st.composite
def families(draw):
    """An A row with its B rows, in one transaction."""
    kids = draw(st.lists(st.sampled_from(B_UUIDS), max_size=3, unique=True))
    ops = [{"op": "insert", "table": "B", "uuid": u, "row": draw(rows("B"))} for u in kids]
    row = {**draw(rows("A")), "kids": ["set", [["uuid", u] for u in kids]]}
    return [*ops, {"op": "insert", "table": "A", "uuid": draw(st.sampled_from(A_UUIDS)), "row": row}]


transactions = st.one_of(
    families(),
    families(),
    st.lists(st.one_of(operations("A"), operations("A"), operations("B")), min_size=1, max_size=4),
)
histories = st.lists(transactions, min_size=1, max_size=8)
