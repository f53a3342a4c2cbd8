"""`DataFile`: a user's file of texts in any supported format, read row by row in bounded memory."""

from __future__ import annotations

import codecs
import csv
import gzip
import json
import os
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePath
from typing import IO, Any, NamedTuple, cast

from munjang.errors import DataFileError, InputError, MissingExtraError

__all__ = [
    "STDIN",
    "TEXT",
    "DataFile",
    "Record",
    "Row",
    "check_encoding",
    "check_path",
    "csv_records",
    "import_pyarrow",
    "json_records",
    "json_type",
    "numbered_lines",
    "opened",
    "parquet_records",
    "shown_name",
    "text_records",
]

STDIN = "-"
_MARK = "\ufeff"
_BLOCK = 1 << 16
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def shown_name(path: str) -> str:
    """Return the name of a file for messages."""
    return "standard input" if path == STDIN else f"'{path}'"


def check_encoding(encoding: str) -> None:
    """Raise `InputError` unless Python knows a character encoding of this name."""
    try:
        "".encode(encoding)
    except (LookupError, ValueError):
        raise InputError(
            f"There is no character encoding '{encoding}'; try utf-8, cp949 or utf-16."
        ) from None


def check_path(path: str) -> None:
    """Raise `DataFileError` unless the path is an existing file or a pipe."""
    if path == STDIN:
        return
    # os.path asks without raising for names that no file can have.
    if os.path.isdir(path):  # noqa: PTH112
        raise DataFileError(f"'{path}' is a folder; name a file in it.")
    if not os.path.exists(path):  # noqa: PTH110
        raise DataFileError(f"There is no file '{path}'.")


@contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """Open a file for reading bytes, unpacking ``.gz``; ``-`` is standard input.

    Raises `DataFileError` if it is missing, a folder, not readable or a broken archive.
    """
    check_path(path)
    try:
        if path == STDIN:
            yield _stdin()
        elif path.lower().endswith(".gz"):
            with gzip.open(path, "rb") as unpacked:
                yield cast("IO[bytes]", unpacked)
        else:
            with Path(path).open("rb") as file:
                yield file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataFileError(f"{shown_name(path)} is not a whole gzip file: {error}.") from error
    except OSError as error:
        raise DataFileError(f"Can't read {shown_name(path)}: {error.strerror or error}.") from error


def _stdin() -> IO[bytes]:
    if sys.stdin is None:  # a program can be started without one
        raise DataFileError("There is no standard input to read from.")
    return sys.stdin.buffer


def numbered_lines(file: IO[bytes], name: str, encoding: str) -> Iterator[tuple[int, str]]:
    """Yield each line with its number from 1, its end kept as one line feed.

    Only a line feed (after a carriage return or not) ends a line, as everywhere outside Python. Raises
    `DataFileError` with the line's number for bytes that are not of this encoding, and for NUL.
    """
    lines = _lines(file, name, encoding) if _ends_bytes(encoding) else _decoded_lines(file, name, encoding)
    for number, line in enumerate(lines, 1):
        if "\0" in line:
            raise DataFileError(f"{name}, line {number}: a NUL character; this is not a text file.")
        yield number, f"{line[:-2]}\n" if line.endswith("\r\n") else line


def _lines(file: IO[bytes], name: str, encoding: str) -> Iterator[str]:
    # Line by line, so that the error can say which.
    for number, raw in enumerate(file, 1):
        try:
            line = raw.decode(encoding)
        except UnicodeDecodeError as error:
            raise _not_decodable(raw, name, number, encoding, error) from None
        yield line.removeprefix(_MARK) if number == 1 else line


# What a byte means depends on bytes of earlier lines in these: a shift, or the one header of ISO-2022-KR.
_STATEFUL = ("utf-7", "hz", "iso2022")


def _ends_bytes(encoding: str) -> bool:
    """Return whether bytes can be cut into lines at each byte 0x0A, and each line decoded alone."""
    try:
        alone = b"\n".decode(encoding) == "\n"
    except UnicodeError:  # half a character of UTF-16
        return False
    return alone and not codecs.lookup(encoding).name.startswith(_STATEFUL)


