"""SQL over jsonb agrees with `Filter.holds`; texts that PostgreSQL can't store keep their order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

psycopg = pytest.importorskip("psycopg")

from munjang.search.filters import Condition, Filter, parse_filter  # noqa: E402
from munjang.search.stores.postgres.encoding import comparable, escaped, unescaped  # noqa: E402
from munjang.search.stores.postgres.filters import documents_where  # noqa: E402

# Few names and values, so that a condition often meets what it asks for; and odd ones.
NAMES = st.sampled_from(["a", "b", "가", "0", "a b", "'", '"', "\\", "%s", "\x00", "\ud800"])
NUMBERS = st.sampled_from(
    [0, 1, -1, 0.5, 1.0, 0.1, -0.0, 1e-7, 5e-324, 2**53, 2**53 + 1, 2.0**53, 10**23, 1e23, 1e308]
) | st.floats(allow_nan=False, allow_infinity=False)
ODD = st.characters(codec=None, categories=["Cc", "Cs", "Lo", "Nd", "Co"])
TEXTS = st.sampled_from(["", "a", "B", "b", "가", "null", "1", "\x00", "\x01", "\ud7ff", "\ud800", "\ue000"])
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS | st.text(ODD, max_size=3)
LEAVES = SCALARS | st.lists(SCALARS | st.lists(SCALARS, max_size=1), max_size=3)
METADATA = st.dictionaries(NAMES, LEAVES | st.dictionaries(NAMES, LEAVES, max_size=2), max_size=3)
PATHS = st.lists(NAMES, min_size=1, max_size=2).map(tuple)
BOUNDS = NUMBERS | st.sampled_from([float("inf"), float("-inf")]) | TEXTS
CONDITIONS = st.one_of(
    st.builds(Condition, PATHS, st.sampled_from(["eq", "ne"]), SCALARS),
    st.builds(Condition, PATHS, st.sampled_from(["in", "not_in"]), st.lists(SCALARS, max_size=3).map(tuple)),
    st.builds(Condition, PATHS, st.sampled_from(["gt", "gte", "lt", "lte"]), BOUNDS),
    st.builds(Condition, PATHS, st.just("exists"), st.booleans()),
)


@pytest.fixture(scope="module")
def connection(postgres_server: str) -> Iterator[Any]:
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        yield connection


def says(connection: Any, metadata: dict[str, Any], where: Filter) -> bool:
    text, values = documents_where(where)
    query = f"SELECT {text} FROM (SELECT %s::jsonb AS metadata) AS documents"
    return bool(connection.execute(query, [*values, comparable(metadata)]).fetchone()[0])


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(metadata=METADATA, conditions=st.lists(CONDITIONS, min_size=1, max_size=2))
def test_sql_agrees_with_python(
    connection: Any, metadata: dict[str, Any], conditions: list[Condition]
) -> None:
    where = Filter(tuple(conditions))
    assert says(connection, metadata, where) == where.holds(metadata)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(value=LEAVES, wanted=BOUNDS, operator=st.sampled_from(["gt", "gte", "lt", "lte", "eq", "ne"]))
@example(value=2**53 + 1, wanted=2.0**53, operator="gt")
@example(value=1e23, wanted=10**23, operator="eq")
@example(value=0.1, wanted=0.1, operator="eq")
@example(value="\ud800", wanted="\ue000", operator="lt")
def test_a_condition_on_any_pair_of_values(connection: Any, value: Any, wanted: Any, operator: Any) -> None:
    where = Filter((Condition(("a",), operator, wanted),))
    assert says(connection, {"a": value}, where) == where.holds({"a": value})


def test_a_filter_of_very_many_values(connection: Any) -> None:
    where = parse_filter({"n": list(range(20_000))})
    assert where is not None
    assert says(connection, {"n": 19_999}, where)
    assert not says(connection, {"n": 20_000}, where)


@given(st.text(ODD), st.text(ODD))
def test_escaping_keeps_texts_and_their_order(one: str, other: str) -> None:
    assert unescaped(escaped(one)) == one
    assert "\x00" not in escaped(one)
    assert (escaped(one).encode() < escaped(other).encode()) == (one < other)
