"""Files of labelled rows: tables with columns, and JSON documents."""

from __future__ import annotations

import csv
import json
import os
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import PurePath
from typing import Any, TypeAlias

from munjang.data.files import (
    DataFile,
    check_encoding,
    check_path,
    numbered_lines,
    opened,
    shown_name,
)
from munjang.data.records import LONGEST_FIELD, Columns, Entry, NumberedLines, json_line_entries
from munjang.errors import DataFileError

FilePath: TypeAlias = str | os.PathLike[str]


class Table:
    """The rows of a file with columns: CSV, TSV, JSON, JSON Lines or parquet. Iterate over it once.

    ``quoting`` None means: quotes in a .csv quote fields; in a .tsv the content decides. The values of nested
    objects are columns too, as ``labels.label`` in KLUE's ``{"labels": {"label": 3.7}}``. Where rows can have
    different keys, ``columns`` has the keys of all rows, so that the choice of columns does not depend on the
    order of the rows; all rows are then read into memory.

    Raises `DataFileError` for a file that is missing, empty, broken or without columns, `InputError` for an
    unknown encoding, and `MissingExtraError` for parquet without its package.
    """

    def __init__(
        self, path: FilePath, *, encoding: str = "utf-8", quoting: bool | None = None, header: bool = True
    ) -> None:
        entries = map(_flat, _entries(os.fspath(path), encoding, quoting, header))
        self.first = next(entries)
        self.name = self.first.file
        self._entries: Iterable[Entry] = chain([self.first], entries)
        names = self.first.values
        if not _has_uniform_rows(os.fspath(path)):
            self._entries = list(self._entries)
            names = {name: None for entry in self._entries for name in entry.values}
        self.columns = Columns(self.name, list(names))

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries in the order of the file."""
        return iter(self._entries)


def _suffix(path: str) -> str:
    return PurePath(path.lower().removesuffix(".gz")).suffix


def _has_uniform_rows(path: str) -> bool:
    """Return whether all rows of the file format have the same columns; nested objects may differ."""
    return _suffix(path) in (".csv", ".tsv")


def _entries(path: str, encoding: str, quoting: bool | None, header: bool) -> Iterator[Entry]:
    if _suffix(path) == ".json":
        return json_entries(path, encoding)
    check_path(path)
    file = DataFile(path=path, encoding=encoding, header=header)
    if not file.has_columns:
        raise DataFileError(
            f"{file.name} has no columns; labelled texts come as .csv, .tsv, .json, .jsonl or .parquet."
        )
    if quoting is None:
        check_encoding(encoding)
        quoting = file.kind != ".tsv" or not file.rereadable or _has_quoted_fields(file)
    return replace(file, quoting=quoting, nested=True).records()


def _flat(entry: Entry) -> Entry:
    """Add the values of nested objects as columns."""
    inner = {
        f"{name}.{key}": value
        for name, nested in entry.values.items()
        if isinstance(nested, dict)
        for key, value in nested.items()
    }
    return replace(entry, values={**entry.values, **inner}) if inner else entry


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


def text_lines(path: FilePath, encoding: str = "utf-8") -> tuple[str, list[tuple[int, str]]]:
    """Return a file's name for messages, and all its lines with their numbers; ``.gz`` is unpacked.

    Raises `DataFileError` for a file that can't be read, and `InputError` for an unknown encoding.
    """
    name = shown_name(os.fspath(path))
    check_encoding(encoding)
    with opened(os.fspath(path)) as file:
        return name, list(numbered_lines(file, name, encoding))


def json_document(path: FilePath) -> tuple[str, Any]:
    """Read a file that is one JSON value, ``.gz`` or not; return its name for messages, and the value.

    Raises `DataFileError`, with the line, for a file that can't be read or is not JSON.
    """
    name, lines = text_lines(path)
    return name, _parsed(lines, name)


def json_entries(path: FilePath, encoding: str = "utf-8") -> Iterator[Entry]:
    """Read objects from JSON Lines or from one JSON list, whichever the file is.

    Raises `DataFileError`, with the line or the number of the entry, for anything else, and `InputError` for
    an unknown encoding.
    """
    name, lines = text_lines(path, encoding)
    first = next((line for _, line in lines if line.strip()), None)
    if first is None:
        raise DataFileError(f"{name} has no entries: it is empty.")
    if not first.lstrip().startswith("["):
        yield from json_line_entries(lines, name)
        return
    values = _parsed(lines, name)
    if not values:
        raise DataFileError(f"{name} has no entries: its list is empty.")
    for number, value in enumerate(values, 1):
        entry = Entry(name, f"entry {number}", {})
        yield replace(entry, values=entry.as_object(value, "the entry"))


def _parsed(lines: Iterable[tuple[int, str]], name: str) -> Any:
    content = "".join(line for _, line in lines)
    if not content.strip():
        raise DataFileError(f"{name} is empty.")
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        raise DataFileError(f"{name}, line {error.lineno}: not JSON: {error.msg}.") from None
    except (ValueError, RecursionError) as error:
        raise DataFileError(f"{name} can't be read as JSON: {error}.") from None


_LONGEST_PART = 60
_MOST_OFFSETS = 3


def check_offset(entry: Entry, what: str, part: str, start: int, text: str) -> None:
    """Raise `DataFileError` unless ``part`` occurs in ``text`` at the character offset ``start``.

    The message has the text at that offset, and the offsets at which the part does occur.
    """
    if text.startswith(part, start):
        return
    actual = text[start : start + len(part)]
    problem = f"{_quoted(actual)} is there" if actual else f"the text has {len(text)} characters"
    raise entry.error(
        f"{what} {_quoted(part)} should begin at character {start}, but {problem}; {_elsewhere(part, text)}."
    )


def _elsewhere(part: str, text: str) -> str:
    offsets: list[int] = []
    offset = text.find(part)
    while offset >= 0 and len(offsets) < _MOST_OFFSETS:
        offsets.append(offset)
        offset = text.find(part, offset + 1)
    if offsets:
        return f"it begins at {', '.join(map(str, offsets))}" + (" and elsewhere" if offset >= 0 else "")
    if unicodedata.normalize("NFC", part) in unicodedata.normalize("NFC", text):
        return "it occurs only in another normal form of Unicode (NFC or NFD)"
    return "it does not occur in the text"


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_PART else f"{text[:_LONGEST_PART]}...")
