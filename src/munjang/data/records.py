"""Rows of users' files as `Entry`, the readers of each format, and the choice of columns."""

from __future__ import annotations

import csv
import json
import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from munjang.errors import DataFileError, MissingExtraError

NumberedLines: TypeAlias = Iterable[tuple[int, str]]

TEXT = "text"  # the only column of a text file
LONGEST_FIELD = 2**31 - 1  # a text may have megabytes; the limit of the csv module is 128 KiB
_LONGEST_SHOWN = 40
_PARQUET_ROWS = 1024
_LEAST_INEXACT = 2**53  # from here on, a float may stand for another integer


def nfc(text: str) -> str:
    """Return the text in the normal form NFC; files of macOS can have NFD."""
    return unicodedata.normalize("NFC", text)


@dataclass(frozen=True, slots=True)
class Entry:
    """Values by name, with their file and position for error messages.

    Every method that returns a value raises `DataFileError`, with the file and the position, if the value is
    missing or of another type.
    """

    file: str
    position: str
    values: Mapping[str, Any]

    def error(self, reason: str) -> DataFileError:
        """Create an error with the file and position of this entry."""
        return DataFileError(f"{self.file}, {self.position}: {reason}")

    def value(self, key: str) -> Any:
        """Return a value as it is, None included."""
        if key not in self.values:
            raise self.error(f"there is no '{key}'.")
        return self.values[key]

    def string(self, key: str) -> str:
        """Return a text, which may be blank, unchanged."""
        return self.as_string(self.value(key), f"'{key}'")

    def text(self, key: str) -> str:
        """Return a text that is not blank, unchanged."""
        return self.as_text(self.value(key), f"'{key}'")

    def identifier(self, key: str) -> str:
        """Return a name unchanged, or a number or boolean in its JSON form; 1.0 is the integer 1."""
        value = self.value(key)
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            self.as_number(value, f"'{key}'")
            is_integer = isinstance(value, float) and value.is_integer() and abs(value) < _LEAST_INEXACT
            return str(int(value) if is_integer else value)
        return self.as_text(value, f"'{key}'")

    def label(self, key: str) -> str:
        """Return a label as `identifier` does, in the normal form NFC."""
        return nfc(self.identifier(key))

    def number(self, key: str) -> float:
        """Return a finite number."""
        return self.as_number(self.value(key), f"'{key}'")

    def items(self, key: str) -> list[Any]:
        """Return a list."""
        value = self.value(key)
        if not isinstance(value, list):
            raise self.error(f"'{key}' is {json_type(value)}, not a list.")
        return value

    def texts(self, key: str) -> list[str]:
        """Return a list of texts that are not blank."""
        return [self.as_text(value, f"an entry of '{key}'") for value in self.items(key)]

    def objects(self, key: str) -> list[Mapping[str, Any]]:
        """Return a list of JSON objects."""
        return [self.as_object(value, f"an entry of '{key}'") for value in self.items(key)]

    def as_object(self, value: object, what: str) -> Mapping[str, Any]:
        """Return a JSON object."""
        if not isinstance(value, dict):
            raise self.error(f"{what} is {json_type(value)}, not an object.")
        return value

    def as_string(self, value: object, what: str) -> str:
        """Return a text, which may be blank, unchanged."""
        if not isinstance(value, str):
            raise self.error(f"{what} is {json_type(value)}, not a text.")
        try:
            value.encode()
        except UnicodeEncodeError:  # JSON can escape a lone surrogate
            raise self.error(f"{what} holds half a surrogate pair, which is no character.") from None
        return value

    def as_text(self, value: object, what: str) -> str:
        """Return a text that is not blank, unchanged."""
        if value is None or (isinstance(value, str) and not value.strip()):
            raise self.error(f"{what} is empty.")
        return self.as_string(value, what)

    def as_number(self, value: object, what: str) -> float:
        """Return a finite number; a text of digits counts as a number."""
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise self.error(f"{what} is {json_type(value)}, not a number.")
        try:
            number = float(value.replace("_", "?") if isinstance(value, str) else value)  # 1_0 is a name
        except (ValueError, OverflowError):
            raise self.error(f"{what} is {_shortened(repr(value))}, not a number.") from None
        if not math.isfinite(number):
            raise self.error(f"{what} is {_shortened(repr(value))}; it must be finite.")
        return number

    def as_offset(self, value: object, what: str) -> int:
        """Return an offset in a text, in characters from 0."""
        if isinstance(value, bool) or not isinstance(value, int):
            shown = _shortened(repr(value)) if isinstance(value, float | str) else json_type(value)
            raise self.error(f"{what} is {shown}, not a whole number.")
        if value < 0:
            raise self.error(f"{what} is {value}; offsets count from 0.")
        return value

    def as_span(self, value: object, what: str, text: str) -> tuple[int, int]:
        """Return the start and end of a part of ``text``, from the first two offsets in a list."""
        if not isinstance(value, list) or len(value) < 2:
            raise self.error(f"{what} is {_shortened(repr(value))}, not a list [start, end, type].")
        start = self.as_offset(value[0], f"the start of {what}")
        end = self.as_offset(value[1], f"the end of {what}")
        if not start < end <= len(text):
            raise self.error(f"{what} [{start}, {end}] is no part of the text of {len(text)} characters.")
        if not text[start:end].strip():
            raise self.error(f"{what} [{start}, {end}] holds nothing but spaces.")
        return start, end


