"""`Filter` as SQL over the metadata (jsonb) of the table ``documents``, equivalent to `Filter.holds`."""

from __future__ import annotations

from typing import Any

from munjang.search.filters import Condition, Filter
from munjang.search.stores.postgres.encoding import comparable, escaped

_SIGNS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}

Part = tuple[str, list[Any]]


def documents_where(where: Filter | None) -> Part:
    """Return a condition on ``documents`` and its parameters; ``true`` for no filter."""
    parts = [_condition(condition) for condition in where.conditions] if where else []
    text = " AND ".join(f"({part})" for part, _ in parts) or "true"
    return text, [value for _, values in parts for value in values]


def only_documents(column: str, where: Filter | None) -> Part:
    """Return a condition on a column with document numbers, and its parameters."""
    if where is None or not where.conditions:
        return "true", []
    text, values = documents_where(where)
    return f"{column} IN (SELECT number FROM documents WHERE {text})", values  # noqa: S608 - no text of a user


def _condition(condition: Condition) -> Part:
    path, operator, value = condition.path, condition.operator, condition.value
    if operator == "exists":
        member, values = _member(path)
        return f"coalesce({member} {'<>' if value else '='} '[]'::jsonb, {not value})", values
    if operator in _SIGNS:
        return _ordered(condition)
    wanted = value if isinstance(value, tuple) else (value,)
    # Containment, which uses the GIN index: the value itself, or a list that contains it.
    members = map(comparable, wanted)
    forms = [_nested(path, form) for member in members for form in (member, f"[{member}]")]
    holds = "metadata @> ANY (%s::jsonb[])"
    return (f"NOT {holds}" if operator in ("ne", "not_in") else holds), [forms]


def _nested(path: tuple[str, ...], value: str) -> str:
    for name in reversed(path):
        value = f"{{{comparable(name)}:{value}}}"
    return value


def _ordered(condition: Condition) -> Part:
    """Return a comparison of numbers with a number, or of texts with a text."""
    member, values = _member(condition.path)
    sign, value = _SIGNS[condition.operator], condition.value
    if isinstance(value, str):
        test, wanted = (
            f"jsonb_typeof(member) = 'string' AND (member #>> '{{}}') COLLATE \"C\" {sign} %s",
            escaped(value),
        )
    else:
        test, wanted = f"jsonb_typeof(member) = 'number' AND member {sign} %s::jsonb", comparable(value)
    members = f"CASE jsonb_typeof({member}) WHEN 'array' THEN {member} ELSE jsonb_build_array({member}) END"
    text = f"EXISTS (SELECT FROM jsonb_array_elements({members}) AS members(member) WHERE {test})"
    return text, [*values * 3, wanted]


def _member(path: tuple[str, ...]) -> Part:
    """Return the path to a value; the operator ``->`` returns NULL for anything that is not an object."""
    return "metadata" + " -> %s::text" * len(path), [escaped(name) for name in path]
