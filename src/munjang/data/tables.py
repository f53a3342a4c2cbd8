"""Files of labelled rows: CSV, TSV, JSON, JSON Lines and parquet, and the choice of their columns."""

from __future__ import annotations

import csv
import json
import math
import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile
from pathlib import PurePath
from typing import Any, TypeAlias

from munjang.data.files import (
    DataFile,
    check_encoding,
    check_path,
    json_records,
    json_type,
    numbered_lines,
    opened,
    shown_name,
)
from munjang.errors import DataFileError

__all__ = ["Entry", "FilePath", "Table", "check_place", "json_document", "json_entries", "quotes_are_quotes"]

FilePath: TypeAlias = str | os.PathLike[str]
_LONGEST_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Entry:
    """Values by name, with their file and position.

    Every method that gives a value raises `DataFileError`, with the file and the place, if it is missing or
    not of the kind asked for.
    """

    file: str
    place: str
    values: Mapping[str, Any]

    def error(self, reason: str) -> DataFileError:
        """Create an error with the file and position of this entry."""
        return DataFileError(f"{self.file}, {self.place}: {reason}")

    def value(self, key: str) -> Any:
        """Return a value as it is, None included."""
        if key not in self.values:
            raise self.error(f"there is no '{key}'.")
        return self.values[key]

    def text(self, key: str) -> str:
        """Return a text that is not blank, unchanged."""
        return self.as_text(self.value(key), f"'{key}'")

    def label(self, key: str) -> str:
        """Return a label as it stands: a name, or a whole number or truth value in its JSON form."""
        value = self.value(key)
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            self.as_number(value, f"'{key}'")
            return str(value)
        return self.as_text(value, f"'{key}'")

    def number(self, key: str) -> float:
        """Return a finite number."""
        return self.as_number(self.value(key), f"'{key}'")

    def items(self, key: str) -> list[Any]:
        """Return a list."""
        value = self.value(key)
        if not isinstance(value, list):
            raise self.error(f"'{key}' is {_kind(value)}, not a list.")
        return value

    def objects(self, key: str) -> list[Mapping[str, Any]]:
        """Return a list of JSON objects."""
        return [self.as_object(value, f"an entry of '{key}'") for value in self.items(key)]

    def as_object(self, value: object, what: str) -> Mapping[str, Any]:
        """Return a JSON object."""
        if not isinstance(value, dict):
            raise self.error(f"{what} is {_kind(value)}, not an object.")
        return value

    def as_text(self, value: object, what: str) -> str:
        """Return a text that is not blank, unchanged."""
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
        """Return a finite number; the digits of a text are one."""
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
        """Return an offset in a text, in characters from 0."""
        if isinstance(value, bool) or not isinstance(value, int):
            shown = _shown(value) if isinstance(value, float | str) else _kind(value)
            raise self.error(f"{what} is {shown}, not a whole number.")
        if value < 0:
            raise self.error(f"{what} is {value}; places count from 0.")
        return value

    def as_span(self, value: object, what: str, text: str) -> tuple[int, int]:
        """Return the start and end of a part of ``text``, from the first two of a list of places."""
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
        """Return the names of values that are among the wanted, in the order in which they are wanted."""
        by_name = {name.strip().casefold(): name for name in reversed(list(self.values))}
        return [by_name[name] for name in wanted if name in by_name]


def _kind(value: object) -> str:
    return "a text" if isinstance(value, str) else json_type(value)


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}..."


_LONGEST_FIELD = 2**31 - 1


class _Lines:
    """Lines on their way to a reader, counted as if quotes were letters."""

    def __init__(self, lines: Iterable[tuple[int, str]]) -> None:
        self._lines = lines
        self.rows = 0
        self.widths: set[int] = set()

    def __iter__(self) -> Iterator[str]:
        for _, line in self._lines:
            if line != "\n":
                self.rows += 1
                self.widths.add(line.count("\t") + 1)
            yield line


