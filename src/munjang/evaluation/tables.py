"""Files of labelled rows: CSV, TSV, JSON, JSON Lines and parquet, and which of their columns is what."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import PurePath

from munjang.errors import DataFileError
from munjang.evaluation.entries import Entry, FilePath
from munjang.evaluation.json_files import json_entries
from munjang.evaluation.quoting import quotes_are_quotes
from munjang.search.lines import check_encoding, check_path, shown_name
from munjang.search.reading import DataFile

__all__ = ["Table"]

_TABS = ".tsv"
_JSON_LINES = (".jsonl", ".ndjson")
_LONGEST_SHOWN = 40


class Table:
    """The rows of a file with columns.

    ``quoting`` None decides by the file whether quotes in a .tsv are letters, see
    `munjang.evaluation.quoting`; in a .csv they are quotes. Iterating gives its entries, once.

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
        """Give the entries in the order of the file."""
        yield self.first
        yield from self._rows

    def find(self, named: str | None, usual: Sequence[str]) -> str | None:
        """Give the column that is named, which must be there, or the first of the usual names that is."""
        if named is not None and named not in self.columns:
            raise DataFileError(f"{self.name} has no column {named!r}; it has {self._shown_columns()}.")
        return named or next(iter(self.first.columns(usual)), None)

    def choose(self, named: str | None, usual: Sequence[str], what: str) -> str:
        """Give a column as `find` does; it is an error if there is none."""
        found = self.find(named, usual)
        if found is None:
            raise DataFileError(
                f"{self.name} has the columns {self._shown_columns()}; say which holds the {what}."
            )
        return found

    def _shown_columns(self) -> str:
        """Name the columns in one line, also where the first row is no header but a text."""
        shown = (name if name.isprintable() else repr(name) for name in self.columns)
        return ", ".join(
            name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}..." for name in shown
        )

    def choose_two(self, one: str | None, other: str | None, usual: Sequence[tuple[str, str]]) -> list[str]:
        """Give the two columns of a pair: those that are named, or the first pair of usual names."""
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
