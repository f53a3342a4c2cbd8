"""`DataFile`: a user's file of texts in any supported format, read row by row in bounded memory."""

from __future__ import annotations

import codecs
import csv
import gzip
import os
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path, PurePath
from typing import IO, Any, cast

from munjang.data.records import (
    LONGEST_FIELD,
    Columns,
    Entry,
    NumberedLines,
    csv_entries,
    folded,
    json_line_entries,
    json_type,
    parquet_entries,
    text_entries,
)
from munjang.errors import DataFileError, InputError, InputTypeError

STDIN = "-"
_MARK = "\ufeff"
_BLOCK = 1 << 16
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def shown_name(path: str) -> str:
    """Return the name of a file for messages."""
    return "standard input" if path == STDIN else f"'{path}'"


def path_text(path: object) -> str:
    """Return a path as text; raise `InputTypeError` for anything that is no path, such as a `DataFile`."""
    if not isinstance(path, (str, os.PathLike)):
        raise InputTypeError(f"A file is named by a path, not by an object of type {type(path).__name__}.")
    return os.fspath(path)


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
    # Decode line by line, so that the error has the line's number.
    for number, raw in enumerate(file, 1):
        try:
            line = raw.decode(encoding)
        except UnicodeDecodeError as error:
            raise _not_decodable(raw, name, number, encoding, error) from None
        yield line.removeprefix(_MARK) if number == 1 else line


# Encodings with a state: the meaning of a byte depends on earlier lines (a shift, or ISO-2022-KR's header).
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
    position = f"{name}, line {number}: not {encoding.upper()} (byte 0x{raw[error.start]:02x})"
    if number == 1 and raw.startswith(_UTF16_MARKS):
        return DataFileError(f"{position}; it looks like UTF-16: save it as UTF-8 or pass encoding='utf-16'.")
    if encoding.lower().replace("-", "") == "utf8" and _looks_like_cp949(raw):
        return DataFileError(f"{position}; it looks like CP949: save it as UTF-8 or pass encoding='cp949'.")
    return DataFileError(f"{position}; save it as UTF-8 or pass encoding=... with its name.")


def _looks_like_cp949(raw: bytes) -> bool:
    try:
        text = raw.decode("cp949")
    except UnicodeDecodeError:
        return False
    return any("가" <= character <= "힣" for character in text)


_ID = "id"
_OBVIOUS = ("text", "question", "sentence", "document", "텍스트", "질문", "문장", "문서", "본문")
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")
_PARQUET = ".parquet"
# Formats that users try, and that are no text.
_OTHERS = (".json", ".xls", ".xlsx", ".pdf", ".doc", ".docx", ".hwp", ".hwpx", ".zip", ".bz2", ".xz", ".zst")
_KNOWN = ".txt, .csv, .tsv, .jsonl or .parquet"


@dataclass(frozen=True, slots=True)
class Row:
    """One text of a file.

    ``number`` counts rows from 0. ``id`` is the row's own ``id`` if the rows of the file have one, else the
    number. ``values`` are all its columns, with names in the normal form NFC; for a text file, the
    text alone.
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
        column: the column or key of the texts; optional if all rows together have only one candidate: a
            column of texts with a usual name such as ``text``, or the only column of texts beside ``id``.
        encoding: the character encoding; a UTF-8 byte order mark is not part of the text.
        quoting: whether quotes in CSV and TSV quote fields, or are ordinary characters; with None they quote
            fields in CSV, and in TSV the content decides.
        header: whether the first row of CSV and TSV names the columns; if not, they are 1, 2, 3, ...
        nested: whether the columns of parquet that hold lists or structs are read too.
        ids: whether rows have the ids of a column ``id``; if not, they have their numbers.
        called: the name of the file in messages; by default its path.

    Iterating raises `DataFileError` with the line for an invalid file, a row that makes another column the
    candidate, and ids that not all rows have or that are neither integers nor texts; `InputError` for an
    unknown encoding, and `MissingExtraError` for parquet without its package.
    """

    path: str
    column: str | None = None
    encoding: str = "utf-8"
    quoting: bool | None = None
    header: bool = True
    nested: bool = False
    ids: bool = True
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
        return list(next(self.records()).values)

    def records(self) -> Iterator[Entry]:
        """Yield the raw rows in order, each with its position in the file; at least one row."""
        check_encoding(self.encoding)
        entries = self._entries()
        first = next(entries, None)
        if first is None:
            header = " or has nothing but a header" if self.kind in _DELIMITERS and self.header else ""
            raise DataFileError(f"{self.name} has no rows: it is empty{header}.")
        return chain([first], entries)

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows in order."""
        entries = self.records()
        first = next(entries)
        choice = _Choice()
        column = self._choose_column(first, choice)
        id_column = _id_column(first, column)
        can_change = self.column is None and self.kind in (*_JSON_LINES, _PARQUET)
        for number, entry in enumerate(chain([first], entries)):
            if can_change and choice.after(entry) != column:
                raise entry.error(
                    "this row makes it unclear which column holds the texts; those of the rows before it are "
                    f"in '{column}'. Name the column: column=NAME."
                )
            row_id = _id(entry, id_column, column, number) if self.ids else number
            yield Row(number, row_id, entry.string(column), entry.values, column)

    def with_quoting(self) -> DataFile:
        """Return this file with ``quoting`` decided, which may take reading it once."""
        if self.quoting is not None:
            return self
        check_encoding(self.encoding)
        check_path(self.path)
        is_tsv = self.kind == ".tsv" and self.rereadable
        return replace(self, quoting=_has_quoted_fields(self) if is_tsv else True)

    def _entries(self) -> Iterator[Entry]:
        check_path(self.path)
        kind = self.kind
        if kind == _PARQUET:
            yield from parquet_entries(self.path, self.name, nested=self.nested)
            return
        with opened(self.path) as file:
            lines = numbered_lines(file, self.name, self.encoding)
            if kind in _DELIMITERS:
                yield from csv_entries(
                    lines,
                    self.name,
                    delimiter=_DELIMITERS[kind],
                    quoting=self.with_quoting().quoting is not False,
                    header=self.header,
                )
            elif kind in _JSON_LINES:
                yield from json_line_entries(lines, self.name)
            else:
                yield from text_entries(lines, self.name)

    @property
    def kind(self) -> str:
        """The suffix of the file's name in lower case, without ``.gz``.

        Raises `DataFileError` for a suffix of a known format that can't be read.
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

    def _choose_column(self, first: Entry, choice: _Choice) -> str:
        if self.column is not None and not self.has_columns:
            raise DataFileError(f"{self.name} is a text file, one text per line; it has no columns.")
        if self.column is None and (column := choice.after(first)):
            return column
        return Columns(self.name, list(first.values)).choose(self.column, (), "texts", "column")