def quotes_are_quotes(path: str, name: str, encoding: str = "utf-8") -> bool:
    """Decide by its content whether a file of tab-separated values quotes its fields as RFC 4180 has it.

    KorSTS and KorNLI, for instance, have fields that begin with a quotation mark of the text. Quotes are
    letters if read as quotes they would be broken, or join lines that make whole rows by themselves.
    Raises `DataFileError` for a file that can't be read.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    with opened(path) as file:
        lines = _Lines(numbered_lines(file, name, encoding))
        try:
            rows = sum(1 for fields in csv.reader(iter(lines), delimiter="\t", strict=True) if fields)
        except csv.Error:
            return False
    return rows == lines.rows or len(lines.widths) > 1


_ENCODING = "utf-8"


def json_document(path: FilePath) -> tuple[str, Any]:
    """Read a file that is one JSON value, ``.gz`` or not; return what messages call the file, and the value.

    Raises `DataFileError`, with the line, for a file that can't be read or is not JSON.
    """
    place = os.fspath(path)
    name = shown_name(place)
    with opened(place) as file:
        content = "".join(line for _, line in numbered_lines(file, name, _ENCODING))
    return name, _parsed(content, name)


def json_entries(path: FilePath, encoding: str = _ENCODING) -> Iterator[Entry]:
    """Read objects from JSON Lines or from one JSON list, whichever the file is.

    Raises `DataFileError`, with the line or the number of the entry, for anything else, and `InputError` for
    an unknown encoding.
    """
    place = os.fspath(path)
    name = shown_name(place)
    check_encoding(encoding)
    with opened(place) as file:  # closes the file also if the caller stops early
        lines = list(dropwhile(lambda line: not line[1].strip(), numbered_lines(file, name, encoding)))
    if not lines:
        raise DataFileError(f"{name} has no entries: it is empty.")
    number, first = lines[0]
    if first.lstrip().startswith("["):
        # Keep the leading empty lines, so that line numbers in messages are those of the file.
        content = "\n" * (number - 1) + "".join(line for _, line in lines)
        yield from _listed(_parsed(content, name), name)
    else:
        yield from (Entry(name, *record) for record in json_records(lines, name))


def _listed(values: list[Any], name: str) -> Iterator[Entry]:
    if not values:
        raise DataFileError(f"{name} has no entries: its list is empty.")
    for number, value in enumerate(values, 1):
        whole = Entry(name, f"entry {number}", {})
        yield Entry(name, whole.place, whole.as_object(value, "the entry"))


def _parsed(content: str, name: str) -> Any:
    if not content.strip():
        raise DataFileError(f"{name} is empty.")
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        raise DataFileError(f"{name}, line {error.lineno}: not JSON: {error.msg}.") from None
    except (ValueError, RecursionError) as error:
        raise DataFileError(f"{name} can't be read as JSON: {error}.") from None


_LONGEST_PART = 60
_MOST_PLACES = 3


def check_place(entry: Entry, what: str, part: str, start: int, text: str) -> None:
    """Raise `DataFileError` unless ``part`` occurs in ``text`` at the character offset ``start``.

    The message says what stands there instead, and where the part does stand, if anywhere.
    """
    if text.startswith(part, start):
        return
    there = text[start : start + len(part)]
    stands = f"{_quoted(there)} stands there" if there else f"the text has {len(text)} characters"
    raise entry.error(
        f"{what} {_quoted(part)} should begin at character {start}, but {stands}; {_elsewhere(part, text)}."
    )


def _elsewhere(part: str, text: str) -> str:
    places: list[int] = []
    at = text.find(part)
    while at >= 0 and len(places) < _MOST_PLACES:
        places.append(at)
        at = text.find(part, at + 1)
    if places:
        return f"it stands at {', '.join(map(str, places))}" + (" and elsewhere" if at >= 0 else "")
    if unicodedata.normalize("NFC", part) in unicodedata.normalize("NFC", text):
        return "it is there only in another normal form of Unicode (NFC or NFD)"
    return "it is nowhere in the text"


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_PART else f"{text[:_LONGEST_PART]}...")


_TABS = ".tsv"
_JSON_LINES = (".jsonl", ".ndjson")


class Table:
    """The rows of a file with columns.

    ``quoting`` None decides by the file whether quotes in a .tsv are letters, see
    `munjang.data.tables`; in a .csv they are quotes. Iterating gives its entries, once.

    Raises `DataFileError` for a file that is missing, empty, broken or without columns, `InputError` for an
    unknown encoding, and `MissingExtraError` for parquet without its package.
    """

    def __init__(
        self, path: FilePath, *, encoding: str = "utf-8", quoting: bool | None = None, header: bool = True
    ) -> None:
        place = os.fspath(path)
        self.name = shown_name(place)
        self._rows = (
            map(_flat, json_entries(place, encoding))
            if _is_json(place)
            else _rows(place, encoding, quoting, header)
        )
        self.first = next(self._rows)
        self.columns = list(self.first.values)

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries in the order of the file."""
        yield self.first
        yield from self._rows

    def find(self, named: str | None, usual: Sequence[str]) -> str | None:
        """Return the named column, which must exist, or the first usual name that exists, or ``None``."""
        if named is not None and named not in self.columns:
            raise DataFileError(f"{self.name} has no column {named!r}; it has {self._shown_columns()}.")
        return named or next(iter(self.first.columns(usual)), None)

    def choose(self, named: str | None, usual: Sequence[str], what: str) -> str:
        """Return a column as `find` does; raise an error if no column is found."""
        found = self.find(named, usual)
        if found is None:
            raise DataFileError(
                f"{self.name} has the columns {self._shown_columns()}; say which holds the {what}."
            )
        return found

    def _shown_columns(self) -> str:
        """Return the column names in one line, even if the first row is a text and no header."""
        shown = (name if name.isprintable() else repr(name) for name in self.columns)
        return ", ".join(
            name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}..." for name in shown
        )

    def choose_two(self, one: str | None, other: str | None, usual: Sequence[tuple[str, str]]) -> list[str]:
        """Return the two columns of a pair: the named columns, or the first pair of usual names."""
        found: tuple[str, ...] = next((pair for pair in usual if len(self.first.columns(pair)) == 2), ())
        return [
            self.choose(one, found[:1], "first texts of the pairs"),
            self.choose(other, found[1:], "second texts of the pairs"),
        ]