def folded(name: str) -> str:
    """Return the form of a column name in which it is compared with the usual names."""
    return nfc(name).strip().casefold()


@dataclass(frozen=True, slots=True)
class Columns:
    """The column names of a file, from which a caller's names or the usual names are chosen."""

    file: str
    names: Sequence[str]

    def usual(self, wanted: Sequence[str]) -> list[str]:
        """Return the columns whose `folded` names are wanted, in the order of ``wanted``."""
        by_name = {folded(name): name for name in reversed(self.names)}
        return [by_name[name] for name in wanted if name in by_name]

    def usual_pair(self, wanted: Sequence[tuple[str, str]]) -> tuple[()] | tuple[str, str]:
        """Return the columns of the first wanted pair that the file has, or an empty tuple."""
        pairs = (self.usual(pair) for pair in wanted)
        return next(((pair[0], pair[1]) for pair in pairs if len(pair) == 2), ())

    def find(self, named: str | None, usual: Sequence[str]) -> str | None:
        """Return the named column, which must exist, or the first usual name that exists, or ``None``."""
        if named is None:
            return next(iter(self.usual(usual)), None)
        if (column := nfc(named)) not in self.names:
            raise DataFileError(f"{self.file} has no column {named!r}; it has {self._shown()}.")
        return column

    def choose(self, named: str | None, usual: Sequence[str], what: str, argument: str) -> str:
        """Return a column as `find` does; raise `DataFileError`, with the argument, if none is found."""
        column = self.find(named, usual)
        if column is None:
            raise DataFileError(
                f"{self.file} has the columns {self._shown()}; say which holds the {what}: {argument}=NAME."
            )
        return column

    def _shown(self) -> str:
        """Return the names in one line, even if the first row is a text and no header."""
        return ", ".join(_shortened(name if name.isprintable() else repr(name)) for name in self.names)


_JSON_TYPES = {
    type(None): "null",
    bool: "a truth value",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "an object",
}


def json_type(value: object) -> str:
    """Return the name of a value's JSON type in words."""
    return _JSON_TYPES.get(type(value), type(value).__name__)


def text_entries(lines: NumberedLines, name: str) -> Iterator[Entry]:
    """Yield an entry for each line of a text file."""
    for number, line in lines:
        yield Entry(name, f"line {number}", {TEXT: line.removesuffix("\n")})


