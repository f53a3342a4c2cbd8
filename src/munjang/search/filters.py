"""`Filter`: conditions on metadata that limit which documents a search returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from munjang.errors import InputError, InputTypeError
from munjang.validation import plain_value, shown_value

Scalar: TypeAlias = str | int | float | bool | None
Operator: TypeAlias = Literal["eq", "ne", "in", "not_in", "gt", "gte", "lt", "lte", "exists"]

_ORDER = ("gt", "gte", "lt", "lte")
_LISTS = ("in", "not_in")
_OPERATORS: tuple[Operator, ...] = ("eq", "ne", "in", "not_in", "gt", "gte", "lt", "lte", "exists")


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on a value of the metadata.

    ``path`` is the path of the value: ``("author", "name")`` for ``{"author": {"name": ...}}``. If the value
    is a list, the condition holds if it holds for any member (``ne`` and ``not_in``: if the opposite holds
    for no member). A missing value matches only ``ne``, ``not_in`` and ``exists: false``. Numbers compare
    with numbers and strings with strings, by code point; values of different types never match. True is
    not 1.
    """

    path: tuple[str, ...]
    operator: Operator
    value: Scalar | tuple[Scalar, ...]

    def holds(self, metadata: Mapping[str, Any]) -> bool:
        """Return whether metadata matches the condition."""
        members = _members(metadata, self.path)
        if self.operator == "exists":
            return bool(members) == self.value
        if self.operator in ("ne", "not_in"):
            wanted = self.value if isinstance(self.value, tuple) else (self.value,)
            return not any(_equal(member, value) for member in members for value in wanted)
        return any(self._holds_for(member) for member in members)

    def _holds_for(self, member: object) -> bool:
        if isinstance(self.value, tuple):
            return any(_equal(member, value) for value in self.value)
        if self.operator == "eq":
            return _equal(member, self.value)
        return _ordered(member, self.operator, self.value)


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that must all hold."""

    conditions: tuple[Condition, ...]

    def holds(self, metadata: Mapping[str, Any]) -> bool:
        """Return whether metadata matches every condition; the Python equivalent of the stores' SQL."""
        return all(condition.holds(metadata) for condition in self.conditions)


def parse_filter(wanted: Mapping[str, Any] | None) -> Filter | None:
    """Return the parsed filter of a user: ``{"lang": "ko", "year": {"gte": 2020}, "tag": ["a", "b"]}``.

    Raises `InputTypeError` or `InputError` with the invalid part.
    """
    if wanted is None:
        return None
    if not isinstance(wanted, Mapping) or not all(isinstance(name, str) for name in wanted):
        raise InputTypeError(f"A filter is a mapping of names to values, got {shown_value(wanted)}.")
    return Filter(
        tuple(condition for name, value in wanted.items() for condition in _conditions(name, value))
    )


def _conditions(name: str, wanted: object) -> list[Condition]:
    path = tuple(name.split("."))
    if not all(path):
        raise InputError(f"The filter's name '{name}' is empty or has an empty part.")
    if not isinstance(wanted, Mapping):
        return [_condition(path, "in" if isinstance(wanted, (list, tuple)) else "eq", wanted)]
    if not wanted:
        raise InputError(f"The filter for '{name}' is empty; write for example {{'gte': 2020}}.")
    unknown = [operator for operator in wanted if operator not in _OPERATORS]
    if unknown:
        raise InputError(
            f"The filter for '{name}' has {shown_value(unknown[0])}, which is not one of the operators "
            f"{', '.join(_OPERATORS)}."
        )
    return [_condition(path, operator, value) for operator, value in wanted.items()]


def _condition(path: tuple[str, ...], operator: Operator, value: object) -> Condition:
    name = ".".join(path)
    value = (
        [plain_value(member) for member in value] if isinstance(value, list | tuple) else plain_value(value)
    )
    if operator in _LISTS:
        if not isinstance(value, list) or not all(_is_scalar(item) for item in value):
            raise InputTypeError(
                f"The filter '{operator}' for '{name}' needs a list, got {shown_value(value)}."
            )
        return Condition(path, operator, tuple(value))
    if operator == "exists" and not isinstance(value, bool):
        raise InputTypeError(f"The filter 'exists' for '{name}' is true or false, got {shown_value(value)}.")
    if operator in _ORDER and (isinstance(value, bool) or not isinstance(value, (int, float, str))):
        raise InputTypeError(
            f"The filter '{operator}' for '{name}' needs a number or a text, got {shown_value(value)}."
        )
    if not _is_scalar(value):
        raise InputTypeError(f"The filter for '{name}' can't compare with {shown_value(value)}.")
    assert value is None or isinstance(value, (str, int, float))
    return Condition(path, operator, value)


def _is_scalar(value: object) -> bool:
    return value is None or (isinstance(value, (str, int, float)) and value == value)  # not NaN


def _members(metadata: Mapping[str, Any], path: tuple[str, ...]) -> list[Any]:
    value: Any = metadata
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return []
        value = value[name]
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _equal(member: object, value: Scalar) -> bool:
    if isinstance(member, bool) or isinstance(value, bool):
        return member is value
    return (type(member) is type(value) and member == value) or (
        _both_numbers(member, value) and member == value
    )


def _both_numbers(member: object, value: object) -> bool:
    return all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in (member, value))


def _ordered(member: Any, operator: Operator, value: Any) -> bool:
    if not _both_numbers(member, value) and not (isinstance(member, str) and isinstance(value, str)):
        return False
    return bool(
        {"gt": member > value, "gte": member >= value, "lt": member < value, "lte": member <= value}[operator]
    )
