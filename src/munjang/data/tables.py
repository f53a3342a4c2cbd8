"""Files of labelled rows: tables with columns, and JSON documents."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from json import JSONDecodeError
from pathlib import PurePath
from typing import Any, TypeAlias

from munjang.data.files import (
    DataFile,
    check_encoding,
    check_path,
    numbered_lines,
    opened,
    path_text,
    shown_name,
)
from munjang.data.records import Columns, Entry, json_line_entries, json_reason, parsed_json
from munjang.errors import DataFileError

FilePath: TypeAlias = str | os.PathLike[str]


class Table:
    """The rows of a file with columns: CSV, TSV, JSON, JSON Lines or parquet. Iterate over it once.

    ``quoting`` is as in `DataFile`. The values of nested objects are columns too, as ``labels.label`` in
    KLUE's ``{"labels": {"label": 3.7}}``. Where rows can have different keys, ``columns`` has the keys of all
    rows, so that the choice of columns does not depend on the order of the rows; all rows are then read into
    memory.

    Raises `DataFileError` for a file that is missing, empty, broken or without columns, `InputError` for an
    unknown encoding, and `MissingExtraError` for parquet without its package.
    """

    def __init__(
        self, path: FilePath, *, encoding: str = "utf-8", quoting: bool | None = None, header: bool = True
    ) -> None:
        file = path_text(path)
        entries = map(_flat, _entries(file, encoding, quoting, header))
        self.first = next(entries)
        self.name = self.first.file
        self._entries: Iterable[Entry] = chain([self.first], entries)
        names = self.first.values
        if not _has_uniform_rows(file):
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
    file = DataFile(path=path, encoding=encoding, quoting=quoting, header=header, nested=True)
    if not file.has_columns:
        raise DataFileError(f"{file.name} has no columns; save it as .csv, .tsv, .json, .jsonl or .parquet.")
    return file.records()


def _flat(entry: Entry) -> Entry:
    """Add the values of nested objects as columns."""
    inner = {
        f"{name}.{key}": value
        for name, nested in entry.values.items()
        if isinstance(nested, dict)
        for key, value in nested.items()
    }
    return replace(entry, values={**entry.values, **inner}) if inner else entry


def text_lines(path: FilePath, encoding: str = "utf-8") -> tuple[str, list[tuple[int, str]]]:
    """Return a file's name for messages, and all its lines with their numbers; ``.gz`` is unpacked.

    Raises `DataFileError` for a file that can't be read, and `InputError` for an unknown encoding.
    """
    named = path_text(path)
    name = shown_name(named)
    check_encoding(encoding)
    with opened(named) as file:
        return name, list(numbered_lines(file, name, encoding))


def json_document(path: FilePath, encoding: str, layout: str) -> tuple[str, Any]:
    """Read a file that is one JSON value, ``.gz`` or not; return its name for messages, and the value.

    Raises `DataFileError`, with the line and the expected ``layout``, for a file that can't be read or is not
    JSON, and `InputError` for an unknown encoding.
    """
    name, lines = text_lines(path, encoding)
    return name, _parsed(lines, name, layout)


def json_entries(path: FilePath, encoding: str = "utf-8", layout: str = "") -> Iterator[Entry]:
    """Read objects from JSON Lines or from one JSON list, whichever the file is.

    Raises `DataFileError`, with the line or the number of the entry and the expected ``layout``, for anything
    else, and `InputError` for an unknown encoding.
    """
    name, lines = text_lines(path, encoding)
    first = next((line for _, line in lines if line.strip()), None)
    if first is None:
        raise DataFileError(f"{name} has no entries: it is empty.")
    if not first.lstrip().startswith("["):
        yield from json_line_entries(lines, name, layout)
        return
    values = _parsed(lines, name, layout)
    if not values:
        raise DataFileError(f"{name} has no entries: its list is empty.")
    for number, value in enumerate(values, 1):
        entry = Entry(name, f"entry {number}", {})
        yield replace(entry, values=entry.as_object(value, "the entry"))


def _parsed(lines: Iterable[tuple[int, str]], name: str, layout: str) -> Any:
    content = "".join(line for _, line in lines)
    if not content.strip():
        raise DataFileError(f"{name} is empty.")
    try:
        return parsed_json(content)
    except (ValueError, RecursionError) as error:
        position = f", line {error.lineno}" if isinstance(error, JSONDecodeError) else ""
        raise DataFileError(f"{name}{position}: {json_reason(error, layout)}.") from None


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