class _Choice:
    """The choice of the column of texts from the rows so far, which does not depend on their order."""

    def __init__(self) -> None:
        self._texts: set[str] = set()  # columns that hold a text in some row
        self._nulls: set[str] = set()  # columns with an obvious name that are null in some row
        self._only: str | None = None

    def after(self, entry: Entry) -> str | None:
        """Return the only candidate after one more row, or None if there are none or several."""
        count = len(self._texts) + len(self._nulls)
        for name, value in entry.values.items():
            if isinstance(value, str):
                self._texts.add(name)
            elif value is None and folded(name) in _OBVIOUS:
                self._nulls.add(name)
        if len(self._texts) + len(self._nulls) == count:
            return self._only
        obvious = {name for name in self._texts if folded(name) in _OBVIOUS} or self._nulls
        others = {name for name in self._texts if folded(name) != _ID}
        candidates = obvious or others or self._texts
        self._only = next(iter(candidates)) if len(candidates) == 1 else None
        return self._only


def _id_column(entry: Entry, column: str) -> str | None:
    """Return the column that holds this row's id, or None."""
    names = (name for name in entry.values if name != column and folded(name) == _ID)
    return next((name for name in names if not _is_empty(entry.values[name])), None)


def _id(entry: Entry, id_column: str | None, column: str, number: int) -> int | str:
    """Return a row's id; either all rows have one, or none, as the first row (``id_column``) decides."""
    if id_column is None:
        if own := _id_column(entry, column):
            raise entry.error(f"this row has an '{own}', but the first row has none.")
        return number
    value = entry.values.get(id_column)
    if isinstance(value, float):
        raise entry.error(f"'{id_column}' is {value}, neither an integer nor a text.")
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise entry.error(f"'{id_column}' is {json_type(value)}, not a number or text.")
    if _is_empty(value):
        raise entry.error(f"'{id_column}' is empty, but the first row has one.")
    return value


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _has_quoted_fields(file: DataFile) -> bool:
    """Return whether the quotes in a file of tab-separated values are those of RFC 4180, by its content.

    KorSTS and KorNLI, for instance, have fields that begin with a quotation mark of the text. Quotes are
    ordinary characters if reading them as quotes fails, or joins lines that are complete rows already.
    """
    rows = 0
    widths: set[int] = set()

    def counted(lines: NumberedLines) -> Iterator[str]:
        nonlocal rows
        for _, line in lines:
            if line != "\n":
                rows += 1
                widths.add(line.count("\t") + 1)
            yield line

    csv.field_size_limit(LONGEST_FIELD)
    with opened(file.path) as content:
        lines = counted(numbered_lines(content, file.name, file.encoding))
        try:
            quoted_rows = sum(1 for fields in csv.reader(lines, delimiter="\t", strict=True) if fields)
        except csv.Error:
            return False
    return quoted_rows == rows or len(widths) > 1
