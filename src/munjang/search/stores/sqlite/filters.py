"""Filters as SQL over the metadata of the table ``document``, equivalent to `Filter.holds`.

SQL evaluates a filter where SQLite's JSON is the same as Python's: documents whose metadata is ``plain``,
filters with ordinary names and values. In the other cases (integers beyond 64 bits, floats of many digits,
texts with a NUL character, names with quotes) SQL calls `Filter.holds`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from munjang.errors import InputTypeError
from munjang.search.filters import Condition, Filter

if TYPE_CHECKING:
    import apsw

__all__ = ["compact_json", "condition_of", "install", "metadata_json"]

Sql = tuple[str, list[Any]]

_MOST_VALUES = 20_000  # maximum number of values of a statement
_MOST_CONDITIONS = 300
_MOST_DEPTH = 100
# A number that SQLite may read with another value: more digits than it keeps, or an exponent.
_LONG_NUMBER = re.compile(r"[:,\[]-?(?:[0-9.]{16,}|[0-9.]+[eE])")
compact_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_ODD_NAME = re.compile(r'["\\\x00-\x1f\x7f\ud800-\udfff]')
_ORDER = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def metadata_json(metadata: Mapping[str, Any], owner: object) -> tuple[str, bool]:
    """Return metadata as JSON, and whether it is plain; `InputTypeError` if it can't be written as JSON."""
    try:
        _check_names(metadata, _MOST_DEPTH)
        text = compact_json(dict(metadata))
    except (TypeError, ValueError) as error:
        raise InputTypeError(f"The metadata of document {owner!r} can't be JSON: {error}.") from error
    return text, "\\u0000" not in text and _LONG_NUMBER.search(text) is None


def _check_names(value: object, depth: int) -> None:
    """Raise an error for names that are not strings, and for nesting too deep to be read back reliably."""
    if not isinstance(value, (Mapping, list, tuple)):
        return
    if not depth:
        raise ValueError(f"it is nested more than {_MOST_DEPTH} deep")
    if isinstance(value, Mapping):
        if wrong := [name for name in value if not isinstance(name, str)]:
            raise TypeError(f"the name {wrong[0]!r} is no text")
        value = list(value.values())
    for one in value:
        _check_names(one, depth - 1)


def install(connection: apsw.Connection) -> None:
    """Register the SQL function ``filter_holds(filter, metadata)`` on a connection."""
    connection.create_scalar_function("filter_holds", _holds, 2)


def _holds(*values: Any) -> bool:
    wanted, metadata = values
    return bool(wanted.holds(json.loads(metadata)))


def condition_of(where: Filter | None) -> Sql:
    """Return an SQL condition on the table ``document``, and its values."""
    import apsw

    if where is None or not where.conditions:
        return "TRUE", []
    exact = "filter_holds(?, document.metadata)"
    if not _is_plain(where):
        return exact, [apsw.pyobject(where)]
    parts = [_condition(one) for one in where.conditions]
    sql = " AND ".join(f"({part})" for part, _ in parts)
    values = [value for _, some in parts for value in some]
    return f"CASE WHEN document.plain THEN {sql} ELSE {exact} END", [*values, apsw.pyobject(where)]


def _is_plain(where: Filter) -> bool:
    values = [value for one in where.conditions for value in _values(one)]
    if len(values) > _MOST_VALUES or len(where.conditions) > _MOST_CONDITIONS:
        return False
    paths = [one.path for one in where.conditions]
    names = [name for path in paths for name in path]
    return all(paths) and all(map(_is_ordinary_name, names)) and all(map(_is_ordinary_value, values))


def _is_ordinary_name(name: str) -> bool:
    return bool(name) and _ODD_NAME.search(name) is None


def _is_ordinary_value(value: object) -> bool:
    if isinstance(value, str):
        return not re.search("[\x00\ud800-\udfff]", value)
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return value is None or (isinstance(value, float) and abs(value) != float("inf"))


def _values(condition: Condition) -> tuple[Any, ...]:
    return condition.value if isinstance(condition.value, tuple) else (condition.value,)


def _condition(condition: Condition) -> Sql:
    path = "$" + "".join(f'."{name}"' for name in condition.path)
    if condition.operator == "exists":
        member = "EXISTS (SELECT 1 FROM json_each(document.metadata, ?))"
        there = f"json_type(document.metadata, ?) = 'object' OR {member}"
        return f"coalesce({there}, FALSE) = ?", [path, path, bool(condition.value)]
    test, values = _test(condition)
    # json_each would iterate over the members of an object as over a list; but an object equals no value.
    members = "json_each(document.metadata, ?) AS one"
    some = (
        "coalesce(json_type(document.metadata, ?), 'null') <> 'object' "  # noqa: S608
        f"AND EXISTS (SELECT 1 FROM {members} WHERE {test})"
    )
    negation = "NOT " if condition.operator in ("ne", "not_in") else ""
    return f"{negation}({some})", [path, path, *values]


def _test(condition: Condition) -> Sql:
    """Return an SQL condition on a member, the row ``one``."""
    if condition.operator in _ORDER:
        types = "('text')" if isinstance(condition.value, str) else "('integer', 'real')"
        return f"one.type IN {types} AND one.value {_ORDER[condition.operator]} ?", [condition.value]
    values = _values(condition)
    texts = [value for value in values if isinstance(value, str)]
    numbers = [one for one in values if isinstance(one, (int, float)) and not isinstance(one, bool)]
    names = {None: "'null'", True: "'true'", False: "'false'"}
    others = sorted({names[value] for value in values if value is None or isinstance(value, bool)})
    parts = [f"one.type IN ({', '.join(others)})"] if others else []
    for types, some in (("'text'", texts), ("'integer', 'real'", numbers)):
        if some:
            parts.append(f"one.type IN ({types}) AND one.value IN ({', '.join('?' * len(some))})")
    return " OR ".join(f"({part})" for part in parts) or "FALSE", [*texts, *numbers]