def _is_json(path: str) -> bool:
    return PurePath(path.lower().removesuffix(".gz")).suffix == ".json"


def _rows(path: str, encoding: str, quoting: bool | None, header: bool) -> Iterator[Entry]:
    check_path(path)
    file = DataFile(path=path, encoding=encoding, header=header)
    if not file.has_columns:
        raise DataFileError(
            f"{file.name} has no columns; labelled texts come as .csv, .tsv, .json, .jsonl or .parquet."
        )
    if quoting is None:
        quoting = _decided(file)
    file = replace(file, quoting=quoting)
    rows = (Entry(file.name, *record) for record in file.records())
    return map(_flat, rows) if file.kind in _JSON_LINES else rows


def _flat(entry: Entry) -> Entry:
    """Make what stands in objects columns of their own, as KLUE's ``{"labels": {"label": 3.7}}`` needs."""
    inner = {
        f"{name}.{key}": value
        for name, nested in entry.values.items()
        if isinstance(nested, dict)
        for key, value in nested.items()
    }
    return Entry(entry.file, entry.place, {**entry.values, **inner}) if inner else entry


def _decided(file: DataFile) -> bool:
    check_encoding(file.encoding)
    if file.kind != _TABS or not file.rereadable:
        return True
    return quotes_are_quotes(file.path, file.name, file.encoding)
