"""SQL over JSON agrees with `Filter.holds`, for any metadata and any filter."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import apsw
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from munjang.errors import InputTypeError
from munjang.search.filters import Condition, Filter
from munjang.search.stores.sqlite.encoding import write_metadata
from munjang.search.stores.sqlite.filters import documents_where, install

CHARACTERS = st.characters(exclude_categories=["Cs"])
# Few names and values, so that conditions often meet what they ask for; and odd ones.
NAMES = st.sampled_from(["a", "b", "0", "가", 'q"', "a.b", "$", "[0]", "\\", "\x00", "\n", "'"]) | st.text(
    CHARACTERS, min_size=1, max_size=3
)
NUMBERS = (
    st.integers(-3, 3)
    | st.sampled_from(
        [0.1, 0.1 + 0.2, 1e16, 2.5, -0.0, 2**53, 2**53 + 1, 2.0**53, 2**63, -(2**63), 2**70, 1e300]
    )
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
)
SCALARS = (
    st.none()
    | st.booleans()
    | NUMBERS
    | st.sampled_from(["", "a", "1", "true", "null", "가", "\U0001f600", "\uffff", "a\x00b", "{}"])
    | st.text(CHARACTERS, max_size=3)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
METADATA = st.dictionaries(NAMES, VALUES, max_size=4)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(tuple)


def conditions() -> st.SearchStrategy[Condition]:
    lists = st.lists(SCALARS, max_size=4).map(tuple)
    return st.one_of(
        st.builds(Condition, PATHS, st.sampled_from(["eq", "ne"]), SCALARS),
        st.builds(Condition, PATHS, st.sampled_from(["in", "not_in"]), lists),
        st.builds(
            Condition, PATHS, st.sampled_from(["gt", "gte", "lt", "lte"]), NUMBERS | st.text(CHARACTERS)
        ),
        st.builds(Condition, PATHS, st.just("exists"), st.booleans()),
    )


def _paths(metadata: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Paths in metadata with their values."""
    for name, value in metadata.items():
        yield (*before, name), value
        if isinstance(value, dict):
            yield from _paths(value, (*before, name))


def _aimed(one: Condition, path: tuple[str, ...], value: Any, at: int) -> Condition:
    """A condition on the value at a path, with a type that can be compared with it."""
    member = value[at % len(value)] if isinstance(value, list) and value else value
    ordered = (
        one.operator in ("gt", "gte", "lt", "lte") and member is not None and not isinstance(member, bool)
    )
    usable = not isinstance(member, (list, dict)) and (ordered or one.operator in ("eq", "ne"))
    return Condition(path, one.operator, member if usable else one.value)


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Any], Filter]:
    """Metadata and a filter; its first condition is on a value of the metadata, if there is any."""
    metadata = draw(METADATA)
    places = [(path, value) for path, value in _paths(metadata) if not isinstance(value, dict)]
    found = draw(st.lists(conditions(), min_size=1, max_size=3))
    if places:
        path, value = draw(st.sampled_from(places))
        found[0] = _aimed(found[0], path, value, draw(st.integers(0, 9)))
    return metadata, Filter(tuple(found))


@pytest.fixture(scope="module")
def connection() -> Iterator[apsw.Connection]:
    opened = apsw.Connection(":memory:")
    install(opened)
    opened.execute("CREATE TABLE document (metadata TEXT, plain INTEGER)")
    yield opened
    opened.close()


def in_sql(connection: apsw.Connection, metadata: dict[str, Any], where: Filter) -> bool:
    connection.execute("DELETE FROM document")
    connection.execute("INSERT INTO document VALUES (?, ?)", write_metadata(metadata, 1))
    condition, values = documents_where(where)
    found = connection.execute(f"SELECT {condition} FROM document", values).get
    assert found in (0, 1)  # never NULL, which would be neither
    return bool(found)


def one(path: str, operator: Any, value: Any) -> Filter:
    return Filter((Condition(tuple(path.split(".")), operator, value),))


@given(cases())
@example(({"a": [1, [2]]}, one("a", "eq", 2)))
@example(({"a": {"b": 1}}, one("a", "eq", 1)))
@example(({"a": {"b": 1}}, one("a", "exists", True)))
@example(({"a": []}, one("a", "exists", True)))
@example(({"a": None}, one("a", "exists", True)))
@example(({"a": None}, one("a", "ne", None)))
@example(({"a": True}, one("a", "eq", 1)))
@example(({"a": 1}, one("a", "in", (True, "1"))))
@example(({"a": 2**53 + 1}, one("a", "eq", 2.0**53)))
@example(({"a": 2**63}, one("a", "gt", 2**63 - 1)))
@example(({"a": 9007199254740993.0}, one("a", "lt", 9007199254740993)))
@example(({"a": 0.1 + 0.2}, one("a", "eq", 0.3)))
@example(({"a": "a\x00b"}, one("a", "gt", "a")))
@example(({"a": "\U0001f600"}, one("a", "gt", "\uffff")))
@example(({"a": 5e-324}, one("a", "gt", 0)))
@example(({"a": [{"b": 1}]}, one("a.b", "exists", True)))
def test_sql_agrees_with_python(connection: apsw.Connection, case: tuple[dict[str, Any], Filter]) -> None:
    metadata, where = case
    assert in_sql(connection, metadata, where) == where.holds(json.loads(json.dumps(metadata)))


def test_ordinary_filters_never_leave_sql(connection: apsw.Connection) -> None:
    where = Filter(
        (Condition(("author", "이름"), "in", ("김", 3, 2.5, None, True)), Condition(("n",), "gt", 1.5))
    )
    metadata = {"author": {"이름": "김"}, "n": 12345.678, "date": "2024-01-01T10:00:00", "id": "1e9f-4e5"}
    assert write_metadata(metadata, 1)[1]
    condition, values = documents_where(where)
    connection.execute("DELETE FROM document")
    connection.execute("INSERT INTO document VALUES (?, TRUE)", (write_metadata(metadata, 1)[0],))
    # Asking `filter_holds` with something that is no filter would fail.
    assert connection.execute(f"SELECT {condition} FROM document", [*values[:-1], None]).get == 1


def test_very_long_and_very_many_conditions(connection: apsw.Connection) -> None:
    numbers = Filter((Condition(("n",), "in", tuple(range(50_000))),))
    many = Filter(tuple(Condition(("n",), "ne", number) for number in range(5000)))
    for wanted in (numbers, many, Filter((*numbers.conditions, *many.conditions))):
        assert in_sql(connection, {"n": 49_999}, wanted)
    assert not in_sql(connection, {"n": 50_000}, numbers)


def nested(depth: int) -> Any:
    return [nested(depth - 1)] if depth else 1


def test_metadata_of_great_depth(connection: apsw.Connection) -> None:
    assert in_sql(connection, {"a": nested(99), "b": 2}, one("b", "eq", 2))
    with pytest.raises(InputTypeError, match="nested more than 100 deep"):
        write_metadata({"a": nested(100)}, 1)


@pytest.mark.parametrize("metadata", [{"a": float("inf")}, {"a": b"x"}, {"a": {2: 1}}, {"a": [{None: 1}]}])
def test_invalid_json_is_refused(metadata: dict[str, Any]) -> None:
    with pytest.raises(InputTypeError, match="document 'seven'"):
        write_metadata(metadata, "seven")
