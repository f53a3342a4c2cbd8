"""`DataFile`: a user's file of texts, of whatever format, read row by row in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePath
from typing import Any

from munjang.errors import DataFileError
from munjang.search.lines import STDIN, check_encoding, check_path, numbered_lines, opened, shown_name
from munjang.search.records import (
    Record,
    csv_records,
    json_records,
    json_type,
    parquet_records,
    text_records,
)

__all__ = ["DataFile", "Row"]

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
    """A file of texts; iterate over it to get its rows, as often as you like.

    The name's end says what it is: ``.csv``, ``.tsv``, ``.jsonl`` and ``.parquet``; everything else is text
    with one entry per line, empty ones included, and so is ``-``, standard input. Each may be packed as
    ``.gz``, but for parquet.

    Args:
        path: the file.
        column: which column or key holds the texts; if there is only one it could be, it need not be said.
        encoding: the character encoding; a mark at the beginning of UTF-8 is not part of the text.
        quoting: whether quotes in CSV and TSV are quotes, or letters like any other.
        header: whether the first row of CSV and TSV names the columns; if not, they are 1, 2, 3, ...
        called: what messages call the file, if not by its path.

    Iterating raises `DataFileError` where the file is not as it should be, with the line, `InputError` for an
    unknown encoding, and `MissingExtraError` for parquet without its package.
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
        """Name the columns of the first row; a text file has one, ``text``."""
        first, _ = self._begun()
        return list(first.values)

    def records(self) -> Iterator[Record]:
        """Give the rows in order as the file has them, each with the place where it stands; at least one."""
        first, records = self._begun()
        return chain([first], records)

    def __iter__(self) -> Iterator[Row]:
        """Give the rows in order."""
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
        """Whether a file of this kind has columns; a text has not."""
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
