"""Filters as SQL over the metadata of the table ``document``, equivalent to `Filter.holds`.

SQL evaluates a filter where SQLite's JSON is the same as Python's: documents whose metadata is ``plain``,
filters with ordinary names and values. In the other cases (integers beyond 64 bits, floats of many digits,
texts with a NUL character, names with quotes) SQL calls `Filter.holds`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from munjang.search.filters import Condition, Filter

if TYPE_CHECKING:
    import apsw

Sql = tuple[str, list[Any]]

_MOST_VALUES = 20_000  # maximum number of values of a statement
_MOST_CONDITIONS = 300
_ODD_NAME = re.compile(r'["\\\x00-\x1f\x7f\ud800-\udfff]')
_ORDER = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def install(connection: apsw.Connection) -> None:
    """Register the SQL function ``filter_holds(filter, metadata)`` on a connection."""
    connection.create_scalar_function("filter_holds", _holds, 2)


def _holds(*values: Any) -> bool:
    where, metadata = values
    return bool(where.holds(json.loads(metadata)))


def documents_where(where: Filter | None) -> Sql:
    """Return an SQL condition on the table ``document`` and its parameters; ``TRUE`` for no filter."""
    import apsw

    if where is None or not where.conditions:
        return "TRUE", []
    exact = "filter_holds(?, document.metadata)"
    if not _is_plain(where):
        return exact, [apsw.pyobject(where)]
    parts = [_condition(condition) for condition in where.conditions]
    sql = " AND ".join(f"({part})" for part, _ in parts)
    values = [value for _, parameters in parts for value in parameters]
    return f"CASE WHEN document.plain THEN {sql} ELSE {exact} END", [*values, apsw.pyobject(where)]


def _is_plain(where: Filter) -> bool:
    values = [value for condition in where.conditions for value in _values(condition)]
    if len(values) > _MOST_VALUES or len(where.conditions) > _MOST_CONDITIONS:
        return False
    paths = [condition.path for condition in where.conditions]
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
        exists = f"json_type(document.metadata, ?) = 'object' OR {member}"
        return f"coalesce({exists}, FALSE) = ?", [path, path, bool(condition.value)]
    test, values = _test(condition)
    # json_each would iterate over the members of an object as over a list; but an object equals no value.
    members = "json_each(document.metadata, ?) AS member"
    any_member = (
        "coalesce(json_type(document.metadata, ?), 'null') <> 'object' "  # noqa: S608
        f"AND EXISTS (SELECT 1 FROM {members} WHERE {test})"
    )
    negation = "NOT " if condition.operator in ("ne", "not_in") else ""
    return f"{negation}({any_member})", [path, path, *values]


def _test(condition: Condition) -> Sql:
    """Return an SQL condition on a value, the row ``member``."""
    if condition.operator in _ORDER:
        types = "('text')" if isinstance(condition.value, str) else "('integer', 'real')"
        return f"member.type IN {types} AND member.value {_ORDER[condition.operator]} ?", [condition.value]
    values = _values(condition)
    texts = [value for value in values if isinstance(value, str)]
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    names = {None: "'null'", True: "'true'", False: "'false'"}
    others = sorted({names[value] for value in values if value is None or isinstance(value, bool)})
    parts = [f"member.type IN ({', '.join(others)})"] if others else []
    for types, chosen in (("'text'", texts), ("'integer', 'real'", numbers)):
        if chosen:
            parts.append(f"member.type IN ({types}) AND member.value IN ({', '.join('?' * len(chosen))})")
    return " OR ".join(f"({part})" for part in parts) or "FALSE", [*texts, *numbers]