def _decoded_lines(file: IO[bytes], name: str, encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)()
    number, rest = 1, ""
    while True:
        block = file.read(_BLOCK)
        try:
            text = rest + decoder.decode(block, final=not block)
        except UnicodeError as error:
            raise DataFileError(f"{name}, line {number} or soon after: not {encoding}: {error}.") from None
        *lines, rest = text.split("\n")
        for line in lines:
            yield f"{line.removeprefix(_MARK) if number == 1 else line}\n"
            number += 1
        if not block:
            break
    if rest:
        yield rest.removeprefix(_MARK) if number == 1 else rest


def _not_decodable(
    raw: bytes, name: str, number: int, encoding: str, error: UnicodeDecodeError
) -> DataFileError:
    place = f"{name}, line {number}: not {encoding.upper()} (byte 0x{raw[error.start]:02x})"
    if number == 1 and raw.startswith(_UTF16_MARKS):
        return DataFileError(f"{place}; it looks like UTF-16: save it as UTF-8 or pass --encoding utf-16.")
    if encoding.lower().replace("-", "") == "utf8" and _looks_like_cp949(raw):
        return DataFileError(f"{place}; it looks like CP949: save it as UTF-8 or pass --encoding cp949.")
    return DataFileError(f"{place}; save it as UTF-8 or pass --encoding NAME.")


def _looks_like_cp949(raw: bytes) -> bool:
    try:
        text = raw.decode("cp949")
    except UnicodeDecodeError:
        return False
    return any("가" <= character <= "힣" for character in text)


TEXT = "text"
_LONGEST_FIELD = 2**31 - 1
_PARQUET_ROWS = 1024

Lines = Iterable[tuple[int, str]]


class Record(NamedTuple):
    """A raw row of a file: its position, for messages, and its values by column."""

    place: str
    values: Mapping[str, Any]


def text_records(lines: Lines) -> Iterator[Record]:
    """Yield a record for each line of a text file."""
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
    """Yield rows with the line that each begins in; a quoted field may hold further lines."""
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
    """Return the modules ``pyarrow.parquet`` and ``pyarrow``; `MissingExtraError` if not installed."""
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
    """Return the name of a value's JSON type in words."""
    return _JSON_TYPES.get(type(value), type(value).__name__)


_ID = "id"
_OBVIOUS = ("text", "question", "sentence", "document")
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")
_PARQUET = ".parquet"
# Files that people do try, and that are no text.
_OTHERS = (".json", ".xls", ".xlsx", ".pdf", ".doc", ".docx", ".hwp", ".hwpx", ".zip", ".bz2", ".xz", ".zst")
_KNOWN = ".txt, .csv, .tsv, .jsonl or .parquet"