def csv_entries(
    lines: NumberedLines, name: str, *, delimiter: str, quoting: bool, header: bool
) -> Iterator[Entry]:
    """Read rows of separated values; quotes as in RFC 4180 if ``quoting``.

    Without a ``header`` the columns are called 1, 2, 3, ... Empty lines are skipped. Raises `DataFileError`
    with the line's number for a row with more or fewer fields than the first, and for broken quotes.
    """
    csv.field_size_limit(LONGEST_FIELD)
    hint = " If its quotes are letters, pass quoting=False." if quoting and delimiter == "\t" else ""
    reader = csv.reader(
        (line for _, line in lines),
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE,
        strict=True,
    )
    columns: list[str] = []
    while True:
        position = f"line {reader.line_num + 1}"  # the first line of the row; a quoted field may hold more
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataFileError(
                f"{name}: the row that begins in {position} is broken: {error}.{hint}"
            ) from None
        if not fields:
            continue
        if not columns:
            columns = [*map(nfc, fields)] if header else [str(number) for number in range(1, len(fields) + 1)]
            _check_unique(columns, name)
            if header:
                continue
        if len(fields) != len(columns):
            count = f"{len(fields)} field{'s' if len(fields) > 1 else ''}"
            raise DataFileError(f"{name}, {position}: {count} instead of {len(columns)}.{hint}")
        yield Entry(name, position, dict(zip(columns, fields, strict=True)))


def _check_unique(columns: Sequence[str], name: str) -> None:
    column, times = Counter(columns).most_common(1)[0]
    if times > 1:
        raise DataFileError(f"{name} has {times} columns named '{column}'; column names must be unique.")


class _RepeatedKeyError(ValueError):
    """An object of JSON has a key twice, so that one of the values would be lost."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = {nfc(name): value for name, value in pairs}
    if len(values) < len(pairs):
        name = Counter(nfc(name) for name, _ in pairs).most_common(1)[0][0]
        raise _RepeatedKeyError(f"an object has the key '{name}' twice")
    return values


def parsed_json(text: str) -> Any:
    """Return the value of a JSON text, with the keys of objects in the normal form NFC.

    Raises `ValueError` and `RecursionError`; `json_reason` words them.
    """
    return json.loads(text, object_pairs_hook=_object)


def json_reason(error: Exception, layout: str = "") -> str:
    """Return what is wrong with a JSON text; ``layout`` is the sentence part that names what is expected."""
    if isinstance(error, _RepeatedKeyError):
        return str(error)
    reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    return f"not JSON: {reason}" + (f"; {layout}" if layout else "")


def json_line_entries(lines: NumberedLines, name: str, layout: str = "") -> Iterator[Entry]:
    """Read one JSON object, or one JSON string, per line; empty lines are skipped.

    Raises `DataFileError` with the line's number for anything else; ``layout`` as in `json_reason`.
    """
    for number, line in lines:
        if not line.strip():
            continue
        try:
            value = parsed_json(line)
        except (ValueError, RecursionError) as error:
            raise DataFileError(f"{name}, line {number}: {json_reason(error, layout)}.") from None
        if isinstance(value, str):
            value = {TEXT: value}
        if not isinstance(value, dict):
            raise DataFileError(
                f"{name}, line {number}: {json_type(value)}; each line must be an object or a string."
            )
        yield Entry(name, f"line {number}", value)


def parquet_entries(path: str, name: str, *, nested: bool) -> Iterator[Entry]:
    """Read the rows of a parquet file: its columns of texts, numbers and booleans.

    If ``nested``, columns of lists and structs are read too. Raises `DataFileError` for a file that is broken
    or has two columns of one name.
    """
    parquet, arrow = import_pyarrow()
    try:
        with parquet.ParquetFile(path) as file:
            columns = [
                field.name for field in file.schema_arrow if nested or not arrow.types.is_nested(field.type)
            ]
            names = [*map(nfc, columns)]
            if columns:
                _check_unique(names, name)
            start = 1
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS, columns=columns):
                for number, values in enumerate(batch.to_pylist(), start):
                    yield Entry(name, f"row {number}", dict(zip(names, values.values(), strict=True)))
                start += batch.num_rows
    except (arrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataFileError(f"Can't read {name} as parquet: {reason}.") from None


def import_pyarrow() -> tuple[Any, Any]:
    """Return the modules ``pyarrow.parquet`` and ``pyarrow``; `MissingExtraError` if not installed."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtraError.of(
            "Parquet needs the package pyarrow, which is not installed", "parquet"
        ) from None
    return pq, pa


def _shortened(shown: str) -> str:
    return shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}..."
