"""Rows of the file formats: text, CSV, TSV, JSON Lines and parquet, one after another."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from munjang.errors import DataFileError, MissingExtraError

__all__ = [
    "TEXT",
    "Record",
    "csv_records",
    "import_pyarrow",
    "json_records",
    "json_type",
    "parquet_records",
    "text_records",
]

TEXT = "text"
_LONGEST_FIELD = 2**31 - 1
_PARQUET_ROWS = 1024

Lines = Iterable[tuple[int, str]]


class Record(NamedTuple):
    """One row as the file has it: where it stands, for messages, and its values by column."""

    place: str
    values: Mapping[str, Any]


def text_records(lines: Lines) -> Iterator[Record]:
    """Each line is a text."""
    for number, line in lines:
        yield Record(f"line {number}", {TEXT: line.removesuffix("\n")})


def csv_records(lines: Lines, name: str, *, delimiter: str, quoting: bool, header: bool) -> Iterator[Record]:
    """Read rows of separated values; quotes as in RFC 4180 if ``quoting``.

    Without a ``header`` the columns are called 1, 2, 3, ... Empty lines are skipped. Raises `DataFileError`
    with the line's number for a row with more or fewer fields than the first, and for broken quotes.
    """
    csv.field_size_limit(_LONGEST_FIELD)  # a text may have megabytes; the module's own limit is 128 KiB
    reader = csv.reader(
        (line for _, line in lines),
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE,
        strict=True,
    )
    columns: list[str] = []
    for place, fields in _placed(reader, name, quoting):
        if not columns:
            columns = fields if header else [str(number) for number in range(1, len(fields) + 1)]
            _check_columns(columns, name)
            if header:
                continue
        if len(fields) != len(columns):
            raise DataFileError(
                f"{name}, {place}: {_count(len(fields), 'field')} instead of {len(columns)}."
                + _quoting_hint(quoting, delimiter)
            )
        yield Record(place, dict(zip(columns, fields, strict=True)))


def _placed(reader: Any, name: str, quoting: bool) -> Iterator[tuple[str, list[str]]]:
    """Give rows with the line that each begins in; a quoted field may hold further lines."""
    while True:
        place = f"line {reader.line_num + 1}"
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            hint = _quoting_hint(quoting, reader.dialect.delimiter)
            raise DataFileError(f"{name}: the row that begins in {place} is broken: {error}.{hint}") from None
        if fields:
            yield place, fields


def _quoting_hint(quoting: bool, delimiter: str) -> str:
    return " If its quotes are letters, pass --no-quoting." if quoting and delimiter == "\t" else ""


def _check_columns(columns: list[str], name: str) -> None:
    column, times = Counter(columns).most_common(1)[0]
    if times > 1:
        raise DataFileError(f"{name} has {times} columns named '{column}'; give each its own name.")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def json_records(lines: Lines, name: str) -> Iterator[Record]:
    """Read one JSON object, or one JSON string, per line; empty lines are skipped.

    Raises `DataFileError` with the line's number for anything else.
    """
    for number, line in lines:
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            raise DataFileError(f"{name}, line {number}: not JSON: {reason}.") from None
        if isinstance(value, str):
            value = {TEXT: value}
        if not isinstance(value, dict):
            raise DataFileError(
                f"{name}, line {number}: {json_type(value)}; each line must be an object or a string."
            )
        yield Record(f"line {number}", value)


def parquet_records(path: str, name: str) -> Iterator[Record]:
    """Read the rows of a parquet file: its columns of texts, numbers and truth values, nothing nested.

    Raises `DataFileError` for a file that is broken or has two columns of one name.
    """
    parquet, arrow = import_pyarrow()
    try:
        with parquet.ParquetFile(path) as file:
            columns = [field.name for field in file.schema_arrow if not arrow.types.is_nested(field.type)]
            if columns:
                _check_columns(columns, name)
            start = 1
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS, columns=columns):
                for number, values in enumerate(batch.to_pylist(), start):
                    yield Record(f"row {number}", values)
                start += batch.num_rows
    except (arrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataFileError(f"Can't read {name} as parquet: {reason}.") from None


def import_pyarrow() -> tuple[Any, Any]:
    """Give the modules ``pyarrow.parquet`` and ``pyarrow``; `MissingExtraError` if they are not installed."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtraError.of(
            "Parquet needs the package pyarrow, which is not installed", "parquet"
        ) from None
    return pq, pa


_JSON_TYPES = {
    type(None): "null",
    bool: "a truth value",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
}


def json_type(value: object) -> str:
    """Say in words what kind of value this is."""
    return _JSON_TYPES.get(type(value), type(value).__name__)