@dataclass(frozen=True, slots=True)
class Row:
    """One text of a file.

    ``number`` counts rows from 0. ``id`` is the row's own ``id`` where the file has such a column, else the
    number. ``values`` are all its columns; for a text file, the text alone.
    """

    number: int
    id: int | str
    text: str
    values: Mapping[str, Any]
    column: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A file of texts; iterate over it to get its rows; it can be iterated several times.

    The suffix determines the format: ``.csv``, ``.tsv``, ``.jsonl`` and ``.parquet``; any other file is plain
    text with an entry per line, including empty lines, and so is ``-``, standard input. All formats except
    parquet may be compressed as ``.gz``.

    Args:
        path: the file.
        column: the column or key of the texts; optional if there is only one candidate.
        encoding: the character encoding; a UTF-8 byte order mark is not part of the text.
        quoting: whether quotes in CSV and TSV quote fields, or are ordinary characters.
        header: whether the first row of CSV and TSV names the columns; if not, they are 1, 2, 3, ...
        called: the name of the file in messages; by default its path.

    Iterating raises `DataFileError` with the line for an invalid file, `InputError` for an unknown encoding,
    and `MissingExtraError` for parquet without its package.
    """

    path: str
    column: str | None = None
    encoding: str = "utf-8"
    quoting: bool = True
    header: bool = True
    called: str | None = None

    @property
    def name(self) -> str:
        """The file as messages name it."""
        return self.called or shown_name(self.path)

    @property
    def rereadable(self) -> bool:
        """Whether the file can be read more than once: it is neither standard input nor a pipe."""
        return self.path != STDIN and Path(self.path).is_file()

    def columns(self) -> list[str]:
        """Return the column names of the first row; a text file has the single column ``text``."""
        first, _ = self._begun()
        return list(first.values)

    def records(self) -> Iterator[Record]:
        """Yield the raw rows in order, each with its position in the file; at least one row."""
        first, records = self._begun()
        return chain([first], records)

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows in order."""
        first, records = self._begun()
        column = self._choose_column(first)
        own_id = self._id_column(first, column)
        for number, record in enumerate(chain([first], records)):
            yield Row(
                number,
                number if own_id is None else self._id(record, own_id),
                self._text(record, column),
                record.values,
                column,
            )

    def _begun(self) -> tuple[Record, Iterator[Record]]:
        check_encoding(self.encoding)
        records = self._records()
        first = next(records, None)
        if first is None:
            bare = " or has nothing but a header" if self.kind in _DELIMITERS and self.header else ""
            raise DataFileError(f"{self.name} has no rows: it is empty{bare}.")
        return first, records

    def _records(self) -> Iterator[Record]:
        check_path(self.path)
        kind = self.kind
        if kind == _PARQUET:
            yield from parquet_records(self.path, self.name)
            return
        with opened(self.path) as file:
            lines = numbered_lines(file, self.name, self.encoding)
            if kind in _DELIMITERS:
                yield from csv_records(
                    lines,
                    self.name,
                    delimiter=_DELIMITERS[kind],
                    quoting=self.quoting,
                    header=self.header,
                )
            elif kind in _JSON_LINES:
                yield from json_records(lines, self.name)
            else:
                yield from text_records(lines)

    @property
    def kind(self) -> str:
        """The end of the file's name that says what it is, in lower case, without ``.gz``.

        Raises `DataFileError` for a kind that is known not to be one of ours.
        """
        ends = [end.lower() for end in PurePath(self.path).suffixes]
        packed = ends[-1:] == [".gz"]
        kind = next(iter(ends[:-1][-1:] if packed else ends[-1:]), "")
        if kind in _OTHERS or (packed and kind == _PARQUET):
            raise DataFileError(f"{self.name} can't be read as it is; save it as {_KNOWN}.")
        return kind

    @property
    def has_columns(self) -> bool:
        """Whether this file format has columns; a text file has none."""
        return self.kind in (*_DELIMITERS, *_JSON_LINES, _PARQUET)

    def _choose_column(self, first: Record) -> str:
        columns = list(first.values)
        if self.column is not None:
            if not self.has_columns:
                raise DataFileError(f"{self.name} is a text file, one text per line; it has no columns.")
            if self.column not in columns:
                raise DataFileError(
                    f"{self.name} has no column '{self.column}'; it has {', '.join(columns)}."
                )
            return self.column
        texts = [name for name in columns if isinstance(first.values[name], str)]
        others = [name for name in texts if name.casefold() != _ID]
        obvious = [name for name in texts if name.casefold() in _OBVIOUS]
        for found in (texts, others, obvious):
            if len(found) == 1:
                return found[0]
        raise DataFileError(
            f"{self.name} has the columns {', '.join(columns)}; say which holds the texts: --column NAME."
        )

    def _text(self, record: Record, column: str) -> str:
        text = record.values.get(column, "")
        if column not in record.values:
            raise DataFileError(f"{self.name}, {record.place}: there is no '{column}'.")
        if not isinstance(text, str):
            raise DataFileError(f"{self.name}, {record.place}: '{column}' is {json_type(text)}, not a text.")
        try:
            text.encode()
        except UnicodeEncodeError:  # JSON can say what no text can hold
            raise DataFileError(
                f"{self.name}, {record.place}: '{column}' holds half a surrogate pair, which is no character."
            ) from None
        return text

    def _id_column(self, first: Record, column: str) -> str | None:
        found = (key for key in first.values if key.casefold() == _ID and key != column)
        return next((key for key in found if _is_id(first.values[key])), None)

    def _id(self, record: Record, own_id: str) -> int | str:
        value = record.values.get(own_id)
        if not _is_id(value):
            raise DataFileError(
                f"{self.name}, {record.place}: '{own_id}' is {json_type(value)}, no number or text."
            )
        assert isinstance(value, (int, str))
        return value


def _is_id(value: object) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)
