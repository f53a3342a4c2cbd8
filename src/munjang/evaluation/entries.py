"""One row or object of a labelled file, whose values are checked when they are asked for."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from munjang.errors import DataFileError
from munjang.search.records import json_type

__all__ = ["Entry", "FilePath"]

FilePath: TypeAlias = str | os.PathLike[str]
_LONGEST_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Entry:
    """Values by their names, and where in which file they stand.

    Every method that gives a value raises `DataFileError`, with the file and the place, if it is missing or
    not of the kind asked for.
    """

    file: str
    place: str
    values: Mapping[str, Any]

    def error(self, reason: str) -> DataFileError:
        """Make the error that says what is wrong here."""
        return DataFileError(f"{self.file}, {self.place}: {reason}")

    def value(self, key: str) -> Any:
        """Give a value as it is, None included."""
        if key not in self.values:
            raise self.error(f"there is no '{key}'.")
        return self.values[key]

    def text(self, key: str) -> str:
        """Give a text that is not blank, unchanged."""
        return self.as_text(self.value(key), f"'{key}'")

    def label(self, key: str) -> str:
        """Give a label as it stands: a name, or a whole number or truth value in its JSON form."""
        value = self.value(key)
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            self.as_number(value, f"'{key}'")
            return str(value)
        return self.as_text(value, f"'{key}'")

    def number(self, key: str) -> float:
        """Give a finite number."""
        return self.as_number(self.value(key), f"'{key}'")

    def items(self, key: str) -> list[Any]:
        """Give a list."""
        value = self.value(key)
        if not isinstance(value, list):
            raise self.error(f"'{key}' is {_kind(value)}, not a list.")
        return value

    def objects(self, key: str) -> list[Mapping[str, Any]]:
        """Give a list of JSON objects."""
        return [self.as_object(value, f"an entry of '{key}'") for value in self.items(key)]

    def as_object(self, value: object, what: str) -> Mapping[str, Any]:
        """Give a JSON object."""
        if not isinstance(value, dict):
            raise self.error(f"{what} is {_kind(value)}, not an object.")
        return value

    def as_text(self, value: object, what: str) -> str:
        """Give a text that is not blank, unchanged."""
        if value is None:
            raise self.error(f"{what} is empty.")
        if not isinstance(value, str):
            raise self.error(f"{what} is {_kind(value)}, not a text.")
        if not value.strip():
            raise self.error(f"{what} is empty.")
        try:
            value.encode()
        except UnicodeEncodeError:  # JSON can say what no text can hold
            raise self.error(f"{what} holds half a surrogate pair, which is no character.") from None
        return value

    def as_number(self, value: object, what: str) -> float:
        """Give a finite number; the digits of a text are one."""
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise self.error(f"{what} is {_kind(value)}, not a number.")
        try:
            number = float(value.replace("_", "?") if isinstance(value, str) else value)  # 1_0 is a name
        except (ValueError, OverflowError):
            raise self.error(f"{what} is {_shown(value)}, not a number.") from None
        if not math.isfinite(number):
            raise self.error(f"{what} is {_shown(value)}; it must be finite.")
        return number

    def as_place(self, value: object, what: str) -> int:
        """Give a place in a text, in characters from 0."""
        if isinstance(value, bool) or not isinstance(value, int):
            shown = _shown(value) if isinstance(value, float | str) else _kind(value)
            raise self.error(f"{what} is {shown}, not a whole number.")
        if value < 0:
            raise self.error(f"{what} is {value}; places count from 0.")
        return value

    def as_span(self, value: object, what: str, text: str) -> tuple[int, int]:
        """Give the start and end of a part of ``text``, from the first two of a list of places."""
        if not isinstance(value, list) or len(value) < 2:
            raise self.error(f"{what} is {_shown(value)}, not a list [start, end, type].")
        start = self.as_place(value[0], f"the start of {what}")
        end = self.as_place(value[1], f"the end of {what}")
        if not start < end <= len(text):
            raise self.error(f"{what} [{start}, {end}] is no part of the text of {len(text)} characters.")
        if not text[start:end].strip():
            raise self.error(f"{what} [{start}, {end}] holds nothing but spaces.")
        return start, end

    def columns(self, wanted: Sequence[str]) -> list[str]:
        """Give the names of values that are among the wanted, in the order in which they are wanted."""
        by_name = {name.strip().casefold(): name for name in reversed(list(self.values))}
        return [by_name[name] for name in wanted if name in by_name]


def _kind(value: object) -> str:
    return "a text" if isinstance(value, str) else json_type(value)


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}..."
